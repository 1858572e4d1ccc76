//! What an operator sees and does: the control socket, the console and its API, metrics.
//!
//! It holds the handles of the exchange and the shards and asks them by message, each with a time limit; it shares
//! no state with them. Every command is one row of [`table`]; the control socket, the HTTP API, its description and
//! the command line all come from that row.

mod access;
mod commands;
mod control;
mod directories;
mod http;
mod hub;
mod ladder;
mod log;
mod metrics;
mod openapi;
mod process;
mod rooms;
pub(crate) mod table;

use std::net::IpAddr;
use std::time::Duration;

use base::{CallId, Time};
use tokio::sync::{mpsc, oneshot};

use crate::config::LogLevel;
use crate::daemon::Listening;
use crate::directory;
use crate::exchange::driver::Request;
use crate::exchange::{Ask, RoomOrder, Said, Snapshot};
use crate::net::Clock;
use crate::records::RecordsGauge;
use crate::shard::{Figures, Look, Message, ShardHandle};

pub(crate) use control::{ControlSocket, request};
pub(crate) use http::{Console, serve as serve_console};
pub(crate) use hub::{HubHandle, hub, run as run_hub};
pub(crate) use log::{LogControl, Tail};

/// How long an owner may take to answer; one that takes longer is stuck.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// As in HTTP: 400 the request is wrong, 404 there is no such thing, 409 it does not fit now, 503 the gateway
    /// does not answer.
    pub(crate) status: u16,
    /// What is wrong and what to do.
    pub(crate) message: String,
}

impl Failure {
    fn new(status: u16, message: impl Into<String>) -> Failure {
        Failure {
            status,
            message: message.into(),
        }
    }
}

/// What an operator asks of the daemon as a whole.
#[derive(Debug)]
pub(crate) enum Order {
    /// Take in nothing new and end when the last call has; answered when the exchange has been told.
    Drain(oneshot::Sender<()>),
    /// Read the configuration anew; answered by what came of it.
    Reload(oneshot::Sender<Result<Reloaded, String>>),
}

/// What came of a reload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reloaded {
    /// In a sentence.
    pub(crate) message: String,
    /// The keys that took effect.
    pub(crate) applied: Vec<String>,
    /// The keys that need a restart.
    pub(crate) restart: Vec<String>,
}

/// What is fixed while the gateway runs.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// `[node] name`.
    pub(crate) name: String,
    /// Where it listens.
    pub(crate) listening: Listening,
    /// When it started.
    pub(crate) started: Time,
    /// `[conference] prompts`: the folder whose files may be played to a room.
    pub(crate) sounds: Option<std::path::PathBuf>,
}

/// The handles by which everything is asked and done. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    pub(crate) clock: Clock,
    pub(crate) facts: std::sync::Arc<Facts>,
    pub(crate) exchange: mpsc::Sender<Request>,
    pub(crate) shards: Vec<ShardHandle>,
    pub(crate) orders: mpsc::Sender<Order>,
    pub(crate) log: LogControl,
    pub(crate) hub: HubHandle,
    pub(crate) records: RecordsGauge,
    pub(crate) directory: Option<directory::Handle>,
}

impl Admin {
    /// What the exchange shows.
    pub(crate) async fn snapshot(&self, ask: Ask) -> Result<Box<Snapshot>, Failure> {
        self.ask(|answer| Request::Look(ask, answer)).await
    }

    /// Ends a call.
    async fn hang_up(&self, call: CallId) -> Result<bool, Failure> {
        self.ask(|answer| Request::HangUp(call, answer)).await
    }

    /// What was said in a call; `None` when nothing is known of it.
    async fn ladder(&self, call: CallId) -> Result<Option<Vec<Said>>, Failure> {
        self.ask(|answer| Request::Ladder(call, answer)).await
    }

    /// Does something with a room.
    async fn room(&self, room: &str, order: RoomOrder) -> Result<(), Failure> {
        self.ask(|answer| Request::Room(room.to_owned(), order, answer))
            .await?
            .map_err(|outcome| rooms::failure(room, &outcome))
    }

    /// Lifts the ban of a source; false when there is none.
    async fn unban(&self, source: IpAddr) -> Result<bool, Failure> {
        self.ask(|answer| Request::Unban(source, answer)).await
    }

    /// The directory.
    fn directory(&self) -> Result<&directory::Handle, Failure> {
        let none = || Failure::new(409, "there is no directory: [directory] backend is \"off\"");
        self.directory.as_ref().ok_or_else(none)
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Failure> {
        let stuck = || {
            Failure::new(
                503,
                "the exchange does not answer: it is overloaded, or the gateway ends",
            )
        };
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.exchange.send(request(answer)).await.ok()?;
            answered.await.ok()
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) | Err(_) => Err(stuck()),
        }
    }

    /// The figures of every shard; `None` for one that does not answer.
    pub(crate) async fn figures(&self, look: Look) -> Vec<Option<Figures>> {
        // All are asked before the first answer is waited for: the time limit is one for all.
        let mut waiting = Vec::with_capacity(self.shards.len());
        for shard in &self.shards {
            let (answer, answered) = oneshot::channel();
            let asked = shard
                .messages
                .try_send(Message::Look(look.clone(), answer))
                .is_ok();
            waiting.push(asked.then_some(answered));
        }
        let limit = self.clock.instant(self.clock.now() + PATIENCE);
        let mut figures = Vec::with_capacity(waiting.len());
        for answered in waiting {
            figures.push(match answered {
                Some(answered) => tokio::time::timeout_at(limit, answered)
                    .await
                    .ok()
                    .and_then(Result::ok),
                None => None,
            });
        }
        figures
    }

    /// Whether the exchange and every shard answer.
    pub(crate) async fn is_alive(&self) -> bool {
        let (exchange, shards) = tokio::join!(self.snapshot(Ask::default()), self.figures(Look::Sums));
        exchange.is_ok() && shards.iter().all(Option::is_some)
    }

    /// Whether new calls are taken.
    async fn is_ready(&self) -> bool {
        let (exchange, shards) = tokio::join!(self.snapshot(Ask::default()), self.figures(Look::Sums));
        exchange.is_ok_and(|e| !e.draining) && shards.iter().all(Option::is_some)
    }

    /// The wall clock at a time of ours, since 1970-01-01 UTC.
    pub(crate) fn wall(&self, at: Time) -> Duration {
        Clock::wall().saturating_sub(self.clock.now().since(at))
    }

    fn set_log_level(&self, level: LogLevel) -> Result<(), Failure> {
        self.log.set(level).map_err(|e| Failure::new(503, e))
    }
}
