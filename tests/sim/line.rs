//! What carries a client's words: a byte stream, or flows in datagrams.

use std::collections::VecDeque;
use std::net::SocketAddr;

use base::{Rng, Time};
use rtmfp::profile::certificate::Discriminator;
use rtmfp::tc::client::Connection as FlowConnection;
use rtmfp::{Endpoint, EndpointConfig, Event as EndpointEvent, Output};
use rtmp::amf::Value;
use rtmp::client::{ClientConfig, ConnectRequest, Connection, Event};
use rtmp::server::PublishKind;

use crate::gateway::{ADDRESS, DOMAIN, Datagram};

/// The gateway's port for RTMP and RTMFP.
pub const PORT: u16 = 1935;

pub enum Line {
    Stream(Box<Connection>),
    Flows(Box<Flows>),
}

/// An RTMFP client's endpoint.
pub struct Flows {
    pub endpoint: Endpoint,
    conn: FlowConnection,
    address: SocketAddr,
    /// Datagrams for the network.
    pub outgoing: VecDeque<Datagram>,
    over: bool,
}

impl Line {
    pub fn stream(rng: Rng, now: Time) -> Line {
        Line::Stream(Box::new(Connection::new(ClientConfig::default(), rng, now)))
    }

    pub fn flows(address: SocketAddr, mut rng: Rng, now: Time) -> Line {
        let mut entropy = [0; 32];
        rng.fill(&mut entropy);
        let mut endpoint = Endpoint::new(EndpointConfig::default(), entropy);
        let epd = Discriminator::uri(&format!("rtmfp://{DOMAIN}/call"));
        let handle = endpoint.open(now, &[SocketAddr::new(ADDRESS, PORT)], &epd);
        let conn = FlowConnection::new(ClientConfig::default(), handle, vec![address.to_string()], now);
        Line::Flows(Box::new(Flows {
            endpoint,
            conn,
            address,
            outgoing: VecDeque::new(),
            over: false,
        }))
    }

    pub fn connect(&mut self, request: &ConnectRequest) {
        match self {
            Line::Stream(c) => c.connect(request),
            Line::Flows(f) => f.conn.connect(request),
        }
    }

    pub fn publish(&mut self, name: &str) {
        match self {
            Line::Stream(c) => c.publish(name, PublishKind::Live),
            Line::Flows(f) => f.conn.publish(name, PublishKind::Live),
        };
    }

    pub fn play(&mut self, name: &str) -> u32 {
        match self {
            Line::Stream(c) => c.play(name),
            Line::Flows(f) => f.conn.play(name),
        }
    }

    pub fn call(&mut self, stream: u32, name: &str, args: &[Value]) {
        match self {
            Line::Stream(c) => c.call(stream, name, args),
            Line::Flows(f) => f.conn.session().call(stream, name, args),
        };
    }

    pub fn delete_stream(&mut self, stream: u32) {
        match self {
            Line::Stream(c) => c.delete_stream(stream),
            Line::Flows(f) => f.conn.session().delete_stream(stream),
        }
    }

    pub fn close(&mut self, now: Time) {
        match self {
            Line::Stream(c) => c.close(now),
            Line::Flows(f) => f.conn.close(now),
        }
    }

    pub fn send_audio(&mut self, now: Time, stream: u32, timestamp: u32, payload: &[&[u8]]) -> bool {
        match self {
            Line::Stream(c) => c.send_audio(now, stream, timestamp, payload, false),
            Line::Flows(f) => f.conn.send_audio(now, stream, timestamp, payload),
        }
    }

    pub fn handle_timeout(&mut self, now: Time) {
        match self {
            Line::Stream(c) => c.handle_timeout(now),
            Line::Flows(f) => {
                f.endpoint.handle_timeout(now);
                f.conn.handle_timeout(now);
                f.settle(now);
            }
        }
    }

    pub fn poll_timeout(&self) -> Option<Time> {
        match self {
            Line::Stream(c) => c.poll_timeout(),
            Line::Flows(f) => base::earliest(f.endpoint.poll_timeout(), f.conn.poll_timeout()),
        }
    }

    pub fn poll_event(&mut self) -> Option<Event<'_>> {
        match self {
            Line::Stream(c) => c.poll_event().unwrap(),
            Line::Flows(f) => f.conn.poll_event().unwrap(),
        }
    }

    /// Whether everything was said after the close.
    pub fn is_finished(&self) -> bool {
        match self {
            Line::Stream(c) => c.is_finished(),
            Line::Flows(f) => f.over,
        }
    }
}

impl Flows {
    pub fn datagram(&mut self, now: Time, datagram: &Datagram) {
        self.endpoint.handle_datagram(now, datagram.from, &datagram.bytes);
        self.settle(now);
    }

    /// The client's address changes: its NAT has forgotten it.
    pub fn rebind(&mut self, address: SocketAddr) {
        self.address = address;
    }

    /// Does what connection and endpoint want.
    pub fn settle(&mut self, now: Time) {
        loop {
            self.conn.flush(now, &mut self.endpoint);
            let Some(output) = self.endpoint.poll_output(now) else {
                return;
            };
            match output {
                Output::Transmit { to, datagram } => self.outgoing.push_back(Datagram {
                    from: self.address,
                    to,
                    bytes: datagram,
                }),
                Output::Work(work) => self.endpoint.handle_work(now, work.run()),
                Output::Event { event, .. } => {
                    if let EndpointEvent::Session(event) = event {
                        self.over |= matches!(event, rtmfp::SessionEvent::Closed(_));
                        self.conn.handle_event(now, event);
                    }
                }
            }
        }
    }
}
