//! The exchange: SIP, calls, streams and routes as one pure machine.
//!
//! It takes in what the SIP transports, the shards and the clock bring, and says what is to be sent and what
//! the shards are to do. Its driver (`driver.rs`) is one task; the simulation drives the same machine in
//! virtual time.

mod accounts;
mod book;
mod callers;
mod calls;
mod connection;
mod control;
mod dial;
mod dialler;
mod directory;
pub(crate) mod driver;
mod guard;
mod ladder;
mod line_leg;
mod line_rooms;
mod lines;
mod lookup;
mod messages;
mod negotiation;
mod outbound;
mod probes;
mod prompts;
mod redirect;
mod ringback;
mod room_media;
mod room_orders;
mod room_words;
mod rooms;
mod security;
pub mod settings;
mod sip_leg;
mod sip_media;
mod stream_leg;
mod streams;
mod transfer;
mod transport;
mod trunks;
mod view;
mod webcast;
mod webrtc;
mod websocket;
mod wiring;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base::{CallId, ConnId, EndReason, LegId, Rng, SessionId, ShardId, Time, earliest};
use call::{Admission, Call, Limits, Numbering, Quotas, Routes, Rule};
use codecs::CodecId;
use sip::{CallHandle, Endpoint, Message, ParseError, RegistrationHandle, Source};

use crate::shard::{Command, Event, Remote, Side};
pub use accounts::AccountSettings;
pub use transport::SipSockets;
pub use trunks::{GatewayBook, GatewaySettings, Trunk};
pub use websocket::Origins;

use book::Book;
use control::Way;
use dial::Callee;
use directory::Lookups;
use guard::Guard;
use ladder::Ladder;
pub use ladder::Said;
use line_leg::LineLeg;
use lines::Lines;
use outbound::OutboundLeg;
pub use outbound::{NamedRemote, OutboundSettings};
pub use prompts::{Prompts, read_sound};
pub use room_words::{Conference, ConfiguredRoom, RoomInfo, RoomMember, RoomOrder};
use rooms::Rooms;
pub use security::Protection;
use sip_leg::SipLeg;
use streams::{LiveStream, StreamLeg};
use transfer::TransferLeg;
use trunks::Trunks;
use wiring::Wiring;

pub use book::{CallRecord, Counters, News, Party, SetUp, TrunkBook, Try};
pub use directory::{DirectoryOrder, FindId, Place};
pub use view::{Ask, BanView, CallView, ContactView, LegView, RoomSums, Snapshot, TrunkView, UserView};

/// How long a published stream is waited for to show its codec before its call is dialled without it.
const CODEC_WAIT: Duration = Duration::from_millis(300);

/// Who may use a service without showing a local account's name and password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admits {
    /// Anybody. A caller that claims to be a local user must still show that it is.
    Anybody,
    /// Programs on this machine.
    Loopback,
    /// Nobody.
    Users,
}

impl Admits {
    /// Whether a peer must show who it is.
    fn asks(self, peer: IpAddr) -> bool {
        match self {
            Admits::Anybody => false,
            Admits::Loopback => !peer.is_loopback(),
            Admits::Users => true,
        }
    }
}

