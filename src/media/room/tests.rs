//! Who hears whom, at what level, and what a move between encoders does to what is heard.

use codecs::tone::{Tone, measure};
use codecs::{Decoder, Encoder, codec, decoder, encoder};

use super::*;
use crate::max_frame_bytes;

const QUIET: f32 = -45.0;

/// A member as it is outside the room.
struct Party {
    leg: LegId,
    codec: CodecId,
    tone: Tone,
    hz: f32,
    encoder: Box<dyn Encoder>,
    decoder: Box<dyn Decoder>,
    pending: Vec<i16>,
    sent: u64,
    heard: Vec<i16>,
}

impl Party {
    fn new(n: u64, codec_id: CodecId, hz: f32) -> Party {
        let encoder = encoder(codec_id, &Default::default()).unwrap();
        Party {
            leg: LegId(n),
            codec: codec_id,
            tone: Tone::new(hz, -24.0, encoder.sample_rate()),
            hz,
            decoder: decoder(codec_id, 0).unwrap(),
            encoder,
            pending: Vec::new(),
            sent: 0,
            heard: Vec::new(),
        }
    }

    /// 20 ms of its tone, or of silence, go into the room.
    fn speak(&mut self, room: &mut RoomMixer, speaks: bool) {
        let mut pcm = vec![0; self.encoder.sample_rate() as usize / 50];
        if speaks {
            self.tone.fill(&mut pcm);
        }
        self.say(room, &pcm);
    }

    fn say(&mut self, room: &mut RoomMixer, pcm: &[i16]) {
        self.pending.extend_from_slice(pcm);
        let (frame, rate) = (self.encoder.frame_samples(), self.encoder.sample_rate());
        while self.pending.len() >= frame {
            let mut out = vec![0; max_frame_bytes()];
            let n = self.encoder.encode(&self.pending[..frame], &mut out).unwrap();
            self.pending.drain(..frame);
            let time = MediaTime::new(self.sent, rate);
            self.sent += frame as u64;
            room.push(Time::ZERO, self.leg, self.codec, time, &out[..n]);
        }
    }

    fn hear(&mut self, room: &mut RoomMixer) {
        let mut pcm = [0; 1_920];
        for (payload, _, _) in room.hear(self.leg, self.codec).frames() {
            let n = self.decoder.decode(payload, &mut pcm).unwrap();
            self.heard.extend_from_slice(&pcm[..n]);
        }
    }

    /// The level of a tone in the last 400 ms.
    fn level(&self, hz: f32) -> f32 {
        let rate = self.decoder.sample_rate();
        let from = self.heard.len() - (rate as usize * 2 / 5).min(self.heard.len());
        measure(&self.heard[from..], rate, hz)
    }
}

fn quiet() -> RoomOptions {
    RoomOptions {
        comfort_noise: None,
        talkers: 16,
        ..RoomOptions::default()
    }
}

fn run(room: &mut RoomMixer, parties: &mut [Party], slots: usize, speaks: impl Fn(usize) -> bool) {
    for _ in 0..slots {
        for (n, p) in parties.iter_mut().enumerate() {
            p.speak(room, speaks(n));
        }
        room.mix();
        parties.iter_mut().for_each(|p| p.hear(room));
    }
}

#[test]
fn every_codec_hears_every_other_and_not_itself() {
    let codecs = [
        CodecId::Pcmu,
        CodecId::SpeexWb,
        CodecId::G722,
        CodecId::Nelly16,
        CodecId::SpeexNb,
        CodecId::Opus,
        CodecId::L16_16,
    ];
    let mut room = RoomMixer::new(quiet());
    let mut parties: Vec<Party> = (0..)
        .zip(codecs)
        .map(|(n, c)| Party::new(n, c, 400.0 + 130.0 * n as f32))
        .collect();
    parties.iter().for_each(|p| room.join(p.leg));
    run(&mut room, &mut parties, 150, |_| true);
    assert_eq!(room.rate(), 48_000);
    for a in &parties {
        for b in &parties {
            let level = a.level(b.hz);
            if a.leg == b.leg {
                assert!(level < QUIET, "{:?} hears itself at {level}", a.codec);
            } else {
                assert!(
                    (-27.0..-21.0).contains(&level),
                    "{:?} hears {:?} at {level}",
                    a.codec,
                    b.codec
                );
            }
        }
    }
}

