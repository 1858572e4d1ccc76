//! RTP packets (RFC 3550 §5): reading in place, writing into a slice, and telling sources apart.

use crate::Error;
use base::{Rng, Time};
use std::time::Duration;

/// Bytes of an RTP header without contributing sources and extension.
pub const RTP_HEADER: usize = 12;

/// A received RTP packet, read in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpPacket<'a> {
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Marker: for audio, the first packet after a silence (RFC 3551 §4.1).
    pub marker: bool,
    /// Sequence number.
    pub seq: u16,
    /// Timestamp in ticks of the codec's RTP clock.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// The payload, without padding; may be empty.
    pub payload: &'a [u8],
}

impl<'a> RtpPacket<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    /// [`Error::NotRtp`] for a wrong version, or a CSRC list, extension or padding that leaves the datagram
    /// (RFC 3550 §5.1, §5.3.1, A.1).
    pub fn parse(datagram: &'a [u8]) -> Result<RtpPacket<'a>, Error> {
        let packet = rtp_types::RtpPacket::parse(datagram).map_err(|e| {
            Error::NotRtp(match e {
                rtp_types::RtpParseError::UnsupportedVersion(_) => "version is not 2",
                rtp_types::RtpParseError::PaddingInvalid(_) => "padding leaves the packet",
                _ => "truncated",
            })
        })?;
        let start = packet.payload_offset();
        let payload = start
            .checked_add(packet.payload_len())
            .and_then(|end| datagram.get(start..end))
            .ok_or(Error::NotRtp("padding leaves the packet"))?;
        Ok(RtpPacket {
            payload_type: packet.payload_type(),
            marker: packet.marker_bit(),
            seq: packet.sequence_number(),
            timestamp: packet.timestamp(),
            ssrc: packet.ssrc(),
            payload,
        })
    }
}

/// Whether a datagram on a port that carries both is RTCP (RFC 5761 §4: second byte 192 to 223).
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [first, 192..=223, ..] if first >> 6 == 2)
}

/// Writes our own RTP stream: one SSRC, rising sequence numbers, and a timestamp the caller advances.
///
/// The timestamp moves only by [`RtpSender::advance`], once a slot whether or not a packet was sent, so a
/// silent slot leaves a hole in time and none in sequence (RFC 3550 §5.1).
#[derive(Clone, Debug)]
pub struct RtpSender {
    ssrc: u32,
    seq: u16,
    timestamp: u32,
    packets: u64,
    octets: u64,
}

impl RtpSender {
    /// A stream with random SSRC, sequence number and timestamp (RFC 3550 §5.1).
    pub fn new(rng: &mut Rng) -> RtpSender {
        RtpSender {
            ssrc: rng.next_u32(),
            // The first half only, as RFC 3711 §3.3.1 advises, so that SRTP's rollover count starts clear.
            seq: (rng.next_u32() >> 17) as u16,
            timestamp: rng.next_u32(),
            packets: 0,
            octets: 0,
        }
    }

    /// Our synchronisation source.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Takes another SSRC, after a collision with the peer's (RFC 3550 §8.2).
    pub fn change_ssrc(&mut self, rng: &mut Rng) {
        self.ssrc = rng.next_u32();
    }

    /// The timestamp of the current slot.
    pub fn timestamp(&self) -> u32 {
        self.timestamp
    }

    /// The sequence number of the next packet.
    pub fn next_seq(&self) -> u16 {
        self.seq
    }

    /// Packets and payload bytes sent, for sender reports.
    pub fn sent(&self) -> (u64, u64) {
        (self.packets, self.octets)
    }

    /// Moves to the next slot: `ticks` of the RTP clock.
    pub fn advance(&mut self, ticks: u32) {
        self.timestamp = self.timestamp.wrapping_add(ticks);
    }

    /// Writes header and payload into `out`; the bytes written.
    ///
    /// # Errors
    /// [`Error::OutputTooSmall`].
    pub fn write(
        &mut self,
        payload_type: u8,
        marker: bool,
        payload: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let len = RTP_HEADER + payload.len();
        let slot = out.get_mut(..len).ok_or(Error::OutputTooSmall(len))?;
        if let Some(body) = slot.get_mut(RTP_HEADER..) {
            body.copy_from_slice(payload);
        }
        self.write_header(payload_type, marker, self.timestamp, slot)?;
        Ok(len)
    }

    /// Fills in the header in the first [`RTP_HEADER`] bytes of `slot`, whose payload is already in place
    /// behind it. `timestamp` is [`RtpSender::timestamp`], or for a telephone-event that of the event's start.
    ///
    /// # Errors
    /// [`Error::OutputTooSmall`].
    pub fn write_header(
        &mut self,
        payload_type: u8,
        marker: bool,
        timestamp: u32,
        slot: &mut [u8],
    ) -> Result<(), Error> {
        let payload_len = slot
            .len()
            .checked_sub(RTP_HEADER)
            .ok_or(Error::OutputTooSmall(RTP_HEADER))?;
        rtp_types::RtpPacketBuilder::<&[u8], &[u8]>::new()
            .payload_type(payload_type & 0x7f)
            .marker_bit(marker)
            .sequence_number(self.seq)
            .timestamp(timestamp)
            .ssrc(self.ssrc)
            .write_into(slot)
            .map_err(|_| Error::OutputTooSmall(RTP_HEADER))?;
        self.seq = self.seq.wrapping_add(1);
        self.packets += 1;
        self.octets += payload_len as u64;
        Ok(())
    }
}

