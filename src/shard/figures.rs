//! Live figures of a shard, made when somebody asks: nothing here runs while nobody looks, but the counters that
//! each leg keeps anyway.

use std::time::Duration;

use base::{CallId, IdMap, LegId, Time};
use codecs::{CodecId, Decoder};

use super::Shard;
use super::command::{FrameKind, LegStats, Side};
use super::leg::{Kind, MediaLeg};

/// Legs shown in one answer.
const LEGS: usize = 4_096;
/// Legs whose level is measured at a time: each costs the decoding of its audio.
const METERS: usize = 32;
/// A level is measured for so long after it was last asked for.
const WATCHED: Duration = Duration::from_secs(5);
/// Samples of the longest frame of a codec that is metered: 60 ms at 48 kHz.
const SAMPLES: usize = 2_880;

/// What of a shard's legs is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// The sums only.
    Sums,
    /// Every leg, up to a bound.
    Legs,
    /// These legs, with the level of what they send.
    Levels(Vec<LegId>),
}

/// The figures of one media leg now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LegFigures {
    /// Which.
    pub leg: LegId,
    /// Its call; 0 for none.
    pub call: CallId,
    /// The figures so far.
    pub stats: LegStats,
    /// Level of what it sends us, dBov (0 overload, -127 silence), while somebody watches it.
    pub level_dbov: Option<f32>,
}

/// Frames of one codec on one side of the gateway, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// RTP or clients.
    pub side: Side,
    /// Which codec; `None` for audio that is relayed unread.
    pub codec: Option<CodecId>,
    /// Frames received.
    pub received: u64,
    /// Frames sent.
    pub sent: u64,
    /// Frames that never came.
    pub lost: u64,
    /// Frames that came too late.
    pub late: u64,
    /// Frames made up for those.
    pub concealed: u64,
}

/// How late the media clock was served: a step is due every 5 ms while a leg needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lateness {
    /// Steps not later than each of [`Lateness::BOUNDS_MS`], each step counted once, at the first that holds.
    pub counts: [u64; Lateness::BOUNDS_MS.len()],
    /// Steps served.
    pub steps: u64,
    /// Sum of all lateness, microseconds.
    pub sum_us: u64,
    /// The worst since it was last asked for, microseconds.
    pub worst_us: u64,
}

impl Lateness {
    /// The bounds of the histogram, ms.
    pub const BOUNDS_MS: [u64; 8] = [1, 2, 5, 10, 20, 50, 100, 500];

    pub(super) fn note(&mut self, late: Duration) {
        let us = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        self.steps += 1;
        self.sum_us = self.sum_us.saturating_add(us);
        self.worst_us = self.worst_us.max(us);
        let fits = Lateness::BOUNDS_MS
            .iter()
            .zip(&mut self.counts)
            .find(|(bound, _)| us <= **bound * 1_000);
        if let Some((_, count)) = fits {
            *count += 1;
        }
    }
}

/// What a shard answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Client sessions.
    pub sessions: usize,
    /// Media legs.
    pub legs: usize,
    /// The legs asked for.
    pub shown: Vec<LegFigures>,
    /// Frames by side and codec.
    pub traffic: Vec<Traffic>,
    /// How late the media clock was served.
    pub lateness: Lateness,
    /// RTMFP.
    pub rtmfp: rtmfp::EndpointStats,
    /// How the sessions of RTMFP fare now.
    pub rtmfp_paths: rtmfp::Paths,
    /// How long missing packets are waited for.
    pub waits: Waits,
    /// SRTP.
    pub srtp: Srtp,
}

/// SRTP of a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Srtp {
    /// RTP legs that are protected now.
    pub legs: usize,
    /// Packets dropped since the start because they were not made with the key.
    pub forged: u64,
    /// Packets dropped since the start because they had come before.
    pub replayed: u64,
}

impl Srtp {
    fn add(&mut self, stats: &LegStats) {
        self.forged += stats.forged;
        self.replayed += stats.replayed;
    }
}

