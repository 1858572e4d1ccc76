//! The SIP user agent as one pure machine (RFC 3261 with RFC 3263, 3581, 4320, 6026).

mod call;
mod client;
mod config;
mod event;
mod guard;
mod plain;
mod refer;
mod register;
mod reliable;
mod server;
mod session;
mod uac;
mod uas;
mod update;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use base::{ConnId, Rng, Time};

pub use config::{EndpointConfig, Limits, Listener, OpenRegistration};
pub use event::{
    Binding, Body, CallHandle, Event, Invite, LookupId, OutOfDialog, Output, Refused, Registration,
    RegistrationHandle, RequestHandle, SendId, User,
};
pub use guard::{Ban, GuardConfig, Offence};

use crate::auth::Verifier;
use crate::error::ParseError;
use crate::header::HeaderName;
use crate::msg::{Message, Request};
use crate::parse::parse_datagram;
use crate::registrar::Registrar;
use crate::timer::Timers;
use crate::transaction::Timer;
use crate::transport::{Destination, Source, Transport};
use call::{Call, CallTimer};

/// A SIP user agent: calls both ways, registrar, registrations, digest.
///
/// Feed one input, then take every [`Output`] by [`poll_output`](Endpoint::poll_output), then arm a timer for
/// [`poll_timeout`](Endpoint::poll_timeout). The outputs of one input are bounded by that input and by the
/// [`Limits`]; none is dropped.
#[derive(Debug)]
pub struct Endpoint {
    config: EndpointConfig,
    rng: Rng,
    last_id: u64,
    out: VecDeque<Output>,
    timers: Timers<Deadline>,
    clients: client::Table,
    servers: server::Table,
    calls: BTreeMap<CallHandle, Call>,
    /// Call-ID and our tag.
    dialogs: BTreeMap<(String, String), CallHandle>,
    registrar: Registrar,
    registrations: BTreeMap<RegistrationHandle, register::Client>,
    users: BTreeMap<String, String>,
    verifier: Verifier,
    guard: guard::Guard,
}

/// What a deadline is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Deadline {
    /// A timer of a transaction of either side.
    Transaction(u64, Timer),
    /// A request waits for its lookup.
    Lookup(LookupId),
    /// A cancelled INVITE may still be answered.
    Cancelled(u64),
    /// A timer of a call.
    Call(CallHandle, CallTimer),
    /// A binding at the embedded registrar ends.
    Bindings,
    /// A registration is to be made again.
    Registration(RegistrationHandle),
}

impl Endpoint {
    /// An endpoint that does nothing yet.
    pub fn new(config: EndpointConfig, mut rng: Rng) -> Endpoint {
        let mut key = [0; 32];
        rng.fill(&mut key);
        let realm = config.domains.first().cloned();
        Endpoint {
            registrar: Registrar::new(&config),
            verifier: Verifier::new(realm.unwrap_or_else(|| "flashgate".to_owned()), key)
                .with_algorithms(config.digest.clone()),
            guard: guard::Guard::new(config.limits.offenders, config.guard.clone()),
            config,
            rng,
            last_id: 0,
            out: VecDeque::new(),
            timers: Timers::default(),
            clients: client::Table::default(),
            servers: server::Table::default(),
            calls: BTreeMap::new(),
            dialogs: BTreeMap::new(),
            registrations: BTreeMap::new(),
            users: BTreeMap::new(),
        }
    }

    /// The settings.
    pub fn config(&self) -> &EndpointConfig {
        &self.config
    }

    /// Replaces the local accounts. Bindings and calls go on.
    pub fn set_users(&mut self, users: Vec<User>) {
        self.users = users.into_iter().map(|u| (u.name, u.password)).collect();
    }

    /// Who may register without a password from now on; bindings stay.
    pub fn set_open_registration(&mut self, open: OpenRegistration) {
        self.config.open_registration = open;
    }

    /// Other limits for those who scan, guess and flood.
    pub fn set_guard(&mut self, guard: GuardConfig) {
        self.guard.set(guard);
    }

    /// Who is banned now, longest first.
    pub fn bans(&self, now: Time) -> Vec<Ban> {
        self.guard.bans(now)
    }

    /// Lifts the ban of a source; false when there is none.
    pub fn lift_ban(&mut self, now: Time, source: IpAddr) -> bool {
        self.guard.lift(now, source)
    }

    /// Requests dropped so far: of banned sources, and above the rate that a source may have.
    pub fn dropped(&self) -> [u64; 2] {
        self.guard.dropped()
    }

