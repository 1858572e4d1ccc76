//! The jitter buffer by operations: five bytes each.
#![no_main]

use base::Time;
use libfuzzer_sys::fuzz_target;
use media::{JitterBuffer, Out, RtpPacket};
use std::time::Duration;

fuzz_target!(|data: &[u8]| {
    let mut jitter = JitterBuffer::new(8000, 20, 4);
    let (mut now, mut seq, mut timestamp, mut end) = (Time::from_millis(1), 0u16, 0u32, 0u64);
    for (n, op) in data.chunks_exact(5).enumerate() {
        now += Duration::from_millis(u64::from(op[1]) / 3);
        let wide = u16::from_be_bytes([op[2], op[3]]);
        match op[0] % 16 {
            0 => seq = wide,
            1 => timestamp = u32::from(wide) << 16,
            2 => jitter.restart(),
            3 => jitter.note(seq.wrapping_add(wide % 70), op[4] & 1 == 1),
            4 => now += Duration::from_secs(u64::from(op[4])),
            5 | 6 => {
                seq = seq.wrapping_sub(wide % 80);
                timestamp = timestamp.wrapping_sub(u32::from(wide % 80) * 160);
            }
            7 | 8 => {
                seq = seq.wrapping_add(wide % 80);
                timestamp = timestamp.wrapping_add(u32::from(wide % 80) * 160);
            }
            9 => timestamp = timestamp.wrapping_add(u32::from(wide)),
            _ => {
                seq = seq.wrapping_add(1);
                timestamp = timestamp.wrapping_add(160);
            }
        }
        let body = (n as u32).to_be_bytes();
        let packet = RtpPacket {
            payload_type: 0,
            marker: op[4] & 2 != 0,
            seq,
            timestamp,
            ssrc: 1,
            payload: &body,
        };
        jitter.insert(now, &packet).expect("a short payload");
        assert!(jitter.depth() <= 50);
        let mut polls = 0;
        while let Some(out) = jitter.poll(now) {
            let (time, ticks) = match out {
                Out::Frame { time, payload, .. } => {
                    assert_eq!(payload.len(), 4);
                    (time.ticks, 1)
                }
                Out::Lost { time, ticks } => (time.ticks, u64::from(ticks)),
            };
            assert!(time >= end, "{time} before {end}");
            end = time + ticks;
            polls += 1;
            assert!(polls < 200);
        }
        assert!(jitter.poll_timeout().is_none_or(|t| t > now));
    }
});
