//! The SIP legs of calls: what the SIP endpoint tells becomes leg events, what calls decide becomes SIP.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use base::{CallId, EndReason, LegId, Redacted, Time};
use call::{Audio, LegCommand, LegEvent, Outcome, Target, order_offer};
use codecs::CodecId;
use sip::{
    Binding, Body, CallHandle, Event as SipEvent, Headers, Host, Invite, NameAddr, Params, Scheme, Source,
    Uri,
};

use super::callers::{custom_headers, history, is_private};
use super::control::{Change, Way};
use super::dial::{Callees, SipCallee};
use super::line_leg::Party;
use super::messages::Text;
use super::negotiation::{Local, Remote};
use super::webrtc::is_web;
use super::{Exchange, Kind, Leg};
use crate::config::Srtp;
use crate::shard::{Command, RtpParams};

/// The signalling half of a SIP party.
#[derive(Debug)]
pub(super) struct SipLeg {
    /// The dialog, once there is one.
    pub(super) handle: Option<CallHandle>,
    /// What is still to be sent when the RTP port is known.
    waiting: VecDeque<Waiting>,
    /// The bound RTP address.
    pub(super) rtp: Option<SocketAddr>,
    /// The address written into SDP.
    pub(super) seen_as: IpAddr,
    /// Our description, as last sent.
    pub(super) local: Option<Local>,
    /// The peer's, as last received.
    pub(super) remote: Option<Remote>,
    /// A call that the peer made, with its offer, not yet answered.
    pub(super) offered: bool,
    /// The codecs in the order to offer or to prefer.
    order: Vec<CodecId>,
    /// How its media may be protected.
    pub(super) srtp: Srtp,
    /// Whether it is a browser.
    pub(super) web: bool,
    /// What is settled.
    pub(super) params: Option<RtpParams>,
    /// Who it is.
    pub(super) peer: Option<NameAddr>,
    /// The local account it has shown to be, or is registered as.
    pub(super) user: Option<String>,
    /// Whom we called, for redirections.
    pub(super) callee: Option<Box<SipCallee>>,
    /// When its INVITE went out, and whether it rang or answered.
    pub(super) begun: Option<Time>,
    pub(super) rang: bool,
    /// What its refusal said besides: the Q.850 cause, and when to come again, in seconds.
    pub(super) cause: Option<u8>,
    pub(super) retry_after: Option<u32>,
    /// Our client holds it; it holds our client.
    pub(super) held: bool,
    pub(super) holds: bool,
    /// Our re-INVITE under way.
    pub(super) change: Option<Change>,
    /// Where our REFER sends it, until it says that it goes.
    pub(super) referred: Option<String>,
    /// Digits that go out by INFO.
    pub(super) digits: VecDeque<(char, u32)>,
}

/// A call that comes in.
struct Comes {
    handle: CallHandle,
    target: Uri,
    from: NameAddr,
    to: NameAddr,
    headers: Headers,
    source: Source,
    user: Option<String>,
    replaces: Option<CallHandle>,
}

#[derive(Debug)]
enum Waiting {
    Invite(Box<Invite>),
    Tell(LegCommand),
}

impl SipLeg {
    fn new(handle: Option<CallHandle>, seen_as: IpAddr, order: Vec<CodecId>, srtp: Srtp) -> SipLeg {
        SipLeg {
            handle,
            waiting: VecDeque::new(),
            rtp: None,
            seen_as,
            local: None,
            remote: None,
            offered: handle.is_some(),
            order,
            srtp,
            web: false,
            params: None,
            peer: None,
            user: None,
            callee: None,
            begun: None,
            rang: false,
            cause: None,
            retry_after: None,
            held: false,
            holds: false,
            change: None,
            referred: None,
            digits: VecDeque::new(),
        }
    }

    /// Whether digits go to it as telephone-events.
    pub(super) fn takes_events(&self) -> bool {
        self.params.as_ref().is_some_and(|p| p.dtmf.is_some())
    }

