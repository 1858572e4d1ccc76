//! Telephone digits as sound: making them and hearing them (ITU-T Q.23, Q.24).

use crate::level::mean_square;
use crate::tone::{Goertzel, Tone};
use std::f32::consts::TAU;

const LOW: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
const HIGH: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
const DIGITS: [[char; 4]; 4] = [
    ['1', '2', '3', 'A'],
    ['4', '5', '6', 'B'],
    ['7', '8', '9', 'C'],
    ['*', '0', '#', 'D'],
];

/// The two frequencies of a digit (`0` ..= `9`, `*`, `#`, `A` ..= `D`, small letters too), Hz: low and high group.
#[must_use]
pub fn frequencies(digit: char) -> Option<(f32, f32)> {
    let digit = digit.to_ascii_uppercase();
    DIGITS.iter().zip(LOW).find_map(|(row, low)| {
        row.iter()
            .zip(HIGH)
            .find(|(d, _)| **d == digit)
            .map(|(_, high)| (low, high))
    })
}

/// A generator of a digit, the high tone 2 dB above the low one, at `dbov` in sum, for PCM at `rate` Hz.
#[must_use]
pub fn tone(digit: char, dbov: f32, rate: u32) -> Option<Tone> {
    let (low, high) = frequencies(digit)?;
    Some(Tone::multi(&[(low, dbov - 4.12), (high, dbov - 2.12)], rate))
}

/// What the detector heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A digit has sounded for long enough.
    Start(char),
    /// It has ended.
    End {
        /// The digit.
        digit: char,
        /// How long it sounded, ms, to about 6 ms.
        duration_ms: u32,
    },
}

/// Windows that must agree before a digit counts: 32 ms of clean tone, so that 40 ms are always heard (Q.24 table A-1).
const HITS: u32 = 4;
/// Windows without the digit that end it: 19 ms, so that 40 ms of pause always separate two digits and a dropout of
/// 10 ms does not.
const MISSES: u32 = 4;
/// Least level of each tone, dBov.
const LEAST_LEVEL: f32 = -42.0;
/// Most by which the high tone may be louder than the low, and the other way round, power (6 and 10 dB).
const TWIST: (f32, f32) = (4.0, 10.0);
/// Least share of both tones in all power of the window. Speech seldom passes for two windows, noise never.
const LEAST_SHARE: f32 = 0.63;
/// Least power ratio of a tone to each other one of its group (6 dB).
const LEAST_PEAK: f32 = 4.0;

/// Most by which a tone's power may change between windows while a digit is recognised (3 dB): voices glide.
const STEADY: f32 = 2.0;

/// Least share of both tones in all power on the closer look.
const CONFIRMED_SHARE: f32 = 0.85;

/// The two tones in one window.
#[derive(Debug, Clone, Copy)]
struct Heard {
    digit: char,
    low: f32,
    high: f32,
}

impl Heard {
    fn continues(&self, last: &Self) -> bool {
        let near = |a: f32, b: f32| a <= b * STEADY && b <= a * STEADY;
        self.digit == last.digit && near(self.low, last.low) && near(self.high, last.high)
    }
}

/// Listens for digits in PCM: windows of 12.75 ms, half overlapping, eight Goertzel filters.
#[derive(Debug, Clone)]
pub struct Detector {
    coefficients: [f32; 8],
    /// Two windows, so four hops, the newest last; the last hop is being filled.
    buffer: Box<[i16]>,
    filled: usize,
    rate: u32,
    candidate: Option<Heard>,
    hits: u32,
    sounding: Option<char>,
    misses: u32,
    windows: u32,
}

