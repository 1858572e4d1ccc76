//! The torture messages of RFC 4475 and RFC 5118, bit for bit from their archives: what the parser makes of each.

use std::path::Path;

use super::*;
use crate::header::{HeaderName, Headers};
use crate::msg::{Method, Request, Response};
use crate::uri::{Host, Scheme};

/// What must become of a message over UDP.
enum Verdict {
    /// A request that satisfies the check.
    Request(fn(&Request)),
    /// A response that satisfies the check.
    Response(fn(&Response)),
    /// Refused, and answered with this status.
    Refused(u16),
    /// Refused without an answer.
    Dropped,
}

use Verdict::{Dropped, Refused};

fn request(check: fn(&Request)) -> Verdict {
    Verdict::Request(check)
}

fn response(check: fn(&Response)) -> Verdict {
    Verdict::Response(check)
}

/// Section, name, verdict. Where the RFC leaves the choice, the comment says which way we go.
fn rfc4475() -> Vec<(&'static str, &'static str, Verdict)> {
    vec![
        ("3.1.1.1", "wsinv", request(wsinv)),
        ("3.1.1.2", "intmeth", request(intmeth)),
        ("3.1.1.3", "esc01", request(esc01)),
        ("3.1.1.4", "escnull", request(escnull)),
        ("3.1.1.5", "esc02", request(esc02)),
        (
            "3.1.1.6",
            "lwsdisp",
            request(|r| assert_eq!(r.headers.from().unwrap().display.as_deref(), Some("caller"))),
        ),
        ("3.1.1.7", "longreq", request(longreq)),
        (
            "3.1.1.8",
            "dblreq",
            request(|r| assert_eq!((&r.method, r.body.len()), (&Method::Register, 0))),
        ),
        (
            "3.1.1.9",
            "semiuri",
            request(|r| {
                assert_eq!(r.uri.user().as_deref(), Some("user;par=u@example.net"));
                assert_eq!(r.uri.host().to_string(), "example.com");
            }),
        ),
        (
            "3.1.1.10",
            "transports",
            request(|r| {
                let names: Vec<_> = r
                    .headers
                    .vias()
                    .unwrap()
                    .into_iter()
                    .map(|v| v.transport)
                    .collect();
                assert_eq!(names, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);
            }),
        ),
        (
            "3.1.1.11",
            "mpart01",
            request(|r| {
                assert_eq!(r.body.len(), 553);
                let kind = r.headers.content_type().unwrap();
                assert_eq!(kind.params.get("boundary"), Some("7a9cbec02ceef655"));
            }),
        ),
        (
            "3.1.1.12",
            "unreason",
            response(|r| assert!(r.status == 200 && r.reason.starts_with("= 2**3 * 5**2 но сто"))),
        ),
        (
            "3.1.1.13",
            "noreason",
            response(|r| assert_eq!((r.status, r.reason.as_str()), (100, ""))),
        ),
        ("3.1.2.1", "badinv01", Refused(400)),
        ("3.1.2.2", "clerr", Refused(400)),
        ("3.1.2.3", "ncl", Refused(400)),
        ("3.1.2.4", "scalar02", Refused(400)),
        ("3.1.2.5", "scalarlg", Dropped),
        ("3.1.2.6", "quotbal", Refused(400)),
        ("3.1.2.7", "ltgtruri", Refused(400)),
        ("3.1.2.8", "lwsruri", Refused(400)),
        // May be taken; refused, for a space that was lost from a URI would go unseen.
        ("3.1.2.9", "lwsstart", Refused(400)),
        // May be refused; taken, for nothing can be misread.
        (
            "3.1.2.10",
            "trws",
            request(|r| assert_eq!(r.uri.to_string(), "sip:remote-target@example.com")),
        ),
        ("3.1.2.11", "escruri", Refused(400)),
        // Only who needs the date may refuse it.
        (
            "3.1.2.12",
            "baddate",
            request(|r| {
                assert_eq!(
                    r.headers.get(&HeaderName::Date),
                    Some("Fri, 01 Jan 2010 16:00:00 EST")
                )
            }),
        ),
        ("3.1.2.13", "regbadct", Refused(400)),
        // May be refused; taken, for the brackets leave no doubt.
        (
            "3.1.2.14",
            "badaspec",
            request(|r| {
                assert_eq!(
                    r.headers.to().unwrap().uri.to_string(),
                    "sip:t.watson@example.org"
                )
            }),
        ),
        ("3.1.2.15", "baddn", Refused(400)),
        ("3.1.2.16", "badvers", Refused(505)),
        ("3.1.2.17", "mismatch01", Refused(400)),
        ("3.1.2.18", "mismatch02", Refused(501)),
        ("3.1.2.19", "bigcode", Dropped),
        ("3.2.1", "badbranch", Refused(400)),
        ("3.3.1", "insuf", Refused(400)),
        // 416 by whoever is asked to serve the URI.
        (
            "3.3.2",
            "unkscm",
            request(|r| {
                assert_eq!(r.uri.scheme(), &Scheme::Other("nobodyknowsthisscheme".into()));
                assert_eq!(r.uri.raw_user(), Some("totallyopaquecontent"));
            }),
        ),
        (
            "3.3.3",
            "novelsc",
            request(|r| assert_eq!(r.uri.to_string(), "soap.beep://192.0.2.103:3002")),
        ),
        // 400 by a registrar.
        (
            "3.3.4",
            "unksm2",
            request(|r| {
                assert_eq!(r.headers.to().unwrap().uri.to_string(), "isbn:2983792873");
                assert_eq!(
                    r.headers.contacts().unwrap()[0].uri.to_string(),
                    "name:John_Smith"
                );
            }),
        ),
        // 420 by the user agent.
        (
            "3.3.5",
            "bext01",
            request(|r| {
                let tags: Vec<_> = r.headers.require().collect();
                assert_eq!(tags, ["nothingSupportsThis", "nothingSupportsThisEither"]);
            }),
        ),
        // 415 by the user agent.
        (
            "3.3.6",
            "invut",
            request(|r| {
                assert!(
                    r.headers
                        .content_type()
                        .unwrap()
                        .is("application", "unknownformat")
                )
            }),
        ),
        // 401 by a registrar that asks for credentials.
        (
            "3.3.7",
            "regaut01",
            request(|r| {
                let value = r.headers.get(&HeaderName::Authorization).unwrap();
                assert!(value.starts_with("NoOneKnowsThisScheme"));
            }),
        ),
        ("3.3.8", "multi01", Refused(400)),
        ("3.3.9", "mcl01", Refused(400)),
        // Dropped by the user agent: two Via fields.
        (
            "3.3.10",
            "bcast",
            response(|r| assert_eq!(r.headers.vias().unwrap().len(), 2)),
        ),
        (
            "3.3.11",
            "zeromf",
            request(|r| assert_eq!(r.headers.max_forwards(), Ok(Some(0)))),
        ),
        (
            "3.3.12",
            "cparam01",
            request(|r| {
                let c = only_contact(&r.headers);
                assert!(c.params.has("unknownparam") && c.uri.params().is_empty());
            }),
        ),
        (
            "3.3.13",
            "cparam02",
            request(|r| {
                let c = only_contact(&r.headers);
                assert!(c.params.is_empty() && c.uri.params().has("unknownparam"));
            }),
        ),
        (
            "3.3.14",
            "regescrt",
            request(|r| {
                let c = only_contact(&r.headers);
                assert_eq!(c.uri.headers(), Some("Route=%3Csip:sip.example.com%3E"));
                assert_eq!(c.to_string(), r.headers.get(&HeaderName::Contact).unwrap());
            }),
        ),
        // 406 by the user agent.
        (
            "3.3.15",
            "sdp01",
            request(|r| assert_eq!(r.headers.get(&HeaderName::Accept), Some("text/nobodyKnowsThis"))),
        ),
        (
            "3.4.1",
            "inv2543",
            request(|r| {
                assert_eq!(r.headers.via_top().unwrap().branch(), None);
                assert_eq!(r.headers.from().unwrap().tag(), None);
                assert_eq!(r.headers.max_forwards(), Ok(None));
                assert!(r.body.starts_with(b"v=0") && r.body.ends_with(b"RTP/AVP 0\r\n"));
            }),
        ),
    ]
}

