//! Cuts a stream of PCM into frames of another length.

/// A first-in first-out buffer of samples with a fixed capacity. When full, the oldest samples go.
#[derive(Debug, Clone)]
pub struct Reframer {
    ring: Box<[i16]>,
    head: usize,
    len: usize,
}

impl Reframer {
    /// Room for `capacity` samples (at least one).
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            ring: vec![0; capacity.max(1)].into(),
            head: 0,
            len: 0,
        }
    }

    /// Samples waiting.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.len
    }

    /// Samples there is room for in all.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.ring.len()
    }

    /// Appends samples. Returns how many of the oldest had to go to make room, those of `pcm` included.
    pub fn push(&mut self, pcm: &[i16]) -> usize {
        let capacity = self.ring.len();
        let skipped = pcm.len().saturating_sub(capacity);
        let pcm = &pcm[skipped..];
        let lost = self.drop_front((self.len + pcm.len()).saturating_sub(capacity));
        let tail = (self.head + self.len) % capacity;
        let (first, second) = pcm.split_at(pcm.len().min(capacity - tail));
        self.ring[tail..tail + first.len()].copy_from_slice(first);
        self.ring[..second.len()].copy_from_slice(second);
        self.len += pcm.len();
        lost + skipped
    }

    /// Fills `frame` with the oldest samples and removes them; leaves both alone and returns false when there are too
    /// few.
    pub fn pop(&mut self, frame: &mut [i16]) -> bool {
        if frame.len() > self.len {
            return false;
        }
        let (first, second) = frame.split_at_mut(frame.len().min(self.ring.len() - self.head));
        first.copy_from_slice(&self.ring[self.head..self.head + first.len()]);
        second.copy_from_slice(&self.ring[..second.len()]);
        self.drop_front(frame.len());
        true
    }

    /// Removes up to `count` of the oldest samples and returns how many there were.
    pub fn drop_front(&mut self, count: usize) -> usize {
        let count = count.min(self.len);
        self.head = (self.head + count) % self.ring.len();
        self.len -= count;
        count
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        self.drop_front(self.len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn behaves_as_a_queue_that_drops_its_oldest(
            capacity in 1usize..50,
            steps in proptest::collection::vec((any::<bool>(), 0usize..70), 0..60),
        ) {
            let mut ours = Reframer::new(capacity);
            let mut model = VecDeque::new();
            let mut next = 0i16;
            for (push, n) in steps {
                if push {
                    let pcm: Vec<i16> = (0..n).map(|_| { next = next.wrapping_add(1); next }).collect();
                    model.extend(pcm.iter().copied());
                    let lost = model.len().saturating_sub(capacity);
                    model.drain(..lost);
                    prop_assert_eq!(ours.push(&pcm), lost);
                } else {
                    let mut frame = vec![0; n];
                    let got = ours.pop(&mut frame);
                    prop_assert_eq!(got, n <= model.len());
                    if got {
                        prop_assert_eq!(frame, model.drain(..n).collect::<Vec<_>>());
                    }
                }
                prop_assert_eq!(ours.depth(), model.len());
            }
        }
    }
}
