//! RTMP as pure machines: bytes and time in, bytes and events out; no socket, clock or task.
//!
//! [`server::Connection`] and [`client::Connection`] are the two halves of a connection. Below them, each on
//! its own: AMF values and their encodings, the handshake, chunk streams, messages, FLV tags and URLs.
//!
//! Sources: Adobe RTMP 1.0 (21 December 2012; a bare § in this crate refers to it), read with "RTMP Errata and
//! Addenda" (M. Thornburgh, July 2024); AMF0 (2007), AMF3 (January 2013), Flash Video File Format 10.1 Annex E,
//! Enhanced RTMP v2.

pub mod amf;
pub mod amf0;
pub mod amf3;
pub mod chunk;
pub mod client;
pub mod flow;
pub mod flv;
pub mod handshake;
pub mod message;
pub mod netconn;
pub mod rtmpt;
pub mod server;
pub mod stream;
pub mod url;

mod carrier;
mod error;
mod limits;
mod outbox;
mod stats;

pub use error::Error;
pub use limits::Limits;
pub use stats::Stats;
