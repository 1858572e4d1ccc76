//! Hostile peers: each is refused by those who store and by those who read.

use super::*;
use std::collections::BTreeSet;

/// What a storing peer and a reader say of `bytes` under `key`; they must agree.
fn verdict(trust: &mut Trust, key: &Key, bytes: &[u8], now: Wall) -> Result<(), Refusal> {
    let stored = trust.store(key, None, bytes, now).map(|_| ());
    let (read, refused) = trust.union(key, [bytes], now);
    match stored {
        Ok(()) => assert!(read.is_some()),
        Err(refusal) => {
            assert!(read.is_none());
            assert!(refused.contains(&refusal), "{refusal:?} {refused:?}");
        }
    }
    stored
}

#[test]
fn every_altered_byte_is_found() {
    let record = record(1, "alice@example.com", "b1", NOW);
    let bytes = record.encode();
    let key = record.key();
    for at in 0..bytes.len() {
        for bit in [0x01, 0x80] {
            let mut altered = bytes.clone();
            altered[at] ^= bit;
            assert!(verdict(&mut closed(), &key, &altered, NOW).is_err(), "byte {at}");
        }
    }
}

#[test]
fn a_foreign_name_is_refused() {
    let thief = key(66);
    let mut trust = closed();
    let certificate = enrolled(&thief, "*@other.example", 66);
    let mut attempt = |aor: &str, certificate: Option<&Certificate>| {
        let record = binding(aor, "b").record(&thief, certificate, NOW, NOW + LIFE);
        verdict(&mut trust, &record.key(), &record.encode(), NOW)
    };
    assert_eq!(
        attempt("alice@example.com", Some(&certificate)),
        Err(Refusal::ForeignName)
    );
    assert_eq!(
        attempt("alice@sub.other.example", Some(&certificate)),
        Err(Refusal::ForeignName)
    );
    assert_eq!(attempt("alice@example.com", None), Err(Refusal::NotEnrolled));
    // Another's certificate does not become one's own, and nobody enrols himself.
    let borrowed = enrolled(&key(1), "*@example.com", 1);
    assert_eq!(
        attempt("alice@example.com", Some(&borrowed)),
        Err(Refusal::NotEnrolled)
    );
    let own = Certificate::issue(&thief, grant(&thief, "*@example.com", 1)).unwrap();
    assert_eq!(
        attempt("alice@example.com", Some(&own)),
        Err(Refusal::NotEnrolled)
    );
    // The name of another's key, even with a certificate for everything.
    let all = enrolled(&thief, "*", 67);
    let victim = Aor::of_peer(&key(1).peer());
    assert_eq!(attempt(victim.as_str(), Some(&all)), Err(Refusal::ForeignName));
    assert_eq!(attempt("alice@example.com", Some(&all)), Ok(()));
}

#[test]
fn a_node_or_service_of_another_is_refused() {
    let thief = key(66);
    let certificate = enrolled(&thief, "*@other.example", 66);
    let descriptor = Descriptor {
        service: "pstn".to_owned(),
        contact: "sip:192.0.2.66".to_owned(),
        ..Descriptor::default()
    };
    let honest = descriptor.record(&thief, Some(&certificate), NOW, NOW + LIFE);
    assert_eq!(
        verdict(&mut closed(), &honest.key(), &honest.encode(), NOW),
        Ok(())
    );
    let mut posing = honest.clone();
    posing.name = format!("pstn/{}", key(1).peer());
    assert_eq!(
        verdict(&mut closed(), &posing.key(), &posing.encode(), NOW),
        Err(Refusal::WrongKey)
    );
    let mut plain = grant(&thief, "*@other.example", 68);
    plain.roles = vec![Role::Publish];
    let plain = Certificate::issue(&authority(), plain).unwrap();
    let record = descriptor.record(&thief, Some(&plain), NOW, NOW + LIFE);
    assert_eq!(
        verdict(&mut closed(), &record.key(), &record.encode(), NOW),
        Err(Refusal::Role)
    );
}

