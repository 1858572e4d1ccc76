//! One connection to a server over a byte stream.

use std::time::Duration;

use base::{Rng, Time};

use super::config::{ClientConfig, ConnectRequest};
use super::event::Event;
use super::session::{Session, media_event};
use crate::amf::Value;
use crate::carrier::{Carrier, Located};
use crate::error::Error;
use crate::handshake::{self, Progress};
use crate::message::kind;
use crate::outbox::Outbox;
use crate::server::{Handled, PublishKind};
use crate::stats::Stats;

/// One connection to a server: handshake, chunk streams, commands and media.
///
/// Driven like the server's: `handle_input` and `poll_event` until `None`, `poll_transmit` when the socket
/// takes bytes, `handle_timeout` when `poll_timeout` has passed. Commands given before the handshake is done
/// wait for it.
#[derive(Debug)]
pub struct Connection {
    rng: Rng,
    now: Time,
    started: Time,
    state: State,
    carrier: Carrier,
    session: Session,
    outbox: Outbox,
    raw: Vec<u8>,
    closing: Option<Time>,
    closed: bool,
    failed: Option<Error>,
    config: ClientConfig,
}

#[derive(Debug)]
enum State {
    Handshake(handshake::Client),
    /// Since when chunks flow.
    Open(Time),
}

enum Next {
    Event(Event<'static>),
    Media(Located),
}

impl Connection {
    /// A connection whose socket has just been connected at `now`.
    pub fn new(config: ClientConfig, mut rng: Rng, now: Time) -> Connection {
        let mut raw = Vec::new();
        let shake = handshake::Client::start(config.digest, now.as_millis() as u32, &mut rng, &mut raw);
        Connection {
            rng,
            now,
            started: now,
            state: State::Handshake(shake),
            carrier: Carrier::new(&config.limits),
            session: Session::new(config.clone(), true, now),
            outbox: Outbox::new(&config.limits, config.audio_deadline),
            raw,
            closing: None,
            closed: false,
            failed: None,
            config,
        }
    }

