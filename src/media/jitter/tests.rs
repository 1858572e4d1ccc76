use super::*;
use crate::netem::{Netem, NetemOptions};
use base::Rng;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

fn at(ms: u64) -> Time {
    Time::from_millis(ms)
}

fn packet(seq: u16, timestamp: u32, payload: &[u8]) -> RtpPacket<'_> {
    RtpPacket {
        payload_type: 0,
        marker: false,
        seq,
        timestamp,
        ssrc: 1,
        payload,
    }
}

/// A frame's number as it was sent, or a concealed frame.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Heard {
    Frame { n: u64, time: u64, delay_ms: u64 },
    Lost { time: u64, ticks: u32 },
}

/// A sender of 20 ms frames, a network, and the buffer, in steps of 1 ms.
struct Bench {
    jitter: JitterBuffer,
    net: Netem<u64>,
    now: Time,
    sent: u64,
    speed: f64,
    heard: Vec<(Time, Heard)>,
    most_held: usize,
}

impl Bench {
    fn new(options: NetemOptions, seed: u64, speed: f64) -> Bench {
        Bench {
            jitter: JitterBuffer::new(8000, 20, 8),
            net: Netem::new(options, Rng::new(seed)),
            now: Time::ZERO,
            sent: 0,
            speed,
            heard: Vec::new(),
            most_held: 0,
        }
    }

    fn drain(&mut self) {
        while let Some(out) = self.jitter.poll(self.now) {
            let heard = match out {
                Out::Frame { payload, time, .. } => {
                    let n = u64::from_be_bytes(payload.try_into().unwrap());
                    let sent = n as f64 * 20.0 / self.speed;
                    Heard::Frame {
                        n,
                        time: time.ticks,
                        delay_ms: (self.now.as_nanos() as f64 / 1e6 - sent).round() as u64,
                    }
                }
                Out::Lost { time, ticks } => Heard::Lost {
                    time: time.ticks,
                    ticks,
                },
            };
            self.heard.push((self.now, heard));
        }
    }

    fn run(&mut self, until: Time) {
        while self.now < until {
            let ms = self.now.as_nanos() as f64 / 1e6 * self.speed;
            while self.sent as f64 * 20.0 <= ms {
                self.net.send(self.now, self.sent);
                self.sent += 1;
            }
            while let Some(n) = self.net.poll(self.now) {
                let payload = n.to_be_bytes();
                let p = packet(
                    (n as u16).wrapping_add(65_500),
                    (n as u32 * 160).wrapping_add(u32::MAX - 5_000),
                    &payload,
                );
                self.jitter.insert(self.now, &p).unwrap();
                self.most_held = self.most_held.max(self.jitter.depth());
                self.drain();
            }
            if self.jitter.poll_timeout().is_some_and(|t| t <= self.now) {
                self.drain();
            }
            self.now += Duration::from_millis(1);
        }
    }

    /// What was heard from `from` on.
    fn since(&self, from: Time) -> impl Iterator<Item = Heard> + '_ {
        self.heard.iter().filter(move |h| h.0 >= from).map(|h| h.1)
    }

    fn counts(&self, from: Time) -> (usize, usize) {
        let lost = self
            .since(from)
            .filter(|h| matches!(h, Heard::Lost { .. }))
            .count();
        (self.since(from).count() - lost, lost)
    }

    fn worst_delay(&self, from: Time) -> u64 {
        self.since(from)
            .filter_map(|h| match h {
                Heard::Frame { delay_ms, .. } => Some(delay_ms),
                Heard::Lost { .. } => None,
            })
            .max()
            .unwrap_or(0)
    }

    /// Time never goes back, and nothing is heard twice.
    fn check_order(&self) {
        let mut end = 0;
        let first = self.since(Time::ZERO).find_map(|h| match h {
            Heard::Frame { n, time, .. } => Some(n as i64 * 160 - time as i64),
            Heard::Lost { .. } => None,
        });
        for (_, h) in &self.heard {
            let (time, ticks) = match *h {
                Heard::Frame { n, time, .. } => {
                    // Its own place, give or take the half frame an overlap may shift it.
                    let place = n as i64 * 160 - first.unwrap();
                    assert!((time as i64 - place).abs() <= 80, "{h:?}");
                    (time, 80)
                }
                Heard::Lost { time, ticks } => (time, u64::from(ticks)),
            };
            assert!(time >= end, "{h:?} before {end}");
            end = time + ticks;
        }
    }
}

