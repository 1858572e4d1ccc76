//! Walks a Speex bit stream by its published frame lengths (RFC 5574 §3, Speex manual §9-10), without decoding.
//!
//! A packet is a run of frames, not aligned to bytes. A frame is a bit 0, a submode of 4 bits and its parameters; a
//! wideband layer, bit 1 and a submode of 3 bits, may follow (twice in ultra-wideband). Submodes 13 and 14 are in-band
//! messages, 15 ends the packet. Padding is a 0 and then 1s.

use super::FrameMode;
use crate::Error;

/// The largest frame of 20 ms, both layers, bytes.
pub const MAX_FRAME_BYTES: usize = (492usize + 352).div_ceil(8);

/// Length of a narrowband frame by submode, bits, with its 5 bits of header.
const NARROW_BITS: [usize; 9] = [5, 43, 119, 160, 220, 300, 364, 492, 79];
/// Length of a wideband layer by submode, bits, with its 4 bits of header.
const WIDE_BITS: [usize; 5] = [4, 36, 112, 192, 352];

/// One frame of 20 ms as a packet of its own: aligned to bytes and padded.
#[derive(Clone, Copy)]
pub struct Frame {
    bytes: [u8; MAX_FRAME_BYTES],
    len: usize,
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl std::ops::Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_ref()
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frame({} bytes)", self.len)
    }
}

#[derive(Clone, Copy)]
struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl BitReader<'_> {
    fn left(&self) -> usize {
        self.bytes.len() * 8 - self.at
    }

    /// Up to 8 bits, or nothing when fewer are left.
    fn peek(&self, count: usize) -> Option<u8> {
        if count > self.left() {
            return None;
        }
        let high = u16::from(self.bytes.get(self.at / 8).copied().unwrap_or(0)) << 8;
        let low = u16::from(self.bytes.get(self.at / 8 + 1).copied().unwrap_or(0));
        let aligned = (high | low) << (self.at % 8);
        Some((u32::from(aligned) >> (16 - count)) as u8)
    }

    fn take(&mut self, count: usize) -> Option<u8> {
        let bits = self.peek(count)?;
        self.at += count;
        Some(bits)
    }

    fn skip(&mut self, count: usize) -> bool {
        let fits = count <= self.left();
        if fits {
            self.at += count;
        }
        fits
    }

    fn copy(&self, from: usize, len: usize, out: &mut [u8; MAX_FRAME_BYTES]) -> usize {
        let mut at = BitReader {
            bytes: self.bytes,
            at: from,
        };
        let whole = len / 8;
        for byte in out.iter_mut().take(whole) {
            *byte = at.take(8).unwrap_or(0);
        }
        let rest = len % 8;
        match out.get_mut(whole) {
            Some(byte) if rest > 0 => {
                let bits = u32::from(at.take(rest).unwrap_or(0)) << (8 - rest);
                *byte = (bits | (0x7f >> rest)) as u8;
                whole + 1
            }
            _ => whole,
        }
    }
}

/// Positions of one frame in the packet, bits.
pub(super) struct Found {
    start: usize,
    narrow: usize,
    /// Narrowband and first wideband layer.
    pub(super) wide: usize,
}

/// Iterator of [`split`].
#[derive(Clone)]
pub struct Frames<'a> {
    reader: BitReader<'a>,
    mode: FrameMode,
    pending: Option<Error>,
    done: bool,
}

