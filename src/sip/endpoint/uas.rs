//! Calls we receive (RFC 3261 §13.3), and requests of the peer within dialogs (§12.2.2, §14.2, §15.1.2).

use std::time::Duration;

use base::{EndReason, Time};

use super::call::{Accepted, Call, CallTimer, State, body_of, sdp_of, set_body};
use super::reliable::Reliable;
use super::{Body, CallHandle, Deadline, Endpoint, Event, Offence, Refused, SendId};
use crate::auth::{Secret, Verdict};
use crate::dialog::Dialog;
use crate::header::{HeaderName, Headers};
use crate::msg::{Method, Request, Response};
use crate::transport::Source;

/// Between repetitions of a provisional response (RFC 3261 §13.3.1.1).
const REMIND: Duration = Duration::from_secs(60);

impl Endpoint {
    /// INVITE outside a dialog.
    pub(super) fn handle_invite(&mut self, now: Time, tx: u64, source: Source, request: Request) {
        if self.calls.len() >= self.config.limits.calls {
            self.reject_with(now, tx, 503, vec![(HeaderName::RetryAfter, "10".to_owned())]);
            return;
        }
        let max_forwards = request.headers.max_forwards().ok().flatten().unwrap_or(70);
        if max_forwards == 0 {
            self.reject(now, tx, 483);
            return;
        }
        if !self.check_sdp(now, tx, &request) {
            return;
        }
        if !takes_sdp(&request.headers) {
            self.reject(now, tx, 406);
            return;
        }
        if self.session_too_small(now, tx, &request.headers) {
            return;
        }
        let Ok(replaces) = self.find_replaced(now, tx, &request.headers) else {
            return;
        };
        let tag = self.servers.tag(tx).to_owned();
        let (Ok(from), Ok(mut to)) = (request.headers.from(), request.headers.to()) else {
            return;
        };
        let plain_to = to.clone();
        to.set_tag(&tag);
        let Some(dialog) = Dialog::uas(&request, to, source) else {
            // No Contact, or unreadable Record-Route.
            self.reject(now, tx, 400);
            return;
        };
        let Ok(user) = self.authenticate(now, tx, source, &request) else {
            return;
        };
        let handle = CallHandle(self.new_id());
        let mut call = Call::new(State::Ringing, dialog.call_id.clone(), tag.clone());
        call.contact_user = request.uri.user().map(|u| u.into_owned());
        call.peer_invite = Some(tx);
        call.min_se = self.config.min_se;
        call.reliable = Reliable::of(&request.headers, &mut self.rng);
        call.peer_updates = request.headers.allow().any(|m| m == Method::Update);
        call.cseq = self.rng.next_u32() >> 12;
        self.dialogs.insert((dialog.call_id.clone(), tag), handle);
        call.dialog = Some(dialog);
        self.calls.insert(handle, call);
        self.servers.set_call(tx, handle);
        self.reject(now, tx, 100);
        self.event(Event::Incoming {
            call: handle,
            target: request.uri,
            from,
            to: plain_to,
            source,
            user,
            max_forwards: max_forwards - 1,
            offer: sdp_of(&request.headers, &request.body),
            replaces,
            headers: request.headers,
        });
    }

    /// Checks the credentials of a request, if it has any for our realm. Wrong ones are challenged anew, and
    /// ignored from a source that has tried too often; then `Err` says that the request is dealt with.
    pub(super) fn authenticate(
        &mut self,
        now: Time,
        tx: u64,
        source: Source,
        request: &Request,
    ) -> Result<Option<String>, ()> {
        let ip = source.remote.ip();
        let users = &self.users;
        let secret = |name: &str| users.get(name).map(|p| Secret::Password(p.clone()));
        match self.verifier.verify(now, ip, request, secret) {
            Verdict::Accepted { username } => {
                self.guard.proved(ip);
                Ok(Some(username))
            }
            Verdict::Missing => Ok(None),
            Verdict::Stale => {
                self.ask_credentials(now, tx, source, true);
                Err(())
            }
            Verdict::Rejected { .. } => {
                self.offend(now, ip, Offence::WrongPassword);
                self.ask_credentials(now, tx, source, false);
                Err(())
            }
        }
    }

