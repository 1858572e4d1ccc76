//! Digits: telephone-events (RFC 4733) and INFO bodies.

use crate::Error;
use std::collections::VecDeque;

mod info;
mod receive;

pub use info::{InfoDigit, parse_info, write_info};
pub use receive::DtmfReceiver;

/// Bytes of a telephone-event payload.
pub const EVENT_LEN: usize = 4;
/// Longest queue of digits waiting to be sent; a phone number with its extension fits.
pub const MAX_DIGITS: usize = 64;
/// A digit lasts at least this, ms (ITU-T Q.24: 40 ms is recognised; 100 is what phones send).
pub(crate) const MIN_DIGIT_MS: u32 = 40;
/// A digit lasts at most this, ms (half of what RFC 4733's 16-bit duration holds at 8 kHz).
pub(crate) const MAX_DIGIT_MS: u32 = 4_000;
/// Pause between two digits, ms (Q.24 asks for 40; some PBXs want more).
const GAP_MS: u32 = 60;
/// The end of an event is sent three times (RFC 4733 §2.5.1.4).
const END_REPEATS: u8 = 3;
/// Volume in -dBm0 (RFC 4733 §2.3.3).
const VOLUME: u8 = 10;

const DIGITS: &[u8; 16] = b"0123456789*#ABCD";

/// The event code of a DTMF digit, 0 to 15 (RFC 4733 §3.2); lower-case letters too.
pub fn code_of(digit: char) -> Option<u8> {
    let digit = u8::try_from(digit).ok()?.to_ascii_uppercase();
    DIGITS.iter().position(|d| *d == digit).map(|i| i as u8)
}

/// The digit of an event code.
pub fn digit_of(code: u8) -> Option<char> {
    DIGITS.get(usize::from(code)).map(|d| char::from(*d))
}

/// A telephone-event payload (RFC 4733 §2.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TelephoneEvent {
    /// Event code; 0 to 15 are the DTMF digits.
    pub code: u8,
    /// The event is over.
    pub end: bool,
    /// Power in -dBm0, 0 to 63.
    pub volume: u8,
    /// Duration so far in RTP ticks.
    pub duration: u16,
}

impl TelephoneEvent {
    /// Reads the first event of a payload; further ones in it are ignored, as no phone sends them.
    ///
    /// # Errors
    /// [`Error::ShortEvent`].
    pub fn parse(payload: &[u8]) -> Result<TelephoneEvent, Error> {
        let &[code, flags, d0, d1, ..] = payload else {
            return Err(Error::ShortEvent(payload.len()));
        };
        Ok(TelephoneEvent {
            code,
            end: flags & 0x80 != 0,
            volume: flags & 0x3f,
            duration: u16::from_be_bytes([d0, d1]),
        })
    }

    /// The payload.
    pub fn to_bytes(self) -> [u8; EVENT_LEN] {
        let [d0, d1] = self.duration.to_be_bytes();
        [
            self.code,
            (u8::from(self.end) << 7) | (self.volume & 0x3f),
            d0,
            d1,
        ]
    }
}

/// A telephone-event packet to send in this slot, in place of audio.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventPacket {
    /// The payload.
    pub payload: [u8; EVENT_LEN],
    /// RTP timestamp: that of the slot in which the event began.
    pub timestamp: u32,
    /// Set on the first packet of an event.
    pub marker: bool,
}

/// What to do with a slot while digits are being sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DtmfSlot {
    /// No digit: send audio.
    Idle,
    /// Send this instead of audio.
    Event(EventPacket),
    /// The pause between digits: send audio or nothing, as you like.
    Gap,
}

/// Sends digits as telephone-events, one packet a slot (RFC 4733 §2.5.1).
#[derive(Clone, Debug)]
pub struct DtmfSender {
    clock: u32,
    queue: VecDeque<(u8, u32)>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    /// `target`: ticks the digit shall last.
    Sounding {
        code: u8,
        start: u32,
        duration: u32,
        target: u32,
    },
    Ending {
        code: u8,
        start: u32,
        duration: u32,
        left: u8,
    },
    Gap {
        left: u32,
    },
}

