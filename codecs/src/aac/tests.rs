use super::*;
use crate::Decoder as _;
use crate::tone::measure;

const MONO: &[u8] = include_bytes!("../../tests/aac/tone-16000-mono.bin");
const STEREO: &[u8] = include_bytes!("../../tests/aac/tone-44100-stereo.bin");

/// Audio messages as a tool sends them, without their first byte: the configuration, then frames of 1 kHz at -15 dBov (mono) and -18 dBov.
fn payloads(mut file: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    while let Some((size, rest)) = file.split_first_chunk::<2>() {
        let (message, rest) = rest.split_at(usize::from(u16::from_be_bytes(*size)));
        all.push(&message[1..]);
        file = rest;
    }
    all
}

fn play(decoder: &mut Decoder, payloads: &[&[u8]]) -> Vec<i16> {
    let mut out = [0; 7_000];
    let mut pcm = Vec::new();
    for payload in payloads {
        let n = decoder.decode(payload, &mut out).unwrap();
        pcm.extend_from_slice(&out[..n]);
    }
    pcm
}

#[test]
fn a_tone_comes_out_at_the_rate_asked_for() {
    for (file, rate) in [
        (MONO, 8_000),
        (MONO, 16_000),
        (STEREO, 8_000),
        (STEREO, 16_000),
        (STEREO, 48_000),
    ] {
        let payloads = payloads(file);
        let pcm = play(&mut Decoder::new(rate), &payloads);
        let (source, frames) = if file == MONO { (16_000, 8) } else { (44_100, 17) };
        let due = (frames * 1024 * u64::from(rate) / source) as i64;
        assert!(
            (pcm.len() as i64 - due).abs() <= 2,
            "{rate}: {} of {due}",
            pcm.len()
        );
        let middle = &pcm[pcm.len() / 3..pcm.len() - 100];
        let level = measure(middle, rate, 1_000.0);
        let due = if file == MONO { -15.0 } else { -18.0 };
        assert!((level - due).abs() < 1.0, "{rate}: {level}");
    }
}

#[test]
fn nothing_is_decoded_before_its_configuration() {
    let mut decoder = Decoder::new(8_000);
    let mut out = [0; 7_000];
    let stereo = payloads(STEREO);
    assert_eq!(
        decoder.decode(stereo[3], &mut out),
        Err(Error::Malformed { bit: 0 })
    );
    assert_eq!(decoder.decode(stereo[0], &mut out), Ok(0));
    assert!(decoder.decode(stereo[3], &mut out).is_ok());
    // Another configuration: another rate, other channels.
    let mono = payloads(MONO);
    let pcm = play(&mut decoder, &mono);
    let level = measure(&pcm[2_000..], 8_000, 1_000.0);
    assert!((level + 15.0).abs() < 1.0, "{level}");
    // The same one again is no break.
    assert_eq!(decoder.decode(mono[0], &mut out), Ok(0));
    // One that cannot be understood ends the stream until the next.
    assert!(decoder.decode(&[0, 0xff], &mut out).is_err());
    assert!(decoder.decode(mono[1], &mut out).is_err());
    play(&mut decoder, &mono);
}

#[test]
fn other_messages_are_no_sound_and_small_rooms_are_refused() {
    let mut decoder = Decoder::new(48_000);
    let mut out = [0; 7_000];
    assert_eq!(decoder.decode(&[2], &mut out), Ok(0));
    assert_eq!(decoder.decode(&[], &mut out), Err(Error::Truncated { bytes: 0 }));
    let mono = payloads(MONO);
    play(&mut decoder, &mono);
    assert!(matches!(
        decoder.decode(mono[1], &mut out[..1_000]),
        Err(Error::OutputTooSmall { want: 3_073, .. })
    ));
    assert_eq!(decoder.conceal(&mut out), 960);
}

#[test]
fn damaged_frames_do_no_lasting_harm() {
    let mut seed = 1u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize
    };
    let mut decoder = Decoder::new(16_000);
    let mut out = [0; 7_000];
    for file in [MONO, STEREO] {
        let payloads = payloads(file);
        play(&mut decoder, &payloads);
        for round in 0..1_500 {
            let mut frame = payloads[1 + round % (payloads.len() - 1)].to_vec();
            for _ in 0..1 + random() % 6 {
                let at = 1 + random() % (frame.len() - 1);
                frame[at] ^= 1 << (random() % 8);
            }
            if round % 3 == 0 {
                frame.truncate(1 + random() % frame.len());
            }
            let _ = decoder.decode(&frame, &mut out);
        }
        let pcm = play(&mut decoder, &payloads);
        let level = measure(&pcm[pcm.len() / 2..], 16_000, 1_000.0);
        let due = if file == MONO { -15.0 } else { -18.0 };
        assert!((level - due).abs() < 1.0, "{level}");
    }
}

#[test]
fn each_frame_gives_its_samples_at_once() {
    let mut decoder = Decoder::new(16_000);
    let mut out = [0; 7_000];
    for payload in &payloads(MONO)[..1] {
        assert_eq!(decoder.decode(payload, &mut out), Ok(0));
    }
    for payload in &payloads(MONO)[1..] {
        assert_eq!(decoder.decode(payload, &mut out), Ok(1_024));
    }
}
