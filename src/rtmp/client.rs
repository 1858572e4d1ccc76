//! The client half of RTMP: publishes to and plays from a server.

mod config;
mod connection;
mod event;
mod session;

pub use config::{ClientConfig, ConnectRequest};
pub use connection::Connection;
pub use event::Event;
pub use session::{Session, media_event};

pub use crate::server::{Call, PublishKind};
