//! Counters of one connection.

/// Counters since the start of a connection; they only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes received, handshake included.
    pub bytes_in: u64,
    /// Bytes handed to the driver, handshake included.
    pub bytes_out: u64,
    /// Messages received.
    pub messages_in: u64,
    /// Messages sent.
    pub messages_out: u64,
    /// Messages that were not understood and skipped.
    pub ignored_in: u64,
    /// Audio messages sent.
    pub audio_out: u64,
    /// Audio messages dropped because the queue was full.
    pub audio_overflow: u64,
    /// Audio messages dropped because they waited past their deadline.
    pub audio_late: u64,
    /// Audio messages withheld after a stall, or silence skipped, to bring the player's delay back.
    pub audio_withheld: u64,
    /// Video messages dropped.
    pub video_dropped: u64,
    /// Times the peer stopped reading for longer than `stall_after`.
    pub stalls: u64,
}
