use super::*;
use crate::PipeOptions;
use crate::netem::{Netem, NetemOptions};
use base::Rng;
use codecs::CodecId;
use codecs::tone::Tone;
use proptest::prelude::{any, prop_assert, proptest};
use std::time::Duration;

/// A sender, a network and a playout, driven in steps of 1 ms of virtual time.
struct Bench {
    playout: Playout,
    net: Netem<(u64, Vec<u8>)>,
    now: Time,
    /// Sender's media clock: ms of audio sent.
    sent_ms: f64,
    message_ms: f64,
    /// Messages that leave together.
    burst: u32,
    /// Sender's clock against ours.
    speed: f64,
    voice: Voice,
    frames: usize,
    silent: usize,
}

/// What the sender says.
enum Voice {
    /// A tone without a pause.
    Tone(Tone),
    /// Half a second of tone, half of silence.
    Talk(Tone),
}

fn payload(codec: CodecId, voice: &mut Voice, at_ms: f64, ms: f64) -> Vec<u8> {
    let c = codecs::codec(codec);
    let mut encoder = codecs::encoder(codec, &codecs::EncoderOptions::default()).unwrap();
    let mut out = vec![0; 4096];
    let mut len = 0;
    for i in 0..(ms / 20.0).ceil() as usize {
        let t = at_ms + i as f64 * 20.0;
        let samples = ((ms - i as f64 * 20.0).min(20.0) / 20.0 * c.frame() as f64).round() as usize;
        let mut pcm = vec![0i16; samples];
        match voice {
            Voice::Tone(tone) => tone.fill(&mut pcm),
            Voice::Talk(tone) => {
                if t % 1000.0 < 500.0 {
                    tone.fill(&mut pcm);
                }
            }
        }
        len += encoder.encode(&pcm, &mut out[len..]).unwrap();
    }
    out.truncate(len);
    out
}

impl Bench {
    fn new(from: CodecId, to: CodecId, message_ms: f64, speed: f64, talk: bool) -> Bench {
        let options = PipeOptions {
            buffer_ms: Playout::BUFFER_MS,
            ..PipeOptions::default()
        };
        let tone = Tone::new(440.0, -20.0, codecs::codec(from).sample_rate);
        Bench {
            playout: Playout::new(Pipe::plan(from, to, &options).unwrap()),
            net: Netem::new(NetemOptions::default(), Rng::new(3)),
            now: Time::ZERO,
            sent_ms: 0.0,
            message_ms,
            burst: 1,
            speed,
            voice: if talk {
                Voice::Talk(tone)
            } else {
                Voice::Tone(tone)
            },
            frames: 0,
            silent: 0,
        }
    }

    /// Runs to `until`; calls `each` with the depth after every slot.
    fn run(&mut self, until: Time, mut each: impl FnMut(Time, u32)) {
        let mut out = vec![0; 2048];
        while self.now < until {
            let ms = self.now.as_nanos() as f64 / 1e6 * self.speed;
            // A message leaves when its last sample has been captured.
            while self.sent_ms + self.message_ms * f64::from(self.burst) <= ms {
                for _ in 0..self.burst {
                    let from = self.playout.pipe().from();
                    let body = payload(from, &mut self.voice, self.sent_ms, self.message_ms);
                    self.net.send(self.now, (self.sent_ms as u64, body));
                    self.sent_ms += self.message_ms;
                }
            }
            while let Some((t, body)) = self.net.poll(self.now) {
                self.playout
                    .push(self.now, MediaTime::new(t, 1000), &body)
                    .unwrap();
            }
            if self.now.as_millis() % 20 == 7 {
                match self.playout.pull(&mut out) {
                    Slot::Frame { ticks, .. } => {
                        assert_eq!(ticks, self.playout.slot_ticks());
                        self.frames += 1;
                    }
                    Slot::Silent { .. } => self.silent += 1,
                }
                each(self.now, self.playout.depth_ms());
            }
            self.now += Duration::from_millis(1);
        }
    }

    fn least_depth(&mut self, until: Time) -> u32 {
        let mut least = u32::MAX;
        self.run(until, |_, d| least = least.min(d));
        least
    }
}

fn secs(s: u64) -> Time {
    Time::from_secs(s)
}

