//! Half-band FIR filters: every second coefficient but the middle one is zero, so half of the work falls away.
//!
//! 63 coefficients, Kaiser window: flat to 0.1 dB up to 0.85 of the low rate's band, 60 dB down from 1.15 on.

use std::f64::consts::PI;

/// Coefficients that are not zero, without the middle one.
const TAPS: usize = 32;
/// Delay at the high rate, samples.
pub(super) const LATENCY: usize = TAPS - 1;
/// Outputs (at the low rate) worked out in one go.
const BLOCK: usize = 160;
/// Samples of the other phase that lie between its newest and the middle of the filter.
const MIDDLE: usize = TAPS / 2;

/// Modified Bessel function of the first kind and order zero, by its series.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..40 {
        term *= (x / 2.0 / f64::from(k)) * (x / 2.0 / f64::from(k));
        sum += term;
    }
    sum
}

/// The first half of the coefficients (the second mirrors it), scaled so that a constant keeps its level.
fn design() -> [f32; TAPS / 2] {
    const BETA: f64 = 6.2;
    let mut taps = [0.0; TAPS / 2];
    for (i, tap) in taps.iter_mut().enumerate() {
        let x = 2.0 * i as f64 - (TAPS as f64 - 1.0);
        let window = bessel(BETA * (1.0 - (x / TAPS as f64).powi(2)).sqrt()) / bessel(BETA);
        *tap = (PI * x / 2.0).sin() / (PI * x) * window;
    }
    let sum: f64 = taps.iter().sum();
    taps.map(|tap| (tap / sum * 0.25) as f32)
}

/// `out[i]` = the filter over `line[i ..= i + TAPS - 1]`.
fn filter(taps: &[f32; TAPS / 2], line: &[f32], out: &mut [f32]) {
    out.fill(0.0);
    let n = out.len();
    // Outputs in the inner loop: so it is turned into vector instructions.
    for (j, tap) in taps.iter().enumerate() {
        let mirrored = &line[TAPS - 1 - j..][..n];
        for ((sum, a), b) in out.iter_mut().zip(&line[j..][..n]).zip(mirrored) {
            *sum += tap * (a + b);
        }
    }
}

fn round(sample: f32) -> i16 {
    // Truncation of a positive number: cheaper than `round`, which is a call on the baseline processor.
    ((sample.clamp(-32_768.0, 32_767.0) + 32_768.5) as i32 - 32_768) as i16
}

/// Halves the rate.
pub(super) struct Down {
    taps: [f32; TAPS / 2],
    even: [f32; TAPS - 1 + BLOCK],
    odd: [f32; MIDDLE + BLOCK],
    /// The first sample of a pair whose second has not come yet.
    half: Option<i16>,
}

impl Down {
    pub(super) fn new() -> Self {
        Self {
            taps: design(),
            even: [0.0; TAPS - 1 + BLOCK],
            odd: [0.0; MIDDLE + BLOCK],
            half: None,
        }
    }

    pub(super) fn process(&mut self, input: &[i16], out: &mut [i16]) -> usize {
        let mut samples = self.half.take().into_iter().chain(input.iter().copied());
        let mut written = 0;
        loop {
            let mut n = 0;
            while n < BLOCK {
                let Some(first) = samples.next() else { break };
                let Some(second) = samples.next() else {
                    self.half = Some(first);
                    break;
                };
                self.even[TAPS - 1 + n] = f32::from(first);
                self.odd[MIDDLE + n] = f32::from(second);
                n += 1;
            }
            if n == 0 {
                return written;
            }
            let mut sums = [0.0; BLOCK];
            filter(&self.taps, &self.even, &mut sums[..n]);
            for (i, out) in out.iter_mut().skip(written).take(n).enumerate() {
                *out = round(sums[i] + 0.5 * self.odd[i]);
            }
            written = (written + n).min(out.len());
            self.even.copy_within(n..n + TAPS - 1, 0);
            self.odd.copy_within(n..n + MIDDLE, 0);
        }
    }
}

/// Doubles the rate.
pub(super) struct Up {
    taps: [f32; TAPS / 2],
    line: [f32; TAPS - 1 + BLOCK],
}

impl Up {
    pub(super) fn new() -> Self {
        Self {
            taps: design(),
            line: [0.0; TAPS - 1 + BLOCK],
        }
    }

    pub(super) fn process(&mut self, input: &[i16], out: &mut [i16]) -> usize {
        let mut written = 0;
        for block in input.chunks(BLOCK) {
            let n = block.len();
            for (place, sample) in self.line[TAPS - 1..].iter_mut().zip(block) {
                *place = f32::from(*sample);
            }
            let mut sums = [0.0; BLOCK];
            filter(&self.taps, &self.line, &mut sums[..n]);
            let pairs = out[written..].chunks_exact_mut(2).take(n).enumerate();
            for (i, pair) in pairs {
                pair[0] = round(2.0 * sums[i]);
                pair[1] = round(self.line[i + MIDDLE]);
                written += 2;
            }
            self.line.copy_within(n..n + TAPS - 1, 0);
        }
        written
    }
}
