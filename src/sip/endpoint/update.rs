//! UPDATE, both ways (RFC 3311).

use base::{EndReason, Time};

use super::call::{State, sdp_of};
use super::{Body, CallHandle, Endpoint, Event, Refused};
use crate::msg::{Method, Request, Response};
use crate::transport::Source;

impl Endpoint {
    /// UPDATE of the peer.
    pub(super) fn handle_update(
        &mut self,
        now: Time,
        tx: u64,
        source: Source,
        call: CallHandle,
        request: &Request,
    ) {
        if !self.check_sdp(now, tx, request) || self.session_too_small(now, tx, &request.headers) {
            return;
        }
        let body = sdp_of(&request.headers, &request.body);
        let Some(c) = self.calls.get(&call) else {
            return;
        };
        if body.is_none() {
            if c.state != State::Up {
                self.reject(now, tx, 200);
                return;
            }
            // Gone only when the transaction is, and then nobody waits.
            let _ = self.accept_update(now, call, tx, None);
            self.refresh_target(call, request, source);
            return;
        }
        if c.reinvite.is_some() || c.update.is_some() || c.owed.is_some() || c.owed_prack.is_some() {
            self.reject(now, tx, 491);
            return;
        }
        // Before the final response only once offer and answer are exchanged reliably (RFC 3311 §5.1).
        let early = c.state != State::Up && !c.settled;
        let waiting = c.peer_update.is_some_and(|tx| self.servers.is_pending(tx));
        let unanswered = c.state == State::Up && c.peer_invite.is_some();
        let unacked = c.accepted.as_ref().is_some_and(|a| a.offered);
        if early || waiting || unanswered || unacked {
            self.busy_with_offer(now, tx);
            return;
        }
        self.refresh_target(call, request, source);
        if let Some(c) = self.calls.get_mut(&call) {
            c.peer_update = Some(tx);
        }
        self.event(Event::Reoffer { call, body });
    }

    fn refresh_target(&mut self, call: CallHandle, request: &Request, source: Source) {
        if let Some(dialog) = self.calls.get_mut(&call).and_then(|c| c.dialog.as_mut()) {
            dialog.refresh(&request.headers, source);
        }
    }

    /// The UPDATE that waits for the user.
    pub(super) fn take_update(&mut self, call: CallHandle) -> Option<u64> {
        let tx = self.calls.get_mut(&call)?.peer_update.take()?;
        self.servers.is_pending(tx).then_some(tx)
    }

    /// Answers UPDATE.
    pub(super) fn accept_update(
        &mut self,
        now: Time,
        call: CallHandle,
        tx: u64,
        body: Option<Body>,
    ) -> Result<(), Refused> {
        self.keep_description(call, body.as_ref());
        let mut response = self.dialog_response(tx, call, 200, body)?;
        if self.calls.get(&call).is_some_and(|c| c.state == State::Up) {
            self.grant_session(now, call, tx, &mut response.headers);
        }
        self.respond(now, tx, response);
        Ok(())
    }

    /// Sends UPDATE: with a body as a new offer, without to refresh the session.
    pub(super) fn send_update(
        &mut self,
        now: Time,
        call: CallHandle,
        body: Option<Body>,
    ) -> Result<(), Refused> {
        let c = self.calls.get_mut(&call).ok_or(Refused::Gone)?;
        let dialog = c.dialog.clone().ok_or(Refused::State)?;
        // Marks the offer as under way even if the attempt ends at once.
        c.update = Some(0);
        let started = self.send_in_dialog(now, call, &dialog, Method::Update, Vec::new(), body);
        if let Some(c) = self.calls.get_mut(&call)
            && c.update == Some(0)
        {
            c.update = started.as_ref().ok().copied();
        }
        started.map(|_| ())
    }

    /// The final response to our UPDATE.
    pub(super) fn update_final(
        &mut self,
        now: Time,
        call: CallHandle,
        response: &Response,
        source: Option<Source>,
    ) {
        let Some(c) = self.calls.get_mut(&call) else {
            return;
        };
        c.update = None;
        if c.state != State::Up {
            return;
        }
        match (response.status, source) {
            (200..=299, Some(source)) => {
                if let Some(d) = &mut c.dialog {
                    d.refresh(&response.headers, source);
                }
                self.session_granted(now, call, &response.headers);
            }
            (408 | 481, _) | (_, None) => self.lost_dialog(now, call, EndReason::TimedOut),
            // It takes none after all: refresh by re-INVITE.
            (405 | 501, _) => {
                c.peer_updates = false;
                self.refresh_session(now, call);
            }
            // Tried again in a while, until the session ends.
            _ => self.refresh_later(now, call),
        }
    }
}
