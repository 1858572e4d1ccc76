//! How long packets take, by their own timestamps: the fastest path, the lateness, the sender's skew.

use crate::params;
use base::Time;
use std::time::Duration;

/// One stretch of arrivals.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Least transit, ns.
    min: i64,
    /// Greatest transit worth waiting for, ns.
    max: i64,
}

/// Transit = arrival less media time, ns. Its origin is unknown, its differences are what counts.
///
/// The least transit of the last [`params::WINDOW`] of *arrivals* is the reference: it follows the sender's
/// skew (100 ppm move it 0.2 ms in a window) and a changed route, and an empty stretch does not age it, so a
/// stall followed by a burst is judged by the time before the stall.
#[derive(Debug)]
pub(super) struct Transit {
    buckets: [Option<Bucket>; params::BUCKETS],
    index: usize,
    began: Time,
    /// Since when everything came too late, and how late the first of them was.
    stale_since: Option<(Time, i64)>,
    /// The reference when it first had settled.
    anchor: Option<(Time, i64)>,
    skew_ppm: f32,
    /// The longest wait, and the age at which a frame is not worth hearing.
    max_wait: Duration,
}

impl Transit {
    pub(super) fn new() -> Transit {
        Transit {
            buckets: [None; params::BUCKETS],
            index: 0,
            began: Time::ZERO,
            stale_since: None,
            anchor: None,
            skew_ppm: 0.0,
            max_wait: params::MAX_WAIT,
        }
    }

    pub(super) fn set_max_wait(&mut self, max_wait: Duration) {
        self.max_wait = max_wait;
    }

    /// Forgets everything: the sender's time base is a new one.
    pub(super) fn clear(&mut self) {
        *self = Transit {
            skew_ppm: self.skew_ppm,
            max_wait: self.max_wait,
            ..Transit::new()
        };
    }

    /// Takes in an arrival. Returns whether it is too late to be worth hearing, against the fastest recent path.
    /// When everything is for [`params::REBASE`], and does not catch up, the path itself has become longer:
    /// that is the new reference.
    pub(super) fn observe(&mut self, now: Time, media: i64, clock: u32) -> bool {
        let transit = transit(now, media, clock);
        if self.reference().is_none() {
            self.began = now;
        } else if now.since(self.began) >= params::BUCKET {
            self.index = (self.index + 1) % params::BUCKETS;
            self.began = now;
            if let Some(b) = self.buckets.get_mut(self.index) {
                *b = None;
            }
            self.track(now);
        }
        let lateness = self.reference().map_or(0, |base| transit - base).max(0);
        let stale = lateness > nanos(self.max_wait);
        match self.stale_since {
            _ if !stale => self.stale_since = None,
            Some((since, first)) if lateness >= first - nanos(params::CATCH_UP) => {
                if now.since(since) >= params::REBASE {
                    self.clear();
                    self.began = now;
                    self.note(transit, true);
                    return false;
                }
            }
            _ => self.stale_since = Some((now, lateness)),
        }
        self.note(transit, !stale);
        stale
    }

    /// `usable`: in time for the longest wait, and so a reason to wait.
    fn note(&mut self, transit: i64, usable: bool) {
        if let Some(slot) = self.buckets.get_mut(self.index) {
            let b = slot.get_or_insert(Bucket {
                min: transit,
                max: i64::MIN,
            });
            b.min = b.min.min(transit);
            if usable {
                b.max = b.max.max(transit);
            }
        }
    }

    /// Whether this arrival cannot belong to the same time base: too far ahead, or hopelessly behind.
    pub(super) fn is_break(&self, now: Time, media: i64, clock: u32) -> bool {
        let Some(base) = self.reference() else {
            return false;
        };
        let lateness = i128::from(transit(now, media, clock)) - i128::from(base);
        lateness < -(params::MAX_AHEAD.as_nanos() as i128) || lateness > params::MAX_BEHIND.as_nanos() as i128
    }

    /// When a frame comes by the fastest recent path.
    pub(super) fn expected(&self, media: i64, clock: u32) -> Time {
        let base = i128::from(self.reference().unwrap_or(0));
        let at = base + media_ns(media, clock);
        Time::from_nanos(u64::try_from(at.max(0)).unwrap_or(u64::MAX))
    }

    /// How much longer than that a missing frame is waited for.
    pub(super) fn wait(&self, frame: Duration) -> Duration {
        let floor = frame.min(params::MIN_WAIT).min(self.max_wait);
        let Some(base) = self.reference() else {
            return floor;
        };
        let worst = self.buckets.iter().flatten().map(|b| b.max).max().unwrap_or(base);
        let late = Duration::from_nanos(u64::try_from(worst.saturating_sub(base)).unwrap_or(0));
        (late + params::WAIT_MARGIN).clamp(floor, self.max_wait)
    }

    pub(super) fn skew_ppm(&self) -> f32 {
        self.skew_ppm
    }

    fn reference(&self) -> Option<i64> {
        self.buckets.iter().flatten().map(|b| b.min).min()
    }

    fn track(&mut self, now: Time) {
        if self.buckets.iter().flatten().count() + 1 < params::BUCKETS {
            return;
        }
        let Some(base) = self.reference() else { return };
        let (then, first) = *self.anchor.get_or_insert((now, base));
        let elapsed = now.since(then);
        if elapsed >= Duration::from_secs(30) {
            self.skew_ppm = -((base - first) as f64 / elapsed.as_nanos() as f64 * 1e6) as f32;
        }
    }
}

fn nanos(d: Duration) -> i64 {
    i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)
}

fn media_ns(media: i64, clock: u32) -> i128 {
    i128::from(media) * 1_000_000_000 / i128::from(clock.max(1))
}

fn transit(now: Time, media: i64, clock: u32) -> i64 {
    let t = i128::from(now.as_nanos()) - media_ns(media, clock);
    // Half the range, so that differences of two cannot overflow.
    t.clamp(i128::from(i64::MIN / 4), i128::from(i64::MAX / 4)) as i64
}
