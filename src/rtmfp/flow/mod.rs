//! Flows (§3.6): unidirectional streams of messages, each with its own order and its own share of a session.

pub(crate) mod ranges;
pub(crate) mod recv;
pub(crate) mod send;

use base::Time;

/// Which flow goes first when a packet is filled. Commands and audio are time-critical, video is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Bulk: video, files.
    Bulk,
    /// Ordinary data.
    Routine,
    /// Real-time media, marked time-critical.
    RealTime,
    /// Commands.
    Control,
}

/// Until when a message is worth sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// Given up when its first transmission has not begun by then.
    pub start: Time,
    /// Given up when it is not acknowledged by then and has to be sent again.
    pub finish: Time,
}

/// In which order a receiving flow gives its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they were queued; waits for what may still come.
    Queued,
    /// As they arrive; nothing waits for anything.
    Arrival,
}
