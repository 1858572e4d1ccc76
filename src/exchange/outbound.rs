//! Legs that are streams on RTMP servers elsewhere: dialled as `rtmp+publish:URL` and `rtmp+play:URL`, or by a name
//! from the configuration.
//!
//! The first connection has to come about for the leg to answer. One that is lost later is dialled again, ever more
//! slowly, while the call goes on without it; after `give_up` without success the leg hangs up. A patient leg answers
//! at once and never gives up: a webcast must not hold anything up.

use std::cmp::Reverse;
use std::time::Duration;

use base::{CallId, EndReason, LegId, SessionId, ShardId, Time};
use call::{Audio, LegEvent, Outcome};
use codecs::CodecId;

use super::calls::Halves;
use super::dial::{Callee, Callees};
use super::{Dial, Due, Exchange, Kind, Leg, Output};
use crate::config::DialUrls;
use crate::shard::{Command, OutboundTold, Remote};

/// The first wait before a lost connection is made again; it doubles from try to try.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A connection that held so long was a good one: the next wait is the first again.
const GOOD: Duration = Duration::from_secs(10);
/// Numbers of connections that we make stand above those of clients.
const OURS: u64 = 1 << 63;

/// What the exchange needs of the configuration of streams elsewhere.
#[derive(Clone, Debug)]
pub struct OutboundSettings {
    /// Who may dial a URL.
    pub dial: DialUrls,
    /// How long a lost connection is tried again before the call ends.
    pub give_up: Duration,
    /// Streams with a name.
    pub named: Vec<NamedRemote>,
}

/// A stream elsewhere that is called by a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedRemote {
    /// What is dialled.
    pub name: String,
    /// Where that leads.
    pub remote: Remote,
}

/// A leg on a server elsewhere.
#[derive(Debug)]
pub(super) struct OutboundLeg {
    remote: Remote,
    state: State,
    /// The call was told that it is there.
    answered: bool,
    /// It never gives up.
    patient: bool,
    /// What it plays, once known.
    codec: Option<CodecId>,
    /// The next wait.
    wait: Duration,
    /// Since when it is not there.
    down_since: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A connection is made.
    Dialling(SessionId),
    /// The stream flows, since then.
    Up(SessionId, Time),
    /// The next connection is made then.
    Waiting(Time),
}

impl OutboundLeg {
    /// What it sends and takes.
    pub(super) fn audio(&self) -> Audio {
        Audio {
            takes: self
                .remote
                .publishes
                .then_some(self.remote.codec)
                .into_iter()
                .collect(),
            sends: self.codec,
        }
    }

    /// Its media: one half, one way.
    pub(super) fn halves(&self, leg: LegId) -> Halves {
        if self.remote.publishes {
            Halves {
                source: None,
                sinks: vec![leg],
            }
        } else {
            Halves {
                source: Some(leg),
                sinks: Vec::new(),
            }
        }
    }

    /// Its connection, made or being made.
    fn session(&self) -> Option<SessionId> {
        match self.state {
            State::Dialling(session) | State::Up(session, _) => Some(session),
            State::Waiting(_) => None,
        }
    }
}

impl Exchange {
    /// A URL that was dialled.
    pub(super) fn resolve_remote(&self, text: &str, user: Option<&str>) -> Result<Callees, Outcome> {
        let allowed = match self.settings.outbound.dial {
            DialUrls::Open => true,
            DialUrls::Users => user.is_some(),
            DialUrls::Nobody => false,
        };
        if !allowed {
            return Err(Outcome::from_status(403, "Not allowed to dial streams elsewhere"));
        }
        let remote = Remote::parse(text).map_err(|what| Outcome::from_status(400, &what))?;
        Ok(Callees::ring(vec![Callee::Outbound(Box::new(remote), false)]))
    }

    /// The stream elsewhere of that name.
    pub(super) fn remote_named(&self, name: &str) -> Option<Remote> {
        let mut named = self.settings.outbound.named.iter();
        named.find(|n| n.name == name).map(|n| n.remote.clone())
    }

    /// A stream elsewhere is called.
    pub(super) fn ring_outbound(
        &mut self,
        now: Time,
        call: CallId,
        leg: LegId,
        remote: Box<Remote>,
        patient: bool,
    ) {
        let shard = self.shard_for(call, leg);
        let outbound = OutboundLeg {
            remote: (*remote).clone(),
            state: State::Waiting(now),
            answered: false,
            patient,
            codec: None,
            wait: FIRST_WAIT,
            down_since: now,
        };
        let kind = Kind::Outbound(Box::new(outbound));
        let name = remote.to_string();
        self.book.party(leg, super::view::kind(&kind), name, None);
        self.legs.insert(
            leg,
            Leg {
                call: Some(call),
                kind,
            },
        );
        self.book.callee(now, call, leg, false);
        self.wiring.add(leg, shard);
        self.command(shard, Command::OpenOutbound { leg, call, remote });
        self.dial_outbound(leg);
        if patient {
            self.outbound_answers(now, leg);
        }
    }

