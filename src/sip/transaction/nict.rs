//! Client transaction of any request but INVITE and ACK (RFC 3261 §17.1.2).

use std::time::Duration;

use super::{Base, Do, Timer};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Trying,
    Proceeding,
    Completed,
}

/// One request, not INVITE, that we sent.
#[derive(Debug)]
pub(crate) struct Nict {
    state: State,
    base: Base,
    reliable: bool,
    e: Duration,
}

impl Nict {
    /// Begins: the request is to be sent.
    pub(crate) fn new(base: Base, reliable: bool) -> (Nict, Vec<Do>) {
        let mut todo = vec![Do::Send, Do::Set(Timer::F, base.limit())];
        if !reliable {
            todo.push(Do::Set(Timer::E, base.t1));
        }
        let nict = Nict {
            state: State::Trying,
            base,
            reliable,
            e: base.t1,
        };
        (nict, todo)
    }

    /// No final response has come yet.
    pub(crate) fn is_pending(&self) -> bool {
        self.state != State::Completed
    }

    /// A response with this status arrived.
    pub(crate) fn handle_response(&mut self, status: u16) -> Vec<Do> {
        match (self.state, status) {
            (State::Completed, _) => Vec::new(),
            (_, 100..=199) => {
                self.state = State::Proceeding;
                vec![Do::Deliver]
            }
            (_, _) => {
                self.state = State::Completed;
                let mut todo = vec![Do::Clear(Timer::E), Do::Clear(Timer::F), Do::Deliver];
                todo.push(if self.reliable {
                    Do::Done
                } else {
                    Do::Set(Timer::K, self.base.t4)
                });
                todo
            }
        }
    }

    /// A timer that was set ran out.
    pub(crate) fn handle_timer(&mut self, timer: Timer) -> Vec<Do> {
        match (self.state, timer) {
            (State::Trying, Timer::E) => {
                self.e = (self.e * 2).min(self.base.t2);
                vec![Do::Send, Do::Set(Timer::E, self.e)]
            }
            (State::Proceeding, Timer::E) => vec![Do::Send, Do::Set(Timer::E, self.base.t2)],
            (State::Trying | State::Proceeding, Timer::F) => vec![Do::Timeout, Do::Done],
            (State::Completed, Timer::K) => vec![Do::Done],
            _ => Vec::new(),
        }
    }
}
