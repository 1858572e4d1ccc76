//! Tones and prompts that are played into a room.

use std::collections::VecDeque;
use std::sync::Arc;

use codecs::resample::Resampler;
use codecs::tone::Tone;

/// PCM to be played.
#[derive(Clone, PartialEq, Eq)]
pub struct Sound {
    rate: u32,
    pcm: Vec<i16>,
    repeats: bool,
}

impl std::fmt::Debug for Sound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sound({} Hz, {} samples)", self.rate, self.pcm.len())
    }
}

impl Sound {
    /// PCM at `rate` Hz, 1,000 to 192,000.
    pub fn new(rate: u32, pcm: Vec<i16>) -> Sound {
        Sound {
            rate,
            pcm,
            repeats: false,
        }
    }

    /// A row of tones at 16 kHz: frequency in Hz (0 for a pause), length in ms; level in dBov.
    pub fn tones(parts: &[(f32, u32)], dbov: f32) -> Sound {
        const RATE: u32 = 16_000;
        let mut pcm = Vec::new();
        for (hz, ms) in parts {
            let from = pcm.len();
            pcm.resize(from + (RATE / 1_000 * ms) as usize, 0);
            let part = pcm.get_mut(from..).unwrap_or_default();
            if *hz > 0.0 {
                Tone::new(*hz, dbov, RATE).fill(part);
                // Without an edge that would click.
                let edge = (RATE as usize / 200).min(part.len() / 2);
                let end = part.len() - edge;
                super::talk::fade(part.get_mut(..edge).unwrap_or_default(), 0.0, 1.0);
                super::talk::fade(part.get_mut(end..).unwrap_or_default(), 1.0, 0.0);
            }
        }
        Sound::new(RATE, pcm)
    }

    /// The same, over and over until it is hushed.
    #[must_use]
    pub fn repeated(mut self) -> Sound {
        self.repeats = true;
        self
    }

    /// Its length, ms.
    pub fn millis(&self) -> u64 {
        self.pcm.len() as u64 * 1_000 / u64::from(self.rate.max(1))
    }
}

/// A sound on its way into a room.
pub(super) struct Playing {
    sound: Arc<Sound>,
    at: usize,
    convert: Resampler,
    /// Converted and not yet played.
    ready: Vec<i16>,
}

impl Playing {
    /// `None` when its rate is none, or it is empty.
    pub(super) fn new(sound: Arc<Sound>, rate: u32) -> Option<Playing> {
        let convert = Resampler::new(sound.rate, rate, 3).ok()?;
        (!sound.pcm.is_empty()).then(|| Playing {
            sound,
            at: 0,
            convert,
            ready: Vec::new(),
        })
    }

    /// Another rate; false when it cannot go on.
    pub(super) fn set_rate(&mut self, rate: u32) -> bool {
        match Resampler::new(self.sound.rate, rate, 3) {
            Ok(convert) => {
                self.convert = convert;
                self.ready.clear();
                true
            }
            Err(_) => false,
        }
    }

    /// Writes the next samples; how many there still were.
    fn fill(&mut self, out: &mut [i16]) -> usize {
        let piece = (self.sound.rate as usize / 50).max(1);
        while self.ready.len() < out.len() {
            if self.at >= self.sound.pcm.len() && self.sound.repeats {
                self.at = 0;
            }
            let rest = self.sound.pcm.get(self.at..).unwrap_or_default();
            let next = rest.get(..piece.min(rest.len())).unwrap_or_default();
            if next.is_empty() {
                break;
            }
            let had = self.ready.len();
            self.ready.resize(had + self.convert.max_out(next.len()), 0);
            let made = self
                .convert
                .process(next, self.ready.get_mut(had..).unwrap_or_default());
            self.ready.truncate(had + made);
            self.at += next.len();
        }
        let n = self.ready.len().min(out.len());
        for (out, sample) in out.iter_mut().zip(self.ready.drain(..n)) {
            *out = sample;
        }
        n
    }
}

/// Writes a slot of what plays into `out`, the rest is silence; false when nothing plays.
pub(super) fn fill(queue: &mut VecDeque<Playing>, out: &mut [i16]) -> bool {
    if queue.is_empty() {
        return false;
    }
    let mut done = 0;
    while let Some(rest) = out.get_mut(done..).filter(|r| !r.is_empty()) {
        let Some(playing) = queue.front_mut() else {
            rest.fill(0);
            break;
        };
        let n = playing.fill(rest);
        done += n;
        if n == 0 {
            queue.pop_front();
        }
    }
    true
}

/// Adds a slot of what plays to what is heard.
pub(super) fn add(queue: &mut VecDeque<Playing>, out: &mut [i16]) {
    if queue.is_empty() {
        return;
    }
    let mut slot = vec![0; out.len()];
    fill(queue, &mut slot);
    for (out, sample) in out.iter_mut().zip(slot) {
        *out = codecs::mix::saturate(i32::from(*out) + i32::from(sample));
    }
}
