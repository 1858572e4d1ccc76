//! The legs of clients with lines: what calls decide becomes line events.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use base::{CallId, LegId, SessionId, Time};
use call::{AccountId, Audio, LegCommand, Line, LineEvent, Outcome, pick_flash};
use codecs::CodecId;
use sip::NameAddr;

use super::calls::Halves;
use super::{Due, Exchange, Kind};

/// The signalling half of a client's call.
#[derive(Debug)]
pub(super) struct LineLeg {
    pub(super) session: SessionId,
    pub(super) line: Line,
    /// Whose call it is.
    pub(super) account: Option<AccountId>,
    /// The RTP codecs the client asked for, in its order; empty for the configured ones.
    pub(super) codecs: Vec<CodecId>,
    /// Somebody calls the client, not the other way round.
    pub(super) incoming: bool,
    /// The client took the incoming call.
    pub(super) taken: bool,
    /// The client was told that the call is up.
    pub(super) up: bool,
    /// The leg of the client's other call, when it talks with the parties of both at once.
    pub(super) with: Option<LegId>,
    /// The client holds the other party: neither hears the other.
    pub(super) held: bool,
}

impl LineLeg {
    pub(super) fn new(
        session: SessionId,
        line: Line,
        account: Option<AccountId>,
        codecs: Vec<CodecId>,
        incoming: bool,
    ) -> LineLeg {
        LineLeg {
            session,
            line,
            account,
            codecs,
            incoming,
            taken: false,
            up: false,
            with: None,
            held: false,
        }
    }
}

/// Who calls, as the callee is to see it.
#[derive(Clone, Debug, Default)]
pub(super) struct Party {
    /// A user name of ours, or what stands for one.
    pub(super) id: String,
    /// What the caller says of itself.
    pub(super) name: Option<NameAddr>,
    /// Whether `name` stands in From of calls to SIP parties as it is: it was shown to be the caller's.
    pub(super) verified: bool,
    /// The address that was called.
    pub(super) to: String,
    /// Extra header fields for the callee.
    pub(super) headers: Vec<(String, String)>,
    /// What a transfer adds: Replaces, Referred-By.
    pub(super) extra: Vec<(String, String)>,
    /// Where the call has been before (Diversion, History-Info).
    pub(super) history: Vec<(String, String)>,
    /// It does not want to be known.
    pub(super) private: bool,
}

impl From<String> for Party {
    fn from(id: String) -> Party {
        Party {
            id,
            ..Party::default()
        }
    }
}

impl Party {
    /// The caller's address.
    pub(super) fn address(&self) -> String {
        match &self.name {
            Some(name) => name.uri.to_string(),
            None => format!("sip:{}", self.id),
        }
    }

    /// The caller's name, may be empty.
    pub(super) fn display(&self) -> &str {
        self.name
            .as_ref()
            .and_then(|n| n.display.as_deref())
            .unwrap_or_default()
    }
}

impl Exchange {
    /// A call tells a client something of a line.
    pub(super) fn tell_line(&mut self, leg: LegId, command: LegCommand) {
        let Some(Kind::Line(entry)) = self.legs.get(&leg).map(|l| &l.kind) else {
            return;
        };
        let (session, line) = (entry.session, entry.line);
        let event = match command {
            LegCommand::Ring => LineEvent::Ringing {
                line,
                outcome: Outcome::from_status(180, "Ringing"),
            },
            LegCommand::Progress => LineEvent::Early {
                line,
                outcome: Outcome::from_status(183, "Session Progress"),
            },
            LegCommand::Answer => return self.line_up(leg),
            LegCommand::Refuse(outcome) | LegCommand::HangUp(outcome) if entry.up => {
                LineEvent::Ended { line, outcome }
            }
            LegCommand::Refuse(outcome) | LegCommand::HangUp(outcome) if entry.incoming && !entry.taken => {
                LineEvent::Cancelled { line, outcome }
            }
            LegCommand::Refuse(outcome) | LegCommand::HangUp(outcome) => LineEvent::Refused { line, outcome },
        };
        self.tell_client(session, event);
    }

