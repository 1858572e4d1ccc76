//! One datagram.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::{HeaderName, Headers, Message, Response, parse_datagram};

fuzz_target!(|data: &[u8]| {
    match parse_datagram(data) {
        Ok(first) => {
            views(first.headers());
            let bytes = first.to_bytes();
            let again = parse_datagram(&bytes).expect("what we wrote can be read");
            assert_eq!(plain(first.clone()), plain(again));
            if let Message::Request(r) = &first {
                let response = Response::to_request(r, 200, None);
                let bytes = response.to_bytes();
                assert!(matches!(parse_datagram(&bytes), Ok(Message::Response(_))));
            }
        }
        Err(e) => {
            let _ = e.to_string();
            views(&e.headers);
            if let Some(reply) = e.reply() {
                assert!((400..700).contains(&reply.status));
                let _ = reply.to_bytes();
            }
        }
    }
});

/// Without Content-Length, which is made when writing, and with values as they are sent.
fn plain(m: Message) -> (String, Vec<(String, Vec<u8>)>, Vec<u8>) {
    let start = match &m {
        Message::Request(r) => format!("{} {}", r.method, r.uri),
        Message::Response(r) => format!("{} {}", r.status, r.reason.replace(|c: char| c.is_control(), " ").trim_end()),
    };
    let fields = m
        .headers()
        .iter_raw()
        .filter(|(n, _)| **n != HeaderName::ContentLength)
        .map(|(n, v)| (n.to_string(), v.to_vec()))
        .collect();
    (start, fields, m.body().to_vec())
}

fn views(h: &Headers) {
    let _ = (h.vias(), h.from(), h.to(), h.call_id(), h.cseq(), h.max_forwards(), h.expires());
    let _ = (h.contacts(), h.routes(), h.record_routes(), h.content_length(), h.content_type());
    let _ = (h.require().count(), h.supported().count(), h.allow().count(), h.contact_star());
    for a in h.contacts().into_iter().flatten().chain(h.from()).chain(h.to()) {
        let printed = a.to_string();
        let again = sip::NameAddr::parse(&printed).expect("what we wrote can be read");
        assert_eq!(again.to_string(), printed);
    }
    for v in h.vias().into_iter().flatten() {
        assert_eq!(sip::Via::parse(&v.to_string()), Some(v));
    }
}
