//! The least depth over a sliding window of slots.

use crate::params;

/// Buckets of [`params::DEPTH_BUCKET`] slots each, newest at `index`.
#[derive(Debug)]
pub(super) struct DepthWindow {
    least: [u32; params::DEPTH_BUCKETS_MAX],
    /// Buckets begun since the window was cleared.
    begun: usize,
    index: usize,
    slots: u32,
    wanted: usize,
}

impl DepthWindow {
    pub(super) fn new() -> DepthWindow {
        DepthWindow {
            least: [u32::MAX; params::DEPTH_BUCKETS_MAX],
            begun: 0,
            index: 0,
            slots: 0,
            wanted: params::DEPTH_BUCKETS,
        }
    }

    pub(super) fn clear(&mut self) {
        *self = DepthWindow::new();
    }

    /// Notes what waits after a slot. `buckets` the sender's rhythm asks for, held within the parameters.
    pub(super) fn observe(&mut self, depth: u32, buckets: usize) {
        self.wanted = buckets.clamp(params::DEPTH_BUCKETS, params::DEPTH_BUCKETS_MAX);
        if self.slots == 0 {
            self.index = (self.index + 1) % self.least.len();
            if let Some(l) = self.least.get_mut(self.index) {
                *l = u32::MAX;
            }
            self.begun = (self.begun + 1).min(self.least.len() + 1);
        }
        self.slots = (self.slots + 1) % params::DEPTH_BUCKET;
        if let Some(l) = self.least.get_mut(self.index) {
            *l = (*l).min(depth);
        }
    }

    /// The least depth of the window; `None` while it is not full.
    pub(super) fn least(&self) -> Option<u32> {
        let full = self.begun > self.wanted || (self.begun == self.wanted && self.slots == 0);
        if !full {
            return None;
        }
        let n = self.least.len();
        (0..self.wanted.min(n))
            .filter_map(|back| self.least.get((self.index + n - back) % n))
            .min()
            .copied()
    }

    /// So much was removed: the depths seen would have been that much less.
    pub(super) fn lower(&mut self, by: u32) {
        for l in self.least.iter_mut().filter(|l| **l != u32::MAX) {
            *l = l.saturating_sub(by);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_silent_until_full_and_then_follows() {
        let mut w = DepthWindow::new();
        let slots = params::DEPTH_BUCKET * params::DEPTH_BUCKETS as u32;
        for i in 0..slots {
            assert_eq!(w.least(), None, "{i}");
            w.observe(if i == 3 { 40 } else { 100 }, 0);
        }
        assert_eq!(w.least(), Some(40));
        w.lower(30);
        assert_eq!(w.least(), Some(10));
        for _ in 0..slots {
            w.observe(100, 0);
        }
        assert_eq!(w.least(), Some(100));
    }
}
