//! What an FLV audio message that is relayed whole holds for a decoder.

use codecs::CodecId;
use rtmp::flv::Audio;

/// Packet types of Enhanced RTMP that a decoder takes.
const START: u8 = 0;
const FRAMES: u8 = 1;

/// The codec of a whole audio message body, if it can be decoded here.
pub(super) fn codec(message: &[u8]) -> Option<CodecId> {
    match Audio::parse(message)? {
        Audio::Enhanced { four_cc, .. } => match &four_cc {
            b"Opus" => Some(CodecId::Opus),
            b"mp4a" => Some(CodecId::Aac),
            b".mp3" => Some(CodecId::Mp3),
            _ => None,
        },
        _ => codecs::by_flv_tag(*message.first()?),
    }
}

/// Whether it has the header of Enhanced RTMP, which old players do not know.
pub(super) fn is_enhanced(message: &[u8]) -> bool {
    matches!(Audio::parse(message), Some(Audio::Enhanced { .. }))
}

/// Writes into `out` what the decoder of [`codec`] takes; nothing when the message holds no sound.
pub(super) fn payload(message: &[u8], out: &mut Vec<u8>) {
    out.clear();
    match Audio::parse(message) {
        Some(Audio::Enhanced {
            packet,
            four_cc,
            data,
        }) => {
            let aac = &four_cc == b"mp4a";
            if packet == FRAMES || aac && packet == START {
                if aac {
                    out.push(packet);
                }
                out.extend_from_slice(data);
            }
        }
        Some(_) => out.extend_from_slice(message.get(1..).unwrap_or_default()),
        None => {}
    }
}

/// Whether a payload is a configuration without which the decoder understands nothing that follows.
pub(super) fn is_header(codec: CodecId, payload: &[u8]) -> bool {
    codec == CodecId::Aac && payload.first() == Some(&START)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(message: &[u8]) -> (Option<CodecId>, Vec<u8>) {
        let mut out = Vec::new();
        payload(message, &mut out);
        (codec(message), out)
    }

    #[test]
    fn both_headers_lead_to_the_same_payload() {
        assert_eq!(
            of(b"\xaf\x00\x12\x10"),
            (Some(CodecId::Aac), b"\x00\x12\x10".to_vec())
        );
        assert_eq!(
            of(b"\x90mp4a\x12\x10"),
            (Some(CodecId::Aac), b"\x00\x12\x10".to_vec())
        );
        assert_eq!(of(b"\x91mp4aframe"), (Some(CodecId::Aac), b"\x01frame".to_vec()));
        assert_eq!(of(b"\x91Opusxy"), (Some(CodecId::Opus), b"xy".to_vec()));
        assert_eq!(of(b"\x2f\xff\xfb"), (Some(CodecId::Mp3), b"\xff\xfb".to_vec()));
        assert!(is_enhanced(b"\x91Opusxy") && !is_enhanced(b"\xaf\x00\x12"));
    }

    #[test]
    fn what_is_no_sound_has_no_payload() {
        assert_eq!(of(b"\x90OpusOpusHead"), (Some(CodecId::Opus), Vec::new()));
        assert_eq!(of(b"\x91ac-3xy").0, None);
        assert_eq!(of(b"\x91Op"), (None, Vec::new()));
        assert_eq!(of(b"\xaf"), (None, Vec::new()));
        assert!(is_header(CodecId::Aac, &[0, 0x12]) && !is_header(CodecId::Aac, &[1, 0x12]));
        assert!(!is_header(CodecId::Mp3, &[0]));
    }
}
