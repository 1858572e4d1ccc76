use super::*;
use crate::netem::{Netem, NetemOptions};
use crate::{JitterBuffer, Out, RtpPacket};
use base::{Rng, Time};
use codecs::tone::{Tone, measure};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

const ALL: [CodecId; 6] = [
    CodecId::Pcmu,
    CodecId::Pcma,
    CodecId::SpeexNb,
    CodecId::SpeexWb,
    CodecId::L16_8,
    CodecId::L16_16,
];

/// Frames of a 1 kHz tone at -15 dBov, one payload each.
fn tone_frames(id: CodecId, count: usize) -> Vec<Vec<u8>> {
    let c = codec(id);
    let mut tone = Tone::new(1_000.0, -15.0, c.sample_rate);
    let mut encoder = codecs::encoder(id, &EncoderOptions::default()).unwrap();
    (0..count)
        .map(|_| {
            let mut pcm = vec![0; c.frame()];
            tone.fill(&mut pcm);
            let mut out = vec![0; max_frame_bytes()];
            let n = encoder.encode(&pcm, &mut out).unwrap();
            out.truncate(n);
            out
        })
        .collect()
}

fn ms(t: u64) -> MediaTime {
    MediaTime::new(t, 1000)
}

/// Takes out all frames, decoded, with their times in ms.
fn hear(pipe: &mut Pipe, decoder: &mut dyn codecs::Decoder, pcm: &mut Vec<i16>) -> Vec<u64> {
    let (mut buf, mut frame) = (vec![0; max_frame_bytes()], vec![0; 2_000]);
    let mut times = Vec::new();
    while let Some(f) = pipe.next_frame(&mut buf) {
        assert_eq!(f.ticks, pipe.frame_ticks());
        let n = decoder.decode(&buf[..f.len], &mut frame).unwrap();
        pcm.extend_from_slice(&frame[..n]);
        times.push(f.time.as_millis());
    }
    times
}

#[test]
fn a_tone_passes_between_any_two_codecs() {
    for from in ALL {
        for to in ALL {
            for shortcuts in [true, false] {
                let options = PipeOptions {
                    narrow_decode: shortcuts,
                    narrow_encode: shortcuts,
                    ..PipeOptions::default()
                };
                let mut pipe = Pipe::plan(from, to, &options).unwrap();
                assert_eq!(pipe.is_pass(), from == to);
                let mut decoder = codecs::decoder(to, 0).unwrap();
                let mut pcm = Vec::new();
                let mut times = Vec::new();
                for (i, frame) in tone_frames(from, 100).iter().enumerate() {
                    pipe.push(ms(i as u64 * 20), frame).unwrap();
                    times.extend(hear(&mut pipe, decoder.as_mut(), &mut pcm));
                }
                assert!(times.len() >= 99, "{from:?} {to:?}: {}", times.len());
                assert!(
                    times
                        .iter()
                        .enumerate()
                        .all(|(i, t)| t.abs_diff(i as u64 * 20) <= 1),
                    "{from:?} {to:?}: {times:?}"
                );
                let rate = decoder.sample_rate();
                let settled = &pcm[pcm.len() / 2..];
                let level = measure(settled, rate, 1_000.0);
                assert!(
                    (-18.0..-13.5).contains(&level),
                    "{from:?} {to:?} {shortcuts}: {level} dBov"
                );
                assert!(pipe.depth_ms() < 20);
            }
        }
    }
}

#[test]
fn short_cuts_halve_the_cost() {
    let plan = |from, to, on| {
        let options = PipeOptions {
            narrow_decode: on,
            narrow_encode: on,
            ..PipeOptions::default()
        };
        Pipe::plan(from, to, &options).unwrap().cost_us()
    };
    for (from, to) in [
        (CodecId::SpeexWb, CodecId::Pcmu),
        (CodecId::Pcmu, CodecId::SpeexWb),
    ] {
        assert!(plan(from, to, true) < plan(from, to, false), "{from:?} {to:?}");
    }
    assert!(plan(CodecId::SpeexWb, CodecId::SpeexWb, true) <= 1);
}

/// Bits of a one-frame packet without its padding: a 0 and then 1s (RFC 5574 §3.3).
fn bits(frame: &[u8]) -> Vec<bool> {
    let mut bits: Vec<bool> = frame
        .iter()
        .flat_map(|b| (0..8).map(move |i| b >> (7 - i) & 1 == 1))
        .collect();
    while bits.pop() == Some(true) {}
    bits
}

