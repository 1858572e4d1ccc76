//! The four transaction machines of RFC 3261 §17 with the Accepted states of RFC 6026.
//!
//! Each is a few states and timers, knows neither messages nor addresses, and answers each input with what is
//! [to be done](Do). The endpoint keeps the messages and carries it out.

mod ict;
mod ist;
mod nict;
mod nist;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub(crate) use ict::Ict;
pub(crate) use ist::Ist;
pub(crate) use nict::Nict;
pub(crate) use nist::Nist;

/// The base values from which all timers derive (RFC 3261 table 4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Base {
    /// Estimate of the round trip.
    pub(crate) t1: Duration,
    /// Longest interval between repetitions.
    pub(crate) t2: Duration,
    /// How long a message may live in the network.
    pub(crate) t4: Duration,
}

impl Base {
    /// 64*T1: timers B, F, H, J, L and M.
    pub(crate) fn limit(self) -> Duration {
        self.t1 * 64
    }
}

/// The timers of RFC 3261 table 4 and RFC 6026 §7, and `Trying` of RFC 4320 §4.1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Timer {
    /// INVITE repetition.
    A,
    /// INVITE without any response.
    B,
    /// Absorbs repeated final responses to INVITE.
    D,
    /// Repetition of another request.
    E,
    /// Another request without final response.
    F,
    /// Repetition of a final response to INVITE.
    G,
    /// No ACK.
    H,
    /// Absorbs repeated ACKs.
    I,
    /// Absorbs repeated requests.
    J,
    /// Absorbs repeated responses.
    K,
    /// Absorbs repeated INVITEs after a 2xx.
    L,
    /// Lets further 2xx through.
    M,
    /// A request other than INVITE is still unanswered: 100 may be sent now.
    Trying,
}

/// What an input to a transaction machine brings about, in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Do {
    /// Send the request, or the last response, (again).
    Send,
    /// Send ACK for the final response just received (RFC 3261 §17.1.1.3).
    Ack,
    /// Send 100 Trying.
    Trying,
    /// Hand the message to the user of the transaction.
    Deliver,
    /// Start or restart a timer.
    Set(Timer, Duration),
    /// Stop a timer.
    Clear(Timer),
    /// Tell the user that no answer (or no ACK) came.
    Timeout,
    /// The transaction is over; forget it.
    Done,
}
