//! The media of rooms: mixers on shards, members' halves at them, and the routes between those and their parties.

use std::collections::BTreeSet;

use base::{CallId, EndReason, LegId, ShardId, Time};
use call::{Outcome, Prompt, RoomAction};

use super::calls::Halves;
use super::rooms::Open;
use super::{Exchange, Kind};
use crate::shard::{Command, RoomCommand, RoomEvent as MixerEvent};

/// Actions that wait for a member's media; when full, further ones are dropped.
const WAITING: usize = 32;

impl Exchange {
    pub(super) fn room_action(&mut self, now: Time, id: LegId, name: &str, action: RoomAction) {
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
                .flat_map(|open| {
                    let members = open.room.members().map(|(leg, _)| leg);
                    members.chain(open.webcasts.keys().copied())
                })
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
        if !open.room.members().any(|(l, _)| l == leg) && !open.webcasts.contains_key(&leg) {
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
pub(super) fn move_recording(open: &mut Open, from: ShardId, out: &mut Vec<(ShardId, Command)>) {
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
pub(super) fn tell_peers(open: &Open, out: &mut Vec<(ShardId, Command)>) {
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
