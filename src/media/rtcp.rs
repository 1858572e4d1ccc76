//! RTCP for one RTP session (RFC 3550 §6): reports out, reports in, and the figures they yield.
//!
//! Our wall clock is the time since the process began, which RFC 3550 §6.4.1 allows: the peer only sends it
//! back to us, and lip synchronisation needs one clock for all our streams, not the true one.

use crate::{Error, RtpSender};
use base::{Rng, Time};
use rtcp_types::prelude::*;
use rtcp_types::{Bye, Compound, ReceiverReport, ReportBlock, SenderReport};
use std::time::Duration;
use write::{Block, SenderInfo, Writer};

mod write;

/// The fixed minimum between reports (RFC 3550 §6.2); half of it before the first.
const INTERVAL: Duration = Duration::from_secs(5);
/// Correction of the randomised interval for reconsideration, e - 3/2 (RFC 3550 §6.3.1).
const COMPENSATION: f64 = 1.218_28;
/// Longest canonical name (RFC 3550 §6.5: one length byte).
const MAX_CNAME: usize = 255;
/// Round-trip times above this are a peer's nonsense.
const MAX_RTT: Duration = Duration::from_secs(60);

/// What both ends know of the media by now.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct RtcpStats {
    /// RTP packets received, duplicates included.
    pub received: u64,
    /// Payload bytes received.
    pub received_bytes: u64,
    /// Packets that never came (expected less received); negative when duplicates outweigh losses.
    pub lost: i64,
    /// Share of packets lost between our last two reports, 0.0 to 1.0.
    pub fraction_lost: f32,
    /// Interarrival jitter of what we receive, ms (RFC 3550 A.8).
    pub jitter_ms: f32,
    /// Packets the peer says it did not get from us.
    pub remote_lost: i64,
    /// Share of our packets lost in the peer's last interval, 0.0 to 1.0.
    pub remote_fraction_lost: f32,
    /// Jitter the peer sees, ms.
    pub remote_jitter_ms: f32,
    /// Last round-trip time, ms, once the peer has answered a report of ours.
    pub rtt_ms: Option<f32>,
    /// Reports received from the peer.
    pub reports: u64,
}

/// What an RTCP datagram said that someone must act on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RtcpEvent {
    /// Reports were taken in.
    Report,
    /// The source we listen to said goodbye.
    Bye,
    /// The peer uses our SSRC: take another one (RFC 3550 §8.2).
    Collision,
    /// Nothing for us in it.
    Nothing,
}

/// The RTCP half of one RTP session between two parties.
#[derive(Debug)]
pub struct RtcpSession {
    cname: String,
    clock: u32,
    rng: Rng,
    next_report: Option<Time>,
    source: Option<Source>,
    sent: Option<(Time, u32)>,
    last_sr: Option<(u32, Time)>,
    sent_since_report: bool,
    stats: RtcpStats,
}

/// Reception from one source (RFC 3550 A.1, A.3, A.8).
#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    base_seq: u64,
    max_seq: u64,
    received: u64,
    expected_prior: u64,
    received_prior: u64,
    /// Jitter in RTP ticks, times 16.
    jitter: f64,
    transit: Option<i64>,
}

impl RtcpSession {
    /// A session for media of an RTP clock of `clock` Hz. `cname` is cut to 255 bytes.
    pub fn new(mut rng: Rng, cname: &str, clock: u32) -> RtcpSession {
        let mut end = cname.len().min(MAX_CNAME);
        while !cname.is_char_boundary(end) {
            end -= 1;
        }
        RtcpSession {
            cname: cname.get(..end).unwrap_or_default().to_owned(),
            clock: clock.max(1),
            rng: rng.fork(),
            next_report: None,
            source: None,
            sent: None,
            last_sr: None,
            sent_since_report: false,
            stats: RtcpStats::default(),
        }
    }

    /// Another codec took over: jitter and timestamps count in its clock from now on.
    pub fn set_clock(&mut self, clock: u32) {
        self.clock = clock.max(1);
        self.sent = None;
        if let Some(s) = &mut self.source {
            s.transit = None;
            s.jitter = 0.0;
        }
    }

    /// Starts reporting: the first report is due in 1 to 3 s.
    pub fn start(&mut self, now: Time) {
        if self.next_report.is_none() {
            self.next_report = Some(now + self.interval(INTERVAL / 2));
        }
    }

