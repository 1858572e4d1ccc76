//! The connection of a call: RTMP over TCP or TLS, or RTMFP over UDP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use base::{Rng, Time};
use rtmfp::profile::certificate::Discriminator;
use rtmfp::tc::client::Connection as FlowConnection;
use rtmfp::{Endpoint, EndpointConfig, Event as EndpointEvent, Output, SessionEvent};
use rtmp::amf::Value;
use rtmp::client::{ClientConfig, ConnectRequest, Connection, Event, PublishKind};
use rtmp::url::Url;
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;

use crate::net::{self, Clock, Wire};

/// Bytes handed to the socket at a time.
const BUDGET: usize = 4_096;
/// Datagrams read before something is said.
const DATAGRAMS_PER_TURN: usize = 64;

/// A connection to a gateway.
pub(super) enum Line {
    /// A byte stream.
    Rtmp(Box<Stream>),
    /// Flows over UDP.
    Rtmfp(Box<Flows>),
}

/// RTMP over a byte stream.
pub(super) struct Stream {
    wire: Wire,
    client: Connection,
    /// Bytes for the socket; the client is asked for more when it is empty, so that late audio waits there,
    /// where it can be dropped.
    out: Vec<u8>,
    /// The socket would not take all.
    blocked: bool,
    clock: Clock,
}

/// RTMFP.
pub(super) struct Flows {
    socket: UdpSocket,
    endpoint: Endpoint,
    client: FlowConnection,
    /// Arithmetic under way.
    works: JoinSet<rtmfp::Done>,
    open: bool,
    over: bool,
    clock: Clock,
}

impl Line {
    /// A line over a connection that is there.
    pub(super) fn stream(wire: Wire, rng: Rng, clock: Clock, request: &ConnectRequest) -> Line {
        let mut client = Connection::new(ClientConfig::default(), rng, clock.now());
        client.connect(request);
        Line::Rtmp(Box::new(Stream {
            wire,
            client,
            out: Vec::new(),
            blocked: false,
            clock,
        }))
    }

