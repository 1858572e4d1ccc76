//! The media half of a room: decodes what comes from its members, mixes, and encodes what each of them hears.
//!
//! A slot of 20 ms goes: [`RoomMixer::mix`], then [`RoomMixer::hear`] for each member and codec. What comes late
//! is concealed and then silent, so no member can delay the room. All who hear the same in the same codec are
//! given the same frames, which are encoded once; who speaks, or hears something of its own, has an encoder of
//! its own. Both kinds of encoder are warmed up with what was heard last, and nobody goes back to the shared one
//! before both have heard the same for [`params::SHARE_AFTER`] slots: so the move is not heard (README.md).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use base::{LegId, Time};
use codecs::CodecId;
use codecs::resample::Resampler;

use crate::{MediaTime, Mixer, PipeOptions, params};
use history::History;
use input::Input;
use output::Stream;
use sound::Playing;
use talk::{Select, Talk};

mod history;
mod input;
mod output;
mod sound;
mod talk;
#[cfg(test)]
mod tests;

pub use output::Heard;
pub use sound::Sound;

/// How a room mixes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoomOptions {
    /// The highest rate at which it mixes, Hz: 8,000, 16,000 or 48,000.
    pub max_rate: u32,
    /// So many are heard at a time, the loudest; 1 to [`crate::MAX_TALKERS`].
    pub talkers: usize,
    /// Whether loud and soft members are brought to one level.
    pub levelling: bool,
    /// Noise that is always there, dBov, so that silence does not sound like a dead line; `None` for none.
    pub comfort_noise: Option<f32>,
    /// Encoder quality and effort.
    pub pipe: PipeOptions,
}

impl Default for RoomOptions {
    fn default() -> RoomOptions {
        RoomOptions {
            max_rate: 48_000,
            talkers: 8,
            levelling: false,
            comfort_noise: Some(-66.0),
            pipe: PipeOptions::default(),
        }
    }
}

/// A room's mixer.
pub struct RoomMixer {
    options: RoomOptions,
    rate: u32,
    /// Slots since a member needed the present rate.
    lower_for: u32,
    slot: u64,
    mixer: Mixer,
    members: BTreeMap<LegId, Member>,
    select: Select,
    remotes: BTreeMap<u16, Remote>,
    /// Heard by all.
    sounds: VecDeque<Playing>,
    noise: Noise,
    /// What all who only listen hear.
    total: Vec<i16>,
    history: History,
    shared: BTreeMap<CodecId, Stream>,
    /// The sum of this slot's own talkers, for other shards.
    sums: Vec<i32>,
    scratch: Vec<i16>,
}

struct Member {
    input: Input,
    talk: Talk,
    /// This slot, after gain; all that is heard of it.
    pcm: Vec<i16>,
    muted: bool,
    deaf: bool,
    /// Of what it says.
    gain: f32,
    /// Of what it hears.
    volume: f32,
    sounds: VecDeque<Playing>,
    /// Its part of this slot is in the sum.
    heard: bool,
    /// Slots since it heard anything but what all listeners hear.
    same: u32,
    own: Vec<Stream>,
    /// What it alone hears, and in which slot.
    ear: (u64, Vec<i16>),
}

/// The sum of another shard's members.
#[derive(Default)]
struct Remote {
    slots: VecDeque<Vec<i32>>,
    rate: u32,
    convert: Option<Resampler>,
}

impl std::fmt::Debug for RoomMixer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RoomMixer")
            .field("rate", &self.rate)
            .field("members", &self.members.len())
            .finish_non_exhaustive()
    }
}

impl RoomMixer {
    /// An empty room.
    pub fn new(options: RoomOptions) -> RoomMixer {
        let rate = 8_000;
        RoomMixer {
            options,
            rate,
            lower_for: 0,
            slot: 0,
            mixer: Mixer::new(rate),
            members: BTreeMap::new(),
            select: Select::default(),
            remotes: BTreeMap::new(),
            sounds: VecDeque::new(),
            noise: Noise::new(options.comfort_noise),
            total: vec![0; slot_samples(rate)],
            history: History::new(rate),
            shared: BTreeMap::new(),
            sums: Vec::new(),
            scratch: vec![0; slot_samples(rate)],
        }
    }

    /// The rate it mixes at now, Hz.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Members now.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// A member comes in.
    pub fn join(&mut self, leg: LegId) {
        let member = Member {
            input: Input::default(),
            talk: Talk::new(),
            pcm: vec![0; slot_samples(self.rate)],
            muted: false,
            deaf: false,
            gain: 1.0,
            volume: 1.0,
            sounds: VecDeque::new(),
            heard: false,
            same: params::SHARE_AFTER,
            own: Vec::new(),
            ear: (0, Vec::new()),
        };
        self.members.insert(leg, member);
    }

    /// A member left.
    pub fn leave(&mut self, leg: LegId) {
        self.members.remove(&leg);
    }

    /// A member is heard no more, or again.
    pub fn mute(&mut self, leg: LegId, on: bool) {
        if let Some(member) = self.members.get_mut(&leg) {
            member.muted = on;
        }
    }

