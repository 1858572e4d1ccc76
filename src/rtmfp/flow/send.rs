//! The sending half of a flow (§3.6.2).

use std::collections::VecDeque;
use std::time::Duration;

use base::Time;

use super::{Deadline, Priority};
use crate::chunk::{Ack, Chunk, NextUserData, Part, UserData};
use crate::params;

/// Bytes that the header of a packet and of a user data chunk may take.
const OVERHEAD: usize = 32;

/// A fragment on its way.
#[derive(Debug)]
struct Entry {
    sequence: u64,
    /// Which message it belongs to.
    message: u64,
    data: Vec<u8>,
    part: Part,
    deadline: Option<Deadline>,
    abandoned: bool,
    sent_abandoned: bool,
    ever_sent: bool,
    in_flight: bool,
    naks: u8,
    size: usize,
    tsn: u64,
    sent: Time,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Open,
    Closing,
    Linger(Time),
}

/// What an acknowledgement brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acked {
    /// Bytes of chunks.
    pub(crate) bytes: usize,
    /// The newest transmission among them.
    pub(crate) tsn: u64,
}

/// Counters of a flow or a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendStats {
    /// Messages queued.
    pub messages: u64,
    /// Fragments sent again.
    pub retransmits: u64,
    /// Messages given up before they were acknowledged.
    pub abandoned: u64,
}

/// A sending flow.
#[derive(Debug)]
pub(crate) struct SendFlow {
    pub(crate) id: u64,
    pub(crate) priority: Priority,
    /// Sent until the first acknowledgement.
    options: Vec<u8>,
    queue: VecDeque<Entry>,
    next_sequence: u64,
    next_message: u64,
    pub(crate) outstanding: usize,
    window: u64,
    rejected: bool,
    last: Option<u64>,
    state: State,
    /// Bytes of data in the queue.
    pub(crate) queued: usize,
    probe: Option<(Time, Duration)>,
    pub(crate) stats: SendStats,
}

impl SendFlow {
    pub(crate) fn new(id: u64, options: Vec<u8>, priority: Priority) -> SendFlow {
        SendFlow {
            id,
            priority,
            options,
            queue: VecDeque::new(),
            next_sequence: 1,
            next_message: 0,
            outstanding: 0,
            window: params::WINDOW_INITIAL,
            rejected: false,
            last: None,
            state: State::Open,
            queued: 0,
            probe: None,
            stats: SendStats::default(),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether everything was acknowledged after the close.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.state, State::Linger(_))
    }

    /// Whether nothing of it was ever sent but its end.
    pub(crate) fn is_unused(&self) -> bool {
        self.stats.messages == 0
    }

    /// When its id may be used again.
    pub(crate) fn linger_end(&self) -> Option<Time> {
        match self.state {
            State::Linger(end) => Some(end),
            _ => None,
        }
    }

    /// Queues a message in fragments that fit packets of `packet` bytes.
    pub(crate) fn push(&mut self, message: Vec<u8>, packet: usize, deadline: Option<Deadline>) -> bool {
        if self.state != State::Open {
            return false;
        }
        let most = packet.saturating_sub(OVERHEAD + self.options.len()).max(1);
        self.stats.messages += 1;
        self.next_message += 1;
        self.queued += message.len();
        if message.len() <= most {
            self.push_entry(message, Part::Whole, deadline);
            return true;
        }
        let count = message.len().div_ceil(most);
        for (n, data) in message.chunks(most).enumerate() {
            let part = match n {
                0 => Part::Begin,
                n if n + 1 == count => Part::End,
                _ => Part::Middle,
            };
            self.push_entry(data.to_vec(), part, deadline);
        }
        true
    }

    /// Cuts what was never sent into fragments for packets of `packet` bytes.
    pub(crate) fn recut(&mut self, packet: usize) {
        if self.state != State::Open {
            return;
        }
        // Numbers that were sent have their meaning; so have the parts of a message of which some were.
        let sent = self.queue.iter().rposition(|e| e.ever_sent);
        let begun = sent.and_then(|n| self.queue.get(n)).map(|e| e.message);
        let mut tail: VecDeque<Entry> = VecDeque::new();
        while let Some(entry) = self
            .queue
            .pop_back_if(|e| !e.ever_sent && Some(e.message) != begun)
        {
            tail.push_front(entry);
        }
        self.next_sequence = tail.front().map_or(self.next_sequence, |e| e.sequence);
        while let Some(first) = tail.pop_front() {
            let (number, deadline, abandoned) = (first.message, first.deadline, first.abandoned);
            let mut message = first.data;
            while let Some(more) = tail.pop_front_if(|e| e.message == number) {
                message.extend_from_slice(&more.data);
            }
            if !abandoned {
                self.queued -= message.len();
                self.stats.messages -= 1;
                self.push(message, packet, deadline);
            }
        }
    }

