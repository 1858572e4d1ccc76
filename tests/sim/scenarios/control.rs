//! Call control: hold, digits, transfers of all kinds, redirection, texts.

use base::EndReason;
use call::{Line, LineEvent, LineIntent};
use codecs::CodecId;
use sip::sdp::Direction;

use super::lines::{answer, attach, dial, hang_up, has, user};
use crate::phone::{Answers, Told};
use crate::world::{Who, World, ms, secs};

const LINE: Line = Line(1);

/// A client in a call with the phone of bob, attached.
fn talking(names: &[&str]) -> (World, Who, Who) {
    let mut w = World::builder().users(names).build();
    let bob = w.registered_phone("bob");
    let alice = user(&mut w, "alice", false);
    w.intend(alice, dial(1, "bob", &[]));
    w.intend(alice, attach(LINE));
    w.run(secs(2));
    w.hear_each_other(alice, bob);
    (w, alice, bob)
}

fn end(mut w: World, alice: Who, bob: Who) {
    w.intend(alice, hang_up(LINE, 200));
    w.run(ms(300));
    assert!(w.at(bob).was(&Told::Ended(EndReason::HungUp)));
    w.ends_clean();
}

/// The statuses of a client's transfer so far.
fn progress(w: &mut World, who: Who) -> Vec<u16> {
    let told = w.told(who);
    let statuses = told.iter().filter_map(|e| match e {
        LineEvent::Transfer { outcome, .. } => Some(outcome.status),
        _ => None,
    });
    statuses.collect()
}

#[test]
fn a_client_holds_a_phone_and_takes_it_back() {
    let (mut w, alice, bob) = talking(&["alice", "bob"]);
    w.intend(alice, LineIntent::Hold { line: LINE, on: true });
    assert!(!has(&mut w, alice, |e| matches!(e, LineEvent::LocalHold { .. })));
    w.run(secs(2));
    assert!(
        w.told(alice)
            .contains(&LineEvent::LocalHold { line: LINE, on: true })
    );
    assert!(w.at(bob).was(&Told::Changed(Direction::RecvOnly)));
    w.hears_nothing_of(alice, bob);
    w.hears_nothing_of(bob, alice);
    // The phone changes something meanwhile: it stays held.
    w.reoffer(bob, Direction::SendRecv);
    w.run(secs(1));
    w.hears_nothing_of(alice, bob);
    w.intend(
        alice,
        LineIntent::Hold {
            line: LINE,
            on: false,
        },
    );
    w.run(secs(2));
    assert!(w.told(alice).contains(&LineEvent::LocalHold {
        line: LINE,
        on: false
    }));
    w.hear_each_other(alice, bob);
    end(w, alice, bob);
}

#[test]
fn a_phone_holds_a_client_in_every_way() {
    let (mut w, alice, bob) = talking(&["alice", "bob"]);
    for direction in [Direction::SendOnly, Direction::Inactive] {
        w.reoffer(bob, direction);
        w.run(secs(1));
        assert!(
            w.told(alice)
                .ends_with(&[LineEvent::RemoteHold { line: LINE, on: true }])
        );
        w.reoffer(bob, Direction::SendRecv);
        w.run(secs(2));
        assert!(w.told(alice).ends_with(&[LineEvent::RemoteHold {
            line: LINE,
            on: false
        }]));
        w.hear_each_other(alice, bob);
    }
    end(w, alice, bob);
}

#[test]
fn clients_hold_each_other_without_sip() {
    let mut w = World::builder().users(&["alice", "bob"]).build();
    let alice = user(&mut w, "alice", false);
    let bob = user(&mut w, "bob", false);
    w.intend(alice, dial(1, "bob", &[]));
    w.intend(alice, attach(LINE));
    w.run(ms(200));
    let line = w.incoming_line(bob);
    w.intend(bob, attach(line));
    w.intend(bob, answer(line));
    w.run(secs(2));
    w.intend(alice, LineIntent::Hold { line: LINE, on: true });
    w.run(secs(2));
    assert!(w.told(bob).contains(&LineEvent::RemoteHold { line, on: true }));
    w.hears_nothing_of(alice, bob);
    w.hears_nothing_of(bob, alice);
    w.intend(
        alice,
        LineIntent::Hold {
            line: LINE,
            on: false,
        },
    );
    w.run(secs(2));
    w.hear_each_other(alice, bob);
    w.intend(bob, hang_up(line, 200));
    w.run(ms(100));
    w.ends_clean();
}

