use super::*;
use crate::tone::{Tone, measure};
use crate::{Decoder as _, Encoder as _};
use proptest::prelude::*;

/// Something like a voice: harmonics of a gliding pitch, in syllables.
fn voice(rate: u32, frames: usize) -> Vec<i16> {
    let mut phase = 0.0f32;
    (0..frames * rate as usize / 50)
        .map(|i| {
            let t = i as f32 / rate as f32;
            phase += (140.0 + 40.0 * (t * 3.0).sin()) / rate as f32;
            let syllable = (t * 4.0 * std::f32::consts::PI).sin().abs();
            let sum: f32 = (1..=20)
                .map(|h| (phase * h as f32 * std::f32::consts::TAU).sin() / (1.0 + (h as f32 - 4.0).abs()))
                .sum();
            (sum * syllable * 4_000.0) as i16
        })
        .collect()
}

fn encode(mode: FrameMode, quality: u8, pcm: &[i16]) -> Vec<Vec<u8>> {
    let options = EncoderOptions {
        quality,
        ..EncoderOptions::default()
    };
    let mut encoder = Encoder::new(mode, &options).unwrap();
    pcm.chunks_exact(mode.frame_samples())
        .map(|frame| {
            let mut out = [0; MAX_FRAME_BYTES];
            let n = encoder.encode(frame, &mut out).unwrap();
            out[..n].to_vec()
        })
        .collect()
}

fn decode(mode: FrameMode, packets: &[Vec<u8>]) -> Vec<i16> {
    let mut decoder = Decoder::new(mode).unwrap();
    let mut pcm = Vec::new();
    for packet in packets {
        let mut out = [0; 320 * 10];
        let n = decoder.decode(packet, &mut out).unwrap();
        pcm.extend_from_slice(&out[..n]);
    }
    pcm
}

/// What libspeex makes of a payload by itself, without our walker.
fn decode_raw(mode: FrameMode, packets: &[Vec<u8>]) -> Vec<i16> {
    let mut decoder = Decoder::new(mode).unwrap();
    let mut pcm = Vec::new();
    for packet in packets {
        // SAFETY: as in `decode_frame`; the packets are our own encoder's.
        unsafe {
            ffi::speex_bits_read_from(
                &mut decoder.bits.0,
                packet.as_ptr().cast::<c_char>(),
                packet.len() as c_int,
            );
            let mut out = [0; 320];
            while ffi::speex_decode_int(decoder.state.as_ptr(), &mut decoder.bits.0, out.as_mut_ptr()) == 0 {
                pcm.extend_from_slice(&out[..mode.frame_samples()]);
            }
        }
    }
    pcm
}

/// Appends bits, most significant first.
#[derive(Default)]
struct BitWriter(Vec<bool>);

impl BitWriter {
    fn put(&mut self, value: u64, count: usize) -> &mut Self {
        self.0.extend((0..count).rev().map(|i| value >> i & 1 == 1));
        self
    }

    fn frame(&mut self, packet: &[u8], bits: usize) -> &mut Self {
        for i in 0..bits {
            self.put(u64::from(packet[i / 8] >> (7 - i % 8)), 1);
        }
        self
    }

    fn bytes(&self) -> Vec<u8> {
        self.0
            .chunks(8)
            .map(|c| {
                c.iter()
                    .enumerate()
                    .fold(0, |byte, (i, bit)| byte | u8::from(*bit) << (7 - i))
            })
            .collect()
    }
}

/// Length of a single-frame packet without its padding.
fn bits_of(packet: &[u8]) -> usize {
    let mut walk = split(packet, FrameMode::Wide);
    walk.locate().unwrap().unwrap().wide
}

/// Many frames in one bit stream, as Flash and ffmpeg send them, with a terminator if asked for.
fn pack(packets: &[Vec<u8>], terminator: bool) -> Vec<u8> {
    let mut bits = BitWriter::default();
    packets.iter().for_each(|p| {
        bits.frame(p, bits_of(p));
    });
    if terminator {
        bits.put(0b01111, 5);
    }
    while bits.0.len() % 8 != 0 {
        bits.put(1, 1);
    }
    bits.bytes()
}

