//! One call: a caller and the callees that are rung for it, kept in step.

use std::time::Duration;

use base::{CallId, EndReason, LegId, Time};

use crate::{LegCommand, LegEvent, Outcome};

/// How a call is rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    /// Longest time without an answer.
    pub timeout: Duration,
    /// Longest duration after the answer; `None` for no limit.
    pub max_duration: Option<Duration>,
}

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallState {
    /// No callee rings yet.
    Dialling,
    /// At least one callee rings.
    Ringing,
    /// Answered.
    Up,
    /// Over; the call can be forgotten.
    Ended,
}

/// What a call wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Tell a leg something.
    Tell(LegId, LegCommand),
    /// Let two legs hear each other.
    Connect(LegId, LegId),
    /// Stop them.
    Disconnect(LegId, LegId),
    /// The call is over: every leg has been told or has told. Comes last, once.
    Ended(Outcome),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CalleeState {
    Trying,
    Up,
    Gone,
}

/// A back-to-back call over one caller and one or more callees; the first callee to answer wins.
///
/// It neither knows nor asks what its legs are made of.
#[derive(Debug)]
pub struct Call {
    id: CallId,
    caller: LegId,
    /// Another call has taken the caller.
    caller_gone: bool,
    callees: Vec<(LegId, CalleeState)>,
    state: CallState,
    /// The callee connected so far: by early media or by its answer.
    connected: Option<LegId>,
    best_refusal: Option<Outcome>,
    ring: Ring,
    deadline: Option<Time>,
    answered_at: Option<Time>,
    actions: Vec<Action>,
}

impl Call {
    /// A call from `caller`, with callees still to be added.
    pub fn new(id: CallId, caller: LegId, ring: Ring, now: Time) -> Call {
        Call {
            id,
            caller,
            caller_gone: false,
            callees: Vec::new(),
            state: CallState::Dialling,
            connected: None,
            best_refusal: None,
            ring,
            deadline: Some(now + ring.timeout),
            answered_at: None,
            actions: Vec::new(),
        }
    }

    /// Its id.
    pub fn id(&self) -> CallId {
        self.id
    }

    /// Where it stands.
    pub fn state(&self) -> CallState {
        self.state
    }

    /// The caller's leg.
    pub fn caller(&self) -> LegId {
        self.caller
    }

    /// When it was answered.
    pub fn answered_at(&self) -> Option<Time> {
        self.answered_at
    }

    /// The callee that answered or sends early media.
    pub fn connected(&self) -> Option<LegId> {
        self.connected
    }

