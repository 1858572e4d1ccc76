//! ITU-T G.722 at 64 kbit/s: two sub-bands of ADPCM, 6 bits for the lower and 2 for the higher.

mod adpcm;
mod tables;

use crate::Error;
use crate::conceal::Concealer;
use adpcm::{Band, clamp};
use tables::{
    FILTER, HIGH_CODES, HIGH_LEVELS, HIGH_STEPS, LOW_LEVELS_4, LOW_LEVELS_6, LOW_STEPS, LOW_THRESHOLDS,
};

/// 20 ms of silence: the smallest positive steps, on which both scales die away.
pub(crate) const SILENCE: [u8; 160] = [0xfd; 160];

/// Threshold of the higher band between its two magnitudes.
const HIGH_THRESHOLD: i32 = 564;

/// The 24 taps of both halves of the quadrature mirror filter, over the last samples.
#[derive(Debug, Clone)]
struct Mirror([i32; 24]);

impl Mirror {
    /// Takes two samples and gives the sums over the taps of even and of odd places.
    fn push(&mut self, first: i32, second: i32) -> (i32, i32) {
        self.0.copy_within(2.., 0);
        [self.0[22], self.0[23]] = [first, second];
        let mut sums = (0, 0);
        for ((pair, tap), mirrored) in self.0.chunks_exact(2).zip(FILTER).zip(FILTER.iter().rev()) {
            sums.0 += pair[0] * tap;
            sums.1 += pair[1] * mirrored;
        }
        sums
    }
}

fn low_band() -> Band {
    Band::new(32, &LOW_STEPS, 18_432, 8)
}

fn high_band() -> Band {
    Band::new(8, &HIGH_STEPS, 22_528, 10)
}

/// Encoder: two samples a byte, any even number of samples.
#[derive(Debug, Clone)]
pub struct Encoder {
    mirror: Mirror,
    low: Band,
    high: Band,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            mirror: Mirror([0; 24]),
            low: low_band(),
            high: high_band(),
        }
    }
}

impl Encoder {
    fn pair(&mut self, first: i16, second: i16) -> u8 {
        let (even, odd) = self.mirror.push(i32::from(first), i32::from(second));
        let (low, high) = ((odd + even) >> 14, (odd - even) >> 14);

        let error = clamp(low - self.low.predicted());
        let magnitude = if error < 0 { !error } else { error };
        let step = LOW_THRESHOLDS
            .iter()
            .position(|threshold| magnitude < (threshold * self.low.scale()) >> 12)
            .unwrap_or(LOW_THRESHOLDS.len());
        // Codes of negative errors count down from 63 (two of them), then 31; those of positive ones from 61.
        let low_code = match (error < 0, step) {
            (true, 0 | 1) => 63 - step,
            (true, _) => 33 - step,
            (false, _) => 61 - step,
        };
        self.low.adapt(LOW_LEVELS_4[low_code >> 2], low_code >> 2);

        let error = clamp(high - self.high.predicted());
        let magnitude = if error < 0 { !error } else { error };
        let large = magnitude >= (HIGH_THRESHOLD * self.high.scale()) >> 12;
        let high_code = HIGH_CODES[usize::from(error < 0)][usize::from(large)];
        self.high.adapt(HIGH_LEVELS[high_code], high_code);
        (high_code << 6 | low_code) as u8
    }
}

impl crate::Encoder for Encoder {
    fn sample_rate(&self) -> u32 {
        16_000
    }

    fn frame_samples(&self) -> usize {
        320
    }

    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, Error> {
        if !pcm.len().is_multiple_of(2) {
            return Err(Error::FrameLength {
                want: pcm.len() + 1,
                got: pcm.len(),
            });
        }
        let (want, got) = (pcm.len() / 2, out.len());
        let out = out.get_mut(..want).ok_or(Error::OutputTooSmall { want, got })?;
        for (byte, pair) in out.iter_mut().zip(pcm.chunks_exact(2)) {
            *byte = self.pair(pair[0], pair[1]);
        }
        Ok(want)
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Decoder with concealment.
#[derive(Debug, Clone)]
pub struct Decoder {
    mirror: Mirror,
    low: Band,
    high: Band,
    concealer: Concealer,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            mirror: Mirror([0; 24]),
            low: low_band(),
            high: high_band(),
            concealer: Concealer::new(16_000),
        }
    }
}

