//! Calls we make (RFC 3261 §13.2), and our re-INVITEs (§14.1).

use std::time::Duration;

use base::{EndReason, Time};

use super::call::{Call, CallTimer, MAX_FORKS, State, sdp_of, set_body};
use super::client::{Owner, Sending};
use super::{Body, CallHandle, Deadline, Endpoint, Event, Invite, Refused, SendId};
use crate::auth;
use crate::dialog::{Dialog, set_route};
use crate::header::{HeaderName, Headers, NameAddr};
use crate::msg::{Method, Request, Response};
use crate::transport::Source;
use crate::uri::Uri;

/// How often a re-INVITE that meets another is sent again.
const MAX_GLARES: u8 = 3;

impl Endpoint {
    /// Makes a call.
    ///
    /// # Errors
    /// [`Refused::Limit`], [`Refused::Target`].
    pub fn invite(&mut self, now: Time, invite: Invite) -> Result<CallHandle, Refused> {
        if !invite.target.is_sip() {
            return Err(Refused::Target);
        }
        if self.calls.len() >= self.config.limits.calls {
            return Err(Refused::Limit);
        }
        let handle = CallHandle(self.new_id());
        let call_id = self.new_call_id();
        let tag = self.rng.token(10);
        let mut call = Call::new(State::Calling, call_id.clone(), tag.clone());
        call.cseq = 1 + (self.rng.next_u32() >> 12);
        call.contact_user = invite.from.uri.user().map(|u| u.into_owned());
        call.offered = invite.body.is_some();
        call.auth = invite.credentials.map(auth::Client::new);
        let auth = call.auth.clone();
        let contact = Some((call.contact_user.clone(), String::new()));

        let mut request = Request::new(Method::Invite, invite.target.clone());
        let mut from = invite.from;
        from.set_tag(&tag);
        request.headers.push(HeaderName::MaxForwards, invite.max_forwards);
        request.headers.push(HeaderName::From, &from);
        let to = invite.to.unwrap_or_else(|| NameAddr::new(invite.target));
        request.headers.push(HeaderName::To, &to);
        request.headers.push(HeaderName::CallId, &call_id);
        request
            .headers
            .push(HeaderName::CSeq, format!("{} INVITE", call.cseq));
        let hop = self.route(&mut request, invite.route, invite.flow.is_some());
        self.describe(&mut request.headers);
        call.min_se = self.config.min_se;
        call.description.clone_from(&invite.body);
        self.offer_session(&mut request.headers);
        for (name, value) in invite.headers {
            request.headers.push(HeaderName::new(&name), value);
        }
        set_body(&mut request.headers, &mut request.body, invite.body);

        self.calls.insert(handle, call);
        self.dialogs.insert((call_id.clone(), tag.clone()), handle);
        let sending = Sending {
            owner: Owner::Invite(handle),
            hop: Some(hop),
            flow: invite.flow,
            contact,
            auth,
        };
        // The call is known before its request is, since the attempt may fail at once.
        self.timers.set(
            Deadline::Call(handle, CallTimer::Ring),
            now + self.config.ring_time,
        );
        match self.start(now, request, sending) {
            Ok(id) => {
                if let Some(c) = self.calls.get_mut(&handle) {
                    c.invite = Some(id);
                }
                Ok(handle)
            }
            Err(refused) => {
                self.calls.remove(&handle);
                self.dialogs.remove(&(call_id, tag));
                self.timers.clear(&Deadline::Call(handle, CallTimer::Ring));
                Err(refused)
            }
        }
    }

    /// Puts the route into a request outside dialogs: the given one, else the outbound proxy.
    pub(super) fn route(&self, request: &mut Request, given: Vec<Uri>, along_flow: bool) -> Uri {
        let mut routes = given;
        if routes.is_empty()
            && !along_flow
            && let Some(proxy) = &self.config.outbound_proxy
        {
            routes.push(proxy.clone());
        }
        let routes = routes.into_iter().map(|mut uri| {
            if !uri.params().has("lr") {
                uri.set_param("lr", None);
            }
            NameAddr::new(uri)
        });
        set_route(request, routes.collect())
    }

