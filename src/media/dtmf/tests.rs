use super::*;
use base::{Rng, Time};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

fn slots(s: &mut DtmfSender, n: u32) -> Vec<DtmfSlot> {
    (0..n).map(|i| s.slot(1000 + i * 160, 160)).collect()
}

fn event(slot: &DtmfSlot) -> Option<(TelephoneEvent, EventPacket)> {
    match slot {
        DtmfSlot::Event(p) => Some((TelephoneEvent::parse(&p.payload).unwrap(), *p)),
        _ => None,
    }
}

#[test]
fn a_digit_has_marker_growing_duration_and_three_ends() {
    let mut s = DtmfSender::new(8000);
    s.send('5', 100).unwrap();
    let sent = slots(&mut s, 12);
    let events: Vec<_> = sent.iter().filter_map(event).collect();
    assert_eq!(
        events.iter().map(|(e, _)| e.duration).collect::<Vec<_>>(),
        [160, 320, 480, 640, 800, 800, 800]
    );
    assert_eq!(
        events.iter().map(|(e, _)| e.end).collect::<Vec<_>>(),
        [false, false, false, false, true, true, true]
    );
    assert!(
        events
            .iter()
            .enumerate()
            .all(|(i, (e, p))| e.code == 5 && p.timestamp == 1000 && p.marker == (i == 0))
    );
    assert_eq!(sent[7], DtmfSlot::Gap);
    assert!(sent[9..].iter().all(|s| *s == DtmfSlot::Idle));
}

#[test]
fn digits_are_kept_apart() {
    let mut s = DtmfSender::new(8000);
    s.send('1', 40).unwrap();
    s.send('1', 40).unwrap();
    let sent = slots(&mut s, 12);
    let first_end = sent
        .iter()
        .position(|s| event(s).is_some_and(|e| e.0.end))
        .unwrap();
    let second = sent
        .iter()
        .skip(1)
        .position(|s| event(s).is_some_and(|e| e.1.marker))
        .unwrap()
        + 1;
    assert!(second - first_end > 3, "{sent:?}");
}

#[test]
fn the_queue_is_bounded_and_refuses() {
    let mut s = DtmfSender::new(8000);
    for _ in 0..MAX_DIGITS {
        s.send('#', 50).unwrap();
    }
    assert_eq!(s.send('1', 50), Err(Error::DigitsFull(MAX_DIGITS)));
    assert_eq!(s.send('x', 50), Err(Error::NotADigit('x')));
    assert_eq!(s.waiting(), MAX_DIGITS);
}

#[test]
fn a_long_digit_in_segments_is_one_press() {
    let mut r = DtmfReceiver::new();
    let e = |duration, end| {
        TelephoneEvent {
            code: 1,
            end,
            volume: 10,
            duration,
        }
        .to_bytes()
    };
    let t = Time::from_millis;
    assert_eq!(r.handle_input(t(0), 0, &e(160, false)), Some('1'));
    assert_eq!(r.handle_input(t(20), 0, &e(0xffff, false)), None);
    assert_eq!(r.handle_input(t(40), 0xffff, &e(160, false)), None);
    assert_eq!(r.handle_input(t(60), 0xffff, &e(320, true)), None);
    assert_eq!(r.poll_ended(), Some(('1', 320)));
    // Pressed again later: another digit.
    assert_eq!(r.handle_input(t(500), 0xffff + 4000, &e(160, false)), Some('1'));
}

#[test]
fn a_lost_end_and_a_lost_beginning_are_both_one_digit() {
    let mut r = DtmfReceiver::new();
    let t = Time::from_millis;
    assert_eq!(r.handle_input(t(0), 0, &[7, 10, 0, 160]), Some('7'));
    assert!(r.is_down());
    assert_eq!(r.poll_timeout(), Some(t(150)));
    r.handle_timeout(t(150));
    assert_eq!(r.poll_ended(), Some(('7', 160)));
    assert!(!r.is_down());
    // Only the end of the next one arrives, three times.
    assert_eq!(r.handle_input(t(400), 3200, &[11, 0x8a, 3, 32]), Some('#'));
    assert_eq!(r.handle_input(t(420), 3200, &[11, 0x8a, 3, 32]), None);
    assert_eq!(r.poll_ended(), Some(('#', 800)));
    assert_eq!(r.handle_input(t(440), 3200, &[11, 0x8a, 3, 32]), None);
    assert_eq!(r.poll_ended(), None);
    // A straggler of the first one tells nothing.
    assert_eq!(r.handle_input(t(450), 0, &[7, 0x8a, 0, 160]), None);
}

#[test]
fn info_bodies() {
    let relay = |b: &str| parse_info(true, b.as_bytes());
    assert_eq!(
        relay("Signal=5\r\nDuration=160\r\n"),
        Ok(InfoDigit { digit: '5', ms: 160 })
    );
    assert_eq!(
        relay("signal = * \nDURATION= 99999"),
        Ok(InfoDigit {
            digit: '*',
            ms: MAX_DIGIT_MS
        })
    );
    assert_eq!(relay("Signal=11").unwrap().digit, '#');
    assert_eq!(relay("Duration=160"), Err(Error::NoDigit));
    assert_eq!(parse_info(false, b"d\r\n").unwrap().digit, 'D');
    assert_eq!(parse_info(false, b""), Err(Error::NoDigit));
    assert_eq!(parse_info(false, &[0xff]), Err(Error::NoDigit));
    assert_eq!(
        relay(&write_info('A', 250)),
        Ok(InfoDigit { digit: 'A', ms: 250 })
    );
}

proptest! {
    /// Whatever is dialled arrives, each digit once and in order, with up to half of the packets lost or
    /// doubled, as long as one packet of each digit gets through.
    #[test]
    fn dialled_is_received(digits in "[0-9A-D*#]{1,12}", ms in 40u32..300, seed in any::<u64>()) {
        let mut rng = Rng::new(seed);
        let (mut s, mut r) = (DtmfSender::new(8000), DtmfReceiver::new());
        for d in digits.chars() {
            s.send(d, ms).unwrap();
        }
        let mut heard = String::new();
        let mut slot = 0u32;
        let mut through = true;
        while s.is_busy() {
            let now = Time::from_millis(u64::from(slot) * 20);
            let ticks = 0xffff_f000u32.wrapping_add(slot * 160);
            if let DtmfSlot::Event(p) = s.slot(ticks, 160) {
                if p.marker {
                    through = false;
                }
                let e = TelephoneEvent::parse(&p.payload).unwrap();
                // Losses never take the last chance of a digit.
                if !rng.chance(0.5) || (e.end && !through) {
                    through = true;
                    heard.extend(r.handle_input(now, p.timestamp, &p.payload));
                    if rng.chance(0.3) {
                        heard.extend(r.handle_input(now, p.timestamp, &p.payload));
                    }
                }
            }
            r.handle_timeout(now);
            slot += 1;
        }
        prop_assert_eq!(heard, digits);
    }

    #[test]
    fn garbage_is_no_digit_or_a_digit(d in proptest::collection::vec(any::<u8>(), 0..8), ts in any::<u32>()) {
        let mut r = DtmfReceiver::new();
        if let Some(c) = r.handle_input(Time::ZERO, ts, &d) {
            prop_assert!(code_of(c).is_some());
        }
        let _ = parse_info(true, &d);
        let _ = parse_info(false, &d);
    }
}