#[test]
fn a_room_runs_at_the_highest_rate_present() {
    let mut room = RoomMixer::new(quiet());
    let mut parties = vec![
        Party::new(1, CodecId::Pcmu, 500.0),
        Party::new(2, CodecId::Pcma, 700.0),
    ];
    parties.iter().for_each(|p| room.join(p.leg));
    run(&mut room, &mut parties, 50, |_| true);
    assert_eq!(room.rate(), 8_000);
    parties.push(Party::new(3, CodecId::SpeexWb, 900.0));
    room.join(LegId(3));
    run(&mut room, &mut parties, 50, |_| true);
    assert_eq!(room.rate(), 16_000);
    assert!(parties[0].level(900.0) > -27.0 && parties[2].level(500.0) > -27.0);
    room.leave(LegId(3));
    parties.pop();
    run(&mut room, &mut parties, 200, |_| true);
    assert_eq!(room.rate(), 16_000);
    run(&mut room, &mut parties, 100, |_| true);
    assert_eq!(room.rate(), 8_000);
    assert!(parties[0].level(700.0) > -27.0);
}

#[test]
fn the_loudest_are_heard_and_stay_so() {
    let mut room = RoomMixer::new(RoomOptions {
        talkers: 2,
        ..quiet()
    });
    let mut parties: Vec<Party> = (0..4)
        .map(|n| Party::new(n, CodecId::L16_8, 500.0 + 150.0 * n as f32))
        .collect();
    for (p, gain) in parties.iter().zip([0.0, 1.0, 2.0, 0.0]) {
        room.join(p.leg);
        room.set_gain(p.leg, gain);
    }
    run(&mut room, &mut parties, 50, |n| n < 2);
    // The third is louder, but not by enough.
    run(&mut room, &mut parties, 100, |n| n < 3);
    let heard = |p: &Party, n: usize| p.level(500.0 + 150.0 * n as f32) > -30.0;
    assert!(heard(&parties[3], 0) && heard(&parties[3], 1) && !heard(&parties[3], 2));
    room.set_gain(LegId(2), 10.0);
    run(&mut room, &mut parties, 100, |n| n < 3);
    assert!(!heard(&parties[3], 0) && heard(&parties[3], 1) && heard(&parties[3], 2));
    assert_eq!(room.talkers().next().map(|(leg, _)| leg), Some(LegId(2)));
}

#[test]
fn gains_mutes_and_sounds() {
    let mut room = RoomMixer::new(quiet());
    let mut parties: Vec<Party> = (0..3)
        .map(|n| Party::new(n, CodecId::L16_16, 500.0 + 200.0 * n as f32))
        .collect();
    parties.iter().for_each(|p| room.join(p.leg));
    room.set_gain(LegId(0), 6.0);
    room.set_volume(LegId(1), -6.0);
    room.mute(LegId(2), true);
    run(&mut room, &mut parties, 60, |_| true);
    assert!((parties[2].level(500.0) + 18.0).abs() < 1.0);
    assert!((parties[1].level(500.0) + 24.0).abs() < 1.0);
    assert!(parties[0].level(900.0) < QUIET);
    room.deafen(LegId(1), true);
    let bell = Arc::new(Sound::tones(&[(1_500.0, 800)], -20.0));
    assert!(room.play(Some(LegId(1)), &bell));
    assert!(room.play(None, &Arc::new(Sound::tones(&[(2_000.0, 800)], -20.0))));
    run(&mut room, &mut parties, 30, |_| true);
    assert!(parties[1].level(1_500.0) > -22.0 && parties[1].level(2_000.0) < QUIET);
    assert!(parties[1].level(500.0) < QUIET);
    assert!(parties[0].level(2_000.0) > -22.0 && parties[0].level(1_500.0) < QUIET);
    run(&mut room, &mut parties, 40, |_| true);
    assert!(parties[0].level(2_000.0) < QUIET);
    for _ in 0..params::ROOM_SOUNDS {
        room.play(None, &bell);
    }
    assert!(!room.play(None, &bell));
}

