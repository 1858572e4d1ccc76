//! FLV: the bodies of audio and video messages, and the file format around them.
//!
//! Source: Adobe Flash Video File Format 10.1, Annex E; Enhanced RTMP v2 for headers with a FourCC. A body
//! given to these functions is the payload of an RTMP message of type 8 or 9, which equals an FLV tag's.

mod aac;
mod enhanced;
mod file;

pub use aac::AacConfig;
pub use file::{FileError, Reader, Tag, write_header, write_tag};

/// Codec of an audio message: upper half of its first byte (E.4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AudioCodec {
    /// 0: linear PCM in the byte order of the sender's machine.
    PcmNative,
    /// 1: ADPCM.
    Adpcm,
    /// 2: MP3.
    Mp3,
    /// 3: linear PCM, little endian.
    PcmLe,
    /// 4: Nellymoser at 16 kHz, mono.
    Nelly16k,
    /// 5: Nellymoser at 8 kHz, mono.
    Nelly8k,
    /// 6: Nellymoser at the rate in the byte.
    Nelly,
    /// 7: G.711 A-law.
    Pcma,
    /// 8: G.711 mu-law.
    Pcmu,
    /// 9: enhanced header; a FourCC follows.
    Enhanced,
    /// 10: AAC.
    Aac,
    /// 11: Speex, 16 kHz mono whatever the byte says.
    Speex,
    /// 14: MP3 at 8 kHz.
    Mp3At8k,
    /// 12, 13 and 15: reserved or device-specific.
    Other(u8),
}

impl AudioCodec {
    /// From the code of 0 to 15.
    pub const fn from_code(code: u8) -> AudioCodec {
        match code {
            0 => AudioCodec::PcmNative,
            1 => AudioCodec::Adpcm,
            2 => AudioCodec::Mp3,
            3 => AudioCodec::PcmLe,
            4 => AudioCodec::Nelly16k,
            5 => AudioCodec::Nelly8k,
            6 => AudioCodec::Nelly,
            7 => AudioCodec::Pcma,
            8 => AudioCodec::Pcmu,
            9 => AudioCodec::Enhanced,
            10 => AudioCodec::Aac,
            11 => AudioCodec::Speex,
            14 => AudioCodec::Mp3At8k,
            other => AudioCodec::Other(other),
        }
    }

    /// The code, 0 to 15.
    pub const fn code(self) -> u8 {
        match self {
            AudioCodec::PcmNative => 0,
            AudioCodec::Adpcm => 1,
            AudioCodec::Mp3 => 2,
            AudioCodec::PcmLe => 3,
            AudioCodec::Nelly16k => 4,
            AudioCodec::Nelly8k => 5,
            AudioCodec::Nelly => 6,
            AudioCodec::Pcma => 7,
            AudioCodec::Pcmu => 8,
            AudioCodec::Enhanced => 9,
            AudioCodec::Aac => 10,
            AudioCodec::Speex => 11,
            AudioCodec::Mp3At8k => 14,
            AudioCodec::Other(code) => code & 0x0F,
        }
    }
}

/// The first byte of an audio message. Rate, size and channels are nominal for many codecs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AudioTag {
    /// Codec.
    pub codec: AudioCodec,
    /// 0: 5.5 kHz, 1: 11 kHz, 2: 22 kHz, 3: 44 kHz.
    pub rate: u8,
    /// Samples of 16 bits rather than 8.
    pub wide: bool,
    /// Two channels.
    pub stereo: bool,
}

impl AudioTag {
    /// Speex as Flash Player and the gateways send it: 0xB2.
    pub const SPEEX: AudioTag = AudioTag::mono(AudioCodec::Speex);
    /// G.711 mu-law, 8 kHz mono: 0x82.
    pub const PCMU: AudioTag = AudioTag::mono(AudioCodec::Pcmu);
    /// G.711 A-law, 8 kHz mono: 0x72.
    pub const PCMA: AudioTag = AudioTag::mono(AudioCodec::Pcma);
    /// Nellymoser, 8 kHz mono: 0x52.
    pub const NELLY_8K: AudioTag = AudioTag::mono(AudioCodec::Nelly8k);
    /// Nellymoser, 16 kHz mono: 0x42.
    pub const NELLY_16K: AudioTag = AudioTag::mono(AudioCodec::Nelly16k);

    /// A mono tag with the nominal rate 0 and 16 bits, as speech codecs have it.
    pub const fn mono(codec: AudioCodec) -> AudioTag {
        AudioTag {
            codec,
            rate: 0,
            wide: true,
            stereo: false,
        }
    }

    /// From the byte.
    pub const fn from_byte(byte: u8) -> AudioTag {
        AudioTag {
            codec: AudioCodec::from_code(byte >> 4),
            rate: byte >> 2 & 3,
            wide: byte & 2 != 0,
            stereo: byte & 1 != 0,
        }
    }

    /// The byte.
    pub const fn byte(self) -> u8 {
        self.codec.code() << 4 | (self.rate & 3) << 2 | (self.wide as u8) << 1 | self.stereo as u8
    }

