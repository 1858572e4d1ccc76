//! What waits to be sent on a chunk stream connection: commands first, then audio, then video.
//!
//! Media wait as messages, not as bytes, so that what is too late can still be dropped; chunk headers are made
//! when the driver's socket takes them. Buffers are used again, so that a steady flow of audio allocates
//! nothing.

use std::collections::VecDeque;
use std::time::Duration;

use base::Time;

use crate::chunk::{Header, Writer};
use crate::flv;
use crate::limits::Limits;
use crate::message::{UserControl, kind};
use crate::netconn::{NetConnection, Outgoing};
use crate::stats::Stats;

/// One connection's media queues and its chunk writer.
#[derive(Debug)]
pub(crate) struct Outbox {
    writer: Writer,
    audio: VecDeque<Media>,
    video: VecDeque<Media>,
    video_bytes: usize,
    /// A video message of which a part is written.
    open: Option<(Media, usize)>,
    spare: Vec<Vec<u8>>,
    audio_deadline: Duration,
    max_audio: usize,
    max_video: usize,
    /// Counters of what is sent and dropped.
    pub(crate) stats: Stats,
    /// Time of the last audio message queued, for its playing time: stream, time in ms.
    last_audio: Option<(u32, u32)>,
}

#[derive(Debug)]
struct Media {
    stream: u32,
    timestamp: u32,
    queued: Time,
    silence: bool,
    length: Duration,
    data: Vec<u8>,
}

/// Chunk streams for messages of the connection (§5.4 wants 2 for protocol control).
const CSID_CONTROL: u32 = 2;
const CSID_COMMAND: u32 = 3;
/// The first of three chunk streams for each message stream: audio, video, the rest.
const CSID_STREAMS: u32 = 4;
/// Message streams that have chunk streams of their own with one-byte headers; further ones share.
const OWN_STREAMS: u32 = 19;
/// A longer step between two audio times is no playing time.
const MAX_AUDIO_LENGTH: u32 = 120;
/// Video this old is dropped for a new key frame.
const STALE_VIDEO: Duration = Duration::from_millis(300);

impl Outbox {
    pub(crate) fn new(limits: &Limits, audio_deadline: Duration) -> Outbox {
        Outbox {
            writer: Writer::default(),
            audio: VecDeque::new(),
            video: VecDeque::new(),
            video_bytes: 0,
            open: None,
            spare: Vec::new(),
            audio_deadline,
            max_audio: limits.audio.max(1),
            max_video: limits.video,
            stats: Stats::default(),
            last_audio: None,
        }
    }

    /// Queues audio; false when it is withheld from a player that is behind.
    pub(crate) fn push_audio(
        &mut self,
        now: Time,
        stream: u32,
        timestamp: u32,
        payload: &[&[u8]],
        silence: bool,
        net: &mut NetConnection,
    ) -> bool {
        let step = match self.last_audio.replace((stream, timestamp)) {
            Some((s, last)) if s == stream => timestamp.wrapping_sub(last),
            _ => 0,
        };
        let length = match step {
            0..=MAX_AUDIO_LENGTH => Duration::from_millis(u64::from(step)),
            _ => Duration::ZERO,
        };
        if net.flow.withholds(now, now, silence, length) {
            self.stats.audio_withheld += 1;
            return false;
        }
        if self.audio.len() >= self.max_audio {
            self.stats.audio_overflow += 1;
            if let Some(oldest) = self.audio.pop_front() {
                self.give_back(oldest.data);
            }
        }
        let data = self.joined(payload);
        self.audio.push_back(Media {
            stream,
            timestamp,
            queued: now,
            silence,
            length,
            data,
        });
        true
    }

    /// Queues video. `await_key` is the stream's mark that it waits for a key frame.
    pub(crate) fn push_video(
        &mut self,
        now: Time,
        stream: u32,
        timestamp: u32,
        payload: &[&[u8]],
        await_key: &mut bool,
    ) -> bool {
        let head = head(payload);
        let len: usize = payload.iter().map(|p| p.len()).sum();
        let (key, config) = flv::video_role(&head);
        if key && !config {
            let stale = |m: &Media| m.stream == stream && now.since(m.queued) > STALE_VIDEO;
            if self.video.front().is_some_and(stale) {
                self.drop_video(stream);
            }
            *await_key = false;
        } else if *await_key && !config {
            self.stats.video_dropped += 1;
            return false;
        }
        if self.video_bytes + len > self.max_video {
            self.drop_video(stream);
            if self.video_bytes + len > self.max_video || !(key || config) {
                self.stats.video_dropped += 1;
                *await_key = true;
                return false;
            }
        }
        let data = self.joined(payload);
        self.video_bytes += data.len();
        self.video.push_back(Media {
            stream,
            timestamp,
            queued: now,
            silence: false,
            length: Duration::ZERO,
            data,
        });
        true
    }

    /// Forgets what waits for a stream that is over.
    pub(crate) fn clear(&mut self, stream: u32) {
        self.audio.retain(|m| m.stream != stream);
        self.video.retain(|m| m.stream != stream);
        self.video_bytes = self.video.iter().map(|m| m.data.len()).sum();
    }

    /// Whether [`transmit`](Self::transmit) has something to write.
    pub(crate) fn has_output(&self, net: &NetConnection) -> bool {
        let media = !self.audio.is_empty() || !self.video.is_empty() || self.open.is_some();
        net.waiting() > 0 || (media && !net.flow.is_stalled())
    }

