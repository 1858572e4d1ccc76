//! Trunks: gateways that fail in each way, calls in both directions, numbers and identities.

use std::path::Path;

use base::EndReason;
use flashgate::config::Config;
use flashgate::exchange::{CallRecord, News, TrunkView};

use crate::phone::{Answers, Told};
use crate::world::{Who, World, ms, secs};

/// Where the phones of a world are, in the order in which they come.
const FIRST: &str = "sip:192.0.2.10";
const SECOND: &str = "sip:192.0.2.11";

/// Trunks and what belongs to them, as in a file.
pub fn read(text: &str) -> impl FnOnce(&mut Config) {
    let read = Config::parse(text, Path::new("test.toml"), &Default::default()).unwrap();
    move |c| {
        c.sip.trunk = read.sip.trunk;
        c.sip.numbers = read.sip.numbers;
        c.route = read.route;
        c.limits = read.limits;
        c.media = read.media;
        let numbers: Vec<_> = read.user.into_iter().map(|u| (u.name, u.number)).collect();
        for user in &mut c.user {
            user.number = numbers
                .iter()
                .find(|(n, _)| *n == user.name)
                .and_then(|(_, n)| n.clone());
        }
    }
}

/// One trunk with two gateways, the second for when the first fails, and a route for all numbers.
fn two() -> String {
    format!(
        "[[sip.trunk]]\nname = \"t\"\nuri = \"{FIRST}\"\nusername = \"us\"\n\
         [[sip.trunk.gateway]]\nuri = \"{FIRST}\"\n\
         [[sip.trunk.gateway]]\nuri = \"{SECOND}\"\npriority = 1\n\
         [[route]]\nmatch = '\\+?[0-9]+'\nto = [\"t\"]\n"
    )
}

/// A world with a carrier of two gateways and alice, who may use it.
fn carrier(text: &str) -> (World, Who, Who, Who) {
    let mut w = World::builder().users(&["alice"]).config(read(text)).build();
    let first = w.phone("first");
    let second = w.phone("second");
    let alice = w.phone("alice");
    (w, first, second, alice)
}

pub fn records(w: &mut World) -> Vec<CallRecord> {
    let mut all = Vec::new();
    while let Some(news) = w.gateway.exchange.poll_news() {
        if let News::Ended(record) | News::Refused(record) = news {
            all.push(*record);
        }
    }
    all
}

fn trunk(w: &World) -> TrunkView {
    let snapshot = w.gateway.exchange.snapshot(w.now, &Default::default());
    snapshot.trunks[0].clone()
}

#[test]
fn a_gateway_that_fails_is_left_for_the_next() {
    for answers in [
        Answers::Refuses(503, &[]),
        Answers::Refuses(500, &[]),
        Answers::Refuses(502, &[]),
        Answers::Refuses(408, &[]),
        // No route to destination: the status alone would say that the number is wrong.
        Answers::Refuses(404, &[("Reason", "Q.850;cause=3;text=\"no route\"")]),
    ] {
        let (mut w, first, second, alice) = carrier(&two());
        w.at(first).answers = answers;
        w.dial(alice, "+4930123456");
        w.run(secs(3));
        assert!(w.at(first).was(&Told::Called), "{answers:?}");
        w.hear_each_other(alice, second);
        w.hang_up(alice);
        w.run(ms(700));
        let records = records(&mut w);
        let callee = records[0].callee.as_ref().unwrap();
        assert_eq!((records.len(), records[0].status), (1, 200));
        assert!(callee.name.contains("192.0.2.11"), "{callee:?}");
        w.ends_clean();
    }
}

#[test]
fn what_the_callee_says_is_the_end_of_it() {
    for status in [404, 403, 480, 486, 603] {
        let (mut w, first, second, alice) = carrier(&two());
        w.at(first).answers = Answers::Refuses(status, &[]);
        w.dial(alice, "+4930123456");
        w.run(secs(3));
        assert!(w.at(alice).was(&Told::Failed(status)), "{status}");
        assert!(!w.at(second).was(&Told::Called), "{status}");
        w.run(ms(700));
        assert_eq!(records(&mut w)[0].status, status);
        w.ends_clean();
    }
}

