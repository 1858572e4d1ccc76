//! Chunks (RFC 7016 §2.3): what they say and how they are written.

use crate::option::Address;
use crate::vlu::{self, Cursor};

/// Chunk types.
pub mod kind {
    /// Padding, also 0xFF.
    pub const PADDING: u8 = 0x00;
    /// Ping.
    pub const PING: u8 = 0x01;
    /// Session close request.
    pub const CLOSE: u8 = 0x0C;
    /// Forwarded initiator hello.
    pub const FORWARDED_HELLO: u8 = 0x0F;
    /// User data.
    pub const USER_DATA: u8 = 0x10;
    /// Next user data.
    pub const NEXT_USER_DATA: u8 = 0x11;
    /// Buffer probe.
    pub const BUFFER_PROBE: u8 = 0x18;
    /// Initiator hello.
    pub const INITIATOR_HELLO: u8 = 0x30;
    /// Initiator initial keying.
    pub const INITIATOR_KEYING: u8 = 0x38;
    /// Ping reply.
    pub const PING_REPLY: u8 = 0x41;
    /// Session close acknowledgement.
    pub const CLOSE_ACK: u8 = 0x4C;
    /// Data acknowledgement as a bitmap.
    pub const BITMAP_ACK: u8 = 0x50;
    /// Data acknowledgement as ranges.
    pub const RANGE_ACK: u8 = 0x51;
    /// Flow exception report.
    pub const EXCEPTION: u8 = 0x5E;
    /// Responder hello.
    pub const RESPONDER_HELLO: u8 = 0x70;
    /// Responder redirect.
    pub const REDIRECT: u8 = 0x71;
    /// Responder initial keying.
    pub const RESPONDER_KEYING: u8 = 0x78;
    /// Responder hello cookie change.
    pub const COOKIE_CHANGE: u8 = 0x79;
    /// Packet fragment.
    pub const FRAGMENT: u8 = 0x7F;
}

/// A chunk as received or to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk<'a> {
    /// Opens a session with whoever the discriminator selects.
    InitiatorHello {
        /// Endpoint discriminator.
        epd: &'a [u8],
        /// Echoed by the answer.
        tag: &'a [u8],
    },
    /// The same, forwarded by a third party.
    ForwardedHello {
        /// Endpoint discriminator.
        epd: &'a [u8],
        /// Where the initiator was seen.
        reply: Address,
        /// Echoed by the answer.
        tag: &'a [u8],
    },
    /// The answer of a responder.
    ResponderHello {
        /// The initiator's tag.
        tag: &'a [u8],
        /// To be echoed.
        cookie: &'a [u8],
        /// The responder's certificate.
        certificate: &'a [u8],
    },
    /// Try these addresses; none means the source of the packet.
    Redirect {
        /// The initiator's tag.
        tag: &'a [u8],
        /// Encoded addresses, for [`addresses`].
        addresses: &'a [u8],
    },
    /// The cookie belongs to another address: use this one.
    CookieChange {
        /// The cookie that was sent.
        old: &'a [u8],
        /// The one to send.
        new: &'a [u8],
    },
    /// The initiator's half of the key agreement.
    InitiatorKeying {
        /// The session id for packets to the initiator.
        session: u32,
        /// The responder's cookie.
        cookie: &'a [u8],
        /// The initiator's certificate.
        certificate: &'a [u8],
        /// The session key initiator component.
        component: &'a [u8],
        /// Signature options.
        signature: &'a [u8],
    },
    /// The responder's half.
    ResponderKeying {
        /// The session id for packets to the responder.
        session: u32,
        /// The session key responder component.
        component: &'a [u8],
        /// Signature options.
        signature: &'a [u8],
    },
    /// A part of a packet that was too large for its path.
    Fragment {
        /// Further parts exist.
        more: bool,
        /// Which packet.
        packet: u64,
        /// Which part, from 0.
        number: u64,
        /// The part.
        data: &'a [u8],
    },
    /// Asks for a reply with the same message.
    Ping(&'a [u8]),
    /// The reply.
    PingReply(&'a [u8]),
    /// A fragment of a flow's message.
    UserData(UserData<'a>),
    /// A fragment with the sequence number after that of the fragment before it in the packet.
    NextUserData(NextUserData<'a>),
    /// What arrived of a flow.
    Ack(Ack<'a>),
    /// Asks for an acknowledgement of a flow.
    BufferProbe {
        /// The flow.
        flow: u64,
    },
    /// The receiver rejects a flow.
    Exception {
        /// The flow.
        flow: u64,
        /// Why; the meaning is the application's.
        code: u64,
    },
    /// Ends the session in order.
    Close,
    /// Ends the session at once.
    CloseAck,
    /// Padding or a type that is not known.
    Other {
        /// The type.
        kind: u8,
        /// The payload.
        payload: &'a [u8],
    },
}

/// Which part of a message a fragment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The whole message.
    Whole,
    /// Its first part.
    Begin,
    /// Its last part.
    End,
    /// One between.
    Middle,
}

/// User Data (RFC 7016 §2.3.11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserData<'a> {
    /// The flow.
    pub flow: u64,
    /// Sequence number of the fragment, from 1.
    pub sequence: u64,
    /// The sequence number less the forward sequence number: how far back data may still be sent.
    pub fsn_offset: u64,
    /// The fragment.
    pub fragment: NextUserData<'a>,
}

/// Next User Data (RFC 7016 §2.3.12), and what User Data has in common with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextUserData<'a> {
    /// Which part of its message it is.
    pub part: Part,
    /// The data are to be ignored.
    pub abandoned: bool,
    /// The last sequence number of the flow.
    pub last: bool,
    /// The option list without its marker; `None` when there is none.
    pub options: Option<&'a [u8]>,
    /// The data.
    pub data: &'a [u8],
}

/// A data acknowledgement (RFC 7016 §2.3.13, §2.3.14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The flow.
    pub flow: u64,
    /// Free receive buffer in blocks of 1024 bytes.
    pub blocks: u64,
    /// All numbers up to this one arrived.
    pub cumulative: u64,
    /// What follows is a bitmap rather than ranges.
    pub bitmap: bool,
    /// The encoded ranges or bitmap.
    pub detail: &'a [u8],
}

