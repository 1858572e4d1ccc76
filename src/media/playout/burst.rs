//! Finding the rhythm of a sender that sends several messages at a time.

use base::Time;
use std::time::Duration;

/// Messages that come within one slot are a burst. One alone says nothing: it may be the end of a stall. Two
/// in a row, as far apart as the audio they bring is long, are how this sender sends.
#[derive(Debug, Default)]
pub(super) struct Burst {
    began: Option<Time>,
    ticks: u32,
    /// The burst before: its beginning and its length.
    before: Option<(Time, u32)>,
    over: bool,
}

impl Burst {
    /// Adds a message of `ticks` of `clock` Hz; the burst that may be expected of this sender, ticks.
    pub(super) fn add(&mut self, now: Time, ticks: u32, clock: u32) -> u32 {
        if self.over || self.began.is_none() {
            self.before = self.began.map(|began| (began, self.ticks));
            self.began = Some(now);
            self.ticks = 0;
            self.over = false;
        }
        self.ticks = self.ticks.saturating_add(ticks);
        let (Some(began), Some((before, length))) = (self.began, self.before) else {
            return 0;
        };
        let due = Duration::from_nanos(u64::from(length) * 1_000_000_000 / u64::from(clock.max(1)));
        // A quarter early is still the same rhythm.
        if began.since(before) >= due * 3 / 4 {
            self.ticks.min(length)
        } else {
            0
        }
    }

    /// A slot went by.
    pub(super) fn end(&mut self) {
        self.over = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_bursts_in_rhythm_are_believed_and_a_backlog_is_not() {
        let mut b = Burst::default();
        let at = Time::from_millis;
        // Ten frames at once each 200 ms.
        assert!((0..10).all(|_| b.add(at(0), 160, 8000) == 0));
        b.end();
        let seen: Vec<u32> = (0..10).map(|_| b.add(at(200), 160, 8000)).collect();
        assert_eq!(seen.last(), Some(&1600));
        // A backlog, emptied within three slots.
        let mut b = Burst::default();
        for slot in 0..3 {
            assert!(
                (0..50).all(|_| b.add(at(1_000 + slot * 20), 160, 8000) == 0),
                "{slot}"
            );
            b.end();
        }
        // After it, single frames again.
        assert!(b.add(at(1_060), 160, 8000) <= 160);
    }
}