    /// A member hears no more, or again.
    pub fn deafen(&mut self, leg: LegId, on: bool) {
        if let Some(member) = self.members.get_mut(&leg) {
            member.deaf = on;
        }
    }

    /// How much louder a member is heard, dB; at most 20 either way.
    pub fn set_gain(&mut self, leg: LegId, db: f32) {
        if let Some(member) = self.members.get_mut(&leg) {
            member.gain = factor(db);
        }
    }

    /// How much louder a member hears the others, dB; at most 20 either way.
    pub fn set_volume(&mut self, leg: LegId, db: f32) {
        if let Some(member) = self.members.get_mut(&leg) {
            member.volume = factor(db);
        }
    }

    /// Plays a sound after those that play, to one member or to all; false when too many wait.
    pub fn play(&mut self, to: Option<LegId>, sound: &Arc<Sound>) -> bool {
        let rate = self.rate;
        let queue = match to {
            None => Some(&mut self.sounds),
            Some(leg) => self.members.get_mut(&leg).map(|m| &mut m.sounds),
        };
        match queue {
            Some(queue) if queue.len() < params::ROOM_SOUNDS => {
                queue.extend(Playing::new(sound.clone(), rate));
                true
            }
            _ => false,
        }
    }

    /// Stops the sounds of one member, or those that all hear.
    pub fn hush(&mut self, to: Option<LegId>) {
        match to {
            None => self.sounds.clear(),
            Some(leg) => {
                if let Some(member) = self.members.get_mut(&leg) {
                    member.sounds.clear();
                }
            }
        }
    }

    /// An encoded message came from a member; what cannot be read is lost.
    pub fn push(&mut self, now: Time, leg: LegId, codec: CodecId, time: MediaTime, payload: &[u8]) {
        if let Some(member) = self.members.get_mut(&leg) {
            member.input.push(now, codec, time, payload, self.rate);
        }
    }

    /// A message of a member is lost; `ticks` in the clock of `time`.
    pub fn lose(&mut self, leg: LegId, time: MediaTime, ticks: u32) {
        if let Some(member) = self.members.get_mut(&leg) {
            member.input.lose(time, ticks);
        }
    }

    /// A slot of another shard's talkers came: `sums` at `rate` Hz. More than two wait for nobody.
    pub fn push_remote(&mut self, from: u16, rate: u32, sums: impl Iterator<Item = i32>) {
        if !params::ROOM_RATES.contains(&rate) {
            return;
        }
        let remote = self.remotes.entry(from).or_default();
        if remote.rate != rate {
            remote.rate = rate;
            remote.slots.clear();
            remote.convert = None;
        }
        if remote.slots.len() >= params::ROOM_REMOTE_SLOTS {
            remote.slots.pop_front();
        }
        remote.slots.push_back(sums.take(slot_samples(rate)).collect());
    }

    /// Another shard has no members any more.
    pub fn drop_remote(&mut self, from: u16) {
        self.remotes.remove(&from);
    }

    /// What this shard's talkers are to the other shards: the sum, with its rate; `None` while nobody speaks.
    pub fn sums(&self) -> Option<(u32, &[i32])> {
        (!self.sums.is_empty()).then_some((self.rate, self.sums.as_slice()))
    }

    /// What those hear who only listen: this slot, at [`RoomMixer::rate`].
    pub fn total(&self) -> &[i16] {
        &self.total
    }

    /// What is heard of a member in this slot; `None` while that is nothing.
    pub fn spoken(&self, leg: LegId) -> Option<&[i16]> {
        self.members
            .get(&leg)
            .filter(|m| m.heard)
            .map(|m| m.pcm.as_slice())
    }

