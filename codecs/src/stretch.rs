//! Shortens and lengthens speech by one pitch period at a time (WSOLA): time is made up for without a change of pitch.

const SHORTEST_PERIOD_US: usize = 2_500;
const LONGEST_PERIOD_US: usize = 12_500;

/// Time stretcher for PCM at one rate.
#[derive(Debug, Clone)]
pub struct Stretch {
    rate: usize,
    shortest: usize,
    longest: usize,
}

impl Stretch {
    /// A stretcher for PCM at `rate` Hz (8,000 to 48,000).
    #[must_use]
    pub fn new(rate: u32) -> Self {
        let rate = (rate as usize).clamp(8_000, 48_000);
        Self {
            rate,
            shortest: rate * SHORTEST_PERIOD_US / 1_000_000,
            longest: rate * LONGEST_PERIOD_US / 1_000_000,
        }
    }

    /// Copies `pcm` to `out` without one of its pitch periods (2.5 to 12.5 ms, at most half of `pcm`; cross-faded) and
    /// returns the samples written. Begins and ends exactly as `pcm` does, so frames still join. Nothing is removed
    /// from less than 5 ms, and nothing where a sound begins or breaks off: then all is copied.
    pub fn compress(&mut self, pcm: &[i16], out: &mut [i16]) -> usize {
        self.compress_at_most(usize::MAX, pcm, out)
    }

    /// The same, but removes no more than `most` samples: exactly those where that is less than a period can be.
    pub fn compress_at_most(&mut self, most: usize, pcm: &[i16], out: &mut [i16]) -> usize {
        let n = pcm.len();
        let Some((period, overlap)) = self.plan(pcm, most).filter(|(p, _)| out.len() >= n - p) else {
            return copy(pcm, out);
        };
        let (head, tail) = out[..n - period].split_at_mut(overlap);
        fade(&pcm[..overlap], &pcm[period..period + overlap], head);
        tail.copy_from_slice(&pcm[period + overlap..]);
        n - period
    }

    /// Copies `pcm` to `out` with one of its pitch periods repeated and returns the samples written; the conditions are
    /// those of [`Self::compress`].
    pub fn expand(&mut self, pcm: &[i16], out: &mut [i16]) -> usize {
        let n = pcm.len();
        let Some((period, overlap)) = self.plan(pcm, usize::MAX).filter(|(p, _)| out.len() >= n + p) else {
            return copy(pcm, out);
        };
        let (head, rest) = out[..n + period].split_at_mut(period);
        let (middle, tail) = rest.split_at_mut(overlap);
        head.copy_from_slice(&pcm[..period]);
        fade(&pcm[period..period + overlap], &pcm[..overlap], middle);
        tail.copy_from_slice(&pcm[overlap..]);
        n + period
    }

    /// Finds the period, of at most `most` samples, and the length of the cross-fade.
    fn plan(&self, pcm: &[i16], most: usize) -> Option<(usize, usize)> {
        let longest = self.longest.min(pcm.len() / 2);
        if longest < self.shortest || most == 0 {
            return None;
        }
        let overlap = longest.min(pcm.len() - longest);
        let longest = longest.min(most);
        let shortest = self.shortest.min(most);
        let stride = (self.rate / 8_000).max(1);
        let start = &pcm[..overlap];
        let own: f32 = start
            .iter()
            .step_by(stride)
            .map(|s| f32::from(*s) * f32::from(*s))
            .sum();
        let measure = |lag: usize| {
            let (mut product, mut energy) = (0.0f32, 1.0f32);
            for (a, b) in start
                .iter()
                .step_by(stride)
                .zip(pcm[lag..].iter().step_by(stride))
            {
                product += f32::from(*a) * f32::from(*b);
                energy += f32::from(*b) * f32::from(*b);
            }
            (product / energy.sqrt(), energy)
        };
        let mut best = (shortest, f32::MIN, 1.0);
        let mut consider = |lag: usize| {
            let (score, energy) = measure(lag);
            if score > best.1 {
                best = (lag, score, energy);
            }
            best.0
        };
        let mut coarse = shortest;
        for lag in (shortest..=longest).step_by(stride) {
            coarse = consider(lag);
        }
        for lag in coarse.saturating_sub(stride - 1).max(shortest)..=(coarse + stride - 1).min(longest) {
            consider(lag);
        }
        // A step of more than 10 dB is an onset or an end, unless both are all but silent (below about -60 dBov).
        let quiet = 1_000.0 * (overlap / stride) as f32;
        let steady = own < best.2 * 10.0 && best.2 < own * 10.0;
        (steady || (own < quiet && best.2 < quiet)).then_some((best.0, overlap.min(pcm.len() - best.0)))
    }
}

