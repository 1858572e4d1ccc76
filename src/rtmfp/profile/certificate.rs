//! Certificates, fingerprints and endpoint discriminators (RFC 7425 §4.3, §4.4).

use std::fmt;

use super::dh::{Group, KeyPair};
use super::random::Random;
use super::sha256;
use crate::option::{self, Item};
use crate::vlu::{self, Cursor};

const HOSTNAME: u64 = 0x00;
const ANCILLARY: u64 = 0x0A;
const EXTRA_RANDOMNESS: u64 = 0x0E;
const FINGERPRINT: u64 = 0x0F;
const EPHEMERAL_GROUP: u64 = 0x15;
const STATIC_KEY: u64 = 0x1D;

/// A signature field that says that there is none.
pub const NO_SIGNATURE: &[u8] = b"X";

/// SHA-256 of a certificate's canonical section: the identity of a peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How a certificate agrees on keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keying {
    /// A new key pair for each session, in one of these groups.
    Ephemeral(Vec<Group>),
    /// One lasting public key for each of some groups.
    Static(Vec<(Group, Vec<u8>)>),
}

impl Keying {
    /// Whether the certificate supports a group.
    pub fn has(&self, group: Group) -> bool {
        match self {
            Keying::Ephemeral(groups) => groups.contains(&group),
            Keying::Static(keys) => keys.iter().any(|(g, _)| *g == group),
        }
    }

    /// The groups, in the certificate's order.
    pub fn groups(&self) -> Vec<Group> {
        match self {
            Keying::Ephemeral(groups) => groups.clone(),
            Keying::Static(keys) => keys.iter().map(|(g, _)| *g).collect(),
        }
    }

    /// The static public key of a group.
    pub fn static_key(&self, group: Group) -> Option<&[u8]> {
        match self {
            Keying::Ephemeral(_) => None,
            Keying::Static(keys) => keys.iter().find(|(g, _)| *g == group).map(|(_, k)| k.as_slice()),
        }
    }
}

/// A certificate. There is no authority: every well-formed one is what it says (RFC 7425 §4.3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    bytes: Vec<u8>,
    hostname: Option<Vec<u8>>,
    is_server: bool,
    keying: Keying,
    fingerprint: Fingerprint,
}

impl Certificate {
    /// Reads a certificate; `None` when it is malformed, or offers no group we have, or both kinds of keying.
    pub fn read(bytes: &[u8]) -> Option<Certificate> {
        let mut cursor = Cursor(bytes);
        let mut canonical = bytes.len();
        let (mut hostname, mut is_server) = (None, false);
        let (mut ephemeral, mut fixed): (Vec<Group>, Vec<(Group, Vec<u8>)>) = Default::default();
        let (mut any_ephemeral, mut any_static) = (false, false);
        while !cursor.is_empty() {
            let before = bytes.len() - cursor.0.len();
            let Item::Option { kind, value } = option::next(&mut cursor)? else {
                canonical = before;
                break;
            };
            match kind {
                HOSTNAME if hostname.is_some() => return None,
                HOSTNAME => hostname = Some(value.to_vec()),
                ANCILLARY => is_server = true,
                EPHEMERAL_GROUP => {
                    any_ephemeral = true;
                    ephemeral.extend(Group::from_id(Cursor(value).vlu()?));
                }
                STATIC_KEY => {
                    any_static = true;
                    let mut c = Cursor(value);
                    if let Some(group) = Group::from_id(c.vlu()?) {
                        if fixed.iter().any(|(g, _)| *g == group) {
                            return None;
                        }
                        fixed.push((group, c.rest().to_vec()));
                    }
                }
                _ => {}
            }
        }
        // Options behind the first marker are not ours to judge, but they have to be options.
        if option::all(cursor.rest()).any(|o| o.is_none()) {
            return None;
        }
        let keying = match (any_ephemeral, any_static) {
            (true, false) if !ephemeral.is_empty() => Keying::Ephemeral(ephemeral),
            (false, true) if !fixed.is_empty() => Keying::Static(fixed),
            _ => return None,
        };
        Some(Certificate {
            fingerprint: Fingerprint(sha256(bytes.get(..canonical)?)),
            bytes: bytes.to_vec(),
            hostname,
            is_server,
            keying,
        })
    }

    /// As sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// How it agrees on keys.
    pub fn keying(&self) -> &Keying {
        &self.keying
    }

