//! The sockets of RTMFP clients. Every shard has one on each address; the system deals sources to them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::rc::Rc;

use base::{LegId, Time};
use rtmfp::profile::random::Random;
use rtmfp::{EndpointConfig, Work};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::{Message, Shared};
use crate::net::{Inbox, Outbox};
use crate::shard::dtls::DtlsWork;

/// Times that a socket is read before others get their turn; each brings many datagrams.
const CALLS_PER_TURN: usize = 2;

/// A datagram on its way to the shard that has its session: the client's address has changed, and with it the socket
/// that the system chose.
#[derive(Debug)]
pub(crate) struct FlowDatagram {
    socket: usize,
    from: SocketAddr,
    bytes: Vec<u8>,
}

/// Opens the sockets of a shard.
pub(super) fn open(driver: &Shared, rtmfp: (Vec<std::net::UdpSocket>, EndpointConfig), entropy: [u8; 32]) {
    let (sockets, config) = rtmfp;
    let mut random = Random::new(entropy);
    for socket in sockets {
        let socket = match UdpSocket::from_std(socket) {
            Ok(socket) => Rc::new(socket),
            Err(error) => {
                tracing::error!(%error, "a socket for RTMFP could not be used");
                continue;
            }
        };
        let mut d = driver.borrow_mut();
        let config = EndpointConfig {
            id_prefix: prefix(d.shard.id().0),
            ..config.clone()
        };
        let number = d.shard.open_rtmfp(config, random.array());
        d.rtmfp.push((socket.clone(), Outbox::default()));
        tokio::task::spawn_local(receive(driver.clone(), number, socket));
    }
}

/// The upper byte of the session ids of a shard.
fn prefix(shard: u16) -> u8 {
    u8::try_from(shard).unwrap_or(u8::MAX)
}

/// Takes a datagram that another shard received.
pub(super) fn take(driver: &Shared, datagram: &FlowDatagram) {
    let mut d = driver.borrow_mut();
    let now = d.clock.now();
    d.shard
        .handle_rtmfp(now, datagram.socket, datagram.from, &datagram.bytes);
    d.drain(now, driver);
}

async fn receive(driver: Shared, number: usize, socket: Rc<UdpSocket>) {
    let mut inbox = Inbox::default();
    // Until then the runtime takes the socket for full.
    if socket.writable().await.is_err() {
        return;
    }
    loop {
        if socket.readable().await.is_err() {
            return;
        }
        for _ in 0..CALLS_PER_TURN {
            match socket.try_io(Interest::READABLE, || inbox.receive(socket.as_fd())) {
                Ok(more) => {
                    let mut d = driver.borrow_mut();
                    let now = d.clock.now();
                    for (from, datagram) in inbox.datagrams() {
                        d.take_rtmfp(now, number, from, datagram);
                    }
                    d.drain(now, &driver);
                    if !more {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // An ICMP error of an earlier send: the peer may still come.
                Err(_) => {}
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Sends what is to leave by a socket.
pub(super) fn send(socket: &UdpSocket, out: &mut Outbox) {
    // A full socket buffer loses packets; they are sent again, or would be too late.
    out.send(socket.as_fd());
}

impl super::Driver {
    /// Gives a datagram to the shard that has its session: this one, or another.
    fn take_rtmfp(&mut self, now: Time, socket: usize, from: SocketAddr, datagram: &[u8]) {
        // Session 0 is nobody's yet.
        let owner = rtmfp::packet::split(datagram)
            .filter(|(id, _)| *id != 0)
            .map(|(id, _)| usize::from(id.to_be_bytes()[0]));
        let own = usize::from(prefix(self.shard.id().0));
        let Some(peer) = owner
            .filter(|owner| *owner != own)
            .and_then(|owner| self.peers.get(owner))
        else {
            return self.shard.handle_rtmfp(now, socket, from, datagram);
        };
        let datagram = FlowDatagram {
            socket,
            from,
            bytes: datagram.to_vec(),
        };
        // Full: lost, as on a network.
        let _lost = peer.messages.try_send(Message::Rtmfp(datagram));
    }
}

/// Does long arithmetic on a thread of its own, so that no audio waits for it.
pub(super) fn work(driver: &Shared, socket: usize, work: Work) {
    let driver = driver.clone();
    tokio::task::spawn_local(async move {
        // A fault in it loses one handshake.
        if let Ok(done) = tokio::task::spawn_blocking(move || work.run()).await {
            let mut d = driver.borrow_mut();
            let now = d.clock.now();
            d.shard.handle_rtmfp_work(now, socket, done);
            d.drain(now, &driver);
        }
    });
}

/// The same for a step of a DTLS handshake.
pub(super) fn shake(driver: &Shared, leg: LegId, work: DtlsWork) {
    let driver = driver.clone();
    tokio::task::spawn_local(async move {
        // A fault in it loses the media of one call.
        if let Ok(done) = tokio::task::spawn_blocking(move || work.run()).await {
            let mut d = driver.borrow_mut();
            let now = d.clock.now();
            d.shard.handle_dtls_done(now, leg, done);
            d.drain(now, &driver);
        }
    });
}
