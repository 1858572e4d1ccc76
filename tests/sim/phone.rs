//! A SIP phone: a user agent, a mouth and an ear.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use base::{EndReason, Rng, Time};
use codecs::{CodecId, Decoder, Encoder};
use media::{RtpPacket, RtpSender, SeqUnwrap};
use sip::auth::Credentials;
use sip::sdp::{self, Agreed, Capability, Direction, Prefer};
use sip::{
    Body, CallHandle, Endpoint, EndpointConfig, Event, Invite, Listener, NameAddr, Output, Registration,
    RegistrationHandle, Source, Transport, Uri,
};

use crate::ear::Ear;
use crate::gateway::{ADDRESS, DOMAIN, Datagram, locate};
use crate::secure::Secure;
use crate::voice::Voice;

/// What a phone does when it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// Rings, then answers.
    After(Duration),
    /// Sends early media at once, then answers.
    EarlyThenAfter(Duration),
    /// 486.
    Busy,
    /// 603.
    Declines,
    /// 480.
    Gone,
    /// Rings for ever.
    Never,
    /// 302 to that user of the gateway.
    Redirects(&'static str),
    /// That status, with those header fields.
    Refuses(u16, &'static [(&'static str, &'static str)]),
    /// 100 and nothing more.
    Tries,
}

/// What has happened to a phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Registered,
    RegisterFailed(u16),
    /// It was called.
    Called,
    /// A provisional response came; with media or without.
    Progress(u16, bool),
    Answered,
    Failed(u16),
    Ended(EndReason),
    /// The peer changed the session.
    Changed(Direction),
    /// Its own change was answered.
    Change(u16),
    /// How its own REFER goes.
    Transfer(u16),
    /// It was sent elsewhere.
    Referred,
    /// A text came, from that address.
    Text(String, String),
    /// Its own text was answered.
    Sent(u16),
    /// A digit came: by INFO or not.
    Digit(char, bool),
}

/// One call of a phone.
struct Call {
    handle: CallHandle,
    incoming: bool,
    up: bool,
    local: sdp::Local,
    /// Our offer, when it was ours.
    offered: Option<sdp::Session>,
    /// What we described last, for the version.
    described: Option<sdp::Session>,
    agreed: Option<Agreed>,
    sender: RtpSender,
    encoder: Option<(CodecId, Box<dyn Encoder>)>,
    decoder: Option<(CodecId, Box<dyn Decoder>)>,
    seqs: SeqUnwrap,
    last_seq: u64,
    /// A party that is called answers then.
    answer_at: Option<Time>,
}

pub struct Phone {
    pub user: String,
    pub sip: SocketAddr,
    pub rtp: SocketAddr,
    pub endpoint: Endpoint,
    pub codecs: Vec<CodecId>,
    pub answers: Answers,
    pub credentials: Option<Credentials>,
    pub voice: Voice,
    pub ear: Ear,
    pub told: Vec<(Time, Told)>,
    /// Offers nothing in its INVITE and waits for the offer.
    pub offers_late: bool,
    /// RTP packets sent and received.
    pub sent_packets: u64,
    pub received_packets: u64,
    /// The payload of each received packet is kept here when wanted.
    pub payloads: Option<Vec<Vec<u8>>>,
    registration: Option<RegistrationHandle>,
    call: Option<Call>,
    /// A second call, put aside.
    aside: Option<Call>,
    /// Asks callers for a password: it is a server as well.
    pub asks: bool,
    /// Who is registered with it.
    pub bindings: Vec<sip::Binding>,
    /// Its tag in the call it answered last.
    pub last_tag: Option<String>,
    /// From of the last INVITE that came, and whom it called.
    pub last_from: Option<NameAddr>,
    pub last_target: Option<Uri>,
    /// Nothing that is sent to it is taken.
    pub deaf: bool,
    /// For its next INVITE.
    pub extra: Vec<(String, String)>,
    /// For its next INVITE.
    replaces: Option<String>,
    /// Takes telephone-events.
    pub events: bool,
    digits: media::DtmfReceiver,
    /// It sounds this instead of its voice, for so many frames.
    sounds: Option<(codecs::tone::Tone, u32)>,
    /// The header fields of the last INVITE that came.
    pub last_headers: Vec<(String, String)>,
    /// The last RTP packet it sent, as it went out.
    pub last_sent: Option<Vec<u8>>,
    /// SRTP, if it has such.
    pub secure: Option<Secure>,
    rng: Rng,
    pub outgoing: VecDeque<Datagram>,
}

