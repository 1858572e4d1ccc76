//! What the crate promises, seen from outside: an overlay of one authority, members, and enemies.

mod hostile;
mod properties;

use crate::*;

pub(crate) const NOW: Wall = 1_780_000_000_000;
const YEAR: Wall = 365 * 86_400_000;

pub(crate) fn key(n: u8) -> NodeKey {
    NodeKey::from_seed([n; 32])
}

pub(crate) fn authority() -> NodeKey {
    key(100)
}

pub(crate) fn closed() -> Trust {
    Trust::new(Policy {
        authorities: vec![authority().peer()],
        open: false,
        names: Names::Both,
    })
}

pub(crate) fn grant(peer: &NodeKey, pattern: &str, serial: u64) -> Grant {
    Grant {
        patterns: vec![pattern.to_owned()],
        peer: peer.peer(),
        roles: vec![Role::Publish, Role::Serve, Role::Store],
        not_before: NOW - YEAR,
        not_after: NOW + YEAR,
        serial,
    }
}

pub(crate) fn enrolled(peer: &NodeKey, pattern: &str, serial: u64) -> Certificate {
    Certificate::issue(&authority(), grant(peer, pattern, serial)).unwrap()
}

pub(crate) fn binding(aor: &str, id: &str) -> Binding {
    Binding {
        aor: aor.parse().unwrap(),
        id: id.to_owned(),
        contact: format!("sip:{id}@192.0.2.1:5060"),
        priority: 500,
        capabilities: vec!["speex".to_owned(), "pcmu".to_owned()],
        presence: Presence::Online,
    }
}

/// A record of one binding, by a member that is enrolled for all of example.com.
pub(crate) fn record(n: u8, aor: &str, id: &str, at: Wall) -> Record {
    let key = key(n);
    let certificate = enrolled(&key, "*@example.com", u64::from(n));
    binding(aor, id).record(&key, Some(&certificate), at, at + LIFE)
}

#[test]
fn what_a_member_publishes_is_read_by_others() {
    let record = record(1, "Alice@Example.com", "b1", NOW);
    let bytes = record.encode();
    assert!(bytes.len() < 600, "{}", bytes.len());
    let checked = closed().check(&record.key(), &bytes, NOW + 1).unwrap();
    assert!(checked.refused.is_empty());
    assert_eq!(checked.record, record);
    assert_eq!(
        Binding::read(&checked.record.items[0]),
        Some(binding("Alice@example.com", "b1"))
    );
    // Certificates on disk are their bytes.
    let certificate = &record.certificates[0];
    assert_eq!(&Certificate::parse(certificate.bytes()).unwrap(), certificate);
}

#[test]
fn services_and_nodes_are_read_as_written() {
    let key = key(1);
    let certificate = enrolled(&key, "*@example.com", 1);
    let pstn = Descriptor {
        service: "pstn".to_owned(),
        contact: "sip:192.0.2.1".to_owned(),
        prefixes: vec!["+49".to_owned(), "+43".to_owned()],
        capacity: 30,
        load: 4,
        position: Some((52.52, -13.405)),
        price: 2,
    };
    let record = pstn.record(&key, Some(&certificate), NOW, NOW + LIFE);
    assert_eq!(record.name, format!("pstn/{}", key.peer()));
    let read = closed().check(&record.key(), &record.encode(), NOW).unwrap();
    assert_eq!(Descriptor::read(&read.record.items[0]), Some(pstn));
    let node = Node {
        version: "0.1.0".to_owned(),
        addresses: vec!["/ip4/192.0.2.1/tcp/4650".to_owned()],
        roles: vec!["gateway".to_owned()],
        nat: "public".to_owned(),
        started: NOW - 5,
    };
    let record = node.record(&key, Some(&certificate), NOW, NOW + LIFE);
    let read = closed().check(&record.key(), &record.encode(), NOW).unwrap();
    assert_eq!(Node::read(&read.record.items[0]), Some(node));
}