#[test]
fn a_message_of_many_speex_frames_becomes_the_frames_it_was_made_of() {
    for id in [CodecId::SpeexNb, CodecId::SpeexWb] {
        let frames = tone_frames(id, 10);
        let mut all: Vec<bool> = frames.iter().flat_map(|f| bits(f)).collect();
        all.push(false);
        while !all.len().is_multiple_of(8) {
            all.push(true);
        }
        let message: Vec<u8> = all
            .chunks(8)
            .map(|c| c.iter().fold(0, |b, bit| b << 1 | u8::from(*bit)))
            .collect();
        let mut pipe = Pipe::plan(id, id, &PipeOptions::default()).unwrap();
        assert_eq!(pipe.push(ms(1_000), &message), Ok(10 * pipe.frame_ticks()));
        let mut out = [0; 200];
        for (i, frame) in frames.iter().enumerate() {
            let f = pipe.next_frame(&mut out).unwrap();
            assert_eq!(&out[..f.len], &frame[..], "{id:?}");
            assert_eq!(f.time.as_millis(), 1_000 + i as u64 * 20);
        }
        assert_eq!(pipe.next_frame(&mut out), None);
    }
}

#[test]
fn one_lost_frame_is_not_heard_as_a_hole() {
    for (from, to) in [
        (CodecId::Pcmu, CodecId::Pcmu),
        (CodecId::Pcmu, CodecId::SpeexWb),
        (CodecId::SpeexWb, CodecId::Pcma),
        (CodecId::SpeexWb, CodecId::SpeexWb),
    ] {
        let mut pipe = Pipe::plan(from, to, &PipeOptions::default()).unwrap();
        let mut decoder = codecs::decoder(to, 0).unwrap();
        let (mut pcm, mut frames) = (Vec::new(), 0);
        for (i, frame) in tone_frames(from, 50).iter().enumerate() {
            if i == 30 {
                pipe.conceal(MediaTime::new(30 * 160, 8_000), 160);
            } else {
                pipe.push(ms(i as u64 * 20), frame).unwrap();
            }
            frames += hear(&mut pipe, decoder.as_mut(), &mut pcm).len();
        }
        assert_eq!(frames, 50);
        let n = decoder.sample_rate() as usize / 50;
        for (i, slot) in pcm.chunks(n).enumerate().skip(28).take(8) {
            let level = codecs::level::dbov(slot);
            assert!(level > -24.0, "{from:?} {to:?}: slot {i} at {level} dBov");
        }
    }
}

#[test]
fn compressing_removes_time_and_keeps_the_pitch() {
    for (from, to) in [
        (CodecId::Pcmu, CodecId::Pcmu),
        (CodecId::SpeexWb, CodecId::Pcmu),
        (CodecId::L16_16, CodecId::SpeexWb),
    ] {
        let mut pipe = Pipe::plan(from, to, &PipeOptions::default()).unwrap();
        let mut decoder = codecs::decoder(to, 0).unwrap();
        let mut pcm = Vec::new();
        let mut buf = vec![0; max_frame_bytes()];
        let mut removed = 0;
        for (i, frame) in tone_frames(from, 200).iter().enumerate() {
            pipe.push(ms(i as u64 * 20), frame).unwrap();
            if pipe.depth_ms() >= 60 {
                let before = pipe.depth();
                if i % 4 == 0 {
                    let by = pipe.compress_one(u32::MAX);
                    assert_eq!(pipe.depth(), before - by);
                    removed += by;
                }
                if let Some(f) = pipe.next_frame(&mut buf) {
                    let mut out = [0; 640];
                    let n = decoder.decode(&buf[..f.len], &mut out).unwrap();
                    pcm.extend_from_slice(&out[..n]);
                }
            }
        }
        assert!(
            removed > pipe.frame_ticks() * 5,
            "{from:?} {to:?}: {removed} ticks"
        );
        let level = measure(&pcm[pcm.len() / 3..], decoder.sample_rate(), 1_000.0);
        assert!(level > -17.0, "{from:?} {to:?}: {level} dBov");
    }
}

