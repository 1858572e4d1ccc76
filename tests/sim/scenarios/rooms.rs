//! Conference rooms.

use std::sync::Arc;

use base::{LegId, Time};
use call::{Role, RoomEvent};
use codecs::CodecId;
use flashgate::config::{Config, Room, Secret};
use flashgate::exchange::RoomOrder;

use crate::phone::Told;
use crate::world::{Who, World, ms, secs};

fn world(shards: usize, change: impl FnOnce(&mut Config)) -> World {
    World::builder()
        .shards(shards)
        .config(|c| {
            c.sip.inbound = flashgate::config::Access::Open;
            c.conference.talkers = 16;
            change(c);
        })
        .build()
}

/// Clients and phones in turn, each with a tone of its own and one codec after the other.
fn party(w: &mut World, n: usize) -> Vec<Who> {
    let codecs = [CodecId::Pcmu, CodecId::SpeexWb, CodecId::SpeexNb, CodecId::Pcma];
    (0..n)
        .map(|i| {
            let who = if i % 2 == 0 {
                w.client()
            } else {
                let phone = w.phone(&format!("phone{i}"));
                w.at(phone).codecs = vec![codecs[i / 2 % codecs.len()]];
                phone
            };
            w.set_tone(who, 330.0 + 90.0 * i as f32);
            who
        })
        .collect()
}

fn enter(w: &mut World, who: Who, room: &str) {
    match who {
        Who::Client(_) => w.call(who, &format!("conference/{room}")),
        _ => w.dial(who, &format!("conference/{room}")),
    }
}

fn exit(w: &mut World, who: Who) {
    match who {
        Who::Client(_) => w.leave(who),
        _ => w.hang_up(who),
    }
}

/// Everybody inside hears all the others and nobody else.
#[track_caller]
fn all_hear(w: &World, all: &[Who], inside: &[Who]) {
    for listener in inside {
        for speaker in all {
            if speaker != listener && inside.contains(speaker) {
                w.hears(*listener, *speaker);
            } else {
                w.hears_nothing_of(*listener, *speaker);
            }
        }
    }
}

fn members(w: &World, room: &str) -> Vec<LegId> {
    let info = w.gateway.exchange.rooms().find(|r| r.name == room);
    info.map_or(Vec::new(), |r| r.members.iter().map(|m| m.leg).collect())
}

#[test]
fn everybody_hears_all_the_others_on_any_shards() {
    for shards in [1, 2, 3] {
        let mut w = world(shards, |_| {});
        let all = party(&mut w, 3);
        for who in &all {
            enter(&mut w, *who, "team");
        }
        w.run(secs(4));
        all_hear(&w, &all, &all);
        exit(&mut w, all[0]);
        w.run(secs(2));
        all_hear(&w, &all, &all[1..]);
        let late = party(&mut w, 1)[0];
        w.set_tone(late, 1_140.0);
        enter(&mut w, late, "team");
        w.run(secs(4));
        let now = [all[1], all[2], late];
        all_hear(&w, &now, &now);
        for who in now {
            exit(&mut w, who);
        }
        w.run(secs(1));
        w.ends_clean();
    }
}

#[test]
fn ten_hear_each_other_for_a_minute_while_some_come_and_go() {
    for shards in [1, 3] {
        let mut w = world(shards, |_| {});
        let mut all = party(&mut w, 8);
        for n in 8..10 {
            let phone = w.phone(&format!("phone{n}"));
            w.set_tone(phone, 330.0 + 90.0 * n as f32);
            all.push(phone);
        }
        for who in &all[..8] {
            enter(&mut w, *who, "team");
        }
        w.run(secs(4));
        all_hear(&w, &all, &all[..8]);
        enter(&mut w, all[8], "team");
        w.run(secs(4));
        for round in 0..6 {
            enter(&mut w, all[9 - round % 2], "team");
            w.run(secs(5));
            all_hear(&w, &all, &all);
            exit(&mut w, all[8 + round % 2]);
            w.run(secs(5));
            let inside: Vec<Who> = all[..8].iter().copied().chain([all[9 - round % 2]]).collect();
            all_hear(&w, &all, &inside);
        }
        for who in &all {
            exit(&mut w, *who);
        }
        w.run(secs(1));
        w.ends_clean();
    }
}