/// Segmental signal to noise ratio of the best alignment, dB. The codec delays by some milliseconds.
fn similarity(a: &[i16], b: &[i16], longest: usize) -> f32 {
    let norm = |x: &[i16]| x.iter().map(|s| f32::from(*s).powi(2)).sum::<f32>().sqrt();
    (0..longest)
        .map(|lag| {
            let n = (a.len() - lag).min(b.len() - lag);
            let product: f32 = a[..n]
                .iter()
                .zip(&b[lag..])
                .map(|(x, y)| f32::from(*x) * f32::from(*y))
                .sum();
            product / (norm(&a[..n]) * norm(&b[lag..lag + n]) + 1.0)
        })
        .fold(0.0, f32::max)
}

#[test]
fn silence_in_the_table_is_what_the_encoder_makes_of_silence() {
    for (mode, silence) in [
        (FrameMode::Narrow, &SILENCE_NARROW[..]),
        (FrameMode::Wide, &SILENCE_WIDE[..]),
    ] {
        let packets = encode(mode, 6, &vec![0; mode.frame_samples() * 50]);
        assert_eq!(packets[49], silence);
    }
}

#[test]
fn a_voice_comes_back_alike_and_better_with_quality() {
    for mode in [FrameMode::Narrow, FrameMode::Wide] {
        let pcm = voice(mode.sample_rate(), 100);
        let alike = |quality| similarity(&pcm, &decode(mode, &encode(mode, quality, &pcm)), 500);
        assert!(alike(6) > 0.85, "{mode:?}: {}", alike(6));
        assert!(alike(10) > alike(2), "{mode:?}");
    }
}

#[test]
fn tones_keep_their_pitch() {
    for (mode, hz) in [
        (FrameMode::Narrow, 440.0),
        (FrameMode::Wide, 440.0),
        (FrameMode::Wide, 1_000.0),
    ] {
        let rate = mode.sample_rate();
        let mut pcm = vec![0; rate as usize];
        Tone::new(hz, -20.0, rate).fill(&mut pcm);
        let out = decode(mode, &encode(mode, 6, &pcm));
        assert!((measure(&out[4000..], rate, hz) + 20.0).abs() < 1.5);
        assert!(measure(&out[4000..], rate, hz * 1.5) < -40.0);
    }
}

#[test]
fn frames_of_every_quality_are_measured_as_libspeex_measures_them() {
    for mode in [FrameMode::Narrow, FrameMode::Wide] {
        for quality in 0..=10 {
            let packets = encode(mode, quality, &voice(mode.sample_rate(), 20));
            for packet in &packets {
                // Single packets are padded by less than a byte, so the length in bytes tells.
                assert_eq!(
                    bits_of(packet).div_ceil(8),
                    packet.len(),
                    "{mode:?} quality {quality}"
                );
                assert_eq!(frames(packet), 1);
            }
            for count in [2, 3, 5] {
                let many: Vec<_> = packets.chunks(count).map(|c| pack(c, true)).collect();
                assert_eq!(
                    decode_raw(mode, &many),
                    decode(mode, &many),
                    "{mode:?} q{quality}"
                );
                assert_eq!(decode(mode, &many), decode(mode, &packets), "{mode:?} q{quality}");
            }
        }
    }
}

#[test]
fn split_gives_the_packets_back_with_and_without_terminator() {
    for quality in [2, 4, 6, 8, 10] {
        let packets = encode(FrameMode::Wide, quality, &voice(16_000, 8));
        for terminator in [true, false] {
            let many = pack(&packets, terminator);
            assert_eq!(frames(&many), packets.len());
            let again: Vec<_> = split(&many, FrameMode::Wide)
                .map(|frame| frame.unwrap().to_vec())
                .collect();
            assert_eq!(again, packets);
        }
    }
}

