//! Randomness fit for keys, without asking the system: a generator from 32 bytes of its entropy.

use super::hmac;

/// A deterministic generator: HMAC-SHA256 of a counter, with a key that changes after each request so that a
/// later look into memory tells nothing of what was drawn before.
#[derive(Clone)]
pub struct Random {
    key: [u8; 32],
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Random")
    }
}

impl Random {
    /// A generator from the operating system's randomness, or from a number in a test.
    pub fn new(seed: [u8; 32]) -> Random {
        Random { key: seed }
    }

    /// Fills `out` with random bytes.
    pub fn fill(&mut self, out: &mut [u8]) {
        for (counter, chunk) in out.chunks_mut(32).enumerate() {
            let block = hmac(&self.key, &[&[1], &(counter as u64).to_be_bytes()]);
            chunk.copy_from_slice(block.get(..chunk.len()).unwrap_or(&block));
        }
        self.key = hmac(&self.key, &[&[0]]);
    }

    /// `n` random bytes.
    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        let mut out = vec![0; n];
        self.fill(&mut out);
        out
    }

    /// A random array.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// A further generator that shares nothing with this one.
    pub fn fork(&mut self) -> Random {
        Random { key: self.array() }
    }
}
