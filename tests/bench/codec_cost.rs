//! What the bare codecs cost: the same frames the gateway gets, with nothing around them.

use codecs::{CodecId, EncoderOptions};

use crate::measure::thread_cpu;

/// Frames to measure over: 40 s of audio.
const FRAMES: usize = 2_000;

/// Microseconds of processor time for both directions of a call between Speex wideband and G.711, 20 ms each,
/// with the short cuts of the default configuration.
pub fn speex_pcmu() -> f64 {
    let speech = speech();
    let options = EncoderOptions::default();
    let mut wide = codecs::encoder(CodecId::SpeexWb, &options).unwrap();
    let mut from_flash = Vec::new();
    for frame in speech.chunks_exact(320) {
        let mut out = [0; 256];
        let n = wide.encode(frame, &mut out).unwrap();
        from_flash.push(out[..n].to_vec());
    }
    let low: Vec<i16> = speech.iter().step_by(2).copied().collect();
    let mut law = codecs::encoder(CodecId::Pcmu, &options).unwrap();
    let from_sip: Vec<Vec<u8>> = low
        .chunks_exact(160)
        .map(|frame| {
            let mut out = [0; 160];
            let n = law.encode(frame, &mut out).unwrap();
            out[..n].to_vec()
        })
        .collect();

    let mut narrow = codecs::decoder(CodecId::SpeexWb, 8_000).unwrap();
    let mut to_sip = codecs::encoder(CodecId::Pcmu, &options).unwrap();
    let mut from_law = codecs::decoder(CodecId::Pcmu, 8_000).unwrap();
    let narrow_options = EncoderOptions {
        sample_rate: 8_000,
        ..options
    };
    let mut to_flash = codecs::encoder(CodecId::SpeexWb, &narrow_options).unwrap();
    let (mut pcm, mut out) = ([0i16; 640], [0u8; 640]);
    let start = thread_cpu();
    for i in 0..FRAMES {
        let n = narrow
            .decode(&from_flash[i % from_flash.len()], &mut pcm)
            .unwrap();
        to_sip.encode(&pcm[..n], &mut out).unwrap();
        let n = from_law.decode(&from_sip[i % from_sip.len()], &mut pcm).unwrap();
        to_flash.encode(&pcm[..n], &mut out).unwrap();
    }
    std::hint::black_box(&out);
    (thread_cpu() - start) * 1e6 / FRAMES as f64
}

/// The speech sample of the repository at 16 kHz.
fn speech() -> Vec<i16> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/speech.wav");
    let mut wav = hound::WavReader::open(path).unwrap();
    let rate = wav.spec().sample_rate;
    let samples: Vec<i16> = wav.samples::<i16>().map(|s| s.unwrap()).collect();
    match rate {
        16_000 => samples,
        8_000 => samples.iter().flat_map(|s| [*s, *s]).collect(),
        other => panic!("config/speech.wav has {other} Hz"),
    }
}
