//! What a session costs that has connected and does nothing.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use base::{Rng, Time};
use rtmp::client::{ClientConfig, ConnectRequest, Connection, Event};

use crate::measure::Reading;
use crate::rest;

/// Bytes of Rust's heap for each of so many idle sessions. The clients' own state is let go before the reading.
pub fn session_bytes(port: u16, sessions: usize) -> f64 {
    // One that warms up what all share.
    let _first = connect(port);
    rest(Duration::from_millis(300));
    let before = Reading::now().live;
    let sockets: Vec<TcpStream> = (0..sessions).map(|_| connect(port)).collect();
    rest(Duration::from_millis(500));
    let bytes = (Reading::now().live - before) as f64 / sessions as f64;
    drop(sockets);
    rest(Duration::from_millis(500));
    bytes
}

fn connect(port: u16) -> TcpStream {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut client = Connection::new(
        ClientConfig::default(),
        Rng::new(u64::from(port)),
        Time::from_secs(1),
    );
    client.connect(&ConnectRequest::player(
        "call",
        &format!("rtmp://127.0.0.1:{port}/call"),
    ));
    let mut out = Vec::new();
    let mut input = [0; 16_384];
    loop {
        while let Some(event) = client.poll_event().unwrap() {
            if matches!(event, Event::Connected { .. }) {
                return socket;
            }
        }
        client.poll_transmit(Time::from_secs(1), &mut out, 65_536);
        socket.write_all(&out).unwrap();
        out.clear();
        let n = socket.read(&mut input).unwrap();
        assert!(n > 0, "the gateway closed an idle session");
        client.handle_input(Time::from_secs(1), &input[..n]);
    }
}
