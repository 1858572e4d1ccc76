//! The client's half of a connection.

use base::{Time, earliest};
use rtmp::amf::Value;
use rtmp::client::{ClientConfig, ConnectRequest, Event, Session, media_event};
use rtmp::server::{Handled, PublishKind};
use rtmp::{Error, Stats};

use super::{Flows, Outbox, Owned};
use crate::{Endpoint, Handle, SessionEvent};

/// One connection to a server, over an open session of an [`Endpoint`]; used like [`super::server::Connection`].
#[derive(Debug)]
pub struct Connection {
    now: Time,
    started: Time,
    config: ClientConfig,
    session: Session,
    flows: Flows,
    outbox: Outbox,
    current: Owned,
    /// Our own addresses, told to the server once it has accepted us.
    addresses: Vec<String>,
    finished: bool,
    closed: bool,
    failed: Option<Error>,
}

impl Connection {
    /// A connection over a session that is open, or being opened: nothing is sent before the first `flush`.
    /// `addresses` are our own with their port, as far as the server shall introduce us to others.
    pub fn new(config: ClientConfig, handle: Handle, addresses: Vec<String>, now: Time) -> Connection {
        Connection {
            now,
            started: now,
            session: Session::new(config.clone(), false, now),
            flows: Flows::new(handle, true),
            outbox: Outbox::new(&config.limits, config.audio_deadline),
            current: Owned::default(),
            addresses,
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
            if let Some(event) = self.session.poll_event() {
                if matches!(event, Event::Connected { .. }) {
                    // Must follow the connection (RFC 7425 §5.3.3).
                    let addresses: Vec<Value> = self.addresses.iter().map(|a| a.as_str().into()).collect();
                    self.session
                        .net
                        .command(0, "setPeerInfo", 0.0, &Value::Null, &addresses);
                }
                return Ok(Step::Event(event));
            }
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
            if self.session.handle(self.now, &message)? == Handled::Media
                && media_event(message, self.config.limits.amf_values).is_some()
            {
                return Ok(Step::Media);
            }
        }
    }

    fn goodbye(&mut self) -> Step {
        let done = self.flows.over || self.finished;
        if done && !std::mem::replace(&mut self.closed, true) {
            return Step::Event(Event::Closed);
        }
        Step::Nothing
    }

    /// Puts everything that waits into flows of the endpoint, once its session is open.
    pub fn flush(&mut self, now: Time, endpoint: &mut Endpoint) {
        self.now = now;
        if endpoint.address(self.flows.handle).is_none() {
            return;
        }
        self.flows.settle(endpoint);
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
            if let Some(publisher) = self.session.publisher(stream) {
                publisher.await_key = true;
            }
        }
        if (self.session.is_closing() || self.flows.over) && !std::mem::replace(&mut self.finished, true) {
            endpoint.finish(now, self.flows.handle);
        }
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

    /// Sends `connect`.
    pub fn connect(&mut self, request: &ConnectRequest) {
        self.session.connect(request);
    }

    /// Publishes on a stream made for it; the transaction id comes back in `StreamCreated`.
    pub fn publish(&mut self, name: &str, kind: PublishKind) -> u32 {
        self.session.publish(name, kind)
    }

    /// Plays on a stream made for it; the transaction id comes back in `StreamCreated`.
    pub fn play(&mut self, name: &str) -> u32 {
        self.session.play(name)
    }

    /// The conversation above flows, for further commands.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Queues audio of a publishing stream; see the connection of the crate `rtmp`.
    pub fn send_audio(&mut self, now: Time, stream: u32, timestamp: u32, payload: &[&[u8]]) -> bool {
        let publishes = self.session.publisher(stream).is_some();
        if publishes {
            self.outbox.push_audio(now, stream, timestamp, payload);
        }
        publishes
    }

    /// Queues video of a publishing stream; see the connection of the crate `rtmp`.
    pub fn send_video(&mut self, now: Time, stream: u32, timestamp: u32, payload: &[&[u8]]) -> bool {
        let Some(publisher) = self.session.publisher(stream) else {
            return false;
        };
        self.outbox
            .push_video(now, stream, timestamp, payload, &mut publisher.await_key)
    }

    /// Ends the connection in order: all streams are deleted, then [`Event::Closed`] comes.
    pub fn close(&mut self, now: Time) {
        self.now = now;
        self.session.close();
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
