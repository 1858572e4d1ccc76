//! Audio codecs behind one table, and the signal processing around them.
//!
//! PCM is mono `i16` at the stated rate; buffers are the caller's; nothing allocates after construction. A codec is a
//! row of [`TABLE`] plus a module: no other crate knows one by name (README.md, "How to add a codec").

mod codec;
mod error;
mod ffi;
mod streamed;
mod table;

pub mod aac;
pub mod conceal;
pub mod dtmf;
pub mod g711;
pub mod g722;
pub mod l16;
pub mod level;
pub mod mix;
pub mod mp3;
pub mod nelly;
pub mod opus;
pub mod reframe;
pub mod resample;
pub mod speex;
pub mod stretch;
pub mod tone;
pub mod vad;

pub use codec::{Decoder, Encoder, EncoderOptions, decoder, encoder};
pub use error::Error;
pub use table::{Codec, CodecId, Framing, TABLE, by_flv_tag, by_rtp, by_static_pt, codec};
