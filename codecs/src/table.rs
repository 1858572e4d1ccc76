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
    /// Nellymoser, 8 kHz: what Flash sends by default, and old clients only.
    Nelly8,
    /// Nellymoser, 16 kHz.
    Nelly16,
    /// Nellymoser, 5,512 Hz.
    Nelly5,
    /// Nellymoser, 11,025 Hz.
    Nelly11,
    /// Nellymoser, 22,050 Hz.
    Nelly22,
    /// Nellymoser, 44,100 Hz.
    Nelly44,
    /// G.722 at 64 kbit/s, 16 kHz.
    G722,
    /// Opus, mono.
    Opus,
    /// AAC-LC: of streaming tools at any rate, mixed to mono; made at 48 kHz, mono.
    Aac,
    /// MP3 of streaming tools, any rate, mixed to mono. Decoded only.
    Mp3,
}

/// How payloads of a codec may be cut and joined without decoding them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Each sample stands for itself, one or two bytes: cut anywhere between samples.
    Samples,
    /// A Speex bit stream: [`crate::speex::split`].
    Speex,
    /// Not at all here: a payload depends on those before it, or is one unit. It passes whole, and
    /// [`Codec::payload_ticks`] tells how long it is.
    Opaque,
}

/// One row of [`TABLE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codec {
    /// The row's name in code.
    pub id: CodecId,
    /// The row's name in configuration, logs and metrics; unique.
    pub label: &'static str,
    /// Encoding name in `a=rtpmap` (compared without regard to case); empty for codecs that RTP does not know.
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
    /// How payloads may be cut without decoding.
    pub framing: Framing,
    /// FLV sound format, the high nibble of the audio tag, if FLV has one.
    pub flv: Option<u8>,
    /// Rate bits of the FLV audio tag (0 = 5.5 kHz or not applicable, 1 = 11, 2 = 22, 3 = 44). They tell codecs of
    /// sound format 6 apart and mean nothing elsewhere.
    pub flv_rate: u8,
    /// Whether there is an encoder.
    pub encodes: bool,
    /// Whether a stream tells its own rate and channels, as those of streaming tools do: what is said here of rate and
    /// frame is then what our encoder makes, if there is one.
    pub streamed: bool,
    /// The payload that a decoder of our encoder's stream needs first; empty for nearly all.
    pub configuration: &'static [u8],
    /// One frame of silence ([`Codec::frame`] long), encoded; empty where there is no encoder.
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

    /// The first byte of an FLV audio message of this codec: format, rate, 16 bit, mono.
    #[must_use]
    pub const fn flv_tag(&self) -> Option<u8> {
        match self.flv {
            Some(format) => Some(format << 4 | self.flv_rate << 2 | 2 | (format == FLV_AAC) as u8),
            None => None,
        }
    }

    /// RTP timestamp units in `samples` samples of PCM at `rate` Hz (that of the encoder or decoder, which is not always
    /// [`Codec::sample_rate`]).
    #[must_use]
    pub const fn rtp_ticks(&self, samples: usize, rate: u32) -> u32 {
        if rate == 0 {
            0
        } else {
            (samples as u64 * self.rtp_clock as u64 / rate as u64) as u32
        }
    }

    /// How long a payload lasts, in RTP timestamp units, where that can be told without decoding it: not for Speex, and
    /// not for what is no payload of this codec.
    #[must_use]
    pub fn payload_ticks(&self, payload: &[u8]) -> Option<u32> {
        let blocks = |bytes: usize, ticks: usize| {
            let whole = !payload.is_empty() && payload.len().is_multiple_of(bytes);
            whole.then(|| (payload.len() / bytes * ticks) as u32)
        };
        match (self.id, self.framing) {
            (CodecId::Opus, _) => crate::opus::ticks(payload),
            // Eight bits for two samples, and half of the clock that would be theirs.
            (CodecId::G722, _) => blocks(1, 1),
            // What streaming tools send carries its length inside.
            (_, Framing::Opaque) if self.streamed => None,
            (_, Framing::Opaque) => blocks(crate::nelly::BLOCK_BYTES, crate::nelly::BLOCK_SAMPLES),
            (_, Framing::Samples) => blocks(self.max_frame_bytes / self.frame(), 1),
            (_, Framing::Speex) => None,
        }
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
    framing: Framing::Samples,
    flv: None,
    flv_rate: 0,
    encodes: true,
    streamed: false,
    configuration: &[],
    silence: &[],
    max_frame_bytes: 0,
    cost_us: (1, 1),
    fmtp: None,
    fmtp_must_match: &[],
};

