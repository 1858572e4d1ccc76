//! Messages that cross, get lost, or come too late.

use base::EndReason;

use super::call::*;
use super::script::{Script, addr};
use crate::endpoint::{Body, Event};

fn status_lines(s: &mut Script) -> Vec<String> {
    s.take_first_lines()
}

#[test]
fn a_2xx_that_crosses_our_cancel_is_acknowledged_and_ended() {
    let mut s = Script::new();
    let call = s.ua.invite(s.now, invite()).unwrap();
    s.sends(INVITE_OUT);
    s.recv(&response("180 Ringing", "b1", ""));
    s.event();
    s.ua.hang_up(s.now, call, EndReason::Cancelled).unwrap();
    s.sends_some("CANCEL ");
    s.recv(&response("200 OK", "b1", CONTACT_AND_SDP));
    let lines = status_lines(&mut s);
    assert_eq!(
        lines,
        [
            "ACK sip:bob@192.0.2.9:5070 SIP/2.0",
            "BYE sip:bob@192.0.2.9:5070 SIP/2.0"
        ]
    );
    assert!(matches!(s.event(), Event::Ended { .. }));
    s.no_event();
    s.leaves_nothing();
}

#[test]
fn a_cancelled_invite_that_is_never_answered_is_forgotten() {
    let mut s = Script::new();
    let call = s.ua.invite(s.now, invite()).unwrap();
    s.sends(INVITE_OUT);
    s.recv(&response("180 Ringing", "b1", ""));
    s.ua.hang_up(s.now, call, EndReason::Cancelled).unwrap();
    s.wait(31_000);
    assert_eq!(s.ua.calls(), 1);
    s.wait(10_000);
    assert_eq!((s.ua.calls(), s.ua.transactions()), (0, 0));
}

#[test]
fn the_first_answer_of_a_fork_wins_and_the_others_are_ended() {
    let mut s = Script::new();
    s.ua.invite(s.now, invite()).unwrap();
    s.sends(INVITE_OUT);
    s.recv(&response("180 Ringing", "b1", ""));
    s.recv(&response("180 Ringing", "b2", ""));
    s.recv(&response(
        "200 OK",
        "b2",
        &CONTACT_AND_SDP.replace("5070", "5072"),
    ));
    s.recv(&response("200 OK", "b1", CONTACT_AND_SDP));
    assert_eq!(
        status_lines(&mut s),
        [
            "ACK sip:bob@192.0.2.9:5072 SIP/2.0",
            "ACK sip:bob@192.0.2.9:5070 SIP/2.0",
            "BYE sip:bob@192.0.2.9:5070 SIP/2.0"
        ]
    );
    // The loser repeats its 2xx: the same ACK, no second BYE.
    s.recv(&response("200 OK", "b1", CONTACT_AND_SDP));
    assert_eq!(status_lines(&mut s), ["ACK sip:bob@192.0.2.9:5070 SIP/2.0"]);
    assert!(matches!(s.event(), Event::Provisional { .. }));
    assert!(matches!(s.event(), Event::Provisional { .. }));
    assert!(matches!(s.event(), Event::Answered { .. }));
    s.no_event();
}

#[test]
fn our_2xx_is_repeated_until_its_ack_and_then_given_up_with_bye() {
    let mut s = Script::new();
    let call = incoming(&mut s);
    s.ua.answer(s.now, call, Some(Body::sdp("v=0\r\n"))).unwrap();
    s.sends_some("SIP/2.0 100");
    let ok = s.sends_some("SIP/2.0 200");
    let mut times = Vec::new();
    let start = s.now;
    for _ in 0..70 {
        s.wait(500);
        for (_, _, text) in s.take_sent() {
            if times.last() == Some(&0) {
                assert!(text.starts_with("BYE"));
            } else if text.starts_with("BYE") {
                assert_eq!(s.now.since(start).as_millis(), 32_000);
                times.push(0);
            } else {
                assert_eq!(text, ok);
                times.push(s.now.since(start).as_millis());
            }
        }
    }
    let sends = [
        500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500, 0,
    ];
    assert_eq!(times[..11], sends);
    assert!(matches!(
        s.event(),
        Event::Ended {
            reason: EndReason::TimedOut,
            ..
        }
    ));
    s.leaves_nothing();
}

