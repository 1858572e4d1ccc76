//! Offers and answers: hold, late offers, early media, codecs.

use base::EndReason;
use codecs::CodecId;
use sip::sdp::Direction;

use crate::phone::{Answers, Told};
use crate::world::{World, ms, secs};

#[test]
fn a_held_party_is_silent_and_comes_back() {
    // Held by "send only", "inactive", and each by either party.
    for (direction, caller_holds) in [
        (Direction::SendOnly, true),
        (Direction::Inactive, true),
        (Direction::SendOnly, false),
    ] {
        let mut w = World::builder().users(&["alice", "bob"]).build();
        let alice = w.phone("alice");
        let bob = w.registered_phone("bob");
        w.dial(alice, "bob");
        w.run(secs(2));
        w.hear_each_other(alice, bob);
        let (holder, held) = if caller_holds { (alice, bob) } else { (bob, alice) };
        w.reoffer(holder, direction);
        w.run(ms(200));
        assert!(w.at(holder).was(&Told::Change(200)));
        let before = w.at(holder).received_packets;
        w.run(secs(10));
        assert_eq!(
            w.at(holder).received_packets,
            before,
            "the holder is sent nothing"
        );
        w.reoffer(holder, Direction::SendRecv);
        w.run(secs(2));
        w.hear_each_other(holder, held);
        w.hang_up(held);
        w.run(ms(100));
        assert!(w.at(holder).was(&Told::Ended(EndReason::HungUp)));
        w.ends_clean();
    }
}

#[test]
fn a_caller_without_an_offer_is_given_one() {
    for target in ["bob", "echo"] {
        let mut w = World::builder().users(&["alice", "bob"]).build();
        let alice = w.phone("alice");
        let bob = w.registered_phone("bob");
        w.at(alice).offers_late = true;
        w.dial(alice, target);
        w.run(secs(3));
        w.hears(alice, if target == "bob" { bob } else { alice });
        w.hang_up(alice);
        w.run(ms(100));
        w.ends_clean();
    }
}

#[test]
fn early_media_is_heard_before_the_answer() {
    let mut w = World::builder().users(&["alice", "bob"]).build();
    let alice = w.phone("alice");
    let bob = w.registered_phone("bob");
    w.at(bob).answers = Answers::EarlyThenAfter(secs(3));
    w.dial(alice, "bob");
    w.run(secs(2));
    assert!(w.at(alice).was(&Told::Progress(183, true)) && !w.at(alice).in_call());
    w.hears(alice, bob);
    w.run(secs(3));
    assert!(w.at(alice).in_call());
    w.hear_each_other(alice, bob);
    w.hang_up(alice);
    w.run(ms(100));
    w.ends_clean();
}

#[test]
fn phones_with_a_codec_in_common_use_it_and_others_are_transcoded() {
    use CodecId::{Pcma, Pcmu, SpeexNb, SpeexWb};
    // Offered, had by the other, spoken on either side.
    type Case<'a> = (&'a [CodecId], &'a [CodecId], (CodecId, CodecId));
    let cases: [Case<'_>; 4] = [
        (&[Pcmu, Pcma], &[Pcma], (Pcma, Pcma)),
        (&[SpeexWb], &[SpeexWb, Pcmu], (SpeexWb, SpeexWb)),
        (&[SpeexWb], &[Pcmu], (SpeexWb, Pcmu)),
        (&[Pcma], &[SpeexNb], (Pcma, SpeexNb)),
    ];
    for (of_alice, of_bob, wanted) in cases {
        let mut w = World::builder().users(&["alice", "bob"]).build();
        let alice = w.phone("alice");
        let bob = w.registered_phone("bob");
        w.at(alice).codecs = of_alice.to_vec();
        w.at(bob).codecs = of_bob.to_vec();
        w.dial(alice, "bob");
        w.run(secs(3));
        let used = (w.at(alice).codec(), w.at(bob).codec());
        assert_eq!(used, (Some(wanted.0), Some(wanted.1)));
        w.hear_each_other(alice, bob);
        w.hang_up(alice);
        w.run(ms(100));
        w.ends_clean();
    }
}

#[test]
fn parties_without_a_codec_of_ours_are_told() {
    let mut w = World::builder()
        .users(&["alice"])
        .config(|c| c.media.codecs = vec![CodecId::Pcmu])
        .build();
    let alice = w.phone("alice");
    w.at(alice).codecs = vec![CodecId::SpeexWb];
    w.dial(alice, "echo");
    w.run(secs(1));
    assert!(w.at(alice).was(&Told::Failed(488)));
    w.ends_clean();
}
