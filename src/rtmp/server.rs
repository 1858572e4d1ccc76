//! The server half of RTMP over a byte stream: one [`Connection`] per client.
//!
//! ```text
//!  bytes -> handle_input -> poll_event -> Connect, Publish, Play, Audio … -> the owner
//!  bytes <- poll_transmit <- queues    <- accept_*, reply_*, send_*       <- the owner
//! ```

mod config;
mod event;

use std::collections::VecDeque;
use std::time::Duration;

use base::{Rng, Time};

pub use config::{FlowConfig, ServerConfig};
pub use event::{Call, Connect, Event, PublishKind, StreamName};

use crate::amf::Value;
use crate::error::Error;
use crate::stats::Stats;

/// One client connection: handshake, chunk streams, commands and media.
///
/// The driver gives it bytes (`handle_input`) and calls `poll_event` until `None`, calls `poll_transmit` when
/// the socket takes bytes, and `handle_timeout` when `poll_timeout` has passed. After an error the socket is
/// to be closed at once; after [`Event::Closed`] too.
#[derive(Debug)]
pub struct Connection {
    config: ServerConfig,
    input: VecDeque<u8>,
    stats: Stats,
}

impl Connection {
    /// A connection that has just been accepted at `now`.
    pub fn new(config: ServerConfig, _rng: Rng, _now: Time) -> Connection {
        Connection {
            config,
            input: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// Takes bytes read from the socket. They are looked at by [`poll_event`](Self::poll_event), which must be
    /// called until `None` before the next input; more than `Limits::input` unread bytes are an error there.
    pub fn handle_input(&mut self, _now: Time, bytes: &[u8]) {
        self.input.extend(bytes);
        self.stats.bytes_in += bytes.len() as u64;
    }

    /// The next event; `None` when more input is needed. An error ends the connection.
    pub fn poll_event(&mut self) -> Result<Option<Event<'_>>, Error> {
        Ok(None)
    }

    /// Acts on deadlines that have passed.
    pub fn handle_timeout(&mut self, _now: Time) {}

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// Appends bytes for the socket to `out` until at least `budget` bytes are added or nothing is left:
    /// commands first, then audio, then video. Audio past its deadline is dropped here, before it is chunked.
    /// Returns the number of bytes added. Call it only when the socket can take them: what is handed out can
    /// no longer be dropped.
    pub fn poll_transmit(&mut self, _now: Time, _out: &mut Vec<u8>, _budget: usize) -> usize {
        0
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) has something to write.
    pub fn has_output(&self) -> bool {
        false
    }

    /// Whether the connection is over and everything is written: the socket can be closed.
    pub fn is_finished(&self) -> bool {
        false
    }

    /// Accepts the `connect` request: `NetConnection.Connect.Success`.
    pub fn accept_connect(&mut self) {}

    /// As [`accept_connect`](Self::accept_connect), with further members in the information object.
    pub fn accept_connect_with(&mut self, _info: Vec<(String, Value)>) {}

    /// Refuses the `connect` request with a code such as `NetConnection.Connect.Rejected`, then closes.
    pub fn reject_connect(&mut self, _code: &str, _description: &str) {}

    /// Accepts publishing: `NetStream.Publish.Start`.
    pub fn accept_publish(&mut self, _stream: u32) {}

    /// Refuses publishing with a code such as `NetStream.Publish.BadName` (level error).
    pub fn reject_publish(&mut self, _stream: u32, _code: &str, _description: &str) {}

    /// Accepts playing: StreamBegin, `NetStream.Play.Reset`, `NetStream.Play.Start`, `|RtmpSampleAccess`, in
    /// this order. Media can be sent from then on.
    pub fn accept_play(&mut self, _stream: u32) {}

    /// Refuses playing with a code such as `NetStream.Play.StreamNotFound` (level error).
    pub fn reject_play(&mut self, _stream: u32, _code: &str, _description: &str) {}

    /// Tells a player that its source ended: StreamEOF, `NetStream.Play.UnpublishNotify`. It stays a player.
    pub fn notify_unpublish(&mut self, _stream: u32) {}

    /// Tells a player that its source is back: StreamBegin, `NetStream.Play.PublishNotify`.
    pub fn notify_publish(&mut self, _stream: u32) {}

    /// Sends `onStatus` on a stream with level, code and description.
    pub fn send_status(&mut self, _stream: u32, _level: &str, _code: &str, _description: &str) {}

    /// Calls a method of the client's `NetConnection.client` (stream 0) or `NetStream.client`; no reply wanted.
    pub fn call_client(&mut self, _stream: u32, _name: &str, _args: &[Value]) {}

    /// Answers a command with `_result`: command object null, then `values`. Nothing is sent when `txn` is 0.
    pub fn reply_result(&mut self, _txn: f64, _values: &[Value]) {}

    /// Answers a command with `_error`: null, then level "error", code and description. Nothing is sent when
    /// `txn` is 0.
    pub fn reply_error(&mut self, _txn: f64, _code: &str, _description: &str) {}

    /// Answers a command as generic servers do: `FCSubscribe` by `onFCSubscribe`, anything else by an empty
    /// `_result`.
    pub fn reply_default(&mut self, _call: &Call) {}

    /// Opens or shuts audio toward a player, as if it had called `receiveAudio`.
    pub fn set_receive_audio(&mut self, _stream: u32, _on: bool) {}

    /// Opens or shuts video toward a player, as if it had called `receiveVideo`.
    pub fn set_receive_video(&mut self, _stream: u32, _on: bool) {}

    /// Queues audio for a player: an FLV audio tag body in slices that are joined. `timestamp` in ms modulo
    /// 2^32. `silence` marks what may be skipped first when the player is behind. Returns whether it was
    /// queued: not when the stream is no player, paused or deaf, nor while audio is withheld from a slow reader.
    pub fn send_audio(
        &mut self,
        _now: Time,
        _stream: u32,
        _timestamp: u32,
        _payload: &[&[u8]],
        _silence: bool,
    ) -> bool {
        false
    }

    /// Queues video for a player: an FLV video tag body in slices that are joined. After an overflow everything
    /// up to the next key frame is dropped; sequence headers never are. Returns whether it was queued.
    pub fn send_video(&mut self, _now: Time, _stream: u32, _timestamp: u32, _payload: &[&[u8]]) -> bool {
        false
    }

    /// Sends a data message of AMF0 values, the handler's name first, to a player.
    pub fn send_data(&mut self, _stream: u32, _timestamp: u32, _payload: &[u8]) -> bool {
        false
    }

    /// Ends the connection in order: players get `NetStream.Play.UnpublishNotify`, then
    /// `NetConnection.Connect.Closed` with `description`, then everything queued is written and
    /// [`Event::Closed`] comes.
    pub fn close(&mut self, _now: Time, _description: &str) {}

    /// Whether the client is known not to read: media are withheld.
    pub fn stalled(&self) -> bool {
        false
    }

    /// The last measured round trip through the client.
    pub fn rtt(&self) -> Option<Duration> {
        None
    }

    /// Messages waiting: commands, audio, video.
    pub fn queue_depths(&self) -> (usize, usize, usize) {
        (0, 0, 0)
    }

    /// The settings it was made with.
    pub fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        self.stats
    }
}