#[test]
fn silence_and_a_slow_answer_are_not_waited_for() {
    // Not a word; and 100 alone.
    for (deaf, wait) in [(true, 6), (false, 18)] {
        let (mut w, first, second, alice) = carrier(&two());
        w.at(first).deaf = deaf;
        w.at(first).answers = Answers::Tries;
        w.dial(alice, "+4930123456");
        w.run(secs(3));
        assert!(!w.at(second).was(&Told::Called));
        w.run(secs(wait - 3));
        w.hear_each_other(alice, second);
        assert_eq!(trunk(&w).gateways[0].1.up, Some(false));
        // The next call does not wait for it again.
        w.hang_up(alice);
        w.run(secs(1));
        w.at(second).told.clear();
        w.dial(alice, "+4930123457");
        w.run(ms(700));
        assert!(w.at(second).was(&Told::Called));
        w.run(secs(1));
        w.hang_up(alice);
        w.run(secs(1));
        w.ends_clean();
    }
}

#[test]
fn where_there_is_no_other_way_a_slow_gateway_is_waited_for() {
    let text = two().replace(
        &format!("[[sip.trunk.gateway]]\nuri = \"{SECOND}\"\npriority = 1\n"),
        "",
    );
    let (mut w, first, _, alice) = carrier(&text);
    w.at(first).answers = Answers::Tries;
    w.dial(alice, "+4930123456");
    w.run(secs(30));
    let now = w.now;
    w.at(first).answer(now);
    w.run(secs(2));
    w.hear_each_other(alice, first);
    w.hang_up(alice);
    w.run(ms(100));
    w.ends_clean();
}

#[test]
fn probes_tell_who_is_there_and_calls_go_there_at_once() {
    let text = two().replace("username", "probe = \"10s\"\nusername");
    let (mut w, first, second, alice) = carrier(&text);
    w.run(ms(200));
    assert!(trunk(&w).gateways.iter().all(|(_, g)| g.up == Some(true)));
    w.at(first).deaf = true;
    w.run(secs(30));
    let seen = trunk(&w);
    assert_eq!(seen.gateways[0].1.up, Some(false));
    assert_eq!(
        (seen.gateways[1].1.up, seen.gateways[1].1.status),
        (Some(true), Some(200))
    );
    w.dial(alice, "+4930123456");
    w.run(secs(1));
    assert!(w.at(second).was(&Told::Called));
    w.run(secs(1));
    w.hear_each_other(alice, second);
    w.hang_up(alice);
    // It is back: the next call goes there.
    w.at(first).deaf = false;
    w.run(secs(12));
    assert_eq!(trunk(&w).gateways[0].1.up, Some(true));
    w.dial(alice, "+4930123456");
    w.run(secs(2));
    w.hear_each_other(alice, first);
    w.hang_up(alice);
    w.run(ms(100));
    w.drain();
    w.ends_clean();
}

#[test]
fn gateways_of_one_priority_share_the_calls_by_weight() {
    let text = two().replace("priority = 1", "weight = 3");
    let (mut w, first, second, alice) = carrier(&text);
    for _ in 0..8 {
        w.dial(alice, "+4930123456");
        w.run(secs(1));
        w.hang_up(alice);
        w.run(secs(1));
    }
    let called = |w: &mut World, who: Who| w.at(who).told.iter().filter(|(_, t)| *t == Told::Called).count();
    assert_eq!((called(&mut w, first), called(&mut w, second)), (2, 6));
    w.ends_clean();
}

#[test]
fn strangers_reach_no_trunk_and_neither_do_trunks() {
    let (mut w, first, second, _) = carrier(&two());
    let stranger = w.phone("stranger");
    w.at(stranger).credentials = None;
    for target in ["+4930123456", "sip:+4930123456@192.0.2.11", "sip:us@192.0.2.10"] {
        w.dial(stranger, target);
        w.run(secs(2));
        assert!(w.at(stranger).is_idle());
        // The carrier itself: its calls come in, and none goes out again.
        w.dial(first, target);
        w.run(secs(2));
        assert!(w.at(first).is_idle());
    }
    assert!(w.at(first).was(&Told::Failed(404)));
    assert!(!w.at(first).was(&Told::Called) && !w.at(second).was(&Told::Called));
    // Nor by saying who one is not.
    w.at(stranger).user = "alice".to_owned();
    w.dial(stranger, "+4930123456");
    w.run(secs(2));
    assert!(!w.at(first).was(&Told::Called) && !w.at(second).was(&Told::Called));
    w.ends_clean();
}

