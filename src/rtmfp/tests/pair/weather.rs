//! Properties that hold whatever the network does: loss, reordering, duplication, corruption, a narrow path, changes of
//! address, clocks that drift.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use base::{Rng, Time};
use proptest::prelude::*;
use rtmfp::profile::keying::{Offer, Protection};
use rtmfp::{Deadline, Endpoint, Event, Handle, Order, Priority, SessionEvent};

use crate::world::{CLIENT, META, SERVER, Weather, World, message, ms};

/// A bad day.
#[derive(Clone, Debug)]
struct Storm {
    seed: u64,
    weather: Weather,
    drift: [i64; 2],
    epoch: [u64; 2],
    /// When the client's address changes, in ms of the transfer.
    rebind: Option<u64>,
}

fn storm() -> impl Strategy<Value = Storm> {
    let weather = (
        0.0..0.4,
        0.0..0.3,
        0.0..0.03,
        1u64..150,
        0u64..60,
        prop::sample::select(vec![0usize, 0, 1199, 800, 576]),
    );
    let weather = weather.prop_map(|(loss, duplicate, corrupt, delay, jitter, mtu)| Weather {
        loss,
        duplicate,
        corrupt,
        delay,
        jitter,
        mtu,
    });
    let clocks = (
        prop::array::uniform2(-500i64..500),
        prop::array::uniform2(0u64..1_000_000),
    );
    (0u64..1 << 32, weather, clocks, prop::option::of(0u64..3_000)).prop_map(
        |(seed, weather, (drift, epoch), rebind)| Storm {
            seed,
            weather,
            drift,
            epoch,
            rebind,
        },
    )
}

/// Endpoints in a storm, with an open session unless the network was too bad for that.
fn opened(storm: &Storm) -> Option<(World, Handle, Handle)> {
    // A corrupted packet gets past the 16-bit checksum now and then; that is the protocol's, not ours.
    let protection = Protection {
        hmac: Offer::REQUIRED,
        sequence: Offer::REQUIRED,
        ..Protection::default()
    };
    let mut w = World::new(storm.seed, storm.weather, |_, c| c.protection = protection);
    for n in 0..2 {
        w.drift[n] = storm.drift[n];
        w.epoch[n] = ms(storm.epoch[n]);
    }
    let near = w.open();
    w.run_for(Duration::from_secs(96));
    // Of several that the server opened, the one that the client knows too.
    let nonces = w.ends[CLIENT].nonces(near)?;
    let opened = w
        .events
        .iter()
        .filter(|(_, n, _, e)| *n == SERVER && matches!(e, Event::Opened { .. }));
    let far = opened
        .map(|(_, _, handle, _)| *handle)
        .find(|far| w.ends[SERVER].nonces(*far) == Some((nonces.1, nonces.0)))?;
    w.events.clear();
    Some((w, near, far))
}

/// Neither end knows anything any more.
fn nothing_is_left(w: &mut World) {
    w.run_for(Duration::from_secs(300));
    for n in [CLIENT, SERVER] {
        assert_eq!(w.ends[n].population(), (0, 0), "end {n}");
        assert_eq!(Endpoint::poll_timeout(&w.ends[n]), None, "end {n}");
    }
    assert!(w.wire.is_empty());
}

fn rebind(w: &mut World, storm: &Storm, passed: Duration) {
    let elsewhere: SocketAddr = "198.51.100.9:40000".parse().unwrap();
    if storm.rebind.is_some_and(|at| passed >= ms(at)) {
        w.addresses[CLIENT] = elsewhere;
    }
}

