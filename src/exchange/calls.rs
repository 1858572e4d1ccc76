//! Calls in the exchange: what the call machine decides is carried out on its legs.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use base::{CallId, EndReason, LegId, Time};
use call::{Action, Call, CallState, LegCommand, LegEvent, Outcome, Ring};

use super::dial::{Callee, Callees};
use super::line_leg::Party;
use super::streams::LiveCaller;
use super::{CallEntry, Due, Exchange, Kind, Leg};
use crate::shard::Command;

/// What one leg of a call brings to the wiring.
#[derive(Debug, Default)]
pub(super) struct Halves {
    pub(super) source: Option<LegId>,
    pub(super) sinks: Vec<LegId>,
}

impl Exchange {
    /// Begins a call from a leg that exists, to callees that were resolved. The caller is refused with the
    /// outcome when it cannot begin.
    pub(super) fn begin(
        &mut self,
        now: Time,
        caller: LegId,
        party: Party,
        resolved: Result<Callees, Outcome>,
    ) {
        let admitted = resolved.and_then(|callees| {
            let entered = match callees.emergency {
                true => self.admission.enter_emergency(),
                false => self.admission.enter(now),
            };
            entered.map(|()| callees).map_err(Outcome::new)
        });
        let callees = match admitted {
            Ok(callees) => callees,
            Err(outcome) => {
                let id = self.new_call();
                tracing::info!(
                    call = %id,
                    leg = %caller,
                    status = outcome.status,
                    reason = outcome.reason.label(),
                    "call refused"
                );
                self.book.refused(now, id, caller, outcome.status, outcome.reason);
                self.tell(now, caller, LegCommand::Refuse(outcome));
                self.drop_leg(caller);
                return;
            }
        };
        let id = self.new_call();
        let ring = Ring {
            timeout: self.settings.ring_timeout,
            max_duration: callees.max_duration,
        };
        let entry = CallEntry {
            call: Call::new(id, caller, ring, now),
            hunt: callees.hunt.into(),
            began: now,
            armed: None,
            connected: None,
            party,
            transfer: None,
            ringback: None,
            tried: Vec::new(),
        };
        self.calls.insert(id, entry);
        if let Some(leg) = self.legs.get_mut(&caller) {
            leg.call = Some(id);
        }
        self.book.began(now, id, caller);
        self.ladder.joins(now, caller, id);
        self.assign(caller, id);
        tracing::info!(call = %id, leg = %caller, callees = callees.ring.len(), "call begins");
        self.ring_all(now, id, callees.ring);
        self.act(now, id);
    }

    /// Rings more callees of a call at once.
    pub(super) fn ring_all(&mut self, now: Time, id: CallId, callees: Vec<Callee>) {
        // All are known before the first is rung: one that refuses at once must not end the call.
        let rung: Vec<_> = callees
            .into_iter()
            .map(|c| (self.add_callee(now, id), c))
            .collect();
        for (leg, callee) in rung {
            let wanted = self
                .calls
                .get(&id)
                .is_some_and(|e| e.call.legs().any(|l| l == leg));
            if wanted {
                self.ring(now, id, leg, callee);
            }
        }
    }

    /// Makes a leg for one more callee of a call.
    fn add_callee(&mut self, now: Time, id: CallId) -> LegId {
        let leg = self.new_leg();
        self.ladder.joins(now, leg, id);
        if let Some(entry) = self.calls.get_mut(&id) {
            entry.call.add_callee(leg);
        }
        leg
    }

    /// Rings a callee of a call.
    fn ring(&mut self, now: Time, id: CallId, leg: LegId, callee: Callee) {
        match callee {
            Callee::Line { session, account } => self.ring_line(now, id, leg, session, account),
            Callee::Sip(callee) => self.ring_sip(now, id, leg, *callee),
            Callee::Trunk(callee) => self.ring_trunk(now, id, leg, *callee),
            Callee::Sought(sought) => self.seek(id, leg, *sought),
            Callee::Echo => self.answer_built_in(now, id, leg, Kind::Echo),
            Callee::Tone => self.answer_built_in(now, id, leg, Kind::Tone),
            Callee::Live(name) => self.answer_built_in(now, id, leg, Kind::Live(name)),
            Callee::Outbound(remote, patient) => self.ring_outbound(now, id, leg, remote, patient),
            Callee::Room(name, role) => self.answer_room(now, id, leg, name, role),
        }
    }

