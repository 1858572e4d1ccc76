//! Rooms for the operator: who is there, and what is done with them.

use std::path::{Component, Path, PathBuf};

use base::LegId;
use call::{Outcome, Role, RoomEvent, Secret};
use serde_json::{Value, json};

use super::commands::{Legs, call_id, shown, tenth};
use super::table::Args;
use super::{Admin, Failure};
use crate::exchange::{Ask, RoomInfo, RoomMember, RoomOrder, read_sound};
use crate::net::stamp;
use crate::shard::Look;

/// Rooms in one answer.
const ROOMS: usize = 1_000;
/// dB by which a member may be louder or softer.
const GAIN: std::ops::RangeInclusive<i8> = -20..=20;

pub(super) async fn list(admin: &Admin, _args: &Args) -> Result<Value, Failure> {
    let ask = Ask {
        rooms: ROOMS,
        ..Ask::default()
    };
    let snapshot = admin.snapshot(ask).await?;
    let rooms: Vec<Value> = snapshot.rooms.iter().map(summary).collect();
    Ok(json!({ "total": snapshot.room_sums.rooms, "rooms": rooms }))
}

pub(super) async fn info(admin: &Admin, args: &Args) -> Result<Value, Failure> {
    let room = find(admin, args).await?;
    let halves = room
        .members
        .iter()
        .flat_map(|m| m.halves.iter().copied())
        .collect();
    let legs = shown(&admin.figures(Look::Levels(halves)).await);
    let mut answer = summary(&room);
    let members: Vec<Value> = room
        .members
        .iter()
        .map(|m| member_json(admin, m, &legs))
        .collect();
    answer["members"] = members.into();
    Ok(answer)
}

pub(super) async fn lock(admin: &Admin, args: &Args, on: bool) -> Result<Value, Failure> {
    let room = name(args);
    admin.room(room, RoomOrder::Lock(on)).await?;
    Ok(done(format!(
        "room {room} is {}",
        if on { "locked" } else { "open" }
    )))
}

pub(super) async fn end(admin: &Admin, args: &Args) -> Result<Value, Failure> {
    let room = name(args);
    admin.room(room, RoomOrder::End).await?;
    Ok(done(format!("everybody is sent out of room {room}")))
}

pub(super) async fn record(admin: &Admin, args: &Args) -> Result<Value, Failure> {
    let room = name(args);
    let each = text(args, "each") == "yes";
    admin.room(room, RoomOrder::Record(each)).await?;
    Ok(done(format!("room {room} is recorded")))
}

pub(super) async fn unrecord(admin: &Admin, args: &Args) -> Result<Value, Failure> {
    let room = name(args);
    admin.room(room, RoomOrder::StopRecording).await?;
    Ok(done(format!("room {room} is recorded no more")))
}

pub(super) async fn stream(admin: &Admin, args: &Args) -> Result<Value, Failure> {
    let room = name(args);
    let url = Secret::new(text(args, "url"));
    admin.room(room, RoomOrder::Webcast(url)).await?;
    Ok(done(format!("room {room} is streamed")))
}

pub(super) async fn unstream(admin: &Admin, args: &Args) -> Result<Value, Failure> {
    let room = name(args);
    let url = Some(text(args, "url")).filter(|u| !u.is_empty()).map(Secret::new);
    admin.room(room, RoomOrder::StopWebcast(url)).await?;
    Ok(done(format!("room {room} is streamed no more")))
}

/// Something with one member, told in a sentence that ends with the room.
pub(super) async fn member(
    admin: &Admin,
    args: &Args,
    order: fn(LegId) -> RoomOrder,
    what: &str,
) -> Result<Value, Failure> {
    let member = the_member(admin, args).await?;
    let room = name(args);
    admin.room(room, order(member.leg)).await?;
    Ok(done(format!(
        "{} ({}) {what} room {room}",
        member.leg, member.member.name
    )))
}

pub(super) async fn gain(admin: &Admin, args: &Args) -> Result<Value, Failure> {
    let Some(db) = text(args, "db").parse().ok().filter(|db| GAIN.contains(db)) else {
        let message = format!(
            "`db` must be a whole number from {} to {}",
            GAIN.start(),
            GAIN.end()
        );
        return Err(Failure::new(400, message));
    };
    let member = the_member(admin, args).await?;
    admin.room(name(args), RoomOrder::Gain(member.leg, db)).await?;
    Ok(done(format!("{} is heard {db:+} dB", member.leg)))
}

pub(super) async fn dial(admin: &Admin, args: &Args) -> Result<Value, Failure> {
    let (room, target) = (name(args), text(args, "target").to_owned());
    let user = args.get("user").and_then(Value::as_str).map(str::to_owned);
    let message = format!("room {room} calls {target}");
    admin.room(room, RoomOrder::Dial { target, user }).await?;
    Ok(done(message))
}

