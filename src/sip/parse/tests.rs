//! Ordinary and odd messages.

use super::*;
use crate::header::HeaderName;
use crate::msg::{Method, Request, Response};

const INVITE: &str = "INVITE sip:bob@biloxi.example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bKnashds8\r\n\
    Max-Forwards: 70\r\n\
    To: Bob <sip:bob@biloxi.example.com>\r\n\
    From: Alice <sip:alice@atlanta.com>;tag=1928301774\r\n\
    Call-ID: a84b4c76e66710\r\n\
    CSeq: 314159 INVITE\r\n\
    Contact: <sip:alice@pc33.atlanta.com>\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 4\r\n\r\nv=0\n";

fn request(bytes: &[u8]) -> Request {
    match parse_datagram(bytes) {
        Ok(Message::Request(r)) => r,
        other => panic!("{other:?}"),
    }
}

fn with(field: &str) -> String {
    INVITE.replacen("\r\nContact", &format!("\r\n{field}\r\nContact"), 1)
}

#[test]
fn reads_an_invite() {
    let r = request(INVITE.as_bytes());
    assert_eq!(r.method, Method::Invite);
    assert_eq!(r.uri.to_string(), "sip:bob@biloxi.example.com");
    let from = r.headers.from().unwrap();
    assert_eq!(from.display.as_deref(), Some("Alice"));
    assert_eq!(from.tag(), Some("1928301774"));
    assert_eq!(r.headers.cseq().unwrap().seq, 314_159);
    assert_eq!(r.headers.via_top().unwrap().branch(), Some("z9hG4bKnashds8"));
    assert!(r.headers.content_type().unwrap().is("application", "sdp"));
    assert_eq!(r.body, b"v=0\n");
}

#[test]
fn written_messages_read_back_the_same() {
    let mut r = request(INVITE.as_bytes());
    r.headers.remove_all(&HeaderName::ContentLength);
    let mut again = request(&r.to_bytes());
    again.headers.remove_all(&HeaderName::ContentLength);
    assert_eq!(r, again);
}

#[test]
fn a_response_copies_what_it_must() {
    let r = request(with("Record-Route: <sip:p1;lr>, <sip:p2;lr>").as_bytes());
    let ok = Response::to_request(&r, 200, None);
    assert_eq!(ok.reason, "OK");
    assert_eq!(ok.headers.record_routes().unwrap().len(), 2);
    assert_eq!(ok.headers.call_id(), r.headers.call_id());
    assert!(
        !Response::to_request(&r, 486, None)
            .headers
            .has(&HeaderName::RecordRoute)
    );
    assert!(matches!(parse_datagram(&ok.to_bytes()), Ok(Message::Response(r)) if r.status == 200));
}

#[test]
fn values_cannot_begin_a_new_line() {
    let mut r = request(INVITE.as_bytes());
    r.headers.set(HeaderName::Subject, "hello\r\nEvil: yes");
    let again = request(&r.to_bytes());
    assert!(!again.headers.has(&"Evil".into()));
}

#[test]
fn a_fault_is_answered_when_via_is_readable() {
    let e = parse_datagram(INVITE.replace("314159 INVITE", "314159 BYE").as_bytes()).unwrap_err();
    assert_eq!(e.error, Error::CSeqMethod);
    let reply = e.reply().unwrap();
    assert_eq!(reply.status, 400);
    assert_eq!(reply.headers.call_id(), Ok("a84b4c76e66710"));
    let ack = INVITE
        .replace("INVITE", "ACK")
        .replace("Max-Forwards: 70", "Max-Forwards: x");
    assert!(parse_datagram(ack.as_bytes()).unwrap_err().reply().is_none());
}

#[test]
fn a_stream_is_cut_by_content_length_at_any_split() {
    let mut stream = Vec::new();
    for _ in 0..3 {
        stream.extend_from_slice(INVITE.as_bytes());
    }
    for chunk in [1, 2, 3, 7, 100, 10_000] {
        let mut parser = StreamParser::new(64 * 1024);
        let mut messages = 0;
        for piece in stream.chunks(chunk) {
            parser.push(piece);
            while let Some(frame) = parser.next().unwrap() {
                assert!(matches!(&frame, Frame::Message(Message::Request(r)) if r.body == b"v=0\n"));
                messages += 1;
            }
        }
        assert_eq!(messages, 3, "chunks of {chunk}");
        assert!(!parser.is_mid_message());
    }
}

