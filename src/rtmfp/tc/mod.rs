//! RTMP in flows (RFC 7425 §5): a flow carries the messages of one message stream, without chunks.
//!
//! [`server::Connection`] and [`client::Connection`] are used like those of the crate `rtmp`; instead of bytes they
//! take the events of an [`Endpoint`] and put their messages into flows of it.

pub mod client;
pub mod server;

mod barrier;
mod connection;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use base::Time;
use rtmp::message::{Message, kind};

use crate::vlu::{self, Cursor};
use crate::{Deadline, Endpoint, Handle, Order, Priority, SessionEvent};

use barrier::{Arrival, Barriers};
pub use connection::{Connection, Half, Known};

/// The exception with which flows that are not ours to understand are rejected.
const REJECTED: u64 = 0;
/// Messages that wait to be looked at. More means that the owner does not poll.
const MAX_INBOX: usize = 4096;
/// Metadata: signature, then flags (RFC 7425 §5.1).
const SIGNATURE: &[u8; 2] = b"TC";
const HAS_STREAM: u8 = 0x04;

/// Metadata of a flow of a message stream.
pub fn metadata(stream: u32) -> Vec<u8> {
    let mut out = SIGNATURE.to_vec();
    // No wish to receive as it arrives: some servers know no other flags than this one.
    out.push(HAS_STREAM);
    vlu::put(u64::from(stream), &mut out);
    out
}

/// The message stream of a flow; `None` when its metadata are not of this kind.
pub fn stream_of(metadata: &[u8]) -> Option<u32> {
    let mut cursor = Cursor(metadata.strip_prefix(SIGNATURE)?);
    if cursor.u8()? & HAS_STREAM == 0 {
        return None;
    }
    u32::try_from(cursor.vlu()?).ok()
}

/// Our flows of a message stream: what must come, what must come soon, what may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Command,
    Audio,
    Video,
}

impl Lane {
    fn of(kind: u8) -> Lane {
        match kind {
            kind::AUDIO => Lane::Audio,
            kind::VIDEO => Lane::Video,
            _ => Lane::Command,
        }
    }

    fn priority(self) -> Priority {
        match self {
            Lane::Command => Priority::Control,
            Lane::Audio => Priority::RealTime,
            Lane::Video => Priority::Bulk,
        }
    }
}

/// A message with its own payload.
#[derive(Debug, Default)]
struct Owned {
    kind: u8,
    stream: u32,
    timestamp: u32,
    /// With the header of five bytes.
    data: Vec<u8>,
}

/// Bytes before the payload: type and timestamp.
const HEADER: usize = 5;

impl Owned {
    fn new(kind: u8, stream: u32, timestamp: u32, payload: &[&[u8]]) -> Owned {
        let mut data = Vec::with_capacity(HEADER + payload.iter().map(|p| p.len()).sum::<usize>());
        data.push(kind);
        data.extend_from_slice(&timestamp.to_be_bytes());
        payload.iter().for_each(|part| data.extend_from_slice(part));
        Owned {
            kind,
            stream,
            timestamp,
            data,
        }
    }

    fn read(stream: u32, data: Vec<u8>) -> Option<Owned> {
        let mut cursor = Cursor(&data);
        let (kind, timestamp) = (cursor.u8()?, cursor.u32()?);
        Some(Owned {
            kind,
            stream,
            timestamp,
            data,
        })
    }

    fn message(&self) -> Message<'_> {
        Message {
            kind: self.kind,
            stream: self.stream,
            timestamp: self.timestamp,
            payload: self.data.get(HEADER..).unwrap_or(&[]),
        }
    }
}

/// The flows of one connection, both ways.
#[derive(Debug)]
struct Flows {
    handle: Handle,
    is_client: bool,
    /// The far end's flows and their message streams.
    incoming: BTreeMap<u64, u32>,
    /// Those of them that have brought a message.
    begun: BTreeSet<u64>,
    outgoing: BTreeMap<(u32, Lane), u64>,
    /// The far end's flow of stream 0, which ours answer.
    control: Option<u64>,
    inbox: VecDeque<Owned>,
    rejects: Vec<u64>,
    as_they_arrive: Vec<u64>,
    ended: Vec<u64>,
    barriers: Barriers,
    next_sync: u32,
    /// The far end has left.
    over: bool,
}

impl Flows {
    fn new(handle: Handle, is_client: bool) -> Flows {
        Flows {
            handle,
            is_client,
            incoming: BTreeMap::new(),
            begun: BTreeSet::new(),
            outgoing: BTreeMap::new(),
            control: None,
            inbox: VecDeque::new(),
            rejects: Vec::new(),
            as_they_arrive: Vec::new(),
            ended: Vec::new(),
            barriers: Barriers::default(),
            next_sync: 0,
            over: false,
        }
    }

