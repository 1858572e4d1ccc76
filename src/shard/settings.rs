//! What the shards need of the configuration.

use std::time::Duration;

use media::PipeOptions;

use crate::config::Config;

/// The same for every shard.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How audio toward SIP is transcoded.
    pub(super) pipe: PipeOptions,
    /// How audio toward clients is transcoded.
    pub(super) flash_pipe: PipeOptions,
    /// A call without RTP for so long ends.
    pub(super) rtp_timeout: Duration,
    /// RTMP: chunk size, limits, time-outs.
    pub(super) rtmp: rtmp::server::Config,
}

impl Settings {
    /// From the whole configuration.
    pub fn new(config: &Config) -> Settings {
        let media = &config.media;
        let pipe = PipeOptions {
            narrowband_shortcut: media.narrowband_shortcut,
            narrowband_to_flash: media.narrowband_to_flash,
            quality: media.speex_quality,
            complexity: media.speex_complexity,
            frame_ms: u32::try_from(media.ptime.as_millis()).unwrap_or(20),
        };
        Settings {
            flash_pipe: PipeOptions { frame_ms: 20, ..pipe },
            pipe,
            rtp_timeout: media.rtp_timeout,
            rtmp: rtmp::server::Config {
                chunk_size: config.rtmp.chunk_size,
                ..rtmp::server::Config::default()
            },
        }
    }
}
