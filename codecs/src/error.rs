//! The crate's one error type.

/// Why a codec call failed, sorted by blame: first the peer's bytes, then the caller's arguments, then the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The payload holds no whole frame; the caller conceals.
    #[error("payload of {bytes} bytes holds no whole frame")]
    Truncated {
        /// Length of the payload, bytes.
        bytes: usize,
    },
    /// The payload is not a bit stream of this codec; the caller conceals.
    #[error("payload is no valid bit stream of its codec (at bit {bit})")]
    Malformed {
        /// Position of the first bit that makes no sense.
        bit: usize,
    },
    /// The PCM given is not exactly one frame.
    #[error("encoder takes frames of {want} samples, got {got}")]
    FrameLength {
        /// Samples the encoder takes.
        want: usize,
        /// Samples that were given.
        got: usize,
    },
    /// The output slice cannot hold one frame.
    #[error("output needs room for {want}, has {got}")]
    OutputTooSmall {
        /// Bytes or samples needed.
        want: usize,
        /// Bytes or samples there are.
        got: usize,
    },
    /// No filter exists between these rates.
    #[error("cannot convert from {from} Hz to {to} Hz")]
    Rates {
        /// Input rate, Hz.
        from: u32,
        /// Output rate, Hz.
        to: u32,
    },
    /// The codec is only decoded.
    #[error("there is no encoder of {0}")]
    NoEncoder(&'static str),
    /// The library could not set up its state (out of memory).
    #[error("{0} could not create its state")]
    Library(&'static str),
}
