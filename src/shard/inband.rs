//! Digits that a peer only sounds: heard in its audio when it has not negotiated telephone-event.

use codecs::dtmf::{Detector, Event};
use codecs::{CodecId, Decoder};

/// Longest frame, in samples: 60 ms at 16 kHz, and what a strange peer may add.
const SAMPLES: usize = 1_920;

/// Listens for digits in what a peer sends.
pub(super) struct InBand {
    codec: CodecId,
    decoder: Box<dyn Decoder>,
    detector: Detector,
    pcm: Box<[i16]>,
}

impl InBand {
    /// A listener for a codec; `None` for those that bend tones, or cost too much to decode for this alone.
    pub(super) fn new(codec: CodecId) -> Option<InBand> {
        if !matches!(
            codec,
            CodecId::Pcmu | CodecId::Pcma | CodecId::L16_8 | CodecId::L16_16
        ) {
            return None;
        }
        let decoder = codecs::decoder(codec, 0).ok()?;
        Some(InBand {
            codec,
            detector: Detector::new(decoder.sample_rate()),
            decoder,
            pcm: vec![0; SAMPLES].into(),
        })
    }

    /// The codec it was made for.
    pub(super) fn codec(&self) -> CodecId {
        self.codec
    }

    /// Hears a frame; the digit that began in it, if one did.
    pub(super) fn hear(&mut self, payload: &[u8]) -> Option<char> {
        let samples = self.decoder.decode(payload, &mut self.pcm).ok()?;
        let mut began = None;
        self.detector.push(self.pcm.get(..samples)?, |event| {
            if let Event::Start(digit) = event {
                began = Some(digit);
            }
        });
        began
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digit_is_heard_once_in_g711_and_not_in_speech_codecs() {
        let mut listener = InBand::new(CodecId::Pcmu).unwrap();
        let mut encoder = codecs::encoder(CodecId::Pcmu, &Default::default()).unwrap();
        let mut tone = codecs::dtmf::tone('7', -10.0, 8_000).unwrap();
        let mut heard = Vec::new();
        for n in 0..20 {
            let mut pcm = [0; 160];
            if (5..10).contains(&n) {
                tone.fill(&mut pcm);
            }
            let mut payload = [0; 320];
            let len = encoder.encode(&pcm, &mut payload).unwrap();
            heard.extend(listener.hear(&payload[..len]));
        }
        assert_eq!(heard, ['7']);
        assert!(InBand::new(CodecId::SpeexWb).is_none());
    }
}
