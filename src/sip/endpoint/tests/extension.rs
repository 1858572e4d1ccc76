//! PRACK, UPDATE, session timers, transfers.

use base::EndReason;

use super::call::*;
use super::script::{Script, uri};
use crate::endpoint::{Body, CallHandle, Event, Refused};

fn line(text: &str, name: &str) -> String {
    text.lines()
        .find(|l| l.starts_with(name))
        .unwrap_or("")
        .to_owned()
}

/// The peer's response to a request of ours within a dialog.
fn reply(s: &mut Script, sent: &str, status: &str, more: &str) {
    let mut text = format!("SIP/2.0 {status}");
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        text.push('\n');
        text.push_str(&line(sent, name));
    }
    s.recv(format!("{text}\n{more}").trim_end());
}

/// A request of the peer within the dialog of [`INVITE_IN`].
fn within(method: &str, cseq: u32, more: &str) -> String {
    format!(
        "{method} sip:bob@192.0.2.1:5060 SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKw{cseq}
        Max-Forwards: 70
        From: Alice <sip:alice@b.test>;tag=9fxced76sl
        To: Bob <sip:bob@a.test>;tag={{tag}}
        Call-ID: 3848276298220188511@b.test
        CSeq: {cseq} {method}
        {more}"
    )
    .trim_end()
    .to_owned()
}

fn tag_of(s: &mut Script, response: &str) {
    let to = line(response, "To");
    s.learn("tag", to.split("tag=").nth(1).unwrap());
}

#[test]
fn a_caller_that_demands_it_gets_reliable_ringing() {
    let mut s = Script::new();
    s.recv(&INVITE_IN.replace("CSeq", "Require: 100rel\nCSeq"));
    let Event::Incoming { call, .. } = s.event() else {
        panic!("a call");
    };
    s.sends_some("SIP/2.0 100");
    s.ua.provisional(s.now, call, 180, None).unwrap();
    let ringing = s.sends_some("SIP/2.0 180");
    tag_of(&mut s, &ringing);
    assert_eq!(line(&ringing, "Require"), "Require: 100rel");
    let rseq = line(&ringing, "RSeq")[6..].to_owned();
    // The next one waits for the PRACK.
    s.ua.provisional(s.now, call, 183, Some(Body::sdp("v=0\r\n")))
        .unwrap();
    s.sends_nothing();
    s.wait(1_600);
    assert_eq!(s.take_sent().len(), 2, "after 0.5 and 1.5 s");
    s.recv(&within("PRACK", 2, "RAck: 1 1 INVITE"));
    s.sends_some("SIP/2.0 481");
    s.recv(&within("PRACK", 3, &format!("RAck: {rseq} 1 INVITE")));
    s.sends_some("SIP/2.0 200");
    let media = s.sends_some("SIP/2.0 183");
    let next: u32 = rseq.parse::<u32>().unwrap() + 1;
    assert_eq!(line(&media, "RSeq"), format!("RSeq: {next}"));
    // And the answer.
    s.ua.answer(s.now, call, Some(Body::sdp("v=0\r\n"))).unwrap();
    s.sends_nothing();
    s.recv(&within("PRACK", 4, &format!("RAck: {next} 1 INVITE")));
    assert_eq!(s.take_first_lines(), ["SIP/2.0 200 OK", "SIP/2.0 200 OK"]);
    s.recv(ACK_IN);
    assert_eq!(s.event(), Event::Confirmed { call, body: None });
    s.wait(100_000).sends_nothing();
}

