//! The two endpoints, a third one, and the network between them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::{Rng, Time};
use rtmfp::profile::certificate::{Discriminator, Identity};
use rtmfp::profile::dh::Group;
use rtmfp::profile::random::Random;
use rtmfp::{Endpoint, EndpointConfig, Event, Handle, Output, SessionEvent};

pub(crate) const CLIENT: usize = 0;
pub(crate) const SERVER: usize = 1;
/// Metadata as RTMP over flows has them.
pub(crate) const META: &[u8] = b"TC\x04\x00";

pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What the network does to datagrams.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    pub(crate) loss: f64,
    pub(crate) duplicate: f64,
    pub(crate) corrupt: f64,
    /// One way, ms.
    pub(crate) delay: u64,
    /// More, up to so many ms, at random: packets overtake each other.
    pub(crate) jitter: u64,
    /// UDP payloads beyond so many bytes do not get through; 0: all do.
    pub(crate) mtu: usize,
}

pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) rng: Rng,
    pub(crate) weather: Weather,
    pub(crate) ends: Vec<Endpoint>,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) wire: BTreeMap<(Time, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    pub(crate) count: u64,
    /// How much the clock of each end is too fast, parts per million, and what it showed when all began.
    pub(crate) drift: [i64; 3],
    pub(crate) epoch: [Duration; 3],
    pub(crate) events: Vec<(Time, usize, Handle, Event)>,
}

impl World {
    pub(crate) fn new(seed: u64, weather: Weather, configure: impl Fn(usize, &mut EndpointConfig)) -> World {
        let end = |n: usize| {
            let mut random = Random::new([n as u8 + 1; 32]);
            let mut config = EndpointConfig {
                cookie_secret: random.array(),
                ..EndpointConfig::default()
            };
            if n == SERVER {
                let groups = [Group::Modp1024, Group::Modp1536];
                config.server = Identity::server(&groups, &mut random).map(Arc::new);
            }
            configure(n, &mut config);
            Endpoint::new(config, [seed as u8 ^ n as u8; 32])
        };
        World {
            now: Time::from_secs(5),
            rng: Rng::new(seed),
            weather,
            ends: vec![end(CLIENT), end(SERVER), end(2)],
            addresses: (1..=3)
                .map(|n| format!("192.0.2.{n}:1935").parse().unwrap())
                .collect(),
            wire: BTreeMap::new(),
            count: 0,
            drift: [0; 3],
            epoch: [Duration::ZERO; 3],
            events: Vec::new(),
        }
    }

    /// What the clock of an end shows.
    pub(crate) fn local(&self, n: usize) -> Time {
        let rate = u128::try_from(1_000_000 + self.drift[n]).unwrap();
        let ns = u128::from(self.now.as_nanos()) * rate / 1_000_000;
        Time::from_nanos(u64::try_from(ns).unwrap()) + self.epoch[n]
    }

    /// When the clock of an end shows `local`.
    fn global(&self, n: usize, local: Time) -> Time {
        let rate = u128::try_from(1_000_000 + self.drift[n]).unwrap();
        let ns = local.since(Time::ZERO + self.epoch[n]).as_nanos() * 1_000_000;
        Time::from_nanos(u64::try_from(ns.div_ceil(rate)).unwrap())
    }

    pub(crate) fn drain(&mut self) {
        for n in 0..self.ends.len() {
            let now = self.local(n);
            while let Some(output) = self.ends[n].poll_output(now) {
                match output {
                    Output::Transmit { to, datagram } => self.send(self.addresses[n], to, datagram),
                    Output::Seek(_) => {}
                    Output::Work(work) => self.ends[n].handle_work(now, work.run()),
                    Output::Event { handle, event } => self.events.push((self.now, n, handle, event)),
                }
            }
        }
    }

    pub(crate) fn send(&mut self, from: SocketAddr, to: SocketAddr, datagram: Vec<u8>) {
        assert!(datagram.len() <= 1200, "{} bytes", datagram.len());
        let copies = 1 + u64::from(self.rng.chance(self.weather.duplicate));
        for _ in 0..copies {
            let large = self.weather.mtu > 0 && datagram.len() > self.weather.mtu;
            if large || self.rng.chance(self.weather.loss) {
                continue;
            }
            let mut datagram = datagram.clone();
            if self.rng.chance(self.weather.corrupt) {
                let at = self.rng.below(datagram.len() as u64) as usize;
                datagram[at] ^= 1 << self.rng.below(8);
            }
            let delay = self.weather.delay + self.rng.below(self.weather.jitter + 1);
            self.count += 1;
            self.wire
                .insert((self.now + ms(delay), self.count), (from, to, datagram));
        }
    }

    /// Runs until nothing is left to be done before `until`.
    pub(crate) fn run(&mut self, until: Time) {
        loop {
            self.drain();
            let wire = self.wire.keys().next().map(|(at, _)| *at);
            let due = |n: usize| self.ends[n].poll_timeout().map(|at| self.global(n, at));
            let timers = (0..self.ends.len()).filter_map(due).min();
            let Some(next) = base::earliest(wire, timers).filter(|at| *at <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(next);
            if wire == Some(next) {
                let (_, (from, to, datagram)) = self.wire.pop_first().unwrap();
                if let Some(n) = self.addresses.iter().position(|a| *a == to) {
                    let now = self.local(n);
                    self.ends[n].handle_datagram(now, from, &datagram);
                }
            } else {
                for n in 0..self.ends.len() {
                    let now = self.local(n);
                    self.ends[n].handle_timeout(now);
                }
            }
        }
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        self.run(self.now + time);
    }

    pub(crate) fn open(&mut self) -> Handle {
        let to = [self.addresses[SERVER]];
        let now = self.local(CLIENT);
        self.ends[CLIENT].open(now, &to, &Discriminator::uri("rtmfp://192.0.2.2/live"))
    }

    /// Opens a session and gives both handles.
    pub(crate) fn opened(&mut self) -> (Handle, Handle) {
        let near = self.open();
        self.run_for(Duration::from_secs(20));
        let open = |n: usize| {
            let found = self
                .events
                .iter()
                .find(|(_, end, _, e)| *end == n && matches!(e, Event::Opened { .. }));
            found.map(|(_, _, handle, _)| *handle)
        };
        assert_eq!(open(CLIENT), Some(near));
        (near, open(SERVER).unwrap())
    }

    pub(crate) fn messages(&self, n: usize) -> Vec<(Time, Vec<u8>)> {
        self.events
            .iter()
            .filter(|(_, end, ..)| *end == n)
            .filter_map(|(at, _, _, event)| match event {
                Event::Session(SessionEvent::Message { data, .. }) => Some((*at, data.clone())),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn saw(&self, n: usize, wanted: &SessionEvent) -> Option<Time> {
        self.events
            .iter()
            .find(|(_, end, _, e)| *end == n && matches!(e, Event::Session(e) if e == wanted))
            .map(|(at, ..)| *at)
    }
}

pub(crate) fn message(n: u32, len: usize) -> Vec<u8> {
    let mut out = n.to_be_bytes().to_vec();
    out.resize(len.max(4), n as u8);
    out
}