impl Frames<'_> {
    fn malformed(&self) -> Error {
        Error::Malformed { bit: self.reader.at }
    }

    fn truncated(&self) -> Error {
        Error::Truncated {
            bytes: self.reader.bytes.len(),
        }
    }

    /// Finds the next frame; `None` at the end of the packet.
    pub(super) fn locate(&mut self) -> Result<Option<Found>, Error> {
        loop {
            let start = self.reader.at;
            let Some(header) = self.reader.take(5) else {
                return Ok(None);
            };
            match header {
                0..=8 => {
                    let narrow = NARROW_BITS[usize::from(header)];
                    if !self.reader.skip(narrow - 5) {
                        return Err(self.truncated());
                    }
                    let above = self.skip_wide_layers();
                    // A silent narrowband frame leaves libspeex no excitation for the layer above: it would take
                    // what lies on its stack.
                    let wide = if header == 0 { narrow } else { narrow + above };
                    return Ok(Some(Found { start, narrow, wide }));
                }
                13 => {
                    // User message: bytes in 4 bits, 5 bits more, the bytes.
                    let bytes = self.reader.take(4).ok_or(self.truncated())?;
                    if !self.reader.skip(5 + 8 * usize::from(bytes)) {
                        return Err(self.truncated());
                    }
                }
                14 => {
                    let request = self.reader.take(4).ok_or(self.truncated())?;
                    let bits = match request {
                        0..=1 => 1,
                        2..=7 => 4,
                        8..=9 => 8,
                        10..=11 => 16,
                        12..=13 => 32,
                        _ => 64,
                    };
                    if !self.reader.skip(bits) {
                        return Err(self.truncated());
                    }
                }
                15 => return Ok(None),
                _ => {
                    self.reader.at = start;
                    return Err(self.malformed());
                }
            }
        }
    }

    /// Skips the layers above a narrowband frame and returns the length of the first. A layer that is cut short or
    /// unknown does not spoil the narrowband frame before it, but ends the walk with an error.
    fn skip_wide_layers(&mut self) -> usize {
        let mut first = 0;
        for layer in 0..2 {
            let Some(header) = self.reader.peek(4).filter(|h| h & 8 != 0) else {
                break;
            };
            let Some(&bits) = WIDE_BITS.get(usize::from(header & 7)) else {
                self.pending = Some(self.malformed());
                break;
            };
            if !self.reader.skip(bits) {
                self.pending = Some(self.truncated());
                break;
            }
            if layer == 0 {
                first = bits;
            }
        }
        first
    }
}

impl Iterator for Frames<'_> {
    type Item = Result<Frame, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        if let Some(error) = self.pending.take() {
            self.done = true;
            return Some(Err(error));
        }
        match self.locate() {
            Ok(Some(found)) => {
                let bits = match self.mode {
                    FrameMode::Narrow => found.narrow,
                    FrameMode::Wide => found.wide,
                };
                let mut bytes = [0; MAX_FRAME_BYTES];
                let len = self.reader.copy(found.start, bits, &mut bytes);
                Some(Ok(Frame { bytes, len }))
            }
            Ok(None) => {
                self.done = true;
                None
            }
            Err(error) => {
                self.done = true;
                Some(Err(error))
            }
        }
    }
}

/// Takes a packet apart: each frame of 20 ms comes as a packet of its own, aligned to bytes, without in-band messages
/// and, in [`FrameMode::Narrow`], without the wideband layer. Ends at the terminator, at the end of the data, or after
/// the first error.
#[must_use]
pub fn split(payload: &[u8], mode: FrameMode) -> Frames<'_> {
    Frames {
        reader: BitReader {
            bytes: payload,
            at: 0,
        },
        mode,
        pending: None,
        done: false,
    }
}

/// Whole frames of 20 ms before the end of the packet or the first error.
#[must_use]
pub fn frames(payload: &[u8]) -> usize {
    split(payload, FrameMode::Narrow)
        .take_while(Result::is_ok)
        .count()
}

/// Copies the first frame of a packet to `out` without its wideband layer: a valid narrowband packet.
///
/// # Errors
/// [`Error::Truncated`] or [`Error::Malformed`] when there is no frame, [`Error::OutputTooSmall`].
pub fn strip_wideband(frame: &[u8], out: &mut [u8]) -> Result<usize, Error> {
    let narrow = match split(frame, FrameMode::Narrow).next() {
        Some(result) => result?,
        None => return Err(Error::Truncated { bytes: frame.len() }),
    };
    let got = out.len();
    let room = out.get_mut(..narrow.len).ok_or(Error::OutputTooSmall {
        want: narrow.len,
        got,
    })?;
    room.copy_from_slice(&narrow);
    Ok(narrow.len)
}
