//! Transfers: a party of a call is sent elsewhere, or two calls become one.
//!
//! The gateway stands between all parties, so it carries a transfer out by itself: the target is called, and
//! when it answers it takes the place of the one who leaves. The call to the target has a caller without
//! media, [`TransferLeg`], which hears how it goes and tells the one who asked.

use std::cmp::Reverse;
use std::time::Duration;

use base::{CallId, EndReason, LegId, SessionId, Time};
use call::{CallState, LegCommand, Line, LineEvent, Outcome};
use sip::{CallHandle, NameAddr, Uri};

use super::accounts::read_target;
use super::dial::Callees;
use super::line_leg::Party;
use super::{Due, Exchange, Kind, Leg};

/// Who asked by REFER hangs up when it hears that all went well (RFC 5589 §6.1); if not, it is hung up.
const FAREWELL: Duration = Duration::from_secs(2);

/// The caller of a call to the target of a transfer.
#[derive(Clone, Debug)]
pub(super) struct TransferLeg {
    /// The call in which the target will take a place.
    call: CallId,
    /// Whose place; has it left already, what stands for it.
    leaver: LegId,
    /// Who stays.
    pub(super) remains: LegId,
    /// Who asked, and hears how it goes.
    asked: LegId,
    /// The target is in its place: what is said of the call to it means nothing any more.
    done: bool,
}

/// A leg goes over to another call.
#[derive(Clone, Copy, Debug)]
struct Move {
    /// The call it leaves, which ends.
    from: CallId,
    leg: LegId,
    /// The call it comes to, and whose place it takes there.
    to: CallId,
    leaver: LegId,
    /// The one whose place it takes will hang up by itself.
    leaves: bool,
}

/// What the one who leaves hears at the end.
fn transferred() -> Outcome {
    Outcome {
        status: 200,
        text: "Transferred".to_owned(),
        ..Outcome::new(EndReason::HungUp)
    }
}

impl Exchange {
    /// A client sends the other party of a call elsewhere.
    pub(super) fn transfer_line(&mut self, now: Time, session: SessionId, line: Line, target: &str) {
        let refuse = |status, text: &str| Outcome::from_status(status, text);
        let tell = |exchange: &mut Exchange, outcome| {
            exchange.tell_client(session, LineEvent::Transfer { line, outcome });
        };
        let Some(leg) = self.lines.leg(session, line) else {
            return tell(self, refuse(481, "No such call"));
        };
        let far = self.other_leg(leg).filter(|_| self.is_up(leg));
        let Some(far) = far else {
            return tell(self, refuse(491, "The call is not up"));
        };
        let account = match self.legs.get(&leg).map(|l| &l.kind) {
            Some(Kind::Line(entry)) => entry.account,
            _ => None,
        };
        let identity = match self.identity_of(session, account) {
            Ok(identity) => identity,
            Err(outcome) => return tell(self, outcome),
        };
        let to = self.address_of(target, Some(&identity));
        // A SIP party goes by itself when the operator wants that; our built-ins can only be reached here.
        let outside = matches!(read_target(target), Some(t) if !t.is_built_in());
        if self.settings.refer
            && outside
            && let Some(handle) = self.handle_of(far)
            && let Ok(uri) = Uri::parse(&to)
            && self.sip.refer(now, handle, &uri, None).is_ok()
        {
            if let Some(sip) = self.sip_leg(far) {
                sip.referred = Some(target.to_owned());
            }
            return tell(self, refuse(100, "Trying"));
        }
        let resolved = self.resolve_for(now, target, &identity);
        let party = self.party_of(far, to);
        self.transfer(now, leg, leg, party, resolved);
    }

    /// Calls the target of a transfer. `asked` hears how it goes, `leaver` leaves when it is answered.
    fn transfer(
        &mut self,
        now: Time,
        leaver: LegId,
        asked: LegId,
        party: Party,
        resolved: Result<Callees, Outcome>,
    ) {
        let (Some(call), Some(remains)) = (
            self.legs.get(&leaver).and_then(|l| l.call),
            self.other_leg(leaver),
        ) else {
            return;
        };
        let busy = self.calls.get(&call).is_some_and(|e| e.transfer.is_some());
        let resolved = if busy {
            Err(Outcome::from_status(491, "A transfer is under way"))
        } else {
            resolved
        };
        let leg = self.new_leg();
        let kind = Kind::Transfer(TransferLeg {
            call,
            leaver,
            remains,
            asked,
            done: false,
        });
        self.legs.insert(leg, Leg { call: None, kind });
        if let Some(entry) = self.calls.get_mut(&call).filter(|_| !busy) {
            entry.transfer = Some(leg);
        }
        self.begin(now, leg, party, resolved);
    }

