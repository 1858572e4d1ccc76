//! How many bits each coefficient has: worked out alike by both sides from the levels of the bands.
//!
//! In essence: three quarters of a bit for each octave of level above an offset, rounded, 6 at most, with the offset
//! such that the sum is [`BUDGET`]. The search for the offset is part of the format, to the last rounding, since both
//! sides must come out alike: a first guess by the mean, steps of the mean excess until the budget lies in between,
//! then halving, 19 steps in all.

use super::tables::SENT;

/// Bits for one transform.
pub(super) const BUDGET: usize = 198;
const BUDGET_I32: i32 = BUDGET as i32;
/// Most bits of a coefficient.
const MOST: i32 = 6;
/// Two to the 19th over the number of coefficients: division by multiplication.
const RECIPROCAL: i32 = 4_228;
const STEPS: usize = 19;

/// Levels prepared for the search.
struct Scaled {
    levels: [i16; SENT],
    /// Binary logarithm of what one bit is on this scale.
    unit: u32,
}

impl Scaled {
    /// Scales the levels so that the highest takes 15 bits, and takes three quarters.
    fn new(levels: &[i32; SENT]) -> Self {
        // The start of the scale is above zero, so the highest is, and fits: 11 to 18 bits.
        let highest = levels
            .iter()
            .copied()
            .max()
            .unwrap_or(0)
            .clamp(1 << 11, (1 << 19) - 1);
        let shift = headroom(highest) - 16;
        let mut scaled = [0; SENT];
        for (place, level) in scaled.iter_mut().zip(levels) {
            let short = shifted(*level, shift) as i16;
            *place = ((3 * i32::from(short)) >> 2) as i16;
        }
        Self {
            levels: scaled,
            unit: (shift + 11).max(1) as u32,
        }
    }

    fn bits(&self, level: i16, offset: i32) -> i32 {
        let above = i32::from(level).wrapping_sub(offset);
        (((above >> (self.unit - 1)) + 1) >> 1).clamp(0, MOST)
    }

    fn total(&self, offset: i32) -> i32 {
        self.levels.iter().map(|level| self.bits(*level, offset)).sum()
    }

    fn first_guess(&self) -> i32 {
        let sum = self.levels.iter().map(|level| i32::from(*level)).sum::<i32>() - (BUDGET_I32 << self.unit);
        let room = headroom(sum);
        let normalized = shifted(sum, room);
        shifted((RECIPROCAL * (normalized >> 16)) >> 15, 12 - room)
    }

    /// The change of offset that would even out an excess of bits, if all coefficients followed.
    fn step(&self, excess: i32) -> i32 {
        let (mut mantissa, mut doublings) = (excess, 0);
        while mantissa != 0 && mantissa.abs() <= 16_383 {
            mantissa *= 2;
            doublings += 1;
        }
        shifted((mantissa * RECIPROCAL) >> 15, self.unit as i32 - 4 - doublings)
    }

    /// The offset to use.
    fn offset(&self) -> i32 {
        let mut here = Trial::new(self, self.first_guess());
        if here.excess == 0 {
            return here.offset;
        }
        let step = self.step(here.excess);
        let mut last = here;
        let mut tried = 0;
        for _ in 0..STEPS {
            last = here;
            here = Trial::new(self, here.offset.wrapping_add(step));
            if (here.excess > 0) != (last.excess > 0) || here.excess == 0 {
                break;
            }
            tried += 1;
        }
        let (mut over, mut under) = if here.excess > 0 {
            (here, last)
        } else {
            (last, here)
        };
        while here.excess != 0 && tried < STEPS {
            here = Trial::new(self, over.offset.wrapping_add(under.offset) >> 1);
            if here.excess > 0 {
                over = here;
            } else {
                under = here;
            }
            tried += 1;
        }
        if over.excess.abs() >= under.excess.abs() {
            under.offset
        } else {
            over.offset
        }
    }
}

#[derive(Clone, Copy)]
struct Trial {
    offset: i32,
    /// Bits beyond the budget.
    excess: i32,
}

impl Trial {
    fn new(scaled: &Scaled, offset: i32) -> Self {
        Self {
            offset,
            excess: scaled.total(offset) - BUDGET_I32,
        }
    }
}

/// Bits left of the highest one set, below the sign.
fn headroom(value: i32) -> i32 {
    if value == 0 {
        31
    } else {
        value.unsigned_abs().leading_zeros() as i32 - 1
    }
}

/// Shifts to the left, or to the right by a negative count.
fn shifted(value: i32, left: i32) -> i32 {
    if left > 0 {
        value.wrapping_shl(left as u32)
    } else {
        value >> (-left).min(31)
    }
}

/// The bits of each coefficient; never more than [`BUDGET`] in all.
pub(super) fn allocate(levels: &[i32; SENT]) -> [u8; SENT] {
    let scaled = Scaled::new(levels);
    let offset = scaled.offset();
    let mut left = BUDGET_I32;
    let mut bits = [0; SENT];
    for (place, level) in bits.iter_mut().zip(scaled.levels) {
        let wanted = scaled.bits(level, offset).min(left);
        *place = wanted as u8;
        left -= wanted;
    }
    bits
}
