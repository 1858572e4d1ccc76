//! The end of the gateway.

use crate::phone::Told;
use crate::world::{World, ms, secs};

#[test]
fn a_draining_gateway_refuses_calls_and_keeps_those_it_has() {
    let mut w = World::builder().users(&["alice", "bob", "carol", "dave"]).build();
    let alice = w.phone("alice");
    let bob = w.registered_phone("bob");
    let carol = w.phone("carol");
    w.dial(alice, "bob");
    w.run(secs(2));
    w.drain();
    w.dial(carol, "echo");
    w.run(secs(2));
    assert!(w.at(carol).was(&Told::Failed(503)));
    w.hear_each_other(alice, bob);
    assert!(!w.gateway.drained);
    w.hang_up(alice);
    w.run(ms(100));
    assert!(w.gateway.drained);
    w.ends_clean();
}

#[test]
fn at_the_end_of_its_patience_it_hangs_up_every_call() {
    let mut w = World::builder().users(&["alice", "bob", "carol", "dave"]).build();
    let alice = w.phone("alice");
    let bob = w.registered_phone("bob");
    let carol = w.phone("carol");
    let dave = w.phone("dave");
    w.dial(alice, "bob");
    w.dial(carol, "echo");
    w.run(secs(2));
    w.at(bob).answers = crate::phone::Answers::Never;
    w.dial(dave, "tone");
    w.run(ms(500));
    w.drain();
    w.run(secs(1));
    w.hang_up_all();
    w.run(ms(200));
    for who in [alice, bob, carol, dave] {
        assert!(w.at(who).is_idle(), "{who:?}");
    }
    assert!(w.gateway.drained);
    w.ends_clean();
}
