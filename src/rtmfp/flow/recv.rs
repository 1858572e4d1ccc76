//! The receiving half of a flow (§3.6.3).

use std::collections::{BTreeMap, VecDeque};

use base::Time;

use super::Order;
use super::ranges::Ranges;
use crate::chunk::{Ack, Chunk, NextUserData, Part};
use crate::params;
use crate::vlu;

/// Gaps remembered in a flow; data that would make a further one are dropped, to be sent again.
const MAX_RANGES: usize = 256;

/// Numbers beyond this one are forged.
const MAX_SEQUENCE: u64 = 1 << 62;

/// A fragment that waits for others.
#[derive(Debug)]
struct Fragment {
    part: Part,
    data: Vec<u8>,
}

/// A receiving flow.
#[derive(Debug)]
pub(crate) struct RecvFlow {
    pub(crate) id: u64,
    pub(crate) order: Order,
    received: Ranges,
    buffer: BTreeMap<u64, Fragment>,
    buffered: usize,
    capacity: usize,
    last: Option<u64>,
    /// Reported before each acknowledgement.
    pub(crate) rejected: Option<u64>,
    linger: Option<Time>,
    pub(crate) ack_now: bool,
    pub(crate) ack_owed: bool,
    advertised: u64,
    /// Whole messages, in the order of delivery.
    ready: VecDeque<Vec<u8>>,
    /// Whether the owner was told of the end.
    pub(crate) told_end: bool,
}

impl RecvFlow {
    pub(crate) fn new(id: u64, capacity: usize) -> RecvFlow {
        RecvFlow {
            id,
            order: Order::Queued,
            received: Ranges::default(),
            buffer: BTreeMap::new(),
            buffered: 0,
            capacity,
            last: None,
            rejected: None,
            linger: None,
            ack_now: true,
            ack_owed: true,
            advertised: u64::MAX,
            ready: VecDeque::new(),
            told_end: false,
        }
    }

    /// Whether all up to the last number has arrived, or need not.
    pub(crate) fn is_complete(&self) -> bool {
        self.linger.is_some()
    }

    /// When it may be forgotten.
    pub(crate) fn linger_end(&self) -> Option<Time> {
        self.linger
    }

    /// Refuses all further data; the sender is told.
    pub(crate) fn reject(&mut self, code: u64) {
        self.rejected.get_or_insert(code);
        self.buffer.clear();
        self.ready.clear();
        self.buffered = 0;
        self.ack_now = true;
        self.ack_owed = true;
    }

    /// Takes a fragment. False when it had no room.
    pub(crate) fn insert(&mut self, now: Time, sequence: u64, fsn: u64, fragment: &NextUserData<'_>) -> bool {
        // No sender gets there by counting.
        if sequence > MAX_SEQUENCE || fsn > MAX_SEQUENCE {
            return true;
        }
        self.ack_owed = true;
        let new = !self.received.contains(sequence) && sequence > fsn;
        let keep = new && self.rejected.is_none() && !fragment.abandoned && self.linger.is_none();
        if keep && self.buffered + fragment.data.len() > self.capacity
            || self.received.len() >= MAX_RANGES && self.received.is_apart(sequence)
        {
            self.ack_now = true;
            return false;
        }
        let gap = self.received.len() > 1 || sequence > self.received.cumulative() + 1;
        self.received.insert(0, fsn);
        self.received.insert(sequence, sequence);
        if fragment.last && self.last.is_none() {
            self.last = Some(sequence);
            self.ack_now = true;
        }
        self.ack_now |= gap
            || !new
            || fragment.abandoned
            || self.rejected.is_some()
            || self.advertised < 2
            || self.buffered + 1024 > self.capacity;
        if keep {
            self.buffered += fragment.data.len();
            let data = fragment.data.to_vec();
            self.buffer.insert(
                sequence,
                Fragment {
                    part: fragment.part,
                    data,
                },
            );
            if self.order == Order::Arrival {
                self.gather(sequence);
            }
        }
        if self.rejected.is_none() {
            self.release();
        }
        if self.linger.is_none() && self.last.is_some_and(|last| self.received.cumulative() >= last) {
            self.linger = Some(now + params::RECEIVE_LINGER);
            self.buffer.clear();
            self.buffered = 0;
        }
        true
    }

