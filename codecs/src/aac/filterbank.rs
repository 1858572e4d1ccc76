//! From spectrum to sound: the inverse transform and its windows (ISO/IEC 14496-3 §4.6.11).
//!
//! The result is a sum over all channels: transform, windows and overlap are linear, so one memory serves any number of
//! channels that are mixed anyway.

use std::f64::consts::PI;
use std::sync::LazyLock;

/// Samples of a frame.
pub(super) const FRAME: usize = 1_024;
/// Coefficients of a short window.
pub(super) const SHORT: usize = 128;
/// Where the first short window begins in a frame.
const SHORT_START: usize = (FRAME - SHORT) / 2;

/// How a frame is cut into windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sequence {
    Long,
    /// Long, with a short slope at its end.
    Start,
    /// Eight short windows.
    Short,
    /// Long, with a short slope at its beginning.
    Stop,
}

/// Rising halves of the windows, by shape: sine, Kaiser-Bessel.
struct Windows {
    long: [Vec<f32>; 2],
    short: [Vec<f32>; 2],
    long_transform: Transform,
    short_transform: Transform,
}

static WINDOWS: LazyLock<Windows> = LazyLock::new(|| Windows {
    long: [sine(FRAME), kaiser_bessel(FRAME, 4.0)],
    short: [sine(SHORT), kaiser_bessel(SHORT, 6.0)],
    long_transform: Transform::new(FRAME),
    short_transform: Transform::new(SHORT),
});

fn sine(half: usize) -> Vec<f32> {
    (0..half)
        .map(|i| (PI * (i as f64 + 0.5) / (2 * half) as f64).sin() as f32)
        .collect()
}

fn kaiser_bessel(half: usize, alpha: f64) -> Vec<f32> {
    let kernel: Vec<f64> = (0..=half)
        .map(|i| {
            let x = 2.0 * i as f64 / half as f64 - 1.0;
            bessel(PI * alpha * (1.0 - x * x).max(0.0).sqrt())
        })
        .collect();
    let total: f64 = kernel.iter().sum();
    let mut sum = 0.0;
    kernel
        .iter()
        .take(half)
        .map(|k| {
            sum += k;
            (sum / total).sqrt() as f32
        })
        .collect()
}

/// The modified Bessel function of order zero.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term, mut k) = (1.0, 1.0, 1.0);
    while term > sum * 1e-17 {
        term *= (x / (2.0 * k)).powi(2);
        sum += term;
        k += 1.0;
    }
    sum
}

/// A cosine transform of type IV over a complex Fourier transform of half the size.
struct Transform {
    size: usize,
    twiddles: Vec<(f32, f32)>,
    roots: Vec<(f32, f32)>,
}

impl Transform {
    fn new(size: usize) -> Transform {
        let turn = |angle: f64| (angle.cos() as f32, angle.sin() as f32);
        Transform {
            size,
            twiddles: (0..size / 2)
                .map(|n| turn(-PI * (n as f64 + 0.125) / size as f64))
                .collect(),
            roots: (0..size / 4)
                .map(|n| turn(-2.0 * PI * n as f64 / (size / 2) as f64))
                .collect(),
        }
    }

    /// Transforms `data` (of the size of this transform), scaled by `scale`.
    fn run(&self, data: &mut [f32], scale: f32) {
        let half = self.size / 2;
        let mut work = [(0.0f32, 0.0f32); FRAME / 2];
        let work = &mut work[..half];
        let bits = half.trailing_zeros();
        for (n, twiddle) in self.twiddles.iter().enumerate() {
            let value = product((data[2 * n], data[self.size - 1 - 2 * n]), *twiddle);
            work[n.reverse_bits() >> (usize::BITS - bits)] = value;
        }
        let mut span = 1;
        while span < half {
            let step = half / (2 * span);
            for block in work.chunks_exact_mut(2 * span) {
                let (low, high) = block.split_at_mut(span);
                for ((a, b), root) in low.iter_mut().zip(high).zip(self.roots.iter().step_by(step)) {
                    let turned = product(*b, *root);
                    *b = (a.0 - turned.0, a.1 - turned.1);
                    *a = (a.0 + turned.0, a.1 + turned.1);
                }
            }
            span *= 2;
        }
        for (n, twiddle) in self.twiddles.iter().enumerate() {
            let value = product(work[n], *twiddle);
            data[2 * n] = value.0 * scale;
            data[self.size - 1 - 2 * n] = -value.1 * scale;
        }
    }
}

fn product(a: (f32, f32), b: (f32, f32)) -> (f32, f32) {
    (a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0)
}

/// From sound to spectrum: long windows with a sine's slopes.
pub(super) struct Analysis {
    before: [f32; FRAME],
}

impl Analysis {
    pub(super) fn new() -> Analysis {
        // Now, for it allocates.
        LazyLock::force(&WINDOWS);
        Analysis { before: [0.0; FRAME] }
    }

