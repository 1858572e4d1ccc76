//! The shard as a machine: legs that break, packets of other lengths, strays, digits, payloads that pass.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use base::{Rng, Time};
use codecs::CodecId;
use media::{MediaTime, RtpPacket, RtpSender, TelephoneEvent};

use super::*;
use crate::config::Config;

/// What a shard has sent and told.
#[derive(Default)]
struct Seen {
    packets: Vec<(LegId, SocketAddr, Vec<u8>)>,
    events: Vec<Event>,
}

impl Seen {
    /// Sequence number, timestamp and payload of the packets of a leg with that payload type.
    fn of(&self, leg: LegId, pt: u8) -> Vec<(u16, u32, Vec<u8>)> {
        let packets = self.packets.iter().filter(|(l, _, _)| *l == leg);
        packets
            .map(|(_, _, bytes)| RtpPacket::parse(bytes).unwrap())
            .filter(|p| p.payload_type == pt)
            .map(|p| (p.seq, p.timestamp, p.payload.to_vec()))
            .collect()
    }

    fn broken(&self) -> Vec<LegId> {
        let broken = |e: &Event| match e {
            Event::LegBroke { leg } => Some(*leg),
            _ => None,
        };
        self.events.iter().filter_map(broken).collect()
    }
}

struct Bench {
    shard: Shard,
    now: Time,
    seen: Seen,
    legs: u64,
}

/// A peer that sends to a leg.
struct Peer {
    leg: LegId,
    address: SocketAddr,
    sender: RtpSender,
    pt: u8,
}

impl Peer {
    /// A packet is lost on its way.
    fn loses(&mut self, ticks: u32) {
        self.sender.write(self.pt, false, &[0], &mut [0; 20]).unwrap();
        self.sender.advance(ticks);
    }
}

fn params(n: u64, pt: u8, codec: CodecId) -> RtpParams {
    let remote = SocketAddr::from(([192, 0, 2, n as u8], 4_000));
    RtpParams {
        srtp: None,
        dtls: None,
        ice: None,
        rtcp_mux: false,
        remote,
        rtcp: None,
        send: (pt, codec),
        receive: vec![(pt, codec)],
        dtmf: Some((101, 8_000)),
        dtmf_receive: Some(101),
        sending: true,
        receiving: true,
        ptime_ms: 20,
    }
}

impl Bench {
    fn new() -> Bench {
        let config = Config::parse("", Path::new("test"), &std::collections::BTreeMap::new()).unwrap();
        Bench {
            shard: Shard::new(ShardId(0), Arc::new(Settings::new(&config)), Rng::new(5)),
            now: Time::from_secs(1),
            seen: Seen::default(),
            legs: 0,
        }
    }

    /// An RTP leg toward a peer that speaks the codec with payload type 97.
    fn rtp(&mut self, codec: CodecId, change: impl FnOnce(&mut RtpParams)) -> Peer {
        self.legs += 1;
        let n = self.legs;
        let leg = LegId::of_shard(ShardId(9), n);
        let (call, ip) = (CallId(n), IpAddr::from([127, 0, 0, 1]));
        self.shard
            .handle_command(self.now, Command::OpenRtp { leg, call, ip });
        let local = SocketAddr::from(([127, 0, 0, 1], 20_000 + n as u16 * 2));
        self.shard.handle_rtp_opened(self.now, leg, Some(local));
        let mut params = params(n, 97, codec);
        change(&mut params);
        let address = params.remote;
        let command = Command::Rtp {
            leg,
            params: Box::new(params),
        };
        self.shard.handle_command(self.now, command);
        Peer {
            leg,
            address,
            sender: RtpSender::new(&mut Rng::new(n)),
            pt: 97,
        }
    }

    fn add(&mut self, kind: Kind) -> LegId {
        self.legs += 1;
        let leg = LegId::of_shard(ShardId(9), self.legs);
        self.shard.legs.insert(leg, MediaLeg::new(CallId(0), kind));
        leg
    }

    fn connect(&mut self, from: LegId, to: LegId) {
        self.shard.handle_command(self.now, Command::Connect { from, to });
    }

