//! Requests we send: next hop, attempts over several addresses, transactions, challenges.

mod again;
mod attempt;
mod dead;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use base::{ConnId, Time};

use super::{
    CallHandle, Deadline, Endpoint, LookupId, Output, Refused, RegistrationHandle, RequestHandle, SendId,
};
use crate::auth;
use crate::header::HeaderName;
use crate::msg::{Method, Request, Response};
use crate::transaction::{Do, Ict, Nict, Timer};
use crate::transport::{Destination, Source, Transport};
use crate::uri::Uri;

/// Challenges answered for one request: proxies on the way may each have theirs, and a nonce may be stale.
const MAX_CHALLENGES: u8 = 4;
/// Addresses tried for one request.
const MAX_TARGETS: usize = 8;

/// For whom a request is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Owner {
    /// The INVITE that began a call, or a re-INVITE.
    Invite(CallHandle),
    /// BYE.
    Bye(CallHandle),
    /// ACK of a 2xx: has no transaction.
    Ack(CallHandle),
    /// Another request within a dialog.
    InDialog(CallHandle),
    /// UPDATE.
    Update(CallHandle),
    /// REFER.
    Refer(CallHandle),
    /// A request within a dialog whose result changes nothing: PRACK, NOTIFY.
    Quiet(CallHandle),
    /// REGISTER.
    Registration(RegistrationHandle),
    /// A request outside calls.
    Plain(RequestHandle),
}

impl Owner {
    pub(super) fn call(&self) -> Option<CallHandle> {
        match self {
            Owner::Invite(h)
            | Owner::Bye(h)
            | Owner::Ack(h)
            | Owner::InDialog(h)
            | Owner::Update(h)
            | Owner::Refer(h)
            | Owner::Quiet(h) => Some(*h),
            Owner::Registration(_) | Owner::Plain(_) => None,
        }
    }
}

/// What a request to be sent needs beside itself.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) owner: Owner,
    /// Where it goes when there is no flow, or the flow is gone.
    pub(super) hop: Option<Uri>,
    pub(super) flow: Option<Source>,
    /// User part and parameters of the Contact to add; none is added when `None`.
    pub(super) contact: Option<(Option<String>, String)>,
    pub(super) auth: Option<auth::Client>,
}

/// One request over all its attempts.
#[derive(Debug)]
struct Outgoing {
    /// Without Via and Contact, which depend on the path.
    request: Request,
    sending: Sending,
    targets: VecDeque<Target>,
    challenges: u8,
    /// The transaction of the current attempt.
    transaction: Option<u64>,
    /// Where the current attempt went, and whether along a flow.
    path: Option<(Path, bool)>,
    /// Not to be tried again: it was cancelled.
    last_try: bool,
    /// The host of the URI that led to the targets: whose certificate a server must show.
    domain: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    Flow(Source),
    Address(Destination),
    /// UDP although the message is large, since TCP failed.
    LargeUdp(Destination),
}

#[derive(Debug)]
enum Machine {
    Invite(Ict),
    Other(Nict),
}

#[derive(Debug)]
struct Transaction {
    machine: Machine,
    outgoing: u64,
    request: Request,
    bytes: Vec<u8>,
    key: Key,
    path: Path,
    domain: Option<Arc<str>>,
    flow: bool,
}

/// Branch and method (RFC 3261 §17.1.3).
type Key = (String, String);

/// Where a message is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Path {
    pub(super) transport: Transport,
    pub(super) local: Option<SocketAddr>,
    pub(super) remote: SocketAddr,
    pub(super) conn: Option<ConnId>,
}

impl From<Source> for Path {
    fn from(s: Source) -> Path {
        Path {
            transport: s.transport,
            local: Some(s.local),
            remote: s.remote,
            conn: s.conn,
        }
    }
}

/// Client transactions and the requests they serve.
#[derive(Debug, Default)]
pub(super) struct Table {
    outgoing: BTreeMap<u64, Outgoing>,
    transactions: BTreeMap<u64, Transaction>,
    keys: BTreeMap<Key, u64>,
    lookups: BTreeMap<LookupId, u64>,
    dead: dead::Dead,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.transactions.len().max(self.outgoing.len())
    }

    /// The request as it was last sent, for a call that makes its dialog from the response.
    pub(super) fn request(&self, outgoing: u64) -> Option<&Request> {
        self.outgoing.get(&outgoing).map(|o| &o.request)
    }
}

