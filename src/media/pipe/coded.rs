//! Decode, resample, cut into frames, encode.

use super::buffer::Linear;
use super::trim::Trim;
use super::{PipeOptions, encoder_options};
use crate::Error;
use codecs::resample::Resampler;
use codecs::{CodecId, Decoder, Encoder, codec};

/// Longest message taken in one piece, ms: ffmpeg sends up to 2,048 samples of G.711 (256 ms), Flash at most
/// ten frames of Speex.
pub(super) const MAX_MESSAGE_MS: usize = 320;

pub(super) struct Coded {
    decoder: Box<dyn Decoder>,
    encoder: Box<dyn Encoder>,
    resampler: Converter,
    /// Audio at the encoder's rate.
    pcm: Linear<i16>,
    trim: Trim,
    decoder_rate: u32,
    rate: u32,
    frame: usize,
    bound: usize,
    clock: u32,
    cost_us: u32,
}

impl Coded {
    pub(super) fn new(
        from: CodecId,
        to: CodecId,
        options: &PipeOptions,
        buffer_ms: u32,
    ) -> Result<Coded, Error> {
        let (source, target) = (codec(from), codec(to));
        // Each side runs at its own rate unless the short cut lets it run at the other's.
        let decoder_rate = if options.narrow_decode && target.sample_rate < source.sample_rate {
            target.sample_rate
        } else {
            source.sample_rate
        };
        let encoder_rate = if options.narrow_encode && source.sample_rate < target.sample_rate {
            source.sample_rate
        } else {
            target.sample_rate
        };
        let decoder = codecs::decoder(from, decoder_rate).map_err(|_| Error::NoPipe)?;
        let encoder =
            codecs::encoder(to, &encoder_options(options, encoder_rate)).map_err(|_| Error::NoPipe)?;
        let cost_us = share(source.cost_us.1, decoder.sample_rate(), source.sample_rate)
            + share(target.cost_us.0, encoder.sample_rate(), target.sample_rate);
        Coded::join(decoder, encoder, target.rtp_clock, cost_us, buffer_ms)
    }

    /// To PCM at `rate` Hz, big-endian, whatever the codec's own.
    pub(super) fn linear(from: CodecId, rate: u32, clock: u32, buffer_ms: u32) -> Result<Coded, Error> {
        let decoder = codecs::decoder(from, 0).map_err(|_| Error::NoPipe)?;
        let encoder = Box::new(codecs::l16::Encoder::new(rate));
        Coded::join(decoder, encoder, clock, codec(from).cost_us.1 + 1, buffer_ms)
    }

    fn join(
        decoder: Box<dyn Decoder>,
        encoder: Box<dyn Encoder>,
        clock: u32,
        cost_us: u32,
        buffer_ms: u32,
    ) -> Result<Coded, Error> {
        let (decoder_rate, rate) = (decoder.sample_rate(), encoder.sample_rate());
        let frame = encoder.frame_samples();
        let bound = rate as usize * buffer_ms as usize / 1000;
        let resampler = resampler(decoder_rate, rate)?;
        let cost_us = cost_us + if resampler.is_some() { 3 } else { 0 };
        Ok(Coded {
            decoder,
            encoder,
            resampler,
            pcm: Linear::new(bound + rate as usize * MAX_MESSAGE_MS / 1000 + frame),
            trim: Trim::new(rate),
            decoder_rate,
            rate,
            frame,
            bound,
            clock,
            cost_us,
        })
    }

    /// Another rate for a pipe to PCM: the decoder goes on, and what waits is converted.
    pub(super) fn set_linear_rate(&mut self, rate: u32) -> Result<(), Error> {
        if rate == self.rate {
            return Ok(());
        }
        let mut convert = Resampler::new(self.rate, rate, 3).map_err(|_| Error::NoPipe)?;
        let resampler = resampler(self.decoder_rate, rate)?;
        let bound = (self.bound as u64 * u64::from(rate) / u64::from(self.rate)) as usize;
        let frame = rate as usize / 50;
        let mut pcm = Linear::new(bound + rate as usize * MAX_MESSAGE_MS / 1000 + frame);
        let waiting = convert.process(self.pcm.as_slice(), pcm.room(bound));
        pcm.commit(waiting);
        self.resampler = resampler;
        self.encoder = Box::new(codecs::l16::Encoder::new(rate));
        self.trim = Trim::new(rate);
        (self.pcm, self.rate, self.frame, self.bound) = (pcm, rate, frame, bound);
        Ok(())
    }

    pub(super) fn cost_us(&self) -> u32 {
        self.cost_us
    }

