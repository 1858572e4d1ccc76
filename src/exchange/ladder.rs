//! What was said in calls, for ladder diagrams: the SIP messages of their legs and the commands of their clients.
//!
//! One ring holds all of it, bounded in bytes; what is oldest goes first, and one dialog or client never takes more
//! than its share. Secrets are taken out before anything is kept.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use base::{CallId, LegId, SessionId, Time};

/// Messages kept of one dialog or client.
const OF_ONE: usize = 256;
/// Legs of one client that are remembered.
const LEGS_OF_ONE: usize = 64;
/// Legs and calls that are remembered.
const REMEMBERED: usize = 16_384;
/// Bytes of one message.
const LONGEST: usize = 4_096;
/// What a message costs beside its text, bytes.
const OVERHEAD: usize = 160;
/// A client's commands belong to a call from so long before its beginning to so long after its end.
const AROUND: Duration = Duration::from_secs(2);

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// When.
    pub at: Time,
    /// By the gateway rather than to it.
    pub outgoing: bool,
    /// The other side: a transport and an address, or a client's session.
    pub with: String,
    /// In a few words.
    pub title: String,
    /// The whole message without secrets; empty where the title is all.
    pub text: String,
}

/// Whose words.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Voice {
    /// A SIP dialog, by its Call-ID.
    Sip(String),
    Client(SessionId),
}

#[derive(Debug, Default)]
struct Speaker {
    legs: Vec<LegId>,
    kept: usize,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Ladder {
    /// Bytes it may hold; 0: nothing is kept.
    budget: usize,
    used: usize,
    ring: VecDeque<(Voice, Said)>,
    speakers: HashMap<Voice, Speaker>,
    legs: BTreeMap<LegId, CallId>,
    /// When each began and ended.
    calls: BTreeMap<CallId, (Time, Option<Time>)>,
}

impl Ladder {
    /// An empty one of that many bytes.
    pub(super) fn new(budget: usize) -> Ladder {
        Ladder {
            budget,
            ..Ladder::default()
        }
    }

    /// Another bound; what is too much goes.
    pub(super) fn set_budget(&mut self, budget: usize) {
        self.budget = budget;
        self.shrink();
        if budget == 0 {
            *self = Ladder::default();
        }
    }

    /// Whether anything is kept.
    pub(super) fn is_on(&self) -> bool {
        self.budget > 0
    }

    /// A SIP message came or goes.
    pub(super) fn sip(&mut self, now: Time, outgoing: bool, transport: &str, peer: SocketAddr, bytes: &[u8]) {
        if !self.is_on() {
            return;
        }
        let Some((call_id, title, text)) = read(bytes) else {
            return;
        };
        let said = Said {
            at: now,
            outgoing,
            with: format!("{transport} {peer}"),
            title,
            text,
        };
        self.keep(Voice::Sip(call_id), said);
    }

    /// A client said something, or was told.
    pub(super) fn client(&mut self, now: Time, outgoing: bool, session: SessionId, words: String) {
        if !self.is_on() {
            return;
        }
        let said = Said {
            at: now,
            outgoing,
            with: format!("client {session}"),
            title: words,
            text: String::new(),
        };
        self.keep(Voice::Client(session), said);
    }

    /// A SIP dialog is that of a leg.
    pub(super) fn dialog(&mut self, call_id: &str, leg: LegId) {
        if self.is_on() {
            self.speaks(Voice::Sip(call_id.to_owned()), leg);
        }
    }

    /// A client takes part in a call by a leg.
    pub(super) fn session(&mut self, session: SessionId, leg: LegId) {
        if self.is_on() {
            self.speaks(Voice::Client(session), leg);
        }
    }

    /// A leg belongs to a call.
    pub(super) fn joins(&mut self, now: Time, leg: LegId, call: CallId) {
        if !self.is_on() {
            return;
        }
        self.legs.insert(leg, call);
        self.calls.entry(call).or_insert((now, None));
        if self.legs.len() > REMEMBERED {
            self.legs.pop_first();
        }
        if self.calls.len() > REMEMBERED {
            self.calls.pop_first();
        }
    }