    /// The call to the target of a transfer tells how it goes.
    pub(super) fn tell_transfer(&mut self, now: Time, leg: LegId, command: LegCommand) {
        let Some(Kind::Transfer(transfer)) = self.legs.get(&leg).map(|l| &l.kind) else {
            return;
        };
        let transfer = transfer.clone();
        if transfer.done {
            return;
        }
        match command {
            LegCommand::Ring => {
                self.report(now, transfer.asked, Outcome::from_status(180, "Ringing"));
            }
            LegCommand::Progress => {
                self.report(now, transfer.asked, Outcome::from_status(183, "Session Progress"));
            }
            LegCommand::Answer => self.put_in_place(now, leg, &transfer),
            LegCommand::Refuse(outcome) | LegCommand::HangUp(outcome) => {
                self.report(now, transfer.asked, outcome.clone());
                // Nobody is left for the one who stays.
                let alone = matches!(
                    self.legs.get(&transfer.leaver).map(|l| &l.kind),
                    Some(Kind::Parked)
                );
                if alone && let Some(entry) = self.calls.get_mut(&transfer.call) {
                    entry.call.hang_up(outcome);
                    self.act(now, transfer.call);
                }
            }
        }
    }

    /// The target of a transfer answered.
    fn put_in_place(&mut self, now: Time, leg: LegId, transfer: &TransferLeg) {
        let second = self.legs.get(&leg).and_then(|l| l.call);
        let target = second
            .and_then(|id| self.calls.get(&id))
            .and_then(|e| e.call.connected());
        let (Some(second), Some(target)) = (second, target) else {
            return;
        };
        if let Some(Kind::Transfer(entry)) = self.legs.get_mut(&leg).map(|l| &mut l.kind) {
            entry.done = true;
        }
        self.report(now, transfer.asked, Outcome::from_status(200, "OK"));
        let leaves = self.sip_leg(transfer.asked).is_some();
        self.move_over(
            now,
            Move {
                from: second,
                leg: target,
                to: transfer.call,
                leaver: transfer.leaver,
                leaves,
            },
        );
    }

    /// Puts a leg of one call, which ends, in the place of a leg of another.
    fn move_over(&mut self, now: Time, joint: Move) {
        let Move {
            from,
            leg,
            to,
            leaver,
            ..
        } = joint;
        let limit = self.calls.get(&from).and_then(|e| e.call.poll_timeout());
        let Some(entry) = self.calls.get_mut(&from) else {
            return;
        };
        if !entry.call.release(leg, transferred()) {
            return;
        }
        if let Some(entry) = self.legs.get_mut(&leg) {
            entry.call = Some(to);
        }
        self.act(now, from);
        let left = matches!(self.legs.get(&leaver).map(|l| &l.kind), Some(Kind::Parked));
        let told = (!left && !joint.leaves).then(transferred);
        if let Some(entry) = self.calls.get_mut(&to) {
            entry.call.replace(leaver, leg, told);
            entry.call.limit(limit);
        }
        self.act(now, to);
        if left {
            self.drop_leg(leaver);
        } else if joint.leaves {
            if let Some(entry) = self.legs.get_mut(&leaver) {
                entry.call = None;
            }
            self.deadlines.push(Reverse((now + FAREWELL, Due::Leave(leaver))));
        }
        self.assign(leg, to);
        if let Some(other) = self.other_leg(leg) {
            for (one, two) in [(leg, other), (other, leg)] {
                self.resume(now, one);
                self.show(one, two);
            }
        }
    }

    /// Who was to leave by itself has had its time.
    pub(super) fn see_off(&mut self, now: Time, leg: LegId) {
        let alone = self.legs.get(&leg).is_some_and(|l| l.call.is_none());
        if let Some(handle) = self.handle_of(leg).filter(|_| alone) {
            let _gone = self.sip.hang_up(now, handle, EndReason::HungUp);
            self.drop_leg(leg);
        }
    }

    /// A party hears who it talks with now.
    fn show(&mut self, leg: LegId, other: LegId) {
        let party = self.party_of(other, String::new());
        let Some(Kind::Line(entry)) = self.legs.get(&leg).map(|l| &l.kind) else {
            return;
        };
        let (session, line) = (entry.session, entry.line);
        let event = LineEvent::Display {
            line,
            name: party.display().to_owned(),
            number: party.id,
        };
        self.tell_client(session, event);
    }