    /// Counts an accepted RTP packet. `extended_seq` never wraps ([`crate::SeqUnwrap`]); `restarted` says
    /// that the source is new or began anew.
    pub fn on_received(
        &mut self,
        now: Time,
        ssrc: u32,
        extended_seq: u64,
        timestamp: u32,
        bytes: usize,
        restarted: bool,
    ) {
        self.stats.received += 1;
        self.stats.received_bytes += bytes as u64;
        let clock = self.clock;
        let source = match &mut self.source {
            Some(s) if s.ssrc == ssrc && !restarted => s,
            slot => {
                // What the former source lost stays counted in the call's total.
                if let Some(old) = *slot {
                    self.stats.lost += old.lost();
                }
                self.last_sr = self.last_sr.filter(|_| slot.is_some_and(|s| s.ssrc == ssrc));
                slot.insert(Source {
                    ssrc,
                    base_seq: extended_seq,
                    max_seq: extended_seq,
                    received: 0,
                    expected_prior: 0,
                    received_prior: 0,
                    jitter: 0.0,
                    transit: None,
                })
            }
        };
        source.received += 1;
        source.max_seq = source.max_seq.max(extended_seq);
        let arrival = u128::from(now.as_nanos()) * u128::from(clock) / 1_000_000_000;
        let transit = i64::from((arrival as u32).wrapping_sub(timestamp) as i32);
        if let Some(before) = source.transit {
            let d = f64::from(((transit - before) as i32).unsigned_abs());
            // A jump of over a second is a new timestamp base, not jitter.
            if d < f64::from(clock) {
                source.jitter += (d - source.jitter) / 16.0;
            }
        }
        source.transit = Some(transit);
    }

    /// Notes that an RTP packet with this timestamp was sent at `now`.
    pub fn on_sent(&mut self, now: Time, timestamp: u32) {
        self.sent = Some((now, timestamp));
        self.sent_since_report = true;
    }

