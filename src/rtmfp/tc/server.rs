//! The server's half of a connection.

use std::net::SocketAddr;
use std::time::Duration;

use base::{Time, earliest};
use rtmp::amf::Value;
use rtmp::message::kind;
use rtmp::server::{Call, Event, Handled, ServerConfig, Session, media_event};
use rtmp::{Error, Stats};

use super::{Flows, Outbox, Owned};
use crate::{Endpoint, Handle, SessionEvent};

/// How often a client is advised to send signs of life to its server and to other peers, in ms.
const KEEPALIVE: [u32; 2] = [15_000, 10_000];
/// User control: Set Keepalive (RFC 7425 §5.3.4).
const SET_KEEPALIVE: u16 = 41;

/// One client of a server, over an open session of an [`Endpoint`].
///
/// Give it the session's events (`handle_event`) and call `poll_event` until `None`; call `flush` with the endpoint after
/// anything was done to it, and `handle_timeout` when `poll_timeout` has passed.
#[derive(Debug)]
pub struct Connection {
    now: Time,
    started: Time,
    config: ServerConfig,
    session: Session,
    flows: Flows,
    outbox: Outbox,
    current: Owned,
    addresses: Option<Vec<SocketAddr>>,
    /// The goodbye was handed to the endpoint.
    finished: bool,
    closed: bool,
    failed: Option<Error>,
}

impl Connection {
    /// A connection over a session that has just opened.
    pub fn new(mut config: ServerConfig, handle: Handle, now: Time) -> Connection {
        // The session watches the peer and drops late audio itself.
        config.flow.pings = false;
        Connection {
            now,
            started: now,
            session: Session::new(config.clone(), false, now),
            flows: Flows::new(handle, false),
            outbox: Outbox::new(&config.limits, config.audio_deadline),
            current: Owned::default(),
            addresses: None,
            finished: false,
            closed: false,
            failed: None,
            config,
        }
    }

    /// The session that carries it.
    pub fn handle(&self) -> Handle {
        self.flows.handle
    }

    /// Takes an event of the session.
    pub fn handle_event(&mut self, now: Time, event: SessionEvent) {
        self.now = now;
        if let SessionEvent::Message { data, .. } = &event {
            self.outbox.stats.bytes_in += data.len() as u64;
            self.outbox.stats.messages_in += 1;
        }
        let streams = self.session.streams();
        self.flows.handle_event(event, |id| streams.find(id).is_some());
    }

