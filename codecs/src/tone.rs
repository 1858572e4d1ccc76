//! Tones: making them, and telling which one is heard.

use std::f32::consts::TAU;

/// Most frequencies one [`Tone`] sounds at once.
pub const MAX_PARTS: usize = 4;

#[derive(Debug, Clone, Copy, Default)]
struct Part {
    /// Position in the period, 0 ..< 1.
    phase: f32,
    /// Periods in a sample.
    step: f32,
    amplitude: f32,
}

/// Generator of up to [`MAX_PARTS`] sines, continuous in phase from call to call.
#[derive(Debug, Clone)]
pub struct Tone {
    parts: [Part; MAX_PARTS],
    count: usize,
}

impl Tone {
    /// One sine of `hz` at `dbov` (level of its RMS; -3.01 is full scale) for PCM at `rate` Hz.
    #[must_use]
    pub fn new(hz: f32, dbov: f32, rate: u32) -> Self {
        Self::multi(&[(hz, dbov)], rate)
    }

    /// Several sines (frequency in Hz, level in dBov each); those beyond [`MAX_PARTS`] are left out.
    #[must_use]
    pub fn multi(parts: &[(f32, f32)], rate: u32) -> Self {
        let mut tone = Self {
            parts: Default::default(),
            count: parts.len().min(MAX_PARTS),
        };
        for (part, (hz, dbov)) in tone.parts.iter_mut().zip(parts) {
            part.step = hz / rate.max(1) as f32;
            part.amplitude = 32_768.0 * std::f32::consts::SQRT_2 * 10f32.powf(dbov / 20.0);
        }
        tone
    }

    /// Fills `out`, clipping what is too loud.
    pub fn fill(&mut self, out: &mut [i16]) {
        for sample in out {
            let mut sum = 0.0;
            for part in &mut self.parts[..self.count] {
                sum += part.amplitude * (part.phase * TAU).sin();
                part.phase = (part.phase + part.step).fract();
            }
            *sample = sum.round().clamp(-32_768.0, 32_767.0) as i16;
        }
    }
}

/// Goertzel's filter: the energy of one frequency in a block.
#[derive(Debug, Clone, Copy)]
pub struct Goertzel {
    coefficient: f32,
    s1: f32,
    s2: f32,
}

impl Goertzel {
    /// A filter for `hz` in PCM at `rate` Hz.
    #[must_use]
    pub fn new(hz: f32, rate: u32) -> Self {
        Self {
            coefficient: 2.0 * (TAU * hz / rate.max(1) as f32).cos(),
            s1: 0.0,
            s2: 0.0,
        }
    }

    /// Takes one sample.
    pub fn push(&mut self, sample: f32) {
        let s0 = sample + self.coefficient * self.s1 - self.s2;
        self.s2 = self.s1;
        self.s1 = s0;
    }

    /// The squared magnitude so far (a sine of amplitude a over n samples gives about (a n / 2)²), and starts anew.
    pub fn take(&mut self) -> f32 {
        let energy = self.s1 * self.s1 + self.s2 * self.s2 - self.coefficient * self.s1 * self.s2;
        (self.s1, self.s2) = (0.0, 0.0);
        energy.max(0.0)
    }
}

/// Level of the frequency `hz` in `pcm`, dBov of the RMS of that sine alone. Resolution is about `2 * rate /
/// pcm.len()` Hz; a Hann window keeps other tones out (by more than 60 dB from 4 times that distance on).
#[must_use]
pub fn measure(pcm: &[i16], rate: u32, hz: f32) -> f32 {
    let mut filter = Goertzel::new(hz, rate);
    let n = pcm.len() as f32;
    for (i, sample) in pcm.iter().enumerate() {
        let window = 0.5 - 0.5 * (TAU * (i as f32 + 0.5) / n).cos();
        filter.push(f32::from(*sample) * window);
    }
    // The window halves the amplitude; RMS of a sine is its amplitude over the root of 2.
    let amplitude = filter.take().sqrt() * 4.0 / n;
    let level = 20.0 * (amplitude / std::f32::consts::SQRT_2 / 32_768.0).log10();
    if level.is_finite() {
        level.max(crate::level::SILENCE_DBOV)
    } else {
        crate::level::SILENCE_DBOV
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::dbov;

    #[test]
    fn level_and_frequency_are_as_asked() {
        for rate in [8_000, 16_000, 48_000] {
            let mut pcm = vec![0; rate as usize / 5];
            Tone::new(440.0, -20.0, rate).fill(&mut pcm);
            assert!((dbov(&pcm) + 20.0).abs() < 0.1);
            assert!((measure(&pcm, rate, 440.0) + 20.0).abs() < 0.1);
            assert!(
                measure(&pcm, rate, 520.0) < -75.0,
                "{}",
                measure(&pcm, rate, 520.0)
            );
        }
    }

    #[test]
    fn phase_runs_on_between_calls() {
        let mut whole = [0; 500];
        Tone::multi(&[(350.0, -16.0), (440.0, -16.0)], 8_000).fill(&mut whole);
        let mut tone = Tone::multi(&[(350.0, -16.0), (440.0, -16.0)], 8_000);
        let mut parts = [0; 500];
        let (a, b) = parts.split_at_mut(123);
        tone.fill(a);
        tone.fill(b);
        assert_eq!(whole, parts);
    }

    #[test]
    fn parts_are_told_apart() {
        let mut pcm = [0; 1600];
        Tone::multi(&[(697.0, -10.0), (1209.0, -8.0)], 8_000).fill(&mut pcm);
        assert!((measure(&pcm, 8_000, 697.0) + 10.0).abs() < 0.1);
        assert!((measure(&pcm, 8_000, 1209.0) + 8.0).abs() < 0.1);
        assert!(measure(&pcm, 8_000, 1000.0) < -70.0);
        assert_eq!(measure(&[0; 160], 8_000, 1000.0), crate::level::SILENCE_DBOV);
        assert_eq!(measure(&[], 8_000, 1000.0), crate::level::SILENCE_DBOV);
    }
}