    /// 401.
    pub(super) fn ask_credentials(&mut self, now: Time, tx: u64, source: Source, stale: bool) {
        if !stale {
            // Taken back when the answer is right.
            self.offend(now, source.remote.ip(), Offence::NoAnswer);
        }
        if let Some(request) = self.servers.request(tx) {
            let response = self.verifier.challenge(now, source.remote.ip(), request, stale);
            self.respond(now, tx, response);
        }
    }

    /// The INVITE that waits for an answer of ours.
    fn pending(&self, call: CallHandle, state: State) -> Result<u64, Refused> {
        let c = self.live_call(call)?;
        if c.state != state {
            return Err(Refused::State);
        }
        c.peer_invite.ok_or(Refused::State)
    }

    /// Rings, or sends early media: a provisional response, 101 to 199.
    ///
    /// # Errors
    /// [`Refused::Gone`]; [`Refused::State`] when the call is answered, or the status is not provisional.
    pub fn provisional(
        &mut self,
        now: Time,
        call: CallHandle,
        status: u16,
        body: Option<Body>,
    ) -> Result<(), Refused> {
        let tx = self.pending(call, State::Ringing)?;
        if !(101..200).contains(&status) {
            return Err(Refused::State);
        }
        let response = self.dialog_response(tx, call, status, body)?;
        let wants = response.body.is_empty();
        if self
            .calls
            .get(&call)
            .is_some_and(|c| c.reliable.is_wanted(!wants))
        {
            return self.send_reliable(now, call, tx, response);
        }
        if let Some(c) = self.calls.get_mut(&call) {
            c.provisional = Some(response.clone());
        }
        self.timers
            .set(Deadline::Call(call, CallTimer::Remind), now + REMIND);
        self.respond(now, tx, response);
        Ok(())
    }

    /// Repeats the last provisional response.
    pub(super) fn remind(&mut self, now: Time, call: CallHandle) {
        let Ok(tx) = self.pending(call, State::Ringing) else {
            return;
        };
        if let Some(response) = self.calls.get(&call).and_then(|c| c.provisional.clone()) {
            self.timers
                .set(Deadline::Call(call, CallTimer::Remind), now + REMIND);
            self.respond(now, tx, response);
        }
    }

    /// Answers: 200 with the answer, or with the offer when the INVITE held none.
    ///
    /// # Errors
    /// [`Refused::Gone`]; [`Refused::State`] when the call is answered.
    pub fn answer(&mut self, now: Time, call: CallHandle, body: Option<Body>) -> Result<(), Refused> {
        let tx = self.pending(call, State::Ringing)?;
        if let Some(c) = self.calls.get_mut(&call)
            && c.reliable.holds_answer()
        {
            // It goes out with the last PRACK.
            c.reliable.answer = Some(body);
            return Ok(());
        }
        self.accept(now, call, tx, body)?;
        if let Some(c) = self.calls.get_mut(&call) {
            c.state = State::Up;
            c.provisional = None;
        }
        self.timers.clear(&Deadline::Call(call, CallTimer::Remind));
        self.timers.clear(&Deadline::Call(call, CallTimer::Reliable));
        Ok(())
    }

    /// Sends the 2xx to INVITE or re-INVITE and repeats it until its ACK.
    fn accept(&mut self, now: Time, call: CallHandle, tx: u64, body: Option<Body>) -> Result<(), Refused> {
        self.keep_description(call, body.as_ref());
        let mut response = self.dialog_response(tx, call, 200, body)?;
        self.grant_session(now, call, tx, &mut response.headers);
        let (path, request) = match (self.servers.path(tx), self.servers.request(tx)) {
            (Some(path), Some(request)) => (path, request),
            _ => return Err(Refused::Gone),
        };
        let cseq = request.headers.cseq().map_or(0, |c| c.seq);
        let offered = sdp_of(&request.headers, &request.body).is_none() && !response.body.is_empty();
        self.respond(now, tx, response);
        let bytes = self.servers.last(tx).unwrap_or_default();
        let base = self.config.base();
        if let Some(c) = self.calls.get_mut(&call) {
            c.peer_invite = None;
            c.accepted = Some(Accepted {
                cseq,
                path,
                bytes,
                interval: base.t1,
                until: now + base.limit(),
                offered,
            });
        }
        self.timers
            .set(Deadline::Call(call, CallTimer::Resend), now + base.t1);
        Ok(())
    }

