//! What is kept of a call, and what both sides of it do alike.

use std::time::Duration;

use base::{EndReason, Time};

use super::client::{Owner, Path, Sending};
use super::refer::Referral;
use super::reliable::Reliable;
use super::session::Session;
use super::{Body, CallHandle, Deadline, Endpoint, Event, Refused};
use crate::auth;
use crate::dialog::Dialog;
use crate::header::{HeaderName, Headers};
use crate::msg::{Method, Request, Response};

/// Remembered ACKs and early dialogs of one call; more forks than this are ignored.
pub(super) const MAX_FORKS: usize = 16;

/// Timers of a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum CallTimer {
    /// Nobody answers our INVITE.
    Ring,
    /// Our 2xx is repeated until its ACK (RFC 3261 §13.3.1.4).
    Resend,
    /// Our provisional response is repeated so that proxies keep waiting (RFC 3261 §13.3.1.1).
    Remind,
    /// A re-INVITE that met another is sent again (RFC 3261 §14.1).
    Glare,
    /// Our reliable provisional response is repeated until its PRACK (RFC 3262 §3).
    Reliable,
    /// The session is to be refreshed (RFC 4028 §10).
    Refresh,
    /// Nobody refreshed the session.
    Expire,
}

/// Every timer of a call.
const TIMERS: [CallTimer; 7] = [
    CallTimer::Ring,
    CallTimer::Resend,
    CallTimer::Remind,
    CallTimer::Glare,
    CallTimer::Reliable,
    CallTimer::Refresh,
    CallTimer::Expire,
];

/// Where a call stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Our INVITE has no final answer.
    Calling,
    /// The peer's INVITE has no final answer.
    Ringing,
    /// There is a dialog.
    Up,
    /// The user was told the end; messages are still under way.
    Over,
}

/// An ACK of a 2xx, to be repeated with each repetition of the 2xx.
#[derive(Debug)]
pub(super) struct Acked {
    pub(super) cseq: u32,
    pub(super) tag: String,
    pub(super) path: Path,
    pub(super) bytes: Vec<u8>,
}

/// A 2xx of ours that waits for its ACK.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) cseq: u32,
    pub(super) path: Path,
    pub(super) bytes: Vec<u8>,
    pub(super) interval: Duration,
    pub(super) until: Time,
    /// It held the offer, so the ACK holds the answer.
    pub(super) offered: bool,
}

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) state: State,
    pub(super) call_id: String,
    pub(super) local_tag: String,
    /// The last CSeq we used.
    pub(super) cseq: u32,
    pub(super) contact_user: Option<String>,
    pub(super) dialog: Option<Dialog>,
    /// Dialogs made by provisional responses to our INVITE.
    pub(super) early: Vec<Dialog>,
    pub(super) auth: Option<auth::Client>,
    /// Requests under way that name this call as owner.
    pub(super) held: usize,

    /// Our INVITE.
    pub(super) invite: Option<u64>,
    /// It had a provisional response, so it can be cancelled.
    pub(super) rang: bool,
    /// It is to be cancelled once it had a provisional response.
    pub(super) cancel: bool,
    /// Our re-INVITE.
    pub(super) reinvite: Option<u64>,
    /// The body of our re-INVITE, should it meet another.
    pub(super) reoffer: Option<Body>,
    pub(super) glares: u8,
    /// Our last INVITE held an offer.
    pub(super) offered: bool,
    /// The CSeq of a 2xx with an offer that the user has to answer.
    pub(super) owed: Option<u32>,
    pub(super) acks: Vec<Acked>,

    /// The peer's INVITE or re-INVITE that waits for a final response.
    pub(super) peer_invite: Option<u64>,
    pub(super) accepted: Option<Accepted>,
    /// The peer's UPDATE that waits for the user.
    pub(super) peer_update: Option<u64>,
    /// Our UPDATE.
    pub(super) update: Option<u64>,
    /// The peer takes UPDATE.
    pub(super) peer_updates: bool,
    /// Reliable provisional responses of ours.
    pub(super) reliable: Reliable,
    /// A reliable provisional response with an offer that the user has to answer: the peer's tag and RSeq.
    pub(super) owed_prack: Option<(String, u32)>,
    /// Offer and answer were exchanged before the final response.
    pub(super) settled: bool,
    /// The session timer.
    pub(super) session: Option<Session>,
    /// The shortest session timer that the way to the peer takes, in seconds.
    pub(super) min_se: u32,
    /// Our last description, for a refresh by re-INVITE.
    pub(super) description: Option<Body>,
    /// Our re-INVITE is a refresh, of which the user knows nothing.
    pub(super) refreshing: bool,
    /// The REFER whose progress we report.
    pub(super) refer: Option<Referral>,
    /// BYE is to follow the ACK of our 2xx.
    pub(super) bye: Option<EndReason>,
    pub(super) provisional: Option<Response>,
}

