//! Rooms in the exchange: what the room machine decides is carried out on its members' legs and mixers.
//!
//! A member is a leg of kind `Room`, one of the two of an ordinary call: the callee of somebody who dialled the
//! room, the caller of somebody whom the room dialled. A leg of any other call may be taken into a room and back
//! ([`Exchange::join_room`]): its media then goes to a member's leg of its own, its call stays as it is.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use base::{CallId, EndReason, LegId, Redacted, ShardId, Time};
use call::{LegEvent, Outcome, Prompt, Role, Room, RoomAction, RoomEvent, Target};

use super::calls::Halves;
use super::dial::{Callee, Callees};
use super::line_leg::Party;
use super::room_words::{RoomInfo, RoomOrder};
use super::{Due, Exchange, Kind, Leg};
use crate::recorder::Recording;
use crate::shard::{Command, RoomCommand, RoomEvent as MixerEvent};

/// The longest name of a room, bytes.
const LONGEST_NAME: usize = 64;
/// Actions that wait for a member's media; when full, further ones are dropped.
const WAITING: usize = 32;
/// Events that wait for [`Exchange::take_room_events`]; when full, the oldest goes.
const EVENTS: usize = 1_024;

/// All rooms.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    open: BTreeMap<String, Open>,
    names: BTreeMap<LegId, String>,
    /// Legs of calls whose media is in a room: the member's leg for it.
    taps: BTreeMap<LegId, LegId>,
    /// Rooms with something to do.
    dirty: BTreeSet<String>,
    waiting: BTreeMap<LegId, Vec<RoomAction>>,
    events: VecDeque<(String, RoomEvent)>,
}

#[derive(Debug)]
struct Open {
    room: Room,
    /// Names its mixer on every shard.
    id: LegId,
    /// Members' media halves on each shard.
    shards: BTreeMap<ShardId, usize>,
    armed: Option<Time>,
    recording: Option<Recorded>,
}

/// What is recorded of a room.
#[derive(Debug)]
struct Recorded {
    mix: Recording,
    /// On which shard: it hears all the others.
    on: ShardId,
}

impl Rooms {
    /// The members' legs to which the media of these legs goes.
    pub(super) fn taps<'a>(&'a self, legs: &'a [LegId]) -> impl Iterator<Item = LegId> + 'a {
        legs.iter().filter_map(|leg| self.taps.get(leg).copied())
    }

    /// What is left, for tests of leaks.
    pub(super) fn population(&self) -> usize {
        self.open.len() + self.names.len() + self.taps.len() + self.waiting.len()
    }

    fn get(&mut self, name: &str) -> Option<&mut Room> {
        let open = self.open.get_mut(name)?;
        self.dirty.insert(name.to_owned());
        Some(&mut open.room)
    }
}

impl Exchange {
    /// The room of that name, if there may be one.
    pub(super) fn resolve_room(&self, name: &str, role: Role) -> Result<Callees, Outcome> {
        let conference = &self.settings.conference;
        let known = conference.rooms.iter().any(|r| r.name == name);
        if !known && (!conference.on_demand || name.len() > LONGEST_NAME) {
            return Err(Outcome::new(EndReason::NotFound));
        }
        Ok(Callees::ring(vec![Callee::Room(name.to_owned(), role)]))
    }

    /// The room that a number leads to.
    pub(super) fn room_of_number(&self, number: &str) -> Option<String> {
        let conference = &self.settings.conference;
        let configured = conference
            .rooms
            .iter()
            .find(|r| r.numbers.iter().any(|n| n == number));
        if let Some(room) = configured {
            return Some(room.name.clone());
        }
        let pattern = conference.numbers.as_ref().filter(|_| conference.on_demand)?;
        let first = pattern.apply(number, Some("$1"))?;
        let name = if first.is_empty() {
            number.to_owned()
        } else {
            first
        };
        (name.len() <= LONGEST_NAME).then_some(name)
    }

