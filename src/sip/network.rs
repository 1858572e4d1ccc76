//! A range of addresses: `192.0.2.0/24`, `2001:db8::/32`, or one address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A range of IP addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    ip: IpAddr,
    length: u8,
}

impl Network {
    /// Whether an address is in it. An IPv4 address written as IPv6 counts as IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let bits = |ip: IpAddr| match ip.to_canonical() {
            IpAddr::V4(a) => (32_u32, u128::from(a.to_bits())),
            IpAddr::V6(a) => (128, a.to_bits()),
        };
        let ((width, ours), (other_width, theirs)) = (bits(self.ip), bits(ip));
        let rest = width.saturating_sub(u32::from(self.length));
        width == other_width && (rest >= width || ours >> rest == theirs >> rest)
    }
}

impl From<IpAddr> for Network {
    fn from(ip: IpAddr) -> Network {
        let length = if ip.is_ipv4() { 32 } else { 128 };
        Network { ip, length }
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Network, ()> {
        let (ip, length) = match text.split_once('/') {
            Some((ip, length)) => (ip, Some(length.parse::<u8>().map_err(|_| ())?)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| ())?;
        let whole = Network::from(ip);
        let length = length.unwrap_or(whole.length);
        (length <= whole.length)
            .then_some(Network { ip, length })
            .ok_or(())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Network::from(self.ip) {
            return write!(f, "{}", self.ip);
        }
        write!(f, "{}/{}", self.ip, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        let net = |s: &str| s.parse::<Network>();
        let ip = |s: &str| s.parse::<IpAddr>().unwrap();
        assert!(net("192.0.2.0/24").unwrap().contains(ip("192.0.2.255")));
        assert!(!net("192.0.2.0/24").unwrap().contains(ip("192.0.3.0")));
        assert!(net("192.0.2.7").unwrap().contains(ip("::ffff:192.0.2.7")));
        assert!(net("0.0.0.0/0").unwrap().contains(ip("203.0.113.9")));
        assert!(!net("0.0.0.0/0").unwrap().contains(ip("2001:db8::1")));
        assert!(net("2001:db8::/32").unwrap().contains(ip("2001:db8:ffff::1")));
        assert!(!net("2001:db8::/32").unwrap().contains(ip("2001:db9::1")));
        assert!(net("::/0").unwrap().contains(ip("2001:db9::1")));
        for bad in [
            "",
            "192.0.2.0/33",
            "example.com",
            "192.0.2.0/",
            "::/129",
            "192.0.2.0/-1",
        ] {
            assert!(net(bad).is_err(), "{bad}");
        }
        for shown in ["192.0.2.0/24", "192.0.2.7", "2001:db8::/32"] {
            assert_eq!(net(shown).unwrap().to_string(), shown);
        }
    }
}
