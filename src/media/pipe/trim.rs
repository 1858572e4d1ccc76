//! Finding what may be left out of PCM that waits: silence, and single pitch periods.

use codecs::level::dbov;
use codecs::stretch::Stretch;
use codecs::vad::Vad;

/// What is quieter counts as silence whatever the background, dBov.
const QUIET: f32 = -60.0;
/// So far above the tracked background is still background, dB.
const MARGIN: f32 = 9.0;

pub(super) struct Trim {
    vad: Vad,
    stretch: Stretch,
    /// The last frame sent was a voice, or the end of one.
    active: bool,
    scratch: Vec<i16>,
}

impl Trim {
    /// For PCM at `rate` Hz.
    pub(super) fn new(rate: u32) -> Trim {
        Trim {
            vad: Vad::new(rate),
            stretch: Stretch::new(rate),
            active: false,
            scratch: vec![0; Trim::look(rate)],
        }
    }

    /// Samples of the front that are searched for a period: 40 ms.
    pub(super) fn look(rate: u32) -> usize {
        rate as usize / 25
    }

    /// Follows what is sent: a frame of 20 ms.
    pub(super) fn follow(&mut self, frame: &[i16]) {
        self.active = self.vad.push(frame);
    }

    /// Whether `front`, next to be sent, is silence, and no voice is just fading before it.
    pub(super) fn is_silent(&self, front: &[i16]) -> bool {
        let level = dbov(front);
        !self.active && (level < QUIET || level < self.vad.floor() + MARGIN)
    }

    /// Takes one period of at most `most` samples out of the front [`Trim::look`] samples of `pcm`; how many now
    /// remain of those, at the beginning of `pcm`. `None` when nothing could be taken out.
    pub(super) fn compress(&mut self, most: usize, pcm: &mut [i16]) -> Option<usize> {
        let n = pcm.len().min(self.scratch.len());
        let front = pcm.get_mut(..n)?;
        let kept = self.stretch.compress_at_most(most, front, &mut self.scratch);
        if kept >= n {
            return None;
        }
        front.get_mut(..kept)?.copy_from_slice(self.scratch.get(..kept)?);
        Some(kept)
    }

    pub(super) fn reset(&mut self) {
        self.vad.reset();
        self.active = false;
    }
}