#[test]
fn hanging_up_before_the_ack_waits_for_it() {
    let mut s = Script::new();
    let call = incoming(&mut s);
    s.ua.answer(s.now, call, Some(Body::sdp("v=0\r\n"))).unwrap();
    s.sends_some("SIP/2.0 100");
    s.sends(OK_OUT);
    s.ua.hang_up(s.now, call, EndReason::HungUp).unwrap();
    s.sends_nothing();
    assert!(matches!(s.event(), Event::Ended { .. }));
    s.wait(500);
    s.sends_some("SIP/2.0 200");
    s.recv(ACK_IN);
    s.sends_some("BYE sip:alice@192.0.2.9 SIP/2.0");
    s.no_event();
    s.leaves_nothing();
}

#[test]
fn two_byes_at_once() {
    let (mut s, call) = taken();
    s.ua.hang_up(s.now, call, EndReason::HungUp).unwrap();
    s.sends_some("BYE ");
    s.recv(
        "BYE sip:bob@192.0.2.1:5060 SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKnashds7
        Max-Forwards: 70
        From: Alice <sip:alice@b.test>;tag=9fxced76sl
        To: Bob <sip:bob@a.test>;tag={tag}
        Call-ID: 3848276298220188511@b.test
        CSeq: 2 BYE",
    );
    s.sends_some("SIP/2.0 200 OK");
    assert!(matches!(s.event(), Event::Ended { .. }));
    s.no_event();
    s.leaves_nothing();
}

fn peer_reinvite(cseq: u32) -> String {
    format!(
        "INVITE sip:bob@192.0.2.1:5060 SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKre{cseq}
        Max-Forwards: 70
        From: Alice <sip:alice@b.test>;tag=9fxced76sl
        To: Bob <sip:bob@a.test>;tag={{tag}}
        Call-ID: 3848276298220188511@b.test
        CSeq: {cseq} INVITE
        Contact: <sip:alice@192.0.2.9>
        Content-Type: application/sdp

        v=2"
    )
}

#[test]
fn two_re_invites_at_once_are_both_refused_and_ours_comes_again() {
    let (mut s, call) = taken();
    s.ua.reinvite(s.now, call, Some(Body::sdp("v=1\r\n"))).unwrap();
    let ours = s.sends_some("INVITE ");
    s.recv(&peer_reinvite(2));
    s.sends_some("SIP/2.0 491");
    let line = |name: &str| ours.lines().find(|l| l.starts_with(name)).unwrap().to_owned();
    let refused = format!(
        "SIP/2.0 491 Request Pending\n{}\n{}\n{}\n{}\n{}",
        line("Via"),
        line("From"),
        line("To"),
        line("Call-ID"),
        line("CSeq")
    );
    s.recv(&refused);
    s.sends_some("ACK ");
    s.no_event();
    assert!(s.ua.reinvite(s.now, call, None).is_err());
    // We were called, so we wait at most two seconds.
    let before = s.now;
    for _ in 0..21 {
        s.wait(100);
        let again = s.take_first_lines();
        if again.iter().any(|l| l.starts_with("INVITE")) {
            break;
        }
    }
    assert!(s.now.since(before).as_millis() <= 2_100);
}

#[test]
fn a_second_offer_before_the_first_is_answered_gets_500_with_a_time() {
    let (mut s, call) = taken();
    s.recv(&peer_reinvite(2));
    s.sends_some("SIP/2.0 100");
    s.event();
    s.recv(&peer_reinvite(3));
    assert!(s.sends_some("SIP/2.0 500").contains("Retry-After: "));
    s.ua.refuse_reoffer(s.now, call, 488).unwrap();
    s.sends_some("SIP/2.0 488");
    assert!(s.ua.accept_reoffer(s.now, call, None).is_err());
}