    /// What this leg sends and takes.
    pub(super) fn audio(&self) -> Audio {
        match (&self.params, &self.remote) {
            (Some(params), _) => Audio {
                takes: vec![params.send.1],
                sends: Some(params.send.1),
            },
            (None, Some(remote)) => Audio {
                takes: remote.codecs(),
                sends: None,
            },
            (None, None) => Audio::default(),
        }
    }
}

impl Exchange {
    /// The SIP endpoint tells something.
    pub(super) fn handle_sip(&mut self, now: Time, event: SipEvent) {
        match event {
            SipEvent::Incoming {
                call,
                target,
                from,
                to,
                headers,
                source,
                user,
                offer,
                replaces,
                ..
            } => {
                let comes = Comes {
                    handle: call,
                    target,
                    from,
                    to,
                    headers,
                    source,
                    user,
                    replaces,
                };
                self.incoming(now, comes, offer);
            }
            SipEvent::Provisional {
                call, status, body, ..
            } => self.provisional(now, call, status, body),
            SipEvent::Answered { call, body } => self.answered(now, call, body),
            SipEvent::Failed {
                call,
                status,
                reason,
                headers,
                ..
            } => {
                if let Some(leg) = self.by_handle.remove(&call) {
                    let call = self.legs.get(&leg).and_then(|l| l.call);
                    self.book.cause(call, headers.q850());
                    if let Some(sip) = self.sip_leg(leg) {
                        sip.cause = headers.q850();
                        sip.retry_after = headers.retry_after();
                    }
                    if (300..400).contains(&status) {
                        self.follow(now, leg, &headers);
                    }
                    self.leg_event(now, leg, LegEvent::Refused(Outcome::from_status(status, &reason)));
                    self.drop_leg(leg);
                }
            }
            SipEvent::Confirmed { call, body } => self.confirmed(now, call, body),
            SipEvent::Reoffer { call, body } => self.reoffered(now, call, body),
            SipEvent::ReofferResult { call, status, body } => {
                self.reoffer_result(call, status, body.as_ref());
            }
            SipEvent::Refer {
                call,
                target,
                replaces,
                referred_by,
            } => self.referred(now, call, &target, replaces.as_deref(), referred_by),
            SipEvent::ReferProgress { call, status } => self.refer_progress(now, call, status),
            SipEvent::RequestResult {
                request,
                status,
                peer,
            } if self.probe_answered(now, request, status, peer) => {}
            SipEvent::RequestResult { request, status, .. } => self.text_answered(request, status),
            SipEvent::Ended { call, reason, cause } => {
                if let Some(leg) = self.by_handle.remove(&call) {
                    let of = self.legs.get(&leg).and_then(|l| l.call);
                    self.book.cause(of, cause);
                    self.leg_event(now, leg, LegEvent::HungUp(Outcome::new(reason)));
                    self.drop_leg(leg);
                }
            }
            SipEvent::Info { call, body } => self.info(now, call, &body),
            SipEvent::Message {
                request,
                call,
                target,
                from,
                source,
                user,
                body,
                ..
            } => {
                let text = Text {
                    request,
                    call,
                    target,
                    from,
                    source,
                    user,
                    body,
                };
                self.text_came(now, text);
            }
            SipEvent::Registered { registration, .. } if self.account_registered(registration) => {}
            SipEvent::RegisterFailed {
                registration, status, ..
            } if self.account_refused(now, registration, status) => {}
            SipEvent::Registered {
                registration,
                expires,
                peer,
                service_route,
            } => {
                let Some(trunk) = self.registrations.get(&registration).cloned() else {
                    return;
                };
                self.trunk_registered(&trunk, peer, service_route);
                let trunk = trunk.as_str();
                self.book.registered(now, trunk, None);
                tracing::info!(trunk, expires, "registered");
            }
            SipEvent::RegisterFailed {
                registration,
                status,
                retry,
            } => {
                let trunk = self.registrations.get(&registration).map_or("", String::as_str);
                self.book.registered(now, trunk, Some(status));
                tracing::warn!(
                    trunk,
                    status,
                    retry,
                    "the trunk refused the registration: check its user name and password"
                );
            }
            SipEvent::Banned { ban } => {
                *self.book.counters.bans.entry(ban.why.label()).or_default() += 1;
                tracing::warn!(
                    source = %Redacted(&ban.source),
                    why = ban.why.label(),
                    seconds = ban.until.since(now).as_secs(),
                    "a source is banned: it gets no answer"
                );
            }
            SipEvent::BindingsChanged { aor, bindings } => {
                tracing::info!(aor = %Redacted(&aor), contacts = bindings.len(), "registration changed");
            }
            _ => {}
        }
    }

