//! Linear 16 bit PCM: big-endian in RTP (RFC 3551 §4.5.11), little-endian in FLV format 3.

use crate::Error;
use crate::conceal::Concealer;

/// Swaps the bytes of each sample in place: turns an RTP payload into an FLV one and back. An odd last byte stays.
pub fn swap(payload: &mut [u8]) {
    for pair in payload.chunks_exact_mut(2) {
        pair.swap(0, 1);
    }
}

/// Encoder: any number of samples, two bytes each, big-endian.
#[derive(Debug, Clone)]
pub struct Encoder {
    rate: u32,
}

impl Encoder {
    /// An encoder at `rate` Hz.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        Self { rate }
    }
}

impl crate::Encoder for Encoder {
    fn sample_rate(&self) -> u32 {
        self.rate
    }

    fn frame_samples(&self) -> usize {
        self.rate as usize / 50
    }

    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, Error> {
        let (want, got) = (pcm.len() * 2, out.len());
        let out = out.get_mut(..want).ok_or(Error::OutputTooSmall { want, got })?;
        for (bytes, sample) in out.chunks_exact_mut(2).zip(pcm) {
            bytes.copy_from_slice(&sample.to_be_bytes());
        }
        Ok(want)
    }

    fn reset(&mut self) {}
}

/// Decoder with concealment.
#[derive(Debug, Clone)]
pub struct Decoder {
    rate: u32,
    concealer: Concealer,
}

impl Decoder {
    /// A decoder at `rate` Hz.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        Self {
            rate,
            concealer: Concealer::new(rate),
        }
    }
}

impl crate::Decoder for Decoder {
    fn sample_rate(&self) -> u32 {
        self.rate
    }

    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, Error> {
        let samples = payload.len() / 2;
        if samples == 0 {
            return Err(Error::Truncated { bytes: payload.len() });
        }
        if out.is_empty() {
            return Err(Error::OutputTooSmall {
                want: samples,
                got: 0,
            });
        }
        let n = self.look(payload, out);
        self.concealer.good(&mut out[..n]);
        Ok(n)
    }

    fn look(&self, payload: &[u8], out: &mut [i16]) -> usize {
        for (sample, bytes) in out.iter_mut().zip(payload.chunks_exact(2)) {
            *sample = i16::from_be_bytes([bytes[0], bytes[1]]);
        }
        (payload.len() / 2).min(out.len())
    }

    fn conceal(&mut self, out: &mut [i16]) -> usize {
        let n = out.len().min(self.rate as usize / 50);
        self.concealer.conceal(&mut out[..n]);
        n
    }

    fn reset(&mut self) {
        self.concealer.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decoder as _, Encoder as _};

    #[test]
    fn samples_survive_and_are_big_endian() {
        let pcm = [0i16, 1, -1, 0x1234, i16::MIN, i16::MAX];
        let mut bytes = [0u8; 12];
        assert_eq!(Encoder::new(8_000).encode(&pcm, &mut bytes), Ok(12));
        assert_eq!(bytes[6..8], [0x12, 0x34]);
        let mut out = [0i16; 6];
        assert_eq!(Decoder::new(8_000).decode(&bytes, &mut out), Ok(6));
        assert_eq!(out, pcm);
        swap(&mut bytes);
        assert_eq!(bytes[6..8], [0x34, 0x12]);
    }

    #[test]
    fn less_than_a_sample_is_an_error_and_short_output_is_filled() {
        let mut out = [0i16; 2];
        assert_eq!(
            Decoder::new(8_000).decode(&[1], &mut out),
            Err(Error::Truncated { bytes: 1 })
        );
        assert_eq!(
            Decoder::new(8_000).decode(&[0, 1, 0, 2, 0, 3, 9], &mut out),
            Ok(2)
        );
        assert_eq!(out, [1, 2]);
    }
}
