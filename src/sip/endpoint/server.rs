//! Requests we receive: transactions, the checks of RFC 3261 §8.2, responses.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base::{ConnId, Time};

use super::client::Path;
use super::{CallHandle, Deadline, Endpoint, SendId};
use crate::header::{HeaderName, Headers, NameAddr};
use crate::msg::{Method, Request, Response};
use crate::transaction::{Do, Ist, Nist, Timer};
use crate::transport::Source;

/// What we say we understand.
pub(super) const ACCEPT: &str = "application/sdp";
/// Retry-After of a 503 when full, in seconds.
const RETRY_AFTER: u32 = 10;

#[derive(Debug)]
enum Machine {
    Invite(Ist),
    Other(Nist),
}

#[derive(Debug)]
struct Transaction {
    machine: Machine,
    key: String,
    merge: String,
    request: Request,
    source: Source,
    path: Path,
    /// The To tag of our responses, when the request had none.
    tag: String,
    last: Vec<u8>,
    /// The call that waits for the end of this INVITE.
    call: Option<CallHandle>,
    /// The path of the response was already replaced.
    rerouted: bool,
}

/// Server transactions.
#[derive(Debug, Default)]
pub(super) struct Table {
    transactions: BTreeMap<u64, Transaction>,
    keys: BTreeMap<String, u64>,
    merges: BTreeMap<String, u64>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.transactions.len()
    }

    pub(super) fn request(&self, tx: u64) -> Option<&Request> {
        self.transactions.get(&tx).map(|t| &t.request)
    }

    pub(super) fn source(&self, tx: u64) -> Option<Source> {
        self.transactions.get(&tx).map(|t| t.source)
    }

    pub(super) fn path(&self, tx: u64) -> Option<Path> {
        self.transactions.get(&tx).map(|t| t.path)
    }

    /// The bytes of the last response.
    pub(super) fn last(&self, tx: u64) -> Option<Vec<u8>> {
        self.transactions.get(&tx).map(|t| t.last.clone())
    }

    /// No final response was sent yet.
    pub(super) fn is_pending(&self, tx: u64) -> bool {
        self.transactions.get(&tx).is_some_and(|t| match &t.machine {
            Machine::Invite(m) => m.is_pending(),
            Machine::Other(m) => m.is_pending(),
        })
    }

    pub(super) fn tag(&self, tx: u64) -> &str {
        self.transactions.get(&tx).map_or("", |t| t.tag.as_str())
    }

    /// Ties an INVITE to the call that answers it.
    pub(super) fn set_call(&mut self, tx: u64, call: CallHandle) {
        if let Some(t) = self.transactions.get_mut(&tx) {
            t.call = Some(call);
        }
    }
}

impl Endpoint {
    /// A request arrived from the network.
    pub(super) fn handle_request(&mut self, now: Time, source: Source, mut request: Request) {
        let Some(reply) = stamp_via(&mut request.headers, source) else {
            return;
        };
        let Some(key) = transaction_key(&request, &request.method) else {
            return;
        };
        if request.method == Method::Ack {
            self.handle_ack(now, source, &request, &key);
            return;
        }
        if let Some(&tx) = self.servers.keys.get(&key) {
            self.handle_repeated(now, tx);
            return;
        }
        // What belongs to a call in progress passes whatever its source has done since.
        if !self.is_of_call(&request) && !self.takes_from(now, source.remote.ip(), &request) {
            return;
        }
        if self.servers.len() >= self.config.limits.transactions {
            let mut response = Response::to_request(&request, 503, None);
            response.headers.push(HeaderName::RetryAfter, RETRY_AFTER);
            self.send_stateless(reply, response);
            return;
        }
        let merge = merge_key(&request);
        let merged = request.headers.to().is_ok_and(|to| to.tag().is_none())
            && request.method != Method::Cancel
            && self.servers.merges.contains_key(&merge);
        let tx = self.new_id();
        let reliable = source.transport.is_reliable();
        let (machine, todo) = if request.method == Method::Invite {
            (
                Machine::Invite(Ist::new(self.config.base(), reliable)),
                Vec::new(),
            )
        } else {
            let (nist, todo) = Nist::new(self.config.base(), reliable);
            (Machine::Other(nist), todo)
        };
        let transaction = Transaction {
            machine,
            key: key.clone(),
            merge: merge.clone(),
            request: request.clone(),
            source,
            path: reply,
            tag: self.rng.token(10),
            last: Vec::new(),
            call: None,
            rerouted: false,
        };
        self.servers.transactions.insert(tx, transaction);
        self.servers.keys.insert(key, tx);
        self.servers.merges.entry(merge).or_insert(tx);
        self.run_server(now, tx, todo);
        if merged {
            self.reject(now, tx, 482);
        } else {
            self.dispatch(now, tx, source, request);
        }
    }