    /// A SIP party calls.
    fn incoming(&mut self, now: Time, comes: Comes, offer: Option<Body>) {
        let Comes {
            handle,
            target,
            from,
            to,
            headers,
            source,
            user,
            replaces,
        } = comes;
        // Who calls the Contact of an account comes from the account's registrar.
        let client = self.client_of_contact(&target);
        let trunk = self.trunk_of(source, user.as_deref(), &from, Some(&target));
        let trunk = trunk.filter(|_| client.is_none()).cloned();
        // What a trunk shows opens its own door only.
        let user = user.filter(|_| trunk.is_none());
        if user.is_none() && trunk.is_none() && client.is_none() && self.must_authenticate(&from, source) {
            let _gone = self.sip.challenge(now, handle);
            return;
        }
        let srtp = self.srtp_for(trunk.as_ref().map(|t| t.name.as_str()), user.as_deref());
        let policy = self.settings.protection.policy(srtp, is_web(source.transport));
        let usable = |remote: &Remote| {
            let codecs = remote.codecs();
            codecs.iter().any(|c| self.settings.codecs.contains(c)) && remote.fits(policy)
        };
        let remote = match offer.map(|body| Remote::read(&body)) {
            None => None,
            Some(Ok(remote)) if usable(&remote) => Some(remote),
            unusable => {
                let status = unusable.and_then(Result::err).unwrap_or(488);
                let _gone = self.sip.refuse(now, handle, status, None, Vec::new());
                self.record_refusal(now, &from, &target, status);
                return;
            }
        };
        let bind = self.rtp_address(source.remote.ip());
        let seen_as = self.seen_as(bind, source.remote.ip());
        let leg = self.new_leg();
        let mut sip = SipLeg::new(Some(handle), seen_as, self.settings.codecs.clone(), srtp);
        sip.web = is_web(source.transport);
        sip.remote = remote;
        sip.user.clone_from(&user);
        let from = match &trunk {
            Some(trunk) => self.trunk_caller(trunk, &from, &headers),
            None => from,
        };
        let name = NameAddr {
            params: Params::new(),
            ..from
        };
        sip.peer = Some(name.clone());
        self.legs.insert(
            leg,
            Leg {
                call: None,
                kind: Kind::Sip(Box::new(sip)),
            },
        );
        self.by_handle.insert(handle, leg);
        if let Some(call_id) = self.sip.call_id(handle) {
            self.ladder.dialog(call_id, leg);
        }
        let caller_id = name.uri.user().map(|u| u.into_owned()).unwrap_or_default();
        self.book.party(leg, "sip", name.uri.to_string(), None);
        self.book.number(leg, self.number_of(user.as_deref(), &name.uri));
        if let Some(trunk) = &trunk {
            self.book.comes_by(leg, &trunk.name);
        }
        self.book.dials(leg, target.to_string());
        tracing::info!(%leg, from = %Redacted(&name.uri), to = %Redacted(&target), "call comes in by SIP");
        if let Some(replaced) = replaces {
            let placed = self.take_place(now, leg, replaced);
            if placed {
                self.open_rtp(leg, bind);
                self.tell_sip(now, leg, LegCommand::Answer);
            } else {
                let _gone = self.sip.refuse(now, handle, 481, None, Vec::new());
                self.drop_leg(leg);
            }
            return;
        }
        let resolved = if let Some(client) = client {
            Ok(Callees::ring(vec![client]))
        } else if let Some(trunk) = &trunk {
            self.resolve_inbound(now, trunk, &target, &to.uri)
        } else if *target.scheme() == Scheme::Tel {
            match Target::parse(&target.to_string()) {
                Some(number) => self.resolve(now, &number, user.as_deref()),
                None => Err(Outcome::new(EndReason::NotFound)),
            }
        } else if self.is_ours(&target) || user.is_some() {
            self.resolve_uri(now, &target, user.as_deref())
        } else {
            // We are nobody's open relay.
            Err(Outcome::new(EndReason::NotFound))
        };
        let stranger = user.is_none() && trunk.is_none();
        let resolved = match resolved {
            Err(outcome) if stranger => Err(self.turned_away(now, source, outcome)),
            resolved => resolved,
        };
        let party = Party {
            id: caller_id,
            name: Some(name),
            verified: false,
            to: to.uri.to_string(),
            headers: custom_headers(&headers),
            extra: Vec::new(),
            history: history(&headers),
            private: is_private(&headers),
        };
        self.begin(now, leg, party, resolved);
        self.open_rtp(leg, bind);
    }