    /// Who speaks, the one that has the floor first, each with its level in dBov.
    pub fn talkers(&self) -> impl Iterator<Item = (LegId, f32)> + '_ {
        self.select.talkers()
    }

    /// A slot of 20 ms passes.
    pub fn mix(&mut self) {
        if self.slot > 0 {
            self.history.push(&self.total);
        }
        self.slot += 1;
        self.choose_rate();
        let (rate, levelling) = (self.rate, self.options.levelling);
        for (leg, member) in &mut self.members {
            let present = member.input.slot(&mut member.pcm) && !member.muted;
            let level = member
                .talk
                .follow(rate, &mut member.pcm, present, member.gain, levelling);
            self.select.candidate(*leg, level);
        }
        self.select.choose(self.options.talkers);
        self.mixer.begin();
        for (leg, member) in &mut self.members {
            let chosen = self.select.is_chosen(*leg);
            member.heard = member.talk.part(rate, &mut member.pcm, chosen) && self.mixer.add(&member.pcm);
        }
        self.sums.clear();
        if self.mixer.talkers() > 0 {
            self.sums.extend_from_slice(self.mixer.sums());
        }
        self.add_remotes();
        self.scratch.resize(slot_samples(rate), 0);
        if sound::fill(&mut self.sounds, &mut self.scratch) {
            self.mixer.add(&self.scratch);
        }
        if self.noise.fill(&mut self.scratch) {
            self.mixer.add(&self.scratch);
        }
        self.total.resize(slot_samples(rate), 0);
        self.mixer.total(&mut self.total);
        for member in self.members.values_mut() {
            let personal = member.heard
                || member.deaf
                || !member.sounds.is_empty()
                || (member.volume - 1.0).abs() > 1e-3;
            member.same = if personal {
                0
            } else {
                member.same.saturating_add(1)
            };
            if member.same > params::OWN_KEPT {
                member.own.clear();
            }
        }
    }

    /// What a member hears in this slot, in that codec; asked again in the same slot it is the same.
    pub fn hear(&mut self, leg: LegId, codec: CodecId) -> Heard<'_> {
        let Some(member) = self.members.get_mut(&leg) else {
            return Heard::default();
        };
        let (slot, rate) = (self.slot, self.rate);
        if member.same >= params::SHARE_AFTER {
            let stream = self
                .shared
                .entry(codec)
                .or_insert_with(|| Stream::new(codec, &self.options.pipe));
            return stream.run(slot, rate, &self.total, &self.history);
        }
        let at = match member.own.iter().position(|s| s.codec() == codec) {
            Some(at) => at,
            None => {
                member.own.truncate(params::OWN_CODECS - 1);
                member.own.push(Stream::new(codec, &self.options.pipe));
                member.own.len() - 1
            }
        };
        let Some(stream) = member.own.get_mut(at) else {
            return Heard::default();
        };
        if stream.has(slot) {
            return stream.frames();
        }
        let (made, out) = &mut member.ear;
        if std::mem::replace(made, slot) != slot {
            out.resize(slot_samples(rate), 0);
            if member.deaf {
                out.fill(0);
            } else if member.heard {
                self.mixer.minus(&member.pcm, out);
            } else {
                out.copy_from_slice(&self.total);
            }
            talk::scale(out, member.volume);
            sound::add(&mut member.sounds, out);
        }
        stream.run(slot, rate, out, &self.history)
    }

    /// The highest rate present; a lower one after five seconds without.
    fn choose_rate(&mut self) {
        let own = self.members.values().filter_map(|m| m.input.rate());
        let others = self
            .remotes
            .values()
            .filter(|r| !r.slots.is_empty())
            .map(|r| r.rate);
        let most = own.chain(others).max().unwrap_or(0).min(self.options.max_rate);
        let wanted = params::ROOM_RATES
            .into_iter()
            .find(|r| *r >= most)
            .unwrap_or(self.options.max_rate);
        self.lower_for = if wanted < self.rate { self.lower_for + 1 } else { 0 };
        if wanted > self.rate || self.lower_for >= params::ROOM_RATE_KEPT {
            self.set_rate(wanted);
        }
    }

    fn set_rate(&mut self, rate: u32) {
        self.lower_for = 0;
        self.rate = rate;
        self.mixer = Mixer::new(rate);
        self.history.set_rate(rate);
        self.sounds.retain_mut(|s| s.set_rate(rate));
        for member in self.members.values_mut() {
            member.pcm.resize(slot_samples(rate), 0);
            member.input.set_rate(rate);
            member.talk.set_rate();
            member.sounds.retain_mut(|s| s.set_rate(rate));
        }
        for remote in self.remotes.values_mut() {
            remote.convert = None;
        }
    }

    fn add_remotes(&mut self) {
        let rate = self.rate;
        for remote in self.remotes.values_mut() {
            let Some(sums) = remote.slots.pop_front() else {
                continue;
            };
            if remote.rate == rate {
                self.mixer.add_sums(&sums);
                continue;
            }
            // For the few slots until both run at the higher rate.
            if remote.convert.is_none() {
                remote.convert = Resampler::new(remote.rate, rate, 3).ok();
            }
            let Some(convert) = &mut remote.convert else {
                continue;
            };
            let bent: Vec<i16> = sums.iter().map(|s| codecs::mix::saturate(*s)).collect();
            self.scratch.resize(convert.max_out(bent.len()), 0);
            let n = convert.process(&bent, &mut self.scratch);
            self.mixer.add(self.scratch.get(..n).unwrap_or_default());
        }
    }
}

/// White noise.
struct Noise {
    amplitude: f32,
    state: u32,
}

impl Noise {
    fn new(dbov: Option<f32>) -> Noise {
        Noise {
            // Of even distribution: its RMS is its amplitude by the root of three.
            amplitude: dbov.map_or(0.0, |db| 32_768.0 * 3f32.sqrt() * 10f32.powf(db / 20.0)),
            state: 0x9E37_79B9,
        }
    }

    fn fill(&mut self, out: &mut [i16]) -> bool {
        if self.amplitude < 0.5 {
            return false;
        }
        for sample in out {
            self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let unit = (self.state >> 8) as f32 / 8_388_608.0 - 1.0;
            *sample = (unit * self.amplitude) as i16;
        }
        true
    }
}

fn slot_samples(rate: u32) -> usize {
    rate as usize / 50
}

fn factor(db: f32) -> f32 {
    10f32.powf(db.clamp(-20.0, 20.0) / 20.0)
}