#[test]
fn rooms_do_not_hear_each_other() {
    let mut w = world(2, |_| {});
    let all = party(&mut w, 4);
    for (n, who) in all.iter().enumerate() {
        enter(&mut w, *who, if n < 2 { "red" } else { "blue" });
    }
    w.run(secs(3));
    all_hear(&w, &all, &all[..2]);
    all_hear(&w, &all, &all[2..]);
    for who in all {
        exit(&mut w, who);
    }
    w.run(ms(500));
    w.ends_clean();
}

#[test]
fn numbers_lead_to_rooms() {
    let mut w = world(1, |c| {
        c.conference.room = vec![Room {
            name: "team".to_owned(),
            numbers: vec!["8000".to_owned()],
            ..Room::default()
        }];
    });
    let all = party(&mut w, 4);
    w.dial(all[1], "8000");
    w.dial(all[3], "conference/team");
    w.run(secs(3));
    all_hear(&w, &all, &[all[1], all[3]]);
    w.hang_up(all[1]);
    w.hang_up(all[3]);
    w.run(ms(200));
    w.leave_all();
    w.ends_clean();
}

#[test]
fn only_configured_rooms_where_none_is_made_on_demand() {
    let mut w = world(1, |c| c.conference.on_demand = false);
    let phone = w.phone("alice");
    w.dial(phone, "conference/team");
    w.run(secs(1));
    assert!(w.at(phone).was(&Told::Failed(404)));
    w.ends_clean();
}

#[test]
fn the_pin_is_keyed_in_and_full_rooms_are_busy() {
    let mut w = world(1, |c| {
        c.conference.room = vec![Room {
            name: "team".to_owned(),
            pin: Some(Secret::new("42")),
            max_members: Some(2),
            ..Room::default()
        }];
    });
    let all = party(&mut w, 6);
    let (a, b, c) = (all[1], all[3], all[5]);
    w.dial(a, "conference/team");
    w.dial(b, "conference/team");
    w.run(secs(3));
    // Outside the door nobody hears anybody.
    w.hears_nothing_of(a, b);
    w.hears_nothing_of(b, a);
    key(&mut w, a, "42");
    w.run(secs(1));
    key(&mut w, b, "41#42");
    w.run(secs(3));
    all_hear(&w, &all, &[a, b]);
    w.dial(c, "conference/team");
    w.run(secs(1));
    assert!(w.at(c).was(&Told::Failed(486)));
    w.hang_up(a);
    w.hang_up(b);
    w.run(ms(200));
    w.leave_all();
    w.ends_clean();
}

fn key(w: &mut World, who: Who, digits: &str) {
    let now = w.now;
    w.at(who).key(now, digits);
    w.run(ms(300));
}

#[test]
fn keys_and_orders_mute_lock_and_send_away() {
    let mut w = world(2, |_| {});
    let all = party(&mut w, 4);
    for who in &all {
        enter(&mut w, *who, "team");
        w.run(ms(700));
    }
    w.run(secs(3));
    key(&mut w, all[1], "*6");
    w.run(secs(2));
    for listener in [all[0], all[2], all[3]] {
        w.hears_nothing_of(listener, all[1]);
        w.hears(all[1], listener);
    }
    key(&mut w, all[1], "*6");
    w.run(secs(2));
    all_hear(&w, &all, &all);
    let legs = members(&w, "team");
    assert_eq!(legs.len(), 4);
    w.order("team", RoomOrder::Lock(true)).unwrap();
    let late = w.phone("late");
    w.dial(late, "conference/team");
    w.run(secs(1));
    assert!(w.at(late).was(&Told::Failed(403)));
    // Members in the order in which they came.
    w.order("team", RoomOrder::Kick(legs[3])).unwrap();
    w.order("team", RoomOrder::Mute(legs[1], true)).unwrap();
    assert!(w.order("team", RoomOrder::Kick(LegId(7))).is_err());
    assert!(w.order("none", RoomOrder::Lock(true)).is_err());
    w.run(secs(2));
    assert!(!w.at(all[3]).in_call());
    for listener in [all[0], all[2]] {
        w.hears_nothing_of(listener, all[1]);
        w.hears_nothing_of(listener, all[3]);
    }
    let events: Vec<RoomEvent> = w
        .gateway
        .exchange
        .take_room_events()
        .into_iter()
        .map(|(_, e)| e)
        .collect();
    let joins = |e: &&RoomEvent| {
        matches!(
            e,
            RoomEvent::Joined {
                role: Role::Participant,
                ..
            }
        )
    };
    assert_eq!(events.iter().filter(joins).count(), 4);
    assert!(events.contains(&RoomEvent::Locked(true)));
    assert!(events.contains(&RoomEvent::Left { leg: legs[3] }));
    assert!(events.iter().any(|e| matches!(e, RoomEvent::Speaker(_))));
    w.order("team", RoomOrder::End).unwrap();
    w.run(secs(2));
    assert!(members(&w, "team").is_empty());
    w.leave_all();
    w.ends_clean();
}

