//! The flows of RFC 3665, seen from either side, as transcripts.

use base::EndReason;

use super::script::{Script, name, uri};
use crate::endpoint::{Body, CallHandle, Event, Invite};

pub(super) fn invite() -> Invite {
    let mut invite = Invite::new(uri("sip:bob@192.0.2.9"), name("\"Alice\" <sip:alice@a.test>"));
    invite.body = Some(Body::sdp("v=0\r\n"));
    invite
}

pub(super) const INVITE_OUT: &str = "
    INVITE sip:bob@192.0.2.9 SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.1:5060;branch={branch};rport
    Max-Forwards: 70
    From: \"Alice\" <sip:alice@a.test>;tag={from}
    To: <sip:bob@192.0.2.9>
    Call-ID: {callid}
    CSeq: {cseq} INVITE
    Allow: {allow}
    Supported: {supported}
    Session-Expires: 1800
    Min-SE: 90
    Content-Type: application/sdp
    Contact: <sip:alice@192.0.2.1:5060>
    User-Agent: flashgate
    Content-Length: 5

    v=0";

pub(super) const INVITE_IN: &str = "
    INVITE sip:bob@a.test SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK74bf9
    Max-Forwards: 70
    From: Alice <sip:alice@b.test>;tag=9fxced76sl
    To: Bob <sip:bob@a.test>
    Call-ID: 3848276298220188511@b.test
    CSeq: 1 INVITE
    Contact: <sip:alice@192.0.2.9>
    Content-Type: application/sdp

    v=0";

pub(super) const ACK_IN: &str = "
    ACK sip:bob@192.0.2.1:5060 SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK74bd5
    Max-Forwards: 70
    From: Alice <sip:alice@b.test>;tag=9fxced76sl
    To: Bob <sip:bob@a.test>;tag={tag}
    Call-ID: 3848276298220188511@b.test
    CSeq: 1 ACK";

/// A response to our INVITE.
pub(super) fn response(status: &str, tag: &str, more: &str) -> String {
    let tag = if tag.is_empty() {
        String::new()
    } else {
        format!(";tag={tag}")
    };
    format!(
        "SIP/2.0 {status}
        Via: SIP/2.0/UDP 192.0.2.1:5060;branch={{branch}};rport=5060;received=192.0.2.1
        From: \"Alice\" <sip:alice@a.test>;tag={{from}}
        To: <sip:bob@192.0.2.9>{tag}
        Call-ID: {{callid}}
        CSeq: {{cseq}} INVITE
        {more}"
    )
    .trim_end()
    .to_owned()
}

pub(super) const CONTACT_AND_SDP: &str = "Contact: <sip:bob@192.0.2.9:5070>
    Content-Type: application/sdp

    v=0";

/// An answered call of ours.
pub(super) fn answered() -> (Script, CallHandle) {
    let mut s = Script::new();
    let h = s.ua.invite(s.now, invite()).unwrap();
    s.sends(INVITE_OUT);
    s.recv(&response("200 OK", "b1", CONTACT_AND_SDP));
    s.sends_some("ACK ");
    assert!(matches!(s.event(), Event::Answered { .. }));
    (s, h)
}

/// A call of the peer that we answered, with its ACK.
pub(super) fn taken() -> (Script, CallHandle) {
    let mut s = Script::new();
    let h = incoming(&mut s);
    s.ua.answer(s.now, h, Some(Body::sdp("v=0\r\n"))).unwrap();
    s.sends_some("SIP/2.0 100");
    s.sends(OK_OUT);
    s.recv(ACK_IN);
    let body = None;
    assert_eq!(s.event(), Event::Confirmed { call: h, body });
    (s, h)
}

pub(super) const OK_OUT: &str = "
    SIP/2.0 200 OK
    Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK74bf9
    From: Alice <sip:alice@b.test>;tag=9fxced76sl
    To: \"Bob\" <sip:bob@a.test>;tag={tag}
    Call-ID: 3848276298220188511@b.test
    CSeq: 1 INVITE
    Contact: <sip:bob@192.0.2.1:5060>
    Allow: {allow}
    Supported: {supported}
    Content-Type: application/sdp
    Server: flashgate
    Content-Length: 5

    v=0";

pub(super) fn incoming(s: &mut Script) -> CallHandle {
    s.recv(INVITE_IN);
    match s.event() {
        Event::Incoming { call, .. } => call,
        other => panic!("{other:?}"),
    }
}