#[test]
fn times_that_cannot_be_are_refused() {
    let mut trust = closed();
    let record = record(1, "alice@example.com", "b", NOW);
    let (key, bytes) = (record.key(), record.encode());
    assert_eq!(verdict(&mut trust, &key, &bytes, NOW + LIFE + SLACK - 1), Ok(()));
    assert_eq!(
        verdict(&mut trust, &key, &bytes, NOW + LIFE + SLACK),
        Err(Refusal::Expired)
    );
    assert_eq!(verdict(&mut trust, &key, &bytes, NOW - SLACK), Ok(()));
    assert_eq!(
        verdict(&mut trust, &key, &bytes, NOW - SLACK - 1),
        Err(Refusal::Future)
    );
    let member = super::key(1);
    let certificate = enrolled(&member, "*@example.com", 1);
    let mut for_ever = |life| {
        let record = binding("a@example.com", "b").record(&member, Some(&certificate), NOW, NOW + life);
        verdict(&mut trust, &record.key(), &record.encode(), NOW)
    };
    assert_eq!(for_ever(MAX_LIFE), Ok(()));
    assert_eq!(for_ever(MAX_LIFE + 1), Err(Refusal::Future));
    assert_eq!(for_ever(Wall::MAX - NOW), Err(Refusal::Future));
}

#[test]
fn a_replay_changes_nothing() {
    let mut trust = closed();
    let old = record(1, "alice@example.com", "b", NOW);
    let new = record(1, "alice@example.com", "b", NOW + 5_000);
    let kept = new.encode();
    assert_eq!(
        trust.store(&old.key(), Some(&kept), &old.encode(), NOW + 6_000),
        Err(Refusal::Stale)
    );
    // A withdrawal cannot be undone by what was there before it.
    let member = key(1);
    let certificate = enrolled(&member, "*@example.com", 1);
    let gone =
        binding("alice@example.com", "b").withdrawal(&member, Some(&certificate), NOW + 7_000, NOW + LIFE);
    let (union, _) = trust.union(
        &old.key(),
        [gone.encode().as_slice(), &kept, &old.encode()],
        NOW + 8_000,
    );
    let union = union.unwrap();
    assert_eq!(union.items.len(), 1);
    assert!(union.items[0].withdrawn);
}

#[test]
fn size_key_and_version_are_looked_at_first() {
    let record = record(1, "alice@example.com", "b", NOW);
    let mut trust = closed();
    assert_eq!(
        verdict(&mut trust, &record.key(), &[0; MAX_RECORD + 1], NOW),
        Err(Refusal::Oversize)
    );
    assert_eq!(
        verdict(&mut trust, &record.key(), b"\xa0", NOW),
        Err(Refusal::Version)
    );
    assert_eq!(
        verdict(&mut trust, &record.key(), b"hello", NOW),
        Err(Refusal::Malformed)
    );
    let elsewhere = Key::of(Kind::Aor, "bob@example.com");
    assert_eq!(
        verdict(&mut trust, &elsewhere, &record.encode(), NOW),
        Err(Refusal::WrongKey)
    );
    let Ok(Value::Map(mut map)) = Value::decode(&record.encode()) else {
        panic!("it is a map");
    };
    map.insert(0, Value::Uint(2));
    let later = Value::Map(map).encode();
    assert_eq!(
        verdict(&mut trust, &record.key(), &later, NOW),
        Err(Refusal::Version)
    );
}

#[test]
fn an_item_of_one_record_is_none_of_another() {
    // A binding of bob's moved under alice's name.
    let mut stolen = record(1, "bob@example.com", "b", NOW);
    stolen.name = "alice@example.com".to_owned();
    assert_eq!(
        verdict(&mut closed(), &stolen.key(), &stolen.encode(), NOW),
        Err(Refusal::WrongKey)
    );
    // The same user under a second spelling of its name.
    let mut twin = record(1, "bob@example.com", "b", NOW);
    twin.name = "bob@EXAMPLE.com".to_owned();
    assert!(verdict(&mut closed(), &twin.key(), &twin.encode(), NOW).is_err());
}

#[test]
fn one_forged_item_spoils_a_record_for_those_who_store_but_not_for_those_who_read() {
    let mut trust = closed();
    let good = record(1, "alice@example.com", "b", NOW);
    let thief = key(66);
    let certificate = enrolled(&thief, "*@other.example", 66);
    let forged = binding("alice@example.com", "x").record(&thief, Some(&certificate), NOW, NOW + LIFE);
    let mut mixed = good.clone();
    mixed.merge(forged);
    assert_eq!(mixed.items.len(), 2);
    assert_eq!(
        trust.store(&good.key(), None, &mixed.encode(), NOW),
        Err(Refusal::ForeignName)
    );
    let read = trust.check(&good.key(), &mixed.encode(), NOW).unwrap();
    assert_eq!(read.refused, [Refusal::ForeignName]);
    assert_eq!(read.record, good);
}

