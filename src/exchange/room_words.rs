//! What is configured of rooms, what is shown of them, and what may be asked of them.

use std::sync::Arc;

use base::{CallId, LegId};
use call::{Member, RoomRules, Secret};
use media::{RoomOptions, Sound};

use super::prompts::Prompts;
use crate::config::Pattern;
use crate::recorder::Recorder;
use crate::shard::Remote;

/// What the exchange needs of `[conference]`.
#[derive(Clone, Debug)]
pub struct Conference {
    /// Whether a name that is not configured makes a room of that name.
    pub on_demand: bool,
    /// Numbers that are rooms; the room's name is the first group, or the number.
    pub numbers: Option<Pattern>,
    /// Rooms made on demand.
    pub rules: RoomRules,
    /// Configured rooms.
    pub rooms: Vec<ConfiguredRoom>,
    /// How all of them mix.
    pub mix: RoomOptions,
    /// What they play.
    pub prompts: Prompts,
    /// Where recordings go, if there may be any.
    pub recorder: Option<Recorder>,
}

/// A `[[conference.room]]`.
#[derive(Clone, Debug)]
pub struct ConfiguredRoom {
    /// Its name.
    pub name: String,
    /// Numbers that lead to it.
    pub numbers: Vec<String>,
    /// What it is like.
    pub rules: RoomRules,
    /// Where it is webcast as long as somebody is there.
    pub webcast: Vec<Remote>,
}

/// A room as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomInfo {
    /// Its name.
    pub name: String,
    /// Nobody can enter.
    pub locked: bool,
    /// It is recorded.
    pub recording: bool,
    /// Where it is webcast, without the names of the streams.
    pub webcasts: Vec<String>,
    /// Who has the floor.
    pub speaker: Option<LegId>,
    /// Who is there.
    pub members: Vec<RoomMember>,
}

/// A member as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomMember {
    /// Its leg, by which it is named in orders.
    pub leg: LegId,
    /// What it is like.
    pub member: Member,
    /// Whether it speaks.
    pub speaks: bool,
    /// Its call.
    pub call: Option<CallId>,
    /// Its party's media halves, by which shards know what it sends.
    pub halves: Vec<LegId>,
}

/// What may be asked of a room from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomOrder {
    /// A member is not heard, or is again.
    Mute(LegId, bool),
    /// A member hears nothing, or all again.
    Deafen(LegId, bool),
    /// How much louder a member is heard, dB, -20 to 20.
    Gain(LegId, i8),
    /// A member is sent away.
    Kick(LegId),
    /// Nobody can enter, or everybody again.
    Lock(bool),
    /// Everybody is sent away.
    End,
    /// It is recorded from now on: the mix, and with `true` each member by itself too.
    Record(bool),
    /// Recordings end.
    StopRecording,
    /// A sound is played after those that play: to a member, or to all.
    Play(Option<LegId>, Arc<Sound>),
    /// The sounds of a member stop, or those that all hear.
    Hush(Option<LegId>),
    /// Both parties of a call that is up come in; the call stays.
    Take(CallId),
    /// They go back to their call.
    Give(CallId),
    /// Its mix is published on a server elsewhere as long as somebody is there: `rtmp://…`, or
    /// `rtmp+publish;codec=NAME:URL`. Kept like a password: who knows it may publish there.
    Webcast(Secret),
    /// That ends; without a URL every webcast does.
    StopWebcast(Option<Secret>),
    /// Somebody is called in, on behalf of a user.
    Dial {
        /// Whom: any target.
        target: String,
        /// On whose behalf; trunks want to know.
        user: Option<String>,
    },
}