    fn push_entry(&mut self, data: Vec<u8>, part: Part, deadline: Option<Deadline>) {
        self.queue.push_back(Entry {
            sequence: self.next_sequence,
            message: self.next_message,
            data,
            part,
            deadline,
            abandoned: false,
            sent_abandoned: false,
            ever_sent: false,
            in_flight: false,
            naks: 0,
            size: 0,
            tsn: 0,
            sent: Time::ZERO,
        });
        self.next_sequence += 1;
    }

    /// Ends the flow after what is queued. The last number is an empty one of its own: a last mark on data makes
    /// some players crash.
    pub(crate) fn close(&mut self) {
        if self.state != State::Open {
            return;
        }
        self.state = State::Closing;
        self.next_message += 1;
        self.push_entry(Vec::new(), Part::Whole, None);
        if let Some(entry) = self.queue.back_mut() {
            entry.abandoned = true;
            self.last = Some(entry.sequence);
        }
    }

    /// The receiver does not want it: nothing is sent any more but the end.
    pub(crate) fn reject(&mut self) -> bool {
        let first = !self.rejected;
        self.rejected = true;
        for entry in &mut self.queue {
            entry.abandoned = true;
            self.queued -= entry.data.len();
            entry.data = Vec::new();
        }
        self.close();
        first
    }

    /// Gives up messages whose time is over, as far as they are not on their way.
    pub(crate) fn expire(&mut self, now: Time) {
        let mut over = None;
        for entry in &mut self.queue {
            // A message that has begun has until its end.
            let begins = matches!(entry.part, Part::Whole | Part::Begin);
            let late = |d: Deadline| now > d.finish || (begins && !entry.ever_sent && now > d.start);
            if !entry.in_flight
                && !entry.abandoned
                && entry.deadline.is_some_and(late)
                && over != Some(entry.message)
            {
                over = Some(entry.message);
                self.stats.abandoned += 1;
            }
            if over == Some(entry.message) && !entry.abandoned {
                entry.abandoned = true;
                self.queued -= entry.data.len();
                entry.data = Vec::new();
            }
        }
    }

    /// The first entry that may be sent now.
    fn eligible(&self) -> Option<usize> {
        if !self.rejected && self.window <= self.outstanding as u64 {
            return None;
        }
        self.queue
            .iter()
            .enumerate()
            .position(|(n, e)| !e.in_flight && (!e.abandoned || n == 0 || self.last == Some(e.sequence)))
    }

    /// Whether something is to be sent and may be.
    pub(crate) fn is_ready(&self) -> bool {
        self.eligible().is_some()
    }

    /// Writes fragments into a packet with `room` bytes left, at most `budget` bytes of them. Returns how many.
    pub(crate) fn fill(
        &mut self,
        now: Time,
        room: usize,
        budget: usize,
        next_tsn: &mut u64,
        packet: &mut Vec<u8>,
    ) -> usize {
        self.trim();
        let (start, mut sent) = (packet.len(), 0);
        // The number of the chunk before, for the short form.
        let mut before: Option<u64> = None;
        while packet.len() - start < budget.max(1) {
            let Some(at) = self.eligible() else { break };
            let fsn = self.forward_sequence();
            let last = self.last;
            let Some(entry) = self.queue.get_mut(at) else {
                break;
            };
            let chunk_start = packet.len();
            let fragment = NextUserData {
                part: entry.part,
                abandoned: entry.abandoned,
                last: last == Some(entry.sequence),
                options: (before.is_none() && !self.options.is_empty()).then_some(self.options.as_slice()),
                data: &entry.data,
            };
            if before == Some(entry.sequence.wrapping_sub(1)) {
                Chunk::NextUserData(fragment).put(packet);
            } else {
                let data = UserData {
                    flow: self.id,
                    sequence: entry.sequence,
                    fsn_offset: entry.sequence.saturating_sub(fsn),
                    fragment,
                };
                Chunk::UserData(data).put(packet);
            }
            if packet.len() - start > room {
                packet.truncate(chunk_start);
                break;
            }
            self.stats.retransmits += u64::from(entry.ever_sent && !entry.abandoned);
            entry.in_flight = true;
            entry.ever_sent = true;
            entry.naks = 0;
            entry.sent_abandoned = entry.abandoned;
            entry.size = packet.len() - chunk_start;
            entry.tsn = *next_tsn;
            entry.sent = now;
            *next_tsn += 1;
            self.outstanding += entry.size;
            before = Some(entry.sequence);
            sent += 1;
        }
        sent
    }

