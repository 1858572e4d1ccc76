//! The Flash profile of cryptography (RFC 7425 §4): who an endpoint is, how keys are agreed, how packets are
//! protected.

pub mod certificate;
pub mod cipher;
pub mod dh;
pub mod keying;
mod primes;
pub mod random;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// HMAC-SHA256 over parts that are joined.
pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // A key of any length is allowed; the error is unreachable.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