    /// A call is over.
    pub(super) fn over(&mut self, now: Time, call: CallId) {
        if let Some((_, ended)) = self.calls.get_mut(&call) {
            *ended = Some(now);
        }
    }

    /// What is kept of a call, in the order in which it was said; `None` when nothing is known of it.
    pub(super) fn of(&self, call: CallId) -> Option<Vec<Said>> {
        let (began, ended) = *self.calls.get(&call)?;
        let of_call = |speaker: &Speaker| speaker.legs.iter().any(|leg| self.legs.get(leg) == Some(&call));
        let fits = |(voice, said): &&(Voice, Said)| {
            let in_time = match voice {
                Voice::Sip(_) => true,
                Voice::Client(_) => {
                    said.at + AROUND >= began && ended.is_none_or(|ended| said.at <= ended + AROUND)
                }
            };
            in_time && self.speakers.get(voice).is_some_and(of_call)
        };
        Some(
            self.ring
                .iter()
                .filter(fits)
                .map(|(_, said)| said.clone())
                .collect(),
        )
    }

    fn speaks(&mut self, voice: Voice, leg: LegId) {
        if self.speakers.len() > REMEMBERED {
            self.speakers.retain(|_, s| s.kept > 0);
        }
        let legs = &mut self.speakers.entry(voice).or_default().legs;
        if legs.contains(&leg) {
            return;
        }
        if legs.len() >= LEGS_OF_ONE {
            legs.remove(0);
        }
        legs.push(leg);
    }