#[test]
fn an_operator_plays_a_sound_turns_a_voice_up_and_takes_a_call_in() {
    let mut w = world(2, |_| {});
    let all = party(&mut w, 2);
    for who in &all {
        enter(&mut w, *who, "team");
        w.run(ms(700));
    }
    w.run(secs(3));
    let level = |w: &World, who: Who, hz: f32| w.ear(who).level(w.now, hz);
    let hears = |w: &World, who: Who, hz: f32| w.ear(who).hears(w.now, hz);
    let sound = Arc::new(media::Sound::tones(&[(1_500.0, 4_000)], -20.0));
    w.order("team", RoomOrder::Play(None, sound.clone())).unwrap();
    w.run(secs(2));
    assert!(hears(&w, all[0], 1_500.0) && hears(&w, all[1], 1_500.0));
    w.order("team", RoomOrder::Hush(None)).unwrap();
    w.run(secs(2));
    assert!(!hears(&w, all[0], 1_500.0) && !hears(&w, all[1], 1_500.0));
    let legs = members(&w, "team");
    w.order("team", RoomOrder::Play(Some(legs[1]), sound.clone()))
        .unwrap();
    w.run(secs(2));
    assert!(!hears(&w, all[0], 1_500.0) && hears(&w, all[1], 1_500.0));
    w.order("team", RoomOrder::Hush(Some(legs[1]))).unwrap();
    assert!(w.order("team", RoomOrder::Play(Some(LegId(7)), sound)).is_err());

    let (tone, before) = (330.0, level(&w, all[1], 330.0).unwrap());
    w.order("team", RoomOrder::Gain(legs[0], -12)).unwrap();
    w.run(secs(3));
    let after = level(&w, all[1], tone).unwrap();
    assert!((after - before + 12.0).abs() < 2.0, "{before} {after}");
    w.order("team", RoomOrder::Gain(legs[0], 0)).unwrap();

    // A call of its own comes in, with both parties, and goes back.
    let friend = w.phone("friend");
    w.set_tone(friend, 1_900.0);
    w.dial(friend, "conference/other");
    // A client that connects and says nothing is sent away after a while: this one comes only now.
    let late = w.client();
    w.set_tone(late, 700.0);
    enter(&mut w, late, "other");
    w.run(secs(1));
    let echo = w.phone("echo-caller");
    w.set_tone(echo, 2_300.0);
    w.dial(echo, "tone");
    w.run(secs(1));
    let call = w.gateway.exchange.snapshot(w.now, &everything()).calls;
    let call = call.iter().find(|c| c.dialled.contains("tone")).unwrap().call;
    w.order("team", RoomOrder::Take(call)).unwrap();
    w.run(secs(3));
    w.hears(all[0], echo);
    w.hears(echo, all[0]);
    w.hears_nothing_of(friend, echo);
    let sums = w.gateway.exchange.snapshot(w.now, &everything()).room_sums;
    assert_eq!((sums.rooms, sums.members), (2, 6));
    w.order("team", RoomOrder::Give(call)).unwrap();
    w.run(secs(3));
    w.hears_nothing_of(all[0], echo);
    w.hears_nothing_of(echo, all[0]);
    assert!(w.order("team", RoomOrder::Take(base::CallId(99))).is_err());
    for who in [all[1], friend, echo] {
        w.hang_up(who);
    }
    w.leave_all();
    w.run(secs(1));
    w.ends_clean();
}

fn everything() -> flashgate::exchange::Ask {
    flashgate::exchange::Ask {
        calls: 100,
        rooms: 100,
        ..flashgate::exchange::Ask::default()
    }
}

#[test]
fn a_room_calls_somebody_in() {
    let mut w = World::builder()
        .users(&["bob"])
        .config(|c| c.sip.inbound = flashgate::config::Access::Open)
        .build();
    let bob = w.registered_phone("bob");
    let client = w.client();
    w.set_tone(bob, 440.0);
    w.set_tone(client, 690.0);
    enter(&mut w, client, "team");
    w.run(secs(1));
    let dial = |target: &str| RoomOrder::Dial {
        target: target.to_owned(),
        user: None,
    };
    assert!(w.order("team", dial("nobody")).is_err());
    w.order("team", dial("bob")).unwrap();
    w.run(secs(4));
    w.hears(bob, client);
    w.hears(client, bob);
    w.hang_up(bob);
    w.run(secs(1));
    assert_eq!(members(&w, "team").len(), 1);
    w.leave(client);
    w.ends_clean();
}