    /// A source did what those who mean well do not do; [`Event::Banned`] follows when it is too much.
    pub fn offend(&mut self, now: Time, source: IpAddr, what: Offence) {
        if let Some(ban) = self.guard.offend(now, source, what) {
            self.event(Event::Banned { ban });
        }
    }

    /// Whether a new request is taken from its source. Who is not to be served is not answered either.
    fn takes_from(&mut self, now: Time, source: IpAddr, request: &Request) -> bool {
        if self.guard.is_banned(now, source) {
            return false;
        }
        let agent = request.headers.get(&HeaderName::UserAgent);
        if agent.is_some_and(|a| self.guard.is_scanner(a)) {
            self.offend(now, source, Offence::Scanner);
            // A trusted one is answered.
            return !self.guard.is_banned(now, source);
        }
        let (taken, ban) = self.guard.may_ask(now, source);
        if let Some(ban) = ban {
            self.event(Event::Banned { ban });
        }
        taken
    }

    /// A datagram arrived. What is no SIP is dropped.
    pub fn handle_datagram(&mut self, now: Time, source: Source, datagram: &[u8]) {
        let blank = |b: &u8| matches!(b, b'\r' | b'\n' | 0);
        if datagram.iter().all(blank) {
            // A keep-alive.
            return;
        }
        self.handle_message(now, source, parse_datagram(datagram));
    }

    /// A message arrived on a stream; the driver runs the [`StreamParser`](crate::StreamParser) and answers
    /// its keep-alives.
    pub fn handle_message(&mut self, now: Time, source: Source, message: Result<Message, ParseError>) {
        let ip = source.remote.ip();
        match message {
            Ok(Message::Request(request)) => self.handle_request(now, source, request),
            Ok(Message::Response(response)) => self.handle_response(now, source, response),
            Err(_) if self.guard.is_banned(now, ip) => {}
            Err(error) => {
                self.offend(now, ip, Offence::Malformed);
                if let Some(reply) = error.reply() {
                    self.send_parse_reply(source, reply);
                }
            }
        }
    }

    /// A connection to `remote` closed. Requests that had no response at all go elsewhere; bindings that came
    /// along it end.
    pub fn handle_conn_closed(&mut self, now: Time, conn: ConnId, remote: SocketAddr) {
        self.server_conn_closed(conn);
        self.client_conn_closed(now, conn, remote);
        self.drop_flow(now, conn);
    }

    /// A message could not be sent: no connection, or the network says that nobody listens there.
    pub fn handle_send_failed(&mut self, now: Time, id: SendId) {
        if !self.client_send_failed(now, id.0) {
            self.server_send_failed(id.0);
        }
    }

    /// A lookup is done: where to send, best first; empty when it failed.
    pub fn handle_resolved(&mut self, now: Time, id: LookupId, found: Vec<Destination>) {
        self.resolved(now, id, found);
    }

    /// Time passed; every deadline up to `now` is served.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(deadline) = self.timers.pop_due(now) {
            match deadline {
                Deadline::Transaction(tx, timer) => {
                    self.client_timer(now, tx, timer);
                    self.server_timer(now, tx, timer);
                }
                Deadline::Lookup(lookup) => self.resolved(now, lookup, Vec::new()),
                Deadline::Cancelled(request) => self.cancelled_in_vain(now, request),
                Deadline::Call(call, timer) => self.call_timer(now, call, timer),
                Deadline::Bindings => self.expire_bindings(now),
                Deadline::Registration(handle) => self.registration_due(now, handle),
            }
        }
    }

    /// When [`handle_timeout`](Endpoint::handle_timeout) is to be called next.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.next()
    }

    /// The next thing to do; poll until `None` after each input or command.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// The Call-ID of a call (RFC 3261 §8.1.1.4); `None` when its handle is dead.
    pub fn call_id(&self, call: CallHandle) -> Option<&str> {
        self.calls.get(&call).map(|c| c.call_id.as_str())
    }

    /// How many calls there are, ending ones included.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// How many transactions there are on either side.
    pub fn transactions(&self) -> usize {
        self.clients.len() + self.servers.len()
    }

    fn event(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }

    fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// The first listener of our own, for what needs an address before a path is known.
    fn host_token(&self) -> String {
        match self.config.domains.first() {
            Some(domain) => domain.clone(),
            None => self
                .config
                .listeners
                .iter()
                .find(|l| l.transport == Transport::Udp)
                .or(self.config.listeners.first())
                .map_or_else(|| "flashgate.invalid".to_owned(), |l| l.host.to_string()),
        }
    }

    fn new_call_id(&mut self) -> String {
        format!("{}@{}", self.rng.token(20), self.host_token())
    }
}
