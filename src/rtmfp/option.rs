//! Options and option lists (RFC 7016 §2.1.3, §2.1.4), and addresses (§2.1.5).

use std::net::{IpAddr, SocketAddr};

use crate::vlu::{self, Cursor};

/// One element of a sequence of options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A type and its value.
    Option {
        /// The type; what it means depends on where the option stands.
        kind: u64,
        /// The value.
        value: &'a [u8],
    },
    /// The zero-length end mark of an option list.
    Marker,
}

/// Reads the next element; `None` at the end or when it is malformed.
pub fn next<'a>(cursor: &mut Cursor<'a>) -> Option<Item<'a>> {
    let bytes = cursor.bytes()?;
    if bytes.is_empty() {
        return Some(Item::Marker);
    }
    let mut inner = Cursor(bytes);
    let kind = inner.vlu()?;
    Some(Item::Option {
        kind,
        value: inner.rest(),
    })
}

/// The options of a field that they fill to its end (certificate, discriminator, keying component); markers are
/// passed over. `None` as an item says that the field is malformed.
pub fn all(field: &[u8]) -> impl Iterator<Item = Option<(u64, &[u8])>> {
    let mut cursor = Cursor(field);
    std::iter::from_fn(move || {
        loop {
            if cursor.is_empty() {
                return None;
            }
            match next(&mut cursor) {
                Some(Item::Marker) => {}
                Some(Item::Option { kind, value }) => return Some(Some((kind, value))),
                None => {
                    cursor.rest();
                    return Some(None);
                }
            }
        }
    })
}

/// Appends an option.
pub fn put(kind: u64, value: &[u8], out: &mut Vec<u8>) {
    vlu::put((vlu::len(kind) + value.len()) as u64, out);
    vlu::put(kind, out);
    out.extend_from_slice(value);
}

/// Where an address comes from (RFC 7016 §2.1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Unknown or other.
    Unknown,
    /// An interface address, reported by its owner.
    Local,
    /// The observed source of a packet.
    Observed,
    /// A relay, proxy or introducer.
    Relay,
}

/// An address and its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub addr: SocketAddr,
    /// Where it comes from.
    pub origin: Origin,
}

impl Address {
    /// Reads an address.
    pub fn read(cursor: &mut Cursor<'_>) -> Option<Address> {
        let flags = cursor.u8()?;
        let ip = if flags & 0x80 == 0 {
            IpAddr::from(*cursor.take(4)?.first_chunk::<4>()?)
        } else {
            IpAddr::from(*cursor.take(16)?.first_chunk::<16>()?)
        };
        let origin = match flags & 3 {
            0 => Origin::Unknown,
            1 => Origin::Local,
            2 => Origin::Observed,
            _ => Origin::Relay,
        };
        Some(Address {
            addr: SocketAddr::new(ip, cursor.u16()?),
            origin,
        })
    }

    /// Appends it.
    pub fn put(&self, out: &mut Vec<u8>) {
        let origin = self.origin as u8;
        match self.addr.ip() {
            IpAddr::V4(ip) => {
                out.push(origin);
                out.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                out.push(origin | 0x80);
                out.extend_from_slice(&ip.octets());
            }
        }
        out.extend_from_slice(&self.addr.port().to_be_bytes());
    }
}
