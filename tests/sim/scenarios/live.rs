//! Relayed streams.

use crate::client::Told;
use crate::world::{World, ms, secs};

fn world(shards: usize) -> World {
    World::builder().shards(shards).users(&["bob", "carol"]).build()
}

#[test]
fn every_player_hears_the_publisher_on_any_shards() {
    for shards in [1, 2, 3] {
        let mut w = world(shards);
        let early = w.client();
        w.on(early).connect("live", true, None, Some("cam"));
        w.run(ms(500));
        let publisher = w.client();
        w.on(publisher).connect("live", true, Some("cam"), None);
        w.run(secs(1));
        let late = w.client();
        w.on(late).connect("live", true, None, Some("cam"));
        w.run(secs(3));
        for player in [early, late] {
            w.hears(player, publisher);
        }
        w.leave(publisher);
        w.run(secs(2));
        for player in [early, late] {
            w.hears_nothing_of(player, publisher);
            w.leave(player);
        }
        w.ends_clean();
    }
}

#[test]
fn a_phone_that_calls_a_stream_hears_its_publisher() {
    for shards in [1, 2, 3] {
        let mut w = world(shards);
        let publisher = w.client();
        let player = w.client();
        w.on(publisher).connect("live", true, Some("cam"), None);
        w.on(player).connect("live", true, None, Some("cam"));
        w.run(secs(1));
        let bob = w.registered_phone("bob");
        let carol = w.registered_phone("carol");
        w.dial(bob, "live/cam");
        w.dial(carol, "cam");
        w.run(secs(3));
        w.hears(bob, publisher);
        w.hears(carol, publisher);
        w.hears(player, publisher);
        w.hears_nothing_of(player, bob);
        w.hang_up(bob);
        w.hang_up(carol);
        w.leave(publisher);
        w.leave(player);
        w.run(ms(200));
        w.ends_clean();
    }
}

#[test]
fn a_phone_feeds_a_stream_that_nobody_publishes_until_somebody_does() {
    for shards in [1, 2, 3] {
        let mut w = world(shards);
        let players = [w.client(), w.client()];
        for player in players {
            w.on(player).connect("live", true, None, Some("cam"));
        }
        w.run(ms(500));
        let bob = w.registered_phone("bob");
        w.dial(bob, "live/cam");
        w.run(secs(3));
        for player in players {
            w.hears(player, bob);
        }
        let publisher = w.client();
        w.on(publisher).connect("live", true, Some("cam"), None);
        w.run(secs(3));
        for player in players {
            w.hears(player, publisher);
            w.hears_nothing_of(player, bob);
        }
        w.hears(bob, publisher);
        w.leave(publisher);
        w.run(secs(2));
        for player in players {
            w.hears(player, bob);
        }
        w.hang_up(bob);
        w.run(ms(200));
        w.ends_clean();
    }
}

#[test]
fn a_name_has_one_publisher() {
    let mut w = world(2);
    let first = w.client();
    let second = w.client();
    w.on(first).connect("live", true, Some("cam"), None);
    w.run(ms(500));
    w.on(second).connect("live", true, Some("cam"), None);
    w.run(secs(1));
    assert!(w.on(first).was(&Told::PublishStarted));
    assert!(w.on(second).status("NetStream.Publish.BadName").is_some());
    w.leave(first);
    w.ends_clean();
}

#[test]
fn an_unknown_application_is_refused() {
    let mut w = world(1);
    let client = w.client();
    w.on(client).connect("vod", true, None, Some("film"));
    w.run(secs(2));
    assert!(
        w.on(client)
            .was(&Told::Rejected("NetConnection.Connect.InvalidApp".to_owned()))
    );
    w.ends_clean();
}

/// Publisher and player of one call on two shards: the other way frames cross between threads.
#[test]
fn the_halves_of_a_call_may_live_on_two_shards() {
    let mut w = world(2);
    let bob = w.registered_phone("bob");
    let publisher = w.client();
    let player = w.client_beside(publisher);
    w.on(publisher).connect("call", true, Some("bob"), None);
    w.on(player).connect("call", true, None, Some("bob"));
    w.run(secs(4));
    w.hears(bob, publisher);
    w.hears(player, bob);
    w.hang_up(bob);
    w.run(secs(2));
    w.ends_clean();
}
