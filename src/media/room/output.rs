//! One encoder of a room: of all who only listen in a codec, or of one member.

use std::ops::Range;

use codecs::resample::Resampler;
use codecs::{CodecId, Encoder, codec};

use super::history::History;
use crate::pipe::encoder_options;
use crate::{MediaTime, PipeOptions};

/// What is heard in a slot: frames in the codec asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heard<'a> {
    bytes: &'a [u8],
    frames: &'a [Frame],
}

#[derive(Clone, Debug)]
struct Frame {
    range: Range<usize>,
    time: MediaTime,
    ticks: u32,
}

impl<'a> Heard<'a> {
    /// Each frame: payload, the time of its first sample in the codec's RTP clock, its length in ticks of that.
    pub fn frames(&self) -> impl Iterator<Item = (&'a [u8], MediaTime, u32)> + use<'a> {
        let bytes = self.bytes;
        self.frames.iter().map(move |f| {
            let payload = bytes.get(f.range.clone()).unwrap_or_default();
            (payload, f.time, f.ticks)
        })
    }
}

pub(super) struct Stream {
    codec: CodecId,
    options: PipeOptions,
    coder: Option<Coder>,
    /// The slot it last encoded.
    last: u64,
    bytes: Vec<u8>,
    frames: Vec<Frame>,
}

struct Coder {
    /// The rate of the room it was made for, Hz.
    room_rate: u32,
    convert: Resampler,
    encoder: Box<dyn Encoder>,
    /// Samples that are no whole frame yet.
    pcm: Vec<i16>,
    /// Samples before those since the room began.
    position: u64,
    /// Samples still to be left out, so that frames that are no slot long lie where they lie in every other
    /// encoder of the room.
    skip: usize,
}

impl Stream {
    pub(super) fn new(codec: CodecId, options: &PipeOptions) -> Stream {
        Stream {
            codec,
            options: *options,
            coder: None,
            last: 0,
            bytes: Vec::with_capacity(2_048),
            frames: Vec::with_capacity(2),
        }
    }

    pub(super) fn codec(&self) -> CodecId {
        self.codec
    }

    /// Whether the slot is encoded already.
    pub(super) fn has(&self, slot: u64) -> bool {
        self.last == slot
    }

    pub(super) fn frames(&self) -> Heard<'_> {
        Heard {
            bytes: &self.bytes,
            frames: &self.frames,
        }
    }

    /// Encodes a slot, once. After a pause the encoder is first fed with what was heard meanwhile, so that its
    /// state is that of the one that served the listener before, and so of the listener's decoder.
    pub(super) fn run(&mut self, slot: u64, rate: u32, pcm: &[i16], history: &History) -> Heard<'_> {
        if self.last == slot {
            return self.frames();
        }
        let goes_on = self.last + 1 == slot && self.coder.as_ref().is_some_and(|c| c.room_rate == rate);
        self.last = slot;
        if !goes_on && !self.begin(slot, rate, history) {
            self.frames.clear();
            return Heard::default();
        }
        self.encode(pcm);
        self.frames()
    }

    /// False when there is no such encoder.
    fn begin(&mut self, slot: u64, rate: u32, history: &History) -> bool {
        match &mut self.coder {
            Some(coder) if coder.room_rate == rate => {
                coder.encoder.reset();
                coder.convert.reset();
                coder.pcm.clear();
            }
            _ => {
                let rate_wanted = rate.min(codec(self.codec).sample_rate);
                let options = encoder_options(&self.options, rate_wanted);
                let Ok(encoder) = codecs::encoder(self.codec, &options) else {
                    return false;
                };
                let Ok(convert) = Resampler::new(rate, encoder.sample_rate(), 3) else {
                    return false;
                };
                self.coder = Some(Coder {
                    room_rate: rate,
                    convert,
                    encoder,
                    pcm: Vec::with_capacity(2 * rate as usize / 50),
                    position: 0,
                    skip: 0,
                });
            }
        }
        let Some(coder) = &mut self.coder else {
            return false;
        };
        let before = history.slots().len() as u64;
        let slot_samples = u64::from(coder.encoder.sample_rate()) / 50;
        let frame = coder.encoder.frame_samples().max(1) as u64;
        coder.position = slot.saturating_sub(before) * slot_samples;
        coder.skip = (coder.position.next_multiple_of(frame) - coder.position) as usize;
        for pcm in history.slots() {
            self.encode(pcm);
        }
        true
    }

    fn encode(&mut self, pcm: &[i16]) {
        self.bytes.clear();
        self.frames.clear();
        let Some(coder) = &mut self.coder else { return };
        let had = coder.pcm.len();
        coder.pcm.resize(had + coder.convert.max_out(pcm.len()), 0);
        let made = coder
            .convert
            .process(pcm, coder.pcm.get_mut(had..).unwrap_or_default());
        coder.pcm.truncate(had + made);
        let skipped = coder.skip.min(coder.pcm.len());
        coder.pcm.drain(..skipped);
        coder.skip -= skipped;
        coder.position += skipped as u64;
        let row = codec(self.codec);
        let (rate, frame) = (coder.encoder.sample_rate(), coder.encoder.frame_samples());
        let mut done = 0;
        while let Some(samples) = coder.pcm.get(done..done + frame) {
            let from = self.bytes.len();
            self.bytes.resize(from + row.max_frame_bytes, 0);
            let room = self.bytes.get_mut(from..).unwrap_or_default();
            let len = coder.encoder.encode(samples, room).unwrap_or(0);
            self.bytes.truncate(from + len);
            let time = MediaTime::new(coder.position, rate).rescale(row.rtp_clock);
            if len > 0 {
                self.frames.push(Frame {
                    range: from..from + len,
                    time,
                    ticks: row.rtp_ticks(frame, rate),
                });
            }
            done += frame;
            coder.position += frame as u64;
        }
        coder.pcm.drain(..done);
    }
}
