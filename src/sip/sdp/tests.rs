//! Reading, writing, offering, answering.

use super::*;
use crate::error::Error;

const PHONE: &str = "v=0\r\no=alice 2890844526 2890844526 IN IP4 host.atlanta.example.com\r\ns=-\r\n\
    c=IN IP4 192.0.2.1\r\nt=0 0\r\na=ice-ufrag:abcd\r\n\
    m=audio 49170 RTP/AVP 8 0 97 101 13\r\na=rtpmap:97 speex/16000\r\na=fmtp:97 mode=\"7\"\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:30\r\na=rtcp:53020\r\na=x-unknown:1 2\r\n\
    m=video 51372 RTP/AVP 31\r\nm=image 5004 udptl t38\r\n";

fn capabilities() -> Vec<Capability> {
    vec![
        Capability::new("speex", 16_000, 97),
        Capability::new("PCMU", 8_000, 96),
        Capability::new("PCMA", 8_000, 96),
        Capability::new("telephone-event", 8_000, 101).with_fmtp("0-16"),
        Capability::new("telephone-event", 16_000, 102).with_fmtp("0-16"),
    ]
}

fn local() -> Local {
    Local {
        id: 77,
        address: [203, 0, 113, 5].into(),
        port: 40_000,
        rtcp_port: None,
        rtcp_mux: true,
        direction: Direction::SendRecv,
        ptime: None,
    }
}

fn parse(s: &str) -> Session {
    Session::parse(s.as_bytes()).unwrap()
}

#[test]
fn reads_what_phones_send() {
    let s = parse(PHONE);
    assert_eq!(s.media.len(), 3);
    let m = &s.media[0];
    let names: Vec<_> = m
        .formats
        .iter()
        .map(|f| (f.pt, f.name.as_str(), f.clock))
        .collect();
    assert_eq!(
        names,
        [
            (8, "PCMA", 8_000),
            (0, "PCMU", 8_000),
            (97, "speex", 16_000),
            (101, "telephone-event", 8_000),
            (13, "CN", 8_000)
        ]
    );
    assert_eq!(m.formats[2].fmtp.as_deref(), Some("mode=\"7\""));
    assert_eq!(m.ptime, Some(30));
    assert_eq!(m.rtcp, Some((53_020, None)));
    assert_eq!(m.attribute("x-unknown"), Some("1 2"));
    assert_eq!(m.connection, Some(Host::V4([192, 0, 2, 1].into())));
    assert_eq!(s.media[2].format_list, "t38");
    assert_eq!(s.attributes[0].name, "ice-ufrag");
    assert_eq!(parse(std::str::from_utf8(&s.to_bytes()).unwrap()), s);
}

#[test]
fn medium_overrides_session() {
    let s = parse(
        "v=0\no=- 1 1 IN IP6 2001:db8::1\ns=-\nc=IN IP6 2001:db8::1\nt=0 0\na=sendonly\n\
         m=audio 1000 RTP/AVP 0\nm=audio 2000 RTP/AVP 0\nc=IN IP4 0.0.0.0\na=sendrecv\n",
    );
    assert_eq!(s.media[0].direction, Direction::SendOnly);
    assert!(s.media[0].is_hold());
    assert_eq!(
        s.media[0].connection.as_ref().map(Host::to_string).as_deref(),
        Some("[2001:db8::1]")
    );
    assert_eq!(s.media[1].direction, Direction::SendRecv);
    assert_eq!(s.media[1].flow(), Direction::SendOnly);
    assert!(s.media[1].is_hold());
    let text = String::from_utf8(s.to_bytes()).unwrap();
    assert!(text.contains("c=IN IP6 2001:db8::1\r\n") && text.contains("c=IN IP4 0.0.0.0\r\n"));
}

#[test]
fn odd_bodies_are_read() {
    // Latin-1 in the name, no t=, a blank line at the end, spaces in rtpmap.
    let s = Session::parse(
        b"v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\ns=caf\xe9\r\nc=IN IP4 224.2.1.1/127\r\n\
        m=audio 5000 RTP/AVP 96 96 200 x\r\na=rtpmap:96 iLBC/8000 \r\na=ptime:20.0\r\n\r\n",
    )
    .unwrap();
    assert_eq!(s.name, "café");
    assert_eq!(s.connection, Some(Host::V4([224, 2, 1, 1].into())));
    assert_eq!(s.media[0].formats[0].name, "iLBC");
    assert_eq!(s.media[0].ptime, Some(20));
    assert!(matches!(Session::parse(b""), Err(Error::Sdp(_))));
    assert!(matches!(Session::parse(b"hello"), Err(Error::Sdp(_))));
    let many = format!("v=0\n{}", "m=audio 1 RTP/AVP 0\n".repeat(200));
    assert_eq!(Session::parse(many.as_bytes()), Err(Error::TooManyMedia(128)));
}

