//! Termination signals.

use std::io;

use tokio::signal::unix::{self, SignalKind};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The first: take no new calls, end when those in progress have ended.
    Drain,
    /// Any further one: end now.
    End,
}

/// SIGTERM and SIGINT (Ctrl-C), which mean the same.
#[derive(Debug)]
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    drained: bool,
}

impl Signals {
    /// Takes over both signals. Needs a runtime.
    ///
    /// # Errors
    /// What the system says.
    pub fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            drained: false,
        })
    }

    /// The next signal. Cancel-safe.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        if std::mem::replace(&mut self.drained, true) {
            Asked::End
        } else {
            Asked::Drain
        }
    }
}
