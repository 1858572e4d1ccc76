//! Applications of every dialect, through their client halves: they call phones and are called.

use codecs::CodecId;
use flashgate::dialect::Kind;
use flashgate::dialect::client::Told as App;

use crate::client::Told;
use crate::phone::{Answers, Told as PhoneTold};
use crate::world::{Who, World, ms, secs};

const KINDS: [Kind; 3] = [Kind::SipRtmp, Kind::FreeSwitch, Kind::Red5Phone];

fn world() -> World {
    World::builder().users(&["alice", "bob", "carol"]).build()
}

/// An application of somebody's, logged in.
fn app(w: &mut World, kind: Kind, user: &str) -> Who {
    let flash = w.client();
    if kind == Kind::Red5Phone {
        w.on(flash).codec = CodecId::Nelly8;
    }
    w.on(flash).connect_as(kind, Some(user));
    w.run(ms(500));
    assert!(w.on(flash).app_told(&App::Ready), "{kind:?}");
    flash
}

fn dial(w: &mut World, who: Who, target: &str) {
    let now = w.now;
    w.on(who).does(now, |app, deeds| app.dial(target, deeds));
}

fn accept(w: &mut World, who: Who) {
    let now = w.now;
    w.on(who).does(now, |app, deeds| app.accept(deeds));
}

fn hang_up(w: &mut World, who: Who) {
    let now = w.now;
    w.on(who).does(now, |app, deeds| app.hang_up(deeds));
    w.run(ms(200));
}

#[test]
fn an_application_calls_a_phone_and_both_are_heard() {
    for kind in KINDS {
        let mut w = world();
        let bob = w.registered_phone("bob");
        let alice = app(&mut w, kind, "alice");
        dial(&mut w, alice, "bob");
        w.run(secs(3));
        assert!(
            w.on(alice).app_told(&App::Ringing) && w.on(alice).app_told(&App::Up),
            "{kind:?}"
        );
        w.hear_each_other(alice, bob);
        hang_up(&mut w, alice);
        assert!(
            w.at(bob).was(&PhoneTold::Ended(base::EndReason::HungUp)),
            "{kind:?}"
        );
        // And again, on the same connection; now the phone hangs up.
        dial(&mut w, alice, "bob");
        w.run(secs(3));
        w.hear_each_other(alice, bob);
        w.hang_up(bob);
        w.run(ms(200));
        w.leave(alice);
        w.ends_clean();
    }
}

#[test]
fn an_application_is_called_by_a_phone() {
    for kind in KINDS {
        let mut w = world();
        let bob = w.phone("bob");
        let alice = app(&mut w, kind, "alice");
        w.dial(bob, "alice");
        w.run(secs(1));
        assert!(w.at(bob).was(&PhoneTold::Progress(180, false)), "{kind:?}");
        assert!(!w.at(bob).was(&PhoneTold::Answered), "{kind:?}");
        accept(&mut w, alice);
        w.run(secs(3));
        assert!(w.on(alice).app_told(&App::Up), "{kind:?}");
        w.hear_each_other(alice, bob);
        w.hang_up(bob);
        w.run(ms(200));
        let over = |t: &(base::Time, Told)| matches!(&t.1, Told::App(App::Over(_)));
        assert!(w.on(alice).told.iter().any(over), "{kind:?}");
        w.leave(alice);
        w.ends_clean();
    }
}

#[test]
fn an_application_refuses_and_a_caller_gives_up() {
    for kind in KINDS {
        let mut w = world();
        let bob = w.phone("bob");
        let alice = app(&mut w, kind, "alice");
        w.dial(bob, "alice");
        w.run(ms(500));
        hang_up(&mut w, alice);
        assert!(w.at(bob).is_idle(), "{kind:?}");
        w.dial(bob, "alice");
        w.run(ms(500));
        w.hang_up(bob);
        w.run(ms(500));
        let over = |t: &(base::Time, Told)| matches!(&t.1, Told::App(App::Over(_)));
        assert!(w.on(alice).told.iter().any(over), "{kind:?}");
        assert!(w.at(bob).is_idle(), "{kind:?}");
        w.leave(alice);
        w.ends_clean();
    }
}

