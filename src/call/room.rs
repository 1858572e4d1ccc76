//! A room, pure: its members and their roles, PIN and lock, how it starts and ends, digits, who speaks.
//!
//! It neither mixes nor signals: what its members do and are told comes in, [`RoomAction`]s and [`RoomEvent`]s
//! come out.

use std::collections::BTreeMap;
use std::time::Duration;

use base::{EndReason, LegId, Time};

use crate::{Outcome, Secret};

/// How long a caller may think about the PIN.
const PIN_TIME: Duration = Duration::from_secs(20);
/// So often it may be wrong.
const PIN_TRIES: u8 = 3;
/// The longest PIN, digits.
const PIN_LENGTH: usize = 32;
/// A digit after `*` counts as its command for so long.
const COMMAND_TIME: Duration = Duration::from_secs(3);
/// One press of louder or quieter, dB.
const VOLUME_STEP: i8 = 3;
/// Louder or quieter by at most this, dB.
const VOLUME_MOST: i8 = 15;
/// Events that wait to be taken; when full, the oldest goes.
const EVENTS: usize = 1_024;

/// What a room is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomRules {
    /// Who enters must key it in.
    pub pin: Option<Secret>,
    /// Who keys in this one is a moderator.
    pub moderator_pin: Option<Secret>,
    /// So many members at most, without listeners.
    pub max_members: usize,
    /// Nobody hears anybody before a moderator is there.
    pub start_with_moderator: bool,
    /// The last moderator who leaves ends it.
    pub end_with_moderator: bool,
    /// A tone tells of who comes and goes.
    pub tones: bool,
    /// Who enters is muted.
    pub mute_on_entry: bool,
    /// Whether digits are commands.
    pub digits: bool,
}

impl Default for RoomRules {
    fn default() -> RoomRules {
        RoomRules {
            pin: None,
            moderator_pin: None,
            max_members: 100,
            start_with_moderator: false,
            end_with_moderator: false,
            tones: true,
            mute_on_entry: false,
            digits: true,
        }
    }
}

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Hears, and does not count.
    Listener,
    /// Hears and speaks.
    Participant,
    /// Also locks the room, mutes the others and ends it.
    Moderator,
}

/// A sound for one member or for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Prompt {
    /// The PIN is asked for.
    AskPin,
    /// It was wrong.
    WrongPin,
    /// Somebody came.
    Join,
    /// Somebody left.
    Leave,
    /// You are muted.
    Muted,
    /// You are heard again.
    Unmuted,
    /// The room is locked.
    Locked,
    /// It is open again.
    Unlocked,
    /// Your hand is raised, or lowered again.
    Hand,
    /// The room waits for its moderator: over and over until hushed.
    Waiting,
    /// You are alone: over and over until hushed.
    Alone,
    /// One member, in a count.
    One,
}

impl Prompt {
    /// All of them.
    pub const ALL: [Prompt; 12] = [
        Prompt::AskPin,
        Prompt::WrongPin,
        Prompt::Join,
        Prompt::Leave,
        Prompt::Muted,
        Prompt::Unmuted,
        Prompt::Locked,
        Prompt::Unlocked,
        Prompt::Hand,
        Prompt::Waiting,
        Prompt::Alone,
        Prompt::One,
    ];

    /// Its name: of the file that replaces it, without `.wav`.
    pub const fn label(self) -> &'static str {
        match self {
            Prompt::AskPin => "ask-pin",
            Prompt::WrongPin => "wrong-pin",
            Prompt::Join => "join",
            Prompt::Leave => "leave",
            Prompt::Muted => "muted",
            Prompt::Unmuted => "unmuted",
            Prompt::Locked => "locked",
            Prompt::Unlocked => "unlocked",
            Prompt::Hand => "hand",
            Prompt::Waiting => "waiting",
            Prompt::Alone => "alone",
            Prompt::One => "one",
        }
    }
}

/// What the mixer and the legs are to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomAction {
    /// A member is not heard, or is again.
    Mute(LegId, bool),
    /// A member hears nothing but its own prompts, or all again.
    Deafen(LegId, bool),
    /// How much louder a member is heard, dB.
    Gain(LegId, i8),
    /// How much louder a member hears, dB.
    Volume(LegId, i8),
    /// A sound for one, or for all.
    Play(Option<LegId>, Prompt),
    /// Sounds of one, or of all, stop.
    Hush(Option<LegId>),
    /// A member is to leave.
    HangUp(LegId, Outcome),
}

