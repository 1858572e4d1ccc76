//! Who speaks: levels, levelling, and the choice of the loudest.

use std::collections::BTreeMap;

use base::LegId;
use codecs::level::{SILENCE_DBOV, dbov};
use codecs::vad::Vad;

use crate::params;

/// One member's voice.
pub(super) struct Talk {
    vad: Option<Vad>,
    /// Level of late, dBov: follows a rise at once and a fall slowly.
    level: f32,
    /// Gain of levelling, dB.
    levelled: f32,
    /// In the sum in the slot before.
    in_mix: bool,
}

impl Talk {
    pub(super) fn new() -> Talk {
        Talk {
            vad: None,
            level: SILENCE_DBOV,
            levelled: 0.0,
            in_mix: false,
        }
    }

    /// The room has another rate.
    pub(super) fn set_rate(&mut self) {
        self.vad = None;
    }

    /// Takes in a slot, with its gain; the level when it speaks.
    pub(super) fn follow(
        &mut self,
        rate: u32,
        pcm: &mut [i16],
        present: bool,
        gain: f32,
        levelling: bool,
    ) -> Option<f32> {
        if !present {
            self.level = (self.level - params::TALK_FALL_DB).max(SILENCE_DBOV);
            return None;
        }
        let speaks = self.vad.get_or_insert_with(|| Vad::new(rate)).push(pcm);
        let mut gain = gain;
        if levelling {
            gain *= 10f32.powf(self.levelled / 20.0);
        }
        scale(pcm, gain);
        if !speaks {
            self.level = (self.level - params::TALK_FALL_DB).max(SILENCE_DBOV);
            return None;
        }
        self.level = dbov(pcm).max(self.level - params::TALK_FALL_DB);
        if levelling {
            let step = (params::LEVEL_TARGET - self.level).clamp(-params::LEVEL_STEP, params::LEVEL_STEP);
            self.levelled = (self.levelled + step).clamp(-params::LEVEL_MOST, params::LEVEL_MOST);
        }
        Some(self.level)
    }

    /// Makes the slot what is heard of it; false when that is nothing. It comes in within 5 ms and goes out
    /// within a slot, so that neither clicks.
    pub(super) fn part(&mut self, _rate: u32, pcm: &mut [i16], chosen: bool) -> bool {
        let before = std::mem::replace(&mut self.in_mix, chosen);
        match (before, chosen) {
            (true, true) => true,
            (false, false) => false,
            (false, true) => {
                let begin = pcm.len() / 4;
                fade(pcm.get_mut(..begin).unwrap_or_default(), 0.0, 1.0);
                true
            }
            (true, false) => {
                fade(pcm, 1.0, 0.0);
                true
            }
        }
    }
}

/// The choice of those who are heard.
#[derive(Default)]
pub(super) struct Select {
    candidates: Vec<(LegId, f32)>,
    chosen: BTreeMap<LegId, f32>,
    /// Who has the floor, and for how many slots somebody else has been louder.
    floor: Option<(LegId, u32)>,
}

impl Select {
    /// A member's level in this slot, when it speaks.
    pub(super) fn candidate(&mut self, leg: LegId, level: Option<f32>) {
        if let Some(level) = level {
            self.candidates.push((leg, level));
        }
    }

    /// Of the candidates the `most` loudest are heard. Who was heard in the slot before stays unless another is
    /// louder by [`params::TALK_HYSTERESIS_DB`].
    pub(super) fn choose(&mut self, most: usize) {
        if self.candidates.len() > most {
            let rank = |(leg, level): &(LegId, f32)| {
                if self.chosen.contains_key(leg) {
                    level + params::TALK_HYSTERESIS_DB
                } else {
                    *level
                }
            };
            self.candidates
                .sort_unstable_by(|a, b| rank(b).total_cmp(&rank(a)).then(a.0.cmp(&b.0)));
            self.candidates.truncate(most);
        }
        self.chosen.clear();
        self.chosen.extend(self.candidates.drain(..));
        self.give_floor();
    }

    /// The loudest has the floor once it has been so for a while.
    fn give_floor(&mut self) {
        let Some((loudest, level)) = self
            .chosen
            .iter()
            .max_by(|a, b| a.1.total_cmp(b.1))
            .map(|(leg, level)| (*leg, *level))
        else {
            // Who spoke last keeps it over pauses.
            return;
        };
        self.floor = match self.floor {
            Some((leg, louder)) if leg != loudest => {
                let holds = self
                    .chosen
                    .get(&leg)
                    .is_some_and(|own| level < own + params::TALK_HYSTERESIS_DB);
                if holds {
                    Some((leg, 0))
                } else if louder >= params::FLOOR_AFTER {
                    Some((loudest, 0))
                } else {
                    Some((leg, louder + 1))
                }
            }
            Some((leg, _)) => Some((leg, 0)),
            None => Some((loudest, 0)),
        };
    }

    pub(super) fn is_chosen(&self, leg: LegId) -> bool {
        self.chosen.contains_key(&leg)
    }

    /// Those heard in this slot, who has the floor first.
    pub(super) fn talkers(&self) -> impl Iterator<Item = (LegId, f32)> + '_ {
        let floor = self.floor.map(|(leg, _)| leg);
        let first = floor.and_then(|leg| self.chosen.get(&leg).map(|level| (leg, *level)));
        let rest = self
            .chosen
            .iter()
            .filter(move |(leg, _)| Some(**leg) != floor)
            .map(|(leg, level)| (*leg, *level));
        first.into_iter().chain(rest)
    }
}

/// Multiplies by a factor that goes from one value to another.
pub(super) fn fade(pcm: &mut [i16], from: f32, to: f32) {
    let step = (to - from) / pcm.len().max(1) as f32;
    let mut gain = from;
    for sample in pcm {
        *sample = (f32::from(*sample) * gain) as i16;
        gain += step;
    }
}

/// Multiplies by a factor; what becomes too loud is bent.
pub(super) fn scale(pcm: &mut [i16], factor: f32) {
    if (factor - 1.0).abs() > 1e-3 {
        for sample in pcm {
            *sample = codecs::mix::saturate((f32::from(*sample) * factor) as i32);
        }
    }
}