    /// Somebody dialled a room.
    pub(super) fn answer_room(&mut self, now: Time, call: CallId, leg: LegId, name: String, role: Role) {
        let shown = self
            .calls
            .get(&call)
            .map(|e| e.party.id.clone())
            .unwrap_or_default();
        let kind = Kind::Room(name.clone());
        let shown_as = format!("conference/{name}");
        self.book.party(leg, super::view::kind(&kind), shown_as, None);
        self.legs.insert(
            leg,
            Leg {
                call: Some(call),
                kind,
            },
        );
        self.book.callee(now, call, leg, false);

        match self.enter_room(now, leg, &name, shown, role, false) {
            Ok(()) => self.leg_event(now, leg, LegEvent::Answered),
            Err(outcome) => {
                self.leg_event(now, leg, LegEvent::Refused(outcome));
                self.drop_leg(leg);
            }
        }
    }

    /// Somebody whom a room dialled has answered.
    pub(super) fn room_answered(&mut self, now: Time, leg: LegId) {
        let Some(Leg {
            call: Some(call),
            kind: Kind::Room(name),
        }) = self.legs.get(&leg)
        else {
            return;
        };
        let (call, name) = (*call, name.clone());
        let shown = self
            .calls
            .get(&call)
            .map(|e| e.party.to.clone())
            .unwrap_or_default();
        match self.enter_room(now, leg, &name, shown, Role::Participant, true) {
            Ok(()) => self.wire(call),
            Err(outcome) => self.hang_up_call(now, call, outcome),
        }
    }

    /// Takes the media of a leg out of its call and into a room; its call stays up. The member's leg.
    ///
    /// # Errors
    /// The leg is unknown, has no call or is in a room already; or the room does not let it in.
    pub fn join_room(&mut self, now: Time, leg: LegId, name: &str, role: Role) -> Result<LegId, Outcome> {
        let call = self.legs.get(&leg).and_then(|l| l.call);
        let in_room = self.room_partner(leg).is_some() || self.room_name(leg).is_some();
        let Some(call) = call.filter(|_| !in_room) else {
            return Err(Outcome::new(EndReason::NotFound));
        };
        self.resolve_room(name, role)?;
        let shown = self
            .calls
            .get(&call)
            .map(|e| e.party.id.clone())
            .unwrap_or_default();
        let member = self.new_leg();
        let kind = Kind::Room(name.to_owned());
        self.legs.insert(
            member,
            Leg {
                call: Some(call),
                kind,
            },
        );
        if let Err(outcome) = self.enter_room(now, member, name, shown, role, true) {
            self.drop_leg(member);
            return Err(outcome);
        }
        self.rooms.taps.insert(leg, member);
        self.wire(call);
        self.pump(now);
        Ok(member)
    }

    /// Gives the media of a leg back to its call; nothing happens to one that is in no room.
    pub fn leave_room(&mut self, now: Time, leg: LegId) {
        if let Some(member) = self.rooms.taps.remove(&leg) {
            self.drop_leg(member);
            if let Some(call) = self.legs.get(&leg).and_then(|l| l.call) {
                self.wire(call);
            }
        }
        self.pump(now);
    }

    /// A key was pressed at a leg; whether that was for a room.
    pub fn room_digit(&mut self, now: Time, leg: LegId, digit: char) -> bool {
        let Some(member) = self.room_partner(leg) else {
            return false;
        };
        let Some(name) = self.room_name(member) else {
            return false;
        };
        if let Some(room) = self.rooms.get(&name) {
            room.digit(now, member, digit);
        }
        self.pump(now);
        true
    }

    /// The two legs of a call that hear each other.
    pub fn call_legs(&self, call: CallId) -> Option<(LegId, LegId)> {
        self.calls.get(&call)?.connected
    }

