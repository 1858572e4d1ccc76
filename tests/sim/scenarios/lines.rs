//! Clients with accounts and lines: they call, are called, and their sound follows the attached line.

use base::EndReason;
use call::{AccountId, Dial, Line, LineEvent, LineIntent, Login, Outcome, Proof, Secret};
use codecs::CodecId;

use crate::phone::{Answers, Told};
use crate::world::{Who, World, ms, secs};

const ACCOUNT: AccountId = AccountId(1);

pub(super) fn login(name: &str, password: &str) -> LineIntent {
    let login = Login {
        aor: name.to_owned(),
        auth_user: None,
        proof: Proof::Password(Secret::new(password)),
        display: format!("{name} the tester"),
        proxy: None,
        register: true,
        exclusive: false,
    };
    LineIntent::Login {
        account: ACCOUNT,
        login: Box::new(login),
    }
}

pub(super) fn dial(line: u32, target: &str, codecs: &[CodecId]) -> LineIntent {
    LineIntent::Dial(Box::new(Dial {
        line: Line(line),
        account: None,
        target: target.to_owned(),
        codecs: codecs.to_vec(),
        headers: vec![("X-Ticket".to_owned(), "42".to_owned())],
    }))
}

pub(super) fn answer(line: Line) -> LineIntent {
    LineIntent::Answer {
        line,
        codecs: Vec::new(),
    }
}

pub(super) fn hang_up(line: Line, status: u16) -> LineIntent {
    LineIntent::HangUp {
        line,
        outcome: Outcome::from_status(status, "as told"),
    }
}

pub(super) fn attach(line: Line) -> LineIntent {
    LineIntent::Attach { line: Some(line) }
}

/// A client that is logged in under a name with an account.
pub(super) fn user(w: &mut World, name: &str, g711: bool) -> Who {
    let who = w.telephone(g711);
    w.intend(who, login(name, &format!("{name}-secret")));
    let told = w.told(who);
    assert!(
        matches!(told.last(), Some(LineEvent::LoggedIn { account: ACCOUNT, .. })),
        "{told:?}"
    );
    who
}

pub(super) fn has(w: &mut World, who: Who, what: impl Fn(&LineEvent) -> bool) -> bool {
    w.told(who).iter().any(what)
}

#[test]
fn a_client_calls_a_phone_and_either_hangs_up() {
    for client_hangs_up in [true, false] {
        let mut w = World::builder().users(&["alice", "bob"]).build();
        let bob = w.registered_phone("bob");
        let alice = user(&mut w, "alice", false);
        w.intend(alice, dial(1, "bob", &[]));
        w.intend(alice, attach(Line(1)));
        w.run(secs(3));
        let told = w.told(alice);
        assert!(
            told.iter()
                .any(|e| matches!(e, LineEvent::Ringing { line: Line(1), .. }))
        );
        let up = LineEvent::Answered {
            line: Line(1),
            far: Some(CodecId::Pcmu),
            near: CodecId::SpeexWb,
        };
        assert!(told.contains(&up), "{told:?}");
        w.hear_each_other(alice, bob);
        if client_hangs_up {
            w.intend(alice, hang_up(Line(1), 200));
            w.run(ms(200));
            assert!(w.at(bob).was(&Told::Ended(EndReason::HungUp)));
        } else {
            w.hang_up(bob);
            w.run(ms(200));
        }
        assert!(has(&mut w, alice, |e| matches!(
            e,
            LineEvent::Ended { line: Line(1), .. }
        )));
        w.ends_clean();
    }
}

#[test]
fn what_the_client_asks_for_is_offered_in_its_order() {
    let mut w = World::builder().users(&["alice", "bob"]).build();
    let bob = w.registered_phone("bob");
    w.at(bob).codecs = vec![CodecId::SpeexWb, CodecId::Pcmu, CodecId::Pcma];
    let alice = user(&mut w, "alice", true);
    w.intend(alice, dial(1, "bob", &[CodecId::Pcma, CodecId::Pcmu]));
    w.run(secs(2));
    let up = LineEvent::Answered {
        line: Line(1),
        far: Some(CodecId::Pcma),
        near: CodecId::Pcma,
    };
    assert!(w.told(alice).contains(&up));
    assert_eq!(w.at(bob).codec(), Some(CodecId::Pcma));
    w.intend(alice, hang_up(Line(1), 200));
    w.run(ms(200));
    w.ends_clean();
}

