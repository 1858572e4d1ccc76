//! A stream that a client plays: what it is fed becomes FLV audio, video and data messages.

use std::sync::Arc;

use base::{SessionId, Time};
use call::pick_flash;
use codecs::CodecId;
use media::Pipe;
use rtmp::server::Connection;

use super::command::FrameKind;
use super::settings::Settings;

/// Largest FLV audio message we make.
const MESSAGE: usize = 4_096;

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
    pipe: Option<(CodecId, CodecId, Box<Pipe>)>,
    /// RTMP time is the source's media time plus this, so that it goes on when the source changes.
    offset: Option<u32>,
    /// RTMP time of the last message, ms.
    last_ms: u32,
}

impl PlayLeg {
    pub(super) fn new(session: SessionId, stream: u32, announced: Vec<CodecId>, settings: Arc<Settings>) -> PlayLeg {
        PlayLeg { session, stream, settings, announced, accepted: false, pipe: None, offset: None, last_ms: 0 }
    }

    /// Another source will be heard.
    pub(super) fn new_source(&mut self, _now: Time) {
        self.offset = None;
        self.pipe = None;
    }

    /// Gives a frame of a source to the client.
    pub(super) fn feed(&mut self, now: Time, kind: FrameKind, payload: &[u8], conn: &mut Connection) {
        if !self.accepted {
            return;
        }
        match kind {
            FrameKind::Audio { codec, ms, .. } => self.audio(now, codec, ms, Some(payload), conn),
            FrameKind::Lost { ms, duration_ms } => {
                if let Some((codec, ..)) = &self.pipe {
                    let codec = *codec;
                    for at in (0..duration_ms.min(200)).step_by(20) {
                        self.audio(now, codec, ms.wrapping_add(at), None, conn);
                    }
                }
            }
            FrameKind::Tag { ms } => {
                let at = self.at(ms);
                conn.send_audio(now, self.stream, at, &[payload]);
            }
            FrameKind::Video { ms } => {
                let at = self.at(ms);
                conn.send_video(now, self.stream, at, &[payload]);
            }
            FrameKind::Data { ms } => {
                let at = self.at(ms);
                conn.send_data(now, self.stream, at, payload);
            }
            FrameKind::Digit { .. } | FrameKind::Gone => {}
        }
    }

    fn audio(&mut self, now: Time, codec: CodecId, ms: u32, payload: Option<&[u8]>, conn: &mut Connection) {
        if !matches!(&self.pipe, Some((from, ..)) if *from == codec) {
            let to = pick_flash(&self.announced, codec);
            match Pipe::plan(codec, to, &self.settings.flash_pipe) {
                Ok(pipe) => self.pipe = Some((codec, to, Box::new(pipe))),
                Err(error) => {
                    tracing::error!(session = %self.session, %error, "no way to transcode");
                    return;
                }
            }
        }
        let mut at = self.at(ms);
        let Some((_, to, pipe)) = &mut self.pipe else { return };
        // What is still in the pipe from before belongs to an earlier time.
        at = at.wrapping_sub(pipe.depth_ms());
        match payload {
            Some(payload) => {
                if pipe.push(payload).is_err() {
                    pipe.conceal(20);
                }
            }
            None => pipe.conceal(20),
        }
        let (row, mut message) = (codecs::codec(*to), [0u8; MESSAGE]);
        let Some(tag) = flv_tag(*to) else { return };
        while let Some((bytes, ticks)) = pipe.next_frame(&mut message) {
            conn.send_audio(now, self.stream, at, &[&[tag], message.get(..bytes).unwrap_or_default()]);
            at = at.wrapping_add(ticks * 1_000 / row.rtp_clock);
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

/// The FLV tag byte of a codec: format, nominal rate, 16 bit, mono (Speex: 0xB2, as Flash sends it).
pub(super) fn flv_tag(codec: CodecId) -> Option<u8> {
    codecs::codec(codec).flv.map(|format| format << 4 | 0b0010)
}
