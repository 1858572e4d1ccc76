//! AMF3: any bytes decode or are refused; what decodes encodes to bytes that decode, and from then on stays.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtmp::amf3::{decode, encode};

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = decode(bytes, 1000) else { return };
    // Members with empty names and numeric ones of mixed arrays change once, then no more.
    let mut first = Vec::new();
    encode(&value, &mut first);
    let once = decode(&first, 10_000).expect("what is encoded decodes");
    let mut second = Vec::new();
    encode(&once, &mut second);
    let twice = decode(&second, 10_000).expect("what is encoded decodes");
    assert_eq!(format!("{once:?}"), format!("{twice:?}"));
});