    fn keep(&mut self, voice: Voice, said: Said) {
        let speaker = self.speakers.entry(voice.clone()).or_default();
        if speaker.kept >= OF_ONE {
            return;
        }
        speaker.kept += 1;
        self.used += cost(&said);
        self.ring.push_back((voice, said));
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.used > self.budget {
            let Some((voice, said)) = self.ring.pop_front() else {
                self.used = 0;
                return;
            };
            self.used = self.used.saturating_sub(cost(&said));
            if let Some(speaker) = self.speakers.get_mut(&voice) {
                speaker.kept = speaker.kept.saturating_sub(1);
                if speaker.kept == 0 {
                    self.speakers.remove(&voice);
                }
            }
        }
    }
}

fn cost(said: &Said) -> usize {
    said.text.len() + said.title.len() + said.with.len() + OVERHEAD
}

/// Call-ID, title and text of a SIP message that may belong to a call.
fn read(bytes: &[u8]) -> Option<(String, String, String)> {
    let bytes = bytes.get(..bytes.len().min(2 * LONGEST)).unwrap_or_default();
    let whole = String::from_utf8_lossy(bytes);
    let (head, body) = whole.split_once("\r\n\r\n").unwrap_or((&whole, ""));
    let mut lines = head.split("\r\n");
    let first = lines.next()?;
    let (mut call_id, mut method, mut kind) = (None, None, "");
    let mut text = mask_password(first);
    let mut secret = false;
    for line in lines {
        // A folded line is more of the one before it (RFC 3261 §7.3.1).
        if line.starts_with([' ', '\t']) {
            if !secret {
                text.push('\n');
                text.push_str(&mask_password(line));
            }
            continue;
        }
        text.push('\n');
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        secret = name.ends_with("authorization");
        match name.as_str() {
            "call-id" | "i" => call_id = Some(value.to_owned()),
            "cseq" => method = value.split_whitespace().nth(1),
            "content-type" | "c" => kind = value,
            _ => {}
        }
        if secret {
            let scheme = value.split_whitespace().next().unwrap_or_default();
            text.push_str(&format!("{name}: {scheme} …"));
        } else {
            text.push_str(&mask_password(line));
        }
    }
    let method = method?;
    // What is no part of a call: registrations, presence, texts, checks.
    if matches!(
        method,
        "REGISTER" | "OPTIONS" | "SUBSCRIBE" | "PUBLISH" | "MESSAGE"
    ) {
        return None;
    }
    let mut title = match first.strip_prefix("SIP/2.0 ") {
        Some(status) => format!("{status} ({method})"),
        None => method.to_owned(),
    };
    if kind.starts_with("application/sdp") && !body.is_empty() {
        title.push_str(" SDP");
    }
    if !body.is_empty() {
        text.push_str("\n\n");
        text.push_str(&mask_body(kind, body));
    }
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    let title = title.chars().take(60).collect();
    Some((call_id?.chars().take(256).collect(), title, text))
}

/// Keys of media (RFC 4568, RFC 8445) and digits, which may be a PIN, are left out.
fn mask_body(kind: &str, body: &str) -> String {
    if kind.starts_with("application/dtmf") {
        return "…".to_owned();
    }
    let mask = |line: &str| {
        let secret = ["a=crypto:", "a=ice-pwd:", "k=", "Signal="];
        let found = secret.iter().find(|s| {
            line.get(..s.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(s))
        });
        found.map_or_else(|| line.to_owned(), |s| format!("{s}…"))
    };
    body.lines().map(mask).collect::<Vec<_>>().join("\n")
}

/// The password of a URI (RFC 3261 §19.1.1) is left out.
fn mask_password(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    let scheme = |text: &str| {
        let ends = ["sip:", "sips:"].map(|s| text.find(s).map(|at| at + s.len()));
        ends.into_iter().flatten().min()
    };
    while let Some((before, after)) = scheme(rest).and_then(|end| rest.split_at_checked(end)) {
        out.push_str(before);
        let end = after.find(['>', ' ', '"', ',']).unwrap_or(after.len());
        let (uri, further) = after.split_at(end);
        match uri
            .split_once('@')
            .and_then(|(user, host)| Some((user.split_once(':')?.0, host)))
        {
            Some((user, host)) => out.push_str(&format!("{user}:…@{host}")),
            None => out.push_str(uri),
        }
        rest = further;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: CallId = CallId(1);
    const LEG: LegId = LegId::of_exchange(1);

    fn at(ms: u64) -> Time {
        Time::from_secs(100) + Duration::from_millis(ms)
    }

    fn peer() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 5060))
    }

    fn message(first: &str, id: &str, rest: &str) -> Vec<u8> {
        format!("{first}\r\nCall-ID: {id}\r\nCSeq: 1 INVITE\r\n{rest}").into_bytes()
    }

    #[test]
    fn a_call_shows_its_own_messages_in_order() {
        let mut ladder = Ladder::new(1 << 20);
        ladder.client(at(0), false, SessionId(3), "connect sip".to_owned());
        ladder.client(at(9_000), false, SessionId(3), "call (1 argument)".to_owned());
        ladder.session(SessionId(3), LEG);
        ladder.joins(at(9_000), LEG, CALL);
        let far = LegId::of_exchange(2);
        ladder.joins(at(9_000), far, CALL);
        ladder.dialog("a@b", far);
        ladder.sip(
            at(9_010),
            true,
            "UDP",
            peer(),
            &message("INVITE sip:x@y SIP/2.0", "a@b", "\r\n"),
        );
        ladder.sip(
            at(9_011),
            true,
            "UDP",
            peer(),
            &message("INVITE sip:x@y SIP/2.0", "other", "\r\n"),
        );
        ladder.sip(
            at(9_020),
            false,
            "UDP",
            peer(),
            &message("SIP/2.0 180 Ringing", "a@b", "\r\n"),
        );
        ladder.over(at(20_000), CALL);
        ladder.client(at(30_000), false, SessionId(3), "call (1 argument)".to_owned());
        let titles: Vec<String> = ladder.of(CALL).unwrap().into_iter().map(|s| s.title).collect();
        assert_eq!(titles, ["call (1 argument)", "INVITE", "180 Ringing (INVITE)"]);
        assert_eq!(ladder.of(CallId(9)), None);
    }

    #[test]
    fn memory_is_bounded_and_one_dialog_leaves_room_for_others() {
        let mut ladder = Ladder::new(200_000);
        for n in 0..5_000 {
            let id = format!("{}@x", if n % 2 == 0 { 0 } else { n });
            let padding = format!("Subject: {}\r\n\r\n", "x".repeat(9_000));
            ladder.sip(
                at(n),
                true,
                "UDP",
                peer(),
                &message("INVITE sip:x@y SIP/2.0", &id, &padding),
            );
            assert!(ladder.used <= 200_000 && ladder.speakers.len() <= ladder.ring.len());
        }
        assert!(ladder.ring.len() > 20);
        let mut one = Ladder::new(10 << 20);
        for n in 0..1_000 {
            one.sip(
                at(n),
                true,
                "UDP",
                peer(),
                &message("INVITE sip:x@y SIP/2.0", "one", "\r\n"),
            );
        }
        assert_eq!(one.ring.len(), OF_ONE);
        one.set_budget(0);
        one.sip(
            at(1),
            true,
            "UDP",
            peer(),
            &message("INVITE sip:x@y SIP/2.0", "one", "\r\n"),
        );
        assert_eq!((one.ring.len(), one.used, one.is_on()), (0, 0, false));
    }

    #[test]
    fn secrets_are_not_kept() {
        let bytes = message(
            "INVITE sip:bob:hunter2@example.com SIP/2.0",
            "a@b",
            "Proxy-Authorization: Digest username=\"bob\",\r\n response=\"0123secret\"\r\n\
             From: <sip:bob:hunter2@example.com>;tag=1, \"x\" <sips:eve:hunter2@h>\r\nContact: <sip:bob@h;transport=tcp>\r\n\
             Content-Type: application/sdp\r\n\r\nv=0\r\na=crypto:1 AES_CM inline:0123secret\r\na=ice-pwd:0123secret\r\na=sendrecv\r\n",
        );
        let (id, title, text) = read(&bytes).unwrap();
        assert_eq!((id.as_str(), title.as_str()), ("a@b", "INVITE SDP"));
        assert!(!text.contains("secret") && !text.contains("hunter2"), "{text}");
        assert!(text.contains("proxy-authorization: Digest …"), "{text}");
        assert!(
            text.contains("Contact: <sip:bob@h;transport=tcp>") && text.contains("a=sendrecv"),
            "{text}"
        );
        let info = message(
            "INFO sip:x SIP/2.0",
            "a",
            "Content-Type: application/dtmf-relay\r\n\r\nSignal=5\r\nDuration=160\r\n",
        );
        assert!(!read(&info).unwrap().2.contains('5'));
        let register = b"REGISTER sip:x SIP/2.0\r\nCall-ID: a\r\nCSeq: 1 REGISTER\r\n\r\n";
        assert_eq!(read(register), None);
    }

    #[test]
    fn nothing_on_the_wire_upsets_the_reader() {
        let mut rng = base::Rng::from_entropy([5; 32]);
        let parts = [
            "INVITE sip:",
            "a:b@c",
            "\r\n",
            "\r\n\r\n",
            "Call-ID: x",
            "CSeq: 1 INVITE",
            " ",
            "é",
            "…",
            "Authorization",
            "k=",
            ":",
        ];
        for _ in 0..5_000 {
            let text: String = (0..rng.below(40))
                .filter_map(|_| parts.get(rng.below(parts.len() as u64) as usize).copied())
                .collect();
            let mut bytes = text.into_bytes();
            if rng.below(4) == 0 {
                bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize);
                bytes.push(0xFF);
            }
            let _read = read(&bytes);
        }
    }
}
