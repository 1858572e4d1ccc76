//! What comes from one member: paced into slots, and concealed where it is late.

use base::Time;
use codecs::{CodecId, codec};

use super::talk;
use crate::params::{ROOM_CONCEALED, ROOM_RATES};
use crate::{MediaTime, Pipe, Playout, Slot, max_frame_bytes};

#[derive(Default)]
pub(super) struct Input {
    playout: Option<(CodecId, Playout)>,
    /// Slots concealed in a row; more than are allowed once it is silent.
    concealed: u32,
    bytes: Vec<u8>,
}

impl Input {
    pub(super) fn push(&mut self, now: Time, codec: CodecId, time: MediaTime, payload: &[u8], rate: u32) {
        if self.playout.as_ref().is_none_or(|(c, _)| *c != codec) {
            self.playout = Pipe::linear(codec, rate, Playout::BUFFER_MS)
                .ok()
                .map(|pipe| (codec, Playout::new(pipe)));
            self.concealed = ROOM_CONCEALED + 1;
        }
        if let Some((_, playout)) = &mut self.playout {
            // A message that cannot be read is counted there; its slots are concealed.
            let _counted = playout.push(now, time, payload);
        }
    }

    pub(super) fn lose(&mut self, time: MediaTime, ticks: u32) {
        if let Some((_, playout)) = &mut self.playout {
            playout.conceal(time, ticks);
        }
    }

    /// The rate of what it sends; `None` before anything came.
    pub(super) fn rate(&self) -> Option<u32> {
        let (id, _) = self.playout.as_ref()?;
        let own = codec(*id).sample_rate;
        // What lies between is not worth the next rate but one: 22 kHz is more than 16, 11 less.
        Some(ROOM_RATES.into_iter().find(|r| own <= *r).unwrap_or(48_000))
    }

    pub(super) fn set_rate(&mut self, rate: u32) {
        if let Some((_, playout)) = &mut self.playout
            && playout.set_linear_rate(rate).is_err()
        {
            self.playout = None;
        }
    }

    /// Fills a slot; false when there is nothing but silence.
    pub(super) fn slot(&mut self, pcm: &mut [i16]) -> bool {
        let Some((_, playout)) = &mut self.playout else {
            pcm.fill(0);
            return false;
        };
        self.bytes.resize(pcm.len() * 2, 0);
        debug_assert!(self.bytes.len() <= max_frame_bytes().max(1_920));
        let mut slot = playout.pull(&mut self.bytes);
        let late = matches!(slot, Slot::Silent { .. });
        if late && self.concealed < ROOM_CONCEALED {
            playout.conceal(MediaTime::new(0, 48_000), 960);
            slot = playout.pull(&mut self.bytes);
        }
        let Slot::Frame { len, .. } = slot else {
            self.concealed = ROOM_CONCEALED + 1;
            pcm.fill(0);
            return false;
        };
        let bytes = self.bytes.get(..len).unwrap_or_default();
        for (sample, pair) in pcm.iter_mut().zip(bytes.chunks_exact(2)) {
            *sample = i16::from_be_bytes([pair[0], pair[1]]);
        }
        if late {
            self.concealed += 1;
            if self.concealed == ROOM_CONCEALED {
                talk::fade(pcm, 1.0, 0.0);
            }
        } else {
            if self.concealed >= ROOM_CONCEALED {
                let begin = pcm.len() / 4;
                talk::fade(pcm.get_mut(..begin).unwrap_or_default(), 0.0, 1.0);
            }
            self.concealed = 0;
        }
        true
    }
}