    /// Whether a request belongs to a dialog of ours, or cancels an INVITE that we have.
    fn is_of_call(&self, request: &Request) -> bool {
        if request.method == Method::Cancel {
            return transaction_key(request, &Method::Invite)
                .is_some_and(|k| self.servers.keys.contains_key(&k));
        }
        let (Ok(to), Ok(call_id)) = (request.headers.to(), request.headers.call_id()) else {
            return false;
        };
        to.tag()
            .is_some_and(|tag| self.dialogs.contains_key(&(call_id.to_owned(), tag.to_owned())))
    }

    /// A new request in its transaction.
    fn dispatch(&mut self, now: Time, tx: u64, source: Source, request: Request) {
        if request.method == Method::Cancel {
            self.handle_cancel(now, tx, &request);
            return;
        }
        if request.body.len() > self.config.limits.body {
            self.reject(now, tx, 513);
            return;
        }
        if matches!(request.method, Method::Other(_)) {
            self.reject_with(now, tx, 501, vec![(HeaderName::Allow, self.allow())]);
            return;
        }
        if !self.allows(&request.method) {
            self.reject_with(now, tx, 405, vec![(HeaderName::Allow, self.allow())]);
            return;
        }
        if !request.uri.is_sip() && !matches!(request.uri.scheme(), crate::uri::Scheme::Tel) {
            self.reject(now, tx, 416);
            return;
        }
        let unknown: Vec<&str> = request
            .headers
            .require()
            .filter(|tag| !self.supports(tag))
            .collect();
        if !unknown.is_empty() {
            let unsupported = unknown.join(", ");
            self.reject_with(now, tx, 420, vec![(HeaderName::Unsupported, unsupported)]);
            return;
        }
        if let Some(encoding) = request.headers.get(&HeaderName::ContentEncoding)
            && !encoding.trim().eq_ignore_ascii_case("identity")
        {
            self.reject_with(
                now,
                tx,
                415,
                vec![(HeaderName::AcceptEncoding, "identity".to_owned())],
            );
            return;
        }
        let Ok(to) = request.headers.to() else {
            self.reject(now, tx, 400);
            return;
        };
        match (to.tag(), &request.method) {
            (Some(_), Method::Register) | (None, Method::Register) => {
                self.handle_register(now, tx, source, &request);
            }
            (Some(tag), _) => {
                let tag = tag.to_owned();
                self.handle_in_dialog(now, tx, source, request, &tag);
            }
            (None, Method::Invite) => self.handle_invite(now, tx, source, request),
            (None, Method::Options) => self.handle_options(now, tx),
            (None, Method::Message) => self.handle_message_request(now, tx, source, &request, None),
            // These exist within dialogs only.
            (None, _) => self.reject(now, tx, 481),
        }
    }

    /// Whether a body can be taken as a session description: absent, SDP, or said to be optional. When not,
    /// the request is answered 415.
    pub(super) fn check_sdp(&mut self, now: Time, tx: u64, request: &Request) -> bool {
        if request.body.is_empty() {
            return true;
        }
        let sdp = match request.headers.content_type() {
            Some(kind) => kind.is("application", "sdp"),
            None => false,
        };
        if sdp || is_optional(&request.headers) {
            return true;
        }
        self.reject_with(now, tx, 415, vec![(HeaderName::Accept, ACCEPT.to_owned())]);
        false
    }

    fn handle_options(&mut self, now: Time, tx: u64) {
        let Some(request) = self.servers.request(tx) else {
            return;
        };
        let mut response = Response::to_request(request, 200, None);
        self.describe(&mut response.headers);
        response.headers.push(HeaderName::Accept, ACCEPT);
        response.headers.push(HeaderName::AcceptEncoding, "identity");
        response.headers.push(HeaderName::AcceptLanguage, "en");
        self.respond(now, tx, response);
    }

