//! Rooms on a shard: each shard that has members of a room mixes its own, and hears the sums of the others.
//!
//! A member is a leg that takes one party's audio and gives it what it is to hear; the room itself is a leg
//! that has its turn every 20 ms. So routes, stand-ins on other shards and the guard against faults are those of
//! all legs.

use std::sync::Arc;

use base::{CallId, LegId, ShardId, Time};
use codecs::CodecId;
use media::{RoomMixer, RoomOptions, Sound};

use super::Shard;
use super::command::{Event, FrameKind, LinkFrame};
use super::leg::{Kind, MediaLeg};
use crate::recorder::Recording;

/// Slots between two reports of who speaks: 200 ms.
const REPORT_EVERY: u32 = 10;

/// What the exchange asks of a room's mixer.
#[derive(Clone, Debug, PartialEq)]
pub enum RoomCommand {
    /// Makes it on this shard.
    Open(Box<RoomOptions>),
    /// The other shards that have members: they are given the sum of this one's.
    Peers(Vec<ShardId>),
    /// Makes a member's media half.
    Join {
        /// Its id.
        leg: LegId,
        /// Its call.
        call: CallId,
    },
    /// A member is heard no more, or again.
    Mute {
        /// Which.
        leg: LegId,
        /// No more.
        on: bool,
    },
    /// A member hears no more, or again.
    Deafen {
        /// Which.
        leg: LegId,
        /// No more.
        on: bool,
    },
    /// How much louder a member is heard.
    Gain {
        /// Which.
        leg: LegId,
        /// dB, -20 to 20.
        db: i8,
    },
    /// How much louder a member hears.
    Volume {
        /// Which.
        leg: LegId,
        /// dB, -20 to 20.
        db: i8,
    },
    /// Plays a sound after those that play.
    Play {
        /// To whom; `None` for all of this shard.
        to: Option<LegId>,
        /// What.
        sound: Arc<Sound>,
    },
    /// Records: all that is heard, or one member. It ends with [`RoomCommand::StopRecording`], with the room on
    /// this shard, or when the disk takes no more.
    Record {
        /// Whom; `None` for all.
        leg: Option<LegId>,
        /// Into what.
        into: Recording,
    },
    /// Ends every recording.
    StopRecording,
    /// Stops the sounds of a member, or those that all hear.
    Hush {
        /// Whose.
        to: Option<LegId>,
    },
}

/// What a room's mixer tells the exchange.
#[derive(Clone, Debug, PartialEq)]
pub enum RoomEvent {
    /// Who speaks on this shard, who has the floor first, each with its level in dBov; told when it changes.
    Talkers(Vec<(LegId, i8)>),
    /// The disk took no more of a recording.
    RecordingFailed,
}

/// A room's mixer on one shard.
pub(super) struct Room {
    mixer: RoomMixer,
    peers: Vec<ShardId>,
    members: Vec<LegId>,
    /// Who spoke, as last told.
    told: Vec<LegId>,
    since_told: u32,
    sums: Vec<u8>,
    recordings: Vec<(Option<LegId>, Recording)>,
    slot: u64,
}

impl Room {
    /// Gives a slot to the recordings; false when one of them ended by itself.
    fn record(&mut self, shard: ShardId) -> bool {
        self.slot += 1;
        let (mixer, slot, before) = (&self.mixer, self.slot, self.recordings.len());
        self.recordings.retain(|(leg, into)| {
            let pcm = match leg {
                None => Some(mixer.total()),
                Some(leg) => mixer.spoken(*leg),
            };
            // What is not said is filled in by the next that is.
            pcm.is_none_or(|pcm| into.push(u64::from(shard.0), slot, mixer.rate(), pcm))
        });
        self.recordings.len() == before
    }
}

impl Shard {
    /// The exchange wants something of a room.
    pub(super) fn room_command(&mut self, now: Time, room: LegId, command: RoomCommand) {
        if let RoomCommand::Open(options) = command {
            let made = Room {
                mixer: RoomMixer::new(*options),
                peers: Vec::new(),
                members: Vec::new(),
                told: Vec::new(),
                since_told: 0,
                sums: Vec::new(),
                recordings: Vec::new(),
                slot: 0,
            };
            self.legs
                .insert(room, MediaLeg::new(CallId(0), Kind::Room(Some(Box::new(made)))));
            self.join_phase(now, room);
            return;
        }
        let Some(entry) = self.room(room) else { return };
        let mixer = &mut entry.mixer;
        match command {
            RoomCommand::Open(_) => {}
            RoomCommand::Peers(peers) => {
                for gone in entry.peers.iter().filter(|p| !peers.contains(p)) {
                    mixer.drop_remote(gone.0);
                }
                entry.peers = peers;
            }
            RoomCommand::Join { leg, call } => {
                mixer.join(leg);
                entry.members.push(leg);
                self.legs.insert(leg, MediaLeg::new(call, Kind::Member(room)));
            }
            RoomCommand::Mute { leg, on } => mixer.mute(leg, on),
            RoomCommand::Deafen { leg, on } => mixer.deafen(leg, on),
            RoomCommand::Gain { leg, db } => mixer.set_gain(leg, f32::from(db)),
            RoomCommand::Volume { leg, db } => mixer.set_volume(leg, f32::from(db)),
            RoomCommand::Play { to, sound } => {
                let _full = mixer.play(to, &sound);
            }
            RoomCommand::Record { leg, into } => entry.recordings.push((leg, into)),
            RoomCommand::StopRecording => entry.recordings.clear(),
            RoomCommand::Hush { to } => mixer.hush(to),
        }
    }