    /// Answers the offer in the 2xx to an INVITE of ours without body ([`Event::Answered`],
    /// [`Event::ReofferResult`]).
    ///
    /// # Errors
    /// [`Refused::Gone`]; [`Refused::State`] when no such 2xx waits.
    pub fn ack(&mut self, now: Time, call: CallHandle, body: Option<Body>) -> Result<(), Refused> {
        self.live_call(call)?;
        if self.calls.get(&call).is_some_and(|c| c.owed_prack.is_some()) {
            return self.answer_early(now, call, body);
        }
        let c = self.calls.get_mut(&call).ok_or(Refused::Gone)?;
        let dialog = c.dialog.clone().ok_or(Refused::State)?;
        let cseq = c.owed.take().ok_or(Refused::State)?;
        self.send_ack(now, call, &dialog, cseq, body);
        Ok(())
    }

    /// Offers anew: hold, resume, other media. `None` leaves the offer to the peer.
    /// [`Event::ReofferResult`] follows.
    ///
    /// # Errors
    /// [`Refused::Gone`]; [`Refused::State`] before there is a dialog; [`Refused::Pending`] while an offer of
    /// either side is under way; [`Refused::Limit`].
    pub fn reinvite(&mut self, now: Time, call: CallHandle, body: Option<Body>) -> Result<(), Refused> {
        let c = self.live_call(call)?;
        if c.state != State::Up {
            return Err(Refused::State);
        }
        if self.offer_under_way(call) {
            return Err(Refused::Pending);
        }
        if let Some(c) = self.calls.get_mut(&call) {
            c.glares = 0;
            c.refreshing = false;
        }
        self.send_reinvite(now, call, body)
    }

    /// Whether an offer of either side has no answer yet.
    pub(super) fn offer_under_way(&self, call: CallHandle) -> bool {
        let Some(c) = self.calls.get(&call) else {
            return false;
        };
        c.reinvite.is_some()
            || c.update.is_some()
            || c.owed.is_some()
            || c.peer_invite.is_some()
            || c.peer_update.is_some_and(|tx| self.servers.is_pending(tx))
            || c.accepted.is_some()
            || self.timers.is_set(&Deadline::Call(call, CallTimer::Glare))
    }

    pub(super) fn send_reinvite(
        &mut self,
        now: Time,
        call: CallHandle,
        body: Option<Body>,
    ) -> Result<(), Refused> {
        let c = self.calls.get_mut(&call).ok_or(Refused::Gone)?;
        let dialog = c.dialog.clone().ok_or(Refused::State)?;
        c.offered = body.is_some();
        c.reoffer.clone_from(&body);
        if body.is_some() {
            c.description.clone_from(&body);
        }
        // Marks the offer as under way even if the attempt ends at once.
        c.reinvite = Some(0);
        let started = self.send_in_dialog(now, call, &dialog, Method::Invite, Vec::new(), body);
        if let Ok(id) = started {
            // A peer that answers it provisionally and then no more must not hold it for ever.
            self.limit_invite(id, now + self.config.ring_time);
        }
        if let Some(c) = self.calls.get_mut(&call)
            && c.reinvite == Some(0)
        {
            c.reinvite = started.ok();
        }
        started.map(|_| ())
    }

    /// Gives up our INVITE: CANCEL, now or after the first provisional response (RFC 3261 §9.1).
    pub(super) fn give_up(&mut self, now: Time, call: CallHandle) {
        let Some(c) = self.calls.get_mut(&call) else {
            return;
        };
        c.cancel = true;
        if let Some(id) = c.invite {
            if c.rang {
                self.cancel(now, id);
            } else {
                self.no_more_tries(id);
            }
        }
    }

