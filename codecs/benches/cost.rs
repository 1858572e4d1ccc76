//! Processor time of every codec and of the signal processing, microseconds per 20 ms: `cargo bench -p codecs`.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use codecs::{EncoderOptions, TABLE, decoder, dtmf, encoder, resample, stretch, vad};
use std::hint::black_box;

/// Microseconds of one call, the median of 9 runs of a second of audio each.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn cost(mut work: impl FnMut(usize)) -> f64 {
    let mut runs: Vec<f64> = (0..9)
        .map(|_| {
            let start = std::time::Instant::now();
            (0..50).for_each(&mut work);
            start.elapsed().as_secs_f64() * 1e6 / 50.0
        })
        .collect();
    runs.sort_by(f64::total_cmp);
    runs[4]
}

fn voice(rate: u32) -> Vec<i16> {
    let mut phase = 0.0f32;
    (0..rate)
        .map(|i| {
            let t = i as f32 / rate as f32;
            phase = (phase + (140.0 + 40.0 * (t * 3.0).sin()) / rate as f32).fract();
            let sum: f32 = (1..=20)
                .map(|h| (phase * h as f32 * std::f32::consts::TAU).sin() / (1.0 + (h as f32 - 4.0).abs()))
                .sum();
            (sum * 3_000.0) as i16
        })
        .collect()
}

fn main() {
    println!("| codec | encode | decode | conceal |\n|---|---|---|---|");
    for row in TABLE.iter().filter(|row| row.encodes) {
        let mut encoder = encoder(row.id, &EncoderOptions::default()).unwrap();
        let mut decoder = decoder(row.id, 0).unwrap();
        let n = encoder.frame_samples();
        // A frame is not always 20 ms.
        let scale = encoder.sample_rate() as f64 / 50.0 / n as f64;
        let pcm = voice(encoder.sample_rate());
        let frame = |i: usize| {
            let at = i * n % (pcm.len() - n);
            &pcm[at..at + n]
        };
        let mut bytes = [0; 4_000];
        let mut payloads = Vec::new();
        let encode = cost(|i| {
            let n = encoder.encode(frame(i), &mut bytes).unwrap();
            payloads.push(bytes[..n].to_vec());
        });
        let mut out = [0; 4_000];
        let _ = decoder.decode(row.configuration, &mut out);
        let decode = cost(|i| {
            black_box(decoder.decode(&payloads[i], &mut out).unwrap());
        });
        let conceal = cost(|_| {
            black_box(decoder.conceal(&mut out));
        });
        println!(
            "| {} | {:.2} | {:.2} | {:.2} |",
            row.label,
            encode * scale,
            decode * scale,
            conceal
        );
    }
    println!("\n| signal processing | us |\n|---|---|");
    let mut out = [0; 4_000];
    for (from, to) in [
        (16_000, 8_000),
        (8_000, 16_000),
        (16_000, 48_000),
        (48_000, 16_000),
        (44_100, 16_000),
    ] {
        let pcm = voice(from);
        let n = from as usize / 50;
        let mut resampler = resample::Resampler::new(from, to, 3).unwrap();
        let us = cost(|i| {
            black_box(resampler.process(&pcm[i * n..(i + 1) * n], &mut out));
        });
        println!("| resample {from} to {to} | {us:.2} |");
    }
    for rate in [8_000, 16_000] {
        let pcm = voice(rate);
        let n = rate as usize / 50;
        let mut digits = dtmf::Detector::new(rate);
        let us = cost(|i| {
            digits.push(&pcm[i * n..(i + 1) * n], |e| {
                assert_ne!(e, dtmf::Event::Start('x'))
            })
        });
        println!("| digits {rate} | {us:.2} |");
        let mut stretch = stretch::Stretch::new(rate);
        let us = cost(|i| {
            black_box(stretch.compress(&pcm[i * n..(i + 1) * n], &mut out));
        });
        println!("| compress {rate} | {us:.2} |");
        let mut vad = vad::Vad::new(rate);
        let us = cost(|i| {
            black_box(vad.push(&pcm[i * n..(i + 1) * n]));
        });
        println!("| voice activity {rate} | {us:.2} |");
    }
}