/// Extends 16-bit sequence numbers to 64 bits that never wrap.
#[derive(Clone, Copy, Debug, Default)]
pub struct SeqUnwrap {
    highest: Option<u64>,
}

impl SeqUnwrap {
    /// The extended number of `seq`: the one nearest to the highest seen. The first starts one cycle up, so
    /// that packets from just before it still have a number.
    pub fn unwrap(&mut self, seq: u16) -> u64 {
        let extended = match self.highest {
            None => 0x1_0000 + u64::from(seq),
            Some(highest) => {
                let delta = seq.wrapping_sub(highest as u16) as i16;
                highest.saturating_add_signed(i64::from(delta))
            }
        };
        self.highest = Some(self.highest.map_or(extended, |h| h.max(extended)));
        extended
    }
}

/// What [`RtpReceiver::accept`] says of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Belongs to the current source.
    Accepted,
    /// The first packet of a new source, or of a source that began anew: reset the jitter buffer, then use it.
    Restarted,
    /// Not yet trusted; drop it.
    Probation,
}

/// Silence after which another source is taken at once: longer than any pause between packets of a talk
/// spurt, short enough that a transfer at the far end is not heard as a hole.
const SOURCE_SILENCE: Duration = Duration::from_millis(500);
/// Packets in sequence by which a rival source, or a jump in sequence, proves itself (RFC 3550 A.1 uses 2).
const MIN_SEQUENTIAL: u8 = 2;
/// Sequence jumps forward below this are losses (RFC 3550 A.1).
const MAX_DROPOUT: u16 = 3_000;
/// Sequence jumps back below this are reordering (RFC 3550 A.1).
const MAX_MISORDER: u16 = 100;

/// Decides which packets belong to the stream we listen to (RFC 3550 A.1, made light: the first source is
/// believed at once if it was expected, since the call waits for it; any other must show two packets in sequence).
#[derive(Clone, Debug, Default)]
pub struct RtpReceiver {
    current: Option<Source>,
    rival: Option<Rival>,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    max_seq: u16,
    last: Time,
    /// After a large jump: the number that would confirm it.
    bad_seq: Option<u16>,
}

#[derive(Clone, Copy, Debug)]
struct Rival {
    ssrc: u32,
    next: u16,
    run: u8,
}

impl RtpReceiver {
    /// A receiver that has heard nobody.
    pub fn new() -> RtpReceiver {
        RtpReceiver::default()
    }

    /// The source listened to.
    pub fn ssrc(&self) -> Option<u32> {
        self.current.map(|s| s.ssrc)
    }

    /// When the current source was last heard.
    pub fn last_heard(&self) -> Option<Time> {
        self.current.map(|s| s.last)
    }

    /// The current source said goodbye (RTCP BYE): the next one is believed at once.
    pub fn forget(&mut self) {
        self.current = None;
        self.rival = None;
    }

    /// Judges a packet by its SSRC and sequence number. `expected`: it comes from where media was to come from.
    pub fn accept(&mut self, now: Time, ssrc: u32, seq: u16, expected: bool) -> Verdict {
        let busy = match &mut self.current {
            Some(source) if source.ssrc == ssrc => return source.update(now, seq),
            Some(source) => now.since(source.last) < SOURCE_SILENCE,
            None => false,
        };
        if expected && !busy {
            return self.adopt(now, ssrc, seq);
        }
        let run = match self.rival {
            Some(r) if r.ssrc == ssrc && r.next == seq => r.run + 1,
            _ => 1,
        };
        if run >= MIN_SEQUENTIAL {
            return self.adopt(now, ssrc, seq);
        }
        self.rival = Some(Rival {
            ssrc,
            next: seq.wrapping_add(1),
            run,
        });
        Verdict::Probation
    }

    fn adopt(&mut self, now: Time, ssrc: u32, seq: u16) -> Verdict {
        self.rival = None;
        self.current = Some(Source {
            ssrc,
            max_seq: seq,
            last: now,
            bad_seq: None,
        });
        Verdict::Restarted
    }
}

