//! Startup packets too large for a datagram (§3.4), as large certificates make them: in parts, both ways.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base::Time;

use super::{Endpoint, Handle, Output};
use crate::chunk::Chunk;
use crate::packet::Header;
use crate::params;
use crate::session::timing;

/// Packets put together at once, in all and of one address; parts of more are dropped.
const MAX_PACKETS: usize = 256;
const MAX_OF_ADDRESS: usize = 4;
/// Bytes of a packet, and its parts, at most.
const MAX_BYTES: usize = 16 * 1024;
const MAX_PARTS: usize = 64;
/// Bytes of a part's chunk before its data, at most.
const CHUNK: usize = 3 + 1 + 10 + 1;

/// Where parts come from, for which session being opened, and the number of their packet.
type Key = (SocketAddr, Option<Handle>, u64);

/// One part.
pub(super) struct Part<'a> {
    /// Further ones exist.
    pub(super) more: bool,
    /// Its place, from 0.
    pub(super) number: u64,
    /// What it holds.
    pub(super) data: &'a [u8],
}

#[derive(Debug)]
struct Partial {
    parts: BTreeMap<u64, Vec<u8>>,
    /// How many there are, once it is known.
    count: Option<u64>,
    bytes: usize,
    began: Time,
    progress: Time,
}

impl Partial {
    fn is_over(&self, now: Time) -> bool {
        now > self.began + params::REASSEMBLY_TIMEOUT || now > self.progress + params::REASSEMBLY_PROGRESS
    }
}

/// Packets of which some parts have come.
#[derive(Debug, Default)]
pub(super) struct Reassembly(BTreeMap<Key, Partial>);

impl Reassembly {
    /// Takes a part; gives the packet when it is whole.
    pub(super) fn take(&mut self, now: Time, key: Key, part: Part<'_>) -> Option<Vec<u8>> {
        self.0.retain(|_, p| !p.is_over(now));
        if part.data.is_empty() || part.number >= MAX_PARTS as u64 {
            return None;
        }
        if !self.0.contains_key(&key) {
            let of_address = self.0.keys().filter(|(from, ..)| *from == key.0).count();
            if self.0.len() >= MAX_PACKETS || of_address >= MAX_OF_ADDRESS {
                return None;
            }
        }
        let partial = self.0.entry(key).or_insert_with(|| Partial {
            parts: BTreeMap::new(),
            count: None,
            bytes: 0,
            began: now,
            progress: now,
        });
        if partial.parts.contains_key(&part.number) {
            return None;
        }
        partial.progress = now;
        partial.bytes += part.data.len();
        partial.parts.insert(part.number, part.data.to_vec());
        if !part.more {
            partial.count.get_or_insert(part.number + 1);
        }
        if partial.bytes > MAX_BYTES {
            self.0.remove(&key);
            return None;
        }
        let whole = partial
            .count
            .is_some_and(|n| (0..n).all(|n| partial.parts.contains_key(&n)));
        if !whole {
            return None;
        }
        let Partial { parts, count, .. } = self.0.remove(&key)?;
        let parts = parts.into_iter().filter(|(n, _)| Some(*n) < count);
        Some(parts.flat_map(|(_, data)| data).collect())
    }
}

impl Endpoint {
    /// Sends a packet of one chunk under the default key, in parts when it is large.
    pub(super) fn transmit_startup(&mut self, now: Time, to: SocketAddr, id: u32, chunk: &Chunk<'_>) {
        let mut packet = Vec::new();
        let header = Header::startup(timing::ticks(now));
        header.put(&mut packet);
        let head = packet.len();
        chunk.put(&mut packet);
        let room = self
            .config
            .session
            .datagram
            .saturating_sub(self.startup.1.overhead());
        if packet.len() <= room {
            return self.transmit_sealed(to, id, &packet);
        }
        let parts = packet.chunks(room.saturating_sub(head + CHUNK).max(1));
        let count = parts.len();
        if count > params::MAX_PARTS_OUT {
            // Nothing of ours is as large; what is, is another's making.
            self.stats.bad_keying += 1;
            return;
        }
        self.fragmented += 1;
        for (n, data) in parts.enumerate() {
            let part = Chunk::Fragment {
                more: n + 1 < count,
                packet: self.fragmented,
                number: n as u64,
                data,
            };
            let mut packet = Vec::new();
            header.put(&mut packet);
            part.put(&mut packet);
            self.transmit_sealed(to, id, &packet);
        }
    }

    fn transmit_sealed(&mut self, to: SocketAddr, id: u32, packet: &[u8]) {
        let mut datagram = Vec::new();
        self.startup.1.seal(id, packet, &mut datagram);
        self.outputs.push_back(Output::Transmit { to, datagram });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u64, more: bool, data: &[u8]) -> Part<'_> {
        Part { more, number, data }
    }

    fn key(port: u16, packet: u64) -> Key {
        (SocketAddr::from(([192, 0, 2, 1], port)), None, packet)
    }

    #[test]
    fn parts_in_any_order_make_the_packet() {
        let mut r = Reassembly::default();
        let now = Time::from_secs(1);
        assert_eq!(r.take(now, key(1, 7), part(2, false, b"c")), None);
        assert_eq!(r.take(now, key(1, 7), part(0, true, b"a")), None);
        // Of another packet, another address, nothing, and the same again.
        assert_eq!(r.take(now, key(1, 8), part(1, true, b"x")), None);
        assert_eq!(r.take(now, key(2, 7), part(1, true, b"y")), None);
        assert_eq!(r.take(now, key(1, 7), part(1, true, b"")), None);
        assert_eq!(r.take(now, key(1, 7), part(0, true, b"z")), None);
        assert_eq!(r.take(now, key(1, 7), part(1, true, b"b")), Some(b"abc".to_vec()));
        assert_eq!(r.0.len(), 2);
    }

    #[test]
    fn what_makes_no_progress_is_forgotten_and_what_is_too_much_is_not_taken() {
        let mut r = Reassembly::default();
        let now = Time::from_secs(1);
        r.take(now, key(1, 7), part(0, true, b"a"));
        let later = now + params::REASSEMBLY_PROGRESS * 2;
        assert_eq!(r.take(later, key(1, 7), part(1, false, b"b")), None);
        assert_eq!(
            r.take(later, key(1, 7), part(0, true, b"a")),
            Some(b"ab".to_vec())
        );
        for n in 0..1000 {
            r.take(now, key(1, n), part(0, true, &[0; 1000]));
        }
        assert_eq!(r.0.len(), MAX_OF_ADDRESS);
        for n in 0..1000 {
            r.take(now, key(n, 0), part(0, true, &[0; 1000]));
        }
        assert_eq!(r.0.len(), MAX_PACKETS);
        for n in 0..64 {
            assert_eq!(r.take(now, key(1, 0), part(n, true, &[0; 1000])), None);
        }
        assert!(r.0.values().map(|p| p.bytes).sum::<usize>() < MAX_PACKETS * MAX_BYTES);
    }
}
