//! The jitter buffer: puts received packets in order and says what is missing, without pacing.
//!
//! A frame whose turn it is comes out at once, however early or late, so a clean path gains no delay. Only a
//! *gap* is waited for: until the time the missing frame would have come by the fastest recent path, plus a
//! wait that grows with the lateness actually seen and forgets it after [`params::WINDOW`]. What comes after
//! its time was concealed, or too late to be worth hearing, is dropped.

use crate::{Error, MediaTime, RtpPacket, SeqUnwrap, params};
use base::Time;
use std::time::Duration;
use transit::Transit;

mod transit;

/// Sequence numbers held at once.
const BOUND: u64 = params::JITTER_FRAMES as u64;
/// A power of two above [`BOUND`]: slots by sequence number.
const RING: usize = 64;

/// What became of an inserted packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Insert {
    /// It waits for [`JitterBuffer::poll`].
    Queued,
    /// Its sequence number came before; dropped.
    Duplicate,
    /// Its time is past; dropped.
    Late,
}

/// What comes out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Out<'a> {
    /// The next frame.
    Frame {
        /// The RTP payload.
        payload: &'a [u8],
        /// The RTP payload type it came with.
        payload_type: u8,
        /// When the sender captured it, in ticks of the RTP clock since the first frame; strictly rising.
        time: MediaTime,
        /// Begins after a hole in time: a new talk spurt, or a gap too long to conceal.
        marker: bool,
        /// When it was received.
        arrived: Time,
    },
    /// The next frame did not come in time: conceal.
    Lost {
        /// Where it would have been.
        time: MediaTime,
        /// How long it would have been, in ticks of the RTP clock; at least 1.
        ticks: u32,
    },
}

/// Counters since the call began.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct JitterStats {
    /// Frames that came out.
    pub played: u64,
    /// Frames concealed.
    pub concealed: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets that came after their time.
    pub late: u64,
    /// Packets dropped because the buffer was full.
    pub overflow: u64,
    /// Breaks in the sender's timestamps.
    pub jumps: u64,
    /// How long a gap is waited for now, ms.
    pub wait_ms: f32,
    /// How much faster (positive) or slower the sender's clock runs than ours, parts per million; 0 in the
    /// first half minute.
    pub skew_ppm: f32,
}

/// See the module's description.
#[derive(Debug)]
pub struct JitterBuffer {
    clock: u32,
    frame_ticks: i64,
    last_delta: i64,
    seqs: SeqUnwrap,
    highest: Option<Highest>,
    /// Added to unwrapped timestamps to give media ticks.
    offset: i64,
    next: Option<Next>,
    ring: [Cell; RING],
    /// What an entry makes room for.
    frame_bytes: usize,
    pool: Vec<Entry>,
    free: Vec<u8>,
    /// The entry lent out by the last poll.
    lent: Option<u8>,
    held: usize,
    /// Bit i: the number i+1 before the next one was received.
    seen: u64,
    transit: Transit,
    concealed_run: i64,
    paused: bool,
    stats: JitterStats,
}

#[derive(Clone, Copy, Debug)]
struct Highest {
    seq: u64,
    /// Unwrapped timestamp.
    timestamp: i64,
    media: i64,
    arrived: Time,
}

#[derive(Clone, Copy, Debug)]
struct Next {
    seq: u64,
    /// Media ticks of the first instant not yet put out.
    media: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    Empty,
    /// A number that carries no audio.
    Skip,
    Held(u8),
}

#[derive(Debug)]
struct Entry {
    payload: Vec<u8>,
    payload_type: u8,
    marker: bool,
    media: i64,
    arrived: Time,
}

impl Entry {
    fn new(bytes: usize) -> Entry {
        Entry {
            payload: Vec::with_capacity(bytes),
            payload_type: 0,
            marker: false,
            media: 0,
            arrived: Time::ZERO,
        }
    }
}