#[test]
fn the_narrowband_layer_alone_is_what_libspeex_hears_in_the_whole() {
    let packets = encode(FrameMode::Wide, 6, &voice(16_000, 40));
    let stripped: Vec<Vec<u8>> = packets
        .iter()
        .map(|packet| {
            let mut out = [0; MAX_FRAME_BYTES];
            let n = strip_wideband(packet, &mut out).unwrap();
            assert_eq!(n, 38, "submode 5, 300 bits");
            out[..n].to_vec()
        })
        .collect();
    // libspeex's own narrowband decoder skips the wideband layer.
    let own = decode_raw(FrameMode::Narrow, &packets);
    assert_eq!(own.len(), 40 * 160);
    assert_eq!(decode(FrameMode::Narrow, &stripped), own);
    assert_eq!(decode_raw(FrameMode::Narrow, &stripped), own);
    assert_eq!(decode(FrameMode::Narrow, &packets), own);
    let many: Vec<_> = packets.chunks(4).map(|c| pack(c, false)).collect();
    assert_eq!(decode(FrameMode::Narrow, &many), own);
}

#[test]
fn a_wideband_decoder_plays_narrowband_packets() {
    let pcm = voice(8_000, 60);
    let out = decode(FrameMode::Wide, &encode(FrameMode::Narrow, 6, &pcm));
    assert_eq!(out.len(), 60 * 320);
    let every_second: Vec<i16> = out.iter().step_by(2).copied().collect();
    assert!(similarity(&pcm, &every_second, 300) > 0.9);
}

#[test]
fn in_band_messages_are_skipped_as_libspeex_skips_them() {
    let packets = encode(FrameMode::Wide, 6, &voice(16_000, 4));
    let plain = decode(FrameMode::Wide, &packets);
    for (request, bits) in [
        (0, 1),
        (1, 1),
        (2, 4),
        (7, 4),
        (8, 8),
        (9, 8),
        (10, 16),
        (12, 32),
        (14, 64),
        (15, 64),
    ] {
        let mut writer = BitWriter::default();
        for (i, packet) in packets.iter().enumerate() {
            writer.put(14, 5).put(request, 4).put(0, bits);
            if i == 2 {
                // A user message of 3 bytes.
                writer.put(13, 5).put(3, 4).put(9, 5).put(0xabcdef, 24);
            }
            writer.frame(packet, bits_of(packet));
        }
        writer.put(0b01111, 5);
        let packet = vec![writer.bytes()];
        assert_eq!(decode(FrameMode::Wide, &packet), plain, "request {request}");
        // Some requests change the decoder (enhancer off): only the count is compared.
        assert_eq!(
            decode_raw(FrameMode::Wide, &packet).len(),
            plain.len(),
            "request {request}"
        );
    }
}

#[test]
fn ultra_wideband_packets_are_played_as_wideband() {
    let packets = encode(FrameMode::Wide, 6, &voice(16_000, 6));
    let mut writer = BitWriter::default();
    for packet in &packets {
        writer
            .frame(packet, bits_of(packet))
            .put(1, 1)
            .put(1, 3)
            .put(0x1234_5678, 32);
    }
    writer.put(0b01111, 5);
    let packet = [writer.bytes()];
    assert_eq!(frames(&packet[0]), 6);
    assert_eq!(
        decode(FrameMode::Wide, &packet),
        decode(FrameMode::Wide, &packets)
    );
}

#[test]
fn a_wideband_layer_over_a_silent_narrowband_frame_is_left_out() {
    let mut writer = BitWriter::default();
    for _ in 0..3 {
        writer
            .put(0, 5)
            .put(1, 1)
            .put(4, 3)
            .put(u64::MAX, 64)
            .put(u64::MAX, 64)
            .put(u64::MAX, 64);
        writer.put(u64::MAX, 64).put(u64::MAX, 64).put(u64::MAX, 28);
    }
    let packet = writer.bytes();
    let split: Vec<_> = split(&packet, FrameMode::Wide)
        .map(|f| f.unwrap().to_vec())
        .collect();
    assert_eq!(split, [[0b0000_0011], [0b0000_0011], [0b0000_0011]]);
    assert!(crate::level::peak(&decode(FrameMode::Wide, &[packet])) <= 8);
}