#[test]
fn a_cancelled_re_invite_leaves_the_call_up() {
    let (mut s, call) = taken();
    s.recv(&peer_reinvite(2));
    s.sends_some("SIP/2.0 100");
    s.event();
    let cancel = peer_reinvite(2).replace("INVITE", "CANCEL");
    s.recv(cancel.split("Contact").next().unwrap());
    assert_eq!(
        s.take_first_lines(),
        ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]
    );
    s.no_event();
    assert!(s.ua.accept_reoffer(s.now, call, None).is_err());
    assert!(s.ua.reinvite(s.now, call, None).is_ok());
}

#[test]
fn bye_while_a_re_invite_of_the_peer_is_open() {
    let (mut s, _) = taken();
    s.recv(&peer_reinvite(2));
    s.sends_some("SIP/2.0 100");
    s.event();
    let bye = peer_reinvite(3).replace("INVITE", "BYE");
    s.recv(bye.split("Contact").next().unwrap());
    assert_eq!(
        s.take_first_lines(),
        ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]
    );
    assert!(matches!(s.event(), Event::Ended { .. }));
    s.leaves_nothing();
}

#[test]
fn a_request_out_of_order_gets_500() {
    let (mut s, _) = taken();
    s.recv(&peer_reinvite(7));
    s.sends_some("SIP/2.0 100");
    let late = peer_reinvite(6).replace("INVITE", "INFO");
    s.recv(late.split("Contact").next().unwrap());
    s.sends_some("SIP/2.0 500");
}

#[test]
fn copies_are_absorbed() {
    let mut s = Script::new();
    incoming(&mut s);
    let first = s.sends_some("SIP/2.0 100");
    s.recv(INVITE_IN);
    assert_eq!(s.sends_some("SIP/2.0 100"), first);
    s.no_event();
    // The same request by another way is merged.
    s.recv(&INVITE_IN.replace("74bf9", "other"));
    s.sends_some("SIP/2.0 482");
    s.no_event();
}

#[test]
fn nobody_answers() {
    let mut s = Script::new();
    let call = s.ua.invite(s.now, invite()).unwrap();
    s.wait(40_000);
    assert_eq!(s.take_first_lines().len(), 7);
    let Event::Failed {
        call: of,
        status,
        local,
        ..
    } = s.event()
    else {
        panic!("a failure");
    };
    assert_eq!((of, status, local), (call, 408, true));
    s.leaves_nothing();

    // It rings and rings: CANCEL after three minutes.
    let mut s = Script::new();
    s.ua.invite(s.now, invite()).unwrap();
    s.sends(INVITE_OUT);
    s.recv(&response("180 Ringing", "b1", ""));
    s.event();
    s.wait(179_000);
    s.sends_nothing();
    s.wait(1_000);
    s.sends_some("CANCEL ");
    assert!(matches!(
        s.event(),
        Event::Failed {
            status: 408,
            local: true,
            ..
        }
    ));
    s.leaves_nothing();
    s.no_event();
}

#[test]
fn a_provisional_response_is_repeated_each_minute() {
    let mut s = Script::new();
    let call = incoming(&mut s);
    s.ua.provisional(s.now, call, 183, Some(Body::sdp("v=0\r\n")))
        .unwrap();
    s.take_sent();
    s.wait(125_000);
    assert_eq!(
        s.take_first_lines(),
        ["SIP/2.0 183 Session Progress", "SIP/2.0 183 Session Progress"]
    );
}

#[test]
fn a_refused_connection_is_known_at_once() {
    let mut s = Script::new();
    s.ua.invite(s.now, invite()).unwrap();
    let id = loop {
        if let Some(crate::Output::Send { id, .. }) = s.ua.poll_output() {
            break id;
        }
    };
    s.ua.handle_send_failed(s.now, id);
    assert!(matches!(
        s.event(),
        Event::Failed {
            status: 503,
            local: true,
            ..
        }
    ));
    s.leaves_nothing();
}