/// Speex as Flash sends it, encoded afresh for each message: quick enough, and timing is what is judged.
const WAYS: [(CodecId, CodecId, f64); 5] = [
    (CodecId::Pcmu, CodecId::Pcmu, 20.0),
    (CodecId::Pcmu, CodecId::Pcma, 20.0),
    (CodecId::SpeexWb, CodecId::SpeexWb, 20.0),
    (CodecId::SpeexWb, CodecId::Pcmu, 20.0),
    (CodecId::Pcmu, CodecId::Pcmu, 256.0),
];

#[test]
fn a_steady_sender_gets_every_slot_and_no_delay() {
    for (from, to, message) in WAYS {
        let mut b = Bench::new(from, to, message, 1.0, false);
        b.run(secs(1), |_, _| {});
        b.silent = 0;
        let least = b.least_depth(secs(10));
        assert_eq!(b.silent, 0, "{from:?} {to:?} {message}");
        assert!(least < 20, "{from:?} {to:?} {message}: {least} ms");
        let s = b.playout.stats();
        assert_eq!(
            (
                s.silence_ticks,
                s.compressed_ticks,
                s.dropped_ticks,
                s.overflow_ticks
            ),
            (0, 0, 0, 0),
            "{from:?} {to:?} {message}"
        );
    }
}

/// Fourteen frames at once each 280 ms are more than the bound for single ones.
#[test]
fn a_sender_of_bursts_is_not_punished() {
    for (from, to) in [
        (CodecId::SpeexWb, CodecId::SpeexWb),
        (CodecId::Pcmu, CodecId::Pcma),
    ] {
        let mut b = Bench::new(from, to, 20.0, 1.0, false);
        b.burst = 14;
        b.run(secs(2), |_, _| {});
        let before = b.playout.stats();
        assert!(
            before.overflow_ticks <= u64::from(b.playout.slot_ticks()) * 6,
            "{before:?}"
        );
        b.silent = 0;
        let least = b.least_depth(secs(20));
        let s = b.playout.stats();
        assert_eq!((b.silent, s.overflow_ticks), (0, before.overflow_ticks));
        assert_eq!((s.compressed_ticks, s.dropped_ticks), (0, 0));
        // And neither is its stall forgiven.
        b.net.stall(secs(23));
        b.run(secs(25), |_, _| {});
        let after = b.least_depth(secs(27));
        assert!(after <= least + 40, "{from:?}: {least} -> {after} ms");
    }
}

#[test]
fn after_a_stall_of_3_s_delay_is_back_within_2_s() {
    for talk in [false, true] {
        for (from, to, message) in WAYS {
            let mut b = Bench::new(from, to, message, 1.0, talk);
            let before = b.least_depth(secs(5));
            b.net.stall(secs(8));
            b.run(secs(8), |_, _| {});
            let mut worst = 0;
            b.run(secs(10), |_, d| worst = worst.max(d));
            assert!(
                worst <= message as u32 + 160 + 20,
                "{from:?} {to:?} {message}: bound {worst}"
            );
            let after = b.least_depth(secs(12));
            assert!(
                after <= before + 40,
                "{from:?} {to:?} {message} {talk}: {before} -> {after} ms"
            );
            let s = b.playout.stats();
            if talk && from == CodecId::Pcmu {
                assert!(s.silence_ticks > 0, "{s:?}");
            }
            if !b.playout.pipe().can_compress() {
                assert!(s.dropped_ticks > 0, "{s:?}");
            }
        }
    }
}

/// Ten minutes of a sound card 100 ppm off, both ways, with and without pauses in the speech.
#[test]
fn drift_stays_within_one_frame() {
    for talk in [false, true] {
        for speed in [1.0001, 0.9999] {
            for (from, to, message) in [
                (CodecId::Pcmu, CodecId::Pcmu, 20.0),
                (CodecId::Pcma, CodecId::Pcmu, 40.0),
                (CodecId::SpeexWb, CodecId::SpeexWb, 20.0),
            ] {
                let mut b = Bench::new(from, to, message, speed, talk);
                let start = b.least_depth(secs(10));
                let mut least = u32::MAX;
                b.run(secs(600), |t, d| {
                    least = least.min(d);
                    if t.as_millis() % 2_000 == 7 {
                        assert!(
                            least <= start + 20,
                            "{from:?} {speed} {talk} at {t}: {start} -> {least} ms"
                        );
                        least = u32::MAX;
                    }
                });
                let s = b.playout.stats();
                assert!(s.underruns <= 6, "{s:?}");
                assert_eq!(s.overflow_ticks, 0);
            }
        }
    }
}