    /// When the next report is due.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.next_report
    }

    /// Writes the report that is due into `out`, and schedules the next; `None` when none is due.
    ///
    /// # Errors
    /// [`Error::OutputTooSmall`]; 400 bytes always do.
    pub fn poll_output(
        &mut self,
        now: Time,
        sender: &RtpSender,
        out: &mut [u8],
    ) -> Result<Option<usize>, Error> {
        if self.next_report.is_none_or(|due| now < due) {
            return Ok(None);
        }
        self.next_report = Some(now + self.interval(INTERVAL));
        self.build(now, sender, false, out).map(Some)
    }

    /// Writes the last report with a BYE (RFC 3550 §6.6), and reports no more.
    ///
    /// # Errors
    /// [`Error::OutputTooSmall`].
    pub fn bye(&mut self, now: Time, sender: &RtpSender, out: &mut [u8]) -> Result<usize, Error> {
        self.next_report = None;
        self.build(now, sender, true, out)
    }

    /// Takes in an RTCP datagram.
    ///
    /// # Errors
    /// [`Error::NotRtcp`].
    pub fn handle_input(&mut self, now: Time, our_ssrc: u32, datagram: &[u8]) -> Result<RtcpEvent, Error> {
        // Checks the lengths of all packets; what they hold is looked at one by one, so that a description we
        // do not need, and some peers pad wrongly, spoils no report.
        Compound::parse(datagram).map_err(|_| Error::NotRtcp("not a compound packet"))?;
        let mut event = RtcpEvent::Nothing;
        let mut rest = datagram;
        while let Some((packet, next)) = split_packet(rest) {
            rest = next;
            match packet.get(1).copied() {
                Some(SenderReport::PACKET_TYPE) => {
                    let Ok(sr) = SenderReport::parse(packet) else {
                        continue;
                    };
                    if sr.ssrc() == our_ssrc {
                        return Ok(RtcpEvent::Collision);
                    }
                    if self.source.is_none_or(|s| s.ssrc == sr.ssrc()) {
                        self.last_sr = Some(((sr.ntp_timestamp() >> 16) as u32, now));
                    }
                    self.stats.reports += 1;
                    event = RtcpEvent::Report;
                    self.reports(now, our_ssrc, sr.report_blocks());
                }
                Some(ReceiverReport::PACKET_TYPE) => {
                    let Ok(rr) = ReceiverReport::parse(packet) else {
                        continue;
                    };
                    if rr.ssrc() == our_ssrc {
                        return Ok(RtcpEvent::Collision);
                    }
                    self.stats.reports += 1;
                    event = RtcpEvent::Report;
                    self.reports(now, our_ssrc, rr.report_blocks());
                }
                Some(Bye::PACKET_TYPE) => {
                    let current = self.source.map(|s| s.ssrc);
                    if Bye::parse(packet).is_ok_and(|bye| bye.ssrcs().any(|ssrc| Some(ssrc) == current)) {
                        event = RtcpEvent::Bye;
                    }
                }
                _ => {}
            }
        }
        Ok(event)
    }

    /// The figures as of now.
    pub fn stats(&self) -> RtcpStats {
        let mut stats = self.stats;
        if let Some(s) = self.source {
            stats.lost += s.lost();
            stats.jitter_ms = (s.jitter * 1000.0 / f64::from(self.clock)) as f32;
        }
        stats
    }

    fn reports<'a>(&mut self, now: Time, our_ssrc: u32, blocks: impl Iterator<Item = ReportBlock<'a>>) {
        for block in blocks.filter(|b| b.ssrc() == our_ssrc) {
            self.stats.remote_fraction_lost = f32::from(block.fraction_lost()) / 256.0;
            // A 24-bit signed number (RFC 3550 §6.4.1).
            self.stats.remote_lost = i64::from(((block.cumulative_lost() << 8) as i32) >> 8);
            self.stats.remote_jitter_ms =
                (f64::from(block.interarrival_jitter()) * 1000.0 / f64::from(self.clock)) as f32;
            let lsr = block.last_sender_report_timestamp();
            if lsr == 0 {
                continue;
            }
            // RFC 3550 §6.4.1: RTT = A - LSR - DLSR in units of 1/65536 s.
            let rtt = (ntp_middle(now))
                .wrapping_sub(lsr)
                .wrapping_sub(block.delay_since_last_sender_report_timestamp());
            let rtt = Duration::from_nanos(u64::from(rtt) * 1_000_000_000 / 65_536);
            if rtt <= MAX_RTT {
                self.stats.rtt_ms = Some(rtt.as_secs_f32() * 1000.0);
            }
        }
    }

    fn interval(&mut self, base: Duration) -> Duration {
        let random = 0.5 + self.rng.below(1 << 20) as f64 / (1u64 << 20) as f64;
        base.mul_f64(random / COMPENSATION)
    }

    fn block(&mut self, now: Time) -> Option<Block> {
        let source = self.source.as_mut()?;
        let expected = source.expected();
        let interval_expected = expected - source.expected_prior;
        let interval_received = source.received - source.received_prior;
        source.expected_prior = expected;
        source.received_prior = source.received;
        let lost = interval_expected.saturating_sub(interval_received);
        let fraction = (lost * 256).checked_div(interval_expected).unwrap_or(0).min(255);
        self.stats.fraction_lost = fraction as f32 / 256.0;
        let cumulative = source.lost().clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
        let (lsr, dlsr) = match self.last_sr {
            Some((lsr, at)) => {
                let d = now.since(at).as_nanos() * 65_536 / 1_000_000_000;
                (lsr, u32::try_from(d).unwrap_or(u32::MAX))
            }
            None => (0, 0),
        };
        Some(Block {
            ssrc: source.ssrc,
            fraction_lost: fraction as u8,
            cumulative_lost: cumulative,
            max_seq: source.max_seq as u32,
            jitter: source.jitter as u32,
            last_sr: lsr,
            delay_since_last_sr: dlsr,
        })
    }

    fn build(&mut self, now: Time, sender: &RtpSender, bye: bool, out: &mut [u8]) -> Result<usize, Error> {
        let ssrc = sender.ssrc();
        let block = self.block(now);
        let info = self
            .sent
            .filter(|_| self.sent_since_report)
            .map(|(at, timestamp)| {
                let ticks = now.since(at).as_nanos() * u128::from(self.clock) / 1_000_000_000;
                let (packets, octets) = sender.sent();
                SenderInfo {
                    ntp: ntp(now),
                    rtp: timestamp.wrapping_add(ticks as u32),
                    packets: packets as u32,
                    octets: octets as u32,
                }
            });
        self.sent_since_report = false;
        let mut writer = Writer::new(out);
        writer.report(ssrc, info, block);
        writer.cname(ssrc, &self.cname);
        if bye {
            writer.bye(ssrc);
        }
        writer.finish().map_err(Error::OutputTooSmall)
    }
}

