use crate::{bytes, decode_flv, difference, ffmpeg, flv, voice};
use codecs::{CodecId, EncoderOptions, decoder, encoder};

/// Our wideband encoder at `rate` (8,000 gives narrowband frames), one frame a message, played by ffmpeg.
fn played_by_ffmpeg(rate: u32, ffmpeg_decoder: &str, tolerance: f32) {
    let options = EncoderOptions {
        sample_rate: rate,
        ..EncoderOptions::default()
    };
    let mut encoder = encoder(CodecId::SpeexWb, &options).unwrap();
    assert_eq!(encoder.sample_rate(), rate);
    let mut decoder = decoder(CodecId::SpeexWb, 0).unwrap();
    let (mut payloads, mut ours) = (Vec::new(), Vec::new());
    for frame in voice(rate, 3).chunks_exact(encoder.frame_samples()) {
        let (mut payload, mut out) = ([0; 200], [0; 320]);
        let n = encoder.encode(frame, &mut payload).unwrap();
        payloads.push(payload[..n].to_vec());
        let n = decoder.decode(&payload[..n], &mut out).unwrap();
        ours.extend_from_slice(&out[..n]);
    }
    let Some(theirs) = decode_flv(ffmpeg_decoder, 16_000, &flv::write(0xb2, 20, &payloads)) else {
        return;
    };
    let (error, shift) = difference(&ours, &theirs, -400..=400);
    assert!(
        theirs.len().abs_diff(ours.len()) <= 640,
        "{} samples, not {}",
        theirs.len(),
        ours.len()
    );
    let signal = difference(&ours, &vec![0; ours.len()], 0..=0).0;
    assert!(
        error < signal * tolerance,
        "{ffmpeg_decoder}: differs by {error} of {signal} at shift {shift}"
    );
}

#[test]
fn wideband_and_narrowband_frames_in_the_same_tag_are_played_by_both_decoders_of_ffmpeg() {
    // ffmpeg's own decoder knows no perceptual enhancement.
    for (decoder, tolerance) in [("libspeex", 0.01), ("speex", 0.2)] {
        played_by_ffmpeg(16_000, decoder, tolerance);
        played_by_ffmpeg(8_000, decoder, tolerance);
    }
}

#[test]
fn what_ffmpeg_encodes_is_decoded_as_ffmpeg_decodes_it() {
    for frames_per_packet in ["1", "3", "5"] {
        let input = bytes(&voice(16_000, 3));
        let arguments = [
            "-f",
            "s16le",
            "-ar",
            "16000",
            "-ac",
            "1",
            "-i",
            "-",
            "-c:a",
            "libspeex",
            "-frames_per_packet",
            frames_per_packet,
            "-f",
            "flv",
            "-",
        ];
        let Some(file) = ffmpeg(&arguments, &input) else {
            return;
        };
        let mut decoder = decoder(CodecId::SpeexWb, 16_000).unwrap();
        let mut narrow = codecs::decoder(CodecId::SpeexWb, 8_000).unwrap();
        let (mut ours, mut low) = (Vec::new(), 0);
        for (tag, payload) in flv::read(&file) {
            assert_eq!(tag, 0xb6);
            let mut out = [0; 320 * 8];
            let n = decoder.decode(&payload, &mut out).unwrap();
            ours.extend_from_slice(&out[..n]);
            assert_eq!(codecs::speex::frames(&payload) * 320, n);
            low += narrow.decode(&payload, &mut out).unwrap();
        }
        assert_eq!(low * 2, ours.len());
        let theirs = decode_flv("libspeex", 16_000, &file).unwrap();
        let (error, _) = difference(&ours, &theirs, -400..=400);
        assert!(error < 1.0, "{frames_per_packet} frames a message: {error}");
    }
}
