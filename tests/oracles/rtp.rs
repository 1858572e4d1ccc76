//! RTP and RTCP against the crates rtp and rtcp 0.17, and the reason why those two stand in tests only.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use base::{Rng, Time};
use bytes::Bytes;
use media::{Error, RtcpEvent, RtcpSession, RtpPacket, RtpSender, SeqUnwrap};
use proptest::prelude::{any, prop_assert_eq, proptest};
use rtcp::goodbye::Goodbye;
use rtcp::receiver_report::ReceiverReport;
use rtcp::reception_report::ReceptionReport;
use rtcp::sender_report::SenderReport;
use rtcp::source_description::{SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem};
use std::panic::catch_unwind;
use std::time::Duration;
use webrtc_util::marshal::{Marshal, Unmarshal};

type Packets = Vec<Box<dyn rtcp::packet::Packet + Send + Sync>>;

proptest! {
    /// What the oracle writes we read the same, with contributing sources, extension and padding.
    #[test]
    fn reads_what_the_oracle_writes(
        marker in any::<bool>(), payload_type in 0u8..128, seq in any::<u16>(), timestamp in any::<u32>(),
        ssrc in any::<u32>(), csrc in proptest::collection::vec(any::<u32>(), 0..15),
        extension in proptest::option::of(proptest::collection::vec(any::<u8>(), 1..16)),
        padding in any::<bool>(), payload in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut header = rtp::header::Header {
            version: 2, padding, marker, payload_type, sequence_number: seq, timestamp, ssrc, csrc,
            ..Default::default()
        };
        if let Some(e) = extension {
            header.set_extension(1, Bytes::from(e)).unwrap();
        }
        let written = rtp::packet::Packet { header, payload: Bytes::from(payload.clone()) }.marshal().unwrap();
        let read = RtpPacket::parse(&written).unwrap();
        prop_assert_eq!(read, RtpPacket { payload_type, marker, seq, timestamp, ssrc, payload: &payload });
    }

    /// What we write the oracle reads the same.
    #[test]
    fn writes_what_the_oracle_reads(
        seed in any::<u64>(), marker in any::<bool>(), payload_type in 0u8..128, ticks in any::<u32>(),
        payload in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut sender = RtpSender::new(&mut Rng::new(seed));
        sender.advance(ticks);
        let (seq, timestamp, ssrc) = (sender.next_seq(), sender.timestamp(), sender.ssrc());
        let mut out = vec![0; 400];
        let n = sender.write(payload_type, marker, &payload, &mut out).unwrap();
        let p = rtp::packet::Packet::unmarshal(&mut &out[..n]).unwrap();
        prop_assert_eq!((p.header.version, p.header.padding, p.header.extension), (2, false, false));
        prop_assert_eq!((p.header.marker, p.header.payload_type), (marker, payload_type));
        prop_assert_eq!((p.header.sequence_number, p.header.timestamp, p.header.ssrc), (seq, timestamp, ssrc));
        prop_assert_eq!(&p.payload[..], &payload[..]);
    }
}

/// A session that received 100 packets of which every fifth was lost, and sent as many.
fn session() -> (RtcpSession, RtpSender) {
    let mut rng = Rng::new(1);
    let mut session = RtcpSession::new(rng.fork(), "gw@198.51.100.1", 8000);
    let mut sender = RtpSender::new(&mut rng);
    let mut seqs = SeqUnwrap::default();
    session.start(Time::ZERO);
    let mut out = [0; 200];
    for i in 0..100u16 {
        let now = Time::from_millis(u64::from(i) * 20);
        let ts = u32::from(i) * 160;
        if i % 5 != 3 {
            session.on_received(now, 0xabcd, seqs.unwrap(60_000 + i), ts, 160, i == 0);
        }
        session.on_sent(now, sender.timestamp());
        sender.write(0, false, &[0; 160], &mut out).unwrap();
        sender.advance(160);
    }
    (session, sender)
}