impl JitterBuffer {
    /// A buffer for an RTP clock of `clock` Hz. `frame_ms` is the packet duration to expect until the packets
    /// themselves show it; `frame_bytes` the payload size to make room for (longer ones cost one allocation per
    /// slot, and none may exceed [`params::MAX_PAYLOAD`]).
    ///
    /// Room for [`params::JITTER_READY`] packets is made at once; the first time that more wait than ever before
    /// costs an allocation, and that room is kept.
    pub fn new(clock: u32, frame_ms: u32, frame_bytes: usize) -> JitterBuffer {
        let clock = clock.max(1000);
        let frame_ticks = i64::from(clock) * i64::from(frame_ms.clamp(5, 200)) / 1000;
        let frame_bytes = frame_bytes.min(params::MAX_PAYLOAD);
        JitterBuffer {
            clock,
            frame_ticks,
            last_delta: frame_ticks,
            seqs: SeqUnwrap::default(),
            highest: None,
            offset: 0,
            next: None,
            ring: [Cell::Empty; RING],
            frame_bytes,
            pool: (0..params::JITTER_READY)
                .map(|_| Entry::new(frame_bytes))
                .collect(),
            free: (0..params::JITTER_READY as u8).rev().collect(),
            lent: None,
            held: 0,
            seen: 0,
            transit: Transit::new(),
            concealed_run: 0,
            paused: true,
            stats: JitterStats::default(),
        }
    }

    /// The longest a missing packet is waited for, and the age at which a packet is not worth hearing;
    /// [`params::MAX_WAIT`] unless set. Held within 20 ms and half a second, which the buffer can hold.
    #[must_use]
    pub fn with_max_wait(mut self, max_wait: Duration) -> JitterBuffer {
        self.transit
            .set_max_wait(max_wait.clamp(params::MIN_WAIT, Duration::from_millis(500)));
        self
    }

    /// Takes an accepted packet of an audio payload type. Poll afterwards until there is nothing more.
    ///
    /// # Errors
    /// [`Error::PayloadTooLong`].
    pub fn insert(&mut self, now: Time, packet: &RtpPacket<'_>) -> Result<Insert, Error> {
        if packet.payload.len() > params::MAX_PAYLOAD {
            return Err(Error::PayloadTooLong(packet.payload.len()));
        }
        let seq = self.seqs.unwrap(packet.seq);
        let media = self.place(now, seq, packet);
        let next = *self.next.get_or_insert(Next { seq, media });
        let index = (seq as usize) % RING;
        if self.is_known(seq, next.seq, index) {
            self.stats.duplicates += 1;
            return Ok(Insert::Duplicate);
        }
        let stale = self.transit.observe(now, media, self.clock);
        if seq < next.seq {
            self.seen |= 1u64.checked_shl((next.seq - seq - 1).min(64) as u32).unwrap_or(0);
            return Ok(self.late());
        }
        self.make_room(seq);
        if stale {
            // Its number is accounted for, so that nobody waits for it.
            self.set(index, Cell::Skip);
            return Ok(self.late());
        }
        let Some(slot) = self.take_slot() else {
            self.stats.overflow += 1;
            return Ok(Insert::Late);
        };
        if let Some(entry) = self.pool.get_mut(usize::from(slot)) {
            entry.payload.clear();
            entry.payload.extend_from_slice(packet.payload);
            entry.payload_type = packet.payload_type;
            entry.marker = packet.marker;
            entry.media = media;
            entry.arrived = now;
        }
        self.set(index, Cell::Held(slot));
        self.held += 1;
        self.paused = false;
        Ok(Insert::Queued)
    }

    /// Notes a packet of the same source that carries no audio (telephone-event, comfort noise): its number
    /// is not missing. `pause`: silence follows, so nothing is to be concealed until audio comes again.
    pub fn note(&mut self, seq: u16, pause: bool) {
        let seq = self.seqs.unwrap(seq);
        self.paused |= pause && self.held == 0;
        let Some(next) = self.next else { return };
        if seq >= next.seq {
            self.make_room(seq);
            let index = (seq as usize) % RING;
            if self.ring.get(index) == Some(&Cell::Empty) {
                self.set(index, Cell::Skip);
            }
        }
    }

    /// The source began anew ([`crate::Verdict::Restarted`]): what waits is dropped, media time goes on.
    pub fn restart(&mut self) {
        self.release_lent();
        for cell in &mut self.ring {
            if let Cell::Held(slot) = *cell {
                self.free.push(slot);
            }
            *cell = Cell::Empty;
        }
        self.held = 0;
        self.seqs = SeqUnwrap::default();
        let done = self.next.take().map_or(0, |next| next.media - self.frame_ticks);
        self.seen = 0;
        self.concealed_run = 0;
        self.transit.clear();
        if let Some(h) = &mut self.highest {
            // An impossible number: the next packet is a break in any case.
            h.seq = u64::MAX;
            h.media = h.media.max(done);
        }
    }