    /// Takes bytes read from the socket; see the server's.
    pub fn handle_input(&mut self, now: Time, bytes: &[u8]) {
        self.now = now;
        self.outbox.stats.bytes_in += bytes.len() as u64;
        if self.session.is_closing() || self.failed.is_some() {
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
        if self.session.is_closing() {
            let since = *self.closing.get_or_insert(now);
            self.closed = now >= since + self.config.close_timeout;
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
        if self.session.is_closing() {
            return Some(
                self.closing
                    .map_or(self.now, |since| since + self.config.close_timeout),
            );
        }
        match &self.state {
            State::Handshake(_) => Some(self.started + self.config.handshake_timeout),
            State::Open(since) if !self.session.has_connected() => Some(*since + self.config.connect_timeout),
            State::Open(_) => self.session.net.poll_timeout(),
        }
    }

    /// Appends bytes for the socket to `out` until at least `budget` bytes are added or nothing is left; see
    /// the server's.
    pub fn poll_transmit(&mut self, now: Time, out: &mut Vec<u8>, budget: usize) -> usize {
        self.now = now;
        let start = out.len();
        out.append(&mut self.raw);
        if matches!(self.state, State::Open(_)) {
            let budget = budget.saturating_sub(out.len() - start);
            self.outbox.transmit(now, &mut self.session.net, out, budget);
        }
        let added = out.len() - start;
        self.outbox.stats.bytes_out += added as u64;
        added
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) has something to write.
    pub fn has_output(&self) -> bool {
        let open = matches!(self.state, State::Open(_));
        !self.raw.is_empty() || (open && self.outbox.has_output(&self.session.net))
    }

    /// Whether the connection is over and everything is written: the socket can be closed.
    pub fn is_finished(&self) -> bool {
        self.failed.is_some() || self.closed || (self.session.is_closing() && !self.has_last_words())
    }

    /// Sends `connect`.
    pub fn connect(&mut self, request: &ConnectRequest) {
        self.session.connect(request);
    }

    /// Sends `createStream`; the transaction id comes back in `StreamCreated`.
    pub fn create_stream(&mut self) -> u32 {
        self.session.create_stream()
    }

    /// Publishes on a stream made for it, as FFmpeg does: `releaseStream`, `FCPublish`, `createStream`, then
    /// `publish`. The transaction id comes back in `StreamCreated`.
    pub fn publish(&mut self, name: &str, kind: PublishKind) -> u32 {
        self.session.publish(name, kind)
    }

    /// Plays on a stream made for it. The transaction id comes back in `StreamCreated`.
    pub fn play(&mut self, name: &str) -> u32 {
        self.session.play(name)
    }

    /// Publishes on a stream that exists.
    pub fn publish_on(&mut self, stream: u32, name: &str, kind: PublishKind) {
        self.session.publish_on(stream, name, kind);
    }

    /// Plays on a stream that exists.
    pub fn play_on(&mut self, stream: u32, name: &str) {
        self.session.play_on(stream, name);
    }

    /// Ends what a stream does; it can be used again.
    pub fn close_stream(&mut self, stream: u32) {
        self.session.close_stream(stream);
    }

    /// Ends a stream: `FCUnpublish` when it publishes, then `deleteStream`.
    pub fn delete_stream(&mut self, stream: u32) {
        self.session.delete_stream(stream);
    }

    /// Calls a method of the server on the connection (stream 0) or a stream; the answer is a `Reply` with
    /// the transaction id returned.
    pub fn call(&mut self, stream: u32, name: &str, args: &[Value]) -> u32 {
        self.session.call(stream, name, args)
    }

    /// Answers a command of the server; nothing when `txn` is 0.
    pub fn reply_result(&mut self, txn: f64, values: &[Value]) {
        self.session.reply_result(txn, values);
    }

    /// Refuses a command of the server; nothing when `txn` is 0.
    pub fn reply_error(&mut self, txn: f64, code: &str, description: &str) {
        self.session.reply_error(txn, code, description);
    }

    /// Queues audio of a publishing stream: an FLV audio tag body in slices that are joined. Returns whether
    /// it was queued: not before `PublishStarted`, nor while the server does not read.
    pub fn send_audio(
        &mut self,
        now: Time,
        stream: u32,
        timestamp: u32,
        payload: &[&[u8]],
        silence: bool,
    ) -> bool {
        self.session.publisher(stream).is_some() && {
            let net = &mut self.session.net;
            self.outbox
                .push_audio(now, stream, timestamp, payload, silence, net)
        }
    }

    /// Queues video of a publishing stream: an FLV video tag body in slices that are joined.
    pub fn send_video(&mut self, now: Time, stream: u32, timestamp: u32, payload: &[&[u8]]) -> bool {
        let Some(publisher) = self.session.publisher(stream) else {
            return false;
        };
        let await_key = &mut publisher.await_key;
        self.outbox.push_video(now, stream, timestamp, payload, await_key)
    }

    /// Sends a data message of AMF0 values, the handler's name first, on a publishing stream.
    pub fn send_data(&mut self, stream: u32, timestamp: u32, payload: &[u8]) -> bool {
        let send = self.session.publisher(stream).is_some() && self.session.net.has_room();
        if send {
            self.session
                .net
                .queue(kind::DATA, stream, timestamp, payload.to_vec());
        }
        send
    }

    /// Sends `@setDataFrame`, `onMetaData` and the metadata on a publishing stream.
    pub fn send_metadata(&mut self, stream: u32, metadata: &Value) {
        self.session.send_metadata(stream, metadata);
    }

    /// Ends the connection in order: all streams are deleted, everything queued is written, then
    /// [`Event::Closed`] comes.
    pub fn close(&mut self, now: Time) {
        self.now = now;
        self.session.close();
        self.closing.get_or_insert(now);
    }

    /// Whether the server is known not to read: media are withheld.
    pub fn stalled(&self) -> bool {
        self.session.net.flow.is_stalled()
    }

    /// The last measured round trip through the server, when pings are sent.
    pub fn rtt(&self) -> Option<Duration> {
        self.session.net.flow.rtt()
    }

    /// Messages waiting: commands, audio, video.
    pub fn queue_depths(&self) -> (usize, usize, usize) {
        let (audio, video) = self.outbox.depths();
        (self.session.net.waiting(), audio, video)
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        Stats {
            ignored_in: self.session.ignored() + self.outbox.stats.ignored_in,
            stalls: self.session.net.flow.stalls(),
            ..self.outbox.stats
        }
    }

    /// Whether something is left that is sent before closing; media are not, nor anything that waits for a
    /// handshake.
    fn has_last_words(&self) -> bool {
        matches!(self.state, State::Open(_)) && self.session.net.waiting() > 0
    }

    fn advance(&mut self) -> Result<Option<Next>, Error> {
        if self.session.is_closing() && matches!(self.state, State::Handshake(_)) {
            return Ok(self.goodbye());
        }
        while let State::Handshake(client) = &mut self.state {
            let time = self.now.as_millis() as u32;
            match client.step(self.carrier.unread(), time, &mut self.rng, &mut self.raw)? {
                Progress::More(0) => return Ok(self.goodbye()),
                Progress::More(n) => self.carrier.consume(n),
                Progress::Done(n) => {
                    self.carrier.consume(n);
                    self.state = State::Open(self.now);
                }
                // Only a server is asked for one.
                Progress::Policy => return Err(Error::NotRtmp { first: b'<' }),
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
            if self.session.is_closing() {
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
        if self.session.is_closing() && !self.closed && !self.has_last_words() {
            self.closed = true;
            return Some(Next::Event(Event::Closed));
        }
        None
    }
}
