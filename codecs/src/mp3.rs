//! MP3 (MPEG-1, 2 and 2.5 layer III) over nanomp3, decoded to mono: what some streaming tools send.
//!
//! A payload is the body of an FLV audio message behind its first byte: one or more whole frames.

use crate::Error;
use crate::streamed::Streamed;
use nanomp3_core::{Decoder as Inner, MAX_SAMPLES_PER_FRAME};

/// Most samples of one channel in a frame.
const FRAME: usize = MAX_SAMPLES_PER_FRAME / 2;

/// Decoder of one stream.
pub struct Decoder {
    inner: Box<Inner>,
    pcm: Box<[i16; MAX_SAMPLES_PER_FRAME]>,
    streamed: Streamed,
}

impl Decoder {
    /// A decoder to PCM at `sample_rate` Hz, 8,000 to 48,000 (0: 48,000), whatever the stream's own rate.
    #[must_use]
    pub fn new(sample_rate: u32) -> Self {
        Self {
            inner: Box::default(),
            pcm: Box::new([0; MAX_SAMPLES_PER_FRAME]),
            streamed: Streamed::new(sample_rate),
        }
    }
}

impl crate::Decoder for Decoder {
    fn sample_rate(&self) -> u32 {
        self.streamed.rate()
    }

    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, Error> {
        let mut rest = payload;
        let mut written = 0;
        while rest.len() > 4 {
            let room = out.get_mut(written..).unwrap_or_default();
            // Before the frame is read nobody knows its rate: room for the slowest.
            if let Err(small) = self.streamed.check_room(8_000, FRAME / 2, room) {
                if written == 0 {
                    return Err(small);
                }
                break;
            }
            let (used, frame) = self.inner.decode(rest, &mut self.pcm[..]);
            rest = rest.get(used.max(1)..).unwrap_or_default();
            let Ok(frame) = frame else { continue };
            let channels = usize::from(frame.channels.num());
            let samples = frame.samples_produced.min(FRAME);
            if samples == 0 {
                continue;
            }
            if channels == 2 {
                for i in 0..samples {
                    let sum = i32::from(self.pcm[2 * i]) + i32::from(self.pcm[2 * i + 1]);
                    self.pcm[i] = (sum / 2) as i16;
                }
            }
            written += self
                .streamed
                .write(frame.sample_rate, &self.pcm[..samples], room)?;
        }
        if written == 0 {
            return Err(Error::Truncated { bytes: payload.len() });
        }
        Ok(written)
    }

    fn conceal(&mut self, out: &mut [i16]) -> usize {
        self.streamed.conceal(out)
    }

    fn reset(&mut self) {
        *self.inner = Inner::new();
        self.streamed.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decoder as _;
    use crate::tone::measure;

    const STEREO: &[u8] = include_bytes!("../tests/mp3/tone-44100-stereo.bin");

    /// Audio messages of a tool, without their first byte: 1 kHz at -18 dBov.
    fn payloads(mut file: &[u8]) -> Vec<&[u8]> {
        let mut all = Vec::new();
        while let Some((size, rest)) = file.split_first_chunk::<2>() {
            let (message, rest) = rest.split_at(usize::from(u16::from_be_bytes(*size)));
            all.push(&message[1..]);
            file = rest;
        }
        all
    }

    #[test]
    fn a_tone_comes_out_at_the_rate_asked_for() {
        for rate in [8_000, 16_000, 48_000] {
            let mut decoder = Decoder::new(rate);
            let mut out = [0; 8_000];
            let mut pcm = Vec::new();
            for payload in payloads(STEREO) {
                let n = decoder.decode(payload, &mut out).unwrap();
                let due = 1_152 * rate as usize / 44_100;
                assert!(n.abs_diff(due) <= 1, "{rate}: {n}");
                pcm.extend_from_slice(&out[..n]);
            }
            let level = measure(&pcm[pcm.len() / 2..], rate, 1_000.0);
            assert!((level + 18.3).abs() < 1.0, "{rate}: {level}");
        }
    }

    #[test]
    fn several_frames_in_a_message_and_damage() {
        let all = payloads(STEREO);
        let mut decoder = Decoder::new(8_000);
        let mut out = [0; 8_000];
        let joined = [all[0], all[1], all[2]].concat();
        let n = decoder.decode(&joined, &mut out).unwrap();
        assert!(n.abs_diff(3 * 1_152 * 8_000 / 44_100) <= 3, "{n}");
        assert_eq!(
            decoder.decode(&[0xff, 0xfb, 0x90], &mut out),
            Err(Error::Truncated { bytes: 3 })
        );
        assert!(decoder.decode(&[0x55; 400], &mut out).is_err());
        assert!(decoder.decode(all[0], &mut out[..100]).is_err());
        assert_eq!(decoder.conceal(&mut out), 160);
        let good = all[5..]
            .iter()
            .filter(|p| decoder.decode(p, &mut out).is_ok())
            .count();
        // Behind a hole the first few lack what frames before them had kept for them.
        assert!(good >= all.len() / 2, "{good} of {}", all.len());
    }
}
