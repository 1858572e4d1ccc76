//! Keys: what they are, and where ours come from.

use aws_lc_rs::hmac;

/// How packets are protected.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Suite {
    /// AES in counter mode, HMAC-SHA1 cut to 80 bits (RFC 4568 §6.2.1): what every device has.
    AesCm128HmacSha1_80,
    /// The same with 32 bits for RTP, 80 for RTCP (RFC 4568 §6.2.2).
    AesCm128HmacSha1_32,
    /// AES-GCM (RFC 7714): half the work, a tag of 128 bits.
    AeadAes128Gcm,
    /// The same with a key of 256 bits.
    AeadAes256Gcm,
}

impl Suite {
    /// All of them.
    pub const ALL: [Suite; 4] = [
        Suite::AeadAes128Gcm,
        Suite::AeadAes256Gcm,
        Suite::AesCm128HmacSha1_80,
        Suite::AesCm128HmacSha1_32,
    ];

    /// The name in SDP and in the configuration (RFC 4568 §6.2, RFC 7714 §14.2).
    pub const fn name(self) -> &'static str {
        match self {
            Suite::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Suite::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Suite::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Suite::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// The suite of a name.
    pub fn by_name(name: &str) -> Option<Suite> {
        Suite::ALL.into_iter().find(|s| s.name() == name)
    }

    /// Bytes of the master key, and of the cipher's key in the session.
    pub(super) const fn key_len(self) -> usize {
        match self {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 | Suite::AeadAes128Gcm => 16,
            Suite::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of the master salt.
    pub(super) const fn salt_len(self) -> usize {
        match self {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => 14,
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => 12,
        }
    }
}

/// The master key and salt of one direction.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpKey {
    suite: Suite,
    /// The first 16 bytes for the suites with 128 bits.
    key: [u8; 32],
    /// GCM uses the first 12 bytes; the others are zero, as its key derivation wants it (RFC 7714 §11).
    pub(super) salt: [u8; 14],
    /// Bytes of the master key identifier in each packet.
    pub(super) mki: u8,
}

impl std::fmt::Debug for SrtpKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SrtpKey({}, ***)", self.suite.name())
    }
}

impl SrtpKey {
    /// From key and salt, one after the other; `None` when there are not as many bytes as the suite takes.
    pub fn new(suite: Suite, material: &[u8]) -> Option<SrtpKey> {
        let (from_key, from_salt) = material.split_at_checked(suite.key_len())?;
        if from_salt.len() != suite.salt_len() {
            return None;
        }
        let (mut key, mut salt) = ([0; 32], [0; 14]);
        key.get_mut(..from_key.len())?.copy_from_slice(from_key);
        salt.get_mut(..from_salt.len())?.copy_from_slice(from_salt);
        Some(SrtpKey {
            suite,
            key,
            salt,
            mki: 0,
        })
    }

    /// A new one.
    pub fn generate(suite: Suite, source: &mut KeySource) -> SrtpKey {
        let mut made = SrtpKey {
            suite,
            key: [0; 32],
            salt: [0; 14],
            mki: 0,
        };
        source.fill(made.key.get_mut(..suite.key_len()).unwrap_or_default());
        source.fill(made.salt.get_mut(..suite.salt_len()).unwrap_or_default());
        made
    }

    /// The master key.
    pub(super) fn master(&self) -> &[u8] {
        self.key.get(..self.suite.key_len()).unwrap_or_default()
    }

    /// The suite it is for.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Key and salt, one after the other.
    pub(super) fn material(&self) -> Vec<u8> {
        let salt = self.salt.get(..self.suite.salt_len()).unwrap_or_default();
        [self.master(), salt].concat()
    }
}

/// The keys of a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SrtpKeys {
    /// What we protect with.
    pub send: SrtpKey,
    /// What the peer protects with.
    pub receive: SrtpKey,
}

/// Where our keys come from: a generator that 32 bytes of the operating system's randomness begin, so that a
/// machine without access to it can make keys (HMAC-SHA256 of a counter).
#[derive(Debug)]
pub struct KeySource {
    seed: hmac::Key,
    counter: u64,
}

impl KeySource {
    /// A source from a seed; whoever knows it knows all keys.
    pub fn new(seed: &[u8; 32]) -> KeySource {
        KeySource {
            seed: hmac::Key::new(hmac::HMAC_SHA256, seed),
            counter: 0,
        }
    }

    /// A further source that shares nothing with this one.
    pub fn fork(&mut self) -> KeySource {
        let mut seed = [0; 32];
        self.fill(&mut seed);
        KeySource::new(&seed)
    }

    /// Fills with bytes nobody can guess.
    pub fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            self.counter += 1;
            let block = hmac::sign(&self.seed, &self.counter.to_be_bytes());
            for (to, from) in chunk.iter_mut().zip(block.as_ref()) {
                *to = *from;
            }
        }
    }
}