impl DtmfSender {
    /// A sender for a telephone-event clock of `clock` Hz (that of the audio codec beside it).
    pub fn new(clock: u32) -> DtmfSender {
        DtmfSender {
            clock: clock.max(1000),
            queue: VecDeque::new(),
            state: State::Idle,
        }
    }

    /// Queues a digit for `ms` milliseconds (held within 40 and 4000).
    ///
    /// # Errors
    /// [`Error::NotADigit`]; [`Error::DigitsFull`] when [`MAX_DIGITS`] wait: the new one is refused, for
    /// dropping an older one would change the number dialled.
    pub fn send(&mut self, digit: char, ms: u32) -> Result<(), Error> {
        let code = code_of(digit).ok_or(Error::NotADigit(digit))?;
        if self.queue.len() >= MAX_DIGITS {
            return Err(Error::DigitsFull(MAX_DIGITS));
        }
        let ticks = u64::from(ms.clamp(MIN_DIGIT_MS, MAX_DIGIT_MS)) * u64::from(self.clock) / 1000;
        // At 48 kHz sixteen bits end at 1.3 s: longer digits are cut there, not split into segments.
        self.queue
            .push_back((code, ticks.min(u64::from(u16::MAX)) as u32));
        Ok(())
    }

    /// Digits not yet begun.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Whether a digit, or the pause after it, is under way or waits.
    pub fn is_busy(&self) -> bool {
        !self.queue.is_empty() || !matches!(self.state, State::Idle)
    }

    /// What to send in the slot that begins at RTP timestamp `now_ticks` and lasts `slot_ticks`.
    pub fn slot(&mut self, now_ticks: u32, slot_ticks: u32) -> DtmfSlot {
        if let State::Gap { left } = self.state {
            if left > 0 {
                self.state = State::Gap {
                    left: left.saturating_sub(slot_ticks),
                };
                return DtmfSlot::Gap;
            }
            self.state = State::Idle;
        }
        let mut marker = false;
        if matches!(self.state, State::Idle) {
            let Some((code, target)) = self.queue.pop_front() else {
                return DtmfSlot::Idle;
            };
            marker = true;
            self.state = State::Sounding {
                code,
                start: now_ticks,
                duration: 0,
                target,
            };
        }
        match self.state {
            State::Sounding {
                code,
                start,
                duration,
                target,
            } => {
                let duration = (duration + slot_ticks.max(1)).min(u32::from(u16::MAX));
                let end = duration >= target;
                self.state = if end {
                    State::Ending {
                        code,
                        start,
                        duration,
                        left: END_REPEATS - 1,
                    }
                } else {
                    State::Sounding {
                        code,
                        start,
                        duration,
                        target,
                    }
                };
                self.packet(code, start, duration, end, marker)
            }
            State::Ending {
                code,
                start,
                duration,
                left,
            } => {
                self.state = if left > 1 {
                    State::Ending {
                        code,
                        start,
                        duration,
                        left: left - 1,
                    }
                } else {
                    // The two repeated ends already were part of the pause.
                    let repeats = slot_ticks * u32::from(END_REPEATS - 1);
                    State::Gap {
                        left: (self.clock * GAP_MS / 1000).saturating_sub(repeats),
                    }
                };
                self.packet(code, start, duration, true, false)
            }
            State::Idle | State::Gap { .. } => DtmfSlot::Idle,
        }
    }

    fn packet(&self, code: u8, start: u32, duration: u32, end: bool, marker: bool) -> DtmfSlot {
        DtmfSlot::Event(EventPacket {
            payload: TelephoneEvent {
                code,
                end,
                volume: VOLUME,
                duration: duration as u16,
            }
            .to_bytes(),
            timestamp: start,
            marker,
        })
    }
}

#[cfg(test)]
mod tests;
