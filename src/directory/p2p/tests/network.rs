//! Real peers on loopback: what is put is found, what is forged is not, and who dies is missed by nobody.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use std::time::Duration;

use common::{authority, binding, certificate, config, contacts, key, name_key, peer, place, record, wall};
use overlay::{Content, Names, Policy, Refusal, Trust};
use p2p::Handle;

/// Waits until every peer knows so many others.
async fn settled(peers: &[Handle], others: usize) {
    for _ in 0..100 {
        let mut least = usize::MAX;
        for peer in peers {
            least = least.min(peer.look().await.peers.len());
        }
        if least >= others {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the peers do not find each other");
}

async fn network(numbers: std::ops::Range<u16>) -> (Vec<Handle>, String) {
    let first = peer(numbers.start, &[]).await;
    let bootstrap = place(&first).await;
    let mut peers = vec![first];
    for n in numbers.skip(1) {
        peers.push(peer(n, std::slice::from_ref(&bootstrap)).await);
    }
    let others = peers.len() - 1;
    settled(&peers, others).await;
    (peers, bootstrap)
}

#[tokio::test]
async fn what_one_puts_all_find_and_two_who_write_one_name_are_both_found() {
    let (peers, _) = network(1..7).await;
    let (alice, bob) = (record(1, "alice@example.com"), record(2, "bob@example.com"));
    assert!(peers[0].put(alice.key(), alice.encode()).await.unwrap() >= 1);
    assert!(peers[1].put(bob.key(), bob.encode()).await.unwrap() >= 1);
    for reader in &peers {
        assert_eq!(contacts(reader, "alice@example.com").await, ["sip:x@192.0.2.1"]);
        assert_eq!(contacts(reader, "bob@example.com").await, ["sip:x@192.0.2.2"]);
    }
    let second = record(3, "alice@example.com");
    peers[2].put(second.key(), second.encode()).await.unwrap();
    for reader in &peers {
        assert_eq!(contacts(reader, "alice@example.com").await.len(), 2);
    }
    assert!(contacts(&peers[4], "nobody@example.com").await.is_empty());
    let got = peers[4].get(name_key("alice@example.com")).await.unwrap();
    assert!(got.hops.iter().filter(|h| h.had_record).count() >= 3, "{got:?}");
}

#[tokio::test]
async fn a_name_of_somebody_else_is_refused_by_those_who_store_and_by_those_who_read() {
    let (peers, bootstrap) = network(11..15).await;
    // A peer that believes in itself.
    let mut hostile = config(66, vec![bootstrap]);
    hostile.trust = Trust::new(Policy {
        authorities: vec![authority().peer(), key(66).peer()],
        open: true,
        names: Names::Both,
    });
    let hostile = p2p::start(hostile).await.unwrap();
    settled(std::slice::from_ref(&hostile), 4).await;
    let now = wall();
    let mut grant = certificate(66, "*@example.com").grant().clone();
    grant.serial = 1;
    let own = overlay::Certificate::issue(&key(66), grant).unwrap();
    let forged =
        binding("alice@example.com", "sip:thief@192.0.2.66").record(&key(66), Some(&own), now, now + 600_000);
    hostile.put(forged.key(), forged.encode()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    for peer in &peers {
        let look = peer.look().await;
        assert_eq!(look.stored, 0);
        assert_eq!(look.refused, [(Refusal::NotEnrolled, 1)]);
        // The thief itself still says so; no reader believes it.
        assert!(contacts(peer, "alice@example.com").await.is_empty());
    }
    let honest = record(12, "alice@example.com");
    peers[1].put(honest.key(), honest.encode()).await.unwrap();
    assert_eq!(
        contacts(&peers[3], "alice@example.com").await,
        ["sip:x@192.0.2.12"]
    );
}

#[tokio::test]
async fn a_peer_that_keeps_forging_is_cut_off() {
    let (peers, bootstrap) = network(21..23).await;
    let mut hostile = config(67, vec![bootstrap]);
    hostile.trust = Trust::new(Policy {
        authorities: vec![key(67).peer()],
        open: true,
        names: Names::Both,
    });
    let hostile = p2p::start(hostile).await.unwrap();
    settled(std::slice::from_ref(&hostile), 2).await;
    for n in 0..10 {
        let now = wall();
        let own =
            overlay::Certificate::issue(&key(67), certificate(67, "*@example.com").grant().clone()).unwrap();
        let forged = binding(&format!("u{n}@example.com"), "sip:x@192.0.2.66").record(
            &key(67),
            Some(&own),
            now,
            now + 600_000,
        );
        let _cut_off = hostile.put(forged.key(), forged.encode()).await;
    }
    for peer in &peers {
        assert_eq!(peer.look().await.banned, 1);
    }
}

#[tokio::test]
async fn the_bootstrap_peer_is_needed_once() {
    let (mut peers, bootstrap) = network(31..36).await;
    let alice = record(33, "alice@example.com");
    peers[2].put(alice.key(), alice.encode()).await.unwrap();
    peers.remove(0).close().await;
    for reader in &peers {
        assert_eq!(contacts(reader, "alice@example.com").await, ["sip:x@192.0.2.33"]);
    }
    // One comes back from its list of good peers, at another address, with the same dead bootstrap peer.
    let file = std::env::temp_dir().join(format!("flashgate-good-{}", std::process::id()));
    let _none = std::fs::remove_file(&file);
    let with_file = |bootstrap: &str| {
        let mut config = config(40, vec![bootstrap.to_owned()]);
        config.peers_file = Some(file.clone());
        config
    };
    let living = place(&peers[1]).await;
    let first = p2p::start(with_file(&living)).await.unwrap();
    settled(std::slice::from_ref(&first), 3).await;
    first.close().await;
    let again = p2p::start(with_file(&bootstrap)).await.unwrap();
    settled(std::slice::from_ref(&again), 3).await;
    assert_eq!(contacts(&again, "alice@example.com").await, ["sip:x@192.0.2.33"]);
    std::fs::remove_file(&file).unwrap();
}
