//! Sound at a rate that only the stream tells, brought to the rate the caller wants.

use crate::Error;
use crate::conceal::Concealer;
use crate::resample::Resampler;

/// The last stage of decoders of streaming codecs.
pub(crate) struct Streamed {
    rate: u32,
    resampler: Option<Resampler>,
    concealer: Concealer,
}

impl Streamed {
    /// Toward `rate` Hz, 8,000 to 48,000; 0 is 48,000.
    pub(crate) fn new(rate: u32) -> Streamed {
        let rate = if rate == 0 {
            48_000
        } else {
            rate.clamp(8_000, 48_000)
        };
        Streamed {
            rate,
            resampler: None,
            concealer: Concealer::new(rate),
        }
    }

    pub(crate) fn rate(&self) -> u32 {
        self.rate
    }

    /// Whether `out` has room for `samples` at `from` Hz.
    pub(crate) fn check_room(&self, from: u32, samples: usize, out: &[i16]) -> Result<(), Error> {
        let want = (samples as u64 * u64::from(self.rate)).div_ceil(u64::from(from.max(1))) as usize + 1;
        if want > out.len() {
            return Err(Error::OutputTooSmall { want, got: out.len() });
        }
        Ok(())
    }

    /// Writes `pcm`, which is at `from` Hz, to `out`; the samples written. Allocates when `from` is another than before.
    pub(crate) fn write(&mut self, from: u32, pcm: &[i16], out: &mut [i16]) -> Result<usize, Error> {
        let resampler = match &mut self.resampler {
            Some(resampler) if resampler.from() == from => resampler,
            other => other.insert(Resampler::new(from, self.rate, 3)?),
        };
        let written = resampler.process(pcm, out);
        if let Some(made) = out.get_mut(..written) {
            self.concealer.good(made);
        }
        Ok(written)
    }

    /// Fills in for 20 ms.
    pub(crate) fn conceal(&mut self, out: &mut [i16]) -> usize {
        let n = out.len().min(self.rate as usize / 50);
        self.concealer.conceal(&mut out[..n]);
        n
    }

    pub(crate) fn reset(&mut self) {
        if let Some(resampler) = &mut self.resampler {
            resampler.reset();
        }
        self.concealer.reset();
    }
}
