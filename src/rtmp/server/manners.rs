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

#[cfg(test)]
mod tests {
    use base::Time;

    use super::*;
    use crate::message::{Command, Message, encode_command};
    use crate::server::Session;

    struct Peer {
        session: Session,
    }

    impl Peer {
        fn says(&mut self, stream: u32, name: &str, txn: f64, object: Value, args: &[Value]) {
            let mut payload = Vec::new();
            encode_command(name, txn, &object, args, &mut payload);
            let message = Message {
                kind: kind::COMMAND,
                stream,
                timestamp: 0,
                payload: &payload,
            };
            self.session.handle(Time::ZERO, &message).unwrap();
        }

        /// What it hears, in words.
        fn hears(&mut self) -> Vec<String> {
            let mut heard = Vec::new();
            while let Some(m) = self.session.net.poll_message() {
                let message = Message {
                    kind: m.kind,
                    stream: m.stream,
                    timestamp: m.timestamp,
                    payload: &m.payload,
                };
                heard.push(match m.kind {
                    kind::COMMAND => {
                        let c = Command::decode(&message, 100).unwrap();
                        format!("{} {} {}", c.name, c.txn, Value::StrictArray(c.args))
                    }
                    kind => format!("{kind} {:?}", m.payload),
                });
            }
            heard
        }
    }

    fn connected(manners: Manners, before: Vec<Control>) -> Peer {
        let mut peer = Peer {
            session: Session::new(ServerConfig::default(), true, Time::ZERO),
        };
        peer.says(0, "connect", 1.0, amf::object([("app", "x".into())]), &[]);
        peer.session.accept_connect_as(ConnectReply {
            before,
            properties: Value::Null,
            info: amf::object([("code", "ok".into())]),
            after: Vec::new(),
            manners,
        });
        peer
    }

    #[test]
    fn what_the_owner_wants_goes_before_the_reply_and_nothing_else() {
        let before = vec![Control::Window(1 << 30)];
        let mut peer = connected(Manners::default(), before);
        assert_eq!(peer.hears(), ["5 [64, 0, 0, 0]", "_result 1 [{code: \"ok\"}]"]);
        let before = vec![
            Control::ChunkSize(512),
            Control::PeerBandwidth(9, 1),
            Control::StreamBegin,
        ];
        let mut peer = connected(Manners::default(), before);
        assert_eq!(
            peer.hears(),
            [
                "1 [0, 0, 2, 0]",
                "6 [0, 0, 0, 9, 1]",
                "4 [0, 0, 0, 0, 0, 0]",
                "_result 1 [{code: \"ok\"}]"
            ]
        );
    }

    #[test]
    fn streams_are_answered_as_the_original_does() {
        let manners = Manners {
            echo_txn: true,
            describe: Describe::Name,
            members: vec![("details".to_owned(), Value::Null)],
            play_chunk_size: Some(4_096),
            reset: false,
            sample_access: false,
            ..Manners::default()
        };
        let mut peer = connected(manners, Vec::new());
        for txn in [2.0, 3.0] {
            peer.says(0, "createStream", txn, Value::Null, &[]);
        }
        peer.hears();
        peer.says(1, "publish", 4.0, Value::Null, &["local".into()]);
        peer.session.accept_publish(1);
        peer.says(2, "play", 5.0, Value::Null, &["remote?a=b".into()]);
        peer.session.accept_play(2);
        let status = |txn: u32, code: &str, name: &str| {
            format!(
                "onStatus {txn} [{{level: \"status\", code: \"{code}\", description: \"{name}\", details: null}}]"
            )
        };
        assert_eq!(
            peer.hears(),
            [
                status(4, "NetStream.Publish.Start", ""),
                "1 [0, 0, 16, 0]".to_owned(),
                "4 [0, 0, 0, 0, 0, 2]".to_owned(),
                status(5, "NetStream.Play.Start", "remote"),
            ]
        );
    }

    #[test]
    fn gates_are_shut_for_streams_there_are_and_those_to_come() {
        let manners = Manners {
            gated: true,
            ..Manners::default()
        };
        let mut peer = connected(manners, Vec::new());
        let listens = |peer: &mut Peer, stream: u32| {
            peer.says(stream, "play", 0.0, Value::Null, &["x".into()]);
            peer.session.accept_play(stream);
            (
                peer.session.player(stream, false).is_some(),
                peer.session.player(stream, true).is_some(),
            )
        };
        peer.says(0, "createStream", 2.0, Value::Null, &[]);
        assert_eq!(listens(&mut peer, 1), (false, false));
        peer.says(1, "receiveAudio", 0.0, Value::Null, &[true.into()]);
        assert_eq!(listens(&mut peer, 1), (true, false));
        peer.says(0, "createStream", 3.0, Value::Null, &[]);
        assert_eq!(listens(&mut peer, 2), (true, false));
        peer.session.gate(Some(false), Some(true));
        assert_eq!(listens(&mut peer, 2), (false, true));
    }

    #[test]
    fn a_refused_client_is_no_more_listened_to() {
        let mut peer = Peer {
            session: Session::new(ServerConfig::default(), true, Time::ZERO),
        };
        peer.says(0, "connect", 1.0, amf::object([("app", "x".into())]), &[]);
        peer.session.refuse_connect(amf::object([("code", "no".into())]));
        assert_eq!(peer.hears(), ["_error 1 [{code: \"no\"}]"]);
        peer.says(0, "createStream", 2.0, Value::Null, &[]);
        assert!(peer.hears().is_empty() && !peer.session.is_closing());
    }
}
