//! The two traits every codec implements, and their constructors.

use crate::{CodecId, Error, aac, codec, g711, g722, l16, mp3, nelly, opus, speex};

/// What an encoder is asked for. Values out of range are clamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncoderOptions {
    /// Rate of the PCM the caller has, Hz; 0 = the codec's own. A wish: [`Encoder::sample_rate`] is what counts.
    pub sample_rate: u32,
    /// Quality 0 ..= 10 (Speex), ignored by codecs of fixed rate.
    pub quality: u8,
    /// Processor effort 0 ..= 10 (Speex, Opus).
    pub complexity: u8,
    /// Bits a second for codecs steered by rate (Opus, AAC); 0 = the codec's default.
    pub bitrate: u32,
    /// Expected loss of the path, percent: lets a codec spend bits on redundancy (Opus in-band FEC).
    pub loss_percent: u8,
}

impl Default for EncoderOptions {
    fn default() -> Self {
        Self {
            sample_rate: 0,
            quality: 6,
            complexity: 1,
            bitrate: 0,
            loss_percent: 0,
        }
    }
}

/// Turns frames of PCM into payloads. Encoding never allocates.
pub trait Encoder: Send {
    /// Rate of the PCM it takes, Hz. May differ from the rate asked for: the caller resamples.
    fn sample_rate(&self) -> u32;

    /// Samples in one frame (20 ms for sample codecs, which take any other length too).
    fn frame_samples(&self) -> usize;

    /// Encodes exactly one frame into `out` and returns the bytes written.
    ///
    /// # Errors
    /// [`Error::FrameLength`] when `pcm` is no frame, [`Error::OutputTooSmall`] when `out` cannot hold it; the state
    /// is then as before.
    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, Error>;

    /// Forgets the past, as when the source changes. May allocate.
    fn reset(&mut self);
}

/// Turns payloads into PCM. Decoding and concealing never allocate, unless the stream changes its sampling rate.
pub trait Decoder: Send {
    /// Rate of the PCM it gives, Hz. May differ from the rate asked for: the caller resamples.
    fn sample_rate(&self) -> u32;

    /// Decodes one whole payload (any number of frames) and returns the samples written: 0 for a payload without sound
    /// (a configuration of AAC). Stops when `out` has no room for a further frame.
    ///
    /// # Errors
    /// [`Error::Truncated`] or [`Error::Malformed`] when not one frame could be decoded (the caller conceals),
    /// [`Error::OutputTooSmall`] when `out` cannot hold one frame.
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, Error>;

    /// Decodes what needs no memory of what came before ([`crate::Framing::Samples`]) without remembering it, and returns
    /// the samples written; 0 for other codecs.
    fn look(&self, payload: &[u8], out: &mut [i16]) -> usize {
        let _needs_memory = (payload, out);
        0
    }

    /// Fills in for one lost frame of 20 ms and returns the samples written: fewer only if `out` is shorter.
    fn conceal(&mut self, out: &mut [i16]) -> usize;

    /// Forgets the past, as when the sender changes. May allocate.
    fn reset(&mut self);
}

/// Makes an encoder.
///
/// Speex wideband asked for at 8,000 Hz gives narrowband frames, which a wideband receiver plays. Opus takes the next of
/// its rates.
///
/// # Errors
/// [`Error::Library`] when the C library has no memory, [`Error::NoEncoder`] for a codec that is only decoded.
pub fn encoder(id: CodecId, options: &EncoderOptions) -> Result<Box<dyn Encoder>, Error> {
    Ok(match id {
        CodecId::Pcmu => Box::new(g711::Encoder::new(g711::Law::Mu)),
        CodecId::Pcma => Box::new(g711::Encoder::new(g711::Law::A)),
        CodecId::SpeexNb => Box::new(speex::Encoder::new(speex::FrameMode::Narrow, options)?),
        CodecId::SpeexWb if options.sample_rate == 8_000 => {
            Box::new(speex::Encoder::new(speex::FrameMode::Narrow, options)?)
        }
        CodecId::SpeexWb => Box::new(speex::Encoder::new(speex::FrameMode::Wide, options)?),
        CodecId::L16_8 => Box::new(l16::Encoder::new(8_000)),
        CodecId::L16_16 => Box::new(l16::Encoder::new(16_000)),
        CodecId::Nelly8
        | CodecId::Nelly16
        | CodecId::Nelly5
        | CodecId::Nelly11
        | CodecId::Nelly22
        | CodecId::Nelly44 => Box::new(nelly::Encoder::new(codec(id).sample_rate)),
        CodecId::G722 => Box::new(g722::Encoder::default()),
        CodecId::Opus => Box::new(opus::Encoder::new(options)?),
        CodecId::Aac => Box::new(aac::Encoder::new(codec(id).sample_rate, options.bitrate)),
        CodecId::Mp3 => return Err(Error::NoEncoder(codec(id).label)),
    })
}

/// Makes a decoder that gives PCM at `sample_rate` Hz if the codec can, else at its own rate (0 = its own).
///
/// Speex wideband asked for at 8,000 Hz reads only the narrowband layer, at half the cost and without a resampler. Opus
/// decodes to 8, 12, 16, 24 or 48 kHz, AAC and MP3 to any rate from 8 to 48 kHz.
///
/// # Errors
/// [`Error::Library`] when the C library has no memory.
pub fn decoder(id: CodecId, sample_rate: u32) -> Result<Box<dyn Decoder>, Error> {
    Ok(match id {
        CodecId::Pcmu => Box::new(g711::Decoder::new(g711::Law::Mu)),
        CodecId::Pcma => Box::new(g711::Decoder::new(g711::Law::A)),
        CodecId::SpeexNb => Box::new(speex::Decoder::new(speex::FrameMode::Narrow)?),
        CodecId::SpeexWb if sample_rate == 8_000 => Box::new(speex::Decoder::new(speex::FrameMode::Narrow)?),
        CodecId::SpeexWb => Box::new(speex::Decoder::new(speex::FrameMode::Wide)?),
        CodecId::L16_8 => Box::new(l16::Decoder::new(8_000)),
        CodecId::L16_16 => Box::new(l16::Decoder::new(16_000)),
        CodecId::Nelly8
        | CodecId::Nelly16
        | CodecId::Nelly5
        | CodecId::Nelly11
        | CodecId::Nelly22
        | CodecId::Nelly44 => Box::new(nelly::Decoder::new(codec(id).sample_rate)),
        CodecId::G722 => Box::new(g722::Decoder::default()),
        CodecId::Opus => Box::new(opus::Decoder::new(sample_rate)?),
        CodecId::Aac => Box::new(aac::Decoder::new(sample_rate)),
        CodecId::Mp3 => Box::new(mp3::Decoder::new(sample_rate)),
    })
}