#[test]
fn an_incoming_call_is_shown_answered_and_heard() {
    let mut w = World::builder().users(&["alice", "bob"]).build();
    let bob = w.registered_phone("bob");
    w.at(bob).codecs = vec![CodecId::Pcmu, CodecId::SpeexWb];
    let alice = user(&mut w, "alice", false);
    w.dial(bob, "alice");
    w.run(ms(300));
    assert!(w.at(bob).was(&Told::Progress(180, false)));
    let line = w.incoming_line(alice);
    let shown = w.told(alice);
    assert!(
        shown
            .iter()
            .any(|e| matches!(e, LineEvent::Incoming { from, to, .. }
            if from == "sip:bob@gw.test" && to == "sip:alice@gw.test")),
        "{shown:?}"
    );
    w.intend(alice, attach(line));
    w.intend(alice, answer(line));
    w.run(secs(2));
    // What the client can hear untouched is taken, though the caller would rather have G.711.
    let up = LineEvent::Answered {
        line,
        far: Some(CodecId::SpeexWb),
        near: CodecId::SpeexWb,
    };
    assert!(w.told(alice).contains(&up), "{:?}", w.told(alice));
    w.hear_each_other(alice, bob);
    w.hang_up(bob);
    w.run(ms(200));
    assert!(has(&mut w, alice, |e| matches!(e, LineEvent::Ended { .. })));
    w.ends_clean();
}

#[test]
fn an_incoming_call_is_refused_in_the_clients_words_or_cancelled() {
    let mut w = World::builder().users(&["alice", "bob"]).build();
    let bob = w.registered_phone("bob");
    let alice = user(&mut w, "alice", false);
    w.dial(bob, "alice");
    w.run(ms(300));
    let line = w.incoming_line(alice);
    w.intend(alice, hang_up(line, 486));
    w.run(ms(300));
    assert!(w.at(bob).was(&Told::Failed(486)));

    w.dial(bob, "alice");
    w.run(ms(300));
    let second = w.incoming_line(alice);
    assert_ne!(line, second);
    w.hang_up(bob);
    w.run(ms(300));
    assert!(has(
        &mut w,
        alice,
        |e| matches!(e, LineEvent::Cancelled { line, .. } if *line == second)
    ));
    w.run(secs(1));
    w.ends_clean();
}

#[test]
fn a_client_and_a_phone_of_one_account_ring_together() {
    for client_answers in [true, false] {
        let mut w = World::builder().users(&["alice", "bob"]).build();
        let phone = w.registered_phone("alice");
        let wait = if client_answers { secs(30) } else { ms(700) };
        w.at(phone).answers = Answers::After(wait);
        let alice = user(&mut w, "alice", false);
        let bob = w.phone("bob");
        w.dial(bob, "alice");
        w.run(ms(400));
        let line = w.incoming_line(alice);
        assert!(w.at(phone).was(&Told::Called));
        if client_answers {
            w.intend(alice, attach(line));
            w.intend(alice, answer(line));
            w.run(secs(2));
            w.hear_each_other(alice, bob);
            assert!(w.at(phone).is_idle());
        } else {
            w.run(secs(2));
            w.hear_each_other(phone, bob);
            assert!(has(&mut w, alice, |e| matches!(e, LineEvent::Cancelled { .. })));
        }
        w.hang_up(bob);
        w.run(ms(300));
        w.ends_clean();
    }
}

#[test]
fn the_sound_follows_the_attached_line_and_nobody_is_told() {
    let mut w = World::builder().users(&["alice", "bob", "carol"]).build();
    let bob = w.registered_phone("bob");
    let carol = w.registered_phone("carol");
    let alice = user(&mut w, "alice", false);
    w.intend(alice, dial(1, "bob", &[]));
    w.intend(alice, attach(Line(1)));
    w.run(secs(2));
    w.intend(alice, dial(2, "carol", &[]));
    w.intend(alice, attach(Line(2)));
    w.run(secs(3));
    w.hear_each_other(alice, carol);
    w.hears_nothing_of(bob, alice);
    w.hears_nothing_of(alice, bob);
    w.intend(alice, attach(Line(1)));
    w.run(secs(2));
    w.hear_each_other(alice, bob);
    w.hears_nothing_of(carol, alice);
    w.intend(alice, LineIntent::Attach { line: None });
    w.run(secs(2));
    w.hears_nothing_of(bob, alice);
    let changed = |t: &(base::Time, Told)| matches!(t.1, Told::Changed(_));
    assert!(!w.at(bob).told.iter().any(changed) && !w.at(carol).told.iter().any(changed));
    w.intend(alice, hang_up(Line(1), 200));
    w.intend(alice, hang_up(Line(2), 200));
    w.run(ms(300));
    w.ends_clean();
}

