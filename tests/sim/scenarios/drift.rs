//! Sound cards that run too fast or too slow.

use codecs::CodecId;

use crate::world::{World, ms, secs};

#[test]
fn ten_minutes_of_a_drifting_phone_add_no_delay() {
    for ppm in [100, -100] {
        let mut w = World::builder().users(&["alice", "bob"]).build();
        let alice = w.phone("alice");
        let bob = w.registered_phone("bob");
        w.set_clock(alice, ppm);
        w.dial(alice, "bob");
        w.run(secs(3));
        let begin = w.now;
        w.run(secs(5));
        let first = w.delay(alice, bob, begin);
        w.run(secs(590));
        let end = w.now;
        w.run(secs(5));
        let last = w.delay(alice, bob, end);
        eprintln!("phone at {ppm} ppm: {first:.1} ms at first, {last:.1} ms after ten minutes");
        assert!((last - first).abs() < 20.0);
        w.hang_up(alice);
        w.run(ms(100));
        w.ends_clean();
    }
}

#[test]
fn ten_minutes_of_a_drifting_client_add_no_delay() {
    for ppm in [100, -100] {
        let mut w = World::builder().users(&["bob"]).build();
        let bob = w.registered_phone("bob");
        let flash = w.client();
        w.on(flash).codec = CodecId::Pcmu;
        w.set_clock(flash, ppm);
        w.call(flash, "bob");
        w.run(secs(3));
        let begin = w.now;
        w.run(secs(5));
        let first = (w.delay(flash, bob, begin), w.delay(bob, flash, begin));
        w.run(secs(590));
        let end = w.now;
        w.run(secs(5));
        let last = (w.delay(flash, bob, end), w.delay(bob, flash, end));
        let all = w.marks(flash, bob, begin);
        let delays = all.iter().map(|m| m.delay.as_secs_f64() * 1e3);
        let (least, most) = delays.fold((f64::MAX, 0.0f64), |(l, m), d| (l.min(d), m.max(d)));
        eprintln!(
            "client at {ppm} ppm: {first:.1?} ms at first, {last:.1?} ms after ten minutes, {least:.1} to {most:.1}"
        );
        assert!(least > first.0 - 20.0 && most < first.0 + 20.0);
        assert!((last.1 - first.1).abs() < 20.0);
        w.leave(flash);
        w.run(ms(200));
        w.ends_clean();
    }
}
