//! Server transaction of any request but INVITE and ACK (RFC 3261 §17.2.2, RFC 4320 §4).

use super::{Base, Do, Timer};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Trying,
    Proceeding,
    Completed,
}

/// One request, not INVITE, that we received.
#[derive(Debug)]
pub(crate) struct Nist {
    state: State,
    base: Base,
    reliable: bool,
}

impl Nist {
    /// Begins with the request in the hands of the user.
    pub(crate) fn new(base: Base, reliable: bool) -> (Nist, Vec<Do>) {
        let nist = Nist {
            state: State::Trying,
            base,
            reliable,
        };
        // A user that never answers is cut off without a 408, which would come too late to help (RFC 4320
        // §4.2). On UDP a 100 may be sent once the client repeats at T2 only: 0.5 + 1 + 2 s.
        let mut todo = vec![Do::Set(Timer::F, base.limit())];
        todo.push(Do::Set(
            Timer::Trying,
            if reliable { base.t1 / 2 } else { base.t1 * 7 },
        ));
        (nist, todo)
    }

    /// No final response was sent yet.
    pub(crate) fn is_pending(&self) -> bool {
        self.state != State::Completed
    }

    /// The request arrived again.
    pub(crate) fn handle_retransmission(&mut self) -> Vec<Do> {
        match self.state {
            State::Trying => Vec::new(),
            State::Proceeding | State::Completed => vec![Do::Send],
        }
    }

    /// The user has a response.
    pub(crate) fn respond(&mut self, status: u16) -> Vec<Do> {
        match (self.state, status) {
            (State::Completed, _) => Vec::new(),
            (_, 100..=199) => {
                self.state = State::Proceeding;
                vec![Do::Send]
            }
            (_, _) => {
                self.state = State::Completed;
                let mut todo = vec![Do::Clear(Timer::F), Do::Clear(Timer::Trying), Do::Send];
                todo.push(if self.reliable {
                    Do::Done
                } else {
                    Do::Set(Timer::J, self.base.limit())
                });
                todo
            }
        }
    }

    /// A timer that was set ran out.
    pub(crate) fn handle_timer(&mut self, timer: Timer) -> Vec<Do> {
        match (self.state, timer) {
            (State::Trying, Timer::Trying) => {
                self.state = State::Proceeding;
                vec![Do::Trying]
            }
            (State::Trying | State::Proceeding, Timer::F) => vec![Do::Timeout, Do::Done],
            (State::Completed, Timer::J) => vec![Do::Done],
            _ => Vec::new(),
        }
    }
}
