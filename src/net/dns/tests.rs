//! Against a name server of our own on a loopback port.

use std::net::SocketAddr;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, NAPTR, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;

use super::*;

fn name(s: &str) -> Name {
    Name::from_ascii(s).unwrap()
}

fn records(owner: &Name, kind: RecordType) -> Vec<RData> {
    let naptr = |order, service: &[u8], to: &str| {
        let (flags, regexp): (&[u8], &[u8]) = (b"S", b"");
        RData::NAPTR(NAPTR::new(
            order,
            10,
            flags.into(),
            service.into(),
            regexp.into(),
            name(to),
        ))
    };
    match (owner.to_ascii().as_str(), kind) {
        ("example.com.", RecordType::NAPTR) => vec![
            naptr(20, b"SIP+D2U", "_sip._udp.example.com."),
            naptr(10, b"sip+d2t", "_sip._tcp.example.com."),
        ],
        ("_sip._udp.example.com.", RecordType::SRV) => vec![
            RData::SRV(SRV::new(20, 1, 5060, name("B.example.com."))),
            RData::SRV(SRV::new(10, 2, 5070, name("a.example.com."))),
        ],
        ("a.example.com.", RecordType::A) => vec![RData::A(A::new(192, 0, 2, 1))],
        _ => Vec::new(),
    }
}

async fn serve(socket: UdpSocket) {
    let mut buffer = [0; 1500];
    while let Ok((n, from)) = socket.recv_from(&mut buffer).await {
        let Ok(query) = Message::from_vec(&buffer[..n]) else {
            continue;
        };
        let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
        for question in &query.queries {
            answer.add_query(question.clone());
            if question.name().to_ascii().starts_with("broken") {
                answer.metadata.response_code = ResponseCode::ServFail;
            }
            for data in records(question.name(), question.query_type()) {
                answer.add_answer(Record::from_rdata(question.name().clone(), 60, data));
            }
        }
        let _ = socket.send_to(&answer.to_vec().unwrap(), from).await;
    }
}

async fn resolver() -> Resolver {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server: SocketAddr = socket.local_addr().unwrap();
    tokio::spawn(serve(socket));
    let mut connection = ConnectionConfig::udp();
    connection.port = server.port();
    let servers = vec![NameServerConfig::new(server.ip(), true, vec![connection])];
    let config = ResolverConfig::from_name_servers(servers);
    let inner = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    Resolver {
        inner: inner.build().unwrap(),
    }
}

#[tokio::test]
async fn records_come_sorted_and_in_one_spelling() {
    let dns = resolver().await;
    let naptr = dns.naptr("example.com").await.unwrap();
    assert_eq!(naptr[0].service, "SIP+D2T");
    assert_eq!(naptr[1].replacement, "_sip._udp.example.com");
    assert_eq!(naptr[1].flags, "s");
    let srv = dns.srv("_sip._udp.example.com").await.unwrap();
    assert_eq!((srv[0].port, srv[0].target.as_str()), (5070, "a.example.com"));
    assert_eq!(srv[1].target, "b.example.com");
    assert_eq!(
        dns.a("a.example.com").await.unwrap(),
        ["192.0.2.1".parse::<IpAddr>().unwrap()]
    );
}

#[tokio::test]
async fn no_record_is_an_empty_answer_and_a_broken_server_an_error() {
    let dns = resolver().await;
    assert_eq!(dns.naptr("nothing.example.com").await.unwrap(), []);
    assert_eq!(dns.aaaa("a.example.com").await.unwrap(), Vec::<IpAddr>::new());
    assert_eq!(dns.a("broken.example.com").await, Err(LookupError::Failed));
    assert_eq!(dns.a(&"x".repeat(300)).await, Err(LookupError::BadName));
}