/// Two mixers that hear each other's sums: one at 8 kHz, one at 16.
#[test]
fn shards_mix_by_their_sums() {
    let (mut x, mut y) = (RoomMixer::new(quiet()), RoomMixer::new(quiet()));
    let mut here = [
        Party::new(1, CodecId::Pcmu, 500.0),
        Party::new(2, CodecId::Pcmu, 700.0),
    ];
    let mut there = [Party::new(3, CodecId::SpeexWb, 900.0)];
    here.iter().for_each(|p| x.join(p.leg));
    there.iter().for_each(|p| y.join(p.leg));
    for _ in 0..100 {
        run(&mut x, &mut here, 1, |_| true);
        if let Some((rate, sums)) = x.sums() {
            y.push_remote(0, rate, sums.iter().copied());
        }
        run(&mut y, &mut there, 1, |_| true);
        if let Some((rate, sums)) = y.sums() {
            x.push_remote(1, rate, sums.iter().copied());
        }
    }
    assert_eq!((x.rate(), y.rate()), (16_000, 16_000));
    for (p, own) in [(&here[0], 500.0), (&here[1], 700.0), (&there[0], 900.0)] {
        for hz in [500.0, 700.0, 900.0] {
            let level = p.level(hz);
            assert!(
                (level < QUIET) == (hz == own) && level < -20.0,
                "{own} hears {hz} at {level}"
            );
            assert!(hz == own || level > -28.0);
        }
    }
}

#[test]
fn a_late_member_is_concealed_and_delays_nobody() {
    let mut room = RoomMixer::new(quiet());
    let mut parties = [
        Party::new(1, CodecId::SpeexWb, 500.0),
        Party::new(2, CodecId::SpeexWb, 700.0),
    ];
    parties.iter().for_each(|p| room.join(p.leg));
    run(&mut room, &mut parties, 50, |_| true);
    for slot in 0..100 {
        // The first one's audio stays away for a second and then comes at once.
        if slot < 50 {
            parties[1].speak(&mut room, true);
        } else if slot == 50 {
            (0..51).for_each(|_| parties[0].speak(&mut room, true));
            parties[1].speak(&mut room, true);
        } else {
            parties.iter_mut().for_each(|p| p.speak(&mut room, true));
        }
        room.mix();
        parties.iter_mut().for_each(|p| p.hear(&mut room));
        assert!(parties[0].level(700.0) > -27.0, "slot {slot}");
    }
    assert!(parties[1].level(500.0) > -28.0);
}

/// Speech-like noise: a voiced sound whose pitch and loudness move, so that no two frames are alike.
fn babble(n: usize, rate: u32) -> Vec<i16> {
    let (mut phase, mut seed) = (0f32, 7u32);
    let (mut low, mut band) = (0f32, 0f32);
    (0..n)
        .map(|i| {
            let t = i as f32 / rate as f32;
            let hz = 130.0 + 30.0 * (t * 1.7).sin() + 10.0 * (t * 5.3).sin();
            phase = (phase + hz / rate as f32).fract();
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (seed >> 8) as f32 / 8_388_608.0 - 1.0;
            let source = if phase < 0.1 { 1.0 } else { -0.11 } + noise * 0.05;
            // One resonance that wanders, like a vowel.
            let f = 2.0 * (std::f32::consts::PI * (700.0 + 400.0 * (t * 2.9).sin()) / rate as f32).sin();
            low += f * band;
            band += f * (source - low - 0.2 * band);
            let loud = 0.35 + 0.3 * (t * 9.0).sin();
            (band * loud * 9_000.0).clamp(-20_000.0, 20_000.0) as i16
        })
        .collect()
}

