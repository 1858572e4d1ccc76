//! Peers in one process, on loopback.

use overlay::{
    Aor, Binding, Certificate, Content, Grant, Key, Kind, Names, NodeKey, Policy, Presence, Record, Role,
    Trust, Wall,
};
use p2p::{Config, Handle};

pub(crate) fn key(n: u16) -> NodeKey {
    let mut seed = [0; 32];
    seed[..2].copy_from_slice(&n.to_be_bytes());
    NodeKey::from_seed(seed)
}

/// The key of the overlay's authority.
pub(crate) fn authority() -> NodeKey {
    key(60_000)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test on real sockets lives in real time"
)]
pub(crate) fn wall() -> Wall {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    since.as_millis() as Wall
}

pub(crate) fn rules() -> Trust {
    Trust::new(Policy {
        authorities: vec![authority().peer()],
        open: false,
        names: Names::Both,
    })
}

pub(crate) fn config(n: u16, bootstrap: Vec<String>) -> Config {
    Config {
        key: key(n),
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        public: Vec::new(),
        bootstrap,
        peers_file: None,
        trust: rules(),
        wall,
        agent: "flashgate/test".to_owned(),
        rng: base::Rng::new(u64::from(n)),
    }
}

pub(crate) async fn peer(n: u16, bootstrap: &[String]) -> Handle {
    p2p::start(config(n, bootstrap.to_vec())).await.unwrap()
}

/// Where a peer is asked for.
pub(crate) async fn place(peer: &Handle) -> String {
    let listening = peer.look().await.listening;
    listening.into_iter().find(|a| a.contains("/tcp/")).unwrap()
}

pub(crate) fn certificate(n: u16, pattern: &str) -> Certificate {
    let grant = Grant {
        patterns: vec![pattern.to_owned()],
        peer: key(n).peer(),
        roles: vec![Role::Publish, Role::Serve, Role::Store],
        not_before: 0,
        not_after: wall() + 3_600_000,
        serial: u64::from(n),
    };
    Certificate::issue(&authority(), grant).unwrap()
}

pub(crate) fn binding(aor: &str, contact: &str) -> Binding {
    Binding {
        aor: aor.parse().unwrap(),
        id: "gw".to_owned(),
        contact: contact.to_owned(),
        priority: 500,
        capabilities: vec!["pcmu".to_owned()],
        presence: Presence::Online,
    }
}

/// A record of a member that is enrolled for all of example.com.
pub(crate) fn record(n: u16, aor: &str) -> Record {
    let now = wall();
    binding(aor, &format!("sip:x@192.0.2.{}", n % 250)).record(
        &key(n),
        Some(&certificate(n, "*@example.com")),
        now,
        now + 600_000,
    )
}

pub(crate) fn name_key(aor: &str) -> Key {
    let aor: Aor = aor.parse().unwrap();
    Key::of(Kind::Aor, aor.as_str())
}

/// The contacts that a reader believes.
pub(crate) async fn contacts(reader: &Handle, aor: &str) -> Vec<String> {
    let key = name_key(aor);
    let got = reader.get(key).await.unwrap();
    let (record, _) = rules().union(&key, got.records.iter().map(Vec::as_slice), wall());
    let items = record.into_iter().flat_map(|r| r.items).filter(|i| !i.withdrawn);
    items
        .filter_map(|i| Binding::read(&i))
        .map(|b| b.contact)
        .collect()
}