impl Detector {
    /// A detector for PCM at `rate` Hz (8,000 to 48,000).
    #[must_use]
    pub fn new(rate: u32) -> Self {
        let rate = rate.clamp(8_000, 48_000);
        let mut coefficients = [0.0; 8];
        for (c, hz) in coefficients.iter_mut().zip(LOW.iter().chain(&HIGH)) {
            *c = 2.0 * (TAU * hz / rate as f32).cos();
        }
        let hop = rate as usize * 51 / 8_000;
        Self {
            coefficients,
            buffer: vec![0; hop * 4].into(),
            filled: 0,
            rate,
            candidate: None,
            hits: 0,
            sounding: None,
            misses: 0,
            windows: 0,
        }
    }

    /// Takes any number of samples and tells `heard` of each digit that began or ended in them.
    pub fn push(&mut self, mut pcm: &[i16], mut heard: impl FnMut(Event)) {
        let hop = self.buffer.len() / 4;
        while !pcm.is_empty() {
            let n = pcm.len().min(hop - self.filled);
            let at = 3 * hop + self.filled;
            self.buffer[at..at + n].copy_from_slice(&pcm[..n]);
            self.filled += n;
            pcm = &pcm[n..];
            if self.filled == hop {
                let window = self.classify();
                if let Some(event) = self.step(window) {
                    heard(event);
                }
                self.buffer.copy_within(hop.., 0);
                self.filled = 0;
            }
        }
    }

    /// The digit that sounds now, if any.
    #[must_use]
    pub fn sounding(&self) -> Option<char> {
        self.sounding
    }

    /// Forgets the past.
    pub fn reset(&mut self) {
        self.buffer.fill(0);
        (self.filled, self.candidate, self.hits) = (0, None, 0);
        (self.sounding, self.misses, self.windows) = (None, 0, 0);
    }

    fn step(&mut self, heard: Option<Heard>) -> Option<Event> {
        let goes_on = heard
            .zip(self.candidate)
            .is_some_and(|(now, last)| now.continues(&last));
        self.hits = if goes_on {
            self.hits + 1
        } else {
            u32::from(heard.is_some())
        };
        self.candidate = heard;
        let digit = heard.map(|h| h.digit);
        match self.sounding {
            None if self.hits >= HITS && self.confirms(digit) => {
                (self.sounding, self.misses, self.windows) = (digit, 0, self.hits);
                digit.map(Event::Start)
            }
            None => None,
            Some(current) if digit == Some(current) => {
                self.windows += self.misses + 1;
                self.misses = 0;
                None
            }
            Some(current) => {
                self.misses += 1;
                if self.misses < MISSES {
                    return None;
                }
                self.sounding = None;
                let samples = u64::from(self.windows + 1) * self.buffer.len() as u64 / 4;
                let duration_ms = (samples * 1000 / u64::from(self.rate)) as u32;
                Some(Event::End {
                    digit: current,
                    duration_ms,
                })
            }
        }
    }

    /// A closer look over two windows at what has passed everything else: are both tones in tune (Q.24: 1.5 % off must
    /// count, 3.5 % must not), and is there little else? Two harmonics of a voice seldom pass.
    fn confirms(&self, digit: Option<char>) -> bool {
        let n = self.buffer.len() as f32;
        // The strongest of the frequencies up to 2 % off in steps of 0.5 %, unless it is the outermost.
        let tuned = |hz: f32| {
            let power = |step: i32| {
                let mut filter = Goertzel::new(hz * (1.0 + 0.005 * step as f32), self.rate);
                self.buffer.iter().for_each(|s| filter.push(f32::from(*s)));
                filter.take() * 2.0 / (n * n)
            };
            let inner = (-3..=3).map(power).fold(0.0, f32::max);
            (inner > power(-4).max(power(4))).then_some(inner)
        };
        let Some((low, high)) = digit.and_then(frequencies) else {
            return false;
        };
        let Some((low, high)) = tuned(low).zip(tuned(high)) else {
            return false;
        };
        low + high >= CONFIRMED_SHARE * mean_square(&self.buffer)
    }