/// What is told of a room, to consoles and clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomEvent {
    /// Somebody is in.
    Joined {
        /// Which leg.
        leg: LegId,
        /// Its name, as it is shown.
        name: String,
        /// What it may do.
        role: Role,
    },
    /// Somebody left.
    Left {
        /// Which leg.
        leg: LegId,
    },
    /// A member was muted, or is heard again.
    Muted {
        /// Which leg.
        leg: LegId,
        /// Muted.
        on: bool,
    },
    /// A hand was raised, or lowered.
    Hand {
        /// Whose.
        leg: LegId,
        /// Raised.
        on: bool,
    },
    /// Nobody can enter, or everybody again.
    Locked(bool),
    /// Somebody else has the floor.
    Speaker(LegId),
    /// The moderator came: the members hear each other from now on.
    Started,
    /// A recording begins, or ends.
    Recording(bool),
}

/// One member, as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, as it is shown.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it came.
    pub since: Time,
    /// It is not heard, by its own will or a moderator's.
    pub muted: bool,
    /// It hears nothing.
    pub deaf: bool,
    /// It wants to speak.
    pub hand: bool,
    /// How much louder it is heard, dB.
    pub gain: i8,
    /// How much louder it hears, dB.
    pub volume: i8,
    /// It still has to key in the PIN.
    pub at_door: bool,
    tries: u8,
    digits: String,
    /// Until when the PIN is waited for.
    deadline: Option<Time>,
    /// When `*` was pressed.
    star: Option<Time>,
}

/// A room and its members.
#[derive(Debug)]
pub struct Room {
    rules: RoomRules,
    members: BTreeMap<LegId, Member>,
    locked: bool,
    started: bool,
    alone: Option<LegId>,
    recording: bool,
    /// Who speaks on each shard, as last told, the loudest first.
    talkers: BTreeMap<u16, Vec<(LegId, i8)>>,
    speaker: Option<LegId>,
    actions: Vec<RoomAction>,
    events: Vec<RoomEvent>,
}

