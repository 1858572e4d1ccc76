//! flashgate: the daemon.

pub(crate) mod admin;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod dialect;
pub(crate) mod directory;
pub mod exchange;
pub mod net;
pub mod recorder;
pub(crate) mod records;
pub(crate) mod reload;
pub mod shard;
mod tunnel;