/// What the exchange needs of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our domain, first in identities; and every further name and address that means us.
    pub domains: Vec<String>,
    /// Addresses our SIP transports are bound to.
    pub sip_addresses: Vec<SocketAddr>,
    /// The address to write into SDP, when another than the bound one is to be seen.
    pub public_address: Option<IpAddr>,
    /// Where RTP is bound; unspecified means the address that leads to the peer.
    pub rtp_addresses: Vec<IpAddr>,
    /// Audio codecs in order of preference.
    pub codecs: Vec<CodecId>,
    /// Audio in a packet, ms, unless the peer asks for other.
    pub ptime_ms: u32,
    /// How media is protected.
    pub protection: Protection,
    /// Whether telephone-events are offered.
    pub dtmf: bool,
    /// Whether SIP parties are sent to the target of a transfer, rather than moved by the gateway.
    pub refer: bool,
    /// How long a callee may ring.
    pub ring_timeout: Duration,
    /// What callers hear while it rings, who hear nothing else.
    pub ringback: Option<media::Cadence>,
    /// Calls at a time and a second.
    pub limits: Limits,
    /// Who may call in by SIP.
    pub callers: Admits,
    /// Who may publish and play.
    pub streamers: Admits,
    /// What the accounts of clients with lines may do.
    pub accounts: AccountSettings,
    /// Local accounts: name and password.
    pub users: Vec<(String, String)>,
    /// Whether other gateways have users of our domains too, found in a directory that they share.
    pub shares_domains: bool,
    /// Where numbers go.
    pub routes: Routes,
    /// The trunks that routes name.
    pub trunks: Vec<Trunk>,
    /// How numbers are dialled.
    pub numbering: Numbering,
    /// Numbers that no limit stands before, and the trunks they go to.
    pub emergency: Vec<String>,
    /// See `emergency`.
    pub emergency_to: Vec<String>,
    /// Limits on calls over trunks.
    pub rules: Vec<Rule>,
    /// Against those who scan, guess and flood by SIP.
    pub guard: sip::GuardConfig,
    /// The telephone numbers of local accounts, in their one form.
    pub user_numbers: BTreeMap<String, String>,
    /// The passwords with which trunks call in: user name and password.
    pub trunk_logins: Vec<(String, String)>,
    /// Through which requests to elsewhere go.
    pub outbound_proxy: Option<sip::Uri>,
    /// Rooms.
    pub conference: Conference,
    /// Streams on servers elsewhere.
    pub outbound: OutboundSettings,
    /// Memory for what was said in calls, bytes; 0: nothing is kept.
    pub ladder: usize,
    /// How many shards there are.
    pub shards: u16,
}

/// What the exchange wants done.
#[derive(Debug)]
pub enum Output {
    /// A shard is to do something.
    Shard(ShardId, Command),
    /// A SIP message is to be sent or a name looked up.
    Sip(Box<sip::Output>),
    /// A connection to a server elsewhere is wanted: `Shard::handle_dialled`, or [`Exchange::handle_dial_failed`].
    Dial(ShardId, Dial),
    /// The directory is asked or told.
    Directory(DirectoryOrder),
    /// Every call has ended after a drain.
    Drained,
}

/// A connection that is wanted.
#[derive(Clone, Debug)]
pub struct Dial {
    /// Its id.
    pub session: SessionId,
    /// The leg it is for.
    pub leg: LegId,
    /// The stream, with the server to connect to.
    pub remote: Remote,
}

/// What a leg is made of.
#[derive(Debug)]
enum Kind {
    Sip(Box<SipLeg>),
    Stream(StreamLeg),
    /// A call of a client with lines.
    Line(LineLeg),
    /// Hears itself.
    Echo,
    /// A steady tone, made on the shard of its listener.
    Tone,
    /// A stream on a server elsewhere.
    Outbound(Box<OutboundLeg>),
    /// A relayed stream.
    Live(String),
    /// A member of a room.
    Room(String),
    /// The caller of a call to the target of a transfer; it has no media.
    Transfer(TransferLeg),
    /// Stands for a party that left before the target of its transfer answered.
    Parked,
    /// A callee that the directory is asked for.
    Sought,
}

#[derive(Debug)]
struct Leg {
    call: Option<CallId>,
    kind: Kind,
}

#[derive(Debug)]
struct CallEntry {
    call: Call,
    /// Callees to try when those rung have failed (a route's further trunks).
    hunt: VecDeque<Callee>,
    began: Time,
    /// The deadline last noted.
    armed: Option<Time>,
    /// The two legs that hear each other now.
    connected: Option<(LegId, LegId)>,
    /// Who calls, as the callee sees it.
    party: line_leg::Party,
    /// The transfer of one of its parties that is under way.
    transfer: Option<LegId>,
    /// The ringing tone that its caller hears.
    ringback: Option<LegId>,
    /// Where redirections led so far.
    tried: Vec<sip::Uri>,
}

