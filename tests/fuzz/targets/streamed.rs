//! The decoders of streaming codecs: any sequence of payloads, at any rate asked for.
#![no_main]

use codecs::{CodecId, decoder};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((head, mut rest)) = data.split_first() else {
        return;
    };
    let id = if head & 1 == 0 { CodecId::Aac } else { CodecId::Mp3 };
    let rate = [0, 8_000, 16_000, 44_100][usize::from(head >> 1 & 3)];
    let mut decoder = decoder(id, rate).expect("it needs nothing");
    let mut out = vec![0; 48_000 * 320 / 1_000];
    while let Some((size, tail)) = rest.split_first_chunk::<2>() {
        let size = usize::from(u16::from_be_bytes(*size)).min(tail.len());
        let (message, tail) = tail.split_at(size);
        rest = tail;
        // The first byte is FLV's, as in the seeds.
        if let Some(n) = message.get(1..).and_then(|m| decoder.decode(m, &mut out).ok()) {
            assert!(n <= out.len());
        } else {
            assert!(decoder.conceal(&mut out) <= out.len());
        }
    }
});