#[test]
fn what_is_cut_short_or_wrong_is_an_error_and_good_frames_before_it_are_played() {
    let packet = encode(FrameMode::Wide, 6, &voice(16_000, 5)).pop().unwrap();
    let mut decoder = Decoder::new(FrameMode::Wide).unwrap();
    let mut out = [0; 640];
    for (bytes, error) in [
        (&[][..], Error::Truncated { bytes: 0 }),
        (&packet[..20], Error::Truncated { bytes: 20 }),
        (&[0x7f], Error::Truncated { bytes: 1 }),
        (&[0xff; 20], Error::Malformed { bit: 0 }),
        (&[9 << 3; 20], Error::Malformed { bit: 0 }),
    ] {
        assert_eq!(decoder.decode(bytes, &mut out), Err(error));
    }
    // The wideband layer is cut: the narrowband one still plays.
    assert_eq!(decoder.decode(&packet[..45], &mut out), Ok(320));
    let mut walk = split(&packet[..45], FrameMode::Wide);
    assert_eq!(walk.next().unwrap().unwrap().len(), 38);
    assert_eq!(walk.next().unwrap().unwrap_err(), Error::Truncated { bytes: 45 });
    assert!(walk.next().is_none());
    let mut two = packet.clone();
    two.extend([0xff; 9]);
    assert_eq!(decoder.decode(&two, &mut out), Ok(320));
    assert_eq!(
        decoder.decode(&packet, &mut out[..319]),
        Err(Error::OutputTooSmall { want: 320, got: 319 })
    );
}

#[test]
fn output_for_fewer_frames_takes_the_first_ones() {
    let packets = encode(FrameMode::Narrow, 6, &voice(8_000, 4));
    let all = decode(FrameMode::Narrow, &packets);
    let mut out = [0; 500];
    let n = Decoder::new(FrameMode::Narrow)
        .unwrap()
        .decode(&pack(&packets, true), &mut out)
        .unwrap();
    assert_eq!(out[..n], all[..480]);
}

#[test]
fn lost_frames_are_filled_and_fade() {
    for mode in [FrameMode::Narrow, FrameMode::Wide] {
        let packets = encode(mode, 6, &voice(mode.sample_rate(), 25));
        let mut decoder = Decoder::new(mode).unwrap();
        let mut out = [0; 320];
        let mut level = 0.0;
        for packet in &packets {
            let n = decoder.decode(packet, &mut out).unwrap();
            level = crate::level::dbov(&out[..n]);
        }
        let n = decoder.conceal(&mut out);
        assert_eq!(n, mode.frame_samples());
        assert!((crate::level::dbov(&out[..n]) - level).abs() < 8.0);
        for _ in 0..25 {
            decoder.conceal(&mut out);
        }
        assert!(crate::level::dbov(&out[..n]) < level - 20.0);
        assert_eq!(decoder.conceal(&mut out[..50]), 50);
    }
}

/// Loudest 200 ms, dBov, of a steady tone of -22 dBov that lost a frame or was joined in the middle; the first 3 s
/// after that are left out.
fn after_a_gap(mode: FrameMode, hz: f32, joined: bool) -> f32 {
    let mut pcm = vec![0; mode.sample_rate() as usize * 6];
    Tone::new(hz, -22.0, mode.sample_rate()).fill(&mut pcm);
    let packets = encode(mode, 6, &pcm);
    let mut decoder = Decoder::new(mode).unwrap();
    let mut out = [0; 320];
    let mut heard = Vec::new();
    for (i, packet) in packets.iter().enumerate() {
        let n = match i {
            0..50 if joined => continue,
            50 if !joined => decoder.conceal(&mut out),
            _ => decoder.decode(packet, &mut out).unwrap(),
        };
        if i >= 200 {
            heard.extend_from_slice(&out[..n]);
        }
    }
    heard
        .chunks(mode.frame_samples() * 10)
        .map(crate::level::dbov)
        .fold(-127.0, f32::max)
}