#[test]
fn a_wrong_password_lets_nobody_in() {
    for kind in KINDS {
        let mut w = world();
        let alice = w.client();
        w.on(alice).connect_with(kind, Some("alice"), "guess");
        w.run(ms(500));
        assert!(!w.on(alice).app_told(&App::Ready), "{kind:?}");
        let refused = |t: &(base::Time, Told)| matches!(&t.1, Told::Rejected(_) | Told::App(App::Refused(_)));
        assert!(w.on(alice).told.iter().any(refused), "{kind:?}");
        w.leave(alice);
        w.ends_clean();
    }
}

#[test]
fn applications_of_different_dialects_call_each_other() {
    for (caller, called) in [
        (Kind::SipRtmp, Kind::FreeSwitch),
        (Kind::FreeSwitch, Kind::Red5Phone),
        (Kind::Red5Phone, Kind::SipRtmp),
    ] {
        let mut w = world();
        let alice = app(&mut w, caller, "alice");
        let bob = app(&mut w, called, "bob");
        dial(&mut w, alice, "bob");
        w.run(ms(500));
        accept(&mut w, bob);
        w.run(secs(3));
        w.hear_each_other(alice, bob);
        hang_up(&mut w, bob);
        let over = |t: &(base::Time, Told)| matches!(&t.1, Told::App(App::Over(_)));
        assert!(w.on(alice).told.iter().any(over), "{caller:?} {called:?}");
        w.leave_all();
        w.ends_clean();
    }
}

#[test]
fn a_busy_phone_is_told_in_the_dialects_own_words() {
    for (kind, words) in [
        (Kind::SipRtmp, "486 Busy Here"),
        (Kind::FreeSwitch, "USER_BUSY"),
        (Kind::Red5Phone, "failed"),
    ] {
        let mut w = world();
        let bob = w.registered_phone("bob");
        w.at(bob).answers = Answers::Busy;
        let alice = app(&mut w, kind, "alice");
        dial(&mut w, alice, "bob");
        w.run(secs(1));
        assert!(w.on(alice).app_told(&App::Over(words.to_owned())), "{kind:?}");
        w.leave(alice);
        w.ends_clean();
    }
}

#[test]
fn a_second_siprtmp_login_closes_the_first() {
    let mut w = world();
    let first = app(&mut w, Kind::SipRtmp, "alice");
    let second = app(&mut w, Kind::SipRtmp, "alice");
    w.run(secs(3));
    assert!(w.on(first).was(&Told::Disconnected));
    let bob = w.phone("bob");
    w.dial(bob, "alice");
    w.run(ms(500));
    accept(&mut w, second);
    w.run(secs(3));
    w.hear_each_other(second, bob);
    w.hang_up(bob);
    w.run(ms(200));
    w.leave(second);
    w.ends_clean();
}

#[test]
fn a_client_that_vanishes_in_mid_call_leaves_nothing_and_may_come_again() {
    for kind in KINDS {
        let mut w = world();
        let bob = w.registered_phone("bob");
        let alice = app(&mut w, kind, "alice");
        dial(&mut w, alice, "bob");
        w.run(secs(2));
        w.kill(alice);
        w.run(ms(500));
        assert!(w.at(bob).is_idle(), "{kind:?}");
        let again = app(&mut w, kind, "alice");
        dial(&mut w, again, "bob");
        w.run(secs(3));
        w.hear_each_other(again, bob);
        hang_up(&mut w, again);
        w.leave(again);
        w.ends_clean();
    }
}

