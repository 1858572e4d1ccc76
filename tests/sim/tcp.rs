//! A TCP connection as its two programs see it: bytes in order, kernel buffers that fill, a wire with a speed.

use std::collections::VecDeque;
use std::time::Duration;

use base::{Rng, Time};

use crate::lossy::Lossy;

/// What the kernel keeps for a sender.
const SEND_BUFFER: usize = 64 * 1024;
/// What the kernel keeps for a reader.
const RECEIVE_BUFFER: usize = 128 * 1024;
const SEGMENT: usize = 1_448;

/// One direction.
#[derive(Debug)]
pub struct Pipe {
    /// One way.
    pub latency: Duration,
    /// Bytes a second.
    pub bandwidth: u64,
    /// Nothing leaves before.
    stalled_until: Time,
    unsent: VecDeque<u8>,
    wire_free: Time,
    flying: VecDeque<(Time, Vec<u8>)>,
    flying_bytes: usize,
    received: VecDeque<u8>,
    closed: bool,
    /// The network loses segments.
    lossy: Option<Lossy>,
    /// The most that was ever in the kernels of both sides.
    pub high_water: usize,
    /// Bytes written in all.
    pub written: u64,
}

impl Pipe {
    pub fn new(latency: Duration) -> Pipe {
        Pipe {
            latency,
            // 20 Mbit/s.
            bandwidth: 2_500_000,
            stalled_until: Time::ZERO,
            unsent: VecDeque::new(),
            wire_free: Time::ZERO,
            flying: VecDeque::new(),
            flying_bytes: 0,
            received: VecDeque::new(),
            closed: false,
            lossy: None,
            high_water: 0,
            written: 0,
        }
    }

    /// Nothing gets through before `until`; then all of it does, in order.
    pub fn stall(&mut self, until: Time) {
        self.stalled_until = until;
    }

    /// From now on the network loses segments, with that way to the other end.
    pub fn lose(&mut self, rng: Rng, loss: f64, latency: Duration) {
        self.lossy = Some(Lossy::new(rng, loss, latency));
    }

    /// Hands bytes to the kernel; returns how many it took.
    pub fn write(&mut self, now: Time, bytes: &[u8]) -> usize {
        let held = self.flying_bytes + self.lossy.as_ref().map_or(0, Lossy::held);
        let room = SEND_BUFFER.saturating_sub(self.unsent.len() + held);
        let taken = bytes.len().min(room);
        self.unsent.extend(&bytes[..taken]);
        self.written += taken as u64;
        self.run(now);
        let held = self.unsent.len() + self.flying_bytes + self.received.len();
        self.high_water = self.high_water.max(held);
        taken
    }

    /// Whether the kernel reports the socket writable: a third of its buffer is free, as on Linux.
    pub fn is_writable(&self) -> bool {
        (self.unsent.len() + self.flying_bytes) * 3 <= SEND_BUFFER * 2
    }

    /// What has arrived, at most `most` bytes.
    pub fn read(&mut self, now: Time, most: usize) -> Vec<u8> {
        self.run(now);
        let n = self.received.len().min(most);
        let bytes = self.received.drain(..n).collect();
        self.run(now);
        bytes
    }

    /// The writer has no more to say.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Whether everything was read and the writer has closed.
    pub fn is_over(&self) -> bool {
        self.closed && self.unsent.is_empty() && self.flying.is_empty() && self.received.is_empty()
    }

    /// Moves bytes along the wire as far as time and the reader's window allow.
    pub fn run(&mut self, now: Time) {
        while self.flying.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, bytes)) = self.flying.pop_front() {
                self.flying_bytes -= bytes.len();
                self.received.extend(bytes);
            }
        }
        if let Some(lossy) = &mut self.lossy {
            return lossy.run(now, &mut self.unsent, &mut self.received);
        }
        while let Some(at) = self.leaves_at().filter(|at| *at <= now) {
            let window = RECEIVE_BUFFER - self.received.len() - self.flying_bytes;
            let n = self.unsent.len().min(SEGMENT).min(window);
            let bytes: Vec<u8> = self.unsent.drain(..n).collect();
            let took = Duration::from_nanos(n as u64 * 1_000_000_000 / self.bandwidth);
            // A wire that was idle is free now, not when it last was.
            self.wire_free = now.max(at) + took;
            self.flying_bytes += n;
            self.flying.push_back((self.wire_free + self.latency, bytes));
        }
    }

    fn leaves_at(&self) -> Option<Time> {
        let window = RECEIVE_BUFFER.saturating_sub(self.received.len() + self.flying_bytes);
        (!self.unsent.is_empty() && window > 0).then(|| self.wire_free.max(self.stalled_until))
    }

    /// When something moves next.
    pub fn poll_timeout(&self) -> Option<Time> {
        let flying = self.flying.front().map(|(at, _)| *at);
        match &self.lossy {
            Some(lossy) => base::earliest(flying, lossy.poll_timeout()),
            None => base::earliest(flying, self.leaves_at()),
        }
    }
}

/// Both directions of a connection.
#[derive(Debug)]
pub struct Tcp {
    /// From the client to the gateway.
    pub up: Pipe,
    /// From the gateway to the client.
    pub down: Pipe,
}

impl Tcp {
    pub fn new(latency: Duration) -> Tcp {
        Tcp {
            up: Pipe::new(latency),
            down: Pipe::new(latency),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_stops_fills_both_kernels_and_no_more() {
        let mut pipe = Pipe::new(Duration::from_millis(5));
        let mut now = Time::ZERO;
        let mut taken = 0;
        for _ in 0..1_000 {
            taken += pipe.write(now, &[7; 1_000]);
            now += Duration::from_millis(1);
        }
        assert_eq!(taken, SEND_BUFFER + RECEIVE_BUFFER);
        assert!(!pipe.is_writable());
        let mut read = 0;
        while read < taken {
            read += pipe.read(now, 1_000).len();
            now += Duration::from_millis(1);
        }
        assert!(pipe.is_writable() && pipe.poll_timeout().is_none());
    }

    #[test]
    fn a_stall_delays_and_keeps_the_order() {
        let mut pipe = Pipe::new(Duration::from_millis(5));
        pipe.stall(Time::from_secs(3));
        for n in 0..100u8 {
            pipe.write(Time::from_millis(u64::from(n) * 20), &[n; 10]);
        }
        assert!(pipe.read(Time::from_millis(3_004), 10_000).is_empty());
        let got = pipe.read(Time::from_millis(3_010), 10_000);
        assert_eq!(got.len(), 1_000);
        assert!(got.is_sorted());
    }
}