    pub(super) fn push(&mut self, payload: &[u8]) -> Result<(u32, u32), Error> {
        let dropped = self.make_room();
        let want = self.rate as usize * MAX_MESSAGE_MS / 1000;
        let taken = match &mut self.resampler {
            None => {
                let room = self.pcm.room(want);
                let n = want.min(room.len());
                let room = room.get_mut(..n).unwrap_or_default();
                self.decoder
                    .decode(payload, room)
                    .map_err(|_| Error::BadPayload)?
            }
            Some((resampler, scratch)) => {
                let n = self
                    .decoder
                    .decode(payload, scratch)
                    .map_err(|_| Error::BadPayload)?;
                let decoded = scratch.get(..n).unwrap_or_default();
                resampler.process(decoded, self.pcm.room(want))
            }
        };
        self.pcm.commit(taken);
        Ok((self.ticks(taken), dropped))
    }

    pub(super) fn conceal(&mut self, ticks: u32) -> (u32, u32) {
        let dropped = self.make_room();
        let before = self.pcm.len();
        let mut left = (u64::from(ticks) * u64::from(self.decoder_rate) / u64::from(self.clock)) as usize;
        while left > 0 {
            // A decoder fills in frame by frame.
            let want = left.min(self.decoder_rate as usize / 50);
            let made = match &mut self.resampler {
                None => {
                    let room = self.pcm.room(want);
                    let made = room.get_mut(..want).map_or(0, |room| self.decoder.conceal(room));
                    self.pcm.commit(made);
                    made
                }
                Some((resampler, scratch)) => {
                    let made = scratch.get_mut(..want).map_or(0, |s| self.decoder.conceal(s));
                    let decoded = scratch.get(..made).unwrap_or_default();
                    let n = resampler.process(decoded, self.pcm.room(self.rate as usize / 10));
                    self.pcm.commit(n);
                    made
                }
            };
            if made == 0 {
                break;
            }
            left -= made.min(left);
        }
        (self.ticks(self.pcm.len() - before), dropped)
    }

    pub(super) fn next_frame(&mut self, out: &mut [u8]) -> Option<(usize, u32)> {
        let frame = self.pcm.as_slice().get(..self.frame)?;
        self.trim.follow(frame);
        let written = self.encoder.encode(frame, out);
        self.pcm.drop_front(self.frame);
        Some((written.ok()?, self.ticks(self.frame)))
    }

    pub(super) fn depth(&self) -> u32 {
        self.ticks(self.pcm.len())
    }

    pub(super) fn is_silent_front(&self) -> bool {
        self.pcm
            .as_slice()
            .get(..self.frame)
            .is_some_and(|front| self.trim.is_silent(front))
    }

    pub(super) fn drop_front(&mut self, ticks: u32) -> u32 {
        let n = self.pcm.drop_front(self.samples(ticks));
        self.ticks(n)
    }

    pub(super) fn compress_one(&mut self, most: u32) -> u32 {
        let look = Trim::look(self.rate).min(self.pcm.len());
        let most = self.samples(most);
        let front = self.pcm.as_mut_slice().get_mut(..look).unwrap_or_default();
        let Some(kept) = self.trim.compress(most, front) else {
            return 0;
        };
        let removed = look - kept;
        // The shorter front is moved up against what follows it.
        let all = self.pcm.as_mut_slice();
        all.copy_within(..kept, removed);
        self.pcm.drop_front(removed);
        self.ticks(removed)
    }

    pub(super) fn reset(&mut self) {
        self.pcm.clear();
        self.decoder.reset();
        self.trim.reset();
    }

    fn make_room(&mut self) -> u32 {
        let excess = self.pcm.len().saturating_sub(self.bound);
        let n = self.pcm.drop_front(excess);
        self.ticks(n)
    }

    fn ticks(&self, samples: usize) -> u32 {
        (samples as u64 * u64::from(self.clock) / u64::from(self.rate)) as u32
    }

    fn samples(&self, ticks: u32) -> usize {
        (u64::from(ticks) * u64::from(self.rate) / u64::from(self.clock)) as usize
    }
}

type Converter = Option<(Resampler, Vec<i16>)>;

/// What brings decoded audio to another rate, with room for a whole message.
fn resampler(from: u32, to: u32) -> Result<Converter, Error> {
    if from == to {
        return Ok(None);
    }
    let r = Resampler::new(from, to, 3).map_err(|_| Error::NoPipe)?;
    Ok(Some((r, vec![0; from as usize * MAX_MESSAGE_MS / 1000])))
}

/// Cost of a codec of `cost` microseconds when run at `rate` in place of `full` Hz.
fn share(cost: u32, rate: u32, full: u32) -> u32 {
    (u64::from(cost) * u64::from(rate.min(full)) / u64::from(full.max(1))) as u32
}