impl Decoder {
    fn pair(&mut self, code: u8) -> [i16; 2] {
        let (low_code, high_code) = (usize::from(code & 63), usize::from(code >> 6));
        let low = self.low.quantized(LOW_LEVELS_6[low_code]).clamp(-16_384, 16_383);
        self.low.adapt(LOW_LEVELS_4[low_code >> 2], low_code >> 2);
        let high = self.high.quantized(HIGH_LEVELS[high_code]).clamp(-16_384, 16_383);
        self.high.adapt(HIGH_LEVELS[high_code], high_code);
        let (even, odd) = self.mirror.push(low + high, low - high);
        [odd, even].map(|sum| clamp(sum >> 11) as i16)
    }
}

impl crate::Decoder for Decoder {
    fn sample_rate(&self) -> u32 {
        16_000
    }

    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, Error> {
        if payload.is_empty() {
            return Err(Error::Truncated { bytes: 0 });
        }
        let pairs = payload.len().min(out.len() / 2);
        if pairs == 0 {
            return Err(Error::OutputTooSmall {
                want: 2,
                got: out.len(),
            });
        }
        let out = &mut out[..pairs * 2];
        for (samples, code) in out.chunks_exact_mut(2).zip(payload) {
            samples.copy_from_slice(&self.pair(*code));
        }
        self.concealer.good(out);
        Ok(pairs * 2)
    }

    fn conceal(&mut self, out: &mut [i16]) -> usize {
        let n = out.len().min(320);
        self.concealer.conceal(&mut out[..n]);
        n
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::dbov;
    use crate::tone::{Tone, measure};
    use crate::{Decoder as _, Encoder as _};

    fn there_and_back(pcm: &[i16]) -> Vec<i16> {
        let mut bytes = vec![0; pcm.len() / 2];
        let n = Encoder::default().encode(pcm, &mut bytes).unwrap();
        let mut out = vec![0; pcm.len()];
        assert_eq!(Decoder::default().decode(&bytes[..n], &mut out), Ok(pcm.len()));
        out
    }

    #[test]
    fn tones_of_both_bands_come_back_22_samples_later() {
        for (hz, least) in [(300.0, 35.0), (1_000.0, 35.0), (3_000.0, 30.0), (6_000.0, 12.0)] {
            let mut pcm = vec![0; 16_000];
            Tone::new(hz, -15.0, 16_000).fill(&mut pcm);
            let out = there_and_back(&pcm);
            assert!((measure(&out[1_000..], 16_000, hz) + 15.0).abs() < 0.5, "{hz}");
            let error: Vec<i16> = pcm[1_000..15_000]
                .iter()
                .zip(&out[1_022..])
                .map(|(a, b)| a - b)
                .collect();
            let ratio = -15.0 - dbov(&error);
            assert!(ratio > least, "{hz} Hz: {ratio} dB");
        }
    }

    #[test]
    fn full_scale_does_not_wrap_and_odd_lengths_are_refused() {
        let pcm: Vec<i16> = (0..3_200)
            .map(|i| if i / 40 % 2 == 0 { i16::MAX } else { i16::MIN })
            .collect();
        let out = there_and_back(&pcm);
        assert!(dbov(&out) > -1.5);
        let mut bytes = [0; 10];
        assert_eq!(
            Encoder::default().encode(&[0; 3], &mut bytes),
            Err(Error::FrameLength { want: 4, got: 3 })
        );
        let mut out = [0; 5];
        assert_eq!(Decoder::default().decode(&bytes, &mut out), Ok(4));
    }
}
