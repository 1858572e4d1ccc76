//! What a certificate looks like in SDP (RFC 8122).

use aws_lc_rs::digest;

/// The hash of a certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fingerprint {
    hash: Hash,
    digest: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    const ALL: [(&'static str, Hash, usize); 3] = [
        ("sha-256", Hash::Sha256, 32),
        ("sha-384", Hash::Sha384, 48),
        ("sha-512", Hash::Sha512, 64),
    ];

    fn of(self, bytes: &[u8]) -> digest::Digest {
        let algorithm = match self {
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha384 => &digest::SHA384,
            Hash::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, bytes)
    }
}

impl Fingerprint {
    /// Reads what follows `a=fingerprint:`. `None` for what is malformed, and for hashes that prove nothing any more.
    pub fn parse(value: &str) -> Option<Fingerprint> {
        let (name, digits) = value.trim().split_once(' ')?;
        let (_, hash, len) = Hash::ALL
            .into_iter()
            .find(|(n, ..)| n.eq_ignore_ascii_case(name))?;
        let pairs = digits.trim().split(':').take(len + 1);
        let byte = |pair: &str| {
            let hex = pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
            u8::from_str_radix(pair, 16).ok().filter(|_| hex)
        };
        let digest = pairs.map(byte).collect::<Option<Vec<u8>>>()?;
        (digest.len() == len).then_some(Fingerprint { hash, digest })
    }

    /// Whether it is that of a certificate in DER.
    pub fn is_of(&self, certificate: &[u8]) -> bool {
        self.hash.of(certificate).as_ref() == self.digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    #[test]
    fn reads_what_browsers_write() {
        let digest = digest::digest(&digest::SHA256, b"certificate");
        let mut text = "sha-256 ".to_owned();
        for (n, byte) in digest.as_ref().iter().enumerate() {
            write!(text, "{}{byte:02X}", if n > 0 { ":" } else { "" }).unwrap();
        }
        let read = Fingerprint::parse(&text).unwrap();
        assert!(read.is_of(b"certificate") && !read.is_of(b"another"));
        assert_eq!(Fingerprint::parse(&text.to_lowercase()), Some(read));
        for bad in [
            "",
            "sha-256",
            "sha-256 AA:BB",
            "sha-1 AA:BB",
            &format!("{text}:00"),
            &text.replace(':', ""),
            &text.replace('A', "+"),
        ] {
            assert!(bad == text || Fingerprint::parse(bad).is_none(), "{bad}");
        }
    }
}
