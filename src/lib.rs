//! flashgate: the daemon.

pub mod config;
