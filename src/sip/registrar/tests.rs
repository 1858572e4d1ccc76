use super::*;
use crate::transport::Transport;
use crate::{Message, parse_datagram};

fn registrar() -> Registrar {
    let mut config = EndpointConfig::default();
    config.limits.bindings = 3;
    config.limits.aors = 2;
    Registrar::new(&config)
}

fn source(conn: Option<u64>) -> Source {
    Source {
        transport: if conn.is_some() {
            Transport::Tcp
        } else {
            Transport::Udp
        },
        local: "192.0.2.1:5060".parse().unwrap(),
        remote: "192.0.2.9:40000".parse().unwrap(),
        conn: conn.map(ConnId),
    }
}

fn request(call_id: &str, cseq: u32, fields: &str) -> Request {
    let text = format!(
        "REGISTER sip:a.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@a.test>;tag=1\r\nTo: <sip:alice@a.test>\r\nCall-ID: {call_id}\r\n\
         CSeq: {cseq} REGISTER\r\n{fields}Content-Length: 0\r\n\r\n"
    );
    match parse_datagram(text.as_bytes()).unwrap() {
        Message::Request(r) => r,
        Message::Response(_) => panic!("a request"),
    }
}

fn now(s: u64) -> Time {
    Time::from_secs(s)
}

fn bound(r: &Registrar, at: u64) -> Vec<(String, u32)> {
    r.bindings(now(at), "alice@a.test")
        .into_iter()
        .map(|b| (b.target.to_string(), b.expires))
        .collect()
}

fn put(r: &mut Registrar, at: u64, call_id: &str, cseq: u32, fields: &str) -> Result<bool, Rejection> {
    r.register(
        now(at),
        "alice@a.test",
        &request(call_id, cseq, fields),
        source(None),
    )
}

#[test]
fn binds_refreshes_expires_and_removes() {
    let mut r = registrar();
    assert_eq!(
        put(&mut r, 0, "c", 1, "Contact: <sip:a@192.0.2.9>;expires=60\r\n"),
        Ok(true)
    );
    assert_eq!(bound(&r, 10), [("sip:a@192.0.2.9".to_owned(), 50)]);
    // A refresh is no change.
    assert_eq!(
        put(
            &mut r,
            30,
            "c",
            2,
            "Contact: <sip:a@192.0.2.9>\r\nExpires: 100\r\n"
        ),
        Ok(false)
    );
    assert_eq!(bound(&r, 30), [("sip:a@192.0.2.9".to_owned(), 100)]);
    assert_eq!(r.next_end(), Some(now(130)));
    assert_eq!(r.expire(now(129)), [] as [&str; 0]);
    assert_eq!(r.expire(now(130)), ["alice@a.test"]);
    assert_eq!(bound(&r, 130), []);
    assert_eq!(
        put(&mut r, 140, "c", 3, "Contact: <sip:a@192.0.2.9>\r\n"),
        Ok(true)
    );
    assert_eq!(bound(&r, 140), [("sip:a@192.0.2.9".to_owned(), 600)]);
    assert_eq!(
        put(&mut r, 141, "c", 4, "Contact: <sip:a@192.0.2.9>;expires=0\r\n"),
        Ok(true)
    );
    assert_eq!(r.next_end(), None);
}

#[test]
fn durations_are_bounded() {
    let mut r = registrar();
    assert_eq!(
        put(&mut r, 0, "c", 1, "Contact: <sip:a@192.0.2.9>;expires=5\r\n"),
        Err(Rejection::TooBrief(30))
    );
    assert_eq!(
        put(
            &mut r,
            0,
            "c",
            2,
            "Contact: <sip:a@192.0.2.9>;expires=99999999999\r\n"
        ),
        Ok(true)
    );
    assert_eq!(bound(&r, 0), [("sip:a@192.0.2.9".to_owned(), 3600)]);
}

