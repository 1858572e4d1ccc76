//! Reads bits, highest first.

/// A position in bytes.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Bits<'a> {
        Bits { bytes, at: 0 }
    }

    /// Bits read so far.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The next 32 bits, zeros behind the end.
    pub(super) fn peek(&self) -> u32 {
        let mut word = 0u64;
        for i in 0..5 {
            let byte = self.bytes.get(self.at / 8 + i).copied().unwrap_or(0);
            word = word << 8 | u64::from(byte);
        }
        (word >> (8 - self.at % 8)) as u32
    }

    /// Passes over bits; `None` when there are not so many.
    pub(super) fn skip(&mut self, count: usize) -> Option<()> {
        let at = self.at.checked_add(count)?;
        (at <= self.bytes.len() * 8).then(|| self.at = at)
    }

    /// The next `count` bits, 0 to 24.
    pub(super) fn take(&mut self, count: usize) -> Option<u32> {
        let word = self.peek();
        self.skip(count)?;
        Some(if count == 0 { 0 } else { word >> (32 - count) })
    }

    /// The next bit.
    pub(super) fn flag(&mut self) -> Option<bool> {
        self.take(1).map(|bit| bit == 1)
    }

    /// Goes to the next whole byte.
    pub(super) fn align(&mut self) {
        self.at = self.at.next_multiple_of(8);
    }
}
