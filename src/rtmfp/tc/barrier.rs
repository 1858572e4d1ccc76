//! Flow synchronisation (RFC 7425 §5.2): messages of one flow wait until others have come as far.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use base::Time;
use rtmp::message::kind;

use crate::vlu::Cursor;

/// The user control event.
const FLOW_SYNC: u16 = 34;
/// Barriers that may be open at once.
const MAX_BARRIERS: usize = 64;
/// Messages and bytes that wait, at most. More, and all barriers fall: order is worth less than the connection.
const MAX_HELD: usize = 2_048;
const MAX_BYTES: usize = 4 << 20;
/// A barrier falls after so long: what it waits for was lost with a flow.
const PATIENCE: Duration = Duration::from_secs(3);

/// The barrier that a message asks for: its number, and how many flows it aligns.
fn read(message: &[u8]) -> Option<(u32, u32)> {
    let mut c = Cursor(message);
    let (is, _timestamp, event) = (c.u8()?, c.u32()?, c.u16()?);
    (is == kind::USER_CONTROL && event == FLOW_SYNC).then_some(())?;
    Some((c.u32()?, c.u32()?.max(1)))
}

/// The body of the message that raises a barrier.
pub(super) fn body(sync: u32, count: u32) -> Vec<u8> {
    let mut out = FLOW_SYNC.to_be_bytes().to_vec();
    out.extend_from_slice(&sync.to_be_bytes());
    out.extend_from_slice(&count.to_be_bytes());
    out
}

/// What a flow brings.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// A message with its header.
    Message(Vec<u8>),
    /// Its end.
    End,
}

#[derive(Debug)]
struct Barrier {
    count: usize,
    /// The flows that have reached it, in that order.
    reached: Vec<u64>,
    until: Time,
}

/// The flows that wait, and what they wait for.
#[derive(Debug, Default)]
pub(super) struct Barriers {
    flows: BTreeSet<u64>,
    open: BTreeMap<u32, Barrier>,
    held: BTreeMap<u64, VecDeque<Arrival>>,
    messages: usize,
    bytes: usize,
}

impl Barriers {
    /// A flow has begun.
    pub(super) fn begin(&mut self, flow: u64) {
        self.flows.insert(flow);
    }

    /// Takes what a flow brings; what may be looked at now goes to `out`.
    pub(super) fn take(&mut self, now: Time, flow: u64, arrival: Arrival, out: &mut Vec<(u64, Arrival)>) {
        self.work(now, VecDeque::from([(flow, arrival)]), out);
        if self.messages > MAX_HELD || self.bytes > MAX_BYTES {
            self.fall(now, |_| true, out);
        }
    }