    /// The next event; `None` when more input is needed. An error ends the connection.
    pub fn poll_event(&mut self) -> Result<Option<Event<'_>>, Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.advance() {
            Ok(Step::Nothing) => Ok(None),
            Ok(Step::Event(event)) => Ok(Some(event)),
            Ok(Step::Media) => Ok(media_event(self.current.message(), self.config.limits.amf_values)),
            Err(error) => {
                self.failed = Some(error);
                Err(error)
            }
        }
    }

    fn advance(&mut self) -> Result<Step, Error> {
        self.session.net.check()?;
        loop {
            while let Some(stream) = self.session.poll_ended() {
                self.flows.end_stream(stream);
            }
            match self.session.poll_event() {
                Some(Event::Command(call)) if call.name == "setPeerInfo" => self.peer_info(&call),
                Some(event) => return Ok(Step::Event(event)),
                None => {
                    if self.session.is_closing() {
                        return Ok(self.goodbye());
                    }
                    let Some(message) = self.flows.inbox.pop_front() else {
                        return Ok(if self.flows.over {
                            self.goodbye()
                        } else {
                            Step::Nothing
                        });
                    };
                    self.current = message;
                    let message = self.current.message();
                    let handled = self.session.handle(self.now, &message)?;
                    let is_media = handled == Handled::Media
                        && media_event(message, self.config.limits.amf_values).is_some();
                    if is_media {
                        return Ok(Step::Media);
                    }
                }
            }
        }
    }

    /// The client tells its addresses; it is advised how often to show that it lives.
    fn peer_info(&mut self, call: &Call) {
        const MAX_ADDRESSES: usize = 16;
        let texts = call.args.iter().filter_map(Value::as_str);
        self.addresses = Some(texts.filter_map(|t| t.parse().ok()).take(MAX_ADDRESSES).collect());
        let mut body = SET_KEEPALIVE.to_be_bytes().to_vec();
        KEEPALIVE
            .iter()
            .for_each(|ms| body.extend_from_slice(&ms.to_be_bytes()));
        self.session.net.queue(kind::USER_CONTROL, 0, 0, body);
    }

    fn goodbye(&mut self) -> Step {
        let done = self.flows.over || self.finished;
        if done && !std::mem::replace(&mut self.closed, true) {
            return Step::Event(Event::Closed);
        }
        Step::Nothing
    }

    /// Puts everything that waits into flows of the endpoint.
    pub fn flush(&mut self, now: Time, endpoint: &mut Endpoint) {
        self.now = now;
        self.flows.settle(endpoint);
        if let Some(addresses) = self.addresses.take() {
            endpoint.set_addresses(self.flows.handle, addresses);
        }
        while let Some(out) = self.session.net.poll_message() {
            let message = Owned::new(out.kind, out.stream, out.timestamp, &[&out.payload]);
            self.outbox.stats.messages_out += 1;
            if !self.flows.send(endpoint, message, None) && !self.flows.over {
                self.failed.get_or_insert(Error::CommandQueueFull {
                    limit: self.config.limits.commands,
                });
            }
        }
        for stream in self.outbox.flush(&mut self.flows, endpoint) {
            if let Some(player) = self.session.player(stream, true) {
                player.await_key = true;
            }
        }
        if (self.session.is_closing() || self.flows.over || self.failed.is_some())
            && !std::mem::replace(&mut self.finished, true)
        {
            endpoint.finish(now, self.flows.handle);
        }
    }

    /// Whether [`poll_event`](Self::poll_event) has the last event, or the error that ended it.
    pub fn is_over(&self) -> bool {
        self.failed.is_some() || (self.finished && !self.closed)
    }

    /// Acts on deadlines that have passed.
    pub fn handle_timeout(&mut self, now: Time) {
        self.now = now;
        if !self.session.has_connected() && now >= self.started + self.config.connect_timeout {
            self.failed.get_or_insert(Error::ConnectTimeout);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Time> {
        let waits = !self.session.has_connected() && self.failed.is_none();
        earliest(waits.then(|| self.started + self.config.connect_timeout), None)
    }

    /// The conversation above flows, for commands and answers.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Queues audio for a player; see the connection of the crate `rtmp`. What is not acknowledged within
    /// `audio_deadline` is given up.
    pub fn send_audio(&mut self, now: Time, stream: u32, timestamp: u32, payload: &[&[u8]]) -> bool {
        let plays = self.session.player(stream, false).is_some();
        if plays {
            self.outbox.push_audio(now, stream, timestamp, payload);
        }
        plays
    }

    /// Queues video for a player; see the connection of the crate `rtmp`.
    pub fn send_video(&mut self, now: Time, stream: u32, timestamp: u32, payload: &[&[u8]]) -> bool {
        let Some(player) = self.session.player(stream, true) else {
            return false;
        };
        self.outbox
            .push_video(now, stream, timestamp, payload, &mut player.await_key)
    }

    /// Sends a data message of AMF0 values, the handler's name first, to a player.
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
                .queue(kind::DATA, stream, timestamp, payload.to_vec());
        }
        send
    }

    /// Ends the connection in order; [`Event::Closed`] follows when the last words are handed to the endpoint.
    pub fn close(&mut self, now: Time, description: &str) {
        self.now = now;
        self.session.close(description);
    }

    /// The smoothed round trip.
    pub fn rtt(&self, endpoint: &Endpoint) -> Option<Duration> {
        endpoint.path(self.flows.handle)?.0
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        Stats {
            ignored_in: self.session.ignored(),
            ..self.outbox.stats
        }
    }
}

enum Step {
    Event(Event<'static>),
    Media,
    Nothing,
}
