//! The way from one codec to another for one direction of a call: nothing, or decode, resample, cut into
//! frames, encode.
//!
//! Encoded audio goes in whole messages, frames of 20 ms come out when asked for, and what waits in between is
//! known, can be shortened, and is bounded: when [`PipeOptions::buffer_ms`] is full the oldest audio goes.
//! Nothing is encoded before it is asked for, so nothing is encoded that is then dropped. After construction
//! nothing allocates.

use crate::{Error, MediaTime};
use bytes::Bytes;
use codecs::{CodecId, EncoderOptions, Framing, codec};
use coded::Coded;
use frames::Frames;
use whole::Whole;

mod buffer;
mod bytes;
mod coded;
mod frames;
mod trim;
mod whole;

/// What to choose among when planning a pipe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PipeOptions {
    /// Toward an 8 kHz codec, decode only the narrowband layer of wideband Speex: half the cost, no resampler.
    pub narrow_decode: bool,
    /// Toward wideband Speex from an 8 kHz codec, encode narrowband Speex, which every wideband decoder plays.
    pub narrow_encode: bool,
    /// Encoder quality, 0 to 10.
    pub quality: u8,
    /// Encoder effort, 0 to 10.
    pub complexity: u8,
    /// Most audio that waits, ms; 40 to 1000. Less where payloads of a high bit rate pass whole.
    pub buffer_ms: u32,
}

impl Default for PipeOptions {
    fn default() -> PipeOptions {
        PipeOptions {
            narrow_decode: true,
            narrow_encode: true,
            quality: 6,
            complexity: 1,
            buffer_ms: 240,
        }
    }
}

/// A frame from [`Pipe::next_frame`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PipeFrame {
    /// Bytes written.
    pub len: usize,
    /// Its length in ticks of the target codec's RTP clock.
    pub ticks: u32,
    /// When its first sample was captured, in the target codec's RTP clock; exact to a frame after a break.
    pub time: MediaTime,
}

/// One direction of a call between two codecs.
pub struct Pipe {
    from: CodecId,
    to: CodecId,
    clock: u32,
    kind: Kind,
    /// Capture time of the instant behind the last sample, in ticks of `clock`.
    end: u64,
    cost_us: u32,
    dropped: u64,
    options: PipeOptions,
    /// What comes out goes into slots of 20 ms.
    paced: bool,
}

enum Kind {
    /// Same codec, any cut is a frame: G.711, L16.
    Bytes(Bytes),
    /// Same codec with frames of its own: Speex.
    Frames(Frames),
    /// Same codec whose payloads cannot be cut: Opus, G.722, Nellymoser.
    Whole(Box<Whole>),
    Coded(Box<Coded>),
}

impl std::fmt::Debug for Pipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipe")
            .field("from", &self.from)
            .field("to", &self.to)
            .field("depth", &self.depth())
            .finish_non_exhaustive()
    }
}

impl Pipe {
    /// The cheapest way that keeps the quality asked for: untouched when the codecs are the same.
    ///
    /// # Errors
    /// [`Error::NoPipe`] when a codec cannot be made.
    pub fn plan(from: CodecId, to: CodecId, options: &PipeOptions) -> Result<Pipe, Error> {
        let target = codec(to);
        let buffer_ms = options.buffer_ms.clamp(40, 1000);
        let (kind, cost_us) = if from == to && target.framing == Framing::Samples {
            (Kind::Bytes(Bytes::new(to, buffer_ms)?), 1)
        } else if from == to && target.framing == Framing::Speex {
            (Kind::Frames(Frames::new(to, buffer_ms)), 1)
        } else if from == to {
            (Kind::Whole(Box::new(Whole::new(to, buffer_ms))), 1)
        } else {
            let coded = Coded::new(from, to, options, buffer_ms)?;
            let cost = coded.cost_us();
            (Kind::Coded(Box::new(coded)), cost)
        };
        Ok(Pipe {
            from,
            to,
            clock: target.rtp_clock,
            kind,
            end: 0,
            cost_us,
            dropped: 0,
            options: *options,
            paced: false,
        })
    }

