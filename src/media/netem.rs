//! A bad network for tests: loss in bursts, delay, jitter, reordering, duplication, stalls; pure and seeded.

use base::{Rng, Time};
use std::collections::BinaryHeap;
use std::time::Duration;

/// Most packets under way; what is sent beyond is lost, as in a full queue.
const BOUND: usize = 4_096;

/// How bad a network is. The default is a perfect one.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct NetemOptions {
    /// Share of packets lost, 0.0 to 1.0.
    pub loss: f64,
    /// Mean number of packets lost in a row (Gilbert's model), at least 1.0.
    pub burst: f64,
    /// Delay of every packet.
    pub delay: Duration,
    /// Further delay, evenly distributed from nothing to this.
    pub jitter: Duration,
    /// Whether jitter leaves the order alone, as on one queue. Reordered packets ignore it.
    pub in_order: bool,
    /// Share of packets held back by [`NetemOptions::reorder_by`].
    pub reorder: f64,
    /// How long reordered packets are held back.
    pub reorder_by: Duration,
    /// Share of packets that arrive twice.
    pub duplicate: f64,
}

impl Default for NetemOptions {
    fn default() -> NetemOptions {
        NetemOptions {
            loss: 0.0,
            burst: 1.0,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            in_order: true,
            reorder: 0.0,
            reorder_by: Duration::from_millis(50),
            duplicate: 0.0,
        }
    }
}

/// One direction of the network, carrying items of any kind.
#[derive(Debug)]
pub struct Netem<T> {
    options: NetemOptions,
    rng: Rng,
    losing: bool,
    last_due: Time,
    stalled_until: Time,
    order: u64,
    under_way: BinaryHeap<UnderWay<T>>,
    lost: u64,
}

#[derive(Debug)]
struct UnderWay<T> {
    due: Time,
    order: u64,
    item: T,
}

impl<T> PartialEq for UnderWay<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for UnderWay<T> {}

impl<T> PartialOrd for UnderWay<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for UnderWay<T> {
    /// The earliest is the greatest, for the heap gives that first.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.due, other.order).cmp(&(self.due, self.order))
    }
}

impl<T: Clone> Netem<T> {
    /// A network from a seed.
    pub fn new(options: NetemOptions, rng: Rng) -> Netem<T> {
        Netem {
            options,
            rng,
            losing: false,
            last_due: Time::ZERO,
            stalled_until: Time::ZERO,
            order: 0,
            under_way: BinaryHeap::new(),
            lost: 0,
        }
    }

    /// Becomes better or worse from now on.
    pub fn set(&mut self, options: NetemOptions) {
        self.options = options;
        self.losing = false;
    }

    /// Nothing arrives before `until`; then all that was sent meanwhile does, at once (a TCP uplink in trouble).
    pub fn stall(&mut self, until: Time) {
        self.stalled_until = until;
    }

    /// Sends an item.
    pub fn send(&mut self, now: Time, item: T) {
        if self.is_lost() || self.under_way.len() >= BOUND {
            self.lost += 1;
            return;
        }
        if self.rng.chance(self.options.duplicate) {
            let due = self.due(now);
            self.put(due, item.clone());
        }
        let due = self.due(now);
        self.put(due, item);
    }

    /// The next item that has arrived by `now`.
    pub fn poll(&mut self, now: Time) -> Option<T> {
        if self.under_way.peek()?.due > now {
            return None;
        }
        self.under_way.pop().map(|u| u.item)
    }

    /// When the next item arrives.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.under_way.peek().map(|u| u.due)
    }

    /// Items lost so far.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn is_lost(&mut self) -> bool {
        let o = self.options;
        let leave = 1.0 / o.burst.max(1.0);
        // The chance to enter a burst that makes the long-term share come true.
        let enter = if o.loss >= 1.0 {
            1.0
        } else {
            (leave * o.loss / (1.0 - o.loss)).min(1.0)
        };
        self.losing = if self.losing {
            o.loss >= 1.0 || !self.rng.chance(leave)
        } else {
            self.rng.chance(enter)
        };
        self.losing
    }

    fn due(&mut self, now: Time) -> Time {
        let o = self.options;
        let jitter = self.rng.below(o.jitter.as_nanos() as u64 + 1);
        let mut due = now + o.delay + Duration::from_nanos(jitter);
        if self.rng.chance(o.reorder) {
            return (due + o.reorder_by).max(self.stalled_until);
        }
        if o.in_order {
            due = due.max(self.last_due);
        }
        due = due.max(self.stalled_until);
        self.last_due = due;
        due
    }

    fn put(&mut self, due: Time, item: T) {
        self.order += 1;
        self.under_way.push(UnderWay {
            due,
            order: self.order,
            item,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(options: NetemOptions, n: u64) -> Vec<(u64, Time)> {
        let mut net = Netem::new(options, Rng::new(1));
        let mut got = Vec::new();
        for i in 0..n {
            let now = Time::from_millis(i * 20);
            net.send(now, i);
            while let Some(x) = net.poll(now) {
                got.push((x, now));
            }
        }
        while let Some(due) = net.poll_timeout() {
            got.push((net.poll(due).unwrap(), due));
        }
        got
    }

    #[test]
    fn a_perfect_network_changes_nothing() {
        let got = arrivals(NetemOptions::default(), 100);
        assert!(
            got.iter()
                .enumerate()
                .all(|(i, (x, t))| i as u64 == *x && t.as_millis() == x * 20)
        );
    }

    #[test]
    fn loss_has_its_share_and_its_bursts() {
        let options = NetemOptions {
            loss: 0.1,
            burst: 3.0,
            ..NetemOptions::default()
        };
        let got = arrivals(options, 20_000);
        assert!((17_600..18_400).contains(&got.len()), "{}", got.len());
        let bursts = got.windows(2).filter(|w| w[1].0 > w[0].0 + 1).count();
        let mean = (20_000 - got.len()) as f64 / bursts as f64;
        assert!((2.6..3.4).contains(&mean), "{mean}");
    }

    #[test]
    fn reorders_duplicates_and_stalls() {
        let options = NetemOptions {
            reorder: 0.1,
            duplicate: 0.1,
            ..NetemOptions::default()
        };
        let got = arrivals(options, 1_000);
        assert!(got.len() > 1_050);
        assert!(got.windows(2).filter(|w| w[1].0 < w[0].0).count() > 50);

        let mut net = Netem::new(NetemOptions::default(), Rng::new(1));
        net.stall(Time::from_millis(500));
        net.send(Time::ZERO, 1);
        net.send(Time::from_millis(400), 2);
        assert_eq!(net.poll(Time::from_millis(499)), None);
        assert_eq!(net.poll(Time::from_millis(500)), Some(1));
        assert_eq!(net.poll(Time::from_millis(500)), Some(2));
    }
}
