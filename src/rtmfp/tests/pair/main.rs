//! Two endpoints over a bad network, in virtual time, from a seed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod opening;
mod weather;
mod world;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::Rng;
use rtmfp::profile::certificate::{Discriminator, Identity};
use rtmfp::profile::dh::Group;
use rtmfp::profile::keying::{Offer, Protection};
use rtmfp::profile::random::Random;
use rtmfp::{CloseReason, Deadline, Handle, Order, Output, Priority, SessionEvent};

use world::{CLIENT, META, SERVER, Weather, World, message, ms};

#[test]
fn reliable_flows_deliver_all_in_order_whatever_the_network_does() {
    for (seed, loss) in [(1, 0.0), (2, 0.05), (3, 0.2), (4, 0.4), (5, 0.1), (6, 0.3)] {
        let weather = Weather {
            loss,
            duplicate: 0.1,
            corrupt: 0.02,
            delay: 40,
            jitter: 30,
            ..Weather::default()
        };
        let required = Protection {
            hmac: Offer::REQUIRED,
            sequence: Offer::REQUIRED,
            ..Protection::default()
        };
        let mut w = World::new(seed, weather, |_, c| {
            // A corrupted packet gets past the 16-bit checksum now and then; that is the protocol's, not ours.
            c.protection = required;
        });
        w.open();
        w.run_for(Duration::from_secs(60));
        let near = Handle(1);
        let flow = w.ends[CLIENT]
            .open_flow(near, META, None, Priority::Routine)
            .unwrap();
        let mut sizes = Rng::new(seed);
        let sent: Vec<Vec<u8>> = (0..300)
            .map(|n| {
                message(
                    n,
                    if n % 10 == 0 {
                        sizes.below(9000)
                    } else {
                        sizes.below(200)
                    } as usize,
                )
            })
            .collect();
        for (n, m) in sent.iter().enumerate() {
            assert!(w.ends[CLIENT].send(near, flow, m.clone(), None));
            if n % 5 == 0 {
                w.run_for(ms(20));
            }
        }
        w.ends[CLIENT].close_flow(near, flow);
        w.run_for(Duration::from_secs(100));
        let got: Vec<Vec<u8>> = w.messages(SERVER).into_iter().map(|(_, m)| m).collect();
        assert_eq!(got.len(), sent.len(), "loss {loss}");
        assert!(got == sent, "loss {loss}: order or content");
        assert!(
            w.saw(CLIENT, &SessionEvent::FlowComplete { flow }).is_some(),
            "loss {loss}"
        );
        assert!(
            w.saw(SERVER, &SessionEvent::FlowEnded { flow }).is_some(),
            "loss {loss}"
        );
        let now = w.local(CLIENT);
        w.ends[CLIENT].close(now, near);
        w.run_for(Duration::from_secs(100));
        assert!(w.saw(SERVER, &SessionEvent::Closed(CloseReason::Far)).is_some());
        assert_eq!(
            w.ends[CLIENT].population(),
            (0, 0),
            "no state outlives its session"
        );
        assert_eq!(w.ends[SERVER].population(), (0, 0));
    }
}

#[test]
fn every_kind_of_identity_and_protection_agrees() {
    let offers = [Offer::default(), Offer::WILLING, Offer::REQUIRED];
    let mut random = Random::new([9; 32]);
    let fixed = |random: &mut Random, server| {
        let keys = vec![rtmfp::profile::dh::KeyPair::generate(Group::Modp1024, random)];
        Identity::fixed(keys, server).map(Arc::new)
    };
    let server_static = fixed(&mut random, true);
    let client_ephemeral = Identity::server(&[Group::Modp1536, Group::Modp1024], &mut random).map(Arc::new);
    for (ephemeral_client, static_server) in [(false, false), (false, true), (true, false), (true, true)] {
        for near in offers {
            for far in offers {
                let mut w = World::new(1, Weather::default(), |n, c| {
                    let own = if n == SERVER { far } else { near };
                    c.protection = Protection {
                        hmac: own,
                        sequence: own,
                        hmac_len: 10 + n,
                    };
                    if n == SERVER && static_server {
                        c.server = server_static.clone();
                    }
                    if n == CLIENT && ephemeral_client {
                        c.client = client_ephemeral.clone();
                    }
                });
                let handle = w.open();
                w.run_for(Duration::from_secs(2));
                let refused = (near.request && !far.on_request) || (far.request && !near.on_request);
                let is_open = w.ends[CLIENT].nonces(handle).is_some();
                assert_eq!(is_open, !refused, "{near:?} {far:?}");
                if refused {
                    continue;
                }
                let ((near, far), (theirs, ours)) = (
                    w.ends[CLIENT].nonces(handle).unwrap(),
                    w.ends[SERVER].nonces(Handle(1)).unwrap(),
                );
                assert_eq!((near, far), (ours, theirs));
                let flow = w.ends[CLIENT]
                    .open_flow(handle, META, None, Priority::Routine)
                    .unwrap();
                w.ends[CLIENT].send(handle, flow, b"hello".to_vec(), None);
                w.run_for(ms(10));
                assert_eq!(w.messages(SERVER).len(), 1);
            }
        }
    }
}

