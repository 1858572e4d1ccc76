//! RTCP datagrams: each input is a run of datagrams, two bytes of length before each.
#![no_main]

use base::{Rng, Time};
use libfuzzer_sys::fuzz_target;
use media::{RtcpSession, RtpSender};
use std::time::Duration;

fuzz_target!(|data: &[u8]| {
    let mut rng = Rng::new(1);
    let mut session = RtcpSession::new(rng.fork(), "a@b", 8000);
    let mut sender = RtpSender::new(&mut rng);
    let mut now = Time::from_millis(10);
    session.start(now);
    let mut out = [0; 400];
    let mut rest = data;
    while let Some(([high, low], tail)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes([*high & 3, *low])).min(tail.len());
        let (datagram, next) = tail.split_at(len);
        rest = next;
        now += Duration::from_millis(700);
        // Our SSRC is a small number in half of the inputs, so that blocks about us are found.
        let ssrc = if data.len() % 2 == 0 { 1 } else { sender.ssrc() };
        let _ = session.handle_input(now, ssrc, datagram);
        session.on_received(now, u32::from(*low), 70_000 + now.as_millis() / 350, u32::from(*high) << 24, 20, len == 7);
        sender.write(0, false, &[0; 20], &mut out).expect("room enough");
        session.on_sent(now, sender.timestamp());
        let s = session.stats();
        assert!(s.jitter_ms.is_finite() && s.remote_jitter_ms.is_finite());
        assert!((0.0..=1.0).contains(&s.fraction_lost) && (0.0..=1.0).contains(&s.remote_fraction_lost));
        assert!(s.rtt_ms.is_none_or(|r| (0.0..=60_000.0).contains(&r)));
        if let Some(n) = session.poll_output(now, &sender, &mut out).expect("room enough") {
            let mut peer = RtcpSession::new(Rng::new(2), "c@d", 8000);
            peer.handle_input(now, 77, &out[..n]).expect("our report reads");
        }
    }
});
