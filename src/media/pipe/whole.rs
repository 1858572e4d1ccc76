//! Payloads that cannot be cut passing through whole: Opus, G.722, Nellymoser.

use super::buffer::Linear;
use crate::Error;
use codecs::{Codec, CodecId, codec};
use std::collections::VecDeque;

/// Bytes that wait at most: half a second at 64 kbit/s twice over, and always one payload. The oldest go.
const ROOM: usize = 8 * 1024;
/// Payloads that wait at most.
const PAYLOADS: usize = 64;

pub(super) struct Whole {
    codec: &'static Codec,
    bytes: Linear<u8>,
    /// Length and duration of each payload.
    queue: VecDeque<(u16, u32)>,
    depth: u32,
    bound: u32,
}

impl Whole {
    pub(super) fn new(id: CodecId, buffer_ms: u32) -> Whole {
        let codec = codec(id);
        Whole {
            codec,
            bytes: Linear::new(ROOM),
            queue: VecDeque::with_capacity(PAYLOADS),
            depth: 0,
            bound: codec.rtp_clock / 50 * (buffer_ms / 20).max(2),
        }
    }

    /// How long a payload lasts; `None` when it is none.
    pub(super) fn ticks(&self, payload: &[u8]) -> Option<u32> {
        self.codec.payload_ticks(payload)
    }

    pub(super) fn push(&mut self, payload: &[u8]) -> Result<(u32, u32), Error> {
        let ticks = self
            .ticks(payload)
            .filter(|_| payload.len() <= crate::params::MAX_PAYLOAD)
            .ok_or(Error::BadPayload)?;
        let mut dropped = 0;
        while self.depth > self.bound
            || self.bytes.len() + payload.len() > ROOM
            || self.queue.len() >= PAYLOADS
        {
            match self.pop() {
                Some((len, ticks)) => {
                    self.bytes.drop_front(len);
                    dropped += ticks;
                }
                None => break,
            }
        }
        let stored = self.bytes.push(payload);
        self.queue.push_back((stored as u16, ticks));
        self.depth += ticks;
        Ok((ticks, dropped))
    }

    pub(super) fn next_frame(&mut self, out: &mut [u8]) -> Option<(usize, u32)> {
        let (len, ticks) = self.pop()?;
        let copied = match (self.bytes.as_slice().get(..len), out.get_mut(..len)) {
            (Some(from), Some(to)) => {
                to.copy_from_slice(from);
                true
            }
            _ => false,
        };
        self.bytes.drop_front(len);
        copied.then_some((len, ticks))
    }

    pub(super) fn depth(&self) -> u32 {
        self.depth
    }

    /// Only silence that is coded as such is recognised: Opus in a pause, and the payload that the codec table has.
    pub(super) fn is_silent_front(&self) -> bool {
        let Some((len, _)) = self.queue.front() else {
            return false;
        };
        let front = self.bytes.as_slice().get(..usize::from(*len)).unwrap_or_default();
        front == self.codec.silence || (self.codec.id == CodecId::Opus && front.len() <= 2)
    }

    pub(super) fn drop_front(&mut self, ticks: u32) -> u32 {
        let mut dropped = 0;
        while let Some((len, length)) = self.queue.front().copied()
            && dropped + length <= ticks
        {
            self.pop();
            self.bytes.drop_front(usize::from(len));
            dropped += length;
        }
        dropped
    }

    pub(super) fn reset(&mut self) {
        self.bytes.clear();
        self.queue.clear();
        self.depth = 0;
    }

    fn pop(&mut self) -> Option<(usize, u32)> {
        let (len, ticks) = self.queue.pop_front()?;
        self.depth -= ticks;
        Some((usize::from(len), ticks))
    }
}