#[test]
fn a_revoked_certificate_counts_no_more() {
    let mut trust = closed();
    let record = record(5, "alice@example.com", "b", NOW);
    assert_eq!(verdict(&mut trust, &record.key(), &record.encode(), NOW), Ok(()));
    let list = revocation_record(&authority(), &BTreeSet::from([5, 9]), NOW);
    assert_eq!(trust.revoke(&list.encode(), NOW), Ok(true));
    assert_eq!(trust.revocations(), 2);
    assert_eq!(
        verdict(&mut trust, &record.key(), &record.encode(), NOW),
        Err(Refusal::Revoked)
    );
    // Neither an older list nor one by somebody else brings it back.
    let older = revocation_record(&authority(), &BTreeSet::new(), NOW - 1);
    assert_eq!(trust.revoke(&older.encode(), NOW), Err(Refusal::Stale));
    let empty = revocation_record(&authority(), &BTreeSet::new(), NOW + 1);
    assert_eq!(trust.revoke(&empty.encode(), NOW + 1), Ok(false));
    assert_eq!(trust.revocations(), 2);
    let foreign = revocation_record(&key(66), &BTreeSet::from([1]), NOW + 2);
    assert_eq!(
        trust.revoke(&foreign.encode(), NOW + 2),
        Err(Refusal::ForeignName)
    );
    // The whole list a record holds.
    let many = revocation_record(&authority(), &(1 << 40..(1 << 40) + 400).collect(), NOW + 3);
    assert!(many.encode().len() <= MAX_RECORD, "{}", many.encode().len());
    assert_eq!(trust.revoke(&many.encode(), NOW + 3), Ok(true));
}

#[test]
fn a_certificate_has_its_time() {
    let member = key(1);
    let late = Grant {
        not_before: NOW + SLACK + 1,
        ..grant(&member, "*@example.com", 1)
    };
    let over = Grant {
        not_after: NOW - SLACK,
        ..grant(&member, "*@example.com", 2)
    };
    for bad in [late, over] {
        let bad = Certificate::issue(&authority(), bad).unwrap();
        let record = binding("a@example.com", "b").record(&member, Some(&bad), NOW, NOW + LIFE);
        assert_eq!(
            verdict(&mut closed(), &record.key(), &record.encode(), NOW),
            Err(Refusal::CertificateTime)
        );
    }
}

#[test]
fn a_flood_of_items_pushes_nobody_out_of_bounds() {
    let mut all: Option<Record> = None;
    for n in 1..=60 {
        let record = record(n, "alice@example.com", "b", NOW + u64::from(n));
        match &mut all {
            Some(all) => all.merge(record),
            None => all = Some(record),
        }
        let all = all.as_ref().unwrap();
        assert!(all.items.len() <= MAX_ITEMS && all.encode().len() <= MAX_RECORD);
    }
    // The latest stay.
    let all = all.unwrap();
    assert!(
        all.items.iter().all(|i| i.sequence > NOW + 40),
        "{}",
        all.items.len()
    );
    assert!(closed().check(&all.key(), &all.encode(), NOW + 61).is_ok());
}

#[test]
fn grants_are_of_names_only() {
    for bad in ["", "example.com", "**@example.com", "a@", "*@", "*@exa mple.com"] {
        let made = Certificate::issue(&authority(), grant(&key(1), bad, 1));
        assert_eq!(made, Err(CertificateError::Pattern), "{bad:?}");
    }
    let made = enrolled(&key(1), "*@Example.COM", 1);
    assert!(made.grant().covers(&"bob@example.com".parse().unwrap()));
    assert!(!made.grant().covers(&"bob@anexample.com".parse().unwrap()));
    let one = enrolled(&key(1), "bob@example.com", 1);
    assert!(one.grant().covers(&"bob@example.com".parse().unwrap()));
    assert!(!one.grant().covers(&"bobo@example.com".parse().unwrap()));
}