const fn nelly(rate: u32) -> Codec {
    Codec {
        rtp_name: "",
        rtp_clock: rate,
        sample_rate: rate,
        frame_samples: crate::nelly::BLOCK_SAMPLES,
        framing: Framing::Opaque,
        flv: Some(6),
        silence: &crate::nelly::SILENCE,
        max_frame_bytes: crate::nelly::BLOCK_BYTES,
        cost_us: (rate / 2_000, rate / 2_500),
        ..ROW
    }
}

/// A codec of streaming tools: the stream tells its rate, the decoder gives what is asked for up to 48 kHz.
const fn streamed(frame_samples: usize) -> Codec {
    Codec {
        rtp_name: "",
        rtp_clock: 48_000,
        sample_rate: 48_000,
        frame_samples,
        framing: Framing::Opaque,
        encodes: false,
        streamed: true,
        ..ROW
    }
}

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
        framing: Framing::Speex,
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
        framing: Framing::Speex,
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
    Codec {
        id: CodecId::Nelly8,
        label: "nelly-8",
        flv: Some(5),
        ..nelly(8_000)
    },
    Codec {
        id: CodecId::Nelly16,
        label: "nelly-16",
        flv: Some(4),
        ..nelly(16_000)
    },
    Codec {
        id: CodecId::Nelly5,
        label: "nelly-5",
        ..nelly(5_512)
    },
    Codec {
        id: CodecId::Nelly11,
        label: "nelly-11",
        flv_rate: 1,
        ..nelly(11_025)
    },
    Codec {
        id: CodecId::Nelly22,
        label: "nelly-22",
        flv_rate: 2,
        ..nelly(22_050)
    },
    Codec {
        id: CodecId::Nelly44,
        label: "nelly-44",
        flv_rate: 3,
        ..nelly(44_100)
    },
    Codec {
        id: CodecId::G722,
        label: "g722",
        rtp_name: "G722",
        static_pt: Some(9),
        // RFC 3551 §4.5.2: 8,000 for historical reasons.
        rtp_clock: 8_000,
        sample_rate: 16_000,
        framing: Framing::Opaque,
        silence: &crate::g722::SILENCE,
        max_frame_bytes: 160,
        cost_us: (12, 8),
        ..ROW
    },
    Codec {
        id: CodecId::Opus,
        label: "opus",
        rtp_name: "opus",
        rtp_clock: 48_000,
        rtp_channels: 2,
        sample_rate: 48_000,
        frame_samples: 960,
        framing: Framing::Opaque,
        silence: &crate::opus::SILENCE,
        max_frame_bytes: crate::opus::MAX_FRAME_BYTES,
        cost_us: (100, 31),
        fmtp: Some("minptime=10;useinbandfec=1"),
        ..ROW
    },
    Codec {
        id: CodecId::Aac,
        label: "aac",
        flv: Some(10),
        // FLV Annex E.4.2.1: 44 kHz and stereo, whatever the stream says.
        flv_rate: 3,
        encodes: true,
        configuration: &crate::aac::CONFIGURATION,
        silence: &crate::aac::SILENCE,
        max_frame_bytes: crate::aac::MAX_FRAME_BYTES,
        cost_us: (60, 30),
        ..streamed(1_024)
    },
    Codec {
        id: CodecId::Mp3,
        label: "mp3",
        flv: Some(2),
        cost_us: (0, 40),
        ..streamed(1_152)
    },
];

/// AAC in FLV.
const FLV_AAC: u8 = 10;
/// FLV has a sound format of its own for MP3 at 8 kHz.
const FLV_MP3_8K: u8 = 14;

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
            !name.is_empty()
                && c.rtp_name.eq_ignore_ascii_case(name)
                && c.rtp_clock == clock
                && c.rtp_channels == channels.max(1)
        })
        .map(|c| c.id)
}

/// Finds the codec of a payload type fixed by RFC 3551 §6.
#[must_use]
pub fn by_static_pt(pt: u8) -> Option<CodecId> {
    TABLE.iter().find(|c| c.static_pt == Some(pt)).map(|c| c.id)
}

