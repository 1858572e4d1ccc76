//! What the shards need of the configuration.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use media::PipeOptions;
use rtmfp::profile::certificate::Identity;
use rtmfp::profile::dh::Group;
use rtmfp::profile::keying::{self, Offer};
use rtmfp::profile::random::Random;
use rtmfp::{EndpointConfig, SessionConfig};
use rtmp::client::ClientConfig;
use rtmp::server::ServerConfig;

use crate::config::{Api, BbbCodec, Config, Protection};
use crate::dialect;

/// The same for every shard.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How audio is transcoded.
    pub(super) pipe: PipeOptions,
    /// The longest a missing RTP packet is waited for.
    pub(super) jitter_max: Duration,
    /// Whether digits are listened for in the audio of peers without telephone-event.
    pub(super) hear_digits: bool,
    /// A call without RTP for so long ends.
    pub(super) rtp_timeout: Duration,
    /// RTMP: chunk size, limits, time-outs.
    pub(super) rtmp: ServerConfig,
    /// The same for RTMFP clients.
    pub(super) rtmfp: ServerConfig,
    /// RTMP to servers elsewhere.
    pub(super) outbound: ClientConfig,
    /// The sessions that carry them.
    pub(super) flows: FlowSettings,
    /// Which dialects are spoken, and where.
    pub(super) dialects: dialect::Options,
    /// Whether the exchange is told what clients say and are told.
    pub(super) tells: bool,
}

impl Settings {
    /// From the whole configuration.
    pub fn new(config: &Config) -> Settings {
        let media = &config.media;
        let pipe = PipeOptions {
            narrow_decode: media.narrowband_shortcut,
            narrow_encode: media.narrowband_to_flash,
            quality: media.speex_quality,
            complexity: media.speex_complexity,
            ..PipeOptions::default()
        };
        let rtmp = ServerConfig {
            chunk_size: config.rtmp.chunk_size,
            handshake_timeout: config.rtmp.handshake_timeout,
            connect_timeout: config.rtmp.handshake_timeout,
            keepalive_interval: config.rtmp.ping_interval,
            silence_timeout: config.rtmp.idle_timeout,
            policy: policy(config),
            limits: rtmp::Limits {
                video_message: size(config.rtmp.max_message),
                ..rtmp::Limits::default()
            },
            ..ServerConfig::default()
        };
        Settings {
            pipe,
            jitter_max: media.jitter_max,
            hear_digits: media.hear_digits,
            rtp_timeout: media.rtp_timeout,
            rtmfp: ServerConfig {
                audio_deadline: config.rtmfp.audio_lifetime,
                ..rtmp.clone()
            },
            outbound: ClientConfig {
                chunk_size: rtmp.chunk_size,
                limits: rtmp.limits.clone(),
                ..ClientConfig::default()
            },
            flows: FlowSettings::new(config),
            rtmp,
            dialects: dialects(&config.rtmp),
            tells: config.log.ladder.0 > 0,
        }
    }

    /// RTMP in a tunnel: what a client has not fetched waits with us, where it is seen. No ping need find it out,
    /// and its answer would tell how often the client asks rather than how it fares.
    pub(super) fn rtmp_in_tunnel(&self) -> ServerConfig {
        let mut config = self.rtmp.clone();
        config.flow.pings = false;
        config
    }
}

/// What of the sessions of RTMFP a reload may change.
#[derive(Clone, Debug)]
pub(super) struct FlowSettings {
    pub(super) session: SessionConfig,
    pub(super) protection: keying::Protection,
    /// Whether clients are introduced to each other.
    pub(super) introduce: bool,
}

impl FlowSettings {
    fn new(config: &Config) -> FlowSettings {
        let rtmfp = &config.rtmfp;
        let offer = match rtmfp.protection {
            Protection::Offer => Offer::WILLING,
            Protection::Require => Offer::REQUIRED,
        };
        let defaults = SessionConfig::default();
        FlowSettings {
            session: SessionConfig {
                keepalive: rtmfp.keepalive,
                dead_after: rtmfp.idle_timeout,
                receive_buffer: defaults.receive_buffer.max(size(config.rtmp.max_message) * 2),
                ..defaults
            },
            protection: keying::Protection {
                hmac: offer,
                sequence: offer,
                ..keying::Protection::default()
            },
            introduce: rtmfp.introduce,
        }
    }
}

/// What every endpoint for RTMFP clients has in common; each still needs the number of its shard.
pub fn rtmfp_endpoint(config: &Config, shards: usize, random: &mut Random) -> EndpointConfig {
    let limit = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    let flows = FlowSettings::new(config);
    EndpointConfig {
        server: Identity::server(&[Group::Modp1024, Group::Modp1536, Group::Modp2048], random).map(Arc::new),
        protection: flows.protection,
        introduce: flows.introduce,
        cookie_secret: random.array(),
        sessions: limit(config.limits.sessions).div_ceil(shards.max(1)),
        sessions_per_ip: limit(config.limits.connections_per_address),
        session: flows.session,
        ..EndpointConfig::default()
    }
}

/// Which dialects are spoken, and where.
fn dialects(rtmp: &crate::config::Rtmp) -> dialect::Options {
    let kind = |api: &Api| match api {
        Api::Stream => dialect::Kind::Stream,
        Api::SipRtmp => dialect::Kind::SipRtmp,
        Api::FreeSwitch => dialect::Kind::FreeSwitch,
        Api::Red5Phone => dialect::Kind::Red5Phone,
        Api::Bbb => dialect::Kind::Bbb,
    };
    dialect::Options {
        enabled: rtmp.apis.iter().map(kind).collect(),
        sip_apps: rtmp.sip_apps.clone(),
        freeswitch_apps: rtmp.freeswitch_apps.clone(),
        exclusive: rtmp.exclusive_logins,
        bbb_speex: rtmp.bbb_codec == BbbCodec::Speex,
    }
}

/// The policy file: our domains, and the ports on which a film can do something with us. `None` when there is no
/// domain.
pub(crate) fn policy(config: &Config) -> Option<String> {
    let rtmp = &config.rtmp;
    let ports: BTreeSet<u16> = rtmp
        .listen
        .iter()
        .chain(&rtmp.tls)
        .map(SocketAddr::port)
        .collect();
    let ports: Vec<u16> = ports.into_iter().collect();
    crate::net::policy_file(&rtmp.policy_domains, &ports)
}

fn size(size: crate::config::Size) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}