    /// A response that makes or refreshes the dialog: with Contact, Allow, body.
    pub(super) fn dialog_response(
        &self,
        tx: u64,
        call: CallHandle,
        status: u16,
        body: Option<Body>,
    ) -> Result<Response, Refused> {
        let (request, source) = match (self.servers.request(tx), self.servers.source(tx)) {
            (Some(request), Some(source)) => (request, source),
            _ => return Err(Refused::Gone),
        };
        let mut response = Response::to_request(request, status, None);
        let user = self.calls.get(&call).and_then(|c| c.contact_user.as_deref());
        if let Some(contact) = self.contact_at(request, source, user) {
            response.headers.push(HeaderName::Contact, contact);
        }
        self.describe(&mut response.headers);
        set_body(&mut response.headers, &mut response.body, body);
        Ok(response)
    }

    /// Repeats a 2xx that was not acknowledged, or gives up (RFC 3261 §13.3.1.4).
    pub(super) fn resend_accepted(&mut self, now: Time, call: CallHandle) {
        let t2 = self.config.t2;
        let Some(c) = self.calls.get_mut(&call) else {
            return;
        };
        let Some(accepted) = &mut c.accepted else {
            return;
        };
        if now >= accepted.until {
            c.accepted = None;
            let reason = c.bye.take().unwrap_or(EndReason::TimedOut);
            self.leave(now, call, reason);
            self.end_call(now, call, reason, None);
            self.sweep_call(now, call);
            return;
        }
        accepted.interval = (accepted.interval * 2).min(t2);
        let next = (now + accepted.interval).min(accepted.until);
        let (path, bytes) = (accepted.path, accepted.bytes.clone());
        self.timers.set(Deadline::Call(call, CallTimer::Resend), next);
        self.send(SendId(0), path, bytes);
    }

    /// Refuses a call, or redirects it with Contact among the headers. `None` gives the standard phrase.
    /// [`Event::Ended`] follows.
    ///
    /// # Errors
    /// [`Refused::Gone`]; [`Refused::State`] when the call is answered, or the status is no refusal.
    pub fn refuse(
        &mut self,
        now: Time,
        call: CallHandle,
        status: u16,
        reason: Option<&str>,
        headers: Vec<(String, String)>,
    ) -> Result<(), Refused> {
        let tx = self.pending(call, State::Ringing)?;
        if !(300..700).contains(&status) {
            return Err(Refused::State);
        }
        let request = self.servers.request(tx).ok_or(Refused::Gone)?;
        let mut response = Response::to_request(request, status, reason);
        for (name, value) in headers {
            response.headers.push(HeaderName::new(&name), value);
        }
        self.respond(now, tx, response);
        self.refused(now, call, EndReason::from_sip_status(status));
        Ok(())
    }

    /// Demands credentials: 401. The caller's next try is a new [`Event::Incoming`] with its user.
    /// [`Event::Ended`] follows.
    ///
    /// # Errors
    /// [`Refused::Gone`]; [`Refused::State`] when the call is answered.
    pub fn challenge(&mut self, now: Time, call: CallHandle) -> Result<(), Refused> {
        let tx = self.pending(call, State::Ringing)?;
        let source = self.servers.source(tx).ok_or(Refused::Gone)?;
        self.ask_credentials(now, tx, source, false);
        self.refused(now, call, EndReason::Unauthorized);
        Ok(())
    }

    fn refused(&mut self, now: Time, call: CallHandle, reason: EndReason) {
        if let Some(c) = self.calls.get_mut(&call) {
            c.peer_invite = None;
        }
        self.end_call(now, call, reason, None);
    }

    /// The peer cancelled its INVITE or re-INVITE, which was answered 487 already.
    pub(super) fn invite_cancelled(&mut self, now: Time, call: CallHandle, invite: u64, cancel: &Request) {
        let Some(c) = self.calls.get_mut(&call) else {
            return;
        };
        if c.peer_invite != Some(invite) {
            return;
        }
        c.peer_invite = None;
        if c.state == State::Ringing {
            self.end_call(now, call, EndReason::Cancelled, cancel.headers.q850());
        }
        self.sweep_call(now, call);
    }

