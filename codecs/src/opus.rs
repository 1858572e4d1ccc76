//! Opus (RFC 6716, RFC 7587) over libopus: mono, 20 ms.

use crate::{EncoderOptions, Error};
use audiopus::coder::{Decoder as Inner, Encoder as InnerEncoder, GenericCtl};
use audiopus::packet::Packet;
use audiopus::{Application, Bitrate, Channels, MutSignals, SampleRate};

/// A frame of silence: full band, 20 ms, nothing coded.
pub(crate) const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];
/// The largest frame (RFC 6716 §3.2.1), with its table of contents.
pub(crate) const MAX_FRAME_BYTES: usize = 1_276;

/// How long a payload lasts, in ticks of 48 kHz, by its table of contents (RFC 6716 §3.1, §3.2): 2.5 to 120 ms; `None`
/// when it has none.
pub(crate) fn ticks(payload: &[u8]) -> Option<u32> {
    let &toc = payload.first()?;
    let frame = match (toc >> 3, u32::from(toc >> 3 & 3)) {
        // SILK: 10, 20, 40, 60 ms. Hybrid: 10, 20 ms. CELT: 2.5, 5, 10, 20 ms.
        (0..=11, 3) => 2_880,
        (0..=11, step) => 480 << step,
        (12..=15, step) => 480 << (step & 1),
        (_, step) => 120 << step,
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(payload.get(1)? & 0x3f),
    };
    Some(frame * frames).filter(|ticks| (1..=5_760).contains(ticks))
}

/// The rate of Opus nearest to what is asked for from above; 48 kHz for 0.
fn rate(asked: u32) -> (SampleRate, u32) {
    match asked {
        1..=8_000 => (SampleRate::Hz8000, 8_000),
        8_001..=12_000 => (SampleRate::Hz12000, 12_000),
        12_001..=16_000 => (SampleRate::Hz16000, 16_000),
        16_001..=24_000 => (SampleRate::Hz24000, 24_000),
        _ => (SampleRate::Hz48000, 48_000),
    }
}

/// Encoder for speech.
pub struct Encoder {
    inner: InnerEncoder,
    rate: u32,
}

impl Encoder {
    /// Takes rate, complexity, bit rate and expected loss from the options.
    ///
    /// # Errors
    /// [`Error::Library`] when libopus has no memory.
    pub fn new(options: &EncoderOptions) -> Result<Self, Error> {
        let (opus_rate, rate) = rate(options.sample_rate);
        let build = || {
            let mut inner = InnerEncoder::new(opus_rate, Channels::Mono, Application::Voip)?;
            inner.set_complexity(options.complexity.min(10))?;
            if options.bitrate > 0 {
                inner.set_bitrate(Bitrate::BitsPerSecond(
                    options.bitrate.clamp(6_000, 510_000) as i32
                ))?;
            }
            if options.loss_percent > 0 {
                inner.set_inband_fec(true)?;
                inner.set_packet_loss_perc(options.loss_percent.min(100))?;
            }
            Ok::<_, audiopus::Error>(inner)
        };
        build()
            .map(|inner| Self { inner, rate })
            .map_err(|_| Error::Library("libopus"))
    }
}

impl crate::Encoder for Encoder {
    fn sample_rate(&self) -> u32 {
        self.rate
    }

    fn frame_samples(&self) -> usize {
        self.rate as usize / 50
    }

    fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, Error> {
        let want = self.frame_samples();
        if pcm.len() != want {
            return Err(Error::FrameLength { want, got: pcm.len() });
        }
        let small = Error::OutputTooSmall {
            want: MAX_FRAME_BYTES,
            got: out.len(),
        };
        let room = out.get_mut(..MAX_FRAME_BYTES).ok_or(small)?;
        self.inner.encode(pcm, room).map_err(|_| small)
    }

    fn reset(&mut self) {
        // Cannot fail: a reset has no argument.
        let _ = self.inner.reset_state();
    }
}

/// Decoder with libopus' concealment. Stereo packets are mixed to mono.
pub struct Decoder {
    inner: Inner,
    rate: u32,
}

impl Decoder {
    /// A decoder to PCM at the rate asked for, or the next of 8, 12, 16, 24 and 48 kHz (0: 48 kHz).
    ///
    /// # Errors
    /// [`Error::Library`] when libopus has no memory.
    pub fn new(sample_rate: u32) -> Result<Self, Error> {
        let (opus_rate, rate) = rate(sample_rate);
        match Inner::new(opus_rate, Channels::Mono) {
            Ok(inner) => Ok(Self { inner, rate }),
            Err(_) => Err(Error::Library("libopus")),
        }
    }

