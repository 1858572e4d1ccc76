//! Client dialects: what the streams and commands of a client mean.
//!
//! A dialect is chosen once, from the `connect` command. To add one: a file here, and a row in [`choose`].

mod stream;

pub use stream::{Named, StreamDialect, announced};

use rtmp::server::Connect;

/// Why a client is turned away at `connect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The status code, such as `NetConnection.Connect.InvalidApp`.
    pub code: &'static str,
    /// What the client may tell its user.
    pub description: &'static str,
}

/// Finds the dialect for a client.
///
/// # Errors
/// What to reject the client with when there is none.
pub fn choose(connect: &Connect) -> Result<StreamDialect, Rejected> {
    StreamDialect::matches(connect).ok_or(Rejected {
        code: "NetConnection.Connect.InvalidApp",
        description: "No such application; use rtmp://HOST/call/TARGET or rtmp://HOST/live/NAME",
    })
}
