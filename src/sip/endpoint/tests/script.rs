//! A transcript player: what the peer sends and what the endpoint must send, as text side by side.
//!
//! `{name}` in an expected text matches anything once and the same thing from then on; in a sent text it stands
//! for what was matched. Two spaces of indentation and the final empty line are left away.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use base::{ConnId, Rng, Time};

use crate::endpoint::{Endpoint, EndpointConfig, Event, Listener, Output, User};
use crate::transport::{Source, Transport};
use crate::{NameAddr, Uri};

pub(super) const OURS: &str = "192.0.2.1:5060";
pub(super) const PEER: &str = "192.0.2.9:5060";

pub(super) fn addr(s: &str) -> SocketAddr {
    s.parse().unwrap()
}

pub(super) fn uri(s: &str) -> Uri {
    s.parse().unwrap()
}

pub(super) fn name(s: &str) -> NameAddr {
    NameAddr::parse(s).unwrap()
}

pub(super) struct Script {
    pub(super) ua: Endpoint,
    pub(super) now: Time,
    pub(super) transport: Transport,
    pub(super) peer: SocketAddr,
    pub(super) conn: Option<ConnId>,
    vars: BTreeMap<String, String>,
    sent: Vec<(SocketAddr, Transport, String)>,
    events: Vec<Event>,
    pub(super) lookups: Vec<(crate::LookupId, Uri)>,
}

