//! From a request to its next hop: lookup, addresses in turn, transport by size (RFC 3263, RFC 3261 §18.1.1).

use std::net::SocketAddr;
use std::sync::Arc;

use base::Time;

use super::{MAX_TARGETS, Machine, Owner, Path, Target, Transaction};
use crate::endpoint::{Deadline, Endpoint, LookupId, Output, SendId};
use crate::header::{HeaderName, NameAddr, Via};
use crate::msg::{Method, Response};
use crate::transaction::{Ict, Nict, Timer};
use crate::transport::{Destination, Transport};
use crate::uri::{Scheme, Uri};

/// In units of T1: time for four transmissions over UDP, and half a second for the last one.
const PATIENCE: u32 = 8;

impl Endpoint {
    /// Tries the next target of a request, or reports that none is left.
    pub(super) fn attempt(&mut self, now: Time, id: u64) {
        loop {
            let Some(out) = self.clients.outgoing.get_mut(&id) else {
                return;
            };
            out.transaction = None;
            let target = match out.sending.flow.take() {
                Some(flow) => Some(Target::Flow(flow)),
                None => out.targets.pop_front(),
            };
            let Some(target) = target else {
                let Some(hop) = out.sending.hop.take() else {
                    self.fail(now, id, 503);
                    return;
                };
                out.domain = Some(domain(&hop));
                match numeric(&hop) {
                    Some(dest) => out.targets.push_back(Target::Address(dest)),
                    None => {
                        let lookup = LookupId(self.new_id());
                        self.clients.lookups.insert(lookup, id);
                        self.timers
                            .set(Deadline::Lookup(lookup), now + self.config.base().limit());
                        self.out.push_back(Output::Lookup { id: lookup, uri: hop });
                        return;
                    }
                }
                continue;
            };
            if self.launch(now, id, target) {
                return;
            }
        }
    }

    /// Sends a request to one target; false when we have no socket for it.
    pub(super) fn launch(&mut self, now: Time, id: u64, target: Target) -> bool {
        let (path, is_flow) = match target {
            Target::Flow(flow) => (Path::from(flow), true),
            Target::Address(dest) | Target::LargeUdp(dest) => {
                let Some(listener) = self.config.listener(dest.transport, dest.addr) else {
                    return false;
                };
                let path = Path {
                    transport: dest.transport,
                    local: Some(listener.local),
                    remote: dest.addr,
                    conn: None,
                };
                (path, false)
            }
        };
        let branch = format!("z9hG4bK{}", self.rng.token(16));
        let Some(out) = self.clients.outgoing.get_mut(&id) else {
            return true;
        };
        let mut request = out.request.clone();
        let listener = path
            .local
            .and_then(|local| self.config.listener_at(path.transport, local));
        let Some(listener) = listener else {
            return false;
        };
        let mut via = Via::new(
            path.transport.via(),
            listener.host.clone(),
            Some(listener.port),
            &branch,
        );
        via.params.set("rport", None);
        request.headers.push_front(HeaderName::Via, via);
        if let Some((user, params)) = &out.sending.contact {
            // RFC 3261 §8.1.1.8.
            let secure = match request.headers.list(&HeaderName::Route).next() {
                Some(route) => NameAddr::parse(route).is_some_and(|r| r.uri.is_secure()),
                None => false,
            };
            let contact = listener.contact(user.as_deref(), secure || request.uri.is_secure());
            request
                .headers
                .push(HeaderName::Contact, format!("{}{params}", NameAddr::new(contact)));
        }
        request
            .headers
            .push(HeaderName::UserAgent, &self.config.user_agent);
        let bytes = request.to_bytes();
        if let Target::Address(dest) = target
            && dest.transport == Transport::Udp
            && bytes.len() > self.config.udp_max
            && self.config.listener(Transport::Tcp, dest.addr).is_some()
        {
            out.targets.push_front(Target::LargeUdp(dest));
            let transport = Transport::Tcp;
            out.targets
                .push_front(Target::Address(Destination { transport, ..dest }));
            return false;
        }
        if out.request.method == Method::Ack {
            let owner = out.sending.owner.clone();
            let domain = out.domain.clone().filter(|_| path.transport.is_secure());
            self.send_to(SendId(0), path, domain, bytes.clone());
            self.forget_outgoing(now, id);
            if let Owner::Ack(call) = owner {
                self.ack_sent(call, &request, path, bytes);
            }
            return true;
        }
        let domain = out.domain.clone().filter(|_| path.transport.is_secure());
        let reliable = path.transport.is_reliable();
        let (machine, todo) = if request.method == Method::Invite {
            let (ict, todo) = Ict::new(self.config.base(), reliable);
            (Machine::Invite(ict), todo)
        } else {
            let (nict, todo) = Nict::new(self.config.base(), reliable);
            (Machine::Other(nict), todo)
        };
        let key = (branch, request.method.to_string());
        let transaction = Transaction {
            machine,
            outgoing: id,
            request,
            bytes,
            key: key.clone(),
            path,
            domain,
            flow: is_flow,
        };
        let tx = self.new_id();
        if let Some(out) = self.clients.outgoing.get_mut(&id) {
            out.transaction = Some(tx);
            out.path = Some((path, is_flow));
        }
        self.clients.transactions.insert(tx, transaction);
        self.clients.keys.insert(key, tx);
        self.run_client(now, tx, todo, None);
        self.hurry(now, id, tx, path, is_flow);
        true
    }