    /// A packet of so many ticks from a peer.
    fn send(&mut self, peer: &mut Peer, payload: &[u8], ticks: u32) {
        let mut out = vec![0; 2_000];
        let n = peer.sender.write(peer.pt, false, payload, &mut out).unwrap();
        peer.sender.advance(ticks);
        self.shard.handle_rtp(self.now, peer.leg, peer.address, &out[..n]);
        self.look();
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            if self.shard.poll_timeout().is_some_and(|at| at <= self.now) {
                self.shard.handle_timeout(self.now);
                self.look();
            }
            self.now += Duration::from_millis(1);
        }
    }

    fn look(&mut self) {
        while let Some(output) = self.shard.poll_output() {
            match output {
                Output::Rtp { leg, to, bytes } => self.seen.packets.push((leg, to, bytes.to_vec())),
                Output::Event(event) => self.seen.events.push(event),
                _ => {}
            }
        }
    }
}

#[test]
fn a_fault_ends_its_leg_and_no_other() {
    let mut b = Bench::new();
    let mut alice = b.rtp(CodecId::Pcmu, |_| {});
    let bob = b.rtp(CodecId::Pcmu, |_| {});
    let fed = Rc::new(Cell::new(0));
    let count = fed.clone();
    // Breaks with its third frame, as a codec might; bob hears after it.
    let faulty = b.add(Kind::Probe(Box::new(move || {
        count.set(count.get() + 1);
        assert!(count.get() < 3, "a codec broke");
    })));
    b.connect(alice.leg, faulty);
    b.connect(alice.leg, bob.leg);
    for _ in 0..50 {
        b.send(&mut alice, &[0x55; 160], 160);
        b.run(20);
    }
    assert_eq!(b.seen.broken(), [faulty]);
    assert_eq!(fed.get(), 3, "a leg that broke is fed no more");
    assert_eq!(b.seen.of(bob.leg, 97).len(), 50);
    assert_eq!(b.shard.population(), (0, 2));
}

#[test]
fn a_fault_on_a_turn_leaves_the_turns_of_the_others() {
    let mut b = Bench::new();
    let tone = b.add(Kind::Tone(Box::new(ToneLeg::new(None))));
    let faulty = b.add(Kind::Probe(Box::new(|| panic!("a codec broke"))));
    let other = b.add(Kind::Tone(Box::new(ToneLeg::new(None))));
    // All in one phase, the faulty one in the middle.
    b.shard.phases[0] = vec![tone, faulty, other];
    b.shard.next_step = Some(b.now);
    let (first, last) = (b.rtp(CodecId::Pcmu, |_| {}), b.rtp(CodecId::Pcmu, |_| {}));
    b.connect(tone, first.leg);
    b.connect(other, last.leg);
    b.run(1_000);
    assert_eq!(b.seen.broken(), [faulty]);
    for peer in [first, last] {
        let sent = b.seen.of(peer.leg, 97).len();
        assert!((48..=51).contains(&sent), "{sent}");
    }
}

#[test]
fn packets_are_as_long_as_the_peer_asked() {
    for (codec, bytes_a_tick) in [(CodecId::Pcmu, 1), (CodecId::L16_8, 2)] {
        for ptime in [20, 40, 60] {
            let mut b = Bench::new();
            let mut alice = b.rtp(codec, |_| {});
            let bob = b.rtp(codec, |p| p.ptime_ms = ptime);
            let client = b.add(Kind::Proxy);
            let carol = b.rtp(codec, |p| p.ptime_ms = ptime);
            b.connect(alice.leg, bob.leg);
            b.connect(client, carol.leg);
            for n in 0..60u64 {
                let payload: Vec<u8> = (0..160 * bytes_a_tick)
                    .map(|i| (i as u64 * 7 + n) as u8)
                    .collect();
                b.send(&mut alice, &payload, 160);
                let time = MediaTime::new(n * 20, 1_000);
                let kind = FrameKind::Audio {
                    codec,
                    time,
                    bursty: true,
                };
                b.shard.deliver(b.now, client, kind, &payload);
                b.run(20);
            }
            for peer in [&bob, &carol] {
                let sent = b.seen.of(peer.leg, 97);
                assert!(sent.len() as u32 >= 60 * 20 / ptime - 2, "{codec:?} {ptime} ms");
                for (_, _, payload) in &sent {
                    assert_eq!(payload.len() as u32, ptime * 8 * bytes_a_tick as u32);
                }
                for two in sent.windows(2) {
                    assert_eq!(two[1].0, two[0].0.wrapping_add(1));
                    assert_eq!(two[1].1.wrapping_sub(two[0].1), ptime * 8);
                }
            }
        }
    }
}

