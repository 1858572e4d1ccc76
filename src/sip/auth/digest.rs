//! The arithmetic: hashes, HA1, response (RFC 7616 §3.4.1).

use std::fmt;

use md5::{Digest as _, Md5};
use sha2::{Sha256, Sha512_256};

use super::challenge::Qop;

/// A digest algorithm, weakest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Algorithm {
    /// `MD5`
    Md5,
    /// `MD5-sess`
    Md5Sess,
    /// `SHA-256`
    Sha256,
    /// `SHA-256-sess`
    Sha256Sess,
    /// `SHA-512-256`
    Sha512,
    /// `SHA-512-256-sess`
    Sha512Sess,
}

impl Algorithm {
    const ALL: [Algorithm; 6] = [
        Algorithm::Md5,
        Algorithm::Md5Sess,
        Algorithm::Sha256,
        Algorithm::Sha256Sess,
        Algorithm::Sha512,
        Algorithm::Sha512Sess,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Md5Sess => "MD5-sess",
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Sha256Sess => "SHA-256-sess",
            Algorithm::Sha512 => "SHA-512-256",
            Algorithm::Sha512Sess => "SHA-512-256-sess",
        }
    }

    /// The algorithm of that name, in any case.
    pub fn parse(s: &str) -> Option<Algorithm> {
        Algorithm::ALL
            .into_iter()
            .find(|a| a.as_str().eq_ignore_ascii_case(s))
    }

    /// Whether HA1 covers the nonces too.
    pub const fn is_session(self) -> bool {
        matches!(
            self,
            Algorithm::Md5Sess | Algorithm::Sha256Sess | Algorithm::Sha512Sess
        )
    }

    /// The same hash without `-sess`.
    pub const fn base(self) -> Algorithm {
        match self {
            Algorithm::Md5 | Algorithm::Md5Sess => Algorithm::Md5,
            Algorithm::Sha256 | Algorithm::Sha256Sess => Algorithm::Sha256,
            Algorithm::Sha512 | Algorithm::Sha512Sess => Algorithm::Sha512,
        }
    }

    /// The hash of the parts joined by colons, in lower-case hexadecimal.
    fn hash(self, parts: &[&[u8]]) -> String {
        fn run<D: md5::Digest>(parts: &[&[u8]]) -> String {
            let mut hasher = D::new();
            for (i, part) in parts.iter().enumerate() {
                if i > 0 {
                    hasher.update(b":");
                }
                hasher.update(part);
            }
            hex(&hasher.finalize())
        }
        match self.base() {
            Algorithm::Sha256 => run::<Sha256>(parts),
            Algorithm::Sha512 => run::<Sha512_256>(parts),
            _ => run::<Md5>(parts),
        }
    }

    /// The stored form of a password: the hash of user, realm and password, in hexadecimal (RFC 7616 §3.4.2).
    pub fn ha1(self, username: &str, realm: &str, password: &str) -> String {
        self.hash(&[username.as_bytes(), realm.as_bytes(), password.as_bytes()])
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A password, plain or as hash. Its `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The password itself; serves every algorithm and realm.
    Password(String),
    /// The hash of user, realm and password, in hexadecimal; serves one algorithm and realm.
    Ha1(Algorithm, String),
}

impl Secret {
    /// HA1 for an algorithm; `None` when the stored hash is of another.
    pub(super) fn ha1(&self, algorithm: Algorithm, username: &str, realm: &str) -> Option<String> {
        match self {
            Secret::Password(p) => Some(algorithm.ha1(username, realm, p)),
            Secret::Ha1(a, ha1) => (a.base() == algorithm.base()).then(|| ha1.to_ascii_lowercase()),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Who we are to a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credentials {
    /// The user name of the account, which need not be the user part of the address.
    pub username: String,
    /// The password.
    pub secret: Secret,
    /// The only realm to which these may be shown; `None` for any that asks.
    pub realm: Option<String>,
}

impl Credentials {
    /// A user name with a plain password, for any realm.
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Credentials {
        Credentials {
            username: username.into(),
            secret: Secret::Password(password.into()),
            realm: None,
        }
    }
}

/// What a digest response is computed over.
pub(super) struct Input<'a> {
    pub algorithm: Algorithm,
    pub nonce: &'a str,
    pub cnonce: &'a str,
    /// Eight hexadecimal digits.
    pub nc: &'a str,
    pub qop: Option<Qop>,
    pub method: &'a str,
    pub uri: &'a str,
    pub body: &'a [u8],
}

impl Input<'_> {
    /// The response for a plain HA1 (without session nonces), in hexadecimal.
    pub(super) fn response(&self, ha1: &str) -> String {
        let hash = |parts: &[&[u8]]| self.algorithm.hash(parts);
        let nonce = self.nonce.as_bytes();
        let cnonce = self.cnonce.as_bytes();
        let session;
        let ha1 = if self.algorithm.is_session() {
            session = hash(&[ha1.as_bytes(), nonce, cnonce]);
            session.as_str()
        } else {
            ha1
        };
        let (method, uri) = (self.method.as_bytes(), self.uri.as_bytes());
        let ha2 = match self.qop {
            Some(Qop::AuthInt) => hash(&[method, uri, hash(&[self.body]).as_bytes()]),
            _ => hash(&[method, uri]),
        };
        let (ha1, ha2) = (ha1.as_bytes(), ha2.as_bytes());
        match self.qop {
            Some(qop) => hash(&[
                ha1,
                nonce,
                self.nc.as_bytes(),
                cnonce,
                qop.as_str().as_bytes(),
                ha2,
            ]),
            None => hash(&[ha1, nonce, ha2]),
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])
        .collect()
}

/// HMAC-SHA-256 (RFC 2104).
pub(super) fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let pad = |with: u8| {
        let mut block = [with; 64];
        for (b, k) in block.iter_mut().zip(key) {
            *b ^= k;
        }
        block
    };
    let mut inner = Sha256::new();
    inner.update(pad(0x36));
    for part in parts {
        inner.update(part);
    }
    let mut outer = Sha256::new();
    outer.update(pad(0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

/// Compares in a time that depends on the lengths only.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_2617() {
        let input = Input {
            algorithm: Algorithm::Md5,
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            cnonce: "0a4f113b",
            nc: "00000001",
            qop: Some(Qop::Auth),
            method: "GET",
            uri: "/dir/index.html",
            body: b"",
        };
        let ha1 = Algorithm::Md5.ha1("Mufasa", "testrealm@host.com", "Circle Of Life");
        assert_eq!(input.response(&ha1), "6629fae49393a05397450978507c4ef1");
    }

    #[test]
    fn the_examples_of_rfc_7616() {
        let of = |algorithm: Algorithm| {
            let input = Input {
                algorithm,
                nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
                cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
                nc: "00000001",
                qop: Some(Qop::Auth),
                method: "GET",
                uri: "/dir/index.html",
                body: b"",
            };
            input.response(&algorithm.ha1("Mufasa", "http-auth@example.org", "Circle of Life"))
        };
        assert_eq!(of(Algorithm::Md5), "8ca523f5e9506fed4657c9700eebdbec");
        assert_eq!(
            of(Algorithm::Sha256),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
    }

    #[test]
    fn hmac_test_case_1_of_rfc_4231() {
        let mut key = [0; 32];
        key[..20].copy_from_slice(&[0x0b; 20]);
        assert_eq!(
            hex(&hmac(&key, &[b"Hi ", b"There"])),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
    }

    #[test]
    fn a_secret_is_not_printed() {
        let c = Credentials::new("alice", "sesame");
        assert!(!format!("{c:?}").contains("sesame"));
    }
}
