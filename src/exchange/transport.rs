//! SIP transports: UDP sockets and the connections of the exchange's driver.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::ConnId;
use sip::{Message, ParseError, Source, Transport};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;

use super::connection::{self, Line, Made, WRITE_QUEUE};
use super::websocket::{self, Origins};
use crate::net::{self, Gate, Permit, TlsAcceptor, TlsConnector};

/// Longest time for a connection to be made, and for TLS to be opened on one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The listeners for SIP, and what TLS needs.
#[derive(Debug)]
pub struct SipSockets {
    /// UDP, in the order of the configuration.
    pub udp: Vec<UdpSocket>,
    /// Connections.
    pub gate: Gate,
    /// What is spoken on each of its listeners.
    pub spoken: Vec<Transport>,
    /// Which web pages may connect.
    pub origins: Origins,
    /// Our side of accepted TLS connections.
    pub acceptor: Option<TlsAcceptor>,
    /// Our side of those we make; `None` when there is nobody to trust.
    pub connector: Option<TlsConnector>,
}

impl SipSockets {
    /// Where connections for a transport are taken.
    pub fn addresses(&self, transport: Transport) -> Vec<SocketAddr> {
        let addresses = self.gate.local_addresses().into_iter().zip(&self.spoken);
        addresses
            .filter(|(_, t)| **t == transport)
            .map(|(a, _)| a)
            .collect()
    }
}

/// What the transports bring.
#[derive(Debug)]
pub(super) enum Arrival {
    Datagram(Source, Vec<u8>),
    Message(Source, Result<Message, ParseError>),
    /// A connection stands; what waited for it can be written.
    Connected(ConnId, mpsc::Sender<Vec<u8>>, Source),
    /// A connection could not be made or has ended.
    Closed(ConnId, SocketAddr),
}

#[derive(Debug)]
struct Connection {
    transport: Transport,
    remote: SocketAddr,
    /// Whose certificate was shown, for one that we made.
    domain: Option<Arc<str>>,
    writer: mpsc::Sender<Vec<u8>>,
}

/// All sockets over which SIP is spoken.
pub(super) struct Transports {
    udp: Vec<(SocketAddr, Arc<UdpSocket>)>,
    connections: HashMap<ConnId, Connection>,
    arrivals: mpsc::Sender<Arrival>,
    next_conn: Arc<AtomicU64>,
    connector: Option<TlsConnector>,
}

impl Transports {
    /// Takes over bound sockets and begins to read them.
    pub(super) fn start(sip: SipSockets, arrivals: mpsc::Sender<Arrival>) -> io::Result<Transports> {
        let SipSockets {
            udp,
            gate,
            spoken,
            origins,
            acceptor,
            connector,
        } = sip;
        let mut sockets = Vec::new();
        for socket in udp {
            let (local, socket) = (socket.local_addr()?, Arc::new(socket));
            sockets.push((local, socket.clone()));
            tokio::spawn(read_datagrams(socket, local, arrivals.clone()));
        }
        let next_conn = Arc::new(AtomicU64::new(1));
        let door = Door {
            next_conn: next_conn.clone(),
            arrivals: arrivals.clone(),
            origins,
        };
        tokio::spawn(accept(gate, spoken, acceptor, door));
        Ok(Transports {
            udp: sockets,
            connections: HashMap::new(),
            arrivals,
            next_conn,
            connector,
        })
    }

    /// A connection stands.
    pub(super) fn connected(&mut self, conn: ConnId, writer: mpsc::Sender<Vec<u8>>, source: Source) {
        // One that we make is known since its beginning.
        self.connections.entry(conn).or_insert(Connection {
            transport: source.transport,
            remote: source.remote,
            domain: None,
            writer,
        });
    }

    /// A connection ended.
    pub(super) fn closed(&mut self, conn: ConnId) {
        self.connections.remove(&conn);
    }