#[test]
fn gateways_that_hold_the_same_user_do_not_write_over_each_other() {
    let mut trust = closed();
    let first = record(1, "alice@example.com", "b1", NOW);
    let second = record(2, "alice@example.com", "b1", NOW + 10);
    let key = first.key();
    let kept = match trust.store(&key, None, &first.encode(), NOW).unwrap() {
        Stored::Keep(kept, until) => {
            assert_eq!(until, NOW + LIFE);
            kept
        }
        Stored::Same => panic!("nothing was there"),
    };
    let Ok(Stored::Keep(both, until)) = trust.store(&key, Some(&kept), &second.encode(), NOW + 20) else {
        panic!("it is new");
    };
    assert_eq!(until, NOW + 10 + LIFE);
    assert_eq!(trust.store(&key, Some(&both), &both, NOW + 20), Ok(Stored::Same));
    // The first refreshes, and the second withdraws; what is merged holds both.
    let refreshed = record(1, "alice@example.com", "b1", NOW + 30);
    let Ok(Stored::Keep(both, _)) = trust.store(&key, Some(&both), &refreshed.encode(), NOW + 31) else {
        panic!("it is later");
    };
    let member = super::tests::key(2);
    let certificate = enrolled(&member, "*@example.com", 2);
    let gone =
        binding("alice@example.com", "b1").withdrawal(&member, Some(&certificate), NOW + 40, NOW + 40 + LIFE);
    let Ok(Stored::Keep(both, _)) = trust.store(&key, Some(&both), &gone.encode(), NOW + 41) else {
        panic!("it is later");
    };
    let read = trust.check(&key, &both, NOW + 41).unwrap().record;
    let states: Vec<(bool, Wall)> = read.items.iter().map(|i| (i.withdrawn, i.sequence)).collect();
    assert!(
        states.contains(&(false, NOW + 30)) && states.contains(&(true, NOW + 40)),
        "{states:?}"
    );
    // Readers who meet an old and a new replica believe the new one.
    let (union, refused) = trust.union(&key, [both.as_slice(), &second.encode()], NOW + 42);
    assert_eq!((union.unwrap(), refused), (read, Vec::new()));
}

#[test]
fn a_name_of_a_key_needs_no_authority_in_an_open_overlay() {
    let mut open = Trust::new(Policy {
        authorities: Vec::new(),
        open: true,
        names: Names::Own,
    });
    let key = key(7);
    let own = Aor::of_peer(&key.peer());
    let record = binding(own.as_str(), "b").record(&key, None, NOW, NOW + LIFE);
    assert!(open.check(&record.key(), &record.encode(), NOW).is_ok());
    assert_eq!(
        closed().check(&record.key(), &record.encode(), NOW),
        Err(Refusal::NotEnrolled)
    );
    // With a certificate of any name it may stay in the closed one too.
    let certificate = enrolled(&key, "*@example.com", 7);
    let record = binding(own.as_str(), "b").record(&key, Some(&certificate), NOW, NOW + LIFE);
    assert!(closed().check(&record.key(), &record.encode(), NOW).is_ok());
}

#[test]
fn an_authority_takes_the_place_of_another_without_a_gap() {
    let (old, new) = (authority(), key(101));
    let mut trust = Trust::new(Policy {
        authorities: vec![old.peer(), new.peer()],
        open: false,
        names: Names::Enrolled,
    });
    for (n, authority) in [(1, &old), (2, &new)] {
        let key = key(n);
        let certificate = Certificate::issue(authority, grant(&key, "*@example.com", 1)).unwrap();
        let record = binding("a@example.com", "b").record(&key, Some(&certificate), NOW, NOW + LIFE);
        assert!(trust.check(&record.key(), &record.encode(), NOW).is_ok());
    }
}

#[test]
fn fields_of_a_later_version_are_kept() {
    let record = record(1, "alice@example.com", "b1", NOW);
    let Ok(Value::Map(mut map)) = Value::decode(&record.encode()) else {
        panic!("it is a map");
    };
    map.insert(99, Value::Text("later".to_owned()));
    let bytes = Value::Map(map).encode();
    let mut trust = closed();
    let checked = trust.check(&record.key(), &bytes, NOW).unwrap();
    assert_eq!(checked.record.encode(), bytes);
    let other = super::tests::record(2, "alice@example.com", "b1", NOW + 1);
    let Ok(Stored::Keep(merged, _)) = trust.store(&record.key(), Some(&bytes), &other.encode(), NOW + 2)
    else {
        panic!("it is new");
    };
    let Ok(Value::Map(map)) = Value::decode(&merged) else {
        panic!("it is a map");
    };
    assert_eq!(map.get(&99), Some(&Value::Text("later".to_owned())));
}