    /// A pipe to PCM, for a mixer: frames of 20 ms at `rate` Hz, 16 bit big-endian. Its clock runs at
    /// 48 kHz whatever the rate, so that depths mean the same when [`Pipe::set_linear_rate`] changes it.
    ///
    /// # Errors
    /// [`Error::NoPipe`] when the codec cannot be made, or for a rate out of 1,000 to 192,000 Hz.
    pub fn linear(from: CodecId, rate: u32, buffer_ms: u32) -> Result<Pipe, Error> {
        const CLOCK: u32 = 48_000;
        let coded = Coded::linear(from, rate, CLOCK, buffer_ms.clamp(40, 1000))?;
        Ok(Pipe {
            from,
            to: CodecId::L16_16,
            clock: CLOCK,
            cost_us: coded.cost_us(),
            kind: Kind::Coded(Box::new(coded)),
            end: 0,
            dropped: 0,
            options: PipeOptions::default(),
            paced: false,
        })
    }

    /// Another rate for a pipe made by [`Pipe::linear`]; any other pipe is left alone. The decoder goes on and
    /// what waits is kept, so nothing is heard of it.
    ///
    /// # Errors
    /// [`Error::NoPipe`] for a rate out of 1,000 to 192,000 Hz.
    pub fn set_linear_rate(&mut self, rate: u32) -> Result<(), Error> {
        match &mut self.kind {
            Kind::Coded(coded) if self.to == CodecId::L16_16 && self.clock == 48_000 => {
                coded.set_linear_rate(rate)
            }
            _ => Ok(()),
        }
    }

    /// What comes out goes into slots of 20 ms: payloads that can be neither cut nor joined are transcoded from the
    /// first on that is of another length.
    pub fn pace(&mut self) {
        self.paced = true;
    }

    /// Whether payloads pass as they are, of whatever length, and lost ones leave a hole in time for the receiver to
    /// fill: it knows the codec's state.
    pub fn is_whole(&self) -> bool {
        matches!(self.kind, Kind::Whole(_))
    }

    /// What goes in.
    pub fn from(&self) -> CodecId {
        self.from
    }

    /// What comes out.
    pub fn to(&self) -> CodecId {
        self.to
    }

    /// Whether the audio passes untouched.
    pub fn is_pass(&self) -> bool {
        !matches!(self.kind, Kind::Coded(_))
    }

    /// Nominal processor time, microseconds per 20 ms of audio.
    pub fn cost_us(&self) -> u32 {
        self.cost_us
    }

    /// RTP clock of what comes out, Hz; [`PipeFrame::ticks`] and all depths count in it.
    pub fn clock(&self) -> u32 {
        self.clock
    }

    /// Length of a frame that comes out, ticks.
    pub fn frame_ticks(&self) -> u32 {
        self.clock / 50
    }

    /// Takes an encoded message captured at `time`: any number of frames, up to 320 ms; more is cut off. Audio
    /// that waits beyond the buffer's bound is dropped, oldest first. Returns the ticks taken in.
    ///
    /// # Errors
    /// [`Error::BadPayload`] when not one frame can be read; conceal instead.
    pub fn push(&mut self, time: MediaTime, payload: &[u8]) -> Result<u32, Error> {
        self.keep_pace(payload)?;
        let (taken, dropped) = match &mut self.kind {
            Kind::Bytes(b) => b.push(payload)?,
            Kind::Frames(f) => f.push(payload)?,
            Kind::Whole(w) => w.push(payload)?,
            Kind::Coded(c) => c.push(payload)?,
        };
        self.dropped += u64::from(dropped);
        self.set_end(time, taken);
        Ok(taken)
    }

    /// Fills in for `ticks` of lost audio at `time`, `ticks` counted in the clock of `time`; at most 100 ms.
    pub fn conceal(&mut self, time: MediaTime, ticks: u32) {
        let ticks = MediaTime::new(u64::from(ticks), time.rate)
            .rescale(self.clock)
            .ticks;
        let ticks = ticks.min(u64::from(self.clock) / 10) as u32;
        let (taken, dropped) = match &mut self.kind {
            Kind::Bytes(b) => b.conceal(ticks),
            Kind::Frames(f) => f.conceal(ticks),
            Kind::Whole(_) => (0, 0),
            Kind::Coded(c) => c.conceal(ticks),
        };
        self.dropped += u64::from(dropped);
        self.set_end(time, taken);
    }

    /// The next frame of 20 ms (of its own length when [`Pipe::is_whole`]), written into `out`; `None` when less waits, or `out` is too small for a frame
    /// (then it is lost: give at least the codec's `max_frame_bytes`).
    pub fn next_frame(&mut self, out: &mut [u8]) -> Option<PipeFrame> {
        let time = MediaTime::new(self.end.saturating_sub(u64::from(self.depth())), self.clock);
        let (len, ticks) = match &mut self.kind {
            Kind::Bytes(b) => b.next_frame(out),
            Kind::Frames(f) => f.next_frame(out),
            Kind::Whole(w) => w.next_frame(out),
            Kind::Coded(c) => c.next_frame(out),
        }?;
        Some(PipeFrame { len, ticks, time })
    }

