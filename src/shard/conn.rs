//! The connection of a client, whatever carries it.

use base::Time;
use rtmfp::SessionEvent;
use rtmfp::tc::server::Connection as FlowConnection;
use rtmp::amf::Value;
use rtmp::server::{Call, ConnectReply, Connection, Event};

use super::play::Viewer;

/// A client's connection: RTMP over a byte stream, or RTMFP.
pub(super) enum Conn {
    /// Bytes: TCP, TLS, HTTP.
    Rtmp(Box<Connection>),
    /// Flows, in a session of one of our UDP sockets.
    Rtmfp {
        /// Which socket.
        socket: usize,
        /// The connection.
        conn: Box<FlowConnection>,
    },
}

/// The same call on either kind of connection; RTMFP's words are those of its session.
macro_rules! either {
    ($self:ident, $name:ident($($arg:expr),*)) => {
        match $self {
            Conn::Rtmp(c) => c.$name($($arg),*),
            Conn::Rtmfp { conn, .. } => conn.session().$name($($arg),*),
        }
    };
}

impl Conn {
    /// Bytes came.
    pub(super) fn handle_input(&mut self, now: Time, bytes: &[u8]) {
        if let Conn::Rtmp(c) = self {
            c.handle_input(now, bytes);
        }
    }

    /// Something happened in the RTMFP session.
    pub(super) fn handle_event(&mut self, now: Time, event: SessionEvent) {
        if let Conn::Rtmfp { conn, .. } = self {
            conn.handle_event(now, event);
        }
    }

    pub(super) fn poll_event(&mut self) -> Result<Option<Event<'_>>, rtmp::Error> {
        match self {
            Conn::Rtmp(c) => c.poll_event(),
            Conn::Rtmfp { conn, .. } => conn.poll_event(),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Time) {
        match self {
            Conn::Rtmp(c) => c.handle_timeout(now),
            Conn::Rtmfp { conn, .. } => conn.handle_timeout(now),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        match self {
            Conn::Rtmp(c) => c.poll_timeout(),
            Conn::Rtmfp { conn, .. } => conn.poll_timeout(),
        }
    }

    /// Bytes for the socket; RTMFP has none, its datagrams leave by the endpoint.
    pub(super) fn poll_transmit(&mut self, now: Time, out: &mut Vec<u8>, budget: usize) -> usize {
        match self {
            Conn::Rtmp(c) => c.poll_transmit(now, out, budget),
            Conn::Rtmfp { .. } => 0,
        }
    }

    pub(super) fn accept_connect(&mut self) {
        either!(self, accept_connect());
    }

    pub(super) fn accept_connect_as(&mut self, reply: ConnectReply) {
        either!(self, accept_connect_as(reply));
    }

    pub(super) fn refuse_connect(&mut self, info: Value) {
        either!(self, refuse_connect(info));
    }

    pub(super) fn reply_result(&mut self, txn: f64, values: &[Value]) {
        either!(self, reply_result(txn, values));
    }

    pub(super) fn reply_error(&mut self, txn: f64, code: &str, description: &str) {
        either!(self, reply_error(txn, code, description));
    }

    pub(super) fn call_client_with(&mut self, txn: f64, name: &str, args: &[Value]) {
        match self {
            Conn::Rtmp(c) => c.call_client_with(txn, name, args),
            Conn::Rtmfp { conn, .. } => conn.session().net.command(0, name, txn, &Value::Null, args),
        }
    }

    pub(super) fn gate(&mut self, audio: Option<bool>, video: Option<bool>) {
        either!(self, gate(audio, video));
    }

    pub(super) fn close(&mut self, now: Time, description: &str) {
        match self {
            Conn::Rtmp(c) => c.close(now, description),
            Conn::Rtmfp { conn, .. } => conn.close(now, description),
        }
    }

    pub(super) fn reject_connect(&mut self, code: &str, description: &str) {
        either!(self, reject_connect(code, description));
    }

    pub(super) fn accept_publish(&mut self, stream: u32) {
        either!(self, accept_publish(stream));
    }

    pub(super) fn reject_publish(&mut self, stream: u32, code: &str, description: &str) {
        either!(self, reject_publish(stream, code, description));
    }

    pub(super) fn accept_play(&mut self, stream: u32) {
        either!(self, accept_play(stream));
    }

    pub(super) fn reject_play(&mut self, stream: u32, code: &str, description: &str) {
        either!(self, reject_play(stream, code, description));
    }

    pub(super) fn notify_publish(&mut self, stream: u32) {
        either!(self, notify_publish(stream));
    }

    pub(super) fn notify_unpublish(&mut self, stream: u32) {
        either!(self, notify_unpublish(stream));
    }

    pub(super) fn send_status(&mut self, stream: u32, level: &str, code: &str, description: &str) {
        match self {
            Conn::Rtmp(c) => c.send_status(stream, level, code, description),
            Conn::Rtmfp { conn, .. } => conn.session().net.status(stream, level, code, description),
        }
    }

    pub(super) fn reply_default(&mut self, call: &Call) {
        either!(self, reply_default(call));
    }
}

impl Viewer for Conn {
    /// Whether it matters which audio is marked as silence, see [`Connection::minds_silence`]. RTMFP gives up late
    /// audio by its own deadlines, whatever it is.
    fn minds_silence(&self) -> bool {
        match self {
            Conn::Rtmp(c) => c.minds_silence(),
            Conn::Rtmfp { .. } => false,
        }
    }

    fn send_audio(
        &mut self,
        now: Time,
        stream: u32,
        timestamp: u32,
        payload: &[&[u8]],
        silence: bool,
    ) -> bool {
        match self {
            Conn::Rtmp(c) => c.send_audio(now, stream, timestamp, payload, silence),
            Conn::Rtmfp { conn, .. } => conn.send_audio(now, stream, timestamp, payload),
        }
    }

    fn send_video(&mut self, now: Time, stream: u32, timestamp: u32, payload: &[&[u8]]) -> bool {
        match self {
            Conn::Rtmp(c) => c.send_video(now, stream, timestamp, payload),
            Conn::Rtmfp { conn, .. } => conn.send_video(now, stream, timestamp, payload),
        }
    }

    fn send_data(&mut self, stream: u32, timestamp: u32, payload: &[u8]) -> bool {
        match self {
            Conn::Rtmp(c) => c.send_data(stream, timestamp, payload),
            Conn::Rtmfp { conn, .. } => conn.send_data(stream, timestamp, payload),
        }
    }
}
