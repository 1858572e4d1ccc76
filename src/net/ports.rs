//! RTP/RTCP port pairs from a range: even RTP, the odd one above RTCP (RFC 3550 §11).

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base::{Rng, Time};
use tokio::net::UdpSocket;

use super::bind::media;
use crate::config::PortRange;

/// How long a freed pair rests, so that packets of the old call never reach a new one.
const QUIET: Duration = Duration::from_secs(10);
/// How many pairs are tried when other programs hold ports of the range.
const TRIES: usize = 64;

/// Two bound sockets.
#[derive(Debug)]
pub struct RtpPair {
    /// The even port.
    pub port: u16,
    /// RTP.
    pub rtp: UdpSocket,
    /// RTCP, on `port + 1`.
    pub rtcp: UdpSocket,
}

/// No pair is free: the range is too small for the calls in progress, or other programs hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no free RTP port pair: widen media.rtp_ports")]
pub struct PortsExhausted;

/// Hands out port pairs in a random order; the longest free goes first.
#[derive(Debug)]
pub struct RtpPorts {
    free: VecDeque<u16>,
    resting: VecDeque<(Time, u16)>,
}

impl RtpPorts {
    /// All pairs of the range, shuffled: a stranger cannot guess the port of the next call.
    pub fn new(range: PortRange, rng: &mut Rng) -> RtpPorts {
        let mut ports: Vec<u16> = (range.first..=range.last)
            .step_by(2)
            .filter(|p| *p < range.last)
            .collect();
        for i in (1..ports.len()).rev() {
            let j = usize::try_from(rng.below(i as u64 + 1)).unwrap_or(0);
            ports.swap(i, j);
        }
        RtpPorts {
            free: ports.into(),
            resting: VecDeque::new(),
        }
    }

    /// Parts the range among `n` owners, so that none has to ask another. `n` of at least 1.
    pub fn split(range: PortRange, n: usize, rng: &mut Rng) -> Vec<RtpPorts> {
        let mut all = RtpPorts::new(range, rng);
        let n = n.max(1);
        let share = all.free.len().div_ceil(n);
        (0..n)
            .map(|_| RtpPorts {
                free: all.free.drain(..share.min(all.free.len())).collect(),
                resting: VecDeque::new(),
            })
            .collect()
    }

    /// Pairs that can be had now.
    pub fn available(&self) -> usize {
        self.free.len()
    }

    /// Takes the next pair and binds it on `ip`.
    ///
    /// # Errors
    /// [`PortsExhausted`] when none is free or can be bound.
    pub fn open(&mut self, ip: IpAddr, now: Time) -> Result<RtpPair, PortsExhausted> {
        self.wake(now);
        for _ in 0..TRIES.min(self.free.len()) {
            let Some(port) = self.free.pop_front() else {
                break;
            };
            match bind(ip, port) {
                Ok((rtp, rtcp)) => return Ok(RtpPair { port, rtp, rtcp }),
                // Another program has it: ask again much later.
                Err(_) => self.free.push_back(port),
            }
        }
        Err(PortsExhausted)
    }

    /// Gives a pair back; it rests before it is used again. To be called once the sockets are closed.
    pub fn release(&mut self, port: u16, now: Time) {
        self.resting.push_back((now + QUIET, port));
    }

    fn wake(&mut self, now: Time) {
        while let Some((at, port)) = self.resting.front().copied()
            && at <= now
        {
            self.resting.pop_front();
            self.free.push_back(port);
        }
    }
}

fn bind(ip: IpAddr, port: u16) -> io::Result<(UdpSocket, UdpSocket)> {
    Ok((
        media(SocketAddr::new(ip, port))?,
        media(SocketAddr::new(ip, port + 1))?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::net::Ipv4Addr;

    /// A loopback address of this process alone, so that no other program holds its ports.
    fn local() -> IpAddr {
        let [.., a, b] = std::process::id().to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(127, 77, a, b.max(1)))
    }

    fn range(first: u16, last: u16) -> PortRange {
        PortRange { first, last }
    }

    #[tokio::test]
    async fn pairs_are_even_and_odd_and_never_given_twice() {
        let mut ports = RtpPorts::new(range(42_000, 42_199), &mut Rng::new(1));
        let mut seen = HashSet::new();
        let mut held = Vec::new();
        for _ in 0..20 {
            let pair = ports.open(local(), Time::ZERO).unwrap();
            assert_eq!(pair.port % 2, 0);
            assert_eq!(pair.rtp.local_addr().unwrap().port(), pair.port);
            assert_eq!(pair.rtcp.local_addr().unwrap().port(), pair.port + 1);
            assert!(seen.insert(pair.port));
            held.push(pair);
        }
    }

    #[tokio::test]
    async fn a_freed_pair_rests() {
        let mut ports = RtpPorts::new(range(42_200, 42_203), &mut Rng::new(1));
        let a = ports.open(local(), Time::ZERO).unwrap();
        let _b = ports.open(local(), Time::ZERO).unwrap();
        assert_eq!(ports.open(local(), Time::ZERO).unwrap_err(), PortsExhausted);
        let port = a.port;
        drop(a);
        ports.release(port, Time::ZERO);
        assert!(ports.open(local(), Time::from_secs(9)).is_err());
        assert_eq!(ports.open(local(), Time::from_secs(10)).unwrap().port, port);
    }

    #[tokio::test]
    async fn a_port_of_another_program_is_skipped() {
        let _other = UdpSocket::bind((local(), 42_205)).await.unwrap();
        let mut ports = RtpPorts::new(range(42_204, 42_207), &mut Rng::new(1));
        assert_eq!(ports.open(local(), Time::ZERO).unwrap().port, 42_206);
    }

    #[test]
    fn the_order_depends_on_the_seed_and_a_split_is_disjoint() {
        let order = |seed| RtpPorts::new(range(20_000, 29_999), &mut Rng::new(seed)).free;
        assert_ne!(order(1), order(2));
        let parts = RtpPorts::split(range(20_000, 29_999), 3, &mut Rng::new(1));
        let all: HashSet<u16> = parts.iter().flat_map(|p| p.free.iter().copied()).collect();
        assert_eq!(parts.len(), 3);
        assert_eq!(parts.iter().map(RtpPorts::available).sum::<usize>(), 5_000);
        assert_eq!(all.len(), 5_000);
    }
}
