//! Call control of clients with lines: hold, digits, and what else may be done with a call that is up.

use std::cmp::Reverse;
use std::time::Duration;

use base::{LegId, SessionId, Time};
use call::{Line, LineEvent, LineIntent};
use sip::sdp::Direction;
use sip::{Body, CallHandle};

use super::negotiation::{Local, Remote};
use super::{Due, Exchange, Kind};
use crate::shard::Command;

/// Digits that wait to go out by INFO, at most.
const DIGITS: usize = 64;
/// Between one INFO and the next, beside the length of the digit.
const PAUSE: Duration = Duration::from_millis(60);
/// A digit of which nothing else is known lasts so long.
const DIGIT_MS: u32 = 160;

/// How a digit came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As a telephone-event.
    Events,
    /// By INFO.
    Info,
    /// As a sound.
    Sound,
}

/// A change of the session that we asked for and the peer has not answered.
#[derive(Debug)]
pub(super) struct Change {
    local: Local,
    held: bool,
}

impl Exchange {
    /// A client wants something done with a call.
    pub(super) fn control(&mut self, now: Time, session: SessionId, intent: LineIntent) {
        match intent {
            LineIntent::Hold { line, on } => self.hold_line(now, session, line, on),
            LineIntent::Digits { line, digits, ms } => {
                let leg = self.lines.leg(session, line);
                let far = leg.and_then(|leg| self.other_leg(leg));
                for digit in digits
                    .chars()
                    .filter(|c| media::code_of(*c).is_some())
                    .take(DIGITS)
                {
                    if leg.is_some_and(|leg| self.room_digit(now, leg, digit)) {
                        continue;
                    }
                    if let Some(far) = far {
                        self.press(now, far, digit.to_ascii_uppercase(), ms.clamp(40, 8_000));
                    }
                }
            }
            LineIntent::Transfer { line, target } => self.transfer_line(now, session, line, &target),
            LineIntent::Join { line, other } => self.join_lines(now, session, line, other),
            LineIntent::ThreeWay { line, other } => self.three_way(now, session, line, other),
            LineIntent::Room { line, room } => self.room_line(now, session, line, room.as_deref()),
            LineIntent::Message {
                account,
                line,
                target,
                text,
            } => self.send_text(now, session, account, line, &target, text),
            _ => {}
        }
    }

    fn hold_line(&mut self, now: Time, session: SessionId, line: Line, on: bool) {
        let Some(leg) = self.lines.leg(session, line) else {
            return;
        };
        let Some(Kind::Line(entry)) = self.legs.get(&leg).map(|l| &l.kind) else {
            return;
        };
        let (held, up) = (entry.held, entry.up);
        let far = self.other_leg(leg).filter(|_| up && held != on);
        let Some(far) = far else {
            return self.tell_client(session, LineEvent::LocalHold { line, on: held });
        };
        if self.sip_leg(far).is_none() {
            self.held(far, on);
        } else if !self.reoffer(now, far, on) {
            self.tell_client(session, LineEvent::LocalHold { line, on: held });
        }
    }

    /// Offers a SIP party its session anew, held or not; false when that is not possible now.
    fn reoffer(&mut self, now: Time, leg: LegId, held: bool) -> bool {
        let Some(sip) = self.sip_leg(leg) else {
            return false;
        };
        let (Some(handle), Some(local)) = (sip.handle, &sip.local) else {
            return false;
        };
        let direction = if held {
            Direction::SendOnly
        } else {
            Direction::SendRecv
        };
        let local = local.redirected(direction);
        let body = local.to_body();
        sip.change = Some(Change { local, held });
        let sent = self.sip.reinvite(now, handle, Some(body));
        if let Err(refused) = &sent {
            tracing::debug!(%leg, %refused, "the session cannot be changed now");
            if let Some(sip) = self.sip_leg(leg) {
                sip.change = None;
            }
        }
        sent.is_ok()
    }