/// What is no whole frame cannot be sent and only delays: of messages that are whole slots nothing is left over.
#[test]
fn standing_delay_is_removed_to_the_last_sample() {
    for (from, to) in [
        (CodecId::Pcmu, CodecId::Pcmu),
        (CodecId::Pcmu, CodecId::Pcma),
        (CodecId::SpeexWb, CodecId::Pcmu),
    ] {
        for hz in [110.0, 197.0, 303.0] {
            let mut b = Bench::new(from, to, 20.0, 1.0, false);
            b.voice = Voice::Tone(Tone::new(hz, -20.0, codecs::codec(from).sample_rate));
            b.run(secs(1), |_, _| {});
            b.net.stall(Time::from_millis(1_070));
            b.run(secs(10), |_, _| {});
            assert_eq!(b.least_depth(secs(11)), 0, "{from:?} {to:?} {hz}");
            assert_eq!(b.playout.pipe().depth(), 0);
            assert!(b.playout.stats().compressed_ticks > 0);
        }
    }
}

#[test]
fn a_pause_is_silence_and_the_marker_follows_it() {
    let mut b = Bench::new(CodecId::Pcmu, CodecId::Pcmu, 20.0, 1.0, false);
    let mut out = [0; 200];
    b.run(secs(1), |_, _| {});
    assert_eq!(b.playout.pull(&mut out), Slot::Silent { ticks: 160 });
    b.playout
        .push(b.now, MediaTime::new(5_000, 1000), &[0xff; 160])
        .unwrap();
    assert_eq!(
        b.playout.pull(&mut out),
        Slot::Frame {
            len: 160,
            ticks: 160,
            marker: true
        }
    );
    assert_eq!(b.playout.stats().underruns, 1);
}

#[test]
fn jitter_below_a_frame_removes_nothing() {
    let mut b = Bench::new(CodecId::Pcmu, CodecId::Pcmu, 20.0, 1.0, false);
    b.net.set(NetemOptions {
        jitter: Duration::from_millis(15),
        ..NetemOptions::default()
    });
    b.run(secs(60), |_, _| {});
    let s = b.playout.stats();
    assert!(s.underruns <= 2, "{s:?}");
    assert_eq!((s.compressed_ticks, s.overflow_ticks), (0, 0), "{s:?}");
}

#[test]
fn a_payload_nobody_can_read_is_counted_and_skipped() {
    let options = PipeOptions::default();
    let mut p = Playout::new(Pipe::plan(CodecId::SpeexWb, CodecId::Pcmu, &options).unwrap());
    assert_eq!(
        p.push(Time::ZERO, MediaTime::new(0, 1000), &[]),
        Err(Error::BadPayload)
    );
    assert_eq!(p.stats().bad_messages, 1);
    assert!(matches!(p.pull(&mut [0; 200]), Slot::Silent { ticks: 160 }));
}

proptest! {
    /// Whatever is pushed whenever: the bound holds, and every slot has its length.
    #[test]
    fn operations(ops in proptest::collection::vec((any::<bool>(), 0usize..2500), 1..200), speex in any::<bool>()) {
        let (from, to) = if speex { (CodecId::SpeexWb, CodecId::SpeexWb) } else { (CodecId::Pcmu, CodecId::Pcma) };
        let options = PipeOptions { buffer_ms: Playout::BUFFER_MS, ..PipeOptions::default() };
        let mut p = Playout::new(Pipe::plan(from, to, &options).unwrap());
        let mut out = [0; 256];
        let mut rng = Rng::new(9);
        let mut now = Time::ZERO;
        for (push, n) in ops {
            now += Duration::from_millis(7);
            if push {
                let mut body = vec![0; n];
                rng.fill(&mut body);
                let _ = p.push(now, MediaTime::new(now.as_millis(), 1000), &body);
            } else {
                let ticks = match p.pull(&mut out) {
                    Slot::Frame { ticks, len, .. } => { prop_assert!(len <= 256); ticks }
                    Slot::Silent { ticks } => ticks,
                };
                prop_assert!(ticks == p.slot_ticks());
            }
            prop_assert!(p.depth_ms() <= 320 + 160 + 20);
        }
    }
}
