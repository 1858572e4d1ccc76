//! One client connection over a byte stream.

use std::time::Duration;

use base::{Rng, Time};

use super::config::ServerConfig;
use super::event::{Call, Event};
use super::manners::ConnectReply;
use super::session::{Handled, Session, media_event};
use crate::amf::Value;
use crate::carrier::{Carrier, Located};
use crate::error::Error;
use crate::handshake::{self, Progress};
use crate::outbox::Outbox;
use crate::stats::Stats;

/// One client connection: handshake, chunk streams, commands and media.
///
/// The driver gives it bytes (`handle_input`) and calls `poll_event` until `None`, calls `poll_transmit` when
/// the socket takes bytes, and `handle_timeout` when `poll_timeout` has passed, then `poll_event` again. After
/// an error the socket is to be closed at once; after [`Event::Closed`] too.
#[derive(Debug)]
pub struct Connection {
    rng: Rng,
    now: Time,
    started: Time,
    state: State,
    carrier: Carrier,
    session: Session,
    outbox: Outbox,
    /// Answers of the handshake, which have no chunks.
    raw: Vec<u8>,
    /// When the goodbye began.
    closing: Option<Time>,
    closed: bool,
    failed: Option<Error>,
    config: ServerConfig,
}

#[derive(Debug)]
enum State {
    Handshake(handshake::Server),
    /// Since when chunks flow.
    Open(Time),
    /// The policy file is being sent; nothing else will be.
    Policy,
}

enum Next {
    Event(Event<'static>),
    Media(Located),
}

impl Connection {
    /// A connection that has just been accepted at `now`.
    pub fn new(config: ServerConfig, rng: Rng, now: Time) -> Connection {
        Connection {
            rng,
            now,
            started: now,
            state: State::Handshake(handshake::Server::default()),
            carrier: Carrier::new(&config.limits),
            session: Session::new(config.clone(), true, now),
            outbox: Outbox::new(&config.limits, config.audio_deadline),
            raw: Vec::new(),
            closing: None,
            closed: false,
            failed: None,
            config,
        }
    }

    /// Takes bytes read from the socket. They are looked at by [`poll_event`](Self::poll_event), which must be
    /// called until `None` before the next input; more than `Limits::input` unread bytes are an error there.
    pub fn handle_input(&mut self, now: Time, bytes: &[u8]) {
        self.now = now;
        self.outbox.stats.bytes_in += bytes.len() as u64;
        if self.session.is_closing() || matches!(self.state, State::Policy) || self.failed.is_some() {
            return;
        }
        self.session.net.heard(now, bytes.len());
        if let Err(e) = self.carrier.feed(bytes) {
            self.failed = Some(e);
        }
    }

    /// The next event; `None` when more input is needed. An error ends the connection, and every later call
    /// returns it again.
    pub fn poll_event(&mut self) -> Result<Option<Event<'_>>, Error> {
        if let Some(e) = self.failed {
            return Err(e);
        }
        match self.advance() {
            Ok(None) => Ok(None),
            Ok(Some(Next::Event(event))) => Ok(Some(event)),
            Ok(Some(Next::Media(found))) => {
                let message = self.carrier.message(&found);
                Ok(media_event(message, self.config.limits.amf_values))
            }
            Err(e) => {
                self.failed = Some(e);
                Err(e)
            }
        }
    }