#[test]
fn late_audio_is_given_up_and_the_rest_is_on_time() {
    for order in [Order::Arrival, Order::Queued] {
        let weather = Weather {
            loss: 0.05,
            delay: 40,
            ..Weather::default()
        };
        let mut w = World::new(7, weather, |_, _| {});
        let (near, far) = w.opened();
        let flow = w.ends[CLIENT]
            .open_flow(near, META, None, Priority::RealTime)
            .unwrap();
        let (count, life) = (1500u32, ms(150));
        let start = w.now;
        for n in 0..count {
            let deadline = Deadline {
                start: w.now + life,
                finish: w.now + life,
            };
            w.ends[CLIENT].send(near, flow, message(n, 60), Some(deadline));
            w.run_for(ms(20));
            w.ends[SERVER].set_order(far, flow, order);
        }
        w.run_for(Duration::from_secs(5));
        let got = w.messages(SERVER);
        let delays: Vec<Duration> = got
            .iter()
            .map(|(at, m)| {
                let n = u32::from_be_bytes(m[..4].try_into().unwrap());
                at.since(start + ms(20) * n)
            })
            .collect();
        assert!(got.len() > count as usize * 97 / 100, "{} of {count}", got.len());
        let latest = delays.iter().max().unwrap();
        if order == Order::Arrival {
            // What is sent at the deadline is one way later there.
            assert!(*latest <= life + ms(41), "{latest:?}");
            let on_time = delays.iter().filter(|d| **d <= ms(41)).count();
            assert!(on_time > count as usize * 93 / 100, "{on_time}");
        } else {
            assert!(*latest <= ms(600), "{latest:?}");
            assert!(got.windows(2).all(|w| w[0].1[..4] < w[1].1[..4]), "in order");
        }
        assert!(w.ends[CLIENT].session_stats(near).unwrap().send.retransmits > 20);
    }
}

#[test]
fn a_client_whose_address_changes_keeps_its_session() {
    let weather = Weather {
        delay: 20,
        ..Weather::default()
    };
    let mut w = World::new(3, weather, |_, _| {});
    let (near, far) = w.opened();
    let flow = w.ends[CLIENT]
        .open_flow(near, META, None, Priority::Routine)
        .unwrap();
    w.ends[CLIENT].send(near, flow, b"before".to_vec(), None);
    w.run_for(ms(500));
    let elsewhere: SocketAddr = "198.51.100.9:40000".parse().unwrap();
    w.addresses[CLIENT] = elsewhere;
    w.ends[CLIENT].send(near, flow, b"after".to_vec(), None);
    w.run_for(Duration::from_secs(10));
    assert_eq!(w.messages(SERVER).len(), 2);
    assert_eq!(w.ends[SERVER].address(far), Some(elsewhere));
    let back = w.ends[SERVER]
        .open_flow(far, META, Some(flow), Priority::Routine)
        .unwrap();
    w.ends[SERVER].send(far, back, b"answer".to_vec(), None);
    w.run_for(Duration::from_secs(1));
    assert_eq!(w.messages(CLIENT).len(), 1);
}

#[test]
fn a_change_of_address_during_the_handshake_is_answered_by_a_new_cookie() {
    let weather = Weather {
        delay: 20,
        ..Weather::default()
    };
    let mut w = World::new(3, weather, |_, _| {});
    w.open();
    w.run_for(ms(45));
    w.addresses[CLIENT] = "198.51.100.9:40000".parse().unwrap();
    // The keying left from the old address already; it is the repetition that comes from the new one.
    w.wire.clear();
    w.run_for(Duration::from_secs(10));
    assert_eq!(w.ends[SERVER].stats().accepted, 1);
    assert_eq!(w.ends[CLIENT].stats().initiated, 1);
}

