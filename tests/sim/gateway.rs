//! The gateway in virtual time: the real exchange and shards, and the least that their drivers do around them.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base::{LegId, Rng, SessionId, ShardId, Time};
use call::{Intent, LineIntent};
use flashgate::config::Config;
use flashgate::daemon::Listening;
use flashgate::exchange::{self, Dial, Exchange};
use flashgate::shard::{self, Command, Event, LinkFrame, Shard};
use rtmfp::EndpointConfig;
use rtmfp::profile::random::Random;
use sip::{Destination, Source, Transport};

use crate::line::PORT;
use crate::lines::Lines;
use crate::tcp::Tcp;

/// The gateway's only address.
pub const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// The domain it serves.
pub const DOMAIN: &str = "gw.test";

/// Bounds and portions of the drivers (`src/exchange/driver.rs`, `src/shard/driver.rs`).
const COMMANDS: usize = 1_024;
const EVENTS: usize = 4_096;
const LINK_FRAMES: usize = 1_024;
const READ_CHUNK: usize = 4 * 1024;
const WRITE_CHUNK: usize = 8 * 1024;
/// Timers of the drivers are this coarse.
const GRAIN_NANOS: u64 = 1_000_000;

/// A datagram on its way.
#[derive(Clone, Debug)]
pub struct Datagram {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

#[derive(Debug)]
struct Session {
    shard: usize,
    /// Which connection of the world.
    tcp: usize,
    pending: Vec<u8>,
    written: usize,
    /// The socket would not take all.
    blocked: bool,
}

/// What is left in the gateway; all zero when nobody is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Population {
    pub exchange: [usize; 9],
    pub shards: (usize, usize),
    pub sessions: usize,
    pub ports: usize,
}

pub struct Gateway {
    pub exchange: Exchange,
    shards: Vec<Shard>,
    /// Which queue is served next is drawn: nothing may depend on it.
    rng: Rng,
    commands: Vec<VecDeque<Command>>,
    events: VecDeque<(ShardId, Event)>,
    links: Vec<VecDeque<LinkFrame>>,
    sessions: BTreeMap<SessionId, Session>,
    /// Bound RTP ports.
    legs: BTreeMap<LegId, (usize, u16)>,
    next_port: u16,
    next_session: u64,
    /// Connections to servers elsewhere that are wanted.
    pub dials: VecDeque<(ShardId, Dial)>,
    /// Datagrams for the network.
    pub sent: VecDeque<Datagram>,
    /// The last call has ended after a drain.
    pub drained: bool,
    /// The most bytes that ever waited for one client's socket.
    pub most_pending: usize,
    /// Sessions that a scenario speaks for in the words of `call::line`, and what they were told.
    pub lines: Lines,
    /// What the exchange said to the directory; a scenario answers for it.
    pub directory: Vec<exchange::DirectoryOrder>,
}

impl Gateway {
    pub fn new(config: &Config, shards: usize, mut rng: Rng, now: Time) -> Gateway {
        let sip = SocketAddr::new(ADDRESS, 5060);
        let listening = Listening {
            rtmp: vec![SocketAddr::new(ADDRESS, 1935)],
            sip_udp: vec![sip],
            sip_tcp: Vec::new(),
            ..Listening::default()
        };
        let settings = exchange::settings::exchange(config, &listening, shards).unwrap();
        let endpoint = exchange::settings::endpoint(config, &listening, &settings);
        let mut entropy = [0; 32];
        rng.fill(&mut entropy);
        let mut random = Random::new(entropy);
        let endpoint_config = shard::rtmfp_endpoint(config, shards, &mut random);
        let shard_settings = Arc::new(shard::Settings::new(config));
        Gateway {
            exchange: Exchange::new(
                Arc::new(settings),
                endpoint,
                Box::new(|_| ADDRESS),
                rng.fork(),
                &random.array(),
                now,
            ),
            shards: (0..shards)
                .map(|n| {
                    let mut shard = Shard::new(ShardId(n as u16), shard_settings.clone(), rng.fork());
                    let endpoint = EndpointConfig {
                        id_prefix: n as u8,
                        ..endpoint_config.clone()
                    };
                    shard.open_rtmfp(endpoint, random.array());
                    shard
                })
                .collect(),
            commands: vec![VecDeque::new(); shards],
            events: VecDeque::new(),
            links: vec![VecDeque::new(); shards],
            sessions: BTreeMap::new(),
            legs: BTreeMap::new(),
            next_port: 20_000,
            next_session: 0,
            dials: VecDeque::new(),
            sent: VecDeque::new(),
            drained: false,
            most_pending: 0,
            lines: Lines::default(),
            directory: Vec::new(),
            rng,
        }
    }