/// How long the jitter buffers of a shard wait for missing packets now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Waits {
    /// RTP legs.
    pub legs: usize,
    /// Sum over them, ms.
    pub sum_ms: f32,
    /// The longest, ms.
    pub worst_ms: f32,
}

/// What a shard keeps for those who look.
#[derive(Default)]
pub(super) struct Watch {
    /// Of legs that are gone.
    closed: Vec<Traffic>,
    srtp: Srtp,
    pub(super) lateness: Lateness,
    meters: IdMap<LegId, Meter>,
}

/// Measures the level of one source.
struct Meter {
    codec: Option<CodecId>,
    decoder: Option<Box<dyn Decoder>>,
    level: Option<f32>,
    until: Time,
}

impl Watch {
    /// A leg is gone: its frames stay in the sums.
    pub(super) fn closed(&mut self, leg: LegId, stats: &LegStats) {
        add(&mut self.closed, stats);
        self.srtp.add(stats);
        self.meters.remove(&leg);
    }

    /// Whether some level is measured now.
    pub(super) fn is_metering(&self) -> bool {
        !self.meters.is_empty()
    }

    /// A source delivers a frame.
    pub(super) fn hear(&mut self, now: Time, leg: LegId, kind: FrameKind, payload: &[u8]) {
        let Some(meter) = self.meters.get_mut(&leg) else {
            return;
        };
        if meter.until < now {
            self.meters.remove(&leg);
            return;
        }
        let FrameKind::Audio { codec, .. } = kind else {
            return;
        };
        if meter.codec != Some(codec) {
            meter.codec = Some(codec);
            meter.decoder = codecs::decoder(codec, 8_000).ok();
        }
        let mut pcm = [0i16; SAMPLES];
        if let Some(decoder) = &mut meter.decoder
            && let Ok(samples) = decoder.decode(payload, &mut pcm)
        {
            meter.level = Some(codecs::level::dbov(pcm.get(..samples).unwrap_or_default()));
        }
    }

    /// The level of a leg; it is measured from now on for a while.
    fn level(&mut self, now: Time, leg: LegId) -> Option<f32> {
        if self.meters.len() >= METERS && !self.meters.contains_key(&leg) {
            self.meters.retain(|_, m| m.until >= now);
            if self.meters.len() >= METERS {
                return None;
            }
        }
        let meter = self.meters.entry(leg).or_insert_with(|| Meter {
            codec: None,
            decoder: None,
            level: None,
            until: now,
        });
        meter.until = now + WATCHED;
        meter.level
    }
}

/// Adds the frames of a leg to those of its codecs.
fn add(sums: &mut Vec<Traffic>, stats: &LegStats) {
    if stats.received + stats.lost > 0 {
        let row = row(sums, stats.side, stats.codec_in);
        row.received += stats.received;
        row.lost += stats.lost;
        row.late += stats.late;
        row.concealed += stats.concealed;
    }
    if stats.sent > 0 {
        row(sums, stats.side, stats.codec_out).sent += stats.sent;
    }
}

/// The row of a codec, made if need be. Codecs are few: a list is searched faster than a map.
fn row(sums: &mut Vec<Traffic>, side: Side, codec: Option<CodecId>) -> &mut Traffic {
    let at = sums.iter().position(|t| t.side == side && t.codec == codec);
    let at = at.unwrap_or_else(|| {
        sums.push(Traffic {
            side,
            codec,
            ..Traffic::default()
        });
        sums.len() - 1
    });
    &mut sums[at]
}

