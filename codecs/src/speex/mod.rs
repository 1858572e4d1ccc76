//! Speex narrowband and wideband over libspeex, and a walker over its bit stream.
//!
//! Nothing from the wire reaches libspeex unseen: [`split`] walks the stream with the published frame lengths, and only
//! whole frames, each repacked by itself without in-band signalling, are handed to the library.

mod bits;
mod guard;

pub use bits::{Frame, Frames, MAX_FRAME_BYTES, frames, split, strip_wideband};

use crate::ffi::{self, SpeexBits};
use crate::{EncoderOptions, Error};
use guard::Guard;
use std::ffi::{c_char, c_int, c_void};
use std::ptr::NonNull;

/// Which layers of the stream are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameMode {
    /// The narrowband layer: 8 kHz, 160 samples.
    Narrow,
    /// Narrowband and wideband layer: 16 kHz, 320 samples.
    Wide,
}

impl FrameMode {
    /// Rate of the PCM, Hz.
    #[must_use]
    pub const fn sample_rate(self) -> u32 {
        match self {
            Self::Narrow => 8_000,
            Self::Wide => 16_000,
        }
    }

    /// Samples in a frame of 20 ms.
    #[must_use]
    pub const fn frame_samples(self) -> usize {
        match self {
            Self::Narrow => 160,
            Self::Wide => 320,
        }
    }

    /// The largest encoded frame, bytes.
    #[must_use]
    pub const fn max_frame_bytes(self) -> usize {
        match self {
            Self::Narrow => 492usize.div_ceil(8),
            Self::Wide => MAX_FRAME_BYTES,
        }
    }

    const fn id(self) -> c_int {
        match self {
            Self::Narrow => ffi::SPEEX_MODEID_NB,
            Self::Wide => ffi::SPEEX_MODEID_WB,
        }
    }
}

/// A frame of silence, narrowband (quality 6, settled encoder).
pub(crate) const SILENCE_NARROW: [u8; 28] = [
    38, 157, 102, 0, 0, 27, 54, 108, 217, 176, 0, 27, 54, 108, 217, 176, 0, 27, 54, 108, 217, 176, 0, 27, 54,
    108, 217, 183,
];
/// A frame of silence, wideband (quality 6, settled encoder).
pub(crate) const SILENCE_WIDE: [u8; 52] = [
    46, 157, 27, 154, 32, 2, 1, 127, 255, 255, 255, 255, 255, 129, 0, 191, 255, 255, 255, 255, 255, 192, 128,
    95, 255, 255, 255, 255, 255, 224, 64, 47, 255, 255, 255, 255, 255, 250, 59, 96, 181, 173, 96, 181, 173,
    96, 181, 173, 96, 181, 173, 103,
];

/// The library's bit buffer. Grows only beyond 2,000 bytes, which no frame comes near.
struct Bits(SpeexBits);

impl Bits {
    fn new() -> Result<Self, Error> {
        let mut bits = SpeexBits::EMPTY;
        // SAFETY: `bits` is a valid place; the library fills it in and allocates its own buffer.
        unsafe { ffi::speex_bits_init(&mut bits) };
        if bits.is_ready() {
            Ok(Self(bits))
        } else {
            Err(Error::Library("libspeex"))
        }
    }
}

impl Drop for Bits {
    fn drop(&mut self) {
        // SAFETY: made by `speex_bits_init` and not destroyed before.
        unsafe { ffi::speex_bits_destroy(&mut self.0) };
    }
}

/// Encoder for either mode.
pub struct Encoder {
    state: NonNull<c_void>,
    bits: Bits,
    mode: FrameMode,
    options: EncoderOptions,
    scratch: [i16; 320],
}

// SAFETY: libspeex keeps no thread-bound data; a state belongs to whoever holds it, and `&mut self` guards each use.
unsafe impl Send for Encoder {}

impl Encoder {
    /// Quality and complexity are taken from the options, the rate is that of the mode.
    ///
    /// # Errors
    /// [`Error::Library`] when libspeex has no memory.
    pub fn new(mode: FrameMode, options: &EncoderOptions) -> Result<Self, Error> {
        let bits = Bits::new()?;
        // SAFETY: the mode id is one of the three the library knows, so the mode pointer is valid and static.
        let state = unsafe { ffi::speex_encoder_init(ffi::speex_lib_get_mode(mode.id())) };
        let state = NonNull::new(state).ok_or(Error::Library("libspeex"))?;
        let encoder = Self {
            state,
            bits,
            mode,
            options: *options,
            scratch: [0; 320],
        };
        encoder.control(ffi::SPEEX_SET_QUALITY, c_int::from(options.quality.min(10)));
        encoder.control(
            ffi::SPEEX_SET_COMPLEXITY,
            c_int::from(options.complexity.clamp(1, 10)),
        );
        Ok(encoder)
    }

    fn control(&self, request: c_int, mut value: c_int) {
        // SAFETY: the state is live, and every request used here reads at most one int.
        unsafe { ffi::speex_encoder_ctl(self.state.as_ptr(), request, (&raw mut value).cast()) };
    }
}

impl crate::Encoder for Encoder {
    fn sample_rate(&self) -> u32 {
        self.mode.sample_rate()
    }