    /// Acts on deadlines that have passed; an error is given by the next [`poll_event`](Self::poll_event).
    pub fn handle_timeout(&mut self, now: Time) {
        self.now = now;
        if self.failed.is_some() || self.closed {
            return;
        }
        if self.is_closing() {
            let since = *self.closing.get_or_insert(now);
            if now >= since + self.config.close_timeout {
                self.raw.clear();
                self.closed = true;
            }
            return;
        }
        let result = match &self.state {
            State::Handshake(_) if now >= self.started + self.config.handshake_timeout => {
                Err(Error::HandshakeTimeout)
            }
            State::Open(since)
                if !self.session.has_connected() && now >= *since + self.config.connect_timeout =>
            {
                Err(Error::ConnectTimeout)
            }
            State::Open(_) if self.session.has_connected() => self.session.net.handle_timeout(now),
            _ => Ok(()),
        };
        self.failed = result.err();
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.failed.is_some() || self.closed {
            return None;
        }
        if self.is_closing() {
            return Some(
                self.closing
                    .map_or(self.now, |since| since + self.config.close_timeout),
            );
        }
        match &self.state {
            State::Handshake(_) => Some(self.started + self.config.handshake_timeout),
            State::Open(since) if !self.session.has_connected() => Some(*since + self.config.connect_timeout),
            _ => self.session.net.poll_timeout(),
        }
    }

    /// Appends bytes for the socket to `out` until at least `budget` bytes are added or nothing is left:
    /// commands first, then audio, then video. Audio past its deadline is dropped here, before it is chunked.
    /// Returns the number of bytes added. Call it only when the socket can take them: what is handed out can
    /// no longer be dropped. It goes a message or a chunk of video beyond the budget at most.
    pub fn poll_transmit(&mut self, now: Time, out: &mut Vec<u8>, budget: usize) -> usize {
        self.now = now;
        let start = out.len();
        if !self.raw.is_empty() {
            // Only the handshake is written this way, or a policy file: the room is not needed again.
            out.append(&mut std::mem::take(&mut self.raw));
        }
        if matches!(self.state, State::Open(_)) {
            let budget = budget.saturating_sub(out.len() - start);
            self.outbox.transmit(now, &mut self.session.net, out, budget);
        }
        if self.is_closing() {
            self.closing.get_or_insert(now);
        }
        let added = out.len() - start;
        self.outbox.stats.bytes_out += added as u64;
        added
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) has something to write.
    pub fn has_output(&self) -> bool {
        !self.raw.is_empty() || self.outbox.has_output(&self.session.net)
    }

    /// Whether the connection is over and everything is written: the socket can be closed.
    pub fn is_finished(&self) -> bool {
        self.failed.is_some() || self.closed || (self.is_closing() && !self.has_last_words())
    }

    /// Accepts the `connect` request: `NetConnection.Connect.Success`.
    pub fn accept_connect(&mut self) {
        self.session.accept_connect();
    }

    /// As [`accept_connect`](Self::accept_connect), with an answer of the owner's making.
    pub fn accept_connect_as(&mut self, reply: ConnectReply) {
        self.session.accept_connect_as(reply);
    }

    /// Refuses the `connect` request with an information object of the owner's making, and leaves it to the
    /// client to close; the owner does after a while.
    pub fn refuse_connect(&mut self, info: Value) {
        self.session.refuse_connect(info);
    }

    /// Refuses the `connect` request with a code such as `NetConnection.Connect.Rejected`, then closes.
    pub fn reject_connect(&mut self, code: &str, description: &str) {
        self.session.reject_connect(code, description);
    }

    /// Accepts publishing: `NetStream.Publish.Start`.
    pub fn accept_publish(&mut self, stream: u32) {
        self.session.accept_publish(stream);
    }

    /// Refuses publishing with a code such as `NetStream.Publish.BadName` (level error).
    pub fn reject_publish(&mut self, stream: u32, code: &str, description: &str) {
        self.session.reject_publish(stream, code, description);
    }

    /// Accepts playing: StreamBegin, `NetStream.Play.Reset`, `NetStream.Play.Start`, `|RtmpSampleAccess`, in
    /// this order. Media can be sent from then on.
    pub fn accept_play(&mut self, stream: u32) {
        self.session.accept_play(stream);
    }

    /// Refuses playing with a code such as `NetStream.Play.StreamNotFound` (level error).
    pub fn reject_play(&mut self, stream: u32, code: &str, description: &str) {
        self.session.reject_play(stream, code, description);
    }