    /// A caller that was not refused gets its port.
    fn open_rtp(&mut self, leg: LegId, ip: IpAddr) {
        if let Some(call) = self.legs.get(&leg).and_then(|l| l.call) {
            let shard = self.emptiest_shard();
            self.wiring.add(leg, shard);
            self.command(shard, Command::OpenRtp { leg, call, ip });
        }
    }

    /// Rings a SIP party: first a port, then the INVITE.
    pub(super) fn ring_sip(&mut self, now: Time, call: CallId, leg: LegId, callee: SipCallee) {
        let Some(entry) = self.calls.get(&call) else {
            return;
        };
        let caller = entry.call.caller();
        let peer = match &callee.binding {
            Some(Binding { flow: Some(flow), .. }) => flow.remote.ip(),
            _ => callee
                .route
                .first()
                .unwrap_or(&callee.target)
                .host()
                .ip()
                .unwrap_or(self.any_address()),
        };
        let bind = self.rtp_address(peer);
        let seen_as = self.seen_as(bind, peer);
        let order = self
            .asked_codecs(caller)
            .unwrap_or_else(|| order_offer(&self.settings.codecs, &self.audio_of(caller)));
        let party = entry.party.clone();
        self.book
            .party(leg, "sip", callee.target.to_string(), callee.trunk.clone());
        let number = self.number_of(callee.user.as_deref(), &callee.target);
        self.book.number(leg, callee.number.clone().or(number));
        self.book.callee(now, call, leg, false);
        let kept = Box::new(callee.clone());
        let from = callee.from.unwrap_or_else(|| self.identity(&party));
        let mut invite = Invite::new(callee.target, from);
        // What a client asks for itself; header fields of SIP callers stay on their side.
        if party.verified {
            invite.headers = party.headers;
        }
        invite.headers.extend(party.extra);
        invite.headers.extend(party.history);
        invite.headers.extend(callee.headers);
        invite.route = callee.route;
        invite.credentials = callee.credentials;
        if let Some(binding) = callee.binding {
            if binding.path.is_empty() {
                invite.flow = binding.flow;
            } else {
                invite.route = binding.path;
            }
        }
        let srtp = self.srtp_for(kept.trunk.as_deref(), kept.user.as_deref());
        let mut sip = SipLeg::new(None, seen_as, order, srtp);
        sip.web = kept.is_web();
        sip.waiting.push_back(Waiting::Invite(Box::new(invite)));
        let peer = kept.user.as_ref().map(|user| self.named(user));
        sip.peer = peer.or_else(|| Some(NameAddr::new(kept.target.clone())));
        sip.user.clone_from(&kept.user);
        sip.callee = Some(kept);
        self.legs.insert(
            leg,
            Leg {
                call: Some(call),
                kind: Kind::Sip(Box::new(sip)),
            },
        );
        // Where the caller's media is, so that frames cross no thread.
        let shard = self.media_shard(caller).unwrap_or_else(|| self.emptiest_shard());
        self.wiring.add(leg, shard);
        self.command(shard, Command::OpenRtp { leg, call, ip: bind });
        tracing::debug!(%call, %leg, at = ?now, "SIP party is rung");
    }

