//! The client's half of a connection.

use base::Time;
use rtmp::Error;
use rtmp::amf::Value;
use rtmp::client::{ClientConfig, ConnectRequest, Event, Session, media_event};
use rtmp::message::Message;
use rtmp::netconn::NetConnection;
use rtmp::server::{Handled, PublishKind};
use rtmp::stream::Table;

use super::connection::{Half, Known};
use super::{Flows, Outbox};
use crate::Handle;

/// One connection to a server, over an open session of an [`Endpoint`](crate::Endpoint).
pub type Connection = super::Connection<Session>;

impl Half for Session {
    type Event<'a> = Event<'a>;
    const CLOSED: Event<'static> = Event::Closed;

    fn lend<'a>(event: Event<'static>) -> Event<'a> {
        event
    }

    fn handle(&mut self, now: Time, message: &Message<'_>) -> Result<Handled, Error> {
        self.handle(now, message)
    }

    fn poll_event(&mut self) -> Option<Event<'static>> {
        self.poll_event()
    }

    fn poll_ended(&mut self) -> Option<u32> {
        self.poll_ended()
    }

    fn media_event<'a>(message: Message<'a>, max_values: usize) -> Option<Event<'a>> {
        media_event(message, max_values)
    }

    fn has_connected(&self) -> bool {
        self.has_connected()
    }

    fn is_closing(&self) -> bool {
        self.is_closing()
    }

    fn ignored(&self) -> u64 {
        self.ignored()
    }

    fn net(&mut self) -> &mut NetConnection {
        &mut self.net
    }

    fn streams(&self) -> &Table {
        self.streams()
    }

    fn await_key(&mut self, stream: u32) {
        if let Some(publisher) = self.publisher(stream) {
            publisher.await_key = true;
        }
    }

    fn review(&mut self, event: Event<'static>, known: &mut Known) -> Option<Event<'static>> {
        if matches!(event, Event::Connected { .. }) {
            // Must follow the connection (RFC 7425 §5.3.3).
            let addresses: Vec<Value> = known.own.iter().map(|a| a.as_str().into()).collect();
            self.net.command(0, "setPeerInfo", 0.0, &Value::Null, &addresses);
        }
        Some(event)
    }
}

impl Connection {
    /// A connection over a session that is open, or being opened: nothing is sent before the first `flush`.
    /// `addresses` are our own with their port, as far as the server shall introduce us to others.
    pub fn new(config: ClientConfig, handle: Handle, addresses: Vec<String>, now: Time) -> Connection {
        let flows = Flows::new(handle, true);
        let outbox = Outbox::new(&config.limits, config.audio_deadline);
        let (limits, patience) = (config.limits.clone(), now + config.connect_timeout);
        let session = Session::new(config, false, now);
        let mut conn = Connection::over(session, flows, outbox, limits, patience, now);
        conn.tell(addresses);
        conn
    }

    /// Sends `connect`.
    pub fn connect(&mut self, request: &ConnectRequest) {
        self.half.connect(request);
    }

    /// Publishes on a stream made for it; the transaction id comes back in `StreamCreated`.
    pub fn publish(&mut self, name: &str, kind: PublishKind) -> u32 {
        self.half.publish(name, kind)
    }

    /// Plays on a stream made for it; the transaction id comes back in `StreamCreated`.
    pub fn play(&mut self, name: &str) -> u32 {
        self.half.play(name)
    }

    /// Queues audio of a publishing stream; see the connection of the crate `rtmp`.
    pub fn send_audio(&mut self, now: Time, stream: u32, timestamp: u32, payload: &[&[u8]]) -> bool {
        let publishes = self.half.publisher(stream).is_some();
        if publishes {
            self.outbox.push_audio(now, stream, timestamp, payload);
        }
        publishes
    }

    /// Queues video of a publishing stream; see the connection of the crate `rtmp`.
    pub fn send_video(&mut self, now: Time, stream: u32, timestamp: u32, payload: &[&[u8]]) -> bool {
        let Some(publisher) = self.half.publisher(stream) else {
            return false;
        };
        self.outbox
            .push_video(now, stream, timestamp, payload, &mut publisher.await_key)
    }

    /// Ends the connection in order: all streams are deleted, then [`Event::Closed`] comes.
    pub fn close(&mut self, _now: Time) {
        self.half.close();
    }
}
