use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::*;
use crate::net::testing::{Authority, Folder};
use crate::net::{Limits, Trust};

const OPTIONS: &str = "OPTIONS sip:x@a.test SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:1;branch=z9hG4bKo;rport\r\n\
                       Max-Forwards: 70\r\nFrom: <sip:y@b.test>;tag=y\r\nTo: <sip:x@a.test>\r\nCall-ID: o\r\n\
                       CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";

fn gate(listeners: Vec<TcpListener>) -> Gate {
    let (total, per_address) = (10, 10);
    Gate::new(listeners, Limits { total, per_address })
}

/// Transports that trust an authority and listen for nothing.
fn client(ca: &Authority, folder: &Folder) -> (Transports, mpsc::Receiver<Arrival>) {
    let trust = folder.write("ca.pem", &ca.pem());
    let (arrivals, arrived) = mpsc::channel(16);
    let sockets = SipSockets {
        udp: Vec::new(),
        gate: gate(Vec::new()),
        spoken: Vec::new(),
        origins: Origins::default(),
        acceptor: None,
        connector: Some(TlsConnector::new(Trust::File(&trust), None).unwrap()),
    };
    (Transports::start(sockets, arrivals).unwrap(), arrived)
}

/// Transports that listen for TLS as `name`.
async fn server(
    ca: &Authority,
    folder: &Folder,
    name: &str,
) -> (Transports, mpsc::Receiver<Arrival>, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (arrivals, arrived) = mpsc::channel(16);
    let sockets = SipSockets {
        udp: Vec::new(),
        gate: gate(vec![listener]),
        spoken: vec![Transport::Tls],
        origins: Origins::default(),
        acceptor: Some(TlsAcceptor::new(ca.identity(folder, name)).unwrap()),
        connector: None,
    };
    (Transports::start(sockets, arrivals).unwrap(), arrived, address)
}

fn peer(remote: SocketAddr, domain: Option<&str>) -> Peer {
    Peer {
        remote,
        conn: None,
        domain: domain.map(Into::into),
    }
}

async fn next(arrived: &mut mpsc::Receiver<Arrival>) -> Arrival {
    let arrival = tokio::time::timeout(Duration::from_secs(10), arrived.recv()).await;
    arrival.expect("an arrival in time").unwrap()
}

#[tokio::test]
async fn a_request_goes_by_tls_to_who_proves_to_be_it_and_the_answer_comes_back() {
    let (folder, ca) = (Folder::new("sip-both"), Authority::new("ca"));
    let (mut ours, mut at_us) = client(&ca, &folder);
    let (mut theirs, mut at_them, address) = server(&ca, &folder, "b.test").await;
    let send = |t: &mut Transports, domain| {
        t.send(Transport::Tls, None, peer(address, domain), OPTIONS.into())
            .unwrap();
    };
    send(&mut ours, Some("b.test"));
    let Arrival::Connected(conn, writer, source) = next(&mut at_us).await else {
        panic!("a connection");
    };
    ours.connected(conn, writer, source);
    let Arrival::Connected(back, writer, from) = next(&mut at_them).await else {
        panic!("a connection");
    };
    theirs.connected(back, writer, from);
    let Arrival::Message(source, Ok(_)) = next(&mut at_them).await else {
        panic!("a message");
    };
    assert_eq!((source.transport, source.conn), (Transport::Tls, Some(back)));
    // The same connection is used again for the same domain, and for what needs no proof.
    send(&mut ours, Some("b.test"));
    send(&mut ours, None);
    for _ in 0..2 {
        let Arrival::Message(again, Ok(_)) = next(&mut at_them).await else {
            panic!("a message");
        };
        assert_eq!(again.conn, source.conn);
    }
    // And backward, for what names it.
    let named = Peer {
        conn: source.conn,
        ..peer(source.remote, None)
    };
    theirs.send(Transport::Tls, None, named, OPTIONS.into()).unwrap();
    let Arrival::Message(source, Ok(_)) = next(&mut at_us).await else {
        panic!("a message");
    };
    assert_eq!(source.conn, Some(conn));
    // For another domain it does not do, and the server cannot show that domain's certificate.
    send(&mut ours, Some("c.test"));
    let Arrival::Closed(other, remote) = next(&mut at_us).await else {
        panic!("no connection");
    };
    assert!(other != conn && remote == address);
    assert!(matches!(
        theirs.send(
            Transport::Tls,
            None,
            peer("127.0.0.1:9".parse().unwrap(), None),
            Vec::new()
        ),
        Err(SendError::Refused)
    ));
}