    /// An RTP port is bound: what waited for it goes on.
    pub(super) fn rtp_opened(&mut self, now: Time, leg: LegId, local: SocketAddr) {
        let Some(sip) = self.sip_leg(leg) else { return };
        sip.rtp = Some(local);
        let waiting = std::mem::take(&mut sip.waiting);
        if let Some(call) = self.legs.get(&leg).and_then(|l| l.call) {
            self.wire(call);
        }
        for step in waiting {
            match step {
                Waiting::Invite(invite) => self.send_invite(now, leg, *invite),
                Waiting::Tell(command) => self.tell_sip(now, leg, command),
            }
        }
    }

    fn send_invite(&mut self, now: Time, leg: LegId, mut invite: Invite) {
        let Some(place) = self.place(leg) else { return };
        let (settings, mut keys) = (self.settings.clone(), self.keys.fork());
        let Some(sip) = self.sip_leg(leg) else { return };
        let policy = settings.protection.policy(sip.srtp, sip.web);
        let local = Local::offer(place, &sip.order, policy, &mut keys);
        invite.body = Some(local.to_body());
        sip.local = Some(local);
        match self.sip.invite(now, invite) {
            Ok(handle) => {
                self.by_handle.insert(handle, leg);
                if let Some(call_id) = self.sip.call_id(handle) {
                    self.ladder.dialog(call_id, leg);
                }
                if let Some(sip) = self.sip_leg(leg) {
                    sip.handle = Some(handle);
                }
                self.gateway_called(now, leg);
            }
            Err(refused) => {
                tracing::warn!(%leg, %refused, "the call could not be sent");
                self.leg_event(now, leg, LegEvent::Refused(Outcome::new(EndReason::Overloaded)));
                self.drop_leg(leg);
            }
        }
    }

    fn provisional(&mut self, now: Time, call: CallHandle, status: u16, body: Option<Body>) {
        let Some(leg) = self.by_handle.get(&call).copied() else {
            return;
        };
        if body.is_some_and(|body| self.take_answer(leg, &body).is_ok()) {
            self.leg_event(now, leg, LegEvent::Progress);
        } else if status != 100 {
            self.leg_event(now, leg, LegEvent::Ringing);
        }
    }

    fn answered(&mut self, now: Time, call: CallHandle, body: Option<Body>) {
        let Some(leg) = self.by_handle.get(&call).copied() else {
            return;
        };
        let taken = match body {
            Some(body) => self.take_answer(leg, &body),
            // Its description came with a provisional response.
            None if self.sip_leg(leg).is_some_and(|s| s.params.is_some()) => Ok(()),
            None => Err(488),
        };
        match taken {
            Ok(()) => self.leg_event(now, leg, LegEvent::Answered),
            Err(_) => {
                let _gone = self.sip.hang_up(now, call, EndReason::Incompatible);
                self.by_handle.remove(&call);
                self.leg_event(now, leg, LegEvent::Refused(Outcome::new(EndReason::Incompatible)));
                self.drop_leg(leg);
            }
        }
    }

