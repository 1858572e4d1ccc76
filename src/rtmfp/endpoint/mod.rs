//! One UDP socket and the many sessions on it, in both roles.

mod config;
mod cookie;
mod fragments;
mod initiate;
#[cfg(test)]
mod replay;
mod respond;
mod work;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base::Time;

use crate::chunk::Chunk;
use crate::flow::{Deadline, Order, Priority};
use crate::packet::{self, Chunks, Header, Mode};
use crate::params;
use crate::profile::certificate::{Discriminator, Fingerprint};
use crate::profile::cipher::{Opener, Sealer};
use crate::profile::keying::Protection;
use crate::profile::random::Random;
use crate::session::{CloseReason, Session, SessionConfig, SessionEvent, SessionStats, Start, State};

pub use config::EndpointConfig;
use fragments::Reassembly;
use initiate::Opening;
pub use work::{Done, Work};

/// Names a session of an endpoint; never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub u64);

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What an endpoint wants done.
#[derive(Debug)]
pub enum Output {
    /// Send a datagram.
    Transmit {
        /// Where to.
        to: SocketAddr,
        /// The datagram.
        datagram: Vec<u8>,
    },
    /// Somebody looks for a peer that has no session here: other endpoints of the same server may know it. Give it to
    /// their [`Endpoint::handle_seek`].
    Seek(Seek),
    /// Run this where it harms nobody and give the result to [`Endpoint::handle_work`].
    Work(Work),
    /// Something happened.
    Event {
        /// The session.
        handle: Handle,
        /// What happened.
        event: Event,
    },
}

/// Somebody looks for a peer by its fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seek {
    pub(super) from: SocketAddr,
    pub(super) wanted: Fingerprint,
    pub(super) epd: Vec<u8>,
    pub(super) tag: Vec<u8>,
}

/// How the open sessions of an endpoint fare now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// Open sessions.
    pub sessions: usize,
    /// Those whose round trip is known.
    pub measured: usize,
    /// Sum of their smoothed round trips.
    pub rtt: Duration,
    /// The longest of them.
    pub worst_rtt: Duration,
    /// Sum of the congestion windows of all, bytes.
    pub window: usize,
}

impl Paths {
    /// Adds the sessions of another endpoint.
    pub fn merge(&mut self, other: &Paths) {
        self.sessions += other.sessions;
        self.measured += other.measured;
        self.rtt += other.rtt;
        self.worst_rtt = self.worst_rtt.max(other.worst_rtt);
        self.window += other.window;
    }
}

/// What happens to sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A session is open.
    Opened {
        /// Where the peer is.
        from: SocketAddr,
        /// Who it is.
        peer: Fingerprint,
        /// Whether we opened it.
        initiated: bool,
    },
    /// Something in an open session; after [`SessionEvent::Closed`] the handle is void.
    Session(SessionEvent),
}

/// Counters of an endpoint; they only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointStats {
    /// Datagrams received.
    pub datagrams_in: u64,
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// Sessions opened by others.
    pub accepted: u64,
    /// Sessions opened by us.
    pub initiated: u64,
    /// Datagrams for no session, or malformed.
    pub stray: u64,
    /// Hellos not answered: too many from one address.
    pub hello_limited: u64,
    /// Keyings with a cookie that was forged or old.
    pub bad_cookie: u64,
    /// Keyings refused because too many are under way or open.
    pub full: u64,
    /// Keyings whose certificate or component did not fit.
    pub bad_keying: u64,
    /// Peers introduced to others.
    pub introduced: u64,
    /// Sum over the sessions that are over.
    pub sessions: SessionStats,
}

impl EndpointStats {
    /// Adds the counters of another endpoint.
    pub fn merge(&mut self, other: &EndpointStats) {
        self.datagrams_in += other.datagrams_in;
        self.datagrams_out += other.datagrams_out;
        self.accepted += other.accepted;
        self.initiated += other.initiated;
        self.stray += other.stray;
        self.hello_limited += other.hello_limited;
        self.bad_cookie += other.bad_cookie;
        self.full += other.full;
        self.bad_keying += other.bad_keying;
        self.introduced += other.introduced;
        self.add(&other.sessions);
    }

    fn add(&mut self, s: &SessionStats) {
        let t = &mut self.sessions;
        t.packets_in += s.packets_in;
        t.packets_out += s.packets_out;
        t.rejected += s.rejected;
        t.timeouts += s.timeouts;
        t.send.messages += s.send.messages;
        t.send.retransmits += s.send.retransmits;
        t.send.abandoned += s.send.abandoned;
    }
}

