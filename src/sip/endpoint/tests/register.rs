//! REGISTER both ways.

use base::ConnId;

use super::auth::with_answer;
use super::script::{Script, addr, name, uri};
use crate::Transport;
use crate::auth::Credentials;
use crate::endpoint::{Event, Registration};

const REGISTER: &str = "
    REGISTER sip:a.test SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKr1
    Max-Forwards: 70
    From: <sip:alice@a.test>;tag=1
    To: <sip:alice@a.test>
    Call-ID: r1
    CSeq: 1 REGISTER
    Contact: <sip:alice@192.0.2.9:5070>
    Expires: 60";

/// RFC 3665 §2.1.
#[test]
fn a_phone_registers() {
    let mut s = Script::new();
    s.recv(REGISTER);
    let refusal = s.sends_some("SIP/2.0 401 Unauthorized");
    s.recv(&with_answer(REGISTER, &refusal, "secret"));
    s.sends(
        "SIP/2.0 200 OK
        Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKretryr1
        From: <sip:alice@a.test>;tag=1
        To: <sip:alice@a.test>;tag={tag}
        Call-ID: r1
        CSeq: 2 REGISTER
        Contact: <sip:alice@192.0.2.9:5070>;expires=60
        Server: flashgate
        Content-Length: 0",
    );
    let Event::BindingsChanged { aor, bindings } = s.event() else {
        panic!("a binding");
    };
    assert_eq!((aor.as_str(), bindings.len()), ("alice@a.test", 1));
    assert_eq!(bindings[0].flow, Some(s.source()));
    // Whatever name of ours is used, the address of record is the same.
    assert_eq!(s.ua.aor(&uri("sip:alice@192.0.2.1")), Some(aor.clone()));
    assert_eq!(
        s.ua.aor(&uri("sip:alice@A.TEST;transport=tcp")),
        Some(aor.clone())
    );
    assert_eq!(s.ua.aor(&uri("sip:alice@b.test")), None);
    assert_eq!(s.ua.bindings(s.now, &aor), bindings);
    s.wait(59_000);
    s.no_event();
    s.wait(1_000);
    assert_eq!(
        s.event(),
        Event::BindingsChanged {
            aor,
            bindings: Vec::new()
        }
    );
    s.leaves_nothing();
}

