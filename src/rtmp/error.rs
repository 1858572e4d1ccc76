//! Why an RTMP connection cannot go on, sorted by who is to blame.

use base::EndReason;
use thiserror::Error;

use crate::amf::AmfError;

/// Why a connection ended. Once a machine has returned one of these it is finished: nothing more comes out
/// of it but what `poll_transmit` still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    // The peer broke the protocol.
    /// RTMPE (versions 6, 8 and 9): encryption that is refused by design.
    #[error(
        "the client asks for RTMPE (version {version}), which is not spoken here; let it use rtmp:// or, to be encrypted, rtmps://"
    )]
    Encrypted {
        /// The version byte of C0.
        version: u8,
    },
    /// The first byte belongs to another protocol (HTTP, TLS, SIP …).
    #[error("not RTMP: the first byte is {first:#04x}")]
    NotRtmp {
        /// The first byte.
        first: u8,
    },
    /// The peer's handshake carries a wrong digest (client side only: a server takes it as a plain handshake).
    #[error("the handshake's digest is wrong")]
    HandshakeDigest,
    /// A chunk without a full header came on a chunk stream that never had one.
    #[error("chunk stream {csid} begins without a full header")]
    HeaderMissing {
        /// The chunk stream.
        csid: u32,
    },
    /// A new message header arrived on a chunk stream in the middle of a message.
    #[error("chunk stream {csid} begins a message inside another")]
    MessageInterrupted {
        /// The chunk stream.
        csid: u32,
    },
    /// Set Chunk Size outside 1 to 0x7FFFFFFF bytes.
    #[error("chunk size {size} is out of range")]
    ChunkSize {
        /// The value asked for, in bytes.
        size: u32,
    },
    /// A protocol control message is too short.
    #[error("message of type {kind} is too short ({len} bytes)")]
    Truncated {
        /// The message type.
        kind: u8,
        /// Its length in bytes.
        len: usize,
    },
    /// A command body is not valid AMF.
    #[error("command with malformed AMF: {0}")]
    Amf(#[from] AmfError),
    /// A command other than `connect` came first, or `connect` came twice.
    #[error("command out of place before or after connect")]
    OutOfOrder,

    // The peer exceeded a limit.
    /// A message is longer than its kind may be.
    #[error("message of type {kind} is {len} bytes long, more than {limit}")]
    MessageTooLarge {
        /// The message type.
        kind: u8,
        /// The length announced, in bytes.
        len: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// Too many chunk streams.
    #[error("more than {limit} chunk streams")]
    TooManyChunkStreams {
        /// The limit.
        limit: usize,
    },
    /// Unfinished messages on all chunk streams together are too large.
    #[error("unfinished messages hold more than {limit} bytes")]
    TooMuchPartial {
        /// The limit, in bytes.
        limit: usize,
    },
    /// More input was given than the read buffer holds without being polled.
    #[error("read buffer full ({limit} bytes)")]
    InputOverflow {
        /// The limit, in bytes.
        limit: usize,
    },

    // The peer went silent or does not read.
    /// No handshake within its time.
    #[error("no handshake in time")]
    HandshakeTimeout,
    /// No `connect` command, or no answer to it, within its time.
    #[error("no connect in time")]
    ConnectTimeout,
    /// Neither data nor an answer to a ping within the ping timeout.
    #[error("the peer is silent")]
    PeerSilent,
    /// The command queue is full: the peer does not read.
    #[error("the peer does not read: {limit} commands are waiting")]
    CommandQueueFull {
        /// The limit.
        limit: usize,
    },
}

impl Error {
    /// The reason under which a session that ends so is recorded.
    pub const fn end_reason(self) -> EndReason {
        match self {
            Error::Encrypted { .. }
            | Error::NotRtmp { .. }
            | Error::HandshakeDigest
            | Error::HeaderMissing { .. }
            | Error::MessageInterrupted { .. }
            | Error::ChunkSize { .. }
            | Error::Truncated { .. }
            | Error::Amf(_)
            | Error::OutOfOrder => EndReason::Malformed,
            Error::MessageTooLarge { .. }
            | Error::TooManyChunkStreams { .. }
            | Error::TooMuchPartial { .. }
            | Error::InputOverflow { .. } => EndReason::TooLarge,
            Error::HandshakeTimeout
            | Error::ConnectTimeout
            | Error::PeerSilent
            | Error::CommandQueueFull { .. } => EndReason::TimedOut,
        }
    }
}
