//! How much noise each band bears: a share of its own energy, what louder neighbours mask, what nobody hears.

use super::pack::MOST_BANDS;
use crate::aac::filterbank::FRAME;

/// Noise a band bears beside its own energy where bits are plenty, dB.
const SELF: f32 = -30.0;
/// How masking falls off toward higher and toward lower bands, dB a Bark.
const UP: f32 = -15.0;
const DOWN: f32 = -30.0;
/// Where the thresholds are raised, a band that is heard keeps this share of its energy at most as noise.
const KEEP: f32 = 0.4;
/// Noise may rise so much from frame to frame before it is heard ahead of an onset.
const ONSET: f32 = 2.0;
/// The softest sound that is heard, as energy of one coefficient of 16 bit PCM.
const SOFTEST: f32 = 500.0;

/// The model of one stream.
pub(super) struct Psycho {
    offsets: &'static [u16],
    /// Bands below the highest frequency that is coded.
    coded: usize,
    /// Masking from the band below, and from the band above: shares of energy.
    up: [f32; MOST_BANDS],
    down: [f32; MOST_BANDS],
    energy: [f32; MOST_BANDS],
    /// The sum of the square roots of the coefficients: what decides how noise follows from a step.
    form: [f32; MOST_BANDS],
    threshold: [f32; MOST_BANDS],
    /// The threshold of the frame before, without masking by what came later.
    before: [f32; MOST_BANDS],
    /// The finest step that the largest coefficient allows.
    finest: [i16; MOST_BANDS],
}

impl Psycho {
    pub(super) fn new(rate: u32, bitrate: u32, offsets: &'static [u16]) -> Psycho {
        let hz = |line: u16| f32::from(line) * rate as f32 / (2 * FRAME) as f32;
        // Beyond this the bits are better spent below.
        let top = 6_000.0 + bitrate as f32 / 6.0;
        let bands = offsets.len() - 1;
        let coded = offsets.iter().take(bands).filter(|o| hz(**o) < top).count();
        let bark = |band: usize| {
            let middle = (hz(offsets[band]) + hz(offsets[band + 1])) / 2.0;
            13.0 * (0.000_76 * middle).atan() + 3.5 * (middle / 7_500.0).powi(2).atan()
        };
        let (mut up, mut down) = ([0.0; MOST_BANDS], [0.0; MOST_BANDS]);
        for band in 1..bands {
            let width = bark(band) - bark(band - 1);
            up[band] = share(UP * width);
            down[band - 1] = share(DOWN * width);
        }
        Psycho {
            offsets,
            coded,
            up,
            down,
            energy: [0.0; MOST_BANDS],
            form: [0.0; MOST_BANDS],
            threshold: [0.0; MOST_BANDS],
            before: [f32::MAX; MOST_BANDS],
            finest: [0; MOST_BANDS],
        }
    }

    pub(super) fn offsets(&self) -> &'static [u16] {
        self.offsets
    }

    pub(super) fn reset(&mut self) {
        self.before = [f32::MAX; MOST_BANDS];
    }

    /// Takes in a frame; how many bands are worth sending.
    pub(super) fn look(&mut self, spectrum: &[f32; FRAME]) -> usize {
        let mut bands = 0;
        for band in 0..self.coded {
            let lines = &spectrum[usize::from(self.offsets[band])..usize::from(self.offsets[band + 1])];
            let (mut energy, mut form, mut largest) = (0.0, 0.0, 0.0f32);
            for x in lines {
                energy += x * x;
                form += x.abs().sqrt();
                largest = largest.max(x.abs());
            }
            self.energy[band] = energy;
            self.form[band] = form.max(1e-9);
            self.threshold[band] = energy * share(SELF);
            // The largest value is 8191: size / 8191^(4/3) is the finest step.
            let step = (largest.max(1e-9) / 165_140.0).log2() * 4.0;
            self.finest[band] = 101 + step.ceil() as i16;
            if energy > SOFTEST * lines.len() as f32 {
                bands = band + 1;
            }
        }
        for band in 1..bands {
            self.threshold[band] = self.threshold[band].max(self.threshold[band - 1] * self.up[band]);
        }
        for band in (1..bands).rev() {
            self.threshold[band - 1] =
                self.threshold[band - 1].max(self.threshold[band] * self.down[band - 1]);
        }
        for band in 0..self.coded {
            let width = self.offsets[band + 1] - self.offsets[band];
            let softest = SOFTEST * f32::from(width);
            let plain = self.threshold[band].max(softest);
            self.threshold[band] = plain.min((self.before[band] * ONSET).max(softest));
            self.before[band] = plain;
        }
        bands
    }

    /// The thresholds of the frame, raised by as much loudness in each band. With `keep` no band that is heard is left
    /// out.
    pub(super) fn raise(&self, bands: usize, raise: f32, keep: bool, out: &mut [f32; MOST_BANDS]) {
        for (band, out) in out.iter_mut().enumerate().take(bands) {
            let threshold = self.threshold[band];
            let raised = (threshold.sqrt().sqrt() + raise).powi(4);
            *out = if keep && self.energy[band] > threshold {
                raised.min(threshold.max(self.energy[band] * KEEP))
            } else {
                raised
            };
        }
    }

    /// The scale factor of a band with that much noise; `None` when the noise is as loud as the band. Scale factors can
    /// differ by at most 60 from band to band.
    pub(super) fn scale(&self, band: usize, threshold: f32, last: Option<i16>) -> Option<i16> {
        if self.energy[band] <= threshold {
            return None;
        }
        // Noise of a step: 4/27 step^1.5 times the form.
        let step = (6.75 * threshold / self.form[band]).log2() * (8.0 / 3.0);
        let scale = (100 + step.floor() as i16).max(self.finest[band]).clamp(0, 255);
        Some(match last {
            Some(last) => scale
                .clamp(last - 60, last + 60)
                .max(self.finest[band])
                .min(last + 60),
            None => scale,
        })
    }
}

fn share(db: f32) -> f32 {
    (db / 10.0 * std::f32::consts::LOG2_10).exp2()
}
