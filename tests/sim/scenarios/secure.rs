//! SRTP: who hears whom through it, what is refused, and what a stranger cannot do.

use flashgate::config::{Srtp, SrtpSuite};
use media::Suite;
use sip::sdp::Direction;

use crate::gateway::Datagram;
use crate::phone::Told;
use crate::secure::Secure;
use crate::world::{World, ms, secs};

const ALWAYS: &str = "RTP/SAVP";
const PERHAPS: &str = "RTP/AVP";

/// All, and not only those that are offered unless the configuration says more.
const SUITES: [SrtpSuite; 4] = [
    SrtpSuite::Gcm,
    SrtpSuite::Gcm256,
    SrtpSuite::Sha80,
    SrtpSuite::Sha32,
];

fn world(srtp: Srtp) -> World {
    World::builder()
        .users(&["alice", "bob"])
        .config(|c| c.media.srtp = srtp)
        .build()
}

#[test]
fn tones_pass_through_every_suite() {
    for (n, suite) in Suite::ALL.into_iter().enumerate() {
        let mut w = World::builder()
            .users(&["alice", "bob"])
            .config(|c| c.media.srtp_suites = SUITES.to_vec())
            .build();
        let alice = w.phone("alice");
        let bob = w.registered_phone("bob");
        w.at(alice).secure = Some(Secure::new(suite, [ALWAYS, PERHAPS][n % 2], 1));
        w.dial(alice, "bob");
        w.run(secs(3));
        w.hear_each_other(alice, bob);
        let now = w.now;
        let srtp = w.gateway.srtp(now);
        assert_eq!((srtp.legs, srtp.forged, srtp.replayed), (1, 0, 0), "{suite:?}");
        w.hang_up(alice);
        w.run(ms(100));
        w.ends_clean();
    }
}

#[test]
fn a_called_phone_is_offered_keys_where_that_is_wished() {
    // Policy, whether the phone has SRTP, and whether there is a call, and with it.
    for (srtp, has, protected) in [
        (Srtp::Accept, false, Some(0)),
        (Srtp::Prefer, true, Some(1)),
        (Srtp::Prefer, false, Some(0)),
        (Srtp::Require, true, Some(1)),
        (Srtp::Require, false, None),
    ] {
        let mut w = World::builder()
            .users(&["alice", "bob"])
            .config(|c| c.user[1].srtp = Some(srtp))
            .build();
        let alice = w.phone("alice");
        let bob = w.registered_phone("bob");
        w.at(bob).secure = has.then(|| Secure::new(Suite::AesCm128HmacSha1_80, ALWAYS, 2));
        w.dial(alice, "bob");
        w.run(secs(3));
        let now = w.now;
        let legs = w.gateway.srtp(now).legs;
        if let Some(protected) = protected {
            w.hear_each_other(alice, bob);
            assert_eq!(legs, protected, "{srtp:?} {has}");
            w.hang_up(bob);
        } else {
            assert!(w.at(alice).was(&Told::Failed(488)), "{srtp:?} {has}");
        }
        w.run(ms(100));
        w.ends_clean();
    }
}

#[test]
fn who_offers_no_keys_is_refused_where_they_are_required() {
    for (srtp, offers, refused) in [
        (Srtp::Require, None, true),
        (Srtp::Require, Some(PERHAPS), false),
        (Srtp::Off, Some(ALWAYS), true),
        (Srtp::Off, None, false),
    ] {
        let mut w = world(srtp);
        let alice = w.phone("alice");
        w.at(alice).secure = offers.map(|profile| Secure::new(Suite::AeadAes128Gcm, profile, 3));
        w.dial(alice, "echo");
        w.run(secs(2));
        assert_eq!(
            w.at(alice).was(&Told::Failed(488)),
            refused,
            "{srtp:?} {offers:?}"
        );
        if !refused {
            w.hears(alice, alice);
            w.hang_up(alice);
            w.run(ms(100));
        }
        w.ends_clean();
    }
}

#[test]
fn forged_and_repeated_packets_are_dropped_and_counted() {
    let mut w = world(Srtp::Accept);
    let alice = w.phone("alice");
    let bob = w.registered_phone("bob");
    w.at(alice).secure = Some(Secure::new(Suite::AesCm128HmacSha1_80, ALWAYS, 4));
    w.dial(alice, "bob");
    w.run(secs(2));
    let to = w.at(alice).sends_to().unwrap();
    let (rtp, stranger) = (w.at(alice).rtp, "198.51.100.66:4000".parse().unwrap());
    let mut clear = vec![0x80, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    clear.extend([0xD5; 160]);
    let heard = w.at(alice).last_sent.clone().unwrap();
    // Plain RTP from everywhere, what the phone sent already from everywhere, and noise that says it is a report.
    for _ in 0..50 {
        for from in [rtp, stranger] {
            for bytes in [clear.clone(), heard.clone()] {
                w.inject(&Datagram { from, to, bytes });
            }
        }
        let mut bye = vec![0x80, 203, 0, 1, 0, 0, 0, 3];
        bye.extend([0; 14]);
        w.inject(&Datagram {
            from: rtp,
            to,
            bytes: bye,
        });
        w.run(ms(20));
    }
    w.run(secs(1));
    w.hear_each_other(alice, bob);
    let now = w.now;
    let srtp = w.gateway.srtp(now);
    assert_eq!((srtp.forged, srtp.replayed), (150, 100));
    w.hang_up(alice);
    w.run(ms(100));
    w.ends_clean();
}

#[test]
fn keys_change_while_a_call_goes_on() {
    let mut w = world(Srtp::Accept);
    let alice = w.phone("alice");
    let bob = w.registered_phone("bob");
    w.at(alice).secure = Some(Secure::new(Suite::AeadAes128Gcm, ALWAYS, 5));
    w.dial(alice, "bob");
    w.run(secs(2));
    for renew in [false, true] {
        if renew {
            w.at(alice).secure.as_mut().unwrap().renew();
        }
        w.reoffer(alice, Direction::SendOnly);
        w.run(secs(2));
        w.reoffer(alice, Direction::SendRecv);
        w.run(secs(2));
        assert!(w.at(alice).was(&Told::Change(200)));
        w.hear_each_other(alice, bob);
    }
    let now = w.now;
    assert_eq!(w.gateway.srtp(now).replayed, 0);
    w.hang_up(alice);
    w.run(ms(100));
    w.ends_clean();
}