const INBOUND: &str = "[sip.numbers]\ncountry_code = \"49\"\n\
    [[user]]\nname = \"alice\"\npassword = \"x\"\nnumber = \"030555666\"\n";

#[test]
fn calls_of_a_trunk_come_in_by_address_to_users_rooms_and_what_is_mapped() {
    let text = format!(
        "{}[[sip.trunk]]\nname = \"t\"\nuri = \"sip:carrier.test\"\nfrom = [\"192.0.2.10/31\"]\ntrusted = true\n\
         [[sip.trunk.inbound]]\nmatch = '\\+4930111(\\d)'\nto = \"conference/$1\"\n\
         [[sip.trunk.inbound]]\nmatch = '.*999'\nto = \"sip:+1900@192.0.2.99\"\n",
        INBOUND
    );
    let (mut w, first, second, _) = carrier(&text);
    let alice = w.registered_phone("alice");
    w.at(first).extra = vec![
        (
            "P-Asserted-Identity".to_owned(),
            "<sip:+4989777@carrier.test>".to_owned(),
        ),
        (
            "Diversion".to_owned(),
            "<sip:+4930888@carrier.test>;reason=unconditional".to_owned(),
        ),
    ];
    // The user by the number, however the carrier writes it.
    w.dial(first, "030555666");
    w.run(secs(2));
    w.hear_each_other(first, alice);
    let from = w.at(alice).last_from.clone().unwrap();
    assert_eq!(from.uri.user().unwrap(), "+4989777");
    assert!(
        w.at(alice)
            .last_headers
            .iter()
            .any(|(n, v)| n == "Diversion" && v.contains("+4930888"))
    );
    assert!(
        !w.at(alice)
            .last_headers
            .iter()
            .any(|(n, _)| n == "P-Asserted-Identity")
    );
    w.hang_up(first);
    w.run(secs(1));
    // Who does not want to be known is not.
    w.at(first).extra = vec![("Privacy".to_owned(), "id".to_owned())];
    w.dial(first, "+4930555666");
    w.run(secs(2));
    let from = w.at(alice).last_from.clone().unwrap();
    assert_eq!(from.uri.user().unwrap(), "anonymous");
    w.hang_up(first);
    w.run(secs(1));
    // A room.
    w.dial(first, "+49301117");
    w.dial(second, "+49301117");
    w.run(secs(4));
    w.hear_each_other(first, second);
    w.hang_up(first);
    w.hang_up(second);
    w.run(secs(1));
    assert_eq!(trunk(&w).book.calls_in, 4);
    w.ends_clean();
}

#[test]
fn a_trunk_calls_in_from_anywhere_with_its_password() {
    let text = format!(
        "{INBOUND}[[sip.trunk]]\nname = \"t\"\nuri = \"sip:carrier.test\"\ninbound_username = \"in\"\n\
         inbound_password = \"in-secret\"\n[[route]]\nmatch = '.*'\nto = \"t\"\n",
    );
    let (mut w, first, second, _) = carrier(&text);
    let alice = w.registered_phone("alice");
    w.at(first).credentials = Some(sip::auth::Credentials::new("in", "in-secret"));
    w.dial(first, "+4930555666");
    w.run(secs(2));
    w.hear_each_other(first, alice);
    w.hang_up(alice);
    w.run(secs(1));
    // It is no user: no trunk for it.
    w.dial(first, "+4930555777");
    w.run(secs(2));
    assert!(w.at(first).was(&Told::Failed(404)));
    w.at(second).credentials = Some(sip::auth::Credentials::new("in", "guess"));
    w.dial(second, "+4930555666");
    w.run(secs(2));
    assert!(w.at(second).is_idle() && w.at(alice).is_idle());
    w.ends_clean();
}

