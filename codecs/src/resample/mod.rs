//! Sample rate conversion: nothing, an own half-band filter between 8 and 16 kHz, libspeexdsp for all other pairs.

mod dsp;
mod halfband;

use crate::Error;
use dsp::Dsp;
use halfband::{Down, Up};

/// Converts a stream of PCM from one rate to another. Never allocates after construction.
pub struct Resampler {
    from: u32,
    to: u32,
    kind: Kind,
}

enum Kind {
    Same,
    Down(Box<Down>),
    Up(Box<Up>),
    Dsp(Dsp),
}

impl Resampler {
    /// A converter from `from` Hz to `to` Hz (1,000 to 192,000 each). `quality` 0 ..= 10 is libspeexdsp's (3 is meant
    /// for telephony) and says nothing about the half-band filter.
    ///
    /// # Errors
    /// [`Error::Rates`] for rates out of range, [`Error::Library`] when libspeexdsp has no memory.
    pub fn new(from: u32, to: u32, quality: u8) -> Result<Self, Error> {
        let range = 1_000..=192_000;
        if !range.contains(&from) || !range.contains(&to) {
            return Err(Error::Rates { from, to });
        }
        let kind = match (from, to) {
            _ if from == to => Kind::Same,
            _ if from == to * 2 => Kind::Down(Box::new(Down::new())),
            _ if from * 2 == to => Kind::Up(Box::new(Up::new())),
            _ => Kind::Dsp(Dsp::new(from, to, quality)?),
        };
        Ok(Self { from, to, kind })
    }

    /// Whether input and output rates are the same, so that the call can be left out.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        matches!(self.kind, Kind::Same)
    }

    /// Input rate, Hz.
    #[must_use]
    pub fn from(&self) -> u32 {
        self.from
    }

    /// Output rate, Hz.
    #[must_use]
    pub fn to(&self) -> u32 {
        self.to
    }

    /// The most samples `n` samples of input can give.
    #[must_use]
    pub fn max_out(&self, n: usize) -> usize {
        match self.kind {
            Kind::Same => n,
            _ => (n as u64 * u64::from(self.to)).div_ceil(u64::from(self.from)) as usize + 1,
        }
    }

    /// Delay of the filter, output samples.
    #[must_use]
    pub fn latency(&self) -> usize {
        match &self.kind {
            Kind::Same => 0,
            Kind::Down(_) => halfband::LATENCY.div_ceil(2),
            Kind::Up(_) => halfband::LATENCY,
            Kind::Dsp(dsp) => dsp.latency(),
        }
    }

    /// Converts all of `input` and returns the samples written. `out` must have room for [`Self::max_out`]; what does
    /// not fit is lost.
    pub fn process(&mut self, input: &[i16], out: &mut [i16]) -> usize {
        match &mut self.kind {
            Kind::Same => {
                let n = input.len().min(out.len());
                out[..n].copy_from_slice(&input[..n]);
                n
            }
            Kind::Down(filter) => filter.process(input, out),
            Kind::Up(filter) => filter.process(input, out),
            Kind::Dsp(dsp) => dsp.process(input, out),
        }
    }

    /// Forgets the past.
    pub fn reset(&mut self) {
        match &mut self.kind {
            Kind::Same => {}
            Kind::Down(filter) => **filter = Down::new(),
            Kind::Up(filter) => **filter = Up::new(),
            Kind::Dsp(dsp) => dsp.reset(),
        }
    }
}

impl std::fmt::Debug for Resampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Resampler({} to {} Hz)", self.from, self.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::dbov;
    use crate::tone::{Tone, measure};

    /// Passes a second of a tone through in odd pieces and returns the settled rest of the output.
    fn pass(from: u32, to: u32, hz: f32) -> Vec<i16> {
        let mut resampler = Resampler::new(from, to, 5).unwrap();
        let mut input = vec![0; from as usize];
        Tone::new(hz, -10.0, from).fill(&mut input);
        let mut output = Vec::new();
        let mut at = 0;
        for piece in [1, 160, 7, 320, 33].iter().cycle() {
            let chunk = &input[at..(at + piece).min(input.len())];
            if chunk.is_empty() {
                break;
            }
            at += chunk.len();
            let mut out = vec![0; resampler.max_out(chunk.len())];
            let n = resampler.process(chunk, &mut out);
            output.extend_from_slice(&out[..n]);
        }
        let expected = to as usize;
        assert!(
            output.len().abs_diff(expected) <= 2,
            "{from} to {to}: {} samples",
            output.len()
        );
        output.split_off(to as usize / 10)
    }

    #[test]
    fn the_pass_band_is_flat() {
        for (from, to) in [
            (8_000, 16_000),
            (16_000, 8_000),
            (16_000, 48_000),
            (44_100, 16_000),
            (22_050, 8_000),
        ] {
            for hz in [100.0, 300.0, 1000.0, 2000.0, 3000.0, 3400.0] {
                let out = pass(from, to, hz);
                let level = measure(&out, to, hz);
                assert!((level + 10.0).abs() < 0.2, "{from} to {to}, {hz} Hz: {level}");
                assert!(
                    (dbov(&out) + 10.0).abs() < 0.2,
                    "{from} to {to}, {hz} Hz: something else is heard"
                );
            }
        }
    }

    #[test]
    fn aliases_and_images_are_suppressed() {
        for hz in [4600.0, 5000.0, 6500.0, 7800.0] {
            let out = pass(16_000, 8_000, hz);
            assert!(dbov(&out) < -70.0, "{hz} Hz comes through at {}", dbov(&out));
        }
        for hz in [300.0, 1000.0, 3400.0] {
            let out = pass(8_000, 16_000, hz);
            let image = measure(&out, 16_000, 8_000.0 - hz);
            assert!(image < -70.0, "image of {hz} Hz at {image}");
        }
    }

    #[test]
    fn identity_is_free_and_bad_rates_are_refused() {
        let mut same = Resampler::new(8_000, 8_000, 3).unwrap();
        let mut out = [0; 3];
        assert!(same.is_identity());
        assert_eq!(same.process(&[1, 2, 3], &mut out), 3);
        assert_eq!(out, [1, 2, 3]);
        for (from, to) in [(0, 8_000), (8_000, 0), (8_000, u32::MAX)] {
            assert_eq!(Resampler::new(from, to, 3).err(), Some(Error::Rates { from, to }));
        }
    }

    #[test]
    fn latency_is_as_stated_and_reset_forgets() {
        for (from, to) in [(8_000, 16_000), (16_000, 8_000), (16_000, 48_000)] {
            let mut resampler = Resampler::new(from, to, 3).unwrap();
            let mut first = Vec::new();
            for _ in 0..2 {
                let mut input = vec![0i16; from as usize / 50];
                input[40] = 20_000;
                let mut out = vec![0; resampler.max_out(input.len())];
                let n = resampler.process(&input, &mut out);
                let peak = (0..n).max_by_key(|i| out[*i]).unwrap();
                let expected = 40 * to as usize / from as usize + resampler.latency();
                assert!(
                    peak.abs_diff(expected) <= 1,
                    "{from} to {to}: {peak} not {expected}"
                );
                if first.is_empty() {
                    first = out.clone();
                }
                assert_eq!(out, first);
                resampler.reset();
            }
        }
    }
}