/// RFC 3665 §3.1, the caller.
#[test]
fn we_call_and_hang_up() {
    let mut s = Script::new();
    let h = s.ua.invite(s.now, invite()).unwrap();
    s.sends(INVITE_OUT);
    s.recv(&response(
        "180 Ringing",
        "b1",
        "Contact: <sip:bob@192.0.2.9:5070>",
    ));
    assert_eq!(
        s.event(),
        Event::Provisional {
            call: h,
            status: 180,
            reason: "Ringing".to_owned(),
            body: None
        }
    );
    s.recv(&response("200 OK", "b1", CONTACT_AND_SDP));
    s.sends_to(
        "192.0.2.9:5070".parse().unwrap(),
        "ACK sip:bob@192.0.2.9:5070 SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.1:5060;branch={ackbranch};rport
        Max-Forwards: 70
        From: \"Alice\" <sip:alice@a.test>;tag={from}
        To: <sip:bob@192.0.2.9>;tag=b1
        Call-ID: {callid}
        CSeq: {cseq} ACK
        User-Agent: flashgate
        Content-Length: 0",
    );
    assert_eq!(
        s.event(),
        Event::Answered {
            call: h,
            body: Some(Body::sdp("v=0\r\n"))
        }
    );
    s.ua.hang_up(s.now, h, EndReason::HungUp).unwrap();
    s.sends_to(
        "192.0.2.9:5070".parse().unwrap(),
        "BYE sip:bob@192.0.2.9:5070 SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.1:5060;branch={byebranch};rport
        Max-Forwards: 70
        From: \"Alice\" <sip:alice@a.test>;tag={from}
        To: <sip:bob@192.0.2.9>;tag=b1
        Call-ID: {callid}
        CSeq: {byeseq} BYE
        Reason: Q.850;cause=16;text=\"hung up\"
        User-Agent: flashgate
        Content-Length: 0",
    );
    s.recv(
        "SIP/2.0 200 OK
        Via: SIP/2.0/UDP 192.0.2.1:5060;branch={byebranch};rport=5060;received=192.0.2.1
        From: \"Alice\" <sip:alice@a.test>;tag={from}
        To: <sip:bob@192.0.2.9>;tag=b1
        Call-ID: {callid}
        CSeq: {byeseq} BYE",
    );
    assert!(matches!(
        s.event(),
        Event::Ended {
            reason: EndReason::HungUp,
            ..
        }
    ));
    s.sends_nothing();
    s.leaves_nothing();
    s.no_event();
}

/// RFC 3665 §3.1, the called side.
#[test]
fn we_are_called_and_the_caller_hangs_up() {
    let mut s = Script::new();
    s.recv(INVITE_IN);
    s.sends(
        "SIP/2.0 100 Trying
        Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK74bf9
        From: Alice <sip:alice@b.test>;tag=9fxced76sl
        To: Bob <sip:bob@a.test>
        Call-ID: 3848276298220188511@b.test
        CSeq: 1 INVITE
        Server: flashgate
        Content-Length: 0",
    );
    let Event::Incoming {
        call,
        target,
        from,
        to,
        user,
        max_forwards,
        offer,
        ..
    } = s.event()
    else {
        panic!("a call");
    };
    assert_eq!(target, uri("sip:bob@a.test"));
    assert_eq!(
        (from.display.as_deref(), from.tag()),
        (Some("Alice"), Some("9fxced76sl"))
    );
    assert_eq!(to.tag(), None);
    assert_eq!((user, max_forwards), (None, 69));
    assert_eq!(offer, Some(Body::sdp("v=0\r\n")));
    s.ua.provisional(s.now, call, 180, None).unwrap();
    s.sends(
        "SIP/2.0 180 Ringing
        Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK74bf9
        From: Alice <sip:alice@b.test>;tag=9fxced76sl
        To: \"Bob\" <sip:bob@a.test>;tag={tag}
        Call-ID: 3848276298220188511@b.test
        CSeq: 1 INVITE
        Contact: <sip:bob@192.0.2.1:5060>
        Allow: {allow}
        Supported: {supported}
        Server: flashgate
        Content-Length: 0",
    );
    s.ua.answer(s.now, call, Some(Body::sdp("v=0\r\n"))).unwrap();
    s.sends(OK_OUT);
    s.recv(ACK_IN);
    assert_eq!(s.event(), Event::Confirmed { call, body: None });
    s.recv(
        "BYE sip:bob@192.0.2.1:5060 SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKnashds7
        Max-Forwards: 70
        From: Alice <sip:alice@b.test>;tag=9fxced76sl
        To: Bob <sip:bob@a.test>;tag={tag}
        Call-ID: 3848276298220188511@b.test
        CSeq: 2 BYE
        Reason: SIP;cause=200, Q.850;cause=31;text=\"x\"",
    );
    s.sends(
        "SIP/2.0 200 OK
        Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKnashds7
        From: Alice <sip:alice@b.test>;tag=9fxced76sl
        To: Bob <sip:bob@a.test>;tag={tag}
        Call-ID: 3848276298220188511@b.test
        CSeq: 2 BYE
        Server: flashgate
        Content-Length: 0",
    );
    assert_eq!(
        s.event(),
        Event::Ended {
            call,
            reason: EndReason::HungUp,
            cause: Some(31)
        }
    );
    s.leaves_nothing();
    s.sends_nothing();
}

