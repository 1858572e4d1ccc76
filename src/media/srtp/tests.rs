use super::*;
use crate::{RtpPacket, RtpSender};
use base::Rng;
use proptest::prelude::{any, proptest};

fn keys(suite: Suite, seed: u8) -> (SrtpKeys, SrtpKeys) {
    let mut source = KeySource::new(&[seed; 32]);
    let a = SrtpKey::generate(suite, &mut source);
    let b = SrtpKey::generate(suite, &mut source);
    let ours = SrtpKeys {
        send: a.clone(),
        receive: b.clone(),
    };
    (ours, SrtpKeys { send: b, receive: a })
}

fn pair(suite: Suite) -> (SrtpSession, SrtpSession) {
    let (a, b) = keys(suite, 1);
    (SrtpSession::new(&a).unwrap(), SrtpSession::new(&b).unwrap())
}

/// A packet of that number, protected.
fn packet(session: &mut SrtpSession, ssrc: u32, seq: u16) -> Vec<u8> {
    let mut out = vec![0x80, 8, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0];
    out[2..4].copy_from_slice(&seq.to_be_bytes());
    out[8..12].copy_from_slice(&ssrc.to_be_bytes());
    out.extend([0xD5; 160]);
    let len = out.len();
    out.resize(len + SRTP_OVERHEAD, 0);
    let n = session.protect_rtp(&mut out, len).unwrap();
    out.truncate(n);
    out
}

fn report() -> Vec<u8> {
    let mut out = vec![0x80, 201, 0, 1, 0, 0, 0, 5];
    out.extend([0x81, 202, 0, 2, 0, 0, 0, 5, 1, 2, b'a', b'b', 0, 0, 0, 0]);
    out
}

/// The packet with which other implementations check themselves.
#[test]
fn counter_mode_makes_the_known_packet() {
    let master = [
        0xe1, 0xf9, 0x7a, 0x0d, 0x3e, 0x01, 0x8b, 0xe0, 0xd6, 0x4f, 0xa3, 0x2c, 0x06, 0xde, 0x41, 0x39, 0x0e,
        0xc6, 0x75, 0xad, 0x49, 0x8a, 0xfe, 0xeb, 0xb6, 0x96, 0x0b, 0x3a, 0xab, 0xe6,
    ];
    let key = SrtpKey::new(Suite::AesCm128HmacSha1_80, &master).unwrap();
    let keys = SrtpKeys {
        send: key.clone(),
        receive: key,
    };
    let mut session = SrtpSession::new(&keys).unwrap();
    let mut out = vec![
        0x80, 0x0f, 0x12, 0x34, 0xde, 0xca, 0xfb, 0xad, 0xca, 0xfe, 0xba, 0xbe,
    ];
    out.extend([0xAB; 16]);
    out.resize(28 + SRTP_OVERHEAD, 0);
    let n = session.protect_rtp(&mut out, 28).unwrap();
    let wanted = [
        0x4e, 0x55, 0xdc, 0x4c, 0xe7, 0x99, 0x78, 0xd8, 0x8c, 0xa4, 0xd2, 0x15, 0x94, 0x9d, 0x24, 0x02, 0xb7,
        0x8d, 0x6a, 0xcc, 0x99, 0xea, 0x17, 0x9b, 0x8d, 0xbb,
    ];
    assert_eq!(out[12..n], wanted);
}

#[test]
fn what_one_protects_the_other_opens_once() {
    for suite in Suite::ALL {
        let (mut a, mut b) = pair(suite);
        let mut clear = Vec::new();
        let sealed = packet(&mut a, 7, 100);
        assert_ne!(sealed[12..40], [0xD5; 28]);
        b.open_rtp(&sealed, &mut clear).unwrap();
        let rtp = RtpPacket::parse(&clear).unwrap();
        assert_eq!((rtp.seq, rtp.payload), (100, &[0xD5; 160][..]));
        assert_eq!(b.open_rtp(&sealed, &mut clear), Err(Refused::Replayed));
        // Our own, sent back to us, was not made with the peer's key.
        assert_eq!(a.open_rtp(&sealed, &mut clear), Err(Refused::Forged));
        let mut rtcp = report();
        rtcp.resize(24 + SRTP_OVERHEAD, 0);
        let n = b.protect_rtcp(&mut rtcp, 24).unwrap();
        a.open_rtcp(&rtcp[..n], &mut clear).unwrap();
        assert_eq!(clear, report());
        assert_eq!(a.open_rtcp(&rtcp[..n], &mut clear), Err(Refused::Replayed));
        assert_eq!(
            b.stats(),
            SrtpStats {
                forged: 0,
                replayed: 1
            }
        );
        assert_eq!(
            a.stats(),
            SrtpStats {
                forged: 1,
                replayed: 1
            }
        );
        assert!(a.authenticated() && b.authenticated());
    }
}

#[test]
fn every_changed_bit_is_seen() {
    for suite in Suite::ALL {
        let (mut a, mut b) = pair(suite);
        let sealed = packet(&mut a, 7, 100);
        let mut clear = Vec::new();
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                b.open_rtp(&bad, &mut clear),
                Err(Refused::Forged),
                "{suite:?} bit {bit}"
            );
        }
        b.open_rtp(&sealed, &mut clear).unwrap();
        // Reports in clear were not agreed on, whatever they say of themselves.
        for end in [vec![0; 14], vec![0x80; 14], vec![0; 30]] {
            let plain = [report(), end].concat();
            assert_eq!(b.open_rtcp(&plain, &mut clear), Err(Refused::Forged));
        }
    }
}