#[test]
fn packets_of_other_lengths_are_taken_and_lost_ones_filled_in() {
    for ptime in [10, 40, 60] {
        for codec in [CodecId::Pcmu, CodecId::SpeexNb] {
            let mut b = Bench::new();
            let mut alice = b.rtp(CodecId::Pcmu, |_| {});
            let bob = b.rtp(codec, |_| {});
            b.connect(alice.leg, bob.leg);
            let ticks = ptime * 8;
            let packets = 2_400 / ptime;
            for n in 0..packets {
                if n == packets / 2 {
                    alice.loses(ticks);
                } else {
                    b.send(&mut alice, &vec![0x55; ticks as usize], ticks);
                }
                b.run(u64::from(ptime));
            }
            b.run(200);
            let sent = b.seen.of(bob.leg, 97);
            // What is made up for the end, when no more comes, is not counted against it.
            assert!(
                (119..=126).contains(&sent.len()),
                "{codec:?} {ptime} ms: {}",
                sent.len()
            );
            for two in sent.windows(2) {
                assert_eq!(two[1].1.wrapping_sub(two[0].1), 160, "{codec:?} {ptime} ms");
            }
        }
    }
}

#[test]
fn a_stray_packet_does_not_turn_the_audio() {
    let mut b = Bench::new();
    let mut alice = b.rtp(CodecId::Pcmu, |_| {});
    let mut bob = b.rtp(CodecId::Pcmu, |_| {});
    b.connect(alice.leg, bob.leg);
    let stranger: SocketAddr = "198.51.100.7:9999".parse().unwrap();
    let mut stray = Peer {
        leg: bob.leg,
        address: stranger,
        sender: RtpSender::new(&mut Rng::new(77)),
        pt: 97,
    };
    b.send(&mut stray, &[0x55; 160], 160);
    b.send(&mut alice, &[0x55; 160], 160);
    b.run(20);
    assert_eq!(b.seen.packets.last().map(|(_, to, _)| *to), Some(bob.address));
    // Two in sequence are somebody: a peer behind a translator of addresses.
    b.send(&mut stray, &[0x55; 160], 160);
    b.send(&mut alice, &[0x55; 160], 160);
    b.run(20);
    assert_eq!(b.seen.packets.last().map(|(_, to, _)| *to), Some(stranger));
    // The one that was announced is believed at once.
    b.send(&mut bob, &[0x55; 160], 160);
    b.send(&mut bob, &[0x55; 160], 160);
    b.send(&mut alice, &[0x55; 160], 160);
    b.run(20);
    assert_eq!(b.seen.packets.last().map(|(_, to, _)| *to), Some(bob.address));
}

#[test]
fn digits_sound_beside_every_codec_at_either_clock() {
    let cases = [
        (CodecId::Pcmu, 8_000),
        (CodecId::G722, 8_000),
        (CodecId::SpeexWb, 16_000),
        (CodecId::SpeexWb, 8_000),
        (CodecId::Opus, 48_000),
        (CodecId::Opus, 8_000),
    ];
    for (codec, clock) in cases {
        let mut b = Bench::new();
        let tone = b.add(Kind::Tone(Box::new(ToneLeg::new(None))));
        b.shard.join_phase(b.now, tone);
        let mut bob = b.rtp(codec, |p| p.dtmf = Some((101, clock)));
        b.connect(tone, bob.leg);
        b.run(200);
        for digit in ['5', '#'] {
            let leg = bob.leg;
            b.shard
                .handle_command(b.now, Command::Digit { leg, digit, ms: 160 });
        }
        b.run(1_000);
        let events = b.seen.of(bob.leg, 101);
        for code in [5, 11] {
            let of_code: Vec<_> = events
                .iter()
                .map(|(_, ts, payload)| (*ts, TelephoneEvent::parse(payload).unwrap()))
                .filter(|(_, e)| e.code == code)
                .collect();
            assert!(of_code.len() >= 8, "{codec:?} {clock}");
            assert!(
                of_code.iter().all(|(ts, _)| *ts == of_code[0].0),
                "one event, one time"
            );
            let ends: Vec<_> = of_code.iter().filter(|(_, e)| e.end).collect();
            assert_eq!(ends.len(), 3);
            // 160 ms in the clock of the events.
            assert!(
                ends.iter()
                    .all(|(_, e)| u32::from(e.duration) == clock * 160 / 1_000)
            );
        }
        // The audio's time base goes on through it.
        let times: Vec<u32> = b.seen.of(bob.leg, 97).iter().map(|(_, ts, _)| *ts).collect();
        let slot = codecs::codec(codec).rtp_clock / 50;
        for two in times.windows(2) {
            let step = two[1].wrapping_sub(two[0]);
            assert!(
                step >= slot && step.is_multiple_of(slot),
                "{codec:?} {clock}: {step}"
            );
        }
        // And the other way.
        bob.pt = 101;
        for n in 1..=5u16 {
            let event = TelephoneEvent {
                code: 9,
                end: n == 5,
                volume: 10,
                duration: n * 160,
            };
            b.send(&mut bob, &event.to_bytes(), 0);
            b.run(20);
        }
        let told = |e: &&Event| matches!(e, Event::Digit { digit: '9', .. });
        assert_eq!(b.seen.events.iter().filter(told).count(), 1, "{codec:?} {clock}");
    }
}