#[derive(Debug)]
struct SessionEntry {
    shard: ShardId,
    peer: SocketAddr,
    /// The media halves of its streams.
    halves: Vec<LegId>,
}

/// Whose deadline has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Call(CallId),
    Dial(LegId),
    Room(LegId),
    /// A digit goes out by INFO.
    Digit(LegId),
    /// A lost stream on a server elsewhere is dialled again.
    Outbound(LegId),
    /// One call of a three-way call is over.
    Part(LegId),
    /// A party that transferred another has not hung up.
    Leave(LegId),
    /// A gateway of a trunk has not answered yet.
    Gateway(LegId),
    /// The directory is told what has changed.
    Directory,
}

/// To whom a media half belongs.
#[derive(Clone, Debug)]
enum Owner {
    /// A stream half of a call: its signalling leg.
    Stream(LegId),
    /// A half of a relayed stream: its name.
    Live(String),
    /// A stream of a client with lines: its session.
    Line(SessionId),
}

/// Finds the local address from which a peer is reached; the driver asks the kernel, the simulation a table.
pub type SourceAddress = Box<dyn Fn(IpAddr) -> IpAddr + Send>;

/// The signalling half of the gateway.
pub struct Exchange {
    settings: Arc<Settings>,
    sip: Endpoint,
    source_address: SourceAddress,
    keys: media::KeySource,
    admission: Admission,
    quotas: Quotas,
    calls: BTreeMap<CallId, CallEntry>,
    legs: BTreeMap<LegId, Leg>,
    by_handle: HashMap<CallHandle, LegId>,
    registrations: HashMap<RegistrationHandle, String>,
    sessions: BTreeMap<SessionId, SessionEntry>,
    owners: BTreeMap<LegId, Owner>,
    live: BTreeMap<String, LiveStream>,
    lines: Lines,
    directory: Lookups,
    guard: Guard,
    trunks: Trunks,
    rng: Rng,
    wiring: Wiring,
    rooms: Rooms,
    /// Deadlines of calls and streams, lazily deleted.
    deadlines: BinaryHeap<Reverse<(Time, Due)>>,
    outputs: VecDeque<Output>,
    next_leg: u64,
    next_call: u64,
    next_dial: u64,
    drained_told: bool,
    book: Book,
    ladder: Ladder,
}

impl Exchange {
    /// An exchange over a SIP endpoint. Registrations with trunks begin at once. Keys are made from `secret`, which
    /// nobody may guess.
    pub fn new(
        settings: Arc<Settings>,
        endpoint: sip::EndpointConfig,
        source_address: SourceAddress,
        mut rng: Rng,
        secret: &[u8; 32],
        now: Time,
    ) -> Exchange {
        let mut sip = Endpoint::new(endpoint, rng.fork());
        sip.set_users(sip_users(&settings));
        let mut exchange = Exchange {
            admission: Admission::new(settings.limits, now),
            quotas: Quotas::new(settings.rules.clone()),
            sip,
            source_address,
            keys: media::KeySource::new(secret),
            calls: BTreeMap::new(),
            legs: BTreeMap::new(),
            by_handle: HashMap::new(),
            registrations: HashMap::new(),
            sessions: BTreeMap::new(),
            owners: BTreeMap::new(),
            live: BTreeMap::new(),
            lines: Lines::default(),
            directory: Lookups::default(),
            guard: Guard::new(settings.accounts.failures, settings.accounts.wait),
            trunks: Trunks::default(),
            rng,
            wiring: Wiring::default(),
            rooms: Rooms::default(),
            deadlines: BinaryHeap::new(),
            outputs: VecDeque::new(),
            next_leg: 0,
            next_call: 0,
            next_dial: 0,
            drained_told: false,
            book: Book::default(),
            ladder: Ladder::new(settings.ladder),
            settings,
        };
        let settings = exchange.settings.clone();
        exchange.trunks.renew(now, &settings.trunks, |_| true);
        exchange.trust_trunks();
        exchange.register_trunks(now, |_| true);
        exchange.pump(now);
        exchange
    }