    /// Whether a discriminator selects it (RFC 7425 §4.4.3).
    pub fn is_selected_by(&self, epd: &Discriminator) -> bool {
        if let Some(wanted) = epd.fingerprint {
            return wanted == self.fingerprint;
        }
        let host = epd
            .hostname
            .as_ref()
            .is_none_or(|h| self.hostname.as_ref() == Some(h));
        let ancillary = epd.ancillary.is_none() || self.is_server;
        (epd.hostname.is_some() || epd.ancillary.is_some()) && host && ancillary
    }

    /// Whether the near end of two that open a session to each other at once stays the initiator: its
    /// certificate is the lower one (RFC 7425 §4.3.6).
    pub fn prevails_over(&self, far: &Certificate) -> bool {
        self.bytes <= far.bytes
    }
}

/// An endpoint discriminator: whom one wants to reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discriminator {
    /// The hostname its certificate must have.
    pub hostname: Option<Vec<u8>>,
    /// What to reach there: the URI of a server's application.
    pub ancillary: Option<Vec<u8>>,
    /// Its identity.
    pub fingerprint: Option<Fingerprint>,
}

impl Discriminator {
    /// Of a server's application.
    pub fn uri(uri: &str) -> Discriminator {
        Discriminator {
            ancillary: Some(uri.as_bytes().to_vec()),
            ..Discriminator::default()
        }
    }

    /// Of a peer by its identity.
    pub fn peer(fingerprint: Fingerprint) -> Discriminator {
        Discriminator {
            fingerprint: Some(fingerprint),
            ..Discriminator::default()
        }
    }

    /// Reads a discriminator; `None` when it is malformed or repeats an option.
    pub fn read(bytes: &[u8]) -> Option<Discriminator> {
        let mut epd = Discriminator::default();
        for option in option::all(bytes) {
            let (kind, value) = option?;
            let again = match kind {
                HOSTNAME => epd.hostname.replace(value.to_vec()).is_some(),
                ANCILLARY => epd.ancillary.replace(value.to_vec()).is_some(),
                FINGERPRINT => epd
                    .fingerprint
                    .replace(Fingerprint(*value.first_chunk().filter(|_| value.len() == 32)?))
                    .is_some(),
                _ => false,
            };
            if again {
                return None;
            }
        }
        Some(epd)
    }

    /// As sent.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(hostname) = &self.hostname {
            option::put(HOSTNAME, hostname, &mut out);
        }
        if let Some(uri) = &self.ancillary {
            option::put(ANCILLARY, uri, &mut out);
        }
        if let Some(fingerprint) = &self.fingerprint {
            option::put(FINGERPRINT, &fingerprint.0, &mut out);
        }
        out
    }
}

/// Who we are: a certificate and what only its owner knows.
#[derive(Clone, Debug)]
pub struct Identity {
    certificate: Certificate,
    keys: Vec<KeyPair>,
}

impl Identity {
    /// A server's identity: ephemeral keys in `groups` (RFC 7425 §5.3 recommends them for servers).
    pub fn server(groups: &[Group], random: &mut Random) -> Option<Identity> {
        let mut bytes = Vec::new();
        option::put(ANCILLARY, &[], &mut bytes);
        option::put(EXTRA_RANDOMNESS, &random.array::<64>(), &mut bytes);
        for group in groups {
            let mut id = Vec::new();
            vlu::put(group.id(), &mut id);
            option::put(EPHEMERAL_GROUP, &id, &mut bytes);
        }
        Some(Identity {
            certificate: Certificate::read(&bytes)?,
            keys: Vec::new(),
        })
    }

    /// A client's identity: a static key in one group, as Flash Player has. Long arithmetic.
    pub fn client(group: Group, random: &mut Random) -> Option<Identity> {
        Identity::fixed(vec![KeyPair::generate(group, random)], false)
    }

    /// An identity of known static keys; with `server` it accepts URIs.
    pub fn fixed(keys: Vec<KeyPair>, server: bool) -> Option<Identity> {
        let mut bytes = Vec::new();
        if server {
            option::put(ANCILLARY, &[], &mut bytes);
        }
        for pair in &keys {
            let mut value = Vec::new();
            vlu::put(pair.group().id(), &mut value);
            value.extend_from_slice(pair.public());
            option::put(STATIC_KEY, &value, &mut bytes);
        }
        Some(Identity {
            certificate: Certificate::read(&bytes)?,
            keys,
        })
    }

    /// The identity of a given certificate, with its private keys if they are static.
    pub fn new(certificate: Certificate, keys: Vec<KeyPair>) -> Identity {
        Identity { certificate, keys }
    }

    /// The certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The static key pair of a group.
    pub fn key(&self, group: Group) -> Option<&KeyPair> {
        self.keys.iter().find(|k| k.group() == group)
    }
}