/// Payloads of a tone, 20 ms each.
fn spoken(codec: CodecId, count: usize) -> Vec<Vec<u8>> {
    let row = codecs::codec(codec);
    let mut tone = codecs::tone::Tone::new(440.0, -15.0, row.sample_rate);
    let mut encoder = codecs::encoder(codec, &codecs::EncoderOptions::default()).unwrap();
    let one = |_| {
        let mut pcm = vec![0; row.frame()];
        tone.fill(&mut pcm);
        let mut out = vec![0; 1_500];
        let n = encoder.encode(&pcm, &mut out).unwrap();
        out.truncate(n);
        out
    };
    (0..count).map(one).collect()
}

#[test]
fn what_both_ends_speak_passes_untouched() {
    for codec in [CodecId::Opus, CodecId::G722, CodecId::SpeexWb, CodecId::Pcmu] {
        for paced in [false, true] {
            let mut b = Bench::new();
            let mut alice = b.rtp(codec, |_| {});
            let client = b.add(Kind::Proxy);
            let bob = b.rtp(codec, |_| {});
            b.connect(if paced { client } else { alice.leg }, bob.leg);
            let ticks = codecs::codec(codec).rtp_clock / 50;
            let payloads = spoken(codec, 50);
            for (n, payload) in payloads.iter().enumerate() {
                if paced {
                    let kind = FrameKind::Audio {
                        codec,
                        time: MediaTime::new(n as u64 * 20, 1_000),
                        bursty: true,
                    };
                    b.shard.deliver(b.now, client, kind, payload);
                } else {
                    b.send(&mut alice, payload, ticks);
                }
                b.run(20);
            }
            b.run(40);
            let sent = b.seen.of(bob.leg, 97);
            assert!(sent.len() >= 50, "{codec:?} {paced}: {}", sent.len());
            // What is made up for the end, when no more comes, is no matter.
            for (n, payload) in payloads.iter().enumerate() {
                assert!(sent[n].2 == *payload, "{codec:?} {paced}: packet {n}");
            }
            for two in sent.windows(2) {
                assert_eq!(two[1].1.wrapping_sub(two[0].1), ticks, "{codec:?} {paced}");
            }
        }
    }
}

#[test]
fn a_lost_packet_of_what_passes_whole_is_a_hole_for_the_receiver() {
    for (codec, ms) in [
        (CodecId::Opus, 20),
        (CodecId::Opus, 60),
        (CodecId::G722, 20),
        (CodecId::G722, 40),
    ] {
        let mut b = Bench::new();
        let mut alice = b.rtp(codec, |_| {});
        let bob = b.rtp(codec, |_| {});
        b.connect(alice.leg, bob.leg);
        let ticks = codecs::codec(codec).rtp_clock * ms / 1_000;
        let payload = |n: u8| match (codec, ms) {
            // Code 3: three frames of 20 ms.
            (CodecId::Opus, 60) => vec![0xfb, 3, n, n, n],
            (CodecId::Opus, _) => vec![0xf8, n, n],
            _ => vec![n; ticks as usize],
        };
        for n in 0..60u8 {
            if n == 30 {
                alice.loses(ticks);
            } else {
                b.send(&mut alice, &payload(n), ticks);
            }
            b.run(u64::from(ms));
        }
        let sent = b.seen.of(bob.leg, 97);
        assert_eq!(sent.len(), 59, "{codec:?} {ms}");
        let (first_seq, first_time, _) = sent[0].clone();
        for (i, (seq, time, bytes)) in (0u16..).zip(&sent) {
            let n = bytes.last().copied().unwrap();
            assert_eq!(*bytes, payload(n));
            assert_eq!(seq.wrapping_sub(first_seq), i, "{codec:?} {ms}");
            assert_eq!(
                time.wrapping_sub(first_time),
                u32::from(n) * ticks,
                "{codec:?} {ms}"
            );
        }
    }
}