fn rfc5118() -> Vec<(&'static str, &'static str, Verdict)> {
    vec![
        (
            "4.1",
            "ipv6-good",
            request(|r| assert_eq!(host(r), "[2001:db8::10]")),
        ),
        ("4.2", "ipv6-bad", Refused(400)),
        (
            "4.3",
            "port-ambiguous",
            request(|r| assert_eq!((host(r).as_str(), r.uri.port()), ("[2001:db8::10:5070]", None))),
        ),
        (
            "4.4",
            "port-unambiguous",
            request(|r| assert_eq!((host(r).as_str(), r.uri.port()), ("[2001:db8::10]", Some(5070)))),
        ),
        ("4.5", "via-received-param-with-delim", request(received)),
        ("4.5", "via-received-param-no-delim", request(received)),
        (
            "4.6",
            "ipv6-in-sdp",
            request(|r| assert!(r.body.starts_with(b"v=0"))),
        ),
        (
            "4.7",
            "mult-ip-in-header",
            request(|r| {
                let vias = r.headers.vias().unwrap();
                assert_eq!(vias[0].port, Some(6050));
                assert_eq!(vias[1].host, Host::V4([192, 0, 2, 1].into()));
                assert_eq!(vias[2].received(), Some([192, 0, 2, 200].into()));
            }),
        ),
        (
            "4.8",
            "mult-ip-in-sdp",
            request(|r| assert!(r.body.starts_with(b"v=0"))),
        ),
        (
            "4.9",
            "ipv4-mapped-ipv6",
            request(|r| {
                let via = r.headers.via_top().unwrap();
                assert_eq!(
                    (via.host.to_string().as_str(), via.port),
                    ("[::ffff:192.0.2.10]", Some(19823))
                );
            }),
        ),
        ("4.10", "ipv6-bug-abnf-3-colons", request(mapped_tail)),
        ("4.10", "ipv6-correct-abnf-2-colons", request(mapped_tail)),
    ]
}

