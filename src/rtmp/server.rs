//! The server half of RTMP: one [`Connection`] per client over a byte stream, or one [`Session`] over a
//! carrier that has messages already.
//!
//! ```text
//!  bytes -> handle_input -> poll_event -> Connect, Publish, Play, Audio … -> the owner
//!  bytes <- poll_transmit <- queues    <- accept_*, reply_*, send_*       <- the owner
//! ```

mod config;
mod connection;
mod event;
mod manners;
mod session;

pub use config::{FlowConfig, ServerConfig};
pub use connection::Connection;
pub use event::{Call, Connect, Event, PublishKind, StreamName};
pub use manners::{ConnectReply, Control, Describe, Manners};
pub use session::{Handled, Session, media_event};