    /// CANCEL: answered 200 when its INVITE is known, which then ends with 487 (RFC 3261 §9.2).
    fn handle_cancel(&mut self, now: Time, tx: u64, request: &Request) {
        let invite =
            transaction_key(request, &Method::Invite).and_then(|k| self.servers.keys.get(&k).copied());
        let Some(invite) = invite else {
            self.reject(now, tx, 481);
            return;
        };
        let mut response = Response::to_request(request, 200, None);
        // The same tag as in the INVITE's responses.
        if let (Ok(mut to), Some(t)) = (response.headers.to(), self.servers.transactions.get(&invite))
            && to.tag().is_none()
        {
            to.set_tag(&t.tag);
            response.headers.set(HeaderName::To, to);
        }
        let call = self.servers.transactions.get(&invite).and_then(|t| t.call);
        self.respond(now, tx, response);
        if !self.servers.is_pending(invite) {
            return;
        }
        self.reject(now, invite, 487);
        if let Some(call) = call {
            self.invite_cancelled(now, call, invite, request);
        }
    }

    fn handle_ack(&mut self, now: Time, source: Source, request: &Request, key: &str) {
        if let Some(&tx) = self.servers.keys.get(key)
            && let Some(Transaction {
                machine: Machine::Invite(m),
                ..
            }) = self.servers.transactions.get_mut(&tx)
        {
            let todo = m.handle_ack();
            let deliver = todo.contains(&Do::Deliver);
            self.run_server(now, tx, todo);
            if !deliver {
                return;
            }
        }
        self.ack_received(now, source, request);
    }

    fn handle_repeated(&mut self, now: Time, tx: u64) {
        let Some(t) = self.servers.transactions.get_mut(&tx) else {
            return;
        };
        let todo = match &mut t.machine {
            Machine::Invite(m) => m.handle_retransmission(),
            Machine::Other(m) => m.handle_retransmission(),
        };
        self.run_server(now, tx, todo);
    }

    /// Sends a response in its transaction. A To tag is added where one is missing.
    pub(super) fn respond(&mut self, now: Time, tx: u64, mut response: Response) {
        let Some(t) = self.servers.transactions.get_mut(&tx) else {
            return;
        };
        if response.status != 100
            && let Ok(mut to) = response.headers.to()
            && to.tag().is_none()
        {
            to.set_tag(&t.tag);
            response.headers.set(HeaderName::To, to);
        }
        response.headers.push(HeaderName::Server, &self.config.user_agent);
        let todo = match &mut t.machine {
            Machine::Invite(m) => m.respond(response.status),
            Machine::Other(m) => m.respond(response.status),
        };
        if todo.contains(&Do::Send) {
            t.last = response.to_bytes();
        }
        self.run_server(now, tx, todo);
    }

    /// Answers a request with a status and nothing else.
    pub(super) fn reject(&mut self, now: Time, tx: u64, status: u16) {
        self.reject_with(now, tx, status, Vec::new());
    }

    /// Answers a request with a status and header fields.
    pub(super) fn reject_with(
        &mut self,
        now: Time,
        tx: u64,
        status: u16,
        headers: Vec<(HeaderName, String)>,
    ) {
        let Some(request) = self.servers.request(tx) else {
            return;
        };
        let mut response = Response::to_request(request, status, None);
        for (name, value) in headers {
            response.headers.push(name, value);
        }
        self.respond(now, tx, response);
    }

    fn run_server(&mut self, now: Time, tx: u64, todo: Vec<Do>) {
        for what in todo {
            let Some(t) = self.servers.transactions.get(&tx) else {
                return;
            };
            match what {
                Do::Send => {
                    let (path, bytes) = (t.path, t.last.clone());
                    self.send(SendId(tx), path, bytes);
                }
                Do::Trying => {
                    let response = Response::to_request(&t.request, 100, None);
                    self.respond(now, tx, response);
                }
                Do::Set(timer, after) => self.timers.set(Deadline::Transaction(tx, timer), now + after),
                Do::Clear(timer) => self.timers.clear(&Deadline::Transaction(tx, timer)),
                Do::Done => self.forget_server(tx),
                // A lost ACK of a refusal interests nobody; an ACK of a 2xx goes to its dialog.
                Do::Ack | Do::Deliver | Do::Timeout => {}
            }
        }
    }

