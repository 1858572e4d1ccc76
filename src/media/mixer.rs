//! Mixing a room: everybody hears the others, listeners share one mix.
//!
//! A slot goes: [`Mixer::begin`], [`Mixer::add`] for each talker, then [`Mixer::minus`] for each talker and
//! [`Mixer::total`] once for all who only listen. Nothing allocates; sums are wide, so no number of talkers
//! overflows, and what is too loud together is bent, not clipped.

/// Talkers of one slot, at most: more voices at once are a noise, and the sums hold far more.
pub const MAX_TALKERS: usize = 64;

/// The sums of one slot of 20 ms.
#[derive(Debug)]
pub struct Mixer {
    sums: Vec<i32>,
    talkers: usize,
    refused: u64,
}

impl Mixer {
    /// A mixer for PCM at `rate` Hz (8,000, 16,000 or 48,000).
    pub fn new(rate: u32) -> Mixer {
        Mixer {
            sums: vec![0; rate as usize / 50],
            talkers: 0,
            refused: 0,
        }
    }

    /// Samples in a slot.
    pub fn slot_samples(&self) -> usize {
        self.sums.len()
    }

    /// Begins a slot.
    pub fn begin(&mut self) {
        self.sums.fill(0);
        self.talkers = 0;
    }

    /// Adds a talker's slot; what is longer than a slot is left out, what is shorter ends in silence. Says
    /// whether it was added: beyond [`MAX_TALKERS`] the newcomer is not heard in this slot.
    pub fn add(&mut self, pcm: &[i16]) -> bool {
        if self.talkers >= MAX_TALKERS {
            self.refused += 1;
            return false;
        }
        self.talkers += 1;
        codecs::mix::add(&mut self.sums, pcm);
        true
    }

    /// Adds another mixer's slot of the same rate: the sum of a room's other shard.
    pub fn add_sums(&mut self, other: &[i32]) {
        for (sum, o) in self.sums.iter_mut().zip(other) {
            *sum = sum.saturating_add(*o);
        }
    }

    /// The sums as they stand, to be given to another shard.
    pub fn sums(&self) -> &[i32] {
        &self.sums
    }

    /// Talkers added in this slot.
    pub fn talkers(&self) -> usize {
        self.talkers
    }

    /// Slots of talkers refused so far.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Writes what all who only listen hear; the samples written.
    pub fn total(&self, out: &mut [i16]) -> usize {
        codecs::mix::total(&self.sums, out)
    }

    /// Writes what a talker hears who added `own`: the sum without it; the samples written.
    pub fn minus(&self, own: &[i16], out: &mut [i16]) -> usize {
        codecs::mix::minus(&self.sums, own, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use codecs::tone::{Tone, measure};
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    /// Ten seconds of three talkers, each with a tone of its own.
    #[test]
    fn everybody_hears_the_others_and_not_themselves() {
        for rate in [8_000u32, 16_000, 48_000] {
            let hz = [500.0, 1_100.0, 2_300.0];
            let mut tones: Vec<Tone> = hz.iter().map(|hz| Tone::new(*hz, -20.0, rate)).collect();
            let n = rate as usize / 50;
            let mut mixer = Mixer::new(rate);
            let mut heard = vec![Vec::new(); 4];
            for _ in 0..10 {
                let slots: Vec<Vec<i16>> = tones
                    .iter_mut()
                    .map(|t| {
                        let mut pcm = vec![0; n];
                        t.fill(&mut pcm);
                        pcm
                    })
                    .collect();
                mixer.begin();
                assert!(slots.iter().all(|s| mixer.add(s)));
                let mut out = vec![0; n];
                for (own, heard) in slots.iter().zip(&mut heard) {
                    assert_eq!(mixer.minus(own, &mut out), n);
                    heard.extend_from_slice(&out);
                }
                assert_eq!(mixer.total(&mut out), n);
                heard[3].extend_from_slice(&out);
            }
            for (i, heard) in heard.iter().enumerate() {
                for (j, hz) in hz.iter().enumerate() {
                    let level = measure(heard, rate, *hz);
                    if i == j {
                        assert!(level < -60.0, "{rate}: {i} hears itself at {level}");
                    } else {
                        assert!(
                            (-20.5..-19.5).contains(&level),
                            "{rate}: {i} hears {j} at {level}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_crowd_is_bounded_and_loud_sums_bend() {
        let mut m = Mixer::new(8_000);
        m.begin();
        let loud = [30_000i16; 160];
        for i in 0..MAX_TALKERS + 1 {
            assert_eq!(m.add(&loud), i < MAX_TALKERS);
        }
        assert_eq!((m.talkers(), m.refused()), (MAX_TALKERS, 1));
        let mut out = [0; 160];
        m.total(&mut out);
        assert!(out.iter().all(|s| *s > 30_000));
        m.begin();
        m.add(&loud);
        m.minus(&loud, &mut out);
        assert_eq!(out, [0; 160]);
    }

    proptest! {
        #[test]
        fn two_shards_sum_like_one(a in proptest::collection::vec(any::<i16>(), 160), b in proptest::collection::vec(any::<i16>(), 0..200)) {
            let (mut x, mut y, mut both) = (Mixer::new(8_000), Mixer::new(8_000), Mixer::new(8_000));
            x.begin();
            y.begin();
            both.begin();
            x.add(&a);
            y.add(&b);
            both.add(&a);
            both.add(&b);
            x.add_sums(y.sums());
            prop_assert_eq!(x.sums(), both.sums());
            let mut out = [0i16; 200];
            prop_assert!(x.total(&mut out) == 160);
        }
    }
}
