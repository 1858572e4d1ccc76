//! The encoder: AAC-LC, mono, long windows, at a bit rate that is held by a reservoir.
//!
//! A frame's spectrum gets a noise threshold for each band ([`psycho`]); the thresholds are raised together until the
//! frame fits what the reservoir grants; the coarsest step that keeps below the threshold quantizes a band, and the
//! cheapest run of codebooks writes it ([`pack`]).

mod pack;
mod psycho;

use crate::Error;

use super::filterbank::{Analysis, FRAME};
use super::tables::{LONG, RATES};
use pack::{MOST_BANDS, Packer, Scales};
use psycho::Psycho;

/// Bits a second unless another rate is asked for.
const BITRATE: u32 = 48_000;
/// The largest frame that a decoder has to take, bits a channel (ISO/IEC 14496-3 §4.5.3.1).
const LARGEST: usize = 6_144;
/// Bytes of the largest frame, with the packet type before it.
pub(crate) const MAX_FRAME_BYTES: usize = 1 + LARGEST / 8;
/// What the frame of a silent encoder is: one channel without bands, and the end.
pub(crate) const SILENCE: [u8; 5] = [super::RAW, 0x00, 0xc8, 0x00, 0x07];
/// The configuration of 48 kHz, [`config`].
pub(crate) const CONFIGURATION: [u8; 3] = [super::CONFIG, 0x11, 0x88];
/// Rounds of the search for the thresholds.
const ROUNDS: usize = 7;
/// The loudest spectrum is below this to the fourth power.
const HIGHEST: f32 = 65_536.0;
/// The largest quantized value.
const MOST: f32 = 8_191.0;
/// Value that is added before rounding down: what suits the curved quantizer best (§4.6.1 annex).
const ROUNDING: f32 = 0.405_4;

/// The configuration that a decoder of [`Encoder`]'s frames needs first, with its packet type: an AudioSpecificConfig of
/// AAC-LC, one channel. `None` for a rate that AAC does not have.
#[must_use]
pub fn config(rate: u32) -> Option<[u8; 3]> {
    let index = RATES.iter().position(|r| *r == rate)? as u16;
    // Object type 2 (5 bits), rate (4), channels (4), three flags.
    let [high, low] = (2 << 11 | index << 7 | 1 << 3).to_be_bytes();
    Some([super::CONFIG, high, low])
}

/// Encoder of one stream; its payloads are those that [`super::Decoder`] takes.
pub struct Encoder {
    rate: u32,
    analysis: Analysis,
    psycho: Psycho,
    packer: Packer,
    spectrum: Box<[f32; FRAME]>,
    work: Box<Work>,
    /// By how much thresholds were raised last.
    raise: f32,
    /// Bits of a frame at the wanted rate.
    mean: usize,
    /// Bits saved by earlier frames, and the most that are kept.
    reservoir: usize,
    most_saved: usize,
}

/// What a frame is worked out in.
struct Work {
    /// Sizes to the power of 3/4.
    curved: [f32; FRAME],
    quantized: [i16; FRAME],
    thresholds: [f32; MOST_BANDS],
    scales: Scales,
}

impl Encoder {
    /// An encoder of PCM at `rate` Hz, 8,000 to 48,000 (another is taken as 48,000), into `bitrate` bits a second (0:
    /// 48,000), at least 8,000 and at most what frames can hold.
    #[must_use]
    pub fn new(rate: u32, bitrate: u32) -> Encoder {
        let known = |r: &u32| *r == rate && (8_000..=48_000).contains(r);
        let rate_index = RATES.iter().position(known).unwrap_or(3);
        let rate = RATES[rate_index];
        let bitrate = if bitrate == 0 { BITRATE } else { bitrate }.max(8_000);
        let mean = (u64::from(bitrate) * FRAME as u64 / u64::from(rate)) as usize;
        let mean = mean.min(LARGEST / 2);
        let offsets = LONG[rate_index];
        Encoder {
            rate,
            analysis: Analysis::new(),
            psycho: Psycho::new(rate, bitrate, offsets),
            packer: Packer::new(offsets),
            spectrum: Box::new([0.0; FRAME]),
            work: Box::new(Work {
                curved: [0.0; FRAME],
                quantized: [0; FRAME],
                thresholds: [0.0; MOST_BANDS],
                scales: Scales::default(),
            }),
            raise: 0.0,
            mean,
            reservoir: 0,
            most_saved: (LARGEST - mean).min(3 * mean),
        }
    }