    fn answer_built_in(&mut self, now: Time, id: CallId, leg: LegId, kind: Kind) {
        let name = match &kind {
            Kind::Live(name) => name.clone(),
            _ => String::new(),
        };
        self.book.party(leg, super::view::kind(&kind), name, None);
        self.legs.insert(leg, Leg { call: Some(id), kind });
        self.book.callee(now, id, leg, false);
        self.leg_event(now, leg, LegEvent::Answered);
    }

    /// A leg tells its call something.
    pub(super) fn leg_event(&mut self, now: Time, leg: LegId, event: LegEvent) {
        let Some(id) = self.legs.get(&leg).and_then(|l| l.call) else {
            return;
        };
        if matches!(event, LegEvent::HungUp(_)) && self.park(now, leg) {
            return;
        }
        if let LegEvent::Refused(outcome) = &event {
            self.not_there(leg, outcome);
        }
        let of_callee = self.calls.get(&id).is_some_and(|e| e.call.caller() != leg);
        let another = match &event {
            LegEvent::Refused(outcome) if of_callee => self.is_carriers_fault(now, leg, outcome),
            LegEvent::Ringing | LegEvent::Progress | LegEvent::Answered if of_callee => {
                self.gateway_rings(now, leg);
                false
            }
            _ => false,
        };
        let Some(entry) = self.calls.get_mut(&id) else {
            return;
        };
        if of_callee {
            match &event {
                LegEvent::Answered if entry.call.state() != CallState::Up => {
                    self.book.callee(now, id, leg, true);
                    self.quotas.answered(now, id);
                }
                LegEvent::Refused(outcome) => self.book.unanswered(leg, outcome.status),
                _ => {}
            }
        }
        // A route's next trunk is tried when this one failed, not when the callee decided.
        if let LegEvent::Refused(outcome) = &event
            && another
            && entry.call.state() != CallState::Up
            && let Some(next) = entry.hunt.pop_front()
        {
            tracing::info!(call = %id, %leg, status = outcome.status, "the next trunk is tried");
            let next_leg = self.add_callee(now, id);
            self.ring(now, id, next_leg, next);
        }
        if let Some(entry) = self.calls.get_mut(&id) {
            entry.call.handle_event(now, leg, event);
        }
        self.act(now, id);
    }

    /// Carries out what a call wants.
    pub(super) fn act(&mut self, now: Time, id: CallId) {
        loop {
            let Some(entry) = self.calls.get_mut(&id) else {
                return;
            };
            let actions = entry.call.take_actions();
            if actions.is_empty() {
                let wanted = entry.call.poll_timeout();
                if wanted != entry.armed {
                    entry.armed = wanted;
                    self.deadlines
                        .extend(wanted.map(|at| Reverse((at, Due::Call(id)))));
                }
                return;
            }
            for action in actions {
                match action {
                    Action::Tell(leg, LegCommand::Ring) if self.rings_for(leg) => {
                        self.ring_caller(now, id, leg);
                    }
                    Action::Tell(leg, command) => {
                        let over = matches!(command, LegCommand::HangUp(_) | LegCommand::Refuse(_));
                        tracing::debug!(call = %id, %leg, ?command, "leg told");
                        self.tell(now, leg, command);
                        if over {
                            self.drop_leg(leg);
                        }
                    }
                    Action::Connect(a, b) => self.connect(id, Some((a, b))),
                    Action::Disconnect(..) => self.connect(id, None),
                    Action::Ended(outcome) => self.ended(now, id, &outcome),
                }
            }
        }
    }

    fn tell(&mut self, now: Time, leg: LegId, command: LegCommand) {
        match self.legs.get(&leg).map(|l| &l.kind) {
            Some(Kind::Sip(_)) => self.tell_sip(now, leg, command),
            Some(Kind::Line(_)) => self.tell_line(leg, command),
            Some(Kind::Transfer(_)) => self.tell_transfer(now, leg, command),
            Some(Kind::Stream(_)) => {
                if let LegCommand::Refuse(outcome) | LegCommand::HangUp(outcome) = command {
                    self.end_streams(leg, &outcome);
                }
            }
            Some(Kind::Room(_)) if command == LegCommand::Answer => self.room_answered(now, leg),
            _ => {}
        }
    }

