//! The signals by which a gateway is told to reload and to end.

use std::io;

use tokio::signal::unix::{self, SignalKind};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The first: take no new calls, end when those in progress have ended.
    Drain,
    /// Any further one: end now.
    End,
    /// Read the configuration anew.
    Reload,
}

/// SIGTERM and SIGINT (Ctrl-C), which mean the same, and SIGHUP.
#[derive(Debug)]
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hang_up: unix::Signal,
    drained: bool,
}

impl Signals {
    /// Takes over these signals. Needs a runtime.
    ///
    /// # Errors
    /// What the system says.
    pub fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            hang_up: unix::signal(SignalKind::hangup())?,
            drained: false,
        })
    }

    /// The next signal. Cancel-safe.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hang_up.recv() => return Asked::Reload,
        }
        if std::mem::replace(&mut self.drained, true) {
            Asked::End
        } else {
            Asked::Drain
        }
    }
}
