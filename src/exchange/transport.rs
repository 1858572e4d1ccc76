//! SIP transports: UDP sockets and TCP connections of the exchange's driver.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::ConnId;
use sip::{Frame, Message, ParseError, Source, StreamParser, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;

use crate::net::Gate;

/// Messages waiting for one connection's socket; a peer that lets more pile up is cut off.
const WRITE_QUEUE: usize = 256;
/// Longest time for a connection to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection on which nothing came for so long is closed; RFC 5626 keep-alives come every two minutes.
const IDLE: Duration = Duration::from_secs(300);
/// Largest message on a connection, bytes: head and body.
const MAX_MESSAGE: usize = 64 * 1024;

/// What the transports bring.
#[derive(Debug)]
pub(super) enum Arrival {
    Datagram(Source, Vec<u8>),
    Message(Source, Result<Message, ParseError>),
    /// A connection to `remote` stands; what waited for it can be written.
    Connected(ConnId, mpsc::Sender<Vec<u8>>, SocketAddr),
    /// A connection could not be made or has ended.
    Closed(ConnId, SocketAddr),
}

#[derive(Debug)]
struct Connection {
    remote: SocketAddr,
    writer: mpsc::Sender<Vec<u8>>,
}

/// All sockets over which SIP is spoken.
pub(super) struct Transports {
    udp: Vec<(SocketAddr, Arc<UdpSocket>)>,
    connections: HashMap<ConnId, Connection>,
    arrivals: mpsc::Sender<Arrival>,
    next_conn: Arc<AtomicU64>,
}

impl Transports {
    /// Takes over bound sockets and begins to read them.
    pub(super) fn start(
        udp: Vec<UdpSocket>,
        gate: Gate,
        arrivals: mpsc::Sender<Arrival>,
    ) -> io::Result<Transports> {
        let mut sockets = Vec::new();
        for socket in udp {
            let (local, socket) = (socket.local_addr()?, Arc::new(socket));
            sockets.push((local, socket.clone()));
            tokio::spawn(read_datagrams(socket, local, arrivals.clone()));
        }
        let next_conn = Arc::new(AtomicU64::new(1));
        tokio::spawn(accept(gate, next_conn.clone(), arrivals.clone()));
        Ok(Transports {
            udp: sockets,
            connections: HashMap::new(),
            arrivals,
            next_conn,
        })
    }

    /// A connection stands.
    pub(super) fn connected(&mut self, conn: ConnId, writer: mpsc::Sender<Vec<u8>>, remote: SocketAddr) {
        self.connections.insert(conn, Connection { remote, writer });
    }

    /// A connection ended.
    pub(super) fn closed(&mut self, conn: ConnId) {
        self.connections.remove(&conn);
    }

    /// Sends a message; on TCP over the named connection while it stands, else over one to `remote`, which
    /// is made if need be. The error is the id of a connection that cannot take it.
    pub(super) fn send(
        &mut self,
        transport: Transport,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        conn: Option<ConnId>,
        bytes: Vec<u8>,
    ) -> Result<(), SendError> {
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
            _ => self.send_stream(remote, conn, bytes),
        }
    }

    fn send_stream(
        &mut self,
        remote: SocketAddr,
        conn: Option<ConnId>,
        bytes: Vec<u8>,
    ) -> Result<(), SendError> {
        let found = conn.filter(|c| self.connections.contains_key(c)).or_else(|| {
            self.connections
                .iter()
                .find(|(_, c)| c.remote == remote)
                .map(|(id, _)| *id)
        });
        let id = found.unwrap_or_else(|| self.connect(remote));
        let Some(connection) = self.connections.get(&id) else {
            return Err(SendError::Refused);
        };
        connection.writer.try_send(bytes).map_err(|_| {
            self.connections.remove(&id);
            SendError::Stuck(id)
        })
    }

    /// Begins a connection; messages may be queued for it at once.
    fn connect(&mut self, remote: SocketAddr) -> ConnId {
        let id = ConnId(self.next_conn.fetch_add(1, Ordering::Relaxed));
        let (writer, queue) = mpsc::channel(WRITE_QUEUE);
        self.connections.insert(
            id,
            Connection {
                remote,
                writer: writer.clone(),
            },
        );
        let arrivals = self.arrivals.clone();
        tokio::spawn(async move {
            match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(remote)).await {
                Ok(Ok(stream)) => run_connection(id, stream, remote, writer, queue, arrivals).await,
                Ok(Err(_)) | Err(_) => {
                    let _ended = arrivals.send(Arrival::Closed(id, remote)).await;
                }
            }
        });
        id
    }
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

async fn accept(mut gate: Gate, next_conn: Arc<AtomicU64>, arrivals: mpsc::Sender<Arrival>) {
    loop {
        let (_, stream, remote, permit) = gate.accept().await;
        let id = ConnId(next_conn.fetch_add(1, Ordering::Relaxed));
        let arrivals = arrivals.clone();
        tokio::spawn(async move {
            let (writer, queue) = mpsc::channel(WRITE_QUEUE);
            run_connection(id, stream, remote, writer, queue, arrivals).await;
            drop(permit);
        });
    }
}

/// Reads and writes one connection until it ends.
async fn run_connection(
    id: ConnId,
    stream: TcpStream,
    remote: SocketAddr,
    writer: mpsc::Sender<Vec<u8>>,
    queue: mpsc::Receiver<Vec<u8>>,
    arrivals: mpsc::Sender<Arrival>,
) {
    // Signalling is small and waits for answers.
    let _best_effort = stream.set_nodelay(true);
    if let Ok(local) = stream.local_addr() {
        let source = Source {
            transport: Transport::Tcp,
            local,
            remote,
            conn: Some(id),
        };
        if arrivals
            .send(Arrival::Connected(id, writer.clone(), remote))
            .await
            .is_ok()
        {
            let (read, write) = stream.into_split();
            tokio::select! {
                () = read_messages(read, source, &writer, &arrivals) => {}
                () = write_messages(write, queue) => {}
            }
        }
    }
    let _ended = arrivals.send(Arrival::Closed(id, remote)).await;
}

async fn read_messages(
    mut read: OwnedReadHalf,
    source: Source,
    writer: &mpsc::Sender<Vec<u8>>,
    arrivals: &mpsc::Sender<Arrival>,
) {
    let mut parser = StreamParser::new(MAX_MESSAGE);
    let mut buffer = vec![0u8; 16 * 1024];
    loop {
        let n = match tokio::time::timeout(IDLE, read.read(&mut buffer)).await {
            Ok(Ok(n)) if n > 0 => n,
            _ => return,
        };
        parser.push(buffer.get(..n).unwrap_or_default());
        loop {
            let message = match parser.next() {
                Ok(None) => break,
                Ok(Some(Frame::Ping)) => {
                    // RFC 5626 §4.4.1: a double CRLF is answered with one.
                    let _full = writer.try_send(StreamParser::PONG.to_vec());
                    continue;
                }
                Ok(Some(Frame::Pong)) => continue,
                Ok(Some(Frame::Message(message))) => Ok(message),
                Err(error) => Err(error),
            };
            // After a message that cannot be framed the stream has no next one.
            let broken = message.as_ref().is_err_and(|e| e.fatal);
            if arrivals.send(Arrival::Message(source, message)).await.is_err() || broken {
                // Time for the answer to leave before the connection is closed.
                tokio::time::sleep(Duration::from_millis(200)).await;
                return;
            }
        }
    }
}

async fn write_messages(mut write: OwnedWriteHalf, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = queue.recv().await {
        if write.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
