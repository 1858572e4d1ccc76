//! INVITE server transaction (RFC 3261 §17.2.1, RFC 6026 §7.1).

use std::time::Duration;

use super::{Base, Do, Timer};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Proceeding,
    Accepted,
    Completed,
    Confirmed,
}

/// One INVITE that we received.
#[derive(Debug)]
pub(crate) struct Ist {
    state: State,
    base: Base,
    reliable: bool,
    g: Duration,
}

impl Ist {
    /// Begins with the INVITE in the hands of the user, who answers 100 at once.
    pub(crate) fn new(base: Base, reliable: bool) -> Ist {
        Ist {
            state: State::Proceeding,
            base,
            reliable,
            g: base.t1,
        }
    }

    /// No final response was sent yet.
    pub(crate) fn is_pending(&self) -> bool {
        self.state == State::Proceeding
    }

    /// The INVITE arrived again.
    pub(crate) fn handle_retransmission(&mut self) -> Vec<Do> {
        match self.state {
            State::Proceeding | State::Completed => vec![Do::Send],
            // The user repeats its 2xx by itself (RFC 3261 §13.3.1.4).
            State::Accepted | State::Confirmed => Vec::new(),
        }
    }

    /// An ACK that belongs to this transaction arrived.
    pub(crate) fn handle_ack(&mut self) -> Vec<Do> {
        match self.state {
            State::Accepted => vec![Do::Deliver],
            State::Completed => {
                self.state = State::Confirmed;
                let mut todo = vec![Do::Clear(Timer::G), Do::Clear(Timer::H)];
                todo.push(if self.reliable {
                    Do::Done
                } else {
                    Do::Set(Timer::I, self.base.t4)
                });
                todo
            }
            State::Proceeding | State::Confirmed => Vec::new(),
        }
    }

    /// The user has a response; it is the "last response" from now on when `Send` is among the answers.
    pub(crate) fn respond(&mut self, status: u16) -> Vec<Do> {
        match (self.state, status) {
            (State::Proceeding, 100..=199) => vec![Do::Send],
            (State::Proceeding, 200..=299) => {
                self.state = State::Accepted;
                vec![Do::Send, Do::Set(Timer::L, self.base.limit())]
            }
            (State::Accepted, 200..=299) => vec![Do::Send],
            (State::Proceeding, _) => {
                self.state = State::Completed;
                let mut todo = vec![Do::Send, Do::Set(Timer::H, self.base.limit())];
                if !self.reliable {
                    todo.push(Do::Set(Timer::G, self.g));
                }
                todo
            }
            _ => Vec::new(),
        }
    }

    /// A timer that was set ran out.
    pub(crate) fn handle_timer(&mut self, timer: Timer) -> Vec<Do> {
        match (self.state, timer) {
            (State::Completed, Timer::G) => {
                self.g = (self.g * 2).min(self.base.t2);
                vec![Do::Send, Do::Set(Timer::G, self.g)]
            }
            (State::Completed, Timer::H) => vec![Do::Timeout, Do::Done],
            (State::Confirmed, Timer::I) | (State::Accepted, Timer::L) => vec![Do::Done],
            _ => Vec::new(),
        }
    }
}
