//! Lists, names, typed views.

use super::*;
use crate::error::Error;
use crate::msg::Method;

fn headers(list: &[(&str, &str)]) -> Headers {
    let mut h = Headers::new();
    for (name, value) in list {
        h.push_raw(HeaderName::new(name), value.as_bytes());
    }
    h
}

#[test]
fn compact_and_full_names_are_one() {
    let h = headers(&[
        ("v", "SIP/2.0/UDP a"),
        ("VIA", "SIP/2.0/UDP b"),
        ("x-odd", "1"),
        ("k", "100rel, timer"),
    ]);
    assert_eq!(h.vias().unwrap().len(), 2);
    assert_eq!(h.get(&"X-Odd".into()), Some("1"));
    assert_eq!(h.supported().collect::<Vec<_>>(), ["100rel", "timer"]);
    assert_eq!(HeaderName::new("o"), HeaderName::Event);
    assert_eq!(HeaderName::new("L").as_str(), "Content-Length");
}

#[test]
fn set_replaces_in_place_and_removes_repeats() {
    let mut h = headers(&[("a", "1"), ("Subject", "x"), ("b", "2"), ("s", "y"), ("c", "3")]);
    h.set(HeaderName::Subject, "z");
    let all: Vec<_> = h.iter().map(|(_, v)| v).collect();
    assert_eq!(all, ["1", "z", "2", "3"]);
    h.push_front(HeaderName::Subject, "first");
    assert_eq!(h.remove_first(&HeaderName::Subject).as_deref(), Some("first"));
    assert_eq!(h.remove_all(&HeaderName::Subject), 1);
    h.set(HeaderName::Subject, "last");
    assert_eq!(h.iter().last(), Some((&HeaderName::Subject, "last")));
}

#[test]
fn latin_1_is_read_and_sent_on_unchanged() {
    let mut h = Headers::new();
    h.push_raw(HeaderName::From, b"\"Andr\xe9\" <sip:a@b>;tag=1");
    assert_eq!(h.from().unwrap().display.as_deref(), Some("André"));
    assert_eq!(h.iter_raw().next().unwrap().1, b"\"Andr\xe9\" <sip:a@b>;tag=1");
}