    /// The next whole message.
    pub(crate) fn poll_message(&mut self) -> Option<Vec<u8>> {
        self.ready.pop_front()
    }

    /// Whether a message can no longer become whole for want of room.
    pub(crate) fn is_stuck(&self) -> bool {
        self.buffer
            .first_key_value()
            .is_some_and(|(first, _)| *first <= self.received.cumulative())
    }

    fn take(&mut self, sequence: u64) -> Vec<u8> {
        let data = self.buffer.remove(&sequence).map(|f| f.data).unwrap_or_default();
        self.buffered -= data.len();
        data
    }

    fn take_all(&mut self, from: u64, to: u64) {
        let mut message = self.take(from);
        for sequence in from + 1..=to {
            message.append(&mut self.take(sequence));
        }
        self.ready.push_back(message);
    }

    /// Delivers the message that a fragment belongs to, if it is whole.
    fn gather(&mut self, sequence: u64) {
        let part = |n: u64| self.buffer.get(&n).map(|f| f.part);
        let (mut from, mut to) = (sequence, sequence);
        while matches!(part(from), Some(Part::Middle | Part::End)) {
            from -= 1;
        }
        while matches!(part(to), Some(Part::Middle | Part::Begin)) {
            to += 1;
        }
        let whole = from == to && part(from) == Some(Part::Whole);
        let begun = part(from) == Some(Part::Begin) && part(to) == Some(Part::End);
        if whole || begun {
            self.take_all(from, to);
        }
    }

    /// Delivers what is whole and has nothing before it that may still come; discards what cannot become whole.
    fn release(&mut self) {
        let known = self.received.cumulative();
        while let Some((&first, fragment)) = self.buffer.first_key_value() {
            if first > known {
                break;
            }
            match fragment.part {
                Part::Whole => self.take_all(first, first),
                Part::End | Part::Middle => drop(self.take(first)),
                Part::Begin => {
                    let mut last = first;
                    while matches!(self.buffer.get(&(last + 1)), Some(f) if f.part == Part::Middle) {
                        last += 1;
                    }
                    match self.buffer.get(&(last + 1)).map(|f| f.part) {
                        Some(Part::End) => self.take_all(first, last + 1),
                        None if last >= known => break,
                        // What is missing was abandoned, or taken.
                        _ => (first..=last).for_each(|n| drop(self.take(n))),
                    }
                }
            }
        }
    }

    /// Writes the acknowledgement, cut to `room` bytes if `cut`; false when it does not fit.
    pub(crate) fn put_ack(&mut self, room: usize, cut: bool, packet: &mut Vec<u8>) -> bool {
        let start = packet.len();
        if let Some(code) = self.rejected {
            Chunk::Exception { flow: self.id, code }.put(packet);
        }
        let free = self.capacity.saturating_sub(self.buffered);
        // A window of 0 makes some senders give up.
        let blocks = (free.div_ceil(1024) as u64).max(1);
        let cumulative = self.received.cumulative();
        let mut detail = Vec::new();
        let mut cursor = cumulative;
        let head = packet.len() - start + 3 + vlu::len(self.id) + vlu::len(blocks) + vlu::len(cumulative);
        let mut whole = true;
        for (from, to) in self.received.beyond() {
            let before = detail.len();
            vlu::put(from - cursor - 2, &mut detail);
            vlu::put(to - from, &mut detail);
            cursor = *to;
            if head + detail.len() > room {
                detail.truncate(before);
                whole = false;
                break;
            }
        }
        if head > room || (!whole && !cut) {
            packet.truncate(start);
            return false;
        }
        let ack = Ack {
            flow: self.id,
            blocks,
            cumulative,
            bitmap: false,
            detail: &detail,
        };
        Chunk::Ack(ack).put(packet);
        self.advertised = blocks;
        self.ack_now = false;
        self.ack_owed = false;
        true
    }
}
