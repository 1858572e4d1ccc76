//! Offers, answers, and what they settle (RFC 3264 §5 to §7).

use std::net::IpAddr;

use super::{Capability, Direction, Format, Media, Origin, Session};
use crate::error::Error;
use crate::uri::Host;

/// Packet times we send, in milliseconds; wishes outside are not followed.
const PTIMES: std::ops::RangeInclusive<u32> = 10..=60;
/// The packet time without any wish, in milliseconds (RFC 3551 §4.2).
const DEFAULT_PTIME: u32 = 20;

/// This side's part of a description.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Local {
    /// The session's identifier: random, the same for the life of the call. Its lower 62 bits are used.
    pub id: u64,
    /// Where we want media.
    pub address: IpAddr,
    /// Our RTP port.
    pub port: u16,
    /// Our RTCP port, when it is not the next one.
    pub rtcp_port: Option<u16>,
    /// Whether RTP and RTCP may share the port.
    pub rtcp_mux: bool,
    /// What we want to do: anything but both ways is a hold or a one-way call.
    pub direction: Direction,
    /// The packet time we would like, in milliseconds.
    pub ptime: Option<u32>,
}

/// The clock at which every phone has telephone-event, in Hz: many have it at no other, whatever their codecs.
pub const EVENT_CLOCK: u32 = 8_000;

/// Whose order of formats decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Prefer {
    /// The order of our capabilities.
    #[default]
    Ours,
    /// The order of the offer.
    Theirs,
}

/// What an offer and its answer settle for the one medium we use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agreed {
    /// The place of its `m=` line.
    pub index: usize,
    /// The format to send, with the number the peer expects.
    pub format: Format,
    /// The number under which the peer sends that format to us.
    pub receive_pt: u8,
    /// Which of our capabilities the format is.
    pub capability: usize,
    /// Everything else the peer may send, with the numbers it sends under, without telephone-event.
    pub others: Vec<Format>,
    /// DTMF: the number to send with.
    pub event_pt: Option<u8>,
    /// DTMF: the number under which the peer sends.
    pub receive_event_pt: Option<u8>,
    /// The clock of DTMF, in Hz: that of the format, or [`EVENT_CLOCK`] when the two sides have only that in common.
    pub event_clock: u32,
    /// Which way media flows, seen from us.
    pub direction: Direction,
    /// The peer does not want our media: we are on hold.
    pub on_hold: bool,
    /// Where the peer wants media; `None` when it did not say or is on hold by the null address.
    pub remote: Option<Host>,
    /// The peer's RTP port.
    pub remote_port: u16,
    /// The peer's RTCP port; that of RTP when they share it.
    pub remote_rtcp_port: u16,
    /// The peer's RTCP address, when another than that of RTP.
    pub remote_rtcp: Option<Host>,
    /// Whether RTP and RTCP share the port.
    pub rtcp_mux: bool,
    /// Milliseconds of media to send in a packet.
    pub ptime: u32,
}

/// An answer: what it settles and the description to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// What is settled.
    pub agreed: Agreed,
    /// The description.
    pub session: Session,
}

/// An offer of one audio medium with every capability in order.
pub fn offer(local: &Local, capabilities: &[Capability]) -> Session {
    let mut formats: Vec<Format> = Vec::with_capacity(capabilities.len());
    for capability in capabilities {
        let free = |pt: &u8| formats.iter().all(|f| f.pt != *pt);
        let wanted = capability.static_pt.unwrap_or(capability.dynamic_pt);
        // The dynamic range is 96 to 127 (RFC 3551 §6).
        let pt = std::iter::once(wanted).chain(96..=127).find(free);
        if let Some(pt) = pt {
            formats.push(capability.as_format(pt));
        }
    }
    let mut session = local.session();
    let mut media = local.media("audio", "RTP/AVP", formats);
    media.direction = local.direction;
    media.ptime = local.ptime;
    session.media.push(media);
    session
}