impl Endpoint {
    /// Sends a request to its next hop. Via and Contact are added for each attempt.
    pub(super) fn start(
        &mut self,
        now: Time,
        mut request: Request,
        mut sending: Sending,
    ) -> Result<u64, Refused> {
        // What ends or acknowledges a call passes even when full.
        let urgent = matches!(request.method, Method::Ack | Method::Bye);
        if !urgent && self.clients.len() >= self.config.limits.transactions {
            return Err(Refused::Limit);
        }
        let id = self.new_id();
        if let Some(call) = sending.owner.call() {
            self.hold_call(call);
        }
        // The ACK of a 2xx carries the INVITE's credentials (RFC 3261 §22.1), copied by its maker.
        if request.method != Method::Ack
            && let Some(auth) = &mut sending.auth
        {
            auth.sign(&mut request, &mut self.rng);
            let auth = auth.clone();
            self.keep_auth(&sending.owner, &auth);
        }
        let outgoing = Outgoing {
            request,
            sending,
            targets: VecDeque::new(),
            challenges: 0,
            transaction: None,
            path: None,
            last_try: false,
            domain: None,
        };
        self.clients.outgoing.insert(id, outgoing);
        self.attempt(now, id);
        Ok(id)
    }

    /// Carries out what a client transaction wants.
    fn run_client(&mut self, now: Time, tx: u64, todo: Vec<Do>, response: Option<(Response, Source)>) {
        let Some(outgoing) = self.clients.transactions.get(&tx).map(|t| t.outgoing) else {
            return;
        };
        let (mut deliver, mut timeout) = (false, None);
        for what in todo {
            let Some(t) = self.clients.transactions.get(&tx) else {
                break;
            };
            match what {
                Do::Send => {
                    let (path, domain, bytes) = (t.path, t.domain.clone(), t.bytes.clone());
                    self.send_to(SendId(tx), path, domain, bytes);
                }
                Do::Ack => {
                    if let Some((response, _)) = &response {
                        let ack = follow_up(&t.request, Method::Ack, Some(response));
                        let (path, domain) = (t.path, t.domain.clone());
                        self.send_to(SendId(0), path, domain, ack.to_bytes());
                    }
                }
                Do::Set(timer, after) => self.timers.set(Deadline::Transaction(tx, timer), now + after),
                Do::Clear(timer) => self.timers.clear(&Deadline::Transaction(tx, timer)),
                Do::Deliver => deliver = true,
                Do::Timeout => {
                    timeout = Some(t.flow);
                    let (transport, remote) = (t.path.transport, t.path.remote);
                    self.clients.dead.failed(now, transport, remote);
                }
                Do::Done => self.forget_client(now, tx, deliver || timeout.is_some()),
                Do::Trying => {}
            }
        }
        if deliver && let Some((response, source)) = response {
            self.client_response(now, outgoing, response, source);
        }
        if let Some(flow) = timeout {
            if flow && let Some(out) = self.clients.outgoing.get_mut(&outgoing) {
                // A flow that is silent is not better reached at a private address.
                out.sending.hop = None;
            }
            self.next_target(now, outgoing, 408);
        }
    }

    /// A client transaction is over; its request too, unless a message about it is yet to be handled.
    fn forget_client(&mut self, now: Time, tx: u64, unfinished: bool) {
        let Some(t) = self.clients.transactions.remove(&tx) else {
            return;
        };
        self.clients.keys.remove(&t.key);
        for timer in [
            Timer::A,
            Timer::B,
            Timer::D,
            Timer::E,
            Timer::F,
            Timer::K,
            Timer::M,
        ] {
            self.timers.clear(&Deadline::Transaction(tx, timer));
        }
        let current = self.clients.outgoing.get(&t.outgoing).and_then(|o| o.transaction);
        if !unfinished && current == Some(tx) {
            self.forget_outgoing(now, t.outgoing);
        }
    }

    fn forget_outgoing(&mut self, now: Time, id: u64) {
        self.timers.clear(&Deadline::Cancelled(id));
        if let Some(out) = self.clients.outgoing.remove(&id)
            && let Some(call) = out.sending.owner.call()
        {
            self.release_call(now, call);
        }
    }

    /// A response arrived from the network.
    pub(super) fn handle_response(&mut self, now: Time, source: Source, response: Response) {
        let (Ok(via), Ok(cseq)) = (response.headers.via_top(), response.headers.cseq()) else {
            return;
        };
        let Some(branch) = via.branch() else {
            return;
        };
        let key = (branch.to_owned(), cseq.method.to_string());
        let Some(&tx) = self.clients.keys.get(&key) else {
            // Late or stray: RFC 6026 §8.9 has it dropped.
            return;
        };
        let Some(t) = self.clients.transactions.get_mut(&tx) else {
            return;
        };
        let todo = match &mut t.machine {
            Machine::Invite(m) => m.handle_response(response.status),
            Machine::Other(m) => m.handle_response(response.status),
        };
        let (transport, remote) = (t.path.transport, t.path.remote);
        match response.headers.retry_after().filter(|_| response.status == 503) {
            Some(seconds) => self.clients.dead.rests(now, transport, remote, seconds),
            None => self.clients.dead.answered(transport, remote),
        }
        self.run_client(now, tx, todo, Some((response, source)));
    }

    /// A timer of a client transaction ran out.
    pub(super) fn client_timer(&mut self, now: Time, tx: u64, timer: Timer) {
        let Some(t) = self.clients.transactions.get_mut(&tx) else {
            return;
        };
        let todo = match &mut t.machine {
            Machine::Invite(m) => m.handle_timer(timer),
            Machine::Other(m) => m.handle_timer(timer),
        };
        self.run_client(now, tx, todo, None);
    }

