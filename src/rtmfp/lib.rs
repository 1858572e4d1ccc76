//! RTMFP as a pure machine: datagrams and time in, datagrams, events and work out; no socket, clock or task.
//!
//! Sources: RFC 7016 (the protocol; a bare § in this crate refers to it) and RFC 7425 (the Flash profile).

pub mod chunk;
pub mod option;
pub mod packet;
pub mod params;
pub mod profile;
pub mod tc;
pub mod vlu;

mod congestion;
mod endpoint;
mod flow;
mod session;

pub use endpoint::{Done, Endpoint, EndpointConfig, EndpointStats, Event, Handle, Output, Paths, Seek, Work};
pub use flow::send::SendStats;
pub use flow::{Deadline, Order, Priority};
pub use session::{CloseReason, SessionConfig, SessionEvent, SessionStats};
