//! Keeps a decoder that lost its encoder's trace from shouting.
//!
//! Speex predicts each pitch period from the one before, with a gain that may pass one. Encoder and decoder agree on
//! what came before, until a frame is lost or the decoder joins in the middle. With speech they find together again in
//! a few frames; with a steady tone (dialling tones, music on hold) the difference feeds on itself: after one lost
//! frame a third of all tones between 150 Hz and 1.6 kHz end at full scale, and stay there as long as the tone lasts.
//!
//! So for some seconds after a beginning and after each gap the level is watched. What stays far above what was heard
//! before the gap, or near full scale, is turned down until the decoder has been quiet, for then both are in step
//! again.

use crate::level::dbov;

/// Frames of 20 ms that are watched after a beginning or a gap: a tone grows for up to 3 s.
const WATCHED: u16 = 250;
/// Frames in a row that are too loud before it is called running away; a shout has pauses.
const PATIENCE: u8 = 5;
/// Louder than this, dBov, is no speech: a sine at full scale has -3, the loudest tone of a telephone line -6.
const SHOUT: f32 = -5.0;
/// Louder than before the gap by so much, dB, is no speech either.
const JUMP: f32 = 10.0;
/// What was heard before a gap says nothing when it was softer than this, dBov.
const SPEECH: f32 = -35.0;
/// Level to which a runaway is turned down when nothing was heard before, dBov.
const USUAL: f32 = -22.0;
/// Both ends are in step again when so many frames in a row ...
const REST: u8 = 5;
/// ... were softer than this, dBov.
const QUIET: f32 = -45.0;

/// Watches the output of one decoder.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    /// Frames still to be watched.
    watch: u16,
    /// The loudest of late, sinking by 0.2 dB a frame, dBov.
    heard: f32,
    /// The same as it was at the last gap.
    before: f32,
    /// Frames in a row that were too loud; while it is turned down, that were quiet.
    row: u8,
    /// The level to which it is turned down.
    down: Option<f32>,
    /// The factor at the end of the last frame.
    gain: f32,
}

impl Guard {
    /// Of a decoder that has decoded nothing.
    pub(super) fn new() -> Self {
        Self {
            watch: WATCHED,
            heard: crate::level::SILENCE_DBOV,
            before: crate::level::SILENCE_DBOV,
            row: 0,
            down: None,
            gain: 1.0,
        }
    }

    /// A frame was lost.
    pub(super) fn gap(&mut self) {
        // While it is watched for an earlier gap, what is heard may be growing already.
        if self.watch == 0 || self.before <= SPEECH {
            self.before = self.heard;
        }
        self.watch = WATCHED;
    }

    /// Takes note of a frame, and turns it down if it has to be.
    pub(super) fn pass(&mut self, pcm: &mut [i16]) {
        let level = dbov(pcm);
        let known = self.before > SPEECH;
        if let Some(target) = self.down {
            self.row = if level < QUIET { self.row + 1 } else { 0 };
            if self.row == REST {
                *self = Self {
                    gain: self.gain,
                    watch: 0,
                    ..Self::new()
                };
            } else {
                let gain = 10f32.powf((target - level.max(target)) / 20.0);
                return self.turn(gain, pcm);
            }
        } else if self.watch > 0 {
            self.watch -= 1;
            let limit = if known {
                SHOUT.min(self.before + JUMP)
            } else {
                SHOUT
            };
            self.row = if level > limit { self.row + 1 } else { 0 };
            if self.row == PATIENCE {
                self.row = 0;
                self.down = Some(if known { self.before } else { USUAL });
            }
        }
        self.heard = level.max(self.heard - 0.2);
        self.turn(1.0, pcm);
    }

    /// Multiplies by what goes evenly from the last factor to this one.
    fn turn(&mut self, gain: f32, pcm: &mut [i16]) {
        if gain >= 1.0 && self.gain >= 1.0 {
            return;
        }
        let step = (gain - self.gain) / pcm.len().max(1) as f32;
        for sample in pcm {
            self.gain += step;
            *sample = (f32::from(*sample) * self.gain) as i16;
        }
        self.gain = gain;
    }
}