    /// Finds the thresholds with which the frame fits `grant` bits, and leaves it quantized.
    fn fit(&mut self, bands: usize, grant: usize) -> usize {
        let bits = self.quantize(bands, 0.0, true);
        if bits <= grant {
            self.raise = 0.0;
            return bits;
        }
        // With holes allowed everything fits in the end: the thresholds rise above all energy.
        for keep in [true, false] {
            let (mut low, mut high) = (0.0f32, self.raise.max(1.0));
            let mut bits = self.quantize(bands, high, keep);
            while bits > grant && high < HIGHEST {
                low = high;
                high *= 2.0;
                bits = self.quantize(bands, high, keep);
            }
            if bits > grant {
                continue;
            }
            for _ in 0..ROUNDS {
                // Near enough.
                if bits <= grant && bits + grant / 50 >= grant {
                    return bits;
                }
                let middle = (low + high) / 2.0;
                bits = self.quantize(bands, middle, keep);
                if bits <= grant {
                    high = middle;
                } else {
                    low = middle;
                }
            }
            self.raise = high;
            return self.quantize(bands, high, keep);
        }
        self.quantize(0, 0.0, false)
    }

    /// Quantizes with thresholds raised by `raise` (in the scale of loudness), and counts the bits.
    fn quantize(&mut self, bands: usize, raise: f32, keep: bool) -> usize {
        let work = &mut *self.work;
        self.psycho.raise(bands, raise, keep, &mut work.thresholds);
        work.scales.bands = bands;
        let offsets = self.psycho.offsets();
        let mut last: Option<i16> = None;
        for band in 0..bands {
            let range = usize::from(offsets[band])..usize::from(offsets[band + 1]);
            let quantized = &mut work.quantized[range.clone()];
            let curved = &work.curved[range];
            let threshold = work.thresholds[band];
            let Some(scale) = self.psycho.scale(band, threshold, last) else {
                quantized.fill(0);
                continue;
            };
            // 2^(-3/16 (scale - 100)).
            let factor = (f32::from(100 - scale) * (3.0 / 16.0)).exp2();
            let mut any = false;
            for (q, c) in quantized.iter_mut().zip(curved) {
                *q = (c * factor + ROUNDING).min(MOST) as i16;
                any |= *q != 0;
            }
            if any {
                work.scales.of[band] = scale;
                last = Some(scale);
            }
        }
        self.packer.plan(&work.quantized, &work.scales)
    }
}

impl crate::Encoder for Encoder {
    fn sample_rate(&self) -> u32 {
        self.rate
    }

    fn frame_samples(&self) -> usize {
        FRAME
    }

    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, Error> {
        if pcm.len() != FRAME {
            return Err(Error::FrameLength {
                got: pcm.len(),
                want: FRAME,
            });
        }
        if out.len() < MAX_FRAME_BYTES {
            return Err(Error::OutputTooSmall {
                got: out.len(),
                want: MAX_FRAME_BYTES,
            });
        }
        self.analysis.run(pcm, &mut self.spectrum);
        let bands = self.psycho.look(&self.spectrum);
        for (curved, x) in self.work.curved.iter_mut().zip(&*self.spectrum) {
            let size = x.abs();
            *curved = (size * size.sqrt()).sqrt();
        }
        // What was saved is spent little by little; a full reservoir is spent, not wasted.
        let grant = (self.mean + self.reservoir / 3).min(LARGEST - 16);
        let bits = self.fit(bands, grant);
        self.reservoir = (self.reservoir + self.mean)
            .saturating_sub(bits.next_multiple_of(8))
            .min(self.most_saved);
        let (packet, frame) = out.split_at_mut(1);
        packet[0] = super::RAW;
        let work = &*self.work;
        let len = self
            .packer
            .write(&self.spectrum, &work.quantized, &work.scales, frame);
        Ok(1 + len)
    }

    fn reset(&mut self) {
        self.analysis = Analysis::new();
        self.psycho.reset();
        self.reservoir = 0;
    }
}

#[cfg(test)]
mod tests;