impl Call {
    pub(super) fn new(state: State, call_id: String, local_tag: String) -> Call {
        Call {
            state,
            call_id,
            local_tag,
            cseq: 0,
            contact_user: None,
            dialog: None,
            early: Vec::new(),
            auth: None,
            held: 0,
            invite: None,
            rang: false,
            cancel: false,
            reinvite: None,
            reoffer: None,
            glares: 0,
            offered: false,
            owed: None,
            acks: Vec::new(),
            peer_invite: None,
            accepted: None,
            peer_update: None,
            update: None,
            peer_updates: false,
            reliable: Reliable::default(),
            owed_prack: None,
            settled: false,
            session: None,
            min_se: 0,
            description: None,
            refreshing: false,
            refer: None,
            bye: None,
            provisional: None,
        }
    }
}

impl Endpoint {
    /// Ends a call: cancels, refuses or sends BYE as its state wants. [`Event::Ended`] follows at once, the
    /// messages by themselves.
    ///
    /// # Errors
    /// [`Refused::Gone`].
    pub fn hang_up(&mut self, now: Time, call: CallHandle, reason: EndReason) -> Result<(), Refused> {
        let c = self.live_call(call)?;
        match c.state {
            State::Calling => self.give_up(now, call),
            State::Ringing => return self.refuse(now, call, reason.sip_status(), None, Vec::new()),
            State::Up | State::Over => self.leave(now, call, reason),
        }
        self.end_call(now, call, reason, None);
        Ok(())
    }

    /// Sends BYE, at once or after the ACK of our 2xx (RFC 3261 §15).
    pub(super) fn leave(&mut self, now: Time, call: CallHandle, reason: EndReason) {
        self.drop_offers(now, call);
        let Some(c) = self.calls.get_mut(&call) else {
            return;
        };
        if let Some(id) = c.reinvite {
            // The BYE ends it; a peer that thinks otherwise is not waited for.
            self.limit_invite(id, now + self.config.base().limit());
        }
        let Some(c) = self.calls.get_mut(&call) else {
            return;
        };
        if c.accepted.is_some() {
            c.bye = Some(reason);
            return;
        }
        let Some(dialog) = c.dialog.clone() else {
            return;
        };
        if let Some(cseq) = c.owed.take() {
            // The offer in the 2xx gets no answer, but the 2xx its ACK.
            self.send_ack(now, call, &dialog, cseq, None);
        }
        self.send_bye(now, call, &dialog, Some(reason));
    }

    /// Refuses what the peer still waits for.
    pub(super) fn drop_offers(&mut self, now: Time, call: CallHandle) {
        let Some(c) = self.calls.get_mut(&call) else {
            return;
        };
        for tx in [c.peer_invite.take(), c.peer_update.take()].into_iter().flatten() {
            self.reject(now, tx, 487);
        }
    }

    /// Tells the user the end of a call; what is under way goes on.
    pub(super) fn end_call(&mut self, now: Time, call: CallHandle, reason: EndReason, cause: Option<u8>) {
        self.close(now, call, Event::Ended { call, reason, cause });
    }

    /// Tells the user the last event of a call.
    pub(super) fn close(&mut self, now: Time, call: CallHandle, last: Event) {
        let Some(c) = self.calls.get_mut(&call) else {
            return;
        };
        if c.state == State::Over {
            return;
        }
        c.state = State::Over;
        c.provisional = None;
        c.reliable = Reliable::default();
        c.early.clear();
        let keep = c.accepted.is_some();
        for timer in TIMERS {
            if !(keep && timer == CallTimer::Resend) {
                self.timers.clear(&Deadline::Call(call, timer));
            }
        }
        self.event(last);
        self.sweep_call(now, call);
    }

    /// Forgets a call that is over and for which nothing is under way.
    pub(super) fn sweep_call(&mut self, _now: Time, call: CallHandle) {
        let idle = self.calls.get(&call).is_some_and(|c| {
            c.state == State::Over && c.held == 0 && c.accepted.is_none() && c.peer_invite.is_none()
        });
        if !idle {
            return;
        }
        if let Some(c) = self.calls.remove(&call) {
            self.dialogs.remove(&(c.call_id, c.local_tag));
        }
        for timer in TIMERS {
            self.timers.clear(&Deadline::Call(call, timer));
        }
    }

