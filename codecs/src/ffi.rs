//! Declarations of libspeex 1.2 and libspeexdsp 1.2, by hand from their manuals: only what is called.

use std::ffi::{c_char, c_int, c_void};

/// `SpeexBits` of `speex_bits.h`: a bit buffer the library allocates and owns.
#[repr(C)]
pub(crate) struct SpeexBits {
    chars: *mut c_char,
    nb_bits: c_int,
    char_ptr: c_int,
    bit_ptr: c_int,
    owner: c_int,
    overflow: c_int,
    buf_size: c_int,
    reserved1: c_int,
    reserved2: *mut c_void,
}

impl SpeexBits {
    pub(crate) const EMPTY: Self = Self {
        chars: std::ptr::null_mut(),
        nb_bits: 0,
        char_ptr: 0,
        bit_ptr: 0,
        owner: 0,
        overflow: 0,
        buf_size: 0,
        reserved1: 0,
        reserved2: std::ptr::null_mut(),
    };

    /// Whether `speex_bits_init` got its buffer.
    pub(crate) fn is_ready(&self) -> bool {
        !self.chars.is_null()
    }
}

pub(crate) const SPEEX_SET_ENH: c_int = 0;
pub(crate) const SPEEX_SET_QUALITY: c_int = 4;
pub(crate) const SPEEX_SET_COMPLEXITY: c_int = 16;
pub(crate) const SPEEX_MODEID_NB: c_int = 0;
pub(crate) const SPEEX_MODEID_WB: c_int = 1;

unsafe extern "C" {
    pub(crate) fn speex_lib_get_mode(mode: c_int) -> *const c_void;
    pub(crate) fn speex_encoder_init(mode: *const c_void) -> *mut c_void;
    pub(crate) fn speex_encoder_destroy(state: *mut c_void);
    pub(crate) fn speex_encode_int(state: *mut c_void, pcm: *mut i16, bits: *mut SpeexBits) -> c_int;
    pub(crate) fn speex_encoder_ctl(state: *mut c_void, request: c_int, value: *mut c_void) -> c_int;
    pub(crate) fn speex_decoder_init(mode: *const c_void) -> *mut c_void;
    pub(crate) fn speex_decoder_destroy(state: *mut c_void);
    pub(crate) fn speex_decode_int(state: *mut c_void, bits: *mut SpeexBits, pcm: *mut i16) -> c_int;
    pub(crate) fn speex_decoder_ctl(state: *mut c_void, request: c_int, value: *mut c_void) -> c_int;

    pub(crate) fn speex_bits_init(bits: *mut SpeexBits);
    pub(crate) fn speex_bits_destroy(bits: *mut SpeexBits);
    pub(crate) fn speex_bits_reset(bits: *mut SpeexBits);
    pub(crate) fn speex_bits_read_from(bits: *mut SpeexBits, bytes: *const c_char, len: c_int);
    pub(crate) fn speex_bits_write(bits: *mut SpeexBits, bytes: *mut c_char, max_len: c_int) -> c_int;

    pub(crate) fn speex_resampler_init(
        channels: u32,
        in_rate: u32,
        out_rate: u32,
        quality: c_int,
        err: *mut c_int,
    ) -> *mut c_void;
    pub(crate) fn speex_resampler_destroy(state: *mut c_void);
    pub(crate) fn speex_resampler_process_int(
        state: *mut c_void,
        channel: u32,
        input: *const i16,
        in_len: *mut u32,
        output: *mut i16,
        out_len: *mut u32,
    ) -> c_int;
    pub(crate) fn speex_resampler_reset_mem(state: *mut c_void) -> c_int;
    pub(crate) fn speex_resampler_get_output_latency(state: *mut c_void) -> c_int;
}
