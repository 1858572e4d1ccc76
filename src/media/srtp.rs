//! SRTP and SRTCP (RFC 3711, RFC 7714) for one RTP session between two parties, and the keys for it as SDP carries
//! them (RFC 4568).
//!
//! What is sent is protected in the buffer it was written to; what is received is opened in the buffer it was copied
//! to. Nothing allocates for a packet, and nothing a peer sends without the key leaves a trace but a count.

mod key;
mod receive;
mod sdes;
mod send;
mod transform;

pub use key::{KeySource, SrtpKey, SrtpKeys, Suite};
pub use sdes::SdesLine;

use receive::Receiver;
use send::Sender;

use crate::Error;

/// The most bytes that protection adds to a packet: the tag of GCM and the index of SRTCP.
pub const SRTP_OVERHEAD: usize = 20;

/// Why a packet was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// It was not made with the key, or not for us.
    Forged,
    /// It came before, or is too old for us to tell (RFC 3711 §3.3.2).
    Replayed,
}

/// Packets refused so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SrtpStats {
    /// Made without the key.
    pub forged: u64,
    /// Come before.
    pub replayed: u64,
}

/// Both directions of one session.
#[derive(Debug)]
pub struct SrtpSession {
    keys: SrtpKeys,
    sender: Sender,
    receiver: Receiver,
    /// Of the keys before, until the peer has shown that it uses the new ones.
    previous: Option<Receiver>,
    stats: SrtpStats,
    authenticated: bool,
}

impl SrtpSession {
    /// A session with these keys.
    ///
    /// # Errors
    /// [`Error::Crypto`] when the cryptographic library refuses a key: a fault of ours.
    pub fn new(keys: &SrtpKeys) -> Result<SrtpSession, Error> {
        Ok(SrtpSession {
            sender: Sender::new(&keys.send)?,
            receiver: Receiver::new(&keys.receive)?,
            keys: keys.clone(),
            previous: None,
            stats: SrtpStats::default(),
            authenticated: false,
        })
    }

    /// Other keys were agreed on. A direction whose key is the same goes on as it is: counting anew would use a
    /// keystream twice.
    ///
    /// # Errors
    /// As [`SrtpSession::new`]; the keys before then stay.
    pub fn rekey(&mut self, keys: &SrtpKeys) -> Result<(), Error> {
        if self.keys.send != keys.send {
            self.sender = Sender::new(&keys.send)?;
        }
        if self.keys.receive != keys.receive {
            let fresh = Receiver::new(&keys.receive)?;
            self.previous = Some(std::mem::replace(&mut self.receiver, fresh));
        }
        self.keys = keys.clone();
        Ok(())
    }

    /// How what we send is protected.
    pub fn suite(&self) -> Suite {
        self.keys.send.suite()
    }

    /// Packets refused so far.
    pub fn stats(&self) -> SrtpStats {
        self.stats
    }

    /// Whether anything authentic has come.
    pub fn authenticated(&self) -> bool {
        self.authenticated
    }

    /// Protects the RTP packet of `len` bytes at the start of `buffer`, which has room for [`SRTP_OVERHEAD`] more;
    /// its new length. `None`: it is no RTP packet, or there is no room; it must not be sent.
    pub fn protect_rtp(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        self.sender.rtp(buffer, len)
    }

    /// The same for a compound RTCP packet.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        self.sender.rtcp(buffer, len)
    }

    /// Opens an SRTP packet: `clear` then holds the RTP packet.
    ///
    /// # Errors
    /// [`Refused`]; it is counted, and `clear` holds nothing of use.
    pub fn open_rtp(&mut self, packet: &[u8], clear: &mut Vec<u8>) -> Result<(), Refused> {
        self.open(|receiver, clear| receiver.rtp(packet, clear), clear)
    }

    /// Opens an SRTCP packet.
    ///
    /// # Errors
    /// As [`SrtpSession::open_rtp`]. A packet that says it is not encrypted is refused too: that was not agreed on.
    pub fn open_rtcp(&mut self, packet: &[u8], clear: &mut Vec<u8>) -> Result<(), Refused> {
        self.open(|receiver, clear| receiver.rtcp(packet, clear), clear)
    }

    fn open(
        &mut self,
        open: impl Fn(&mut Receiver, &mut Vec<u8>) -> Result<(), Refused>,
        clear: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let mut opened = open(&mut self.receiver, clear);
        if opened.is_ok() {
            self.previous = None;
        } else if opened == Err(Refused::Forged)
            && let Some(previous) = &mut self.previous
        {
            // What was on its way when the keys changed.
            opened = open(previous, clear);
        }
        match opened {
            Ok(()) => self.authenticated = true,
            Err(Refused::Forged) => self.stats.forged += 1,
            Err(Refused::Replayed) => self.stats.replayed += 1,
        }
        opened
    }
}

/// Bytes before the payload: fixed header, contributing sources, extension.
fn header_len(packet: &[u8]) -> Option<usize> {
    let first = *packet.first()?;
    if first >> 6 != 2 {
        return None;
    }
    let fixed = 12 + 4 * usize::from(first & 0x0F);
    let len = if first & 0x10 == 0 {
        fixed
    } else {
        let words = u16::from_be_bytes(*packet.get(fixed + 2..)?.first_chunk()?);
        fixed + 4 + 4 * usize::from(words)
    };
    (len <= packet.len()).then_some(len)
}

/// Sequence number and synchronisation source of an RTP packet.
fn rtp_ids(packet: &[u8]) -> Option<(u16, u32)> {
    let seq = u16::from_be_bytes(*packet.get(2..)?.first_chunk()?);
    let ssrc = u32::from_be_bytes(*packet.get(8..)?.first_chunk()?);
    Some((seq, ssrc))
}

#[cfg(test)]
mod tests;
