//! Clients with lines: what each session has of accounts, calls and streams, and what it wants of its calls.

use std::collections::{BTreeMap, HashMap};

use base::{CallId, EndReason, LegId, SessionId, ShardId, Time};
use call::{AccountId, CallState, Dial, LegEvent, Line, LineEvent, LineIntent, Outcome, StreamEvent};
use codecs::CodecId;
use sip::{RegistrationHandle, RequestHandle};

use super::accounts::Account;
use super::dial::Callees;
use super::line_leg::LineLeg;
use super::{CallEntry, Exchange, Kind, Leg, Owner};
use crate::shard::Command;

/// Calls of one client at a time; one more is refused as busy.
pub(super) const LINES: usize = 16;

/// A stream of a client with lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineStream {
    /// Its media half.
    half: LegId,
    /// The line it is bound to; else it follows the attached one.
    line: Option<Line>,
    /// What it publishes, when it publishes: the codec once known.
    published: Option<Option<CodecId>>,
}

/// A session that speaks of lines.
#[derive(Debug, Default)]
pub(super) struct Client {
    /// What it decodes, the preferred first.
    pub(super) codecs: Vec<CodecId>,
    pub(super) accounts: BTreeMap<AccountId, Account>,
    pub(super) lines: BTreeMap<Line, LegId>,
    attached: Option<Line>,
    streams: Vec<LineStream>,
    incoming: u32,
}

impl Client {
    /// The streams that carry a line, published or played.
    fn streams_of(&self, line: Line, published: bool) -> impl Iterator<Item = &LineStream> {
        let attached = self.attached == Some(line);
        self.streams.iter().filter(move |s| {
            s.published.is_some() == published && s.line.map_or(attached, |bound| bound == line)
        })
    }

    /// The media halves of a line: the stream opened last is the one that counts, a bound one before all.
    pub(super) fn halves(&self, line: Line) -> (Option<LegId>, Option<LegId>) {
        let last = |published| {
            let bound = self
                .streams_of(line, published)
                .filter(|s| s.line.is_some())
                .last();
            bound
                .or_else(|| self.streams_of(line, published).last())
                .map(|s| s.half)
        };
        (last(true), last(false))
    }

    /// What the client is known to send on a line.
    pub(super) fn sends(&self, line: Line) -> Option<CodecId> {
        self.streams_of(line, true)
            .last()
            .and_then(|s| s.published.flatten())
    }

    /// A line is over.
    pub(super) fn detach(&mut self, line: Line) {
        self.attached.take_if(|attached| *attached == line);
    }

    /// A name for a call that comes in.
    fn new_line(&mut self) -> Line {
        let line = Line(Line::INCOMING | (self.incoming & (Line::INCOMING - 1)));
        self.incoming = self.incoming.wrapping_add(1);
        line
    }
}

/// All clients with lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) clients: BTreeMap<SessionId, Client>,
    /// Who is reachable under an address of record of ours.
    pub(super) here: BTreeMap<String, Vec<(SessionId, AccountId)>>,
    /// Who is reachable by a registration elsewhere: by the user part of our Contact there.
    pub(super) elsewhere: BTreeMap<String, (SessionId, AccountId)>,
    /// The registrations that are kept for accounts.
    pub(super) registrations: HashMap<RegistrationHandle, (SessionId, AccountId)>,
    /// Texts that clients sent by SIP and that are not answered.
    pub(super) texts: HashMap<RequestHandle, SessionId>,
}

impl Lines {
    /// How much is kept, for tests of leaks.
    pub(super) fn population(&self) -> usize {
        self.clients.len()
            + self.here.len()
            + self.elsewhere.len()
            + self.registrations.len()
            + self.texts.len()
    }

    pub(super) fn leg(&self, session: SessionId, line: Line) -> Option<LegId> {
        self.clients.get(&session)?.lines.get(&line).copied()
    }
}

impl Exchange {
    /// A client with lines wants something.
    pub(super) fn line_intent(&mut self, now: Time, session: SessionId, intent: LineIntent) {
        if !self.sessions.contains_key(&session) {
            return;
        }
        let client = self.lines.clients.entry(session).or_default();
        match intent {
            LineIntent::Media { codecs } => client.codecs = codecs,
            LineIntent::Login { account, login } => self.login(now, session, account, *login),
            LineIntent::Register { account, on } => self.set_reachable(now, session, account, on),
            LineIntent::Logout { account } => self.logout(now, session, account),
            LineIntent::Dial(dial) => self.dial_line(now, session, *dial),
            LineIntent::Answer { line, codecs } => self.answer_line(now, session, line, codecs),
            LineIntent::HangUp { line, outcome } => self.hang_up_line(now, session, line, outcome),
            LineIntent::Attach { line } => self.attach(session, line),
            LineIntent::Hold { .. }
            | LineIntent::Digits { .. }
            | LineIntent::Transfer { .. }
            | LineIntent::Join { .. }
            | LineIntent::ThreeWay { .. }
            | LineIntent::Room { .. }
            | LineIntent::Message { .. } => self.control(now, session, intent),
        }
    }

