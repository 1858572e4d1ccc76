//! What is shown of rooms, and what is done with them at the word of an operator or a client.

use base::{CallId, EndReason, LegId, Redacted, ShardId, Time};
use call::{Member, Outcome, Role, RoomEvent, Target};

use super::line_leg::Party;
use super::room_words::{RoomInfo, RoomMember, RoomOrder};
use super::rooms::Recorded;
use super::{Exchange, Kind, Leg, RoomSums, webcast};
use crate::shard::{Command, RoomCommand};

impl Exchange {
    /// All rooms, by name.
    pub fn rooms(&self) -> impl Iterator<Item = RoomInfo> + '_ {
        self.rooms.open.iter().map(|(name, open)| RoomInfo {
            name: name.clone(),
            locked: open.room.is_locked(),
            recording: open.room.is_recording(),
            speaker: open.room.speaker(),
            webcasts: open.webcasts.values().map(ToString::to_string).collect(),
            members: open
                .room
                .members()
                .map(|(leg, member)| self.room_member(leg, member, open.room.speaks(leg)))
                .collect(),
        })
    }

    /// The rooms in figures.
    pub(super) fn room_sums(&self) -> RoomSums {
        let mut sums = RoomSums::default();
        for open in self.rooms.open.values() {
            sums.rooms += 1;
            sums.recorded += usize::from(open.room.is_recording());
            for (leg, member) in open.room.members().filter(|(_, m)| !m.at_door) {
                match member.role {
                    Role::Listener => sums.listeners += 1,
                    Role::Participant | Role::Moderator => sums.members += 1,
                }
                sums.talkers += usize::from(open.room.speaks(leg));
            }
        }
        sums
    }

    fn room_member(&self, leg: LegId, member: &Member, speaks: bool) -> RoomMember {
        let call = self.legs.get(&leg).and_then(|l| l.call);
        let tapped = self.rooms.taps.iter().find(|(_, tap)| **tap == leg);
        let party = tapped.map(|(party, _)| *party).or_else(|| {
            let (a, b) = self.calls.get(&call?)?.connected?;
            Some(if a == leg { b } else { a })
        });
        RoomMember {
            leg,
            member: member.clone(),
            speaks,
            call,
            halves: party.map_or(Vec::new(), |p| self.halves(p).all().collect()),
        }
    }

    /// Does something with a room.
    ///
    /// # Errors
    /// There is no such room or member, or the target cannot be called.
    pub fn room_order(&mut self, now: Time, name: &str, order: RoomOrder) -> Result<(), Outcome> {
        let missing = || Outcome::new(EndReason::NotFound);
        // A call may open the room that it comes into.
        if let RoomOrder::Take(call) = order {
            return self.take_call(now, call, name);
        }
        let room = self.rooms.get(name).ok_or_else(missing)?;
        let leg = match order {
            RoomOrder::Mute(leg, _)
            | RoomOrder::Deafen(leg, _)
            | RoomOrder::Gain(leg, _)
            | RoomOrder::Kick(leg)
            | RoomOrder::Play(Some(leg), _)
            | RoomOrder::Hush(Some(leg)) => Some(leg),
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
            RoomOrder::Play(to, sound) => self.tell_mixers(name, to, |to| RoomCommand::Play {
                to,
                sound: sound.clone(),
            }),
            RoomOrder::Hush(to) => self.tell_mixers(name, to, |to| RoomCommand::Hush { to }),
            RoomOrder::Take(_) => {}
            RoomOrder::Give(call) => {
                let (a, b) = self.call_legs(call).ok_or_else(missing)?;
                for leg in [a, b] {
                    self.leave_room(now, leg);
                }
            }
            RoomOrder::Webcast(url) => self.webcast_room(now, name, webcast::read(&url)?)?,
            RoomOrder::StopWebcast(url) => {
                let remote = url.as_ref().map(webcast::read).transpose()?;
                self.stop_webcast(now, name, remote.as_ref());
            }
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

    /// Takes both parties of a call into a room, or none of them.
    fn take_call(&mut self, now: Time, call: CallId, name: &str) -> Result<(), Outcome> {
        let legs = self.call_legs(call).ok_or(Outcome::new(EndReason::NotFound))?;
        self.join_room(now, legs.0, name, Role::Participant)?;
        if let Err(outcome) = self.join_room(now, legs.1, name, Role::Participant) {
            self.leave_room(now, legs.0);
            return Err(outcome);
        }
        Ok(())
    }

    /// Tells the mixer of a member, or those of all.
    fn tell_mixers(&mut self, name: &str, to: Option<LegId>, command: impl Fn(Option<LegId>) -> RoomCommand) {
        let Some(open) = self.rooms.open.get(name) else {
            return;
        };
        let room = open.id;
        let shards: Vec<ShardId> = match to {
            Some(leg) => self.wiring.shard_of(leg).into_iter().collect(),
            None => open.shards.keys().copied().collect(),
        };
        for shard in shards {
            let command = command(to);
            self.command(shard, Command::Room { room, command });
        }
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
    pub(super) fn stop_recording(&mut self, name: &str) {
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
}
