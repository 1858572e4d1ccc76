//! Identifiers that cross the borders between owners.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

/// A map by identifiers of ours: they are counted, nobody chooses them, so hashing need not resist anybody.
pub type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

/// Spreads counted numbers over the bits that hash tables look at.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, n: u64) {
        // The odd number nearest to 2^64 over the golden ratio.
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

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
/// One party of a call, or one stream of a client; names both its signalling half and its media half.
///
/// The upper 16 bits say who made it: a shard, or the exchange (all ones). The lower ones count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LegId(pub u64);

impl LegId {
    const MAKER: u32 = 48;

    /// The `n`th leg that the exchange makes.
    pub const fn of_exchange(n: u64) -> LegId {
        LegId(0xFFFF << LegId::MAKER | n)
    }

    /// The `n`th leg that a shard makes.
    pub const fn of_shard(shard: ShardId, n: u64) -> LegId {
        LegId((shard.0 as u64) << LegId::MAKER | n)
    }
}

impl fmt::Display for LegId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0 & ((1 << LegId::MAKER) - 1);
        match self.0 >> LegId::MAKER {
            0xFFFF => write!(f, "l{n}"),
            shard => write!(f, "l{shard}.{n}"),
        }
    }
}

impl fmt::Debug for LegId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
id!(
    /// One connection of a stream transport (TCP, TLS, WebSocket).
    ConnId,
    "t"
);

/// Which shard owns a session or a media leg: 0 to the number of workers less one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShardId(pub u16);
