use crate::{bytes, decode_flv, difference, ffmpeg, flv, voice};
use codecs::{CodecId, EncoderOptions, codec, decoder, encoder};
use std::f64::consts::PI;

const RATES: [(u32, CodecId); 5] = [
    (8_000, CodecId::Nelly8),
    (16_000, CodecId::Nelly16),
    (11_025, CodecId::Nelly11),
    (22_050, CodecId::Nelly22),
    (44_100, CodecId::Nelly44),
];

fn decode(id: CodecId, payloads: &[Vec<u8>]) -> Vec<i16> {
    let mut decoder = decoder(id, 0).unwrap();
    let mut pcm = Vec::new();
    for payload in payloads {
        let mut out = [0; 4_096];
        let n = decoder.decode(payload, &mut out).unwrap();
        pcm.extend_from_slice(&out[..n]);
    }
    pcm
}

fn encoded_by_ffmpeg(rate: u32, pcm: &[i16]) -> Option<Vec<u8>> {
    let rate = rate.to_string();
    let arguments = [
        "-f",
        "s16le",
        "-ar",
        &rate,
        "-ac",
        "1",
        "-i",
        "-",
        "-c:a",
        "nellymoser",
        "-f",
        "flv",
        "-",
    ];
    ffmpeg(&arguments, &bytes(pcm))
}

/// The codec's own coefficients of decoded PCM: the lapped transform gives back what it was made of.
fn coefficients(pcm: &[i16]) -> Vec<f64> {
    let window: Vec<f64> = (0..256)
        .map(|i| (PI * (f64::from(i) + 0.5) / 256.0).sin())
        .collect();
    let cosines: Vec<f64> = (0..1024).map(|i| (PI * f64::from(i) / 512.0).cos()).collect();
    let mut all = Vec::new();
    for start in (0..pcm.len().saturating_sub(255)).step_by(128) {
        let x: Vec<f64> = pcm[start..start + 256]
            .iter()
            .zip(&window)
            .map(|(s, w)| f64::from(*s) * w)
            .collect();
        for k in 0..128 {
            // cos(pi / 128 * (n + 64.5) * (k + 0.5)), a quarter unit a step of the table.
            let sum: f64 = x
                .iter()
                .enumerate()
                .map(|(n, x)| x * cosines[(2 * n + 129) * (2 * k + 1) % 1024])
                .sum();
            all.push(sum / 64.0);
        }
    }
    all
}

#[test]
fn our_decoder_is_that_of_ffmpeg_but_for_the_signs_of_noise() {
    for (rate, id) in RATES {
        let Some(file) = encoded_by_ffmpeg(rate, &voice(rate, 2)) else {
            return;
        };
        let mut payloads = Vec::new();
        for (tag, payload) in flv::read(&file) {
            assert_eq!(codecs::by_flv_tag(tag), Some(id));
            payloads.push(payload);
        }
        let (ours, theirs) = (
            decode(id, &payloads),
            decode_flv("nellymoser", rate, &file).unwrap(),
        );
        assert_eq!(ours.len(), theirs.len());
        // Coefficients without bits have a random sign, so magnitudes are compared; in terms of samples.
        let (ours, theirs) = (coefficients(&ours), coefficients(&theirs));
        let sum: f64 = ours
            .iter()
            .zip(&theirs)
            .map(|(a, b)| (a.abs() - b.abs()).powi(2))
            .sum();
        let rms = (sum / (ours.len() as f64 / 128.0) / 2.0).sqrt();
        assert!(rms < 1.0, "{rate} Hz: differs by {rms}");
        let alike = ours
            .iter()
            .zip(&theirs)
            .filter(|(a, b)| (*a - *b).abs() < 2.0)
            .count();
        assert!(alike * 10 > ours.len() * 6, "{alike} of {}", ours.len());
    }
}

#[test]
fn our_encoder_is_as_good_as_that_of_ffmpeg_when_ffmpeg_decodes_both() {
    for (rate, id) in RATES {
        let input = voice(rate, 2);
        let Some(file) = encoded_by_ffmpeg(rate, &input) else {
            return;
        };
        let theirs = decode_flv("nellymoser", rate, &file).unwrap();
        let mut encoder = encoder(id, &EncoderOptions::default()).unwrap();
        let payloads: Vec<Vec<u8>> = input
            .chunks_exact(256)
            .map(|frame| {
                let mut block = vec![0; 64];
                encoder.encode(frame, &mut block).unwrap();
                block
            })
            .collect();
        let file = flv::write(codec(id).flv_tag().unwrap(), 256_000 / rate, &payloads);
        let ours = decode_flv("nellymoser", rate, &file).unwrap();
        let (theirs, _) = difference(&input, &theirs, 0..=256);
        let (ours, delay) = difference(&input, &ours, 0..=256);
        assert_eq!(delay, 128);
        assert!(ours < theirs * 1.05, "{rate} Hz: error {ours}, ffmpeg's {theirs}");
        println!("{rate} Hz: error {ours}, ffmpeg's {theirs}");
    }
}
