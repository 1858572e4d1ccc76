//! The directory: where users of other gateways are found, and others find ours.
//!
//! One task, the keeper, holds the node's key, judges every record by the rules of the overlay, publishes what
//! the exchange tells it and keeps it fresh, and answers lookups. Behind it stands an engine that only stores
//! bytes: `local` on disk, or another that shares them with other gateways. Every request has a deadline, and a
//! bounded number is under way; an answer goes to who asked.

mod engine;
mod keeper;
mod keys;
mod local;
mod start;

use std::collections::BTreeMap;
use std::time::Duration;

use overlay::{Binding, PeerId, Refusal, Wall};
use tokio::sync::{mpsc, oneshot};

pub(crate) use engine::{Hop, PeerView};
pub(crate) use keys::{read_certificate, read_key, write_secret};
pub(crate) use start::{key_file, open};

/// Orders that wait for the keeper.
const ORDERS: usize = 1_024;

/// Why a lookup has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LookupError {
    /// Not a name that a directory knows.
    #[error("{0}: not an address of record, user@domain")]
    Name(String),
    /// More lookups are under way than allowed.
    #[error("the directory is busy; try again")]
    Busy,
    /// No answer within the time limit.
    #[error("no answer from the directory in time")]
    Late,
    /// The engine cannot answer.
    #[error("the directory cannot answer: {0}")]
    Engine(String),
    /// The gateway ends.
    #[error("the gateway ends")]
    Gone,
}

/// One place where a user is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Location {
    /// The gateway that says so.
    pub(crate) peer: PeerId,
    /// What it says.
    pub(crate) binding: Binding,
    /// When it said so.
    pub(crate) sequence: Wall,
    /// Until when it holds.
    pub(crate) expires: Wall,
}

/// The answer to a lookup.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    /// Where the user is; empty when nobody says.
    pub(crate) locations: Vec<Location>,
    /// Who was asked, and what each said.
    pub(crate) trace: Vec<Hop>,
    /// How long it took.
    pub(crate) took: Duration,
    /// It was known from an earlier lookup.
    pub(crate) cached: bool,
}

/// What the directory says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct DirectoryView {
    /// `local`, `p2p` …
    pub(crate) backend: &'static str,
    /// This node.
    pub(crate) peer: String,
    /// Where it listens for other peers.
    pub(crate) listening: Vec<String>,
    /// Until when its certificate holds, when it has one.
    pub(crate) certificate_until: Option<Wall>,
    /// Other peers it knows.
    pub(crate) peers: Vec<PeerView>,
    /// Records it keeps for others and itself.
    pub(crate) stored: usize,
    /// Users it publishes.
    pub(crate) published: usize,
    /// Sums since the start.
    pub(crate) counters: Counters,
}

/// Sums since the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counters {
    /// Lookups by how they ended: `found`, `none`, `cached`, `failed`.
    pub(crate) lookups: BTreeMap<&'static str, u64>,
    /// Peers asked, over all lookups.
    pub(crate) hops: u64,
    /// Time of all lookups that were not cached, ms.
    pub(crate) lookup_ms: u64,
    /// Records put.
    pub(crate) puts: u64,
    /// Records that could not be put; they are put again.
    pub(crate) put_failures: u64,
    /// Records that were not believed, by reason.
    pub(crate) refused: BTreeMap<Refusal, u64>,
}

/// What is asked of the keeper.
#[derive(Debug)]
enum Order {
    Publish(String, bool),
    Withdraw(String),
    Missed(String),
    Lookup(String, oneshot::Sender<Result<Answer, LookupError>>),
    /// A lookup that takes nothing from the cache.
    Trace(String, oneshot::Sender<Result<Answer, LookupError>>),
    Look(oneshot::Sender<DirectoryView>),
    /// Withdraw everything and end; answered when it is done.
    Close(oneshot::Sender<()>),
}

/// How the directory is reached. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    orders: mpsc::Sender<Order>,
    own: PeerId,
}

impl Handle {
    fn new(own: PeerId) -> (Handle, mpsc::Receiver<Order>) {
        let (orders, inbox) = mpsc::channel(ORDERS);
        (Handle { orders, own }, inbox)
    }

    /// A user is reached here.
    pub(crate) fn publish(&self, aor: String, busy: bool) {
        self.order(Order::Publish(aor, busy));
    }

    /// A user is reached here no more.
    pub(crate) fn withdraw(&self, aor: String) {
        self.order(Order::Withdraw(aor));
    }

    /// A call to where a user was said to be did not reach it: the next lookup asks anew, soon.
    pub(crate) fn missed(&self, aor: String) {
        self.order(Order::Missed(aor));
    }

    fn order(&self, order: Order) {
        // What is lost here comes again: users are told of with every change, and records are refreshed.
        if self.orders.try_send(order).is_err() {
            tracing::warn!("the directory takes no orders: it is overloaded, or the gateway ends");
        }
    }

    /// Where a user is.
    ///
    /// # Errors
    /// [`LookupError`] when there is no answer; never later than the configured time limit.
    pub(crate) async fn lookup(&self, aor: &str) -> Result<Answer, LookupError> {
        self.ask(|answer| Order::Lookup(aor.to_owned(), answer)).await?
    }

    /// Where a user is, asked anew.
    ///
    /// # Errors
    /// As [`Handle::lookup`].
    pub(crate) async fn trace(&self, aor: &str) -> Result<Answer, LookupError> {
        self.ask(|answer| Order::Trace(aor.to_owned(), answer)).await?
    }

    /// Where a user is besides here; nowhere when there is no answer.
    pub(crate) async fn elsewhere(&self, aor: &str) -> Vec<Binding> {
        match self.lookup(aor).await {
            Ok(answer) => {
                let others = answer.locations.into_iter().filter(|l| l.peer != self.own);
                others.map(|l| l.binding).collect()
            }
            Err(error) => {
                tracing::info!(%error, "directory lookup failed");
                Vec::new()
            }
        }
    }

    /// What the directory says of itself.
    ///
    /// # Errors
    /// [`LookupError::Gone`] when the gateway ends.
    pub(crate) async fn look(&self) -> Result<DirectoryView, LookupError> {
        self.ask(Order::Look).await
    }

    /// Withdraws what was published and ends.
    pub(crate) async fn close(&self) {
        let _gone = self.ask(Order::Close).await;
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, LookupError> {
        let (answer, answered) = oneshot::channel();
        self.orders.try_send(order(answer)).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => LookupError::Busy,
            mpsc::error::TrySendError::Closed(_) => LookupError::Gone,
        })?;
        answered.await.map_err(|_| LookupError::Gone)
    }
}

#[cfg(test)]
mod tests;
