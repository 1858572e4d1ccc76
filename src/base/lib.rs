//! What every crate of flashgate shares: identifiers, time, seeded randomness, redaction and end reasons.
//!
//! A closed list, not a drawer: 600 lines at most. Nothing here touches a socket or a clock.

mod id;
mod reason;
mod redacted;
mod rng;
mod time;

pub use id::{CallId, ConnId, IdMap, LegId, SessionId, ShardId};
pub use reason::{EndReason, Fault};
pub use redacted::Redacted;
pub use rng::Rng;
pub use time::{Time, earliest};