    /// A line's call is up, and its client hears of it.
    pub(super) fn line_up(&mut self, leg: LegId) {
        let far = self.other_leg(leg).and_then(|other| self.audio_of(other).sends);
        let Some(Kind::Line(entry)) = self.legs.get_mut(&leg).map(|l| &mut l.kind) else {
            return;
        };
        if std::mem::replace(&mut entry.up, true) {
            return;
        }
        let (session, line) = (entry.session, entry.line);
        let announced = self
            .lines
            .clients
            .get(&session)
            .map(|c| c.codecs.clone())
            .unwrap_or_default();
        let near = match far {
            Some(far) => pick_flash(&announced, far),
            None => announced.first().copied().unwrap_or(CodecId::SpeexWb),
        };
        self.tell_client(session, LineEvent::Answered { line, far, near });
    }

    /// The SIP party of `leg` said that it heard the answer: a client that answered talks now.
    pub(super) fn heard_answer(&mut self, leg: LegId) {
        let Some(other) = self.other_leg(leg) else { return };
        if matches!(self.legs.get(&other).map(|l| &l.kind), Some(Kind::Line(l)) if l.taken) {
            self.line_up(other);
        }
    }

    /// The leg that a leg is connected with.
    pub(super) fn other_leg(&self, leg: LegId) -> Option<LegId> {
        let (a, b) = self.call_of(leg)?.connected?;
        match leg {
            l if l == a => Some(b),
            l if l == b => Some(a),
            _ => None,
        }
    }

    /// What a client's leg sends and takes.
    pub(super) fn line_audio(&self, leg: &LineLeg) -> Audio {
        let Some(client) = self.lines.clients.get(&leg.session) else {
            return Audio::default();
        };
        let listed = |c: &CodecId| leg.codecs.is_empty() || leg.codecs.contains(c);
        Audio {
            takes: if leg.codecs.is_empty() {
                client.codecs.clone()
            } else {
                leg.codecs.clone()
            },
            sends: client.sends(leg.line).filter(listed),
        }
    }

    /// The codecs for the SIP party of a call, best first, when the client on its other leg asked for some
    /// and we have any of them.
    pub(super) fn asked_codecs(&self, other: LegId) -> Option<Vec<CodecId>> {
        let leg = match self.legs.get(&other).map(|l| &l.kind) {
            Some(Kind::Line(leg)) => leg,
            Some(Kind::Transfer(transfer)) => return self.asked_codecs(transfer.remains),
            _ => return None,
        };
        let ours = |c: &&CodecId| self.settings.codecs.contains(c);
        Some(leg.codecs.iter().filter(ours).copied().collect::<Vec<_>>()).filter(|list| !list.is_empty())
    }

    /// The media halves of a client's leg.
    pub(super) fn line_halves(&self, leg: &LineLeg) -> Halves {
        let client = self.lines.clients.get(&leg.session);
        let (source, sink) = match client {
            Some(client) if !leg.held => client.halves(leg.line),
            _ => (None, None),
        };
        Halves {
            source,
            sinks: sink.into_iter().collect(),
        }
    }

    /// Takes media halves out of all routes.
    pub(super) fn unwire(&mut self, halves: &[LegId]) {
        let mut out = Vec::new();
        let members: BTreeSet<LegId> = halves.iter().copied().collect();
        self.wiring.set(CallId(0), &members, &BTreeSet::new(), &mut out);
        self.commands(out);
    }

    /// A client's leg is over: its line is free again, its streams are silent.
    pub(super) fn forget_line(&mut self, leg: &LineLeg) {
        let halves: Vec<LegId> = self.line_halves(leg).all().collect();
        self.unwire(&halves);
        // The other one of two is a plain call again, as soon as this one is done with.
        let part = leg.with.map(|other| Reverse((Time::ZERO, Due::Part(other))));
        self.deadlines.extend(part);
        let Some(client) = self.lines.clients.get_mut(&leg.session) else {
            return;
        };
        client.lines.remove(&leg.line);
        client.detach(leg.line);
    }
}