/// RFC 3665 §3.8, the caller: CANCEL waits for a provisional response.
#[test]
fn we_give_up() {
    let mut s = Script::new();
    let h = s.ua.invite(s.now, invite()).unwrap();
    s.sends(INVITE_OUT);
    s.ua.hang_up(s.now, h, EndReason::Cancelled).unwrap();
    assert!(matches!(
        s.event(),
        Event::Ended {
            reason: EndReason::Cancelled,
            ..
        }
    ));
    s.sends_nothing();
    s.recv(&response("180 Ringing", "b1", ""));
    s.sends(
        "CANCEL sip:bob@192.0.2.9 SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.1:5060;branch={branch};rport
        Max-Forwards: 70
        From: \"Alice\" <sip:alice@a.test>;tag={from}
        To: <sip:bob@192.0.2.9>
        Call-ID: {callid}
        CSeq: {cseq} CANCEL
        Content-Length: 0",
    );
    s.recv(&response("200 OK", "b1", "").replace("} INVITE", "} CANCEL"));
    s.recv(&response("487 Request Terminated", "b1", ""));
    s.sends(
        "ACK sip:bob@192.0.2.9 SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.1:5060;branch={branch};rport
        Max-Forwards: 70
        From: \"Alice\" <sip:alice@a.test>;tag={from}
        To: <sip:bob@192.0.2.9>;tag=b1
        Call-ID: {callid}
        CSeq: {cseq} ACK
        Content-Length: 0",
    );
    s.no_event();
    s.leaves_nothing();
    s.sends_nothing();
}

/// RFC 3665 §3.8, the called side.
#[test]
fn the_caller_gives_up() {
    let mut s = Script::new();
    let call = incoming(&mut s);
    s.sends_some("SIP/2.0 100");
    s.ua.provisional(s.now, call, 180, None).unwrap();
    s.sends_some("SIP/2.0 180");
    s.recv(
        "CANCEL sip:bob@a.test SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK74bf9
        Max-Forwards: 70
        From: Alice <sip:alice@b.test>;tag=9fxced76sl
        To: Bob <sip:bob@a.test>
        Call-ID: 3848276298220188511@b.test
        CSeq: 1 CANCEL",
    );
    s.sends(
        "SIP/2.0 200 OK
        Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK74bf9
        From: Alice <sip:alice@b.test>;tag=9fxced76sl
        To: \"Bob\" <sip:bob@a.test>;tag={tag}
        Call-ID: 3848276298220188511@b.test
        CSeq: 1 CANCEL
        Server: flashgate
        Content-Length: 0",
    );
    s.sends(
        "SIP/2.0 487 Request Terminated
        Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK74bf9
        From: Alice <sip:alice@b.test>;tag=9fxced76sl
        To: \"Bob\" <sip:bob@a.test>;tag={tag}
        Call-ID: 3848276298220188511@b.test
        CSeq: 1 INVITE
        Server: flashgate
        Content-Length: 0",
    );
    assert_eq!(
        s.event(),
        Event::Ended {
            call,
            reason: EndReason::Cancelled,
            cause: None
        }
    );
    s.recv(&ACK_IN.replace("z9hG4bK74bd5", "z9hG4bK74bf9"));
    s.sends_nothing();
    s.leaves_nothing();
    s.no_event();
}

