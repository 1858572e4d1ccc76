//! RTMPT by operations: paths are read; a tunnel takes requests in order, answers a repeated one as before, and
//! never goes on after a gap.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtmp::rtmpt::{Action, Order, Tunnel};

fuzz_target!(|text: &str| {
    let mut tunnel = Tunnel::default();
    let mut last: Option<(u32, Vec<u8>)> = None;
    for path in text.lines() {
        let Action::Send { session, sequence, body } = Action::parse(path) else {
            continue;
        };
        match tunnel.order(sequence) {
            Order::Next => {
                assert!(last.as_ref().is_none_or(|(n, _)| sequence == n.wrapping_add(1)));
                let answer = tunnel.reply(|out| {
                    if body {
                        out.extend_from_slice(session.as_bytes());
                    }
                });
                assert_eq!(answer.len(), 1 + if body { session.len() } else { 0 });
                assert!(answer[0] > 0 && answer[0] <= 0x21);
                last = Some((sequence, answer.to_vec()));
            }
            Order::Again => assert_eq!(last, Some((sequence, tunnel.last_reply().to_vec()))),
            Order::Broken => assert!(last.as_ref().is_some_and(|(n, _)| sequence.wrapping_sub(*n) > 1)),
        }
    }
});
