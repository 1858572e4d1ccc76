//! Bounds on what a peer can make one connection hold.

/// Bounds of one connection. Every one is enforced before memory is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Chunk streams the peer may use at once; 64.
    pub chunk_streams: usize,
    /// Longest video or aggregate message in bytes; 1 MiB.
    pub video_message: usize,
    /// Longest message of any other kind in bytes; 128 KiB.
    pub message: usize,
    /// Unfinished messages on all chunk streams together, in bytes; 2 MiB.
    pub partial: usize,
    /// Bytes taken by `handle_input` and not yet consumed by `poll_event`; 256 KiB.
    pub input: usize,
    /// Message streams (NetStreams) one connection may hold; 16.
    pub streams: usize,
    /// Values in one AMF message, counting nested ones; 4096.
    pub amf_values: usize,
    /// Commands, replies and control messages waiting to be sent; 256. Full: the connection ends.
    pub commands: usize,
    /// Audio messages waiting to be sent; 32. Full: the oldest goes.
    pub audio: usize,
    /// Bytes of video waiting to be sent; 2 MiB. Full: all goes, up to the next key frame.
    pub video: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            chunk_streams: 64,
            video_message: 1 << 20,
            message: 128 << 10,
            partial: 2 << 20,
            input: 256 << 10,
            streams: 16,
            amf_values: 4096,
            commands: 256,
            audio: 32,
            video: 2 << 20,
        }
    }
}
