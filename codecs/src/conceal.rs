//! Packet loss concealment for codecs that have none (G.711, L16).
//!
//! The idea of ITU-T G.711 Appendix I, without its 3.75 ms of delay: repeat the last pitch period, lengthen the
//! repeated stretch as the gap grows so that it does not buzz, fade out, and cross-fade back into the next good frame.

const SHORTEST_PERIOD_MS: usize = 5;
const LONGEST_PERIOD_MS: usize = 15;
/// Longest gap that is filled with sound, ms; behind it stands silence.
const FADE_END_MS: usize = 60;
/// The first stretch of a gap is repeated at full level, ms.
const FADE_START_MS: usize = 10;

/// Concealer for one stream of PCM.
#[derive(Debug, Clone)]
pub struct Concealer {
    rate: usize,
    /// The last samples played, oldest first: three of the longest periods and a quarter.
    history: Box<[i16]>,
    /// The history as it stood when the gap began.
    before: Box<[i16]>,
    /// Pitch period, samples.
    period: usize,
    /// Length of the stretch being repeated, and of the one after it, in periods.
    cycle: (usize, usize),
    /// Position in the stretch.
    at: usize,
    /// Samples concealed since the last good one.
    lost: usize,
    /// The step at the beginning of the gap, which is bent away.
    step: f32,
}

impl Concealer {
    /// A concealer for PCM at `rate` Hz (8,000 to 48,000).
    #[must_use]
    pub fn new(rate: u32) -> Self {
        let rate = (rate as usize).clamp(8_000, 48_000);
        let longest = rate * LONGEST_PERIOD_MS / 1000;
        let history: Box<[i16]> = vec![0; longest * 3 + longest / 4].into();
        Self {
            rate,
            before: history.clone(),
            history,
            period: longest,
            cycle: (1, 1),
            at: 0,
            lost: 0,
            step: 0.0,
        }
    }

    /// Forgets the past.
    pub fn reset(&mut self) {
        self.history.fill(0);
        self.lost = 0;
    }

    /// Passes decoded PCM on. After a gap its beginning is cross-faded, in place, with what was made up.
    pub fn good(&mut self, pcm: &mut [i16]) {
        if self.lost > 0 {
            // 4 ms and 4 more for every 10 ms lost, 10 ms at most.
            let ms = (4 + 4 * (self.lost * 100 / self.rate)).min(10);
            let fade = (self.rate * ms / 1000).min(pcm.len());
            for (i, sample) in pcm.iter_mut().take(fade).enumerate() {
                let up = (i + 1) as f32 / (fade + 1) as f32;
                let made_up = self.next_sample();
                *sample = (f32::from(*sample) * up + made_up * (1.0 - up)) as i16;
            }
            self.lost = 0;
        }
        self.remember(pcm);
    }

    /// Makes up samples for a gap: fills `out`.
    pub fn conceal(&mut self, out: &mut [i16]) {
        if self.lost == 0 && !out.is_empty() {
            self.before.copy_from_slice(&self.history);
            self.period = pitch_period(&self.before, self.rate);
            self.cycle = (1, 1);
            self.at = 0;
            self.step = self.back(1) - self.back(1 + self.period);
        }
        for sample in out.iter_mut() {
            *sample = self.next_sample() as i16;
        }
        self.remember(out);
    }

    fn remember(&mut self, pcm: &[i16]) {
        let len = self.history.len();
        if let Some(skip) = pcm.len().checked_sub(len) {
            self.history.copy_from_slice(&pcm[skip..]);
        } else {
            self.history.copy_within(pcm.len().., 0);
            self.history[len - pcm.len()..].copy_from_slice(pcm);
        }
    }

    /// The sample `n` places before the gap.
    fn back(&self, n: usize) -> f32 {
        f32::from(self.before[self.before.len() - n])
    }

    fn next_sample(&mut self) -> f32 {
        let len = self.period * self.cycle.0;
        let overlap = self.period / 4;
        let mut sample = self.back(len - self.at);
        if let Some(i) = (self.at + overlap).checked_sub(len) {
            // The end of the stretch is faded into what precedes the start of the next one.
            if i == 0 {
                self.cycle.1 = (self.lost * 100 / self.rate + 1).min(3);
            }
            let up = (i + 1) as f32 / (overlap + 1) as f32;
            sample = sample * (1.0 - up) + self.back(self.period * self.cycle.1 + overlap - i) * up;
        }
        self.at += 1;
        if self.at >= len {
            self.at = 0;
            self.cycle.0 = self.cycle.1;
        }

        let bend = self.rate / 500;
        if self.lost < bend {
            sample += self.step * (1.0 - self.lost as f32 / bend as f32);
        }
        let start = FADE_START_MS * self.rate / 1000;
        let end = FADE_END_MS * self.rate / 1000;
        if self.lost > start {
            sample *= end.saturating_sub(self.lost) as f32 / (end - start) as f32;
        }
        self.lost = self.lost.saturating_add(1).min(end);
        sample.clamp(-32_768.0, 32_767.0)
    }
}