#[test]
fn a_dead_peer_is_noticed_and_a_missing_one_too() {
    let mut w = World::new(3, Weather::default(), |_, _| {});
    w.opened();
    let died = w.now;
    w.addresses[CLIENT] = "198.51.100.9:1".parse().unwrap();
    w.weather.loss = 1.0;
    w.run_for(Duration::from_secs(60));
    let at = w.saw(SERVER, &SessionEvent::Closed(CloseReason::Silent)).unwrap();
    assert!(at.since(died) <= Duration::from_secs(45), "{:?}", at.since(died));
    assert_eq!(w.ends[SERVER].population(), (0, 0));
    w.open();
    w.run_for(Duration::from_secs(100));
    assert!(
        w.saw(CLIENT, &SessionEvent::Closed(CloseReason::Unanswered))
            .is_some()
    );
    assert_eq!(w.ends[CLIENT].population(), (0, 0));
}

#[test]
fn idle_sessions_live_by_pings_and_end_when_no_flow_is_left() {
    let weather = Weather {
        loss: 0.2,
        delay: 40,
        ..Weather::default()
    };
    let mut w = World::new(8, weather, |_, _| {});
    let (near, _) = w.opened();
    let flow = w.ends[CLIENT]
        .open_flow(near, META, None, Priority::Routine)
        .unwrap();
    w.ends[CLIENT].send(near, flow, b"x".to_vec(), None);
    w.run_for(Duration::from_secs(600));
    assert_eq!(w.ends[SERVER].population(), (1, 0), "kept for an open flow");
    w.ends[CLIENT].close_flow(near, flow);
    w.run_for(Duration::from_secs(400));
    assert_eq!(
        (w.ends[SERVER].population(), w.ends[CLIENT].population()),
        ((0, 0), (0, 0))
    );
}