#[test]
fn a_clean_path_gains_no_delay() {
    let mut b = Bench::new(
        NetemOptions {
            delay: Duration::from_millis(37),
            ..NetemOptions::default()
        },
        1,
        1.0,
    );
    b.run(at(10_000));
    assert_eq!(b.counts(Time::ZERO), (499, 0));
    assert_eq!(b.worst_delay(Time::ZERO), 37);
    assert_eq!(b.most_held, 1);
    b.check_order();
}

#[test]
fn loss_is_concealed_and_delays_nothing() {
    for (loss, burst) in [(0.01, 1.0), (0.1, 1.0), (0.3, 1.0), (0.1, 3.0)] {
        let options = NetemOptions {
            loss,
            burst,
            delay: Duration::from_millis(20),
            ..NetemOptions::default()
        };
        let mut b = Bench::new(options, 7, 1.0);
        b.run(at(60_000));
        let (frames, lost) = b.counts(Time::ZERO);
        let arrived = b.sent - b.net.lost();
        assert!((arrived - 1..=arrived).contains(&(frames as u64)), "{loss}");
        // All but the rest of gaps too long to conceal.
        assert!(
            lost as u64 >= b.net.lost() * 85 / 100 && lost as u64 <= b.net.lost(),
            "{loss} {burst}: {lost} of {}",
            b.net.lost()
        );
        assert_eq!(b.worst_delay(Time::ZERO), 20, "{loss}");
        b.check_order();
    }
}

#[test]
fn reordering_is_learned_and_forgotten() {
    let clean = NetemOptions {
        delay: Duration::from_millis(20),
        ..NetemOptions::default()
    };
    let mut b = Bench::new(
        NetemOptions {
            reorder: 0.05,
            ..clean
        },
        3,
        1.0,
    );
    b.run(at(30_000));
    // Of some 75 packets held back by 50 ms, those that follow another within the window are waited for.
    let late = b.jitter.stats().late;
    assert!(late < 25, "{late}");
    assert!(
        b.jitter.wait() >= Duration::from_millis(50),
        "{:?}",
        b.jitter.wait()
    );
    b.check_order();
    b.net.set(clean);
    b.run(at(32_000));
    assert_eq!(b.jitter.wait(), Duration::from_millis(20));
    b.run(at(35_000));
    assert_eq!(b.worst_delay(at(32_000)), 20);
}

#[test]
fn everything_at_once_and_the_delay_returns_within_2_s() {
    let clean = NetemOptions {
        delay: Duration::from_millis(20),
        ..NetemOptions::default()
    };
    for (seed, loss) in [(1, 0.01), (2, 0.1), (3, 0.3)] {
        let bad = NetemOptions {
            loss,
            burst: 2.0,
            jitter: Duration::from_millis(60),
            in_order: false,
            reorder: 0.05,
            duplicate: 0.05,
            ..clean
        };
        let mut b = Bench::new(bad, seed, 1.0);
        b.run(at(30_000));
        b.check_order();
        let (frames, _) = b.counts(Time::ZERO);
        assert!(
            frames as f64 > (1_500.0 - b.net.lost() as f64) * 0.95,
            "{loss}: {frames}"
        );
        assert!(b.worst_delay(Time::ZERO) <= 20 + 120 + 20, "{loss}");
        assert!(b.jitter.stats().duplicates > 20);
        b.net.set(clean);
        b.run(at(32_000));
        b.run(at(40_000));
        assert_eq!(b.worst_delay(at(32_000)), 20, "{loss}");
        assert_eq!(b.counts(at(32_000)).1, 0, "{loss}");
        assert_eq!(b.jitter.wait(), Duration::from_millis(20));
    }
}

