//! Phones on bad networks.

use media::netem::NetemOptions;

use crate::world::{FAIR, World, median, ms, secs};

/// What is wrong for ten seconds in the middle of a call.
fn trouble(loss: f64) -> NetemOptions {
    NetemOptions {
        loss,
        burst: 2.0,
        jitter: ms(30),
        reorder: 0.05,
        reorder_by: ms(50),
        duplicate: 0.05,
        ..FAIR
    }
}

#[test]
fn a_call_outlives_bad_weather_and_its_delay_comes_back() {
    for loss in [0.01, 0.1, 0.3] {
        let mut w = World::builder().users(&["alice", "bob"]).build();
        let alice = w.phone("alice");
        let bob = w.registered_phone("bob");
        w.dial(alice, "bob");
        w.run(secs(2));
        let begin = w.now;
        w.run(secs(5));
        let floor = w.delay(alice, bob, begin);
        w.weather(alice, trouble(loss));
        let trouble_began = w.now;
        w.run(secs(10));
        let during = w.marks(alice, bob, trouble_began);
        w.weather(alice, FAIR);
        w.run(secs(2));
        let over = w.now;
        w.run(secs(5));
        w.hear_each_other(alice, bob);
        let after = w.marks(alice, bob, over);
        eprintln!(
            "loss {loss}: floor {floor:.1} ms, {} of 20 marks in trouble at {:.1} ms, after {:.1} ms",
            during.len(),
            median(&during),
            median(&after)
        );
        // The call goes on: most of what is said is heard.
        assert!(during.len() >= 10, "{during:?}");
        assert!(after.len() >= 9, "{after:?}");
        for mark in &after {
            let delay = mark.delay.as_secs_f64() * 1e3;
            assert!((delay - floor).abs() < 6.0, "{floor} {after:?}");
        }
        w.hang_up(bob);
        w.run(ms(100));
        w.ends_clean();
    }
}

#[test]
fn calls_are_set_up_and_ended_whatever_signalling_is_lost() {
    for seed in 0..20 {
        let mut w = World::builder().users(&["alice", "bob"]).seed(seed).build();
        let alice = w.phone("alice");
        let bob = w.registered_phone("bob");
        for who in [alice, bob] {
            w.signalling_weather(
                who,
                NetemOptions {
                    burst: 1.0,
                    ..trouble(0.2)
                },
            );
        }
        w.dial(alice, "bob");
        w.run(secs(20));
        assert!(w.at(alice).in_call() && w.at(bob).in_call());
        w.hear_each_other(alice, bob);
        w.hang_up(bob);
        w.run(secs(33));
        w.ends_clean();
    }
}

/// The player of the client plays what it gets back to back: what ever delayed it must be made good.
#[test]
fn a_client_hears_a_phone_in_bad_weather_and_its_delay_comes_back() {
    for loss in [0.01, 0.1, 0.3] {
        let mut w = World::builder().users(&["bob"]).build();
        let bob = w.registered_phone("bob");
        let flash = w.client();
        w.call(flash, "bob");
        w.run(secs(3));
        let begin = w.now;
        w.run(secs(5));
        let floor = (w.delay(bob, flash, begin), w.delay(flash, bob, begin));
        w.weather(bob, trouble(loss));
        w.run(secs(10));
        w.weather(bob, FAIR);
        w.run(secs(2));
        let over = w.now;
        w.run(secs(5));
        w.hear_each_other(flash, bob);
        let after = (w.delay(bob, flash, over), w.delay(flash, bob, over));
        eprintln!("loss {loss}: phone to client and back {floor:.1?} ms before, {after:.1?} ms after");
        assert!((after.0 - floor.0).abs() <= 40.0 && (after.1 - floor.1).abs() < 25.0);
        w.leave(flash);
        w.run(ms(200));
        w.ends_clean();
    }
}