#[test]
fn an_answer_takes_one_medium_and_refuses_the_others() {
    let a = answer(&parse(PHONE), &local(), &capabilities(), Prefer::Ours).unwrap();
    let g = &a.agreed;
    assert_eq!(
        (g.format.name.as_str(), g.format.pt, g.capability),
        ("speex", 97, 0)
    );
    // The phone offered events at 8000 only.
    assert_eq!(
        (g.event_pt, g.receive_event_pt, g.event_clock),
        (Some(101), Some(101), 8_000)
    );
    assert_eq!((g.remote_port, g.remote_rtcp_port, g.ptime), (49_170, 53_020, 30));
    assert_eq!(g.direction, Direction::SendRecv);
    let m = &a.session.media;
    assert_eq!((m[0].port, m[1].port, m[2].port), (40_000, 0, 0));
    let text = String::from_utf8(a.session.to_bytes()).unwrap();
    assert!(text.contains(
        "m=audio 40000 RTP/AVP 97 101\r\na=rtpmap:97 speex/16000\r\na=rtpmap:101 telephone-event/8000\r\n\
             a=fmtp:101 0-16\r\na=ptime:30\r\na=sendrecv\r\n"
    ));
    assert!(text.contains("m=video 0 RTP/AVP 31\r\nm=image 0 udptl t38\r\n"));
    assert!(!text.contains("rtcp-mux"));
}

#[test]
fn the_policy_decides_whose_order_counts() {
    let a = answer(&parse(PHONE), &local(), &capabilities(), Prefer::Theirs).unwrap();
    assert_eq!((a.agreed.format.name.as_str(), a.agreed.capability), ("PCMA", 2));
    assert_eq!(a.agreed.event_pt, Some(101));
    assert!(String::from_utf8(a.session.to_bytes()).unwrap().contains(
        "m=audio 40000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n"
    ));
}

/// Events have the clock of the codec where both have that, else 8,000 Hz.
#[test]
fn events_beside_a_wideband_codec() {
    let wide = "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 97 101 100\r\na=rtpmap:97 speex/16000\r\n\
        a=rtpmap:101 telephone-event/8000\r\n";
    let both = format!("{wide}a=rtpmap:100 telephone-event/16000\r\n");
    for (text, pt, clock) in [(wide, 101, 8_000), (both.as_str(), 100, 16_000)] {
        let g = answer(&parse(text), &local(), &capabilities(), Prefer::Ours)
            .unwrap()
            .agreed;
        assert_eq!(
            (g.event_pt, g.receive_event_pt, g.event_clock),
            (Some(pt), Some(pt), clock)
        );
        // The same as an answer to our offer; ours are 101 at 8,000 and 102 at 16,000.
        let ours = offer(&local(), &capabilities());
        let g = accept(&ours, &parse(text), &local(), &capabilities()).unwrap();
        let expected = if clock == 8_000 { 101 } else { 102 };
        assert_eq!(
            (g.event_pt, g.receive_event_pt, g.event_clock),
            (Some(pt), Some(expected), clock)
        );
    }
    let none = wide.replace("telephone-event", "x-event");
    let g = answer(&parse(&none), &local(), &capabilities(), Prefer::Ours)
        .unwrap()
        .agreed;
    assert_eq!((g.event_pt, g.receive_event_pt), (None, None));
}

#[test]
fn nothing_in_common_is_said() {
    for body in [
        "v=0\nc=IN IP4 1.2.3.4\nm=audio 5000 RTP/AVP 18\n",
        "v=0\nc=IN IP4 1.2.3.4\nm=audio 0 RTP/AVP 0\n",
        "v=0\nc=IN IP4 1.2.3.4\nm=audio 5000 RTP/SAVP 0\n",
        "v=0\nc=IN IP4 1.2.3.4\nm=audio 5000 RTP/AVP 101\na=rtpmap:101 telephone-event/8000\n",
        "v=0\nc=IN IP4 1.2.3.4\n",
    ] {
        let result = answer(&parse(body), &local(), &capabilities(), Prefer::Ours);
        assert_eq!(result, Err(Error::Incompatible), "{body}");
    }
}

#[test]
fn a_secure_line_before_a_plain_one_is_passed_over() {
    let body =
        "v=0\nc=IN IP4 1.2.3.4\nm=audio 5000 RTP/SAVP 0\na=crypto:1 X inline:y\nm=audio 6000 RTP/AVP 0\n";
    let a = answer(&parse(body), &local(), &capabilities(), Prefer::Ours).unwrap();
    assert_eq!((a.agreed.index, a.agreed.remote_port), (1, 6000));
    assert_eq!(a.session.media[0].port, 0);
    assert_eq!(a.session.media.len(), 2);
}