    fn ended(&mut self, now: Time, id: CallId, outcome: &Outcome) {
        let Some(entry) = self.calls.remove(&id) else {
            return;
        };
        entry.ringback.into_iter().for_each(|tone| self.silence(tone));
        self.admission.leave();
        self.quotas.leave(now, id);
        let talked_at = entry.call.answered_at();
        let talked = talked_at.map_or(0, |t| now.since(t).as_secs());
        let normal = talked_at.is_some() && outcome.reason == EndReason::HungUp;
        let status = if normal { 200 } else { outcome.status };
        self.book.ended(now, id, status, outcome.reason);
        self.ladder.over(now, id);
        tracing::info!(
            call = %id,
            status,
            reason = outcome.reason.label(),
            seconds = talked,
            set_up_ms = entry.call.answered_at().map_or(0, |t| t.since(entry.began).as_millis() as u64),
            "call ended"
        );
        // The leg that left by itself; the others were told, and dropped then.
        let left: Vec<LegId> = entry.call.legs().collect();
        left.into_iter().for_each(|leg| self.drop_leg(leg));
        // Streams that outlive the call do not tell their figures now.
        self.book.settle(id, |half| self.wiring.shard_of(half).is_none());
        self.end_transfer(now, entry.transfer);
    }

    /// Forgets a leg and its media.
    pub(super) fn drop_leg(&mut self, id: LegId) {
        let Some(leg) = self.legs.remove(&id) else { return };
        self.book.forget(id);
        let taps: Vec<LegId> = self.rooms.taps(&[id]).collect();
        taps.into_iter().for_each(|tap| self.drop_leg(tap));
        let mut out = Vec::new();
        match leg.kind {
            Kind::Sip(sip) => {
                if let Some(handle) = sip.handle {
                    self.by_handle.remove(&handle);
                }
                self.wiring.remove(id, &mut out);
            }
            Kind::Stream(stream) => {
                for (_, half) in stream.halves() {
                    self.owners.remove(&half);
                    self.wiring.remove(half, &mut out);
                }
            }
            Kind::Line(line) => self.forget_line(&line),
            Kind::Tone | Kind::Outbound(_) => self.wiring.remove(id, &mut out),
            Kind::Room(name) => self.room_leg_dropped(id, &name, &mut out),
            Kind::Echo | Kind::Parked => {}
            Kind::Sought => self.forget_sought(id),
            Kind::Transfer(transfer) => self.forget_transfer(id, &transfer),
            Kind::Live(name) => {
                let call = leg.call.and_then(|c| self.calls.get(&c));
                if let Some((a, b)) = call.and_then(|e| e.connected) {
                    self.leave_live(&name, if b == id { a } else { b });
                }
            }
        }
        self.commands(out);
    }

    /// Lets two legs hear each other, or nobody.
    fn connect(&mut self, id: CallId, legs: Option<(LegId, LegId)>) {
        self.stop_ringback(id);
        let Some(entry) = self.calls.get_mut(&id) else {
            return;
        };
        let before = std::mem::replace(&mut entry.connected, legs);
        if let Some((a, b)) = before.filter(|_| legs.is_none()) {
            let legs = [a, b];
            let members: BTreeSet<LegId> = legs
                .into_iter()
                .chain(self.rooms.taps(&legs))
                .flat_map(|l| self.halves(l).all().collect::<Vec<_>>())
                .collect();
            let mut out = Vec::new();
            self.wiring.set(id, &members, &BTreeSet::new(), &mut out);
            self.commands(out);
            for (one, two) in [(a, b), (b, a)] {
                if let Some(Kind::Live(name)) = self.legs.get(&two).map(|l| &l.kind) {
                    let name = name.clone();
                    self.leave_live(&name, one);
                }
            }
        }
        self.wire(id);
    }