    /// Tells a player that its source ended: StreamEOF, `NetStream.Play.UnpublishNotify`. It stays a player.
    pub fn notify_unpublish(&mut self, stream: u32) {
        self.session.notify_unpublish(stream);
    }

    /// Tells a player that its source is back: StreamBegin, `NetStream.Play.PublishNotify`.
    pub fn notify_publish(&mut self, stream: u32) {
        self.session.notify_publish(stream);
    }

    /// Sends `onStatus` on a stream with level, code and description.
    pub fn send_status(&mut self, stream: u32, level: &str, code: &str, description: &str) {
        self.session.net.status(stream, level, code, description);
    }

    /// Calls a method of the client's `NetConnection.client` (stream 0) or `NetStream.client`; no reply wanted.
    pub fn call_client(&mut self, stream: u32, name: &str, args: &[Value]) {
        self.session.net.command(stream, name, 0.0, &Value::Null, args);
    }

    /// As [`call_client`](Self::call_client) on the connection, with a transaction id: some servers number
    /// their calls. Answers to it are ignored.
    pub fn call_client_with(&mut self, txn: f64, name: &str, args: &[Value]) {
        self.session.net.command(0, name, txn, &Value::Null, args);
    }

    /// Answers a command with `_result`: command object null, then `values`. Nothing is sent when `txn` is 0.
    pub fn reply_result(&mut self, txn: f64, values: &[Value]) {
        self.session.reply_result(txn, values);
    }

    /// Answers a command with `_error`: null, then level "error", code and description. Nothing is sent when
    /// `txn` is 0.
    pub fn reply_error(&mut self, txn: f64, code: &str, description: &str) {
        self.session.reply_error(txn, code, description);
    }

    /// Answers a command as generic servers do: `FCSubscribe` by `onFCSubscribe`, anything by an empty
    /// `_result`.
    pub fn reply_default(&mut self, call: &Call) {
        self.session.reply_default(call);
    }

    /// Opens or shuts audio toward a player, as if it had called `receiveAudio`.
    pub fn set_receive_audio(&mut self, stream: u32, on: bool) {
        self.session.set_receive_audio(stream, on);
    }

    /// Opens or shuts video toward a player, as if it had called `receiveVideo`.
    pub fn set_receive_video(&mut self, stream: u32, on: bool) {
        self.session.set_receive_video(stream, on);
    }

    /// Opens or shuts audio, video or both on every stream there is and will be.
    pub fn gate(&mut self, audio: Option<bool>, video: Option<bool>) {
        self.session.gate(audio, video);
    }

    /// Queues audio for a player: an FLV audio tag body in slices that are joined. `timestamp` in ms modulo
    /// 2^32. `silence` marks what may be skipped first when the player is behind. Returns whether it was
    /// queued: not when the stream is no player, paused or deaf, nor while audio is withheld from a slow reader.
    pub fn send_audio(
        &mut self,
        now: Time,
        stream: u32,
        timestamp: u32,
        payload: &[&[u8]],
        silence: bool,
    ) -> bool {
        self.session.player(stream, false).is_some() && {
            let net = &mut self.session.net;
            self.outbox
                .push_audio(now, stream, timestamp, payload, silence, net)
        }
    }

    /// Queues video for a player: an FLV video tag body in slices that are joined. After an overflow everything
    /// up to the next key frame is dropped; sequence headers never are. Returns whether it was queued.
    pub fn send_video(&mut self, now: Time, stream: u32, timestamp: u32, payload: &[&[u8]]) -> bool {
        let Some(player) = self.session.player(stream, true) else {
            return false;
        };
        let await_key = &mut player.await_key;
        self.outbox.push_video(now, stream, timestamp, payload, await_key)
    }

    /// Sends a data message of AMF0 values, the handler's name first, to a player. Not sent when the command
    /// queue is half full already.
    pub fn send_data(&mut self, stream: u32, timestamp: u32, payload: &[u8]) -> bool {
        let playing = self
            .session
            .streams()
            .find(stream)
            .is_some_and(|s| s.is_playing());
        let send = playing && self.session.net.has_room();
        if send {
            self.session
                .net
                .queue(crate::message::kind::DATA, stream, timestamp, payload.to_vec());
        }
        send
    }

