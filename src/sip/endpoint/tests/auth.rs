//! Digest on either side.

use base::EndReason;

use super::call::{INVITE_IN, INVITE_OUT, invite, response};
use super::script::{Script, uri};
use crate::auth::Credentials;
use crate::endpoint::{Event, OutOfDialog};
use crate::msg::{Method, Request};
use crate::{Message, parse_datagram};

fn read(text: &str) -> Request {
    match parse_datagram(text.as_bytes()).unwrap() {
        Message::Request(r) => r,
        Message::Response(_) => panic!("a request"),
    }
}

/// The text of an INVITE that answers the 401 in `refusal`, from a client of our own.
pub(super) fn with_answer(request: &str, refusal: &str, password: &str) -> String {
    let plain: Vec<&str> = request.trim().lines().map(str::trim).collect();
    let (head, body) = plain.split_at(plain.iter().position(|l| l.is_empty()).unwrap_or(plain.len()));
    let mut req = read(&format!("{}\r\n\r\n{}", head.join("\r\n"), body.join("")));
    let Message::Response(res) = parse_datagram(refusal.as_bytes()).unwrap() else {
        panic!("a response");
    };
    let credentials = Credentials::new("alice", password);
    crate::auth::answer(&mut req, &res, &credentials, &mut base::Rng::new(9)).unwrap();
    let answer = req.headers.get(&crate::HeaderName::Authorization).unwrap();
    let method = req.method.as_str();
    request
        .replace("CSeq: 1 ", "CSeq: 2 ")
        .replace("branch=z9hG4bK", "branch=z9hG4bKretry")
        .replace(
            &format!("2 {method}\n"),
            &format!("2 {method}\nAuthorization: {answer}\n"),
        )
}

#[test]
fn we_answer_a_challenge_once() {
    let mut s = Script::new();
    let mut what = invite();
    what.credentials = Some(Credentials::new("alice", "secret"));
    s.ua.invite(s.now, what).unwrap();
    s.sends(INVITE_OUT);
    let ask = "Proxy-Authenticate: Digest realm=\"p\", nonce=\"n1\", qop=\"auth\", algorithm=SHA-256
        Proxy-Authenticate: Digest realm=\"p\", nonce=\"n1\", qop=\"auth\", algorithm=MD5
        WWW-Authenticate: Digest realm=\"w\", nonce=\"n2\"";
    s.recv(&response("407 Proxy Authentication Required", "p1", ask));
    s.sends_some("ACK ");
    let again = s.sends_some("INVITE ");
    let req = read(&again);
    let proxy: Vec<_> = req
        .headers
        .get_all(&crate::HeaderName::ProxyAuthorization)
        .collect();
    let www: Vec<_> = req.headers.get_all(&crate::HeaderName::Authorization).collect();
    assert_eq!((proxy.len(), www.len()), (1, 1), "both asked, both answered");
    assert!(proxy[0].contains("algorithm=SHA-256"), "the stronger one");
    assert!(www[0].contains("realm=\"w\""));
    assert_eq!(req.headers.to().unwrap().tag(), None);
    s.no_event();
    // Asked again for the same: the password is wrong.
    let line = |name: &str| again.lines().find(|l| l.starts_with(name)).unwrap().to_owned();
    let refusal = format!(
        "SIP/2.0 407 Proxy Authentication Required\n{}\n{}\n{};tag=p1\n{}\n{}\n{}",
        line("Via"),
        line("From"),
        line("To"),
        line("Call-ID"),
        line("CSeq"),
        ask.replace("n1", "n9"),
    );
    s.recv(&refusal);
    assert_eq!(s.take_first_lines(), ["ACK sip:bob@192.0.2.9 SIP/2.0"]);
    assert!(matches!(
        s.event(),
        Event::Failed {
            status: 407,
            local: false,
            ..
        }
    ));
    s.leaves_nothing();
}

