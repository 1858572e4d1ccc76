//! Searches against a table of records.

use super::*;

struct Zone(Vec<(Query, Records)>);

impl Zone {
    /// Runs a search; gives the questions asked and the outcome.
    fn run(&self, uri: &str, options: Options) -> (Vec<Query>, Result<Vec<String>, Error>) {
        let mut asked = Vec::new();
        let mut l = match Locate::new(Time::ZERO, &uri.parse().unwrap(), options, Rng::new(1)) {
            Ok(l) => l,
            Err(e) => return (asked, Err(e)),
        };
        while let Some((id, query)) = l.poll_query() {
            let found = self.0.iter().find(|(q, _)| *q == query);
            asked.push(query);
            l.handle_answer(id, found.map_or(Records::None, |(_, r)| r.clone()));
        }
        let result = l.poll_result().expect("every question was answered");
        assert_eq!(l.poll_timeout(), None);
        (asked, result.map(|list| list.iter().map(show).collect()))
    }
}

fn show(d: &Destination) -> String {
    format!("{} {}", d.transport, d.addr)
}

fn a(host: &str, ips: &[&str]) -> (Query, Records) {
    let list: Vec<IpAddr> = ips.iter().map(|ip| ip.parse().unwrap()).collect();
    let query = match list.first() {
        Some(IpAddr::V6(_)) => Query::Aaaa(host.into()),
        _ => Query::A(host.into()),
    };
    (query, Records::Addresses(list))
}

fn srv(name: &str, list: &[(u16, u16, u16, &str)]) -> (Query, Records) {
    let record = |&(priority, weight, port, target): &(u16, u16, u16, &str)| Srv {
        priority,
        weight,
        port,
        target: target.into(),
    };
    (
        Query::Srv(name.into()),
        Records::Srv(list.iter().map(record).collect()),
    )
}

fn naptr(name: &str, list: &[(u16, u16, &str, &str)]) -> (Query, Records) {
    let record = |&(order, preference, service, replacement): &(u16, u16, &str, &str)| Naptr {
        order,
        preference,
        flags: "s".into(),
        service: service.into(),
        replacement: replacement.into(),
    };
    (
        Query::Naptr(name.into()),
        Records::Naptr(list.iter().map(record).collect()),
    )
}

fn all() -> Options {
    Options {
        transports: Transport::ALL.to_vec(),
        ..Options::default()
    }
}

#[test]
fn numeric_hosts_need_no_question() {
    let zone = Zone(Vec::new());
    for (uri, expected) in [
        ("sip:alice@192.0.2.1", "UDP 192.0.2.1:5060"),
        ("sip:192.0.2.1:5070;transport=tcp", "TCP 192.0.2.1:5070"),
        ("sips:192.0.2.1", "TLS 192.0.2.1:5061"),
        ("sips:192.0.2.1;transport=tcp", "TLS 192.0.2.1:5061"),
        ("sip:[2001:db8::1]", "UDP [2001:db8::1]:5060"),
        ("sip:example.com;maddr=192.0.2.9", "UDP 192.0.2.9:5060"),
        ("sip:192.0.2.1;transport=ws", "WS 192.0.2.1:80"),
    ] {
        let (asked, found) = zone.run(uri, all());
        assert_eq!((asked, found), (vec![], Ok(vec![expected.to_owned()])), "{uri}");
    }
}

#[test]
fn a_port_leads_straight_to_addresses() {
    let zone = Zone(vec![
        a("example.com", &["192.0.2.1", "192.0.2.2"]),
        a("example.com", &["2001:db8::1"]),
    ]);
    let (asked, found) = zone.run("sip:example.com:5080", Options::default());
    assert_eq!(asked.len(), 2);
    let expected = [
        "UDP 192.0.2.1:5080",
        "UDP 192.0.2.2:5080",
        "UDP [2001:db8::1]:5080",
    ];
    assert_eq!(found.unwrap(), expected);
    let options = Options {
        prefer_ipv6: true,
        ..Options::default()
    };
    assert_eq!(
        zone.run("sip:example.com:5080", options).1.unwrap()[0],
        "UDP [2001:db8::1]:5080"
    );
    let options = Options {
        ipv6: false,
        ..Options::default()
    };
    let (asked, found) = zone.run("sip:example.com:5080", options);
    assert_eq!((asked.len(), found.unwrap().len()), (1, 2));
}

#[test]
fn the_example_of_rfc_3263() {
    let zone = Zone(vec![
        naptr(
            "example.com",
            &[
                (50, 50, "SIPS+D2T", "_sips._tcp.example.com"),
                (90, 50, "SIP+D2T", "_sip._tcp.example.com"),
                (100, 50, "SIP+D2U", "_sip._udp.example.com"),
            ],
        ),
        srv(
            "_sip._tcp.example.com",
            &[
                (0, 1, 5060, "server1.example.com"),
                (0, 2, 5060, "server2.example.com."),
            ],
        ),
        a("server1.example.com", &["192.0.2.1"]),
        a("server2.example.com", &["192.0.2.2"]),
    ]);
    let (_, found) = zone.run("sip:user@example.com", Options::default());
    let mut found = found.unwrap();
    found.sort();
    assert_eq!(found, ["TCP 192.0.2.1:5060", "TCP 192.0.2.2:5060"]);
}

