//! Voice activity by energy above a tracked noise floor: finds the silence that may be dropped.

use crate::level::dbov;

/// How far above the floor a sound is taken for a voice, dB.
const MARGIN: f32 = 9.0;
/// What is below this is silence whatever the floor, dBov.
const QUIET: f32 = -60.0;
/// The floor never rises above this, so that steady loud sound (music, tones) stays active, dBov.
const HIGHEST_FLOOR: f32 = -38.0;
/// How fast the floor follows a rise, dB a second.
const RISE: f32 = 3.0;
/// How long a voice counts on after its end, ms: weak ends of words.
const HANGOVER_MS: u32 = 200;

/// Detector for one stream.
#[derive(Debug, Clone)]
pub struct Vad {
    rate: u32,
    floor: f32,
    /// Samples of hangover left.
    hangover: u32,
}

impl Vad {
    /// A detector for PCM at `rate` Hz.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        Self {
            rate: rate.max(1),
            floor: QUIET,
            hangover: 0,
        }
    }

    /// Takes a frame (10 to 30 ms fit) and tells whether it is active: voice, or its end.
    pub fn push(&mut self, pcm: &[i16]) -> bool {
        let level = dbov(pcm);
        let seconds = pcm.len() as f32 / self.rate as f32;
        self.floor = if level < self.floor {
            // Half way down each frame: one quiet frame in a pause is enough to find it.
            (self.floor + level.max(-90.0)) / 2.0
        } else {
            (self.floor + RISE * seconds).min(level).min(HIGHEST_FLOOR)
        };
        if level > QUIET && level > self.floor + MARGIN {
            self.hangover = self.rate * HANGOVER_MS / 1000;
            return true;
        }
        let active = self.hangover > 0;
        self.hangover = self.hangover.saturating_sub(pcm.len() as u32);
        active
    }

    /// The noise floor, dBov.
    #[must_use]
    pub fn floor(&self) -> f32 {
        self.floor
    }

    /// Forgets the past.
    pub fn reset(&mut self) {
        *self = Self::new(self.rate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::Tone;

    /// A frame of noise at about `dbov`, with a tone at `tone` dBov on top.
    fn frame(seed: &mut u32, noise: f32, tone: Option<f32>) -> [i16; 160] {
        let amplitude = 32_768.0 * 3f32.sqrt() * 10f32.powf(noise / 20.0);
        let mut pcm = [0; 160];
        if let Some(level) = tone {
            Tone::new(300.0, level, 8_000).fill(&mut pcm);
        }
        for sample in &mut pcm {
            *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *sample += ((*seed >> 8) as f32 / 8_388_608.0 * amplitude - amplitude) as i16;
        }
        pcm
    }

    #[test]
    fn speech_over_noise_is_found_at_once_and_its_end_after_the_hangover() {
        for noise in [-80.0, -60.0, -50.0, -42.0] {
            let mut vad = Vad::new(8_000);
            let mut seed = 1;
            for _ in 0..500 {
                vad.push(&frame(&mut seed, noise, None));
            }
            assert!(!vad.push(&frame(&mut seed, noise, None)), "noise at {noise}");
            for i in 0..50 {
                assert!(
                    vad.push(&frame(&mut seed, noise, Some(-25.0))),
                    "speech frame {i} over {noise}"
                );
            }
            let tail = (0..100)
                .take_while(|_| vad.push(&frame(&mut seed, noise, None)))
                .count();
            assert!((9..=11).contains(&tail), "hangover of {tail} frames over {noise}");
        }
    }

    #[test]
    fn steady_loud_sound_stays_active_and_digital_silence_does_not() {
        let mut vad = Vad::new(8_000);
        let mut seed = 1;
        assert!((0..5_000).all(|_| vad.push(&frame(&mut seed, -90.0, Some(-20.0)))));
        assert!((0..20).filter(|_| vad.push(&[0; 160])).count() <= 10);
        assert!(!vad.push(&[0; 160]));
        assert!(vad.floor() < -80.0);
    }
}
