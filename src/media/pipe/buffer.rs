//! A first-in first-out buffer whose content is one slice.

/// Unlike a ring it can be decoded into, searched and encoded from in place; keeping it so costs one short move
/// now and then. It takes memory when more waits than ever before, and keeps that.
#[derive(Debug)]
pub(super) struct Linear<T> {
    data: Vec<T>,
    /// Most items.
    capacity: usize,
    start: usize,
    end: usize,
}

impl<T: Copy + Default> Linear<T> {
    pub(super) fn new(capacity: usize) -> Linear<T> {
        Linear {
            data: Vec::new(),
            capacity,
            start: 0,
            end: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(super) fn as_slice(&self) -> &[T] {
        self.data.get(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [T] {
        self.data.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// Room of at least `want` items behind the content if there is so much in all, else all there is.
    pub(super) fn room(&mut self, want: usize) -> &mut [T] {
        if self.data.len() - self.end < want {
            self.data.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            let wanted = self.end.saturating_add(want).min(self.capacity);
            if self.data.len() < wanted {
                // Half as much again, so that this settles soon.
                let size = (wanted + wanted / 2).min(self.capacity);
                self.data.reserve_exact(size - self.data.len());
                self.data.resize(size, T::default());
            }
        }
        self.data.get_mut(self.end..).unwrap_or_default()
    }

    /// Says that the first `n` items of [`Linear::room`] were filled.
    pub(super) fn commit(&mut self, n: usize) {
        self.end = (self.end + n).min(self.data.len());
    }

    /// Appends as much of `items` as there is room for; how many.
    pub(super) fn push(&mut self, items: &[T]) -> usize {
        let room = self.room(items.len());
        let n = items.len().min(room.len());
        if let (Some(to), Some(from)) = (room.get_mut(..n), items.get(..n)) {
            to.copy_from_slice(from);
        }
        self.commit(n);
        n
    }

    /// Removes up to `n` of the oldest; how many.
    pub(super) fn drop_front(&mut self, n: usize) -> usize {
        let n = n.min(self.len());
        self.start += n;
        if self.start == self.end {
            self.clear();
        }
        n
    }

    pub(super) fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn behaves_like_a_queue(ops in proptest::collection::vec((any::<bool>(), 0usize..12), 0..100)) {
            let mut a = Linear::<u8>::new(16);
            let mut b = VecDeque::new();
            let mut x = 0u8;
            for (push, n) in ops {
                if push {
                    let items: Vec<u8> = (0..n).map(|_| { x = x.wrapping_add(1); x }).collect();
                    let taken = a.push(&items);
                    prop_assert_eq!(taken, n.min(16 - b.len()));
                    b.extend(&items[..taken]);
                } else {
                    let gone = a.drop_front(n);
                    prop_assert_eq!(gone, n.min(b.len()));
                    b.drain(..gone);
                }
                prop_assert!(a.as_slice().iter().eq(b.iter()));
            }
        }
    }
}
