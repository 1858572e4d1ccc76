//! Reliable provisional responses and PRACK, both ways (RFC 3262).

use std::collections::VecDeque;
use std::time::Duration;

use base::{EndReason, Rng, Time};

use super::call::{CallTimer, State, sdp_of};
use super::client::Path;
use super::{Body, CallHandle, Deadline, Endpoint, Event, Refused, SendId};
use crate::header::{HeaderName, Headers};
use crate::msg::{Method, Request, Response};

/// Reliable responses that wait for the PRACK of another.
const MAX_QUEUED: usize = 4;

/// What the caller wants of provisional responses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Wish {
    #[default]
    Unreliable,
    Supported,
    Required,
}

/// A reliable provisional response that waits for its PRACK.
#[derive(Debug)]
struct Unacked {
    rseq: u32,
    cseq: u32,
    path: Path,
    bytes: Vec<u8>,
    interval: Duration,
    until: Time,
    /// It holds a session description.
    described: bool,
    /// It holds the offer.
    offered: bool,
}

/// The reliable provisional responses to one INVITE of the peer.
#[derive(Debug, Default)]
pub(super) struct Reliable {
    wish: Wish,
    /// The RSeq of the last one.
    rseq: u32,
    unacked: Option<Unacked>,
    queue: VecDeque<Response>,
    /// The user's answer, held until the PRACK.
    pub(super) answer: Option<Option<Body>>,
}

impl Reliable {
    /// As the headers of an INVITE say.
    pub(super) fn of(headers: &Headers, rng: &mut Rng) -> Reliable {
        let has = |tag: &str| tag.eq_ignore_ascii_case("100rel");
        let wish = if headers.require().any(has) {
            Wish::Required
        } else if headers.supported().any(has) {
            Wish::Supported
        } else {
            Wish::Unreliable
        };
        Reliable {
            wish,
            rseq: 1 + (rng.next_u32() >> 2),
            ..Reliable::default()
        }
    }

    /// Whether a provisional response is to be reliable: when the caller demands it, and early media always
    /// when it can.
    pub(super) fn is_wanted(&self, described: bool) -> bool {
        self.wish == Wish::Required || (self.wish == Wish::Supported && described)
    }

    /// Whether a 2xx has to wait: it must not overtake a description (RFC 3262 §5), and better overtakes nothing.
    pub(super) fn holds_answer(&self) -> bool {
        self.unacked.is_some() || !self.queue.is_empty()
    }
}

impl Endpoint {
    /// Sends a provisional response reliably, or queues it behind one that has no PRACK yet.
    pub(super) fn send_reliable(
        &mut self,
        now: Time,
        call: CallHandle,
        tx: u64,
        mut response: Response,
    ) -> Result<(), Refused> {
        let (Some(request), Some(path)) = (self.servers.request(tx), self.servers.path(tx)) else {
            return Err(Refused::Gone);
        };
        let cseq = request.headers.cseq().map_or(0, |c| c.seq);
        let offers = sdp_of(&request.headers, &request.body).is_none();
        let base = self.config.base();
        let c = self.calls.get_mut(&call).ok_or(Refused::Gone)?;
        if c.reliable.unacked.is_some() {
            if c.reliable.queue.len() >= MAX_QUEUED {
                return Err(Refused::Pending);
            }
            c.reliable.queue.push_back(response);
            return Ok(());
        }
        c.reliable.rseq = c.reliable.rseq.wrapping_add(1);
        let rseq = c.reliable.rseq;
        response.headers.push(HeaderName::Require, "100rel");
        response.headers.push(HeaderName::RSeq, rseq);
        let described = !response.body.is_empty();
        self.respond(now, tx, response);
        let bytes = self.servers.last(tx).unwrap_or_default();
        if let Some(c) = self.calls.get_mut(&call) {
            c.reliable.unacked = Some(Unacked {
                rseq,
                cseq,
                path,
                bytes,
                interval: base.t1,
                until: now + base.limit(),
                described,
                offered: described && offers,
            });
        }
        self.timers
            .set(Deadline::Call(call, CallTimer::Reliable), now + base.t1);
        Ok(())
    }

    /// Repeats a reliable provisional response, or gives the call up (RFC 3262 §3).
    pub(super) fn resend_reliable(&mut self, now: Time, call: CallHandle) {
        let Some(c) = self.calls.get_mut(&call) else {
            return;
        };
        let Some(unacked) = &mut c.reliable.unacked else {
            return;
        };
        if now >= unacked.until {
            if let Some(tx) = c.peer_invite.take() {
                self.reject(now, tx, 504);
            }
            self.end_call(now, call, EndReason::TimedOut, None);
            return;
        }
        unacked.interval *= 2;
        let next = (now + unacked.interval).min(unacked.until);
        let (path, bytes) = (unacked.path, unacked.bytes.clone());
        self.timers.set(Deadline::Call(call, CallTimer::Reliable), next);
        self.send(SendId(0), path, bytes);
    }

