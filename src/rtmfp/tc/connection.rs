//! What both halves of a connection have in common: messages between the session above and the flows beneath.

use std::net::SocketAddr;

use base::{Time, earliest};
use rtmp::message::{Message, UserControl, kind};
use rtmp::netconn::NetConnection;
use rtmp::server::Handled;
use rtmp::stream::Table;
use rtmp::{Error, Limits, Stats};

use super::{Flows, Outbox, Owned};
use crate::{Endpoint, Handle, SessionEvent};

/// One half of the conversation above messages: the server's or the client's.
pub trait Half {
    /// What it tells its owner.
    type Event<'a>;
    /// The last event.
    const CLOSED: Self::Event<'static>;

    /// The same event, for as long as its owner may look at it.
    fn lend<'a>(event: Self::Event<'static>) -> Self::Event<'a>;
    /// Takes a message.
    fn handle(&mut self, now: Time, message: &Message<'_>) -> Result<Handled, Error>;
    /// The next event of what was handled.
    fn poll_event(&mut self) -> Option<Self::Event<'static>>;
    /// A stream that ended since the last call.
    fn poll_ended(&mut self) -> Option<u32>;
    /// The event of a message of media.
    fn media_event<'a>(message: Message<'a>, max_values: usize) -> Option<Self::Event<'a>>;
    /// Whether `connect` was answered.
    fn has_connected(&self) -> bool;
    /// Whether no more than what is queued will be sent.
    fn is_closing(&self) -> bool;
    /// Messages that were not understood.
    fn ignored(&self) -> u64;
    /// Messages to be sent.
    fn net(&mut self) -> &mut NetConnection;
    /// The message streams.
    fn streams(&self) -> &Table;
    /// Video of a stream was refused: it goes on with a key frame.
    fn await_key(&mut self, stream: u32);
    /// Looks at an event before the owner does; `None` when it is none of the owner's business.
    fn review(&mut self, event: Self::Event<'static>, known: &mut Known) -> Option<Self::Event<'static>>;
}

/// Addresses, by which clients may be introduced to each other.
#[derive(Debug, Default)]
pub struct Known {
    /// Our own with their port, as a client tells them to its server.
    pub(super) own: Vec<String>,
    /// Those that the far end told, until they are passed on.
    pub(super) far: Option<Vec<SocketAddr>>,
}

/// One connection, over a session of an [`Endpoint`].
///
/// Give it the session's events (`handle_event`) and call `poll_event` until `None`; call `flush` with the endpoint after
/// anything was done to it, and `handle_timeout` when `poll_timeout` has passed.
#[derive(Debug)]
pub struct Connection<H> {
    now: Time,
    /// `connect` has to be answered by then.
    patience: Time,
    limits: Limits,
    pub(super) half: H,
    flows: Flows,
    pub(super) outbox: Outbox,
    current: Owned,
    known: Known,
    /// The goodbye was handed to the endpoint.
    finished: bool,
    closed: bool,
    failed: Option<Error>,
}

enum Step<E> {
    Event(E),
    Media,
    Nothing,
}

impl<H: Half> Connection<H> {
    pub(super) fn over(
        half: H,
        flows: Flows,
        outbox: Outbox,
        limits: Limits,
        patience: Time,
        now: Time,
    ) -> Connection<H> {
        Connection {
            now,
            patience,
            limits,
            half,
            flows,
            outbox,
            current: Owned::default(),
            known: Known::default(),
            finished: false,
            closed: false,
            failed: None,
        }
    }

    pub(super) fn tell(&mut self, addresses: Vec<String>) {
        self.known.own = addresses;
    }

    /// The session that carries it.
    pub fn handle(&self) -> Handle {
        self.flows.handle
    }

    /// The conversation above flows, for commands and answers.
    pub fn session(&mut self) -> &mut H {
        &mut self.half
    }

