//! One behaviour for all engines: two gateways over one directory.

use std::time::Duration;

use base::Rng;
use overlay::{Certificate, Grant, Names, NodeKey, Policy, Presence, Role, Trust};

use super::engine::Engine;
use super::keeper::{Keeper, Settings};
use super::local::Local;
use super::start::wall;
use super::{Handle, LookupError};
use crate::net::Clock;

fn key(n: u8) -> NodeKey {
    NodeKey::from_seed([n; 32])
}

fn rules() -> Trust {
    Trust::new(Policy {
        authorities: vec![key(100).peer()],
        open: false,
        names: Names::Both,
    })
}

fn settings(n: u8) -> Settings {
    Settings {
        timeout: Duration::from_secs(3),
        lookups: 16,
        keep_found: Duration::from_millis(400),
        keep_none: Duration::from_millis(200),
        life: Duration::from_secs(60),
        contact: format!("@192.0.2.{n}:5060;x-here"),
        owner: None,
        domain: "example.com".to_owned(),
        capabilities: vec!["pcmu".to_owned()],
        revocations: None,
    }
}

/// A gateway that is enrolled for all of example.com.
fn gateway(n: u8, engine: Engine) -> Handle {
    gateway_with(n, engine, settings(n))
}

fn gateway_with(n: u8, engine: Engine, settings: Settings) -> Handle {
    let grant = Grant {
        patterns: vec!["*@example.com".to_owned()],
        peer: key(n).peer(),
        roles: vec![Role::Publish],
        not_before: 0,
        not_after: wall() + 3_600_000,
        serial: u64::from(n),
    };
    let certificate = Certificate::issue(&key(100), grant).unwrap();
    let (handle, inbox) = Handle::new(key(n).peer());
    let keeper = Keeper::new(
        key(n),
        Some(certificate),
        rules(),
        engine,
        settings,
        Clock::new(),
        Rng::new(u64::from(n)),
    );
    tokio::spawn(keeper.run(inbox));
    handle
}

