//! The lapped transform: 128 coefficients, sine window, over a DCT-IV by a complex FFT of 64.

use std::f32::consts::PI;

/// Coefficients, and samples a step.
pub(super) const SIZE: usize = 128;
const HALF: usize = SIZE / 2;

#[derive(Clone, Copy, Default)]
struct Complex {
    re: f32,
    im: f32,
}

impl Complex {
    fn unit(angle: f32) -> Self {
        Self {
            re: angle.cos(),
            im: angle.sin(),
        }
    }

    fn times(self, other: Self) -> Self {
        Self {
            re: self.re * other.re - self.im * other.im,
            im: self.re * other.im + self.im * other.re,
        }
    }
}

/// State of one direction of one stream, with its tables.
pub(super) struct Transform {
    window: [f32; SIZE],
    /// Rotation before and after the FFT.
    twist: [Complex; HALF],
    /// Roots of unity.
    roots: [Complex; HALF / 2],
    /// Analysis: the last samples. Synthesis: the windowed second half of the last transform.
    overlap: [f32; SIZE],
}

impl Transform {
    pub(super) fn new() -> Self {
        let size = SIZE as f32;
        let mut new = Self {
            window: [0.0; SIZE],
            twist: [Complex::default(); HALF],
            roots: [Complex::default(); HALF / 2],
            overlap: [0.0; SIZE],
        };
        for (i, w) in new.window.iter_mut().enumerate() {
            *w = (PI * (i as f32 + 0.5) / (2.0 * size)).sin();
        }
        for (i, t) in new.twist.iter_mut().enumerate() {
            *t = Complex::unit(-PI * (8 * i + 1) as f32 / (8.0 * size));
        }
        for (i, r) in new.roots.iter_mut().enumerate() {
            *r = Complex::unit(-2.0 * PI * i as f32 / HALF as f32);
        }
        new
    }

    pub(super) fn reset(&mut self) {
        self.overlap.fill(0.0);
    }

    /// Takes the next [`SIZE`] samples and gives the coefficients of these and the ones before.
    pub(super) fn analyse(&mut self, pcm: &[i16], spectrum: &mut [f32; SIZE]) {
        let mut now = [0.0; SIZE];
        for (now, sample) in now.iter_mut().zip(pcm) {
            *now = f32::from(*sample);
        }
        let (old, w) = (&self.overlap, &self.window);
        // The window of 256 as quarters a b c d folds to (-c' - d, a - b'), where ' reverses.
        for i in 0..HALF {
            let c = now[HALF - 1 - i] * w[HALF + i];
            let d = now[HALF + i] * w[HALF - 1 - i];
            let a = old[i] * w[i];
            let b = old[SIZE - 1 - i] * w[SIZE - 1 - i];
            spectrum[i] = -c - d;
            spectrum[HALF + i] = a - b;
        }
        self.overlap = now;
        self.dct4(spectrum);
        // Synthesis is a plain sum, so the factor of the inverse stands here.
        for value in spectrum.iter_mut() {
            *value *= 2.0 / SIZE as f32;
        }
    }

    /// Gives the next [`SIZE`] samples, rounded. Spoils the spectrum.
    pub(super) fn synthesize(&mut self, spectrum: &mut [f32; SIZE], out: &mut [i16]) {
        self.dct4(spectrum);
        for (i, out) in out.iter_mut().take(SIZE).enumerate() {
            let (first, second) = if i < HALF {
                (spectrum[HALF + i], -spectrum[HALF - 1 - i])
            } else {
                (-spectrum[SIZE + HALF - 1 - i], -spectrum[i - HALF])
            };
            let sample = self.overlap[i] + first * self.window[i];
            *out = sample.round_ties_even().clamp(-32_768.0, 32_767.0) as i16;
            self.overlap[i] = second * self.window[SIZE - 1 - i];
        }
    }

    /// DCT of type IV in place, not scaled: applied twice it multiplies by half of [`SIZE`].
    fn dct4(&self, x: &mut [f32; SIZE]) {
        let mut t = [Complex::default(); HALF];
        for (i, (t, twist)) in t.iter_mut().zip(&self.twist).enumerate() {
            *t = Complex {
                re: x[2 * i],
                im: x[SIZE - 1 - 2 * i],
            }
            .times(*twist);
        }
        self.fft(&mut t);
        for (i, (t, twist)) in t.iter().zip(&self.twist).enumerate() {
            let y = t.times(*twist);
            x[2 * i] = y.re;
            x[SIZE - 1 - 2 * i] = -y.im;
        }
    }

    /// Radix 2, decimation in frequency, then order by reversed bits.
    fn fft(&self, x: &mut [Complex; HALF]) {
        let mut span = HALF;
        while span > 1 {
            let half = span / 2;
            let stride = HALF / span;
            for group in x.chunks_exact_mut(span) {
                let (low, high) = group.split_at_mut(half);
                for (i, (a, b)) in low.iter_mut().zip(high).enumerate() {
                    let difference = Complex {
                        re: a.re - b.re,
                        im: a.im - b.im,
                    };
                    *a = Complex {
                        re: a.re + b.re,
                        im: a.im + b.im,
                    };
                    *b = difference.times(self.roots[i * stride]);
                }
            }
            span = half;
        }
        for i in 0..HALF {
            let j = ((i as u32).reverse_bits() >> (32 - HALF.trailing_zeros())) as usize;
            if i < j {
                x.swap(i, j);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_transform_is_the_slow_one() {
        let x: [f32; SIZE] = std::array::from_fn(|i| ((i * i * 31 + 7 * i) % 101) as f32 - 50.0);
        let mut fast = x;
        Transform::new().dct4(&mut fast);
        for (k, fast) in fast.iter().enumerate() {
            let slow: f64 = (0..SIZE)
                .map(|n| {
                    let angle = std::f64::consts::PI / SIZE as f64 * (n as f64 + 0.5) * (k as f64 + 0.5);
                    f64::from(x[n]) * angle.cos()
                })
                .sum();
            assert!((slow - f64::from(*fast)).abs() < 0.01, "{k}: {fast} not {slow}");
        }
    }

    #[test]
    fn analysis_and_synthesis_give_the_samples_back_a_step_later() {
        let pcm: Vec<i16> = (0..SIZE * 6)
            .map(|i| ((i * i * 17) % 20_011) as i16 - 10_000)
            .collect();
        let (mut there, mut back) = (Transform::new(), Transform::new());
        let mut out = Vec::new();
        for chunk in pcm.chunks_exact(SIZE) {
            let (mut spectrum, mut samples) = ([0.0; SIZE], [0; SIZE]);
            there.analyse(chunk, &mut spectrum);
            back.synthesize(&mut spectrum, &mut samples);
            out.extend_from_slice(&samples);
        }
        for (a, b) in pcm.iter().zip(&out[SIZE..]) {
            assert!(a.abs_diff(*b) <= 1);
        }
    }
}
