//! TLS as the endpoint sees it: whose certificate is wanted, and sips Contacts.

use std::sync::Arc;

use super::script::{OURS, Script, addr, uri};
use crate::endpoint::{Listener, Output};
use crate::transport::{Destination, Transport};

const TLS: &str = "192.0.2.1:5061";

fn script() -> Script {
    Script::with(|config| config.listeners.push(Listener::new(Transport::Tls, addr(TLS))))
}

/// The domain whose certificate is wanted, and the text of what is sent next.
#[track_caller]
fn sent(s: &mut Script) -> (Transport, Option<Arc<str>>, String) {
    match s.ua.poll_output() {
        Some(Output::Send {
            transport,
            domain,
            bytes,
            ..
        }) => (transport, domain, String::from_utf8(bytes).unwrap()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_certificate_of_the_domain_is_wanted_not_of_the_host_it_is_found_at() {
    let mut s = script();
    let mut invite = super::call::invite();
    invite.target = uri("sips:bob@b.test");
    s.ua.invite(s.now, invite).unwrap();
    let Some(Output::Lookup { id, .. }) = s.ua.poll_output() else {
        panic!("a lookup");
    };
    let dest = |n: u8| Destination {
        transport: Transport::Tls,
        addr: addr(&format!("192.0.2.{n}:5061")),
    };
    s.ua.handle_resolved(s.now, id, vec![dest(20), dest(21)]);
    let (transport, domain, text) = sent(&mut s);
    assert_eq!((transport, domain.as_deref()), (Transport::Tls, Some("b.test")));
    assert!(text.contains("\r\nVia: SIP/2.0/TLS 192.0.2.1:5061;"), "{text}");
    assert!(text.contains("@192.0.2.1:5061;transport=tcp>"), "{text}");
    assert!(text.contains("\r\nContact: <sips:"), "{text}");
}

#[test]
fn a_numeric_host_must_show_its_address_and_udp_shows_nothing() {
    let mut s = script();
    let mut invite = super::call::invite();
    invite.target = uri("sip:bob@192.0.2.20;transport=tls");
    s.ua.invite(s.now, invite).unwrap();
    let (transport, domain, text) = sent(&mut s);
    assert_eq!(
        (transport, domain.as_deref()),
        (Transport::Tls, Some("192.0.2.20"))
    );
    assert!(text.contains("@192.0.2.1:5061;transport=tls>"), "{text}");
    let mut invite = super::call::invite();
    invite.target = uri("sip:bob@192.0.2.20");
    s.ua.invite(s.now, invite).unwrap();
    let (transport, domain, _) = sent(&mut s);
    assert_eq!((transport, domain), (Transport::Udp, None));
}

#[test]
fn a_sips_request_is_answered_with_a_sips_contact() {
    for (target, contact) in [("sips:echo@a.test", "<sips:"), ("sip:echo@a.test", "<sip:")] {
        let mut s = script();
        s.transport = Transport::Tls;
        s.conn = Some(base::ConnId(3));
        s.recv(&format!(
            "OPTIONS {target} SIP/2.0\nVia: SIP/2.0/TLS 192.0.2.9:5061;branch=z9hG4bKo;rport\nMax-Forwards: 70\n\
             From: <sip:x@b.test>;tag=x\nTo: <{target}>\nCall-ID: o@b\nCSeq: 1 OPTIONS"
        ));
        s.sends_some("SIP/2.0 200");
        s.recv(&format!(
            "INVITE {target} SIP/2.0\nVia: SIP/2.0/TLS 192.0.2.9:5061;branch=z9hG4bKi;rport\nMax-Forwards: 70\n\
             From: <sip:x@b.test>;tag=x\nTo: <{target}>\nCall-ID: i@b\nCSeq: 1 INVITE\n\
             Contact: <sip:x@192.0.2.9:5061;transport=tls>"
        ));
        let trying = s.sends_some("SIP/2.0 100");
        assert!(!trying.contains("Contact"), "{trying}");
        let crate::Event::Incoming { call, .. } = s.event() else {
            panic!("a call");
        };
        s.ua.provisional(s.now, call, 180, None).unwrap();
        let ringing = s.sends_some("SIP/2.0 180");
        assert!(ringing.contains(&format!("\r\nContact: {contact}")), "{ringing}");
    }
}

#[test]
fn our_addresses_over_tls_are_ours() {
    let config = crate::EndpointConfig {
        listeners: vec![
            Listener::new(Transport::Udp, addr(OURS)),
            Listener::new(Transport::Tls, addr(TLS)),
        ],
        ..crate::EndpointConfig::default()
    };
    assert!(config.is_ours(&uri("sips:x@192.0.2.1:5061")));
    assert!(!config.is_ours(&uri("sips:x@192.0.2.1:5062")));
}
