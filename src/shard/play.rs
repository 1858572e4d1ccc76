//! A stream that a client plays: what it is fed becomes FLV audio, video and data messages.

use std::sync::Arc;
use std::time::Duration;

use base::{SessionId, Time};
use call::pick_flash;
use codecs::CodecId;
use media::{MediaTime, Pipe};

use super::backlog::Backlog;
use super::command::{FrameKind, LegStats, Side};
use super::flv_audio;
use super::fresh::Freshness;
use super::settings::Settings;

/// What carries a stream to who plays it: the connection of a client, or ours to a server elsewhere.
pub(super) trait Viewer {
    /// Whether it matters which audio is marked as silence.
    fn minds_silence(&self) -> bool;

    /// Queues an FLV audio tag body in slices that are joined; false when it was not taken.
    fn send_audio(
        &mut self,
        now: Time,
        stream: u32,
        timestamp: u32,
        payload: &[&[u8]],
        silence: bool,
    ) -> bool;

    /// The same for video.
    fn send_video(&mut self, now: Time, stream: u32, timestamp: u32, payload: &[&[u8]]) -> bool;

    /// Queues a data message: AMF0 values, the handler's name first.
    fn send_data(&mut self, stream: u32, timestamp: u32, payload: &[u8]) -> bool;
}

/// Largest FLV audio message we make.
const MESSAGE: usize = 2_048;

/// The media half of a played stream.
pub(super) struct PlayLeg {
    /// Whose.
    pub(super) session: SessionId,
    /// Its stream id.
    pub(super) stream: u32,
    settings: Arc<Settings>,
    /// What the client said it decodes.
    announced: Vec<CodecId>,
    /// Nothing is sent before the exchange accepted the stream.
    pub(super) accepted: bool,
    pipe: Option<Box<Pipe>>,
    /// What a message holds for a decoder.
    sound: Vec<u8>,
    /// For sources that come at the pace of another client's network.
    fresh: Freshness,
    /// What waits at the client.
    backlog: Backlog,
    /// RTMP time is the source's media time plus this, so that it goes on when the source changes.
    offset: Option<u32>,
    /// RTMP time of the last message, ms.
    last_ms: u32,
    /// The codec whose configuration the client has.
    configured: Option<CodecId>,
    /// Audio messages given to the connection.
    sent: u64,
    /// Audio that was left out because too much waited at the client.
    left_out: Duration,
}

impl PlayLeg {
    pub(super) fn new(
        session: SessionId,
        stream: u32,
        announced: Vec<CodecId>,
        settings: Arc<Settings>,
    ) -> PlayLeg {
        PlayLeg {
            session,
            stream,
            settings,
            announced,
            accepted: false,
            pipe: None,
            sound: Vec::new(),
            fresh: Freshness::default(),
            backlog: Backlog::default(),
            offset: None,
            last_ms: 0,
            configured: None,
            sent: 0,
            left_out: Duration::ZERO,
        }
    }

    /// The figures so far.
    pub(super) fn stats(&self) -> LegStats {
        LegStats {
            side: Side::Client,
            codec_out: self.pipe.as_ref().map(|pipe| pipe.to()),
            sent: self.sent,
            shortened_ms: u64::try_from(self.left_out.as_millis()).unwrap_or(u64::MAX),
            ..LegStats::default()
        }
    }

    /// The client decodes something else from now on.
    pub(super) fn announce(&mut self, codecs: Vec<CodecId>) {
        if self.announced != codecs {
            self.announced = codecs;
            self.pipe = None;
        }
    }

    /// Another source will be heard.
    pub(super) fn new_source(&mut self, _now: Time) {
        self.offset = None;
        self.pipe = None;
        self.fresh = Freshness::default();
    }

    /// A server elsewhere takes the stream from now on: a new one, whose time begins anew.
    pub(super) fn begin(&mut self, now: Time, session: SessionId, stream: u32) {
        self.session = session;
        self.stream = stream;
        self.accepted = true;
        self.last_ms = 0;
        self.configured = None;
        self.backlog = Backlog::default();
        self.new_source(now);
    }