    /// Who asked for a transfer hears how it goes.
    fn report(&mut self, now: Time, asked: LegId, outcome: Outcome) {
        match self.legs.get(&asked).map(|l| &l.kind) {
            Some(Kind::Line(entry)) => {
                let (session, line) = (entry.session, entry.line);
                self.tell_client(session, LineEvent::Transfer { line, outcome });
            }
            Some(Kind::Sip(sip)) => {
                if let Some(handle) = sip.handle {
                    let _gone = self.sip.report_refer(now, handle, outcome.status);
                }
            }
            _ => {}
        }
    }

    /// A party hangs up while the target of its transfer is still being called: the other one waits for the
    /// target. True when it is so.
    pub(super) fn park(&mut self, now: Time, leaver: LegId) -> bool {
        let Some(call) = self.legs.get(&leaver).and_then(|l| l.call) else {
            return false;
        };
        let Some(transfer) = self.calls.get(&call).and_then(|e| e.transfer) else {
            return false;
        };
        let is_leaver = matches!(self.legs.get(&transfer).map(|l| &l.kind),
            Some(Kind::Transfer(t)) if t.leaver == leaver && !t.done);
        if !is_leaver {
            return false;
        }
        let parked = self.new_leg();
        let Some(entry) = self.calls.get_mut(&call) else {
            return false;
        };
        if !entry.call.replace(leaver, parked, None) {
            return false;
        }
        let kind = Kind::Parked;
        self.legs.insert(
            parked,
            Leg {
                call: Some(call),
                kind,
            },
        );
        if let Some(Kind::Transfer(entry)) = self.legs.get_mut(&transfer).map(|l| &mut l.kind) {
            entry.leaver = parked;
        }
        self.act(now, call);
        true
    }

    /// A call is over: so is the transfer of one of its parties.
    pub(super) fn end_transfer(&mut self, now: Time, transfer: Option<LegId>) {
        if let Some(leg) = transfer {
            self.abandon(now, leg, EndReason::Cancelled);
        }
    }

    /// A transfer is over.
    pub(super) fn forget_transfer(&mut self, leg: LegId, transfer: &TransferLeg) {
        if let Some(entry) = self.calls.get_mut(&transfer.call) {
            entry.transfer.take_if(|t| *t == leg);
        }
    }

    /// A client connects the other parties of two of its calls.
    pub(super) fn join_lines(&mut self, now: Time, session: SessionId, line: Line, other: Line) {
        let legs = self.lines.leg(session, line).zip(self.lines.leg(session, other));
        let joint = legs.and_then(|(a, b)| self.joint(a, b));
        let outcome = match joint {
            Some(_) => Outcome::from_status(200, "OK"),
            None => Outcome::from_status(491, "Both calls must be up"),
        };
        self.tell_client(session, LineEvent::Transfer { line, outcome });
        if let Some(joint) = joint {
            self.move_over(now, joint);
        }
    }

    /// How the other parties of two calls are connected when the two given ones leave, if they can be.
    fn joint(&self, leaver: LegId, other: LegId) -> Option<Move> {
        let to = self.legs.get(&leaver)?.call?;
        let from = self.legs.get(&other)?.call?;
        let (stays, comes) = (self.other_leg(leaver)?, self.other_leg(other)?);
        let transfers = |id| self.calls.get(&id).is_some_and(|e| e.transfer.is_some());
        let both_up = self.is_up(leaver) && self.is_up(other);
        let somebody = !self.is_built_in(stays) || !self.is_built_in(comes);
        let possible = to != from && both_up && somebody && !transfers(to) && !transfers(from);
        possible.then_some(Move {
            from,
            leg: comes,
            to,
            leaver,
            leaves: self
                .legs
                .get(&leaver)
                .is_some_and(|l| matches!(l.kind, Kind::Sip(_))),
        })
    }