/// A tone through a bad network, the jitter buffer and a pipe: how much of it is left.
#[test]
fn a_tone_survives_loss() {
    for (from, to) in [
        (CodecId::Pcmu, CodecId::SpeexWb),
        (CodecId::SpeexWb, CodecId::SpeexWb),
    ] {
        for (loss, floor) in [(0.01, -18.0), (0.10, -19.5), (0.30, -24.0)] {
            let options = NetemOptions {
                loss,
                jitter: std::time::Duration::from_millis(30),
                in_order: false,
                duplicate: 0.02,
                ..NetemOptions::default()
            };
            let mut net = Netem::new(options, Rng::new(11));
            let c = codec(from);
            let mut jitter = JitterBuffer::new(c.rtp_clock, 20, c.max_frame_bytes);
            let mut pipe = Pipe::plan(from, to, &PipeOptions::default()).unwrap();
            let mut decoder = codecs::decoder(to, 0).unwrap();
            let (mut pcm, mut times) = (Vec::new(), Vec::new());
            let frames = tone_frames(from, 1_000);
            for now in 0..20_100u64 {
                let t = Time::from_millis(now);
                if now % 20 == 0 && now / 20 < 1_000 {
                    net.send(t, (now / 20) as usize);
                }
                while let Some(i) = net.poll(t) {
                    let packet = RtpPacket {
                        payload_type: 0,
                        marker: false,
                        seq: i as u16,
                        timestamp: i as u32 * c.rtp_clock / 50,
                        ssrc: 1,
                        payload: &frames[i],
                    };
                    jitter.insert(t, &packet).unwrap();
                }
                while let Some(out) = jitter.poll(t) {
                    match out {
                        Out::Frame { payload, time, .. } => {
                            pipe.push(time, payload).unwrap();
                        }
                        Out::Lost { time, ticks } => pipe.conceal(time, ticks),
                    }
                    times.extend(hear(&mut pipe, decoder.as_mut(), &mut pcm));
                }
            }
            assert!(times.windows(2).all(|w| w[1] > w[0]), "time goes back");
            // Holes are only what was too long to conceal.
            assert!(times.len() >= 985, "{from:?} {loss}: {}", times.len());
            // By tenths of a second, for a concealed frame may shift the phase of what follows.
            let rate = decoder.sample_rate();
            let powers: Vec<f32> = pcm
                .chunks_exact(rate as usize / 10)
                .map(|c| 10f32.powf(measure(c, rate, 1_000.0) / 10.0))
                .collect();
            let level = 10.0 * (powers.iter().sum::<f32>() / powers.len() as f32).log10();
            // This decoder is not told of what was lost, so a tone that runs away is turned down to the usual level of
            // speech, and distorted by what ran away.
            let floor = if from == to { f32::min(floor, -29.0) } else { floor };
            assert!(level > floor, "{from:?} {to:?} at {loss}: {level} dBov");
        }
    }
}

#[test]
fn what_waits_is_bounded_and_the_oldest_goes() {
    for to in ALL {
        let options = PipeOptions {
            buffer_ms: 100,
            ..PipeOptions::default()
        };
        let mut pipe = Pipe::plan(CodecId::Pcmu, to, &options).unwrap();
        for i in 0..100u64 {
            pipe.push(ms(i * 20), &[0xff; 160]).unwrap();
            assert!(pipe.depth_ms() <= 120);
        }
        assert!(pipe.dropped() > 0);
        let mut buf = vec![0; max_frame_bytes()];
        let first = pipe.next_frame(&mut buf).unwrap();
        assert!(first.time.as_millis() >= 1_880, "{to:?}: {:?}", first.time);
    }
}

