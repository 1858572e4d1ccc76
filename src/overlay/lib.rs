//! The usage of the overlay: who a node is, who may publish which name, and what a record says.
//!
//! Pure: bytes and the wall clock (milliseconds since 1970-01-01 UTC) in, records and verdicts out. Storage and
//! lookup belong to an engine (`src/directory`); every engine stores and hands out the same bytes, and every
//! peer checks them with [`Trust`] before it stores them and again when it reads them. Words and concepts follow
//! RELOAD (RFC 6940), its SIP usage (RFC 7904) and its service discovery (RFC 7374); the wire format is ours.

mod base58;
mod cbor;
mod certificate;
mod content;
mod hex;
mod identity;
mod name;
mod record;
mod trust;

pub use cbor::{DecodeError, Value};
pub use certificate::{Certificate, CertificateError, Grant, Role};
pub use content::{Binding, Content, Descriptor, Node, Presence};
pub use hex::{from_hex, to_hex};
pub use identity::{NodeKey, PeerId};
pub use name::{Aor, Key, Kind};
pub use record::{Item, MAX_ITEMS, MAX_RECORD, Record, RecordError};
pub use trust::{Checked, Names, Policy, Refusal, Stored, Trust, revocation_record};

/// The wall clock: milliseconds since 1970-01-01 UTC.
pub type Wall = u64;

/// How long a record stays valid unless its writer says otherwise, ms.
pub const LIFE: Wall = 600_000;
/// How far clocks may differ, ms: what expired that long ago still counts, what was written that far in the
/// future is still taken.
pub const SLACK: Wall = 30_000;
/// The longest life of a record, ms.
pub const MAX_LIFE: Wall = 3_600_000;

#[cfg(test)]
mod tests;