    /// Takes in what a member says.
    pub(super) fn room_feed(&mut self, now: Time, room: LegId, leg: LegId, kind: FrameKind, payload: &[u8]) {
        let Some(entry) = self.room(room) else { return };
        match kind {
            FrameKind::Audio { codec, time, .. } => entry.mixer.push(now, leg, codec, time, payload),
            FrameKind::Tag {
                time,
                codec: Some(codec),
            } => {
                let mut sound = Vec::new();
                super::flv_audio::payload(payload, &mut sound);
                if !sound.is_empty() {
                    entry.mixer.push(now, leg, codec, time, &sound);
                }
            }
            FrameKind::Lost { time, ticks } => entry.mixer.lose(leg, time, ticks),
            _ => {}
        }
    }

    /// Takes in the sum of another shard's members.
    pub(super) fn room_sums(&mut self, room: LegId, kind: FrameKind, payload: &[u8]) {
        let FrameKind::Sums { from, rate } = kind else {
            return;
        };
        if let Some(entry) = self.room(room)
            && entry.peers.contains(&from)
        {
            let sums = payload
                .chunks_exact(4)
                .map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            entry.mixer.push_remote(from.0, rate, sums);
        }
    }

    /// A member's media half was closed.
    pub(super) fn room_left(&mut self, room: LegId, leg: LegId) {
        if let Some(entry) = self.room(room) {
            entry.mixer.leave(leg);
            entry.members.retain(|m| *m != leg);
        }
    }

    /// A slot of 20 ms: mixes, and gives everybody what it is to hear.
    pub(super) fn room_turn(&mut self, now: Time, id: LegId) {
        // Taken out while its members are fed. A fault that keeps it from coming back ends the room here.
        let Some(mut room) = (match self.legs.get_mut(&id).map(|l| &mut l.kind) {
            Some(Kind::Room(room)) => room.take(),
            _ => None,
        }) else {
            return;
        };
        room.mixer.mix();
        self.send_sums(id, &mut room);
        for n in 0..room.members.len() {
            if let Some(leg) = room.members.get(n).copied() {
                self.guard_leg(now, leg, |shard| shard.give(now, &mut room.mixer, leg));
            }
        }
        self.tell_talkers(id, &mut room);
        if !room.record(self.id) {
            self.outbox.event(Event::Room {
                room: id,
                event: RoomEvent::RecordingFailed,
            });
        }
        // A member that broke in its turn could not take itself off.
        let gone: Vec<LegId> = room
            .members
            .extract_if(.., |leg| !self.legs.contains_key(leg))
            .collect();
        gone.into_iter().for_each(|leg| room.mixer.leave(leg));
        if let Some(MediaLeg {
            kind: Kind::Room(place),
            ..
        }) = self.legs.get_mut(&id)
        {
            *place = Some(room);
        }
    }

    /// Gives a member what it hears, in the codec of each of its sinks.
    fn give(&mut self, now: Time, mixer: &mut RoomMixer, leg: LegId) {
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        let sinks = std::mem::take(&mut entry.sinks);
        // A sink on another shard encodes for itself: what it wants is not known here.
        for shard in &entry.exports {
            for (payload, time, _) in mixer.hear(leg, CodecId::L16_16).frames() {
                let kind = FrameKind::Audio {
                    codec: CodecId::L16_16,
                    time,
                    bursty: false,
                };
                let payload = payload.into();
                self.outbox.link(*shard, LinkFrame { leg, kind, payload });
            }
        }
        for to in &sinks {
            let wanted = match self.legs.get(to).map(|l| &l.kind) {
                Some(Kind::Rtp(rtp)) => rtp.wants(),
                Some(Kind::Play(play)) => play.wants(),
                _ => None,
            };
            let Some(codec) = wanted else { continue };
            for (payload, time, ticks) in mixer.hear(leg, codec).frames() {
                self.feed(now, *to, FrameKind::Ready { codec, time, ticks }, payload);
            }
        }
        if let Some(entry) = self.legs.get_mut(&leg) {
            entry.sinks = sinks;
        }
    }

    fn send_sums(&mut self, id: LegId, room: &mut Room) {
        let Some((rate, sums)) = room.mixer.sums().filter(|_| !room.peers.is_empty()) else {
            return;
        };
        room.sums.clear();
        room.sums.extend(sums.iter().flat_map(|s| s.to_le_bytes()));
        for peer in &room.peers {
            let frame = LinkFrame {
                leg: id,
                kind: FrameKind::Sums { from: self.id, rate },
                payload: room.sums.as_slice().into(),
            };
            self.outbox.link(*peer, frame);
        }
    }

    fn tell_talkers(&mut self, id: LegId, room: &mut Room) {
        room.since_told += 1;
        if room.since_told < REPORT_EVERY {
            return;
        }
        room.since_told = 0;
        if room
            .mixer
            .talkers()
            .map(|(leg, _)| leg)
            .eq(room.told.iter().copied())
        {
            return;
        }
        let talkers: Vec<(LegId, i8)> = room
            .mixer
            .talkers()
            .map(|(leg, level)| (leg, level.clamp(-127.0, 0.0) as i8))
            .collect();
        room.told = talkers.iter().map(|(leg, _)| *leg).collect();
        self.outbox.event(Event::Room {
            room: id,
            event: RoomEvent::Talkers(talkers),
        });
    }

    fn room(&mut self, room: LegId) -> Option<&mut Room> {
        match self.legs.get_mut(&room).map(|l| &mut l.kind) {
            Some(Kind::Room(room)) => room.as_deref_mut(),
            _ => None,
        }
    }
}
