//! What a client connection tells its owner.

use std::borrow::Cow;
use std::time::Duration;

use crate::amf::Value;
use crate::server::Call;

/// What happened on a connection. Payloads are slices of the connection's own buffers and live until the next
/// call on it.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// The server accepted `connect`.
    Connected {
        /// First value of the reply: properties of the server, or null.
        properties: Value,
        /// Information object: level, code, description and what dialects add.
        info: Value,
    },
    /// The server refused `connect`; it will close the connection.
    Rejected {
        /// Code, such as `NetConnection.Connect.Rejected`; empty when missing.
        code: String,
        /// Description; empty when missing.
        description: String,
        /// Whole information object.
        info: Value,
    },
    /// A message stream was created.
    StreamCreated {
        /// Transaction id that `create_stream`, `publish` or `play` returned.
        txn: u32,
        /// Message stream.
        stream: u32,
    },
    /// A message stream was refused.
    StreamFailed {
        /// Transaction id that `create_stream`, `publish` or `play` returned.
        txn: u32,
    },
    /// `NetStream.Publish.Start`: media can be sent.
    PublishStarted {
        /// Message stream.
        stream: u32,
    },
    /// `NetStream.Play.Start`: media will come.
    PlayStarted {
        /// Message stream.
        stream: u32,
    },
    /// Any other `onStatus`.
    Status {
        /// Message stream; 0 for the connection.
        stream: u32,
        /// `status`, `warning` or `error`.
        level: String,
        /// Code.
        code: String,
        /// Description.
        description: String,
        /// Whole information object.
        info: Value,
    },
    /// User control: a stream began.
    StreamBegin {
        /// Message stream.
        stream: u32,
    },
    /// User control: a stream ended.
    StreamEof {
        /// Message stream.
        stream: u32,
    },
    /// Audio: an FLV audio tag body.
    Audio {
        /// Message stream.
        stream: u32,
        /// Time in ms modulo 2^32.
        timestamp: u32,
        /// Tag byte and what follows.
        payload: &'a [u8],
    },
    /// Video: an FLV video tag body.
    Video {
        /// Message stream.
        stream: u32,
        /// Time in ms modulo 2^32.
        timestamp: u32,
        /// Tag byte and what follows.
        payload: &'a [u8],
    },
    /// A data message.
    Data {
        /// Message stream.
        stream: u32,
        /// Time in ms modulo 2^32.
        timestamp: u32,
        /// The handler it is for.
        name: Cow<'a, str>,
        /// AMF0 values from the name on.
        payload: &'a [u8],
    },
    /// The answer to a `call`.
    Reply {
        /// Transaction id that `call` returned.
        txn: u32,
        /// `_result` rather than `_error`.
        ok: bool,
        /// Values after the transaction id.
        values: Vec<Value>,
    },
    /// The server calls a method of ours.
    Command(Box<Call>),
    /// The server acknowledged bytes; the running total.
    Acknowledged {
        /// Bytes the server says it received.
        bytes: u64,
    },
    /// A ping of ours was answered.
    PingRtt {
        /// From the ping's chunking to the answer's arrival.
        rtt: Duration,
    },
    /// The connection is over by our own wish: everything is written and the socket can be closed.
    Closed,
}