    /// Whether the peer has answered our INVITE in any way, with 100 at least.
    pub fn was_heard(&self, call: CallHandle) -> bool {
        self.calls.get(&call).is_some_and(|c| c.rang)
    }

    pub(super) fn live_call(&self, call: CallHandle) -> Result<&Call, Refused> {
        match self.calls.get(&call) {
            Some(c) if c.state != State::Over => Ok(c),
            _ => Err(Refused::Gone),
        }
    }

    pub(super) fn hold_call(&mut self, call: CallHandle) {
        if let Some(c) = self.calls.get_mut(&call) {
            c.held += 1;
        }
    }

    pub(super) fn release_call(&mut self, now: Time, call: CallHandle) {
        if let Some(c) = self.calls.get_mut(&call) {
            c.held = c.held.saturating_sub(1);
        }
        self.sweep_call(now, call);
    }

    /// The CSeq for a request that is sent again with credentials.
    pub(super) fn next_cseq(&mut self, owner: &Owner) -> Option<u32> {
        match owner {
            Owner::Registration(handle) => self.registration_cseq(*handle),
            _ => {
                let c = self.calls.get_mut(&owner.call()?)?;
                c.cseq = c.cseq.wrapping_add(1);
                Some(c.cseq)
            }
        }
    }

    /// Keeps what a request learned of challenges for the next ones of its owner.
    pub(super) fn keep_auth(&mut self, owner: &Owner, auth: &auth::Client) {
        let slot = match owner {
            Owner::Registration(handle) => self.registrations.get_mut(handle).map(|r| &mut r.auth),
            _ => owner
                .call()
                .and_then(|call| self.calls.get_mut(&call))
                .map(|c| &mut c.auth),
        };
        if let Some(slot) = slot {
            *slot = Some(auth.clone());
        }
    }

    /// A timer of a call ran out.
    pub(super) fn call_timer(&mut self, now: Time, call: CallHandle, timer: CallTimer) {
        match timer {
            CallTimer::Ring => self.nobody_answers(now, call),
            CallTimer::Resend => self.resend_accepted(now, call),
            CallTimer::Remind => self.remind(now, call),
            CallTimer::Glare => self.reinvite_again(now, call),
            CallTimer::Reliable => self.resend_reliable(now, call),
            CallTimer::Refresh => self.refresh_session(now, call),
            CallTimer::Expire => self.session_expired(now, call),
        }
    }

    /// Sends the ACK of a 2xx (RFC 3261 §13.2.2.4).
    pub(super) fn send_ack(
        &mut self,
        now: Time,
        call: CallHandle,
        dialog: &Dialog,
        cseq: u32,
        body: Option<Body>,
    ) {
        let (mut ack, hop) = dialog.request(Method::Ack, cseq);
        let Some(c) = self.calls.get(&call) else {
            return;
        };
        if let Some(invite) = c.reinvite.or(c.invite).and_then(|id| self.clients.request(id)) {
            ack.headers.copy_from(&invite.headers, &HeaderName::Authorization);
            ack.headers
                .copy_from(&invite.headers, &HeaderName::ProxyAuthorization);
        }
        if body.is_some() {
            self.keep_description(call, body.as_ref());
        }
        set_body(&mut ack.headers, &mut ack.body, body);
        let sending = Sending {
            owner: Owner::Ack(call),
            hop: Some(hop),
            flow: dialog.flow,
            contact: None,
            auth: None,
        };
        // An ACK is never refused for want of room.
        let _ = self.start(now, ack, sending);
    }

    /// An ACK left.
    pub(super) fn ack_sent(&mut self, call: CallHandle, ack: &Request, path: Path, bytes: Vec<u8>) {
        let Some(c) = self.calls.get_mut(&call) else {
            return;
        };
        let (Ok(to), Ok(cseq)) = (ack.headers.to(), ack.headers.cseq()) else {
            return;
        };
        if c.acks.len() >= MAX_FORKS {
            c.acks.remove(0);
        }
        c.acks.push(Acked {
            cseq: cseq.seq,
            tag: to.tag().unwrap_or("").to_owned(),
            path,
            bytes,
        });
    }

    pub(super) fn send_bye(
        &mut self,
        now: Time,
        call: CallHandle,
        dialog: &Dialog,
        reason: Option<EndReason>,
    ) {
        let headers = match reason {
            Some(r) => vec![(
                HeaderName::Reason,
                format!("Q.850;cause={};text=\"{}\"", r.q850(), r.text()),
            )],
            None => Vec::new(),
        };
        // A BYE is never refused for want of room.
        let _ = self.send_in_dialog(now, call, dialog, Method::Bye, headers, None);
    }

