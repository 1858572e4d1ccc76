//! Streams on RTMP servers elsewhere, as legs of calls.

use call::Secret;
use codecs::CodecId;
use flashgate::config::{DialUrls, RemoteStream, Room};
use flashgate::exchange::RoomOrder;

use crate::phone::Told;
use crate::server::Mood;
use crate::world::{Builder, World, ms, secs};

fn builder(shards: usize) -> Builder {
    World::builder().shards(shards).users(&["bob"]).config(|c| {
        let remote = |name: &str, url: &str| RemoteStream {
            name: name.to_owned(),
            url: url.to_owned(),
        };
        c.rtmp.remote = vec![
            remote("webcast", "rtmp+publish:rtmp://198.51.100.1/live/key"),
            remote("7000", "rtmp+publish;codec=pcmu:rtmp://198.51.100.1/live/key"),
            remote("radio", "rtmp+play:rtmp://198.51.100.1/live/station"),
        ];
    })
}

#[test]
fn a_phone_is_webcast_and_heard_there() {
    for (shards, name, codec) in [(1, "webcast", CodecId::Aac), (3, "7000", CodecId::Pcmu)] {
        let mut w = builder(shards).build();
        let server = w.rtmp_server();
        let bob = w.registered_phone("bob");
        w.dial(bob, name);
        w.run(secs(3));
        assert!(w.at(bob).was(&Told::Answered));
        w.hears(server, bob);
        let there = w.there(server);
        assert_eq!(there.streams, ["key"]);
        assert_eq!(there.heard_codec, Some(codec));
        // Its time begins at zero and goes on without a gap.
        let times = &there.timestamps;
        assert!(times[0] < 100, "{times:?}");
        assert!(times.windows(2).all(|t| t[1] - t[0] <= 60), "{times:?}");
        w.hang_up(bob);
        w.run(secs(1));
        assert_eq!(w.there(server).population(), 0);
        w.ends_clean();
    }
}

#[test]
fn a_stream_elsewhere_is_brought_into_a_call() {
    for shards in [1, 2] {
        let mut w = builder(shards).build();
        let server = w.rtmp_server();
        let bob = w.registered_phone("bob");
        w.dial(bob, "radio");
        w.run(secs(3));
        w.hears(bob, server);
        assert_eq!(w.there(server).streams, ["station"]);
        w.hang_up(bob);
        w.run(secs(1));
        w.ends_clean();
    }
}

#[test]
fn a_client_brings_its_stream_elsewhere() {
    let mut w = builder(2)
        .config(|c| c.rtmp.outbound.dial = DialUrls::Open)
        .build();
    let server = w.rtmp_server();
    let client = w.client();
    let target = "rtmp+publish:rtmp://198.51.100.1/live/key?token=1";
    w.on(client).connect("call", true, Some(target), None);
    w.run(secs(3));
    w.hears(server, client);
    w.leave(client);
    w.run(secs(1));
    assert_eq!(w.there(server).population(), 0);
    w.ends_clean();
}

#[test]
fn urls_are_dialled_by_those_only_who_may() {
    let mut w = builder(1)
        .config(|c| c.sip.inbound = flashgate::config::Access::Open)
        .build();
    w.rtmp_server();
    let stranger = w.phone("stranger");
    w.dial(stranger, "rtmp+play%3Artmp%3A//198.51.100.1/live/station");
    w.run(secs(1));
    assert!(
        w.at(stranger).was(&Told::Failed(401)),
        "{:?}",
        w.at(stranger).told
    );
    w.ends_clean();
}

#[test]
fn a_server_that_dies_and_comes_back_finds_the_call_again() {
    let mut w = builder(1).build();
    let server = w.rtmp_server();
    let bob = w.registered_phone("bob");
    w.dial(bob, "webcast");
    w.run(secs(15));
    w.hears(server, bob);
    w.fail(server);
    w.run(secs(8));
    assert_eq!(w.there(server).connections, 1);
    w.there(server).mood = Mood::Open;
    w.run(secs(10));
    let there = w.there(server);
    assert_eq!((there.connections, there.population()), (2, 1));
    w.hears(server, bob);
    // The next loss is a new one: it is tried again at once.
    w.run(secs(10));
    w.fail(server);
    w.there(server).mood = Mood::Open;
    w.run(secs(3));
    w.hears(server, bob);
    w.hang_up(bob);
    w.run(secs(1));
    w.ends_clean();
}