#[test]
fn a_call_of_two_goes_into_a_room_and_back() {
    for shards in [1, 2] {
        let mut w = World::builder().shards(shards).users(&["bob"]).build();
        let bob = w.registered_phone("bob");
        let (alice, carol) = (w.client(), w.client());
        for (n, who) in [alice, bob, carol].into_iter().enumerate() {
            w.set_tone(who, 330.0 + 180.0 * n as f32);
        }
        w.call(alice, "bob");
        w.run(secs(1));
        enter(&mut w, carol, "team");
        w.run(secs(3));
        let all = [alice, bob, carol];
        all_hear(&w, &all, &[alice, bob]);
        let (now, exchange) = (w.now, &mut w.gateway.exchange);
        let (a, b) = exchange.call_legs(base::CallId(1)).unwrap();
        let legs = [a, b];
        for leg in legs {
            exchange.join_room(now, leg, "team", Role::Participant).unwrap();
            assert!(exchange.join_room(now, leg, "team", Role::Participant).is_err());
        }
        w.run(secs(3));
        all_hear(&w, &all, &all);
        let (now, exchange) = (w.now, &mut w.gateway.exchange);
        for leg in legs {
            exchange.leave_room(now, leg);
        }
        w.run(secs(3));
        all_hear(&w, &all, &[alice, bob]);
        w.hears_nothing_of(carol, bob);
        w.hang_up(bob);
        w.run(secs(2));
        w.leave_all();
        w.ends_clean();
    }
}

#[test]
fn a_room_adds_no_more_than_a_slot() {
    let delay = |target: &str, second: &str| {
        let mut w = World::builder().users(&["bob"]).build();
        let bob = w.registered_phone("bob");
        let client = w.client();
        if second == "bob" {
            w.dial(bob, target);
        }
        w.call(client, if second == "bob" { target } else { "bob" });
        w.run(secs(5));
        let from = w.now;
        w.run(secs(10));
        let ways = (w.delay(client, bob, from), w.delay(bob, client, from));
        w.hang_up(bob);
        w.run(secs(2));
        w.leave_all();
        w.ends_clean();
        ways
    };
    let (up, down) = delay("", "direct");
    let (room_up, room_down) = delay("conference/team", "bob");
    eprintln!(
        "client to phone {up:.1} ms, by a room {room_up:.1}; phone to client {down:.1}, by a room {room_down:.1}"
    );
    assert!(room_up <= up + 20.0 && room_down <= down + 20.0 + 1.0);
}

/// What somebody does who means harm, or has a bad day; the others are unbroken.
#[test]
fn a_stall_is_heard_by_nobody_else() {
    let mut w = world(1, |_| {});
    let all = party(&mut w, 4);
    for who in &all {
        enter(&mut w, *who, "team");
    }
    w.run(secs(4));
    let stalled: Time = w.now + secs(3);
    w.on(all[2]).read_nothing_before(stalled);
    for _ in 0..20 {
        w.run(ms(150));
        for listener in [all[0], all[1], all[3]] {
            for speaker in [all[0], all[1], all[3]] {
                if listener != speaker {
                    w.hears(listener, speaker);
                }
            }
        }
    }
    for who in all {
        exit(&mut w, who);
    }
    w.run(secs(1));
    w.ends_clean();
}