#[test]
fn an_older_request_changes_nothing() {
    let mut r = registrar();
    put(&mut r, 0, "c", 5, "Contact: <sip:a@192.0.2.9>\r\n").unwrap();
    let stale = put(&mut r, 1, "c", 5, "Contact: <sip:a@192.0.2.9>;expires=0\r\n");
    assert_eq!(stale, Err(Rejection::OutOfOrder));
    let stale = put(&mut r, 1, "c", 4, "Contact: *\r\nExpires: 0\r\n");
    assert_eq!(stale, Err(Rejection::OutOfOrder));
    // Nothing of it: not the new contact either.
    let mixed = "Contact: <sip:b@192.0.2.9>, <sip:a@192.0.2.9>\r\n";
    assert_eq!(put(&mut r, 1, "c", 4, mixed), Err(Rejection::OutOfOrder));
    assert_eq!(bound(&r, 1).len(), 1);
    // Another Call-ID may always.
    assert_eq!(
        put(&mut r, 1, "d", 1, "Contact: <sip:a@192.0.2.9>;expires=0\r\n"),
        Ok(true)
    );
}

#[test]
fn star_stands_alone_and_with_zero() {
    let mut r = registrar();
    put(
        &mut r,
        0,
        "c",
        1,
        "Contact: <sip:a@192.0.2.9>, <sip:b@192.0.2.9>\r\n",
    )
    .unwrap();
    assert_eq!(
        put(&mut r, 0, "c", 2, "Contact: *\r\n"),
        Err(Rejection::Malformed)
    );
    assert_eq!(
        put(&mut r, 0, "c", 2, "Contact: *\r\nExpires: 9\r\n"),
        Err(Rejection::Malformed)
    );
    assert_eq!(bound(&r, 0).len(), 2);
    assert_eq!(put(&mut r, 0, "c", 3, "Contact: *\r\nExpires: 0\r\n"), Ok(true));
    assert_eq!(bound(&r, 0), []);
}

#[test]
fn preference_orders_and_limits_hold() {
    let mut r = registrar();
    let three = "Contact: <sip:a@h.test>;q=0.3, <sip:b@h.test>;q=0.75, <sip:c@h.test>\r\n";
    put(&mut r, 0, "c", 1, three).unwrap();
    let order: Vec<_> = r
        .bindings(now(0), "alice@a.test")
        .into_iter()
        .map(|b| b.q)
        .collect();
    assert_eq!(order, [1000, 750, 300]);
    assert_eq!(
        put(&mut r, 0, "c", 2, "Contact: <sip:d@h.test>\r\n"),
        Err(Rejection::TooMany)
    );
    let one = request("x", 1, "Contact: <sip:a@h.test>\r\n");
    assert_eq!(r.register(now(0), "b@a.test", &one, source(None)), Ok(true));
    assert_eq!(
        r.register(now(0), "c@a.test", &one, source(None)),
        Err(Rejection::Full)
    );
}

#[test]
fn an_instance_replaces_its_former_contact() {
    let mut r = registrar();
    let contact =
        |port: u16| format!("Contact: <sip:a@h.test:{port}>;+sip.instance=\"<urn:uuid:1>\";reg-id=1\r\n");
    put(&mut r, 0, "c", 1, &contact(1000)).unwrap();
    put(&mut r, 0, "d", 1, &contact(2000)).unwrap();
    assert_eq!(bound(&r, 0), [("sip:a@h.test:2000".to_owned(), 600)]);
}

#[test]
fn bindings_know_their_way_back() {
    let mut r = registrar();
    let req = request("c", 1, "Contact: <sip:a@10.0.0.7;transport=tcp>\r\n");
    r.register(now(0), "alice@a.test", &req, source(Some(7))).unwrap();
    let req = request("d", 1, "Contact: <sip:b@192.0.2.9;transport=tcp>\r\n");
    r.register(now(0), "alice@a.test", &req, source(Some(7))).unwrap();
    assert!(
        r.bindings(now(0), "alice@a.test")
            .iter()
            .all(|b| b.flow == Some(source(Some(7))))
    );
    // The connection goes: the private address is lost with it, the public one can be reached anew.
    assert_eq!(r.drop_flow(ConnId(7)), ["alice@a.test"]);
    let left = r.bindings(now(0), "alice@a.test");
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].flow, None);
    // Through a proxy there is no flow but a path.
    let req = request(
        "e",
        1,
        "Contact: <sip:c@10.0.0.8>\r\nPath: <sip:edge.test;lr>\r\n",
    );
    r.register(now(0), "bob@a.test", &req, source(None)).unwrap();
    let [b] = &r.bindings(now(0), "bob@a.test")[..] else {
        panic!("one binding");
    };
    assert_eq!(
        (b.flow, b.path[0].to_string()),
        (None, "sip:edge.test;lr".to_owned())
    );
}
