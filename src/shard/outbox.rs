//! What a shard wants done, in order, without an allocation for each packet.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use base::{LegId, SessionId, ShardId};

use super::command::{Event, LinkFrame};
use super::dtls::DtlsWork;

/// What a shard wants done.
#[derive(Debug)]
pub enum Output<'a> {
    /// Send a datagram from a leg's RTP port.
    Rtp {
        /// Which leg.
        leg: LegId,
        /// Where to.
        to: SocketAddr,
        /// The datagram.
        bytes: &'a [u8],
    },
    /// Send a datagram from a leg's RTCP port.
    Rtcp {
        /// Which leg.
        leg: LegId,
        /// Where to.
        to: SocketAddr,
        /// The datagram.
        bytes: &'a [u8],
    },
    /// Bind a port pair for a leg and say so by `handle_rtp_opened`.
    OpenRtp {
        /// Which leg.
        leg: LegId,
        /// The address to bind.
        ip: IpAddr,
    },
    /// Close a leg's ports.
    CloseRtp {
        /// Which leg.
        leg: LegId,
    },
    /// Close a client's connection after what is already written.
    CloseSession {
        /// Which.
        session: SessionId,
    },
    /// A client's session has something to write: ask by `transmit`.
    Flush {
        /// Which.
        session: SessionId,
    },
    /// Send a datagram from a socket for RTMFP.
    Rtmfp {
        /// Which socket.
        socket: usize,
        /// Where to.
        to: SocketAddr,
        /// The datagram.
        bytes: &'a [u8],
    },
    /// Ask the other shards for a client that has no session here, by `handle_rtmfp_seek`.
    RtmfpSeek {
        /// On which socket it is looked for.
        socket: usize,
        /// Who, and by whom.
        seek: rtmfp::Seek,
    },
    /// Do long arithmetic elsewhere and give the result to `handle_rtmfp_work`.
    RtmfpWork {
        /// For which socket.
        socket: usize,
        /// The arithmetic.
        work: rtmfp::Work,
    },
    /// Do the arithmetic of a handshake elsewhere and give the result to `handle_dtls_done`.
    DtlsWork {
        /// For which leg.
        leg: LegId,
        /// The arithmetic.
        work: DtlsWork,
    },
    /// Bring a frame to another shard.
    Link {
        /// Which shard.
        to: ShardId,
        /// The frame.
        frame: LinkFrame,
    },
    /// Tell the exchange.
    Event(Event),
}

#[derive(Debug)]
enum Item {
    Rtp(LegId, SocketAddr, Range<usize>),
    Rtcp(LegId, SocketAddr, Range<usize>),
    OpenRtp(LegId, IpAddr),
    CloseRtp(LegId),
    CloseSession(SessionId),
    Flush(SessionId),
    Rtmfp(usize, SocketAddr, Range<usize>),
    RtmfpSeek(usize, rtmfp::Seek),
    RtmfpWork(usize, rtmfp::Work),
    DtlsWork(LegId, DtlsWork),
    Link(ShardId, LinkFrame),
    Event(Event),
}

/// The queue behind [`Output`]. Its driver empties it after every input, so it holds what one input causes.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    items: VecDeque<Item>,
    /// The datagrams of `items`, one after another.
    bytes: Vec<u8>,
    /// Lent out for the frame on its way from a pipe.
    frame: Vec<u8>,
}

impl Outbox {
    /// A buffer of that size for a frame, to be given back: what is in it is of no meaning.
    pub(super) fn lend(&mut self, size: usize) -> Vec<u8> {
        let mut frame = std::mem::take(&mut self.frame);
        frame.resize(size, 0);
        frame
    }

    pub(super) fn give_back(&mut self, frame: Vec<u8>) {
        self.frame = frame;
    }

    /// Room for a datagram of up to `size` bytes, filled by `write`, which returns how many it wrote.
    pub(super) fn rtp(
        &mut self,
        leg: LegId,
        to: SocketAddr,
        size: usize,
        write: impl FnOnce(&mut [u8]) -> usize,
    ) {
        let range = self.datagram(size, write);
        if !range.is_empty() {
            self.items.push_back(Item::Rtp(leg, to, range));
        }
    }