/// An application and the phone of bob, talking.
fn talking(kind: Kind) -> (World, Who, Who) {
    let mut w = world();
    let bob = w.registered_phone("bob");
    let alice = app(&mut w, kind, "alice");
    dial(&mut w, alice, "bob");
    w.run(secs(3));
    w.hear_each_other(alice, bob);
    (w, alice, bob)
}

#[test]
fn a_siprtmp_client_holds_is_held_and_is_told_so() {
    let (mut w, alice, bob) = talking(Kind::SipRtmp);
    let held = |w: &mut World| {
        let told = w.on(alice).told.iter().filter_map(|(_, t)| match t {
            Told::App(App::Held(on)) => Some(*on),
            _ => None,
        });
        told.collect::<Vec<bool>>()
    };
    let now = w.now;
    w.on(alice).does(now, |app, deeds| app.hold(true, deeds));
    w.run(secs(2));
    assert_eq!(held(&mut w), [true]);
    w.hears_nothing_of(bob, alice);
    let now = w.now;
    w.on(alice).does(now, |app, deeds| app.hold(false, deeds));
    w.run(secs(3));
    assert_eq!(held(&mut w), [true, false]);
    w.hear_each_other(alice, bob);
    w.reoffer(bob, sip::sdp::Direction::SendOnly);
    w.run(secs(1));
    w.reoffer(bob, sip::sdp::Direction::SendRecv);
    w.run(secs(1));
    assert_eq!(held(&mut w), [true, false, true, false]);
    hang_up(&mut w, alice);
    w.leave(alice);
    w.ends_clean();
}

#[test]
fn a_mod_rtmp_client_detaches_a_call_and_its_party_is_not_told() {
    let (mut w, alice, bob) = talking(Kind::FreeSwitch);
    let now = w.now;
    w.on(alice).does(now, |app, deeds| app.hold(true, deeds));
    w.run(secs(2));
    w.hears_nothing_of(bob, alice);
    assert!(
        !w.at(bob)
            .told
            .iter()
            .any(|(_, t)| matches!(t, PhoneTold::Changed(_)))
    );
    let now = w.now;
    w.on(alice).does(now, |app, deeds| app.hold(false, deeds));
    w.run(secs(3));
    w.hear_each_other(alice, bob);
    hang_up(&mut w, alice);
    w.leave(alice);
    w.ends_clean();
}

#[test]
fn digits_go_out_of_every_dialect_and_into_one() {
    for kind in KINDS {
        let (mut w, alice, bob) = talking(kind);
        let now = w.now;
        w.on(alice).does(now, |app, deeds| app.digits("1*7", deeds));
        w.run(secs(2));
        let digit = |t: &PhoneTold| match t {
            PhoneTold::Digit(digit, _) => Some(*digit),
            _ => None,
        };
        let heard: String = w.at(bob).told.iter().filter_map(|(_, t)| digit(t)).collect();
        assert_eq!(heard, "1*7", "{kind:?}");
        let now = w.now;
        w.at(bob).press(now, '5');
        w.run(ms(200));
        // The others have no function for it, and hear nothing.
        assert_eq!(w.on(alice).app_told(&App::Digit('5')), kind == Kind::FreeSwitch);
        hang_up(&mut w, alice);
        w.leave(alice);
        w.ends_clean();
    }
}

#[test]
fn an_application_sends_its_party_elsewhere() {
    for kind in [Kind::FreeSwitch, Kind::Red5Phone] {
        let (mut w, alice, bob) = talking(kind);
        let carol = w.registered_phone("carol");
        let now = w.now;
        w.on(alice).does(now, |app, deeds| app.transfer("carol", deeds));
        w.run(secs(4));
        w.hear_each_other(bob, carol);
        w.hang_up(bob);
        w.run(ms(300));
        let over = |t: &(base::Time, Told)| matches!(&t.1, Told::App(App::Over(_)));
        assert!(w.on(alice).told.iter().any(over), "{kind:?}");
        w.leave(alice);
        w.ends_clean();
    }
}