impl Room {
    /// An empty room.
    pub fn new(rules: RoomRules) -> Room {
        Room {
            started: !rules.start_with_moderator,
            rules,
            members: BTreeMap::new(),
            locked: false,
            alone: None,
            recording: false,
            talkers: BTreeMap::new(),
            speaker: None,
            actions: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Whether somebody may come in now; asked before its leg is answered.
    ///
    /// # Errors
    /// What to tell it: locked, or full.
    pub fn admits(&self, role: Role) -> Result<(), Outcome> {
        if self.locked && role < Role::Moderator {
            return Err(Outcome::from_status(403, "The room is locked"));
        }
        let members = self.members.values().filter(|m| m.role > Role::Listener).count();
        if role == Role::Participant && members >= self.rules.max_members {
            return Err(Outcome::from_status(486, "The room is full"));
        }
        Ok(())
    }

    /// Somebody comes, who was admitted. With `trusted` (dialled by the room itself, or let in by another
    /// proof) no PIN is asked.
    pub fn join(&mut self, now: Time, leg: LegId, name: String, role: Role, trusted: bool) {
        // Who only listens is asked too: what is said behind a PIN is not for everybody.
        let moderators = self.rules.moderator_pin.is_some() && !self.started && role == Role::Participant;
        let asks = role < Role::Moderator && !trusted && (self.rules.pin.is_some() || moderators);
        self.members.insert(
            leg,
            Member {
                name,
                role,
                since: now,
                muted: false,
                deaf: false,
                hand: false,
                gain: 0,
                volume: 0,
                at_door: asks,
                tries: 0,
                digits: String::new(),
                deadline: asks.then(|| now + PIN_TIME),
                star: None,
            },
        );
        if asks {
            self.actions.push(RoomAction::Mute(leg, true));
            self.actions.push(RoomAction::Deafen(leg, true));
            self.play(leg, Prompt::AskPin);
        } else {
            self.enter(leg);
        }
    }

    /// A member's leg is gone.
    pub fn leave(&mut self, leg: LegId) {
        let Some(member) = self.members.remove(&leg) else {
            return;
        };
        for talkers in self.talkers.values_mut() {
            talkers.retain(|(l, _)| *l != leg);
        }
        if self.speaker == Some(leg) {
            self.speaker = None;
        }
        if member.at_door {
            return;
        }
        self.event(RoomEvent::Left { leg });
        if member.role == Role::Listener {
            return;
        }
        if self.rules.tones && self.started {
            self.actions.push(RoomAction::Play(None, Prompt::Leave));
        }
        let moderated = self
            .inside()
            .any(|leg| self.members.get(&leg).is_some_and(|m| m.role == Role::Moderator));
        if member.role == Role::Moderator && self.rules.end_with_moderator && !moderated {
            self.end();
        }
        self.tell_alone();
    }

    /// Everybody is sent away.
    pub fn end(&mut self) {
        for leg in self.members.keys() {
            self.actions
                .push(RoomAction::HangUp(*leg, Outcome::new(EndReason::HungUp)));
        }
    }

    /// A member pressed a key.
    pub fn digit(&mut self, now: Time, leg: LegId, digit: char) {
        let Some(member) = self.members.get_mut(&leg) else {
            return;
        };
        if member.at_door {
            self.pin_digit(now, leg, digit);
            return;
        }
        if !self.rules.digits {
            return;
        }
        if digit == '*' {
            member.star = Some(now);
            return;
        }
        let fresh = member.star.take().is_some_and(|at| now.since(at) <= COMMAND_TIME);
        if fresh {
            self.keyed(leg, digit);
        }
    }

    fn keyed(&mut self, leg: LegId, digit: char) {
        let Some(member) = self.members.get_mut(&leg) else {
            return;
        };
        let (role, muted) = (member.role, member.muted);
        if role == Role::Listener {
            return;
        }
        match digit {
            '1' => {
                member.hand = !member.hand;
                let on = member.hand;
                self.event(RoomEvent::Hand { leg, on });
                self.play(leg, Prompt::Hand);
            }
            '2' => {
                // A long row of tones tells no number any more.
                let count = self.inside().count().min(20);
                for _ in 0..count {
                    self.play(leg, Prompt::One);
                }
            }
            '4' | '5' => {
                let step = if digit == '4' { -VOLUME_STEP } else { VOLUME_STEP };
                member.volume = (member.volume + step).clamp(-VOLUME_MOST, VOLUME_MOST);
                let volume = member.volume;
                self.actions.push(RoomAction::Volume(leg, volume));
            }
            '6' => self.mute(leg, !muted),
            '7' if role == Role::Moderator => self.lock(!self.locked),
            '8' if role == Role::Moderator => {
                let others: Vec<LegId> = self
                    .members
                    .iter()
                    .filter(|(_, m)| m.role == Role::Participant && !m.at_door && !m.muted)
                    .map(|(leg, _)| *leg)
                    .collect();
                others.into_iter().for_each(|leg| self.mute(leg, true));
            }
            '9' if role == Role::Moderator => self.end(),
            _ => {}
        }
    }

    /// Mutes a member, or lets it be heard again.
    pub fn mute(&mut self, leg: LegId, on: bool) {
        let Some(member) = self.members.get_mut(&leg).filter(|m| m.role > Role::Listener) else {
            return;
        };
        member.muted = on;
        if member.at_door {
            return;
        }
        self.actions.push(RoomAction::Mute(leg, on || !self.started));
        self.play(leg, if on { Prompt::Muted } else { Prompt::Unmuted });
        self.event(RoomEvent::Muted { leg, on });
    }

    /// Lets a member hear nothing, or all again.
    pub fn deafen(&mut self, leg: LegId, on: bool) {
        let Some(member) = self.members.get_mut(&leg) else {
            return;
        };
        member.deaf = on;
        if !member.at_door {
            self.actions.push(RoomAction::Deafen(leg, on));
        }
    }

    /// How much louder a member is heard, dB; at most 20 either way.
    pub fn set_gain(&mut self, leg: LegId, db: i8) {
        if let Some(member) = self.members.get_mut(&leg) {
            member.gain = db.clamp(-20, 20);
            self.actions.push(RoomAction::Gain(leg, member.gain));
        }
    }

    /// Sends a member away.
    pub fn kick(&mut self, leg: LegId) {
        if self.members.contains_key(&leg) {
            let outcome = Outcome::new(EndReason::HungUp);
            self.actions.push(RoomAction::HangUp(leg, outcome));
        }
    }

    /// Lets nobody in any more, or everybody again.
    pub fn lock(&mut self, on: bool) {
        if std::mem::replace(&mut self.locked, on) != on {
            let prompt = if on { Prompt::Locked } else { Prompt::Unlocked };
            self.actions.push(RoomAction::Play(None, prompt));
            self.event(RoomEvent::Locked(on));
        }
    }

    /// A recording began or ended; true when that is new.
    pub fn set_recording(&mut self, on: bool) -> bool {
        let new = std::mem::replace(&mut self.recording, on) != on;
        if new {
            self.event(RoomEvent::Recording(on));
        }
        new
    }

    /// Who speaks on a shard now, the loudest first, with levels in dBov.
    pub fn set_talkers(&mut self, shard: u16, talkers: Vec<(LegId, i8)>) {
        self.talkers.insert(shard, talkers);
        let loudest = self
            .talkers
            .values()
            .filter_map(|t| t.first())
            .max_by_key(|(_, level)| *level)
            .map(|(leg, _)| *leg)
            .filter(|leg| self.members.contains_key(leg));
        if let Some(leg) = loudest
            && self.speaker != Some(leg)
        {
            self.speaker = Some(leg);
            self.event(RoomEvent::Speaker(leg));
        }
    }

    /// Who has the floor.
    pub fn speaker(&self) -> Option<LegId> {
        self.speaker
    }

    /// Whether somebody speaks now.
    pub fn speaks(&self, leg: LegId) -> bool {
        self.talkers.values().flatten().any(|(l, _)| *l == leg)
    }

    /// Whether nobody may come in.
    pub fn is_locked(&self) -> bool {
        self.locked
    }

    /// Whether it is recorded.
    pub fn is_recording(&self) -> bool {
        self.recording
    }

    /// All members, those at the door too.
    pub fn members(&self) -> impl Iterator<Item = (LegId, &Member)> {
        self.members.iter().map(|(leg, m)| (*leg, m))
    }

    /// Whether nobody is left.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// When [`Room::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.members.values().filter_map(|m| m.deadline).min()
    }

    /// A PIN was waited for long enough.
    pub fn handle_timeout(&mut self, now: Time) {
        let late: Vec<LegId> = self
            .members
            .iter()
            .filter(|(_, m)| m.deadline.is_some_and(|at| at <= now))
            .map(|(leg, _)| *leg)
            .collect();
        for leg in late {
            // Fewer digits than any PIN has, or none: as good as wrong.
            self.try_pin(now, leg);
        }
    }

    /// What is to be done, oldest first; empties the list.
    pub fn take_actions(&mut self) -> Vec<RoomAction> {
        std::mem::take(&mut self.actions)
    }

    /// What is to be told, oldest first; empties the list.
    pub fn take_events(&mut self) -> Vec<RoomEvent> {
        std::mem::take(&mut self.events)
    }

    fn pin_digit(&mut self, now: Time, leg: LegId, digit: char) {
        let Some(member) = self.members.get_mut(&leg) else {
            return;
        };
        if digit == '#' {
            self.try_pin(now, leg);
            return;
        }
        self.actions.push(RoomAction::Hush(Some(leg)));
        if member.digits.len() < PIN_LENGTH {
            member.digits.push(digit);
        }
        // The moderator's PIN may begin with that of the others: then `#` tells which is meant.
        let typed = member.digits.as_str();
        let begins = |pin: &Option<Secret>| {
            pin.as_ref()
                .is_some_and(|pin| pin.reveal().len() > typed.len() && pin.reveal().starts_with(typed))
        };
        let whole = |pin: &Option<Secret>| pin.as_ref().is_some_and(|pin| same(pin.reveal(), typed));
        let (pin, moderator) = (&self.rules.pin, &self.rules.moderator_pin);
        if (whole(pin) && !begins(moderator)) || (whole(moderator) && !begins(pin)) {
            self.try_pin(now, leg);
        }
    }

    fn try_pin(&mut self, now: Time, leg: LegId) {
        let Some(member) = self.members.get_mut(&leg).filter(|m| m.at_door) else {
            return;
        };
        let typed = std::mem::take(&mut member.digits);
        let is = |pin: &Option<Secret>| pin.as_ref().is_some_and(|pin| same(pin.reveal(), &typed));
        // Where only moderators have a PIN, `#` alone is the way in for everybody else.
        let free = self.rules.pin.is_none() && typed.is_empty();
        if is(&self.rules.moderator_pin) {
            if member.role == Role::Participant {
                member.role = Role::Moderator;
            }
        } else if !free && !is(&self.rules.pin) {
            member.tries += 1;
            if member.tries >= PIN_TRIES {
                member.deadline = None;
                let outcome = Outcome::new(EndReason::Forbidden);
                self.actions.push(RoomAction::HangUp(leg, outcome));
            } else {
                member.deadline = Some(now + PIN_TIME);
                self.play(leg, Prompt::WrongPin);
                self.play(leg, Prompt::AskPin);
            }
            return;
        }
        let role = member.role;
        member.at_door = false;
        member.deadline = None;
        self.actions.push(RoomAction::Hush(Some(leg)));
        if let Err(outcome) = self.admits_one_more(role) {
            self.actions.push(RoomAction::HangUp(leg, outcome));
            return;
        }
        self.enter(leg);
    }

    /// The door was open when it came; meanwhile it may have been locked.
    fn admits_one_more(&self, role: Role) -> Result<(), Outcome> {
        if self.locked && role < Role::Moderator {
            return Err(Outcome::from_status(403, "The room is locked"));
        }
        Ok(())
    }

    /// A member is in.
    fn enter(&mut self, leg: LegId) {
        let Some(member) = self.members.get_mut(&leg) else {
            return;
        };
        let (role, name) = (member.role, member.name.clone());
        member.muted = self.rules.mute_on_entry && role == Role::Participant;
        if role == Role::Moderator && !self.started {
            self.start();
        }
        self.apply(leg);
        if !self.started {
            self.play(leg, Prompt::Waiting);
        }
        if role > Role::Listener && self.rules.tones && self.started {
            self.actions.push(RoomAction::Play(None, Prompt::Join));
        }
        self.event(RoomEvent::Joined { leg, name, role });
        self.tell_alone();
    }

    /// The moderator is there.
    fn start(&mut self) {
        self.started = true;
        let waiting: Vec<LegId> = self.inside().collect();
        for leg in waiting {
            self.actions.push(RoomAction::Hush(Some(leg)));
            self.apply(leg);
        }
        self.event(RoomEvent::Started);
    }

    /// Brings the mixer up to date with a member who is in.
    fn apply(&mut self, leg: LegId) {
        let Some(member) = self.members.get(&leg) else {
            return;
        };
        let muted = member.muted || member.role == Role::Listener || !self.started;
        let deaf = member.deaf || !self.started;
        self.actions.push(RoomAction::Mute(leg, muted));
        self.actions.push(RoomAction::Deafen(leg, deaf));
    }

    /// Who is alone hears that nothing is wrong; once somebody comes it is over.
    fn tell_alone(&mut self) {
        let mut inside = self.inside();
        let (first, second) = (inside.next(), inside.next());
        drop(inside);
        let alone = first.filter(|_| second.is_none() && self.started);
        if alone == self.alone {
            return;
        }
        if let Some(leg) = self.alone.filter(|leg| self.members.contains_key(leg)) {
            self.actions.push(RoomAction::Hush(Some(leg)));
        }
        if let Some(leg) = alone {
            self.play(leg, Prompt::Alone);
        }
        self.alone = alone;
    }

    /// Members who count and are in.
    fn inside(&self) -> impl Iterator<Item = LegId> + '_ {
        self.members
            .iter()
            .filter(|(_, m)| m.role > Role::Listener && !m.at_door)
            .map(|(leg, _)| *leg)
    }

    fn play(&mut self, leg: LegId, prompt: Prompt) {
        self.actions.push(RoomAction::Play(Some(leg), prompt));
    }

    fn event(&mut self, event: RoomEvent) {
        if self.events.len() >= EVENTS {
            self.events.remove(0);
        }
        self.events.push(event);
    }
}

/// Compared in full whatever differs, so that timing tells nothing.
fn same(pin: &str, typed: &str) -> bool {
    pin.len() == typed.len() && pin.bytes().zip(typed.bytes()).fold(0, |d, (a, b)| d | (a ^ b)) == 0
}

#[cfg(test)]
mod tests;