const OPTIONS: u8 = 0x80;
const ABANDONED: u8 = 0x02;
const LAST: u8 = 0x01;

impl<'a> Ack<'a> {
    /// The ranges beyond [`Ack::cumulative`] that arrived, both ends included, ascending.
    pub fn ranges(&self) -> Ranges<'a> {
        Ranges {
            cursor: Cursor(self.detail),
            at: self.cumulative,
            bitmap: self.bitmap,
            bits: (0, 0),
        }
    }
}

/// The ranges of an [`Ack`].
#[derive(Clone, Debug)]
pub struct Ranges<'a> {
    cursor: Cursor<'a>,
    /// The end of the last range; for a bitmap the number that bit 0 of the next byte stands for, less 2.
    at: u64,
    bitmap: bool,
    /// Bits of the current byte not yet looked at, and how many.
    bits: (u8, u8),
}

impl Iterator for Ranges<'_> {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        if !self.bitmap {
            // A truncated or overflowing pair ends the list; the rest stands.
            let mut cursor = self.cursor;
            let (holes, received) = (cursor.vlu()?, cursor.vlu()?);
            let from = self.at.checked_add(holes)?.checked_add(2)?;
            let to = from.checked_add(received)?;
            self.cursor = cursor;
            self.at = to;
            return Some((from, to));
        }
        loop {
            if self.bits.1 == 0 {
                self.bits = (self.cursor.u8()?, 8);
            }
            let number = self.at.checked_add(2)?;
            let set = self.bits.0 & 1 != 0;
            self.bits = (self.bits.0 >> 1, self.bits.1 - 1);
            self.at = self.at.checked_add(1)?;
            if set {
                return Some((number, number));
            }
        }
    }
}

/// The addresses of a redirect; those after a malformed one are left out.
pub fn addresses(encoded: &[u8]) -> impl Iterator<Item = Address> {
    let mut cursor = Cursor(encoded);
    std::iter::from_fn(move || {
        let address = Address::read(&mut cursor);
        if address.is_none() {
            cursor.rest();
        }
        address
    })
}