pub(super) async fn play(admin: &Admin, args: &Args) -> Result<Value, Failure> {
    let room = name(args);
    let path = sound_path(admin.facts.sounds.as_deref(), text(args, "file"))?;
    let to = match args.contains_key("member") {
        true => Some(the_member(admin, args).await?.leg),
        // Before the file is read: a room that is not there costs nothing.
        false => {
            find(admin, args).await?;
            None
        }
    };
    let read = tokio::task::spawn_blocking(move || read_sound(&path).map_err(|e| (path, e))).await;
    let sound = match read {
        Ok(Ok(sound)) => sound,
        Ok(Err((path, error))) => {
            return Err(Failure::new(409, format!("{}: {error}", path.display())));
        }
        Err(_) => return Err(Failure::new(503, "the file could not be read")),
    };
    let ms = sound.millis();
    admin.room(room, RoomOrder::Play(to, sound.into())).await?;
    Ok(done(format!("it plays for {} s", ms.div_ceil(1_000))))
}

pub(super) async fn hush(admin: &Admin, args: &Args) -> Result<Value, Failure> {
    let to = match args.contains_key("member") {
        true => Some(the_member(admin, args).await?.leg),
        false => None,
    };
    admin.room(name(args), RoomOrder::Hush(to)).await?;
    Ok(done("it is silent".to_owned()))
}

pub(super) async fn take(admin: &Admin, args: &Args) -> Result<Value, Failure> {
    let (room, call) = (name(args), call_id(args, "call")?);
    admin.room(room, RoomOrder::Take(call)).await?;
    Ok(done(format!("both parties of call {call} are in room {room}")))
}

pub(super) async fn give(admin: &Admin, args: &Args) -> Result<Value, Failure> {
    let (room, call) = (name(args), call_id(args, "call")?);
    admin.room(room, RoomOrder::Give(call)).await?;
    Ok(done(format!("call {call} has its parties to itself again")))
}

/// Why an order came to nothing, for whoever gave it.
pub(super) fn failure(room: &str, outcome: &Outcome) -> Failure {
    match outcome.status {
        404 => Failure::new(
            404,
            format!("there is no room {room}, or nobody and no call of that name; see `flashgate rooms`"),
        ),
        _ => Failure::new(409, outcome.text.clone()),
    }
}

/// What happened in a room, for those who look on: the kind of the event, and its data.
pub(super) fn told(room: &str, event: &RoomEvent) -> (&'static str, Value) {
    match event {
        RoomEvent::Joined { leg, name, role } => (
            "room.joined",
            json!({ "room": room, "member": leg.to_string(), "name": name, "role": role_word(*role) }),
        ),
        RoomEvent::Left { leg } => ("room.left", json!({ "room": room, "member": leg.to_string() })),
        RoomEvent::Muted { leg, on } => (
            "room.muted",
            json!({ "room": room, "member": leg.to_string(), "on": on }),
        ),
        RoomEvent::Hand { leg, on } => (
            "room.hand",
            json!({ "room": room, "member": leg.to_string(), "on": on }),
        ),
        RoomEvent::Locked(on) => ("room.locked", json!({ "room": room, "on": on })),
        RoomEvent::Speaker(leg) => ("room.speaker", json!({ "room": room, "member": leg.to_string() })),
        RoomEvent::Started => ("room.started", json!({ "room": room })),
        RoomEvent::Recording(on) => ("room.recording", json!({ "room": room, "on": on })),
    }
}

fn done(message: String) -> Value {
    json!({ "message": message })
}

fn text<'a>(args: &'a Args, name: &str) -> &'a str {
    args.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn name(args: &Args) -> &str {
    text(args, "room")
}

async fn find(admin: &Admin, args: &Args) -> Result<RoomInfo, Failure> {
    let ask = Ask {
        rooms: usize::MAX,
        ..Ask::default()
    };
    let mut rooms = admin.snapshot(ask).await?.rooms.into_iter();
    rooms.find(|r| r.name == name(args)).ok_or_else(|| {
        Failure::new(
            404,
            format!(
                "there is no room {}; `flashgate rooms` lists those there are",
                name(args)
            ),
        )
    })
}

async fn the_member(admin: &Admin, args: &Args) -> Result<RoomMember, Failure> {
    pick(find(admin, args).await?, text(args, "member"))
}

/// A member by its id, or by a name that only it has.
fn pick(room: RoomInfo, word: &str) -> Result<RoomMember, Failure> {
    let id = |m: &RoomMember| m.leg.to_string() == word;
    let called = |m: &RoomMember| {
        let user = m.member.name.split('@').next().unwrap_or_default();
        m.member.name == word || user == word || user.strip_prefix("sip:") == Some(word)
    };
    let by_name = room.members.iter().filter(|m| called(m)).count();
    if by_name > 1 && !room.members.iter().any(id) {
        let message = format!("{by_name} members are called {word}: name one by its id");
        return Err(Failure::new(409, message));
    }
    let wanted = |m: &RoomMember| id(m) || (by_name == 1 && called(m));
    let name = room.name;
    room.members.into_iter().find(wanted).ok_or_else(|| {
        let message = format!("nobody in room {name} is {word}; `flashgate room {name} list` shows who is");
        Failure::new(404, message)
    })
}