    /// Brings the routes of a call up to date with its legs' media halves.
    pub(super) fn wire(&mut self, id: CallId) {
        let Some((a, b)) = self.calls.get(&id).and_then(|e| e.connected) else {
            return;
        };
        if self.wire_rooms(id, a, b) {
            return;
        }
        // After a transfer a built-in may stand where callers do.
        let (a, b) = if self.is_built_in(a) { (b, a) } else { (a, b) };
        let near = self.halves(a);
        match self.legs.get(&b).map(|l| &l.kind) {
            Some(Kind::Live(name)) => {
                let name = name.clone();
                let stream = self.live.entry(name.clone()).or_default();
                stream.callers.retain(|c| c.leg != a);
                stream.callers.push(LiveCaller {
                    leg: a,
                    source: near.source,
                    sinks: near.sinks,
                });
                self.wire_live(&name, Some(id));
                return;
            }
            Some(Kind::Tone) => self.open_tone(id, b, &near),
            _ => {}
        }
        let echo = matches!(self.legs.get(&b).map(|l| &l.kind), Some(Kind::Echo));
        let far = if echo {
            Halves {
                source: near.source,
                sinks: Vec::new(),
            }
        } else {
            self.halves(b)
        };
        self.book
            .far(id, far.all().filter(|half| !echo || near.source != Some(*half)));
        let mut wanted = BTreeSet::new();
        wanted.extend(
            far.source
                .iter()
                .flat_map(|from| near.sinks.iter().map(|to| (*from, *to))),
        );
        wanted.extend(
            near.source
                .iter()
                .flat_map(|from| far.sinks.iter().map(|to| (*from, *to))),
        );
        let members = near.all().chain(far.all()).collect();
        let mut out = Vec::new();
        self.wiring.set(id, &members, &wanted, &mut out);
        self.commands(out);
    }

    /// A tone is made where it is heard.
    fn open_tone(&mut self, call: CallId, leg: LegId, near: &Halves) {
        if self.wiring.shard_of(leg).is_some() {
            return;
        }
        let Some(shard) = near.sinks.first().and_then(|l| self.wiring.shard_of(*l)) else {
            return;
        };
        self.wiring.add(leg, shard);
        let cadence = None;
        self.command(shard, Command::OpenTone { leg, call, cadence });
    }

    /// The media halves of a leg.
    pub(super) fn halves(&self, leg: LegId) -> Halves {
        match self.legs.get(&leg).map(|l| &l.kind) {
            Some(Kind::Sip(_) | Kind::Room(_)) if self.wiring.shard_of(leg).is_some() => Halves {
                source: Some(leg),
                sinks: vec![leg],
            },
            Some(Kind::Outbound(outbound)) if self.wiring.shard_of(leg).is_some() => outbound.halves(leg),
            Some(Kind::Tone) if self.wiring.shard_of(leg).is_some() => Halves {
                source: Some(leg),
                sinks: Vec::new(),
            },
            Some(Kind::Stream(stream)) => Halves {
                source: stream.publisher.as_ref().map(|p| p.leg),
                sinks: stream.players.iter().map(|p| p.leg).collect(),
            },
            Some(Kind::Line(line)) => self.line_halves(line),
            _ => Halves::default(),
        }
    }

    /// Names the call on the media halves of a leg, for the log.
    pub(super) fn assign(&mut self, leg: LegId, call: CallId) {
        let halves: Vec<LegId> = self.halves(leg).all().collect();
        for half in halves {
            if let Some(shard) = self.wiring.shard_of(half) {
                self.command(shard, Command::Assign { leg: half, call });
            }
        }
    }

    /// A caller that left before its call began.
    pub(super) fn abandon(&mut self, now: Time, leg: LegId, reason: EndReason) {
        if self.legs.get(&leg).is_some_and(|l| l.call.is_some()) {
            self.leg_event(now, leg, LegEvent::HungUp(Outcome::new(reason)));
        }
        self.drop_leg(leg);
    }
}

impl Halves {
    pub(super) fn all(&self) -> impl Iterator<Item = LegId> + use<'_> {
        self.source.into_iter().chain(self.sinks.iter().copied())
    }
}
