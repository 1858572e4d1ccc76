//! What an engine does: it keeps bytes under keys. A row for each.

use std::time::Duration;

use overlay::{Key, Trust, Wall};

use super::local::Local;

/// One peer that was asked for a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "p2p"),
    allow(dead_code, reason = "the local engine asks nobody")
)]
pub(crate) struct Hop {
    /// Which.
    pub(crate) peer: String,
    /// What it said: `record`, `closer peers`, `no record`, `no answer`.
    pub(crate) said: &'static str,
    /// When it said so, counted from the beginning of the lookup.
    pub(crate) after: Duration,
}

/// Another peer.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(
    not(feature = "p2p"),
    allow(dead_code, reason = "the local engine asks nobody")
)]
pub(crate) struct PeerView {
    /// Its id.
    pub(crate) peer: String,
    /// Where it is.
    pub(crate) addresses: Vec<String>,
    /// Whether there is a connection now.
    pub(crate) connected: bool,
    /// The round trip to it.
    pub(crate) rtt: Option<Duration>,
    /// How near its id is to ours: the length of the common prefix, bits.
    pub(crate) bucket: Option<u32>,
    /// The version of its program.
    pub(crate) version: String,
}

/// What was found under a key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Got {
    /// The records of all who had one.
    pub(super) answers: Vec<Vec<u8>>,
    /// Who was asked.
    pub(super) hops: Vec<Hop>,
}

/// What an engine says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct EngineView {
    pub(super) listening: Vec<String>,
    pub(super) peers: Vec<PeerView>,
    pub(super) stored: usize,
    /// Records it refused to store for others, by reason.
    pub(super) refused: Vec<(overlay::Refusal, u64)>,
}

/// The engines.
#[derive(Clone, Debug)]
pub(super) enum Engine {
    /// On this machine's disk.
    Local(Local),
    /// In a network of peers.
    #[cfg(feature = "p2p")]
    P2p(p2p::Handle),
}

impl Engine {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Engine::Local(_) => "local",
            #[cfg(feature = "p2p")]
            Engine::P2p(_) => "p2p",
        }
    }

    /// Merges a record into what is kept under its key; says how many took it. 0: only this peer has it, for
    /// there is no other yet.
    pub(super) async fn put(
        &self,
        key: Key,
        record: Vec<u8>,
        trust: Trust,
        now: Wall,
    ) -> Result<usize, String> {
        match self {
            Engine::Local(local) => local.put(key, record, trust, now).await.map(|()| 1),
            #[cfg(feature = "p2p")]
            Engine::P2p(peer) => peer.put(key, record).await.map_err(|e| e.to_string()),
        }
    }

    /// What is kept under a key.
    pub(super) async fn get(&self, key: Key) -> Result<Got, String> {
        match self {
            Engine::Local(local) => local.get(key).await,
            #[cfg(feature = "p2p")]
            Engine::P2p(peer) => peer.get(key).await.map(of_peers).map_err(|e| e.to_string()),
        }
    }

    /// Those who store hear of revoked certificates too.
    #[cfg_attr(
        not(feature = "p2p"),
        expect(unused_variables, reason = "the other engines store for others")
    )]
    pub(super) fn revoke(&self, list: &[u8]) {
        match self {
            // Its writer brings the rules along with each record.
            Engine::Local(_) => {}
            #[cfg(feature = "p2p")]
            Engine::P2p(peer) => peer.revoke(list.to_vec()),
        }
    }

    pub(super) async fn look(&self) -> EngineView {
        match self {
            Engine::Local(local) => local.look().await,
            #[cfg(feature = "p2p")]
            Engine::P2p(peer) => seen(peer.look().await),
        }
    }

    /// Puts everything away.
    pub(super) async fn close(&self) {
        match self {
            Engine::Local(local) => local.close().await,
            #[cfg(feature = "p2p")]
            Engine::P2p(peer) => peer.close().await,
        }
    }
}

#[cfg(feature = "p2p")]
fn of_peers(got: p2p::Got) -> Got {
    let hop = |h: p2p::Hop| Hop {
        peer: h.peer,
        said: if h.had_record { "record" } else { "no record" },
        after: h.after,
    };
    Got {
        answers: got.records,
        hops: got.hops.into_iter().map(hop).collect(),
    }
}

#[cfg(feature = "p2p")]
fn seen(look: p2p::Look) -> EngineView {
    let peer = |p: p2p::PeerInfo| PeerView {
        peer: p.peer,
        addresses: p.addresses,
        connected: p.connected,
        rtt: p.rtt,
        bucket: Some(p.bucket),
        version: p.agent,
    };
    EngineView {
        listening: look.listening,
        peers: look.peers.into_iter().map(peer).collect(),
        stored: look.stored,
        refused: look.refused,
    }
}