#[test]
fn digits_go_as_events_or_by_info_and_come_back() {
    for events in [true, false] {
        let mut w = World::builder().users(&["alice", "bob"]).build();
        let bob = w.registered_phone("bob");
        w.at(bob).events = events;
        let alice = user(&mut w, "alice", false);
        w.intend(alice, dial(1, "bob", &[]));
        w.intend(alice, attach(LINE));
        w.run(secs(2));
        w.intend(
            alice,
            LineIntent::Digits {
                line: LINE,
                digits: "1x7#".to_owned(),
                ms: 100,
            },
        );
        w.run(secs(2));
        let heard: Vec<Told> = w.at(bob).told.iter().map(|(_, t)| t.clone()).collect();
        let digits = ['1', '7', '#'].map(|d| Told::Digit(d, !events));
        assert!(heard.ends_with(&digits), "{heard:?}");
        let now = w.now;
        w.at(bob).press(now, '5');
        w.run(ms(100));
        assert!(w.told(alice).contains(&LineEvent::Digit {
            line: LINE,
            digit: '5'
        }));
        end(w, alice, bob);
    }
}

#[test]
fn a_digit_that_a_phone_only_sounds_is_heard() {
    let (mut w, alice, bob) = talking(&["alice", "bob"]);
    for digit in ['4', '#'] {
        w.at(bob).sound(digit);
        w.run(ms(500));
    }
    let told = w.told(alice);
    let heard = told.iter().filter_map(|e| match e {
        LineEvent::Digit { digit, .. } => Some(*digit),
        _ => None,
    });
    assert_eq!(heard.collect::<String>(), "4#");
    end(w, alice, bob);
}

#[test]
fn a_blind_transfer_goes_by_refer_or_within_the_gateway() {
    for by_refer in [true, false] {
        let by = |c: &mut flashgate::config::Config| {
            if !by_refer {
                c.sip.transfer_by = flashgate::config::TransferBy::Inside;
            }
        };
        let mut w = World::builder()
            .users(&["alice", "bob", "carol"])
            .config(by)
            .build();
        let bob = w.registered_phone("bob");
        let carol = w.registered_phone("carol");
        let alice = user(&mut w, "alice", false);
        w.intend(alice, dial(1, "bob", &[]));
        w.intend(alice, attach(LINE));
        w.run(secs(2));
        let target = "carol".to_owned();
        w.intend(alice, LineIntent::Transfer { line: LINE, target });
        w.run(secs(4));
        assert_eq!(w.at(bob).was(&Told::Referred), by_refer);
        let told = progress(&mut w, alice);
        assert!(told.ends_with(&[200]) && told[0] < 200, "{told:?}");
        assert!(has(&mut w, alice, |e| matches!(
            e,
            LineEvent::Ended { line: LINE, .. }
        )));
        w.hear_each_other(bob, carol);
        w.hears_nothing_of(bob, alice);
        w.hang_up(carol);
        w.run(ms(300));
        assert!(w.at(bob).is_idle());
        w.ends_clean();
    }
}