#[test]
fn numbers_are_brought_to_one_form_and_written_as_the_trunk_wants() {
    let text = format!(
        "{}[[sip.trunk]]\nname = \"t\"\nuri = \"{FIRST}\"\nusername = \"us\"\nnumbers = \"international\"\n\
         caller = \"caller\"\nasserted = \"p-asserted-identity\"\n[[route]]\nmatch = '\\+[0-9]+'\nto = \"t\"\n",
        INBOUND
    );
    let (mut w, first, _, alice) = carrier(&text);
    w.dial(alice, "089123456");
    w.run(secs(2));
    w.hear_each_other(alice, first);
    let user = |uri: &sip::Uri| uri.user().unwrap().into_owned();
    assert_eq!(user(w.at(first).last_target.as_ref().unwrap()), "004989123456");
    assert_eq!(user(&w.at(first).last_from.as_ref().unwrap().uri), "004930555666");
    w.hang_up(alice);
    w.run(secs(1));
    // Without a name, the trunk alone is told who it is.
    w.at(alice).extra = vec![("Privacy".to_owned(), "id".to_owned())];
    w.dial(alice, "089123456");
    w.run(secs(2));
    assert_eq!(user(&w.at(first).last_from.as_ref().unwrap().uri), "anonymous");
    let headers = &w.at(first).last_headers;
    let asserted = headers.iter().find(|(n, _)| n == "P-Asserted-Identity").unwrap();
    assert!(asserted.1.contains("004930555666"));
    assert!(headers.iter().any(|(n, v)| n == "Privacy" && v == "id"));
    w.hang_up(alice);
    w.run(secs(1));
    w.dial(alice, "+49");
    w.run(secs(1));
    assert!(w.at(alice).was(&Told::Failed(484)));
    w.ends_clean();
}

#[test]
fn emergency_numbers_pass_full_houses_rooms_and_routes() {
    let text = format!(
        "[sip.numbers]\nemergency = [\"112\"]\nemergency_to = [\"t\"]\n[limits]\ncalls = 1\n\
         [[sip.trunk]]\nname = \"t\"\nuri = \"{FIRST}\"\n"
    );
    let (mut w, first, second, alice) = carrier(&text);
    let busy = w.phone("alice");
    w.dial(busy, "echo");
    w.run(secs(1));
    w.dial(alice, "echo");
    w.run(secs(1));
    assert!(w.at(alice).was(&Told::Failed(503)));
    w.dial(alice, "112");
    w.run(secs(2));
    w.hear_each_other(alice, first);
    // A stranger reaches no trunk, not even so.
    w.at(second).credentials = None;
    w.dial(second, "112");
    w.run(secs(2));
    assert!(w.at(second).is_idle());
    w.hang_up(alice);
    w.hang_up(busy);
    w.run(secs(1));
    assert!(w.at(first).was(&Told::Ended(EndReason::HungUp)));
    w.ends_clean();
}

#[test]
fn the_ringing_of_the_country_is_heard_until_the_callee_is() {
    let text = format!(
        "[media]\nringback = \"de\"\n[[sip.trunk]]\nname = \"t\"\nuri = \"{FIRST}\"\nringback = true\n"
    );
    let (mut w, first, _, _) = carrier(&text);
    let alice = w.registered_phone("alice");
    w.at(alice).answers = Answers::After(secs(7));
    // A stream that is played, and a caller by a trunk that wants it so.
    let client = w.client();
    w.call(client, "alice");
    w.run(ms(900));
    assert!(w.ear(client).hears(w.now, 425.0));
    w.run(secs(3));
    assert!(!w.ear(client).hears(w.now, 425.0));
    w.run(secs(5));
    assert!(!w.ear(client).hears(w.now, 425.0));
    w.hear_each_other(client, alice);
    w.leave(client);
    w.run(secs(1));
    w.dial(first, "alice");
    w.run(ms(900));
    assert!(w.at(first).was(&Told::Progress(183, true)) && w.ear(first).hears(w.now, 425.0));
    w.run(secs(8));
    w.hear_each_other(first, alice);
    w.hang_up(first);
    w.run(secs(1));
    // Who rings by itself is only told.
    let bob = w.phone("alice");
    w.at(alice).answers = Answers::Busy;
    w.dial(bob, "alice");
    w.run(secs(1));
    assert!(
        !w.at(bob)
            .told
            .iter()
            .any(|(_, t)| matches!(t, Told::Progress(183, _)))
    );
    // And it ends with a call that nobody took.
    w.at(alice).answers = Answers::Never;
    let client = w.client();
    w.call(client, "alice");
    w.run(secs(1));
    w.leave(client);
    w.run(secs(1));
    w.ends_clean();
}