    fn forget_server(&mut self, tx: u64) {
        let Some(t) = self.servers.transactions.remove(&tx) else {
            return;
        };
        self.servers.keys.remove(&t.key);
        if self.servers.merges.get(&t.merge) == Some(&tx) {
            self.servers.merges.remove(&t.merge);
        }
        for timer in [
            Timer::F,
            Timer::G,
            Timer::H,
            Timer::I,
            Timer::J,
            Timer::L,
            Timer::Trying,
        ] {
            self.timers.clear(&Deadline::Transaction(tx, timer));
        }
    }

    /// A timer of a server transaction ran out.
    pub(super) fn server_timer(&mut self, now: Time, tx: u64, timer: Timer) {
        let Some(t) = self.servers.transactions.get_mut(&tx) else {
            return;
        };
        let todo = match &mut t.machine {
            Machine::Invite(m) => m.handle_timer(timer),
            Machine::Other(m) => m.handle_timer(timer),
        };
        self.run_server(now, tx, todo);
    }

    /// The network would not take a response: it goes once more, to the address that Via names (RFC 3261
    /// §18.2.2).
    pub(super) fn server_send_failed(&mut self, tx: u64) {
        let Some(t) = self.servers.transactions.get_mut(&tx) else {
            return;
        };
        if t.rerouted || !t.path.transport.is_reliable() {
            return;
        }
        t.rerouted = true;
        let port = t.request.headers.via_top().ok().and_then(|v| v.port);
        let port = port.unwrap_or(t.path.transport.default_port());
        t.path.remote = SocketAddr::new(t.source.remote.ip(), port);
        t.path.conn = None;
        let (path, bytes) = (t.path, t.last.clone());
        self.send(SendId(tx), path, bytes);
    }

    /// A connection is gone: responses go to where Via says from now on.
    pub(super) fn server_conn_closed(&mut self, conn: ConnId) {
        for t in self.servers.transactions.values_mut() {
            if t.path.conn == Some(conn) {
                t.path.conn = None;
                t.rerouted = true;
                let port = t.request.headers.via_top().ok().and_then(|v| v.port);
                let port = port.unwrap_or(t.path.transport.default_port());
                t.path.remote = SocketAddr::new(t.source.remote.ip(), port);
            }
        }
    }

    /// The answer to what could not be parsed, sent without a transaction: it is the same each time.
    pub(super) fn send_parse_reply(&mut self, source: Source, mut response: Response) {
        if let Some(path) = stamp_via(&mut response.headers, source) {
            self.send_stateless(path, response);
        }
    }

    fn send_stateless(&mut self, path: Path, mut response: Response) {
        if let Ok(mut to) = response.headers.to()
            && to.tag().is_none()
        {
            to.set_tag(&self.rng.token(10));
            response.headers.set(HeaderName::To, to);
        }
        response.headers.push(HeaderName::Server, &self.config.user_agent);
        self.send(SendId(0), path, response.to_bytes());
    }

    /// Whether a method is served.
    fn allows(&self, method: &Method) -> bool {
        match method {
            Method::Register => self.config.registrar,
            Method::Invite
            | Method::Ack
            | Method::Bye
            | Method::Cancel
            | Method::Options
            | Method::Info
            | Method::Message
            | Method::Prack
            | Method::Update => true,
            Method::Refer | Method::Notify => self.config.transfers,
            _ => false,
        }
    }

    /// The value of Allow.
    pub(super) fn allow(&self) -> String {
        let mut allow = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, MESSAGE, PRACK, UPDATE".to_owned();
        if self.config.transfers {
            allow.push_str(", REFER, NOTIFY");
        }
        if self.config.registrar {
            allow.push_str(", REGISTER");
        }
        allow
    }

    /// Whether an option tag is understood in Require.
    fn supports(&self, tag: &str) -> bool {
        // A proxy may demand that the registrar takes its Path (RFC 3327 §5.2); we always do.
        let path = self.config.registrar && tag.eq_ignore_ascii_case("path");
        path || self.extensions().any(|known| known.eq_ignore_ascii_case(tag))
    }

