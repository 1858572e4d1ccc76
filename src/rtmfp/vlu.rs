//! Variable-length unsigned integers (RFC 7016 §2.1.2) and a cursor over the bytes of a packet.

/// Appends `value` in its shortest form.
pub fn put(value: u64, out: &mut Vec<u8>) {
    for group in (1..len(value)).rev() {
        out.push((value >> (group * 7)) as u8 | 0x80);
    }
    out.push((value & 0x7F) as u8);
}

/// Bytes that [`put`] appends for `value`: 1 to 10.
pub const fn len(value: u64) -> usize {
    let bits = 64 - value.leading_zeros() as usize;
    if bits == 0 { 1 } else { bits.div_ceil(7) }
}

/// Appends a byte string preceded by its length.
pub fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Reads a field after another; `None` means that the bytes end too early or a number does not fit in 64 bits.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }

    /// The next byte.
    pub fn u8(&mut self) -> Option<u8> {
        let (first, tail) = self.0.split_first()?;
        self.0 = tail;
        Some(*first)
    }

    /// The next two bytes as a number.
    pub fn u16(&mut self) -> Option<u16> {
        let (head, tail) = self.0.split_first_chunk()?;
        self.0 = tail;
        Some(u16::from_be_bytes(*head))
    }

    /// The next four bytes as a number.
    pub fn u32(&mut self) -> Option<u32> {
        let (head, tail) = self.0.split_first_chunk()?;
        self.0 = tail;
        Some(u32::from_be_bytes(*head))
    }

    /// The next variable-length number; forms longer than needed are accepted.
    pub fn vlu(&mut self) -> Option<u64> {
        let mut value = 0u64;
        loop {
            let byte = self.u8()?;
            if value >> 57 != 0 {
                return None;
            }
            value = value << 7 | u64::from(byte & 0x7F);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
    }

    /// The next byte string preceded by its length.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let n = usize::try_from(self.vlu()?).ok()?;
        self.take(n)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