#[test]
fn ten_minutes_of_drift_change_nothing() {
    for speed in [1.0001, 0.9999] {
        let options = NetemOptions {
            delay: Duration::from_millis(30),
            jitter: Duration::from_millis(8),
            ..NetemOptions::default()
        };
        let mut b = Bench::new(options, 5, speed);
        b.run(at(600_000));
        let (frames, lost) = b.counts(Time::ZERO);
        assert!(frames >= 29_990 && lost == 0, "{speed}: {frames} {lost}");
        assert!(b.worst_delay(Time::ZERO) <= 39);
        let skew = f64::from(b.jitter.stats().skew_ppm);
        assert!((skew - (speed - 1.0) * 1e6).abs() < 20.0, "{skew}");
    }
}

#[test]
fn after_a_stall_old_audio_is_dropped() {
    let mut b = Bench::new(NetemOptions::default(), 1, 1.0);
    b.run(at(5_000));
    b.net.stall(at(8_000));
    b.run(at(8_100));
    // What came in the burst is at most as old as the longest wait.
    let burst: Vec<_> = b.since(at(8_000)).collect();
    assert!(burst.len() <= 7 + 5, "{}", burst.len());
    assert!(b.worst_delay(at(5_000)) <= 120);
    assert!(b.jitter.stats().late > 130);
    b.run(at(15_000));
    assert_eq!(b.worst_delay(at(8_020)), 0);
    b.check_order();
}

#[test]
fn a_longer_path_becomes_the_new_measure() {
    let mut b = Bench::new(NetemOptions::default(), 1, 1.0);
    b.run(at(5_000));
    b.net.set(NetemOptions {
        delay: Duration::from_millis(400),
        ..NetemOptions::default()
    });
    b.run(at(5_620));
    b.run(at(10_000));
    let (frames, lost) = b.counts(at(5_620));
    assert_eq!((frames, lost), (219, 0));
    b.check_order();
}

#[test]
fn a_talk_spurt_after_silence_is_marked_and_a_pause_conceals_little() {
    let mut j = JitterBuffer::new(8000, 20, 160);
    j.insert(at(0), &packet(1, 0, &[1])).unwrap();
    assert!(matches!(j.poll(at(0)), Some(Out::Frame { marker: true, .. })));
    let mut concealed = 0;
    while let Some(t) = j.poll_timeout() {
        assert!(t <= at(200));
        while let Some(out) = j.poll(t) {
            assert!(matches!(out, Out::Lost { ticks: 160, .. }));
            concealed += 1;
        }
    }
    assert_eq!(concealed, 5);
    // Two seconds later speech goes on: next number, later time.
    j.insert(at(2_000), &packet(2, 16_000, &[2])).unwrap();
    let Some(Out::Frame { marker, time, .. }) = j.poll(at(2_000)) else {
        panic!("nothing came")
    };
    assert!(marker);
    assert_eq!(time.ticks, 16_000);
}

#[test]
fn noted_numbers_are_not_missing_and_may_announce_silence() {
    let mut j = JitterBuffer::new(8000, 20, 160);
    j.insert(at(0), &packet(1, 0, &[1])).unwrap();
    j.poll(at(0));
    j.note(2, true);
    assert_eq!(j.poll(at(50)), None);
    assert_eq!(j.poll_timeout(), None);
    j.insert(at(60), &packet(3, 480, &[3])).unwrap();
    assert!(matches!(j.poll(at(60)), Some(Out::Frame { .. })));
    assert_eq!(j.stats().concealed, 0);
}

#[test]
fn a_new_source_and_a_timestamp_jump_keep_media_time_going() {
    let mut j = JitterBuffer::new(8000, 20, 160);
    let mut last = None;
    let mut play = |j: &mut JitterBuffer, ms: u64, seq: u16, ts: u32| {
        j.insert(at(ms), &packet(seq, ts, &[1])).unwrap();
        let Some(Out::Frame { time, .. }) = j.poll(at(ms)) else {
            panic!("nothing at {ms}")
        };
        assert!(last.is_none_or(|l| time.ticks > l), "{time:?} after {last:?}");
        last = Some(time.ticks);
        time.ticks
    };
    play(&mut j, 0, 1, 0);
    assert_eq!(play(&mut j, 20, 2, 160), 160);
    // Jumps far ahead, then far back.
    assert_eq!(play(&mut j, 40, 3, 3_000_000_000), 320);
    assert_eq!(play(&mut j, 60, 4, 3_000_000_160), 480);
    assert_eq!(play(&mut j, 80, 5, 5), 640);
    // Another source.
    j.restart();
    assert_eq!(j.poll(at(90)), None);
    assert_eq!(play(&mut j, 100, 60_000, 77), 800);
    assert_eq!(play(&mut j, 120, 60_001, 237), 960);
    assert_eq!(j.stats().jumps, 3);
}