#[test]
fn a_transfer_that_fails_leaves_the_call_as_it_was() {
    let inside = |c: &mut flashgate::config::Config| {
        c.sip.transfer_by = flashgate::config::TransferBy::Inside;
    };
    let mut w = World::builder()
        .users(&["alice", "bob", "carol"])
        .config(inside)
        .build();
    let bob = w.registered_phone("bob");
    let carol = w.registered_phone("carol");
    w.at(carol).answers = Answers::Busy;
    let alice = user(&mut w, "alice", false);
    w.intend(alice, dial(1, "bob", &[]));
    w.intend(alice, attach(LINE));
    w.run(secs(2));
    for (target, status) in [("carol", 486), ("nobody", 404)] {
        let target = target.to_owned();
        w.intend(alice, LineIntent::Transfer { line: LINE, target });
        w.run(secs(1));
        assert_eq!(progress(&mut w, alice).last(), Some(&status));
    }
    w.run(secs(1));
    w.hear_each_other(alice, bob);
    end(w, alice, bob);
}

#[test]
fn a_transfer_to_something_of_ours_and_one_of_a_client_happen_inside() {
    let (mut w, alice, bob) = talking(&["alice", "bob", "dora"]);
    let target = "tone".to_owned();
    w.intend(alice, LineIntent::Transfer { line: LINE, target });
    w.run(secs(2));
    assert!(w.ear(bob).hears(w.now, 440.0));
    w.hang_up(bob);
    w.run(ms(200));

    let dora = user(&mut w, "dora", false);
    w.intend(alice, dial(2, "dora", &[]));
    w.intend(alice, attach(Line(2)));
    w.run(ms(100));
    let line = w.incoming_line(dora);
    w.intend(dora, attach(line));
    w.intend(dora, answer(line));
    w.run(secs(1));
    let target = "bob".to_owned();
    w.intend(
        alice,
        LineIntent::Transfer {
            line: Line(2),
            target,
        },
    );
    w.run(secs(3));
    w.hear_each_other(dora, bob);
    assert!(has(
        &mut w,
        dora,
        |e| matches!(e, LineEvent::Display { number, .. } if number == "bob")
    ));
    w.hang_up(bob);
    w.run(ms(200));
    assert!(has(&mut w, dora, |e| matches!(e, LineEvent::Ended { .. })));
    w.ends_clean();
}

#[test]
fn a_client_connects_the_other_parties_of_two_calls_and_leaves() {
    let (mut w, alice, bob) = talking(&["alice", "bob", "carol"]);
    let carol = w.registered_phone("carol");
    w.at(carol).codecs = vec![CodecId::SpeexWb];
    w.intend(alice, LineIntent::Hold { line: LINE, on: true });
    w.run(ms(500));
    w.intend(alice, dial(2, "carol", &[]));
    w.intend(alice, attach(Line(2)));
    w.run(secs(2));
    w.hear_each_other(alice, carol);
    w.intend(
        alice,
        LineIntent::Join {
            line: LINE,
            other: Line(2),
        },
    );
    w.run(secs(3));
    assert_eq!(progress(&mut w, alice), [200]);
    for line in [LINE, Line(2)] {
        assert!(has(
            &mut w,
            alice,
            |e| matches!(e, LineEvent::Ended { line: l, .. } if *l == line)
        ));
    }
    // The one on hold was taken back.
    w.hear_each_other(bob, carol);
    w.hears_nothing_of(bob, alice);
    w.hang_up(bob);
    w.run(ms(300));
    assert!(w.at(carol).is_idle());
    w.ends_clean();
}

#[test]
fn a_phone_transfers_a_client_blindly_and_may_leave_before_it_is_done() {
    for leaves in [false, true] {
        let (mut w, alice, bob) = talking(&["alice", "bob", "carol"]);
        let carol = w.registered_phone("carol");
        let now = w.now;
        w.at(bob).transfer(now, "carol", false);
        w.run(ms(200));
        if leaves {
            w.hang_up(bob);
        }
        w.run(secs(3));
        w.hear_each_other(alice, carol);
        if !leaves {
            assert!(w.at(bob).was(&Told::Transfer(200)));
        }
        assert!(w.at(bob).is_idle());
        assert!(has(
            &mut w,
            alice,
            |e| matches!(e, LineEvent::Display { number, .. } if number == "carol")
        ));
        w.hang_up(carol);
        w.run(ms(300));
        assert!(has(&mut w, alice, |e| matches!(e, LineEvent::Ended { .. })));
        w.ends_clean();
    }
}

