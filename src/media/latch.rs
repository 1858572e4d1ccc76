//! Symmetric RTP: where to send, learned from where media comes (RFC 4961, RFC 7362 §4).

use base::Time;
use std::net::SocketAddr;
use std::time::Duration;

/// Time after the first packet in which the address from SDP may still take the latch from a stranger that
/// was merely faster.
const LEARNING: Duration = Duration::from_secs(2);
/// Silence of the latched address after which any valid source may take its place. Longer than the 2 s in
/// which a stalled uplink must recover, so a stall is no invitation.
const SILENCE: Duration = Duration::from_secs(3);
/// Silence after which the *same stream* (SSRC and sequence go on, which a stranger off the path cannot
/// know) may move: a phone that changed networks or a NAT that forgot. More than a few frames of jitter.
const MOVE_SILENCE: Duration = Duration::from_millis(100);

/// What to do with a packet, by its source address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LatchDecision {
    /// From the remote: use it.
    Accept,
    /// Use it, and send to its source from now on.
    Latched(SocketAddr),
    /// From somewhere else: drop it.
    Ignore,
}

/// The rule for one port. Tell it only of packets that are valid RTP (or SRTP that authenticated) of a negotiated
/// payload type and of a source that has passed its probation ([`crate::RtpReceiver`]): of what comes before that,
/// [`Latch::admits`] says whether it is worth a trial.
#[derive(Clone, Debug)]
pub struct Latch {
    signalled: Option<SocketAddr>,
    symmetric: bool,
    learned: Option<Learned>,
    /// With ICE: where a check said that media goes, once it has.
    checked: Option<Option<SocketAddr>>,
}

#[derive(Clone, Copy, Debug)]
struct Learned {
    addr: SocketAddr,
    first: Time,
    last: Time,
}

impl Latch {
    /// `signalled` is the address from SDP, if any. Without `symmetric` only that address is taken (or the
    /// first one heard when there is none) and media is never sent elsewhere.
    pub fn new(signalled: Option<SocketAddr>, symmetric: bool) -> Latch {
        Latch {
            signalled,
            symmetric,
            learned: None,
            checked: None,
        }
    }

    /// Where to send: the learned address, else the signalled one.
    pub fn remote(&self) -> Option<SocketAddr> {
        if let Some(checked) = self.checked {
            return checked;
        }
        self.learned.map(|l| l.addr).or(self.signalled)
    }

    /// The peer signalled an address anew (answer, re-INVITE). An unchanged one leaves the latch alone.
    pub fn signal(&mut self, addr: Option<SocketAddr>) {
        if self.signalled != addr {
            self.signalled = addr;
            self.learned = None;
        }
    }

    /// From now on checks decide (ICE), and nothing but them; or no longer.
    pub fn check(&mut self, on: bool) {
        self.checked = on.then_some(None);
    }

    /// A check that could only come from the peer says that media goes there. Whether that is new.
    pub fn select(&mut self, addr: SocketAddr) -> bool {
        let new = self.checked != Some(Some(addr));
        self.checked = Some(Some(addr));
        new
    }

    /// Whether packets from that address are expected: it is the latched one, or the signalled host's.
    pub fn expects(&self, from: SocketAddr) -> bool {
        self.learned.is_some_and(|l| l.addr == from) || self.signalled.is_some_and(|s| s.ip() == from.ip())
    }

    /// Whether a packet from that address could be taken now; nothing is learned. `continues` as in
    /// [`Latch::on_packet`].
    pub fn admits(&self, now: Time, from: SocketAddr, continues: bool) -> bool {
        if let Some(checked) = self.checked {
            return checked == Some(from);
        }
        if !self.symmetric && self.signalled.is_some_and(|s| s.ip() != from.ip()) {
            return false;
        }
        let Some(l) = self.learned.filter(|l| l.addr != from) else {
            return true;
        };
        let quiet = now.since(l.last);
        let rightful = Some(from) == self.signalled && now.since(l.first) < LEARNING;
        rightful || quiet >= SILENCE || (continues && quiet >= MOVE_SILENCE)
    }