    /// Sends a request within a dialog.
    pub(super) fn send_in_dialog(
        &mut self,
        now: Time,
        call: CallHandle,
        dialog: &Dialog,
        method: Method,
        headers: Vec<(HeaderName, String)>,
        body: Option<Body>,
    ) -> Result<u64, Refused> {
        let c = self.calls.get_mut(&call).ok_or(Refused::Gone)?;
        c.cseq = c.cseq.wrapping_add(1);
        let (mut request, hop) = dialog.request(method.clone(), c.cseq);
        let refreshes = matches!(method, Method::Invite | Method::Update);
        let contact = (refreshes || matches!(method, Method::Refer | Method::Notify))
            .then(|| (c.contact_user.clone(), String::new()));
        let auth = c.auth.clone();
        if refreshes {
            self.describe(&mut request.headers);
            self.ask_session(call, &mut request.headers);
        }
        for (name, value) in headers {
            request.headers.push(name, value);
        }
        set_body(&mut request.headers, &mut request.body, body);
        let owner = match method {
            Method::Invite => Owner::Invite(call),
            Method::Bye => Owner::Bye(call),
            Method::Update => Owner::Update(call),
            Method::Prack | Method::Notify => Owner::Quiet(call),
            Method::Refer => Owner::Refer(call),
            _ => Owner::InDialog(call),
        };
        let sending = Sending {
            owner,
            hop: Some(hop),
            flow: dialog.flow,
            contact,
            auth,
        };
        self.start(now, request, sending)
    }

    /// The final response to a request of ours within a dialog.
    pub(super) fn in_dialog_final(&mut self, now: Time, call: CallHandle, _id: u64, response: &Response) {
        // RFC 3261 §12.2.1.2: these end the dialog.
        if matches!(response.status, 408 | 481) {
            self.lost_dialog(now, call, EndReason::TimedOut);
        }
    }

    /// Keeps our description for a refresh.
    pub(super) fn keep_description(&mut self, call: CallHandle, body: Option<&Body>) {
        if let (Some(c), Some(body)) = (self.calls.get_mut(&call), body) {
            c.description = Some(body.clone());
        }
    }

    /// The peer no longer knows the dialog, or is silent.
    pub(super) fn lost_dialog(&mut self, now: Time, call: CallHandle, reason: EndReason) {
        if self.calls.get(&call).is_some_and(|c| c.state == State::Up) {
            self.leave(now, call, reason);
            self.end_call(now, call, reason, None);
        }
    }

    /// Sends MESSAGE within a call (RFC 3428); nobody is told how it fares.
    ///
    /// # Errors
    /// [`Refused::Gone`]; [`Refused::State`] before there is a dialog; [`Refused::Limit`].
    pub fn message_within(&mut self, now: Time, call: CallHandle, body: Body) -> Result<(), Refused> {
        self.send_within(now, call, Method::Message, body)
    }

    /// Sends INFO (RFC 6086, or the older habit for DTMF).
    ///
    /// # Errors
    /// [`Refused::Gone`]; [`Refused::State`] before there is a dialog; [`Refused::Limit`].
    pub fn info(&mut self, now: Time, call: CallHandle, body: Body) -> Result<(), Refused> {
        self.send_within(now, call, Method::Info, body)
    }

    fn send_within(
        &mut self,
        now: Time,
        call: CallHandle,
        method: Method,
        body: Body,
    ) -> Result<(), Refused> {
        let c = self.live_call(call)?;
        if c.state != State::Up {
            return Err(Refused::State);
        }
        let dialog = c.dialog.clone().ok_or(Refused::State)?;
        self.send_in_dialog(now, call, &dialog, method, Vec::new(), Some(body))?;
        Ok(())
    }
}

/// Puts a body into a message.
pub(super) fn set_body(headers: &mut Headers, bytes: &mut Vec<u8>, body: Option<Body>) {
    if let Some(body) = body {
        headers.push(HeaderName::ContentType, body.content_type);
        *bytes = body.data;
    }
}

/// Takes the body of a message.
pub(super) fn body_of(headers: &Headers, bytes: &[u8]) -> Option<Body> {
    if bytes.is_empty() {
        return None;
    }
    let content_type = headers.get(&HeaderName::ContentType)?;
    Some(Body {
        content_type: content_type.to_owned(),
        data: bytes.to_vec(),
    })
}

/// The session description of a message. A body of another kind that was let pass counts as none.
pub(super) fn sdp_of(headers: &Headers, bytes: &[u8]) -> Option<Body> {
    if !headers.content_type()?.is("application", "sdp") {
        return None;
    }
    body_of(headers, bytes)
}