#[test]
fn without_prack_the_call_is_given_up() {
    let mut s = Script::new();
    s.recv(&INVITE_IN.replace("CSeq", "Require: 100rel\nCSeq"));
    let Event::Incoming { call, .. } = s.event() else {
        panic!("a call");
    };
    s.ua.provisional(s.now, call, 180, None).unwrap();
    s.wait(31_900);
    // 100, 180 and its repetitions at 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 s.
    assert_eq!(s.take_sent().len(), 8);
    s.wait(100);
    s.sends_some("SIP/2.0 504");
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
fn an_offer_in_a_reliable_response_is_answered_by_the_prack() {
    let mut s = Script::new();
    let late = INVITE_IN.replace("    Content-Type: application/sdp\n\n    v=0", "");
    s.recv(&late.replace("CSeq", "Supported: 100rel\nCSeq"));
    let Event::Incoming { call, .. } = s.event() else {
        panic!("a call");
    };
    s.ua.provisional(s.now, call, 183, Some(Body::sdp("v=0\r\n")))
        .unwrap();
    s.sends_some("SIP/2.0 100");
    let media = s.sends_some("SIP/2.0 183");
    tag_of(&mut s, &media);
    let rack = format!(
        "RAck: {} 1 INVITE\nContent-Type: application/sdp\n\nv=3",
        &line(&media, "RSeq")[6..]
    );
    s.recv(&within("PRACK", 2, &rack));
    let body = Body::sdp("v=3\r\n");
    assert_eq!(s.event(), Event::EarlyAnswer { call, body });
}

#[test]
fn we_acknowledge_reliable_responses_once_and_in_order() {
    let mut s = Script::new();
    s.ua.invite(s.now, invite()).unwrap();
    let sent = s.sends_some("INVITE ");
    let reliable = |rseq: u32| {
        response(
            "183 Session Progress",
            "b1",
            &format!("Require: 100rel\nRSeq: {rseq}\n{CONTACT_AND_SDP}"),
        )
    };
    s.learn_request(&sent);
    s.recv(&reliable(4711));
    let prack = s.sends_some("PRACK sip:bob@192.0.2.9:5070 SIP/2.0");
    let cseq = |t: &str| line(t, "CSeq").split(' ').nth(1).unwrap().parse::<u32>().unwrap();
    assert_eq!(line(&prack, "RAck"), format!("RAck: 4711 {} INVITE", cseq(&sent)));
    assert_eq!(cseq(&prack), cseq(&sent) + 1);
    reply(&mut s, &prack, "200 OK", "");
    assert!(matches!(s.event(), Event::Provisional { status: 183, .. }));
    s.recv(&reliable(4711));
    s.recv(&reliable(4713));
    s.sends_nothing();
    s.no_event();
    s.recv(&reliable(4712));
    s.sends_some("PRACK ");
    s.recv(&response("200 OK", "b1", "Contact: <sip:bob@192.0.2.9:5070>"));
    let ack = s.sends_some("ACK ");
    assert_eq!(cseq(&ack), cseq(&sent));
}

#[test]
fn an_offer_of_the_peer_in_a_reliable_response_waits_for_our_answer() {
    let mut s = Script::new();
    let mut what = invite();
    what.body = None;
    let call = s.ua.invite(s.now, what).unwrap();
    let sent = s.sends_some("INVITE ");
    s.learn_request(&sent);
    s.recv(&response(
        "183 Session Progress",
        "b1",
        &format!("Require: 100rel\nRSeq: 9\n{CONTACT_AND_SDP}"),
    ));
    s.sends_nothing();
    assert!(matches!(s.event(), Event::Provisional { body: Some(_), .. }));
    s.ua.ack(s.now, call, Some(Body::sdp("v=4\r\n"))).unwrap();
    assert!(s.sends_some("PRACK ").ends_with("\r\n\r\nv=4\r\n"));
    s.recv(&response("200 OK", "b1", "Contact: <sip:bob@192.0.2.9:5070>"));
    s.sends_some("ACK ");
    assert_eq!(s.event(), Event::Answered { call, body: None });
    assert_eq!(s.ua.ack(s.now, call, None), Err(Refused::State));
}

/// A call of the peer with these headers, answered; gives our 200.
fn taken_with(s: &mut Script, headers: &str) -> (CallHandle, String) {
    s.recv(&INVITE_IN.replace("CSeq", &format!("{headers}\nCSeq")));
    let Event::Incoming { call, .. } = s.event() else {
        panic!("a call");
    };
    s.ua.answer(s.now, call, Some(Body::sdp("v=0\r\n"))).unwrap();
    s.sends_some("SIP/2.0 100");
    let ok = s.sends_some("SIP/2.0 200");
    tag_of(s, &ok);
    s.recv(ACK_IN);
    s.event();
    (call, ok)
}

#[test]
fn too_short_a_timer_is_refused_with_the_least() {
    let mut s = Script::new();
    s.recv(&INVITE_IN.replace(
        "CSeq",
        "Supported: timer\nSession-Expires: 10;refresher=uac\nCSeq",
    ));
    assert_eq!(line(&s.sends_some("SIP/2.0 422"), "Min-SE"), "Min-SE: 90");
    s.no_event();
}

#[test]
fn we_raise_the_timer_when_told_so() {
    let mut s = Script::with(|c| c.session_expires = 100);
    s.ua.invite(s.now, invite()).unwrap();
    let sent = s.sends_some("INVITE ");
    assert_eq!(line(&sent, "Session-Expires"), "Session-Expires: 100");
    s.learn_request(&sent);
    s.recv(&response("422 Session Interval Too Small", "b1", "Min-SE: 300"));
    s.sends_some("ACK ");
    let sent = s.sends_some("INVITE ");
    assert_eq!(
        [line(&sent, "Session-Expires"), line(&sent, "Min-SE")],
        ["Session-Expires: 300", "Min-SE: 300"]
    );
    s.no_event();
    // The same again makes no sense.
    s.learn_request(&sent);
    s.recv(&response("422 Session Interval Too Small", "b1", "Min-SE: 300"));
    assert!(matches!(s.event(), Event::Failed { status: 422, .. }));
}

#[test]
fn as_refresher_we_refresh_at_half_the_time() {
    for updates in [true, false] {
        let mut s = Script::new();
        let allow = if updates { "Allow: INVITE, UPDATE\n" } else { "" };
        let (_, ok) = taken_with(
            &mut s,
            &format!("{allow}Supported: timer\nSession-Expires: 90;refresher=uas"),
        );
        assert_eq!(line(&ok, "Session-Expires"), "Session-Expires: 90;refresher=uas");
        for _ in 0..3 {
            s.wait(44_900).sends_nothing();
            s.wait(100);
            let method = if updates { "UPDATE " } else { "INVITE " };
            let refresh = s.sends_some(method);
            assert_eq!(
                line(&refresh, "Session-Expires"),
                "Session-Expires: 90;refresher=uac"
            );
            assert_eq!(
                refresh.ends_with("\r\n\r\nv=0\r\n"),
                !updates,
                "a re-INVITE offers the same again"
            );
            let ok = "Contact: <sip:alice@192.0.2.9>\nRequire: timer\nSession-Expires: 90;refresher=uac";
            reply(&mut s, &refresh, "200 OK", ok);
            if !updates {
                s.sends_some("ACK ");
            }
        }
        s.no_event();
        // The peer is gone: the session ends 30 s before the whole time, or with the refresh that fails.
        s.wait(60_100);
        assert!(matches!(
            s.event(),
            Event::Ended {
                reason: EndReason::TimedOut,
                ..
            }
        ));
        assert!(s.take_first_lines().iter().any(|l| l.starts_with("BYE ")));
        s.leaves_nothing();
    }
}

#[test]
fn the_peer_refreshes_or_the_call_ends() {
    let mut s = Script::new();
    let (_, ok) = taken_with(&mut s, "Supported: timer\nSession-Expires: 90;refresher=uac");
    assert_eq!(line(&ok, "Session-Expires"), "Session-Expires: 90;refresher=uac");
    assert_eq!(line(&ok, "Require"), "Require: timer");
    s.wait(55_000);
    let refresh = "Contact: <sip:alice@192.0.2.9>\nSupported: timer\nSession-Expires: 90;refresher=uac";
    s.recv(&within("UPDATE", 2, refresh));
    let ok = s.sends_some("SIP/2.0 200");
    assert_eq!(line(&ok, "Session-Expires"), "Session-Expires: 90;refresher=uac");
    assert!(line(&ok, "Contact").contains("192.0.2.1"));
    s.wait(59_900).sends_nothing();
    s.no_event();
    s.wait(100);
    s.sends_some("BYE ");
    assert!(matches!(
        s.event(),
        Event::Ended {
            reason: EndReason::TimedOut,
            ..
        }
    ));
}

#[test]
fn as_caller_we_keep_the_timer_that_the_peer_grants() {
    for (granted, refresh_at) in [("90;refresher=uac", Some(45_000)), ("90;refresher=uas", None)] {
        let mut s = Script::new();
        s.ua.invite(s.now, invite()).unwrap();
        let sent = s.sends_some("INVITE ");
        s.learn_request(&sent);
        let ok = format!("Require: timer\nAllow: UPDATE\nSession-Expires: {granted}\n{CONTACT_AND_SDP}");
        s.recv(&response("200 OK", "b1", &ok));
        s.sends_some("ACK ");
        s.event();
        match refresh_at {
            Some(at) => {
                s.wait(at - 1).sends_nothing();
                s.wait(1);
                s.sends_some("UPDATE ");
            }
            None => {
                s.wait(60_000);
                s.sends_some("BYE ");
            }
        }
    }
    // No grant, no timer.
    let (mut s, _) = answered();
    s.wait(10_000_000).sends_nothing();
    s.no_event();
}

#[test]
fn a_peer_that_takes_no_update_after_all_is_refreshed_by_re_invite() {
    let mut s = Script::new();
    taken_with(
        &mut s,
        "Allow: UPDATE\nSupported: timer\nSession-Expires: 90;refresher=uas",
    );
    s.wait(45_000);
    let update = s.sends_some("UPDATE ");
    reply(&mut s, &update, "405 Method Not Allowed", "");
    s.sends_some("INVITE ");
}

#[test]
fn an_offer_by_update_is_a_reoffer() {
    let (mut s, call) = taken();
    let offer = "Contact: <sip:alice@192.0.2.9>\nContent-Type: application/sdp\n\nv=5";
    s.recv(&within("UPDATE", 2, offer));
    s.sends_nothing();
    let body = Some(Body::sdp("v=5\r\n"));
    assert_eq!(s.event(), Event::Reoffer { call, body });
    // Meanwhile another one, and one of ours.
    s.recv(&within("UPDATE", 3, offer));
    assert!(s.sends_some("SIP/2.0 500").contains("Retry-After"));
    assert_eq!(s.ua.reinvite(s.now, call, None), Err(Refused::Pending));
    s.ua.accept_reoffer(s.now, call, Some(Body::sdp("v=6\r\n")))
        .unwrap();
    let ok = s.sends_some("SIP/2.0 200");
    assert!(ok.contains("CSeq: 2 UPDATE") && ok.ends_with("\r\n\r\nv=6\r\n"));
    s.wait(40_000).sends_nothing();
    assert!(s.ua.reinvite(s.now, call, None).is_ok());
    s.sends_some("INVITE ");
    s.recv(&within("UPDATE", 4, offer));
    s.sends_some("SIP/2.0 491");
    s.recv(&within("UPDATE", 5, "Contact: <sip:alice@192.0.2.9:5099>"));
    s.sends_some("SIP/2.0 200");
    s.ua.hang_up(s.now, call, EndReason::HungUp).unwrap();
    s.sends_some("BYE sip:alice@192.0.2.9:5099 ");
}

#[test]
fn a_transfer_asked_by_the_peer() {
    let (mut s, call) = taken();
    let refer = "Contact: <sip:alice@192.0.2.9>
        Refer-To: <sip:carol@c.test?Replaces=abc%40x%3Bto-tag%3D1%3Bfrom-tag%3D2&X=y>
        Referred-By: <sip:alice@b.test>";
    s.recv(&within("REFER", 2, refer));
    assert_eq!(
        s.event(),
        Event::Refer {
            call,
            target: uri("sip:carol@c.test"),
            replaces: Some("abc@x;to-tag=1;from-tag=2".to_owned()),
            referred_by: Some("<sip:alice@b.test>".to_owned()),
        }
    );
    s.sends_nothing();
    s.ua.accept_refer(s.now, call).unwrap();
    s.sends_some("SIP/2.0 202 Accepted");
    let notify = s.sends_some("NOTIFY sip:alice@192.0.2.9 SIP/2.0");
    assert_eq!(line(&notify, "Event"), "Event: refer;id=2");
    assert_eq!(
        line(&notify, "Subscription-State"),
        "Subscription-State: active;expires=180"
    );
    assert!(notify.ends_with("\r\n\r\nSIP/2.0 100 Trying\r\n"));
    s.recv(&within("REFER", 3, refer));
    s.sends_some("SIP/2.0 500");
    s.ua.report_refer(s.now, call, 486).unwrap();
    let notify = s.sends_some("NOTIFY ");
    assert!(line(&notify, "Subscription-State").contains("terminated;reason=noresource"));
    assert!(notify.ends_with("\r\n\r\nSIP/2.0 486 Busy Here\r\n"));
    assert_eq!(s.ua.report_refer(s.now, call, 200), Err(Refused::State));
    s.recv(&within("REFER", 4, &refer.replace("Refer-To", "X-To")));
    s.sends_some("SIP/2.0 400");
    s.recv(&within("REFER", 5, refer));
    s.event();
    s.ua.refuse_refer(s.now, call, 603).unwrap();
    s.sends_some("SIP/2.0 603");
}

#[test]
fn a_transfer_asked_by_us() {
    let (mut s, call) = answered();
    s.ua.refer(s.now, call, &uri("sip:carol@c.test"), Some(call))
        .unwrap();
    let refer = s.sends_some("REFER sip:bob@192.0.2.9:5070 SIP/2.0");
    let to = line(&refer, "Refer-To");
    assert!(
        to.starts_with("Refer-To: <sip:carol@c.test?Replaces=")
            && to.contains("%3Bto-tag%3Db1%3Bfrom-tag%3D"),
        "{to}"
    );
    assert!(line(&refer, "Referred-By").contains("sip:alice@a.test"));
    assert!(refer.contains("Contact: "));
    reply(&mut s, &refer, "202 Accepted", "");
    s.no_event();
    let mut text = format!(
        "NOTIFY sip:alice@192.0.2.1:5060 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKn1\nFrom: {}\nTo: {}\n{}\nCSeq: 7 NOTIFY\nContact: <sip:bob@192.0.2.9>",
        &line(&refer, "To")[4..],
        &line(&refer, "From")[6..],
        line(&refer, "Call-ID")
    );
    text.push_str("\nEvent: refer;id=3\nSubscription-State: terminated\nContent-Type: message/sipfrag\n\nSIP/2.0 200 OK");
    s.recv(&text);
    s.sends_some("SIP/2.0 200");
    assert_eq!(s.event(), Event::ReferProgress { call, status: 200 });
    s.recv(
        &text
            .replace("n1", "n2")
            .replace("7 NOTIFY", "8 NOTIFY")
            .replace("refer;id", "presence;id"),
    );
    s.sends_some("SIP/2.0 489");
}

#[test]
fn an_invite_may_take_the_place_of_a_call() {
    let (mut s, call) = taken();
    let other = |replaces: &str| {
        INVITE_IN
            .replace("74bf9", "other")
            .replace("3848276298220188511", "7")
            .replace("CSeq", &format!("Require: replaces\nReplaces: {replaces}\nCSeq"))
    };
    let right = "3848276298220188511@b.test;to-tag={tag};from-tag=9fxced76sl";
    s.recv(&other(right));
    let Event::Incoming { replaces, .. } = s.event() else {
        panic!("a call");
    };
    assert_eq!(replaces, Some(call));
    s.take_sent();
    s.recv(
        &other(&right.replace("9fx", "8fx"))
            .replace("bKother", "bKother2")
            .replace(": 7", ": 8"),
    );
    s.sends_some("SIP/2.0 481");
    s.recv(
        &other(&format!("{right};early-only"))
            .replace("bKother", "bKother3")
            .replace(": 7", ": 9"),
    );
    s.sends_some("SIP/2.0 486");
    s.no_event();
}

#[test]
fn transfers_are_refused_where_nobody_carries_them_out() {
    let mut s = Script::with(|c| c.transfers = false);
    let (_, ok) = taken_with(&mut s, "Supported: replaces");
    assert!(!ok.contains("REFER") && !ok.contains("replaces"));
    s.recv(&within(
        "REFER",
        2,
        "Refer-To: <sip:carol@c.test>\nContact: <sip:alice@192.0.2.9>",
    ));
    s.sends_some("SIP/2.0 405");
    let required = INVITE_IN.replace("CSeq", "Require: replaces\nReplaces: x;to-tag=1;from-tag=2\nCSeq");
    s.recv(
        &required
            .replace("74bf9", "other")
            .replace("3848276298220188511", "7"),
    );
    assert_eq!(
        line(&s.sends_some("SIP/2.0 420"), "Unsupported"),
        "Unsupported: replaces"
    );
    s.no_event();
}
