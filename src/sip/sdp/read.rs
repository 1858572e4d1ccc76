//! From lines to meaning.

use std::borrow::Cow;

use super::{Attribute, Direction, Format, Media, Origin, Session, is_rtp};
use crate::error::Error;
use crate::parse::number;
use crate::uri::Host;

/// The most media a description may have.
const MAX_MEDIA: usize = 128;
/// The most formats read of one medium: all numbers there are.
const MAX_FORMATS: usize = 128;

impl Session {
    /// Reads a description. Bytes that are not UTF-8 are read as Latin-1; unknown lines are skipped, unknown
    /// attributes kept.
    ///
    /// # Errors
    /// [`Error::Sdp`] with the place; [`Error::TooManyMedia`].
    pub fn parse(bytes: &[u8]) -> Result<Session, Error> {
        let text = match std::str::from_utf8(bytes) {
            Ok(s) => Cow::Borrowed(s),
            Err(_) => Cow::Owned(bytes.iter().map(|&b| char::from(b)).collect()),
        };
        // An empty line at the end is a common slip.
        let text = text.trim_end_matches(['\r', '\n']);
        let raw = sdp_types::Session::parse(text.as_bytes()).map_err(|e| Error::Sdp(e.to_string()))?;
        if raw.medias.len() > MAX_MEDIA {
            return Err(Error::TooManyMedia(MAX_MEDIA));
        }
        let connection = raw.connection.as_ref().and_then(address);
        let mut direction = Direction::default();
        let mut attributes = Vec::new();
        for a in &raw.attributes {
            match Direction::parse(&a.attribute) {
                Some(d) => direction = d,
                None => attributes.push(keep(a)),
            }
        }
        let media = raw
            .medias
            .iter()
            .map(|m| read_media(m, connection.as_ref(), direction))
            .collect();
        Ok(Session {
            origin: Origin {
                username: raw.origin.username,
                id: raw.origin.sess_id,
                version: raw.origin.sess_version,
                address: plain_address(&raw.origin.unicast_address)
                    .unwrap_or(Host::Name(raw.origin.unicast_address)),
            },
            name: raw.session_name,
            connection,
            attributes,
            media,
        })
    }
}

fn keep(a: &sdp_types::Attribute) -> Attribute {
    Attribute {
        name: a.attribute.clone(),
        value: a.value.clone(),
    }
}

/// An address without brackets, or a host name.
fn plain_address(s: &str) -> Option<Host> {
    match s.parse() {
        Ok(v6) => Some(Host::V6(v6)),
        Err(_) => Host::parse(s),
    }
}

fn address(c: &sdp_types::Connection) -> Option<Host> {
    // A multicast TTL may follow.
    plain_address(c.connection_address.split('/').next()?)
}

fn read_media(raw: &sdp_types::Media, session: Option<&Host>, direction: Direction) -> Media {
    let mut media = Media {
        kind: raw.media.to_ascii_lowercase(),
        port: raw.port,
        proto: raw.proto.clone(),
        formats: Vec::new(),
        format_list: raw.fmt.clone(),
        direction,
        connection: raw
            .connections
            .first()
            .and_then(address)
            .or_else(|| session.cloned()),
        rtcp: None,
        rtcp_mux: false,
        ptime: None,
        maxptime: None,
        attributes: Vec::new(),
    };
    if is_rtp(&raw.proto) {
        let numbers = raw.fmt.split_ascii_whitespace().take(MAX_FORMATS);
        media.formats = numbers.filter_map(unexplained).collect();
    }
    for a in &raw.attributes {
        let value = a.value.as_deref().unwrap_or("").trim();
        let known = match a.attribute.as_str() {
            "rtpmap" => explain(&mut media.formats, value).is_some(),
            "fmtp" => parameters(&mut media.formats, value).is_some(),
            "rtcp" => fill(&mut media.rtcp, rtcp(value)),
            "rtcp-mux" => {
                media.rtcp_mux = true;
                true
            }
            "ptime" => fill(&mut media.ptime, milliseconds(value)),
            "maxptime" => fill(&mut media.maxptime, milliseconds(value)),
            name => match Direction::parse(name) {
                Some(d) => {
                    media.direction = d;
                    true
                }
                None => false,
            },
        };
        if !known {
            media.attributes.push(keep(a));
        }
    }
    media
}

/// Takes a value that could be read; says whether it could.
fn fill<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    let read = value.is_some();
    if read {
        *slot = value;
    }
    read
}

/// The format of a number before its rtpmap is read.
fn unexplained(s: &str) -> Option<Format> {
    let pt = number(s).filter(|pt| *pt < 128)?;
    Some(Format::of_static(pt).unwrap_or(Format {
        pt,
        name: String::new(),
        clock: 0,
        channels: 1,
        fmtp: None,
    }))
}

/// Reads `96 opus/48000/2`.
fn explain(formats: &mut [Format], value: &str) -> Option<()> {
    let (pt, encoding) = value.split_once([' ', '\t'])?;
    let pt: u8 = number(pt)?;
    let format = formats.iter_mut().find(|f| f.pt == pt)?;
    let mut parts = encoding.trim().split('/');
    let name = parts.next().filter(|n| !n.is_empty())?;
    let clock = number(parts.next()?.trim())?;
    format.name = name.to_owned();
    format.clock = clock;
    format.channels = parts.next().and_then(|c| number(c.trim())).unwrap_or(1);
    Some(())
}

fn parameters(formats: &mut [Format], value: &str) -> Option<()> {
    let (pt, text) = value.split_once([' ', '\t'])?;
    let pt: u8 = number(pt)?;
    let format = formats.iter_mut().find(|f| f.pt == pt)?;
    format.fmtp = Some(text.trim().to_owned());
    Some(())
}

/// Reads `53020` or `53020 IN IP4 126.16.64.4`.
fn rtcp(value: &str) -> Option<(u16, Option<Host>)> {
    let mut words = value.split_ascii_whitespace();
    let port = number(words.next()?)?;
    Some((port, words.nth(2).and_then(plain_address)))
}

/// Whole milliseconds from 1 to 10000; some write `20.0`.
fn milliseconds(value: &str) -> Option<u32> {
    let whole = value.split('.').next()?;
    number(whole).filter(|ms| (1..=10_000).contains(ms))
}