    /// Audio waiting, ticks.
    pub fn depth(&self) -> u32 {
        match &self.kind {
            Kind::Bytes(b) => b.depth(),
            Kind::Frames(f) => f.depth(),
            Kind::Whole(w) => w.depth(),
            Kind::Coded(c) => c.depth(),
        }
    }

    /// Audio waiting, ms.
    pub fn depth_ms(&self) -> u32 {
        (u64::from(self.depth()) * 1000 / u64::from(self.clock)) as u32
    }

    /// Ticks dropped so far because the buffer was full.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether the next 20 ms hold no speech. False when that cannot be told: encoded Speex passing through,
    /// unless it says so itself.
    pub fn is_silent_front(&mut self) -> bool {
        match &mut self.kind {
            Kind::Bytes(b) => b.is_silent_front(),
            Kind::Frames(f) => f.is_silent_front(),
            Kind::Whole(w) => w.is_silent_front(),
            Kind::Coded(c) => c.is_silent_front(),
        }
    }

    /// Drops up to `ticks` of the oldest audio, in whole frames where the codec has frames; the ticks dropped.
    pub fn drop_front(&mut self, ticks: u32) -> u32 {
        match &mut self.kind {
            Kind::Bytes(b) => b.drop_front(ticks),
            Kind::Frames(f) => f.drop_front(ticks),
            Kind::Whole(w) => w.drop_front(ticks),
            Kind::Coded(c) => c.drop_front(ticks),
        }
    }

    /// Takes about one pitch period, but no more than `most` ticks, out of the audio at the front so that nothing
    /// is missed, only faster; the ticks removed, 0 when there is too little audio, or only frames that cannot be
    /// cut.
    pub fn compress_one(&mut self, most: u32) -> u32 {
        match &mut self.kind {
            Kind::Bytes(b) => b.compress_one(most),
            Kind::Frames(_) | Kind::Whole(_) => 0,
            Kind::Coded(c) => c.compress_one(most),
        }
    }

    /// Whether [`Pipe::compress_one`] can ever do anything.
    pub fn can_compress(&self) -> bool {
        !matches!(self.kind, Kind::Frames(_) | Kind::Whole(_))
    }

    /// Drops all that waits and forgets the past, as when the source changes.
    pub fn reset(&mut self) {
        match &mut self.kind {
            Kind::Bytes(b) => b.reset(),
            Kind::Frames(f) => f.reset(),
            Kind::Whole(w) => w.reset(),
            Kind::Coded(c) => c.reset(),
        }
    }

    /// Turns to transcoding when a payload comes that fits no slot.
    fn keep_pace(&mut self, payload: &[u8]) -> Result<(), Error> {
        let Kind::Whole(whole) = &mut self.kind else {
            return Ok(());
        };
        let slot = self.clock / 50;
        if !self.paced || whole.ticks(payload).is_none_or(|ticks| ticks == slot) {
            return Ok(());
        }
        let buffer_ms = self.options.buffer_ms.clamp(40, 1000);
        let mut coded = Coded::new(self.from, self.to, &self.options, buffer_ms)?;
        let mut waiting = [0; crate::params::MAX_PAYLOAD];
        while let Some((len, _)) = whole.next_frame(&mut waiting) {
            let _unreadable = coded.push(waiting.get(..len).unwrap_or_default());
        }
        self.cost_us = coded.cost_us();
        self.kind = Kind::Coded(Box::new(coded));
        Ok(())
    }

    fn set_end(&mut self, time: MediaTime, taken: u32) {
        self.end = time.rescale(self.clock).ticks.saturating_add(u64::from(taken));
    }
}

/// The largest frame any pipe writes, bytes.
pub fn max_frame_bytes() -> usize {
    codecs::TABLE.iter().map(|c| c.max_frame_bytes).max().unwrap_or(0)
}

pub(crate) fn encoder_options(options: &PipeOptions, sample_rate: u32) -> EncoderOptions {
    EncoderOptions {
        sample_rate,
        quality: options.quality,
        complexity: options.complexity,
        ..EncoderOptions::default()
    }
}

#[cfg(test)]
mod tests;
