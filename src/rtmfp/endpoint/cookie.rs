//! Cookies (§3.5.1.1.2): proof, kept by the initiator, that it receives at its address. No state of ours.

use std::net::SocketAddr;

use base::Time;
use subtle::ConstantTimeEq;

use crate::params;
use crate::profile::hmac;

/// What a cookie turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Ours, of this address and fresh.
    Good,
    /// Ours and fresh, but of another address.
    Moved,
    /// Not ours, or too old.
    Foreign,
}

/// Seconds, their hash, and the hash of seconds and address: 64 bytes, for some clients take no other length.
const TIME: usize = 4;
const MINE: usize = 28;

fn parts(secret: &[u8; 32], seconds: [u8; TIME], address: SocketAddr) -> ([u8; 32], [u8; 32]) {
    let mine = hmac(secret, &[b"time", &seconds]);
    let whole = hmac(secret, &[b"address", &seconds, address.to_string().as_bytes()]);
    (mine, whole)
}

/// A cookie for an address.
pub(super) fn make(secret: &[u8; 32], now: Time, address: SocketAddr) -> Vec<u8> {
    let seconds = ((now.as_millis() / 1000) as u32).to_be_bytes();
    let (mine, whole) = parts(secret, seconds, address);
    let mut out = seconds.to_vec();
    out.extend_from_slice(mine.get(..MINE).unwrap_or(&mine));
    out.extend_from_slice(&whole);
    out
}

/// Judges a cookie that came from an address.
pub(super) fn check(secret: &[u8; 32], now: Time, address: SocketAddr, cookie: &[u8]) -> Verdict {
    let Some((seconds, rest)) = cookie.split_first_chunk::<TIME>() else {
        return Verdict::Foreign;
    };
    let Some((mine, whole)) = rest.split_at_checked(MINE) else {
        return Verdict::Foreign;
    };
    let made = Time::from_secs(u64::from(u32::from_be_bytes(*seconds)));
    let expected = parts(secret, *seconds, address);
    let is_mine = bool::from(expected.0.get(..MINE).unwrap_or(&[]).ct_eq(mine));
    if !is_mine || made > now || now.since(made) > params::COOKIE_LIFETIME {
        return Verdict::Foreign;
    }
    if bool::from(expected.1[..].ct_eq(whole)) {
        Verdict::Good
    } else {
        Verdict::Moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_good_for_its_address_and_its_time_only() {
        let secret = [5; 32];
        let here: SocketAddr = "192.0.2.1:1000".parse().unwrap();
        let there: SocketAddr = "192.0.2.1:1001".parse().unwrap();
        let now = Time::from_secs(1000);
        let cookie = make(&secret, now, here);
        assert_eq!(cookie.len(), 64);
        assert_eq!(check(&secret, now, here, &cookie), Verdict::Good);
        assert_eq!(
            check(&secret, Time::from_secs(1095), here, &cookie),
            Verdict::Good
        );
        assert_eq!(
            check(&secret, Time::from_secs(1101), here, &cookie),
            Verdict::Foreign
        );
        assert_eq!(
            check(&secret, Time::from_secs(999), here, &cookie),
            Verdict::Foreign
        );
        assert_eq!(check(&secret, now, there, &cookie), Verdict::Moved);
        assert_eq!(check(&[6; 32], now, here, &cookie), Verdict::Foreign);
        assert_eq!(check(&secret, now, here, &cookie[..63]), Verdict::Moved);
        assert_eq!(check(&secret, now, here, &[]), Verdict::Foreign);
        for at in 0..32 {
            let mut bad = cookie.clone();
            bad[at] ^= 1;
            assert_eq!(check(&secret, now, here, &bad), Verdict::Foreign);
        }
    }
}