/// A file of the folder of prompts, and of no other.
fn sound_path(folder: Option<&Path>, file: &str) -> Result<PathBuf, Failure> {
    let Some(folder) = folder else {
        return Err(Failure::new(
            409,
            "files to play are taken from the folder `[conference] prompts`, which is not set",
        ));
    };
    let file = Path::new(file);
    let plain = file.components().all(|c| matches!(c, Component::Normal(_)));
    if !plain || file.as_os_str().is_empty() {
        return Err(Failure::new(
            400,
            "`file` must name a file in the folder `[conference] prompts`",
        ));
    }
    Ok(folder.join(file))
}

fn summary(room: &RoomInfo) -> Value {
    let of = |role: fn(Role) -> bool| room.members.iter().filter(|m| role(m.member.role)).count();
    let name_of = |leg: LegId| {
        let member = room.members.iter().find(|m| m.leg == leg);
        member.map(|m| m.member.name.as_str())
    };
    json!({
        "name": room.name,
        "members": of(|r| r > Role::Listener),
        "listeners": of(|r| r == Role::Listener),
        "talkers": room.members.iter().filter(|m| m.speaks).count(),
        "speaker": room.speaker.and_then(name_of),
        "locked": room.locked,
        "recording": room.recording,
        "webcasts": room.webcasts,
    })
}

fn member_json(admin: &Admin, entry: &RoomMember, legs: &Legs) -> Value {
    let member = &entry.member;
    let level = entry
        .halves
        .iter()
        .find_map(|h| legs.get(h).and_then(|l| l.level_dbov));
    json!({
        "id": entry.leg.to_string(),
        "name": member.name,
        "role": role_word(member.role),
        "call": entry.call.map(|c| c.to_string()),
        "since": stamp(admin.wall(member.since)),
        "seconds": admin.clock.now().since(member.since).as_secs(),
        "at_door": member.at_door,
        "muted": member.muted,
        "deaf": member.deaf,
        "hand": member.hand,
        "speaks": entry.speaks,
        "gain_db": member.gain,
        "volume_db": member.volume,
        "level_dbov": level.map(tenth),
    })
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::Listener => "listener",
        Role::Participant => "participant",
        Role::Moderator => "moderator",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Time;
    use call::{Room, RoomRules};

    fn room(names: &[&str]) -> RoomInfo {
        let mut room = Room::new(RoomRules::default());
        for (n, name) in names.iter().enumerate() {
            let leg = LegId::of_exchange(n as u64 + 1);
            room.join(
                Time::from_secs(1),
                leg,
                (*name).to_owned(),
                Role::Participant,
                true,
            );
        }
        let entry = |(leg, member): (LegId, &call::Member)| RoomMember {
            leg,
            member: member.clone(),
            speaks: false,
            call: None,
            halves: Vec::new(),
        };
        RoomInfo {
            name: "team".to_owned(),
            locked: false,
            recording: false,
            webcasts: Vec::new(),
            speaker: None,
            members: room.members().map(entry).collect(),
        }
    }

    #[test]
    fn members_are_found_by_id_and_by_a_name_that_is_theirs_alone() {
        let found = |names: &[&str], word: &str| {
            pick(room(names), word).map_or_else(|f| f.status, |m| m.leg.0 as u16)
        };
        let names = ["sip:alice@a.example", "bob", "bob", "l1"];
        assert_eq!(found(&names, "l2"), 2);
        assert_eq!(found(&names, "alice"), 1);
        assert_eq!(found(&names, "sip:alice@a.example"), 1);
        assert_eq!(found(&names, "bob"), 409);
        assert_eq!(found(&names, "carol"), 404);
        assert_eq!(found(&names, ""), 404);
        // An id goes before a name.
        assert_eq!(found(&names, "l1"), 1);
    }

    #[test]
    fn only_files_of_the_folder_are_played() {
        let folder = Path::new("/prompts");
        let path = |file| sound_path(Some(folder), file).map_err(|f| f.status);
        assert_eq!(path("a.wav"), Ok(PathBuf::from("/prompts/a.wav")));
        assert_eq!(path("music/a.wav"), Ok(PathBuf::from("/prompts/music/a.wav")));
        for outside in ["", "/etc/passwd", "../a.wav", "music/../../a.wav", "./a.wav", "."] {
            assert_eq!(path(outside), Err(400), "{outside}");
        }
        assert_eq!(sound_path(None, "a.wav").unwrap_err().status, 409);
    }
}
