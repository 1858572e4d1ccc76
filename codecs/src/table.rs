//! The table of codecs: everything other crates need to know of one.

/// Names a row of [`TABLE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum CodecId {
    /// G.711 mu-law, 8 kHz.
    Pcmu,
    /// G.711 A-law, 8 kHz.
    Pcma,
    /// Speex narrowband, 8 kHz.
    SpeexNb,
    /// Speex wideband, 16 kHz: what Flash sends and plays.
    SpeexWb,
    /// Linear 16 bit big-endian, 8 kHz.
    L16_8,
    /// Linear 16 bit big-endian, 16 kHz.
    L16_16,
}

/// One row of [`TABLE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codec {
    /// The row's name in code.
    pub id: CodecId,
    /// The row's name in configuration, logs and metrics; unique.
    pub label: &'static str,
    /// Encoding name in `a=rtpmap` (compared without regard to case).
    pub rtp_name: &'static str,
    /// Payload type fixed by RFC 3551 §6, if any.
    pub static_pt: Option<u8>,
    /// RTP clock rate, Hz. Not always the sample rate (G.722, Opus).
    pub rtp_clock: u32,
    /// Channels named in `a=rtpmap`. Not always those in use (Opus says 2).
    pub rtp_channels: u8,
    /// Rate of the PCM behind it, Hz.
    pub sample_rate: u32,
    /// Channels of the PCM behind it.
    pub channels: u8,
    /// Samples in one native frame; 0 = any number, see [`Codec::frame`].
    pub frame_samples: usize,
    /// FLV sound format, the high nibble of the audio tag, if FLV has one.
    pub flv: Option<u8>,
    /// One frame of silence ([`Codec::frame`] long), encoded.
    pub silence: &'static [u8],
    /// The largest encoded frame, bytes.
    pub max_frame_bytes: usize,
    /// Nominal processor time, microseconds per 20 ms: encoding, decoding.
    pub cost_us: (u32, u32),
    /// What we offer in `a=fmtp`, if anything.
    pub fmtp: Option<&'static str>,
    /// Parameters of `a=fmtp` that must be equal for two descriptions to be the same codec; others do not matter.
    pub fmtp_must_match: &'static [&'static str],
}

impl Codec {
    /// Samples in the frame to work with: the native one, or 20 ms.
    #[must_use]
    pub const fn frame(&self) -> usize {
        if self.frame_samples == 0 {
            self.sample_rate as usize / 50
        } else {
            self.frame_samples
        }
    }

    /// RTP timestamp units in `samples` samples of PCM.
    #[must_use]
    pub const fn rtp_ticks(&self, samples: usize) -> u32 {
        (samples as u64 * self.rtp_clock as u64 / self.sample_rate as u64) as u32
    }
}

const ROW: Codec = Codec {
    id: CodecId::Pcmu,
    label: "pcmu",
    rtp_name: "PCMU",
    static_pt: None,
    rtp_clock: 8_000,
    rtp_channels: 1,
    sample_rate: 8_000,
    channels: 1,
    frame_samples: 0,
    flv: None,
    silence: &[],
    max_frame_bytes: 0,
    cost_us: (1, 1),
    fmtp: None,
    fmtp_must_match: &[],
};