    /// Sends a message; where there are connections over the named one while it stands, else over one to
    /// `remote`, which is made if need be. The error is the id of a connection that cannot take it.
    pub(super) fn send(
        &mut self,
        transport: Transport,
        local: Option<SocketAddr>,
        to: Peer,
        bytes: Vec<u8>,
    ) -> Result<(), SendError> {
        let remote = to.remote;
        match transport {
            Transport::Udp => {
                let fits = |a: &SocketAddr| a.is_ipv4() == remote.is_ipv4();
                let socket = self
                    .udp
                    .iter()
                    .find(|(a, _)| Some(*a) == local && fits(a))
                    .or_else(|| self.udp.iter().find(|(a, _)| fits(a)));
                let (_, socket) = socket.ok_or(SendError::NoSocket)?;
                match socket.try_send_to(&bytes, remote) {
                    Ok(_) => Ok(()),
                    // The socket's buffer is full: lost as on a network; timers repeat it.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
                    Err(_) => Err(SendError::Refused),
                }
            }
            _ => self.send_stream(transport, to, bytes),
        }
    }

    fn send_stream(&mut self, transport: Transport, to: Peer, bytes: Vec<u8>) -> Result<(), SendError> {
        let named = to.conn.filter(|c| self.connections.contains_key(c));
        let id = match named.or_else(|| self.standing(transport, &to)) {
            Some(id) => id,
            // A browser cannot be connected to (RFC 7118 §5), nor a peer of whom nobody could say who it is.
            None if matches!(transport, Transport::Ws | Transport::Wss) => return Err(SendError::Refused),
            None if transport.is_secure() && self.connector.is_none() => return Err(SendError::Refused),
            None => self.connect(transport, to),
        };
        let Some(connection) = self.connections.get(&id) else {
            return Err(SendError::Refused);
        };
        connection.writer.try_send(bytes).map_err(|_| {
            self.connections.remove(&id);
            SendError::Stuck(id)
        })
    }

    /// A connection to a peer that will do: for a request to a domain over TLS only one on which the peer has
    /// shown that domain's certificate.
    fn standing(&self, transport: Transport, to: &Peer) -> Option<ConnId> {
        self.connections
            .iter()
            .find(|(_, c)| {
                c.transport == transport
                    && c.remote == to.remote
                    && (!transport.is_secure() || to.domain.is_none() || c.domain == to.domain)
            })
            .map(|(id, _)| *id)
    }

    /// Begins a connection; messages may be queued for it at once.
    fn connect(&mut self, transport: Transport, to: Peer) -> ConnId {
        let Peer { remote, domain, .. } = to;
        let id = ConnId(self.next_conn.fetch_add(1, Ordering::Relaxed));
        let (writer, queue) = mpsc::channel(WRITE_QUEUE);
        let domain = domain.filter(|_| transport.is_secure());
        self.connections.insert(
            id,
            Connection {
                transport,
                remote,
                domain: domain.clone(),
                writer: writer.clone(),
            },
        );
        let (arrivals, connector) = (self.arrivals.clone(), self.connector.clone());
        tokio::spawn(async move {
            let opened = tokio::time::timeout(CONNECT_TIMEOUT, async {
                let stream = TcpStream::connect(remote).await?;
                // Signalling is small and waits for answers.
                let _best_effort = stream.set_nodelay(true);
                let line = Line {
                    id,
                    source: Source {
                        transport,
                        local: stream.local_addr()?,
                        remote,
                        conn: Some(id),
                    },
                    made: Made::Here,
                    writer,
                    arrivals: arrivals.clone(),
                };
                let ip = remote.ip().to_string();
                let name = domain.as_deref().unwrap_or(&ip);
                let opened = match connector.filter(|_| transport.is_secure()) {
                    Some(connector) => Opened::Tls(Box::new(connector.open(name, stream).await?)),
                    None => Opened::Plain(stream),
                };
                Ok::<_, io::Error>((line, opened))
            });
            match opened.await {
                Ok(Ok((line, Opened::Plain(stream)))) => connection::run(line, stream, queue).await,
                Ok(Ok((line, Opened::Tls(stream)))) => connection::run(line, stream, queue).await,
                Ok(Err(error)) => {
                    tracing::info!(%transport, peer = %remote, %error, "no connection");
                    let _exchange_gone = arrivals.send(Arrival::Closed(id, remote)).await;
                }
                Err(_) => {
                    tracing::info!(%transport, peer = %remote, "no connection in time");
                    let _exchange_gone = arrivals.send(Arrival::Closed(id, remote)).await;
                }
            }
        });
        id
    }
}

