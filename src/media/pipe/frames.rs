//! Speex passing through: messages of several frames become packets of one.

use super::buffer::Linear;
use crate::Error;
use codecs::speex::{FrameMode, split};
use codecs::{CodecId, codec};
use std::collections::VecDeque;

/// Most frames taken from one message, 320 ms.
const MAX_SPLIT: usize = 16;

pub(super) struct Frames {
    bytes: Linear<u8>,
    lens: VecDeque<u16>,
    bound: usize,
    frame_ticks: u32,
    mode: FrameMode,
    silence: &'static [u8],
    /// The last frame that came in, to bridge one lost frame.
    last: Vec<u8>,
    lost_run: u32,
}

impl Frames {
    pub(super) fn new(id: CodecId, buffer_ms: u32) -> Frames {
        let c = codec(id);
        let bound = (buffer_ms as usize / 20).max(2);
        Frames {
            bytes: Linear::new((bound + MAX_SPLIT) * c.max_frame_bytes),
            lens: VecDeque::with_capacity(bound + MAX_SPLIT),
            bound,
            frame_ticks: c.rtp_clock / 50,
            mode: if c.sample_rate > 8_000 {
                FrameMode::Wide
            } else {
                FrameMode::Narrow
            },
            silence: c.silence,
            last: Vec::with_capacity(c.max_frame_bytes),
            lost_run: 0,
        }
    }

    pub(super) fn push(&mut self, payload: &[u8]) -> Result<(u32, u32), Error> {
        let dropped = self.make_room();
        let mut taken = 0;
        if codecs::speex::frames(payload) == 1 && payload.len() <= codecs::speex::MAX_FRAME_BYTES {
            // The usual case: one frame, whose bytes pass untouched.
            self.store(payload);
            taken = 1;
        } else {
            for frame in split(payload, self.mode).take(MAX_SPLIT) {
                let Ok(frame) = frame else { break };
                self.store(&frame);
                taken += 1;
            }
        }
        if taken == 0 {
            return Err(Error::BadPayload);
        }
        self.lost_run = 0;
        Ok((taken * self.frame_ticks, dropped))
    }

    /// The first lost frame repeats the one before it, further ones are silence: a decoder's own concealment
    /// does better, but only the receiver has that, and toward a Flash client a lost frame cannot be expressed.
    pub(super) fn conceal(&mut self, ticks: u32) -> (u32, u32) {
        let dropped = self.make_room();
        let count = (ticks + self.frame_ticks / 2) / self.frame_ticks;
        for _ in 0..count {
            let first = self.lost_run == 0 && !self.last.is_empty();
            let frame = if first { self.last.as_slice() } else { self.silence };
            let n = self.bytes.push(frame);
            self.lens.push_back(n as u16);
            self.lost_run += 1;
        }
        (count * self.frame_ticks, dropped)
    }

    pub(super) fn next_frame(&mut self, out: &mut [u8]) -> Option<(usize, u32)> {
        let len = usize::from(self.lens.pop_front()?);
        let copied = match (self.bytes.as_slice().get(..len), out.get_mut(..len)) {
            (Some(from), Some(to)) => {
                to.copy_from_slice(from);
                true
            }
            _ => false,
        };
        self.bytes.drop_front(len);
        copied.then_some((len, self.frame_ticks))
    }

    pub(super) fn depth(&self) -> u32 {
        self.lens.len() as u32 * self.frame_ticks
    }

    /// Only a sender that codes silence as such can be recognised: five bits of "no signal" fill one byte.
    pub(super) fn is_silent_front(&self) -> bool {
        self.lens.front().is_some_and(|len| *len <= 2)
    }

    pub(super) fn drop_front(&mut self, ticks: u32) -> u32 {
        let mut dropped = 0;
        while dropped + self.frame_ticks <= ticks
            && let Some(len) = self.lens.pop_front()
        {
            self.bytes.drop_front(usize::from(len));
            dropped += self.frame_ticks;
        }
        dropped
    }

    pub(super) fn reset(&mut self) {
        self.bytes.clear();
        self.lens.clear();
        self.last.clear();
        self.lost_run = 0;
    }

    fn make_room(&mut self) -> u32 {
        let excess = self.lens.len().saturating_sub(self.bound) as u32;
        self.drop_front(excess * self.frame_ticks)
    }

    fn store(&mut self, frame: &[u8]) {
        self.last.clear();
        self.last.extend_from_slice(frame);
        let n = self.bytes.push(frame);
        self.lens.push_back(n as u16);
    }
}