    /// All rooms, by name.
    pub fn rooms(&self) -> impl Iterator<Item = RoomInfo> + '_ {
        self.rooms.open.iter().map(|(name, open)| RoomInfo {
            name: name.clone(),
            locked: open.room.is_locked(),
            recording: open.room.is_recording(),
            speaker: open.room.speaker(),
            members: open
                .room
                .members()
                .map(|(leg, m)| (leg, m.clone(), open.room.speaks(leg)))
                .collect(),
        })
    }

    /// Does something with a room.
    ///
    /// # Errors
    /// There is no such room or member, or the target cannot be called.
    pub fn room_order(&mut self, now: Time, name: &str, order: RoomOrder) -> Result<(), Outcome> {
        let missing = || Outcome::new(EndReason::NotFound);
        let room = self.rooms.get(name).ok_or_else(missing)?;
        let leg = match order {
            RoomOrder::Mute(leg, _)
            | RoomOrder::Deafen(leg, _)
            | RoomOrder::Gain(leg, _)
            | RoomOrder::Kick(leg) => Some(leg),
            _ => None,
        };
        if leg.is_some_and(|leg| !room.members().any(|(l, _)| l == leg)) {
            return Err(missing());
        }
        match order {
            RoomOrder::Mute(leg, on) => room.mute(leg, on),
            RoomOrder::Deafen(leg, on) => room.deafen(leg, on),
            RoomOrder::Gain(leg, db) => room.set_gain(leg, db),
            RoomOrder::Kick(leg) => room.kick(leg),
            RoomOrder::Lock(on) => room.lock(on),
            RoomOrder::End => room.end(),
            RoomOrder::Record(each) => self.record_room(name, each)?,
            RoomOrder::StopRecording => self.stop_recording(name),
            RoomOrder::Dial {
                target: dialled,
                user,
            } => {
                let target = Target::parse(&dialled).ok_or_else(missing)?;
                let party = Party {
                    id: name.to_owned(),
                    to: dialled,
                    ..Party::default()
                };
                let callees = self.resolve(now, &target, user.as_deref())?;
                let leg = self.new_leg();
                let kind = Kind::Room(name.to_owned());
                self.legs.insert(leg, Leg { call: None, kind });
                self.begin(now, leg, party, Ok(callees));
            }
        }
        self.pump(now);
        Ok(())
    }

    /// Begins to record a room.
    fn record_room(&mut self, name: &str, each: bool) -> Result<(), Outcome> {
        let Some(recorder) = self.settings.conference.recorder.clone() else {
            return Err(Outcome::from_status(
                403,
                "No folder for recordings is configured",
            ));
        };
        let Some(open) = self.rooms.open.get_mut(name) else {
            return Err(Outcome::new(EndReason::NotFound));
        };
        let Some(on) = open.shards.keys().next().copied() else {
            return Err(Outcome::new(EndReason::Unavailable));
        };
        if open.recording.is_some() {
            return Ok(());
        }
        let begin = |name: &str| {
            recorder.record(name).map_err(|error| {
                tracing::error!(%error, "a room cannot be recorded");
                Outcome::from_status(500, "The file cannot be made")
            })
        };
        let mix = begin(name)?;
        tracing::info!(room = %Redacted(name), "recording begins");
        let mut into = vec![(on, None, mix.clone())];
        for (leg, _) in open.room.members().filter(|_| each) {
            if let Some(shard) = self.wiring.shard_of(leg) {
                into.push((shard, Some(leg), begin(&format!("{name}-{leg}"))?));
            }
        }
        open.recording = Some(Recorded { mix, on });
        open.room.set_recording(true);
        self.rooms.dirty.insert(name.to_owned());
        let room = open.id;
        for (shard, leg, into) in into {
            let command = RoomCommand::Record { leg, into };
            self.command(shard, Command::Room { room, command });
        }
        Ok(())
    }

    /// Ends the recordings of a room.
    fn stop_recording(&mut self, name: &str) {
        let Some(open) = self.rooms.open.get_mut(name) else {
            return;
        };
        if open.recording.take().is_none() {
            return;
        }
        open.room.set_recording(false);
        self.rooms.dirty.insert(name.to_owned());
        tracing::info!(room = %Redacted(name), "recording ends");
        let room = open.id;
        let shards: Vec<ShardId> = open.shards.keys().copied().collect();
        for shard in shards {
            let command = RoomCommand::StopRecording;
            self.command(shard, Command::Room { room, command });
        }
    }

    /// What happened in rooms since it was last asked; empties the list.
    pub fn take_room_events(&mut self) -> Vec<(String, RoomEvent)> {
        self.rooms.events.drain(..).collect()
    }

    /// Puts a leg among a room's members.
    fn enter_room(
        &mut self,
        now: Time,
        leg: LegId,
        name: &str,
        shown: String,
        role: Role,
        trusted: bool,
    ) -> Result<(), Outcome> {
        if let Some(open) = self.rooms.open.get(name) {
            open.room.admits(role)?;
        } else {
            let conference = &self.settings.conference;
            let configured = conference.rooms.iter().find(|r| r.name == name);
            let rules = configured.map_or(&conference.rules, |r| &r.rules).clone();
            let id = self.new_leg();
            let open = Open {
                room: Room::new(rules),
                id,
                shards: BTreeMap::new(),
                armed: None,
                recording: None,
            };
            self.rooms.names.insert(id, name.to_owned());
            self.rooms.open.insert(name.to_owned(), open);
            tracing::info!(room = %Redacted(name), "room opens");
        }
        if let Some(room) = self.rooms.get(name) {
            room.join(now, leg, shown, role, trusted);
        }
        Ok(())
    }

    /// A member's leg is dropped.
    pub(super) fn room_leg_dropped(&mut self, leg: LegId, name: &str, out: &mut Vec<(ShardId, Command)>) {
        let shard = self.wiring.shard_of(leg);
        self.wiring.remove(leg, out);
        self.rooms.waiting.remove(&leg);
        self.rooms.taps.retain(|_, member| *member != leg);
        let Some(open) = self.rooms.open.get_mut(name) else {
            return;
        };
        open.room.leave(leg);
        if let Some(shard) = shard
            && let Some(count) = open.shards.get_mut(&shard)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.shards.remove(&shard);
                move_recording(open, shard, out);
                out.push((shard, Command::Close { leg: open.id }));
                tell_peers(open, out);
            }
        }
        if open.room.is_empty() {
            tracing::info!(room = %Redacted(name), "room closes");
            self.rooms.names.remove(&open.id);
            self.rooms.open.remove(name);
        }
        self.rooms.dirty.insert(name.to_owned());
    }

    /// Carries out what the rooms want.
    pub(super) fn run_rooms(&mut self, now: Time) {
        while let Some(name) = self.rooms.dirty.pop_first() {
            let Some(open) = self.rooms.open.get_mut(&name) else {
                continue;
            };
            let (actions, events) = (open.room.take_actions(), open.room.take_events());
            let (id, wanted) = (open.id, open.room.poll_timeout());
            if std::mem::replace(&mut open.armed, wanted) != wanted {
                self.deadlines
                    .extend(wanted.map(|at| Reverse((at, Due::Room(id)))));
            }
            for event in events {
                tracing::debug!(room = %Redacted(&name), ?event, "room");
                if self.rooms.events.len() >= EVENTS {
                    self.rooms.events.pop_front();
                }
                self.rooms.events.push_back((name.clone(), event));
            }
            for action in actions {
                self.room_action(now, id, &name, action);
            }
        }
    }

    fn room_action(&mut self, now: Time, id: LegId, name: &str, action: RoomAction) {
        let to = match &action {
            RoomAction::Mute(leg, _)
            | RoomAction::Deafen(leg, _)
            | RoomAction::Gain(leg, _)
            | RoomAction::Volume(leg, _) => Some(*leg),
            RoomAction::Play(to, _) | RoomAction::Hush(to) => *to,
            RoomAction::HangUp(leg, outcome) => {
                // Whoever is taken into the room loses its call with its place there.
                if let Some(call) = self.legs.get(leg).and_then(|l| l.call) {
                    self.hang_up_call(now, call, outcome.clone());
                }
                return;
            }
        };
        let Some(leg) = to else {
            let Some(command) = self.room_command(action) else {
                return;
            };
            let shards: Vec<ShardId> = match self.rooms.open.get(name) {
                Some(open) => open.shards.keys().copied().collect(),
                None => return,
            };
            for shard in shards {
                let command = command.clone();
                self.command(shard, Command::Room { room: id, command });
            }
            return;
        };
        match self.wiring.shard_of(leg) {
            Some(shard) => {
                if let Some(command) = self.room_command(action) {
                    self.command(shard, Command::Room { room: id, command });
                }
            }
            // Its media is not there yet.
            None => {
                let waiting = self.rooms.waiting.entry(leg).or_default();
                if waiting.len() < WAITING {
                    waiting.push(action);
                }
            }
        }
    }

    fn room_command(&self, action: RoomAction) -> Option<RoomCommand> {
        Some(match action {
            RoomAction::Mute(leg, on) => RoomCommand::Mute { leg, on },
            RoomAction::Deafen(leg, on) => RoomCommand::Deafen { leg, on },
            RoomAction::Gain(leg, db) => RoomCommand::Gain { leg, db },
            RoomAction::Volume(leg, db) => RoomCommand::Volume { leg, db },
            RoomAction::Play(to, prompt) => RoomCommand::Play {
                to,
                sound: self.prompt(prompt)?,
            },
            RoomAction::Hush(to) => RoomCommand::Hush { to },
            RoomAction::HangUp(..) => return None,
        })
    }

    fn prompt(&self, prompt: Prompt) -> Option<std::sync::Arc<media::Sound>> {
        self.settings.conference.prompts.get(prompt).cloned()
    }

    /// A deadline of a room has come.
    pub(super) fn room_timeout(&mut self, now: Time, id: LegId) {
        if let Some(name) = self.rooms.names.get(&id).cloned()
            && let Some(room) = self.rooms.get(&name)
        {
            room.handle_timeout(now);
        }
    }

    /// A mixer tells something.
    pub(super) fn handle_mixer(&mut self, shard: ShardId, id: LegId, event: MixerEvent) {
        let Some(name) = self.rooms.names.get(&id).cloned() else {
            return;
        };
        match event {
            MixerEvent::Talkers(talkers) => {
                if let Some(room) = self.rooms.get(&name) {
                    room.set_talkers(shard.0, talkers);
                }
            }
            MixerEvent::RecordingFailed => {
                let mix = self.rooms.open.get(&name).and_then(|o| o.recording.as_ref());
                if mix.is_some_and(|r| r.mix.has_failed()) {
                    self.stop_recording(&name);
                }
            }
        }
    }

    /// A fault of ours ended a member's media, or a mixer: whether it was one of those.
    pub(super) fn room_broke(&mut self, now: Time, shard: Option<ShardId>, half: LegId) -> bool {
        let broken: Vec<LegId> = match (self.rooms.names.get(&half), self.room_name(half)) {
            (Some(name), _) => self
                .rooms
                .open
                .get(name)
                .into_iter()
                .flat_map(|open| open.room.members().map(|(leg, _)| leg))
                .filter(|leg| shard.is_none() || self.wiring.shard_of(*leg) == shard)
                .collect(),
            (None, Some(_)) => vec![half],
            (None, None) => return false,
        };
        for leg in broken {
            if let Some(call) = self.legs.get(&leg).and_then(|l| l.call) {
                self.hang_up_call(now, call, Outcome::new(EndReason::Internal));
            }
        }
        true
    }

    /// Ends a call for a reason that none of its legs gave.
    fn hang_up_call(&mut self, now: Time, call: CallId, outcome: Outcome) {
        if let Some(entry) = self.calls.get_mut(&call) {
            entry.call.hang_up(outcome);
        }
        self.act(now, call);
    }

    /// Routes the media of a call that has to do with a room; false when it has not.
    pub(super) fn wire_rooms(&mut self, call: CallId, a: LegId, b: LegId) -> bool {
        let taps = [a, b].map(|leg| self.rooms.taps.get(&leg).copied());
        let pairs = match taps {
            [None, None] if self.room_name(a).is_some() || self.room_name(b).is_some() => vec![(a, b)],
            [None, None] => return false,
            taps => [a, b]
                .into_iter()
                .zip(taps)
                .filter_map(|(leg, tap)| tap.map(|tap| (leg, tap)))
                .collect(),
        };
        if let Some(Kind::Live(name)) = self.legs.get(&b).map(|l| &l.kind) {
            let name = name.clone();
            self.leave_live(&name, a);
        }
        let mut members: BTreeSet<LegId> = BTreeSet::new();
        let mut wanted = BTreeSet::new();
        for leg in [a, b].into_iter().chain(pairs.iter().map(|(_, tap)| *tap)) {
            members.extend(self.halves(leg).all());
        }
        for (x, y) in pairs {
            self.open_room_leg(call, x, y);
            self.open_room_leg(call, y, x);
            let (x, y) = (self.halves(x), self.halves(y));
            wanted.extend(routes(&x, &y).chain(routes(&y, &x)));
            members.extend(x.all().chain(y.all()));
        }
        let mut out = Vec::new();
        self.wiring.set(call, &members, &wanted, &mut out);
        self.commands(out);
        true
    }

    /// A member is mixed where its party's media is.
    fn open_room_leg(&mut self, call: CallId, leg: LegId, party: LegId) {
        let Some(name) = self.room_name(leg) else { return };
        if self.wiring.shard_of(leg).is_some() {
            return;
        }
        let Some(shard) = self.halves(party).all().find_map(|l| self.wiring.shard_of(l)) else {
            return;
        };
        let mix = self.settings.conference.mix;
        let Some(open) = self.rooms.open.get_mut(&name) else {
            return;
        };
        // Whom the room has dialled is no member before it answers.
        if !open.room.members().any(|(l, _)| l == leg) {
            return;
        }
        let (id, mut out) = (open.id, Vec::new());
        let count = open.shards.entry(shard).or_default();
        *count += 1;
        if *count == 1 {
            let command = RoomCommand::Open(Box::new(mix));
            out.push((shard, Command::Room { room: id, command }));
            tell_peers(open, &mut out);
        }
        let command = RoomCommand::Join { leg, call };
        out.push((shard, Command::Room { room: id, command }));
        self.wiring.add(leg, shard);
        self.commands(out);
        for action in self.rooms.waiting.remove(&leg).unwrap_or_default() {
            if let Some(command) = self.room_command(action) {
                self.command(shard, Command::Room { room: id, command });
            }
        }
    }

    /// The room of a member's leg.
    fn room_name(&self, leg: LegId) -> Option<String> {
        match self.legs.get(&leg).map(|l| &l.kind) {
            Some(Kind::Room(name)) => Some(name.clone()),
            _ => None,
        }
    }

    /// The member's leg that stands for a party in a room.
    fn room_partner(&self, leg: LegId) -> Option<LegId> {
        if let Some(tap) = self.rooms.taps.get(&leg) {
            return Some(*tap);
        }
        // A party's stream has media halves of its own.
        let leg = match self.owners.get(&leg) {
            Some(super::Owner::Stream(owner)) => *owner,
            _ => leg,
        };
        let call = self.legs.get(&leg).and_then(|l| l.call)?;
        let (a, b) = self.calls.get(&call)?.connected?;
        let other = if a == leg { b } else { a };
        self.room_name(other).is_some().then_some(other)
    }
}

