//! Hosts.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A host in a URI or Via.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Host {
    /// A domain name, in the case it was written.
    Name(String),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, in brackets on the wire.
    V6(Ipv6Addr),
}

impl Host {
    /// Reads a host: a name, an IPv4 address, or an IPv6 address in brackets.
    pub fn parse(s: &str) -> Option<Host> {
        if let Some(inner) = s.strip_prefix('[') {
            let address = inner.strip_suffix(']')?;
            // The grammar of RFC 3261 lets a third colon stand before an IPv4 tail (RFC 5118 §4.10).
            let address = match address.contains(":::") {
                true => Cow::Owned(address.replacen(":::", "::", 1)),
                false => Cow::Borrowed(address),
            };
            return address.parse().ok().map(Host::V6);
        }
        if let Ok(v4) = s.parse() {
            return Some(Host::V4(v4));
        }
        // Underscores are no part of the grammar but of many internal names.
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        let good = !s.is_empty() && s.len() <= 255 && s.bytes().all(plain) && !s.starts_with('.');
        good.then(|| Host::Name(s.to_owned()))
    }

    /// Splits `host[:port]`. An empty port counts as none.
    pub fn parse_with_port(s: &str) -> Option<(Host, Option<u16>)> {
        let end = match s.strip_prefix('[') {
            Some(inner) => inner.find(']')? + 2,
            None => s.find(':').unwrap_or(s.len()),
        };
        let (host, rest) = s.split_at_checked(end)?;
        let host = Host::parse(host.trim_end())?;
        let port = match rest.trim().strip_prefix(':') {
            None if rest.trim().is_empty() => None,
            None => return None,
            Some(p) if p.trim().is_empty() => None,
            Some(p) => Some(crate::parse::number(p.trim())?),
        };
        Some((host, port))
    }

    /// The address, when it is numeric.
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Host::Name(_) => None,
            Host::V4(a) => Some(IpAddr::V4(*a)),
            Host::V6(a) => Some(IpAddr::V6(*a)),
        }
    }

    /// Same host: names without case, addresses by value.
    pub fn matches(&self, other: &Host) -> bool {
        match (self, other) {
            (Host::Name(a), Host::Name(b)) => a.eq_ignore_ascii_case(b),
            (a, b) => a == b,
        }
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Host {
        match ip {
            IpAddr::V4(a) => Host::V4(a),
            IpAddr::V6(a) => Host::V6(a),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(n) => f.write_str(n),
            Host::V4(a) => write!(f, "{a}"),
            Host::V6(a) => write!(f, "[{a}]"),
        }
    }
}