    /// An ACK that no transaction took: that of a 2xx (RFC 3261 §13.3.1.4).
    pub(super) fn ack_received(&mut self, now: Time, _source: Source, ack: &Request) {
        let (Ok(to), Ok(from), Ok(cseq)) = (ack.headers.to(), ack.headers.from(), ack.headers.cseq()) else {
            return;
        };
        let Some(call) = self.find_call(ack, to.tag().unwrap_or("")) else {
            return;
        };
        let Some(c) = self.calls.get_mut(&call) else {
            return;
        };
        let ours = c
            .dialog
            .as_ref()
            .is_some_and(|d| d.remote_tag() == from.tag().unwrap_or(""));
        if !ours || c.accepted.as_ref().is_none_or(|a| a.cseq != cseq.seq) {
            return;
        }
        let offered = c.accepted.take().is_some_and(|a| a.offered);
        let bye = c.bye.take();
        let over = c.state == State::Over;
        self.timers.clear(&Deadline::Call(call, CallTimer::Resend));
        if let Some(reason) = bye {
            self.leave(now, call, reason);
        }
        if over {
            self.sweep_call(now, call);
            return;
        }
        let body = offered.then(|| sdp_of(&ack.headers, &ack.body)).flatten();
        self.event(Event::Confirmed { call, body });
    }

    /// The call with this Call-ID and our tag.
    fn find_call(&self, request: &Request, local_tag: &str) -> Option<CallHandle> {
        let call_id = request.headers.call_id().ok()?;
        self.dialogs
            .get(&(call_id.to_owned(), local_tag.to_owned()))
            .copied()
    }

    /// A request with a To tag.
    pub(super) fn handle_in_dialog(
        &mut self,
        now: Time,
        tx: u64,
        source: Source,
        request: Request,
        local_tag: &str,
    ) {
        let (Ok(from), Ok(cseq)) = (request.headers.from(), request.headers.cseq()) else {
            return;
        };
        let remote_tag = from.tag().unwrap_or("");
        let found = self.find_call(&request, local_tag).and_then(|h| {
            let c = self.calls.get_mut(&h)?;
            let dialog = match &mut c.dialog {
                Some(d) if d.remote_tag() == remote_tag => d,
                _ => c.early.iter_mut().find(|d| d.remote_tag() == remote_tag)?,
            };
            Some((h, dialog.take_cseq(cseq.seq), c.state))
        });
        let Some((call, in_order, state)) = found else {
            self.reject(now, tx, 481);
            return;
        };
        if !in_order {
            self.reject(now, tx, 500);
            return;
        }
        match (&request.method, state) {
            // Both sides hung up at once.
            (Method::Bye, State::Over) => self.reject(now, tx, 200),
            (_, State::Over) => self.reject(now, tx, 481),
            (Method::Bye, _) => self.handle_bye(now, tx, call, &request, state),
            (Method::Invite, State::Up) => self.handle_reinvite(now, tx, source, call, &request),
            // The first INVITE is not answered yet (RFC 3261 §14.2).
            (Method::Invite, State::Ringing) => self.busy_with_offer(now, tx),
            (Method::Invite, State::Calling) => self.reject(now, tx, 491),
            (Method::Prack, _) => self.handle_prack(now, tx, call, &request),
            (Method::Update, _) => self.handle_update(now, tx, source, call, &request),
            (Method::Refer, State::Up) => self.handle_refer(now, tx, call, &request),
            (Method::Notify, _) => self.handle_notify(now, tx, call, &request),
            (Method::Info, _) => self.handle_info(now, tx, call, &request),
            (Method::Message, _) => self.handle_message_request(now, tx, source, &request, Some(call)),
            (Method::Options, _) => self.reject_with(now, tx, 200, vec![(HeaderName::Allow, self.allow())]),
            _ => self.reject(now, tx, 405),
        }
    }

    pub(super) fn busy_with_offer(&mut self, now: Time, tx: u64) {
        let after = self.rng.below(11).to_string();
        self.reject_with(now, tx, 500, vec![(HeaderName::RetryAfter, after)]);
    }

    fn handle_bye(&mut self, now: Time, tx: u64, call: CallHandle, bye: &Request, state: State) {
        if state == State::Calling {
            // The called side may not send BYE before it answered (RFC 3261 §15).
            self.reject(now, tx, 481);
            return;
        }
        self.reject(now, tx, 200);
        let Some(c) = self.calls.get_mut(&call) else {
            return;
        };
        c.accepted = None;
        c.owed = None;
        self.timers.clear(&Deadline::Call(call, CallTimer::Resend));
        self.drop_offers(now, call);
        let reason = match state {
            State::Ringing => EndReason::Cancelled,
            _ => EndReason::HungUp,
        };
        self.end_call(now, call, reason, bye.headers.q850());
    }