    /// Judges a valid packet. `continues`: its SSRC is the current one and its sequence number follows.
    pub fn on_packet(&mut self, now: Time, from: SocketAddr, continues: bool) -> LatchDecision {
        if !self.admits(now, from, continues) {
            return LatchDecision::Ignore;
        }
        if self.checked.is_some() {
            return LatchDecision::Accept;
        }
        match &mut self.learned {
            Some(l) if l.addr == from => {
                l.last = now;
                LatchDecision::Accept
            }
            _ => self.learn(now, from),
        }
    }

    fn learn(&mut self, now: Time, addr: SocketAddr) -> LatchDecision {
        if !self.symmetric && self.signalled.is_some() {
            // Taken from its address, but answered where SDP says.
            return LatchDecision::Accept;
        }
        let before = self.remote();
        self.learned = Some(Learned {
            addr,
            first: now,
            last: now,
        });
        if before == Some(addr) {
            LatchDecision::Accept
        } else {
            LatchDecision::Latched(addr)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn at(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    #[test]
    fn learns_the_first_source_and_keeps_it() {
        let mut l = Latch::new(Some(addr(1)), true);
        assert_eq!(l.remote(), Some(addr(1)));
        assert_eq!(
            l.on_packet(at(0), addr(2), false),
            LatchDecision::Latched(addr(2))
        );
        assert_eq!(l.on_packet(at(2_500), addr(2), true), LatchDecision::Accept);
        // The learning time is over: not even the signalled address gets in while the latched one talks.
        assert_eq!(l.on_packet(at(2_510), addr(1), false), LatchDecision::Ignore);
        assert_eq!(l.on_packet(at(2_520), addr(3), false), LatchDecision::Ignore);
        assert_eq!(l.remote(), Some(addr(2)));
    }

    #[test]
    fn the_signalled_address_wins_within_the_learning_time() {
        let mut l = Latch::new(Some(addr(1)), true);
        l.on_packet(at(0), addr(9), false);
        assert_eq!(
            l.on_packet(at(40), addr(1), false),
            LatchDecision::Latched(addr(1))
        );
        assert_eq!(l.on_packet(at(60), addr(9), false), LatchDecision::Ignore);
    }

    #[test]
    fn the_same_stream_may_move_but_a_stranger_must_wait_for_silence() {
        let mut l = Latch::new(None, true);
        l.on_packet(at(0), addr(1), false);
        assert_eq!(l.on_packet(at(90), addr(2), true), LatchDecision::Ignore);
        assert_eq!(
            l.on_packet(at(110), addr(2), true),
            LatchDecision::Latched(addr(2))
        );
        assert_eq!(l.on_packet(at(3_000), addr(3), false), LatchDecision::Ignore);
        assert_eq!(
            l.on_packet(at(3_110), addr(3), false),
            LatchDecision::Latched(addr(3))
        );
    }

    #[test]
    fn checks_decide_where_there_are_checks() {
        let mut l = Latch::new(Some(addr(1)), true);
        l.check(true);
        assert_eq!(l.remote(), None);
        assert_eq!(l.on_packet(at(0), addr(1), true), LatchDecision::Ignore);
        assert!(l.select(addr(2)) && !l.select(addr(2)));
        assert_eq!(l.on_packet(at(0), addr(2), false), LatchDecision::Accept);
        // Not after any silence does anybody else get in.
        assert_eq!(l.on_packet(at(60_000), addr(3), true), LatchDecision::Ignore);
        l.signal(Some(addr(4)));
        assert_eq!(l.remote(), Some(addr(2)));
    }

    #[test]
    fn a_new_signalled_address_opens_the_latch() {
        let mut l = Latch::new(Some(addr(1)), true);
        l.on_packet(at(0), addr(2), false);
        l.signal(Some(addr(1)));
        assert_eq!(l.remote(), Some(addr(2)));
        l.signal(Some(addr(5)));
        assert_eq!(l.remote(), Some(addr(5)));
        assert_eq!(l.on_packet(at(10), addr(5), false), LatchDecision::Accept);
    }

    #[test]
    fn without_symmetry_only_the_signalled_host_is_heard() {
        let mut l = Latch::new(Some(addr(1)), false);
        let other = SocketAddr::from(([192, 0, 2, 7], 1));
        assert_eq!(l.on_packet(at(0), other, false), LatchDecision::Ignore);
        assert_eq!(l.on_packet(at(0), addr(4), false), LatchDecision::Accept);
        assert_eq!(l.remote(), Some(addr(1)));
    }
}
