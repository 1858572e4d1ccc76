//! Those who scan, guess and flood: they learn nothing, are banned, and harm no call.

use std::net::{IpAddr, SocketAddr};

use crate::gateway::{ADDRESS, Datagram};
use crate::phone::Told;
use crate::world::{Who, World, ms, secs};

/// Where the attacker is.
const EVIL: [u8; 4] = [198, 51, 100, 7];

/// A message from the attacker to the gateway.
fn throw(w: &mut World, text: &str) {
    let datagram = Datagram {
        from: SocketAddr::from((EVIL, 5060)),
        to: SocketAddr::new(ADDRESS, 5060),
        bytes: text.replace('\n', "\r\n").into_bytes(),
    };
    let now = w.now;
    w.gateway.datagram(now, &datagram, &mut w.tcps);
}

/// What the attacker was answered since: the answers go nowhere, and are kept here.
fn answers(w: &mut World) -> Vec<String> {
    let to_evil = |d: &Datagram| d.to.ip() == IpAddr::from(EVIL);
    let (evil, rest) = w.gateway.sent.drain(..).partition::<Vec<_>, _>(to_evil);
    w.gateway.sent.extend(rest);
    let text = |d: Datagram| String::from_utf8(d.bytes).unwrap();
    evil.into_iter()
        .map(text)
        .filter(|t| !t.starts_with("SIP/2.0 100"))
        .collect()
}

fn request(method: &str, user: &str, n: usize, more: &str) -> String {
    format!(
        "{method} sip:{user}@gw.test SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKe{method}{n}\n\
         Max-Forwards: 70\nFrom: <sip:{user}@gw.test>;tag=e{n}\nTo: <sip:{user}@gw.test>\nCall-ID: e{method}{n}\n\
         CSeq: 1 {method}\nContact: <sip:{user}@198.51.100.7>\n{more}Content-Length: 0\n\n"
    )
}

/// An answer without what differs from one request to the next.
fn shape(answer: &str, user: &str, n: usize) -> String {
    let keep = |line: &&str| !line.starts_with("WWW-Authenticate") && !line.starts_with("Via");
    let text: Vec<&str> = answer.lines().filter(keep).collect();
    let text = text
        .join("\n")
        .replace(user, "USER")
        .replace(&format!("e{n}"), "eN");
    let text: Vec<&str> = text.lines().filter(|l| !l.starts_with("Call-ID")).collect();
    // Our tag is drawn anew for each.
    let tag = |l: &str| l.split(";tag=").next().unwrap_or_default().to_owned();
    text.into_iter().map(tag).collect::<Vec<_>>().join("\n")
}

fn bans(w: &World) -> usize {
    let snapshot = w.gateway.exchange.snapshot(w.now, &Default::default());
    snapshot.bans.len()
}

/// Two who talk, and hear each other all the time.
fn talk(w: &mut World) -> (Who, Who) {
    let alice = w.registered_phone("alice");
    let bob = w.registered_phone("bob");
    w.dial(alice, "bob");
    w.run(secs(2));
    w.hear_each_other(alice, bob);
    (alice, bob)
}

#[test]
fn known_and_unknown_users_look_alike() {
    let mut w = World::builder().users(&["alice", "bob"]).build();
    let _alice = w.registered_phone("alice");
    let _bob = w.phone("bob");
    for method in ["REGISTER", "INVITE", "OPTIONS", "MESSAGE", "SUBSCRIBE"] {
        let mut shapes = Vec::new();
        // Registered, known, unknown.
        for (n, user) in ["alice", "bob", "mallory"].into_iter().enumerate() {
            let body = if method == "MESSAGE" {
                "Content-Type: text/plain\n"
            } else {
                ""
            };
            throw(&mut w, &request(method, user, n, body));
            let answer = answers(&mut w).pop().unwrap_or_default();
            shapes.push(shape(&answer, user, n));
            w.run(ms(500));
        }
        assert!(!shapes[0].is_empty(), "{method}");
        assert!(shapes.iter().all(|s| *s == shapes[0]), "{method}: {shapes:#?}");
    }
    w.run(secs(40));
    w.ends_clean();
}