#[test]
fn listeners_of_the_live_stream_hear_a_room_and_are_not_heard() {
    for shards in [1, 3] {
        let mut w = world(shards, |c| c.conference.max_members = 3);
        let all = party(&mut w, 3);
        for who in &all {
            enter(&mut w, *who, "team");
        }
        let listeners = [w.client(), w.client(), w.phone("ears")];
        for (n, who) in listeners.into_iter().enumerate() {
            w.set_tone(who, 900.0 + 100.0 * n as f32);
        }
        for who in &listeners[..2] {
            w.on(*who).connect("live", true, None, Some("conference/team"));
        }
        w.dial(listeners[2], "live/conference/team");
        w.run(secs(4));
        all_hear(&w, &all, &all);
        for listener in listeners {
            for speaker in &all {
                w.hears(listener, *speaker);
                w.hears_nothing_of(*speaker, listener);
            }
        }
        // They take nobody's place, and nobody publishes there.
        assert_eq!(members(&w, "team").len(), 6);
        let loud = w.client();
        w.on(loud).connect("live", true, Some("conference/team"), None);
        w.run(secs(1));
        assert!(w.on(loud).status("NetStream.Publish.Denied").is_some());
        w.leave(listeners[0]);
        w.run(secs(1));
        assert_eq!(members(&w, "team").len(), 5);
        w.hang_up(listeners[2]);
        w.hang_up(all[1]);
        w.run(ms(200));
        w.leave_all();
        w.run(secs(1));
        w.ends_clean();
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the disk has its own time")]
fn a_recording_holds_what_was_said() {
    let folder = std::env::temp_dir().join(format!("flashgate-rooms-{}", std::process::id()));
    let _none = std::fs::remove_dir_all(&folder);
    let mut w = world(2, |c| {
        c.conference.recordings = Some(folder.to_str().unwrap().to_owned())
    });
    let all = party(&mut w, 4);
    enter(&mut w, all[0], "team");
    assert!(w.order("team", RoomOrder::Record(true)).is_err());
    w.run(secs(1));
    for who in &all[1..] {
        enter(&mut w, *who, "team");
    }
    w.run(secs(3));
    w.order("team", RoomOrder::Record(true)).unwrap();
    w.run(secs(4));
    // Whoever stood where it was recorded leaves: it goes on elsewhere.
    exit(&mut w, all[0]);
    exit(&mut w, all[2]);
    w.run(secs(4));
    w.order("team", RoomOrder::StopRecording).unwrap();
    w.run(secs(1));
    let events = w.gateway.exchange.take_room_events();
    for on in [true, false] {
        assert!(events.contains(&("team".to_owned(), RoomEvent::Recording(on))));
    }
    exit(&mut w, all[1]);
    exit(&mut w, all[3]);
    w.run(ms(200));
    let read = |name: &str| -> Vec<i16> {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        let told = u32::from_le_bytes(bytes[40..44].try_into().unwrap()) as usize;
        assert!(told <= bytes.len() - 44);
        bytes[44..44 + told]
            .chunks(2)
            .map(|b| i16::from_le_bytes([b[0], b[1]]))
            .collect()
    };
    // The disk has its own time.
    for _ in 0..100 {
        if read("team-0001.wav").len() > 16_000 * 79 / 10 {
            break;
        }
        std::thread::sleep(ms(20));
    }
    let mix = read("team-0001.wav");
    assert!(mix.len().abs_diff(16_000 * 8) < 16_000 / 5, "{}", mix.len());
    let level = |second: usize, n: usize| {
        let part = &mix[16_000 * second..16_000 * (second + 1)];
        codecs::tone::measure(part, 16_000, 330.0 + 90.0 * n as f32)
    };
    for n in 0..4 {
        assert!(level(2, n) > -28.0, "{n}: {}", level(2, n));
        let stays = n % 2 == 1;
        assert!((level(6, n) > -28.0) == stays, "{n}: {}", level(6, n));
    }
    let files = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(files, 5);
    let _gone = std::fs::remove_dir_all(&folder);
    w.ends_clean();
}

#[test]
fn no_recording_without_a_folder() {
    let mut w = world(1, |_| {});
    let who = w.client();
    enter(&mut w, who, "team");
    w.run(secs(1));
    assert_eq!(w.order("team", RoomOrder::Record(false)).unwrap_err().status, 403);
    w.leave(who);
    w.ends_clean();
}

#[test]
fn who_comes_and_goes_all_the_time_disturbs_nobody() {
    for shards in [1, 2] {
        let mut w = world(shards, |c| {
            c.limits.calls_per_second = 1_000;
            c.conference.tones = false;
        });
        let all = party(&mut w, 4);
        let stay = [all[0], all[1], all[2]];
        for who in stay {
            enter(&mut w, who, "team");
        }
        w.run(secs(4));
        for round in 0..150 {
            w.dial(all[3], "conference/team");
            w.run(ms(if round % 3 == 0 { 40 } else { 14 }));
            w.hang_up(all[3]);
            w.run(ms(6));
            for listener in stay {
                for speaker in stay.into_iter().filter(|s| *s != listener) {
                    w.hears(listener, speaker);
                }
            }
        }
        w.run(secs(2));
        all_hear(&w, &all, &stay);
        for who in stay {
            exit(&mut w, who);
        }
        w.run(secs(1));
        w.ends_clean();
    }
}
