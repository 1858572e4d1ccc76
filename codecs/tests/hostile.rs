//! Every decoder against bytes nobody meant as audio: it may refuse, it must not panic, and it stays usable.

use codecs::{EncoderOptions, TABLE, decoder, encoder};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_payloads(
        payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..400), 1..20),
        lose in any::<u32>(),
        room in 0usize..6_000,
    ) {
        for row in TABLE {
            for rate in [0, 8_000] {
                let mut decoder = decoder(row.id, rate).unwrap();
                let mut out = vec![0i16; room];
                for (i, payload) in payloads.iter().enumerate() {
                    if let Ok(n) = decoder.decode(payload, &mut out) {
                        prop_assert!((n > 0 || row.streamed) && n <= out.len());
                    }
                    if lose >> i & 1 == 1 {
                        prop_assert!(decoder.conceal(&mut out) <= out.len());
                    }
                }
                let mut out = vec![0i16; 2_048];
                let _ = decoder.decode(row.configuration, &mut out);
                prop_assert!(!row.encodes || decoder.decode(row.silence, &mut out).is_ok(), "{} is spoilt", row.label);
            }
        }
    }

    #[test]
    fn damaged_frames(seed in any::<u64>(), flips in proptest::collection::vec((0usize..40, any::<u16>()), 0..60)) {
        for row in TABLE.iter().filter(|row| row.encodes) {
            let mut encoder = encoder(row.id, &EncoderOptions::default()).unwrap();
            let mut decoder = decoder(row.id, 0).unwrap();
            let _ = decoder.decode(row.configuration, &mut [0; 4_000]);
            let mut noise = seed;
            for i in 0..40 {
                let pcm: Vec<i16> = (0..encoder.frame_samples())
                    .map(|_| {
                        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        (noise >> 48) as i16
                    })
                    .collect();
                let mut bytes = vec![0; row.max_frame_bytes];
                let n = encoder.encode(&pcm, &mut bytes).unwrap();
                bytes.truncate(n);
                for (_, bit) in flips.iter().filter(|(frame, _)| *frame == i) {
                    let bit = usize::from(*bit) % (bytes.len() * 8);
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
                let mut out = [0; 4_000];
                let _ = decoder.decode(&bytes, &mut out);
            }
        }
    }
}