fn routes(from: &Halves, to: &Halves) -> impl Iterator<Item = (LegId, LegId)> {
    let pairs: Vec<(LegId, LegId)> = from
        .source
        .iter()
        .flat_map(|source| to.sinks.iter().map(move |sink| (*source, *sink)))
        .collect();
    pairs.into_iter()
}

/// The shard that recorded a room has no members any more: another goes on.
fn move_recording(open: &mut Open, from: ShardId, out: &mut Vec<(ShardId, Command)>) {
    let next = open.shards.keys().next().copied();
    if let Some(recorded) = open.recording.as_mut().filter(|r| r.on == from)
        && let Some(next) = next
    {
        recorded.on = next;
        let command = RoomCommand::Record {
            leg: None,
            into: recorded.mix.clone(),
        };
        out.push((
            next,
            Command::Room {
                room: open.id,
                command,
            },
        ));
    }
}

/// Tells each shard of a room which the others are.
fn tell_peers(open: &Open, out: &mut Vec<(ShardId, Command)>) {
    for shard in open.shards.keys() {
        let peers = open.shards.keys().filter(|s| *s != shard).copied().collect();
        let command = RoomCommand::Peers(peers);
        out.push((
            *shard,
            Command::Room {
                room: open.id,
                command,
            },
        ));
    }
}
