//! A request sent again as its response demands, and the end of an INVITE by CANCEL.

use base::Time;

use super::{MAX_CHALLENGES, Machine, Path, Target, Transaction, follow_up};
use crate::endpoint::{Deadline, Endpoint};
use crate::header::HeaderName;
use crate::msg::{Method, Request, Response};
use crate::transaction::Nict;
use crate::transport::{Destination, Source};

impl Endpoint {
    /// Sends a request again with the answer to its challenge; false when it cannot be answered.
    pub(super) fn answer_challenge(&mut self, now: Time, id: u64, response: &Response) -> bool {
        let Some(out) = self.clients.outgoing.get(&id) else {
            return false;
        };
        if out.challenges >= MAX_CHALLENGES || out.last_try {
            return false;
        }
        let Some(mut client) = out.sending.auth.clone() else {
            return false;
        };
        let mut request = out.request.clone();
        let owner = out.sending.owner.clone();
        if client.challenged(&request, response).is_err() {
            return false;
        }
        client.sign(&mut request, &mut self.rng);
        self.keep_auth(&owner, &client);
        if let Some(out) = self.clients.outgoing.get_mut(&id) {
            out.sending.auth = Some(client);
            out.challenges += 1;
        }
        self.send_again(now, id, request);
        true
    }

    /// Asks again with the session timer that a 422 demands (RFC 4028 §7.3); false when that makes no sense.
    pub(super) fn ask_longer(&mut self, now: Time, id: u64, response: &Response) -> bool {
        let Some(out) = self.clients.outgoing.get(&id) else {
            return false;
        };
        let Some(call) = out.sending.owner.call() else {
            return false;
        };
        if out.challenges >= MAX_CHALLENGES
            || out.last_try
            || !out.request.headers.has(&HeaderName::SessionExpires)
        {
            return false;
        }
        let mut request = out.request.clone();
        if !self.raise_session(call, &mut request.headers, &response.headers) {
            return false;
        }
        if let Some(out) = self.clients.outgoing.get_mut(&id) {
            out.challenges += 1;
            if let Some(auth) = &mut out.sending.auth {
                auth.sign(&mut request, &mut self.rng);
            }
        }
        self.send_again(now, id, request);
        true
    }

    /// Sends a changed request to the same place, with a new CSeq and branch.
    pub(super) fn send_again(&mut self, now: Time, id: u64, mut request: Request) {
        let Some(out) = self.clients.outgoing.get(&id) else {
            return;
        };
        let (owner, path) = (out.sending.owner.clone(), out.path);
        let old = request.headers.cseq().map_or(0, |c| c.seq);
        let seq = self.next_cseq(&owner).unwrap_or(old.wrapping_add(1));
        request
            .headers
            .set(HeaderName::CSeq, format!("{seq} {}", request.method));
        let target = path.and_then(|(path, is_flow)| {
            let Path {
                transport,
                local,
                remote,
                conn,
            } = path;
            if !is_flow {
                let addr = remote;
                return Some(Target::Address(Destination { transport, addr }));
            }
            let local = local?;
            Some(Target::Flow(Source {
                transport,
                local,
                remote,
                conn,
            }))
        });
        if let Some(out) = self.clients.outgoing.get_mut(&id) {
            out.request = request;
            if let Some(target) = target {
                out.targets.push_front(target);
            }
        }
        self.attempt(now, id);
    }

    /// Gives up a pending INVITE (RFC 3261 §9.1). The INVITE is not tried at further addresses. Call only after a
    /// provisional response.
    pub(in crate::endpoint) fn cancel(&mut self, now: Time, id: u64) {
        let Some(out) = self.clients.outgoing.get_mut(&id) else {
            return;
        };
        out.last_try = true;
        let Some(t) = out.transaction.and_then(|tx| self.clients.transactions.get(&tx)) else {
            return;
        };
        let request = follow_up(&t.request, Method::Cancel, None);
        let (path, domain, flow) = (t.path, t.domain.clone(), t.flow);
        let (nict, todo) = Nict::new(self.config.base(), path.transport.is_reliable());
        let key = (t.key.0.clone(), Method::Cancel.to_string());
        let transaction = Transaction {
            machine: Machine::Other(nict),
            // No request is known by this: the response interests nobody.
            outgoing: 0,
            bytes: request.to_bytes(),
            request,
            key: key.clone(),
            path,
            domain,
            flow,
        };
        let tx = self.new_id();
        self.clients.transactions.insert(tx, transaction);
        self.clients.keys.insert(key, tx);
        self.run_client(now, tx, todo, None);
        // A peer that lost the INVITE never answers it: the transaction ends by itself then.
        self.timers
            .set(Deadline::Cancelled(id), now + self.config.base().limit());
    }

    /// An INVITE that nobody has answered at all need not be cancelled, but must not be tried further.
    pub(in crate::endpoint) fn no_more_tries(&mut self, id: u64) {
        if let Some(out) = self.clients.outgoing.get_mut(&id) {
            out.last_try = true;
        }
    }

    /// Ends an INVITE at `at` if it has no final response then.
    pub(in crate::endpoint) fn limit_invite(&mut self, id: u64, at: Time) {
        if self.clients.outgoing.contains_key(&id) {
            self.timers.set(Deadline::Cancelled(id), at);
        }
    }

    /// A cancelled INVITE was never answered finally.
    pub(in crate::endpoint) fn cancelled_in_vain(&mut self, now: Time, id: u64) {
        let Some(tx) = self.clients.outgoing.get(&id).and_then(|o| o.transaction) else {
            return;
        };
        if let Some(Transaction {
            machine: Machine::Invite(ict),
            ..
        }) = self.clients.transactions.get(&tx)
            && ict.is_pending()
        {
            self.forget_client(now, tx, true);
            self.fail(now, id, 408);
        }
    }
}