    /// An INVITE that nobody answers at all does not wait for timer B where it could be at another server, or where
    /// nobody has answered of late (RFC 3263 §4.3): four transmissions are enough.
    fn hurry(&mut self, now: Time, id: u64, tx: u64, path: Path, is_flow: bool) {
        let Some(out) = self.clients.outgoing.get(&id) else {
            return;
        };
        let dead = self.clients.dead.is(now, path.transport, path.remote);
        if out.request.method == Method::Invite && !is_flow && (dead || !out.targets.is_empty()) {
            let patience = self.config.t1 * PATIENCE;
            self.timers
                .set(Deadline::Transaction(tx, Timer::B), now + patience);
        }
    }

    /// Where a lookup leads; none when it failed.
    pub(in crate::endpoint) fn resolved(&mut self, now: Time, lookup: LookupId, found: Vec<Destination>) {
        self.timers.clear(&Deadline::Lookup(lookup));
        let Some(id) = self.clients.lookups.remove(&lookup) else {
            return;
        };
        if let Some(out) = self.clients.outgoing.get_mut(&id) {
            if out.last_try {
                // It was given up before it left.
                self.fail(now, id, 487);
                return;
            }
            let dead = &self.clients.dead;
            // The order among the living, and among the dead, stays that of DNS.
            let (dead, alive): (Vec<_>, Vec<_>) = found
                .into_iter()
                .take(MAX_TARGETS)
                .partition(|d| dead.is(now, d.transport, d.addr));
            out.targets
                .extend(alive.into_iter().chain(dead).map(Target::Address));
            self.attempt(now, id);
        }
    }

    /// A target failed: the next one, or the end with this status.
    pub(super) fn next_target(&mut self, now: Time, id: u64, status: u16) {
        let Some(out) = self.clients.outgoing.get(&id) else {
            return;
        };
        let more = !out.targets.is_empty() || out.sending.hop.is_some();
        if more && !out.last_try {
            self.attempt(now, id);
        } else {
            self.fail(now, id, status);
        }
    }

    /// No target is left.
    pub(super) fn fail(&mut self, now: Time, id: u64, status: u16) {
        if let Some(out) = self.clients.outgoing.get(&id) {
            let response = Response::to_request(&out.request, status, None);
            self.finish(now, id, response, None);
        }
    }
}

/// Whose certificate the server of a URI must show (RFC 5922 §7.1): that of its host, not of what DNS makes of it.
fn domain(uri: &Uri) -> Arc<str> {
    match uri.host().ip() {
        Some(ip) => ip.to_string().into(),
        None => uri.host().to_string().into(),
    }
}

/// The destination of a URI that needs no lookup (RFC 3263 §4 with a numeric host).
fn numeric(uri: &Uri) -> Option<Destination> {
    let ip = uri.host().ip()?;
    let secure = *uri.scheme() == Scheme::Sips;
    let transport = match uri.param("transport") {
        Some(name) => Transport::parse(name)?,
        None if secure => Transport::Tls,
        None => Transport::Udp,
    };
    let transport = match transport {
        Transport::Tcp if secure => Transport::Tls,
        Transport::Ws if secure => Transport::Wss,
        t => t,
    };
    let port = uri.port().unwrap_or(transport.default_port());
    Some(Destination {
        transport,
        addr: SocketAddr::new(ip, port),
    })
}
