//! Deadlines of one machine: a sorted set, so that what runs at equal times runs in a fixed order.

use std::collections::{BTreeMap, BTreeSet};

use base::Time;

/// The deadlines of a machine, each named by a key. Setting a key again moves its deadline.
///
/// Its size is that of the tables whose keys it holds, so their bounds bound it.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    order: BTreeSet<(Time, K)>,
    at: BTreeMap<K, Time>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Timers {
            order: BTreeSet::new(),
            at: BTreeMap::new(),
        }
    }
}

impl<K: Ord + Clone> Timers<K> {
    /// Sets or moves the deadline of `key`.
    pub(crate) fn set(&mut self, key: K, at: Time) {
        if let Some(old) = self.at.insert(key.clone(), at) {
            self.order.remove(&(old, key.clone()));
        }
        self.order.insert((at, key));
    }

    /// Removes the deadline of `key`, if it has one.
    pub(crate) fn clear(&mut self, key: &K) {
        if let Some(old) = self.at.remove(key) {
            self.order.remove(&(old, key.clone()));
        }
    }

    /// Takes the earliest key whose deadline is not after `now`.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<K> {
        if self.order.first()?.0 > now {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        self.at.remove(&key);
        Some(key)
    }

    /// Whether `key` has a deadline.
    pub(crate) fn is_set(&self, key: &K) -> bool {
        self.at.contains_key(key)
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Time> {
        self.order.first().map(|(at, _)| *at)
    }

    /// How many deadlines are set.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.at.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_in_order_and_only_when_due() {
        let mut t = Timers::default();
        t.set(1, Time::from_millis(30));
        t.set(2, Time::from_millis(10));
        t.set(3, Time::from_millis(20));
        assert_eq!(t.next(), Some(Time::from_millis(10)));
        assert_eq!(t.pop_due(Time::from_millis(9)), None);
        assert_eq!(t.pop_due(Time::from_millis(20)), Some(2));
        assert_eq!(t.pop_due(Time::from_millis(20)), Some(3));
        assert_eq!(t.pop_due(Time::from_millis(20)), None);
    }

    #[test]
    fn moving_and_clearing_leave_nothing_behind() {
        let mut t = Timers::default();
        t.set(1, Time::from_millis(10));
        t.set(1, Time::from_millis(50));
        assert_eq!(t.pop_due(Time::from_millis(20)), None);
        t.clear(&1);
        t.clear(&1);
        assert_eq!((t.next(), t.len()), (None, 0));
    }
}
