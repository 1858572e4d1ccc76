//! Addresses as people write them, and as libp2p does.

use std::net::{IpAddr, SocketAddr};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// The text is no address of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not host:port, nor an address as /ip4/192.0.2.1/tcp/4650/p2p/12D3KooW…")]
pub struct AddressError;

/// Where a peer may be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A name to be looked up, or an address.
    Host(String),
    /// As libp2p writes it.
    Multi(Multiaddr),
}

/// Whether a text is an address of a peer.
///
/// # Errors
/// [`AddressError`] when it is not.
pub fn check_address(text: &str) -> Result<(), AddressError> {
    parse(text).map(|_| ())
}

pub(crate) fn parse(text: &str) -> Result<Place, AddressError> {
    if text.starts_with('/') {
        return text.parse().map(Place::Multi).map_err(|_| AddressError);
    }
    let (host, port) = text.rsplit_once(':').ok_or(AddressError)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    let good = !host.is_empty() && host.chars().all(plain) && port.parse::<u16>().is_ok_and(|p| p > 0);
    if good {
        Ok(Place::Host(text.to_owned()))
    } else {
        Err(AddressError)
    }
}

pub(crate) fn tcp(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()))
}

pub(crate) fn quic(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip())
        .with(Protocol::Udp(address.port()))
        .with(Protocol::QuicV1)
}

/// The IP address at the beginning of an address.
pub(crate) fn ip(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

/// Whether an address that a peer names of itself is worth trying, when we see it at `seen`: not a wildcard,
/// and one of its own machine only when it is on ours.
pub(crate) fn is_useful(address: &Multiaddr, seen: Option<IpAddr>) -> bool {
    let Some(ip) = ip(address) else { return false };
    let near = seen.is_some_and(|seen| seen.is_loopback());
    !ip.is_unspecified() && !ip.is_multicast() && (near || !ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        for good in [
            "192.0.2.1:4650",
            "[2001:db8::1]:4650",
            "boot.example.com:4650",
            "/ip4/192.0.2.1/tcp/4650",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "host",
            "host:",
            ":1",
            "host:0",
            "ho st:1",
            "host:70000",
            "/ip4/x",
        ] {
            assert_eq!(parse(bad), Err(AddressError), "{bad}");
        }
    }

    #[test]
    fn what_is_worth_trying() {
        let (near, far) = ("127.0.0.1".parse().ok(), "192.0.2.1".parse().ok());
        let a = |text: &str| text.parse::<Multiaddr>().unwrap();
        assert!(is_useful(&a("/ip4/192.0.2.7/tcp/1"), far));
        assert!(is_useful(&a("/ip4/127.0.0.1/tcp/1"), near));
        assert!(!is_useful(&a("/ip4/127.0.0.1/tcp/1"), far));
        assert!(!is_useful(&a("/ip4/0.0.0.0/tcp/1"), near));
        assert!(!is_useful(&a("/dns/example.com/tcp/1"), far));
    }
}
