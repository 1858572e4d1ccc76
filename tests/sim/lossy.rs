//! TCP on a network that loses segments, as a kernel of today sends it again: selective acknowledgements, loss by time
//! and by three later ones (RFC 8985), a tail probe, the retransmission timeout (RFC 6298) and a congestion window that a
//! loss shrinks by 0.3 (RFC 9438). No delayed acknowledgements: it is TCP at its best.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use base::{Rng, Time};

const SEGMENT: usize = 1_448;
/// The shortest retransmission timeout beyond the round trip, as on Linux.
const RTO_SLACK: Duration = Duration::from_millis(200);

#[derive(Debug)]
struct Segment {
    number: u64,
    bytes: Vec<u8>,
    sent: Time,
    again: bool,
    sacked: bool,
    lost: bool,
}

#[derive(Debug)]
enum Flying {
    Data(u64, Vec<u8>),
    /// All below the number arrived, and these.
    Ack(u64, Vec<u64>),
}

/// One direction, with the acknowledgements that come back.
#[derive(Debug)]
pub struct Lossy {
    rng: Rng,
    loss: f64,
    latency: Duration,
    wire: BTreeMap<(Time, u64), Flying>,
    count: u64,
    segments: VecDeque<Segment>,
    next: u64,
    window: f64,
    threshold: f64,
    /// Losses of segments below this one have shrunk the window already.
    recover: u64,
    rtt: Option<(Duration, Duration)>,
    backoff: u32,
    probed: bool,
    /// Send time of the newest segment known to have arrived.
    newest: Time,
    expected: u64,
    early: BTreeMap<u64, Vec<u8>>,
    pub resent: u64,
}

impl Lossy {
    pub fn new(rng: Rng, loss: f64, latency: Duration) -> Lossy {
        Lossy {
            rng,
            loss,
            latency,
            wire: BTreeMap::new(),
            count: 0,
            segments: VecDeque::new(),
            next: 0,
            window: 10.0,
            threshold: f64::MAX,
            recover: 0,
            rtt: None,
            backoff: 0,
            probed: false,
            newest: Time::ZERO,
            expected: 0,
            early: BTreeMap::new(),
            resent: 0,
        }
    }

    /// Bytes that have not been acknowledged.
    pub fn held(&self) -> usize {
        self.segments.iter().map(|s| s.bytes.len()).sum()
    }

    /// Lets time pass: takes what may be sent from `unsent`, puts what arrived into `received`.
    pub fn run(&mut self, now: Time, unsent: &mut VecDeque<u8>, received: &mut VecDeque<u8>) {
        while let Some(entry) = self.wire.first_entry().filter(|e| e.key().0 <= now) {
            let at = entry.key().0;
            match entry.remove() {
                Flying::Data(number, bytes) => self.arrive(at, number, bytes, received),
                Flying::Ack(below, apart) => self.acknowledged(at, below, &apart),
            }
            self.send(at, unsent);
        }
        if self.timer().is_some_and(|at| at <= now) {
            self.timeout(now);
        }
        self.send(now, unsent);
    }

    pub fn poll_timeout(&self) -> Option<Time> {
        base::earliest(self.wire.keys().next().map(|(at, _)| *at), self.timer())
    }

    fn put(&mut self, now: Time, what: Flying) {
        if !self.rng.chance(self.loss) {
            self.count += 1;
            self.wire.insert((now + self.latency, self.count), what);
        }
    }

    fn in_flight(&self) -> usize {
        self.segments.iter().filter(|s| !s.sacked && !s.lost).count()
    }

    fn send(&mut self, now: Time, unsent: &mut VecDeque<u8>) {
        while (self.in_flight() as f64) < self.window.floor() {
            if let Some(at) = self.segments.iter().position(|s| s.lost) {
                self.transmit(now, at);
                continue;
            }
            if unsent.is_empty() {
                return;
            }
            let bytes: Vec<u8> = unsent.drain(..unsent.len().min(SEGMENT)).collect();
            self.segments.push_back(Segment {
                number: self.next,
                bytes,
                sent: now,
                again: false,
                sacked: false,
                lost: false,
            });
            self.next += 1;
            let last = self.segments.len() - 1;
            let (number, bytes) = (self.segments[last].number, self.segments[last].bytes.clone());
            self.put(now, Flying::Data(number, bytes));
            self.probed = false;
        }
    }

    fn transmit(&mut self, now: Time, at: usize) {
        let segment = &mut self.segments[at];
        (segment.sent, segment.again, segment.lost) = (now, true, false);
        self.resent += 1;
        let what = Flying::Data(segment.number, segment.bytes.clone());
        self.put(now, what);
    }

