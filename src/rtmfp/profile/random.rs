//! Randomness fit for keys, without asking the system: a generator from 32 bytes of its entropy.

use super::hmac;

/// A deterministic generator: HMAC-SHA256 of a counter, with a key that changes after each request so that a
/// later look into memory tells nothing of what was drawn before.
#[derive(Clone)]
pub struct Random {
    key: [u8; 32],
    /// What is drawn first, by its length: the randomness of a recording.
    #[cfg(test)]
    script: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Random")
    }
}

impl Random {
    /// A generator from the operating system's randomness, or from a number in a test.
    pub fn new(seed: [u8; 32]) -> Random {
        Random {
            key: seed,
            #[cfg(test)]
            script: Vec::new(),
        }
    }

    /// A generator that gives what was recorded before anything of its own.
    #[cfg(test)]
    pub(crate) fn scripted(script: Vec<Vec<u8>>) -> Random {
        Random { key: [0; 32], script }
    }

    #[cfg(test)]
    fn recorded(&mut self, len: usize) -> Option<Vec<u8>> {
        let at = self.script.iter().position(|draw| draw.len() == len)?;
        Some(self.script.remove(at))
    }

    /// Fills `out` with random bytes.
    pub fn fill(&mut self, out: &mut [u8]) {
        #[cfg(test)]
        if let Some(recorded) = self.recorded(out.len()) {
            return out.copy_from_slice(&recorded);
        }
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

    /// A random number of `n` bytes; its full length is part of its strength.
    pub(crate) fn exponent(&mut self, n: usize) -> Vec<u8> {
        #[cfg(test)]
        if let Some(recorded) = self.recorded(n) {
            return recorded;
        }
        let mut out = self.bytes(n);
        if let Some(first) = out.first_mut() {
            *first |= 0x80;
        }
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
        Random {
            key: self.array(),
            #[cfg(test)]
            script: self.script.clone(),
        }
    }
}
