use super::*;
use crate::Encoder as _;

fn settled_silence(mode: FrameMode) -> Vec<u8> {
    let mut encoder = Encoder::new(mode, &EncoderOptions::default()).unwrap();
    let mut out = [0; MAX_FRAME_BYTES];
    let mut n = 0;
    for _ in 0..50 {
        n = encoder.encode(&vec![0; mode.frame_samples()], &mut out).unwrap();
    }
    out[..n].to_vec()
}

#[test]
fn silence_in_the_table_is_what_the_encoder_makes_of_silence() {
    assert_eq!(settled_silence(FrameMode::Narrow), SILENCE_NARROW);
    assert_eq!(settled_silence(FrameMode::Wide), SILENCE_WIDE);
}
