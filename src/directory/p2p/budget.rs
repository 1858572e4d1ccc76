//! How much one peer may ask of us: a bucket of tokens each; who empties it, or sends what no honest peer sends,
//! is cut off for ten minutes.

use std::collections::HashMap;

use libp2p::PeerId;
use overlay::Wall;

/// Requests a peer may have saved up, and how many it gets a second. A gateway with thousands of users stores
/// each of their records with a few peers every five minutes.
const SAVED: f64 = 400.0;
const RATE: f64 = 40.0;
/// What a forged record costs.
const FORGERY: f64 = 100.0;
/// How long a peer is cut off, ms.
const BAN: Wall = 600_000;
/// Peers remembered; the one seen longest ago is forgotten.
const PEERS: usize = 2_048;

/// The budgets of all peers.
#[derive(Debug, Default)]
pub(crate) struct Budgets {
    tokens: HashMap<PeerId, (f64, Wall)>,
    banned: HashMap<PeerId, Wall>,
}

impl Budgets {
    /// Takes a request of a peer; false when it has no more.
    pub(crate) fn take(&mut self, peer: PeerId, now: Wall) -> bool {
        self.spend(peer, 1.0, now)
    }

    /// Notes a forgery; false when that was one too many.
    pub(crate) fn forged(&mut self, peer: PeerId, now: Wall) -> bool {
        self.spend(peer, FORGERY, now)
    }

    fn spend(&mut self, peer: PeerId, cost: f64, now: Wall) -> bool {
        if self.tokens.len() >= PEERS && !self.tokens.contains_key(&peer) {
            let oldest = self.tokens.iter().min_by_key(|(_, (_, at))| *at);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                self.tokens.remove(&oldest);
            }
        }
        let (tokens, at) = self.tokens.entry(peer).or_insert((SAVED, now));
        let seconds = now.saturating_sub(*at) as f64 / 1e3;
        *tokens = (*tokens + seconds * RATE).min(SAVED) - cost;
        *at = now;
        *tokens >= 0.0
    }

    /// Cuts a peer off.
    pub(crate) fn ban(&mut self, peer: PeerId, now: Wall) {
        if self.banned.len() < PEERS {
            self.banned.insert(peer, now.saturating_add(BAN));
        }
    }

    /// Those whose time is over.
    pub(crate) fn pardoned(&mut self, now: Wall) -> Vec<PeerId> {
        let over: Vec<PeerId> = self
            .banned
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(peer, _)| *peer)
            .collect();
        for peer in &over {
            self.banned.remove(peer);
            self.tokens.remove(peer);
        }
        over
    }

    /// How many are cut off.
    pub(crate) fn banned(&self) -> usize {
        self.banned.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_off_and_a_busy_peer_is_not() {
        let (flood, busy) = (PeerId::random(), PeerId::random());
        let mut budgets = Budgets::default();
        let allowed = (0..10_000).filter(|n| budgets.take(flood, n / 10)).count();
        assert!((400..450).contains(&allowed), "{allowed}");
        assert!((0..10_000).all(|n| budgets.take(busy, n * 30)));
        assert!((0..4).all(|_| budgets.forged(PeerId::random(), 0)));
        let liar = PeerId::random();
        assert_eq!((0..6).filter(|_| budgets.forged(liar, 0)).count(), 4);
    }

    #[test]
    fn a_ban_ends() {
        let peer = PeerId::random();
        let mut budgets = Budgets::default();
        budgets.ban(peer, 5);
        assert_eq!((budgets.pardoned(BAN), budgets.banned()), (Vec::new(), 1));
        assert_eq!((budgets.pardoned(BAN + 5), budgets.banned()), (vec![peer], 0));
    }

    #[test]
    fn many_strangers_are_not_remembered_for_ever() {
        let mut budgets = Budgets::default();
        (0..5_000).for_each(|n| assert!(budgets.take(PeerId::random(), n)));
        assert!(budgets.tokens.len() <= PEERS);
    }
}
