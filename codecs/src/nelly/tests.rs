use super::*;
use crate::tone::{Tone, measure};
use crate::{Decoder as _, Encoder as _};

fn encode(rate: u32, pcm: &[i16]) -> Vec<u8> {
    let mut encoder = Encoder::new(rate);
    let mut bytes = Vec::new();
    for frame in pcm.chunks_exact(BLOCK_SAMPLES) {
        let mut block = [0xff; BLOCK_BYTES];
        assert_eq!(encoder.encode(frame, &mut block), Ok(BLOCK_BYTES));
        bytes.extend(block);
    }
    bytes
}

fn decode(rate: u32, bytes: &[u8]) -> Vec<i16> {
    let mut out = vec![0; bytes.len() / BLOCK_BYTES * BLOCK_SAMPLES];
    assert_eq!(Decoder::new(rate).decode(bytes, &mut out), Ok(out.len()));
    out
}

#[test]
fn silence_in_the_table_is_what_the_encoder_makes_of_silence() {
    assert_eq!(encode(8_000, &[0; BLOCK_SAMPLES * 3])[2 * BLOCK_BYTES..], SILENCE);
}

#[test]
fn tables_fit_each_other() {
    assert_eq!(BANDS.iter().sum::<usize>(), SENT);
    assert_eq!(HEADER_BITS + 2 * bits::BUDGET, BLOCK_BYTES * 8);
    for n in 1..=6 {
        let table = &LEVELS[(1 << n) - 1..(2 << n) - 1];
        assert!(table.is_sorted(), "values of {n} bits");
    }
    assert!(STARTS.is_sorted() && DELTAS.is_sorted());
}

#[test]
fn tones_come_back_128_samples_later_at_their_level() {
    for (rate, hz) in [
        (8_000, 440.0),
        (8_000, 1_000.0),
        (16_000, 1_000.0),
        (22_050, 3_000.0),
    ] {
        let mut pcm = vec![0; BLOCK_SAMPLES * 40];
        Tone::new(hz, -15.0, rate).fill(&mut pcm);
        let out = decode(rate, &encode(rate, &pcm));
        let level = measure(&out[2_000..], rate, hz);
        assert!((level + 15.0).abs() < 3.0, "{rate} Hz, tone {hz}: {level}");
        let error: Vec<i16> = pcm[1_000..8_000]
            .iter()
            .zip(&out[1_128..])
            .map(|(a, b)| a.saturating_sub(*b))
            .collect();
        let error = crate::level::dbov(&error);
        assert!(error < -20.0, "{rate} Hz, tone {hz}: {error}");
    }
}

#[test]
fn no_levels_ask_for_more_bits_than_there_are() {
    let mut seed = 1u32;
    for _ in 0..20_000 {
        let mut level = 0;
        let levels = std::array::from_fn(|i| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let pick = (seed >> 20) as usize;
            level += if i == 0 {
                STARTS[pick % 64]
            } else {
                DELTAS[pick % 32]
            };
            level
        });
        let bits = bits::allocate(&spread(&levels));
        let total: usize = bits.iter().map(|b| usize::from(*b)).sum();
        assert!(total <= bits::BUDGET);
    }
}

#[test]
fn bits_are_read_as_they_are_written() {
    let mut bytes = [0; 8];
    let mut writer = BitWriter {
        bytes: &mut bytes,
        at: 0,
    };
    let values = [(5, 3), (63, 6), (0, 5), (17, 5), (1, 1), (42, 6), (9, 4)];
    values.iter().for_each(|(value, bits)| writer.put(*value, *bits));
    let mut reader = BitReader { bytes: &bytes, at: 0 };
    for (value, bits) in values {
        assert_eq!(reader.take(bits), value);
    }
}

#[test]
fn short_payloads_are_errors_and_a_lost_frame_is_filled() {
    let mut pcm = vec![0; BLOCK_SAMPLES * 20];
    Tone::new(200.0, -15.0, 8_000).fill(&mut pcm);
    let bytes = encode(8_000, &pcm);
    let mut decoder = Decoder::new(8_000);
    let mut out = [0; BLOCK_SAMPLES];
    for block in bytes.chunks(BLOCK_BYTES) {
        decoder.decode(block, &mut out).unwrap();
    }
    assert_eq!(
        decoder.decode(&bytes[..63], &mut out),
        Err(Error::Truncated { bytes: 63 })
    );
    assert_eq!(
        decoder.decode(&bytes, &mut out[..255]),
        Err(Error::OutputTooSmall { want: 256, got: 255 })
    );
    assert_eq!(decoder.conceal(&mut out), 160);
    assert!((crate::level::dbov(&out[..80]) + 15.0).abs() < 2.0);
}