#[test]
fn every_direction_is_answered_rightly() {
    use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
    for (theirs, wish, ours, hold) in [
        (SendRecv, SendRecv, SendRecv, false),
        (SendOnly, SendRecv, RecvOnly, true),
        (RecvOnly, SendRecv, SendOnly, false),
        (Inactive, SendRecv, Inactive, true),
        (SendRecv, SendOnly, SendOnly, false),
        (SendOnly, SendOnly, Inactive, true),
    ] {
        let body = format!(
            "v=0\nc=IN IP4 1.2.3.4\nm=audio 5000 RTP/AVP 0\na={}\n",
            theirs.as_str()
        );
        let mut l = local();
        l.direction = wish;
        let a = answer(&parse(&body), &l, &capabilities(), Prefer::Ours).unwrap();
        assert_eq!(
            (a.agreed.direction, a.agreed.on_hold),
            (ours, hold),
            "{theirs:?} {wish:?}"
        );
        assert_eq!(a.session.media[0].direction, ours);
    }
    let null = parse("v=0\nc=IN IP4 0.0.0.0\nm=audio 5000 RTP/AVP 0\n");
    let a = answer(&null, &local(), &capabilities(), Prefer::Ours).unwrap();
    assert_eq!((a.agreed.direction, a.agreed.remote), (Direction::RecvOnly, None));
}

#[test]
fn our_offer_and_our_answer_agree() {
    let caps = capabilities();
    let mut there = local();
    there.port = 41_000;
    there.ptime = Some(40);
    let offered = offer(&there, &caps);
    let numbers: Vec<_> = offered.media[0].formats.iter().map(|f| f.pt).collect();
    assert_eq!(numbers, [97, 0, 8, 101, 102]);
    let offered = parse(std::str::from_utf8(&offered.to_bytes()).unwrap());
    let a = answer(&offered, &local(), &caps, Prefer::Ours).unwrap();
    let answered = parse(std::str::from_utf8(&a.session.to_bytes()).unwrap());
    let g = accept(&offered, &answered, &there, &caps).unwrap();
    assert_eq!((&g.format.name, g.format.pt), (&a.agreed.format.name, 97));
    assert_eq!((g.event_pt, a.agreed.event_pt), (Some(102), Some(102)));
    assert_eq!((g.ptime, a.agreed.ptime), (40, 40));
    assert!(g.rtcp_mux && a.agreed.rtcp_mux);
    assert_eq!((g.remote_port, g.remote_rtcp_port), (40_000, 40_000));
}

#[test]
fn an_answer_may_renumber_and_take_several() {
    let offered = offer(&local(), &capabilities());
    let answered = parse(
        "v=0\no=- 1 1 IN IP4 9.9.9.9\ns=-\nc=IN IP4 9.9.9.9\nt=0 0\nm=audio 7000 RTP/AVP 110 8 111\n\
         a=rtpmap:110 SPEEX/16000\na=rtpmap:111 telephone-event/16000\na=recvonly\n",
    );
    let g = accept(&offered, &answered, &local(), &capabilities()).unwrap();
    assert_eq!((g.format.pt, g.receive_pt), (110, 97));
    assert_eq!((g.event_pt, g.receive_event_pt), (Some(111), Some(102)));
    assert_eq!(g.others.iter().map(|f| f.pt).collect::<Vec<_>>(), [8]);
    assert_eq!((g.direction, g.on_hold), (Direction::SendOnly, false));
    let refusal = parse("v=0\nc=IN IP4 9.9.9.9\nm=audio 0 RTP/AVP 0\n");
    assert_eq!(
        accept(&offered, &refusal, &local(), &capabilities()),
        Err(Error::Incompatible)
    );
}

#[test]
fn numbers_do_not_collide_in_an_offer() {
    let caps = vec![
        Capability::new("speex", 16_000, 97),
        Capability::new("speex", 8_000, 97),
        Capability::new("opus", 48_000, 96).with_channels(2),
    ];
    let o = offer(&local(), &caps);
    let numbers: Vec<_> = o.media[0].formats.iter().map(|f| f.pt).collect();
    assert_eq!(numbers, [97, 96, 98]);
}

#[test]
fn the_version_grows_only_with_a_change() {
    let first = offer(&local(), &capabilities());
    let same = offer(&local(), &capabilities()).follow(&first);
    assert_eq!(same, first);
    let mut l = local();
    l.direction = Direction::SendOnly;
    let held = offer(&l, &capabilities()).follow(&first);
    assert_eq!(held.origin.version, first.origin.version + 1);
    assert_eq!(held.origin.id, first.origin.id);
}