#[test]
fn a_stream_tells_ping_from_pong() {
    let mut parser = StreamParser::new(1000);
    parser.push(StreamParser::PONG);
    assert_eq!(parser.next(), Ok(Some(Frame::Pong)));
    assert_eq!(parser.next(), Ok(None));
    parser.push(StreamParser::PONG);
    assert_eq!(parser.next(), Ok(Some(Frame::Ping)));
}

#[test]
fn a_stream_without_end_is_given_up() {
    let mut parser = StreamParser::new(1000);
    parser.push(&INVITE.as_bytes()[..300]);
    assert_eq!(parser.next(), Ok(None));
    parser.push(&[b'x'; 1000]);
    let e = parser.next().unwrap_err();
    assert_eq!((&e.error, e.fatal), (&Error::TooLarge(1000), true));
    assert_eq!(e.reply().unwrap().status, 513);
    parser.push(INVITE.as_bytes());
    assert_eq!(parser.next(), Ok(None));
}

#[test]
fn line_breaks_before_a_message_are_skipped() {
    let bytes = format!("\r\n\n\r\n{INVITE}");
    assert_eq!(request(bytes.as_bytes()), request(INVITE.as_bytes()));
    for keep_alive in ["", "\r\n", "\r\n\r\n", "\0"] {
        let e = parse_datagram(keep_alive.as_bytes()).unwrap_err();
        assert_eq!(e.reply(), None);
    }
}

#[test]
fn folded_lines_are_joined_by_one_space() {
    let r = request(with("Subject: one\r\n \t two\r\n\tthree").as_bytes());
    assert_eq!(r.headers.get(&HeaderName::Subject), Some("one two three"));
}

#[test]
fn too_many_fields_are_refused() {
    let many = with("X: y\r\n".repeat(300).trim_end());
    let e = parse_datagram(many.as_bytes()).unwrap_err();
    assert_eq!(e.error, Error::TooManyHeaders(MAX_FIELDS));
    let long = INVITE.replacen("bob", &"b".repeat(9_000), 1);
    assert_eq!(parse_datagram(long.as_bytes()).unwrap_err().status(), 414);
}

#[test]
fn a_bad_contact_does_not_keep_a_call_from_ending() {
    let bad = INVITE.replace("<sip:alice@pc33", "<alice@pc33");
    assert_eq!(parse_datagram(bad.as_bytes()).unwrap_err().status(), 400);
    request(bad.replace("INVITE", "BYE").as_bytes());
}

#[test]
fn a_stream_needs_a_length_it_can_trust() {
    for bad in [
        "",
        "Content-Length: x\r\n",
        "Content-Length: -4\r\n",
        "Content-Length: 4\r\nl: 5\r\n",
    ] {
        let mut parser = StreamParser::new(10_000);
        parser.push(INVITE.replace("Content-Length: 4\r\n", bad).as_bytes());
        let e = parser.next().unwrap_err();
        assert!(e.fatal, "{bad}");
        assert_eq!(e.reply().unwrap().status, 400);
    }
}

#[test]
fn a_stream_goes_on_after_a_message_that_is_only_wrong() {
    let mut parser = StreamParser::new(10_000);
    parser.push(INVITE.replace("314159 INVITE", "x").as_bytes());
    parser.push(INVITE.as_bytes());
    let e = parser.next().unwrap_err();
    assert!(!e.fatal && e.status() == 400);
    assert!(matches!(parser.next(), Ok(Some(Frame::Message(_)))));
    assert_eq!(parser.next(), Ok(None));
}

#[test]
fn a_line_that_is_no_field_is_skipped() {
    let r = request(with("Foobar roobar\r\n\u{e9}: x\r\n: y\r\nSub ject: z").as_bytes());
    assert_eq!(r.headers.len(), request(INVITE.as_bytes()).headers.len());
}

#[test]
fn the_call_flows_of_rfc_3665_are_read_with_their_descriptions() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/wire/sip/rfc3665.dat");
    let mut parser = StreamParser::new(1 << 20);
    parser.push(&std::fs::read(path).unwrap());
    let (mut messages, mut descriptions) = (0, 0);
    while let Some(frame) = parser.next().unwrap() {
        let Frame::Message(m) = frame else {
            panic!("{frame:?}")
        };
        messages += 1;
        assert!(m.headers().vias().is_ok() && m.headers().contacts().is_ok());
        assert!(m.headers().routes().is_ok() && m.headers().record_routes().is_ok());
        if !m.body().is_empty() {
            let s = crate::sdp::Session::parse(m.body()).unwrap();
            assert_eq!(s.media[0].formats[0].name, "PCMU");
            descriptions += 1;
        }
    }
    assert_eq!((messages, descriptions), (173, 48));
}
