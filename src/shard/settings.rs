//! What the shards need of the configuration.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use media::PipeOptions;
use rtmp::server::ServerConfig;

use crate::config::{Api, BbbCodec, Config};
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
    /// Which dialects are spoken, and where.
    pub(super) dialects: dialect::Options,
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
        Settings {
            pipe,
            jitter_max: media.jitter_max,
            hear_digits: media.hear_digits,
            rtp_timeout: media.rtp_timeout,
            rtmp: ServerConfig {
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
            },
            dialects: dialects(&config.rtmp),
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
