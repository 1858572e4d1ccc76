//! Opening sockets, and saying what to do when one cannot be opened.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// The transport of a listener, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A socket that could not be opened; prints what is wrong and which key to change.
#[derive(Debug, thiserror::Error)]
pub struct BindError {
    address: SocketAddr,
    transport: Transport,
    key: &'static str,
    source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BindError { address, key, .. } = self;
        let transport = match self.transport {
            Transport::Tcp => "TCP",
            Transport::Udp => "UDP",
        };
        let (table, name) = key.split_once('.').unwrap_or(("", key));
        let free = SocketAddr::new(address.ip(), address.port().wrapping_add(1).max(1024));
        match self.source.kind() {
            io::ErrorKind::AddrInUse => write!(
                f,
                "{transport} port {} on {} is in use: stop the program that has it, or move this listener with \
                 [{table}] {name} = [\"{free}\"]",
                address.port(),
                address.ip()
            ),
            io::ErrorKind::AddrNotAvailable => write!(
                f,
                "{} is no address of this machine: correct {key} (\"0.0.0.0:{}\" is all of IPv4)",
                address.ip(),
                address.port()
            ),
            io::ErrorKind::PermissionDenied => write!(
                f,
                "not allowed to listen on {transport} {address}: ports below 1024 need a privilege; correct {key}"
            ),
            _ => write!(
                f,
                "cannot listen on {transport} {address} ({key}): {}",
                self.source
            ),
        }
    }
}

impl BindError {
    /// The address that was wanted.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// Send buffer of a client connection: holds one video key frame's worth of packets, not seconds of audio.
const TCP_SEND_BUFFER: usize = 64 * 1024;
/// Receive buffer of a SIP socket: a burst of a thousand requests.
const SIP_RECEIVE_BUFFER: usize = 1 << 20;
/// Receive buffer of an RTMFP socket: a second of audio of some hundred clients.
const RTMFP_RECEIVE_BUFFER: usize = 4 << 20;

fn open(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        kind.nonblocking().cloexec(),
        Some(protocol),
    )?;
    if address.is_ipv6() {
        // So that "0.0.0.0:1935" and "[::]:1935" can stand side by side.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Opens a TCP listener; `key` is the configuration key that holds its address.
///
/// Connections accepted from it inherit the small send buffer and TCP_NODELAY.
///
/// # Errors
/// [`BindError`], which names the key.
pub fn tcp(address: SocketAddr, key: &'static str) -> Result<tokio::net::TcpListener, BindError> {
    let listen = || {
        let socket = open(address, Type::STREAM, Protocol::TCP)?;
        socket.set_reuse_address(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_send_buffer_size(TCP_SEND_BUFFER)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        tokio::net::TcpListener::from_std(socket.into())
    };
    listen().map_err(|source| BindError {
        address,
        transport: Transport::Tcp,
        key,
        source,
    })
}

/// Opens a UDP socket for SIP; `key` is the configuration key that holds its address.
///
/// # Errors
/// [`BindError`], which names the key.
pub fn udp(address: SocketAddr, key: &'static str) -> Result<tokio::net::UdpSocket, BindError> {
    let listen = || {
        let socket = open(address, Type::DGRAM, Protocol::UDP)?;
        // The system may grant less; that is no reason not to start.
        let _ = socket.set_recv_buffer_size(SIP_RECEIVE_BUFFER);
        socket.bind(&address.into())?;
        tokio::net::UdpSocket::from_std(socket.into())
    };
    listen().map_err(|source| BindError {
        address,
        transport: Transport::Udp,
        key,
        source,
    })
}

/// Opens `count` UDP sockets for RTMFP on one address, each for a thread of its own; the system gives all packets of
/// one source to the same socket. `key` is the configuration key that holds the address.
///
/// # Errors
/// [`BindError`], which names the key.
pub fn shared_udp(
    address: SocketAddr,
    count: usize,
    key: &'static str,
) -> Result<Vec<std::net::UdpSocket>, BindError> {
    let bind = |address: SocketAddr, share: bool| -> io::Result<std::net::UdpSocket> {
        let socket = open(address, Type::DGRAM, Protocol::UDP)?;
        let _ = socket.set_recv_buffer_size(RTMFP_RECEIVE_BUFFER);
        socket.set_reuse_port(share)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    };
    let all = || {
        // Alone first: a port that another gateway shares would be shared with it, too.
        let alone = bind(address, false)?;
        if count < 2 {
            return Ok(vec![alone]);
        }
        let address = alone.local_addr()?;
        drop(alone);
        (0..count).map(|_| bind(address, true)).collect()
    };
    all().map_err(|source| BindError {
        address,
        transport: Transport::Udp,
        key,
        source,
    })
}

/// Opens one UDP socket for RTP or RTCP on an exact port, marked as expedited forwarding (RFC 4594 §4.1).
pub(super) fn media(address: SocketAddr) -> io::Result<tokio::net::UdpSocket> {
    /// DSCP EF, 46, in the upper six bits.
    const EXPEDITED: u32 = 46 << 2;
    let socket = open(address, Type::DGRAM, Protocol::UDP)?;
    // Marking is a courtesy to the network: a sandbox that forbids it does not forbid the call.
    let _ = match address {
        SocketAddr::V4(_) => socket.set_tos_v4(EXPEDITED),
        SocketAddr::V6(_) => socket.set_tclass_v6(EXPEDITED),
    };
    socket.bind(&address.into())?;
    tokio::net::UdpSocket::from_std(socket.into())
}

/// The address of this machine that packets to `peer` come from: what Via, Contact and SDP say when we
/// listen on a wildcard. Sends nothing.
///
/// # Errors
/// When there is no route to the peer.
pub fn local_address_toward(peer: SocketAddr) -> io::Result<IpAddr> {
    let any: SocketAddr = match peer {
        SocketAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.connect(peer)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_names_the_port_and_the_key() {
        let first = tcp("127.0.0.1:0".parse().unwrap(), "rtmp.listen").unwrap();
        let taken = first.local_addr().unwrap();
        let error = tcp(taken, "rtmp.listen").unwrap_err().to_string();
        assert!(
            error.contains(&format!("TCP port {} on 127.0.0.1 is in use", taken.port())),
            "{error}"
        );
        assert!(error.contains("[rtmp] listen = [\"127.0.0.1:"), "{error}");
        let error = udp("192.0.2.1:5060".parse().unwrap(), "sip.udp")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("192.0.2.1 is no address of this machine: correct sip.udp"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn both_families_share_a_port() {
        let Ok(v6) = tcp("[::]:0".parse().unwrap(), "rtmp.listen") else {
            return; // this machine has no IPv6
        };
        let port = v6.local_addr().unwrap().port();
        tcp((std::net::Ipv4Addr::UNSPECIFIED, port).into(), "rtmp.listen").unwrap();
    }

    #[test]
    fn loopback_is_reached_from_loopback() {
        let ip = local_address_toward("127.0.0.1:5060".parse().unwrap()).unwrap();
        assert!(ip.is_loopback());
    }
}
