//! Settings of a client connection and what it asks for.

use std::time::Duration;

use crate::amf::Value;
use crate::limits::Limits;
use crate::server::FlowConfig;

/// Settings of a [`Connection`](super::Connection).
#[derive(Clone, Debug, PartialEq)]
pub struct ClientConfig {
    /// Sign C1, as Flash Player does; a server that knows no digests answers plainly.
    pub digest: bool,
    /// Chunk size announced and used toward the server, in bytes (1 to 65,536); 4096.
    pub chunk_size: u32,
    /// Longest time from the start to the end of the handshake; 10 s.
    pub handshake_timeout: Duration,
    /// Longest time from the end of the handshake to the answer to `connect`; 30 s, as it may wait for a
    /// registration behind the server.
    pub connect_timeout: Duration,
    /// How often an idle server is pinged, when `flow.pings` is set; 15 s.
    pub keepalive_interval: Duration,
    /// A server from which nothing came for this long is dead, when `flow.pings` is set; 60 s.
    pub silence_timeout: Duration,
    /// Longest time a closing connection may take to send its last words; 5 s.
    pub close_timeout: Duration,
    /// Audio that waited longer than this when its turn comes is dropped before it is chunked; 300 ms.
    pub audio_deadline: Duration,
    /// Length of the player's buffer told to the server, in ms; 3000.
    pub buffer_ms: u32,
    /// Flow control above TCP; without pings by default, for they are the server's to send (§7.1.7).
    pub flow: FlowConfig,
    /// Bounds.
    pub limits: Limits,
}

impl Default for ClientConfig {
    fn default() -> ClientConfig {
        ClientConfig {
            digest: false,
            chunk_size: 4096,
            handshake_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(30),
            keepalive_interval: Duration::from_secs(15),
            silence_timeout: Duration::from_secs(60),
            close_timeout: Duration::from_secs(5),
            audio_deadline: Duration::from_millis(300),
            buffer_ms: 3000,
            flow: FlowConfig {
                pings: false,
                ..FlowConfig::default()
            },
            limits: Limits::default(),
        }
    }
}

/// What the `connect` command says.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectRequest {
    /// `app`: application and instance.
    pub app: String,
    /// `tcUrl`.
    pub tc_url: String,
    /// `flashVer`.
    pub flash_version: String,
    /// 0 for AMF0, 3 for AMF3.
    pub object_encoding: u8,
    /// Further members of the command object, in this order.
    pub properties: Vec<(String, Value)>,
    /// Further arguments, such as a login.
    pub args: Vec<Value>,
}

impl ConnectRequest {
    /// A request as FFmpeg makes it when it plays.
    pub fn player(app: &str, tc_url: &str) -> ConnectRequest {
        let numbers = [
            ("capabilities", 15.0),
            ("audioCodecs", 4071.0),
            ("videoCodecs", 252.0),
            ("videoFunction", 1.0),
        ];
        let numbers = numbers.into_iter().map(|(k, v)| (k.to_owned(), v.into()));
        ConnectRequest {
            app: app.to_owned(),
            tc_url: tc_url.to_owned(),
            flash_version: "LNX 9,0,124,2".to_owned(),
            object_encoding: 0,
            properties: std::iter::once(("fpad".to_owned(), false.into()))
                .chain(numbers)
                .collect(),
            args: Vec::new(),
        }
    }

    /// A request as FFmpeg makes it when it publishes.
    pub fn publisher(app: &str, tc_url: &str) -> ConnectRequest {
        ConnectRequest {
            flash_version: "FMLE/3.0 (compatible; flashgate)".to_owned(),
            properties: vec![("type".to_owned(), "nonprivate".into())],
            ..ConnectRequest::player(app, tc_url)
        }
    }

    /// The command object.
    pub(crate) fn object(&self) -> Value {
        let mut members: Vec<(String, Value)> = vec![
            ("app".to_owned(), self.app.as_str().into()),
            ("flashVer".to_owned(), self.flash_version.as_str().into()),
            ("tcUrl".to_owned(), self.tc_url.as_str().into()),
        ];
        members.extend(self.properties.iter().cloned());
        if self.object_encoding != 0 {
            members.push((
                "objectEncoding".to_owned(),
                f64::from(self.object_encoding).into(),
            ));
        }
        Value::Object(members)
    }
}