    /// A datagram came in on a SIP socket.
    pub fn handle_datagram(&mut self, now: Time, source: Source, bytes: &[u8]) {
        self.ladder
            .sip(now, false, source.transport.via(), source.remote, bytes);
        self.sip.handle_datagram(now, source, bytes);
        self.pump(now);
    }

    /// A message was framed on a SIP connection.
    pub fn handle_message(&mut self, now: Time, source: Source, message: Result<Message, ParseError>) {
        if self.ladder.is_on()
            && let Ok(message) = &message
        {
            self.ladder.sip(
                now,
                false,
                source.transport.via(),
                source.remote,
                &message.to_bytes(),
            );
        }
        self.sip.handle_message(now, source, message);
        self.pump(now);
    }

    /// A SIP connection ended.
    pub fn handle_connection_closed(&mut self, now: Time, conn: ConnId, remote: SocketAddr) {
        self.sip.handle_conn_closed(now, conn, remote);
        self.pump(now);
    }

    /// A message could not be handed to the network.
    pub fn handle_send_failed(&mut self, now: Time, id: sip::SendId) {
        self.sip.handle_send_failed(now, id);
        self.pump(now);
    }

    /// A lookup ended; no destination means that it failed.
    pub fn handle_resolved(&mut self, now: Time, id: sip::LookupId, destinations: Vec<sip::Destination>) {
        self.sip.handle_resolved(now, id, destinations);
        self.pump(now);
    }

    /// A shard tells something.
    pub fn handle_shard(&mut self, now: Time, shard: ShardId, event: Event) {
        match event {
            Event::SessionOpened { session, peer } => {
                self.book.counters.sessions += 1;
                self.sessions.insert(
                    session,
                    SessionEntry {
                        shard,
                        peer,
                        halves: Vec::new(),
                    },
                );
            }
            Event::SessionClosed { session, reason } => self.session_closed(now, session, reason),
            Event::Intent { session, intent } => self.handle_intent(now, session, intent),
            Event::RtpOpened { leg, local } => self.rtp_opened(now, leg, local),
            Event::RtpFailed { leg } => {
                self.book.figures(leg, None);
                self.sip_leg_failed(now, leg, EndReason::Overloaded);
            }
            Event::Outbound { leg, session, told } => self.outbound_told(now, leg, session, told),
            Event::LegBroke { leg } if self.outbound_broke(now, leg) => {}
            Event::LegBroke { leg } if self.room_broke(now, Some(shard), leg) => {}
            Event::LegBroke { leg } => self.leg_broke(now, leg),
            Event::Room { room, event } => self.handle_mixer(shard, room, event),
            Event::Said {
                session,
                outgoing,
                words,
            } => self.ladder.client(now, outgoing, session, words),
            Event::RtpInsecure { leg } => self.sip_leg_failed(now, leg, EndReason::Incompatible),
            Event::RtpSilent { leg } => self.sip_leg_failed(now, leg, EndReason::TimedOut),
            Event::Digit { leg, digit, .. } if self.room_digit(now, leg, digit) => {}
            Event::Digit { leg, digit, in_band } => {
                let way = if in_band { Way::Sound } else { Way::Events };
                self.digit_from(now, leg, digit, way);
            }
            Event::Stats { leg, stats } => {
                let call = self.book.figures(leg, Some(stats));
                if stats.side == Side::Rtp {
                    tracing::info!(
                        call = call.map(tracing::field::display),
                        %leg,
                        sent = stats.sent,
                        received = stats.received,
                        lost = stats.lost,
                        late = stats.late,
                        shortened_ms = stats.shortened_ms,
                        jitter_ms = stats.jitter_ms,
                        rtt_ms = stats.rtt_ms,
                        "media ended"
                    );
                }
            }
        }
        self.pump(now);
    }

