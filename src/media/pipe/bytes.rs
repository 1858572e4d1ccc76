//! G.711 and L16 passing through: messages of any length become packets of 20 ms, byte for byte.

use super::buffer::Linear;
use super::coded::MAX_MESSAGE_MS;
use super::trim::Trim;
use crate::Error;
use codecs::{CodecId, Decoder, Encoder, codec};

/// Samples in 20 ms at the highest rate of these codecs.
const MAX_FRAME: usize = 960;
/// Frames that are kept to fill in from: concealment looks back 49 ms.
const PAST: usize = 3;

pub(super) struct Bytes {
    data: Linear<u8>,
    /// Bytes a tick: 1 for G.711, 2 for L16.
    width: usize,
    /// Samples, which here are ticks, in 20 ms.
    frame: usize,
    bound: usize,
    /// Fills in for lost frames. It is shown what came before only then: most calls lose nothing.
    follower: Box<dyn Decoder>,
    /// The last frames that came in.
    past: Linear<u8>,
    /// The follower knows the past.
    follows: bool,
    encoder: Box<dyn Encoder>,
    trim: Trim,
    pcm: Vec<i16>,
}

impl Bytes {
    pub(super) fn new(id: CodecId, buffer_ms: u32) -> Result<Bytes, Error> {
        let c = codec(id);
        let frame = c.frame().min(MAX_FRAME);
        let width = (c.max_frame_bytes / c.frame()).max(1);
        let bound = frame * buffer_ms as usize / 20;
        Ok(Bytes {
            data: Linear::new((bound + frame * MAX_MESSAGE_MS / 20) * width),
            width,
            frame,
            bound,
            follower: codecs::decoder(id, 0).map_err(|_| Error::NoPipe)?,
            // Twice the room, so that it is seldom moved.
            past: Linear::new(2 * PAST * frame * width),
            follows: false,
            encoder: codecs::encoder(id, &codecs::EncoderOptions::default()).map_err(|_| Error::NoPipe)?,
            trim: Trim::new(c.sample_rate),
            // Enough for the search of a pitch period.
            pcm: vec![0; Trim::look(c.sample_rate).max(frame)],
        })
    }

    pub(super) fn push(&mut self, payload: &[u8]) -> Result<(u32, u32), Error> {
        let dropped = self.make_room();
        let len = payload.len().min(self.frame * MAX_MESSAGE_MS / 20 * self.width) / self.width * self.width;
        let payload = payload.get(..len).unwrap_or_default();
        if payload.is_empty() {
            return Err(Error::BadPayload);
        }
        self.remember(
            payload.len().saturating_sub(PAST * self.frame * self.width),
            payload,
        );
        self.follows = false;
        let stored = self.data.push(payload);
        Ok(((stored / self.width) as u32, dropped))
    }

    pub(super) fn conceal(&mut self, ticks: u32) -> (u32, u32) {
        let dropped = self.make_room();
        self.follow();
        let mut left = ticks as usize;
        while left > 0 {
            let want = left.min(self.frame);
            let made = match self.pcm.get_mut(..want) {
                Some(pcm) => self.follower.conceal(pcm),
                None => 0,
            };
            if made == 0 {
                break;
            }
            self.encode(made);
            left -= made.min(left);
        }
        (ticks - left as u32, dropped)
    }

    pub(super) fn next_frame(&mut self, out: &mut [u8]) -> Option<(usize, u32)> {
        let n = self.look(self.frame);
        if let Some(pcm) = self.pcm.get(..n) {
            self.trim.follow(pcm);
        }
        let len = self.frame * self.width;
        let frame = self.data.as_slice().get(..len)?;
        let fits = out.get_mut(..len).map(|to| to.copy_from_slice(frame)).is_some();
        self.data.drop_front(len);
        fits.then_some((len, self.frame as u32))
    }

    pub(super) fn depth(&self) -> u32 {
        (self.data.len() / self.width) as u32
    }

    pub(super) fn is_silent_front(&mut self) -> bool {
        let n = self.look(self.frame);
        self.pcm
            .get(..n)
            .is_some_and(|pcm| n == self.frame && self.trim.is_silent(pcm))
    }

    pub(super) fn drop_front(&mut self, ticks: u32) -> u32 {
        (self.data.drop_front(ticks as usize * self.width) / self.width) as u32
    }

    pub(super) fn compress_one(&mut self, most: u32) -> u32 {
        let n = self.look(self.pcm.len());
        let Some(kept) = self
            .pcm
            .get_mut(..n)
            .and_then(|pcm| self.trim.compress(most as usize, pcm))
        else {
            return 0;
        };
        // The front is replaced by its shorter self; what is behind stays byte for byte.
        let removed = n - kept;
        self.data.drop_front(removed * self.width);
        let front = self.data.as_mut_slice();
        let Some(front) = front.get_mut(..kept * self.width) else {
            return 0;
        };
        let pcm = self.pcm.get(..kept).unwrap_or_default();
        for (to, from) in front
            .chunks_mut(self.frame * self.width)
            .zip(pcm.chunks(self.frame))
        {
            let _ = self.encoder.encode(from, to);
        }
        removed as u32
    }

    pub(super) fn reset(&mut self) {
        self.data.clear();
        self.past.clear();
        self.follows = false;
        self.trim.reset();
    }

    /// Keeps the end of what came in, from `from` on.
    fn remember(&mut self, from: usize, bytes: &[u8]) {
        let bytes = bytes.get(from..).unwrap_or_default();
        let excess = (self.past.len() + bytes.len()).saturating_sub(PAST * self.frame * self.width);
        self.past.drop_front(excess);
        self.past.push(bytes);
    }

    /// Shows the follower what came before a gap.
    fn follow(&mut self) {
        if std::mem::replace(&mut self.follows, true) {
            return;
        }
        self.follower.reset();
        for part in self.past.as_slice().chunks(self.frame * self.width) {
            // Only for its memory.
            let _ = self.follower.decode(part, &mut self.pcm);
        }
    }

    fn make_room(&mut self) -> u32 {
        let excess = (self.depth() as usize).saturating_sub(self.bound) as u32;
        self.drop_front(excess)
    }

    /// Decodes up to `samples` of what waits into the scratch; how many.
    fn look(&mut self, samples: usize) -> usize {
        let samples = samples.min(self.data.len() / self.width);
        let Some(bytes) = self.data.as_slice().get(..samples * self.width) else {
            return 0;
        };
        self.follower.look(bytes, &mut self.pcm)
    }

    /// Encodes the first `n` samples of the scratch behind what waits. They are part of the past for the next gap.
    fn encode(&mut self, n: usize) {
        if let Some(pcm) = self.pcm.get(..n) {
            let room = self.data.room(n * self.width);
            let written = self.encoder.encode(pcm, room).unwrap_or(0);
            let made = room.get(..written).unwrap_or_default();
            let excess = (self.past.len() + made.len()).saturating_sub(PAST * self.frame * self.width);
            self.past.drop_front(excess);
            self.past.push(made);
            self.data.commit(written);
        }
    }
}