    /// Which shard has the fewest client sessions, as the acceptor asks.
    fn roomiest(&self) -> usize {
        let load = |s: &usize| self.sessions.values().filter(|x| x.shard == *s).count();
        (0..self.shards.len()).min_by_key(load).unwrap_or(0)
    }

    /// A client connects.
    pub fn accept(&mut self, now: Time, peer: SocketAddr, tcp: usize, tcps: &mut [Tcp]) {
        let shard = self.roomiest();
        self.next_session += 1;
        let id = SessionId(self.next_session);
        self.sessions.insert(
            id,
            Session {
                shard,
                tcp,
                pending: Vec::new(),
                written: 0,
                blocked: false,
            },
        );
        self.shards[shard].handle_accepted(now, id, peer);
        self.drain_shard(now, shard, tcps);
        self.settle(now, tcps);
    }

    /// A connection to a server elsewhere was made, or could not be.
    pub fn dialled(&mut self, now: Time, shard: ShardId, dial: Dial, tcp: Option<usize>, tcps: &mut [Tcp]) {
        let Dial { session, leg, remote } = dial;
        let shard = usize::from(shard.0);
        match tcp {
            Some(tcp) => {
                let io = Session {
                    shard,
                    tcp,
                    pending: Vec::new(),
                    written: 0,
                    blocked: false,
                };
                self.sessions.insert(session, io);
                self.shards[shard].handle_dialled(now, session, leg, remote);
                self.drain_shard(now, shard, tcps);
            }
            None => {
                let why = "connection refused".to_owned();
                self.exchange.handle_dial_failed(now, leg, session, why);
            }
        }
        self.settle(now, tcps);
    }

    /// A client on that connection wants something, as if its dialect had said so.
    pub fn intend(&mut self, now: Time, tcp: usize, intent: LineIntent, tcps: &mut [Tcp]) {
        let found = self.sessions.iter().find(|(_, s)| s.tcp == tcp);
        if let Some((id, shard)) = found.map(|(id, s)| (*id, s.shard)) {
            self.lines.speak_for(id, tcp);
            let intent = Intent::Line(intent);
            let event = Event::Intent { session: id, intent };
            self.events.push_back((ShardId(shard as u16), event));
        }
        self.settle(now, tcps);
    }

    /// A datagram has come from the network.
    pub fn datagram(&mut self, now: Time, datagram: &Datagram, tcps: &mut [Tcp]) {
        if datagram.to == SocketAddr::new(ADDRESS, 5060) {
            let source = Source {
                transport: Transport::Udp,
                local: datagram.to,
                remote: datagram.from,
                conn: None,
            };
            self.exchange.handle_datagram(now, source, &datagram.bytes);
        } else if datagram.to.port() == PORT {
            // Sessions to the shard in their id, others as the system deals them.
            let owner = rtmfp::packet::split(&datagram.bytes)
                .map(|(id, _)| id)
                .filter(|id| *id != 0);
            let shard = match owner {
                Some(id) => usize::from(id.to_be_bytes()[0]),
                None => usize::from(datagram.from.port()) % self.shards.len(),
            };
            if let Some(machine) = self.shards.get_mut(shard) {
                machine.handle_rtmfp(now, 0, datagram.from, &datagram.bytes);
                self.drain_shard(now, shard, tcps);
            }
        } else {
            let port = datagram.to.port();
            let owner = self.legs.iter().find(|(_, (_, rtp))| *rtp == port & !1);
            let Some((&leg, &(shard, _))) = owner else { return };
            if port.is_multiple_of(2) {
                self.shards[shard].handle_rtp(now, leg, datagram.from, &datagram.bytes);
            } else {
                self.shards[shard].handle_rtcp(now, leg, datagram.from, &datagram.bytes);
            }
            self.drain_shard(now, shard, tcps);
        }
        self.settle(now, tcps);
    }

