//! Bounds guessing of passwords by source address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use base::Time;

/// Over which failures are counted, and how long a source is ignored.
const WINDOW: Duration = Duration::from_secs(60);

/// Failed authentications by source. When full, the entry whose window began first goes.
#[derive(Debug)]
pub(super) struct Guard {
    seen: BTreeMap<IpAddr, (Time, u32)>,
    room: usize,
    allowed: u32,
}

impl Guard {
    pub(super) fn new(room: usize, allowed: u32) -> Guard {
        Guard {
            seen: BTreeMap::new(),
            room,
            allowed,
        }
    }

    /// An authentication failed.
    pub(super) fn failed(&mut self, now: Time, ip: IpAddr) {
        if !self.seen.contains_key(&ip) && self.seen.len() >= self.room {
            let oldest = self.seen.iter().min_by_key(|(_, (since, _))| *since);
            if let Some(oldest) = oldest.map(|(ip, _)| *ip) {
                self.seen.remove(&oldest);
            }
        }
        let entry = self.seen.entry(ip).or_insert((now, 0));
        if now.since(entry.0) > WINDOW {
            *entry = (now, 0);
        }
        entry.1 = entry.1.saturating_add(1);
    }

    /// Whether requests with credentials from there are to be ignored for now.
    pub(super) fn is_blocked(&self, now: Time, ip: IpAddr) -> bool {
        self.seen
            .get(&ip)
            .is_some_and(|(since, count)| *count >= self.allowed && now.since(*since) <= WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_after_so_many_and_forgives_after_a_minute() {
        let mut g = Guard::new(2, 3);
        let ip: IpAddr = "192.0.2.1".parse().unwrap();
        let t = Time::from_secs;
        for i in 0..3 {
            assert!(!g.is_blocked(t(i), ip));
            g.failed(t(i), ip);
        }
        assert!(g.is_blocked(t(30), ip));
        assert!(!g.is_blocked(t(61), ip));
        g.failed(t(61), ip);
        assert!(!g.is_blocked(t(62), ip));
    }

    #[test]
    fn the_table_is_bounded_and_the_oldest_goes() {
        let mut g = Guard::new(2, 1);
        let ips: Vec<IpAddr> = (1..=3).map(|i| IpAddr::from([192, 0, 2, i])).collect();
        for (i, ip) in ips.iter().enumerate() {
            g.failed(Time::from_secs(i as u64), *ip);
        }
        let now = Time::from_secs(5);
        assert_eq!(
            ips.iter().map(|ip| g.is_blocked(now, *ip)).collect::<Vec<_>>(),
            [false, true, true]
        );
    }
}
