//! Records and certificates of the overlay, by peers that may hold a key of their own.
#![no_main]

use libfuzzer_sys::fuzz_target;
use overlay::{Binding, Certificate, Content, Descriptor, Names, Node, Policy, Record, Stored, Trust, Value};

const NOW: u64 = 1_780_000_000_000;

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = Value::decode(data) {
        assert_eq!(value.encode(), data, "one value has one form");
    }
    let _ = Certificate::parse(data);
    let Ok(record) = Record::parse(data) else { return };
    assert_eq!(record.encode(), data, "a record is written as it came");
    for item in &record.items {
        let _ = (Binding::read(item), Descriptor::read(item), Node::read(item));
    }
    let mut trust = Trust::new(Policy {
        authorities: Vec::new(),
        open: true,
        names: Names::Both,
    });
    let key = record.key();
    let stored = trust.store(&key, None, data, NOW);
    let (union, refused) = trust.union(&key, [data], NOW);
    match stored {
        Ok(Stored::Keep(kept, _)) => {
            let union = union.expect("what is stored is read");
            assert_eq!(kept, union.encode());
            assert_eq!(trust.store(&key, Some(&kept), &kept, NOW), Ok(Stored::Same));
        }
        Ok(Stored::Same) => panic!("nothing was there"),
        Err(refusal) => assert!(refused.contains(&refusal)),
    }
});
