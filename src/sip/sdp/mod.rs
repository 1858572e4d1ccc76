//! Session descriptions (RFC 4566, RFC 8866) and offer/answer (RFC 3264).
//!
//! The lines are read and written by `sdp-types`; what they mean is decided here.

mod format;
mod negotiate;
mod read;
mod write;

pub use format::{Capability, Format};
pub use negotiate::{Agreed, Answer, EVENT_CLOCK, Local, Prefer, accept, answer, answer_at, offer};

use crate::uri::Host;

/// Which way media flows, seen from whoever wrote the description (RFC 3264 §5.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// From the writer only.
    SendOnly,
    /// To the writer only.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// From what the writer does.
    pub const fn new(sends: bool, receives: bool) -> Direction {
        match (sends, receives) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }

    /// Whether the writer sends.
    pub const fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// Whether the writer receives.
    pub const fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    /// The same flow seen from the other side.
    pub const fn reversed(self) -> Direction {
        Direction::new(self.receives(), self.sends())
    }

    /// What both allow.
    pub const fn and(self, other: Direction) -> Direction {
        Direction::new(self.sends() && other.sends(), self.receives() && other.receives())
    }

    /// The attribute's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }

    fn parse(s: &str) -> Option<Direction> {
        [
            Direction::SendRecv,
            Direction::SendOnly,
            Direction::RecvOnly,
            Direction::Inactive,
        ]
        .into_iter()
        .find(|d| d.as_str() == s)
    }
}

/// An attribute line that is not modelled, kept as it is: `crypto`, `candidate`, `fingerprint`, `ssrc`, any other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attribute {
    /// The name.
    pub name: String,
    /// What follows the colon.
    pub value: Option<String>,
}

/// Who made a description, and its version (`o=`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The user name; `-` when `None`.
    pub username: Option<String>,
    /// The session's identifier: digits.
    pub id: String,
    /// Grows by one with each change (RFC 3264 §8).
    pub version: u64,
    /// The maker's address; only for uniqueness.
    pub address: Host,
}

/// A session description.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// Who made it.
    pub origin: Origin,
    /// The name (`s=`); `-` when there is none to tell.
    pub name: String,
    /// The session's own connection address; that of each medium is in [`Media::connection`].
    pub connection: Option<Host>,
    /// Session attributes that are not modelled. The direction is folded into each medium.
    pub attributes: Vec<Attribute>,
    /// The media in order.
    pub media: Vec<Media>,
}

/// One `m=` line with what belongs to it. Values inherited from the session are filled in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Media {
    /// `audio`, `video`, `image`, `application`, `message` or another.
    pub kind: String,
    /// The port for RTP; 0 when refused or switched off.
    pub port: u16,
    /// The transport as written: `RTP/AVP`, `RTP/SAVP`, `udptl`, …
    pub proto: String,
    /// The formats in order of preference; empty unless the transport is RTP.
    pub formats: Vec<Format>,
    /// The format list as written.
    pub format_list: String,
    /// Which way media flows.
    pub direction: Direction,
    /// Where the writer wants media; `None` when no line says.
    pub connection: Option<Host>,
    /// Where the writer wants RTCP, when not at the next port (RFC 3605).
    pub rtcp: Option<(u16, Option<Host>)>,
    /// RTP and RTCP may share a port (RFC 5761).
    pub rtcp_mux: bool,
    /// Milliseconds of media wanted in a packet.
    pub ptime: Option<u32>,
    /// Milliseconds of media at most in a packet.
    pub maxptime: Option<u32>,
    /// Attributes that are not modelled.
    pub attributes: Vec<Attribute>,
}

impl Session {
    /// The first medium of a kind that is not switched off, with its place.
    pub fn first(&self, kind: &str) -> Option<(usize, &Media)> {
        self.media
            .iter()
            .enumerate()
            .find(|(_, m)| m.kind == kind && m.port != 0)
    }

    /// Makes this the successor of an earlier description of ours: same identifier; the next version when
    /// anything else differs, the same version when nothing does (RFC 3264 §8).
    pub fn follow(mut self, previous: &Session) -> Session {
        self.origin = previous.origin.clone();
        if self != *previous {
            self.origin.version = self.origin.version.saturating_add(1);
        }
        self
    }
}

impl Media {
    /// Whether the transport is some RTP.
    pub fn is_rtp(&self) -> bool {
        is_rtp(&self.proto)
    }

    /// Whether the writer has put us on hold: takes no media from us, by direction or by the address 0.0.0.0 of
    /// old (RFC 3264 §8.4).
    pub fn is_hold(&self) -> bool {
        self.port != 0 && !self.flow().receives()
    }

    /// The direction with the null address counted as one that takes nothing.
    pub fn flow(&self) -> Direction {
        // With ICE the address says nothing before the checks have been made (RFC 8839 §4.2.4).
        let null = match self
            .connection
            .as_ref()
            .filter(|_| self.attribute("ice-ufrag").is_none())
        {
            Some(Host::V4(a)) => a.is_unspecified(),
            Some(Host::V6(a)) => a.is_unspecified(),
            Some(Host::Name(_)) | None => false,
        };
        self.direction.and(Direction::new(true, !null))
    }

    /// The telephone-event format with that clock, in Hz (RFC 4733).
    pub fn telephone_event(&self, clock: u32) -> Option<&Format> {
        self.formats
            .iter()
            .find(|f| f.is_telephone_event() && f.clock == clock)
    }

    /// The value of an attribute that is not modelled; empty for one without a value.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|a| a.name == name)?;
        Some(found.value.as_deref().unwrap_or(""))
    }
}

fn is_rtp(proto: &str) -> bool {
    proto.split('/').any(|part| {
        ["AVP", "AVPF", "SAVP", "SAVPF"]
            .iter()
            .any(|p| part.eq_ignore_ascii_case(p))
    })
}

#[cfg(test)]
mod tests;