#[test]
fn two_clients_call_each_other() {
    let mut w = World::builder().users(&["alice", "bob"]).shards(2).build();
    let alice = user(&mut w, "alice", false);
    let bob = user(&mut w, "bob", false);
    w.intend(alice, dial(1, "bob", &[]));
    w.intend(alice, attach(Line(1)));
    w.run(ms(200));
    let line = w.incoming_line(bob);
    assert!(has(
        &mut w,
        bob,
        |e| matches!(e, LineEvent::Incoming { display, headers, .. }
            if display == "alice the tester" && headers == &[("X-Ticket".to_owned(), "42".to_owned())])
    ));
    w.intend(bob, attach(line));
    w.intend(bob, answer(line));
    w.run(secs(3));
    w.hear_each_other(alice, bob);
    // Its program dies in the middle of the call.
    w.kill(bob);
    w.run(ms(500));
    assert!(has(&mut w, alice, |e| matches!(
        e,
        LineEvent::Ended { line: Line(1), .. }
    )));
    w.ends_clean();
}

#[test]
fn a_client_gives_up_and_a_refusal_comes_back_in_the_far_ends_words() {
    let mut w = World::builder().users(&["alice", "bob", "carol"]).build();
    let bob = w.registered_phone("bob");
    w.at(bob).answers = Answers::Never;
    let carol = w.registered_phone("carol");
    w.at(carol).answers = Answers::Busy;
    let alice = user(&mut w, "alice", false);
    w.intend(alice, dial(1, "bob", &[]));
    w.run(secs(1));
    w.intend(alice, hang_up(Line(1), 487));
    w.run(secs(1));
    assert!(w.at(bob).is_idle());
    w.intend(alice, dial(2, "carol", &[]));
    w.run(secs(1));
    let told = w.told(alice);
    assert!(
        told.iter()
            .any(|e| matches!(e, LineEvent::Refused { line: Line(2), outcome } if outcome.status == 486)),
        "{told:?}"
    );
    w.intend(alice, dial(3, "nobody", &[]));
    assert!(has(&mut w, alice, |e| matches!(
        e,
        LineEvent::Refused { line: Line(3), outcome } if outcome.status == 404
    )));
    w.ends_clean();
}

#[test]
fn wrong_passwords_are_refused_and_then_have_to_wait() {
    let mut w = World::builder().users(&["alice"]).build();
    let who = w.telephone(false);
    let statuses = |w: &mut World| -> Vec<u16> {
        let told = w.told(who);
        let failed = told.iter().filter_map(|e| match e {
            LineEvent::LoginFailed { outcome, .. } => Some(outcome.status),
            _ => None,
        });
        failed.collect()
    };
    for _ in 0..5 {
        w.intend(who, login("alice", "guess"));
    }
    assert_eq!(statuses(&mut w), [403; 5]);
    // The right one comes too late.
    w.intend(who, login("alice", "alice-secret"));
    assert_eq!(statuses(&mut w).last(), Some(&503));
    w.run(secs(31));
    w.intend(who, login("alice", "alice-secret"));
    assert!(has(&mut w, who, |e| matches!(e, LineEvent::LoggedIn { .. })));
    w.ends_clean();
}

#[test]
fn the_hash_of_a_session_is_a_proof_too_and_a_later_login_closes_the_earlier() {
    let mut w = World::builder().users(&["alice"]).build();
    let first = user(&mut w, "alice", false);
    let second = w.telephone(false);
    let hash = sip::auth::Algorithm::Md5.ha1("5f2e", "alice@gw.test", "alice-secret");
    let wrong = sip::auth::Algorithm::Md5.ha1("5f2f", "alice@gw.test", "alice-secret");
    for (digest, good) in [(wrong, false), (hash.to_uppercase(), true)] {
        let login = Login {
            aor: "alice@gw.test".to_owned(),
            auth_user: None,
            proof: Proof::Md5 {
                salt: "5f2e".to_owned(),
                digest,
            },
            display: String::new(),
            proxy: None,
            register: true,
            exclusive: true,
        };
        w.intend(
            second,
            LineIntent::Login {
                account: ACCOUNT,
                login: Box::new(login),
            },
        );
        assert_eq!(
            has(&mut w, second, |e| matches!(e, LineEvent::LoggedIn { .. })),
            good
        );
    }
    assert!(has(&mut w, first, |e| matches!(e, LineEvent::Close { .. })));
    w.ends_clean();
}