impl Phone {
    pub fn new(user: &str, n: usize, now: Time, mut rng: Rng) -> Phone {
        let ip = [192, 0, 2, 10 + n as u8];
        let sip = SocketAddr::from((ip, 5060));
        let config = EndpointConfig {
            listeners: vec![Listener::new(Transport::Udp, sip)],
            user_agent: format!("sim {user}"),
            registrar: false,
            ..EndpointConfig::default()
        };
        Phone {
            user: user.to_owned(),
            sip,
            rtp: SocketAddr::from((ip, 4_000)),
            endpoint: Endpoint::new(config, rng.fork()),
            codecs: vec![CodecId::Pcmu],
            answers: Answers::After(Duration::from_millis(500)),
            credentials: None,
            voice: Voice::new(n, now + Duration::from_micros(rng.below(20_000))),
            ear: Ear::default(),
            told: Vec::new(),
            offers_late: false,
            sent_packets: 0,
            received_packets: 0,
            payloads: None,
            registration: None,
            call: None,
            aside: None,
            asks: false,
            bindings: Vec::new(),
            last_tag: None,
            last_from: None,
            last_target: None,
            deaf: false,
            extra: Vec::new(),
            replaces: None,
            events: false,
            digits: media::DtmfReceiver::new(),
            sounds: None,
            last_headers: Vec::new(),
            last_sent: None,
            secure: None,
            rng,
            outgoing: VecDeque::new(),
        }
    }

    /// Makes it a registrar and server too, for the domain of its own address, with that account.
    pub fn serve(&mut self, user: &str, rng: Rng) {
        let config = EndpointConfig {
            domains: vec![self.sip.ip().to_string()],
            listeners: vec![Listener::new(Transport::Udp, self.sip)],
            ..EndpointConfig::default()
        };
        self.endpoint = Endpoint::new(config, rng);
        self.endpoint.set_users(vec![sip::User {
            name: user.to_owned(),
            password: format!("{user}-secret"),
        }]);
        self.asks = true;
    }

    /// What names the call that it answered last, for one who wants to take its place (RFC 3891 §6.1).
    pub fn replaced_by(&self) -> String {
        let call_id = self.last_headers.iter().find(|(n, _)| n == "Call-ID").unwrap();
        let theirs = self.last_from.as_ref().and_then(|f| f.tag()).unwrap();
        let ours = self.last_tag.as_deref().unwrap();
        format!("{};to-tag={theirs};from-tag={ours}", call_id.1)
    }

    /// Calls in the place of another.
    pub fn dial_in_place(&mut self, now: Time, replaces: &str) {
        self.replaces = Some(replaces.to_owned());
        self.dial(now, "anybody");
    }

    /// Calls the first that is registered with it.
    pub fn dial_binding(&mut self, now: Time) {
        let target = self.bindings[0].target.to_string();
        self.dial(now, &target);
    }

    /// Our address of record, with us or elsewhere.
    fn aor(&self) -> Uri {
        if self.user.contains('@') {
            return Uri::parse(&format!("sip:{}", self.user)).unwrap();
        }
        Uri::parse(&format!("sip:{}@{DOMAIN}", self.user)).unwrap()
    }

    pub fn register(&mut self, now: Time) {
        let registration = Registration {
            registrar: Uri::parse(&format!("sip:{DOMAIN}")).unwrap(),
            aor: NameAddr::new(self.aor()),
            user: self.user.clone(),
            route: Vec::new(),
            credentials: self.credentials.clone(),
            expires: 600,
        };
        self.registration = Some(self.endpoint.register(now, registration).unwrap());
        self.pump(now);
    }

    pub fn unregister(&mut self, now: Time) {
        if let Some(handle) = self.registration.take() {
            let _ = self.endpoint.unregister(now, handle);
            self.pump(now);
        }
    }

    fn local(&mut self) -> sdp::Local {
        sdp::Local {
            id: self.rng.next_u64() >> 2,
            address: self.rtp.ip(),
            port: self.rtp.port(),
            rtcp_port: None,
            rtcp_mux: false,
            direction: Direction::SendRecv,
            ptime: None,
        }
    }

