//! Handing client connections to the shards.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::SessionId;

use super::driver::{Accepted, Carrier, Message, ShardHandle};
use crate::net::Permit;

/// Deals clients to the shards in turn: sessions are alike, and one that finds its shard full is refused.
/// Clones deal from the same pack.
#[derive(Clone, Debug)]
pub(crate) struct Dealer {
    shards: Arc<[ShardHandle]>,
    next: Arc<AtomicU64>,
}

impl Dealer {
    /// A dealer to these shards.
    pub(crate) fn new(shards: &[ShardHandle]) -> Dealer {
        Dealer {
            shards: shards.into(),
            next: Arc::new(AtomicU64::new(1)),
        }
    }

    /// A number for a new client.
    pub(crate) fn session(&self) -> SessionId {
        SessionId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The shard of a client.
    pub(crate) fn shard(&self, session: SessionId) -> Option<&ShardHandle> {
        let count = u64::try_from(self.shards.len()).unwrap_or(1).max(1);
        self.shards.get(usize::try_from(session.0 % count).unwrap_or(0))
    }

    /// Hands a client over; false when its shard takes no more.
    pub(crate) fn deal(
        &self,
        session: SessionId,
        carrier: Carrier,
        peer: SocketAddr,
        permit: Permit,
    ) -> bool {
        let accepted = Accepted {
            session,
            carrier,
            peer,
            permit,
        };
        let dealt = self
            .shard(session)
            .is_some_and(|shard| shard.messages.try_send(Message::Accepted(accepted)).is_ok());
        if !dealt {
            tracing::warn!(%session, "a client was refused: its shard takes no more");
        }
        dealt
    }
}
