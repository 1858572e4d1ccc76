//! What one direction of a call was like, from the arrivals and timestamps of its frames.

use std::time::Duration;

use base::Time;

/// Counts frames, gaps and jitter of a received stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Received {
    /// Frames that arrived.
    pub(super) frames: u64,
    /// Frames missing by their timestamps.
    pub(super) lost: u64,
    /// Smoothed interarrival jitter in seconds (RFC 3550 §6.4.1).
    jitter: f64,
    last: Option<(Time, u32)>,
}

impl Received {
    /// Notes a frame with its timestamp and duration, both in ms.
    pub(super) fn frame(&mut self, now: Time, timestamp: u32, duration: u32) {
        self.frames += 1;
        if let Some((then, before)) = self.last {
            // A timestamp that goes back is a new stream, not a gap.
            let step = timestamp.wrapping_sub(before);
            if step < 60_000 && duration > 0 {
                // Half a frame of tolerance: RTMP timestamps are rounded to ms.
                let missing = (step + duration / 2).saturating_sub(duration) / duration;
                self.lost += u64::from(missing);
                let transit = now.since(then).as_secs_f64() - f64::from(step) / 1000.0;
                self.jitter += (transit.abs() - self.jitter) / 16.0;
            }
        }
        self.last = Some((now, timestamp));
    }

    /// The jitter now.
    pub(super) fn jitter(&self) -> Duration {
        Duration::from_secs_f64(self.jitter)
    }
}

/// Least, mean and greatest of some figures, with their 95th percentile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) min: f64,
    pub(super) mean: f64,
    pub(super) p95: f64,
    pub(super) max: f64,
    pub(super) count: usize,
}

impl Spread {
    /// `None` when there are no figures.
    pub(super) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut all: Vec<f64> = figures.into_iter().collect();
        all.sort_by(f64::total_cmp);
        Some(Spread {
            min: *all.first()?,
            mean: all.iter().sum::<f64>() / all.len() as f64,
            p95: *all.get((all.len() * 95).div_ceil(100).saturating_sub(1))?,
            max: *all.last()?,
            count: all.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_frames_have_no_loss_and_no_jitter() {
        let mut r = Received::default();
        for i in 0..100u32 {
            r.frame(Time::from_millis(5_000 + 20 * u64::from(i)), 20 * i, 20);
        }
        assert_eq!((r.frames, r.lost, r.jitter()), (100, 0, Duration::ZERO));
    }

    #[test]
    fn gaps_count_and_rounding_does_not() {
        let mut r = Received::default();
        for t in [0, 19, 41, 60, 120, 140, 260, 5] {
            r.frame(Time::from_millis(t), t as u32, 20);
        }
        assert_eq!(r.lost, 2 + 5);
    }

    #[test]
    fn bursts_are_jitter() {
        let mut r = Received::default();
        for i in 0..1000u32 {
            r.frame(Time::from_millis(u64::from(i / 4) * 80), 20 * i, 20);
        }
        // Of four steps three are 20 ms early and one 60 ms late.
        let ms = r.jitter().as_secs_f64() * 1000.0;
        assert!((25.0..35.0).contains(&ms), "{ms}");
    }

    #[test]
    fn a_spread_of_nothing_is_none() {
        assert_eq!(Spread::of([]), None);
        let s = Spread::of((1..=100).map(f64::from)).unwrap();
        assert_eq!(
            (s.min, s.mean, s.p95, s.max, s.count),
            (1.0, 50.5, 95.0, 100.0, 100)
        );
    }
}
