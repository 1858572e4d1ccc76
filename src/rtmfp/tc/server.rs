//! The server's half of a connection.

use base::Time;
use rtmp::Error;
use rtmp::amf::Value;
use rtmp::message::{Message, kind};
use rtmp::netconn::NetConnection;
use rtmp::server::{Call, Event, Handled, ServerConfig, Session, media_event};
use rtmp::stream::Table;

use super::connection::{Half, Known};
use super::{Flows, Outbox};
use crate::Handle;

/// How often a client is advised to send signs of life to its server and to other peers, in ms.
const KEEPALIVE: [u32; 2] = [15_000, 10_000];
/// User control: Set Keepalive (RFC 7425 §5.3.4).
const SET_KEEPALIVE: u16 = 41;
/// Addresses kept of those that a client tells.
const MAX_ADDRESSES: usize = 16;

/// One client of a server, over an open session of an [`Endpoint`](crate::Endpoint).
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
        if let Some(player) = self.player(stream, true) {
            player.await_key = true;
        }
    }

    fn review(&mut self, event: Event<'static>, known: &mut Known) -> Option<Event<'static>> {
        match event {
            Event::Command(call) if call.name == "setPeerInfo" => {
                known.far = Some(addresses(&call));
                // The client is advised how often to show that it lives.
                let mut body = SET_KEEPALIVE.to_be_bytes().to_vec();
                KEEPALIVE
                    .iter()
                    .for_each(|ms| body.extend_from_slice(&ms.to_be_bytes()));
                self.net.queue(kind::USER_CONTROL, 0, 0, body);
                None
            }
            event => Some(event),
        }
    }
}

/// The addresses that a client tells of itself.
fn addresses(call: &Call) -> Vec<std::net::SocketAddr> {
    // Some clients leave out the null before them.
    let texts = std::iter::once(&call.object)
        .chain(&call.args)
        .filter_map(Value::as_str);
    texts.filter_map(|t| t.parse().ok()).take(MAX_ADDRESSES).collect()
}

impl Connection {
    /// A connection over a session that has just opened.
    pub fn new(mut config: ServerConfig, handle: Handle, now: Time) -> Connection {
        // The session watches the peer and drops late audio itself.
        config.flow.pings = false;
        let flows = Flows::new(handle, false);
        let outbox = Outbox::new(&config.limits, config.audio_deadline);
        let (limits, patience) = (config.limits.clone(), now + config.connect_timeout);
        let session = Session::new(config, false, now);
        Connection::over(session, flows, outbox, limits, patience, now)
    }

    /// Queues audio for a player; see the connection of the crate `rtmp`. What is not acknowledged within
    /// `audio_deadline` is given up.
    pub fn send_audio(&mut self, now: Time, stream: u32, timestamp: u32, payload: &[&[u8]]) -> bool {
        let plays = self.half.player(stream, false).is_some();
        if plays {
            self.outbox.push_audio(now, stream, timestamp, payload);
        }
        plays
    }

    /// Queues video for a player; see the connection of the crate `rtmp`.
    pub fn send_video(&mut self, now: Time, stream: u32, timestamp: u32, payload: &[&[u8]]) -> bool {
        let Some(player) = self.half.player(stream, true) else {
            return false;
        };
        self.outbox
            .push_video(now, stream, timestamp, payload, &mut player.await_key)
    }

    /// Sends a data message of AMF0 values, the handler's name first, to a player.
    pub fn send_data(&mut self, stream: u32, timestamp: u32, payload: &[u8]) -> bool {
        let playing = self.half.streams().find(stream).is_some_and(|s| s.is_playing());
        let send = playing && self.half.net.has_room();
        if send {
            self.half
                .net
                .queue(kind::DATA, stream, timestamp, payload.to_vec());
        }
        send
    }

    /// Ends the connection in order; [`Event::Closed`] follows when the last words are handed to the endpoint.
    pub fn close(&mut self, _now: Time, description: &str) {
        self.half.close(description);
    }
}