    /// Takes an event of the session.
    pub fn handle_event(&mut self, now: Time, event: SessionEvent) {
        self.now = now;
        if let SessionEvent::Message { data, .. } = &event {
            self.outbox.stats.bytes_in += data.len() as u64;
            self.outbox.stats.messages_in += 1;
        }
        let streams = self.half.streams();
        self.flows
            .handle_event(now, event, |id| streams.find(id).is_some());
    }

    /// The next event; `None` when more input is needed. An error ends the connection.
    pub fn poll_event(&mut self) -> Result<Option<H::Event<'_>>, Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.advance() {
            Ok(Step::Nothing) => Ok(None),
            Ok(Step::Event(event)) => Ok(Some(H::lend(event))),
            Ok(Step::Media) => Ok(H::media_event(self.current.message(), self.limits.amf_values)),
            Err(error) => {
                self.failed = Some(error);
                Err(error)
            }
        }
    }

    fn advance(&mut self) -> Result<Step<H::Event<'static>>, Error> {
        self.half.net().check()?;
        loop {
            if let Some(event) = self.half.poll_event() {
                match self.half.review(event, &mut self.known) {
                    Some(event) => return Ok(Step::Event(event)),
                    None => continue,
                }
            }
            if self.half.is_closing() {
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
            if self.half.handle(self.now, &message)? == Handled::Media
                && H::media_event(message, self.limits.amf_values).is_some()
            {
                return Ok(Step::Media);
            }
        }
    }

    fn goodbye(&mut self) -> Step<H::Event<'static>> {
        let done = self.flows.over || self.finished;
        if done && !std::mem::replace(&mut self.closed, true) {
            return Step::Event(H::CLOSED);
        }
        Step::Nothing
    }

    /// Puts everything that waits into flows of the endpoint, once its session is open.
    pub fn flush(&mut self, now: Time, endpoint: &mut Endpoint) {
        self.now = now;
        if endpoint.address(self.flows.handle).is_none() {
            return;
        }
        while let Some(stream) = self.half.poll_ended() {
            self.outbox.forget(stream);
            // What follows by other flows must not overtake what this stream still sends.
            self.flows.raise_barrier(endpoint, stream);
            self.flows.end_stream(stream);
        }
        self.flows.settle(endpoint);
        if let Some(addresses) = self.known.far.take() {
            endpoint.set_addresses(self.flows.handle, addresses);
        }
        while let Some(out) = self.half.net().poll_message() {
            if out.kind == kind::USER_CONTROL
                && let Some(UserControl::StreamEof(stream)) = UserControl::decode(&out.payload)
            {
                self.flush_media(endpoint);
                self.flows.raise_barrier(endpoint, stream);
            }
            let message = Owned::new(out.kind, out.stream, out.timestamp, &[&out.payload]);
            self.outbox.stats.messages_out += 1;
            if !self.flows.send(endpoint, message, None) && !self.flows.over {
                self.failed.get_or_insert(Error::CommandQueueFull {
                    limit: self.limits.commands,
                });
            }
        }
        self.flush_media(endpoint);
        if (self.half.is_closing() || self.flows.over || self.failed.is_some())
            && !std::mem::replace(&mut self.finished, true)
        {
            endpoint.finish(now, self.flows.handle);
        }
    }

    fn flush_media(&mut self, endpoint: &mut Endpoint) {
        for stream in self.outbox.flush(&mut self.flows, endpoint) {
            self.half.await_key(stream);
        }
    }

    /// Whether [`poll_event`](Self::poll_event) has the last event, or the error that ended it.
    pub fn is_over(&self) -> bool {
        self.failed.is_some() || (self.finished && !self.closed)
    }

    /// Acts on deadlines that have passed; events may follow.
    pub fn handle_timeout(&mut self, now: Time) {
        self.now = now;
        self.flows.handle_timeout(now);
        if !self.half.has_connected() && now >= self.patience {
            self.failed.get_or_insert(Error::ConnectTimeout);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Time> {
        let waits = !self.half.has_connected() && self.failed.is_none();
        earliest(waits.then_some(self.patience), self.flows.poll_timeout())
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        Stats {
            ignored_in: self.half.ignored(),
            ..self.outbox.stats
        }
    }
}
