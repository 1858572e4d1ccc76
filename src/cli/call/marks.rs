//! Marks in the audio: a chirp that says when, and a tone that says which. Where the far end echoes, the
//! time from a mark's leaving to its coming back is the round-trip delay, as a listener would hear it.

use std::collections::VecDeque;
use std::f64::consts::TAU;
use std::time::Duration;

use base::Time;

/// Marks are made and looked for at this rate, in Hz; both survive the narrowest codec.
pub(super) const RATE: usize = 8_000;
/// From one mark to the next, in samples: 1 s.
pub(super) const INTERVAL: usize = RATE;
/// Marks that can be told apart; a delay must stay below so many intervals.
const IDS: usize = 16;

/// The chirp, 40 ms.
const CHIRP: usize = RATE * 40 / 1000;
/// Silence between chirp and tone, 10 ms.
const GAP: usize = RATE / 100;
/// The tone, 80 ms.
const TONE: usize = RATE * 80 / 1000;
/// A whole mark, in samples.
pub(super) const LENGTH: usize = CHIRP + GAP + TONE;

const AMPLITUDE: f64 = 12_000.0;
const CHIRP_FROM: f64 = 700.0;
const CHIRP_TO: f64 = 2_500.0;
const TONE_FROM: f64 = 800.0;
const TONE_STEP: f64 = 120.0;

/// The share of a window's energy that must be chirp. Speech reaches 0.3, Speex at its worst quality
/// leaves 0.6 of a chirp.
const CHIRP_SHARE: f64 = 0.45;
/// The share of the energy after it that must be the one tone.
const TONE_SHARE: f64 = 0.4;
/// Windows quieter than this (mean square) are not looked at.
const QUIET: f64 = 1_000.0;
/// Positions searched before they are dropped.
const BLOCK: usize = RATE / 2;

/// A raised-cosine edge of 5 ms, so that a mark does not click.
fn edge(i: usize, length: usize) -> f64 {
    const EDGE: usize = RATE / 200;
    let near = i.min(length - 1 - i);
    if near >= EDGE {
        return 1.0;
    }
    0.5 - 0.5 * (std::f64::consts::PI * near as f64 / EDGE as f64).cos()
}

fn chirp_phase(i: usize) -> f64 {
    let (t, length) = (i as f64 / RATE as f64, CHIRP as f64 / RATE as f64);
    TAU * (CHIRP_FROM * t + (CHIRP_TO - CHIRP_FROM) * t * t / (2.0 * length))
}

/// The samples of mark number `n`, at [`RATE`].
pub(super) fn mark(n: usize) -> Vec<i16> {
    let mut out = Vec::with_capacity(LENGTH);
    out.extend((0..CHIRP).map(|i| (AMPLITUDE * edge(i, CHIRP) * chirp_phase(i).sin()) as i16));
    out.extend([0; GAP]);
    let step = TAU * tone(n % IDS) / RATE as f64;
    out.extend((0..TONE).map(|i| (AMPLITUDE * edge(i, TONE) * (step * i as f64).sin()) as i16));
    out
}

fn tone(id: usize) -> f64 {
    TONE_FROM + TONE_STEP * id as f64
}

/// One round trip.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RoundTrip {
    /// When the mark left.
    pub(super) sent: Time,
    /// From then until it was heard.
    pub(super) delay: Duration,
}

/// Finds the marks that come back.
#[derive(Debug)]
pub(super) struct Listener {
    sine: Vec<f64>,
    cosine: Vec<f64>,
    /// Samples not fully searched yet.
    heard: Vec<f64>,
    /// The index in the whole stream of the first of them.
    first: usize,
    /// For each piece: the index of its first sample, and when that is heard.
    arrivals: VecDeque<(usize, Time)>,
    /// Marks sent and not heard yet.
    sent: VecDeque<(usize, Time)>,
}

