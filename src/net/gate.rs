//! Accepting connections within limits: in all, and from one address.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// What a gate lets through at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all.
    pub total: u32,
    /// Connections from one IPv4 address or one IPv6 /64.
    pub per_address: u32,
}

/// How many connections a gate has closed at once, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// The limit in all was reached.
    pub total: u64,
    /// The limit of one address was reached.
    pub per_address: u64,
    /// The process had no file descriptor or memory left.
    pub exhausted: u64,
}

/// One accepted connection counts as long as its permit lives.
#[derive(Debug)]
pub struct Permit {
    all: Arc<AtomicU32>,
    address: Arc<AtomicU32>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
        self.address.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Accepts from several listeners, closing what is over the limits.
#[derive(Debug)]
pub struct Gate {
    listeners: Vec<TcpListener>,
    limits: Limits,
    all: Arc<AtomicU32>,
    addresses: HashMap<IpAddr, Arc<AtomicU32>>,
    refusals: Refusals,
    /// The listener asked first next time, so that a flood on one does not starve another.
    first: usize,
    /// Set after the system ran out of descriptors: accepting rests until then.
    rest: Option<Pin<Box<tokio::time::Sleep>>>,
}

/// How long accepting rests when the process has no descriptor left.
const REST: Duration = Duration::from_millis(100);
/// Idle address counters are swept when there are so many more than connections.
const SWEEP_AT: usize = 1024;

impl Gate {
    /// A gate before these listeners.
    pub fn new(listeners: Vec<TcpListener>, limits: Limits) -> Gate {
        Gate {
            listeners,
            limits,
            all: Arc::new(AtomicU32::new(0)),
            addresses: HashMap::new(),
            refusals: Refusals::default(),
            first: 0,
            rest: None,
        }
    }

    /// Connections now open.
    pub fn open(&self) -> u32 {
        self.all.load(Ordering::Relaxed)
    }

    /// Connections closed at the door so far.
    pub fn refusals(&self) -> Refusals {
        self.refusals
    }

    /// The addresses it listens on.
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .filter_map(|l| l.local_addr().ok())
            .collect()
    }

    /// The next connection that is within the limits, and the number of the listener it came in by. Pends for
    /// ever when there is no listener.
    ///
    /// Cancel-safe.
    pub async fn accept(&mut self) -> (usize, TcpStream, SocketAddr, Permit) {
        loop {
            if let Some(rest) = &mut self.rest {
                rest.as_mut().await;
                self.rest = None;
            }
            match self.next().await {
                Ok((listener, stream, peer)) => {
                    if let Some(permit) = self.admit(peer.ip()) {
                        return (listener, stream, peer, permit);
                    }
                    // A reset, not a goodbye: thousands of closed connections must not linger.
                    let _ = stream.set_zero_linger();
                }
                Err(e) if is_exhausted(&e) => {
                    self.refusals.exhausted += 1;
                    self.rest = Some(Box::pin(tokio::time::sleep(REST)));
                }
                // The peer was gone before we looked (ECONNABORTED and kin).
                Err(_) => {}
            }
        }
    }

    async fn next(&mut self) -> io::Result<(usize, TcpStream, SocketAddr)> {
        std::future::poll_fn(|cx| {
            let n = self.listeners.len();
            for i in 0..n {
                let at = (self.first + i) % n;
                if let Some(listener) = self.listeners.get(at)
                    && let Poll::Ready(result) = listener.poll_accept(cx)
                {
                    self.first = at + 1;
                    return Poll::Ready(result.map(|(stream, peer)| (at, stream, peer)));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// A place for something that is not a connection of its own listeners; `None` when a limit is reached.
    pub fn admit(&mut self, ip: IpAddr) -> Option<Permit> {
        let open = self.open();
        if open >= self.limits.total {
            self.refusals.total += 1;
            return None;
        }
        if self.addresses.len() > SWEEP_AT + 2 * open as usize {
            self.addresses
                .retain(|_, count| count.load(Ordering::Relaxed) > 0);
        }
        let count = self.addresses.entry(network(ip)).or_default();
        if count.load(Ordering::Relaxed) >= self.limits.per_address {
            self.refusals.per_address += 1;
            return None;
        }
        // Only this task adds, so the limits cannot be overrun between look and step.
        count.fetch_add(1, Ordering::Relaxed);
        self.all.fetch_add(1, Ordering::Relaxed);
        Some(Permit {
            all: Arc::clone(&self.all),
            address: Arc::clone(count),
        })
    }
}

/// One subscriber: the address, or the first 64 bits of an IPv6 one.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

fn is_exhausted(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn gate(total: u32, per_address: u32) -> (Gate, SocketAddr, SocketAddr) {
        let a = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let b = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, bt) = (a.local_addr().unwrap(), b.local_addr().unwrap());
        (Gate::new(vec![a, b], Limits { total, per_address }), at, bt)
    }

    #[tokio::test]
    async fn the_limit_of_one_address_holds_and_frees() {
        let (mut gate, a, b) = gate(100, 2).await;
        let _c1 = TcpStream::connect(a).await.unwrap();
        let _c2 = TcpStream::connect(b).await.unwrap();
        let first = gate.accept().await;
        let _second = gate.accept().await;
        let _c3 = TcpStream::connect(a).await.unwrap();
        let third = tokio::time::timeout(Duration::from_millis(50), gate.accept()).await;
        assert!(third.is_err());
        assert_eq!(gate.refusals().per_address, 1);
        drop(first);
        let _c4 = TcpStream::connect(a).await.unwrap();
        let _fourth = gate.accept().await;
        assert_eq!(gate.open(), 2);
    }

    #[tokio::test]
    async fn the_limit_in_all_holds() {
        let (mut gate, a, _) = gate(1, 10).await;
        let _c1 = TcpStream::connect(a).await.unwrap();
        let _first = gate.accept().await;
        let _c2 = TcpStream::connect(a).await.unwrap();
        assert!(
            tokio::time::timeout(Duration::from_millis(50), gate.accept())
                .await
                .is_err()
        );
        assert_eq!(gate.refusals().total, 1);
    }

    #[test]
    fn an_ipv6_subscriber_is_its_first_64_bits() {
        let net = |s: &str| network(s.parse().unwrap());
        assert_eq!(net("2001:db8::1"), net("2001:db8::2:3"));
        assert_ne!(net("2001:db8::1"), net("2001:db8:0:1::1"));
        assert_eq!(net("::ffff:192.0.2.1"), net("192.0.2.1"));
    }
}
