//! Once warmed up, no packet costs a heap allocation.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use base::{Rng, Time};
use codecs::{CodecId, EncoderOptions, codec};
use media::{
    Insert, JitterBuffer, MediaTime, Mixer, Out, Pipe, PipeOptions, Playout, RtcpSession, RtpPacket,
    RtpReceiver, RtpSender, Slot, Verdict, max_frame_bytes,
};

const ALL: [CodecId; 6] = [
    CodecId::Pcmu,
    CodecId::Pcma,
    CodecId::SpeexNb,
    CodecId::SpeexWb,
    CodecId::L16_8,
    CodecId::L16_16,
];

fn noise_frame(id: CodecId) -> Vec<u8> {
    let c = codec(id);
    let mut rng = Rng::new(1);
    let pcm: Vec<i16> = (0..c.frame()).map(|_| (rng.next_u32() >> 20) as i16).collect();
    let mut encoder = codecs::encoder(id, &EncoderOptions::default()).unwrap();
    let mut out = vec![0; max_frame_bytes()];
    let n = encoder.encode(&pcm, &mut out).unwrap();
    out.truncate(n);
    out
}

#[test]
fn client_to_phone() {
    let mut out = vec![0; max_frame_bytes() + media::RTP_HEADER];
    for from in ALL {
        let frame = noise_frame(from);
        for to in ALL {
            let options = PipeOptions {
                buffer_ms: Playout::BUFFER_MS,
                ..PipeOptions::default()
            };
            let mut playout = Playout::new(Pipe::plan(from, to, &options).unwrap());
            let mut sender = RtpSender::new(&mut Rng::new(1));
            let mut step = |i: u64| {
                let now = Time::from_millis(i * 20);
                // Every tenth message brings a second one, so that there is something to remove.
                for _ in 0..1 + u64::from(i.is_multiple_of(10)) {
                    playout.push(now, MediaTime::new(i * 20, 1000), &frame).unwrap();
                }
                let slot = playout.pull(&mut out[media::RTP_HEADER..]);
                if let Slot::Frame { len, marker, .. } = slot {
                    let ts = sender.timestamp();
                    sender
                        .write_header(0, marker, ts, &mut out[..media::RTP_HEADER + len])
                        .unwrap();
                }
                sender.advance(playout.slot_ticks());
            };
            (0..100).for_each(&mut step);
            let counted = allocation_counter::measure(|| (100..400).for_each(&mut step));
            assert_eq!(counted.count_total, 0, "{from:?} to {to:?}");
        }
    }
}

#[test]
fn phone_to_client() {
    let mut out = vec![0; max_frame_bytes()];
    for from in ALL {
        let frame = noise_frame(from);
        let clock = codec(from).rtp_clock;
        for to in ALL {
            let mut rng = Rng::new(1);
            let mut jitter = JitterBuffer::new(clock, 20, frame.len());
            let mut receiver = RtpReceiver::new();
            let mut seqs = media::SeqUnwrap::default();
            let mut rtcp = RtcpSession::new(rng.fork(), "a@b", clock);
            let mut sender = RtpSender::new(&mut rng);
            let mut pipe = Pipe::plan(from, to, &PipeOptions::default()).unwrap();
            let mut datagram = vec![0; 1500];
            let mut report = [0; 512];
            rtcp.start(Time::ZERO);
            let mut step = |i: u64| {
                let now = Time::from_millis(i * 20);
                let n = sender.write(0, false, &frame, &mut datagram).unwrap();
                rtcp.on_sent(now, sender.timestamp());
                rtcp.poll_output(now, &sender, &mut report).unwrap();
                sender.advance(clock / 50);
                if i % 7 != 3 {
                    let p = RtpPacket::parse(&datagram[..n]).unwrap();
                    let verdict = receiver.accept(now, p.ssrc, p.seq, true);
                    assert_ne!(verdict, Verdict::Probation);
                    rtcp.on_received(now, p.ssrc, seqs.unwrap(p.seq), p.timestamp, n, i == 0);
                    assert_eq!(jitter.insert(now, &p), Ok(Insert::Queued));
                }
                while let Some(o) = jitter.poll(now) {
                    match o {
                        Out::Frame { payload, time, .. } => {
                            pipe.push(time, payload).unwrap();
                        }
                        Out::Lost { time, ticks } => pipe.conceal(time, ticks),
                    }
                    while pipe.next_frame(&mut out).is_some() {}
                }
            };
            (0..100).for_each(&mut step);
            let counted = allocation_counter::measure(|| (100..400).for_each(&mut step));
            assert_eq!(counted.count_total, 0, "{from:?} to {to:?}");
        }
    }
}

#[test]
fn a_room() {
    let mut mixer = Mixer::new(16_000);
    let pcm = [1_000i16; 320];
    let mut out = [0i16; 320];
    let counted = allocation_counter::measure(|| {
        for _ in 0..100 {
            mixer.begin();
            for _ in 0..20 {
                mixer.add(&pcm);
            }
            for _ in 0..20 {
                mixer.minus(&pcm, &mut out);
            }
        }
    });
    assert_eq!(counted.count_total, 0);
}