fn host(r: &Request) -> String {
    r.uri.host().to_string()
}

fn received(r: &Request) {
    let ip = r.headers.via_top().unwrap().received().unwrap();
    assert_eq!(ip.to_string(), "2001:db8::9:255");
}

fn mapped_tail(r: &Request) {
    assert_eq!(r.uri.host().ip(), "2001:db8::192.0.2.1".parse().ok());
}

fn only_contact(headers: &Headers) -> crate::NameAddr {
    let list = headers.contacts().unwrap();
    assert_eq!(list.len(), 1);
    list.into_iter().next().unwrap()
}

fn wsinv(r: &Request) {
    let h = &r.headers;
    assert!(r.uri.params().has("unknownparam"));
    assert_eq!(h.to().unwrap().tag(), Some("1918181833n"));
    assert_eq!(h.from().unwrap().display.as_deref(), Some("J Rosenberg \\\""));
    assert_eq!(h.from().unwrap().tag(), Some("98asjd8"));
    assert_eq!(h.max_forwards(), Ok(Some(68)));
    assert_eq!(h.content_length(), Ok(Some(150)));
    let cseq = h.cseq().unwrap();
    assert_eq!((cseq.seq, cseq.method), (9, Method::Invite));
    let vias = h.vias().unwrap();
    let branches: Vec<_> = vias.iter().filter_map(|v| v.branch()).collect();
    assert_eq!(branches, ["390skdjuw", "z9hG4bK9ikj8", "z9hG4bK30239"]);
    assert_eq!(vias[1].host, Host::Name("spindle.example.com".into()));
    assert_eq!(h.get(&HeaderName::Subject), Some(""));
    assert_eq!(
        h.get(&"NewFangledHeader".into()),
        Some("newfangled value continued newfangled value")
    );
    assert_eq!(h.get(&"UnknownHeaderWithUnusualValue".into()), Some(";;,,;;,;"));
    let route = &h.routes().unwrap()[0].uri;
    assert_eq!(route.param("unknownwith"), Some("value"));
    assert_eq!(route.param("unknown-no-value"), Some(""));
    let contact = only_contact(h);
    assert_eq!(contact.display.as_deref(), Some("Quoted string \"\""));
    assert_eq!(contact.params.get("newparam"), Some("newvalue"));
    assert_eq!(contact.params.get("q"), Some("0.33"));
    assert!(contact.params.has("secondparam"));
}

fn intmeth(r: &Request) {
    let name = "!interesting-Method0123456789_*+`.%indeed'~";
    assert_eq!(r.method, Method::Other(name.into()));
    assert_eq!(
        r.uri.raw_user(),
        Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*")
    );
    assert_eq!(
        r.uri.password(),
        Some("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)")
    );
    let h = &r.headers;
    assert_eq!(h.via_top().unwrap().branch(), Some("z9hG4bK-.!%66*_+`'~"));
    assert_eq!(
        h.to().unwrap().display.as_deref(),
        Some("BEL:\u{7} NUL:\0 DEL:\u{7f}")
    );
    let from = h.from().unwrap();
    assert_eq!(from.display.as_deref(), Some("token1~` token2'+_ token3*%!.-"));
    assert_eq!(from.tag(), Some("_token~1'+`*%!-."));
    assert_eq!(
        from.params.get_unquoted("fromParam''~+*_!.-%").as_deref(),
        Some("работающий")
    );
    assert_eq!(h.call_id(), Ok("intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"));
    assert_eq!(h.get(&"extensionHeader-!.%*+_`'~".into()), Some("\u{feff}大停電"));
}