/// Finds the codec of an FLV audio message by its first byte. Little-endian PCM (format 3) is not here: it wants
/// [`crate::l16::swap`].
#[must_use]
pub fn by_flv_tag(tag: u8) -> Option<CodecId> {
    let (format, rate) = match (tag >> 4, tag >> 2 & 3) {
        (FLV_MP3_8K, rate) => (2, rate),
        parts => parts,
    };
    TABLE
        .iter()
        .find(|c| c.flv == Some(format) && (format != 6 || c.flv_rate == rate))
        .map(|c| c.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_the_enum_and_are_distinct() {
        for (i, row) in TABLE.iter().enumerate() {
            assert_eq!(row.id as usize, i, "{}", row.label);
            assert_eq!(codec(row.id).id, row.id);
            if !row.rtp_name.is_empty() {
                assert_eq!(
                    by_rtp(row.rtp_name, row.rtp_clock, row.rtp_channels),
                    Some(row.id)
                );
            }
            assert!(row.silence.len() <= row.max_frame_bytes);
            assert_eq!(row.silence.is_empty(), !row.encodes, "{}", row.label);
            assert!(TABLE.iter().filter(|o| o.label == row.label).count() == 1);
        }
    }

    #[test]
    fn lookups() {
        assert_eq!(by_static_pt(0), Some(CodecId::Pcmu));
        assert_eq!(by_static_pt(8), Some(CodecId::Pcma));
        assert_eq!(by_static_pt(9), Some(CodecId::G722));
        assert_eq!(by_static_pt(3), None);
        assert_eq!(by_rtp("OPUS", 48_000, 2), Some(CodecId::Opus));
        assert_eq!(by_rtp("G722", 16_000, 1), None);
        assert_eq!(codec(CodecId::G722).rtp_ticks(320, 16_000), 160);
        assert_eq!(codec(CodecId::Opus).rtp_ticks(320, 16_000), 960);
        assert_eq!(codec(CodecId::SpeexWb).rtp_ticks(160, 8_000), 320);
        assert_eq!(by_rtp("SPEEX", 16_000, 1), Some(CodecId::SpeexWb));
        assert_eq!(by_rtp("speex", 8_000, 0), Some(CodecId::SpeexNb));
        assert_eq!(by_rtp("pcmu", 16_000, 1), None);
        assert_eq!(by_rtp("L16", 16_000, 2), None);
        assert_eq!(by_rtp("", 8_000, 1), None);
        for (tag, id) in [
            (0xb2, CodecId::SpeexWb),
            (0xb6, CodecId::SpeexWb),
            (0x82, CodecId::Pcmu),
            (0x72, CodecId::Pcma),
            (0x52, CodecId::Nelly8),
            (0x42, CodecId::Nelly16),
            (0x62, CodecId::Nelly5),
            (0x66, CodecId::Nelly11),
            (0x6a, CodecId::Nelly22),
            (0x6e, CodecId::Nelly44),
            (0xaf, CodecId::Aac),
            (0x2f, CodecId::Mp3),
            (0xee, CodecId::Mp3),
        ] {
            assert_eq!(by_flv_tag(tag), Some(id), "{tag:#x}");
            assert!(
                tag == 0xb6 || !codec(id).encodes || codec(id).flv_tag() == Some(tag),
                "{tag:#x}"
            );
        }
        assert_eq!(by_flv_tag(0x1f), None);
    }

    #[test]
    fn payloads_tell_their_length() {
        for row in TABLE {
            let ticks = row.rtp_ticks(row.frame(), row.sample_rate);
            let told = row.payload_ticks(row.silence);
            assert_eq!(
                told,
                (row.framing != Framing::Speex && !row.streamed).then_some(ticks),
                "{}",
                row.label
            );
            assert_eq!(row.payload_ticks(&[]), None);
        }
        assert_eq!(codec(CodecId::Nelly16).payload_ticks(&[0; 65]), None);
        assert_eq!(codec(CodecId::Nelly16).payload_ticks(&[0; 128]), Some(512));
        assert_eq!(codec(CodecId::L16_8).payload_ticks(&[0; 3]), None);
    }

    #[test]
    fn silence_decodes_to_silence() {
        for row in TABLE.iter().filter(|row| row.encodes) {
            let mut decoder = crate::decoder(row.id, 0).unwrap();
            let mut out = [0i16; 2_048];
            if !row.configuration.is_empty() {
                assert_eq!(decoder.decode(row.configuration, &mut out), Ok(0));
            }
            for _ in 0..10 {
                let n = decoder.decode(row.silence, &mut out).unwrap();
                assert_eq!(n, row.frame(), "{}", row.label);
                let peak = out[..n].iter().map(|s| s.unsigned_abs()).max().unwrap();
                assert!(peak <= 8, "{}: {peak}", row.label);
            }
        }
    }
}