#[test]
fn our_reports_say_the_same_to_the_oracle() {
    let (mut session, sender) = session();
    let mut out = [0; 400];
    let now = Time::from_millis(3_000);
    let n = session.poll_output(now, &sender, &mut out).unwrap().unwrap();
    let packets: Packets = rtcp::packet::unmarshal(&mut &out[..n]).unwrap();
    assert_eq!(packets.len(), 2);
    let sr = packets[0].as_any().downcast_ref::<SenderReport>().unwrap();
    assert_eq!(
        (sr.ssrc, sr.packet_count, sr.octet_count),
        (sender.ssrc(), 100, 16_000)
    );
    // The last packet left at 1,980 ms, one slot before the timestamp the sender stands at.
    assert_eq!(
        sr.rtp_time,
        sender.timestamp().wrapping_sub(160).wrapping_add(1_020 * 8)
    );
    let r = &sr.reports[0];
    assert_eq!((r.ssrc, r.total_lost), (0xabcd, 20));
    assert_eq!(r.last_sequence_number & 0xffff, 60_099);
    assert_eq!(r.fraction_lost, (20 * 256 / 100) as u8);
    assert_eq!(r.last_sender_report, 0);
    let sdes = packets[1].as_any().downcast_ref::<SourceDescription>().unwrap();
    assert_eq!(sdes.chunks[0].items[0].text, "gw@198.51.100.1");

    let n = session.bye(now, &sender, &mut out).unwrap();
    let packets: Packets = rtcp::packet::unmarshal(&mut &out[..n]).unwrap();
    assert!(
        packets[0].as_any().is::<ReceiverReport>(),
        "nothing was sent since the last report"
    );
    let bye = packets[2].as_any().downcast_ref::<Goodbye>().unwrap();
    assert_eq!(bye.sources, [sender.ssrc()]);
}

#[test]
fn the_oracles_reports_say_the_same_to_us() {
    let (mut session, sender) = session();
    let mut out = [0; 400];
    let t0 = Time::from_millis(3_000);
    let n = session.poll_output(t0, &sender, &mut out).unwrap().unwrap();
    let packets: Packets = rtcp::packet::unmarshal(&mut &out[..n]).unwrap();
    let ours = packets[0].as_any().downcast_ref::<SenderReport>().unwrap();
    let answer: Packets = vec![
        Box::new(SenderReport {
            ssrc: 0xabcd,
            ntp_time: 7 << 32,
            reports: vec![ReceptionReport {
                ssrc: sender.ssrc(),
                fraction_lost: 64,
                total_lost: 25,
                last_sequence_number: 99,
                jitter: 80,
                last_sender_report: (ours.ntp_time >> 16) as u32,
                delay: 65_536 / 2,
            }],
            ..Default::default()
        }),
        Box::new(SourceDescription {
            chunks: vec![SourceDescriptionChunk {
                source: 0xabcd,
                items: vec![SourceDescriptionItem {
                    sdes_type: SdesType::SdesCname,
                    text: Bytes::from_static(b"peer"),
                }],
            }],
        }),
        Box::new(Goodbye {
            sources: vec![0xabcd],
            reason: Bytes::from_static(b"done"),
        }),
    ];
    let datagram = rtcp::packet::marshal(&answer).unwrap();
    // Half a second at the peer, 80 ms under way.
    let now = t0 + Duration::from_millis(580);
    assert_eq!(
        session.handle_input(now, sender.ssrc(), &datagram),
        Ok(RtcpEvent::Bye)
    );
    let s = session.stats();
    assert_eq!(
        (s.remote_fraction_lost, s.remote_lost, s.remote_jitter_ms),
        (0.25, 25, 10.0)
    );
    assert!((s.rtt_ms.unwrap() - 80.0).abs() < 0.1, "{s:?}");
}

/// One datagram from a stranger ends a thread: this is why these crates never face the network. The same bytes
/// are plain errors, or plain packets, to ours.
#[test]
fn datagrams_that_panic_the_oracle_are_harmless_here() {
    // Extension bit, one-byte header extension (RFC 8285) whose element runs past the datagram.
    let mut rtp_datagram = [0u8; 20];
    rtp_datagram[0] = 0x90;
    rtp_datagram[12..17].copy_from_slice(&[0xbe, 0xde, 0, 1, 0x1f]);
    // Transport feedback of one word: a generic NACK without media source.
    let rtcp_datagram = [0x81, 0xcd, 0x00, 0x01, 0, 0, 0, 1];

    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let rtp_result = catch_unwind(|| rtp::packet::Packet::unmarshal(&mut &rtp_datagram[..]).is_ok());
    let rtcp_result = catch_unwind(|| rtcp::packet::unmarshal(&mut &rtcp_datagram[..]).is_ok());
    std::panic::set_hook(hook);
    assert!(
        rtp_result.is_err(),
        "rtp no longer panics: look again whether it is fit for use"
    );
    assert!(
        rtcp_result.is_err(),
        "rtcp no longer panics: look again whether it is fit for use"
    );

    assert_eq!(RtpPacket::parse(&rtp_datagram).map(|p| p.payload), Ok(&[][..]));
    let (mut session, sender) = session();
    let answer = session.handle_input(Time::ZERO, sender.ssrc(), &rtcp_datagram);
    assert!(
        matches!(answer, Ok(RtcpEvent::Nothing) | Err(Error::NotRtcp(_))),
        "{answer:?}"
    );
}
