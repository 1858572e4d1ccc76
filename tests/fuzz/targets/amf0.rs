//! AMF0: any bytes decode or are refused; what decodes encodes to bytes that decode to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtmp::amf0::{Decoder, encode_all};

fuzz_target!(|bytes: &[u8]| {
    let Ok(values) = Decoder::new(bytes, 1000).values() else {
        return;
    };
    let mut again = Vec::new();
    encode_all(&values, &mut again);
    let decoded = Decoder::new(&again, 10_000)
        .values()
        .expect("what is encoded decodes");
    // By their text: a NaN is never equal to itself.
    assert_eq!(format!("{decoded:?}"), format!("{values:?}"));
});
