//! Three-way calls and rooms of clients with lines.

use base::{LegId, SessionId, Time};
use call::{Line, LineEvent, Outcome, Role};

use super::{Exchange, Kind};

impl Exchange {
    /// A client talks with the parties of two of its calls at once: all three meet in a room of their own.
    pub(super) fn three_way(&mut self, now: Time, session: SessionId, line: Line, other: Line) {
        let legs = self.lines.leg(session, line).zip(self.lines.leg(session, other));
        let both = legs.filter(|(a, b)| a != b && self.is_up(*a) && self.is_up(*b));
        let fars = both.and_then(|(a, b)| Some((a, b, self.other_leg(a)?, self.other_leg(b)?)));
        let Some((leg, second, far, far_second)) = fars else {
            let outcome = Outcome::from_status(491, "Both calls must be up");
            return self.tell_client(session, LineEvent::Transfer { line, outcome });
        };
        // A name that nobody can dial by guessing.
        let room = format!("three-{}", self.rng.token(16));
        self.attach(session, Some(line));
        if let Err(outcome) = self.meet(now, &[leg, far, far_second], &room) {
            return self.tell_client(session, LineEvent::Transfer { line, outcome });
        }
        for (one, its) in [(leg, second), (second, leg)] {
            if let Some(Kind::Line(entry)) = self.legs.get_mut(&one).map(|l| &mut l.kind) {
                entry.with = Some(its);
            }
        }
    }

    /// A client's call goes into a room, with both parties, or out of it again.
    pub(super) fn room_line(&mut self, now: Time, session: SessionId, line: Line, room: Option<&str>) {
        let leg = self.lines.leg(session, line).filter(|leg| self.is_up(*leg));
        let Some((leg, far)) = leg.and_then(|leg| Some((leg, self.other_leg(leg)?))) else {
            let outcome = Outcome::from_status(491, "The call is not up");
            return self.tell_client(session, LineEvent::Transfer { line, outcome });
        };
        match room {
            Some(room) => {
                if let Err(outcome) = self.meet(now, &[leg, far], room) {
                    self.tell_client(session, LineEvent::Transfer { line, outcome });
                }
            }
            None => self.part(now, &[leg, far]),
        }
    }

    /// Takes legs into a room, all or none.
    fn meet(&mut self, now: Time, legs: &[LegId], room: &str) -> Result<(), Outcome> {
        for (n, leg) in legs.iter().enumerate() {
            if let Err(outcome) = self.join_room(now, *leg, room, Role::Participant) {
                self.part(now, legs.get(..n).unwrap_or_default());
                return Err(outcome);
            }
        }
        Ok(())
    }

    fn part(&mut self, now: Time, legs: &[LegId]) {
        for leg in legs {
            self.leave_room(now, *leg);
        }
    }

    /// One of the two calls of a three-way call is over: what is left of it is a plain call again.
    pub(super) fn end_three_way(&mut self, now: Time, leg: LegId) {
        let Some(far) = self.other_leg(leg) else { return };
        if let Some(Kind::Line(entry)) = self.legs.get_mut(&leg).map(|l| &mut l.kind) {
            entry.with = None;
        }
        self.part(now, &[leg, far]);
    }
}
