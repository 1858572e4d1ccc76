//! From meaning to lines.

use sdp_types::{AddrType, NetType};

use super::{Attribute, Direction, Media, Session};
use crate::uri::Host;

impl Session {
    /// The bytes on the wire. Written at session level when it serves every medium: the connection address.
    /// A direction is written for each medium unless it is the default.
    pub fn to_bytes(&self) -> Vec<u8> {
        let origin = &self.origin;
        let (addrtype, address) = plain(&origin.address);
        let mut raw = sdp_types::Session::new(
            sdp_types::Origin {
                username: origin.username.clone(),
                sess_id: origin.id.clone(),
                sess_version: origin.version,
                nettype: NetType::In,
                addrtype,
                unicast_address: address,
            },
            if self.name.is_empty() { "-" } else { &self.name },
        );
        raw.connection = self.connection.as_ref().map(connection);
        raw.add_time(sdp_types::Time::new(0, 0));
        raw.attributes = self.attributes.iter().map(attribute).collect();
        for media in &self.media {
            raw.add_media(self.write_media(media));
        }
        let mut out = Vec::with_capacity(512);
        // Writing to a Vec cannot fail.
        let _ = raw.write(&mut out);
        out
    }

    fn write_media(&self, media: &Media) -> sdp_types::Media {
        let list = if media.formats.is_empty() {
            media.format_list.clone()
        } else {
            let numbers: Vec<_> = media.formats.iter().map(|f| f.pt.to_string()).collect();
            numbers.join(" ")
        };
        let mut connections = Vec::new();
        if media.connection != self.connection {
            connections.extend(media.connection.as_ref().map(connection));
        }
        sdp_types::Media {
            media: media.kind.clone(),
            port: media.port,
            num_ports: None,
            proto: media.proto.clone(),
            fmt: list,
            media_title: None,
            connections,
            bandwidths: Vec::new(),
            key: None,
            attributes: media_attributes(media),
        }
    }
}

fn media_attributes(media: &Media) -> Vec<sdp_types::Attribute> {
    let mut out = Vec::new();
    let mut add = |name: &str, value: String| {
        out.push(sdp_types::Attribute {
            attribute: name.to_owned(),
            value: (!value.is_empty()).then_some(value),
        });
    };
    for f in media.formats.iter().filter(|f| !f.name.is_empty()) {
        let channels = match f.channels {
            1 => String::new(),
            n => format!("/{n}"),
        };
        add("rtpmap", format!("{} {}/{}{channels}", f.pt, f.name, f.clock));
        if let Some(fmtp) = &f.fmtp {
            add("fmtp", format!("{} {fmtp}", f.pt));
        }
    }
    if let Some(ms) = media.ptime {
        add("ptime", ms.to_string());
    }
    if let Some(ms) = media.maxptime {
        add("maxptime", ms.to_string());
    }
    if let Some((port, host)) = &media.rtcp {
        let host = host.as_ref().map(|h| {
            let (kind, address) = plain(h);
            format!(" IN {} {address}", kind.as_str())
        });
        add("rtcp", format!("{port}{}", host.unwrap_or_default()));
    }
    if media.rtcp_mux {
        add("rtcp-mux", String::new());
    }
    // A refused medium has no direction.
    if media.port != 0 || media.direction != Direction::SendRecv {
        add(media.direction.as_str(), String::new());
    }
    out.extend(media.attributes.iter().map(attribute));
    out
}

fn attribute(a: &Attribute) -> sdp_types::Attribute {
    sdp_types::Attribute {
        attribute: a.name.clone(),
        value: a.value.clone(),
    }
}

fn connection(host: &Host) -> sdp_types::Connection {
    let (addrtype, address) = plain(host);
    sdp_types::Connection::new(NetType::In, addrtype, address)
}

/// An address without brackets and its type. A name's type is a guess: IP4 is what everybody reads.
fn plain(host: &Host) -> (AddrType, String) {
    match host {
        Host::Name(n) => (AddrType::Ip4, n.clone()),
        Host::V4(a) => (AddrType::Ip4, a.to_string()),
        Host::V6(a) => (AddrType::Ip6, a.to_string()),
    }
}
