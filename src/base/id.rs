//! Identifiers that cross the borders between owners.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id!(
    /// One client connection on a shard.
    SessionId,
    "s"
);
id!(
    /// One call: one or more legs.
    CallId,
    "c"
);
id!(
    /// One party of a call; names both its signalling half and its media half.
    LegId,
    "l"
);
id!(
    /// One connection of a stream transport (TCP, TLS, WebSocket).
    ConnId,
    "t"
);

/// Which shard owns a session or a media leg: 0 to the number of workers less one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShardId(pub u16);