    /// The nominal sampling rate in Hz.
    pub const fn hertz(self) -> u32 {
        match (self.codec, self.rate) {
            (AudioCodec::Nelly16k | AudioCodec::Speex, _) => 16_000,
            (AudioCodec::Nelly8k | AudioCodec::Pcma | AudioCodec::Pcmu | AudioCodec::Mp3At8k, _) => 8_000,
            (_, 0) => 5_512,
            (_, 1) => 11_025,
            (_, 2) => 22_050,
            _ => 44_100,
        }
    }
}

/// An audio message taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audio<'a> {
    /// Frames of a codec whose data follow the tag byte at once.
    Frames(AudioTag, &'a [u8]),
    /// AAC: AudioSpecificConfig.
    AacConfig(AudioTag, &'a [u8]),
    /// AAC: one raw frame.
    AacFrame(AudioTag, &'a [u8]),
    /// Enhanced RTMP: packet type, FourCC, data. Modifiers are skipped; of several tracks this is the first.
    Enhanced {
        /// 0 sequence start, 1 coded frames, 2 sequence end, 4 channel configuration.
        packet: u8,
        /// FourCC, such as `Opus` or `mp4a`.
        four_cc: [u8; 4],
        /// What follows.
        data: &'a [u8],
    },
}

impl<'a> Audio<'a> {
    /// Takes an audio message apart; `None` when it carries no data (a tag byte alone) or is cut short.
    pub fn parse(body: &'a [u8]) -> Option<Audio<'a>> {
        let (&first, rest) = body.split_first()?;
        let tag = AudioTag::from_byte(first);
        match tag.codec {
            AudioCodec::Aac => match rest.split_first()? {
                (0, config) => Some(Audio::AacConfig(tag, config)),
                (_, frame) => Some(Audio::AacFrame(tag, frame)),
            },
            AudioCodec::Enhanced => {
                let e = enhanced::parse(first & 0x0F, rest, AUDIO_MULTITRACK)?;
                Some(Audio::Enhanced {
                    packet: e.packet,
                    four_cc: e.four_cc,
                    data: e.data,
                })
            }
            _ if rest.is_empty() => None,
            _ => Some(Audio::Frames(tag, rest)),
        }
    }
}

/// Codec of a video message: lower half of its first byte (E.4.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// 2: Sorenson H.263.
    Sorenson,
    /// 3: screen video.
    Screen,
    /// 4: On2 VP6.
    Vp6,
    /// 5: On2 VP6 with alpha channel.
    Vp6Alpha,
    /// 6: screen video version 2.
    Screen2,
    /// 7: AVC (H.264).
    Avc,
    /// Enhanced RTMP: by FourCC (`avc1`, `hvc1`, `av01`, `vp09`, `vp08`).
    FourCc([u8; 4]),
    /// Anything else.
    Other(u8),
}

/// What a video message says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameType {
    /// 1: key frame.
    Key,
    /// 2: predicted frame.
    Inter,
    /// 3: predicted frame that no other needs.
    Disposable,
    /// 4: generated key frame.
    Generated,
    /// 5: command or information, no picture.
    Info,
    /// Reserved.
    Other(u8),
}

/// What follows the video header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VideoPacket {
    /// Decoder configuration (avcC and the like).
    Config,
    /// A picture; of AVC in NAL units with length fields.
    Frame,
    /// End of the sequence.
    End,
    /// Metadata or another extension of Enhanced RTMP, by packet type.
    Other(u8),
}

/// A video message taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Video<'a> {
    /// Kind of frame.
    pub frame: FrameType,
    /// Codec.
    pub codec: VideoCodec,
    /// What `data` is.
    pub packet: VideoPacket,
    /// Presentation time less decoding time in ms; 0 where the codec has none.
    pub composition: i32,
    /// What follows the header.
    pub data: &'a [u8],
}