/// Finds the pitch period at the end of `pcm` (at least 49 ms of it), samples; 5 to 15 ms. Searched at about 8 kHz, then
/// refined.
fn pitch_period(pcm: &[i16], rate: usize) -> usize {
    let stride = (rate / 8_000).max(1);
    let (shortest, longest) = (rate * SHORTEST_PERIOD_MS / 1000, rate * LONGEST_PERIOD_MS / 1000);
    let window = rate / 50;
    let recent = &pcm[pcm.len() - window..];
    let score = |lag: usize| {
        let earlier = &pcm[pcm.len() - window - lag..pcm.len() - lag];
        let (mut product, mut energy) = (0.0f32, 1.0f32);
        for (a, b) in recent.iter().step_by(stride).zip(earlier.iter().step_by(stride)) {
            product += f32::from(*a) * f32::from(*b);
            energy += f32::from(*b) * f32::from(*b);
        }
        product / energy.sqrt()
    };
    let best_of = |lags: &mut dyn Iterator<Item = usize>| {
        let mut best = (shortest, f32::MIN);
        for lag in lags {
            let score = score(lag);
            if score > best.1 {
                best = (lag, score);
            }
        }
        best.0
    };
    let coarse = best_of(&mut (shortest..=longest).step_by(stride));
    let (from, to) = (
        coarse.saturating_sub(stride - 1).max(shortest),
        (coarse + stride - 1).min(longest),
    );
    best_of(&mut (from..=to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::dbov;

    fn tone(rate: u32, hz: f32, n: usize) -> Vec<i16> {
        (0..n)
            .map(|i| (8000.0 * (i as f32 * hz * std::f32::consts::TAU / rate as f32).sin()) as i16)
            .collect()
    }

    /// Largest difference between neighbours.
    fn roughest(pcm: &[i16]) -> i32 {
        pcm.windows(2)
            .map(|w| (i32::from(w[1]) - i32::from(w[0])).abs())
            .max()
            .unwrap()
    }

    #[test]
    fn a_lost_frame_of_a_voiced_sound_is_hardly_heard() {
        for rate in [8_000u32, 16_000, 48_000] {
            for hz in [110.0, 197.0, 303.0] {
                let frame = rate as usize / 50;
                let original = tone(rate, hz, frame * 20);
                let mut concealer = Concealer::new(rate);
                let mut out = Vec::new();
                for (i, chunk) in original.chunks(frame).enumerate() {
                    let mut pcm = chunk.to_vec();
                    if i == 10 {
                        concealer.conceal(&mut pcm)
                    } else {
                        concealer.good(&mut pcm)
                    }
                    out.extend(pcm);
                }
                let gap = 10 * frame..11 * frame;
                let error: Vec<i16> = out[gap.clone()]
                    .iter()
                    .zip(&original[gap.clone()])
                    .map(|(a, b)| a.saturating_sub(*b))
                    .collect();
                let (signal, error) = (dbov(&original[gap.clone()]), dbov(&error));
                assert!(
                    signal - error > 8.0,
                    "{rate} {hz}: error {error:.1} for signal {signal:.1}"
                );
                // No clicks: nowhere rougher than one and a half times the tone itself.
                let near = &out[gap.start - 10..gap.end + frame];
                assert!(
                    roughest(near) < roughest(&original) * 3 / 2,
                    "{rate} {hz}: {}",
                    roughest(near)
                );
            }
        }
    }

    #[test]
    fn a_long_gap_fades_to_silence_and_comes_back() {
        let original = tone(8_000, 180.0, 160 * 20);
        let mut concealer = Concealer::new(8_000);
        concealer.good(&mut original[..1600].to_vec());
        let mut level = 0.0;
        for i in 0..6 {
            let mut frame = [0i16; 160];
            concealer.conceal(&mut frame);
            let now = dbov(&frame);
            assert!(
                i == 0 || now < level || now < -90.0,
                "frame {i}: {now} after {level}"
            );
            level = now;
        }
        assert!(level < -90.0, "{level}");
        let mut frame = original[1600..1760].to_vec();
        concealer.good(&mut frame);
        assert_eq!(
            frame[80..],
            original[1680..1760],
            "only the first 10 ms are faded"
        );
        assert!(frame[0].abs() < 1000 && dbov(&frame) > -20.0);
    }

    #[test]
    fn silence_stays_silence_and_full_scale_does_not_wrap() {
        let mut concealer = Concealer::new(16_000);
        let mut frame = [1i16; 320];
        concealer.conceal(&mut frame);
        assert_eq!(frame, [0; 320]);
        let mut square: Vec<i16> = (0..3200)
            .map(|i| if i / 80 % 2 == 0 { i16::MAX } else { i16::MIN })
            .collect();
        concealer.good(&mut square);
        concealer.conceal(&mut frame);
        let edges = frame
            .windows(2)
            .filter(|w| (i32::from(w[0]) - i32::from(w[1])).abs() > 30_000)
            .count();
        assert!((2..=5).contains(&edges), "{edges}");
    }
}
