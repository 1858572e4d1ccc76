//! SIP phones with each other and with what is built in.

use base::EndReason;

use crate::phone::{Answers, Told};
use crate::world::{World, ms, secs};

#[test]
fn a_phone_hears_itself_in_the_echo() {
    let mut w = World::builder().users(&["alice", "bob"]).build();
    let alice = w.phone("alice");
    w.dial(alice, "echo");
    w.run(secs(5));
    w.hears(alice, alice);
    w.hang_up(alice);
    w.ends_clean();
}

#[test]
fn a_phone_hears_the_tone_and_not_itself() {
    let mut w = World::builder().users(&["alice", "bob"]).build();
    let alice = w.phone("alice");
    w.dial(alice, "tone");
    w.run(secs(2));
    assert!(w.ear(alice).hears(w.now, 440.0));
    w.hears_nothing_of(alice, alice);
    w.hang_up(alice);
    w.ends_clean();
}

#[test]
fn registered_phones_hear_each_other_and_either_hangs_up() {
    for caller_hangs_up in [true, false] {
        let mut w = World::builder().users(&["alice", "bob"]).build();
        let alice = w.registered_phone("alice");
        let bob = w.registered_phone("bob");
        w.dial(alice, "bob");
        w.run(secs(3));
        assert!(w.at(alice).was(&Told::Progress(180, false)) && w.at(alice).was(&Told::Answered));
        w.hear_each_other(alice, bob);
        let (first, second) = if caller_hangs_up {
            (alice, bob)
        } else {
            (bob, alice)
        };
        w.hang_up(first);
        w.run(ms(100));
        assert!(w.at(second).was(&Told::Ended(EndReason::HungUp)));
        w.ends_clean();
    }
}

#[test]
fn phones_need_no_account_where_the_door_is_open() {
    let doors = |c: &mut flashgate::config::Config| {
        c.sip.registration = flashgate::config::Access::Open;
        c.sip.inbound = flashgate::config::Access::Open;
    };
    let mut w = World::builder().config(doors).build();
    let alice = w.registered_phone("alice");
    let bob = w.registered_phone("bob");
    w.dial(alice, "bob");
    w.run(secs(3));
    w.hear_each_other(alice, bob);
    w.hang_up(bob);
    w.run(ms(100));
    w.ends_clean();
}

#[test]
fn a_wrong_password_registers_nobody_and_calls_nobody() {
    let mut w = World::builder().users(&["alice", "bob"]).build();
    let bob = w.registered_phone("bob");
    let alice = w.phone("alice");
    w.at(alice).credentials = Some(sip::auth::Credentials::new("alice", "guess"));
    let now = w.now;
    w.at(alice).register(now);
    w.run(secs(1));
    assert!(!w.at(alice).was(&Told::Registered));
    w.dial(alice, "bob");
    w.run(secs(1));
    assert!(w.at(alice).is_idle() && !w.at(bob).was(&Told::Called));
    w.ends_clean();
}

#[test]
fn busy_and_decline_reach_the_caller() {
    for (answers, status) in [(Answers::Busy, 486), (Answers::Declines, 603)] {
        let mut w = World::builder().users(&["alice", "bob"]).build();
        let alice = w.phone("alice");
        let bob = w.registered_phone("bob");
        w.at(bob).answers = answers;
        w.dial(alice, "bob");
        w.run(secs(1));
        assert!(w.at(alice).was(&Told::Failed(status)));
        w.ends_clean();
    }
}

#[test]
fn nobody_answers_and_the_ringing_ends_on_both_sides() {
    let mut w = World::builder()
        .users(&["alice", "bob"])
        .config(|c| c.sip.ring_timeout = secs(20))
        .build();
    let alice = w.phone("alice");
    let bob = w.registered_phone("bob");
    w.at(bob).answers = Answers::Never;
    w.dial(alice, "bob");
    w.run(secs(19));
    assert!(!w.at(alice).is_idle() && !w.at(bob).is_idle());
    w.run(secs(2));
    assert!(w.at(alice).was(&Told::Failed(480)));
    assert!(w.at(bob).was(&Told::Ended(EndReason::Cancelled)));
    w.ends_clean();
}

#[test]
fn a_caller_that_gives_up_ends_the_ringing() {
    let mut w = World::builder().users(&["alice", "bob"]).build();
    let alice = w.phone("alice");
    let bob = w.registered_phone("bob");
    w.at(bob).answers = Answers::Never;
    w.dial(alice, "bob");
    w.run(secs(2));
    w.hang_up(alice);
    w.run(ms(100));
    assert!(w.at(bob).was(&Told::Ended(EndReason::Cancelled)));
    w.ends_clean();
}

#[test]
fn unknown_targets_and_absent_users_are_told_apart() {
    let mut w = World::builder().users(&["alice", "bob"]).build();
    let alice = w.registered_phone("alice");
    w.dial(alice, "nobody");
    w.run(secs(1));
    assert!(w.at(alice).was(&Told::Failed(404)));
    w.dial(alice, "bob");
    w.run(secs(1));
    assert!(w.at(alice).was(&Told::Failed(480)));
    w.ends_clean();
}

#[test]
fn the_first_phone_of_a_user_to_answer_wins() {
    let mut w = World::builder().users(&["alice", "bob"]).build();
    let alice = w.phone("alice");
    let desk = w.registered_phone("bob");
    let mobile = w.registered_phone("bob");
    let porch = w.registered_phone("bob");
    w.at(desk).answers = Answers::After(secs(2));
    w.at(mobile).answers = Answers::After(secs(1));
    w.at(porch).answers = Answers::Busy;
    w.dial(alice, "bob");
    w.run(secs(4));
    w.hear_each_other(alice, mobile);
    assert!(w.at(desk).was(&Told::Ended(EndReason::Cancelled)) && w.at(desk).is_idle());
    w.hang_up(mobile);
    w.run(ms(100));
    assert!(w.at(alice).was(&Told::Ended(EndReason::HungUp)));
    w.ends_clean();
}

#[test]
fn two_phones_that_answer_at_the_same_moment_leave_one_call() {
    let mut w = World::builder().users(&["alice", "bob"]).build();
    let alice = w.phone("alice");
    let desk = w.registered_phone("bob");
    let mobile = w.registered_phone("bob");
    for who in [desk, mobile] {
        w.at(who).answers = Answers::After(secs(1));
    }
    w.dial(alice, "bob");
    w.run(secs(3));
    let answered = [desk, mobile].map(|who| w.at(who).in_call());
    assert_eq!(answered.iter().filter(|up| **up).count(), 1);
    w.hang_up(alice);
    w.run(ms(100));
    w.ends_clean();
}
