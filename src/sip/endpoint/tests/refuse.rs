//! What is refused, and how (RFC 3261 §8.2).

use super::call::{ACK_IN, INVITE_IN, incoming};
use super::script::{Script, addr};
use crate::endpoint::Event;

fn request(method: &str, more: &str) -> String {
    format!(
        "{method} sip:bob@a.test SIP/2.0
        Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKq1
        Max-Forwards: 70
        From: <sip:alice@b.test>;tag=1
        To: <sip:bob@a.test>
        Call-ID: q1
        CSeq: 1 {method}
        {more}"
    )
    .trim_end()
    .to_owned()
}

#[test]
fn options_is_answered_with_what_we_can() {
    let mut s = Script::new();
    // Even when no hop is left: we are the target.
    s.recv(&request("OPTIONS", "Accept: application/sdp").replace("Forwards: 70", "Forwards: 0"));
    s.sends(
        "SIP/2.0 200 OK
        Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKq1
        From: <sip:alice@b.test>;tag=1
        To: <sip:bob@a.test>;tag={tag}
        Call-ID: q1
        CSeq: 1 OPTIONS
        Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, MESSAGE, PRACK, UPDATE, REFER, NOTIFY, REGISTER
        Supported: 100rel, timer, replaces, norefersub
        Accept: application/sdp
        Accept-Encoding: identity
        Accept-Language: en
        Server: flashgate
        Content-Length: 0",
    );
    s.leaves_nothing();
}

#[test]
fn each_fault_has_its_status() {
    let dialog = "bob@a.test>;tag=never";
    let cases: &[(&str, &str, &str, String)] = &[
        (
            "an unknown method",
            "501",
            "Allow: INVITE",
            request("FROBNICATE", ""),
        ),
        (
            "a known method we do not serve",
            "405",
            "Allow: INVITE",
            request("PUBLISH", ""),
        ),
        ("CANCEL of nothing", "481", "", request("CANCEL", "")),
        (
            "BYE of no dialog",
            "481",
            "",
            request("BYE", "").replace("bob@a.test>", dialog),
        ),
        (
            "INVITE of no dialog",
            "481",
            "",
            INVITE_IN.replace("bob@a.test>", dialog),
        ),
        ("BYE without tag", "481", "", request("BYE", "")),
        (
            "an unknown extension",
            "420",
            "Unsupported: no-such-extension",
            INVITE_IN.replace("CSeq", "Require: no-such-extension\nCSeq"),
        ),
        (
            "an unknown scheme",
            "416",
            "",
            request("OPTIONS", "").replace("OPTIONS sip:bob@a.test", "OPTIONS nobody:x"),
        ),
        (
            "another version",
            "505",
            "",
            request("OPTIONS", "").replace("a.test SIP/2.0", "a.test SIP/7.0"),
        ),
        (
            "a body that is no SDP",
            "415",
            "Accept: application/sdp",
            INVITE_IN.replace("application/sdp", "text/plain"),
        ),
        (
            "an encoded body",
            "415",
            "Accept-Encoding: identity",
            INVITE_IN.replace("Content-Type", "Content-Encoding: gzip\nContent-Type"),
        ),
        (
            "no hop left",
            "483",
            "",
            INVITE_IN.replace("Forwards: 70", "Forwards: 0"),
        ),
        (
            "no Contact",
            "400",
            "",
            INVITE_IN.replace("Contact: <sip:alice@192.0.2.9>\n", ""),
        ),
        (
            "no To",
            "400",
            "",
            request("OPTIONS", "").replace("To: <sip:bob@a.test>\n", ""),
        ),
    ];
    for (what, status, field, text) in cases {
        let mut s = Script::new();
        s.recv(text);
        let got = s.sends_some("SIP/2.0 ");
        assert!(got.starts_with(&format!("SIP/2.0 {status} ")), "{what}: {got}");
        assert!(got.contains(field), "{what}: {got}");
        s.no_event();
        s.leaves_nothing();
    }
}

#[test]
fn a_body_said_to_be_optional_is_ignored() {
    let mut s = Script::new();
    let text = INVITE_IN.replace("application/sdp", "text/plain").replace(
        "Content-Type",
        "Content-Disposition: render; handling = optional\nContent-Type",
    );
    s.recv(&text);
    assert!(matches!(s.event(), Event::Incoming { offer: None, .. }));
}

#[test]
fn an_ack_out_of_the_blue_is_dropped() {
    let mut s = Script::new();
    s.recv(&ACK_IN.replace("{tag}", "x"));
    s.recv(&ACK_IN.replace(";tag={tag}", ""));
    s.sends_nothing();
    s.leaves_nothing();
}