impl Script {
    pub(super) fn new() -> Script {
        Script::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut EndpointConfig)) -> Script {
        let mut config = EndpointConfig {
            domains: vec!["a.test".to_owned()],
            listeners: vec![
                Listener::new(Transport::Udp, addr(OURS)),
                Listener::new(Transport::Tcp, addr(OURS)),
            ],
            transfers: true,
            digest: vec![crate::auth::Algorithm::Sha256, crate::auth::Algorithm::Md5],
            ..EndpointConfig::default()
        };
        change(&mut config);
        let mut ua = Endpoint::new(config, Rng::new(1));
        ua.set_users(vec![User {
            name: "alice".to_owned(),
            password: "secret".to_owned(),
        }]);
        Script {
            ua,
            now: Time::from_secs(1),
            transport: Transport::Udp,
            peer: addr(PEER),
            conn: None,
            vars: BTreeMap::new(),
            sent: Vec::new(),
            events: Vec::new(),
            lookups: Vec::new(),
        }
    }

    pub(super) fn source(&self) -> Source {
        Source {
            transport: self.transport,
            local: addr(OURS),
            remote: self.peer,
            conn: self.conn,
        }
    }

    pub(super) fn drain(&mut self) {
        while let Some(out) = self.ua.poll_output() {
            match out {
                Output::Send {
                    remote,
                    transport,
                    bytes,
                    ..
                } => self
                    .sent
                    .push((remote, transport, String::from_utf8(bytes).unwrap())),
                Output::Event(event) => self.events.push(event),
                Output::Lookup { id, uri } => self.lookups.push((id, uri)),
            }
        }
    }

    /// The peer sends this.
    #[track_caller]
    pub(super) fn recv(&mut self, text: &str) -> &mut Script {
        let mut out = self.fill(text);
        let (head, body) = match out.split_once("\n\n") {
            Some((head, body)) => (head.to_owned(), body.to_owned()),
            None => (out.clone(), String::new()),
        };
        let body = if body.is_empty() {
            body
        } else {
            body.replace('\n', "\r\n") + "\r\n"
        };
        out = format!(
            "{}\r\nContent-Length: {}\r\n\r\n{body}",
            head.replace('\n', "\r\n"),
            body.len()
        );
        self.recv_raw(out.as_bytes())
    }

    pub(super) fn recv_raw(&mut self, bytes: &[u8]) -> &mut Script {
        self.drain();
        let source = self.source();
        match self.transport {
            Transport::Udp => self.ua.handle_datagram(self.now, source, bytes),
            _ => self
                .ua
                .handle_message(self.now, source, crate::parse_datagram(bytes)),
        }
        self.drain();
        self
    }

    /// Sets what `{name}` stands for.
    pub(super) fn learn(&mut self, name: &str, value: &str) {
        self.vars.insert(name.to_owned(), value.trim().to_owned());
    }

    /// Sets the names that responses to our INVITE use.
    pub(super) fn learn_request(&mut self, sent: &str) {
        let between = |start: &str, end: &str| {
            let rest = sent.split_once(start).unwrap().1;
            rest.split([';', '\r', ' '])
                .next()
                .unwrap()
                .split(end)
                .next()
                .unwrap()
                .to_owned()
        };
        for (name, value) in [
            ("branch", between("branch=", ";")),
            ("callid", between("Call-ID: ", "\r")),
            ("cseq", between("CSeq: ", " ")),
        ] {
            self.learn(name, &value);
        }
        let from = sent.lines().find(|l| l.starts_with("From")).unwrap();
        self.learn("from", from.split("tag=").nth(1).unwrap());
    }

    fn fill(&self, text: &str) -> String {
        let mut out = unindent(text);
        for (name, value) in &self.vars {
            out = out.replace(&format!("{{{name}}}"), value);
        }
        out
    }

    /// The next message sent must be this, to the peer.
    #[track_caller]
    pub(super) fn sends(&mut self, text: &str) -> &mut Script {
        let peer = self.peer;
        self.sends_to(peer, text)
    }

    #[track_caller]
    pub(super) fn sends_to(&mut self, to: SocketAddr, text: &str) -> &mut Script {
        self.drain();
        assert!(!self.sent.is_empty(), "nothing was sent; expected\n{text}");
        let (remote, _, got) = self.sent.remove(0);
        let got = got.replace("\r\n", "\n");
        let got = got.trim_end();
        let want = unindent(text);
        let (got_lines, want_lines): (Vec<_>, Vec<_>) = (got.lines().collect(), want.lines().collect());
        let same = got_lines.len() == want_lines.len()
            && got_lines.iter().zip(&want_lines).all(|(g, w)| self.matches(g, w));
        assert!(
            same,
            "sent\n\n{got}\n\ninstead of\n\n{want}\n\nknown: {:?}",
            self.vars
        );
        assert_eq!(remote, to, "{got}");
        self
    }

    fn matches(&mut self, got: &str, want: &str) -> bool {
        let Some((before, rest)) = want.split_once('{') else {
            return got == want;
        };
        let Some(got) = got.strip_prefix(before) else {
            return false;
        };
        let (name, after) = rest.split_once('}').unwrap();
        if let Some(value) = self.vars.get(name).cloned() {
            return got
                .strip_prefix(value.as_str())
                .is_some_and(|g| self.matches(g, after));
        }
        let literal = after.split('{').next().unwrap();
        let end = if literal.is_empty() {
            got.len()
        } else {
            match got.find(literal) {
                Some(end) => end,
                None => return false,
            }
        };
        self.vars.insert(name.to_owned(), got[..end].to_owned());
        self.matches(&got[end..], after)
    }

    /// The next message sent must begin so; gives it whole.
    #[track_caller]
    pub(super) fn sends_some(&mut self, start: &str) -> String {
        self.drain();
        assert!(!self.sent.is_empty(), "nothing was sent; expected {start}");
        let (_, _, got) = self.sent.remove(0);
        assert!(got.starts_with(start), "sent\n{got}\ninstead of {start}");
        got
    }

    #[track_caller]
    pub(super) fn sends_nothing(&mut self) -> &mut Script {
        self.drain();
        assert!(self.sent.is_empty(), "sent {}", self.sent[0].2);
        self
    }

    /// What was sent and not looked at, by first line.
    pub(super) fn take_first_lines(&mut self) -> Vec<String> {
        self.drain();
        std::mem::take(&mut self.sent)
            .into_iter()
            .map(|(_, _, s)| s.lines().next().unwrap().to_owned())
            .collect()
    }

    pub(super) fn take_sent(&mut self) -> Vec<(SocketAddr, Transport, String)> {
        self.drain();
        std::mem::take(&mut self.sent)
    }

    #[track_caller]
    pub(super) fn event(&mut self) -> Event {
        self.drain();
        assert!(!self.events.is_empty(), "no event");
        self.events.remove(0)
    }

    pub(super) fn has_event(&mut self) -> bool {
        self.drain();
        !self.events.is_empty()
    }

    #[track_caller]
    pub(super) fn no_event(&mut self) {
        self.drain();
        assert!(self.events.is_empty(), "{:?}", self.events[0]);
    }

    /// Time passes; each deadline is served when due.
    pub(super) fn wait(&mut self, ms: u64) -> &mut Script {
        let end = self.now + Duration::from_millis(ms);
        while let Some(at) = self.ua.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.ua.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
        self
    }

    /// After all timers nothing is left.
    #[track_caller]
    pub(super) fn leaves_nothing(&mut self) {
        self.wait(400_000);
        assert_eq!((self.ua.calls(), self.ua.transactions()), (0, 0));
        assert_eq!(self.ua.timers.len(), 0);
        assert!(self.ua.dialogs.is_empty());
    }
}

fn unindent(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().map(str::trim).collect();
    lines.join("\n")
}
