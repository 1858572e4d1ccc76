//! What we receive: which packet of which source it is, whether it is authentic, whether it came before.

use super::key::SrtpKey;
use super::transform::{ENCRYPTED, Half, Transform};
use super::{Refused, header_len, rtp_ids};
use crate::Error;

/// Sources of one peer that are kept apart. Only the peer itself can make one; when it makes more, the one not heard
/// for longest is forgotten.
const SOURCES: usize = 16;

#[derive(Debug)]
pub(super) struct Receiver {
    rtp: Transform,
    rtcp: Transform,
    mki: usize,
    /// The last heard first.
    sources: Vec<Source>,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    rtp: Option<Window>,
    rtcp: Option<Window>,
}

/// What came of the last 128 packets (RFC 3711 §3.3.2 wants at least 64).
#[derive(Clone, Copy, Debug)]
struct Window {
    highest: u64,
    seen: u128,
}

impl Window {
    fn first(index: u64) -> Window {
        Window {
            highest: index,
            seen: 1,
        }
    }

    fn admits(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            None => true,
            Some(age) => age < 128 && self.seen >> age & 1 == 0,
        }
    }

    fn note(&mut self, index: u64) {
        if let Some(age) = self.highest.checked_sub(index) {
            if age < 128 {
                self.seen |= 1 << age;
            }
        } else {
            let step = index - self.highest;
            self.seen = u32::try_from(step)
                .ok()
                .and_then(|step| self.seen.checked_shl(step))
                .unwrap_or(0)
                | 1;
            self.highest = index;
        }
    }

    /// The index of a sequence number: the one nearest to the highest (RFC 3711 §3.3.1).
    fn index(&self, seq: u16) -> u64 {
        let step = i64::from(seq.wrapping_sub(self.highest as u16) as i16);
        // Before the very first it can only be of the same turn.
        self.highest.checked_add_signed(step).unwrap_or(u64::from(seq))
    }
}

impl Receiver {
    pub(super) fn new(key: &SrtpKey) -> Result<Receiver, Error> {
        Ok(Receiver {
            rtp: Transform::new(key, Half::Rtp)?,
            rtcp: Transform::new(key, Half::Rtcp)?,
            mki: usize::from(key.mki),
            sources: Vec::with_capacity(SOURCES),
        })
    }

    pub(super) fn rtp(&mut self, packet: &[u8], clear: &mut Vec<u8>) -> Result<(), Refused> {
        let header = header_len(packet).ok_or(Refused::Forged)?;
        let (seq, ssrc) = rtp_ids(packet).ok_or(Refused::Forged)?;
        let window = self.source(ssrc).and_then(|s| s.rtp);
        let index = window.map_or(u64::from(seq), |w| w.index(seq));
        if window.is_some_and(|w| !w.admits(index)) {
            return Err(Refused::Replayed);
        }
        let behind = match self.rtp {
            Transform::Cm { tag, .. } => tag,
            Transform::Gcm { .. } => 0,
        };
        let mut opened = self
            .take(packet, behind, clear)
            .and_then(|()| self.rtp.open_rtp(clear, header, ssrc, index).map(|()| index));
        if opened.is_none() && window.is_none() {
            // Its first packets went by before we had the key, and its numbers have wrapped.
            let wrapped = index + (1 << 16);
            opened = self
                .take(packet, behind, clear)
                .and_then(|()| self.rtp.open_rtp(clear, header, ssrc, wrapped).map(|()| wrapped));
        }
        let index = opened.ok_or(Refused::Forged)?;
        note(&mut self.heard(ssrc).rtp, index);
        Ok(())
    }

    pub(super) fn rtcp(&mut self, packet: &[u8], clear: &mut Vec<u8>) -> Result<(), Refused> {
        let ssrc = packet.get(4..).and_then(|p| p.first_chunk());
        let ssrc = u32::from_be_bytes(*ssrc.ok_or(Refused::Forged)?);
        let behind = match self.rtcp {
            Transform::Cm { tag, .. } => tag,
            Transform::Gcm { .. } => 0,
        };
        self.take(packet, behind, clear).ok_or(Refused::Forged)?;
        let word = self.rtcp.rtcp_word(clear).ok_or(Refused::Forged)?;
        if word & ENCRYPTED == 0 {
            return Err(Refused::Forged);
        }
        let index = u64::from(word & !ENCRYPTED);
        let window = self.source(ssrc).and_then(|s| s.rtcp);
        if window.is_some_and(|w| !w.admits(index)) {
            return Err(Refused::Replayed);
        }
        self.rtcp.open_rtcp(clear, ssrc, word).ok_or(Refused::Forged)?;
        note(&mut self.heard(ssrc).rtcp, index);
        Ok(())
    }

    /// Copies a packet without its key identifier, which stands before the last `behind` bytes: there is but one key.
    fn take(&self, packet: &[u8], behind: usize, clear: &mut Vec<u8>) -> Option<()> {
        let end = packet.len().checked_sub(behind)?;
        let start = end.checked_sub(self.mki)?;
        clear.clear();
        clear.extend_from_slice(packet.get(..start)?);
        clear.extend_from_slice(packet.get(end..)?);
        Some(())
    }

    fn source(&self, ssrc: u32) -> Option<Source> {
        self.sources.iter().find(|s| s.ssrc == ssrc).copied()
    }

    /// The entry of a source that was just authenticated, moved to the front.
    fn heard(&mut self, ssrc: u32) -> &mut Source {
        let at = self.sources.iter().position(|s| s.ssrc == ssrc);
        match at {
            Some(0) => {}
            Some(at) => {
                if let Some(until) = self.sources.get_mut(..=at) {
                    until.rotate_right(1);
                }
            }
            None => {
                self.sources.truncate(SOURCES - 1);
                let fresh = Source {
                    ssrc,
                    rtp: None,
                    rtcp: None,
                };
                self.sources.insert(0, fresh);
            }
        }
        &mut self.sources[0]
    }
}

fn note(window: &mut Option<Window>, index: u64) {
    match window {
        Some(window) => window.note(index),
        None => *window = Some(Window::first(index)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_takes_each_once_and_nothing_old() {
        let mut w = Window::first(1_000);
        assert!(!w.admits(1_000) && w.admits(999) && w.admits(1_001));
        w.note(1_005);
        assert!(!w.admits(1_000) && !w.admits(1_005) && w.admits(1_004));
        w.note(1_004);
        assert!(!w.admits(1_004));
        w.note(1_127);
        assert!(!w.admits(1_000) && w.admits(1_001) && !w.admits(999));
        w.note(5_000_000_000);
        assert!(w.admits(4_999_999_999) && !w.admits(1_127));
    }

    #[test]
    fn the_index_follows_the_wrap_both_ways() {
        let w = Window::first(0x1_FFF0);
        assert_eq!(w.index(3), 0x2_0003);
        assert_eq!(w.index(0xFFFF), 0x1_FFFF);
        let w = Window::first(0x2_0003);
        assert_eq!(w.index(0xFFF0), 0x1_FFF0);
        let w = Window::first(2);
        assert_eq!(w.index(0xFFF0), 0xFFF0);
    }
}