/// Sources whose hellos are counted at once.
const MAX_COUNTED: usize = 4096;

/// Many sessions on one socket.
///
/// Give it datagrams, the results of work and the time; after each of them call [`Endpoint::poll_output`] until `None`.
#[derive(Debug)]
pub struct Endpoint {
    config: EndpointConfig,
    random: Random,
    next_handle: u64,
    sessions: BTreeMap<Handle, Session>,
    by_id: BTreeMap<u32, Handle>,
    by_address: BTreeMap<SocketAddr, Handle>,
    by_peer: BTreeMap<Fingerprint, Handle>,
    per_ip: BTreeMap<IpAddr, usize>,
    openings: BTreeMap<Handle, Opening>,
    /// Keyings under way: the initiator's address and session id.
    keyings: BTreeSet<(SocketAddr, u32)>,
    /// Hellos answered in the current second.
    hellos: BTreeMap<IpAddr, u32>,
    hello_second: u64,
    outputs: VecDeque<Output>,
    /// Sessions that may have something to send.
    dirty: VecDeque<Handle>,
    deadlines: BTreeSet<(Time, Handle)>,
    startup: (Opener, Sealer),
    reassembly: Reassembly,
    /// Packets sent in parts so far.
    fragmented: u64,
    /// When real-time packets last came and went: sessions with the newest, and the time of the newest of others.
    critical_in: Newest,
    critical_out: Option<Time>,
    scratch: Vec<u8>,
    packet: Vec<u8>,
    stats: EndpointStats,
}

/// The two newest times of different sessions.
#[derive(Clone, Copy, Debug, Default)]
struct Newest {
    first: Option<(Handle, Time)>,
    other: Option<Time>,
}

impl Newest {
    fn note(&mut self, handle: Handle, at: Time) {
        match self.first {
            Some((first, _)) if first == handle => {}
            Some((_, time)) => self.other = Some(time),
            None => {}
        }
        self.first = Some((handle, at));
    }

    /// The newest of a session other than `handle`.
    fn besides(&self, handle: Handle) -> Option<Time> {
        match self.first {
            Some((first, _)) if first == handle => self.other,
            Some((_, time)) => Some(time),
            None => None,
        }
    }
}

fn is_recent(at: Option<Time>, now: Time) -> bool {
    at.is_some_and(|at| now.since(at) <= params::TIME_CRITICAL_MEMORY)
}

impl Endpoint {
    /// An endpoint with 32 bytes of the operating system's randomness.
    pub fn new(config: EndpointConfig, entropy: [u8; 32]) -> Endpoint {
        Endpoint {
            config,
            random: Random::new(entropy),
            next_handle: 0,
            sessions: BTreeMap::new(),
            by_id: BTreeMap::new(),
            by_address: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            per_ip: BTreeMap::new(),
            openings: BTreeMap::new(),
            keyings: BTreeSet::new(),
            hellos: BTreeMap::new(),
            hello_second: 0,
            outputs: VecDeque::new(),
            dirty: VecDeque::new(),
            deadlines: BTreeSet::new(),
            startup: (Opener::startup(), Sealer::startup()),
            reassembly: Reassembly::default(),
            fragmented: 0,
            critical_in: Newest::default(),
            critical_out: None,
            scratch: Vec::new(),
            packet: Vec::new(),
            stats: EndpointStats::default(),
        }
    }

    /// Takes a datagram.
    pub fn handle_datagram(&mut self, now: Time, from: SocketAddr, datagram: &[u8]) {
        self.stats.datagrams_in += 1;
        let Some((id, sealed)) = packet::split(datagram) else {
            self.stats.stray += 1;
            return;
        };
        if id == 0 {
            return self.handle_startup(now, from, None, sealed);
        }
        match self.by_id.get(&id).copied() {
            Some(handle) if self.openings.contains_key(&handle) => {
                self.handle_startup(now, from, Some(handle), sealed);
            }
            Some(handle) => self.handle_session_packet(now, from, handle, sealed),
            None => self.stats.stray += 1,
        }
    }

    fn handle_session_packet(&mut self, now: Time, from: SocketAddr, handle: Handle, sealed: &[u8]) {
        let any_critical = is_recent(self.critical_out, now);
        let Some(session) = self.sessions.get_mut(&handle) else {
            return;
        };
        let forwarded = session.handle_packet(now, from, sealed, any_critical, &mut self.scratch);
        if let Some(at) = session.received_critical {
            self.critical_in.note(handle, at);
        }
        self.touch(now, handle);
        if let Some((epd, to, tag)) = forwarded
            && self.config.answer_forwarded
        {
            self.answer_hello(now, to, &epd, &tag);
        }
    }