    /// Messages waiting: audio, video.
    pub(crate) fn depths(&self) -> (usize, usize) {
        (
            self.audio.len(),
            self.video.len() + usize::from(self.open.is_some()),
        )
    }

    /// Writes chunks until at least `budget` bytes are added to `out` or nothing is left.
    pub(crate) fn transmit(&mut self, now: Time, net: &mut NetConnection, out: &mut Vec<u8>, budget: usize) {
        let start = out.len();
        while out.len() - start < budget {
            if let Some(message) = net.poll_message() {
                self.write_command(&message, out);
                net.give_back(message.payload);
            } else if net.flow.stalled(now) {
                break;
            } else if let Some(audio) = self.audio.pop_front() {
                self.write_audio(now, audio, net, out);
                continue;
            } else if !self.write_video(out) {
                break;
            } else if self.open.is_some() {
                continue;
            }
            self.stats.messages_out += 1;
        }
    }

    fn write_command(&mut self, message: &Outgoing, out: &mut Vec<u8>) {
        let csid = match message.kind {
            0..=6 => CSID_CONTROL,
            _ if message.stream == 0 => CSID_COMMAND,
            _ => csid(message.stream, 2),
        };
        let header = Header {
            kind: message.kind,
            stream: message.stream,
            timestamp: message.timestamp,
            len: message.payload.len(),
        };
        self.writer.message(csid, header, &message.payload, out);
        if message.kind == kind::SET_CHUNK_SIZE
            && let Some(size) = message.payload.first_chunk::<4>()
        {
            self.writer.set_chunk_size(u32::from_be_bytes(*size));
        }
    }

    fn write_audio(&mut self, now: Time, audio: Media, net: &mut NetConnection, out: &mut Vec<u8>) {
        if now.since(audio.queued) > self.audio_deadline {
            self.stats.audio_late += 1;
        } else if net.flow.withholds(now, audio.queued, audio.silence, audio.length) {
            self.stats.audio_withheld += 1;
        } else {
            let header = Header {
                kind: kind::AUDIO,
                stream: audio.stream,
                timestamp: audio.timestamp,
                len: audio.data.len(),
            };
            self.writer
                .message(csid(audio.stream, 0), header, &audio.data, out);
            self.stats.audio_out += 1;
            self.stats.messages_out += 1;
            if let Some(token) = net.flow.ping_after_audio(now) {
                self.write_ping(token, out);
                self.stats.messages_out += 1;
            }
        }
        self.give_back(audio.data);
    }

    /// Writes a ping right behind the audio it marks, without a place in the queue.
    fn write_ping(&mut self, token: u32, out: &mut Vec<u8>) {
        let mut body = self.spare.pop().unwrap_or_default();
        body.clear();
        UserControl::PingRequest(token).encode(&mut body);
        let header = Header {
            kind: kind::USER_CONTROL,
            stream: 0,
            timestamp: 0,
            len: body.len(),
        };
        self.writer.message(CSID_CONTROL, header, &body, out);
        self.give_back(body);
    }

    /// Writes one chunk of video; false when there is none.
    fn write_video(&mut self, out: &mut Vec<u8>) -> bool {
        let (media, at) = match self.open.take() {
            Some((media, at)) => {
                self.writer.go_on(csid(media.stream, 1), out);
                (media, at)
            }
            None => {
                let Some(media) = self.video.pop_front() else {
                    return false;
                };
                self.video_bytes -= media.data.len();
                let header = Header {
                    kind: kind::VIDEO,
                    stream: media.stream,
                    timestamp: media.timestamp,
                    len: media.data.len(),
                };
                self.writer.begin(csid(media.stream, 1), header, out);
                (media, 0)
            }
        };
        let end = media.data.len().min(at + self.writer.chunk_size());
        out.extend_from_slice(media.data.get(at..end).unwrap_or(&[]));
        if end < media.data.len() {
            self.open = Some((media, end));
        } else {
            self.give_back(media.data);
        }
        true
    }

    /// Drops the waiting video of a stream but for its sequence headers.
    fn drop_video(&mut self, stream: u32) {
        let before = self.video.len();
        self.video
            .retain(|m| m.stream != stream || flv::video_role(&head(&[m.data.as_slice()])).1);
        self.video_bytes = self.video.iter().map(|m| m.data.len()).sum();
        self.stats.video_dropped += (before - self.video.len()) as u64;
    }

    fn joined(&mut self, payload: &[&[u8]]) -> Vec<u8> {
        let mut data = self.spare.pop().unwrap_or_default();
        data.clear();
        for part in payload {
            data.extend_from_slice(part);
        }
        data
    }

    fn give_back(&mut self, data: Vec<u8>) {
        // Large buffers are video's, which need not be kept.
        if self.spare.len() <= self.max_audio && data.capacity() <= 4096 {
            self.spare.push(data);
        }
    }
}

/// Our chunk stream for a message stream: `lane` 0 audio, 1 video, 2 the rest.
fn csid(stream: u32, lane: u32) -> u32 {
    CSID_STREAMS + (stream.wrapping_sub(1) % OWN_STREAMS) * 3 + lane
}

/// The first bytes of a payload in parts, as far as a video header reaches.
fn head(payload: &[&[u8]]) -> [u8; 32] {
    let mut head = [0; 32];
    for (to, from) in head.iter_mut().zip(payload.iter().copied().flatten()) {
        *to = *from;
    }
    head
}