impl Source {
    fn expected(&self) -> u64 {
        self.max_seq - self.base_seq.min(self.max_seq) + 1
    }

    fn lost(&self) -> i64 {
        self.expected() as i64 - self.received as i64
    }
}

/// The first packet of a compound, and what follows it (RFC 3550 §6.4.1: length in words, less one).
fn split_packet(compound: &[u8]) -> Option<(&[u8], &[u8])> {
    let (high, low) = (*compound.get(2)?, *compound.get(3)?);
    compound.split_at_checked((usize::from(u16::from_be_bytes([high, low])) + 1) * 4)
}

/// Time since the process began as a 64-bit NTP timestamp (RFC 3550 §4).
fn ntp(now: Time) -> u64 {
    let ns = now.as_nanos();
    let (s, frac) = (ns / 1_000_000_000, ns % 1_000_000_000);
    // One second ahead, for 0 in LSR means "none yet".
    ((s + 1) << 32) | ((frac << 32) / 1_000_000_000)
}

fn ntp_middle(now: Time) -> u32 {
    (ntp(now) >> 16) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    fn at(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    struct End {
        rtcp: RtcpSession,
        rtp: RtpSender,
    }

    fn end(seed: u64) -> End {
        let mut rng = Rng::new(seed);
        let mut rtcp = RtcpSession::new(rng.fork(), "user@host", 8000);
        rtcp.start(Time::ZERO);
        End {
            rtcp,
            rtp: RtpSender::new(&mut rng),
        }
    }

    /// One packet from `x` to `y`, 30 ms under way.
    fn pass(x: &mut End, y: &mut End, seqs: &mut crate::SeqUnwrap, now: Time, lost: bool) {
        let mut rtp = [0u8; 400];
        let n = x.rtp.write(0, false, &[0; 160], &mut rtp).unwrap();
        x.rtp.advance(160);
        let p = crate::RtpPacket::parse(&rtp[..n]).unwrap();
        x.rtcp.on_sent(now, p.timestamp);
        let seq = seqs.unwrap(p.seq);
        if !lost {
            let arrival = now + Duration::from_millis(30);
            y.rtcp
                .on_received(arrival, p.ssrc, seq, p.timestamp, 160, now == Time::ZERO);
        }
    }

    #[test]
    fn reports_have_the_room_they_say_and_names_of_every_length() {
        for len in 0..=255 {
            let name = "n".repeat(len);
            let mut rng = Rng::new(1);
            let (mut rtcp, rtp) = (
                RtcpSession::new(rng.fork(), &name, 8000),
                RtpSender::new(&mut rng),
            );
            rtcp.on_received(at(0), 9, 70_000, 0, 160, true);
            rtcp.on_sent(at(0), 5);
            let mut out = [0u8; 400];
            let n = rtcp.bye(at(20), &rtp, &mut out).unwrap();
            assert_eq!(n % 4, 0);
            let mut kinds = Vec::new();
            for packet in Compound::parse(&out[..n]).unwrap() {
                match packet.unwrap() {
                    rtcp_types::Packet::Sr(sr) => {
                        assert_eq!((sr.ssrc(), sr.report_blocks().count()), (rtp.ssrc(), 1));
                        kinds.push(200);
                    }
                    rtcp_types::Packet::Sdes(sdes) => {
                        let chunk = sdes.chunks().next().unwrap();
                        let item = chunk.items().next().unwrap();
                        assert_eq!((chunk.ssrc(), item.value()), (rtp.ssrc(), name.as_bytes()));
                        kinds.push(202);
                    }
                    rtcp_types::Packet::Bye(bye) => {
                        assert_eq!(bye.ssrcs().collect::<Vec<_>>(), [rtp.ssrc()]);
                        kinds.push(203);
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(kinds, [200, 202, 203]);
            // Without news there is a receiver report, 20 bytes shorter.
            assert_eq!(rtcp.bye(at(20), &rtp, &mut out), Ok(n - 20));
            assert_eq!(
                rtcp.bye(at(20), &rtp, &mut out[..10]),
                Err(Error::OutputTooSmall(n - 20))
            );
        }
    }

    /// Two ends, 20 ms packets each way, one-way delay 30 ms, every tenth packet of a lost.
    fn run(seconds: u64) -> (End, End) {
        let (mut a, mut b) = (end(1), end(2));
        let (mut sa, mut sb) = (crate::SeqUnwrap::default(), crate::SeqUnwrap::default());
        let mut wire: Vec<(Time, bool, Vec<u8>)> = Vec::new();
        let mut buf = [0u8; 400];
        for ms in (0..seconds * 1000).step_by(10) {
            let now = at(ms);
            if ms % 20 == 0 {
                pass(&mut a, &mut b, &mut sb, now, ms / 20 % 10 == 5);
                pass(&mut b, &mut a, &mut sa, now, false);
            }
            for (to_b, x) in [(true, &mut a), (false, &mut b)] {
                if let Some(n) = x.rtcp.poll_output(now, &x.rtp, &mut buf).unwrap() {
                    wire.push((now + Duration::from_millis(30), to_b, buf[..n].to_vec()));
                }
            }
            let (due, rest) = wire.into_iter().partition(|w| w.0 <= now);
            wire = rest;
            for (_, to_b, datagram) in due {
                let x = if to_b { &mut b } else { &mut a };
                assert_eq!(
                    x.rtcp.handle_input(now, x.rtp.ssrc(), &datagram).unwrap(),
                    RtcpEvent::Report
                );
            }
        }
        (a, b)
    }

    #[test]
    fn both_ends_learn_loss_jitter_and_round_trip() {
        let (a, b) = run(30);
        let (sa, sb) = (a.rtcp.stats(), b.rtcp.stats());
        assert!((59.0..61.5).contains(&sa.rtt_ms.unwrap()), "{sa:?}");
        assert!((59.0..61.5).contains(&sb.rtt_ms.unwrap()), "{sb:?}");
        assert_eq!(sb.lost, 150);
        assert!((0.08..0.12).contains(&sb.fraction_lost), "{sb:?}");
        assert!((0.08..0.12).contains(&sa.remote_fraction_lost), "{sa:?}");
        assert!(sa.remote_lost > 80, "{sa:?}");
        assert_eq!(sa.lost, 0);
        assert!(sb.jitter_ms < 0.2, "{sb:?}");
        assert!((4..12).contains(&sa.reports), "{sa:?}");
    }

    #[test]
    fn jitter_follows_rfc_3550() {
        let mut e = end(1);
        for i in 0..500u64 {
            let late = if i % 2 == 0 { 0 } else { 8 };
            e.rtcp
                .on_received(at(i * 20 + late), 5, i + 1, (i * 160) as u32, 160, i == 0);
        }
        let j = e.rtcp.stats().jitter_ms;
        assert!((7.5..8.1).contains(&j), "{j}");
    }

    #[test]
    fn bye_is_heard_only_from_our_source() {
        let (mut a, mut b) = (end(1), end(2));
        let mut buf = [0u8; 400];
        let n = a.rtcp.bye(at(5), &a.rtp, &mut buf).unwrap();
        assert_eq!(a.rtcp.poll_timeout(), None);
        assert_eq!(
            b.rtcp.handle_input(at(5), b.rtp.ssrc(), &buf[..n]),
            Ok(RtcpEvent::Report)
        );
        b.rtcp.on_received(at(6), a.rtp.ssrc(), 9, 0, 1, true);
        assert_eq!(
            b.rtcp.handle_input(at(7), b.rtp.ssrc(), &buf[..n]),
            Ok(RtcpEvent::Bye)
        );
        assert_eq!(
            b.rtcp.handle_input(at(7), a.rtp.ssrc(), &buf[..n]),
            Ok(RtcpEvent::Collision)
        );
    }

    #[test]
    fn a_long_name_and_a_short_buffer_are_survived() {
        let mut rng = Rng::new(1);
        let mut s = RtcpSession::new(rng.fork(), &"ä".repeat(400), 8000);
        let rtp = RtpSender::new(&mut rng);
        assert!(matches!(
            s.bye(at(0), &rtp, &mut [0; 20]),
            Err(Error::OutputTooSmall(_))
        ));
        assert!(s.bye(at(0), &rtp, &mut [0; 400]).unwrap() > 254);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(d in proptest::collection::vec(any::<u8>(), 0..100), ty in 199u8..208) {
            let mut e = end(1);
            let _ = e.rtcp.handle_input(at(1), 1, &d);
            let mut d = d;
            if d.len() >= 4 {
                d[0] = 0x80 | (d[0] & 0x3f);
                d[1] = ty;
                let words = (d.len() / 4 - 1) as u16;
                d[2..4].copy_from_slice(&words.to_be_bytes());
                let _ = e.rtcp.handle_input(at(2), 1, &d);
            }
        }
    }
}