    /// Takes an event of the session. `knows` says whether a message stream exists.
    fn handle_event(&mut self, now: Time, event: SessionEvent, knows: impl Fn(u32) -> bool) {
        let mut out = Vec::new();
        match event {
            SessionEvent::FlowOpened {
                flow,
                metadata,
                association,
            } => {
                let Some(stream) = stream_of(&metadata).filter(|s| *s == 0 || knows(*s)) else {
                    return self.rejects.push(flow);
                };
                let answers = self.outgoing.get(&(0, Lane::Command)).copied();
                if stream == 0 && self.control.is_none() && (!self.is_client || association == answers) {
                    self.control = Some(flow);
                }
                self.incoming.insert(flow, stream);
                self.barriers.begin(flow);
            }
            SessionEvent::Message { flow, data } if self.incoming.contains_key(&flow) => {
                // Audio is placed by its time: a lost frame must not hold up those after it.
                if self.begun.insert(flow) && data.first() == Some(&kind::AUDIO) {
                    self.as_they_arrive.push(flow);
                }
                self.barriers.take(now, flow, Arrival::Message(data), &mut out);
            }
            SessionEvent::Message { .. } => {}
            SessionEvent::FlowEnded { flow } => self.barriers.take(now, flow, Arrival::End, &mut out),
            SessionEvent::FlowRejected { flow, .. } => {
                self.over |= self.outgoing.get(&(0, Lane::Command)) == Some(&flow);
                self.outgoing.retain(|_, f| *f != flow);
            }
            SessionEvent::FlowComplete { .. } | SessionEvent::AddressChanged { .. } => {}
            SessionEvent::Closed(_) => self.over = true,
        }
        self.admit(out);
    }

    /// Takes what no barrier holds up.
    fn admit(&mut self, arrivals: Vec<(u64, Arrival)>) {
        for (flow, arrival) in arrivals {
            match arrival {
                Arrival::Message(data) => {
                    let stream = self.incoming.get(&flow).copied();
                    let message = stream.and_then(|s| Owned::read(s, data));
                    self.inbox
                        .extend(message.filter(|_| self.inbox.len() < MAX_INBOX));
                }
                Arrival::End => {
                    self.incoming.remove(&flow);
                    self.begun.remove(&flow);
                    self.over |= self.control == Some(flow);
                }
            }
        }
    }

    fn handle_timeout(&mut self, now: Time) {
        let mut out = Vec::new();
        self.barriers.handle_timeout(now, &mut out);
        self.admit(out);
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.barriers.poll_timeout()
    }

    /// Aligns our flows of a message stream with each other and with the control flow: nothing sent from now on is
    /// looked at before all that was sent until now.
    fn raise_barrier(&mut self, endpoint: &mut Endpoint, stream: u32) {
        let of_stream = |(s, lane): &(u32, Lane)| *s == stream || (*s == 0 && *lane == Lane::Command);
        let flows: Vec<u64> = self
            .outgoing
            .iter()
            .filter(|(key, _)| of_stream(key))
            .map(|(_, f)| *f)
            .collect();
        if flows.len() < 2 {
            return;
        }
        let body = barrier::body(self.next_sync, flows.len() as u32);
        self.next_sync = self.next_sync.wrapping_add(1);
        for flow in flows {
            let message = Owned::new(kind::USER_CONTROL, stream, 0, &[&body]);
            endpoint.send(self.handle, flow, message.data, None);
        }
    }

    /// Ends our flows of a message stream at the next flush.
    fn end_stream(&mut self, stream: u32) {
        let ended = self
            .outgoing
            .iter()
            .filter(|((s, _), _)| *s == stream)
            .map(|(_, f)| *f);
        self.ended.extend(ended);
        self.outgoing.retain(|(s, _), _| *s != stream);
    }

    /// Does what was put off until the endpoint is at hand.
    fn settle(&mut self, endpoint: &mut Endpoint) {
        for flow in self.rejects.drain(..) {
            endpoint.reject_flow(self.handle, flow, REJECTED);
        }
        for flow in self.as_they_arrive.drain(..) {
            endpoint.set_order(self.handle, flow, Order::Arrival);
        }
        for flow in self.ended.drain(..) {
            endpoint.close_flow(self.handle, flow);
        }
    }

    /// The flow of a lane, opened when it is used first.
    fn flow(&mut self, endpoint: &mut Endpoint, stream: u32, lane: Lane) -> Option<u64> {
        if let Some(flow) = self.outgoing.get(&(stream, lane)) {
            return Some(*flow);
        }
        let metadata = metadata(stream);
        let flow = endpoint.open_flow(self.handle, &metadata, self.control, lane.priority())?;
        self.outgoing.insert((stream, lane), flow);
        Some(flow)
    }