#[test]
fn floods_get_few_answers_and_no_state() {
    let mut w = World::new(3, Weather::default(), |_, _| {});
    let server = w.addresses[SERVER];
    // A hello, as any client sends it.
    w.open();
    w.drain();
    let hello = w.wire.pop_first().unwrap().1.2;
    let mut sent = 0;
    for n in 0..10_000u16 {
        let from = SocketAddr::new("203.0.113.5".parse().unwrap(), n + 1);
        w.ends[SERVER].handle_datagram(w.now, from, &hello);
        while let Some(output) = w.ends[SERVER].poll_output(w.now) {
            assert!(matches!(output, Output::Transmit { .. }), "{output:?}");
            sent += 1;
        }
    }
    assert_eq!(sent, 20);
    assert_eq!(w.ends[SERVER].population(), (0, 0));
    // A keying that is good for one address is no good from another, and costs no arithmetic.
    w.ends[SERVER].handle_datagram(w.now, w.addresses[CLIENT], &hello);
    w.drain();
    let (_, (_, _, answer)) = w.wire.pop_first().unwrap();
    w.ends[CLIENT].handle_datagram(w.now, server, &answer);
    w.drain();
    let (_, (_, _, keying)) = w.wire.pop_first().unwrap();
    for n in 0..1000u16 {
        let from = SocketAddr::new("203.0.113.6".parse().unwrap(), n + 1);
        w.ends[SERVER].handle_datagram(w.now, from, &keying);
        while let Some(output) = w.ends[SERVER].poll_output(w.now) {
            assert!(!matches!(output, Output::Work(_)));
        }
    }
    // The same keying many times is one piece of arithmetic.
    let mut works = Vec::new();
    for _ in 0..50 {
        w.ends[SERVER].handle_datagram(w.now, w.addresses[CLIENT], &keying);
        while let Some(output) = w.ends[SERVER].poll_output(w.now) {
            match output {
                Output::Work(work) => works.push(work),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(works.len(), 1);
}

#[test]
fn a_repeated_keying_gets_the_identical_answer() {
    let mut w = World::new(3, Weather::default(), |_, _| {});
    w.open();
    let mut answers = Vec::new();
    let mut keying = None;
    for _ in 0..40 {
        w.drain();
        let Some((_, (from, to, datagram))) = w.wire.pop_first() else {
            break;
        };
        let n = w.addresses.iter().position(|a| *a == to).unwrap();
        if n == SERVER && datagram.len() > 250 {
            keying = Some((from, datagram.clone()));
        }
        if n == CLIENT && keying.is_some() {
            answers.push(datagram.clone());
            if answers.len() == 1 {
                let (from, datagram) = keying.clone().unwrap();
                w.ends[SERVER].handle_datagram(w.now, from, &datagram);
                continue;
            }
            break;
        }
        w.ends[n].handle_datagram(w.now, from, &datagram);
    }
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0], answers[1]);
    assert_eq!(w.ends[SERVER].stats().accepted, 1);
}

#[test]
fn peers_are_introduced_and_talk_directly() {
    let mut random = Random::new([4; 32]);
    let wanted = Identity::client(Group::Modp1024, &mut random)
        .map(Arc::new)
        .unwrap();
    let fingerprint = wanted.certificate().fingerprint();
    let weather = Weather {
        delay: 10,
        ..Weather::default()
    };
    let mut w = World::new(3, weather, |n, c| {
        c.introduce = n == SERVER;
        if n == CLIENT {
            c.client = Some(wanted.clone());
            c.server = Some(wanted.clone());
            c.answer_forwarded = true;
        }
    });
    let (_, far) = w.opened();
    let flow = w.ends[CLIENT]
        .open_flow(Handle(1), META, None, Priority::Routine)
        .unwrap();
    w.ends[CLIENT].send(Handle(1), flow, b"x".to_vec(), None);
    let epd = Discriminator::peer(fingerprint);
    let to = [w.addresses[SERVER]];
    // Not before it has told its addresses.
    let now = w.local(2);
    w.ends[2].open(now, &to, &epd);
    w.run_for(Duration::from_secs(2));
    assert_eq!(w.ends[2].stats().initiated, 0);
    w.ends[SERVER].set_addresses(far, Vec::new());
    w.run_for(Duration::from_secs(10));
    assert_eq!(w.ends[2].stats().initiated, 1);
    assert_eq!(w.ends[CLIENT].stats().accepted, 1);
    assert_eq!(w.ends[2].address(Handle(1)), Some(w.addresses[CLIENT]));
}

#[test]
fn a_rejected_flow_is_told_and_still_ends() {
    let weather = Weather {
        loss: 0.3,
        delay: 10,
        ..Weather::default()
    };
    let mut w = World::new(5, weather, |_, _| {});
    let (near, far) = w.opened();
    let flow = w.ends[CLIENT]
        .open_flow(near, META, None, Priority::Bulk)
        .unwrap();
    w.ends[CLIENT].send(near, flow, vec![0; 100_000], None);
    w.run_for(ms(200));
    w.ends[SERVER].reject_flow(far, flow, 7);
    w.run_for(Duration::from_secs(30));
    assert!(
        w.saw(CLIENT, &SessionEvent::FlowRejected { flow, code: 7 })
            .is_some()
    );
    assert!(w.saw(CLIENT, &SessionEvent::FlowComplete { flow }).is_some());
    assert!(!w.ends[CLIENT].send(near, flow, vec![1], None));
    // One that answers a flow which is not ours is refused by the protocol itself.
    let wrong = w.ends[CLIENT]
        .open_flow(near, META, Some(99), Priority::Bulk)
        .unwrap();
    w.ends[CLIENT].send(near, wrong, vec![0; 10], None);
    w.run_for(Duration::from_secs(10));
    assert!(
        w.saw(CLIENT, &SessionEvent::FlowRejected { flow: wrong, code: 0 })
            .is_some()
    );
}

#[test]
fn garbage_is_borne() {
    let mut w = World::new(3, Weather::default(), |_, _| {});
    let (_, _) = w.opened();
    let mut rng = Rng::new(77);
    for _ in 0..20_000 {
        let mut datagram = vec![0; rng.below(200) as usize];
        rng.fill(&mut datagram);
        let from = w.addresses[rng.below(2) as usize];
        w.ends[SERVER].handle_datagram(w.now, from, &datagram);
        w.drain();
    }
    assert_eq!(w.ends[SERVER].population(), (1, 0));
}
