//! How sessions come about: every group, large certificates, redirects, glare.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rtmfp::chunk::Chunk;
use rtmfp::option::{Address, Origin};
use rtmfp::packet::{self, Header};
use rtmfp::profile::certificate::{Discriminator, Identity};
use rtmfp::profile::cipher::{Opener, Sealer};
use rtmfp::profile::dh::{Group, KeyPair};
use rtmfp::profile::random::Random;
use rtmfp::{CloseReason, Event, Handle, Priority, SessionEvent};

use crate::world::{CLIENT, META, SERVER, Weather, World, ms};

fn fixed(groups: &[Group], server: bool, random: &mut Random) -> Option<Arc<Identity>> {
    let keys = groups.iter().map(|g| KeyPair::generate(*g, random)).collect();
    Identity::fixed(keys, server).map(Arc::new)
}

#[test]
fn each_group_agrees_with_static_and_ephemeral_keys() {
    let mut random = Random::new([7; 32]);
    for group in Group::ALL {
        for (lasting_client, lasting_server) in [(true, false), (true, true), (false, false), (false, true)] {
            let client = if lasting_client {
                fixed(&[group], false, &mut random)
            } else {
                Identity::server(&[group], &mut random).map(Arc::new)
            };
            let server = if lasting_server {
                fixed(&[group], true, &mut random)
            } else {
                Identity::server(&[group], &mut random).map(Arc::new)
            };
            let mut w = World::new(1, Weather::default(), |n, c| match n {
                CLIENT => c.client = client.clone(),
                _ => c.server = server.clone(),
            });
            let handle = w.open();
            w.run_for(Duration::from_secs(2));
            let what = format!("{group:?}, static: {lasting_client}, {lasting_server}");
            let (near, far) = w.ends[CLIENT].nonces(handle).expect(&what);
            assert_eq!(w.ends[SERVER].nonces(Handle(1)), Some((far, near)), "{what}");
        }
    }
}

#[test]
fn certificates_larger_than_a_datagram_go_in_parts() {
    let mut random = Random::new([8; 32]);
    let client = fixed(&Group::ALL, false, &mut random);
    let server = fixed(&Group::ALL, true, &mut random);
    assert!(client.as_ref().unwrap().certificate().bytes().len() > 1050);
    for loss in [0.0, 0.2] {
        let weather = Weather {
            loss,
            duplicate: 0.2,
            delay: 20,
            jitter: 30,
            ..Weather::default()
        };
        let mut w = World::new(11, weather, |n, c| match n {
            CLIENT => c.client = client.clone(),
            _ => c.server = server.clone(),
        });
        let handle = w.open();
        w.run_for(Duration::from_secs(94));
        assert!(w.ends[CLIENT].nonces(handle).is_some(), "loss {loss}");
    }
}

#[test]
fn a_redirect_is_followed() {
    let weather = Weather {
        delay: 10,
        ..Weather::default()
    };
    let mut w = World::new(3, weather, |_, _| {});
    // Nobody answers there.
    let asked = w.addresses[2];
    let epd = Discriminator::uri("rtmfp://192.0.2.3/live");
    let handle = w.ends[CLIENT].open(w.now, &[asked], &epd);
    w.drain();
    let (_, (_, to, hello)) = w.wire.pop_first().unwrap();
    assert_eq!(to, asked);
    let (id, sealed) = packet::split(&hello).unwrap();
    assert_eq!(id, 0);
    let mut scratch = Vec::new();
    let plain = Opener::startup().open(sealed, &mut scratch).unwrap();
    let (kind, payload) = Header::read(plain).unwrap().1.next().unwrap();
    let Some(Chunk::InitiatorHello { tag, .. }) = Chunk::read(kind, payload) else {
        panic!("no hello");
    };
    let mut addresses = Vec::new();
    let (addr, origin) = (w.addresses[SERVER], Origin::Relay);
    Address { addr, origin }.put(&mut addresses);
    let mut packet = Vec::new();
    Header::startup(0).put(&mut packet);
    Chunk::Redirect {
        tag,
        addresses: &addresses,
    }
    .put(&mut packet);
    let mut datagram = Vec::new();
    Sealer::startup().seal(0, &packet, &mut datagram);
    w.ends[CLIENT].handle_datagram(w.now, asked, &datagram);
    w.run_for(Duration::from_secs(2));
    assert_eq!(w.ends[CLIENT].address(handle), Some(w.addresses[SERVER]));
}

/// Two equals, each with a lasting identity, that answer each other.
fn peers(seed: u64, weather: Weather) -> (World, [Discriminator; 2]) {
    let mut random = Random::new([seed as u8; 32]);
    let ids: Vec<Arc<Identity>> = (0..2)
        .map(|_| fixed(&[Group::Modp1024], false, &mut random).unwrap())
        .collect();
    let epds = [&ids[0], &ids[1]].map(|id| Discriminator::peer(id.certificate().fingerprint()));
    let w = World::new(seed, weather, |n, c| {
        c.client = ids.get(n).cloned();
        c.server = ids.get(n).cloned();
    });
    (w, epds)
}

#[test]
fn two_that_call_each_other_at_once_have_one_session() {
    for seed in 1..12 {
        let weather = Weather {
            loss: if seed < 4 { 0.0 } else { 0.1 },
            delay: 30,
            jitter: if seed % 2 == 0 { 0 } else { 40 },
            ..Weather::default()
        };
        let (mut w, epds) = peers(seed, weather);
        let to: [SocketAddr; 2] = [w.addresses[0], w.addresses[1]];
        w.ends[0].open(w.now, &to[1..], &epds[1]);
        w.run_for(ms(seed % 3 * 20));
        w.ends[1].open(w.now, &to[..1], &epds[0]);
        w.run_for(Duration::from_secs(60));
        assert_eq!(w.ends[0].population(), (1, 0), "seed {seed}");
        assert_eq!(w.ends[1].population(), (1, 0), "seed {seed}");
        // It is the same one: what goes in here comes out there.
        let open = |n: usize| {
            let mut opened = w.events.iter().filter(|(_, end, ..)| *end == n);
            let opened = opened.rfind(|(.., e)| matches!(e, Event::Opened { .. }));
            opened.map(|(_, _, handle, _)| *handle).unwrap()
        };
        let (near, far) = (open(0), open(1));
        let nonces = w.ends[0].nonces(near).unwrap();
        assert_eq!(w.ends[1].nonces(far), Some((nonces.1, nonces.0)), "seed {seed}");
        let flow = w.ends[0].open_flow(near, META, None, Priority::Routine).unwrap();
        w.ends[0].send(near, flow, b"hello".to_vec(), None);
        w.run_for(Duration::from_secs(10));
        assert_eq!(w.messages(1).len(), 1, "seed {seed}");
    }
}

#[test]
fn one_peer_needs_one_session() {
    let (mut w, epds) = peers(3, Weather::default());
    let to = [w.addresses[1]];
    w.ends[0].open(w.now, &to, &epds[1]);
    w.run_for(Duration::from_secs(2));
    w.ends[0].open(w.now, &to, &epds[1]);
    w.run_for(Duration::from_secs(2));
    assert!(w.saw(0, &SessionEvent::Closed(CloseReason::Duplicate)).is_some());
    assert_eq!([w.ends[0].population(), w.ends[1].population()], [(1, 0); 2]);
}