/// RFC 3263 §4.3.
#[test]
fn who_did_not_answer_is_tried_last_and_not_for_long() {
    let mut s = Script::new();
    let dest = |n: u8| crate::Destination {
        transport: crate::Transport::Udp,
        addr: addr(&format!("192.0.2.{n}:5060")),
    };
    let call = |s: &mut Script, found: Vec<crate::Destination>| {
        let mut what = invite();
        what.target = "sip:bob@b.test".parse().unwrap();
        s.ua.invite(s.now, what).unwrap();
        s.drain();
        let (id, _) = s.lookups.remove(0);
        s.ua.handle_resolved(s.now, id, found);
        s.take_sent()[0].0.to_string()
    };
    assert_eq!(call(&mut s, vec![dest(21), dest(22)]), "192.0.2.21:5060");
    s.wait(4_000);
    assert_eq!(s.take_sent().last().unwrap().0.to_string(), "192.0.2.22:5060");
    // The other is alone, and alive as far as we know: it has until timer B.
    s.wait(31_000);
    s.no_event();
    s.wait(1_000);
    assert!(matches!(s.event(), Event::Failed { status: 408, .. }));
    s.take_sent();
    // Both are dead now; the order among them stays, and neither is waited for.
    assert_eq!(call(&mut s, vec![dest(23), dest(22)]), "192.0.2.23:5060");
    assert_eq!(call(&mut s, vec![dest(21), dest(23)]), "192.0.2.23:5060");
    assert_eq!(call(&mut s, vec![dest(22)]), "192.0.2.22:5060");
    s.wait(4_000);
    assert!(matches!(s.event(), Event::Failed { status: 408, .. }));
    // A minute after the last try everybody has a new chance.
    s.wait(120_000);
    s.take_sent();
    assert_eq!(call(&mut s, vec![dest(22), dest(24)]), "192.0.2.22:5060");
}

#[test]
fn lookups_lead_to_several_addresses_tried_in_turn() {
    let mut s = Script::new();
    let mut what = invite();
    what.target = "sip:bob@b.test".parse().unwrap();
    s.ua.invite(s.now, what).unwrap();
    s.drain();
    let (id, target) = s.lookups.remove(0);
    assert_eq!(target.to_string(), "sip:bob@b.test");
    let dest = |a: &str, transport| crate::Destination {
        transport,
        addr: addr(a),
    };
    s.ua.handle_resolved(
        s.now,
        id,
        vec![
            dest("192.0.2.21:5060", crate::Transport::Udp),
            dest("192.0.2.22:5060", crate::Transport::Tcp),
            dest("192.0.2.23:5060", crate::Transport::Udp),
        ],
    );
    // Nobody at the first: with others left it is not waited for until timer B.
    s.wait(4_000);
    let sent = s.take_sent();
    assert_eq!(sent.len(), 5, "four over UDP, then one over TCP");
    let (to, transport, text) = &sent[4];
    assert_eq!(
        (to.to_string(), *transport),
        ("192.0.2.22:5060".to_owned(), crate::Transport::Tcp)
    );
    assert!(text.contains("Via: SIP/2.0/TCP ") && text.contains(";transport=tcp>"));
    // 503 there: on to the third.
    s.transport = crate::Transport::Tcp;
    let line = |name: &str| text.lines().find(|l| l.starts_with(name)).unwrap();
    let busy = format!(
        "SIP/2.0 503 Service Unavailable\n{}\n{}\n{};tag=x\n{}\n{}",
        line("Via"),
        line("From"),
        line("To"),
        line("Call-ID"),
        line("CSeq")
    );
    s.recv(&busy);
    let sent = s.take_sent();
    assert!(sent[0].2.starts_with("ACK "));
    assert_eq!(sent[1].0.to_string(), "192.0.2.23:5060");
    s.no_event();
    s.wait(32_000);
    assert!(matches!(
        s.event(),
        Event::Failed {
            status: 408,
            local: true,
            ..
        }
    ));
    s.leaves_nothing();
}

#[test]
fn a_failed_lookup_fails_the_call() {
    for answer in [true, false] {
        let mut s = Script::new();
        let mut what = invite();
        what.target = "sip:bob@b.test".parse().unwrap();
        s.ua.invite(s.now, what).unwrap();
        s.drain();
        let (id, _) = s.lookups.remove(0);
        if answer {
            s.ua.handle_resolved(s.now, id, Vec::new());
        } else {
            s.wait(33_000);
        }
        assert!(matches!(
            s.event(),
            Event::Failed {
                status: 503,
                local: true,
                ..
            }
        ));
        s.leaves_nothing();
    }
}