#[test]
fn a_tone_with_a_gap_does_not_end_at_full_scale() {
    for mode in [FrameMode::Narrow, FrameMode::Wide] {
        for hz in (150..1_600).step_by(50) {
            let lost = after_a_gap(mode, hz as f32, false);
            assert!(lost < -9.0, "{mode:?}, {hz} Hz, a frame lost: {lost} dBov");
            let joined = after_a_gap(mode, hz as f32, true);
            assert!(joined < -4.5, "{mode:?}, {hz} Hz, joined: {joined} dBov");
        }
    }
}

#[test]
fn loud_speech_is_not_turned_down() {
    for mode in [FrameMode::Narrow, FrameMode::Wide] {
        let mut loud = voice(mode.sample_rate(), 200);
        let most = f32::from(crate::level::peak(&loud));
        loud.iter_mut()
            .for_each(|s| *s = (f32::from(*s) * 32_000.0 / most) as i16);
        let packets = encode(mode, 6, &loud);
        let (mut guarded, mut bare) = (Decoder::new(mode).unwrap(), Decoder::new(mode).unwrap());
        for (i, packet) in packets.iter().enumerate() {
            let (mut a, mut b) = ([0; 320], [0; 320]);
            if i % 40 == 39 {
                guarded.conceal(&mut a);
                bare.conceal(&mut b);
                continue;
            }
            bare.guard = Guard::new();
            assert_eq!(guarded.decode(packet, &mut a), bare.decode(packet, &mut b));
            assert_eq!(a, b, "frame {i}");
        }
    }
}

#[test]
fn reset_makes_coders_as_new() {
    for mode in [FrameMode::Narrow, FrameMode::Wide] {
        let pcm = voice(mode.sample_rate(), 10);
        let mut encoder = Encoder::new(mode, &EncoderOptions::default()).unwrap();
        let mut decoder = Decoder::new(mode).unwrap();
        let mut runs = Vec::new();
        for _ in 0..2 {
            let (mut bytes, mut out) = ([0; MAX_FRAME_BYTES], [0; 320]);
            let mut run = Vec::new();
            for frame in pcm.chunks_exact(mode.frame_samples()) {
                let n = encoder.encode(frame, &mut bytes).unwrap();
                let n = decoder.decode(&bytes[..n], &mut out).unwrap();
                run.extend_from_slice(&out[..n]);
            }
            runs.push(run);
            encoder.reset();
            decoder.reset();
        }
        assert_eq!(runs[0], runs[1], "{mode:?}");
    }
}

#[test]
fn wrong_arguments_are_refused() {
    let mut encoder = Encoder::new(FrameMode::Wide, &EncoderOptions::default()).unwrap();
    assert_eq!(
        encoder.encode(&[0; 160], &mut [0; 200]),
        Err(Error::FrameLength { want: 320, got: 160 })
    );
    assert_eq!(
        encoder.encode(&[0; 320], &mut [0; 50]),
        Err(Error::OutputTooSmall {
            want: MAX_FRAME_BYTES,
            got: 50
        })
    );
}

proptest! {
    /// The walker's answer about a payload is libspeex's, as far as libspeex is safe to ask.
    #[test]
    fn walks_end_and_frames_are_walkable(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
        for mode in [FrameMode::Narrow, FrameMode::Wide] {
            let mut good = 0;
            let mut errors = 0;
            for frame in split(&payload, mode) {
                match frame {
                    Ok(frame) => {
                        good += 1;
                        prop_assert!(frame.len() <= MAX_FRAME_BYTES);
                        prop_assert_eq!(frames(&frame), 1);
                        let again: Vec<_> = split(&frame, mode).map(|f| f.unwrap().to_vec()).collect();
                        prop_assert_eq!(&again, &vec![frame.to_vec()]);
                    }
                    Err(_) => errors += 1,
                }
            }
            prop_assert!(errors <= 1);
            prop_assert_eq!(good, frames(&payload));
        }
    }
}