#[test]
fn a_full_house_answers_503_without_keeping_anything() {
    let mut s = Script::with(|c| c.limits.transactions = 1);
    incoming(&mut s);
    s.take_sent();
    s.recv(&request("OPTIONS", ""));
    assert!(s.sends_some("SIP/2.0 503").contains("Retry-After: "));
    assert_eq!(s.ua.transactions(), 1);

    let mut s = Script::with(|c| c.limits.calls = 0);
    s.recv(INVITE_IN);
    assert!(s.sends_some("SIP/2.0 503").contains("Retry-After: "));
    s.no_event();

    let mut s = Script::with(|c| c.limits.body = 3);
    s.recv(INVITE_IN);
    s.sends_some("SIP/2.0 513");
}

#[test]
fn responses_go_where_rport_and_via_say() {
    // A port in Via, another in fact: without rport the Via's, at the address in fact (RFC 3261 §18.2.2).
    let mut s = Script::new();
    s.peer = addr("198.51.100.7:4444");
    s.recv(&request("OPTIONS", "").replace("192.0.2.9:5060", "192.0.2.9:5099"));
    let (to, _, text) = s.take_sent().remove(0);
    assert_eq!(to, addr("198.51.100.7:5099"));
    assert!(text.contains("Via: SIP/2.0/UDP 192.0.2.9:5099;branch=z9hG4bKq1;received=198.51.100.7\r\n"));
    // With rport the port in fact (RFC 3581 §4).
    let mut s = Script::new();
    s.peer = addr("198.51.100.7:4444");
    s.recv(&request("OPTIONS", "").replace("bKq1", "bKq1;rport"));
    let (to, _, text) = s.take_sent().remove(0);
    assert_eq!(to, s.peer);
    assert!(
        text.contains(";branch=z9hG4bKq1;rport=4444;received=198.51.100.7\r\n"),
        "{text}"
    );
    // Without a port the default one.
    let mut s = Script::new();
    s.recv(&request("OPTIONS", "").replace("192.0.2.9:5060", "192.0.2.9"));
    assert_eq!(s.take_sent()[0].0, addr("192.0.2.9:5060"));
}

#[test]
fn over_tcp_the_response_takes_the_connection_or_else_a_new_one() {
    let mut s = Script::new();
    s.transport = crate::Transport::Tcp;
    s.peer = addr("192.0.2.9:40001");
    s.conn = Some(base::ConnId(3));
    let source = s.source();
    let text = request("OPTIONS", "")
        .replace("/UDP", "/TCP")
        .replace("\n        ", "\r\n")
        + "\r\nContent-Length: 0\r\n\r\n";
    s.ua.handle_message(s.now, source, crate::parse_datagram(text.as_bytes()));
    let Some(crate::Output::Send { id, conn, remote, .. }) = s.ua.poll_output() else {
        panic!("a response");
    };
    assert_eq!((conn, remote), (s.conn, s.peer));
    s.ua.handle_send_failed(s.now, id);
    // The transaction of a reliable transport ended with its response: nothing is left to send again.
    assert_eq!(s.ua.poll_output(), None);

    let mut s = Script::new();
    s.transport = crate::Transport::Tcp;
    s.peer = addr("192.0.2.9:40001");
    s.conn = Some(base::ConnId(3));
    let text = INVITE_IN
        .replace("/UDP", "/TCP")
        .replace("192.0.2.9>", "192.0.2.9;transport=tcp>");
    s.recv(&text);
    let Event::Incoming { call, .. } = s.event() else {
        panic!("a call");
    };
    s.take_sent();
    s.ua.handle_conn_closed(s.now, base::ConnId(3), s.peer);
    s.ua.provisional(s.now, call, 180, None).unwrap();
    let Some(crate::Output::Send { conn, remote, .. }) = s.ua.poll_output() else {
        panic!("a response");
    };
    assert_eq!((conn, remote), (None, addr("192.0.2.9:5060")));
}

#[test]
fn rfc_2543_clients_are_recognised_without_branch() {
    let mut s = Script::new();
    let old = INVITE_IN.replace(";branch=z9hG4bK74bf9", "");
    s.recv(&old);
    let Event::Incoming { call, .. } = s.event() else {
        panic!("a call");
    };
    s.take_sent();
    s.recv(&old);
    assert_eq!(s.take_first_lines(), ["SIP/2.0 100 Trying"]);
    s.ua.refuse(s.now, call, 486, None, Vec::new()).unwrap();
    s.take_sent();
    s.recv(
        &ACK_IN
            .replace("{tag}", "x")
            .replace(";branch=z9hG4bK74bd5", "")
            .replace("ACK sip:bob@192.0.2.1:5060", "ACK sip:bob@a.test"),
    );
    s.wait(20_000).sends_nothing();
    s.leaves_nothing();
}

#[test]
fn noise_is_dropped() {
    let mut s = Script::new();
    for noise in [
        &b"\r\n\r\n"[..],
        b"",
        b"\0\0\0\0",
        b"hello",
        b"SIP/2.0 200 OK\r\n\r\n",
        &[0xff; 600],
    ] {
        s.recv_raw(noise);
    }
    s.sends_nothing();
    s.leaves_nothing();
}
