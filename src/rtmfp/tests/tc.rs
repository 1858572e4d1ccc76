//! RTMP over flows: a client and a server through two endpoints over a bad network, in virtual time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::{Rng, Time};
use rtmfp::profile::certificate::{Discriminator, Identity};
use rtmfp::profile::dh::Group;
use rtmfp::profile::random::Random;
use rtmfp::tc::{client, server};
use rtmfp::{Endpoint, EndpointConfig, Event, Output, SessionEvent};
use rtmp::client::{ClientConfig, ConnectRequest, Event as ClientEvent};
use rtmp::server::{Event as ServerEvent, PublishKind, ServerConfig};

const DELAY: Duration = Duration::from_millis(40);

/// One client, one server.
struct World {
    now: Time,
    rng: Rng,
    loss: f64,
    ends: [Endpoint; 2],
    addresses: [SocketAddr; 2],
    wire: BTreeMap<(Time, u64), (usize, Vec<u8>)>,
    count: u64,
    client: client::Connection,
    server: Option<server::Connection>,
    server_config: ServerConfig,
    /// What each side saw, and what it heard: time of arrival, timestamp.
    said: [Vec<String>; 2],
    heard: [Vec<(Time, u32)>; 2],
}

impl World {
    fn new(seed: u64, loss: f64) -> World {
        World::with(seed, loss, ClientConfig::default())
    }

    fn with(seed: u64, loss: f64, client: ClientConfig) -> World {
        let mut random = Random::new([3; 32]);
        let config = EndpointConfig {
            server: Identity::server(&[Group::Modp1024], &mut random).map(Arc::new),
            cookie_secret: random.array(),
            ..EndpointConfig::default()
        };
        let now = Time::from_secs(1);
        let mut ends = [
            Endpoint::new(EndpointConfig::default(), [seed as u8; 32]),
            Endpoint::new(config, [seed as u8 + 1; 32]),
        ];
        let addresses = [
            "192.0.2.1:1935".parse().unwrap(),
            "192.0.2.2:1935".parse().unwrap(),
        ];
        let handle = ends[0].open(
            now,
            &addresses[1..],
            &Discriminator::uri("rtmfp://192.0.2.2/live"),
        );
        let local = vec!["192.0.2.1:1935".to_owned()];
        let mut client = client::Connection::new(client, handle, local, now);
        let mut request = ConnectRequest::player("live", "rtmfp://192.0.2.2/live");
        request.object_encoding = 3;
        client.connect(&request);
        World {
            now,
            rng: Rng::new(seed),
            loss,
            ends,
            addresses,
            wire: BTreeMap::new(),
            count: 0,
            client,
            server: None,
            server_config: ServerConfig::default(),
            said: Default::default(),
            heard: Default::default(),
        }
    }

    fn settle(&mut self) {
        loop {
            self.client_events();
            self.server_events();
            self.client.flush(self.now, &mut self.ends[0]);
            if let Some(server) = &mut self.server {
                server.flush(self.now, &mut self.ends[1]);
            }
            let mut idle = true;
            for n in 0..2 {
                while let Some(output) = self.ends[n].poll_output(self.now) {
                    idle = false;
                    self.output(n, output);
                }
            }
            if idle {
                return;
            }
        }
    }

    fn output(&mut self, n: usize, output: Output) {
        match output {
            Output::Transmit { datagram, .. } => {
                if !self.rng.chance(self.loss) {
                    self.count += 1;
                    self.wire
                        .insert((self.now + DELAY, self.count), (1 - n, datagram));
                }
            }
            Output::Seek(_) => {}
            Output::Work(work) => self.ends[n].handle_work(self.now, work.run()),
            Output::Event { handle, event } => match event {
                Event::Opened { .. } if n == 1 => {
                    self.server = Some(server::Connection::new(
                        self.server_config.clone(),
                        handle,
                        self.now,
                    ));
                }
                Event::Opened { .. } => {}
                Event::Session(event) => {
                    if let SessionEvent::Closed(reason) = &event {
                        self.said[n].push(format!("closed {reason:?}"));
                    }
                    if n == 0 {
                        self.client.handle_event(self.now, event);
                    } else if let Some(server) = &mut self.server {
                        server.handle_event(self.now, event);
                    }
                }
            },
        }
    }

    fn client_events(&mut self) {
        while let Some(event) = self.client.poll_event().unwrap() {
            match event {
                ClientEvent::Connected { .. } => {
                    self.said[0].push("connected".to_owned());
                    self.client.publish("up", PublishKind::Live);
                    self.client.play("down");
                }
                ClientEvent::PublishStarted { stream } => self.said[0].push(format!("publish {stream}")),
                ClientEvent::PlayStarted { stream } => self.said[0].push(format!("play {stream}")),
                ClientEvent::Audio { timestamp, .. } => self.heard[0].push((self.now, timestamp)),
                ClientEvent::StreamEof { stream } => {
                    let heard = self.heard[0].len();
                    self.said[0].push(format!("ended {stream} after {heard}"));
                }
                ClientEvent::Closed => self.said[0].push("bye".to_owned()),
                _ => {}
            }
        }
    }

