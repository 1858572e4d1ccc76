//! What a server connection tells its owner.

use std::borrow::Cow;
use std::time::Duration;

use crate::amf::Value;
use crate::url;

/// What happened on a connection. Media and data payloads are slices of the connection's own buffers and
/// live until the next call on it.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// The client asks to connect; answer with `accept_connect` or `reject_connect`. Until then its further
    /// commands are answered as if it were accepted.
    Connect(Box<Connect>),
    /// The client wants to publish; answer with `accept_publish` or `reject_publish`. Media may arrive before
    /// the answer.
    Publish {
        /// Message stream.
        stream: u32,
        /// What to publish as.
        name: StreamName,
        /// Live, record or append.
        kind: PublishKind,
    },
    /// The client wants to play; answer with `accept_play` or `reject_play`.
    Play {
        /// Message stream.
        stream: u32,
        /// What to play.
        name: StreamName,
        /// Start in seconds; -2 (also when absent): live or recorded, -1: live only.
        start: f64,
        /// Duration in seconds; -1 (also when absent): to the end.
        duration: f64,
        /// Whether an earlier playlist is flushed; true when absent.
        reset: bool,
    },
    /// Publishing ended by the client's wish (`closeStream`, `deleteStream`, `FCUnpublish`, `publish(false)`).
    Unpublish {
        /// Message stream.
        stream: u32,
    },
    /// Playing ended by the client's wish (`closeStream`, `deleteStream`, `play(false)`).
    StopPlay {
        /// Message stream.
        stream: u32,
    },
    /// The player was paused or resumed; already answered, and media are withheld while paused.
    Pause {
        /// Message stream.
        stream: u32,
        /// Paused rather than resumed.
        on: bool,
        /// Where the player stands, in ms of its media time.
        position: u32,
    },
    /// The player wants to seek; already answered with `NetStream.Seek.Failed`, as this is live.
    Seek {
        /// Message stream.
        stream: u32,
        /// Where to, in ms of its media time.
        position: u32,
    },
    /// The player opens or shuts its ears; already obeyed.
    ReceiveAudio {
        /// Message stream.
        stream: u32,
        /// Whether it wants audio.
        on: bool,
    },
    /// The player opens or shuts its eyes; already obeyed.
    ReceiveVideo {
        /// Message stream.
        stream: u32,
        /// Whether it wants video.
        on: bool,
    },
    /// The player announces the length of its buffer.
    SetBuffer {
        /// Message stream.
        stream: u32,
        /// Length in ms.
        ms: u32,
    },
    /// Audio of a published stream: an FLV audio tag body, never empty.
    Audio {
        /// Message stream.
        stream: u32,
        /// Capture time of its first sample in ms, modulo 2^32.
        timestamp: u32,
        /// Tag byte and what follows.
        payload: &'a [u8],
    },
    /// Video of a published stream: an FLV video tag body, never empty.
    Video {
        /// Message stream.
        stream: u32,
        /// Decoding time in ms, modulo 2^32.
        timestamp: u32,
        /// Tag byte and what follows.
        payload: &'a [u8],
    },
    /// A data message of a published stream.
    Data {
        /// Message stream.
        stream: u32,
        /// Time in ms, modulo 2^32.
        timestamp: u32,
        /// The handler it is for (`onMetaData`, …); a leading `@setDataFrame` is taken off.
        name: Cow<'a, str>,
        /// AMF0 values from the name on; what `send_data` of a player takes.
        payload: &'a [u8],
    },
    /// A command this layer does not know. The owner answers it (`reply_result`, `reply_error`,
    /// `reply_default`) when its transaction is not 0.
    Command(Box<Call>),
    /// The client acknowledged bytes; the running total since the start of the connection.
    Acknowledged {
        /// Bytes the client says it received.
        bytes: u64,
    },
    /// A ping was answered.
    PingRtt {
        /// From the ping's chunking to the answer's arrival.
        rtt: Duration,
    },
    /// The connection is over by our own wish: the last words are written and the socket can be closed.
    Closed,
}

/// The `connect` command.
#[derive(Clone, Debug, PartialEq)]
pub struct Connect {
    /// First segment of the `app` property, without query.
    pub app: String,
    /// Further segments of `app` (`sip/alice@example.com` gives `alice@example.com`), without a final slash.
    pub instance: String,
    /// `tcUrl`, empty when missing.
    pub tc_url: String,
    /// What follows `?` in `app`, else in `tcUrl`; not decoded.
    pub query: String,
    /// `flashVer`, empty when missing.
    pub flash_version: String,
    /// 0 for AMF0 or 3 for AMF3; the connection's replies use it.
    pub object_encoding: u8,
    /// The whole command object.
    pub object: Value,
    /// Further arguments, as logins carry them.
    pub args: Vec<Value>,
}

impl Connect {
    /// The percent-decoded value of the query argument `key`.
    pub fn param(&self, key: &str) -> Option<String> {
        url::query_param(&self.query, key)
    }
}

/// A stream name with its query taken off.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct StreamName {
    /// The name as sent, up to the first `?`; not percent-decoded.
    pub name: String,
    /// What follows the `?`; not decoded.
    pub query: String,
}

impl StreamName {
    /// Splits a name at its first `?`.
    pub fn parse(text: &str) -> StreamName {
        let (name, query) = text.split_once('?').unwrap_or((text, ""));
        StreamName {
            name: name.to_owned(),
            query: query.to_owned(),
        }
    }

    /// The name, percent-decoded.
    pub fn decoded(&self) -> String {
        url::percent_decode(&self.name)
    }

    /// The percent-decoded value of the query argument `key`.
    pub fn param(&self, key: &str) -> Option<String> {
        url::query_param(&self.query, key)
    }
}

/// How a stream is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum PublishKind {
    /// Not recorded; also when the type is missing or unknown.
    #[default]
    Live,
    /// Recorded anew.
    Record,
    /// Appended to a recording.
    Append,
}

/// A command for the owner to answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Message stream; 0 is the connection itself.
    pub stream: u32,
    /// Name of the method.
    pub name: String,
    /// Transaction id; 0 wants no answer.
    pub txn: f64,
    /// Command object, mostly null.
    pub object: Value,
    /// Arguments.
    pub args: Vec<Value>,
}

impl Call {
    /// Argument `i` as text.
    pub fn text(&self, i: usize) -> Option<&str> {
        self.args.get(i)?.as_str()
    }
}
