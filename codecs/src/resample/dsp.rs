//! The resampler of libspeexdsp, for any pair of rates.

use crate::Error;
use crate::ffi;
use std::ffi::{c_int, c_void};
use std::ptr::NonNull;

pub(super) struct Dsp {
    state: NonNull<c_void>,
}

// SAFETY: the library keeps no thread-bound data; a state belongs to whoever holds it, and `&mut self` guards each use.
unsafe impl Send for Dsp {}

impl Dsp {
    pub(super) fn new(from: u32, to: u32, quality: u8) -> Result<Self, Error> {
        let mut error: c_int = 0;
        // SAFETY: one channel, rates other than zero, quality within 0 ..= 10; `error` is a valid place.
        let state =
            unsafe { ffi::speex_resampler_init(1, from, to, c_int::from(quality.min(10)), &raw mut error) };
        NonNull::new(state)
            .map(|state| Self { state })
            .ok_or(Error::Library("libspeexdsp"))
    }

    pub(super) fn process(&mut self, input: &[i16], out: &mut [i16]) -> usize {
        let (mut taken, mut written) = (input.len() as u32, out.len() as u32);
        // SAFETY: the state is live; the lengths are those of the slices; the library reads and writes no further.
        unsafe {
            ffi::speex_resampler_process_int(
                self.state.as_ptr(),
                0,
                input.as_ptr(),
                &raw mut taken,
                out.as_mut_ptr(),
                &raw mut written,
            );
        }
        (written as usize).min(out.len())
    }

    pub(super) fn latency(&self) -> usize {
        // SAFETY: the state is live, and the call only reads it.
        unsafe { ffi::speex_resampler_get_output_latency(self.state.as_ptr()) }.max(0) as usize
    }

    pub(super) fn reset(&mut self) {
        // SAFETY: the state is live.
        unsafe { ffi::speex_resampler_reset_mem(self.state.as_ptr()) };
    }
}

impl Drop for Dsp {
    fn drop(&mut self) {
        // SAFETY: made by `speex_resampler_init` and destroyed once.
        unsafe { ffi::speex_resampler_destroy(self.state.as_ptr()) };
    }
}
