//! INVITE client transaction (RFC 3261 §17.1.1, RFC 6026 §7.2).

use std::time::Duration;

use super::{Base, Do, Timer};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Calling,
    Proceeding,
    Accepted,
    Completed,
}

/// Timer D on an unreliable transport: at least 32 s.
const D: Duration = Duration::from_secs(32);

/// One INVITE that we sent.
#[derive(Debug)]
pub(crate) struct Ict {
    state: State,
    base: Base,
    reliable: bool,
    a: Duration,
}

impl Ict {
    /// Begins: the request is to be sent.
    pub(crate) fn new(base: Base, reliable: bool) -> (Ict, Vec<Do>) {
        let mut todo = vec![Do::Send, Do::Set(Timer::B, base.limit())];
        if !reliable {
            todo.push(Do::Set(Timer::A, base.t1));
        }
        let ict = Ict {
            state: State::Calling,
            base,
            reliable,
            a: base.t1,
        };
        (ict, todo)
    }

    /// No response at all has come yet.
    pub(crate) fn is_calling(&self) -> bool {
        self.state == State::Calling
    }

    /// No final response has come yet.
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.state, State::Calling | State::Proceeding)
    }

    /// A response with this status arrived.
    pub(crate) fn handle_response(&mut self, status: u16) -> Vec<Do> {
        match (self.state, status) {
            (State::Calling, 100..=199) => {
                self.state = State::Proceeding;
                vec![Do::Clear(Timer::A), Do::Clear(Timer::B), Do::Deliver]
            }
            (State::Proceeding, 100..=199) => vec![Do::Deliver],
            (State::Calling | State::Proceeding, 200..=299) => {
                self.state = State::Accepted;
                vec![
                    Do::Clear(Timer::A),
                    Do::Clear(Timer::B),
                    Do::Set(Timer::M, self.base.limit()),
                    Do::Deliver,
                ]
            }
            (State::Accepted, 200..=299) => vec![Do::Deliver],
            (State::Calling | State::Proceeding, 300..) => {
                self.state = State::Completed;
                let mut todo = vec![Do::Clear(Timer::A), Do::Clear(Timer::B), Do::Ack, Do::Deliver];
                todo.push(if self.reliable {
                    Do::Done
                } else {
                    Do::Set(Timer::D, D.max(self.base.limit()))
                });
                todo
            }
            (State::Completed, 300..) => vec![Do::Ack],
            _ => Vec::new(),
        }
    }

    /// A timer that was set ran out.
    pub(crate) fn handle_timer(&mut self, timer: Timer) -> Vec<Do> {
        match (self.state, timer) {
            (State::Calling, Timer::A) => {
                self.a *= 2;
                vec![Do::Send, Do::Set(Timer::A, self.a)]
            }
            (State::Calling, Timer::B) => vec![Do::Timeout, Do::Done],
            (State::Completed, Timer::D) | (State::Accepted, Timer::M) => vec![Do::Done],
            _ => Vec::new(),
        }
    }
}