/// Asks until the answer is as wanted: what was published takes its time, and answers are remembered.
async fn until(reader: &Handle, aor: &str, wanted: &[(&str, Presence)]) {
    let mut last = Vec::new();
    for _ in 0..100 {
        let answer = reader.lookup(aor).await.unwrap();
        last = answer
            .locations
            .into_iter()
            .map(|l| (l.binding.contact, l.binding.presence))
            .collect();
        last.sort_by(|a, b| a.0.cmp(&b.0));
        let seen: Vec<(&str, Presence)> = last.iter().map(|(c, p)| (c.as_str(), *p)).collect();
        if seen == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{aor}: {last:?}, not {wanted:?}");
}

/// What every engine shows.
async fn behaves(one: Handle, other: Handle) {
    use Presence::{Busy, Online};
    const ALICE: &str = "alice@example.com";
    let (at_one, at_other) = (
        "sip:alice@192.0.2.1:5060;x-here",
        "sip:alice@192.0.2.2:5060;x-here",
    );
    until(&other, ALICE, &[]).await;
    one.publish(ALICE.to_owned(), false);
    until(&other, "sip:alice@EXAMPLE.com", &[(at_one, Online)]).await;
    assert!(other.lookup(ALICE).await.unwrap().cached);
    assert!(!other.trace(ALICE).await.unwrap().cached);
    // Ours is ours: a call goes to the others.
    assert!(one.elsewhere(ALICE).await.is_empty());
    assert_eq!(other.elsewhere(ALICE).await.len(), 1);

    one.publish(ALICE.to_owned(), true);
    other.publish(ALICE.to_owned(), false);
    until(&other, ALICE, &[(at_one, Busy), (at_other, Online)]).await;
    until(&one, ALICE, &[(at_one, Busy), (at_other, Online)]).await;
    one.withdraw(ALICE.to_owned());
    until(&other, ALICE, &[(at_other, Online)]).await;

    // A name of another domain is nobody's to publish here.
    one.publish("mallory@elsewhere.example".to_owned(), false);
    one.publish("bob@example.com".to_owned(), false);
    until(
        &other,
        "bob@example.com",
        &[("sip:bob@192.0.2.1:5060;x-here", Online)],
    )
    .await;
    until(&other, "mallory@elsewhere.example", &[]).await;

    let name = other.lookup("nobody").await;
    assert_eq!(name, Err(LookupError::Name("nobody".to_owned())));
    let view = one.look().await.unwrap();
    assert!(
        view.counters.puts >= 4 && view.counters.put_failures > 0,
        "{view:?}"
    );

    // Who ends takes his users with him.
    one.close().await;
    until(&other, "bob@example.com", &[]).await;
    assert_eq!(one.lookup(ALICE).await, Err(LookupError::Gone));
    until(&other, ALICE, &[(at_other, Online)]).await;
    other.close().await;
}

#[tokio::test]
async fn local_behaves() {
    // Two gateways never share this engine; that they could shows that it merges as the others do.
    let kept = Engine::Local(Local::open(None, wall()).unwrap());
    behaves(gateway(1, kept.clone()), gateway(2, kept)).await;
}

#[cfg(feature = "p2p")]
#[tokio::test]
async fn p2p_behaves() {
    let peer = |n: u8, bootstrap| p2p::Config {
        key: key(n),
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        public: Vec::new(),
        bootstrap,
        peers_file: None,
        trust: rules(),
        wall,
        agent: "flashgate/test".to_owned(),
        rng: Rng::new(u64::from(n)),
    };
    // The first is neither of the two, and stays.
    let first = p2p::start(peer(9, Vec::new())).await.unwrap();
    let place = first.look().await.listening.swap_remove(0);
    let one = p2p::start(peer(1, vec![place.clone()])).await.unwrap();
    let two = p2p::start(peer(2, vec![place])).await.unwrap();
    for _ in 0..100 {
        let (a, b) = (one.look().await.peers.len(), two.look().await.peers.len());
        if a == 2 && b == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    behaves(gateway(1, Engine::P2p(one)), gateway(2, Engine::P2p(two))).await;
    first.close().await;
}

#[tokio::test]
async fn a_revoked_gateway_is_believed_no_more() {
    let local = Local::open(None, wall()).unwrap();
    let one = gateway(1, Engine::Local(local.clone()));
    one.publish("alice@example.com".to_owned(), false);
    let reader = gateway(2, Engine::Local(local.clone()));
    let place = ("sip:alice@192.0.2.1:5060;x-here", Presence::Online);
    until(&reader, "alice@example.com", &[place]).await;
    let list = overlay::revocation_record(&key(100), &[1].into(), wall()).encode();
    let with_list = Settings {
        revocations: Some(list),
        ..settings(3)
    };
    let later = gateway_with(3, Engine::Local(local), with_list);
    until(&later, "alice@example.com", &[]).await;
    let refused = later.look().await.unwrap().counters.refused;
    assert_eq!(refused.keys().next(), Some(&overlay::Refusal::Revoked));
}

#[tokio::test]
async fn the_owner_answers_to_the_name_of_the_key() {
    let local = Local::open(None, wall()).unwrap();
    let with_owner = Settings {
        owner: Some("alice".to_owned()),
        ..settings(1)
    };
    let one = gateway_with(1, Engine::Local(local.clone()), with_owner);
    one.publish("alice@example.com".to_owned(), false);
    one.publish("bob@example.com".to_owned(), false);
    let own = format!("{}@p2p", key(1).peer());
    let reader = gateway(2, Engine::Local(local));
    until(
        &reader,
        &own,
        &[("sip:alice@192.0.2.1:5060;x-here", Presence::Online)],
    )
    .await;
    one.withdraw("alice@example.com".to_owned());
    until(&reader, &own, &[]).await;
}