    fn capabilities(&self) -> Vec<Capability> {
        let capability = |c: &CodecId| {
            let row = codecs::codec(*c);
            Capability::new(row.rtp_name, row.rtp_clock, 97)
        };
        let mut all: Vec<Capability> = self.codecs.iter().map(capability).collect();
        if self.events {
            all.push(Capability::new("telephone-event", 8_000, 101).with_fmtp("0-15"));
        }
        all
    }

    fn new_call(&mut self, handle: CallHandle, local: sdp::Local, incoming: bool) -> Call {
        Call {
            handle,
            incoming,
            up: false,
            local,
            offered: None,
            described: None,
            agreed: None,
            sender: RtpSender::new(&mut self.rng),
            encoder: None,
            decoder: None,
            seqs: SeqUnwrap::default(),
            last_seq: 0,
            answer_at: None,
        }
    }

    pub fn dial(&mut self, now: Time, target: &str) {
        let uri = if target.starts_with("sip:") {
            target.to_owned()
        } else {
            format!("sip:{}@{DOMAIN}", target.replace('/', "%2F"))
        };
        let mut invite = Invite::new(Uri::parse(&uri).unwrap(), NameAddr::new(self.aor()));
        invite.route = vec![Uri::parse(&format!("sip:{ADDRESS};lr")).unwrap()];
        invite.credentials = self.credentials.clone();
        let replaces = self.replaces.take().map(|r| ("Replaces".to_owned(), r));
        invite.headers.extend(replaces);
        invite.headers.append(&mut self.extra);
        let local = self.local();
        if let Some(secure) = &mut self.secure {
            secure.reset();
        }
        let offer = (!self.offers_late).then(|| self.offer(&local));
        invite.body = offer.as_ref().map(|o| Body::sdp(o.to_bytes()));
        let handle = self.endpoint.invite(now, invite).unwrap();
        let mut call = self.new_call(handle, local, false);
        call.described.clone_from(&offer);
        call.offered = offer;
        self.call = Some(call);
        self.pump(now);
    }

    pub fn hang_up(&mut self, now: Time) {
        if let Some(call) = self.call.take() {
            let _ = self.endpoint.hang_up(now, call.handle, EndReason::HungUp);
            self.pump(now);
        }
    }

    /// Keys are pressed one after the other (INFO).
    pub fn key(&mut self, now: Time, digits: &str) {
        for digit in digits.chars() {
            let Some(call) = &self.call else { return };
            let body = Body {
                content_type: "application/dtmf-relay".into(),
                data: format!("Signal={digit}\r\nDuration=160\r\n").into_bytes(),
            };
            let _ = self.endpoint.info(now, call.handle, body);
            self.pump(now);
        }
    }

    fn offer(&mut self, local: &sdp::Local) -> sdp::Session {
        let mut offer = sdp::offer(local, &self.capabilities());
        if let Some(secure) = &mut self.secure {
            secure.offer(&mut offer);
        }
        offer
    }

    fn answer_to(&mut self, offer: &sdp::Session, local: &sdp::Local) -> Option<sdp::Answer> {
        let capabilities = self.capabilities();
        match &mut self.secure {
            Some(secure) => secure.answer(offer, local, &capabilities),
            None => sdp::answer(offer, local, &capabilities, Prefer::Theirs).ok(),
        }
    }

    pub fn answer(&mut self, now: Time) {
        let Some(call) = &mut self.call else { return };
        call.answer_at = None;
        call.up = true;
        let body = match &call.described {
            Some(described) => described.clone(),
            // Called without an offer: ours goes into the answer.
            None => {
                let local = call.local.clone();
                let offer = self.offer(&local);
                let Some(call) = &mut self.call else { return };
                call.offered = Some(offer.clone());
                call.described = Some(offer.clone());
                offer
            }
        };
        let handle = self.call.as_ref().unwrap().handle;
        let _ = self
            .endpoint
            .answer(now, handle, Some(Body::sdp(body.to_bytes())));
        self.pump(now);
    }