    /// The peer answered our re-INVITE.
    pub(super) fn reoffer_result(&mut self, call: CallHandle, status: u16, body: Option<&Body>) {
        let Some(leg) = self.by_handle.get(&call).copied() else {
            return;
        };
        let settings = self.settings.clone();
        let Some(sip) = self.sip_leg(leg) else { return };
        let Some(change) = sip.change.take() else { return };
        let policy = settings.protection.policy(sip.srtp, sip.web);
        let read = body.map(Remote::read).and_then(Result::ok);
        let settled = read.and_then(|remote| Some((change.local.accept(&remote, policy).ok()?, remote)));
        match settled {
            Some((params, remote)) if (200..300).contains(&status) => {
                sip.local = Some(change.local);
                sip.remote = Some(remote);
                sip.params = Some(params.clone());
                sip.held = change.held;
                self.set_params(leg, params);
                self.held(leg, change.held);
            }
            _ => {
                let held = sip.held;
                tracing::info!(%leg, status, "the peer refused to be put on hold or taken back");
                self.held(leg, held);
            }
        }
    }

    /// A party is held or not: its client hears so, and the sound goes with it.
    fn held(&mut self, far: LegId, on: bool) {
        let Some(leg) = self.other_leg(far) else { return };
        let Some(Kind::Line(entry)) = self.legs.get_mut(&leg).map(|l| &mut l.kind) else {
            return;
        };
        let (session, line) = (entry.session, entry.line);
        let changed = entry.held != on;
        self.tell_client(session, LineEvent::LocalHold { line, on });
        if !changed {
            return;
        }
        let before: Vec<LegId> = self.halves(leg).all().collect();
        self.unwire(&before);
        if let Some(Kind::Line(entry)) = self.legs.get_mut(&leg).map(|l| &mut l.kind) {
            entry.held = on;
        }
        if let Some(call) = self.legs.get(&leg).and_then(|l| l.call) {
            self.wire(call);
        }
        self.remote_hold(far, on);
    }

    /// A client hears that the other party holds it.
    pub(super) fn remote_hold(&mut self, leg: LegId, on: bool) {
        if let Some(Kind::Line(entry)) = self.legs.get(&leg).map(|l| &l.kind) {
            let (session, line) = (entry.session, entry.line);
            self.tell_client(session, LineEvent::RemoteHold { line, on });
        }
    }

    /// A party that was held before it came to another is taken back.
    pub(super) fn resume(&mut self, now: Time, leg: LegId) {
        if self.sip_leg(leg).is_some_and(|sip| sip.held) {
            self.reoffer(now, leg, false);
        }
    }

    /// A digit came from a party: the other one gets it.
    pub(super) fn digit_from(&mut self, now: Time, leg: LegId, digit: char, way: Way) {
        let Some(other) = self.other_leg(leg) else { return };
        match self.legs.get(&other).map(|l| &l.kind) {
            // What goes from one SIP party to the other with their audio is not said twice.
            Some(Kind::Sip(_)) if way == Way::Sound => {}
            Some(Kind::Sip(sip)) if way == Way::Events && sip.takes_events() => {}
            _ => self.press(now, other, digit, DIGIT_MS),
        }
    }

    /// Gives a party a digit, in the way it takes them.
    fn press(&mut self, now: Time, leg: LegId, digit: char, ms: u32) {
        match self.legs.get_mut(&leg).map(|l| &mut l.kind) {
            Some(Kind::Line(entry)) => {
                let (session, line) = (entry.session, entry.line);
                self.tell_client(session, LineEvent::Digit { line, digit });
            }
            Some(Kind::Sip(sip)) if sip.takes_events() => {
                if let Some(shard) = self.wiring.shard_of(leg) {
                    self.command(shard, Command::Digit { leg, digit, ms });
                }
            }
            Some(Kind::Sip(sip)) if sip.digits.len() < DIGITS => {
                sip.digits.push_back((digit, ms));
                if sip.digits.len() == 1 {
                    self.deadlines.push(Reverse((now, Due::Digit(leg))));
                }
            }
            _ => {}
        }
    }

    /// The next digit that goes by INFO is due.
    pub(super) fn send_info_digit(&mut self, now: Time, leg: LegId) {
        let Some(sip) = self.sip_leg(leg) else { return };
        let handle = sip.handle;
        let Some((digit, ms)) = sip.digits.pop_front() else {
            return;
        };
        let more = !sip.digits.is_empty();
        if let Some(handle) = handle {
            let body = Body {
                content_type: "application/dtmf-relay".to_owned(),
                data: media::write_info(digit, ms).into_bytes(),
            };
            if let Err(refused) = self.sip.info(now, handle, body) {
                tracing::debug!(%leg, %refused, "a digit could not be sent");
            }
        }
        if more {
            let next = now + Duration::from_millis(u64::from(ms)) + PAUSE;
            self.deadlines.push(Reverse((next, Due::Digit(leg))));
        }
    }
}