#[test]
fn numbers_wrap_and_packets_change_places() {
    for suite in Suite::ALL {
        let (mut a, mut b) = pair(suite);
        let mut clear = Vec::new();
        let sealed: Vec<_> = (0..200_000u32)
            .step_by(50)
            .map(|n| packet(&mut a, 7, (60_000 + n) as u16))
            .collect();
        for two in sealed.chunks_exact(2) {
            b.open_rtp(&two[1], &mut clear).unwrap();
            b.open_rtp(&two[0], &mut clear).unwrap();
            assert_eq!(b.open_rtp(&two[0], &mut clear), Err(Refused::Replayed));
        }
    }
}

#[test]
fn a_stream_that_wrapped_before_we_had_the_key_is_taken() {
    for suite in Suite::ALL {
        let (mut a, mut b) = pair(suite);
        let mut clear = Vec::new();
        packet(&mut a, 7, 65_535);
        let late = packet(&mut a, 7, 3);
        b.open_rtp(&late, &mut clear).unwrap();
        b.open_rtp(&packet(&mut a, 7, 4), &mut clear).unwrap();
    }
}

#[test]
fn sources_are_kept_apart_and_few() {
    let (mut a, mut b) = pair(Suite::AesCm128HmacSha1_80);
    let mut clear = Vec::new();
    let first = packet(&mut a, 0, 9);
    b.open_rtp(&first, &mut clear).unwrap();
    for ssrc in 1..16 {
        b.open_rtp(&packet(&mut a, ssrc, 9), &mut clear).unwrap();
        assert_eq!(b.open_rtp(&first, &mut clear), Err(Refused::Replayed));
    }
    // Those without the key leave nothing behind.
    let (mut stranger, _) = keys(Suite::AesCm128HmacSha1_80, 2);
    stranger.receive = stranger.send.clone();
    let mut stranger = SrtpSession::new(&stranger).unwrap();
    for ssrc in 100..1_000 {
        let forged = packet(&mut stranger, ssrc, 1);
        assert_eq!(b.open_rtp(&forged, &mut clear), Err(Refused::Forged));
    }
    assert_eq!(b.open_rtp(&first, &mut clear), Err(Refused::Replayed));
    assert_eq!(b.stats().forged, 900);
}

#[test]
fn new_keys_take_over_without_losing_what_is_on_its_way() {
    let suite = Suite::AeadAes128Gcm;
    let (mut a, mut b) = pair(suite);
    let mut clear = Vec::new();
    b.open_rtp(&packet(&mut a, 7, 100), &mut clear).unwrap();
    let on_its_way = [packet(&mut a, 7, 101), packet(&mut a, 7, 102)];
    let (new_a, new_b) = keys(suite, 3);
    b.rekey(&new_b).unwrap();
    b.open_rtp(&on_its_way[0], &mut clear).unwrap();
    a.rekey(&new_a).unwrap();
    b.open_rtp(&packet(&mut a, 7, 103), &mut clear).unwrap();
    assert_eq!(b.open_rtp(&on_its_way[1], &mut clear), Err(Refused::Forged));
    // The same keys again change nothing: what came before is still known.
    let sealed = packet(&mut a, 7, 104);
    b.open_rtp(&sealed, &mut clear).unwrap();
    b.rekey(&new_b).unwrap();
    assert_eq!(b.open_rtp(&sealed, &mut clear), Err(Refused::Replayed));
}

#[test]
fn a_key_identifier_is_stepped_over() {
    for suite in Suite::ALL {
        let (mut a, b) = keys(suite, 1);
        a.send.mki = 0;
        let mut with = b.clone();
        with.receive.mki = 4;
        let mut a = SrtpSession::new(&a).unwrap();
        let mut b = SrtpSession::new(&with).unwrap();
        let mut sealed = packet(&mut a, 7, 100);
        let tag = match suite {
            Suite::AesCm128HmacSha1_80 => 10,
            Suite::AesCm128HmacSha1_32 => 4,
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => 0,
        };
        let at = sealed.len() - tag;
        sealed.splice(at..at, [0, 0, 0, 1]);
        let mut clear = Vec::new();
        b.open_rtp(&sealed, &mut clear).unwrap();
        assert_eq!(clear.len(), 172);
    }
}

#[test]
fn a_real_stream_goes_through() {
    let (mut a, mut b) = pair(Suite::AesCm128HmacSha1_32);
    let mut sender = RtpSender::new(&mut Rng::new(3));
    let (mut out, mut clear) = ([0; 300], Vec::new());
    for n in 0..100_000u32 {
        let payload = n.to_be_bytes();
        let len = sender.write(0, false, &payload, &mut out).unwrap();
        let sealed = a.protect_rtp(&mut out, len).unwrap();
        b.open_rtp(&out[..sealed], &mut clear).unwrap();
        assert_eq!(RtpPacket::parse(&clear).unwrap().payload, payload);
    }
}

proptest! {
    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        for suite in Suite::ALL {
            let (mut a, mut b) = pair(suite);
            let mut clear = Vec::new();
            let _refused = b.open_rtp(&bytes, &mut clear);
            let _refused = b.open_rtcp(&bytes, &mut clear);
            let mut room = bytes.clone();
            let _short = a.protect_rtp(&mut room, bytes.len());
            let _short = a.protect_rtcp(&mut room, bytes.len());
        }
    }
}
