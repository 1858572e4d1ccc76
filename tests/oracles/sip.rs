//! Our SIP parser against three independent ones, on every message each can read: the 173 of RFC 3665, the torture
//! messages of RFC 4475 and RFC 5118. Where they differ, `EXCEPTIONS` says who is right, and why.

#![allow(
    clippy::unwrap_used,
    reason = "a test program: the corpus is ours, and what cannot be read shall fail it"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sip::{Frame, Message, StreamParser, parse_datagram};

/// What is compared: a name and its value as text, in one form for all.
type Values = BTreeMap<&'static str, String>;

/// Parser, message, value, and what the parser does that the specification does not.
const EXCEPTIONS: &[(&str, &str, &str, &str)] = &[
    (
        "rsip",
        "dblreq",
        "body",
        "takes bytes behind Content-Length for the body",
    ),
    ("rsip", "ipv4-mapped-ipv6", "body", "the same"),
    (
        "rsipstack",
        "esc01",
        "uri",
        "escapes the percent sign of an escape once more when printing",
    ),
    ("rsipstack", "esc01", "from uri", "the same"),
    ("rsipstack", "esc01", "to uri", "the same"),
    ("rsipstack", "esc01", "contact uri", "the same"),
    ("rsipstack", "escnull", "from uri", "the same"),
    ("rsipstack", "escnull", "to uri", "the same"),
    ("rsipstack", "escnull", "contact uri", "the same"),
    (
        "rsipstack",
        "inv2543",
        "body",
        "loses the body of a datagram without Content-Length",
    ),
    (
        "rsipstack",
        "regescrt",
        "contact uri",
        "loses the headers of a URI when printing",
    ),
    (
        "rsipstack",
        "unkscm",
        "uri",
        "keeps the case of a scheme, which has no meaning",
    ),
    ("rsipstack", "wsinv", "vias", "counts a joined list as one"),
    (
        "rsipstack",
        "rfc3665 9",
        "contact uri",
        "takes the star for a URI",
    ),
    ("ezk", "esc01", "to uri", "prints without the escapes it read"),
    (
        "ezk",
        "esc01",
        "contact uri",
        "the same; `value%2541` becomes `value%41`, another value",
    ),
    (
        "ezk",
        "intmeth",
        "via branch",
        "decodes % in a token, where it is no escape",
    ),
];

#[test]
fn independent_parsers_agree() {
    let mut compared = BTreeMap::new();
    let mut differences = Vec::new();
    for (name, bytes) in corpus() {
        let Ok(message) = parse_datagram(&bytes) else {
            continue;
        };
        let ours = ours(&message);
        for (oracle, read) in [
            ("rsip", rsip_values as fn(&[u8]) -> Values),
            ("rsipstack", rsipstack_values),
            ("ezk", ezk_values),
        ] {
            for (key, theirs) in read(&bytes) {
                let excused = |&(o, m, k, _): &(&str, &str, &str, &str)| o == oracle && m == name && k == key;
                if EXCEPTIONS.iter().any(excused) {
                    continue;
                }
                *compared.entry(oracle).or_insert(0) += 1;
                // rsip and rsipstack print transports in capitals.
                let theirs = theirs.replace("transport=TCP", "transport=tcp");
                if ours.get(key) != Some(&theirs) {
                    differences.push(format!(
                        "{oracle} {name} {key}: ours {:?}, theirs {theirs:?}",
                        ours.get(key)
                    ));
                }
            }
        }
    }
    println!("values compared: {compared:?}");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    // That much they read, when this was written: a test that compares nothing proves nothing.
    assert_eq!(
        compared,
        BTreeMap::from([("ezk", 2_389), ("rsip", 741), ("rsipstack", 2_607)])
    );
}

