//! What a call says: marks, or a WAV file between marks, encoded once and shared by all calls.

use std::time::Duration;

use codecs::resample::Resampler;
use codecs::{CodecId, EncoderOptions};

use super::marks;
use super::wav::Audio;

/// Marks of a loop: all that can be told apart.
const LOOP: usize = 16;
/// The offset of a mark in its second, in samples: not at the edge of a frame.
const OFFSET: usize = marks::RATE / 4 + 40;

/// One audio message: one frame of the codec, 20 ms of those that have none of their own.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// FLV audio tag body.
    pub(super) tag: Vec<u8>,
    /// A mark begins in this frame: its number and how far in.
    pub(super) mark: Option<(usize, Duration)>,
}

/// The codecs this client speaks, by the name on its command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Codec {
    /// Speex wideband
    Speex,
    /// Nellymoser, 8 kHz
    Nelly,
    /// G.711 mu-law
    Pcmu,
    /// G.711 A-law
    Pcma,
}

impl Codec {
    pub(super) const fn id(self) -> CodecId {
        match self {
            Codec::Speex => CodecId::SpeexWb,
            Codec::Nelly => CodecId::Nelly8,
            Codec::Pcmu => CodecId::Pcmu,
            Codec::Pcma => CodecId::Pcma,
        }
    }

    pub(super) fn label(self) -> &'static str {
        codecs::codec(self.id()).label
    }

    /// Audio in one message, ms.
    pub(super) fn frame_ms(self) -> u32 {
        let row = codecs::codec(self.id());
        row.frame() as u32 * 1000 / row.sample_rate
    }
}

/// Everything a call may say.
#[derive(Debug)]
pub(super) struct Source {
    /// 16 s of marks, to be repeated.
    marks: Vec<Frame>,
    /// The file, to be said once.
    file: Vec<Frame>,
    /// Without marks: silence where they would stand.
    pub(super) quiet: bool,
    /// Audio in one message, ms.
    pub(super) frame_ms: u32,
}

impl Source {
    /// Encodes marks and file.
    pub(super) fn new(codec: Codec, file: Option<&Audio>, quiet: bool) -> Result<Source, String> {
        let marks = if quiet {
            // One frame, to be repeated.
            encode(
                codec,
                &vec![0; marks::RATE * codec.frame_ms() as usize / 1000],
                marks::RATE as u32,
            )?
        } else {
            marks_loop(codec)?
        };
        let file = match file {
            Some(audio) => encode(codec, &audio.samples, audio.rate)?,
            None => Vec::new(),
        };
        Ok(Source {
            marks,
            file,
            quiet,
            frame_ms: codec.frame_ms(),
        })
    }

    /// The `n`-th frame of the marks, which repeat for ever.
    pub(super) fn mark_frame(&self, n: usize) -> Option<&Frame> {
        self.marks.get(n % self.marks.len().max(1))
    }

    /// The frames of the file.
    pub(super) fn file(&self) -> &[Frame] {
        &self.file
    }
}

fn marks_loop(codec: Codec) -> Result<Vec<Frame>, String> {
    // A low hum between the marks: audio that no one takes for silence and leaves out.
    let hum = |i: usize| {
        let t = i as f64 / marks::RATE as f64;
        (400.0 * (std::f64::consts::TAU * 250.0 * t).sin()) as i16
    };
    let mut samples: Vec<i16> = (0..LOOP * marks::INTERVAL).map(hum).collect();
    for n in 0..LOOP {
        let at = n * marks::INTERVAL + OFFSET;
        if let Some(place) = samples.get_mut(at..at + marks::LENGTH) {
            place.copy_from_slice(&marks::mark(n));
        }
    }
    let mut frames = encode(codec, &samples, marks::RATE as u32)?;
    let per_frame = marks::RATE * codec.frame_ms() as usize / 1000;
    for n in 0..LOOP {
        let at = n * marks::INTERVAL + OFFSET;
        if let Some(frame) = frames.get_mut(at / per_frame) {
            let within = Duration::from_secs_f64((at % per_frame) as f64 / marks::RATE as f64);
            frame.mark = Some((n, within));
        }
    }
    Ok(frames)
}