    /// Tells a client something of its accounts or lines.
    pub(super) fn tell_client(&mut self, session: SessionId, event: LineEvent) {
        if let Some(shard) = self.sessions.get(&session).map(|s| s.shard) {
            self.command(shard, Command::Line { session, event });
        }
    }

    fn dial_line(&mut self, now: Time, session: SessionId, dial: Dial) {
        let Dial {
            line,
            account,
            target,
            codecs,
            headers,
        } = dial;
        let Some(client) = self.lines.clients.get_mut(&session) else {
            return;
        };
        if client.lines.contains_key(&line) || line.0 >= Line::INCOMING {
            tracing::debug!(%session, line = line.0, "a line is dialled twice");
            return;
        }
        if client.lines.len() >= LINES {
            let outcome = Outcome::from_status(486, "Too many calls at a time");
            self.tell_client(session, LineEvent::Refused { line, outcome });
            return;
        }
        let leg = self.new_leg();
        let kind = Kind::Line(LineLeg::new(session, line, account, codecs, false));
        self.legs.insert(leg, Leg { call: None, kind });
        if let Some(client) = self.lines.clients.get_mut(&session) {
            client.lines.insert(line, leg);
        }
        let identity = self.identity_of(session, account);
        let (party, resolved): (_, Result<Callees, Outcome>) = match identity {
            Ok(identity) => {
                let resolved = self.resolve_for(now, &target, &identity);
                let to = self.address_of(&target, Some(&identity));
                (identity.party(to, headers), resolved)
            }
            Err(outcome) => (String::new().into(), Err(outcome)),
        };
        self.ladder.session(session, leg);
        self.book.party(leg, "line", party.address(), None);
        self.book.dials(leg, target);
        self.begin(now, leg, party, resolved);
    }

    /// A client is called.
    pub(super) fn ring_line(
        &mut self,
        now: Time,
        call: CallId,
        leg: LegId,
        session: SessionId,
        account: AccountId,
    ) {
        let party = self
            .calls
            .get(&call)
            .map(|entry| entry.party.clone())
            .unwrap_or_default();
        let room = self
            .lines
            .clients
            .get_mut(&session)
            .filter(|c| c.lines.len() < LINES);
        let Some(client) = room else {
            if let Some(entry) = self.calls.get_mut(&call) {
                let busy = Outcome::new(EndReason::Busy);
                entry.call.handle_event(now, leg, LegEvent::Refused(busy));
            }
            self.act(now, call);
            return;
        };
        let line = client.new_line();
        client.lines.insert(line, leg);
        let kind = Kind::Line(LineLeg::new(session, line, Some(account), Vec::new(), true));
        self.legs.insert(
            leg,
            Leg {
                call: Some(call),
                kind,
            },
        );
        self.ladder.session(session, leg);
        self.book.party(leg, "line", party.to.clone(), None);
        self.book.callee(now, call, leg, false);
        let event = LineEvent::Incoming {
            line,
            account,
            from: party.address(),
            display: party.display().to_owned(),
            to: party.to.clone(),
            headers: party.headers,
        };
        self.tell_client(session, event);
        self.leg_event(now, leg, LegEvent::Ringing);
    }

    fn answer_line(&mut self, now: Time, session: SessionId, line: Line, codecs: Vec<CodecId>) {
        let Some(leg) = self.lines.leg(session, line) else {
            return;
        };
        let Some(Kind::Line(line_leg)) = self.legs.get_mut(&leg).map(|l| &mut l.kind) else {
            return;
        };
        if !line_leg.incoming || line_leg.taken {
            return;
        }
        line_leg.taken = true;
        line_leg.codecs = codecs;
        self.leg_event(now, leg, LegEvent::Answered);
        // A SIP caller has still to say that it heard the answer.
        let waits = self.call_of(leg).is_some_and(|e| {
            matches!(
                self.legs.get(&e.call.caller()).map(|l| &l.kind),
                Some(Kind::Sip(_))
            )
        });
        if !waits {
            self.line_up(leg);
        }
    }