    /// A packet of the default key: for nobody yet, or for a session being opened.
    fn handle_startup(&mut self, now: Time, from: SocketAddr, opening: Option<Handle>, sealed: &[u8]) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut opened = false;
        if let Ok(packet) = self.startup.0.open(sealed, &mut scratch)
            && let Some((header, chunks)) = Header::read(packet)
            && header.mode == Mode::Startup
        {
            opened = true;
            self.startup_chunks(now, from, opening, chunks, true);
        }
        self.scratch = scratch;
        if !opened {
            match opening.and_then(|h| self.openings.get_mut(&h)) {
                // Session packets may overtake the answer that makes them readable.
                Some(opening) => opening.keep_early(from, sealed),
                None => self.stats.stray += 1,
            }
        }
    }

    /// Takes the chunks of a packet of the default key; with `parts`, of one that arrived as such.
    fn startup_chunks(
        &mut self,
        now: Time,
        from: SocketAddr,
        opening: Option<Handle>,
        chunks: Chunks<'_>,
        parts: bool,
    ) {
        // One answer to a packet at most.
        let mut answered = false;
        for (kind, payload) in chunks {
            match (Chunk::read(kind, payload), opening) {
                (
                    Some(Chunk::Fragment {
                        more,
                        packet,
                        number,
                        data,
                    }),
                    _,
                ) if parts => {
                    let part = fragments::Part { more, number, data };
                    let Some(whole) = self.reassembly.take(now, (from, opening, packet), part) else {
                        continue;
                    };
                    if let Some((header, chunks)) = Header::read(&whole)
                        && header.mode == Mode::Startup
                    {
                        self.startup_chunks(now, from, opening, chunks, false);
                    }
                }
                (Some(Chunk::InitiatorHello { epd, tag }), None) if !answered => {
                    answered = true;
                    self.on_hello(now, from, epd, tag);
                }
                (Some(Chunk::InitiatorKeying { .. }), None) if !answered => {
                    answered = true;
                    self.on_initiator_keying(now, from, payload);
                }
                (
                    Some(Chunk::ResponderHello {
                        tag,
                        cookie,
                        certificate,
                    }),
                    None,
                ) => self.on_responder_hello(now, from, tag, cookie, certificate),
                (Some(Chunk::Redirect { tag, addresses }), None) => {
                    self.on_redirect(now, from, tag, addresses);
                }
                (
                    Some(Chunk::ResponderKeying {
                        session, component, ..
                    }),
                    Some(handle),
                ) => {
                    self.on_responder_keying(handle, session, component);
                }
                (Some(Chunk::CookieChange { old, new }), Some(handle)) => {
                    self.on_cookie_change(now, handle, old, new);
                }
                _ => {}
            }
        }
    }

    /// Takes the result of a work.
    pub fn handle_work(&mut self, now: Time, done: Done) {
        match done.0 {
            work::Outcome::Responded {
                from,
                far_id,
                far,
                far_component,
                made,
            } => self.on_responded(now, from, far_id, far, far_component, made),
            work::Outcome::Initiated { handle, made } => self.on_initiated(now, handle, made),
            work::Outcome::Combined { handle, far_id, keys } => self.on_combined(now, handle, far_id, keys),
        }
    }

    /// Acts on deadlines that have passed.
    pub fn handle_timeout(&mut self, now: Time) {
        // Each once: some deadlines pass only when the output is taken.
        let mut due = Vec::new();
        while let Some((at, handle)) = self.deadlines.first().copied()
            && at <= now
        {
            self.deadlines.pop_first();
            due.push(handle);
        }
        for handle in due {
            if let Some(session) = self.sessions.get_mut(&handle) {
                session.scheduled = None;
                session.handle_timeout(now);
                self.touch(now, handle);
            } else if self.openings.contains_key(&handle) {
                self.drive_opening(now, handle);
            }
        }
    }

    /// When [`Endpoint::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// What is to be done next.
    pub fn poll_output(&mut self, now: Time) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            self.stats.datagrams_out += u64::from(matches!(output, Output::Transmit { .. }));
            return Some(output);
        }
        while let Some(handle) = self.dirty.front().copied() {
            let reverse = is_recent(self.critical_in.besides(handle), now);
            let Some(session) = self.sessions.get_mut(&handle) else {
                self.dirty.pop_front();
                continue;
            };
            if let Some(event) = session.events.pop_front() {
                return Some(Output::Event {
                    handle,
                    event: Event::Session(event),
                });
            }
            let mut datagram = Vec::new();
            if let Some(to) = session.poll_packet(now, reverse, &mut self.packet, &mut datagram) {
                if session.sent_critical == Some(now) {
                    self.critical_out = Some(now);
                }
                self.stats.datagrams_out += 1;
                return Some(Output::Transmit { to, datagram });
            }
            session.dirty = false;
            self.dirty.pop_front();
            self.schedule(now, handle);
        }
        None
    }

    /// Opens a session with whoever `epd` selects at one of `addresses`. [`Event::Opened`] follows, or
    /// [`SessionEvent::Closed`] with [`CloseReason::Unanswered`].
    pub fn open(&mut self, now: Time, addresses: &[SocketAddr], epd: &Discriminator) -> Handle {
        let handle = self.new_handle();
        let tag = self.random.array::<{ params::TAG_LEN }>();
        let opening = Opening::new(now, addresses, epd.clone(), tag);
        self.openings.insert(handle, opening);
        self.drive_opening(now, handle);
        handle
    }

    /// Opens a sending flow; `None` when the session is not open or has too many.
    pub fn open_flow(
        &mut self,
        handle: Handle,
        metadata: &[u8],
        association: Option<u64>,
        priority: Priority,
    ) -> Option<u64> {
        self.sessions
            .get_mut(&handle)?
            .open_flow(metadata, association, priority)
    }

    /// Queues a message in a flow; false when the flow is not open or its buffer full.
    pub fn send(&mut self, handle: Handle, flow: u64, message: Vec<u8>, deadline: Option<Deadline>) -> bool {
        let sent = self
            .sessions
            .get_mut(&handle)
            .is_some_and(|s| s.send(flow, message, deadline));
        self.mark(handle);
        sent
    }

    /// Ends a sending flow after what is queued.
    pub fn close_flow(&mut self, handle: Handle, flow: u64) {
        if let Some(session) = self.sessions.get_mut(&handle) {
            session.close_flow(flow);
            self.mark(handle);
        }
    }

    /// Refuses a receiving flow with a code of the application's.
    pub fn reject_flow(&mut self, handle: Handle, flow: u64, code: u64) {
        if let Some(session) = self.sessions.get_mut(&handle) {
            session.reject_flow(flow, code);
            self.mark(handle);
        }
    }

    /// Chooses the order in which a receiving flow gives its messages; [`Order::Queued`] at first.
    pub fn set_order(&mut self, handle: Handle, flow: u64, order: Order) {
        if let Some(session) = self.sessions.get_mut(&handle) {
            session.set_order(flow, order);
        }
    }

    /// Notes the addresses that a peer tells of itself; from then on it may be introduced to others.
    pub fn set_addresses(&mut self, handle: Handle, addresses: Vec<SocketAddr>) {
        if let Some(session) = self.sessions.get_mut(&handle) {
            session.addresses = Some(addresses);
        }
    }

    /// Ends a session in order, or gives up opening it.
    pub fn close(&mut self, now: Time, handle: Handle) {
        if let Some(session) = self.sessions.get_mut(&handle) {
            session.close(now, CloseReason::Near);
            self.touch(now, handle);
        } else if self.openings.contains_key(&handle) {
            self.fail_opening(handle, CloseReason::Near);
        }
    }

    /// Ends a session when all that is queued in its flows has been received, or after 5 s.
    pub fn finish(&mut self, now: Time, handle: Handle) {
        if let Some(session) = self.sessions.get_mut(&handle) {
            session.finish(now);
            self.touch(now, handle);
        } else if self.openings.contains_key(&handle) {
            self.fail_opening(handle, CloseReason::Near);
        }
    }

    /// Where a peer is.
    pub fn address(&self, handle: Handle) -> Option<SocketAddr> {
        self.sessions.get(&handle).map(|s| s.dest)
    }

    /// Numbers that only the two ends of a session know: ours and the far end's.
    pub fn nonces(&self, handle: Handle) -> Option<([u8; 32], [u8; 32])> {
        let keys = &self.sessions.get(&handle)?.keys;
        Some((keys.near_nonce, keys.far_nonce))
    }

    /// The smoothed round trip and the congestion window in bytes.
    pub fn path(&self, handle: Handle) -> Option<(Option<Duration>, usize)> {
        let session = self.sessions.get(&handle)?;
        Some((session.rtt(), session.congestion_window()))
    }

    /// Bytes that wait in a sending flow or are on their way.
    pub fn queued(&self, handle: Handle, flow: u64) -> usize {
        self.sessions.get(&handle).map_or(0, |s| s.queued(flow))
    }

    /// Counters of one session.
    pub fn session_stats(&self, handle: Handle) -> Option<SessionStats> {
        self.sessions.get(&handle).map(Session::stats)
    }

    /// Counters, those of the open sessions included.
    pub fn stats(&self) -> EndpointStats {
        let mut stats = self.stats;
        self.sessions.values().for_each(|s| stats.add(&s.stats()));
        stats
    }

    /// How the open sessions fare now.
    pub fn paths(&self) -> Paths {
        let mut paths = Paths::default();
        for session in self.sessions.values().filter(|s| s.state == State::Open) {
            let rtt = session.rtt();
            paths.merge(&Paths {
                sessions: 1,
                measured: usize::from(rtt.is_some()),
                rtt: rtt.unwrap_or_default(),
                worst_rtt: rtt.unwrap_or_default(),
                window: session.congestion_window(),
            });
        }
        paths
    }

    /// Takes other settings for sessions that open from now on. Identities, secrets and limits stay.
    pub fn reconfigure(&mut self, session: SessionConfig, protection: Protection, introduce: bool) {
        self.config.session = session;
        self.config.protection = protection;
        self.config.introduce = introduce;
    }

    /// Sessions now: open or closing, and being opened.
    pub fn population(&self) -> (usize, usize) {
        (self.sessions.len(), self.openings.len())
    }

    fn new_handle(&mut self) -> Handle {
        self.next_handle += 1;
        Handle(self.next_handle)
    }

    /// A session id that nobody has or can guess.
    fn new_id(&mut self) -> u32 {
        loop {
            let [_, a, b, c] = self.random.array::<4>();
            let id = u32::from_be_bytes([self.config.id_prefix, a, b, c]);
            if id != 0 && !self.by_id.contains_key(&id) {
                return id;
            }
        }
    }

    /// An open session begins.
    fn start_session(&mut self, now: Time, handle: Handle, start: Start) {
        let (from, peer) = (start.dest, start.far.fingerprint());
        let initiated = start.role == Mode::Initiator;
        self.by_id.insert(start.near_id, handle);
        self.by_address.insert(from, handle);
        self.by_peer.insert(peer, handle);
        *self.per_ip.entry(from.ip()).or_default() += 1;
        self.sessions
            .insert(handle, Session::new(now, self.config.session.clone(), start));
        if initiated {
            self.stats.initiated += 1;
        } else {
            self.stats.accepted += 1;
        }
        let event = Event::Opened {
            from,
            peer,
            initiated,
        };
        self.outputs.push_back(Output::Event { handle, event });
        self.touch(now, handle);
    }

    /// Takes note of what happened to a session: it may have moved, ended, or have something to say.
    fn touch(&mut self, now: Time, handle: Handle) {
        let Some(session) = self.sessions.get_mut(&handle) else {
            return;
        };
        for event in &session.events {
            if let SessionEvent::AddressChanged { to } = event {
                self.by_address.retain(|_, h| *h != handle);
                self.by_address.insert(*to, handle);
            }
        }
        if session.state == State::Closed {
            for event in std::mem::take(&mut session.events) {
                let event = Event::Session(event);
                self.outputs.push_back(Output::Event { handle, event });
            }
            return self.remove_session(handle);
        }
        self.mark(handle);
        self.schedule(now, handle);
    }

    fn mark(&mut self, handle: Handle) {
        if let Some(session) = self.sessions.get_mut(&handle)
            && !std::mem::replace(&mut session.dirty, true)
        {
            self.dirty.push_back(handle);
        }
    }

    fn schedule(&mut self, now: Time, handle: Handle) {
        let Some(session) = self.sessions.get_mut(&handle) else {
            return;
        };
        let due = session.poll_timeout(now);
        if due == session.scheduled {
            return;
        }
        if let Some(old) = std::mem::replace(&mut session.scheduled, due) {
            self.deadlines.remove(&(old, handle));
        }
        if let Some(at) = due {
            self.deadlines.insert((at, handle));
        }
    }

    fn remove_session(&mut self, handle: Handle) {
        let Some(session) = self.sessions.remove(&handle) else {
            return;
        };
        self.stats.add(&session.stats());
        if let Some(at) = session.scheduled {
            self.deadlines.remove(&(at, handle));
        }
        self.by_id.remove(&session.near_id);
        self.by_address.retain(|_, h| *h != handle);
        let peer = session.far.fingerprint();
        if self.by_peer.get(&peer) == Some(&handle) {
            self.by_peer.remove(&peer);
        }
        let ip = session.first_ip;
        if let Some(count) = self.per_ip.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                self.per_ip.remove(&ip);
            }
        }
    }
}
