//! Settings of a server connection.

use std::time::Duration;

use crate::limits::Limits;

/// Settings of a [`Connection`](super::Connection); cheap to clone, usually shared by all.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerConfig {
    /// Chunk size announced and used toward the client, in bytes (1 to 65,536); 4096. It holds any audio
    /// message whole.
    pub chunk_size: u32,
    /// Acknowledgement window announced to the client, in bytes; 2,500,000.
    pub window_ack_size: u32,
    /// Value of Set Peer Bandwidth (type "dynamic"), in bytes; 2,500,000.
    pub peer_bandwidth: u32,
    /// `fmsVer` of the connect reply.
    pub version: String,
    /// `capabilities` of the connect reply.
    pub capabilities: f64,
    /// Longest time from the start to the end of the handshake; 10 s.
    pub handshake_timeout: Duration,
    /// Longest time from the end of the handshake to `connect`; 10 s.
    pub connect_timeout: Duration,
    /// How often an idle client is pinged; 15 s.
    pub keepalive_interval: Duration,
    /// A client from which nothing at all came for this long is dead; 60 s.
    pub silence_timeout: Duration,
    /// Longest time a closing connection may take to send its last words; 5 s.
    pub close_timeout: Duration,
    /// Audio that waited longer than this when its turn comes is dropped before it is chunked; 300 ms.
    pub audio_deadline: Duration,
    /// How a client that reads slowly is noticed and served.
    pub flow: FlowConfig,
    /// The answer to `<policy-file-request/>`, without its final NUL; `None` refuses the request.
    pub policy: Option<String>,
    /// Bounds.
    pub limits: Limits,
}

impl Default for ServerConfig {
    fn default() -> ServerConfig {
        ServerConfig {
            chunk_size: 4096,
            window_ack_size: 2_500_000,
            peer_bandwidth: 2_500_000,
            version: "FMS/3,5,7,7009".to_owned(),
            capabilities: 31.0,
            handshake_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(15),
            silence_timeout: Duration::from_secs(60),
            close_timeout: Duration::from_secs(5),
            audio_deadline: Duration::from_millis(300),
            flow: FlowConfig::default(),
            policy: Some(
                "<?xml version=\"1.0\"?><cross-domain-policy>\
                 <allow-access-from domain=\"*\" to-ports=\"*\"/></cross-domain-policy>"
                    .to_owned(),
            ),
            limits: Limits::default(),
        }
    }
}

/// How a peer that reads slowly is noticed and served; see [`Flow`](crate::flow::Flow) for the method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowConfig {
    /// Whether pings are sent at all; without them nothing is noticed. True.
    pub pings: bool,
    /// How often a ping is sent between audio messages; 250 ms.
    pub ping_interval: Duration,
    /// A ping unanswered for this long beyond the shortest round trip stops the media; 400 ms.
    pub stall_after: Duration,
    /// A ping answered this much later than the shortest round trip makes silence be skipped; 60 ms.
    pub late_after: Duration,
}

impl Default for FlowConfig {
    fn default() -> FlowConfig {
        FlowConfig {
            pings: true,
            ping_interval: Duration::from_millis(250),
            stall_after: Duration::from_millis(400),
            late_after: Duration::from_millis(60),
        }
    }
}