#[test]
fn without_naptr_each_transport_is_looked_for() {
    let zone = Zone(vec![
        srv("_sip._tcp.example.com", &[(0, 0, 5064, "b.example.com")]),
        srv("_sip._udp.example.com", &[(0, 0, 5062, "a.example.com")]),
        a("a.example.com", &["192.0.2.1"]),
        a("b.example.com", &["192.0.2.2"]),
    ]);
    let (_, found) = zone.run("sip:example.com", Options::default());
    assert_eq!(found.unwrap(), ["UDP 192.0.2.1:5062", "TCP 192.0.2.2:5064"]);
    let (asked, found) = zone.run("sip:example.com;transport=TCP", Options::default());
    assert_eq!(asked[0], Query::Srv("_sip._tcp.example.com".into()));
    assert_eq!(found.unwrap(), ["TCP 192.0.2.2:5064"]);
}

#[test]
fn without_any_service_the_name_itself_is_tried() {
    let zone = Zone(vec![a("example.com", &["192.0.2.1"])]);
    let (asked, found) = zone.run("sip:example.com", Options::default());
    assert_eq!(asked.len(), 5);
    assert_eq!(found.unwrap(), ["UDP 192.0.2.1:5060"]);
    assert_eq!(
        zone.run("sips:example.com", all()).1.unwrap(),
        ["TLS 192.0.2.1:5061"]
    );
    assert_eq!(zone.run("sip:nowhere.example", all()).1, Err(Error::Unlocated));
}

#[test]
fn a_dot_means_no() {
    let zone = Zone(vec![
        srv("_sip._udp.example.com", &[(0, 0, 0, ".")]),
        a("example.com", &["192.0.2.1"]),
    ]);
    assert_eq!(
        zone.run("sip:example.com;transport=udp", all()).1,
        Err(Error::Unlocated)
    );
}

#[test]
fn sips_never_leaves_tls() {
    let zone = Zone(vec![
        naptr(
            "example.com",
            &[
                (1, 1, "SIP+D2U", "_sip._udp.example.com"),
                (2, 1, "SIPS+D2T", "_sips._tcp.example.com"),
            ],
        ),
        srv("_sip._udp.example.com", &[(0, 0, 5060, "a.example.com")]),
        srv("_sips._tcp.example.com", &[(0, 0, 5061, "a.example.com")]),
        a("a.example.com", &["192.0.2.1"]),
    ]);
    assert_eq!(
        zone.run("sips:example.com", all()).1.unwrap(),
        ["TLS 192.0.2.1:5061"]
    );
    let none = zone.run("sips:example.com", Options::default()).1;
    assert!(matches!(none, Err(Error::Uri(_))));
    let none = zone.run("sips:example.com;transport=udp", all()).1;
    assert!(matches!(none, Err(Error::Uri(_))));
}

#[test]
fn priorities_are_kept_and_weights_drawn() {
    let record = |priority, weight, port| Srv {
        priority,
        weight,
        port,
        target: "h".into(),
    };
    let mut rng = Rng::new(5);
    let mut first = [0; 4];
    for _ in 0..10_000 {
        let list = vec![
            record(2, 9, 3),
            record(1, 0, 0),
            record(1, 10, 1),
            record(1, 30, 2),
        ];
        let ports: Vec<_> = in_order(list, &mut rng).iter().map(|r| r.port).collect();
        assert_eq!(ports[3], 3);
        first[usize::from(ports[0])] += 1;
    }
    // 1 in 41, 10 in 41, 30 in 41, never.
    assert!((150..350).contains(&first[0]), "{first:?}");
    assert!((2_200..2_700).contains(&first[1]), "{first:?}");
    assert_eq!(first[3], 0);
}

#[test]
fn large_requests_try_tcp_first() {
    let options = Options {
        large: true,
        ..Options::default()
    };
    let (_, found) = Zone(Vec::new()).run("sip:192.0.2.1", options);
    assert_eq!(found.unwrap(), ["TCP 192.0.2.1:5060", "UDP 192.0.2.1:5060"]);
}

#[test]
fn silence_ends_at_the_deadline() {
    let uri = "sip:example.com:5060".parse().unwrap();
    let mut l = Locate::new(Time::ZERO, &uri, Options::default(), Rng::new(1)).unwrap();
    let (id, query) = l.poll_query().unwrap();
    assert_eq!(query, Query::A("example.com".into()));
    l.handle_answer(id, Records::Addresses(vec!["192.0.2.1".parse().unwrap()]));
    l.handle_timeout(Time::from_millis(4_999));
    assert_eq!(l.poll_result(), None);
    assert_eq!(l.poll_timeout(), Some(Time::from_secs(5)));
    l.handle_timeout(Time::from_secs(5));
    assert_eq!(l.poll_result().unwrap().unwrap().len(), 1);
    assert_eq!(l.poll_result(), None);
}

#[test]
fn a_flood_of_records_is_cut() {
    let many: Vec<(u16, u16, u16, &str)> = (0..1_000).map(|i| (i, 0, 5060, "a.example.com")).collect();
    let ips: Vec<String> = (0..1_000)
        .map(|i| format!("10.0.{}.{}", i / 250, i % 250))
        .collect();
    let ips: Vec<&str> = ips.iter().map(String::as_str).collect();
    let zone = Zone(vec![
        srv("_sip._udp.example.com", &many),
        a("a.example.com", &ips),
    ]);
    let (asked, found) = zone.run("sip:example.com", Options::default());
    assert!(asked.len() < 10);
    assert_eq!(found.unwrap().len(), MAX_DESTINATIONS);
}