    /// Ends the connection in order: players get `NetStream.Play.UnpublishNotify`, then
    /// `NetConnection.Connect.Closed` with `description`, then everything queued is written and
    /// [`Event::Closed`] comes.
    pub fn close(&mut self, now: Time, description: &str) {
        self.now = now;
        self.session.close(description);
        self.closing.get_or_insert(now);
    }

    /// Whether it matters which audio is marked as silence: the client is behind, or audio waits for it already. Else
    /// the sender may save itself the trouble of finding out.
    pub fn minds_silence(&self) -> bool {
        self.session.net.flow.is_behind() || self.outbox.depths().0 > 0
    }

    /// Whether the client is known not to read: media are withheld.
    pub fn stalled(&self) -> bool {
        self.session.net.flow.is_stalled()
    }

    /// The last measured round trip through the client.
    pub fn rtt(&self) -> Option<Duration> {
        self.session.net.flow.rtt()
    }

    /// Messages waiting: commands, audio, video.
    pub fn queue_depths(&self) -> (usize, usize, usize) {
        let (audio, video) = self.outbox.depths();
        (self.session.net.waiting(), audio, video)
    }

    /// The settings it was made with.
    pub fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        Stats {
            ignored_in: self.session.ignored() + self.outbox.stats.ignored_in,
            stalls: self.session.net.flow.stalls(),
            ..self.outbox.stats
        }
    }

    fn is_closing(&self) -> bool {
        self.session.is_closing() || matches!(self.state, State::Policy)
    }

    /// Whether something is left that is sent before closing; media are not.
    fn has_last_words(&self) -> bool {
        !self.raw.is_empty() || (matches!(self.state, State::Open(_)) && self.session.net.waiting() > 0)
    }

    fn advance(&mut self) -> Result<Option<Next>, Error> {
        if self.is_closing() && matches!(self.state, State::Handshake(_)) {
            return Ok(self.goodbye());
        }
        while let State::Handshake(server) = &mut self.state {
            let time = self.now.as_millis() as u32;
            match server.step(self.carrier.unread(), time, &mut self.rng, &mut self.raw)? {
                Progress::More(0) => return Ok(self.goodbye()),
                Progress::More(n) => self.carrier.consume(n),
                Progress::Done(n) => {
                    self.carrier.consume(n);
                    self.carrier.settle();
                    self.state = State::Open(self.now);
                }
                Progress::Policy => {
                    let policy = self
                        .config
                        .policy
                        .as_ref()
                        .ok_or(Error::NotRtmp { first: b'<' })?;
                    self.raw.extend_from_slice(policy.as_bytes());
                    self.raw.push(0);
                    self.state = State::Policy;
                }
            }
        }
        self.session.net.check()?;
        loop {
            while let Some(stream) = self.session.poll_ended() {
                self.outbox.clear(stream);
            }
            if let Some(event) = self.session.poll_event() {
                return Ok(Some(Next::Event(event)));
            }
            if self.is_closing() {
                return Ok(self.goodbye());
            }
            let Some(found) = self.carrier.next()? else {
                return Ok(None);
            };
            self.outbox.stats.messages_in += 1;
            let message = self.carrier.message(&found);
            if self.session.handle(self.now, &message)? == Handled::Media {
                if media_event(message, self.config.limits.amf_values).is_some() {
                    return Ok(Some(Next::Media(found)));
                }
                self.outbox.stats.ignored_in += 1;
            }
        }
    }

    /// `Closed`, once everything is written.
    fn goodbye(&mut self) -> Option<Next> {
        if self.is_closing() && !self.closed && !self.has_last_words() {
            self.closed = true;
            return Some(Next::Event(Event::Closed));
        }
        None
    }
}