    fn classify(&self) -> Option<Heard> {
        let mut s1 = [0.0f32; 8];
        let mut s2 = [0.0f32; 8];
        let mut energy = 0.0f32;
        let window = &self.buffer[self.buffer.len() / 2..];
        for sample in window {
            let x = f32::from(*sample);
            energy += x * x;
            for ((s1, s2), c) in s1.iter_mut().zip(&mut s2).zip(&self.coefficients) {
                let s0 = x + c * *s1 - *s2;
                *s2 = *s1;
                *s1 = s0;
            }
        }
        let n = window.len() as f32;
        let mut power = [0.0f32; 8];
        for i in 0..8 {
            let magnitude = s1[i] * s1[i] + s2[i] * s2[i] - self.coefficients[i] * s1[i] * s2[i];
            // Mean square of the sine behind it.
            power[i] = magnitude * 2.0 / (n * n);
        }
        let strongest = |group: &[f32]| {
            let best = (0..4).max_by(|a, b| group[*a].total_cmp(&group[*b]))?;
            let clear = (0..4).all(|i| i == best || group[i] * LEAST_PEAK <= group[best]);
            clear.then_some(best)
        };
        let (row, column) = (strongest(&power[..4])?, strongest(&power[4..])?);
        let (low, high) = (power[row], power[4 + column]);
        let least = 32_768.0 * 32_768.0 * 10f32.powf(LEAST_LEVEL / 10.0);
        let clear = low.min(high) >= least
            && high <= low * TWIST.0
            && low <= high * TWIST.1
            && (low + high) * n >= LEAST_SHARE * energy;
        clear.then_some(Heard {
            digit: DIGITS[row][column],
            low,
            high,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::Tone;

    fn hear(rate: u32, pcm: &[i16]) -> Vec<Event> {
        let mut detector = Detector::new(rate);
        let mut events = Vec::new();
        for chunk in pcm.chunks(rate as usize / 50) {
            detector.push(chunk, |event| events.push(event));
        }
        events
    }

    fn digits(events: &[Event]) -> String {
        events
            .iter()
            .filter_map(|e| if let Event::Start(d) = e { Some(*d) } else { None })
            .collect()
    }

    /// Noise in -1 ..< 1.
    fn noise(seed: &mut u32) -> f32 {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (*seed >> 8) as f32 / 8_388_608.0 - 1.0
    }

    #[test]
    fn every_digit_of_40_ms_with_40_ms_of_pause_is_heard_once() {
        for rate in [8_000u32, 16_000, 48_000] {
            for offset in 0..8 {
                let ms = rate as usize / 1000;
                let mut pcm = vec![0i16; 1 + offset * ms * 2];
                for digit in "0123456789*#ABCD".chars() {
                    let mut sound = vec![0; 40 * ms];
                    tone(digit, -15.0, rate).unwrap().fill(&mut sound);
                    pcm.extend(sound);
                    pcm.extend(vec![0; 40 * ms]);
                }
                assert_eq!(
                    digits(&hear(rate, &pcm)),
                    "0123456789*#ABCD",
                    "{rate} Hz, offset {offset}"
                );
            }
        }
    }

    #[test]
    fn duration_is_about_right_and_a_dropout_does_not_split() {
        let mut pcm = vec![0; 8 * 300];
        tone('5', -10.0, 8_000).unwrap().fill(&mut pcm[400..2000]);
        pcm[1000..1080].fill(0);
        let events = hear(8_000, &pcm);
        assert_eq!(events.len(), 2, "{events:?}");
        match events[1] {
            Event::End {
                digit: '5',
                duration_ms,
            } => assert!((180..=205).contains(&duration_ms), "{duration_ms}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn detuned_and_twisted_digits_within_q24_are_heard() {
        for (factor, low_db, high_db) in [
            (1.015, -15.0, -15.0),
            (0.985, -15.0, -15.0),
            (1.0, -19.0, -15.0),
            (1.0, -12.0, -20.0),
            (1.0, -34.0, -34.0),
        ] {
            for digit in "159D".chars() {
                let (low, high) = frequencies(digit).unwrap();
                let mut pcm = vec![0; 1000];
                Tone::multi(&[(low * factor, low_db), (high * factor, high_db)], 8_000)
                    .fill(&mut pcm[100..500]);
                assert_eq!(
                    digits(&hear(8_000, &pcm)),
                    digit.to_string(),
                    "{factor} {low_db} {high_db}"
                );
            }
        }
    }

    #[test]
    fn too_short_too_quiet_too_twisted_and_single_tones_are_not_heard() {
        let case = |parts: &[(f32, f32)], ms: usize| {
            let mut pcm = vec![0; 4000];
            Tone::multi(parts, 8_000).fill(&mut pcm[333..333 + ms * 8]);
            digits(&hear(8_000, &pcm))
        };
        assert_eq!(case(&[(770.0, -15.0), (1336.0, -15.0)], 22), "");
        assert_eq!(case(&[(770.0, -55.0), (1336.0, -55.0)], 100), "");
        assert_eq!(case(&[(770.0, -30.0), (1336.0, -15.0)], 100), "");
        assert_eq!(case(&[(770.0, -10.0)], 100), "");
        assert_eq!(case(&[(350.0, -13.0), (440.0, -13.0)], 400), "", "dial tone");
        assert_eq!(case(&[(480.0, -13.0), (620.0, -13.0)], 400), "", "busy tone");
        assert_eq!(case(&[(440.0, -13.0), (1400.0, -13.0)], 400), "", "in between");
    }

    #[test]
    fn digits_are_heard_through_noise_and_noise_alone_is_not() {
        let mut seed = 7;
        let mut pcm = vec![0i16; 8_000];
        tone('7', -12.0, 8_000).unwrap().fill(&mut pcm[2000..2800]);
        for sample in &mut pcm {
            *sample = (f32::from(*sample) + 1_500.0 * noise(&mut seed)) as i16;
        }
        assert_eq!(digits(&hear(8_000, &pcm)), "7");
        let loud: Vec<i16> = (0..8_000 * 60)
            .map(|_| (20_000.0 * noise(&mut seed)) as i16)
            .collect();
        assert_eq!(hear(8_000, &loud), []);
    }

    #[test]
    fn voices_are_not_taken_for_digits() {
        // Five minutes of glottal pulses with gliding pitch through gliding formants.
        let mut seed = 3;
        let (mut phase, mut pitch, mut detector) = (0.0f32, 120.0f32, Detector::new(8_000));
        let mut formants = [(500.0f32, 0.0f32, 0.0f32), (1400.0, 0.0, 0.0), (2500.0, 0.0, 0.0)];
        let mut targets = [500.0f32, 1400.0, 2500.0, 120.0];
        let mut heard = Vec::new();
        for frame in 0..5 * 60 * 50 {
            if frame % 8 == 0 {
                targets = [
                    600.0 + 350.0 * noise(&mut seed),
                    1400.0 + 500.0 * noise(&mut seed),
                    2600.0 + 400.0 * noise(&mut seed),
                    180.0 + 90.0 * noise(&mut seed),
                ];
            }
            let mut pcm = [0i16; 160];
            for sample in &mut pcm {
                pitch += (targets[3] - pitch) * 0.001;
                phase += pitch / 8_000.0;
                let pulse = if phase >= 1.0 { 1.0 } else { 0.0 };
                phase = phase.fract();
                let mut sum = 0.0;
                for (i, (hz, y1, y2)) in formants.iter_mut().enumerate() {
                    *hz += (targets[i] - *hz) * 0.002;
                    let r = 0.96f32;
                    let y = pulse + 2.0 * r * (TAU * *hz / 8_000.0).cos() * *y1 - r * r * *y2;
                    (*y2, *y1) = (*y1, y);
                    sum += y / (1.0 + i as f32);
                }
                *sample = (sum * 4_000.0).clamp(-32_768.0, 32_767.0) as i16;
            }
            detector.push(&pcm, |e| heard.push(e));
        }
        assert_eq!(heard, []);
    }
}