#[test]
fn packets_of_another_duration_are_measured() {
    let mut j = JitterBuffer::new(8000, 20, 160);
    for i in 0..5u32 {
        j.insert(at(u64::from(i) * 60), &packet(i as u16, i * 480, &[1]))
            .unwrap();
        assert!(matches!(j.poll(at(u64::from(i) * 60)), Some(Out::Frame { .. })));
    }
    j.insert(at(360), &packet(6, 2_880, &[1])).unwrap();
    assert_eq!(
        j.poll(at(360)),
        Some(Out::Lost {
            time: MediaTime::new(2_400, 8000),
            ticks: 480
        })
    );
    assert!(matches!(j.poll(at(360)), Some(Out::Frame { .. })));
}

#[test]
fn a_payload_beyond_the_bound_is_refused() {
    let mut j = JitterBuffer::new(8000, 20, 160);
    assert_eq!(
        j.insert(at(0), &packet(0, 0, &[0; 1501])),
        Err(Error::PayloadTooLong(1501))
    );
}

proptest! {
    /// Any packets at any time: the bound holds, time only rises, no frame comes twice, polling ends.
    #[test]
    fn operations(ops in proptest::collection::vec((0u64..90, any::<u16>(), any::<u32>(), 0u8..20), 1..400)) {
        let mut j = JitterBuffer::new(8000, 20, 4);
        let (mut now, mut seq, mut ts) = (at(1), 0u16, 0u32);
        let mut end = 0;
        for (n, (ms, a, b, what)) in ops.into_iter().enumerate() {
            now += Duration::from_millis(ms / 3);
            match what {
                0 => { seq = a; }
                1 => { ts = b; }
                2 => j.restart(),
                3 => j.note(seq.wrapping_add(a % 5), a % 2 == 0),
                4 | 5 => { seq = seq.wrapping_sub(a % 60); ts = ts.wrapping_sub(u32::from(a % 60) * 160); }
                6 | 7 => { seq = seq.wrapping_add(a % 60); ts = ts.wrapping_add(u32::from(a % 60) * 160); }
                _ => { seq = seq.wrapping_add(1); ts = ts.wrapping_add(160); }
            }
            let body = (n as u32).to_be_bytes();
            j.insert(now, &packet(seq, ts, &body)).unwrap();
            prop_assert!(j.depth() <= 50);
            let mut polls = 0;
            while let Some(out) = j.poll(now) {
                let (time, ticks) = match out {
                    Out::Frame { time, .. } => (time.ticks, 1),
                    Out::Lost { time, ticks } => (time.ticks, u64::from(ticks)),
                };
                prop_assert!(time >= end, "{time} before {end}");
                end = time + ticks;
                polls += 1;
                prop_assert!(polls < 200);
            }
            if let Some(t) = j.poll_timeout() {
                prop_assert!(t > now, "{t} is due at {now} though nothing came");
            }
        }
    }

    /// With nothing lost and reordering within the wait, all comes out once and in order.
    #[test]
    fn nothing_is_lost_that_came_in_time(seed in any::<u64>()) {
        let options = NetemOptions {
            jitter: Duration::from_millis(18),
            in_order: false,
            duplicate: 0.2,
            delay: Duration::from_millis(5),
            ..NetemOptions::default()
        };
        let mut b = Bench::new(options, seed, 1.0);
        b.run(at(3_000));
        let frames: Vec<u64> = b.heard.iter().filter_map(|h| match h.1 {
            Heard::Frame { n, .. } => Some(n),
            Heard::Lost { .. } => None,
        }).collect();
        prop_assert!(frames.windows(2).all(|w| w[1] == w[0] + 1));
        prop_assert_eq!(b.counts(Time::ZERO).1, 0);
    }
}