    /// All legs that have not left.
    pub fn legs(&self) -> impl Iterator<Item = LegId> + '_ {
        let callees = self
            .callees
            .iter()
            .filter(|(_, s)| *s != CalleeState::Gone)
            .map(|(l, _)| *l);
        let caller = (!self.caller_gone).then_some(self.caller);
        caller.into_iter().chain(callees)
    }

    /// Adds a callee that is being rung.
    pub fn add_callee(&mut self, leg: LegId) {
        self.callees.push((leg, CalleeState::Trying));
    }

    /// Takes in what a leg told.
    pub fn handle_event(&mut self, now: Time, leg: LegId, event: LegEvent) {
        if self.state == CallState::Ended {
            return;
        }
        match event {
            LegEvent::Ringing => self.ringing(leg),
            LegEvent::Progress => self.progress(leg),
            LegEvent::Answered => self.answered(now, leg),
            LegEvent::Refused(outcome) | LegEvent::HungUp(outcome) if leg != self.caller => {
                self.callee_left(leg, outcome);
            }
            LegEvent::Refused(outcome) | LegEvent::HungUp(outcome) => self.caller_left(outcome),
        }
    }

    /// Ends the call for a reason that none of its legs gave.
    pub fn hang_up(&mut self, outcome: Outcome) {
        if self.state == CallState::Ended {
            return;
        }
        let answered = self.state == CallState::Up;
        self.end_callees(&outcome);
        let tell = if answered {
            LegCommand::HangUp
        } else {
            LegCommand::Refuse
        };
        self.actions
            .push(Action::Tell(self.caller, tell(outcome.clone())));
        self.end(outcome);
    }

    /// Puts `new`, which talks already, in the place of `old`: a transfer. `told` is what `old` hears; `None`
    /// when it has left by itself. False, and nothing done, unless the call is up and `old` one of the two
    /// that talk.
    pub fn replace(&mut self, old: LegId, new: LegId, told: Option<Outcome>) -> bool {
        let Some(callee) = self.connected.filter(|_| self.state == CallState::Up) else {
            return false;
        };
        if old != self.caller && old != callee {
            return false;
        }
        self.actions.push(Action::Disconnect(self.caller, callee));
        if old == self.caller {
            self.caller = new;
        } else {
            self.set(old, CalleeState::Gone);
            self.callees.push((new, CalleeState::Up));
            self.connected = Some(new);
        }
        if let Some(outcome) = told {
            self.actions.push(Action::Tell(old, LegCommand::HangUp(outcome)));
        }
        let callee = self.connected.unwrap_or(callee);
        self.actions.push(Action::Connect(self.caller, callee));
        true
    }

    /// Lets go of a leg that goes over to another call: it hears nothing of that, the other one of the two is
    /// told that it is over. False, and nothing done, unless the call is up and `leg` one of the two that
    /// talk.
    pub fn release(&mut self, leg: LegId, outcome: Outcome) -> bool {
        if self.state != CallState::Up || (leg != self.caller && self.connected != Some(leg)) {
            return false;
        }
        if leg == self.caller {
            self.caller_gone = true;
        } else {
            self.set(leg, CalleeState::Gone);
            self.actions
                .push(Action::Tell(self.caller, LegCommand::HangUp(outcome.clone())));
        }
        self.end(outcome);
        true
    }

    /// Once answered, the call may last so long at most, if it was not limited to less before.
    pub fn shorten(&mut self, most: Duration) {
        let before = self.ring.max_duration;
        self.ring.max_duration = Some(before.map_or(most, |b| b.min(most)));
    }

    /// The call may last until then at most, if it was not limited to less before.
    pub fn limit(&mut self, until: Option<Time>) {
        if self.state != CallState::Ended {
            self.deadline = base::earliest(self.deadline, until);
        }
    }

    /// When [`Call::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.deadline
    }

    /// The ring time or the longest duration is over.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.deadline.is_none_or(|d| now < d) {
            return;
        }
        self.deadline = None;
        let reason = if self.state == CallState::Up {
            EndReason::DurationLimit
        } else {
            EndReason::NoAnswer
        };
        self.hang_up(Outcome::new(reason));
    }

    /// What is to be done, oldest first; empties the list.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    fn ringing(&mut self, leg: LegId) {
        if self.is_trying(leg) && self.state == CallState::Dialling {
            self.state = CallState::Ringing;
            self.actions.push(Action::Tell(self.caller, LegCommand::Ring));
        }
    }

    fn progress(&mut self, leg: LegId) {
        // Early media of a second fork is not heard: mixing two ring tones helps nobody.
        if !self.is_trying(leg) || self.connected.is_some() {
            return;
        }
        self.state = CallState::Ringing;
        self.connected = Some(leg);
        self.actions.push(Action::Tell(self.caller, LegCommand::Progress));
        self.actions.push(Action::Connect(self.caller, leg));
    }

    fn answered(&mut self, now: Time, leg: LegId) {
        if !self.is_trying(leg) {
            return;
        }
        if self.state == CallState::Up {
            // A fork that answers too late is sent home.
            self.set(leg, CalleeState::Gone);
            self.actions.push(Action::Tell(
                leg,
                LegCommand::HangUp(Outcome::new(EndReason::Cancelled)),
            ));
            return;
        }
        self.state = CallState::Up;
        self.answered_at = Some(now);
        self.deadline = self.ring.max_duration.map(|d| now + d);
        self.set(leg, CalleeState::Up);
        self.end_callees(&Outcome::new(EndReason::Cancelled));
        if self.connected != Some(leg) {
            if let Some(early) = self.connected {
                self.actions.push(Action::Disconnect(self.caller, early));
            }
            self.connected = Some(leg);
            self.actions.push(Action::Connect(self.caller, leg));
        }
        self.actions.push(Action::Tell(self.caller, LegCommand::Answer));
    }

    fn callee_left(&mut self, leg: LegId, outcome: Outcome) {
        let Some(state) = self.callees.iter().find(|(l, _)| *l == leg).map(|(_, s)| *s) else {
            return;
        };
        self.set(leg, CalleeState::Gone);
        match state {
            CalleeState::Gone => {}
            CalleeState::Up => {
                self.actions
                    .push(Action::Tell(self.caller, LegCommand::HangUp(outcome.clone())));
                self.end(outcome);
            }
            CalleeState::Trying => {
                if self.connected == Some(leg) {
                    self.connected = None;
                    self.actions.push(Action::Disconnect(self.caller, leg));
                }
                let declined_by_all = outcome.status >= 600;
                if self
                    .best_refusal
                    .as_ref()
                    .is_none_or(|b| outcome.weight() > b.weight())
                {
                    self.best_refusal = Some(outcome);
                }
                if declined_by_all {
                    self.end_callees(&Outcome::new(EndReason::Cancelled));
                }
                if self.callees.iter().all(|(_, s)| *s == CalleeState::Gone) {
                    let outcome = self
                        .best_refusal
                        .take()
                        .unwrap_or_else(|| Outcome::new(EndReason::Unavailable));
                    self.actions
                        .push(Action::Tell(self.caller, LegCommand::Refuse(outcome.clone())));
                    self.end(outcome);
                }
            }
        }
    }

    fn caller_left(&mut self, outcome: Outcome) {
        let told = if self.state == CallState::Up {
            outcome.clone()
        } else {
            Outcome::new(EndReason::Cancelled)
        };
        self.end_callees(&told);
        // A plain hang-up before the answer is a cancelled call; any other reason stands as it is.
        self.end(if outcome.reason == EndReason::HungUp {
            told
        } else {
            outcome
        });
    }

    /// Tells every callee that is still being rung to stop.
    fn end_callees(&mut self, outcome: &Outcome) {
        for (leg, state) in &mut self.callees {
            if *state == CalleeState::Trying {
                *state = CalleeState::Gone;
                self.actions
                    .push(Action::Tell(*leg, LegCommand::HangUp(outcome.clone())));
            }
        }
    }

    fn end(&mut self, outcome: Outcome) {
        for (leg, state) in &mut self.callees {
            if *state != CalleeState::Gone {
                *state = CalleeState::Gone;
                self.actions
                    .push(Action::Tell(*leg, LegCommand::HangUp(outcome.clone())));
            }
        }
        if let Some(leg) = self.connected.take() {
            self.actions.push(Action::Disconnect(self.caller, leg));
        }
        self.state = CallState::Ended;
        self.deadline = None;
        self.actions.push(Action::Ended(outcome));
    }

    fn is_trying(&self, leg: LegId) -> bool {
        self.callees.contains(&(leg, CalleeState::Trying))
    }

    fn set(&mut self, leg: LegId, to: CalleeState) {
        if let Some((_, state)) = self.callees.iter_mut().find(|(l, _)| *l == leg) {
            *state = to;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: LegId = LegId(1);
    const B: LegId = LegId(2);
    const C: LegId = LegId(3);

    fn call(callees: &[LegId]) -> Call {
        let ring = Ring {
            timeout: Duration::from_secs(60),
            max_duration: Some(Duration::from_secs(3_600)),
        };
        let mut call = Call::new(CallId(1), A, ring, Time::ZERO);
        callees.iter().for_each(|l| call.add_callee(*l));
        call
    }

    fn step(call: &mut Call, leg: LegId, event: LegEvent) -> Vec<Action> {
        call.handle_event(Time::from_millis(10), leg, event);
        call.take_actions()
    }

    fn out(reason: EndReason) -> Outcome {
        Outcome::new(reason)
    }

    #[test]
    fn ring_answer_hang_up() {
        let mut c = call(&[B]);
        assert_eq!(
            step(&mut c, B, LegEvent::Ringing),
            [Action::Tell(A, LegCommand::Ring)]
        );
        assert_eq!(step(&mut c, B, LegEvent::Ringing), []);
        assert_eq!(
            step(&mut c, B, LegEvent::Answered),
            [Action::Connect(A, B), Action::Tell(A, LegCommand::Answer)]
        );
        let end = out(EndReason::HungUp);
        assert_eq!(
            step(&mut c, B, LegEvent::HungUp(end.clone())),
            [
                Action::Tell(A, LegCommand::HangUp(end.clone())),
                Action::Disconnect(A, B),
                Action::Ended(end)
            ]
        );
        assert_eq!(c.state(), CallState::Ended);
        assert_eq!(step(&mut c, A, LegEvent::HungUp(out(EndReason::HungUp))), []);
    }

    #[test]
    fn the_caller_hangs_up_an_answered_call() {
        let mut c = call(&[B]);
        step(&mut c, B, LegEvent::Answered);
        let end = out(EndReason::HungUp);
        assert_eq!(
            step(&mut c, A, LegEvent::HungUp(end.clone())),
            [
                Action::Tell(B, LegCommand::HangUp(end.clone())),
                Action::Disconnect(A, B),
                Action::Ended(end)
            ]
        );
    }

    #[test]
    fn the_first_answer_wins_and_others_are_cancelled() {
        let mut c = call(&[B, C]);
        step(&mut c, C, LegEvent::Ringing);
        assert_eq!(
            step(&mut c, B, LegEvent::Answered),
            [
                Action::Tell(C, LegCommand::HangUp(out(EndReason::Cancelled))),
                Action::Connect(A, B),
                Action::Tell(A, LegCommand::Answer)
            ]
        );
        assert_eq!(step(&mut c, C, LegEvent::Answered), []);
        assert_eq!(c.state(), CallState::Up);
    }

    #[test]
    fn early_media_of_one_gives_way_to_the_answer_of_another() {
        let mut c = call(&[B, C]);
        assert_eq!(
            step(&mut c, B, LegEvent::Progress),
            [Action::Tell(A, LegCommand::Progress), Action::Connect(A, B)]
        );
        assert_eq!(step(&mut c, C, LegEvent::Progress), []);
        let actions = step(&mut c, C, LegEvent::Answered);
        assert!(actions.contains(&Action::Disconnect(A, B)) && actions.contains(&Action::Connect(A, C)));
    }

    #[test]
    fn the_most_telling_refusal_reaches_the_caller() {
        let mut c = call(&[B, C]);
        assert_eq!(
            step(
                &mut c,
                B,
                LegEvent::Refused(Outcome::from_status(486, "Busy Here"))
            ),
            []
        );
        let actions = step(&mut c, C, LegEvent::Refused(Outcome::from_status(480, "Away")));
        let busy = Outcome::from_status(486, "Busy Here");
        assert_eq!(
            actions,
            [
                Action::Tell(A, LegCommand::Refuse(busy.clone())),
                Action::Ended(busy)
            ]
        );
    }

    #[test]
    fn a_global_decline_stops_the_other_forks() {
        let mut c = call(&[B, C]);
        let actions = step(&mut c, B, LegEvent::Refused(Outcome::from_status(603, "Decline")));
        assert_eq!(
            actions[0],
            Action::Tell(C, LegCommand::HangUp(out(EndReason::Cancelled)))
        );
        assert!(matches!(&actions[1], Action::Tell(A, LegCommand::Refuse(o)) if o.status == 603));
    }

    #[test]
    fn the_caller_cancels() {
        let mut c = call(&[B]);
        step(&mut c, B, LegEvent::Ringing);
        let actions = step(&mut c, A, LegEvent::HungUp(out(EndReason::HungUp)));
        let cancelled = out(EndReason::Cancelled);
        assert_eq!(
            actions,
            [
                Action::Tell(B, LegCommand::HangUp(cancelled.clone())),
                Action::Ended(cancelled)
            ]
        );
    }

    #[test]
    fn another_leg_takes_the_place_of_either_party() {
        let away = out(EndReason::HungUp);
        let mut c = call(&[B]);
        assert!(!c.replace(B, C, None));
        step(&mut c, B, LegEvent::Answered);
        assert!(!c.replace(C, B, None));
        assert!(c.replace(B, C, Some(away.clone())));
        assert_eq!(
            c.take_actions(),
            [
                Action::Disconnect(A, B),
                Action::Tell(B, LegCommand::HangUp(away.clone())),
                Action::Connect(A, C)
            ]
        );
        assert_eq!(c.legs().collect::<Vec<_>>(), [A, C]);
        // What the one that left still says counts for nothing.
        assert_eq!(step(&mut c, B, LegEvent::HungUp(away.clone())), []);
        // Now the caller, which has left by itself.
        let d = LegId(4);
        assert!(c.replace(A, d, None));
        assert_eq!(
            c.take_actions(),
            [Action::Disconnect(A, C), Action::Connect(d, C)]
        );
        assert_eq!(
            step(&mut c, C, LegEvent::HungUp(away.clone())),
            [
                Action::Tell(d, LegCommand::HangUp(away.clone())),
                Action::Disconnect(d, C),
                Action::Ended(away)
            ]
        );
    }

    #[test]
    fn a_leg_that_goes_to_another_call_is_told_nothing() {
        for (goes, stays) in [(A, B), (B, A)] {
            let mut c = call(&[B]);
            assert!(!c.release(goes, out(EndReason::HungUp)));
            step(&mut c, B, LegEvent::Answered);
            let end = out(EndReason::HungUp);
            assert!(c.release(goes, end.clone()));
            assert_eq!(
                c.take_actions(),
                [
                    Action::Tell(stays, LegCommand::HangUp(end.clone())),
                    Action::Disconnect(A, B),
                    Action::Ended(end)
                ]
            );
            assert!(!c.legs().any(|l| l == goes));
        }
    }

    #[test]
    fn a_limit_only_ever_shortens() {
        let mut c = call(&[B]);
        step(&mut c, B, LegEvent::Answered);
        let before = c.poll_timeout();
        c.limit(None);
        c.limit(Some(Time::from_secs(1_000_000)));
        assert_eq!(c.poll_timeout(), before);
        c.limit(Some(Time::from_secs(20)));
        assert_eq!(c.poll_timeout(), Some(Time::from_secs(20)));
    }

    #[test]
    fn nobody_answers_and_the_longest_duration() {
        let mut c = call(&[B]);
        c.handle_timeout(Time::from_secs(59));
        assert_eq!(c.take_actions(), []);
        c.handle_timeout(Time::from_secs(60));
        let actions = c.take_actions();
        assert!(actions.contains(&Action::Tell(A, LegCommand::Refuse(out(EndReason::NoAnswer)))));
        assert!(actions.contains(&Action::Tell(B, LegCommand::HangUp(out(EndReason::NoAnswer)))));

        let mut c = call(&[B]);
        step(&mut c, B, LegEvent::Answered);
        c.handle_timeout(Time::from_secs(3_700));
        let actions = c.take_actions();
        assert!(actions.contains(&Action::Tell(
            B,
            LegCommand::HangUp(out(EndReason::DurationLimit))
        )));
        assert!(actions.contains(&Action::Tell(
            A,
            LegCommand::HangUp(out(EndReason::DurationLimit))
        )));
        assert_eq!(c.state(), CallState::Ended);
    }
}
