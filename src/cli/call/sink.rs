//! What a call hears: decoded, counted, recorded, and searched for marks.

use base::Time;
use codecs::resample::Resampler;
use codecs::{CodecId, Decoder};

use super::marks::{self, Listener, RoundTrip};
use super::stats::Received;
use super::wav::Recorder;

/// Samples one message may decode to: 1,152 at 8 kHz, brought to 48 kHz, and some.
const MOST: usize = 8_000;

/// The decoder of the codec that comes, and the way down to the rate of the marks.
struct Voice {
    id: CodecId,
    decoder: Box<dyn Decoder>,
    down: Resampler,
    /// To the rate of the recording, when that differs.
    recording: Option<Resampler>,
}

/// Takes FLV audio tag bodies.
pub(super) struct Sink {
    pub(super) received: Received,
    pub(super) listener: Listener,
    pub(super) round_trips: Vec<RoundTrip>,
    /// The codec that came last.
    pub(super) codec: Option<CodecId>,
    /// Decoding costs more than all else: with many calls only some do.
    pub(super) deaf: bool,
    voice: Option<Voice>,
    recorder: Option<Recorder>,
    pcm: Vec<i16>,
    scratch: Vec<i16>,
}

/// The rate of a recording, in Hz: the widest that comes.
pub(super) const RECORDING_RATE: u32 = 16_000;

impl Sink {
    pub(super) fn new() -> Sink {
        Sink {
            received: Received::default(),
            listener: Listener::new(),
            round_trips: Vec::new(),
            codec: None,
            deaf: false,
            voice: None,
            recorder: None,
            pcm: vec![0; MOST],
            scratch: vec![0; 4 * MOST],
        }
    }

    /// Records from now on; the recorder's rate is [`RECORDING_RATE`].
    pub(super) fn record(&mut self, recorder: Recorder) {
        self.recorder = Some(recorder);
    }

    /// Ends the recording.
    pub(super) fn finish(&mut self) -> Result<(), String> {
        self.recorder.take().map_or(Ok(()), Recorder::finish)
    }

    /// Takes the body of an audio message; its timestamp is in ms. Fails when the recording does.
    pub(super) fn audio(&mut self, now: Time, timestamp: u32, tag: &[u8]) -> Result<(), String> {
        let Some((first, payload)) = tag.split_first() else {
            return Ok(());
        };
        let Some(id) = codecs::by_flv_tag(*first) else {
            self.received.frame(now, timestamp, 20);
            return Ok(());
        };
        self.codec = Some(id);
        if self.deaf {
            self.received.frame(now, timestamp, 20);
            return Ok(());
        }
        let fail = |e: codecs::Error| format!("cannot decode: {e}");
        if self.voice.as_ref().is_none_or(|v| v.id != id) {
            self.voice = Some(voice(id).map_err(fail)?);
        }
        let Some(voice) = &mut self.voice else {
            return Ok(());
        };
        let rate = voice.decoder.sample_rate() as usize;
        // A frame that cannot be decoded is a gap of the usual length.
        let n = voice.decoder.decode(payload, &mut self.pcm).unwrap_or(0);
        let ms = if n == 0 {
            20
        } else {
            u32::try_from(n * 1000 / rate).unwrap_or(20)
        };
        self.received.frame(now, timestamp, ms);
        let heard = self.pcm.get(..n).unwrap_or_default();

        let n = voice.down.process(heard, &mut self.scratch);
        let low = self.scratch.get(..n).unwrap_or_default();
        self.round_trips.extend(self.listener.heard(low, now));

        if let Some(recorder) = &mut self.recorder {
            match &mut voice.recording {
                Some(up) => {
                    let n = up.process(heard, &mut self.scratch);
                    recorder.write(self.scratch.get(..n).unwrap_or_default())?;
                }
                None => recorder.write(heard)?,
            }
        }
        Ok(())
    }
}

fn voice(id: CodecId) -> Result<Voice, codecs::Error> {
    let decoder = codecs::decoder(id, 0)?;
    let rate = decoder.sample_rate();
    let recording = match rate {
        RECORDING_RATE => None,
        _ => Some(Resampler::new(rate, RECORDING_RATE, 8)?),
    };
    Ok(Voice {
        id,
        down: Resampler::new(rate, marks::RATE as u32, 3)?,
        decoder,
        recording,
    })
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sink({:?}, {} frames)", self.codec, self.received.frames)
    }
}
