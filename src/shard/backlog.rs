//! What waits at a player, as far as it can be reckoned here.
//!
//! Players of live audio play what they get back to back and keep no clock: whenever audio came late once and
//! then in time again (a jitter buffer that grew and shrank, a sound card of the sender that runs fast), they
//! stay as late as the latest piece was. So the shard plays along: what would wait at such a player for half a
//! second without need is left out again, silence first.

use std::time::Duration;

use base::Time;

/// How long something has to wait without need before it is removed.
const WINDOW: Duration = Duration::from_millis(500);
/// So much is left alone: the jitter of the way to the player is not known here.
const LEAVE: Duration = Duration::from_millis(5);
/// Of so many frames one is left out where there is no silence: heard as a rough patch, like a lost packet.
const EVERY: u32 = 5;
/// Who sends so far ahead does not send live: nothing is gained by leaving out.
const AHEAD: Duration = Duration::from_secs(1);

/// The player of one stream.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// When it has played all it was given.
    until: Time,
    /// The least that waited in the window, and when that began.
    least: Option<(Duration, Time)>,
    /// What is still to be left out.
    excess: Duration,
    /// Frames since the last was left out.
    since: u32,
}

impl Backlog {
    /// Whether a frame of that length will be left out soon, best a silent one.
    pub(super) fn is_long(&self, length: Duration) -> bool {
        self.excess >= length
    }

    /// Whether a frame of that length is to be sent at `now`.
    pub(super) fn admits(&mut self, now: Time, length: Duration, silent: bool) -> bool {
        let waits = self.until.since(now);
        let (least, began) = self.least.map_or((waits, now), |(l, b)| (l.min(waits), b));
        self.least = Some((least, began));
        if now.since(began) >= WINDOW {
            self.excess = if least < AHEAD {
                least.saturating_sub(LEAVE)
            } else {
                Duration::ZERO
            };
            self.least = None;
        }
        self.since = self.since.saturating_add(1);
        if self.excess < length || (!silent && self.since < EVERY) {
            return true;
        }
        self.since = 0;
        self.excess = self.excess.saturating_sub(length);
        self.least = None;
        false
    }

    /// A frame was sent.
    pub(super) fn sent(&mut self, now: Time, length: Duration) {
        self.until = self.until.max(now) + length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Duration = Duration::from_millis(20);

    /// Frames that come at these times, ms; how many are left out, and what waits at the end.
    fn play(times: impl Iterator<Item = u64>, silent: impl Fn(u64) -> bool) -> (u32, Duration) {
        let mut b = Backlog::default();
        let mut out = 0;
        let mut last = Time::ZERO;
        for (n, ms) in (0u64..).zip(times) {
            last = Time::from_millis(ms);
            if b.admits(last, FRAME, silent(n)) {
                b.sent(last, FRAME);
            } else {
                out += 1;
            }
        }
        (out, b.until.since(last))
    }

    #[test]
    fn steady_and_jittery_frames_are_all_sent() {
        assert_eq!(play((0..1_000).map(|n| 100 + n * 20), |_| false).0, 0);
        // Late by up to 100 ms now and then, also in a row: that is what waits at most afterwards.
        assert_eq!(play((0..1_000).map(|n| 100 + n * 20 + n % 7), |_| false).0, 0);
    }

    #[test]
    fn what_one_late_frame_has_left_behind_is_removed() {
        for (silent, within) in [(false, 100), (true, 80)] {
            let times = |frames: u64| {
                (0..frames).map(|n| {
                    if (50..56).contains(&n) {
                        1_240
                    } else {
                        120 + n * 20
                    }
                })
            };
            assert!(play(times(60), |_| silent).1 >= FRAME * 5);
            let (out, waits) = play(times(60 + within), |_| silent);
            assert!((4..=6).contains(&out) && waits <= FRAME * 2, "{out} {waits:?}");
        }
    }

    #[test]
    fn a_fast_sound_card_costs_a_frame_now_and_then() {
        let (out, waits) = play((0..60_000).map(|n| 100 + n * 20 - n / 100), |_| false);
        assert!((25..=31).contains(&out) && waits <= FRAME * 3, "{out} {waits:?}");
    }

    #[test]
    fn a_file_sent_at_once_is_passed_on() {
        assert!(play((0..5_000).map(|n| 100 + n), |_| false).0 < 100);
    }
}
