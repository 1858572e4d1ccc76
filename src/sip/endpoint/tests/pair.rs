//! Whole calls between endpoints, over good and bad networks.

use base::{EndReason, Rng, Time};

use super::net::{FAIR, Net, Weather};
use super::script::{name, uri};
use crate::endpoint::{Body, CallHandle, Event, Invite};

fn call(target: &str) -> Invite {
    let mut invite = Invite::new(uri(target), name("<sip:a@a.test>"));
    invite.body = Some(Body::sdp("v=0\r\no=caller\r\n"));
    invite
}

/// One call from node 0 to node 1 with automatic answers. Says how it went at either side.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    answered: bool,
    confirmed: bool,
    caller_end: Option<EndReason>,
    called_end: Option<EndReason>,
}

fn play(seed: u64, weather: Weather, target: &str) -> Outcome {
    let mut net = Net::new(2, seed, weather);
    let mut outcome = Outcome::default();
    let now = net.now;
    let caller = net.nodes[0].invite(now, call(target)).unwrap();
    let end = now + std::time::Duration::from_secs(300);
    let mut hang_up_at = Time::MAX;
    let mut reoffered = false;
    while net.step(end.min(hang_up_at)) || net.now == hang_up_at {
        let now = net.now;
        if now >= hang_up_at {
            hang_up_at = Time::MAX;
            let _ = net.nodes[0].hang_up(now, caller, EndReason::HungUp);
            net.drain();
        }
        for event in net.take(1) {
            match event {
                Event::Incoming { call, .. } => {
                    net.nodes[1].provisional(now, call, 180, None).unwrap();
                    net.nodes[1]
                        .answer(now, call, Some(Body::sdp("v=0\r\n")))
                        .unwrap();
                }
                Event::Confirmed { .. } => outcome.confirmed = true,
                Event::Reoffer { call, .. } => {
                    net.nodes[1]
                        .accept_reoffer(now, call, Some(Body::sdp("v=1\r\n")))
                        .unwrap();
                }
                Event::Ended { reason, .. } => outcome.called_end = Some(reason),
                other => panic!("{other:?}"),
            }
        }
        for event in net.take(0) {
            match event {
                Event::Answered { .. } => {
                    outcome.answered = true;
                    net.nodes[0]
                        .reinvite(now, caller, Some(Body::sdp("v=1\r\n")))
                        .unwrap();
                }
                Event::ReofferResult { status, .. } => {
                    reoffered = status == 200;
                    hang_up_at = now + std::time::Duration::from_secs(40);
                }
                Event::Provisional { .. } => {}
                Event::Ended { reason, .. } => outcome.caller_end = Some(reason),
                Event::Failed { status, .. } => panic!("failed with {status} for seed {seed}"),
                other => panic!("{other:?}"),
            }
        }
        net.drain();
    }
    assert!(reoffered, "seed {seed}");
    net.leaves_nothing();
    outcome
}

fn good() -> Outcome {
    Outcome {
        answered: true,
        confirmed: true,
        caller_end: Some(EndReason::HungUp),
        called_end: Some(EndReason::HungUp),
    }
}

#[test]
fn a_call_over_udp_and_over_tcp() {
    assert_eq!(play(1, FAIR, "sip:b@192.0.2.2"), good());
    assert_eq!(play(1, FAIR, "sip:b@192.0.2.2;transport=tcp"), good());
}

#[test]
fn calls_complete_at_thirty_percent_loss_with_copies_and_disorder() {
    let weather = Weather {
        loss: 0.3,
        copies: 0.2,
        delay: (5, 250),
    };
    for seed in 0..60 {
        assert_eq!(play(seed, weather, "sip:b@192.0.2.2"), good(), "seed {seed}");
    }
}

/// Both sides do anything at any time; afterwards each call has had exactly one last event, and nothing is left.
#[test]
fn random_calls_leave_nothing_behind() {
    let mut last = [0u32; 2];
    let mut begun = 0u32;
    for seed in 0..25 {
        let weather = Weather {
            loss: 0.1,
            copies: 0.1,
            delay: (5, 400),
        };
        let mut net = Net::new(2, seed, weather);
        let mut rng = Rng::new(seed + 1000);
        let mut live: [Vec<CallHandle>; 2] = [Vec::new(), Vec::new()];
        for _ in 0..400 {
            let now = net.now;
            let n = rng.below(2) as usize;
            let node = &mut net.nodes[n];
            let pick = live[n].get(rng.below(live[n].len() as u64) as usize).copied();
            let body = rng.chance(0.5).then(|| Body::sdp("v=0\r\n"));
            match (rng.below(14), pick) {
                (0..=2, _) => {
                    let mut what = call(&format!("sip:x@192.0.2.{}", 2 - n));
                    if rng.chance(0.3) {
                        what.target.set_param("transport", Some("tcp"));
                    }
                    what.body = body;
                    if let Ok(h) = node.invite(now, what) {
                        live[n].push(h);
                        begun += 1;
                    }
                }
                (3, Some(h)) => drop(node.provisional(now, h, 180, body)),
                (4..=6, Some(h)) => drop(node.answer(now, h, body)),
                (7, Some(h)) => drop(node.refuse(now, h, 486, None, Vec::new())),
                (8, Some(h)) => drop(node.hang_up(now, h, EndReason::HungUp)),
                (9, Some(h)) => drop(node.reinvite(now, h, body)),
                (10, Some(h)) => drop(node.accept_reoffer(now, h, body)),
                (11, Some(h)) => drop(node.refuse_reoffer(now, h, 488)),
                (12, Some(h)) => drop(node.ack(now, h, body)),
                (13, Some(h)) => drop(node.challenge(now, h)),
                _ => {}
            }
            net.drain();
            net.run(rng.below(300));
            for n in 0..2 {
                for event in net.take(n) {
                    match event {
                        Event::Incoming { call, .. } => {
                            live[n].push(call);
                            begun += 1;
                        }
                        Event::Failed { call, .. } | Event::Ended { call, .. } => {
                            let before = live[n].len();
                            live[n].retain(|h| *h != call);
                            assert_eq!(live[n].len() + 1, before, "one last event each");
                            last[n] += 1;
                        }
                        _ => {}
                    }
                }
            }
        }
        for n in 0..2 {
            for h in std::mem::take(&mut live[n]) {
                let now = net.now;
                let _ = net.nodes[n].hang_up(now, h, EndReason::HungUp);
                last[n] += 1;
            }
        }
        net.run(1_000);
        net.events.iter_mut().for_each(Vec::clear);
        net.leaves_nothing();
    }
    assert!(begun > 3_000 && last[0] + last[1] <= begun, "{begun} {last:?}");
}