#[tokio::test]
async fn a_connection_that_opens_no_tls_is_closed() {
    let (folder, ca) = (Folder::new("sip-clear"), Authority::new("ca"));
    let (_theirs, mut at_them, address) = server(&ca, &folder, "b.test").await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(OPTIONS.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    // An alert perhaps, and the end.
    let _reset = stream.read_to_end(&mut said).await;
    assert!(said.len() < 10);
    assert!(at_them.try_recv().is_err());
}

/// Transports that listen for WebSocket.
async fn websocket_server() -> (Transports, mpsc::Receiver<Arrival>, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (arrivals, arrived) = mpsc::channel(16);
    let sockets = SipSockets {
        udp: Vec::new(),
        gate: gate(vec![listener]),
        spoken: vec![Transport::Ws],
        origins: Origins::default(),
        acceptor: None,
        connector: None,
    };
    (Transports::start(sockets, arrivals).unwrap(), arrived, address)
}

type Socket = WebSocketStream<TcpStream>;

async fn websocket(address: SocketAddr, fields: &[(&'static str, &str)]) -> Result<Socket, u16> {
    let mut request = format!("ws://{address}/").into_client_request().unwrap();
    for (name, value) in fields {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let stream = TcpStream::connect(address).await.unwrap();
    match tokio_tungstenite::client_async(request, stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(other) => panic!("{other}"),
    }
}

const SIP: (&str, &str) = ("sec-websocket-protocol", "sip");

#[tokio::test]
async fn messages_and_keep_alives_pass_over_a_websocket() {
    let (mut ours, mut arrived, address) = websocket_server().await;
    let mut socket = websocket(address, &[SIP]).await.unwrap();
    let Arrival::Connected(conn, writer, source) = next(&mut arrived).await else {
        panic!("a connection");
    };
    assert_eq!((source.transport, source.conn), (Transport::Ws, Some(conn)));
    ours.connected(conn, writer, source);
    for message in [Message::text(OPTIONS), Message::binary(OPTIONS)] {
        socket.send(message).await.unwrap();
        assert!(matches!(next(&mut arrived).await, Arrival::Message(s, Ok(_)) if s == source));
    }
    socket.send(Message::text("\r\n\r\n")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("\r\n"));
    let named = Peer {
        conn: Some(conn),
        ..peer(source.remote, None)
    };
    ours.send(Transport::Ws, None, named.clone(), OPTIONS.into())
        .unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(OPTIONS));
    // What cannot be read is answered by the endpoint; the connection stands.
    socket.send(Message::text("nonsense")).await.unwrap();
    assert!(matches!(next(&mut arrived).await, Arrival::Message(_, Err(_))));
    socket.send(Message::text("x".repeat(100_000))).await.unwrap();
    assert!(matches!(next(&mut arrived).await, Arrival::Closed(c, _) if c == conn));
    ours.closed(conn);
    assert!(matches!(
        ours.send(Transport::Ws, None, named, OPTIONS.into()),
        Err(SendError::Refused)
    ));
}

#[tokio::test]
async fn who_does_not_ask_for_sip_or_comes_from_elsewhere_is_refused() {
    let (_ours, mut arrived, address) = websocket_server().await;
    assert_eq!(websocket(address, &[]).await.err(), Some(400));
    let other = ("sec-websocket-protocol", "mqtt");
    assert_eq!(websocket(address, &[other]).await.err(), Some(400));
    let foreign = ("origin", "https://evil.example");
    assert_eq!(websocket(address, &[SIP, foreign]).await.err(), Some(403));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert!(
        said.starts_with("HTTP/1.1 426 ") && said.contains("Sec-Websocket-Version: 13"),
        "{said}"
    );
    assert!(arrived.try_recv().is_err());
}