fn copy(pcm: &[i16], out: &mut [i16]) -> usize {
    let n = pcm.len().min(out.len());
    out[..n].copy_from_slice(&pcm[..n]);
    n
}

/// From `from` to `to`, linearly.
fn fade(from: &[i16], to: &[i16], out: &mut [i16]) {
    let scale = 1.0 / (out.len() + 1) as f32;
    for (i, ((out, from), to)) in out.iter_mut().zip(from).zip(to).enumerate() {
        let up = (i + 1) as f32 * scale;
        *out = (f32::from(*from) * (1.0 - up) + f32::from(*to) * up) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::dbov;
    use crate::tone::{Tone, measure};

    #[test]
    fn pitch_and_level_stay_while_time_shrinks_and_grows() {
        for rate in [8_000u32, 16_000, 48_000] {
            for hz in [110.0, 200.0, 330.0, 700.0] {
                let mut input = vec![0; rate as usize];
                Tone::new(hz, -15.0, rate).fill(&mut input);
                let mut stretch = Stretch::new(rate);
                let (mut short, mut long) = (Vec::new(), Vec::new());
                for frame in input.chunks(rate as usize / 50) {
                    let mut out = vec![0; frame.len() * 2];
                    let n = stretch.compress(frame, &mut out);
                    short.extend_from_slice(&out[..n]);
                    let n = stretch.expand(frame, &mut out);
                    long.extend_from_slice(&out[..n]);
                }
                assert!(short.len() < input.len() * 7 / 8 && long.len() > input.len() * 9 / 8);
                for (name, out) in [("short", &short), ("long", &long)] {
                    let level = measure(out, rate, hz);
                    // Whole periods of a tone fit no frame exactly: at most a little roughness.
                    assert!((level + 15.0).abs() < 1.5, "{name} {rate} Hz, tone {hz}: {level}");
                    assert!(
                        (dbov(out) + 15.0).abs() < 1.0,
                        "{name} {rate} Hz, tone {hz}: {}",
                        dbov(out)
                    );
                }
            }
        }
    }

    #[test]
    fn ends_are_kept_and_nothing_clicks() {
        let mut input = vec![0; 320];
        Tone::multi(&[(150.0, -15.0), (300.0, -18.0), (450.0, -22.0)], 16_000).fill(&mut input);
        let rough = |pcm: &[i16]| pcm.windows(2).map(|w| w[1].abs_diff(w[0])).max().unwrap();
        let mut stretch = Stretch::new(16_000);
        let mut out = [0; 640];
        for n in [
            stretch.compress(&input, &mut out),
            stretch.expand(&input, &mut out),
        ] {
            assert_ne!(n, 320);
        }
        let n = stretch.compress(&input, &mut out);
        assert_eq!(out[n - 40..n], input[280..]);
        assert!(out[0].abs_diff(input[0]) < 300);
        assert!(rough(&out[..n]) <= rough(&input) * 5 / 4);
        let n = stretch.expand(&input, &mut out);
        assert_eq!((&out[..40], &out[n - 40..n]), (&input[..40], &input[280..]));
        assert!(rough(&out[..n]) <= rough(&input) * 5 / 4);
    }

    #[test]
    fn no_more_than_asked_for_is_removed() {
        let mut input = vec![0; 320];
        Tone::new(200.0, -15.0, 8_000).fill(&mut input);
        let mut stretch = Stretch::new(8_000);
        let mut out = [0; 320];
        let whole = 320 - stretch.compress(&input, &mut out);
        assert!(whole >= 40);
        for most in [1, 7, 20, 39, 50, 100, 1_000] {
            let removed = 320 - stretch.compress_at_most(most, &input, &mut out);
            assert!(removed <= most, "{removed} of {most}");
            // Less than a period is taken exactly, more is a period.
            assert!(removed == most || removed >= 20, "{removed} of {most}");
            assert_eq!(out[320 - removed - 100..320 - removed], input[220..]);
        }
        assert_eq!(stretch.compress_at_most(0, &input, &mut out), 320);
    }

    #[test]
    fn an_onset_is_left_alone_and_silence_is_not() {
        let mut stretch = Stretch::new(8_000);
        let mut input = [0i16; 160];
        let mut out = [0i16; 320];
        assert!(stretch.compress(&input, &mut out) <= 140);
        Tone::new(200.0, -10.0, 8_000).fill(&mut input[90..]);
        assert_eq!(stretch.compress(&input, &mut out), 160);
        assert_eq!(out[..160], input);
        assert_eq!(stretch.compress(&input[..30], &mut out), 30);
        assert_eq!(stretch.compress(&[], &mut out), 0);
        assert_eq!(stretch.expand(&[1; 160], &mut out[..100]), 100);
    }
}