/// Samples at `rate` as messages of a frame each; the last is filled with silence.
fn encode(codec: Codec, samples: &[i16], rate: u32) -> Result<Vec<Frame>, String> {
    let row = codecs::codec(codec.id());
    let fail = |e: codecs::Error| format!("cannot encode {}: {e}", row.label);
    let options = EncoderOptions {
        // Our own encoder is the reference that others are heard through: spend effort on it.
        quality: 8,
        complexity: 3,
        ..EncoderOptions::default()
    };
    let mut encoder = codecs::encoder(codec.id(), &options).map_err(fail)?;
    let mut samples = resample(samples, rate, encoder.sample_rate())?;
    let frame = encoder.frame_samples();
    samples.resize(samples.len().next_multiple_of(frame), 0);
    let mut out = vec![0; row.max_frame_bytes];
    let mut frames = Vec::with_capacity(samples.len() / frame);
    for pcm in samples.chunks_exact(frame) {
        let n = encoder.encode(pcm, &mut out).map_err(fail)?;
        let mut tag = vec![tag_byte(row)];
        tag.extend(out.get(..n).unwrap_or_default());
        frames.push(Frame { tag, mark: None });
    }
    Ok(frames)
}

/// The first byte of an FLV audio tag body: format, 16 bit, mono; the rate bits say nothing for these codecs.
fn tag_byte(row: &codecs::Codec) -> u8 {
    row.flv.unwrap_or_default() << 4 | 0b10
}

/// All of `samples` at another rate, with the filter's delay taken off.
pub(super) fn resample(samples: &[i16], from: u32, to: u32) -> Result<Vec<i16>, String> {
    if from == to {
        return Ok(samples.to_vec());
    }
    let mut resampler = Resampler::new(from, to, 8).map_err(|e| format!("cannot resample: {e}"))?;
    let latency = resampler.latency();
    // What comes late is pushed out by as much silence.
    let tail = (latency as u64 * u64::from(from)).div_ceil(u64::from(to)) as usize + 1;
    let input = [samples, &vec![0; tail]].concat();
    let mut out = vec![0; resampler.max_out(input.len())];
    let mut got = 0;
    for piece in input.chunks(1024) {
        let Some(room) = out.get_mut(got..) else { break };
        got += resampler.process(piece, room);
    }
    let wanted = (samples.len() as u64 * u64::from(to) / u64::from(from)) as usize;
    Ok(out.into_iter().take(got).skip(latency).take(wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::call::sink::Sink;
    use base::Time;

    #[test]
    fn a_second_is_a_second_in_any_codec_and_from_any_rate() {
        for codec in [Codec::Speex, Codec::Nelly, Codec::Pcmu, Codec::Pcma] {
            for rate in [8_000, 11_025, 16_000, 44_100, 48_000] {
                let audio = Audio {
                    rate,
                    samples: vec![100; rate as usize],
                };
                let source = Source::new(codec, Some(&audio), true).unwrap();
                let frames = 1000usize.div_ceil(source.frame_ms as usize);
                assert!(
                    (frames..=frames + 1).contains(&source.file().len()),
                    "{codec:?} {rate}: {}",
                    source.file().len()
                );
            }
        }
    }

    /// What every codec does to a mark: an echo without any delay must show the codec's own delay only.
    #[test]
    fn marks_survive_every_codec() {
        for codec in [Codec::Speex, Codec::Nelly, Codec::Pcmu, Codec::Pcma] {
            let source = Source::new(codec, None, false).unwrap();
            let mut sink = Sink::new();
            let ms = source.frame_ms;
            for i in 0..16_000 / ms {
                let frame = source.mark_frame(i as usize).unwrap();
                let now = Time::from_millis(1_000 + u64::from(ms * i));
                if let Some((n, within)) = frame.mark {
                    sink.listener.sent(n, now + within);
                }
                sink.audio(now, ms * i, &frame.tag).unwrap();
            }
            assert!(
                sink.round_trips.len() >= 14,
                "{codec:?}: {}",
                sink.round_trips.len()
            );
            let most = match codec {
                Codec::Speex => 35.0,
                Codec::Nelly => 40.0,
                Codec::Pcmu | Codec::Pcma => 1.0,
            };
            for trip in &sink.round_trips {
                let ms = trip.delay.as_secs_f64() * 1000.0;
                assert!(ms <= most, "{codec:?}: {ms}");
            }
        }
    }
}
