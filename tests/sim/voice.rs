//! What participants say: each has a tone of its own, and marks in it by which delay is measured.

use std::f32::consts::TAU;
use std::time::Duration;

use base::Time;

/// Audio in one frame.
pub const FRAME: Duration = Duration::from_millis(20);
/// The pitches of successive marks, Hz: after the eighth the first comes again, so that a delay of up to four
/// seconds is told without doubt.
pub const MARKS: [f32; 8] = [1300.0, 1500.0, 1700.0, 1900.0, 2100.0, 2300.0, 2500.0, 2700.0];
/// From one mark to the next, ms of the speaker's own clock.
pub const MARK_EVERY: u64 = 500;
const MARK_LEN: u64 = 40;
const MARK_LEVEL: f32 = -10.0;
const TONE_LEVEL: f32 = -22.0;

/// Tones that no mark, no harmonic and no other participant has, Hz.
const TONES: [f32; 8] = [350.0, 440.0, 540.0, 620.0, 730.0, 810.0, 910.0, 1030.0];

/// How somebody speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Without a pause: the hardest for whoever has to shorten it.
    Steady,
    /// With a pause of 300 ms in each second, as in speech.
    Pausing,
    /// The tone alone, without marks: for many who speak at once.
    Plain,
}

/// A mouth with a sound card behind it that runs by its own clock. What it says depends on the time alone.
#[derive(Clone, Debug)]
pub struct Voice {
    pub hz: f32,
    pub manner: Manner,
    began: Time,
    /// How much faster than the world the sound card runs, parts per million.
    ppm: i64,
    /// The next frame.
    frame: u64,
}

impl Voice {
    /// The `n`th participant's voice. It begins to speak at once; whether that is sent is another matter.
    pub fn new(n: usize, began: Time) -> Voice {
        Voice {
            hz: TONES[n % TONES.len()],
            manner: Manner::Steady,
            began,
            ppm: 0,
            frame: 0,
        }
    }

    /// Another sound card from now on.
    pub fn set_clock(&mut self, now: Time, ppm: i64) {
        self.began = now;
        self.frame = 0;
        self.ppm = ppm;
    }

    /// When the sample `ms` (of its own clock, in nanoseconds) is captured.
    fn captured(&self, nanos: u64) -> Time {
        let stretched = i128::from(nanos) * 1_000_000 / i128::from(1_000_000 + self.ppm);
        self.began + Duration::from_nanos(stretched as u64)
    }

    /// When the next frame is complete.
    pub fn due(&self) -> Time {
        self.captured((self.frame + 1) * FRAME.as_nanos() as u64)
    }

    /// Milliseconds of its own clock at which the next frame begins.
    pub fn media_ms(&self) -> u64 {
        self.frame * FRAME.as_millis() as u64
    }

    /// Goes on to the next frame without saying anything.
    pub fn skip(&mut self) {
        self.frame += 1;
    }

    /// The next frame, at `rate` Hz.
    pub fn speak(&mut self, rate: u32) -> Vec<i16> {
        let samples = u64::from(rate) / 50;
        let first = self.frame * samples;
        self.frame += 1;
        (first..first + samples).map(|n| self.sample(n, rate)).collect()
    }

    fn sample(&self, n: u64, rate: u32) -> i16 {
        let at = n * 1_000 / u64::from(rate);
        let amplitude = |dbov: f32| 32_768.0 * std::f32::consts::SQRT_2 * 10f32.powf(dbov / 20.0);
        // Phases are taken from whole periods: the number of a sample is too large for a float.
        let sine = |hz: f32| {
            let phase = (n as f64 * f64::from(hz) / f64::from(rate)).fract();
            (phase as f32 * TAU).sin()
        };
        let mut sum = 0.0;
        if self.manner != Manner::Pausing || at % 1_000 < 700 {
            sum += amplitude(TONE_LEVEL) * sine(self.hz);
        }
        if let Some(pitch) = mark_at(at).filter(|_| self.manner != Manner::Plain) {
            sum += amplitude(MARK_LEVEL) * sine(pitch);
        }
        sum as i16
    }

    /// How long after it was spoken a mark of this pitch is heard; `None` when it was not spoken in the four
    /// seconds before.
    pub fn delay(&self, pitch: usize, heard: Time) -> Option<Duration> {
        let spoken = |k: u64| self.captured(k * MARK_EVERY * 1_000_000);
        let since = heard.since(self.began).as_millis() as u64;
        // A little more than its own clock can say, for one that runs fast.
        let newest = since / MARK_EVERY + 1;
        (newest.saturating_sub(MARKS.len() as u64)..=newest)
            .rev()
            .filter(|k| *k > 0 && spoken(*k) <= heard && *k as usize % MARKS.len() == pitch)
            .map(|k| heard - spoken(k))
            .next()
    }
}

/// The pitch of the mark that sounds at `ms`.
fn mark_at(ms: u64) -> Option<f32> {
    let k = ms / MARK_EVERY;
    (k > 0 && ms % MARK_EVERY < MARK_LEN).then(|| MARKS[k as usize % MARKS.len()])
}
