//! The user agent by operations: messages, commands and time in any order.
#![no_main]

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use base::{ConnId, EndReason, Rng, Time};
use libfuzzer_sys::fuzz_target;
use sip::{
    Body, CallHandle, Destination, Endpoint, EndpointConfig, Event, HeaderName, Invite, Listener, LookupId, Message,
    NameAddr, OutOfDialog, Output, Registration, RegistrationHandle, Request, RequestHandle, Response, SendId, Source,
    Transport, User, parse_datagram,
};

/// The fuzzer's bytes as numbers.
struct Dice<'a>(&'a [u8]);

impl Dice<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((b, rest)) => {
                self.0 = rest;
                *b
            }
            None => 0,
        }
    }

    fn pick<T: Clone>(&mut self, list: &[T]) -> Option<T> {
        let n = usize::from(self.byte());
        list.get(n % list.len().max(1)).cloned()
    }
}

struct World {
    ua: Endpoint,
    now: Time,
    calls: Vec<CallHandle>,
    registrations: Vec<RegistrationHandle>,
    requests: Vec<RequestHandle>,
    lookups: Vec<LookupId>,
    sends: Vec<SendId>,
    /// What we sent last, for the peer to answer or to go on from.
    requests_out: VecDeque<Request>,
    responses_out: VecDeque<Response>,
    /// How many last events each call had.
    ended: BTreeMap<CallHandle, u32>,
}

fn addr(s: &str) -> SocketAddr {
    s.parse().expect("an address")
}

impl World {
    fn new() -> World {
        let mut config = EndpointConfig {
            domains: vec!["a.test".to_owned()],
            listeners: vec![
                Listener::new(Transport::Udp, addr("192.0.2.1:5060")),
                Listener::new(Transport::Tcp, addr("192.0.2.1:5060")),
            ],
            ..EndpointConfig::default()
        };
        config.transfers = true;
        config.limits.calls = 12;
        config.limits.transactions = 40;
        config.limits.bindings = 2;
        config.limits.offenders = 1;
        let mut ua = Endpoint::new(config, Rng::new(7));
        ua.set_users(vec![User {
            name: "alice".to_owned(),
            password: "secret".to_owned(),
        }]);
        World {
            ua,
            now: Time::from_secs(1),
            calls: Vec::new(),
            registrations: Vec::new(),
            requests: Vec::new(),
            lookups: Vec::new(),
            sends: Vec::new(),
            requests_out: VecDeque::new(),
            responses_out: VecDeque::new(),
            ended: BTreeMap::new(),
        }
    }

    fn source(dice: &mut Dice<'_>) -> Source {
        let n = dice.byte();
        let tcp = n & 1 == 1;
        Source {
            transport: if tcp { Transport::Tcp } else { Transport::Udp },
            local: addr("192.0.2.1:5060"),
            remote: addr("192.0.2.9:5060"),
            conn: tcp.then_some(ConnId(u64::from(n >> 1 & 3))),
        }
    }

