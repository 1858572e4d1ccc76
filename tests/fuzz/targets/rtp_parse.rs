//! RTP datagrams, and the rules by which a source is believed and latched to.
#![no_main]

use base::{Rng, Time};
use libfuzzer_sys::fuzz_target;
use media::{Latch, LatchDecision, RTP_HEADER, RtpPacket, RtpReceiver, RtpSender, SeqUnwrap, Verdict, is_rtcp};
use std::net::SocketAddr;

fuzz_target!(|data: &[u8]| {
    let _ = is_rtcp(data);
    if let Ok(p) = RtpPacket::parse(data) {
        assert!(p.payload.len() + RTP_HEADER <= data.len());
        let mut sender = RtpSender::new(&mut Rng::new(1));
        let mut out = vec![0; p.payload.len() + RTP_HEADER];
        let (seq, timestamp, ssrc) = (sender.next_seq(), sender.timestamp(), sender.ssrc());
        let n = sender.write(p.payload_type, p.marker, p.payload, &mut out).expect("room was made");
        let again = RtpPacket::parse(&out[..n]).expect("what is written reads");
        assert_eq!(
            again,
            RtpPacket {
                seq,
                timestamp,
                ssrc,
                ..p
            }
        );
    }
    // The same bytes as a run of packets from several sources: six bytes each.
    let (mut receiver, mut latch, mut seqs) = (RtpReceiver::new(), Latch::new(None, true), SeqUnwrap::default());
    let mut now = Time::ZERO;
    for op in data.chunks_exact(6) {
        now = now + std::time::Duration::from_millis(u64::from(op[0]) * 4);
        let ssrc = u32::from(op[1] % 3);
        let seq = u16::from_be_bytes([op[2], op[3]]);
        let before = receiver.ssrc();
        let verdict = receiver.accept(now, ssrc, seq, true);
        if verdict == Verdict::Probation {
            assert_eq!(receiver.ssrc(), before);
            continue;
        }
        assert_eq!(receiver.ssrc(), Some(ssrc));
        let extended = seqs.unwrap(seq);
        assert_eq!(extended as u16, seq);
        let from = SocketAddr::from(([127, 0, 0, 1], u16::from(op[4] % 4) + 1));
        match latch.on_packet(now, from, verdict == Verdict::Accepted) {
            LatchDecision::Latched(to) => assert_eq!((to, latch.remote()), (from, Some(from))),
            LatchDecision::Accept => assert_eq!(latch.remote(), Some(from)),
            LatchDecision::Ignore => assert_ne!(latch.remote(), Some(from)),
        }
    }
});