#[test]
fn a_large_request_goes_over_tcp_and_back_to_udp_when_that_fails() {
    let mut s = Script::new();
    let mut what = invite();
    what.body = Some(Body::sdp("v=0\r\n".repeat(300)));
    s.ua.invite(s.now, what).unwrap();
    let Some(crate::Output::Send {
        id, transport, bytes, ..
    }) = s.ua.poll_output()
    else {
        panic!("a message");
    };
    assert_eq!(transport, crate::Transport::Tcp);
    assert!(bytes.windows(16).any(|w| w == b"Via: SIP/2.0/TCP"));
    s.ua.handle_send_failed(s.now, id);
    let Some(crate::Output::Send { transport, bytes, .. }) = s.ua.poll_output() else {
        panic!("a message");
    };
    assert_eq!(transport, crate::Transport::Udp);
    assert!(bytes.windows(16).any(|w| w == b"Via: SIP/2.0/UDP"));
    s.no_event();
}

#[test]
fn the_dialog_is_gone_at_the_peer() {
    let (mut s, call) = answered();
    s.ua.reinvite(s.now, call, Some(Body::sdp("v=1\r\n"))).unwrap();
    let ours = s.sends_some("INVITE ");
    let line = |name: &str| ours.lines().find(|l| l.starts_with(name)).unwrap().to_owned();
    let gone = format!(
        "SIP/2.0 481 Gone\n{}\n{}\n{}\n{}\n{}",
        line("Via"),
        line("From"),
        line("To"),
        line("Call-ID"),
        line("CSeq")
    );
    s.recv(&gone);
    assert_eq!(
        s.take_first_lines(),
        [
            "ACK sip:bob@192.0.2.9:5070 SIP/2.0",
            "BYE sip:bob@192.0.2.9:5070 SIP/2.0"
        ]
    );
    assert!(matches!(s.event(), Event::Ended { .. }));
    s.leaves_nothing();
}

#[test]
fn stray_responses_are_dropped() {
    let mut s = Script::new();
    s.ua.invite(s.now, invite()).unwrap();
    s.sends(INVITE_OUT);
    s.recv(&response("200 OK", "b1", CONTACT_AND_SDP).replace("{branch}", "z9hG4bKnever"));
    s.recv(&response("200 OK", "b1", CONTACT_AND_SDP).replace("} INVITE", "} BYE"));
    s.sends_nothing();
    s.no_event();
}

#[test]
fn a_re_invite_that_gets_no_final_answer_does_not_outlive_its_call() {
    for hang_up in [true, false] {
        let (mut s, call) = answered();
        s.ua.reinvite(s.now, call, Some(Body::sdp("v=1\r\n"))).unwrap();
        let ours = s.sends_some("INVITE ");
        let line = |name: &str| ours.lines().find(|l| l.starts_with(name)).unwrap().to_owned();
        s.recv(&format!(
            "SIP/2.0 100 Trying\n{}\n{}\n{}\n{}\n{}",
            line("Via"),
            line("From"),
            line("To"),
            line("Call-ID"),
            line("CSeq")
        ));
        if hang_up {
            s.ua.hang_up(s.now, call, EndReason::HungUp).unwrap();
        } else {
            s.wait(180_000);
        }
        assert!(matches!(s.event(), Event::Ended { .. }));
        s.leaves_nothing();
    }
}

#[test]
fn a_call_given_up_during_its_lookup_is_never_sent() {
    let mut s = Script::new();
    let mut what = invite();
    what.target = "sip:bob@b.test".parse().unwrap();
    let call = s.ua.invite(s.now, what).unwrap();
    s.drain();
    let (id, _) = s.lookups.remove(0);
    s.ua.hang_up(s.now, call, EndReason::Cancelled).unwrap();
    let found = crate::Destination {
        transport: crate::Transport::Udp,
        addr: addr("192.0.2.9:5060"),
    };
    s.ua.handle_resolved(s.now, id, vec![found]);
    s.sends_nothing();
    assert!(matches!(s.event(), Event::Ended { .. }));
    s.no_event();
    s.leaves_nothing();
}
