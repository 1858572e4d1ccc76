//! Nellymoser Asao, the speech codec of Flash Player before version 10.
//!
//! A block of 64 bytes is 256 samples at any rate: a step of 6 bits and 22 of 5 give the level of 23 bands; from these
//! levels alone follows how many bits each coefficient has ([`bits`]); twice 198 bits are the coefficients of two
//! transforms of 128 (sine window, half overlapping), of which the lowest 124 are sent. Bits come lowest first.

mod bits;
mod tables;
mod transform;

use crate::Error;
use crate::conceal::Concealer;
use tables::{BANDS, DELTAS, LEVELS, SENT, STARTS};
use transform::{SIZE, Transform};

/// Bytes of a block.
pub const BLOCK_BYTES: usize = 64;
/// Samples of a block.
pub const BLOCK_SAMPLES: usize = 2 * SIZE;

const HEADER_BITS: usize = 6 + 22 * 5;

/// A block of silence (settled encoder).
pub(crate) const SILENCE: [u8; BLOCK_BYTES] = [
    64, 138, 49, 198, 24, 99, 140, 49, 198, 24, 99, 140, 49, 198, 184, 169, 170, 170, 170, 170, 170, 170,
    170, 170, 170, 170, 170, 170, 170, 170, 170, 170, 170, 255, 255, 255, 255, 255, 255, 111, 170, 170, 170,
    170, 170, 170, 170, 170, 170, 170, 170, 170, 170, 170, 170, 170, 170, 234, 255, 255, 255, 255, 255, 255,
];

/// Largest coefficient in units of its band's level. More than the largest value there is (2.4): raising a whole band for
/// one coefficient's sake is heard as noise; PESQ is best from here on.
const REACH: f32 = 4.0;

/// Amplitude of a level: levels count 2,048 to the octave; the scale makes samples 16 bit.
fn amplitude(level: i32) -> f32 {
    (level as f32 / 2_048.0).exp2() / 8.0
}

/// The levels of the coefficients that are sent.
fn spread(levels: &[i32; BANDS.len()]) -> [i32; SENT] {
    let mut spread = [0; SENT];
    let mut rest = &mut spread[..];
    for (size, level) in BANDS.iter().zip(levels) {
        let (band, after) = std::mem::take(&mut rest).split_at_mut(*size);
        band.fill(*level);
        rest = after;
    }
    spread
}

/// Reads bits lowest first. Reads zeros behind the end, which no block reaches.
struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl BitReader<'_> {
    fn take(&mut self, count: usize) -> usize {
        let byte = |i: usize| u32::from(self.bytes.get(i).copied().unwrap_or(0));
        let word = byte(self.at / 8) | byte(self.at / 8 + 1) << 8;
        let value = (word >> (self.at % 8)) & ((1 << count) - 1);
        self.at += count;
        value as usize
    }
}

/// Writes bits lowest first into zeroed bytes.
struct BitWriter<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl BitWriter<'_> {
    fn put(&mut self, value: usize, count: usize) {
        let shifted = value << (self.at % 8);
        for (i, byte) in self.bytes.iter_mut().skip(self.at / 8).take(2).enumerate() {
            *byte |= (shifted >> (8 * i)) as u8;
        }
        self.at += count;
    }
}

/// Decoder with concealment.
pub struct Decoder {
    rate: u32,
    transform: Transform,
    concealer: Concealer,
    noise: u32,
}

impl Decoder {
    /// A decoder of blocks at `rate` Hz.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        Self {
            rate,
            transform: Transform::new(),
            concealer: Concealer::new(rate),
            noise: 1,
        }
    }

    fn block(&mut self, block: &[u8], out: &mut [i16]) {
        let mut reader = BitReader { bytes: block, at: 0 };
        let mut levels = [0; BANDS.len()];
        let mut level = 0;
        for (i, place) in levels.iter_mut().enumerate() {
            level += if i == 0 {
                STARTS[reader.take(6)]
            } else {
                DELTAS[reader.take(5)]
            };
            *place = level;
        }
        let spread = spread(&levels);
        let bits = bits::allocate(&spread);
        let mut amplitudes = [0.0; SENT];
        let mut at = 0;
        for (size, level) in BANDS.iter().zip(levels) {
            amplitudes[at..at + size].fill(amplitude(level));
            at += size;
        }
        for (half, out) in out.chunks_exact_mut(SIZE).enumerate() {
            reader.at = HEADER_BITS + half * bits::BUDGET;
            let mut spectrum = [0.0; SIZE];
            for ((place, bits), amplitude) in spectrum.iter_mut().zip(bits).zip(amplitudes) {
                let value = if bits == 0 {
                    self.random_sign() * std::f32::consts::FRAC_1_SQRT_2
                } else {
                    LEVELS[(1 << bits) - 1 + reader.take(usize::from(bits))]
                };
                *place = value * amplitude;
            }
            self.transform.synthesize(&mut spectrum, out);
        }
    }

    /// Coefficients without bits are noise.
    fn random_sign(&mut self) -> f32 {
        self.noise = self.noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if self.noise >> 31 == 0 { 1.0 } else { -1.0 }
    }
}