#[test]
fn a_call_to_a_phone_behind_nat_takes_its_flow() {
    let mut s = Script::new();
    s.transport = Transport::Tcp;
    s.peer = addr("203.0.113.5:61000");
    s.conn = Some(ConnId(5));
    let register = REGISTER
        .replace("/UDP", "/TCP")
        .replace("192.0.2.9:5070", "10.0.0.3:5060;transport=tcp");
    s.recv(&register);
    let refusal = s.sends_some("SIP/2.0 401");
    s.recv(&with_answer(&register, &refusal, "secret"));
    s.sends_some("SIP/2.0 200");
    let Event::BindingsChanged { bindings, .. } = s.event() else {
        panic!("a binding");
    };
    let mut invite = super::call::invite();
    invite.target = bindings[0].target.clone();
    invite.flow = bindings[0].flow;
    s.ua.invite(s.now, invite).unwrap();
    let Some(crate::Output::Send {
        conn, remote, bytes, ..
    }) = s.ua.poll_output()
    else {
        panic!("a message");
    };
    assert_eq!((conn, remote), (s.conn, s.peer));
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.starts_with("INVITE sip:alice@10.0.0.3:5060;transport=tcp SIP/2.0\r\nVia: SIP/2.0/TCP "));
    // The connection closes: the binding and the call are gone.
    s.ua.handle_conn_closed(s.now, ConnId(5), s.peer);
    let mut gone = [false; 2];
    while let Some(out) = s.ua.poll_output() {
        match out {
            crate::Output::Event(Event::BindingsChanged { bindings, .. }) => gone[0] = bindings.is_empty(),
            crate::Output::Event(Event::Failed { status: 503, .. }) => gone[1] = true,
            // The last hope is the address itself.
            crate::Output::Send { id, conn, remote, .. } => {
                assert_eq!((conn, remote), (None, addr("10.0.0.3:5060")));
                s.ua.handle_send_failed(s.now, id);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(gone, [true; 2]);
}

#[test]
fn nobody_registers_for_another_or_elsewhere() {
    let mut s = Script::new();
    s.recv(REGISTER);
    let refusal = s.sends_some("SIP/2.0 401");
    let other = with_answer(REGISTER, &refusal, "secret").replace("To: <sip:alice", "To: <sip:bob");
    s.recv(&other);
    s.sends_some("SIP/2.0 403");
    s.recv(
        &REGISTER
            .replace("REGISTER sip:a.test", "REGISTER sip:b.test")
            .replace("r1", "r7"),
    );
    s.sends_some("SIP/2.0 404");
    s.no_event();
    let mut s = Script::with(|c| c.registrar = false);
    s.recv(REGISTER);
    s.sends_some("SIP/2.0 405");
}

#[test]
fn too_brief_is_said_so() {
    let mut s = Script::new();
    let brief = REGISTER.replace("Expires: 60", "Expires: 3");
    s.recv(&brief);
    let refusal = s.sends_some("SIP/2.0 401");
    s.recv(&with_answer(&brief, &refusal, "secret"));
    assert!(s.sends_some("SIP/2.0 423").contains("Min-Expires: 30\r\n"));
    s.no_event();
}

fn registration() -> Registration {
    Registration {
        registrar: uri("sip:192.0.2.9"),
        aor: name("<sip:gw@b.test>"),
        user: "gw".to_owned(),
        route: Vec::new(),
        credentials: Some(Credentials::new("gw", "pw")),
        expires: 300,
    }
}

/// The peer answers the REGISTER in `sent`.
fn answer(s: &mut Script, sent: &str, status: &str, more: &str) {
    let line = |name: &str| sent.lines().find(|l| l.starts_with(name)).unwrap().to_owned();
    let text = format!(
        "SIP/2.0 {status}\n{}\n{}\n{};tag=r\n{}\n{}\n{more}",
        line("Via"),
        line("From"),
        line("To"),
        line("Call-ID"),
        line("CSeq"),
    );
    s.recv(text.trim_end());
}

/// RFC 3665 §2.1 and §2.2, the phone's side, and §2.4.
#[test]
fn we_register_refresh_and_leave() {
    let mut s = Script::new();
    let registration = s.ua.register(s.now, registration()).unwrap();
    let sent = s.sends_some("REGISTER sip:192.0.2.9 SIP/2.0");
    assert!(sent.contains("Contact: <sip:gw@192.0.2.1:5060>;expires=300\r\n"));
    let ask = "WWW-Authenticate: Digest realm=\"b.test\", nonce=\"n\", qop=\"auth\"";
    answer(&mut s, &sent, "401 Unauthorized", ask);
    let sent = s.sends_some("REGISTER ");
    assert!(sent.contains("Authorization: Digest username=\"gw\""));
    let ok = "Contact: <sip:other@192.0.2.7>;expires=7, <sip:gw@192.0.2.1:5060>;expires=200";
    answer(&mut s, &sent, "200 OK", ok);
    assert_eq!(
        s.event(),
        Event::Registered {
            registration,
            expires: 200,
            peer: Some(addr(super::script::PEER)),
            service_route: Vec::new(),
        }
    );
    s.wait(169_000);
    s.sends_nothing();
    s.wait(1_000);
    let again = s.sends_some("REGISTER ");
    let call_id = |t: &str| t.lines().find(|l| l.starts_with("Call-ID")).unwrap().to_owned();
    assert_eq!(call_id(&again), call_id(&sent));
    assert!(again.contains("nc=00000002"), "signed before it is asked");
    answer(&mut s, &again, "200 OK", "Expires: 300");
    assert_eq!(
        s.event(),
        Event::Registered {
            registration,
            expires: 300,
            peer: Some(addr(super::script::PEER)),
            service_route: Vec::new(),
        }
    );
    s.ua.unregister(s.now, registration).unwrap();
    let leave = s.sends_some("REGISTER ");
    assert!(leave.contains(";expires=0\r\n") && leave.contains("Expires: 0\r\n"));
    answer(&mut s, &leave, "200 OK", "");
    assert_eq!(s.event(), Event::Unregistered { registration });
    assert!(s.ua.unregister(s.now, registration).is_err());
    s.leaves_nothing();
}

#[test]
fn failures_are_tried_again_later_and_later() {
    let mut s = Script::new();
    let registration = s.ua.register(s.now, registration()).unwrap();
    let mut last = 0;
    for round in 0..4 {
        let sent = s.sends_some("REGISTER ");
        let more = if round == 3 { "Retry-After: 1000" } else { "" };
        answer(&mut s, &sent, "500 Server Internal Error", more);
        let Event::RegisterFailed {
            status: 500, retry, ..
        } = s.event()
        else {
            panic!("a failure");
        };
        let base = 30 << round;
        assert!(
            retry >= base / 2 && (retry <= base || retry == 1000),
            "{round}: {retry}"
        );
        assert!(retry > last / 2);
        last = retry;
        s.wait(u64::from(retry) * 1_000 - 1);
        s.sends_nothing();
        s.wait(1);
    }
    assert_eq!(last, 1000);
    let sent = s.sends_some("REGISTER ");
    answer(&mut s, &sent, "423 Interval Too Brief", "Min-Expires: 1800");
    let sent = s.sends_some("REGISTER ");
    assert!(sent.contains(";expires=1800\r\n"));
    let more = "Expires: 1800\nService-Route: <sip:edge.b.test;lr>, <sip:core.b.test;lr>";
    answer(&mut s, &sent, "200 OK", more);
    assert_eq!(
        s.event(),
        Event::Registered {
            registration,
            expires: 1800,
            peer: Some(addr(super::script::PEER)),
            service_route: vec![uri("sip:edge.b.test;lr"), uri("sip:core.b.test;lr")],
        }
    );
    s.wait(1_619_000).sends_nothing();
    s.wait(1_000);
    s.sends_some("REGISTER ");
    // Nobody there any more: 32 s of trying, then the wait.
    s.wait(32_000);
    s.take_sent();
    assert!(matches!(s.event(), Event::RegisterFailed { status: 408, .. }));
}