    /// Our INVITE had no final answer in the time allowed.
    pub(super) fn nobody_answers(&mut self, now: Time, call: CallHandle) {
        if self.calls.get(&call).is_none_or(|c| c.state != State::Calling) {
            return;
        }
        self.give_up(now, call);
        self.close(
            now,
            call,
            Event::Failed {
                call,
                status: 408,
                reason: "No Answer".to_owned(),
                headers: Headers::new(),
                local: true,
            },
        );
    }

    /// A provisional response to an INVITE of ours.
    pub(super) fn invite_provisional(
        &mut self,
        now: Time,
        call: CallHandle,
        id: u64,
        response: &Response,
        source: Source,
    ) {
        let Some(c) = self.calls.get_mut(&call) else {
            return;
        };
        if c.reinvite == Some(id) {
            return;
        }
        c.invite = Some(id);
        if !c.rang {
            c.rang = true;
            if c.cancel {
                self.cancel(now, id);
                return;
            }
        }
        if c.state != State::Calling || response.status == 100 {
            return;
        }
        c.peer_updates |= response.headers.allow().any(|m| m == Method::Update);
        if let Some(request) = self.clients.request(id)
            && let Some(dialog) = Dialog::uac(request, response, source)
            && !dialog.remote_tag().is_empty()
        {
            let room = c.early.len() < MAX_FORKS;
            let known = c.early.iter_mut().find(|d| d.remote_tag() == dialog.remote_tag());
            match known {
                Some(d) => d.refresh(&response.headers, source),
                None if room => c.early.push(dialog),
                None => {}
            }
        }
        if !self.take_reliable(now, call, response) {
            return;
        }
        self.event(Event::Provisional {
            call,
            status: response.status,
            reason: response.reason.clone(),
            body: sdp_of(&response.headers, &response.body),
        });
    }

    /// A final response to an INVITE of ours.
    pub(super) fn invite_final(
        &mut self,
        now: Time,
        call: CallHandle,
        id: u64,
        response: Response,
        source: Option<Source>,
    ) {
        let Some(c) = self.calls.get_mut(&call) else {
            return;
        };
        if let (true, Some(source)) = (response.is_success(), source) {
            self.invite_accepted(now, call, id, &response, source);
        } else if c.reinvite.is_some() {
            c.reinvite = None;
            self.reinvite_refused(now, call, &response, source.is_none());
        } else if c.state == State::Calling {
            self.close(
                now,
                call,
                Event::Failed {
                    call,
                    status: response.status,
                    reason: response.reason,
                    headers: match source {
                        Some(_) => response.headers,
                        None => Headers::new(),
                    },
                    local: source.is_none(),
                },
            );
        }
    }