    fn hang_up_line(&mut self, now: Time, session: SessionId, line: Line, outcome: Outcome) {
        let Some(leg) = self.lines.leg(session, line) else {
            return;
        };
        let Some(Kind::Line(line_leg)) = self.legs.get(&leg).map(|l| &l.kind) else {
            return;
        };
        let event = if line_leg.incoming && !line_leg.taken {
            LegEvent::Refused(outcome.clone())
        } else {
            LegEvent::HungUp(outcome.clone())
        };
        self.tell_client(session, LineEvent::Ended { line, outcome });
        self.leg_event(now, leg, event);
        self.drop_leg(leg);
    }

    /// The streams of a session that are not bound go over to another line.
    pub(super) fn attach(&mut self, session: SessionId, line: Option<Line>) {
        let Some(client) = self.lines.clients.get_mut(&session) else {
            return;
        };
        if client.attached == line {
            return;
        }
        let before = std::mem::replace(&mut client.attached, line);
        let free: Vec<LegId> = client
            .streams
            .iter()
            .filter(|s| s.line.is_none())
            .map(|s| s.half)
            .collect();
        self.unwire(&free);
        for line in [before, line].into_iter().flatten() {
            self.wire_line(session, line);
        }
    }

    /// Brings the routes of a line's call up to date, and names the call on its streams.
    fn wire_line(&mut self, session: SessionId, line: Line) {
        let Some(leg) = self.lines.leg(session, line) else {
            return;
        };
        if let Some(call) = self.legs.get(&leg).and_then(|l| l.call) {
            self.assign(leg, call);
            self.wire(call);
        }
    }

    /// A client with lines opens a stream.
    pub(super) fn open_line_stream(
        &mut self,
        session: SessionId,
        half: LegId,
        line: Option<Line>,
        publishes: bool,
    ) {
        let client = self.lines.clients.entry(session).or_default();
        client.streams.push(LineStream {
            half,
            line,
            published: publishes.then_some(None),
        });
        let carried = line.or(client.attached);
        self.owners.insert(half, Owner::Line(session));
        self.tell_half(session, half, StreamEvent::Accepted);
        if let Some(line) = carried {
            self.wire_line(session, line);
        }
    }

    /// A client with lines closed a stream; its media half is gone already.
    pub(super) fn close_line_stream(&mut self, session: SessionId, half: LegId) {
        let Some(client) = self.lines.clients.get_mut(&session) else {
            return;
        };
        let Some(at) = client.streams.iter().position(|s| s.half == half) else {
            return;
        };
        let stream = client.streams.remove(at);
        // Another of its streams may take the place.
        if let Some(line) = stream.line.or(client.attached) {
            self.wire_line(session, line);
        }
    }

    /// What a client with lines publishes is known.
    pub(super) fn line_codec(&mut self, session: SessionId, half: LegId, codec: Option<CodecId>) {
        let streams = self.lines.clients.get_mut(&session).map(|c| &mut c.streams);
        if let Some(stream) = streams.and_then(|s| s.iter_mut().find(|s| s.half == half)) {
            stream.published = Some(codec);
        }
    }

    /// A client with lines is gone: its calls end, its accounts are no longer reachable.
    pub(super) fn client_gone(&mut self, now: Time, session: SessionId, reason: EndReason) {
        let Some(client) = self.lines.clients.get(&session) else {
            return;
        };
        let legs: Vec<LegId> = client.lines.values().copied().collect();
        let accounts: Vec<AccountId> = client.accounts.keys().copied().collect();
        for leg in legs {
            let rung = self.call_of(leg).is_some_and(|e| e.call.state() != CallState::Up);
            let outcome = Outcome::new(reason);
            self.leg_event(
                now,
                leg,
                if rung {
                    LegEvent::Refused(outcome)
                } else {
                    LegEvent::HungUp(outcome)
                },
            );
            self.drop_leg(leg);
        }
        for account in accounts {
            self.logout(now, session, account);
        }
        self.lines.texts.retain(|_, sender| *sender != session);
        self.lines.clients.remove(&session);
    }

    /// The call of a leg.
    pub(super) fn call_of(&self, leg: LegId) -> Option<&CallEntry> {
        self.calls.get(&self.legs.get(&leg)?.call?)
    }

    /// The shard of a session.
    pub(super) fn session_shard(&self, session: SessionId) -> Option<ShardId> {
        self.sessions.get(&session).map(|s| s.shard)
    }
}