    fn handle_reinvite(&mut self, now: Time, tx: u64, _source: Source, call: CallHandle, request: &Request) {
        let Some(c) = self.calls.get_mut(&call) else {
            return;
        };
        if c.accepted.as_ref().is_some_and(|a| !a.offered) {
            // Who offers anew has our 2xx: its ACK is lost or late, and would bring nothing.
            c.accepted = None;
            self.timers.clear(&Deadline::Call(call, CallTimer::Resend));
            self.event(Event::Confirmed { call, body: None });
        }
        let Some(c) = self.calls.get(&call) else {
            return;
        };
        if c.reinvite.is_some() || c.update.is_some() || c.owed.is_some() {
            self.reject(now, tx, 491);
            return;
        }
        if c.peer_invite.is_some() || c.peer_update.is_some() || c.accepted.is_some() {
            self.busy_with_offer(now, tx);
            return;
        }
        if !self.check_sdp(now, tx, request) || self.session_too_small(now, tx, &request.headers) {
            return;
        }
        if request.headers.contacts().is_ok_and(|c| c.is_empty()) {
            self.reject(now, tx, 400);
            return;
        }
        if let Some(c) = self.calls.get_mut(&call) {
            c.peer_invite = Some(tx);
        }
        self.servers.set_call(tx, call);
        self.reject(now, tx, 100);
        self.event(Event::Reoffer {
            call,
            body: sdp_of(&request.headers, &request.body),
        });
    }

    /// Accepts [`Event::Reoffer`] with the answer, or with the offer when the peer sent none.
    ///
    /// # Errors
    /// [`Refused::Gone`]; [`Refused::State`] when no offer waits, as after the peer took it back.
    pub fn accept_reoffer(&mut self, now: Time, call: CallHandle, body: Option<Body>) -> Result<(), Refused> {
        if let Some(tx) = self.take_update(call) {
            return self.accept_update(now, call, tx, body);
        }
        let tx = self.pending(call, State::Up)?;
        self.accept(now, call, tx, body)?;
        if let (Some(request), Some(source)) = (self.servers.request(tx), self.servers.source(tx))
            && let Some(dialog) = self.calls.get_mut(&call).and_then(|c| c.dialog.as_mut())
        {
            dialog.refresh(&request.headers, source);
        }
        Ok(())
    }

    /// Refuses [`Event::Reoffer`], as with 488; the session goes on as before.
    ///
    /// # Errors
    /// [`Refused::Gone`]; [`Refused::State`] when no offer waits, or the status is no refusal.
    pub fn refuse_reoffer(&mut self, now: Time, call: CallHandle, status: u16) -> Result<(), Refused> {
        if !(300..700).contains(&status) {
            return Err(Refused::State);
        }
        if let Some(tx) = self.take_update(call) {
            self.reject(now, tx, status);
            return Ok(());
        }
        let tx = self.pending(call, State::Up)?;
        if let Some(c) = self.calls.get_mut(&call) {
            c.peer_invite = None;
        }
        self.reject(now, tx, status);
        Ok(())
    }

    fn handle_info(&mut self, now: Time, tx: u64, call: CallHandle, request: &Request) {
        let Some(body) = body_of(&request.headers, &request.body) else {
            self.reject(now, tx, 200);
            return;
        };
        let kind = body.content_type.split(';').next().unwrap_or("").trim();
        let known = self
            .config
            .info_types
            .iter()
            .any(|t| t.eq_ignore_ascii_case(kind));
        if known {
            self.reject(now, tx, 200);
            self.event(Event::Info { call, body });
        } else {
            let accept = self.config.info_types.join(", ");
            self.reject_with(now, tx, 415, vec![(HeaderName::Accept, accept)]);
        }
    }
}

/// Whether the sender takes session descriptions (RFC 3261 §20.1): without Accept it does.
fn takes_sdp(headers: &Headers) -> bool {
    let mut kinds = headers.list(&HeaderName::Accept).peekable();
    kinds.peek().is_none()
        || kinds.any(|k| {
            let kind = k.split(';').next().unwrap_or("").trim();
            ["application/sdp", "application/*", "*/*"]
                .iter()
                .any(|k| k.eq_ignore_ascii_case(kind))
        })
}