    /// A deadline of [`Exchange::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Time) {
        self.sip.handle_timeout(now);
        self.book.handle_timeout(now);
        if self.trunks.poll_timeout().is_some_and(|at| at <= now) {
            self.probe_trunks(now);
        }
        while let Some(Reverse((at, due))) = self.deadlines.peek().copied() {
            if at > now {
                break;
            }
            self.deadlines.pop();
            // A deadline that was moved meanwhile finds nothing to do.
            match due {
                Due::Call(id) => {
                    if let Some(entry) = self.calls.get_mut(&id) {
                        entry.call.handle_timeout(now);
                    }
                    self.act(now, id);
                }
                Due::Dial(leg) => self.dial_waiting(now, leg),
                Due::Room(room) => self.room_timeout(now, room),
                Due::Digit(leg) => self.send_info_digit(now, leg),
                Due::Outbound(leg) => self.outbound_again(now, leg),
                Due::Leave(leg) => self.see_off(now, leg),
                Due::Gateway(leg) => self.gateway_due(now, leg),
                Due::Directory => self.publish_users(now),
                Due::Part(leg) => self.end_three_way(now, leg),
            }
        }
        self.pump(now);
    }

    /// When [`Exchange::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        let own = self.deadlines.peek().map(|Reverse((at, _))| *at);
        let others = earliest(self.book.poll_timeout(), self.trunks.poll_timeout());
        earliest(earliest(self.sip.poll_timeout(), own), others)
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What those who look on are told next.
    pub fn poll_news(&mut self) -> Option<News> {
        self.book.poll_news()
    }

    /// What was said in a call, as far as it is kept, without secrets; `None` when nothing is known of it.
    pub fn ladder(&self, call: CallId) -> Option<Vec<Said>> {
        self.ladder.of(call)
    }

    /// Lifts the ban, or the waiting time, of a source; false when it has none.
    pub fn unban(&mut self, now: Time, source: IpAddr) -> bool {
        let waited = self.guard.wait(now, source).is_some();
        self.guard.succeeded(source);
        self.sip.lift_ban(now, source) || waited
    }

    /// Ends one call; false when there is no such call.
    pub fn hang_up(&mut self, now: Time, id: CallId) -> bool {
        let Some(entry) = self.calls.get_mut(&id) else {
            return false;
        };
        entry.call.hang_up(call::Outcome::new(EndReason::HungUp));
        self.act(now, id);
        self.pump(now);
        true
    }

    /// Other settings from now on; calls in progress keep the codecs, routes and legs they have. `changed` names the
    /// trunks that are new, gone or different: they are registered with anew.
    pub fn reload(&mut self, now: Time, settings: Settings, open: sip::OpenRegistration, changed: &[String]) {
        self.admission.set_limits(settings.limits);
        self.quotas.set_rules(settings.rules.clone());
        self.sip.set_users(sip_users(&settings));
        self.sip.set_open_registration(open);
        let gone: Vec<_> = self
            .registrations
            .iter()
            .filter(|(_, trunk)| changed.contains(trunk))
            .map(|(handle, _)| *handle)
            .collect();
        for handle in gone {
            self.registrations.remove(&handle);
            let _gone = self.sip.unregister(now, handle);
        }
        for trunk in changed {
            self.book.trunks.remove(trunk);
        }
        self.ladder.set_budget(settings.ladder);
        self.settings = Arc::new(settings);
        let settings = self.settings.clone();
        let of_changed = |name: &str| changed.iter().any(|c| c == name);
        self.trunks.renew(now, &settings.trunks, of_changed);
        self.trust_trunks();
        self.register_trunks(now, |trunk| changed.contains(&trunk.name));
        self.pump(now);
    }

    /// Closes the records of ended calls without waiting for their last figures: the gateway stops.
    pub fn close_records(&mut self) {
        self.book.handle_timeout(Time::MAX);
    }

    /// Nothing new is taken in; calls go on until they end or `hang_up_all`.
    pub fn drain(&mut self, now: Time) {
        self.admission.drain();
        self.trunks.stop();
        let registrations: Vec<_> = self.registrations.drain().map(|(handle, _)| handle).collect();
        for handle in registrations {
            let _gone = self.sip.unregister(now, handle);
        }
        self.withdraw_all(now);
        self.leave_directory();
        self.pump(now);
    }

    /// Ends every call; the grace time of a drain is over.
    pub fn hang_up_all(&mut self, now: Time) {
        let calls: Vec<CallId> = self.calls.keys().copied().collect();
        for id in calls {
            if let Some(entry) = self.calls.get_mut(&id) {
                entry.call.hang_up(call::Outcome::new(EndReason::Draining));
            }
            self.act(now, id);
        }
        for shard in 0..self.settings.shards {
            self.outputs
                .push_back(Output::Shard(ShardId(shard), Command::CloseAll));
        }
        self.pump(now);
    }

    /// What is left of calls, legs, media halves with routes, sessions, relayed streams and SIP state: all
    /// nothing when nobody is there, for tests of leaks.
    pub fn population(&self) -> [usize; 9] {
        let (halves, routes) = self.wiring.population();
        [
            self.calls.len(),
            self.legs.len(),
            halves,
            routes,
            self.sessions.len(),
            self.live.len(),
            self.owners.len()
                + self.by_handle.len()
                + self.lines.population()
                + self.rooms.population()
                + self.directory.population(),
            self.sip.calls(),
            self.book.population() + self.quotas.population(),
        ]
    }

    /// Takes the SIP endpoint's words until it has none left.
    fn pump(&mut self, now: Time) {
        self.run_rooms(now);
        while let Some(output) = self.sip.poll_output() {
            match output {
                sip::Output::Event(event) => self.handle_sip(now, event),
                output => {
                    if let sip::Output::Send {
                        transport,
                        remote,
                        bytes,
                        ..
                    } = &output
                    {
                        self.ladder.sip(now, true, transport.via(), *remote, bytes);
                    }
                    self.outputs.push_back(Output::Sip(Box::new(output)));
                }
            }
        }
        if self.admission.draining() && self.calls.is_empty() && !self.drained_told {
            self.drained_told = true;
            self.outputs.push_back(Output::Drained);
        }
    }

    fn new_leg(&mut self) -> LegId {
        self.next_leg += 1;
        LegId::of_exchange(self.next_leg)
    }

    fn new_call(&mut self) -> CallId {
        self.next_call += 1;
        CallId(self.next_call)
    }

    fn command(&mut self, shard: ShardId, command: Command) {
        self.book.see(&command);
        self.outputs.push_back(Output::Shard(shard, command));
    }

    fn commands(&mut self, commands: Vec<(ShardId, Command)>) {
        self.outputs.extend(
            commands
                .into_iter()
                .map(|(shard, command)| Output::Shard(shard, command)),
        );
    }

    /// The shard with the most room.
    fn emptiest_shard(&self) -> ShardId {
        (0..self.settings.shards.max(1))
            .map(ShardId)
            .min_by_key(|s| self.wiring.load(*s))
            .unwrap_or(ShardId(0))
    }
}

/// The local accounts as the SIP endpoint knows them.
fn sip_users(settings: &Settings) -> Vec<sip::User> {
    let user = |(name, password): &(String, String)| sip::User {
        name: name.clone(),
        password: password.clone(),
    };
    settings
        .users
        .iter()
        .chain(&settings.trunk_logins)
        .map(user)
        .collect()
}
