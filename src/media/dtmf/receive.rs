//! Telephone-events in (RFC 4733 §2.5.2).

use super::{TelephoneEvent, digit_of};
use base::Time;
use std::time::Duration;

/// Silence after which an event whose end was lost counts as over: three missing updates at the slowest
/// usual pace of 50 ms (RFC 4733 §2.5.2.2 leaves the figure to us).
const LOST_END: Duration = Duration::from_millis(150);

/// A digit that was pressed, told once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Current {
    timestamp: u32,
    code: u8,
    duration: u16,
    last: Time,
    open: bool,
}

/// Turns telephone-event packets into digits: each event once, however often its packets are repeated, and
/// also when its first packets or its end are lost.
#[derive(Clone, Debug, Default)]
pub struct DtmfReceiver {
    current: Option<Current>,
    ended: Option<(char, u32)>,
}

impl DtmfReceiver {
    /// A receiver that has heard nothing.
    pub fn new() -> DtmfReceiver {
        DtmfReceiver::default()
    }

    /// Takes a packet's payload and RTP timestamp (which names the event). Returns the digit when this packet
    /// is the first to tell of it: at its beginning, so that a listener hears of it without delay.
    pub fn handle_input(&mut self, now: Time, timestamp: u32, payload: &[u8]) -> Option<char> {
        let event = TelephoneEvent::parse(payload).ok()?;
        let digit = digit_of(event.code)?;
        if let Some(c) = &mut self.current {
            let ahead = timestamp.wrapping_sub(c.timestamp) as i32;
            if ahead < 0 {
                // A straggler of an earlier event.
                return None;
            }
            // A digit longer than sixteen bits goes on in a new segment that begins where the last one ended
            // at its fullest (RFC 4733 §2.5.1.3): the same press.
            let segment = ahead > 0
                && c.code == event.code
                && c.open
                && c.duration >= 0xf000
                && ahead <= i32::from(u16::MAX);
            if ahead == 0 || segment {
                c.timestamp = timestamp;
                c.last = now;
                c.duration = if segment {
                    event.duration
                } else {
                    c.duration.max(event.duration)
                };
                if event.end && c.open {
                    c.open = false;
                    self.ended = Some((digit, u32::from(c.duration)));
                }
                return None;
            }
        }
        self.current = Some(Current {
            timestamp,
            code: event.code,
            duration: event.duration,
            last: now,
            open: !event.end,
        });
        if event.end {
            self.ended = Some((digit, u32::from(event.duration)));
        }
        Some(digit)
    }

    /// A digit that was released, with its length in RTP ticks; each once.
    pub fn poll_ended(&mut self) -> Option<(char, u32)> {
        self.ended.take()
    }

    /// When the event under way counts as over though no end was heard.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.current.filter(|c| c.open).map(|c| c.last + LOST_END)
    }

    /// Ends an event whose end was lost.
    pub fn handle_timeout(&mut self, now: Time) {
        if let Some(c) = &mut self.current
            && c.open
            && now >= c.last + LOST_END
        {
            c.open = false;
            self.ended = digit_of(c.code).map(|d| (d, u32::from(c.duration)));
        }
    }

    /// Whether a digit is being held now; its audio, if the peer sends any, should be muted.
    pub fn is_down(&self) -> bool {
        self.current.is_some_and(|c| c.open)
    }

    /// The stream began anew: timestamps compare no more.
    pub fn reset(&mut self) {
        self.current = None;
    }
}
