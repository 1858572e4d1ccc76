//! Processor time of a room, by members, talkers and codec: `cargo bench -p media`.
//!
//! Those who do not talk send a soft room noise all the time, as a microphone without silence suppression does:
//! the dear case. Time is that of this thread alone, so a busy machine shows less than on a wall clock.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use base::{LegId, Time};
use codecs::{CodecId, EncoderOptions, codec, decoder, encoder};
use media::{MediaTime, RoomMixer, RoomOptions, max_frame_bytes};

/// Nanoseconds this thread has run.
fn ran() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse().unwrap()
}

fn voice(rate: u32, dbov: f32) -> Vec<i16> {
    let (mut phase, mut seed) = (0f32, 1u32);
    let gain = 10f32.powf((dbov + 20.0) / 20.0);
    (0..rate)
        .map(|i| {
            let t = i as f32 / rate as f32;
            phase = (phase + (140.0 + 40.0 * (t * 3.0).sin()) / rate as f32).fract();
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (seed >> 8) as f32 / 8_388_608.0 - 1.0;
            let sum: f32 = (1..=12)
                .map(|h| (phase * h as f32 * std::f32::consts::TAU).sin() / (1.0 + (h as f32 - 4.0).abs()))
                .sum();
            ((sum * 2_000.0 + noise * 300.0) * gain) as i16
        })
        .collect()
}

/// A second of frames.
fn payloads(id: CodecId, dbov: f32) -> Vec<Vec<u8>> {
    let mut encoder = encoder(id, &EncoderOptions::default()).unwrap();
    let pcm = voice(encoder.sample_rate(), dbov);
    pcm.chunks_exact(encoder.frame_samples())
        .map(|frame| {
            let mut out = vec![0; max_frame_bytes()];
            let n = encoder.encode(frame, &mut out).unwrap();
            out.truncate(n);
            out
        })
        .collect()
}

/// Microseconds of one encoding and one decoding.
fn bare(id: CodecId) -> (f64, f64) {
    let frames = payloads(id, -20.0);
    let mut enc = encoder(id, &EncoderOptions::default()).unwrap();
    let mut dec = decoder(id, 0).unwrap();
    let pcm = voice(enc.sample_rate(), -20.0);
    let (n, mut out, mut bytes) = (enc.frame_samples(), [0; 2_000], vec![0; max_frame_bytes()]);
    let rounds = 40;
    let began = ran();
    for _ in 0..rounds {
        for frame in pcm.chunks_exact(n) {
            enc.encode(frame, &mut bytes).unwrap();
        }
    }
    let encoded = ran();
    for _ in 0..rounds {
        for frame in &frames {
            dec.decode(frame, &mut out).unwrap();
        }
    }
    let per = |ns: u64| ns as f64 / 1e3 / f64::from(rounds) / frames.len() as f64;
    (per(encoded - began), per(ran() - encoded))
}

/// Microseconds of a slot for each member.
fn room(id: CodecId, members: usize, talkers: usize) -> f64 {
    let (loud, soft) = (payloads(id, -20.0), payloads(id, -68.0));
    let mut room = RoomMixer::new(RoomOptions {
        talkers: 64,
        ..RoomOptions::default()
    });
    let legs: Vec<LegId> = (0..members as u64).map(LegId).collect();
    legs.iter().for_each(|leg| room.join(*leg));
    let ticks = codec(id).rtp_clock / 50;
    let mut heard = 0;
    let mut slot = |n: usize| {
        let now = Time::from_millis(n as u64 * 20);
        for (i, leg) in legs.iter().enumerate() {
            let frames = if i < talkers { &loud } else { &soft };
            let frame = &frames[(n + i * 7) % frames.len()];
            let time = MediaTime::new(n as u64 * u64::from(ticks), codec(id).rtp_clock);
            room.push(now, *leg, id, time, frame);
        }
        room.mix();
        for leg in &legs {
            heard += room.hear(*leg, id).frames().map(|(p, ..)| p.len()).sum::<usize>();
        }
    };
    (0..100).for_each(&mut slot);
    let began = ran();
    (100..300).for_each(&mut slot);
    let took = ran() - began;
    assert!(heard > 0);
    took as f64 / 1e3 / 200.0 / members as f64
}

fn main() {
    println!(
        "| codec | members | talkers | µs a member and slot | of one encoder | of the necessary codec work |"
    );
    println!("|---|---|---|---|---|---|");
    for id in [CodecId::SpeexWb, CodecId::Pcmu, CodecId::G722, CodecId::Opus] {
        let (encode, decode) = bare(id);
        for members in [5usize, 20, 50, 100] {
            for talkers in [1, 3, members] {
                let took = room(id, members, talkers);
                // One for each talker and one for all the others together.
                let encodes = talkers.min(64) + usize::from(talkers < members);
                let necessary = decode + encode * encodes as f64 / members as f64;
                println!(
                    "| {} | {members} | {talkers} | {took:.1} | {:.2} | {:.2} |",
                    codec(id).label,
                    took / encode,
                    took / necessary
                );
            }
        }
        println!(
            "| {} alone: encodes in {encode:.1} µs, decodes in {decode:.1} µs | | | | | |",
            codec(id).label
        );
    }
}
