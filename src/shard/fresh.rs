//! Telling audio that comes in time from audio that a stall has made late.
//!
//! What a client publishes comes over TCP: after a stall of its uplink all of it arrives at once. Toward RTP the
//! pacer drops what is too old; a player on TCP would play it back to back and stay as late as the stall was
//! long. So what is late is not passed on (contract, "Latency is the product"): the player hears a gap, then
//! fresh audio.

use std::time::Duration;

use base::Time;
use media::MediaTime;

/// Audio later than this begins a gap. Below it lies the jitter of mobile uplinks.
const LATE: i64 = 200_000;
/// A frame that comes behind a later one by no more than this was overtaken on its way (RTMFP): its place in a
/// player's queue is gone. More is a sender that began its time anew.
const OVERTAKEN: i64 = 500_000;
/// Audio no later than this ends it.
const FRESH: i64 = 20_000;
/// A gap ends after so long whatever comes: the path has become longer, or the sender began its time anew.
const PATIENCE: Duration = Duration::from_secs(1);
/// Of this share the measure gives way: audio of a sound card that runs too slow seems ever later.
const DRIFT: u32 = 1_000;

/// The judge of one source's frames.
#[derive(Debug, Default)]
pub(super) struct Freshness {
    /// The least age of late, µs, and when it was noted. The age is arrival by our clock less media time by the
    /// sender's, so only differences mean anything.
    least: Option<(i64, Time)>,
    /// Since when frames are too late.
    gap: Option<Time>,
    /// Media time of the frame passed on last, µs.
    last: Option<i64>,
}

impl Freshness {
    /// Whether a frame of that media time which comes at `now` is to be passed on.
    pub(super) fn admits(&mut self, now: Time, time: MediaTime) -> bool {
        let media = micros(time.rescale(1_000_000).ticks);
        let overtaken = |last: i64| (1..OVERTAKEN).contains(&last.saturating_sub(media));
        let fresh = self.is_fresh(now, micros(now.as_micros()).saturating_sub(media));
        let passes = fresh && !self.last.is_some_and(overtaken);
        if passes {
            self.last = Some(media);
        }
        passes
    }

    fn is_fresh(&mut self, now: Time, age: i64) -> bool {
        let late = match self.least {
            None => 0,
            Some((least, noted)) => {
                let slack = now.since(noted) / DRIFT;
                let slack = micros(u64::try_from(slack.as_micros()).unwrap_or(u64::MAX));
                age.saturating_sub(least).saturating_sub(slack)
            }
        };
        if late <= 0 {
            self.least = Some((age, now));
        }
        match self.gap {
            None if late <= LATE => return true,
            None => self.gap = Some(now),
            Some(_) if late <= FRESH => self.gap = None,
            Some(since) if now.since(since) >= PATIENCE => {
                self.gap = None;
                self.least = Some((age, now));
            }
            Some(_) => {}
        }
        self.gap.is_none()
    }
}

fn micros(t: u64) -> i64 {
    i64::try_from(t).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: u64 = 20;

    /// Sends frames whose media time is `media` ms at `now` ms; how many are passed on.
    fn passed(f: &mut Freshness, frames: impl Iterator<Item = (u64, u64)>) -> usize {
        frames
            .filter(|(now, media)| f.admits(Time::from_millis(*now), MediaTime::new(*media, 1_000)))
            .count()
    }

    #[test]
    fn a_backlog_is_left_out_but_for_its_end() {
        let mut f = Freshness::default();
        let steady = |from: u64, to: u64| (from..to).map(|n| (n * FRAME + 35, n * FRAME));
        assert_eq!(passed(&mut f, steady(0, 100)), 100);
        // Three seconds come at once, then all is as before.
        let backlog = (100..250).map(|n| (250 * FRAME + 35, n * FRAME));
        let through = passed(&mut f, backlog);
        assert!((1..=2).contains(&through), "{through}");
        assert_eq!(passed(&mut f, steady(250, 350)), 100);
    }

    #[test]
    fn jitter_drift_and_haste_lose_nothing() {
        let mut f = Freshness::default();
        let jitter = (0..500).map(|n| (n * FRAME + 35 + n * 7 % 180, n * FRAME));
        assert_eq!(passed(&mut f, jitter), 500);
        // Ten minutes of a clock that is 500 ppm slow, and of one that is fast.
        let slow = |n: u64| (n * FRAME + n / 100, n * FRAME);
        let fast = |n: u64| (n * FRAME - n / 100, n * FRAME);
        for clock in [slow, fast] {
            let mut f = Freshness::default();
            assert_eq!(passed(&mut f, (1_000..31_000).map(clock)), 30_000);
        }
        // A file that is sent as fast as it goes.
        let mut f = Freshness::default();
        assert_eq!(passed(&mut f, (0..500).map(|n| (n + 1_000, n * FRAME))), 500);
    }

    #[test]
    fn what_was_overtaken_is_left_out_and_nothing_else() {
        let mut f = Freshness::default();
        let order = [0, 1, 2, 4, 5, 3, 6, 7, 7, 8];
        let frames = order
            .iter()
            .enumerate()
            .map(|(n, m)| (n as u64 * FRAME + 35, (m + 10) * FRAME));
        assert_eq!(passed(&mut f, frames), order.len() - 1);
    }

    #[test]
    fn a_longer_path_and_a_new_time_are_accepted_after_a_second() {
        for media in [100 * FRAME - 400, 0] {
            let mut f = Freshness::default();
            assert_eq!(passed(&mut f, (0..100).map(|n| (n * FRAME + 35, n * FRAME))), 100);
            let frames = (0..150).map(|n| ((100 + n) * FRAME + 35, media + n * FRAME));
            assert_eq!(passed(&mut f, frames), 100);
        }
    }
}
