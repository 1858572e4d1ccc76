//! An endpoint with an open session against any plain packets under the session's key: each is a length byte, a step of
//! time, and bytes. Whatever comes, it answers within bounds.
#![no_main]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::Time;
use libfuzzer_sys::fuzz_target;
use rtmfp::chunk::Chunk;
use rtmfp::packet::{self, Header};
use rtmfp::profile::certificate::{Certificate, Discriminator, Identity};
use rtmfp::profile::cipher::{Opener, Sealer};
use rtmfp::profile::dh::{Group, KeyPair};
use rtmfp::profile::keying::{InitiatorKeying, Protection};
use rtmfp::profile::random::Random;
use rtmfp::tc::server::Connection;
use rtmfp::{Endpoint, EndpointConfig, Event, Output};
use rtmp::server::{Event as RtmpEvent, ServerConfig};

/// Short exponents, so that most of the time goes into packets.
fn identity(exponent: u8, server: bool) -> Identity {
    let pair = KeyPair::from_exponent(Group::Modp1024, vec![0x1F, exponent]).unwrap();
    Identity::fixed(vec![pair], server).unwrap()
}

/// The datagrams an endpoint sends; its work is done, its events go to `tell`.
fn run(now: Time, endpoint: &mut Endpoint, mut tell: impl FnMut(Event, rtmfp::Handle)) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    while let Some(output) = endpoint.poll_output(now) {
        match output {
            Output::Transmit { datagram, .. } => sent.push(datagram),
            Output::Seek(_) => {}
            Output::Work(work) => endpoint.handle_work(now, work.run()),
            Output::Event { handle, event } => tell(event, handle),
        }
        assert!(sent.len() < 5_000, "one packet must not cause many");
    }
    sent
}

fn startup(chunk: &Chunk<'_>) -> Vec<u8> {
    let mut packet = Vec::new();
    Header::startup(1).put(&mut packet);
    chunk.put(&mut packet);
    let mut datagram = Vec::new();
    Sealer::startup().seal(0, &packet, &mut datagram);
    datagram
}

fn answer(datagram: &[u8], read: impl FnOnce(Chunk<'_>)) {
    let (_, sealed) = packet::split(datagram).unwrap();
    let mut scratch = Vec::new();
    let packet = Opener::startup().open(sealed, &mut scratch).unwrap();
    let (kind, payload) = Header::read(packet).unwrap().1.next().unwrap();
    read(Chunk::read(kind, payload).unwrap());
}

fuzz_target!(|bytes: &[u8]| {
    let (near, far) = (identity(1, false), identity(2, true));
    let config = EndpointConfig {
        server: Some(Arc::new(far)),
        ..EndpointConfig::default()
    };
    let mut endpoint = Endpoint::new(config, [7; 32]);
    let from: SocketAddr = "192.0.2.1:1935".parse().unwrap();
    let mut now = Time::from_secs(1);
    let epd = Discriminator::uri("rtmfp://a/b").bytes();
    endpoint.handle_datagram(now, from, &startup(&Chunk::InitiatorHello { epd: &epd, tag: &[0; 16] }));
    let hello = run(now, &mut endpoint, |_, _| {});
    let (mut cookie_, mut certificate_) = (Vec::new(), Vec::new());
    answer(&hello[0], |chunk| {
        let Chunk::ResponderHello { cookie, certificate, .. } = chunk else {
            panic!("{chunk:?}")
        };
        cookie_ = cookie.to_vec();
        certificate_ = certificate.to_vec();
    });
    let far = Certificate::read(&certificate_).unwrap();
    let keying = InitiatorKeying::new(&near, &far, &Protection::default(), &mut Random::new([3; 32])).unwrap();
    endpoint.handle_datagram(
        now,
        from,
        &startup(&Chunk::InitiatorKeying {
            session: 5,
            cookie: &cookie_,
            certificate: near.certificate().bytes(),
            component: &keying.component,
            signature: b"X",
        }),
    );
    let mut connection = None;
    let answers = run(now, &mut endpoint, |_, handle| {
        connection = Some(Connection::new(ServerConfig::default(), handle, now));
    });
    let mut connection = connection.unwrap();
    let mut made = None;
    answer(&answers[0], |chunk| {
        let Chunk::ResponderKeying { session, component, .. } = chunk else {
            panic!("{chunk:?}")
        };
        made = Some((session, keying.combine(component).unwrap()));
    });
    let (id, keys) = made.unwrap();
    let mut sealer = keys.send.sealer();

    let mut rest = bytes;
    while let Some(([len, step], tail)) = rest.split_first_chunk::<2>() {
        let (packet, tail) = tail.split_at(tail.len().min(usize::from(*len) * 4));
        rest = tail;
        now += Duration::from_millis(u64::from(*step).pow(2));
        // The initiator's mark, or nothing gets through.
        let mut packet = packet.to_vec();
        if let Some(flags) = packet.first_mut() {
            *flags = *flags & !3 | 1;
        }
        let mut datagram = Vec::new();
        sealer.seal(id, &packet, &mut datagram);
        endpoint.handle_timeout(now);
        endpoint.handle_datagram(now, from, &datagram);
        loop {
            let mut events = 0;
            run(now, &mut endpoint, |event, _| {
                events += 1;
                if let Event::Session(event) = event {
                    connection.handle_event(now, event);
                }
            });
            while let Ok(Some(event)) = connection.poll_event() {
                match event {
                    RtmpEvent::Connect(_) => connection.session().accept_connect(),
                    RtmpEvent::Publish { stream, .. } => connection.session().accept_publish(stream),
                    RtmpEvent::Play { stream, .. } => {
                        connection.session().accept_play(stream);
                        connection.send_audio(now, stream, 0, &[&[0xB2, 1]]);
                    }
                    _ => {}
                }
            }
            connection.flush(now, &mut endpoint);
            if events == 0 {
                break;
            }
        }
    }
    now += Duration::from_secs(300);
    for _ in 0..50 {
        endpoint.handle_timeout(now);
        run(now, &mut endpoint, |_, _| {});
        now += Duration::from_secs(10);
    }
    assert_eq!(endpoint.population(), (0, 0), "no state outlives its session");
});