impl Shard {
    /// The figures now. Costs by the legs of the shard; nothing is changed but which levels are measured.
    pub fn figures(&mut self, now: Time, look: &Look) -> Figures {
        let mut traffic = self.watch.closed.clone();
        let mut shown = Vec::new();
        let mut waits = Waits::default();
        let mut srtp = self.watch.srtp;
        for (leg, entry) in &self.legs {
            let Some(stats) = entry.stats() else { continue };
            add(&mut traffic, &stats);
            srtp.add(&stats);
            srtp.legs += usize::from(stats.suite.is_some());
            if stats.side == Side::Rtp {
                waits.legs += 1;
                waits.sum_ms += stats.wait_ms;
                waits.worst_ms = waits.worst_ms.max(stats.wait_ms);
            }
            let wanted = match look {
                Look::Sums => false,
                Look::Legs => shown.len() < LEGS,
                Look::Levels(legs) => legs.contains(leg),
            };
            if wanted {
                shown.push(LegFigures {
                    leg: *leg,
                    call: entry.call,
                    stats,
                    level_dbov: match look {
                        Look::Levels(_) => self.watch.level(now, *leg),
                        Look::Sums | Look::Legs => None,
                    },
                });
            }
        }
        let lateness = self.watch.lateness;
        self.watch.lateness.worst_us = 0;
        Figures {
            sessions: self.sessions.len(),
            legs: self.legs.len(),
            shown,
            traffic,
            lateness,
            rtmfp: self.rtmfp_stats(),
            rtmfp_paths: self.rtmfp_paths(),
            waits,
            srtp,
        }
    }
}

impl MediaLeg {
    /// The figures so far; none of a leg that is no party.
    pub(super) fn stats(&self) -> Option<LegStats> {
        match &self.kind {
            Kind::Rtp(rtp) => Some(rtp.stats()),
            Kind::Publish(publish) => Some(publish.stats()),
            Kind::Play(play) => Some(play.stats()),
            Kind::Tone(_) | Kind::Proxy | Kind::Member(_) | Kind::Room(_) => None,
            #[cfg(test)]
            Kind::Probe(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_add_up_by_side_and_codec() {
        let mut sums = Vec::new();
        let rtp = LegStats {
            received: 10,
            sent: 7,
            lost: 1,
            codec_in: Some(CodecId::Pcmu),
            codec_out: Some(CodecId::Pcma),
            ..LegStats::default()
        };
        let client = LegStats {
            side: Side::Client,
            received: 5,
            codec_in: Some(CodecId::Pcmu),
            ..LegStats::default()
        };
        add(&mut sums, &rtp);
        add(&mut sums, &rtp);
        add(&mut sums, &client);
        let of = |side, codec| {
            let row = sums.iter().find(|t| t.side == side && t.codec == codec);
            row.map(|t| (t.received, t.sent, t.lost))
        };
        assert_eq!(of(Side::Rtp, Some(CodecId::Pcmu)), Some((20, 0, 2)));
        assert_eq!(of(Side::Rtp, Some(CodecId::Pcma)), Some((0, 14, 0)));
        assert_eq!(of(Side::Client, Some(CodecId::Pcmu)), Some((5, 0, 0)));
    }

    #[test]
    fn lateness_is_counted_once_at_its_bound() {
        let mut late = Lateness::default();
        late.note(Duration::from_micros(300));
        late.note(Duration::from_millis(7));
        late.note(Duration::from_secs(2));
        assert_eq!(late.counts, [1, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!((late.steps, late.worst_us), (3, 2_000_000));
    }

    #[test]
    fn a_level_is_measured_while_it_is_asked_for() {
        let mut watch = Watch::default();
        let (leg, t) = (LegId(1), Time::from_secs(1));
        let frame = FrameKind::Audio {
            codec: CodecId::L16_16,
            time: media::MediaTime::new(0, 16_000),
            bursty: false,
        };
        watch.hear(t, leg, frame, &[0x7F; 640]);
        assert!(!watch.is_metering());
        assert_eq!(watch.level(t, leg), None);
        watch.hear(t, leg, frame, &[0x40, 0].repeat(320));
        let level = watch.level(t, leg).unwrap();
        assert!((level + 6.02).abs() < 0.1, "{level}");
        watch.hear(t + WATCHED * 2, leg, frame, &[0x40, 0].repeat(320));
        assert!(!watch.is_metering());
    }
}