#[test]
fn a_server_that_stays_away_ends_the_call_in_the_end() {
    let mut w = builder(1).config(|c| c.rtmp.outbound.give_up = secs(60)).build();
    let server = w.rtmp_server();
    let bob = w.registered_phone("bob");
    w.dial(bob, "radio");
    w.run(secs(3));
    w.fail(server);
    w.run(secs(55));
    assert!(!w.at(bob).is_idle());
    w.run(secs(40));
    assert!(w.at(bob).is_idle());
    w.ends_clean();
}

#[test]
fn a_server_that_refuses_or_is_not_there_refuses_the_call() {
    for (mood, after) in [
        (Mood::Refusing, ms(500)),
        (Mood::Down, ms(500)),
        (Mood::Mute, secs(11)),
    ] {
        let mut w = builder(1).build();
        let server = w.rtmp_server();
        let bob = w.registered_phone("bob");
        w.there(server).mood = mood;
        for name in ["webcast", "radio"] {
            w.dial(bob, name);
            w.run(after);
            assert!(w.at(bob).is_idle(), "{mood:?} {name}");
            assert!(!w.at(bob).was(&Told::Answered));
        }
        w.ends_clean();
    }
}

#[test]
fn a_room_is_webcast_and_the_server_may_come_and_go() {
    for shards in [1, 3] {
        let mut w = builder(shards).build();
        let server = w.rtmp_server();
        let people = [w.client(), w.client(), w.client()];
        for who in people {
            w.call(who, "conference/team");
        }
        w.run(secs(2));
        let url = || Secret::new("rtmp://198.51.100.1/live/key");
        w.order("team", RoomOrder::Webcast(url())).unwrap();
        w.order("team", RoomOrder::Webcast(url())).unwrap();
        w.run(secs(3));
        for who in people {
            w.hears(server, who);
        }
        w.fail(server);
        w.run(secs(5));
        w.hear_each_other(people[0], people[1]);
        w.there(server).mood = Mood::Open;
        w.run(secs(10));
        for who in people {
            w.hears(server, who);
        }
        assert_eq!(w.there(server).connections, 2);
        w.order("team", RoomOrder::StopWebcast(Some(url()))).unwrap();
        w.run(secs(2));
        w.hears_nothing_of(server, people[0]);
        assert_eq!(w.there(server).population(), 0);
        w.hear_each_other(people[0], people[2]);
        w.order("team", RoomOrder::Webcast(url())).unwrap();
        w.run(secs(2));
        w.hears(server, people[0]);
        // With the last who leaves the room is over, and its webcast.
        w.leave_all();
        w.run(secs(1));
        assert_eq!(w.there(server).population(), 0);
        w.ends_clean();
    }
}

#[test]
fn a_server_that_says_nothing_holds_no_room_up() {
    let mut w = builder(2)
        .config(|c| {
            c.conference.room = vec![Room {
                name: "team".to_owned(),
                webcast: vec![
                    "rtmp://198.51.100.1/live/key".to_owned(),
                    "rtmp+publish;codec=pcmu:rtmp://198.51.100.2/live/key".to_owned(),
                ],
                ..Room::default()
            }];
        })
        .build();
    let (mute, good) = (w.rtmp_server(), w.rtmp_server());
    w.there(mute).mood = Mood::Mute;
    let people = [w.client(), w.client()];
    for who in people {
        w.call(who, "conference/team");
    }
    w.run(secs(3));
    w.hear_each_other(people[0], people[1]);
    w.hears(good, people[0]);
    w.hears(good, people[1]);
    assert_eq!(w.there(good).heard_codec, Some(CodecId::Pcmu));
    w.run(secs(60));
    assert!(w.there(mute).connections > 1);
    w.hear_each_other(people[0], people[1]);
    w.leave_all();
    w.run(secs(1));
    w.ends_clean();
}

#[test]
fn a_player_of_aac_alone_hears_a_room_and_a_call() {
    let mut w = builder(2).build();
    let bob = w.registered_phone("bob");
    w.dial(bob, "conference/team");
    let player = w.client();
    w.on(player).decodes = Some(0x0400);
    w.on(player).connect("live", false, None, Some("conference/team"));
    w.run(secs(3));
    w.hears(player, bob);
    assert_eq!(w.on(player).heard_codec, Some(CodecId::Aac));
    w.hang_up(bob);
    w.leave(player);
    w.run(secs(1));
    w.ends_clean();
}
