//! Media halves of legs, and the sources that need no network.

use base::{CallId, LegId, ShardId};
use codecs::CodecId;
use codecs::tone::Tone;
use media::{Cadence, MediaTime};

use super::command::{FrameKind, LegStats, Side};
use super::play::PlayLeg;
use super::room::Room;
use super::rtp_leg::RtpLeg;

/// Codec headers and metadata kept for late listeners: one each of metadata, audio and video configuration.
const HEADERS: usize = 3;

/// The media half of one party, or of one stream of a client.
pub(super) struct MediaLeg {
    pub(super) call: CallId,
    pub(super) kind: Kind,
    /// Who hears it.
    pub(super) sinks: Vec<LegId>,
    /// The shards that have a stand-in for it.
    pub(super) exports: Vec<ShardId>,
    /// What a late listener needs first.
    pub(super) headers: Vec<(FrameKind, Vec<u8>)>,
}

/// What it is made of.
pub(super) enum Kind {
    /// A SIP party's RTP.
    Rtp(Box<RtpLeg>),
    /// A stream that a client publishes.
    Publish(PublishLeg),
    /// A stream that a client plays.
    Play(Box<PlayLeg>),
    /// A steady tone.
    Tone(Box<ToneLeg>),
    /// A source on another shard.
    Proxy,
    /// A member of a room.
    Member(LegId),
    /// A room's mixer; absent while it has its turn.
    Room(Option<Box<Room>>),
    /// Work that a test does on each turn and for each frame.
    #[cfg(test)]
    Probe(Box<dyn FnMut()>),
}

/// A published stream.
pub(super) struct PublishLeg {
    /// What was last told of its codec.
    pub(super) codec: Option<Option<CodecId>>,
    /// RTMP time without its wrap, ms.
    time: Option<u64>,
    /// Audio messages that came.
    pub(super) frames: u64,
}

impl PublishLeg {
    pub(super) fn new() -> PublishLeg {
        PublishLeg {
            codec: None,
            time: None,
            frames: 0,
        }
    }

    /// The figures so far.
    pub(super) fn stats(&self) -> LegStats {
        LegStats {
            side: Side::Client,
            codec_in: self.codec.flatten(),
            received: self.frames,
            ..LegStats::default()
        }
    }

    /// Media time of an RTMP timestamp, which wraps after 49 days.
    pub(super) fn time(&mut self, timestamp: u32) -> MediaTime {
        let last = self.time.unwrap_or(u64::from(timestamp) | 1 << 32);
        let step = i64::from(timestamp.wrapping_sub(last as u32) as i32);
        let time = last.saturating_add_signed(step);
        self.time = Some(time);
        MediaTime::new(time, 1_000)
    }
}

impl MediaLeg {
    pub(super) fn new(call: CallId, kind: Kind) -> MediaLeg {
        MediaLeg {
            call,
            kind,
            sinks: Vec::new(),
            exports: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// Keeps what a late listener will need.
    pub(super) fn remember(&mut self, kind: FrameKind, payload: &[u8]) {
        let is_header = match kind {
            FrameKind::Data { .. } => payload.starts_with(b"\x02\x00\x0aonMetaData"),
            // AVC and AAC sequence headers (FLV Annex E.4.2.2, E.4.3.2): packet type 0.
            FrameKind::Video { .. } => matches!(payload, [first, 0, ..] if first & 0x8F == 7),
            // And the sequence start of Enhanced RTMP.
            FrameKind::Tag { .. } => {
                matches!(payload, [first, 0, ..] if first >> 4 == 10) || payload.first() == Some(&0x90)
            }
            _ => false,
        };
        if !is_header {
            return;
        }
        let same = |a: &FrameKind| std::mem::discriminant(a) == std::mem::discriminant(&kind);
        if let Some((k, kept)) = self.headers.iter_mut().find(|(k, _)| same(k)) {
            *k = kind;
            kept.clear();
            kept.extend_from_slice(payload);
        } else if self.headers.len() < HEADERS {
            self.headers.push((kind, payload.to_vec()));
        }
    }
}

/// The built-in `tone`, 440 Hz at -12 dBov, or the ringing tone of a country; 16 kHz, in linear frames of 20 ms.
pub(super) struct ToneLeg {
    tone: Tone,
    cadence: Option<Cadence>,
    samples: u64,
    pcm: [i16; ToneLeg::SAMPLES],
}

impl ToneLeg {
    const SAMPLES: usize = 320;
    const RATE: u32 = 16_000;
    /// Of all frequencies together.
    const LEVEL_DBOV: f32 = -12.0;
    /// Ringing tones are softer.
    const RINGING_DBOV: f32 = -19.0;

    pub(super) fn new(cadence: Option<Cadence>) -> ToneLeg {
        let tone = match cadence {
            None => Tone::new(440.0, ToneLeg::LEVEL_DBOV, ToneLeg::RATE),
            Some(cadence) => {
                let share = 10.0 * (cadence.hz.len().max(1) as f32).log10();
                let parts: Vec<(f32, f32)> = cadence
                    .hz
                    .iter()
                    .map(|hz| (*hz, ToneLeg::RINGING_DBOV - share))
                    .collect();
                Tone::multi(&parts, ToneLeg::RATE)
            }
        };
        ToneLeg {
            tone,
            cadence,
            samples: 0,
            pcm: [0; ToneLeg::SAMPLES],
        }
    }

    /// The next 20 ms.
    pub(super) fn next(&mut self, payload: &mut Vec<u8>) -> FrameKind {
        let ms = self.samples / u64::from(ToneLeg::RATE / 1_000);
        if self.cadence.is_none_or(|c| c.sounds(ms)) {
            self.tone.fill(&mut self.pcm);
        } else {
            self.pcm.fill(0);
        }
        payload.clear();
        payload.extend(self.pcm.iter().flat_map(|s| s.to_be_bytes()));
        let time = MediaTime::new(self.samples, 16_000);
        self.samples += 320;
        FrameKind::Audio {
            codec: CodecId::L16_16,
            time,
            bursty: false,
        }
    }
}