/// A connection that we made.
enum Opened {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

/// To whom a message goes.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) remote: SocketAddr,
    /// The connection meant.
    pub(super) conn: Option<ConnId>,
    /// Whose certificate must have been shown.
    pub(super) domain: Option<Arc<str>>,
}

/// Why a message could not be handed to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendError {
    /// No socket of the address family.
    NoSocket,
    /// The network refused it (unreachable, port closed).
    Refused,
    /// The connection's queue is full; it was given up.
    Stuck(ConnId),
}

async fn read_datagrams(socket: Arc<UdpSocket>, local: SocketAddr, arrivals: mpsc::Sender<Arrival>) {
    let mut buffer = vec![0u8; 65_535];
    loop {
        // An error here is an ICMP answer to something sent earlier; the socket goes on.
        let Ok((n, remote)) = socket.recv_from(&mut buffer).await else {
            if arrivals.is_closed() {
                return;
            }
            continue;
        };
        let Some(datagram) = buffer.get(..n) else { continue };
        // Keep-alives of phones behind NAT: nothing to answer (RFC 5626 §3.5.1).
        if datagram.iter().all(|b| matches!(b, b'\r' | b'\n' | 0)) {
            continue;
        }
        let source = Source {
            transport: Transport::Udp,
            local,
            remote,
            conn: None,
        };
        // Full: dropped, as a router would; SIP over UDP repeats what matters.
        let _dropped = arrivals.try_send(Arrival::Datagram(source, datagram.to_vec()));
    }
}

/// What accepted connections need to become lines.
#[derive(Clone, Debug)]
struct Door {
    next_conn: Arc<AtomicU64>,
    arrivals: mpsc::Sender<Arrival>,
    origins: Origins,
}

impl Door {
    /// A line for an accepted connection, and what is to be written on it.
    fn line(
        &self,
        transport: Transport,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> (Line, mpsc::Receiver<Vec<u8>>) {
        let id = ConnId(self.next_conn.fetch_add(1, Ordering::Relaxed));
        let (writer, queue) = mpsc::channel(WRITE_QUEUE);
        let line = Line {
            id,
            source: Source {
                transport,
                local,
                remote,
                conn: Some(id),
            },
            made: Made::There,
            writer,
            arrivals: self.arrivals.clone(),
        };
        (line, queue)
    }
}

async fn accept(mut gate: Gate, spoken: Vec<Transport>, mut acceptor: Option<TlsAcceptor>, door: Door) {
    loop {
        let (listener, stream, remote, permit) = gate.accept().await;
        let Some(&transport) = spoken.get(listener) else {
            continue;
        };
        let tls = acceptor.as_mut().filter(|_| transport.is_secure());
        let tls = tls.map(TlsAcceptor::current);
        let _best_effort = stream.set_nodelay(true);
        tokio::spawn(serve(door.clone(), transport, stream, remote, tls, permit));
    }
}

/// Serves one accepted connection; the permit is its place within the limits.
async fn serve(
    door: Door,
    transport: Transport,
    stream: TcpStream,
    remote: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
    permit: Permit,
) {
    let Ok(local) = stream.local_addr() else { return };
    match tls {
        None => serve_stream(door, transport, stream, local, remote, permit).await,
        Some(config) => match net::open_tls(config, stream, CONNECT_TIMEOUT).await {
            Ok(stream) => serve_stream(door, transport, stream, local, remote, permit).await,
            Err(error) => tracing::debug!(%remote, %error, "TLS was not opened"),
        },
    }
}

async fn serve_stream<S>(
    door: Door,
    transport: Transport,
    stream: S,
    local: SocketAddr,
    remote: SocketAddr,
    permit: Permit,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let line = || door.line(transport, local, remote);
    if !matches!(transport, Transport::Ws | Transport::Wss) {
        let (line, queue) = line();
        return connection::run(line, stream, queue).await;
    }
    // Whichever ends last, the HTTP connection or the WebSocket that it became, gives the place back.
    let place = Arc::new(permit);
    net::serve_http(stream, |request| {
        let response = websocket::upgrade(request, &door.origins, line, place.clone());
        std::future::ready(response)
    })
    .await;
}

#[cfg(test)]
mod tests;
