//! G.711 mu-law and A-law by tables, with packet loss concealment.

use crate::Error;
use crate::conceal::Concealer;

/// Which companding law.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    /// Mu-law: PCMU.
    Mu,
    /// A-law: PCMA.
    A,
}

/// ITU-T G.711 table 2: segments of 16 steps above a bias of 33 (in 14 bit units, here 16 bit), all bits inverted.
const fn mu_to_linear(code: u8) -> i16 {
    let code = !code;
    let exponent = (code >> 4) & 7;
    let magnitude = ((((code & 15) as i16) << 3) + 132) << exponent;
    if code & 0x80 != 0 {
        132 - magnitude
    } else {
        magnitude - 132
    }
}

/// ITU-T G.711 table 1: segments of 16 steps, even bits inverted.
const fn a_to_linear(code: u8) -> i16 {
    let code = code ^ 0x55;
    let exponent = (code >> 4) & 7;
    let mantissa = (((code & 15) as i16) << 4) + 8;
    let magnitude = if exponent == 0 {
        mantissa
    } else {
        (mantissa + 256) << (exponent - 1)
    };
    if code & 0x80 != 0 { magnitude } else { -magnitude }
}

/// Negative values are folded by their complement, as ITU-T G.191's reference does, so that a sample on a decision
/// value goes the same way as there.
fn fold(sample: i16) -> i32 {
    if sample < 0 {
        !(sample as i32)
    } else {
        sample as i32
    }
}

/// Segment and step in one: exponent and upper mantissa of a floating point number, less that of 128, are the logarithm
/// that both laws want, and the conversion is a vector instruction.
fn logarithm(magnitude: i32) -> i32 {
    ((magnitude as f32).to_bits() >> 19) as i32 - (134 << 4)
}

fn linear_to_mu(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    !(sign | logarithm((fold(sample) + 132).min(32_767))) as u8
}

fn linear_to_a(sample: i16) -> u8 {
    let sign = if sample < 0 { 0 } else { 0x80 };
    let magnitude = fold(sample);
    let code = if magnitude < 256 {
        magnitude >> 4
    } else {
        logarithm(magnitude)
    };
    ((sign | code) ^ 0x55) as u8
}

const fn decode_table(law: Law) -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = match law {
            Law::Mu => mu_to_linear(code as u8),
            Law::A => a_to_linear(code as u8),
        };
        code += 1;
    }
    table
}

static MU_TO_LINEAR: [i16; 256] = decode_table(Law::Mu);
static A_TO_LINEAR: [i16; 256] = decode_table(Law::A);

impl Law {
    /// Expands one code.
    #[must_use]
    pub fn expand(self, code: u8) -> i16 {
        match self {
            Self::Mu => MU_TO_LINEAR[usize::from(code)],
            Self::A => A_TO_LINEAR[usize::from(code)],
        }
    }

    /// Compresses one sample. Computed: as fast as 64 KiB of table, which would push other things out of the cache.
    #[must_use]
    pub fn compress(self, sample: i16) -> u8 {
        match self {
            Self::Mu => linear_to_mu(sample),
            Self::A => linear_to_a(sample),
        }
    }
}

/// Encoder: any number of samples, one byte each.
#[derive(Debug, Clone)]
pub struct Encoder {
    law: Law,
}

impl Encoder {
    /// An encoder for the law.
    #[must_use]
    pub fn new(law: Law) -> Self {
        Self { law }
    }
}

impl crate::Encoder for Encoder {
    fn sample_rate(&self) -> u32 {
        8_000
    }

    fn frame_samples(&self) -> usize {
        160
    }

    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, Error> {
        let got = out.len();
        let out = out
            .get_mut(..pcm.len())
            .ok_or(Error::OutputTooSmall { want: pcm.len(), got })?;
        match self.law {
            Law::Mu => out
                .iter_mut()
                .zip(pcm)
                .for_each(|(code, sample)| *code = linear_to_mu(*sample)),
            Law::A => out
                .iter_mut()
                .zip(pcm)
                .for_each(|(code, sample)| *code = linear_to_a(*sample)),
        }
        Ok(pcm.len())
    }

    fn reset(&mut self) {}
}

/// Decoder with concealment.
#[derive(Debug, Clone)]
pub struct Decoder {
    law: Law,
    concealer: Concealer,
}

impl Decoder {
    /// A decoder for the law.
    #[must_use]
    pub fn new(law: Law) -> Self {
        Self {
            law,
            concealer: Concealer::new(8_000),
        }
    }
}

impl crate::Decoder for Decoder {
    fn sample_rate(&self) -> u32 {
        8_000
    }

    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, Error> {
        if payload.is_empty() {
            return Err(Error::Truncated { bytes: 0 });
        }
        if out.is_empty() {
            return Err(Error::OutputTooSmall {
                want: payload.len(),
                got: 0,
            });
        }
        let n = self.look(payload, out);
        self.concealer.good(&mut out[..n]);
        Ok(n)
    }

    fn look(&self, payload: &[u8], out: &mut [i16]) -> usize {
        let table = match self.law {
            Law::Mu => &MU_TO_LINEAR,
            Law::A => &A_TO_LINEAR,
        };
        for (sample, code) in out.iter_mut().zip(payload) {
            *sample = table[usize::from(*code)];
        }
        payload.len().min(out.len())
    }

    fn conceal(&mut self, out: &mut [i16]) -> usize {
        let n = out.len().min(160);
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

    #[test]
    fn every_code_survives_the_way_there_and_back() {
        for code in 0..=255u8 {
            assert_eq!(Law::A.compress(Law::A.expand(code)), code);
            // Mu-law has two zeros; the negative one becomes the positive.
            let want = if code == 0x7f { 0xff } else { code };
            assert_eq!(Law::Mu.compress(Law::Mu.expand(code)), want);
        }
    }

    #[test]
    fn the_ends_of_the_scale() {
        assert_eq!(Law::Mu.expand(0x80), 32_124);
        assert_eq!(Law::Mu.expand(0x00), -32_124);
        assert_eq!(Law::A.expand(0xaa), 32_256);
        assert_eq!(Law::A.expand(0x2a), -32_256);
        assert_eq!(Law::Mu.compress(i16::MAX), 0x80);
        assert_eq!(Law::Mu.compress(i16::MIN), 0x00);
        assert_eq!(Law::A.compress(i16::MIN), 0x2a);
        assert_eq!((Law::Mu.expand(0xff), Law::A.expand(0xd5)), (0, 8));
    }

    #[test]
    fn each_sample_gets_the_nearest_code() {
        for law in [Law::Mu, Law::A] {
            for sample in (i16::MIN..=i16::MAX).step_by(7) {
                let error = (i32::from(law.expand(law.compress(sample))) - i32::from(sample)).abs();
                let nearest = (0..=255)
                    .map(|code| (i32::from(law.expand(code)) - i32::from(sample)).abs())
                    .min()
                    .unwrap();
                // Decision values at the joints of segments are a third of the way (G.711 tables 1 and 2).
                assert!(
                    error <= 2 * nearest + 1,
                    "{law:?} {sample}: {error} for {nearest}"
                );
            }
        }
    }
}