    /// The spectrum of the frame before and this one.
    pub(super) fn run(&mut self, pcm: &[i16], spectrum: &mut [f32; FRAME]) {
        let windows = &*WINDOWS;
        let [rise, _] = &windows.long;
        let mut fall = [0.0; FRAME];
        for (to, from) in fall.iter_mut().zip(pcm) {
            *to = f32::from(*from);
        }
        let now = fall;
        for (n, (fall, rising)) in fall.iter_mut().zip(&mut self.before).enumerate() {
            *rising *= rise[n];
            *fall *= rise[FRAME - 1 - n];
        }
        let half = FRAME / 2;
        for n in 0..half {
            spectrum[half + n] = self.before[n] - self.before[FRAME - 1 - n];
            spectrum[half - 1 - n] = -fall[n] - fall[FRAME - 1 - n];
        }
        windows.long_transform.run(spectrum, 2.0);
        self.before = now;
    }
}

/// What overlaps from frame to frame, summed over the channels.
pub(super) struct Filterbank {
    sum: [f32; 2 * FRAME],
}

impl Filterbank {
    pub(super) fn new() -> Filterbank {
        Filterbank {
            sum: [0.0; 2 * FRAME],
        }
    }

    /// Adds the spectrum of a channel, or the sum of several with the same windows, times `gain`. `shapes` are the window
    /// shapes (0 or 1) of the frame before and of this one. The spectrum is used up.
    pub(super) fn add(
        &mut self,
        spectrum: &mut [f32; FRAME],
        sequence: Sequence,
        shapes: [usize; 2],
        gain: f32,
    ) {
        let windows = &*WINDOWS;
        let [before, shape] = shapes.map(|s| s & 1);
        if sequence == Sequence::Short {
            for (i, window) in spectrum.chunks_exact_mut(SHORT).enumerate() {
                windows.short_transform.run(window, gain / SHORT as f32);
                let rise = &windows.short[if i == 0 { before } else { shape }];
                let at = SHORT_START + i * SHORT;
                overlap(
                    &mut self.sum[at..at + 2 * SHORT],
                    window,
                    rise,
                    &windows.short[shape],
                );
            }
            return;
        }
        windows.long_transform.run(spectrum, gain / FRAME as f32);
        let rise = if sequence == Sequence::Stop {
            &windows.short[before]
        } else {
            &windows.long[before]
        };
        let fall = if sequence == Sequence::Start {
            &windows.short[shape]
        } else {
            &windows.long[shape]
        };
        overlap(&mut self.sum, spectrum, rise, fall);
    }

    /// The finished samples of this frame.
    pub(super) fn finish(&mut self, out: &mut [i16; FRAME]) {
        for (out, sample) in out.iter_mut().zip(&self.sum) {
            *out = sample.round() as i16;
        }
        self.sum.copy_within(FRAME.., 0);
        self.sum[FRAME..].fill(0.0);
    }
}

/// Unfolds a transformed window (`y`, half as long as `sum`) and adds it under its slopes. A slope shorter than half a window
/// stands in its middle, with ones inside and zeros outside.
fn overlap(sum: &mut [f32], y: &[f32], rise: &[f32], fall: &[f32]) {
    let size = y.len();
    let half = size / 2;
    let (left, right) = sum.split_at_mut(size);
    let flat = (size - rise.len()) / 2;
    for (n, sum) in left.iter_mut().enumerate().skip(flat) {
        let weight = rise.get(n - flat).copied().unwrap_or(1.0);
        let value = if n < half {
            y[n + half]
        } else {
            -y[size + half - 1 - n]
        };
        *sum += value * weight;
    }
    let flat = (size - fall.len()) / 2;
    for (n, sum) in right.iter_mut().enumerate().take(size - flat) {
        // The falling slope is the rising one backwards.
        let weight = fall.get(size - flat - 1 - n).copied().unwrap_or(1.0);
        let value = if n < half { -y[half - 1 - n] } else { -y[n - half] };
        *sum += value * weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_transform_is_the_slow_one() {
        for size in [SHORT, FRAME] {
            let input: Vec<f32> = (0..size).map(|i| ((i * 37 % 101) as f32) - 50.0).collect();
            let mut fast = input.clone();
            Transform::new(size).run(&mut fast, 1.0);
            for n in (0..size).step_by(17) {
                let slow: f64 = input
                    .iter()
                    .enumerate()
                    .map(|(k, x)| {
                        f64::from(*x) * (PI / size as f64 * (n as f64 + 0.5) * (k as f64 + 0.5)).cos()
                    })
                    .sum();
                assert!(
                    (slow - f64::from(fast[n])).abs() < 0.05,
                    "{size} {n}: {slow} {}",
                    fast[n]
                );
            }
        }
    }

    #[test]
    fn slopes_add_up_to_one() {
        for window in WINDOWS.long.iter().chain(&WINDOWS.short) {
            for (a, b) in window.iter().zip(window.iter().rev()) {
                assert!((a * a + b * b - 1.0).abs() < 1e-5);
            }
        }
    }
}