    /// The network would not take a request; false when the id is of none.
    pub(super) fn client_send_failed(&mut self, now: Time, tx: u64) -> bool {
        let Some(t) = self.clients.transactions.get(&tx) else {
            return false;
        };
        let (pending, outgoing) = match &t.machine {
            Machine::Invite(m) => (m.is_pending(), t.outgoing),
            Machine::Other(m) => (m.is_pending(), t.outgoing),
        };
        if pending {
            let (transport, remote) = (t.path.transport, t.path.remote);
            self.clients.dead.failed(now, transport, remote);
            self.forget_client(now, tx, true);
            self.next_target(now, outgoing, 503);
        }
        true
    }

    /// A connection is gone: what was sent along it and not answered at all has failed.
    pub(super) fn client_conn_closed(&mut self, now: Time, conn: ConnId, remote: SocketAddr) {
        let lost: Vec<u64> = self
            .clients
            .transactions
            .iter()
            .filter(|(_, t)| {
                let ours = match t.path.conn {
                    Some(c) => c == conn,
                    None => t.path.transport.is_reliable() && t.path.remote == remote,
                };
                let unanswered = match &t.machine {
                    Machine::Invite(m) => m.is_calling(),
                    Machine::Other(m) => m.is_pending(),
                };
                ours && unanswered
            })
            .map(|(tx, _)| *tx)
            .collect();
        for tx in lost {
            self.client_send_failed(now, tx);
        }
    }

    /// A response that a client transaction lets through.
    fn client_response(&mut self, now: Time, id: u64, response: Response, source: Source) {
        let Some(out) = self.clients.outgoing.get(&id) else {
            return;
        };
        let more = !out.targets.is_empty() && !out.last_try;
        match response.status {
            ..200 => {
                let owner = out.sending.owner.clone();
                if let Owner::Invite(call) = owner {
                    self.invite_provisional(now, call, id, &response, source);
                }
            }
            401 | 407 if self.answer_challenge(now, id, &response) => {}
            422 if self.ask_longer(now, id, &response) => {}
            503 if more => self.attempt(now, id),
            _ => self.finish(now, id, response, Some(source)),
        }
    }

    /// The final response of a request reaches its owner. `source` is `None` when we made it up ourselves.
    fn finish(&mut self, now: Time, id: u64, response: Response, source: Option<Source>) {
        let Some(out) = self.clients.outgoing.get(&id) else {
            return;
        };
        let owner = out.sending.owner.clone();
        // The request of an answered INVITE stays for further 2xx, until its transaction ends.
        let stays = out.request.method == Method::Invite && response.is_success();
        match owner {
            Owner::Invite(call) => self.invite_final(now, call, id, response, source),
            Owner::InDialog(call) => self.in_dialog_final(now, call, id, &response),
            Owner::Registration(handle) => self.registration_response(now, handle, response, source),
            Owner::Plain(handle) => self.plain_response(handle, &response, source),
            Owner::Update(call) => self.update_final(now, call, &response, source),
            Owner::Refer(call) => self.refer_final(now, call, &response),
            Owner::Bye(_) | Owner::Ack(_) | Owner::Quiet(_) => {}
        }
        if !stays {
            self.forget_outgoing(now, id);
        }
    }

    /// Sends to a peer that needs no proof of who it is: it has spoken to us from there.
    pub(super) fn send(&mut self, id: SendId, path: Path, bytes: Vec<u8>) {
        self.send_to(id, path, None, bytes);
    }

    fn send_to(&mut self, id: SendId, path: Path, domain: Option<Arc<str>>, bytes: Vec<u8>) {
        self.out.push_back(Output::Send {
            id,
            transport: path.transport,
            local: path.local,
            remote: path.remote,
            conn: path.conn,
            domain,
            bytes,
        });
    }
}

/// ACK of a final response other than 2xx (RFC 3261 §17.1.1.3), or CANCEL (§9.1): both follow the path of the
/// request as it was sent.
fn follow_up(invite: &Request, method: Method, response: Option<&Response>) -> Request {
    let mut req = Request::new(method.clone(), invite.uri.clone());
    if let Ok(via) = invite.headers.via_top() {
        req.headers.push(HeaderName::Via, via);
    }
    req.headers.push(HeaderName::MaxForwards, 70);
    req.headers.copy_from(&invite.headers, &HeaderName::Route);
    req.headers.copy_first_from(&invite.headers, &HeaderName::From);
    let to = response.map_or(&invite.headers, |r| &r.headers);
    req.headers.copy_first_from(to, &HeaderName::To);
    req.headers.copy_first_from(&invite.headers, &HeaderName::CallId);
    if let Ok(cseq) = invite.headers.cseq() {
        req.headers
            .push(HeaderName::CSeq, format!("{} {method}", cseq.seq));
    }
    req
}
