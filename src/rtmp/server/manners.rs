//! How the answers to `connect`, `publish` and `play` look. Servers differ there, and the clients of each were
//! made for its answers.

use crate::amf::{self, Value};
use crate::message::{UserControl, kind};
use crate::netconn::NetConnection;

use super::config::ServerConfig;

/// A protocol control message sent before or after the answer to `connect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Set Chunk Size, in bytes (1 to 65,536).
    ChunkSize(u32),
    /// Window Acknowledgement Size, in bytes.
    Window(u32),
    /// Set Peer Bandwidth: bytes, limit type (0 hard, 1 soft, 2 dynamic; RTMP 1.0 §5.4.5).
    PeerBandwidth(u32, u8),
    /// The connection itself has begun: StreamBegin 0.
    StreamBegin,
}

/// The answer to `connect`.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectReply {
    /// What goes before it, in this order.
    pub before: Vec<Control>,
    /// Its first value: properties of the server.
    pub properties: Value,
    /// Its second value: the information object, whole.
    pub info: Value,
    /// What goes after it, in this order.
    pub after: Vec<Control>,
    /// How streams are answered from then on.
    pub manners: Manners,
}

/// How `publish` and `play` are answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Manners {
    /// Statuses carry the transaction of the command they answer rather than 0.
    pub echo_txn: bool,
    /// What their description says.
    pub describe: Describe,
    /// Further members of their information object.
    pub members: Vec<(String, Value)>,
    /// StreamBegin before `NetStream.Publish.Start`.
    pub publish_begin: bool,
    /// Set Chunk Size before a play is answered, in bytes (1 to 65,536).
    pub play_chunk_size: Option<u32>,
    /// SetBufferLength toward the player, ms.
    pub play_buffer: Option<u32>,
    /// `NetStream.Play.Reset`, when the player did not decline it.
    pub reset: bool,
    /// The data message `onStatus` with `NetStream.Data.Start`.
    pub data_start: bool,
    /// The data message `|RtmpSampleAccess`.
    pub sample_access: bool,
    /// A player's SetBufferLength is answered by StreamBegin.
    pub begin_on_buffer: bool,
    /// `receiveAudio` and `receiveVideo` count for the whole connection, and both are off at first.
    pub gated: bool,
}

/// What the description of a status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Describe {
    /// A sentence.
    Sentence,
    /// Of a play the stream's name, else nothing.
    Name,
    /// Always this.
    Fixed(&'static str),
}

impl Default for Manners {
    /// As generic media servers do, which every streaming tool understands.
    fn default() -> Manners {
        Manners {
            echo_txn: false,
            describe: Describe::Sentence,
            members: Vec::new(),
            publish_begin: false,
            play_chunk_size: None,
            play_buffer: None,
            reset: true,
            data_start: false,
            sample_access: true,
            begin_on_buffer: false,
            gated: false,
        }
    }
}

impl Manners {
    /// The information object of a status that answers `publish` or `play`.
    pub(super) fn info(&self, code: &str, name: &str, sentence: String) -> Value {
        let description = match self.describe {
            Describe::Sentence => sentence,
            Describe::Name => name.to_owned(),
            Describe::Fixed(text) => text.to_owned(),
        };
        let mut members: Vec<(String, Value)> = vec![
            ("level".to_owned(), "status".into()),
            ("code".to_owned(), code.into()),
            ("description".to_owned(), description.into()),
        ];
        members.extend(self.members.iter().cloned());
        Value::Object(members)
    }
}

impl ConnectReply {
    /// The answer of generic media servers, with what the configuration says.
    pub fn generic(config: &ServerConfig, object_encoding: u8) -> ConnectReply {
        ConnectReply {
            before: vec![
                Control::Window(config.window_ack_size),
                Control::PeerBandwidth(config.peer_bandwidth, 2),
                Control::ChunkSize(config.chunk_size),
            ],
            properties: amf::object([
                ("fmsVer", config.version.as_str().into()),
                ("capabilities", config.capabilities.into()),
                ("mode", 1.0.into()),
            ]),
            info: amf::object([
                ("level", "status".into()),
                ("code", "NetConnection.Connect.Success".into()),
                ("description", "Connection succeeded.".into()),
                ("objectEncoding", f64::from(object_encoding).into()),
            ]),
            after: Vec::new(),
            manners: Manners::default(),
        }
    }
}

impl Control {
    /// Queues it.
    pub(super) fn send(self, net: &mut NetConnection) {
        match self {
            Control::ChunkSize(size) => {
                net.control(kind::SET_CHUNK_SIZE, &size.clamp(1, 65_536).to_be_bytes());
            }
            Control::Window(size) => net.announce_window(size),
            Control::PeerBandwidth(size, limit) => {
                let [a, b, c, d] = size.to_be_bytes();
                net.control(kind::SET_PEER_BANDWIDTH, &[a, b, c, d, limit]);
            }
            Control::StreamBegin => net.user_control(UserControl::StreamBegin(0)),
        }
    }
}