#[test]
fn a_stale_nonce_is_answered_again_and_later_requests_are_signed_at_once() {
    let mut s = Script::new();
    let mut what = invite();
    what.credentials = Some(Credentials::new("alice", "secret"));
    let call = s.ua.invite(s.now, what).unwrap();
    let mut sent = s.sends_some("INVITE ");
    for (i, stale) in ["", ", stale=true"].iter().enumerate() {
        let line = |name: &str| sent.lines().find(|l| l.starts_with(name)).unwrap().to_owned();
        let refusal = format!(
            "SIP/2.0 401 Unauthorized\n{}\n{}\n{};tag=p1\n{}\n{}\nWWW-Authenticate: Digest realm=\"w\", nonce=\"n{i}\", qop=\"auth\"{stale}",
            line("Via"),
            line("From"),
            line("To"),
            line("Call-ID"),
            line("CSeq"),
        );
        s.recv(&refusal);
        s.sends_some("ACK ");
        sent = s.sends_some("INVITE ");
        assert!(sent.contains(&format!("nonce=\"n{i}\"")));
    }
    let line = |name: &str| sent.lines().find(|l| l.starts_with(name)).unwrap().to_owned();
    s.recv(&format!(
        "SIP/2.0 200 OK\n{}\n{}\n{};tag=b1\n{}\n{}\nContact: <sip:bob@192.0.2.9>",
        line("Via"),
        line("From"),
        line("To"),
        line("Call-ID"),
        line("CSeq"),
    ));
    let ack = s.sends_some("ACK ");
    assert!(
        ack.contains(&line("Authorization")),
        "the ACK has the INVITE's credentials"
    );
    s.ua.hang_up(s.now, call, EndReason::HungUp).unwrap();
    let bye = read(&s.sends_some("BYE "));
    let sent = bye.headers.get(&crate::HeaderName::Authorization).unwrap();
    assert!(
        sent.contains("nc=00000002") && sent.contains("nonce=\"n1\""),
        "{sent}"
    );
}

#[test]
fn without_credentials_a_challenge_is_a_failure() {
    let mut s = Script::new();
    s.ua.invite(s.now, invite()).unwrap();
    s.sends(INVITE_OUT);
    let ask = "WWW-Authenticate: Digest realm=\"w\", nonce=\"n2\"";
    s.recv(&response("401 Unauthorized", "p1", ask));
    assert!(matches!(s.event(), Event::Failed { status: 401, .. }));
}

#[test]
fn the_user_demands_credentials_and_gets_a_name() {
    let mut s =
        Script::with(|c| c.digest = vec![crate::auth::Algorithm::Sha256, crate::auth::Algorithm::Md5]);
    s.recv(INVITE_IN);
    let Event::Incoming { call, user: None, .. } = s.event() else {
        panic!("an unknown caller");
    };
    s.ua.challenge(s.now, call).unwrap();
    s.sends_some("SIP/2.0 100");
    let refusal = s.sends_some("SIP/2.0 401");
    let offered: Vec<_> = refusal
        .lines()
        .filter(|l| l.starts_with("WWW-Authenticate"))
        .collect();
    assert_eq!(offered.len(), 2);
    assert!(offered[0].contains("algorithm=SHA-256") && offered[1].contains("algorithm=MD5"));
    assert!(matches!(
        s.event(),
        Event::Ended {
            reason: EndReason::Unauthorized,
            ..
        }
    ));
    s.recv(&with_answer(INVITE_IN, &refusal, "secret"));
    let Event::Incoming { user, .. } = s.event() else {
        panic!("a call");
    };
    assert_eq!(user.as_deref(), Some("alice"));
}

#[test]
fn wrong_passwords_are_challenged_and_then_ignored() {
    let mut s = Script::with(|c| {
        c.guard.offences = 3;
        c.guard.ban = std::time::Duration::from_secs(60);
    });
    s.recv(INVITE_IN);
    let Event::Incoming { call, .. } = s.event() else {
        panic!("a call");
    };
    s.ua.challenge(s.now, call).unwrap();
    s.sends_some("SIP/2.0 100");
    let refusal = s.sends_some("SIP/2.0 401");
    s.event();
    let wrong = with_answer(INVITE_IN, &refusal, "guess");
    s.recv(&wrong);
    s.sends_some("SIP/2.0 401");
    s.recv(&wrong.replace("retry", "retry2").replace("CSeq: 2", "CSeq: 3"));
    s.sends_some("SIP/2.0 401");
    assert!(matches!(s.event(), Event::Banned { .. }));
    // Now even the right one, for a minute.
    let right = with_answer(INVITE_IN, &refusal, "secret").replace("CSeq: 2", "CSeq: 4");
    s.recv(&right.replace("retry", "retry3"));
    s.take_sent();
    s.no_event();
    s.wait(61_000);
    s.take_sent();
    s.recv(&right.replace("retry", "retry4"));
    assert!(matches!(s.event(), Event::Incoming { user: Some(_), .. }));
}