#[test]
fn the_target_of_a_transfer_refuses_after_the_phone_has_left() {
    let (mut w, alice, bob) = talking(&["alice", "bob", "carol"]);
    let carol = w.registered_phone("carol");
    w.at(carol).answers = Answers::Never;
    let now = w.now;
    w.at(bob).transfer(now, "carol", false);
    w.run(ms(200));
    w.hang_up(bob);
    w.run(ms(500));
    assert!(!has(&mut w, alice, |e| matches!(e, LineEvent::Ended { .. })));
    // The ring time of the configuration is over.
    w.run(secs(61));
    assert!(has(&mut w, alice, |e| matches!(e, LineEvent::Ended { .. })));
    assert!(w.at(carol).is_idle());
    w.ends_clean();
}

#[test]
fn a_phone_connects_two_of_its_calls_by_refer_with_replaces() {
    let mut w = World::builder().users(&["alice", "bob", "carol"]).build();
    let alice = w.registered_phone("alice");
    let bob = w.registered_phone("bob");
    let carol = w.registered_phone("carol");
    w.dial(alice, "bob");
    w.run(secs(1));
    w.at(alice).swap();
    w.dial(alice, "carol");
    w.run(secs(1));
    let now = w.now;
    w.at(alice).transfer(now, "bob", true);
    w.run(secs(3));
    assert!(w.at(alice).was(&Told::Transfer(200)));
    assert!(w.at(alice).is_idle());
    w.hear_each_other(bob, carol);
    w.hang_up(bob);
    w.run(ms(300));
    assert!(w.at(carol).is_idle());
    w.ends_clean();
}

#[test]
fn a_phone_takes_the_place_of_another_by_replaces() {
    let (mut w, alice, bob) = talking(&["alice", "bob", "carol"]);
    let carol = w.phone("carol");
    let now = w.now;
    w.at(carol).dial_in_place(now, "no-such-call;to-tag=a;from-tag=b");
    w.run(ms(300));
    assert!(w.at(carol).was(&Told::Failed(481)));
    let (now, replaces) = (w.now, w.at(bob).replaced_by());
    w.at(carol).dial_in_place(now, &replaces);
    w.run(secs(2));
    assert!(w.at(bob).was(&Told::Ended(EndReason::HungUp)));
    w.hear_each_other(alice, carol);
    assert!(has(
        &mut w,
        alice,
        |e| matches!(e, LineEvent::Display { number, .. } if number == "carol")
    ));
    w.intend(alice, hang_up(LINE, 200));
    w.run(ms(300));
    w.ends_clean();
}

#[test]
fn a_stranger_cannot_be_transferred_to_where_it_may_not_call() {
    let open = |c: &mut flashgate::config::Config| {
        c.sip.inbound = flashgate::config::Access::Open;
    };
    let mut w = World::builder().users(&["bob"]).config(open).build();
    let bob = w.registered_phone("bob");
    let eve = w.phone("eve@elsewhere.test");
    w.dial(eve, "bob");
    w.run(secs(1));
    let now = w.now;
    w.at(eve).transfer(now, "00900123456", false);
    w.run(secs(1));
    let failed = w
        .at(eve)
        .told
        .iter()
        .any(|(_, t)| matches!(t, Told::Transfer(403 | 404)));
    assert!(failed);
    w.hear_each_other(eve, bob);
    w.hang_up(eve);
    w.run(ms(300));
    w.ends_clean();
}

#[test]
fn a_client_talks_with_two_parties_at_once_until_one_leaves() {
    for first_leaves in [true, false] {
        let (mut w, alice, bob) = talking(&["alice", "bob", "carol"]);
        let carol = w.registered_phone("carol");
        w.intend(alice, dial(2, "carol", &[]));
        w.run(secs(2));
        let other = Line(2);
        w.intend(alice, LineIntent::ThreeWay { line: LINE, other });
        w.run(secs(3));
        w.hear_each_other(alice, bob);
        w.hear_each_other(alice, carol);
        w.hear_each_other(bob, carol);
        let (leaves, stays, line) = if first_leaves {
            (bob, carol, other)
        } else {
            (carol, bob, LINE)
        };
        w.hang_up(leaves);
        w.run(ms(100));
        w.intend(alice, attach(line));
        w.run(secs(2));
        w.hear_each_other(alice, stays);
        w.intend(alice, hang_up(line, 200));
        w.run(ms(300));
        assert!(w.at(stays).is_idle());
        w.ends_clean();
    }
}

