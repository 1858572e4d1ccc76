//! Enrolment: the authority of an overlay says which peer may publish which names (RFC 6940 §11.3 has the idea).

use std::collections::BTreeMap;

use crate::identity::{NodeKey, PeerId};
use crate::name::{Aor, MAX_NAME};
use crate::{SLACK, Value, Wall};

/// Names one certificate may hold.
const MAX_PATTERNS: usize = 8;
/// The longest certificate, bytes.
pub(crate) const MAX_CERTIFICATE: usize = 1_024;
const CONTEXT: &str = "certificate";

/// What a peer may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Publish addresses of record.
    Publish,
    /// Offer services.
    Serve,
    /// Keep records for others.
    Store,
    /// Ask other peers for their state and change their log level.
    Operate,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 4] = [Role::Publish, Role::Serve, Role::Store, Role::Operate];

    /// Its word in certificates and on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Role::Publish => "publish",
            Role::Serve => "serve",
            Role::Store => "store",
            Role::Operate => "operator",
        }
    }

    /// The role of a word.
    pub fn of_word(word: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|r| r.word() == word)
    }
}

/// What the authority grants a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The names: `user@domain`, `*@domain`, or `*` for all.
    pub patterns: Vec<String>,
    /// Who may publish them.
    pub peer: PeerId,
    /// What it may do.
    pub roles: Vec<Role>,
    /// From when.
    pub not_before: Wall,
    /// Until when.
    pub not_after: Wall,
    /// By what number it is revoked.
    pub serial: u64,
}

/// A grant with the authority's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    grant: Grant,
    bytes: Vec<u8>,
}

/// Why bytes are no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Not the form of a certificate, or beyond its limits.
    #[error("is no certificate")]
    Malformed,
    /// No authority of this overlay signed it.
    #[error("is not signed by an authority of this overlay")]
    Authority,
    /// A pattern of names that is none.
    #[error("names are user@domain, *@domain or *; at most eight")]
    Pattern,
}

impl Certificate {
    /// Signs a grant.
    ///
    /// # Errors
    /// [`CertificateError::Pattern`] when a name of the grant is none; [`CertificateError::Malformed`] when it
    /// is too large.
    pub fn issue(authority: &NodeKey, grant: Grant) -> Result<Certificate, CertificateError> {
        let patterns: Option<Vec<String>> = grant.patterns.iter().map(|p| canonical(p)).collect();
        let patterns = patterns
            .filter(|p| (1..=MAX_PATTERNS).contains(&p.len()))
            .ok_or(CertificateError::Pattern)?;
        let grant = Grant { patterns, ..grant };
        let body = Value::Map(BTreeMap::from([
            (0, Value::Uint(1)),
            (1, Value::texts(&grant.patterns)),
            (2, Value::Bytes(grant.peer.key().to_vec())),
            (
                3,
                Value::texts(&grant.roles.iter().map(|r| r.word()).collect::<Vec<_>>()),
            ),
            (4, Value::Uint(grant.not_before)),
            (5, Value::Uint(grant.not_after)),
            (6, Value::Uint(grant.serial)),
        ]));
        let body = body.encode();
        let signature = authority.sign(CONTEXT, &body).to_vec();
        let bytes = Value::List(vec![Value::Bytes(body), Value::Bytes(signature)]).encode();
        if bytes.len() > MAX_CERTIFICATE {
            return Err(CertificateError::Malformed);
        }
        Ok(Certificate { grant, bytes })
    }

    /// Reads a certificate without looking at its signature: for those who hold it already checked, and to find
    /// the one that is meant.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Certificate, CertificateError> {
        let (body, _) = halves(bytes)?;
        Ok(Certificate {
            grant: read(&body).ok_or(CertificateError::Malformed)?,
            bytes: bytes.to_vec(),
        })
    }

    /// Whether one of the authorities signed it.
    pub fn signed_by(&self, authorities: &[PeerId]) -> bool {
        halves(&self.bytes)
            .is_ok_and(|(body, signature)| authorities.iter().any(|a| a.verify(CONTEXT, &body, &signature)))
    }

    /// What it grants.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// As it stands in records and, in hexadecimal, in files.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Grant {
    /// Whether it holds at a time.
    pub fn valid_at(&self, now: Wall) -> bool {
        self.not_before <= now.saturating_add(SLACK) && now < self.not_after.saturating_add(SLACK)
    }

    /// Whether a name is among those granted.
    pub fn covers(&self, aor: &Aor) -> bool {
        self.patterns
            .iter()
            .any(|pattern| match pattern.strip_prefix('*') {
                // A name that belongs to a key is granted by nobody else.
                Some("") => aor.owner().is_none(),
                Some(domain) => domain.strip_prefix('@') == Some(aor.domain()) && aor.owner().is_none(),
                None => pattern == aor.as_str() && aor.owner().is_none(),
            })
    }

    /// Whether it grants a role.
    pub fn allows(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

/// A pattern in its one form; `None` when it is none.
fn canonical(pattern: &str) -> Option<String> {
    match pattern.strip_prefix('*') {
        Some("") => Some(pattern.to_owned()),
        Some(domain) => {
            let any: Aor = format!("any{domain}").parse().ok()?;
            (any.user() == "any").then(|| format!("*@{}", any.domain()))
        }
        None => pattern.parse::<Aor>().ok().map(|aor| aor.as_str().to_owned()),
    }
}

fn halves(bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>), CertificateError> {
    if bytes.len() > MAX_CERTIFICATE {
        return Err(CertificateError::Malformed);
    }
    match Value::decode(bytes) {
        Ok(Value::List(list)) => match <[Value; 2]>::try_from(list) {
            Ok([Value::Bytes(body), Value::Bytes(signature)]) => Ok((body, signature)),
            _ => Err(CertificateError::Malformed),
        },
        _ => Err(CertificateError::Malformed),
    }
}

fn read(body: &[u8]) -> Option<Grant> {
    let body = Value::decode(body).ok()?;
    let body = body.map()?;
    if body.get(&0)?.uint()? != 1 {
        return None;
    }
    let texts = |key| -> Option<Vec<&str>> { body.get(&key)?.list()?.iter().map(Value::text).collect() };
    let patterns = texts(1)?;
    if patterns.len() > MAX_PATTERNS || patterns.iter().any(|p| p.len() > MAX_NAME) {
        return None;
    }
    Some(Grant {
        patterns: patterns.into_iter().map(str::to_owned).collect(),
        peer: PeerId::from_slice(body.get(&2)?.bytes()?)?,
        // A role of a later version is no role here.
        roles: texts(3)?.into_iter().filter_map(Role::of_word).collect(),
        not_before: body.get(&4)?.uint()?,
        not_after: body.get(&5)?.uint()?,
        serial: body.get(&6)?.uint()?,
    })
}