    /// The same for RTCP.
    pub(super) fn rtcp(
        &mut self,
        leg: LegId,
        to: SocketAddr,
        size: usize,
        write: impl FnOnce(&mut [u8]) -> usize,
    ) {
        let range = self.datagram(size, write);
        if !range.is_empty() {
            self.items.push_back(Item::Rtcp(leg, to, range));
        }
    }

    /// A datagram of RTMFP.
    pub(super) fn rtmfp(&mut self, socket: usize, to: SocketAddr, datagram: &[u8]) {
        let range = self.datagram(datagram.len(), |room| {
            room.copy_from_slice(datagram);
            datagram.len()
        });
        self.items.push_back(Item::Rtmfp(socket, to, range));
    }

    pub(super) fn rtmfp_seek(&mut self, socket: usize, seek: rtmfp::Seek) {
        self.items.push_back(Item::RtmfpSeek(socket, seek));
    }

    pub(super) fn rtmfp_work(&mut self, socket: usize, work: rtmfp::Work) {
        self.items.push_back(Item::RtmfpWork(socket, work));
    }

    pub(super) fn dtls_work(&mut self, leg: LegId, work: DtlsWork) {
        self.items.push_back(Item::DtlsWork(leg, work));
    }

    fn datagram(&mut self, size: usize, write: impl FnOnce(&mut [u8]) -> usize) -> Range<usize> {
        if self.items.is_empty() {
            self.bytes.clear();
        }
        let start = self.bytes.len();
        self.bytes.resize(start + size, 0);
        let written = self.bytes.get_mut(start..).map_or(0, write).min(size);
        self.bytes.truncate(start + written);
        start..start + written
    }

    pub(super) fn open_rtp(&mut self, leg: LegId, ip: IpAddr) {
        self.items.push_back(Item::OpenRtp(leg, ip));
    }

    pub(super) fn close_rtp(&mut self, leg: LegId) {
        self.items.push_back(Item::CloseRtp(leg));
    }

    pub(super) fn close_session(&mut self, session: SessionId) {
        self.items.push_back(Item::CloseSession(session));
    }

    /// Asks for a session's bytes; asking twice in a row is asking once.
    pub(super) fn flush(&mut self, session: SessionId) {
        if !matches!(self.items.back(), Some(Item::Flush(s)) if *s == session) {
            self.items.push_back(Item::Flush(session));
        }
    }

    pub(super) fn link(&mut self, to: ShardId, frame: LinkFrame) {
        self.items.push_back(Item::Link(to, frame));
    }

    pub(super) fn event(&mut self, event: Event) {
        self.items.push_back(Item::Event(event));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn next(&mut self) -> Option<Output<'_>> {
        let item = self.items.pop_front()?;
        Some(match item {
            Item::Rtp(leg, to, range) => Output::Rtp {
                leg,
                to,
                bytes: self.bytes.get(range).unwrap_or_default(),
            },
            Item::Rtcp(leg, to, range) => Output::Rtcp {
                leg,
                to,
                bytes: self.bytes.get(range).unwrap_or_default(),
            },
            Item::OpenRtp(leg, ip) => Output::OpenRtp { leg, ip },
            Item::CloseRtp(leg) => Output::CloseRtp { leg },
            Item::CloseSession(session) => Output::CloseSession { session },
            Item::Flush(session) => Output::Flush { session },
            Item::Rtmfp(socket, to, range) => Output::Rtmfp {
                socket,
                to,
                bytes: self.bytes.get(range).unwrap_or_default(),
            },
            Item::RtmfpSeek(socket, seek) => Output::RtmfpSeek { socket, seek },
            Item::RtmfpWork(socket, work) => Output::RtmfpWork { socket, work },
            Item::DtlsWork(leg, work) => Output::DtlsWork { leg, work },
            Item::Link(to, frame) => Output::Link { to, frame },
            Item::Event(event) => Output::Event(event),
        })
    }
}