impl<'a> Chunk<'a> {
    /// Reads the payload of a chunk; `None` when it is malformed, which concerns this chunk alone.
    pub fn read(kind: u8, payload: &'a [u8]) -> Option<Chunk<'a>> {
        let mut c = Cursor(payload);
        Some(match kind {
            kind::INITIATOR_HELLO => Chunk::InitiatorHello {
                epd: c.bytes()?,
                tag: c.rest(),
            },
            kind::FORWARDED_HELLO => Chunk::ForwardedHello {
                epd: c.bytes()?,
                reply: Address::read(&mut c)?,
                tag: c.rest(),
            },
            kind::RESPONDER_HELLO => Chunk::ResponderHello {
                tag: c.bytes()?,
                cookie: c.bytes()?,
                certificate: c.rest(),
            },
            kind::REDIRECT => Chunk::Redirect {
                tag: c.bytes()?,
                addresses: c.rest(),
            },
            kind::COOKIE_CHANGE => Chunk::CookieChange {
                old: c.bytes()?,
                new: c.rest(),
            },
            kind::INITIATOR_KEYING => Chunk::InitiatorKeying {
                session: c.u32()?,
                cookie: c.bytes()?,
                certificate: c.bytes()?,
                component: c.bytes()?,
                signature: c.rest(),
            },
            kind::RESPONDER_KEYING => Chunk::ResponderKeying {
                session: c.u32()?,
                component: c.bytes()?,
                signature: c.rest(),
            },
            kind::FRAGMENT => Chunk::Fragment {
                more: c.u8()? & 0x80 != 0,
                packet: c.vlu()?,
                number: c.vlu()?,
                data: c.rest(),
            },
            kind::PING => Chunk::Ping(payload),
            kind::PING_REPLY => Chunk::PingReply(payload),
            kind::USER_DATA => {
                let flags = c.u8()?;
                let (flow, sequence, fsn_offset) = (c.vlu()?, c.vlu()?, c.vlu()?);
                let fragment = NextUserData::read(flags, &mut c)?;
                if fsn_offset > sequence || (fsn_offset == 0 && !fragment.abandoned) || sequence == 0 {
                    return None;
                }
                Chunk::UserData(UserData {
                    flow,
                    sequence,
                    fsn_offset,
                    fragment,
                })
            }
            kind::NEXT_USER_DATA => {
                let flags = c.u8()?;
                Chunk::NextUserData(NextUserData::read(flags, &mut c)?)
            }
            kind::BITMAP_ACK | kind::RANGE_ACK => Chunk::Ack(Ack {
                flow: c.vlu()?,
                blocks: c.vlu()?,
                cumulative: c.vlu()?,
                bitmap: kind == kind::BITMAP_ACK,
                detail: c.rest(),
            }),
            kind::BUFFER_PROBE => Chunk::BufferProbe { flow: c.vlu()? },
            kind::EXCEPTION => Chunk::Exception {
                flow: c.vlu()?,
                code: c.vlu()?,
            },
            kind::CLOSE => Chunk::Close,
            kind::CLOSE_ACK => Chunk::CloseAck,
            _ => Chunk::Other { kind, payload },
        })
    }

    /// Appends the chunk with its header. A payload beyond 65,535 bytes is cut; none that is made here is.
    pub fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 3]);
        let kind = self.put_payload(out);
        let len = u16::try_from(out.len() - start - 3).unwrap_or(u16::MAX);
        out.truncate(start + 3 + usize::from(len));
        let [high, low] = len.to_be_bytes();
        for (to, byte) in out.iter_mut().skip(start).zip([kind, high, low]) {
            *to = byte;
        }
    }

    fn put_payload(&self, out: &mut Vec<u8>) -> u8 {
        match self {
            Chunk::InitiatorHello { epd, tag } => {
                vlu::put_bytes(epd, out);
                out.extend_from_slice(tag);
                kind::INITIATOR_HELLO
            }
            Chunk::ForwardedHello { epd, reply, tag } => {
                vlu::put_bytes(epd, out);
                reply.put(out);
                out.extend_from_slice(tag);
                kind::FORWARDED_HELLO
            }
            Chunk::ResponderHello {
                tag,
                cookie,
                certificate,
            } => {
                vlu::put_bytes(tag, out);
                vlu::put_bytes(cookie, out);
                out.extend_from_slice(certificate);
                kind::RESPONDER_HELLO
            }
            Chunk::Redirect { tag, addresses } => {
                vlu::put_bytes(tag, out);
                out.extend_from_slice(addresses);
                kind::REDIRECT
            }
            Chunk::CookieChange { old, new } => {
                vlu::put_bytes(old, out);
                out.extend_from_slice(new);
                kind::COOKIE_CHANGE
            }
            Chunk::InitiatorKeying {
                session,
                cookie,
                certificate,
                component,
                signature,
            } => {
                out.extend_from_slice(&session.to_be_bytes());
                vlu::put_bytes(cookie, out);
                vlu::put_bytes(certificate, out);
                vlu::put_bytes(component, out);
                out.extend_from_slice(signature);
                kind::INITIATOR_KEYING
            }
            Chunk::ResponderKeying {
                session,
                component,
                signature,
            } => {
                out.extend_from_slice(&session.to_be_bytes());
                vlu::put_bytes(component, out);
                out.extend_from_slice(signature);
                kind::RESPONDER_KEYING
            }
            Chunk::Fragment {
                more,
                packet,
                number,
                data,
            } => {
                out.push(u8::from(*more) << 7);
                vlu::put(*packet, out);
                vlu::put(*number, out);
                out.extend_from_slice(data);
                kind::FRAGMENT
            }
            Chunk::Ping(message) => {
                out.extend_from_slice(message);
                kind::PING
            }
            Chunk::PingReply(message) => {
                out.extend_from_slice(message);
                kind::PING_REPLY
            }
            Chunk::UserData(data) => {
                out.push(data.fragment.flags());
                vlu::put(data.flow, out);
                vlu::put(data.sequence, out);
                vlu::put(data.fsn_offset, out);
                data.fragment.put_tail(out);
                kind::USER_DATA
            }
            Chunk::NextUserData(data) => {
                out.push(data.flags());
                data.put_tail(out);
                kind::NEXT_USER_DATA
            }
            Chunk::Ack(ack) => {
                vlu::put(ack.flow, out);
                vlu::put(ack.blocks, out);
                vlu::put(ack.cumulative, out);
                out.extend_from_slice(ack.detail);
                if ack.bitmap {
                    kind::BITMAP_ACK
                } else {
                    kind::RANGE_ACK
                }
            }
            Chunk::BufferProbe { flow } => {
                vlu::put(*flow, out);
                kind::BUFFER_PROBE
            }
            Chunk::Exception { flow, code } => {
                vlu::put(*flow, out);
                vlu::put(*code, out);
                kind::EXCEPTION
            }
            Chunk::Close => kind::CLOSE,
            Chunk::CloseAck => kind::CLOSE_ACK,
            Chunk::Other { kind, payload } => {
                out.extend_from_slice(payload);
                *kind
            }
        }
    }
}