impl Listener {
    pub(super) fn new() -> Listener {
        let wave = |f: fn(f64) -> f64| (0..CHIRP).map(|i| edge(i, CHIRP) * f(chirp_phase(i))).collect();
        Listener {
            sine: wave(f64::sin),
            cosine: wave(f64::cos),
            heard: Vec::new(),
            first: 0,
            arrivals: VecDeque::new(),
            sent: VecDeque::new(),
        }
    }

    /// Mark `n` left at `at`.
    pub(super) fn sent(&mut self, n: usize, at: Time) {
        self.sent.push_back((n % IDS, at));
        if self.sent.len() >= IDS {
            self.sent.pop_front();
        }
    }

    /// Samples at [`RATE`], the first of them heard at `at`; returns the round trips they complete.
    pub(super) fn heard(&mut self, samples: &[i16], at: Time) -> Vec<RoundTrip> {
        self.arrivals.push_back((self.first + self.heard.len(), at));
        self.heard.extend(samples.iter().map(|s| f64::from(*s)));
        let mut found = Vec::new();
        while self.heard.len() >= BLOCK + LENGTH {
            let skip = match self.search() {
                Some((at, id)) => {
                    found.extend(self.complete(self.first + at, id));
                    at + LENGTH
                }
                None => BLOCK,
            };
            self.heard.drain(..skip);
            self.first += skip;
            while let Some((next, _)) = self.arrivals.get(1)
                && *next <= self.first
            {
                self.arrivals.pop_front();
            }
        }
        found
    }

    /// The first mark among the first [`BLOCK`] positions: where, and which.
    fn search(&self) -> Option<(usize, usize)> {
        let mut at = 0;
        while at < BLOCK {
            if self.chirp_share(at) < CHIRP_SHARE {
                at += 1;
                continue;
            }
            // The peak is within one period of the band's width from here.
            let end = (at + CHIRP / 4).min(BLOCK + CHIRP / 4);
            let (peak, _) = (at..end)
                .map(|i| (i, self.chirp_share(i)))
                .max_by(|a, b| a.1.total_cmp(&b.1))?;
            if let Some(id) = self.tone_after(peak) {
                return Some((peak, id));
            }
            at = end;
        }
        None
    }

    /// How much of the energy of the window at `at` is the chirp, whatever its phase: 0 to 1.
    fn chirp_share(&self, at: usize) -> f64 {
        let Some(window) = self.heard.get(at..at + CHIRP) else {
            return 0.0;
        };
        let energy: f64 = window.iter().map(|x| x * x).sum();
        if energy < QUIET * CHIRP as f64 {
            return 0.0;
        }
        let product = |wave: &[f64]| wave.iter().zip(window).map(|(a, b)| a * b).sum::<f64>();
        let own: f64 = self.sine.iter().map(|x| x * x).sum();
        (product(&self.sine).powi(2) + product(&self.cosine).powi(2)) / (own * energy)
    }

    /// The number of the tone that follows a chirp at `at`.
    fn tone_after(&self, at: usize) -> Option<usize> {
        // The middle of the tone: free of edges and of what a codec smears.
        let from = at + CHIRP + GAP + TONE / 8;
        let window = self.heard.get(from..from + TONE * 3 / 4)?;
        let energy: f64 = window.iter().map(|x| x * x).sum();
        let share = |id: usize| {
            let step = TAU * tone(id) / RATE as f64;
            let sum = |f: fn(f64) -> f64| -> f64 {
                window
                    .iter()
                    .enumerate()
                    .map(|(i, x)| x * f(step * i as f64))
                    .sum()
            };
            2.0 * (sum(f64::sin).powi(2) + sum(f64::cos).powi(2)) / (window.len() as f64 * energy.max(1.0))
        };
        let (id, best) = (0..IDS)
            .map(|id| (id, share(id)))
            .max_by(|a, b| a.1.total_cmp(&b.1))?;
        (best >= TONE_SHARE).then_some(id)
    }