    fn arrive(&mut self, now: Time, number: u64, bytes: Vec<u8>, received: &mut VecDeque<u8>) {
        if number >= self.expected {
            self.early.insert(number, bytes);
        }
        while let Some(bytes) = self.early.remove(&self.expected) {
            received.extend(bytes);
            self.expected += 1;
        }
        let apart = self.early.keys().copied().collect();
        self.put(now, Flying::Ack(self.expected, apart));
    }

    fn acknowledged(&mut self, now: Time, below: u64, apart: &[u64]) {
        let limited = self.in_flight() as f64 + 1.0 >= self.window.floor();
        let mut taken = 0;
        for segment in &mut self.segments {
            let arrived = segment.number < below || apart.binary_search(&segment.number).is_ok();
            if !arrived || segment.sacked {
                continue;
            }
            segment.sacked = true;
            segment.lost = false;
            taken += 1;
            self.newest = self.newest.max(segment.sent);
            if !segment.again {
                let rtt = now.since(segment.sent);
                self.rtt = Some(match self.rtt {
                    None => (rtt, rtt / 2),
                    Some((mean, spread)) => ((mean * 7 + rtt) / 8, (spread * 3 + mean.abs_diff(rtt)) / 4),
                });
            }
        }
        while self.segments.front().is_some_and(|s| s.number < below) {
            self.segments.pop_front();
        }
        if taken > 0 {
            self.backoff = 0;
            self.probed = false;
            if limited {
                let slow_start = self.window < self.threshold;
                self.window += if slow_start {
                    f64::from(taken)
                } else {
                    f64::from(taken) / self.window
                };
            }
        }
        self.find_lost();
    }

    fn find_lost(&mut self) {
        let reorder = self.rtt.map_or(Duration::ZERO, |(mean, _)| mean / 4);
        let later = |n: usize| self.segments.iter().skip(n + 1).filter(|s| s.sacked).count();
        let lost: Vec<usize> = (0..self.segments.len())
            .filter(|n| {
                let s = &self.segments[*n];
                let slack = if later(*n) >= 3 { Duration::ZERO } else { reorder };
                !s.sacked && !s.lost && self.newest > s.sent && self.newest.since(s.sent) >= slack
            })
            .collect();
        for n in lost {
            self.segments[n].lost = true;
            if self.segments[n].number >= self.recover {
                self.recover = self.next;
                self.threshold = (self.window * 0.7).max(2.0);
                self.window = self.threshold;
            }
        }
    }

    fn timer(&self) -> Option<Time> {
        let waiting = || self.segments.iter().filter(|s| !s.sacked && !s.lost);
        let oldest = waiting().map(|s| s.sent).min()?;
        let newest = waiting().map(|s| s.sent).max()?;
        let (mean, spread) = self.rtt.unwrap_or((Duration::from_millis(400), Duration::ZERO));
        let timeout = oldest + (mean + RTO_SLACK.max(spread * 4)) * 2u32.pow(self.backoff.min(8));
        let probe = (!self.probed && self.backoff == 0).then_some(newest + mean * 2);
        base::earliest(Some(timeout), probe)
    }

    fn timeout(&mut self, now: Time) {
        let last = self.segments.iter().rposition(|s| !s.sacked && !s.lost);
        if let Some(last) = last.filter(|_| !self.probed && self.backoff == 0) {
            // A probe of the tail.
            self.probed = true;
            return self.transmit(now, last);
        }
        self.backoff += 1;
        self.threshold = (self.window / 2.0).max(2.0);
        self.window = 1.0;
        self.recover = self.next;
        self.segments
            .iter_mut()
            .filter(|s| !s.sacked)
            .for_each(|s| s.lost = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_arrives_in_order_and_a_loss_costs_a_round_trip_and_some() {
        for loss in [0.0, 0.05, 0.3] {
            let mut tcp = Lossy::new(Rng::new(5), loss, Duration::from_millis(40));
            let (mut unsent, mut received) = (VecDeque::new(), VecDeque::new());
            let mut now = Time::from_secs(1);
            let mut delays = Vec::new();
            let mut written: VecDeque<(u8, Time)> = VecDeque::new();
            for n in 0..2_500u32 {
                if n % 20 == 0 {
                    unsent.push_back((n / 20) as u8);
                    written.push_back(((n / 20) as u8, now));
                }
                tcp.run(now, &mut unsent, &mut received);
                for byte in received.drain(..) {
                    let (wanted, at) = written.pop_front().unwrap();
                    assert_eq!(byte, wanted);
                    delays.push(now.since(at));
                }
                now += Duration::from_millis(1);
            }
            delays.sort();
            let p95 = delays[delays.len() * 95 / 100].as_millis();
            match loss {
                0.0 => assert_eq!(p95, 40),
                0.05 => assert!((100..250).contains(&p95), "{p95}"),
                _ => assert!(p95 > 250, "{p95}"),
            }
            assert!(delays.len() > 60, "loss {loss}: {}", delays.len());
        }
    }
}