    /// Opens an RTMFP session within `patience`.
    pub(super) async fn rtmfp(
        url: &Url,
        clock: Clock,
        request: &ConnectRequest,
        patience: Duration,
    ) -> Result<Line, String> {
        let Url { host, port, .. } = url;
        let at = format!("{host} port {port} (UDP)");
        let fail = |e: io::Error| format!("{at}: {e}");
        let found = tokio::net::lookup_host((host.as_str(), *port))
            .await
            .map_err(fail)?;
        let mut addresses: Vec<SocketAddr> = found.collect();
        // One socket is of one family; the first that the system names is the one it prefers.
        let first = *addresses.first().ok_or_else(|| format!("{at}: has no address"))?;
        addresses.retain(|a| a.is_ipv4() == first.is_ipv4());
        let any: SocketAddr = if first.is_ipv4() {
            (std::net::Ipv4Addr::UNSPECIFIED, 0).into()
        } else {
            (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
        };
        let socket = UdpSocket::bind(any).await.map_err(fail)?;
        // Until then the runtime takes the socket for full, and the first datagram would be lost.
        socket.writable().await.map_err(fail)?;
        let entropy = net::entropy().map_err(|e| format!("no randomness: {e}"))?;
        let mut endpoint = Endpoint::new(EndpointConfig::default(), entropy);
        let now = clock.now();
        let epd = Discriminator::uri(&request.tc_url);
        let handle = endpoint.open(now, &addresses, &epd);
        // Our own addresses are nobody's business: nobody is to be introduced to a test call.
        let mut client = FlowConnection::new(ClientConfig::default(), handle, Vec::new(), now);
        client.connect(request);
        let mut flows = Flows {
            socket,
            endpoint,
            client,
            works: JoinSet::new(),
            open: false,
            over: false,
            clock,
        };
        let last = now + patience;
        while !flows.open {
            flows.settle(clock.now());
            if flows.over || clock.now() >= last {
                let waited = patience.as_secs();
                return Err(format!(
                    "{at}: no answer within {waited} s; is the gateway running, with [rtmfp] open?"
                ));
            }
            let due = base::earliest(flows.endpoint.poll_timeout(), Some(last));
            tokio::select! {
                read = flows.ready() => read.map_err(|e| format!("{at}: {e}"))?,
                () = clock.sleep_until(due) => {}
            }
            flows.endpoint.handle_timeout(clock.now());
        }
        Ok(Line::Rtmfp(Box::new(flows)))
    }

    /// Waits for the socket, and takes what it brings.
    pub(super) async fn ready(&mut self) -> io::Result<()> {
        match self {
            Line::Rtmp(s) => s.ready().await,
            Line::Rtmfp(f) => f.ready().await,
        }
    }

    /// Writes what is to be written.
    pub(super) fn flush(&mut self, now: Time) -> io::Result<()> {
        match self {
            Line::Rtmp(s) => s.flush(now),
            Line::Rtmfp(f) => {
                f.settle(now);
                Ok(())
            }
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Time) {
        match self {
            Line::Rtmp(s) => s.client.handle_timeout(now),
            Line::Rtmfp(f) => {
                f.endpoint.handle_timeout(now);
                f.client.handle_timeout(now);
                f.settle(now);
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        match self {
            Line::Rtmp(s) => s.client.poll_timeout(),
            Line::Rtmfp(f) => base::earliest(f.endpoint.poll_timeout(), f.client.poll_timeout()),
        }
    }

    pub(super) fn poll_event(&mut self) -> Result<Option<Event<'_>>, rtmp::Error> {
        match self {
            Line::Rtmp(s) => s.client.poll_event(),
            Line::Rtmfp(f) => f.client.poll_event(),
        }
    }

    pub(super) fn publish(&mut self, name: &str, kind: PublishKind) {
        match self {
            Line::Rtmp(s) => s.client.publish(name, kind),
            Line::Rtmfp(f) => f.client.publish(name, kind),
        };
    }

    /// The transaction comes back in `StreamCreated`.
    pub(super) fn play(&mut self, name: &str) -> u32 {
        match self {
            Line::Rtmp(s) => s.client.play(name),
            Line::Rtmfp(f) => f.client.play(name),
        }
    }

    pub(super) fn call(&mut self, stream: u32, name: &str, args: &[Value]) {
        match self {
            Line::Rtmp(s) => s.client.call(stream, name, args),
            Line::Rtmfp(f) => f.client.session().call(stream, name, args),
        };
    }

    pub(super) fn delete_stream(&mut self, stream: u32) {
        match self {
            Line::Rtmp(s) => s.client.delete_stream(stream),
            Line::Rtmfp(f) => f.client.session().delete_stream(stream),
        }
    }

    pub(super) fn send_audio(&mut self, now: Time, stream: u32, timestamp: u32, tag: &[u8]) -> bool {
        match self {
            Line::Rtmp(s) => s.client.send_audio(now, stream, timestamp, &[tag], false),
            Line::Rtmfp(f) => f.client.send_audio(now, stream, timestamp, &[tag]),
        }
    }

    pub(super) fn close(&mut self, now: Time) {
        match self {
            Line::Rtmp(s) => s.client.close(now),
            Line::Rtmfp(f) => f.client.close(now),
        }
    }

    /// Whether everything is written after the close.
    pub(super) fn is_finished(&self) -> bool {
        match self {
            Line::Rtmp(s) => s.client.is_finished(),
            Line::Rtmfp(f) => f.over,
        }
    }
}

impl Stream {
    async fn ready(&mut self) -> io::Result<()> {
        let (more, stream) = (self.wire.has_more(), self.wire.stream().clone());
        tokio::select! {
            biased;
            ready = readable(&stream, more) => ready.and_then(|()| self.read()),
            _ = stream.writable(), if self.blocked => Ok(()),
        }
    }

    /// Takes what the socket has, up to a bound, so that reading does not keep frames from leaving.
    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        match self.wire.try_read(&mut buffer) {
            Ok(0) => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "closed by the gateway",
            )),
            Ok(n) => {
                self.client
                    .handle_input(self.clock.now(), buffer.get(..n).unwrap_or_default());
                Ok(())
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn flush(&mut self, now: Time) -> io::Result<()> {
        self.blocked = false;
        let result = loop {
            if self.out.is_empty() && self.client.poll_transmit(now, &mut self.out, BUDGET) == 0 {
                break self.wire.try_flush();
            }
            match self.wire.try_write(&self.out) {
                Ok(n) => drop(self.out.drain(..n)),
                Err(e) => break Err(e),
            }
        };
        match result {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.blocked = true;
                Ok(())
            }
            other => other,
        }
    }
}

/// Waits until there is something to read: at once when `more` is there already.
async fn readable(stream: &TcpStream, more: bool) -> io::Result<()> {
    if more { Ok(()) } else { stream.readable().await }
}

impl Flows {
    async fn ready(&mut self) -> io::Result<()> {
        tokio::select! {
            ready = self.socket.readable() => ready?,
            Some(done) = self.works.join_next(), if !self.works.is_empty() => {
                if let Ok(done) = done {
                    self.endpoint.handle_work(self.clock.now(), done);
                }
                return Ok(());
            }
        }
        let mut buffer = [0; 2048];
        for _ in 0..DATAGRAMS_PER_TURN {
            match self.socket.try_recv_from(&mut buffer) {
                Ok((n, from)) => {
                    let now = self.clock.now();
                    self.endpoint
                        .handle_datagram(now, from, buffer.get(..n).unwrap_or_default());
                    self.settle(now);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // Nobody was there when we last sent; they may come yet.
                Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Does what client and endpoint want, until they want nothing more.
    fn settle(&mut self, now: Time) {
        self.client.flush(now, &mut self.endpoint);
        while let Some(output) = self.endpoint.poll_output(now) {
            match output {
                Output::Transmit { to, datagram } => {
                    // A full socket buffer loses this packet only.
                    let _lost = self.socket.try_send_to(&datagram, to);
                }
                // A client introduces nobody.
                Output::Seek(_) => {}
                Output::Work(work) => {
                    self.works.spawn_blocking(move || work.run());
                }
                Output::Event { event, .. } => match event {
                    EndpointEvent::Opened { .. } => {
                        self.open = true;
                        self.client.flush(now, &mut self.endpoint);
                    }
                    EndpointEvent::Session(event) => {
                        self.over |= matches!(event, SessionEvent::Closed(_));
                        self.client.handle_event(now, event);
                    }
                },
            }
        }
    }
}
