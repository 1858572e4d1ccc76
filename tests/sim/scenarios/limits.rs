//! Limits on calls over trunks, and the records of those that are refused.

use base::EndReason;
use flashgate::exchange::CallRecord;

use super::trunks::{read, records};
use crate::phone::{Answers, Told};
use crate::world::{Who, World, ms, secs};

const FIRST: &str = "sip:192.0.2.10";

/// One trunk with these limits, a route for all numbers, alice and bob.
fn world(trunk: &str, limits: &str) -> (World, Who, Who, Who) {
    let text = format!(
        "[[user]]\nname = \"alice\"\npassword = \"x\"\nnumber = \"+4930111222\"\n\
         [[user]]\nname = \"bob\"\npassword = \"x\"\n\
         [[sip.trunk]]\nname = \"t\"\nuri = \"{FIRST}\"\nusername = \"us\"\n{trunk}\n\
         [[route]]\nmatch = '\\+[0-9]+'\nto = [\"t\"]\n{limits}\n"
    );
    let mut w = World::builder()
        .users(&["alice", "bob"])
        .config(read(&text))
        .build();
    let carrier = w.phone("carrier");
    let alice = w.phone("alice");
    let bob = w.phone("bob");
    (w, carrier, alice, bob)
}

/// What was tried, refused, and recorded so.
#[track_caller]
fn refused(w: &mut World, who: Who, number: &str, status: u16, reason: EndReason) -> CallRecord {
    w.at(who).told.clear();
    w.dial(who, number);
    w.run(secs(1));
    assert!(
        w.at(who).was(&Told::Failed(status)),
        "{number}: {:?}",
        w.at(who).told
    );
    let record = records(w).pop().unwrap();
    assert_eq!((record.status, record.reason), (status, reason));
    assert!(record.answered.is_none() && record.dialled.contains(number));
    record
}

#[test]
fn a_full_trunk_refuses_and_says_so_in_a_record() {
    let (mut w, carrier, alice, bob) = world("max_calls = 1", "");
    w.dial(alice, "+4930123456");
    w.run(secs(2));
    w.hear_each_other(alice, carrier);
    records(&mut w);
    let record = refused(&mut w, bob, "+4930123457", 503, EndReason::Overloaded);
    assert_eq!(record.tries.len(), 1);
    assert_eq!(
        (record.tries[0].trunk.as_str(), record.tries[0].status),
        ("t", 503)
    );
    w.hear_each_other(alice, carrier);
    w.hang_up(alice);
    w.run(ms(60));
    // The record is there as soon as the media has told its figures.
    let record = records(&mut w).pop().unwrap();
    assert_eq!(record.media.len(), 2);
    assert_eq!(record.caller.number.as_deref(), Some("+4930111222"));
    assert_eq!(record.callee.unwrap().number.as_deref(), Some("+4930123456"));
    w.dial(bob, "+4930123457");
    w.run(secs(2));
    w.hear_each_other(bob, carrier);
    w.hang_up(bob);
    w.run(secs(1));
    w.ends_clean();
}

#[test]
fn prefixes_and_callers_that_are_not_let_through() {
    let (mut w, carrier, alice, bob) = world("blocked = [\"+4990\"]\ncallers = [\"alice\"]", "");
    refused(&mut w, alice, "+4990123456", 403, EndReason::Blocked);
    refused(&mut w, bob, "+4930123456", 403, EndReason::Forbidden);
    assert!(!w.at(carrier).was(&Told::Called));
    w.dial(alice, "+4930123456");
    w.run(secs(2));
    w.hear_each_other(alice, carrier);
    w.hang_up(alice);
    w.run(secs(1));
    w.ends_clean();
}

#[test]
fn each_caller_has_its_own_limit_and_each_prefix() {
    let (mut w, carrier, alice, bob) = world(
        "",
        "[[limits.rule]]\nper_caller = true\ncalls_per_second = 1\n\
         [[limits.rule]]\nprefix = \"+44\"\ncalls = 0\n",
    );
    w.at(carrier).answers = Answers::Busy;
    for who in [alice, bob] {
        w.dial(who, "+4930123456");
    }
    w.run(ms(100));
    assert!(w.at(alice).was(&Told::Failed(486)) && w.at(bob).was(&Told::Failed(486)));
    records(&mut w);
    refused(&mut w, bob, "+4930123456", 480, EndReason::CallerLimit);
    w.run(secs(1));
    refused(&mut w, bob, "+44201234567", 503, EndReason::Overloaded);
    w.ends_clean();
}

#[test]
fn minutes_end_calls_and_then_refuse_them() {
    let (mut w, carrier, alice, _) = world("daily_minutes = 2\nmax_duration = \"90s\"", "");
    w.dial(alice, "+4930123456");
    w.run(secs(80));
    w.hear_each_other(alice, carrier);
    w.run(secs(12));
    assert!(w.at(alice).is_idle());
    w.dial(alice, "+4930123456");
    w.run(secs(20));
    w.hear_each_other(alice, carrier);
    w.run(secs(15));
    assert!(w.at(alice).is_idle());
    let reasons: Vec<EndReason> = records(&mut w).iter().map(|r| r.reason).collect();
    assert_eq!(reasons, [EndReason::DurationLimit; 2]);
    refused(&mut w, alice, "+4930123456", 403, EndReason::QuotaUsed);
    w.ends_clean();
}

#[test]
fn who_is_refused_at_the_door_has_a_record() {
    let (mut w, _, alice, bob) = world("", "[limits]\ncalls = 1\n");
    refused(&mut w, alice, "nobody", 404, EndReason::NotFound);
    refused(&mut w, alice, "bob", 480, EndReason::Unavailable);
    w.at(bob).codecs = vec![codecs::CodecId::L16_16];
    refused(&mut w, bob, "echo", 488, EndReason::Incompatible);
    w.dial(alice, "echo");
    w.run(secs(1));
    w.at(bob).codecs = vec![codecs::CodecId::Pcmu];
    refused(&mut w, bob, "echo", 503, EndReason::Overloaded);
    w.hang_up(alice);
    w.run(secs(1));
    // A challenge is no call, and neither is what follows a wrong password.
    records(&mut w);
    w.at(bob).credentials = Some(sip::auth::Credentials::new("bob", "guess"));
    w.dial(bob, "echo");
    w.run(secs(2));
    assert!(records(&mut w).is_empty());
    w.ends_clean();
}
