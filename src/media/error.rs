/// What can be wrong with media from a peer, or with what we were asked to build. Sorted by blame.
#[derive(thiserror::Error, Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    // Peer malformed.
    /// Not an RTP packet (RFC 3550 §5.1): version, length, padding or extension is wrong.
    #[error("not RTP: {0}")]
    NotRtp(&'static str),
    /// Not an RTCP compound packet (RFC 3550 §6.1, RFC 5506).
    #[error("not RTCP: {0}")]
    NotRtcp(&'static str),
    /// A telephone-event payload shorter than four bytes (RFC 4733 §2.3).
    #[error("telephone-event of {0} bytes")]
    ShortEvent(usize),
    /// An INFO body that names no digit.
    #[error("no digit in the message body")]
    NoDigit,

    // Peer misbehaved.
    /// A payload longer than any audio frame we take, in bytes.
    #[error("payload of {0} bytes is too long")]
    PayloadTooLong(usize),
    /// A payload its codec cannot read.
    #[error("the codec cannot read the payload")]
    BadPayload,

    // Limit reached.
    /// The digit queue is full.
    #[error("{0} digits already wait")]
    DigitsFull(usize),

    // Ours.
    /// The character is no DTMF digit.
    #[error("{0:?} is no DTMF digit")]
    NotADigit(char),
    /// The buffer given for output is shorter than needed, in bytes.
    #[error("the output buffer needs {0} bytes")]
    OutputTooSmall(usize),
    /// The cryptographic library refused a key.
    #[error("the cryptographic library refused a key")]
    Crypto,
    /// No codec of ours leads from the one format to the other.
    #[error("no way between these codecs")]
    NoPipe,
}
