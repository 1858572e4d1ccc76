//! One sub-band: adaptive scale and adaptive predictor (ITU-T G.722 §3, blocks 3L/3H and 4L/4H), which both sides run
//! alike.

use super::tables::EXPONENTIALS;

/// Limits to 16 bits.
pub(super) fn clamp(value: i32) -> i32 {
    value.clamp(-32_768, 32_767)
}

#[derive(Debug, Clone)]
pub(super) struct Band {
    /// Step size.
    scale: i32,
    /// Its logarithm, and the highest it may be.
    log: i32,
    highest_log: i32,
    /// Change of the logarithm by code.
    steps: &'static [i32],
    /// Exponent at which the step size is the table's value.
    base: i32,
    /// Prediction of the next sample, and the part of it by the zeros.
    prediction: i32,
    zeros_part: i32,
    /// Coefficients of the two poles, and signals behind them, newest first.
    poles: [i32; 2],
    reconstructed: [i32; 2],
    partial: [i32; 2],
    /// Coefficients of the six zeros, and differences behind them, newest first.
    zeros: [i32; 6],
    differences: [i32; 6],
}

impl Band {
    pub(super) fn new(scale: i32, steps: &'static [i32], highest_log: i32, base: i32) -> Self {
        Self {
            scale,
            log: 0,
            highest_log,
            steps,
            base,
            prediction: 0,
            zeros_part: 0,
            poles: [0; 2],
            reconstructed: [0; 2],
            partial: [0; 2],
            zeros: [0; 6],
            differences: [0; 6],
        }
    }

    pub(super) fn scale(&self) -> i32 {
        self.scale
    }

    pub(super) fn predicted(&self) -> i32 {
        self.prediction
    }

    /// The sample of a code whose level is given.
    pub(super) fn quantized(&self, level: i32) -> i32 {
        self.prediction + ((self.scale * level) >> 15)
    }

    /// Moves on by a code: its level, and its place among the steps of the scale.
    pub(super) fn adapt(&mut self, level: i32, code: usize) {
        let difference = (self.scale * level) >> 15;
        let step = self.steps.get(code).copied().unwrap_or(0);
        self.log = (((self.log * 127) >> 7) + step).clamp(0, self.highest_log);
        let mantissa = EXPONENTIALS[(self.log >> 6) as usize & 31];
        let shift = self.base - (self.log >> 11);
        self.scale = if shift < 0 {
            mantissa << -shift
        } else {
            mantissa >> shift
        } << 2;
        self.predict(difference);
    }

    fn predict(&mut self, difference: i32) {
        let reconstructed = clamp(self.prediction + difference);
        let partial = clamp(self.zeros_part + difference);

        // Poles: by the signs of this and the two last partial signals.
        let agrees = |i: usize| (partial < 0) == (self.partial[i] < 0);
        let pull = clamp(self.poles[0] << 2);
        let pull = if agrees(0) { -pull } else { pull }.min(32_767);
        let second = (pull >> 7) + if agrees(1) { 128 } else { -128 } + ((self.poles[1] * 32_512) >> 15);
        let second = second.clamp(-12_288, 12_288);
        let first = clamp(if agrees(0) { 192 } else { -192 } + ((self.poles[0] * 32_640) >> 15));
        let most = clamp(15_360 - second);
        self.poles = [first.clamp(-most, most), second];

        // Zeros: by the signs of this and the six last differences.
        let gain = if difference == 0 { 0 } else { 128 };
        for (zero, past) in self.zeros.iter_mut().zip(self.differences) {
            let push = if (past < 0) == (difference < 0) {
                gain
            } else {
                -gain
            };
            *zero = clamp(push + ((*zero * 32_640) >> 15));
        }

        self.differences.copy_within(..5, 1);
        self.differences[0] = difference;
        self.reconstructed = [reconstructed, self.reconstructed[0]];
        self.partial = [partial, self.partial[0]];

        let product = |coefficient: &i32, signal: &i32| (coefficient * clamp(signal * 2)) >> 15;
        let poles_part: i32 = self
            .poles
            .iter()
            .zip(&self.reconstructed)
            .map(|(a, r)| product(a, r))
            .sum();
        self.zeros_part = clamp(
            self.zeros
                .iter()
                .zip(&self.differences)
                .map(|(b, d)| product(b, d))
                .sum(),
        );
        self.prediction = clamp(clamp(poles_part) + self.zeros_part);
    }
}