fn corpus() -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wire/sip");
    let mut files: Vec<PathBuf> = ["rfc4475", "rfc5118"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(root.join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut all: Vec<(String, Vec<u8>)> = files
        .iter()
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect();
    let mut stream = StreamParser::new(1 << 20);
    let mut rest = std::fs::read(root.join("rfc3665.dat")).unwrap();
    let mut number = 0;
    // Messages are cut out by what the parser leaves.
    while !rest.is_empty() {
        let size = (1..=rest.len())
            .find(|n| {
                stream.push(&rest[n - 1..*n]);
                matches!(stream.next(), Ok(Some(Frame::Message(_))))
            })
            .unwrap();
        number += 1;
        all.push((format!("rfc3665 {number}"), rest.drain(..size).collect()));
    }
    assert_eq!(number, 173);
    all
}

fn ours(message: &Message) -> Values {
    let mut out = Values::new();
    match message {
        Message::Request(r) => {
            out.insert("method", r.method.to_string());
            out.insert("uri", r.uri.to_string());
        }
        Message::Response(r) => {
            out.insert("status", r.status.to_string());
        }
    }
    let h = message.headers();
    let cseq = h.cseq().unwrap();
    out.insert("cseq", format!("{} {}", cseq.seq, cseq.method));
    out.insert("call-id", h.call_id().unwrap().to_owned());
    for (uri, tag, address) in [
        ("from uri", "from tag", h.from().unwrap()),
        ("to uri", "to tag", h.to().unwrap()),
    ] {
        out.insert(uri, address.uri.to_string());
        if let Some(t) = address.tag() {
            out.insert(tag, t.to_owned());
        }
    }
    let via = h.via_top().unwrap();
    out.insert("via host", via.host.to_string());
    out.insert("via transport", via.transport.to_ascii_uppercase());
    if let Some(b) = via.branch() {
        out.insert("via branch", b.to_owned());
    }
    out.insert("vias", h.vias().unwrap().len().to_string());
    if let Some(contact) = h.contacts().unwrap().first() {
        out.insert("contact uri", contact.uri.to_string());
    }
    out.insert("body", message.body().len().to_string());
    out
}

fn rsip_values(bytes: &[u8]) -> Values {
    use rsip::prelude::*;
    use rsip::{Header, SipMessage};

    let mut out = Values::new();
    let Ok(message) = SipMessage::try_from(bytes) else {
        return out;
    };
    match &message {
        SipMessage::Request(r) => {
            out.insert("method", r.method.to_string());
            out.insert("uri", r.uri.to_string());
        }
        SipMessage::Response(r) => {
            out.insert("status", r.status_code.code().to_string());
        }
    }
    if let Ok(Ok(v)) = message.cseq_header().map(|h| h.typed()) {
        out.insert("cseq", format!("{} {}", v.seq, v.method));
    }
    if let Ok(v) = message.call_id_header() {
        out.insert("call-id", v.value().to_owned());
    }
    if let Ok(Ok(v)) = message.from_header().map(|h| h.typed()) {
        out.insert("from uri", v.uri.to_string());
        if let Some(t) = v.tag() {
            out.insert("from tag", t.value().to_owned());
        }
    }
    if let Ok(Ok(v)) = message.to_header().map(|h| h.typed()) {
        out.insert("to uri", v.uri.to_string());
        if let Some(t) = v.tag() {
            out.insert("to tag", t.value().to_owned());
        }
    }
    if let Ok(Ok(v)) = message.via_header().map(|h| h.typed()) {
        out.insert("via host", v.uri.host().to_string());
        out.insert("via transport", v.transport.to_string());
        if let Some(b) = v.branch() {
            out.insert("via branch", b.value().to_owned());
        }
    }
    let vias = message.headers().iter().filter(|h| matches!(h, Header::Via(_)));
    out.insert("vias", vias.count().to_string());
    if let Ok(Ok(v)) = message.contact_header().map(|h| h.typed()) {
        out.insert("contact uri", v.uri.to_string());
    }
    out.insert("body", message.body().len().to_string());
    out
}

fn rsipstack_values(bytes: &[u8]) -> Values {
    use rsipstack::sip::prelude::*;
    use rsipstack::sip::{Header, SipMessage};

    let mut out = Values::new();
    let Ok(message) = SipMessage::try_from(bytes) else {
        return out;
    };
    let body = match &message {
        SipMessage::Request(r) => {
            out.insert("method", r.method.to_string());
            out.insert("uri", r.uri.to_string());
            r.body.len()
        }
        SipMessage::Response(r) => {
            out.insert("status", r.status_code.code().to_string());
            r.body.len()
        }
    };
    out.insert("body", body.to_string());
    if let Ok(Ok(v)) = message.cseq_header().map(|h| h.typed()) {
        out.insert("cseq", format!("{} {}", v.seq, v.method));
    }
    if let Ok(v) = message.call_id_header() {
        out.insert("call-id", v.value().to_owned());
    }
    if let Ok(Ok(v)) = message.from_header().map(|h| h.typed()) {
        out.insert("from uri", v.uri.to_string());
        if let Some(t) = v.tag() {
            out.insert("from tag", t.value().to_owned());
        }
    }
    if let Ok(Ok(v)) = message.to_header().map(|h| h.typed()) {
        out.insert("to uri", v.uri.to_string());
        if let Some(t) = v.tag() {
            out.insert("to tag", t.value().to_owned());
        }
    }
    if let Ok(Ok(v)) = message.via_header().map(|h| h.typed()) {
        out.insert("via host", v.sent_by().host.to_string());
        out.insert("via transport", v.transport.to_string());
        if let Some(b) = v.branch() {
            out.insert("via branch", b.value().to_owned());
        }
    }
    let vias = message.headers().iter().filter(|h| matches!(h, Header::Via(_)));
    out.insert("vias", vias.count().to_string());
    if let Ok(Ok(v)) = message.contact_header().map(|h| h.typed()) {
        out.insert("contact uri", v.uri.to_string());
    }
    out
}

fn ezk_values(bytes: &[u8]) -> Values {
    use ezk_sip_types::header::typed::{CSeq, CallID, Contact, FromTo, Via};
    use ezk_sip_types::msg::{Line, MessageLine, PullParser};
    use ezk_sip_types::parse::Parse;
    use ezk_sip_types::print::AppendCtx;
    use ezk_sip_types::{Headers, Name};

    let mut out = Values::new();
    let src = bytes::Bytes::copy_from_slice(bytes);
    let mut lines = PullParser::new(&src, 0);
    let Some(Ok(first)) = lines.next() else {
        return out;
    };
    let Ok((_, start)) = std::str::from_utf8(first)
        .map(|l| MessageLine::parse(&src)(l))
        .unwrap_or_else(|_| MessageLine::parse(&src)(""))
    else {
        return out;
    };
    let mut headers = Headers::new();
    for line in lines {
        let Some(line) = line.ok().and_then(|l| std::str::from_utf8(l).ok()) else {
            return out;
        };
        let Ok((_, line)) = Line::parse(&src, line) else {
            return out;
        };
        headers.insert(line.name, line.value);
    }
    match start {
        MessageLine::Request(r) => {
            out.insert("method", r.method.to_string());
            out.insert("uri", r.uri.default_print_ctx().to_string());
        }
        MessageLine::Response(r) => {
            out.insert("status", r.code.into_u16().to_string());
        }
    }
    if let Ok(v) = headers.get_named::<CSeq>() {
        out.insert("cseq", format!("{} {}", v.cseq, v.method));
    }
    if let Ok(v) = headers.get_named::<CallID>() {
        out.insert("call-id", v.0.to_string());
    }
    for (uri, tag, name) in [
        ("from uri", "from tag", Name::FROM),
        ("to uri", "to tag", Name::TO),
    ] {
        if let Ok(v) = headers.get::<FromTo>(name) {
            out.insert(uri, v.uri.uri.default_print_ctx().to_string());
            if let Some(t) = v.tag {
                out.insert(tag, t.to_string());
            }
        }
    }
    if let Ok(v) = headers.get_named::<Vec<Via>>() {
        out.insert("vias", v.len().to_string());
        if let Some(top) = v.first() {
            out.insert("via host", top.sent_by.host.to_string());
            out.insert("via transport", top.transport.to_ascii_uppercase());
            if let Some(b) = top.params.get_val("branch") {
                out.insert("via branch", b.to_string());
            }
        }
    }
    if let Ok(v) = headers.get_named::<Vec<Contact>>()
        && let Some(first) = v.first()
    {
        out.insert("contact uri", first.uri.uri.default_print_ctx().to_string());
    }
    out
}
