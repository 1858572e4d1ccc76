//! Playout: paces what a client sends in messages of any length into slots of 20 ms.
//!
//! A client's sound card and its connection decide when audio comes; the phone wants a packet each 20 ms. What
//! waits is judged by its *least* depth over a window, so a sender of long messages is not punished for them:
//! only audio that never needed to wait is delay. That is removed: silence first, then by compressing time,
//! then, where neither can be done, by dropping frames. A slot with nothing to send passes in silence, and
//! audio goes on as soon as a frame is there.

use crate::{Error, MediaTime, Pipe, params};
use base::Time;
use burst::Burst;
use depth::DepthWindow;

mod burst;
mod depth;

/// What a slot holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slot {
    /// A frame was written.
    Frame {
        /// Bytes written.
        len: usize,
        /// Its length, ticks of the RTP clock.
        ticks: u32,
        /// First frame after a silence: set the RTP marker.
        marker: bool,
    },
    /// Nothing to send; the RTP timestamp advances all the same.
    Silent {
        /// Length of the slot, ticks of the RTP clock.
        ticks: u32,
    },
}

/// Counters since the leg began; ticks are those of the RTP clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PlayoutStats {
    /// Frames sent.
    pub frames: u64,
    /// Times the audio ran out.
    pub underruns: u64,
    /// Slots that passed in silence.
    pub silent_slots: u64,
    /// Silence removed, ticks.
    pub silence_ticks: u64,
    /// Removed by compressing speech, ticks.
    pub compressed_ticks: u64,
    /// Removed by dropping frames of speech, ticks.
    pub dropped_ticks: u64,
    /// Dropped because too much waited, ticks.
    pub overflow_ticks: u64,
    /// Messages the codec could not read.
    pub bad_messages: u64,
}

/// The pacer of one leg toward RTP. It owns the pipe whose buffer is its queue.
#[derive(Debug)]
pub struct Playout {
    pipe: Pipe,
    slot_ticks: u32,
    /// The sender's rhythm: the longest message, or run of messages that came together time after time, ticks.
    longest: u32,
    burst: Burst,
    window: DepthWindow,
    running: bool,
    /// Slots since there was more than enough, for patience.
    excess_for: u32,
    /// Standing delay is being removed. Once begun that goes on below the slot with which it began: what is no
    /// whole frame cannot be sent without the next message, so it delays and helps against no jitter.
    shortening: bool,
    /// How much longer speech passes whole since it was last shortened, ticks.
    rest: u32,
    last_push: Option<Time>,
    stats: PlayoutStats,
}

impl Playout {
    /// The [`crate::PipeOptions::buffer_ms`] a pipe for playout needs.
    pub const BUFFER_MS: u32 = params::LONGEST_MESSAGE_MS + params::PLAYOUT_SLOTS * 20;

    /// A playout of what comes through `pipe`.
    pub fn new(mut pipe: Pipe) -> Playout {
        pipe.pace();
        let slot_ticks = pipe.frame_ticks();
        Playout {
            pipe,
            slot_ticks,
            longest: slot_ticks,
            burst: Burst::default(),
            window: DepthWindow::new(),
            running: false,
            excess_for: 0,
            shortening: false,
            rest: 0,
            last_push: None,
            stats: PlayoutStats::default(),
        }
    }

    /// Length of a slot, ticks of the RTP clock.
    pub fn slot_ticks(&self) -> u32 {
        self.slot_ticks
    }

    /// The pipe, for its codecs and cost.
    pub fn pipe(&self) -> &Pipe {
        &self.pipe
    }

    /// Another rate for a pipe to PCM ([`Pipe::set_linear_rate`]).
    ///
    /// # Errors
    /// [`Error::NoPipe`] for a rate out of range.
    pub fn set_linear_rate(&mut self, rate: u32) -> Result<(), Error> {
        self.pipe.set_linear_rate(rate)
    }

    /// Takes a message with the time its sender gave it (RTMP: milliseconds). When more waits than the longest
    /// message and [`params::PLAYOUT_SLOTS`], the oldest goes.
    ///
    /// A hole in the sender's time is no matter: its slots pass in silence if the audio came in time, and if it
    /// comes late, after a stall, the hole is the first thing left out.
    ///
    /// # Errors
    /// [`Error::BadPayload`]; the message is skipped.
    pub fn push(&mut self, now: Time, time: MediaTime, payload: &[u8]) -> Result<(), Error> {
        self.last_push = Some(now);
        let taken = self
            .pipe
            .push(time, payload)
            .inspect_err(|_| self.stats.bad_messages += 1)?;
        let rhythm = self.burst.add(now, taken, self.pipe.clock());
        self.bound(taken.max(rhythm));
        Ok(())
    }