/// Answers an offer: takes the first audio medium over plain RTP with a common format, as [`answer_at`] does.
///
/// # Errors
/// [`Error::Incompatible`] when nothing is in common.
pub fn answer(
    offer: &Session,
    local: &Local,
    capabilities: &[Capability],
    prefer: Prefer,
) -> Result<Answer, Error> {
    let usable = |m: &Media| m.kind == "audio" && m.port != 0 && is_plain_rtp(&m.proto);
    let places = offer.media.iter().enumerate().filter(|(_, m)| usable(m));
    places
        .map(|(index, _)| answer_at(offer, index, local, capabilities, prefer))
        .find(Result::is_ok)
        .unwrap_or(Err(Error::Incompatible))
}

/// Answers an offer: takes the medium at that place, refuses all others with port 0, keeps their number and order,
/// the offerer's payload type numbers (RFC 3264 §6) and its transport, whose further wants are the caller's.
///
/// # Errors
/// [`Error::Incompatible`] when no format is in common.
pub fn answer_at(
    offer: &Session,
    index: usize,
    local: &Local,
    capabilities: &[Capability],
    prefer: Prefer,
) -> Result<Answer, Error> {
    let theirs = offer.media.get(index).ok_or(Error::Incompatible)?;
    let (capability, format) = choose(theirs, capabilities, prefer).ok_or(Error::Incompatible)?;

    // In the clock of the format (RFC 4733 §2.1), else in the one that everybody has.
    let event = [format.clock, EVENT_CLOCK].into_iter().find_map(|clock| {
        let ours = capabilities
            .iter()
            .find(|c| c.is_telephone_event() && c.clock == clock)?;
        theirs.telephone_event(clock).map(|f| ours.as_format(f.pt))
    });
    let event_pt = event.as_ref().map(|f| f.pt);
    let ours = capabilities.get(capability).and_then(|c| c.fmtp.clone());
    let written = Format {
        fmtp: ours,
        ..format.clone()
    };
    let direction = theirs.flow().reversed().and(local.direction);

    let mut session = local.session();
    for (i, m) in offer.media.iter().enumerate() {
        if i != index {
            session.media.push(refused(m));
            continue;
        }
        let mut formats = vec![written.clone()];
        formats.extend(event.clone());
        let mut media = local.media("audio", &m.proto, formats);
        media.direction = direction;
        media.ptime = Some(packet_time(theirs, local));
        media.rtcp_mux &= m.rtcp_mux;
        session.media.push(media);
    }
    let agreed = Agreed {
        index,
        receive_pt: format.pt,
        capability,
        others: Vec::new(),
        event_pt,
        receive_event_pt: event_pt,
        event_clock: event.map_or(format.clock, |e| e.clock),
        direction,
        on_hold: theirs.is_hold(),
        ..Agreed::new(index, format, theirs, local)
    };
    Ok(Answer { agreed, session })
}

/// Reads the answer to an offer of ours.
///
/// # Errors
/// [`Error::Incompatible`] when the answer refuses the medium or names nothing we offered.
pub fn accept(
    offer: &Session,
    answer: &Session,
    local: &Local,
    capabilities: &[Capability],
) -> Result<Agreed, Error> {
    let (index, ours, theirs) = offer
        .media
        .iter()
        .zip(&answer.media)
        .enumerate()
        .find_map(|(i, (o, a))| (o.port != 0 && a.port != 0 && a.is_rtp()).then_some((i, o, a)))
        .ok_or(Error::Incompatible)?;
    // The answer's numbers are where it wants media; those of the offer are how it sends (RFC 3264 §6.1).
    let offered = |f: &Format| ours.formats.iter().find(|o| same(o, f));
    let mut common = theirs
        .formats
        .iter()
        .filter(|f| !f.is_telephone_event())
        .filter_map(|f| Some((f, offered(f)?, capabilities.iter().position(|c| c.handles(f))?)));
    let (format, sent_as, capability) = common.next().ok_or(Error::Incompatible)?;
    let others = common.map(|(_, o, _)| o.clone()).collect();
    let event = [format.clock, EVENT_CLOCK]
        .into_iter()
        .find_map(|clock| ours.telephone_event(clock).zip(theirs.telephone_event(clock)));
    let direction = theirs.flow().reversed().and(ours.direction);
    Ok(Agreed {
        receive_pt: sent_as.pt,
        capability,
        others,
        event_pt: event.map(|(_, theirs)| theirs.pt),
        receive_event_pt: event.map(|(ours, _)| ours.pt),
        event_clock: event.map_or(format.clock, |(ours, _)| ours.clock),
        direction,
        on_hold: ours.direction.sends() && theirs.is_hold(),
        ..Agreed::new(index, format.clone(), theirs, local)
    })
}

