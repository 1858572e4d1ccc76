//! What the gateway adds to the delay, from socket to socket.

use crate::world::{NET_DELAY, World, ms, secs};

/// A frame is heard when it is whole, after two ways through the network.
const WIRE: f64 = 20.0 + 2.0 * NET_DELAY.as_millis() as f64;

#[test]
fn the_gateway_adds_less_than_forty_milliseconds_between_phones() {
    let mut w = World::builder().users(&["alice", "bob"]).build();
    let alice = w.phone("alice");
    let bob = w.registered_phone("bob");
    w.dial(alice, "bob");
    w.run(secs(3));
    let begin = w.now;
    w.run(secs(20));
    let (there, back) = (
        w.delay(alice, bob, begin) - WIRE,
        w.delay(bob, alice, begin) - WIRE,
    );
    eprintln!("RTP to RTP: {there:.1} ms there, {back:.1} ms back");
    assert!((-1.0..40.0).contains(&there) && (-1.0..40.0).contains(&back));
    w.hang_up(alice);
    w.run(ms(100));
    w.ends_clean();
}
