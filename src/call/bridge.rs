//! How the legs of a call are joined.

/// Chosen from the legs, never configured: what happens between source and sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bridge {
    /// Both ends share a codec: payloads pass untouched.
    Direct,
    /// Each direction is decoded, resampled where needed, and encoded.
    Coded,
    /// One source, any number of listeners.
    Relay,
    /// The leg hears itself.
    Echo,
}

impl Bridge {
    /// The label in metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Bridge::Direct => "direct",
            Bridge::Coded => "coded",
            Bridge::Relay => "relay",
            Bridge::Echo => "echo",
        }
    }
}
