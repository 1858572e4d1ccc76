//! flashgate: the daemon.

pub mod config;
pub mod net;
