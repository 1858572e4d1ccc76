//! The good peers on the disk: a line each, `ADDRESS/p2p/PEER`, the last seen first.

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

/// Peers kept.
const MOST: usize = 100;
/// So few are written down as they come.
const FEW: usize = 20;
/// Addresses kept of each.
const ADDRESSES: usize = 3;
/// The largest file that is read, bytes.
const FILE: u64 = 256 * 1024;

/// See the module's description.
#[derive(Debug, Default)]
pub(crate) struct GoodPeers {
    file: Option<PathBuf>,
    peers: VecDeque<(PeerId, Vec<Multiaddr>)>,
    changed: bool,
}

impl GoodPeers {
    /// Those of a file; none when there is none.
    pub(crate) fn load(file: Option<PathBuf>) -> GoodPeers {
        let mut peers = GoodPeers::default();
        let readable = |f: &PathBuf| fs::metadata(f).is_ok_and(|m| m.len() <= FILE);
        let text = file
            .as_ref()
            .filter(|f| readable(f))
            .and_then(|f| fs::read_to_string(f).ok());
        for line in text.iter().flat_map(|t| t.lines()).take(MOST * ADDRESSES) {
            let Ok(mut address) = line.parse::<Multiaddr>() else {
                continue;
            };
            if let Some(Protocol::P2p(peer)) = address.pop() {
                match peers.peers.iter_mut().find(|(p, _)| *p == peer) {
                    Some((_, addresses)) => addresses.push(address),
                    None => peers.peers.push_back((peer, vec![address])),
                }
            }
        }
        peers.peers.truncate(MOST);
        peers.file = file;
        peers
    }

    /// A peer that answers.
    pub(crate) fn seen(&mut self, peer: PeerId, mut addresses: Vec<Multiaddr>) {
        addresses.truncate(ADDRESSES);
        if addresses.is_empty()
            || self
                .peers
                .front()
                .is_some_and(|(p, a)| *p == peer && *a == addresses)
        {
            return;
        }
        self.peers.retain(|(p, _)| *p != peer);
        self.peers.push_front((peer, addresses));
        self.peers.truncate(MOST);
        self.changed = true;
    }

    /// All of them, with the id at the end of each address.
    pub(crate) fn addresses(&self) -> Vec<(PeerId, Multiaddr)> {
        let one = |(peer, addresses): &(PeerId, Vec<Multiaddr>)| {
            let (peer, addresses) = (*peer, addresses.clone());
            addresses.into_iter().map(move |a| (peer, a))
        };
        self.peers.iter().flat_map(one).collect()
    }

    /// Writes them down at once while there are few: each counts, and a gateway that is killed soon after its start is to
    /// come back without its bootstrap peer too.
    pub(crate) fn save_while_few(&mut self) {
        if self.peers.len() <= FEW {
            self.save();
        }
    }

    /// Writes them down, when there is something new.
    pub(crate) fn save(&mut self) {
        let Some(file) = self.file.as_ref().filter(|_| self.changed) else {
            return;
        };
        let line = |(peer, address): (PeerId, Multiaddr)| format!("{}\n", address.with(Protocol::P2p(peer)));
        let text: String = self.addresses().into_iter().map(line).collect();
        let next = file.with_extension("new");
        match fs::write(&next, text).and_then(|()| fs::rename(&next, file)) {
            Ok(()) => self.changed = false,
            Err(error) => tracing::warn!(%error, "the addresses of good peers are not kept"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_hundred_outlast_a_restart() {
        let file = std::env::temp_dir().join(format!("flashgate-peers-{}", std::process::id()));
        let _none = fs::remove_file(&file);
        let mut good = GoodPeers::load(Some(file.clone()));
        let peers: Vec<PeerId> = (0..120).map(|_| PeerId::random()).collect();
        for (n, peer) in peers.iter().enumerate() {
            let address = format!("/ip4/192.0.2.1/tcp/{}", 1_000 + n).parse().unwrap();
            good.seen(*peer, vec![address]);
        }
        good.save();
        let again = GoodPeers::load(Some(file.clone()));
        assert_eq!(again.peers, good.peers);
        assert_eq!((again.peers.len(), again.peers[0].0), (100, peers[119]));
        fs::write(&file, "nonsense\n\n/ip4/1.2.3.4/tcp/5\n").unwrap();
        assert!(GoodPeers::load(Some(file.clone())).peers.is_empty());
        fs::remove_file(&file).unwrap();
    }
}
