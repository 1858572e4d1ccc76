//! What participants hear, with the time at which each sample is heard.

use std::time::Duration;

use base::Time;

use crate::voice::{MARKS, Voice};

/// A tone at this level or above is heard, dBov. Participants speak at -22.
const HEARD: f32 = -32.0;
/// Below this it is not heard at all: the distortion of the codecs is softer.
const UNHEARD: f32 = -38.0;
/// What `hears` listens to.
const ATTENTION: Duration = Duration::from_millis(400);

/// A run of samples heard one after another.
#[derive(Clone, Copy, Debug)]
struct Piece {
    at: Time,
    rate: u32,
    first: usize,
    len: usize,
}

impl Piece {
    fn end(&self) -> Time {
        self.at + samples(self.len, self.rate)
    }
}

fn samples(n: usize, rate: u32) -> Duration {
    Duration::from_nanos(n as u64 * 1_000_000_000 / u64::from(rate))
}

/// One measurement of delay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// When it was heard.
    pub heard: Time,
    /// How long after it was spoken.
    pub delay: Duration,
}

/// Everything a participant has heard.
#[derive(Debug, Default)]
pub struct Ear {
    pcm: Vec<i16>,
    pieces: Vec<Piece>,
    /// Plays what it gets back to back, as a player without a clock does; else everything is heard when it
    /// comes.
    back_to_back: bool,
}

impl Ear {
    /// The ear of a player without a clock.
    pub fn back_to_back() -> Ear {
        Ear {
            back_to_back: true,
            ..Ear::default()
        }
    }

    /// Audio that came at `now`.
    pub fn hear(&mut self, now: Time, rate: u32, pcm: &[i16]) {
        let played = self.pieces.last().map_or(Time::ZERO, Piece::end);
        let at = if self.back_to_back { now.max(played) } else { now };
        self.pieces.push(Piece {
            at,
            rate,
            first: self.pcm.len(),
            len: pcm.len(),
        });
        self.pcm.extend_from_slice(pcm);
    }

    /// The level of a tone in what was heard last, dBov; `None` when next to nothing was heard.
    pub fn level(&self, now: Time, hz: f32) -> Option<f32> {
        let recent = |p: &&Piece| now.since(p.at) <= ATTENTION && p.at <= now;
        let pieces: Vec<&Piece> = self.pieces.iter().rev().take(100).filter(recent).collect();
        let rate = pieces.first()?.rate;
        let mut heard = Vec::new();
        for piece in pieces.iter().rev().filter(|p| p.rate == rate) {
            heard.extend_from_slice(&self.pcm[piece.first..piece.first + piece.len]);
        }
        (heard.len() as u32 >= rate / 10).then(|| codecs::tone::measure(&heard, rate, hz))
    }

    /// Whether a tone is heard now.
    pub fn hears(&self, now: Time, hz: f32) -> bool {
        self.level(now, hz).is_some_and(|l| l >= HEARD)
    }

    /// Whether nothing of a tone is heard now.
    pub fn is_deaf_to(&self, now: Time, hz: f32) -> bool {
        self.level(now, hz).is_none_or(|l| l < UNHEARD)
    }

    /// The marks of a voice that were heard between two times, with their delays.
    pub fn marks(&self, voice: &Voice, from: Time, to: Time) -> Vec<Mark> {
        let mut marks = Vec::new();
        // One second more, so that the detector is settled when the first counts.
        let lead = Time::from_nanos(from.as_nanos().saturating_sub(1_000_000_000));
        let pieces: Vec<Piece> = self
            .pieces
            .iter()
            .filter(|p| p.end() > lead && p.at < to)
            .copied()
            .collect();
        for run in pieces.chunk_by(|a, b| a.rate == b.rate) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else {
                continue;
            };
            let pcm = &self.pcm[first.first..last.first + last.len];
            for (onset, pitch) in onsets(pcm, first.rate) {
                let at = first.first + onset;
                let piece = run[run.partition_point(|p| p.first + p.len <= at)];
                let heard = piece.at + samples(at - piece.first, piece.rate);
                if heard < from || heard >= to {
                    continue;
                }
                if let Some(delay) = voice.delay(pitch, heard) {
                    marks.push(Mark { heard, delay });
                }
            }
        }
        marks
    }
}

/// The samples at which marks begin, with their pitches.
fn onsets(pcm: &[i16], rate: u32) -> Vec<(usize, usize)> {
    // A window of 20 ms parts pitches that lie 200 Hz apart; centred on the onset it holds half a mark, whose
    // level is then 6 dB below the whole.
    let window = rate as usize / 50;
    let hop = rate as usize / 400;
    let loud = -16.0;
    let mut found = Vec::new();
    let mut before = [f32::NEG_INFINITY; MARKS.len()];
    let mut quiet_since = 0;
    for start in (0..pcm.len().saturating_sub(window)).step_by(hop) {
        let frame = &pcm[start..start + window];
        if codecs::level::dbov(frame) < loud - 3.0 {
            before = [f32::NEG_INFINITY; MARKS.len()];
            continue;
        }
        let levels = MARKS.map(|hz| codecs::tone::measure(frame, rate, hz));
        let loudest = (0..MARKS.len()).max_by(|a, b| levels[*a].total_cmp(&levels[*b]));
        if let Some(pitch) = loudest.filter(|p| levels[*p] >= loud) {
            if start >= quiet_since {
                // Between this window and the one before, by their amplitudes.
                let amplitude = |db: f32| 10f32.powf(db / 20.0);
                let (low, high) = (amplitude(before[pitch]), amplitude(levels[pitch]));
                let part = if high > low {
                    (high - amplitude(loud)) / (high - low)
                } else {
                    0.0
                };
                let centre = start + window / 2;
                found.push((centre.saturating_sub((part * hop as f32) as usize), pitch));
            }
            quiet_since = start + rate as usize / 10;
        }
        before = levels;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voice_heard_at_once_has_no_delay_but_its_own() {
        for rate in [8_000, 16_000] {
            let mut voice = Voice::new(2, Time::from_millis(7));
            let mut ear = Ear::default();
            for _ in 0..500 {
                let at = voice.due();
                let pcm = voice.speak(rate);
                ear.hear(at, rate, &pcm);
            }
            let marks = ear.marks(&voice, Time::from_secs(1), Time::from_secs(9));
            assert_eq!(marks.len(), 16);
            for mark in marks {
                // A frame is heard when it is whole.
                let off = mark.delay.as_secs_f64() * 1e3 - 20.0;
                assert!(off.abs() < 1.0, "{mark:?}");
            }
            let now = voice.due();
            assert!(ear.hears(now, voice.hz));
            assert!(ear.is_deaf_to(now, Voice::new(3, now).hz));
        }
    }

    #[test]
    fn a_fast_sound_card_drifts_against_the_world() {
        let mut voice = Voice::new(0, Time::ZERO);
        voice.set_clock(Time::ZERO, 100);
        let mut ear = Ear::back_to_back();
        for _ in 0..3_001 {
            let at = voice.due();
            let pcm = voice.speak(8_000);
            ear.hear(at, 8_000, &pcm);
        }
        let end = voice.due();
        let marks = ear.marks(&voice, Time::ZERO, end);
        let drift = marks[marks.len() - 1].delay.as_secs_f64() - marks[0].delay.as_secs_f64();
        assert!((drift - 0.006).abs() < 0.001, "{drift}");
    }
}