/// RFC 3665 §3.9.
#[test]
fn busy_both_ways() {
    let mut s = Script::new();
    let call = s.ua.invite(s.now, invite()).unwrap();
    s.sends(INVITE_OUT);
    s.recv(&response("486 Busy Here", "b1", "Retry-After: 60"));
    s.sends_some("ACK sip:bob@192.0.2.9 SIP/2.0");
    let Event::Failed {
        call: failed,
        status,
        headers,
        local,
        ..
    } = s.event()
    else {
        panic!("a failure");
    };
    assert_eq!((failed, status, local), (call, 486, false));
    assert_eq!(headers.get(&crate::HeaderName::RetryAfter), Some("60"));
    s.leaves_nothing();

    let mut s = Script::new();
    let call = incoming(&mut s);
    s.ua.refuse(s.now, call, 486, None, Vec::new()).unwrap();
    assert_eq!(
        s.take_first_lines(),
        ["SIP/2.0 100 Trying", "SIP/2.0 486 Busy Here"]
    );
    s.recv(
        &ACK_IN
            .replace("z9hG4bK74bd5", "z9hG4bK74bf9")
            .replace("{tag}", "x"),
    );
    s.wait(60_000).sends_nothing();
    assert!(matches!(
        s.event(),
        Event::Ended {
            reason: EndReason::Busy,
            ..
        }
    ));
    s.leaves_nothing();
}

#[test]
fn early_media_reaches_the_user() {
    let mut s = Script::new();
    let call = s.ua.invite(s.now, invite()).unwrap();
    s.sends(INVITE_OUT);
    s.recv(&response("183 Session Progress", "b1", CONTACT_AND_SDP));
    assert_eq!(
        s.event(),
        Event::Provisional {
            call,
            status: 183,
            reason: "Session Progress".to_owned(),
            body: Some(Body::sdp("v=0\r\n"))
        }
    );
}

#[test]
fn the_ack_is_repeated_with_each_repetition_of_the_2xx() {
    let mut s = Script::new();
    s.ua.invite(s.now, invite()).unwrap();
    s.sends(INVITE_OUT);
    s.recv(&response("200 OK", "b1", CONTACT_AND_SDP));
    let ack = s.sends_some("ACK ");
    s.recv(&response("200 OK", "b1", CONTACT_AND_SDP));
    assert_eq!(s.sends_some("ACK "), ack);
    s.event();
    s.no_event();
}

#[test]
fn a_late_offer_is_answered_in_the_ack() {
    let mut s = Script::new();
    let mut what = invite();
    what.body = None;
    let call = s.ua.invite(s.now, what).unwrap();
    s.sends(
        &INVITE_OUT
            .replace("Content-Type: application/sdp\n", "")
            .replace("Content-Length: 5\n\n    v=0", "Content-Length: 0")
            .replace("    \n", ""),
    );
    s.recv(&response("200 OK", "b1", CONTACT_AND_SDP));
    s.sends_nothing();
    assert_eq!(
        s.event(),
        Event::Answered {
            call,
            body: Some(Body::sdp("v=0\r\n"))
        }
    );
    s.recv(&response("200 OK", "b1", CONTACT_AND_SDP));
    s.sends_nothing();
    s.ua.ack(s.now, call, Some(Body::sdp("v=1\r\n"))).unwrap();
    let ack = s.sends_some("ACK ");
    assert!(ack.ends_with(
        "\r\nContent-Type: application/sdp\r\nUser-Agent: flashgate\r\nContent-Length: 5\r\n\r\nv=1\r\n"
    ));
    s.recv(&response("200 OK", "b1", CONTACT_AND_SDP));
    assert_eq!(s.sends_some("ACK "), ack);
    s.no_event();
}

#[test]
fn an_invite_without_offer_is_answered_by_the_ack_of_our_2xx() {
    let mut s = Script::new();
    s.recv(&INVITE_IN.replace("    Content-Type: application/sdp\n\n    v=0", ""));
    let Event::Incoming { call, offer, .. } = s.event() else {
        panic!("a call");
    };
    assert_eq!(offer, None);
    s.ua.answer(s.now, call, Some(Body::sdp("v=0\r\n"))).unwrap();
    s.sends_some("SIP/2.0 100");
    s.sends(OK_OUT);
    s.recv(&format!("{ACK_IN}\n    Content-Type: application/sdp\n\n    v=7"));
    assert_eq!(
        s.event(),
        Event::Confirmed {
            call,
            body: Some(Body::sdp("v=7\r\n"))
        }
    );
}