    /// What is due, if anything; call until `None`.
    pub fn poll(&mut self, now: Time) -> Option<Out<'_>> {
        self.release_lent();
        loop {
            let next = self.next?;
            let index = (next.seq as usize) % RING;
            match self.ring.get(index).copied()? {
                Cell::Skip => {
                    self.set(index, Cell::Empty);
                    self.step(next.seq + 1, true);
                }
                Cell::Held(slot) => {
                    self.set(index, Cell::Empty);
                    self.held -= 1;
                    self.lent = Some(slot);
                    self.step(next.seq + 1, true);
                    let entry = self.pool.get(usize::from(slot))?;
                    if entry.media + self.frame_ticks / 2 < next.media {
                        // Concealed already.
                        self.late();
                        self.release_lent();
                        continue;
                    }
                    return self.play(slot, next.media);
                }
                Cell::Empty => {
                    let front = self.front(next.seq);
                    if let Some((seq, media)) = front {
                        let gap = media - next.media;
                        let hopeless = self.concealed_run + gap > self.ticks(params::MAX_CONCEAL);
                        if gap < self.frame_ticks / 2 || (hopeless && now >= self.deadline(next.media)) {
                            self.step(seq, false);
                            continue;
                        }
                        if now < self.deadline(next.media) {
                            return None;
                        }
                        // Several numbers may be missing for one stretch of time: the last covers the rest.
                        let ticks = if seq == next.seq + 1 {
                            gap
                        } else {
                            gap.min(self.frame_ticks)
                        };
                        if seq > next.seq + 1 {
                            self.step(next.seq + 1, false);
                        } else {
                            self.step(seq, false);
                        }
                        return Some(self.conceal(next.media, ticks));
                    }
                    if self.is_idle() || now < self.deadline(next.media) {
                        return None;
                    }
                    let ticks = self.frame_ticks;
                    return Some(self.conceal(next.media, ticks));
                }
            }
        }
    }

    /// When [`JitterBuffer::poll`] will have something though no packet comes. Valid once poll said `None`.
    pub fn poll_timeout(&self) -> Option<Time> {
        let next = self.next?;
        if self.held == 0 && self.is_idle() {
            return None;
        }
        Some(self.deadline(next.media))
    }

    /// Packets waiting.
    pub fn depth(&self) -> usize {
        self.held
    }

    /// How long a gap is waited for now.
    pub fn wait(&self) -> Duration {
        self.transit.wait(self.frame_duration())
    }

    /// Counters.
    pub fn stats(&self) -> JitterStats {
        JitterStats {
            wait_ms: self.wait().as_secs_f32() * 1000.0,
            skew_ppm: self.transit.skew_ppm(),
            ..self.stats
        }
    }

    /// Media ticks of a packet; follows breaks in the sender's timestamps.
    fn place(&mut self, now: Time, seq: u64, packet: &RtpPacket<'_>) -> i64 {
        let Some(h) = self.highest else {
            let timestamp = i64::from(packet.timestamp);
            self.offset = -timestamp;
            self.highest = Some(Highest {
                seq,
                timestamp,
                media: 0,
                arrived: now,
            });
            return 0;
        };
        let delta = i64::from(packet.timestamp.wrapping_sub(h.timestamp as u32) as i32);
        let timestamp = h.timestamp.saturating_add(delta);
        let media = timestamp.saturating_add(self.offset);
        let broken = h.seq == u64::MAX
            || (seq > h.seq && (delta <= 0 || self.transit.is_break(now, media, self.clock)));
        if broken {
            self.stats.jumps += 1;
            let elapsed = now.since(h.arrived).as_nanos() * u128::from(self.clock) / 1_000_000_000;
            let elapsed = i64::try_from(elapsed)
                .unwrap_or(i64::MAX / 4)
                .max(self.frame_ticks);
            let mut media = h.media.saturating_add(elapsed);
            if let Some(next) = self.next {
                media = media.max(next.media);
            }
            self.offset = media.saturating_sub(timestamp);
            self.transit.clear();
            self.highest = Some(Highest {
                seq,
                timestamp,
                media,
                arrived: now,
            });
            return media;
        }
        if seq > h.seq {
            if seq == h.seq + 1 && !packet.marker {
                // Two equal steps show the packet duration.
                if delta == self.last_delta && delta <= i64::from(self.clock) / 5 {
                    self.frame_ticks = delta;
                }
                self.last_delta = delta;
            }
            self.highest = Some(Highest {
                seq,
                timestamp,
                media,
                arrived: now,
            });
        }
        media
    }

    /// Whether this number was received before, as far as memory reaches: 64 numbers back.
    fn is_known(&self, seq: u64, next: u64, index: usize) -> bool {
        if seq < next {
            let back = (next - seq - 1).min(64) as u32;
            return self.seen & 1u64.checked_shl(back).unwrap_or(0) != 0;
        }
        seq < next + BOUND && self.ring.get(index).is_none_or(|c| *c != Cell::Empty)
    }

    /// Moves the window so that `seq` fits; the oldest go.
    fn make_room(&mut self, seq: u64) {
        let Some(next) = self.next else { return };
        if seq < next.seq + BOUND {
            return;
        }
        let target = seq - BOUND + 1;
        for old in next.seq..target.min(next.seq + RING as u64) {
            let index = (old as usize) % RING;
            if let Some(Cell::Held(slot)) = self.ring.get(index).copied() {
                self.free.push(slot);
                self.held -= 1;
                self.stats.overflow += 1;
            }
            self.set(index, Cell::Empty);
        }
        self.step(target, false);
    }

    /// An entry that is free, made if need be; one more than the bound may be out, the one lent.
    fn take_slot(&mut self) -> Option<u8> {
        if let Some(slot) = self.free.pop() {
            return Some(slot);
        }
        let slot = self.pool.len();
        (slot <= params::JITTER_FRAMES).then(|| {
            self.pool.push(Entry::new(self.frame_bytes));
            slot as u8
        })
    }

    fn set(&mut self, index: usize, cell: Cell) {
        if let Some(c) = self.ring.get_mut(index) {
            *c = cell;
        }
    }

    /// Makes `seq` the next number; `received` says whether the one before it came.
    fn step(&mut self, seq: u64, received: bool) {
        if let Some(next) = &mut self.next {
            let by = u32::try_from(seq - next.seq).unwrap_or(64);
            self.seen = self.seen.checked_shl(by).unwrap_or(0) | u64::from(received);
            next.seq = seq;
        }
    }

    fn late(&mut self) -> Insert {
        self.stats.late += 1;
        Insert::Late
    }

    fn release_lent(&mut self) {
        if let Some(slot) = self.lent.take() {
            self.free.push(slot);
        }
    }

    /// The first held packet after `seq`, and its media ticks.
    fn front(&self, seq: u64) -> Option<(u64, i64)> {
        if self.held == 0 {
            return None;
        }
        (seq..seq + BOUND).find_map(|s| match self.ring.get((s as usize) % RING) {
            Some(Cell::Held(slot)) => Some((s, self.pool.get(usize::from(*slot))?.media)),
            _ => None,
        })
    }

    fn play(&mut self, slot: u8, expected: i64) -> Option<Out<'_>> {
        let entry = self.pool.get(usize::from(slot))?;
        // A frame that overlaps concealed time begins where that ends: time never goes back.
        let media = entry.media.max(expected);
        let jumped = media - expected >= self.frame_ticks / 2;
        if let Some(next) = &mut self.next {
            next.media = media + self.frame_ticks;
        }
        self.concealed_run = 0;
        self.stats.played += 1;
        Some(Out::Frame {
            payload: &entry.payload,
            payload_type: entry.payload_type,
            time: MediaTime::new(media.max(0) as u64, self.clock),
            marker: entry.marker || jumped || self.stats.played == 1,
            arrived: entry.arrived,
        })
    }

    fn conceal(&mut self, media: i64, ticks: i64) -> Out<'static> {
        if let Some(next) = &mut self.next {
            next.media = media + ticks;
        }
        self.concealed_run += ticks;
        self.stats.concealed += 1;
        Out::Lost {
            time: MediaTime::new(media.max(0) as u64, self.clock),
            ticks: u32::try_from(ticks).unwrap_or(1).max(1),
        }
    }

    /// Nothing more is concealed until a packet comes.
    fn is_idle(&self) -> bool {
        self.paused || self.concealed_run + self.frame_ticks > self.ticks(params::MAX_CONCEAL)
    }

    fn ticks(&self, d: Duration) -> i64 {
        i64::from(self.clock) * d.as_millis() as i64 / 1000
    }

    fn frame_duration(&self) -> Duration {
        Duration::from_nanos(
            (self.frame_ticks.max(0) as u64).saturating_mul(1_000_000_000) / u64::from(self.clock),
        )
    }

    fn deadline(&self, media: i64) -> Time {
        self.transit.expected(media, self.clock) + self.wait()
    }
}

#[cfg(test)]
mod tests;