/// A listener who is moved from the shared encoder to one of its own and back, beside one who never is. What is
/// heard at the moves differs from what the unmoved one hears by no more than two encoders of one codec differ
/// anyway: no click.
#[test]
fn a_move_between_encoders_is_not_heard() {
    for id in [
        CodecId::SpeexWb,
        CodecId::SpeexNb,
        CodecId::G722,
        CodecId::Opus,
        CodecId::Nelly16,
        CodecId::Pcmu,
    ] {
        let mut room = RoomMixer::new(quiet());
        let mut talker = Party::new(1, CodecId::L16_16, 0.0);
        let (mut moved, mut still) = (Party::new(2, id, 0.0), Party::new(3, id, 0.0));
        for leg in [1, 2, 3] {
            room.join(LegId(leg));
        }
        let speech = babble(320 * 600, 16_000);
        // Moved at 200, when it starts to hear for itself; back some time after 260.
        let own = 200..260;
        for (slot, pcm) in speech.chunks(320).enumerate() {
            talker.say(&mut room, pcm);
            room.mix();
            if own.contains(&slot)
                && let Some(member) = room.members.get_mut(&LegId(2))
            {
                member.same = 0;
            }
            moved.hear(&mut room);
            still.hear(&mut room);
        }
        let slot = codec(id).sample_rate as usize / 50;
        let error: Vec<f32> = moved
            .heard
            .chunks(slot)
            .zip(still.heard.chunks(slot))
            .map(|(a, b)| {
                let e: f32 = a
                    .iter()
                    .zip(b)
                    .map(|(a, b)| (f32::from(*a) - f32::from(*b)).powi(2))
                    .sum();
                let s: f32 = b.iter().map(|b| f32::from(*b).powi(2)).sum();
                10.0 * ((e + 1.0) / (s + 1.0)).log10()
            })
            .collect();
        // The codec's own noise: against what was said.
        let peak = |range: std::ops::Range<usize>| {
            let slots = range.start * slot..range.end * slot;
            let step = |h: &[i16]| {
                h.get(slots.clone())
                    .unwrap_or_default()
                    .windows(2)
                    .map(|w| (i32::from(w[0]) - i32::from(w[1])).abs())
                    .max()
                    .unwrap_or(0)
            };
            (step(&moved.heard), step(&still.heard))
        };
        let worst = |range: std::ops::Range<usize>| error[range].iter().copied().fold(f32::MIN, f32::max);
        let (out, apart, back) = (worst(200..206), worst(210..260), worst(284..292));
        let (a, b) = (peak(198..206), peak(283..292));
        eprintln!(
            "{}: difference at the move out {out:.1} dB, while apart {apart:.1}, at the move back {back:.1}; steepest step {a:?} {b:?}",
            codec(id).label
        );
        if id != CodecId::SpeexWb {
            continue;
        }
        assert!(
            moved.heard[..199 * slot] == still.heard[..199 * slot],
            "{id:?}: both hear the same frames"
        );
        assert!(
            out <= apart.max(-30.0) + 3.0 && back <= apart.max(-30.0) + 3.0,
            "{id:?}"
        );
        assert!(a.0 <= a.1 * 3 / 2 + 200 && b.0 <= b.1 * 3 / 2 + 200, "{id:?}");
    }
}

#[test]
fn floods_and_garbage_disturb_nobody() {
    let mut room = RoomMixer::new(quiet());
    let mut parties: Vec<Party> = (0..2)
        .map(|n| Party::new(n, CodecId::SpeexWb, 500.0 + 200.0 * n as f32))
        .collect();
    parties.iter().for_each(|p| room.join(p.leg));
    let harm = LegId(9);
    room.join(harm);
    run(&mut room, &mut parties, 50, |_| true);
    let mut rng = base::Rng::new(3);
    for slot in 0..200u64 {
        for n in 0..50u64 {
            let id = [CodecId::SpeexWb, CodecId::Opus, CodecId::Nelly16, CodecId::Pcmu][(slot / 50) as usize];
            let garbage: Vec<u8> = (0..rng.below(300)).map(|_| rng.next_u32() as u8).collect();
            room.push(
                Time::ZERO,
                harm,
                id,
                MediaTime::new(rng.next_u64() >> 20, 1_000),
                &garbage,
            );
            room.lose(harm, MediaTime::new(n, 8_000), rng.next_u32());
        }
        run(&mut room, &mut parties, 1, |_| true);
        // Noise is heard as noise; nobody goes without a slot for it.
        let slots = 51 + slot as usize;
        assert!(
            parties.iter().all(|p| p.heard.len() == slots * 320),
            "slot {slot}"
        );
    }
    room.leave(harm);
    run(&mut room, &mut parties, 60, |_| true);
    assert!(parties[0].level(700.0) > -27.0 && parties[0].level(500.0) < QUIET);
}