    /// Gives a frame of a source to the client.
    pub(super) fn feed(&mut self, now: Time, kind: FrameKind, payload: &[u8], conn: &mut impl Viewer) {
        if !self.accepted {
            return;
        }
        match kind {
            FrameKind::Audio {
                time, bursty: true, ..
            } if !self.fresh.admits(now, time) => {}
            FrameKind::Audio { codec, time, .. } => {
                if self.pipe.as_ref().is_none_or(|pipe| pipe.from() != codec) {
                    let to = pick_flash(&self.announced, codec);
                    match Pipe::plan(codec, to, &self.settings.pipe) {
                        Ok(pipe) => self.pipe = Some(Box::new(pipe)),
                        Err(error) => {
                            tracing::error!(session = %self.session, %error, "no way to transcode");
                            return;
                        }
                    }
                }
                if let Some(pipe) = &mut self.pipe
                    && pipe.push(time, payload).is_err()
                {
                    pipe.conceal(time, time.rate / 50);
                }
                self.drain_pipe(now, conn);
            }
            FrameKind::Ready { codec, time, ticks } => {
                self.send_ready(now, codec, time, ticks, payload, conn)
            }
            FrameKind::Lost { time, ticks } => {
                if let Some(pipe) = &mut self.pipe {
                    pipe.conceal(time, ticks);
                }
                self.drain_pipe(now, conn);
            }
            FrameKind::Tag { time, codec } => {
                let foreign = |c: &CodecId| !self.announced.contains(c) && !flv_audio::is_enhanced(payload);
                if let Some(codec) = codec.filter(foreign) {
                    self.decode(now, codec, time, payload, conn);
                    return;
                }
                let at = self.at((time.as_millis() & u64::from(u32::MAX)) as u32);
                self.sent += 1;
                self.configured = None;
                conn.send_audio(now, self.stream, at, &[payload], false);
            }
            FrameKind::Video { ms } => {
                let at = self.at(ms);
                conn.send_video(now, self.stream, at, &[payload]);
            }
            FrameKind::Data { ms } => {
                let at = self.at(ms);
                conn.send_data(self.stream, at, payload);
            }
            FrameKind::Digit { .. } | FrameKind::Sums { .. } | FrameKind::Gone => {}
        }
    }

    /// The codec in which it is to hear a mix.
    pub(super) fn wants(&self) -> Option<CodecId> {
        let wanted = self.announced.first().copied().unwrap_or(CodecId::SpeexWb);
        self.accepted.then(|| pick_flash(&self.announced, wanted))
    }

    /// Sends a frame that was encoded for it.
    fn send_ready(
        &mut self,
        now: Time,
        codec: CodecId,
        time: MediaTime,
        ticks: u32,
        payload: &[u8],
        conn: &mut impl Viewer,
    ) {
        let Some(tag) = codecs::codec(codec).flv_tag() else {
            return;
        };
        let length = MediaTime::new(u64::from(ticks), time.rate).as_duration();
        let at = self.at((time.as_millis() & u64::from(u32::MAX)) as u32);
        self.configure(now, codec, tag, at, conn);
        if self.backlog.admits(now, length, false)
            && conn.send_audio(now, self.stream, at, &[&[tag], payload], false)
        {
            self.backlog.sent(now, length);
            self.sent += 1;
        } else {
            self.left_out += length;
        }
    }

    /// Sends the configuration without which the codec is not understood, once.
    fn configure(&mut self, now: Time, codec: CodecId, tag: u8, at: u32, conn: &mut impl Viewer) {
        if self.configured != Some(codec) {
            let configuration = codecs::codec(codec).configuration;
            let sent = configuration.is_empty()
                || conn.send_audio(now, self.stream, at, &[&[tag], configuration], false);
            self.configured = sent.then_some(codec);
        }
    }

    /// A codec that this player does not have is decoded for it.
    fn decode(&mut self, now: Time, codec: CodecId, time: MediaTime, message: &[u8], conn: &mut impl Viewer) {
        let mut sound = std::mem::take(&mut self.sound);
        flv_audio::payload(message, &mut sound);
        if !sound.is_empty() {
            let kind = FrameKind::Audio {
                codec,
                time,
                // A configuration comes again with each new source, whenever that began.
                bursty: !flv_audio::is_header(codec, &sound),
            };
            self.feed(now, kind, &sound, conn);
        }
        self.sound = sound;
    }

    /// Sends every whole frame the pipe holds; RTMP time is that of the media, never that of arrival.
    fn drain_pipe(&mut self, now: Time, conn: &mut impl Viewer) {
        let mut message = [0u8; MESSAGE];
        while let Some(pipe) = &mut self.pipe {
            let length = MediaTime::new(u64::from(pipe.frame_ticks()), pipe.clock()).as_duration();
            // Looked for only when something may be left out.
            let silent = (self.backlog.is_long(length) || conn.minds_silence()) && pipe.is_silent_front();
            let to = pipe.to();
            let Some(tag) = codecs::codec(to).flv_tag() else {
                return;
            };
            let Some(frame) = pipe.next_frame(&mut message) else {
                return;
            };
            let length = MediaTime::new(u64::from(frame.ticks), pipe.clock()).as_duration();
            if !self.backlog.admits(now, length, silent) {
                self.left_out += length;
                continue;
            }
            let at = self.at((frame.time.as_millis() & u64::from(u32::MAX)) as u32);
            self.configure(now, to, tag, at, conn);
            let queued = conn.send_audio(
                now,
                self.stream,
                at,
                &[&[tag], message.get(..frame.len).unwrap_or_default()],
                silent,
            );
            if queued {
                self.backlog.sent(now, length);
                self.sent += 1;
            } else {
                self.left_out += length;
            }
        }
    }

    /// RTMP time for a source's media time: the first frame of a new source follows the last of the old.
    fn at(&mut self, ms: u32) -> u32 {
        let last = self.last_ms;
        let offset = *self.offset.get_or_insert_with(|| last.wrapping_sub(ms));
        let at = ms.wrapping_add(offset);
        // Never backwards: players take that for a new stream.
        if (at.wrapping_sub(self.last_ms) as i32) > 0 {
            self.last_ms = at;
        }
        self.last_ms
    }
}
