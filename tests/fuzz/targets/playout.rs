//! Playout and its pipe by operations, for any pair of codecs.
#![no_main]

use base::Time;
use codecs::CodecId;
use libfuzzer_sys::fuzz_target;
use media::{MediaTime, Pipe, PipeOptions, Playout, Slot, max_frame_bytes};
use std::time::Duration;

const CODECS: [CodecId; 6] = [
    CodecId::Pcmu,
    CodecId::Pcma,
    CodecId::SpeexNb,
    CodecId::SpeexWb,
    CodecId::L16_8,
    CodecId::L16_16,
];

fuzz_target!(|data: &[u8]| {
    let Some((head, mut rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let options = PipeOptions {
        narrow_decode: head[1] & 1 == 0,
        narrow_encode: head[1] & 2 == 0,
        complexity: 0,
        quality: 0,
        buffer_ms: Playout::BUFFER_MS,
    };
    let (from, to) = (CODECS[usize::from(head[0] >> 4) % 6], CODECS[usize::from(head[0] & 15) % 6]);
    let mut playout = Playout::new(Pipe::plan(from, to, &options).expect("every pair has a way"));
    let mut out = vec![0; max_frame_bytes()];
    let mut now = Time::ZERO;
    while let Some((op, tail)) = rest.split_first_chunk::<3>() {
        rest = tail;
        now += Duration::from_millis(u64::from(op[1] % 40));
        let time = MediaTime::new(now.as_millis() + u64::from(op[2]), 1000);
        match op[0] % 8 {
            0 | 1 => {
                let len = (usize::from(op[2]) * 2).min(rest.len());
                let (body, tail) = rest.split_at(len);
                let _ = playout.push(now, time, body);
                rest = tail;
            }
            2 => {
                // A long message of one byte's repetition.
                let _ = playout.push(now, time, &vec![op[1]; usize::from(op[2]) * 20]);
            }
            3 => playout.conceal(time, u32::from(op[1]) * 10),
            4 if op[1] == 0 => playout.reset(),
            _ => {
                let ticks = match playout.pull(&mut out) {
                    Slot::Frame { len, ticks, .. } => {
                        assert!(len > 0 && len <= out.len());
                        ticks
                    }
                    Slot::Silent { ticks } => ticks,
                };
                assert_eq!(ticks, playout.slot_ticks());
            }
        }
        assert!(playout.depth_ms() <= 320 + 160 + 20, "{} ms wait", playout.depth_ms());
    }
});