impl Agreed {
    fn new(index: usize, format: Format, theirs: &Media, local: &Local) -> Agreed {
        let rtcp_mux = theirs.rtcp_mux && local.rtcp_mux;
        let (rtcp_port, rtcp_host) = match &theirs.rtcp {
            _ if rtcp_mux => (theirs.port, None),
            Some((port, host)) => (*port, host.clone()),
            None => (theirs.port.saturating_add(1), None),
        };
        let null = theirs
            .connection
            .as_ref()
            .and_then(Host::ip)
            .is_some_and(|ip| ip.is_unspecified());
        Agreed {
            index,
            receive_pt: format.pt,
            event_clock: format.clock,
            format,
            capability: 0,
            others: Vec::new(),
            event_pt: None,
            receive_event_pt: None,
            direction: Direction::SendRecv,
            on_hold: false,
            remote: theirs.connection.clone().filter(|_| !null),
            remote_port: theirs.port,
            remote_rtcp_port: rtcp_port,
            remote_rtcp: rtcp_host,
            rtcp_mux,
            ptime: packet_time(theirs, local),
        }
    }
}

impl Local {
    fn session(&self) -> Session {
        let address = Host::from(self.address);
        // Peers read both numbers as signed; versions need room to grow.
        let id = self.id % (1 << 62);
        Session {
            origin: Origin {
                username: None,
                id: id.to_string(),
                version: id,
                address: address.clone(),
            },
            name: "-".to_owned(),
            connection: Some(address),
            attributes: Vec::new(),
            media: Vec::new(),
        }
    }

    fn media(&self, kind: &str, proto: &str, formats: Vec<Format>) -> Media {
        Media {
            kind: kind.to_owned(),
            port: self.port,
            proto: proto.to_owned(),
            formats,
            format_list: String::new(),
            direction: Direction::SendRecv,
            connection: Some(self.address.into()),
            rtcp: self.rtcp_port.map(|p| (p, None)),
            rtcp_mux: self.rtcp_mux,
            ptime: None,
            maxptime: None,
            attributes: Vec::new(),
        }
    }
}

/// RTP without encryption. Feedback profiles are answered in kind; nothing obliges us to send feedback.
fn is_plain_rtp(proto: &str) -> bool {
    proto.eq_ignore_ascii_case("RTP/AVP") || proto.eq_ignore_ascii_case("RTP/AVPF")
}

/// The capability and the offered format that win.
fn choose(theirs: &Media, capabilities: &[Capability], prefer: Prefer) -> Option<(usize, Format)> {
    let mut ours = capabilities
        .iter()
        .enumerate()
        .filter(|(_, c)| !c.is_telephone_event());
    let found = match prefer {
        Prefer::Ours => ours.find_map(|(i, c)| theirs.formats.iter().find(|f| c.handles(f)).map(|f| (i, f))),
        Prefer::Theirs => theirs
            .formats
            .iter()
            .find_map(|f| ours.clone().find(|(_, c)| c.handles(f)).map(|(i, _)| (i, f))),
    };
    found.map(|(i, f)| (i, f.clone()))
}

fn same(a: &Format, b: &Format) -> bool {
    a.name.eq_ignore_ascii_case(&b.name) && a.clock == b.clock && a.channels == b.channels
}

fn packet_time(theirs: &Media, local: &Local) -> u32 {
    let wish = theirs.ptime.filter(|ms| PTIMES.contains(ms));
    let ms = wish.or(local.ptime).unwrap_or(DEFAULT_PTIME);
    let most = theirs.maxptime.filter(|ms| PTIMES.contains(ms));
    most.map_or(ms, |most| ms.min(most))
}

/// A medium as it is refused: nothing but its first line.
fn refused(theirs: &Media) -> Media {
    Media {
        kind: theirs.kind.clone(),
        port: 0,
        proto: theirs.proto.clone(),
        formats: Vec::new(),
        format_list: theirs.format_list.clone(),
        direction: Direction::SendRecv,
        connection: None,
        rtcp: None,
        rtcp_mux: false,
        ptime: None,
        maxptime: None,
        attributes: Vec::new(),
    }
}
