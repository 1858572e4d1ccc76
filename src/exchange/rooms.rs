//! Rooms in the exchange: which there are, who comes and goes.
//!
//! A member is a leg of kind `Room`, one of the two of an ordinary call: the callee of somebody who dialled the
//! room, the caller of somebody whom the room dialled. A leg of any other call may be taken into a room and back
//! ([`Exchange::join_room`]): its media then goes to a member's leg of its own, its call stays as it is.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use base::{CallId, EndReason, LegId, Redacted, ShardId, Time};
use call::{LegEvent, Outcome, Role, Room, RoomAction, RoomEvent};

use super::dial::{Callee, Callees};
use super::room_media::{move_recording, tell_peers};
use super::{Due, Exchange, Kind, Leg};
use crate::recorder::Recording;
use crate::shard::{Command, Remote};

/// The longest name of a room, bytes.
const LONGEST_NAME: usize = 64;
/// Events that wait for [`Exchange::take_room_events`]; when full, the oldest goes.
const EVENTS: usize = 1_024;

/// All rooms.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    pub(super) open: BTreeMap<String, Open>,
    pub(super) names: BTreeMap<LegId, String>,
    /// Legs of calls whose media is in a room: the member's leg for it.
    pub(super) taps: BTreeMap<LegId, LegId>,
    /// Rooms with something to do.
    pub(super) dirty: BTreeSet<String>,
    pub(super) waiting: BTreeMap<LegId, Vec<RoomAction>>,
    pub(super) events: VecDeque<(String, RoomEvent)>,
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) room: Room,
    /// Names its mixer on every shard.
    pub(super) id: LegId,
    /// Members' media halves on each shard.
    pub(super) shards: BTreeMap<ShardId, usize>,
    armed: Option<Time>,
    pub(super) recording: Option<Recorded>,
    /// Where it is webcast, by the room's legs of those calls. They hear, and are no members.
    pub(super) webcasts: BTreeMap<LegId, Remote>,
}

/// What is recorded of a room.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) mix: Recording,
    /// On which shard: it hears all the others.
    pub(super) on: ShardId,
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

    pub(super) fn get(&mut self, name: &str) -> Option<&mut Room> {
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
        if self.is_webcast(&name, leg) {
            return self.wire(call);
        }
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
        let opens = !self.rooms.open.contains_key(name);
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
                webcasts: BTreeMap::new(),
            };
            self.rooms.names.insert(id, name.to_owned());
            self.rooms.open.insert(name.to_owned(), open);
            tracing::info!(room = %Redacted(name), "room opens");
        }
        if let Some(room) = self.rooms.get(name) {
            room.join(now, leg, shown, role, trusted);
        }
        if opens {
            self.webcast_configured(now, name);
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
        open.webcasts.remove(&leg);
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
        if open.room.is_empty() && open.webcasts.is_empty() {
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
            self.end_lonely_webcasts(now, &name);
        }
    }

    /// A deadline of a room has come.
    pub(super) fn room_timeout(&mut self, now: Time, id: LegId) {
        if let Some(name) = self.rooms.names.get(&id).cloned()
            && let Some(room) = self.rooms.get(&name)
        {
            room.handle_timeout(now);
        }
    }

    /// Ends a call for a reason that none of its legs gave.
    pub(super) fn hang_up_call(&mut self, now: Time, call: CallId, outcome: Outcome) {
        if let Some(entry) = self.calls.get_mut(&call) {
            entry.call.hang_up(outcome);
        }
        self.act(now, call);
    }

    /// The room of a member's leg.
    pub(super) fn room_name(&self, leg: LegId) -> Option<String> {
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