    /// A SIP party asks to be sent, or rather to send its other party, elsewhere.
    pub(super) fn referred(
        &mut self,
        now: Time,
        handle: CallHandle,
        target: &Uri,
        replaces: Option<&str>,
        referred_by: Option<String>,
    ) {
        let leg = self.by_handle.get(&handle).copied();
        let ready = leg
            .filter(|leg| self.is_up(*leg))
            .and_then(|leg| Some((leg, self.other_leg(leg)?)));
        let Some((leg, far)) = ready else {
            let _gone = self.sip.refuse_refer(now, handle, 480);
            return;
        };
        let ours = replaces.and_then(|r| self.sip.call_of_replaces(r));
        let other = ours.and_then(|h| self.by_handle.get(&h)).copied();
        if let Some(other) = other.filter(|other| self.is_up(*other)) {
            let joint = self.joint(leg, other);
            let _gone = self.sip.accept_refer(now, handle);
            let _gone = self
                .sip
                .report_refer(now, handle, if joint.is_some() { 200 } else { 603 });
            if let Some(joint) = joint {
                self.move_over(now, joint);
            }
            return;
        }
        let user = match self.legs.get(&leg).map(|l| &l.kind) {
            Some(Kind::Sip(sip)) => sip.user.clone(),
            _ => None,
        };
        let resolved = if self.is_ours(target) || user.is_some() {
            self.resolve_uri(now, target, user.as_deref())
        } else {
            // We are nobody's open relay.
            Err(Outcome::new(EndReason::Forbidden))
        };
        if self.sip.accept_refer(now, handle).is_err() {
            return;
        }
        let mut party = self.party_of(far, target.to_string());
        party
            .extra
            .extend(replaces.map(|r| ("Replaces".to_owned(), r.to_owned())));
        party
            .extra
            .extend(referred_by.map(|by| ("Referred-By".to_owned(), by)));
        self.transfer(now, leg, leg, party, resolved);
    }

    /// How our own REFER goes.
    pub(super) fn refer_progress(&mut self, now: Time, handle: CallHandle, status: u16) {
        let Some(far) = self.by_handle.get(&handle).copied() else {
            return;
        };
        let Some(leg) = self.other_leg(far) else { return };
        // The first word says whether it takes REFER at all; a party that does not is moved by us.
        let target = self.sip_leg(far).and_then(|s| s.referred.take());
        if let Some(target) = target
            && status >= 300
            && let Some(Kind::Line(entry)) = self.legs.get(&leg).map(|l| &l.kind)
        {
            let identity = self.identity_of(entry.session, entry.account);
            let resolved = identity.and_then(|identity| self.resolve_for(now, &target, &identity));
            let party = self.party_of(far, target);
            return self.transfer(now, leg, leg, party, resolved);
        }
        self.report(now, leg, Outcome::from_status(status, sip::reason_phrase(status)));
        if (200..300).contains(&status)
            && let Some(id) = self.legs.get(&leg).and_then(|l| l.call)
        {
            if let Some(entry) = self.calls.get_mut(&id) {
                entry.call.hang_up(transferred());
            }
            self.act(now, id);
        }
    }

    /// A SIP party calls in the place of another of ours (RFC 3891); false when that is not possible.
    pub(super) fn take_place(&mut self, now: Time, leg: LegId, replaced: CallHandle) -> bool {
        let Some(old) = self
            .by_handle
            .get(&replaced)
            .copied()
            .filter(|old| self.is_up(*old))
        else {
            return false;
        };
        let Some(call) = self.legs.get(&old).and_then(|l| l.call) else {
            return false;
        };
        let replaced = self
            .calls
            .get_mut(&call)
            .is_some_and(|e| e.transfer.is_none() && e.call.replace(old, leg, Some(transferred())));
        if !replaced {
            return false;
        }
        if let Some(entry) = self.legs.get_mut(&leg) {
            entry.call = Some(call);
        }
        self.act(now, call);
        if let Some(other) = self.other_leg(leg) {
            self.show(other, leg);
        }
        true
    }

    /// Whether a leg talks in a call that is up.
    pub(super) fn is_up(&self, leg: LegId) -> bool {
        self.call_of(leg).is_some_and(|e| e.call.state() == CallState::Up) && self.other_leg(leg).is_some()
    }

    /// Whether a leg is something of ours that only ever listens to one.
    pub(super) fn is_built_in(&self, leg: LegId) -> bool {
        matches!(
            self.legs.get(&leg).map(|l| &l.kind),
            Some(Kind::Echo | Kind::Tone | Kind::Live(_) | Kind::Room(_) | Kind::Parked)
        )
    }

    fn handle_of(&self, leg: LegId) -> Option<CallHandle> {
        match self.legs.get(&leg).map(|l| &l.kind) {
            Some(Kind::Sip(sip)) => sip.handle,
            _ => None,
        }
    }

    /// A leg as the caller of another.
    fn party_of(&self, leg: LegId, to: String) -> Party {
        let name = match self.legs.get(&leg).map(|l| &l.kind) {
            Some(Kind::Sip(sip)) => sip.peer.clone(),
            Some(Kind::Line(entry)) => self
                .identity_of(entry.session, entry.account)
                .ok()
                .and_then(|identity| identity.party(String::new(), Vec::new()).name),
            _ => None,
        };
        let id = name
            .as_ref()
            .and_then(|n: &NameAddr| n.uri.user().map(|u| u.into_owned()));
        Party {
            id: id.unwrap_or_else(|| "anonymous".to_owned()),
            name,
            to,
            ..Party::default()
        }
    }
}
