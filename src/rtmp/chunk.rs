//! The chunk stream (RTMP 1.0 §5.3): messages cut into chunks and put together again.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::{Payload, Reader, Step};
pub use write::Writer;

/// What a message header says, whichever of its four forms carried it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Header {
    /// Message type.
    pub kind: u8,
    /// Message stream.
    pub stream: u32,
    /// Time in ms modulo 2^32.
    pub timestamp: u32,
    /// Length of the payload in bytes.
    pub len: usize,
}

/// Chunk size until a Set Chunk Size (§5.4.1), in bytes.
pub const DEFAULT_CHUNK_SIZE: u32 = 128;

/// A 24-bit time or delta of this value means that 32 bits follow (§5.3.1.3).
const EXTENDED: u32 = 0xFF_FFFF;