    /// Offers the session anew with another direction: `SendOnly` holds, `SendRecv` resumes.
    pub fn reoffer(&mut self, now: Time, direction: Direction) {
        let Some(call) = &self.call else { return };
        let mut local = call.local.clone();
        local.direction = direction;
        let mut offer = self.offer(&local);
        let Some(call) = &mut self.call else { return };
        if let Some(before) = &call.described {
            offer = offer.follow(before);
        }
        let body = Body::sdp(offer.to_bytes());
        // Refused while another offer is under way.
        if self.endpoint.reinvite(now, call.handle, Some(body)).is_ok() {
            call.local = local;
            call.offered = Some(offer.clone());
            call.described = Some(offer);
        }
        self.pump(now);
    }

    pub fn in_call(&self) -> bool {
        self.call.as_ref().is_some_and(|c| c.up)
    }

    pub fn is_idle(&self) -> bool {
        self.call.is_none() && self.aside.is_none()
    }

    /// Puts its call aside, and takes the one that was there.
    pub fn swap(&mut self) {
        std::mem::swap(&mut self.call, &mut self.aside);
    }

    /// Sends the other party of its call elsewhere; to that of the call put aside when `attended`.
    pub fn transfer(&mut self, now: Time, target: &str, attended: bool) {
        let uri = Uri::parse(&format!("sip:{target}@{DOMAIN}")).unwrap();
        let replaces = self.aside.as_ref().filter(|_| attended).map(|c| c.handle);
        let handle = self.call.as_ref().unwrap().handle;
        self.endpoint.refer(now, handle, &uri, replaces).unwrap();
        self.pump(now);
    }

    /// Sends a text outside calls.
    pub fn text(&mut self, now: Time, target: &str, text: &str) {
        let message = sip::OutOfDialog {
            target: Uri::parse(&format!("sip:{target}@{DOMAIN}")).unwrap(),
            from: NameAddr::new(self.aor()),
            route: Vec::new(),
            flow: None,
            body: Some(plain(text)),
            credentials: self.credentials.clone(),
        };
        self.endpoint.message(now, message).unwrap();
        self.pump(now);
    }

    /// Sends a text within its call.
    pub fn text_within(&mut self, now: Time, text: &str) {
        let handle = self.call.as_ref().unwrap().handle;
        self.endpoint.message_within(now, handle, plain(text)).unwrap();
        self.pump(now);
    }

    /// Sounds a digit for 100 ms, in G.711.
    pub fn sound(&mut self, digit: char) {
        self.sounds = codecs::dtmf::tone(digit, -10.0, 8_000).map(|tone| (tone, 5));
    }

    /// Presses a digit, by INFO.
    pub fn press(&mut self, now: Time, digit: char) {
        let handle = self.call.as_ref().unwrap().handle;
        let body = Body {
            content_type: "application/dtmf-relay".to_owned(),
            data: media::write_info(digit, 160).into_bytes(),
        };
        self.endpoint.info(now, handle, body).unwrap();
        self.pump(now);
    }

    /// Where it sends RTP.
    pub fn sends_to(&self) -> Option<SocketAddr> {
        let agreed = self.call.as_ref()?.agreed.as_ref()?;
        Some(SocketAddr::new(agreed.remote.as_ref()?.ip()?, agreed.remote_port))
    }

    /// The codec it sends.
    pub fn codec(&self) -> Option<CodecId> {
        let agreed = self.call.as_ref()?.agreed.as_ref()?;
        codecs::by_rtp(&agreed.format.name, agreed.format.clock, agreed.format.channels)
    }

    pub fn was(&self, what: &Told) -> bool {
        self.told.iter().any(|(_, t)| t == what)
    }

    pub fn datagram(&mut self, now: Time, datagram: &Datagram) {
        if self.deaf {
            return;
        }
        if datagram.to == self.sip {
            let source = Source {
                transport: Transport::Udp,
                local: datagram.to,
                remote: datagram.from,
                conn: None,
            };
            self.endpoint.handle_datagram(now, source, &datagram.bytes);
            self.pump(now);
        } else if datagram.to == self.rtp {
            self.hear(now, &datagram.bytes);
        }
    }

