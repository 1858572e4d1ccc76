//! The header that Enhanced RTMP puts in place of a codec number: modifiers, tracks and a FourCC.
//!
//! Source: Enhanced RTMP v2, ExAudioTagHeader and ExVideoTagHeader.

/// What an enhanced header leads to. Of several tracks, the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Enhanced<'a> {
    pub(super) packet: u8,
    pub(super) four_cc: [u8; 4],
    pub(super) data: &'a [u8],
}

/// Packet type of modifiers, the same in audio and video.
const MOD_EX: u8 = 7;
/// All tracks have codecs of their own.
const MANY_CODECS: u8 = 2;
/// There is one track, so no sizes.
const ONE_TRACK: u8 = 0;

/// Reads the header after the first byte, whose packet type is `packet`. `multitrack` is the packet type that
/// announces tracks: 5 in audio, 6 in video.
pub(super) fn parse(mut packet: u8, mut rest: &[u8], multitrack: u8) -> Option<Enhanced<'_>> {
    while packet == MOD_EX {
        let (&size, after) = rest.split_first()?;
        let (size, after) = if size == 255 {
            let (size, after) = after.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*size)) + 1, after)
        } else {
            (usize::from(size) + 1, after)
        };
        // The modifiers known so far are of no use here: fractions of a millisecond.
        let (&types, after) = after.get(size..)?.split_first()?;
        packet = types & 0x0F;
        rest = after;
    }
    if packet != multitrack {
        let (four_cc, data) = rest.split_first_chunk::<4>()?;
        return Some(Enhanced {
            packet,
            four_cc: *four_cc,
            data,
        });
    }
    let (&types, rest) = rest.split_first()?;
    let (kind, packet) = (types >> 4, types & 0x0F);
    let (four_cc, rest) = rest.split_first_chunk::<4>()?;
    // The number of the track.
    let (_, mut data) = rest.split_first()?;
    if kind != ONE_TRACK {
        let (size, after) = data.split_first_chunk::<3>()?;
        let [a, b, c] = *size;
        let size = u32::from_be_bytes([0, a, b, c]) as usize;
        data = after.get(..size).unwrap_or(after);
    }
    (kind <= MANY_CODECS && packet != multitrack).then_some(Enhanced {
        packet,
        four_cc: *four_cc,
        data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audio(packet: u8, rest: &[u8]) -> Option<(u8, [u8; 4], Vec<u8>)> {
        parse(packet, rest, 5).map(|e| (e.packet, e.four_cc, e.data.to_vec()))
    }

    #[test]
    fn modifiers_are_skipped() {
        assert_eq!(audio(7, b"\x02abc\x01Opusx"), Some((1, *b"Opus", b"x".to_vec())));
        assert_eq!(audio(7, b"\x00a\x07\x00b\x00mp4a"), Some((0, *b"mp4a", vec![])));
        let mut long = vec![255, 1, 0];
        long.extend([9; 257]);
        long.extend(b"\x01Opusx");
        assert_eq!(audio(7, &long), Some((1, *b"Opus", b"x".to_vec())));
        assert_eq!(audio(7, b"\x09ab"), None);
    }

    #[test]
    fn the_first_of_several_tracks_is_taken() {
        assert_eq!(audio(5, b"\x01Opus\x00xy"), Some((1, *b"Opus", b"xy".to_vec())));
        assert_eq!(
            audio(5, b"\x11Opus\x00\0\0\x02xy\x01\0\0\x01z"),
            Some((1, *b"Opus", b"xy".to_vec()))
        );
        assert_eq!(
            audio(5, b"\x21Opus\x00\0\0\x02xymp4a\x01\0\0\x01z"),
            Some((1, *b"Opus", b"xy".to_vec()))
        );
        assert_eq!(audio(5, b"\x15Opus\x00\0\0\x02xy"), None);
        assert_eq!(audio(5, b"\x31Opus\x00xy"), None);
    }
}