    fn drain(&mut self) {
        let mut count = 0;
        while let Some(out) = self.ua.poll_output() {
            count += 1;
            assert!(count < 2_000, "one input has bounded outputs");
            match out {
                Output::Send { id, bytes, .. } => {
                    self.sends.push(id);
                    match parse_datagram(&bytes).expect("what we send can be read") {
                        Message::Request(r) => self.requests_out.push_back(r),
                        Message::Response(r) => self.responses_out.push_back(r),
                    }
                }
                Output::Lookup { id, .. } => self.lookups.push(id),
                Output::Event(event) => self.event(event),
            }
        }
        self.requests_out.drain(..self.requests_out.len().saturating_sub(16));
        self.responses_out.drain(..self.responses_out.len().saturating_sub(16));
        self.sends.drain(..self.sends.len().saturating_sub(16));
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Incoming { call, .. } => self.calls.push(call),
            Event::Ended { call, .. } | Event::Failed { call, .. } => {
                let n = self.ended.entry(call).or_default();
                *n += 1;
                assert_eq!(*n, 1, "one last event");
            }
            Event::Answered { call, .. } | Event::Provisional { call, .. } | Event::Reoffer { call, .. } => {
                assert!(!self.ended.contains_key(&call), "nothing after the last event");
            }
            Event::Message { request, .. } => self.requests.push(request),
            _ => {}
        }
    }

    fn time(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        let mut steps = 0;
        while let Some(at) = self.ua.poll_timeout().filter(|at| *at <= end) {
            steps += 1;
            assert!(steps < 100_000, "timers go on for ever");
            self.now = self.now.max(at);
            self.ua.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// A response to something we sent.
    fn answer(&mut self, dice: &mut Dice<'_>) {
        let n = usize::from(dice.byte());
        let Some(request) = self.requests_out.get(n % self.requests_out.len().max(1)) else {
            return;
        };
        const STATUS: [u16; 16] = [100, 180, 183, 200, 200, 200, 302, 401, 407, 408, 423, 481, 486, 491, 500, 503];
        let status = STATUS[usize::from(dice.byte() & 15)];
        let mut response = Response::to_request(request, status, None);
        let tag = format!("t{}", dice.byte() & 3);
        if let Ok(mut to) = response.headers.to() {
            if to.tag().is_none() && dice.byte() & 7 != 7 {
                to.set_tag(&tag);
            }
            response.headers.set(HeaderName::To, to);
        }
        let more = dice.byte();
        if more & 1 == 1 {
            response.headers.push(HeaderName::Contact, "<sip:peer@192.0.2.9:5070>");
        }
        if more & 2 == 2 {
            response.headers.push(HeaderName::RecordRoute, "<sip:192.0.2.77;lr>, <sip:192.0.2.78>");
        }
        if more & 4 == 4 {
            response.headers.push(HeaderName::ContentType, "application/sdp");
            response.body = b"v=0\r\n".to_vec();
        }
        if more & 8 == 8 {
            response.headers.push(HeaderName::Require, "100rel, timer");
            response.headers.push(HeaderName::RSeq, u32::from(dice.byte() & 3));
            response.headers.push(HeaderName::SessionExpires, "90;refresher=uac");
        }
        match status {
            401 => response.headers.push(HeaderName::WwwAuthenticate, "Digest realm=\"r\", nonce=\"n\", stale=true"),
            407 => response.headers.push(HeaderName::ProxyAuthenticate, "Digest realm=\"p\", nonce=\"n\", qop=\"auth\""),
            423 => response.headers.push(HeaderName::MinExpires, 900),
            _ => {}
        }
        let source = World::source(dice);
        self.ua.handle_message(self.now, source, Ok(Message::Response(response)));
    }

    /// A request, perhaps within a dialog we know of.
    fn ask(&mut self, dice: &mut Dice<'_>) {
        const METHODS: [&str; 16] = [
            "INVITE", "INVITE", "INVITE", "ACK", "ACK", "BYE", "CANCEL", "CANCEL", "OPTIONS", "REGISTER", "INFO",
            "MESSAGE", "PRACK", "UPDATE", "REFER", "NOTIFY",
        ];
        let method = METHODS[usize::from(dice.byte() & 15)];
        let n = dice.byte();
        let (seq, branch) = (dice.byte() & 7, dice.byte() & 7);
        let mut from = format!("<sip:peer@b.test>;tag=p{}", n & 3);
        let mut to = "<sip:alice@a.test>".to_owned();
        let mut call_id = format!("c{}", n >> 2 & 3);
        match n >> 4 & 3 {
            // Within a dialog we answered.
            1 => {
                if let Some(r) = self.responses_out.get(usize::from(seq) % self.responses_out.len().max(1)) {
                    to = r.headers.get(&HeaderName::To).unwrap_or("").to_owned();
                    from = r.headers.get(&HeaderName::From).unwrap_or("").to_owned();
                    call_id = r.headers.call_id().unwrap_or("").to_owned();
                }
            }
            // Within a dialog we began.
            2 => {
                if let Some(r) = self.requests_out.get(usize::from(seq) % self.requests_out.len().max(1)) {
                    to = r.headers.get(&HeaderName::From).unwrap_or("").to_owned();
                    from = r.headers.get(&HeaderName::To).unwrap_or("").to_owned();
                    if !from.contains("tag=") {
                        from.push_str(&format!(";tag=t{}", n & 3));
                    }
                    call_id = r.headers.call_id().unwrap_or("").to_owned();
                }
            }
            _ => {}
        }
        let more = dice.byte();
        let mut text = format!(
            "{method} sip:alice@a.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK{branch}\r\n\
             From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {seq} {method}\r\n"
        );
        if more & 1 == 0 {
            text.push_str("Contact: <sip:peer@192.0.2.9:5070>\r\n");
        }
        if more & 2 == 2 {
            text.push_str("Supported: 100rel, timer, replaces\r\nSession-Expires: 90\r\nMin-SE: 90\r\n");
        }
        if more & 4 == 4 {
            text.push_str("RAck: 1 1 INVITE\r\nRefer-To: <sip:c@c.test>\r\nEvent: refer\r\n");
        }
        if more & 8 == 8 {
            text.push_str("Require: 100rel\r\n");
        }
        if more & 16 == 16 {
            text.push_str("Content-Type: application/sdp\r\n\r\nv=0\r\n");
        } else {
            text.push_str("\r\n");
        }
        let source = World::source(dice);
        self.ua.handle_message(self.now, source, parse_datagram(text.as_bytes()));
    }

    fn command(&mut self, dice: &mut Dice<'_>) {
        let (now, what) = (self.now, dice.byte() % 22);
        let call = dice.pick(&self.calls);
        let body = (dice.byte() & 1 == 1).then(|| Body::sdp("v=0\r\n"));
        let name = |s: &str| NameAddr::parse(s).expect("an address");
        let target = match dice.byte() & 3 {
            0 => "sip:bob@192.0.2.9;transport=tcp",
            1 => "sip:bob@b.test",
            _ => "sip:bob@192.0.2.9",
        };
        let target: sip::Uri = target.parse().expect("a URI");
        let credentials = Some(sip::auth::Credentials::new("bob", "pw"));
        match (what, call) {
            (0 | 1, _) => {
                let mut invite = Invite::new(target, name("<sip:alice@a.test>"));
                invite.body = body;
                invite.credentials = credentials;
                invite.flow = (dice.byte() & 7 == 0).then(|| World::source(dice));
                self.calls.extend(self.ua.invite(now, invite));
            }
            (2, Some(h)) => drop(self.ua.provisional(now, h, 183, body)),
            (3, Some(h)) => drop(self.ua.answer(now, h, body)),
            (4, Some(h)) => drop(self.ua.refuse(now, h, 486, None, Vec::new())),
            (5, Some(h)) => drop(self.ua.challenge(now, h)),
            (6 | 7, Some(h)) => drop(self.ua.hang_up(now, h, EndReason::HungUp)),
            (8, Some(h)) => drop(self.ua.reinvite(now, h, body)),
            (9, Some(h)) => drop(self.ua.accept_reoffer(now, h, body)),
            (10, Some(h)) => drop(self.ua.refuse_reoffer(now, h, 488)),
            (11, Some(h)) => drop(self.ua.ack(now, h, body)),
            (12, Some(h)) => drop(self.ua.info(now, h, Body::sdp("x"))),
            (13, _) => {
                let what = OutOfDialog {
                    target,
                    from: name("<sip:alice@a.test>"),
                    route: Vec::new(),
                    flow: None,
                    body,
                    credentials,
                };
                let _ = self.ua.message(now, what);
            }
            (14, _) => {
                if let Some(request) = dice.pick(&self.requests) {
                    let _ = self.ua.respond_message(now, request, 200);
                }
            }
            (15, _) if self.registrations.len() < 3 => {
                let what = Registration {
                    registrar: target,
                    aor: name("<sip:alice@b.test>"),
                    user: "alice".to_owned(),
                    route: Vec::new(),
                    credentials,
                    expires: 300,
                };
                self.registrations.extend(self.ua.register(now, what));
            }
            (17, Some(h)) => drop(self.ua.accept_refer(now, h)),
            (18, Some(h)) => drop(self.ua.refuse_refer(now, h, 603)),
            (19, Some(h)) => drop(self.ua.report_refer(now, h, 200)),
            (20, Some(h)) => drop(self.ua.refer(now, h, &target, dice.pick(&self.calls))),
            (16, _) => {
                if let Some(h) = dice.pick(&self.registrations) {
                    let _ = self.ua.unregister(now, h);
                }
            }
            _ => {}
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut w = World::new();
    let mut dice = Dice(data);
    while !dice.0.is_empty() {
        match dice.byte() % 12 {
            0..=2 => w.answer(&mut dice),
            3..=5 => w.ask(&mut dice),
            6..=7 => w.command(&mut dice),
            8 => {
                let ms = u64::from(dice.byte());
                w.time(ms * ms);
            }
            9 => {
                if let Some(id) = dice.pick(&w.lookups) {
                    let found = match dice.byte() & 1 {
                        0 => Vec::new(),
                        _ => vec![
                            Destination {
                                transport: Transport::Tcp,
                                addr: addr("192.0.2.9:5060"),
                            };
                            2
                        ],
                    };
                    w.ua.handle_resolved(w.now, id, found);
                }
            }
            10 => {
                if let Some(id) = dice.pick(&w.sends) {
                    w.ua.handle_send_failed(w.now, id);
                }
            }
            _ => {
                let conn = ConnId(u64::from(dice.byte() & 3));
                w.ua.handle_conn_closed(w.now, conn, addr("192.0.2.9:5060"));
            }
        }
        w.drain();
    }
    // The user leaves; after all timers nothing may be left.
    for h in std::mem::take(&mut w.calls) {
        let _ = w.ua.hang_up(w.now, h, EndReason::HungUp);
        w.drain();
        assert_eq!(w.ended.get(&h), Some(&1), "one last event");
    }
    for h in std::mem::take(&mut w.registrations) {
        let _ = w.ua.unregister(w.now, h);
    }
    w.drain();
    w.time(600_000);
    assert_eq!((w.ua.calls(), w.ua.transactions()), (0, 0), "{:#?}", w.ua);
});