    fn run(&mut self, packet: Option<Packet<'_>>, out: &mut [i16]) -> Option<usize> {
        let room = MutSignals::try_from(out).ok()?;
        self.inner.decode(packet, room, false).ok()
    }
}

impl crate::Decoder for Decoder {
    fn sample_rate(&self) -> u32 {
        self.rate
    }

    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, Error> {
        let truncated = Error::Truncated { bytes: payload.len() };
        let packet = || Packet::try_from(payload).map_err(|_| truncated);
        let want = self.inner.nb_samples(packet()?).map_err(|_| truncated)?;
        if want > out.len() {
            return Err(Error::OutputTooSmall { want, got: out.len() });
        }
        self.run(Some(packet()?), out)
            .filter(|n| *n > 0)
            .ok_or(Error::Malformed { bit: 0 })
    }

    fn conceal(&mut self, out: &mut [i16]) -> usize {
        let frame = self.rate as usize / 50;
        let mut scratch = [0; 960];
        let n = self
            .run(None, &mut scratch[..frame])
            .unwrap_or(0)
            .max(frame)
            .min(out.len());
        out[..n].copy_from_slice(&scratch[..n]);
        n
    }

    fn reset(&mut self) {
        // Cannot fail: a reset has no argument.
        let _ = self.inner.reset_state();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::{Tone, measure};
    use crate::{Decoder as _, Encoder as _};

    #[test]
    fn the_table_of_contents_tells_the_length() {
        for (payload, ms) in [
            (&[0x00u8, 1][..], 10.0),
            (&[0x08, 1], 20.0),
            (&[0x10], 40.0),
            (&[0x18], 60.0),
            (&[0x60], 10.0),
            (&[0x68], 20.0),
            (&[0x80], 2.5),
            (&[0xf8, 0xff], 20.0),
            (&[0xf9, 1], 40.0),
            (&[0xfb, 3], 60.0),
            (&[0xfb, 0x46], 120.0),
        ] {
            assert_eq!(super::ticks(payload), Some((ms * 48.0) as u32), "{payload:x?}");
        }
        for payload in [&[][..], &[0xfb], &[0xfb, 0], &[0xfb, 7], &[0x1b, 3]] {
            assert_eq!(super::ticks(payload), None, "{payload:x?}");
        }
    }

    #[test]
    fn tones_survive_at_every_rate() {
        for asked in [0, 8_000, 11_025, 16_000, 24_000, 48_000] {
            let options = EncoderOptions {
                sample_rate: asked,
                ..EncoderOptions::default()
            };
            let mut encoder = Encoder::new(&options).unwrap();
            let rate = encoder.sample_rate();
            let mut decoder = Decoder::new(asked).unwrap();
            assert_eq!(decoder.sample_rate(), rate);
            let mut pcm = vec![0; rate as usize];
            Tone::new(440.0, -20.0, rate).fill(&mut pcm);
            let mut out = Vec::new();
            for frame in pcm.chunks_exact(encoder.frame_samples()) {
                let mut bytes = [0; MAX_FRAME_BYTES];
                let n = encoder.encode(frame, &mut bytes).unwrap();
                let mut samples = [0; 960];
                let n = decoder.decode(&bytes[..n], &mut samples).unwrap();
                out.extend_from_slice(&samples[..n]);
            }
            let level = measure(&out[rate as usize / 4..], rate, 440.0);
            assert!((level + 20.0).abs() < 1.5, "{asked}: {level}");
        }
    }

    #[test]
    fn a_decoder_gives_the_rate_wanted_whatever_was_sent() {
        let mut encoder = Encoder::new(&EncoderOptions::default()).unwrap();
        let mut bytes = [0; MAX_FRAME_BYTES];
        let n = encoder.encode(&[100; 960], &mut bytes).unwrap();
        let mut out = [0; 960];
        for (rate, samples) in [(8_000, 160), (16_000, 320), (48_000, 960)] {
            let mut decoder = Decoder::new(rate).unwrap();
            assert_eq!(decoder.decode(&bytes[..n], &mut out), Ok(samples));
            assert_eq!(decoder.conceal(&mut out), samples);
            assert_eq!(
                decoder.decode(&bytes[..n], &mut out[..10]),
                Err(Error::OutputTooSmall {
                    want: samples,
                    got: 10
                })
            );
        }
    }

    #[test]
    fn bad_packets_are_errors() {
        let mut decoder = Decoder::new(48_000).unwrap();
        let mut out = [0; 5_760];
        assert_eq!(decoder.decode(&[], &mut out), Err(Error::Truncated { bytes: 0 }));
        assert!(decoder.decode(&[0x03], &mut out).is_err());
        assert!(decoder.decode(&[0xff, 0xff, 0xff], &mut out).is_err());
    }
}
