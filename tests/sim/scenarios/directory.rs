//! Users of other gateways, found in the directory; the scenario speaks for it.

use call::{Line, LineEvent};
use flashgate::exchange::{DirectoryOrder, FindId, Place};

use super::lines::{attach, dial, has, user};
use crate::phone::Told;
use crate::world::{Who, World, ms, secs};

/// A gateway with a directory.
fn world(names: &[&str]) -> World {
    let mut w = World::builder().users(names).build();
    let now = w.now;
    w.gateway.exchange.use_directory(now);
    w
}

/// The one question that was put.
#[track_caller]
fn question(w: &mut World) -> (FindId, String) {
    let orders = std::mem::take(&mut w.gateway.directory);
    let mut asked = orders.into_iter().filter_map(|o| match o {
        DirectoryOrder::Find { id, aor } => Some((id, aor)),
        _ => None,
    });
    let found = asked.next().unwrap();
    assert_eq!(asked.next(), None);
    found
}

fn answer(w: &mut World, id: FindId, places: &[(Who, u16)]) {
    let places = places
        .iter()
        .map(|(who, priority)| {
            let phone = w.at(*who);
            let text = format!("sip:{}@{};x-here", phone.user, phone.sip);
            Place {
                uri: sip::Uri::parse(&text).unwrap(),
                priority: *priority,
            }
        })
        .collect();
    let now = w.now;
    w.gateway.exchange.handle_found(now, id, places);
    w.run(ms(1));
}

/// Ends the directory's part, so that nothing is due any more.
fn end(mut w: World) {
    w.drain();
    w.run(ms(600));
    w.gateway.directory.clear();
    w.ends_clean();
}

#[test]
fn a_user_who_is_not_here_is_rung_where_the_directory_says() {
    let mut w = world(&["alice"]);
    let alice = user(&mut w, "alice", false);
    let (bob, desk) = (w.phone("bob"), w.phone("bob"));
    w.gateway.directory.clear();
    w.intend(alice, dial(1, "bob", &[]));
    w.intend(alice, attach(Line(1)));
    w.run(ms(50));
    let (id, aor) = question(&mut w);
    assert_eq!(aor, "bob@gw.test");
    answer(&mut w, id, &[(desk, 100), (bob, 900)]);
    w.run(secs(2));
    // Both are rung; whoever answers first has the call.
    assert!(w.at(bob).was(&Told::Called) && w.at(desk).was(&Told::Called));
    let talks = if w.at(bob).in_call() { bob } else { desk };
    w.hear_each_other(alice, talks);
    // An answer that comes twice changes nothing.
    answer(&mut w, id, &[(bob, 1)]);
    w.hang_up(talks);
    w.run(ms(300));
    end(w);
}

#[test]
fn nobody_anywhere_is_the_same_refusal_as_before() {
    let mut w = world(&["alice"]);
    let alice = user(&mut w, "alice", false);
    w.intend(alice, dial(1, "bob", &[]));
    w.run(ms(50));
    let (id, _) = question(&mut w);
    answer(&mut w, id, &[]);
    w.run(ms(50));
    assert!(has(&mut w, alice, |e| matches!(
        e,
        LineEvent::Refused { outcome, .. } if outcome.status == 404
    )));
    end(w);
}

#[test]
fn a_place_where_the_user_is_not_any_more_is_reported() {
    let mut w = world(&["alice"]);
    let alice = user(&mut w, "alice", false);
    let bob = w.phone("bob");
    w.at(bob).answers = crate::phone::Answers::Gone;
    w.intend(alice, dial(1, "bob", &[]));
    w.run(ms(50));
    let (id, _) = question(&mut w);
    answer(&mut w, id, &[(bob, 500)]);
    w.run(secs(1));
    let missed = DirectoryOrder::Missed {
        aor: "bob@gw.test".to_owned(),
    };
    assert!(w.gateway.directory.contains(&missed));
    end(w);
}

#[test]
fn whom_another_gateway_sends_here_is_looked_for_here_only() {
    let mut w = world(&["alice"]);
    let alice = w.phone("alice");
    w.dial(alice, "sip:bob@192.0.2.1:5060;x-here");
    w.run(ms(200));
    assert!(w.at(alice).was(&Told::Failed(404)));
    assert!(
        !w.gateway
            .directory
            .iter()
            .any(|o| matches!(o, DirectoryOrder::Find { .. }))
    );
    end(w);
}

#[test]
fn a_caller_who_leaves_does_not_wait_for_the_directory() {
    let mut w = world(&["alice"]);
    let alice = w.registered_phone("alice");
    w.dial(alice, "sip:bob@gw.test");
    w.run(ms(200));
    let (id, _) = question(&mut w);
    w.hang_up(alice);
    w.run(ms(300));
    answer(&mut w, id, &[]);
    end(w);
}

#[test]
fn users_are_published_with_their_presence_and_withdrawn() {
    let mut w = world(&["alice", "bob"]);
    let publish = |aor: &str, busy| DirectoryOrder::Publish {
        aor: aor.to_owned(),
        busy,
    };
    let bob = w.registered_phone("bob");
    let alice = user(&mut w, "alice", false);
    w.run(secs(1));
    let said = std::mem::take(&mut w.gateway.directory);
    assert_eq!(
        said,
        [publish("alice@gw.test", false), publish("bob@gw.test", false)]
    );
    w.intend(alice, dial(1, "bob", &[]));
    w.intend(alice, attach(Line(1)));
    w.run(secs(2));
    w.hear_each_other(alice, bob);
    let said = std::mem::take(&mut w.gateway.directory);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said.contains(&publish("bob@gw.test", true)) && said.contains(&publish("alice@gw.test", true)));
    w.hang_up(bob);
    w.run(secs(1));
    let now = w.now;
    w.at(bob).unregister(now);
    w.run(secs(1));
    let gone = DirectoryOrder::Withdraw {
        aor: "bob@gw.test".to_owned(),
    };
    assert!(w.gateway.directory.contains(&gone));
    end(w);
}