    fn hear(&mut self, now: Time, bytes: &[u8]) {
        let Some(call) = &mut self.call else { return };
        let Some(agreed) = &call.agreed else { return };
        let mut clear = Vec::new();
        let bytes = match self.secure.as_mut().and_then(|s| s.session.as_mut()) {
            Some(session) => match session.open_rtp(bytes, &mut clear) {
                Ok(()) => &clear,
                Err(_) => return,
            },
            None => bytes,
        };
        let packet = RtpPacket::parse(bytes).unwrap();
        if agreed.receive_event_pt == Some(packet.payload_type) {
            let digit = self.digits.handle_input(now, packet.timestamp, packet.payload);
            self.told.extend(digit.map(|d| (now, Told::Digit(d, false))));
            return;
        }
        // Heard as it comes: what is older than the last is not heard at all.
        let seq = call.seqs.unwrap(packet.seq);
        if seq <= call.last_seq || packet.payload_type != agreed.receive_pt {
            return;
        }
        call.last_seq = seq;
        self.received_packets += 1;
        if let Some(payloads) = &mut self.payloads {
            payloads.push(packet.payload.to_vec());
        }
        let Some(codec) = codecs::by_rtp(&agreed.format.name, agreed.format.clock, agreed.format.channels)
        else {
            return;
        };
        if call.decoder.as_ref().is_none_or(|(c, _)| *c != codec) {
            call.decoder = Some((codec, codecs::decoder(codec, 0).unwrap()));
        }
        if let Some((_, decoder)) = &mut call.decoder {
            let mut pcm = [0; 1_920];
            let n = decoder.decode(packet.payload, &mut pcm).unwrap();
            self.ear.hear(now, decoder.sample_rate(), &pcm[..n]);
        }
    }

    /// A frame of the voice is complete: it is sent if there is a call that wants it.
    fn speak(&mut self) {
        let Some(call) = &mut self.call else {
            self.voice.skip();
            return;
        };
        let Some((agreed, to)) = call.agreed.as_ref().and_then(|a| {
            let ip = a.remote.as_ref()?.ip()?;
            Some((a, SocketAddr::new(ip, a.remote_port)))
        }) else {
            self.voice.skip();
            return;
        };
        let codec = codecs::by_rtp(&agreed.format.name, agreed.format.clock, agreed.format.channels);
        // A called party may speak before it answers, a caller may not: nobody has asked it to.
        let Some(codec) = codec.filter(|_| agreed.direction.sends() && (call.up || call.incoming)) else {
            self.voice.skip();
            return;
        };
        if call.encoder.as_ref().is_none_or(|(c, _)| *c != codec) {
            call.encoder = Some((codec, codecs::encoder(codec, &Default::default()).unwrap()));
        }
        let Some((_, encoder)) = &mut call.encoder else {
            return;
        };
        let mut pcm = self.voice.speak(encoder.sample_rate());
        if let Some((tone, frames)) = &mut self.sounds {
            tone.fill(&mut pcm);
            *frames -= 1;
        }
        self.sounds.take_if(|(_, frames)| *frames == 0);
        let mut payload = [0; 1_000];
        let len = encoder.encode(&pcm, &mut payload).unwrap();
        let mut packet = vec![0; media::RTP_HEADER + len];
        call.sender
            .write(
                agreed.format.pt,
                self.sent_packets == 0,
                &payload[..len],
                &mut packet,
            )
            .unwrap();
        call.sender.advance(agreed.format.clock / 50);
        if let Some(session) = self.secure.as_mut().and_then(|s| s.session.as_mut()) {
            let len = packet.len();
            packet.resize(len + media::SRTP_OVERHEAD, 0);
            let sealed = session.protect_rtp(&mut packet, len).unwrap();
            packet.truncate(sealed);
        }
        self.sent_packets += 1;
        self.last_sent = Some(packet.clone());
        self.outgoing.push_back(Datagram {
            from: self.rtp,
            to,
            bytes: packet,
        });
    }

    pub fn timeout(&mut self, now: Time) {
        while self.voice.due() <= now {
            self.speak();
        }
        if self
            .call
            .as_ref()
            .and_then(|c| c.answer_at)
            .is_some_and(|at| at <= now)
        {
            self.answer(now);
        }
        if self.endpoint.poll_timeout().is_some_and(|at| at <= now) {
            self.endpoint.handle_timeout(now);
            self.pump(now);
        }
    }

    pub fn poll_timeout(&self) -> Option<Time> {
        let answer = self.call.as_ref().and_then(|c| c.answer_at);
        base::earliest(
            Some(self.voice.due()),
            base::earliest(answer, self.endpoint.poll_timeout()),
        )
    }