    /// Looks at the sockets of the clients: what has come is read, what was held back is written.
    pub fn sockets(&mut self, now: Time, tcps: &mut [Tcp]) {
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            let Some(session) = self.sessions.get_mut(&id) else {
                continue;
            };
            let (shard, tcp) = (session.shard, session.tcp);
            tcps[tcp].down.run(now);
            if session.blocked && tcps[tcp].down.is_writable() {
                session.blocked = false;
                self.flush(now, id, tcps);
                self.drain_shard(now, shard, tcps);
            }
            loop {
                let bytes = tcps[tcp].up.read(now, READ_CHUNK);
                if bytes.is_empty() {
                    break;
                }
                self.shards[shard].handle_bytes(now, id, &bytes);
                self.drain_shard(now, shard, tcps);
            }
            if tcps[tcp].up.is_over() && self.sessions.contains_key(&id) {
                self.shards[shard].handle_closed(now, id);
                self.drain_shard(now, shard, tcps);
            }
        }
        self.settle(now, tcps);
    }

    pub fn timeout(&mut self, now: Time, tcps: &mut [Tcp]) {
        if self.exchange.poll_timeout().is_some_and(|at| at <= now) {
            self.exchange.handle_timeout(now);
        }
        for n in 0..self.shards.len() {
            if self.shards[n].poll_timeout().is_some_and(|at| at <= now) {
                self.shards[n].handle_timeout(now);
                self.drain_shard(now, n, tcps);
            }
        }
        self.settle(now, tcps);
    }

    pub fn poll_timeout(&self) -> Option<Time> {
        let shards = self.shards.iter().filter_map(Shard::poll_timeout).min();
        let at = base::earliest(self.exchange.poll_timeout(), shards)?;
        Some(Time::from_nanos(
            at.as_nanos().div_ceil(GRAIN_NANOS) * GRAIN_NANOS,
        ))
    }

    pub fn drain(&mut self, now: Time, tcps: &mut [Tcp]) {
        self.exchange.drain(now);
        self.settle(now, tcps);
    }

    pub fn hang_up_all(&mut self, now: Time, tcps: &mut [Tcp]) {
        self.exchange.hang_up_all(now);
        self.settle(now, tcps);
    }

    /// SRTP of all shards.
    pub fn srtp(&mut self, now: Time) -> shard::Srtp {
        let mut sum = shard::Srtp::default();
        for shard in &mut self.shards {
            let of = shard.figures(now, &shard::Look::Sums).srtp;
            sum.legs += of.legs;
            sum.forged += of.forged;
            sum.replayed += of.replayed;
        }
        sum
    }

    pub fn population(&self) -> Population {
        let shards = self.shards.iter().map(Shard::population);
        Population {
            exchange: self.exchange.population(),
            shards: shards.fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
            sessions: self.sessions.len(),
            ports: self.legs.len(),
        }
    }

    /// Serves the queues between exchange and shards until all are empty, one input after another.
    fn settle(&mut self, now: Time, tcps: &mut [Tcp]) {
        loop {
            self.drain_exchange(now);
            let shards = self.shards.len();
            let mut waiting: Vec<usize> = (0..shards).filter(|n| !self.commands[*n].is_empty()).collect();
            waiting.extend(
                (0..shards)
                    .filter(|n| !self.links[*n].is_empty())
                    .map(|n| shards + n),
            );
            if !self.events.is_empty() {
                waiting.push(2 * shards);
            }
            if waiting.is_empty() {
                return;
            }
            let pick = waiting[self.rng.below(waiting.len() as u64) as usize];
            if pick == 2 * shards {
                if let Some((shard, event)) = self.events.pop_front() {
                    self.exchange.handle_shard(now, shard, event);
                }
            } else if pick >= shards {
                if let Some(frame) = self.links[pick - shards].pop_front() {
                    self.shards[pick - shards].handle_link(now, frame);
                    self.drain_shard(now, pick - shards, tcps);
                }
            } else if let Some(command) = self.commands[pick].pop_front() {
                self.shards[pick].handle_command(now, command);
                self.drain_shard(now, pick, tcps);
            }
        }
    }

    fn drain_exchange(&mut self, now: Time) {
        while let Some(output) = self.exchange.poll_output() {
            match output {
                exchange::Output::Shard(shard, command) => {
                    let Some(command) = self.lines.take(now, command) else {
                        continue;
                    };
                    let queue = &mut self.commands[usize::from(shard.0)];
                    queue.push_back(command);
                    assert!(queue.len() <= COMMANDS, "too many commands at once");
                }
                exchange::Output::Sip(output) => match *output {
                    sip::Output::Send {
                        id,
                        transport,
                        remote,
                        bytes,
                        ..
                    } => {
                        if transport == Transport::Udp {
                            self.sent.push_back(Datagram {
                                from: SocketAddr::new(ADDRESS, 5060),
                                to: remote,
                                bytes,
                            });
                        } else {
                            self.exchange.handle_send_failed(now, id);
                        }
                    }
                    sip::Output::Lookup { id, uri } => {
                        self.exchange.handle_resolved(now, id, locate(&uri));
                    }
                    sip::Output::Event(_) => {}
                },
                exchange::Output::Dial(shard, dial) => self.dials.push_back((shard, dial)),
                exchange::Output::Directory(order) => self.directory.push(order),
                exchange::Output::Drained => self.drained = true,
            }
        }
    }

    fn drain_shard(&mut self, now: Time, n: usize, tcps: &mut [Tcp]) {
        let id = self.shards[n].id();
        while self.shards[n].has_output() {
            let (mut opened, mut shaken) = (None, None);
            let mut flush = None;
            let mut done = None;
            let mut sought = None;
            match self.shards[n].poll_output() {
                None => {}
                Some(shard::Output::Rtp { leg, to, bytes }) => {
                    if let Some((_, port)) = self.legs.get(&leg) {
                        self.sent.push_back(Datagram {
                            from: SocketAddr::new(ADDRESS, *port),
                            to,
                            bytes: bytes.to_vec(),
                        });
                    }
                }
                Some(shard::Output::Rtcp { leg, to, bytes }) => {
                    if let Some((_, port)) = self.legs.get(&leg) {
                        self.sent.push_back(Datagram {
                            from: SocketAddr::new(ADDRESS, *port + 1),
                            to,
                            bytes: bytes.to_vec(),
                        });
                    }
                }
                Some(shard::Output::OpenRtp { leg, ip }) => opened = Some((leg, ip)),
                Some(shard::Output::CloseRtp { leg }) => {
                    self.legs.remove(&leg);
                }
                Some(shard::Output::CloseSession { session }) => {
                    if let Some(session) = self.sessions.remove(&session) {
                        let down = &mut tcps[session.tcp].down;
                        down.write(now, &session.pending[session.written..]);
                        down.close();
                    }
                }
                Some(shard::Output::Flush { session }) => flush = Some(session),
                Some(shard::Output::Rtmfp { to, bytes, .. }) => self.sent.push_back(Datagram {
                    from: SocketAddr::new(ADDRESS, PORT),
                    to,
                    bytes: bytes.to_vec(),
                }),
                Some(shard::Output::DtlsWork { leg, work }) => shaken = Some((leg, work.run())),
                Some(shard::Output::RtmfpSeek { socket, seek }) => sought = Some((socket, seek)),
                Some(shard::Output::RtmfpWork { socket, work }) => done = Some((socket, work.run())),
                Some(shard::Output::Link { to, frame }) => {
                    let queue = &mut self.links[usize::from(to.0)];
                    if queue.len() < LINK_FRAMES {
                        queue.push_back(frame);
                    }
                }
                Some(shard::Output::Event(event)) => {
                    self.events.push_back((id, self.lines.adapt(event)));
                    assert!(self.events.len() <= EVENTS, "too many events at once");
                }
            }
            if let Some((leg, ip)) = opened {
                let port = self.next_port;
                self.next_port += 2;
                self.legs.insert(leg, (n, port));
                self.shards[n].handle_rtp_opened(now, leg, Some(SocketAddr::new(ip, port)));
            }
            if let Some((leg, done)) = shaken {
                self.shards[n].handle_dtls_done(now, leg, done);
            }
            if let Some((socket, done)) = done {
                self.shards[n].handle_rtmfp_work(now, socket, done);
            }
            if let Some((socket, seek)) = sought {
                for other in (0..self.shards.len()).filter(|other| *other != n) {
                    self.shards[other].handle_rtmfp_seek(now, socket, &seek);
                    self.drain_shard(now, other, tcps);
                }
            }
            if let Some(session) = flush {
                self.shards[n].flush_rtmfp(now, session);
                self.flush(now, session, tcps);
            }
        }
    }

    /// Writes what a session has to say as far as its socket takes it.
    fn flush(&mut self, now: Time, id: SessionId, tcps: &mut [Tcp]) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let down = &mut tcps[session.tcp].down;
        loop {
            if session.written == session.pending.len() {
                session.pending.clear();
                session.written = 0;
                let shard = &mut self.shards[session.shard];
                if shard.transmit(now, id, &mut session.pending, WRITE_CHUNK) == 0 {
                    return;
                }
            }
            self.most_pending = self.most_pending.max(session.pending.len());
            let taken = down.write(now, &session.pending[session.written..]);
            session.written += taken;
            if taken == 0 {
                session.blocked = true;
                return;
            }
        }
    }
}

/// Where a URI leads: numeric hosts to themselves, our domain to the gateway, all other names nowhere.
pub fn locate(uri: &sip::Uri) -> Vec<Destination> {
    let ip = uri
        .host()
        .ip()
        .or((uri.host().to_string() == DOMAIN).then_some(ADDRESS));
    let to = |ip| Destination {
        transport: uri
            .param("transport")
            .and_then(Transport::parse)
            .unwrap_or(Transport::Udp),
        addr: SocketAddr::new(ip, uri.port().unwrap_or(5060)),
    };
    ip.map(to).into_iter().collect()
}

/// How long the gateway keeps SIP state after the last message, at most: 64 T1 and what the timers add.
pub const LINGER: Duration = Duration::from_secs(45);
