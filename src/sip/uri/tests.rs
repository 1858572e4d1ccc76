//! Reading, comparing.

use super::*;

fn uri(s: &str) -> Uri {
    s.parse().unwrap_or_else(|e| panic!("{s}: {e}"))
}

#[test]
fn reads_every_part() {
    let u = uri("sips:alice:secret@[2001:db8::1]:5061;transport=tcp;lr?subject=project%20x&priority=urgent");
    assert_eq!(u.scheme(), &Scheme::Sips);
    assert_eq!(u.user().as_deref(), Some("alice"));
    assert_eq!(u.password(), Some("secret"));
    assert_eq!(u.host().to_string(), "[2001:db8::1]");
    assert_eq!(u.port(), Some(5061));
    assert_eq!(u.param("Transport"), Some("tcp"));
    assert_eq!(u.param("lr"), Some(""));
    assert_eq!(u.headers(), Some("subject=project%20x&priority=urgent"));
}

#[test]
fn prints_what_it_read() {
    for s in [
        "sip:example.com",
        "sip:alice@Example.COM:5060",
        "sip:+1-212-555-1212:1234@gateway.com;user=phone",
        "sip:%61lice@atlanta.com;transport=TCP",
        "sip:*72#@pbx",
        "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.com",
        "tel:+1-201-555-0123;phone-context=example.com",
        "urn:service:sos",
    ] {
        assert_eq!(uri(s).to_string(), s);
    }
}

#[test]
fn refuses_what_is_no_uri() {
    for s in [
        "",
        "sip:",
        "alice@example.com",
        "sip:@example.com",
        "sip:a@b@c",
        "sip:a@",
        "sip:a@example.com:port",
        "sip:a@example.com:65536",
        "sip:a b@example.com",
        "sip:a@exa mple.com",
        "sip:a%4@example.com",
        "sip:a@[::1",
        "sip:a@::1",
        "sip:a@example.com;x=\"y\"",
        "sip:a@example.com;=y",
        "sip:<a@example.com>",
        "1sip:a@example.com",
        "tel:",
        "sip:a\r\nb@example.com",
    ] {
        assert!(s.parse::<Uri>().is_err(), "{s:?}");
    }
}

/// The table of RFC 3261 §19.1.4.
#[test]
fn compares_as_the_rfc_says() {
    for (a, b) in [
        (
            "sip:%61lice@atlanta.com;transport=TCP",
            "sip:alice@AtlanTa.CoM;Transport=tcp",
        ),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("tel:+1-201-555-0123", "tel:+12015550123"),
    ] {
        assert!(uri(a).matches(&uri(b)) && uri(b).matches(&uri(a)), "{a} {b}");
    }
    for (a, b) in [
        (
            "SIP:ALICE@AtLanTa.CoM;Transport=udp",
            "sip:alice@AtLanTa.CoM;Transport=UDP",
        ),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        (
            "sip:carol@chicago.com",
            "sip:carol@chicago.com?Subject=next%20meeting",
        ),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        (
            "sip:carol@chicago.com;security=on",
            "sip:carol@chicago.com;security=off",
        ),
        ("sip:carol@chicago.com", "sips:carol@chicago.com"),
        ("sip:carol:a@chicago.com", "sip:carol:b@chicago.com"),
        ("tel:+12015550123", "tel:+12015550124"),
    ] {
        assert!(!uri(a).matches(&uri(b)) && !uri(b).matches(&uri(a)), "{a} {b}");
    }
}

#[test]
fn a_user_is_escaped() {
    let host = Host::Name("example.com".into());
    let u = Uri::sip(Some("a b@c/é"), host.clone(), Some(5070));
    assert_eq!(u.to_string(), "sip:a%20b%40c/%C3%A9@example.com:5070");
    assert_eq!(u.user().as_deref(), Some("a b@c/é"));
    assert_eq!(Uri::sip(Some(""), host, None).to_string(), "sip:example.com");
}

#[test]
fn parameters_are_few_and_named_once() {
    let u = uri("sip:a@b;user=phone;USER=ip;x=1");
    assert_eq!(u.param("user"), Some("phone"));
    assert_eq!(u.to_string(), "sip:a@b;user=phone;x=1");
    let many: String = (0..65).map(|i| format!(";p{i}")).collect();
    assert!(format!("sip:a@b{many}").parse::<Uri>().is_err());
}
