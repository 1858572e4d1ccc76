//! AAC-LC (ISO/IEC 14496-3, subpart 4): what streaming tools send, decoded to mono, and what servers and players of
//! streams want, encoded in mono.
//!
//! A payload is the body of an FLV audio message behind its first byte: a packet type, then what it announces (FLV Annex
//! E.4.2.2). Type 0 is the configuration, without which nothing can be decoded; type 1 is one raw frame. Of HE-AAC the core
//! is decoded, which reaches as high as a telephone call does. Channels are mixed before the transform, so a stereo stream
//! costs little more than mono.

mod bits;
mod channel;
mod config;
mod encode;
mod filterbank;
mod huffman;
mod stereo;
mod tables;
mod tns;

use crate::Error;
use crate::streamed::Streamed;
use bits::Bits;
use channel::{Channel, Layout};
use config::Config;
pub(crate) use encode::{CONFIGURATION, MAX_FRAME_BYTES, SILENCE};
pub use encode::{Encoder, config};
use filterbank::{FRAME, Filterbank};

/// Packet type of an AudioSpecificConfig.
const CONFIG: u8 = 0;
/// Packet type of a raw frame.
const RAW: u8 = 1;
/// Most channels of a stream.
const CHANNELS: usize = 8;

/// Decoder of one stream.
pub struct Decoder {
    config: Option<Config>,
    core: Box<Core>,
    pcm: Box<[i16; FRAME]>,
    streamed: Streamed,
}

impl Decoder {
    /// A decoder to PCM at `sample_rate` Hz, 8,000 to 48,000 (0: 48,000), whatever the stream's own rate.
    #[must_use]
    pub fn new(sample_rate: u32) -> Self {
        Self {
            config: None,
            core: Box::new(Core::new()),
            pcm: Box::new([0; FRAME]),
            streamed: Streamed::new(sample_rate),
        }
    }
}

impl crate::Decoder for Decoder {
    fn sample_rate(&self) -> u32 {
        self.streamed.rate()
    }

    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, Error> {
        let truncated = Error::Truncated { bytes: payload.len() };
        let (kind, data) = payload.split_first().ok_or(truncated)?;
        match *kind {
            CONFIG => {
                let config = Config::parse(data).ok_or(Error::Malformed { bit: 8 });
                if config.ok() != self.config {
                    self.config = config.ok();
                    self.core.reset();
                }
                config.map(|_| 0)
            }
            RAW => {
                let config = self.config.ok_or(Error::Malformed { bit: 0 })?;
                if data.is_empty() {
                    return Err(truncated);
                }
                self.streamed.check_room(config.rate, FRAME, out)?;
                let mut bits = Bits::new(data);
                let good = self.core.frame(&mut bits, &config);
                // Also after a fault: what overlaps with it is over.
                self.core.filterbank.finish(&mut self.pcm);
                good.ok_or(Error::Malformed {
                    bit: 8 + bits.position(),
                })?;
                self.streamed.write(config.rate, &self.pcm[..], out)
            }
            // The end of a sequence, or what is not yet known: no sound, and no fault.
            _ => Ok(0),
        }
    }

    fn conceal(&mut self, out: &mut [i16]) -> usize {
        self.streamed.conceal(out)
    }

    fn reset(&mut self) {
        self.core.reset();
        self.streamed.reset();
    }
}

/// What frames depend on.
struct Core {
    pair: [Channel; 2],
    /// Window shape of the frame before, by channel.
    shapes: [usize; CHANNELS],
    filterbank: Filterbank,
    seed: u32,
}

impl Core {
    fn new() -> Core {
        Core {
            pair: [Channel::new(), Channel::new()],
            shapes: [0; CHANNELS],
            filterbank: Filterbank::new(),
            seed: 1,
        }
    }

    fn reset(&mut self) {
        self.shapes = [0; CHANNELS];
        self.filterbank = Filterbank::new();
    }

    /// Reads one `raw_data_block` and adds its channels to the filterbank; `None` when it cannot be read.
    fn frame(&mut self, bits: &mut Bits<'_>, config: &Config) -> Option<()> {
        let mut channels = 0;
        // A frame whose end is not told ends where its bytes do.
        while let Some(id) = bits.take(3) {
            match id {
                0 => {
                    bits.skip(4)?;
                    self.single(bits, config, &mut channels, true)?;
                }
                1 => {
                    bits.skip(4)?;
                    self.double(bits, config, &mut channels)?;
                }
                // Effects alone are left out of the mix.
                3 => {
                    bits.skip(4)?;
                    self.single(bits, config, &mut channels, false)?;
                }
                4 => {
                    bits.skip(4)?;
                    let aligned = bits.flag()?;
                    let mut size = bits.take(8)? as usize;
                    if size == 255 {
                        size += bits.take(8)? as usize;
                    }
                    if aligned {
                        bits.align();
                    }
                    bits.skip(8 * size)?;
                }
                5 => config::skip_program(bits)?,
                6 => {
                    let mut size = bits.take(4)? as usize;
                    if size == 15 {
                        size = size + bits.take(8)? as usize - 1;
                    }
                    bits.skip(8 * size)?;
                }
                7 => break,
                // Coupling channels, which nobody streams.
                _ => return None,
            }
        }
        (channels > 0).then_some(())
    }

    fn single(
        &mut self,
        bits: &mut Bits<'_>,
        config: &Config,
        channels: &mut usize,
        heard: bool,
    ) -> Option<()> {
        let shape = self.shapes.get_mut(*channels)?;
        let [channel, _] = &mut self.pair;
        channel.read(bits, None, config.rate_index, &mut self.seed)?;
        let layout = channel.layout?;
        channel.tns.apply(&layout, &mut channel.spectrum);
        if heard {
            self.filterbank.add(
                &mut channel.spectrum,
                layout.sequence,
                [*shape, layout.shape],
                config.gain,
            );
        }
        *shape = layout.shape;
        *channels += 1;
        Some(())
    }

    fn double(&mut self, bits: &mut Bits<'_>, config: &Config, channels: &mut usize) -> Option<()> {
        let shapes = self.shapes.get_mut(*channels..*channels + 2)?;
        let mut mask = stereo::Mask::default();
        let mut shared = None;
        if bits.flag()? {
            let layout = Layout::read(bits, config.rate_index)?;
            mask.read(bits, &layout)?;
            shared = Some(layout);
        }
        let [left, right] = &mut self.pair;
        left.read(bits, shared, config.rate_index, &mut self.seed)?;
        right.read(bits, shared, config.rate_index, &mut self.seed)?;
        let layouts = [left.layout?, right.layout?];
        if shared.is_some() {
            stereo::apply(&mask, &layouts[0], left, right);
        }
        for (channel, layout) in [&mut *left, &mut *right].into_iter().zip(&layouts) {
            channel.tns.apply(layout, &mut channel.spectrum);
        }
        if shared.is_some() && shapes[0] == shapes[1] {
            for (left, right) in left.spectrum.iter_mut().zip(&right.spectrum) {
                *left += right;
            }
            self.filterbank.add(
                &mut left.spectrum,
                layouts[0].sequence,
                [shapes[0], layouts[0].shape],
                config.gain,
            );
        } else {
            for (i, channel) in [left, right].into_iter().enumerate() {
                self.filterbank.add(
                    &mut channel.spectrum,
                    layouts[i].sequence,
                    [shapes[i], layouts[i].shape],
                    config.gain,
                );
            }
        }
        for (shape, layout) in shapes.iter_mut().zip(&layouts) {
            *shape = layout.shape;
        }
        *channels += 2;
        Some(())
    }
}

#[cfg(test)]
mod tests;