    /// When a barrier falls by itself.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.open.values().map(|b| b.until).min()
    }

    /// Lets those fall whose time is over.
    pub(super) fn handle_timeout(&mut self, now: Time, out: &mut Vec<(u64, Arrival)>) {
        self.fall(now, |b| b.until <= now, out);
    }

    fn fall(&mut self, now: Time, which: impl Fn(&Barrier) -> bool, out: &mut Vec<(u64, Arrival)>) {
        let over: Vec<u32> = self
            .open
            .iter()
            .filter(|(_, b)| which(b))
            .map(|(id, _)| *id)
            .collect();
        let mut work = VecDeque::new();
        for id in over {
            self.release(id, &mut work);
        }
        self.work(now, work, out);
    }

    /// Hands over what no longer waits, until all that is left waits for something.
    fn work(&mut self, now: Time, mut work: VecDeque<(u64, Arrival)>, out: &mut Vec<(u64, Arrival)>) {
        while let Some((flow, arrival)) = work.pop_front() {
            if let Some(held) = self.held.get_mut(&flow) {
                if let Arrival::Message(data) = &arrival {
                    self.bytes += data.len();
                }
                self.messages += 1;
                held.push_back(arrival);
                continue;
            }
            match &arrival {
                Arrival::Message(data) => match read(data) {
                    Some((id, count)) => self.reach(now, flow, id, count, &mut work),
                    None => out.push((flow, arrival)),
                },
                Arrival::End => {
                    self.flows.remove(&flow);
                    out.push((flow, arrival));
                    self.give_up(&mut work);
                }
            }
        }
    }

    /// A flow has come to a barrier.
    fn reach(&mut self, now: Time, flow: u64, id: u32, count: u32, work: &mut VecDeque<(u64, Arrival)>) {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if self.open.len() >= MAX_BARRIERS && !self.open.contains_key(&id) {
            return;
        }
        let barrier = self.open.entry(id).or_insert_with(|| Barrier {
            count,
            reached: Vec::new(),
            until: now + PATIENCE,
        });
        barrier.reached.push(flow);
        self.held.insert(flow, VecDeque::new());
        if barrier.reached.len() >= barrier.count {
            self.release(id, work);
        }
    }

    /// A flow has ended: barriers that fewer flows are left for than they count fall.
    fn give_up(&mut self, work: &mut VecDeque<(u64, Arrival)>) {
        let flows = self.flows.len();
        let over: Vec<u32> = self
            .open
            .iter()
            .filter(|(_, b)| b.count > flows)
            .map(|(id, _)| *id)
            .collect();
        over.into_iter().for_each(|id| self.release(id, work));
    }

    /// What waited at a barrier is looked at before anything else.
    fn release(&mut self, id: u32, work: &mut VecDeque<(u64, Arrival)>) {
        let reached = self.open.remove(&id).map(|b| b.reached).unwrap_or_default();
        for flow in reached.into_iter().rev() {
            for arrival in self.held.remove(&flow).unwrap_or_default().into_iter().rev() {
                if let Arrival::Message(data) = &arrival {
                    self.bytes -= data.len();
                }
                self.messages -= 1;
                work.push_front((flow, arrival));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sync(id: u32, count: u32) -> Arrival {
        Arrival::Message([&[kind::USER_CONTROL, 0, 0, 0, 0][..], &body(id, count)].concat())
    }

    fn plain(n: u8) -> Arrival {
        Arrival::Message(vec![kind::COMMAND, 0, 0, 0, 0, n])
    }

    struct Test {
        barriers: Barriers,
        now: Time,
    }

    impl Test {
        fn new(flows: u64) -> Test {
            let mut barriers = Barriers::default();
            (1..=flows).for_each(|f| barriers.begin(f));
            Test {
                barriers,
                now: Time::from_secs(1),
            }
        }

        /// Gives the numbers of the messages that came through; 0 for an end.
        fn take(&mut self, flow: u64, arrival: Arrival) -> Vec<u8> {
            let mut out = Vec::new();
            self.barriers.take(self.now, flow, arrival, &mut out);
            numbers(out)
        }

        fn is_empty(&self) -> bool {
            let b = &self.barriers;
            b.open.is_empty() && b.held.is_empty() && b.messages == 0 && b.bytes == 0
        }
    }

    fn numbers(out: Vec<(u64, Arrival)>) -> Vec<u8> {
        let number = |a: Arrival| match a {
            Arrival::Message(data) => *data.last().unwrap(),
            Arrival::End => 0,
        };
        out.into_iter().map(|(_, a)| number(a)).collect()
    }

    #[test]
    fn the_example_of_the_standard() {
        let mut t = Test::new(2);
        assert_eq!(t.take(1, plain(1)), [1]);
        assert_eq!(t.take(1, plain(2)), [2]);
        assert_eq!(t.take(1, plain(4)), [4]);
        assert!(t.take(1, sync(8, 2)).is_empty());
        // The first flow is ahead by a whole barrier.
        assert!(t.take(1, sync(13, 2)).is_empty());
        assert!(t.take(1, plain(7)).is_empty());
        assert_eq!(t.take(2, plain(3)), [3]);
        assert!(t.take(2, sync(8, 2)).is_empty());
        assert_eq!(t.take(2, plain(5)), [5]);
        assert_eq!(t.take(2, sync(13, 2)), [7]);
        assert_eq!(t.take(2, plain(6)), [6]);
        assert!(t.is_empty());
    }

    #[test]
    fn a_barrier_that_cannot_be_reached_falls() {
        let mut t = Test::new(2);
        assert!(t.take(1, sync(1, 2)).is_empty());
        assert!(t.take(1, plain(1)).is_empty());
        assert_eq!(
            t.take(2, Arrival::End),
            [0, 1],
            "with the flow that it waited for"
        );
        assert!(t.is_empty());
        let mut t = Test::new(2);
        assert!(t.take(1, sync(1, 2)).is_empty());
        assert!(t.take(1, Arrival::End).is_empty(), "its end waits too");
        let due = t.barriers.poll_timeout().unwrap();
        let mut out = Vec::new();
        t.barriers.handle_timeout(due, &mut out);
        assert_eq!(numbers(out), [0]);
        assert!(t.is_empty() && t.barriers.poll_timeout().is_none());
    }

    #[test]
    fn what_waits_has_a_bound() {
        let mut t = Test::new(2);
        t.take(1, sync(1, 2));
        let through: usize = (0..10_000).map(|_| t.take(1, plain(1)).len()).sum();
        assert_eq!(through, 10_000);
        let mut t = Test::new(2);
        t.take(1, sync(1, 2));
        let big = || Arrival::Message(vec![kind::VIDEO; 1 << 20]);
        let through: usize = (0..8).map(|_| t.take(1, big()).len()).sum();
        assert_eq!(through, 8);
        for id in 0..10_000 {
            t.take(1, sync(id, 1));
        }
        assert!(t.is_empty());
    }
}
