//! Via (RFC 3261 §20.42, RFC 3581).

use std::fmt;
use std::net::IpAddr;

use crate::parse::{is_token, number, trim};
use crate::uri::{Host, Params};

/// One hop a request took.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Via {
    /// The transport as written: `UDP`, `TCP`, `TLS`, `WS`, or any token.
    pub transport: String,
    /// The host the sender names.
    pub host: Host,
    /// The port the sender names.
    pub port: Option<u16>,
    /// Parameters.
    pub params: Params,
}

impl Via {
    /// A Via with a branch.
    pub fn new(transport: &str, host: Host, port: Option<u16>, branch: &str) -> Via {
        let mut params = Params::new();
        params.set("branch", Some(branch));
        Via {
            transport: transport.to_owned(),
            host,
            port,
            params,
        }
    }

    /// Reads one Via value. `None` when it is malformed. The version may be any: the answer to a request of
    /// another version needs its Via.
    pub fn parse(s: &str) -> Option<Via> {
        let (name, rest) = s.split_once('/')?;
        let (version, rest) = rest.split_once('/')?;
        if !trim(name).eq_ignore_ascii_case("SIP") || !is_token(trim(version)) {
            return None;
        }
        let rest = trim(rest);
        let (transport, rest) = rest.split_at_checked(rest.find([' ', '\t'])?)?;
        if !is_token(transport) {
            return None;
        }
        let rest = trim(rest);
        let (sent_by, params) = rest.split_at(rest.find(';').unwrap_or(rest.len()));
        let (host, port) = Host::parse_with_port(trim(sent_by))?;
        Some(Via {
            transport: transport.to_owned(),
            host,
            port,
            params: Params::parse(params)?,
        })
    }

    /// The branch; `None` when absent or empty.
    pub fn branch(&self) -> Option<&str> {
        self.params.get("branch").filter(|b| !b.is_empty())
    }

    /// The address the request came from, as the server noted it. Brackets around IPv6 are optional
    /// (RFC 5118 §4.5).
    pub fn received(&self) -> Option<IpAddr> {
        let value = self.params.get("received")?;
        value.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// `None` when absent, `Some(None)` when asked for, `Some(Some(port))` when filled in (RFC 3581).
    pub fn rport(&self) -> Option<Option<u16>> {
        self.params.get("rport").map(number)
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)
    }
}
