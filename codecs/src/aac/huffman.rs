//! Huffman codes. All of AAC's are canonical: within a length codes count up, and so they do from each length to the
//! next. So the number of codes of each length and the symbols in the order of their codes say everything.

use super::bits::Bits;

/// A code.
pub(super) struct Book {
    /// How many codes there are of 1, 2, 3 ... bits.
    pub(super) counts: &'static [u16],
    /// The symbols in the order of their codes.
    pub(super) symbols: &'static [u16],
}

impl Book {
    /// Reads one symbol.
    pub(super) fn read(&self, bits: &mut Bits<'_>) -> Option<u16> {
        let mut word = bits.peek();
        let (mut code, mut first, mut index) = (0u32, 0u32, 0u32);
        for (shorter, count) in self.counts.iter().enumerate() {
            code = code << 1 | word >> 31;
            word <<= 1;
            first <<= 1;
            if code < first + u32::from(*count) {
                bits.skip(shorter + 1)?;
                return self.symbols.get((index + code - first) as usize).copied();
            }
            index += u32::from(*count);
            first += u32::from(*count);
        }
        None
    }
}
