//! Names of records, and the keys under which an engine keeps them.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::identity::PeerId;

/// The longest name of a record, bytes.
pub(crate) const MAX_NAME: usize = 255;
/// The domain of names that belong to a key.
pub(crate) const SELF_DOMAIN: &str = "p2p";

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Where a user is reached.
    Aor,
    /// A service that a peer offers: named `SERVICE/PEERID`.
    Service,
    /// A peer about itself: named by its id.
    Node,
    /// Which certificates count no more: named `list`.
    Revoked,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 4] = [Kind::Aor, Kind::Service, Kind::Node, Kind::Revoked];

    /// Its word in keys and records.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Aor => "aor",
            Kind::Service => "service",
            Kind::Node => "node",
            Kind::Revoked => "revoked",
        }
    }

    /// The kind of a word.
    pub fn of_word(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.word() == word)
    }
}

/// Where an engine keeps a record: SHA-256 of `flashgate/1/KIND/NAME`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; 32]);

impl Key {
    /// The key of a record.
    pub fn of(kind: Kind, name: &str) -> Key {
        Key::of_words(kind.word(), name)
    }

    /// The key under which those gather who offer a service.
    pub fn of_providers(service: &str) -> Key {
        Key::of_words("providers", service)
    }

    fn of_words(kind: &str, name: &str) -> Key {
        Key(Sha256::digest(format!("flashgate/1/{kind}/{name}")).into())
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A key as it came from another.
    pub fn from_slice(bytes: &[u8]) -> Option<Key> {
        bytes.try_into().ok().map(Key)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::to_hex(&self.0))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An address of record, `user@domain`, in the one form that records use: no scheme, the domain in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Aor {
    text: String,
    at: usize,
}

/// The text is not `user@domain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not an address of record, user@domain, of at most 255 bytes")]
pub struct NotAnAor;

impl Aor {
    /// The user part.
    pub fn user(&self) -> &str {
        self.text.get(..self.at).unwrap_or_default()
    }

    /// The domain.
    pub fn domain(&self) -> &str {
        self.text.get(self.at + 1..).unwrap_or_default()
    }

    /// As it stands in records.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name that belongs to a key without any certificate: `PEERID@p2p`.
    pub fn of_peer(peer: &PeerId) -> Aor {
        let user = peer.to_string();
        Aor {
            at: user.len(),
            text: format!("{user}@{SELF_DOMAIN}"),
        }
    }

    /// The peer to whose key the name belongs, when it is such a name.
    pub fn owner(&self) -> Option<PeerId> {
        (self.domain() == SELF_DOMAIN)
            .then(|| self.user().parse().ok())
            .flatten()
    }
}

impl FromStr for Aor {
    type Err = NotAnAor;

    fn from_str(text: &str) -> Result<Aor, NotAnAor> {
        let scheme = |s: &&str| text.get(..s.len()).is_some_and(|t| t.eq_ignore_ascii_case(s));
        let bare = ["sip:", "sips:"]
            .iter()
            .find(|s| scheme(s))
            .and_then(|s| text.get(s.len()..))
            .unwrap_or(text);
        let (user, domain) = bare.rsplit_once('@').ok_or(NotAnAor)?;
        let plain = |c: char| !c.is_control() && !c.is_whitespace();
        let host = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        let good = !user.is_empty() && user.chars().all(plain) && !user.contains('@');
        if !good || domain.is_empty() || !domain.chars().all(host) || bare.len() > MAX_NAME {
            return Err(NotAnAor);
        }
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        if domain.is_empty() {
            return Err(NotAnAor);
        }
        Ok(Aor {
            at: user.len(),
            text: format!("{user}@{domain}"),
        })
    }
}

impl fmt::Display for Aor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Aor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_form() {
        let aor: Aor = "sip:Alice@Example.COM.".parse().unwrap();
        assert_eq!(aor.as_str(), "Alice@example.com");
        assert_eq!((aor.user(), aor.domain()), ("Alice", "example.com"));
        for bad in [
            "alice",
            "@example.com",
            "alice@",
            "a b@c",
            "a@b/c",
            "a@b@c",
            "a@.",
        ] {
            assert!(bad.parse::<Aor>().is_err(), "{bad}");
        }
        assert!(format!("{}@d", "u".repeat(300)).parse::<Aor>().is_err());
    }

    #[test]
    fn the_name_of_a_key_is_known_again() {
        let peer = PeerId::of_key([3; 32]);
        let aor = Aor::of_peer(&peer);
        assert_eq!(aor.owner(), Some(peer));
        assert_eq!(aor.as_str().parse::<Aor>(), Ok(aor));
        assert_eq!("alice@p2p".parse::<Aor>().unwrap().owner(), None);
    }

    #[test]
    fn keys_differ_by_kind_and_name() {
        let key = Key::of(Kind::Aor, "alice@example.com");
        // SHA-256 of "flashgate/1/aor/alice@example.com".
        assert_eq!(
            key,
            Key(Sha256::digest(b"flashgate/1/aor/alice@example.com").into())
        );
        assert_ne!(key, Key::of(Kind::Node, "alice@example.com"));
        assert_ne!(key, Key::of(Kind::Aor, "bob@example.com"));
        assert_eq!(Key::from_slice(key.bytes()), Some(key));
        assert_eq!(Key::from_slice(&[0; 31]), None);
    }
}