    /// Puts a message into its flow; false when there is no room.
    fn send(&mut self, endpoint: &mut Endpoint, message: Owned, deadline: Option<Deadline>) -> bool {
        match self.flow(endpoint, message.stream, Lane::of(message.kind)) {
            Some(flow) => endpoint.send(self.handle, flow, message.data, deadline),
            None => false,
        }
    }

    /// Bytes of video that wait or are on their way.
    fn video_waiting(&self, endpoint: &Endpoint, stream: u32) -> usize {
        self.outgoing
            .get(&(stream, Lane::Video))
            .map_or(0, |flow| endpoint.queued(self.handle, *flow))
    }
}

/// A message of media on its way to the endpoint.
#[derive(Debug)]
struct Media {
    message: Owned,
    queued: Time,
}

/// Media that wait for the next flush, and what was done with them.
#[derive(Debug)]
struct Outbox {
    media: VecDeque<Media>,
    audio: usize,
    max_audio: usize,
    max_video: usize,
    life: std::time::Duration,
    stats: rtmp::Stats,
}

impl Outbox {
    fn new(limits: &rtmp::Limits, life: std::time::Duration) -> Outbox {
        Outbox {
            media: VecDeque::new(),
            audio: 0,
            max_audio: limits.audio.max(1),
            max_video: limits.video,
            life,
            stats: rtmp::Stats::default(),
        }
    }

    fn push_audio(&mut self, now: Time, stream: u32, timestamp: u32, payload: &[&[u8]]) {
        if self.audio >= self.max_audio {
            self.stats.audio_overflow += 1;
            if let Some(oldest) = self.media.iter().position(|m| m.message.kind == kind::AUDIO) {
                self.media.remove(oldest);
                self.audio -= 1;
            }
        }
        self.audio += 1;
        let message = Owned::new(kind::AUDIO, stream, timestamp, payload);
        self.media.push_back(Media { message, queued: now });
    }

    /// Queues video; false while a key frame is waited for. `await_key` is the stream's mark of that.
    fn push_video(
        &mut self,
        now: Time,
        stream: u32,
        timestamp: u32,
        payload: &[&[u8]],
        await_key: &mut bool,
    ) -> bool {
        let mut head = [0; 32];
        for (to, from) in head.iter_mut().zip(payload.iter().copied().flatten()) {
            *to = *from;
        }
        let (key, config) = rtmp::flv::video_role(&head);
        let waiting: usize = self.media.iter().map(|m| m.message.data.len()).sum();
        if key && !config {
            *await_key = false;
        }
        if (*await_key && !config) || waiting > self.max_video {
            self.stats.video_dropped += 1;
            *await_key = true;
            return false;
        }
        let message = Owned::new(kind::VIDEO, stream, timestamp, payload);
        self.media.push_back(Media { message, queued: now });
        true
    }

    /// Drops what waits of a stream that has ended.
    fn forget(&mut self, stream: u32) {
        self.media.retain(|m| m.message.stream != stream);
        let audio = self.media.iter().filter(|m| m.message.kind == kind::AUDIO);
        self.audio = audio.count();
    }

    /// Hands everything to the endpoint. Gives the streams whose video was refused.
    fn flush(&mut self, flows: &mut Flows, endpoint: &mut Endpoint) -> Vec<u32> {
        let mut refused = Vec::new();
        self.audio = 0;
        while let Some(Media { message, queued }) = self.media.pop_front() {
            let stream = message.stream;
            if message.kind == kind::AUDIO {
                let until = queued + self.life;
                let deadline = Deadline {
                    start: until,
                    finish: until,
                };
                if flows.send(endpoint, message, Some(deadline)) {
                    self.stats.audio_out += 1;
                    self.stats.messages_out += 1;
                } else {
                    self.stats.audio_overflow += 1;
                }
                continue;
            }
            let full = flows.video_waiting(endpoint, stream) > self.max_video / 2;
            if refused.contains(&stream) || full || !flows.send(endpoint, message, None) {
                self.stats.video_dropped += 1;
                refused.push(stream);
            } else {
                self.stats.messages_out += 1;
            }
        }
        refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_name_their_stream() {
        for (stream, bytes) in [
            (0, &b"TC\x04\x00"[..]),
            (1, b"TC\x04\x01"),
            (200, b"TC\x04\x81\x48"),
            (16_777_215, b"TC\x04\x87\xff\xff\x7f"),
        ] {
            assert_eq!(metadata(stream), bytes);
            assert_eq!(stream_of(bytes), Some(stream));
        }
        assert_eq!(stream_of(b"TC\x05\x01"), Some(1), "wish to receive as it arrives");
        for bad in [&b"GC\x04\x00"[..], b"TC\x01\x00", b"TC\x04", b"T", b""] {
            assert_eq!(stream_of(bad), None);
        }
    }
}