impl Source {
    fn update(&mut self, now: Time, seq: u16) -> Verdict {
        let ahead = seq.wrapping_sub(self.max_seq);
        let silent = now.since(self.last) >= SOURCE_SILENCE;
        let verdict = if ahead < MAX_DROPOUT {
            self.max_seq = seq;
            Verdict::Accepted
        } else if ahead > u16::MAX - MAX_MISORDER {
            Verdict::Accepted
        } else if self.bad_seq == Some(seq) || silent {
            self.max_seq = seq;
            self.bad_seq = None;
            self.last = now;
            return Verdict::Restarted;
        } else {
            self.bad_seq = Some(seq.wrapping_add(1));
            return Verdict::Probation;
        };
        self.bad_seq = None;
        self.last = now;
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    fn at(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    #[test]
    fn writes_what_it_reads() {
        let mut s = RtpSender::new(&mut Rng::new(1));
        let (seq, ts) = (s.next_seq(), s.timestamp());
        let mut out = [0u8; 64];
        let n = s.write(8, true, &[1, 2, 3], &mut out).unwrap();
        s.advance(160);
        let p = RtpPacket::parse(&out[..n]).unwrap();
        assert_eq!(
            (p.payload_type, p.marker, p.seq, p.timestamp, p.ssrc, p.payload),
            (8, true, seq, ts, s.ssrc(), &[1u8, 2, 3][..])
        );
        assert_eq!(s.timestamp(), ts.wrapping_add(160));
        assert_eq!(s.sent(), (1, 3));
        assert_eq!(
            s.write(8, false, &[0; 60], &mut out),
            Err(Error::OutputTooSmall(72))
        );
    }

    #[test]
    fn padding_csrc_and_extension_are_stepped_over() {
        let mut d = vec![0xb1, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        d.extend([9, 9, 9, 9]); // one contributing source
        d.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4]); // extension of one word
        d.extend([7, 7]); // payload
        d.extend([0, 0, 3]); // padding
        let p = RtpPacket::parse(&d).unwrap();
        assert_eq!(p.payload, &[7, 7]);
        *d.last_mut().unwrap() = 200;
        assert!(matches!(RtpPacket::parse(&d), Err(Error::NotRtp(_))));
    }

    #[test]
    fn extension_past_the_end_is_refused() {
        // Nine words of extension are announced, one is there.
        let mut d = [0u8; 20];
        d[0] = 0x90;
        d[12..16].copy_from_slice(&[0xbe, 0xde, 0, 9]);
        assert!(RtpPacket::parse(&d).is_err());
    }

    #[test]
    fn rtcp_is_told_from_rtp() {
        assert!(is_rtcp(&[0x80, 200, 0, 6]));
        assert!(!is_rtcp(&[0x80, 0x80, 0, 6])); // PCMU with marker
        assert!(!is_rtcp(&[]));
    }

    #[test]
    fn a_rival_needs_two_in_sequence_and_a_silence_needs_none() {
        let mut r = RtpReceiver::new();
        assert_eq!(r.accept(at(0), 1, 100, true), Verdict::Restarted);
        assert_eq!(r.accept(at(20), 1, 101, true), Verdict::Accepted);
        assert_eq!(r.accept(at(21), 2, 7, true), Verdict::Probation);
        assert_eq!(r.accept(at(30), 2, 9, true), Verdict::Probation);
        assert_eq!(r.accept(at(40), 1, 102, true), Verdict::Accepted);
        assert_eq!(r.accept(at(50), 2, 10, true), Verdict::Restarted);
        assert_eq!(r.ssrc(), Some(2));
        assert_eq!(r.accept(at(600), 3, 1, true), Verdict::Restarted);
        // From elsewhere, even the first has to show two.
        let mut r = RtpReceiver::new();
        assert_eq!(r.accept(at(0), 4, 7, false), Verdict::Probation);
        assert_eq!(r.accept(at(5), 1, 100, true), Verdict::Restarted);
        let mut r = RtpReceiver::new();
        assert_eq!(r.accept(at(0), 4, 7, false), Verdict::Probation);
        assert_eq!(r.accept(at(20), 4, 8, false), Verdict::Restarted);
    }

    #[test]
    fn a_jump_in_sequence_is_believed_the_second_time() {
        let mut r = RtpReceiver::new();
        r.accept(at(0), 1, 100, true);
        assert_eq!(r.accept(at(20), 1, 40_000, true), Verdict::Probation);
        assert_eq!(r.accept(at(40), 1, 101, true), Verdict::Accepted);
        assert_eq!(r.accept(at(60), 1, 40_000, true), Verdict::Probation);
        assert_eq!(r.accept(at(80), 1, 40_001, true), Verdict::Restarted);
        assert_eq!(r.accept(at(90), 1, 39_990, true), Verdict::Accepted);
    }

    proptest! {
        #[test]
        fn parse_never_panics_and_payload_lies_inside(d in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(p) = RtpPacket::parse(&d) {
                prop_assert!(p.payload.len() + RTP_HEADER <= d.len());
            }
        }

        #[test]
        fn unwrap_follows_a_walk(start in any::<u16>(), steps in proptest::collection::vec(-500i64..3000, 1..300)) {
            let mut u = SeqUnwrap::default();
            let base = u.unwrap(start) as i64;
            let (mut pos, mut max) = (0i64, 0i64);
            for step in steps {
                // Never farther back than the window the unwrapping promises.
                pos = (max + step).max(max - 30_000).max(-60_000);
                max = max.max(pos);
                let got = u.unwrap((i64::from(start) + pos) as u16) as i64;
                prop_assert_eq!(got - base, pos);
            }
            prop_assert!(pos <= max);
        }
    }
}