fn esc01(r: &Request) {
    assert_eq!(r.uri.user().as_deref(), Some("sips:user@example.com"));
    assert_eq!(r.uri.host().to_string(), "example.net");
    let h = &r.headers;
    assert_eq!(h.to().unwrap().uri.user().as_deref(), Some("user"));
    assert!(
        h.to()
            .unwrap()
            .uri
            .matches(&"sip:user@example.com".parse().unwrap())
    );
    assert_eq!(h.from().unwrap().uri.user().as_deref(), Some("I have spaces"));
    let contact = only_contact(h).uri;
    assert!(contact.matches(&"sip:caller@host5.example.net;lr;name=value%2541".parse().unwrap()));
    assert!(!contact.matches(&"sip:caller@host5.example.net;lr;name=valueA".parse().unwrap()));
}

fn escnull(r: &Request) {
    assert_eq!(
        r.headers.to().unwrap().uri.user().as_deref(),
        Some("null-\0-null")
    );
    let contacts = r.headers.contacts().unwrap();
    assert_eq!(contacts.len(), 2);
    assert!(!contacts[0].uri.matches(&contacts[1].uri));
}

fn esc02(r: &Request) {
    assert_eq!(r.method, Method::Other("RE%47IST%45R".into()));
    assert_eq!(r.headers.to().unwrap().display.as_deref(), Some("%Z%45"));
    assert_eq!(r.headers.contacts().unwrap().len(), 2);
}

fn longreq(r: &Request) {
    let h = &r.headers;
    assert_eq!(h.vias().unwrap().len(), 34);
    let to = h.to().unwrap();
    assert_eq!(to.uri.port(), Some(6000));
    assert_eq!(to.uri.param("unknownparam1").map(str::len), Some(4 + 20 * 4 + 5));
    assert_eq!(h.from().unwrap().tag().map(str::len), Some(2 + 50 * 3 + 3));
    assert_eq!(r.body.len(), 150);
}

fn read(folder: &str, name: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/wire/sip");
    std::fs::read(root.join(folder).join(format!("{name}.dat"))).unwrap()
}

fn judge(section: &str, name: &str, bytes: &[u8], verdict: &Verdict) {
    let result = parse_datagram(bytes);
    match (verdict, result) {
        (Verdict::Request(check), Ok(Message::Request(r))) => {
            check(&r);
            // What we write, we read, and it means the same.
            match parse_datagram(&r.to_bytes()) {
                Ok(Message::Request(again)) => check(&again),
                other => panic!("{section} {name} written again: {other:?}"),
            }
        }
        (Verdict::Response(check), Ok(Message::Response(r))) => check(&r),
        (Refused(status), Err(e)) => {
            assert_eq!(e.status(), *status, "{section} {name}: {e}");
            let reply = e.reply();
            let reply = reply.unwrap_or_else(|| panic!("{section} {name}: no reply"));
            assert_eq!(reply.status, *status);
            assert!(reply.headers.via_top().is_ok());
        }
        (Dropped, Err(e)) => assert_eq!(e.reply(), None, "{section} {name}"),
        (_, other) => panic!("{section} {name}: {other:?}"),
    }
}

#[test]
fn rfc4475_messages() {
    let table = rfc4475();
    assert_eq!(table.len(), 49);
    for (section, name, verdict) in table {
        judge(section, name, &read("rfc4475", name), &verdict);
    }
}

#[test]
fn rfc5118_messages() {
    let table = rfc5118();
    assert_eq!(table.len(), 12);
    for (section, name, verdict) in table {
        // Three of them announce lengths that fit neither kind of line end: slips of the RFC.
        let text = String::from_utf8(read("rfc5118", name)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text.as_str(), ""));
        if body.is_empty() {
            // Two of those without a body lack the empty line.
            judge(section, name, text.as_bytes(), &verdict);
        }
        let length = head.find("Content-Length").unwrap();
        let head = &head[..length];
        let crlf = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        judge(section, name, crlf.as_bytes(), &verdict);
        // The archive itself has bare line feeds.
        let body = body.replace("\r\n", "\n");
        let lf = format!(
            "{}Content-Length: {}\n\n{body}",
            head.replace("\r\n", "\n"),
            body.len()
        );
        judge(section, name, lf.as_bytes(), &verdict);
    }
}
