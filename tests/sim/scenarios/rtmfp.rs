//! Clients over RTMFP: the same calls, by datagrams.

use base::Rng;
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

#[test]
fn clients_that_ask_for_each_other_are_introduced_and_talk_without_the_gateway() {
    for shards in [1, 2, 3] {
        let mut w = World::builder()
            .shards(shards)
            .config(|c| c.rtmfp.introduce = true)
            .build();
        let (alice, bob) = (w.rtmfp_client(), w.rtmfp_client());
        w.on(alice).connect("live", true, Some("alice"), None);
        w.on(bob).connect("live", true, None, Some("alice"));
        w.run(secs(4));
        assert!(w.on(bob).was(&Told::PlayStarted));
        let id = w.on(alice).flows().unwrap().id();
        let now = w.now;
        w.on(bob).flows().unwrap().meet(now, id);
        w.run(secs(3));
        let (a, b) = (w.on(alice).address, w.on(bob).address);
        assert_eq!(w.on(bob).flows().unwrap().direct.first().map(|d| d.1), Some(a));
        assert_eq!(w.on(alice).flows().unwrap().direct.first().map(|d| d.1), Some(b));
        // Both ways, one way through the network each: nothing of it passes the gateway.
        for (from, to) in [(alice, bob), (bob, alice)] {
            let flow = w.on(from).flows().unwrap().direct_flow();
            let begin = w.now;
            for n in 0..50u8 {
                let now = w.now;
                w.on(from)
                    .flows()
                    .unwrap()
                    .send_direct(now, flow, vec![8, 0, 0, 0, n, 0xB2]);
                w.run(ms(20));
            }
            w.run(ms(100));
            let heard = &w.on(to).flows().unwrap().direct_messages;
            assert_eq!(heard.len(), 50, "shards {shards}");
            assert_eq!(
                heard[0].0.since(begin),
                NET_DELAY * 2,
                "up one line and down the other"
            );
        }
        // The gateway still has both.
        assert!(!w.on(alice).was(&Told::Disconnected) && !w.on(bob).was(&Told::Disconnected));
        w.leave(alice);
        w.leave(bob);
        w.run(secs(10));
        w.ends_clean();
    }
}

#[test]
fn nobody_is_introduced_unless_the_gateway_is_told_to() {
    let mut w = World::builder().build();
    let (alice, bob) = (w.rtmfp_client(), w.rtmfp_client());
    w.on(alice).connect("live", true, Some("alice"), None);
    w.on(bob).connect("live", true, None, Some("alice"));
    w.run(secs(4));
    let id = w.on(alice).flows().unwrap().id();
    let now = w.now;
    w.on(bob).flows().unwrap().meet(now, id);
    w.run(secs(10));
    assert!(w.on(alice).flows().unwrap().direct.is_empty());
    assert!(w.on(bob).flows().unwrap().direct.is_empty());
    w.leave(alice);
    w.leave(bob);
    w.run(secs(10));
    w.ends_clean();
}

/// Delays of the marks from a client to a phone and back, ms, with 5 % loss and a round trip of 80 ms between client and
/// gateway.
fn delays_under_loss(seed: u64, over_rtmfp: bool) -> [Vec<f64>; 2] {
    let mut w = World::builder().users(&["bob"]).seed(seed).build();
    let bob = w.registered_phone("bob");
    let client = if over_rtmfp { w.rtmfp_client() } else { w.client() };
    w.call(client, "bob");
    w.run(secs(3));
    let (loss, delay) = (0.05, ms(40));
    if over_rtmfp {
        w.flow_weather(client, NetemOptions { loss, delay, ..FAIR });
    } else {
        let tcp = w.tcp(client);
        tcp.up.lose(Rng::new(seed), loss, delay);
        tcp.down.lose(Rng::new(seed + 100), loss, delay);
    }
    w.run(secs(5));
    let begin = w.now;
    w.run(secs(60));
    let delays = [(client, bob), (bob, client)].map(|(from, to)| {
        let marks = w.marks(from, to, begin);
        marks.iter().map(|m| m.delay.as_secs_f64() * 1e3).collect()
    });
    w.leave(client);
    w.run(secs(5));
    w.ends_clean();
    delays
}

#[test]
fn under_loss_half_the_delay_of_tcp() {
    let p95 = |over_rtmfp: bool| {
        let mut all: [Vec<f64>; 2] = Default::default();
        for seed in 1..=5 {
            let delays = delays_under_loss(seed, over_rtmfp);
            all.iter_mut().zip(delays).for_each(|(all, d)| all.extend(d));
        }
        all.map(|mut delays| {
            delays.sort_by(f64::total_cmp);
            let at = |percent: usize| delays[delays.len() * percent / 100];
            (at(50), at(95), delays.len())
        })
    };
    let (flows, stream) = (p95(true), p95(false));
    for (n, way) in ["to the phone", "to the client"].iter().enumerate() {
        eprintln!(
            "5 % loss, 80 ms round trip, {way}: RTMFP {:?}, RTMP {:?} (median ms, 95 of 100 ms, marks heard)",
            flows[n], stream[n]
        );
        assert!(flows[n].1 * 2.0 <= stream[n].1, "{way}");
        // As much is heard, too.
        assert!(flows[n].2 * 100 >= stream[n].2 * 97, "{way}");
    }
}