impl crate::Decoder for Decoder {
    fn sample_rate(&self) -> u32 {
        self.rate
    }

    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, Error> {
        if payload.len() < BLOCK_BYTES {
            return Err(Error::Truncated { bytes: payload.len() });
        }
        if out.len() < BLOCK_SAMPLES {
            return Err(Error::OutputTooSmall {
                want: BLOCK_SAMPLES,
                got: out.len(),
            });
        }
        let mut written = 0;
        for (block, out) in payload
            .chunks_exact(BLOCK_BYTES)
            .zip(out.chunks_exact_mut(BLOCK_SAMPLES))
        {
            self.block(block, out);
            written += BLOCK_SAMPLES;
        }
        self.concealer.good(&mut out[..written]);
        Ok(written)
    }

    fn conceal(&mut self, out: &mut [i16]) -> usize {
        let n = out.len().min(self.rate as usize / 50);
        self.concealer.conceal(&mut out[..n]);
        n
    }

    fn reset(&mut self) {
        self.transform.reset();
        self.concealer.reset();
    }
}

/// Encoder. Delays by 128 samples.
pub struct Encoder {
    rate: u32,
    transform: Transform,
}

impl Encoder {
    /// An encoder of blocks at `rate` Hz.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        Self {
            rate,
            transform: Transform::new(),
        }
    }
}

/// The index of the entry nearest to `value` in a rising table.
fn nearest<T: Copy + Into<f64>>(table: &[T], value: f64) -> usize {
    let above = table
        .partition_point(|entry| (*entry).into() < value)
        .min(table.len() - 1);
    let below = above.saturating_sub(1);
    if value - table[below].into() < table[above].into() - value {
        below
    } else {
        above
    }
}

/// The level each band should have.
fn wanted_levels(spectra: &[[f32; SIZE]; 2]) -> [f64; BANDS.len()] {
    let mut wanted = [0.0; BANDS.len()];
    let mut at = 0;
    for (wanted, size) in wanted.iter_mut().zip(BANDS) {
        let band = || spectra.iter().flat_map(|s| &s[at..at + size]).map(|c| c * c);
        let mean = band().sum::<f32>() / (2 * size) as f32;
        // A lone peak must be within reach of the largest values.
        let peak = band().fold(0.0, f32::max) / (REACH * REACH);
        at += size;
        // Nothing below the lowest start of the scale can be heard.
        *wanted = f64::from((mean.max(peak) * 64.0).max(1.0).log2()) * 1_024.0;
    }
    // A steep rise is prepared by the bands before it.
    let steepest = f64::from(DELTAS[DELTAS.len() - 1]);
    for i in (1..wanted.len()).rev() {
        wanted[i - 1] = wanted[i - 1].max(wanted[i] - steepest);
    }
    wanted
}

impl crate::Encoder for Encoder {
    fn sample_rate(&self) -> u32 {
        self.rate
    }

    fn frame_samples(&self) -> usize {
        BLOCK_SAMPLES
    }

    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, Error> {
        if pcm.len() != BLOCK_SAMPLES {
            return Err(Error::FrameLength {
                want: BLOCK_SAMPLES,
                got: pcm.len(),
            });
        }
        let got = out.len();
        let out = out.get_mut(..BLOCK_BYTES).ok_or(Error::OutputTooSmall {
            want: BLOCK_BYTES,
            got,
        })?;
        out.fill(0);
        let mut spectra = [[0.0; SIZE]; 2];
        for (spectrum, pcm) in spectra.iter_mut().zip(pcm.chunks_exact(SIZE)) {
            self.transform.analyse(pcm, spectrum);
        }

        let mut writer = BitWriter { bytes: out, at: 0 };
        let wanted = wanted_levels(&spectra);
        let mut levels = [0; BANDS.len()];
        let mut level = 0;
        for (i, (place, wanted)) in levels.iter_mut().zip(wanted).enumerate() {
            let (table, width) = if i == 0 {
                (&STARTS[..], 6)
            } else {
                (&DELTAS[..], 5)
            };
            let index = nearest(table, wanted - f64::from(level));
            writer.put(index, width);
            level += table[index];
            *place = level;
        }

        let spread = spread(&levels);
        let bits = bits::allocate(&spread);
        for (half, spectrum) in spectra.iter().enumerate() {
            writer.at = HEADER_BITS + half * bits::BUDGET;
            for ((value, bits), level) in spectrum.iter().zip(bits).zip(spread) {
                if bits > 0 {
                    let first = (1 << bits) - 1;
                    let table = &LEVELS[first..2 * first + 1];
                    writer.put(
                        nearest(table, f64::from(value / amplitude(level))),
                        usize::from(bits),
                    );
                }
            }
        }
        Ok(BLOCK_BYTES)
    }

    fn reset(&mut self) {
        self.transform.reset();
    }
}

#[cfg(test)]
mod tests;