    /// Fills in for audio that was lost on the way here, when the sender is an RTP peer ([`crate::Out::Lost`]);
    /// `ticks` in the clock of `time`.
    pub fn conceal(&mut self, time: MediaTime, ticks: u32) {
        self.pipe.conceal(time, ticks);
        self.bound(self.slot_ticks);
    }

    fn bound(&mut self, taken: u32) {
        let most = self.pipe.clock() * params::LONGEST_MESSAGE_MS / 1000;
        self.longest = self.longest.max(taken).min(most);
        let bound = self.longest + params::PLAYOUT_SLOTS * self.slot_ticks;
        let excess = self.pipe.depth().saturating_sub(bound);
        if excess > 0 {
            // Whole frames may not divide it: rounded up, so the bound holds.
            let slots = excess.div_ceil(self.slot_ticks);
            self.stats.overflow_ticks += u64::from(self.pipe.drop_front(slots * self.slot_ticks));
        }
    }

    /// When a message last came, for telling a dead client.
    pub fn last_push(&self) -> Option<Time> {
        self.last_push
    }

    /// What to send in the slot that begins now; call once each 20 ms, also while the slot is used for
    /// something else (digits, hold): its audio is then out of date and belongs dropped. `out` has room for
    /// [`crate::max_frame_bytes`].
    pub fn pull(&mut self, out: &mut [u8]) -> Slot {
        self.burst.end();
        if self.running {
            self.shorten();
        }
        let Some(frame) = self.pipe.next_frame(out) else {
            if self.running {
                self.stats.underruns += 1;
                self.running = false;
                self.window.clear();
                self.excess_for = 0;
            }
            self.stats.silent_slots += 1;
            return Slot::Silent {
                ticks: self.slot_ticks,
            };
        };
        let marker = !self.running;
        self.running = true;
        self.stats.frames += 1;
        let buckets = self
            .longest
            .saturating_mul(2)
            .div_ceil(self.slot_ticks * params::DEPTH_BUCKET);
        self.window.observe(self.pipe.depth(), buckets as usize);
        Slot::Frame {
            len: frame.len,
            ticks: frame.ticks,
            marker,
        }
    }

    /// Audio waiting, ms.
    pub fn depth_ms(&self) -> u32 {
        self.pipe.depth_ms()
    }

    /// Standing delay, ms: the least depth over the window, once that is full.
    pub fn standing_ms(&self) -> Option<u32> {
        let ticks = u64::from(self.window.least()?);
        Some((ticks * 1000 / u64::from(self.pipe.clock())) as u32)
    }

    /// Counters.
    pub fn stats(&self) -> PlayoutStats {
        self.stats
    }

    /// The source changed: drops what waits.
    pub fn reset(&mut self) {
        self.pipe.reset();
        self.window.clear();
        self.running = false;
        self.excess_for = 0;
        self.longest = self.slot_ticks;
        self.burst = Burst::default();
    }

    /// Removes standing delay.
    fn shorten(&mut self) {
        let slot = self.slot_ticks;
        self.rest = self.rest.saturating_sub(slot);
        let floor = if !self.shortening {
            params::STANDING_SLOTS * slot
        } else if !self.pipe.can_compress() {
            slot
        } else if self.longest.is_multiple_of(slot) {
            1
        } else {
            // What is no whole slot may be the rhythm of messages that are none.
            slot / 4
        };
        let Some(least) = self.window.least().filter(|l| *l >= floor) else {
            self.excess_for = 0;
            self.shortening = false;
            return;
        };
        self.excess_for = self.excess_for.saturating_add(1);
        let removed = if self.pipe.is_silent_front() {
            let removed = self.pipe.drop_front(least.min(slot));
            self.stats.silence_ticks += u64::from(removed);
            removed
        } else if !self.shortening
            && self.excess_for < params::PATIENCE
            && least < params::URGENT_SLOTS * slot
        {
            return;
        } else {
            self.compress(least)
        };
        self.shortening |= removed > 0;
        self.window.lower(removed);
    }

    fn compress(&mut self, least: u32) -> u32 {
        let rush = least >= params::RUSH_SLOTS * self.slot_ticks;
        if self.rest > 0 {
            return 0;
        }
        if self.pipe.can_compress() {
            let share = if rush {
                params::COMPRESS_SHARE_RUSH
            } else {
                params::COMPRESS_SHARE
            };
            let removed = self.pipe.compress_one(least);
            self.stats.compressed_ticks += u64::from(removed);
            self.rest = removed.saturating_mul(share);
            removed
        } else {
            let every = if rush {
                params::DROP_EVERY_RUSH
            } else {
                params::DROP_EVERY
            };
            let removed = self.pipe.drop_front(self.slot_ticks);
            self.stats.dropped_ticks += u64::from(removed);
            if removed > 0 {
                self.rest = self.slot_ticks * every;
            }
            removed
        }
    }
}

#[cfg(test)]
mod tests;
