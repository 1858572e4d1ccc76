//! DNS records as this machine needs them.

use std::net::IpAddr;

use crate::transport::Transport;

/// A question for DNS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Query {
    /// NAPTR of a domain.
    Naptr(String),
    /// SRV of a service name.
    Srv(String),
    /// IPv4 addresses of a host.
    A(String),
    /// IPv6 addresses of a host.
    Aaaa(String),
}

/// An answer. `None` for a name without such records as well as for a failure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Records {
    /// NAPTR records.
    Naptr(Vec<Naptr>),
    /// SRV records.
    Srv(Vec<Srv>),
    /// Addresses of either kind.
    Addresses(Vec<IpAddr>),
    /// Nothing.
    None,
}

/// A NAPTR record (RFC 3403).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Naptr {
    /// Lower comes first.
    pub order: u16,
    /// Lower comes first within an order.
    pub preference: u16,
    /// `s` when the replacement is an SRV name; other kinds are not used by SIP.
    pub flags: String,
    /// `SIP+D2U` and such.
    pub service: String,
    /// The name to ask next.
    pub replacement: String,
}

impl Naptr {
    /// The transport of the service; `None` when it is not one of SIP's.
    pub(super) fn transport(&self) -> Option<Transport> {
        [
            ("SIP+D2U", Transport::Udp),
            ("SIP+D2T", Transport::Tcp),
            ("SIPS+D2T", Transport::Tls),
            ("SIP+D2W", Transport::Ws),
            ("SIPS+D2W", Transport::Wss),
        ]
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(&self.service))
        .map(|(_, t)| t)
    }
}

/// An SRV record (RFC 2782).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Srv {
    /// Lower comes first.
    pub priority: u16,
    /// The share within a priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host.
    pub target: String,
}