proptest! {
    #[test]
    fn reliable_flows_deliver_all_in_order(storm in storm()) {
        let Some((mut w, near, far)) = opened(&storm) else {
            return Ok(());
        };
        let mut rng = Rng::new(storm.seed);
        let mut sent: [Vec<Vec<u8>>; 2] = Default::default();
        let flows = [(CLIENT, near), (SERVER, far)].map(|(n, handle)| {
            let flow = w.ends[n].open_flow(handle, META, None, Priority::Routine).unwrap();
            (n, handle, flow)
        });
        let start = w.now;
        for count in 0..60 {
            for (n, handle, flow) in flows {
                let len = if count % 10 == 0 { rng.below(9000) } else { rng.below(300) };
                let m = message(count, len as usize);
                assert!(w.ends[n].send(handle, flow, m.clone(), None));
                sent[n].push(m);
            }
            w.run_for(ms(rng.below(100)));
            let passed = w.now.since(start);
            rebind(&mut w, &storm, passed);
        }
        for (n, handle, flow) in flows {
            w.ends[n].close_flow(handle, flow);
        }
        let died = |w: &World| w.events.iter().any(|(.., e)| matches!(e, Event::Session(SessionEvent::Closed(_))));
        for _ in 0..300 {
            let complete = |n: usize, flow| w.saw(n, &SessionEvent::FlowComplete { flow }).is_some();
            if died(&w) || flows.iter().all(|(n, _, flow)| complete(*n, *flow)) {
                break;
            }
            w.run_for(Duration::from_secs(1));
        }
        for n in [CLIENT, SERVER] {
            let got: Vec<Vec<u8>> = w.messages(n).into_iter().map(|(_, m)| m).collect();
            // A network so bad that the session was given up delivers what it delivered in order all the same.
            let wanted = &sent[1 - n];
            let wanted = if died(&w) { &wanted[..got.len()] } else { &wanted[..] };
            prop_assert!(got == wanted, "end {}: {} of {}", n, got.len(), sent[1 - n].len());
        }
        prop_assert!(!died(&w) || storm.weather.loss > 0.25, "given up");
        let now = w.local(SERVER);
        w.ends[SERVER].close(now, far);
        nothing_is_left(&mut w);
    }

    #[test]
    fn what_is_late_is_never_delivered(storm in storm(), life in 20u64..600, queued in any::<bool>()) {
        let Some((mut w, near, far)) = opened(&storm) else {
            return Ok(());
        };
        let flow = w.ends[CLIENT].open_flow(near, META, None, Priority::RealTime).unwrap();
        w.ends[CLIENT].send(near, flow, message(0, 4), None);
        for _ in 0..60 {
            if w.messages(SERVER).is_empty() {
                w.run_for(Duration::from_secs(1));
            }
        }
        let order = if queued { Order::Queued } else { Order::Arrival };
        w.ends[SERVER].set_order(far, flow, order);
        let start = w.now;
        let mut sent: Vec<Time> = vec![start];
        for n in 1..200u32 {
            let until = w.local(CLIENT) + ms(life);
            let deadline = Deadline { start: until, finish: until };
            let size = if n % 20 == 0 { 2_000 } else { 60 };
            w.ends[CLIENT].send(near, flow, message(n, size), Some(deadline));
            sent.push(w.now);
            w.run_for(ms(20));
            let passed = w.now.since(start);
            rebind(&mut w, &storm, passed);
        }
        w.run_for(Duration::from_secs(20));
        let number = |m: &[u8]| u32::from_be_bytes(m[..4].try_into().unwrap());
        let got: Vec<(Time, u32)> = w.messages(SERVER).iter().map(|(at, m)| (*at, number(m))).collect();
        // What leaves in time is one way later there.
        let way = ms(life + storm.weather.delay + storm.weather.jitter + 2);
        let seen: BTreeSet<u32> = got.iter().map(|(_, n)| *n).collect();
        prop_assert_eq!(seen.len(), got.len(), "something came twice");
        for (at, n) in got.iter().skip(1) {
            let delay = at.since(sent[*n as usize]);
            prop_assert!(queued || delay <= way, "message {}: {:?}", n, delay);
        }
        if queued {
            prop_assert!(got.windows(2).all(|w| w[0].1 < w[1].1), "order");
        }
        let now = w.local(CLIENT);
        w.ends[CLIENT].close(now, near);
        nothing_is_left(&mut w);
    }
}
