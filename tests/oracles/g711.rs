//! G.711 against the crate audio-codec-algorithms, for every code and every sample.

use audio_codec_algorithms::{decode_alaw, decode_ulaw, encode_alaw, encode_ulaw};
use codecs::g711::Law;

#[test]
fn every_code_expands_to_the_same_sample() {
    for code in 0..=255 {
        assert_eq!(Law::Mu.expand(code), decode_ulaw(code), "mu-law {code:#04x}");
        assert_eq!(Law::A.expand(code), decode_alaw(code), "A-law {code:#04x}");
    }
}

#[test]
fn every_sample_compresses_to_the_same_code() {
    for sample in i16::MIN..=i16::MAX {
        assert_eq!(Law::A.compress(sample), encode_alaw(sample), "A-law {sample}");
        assert_eq!(Law::Mu.compress(sample), encode_ulaw(sample), "mu-law {sample}");
    }
}