proptest! {
    /// G.711 and L16 pass byte for byte, however they are cut.
    #[test]
    fn pass_through_is_exact(sizes in proptest::collection::vec(1usize..400, 1..20), l16 in any::<bool>()) {
        let (id, width) = if l16 { (CodecId::L16_16, 2) } else { (CodecId::Pcmu, 1) };
        let options = PipeOptions { buffer_ms: 1_000, ..PipeOptions::default() };
        let mut pipe = Pipe::plan(id, id, &options).unwrap();
        let (mut sent, mut got, mut out) = (Vec::new(), Vec::new(), [0; 640]);
        for (i, n) in sizes.iter().enumerate() {
            let message: Vec<u8> = (0..n * width).map(|j| (i * 31 + j * 7) as u8).collect();
            pipe.push(ms(0), &message).unwrap();
            sent.extend(message);
            while let Some(f) = pipe.next_frame(&mut out) {
                got.extend_from_slice(&out[..f.len]);
            }
        }
        prop_assert_eq!(&got[..], &sent[..got.len()]);
        prop_assert!(sent.len() - got.len() < 640);
    }

    /// Any bytes as payload: no panic, and the depth is what went in less what came out.
    #[test]
    fn garbage_is_survived(body in proptest::collection::vec(any::<u8>(), 0..600), from in 0usize..6, to in 0usize..6) {
        let mut pipe = Pipe::plan(ALL[from], ALL[to], &PipeOptions::default()).unwrap();
        let mut out = vec![0; max_frame_bytes()];
        for _ in 0..3 {
            let before = pipe.depth();
            if let Ok(taken) = pipe.push(ms(0), &body) {
                prop_assert!(pipe.depth() <= before + taken);
            }
            pipe.is_silent_front();
            pipe.compress_one(u32::MAX);
            while let Some(f) = pipe.next_frame(&mut out) {
                prop_assert!(f.len <= out.len());
            }
        }
    }
}

#[test]
fn payloads_that_cannot_be_cut_pass_whole() {
    for id in [CodecId::Opus, CodecId::G722, CodecId::Nelly8, CodecId::Nelly16] {
        let mut pipe = Pipe::plan(id, id, &PipeOptions::default()).unwrap();
        assert!(pipe.is_pass() && pipe.is_whole() && !pipe.can_compress());
        let mut out = vec![0; max_frame_bytes()];
        let ticks = codec(id).rtp_ticks(codec(id).frame(), codec(id).sample_rate);
        for (n, payload) in tone_frames(id, 20).iter().enumerate() {
            let at = MediaTime::new(n as u64 * u64::from(ticks), codec(id).rtp_clock);
            assert_eq!(pipe.push(at, payload), Ok(ticks));
            let frame = pipe.next_frame(&mut out).unwrap();
            assert_eq!(
                (&out[..frame.len], frame.ticks, frame.time),
                (&payload[..], ticks, at)
            );
        }
        assert_eq!(pipe.push(ms(0), &[]), Err(Error::BadPayload));
        // What waits is bounded, oldest first.
        let payload = tone_frames(id, 1).remove(0);
        for _ in 0..1_000 {
            pipe.push(ms(0), &payload).unwrap();
        }
        assert!(
            pipe.depth_ms() <= 240 + 2 * 1_000 * ticks / codec(id).rtp_clock,
            "{id:?}"
        );
        assert!(pipe.dropped() > 0);
        assert_eq!(pipe.drop_front(2 * ticks + 1), 2 * ticks);
        pipe.reset();
        assert_eq!(pipe.depth(), 0);
    }
}

/// Three frames of 20 ms in one payload of Opus (RFC 6716 §3.2.5, VBR).
fn opus_60_ms() -> Vec<u8> {
    let frames = tone_frames(CodecId::Opus, 3);
    let mut out = vec![frames[0][0] | 3, 0x80 | 3];
    out.extend(frames[..2].iter().map(|f| u8::try_from(f.len() - 1).unwrap()));
    frames.iter().for_each(|f| out.extend_from_slice(&f[1..]));
    out
}

#[test]
fn a_payload_that_fits_no_slot_turns_a_paced_pipe_to_transcoding() {
    let mut out = vec![0; max_frame_bytes()];
    let long = opus_60_ms();
    // Unpaced it passes.
    let mut pipe = Pipe::plan(CodecId::Opus, CodecId::Opus, &PipeOptions::default()).unwrap();
    assert_eq!(pipe.push(ms(0), &long), Ok(2_880));
    assert_eq!(pipe.next_frame(&mut out).unwrap().len, long.len());
    // Paced it passes as long as it fits.
    pipe.pace();
    let short = tone_frames(CodecId::Opus, 1).remove(0);
    pipe.push(ms(60), &short).unwrap();
    assert!(pipe.push(ms(80), &[0xfb]).is_err() && pipe.is_whole());
    pipe.push(ms(80), &long).unwrap();
    assert!(!pipe.is_whole());
    assert_eq!(pipe.depth(), 4 * 960);
    let ticks: Vec<u32> = std::iter::from_fn(|| pipe.next_frame(&mut out))
        .map(|f| f.ticks)
        .collect();
    assert_eq!(ticks, [960; 4]);
}