    fn pump(&mut self, now: Time) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Send { remote, bytes, .. } => {
                    if let Ok(sip::Message::Response(response)) = sip::parse_datagram(&bytes)
                        && response.status == 200
                    {
                        let to = response.headers.to().unwrap();
                        self.last_tag = to.tag().map(str::to_owned);
                    }
                    self.outgoing.push_back(Datagram {
                        from: self.sip,
                        to: remote,
                        bytes,
                    });
                }
                Output::Lookup { id, uri } => self.endpoint.handle_resolved(now, id, locate(&uri)),
                Output::Event(event) => self.event(now, event),
            }
        }
    }

    fn tell(&mut self, now: Time, what: Told) {
        self.told.push((now, what));
    }

    fn is_current(&self, handle: CallHandle) -> bool {
        self.call.as_ref().is_some_and(|c| c.handle == handle)
    }

    fn event(&mut self, now: Time, event: Event) {
        match event {
            Event::Registered { .. } => self.tell(now, Told::Registered),
            Event::RegisterFailed { status, .. } => self.tell(now, Told::RegisterFailed(status)),
            Event::BindingsChanged { bindings, .. } => self.bindings = bindings,
            Event::Incoming { call, user: None, .. } if self.asks => {
                self.endpoint.challenge(now, call).unwrap();
            }
            Event::Incoming {
                call,
                offer,
                headers,
                replaces,
                from,
                target,
                ..
            } => {
                self.last_target = Some(target);
                self.last_from = Some(from);
                let kept = headers.iter().map(|(n, v)| (n.as_str().to_owned(), v.to_owned()));
                self.last_headers = kept.collect();
                if replaces.is_some() {
                    self.swap();
                }
                self.incoming(now, call, offer);
            }
            Event::Refer { call, target, .. } => {
                self.tell(now, Told::Referred);
                self.endpoint.accept_refer(now, call).unwrap();
                self.swap();
                self.dial(now, &target.to_string());
            }
            Event::ReferProgress { status, .. } => self.tell(now, Told::Transfer(status)),
            Event::Message {
                request, from, body, ..
            } => {
                let text = String::from_utf8(body.unwrap().data).unwrap();
                self.tell(now, Told::Text(from.uri.to_string(), text));
                self.endpoint.respond_message(now, request, 200).unwrap();
            }
            Event::RequestResult { status, .. } => self.tell(now, Told::Sent(status)),
            Event::Info { body, .. } => {
                let digit = media::parse_info(true, &body.data).unwrap().digit;
                self.tell(now, Told::Digit(digit, true));
            }
            Event::Provisional {
                call, status, body, ..
            } if self.is_current(call) => {
                self.tell(now, Told::Progress(status, body.is_some()));
                if let Some(body) = body {
                    self.take_answer(&body);
                }
            }
            Event::Answered { call, body } if self.is_current(call) => {
                self.tell(now, Told::Answered);
                self.answered(now, call, body);
                self.report(now, 200);
            }
            Event::Failed { call, status, .. } if self.is_current(call) => {
                self.call = None;
                self.tell(now, Told::Failed(status));
                self.report(now, status);
            }
            Event::Confirmed {
                call,
                body: Some(body),
            } if self.is_current(call) => self.take_answer(&body),
            Event::Reoffer { call, body } if self.is_current(call) => self.reoffered(now, call, body),
            Event::ReofferResult { call, status, body } if self.is_current(call) => {
                self.tell(now, Told::Change(status));
                if let Some(body) = body {
                    self.take_answer(&body);
                }
            }
            Event::Ended { call, reason, .. } => {
                if self.is_current(call) {
                    self.call = None;
                }
                self.aside.take_if(|aside| aside.handle == call);
                self.tell(now, Told::Ended(reason));
            }
            _ => {}
        }
    }

    /// The party that sent us elsewhere hears how that went.
    fn report(&mut self, now: Time, status: u16) {
        if let Some(aside) = &self.aside {
            let _ = self.endpoint.report_refer(now, aside.handle, status);
        }
    }

    fn incoming(&mut self, now: Time, handle: CallHandle, offer: Option<Body>) {
        self.tell(now, Told::Called);
        if let Answers::Redirects(user) = self.answers {
            let contact = ("Contact".to_owned(), format!("<sip:{user}@{DOMAIN}>"));
            self.endpoint
                .refuse(now, handle, 302, None, vec![contact])
                .unwrap();
            return;
        }
        let fields = match self.answers {
            Answers::Refuses(_, fields) => fields,
            _ => &[],
        };
        let fields: Vec<_> = fields
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        let refuse = |status| (status, None, fields.clone());
        let busy = self.call.is_some();
        let refusal = match self.answers {
            _ if busy => Some(486),
            Answers::Busy => Some(486),
            Answers::Declines => Some(603),
            Answers::Refuses(status, _) => Some(status),
            Answers::Gone => Some(480),
            _ => None,
        };
        if let Some((status, reason, headers)) = refusal.map(refuse) {
            self.endpoint
                .refuse(now, handle, status, reason, headers)
                .unwrap();
            return;
        }
        let local = self.local();
        let mut call = self.new_call(handle, local, true);
        if let Some(body) = offer {
            let offer = sdp::Session::parse(&body.data).unwrap();
            if let Some(secure) = &mut self.secure {
                secure.reset();
            }
            match self.answer_to(&offer, &call.local) {
                Some(answer) => {
                    call.described = Some(answer.session);
                    call.agreed = Some(answer.agreed);
                }
                None => {
                    self.endpoint.refuse(now, handle, 488, None, Vec::new()).unwrap();
                    return;
                }
            }
        }
        let early = matches!(self.answers, Answers::EarlyThenAfter(_));
        let body = call
            .described
            .as_ref()
            .filter(|_| early)
            .map(|d| Body::sdp(d.to_bytes()));
        if !early {
            // Nothing is said before the answer, but what is settled is kept for it.
            call.incoming = false;
        }
        call.answer_at = match self.answers {
            Answers::After(wait) | Answers::EarlyThenAfter(wait) => Some(now + wait),
            _ => None,
        };
        self.call = Some(call);
        if self.answers == Answers::Tries {
            return;
        }
        let status = if early { 183 } else { 180 };
        self.endpoint.provisional(now, handle, status, body).unwrap();
    }

    fn answered(&mut self, now: Time, handle: CallHandle, body: Option<Body>) {
        let Some(call) = &mut self.call else { return };
        call.up = true;
        if call.offered.is_some() {
            if let Some(body) = body {
                self.take_answer(&body);
            }
            return;
        }
        // We offered nothing: this is the offer.
        let offer = sdp::Session::parse(&body.unwrap().data).unwrap();
        let local = call.local.clone();
        let answer = self.answer_to(&offer, &local).unwrap();
        let Some(call) = &mut self.call else { return };
        let body = Body::sdp(answer.session.to_bytes());
        call.described = Some(answer.session);
        call.agreed = Some(answer.agreed);
        self.endpoint.ack(now, handle, Some(body)).unwrap();
    }

    fn take_answer(&mut self, body: &Body) {
        let capabilities = self.capabilities();
        let Some(call) = &mut self.call else { return };
        let Some(offer) = &call.offered else { return };
        let answer = sdp::Session::parse(&body.data).unwrap();
        call.agreed = Some(sdp::accept(offer, &answer, &call.local, &capabilities).unwrap());
        if let Some(secure) = &mut self.secure {
            secure.accept(&answer);
        }
    }

    fn reoffered(&mut self, now: Time, handle: CallHandle, body: Option<Body>) {
        let Some(call) = &mut self.call else { return };
        let Some(body) = body else {
            let body = call.described.as_ref().map(|d| Body::sdp(d.to_bytes()));
            let _ = self.endpoint.accept_reoffer(now, handle, body);
            return;
        };
        let offer = sdp::Session::parse(&body.data).unwrap();
        let local = call.local.clone();
        let answer = self.answer_to(&offer, &local).unwrap();
        let Some(call) = &mut self.call else { return };
        let direction = answer.agreed.direction;
        let session = match &call.described {
            Some(before) => answer.session.follow(before),
            None => answer.session,
        };
        let body = Body::sdp(session.to_bytes());
        call.described = Some(session);
        call.agreed = Some(answer.agreed);
        let _ = self.endpoint.accept_reoffer(now, handle, Some(body));
        self.tell(now, Told::Changed(direction));
    }
}

fn plain(text: &str) -> Body {
    Body {
        content_type: "text/plain".to_owned(),
        data: text.as_bytes().to_vec(),
    }
}
