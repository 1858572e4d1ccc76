//! Clients over RTMFP: the same calls, by datagrams.

use media::netem::NetemOptions;

use crate::client::Told;
use crate::world::{FAIR, NET_DELAY, World, ms, secs};

#[test]
fn a_client_over_rtmfp_and_a_phone_hear_each_other() {
    for shards in [1, 3] {
        let mut w = World::builder().users(&["bob"]).shards(shards).build();
        let bob = w.registered_phone("bob");
        let client = w.rtmfp_client();
        w.call(client, "bob");
        w.run(secs(4));
        assert!(w.on(client).was(&Told::PublishStarted) && w.on(client).was(&Told::PlayStarted));
        let begin = w.now;
        w.run(secs(10));
        w.hear_each_other(client, bob);
        // A frame is heard when it is whole, after two ways through the network.
        let wire = 20.0 + 2.0 * NET_DELAY.as_millis() as f64;
        let (there, back) = (
            w.delay(client, bob, begin) - wire,
            w.delay(bob, client, begin) - wire,
        );
        eprintln!("RTMFP to RTP: {there:.1} ms, back {back:.1} ms");
        assert!(there < 60.0 && back < 60.0, "{there} {back}");
        w.leave(client);
        w.run(secs(1));
        w.ends_clean();
    }
}

#[test]
fn the_far_end_hangs_up_and_the_client_is_told() {
    let mut w = World::builder().users(&["bob"]).build();
    let bob = w.registered_phone("bob");
    let client = w.rtmfp_client();
    w.call(client, "bob");
    w.run(secs(3));
    w.hang_up(bob);
    w.run(secs(4));
    assert!(
        w.on(client).status("NetStream.Play.Stop").is_some(),
        "{:?}",
        w.on(client).told
    );
    assert!(w.on(client).was(&Told::Disconnected));
    w.ends_clean();
}

#[test]
fn loss_costs_the_frames_that_are_lost_and_no_delay() {
    let mut w = World::builder().users(&["bob"]).build();
    let bob = w.registered_phone("bob");
    let client = w.rtmfp_client();
    w.call(client, "bob");
    w.run(secs(3));
    let bad = NetemOptions {
        loss: 0.05,
        delay: ms(40),
        ..FAIR
    };
    w.flow_weather(client, bad);
    w.run(secs(5));
    let begin = w.now;
    w.run(secs(40));
    w.hear_each_other(client, bob);
    let way = 40.0 + NET_DELAY.as_millis() as f64 + 20.0;
    let p95 = |marks: Vec<crate::ear::Mark>| {
        let mut delays: Vec<f64> = marks.iter().map(|m| m.delay.as_secs_f64() * 1e3).collect();
        delays.sort_by(f64::total_cmp);
        delays[delays.len() * 95 / 100] - way
    };
    let (there, back) = (p95(w.marks(client, bob, begin)), p95(w.marks(bob, client, begin)));
    eprintln!("5 % loss, 80 ms round trip, 95 of 100 marks: {there:.1} ms added, {back:.1} ms back");
    assert!(there < 200.0 && back < 250.0, "{there} {back}");
    w.leave(client);
    w.run(secs(1));
    w.ends_clean();
}

#[test]
fn a_client_whose_nat_forgets_it_keeps_its_call() {
    let mut w = World::builder().users(&["bob"]).shards(2).build();
    let bob = w.registered_phone("bob");
    let client = w.rtmfp_client();
    w.call(client, "bob");
    w.run(secs(3));
    w.rebind(client, "192.0.2.222:41001".parse().unwrap());
    w.run(secs(4));
    let begin = w.now;
    w.run(secs(5));
    w.hear_each_other(client, bob);
    assert!(!w.marks(client, bob, begin).is_empty() && !w.marks(bob, client, begin).is_empty());
    w.leave(client);
    w.run(secs(1));
    w.ends_clean();
}
