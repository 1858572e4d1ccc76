//! What carries a client's words: a byte stream, or flows in datagrams.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use base::{Rng, Time};
use rtmfp::profile::certificate::{Discriminator, Fingerprint, Identity};
use rtmfp::profile::dh::Group;
use rtmfp::profile::random::Random;
use rtmfp::tc::client::Connection as FlowConnection;
use rtmfp::{Endpoint, EndpointConfig, Event as EndpointEvent, Handle, Output, Priority, SessionEvent};
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
    /// Sessions with other clients, and what was heard in them.
    pub direct: Vec<(Handle, SocketAddr)>,
    pub direct_messages: Vec<(Time, Vec<u8>)>,
    main: Handle,
    id: Fingerprint,
}

impl Line {
    pub fn stream(rng: Rng, now: Time) -> Line {
        Line::Stream(Box::new(Connection::new(ClientConfig::default(), rng, now)))
    }

    pub fn flows(address: SocketAddr, mut rng: Rng, now: Time) -> Line {
        let mut entropy = [0; 32];
        rng.fill(&mut entropy);
        // As Flash Player does it: a lasting key, by which other clients find it.
        let identity = Identity::client(Group::Modp1024, &mut Random::new(entropy)).map(Arc::new);
        let id = identity.as_ref().unwrap().certificate().fingerprint();
        let config = EndpointConfig {
            client: identity.clone(),
            server: identity,
            answer_forwarded: true,
            ..EndpointConfig::default()
        };
        let mut endpoint = Endpoint::new(config, entropy);
        let epd = Discriminator::uri(&format!("rtmfp://{DOMAIN}/call"));
        let handle = endpoint.open(now, &[SocketAddr::new(ADDRESS, PORT)], &epd);
        let conn = FlowConnection::new(ClientConfig::default(), handle, vec![address.to_string()], now);
        Line::Flows(Box::new(Flows {
            endpoint,
            conn,
            address,
            outgoing: VecDeque::new(),
            over: false,
            direct: Vec::new(),
            direct_messages: Vec::new(),
            main: handle,
            id,
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

    /// By which other clients ask for this one.
    pub fn id(&self) -> Fingerprint {
        self.id
    }

    /// Looks for another client, whom the gateway knows.
    pub fn meet(&mut self, now: Time, peer: Fingerprint) {
        let gateway = SocketAddr::new(ADDRESS, PORT);
        self.endpoint.open(now, &[gateway], &Discriminator::peer(peer));
        self.settle(now);
    }

    /// Opens a flow to another client.
    pub fn direct_flow(&mut self) -> u64 {
        let metadata = rtmfp::tc::metadata(1);
        let (handle, _) = self.direct[0];
        let flow = self
            .endpoint
            .open_flow(handle, &metadata, None, Priority::RealTime);
        flow.unwrap()
    }

    /// Sends another client a message.
    pub fn send_direct(&mut self, now: Time, flow: u64, message: Vec<u8>) {
        let (handle, _) = self.direct[0];
        assert!(self.endpoint.send(handle, flow, message, None));
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
                Output::Seek(_) => {}
                Output::Event { handle, event } => match event {
                    EndpointEvent::Session(event) if handle == self.main => {
                        self.over |= matches!(event, SessionEvent::Closed(_));
                        self.conn.handle_event(now, event);
                    }
                    EndpointEvent::Session(SessionEvent::Message { data, .. }) => {
                        self.direct_messages.push((now, data));
                    }
                    EndpointEvent::Opened { from, .. } if handle != self.main => {
                        self.direct.push((handle, from));
                    }
                    _ => {}
                },
            }
        }
    }
}
