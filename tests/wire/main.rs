//! Transcripts of client dialects: what is said and what is answered, side by side, and the same through a whole
//! shard.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod shard;
mod transcript;