/// All codecs, the order of [`CodecId`].
pub const TABLE: &[Codec] = &[
    Codec {
        static_pt: Some(0),
        flv: Some(8),
        silence: &[0xff; 160],
        max_frame_bytes: 160,
        ..ROW
    },
    Codec {
        id: CodecId::Pcma,
        label: "pcma",
        rtp_name: "PCMA",
        static_pt: Some(8),
        flv: Some(7),
        silence: &[0xd5; 160],
        max_frame_bytes: 160,
        ..ROW
    },
    Codec {
        id: CodecId::SpeexNb,
        label: "speex-nb",
        rtp_name: "speex",
        frame_samples: 160,
        silence: &crate::speex::SILENCE_NARROW,
        max_frame_bytes: crate::speex::FrameMode::Narrow.max_frame_bytes(),
        cost_us: (46, 7),
        ..ROW
    },
    Codec {
        id: CodecId::SpeexWb,
        label: "speex",
        rtp_name: "speex",
        rtp_clock: 16_000,
        sample_rate: 16_000,
        frame_samples: 320,
        flv: Some(11),
        silence: &crate::speex::SILENCE_WIDE,
        max_frame_bytes: crate::speex::MAX_FRAME_BYTES,
        cost_us: (59, 12),
        ..ROW
    },
    Codec {
        id: CodecId::L16_8,
        label: "l16-8",
        rtp_name: "L16",
        silence: &[0; 320],
        max_frame_bytes: 320,
        ..ROW
    },
    Codec {
        id: CodecId::L16_16,
        label: "l16-16",
        rtp_name: "L16",
        rtp_clock: 16_000,
        sample_rate: 16_000,
        silence: &[0; 640],
        max_frame_bytes: 640,
        ..ROW
    },
];

/// The row of a codec.
#[must_use]
pub fn codec(id: CodecId) -> &'static Codec {
    // The order of the table is that of the enum: a test compares them.
    &TABLE[id as usize]
}

/// Finds the codec of an `a=rtpmap` (RFC 4566 §6): encoding name in any case, clock in Hz, channels (1 when absent).
#[must_use]
pub fn by_rtp(name: &str, clock: u32, channels: u8) -> Option<CodecId> {
    TABLE
        .iter()
        .find(|c| {
            c.rtp_name.eq_ignore_ascii_case(name) && c.rtp_clock == clock && c.rtp_channels == channels.max(1)
        })
        .map(|c| c.id)
}

/// Finds the codec of a payload type fixed by RFC 3551 §6.
#[must_use]
pub fn by_static_pt(pt: u8) -> Option<CodecId> {
    TABLE.iter().find(|c| c.static_pt == Some(pt)).map(|c| c.id)
}

/// Finds the codec of an FLV sound format (high nibble of the audio tag). Format 3 (little-endian PCM) is not here: it
/// depends on the tag's rate bits and wants [`crate::l16::swap`].
#[must_use]
pub fn by_flv(sound_format: u8) -> Option<CodecId> {
    TABLE.iter().find(|c| c.flv == Some(sound_format)).map(|c| c.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_the_enum_and_are_distinct() {
        for (i, row) in TABLE.iter().enumerate() {
            assert_eq!(row.id as usize, i, "{}", row.label);
            assert_eq!(codec(row.id).id, row.id);
            assert_eq!(
                by_rtp(row.rtp_name, row.rtp_clock, row.rtp_channels),
                Some(row.id)
            );
            assert!(row.silence.len() <= row.max_frame_bytes && !row.silence.is_empty());
            assert!(TABLE.iter().filter(|o| o.label == row.label).count() == 1);
        }
    }

    #[test]
    fn lookups() {
        assert_eq!(by_static_pt(0), Some(CodecId::Pcmu));
        assert_eq!(by_static_pt(8), Some(CodecId::Pcma));
        assert_eq!(by_static_pt(3), None);
        assert_eq!(by_rtp("SPEEX", 16_000, 1), Some(CodecId::SpeexWb));
        assert_eq!(by_rtp("speex", 8_000, 0), Some(CodecId::SpeexNb));
        assert_eq!(by_rtp("pcmu", 16_000, 1), None);
        assert_eq!(by_rtp("L16", 16_000, 2), None);
        assert_eq!(by_flv(11), Some(CodecId::SpeexWb));
        assert_eq!(by_flv(8), Some(CodecId::Pcmu));
    }

    #[test]
    fn silence_decodes_to_silence() {
        for row in TABLE {
            let mut decoder = crate::decoder(row.id, 0).unwrap();
            let mut out = [0i16; 960];
            for _ in 0..10 {
                let n = decoder.decode(row.silence, &mut out).unwrap();
                assert_eq!(n, row.frame(), "{}", row.label);
                let peak = out[..n].iter().map(|s| s.unsigned_abs()).max().unwrap();
                assert!(peak <= 8, "{}: {peak}", row.label);
            }
        }
    }
}