#[test]
fn a_call_goes_into_a_room_and_out_again() {
    let (mut w, alice, bob) = talking(&["alice", "bob", "carol"]);
    let carol = w.registered_phone("carol");
    w.dial(carol, "conference/team");
    let room = Some("team".to_owned());
    w.intend(alice, LineIntent::Room { line: LINE, room });
    w.run(secs(3));
    w.hear_each_other(alice, bob);
    w.hear_each_other(alice, carol);
    w.hear_each_other(bob, carol);
    w.intend(
        alice,
        LineIntent::Room {
            line: LINE,
            room: None,
        },
    );
    w.run(secs(3));
    w.hear_each_other(alice, bob);
    w.hears_nothing_of(carol, alice);
    w.hang_up(carol);
    end(w, alice, bob);
}

#[test]
fn a_redirection_is_followed_and_a_loop_ends() {
    let mut w = World::builder().users(&["alice", "bob", "carol"]).build();
    let bob = w.registered_phone("bob");
    w.at(bob).answers = Answers::Redirects("carol");
    let carol = w.registered_phone("carol");
    let alice = user(&mut w, "alice", false);
    w.intend(alice, dial(1, "bob", &[]));
    w.intend(alice, attach(LINE));
    w.run(secs(3));
    w.hear_each_other(alice, carol);
    w.intend(alice, hang_up(LINE, 200));
    w.run(ms(300));

    w.at(carol).answers = Answers::Redirects("bob");
    w.intend(alice, dial(2, "bob", &[]));
    w.run(secs(2));
    assert!(has(&mut w, alice, |e| matches!(
        e,
        LineEvent::Refused { line: Line(2), .. }
    )));
    w.ends_clean();
}

#[test]
fn texts_go_both_ways_within_calls_and_outside() {
    let (mut w, alice, bob) = talking(&["alice", "bob", "carol"]);
    let message = |line, target: &str, text: &str| LineIntent::Message {
        account: None,
        line,
        target: target.to_owned(),
        text: text.to_owned(),
    };
    w.intend(alice, message(Some(LINE), "", "within"));
    w.intend(alice, message(None, "bob", "grüße"));
    w.intend(alice, message(None, "nobody", "lost"));
    w.run(secs(1));
    let from = "sip:alice@gw.test".to_owned();
    for text in ["within", "grüße"] {
        assert!(
            w.at(bob).was(&Told::Text(from.clone(), text.to_owned())),
            "{text}"
        );
    }
    let told = w.told(alice);
    let sent = told.iter().filter_map(|e| match e {
        LineEvent::MessageSent { outcome } => Some(outcome.status),
        _ => None,
    });
    assert_eq!(sent.collect::<Vec<_>>(), [202, 404, 200]);

    let now = w.now;
    w.at(bob).text(now, "alice", "hello");
    w.at(bob).text_within(now, "hello in here");
    w.run(secs(1));
    w.at(bob).text(now, "carol", "are you there");
    w.run(secs(1));
    let told = w.told(alice);
    let mut texts: Vec<(bool, &str)> = told
        .iter()
        .filter_map(|e| match e {
            LineEvent::Message { line, text, .. } => Some((line.is_some(), text.as_str())),
            _ => None,
        })
        .collect();
    texts.sort_unstable();
    assert_eq!(texts, [(false, "hello"), (true, "hello in here")]);
    assert!(w.at(bob).was(&Told::Sent(200)) && w.at(bob).was(&Told::Sent(480)));
    end(w, alice, bob);
}