    fn complete(&mut self, index: usize, id: usize) -> Option<RoundTrip> {
        let (start, at) = self.arrivals.iter().rev().find(|(start, _)| *start <= index)?;
        let heard = *at + Duration::from_secs_f64((index - start) as f64 / RATE as f64);
        let which = self.sent.iter().position(|(n, at)| *n == id && *at <= heard)?;
        // Marks come back in order: earlier ones are lost.
        let (_, sent) = self.sent.drain(..=which).next_back()?;
        Some(RoundTrip {
            sent,
            delay: heard.since(sent),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Rng;

    const FRAME: usize = RATE / 50;

    /// Sends `seconds` of marks over noise, hears them `delay_ms(second)` later, with `spoil` in between.
    fn echo(
        seconds: usize,
        noise: u64,
        delay_ms: impl Fn(usize) -> u64,
        spoil: impl Fn(usize, &mut Vec<i16>),
    ) -> Vec<RoundTrip> {
        let mut rng = Rng::new(5);
        let mut listener = Listener::new();
        let mut audio: Vec<i16> = (0..seconds * RATE)
            .map(|_| rng.below(2 * noise + 1) as i16 - noise as i16)
            .collect();
        for n in 0..seconds {
            let at = n * INTERVAL + 777;
            for (out, m) in audio[at..].iter_mut().zip(mark(n)) {
                *out = out.saturating_add(m);
            }
        }
        let mut found = Vec::new();
        for (i, frame) in audio.chunks(FRAME).enumerate() {
            let now = Time::from_millis(1_000 + 20 * i as u64);
            if i % 50 == 777 / FRAME {
                let offset = Duration::from_micros((777 % FRAME) as u64 * 125);
                listener.sent(i / 50, now + offset);
            }
            let mut frame = frame.to_vec();
            spoil(i, &mut frame);
            found.extend(listener.heard(&frame, now + Duration::from_millis(delay_ms(i / 50))));
        }
        found
    }

    fn assert_near(trip: &RoundTrip, ms: u64) {
        let off = trip.delay.as_secs_f64() * 1000.0 - ms as f64;
        assert!(off.abs() < 1.0, "{trip:?} is {off:.2} ms off {ms}");
    }

    #[test]
    fn delays_are_found_to_a_millisecond() {
        for ms in [0, 7, 63, 950, 3_400, 14_000] {
            let found = echo(20, 300, |_| ms, |_, _| {});
            assert!(found.len() >= 18, "{ms}: {}", found.len());
            found.iter().for_each(|t| assert_near(t, ms));
        }
    }

    #[test]
    fn a_delay_that_changes_is_followed() {
        let found = echo(
            20,
            300,
            |s| if (8..12).contains(&s) { 2_500 } else { 60 },
            |_, _| {},
        );
        // The first marks after the step back overlap the late ones; all others are exact.
        assert!(found.iter().filter(|t| t.delay.as_millis() == 60).count() >= 12);
        assert!(found.iter().filter(|t| t.delay.as_millis() == 2_500).count() >= 3);
    }

    #[test]
    fn inverted_quiet_and_lossy_audio_is_still_recognised() {
        let found = echo(
            20,
            50,
            |_| 80,
            |i, frame| {
                let lost = i % 37 == 5;
                frame.iter_mut().for_each(|s| *s = if lost { 0 } else { -*s / 8 });
            },
        );
        assert!(found.len() >= 14, "{}", found.len());
        found.iter().for_each(|t| assert_near(t, 80));
    }

    #[test]
    fn noise_and_tones_are_not_marks() {
        let mut listener = Listener::new();
        let mut rng = Rng::new(9);
        for i in 0..1_000u64 {
            listener.sent(i as usize, Time::from_millis(i * 20));
            let frame: Vec<i16> = (0..FRAME)
                .map(|k| {
                    let t = (i as usize * FRAME + k) as f64 / RATE as f64;
                    let tone = 9_000.0 * (TAU * 1_040.0 * t).sin();
                    tone as i16 + rng.below(8_000) as i16 - 4_000
                })
                .collect();
            assert_eq!(listener.heard(&frame, Time::from_millis(i * 20)), []);
        }
    }
}