#[test]
fn a_re_invite_of_the_peer_is_a_reoffer_and_moves_the_target() {
    let (mut s, call) = taken();
    let reinvite = "
        INVITE sip:bob@192.0.2.1:5060 SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKre1
        Max-Forwards: 70
        From: Alice <sip:alice@b.test>;tag=9fxced76sl
        To: Bob <sip:bob@a.test>;tag={tag}
        Call-ID: 3848276298220188511@b.test
        CSeq: 2 INVITE
        Contact: <sip:alice@192.0.2.9:5099>
        Content-Type: application/sdp

        a=sendonly";
    s.recv(reinvite);
    s.sends_some("SIP/2.0 100");
    assert_eq!(
        s.event(),
        Event::Reoffer {
            call,
            body: Some(Body::sdp("a=sendonly\r\n"))
        }
    );
    s.ua.accept_reoffer(s.now, call, Some(Body::sdp("a=recvonly\r\n")))
        .unwrap();
    assert!(s.sends_some("SIP/2.0 200 OK").ends_with("\r\n\r\na=recvonly\r\n"));
    s.recv(&ACK_IN.replace("1 ACK", "2 ACK").replace("74bd5", "re2"));
    s.event();
    s.ua.hang_up(s.now, call, EndReason::HungUp).unwrap();
    s.drain();
    let (to, _, bye) = s.take_sent().remove(0);
    assert!(bye.starts_with("BYE sip:alice@192.0.2.9:5099 SIP/2.0"));
    assert_eq!(to.port(), 5099);
}

#[test]
fn our_re_invite_and_its_refusal() {
    let (mut s, call) = answered();
    for (status, body) in [
        ("200 OK", Some(Body::sdp("v=0\r\n"))),
        ("488 Not Acceptable Here", None),
    ] {
        s.ua.reinvite(s.now, call, Some(Body::sdp("v=2\r\n"))).unwrap();
        let sent = s.sends_some("INVITE sip:bob@192.0.2.9:5070 SIP/2.0");
        let line = |name: &str| sent.lines().find(|l| l.starts_with(name)).unwrap().to_owned();
        let more = if body.is_some() { CONTACT_AND_SDP } else { "" };
        let answer = format!(
            "SIP/2.0 {status}\n{}\n{}\n{}\n{}\n{}\n{more}",
            line("Via"),
            line("From"),
            line("To"),
            line("Call-ID"),
            line("CSeq")
        );
        s.recv(answer.trim_end());
        s.sends_some("ACK ");
        let code = status[..3].parse().unwrap();
        assert_eq!(
            s.event(),
            Event::ReofferResult {
                call,
                status: code,
                body
            }
        );
    }
    assert_eq!(s.ua.calls(), 1);
}

#[test]
fn info_with_digits_is_answered_and_told() {
    let (mut s, call) = taken();
    let info = "
        INFO sip:bob@192.0.2.1:5060 SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKi1
        Max-Forwards: 70
        From: Alice <sip:alice@b.test>;tag=9fxced76sl
        To: Bob <sip:bob@a.test>;tag={tag}
        Call-ID: 3848276298220188511@b.test
        CSeq: 2 INFO
        Content-Type: application/dtmf-relay

        Signal=5";
    s.recv(info);
    s.sends_some("SIP/2.0 200 OK");
    let Event::Info { call: of, body } = s.event() else {
        panic!("INFO");
    };
    assert_eq!((of, &body.data[..]), (call, &b"Signal=5\r\n"[..]));
    s.recv(
        &info
            .replace("dtmf-relay", "x-unknown")
            .replace("2 INFO", "3 INFO")
            .replace("KI1", "Ki2")
            .replace("bKi1", "bKi2"),
    );
    let refused = s.sends_some("SIP/2.0 415");
    assert!(refused.contains("Accept: application/dtmf-relay, application/dtmf"));
    s.no_event();
    s.ua.info(s.now, call, body).unwrap();
    assert!(
        s.sends_some("INFO sip:alice@192.0.2.9 SIP/2.0")
            .ends_with("Signal=5\r\n")
    );
}
