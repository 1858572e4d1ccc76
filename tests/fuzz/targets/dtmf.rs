//! Digits by operations: telephone-events in, digits out, INFO bodies.
#![no_main]

use base::Time;
use libfuzzer_sys::fuzz_target;
use media::{DtmfReceiver, DtmfSender, DtmfSlot, MAX_DIGITS, TelephoneEvent, code_of, digit_of, parse_info};
use std::time::Duration;

fuzz_target!(|data: &[u8]| {
    for relay in [false, true] {
        if let Ok(d) = parse_info(relay, data) {
            assert!(code_of(d.digit).is_some() && (40..=4_000).contains(&d.ms));
        }
    }
    let (mut receiver, mut sender, mut echo) = (DtmfReceiver::new(), DtmfSender::new(8000), DtmfReceiver::new());
    let (mut now, mut ticks) = (Time::ZERO, u32::MAX - 3_000);
    let (mut asked, mut heard) = (String::new(), String::new());
    for op in data.chunks_exact(7) {
        now += Duration::from_millis(20);
        let timestamp = u32::from(u16::from_be_bytes([op[5], op[6]])) << (op[0] % 8);
        let payload = &op[1..1 + usize::from(op[0] % 5)];
        if let Some(digit) = receiver.handle_input(now, timestamp, payload) {
            assert!(code_of(digit).is_some() && receiver.poll_timeout().is_none_or(|t| t > now));
        }
        receiver.handle_timeout(now);
        receiver.poll_ended();
        if op[0] & 0x40 != 0 {
            let digit = digit_of(op[1] % 16).expect("below sixteen");
            if sender.send(digit, u32::from(op[2]) * 20).is_ok() {
                asked.push(digit);
            }
        }
        assert!(sender.waiting() <= MAX_DIGITS);
        slot(&mut sender, &mut echo, now, &mut ticks, &mut heard);
    }
    let mut left = 0;
    while sender.is_busy() {
        now += Duration::from_millis(20);
        slot(&mut sender, &mut echo, now, &mut ticks, &mut heard);
        left += 1;
        assert!(left < 64 * 220, "digits never end");
    }
    assert_eq!(asked, heard);
});

/// One slot of a sender whose packets all arrive.
fn slot(sender: &mut DtmfSender, echo: &mut DtmfReceiver, now: Time, ticks: &mut u32, heard: &mut String) {
    if let DtmfSlot::Event(p) = sender.slot(*ticks, 160) {
        assert!(TelephoneEvent::parse(&p.payload).is_ok());
        heard.extend(echo.handle_input(now, p.timestamp, &p.payload));
    }
    *ticks = ticks.wrapping_add(160);
}