#[test]
fn a_message_is_told_and_may_be_challenged() {
    let message = "
        MESSAGE sip:bob@a.test SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKm1
        Max-Forwards: 70
        From: <sip:alice@a.test>;tag=1
        To: <sip:bob@a.test>
        Call-ID: m1
        CSeq: 1 MESSAGE
        Content-Type: text/plain

        hello";
    let mut s = Script::new();
    s.recv(message);
    s.sends_nothing();
    let Event::Message {
        request,
        user: None,
        body,
        ..
    } = s.event()
    else {
        panic!("a message");
    };
    assert_eq!(body.unwrap().data, b"hello\r\n");
    s.ua.respond_message(s.now, request, 401).unwrap();
    let refusal = s.sends_some("SIP/2.0 401");
    s.recv(&with_answer(message, &refusal, "secret"));
    let Event::Message { request, user, .. } = s.event() else {
        panic!("a message");
    };
    assert_eq!(user.as_deref(), Some("alice"));
    s.ua.respond_message(s.now, request, 200).unwrap();
    s.sends_some("SIP/2.0 200");
    assert!(s.ua.respond_message(s.now, request, 200).is_err());
    s.leaves_nothing();
}

#[test]
fn probes_and_messages_of_ours_have_results() {
    for (method, status) in [
        (Method::Options, Some("200 OK")),
        (Method::Message, Some("404 Not Found")),
        (Method::Options, None),
    ] {
        let mut s = Script::new();
        let what = OutOfDialog {
            target: uri("sip:192.0.2.9"),
            from: super::script::name("<sip:gw@a.test>"),
            route: Vec::new(),
            flow: None,
            body: None,
            credentials: None,
        };
        let handle = match method {
            Method::Options => s.ua.options(s.now, what),
            _ => s.ua.message(s.now, what),
        };
        let sent = s.sends_some(method.as_str());
        assert_eq!(sent.contains("Contact:"), method == Method::Options);
        match status {
            Some(status) => {
                let line = |name: &str| sent.lines().find(|l| l.starts_with(name)).unwrap().to_owned();
                s.recv(&format!(
                    "SIP/2.0 {status}\n{}\n{}\n{};tag=b1\n{}\n{}",
                    line("Via"),
                    line("From"),
                    line("To"),
                    line("Call-ID"),
                    line("CSeq"),
                ));
            }
            None => {
                s.wait(32_000);
            }
        }
        let expected = status.map_or(408, |s| s[..3].parse().unwrap());
        let request = handle.unwrap();
        assert_eq!(
            s.event(),
            Event::RequestResult {
                request,
                status: expected,
                peer: status.map(|_| super::script::addr(super::script::PEER)),
            }
        );
        s.take_sent();
        s.leaves_nothing();
    }
}

#[test]
fn a_challenge_over_tcp_is_answered_there() {
    let mut s = Script::new();
    s.transport = crate::Transport::Tcp;
    let mut what = invite();
    what.target = uri("sip:bob@192.0.2.9;transport=tcp");
    what.credentials = Some(Credentials::new("alice", "secret"));
    s.ua.invite(s.now, what).unwrap();
    let sent = s.sends_some("INVITE ");
    let line = |name: &str| sent.lines().find(|l| l.starts_with(name)).unwrap().to_owned();
    s.recv(&format!(
        "SIP/2.0 401 Unauthorized\n{}\n{}\n{};tag=p1\n{}\n{}\nWWW-Authenticate: Digest realm=\"w\", nonce=\"n\"",
        line("Via"),
        line("From"),
        line("To"),
        line("Call-ID"),
        line("CSeq"),
    ));
    let sent = s.take_sent();
    assert!(sent[0].2.starts_with("ACK "));
    assert!(sent[1].2.starts_with("INVITE ") && sent[1].2.contains("\r\nAuthorization: "));
    assert_eq!((sent[1].0, sent[1].1), (s.peer, crate::Transport::Tcp));
    s.no_event();
}