    fn frame_samples(&self) -> usize {
        self.mode.frame_samples()
    }

    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, Error> {
        let want = self.frame_samples();
        if pcm.len() != want {
            return Err(Error::FrameLength { want, got: pcm.len() });
        }
        let room = self.mode.max_frame_bytes();
        if out.len() < room {
            return Err(Error::OutputTooSmall {
                want: room,
                got: out.len(),
            });
        }
        // The library's prototype lets it write to its input.
        self.scratch[..want].copy_from_slice(pcm);
        // SAFETY: state and bits are live; the scratch holds one frame of this mode; the library writes at most
        // `room` bytes of `out`, which is at least that long.
        let written = unsafe {
            ffi::speex_bits_reset(&mut self.bits.0);
            ffi::speex_encode_int(self.state.as_ptr(), self.scratch.as_mut_ptr(), &mut self.bits.0);
            ffi::speex_bits_write(&mut self.bits.0, out.as_mut_ptr().cast::<c_char>(), room as c_int)
        };
        Ok(written.max(0) as usize)
    }

    fn reset(&mut self) {
        // The library's own reset leaves the narrowband half of a wideband state as it was.
        if let Ok(new) = Self::new(self.mode, &self.options) {
            *self = new;
        }
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: made by `speex_encoder_init` and destroyed once.
        unsafe { ffi::speex_encoder_destroy(self.state.as_ptr()) };
    }
}

/// Decoder for either mode. In narrow mode it reads the narrowband layer of wideband packets, in wide mode it plays
/// narrowband packets too.
pub struct Decoder {
    state: NonNull<c_void>,
    bits: Bits,
    mode: FrameMode,
    guard: Guard,
}

// SAFETY: as for the encoder.
unsafe impl Send for Decoder {}

impl Decoder {
    /// With the perceptual enhancer on, as Flash Player and every phone have it.
    ///
    /// # Errors
    /// [`Error::Library`] when libspeex has no memory.
    pub fn new(mode: FrameMode) -> Result<Self, Error> {
        let bits = Bits::new()?;
        // SAFETY: the mode id is one of the three the library knows, so the mode pointer is valid and static.
        let state = unsafe { ffi::speex_decoder_init(ffi::speex_lib_get_mode(mode.id())) };
        let state = NonNull::new(state).ok_or(Error::Library("libspeex"))?;
        let decoder = Self {
            state,
            bits,
            mode,
            guard: Guard::new(),
        };
        decoder.control(ffi::SPEEX_SET_ENH, 1);
        Ok(decoder)
    }

    fn control(&self, request: c_int, mut value: c_int) {
        // SAFETY: the state is live, and every request used here reads at most one int.
        unsafe { ffi::speex_decoder_ctl(self.state.as_ptr(), request, (&raw mut value).cast()) };
    }

    fn decode_frame(&mut self, frame: &[u8], out: &mut [i16]) -> bool {
        debug_assert!(out.len() >= self.mode.frame_samples() && frame.len() <= MAX_FRAME_BYTES);
        // SAFETY: state and bits are live; `frame` is one frame found whole by the walker and far shorter than the
        // bit buffer; `out` holds one frame of this mode.
        unsafe {
            ffi::speex_bits_read_from(
                &mut self.bits.0,
                frame.as_ptr().cast::<c_char>(),
                frame.len() as c_int,
            );
            ffi::speex_decode_int(self.state.as_ptr(), &mut self.bits.0, out.as_mut_ptr()) == 0
        }
    }
}

impl crate::Decoder for Decoder {
    fn sample_rate(&self) -> u32 {
        self.mode.sample_rate()
    }

    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, Error> {
        let samples = self.mode.frame_samples();
        if out.len() < samples {
            return Err(Error::OutputTooSmall {
                want: samples,
                got: out.len(),
            });
        }
        let mut walk = split(payload, self.mode);
        let mut written = 0;
        for chunk in out.chunks_exact_mut(samples) {
            match walk.next() {
                Some(Ok(frame)) if self.decode_frame(frame.as_ref(), chunk) => {
                    self.guard.pass(chunk);
                    written += samples;
                }
                Some(Err(error)) if written == 0 => return Err(error),
                _ => break,
            }
        }
        if written == 0 {
            Err(Error::Truncated { bytes: payload.len() })
        } else {
            Ok(written)
        }
    }

    fn conceal(&mut self, out: &mut [i16]) -> usize {
        let mut frame = [0i16; 320];
        // SAFETY: no bits means a lost frame to the library; `frame` holds one frame of either mode.
        let result =
            unsafe { ffi::speex_decode_int(self.state.as_ptr(), std::ptr::null_mut(), frame.as_mut_ptr()) };
        if result != 0 {
            frame.fill(0);
        }
        self.guard.gap();
        self.guard.pass(&mut frame[..self.mode.frame_samples()]);
        let n = self.mode.frame_samples().min(out.len());
        out[..n].copy_from_slice(&frame[..n]);
        n
    }

    fn reset(&mut self) {
        // As for the encoder.
        if let Ok(new) = Self::new(self.mode) {
            *self = new;
        }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: made by `speex_decoder_init` and destroyed once.
        unsafe { ffi::speex_decoder_destroy(self.state.as_ptr()) };
    }
}

#[cfg(test)]
mod tests;