impl<'a> Video<'a> {
    /// Takes a video message apart; `None` when it is cut short.
    pub fn parse(body: &'a [u8]) -> Option<Video<'a>> {
        let (&first, rest) = body.split_first()?;
        let frame = match first >> 4 & if first & 0x80 == 0 { 0x0F } else { 0x07 } {
            1 => FrameType::Key,
            2 => FrameType::Inter,
            3 => FrameType::Disposable,
            4 => FrameType::Generated,
            5 => FrameType::Info,
            other => FrameType::Other(other),
        };
        if first & 0x80 != 0 {
            let e = enhanced::parse(first & 0x0F, rest, VIDEO_MULTITRACK)?;
            let (packet, four_cc, rest) = (e.packet, e.four_cc, e.data);
            // Coded frames of AVC and HEVC carry a composition time unless they are "frames X" (type 3).
            let timed = packet == 1 && matches!(&four_cc, b"avc1" | b"hvc1" | b"vvc1");
            let (composition, data) = if timed { signed_24(rest)? } else { (0, rest) };
            return Some(Video {
                frame,
                codec: VideoCodec::FourCc(four_cc),
                packet: match packet {
                    0 => VideoPacket::Config,
                    1 | 3 => VideoPacket::Frame,
                    2 => VideoPacket::End,
                    other => VideoPacket::Other(other),
                },
                composition,
                data,
            });
        }
        let codec = match first & 0x0F {
            2 => VideoCodec::Sorenson,
            3 => VideoCodec::Screen,
            4 => VideoCodec::Vp6,
            5 => VideoCodec::Vp6Alpha,
            6 => VideoCodec::Screen2,
            7 => VideoCodec::Avc,
            other => VideoCodec::Other(other),
        };
        if codec != VideoCodec::Avc {
            return Some(Video {
                frame,
                codec,
                packet: VideoPacket::Frame,
                composition: 0,
                data: rest,
            });
        }
        let (&kind, rest) = rest.split_first()?;
        let (composition, data) = signed_24(rest)?;
        Some(Video {
            frame,
            codec,
            packet: match kind {
                0 => VideoPacket::Config,
                1 => VideoPacket::Frame,
                2 => VideoPacket::End,
                other => VideoPacket::Other(other),
            },
            composition,
            data,
        })
    }
}

/// The five bytes before AVC data: key frame or not, packet kind, composition time in ms (signed 24 bits).
pub const fn avc_header(key: bool, packet: VideoPacket, composition: i32) -> [u8; 5] {
    let [_, a, b, c] = composition.to_be_bytes();
    let kind = match packet {
        VideoPacket::Config => 0,
        VideoPacket::Frame => 1,
        VideoPacket::End => 2,
        VideoPacket::Other(kind) => kind,
    };
    [if key { 0x17 } else { 0x27 }, kind, a, b, c]
}

/// Of the head of a video message: whether a decoder can begin there, and whether it is a configuration.
pub fn video_role(head: &[u8]) -> (bool, bool) {
    match Video::parse(head) {
        Some(v) => (
            matches!(v.frame, FrameType::Key | FrameType::Generated),
            v.packet == VideoPacket::Config,
        ),
        None => (false, false),
    }
}

/// Packet types that announce tracks.
const AUDIO_MULTITRACK: u8 = 5;
const VIDEO_MULTITRACK: u8 = 6;

fn signed_24(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let ([a, b, c], rest) = bytes.split_first_chunk::<3>()?;
    Some((i32::from_be_bytes([*a, *b, *c, 0]) >> 8, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tag_byte_round_trips() {
        for byte in 0..=255 {
            assert_eq!(AudioTag::from_byte(byte).byte(), byte);
        }
        assert_eq!(
            [
                AudioTag::SPEEX.byte(),
                AudioTag::PCMU.byte(),
                AudioTag::PCMA.byte(),
                AudioTag::NELLY_8K.byte(),
                AudioTag::NELLY_16K.byte()
            ],
            [0xB2, 0x82, 0x72, 0x52, 0x42]
        );
        assert_eq!(AudioTag::from_byte(0xB6).hertz(), 16_000);
        assert_eq!(AudioTag::from_byte(0x6A).hertz(), 22_050);
    }

    #[test]
    fn audio_messages_are_taken_apart() {
        assert_eq!(
            Audio::parse(&[0xB2, 7]),
            Some(Audio::Frames(AudioTag::SPEEX, &[7]))
        );
        assert_eq!(Audio::parse(&[0xB2]), None);
        assert_eq!(Audio::parse(&[]), None);
        assert!(matches!(
            Audio::parse(&[0xAF, 0, 0x12, 0x10]),
            Some(Audio::AacConfig(_, [0x12, 0x10]))
        ));
        assert!(matches!(
            Audio::parse(&[0xAF, 1, 9]),
            Some(Audio::AacFrame(_, [9]))
        ));
        assert_eq!(
            Audio::parse(b"\x91Opusxy"),
            Some(Audio::Enhanced {
                packet: 1,
                four_cc: *b"Opus",
                data: b"xy"
            })
        );
        assert_eq!(Audio::parse(b"\x91Opu"), None);
    }

    #[test]
    fn video_messages_are_taken_apart() {
        let mut body = avc_header(false, VideoPacket::Frame, -40).to_vec();
        body.push(9);
        let v = Video::parse(&body).unwrap();
        assert_eq!(
            (v.frame, v.codec, v.composition, v.data),
            (FrameType::Inter, VideoCodec::Avc, -40, &[9][..])
        );
        let v = Video::parse(b"\x91hvc1\0\0\x05x").unwrap();
        assert_eq!(
            (v.frame, v.codec, v.packet, v.composition, v.data),
            (
                FrameType::Key,
                VideoCodec::FourCc(*b"hvc1"),
                VideoPacket::Frame,
                5,
                &b"x"[..]
            )
        );
        assert_eq!(Video::parse(&[0x22, 1]).unwrap().codec, VideoCodec::Sorenson);
        assert_eq!(Video::parse(&[0x17, 0]), None);
        assert_eq!(
            video_role(&avc_header(true, VideoPacket::Config, 0)),
            (true, true)
        );
        assert_eq!(video_role(b"\x90avc1"), (true, true));
    }
}
