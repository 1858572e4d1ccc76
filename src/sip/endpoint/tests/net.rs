//! Endpoints joined by a seeded network in virtual time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use base::{ConnId, Rng, Time};

use crate::endpoint::{Endpoint, EndpointConfig, Event, Listener, Output};
use crate::parse_datagram;
use crate::transport::{Source, Transport};

/// What the network does to datagrams; TCP is spared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    pub(super) loss: f64,
    pub(super) copies: f64,
    /// Delay in milliseconds, from and to: a spread reorders.
    pub(super) delay: (u64, u64),
}

pub(super) const FAIR: Weather = Weather {
    loss: 0.0,
    copies: 0.0,
    delay: (10, 10),
};

struct Packet {
    from: SocketAddr,
    to: SocketAddr,
    transport: Transport,
    bytes: Vec<u8>,
}

pub(super) struct Net {
    pub(super) now: Time,
    pub(super) nodes: Vec<Endpoint>,
    pub(super) events: Vec<Vec<Event>>,
    pub(super) weather: Weather,
    pub(super) rng: Rng,
    flying: BTreeMap<(Time, u64), Packet>,
    count: u64,
}

pub(super) fn address(node: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1 + node as u8], 5060))
}

impl Net {
    pub(super) fn new(nodes: usize, seed: u64, weather: Weather) -> Net {
        let mut rng = Rng::new(seed);
        let nodes: Vec<Endpoint> = (0..nodes)
            .map(|n| {
                let config = EndpointConfig {
                    domains: vec![format!("{}.test", char::from(b'a' + n as u8))],
                    listeners: vec![
                        Listener::new(Transport::Udp, address(n)),
                        Listener::new(Transport::Tcp, address(n)),
                    ],
                    ..EndpointConfig::default()
                };
                Endpoint::new(config, rng.fork())
            })
            .collect();
        Net {
            now: Time::from_secs(1),
            events: nodes.iter().map(|_| Vec::new()).collect(),
            nodes,
            weather,
            rng,
            flying: BTreeMap::new(),
            count: 0,
        }
    }

    /// Takes what the endpoints want sent; call after each command.
    pub(super) fn drain(&mut self) {
        for n in 0..self.nodes.len() {
            while let Some(out) = self.nodes[n].poll_output() {
                match out {
                    Output::Event(event) => self.events[n].push(event),
                    Output::Lookup { id, .. } => {
                        let now = self.now;
                        self.nodes[n].handle_resolved(now, id, Vec::new());
                    }
                    Output::Send {
                        transport,
                        remote,
                        bytes,
                        ..
                    } => self.post(n, transport, remote, bytes),
                }
            }
        }
    }

    fn post(&mut self, from: usize, transport: Transport, to: SocketAddr, bytes: Vec<u8>) {
        let udp = transport == Transport::Udp;
        let copies = if !udp {
            1
        } else if self.rng.chance(self.weather.loss) {
            0
        } else {
            1 + usize::from(self.rng.chance(self.weather.copies))
        };
        for _ in 0..copies {
            let (least, most) = self.weather.delay;
            // A stream keeps its order.
            let delay = if udp {
                least + self.rng.below(most - least + 1)
            } else {
                least
            };
            self.count += 1;
            let packet = Packet {
                from: address(from),
                to,
                transport,
                bytes: bytes.clone(),
            };
            let at = self.now + Duration::from_millis(delay);
            self.flying.insert((at, self.count), packet);
        }
    }

    /// When the next thing happens.
    pub(super) fn next(&self) -> Option<Time> {
        let timers = self.nodes.iter().filter_map(Endpoint::poll_timeout).min();
        let packet = self.flying.keys().next().map(|(at, _)| *at);
        base::earliest(timers, packet)
    }

    /// One thing happens, if any does before `end`.
    pub(super) fn step(&mut self, end: Time) -> bool {
        self.drain();
        let Some(at) = self.next().filter(|at| *at <= end) else {
            self.now = self.now.max(end);
            return false;
        };
        self.now = self.now.max(at);
        let now = self.now;
        if let Some((&key, _)) = self.flying.iter().next()
            && key.0 <= now
        {
            let packet = self.flying.remove(&key).unwrap();
            let to = (0..self.nodes.len()).find(|n| address(*n) == packet.to);
            if let Some(n) = to {
                let udp = packet.transport == Transport::Udp;
                let source = Source {
                    transport: packet.transport,
                    local: packet.to,
                    remote: packet.from,
                    conn: (!udp).then_some(ConnId(u64::from(packet.from.port()))),
                };
                self.nodes[n].handle_message(now, source, parse_datagram(&packet.bytes));
            }
        } else {
            for node in &mut self.nodes {
                node.handle_timeout(now);
            }
        }
        self.drain();
        true
    }

    pub(super) fn run(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while self.step(end) {}
    }

    pub(super) fn take(&mut self, node: usize) -> Vec<Event> {
        std::mem::take(&mut self.events[node])
    }

    /// After all timers nothing is left anywhere.
    #[track_caller]
    pub(super) fn leaves_nothing(&mut self) {
        self.run(600_000);
        for (n, node) in self.nodes.iter().enumerate() {
            assert_eq!((n, node.calls(), node.transactions()), (n, 0, 0));
            assert!(node.dialogs.is_empty() && node.timers.len() == 0, "{n}");
        }
    }
}