    /// A call tells its SIP leg something.
    pub(super) fn tell_sip(&mut self, now: Time, leg: LegId, command: LegCommand) {
        let Some(sip) = self.sip_leg(leg) else { return };
        let over = matches!(command, LegCommand::Refuse(_) | LegCommand::HangUp(_));
        if sip.rtp.is_none() && !over && command != LegCommand::Ring {
            sip.waiting.push_back(Waiting::Tell(command));
            return;
        }
        let Some(handle) = sip.handle else { return };
        let told = match command {
            LegCommand::Ring => self.sip.provisional(now, handle, 180, None),
            LegCommand::Progress => match self.describe(leg) {
                Ok(body) => self.sip.provisional(now, handle, 183, Some(body)),
                // The answer will say that nothing fits.
                Err(_) => Ok(()),
            },
            LegCommand::Answer => match self.describe(leg) {
                Ok(body) => self.sip.answer(now, handle, Some(body)),
                Err(status) => {
                    let refused = self.sip.refuse(now, handle, status, None, Vec::new());
                    self.leg_event(now, leg, LegEvent::HungUp(Outcome::new(EndReason::Incompatible)));
                    refused
                }
            },
            LegCommand::Refuse(outcome) => {
                self.by_handle.remove(&handle);
                let retry = match outcome.reason {
                    EndReason::Overloaded | EndReason::RateLimited | EndReason::Draining => {
                        vec![("Retry-After".to_owned(), "10".to_owned())]
                    }
                    _ => Vec::new(),
                };
                let (status, reason) = refusal(&outcome);
                self.sip.refuse(now, handle, status, reason, retry)
            }
            LegCommand::HangUp(outcome) => {
                self.by_handle.remove(&handle);
                self.sip.hang_up(now, handle, outcome.reason)
            }
        };
        if let Err(refused) = told {
            tracing::debug!(%leg, %refused, "the SIP dialog had moved on");
        }
    }

    /// Digits by INFO go the way of digits by RTP.
    fn info(&mut self, now: Time, call: CallHandle, body: &Body) {
        let Some(leg) = self.by_handle.get(&call).copied() else {
            return;
        };
        let relay = body
            .content_type
            .to_ascii_lowercase()
            .starts_with("application/dtmf-relay");
        let Ok(info) = media::parse_info(relay, &body.data) else {
            return;
        };
        if !self.room_digit(now, leg, info.digit) {
            self.digit_from(now, leg, info.digit, Way::Info);
        }
    }

    /// The media of a SIP leg failed.
    pub(super) fn sip_leg_failed(&mut self, now: Time, leg: LegId, reason: EndReason) {
        let Some(sip) = self.sip_leg(leg) else { return };
        let handle = sip.handle;
        let caller = self
            .legs
            .get(&leg)
            .and_then(|l| l.call)
            .and_then(|c| self.calls.get(&c))
            .is_some_and(|e| e.call.caller() == leg);
        let outcome = Outcome::new(reason);
        if let Some(handle) = handle {
            self.by_handle.remove(&handle);
            let _gone = if caller {
                let (status, _) = refusal(&outcome);
                self.sip
                    .refuse(now, handle, status, None, Vec::new())
                    .or_else(|_| self.sip.hang_up(now, handle, reason))
            } else {
                self.sip.hang_up(now, handle, reason)
            };
        }
        let event = if handle.is_some() {
            LegEvent::HungUp(outcome)
        } else {
            LegEvent::Refused(outcome)
        };
        self.leg_event(now, leg, event);
        self.drop_leg(leg);
    }

    pub(super) fn sip_leg(&mut self, leg: LegId) -> Option<&mut SipLeg> {
        match self.legs.get_mut(&leg).map(|l| &mut l.kind) {
            Some(Kind::Sip(sip)) => Some(sip),
            _ => None,
        }
    }

    /// From of a call toward a SIP party.
    pub(super) fn identity(&self, party: &Party) -> NameAddr {
        if let Some(name) = party.name.as_ref().filter(|_| party.verified) {
            return name.clone();
        }
        NameAddr {
            display: party.name.as_ref().and_then(|n| n.display.clone()),
            ..self.named(&party.id)
        }
    }

    /// A user of ours by address.
    fn named(&self, user: &str) -> NameAddr {
        let domain = self.settings.domains.first().map_or("localhost", String::as_str);
        let host = Host::parse(domain).unwrap_or(Host::Name("localhost".to_owned()));
        NameAddr::new(Uri::sip(Some(user), host, None))
    }
}

/// Status and reason phrase for a refusal: a challenge that a callee made to us means nothing to the caller.
fn refusal(outcome: &Outcome) -> (u16, Option<&str>) {
    match outcome.status {
        401 | 407 => (403, None),
        300..=399 => (480, None),
        status => (status, Some(outcome.text.as_str())),
    }
}
