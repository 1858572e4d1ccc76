//! Wrong logins by source address: who tries too many has to wait, longer each time.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use base::Time;

/// Addresses remembered; the one that failed longest ago goes when full.
const ROOM: usize = 4_096;
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(3_600);

#[derive(Clone, Copy, Debug)]
struct Offender {
    failures: u32,
    /// How often it had to wait before.
    waits: u32,
    last: Time,
    until: Option<Time>,
}

/// Remembers failed logins.
#[derive(Debug)]
pub(super) struct Guard {
    by: BTreeMap<IpAddr, Offender>,
    failures: u32,
    wait: Duration,
}

impl Guard {
    /// After so many `failures` an address has to `wait`.
    pub(super) fn new(failures: u32, wait: Duration) -> Guard {
        Guard {
            by: BTreeMap::new(),
            failures,
            wait,
        }
    }

    /// How long an address has still to wait.
    pub(super) fn wait(&mut self, now: Time, from: IpAddr) -> Option<Duration> {
        let key = network(from);
        let offender = self.by.get_mut(&key)?;
        match offender.until {
            Some(until) if until > now => Some(until.since(now)),
            Some(_) => {
                offender.until = None;
                None
            }
            None => None,
        }
    }

    /// Who has to wait, and until when.
    pub(super) fn waiting(&self, now: Time) -> impl Iterator<Item = (IpAddr, Time, u32)> + '_ {
        let until = move |o: &Offender| o.until.filter(|until| *until > now);
        self.by
            .iter()
            .filter_map(move |(ip, o)| Some((*ip, until(o)?, o.waits)))
    }

    /// A login from there was wrong; true when the address has to wait from now on.
    pub(super) fn failed(&mut self, now: Time, from: IpAddr) -> bool {
        let key = network(from);
        if self.by.len() >= ROOM
            && !self.by.contains_key(&key)
            && let Some(oldest) = self.by.iter().min_by_key(|(_, o)| o.last).map(|(ip, _)| *ip)
        {
            self.by.remove(&oldest);
        }
        let offender = self.by.entry(key).or_insert(Offender {
            failures: 0,
            waits: 0,
            last: now,
            until: None,
        });
        // Old sins are forgotten.
        if now.since(offender.last) > LONGEST {
            offender.failures = 0;
            offender.waits = 0;
        }
        offender.last = now;
        offender.failures += 1;
        if offender.failures < self.failures {
            return false;
        }
        let wait = self.wait.saturating_mul(1 << offender.waits.min(16)).min(LONGEST);
        offender.failures = 0;
        offender.waits = offender.waits.saturating_add(1);
        offender.until = Some(now + wait);
        true
    }

    /// A login from there was good.
    pub(super) fn succeeded(&mut self, from: IpAddr) {
        self.by.remove(&network(from));
    }
}

/// What one party has: an IPv4 address, or 64 bits of an IPv6 one.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_of_wrong_logins_waits_twice_as_long() {
        let mut guard = Guard::new(3, Duration::from_secs(10));
        let from = IpAddr::from([192, 0, 2, 7]);
        let mut now = Time::from_secs(100);
        for wait in [10, 20, 40] {
            assert_eq!(guard.wait(now, from), None);
            assert!(!guard.failed(now, from) && !guard.failed(now, from));
            assert!(guard.failed(now, from));
            assert_eq!(guard.wait(now, from), Some(Duration::from_secs(wait)));
            assert_eq!(guard.wait(now, IpAddr::from([192, 0, 2, 8])), None);
            now += Duration::from_secs(wait);
        }
        guard.failed(now, from);
        guard.succeeded(from);
        assert!(!guard.failed(now, from));
    }

    #[test]
    fn a_neighbour_in_the_same_ipv6_network_counts_and_memory_is_bounded() {
        let mut guard = Guard::new(1, Duration::from_secs(10));
        let now = Time::from_secs(100);
        assert!(guard.failed(now, "2001:db8::1".parse().unwrap()));
        assert!(guard.wait(now, "2001:db8::2".parse().unwrap()).is_some());
        for n in 0..5_000u32 {
            guard.failed(now + Duration::from_millis(1), IpAddr::from(n.to_be_bytes()));
        }
        assert_eq!(guard.by.len(), ROOM);
        assert!(guard.wait(now, "2001:db8::2".parse().unwrap()).is_none());
    }
}
