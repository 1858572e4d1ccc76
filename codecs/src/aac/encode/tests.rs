use super::*;
use crate::aac::Decoder;
use crate::{Decoder as _, Encoder as _};

/// Something like a voice: harmonics of a gliding pitch, in syllables.
fn voice(rate: u32, seconds: u32) -> Vec<i16> {
    let mut phase = 0.0f32;
    (0..seconds * rate)
        .map(|i| {
            let t = i as f32 / rate as f32;
            phase = (phase + (140.0 + 40.0 * (t * 3.0).sin()) / rate as f32).fract();
            let syllable = (t * 4.0 * std::f32::consts::PI).sin().abs();
            let sum: f32 = (1..=20)
                .map(|h| (phase * h as f32 * std::f32::consts::TAU).sin() / (1.0 + (h as f32 - 4.0).abs()))
                .sum();
            (sum * syllable * 4_000.0) as i16
        })
        .collect()
}

fn noise(samples: usize, level: f32) -> Vec<i16> {
    let mut seed = 1u32;
    let mut random = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed as i32) as f32 / 2_147_483_648.0
    };
    (0..samples).map(|_| (random() * level) as i16).collect()
}

/// Encodes and decodes; the sound, and the bits a second.
fn through(rate: u32, bitrate: u32, pcm: &[i16]) -> (Vec<i16>, f32) {
    let mut encoder = Encoder::new(rate, bitrate);
    assert_eq!((encoder.sample_rate(), encoder.frame_samples()), (rate, FRAME));
    let mut decoder = Decoder::new(rate);
    let mut out = [0; 8_000];
    assert_eq!(decoder.decode(&config(rate).unwrap(), &mut out), Ok(0));
    let (mut heard, mut bytes, mut payload) = (Vec::new(), 0, [0; MAX_FRAME_BYTES]);
    for frame in pcm.chunks_exact(FRAME) {
        let n = encoder.encode(frame, &mut payload).unwrap();
        bytes += n - 1;
        let n = decoder.decode(&payload[..n], &mut out).unwrap();
        assert_eq!(n, FRAME);
        heard.extend_from_slice(&out[..n]);
    }
    let seconds = heard.len() as f32 / rate as f32;
    (heard.split_off(FRAME), bytes as f32 * 8.0 / seconds)
}

/// How far the noise is below the sound, dB.
fn snr(pcm: &[i16], heard: &[i16]) -> f32 {
    let (mut sound, mut noise) = (0.0f64, 1e-9);
    for (a, b) in pcm.iter().zip(heard) {
        sound += f64::from(*a).powi(2);
        noise += (f64::from(*a) - f64::from(*b)).powi(2);
    }
    10.0 * (sound / noise).log10() as f32
}

#[test]
fn a_voice_comes_through_at_every_rate_within_its_bits() {
    for (rate, bitrate, least) in [
        (48_000, 48_000, 17.0),
        (48_000, 64_000, 20.0),
        (48_000, 32_000, 13.0),
        (44_100, 48_000, 17.0),
        (32_000, 48_000, 17.0),
        (24_000, 32_000, 14.0),
        (22_050, 32_000, 14.0),
        (16_000, 32_000, 14.0),
        (11_025, 24_000, 12.0),
        (8_000, 24_000, 12.0),
    ] {
        let pcm = voice(rate, 4);
        let (heard, bits) = through(rate, bitrate, &pcm);
        let snr = snr(&pcm, &heard);
        println!("{rate} Hz, {bitrate}: {snr:.1} dB at {bits:.0} bit/s");
        assert!(snr > least, "{rate} Hz, {bitrate}: {snr} dB");
        assert!(bits <= bitrate as f32 * 1.01, "{rate} Hz, {bitrate}: {bits}");
    }
}

#[test]
fn the_loudest_and_the_softest_sounds_keep_to_the_rate() {
    let square: Vec<i16> = (0..48_000)
        .map(|i| if i / 50 % 2 == 0 { i16::MAX } else { i16::MIN })
        .collect();
    let clicks: Vec<i16> = (0..48_000)
        .map(|i| if i % 4_801 == 0 { i16::MIN } else { 0 })
        .collect();
    for pcm in [
        square,
        clicks,
        noise(48_000, 32_767.0),
        noise(48_000, 2.0),
        vec![i16::MIN; 48_000],
    ] {
        for bitrate in [8_000, 48_000, 1_000_000] {
            let (heard, bits) = through(48_000, bitrate, &pcm);
            // A reservoir that was filled by silence may be spent at the end.
            assert!(bits <= bitrate as f32 * 1.01, "{bitrate}: {bits}");
            assert!(bitrate < 48_000 || snr(&pcm, &heard) > 0.0);
        }
    }
}

#[test]
fn silence_is_a_constant() {
    let mut encoder = Encoder::new(48_000, 0);
    let mut payload = [0; MAX_FRAME_BYTES];
    for _ in 0..3 {
        let n = encoder.encode(&[0; FRAME], &mut payload).unwrap();
        assert_eq!(payload[..n], SILENCE);
    }
}

#[test]
fn what_is_no_frame_is_refused() {
    let mut encoder = Encoder::new(7, 0);
    assert_eq!(encoder.sample_rate(), 48_000);
    let mut payload = [0; MAX_FRAME_BYTES];
    let short = encoder.encode(&[0; FRAME - 1], &mut payload);
    assert!(matches!(short, Err(Error::FrameLength { .. })));
    let small = encoder.encode(&[0; FRAME], &mut payload[1..]);
    assert!(matches!(small, Err(Error::OutputTooSmall { .. })));
}

#[test]
fn configurations_are_those_of_the_standard() {
    assert_eq!(config(48_000), Some(CONFIGURATION));
    assert_eq!(config(44_100), Some([0, 0x12, 0x08]));
    assert_eq!(config(16_000), Some([0, 0x14, 0x08]));
    assert_eq!(config(12_345), None);
}