    /// Drops abandoned entries at the front (§3.6.2.3).
    fn trim(&mut self) {
        while self.queue.len() >= 2 && self.queue.front().is_some_and(|e| !e.in_flight && e.abandoned) {
            self.queue.pop_front();
        }
    }

    fn forward_sequence(&self) -> u64 {
        match self.queue.front() {
            Some(e) if !e.abandoned || (e.in_flight && !e.sent_abandoned) => e.sequence - 1,
            Some(e) => e.sequence,
            None => self.next_sequence - 1,
        }
    }

    /// Takes an acknowledgement.
    pub(crate) fn on_ack(&mut self, now: Time, ack: &Ack<'_>) -> Acked {
        self.options.clear();
        self.window = ack.blocks.saturating_mul(1024);
        if self.window > 0 {
            self.probe = None;
        }
        let mut acked = Acked::default();
        let mut ranges = std::iter::once((0, ack.cumulative)).chain(ack.ranges());
        let mut range = ranges.next();
        let (outstanding, queued) = (&mut self.outstanding, &mut self.queued);
        self.queue.retain(|entry| {
            while range.is_some_and(|(_, to)| to < entry.sequence) {
                range = ranges.next();
            }
            let arrived = range.is_some_and(|(from, _)| from <= entry.sequence) && entry.ever_sent;
            if !arrived {
                return true;
            }
            if entry.in_flight {
                acked.bytes += entry.size;
                acked.tsn = acked.tsn.max(entry.tsn);
                *outstanding -= entry.size;
            }
            *queued -= entry.data.len();
            false
        });
        if self.state == State::Closing && self.queue.is_empty() {
            self.state = State::Linger(now + params::SEND_LINGER);
        }
        acked
    }

    /// Counts a negative acknowledgement for all that was sent before transmission `tsn`. Gives whether there was
    /// one, and whether something is lost. Real-time data, sent a few times in a round trip, cannot wait for so many:
    /// they are lost when what was sent later has arrived and a round trip and a quarter are over (as in RFC 8985).
    pub(crate) fn on_later_ack(&mut self, now: Time, tsn: u64, rtt: Option<Duration>) -> (bool, bool) {
        let hurried = rtt
            .filter(|_| self.priority == Priority::RealTime)
            .map(|rtt| rtt * 5 / 4);
        let (mut any, mut lost) = (false, false);
        for entry in self.queue.iter_mut().filter(|e| e.in_flight && e.tsn < tsn) {
            any = true;
            entry.naks += 1;
            let overdue = hurried.is_some_and(|limit| now.since(entry.sent) >= limit);
            if entry.naks >= params::MAX_NAKS || overdue {
                lost = true;
                entry.in_flight = false;
                self.outstanding -= entry.size;
            }
        }
        (any, lost)
    }

    /// Nothing was heard for too long: all that is on its way is lost.
    pub(crate) fn on_timeout(&mut self) -> bool {
        let lost = self.outstanding > 0;
        for entry in &mut self.queue {
            entry.in_flight = false;
        }
        self.outstanding = 0;
        lost
    }

    /// When a buffer probe is due: the receiver has no room, and there is something to be sent.
    pub(crate) fn probe_time(&mut self, now: Time, erto: Duration) -> Option<Time> {
        let blocked = self.window == 0 && !self.rejected && !self.queue.is_empty() && self.outstanding == 0;
        if !blocked {
            self.probe = None;
            return None;
        }
        let first = params::PROBE_FIRST.max(erto);
        Some(self.probe.get_or_insert((now + first, first)).0)
    }

    /// A probe was sent; the next one is later.
    pub(crate) fn probed(&mut self, now: Time) {
        if let Some((at, interval)) = &mut self.probe {
            *interval = (*interval * 3 / 2).min(params::PROBE_MAX);
            *at = now + *interval;
        }
    }
}