#[test]
fn a_tag_inside_quotes_is_no_tag() {
    let h = headers(&[("From", r#""x;tag=evil, <sip:z@z>" <sip:a@b;tag=uri>;tag=real"#)]);
    let from = h.from().unwrap();
    assert_eq!(from.tag(), Some("real"));
    assert_eq!(from.display.as_deref(), Some("x;tag=evil, <sip:z@z>"));
    assert_eq!(from.uri.param("tag"), Some("uri"));
}

#[test]
fn addresses_of_every_form() {
    for (text, display, uri, tag) in [
        ("sip:a@b", None, "sip:a@b", None),
        ("sip:a@b;tag=1", None, "sip:a@b", Some("1")),
        ("<sip:a@b;x>", None, "sip:a@b;x", None),
        ("Alice B.<sip:a@b>;tag=1", Some("Alice B."), "sip:a@b", Some("1")),
        ("\"\" <sip:a@b>", None, "sip:a@b", None),
        (
            "<tel:+1234;phone-context=x>;tag=9",
            None,
            "tel:+1234;phone-context=x",
            Some("9"),
        ),
        ("Zoë <sip:a@b> ; tag = 1", Some("Zoë"), "sip:a@b", Some("1")),
    ] {
        let a = NameAddr::parse(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(a.display.as_deref(), display, "{text}");
        assert_eq!(a.uri.to_string(), uri, "{text}");
        assert_eq!(a.tag(), tag, "{text}");
    }
    for text in [
        "",
        "<sip:a@b",
        "sip:a@b>",
        "\"x <sip:a@b>",
        "\"x\" sip:a@b",
        "<sip:a@b> junk",
        "a, b <sip:a@b>",
        "<>",
        "<sip:a@b>;tag=\"x",
        "sip:a@b?x=y",
    ] {
        assert_eq!(NameAddr::parse(text), None, "{text}");
    }
}

#[test]
fn vias_of_every_form() {
    let via =
        Via::parse("SIP / 2.0 / tcp  [2001:db8::1]:5070 ;branch=z9hG4bKx;rport;received=192.0.2.1").unwrap();
    assert_eq!((via.transport.as_str(), via.port), ("tcp", Some(5070)));
    assert_eq!(via.rport(), Some(None));
    assert_eq!(via.received(), Some([192, 0, 2, 1].into()));
    let via = Via::parse("SIP/2.0/UDP host:5060;rport=99").unwrap();
    assert_eq!((via.rport(), via.branch()), (Some(Some(99)), None));
    for bad in [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0 host",
        "HTTP/1.1/TCP host",
        "SIP/2.0/UDP host port",
        "SIP/2.0/UDP ;x",
    ] {
        assert_eq!(Via::parse(bad), None, "{bad}");
    }
}

#[test]
fn the_topmost_via_can_be_replaced_in_a_joined_list() {
    let mut h = headers(&[
        ("Via", "SIP/2.0/UDP a;branch=1 , SIP/2.0/TCP b;branch=2"),
        ("v", "SIP/2.0/TLS c;branch=3"),
    ]);
    let mut top = h.via_top().unwrap();
    top.params.set("received", Some("192.0.2.1"));
    h.set_via_top(&top);
    let vias: Vec<_> = h.vias().unwrap().iter().map(Via::to_string).collect();
    assert_eq!(
        vias,
        [
            "SIP/2.0/UDP a;branch=1;received=192.0.2.1",
            "SIP/2.0/TCP b;branch=2",
            "SIP/2.0/TLS c;branch=3"
        ]
    );
}

#[test]
fn numbers_are_checked() {
    let of = |name: &str, value: &str| headers(&[(name, value)]);
    assert_eq!(of("CSeq", "4711 INVITE").cseq().unwrap().method, Method::Invite);
    for bad in [
        "INVITE",
        "-1 INVITE",
        "+1 INVITE",
        "2147483648 INVITE",
        "1",
        "1 IN VITE",
    ] {
        assert_eq!(
            of("CSeq", bad).cseq(),
            Err(Error::Header(HeaderName::CSeq)),
            "{bad}"
        );
    }
    assert_eq!(of("Expires", "99999999999").expires(), Some(u32::MAX));
    assert_eq!(of("Expires", "soon").expires(), None);
    assert_eq!(of("Max-Forwards", "255").max_forwards(), Ok(Some(255)));
    assert!(of("Max-Forwards", "256").max_forwards().is_err());
    let twice = headers(&[("Content-Length", "5"), ("l", "5")]);
    assert_eq!(twice.content_length(), Ok(Some(5)));
    let twice = headers(&[("Content-Length", "5"), ("l", "6")]);
    assert!(twice.content_length().is_err());
}

#[test]
fn a_star_is_told_from_contacts() {
    assert!(headers(&[("Contact", "*")]).contact_star());
    assert!(!headers(&[("Contact", "<sip:a@b>"), ("m", "*")]).contact_star());
    let mixed = headers(&[("Contact", "<sip:a@b>, *")]);
    assert!(mixed.contacts().is_err());
}

#[test]
fn what_is_missing_is_named() {
    let none = Headers::new();
    assert_eq!(none.from().unwrap_err(), Error::Missing(HeaderName::From));
    assert_eq!(none.via_top().unwrap_err(), Error::Missing(HeaderName::Via));
    assert_eq!(none.max_forwards(), Ok(None));
}

#[test]
fn media_types_compare_without_case() {
    let h = headers(&[("c", "Application/SDP ; charset=\"utf-8\"")]);
    let kind = h.content_type().unwrap();
    assert!(kind.is("application", "sdp"));
    assert_eq!(kind.params.get_unquoted("charset").as_deref(), Some("utf-8"));
}
