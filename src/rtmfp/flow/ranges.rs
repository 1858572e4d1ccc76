//! A set of sequence numbers as ascending ranges; the first always begins at 0 (§3.6.3.2).

/// The set.
#[derive(Clone, Debug)]
pub(crate) struct Ranges(Vec<(u64, u64)>);

impl Default for Ranges {
    fn default() -> Ranges {
        Ranges(vec![(0, 0)])
    }
}

impl Ranges {
    /// The end of the first range: all up to here is in the set.
    pub(crate) fn cumulative(&self) -> u64 {
        self.0.first().map_or(0, |r| r.1)
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        let after = self.0.partition_point(|r| r.0 <= number);
        after > 0 && self.0.get(after - 1).is_some_and(|r| number <= r.1)
    }

    /// Adds all numbers from `from` to `to`.
    pub(crate) fn insert(&mut self, from: u64, to: u64) {
        // All ranges that touch the new one are joined with it.
        let first = self.0.partition_point(|r| r.1.saturating_add(1) < from);
        let end = self.0.partition_point(|r| r.0 <= to.saturating_add(1));
        let joined = match (self.0.get(first), end.checked_sub(1).and_then(|i| self.0.get(i))) {
            (Some(a), Some(b)) if first < end => (from.min(a.0), to.max(b.1)),
            _ => (from, to),
        };
        self.0.splice(first..end.max(first), [joined]);
    }

    /// Whether adding `number` would make a further range.
    pub(crate) fn is_apart(&self, number: u64) -> bool {
        let below = number.checked_sub(1).is_some_and(|n| self.contains(n));
        !(below || self.contains(number) || self.contains(number.saturating_add(1)))
    }

    /// How many ranges there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The ranges after the first.
    pub(crate) fn beyond(&self) -> &[(u64, u64)] {
        self.0.get(1..).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn agrees_with_a_plain_set() {
        let mut rng = base::Rng::new(3);
        for _ in 0..200 {
            let mut ranges = Ranges::default();
            let mut set = BTreeSet::from([0]);
            for _ in 0..40 {
                let from = rng.below(60);
                let to = from + rng.below(6);
                let apart = !(from.saturating_sub(1)..=from + 1).any(|n| set.contains(&n));
                assert_eq!(ranges.is_apart(from), apart);
                ranges.insert(from, to);
                set.extend(from..=to);
                let all: Vec<u64> = ranges.0.iter().flat_map(|r| r.0..=r.1).collect();
                assert_eq!(all, set.iter().copied().collect::<Vec<_>>());
                assert!(ranges.0.windows(2).all(|w| w[0].1 + 1 < w[1].0));
                assert!((0..70).all(|n| ranges.contains(n) == set.contains(&n)));
            }
        }
        let mut ranges = Ranges::default();
        ranges.insert(u64::MAX - 1, u64::MAX);
        assert!(ranges.contains(u64::MAX) && !ranges.contains(7));
    }
}