    /// PRACK.
    pub(super) fn handle_prack(&mut self, now: Time, tx: u64, call: CallHandle, request: &Request) {
        let rack = request.headers.get(&HeaderName::RAck).and_then(read_rack);
        let Some(c) = self.calls.get_mut(&call) else {
            return;
        };
        let matches = |u: &mut Unacked| rack == Some((u.rseq, u.cseq));
        let Some(unacked) = c.reliable.unacked.take_if(matches) else {
            self.reject(now, tx, 481);
            return;
        };
        self.timers.clear(&Deadline::Call(call, CallTimer::Reliable));
        c.settled |= unacked.described;
        let body = sdp_of(&request.headers, &request.body);
        match body {
            // A further offer here would have to be answered in the 200; nobody needs it.
            Some(_) if !unacked.offered => self.reject(now, tx, 488),
            Some(body) => {
                self.reject(now, tx, 200);
                self.event(Event::EarlyAnswer { call, body });
            }
            None => self.reject(now, tx, 200),
        }
        let Some(c) = self.calls.get_mut(&call) else {
            return;
        };
        let Some(invite) = c.peer_invite.filter(|_| c.state == State::Ringing) else {
            return;
        };
        if let Some(next) = c.reliable.queue.pop_front() {
            // Room was just made, so this cannot be refused.
            let _ = self.send_reliable(now, call, invite, next);
        } else if let Some(body) = c.reliable.answer.take() {
            // The user was told that the answer is taken; a vanished transaction ends the call by itself.
            let _ = self.answer(now, call, body);
        }
    }

    /// Acknowledges a reliable provisional response to our INVITE. False when it is a repetition or out of
    /// order, and so to be ignored (RFC 3262 §4).
    pub(super) fn take_reliable(&mut self, now: Time, call: CallHandle, response: &Response) -> bool {
        let reliable = response
            .headers
            .require()
            .any(|tag| tag.eq_ignore_ascii_case("100rel"));
        let rseq = response
            .headers
            .get(&HeaderName::RSeq)
            .and_then(|v| v.trim().parse().ok());
        let (true, Some(rseq)) = (reliable, rseq) else {
            return true;
        };
        let (Ok(to), Ok(cseq)) = (response.headers.to(), response.headers.cseq()) else {
            return false;
        };
        let Some(c) = self.calls.get_mut(&call) else {
            return false;
        };
        let tag = to.tag().unwrap_or("");
        let Some(dialog) = c.early.iter_mut().find(|d| d.remote_tag() == tag) else {
            return false;
        };
        if rseq == 0 || (dialog.rseq != 0 && rseq != dialog.rseq.wrapping_add(1)) {
            return false;
        }
        dialog.rseq = rseq;
        let described = sdp_of(&response.headers, &response.body).is_some();
        c.settled |= described;
        if described && !c.offered {
            c.owed_prack = Some((tag.to_owned(), rseq));
            return true;
        }
        let dialog = dialog.clone();
        let rack = format!("{rseq} {} INVITE", cseq.seq);
        // Refused only when full; the peer then repeats its response.
        let _ = self.send_in_dialog(
            now,
            call,
            &dialog,
            Method::Prack,
            vec![(HeaderName::RAck, rack)],
            None,
        );
        true
    }

    /// Answers the offer in a reliable provisional response: in the PRACK.
    pub(super) fn answer_early(
        &mut self,
        now: Time,
        call: CallHandle,
        body: Option<Body>,
    ) -> Result<(), Refused> {
        let c = self.calls.get_mut(&call).ok_or(Refused::Gone)?;
        let (tag, rseq) = c.owed_prack.take().ok_or(Refused::State)?;
        let dialog = c.early.iter().find(|d| d.remote_tag() == tag);
        let dialog = dialog.cloned().ok_or(Refused::State)?;
        let invite = c.invite.and_then(|id| self.clients.request(id));
        let cseq = invite.and_then(|r| r.headers.cseq().ok()).ok_or(Refused::State)?;
        let rack = format!("{rseq} {} INVITE", cseq.seq);
        self.keep_description(call, body.as_ref());
        let headers = vec![(HeaderName::RAck, rack)];
        self.send_in_dialog(now, call, &dialog, Method::Prack, headers, body)?;
        Ok(())
    }
}

/// RSeq and CSeq of a RAck for an INVITE.
fn read_rack(value: &str) -> Option<(u32, u32)> {
    let mut words = value.split_ascii_whitespace();
    let (rseq, cseq, method) = (words.next()?, words.next()?, words.next()?);
    (method == "INVITE").then_some(())?;
    Some((rseq.parse().ok()?, cseq.parse().ok()?))
}