    fn invite_accepted(&mut self, now: Time, call: CallHandle, id: u64, response: &Response, source: Source) {
        let (Ok(cseq), Ok(to)) = (response.headers.cseq(), response.headers.to()) else {
            return;
        };
        let (seq, tag) = (cseq.seq, to.tag().unwrap_or(""));
        let Some(c) = self.calls.get_mut(&call) else {
            return;
        };
        // A repetition: the ACK was lost.
        if let Some(ack) = c.acks.iter().find(|a| a.cseq == seq && a.tag == tag) {
            let (path, bytes) = (ack.path, ack.bytes.clone());
            self.send(SendId(0), path, bytes);
            return;
        }
        let ours = c.dialog.as_ref().is_some_and(|d| d.remote_tag() == tag);
        if ours && c.owed == Some(seq) {
            return;
        }
        if c.reinvite == Some(id) && ours {
            c.reinvite = None;
            if let Some(d) = &mut c.dialog {
                d.refresh(&response.headers, source);
            }
            self.session_granted(now, call, &response.headers);
            self.offer_accepted(now, call, seq, response, true);
            return;
        }
        let Some(dialog) = self
            .clients
            .request(id)
            .and_then(|r| Dialog::uac(r, response, source))
        else {
            return;
        };
        if c.state == State::Calling && c.dialog.is_none() {
            c.state = State::Up;
            c.invite = Some(id);
            let early = c.early.iter().find(|d| d.remote_tag() == tag);
            let mut dialog = dialog;
            dialog.remote_cseq = early.and_then(|d| d.remote_cseq);
            c.dialog = Some(dialog);
            c.early.clear();
            c.owed_prack = None;
            c.peer_updates |= response.headers.allow().any(|m| m == Method::Update);
            self.timers.clear(&Deadline::Call(call, CallTimer::Ring));
            self.session_granted(now, call, &response.headers);
            self.offer_accepted(now, call, seq, response, false);
            return;
        }
        if ours {
            // The ACK waits for a lookup.
            return;
        }
        // Another branch of a fork answered too, or a CANCEL came too late (RFC 3261 §13.2.2.4, §9.1).
        let reason = if c.state == State::Over {
            EndReason::Cancelled
        } else {
            EndReason::HungUp
        };
        self.send_ack(now, call, &dialog, seq, None);
        self.send_bye(now, call, &dialog, Some(reason));
    }

    /// Our INVITE or re-INVITE was accepted: ACK, unless the user has to answer an offer first.
    fn offer_accepted(&mut self, now: Time, call: CallHandle, seq: u32, response: &Response, again: bool) {
        let body = sdp_of(&response.headers, &response.body);
        let Some(c) = self.calls.get_mut(&call) else {
            return;
        };
        let over = c.state == State::Over;
        let hidden = again && std::mem::take(&mut c.refreshing);
        let settled = !again && c.settled;
        if c.offered || body.is_none() || over || settled {
            if let Some(dialog) = c.dialog.clone() {
                self.send_ack(now, call, &dialog, seq, None);
            }
        } else {
            c.owed = Some(seq);
        }
        if over || hidden {
            return;
        }
        let status = response.status;
        self.event(if again {
            Event::ReofferResult { call, status, body }
        } else {
            Event::Answered { call, body }
        });
    }

    fn reinvite_refused(&mut self, now: Time, call: CallHandle, response: &Response, local: bool) {
        let Some(c) = self.calls.get_mut(&call) else {
            return;
        };
        if c.state != State::Up {
            return;
        }
        let status = response.status;
        if status == 491 && c.glares < MAX_GLARES {
            c.glares += 1;
            // The owner of the Call-ID waits longer, so that the two do not meet again.
            let (from, steps) = if c.invite.is_some() {
                (2_100, 190)
            } else {
                (0, 200)
            };
            let wait = Duration::from_millis(from + 10 * self.rng.below(steps + 1));
            self.timers
                .set(Deadline::Call(call, CallTimer::Glare), now + wait);
            return;
        }
        c.reoffer = None;
        let hidden = std::mem::take(&mut c.refreshing);
        if local || matches!(status, 408 | 481) {
            self.lost_dialog(now, call, EndReason::TimedOut);
        } else if !hidden {
            let body = None;
            self.event(Event::ReofferResult { call, status, body });
        }
    }

    /// A re-INVITE that met another is sent again.
    pub(super) fn reinvite_again(&mut self, now: Time, call: CallHandle) {
        let Some(c) = self.calls.get_mut(&call) else {
            return;
        };
        if c.state != State::Up {
            return;
        }
        if c.peer_invite.is_some() || c.peer_update.is_some() || c.accepted.is_some() || c.owed.is_some() {
            let wait = Duration::from_millis(500);
            self.timers
                .set(Deadline::Call(call, CallTimer::Glare), now + wait);
            return;
        }
        let body = c.reoffer.take();
        if self.send_reinvite(now, call, body).is_err() {
            let (status, body) = (503, None);
            self.event(Event::ReofferResult { call, status, body });
        }
    }
}
