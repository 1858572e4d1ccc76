//! Destinations that did not answer: for a while they are tried last, and not for long (RFC 3263 §4.3).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use base::Time;

use crate::transport::Transport;

/// How long a destination that failed counts as dead.
const DEAD: Duration = Duration::from_secs(60);
/// The longest Retry-After that is heeded.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);
/// Destinations remembered; the one that is over soonest makes room.
const MAX: usize = 256;

/// The dead, with the end of their time.
#[derive(Debug, Default)]
pub(super) struct Dead(BTreeMap<(Transport, SocketAddr), Time>);

impl Dead {
    /// It did not answer, or could not be reached.
    pub(super) fn failed(&mut self, now: Time, transport: Transport, addr: SocketAddr) {
        self.until(now + DEAD, transport, addr);
    }

    /// It asked not to be asked for so many seconds (RFC 3261 §21.5.4).
    pub(super) fn rests(&mut self, now: Time, transport: Transport, addr: SocketAddr, seconds: u32) {
        let rest = Duration::from_secs(seconds.into()).min(MAX_RETRY_AFTER);
        self.until(now + rest, transport, addr);
    }

    fn until(&mut self, end: Time, transport: Transport, addr: SocketAddr) {
        if self.0.len() >= MAX
            && !self.0.contains_key(&(transport, addr))
            && let Some(first) = self.0.iter().min_by_key(|(_, end)| **end).map(|(key, _)| *key)
        {
            self.0.remove(&first);
        }
        self.0.insert((transport, addr), end);
    }

    /// It has answered.
    pub(super) fn answered(&mut self, transport: Transport, addr: SocketAddr) {
        self.0.remove(&(transport, addr));
    }

    /// Whether it counts as dead.
    pub(super) fn is(&self, now: Time, transport: Transport, addr: SocketAddr) -> bool {
        self.0.get(&(transport, addr)).is_some_and(|end| *end > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn the_dead_are_so_for_a_while_or_until_they_speak() {
        let mut dead = Dead::default();
        let now = Time::from_secs(1);
        dead.failed(now, Transport::Udp, at(1));
        assert!(dead.is(now, Transport::Udp, at(1)));
        assert!(!dead.is(now, Transport::Tcp, at(1)));
        assert!(!dead.is(now + DEAD, Transport::Udp, at(1)));
        dead.answered(Transport::Udp, at(1));
        assert!(!dead.is(now, Transport::Udp, at(1)));
        dead.rests(now, Transport::Udp, at(2), 1_000_000);
        assert!(dead.is(now + Duration::from_secs(299), Transport::Udp, at(2)));
        assert!(!dead.is(now + Duration::from_secs(300), Transport::Udp, at(2)));
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut dead = Dead::default();
        for port in 0..1_000 {
            dead.failed(Time::from_millis(port.into()), Transport::Udp, at(port));
        }
        assert_eq!(dead.0.len(), MAX);
        assert!(dead.is(Time::from_secs(1), Transport::Udp, at(999)));
        assert!(!dead.is(Time::from_secs(1), Transport::Udp, at(0)));
    }
}