    /// The extensions we know.
    fn extensions(&self) -> impl Iterator<Item = &'static str> {
        let timer = self.config.session_expires > 0;
        let transfers = self.config.transfers;
        [
            ("100rel", true),
            ("timer", timer),
            ("replaces", transfers),
            ("norefersub", transfers),
        ]
        .into_iter()
        .filter_map(|(tag, known)| known.then_some(tag))
    }

    /// Adds Allow and Supported.
    pub(super) fn describe(&self, headers: &mut Headers) {
        headers.push(HeaderName::Allow, self.allow());
        headers.push(
            HeaderName::Supported,
            self.extensions().collect::<Vec<_>>().join(", "),
        );
    }

    /// Our Contact in the response to a request that came along `source`.
    pub(super) fn contact_at(
        &self,
        request: &Request,
        source: Source,
        user: Option<&str>,
    ) -> Option<NameAddr> {
        let listener = self.config.listener_at(source.transport, source.local)?;
        Some(NameAddr::new(listener.contact(user, wants_security(request))))
    }
}

/// Whether a request calls for a sips Contact in its response (RFC 3261 §12.1.1): its Request-URI is one, or the
/// topmost Record-Route, or without that its Contact.
fn wants_security(request: &Request) -> bool {
    let first = request.headers.list(&HeaderName::RecordRoute).next();
    let route = first.map(|r| NameAddr::parse(r).is_some_and(|r| r.uri.is_secure()));
    let contact = || {
        let contacts = request.headers.contacts().unwrap_or_default();
        contacts.first().is_some_and(|c| c.uri.is_secure())
    };
    request.uri.is_secure() || route.unwrap_or_else(contact)
}

/// Whether the sender lets the body be ignored (RFC 3261 §20.11).
fn is_optional(headers: &Headers) -> bool {
    headers.get(&HeaderName::ContentDisposition).is_some_and(|d| {
        d.split(';')
            .any(|p| p.replace(' ', "").eq_ignore_ascii_case("handling=optional"))
    })
}

/// Notes in the topmost Via where the message came from (RFC 3261 §18.2.1, RFC 3581 §4), and gives the path of
/// the responses (§18.2.2).
fn stamp_via(headers: &mut Headers, source: Source) -> Option<Path> {
    let mut via = headers.via_top().ok()?;
    let ip = source.remote.ip();
    let rport = via.params.has("rport");
    if rport {
        via.params.set("rport", Some(&source.remote.port().to_string()));
    }
    if rport || via.host.ip() != Some(ip) {
        via.params.set("received", Some(&ip.to_string()));
    } else {
        via.params.remove("received");
    }
    headers.set_via_top(&via);
    let mut path = Path::from(source);
    if !source.transport.is_reliable() && !rport {
        path.remote
            .set_port(via.port.unwrap_or(source.transport.default_port()));
    }
    Some(path)
}

/// Names the server transaction a request belongs to (RFC 3261 §17.2.3), as if its method were `method` but for
/// ACK, which belongs to INVITE.
fn transaction_key(request: &Request, method: &Method) -> Option<String> {
    let method = match method {
        Method::Ack => "INVITE",
        m => m.as_str(),
    };
    let via = request.headers.via_top().ok()?;
    let port = via.port.unwrap_or(0);
    let host = via.host.to_string().to_ascii_lowercase();
    if let Some(branch) = via.branch().filter(|b| b.starts_with("z9hG4bK")) {
        return Some(format!("{branch} {host}:{port} {method}"));
    }
    // A client of RFC 2543.
    let from = request.headers.from().ok()?;
    Some(format!(
        "- {} {} {} {} {via} {method}",
        request.uri,
        request.headers.call_id().ok()?,
        from.tag().unwrap_or(""),
        request.headers.cseq().ok()?.seq,
    ))
}

/// What copies of one request that came by different ways have in common (RFC 3261 §8.2.2.2).
fn merge_key(request: &Request) -> String {
    let from = request.headers.from().ok();
    format!(
        "{} {} {} {}",
        request.headers.call_id().unwrap_or(""),
        from.as_ref().and_then(NameAddr::tag).unwrap_or(""),
        request.headers.cseq().map_or(0, |c| c.seq),
        request.method,
    )
}
