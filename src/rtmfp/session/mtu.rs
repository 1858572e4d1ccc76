//! How large a datagram the path takes (§3.5.4.3): a session begins with what every path takes, and asks by a padded
//! ping whether the full size passes too.

use std::time::Duration;

use base::Time;

/// UDP payload that every path takes: 576 bytes less the headers of IPv4 and UDP.
const SURE: usize = 548;
/// Probes sent before the path is taken for a narrow one.
const TRIES: u32 = 4;
/// A narrow path is asked again after so long: routes change.
const AGAIN: Duration = Duration::from_secs(300);
/// Retransmission timeouts in a row after which the full size is no longer trusted.
const TIMEOUTS: u32 = 3;

/// What is known of the path's MTU.
#[derive(Debug)]
pub(super) struct Mtu {
    /// Datagrams of the full size arrive.
    full: bool,
    next: Option<Time>,
    tries: u32,
    /// The message of the ping that is on its way.
    asked: Option<[u8; 9]>,
    timeouts: u32,
}

impl Mtu {
    /// Of a new path. The first probe goes out at `first`; `None`: when [`Mtu::start`] says so.
    pub(super) fn new(first: Option<Time>) -> Mtu {
        Mtu {
            full: false,
            next: first,
            tries: 0,
            asked: None,
            timeouts: 0,
        }
    }

    /// The UDP payload to keep to when `most` is the largest wanted.
    pub(super) fn limit(&self, most: usize) -> usize {
        if self.full { most } else { most.min(SURE) }
    }

    /// The peer can read what we send.
    pub(super) fn start(&mut self, now: Time) {
        if !self.full && self.next.is_none() {
            self.next = Some(now);
        }
    }

    /// When a probe is due.
    pub(super) fn due(&self) -> Option<Time> {
        self.next
    }

    /// The message of the probe that is due, after which the next one is later.
    pub(super) fn probe(&mut self, now: Time, erto: Duration) -> Option<[u8; 9]> {
        self.next.filter(|at| *at <= now)?;
        self.tries += 1;
        self.next = Some(now + if self.tries < TRIES { erto } else { AGAIN });
        if self.tries >= TRIES {
            self.tries = 0;
        }
        let mut message = [b'P'; 9];
        for (to, byte) in message.iter_mut().skip(1).zip(now.as_micros().to_be_bytes()) {
            *to = byte;
        }
        self.asked = Some(message);
        Some(message)
    }

    /// A ping was answered. Some peers answer every ping with an empty message; `alone` is whether no other ping can
    /// be meant.
    pub(super) fn answered(&mut self, message: &[u8], alone: bool) {
        let Some(asked) = &self.asked else { return };
        if message == asked || (message.is_empty() && alone) {
            self.full = true;
            self.asked = None;
            self.next = None;
            self.tries = 0;
        }
    }

    /// Data were acknowledged.
    pub(super) fn on_ack(&mut self) {
        self.timeouts = 0;
    }

    /// Nothing of what was on its way arrived. True when the full size is in doubt from now on.
    pub(super) fn on_timeout(&mut self, now: Time) -> bool {
        self.timeouts += 1;
        let doubt = self.full && self.timeouts >= TIMEOUTS;
        if doubt {
            *self = Mtu::new(Some(now));
        }
        doubt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERTO: Duration = Duration::from_millis(500);

    #[test]
    fn the_full_size_is_used_once_it_was_answered_and_until_it_is_in_doubt() {
        let now = Time::from_secs(9);
        let mut mtu = Mtu::new(None);
        assert_eq!(mtu.due(), None);
        mtu.start(now);
        assert_eq!(mtu.limit(1200), SURE);
        assert_eq!(mtu.limit(400), 400);
        let asked = mtu.probe(now, ERTO).unwrap();
        assert_eq!(mtu.probe(now, ERTO), None);
        mtu.answered(b"other", true);
        mtu.answered(b"", false);
        assert_eq!(mtu.limit(1200), SURE);
        mtu.answered(&asked, false);
        assert_eq!((mtu.limit(1200), mtu.due()), (1200, None));
        assert!(!mtu.on_timeout(now) && !mtu.on_timeout(now));
        mtu.on_ack();
        assert!(!mtu.on_timeout(now) && !mtu.on_timeout(now) && mtu.on_timeout(now));
        assert_eq!((mtu.limit(1200), mtu.due()), (SURE, Some(now)));
    }

    #[test]
    fn a_narrow_path_is_asked_seldom() {
        let mut mtu = Mtu::new(Some(Time::ZERO));
        let mut probes = 0;
        for s in 0..600 {
            probes += u32::from(mtu.probe(Time::from_secs(s), ERTO).is_some());
        }
        assert_eq!(probes, 2 * TRIES);
        mtu.answered(b"", true);
        assert_eq!(
            mtu.limit(1200),
            1200,
            "by a peer that answers nothing but empty messages"
        );
    }
}