impl<'a> NextUserData<'a> {
    fn read(flags: u8, c: &mut Cursor<'a>) -> Option<NextUserData<'a>> {
        let options = if flags & OPTIONS != 0 {
            let list = c.0;
            loop {
                let before = list.len() - c.0.len();
                if crate::option::next(c)? == crate::option::Item::Marker {
                    break Some(list.get(..before)?);
                }
            }
        } else {
            None
        };
        Some(NextUserData {
            part: match flags >> 4 & 3 {
                0 => Part::Whole,
                1 => Part::Begin,
                2 => Part::End,
                _ => Part::Middle,
            },
            abandoned: flags & ABANDONED != 0,
            last: flags & LAST != 0,
            options,
            data: c.rest(),
        })
    }

    fn flags(&self) -> u8 {
        let part = match self.part {
            Part::Whole => 0,
            Part::Begin => 0x10,
            Part::End => 0x20,
            Part::Middle => 0x30,
        };
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        part | flag(self.options.is_some(), OPTIONS) | flag(self.abandoned, ABANDONED) | flag(self.last, LAST)
    }

    fn put_tail(&self, out: &mut Vec<u8>) {
        if let Some(options) = self.options {
            out.extend_from_slice(options);
            out.push(0);
        }
        out.extend_from_slice(self.data);
    }
}
