//! What was heard last by all who only listen: an encoder that begins is fed with it first.

use codecs::resample::Resampler;

use crate::params::WARM_UP;

/// The last slots, oldest first.
pub(super) struct History {
    rate: u32,
    pcm: Vec<i16>,
}

impl History {
    pub(super) fn new(rate: u32) -> History {
        History {
            rate,
            pcm: Vec::with_capacity((WARM_UP + 1) * rate as usize / 50),
        }
    }

    pub(super) fn push(&mut self, slot: &[i16]) {
        let keep = (WARM_UP - 1) * self.rate as usize / 50;
        let gone = self.pcm.len().saturating_sub(keep);
        self.pcm.drain(..gone);
        self.pcm.extend_from_slice(slot);
    }

    /// The slots, each of 20 ms.
    pub(super) fn slots(&self) -> impl ExactSizeIterator<Item = &[i16]> {
        self.pcm.chunks_exact(self.rate as usize / 50)
    }

    pub(super) fn set_rate(&mut self, rate: u32) {
        let mut pcm = Vec::new();
        if let Ok(mut convert) = Resampler::new(self.rate, rate, 3) {
            pcm.resize(convert.max_out(self.pcm.len()), 0);
            let n = convert.process(&self.pcm, &mut pcm);
            // Whole slots, the newest: a filter may give a sample less.
            pcm.truncate(n - n % (rate as usize / 50).max(1));
        }
        self.rate = rate;
        self.pcm = pcm;
    }
}
