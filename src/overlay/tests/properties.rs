//! Whatever the bytes, whatever the order.

use proptest::prelude::*;

use super::*;

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<u64>().prop_map(Value::Uint),
        any::<u64>().prop_map(Value::Negative),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
        ".{0,20}".prop_map(Value::Text),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::Null),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            prop::collection::btree_map(any::<u64>(), inner, 0..6).prop_map(Value::Map),
        ]
    })
}

proptest! {
    #[test]
    fn values_survive(value in value()) {
        prop_assert_eq!(Value::decode(&value.encode()), Ok(value));
    }

    #[test]
    fn bytes_have_one_value_and_values_one_form(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(value) = Value::decode(&bytes) {
            prop_assert_eq!(value.encode(), bytes);
        }
    }

    #[test]
    fn records_that_parse_are_written_as_they_came(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(record) = Record::parse(&bytes) {
            prop_assert_eq!(record.encode(), bytes);
        }
    }

    #[test]
    fn bytes_of_strangers_are_only_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let key = Key::of(Kind::Aor, "alice@example.com");
        prop_assert!(closed().check(&key, &bytes, NOW).is_err());
    }

    #[test]
    fn peer_ids_survive(bytes in any::<[u8; 32]>()) {
        let peer = PeerId::of_key(bytes);
        prop_assert_eq!(peer.to_string().parse(), Ok(peer));
    }

    #[test]
    fn text_of_strangers_is_no_name_or_the_same_again(text in ".{0,60}") {
        if let Ok(aor) = text.parse::<Aor>() {
            prop_assert_eq!(aor.as_str().parse::<Aor>(), Ok(aor));
        }
        let _none = text.parse::<PeerId>();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Peers that hear the same in another order keep the same.
    #[test]
    fn merging_knows_no_order(
        writes in prop::collection::vec((1u8..5, 0u8..3, 0u64..5), 1..8),
        turn in any::<prop::sample::Index>(),
    ) {
        let records: Vec<Record> = writes
            .iter()
            .map(|(peer, id, at)| record(*peer, "alice@example.com", &id.to_string(), NOW + at))
            .collect();
        let merge = |records: &[Record]| {
            let mut all = records[0].clone();
            records[1..].iter().for_each(|r| all.merge(r.clone()));
            all.encode()
        };
        // Only where nothing has to be left out: what is left out depends on what came first.
        let mut turned = records.clone();
        turned.rotate_left(turn.index(records.len()));
        let mut distinct = writes.iter().map(|(p, i, _)| (p, i)).collect::<Vec<_>>();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() <= 6 {
            prop_assert_eq!(merge(&records), merge(&turned));
        }
    }
}