#[test]
fn who_only_asks_is_no_longer_answered() {
    let mut w = World::builder().users(&["alice", "bob"]).build();
    let (alice, bob) = talk(&mut w);
    let mut answered = 0;
    for n in 0..100 {
        throw(&mut w, &request("REGISTER", &format!("{}", 100 + n), n, ""));
        answered += usize::from(!answers(&mut w).is_empty());
        w.run(ms(100));
    }
    assert!((20..=60).contains(&answered), "{answered}");
    assert_eq!(bans(&w), 1);
    w.hear_each_other(alice, bob);
    // It is over after a while, or when the operator says so.
    assert!(w.gateway.exchange.unban(w.now, IpAddr::from(EVIL)));
    throw(&mut w, &request("OPTIONS", "x", 500, ""));
    assert_eq!(answers(&mut w).len(), 1);
    w.hang_up(alice);
    w.run(secs(40));
    w.ends_clean();
}

#[test]
fn a_scanner_by_name_hears_nothing_at_all() {
    let mut w = World::builder().users(&["alice"]).build();
    for n in 0..3 {
        throw(
            &mut w,
            &request("OPTIONS", "100", n, "User-Agent: friendly-scanner\n"),
        );
        w.run(ms(100));
    }
    throw(&mut w, &request("INVITE", "alice", 9, ""));
    assert!(answers(&mut w).is_empty());
    assert_eq!(bans(&w), 1);
    w.ends_clean();
}

#[test]
fn floods_leave_calls_alone() {
    let mut w = World::builder().users(&["alice", "bob"]).build();
    let (alice, bob) = talk(&mut w);
    for n in 0..4_000 {
        match n % 4 {
            0 => throw(&mut w, &request("INVITE", "alice", n, "")),
            1 => throw(&mut w, &request("REGISTER", "alice", n, "")),
            2 => throw(&mut w, "INVITE alice\nVia: broken\n\n"),
            _ => throw(&mut w, &request("BYE", "alice", n, "")),
        }
        answers(&mut w);
        if n % 4 == 3 {
            w.run(ms(1));
        }
    }
    w.hear_each_other(alice, bob);
    assert_eq!(bans(&w), 1);
    let dropped = w.gateway.exchange.snapshot(w.now, &Default::default()).dropped;
    assert!(dropped[0] + dropped[1] > 2_500, "{dropped:?}");
    // Neither call nor registration nor anybody else has noticed.
    w.hang_up(alice);
    w.run(secs(1));
    assert!(w.at(bob).was(&Told::Ended(base::EndReason::HungUp)));
    w.dial(bob, "alice");
    w.run(secs(2));
    w.hear_each_other(alice, bob);
    w.hang_up(bob);
    w.run(secs(40));
    w.ends_clean();
}

#[test]
fn a_call_of_a_banned_source_goes_on() {
    let mut w = World::builder().users(&["alice", "bob"]).build();
    let (alice, bob) = talk(&mut w);
    // Somebody behind the same address scans.
    let from = w.at(alice).sip;
    let scan = request("OPTIONS", "100", 1, "User-Agent: sipvicious\n").replace('\n', "\r\n");
    let datagram = Datagram {
        from,
        to: SocketAddr::new(ADDRESS, 5060),
        bytes: scan.into_bytes(),
    };
    let now = w.now;
    w.gateway.datagram(now, &datagram, &mut w.tcps);
    assert_eq!(bans(&w), 1);
    w.reoffer(alice, sip::sdp::Direction::SendOnly);
    w.run(secs(1));
    assert!(w.at(alice).was(&Told::Change(200)));
    w.reoffer(alice, sip::sdp::Direction::SendRecv);
    w.run(secs(2));
    w.hear_each_other(alice, bob);
    w.hang_up(alice);
    w.run(secs(1));
    assert!(w.at(bob).was(&Told::Ended(base::EndReason::HungUp)));
    w.ends_clean();
}