    fn server_events(&mut self) {
        let Some(server) = &mut self.server else { return };
        loop {
            let Some(event) = server.poll_event().unwrap() else {
                return;
            };
            match event {
                ServerEvent::Connect(_) => server.session().accept_connect(),
                ServerEvent::Publish { stream, .. } => server.session().accept_publish(stream),
                ServerEvent::Play { stream, .. } => server.session().accept_play(stream),
                ServerEvent::Audio { timestamp, .. } => self.heard[1].push((self.now, timestamp)),
                ServerEvent::Unpublish { .. } => self.said[1].push("unpublish".to_owned()),
                ServerEvent::Closed => self.said[1].push("bye".to_owned()),
                _ => {}
            }
        }
    }

    fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.settle();
            let wire = self.wire.keys().next().map(|(at, _)| *at);
            let timers = self.ends.iter().filter_map(Endpoint::poll_timeout).min();
            let Some(next) = base::earliest(wire, timers).filter(|at| *at <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(next);
            if wire == Some(next) {
                let (_, (n, datagram)) = self.wire.pop_first().unwrap();
                let from = self.addresses[1 - n];
                self.ends[n].handle_datagram(self.now, from, &datagram);
            } else {
                self.ends.iter_mut().for_each(|e| e.handle_timeout(next));
            }
        }
    }
}

#[test]
fn a_client_publishes_and_plays_under_loss_without_delay_building_up() {
    for (seed, loss) in [(1, 0.0), (2, 0.05), (3, 0.2)] {
        let mut w = World::new(seed, loss);
        w.run_for(Duration::from_secs(20));
        for word in ["connected", "publish 1", "play 2"] {
            assert!(
                w.said[0].iter().any(|s| s == word),
                "loss {loss}: {:?}",
                w.said[0]
            );
        }
        let start = w.now;
        let frames = 1000u32;
        for n in 0..frames {
            let now = w.now;
            assert!(w.client.send_audio(now, 1, n * 20, &[&[0xB2], &[7; 50]]));
            let server = w.server.as_mut().unwrap();
            assert!(server.send_audio(now, 2, n * 20, &[&[0xB2], &[9; 50]]));
            w.run_for(Duration::from_millis(20));
        }
        w.run_for(Duration::from_secs(1));
        for heard in &w.heard {
            let share = heard.len() as f64 / f64::from(frames);
            assert!(share > 1.0 - loss * loss * 3.0 - 0.002, "loss {loss}: {share}");
            let mut delays: Vec<Duration> = heard
                .iter()
                .map(|(at, t)| at.since(start + Duration::from_millis(u64::from(*t))))
                .collect();
            delays.sort();
            let latest = Duration::from_millis(300) + DELAY;
            assert!(
                *delays.last().unwrap() <= latest,
                "loss {loss}: {:?}",
                delays.last()
            );
            assert_eq!(delays[delays.len() / 2], DELAY, "half are not held up by others");
        }
        w.client.close(w.now);
        w.run_for(Duration::from_secs(120));
        assert!(w.said[1].iter().any(|s| s == "unpublish"), "{:?}", w.said[1]);
        assert!(w.said[1].iter().any(|s| s == "bye"), "{:?}", w.said[1]);
        assert_eq!([w.ends[0].population(), w.ends[1].population()], [(0, 0); 2]);
    }
}

#[test]
fn a_server_that_hangs_up_says_so_before() {
    let mut w = World::new(4, 0.1);
    w.run_for(Duration::from_secs(20));
    let now = w.now;
    w.server.as_mut().unwrap().close(now, "the end");
    w.run_for(Duration::from_secs(120));
    assert!(w.said[0].iter().any(|s| s == "bye"), "{:?}", w.said[0]);
    assert_eq!([w.ends[0].population(), w.ends[1].population()], [(0, 0); 2]);
}

#[test]
fn the_end_of_a_stream_does_not_overtake_what_was_sent_before() {
    let patient = ClientConfig {
        audio_deadline: Duration::from_secs(20),
        ..ClientConfig::default()
    };
    let patience = patient.audio_deadline;
    let mut w = World::with(6, 0.0, patient);
    w.server_config.audio_deadline = patience;
    w.run_for(Duration::from_secs(5));
    // The network loses the audio and not the word that follows it.
    w.loss = 1.0;
    for n in 0..20 {
        assert!(w.client.send_audio(w.now, 1, n * 20, &[&[0xB2], &[7; 50]]));
    }
    w.settle();
    w.loss = 0.0;
    w.client.session().delete_stream(1);
    w.run_for(Duration::from_secs(10));
    assert!(w.said[1].iter().any(|s| s == "unpublish"), "{:?}", w.said[1]);
    assert_eq!(w.heard[1].len(), 20);
    // The other way.
    w.loss = 1.0;
    let now = w.now;
    let server = w.server.as_mut().unwrap();
    for n in 0..20 {
        assert!(server.send_audio(now, 2, n * 20, &[&[0xB2], &[9; 50]]));
    }
    w.settle();
    w.loss = 0.0;
    w.server.as_mut().unwrap().session().notify_unpublish(2);
    w.run_for(Duration::from_secs(10));
    let ended = w.said[0].iter().position(|s| s.starts_with("ended 2"));
    assert_eq!(
        w.said[0][ended.unwrap()],
        format!("ended 2 after {}", w.heard[0].len())
    );
}