    /// Where the media of the other party of a call is.
    fn shard_for(&self, call: CallId, leg: LegId) -> ShardId {
        let entry = self.calls.get(&call);
        let legs = entry.into_iter().flat_map(|e| e.call.legs());
        let others: Vec<LegId> = legs.filter(|l| *l != leg).collect();
        if let Some(shard) = others.iter().find_map(|l| self.room_shard(*l)) {
            return shard;
        }
        let mut halves = others
            .into_iter()
            .flat_map(|l| self.halves(l).all().collect::<Vec<_>>());
        let near = halves.find_map(|half| self.wiring.shard_of(half));
        near.unwrap_or_else(|| self.emptiest_shard())
    }

    fn dial_outbound(&mut self, leg: LegId) {
        let Some(shard) = self.wiring.shard_of(leg) else {
            return;
        };
        self.next_dial += 1;
        let session = SessionId(OURS | self.next_dial);
        let Some(outbound) = self.outbound(leg) else {
            return;
        };
        outbound.state = State::Dialling(session);
        let remote = outbound.remote.clone();
        tracing::debug!(%leg, %session, %remote, "dialled");
        let dial = Dial { session, leg, remote };
        self.outputs.push_back(Output::Dial(shard, dial));
    }

    /// A connection to a server elsewhere could not be made.
    pub fn handle_dial_failed(&mut self, now: Time, leg: LegId, session: SessionId, what: String) {
        self.outbound_told(now, leg, session, OutboundTold::Lost(what));
        self.pump(now);
    }

    /// Something became of a connection.
    pub(super) fn outbound_told(&mut self, now: Time, leg: LegId, session: SessionId, told: OutboundTold) {
        let Some(outbound) = self.outbound(leg).filter(|o| o.session() == Some(session)) else {
            return;
        };
        let (refused, what) = match told {
            OutboundTold::Started => {
                outbound.state = State::Up(session, now);
                tracing::info!(%leg, remote = %outbound.remote, "the stream elsewhere is up");
                self.book.counters.outbound_started += 1;
                return self.outbound_answers(now, leg);
            }
            OutboundTold::Refused(what) => (true, outbound.remote.redact(&what)),
            OutboundTold::Lost(what) => (false, what),
        };
        if let State::Up(_, since) = outbound.state {
            outbound.down_since = now;
            if now.since(since) >= GOOD {
                outbound.wait = FIRST_WAIT;
            }
        }
        tracing::warn!(%leg, remote = %outbound.remote, what, "the stream elsewhere is down");
        let (answered, patient) = (outbound.answered, outbound.patient);
        let tried = now.since(outbound.down_since);
        self.book.counters.outbound_failed += 1;
        let reason = if refused {
            EndReason::Refused
        } else {
            EndReason::Unreachable
        };
        if !answered {
            // What the server says may be told; what the network says is not the caller's to know.
            let mut outcome = Outcome::new(reason);
            if refused {
                outcome.text = what;
            }
            self.leg_event(now, leg, LegEvent::Refused(outcome));
            return self.drop_leg(leg);
        }
        if !patient && tried >= self.settings.outbound.give_up {
            self.leg_event(now, leg, LegEvent::HungUp(Outcome::new(reason)));
            return self.drop_leg(leg);
        }
        // Many streams on one server must not come back at the same moment.
        let jitter = Duration::from_millis(self.rng.below(500));
        let Some(outbound) = self.outbound(leg) else {
            return;
        };
        let at = now + outbound.wait + jitter;
        outbound.wait = (outbound.wait * 2).min(LONGEST_WAIT);
        outbound.state = State::Waiting(at);
        self.deadlines.push(Reverse((at, Due::Outbound(leg))));
    }

    /// The wait before the next try is over.
    pub(super) fn outbound_again(&mut self, now: Time, leg: LegId) {
        let due = |o: &&mut OutboundLeg| matches!(o.state, State::Waiting(at) if at <= now);
        if self.outbound(leg).filter(due).is_some() {
            self.dial_outbound(leg);
        }
    }

    /// What it plays is known.
    pub(super) fn outbound_codec(&mut self, leg: LegId, codec: Option<CodecId>) {
        if let Some(outbound) = self.outbound(leg) {
            outbound.codec = codec;
        }
    }

    /// A fault of ours ended the media of such a leg: whether it was one.
    pub(super) fn outbound_broke(&mut self, now: Time, leg: LegId) -> bool {
        let is = self.outbound(leg).is_some();
        if is {
            let outcome = Outcome::new(EndReason::Internal);
            self.leg_event(now, leg, LegEvent::HungUp(outcome));
            self.drop_leg(leg);
        }
        is
    }

    /// Such legs that are up, being dialled, and waiting.
    pub(super) fn outbound_states(&self) -> [usize; 3] {
        let mut states = [0; 3];
        for leg in self.legs.values() {
            if let Kind::Outbound(outbound) = &leg.kind {
                match outbound.state {
                    State::Up(..) => states[0] += 1,
                    State::Dialling(_) => states[1] += 1,
                    State::Waiting(_) => states[2] += 1,
                }
            }
        }
        states
    }

    fn outbound_answers(&mut self, now: Time, leg: LegId) {
        if let Some(outbound) = self.outbound(leg)
            && !std::mem::replace(&mut outbound.answered, true)
        {
            self.leg_event(now, leg, LegEvent::Answered);
        }
    }

    fn outbound(&mut self, leg: LegId) -> Option<&mut OutboundLeg> {
        match self.legs.get_mut(&leg).map(|l| &mut l.kind) {
            Some(Kind::Outbound(outbound)) => Some(outbound),
            _ => None,
        }
    }
}
