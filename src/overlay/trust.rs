//! Who is believed what: the check before a record is stored, and the check when one is read.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sha2::{Digest, Sha256};

use crate::certificate::{Certificate, Role};
use crate::identity::{NodeKey, PeerId};
use crate::name::{Aor, Key, Kind};
use crate::record::{Item, ItemHead, Record, RecordError};
use crate::{MAX_LIFE, SLACK, Value, Wall};

/// Certificates remembered as properly signed; the oldest is forgotten and would be checked again.
const REMEMBERED: usize = 1_024;
/// The longest life of a list of revoked certificates: it is renewed by hand.
const MAX_REVOKED_LIFE: Wall = 10 * 366 * 86_400_000;
/// Fields of a list of revoked certificates.
const SERIALS: u64 = 16;

/// Which names may be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Those an authority granted.
    Enrolled,
    /// `PEERID@p2p`, by its key.
    Own,
    /// Both.
    Both,
}

/// The rules of an overlay, the same in every member's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The keys whose certificates count: one, or two while one takes the other's place.
    pub authorities: Vec<PeerId>,
    /// Whether anybody may be here without a certificate.
    pub open: bool,
    /// Which names may be published.
    pub names: Names,
}

/// Why a record or an item of one is not taken. Labels count them in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Larger than a record may be.
    #[error("it is larger than a record may be")]
    Oversize,
    /// No record.
    #[error("it is no record")]
    Malformed,
    /// A record of another version.
    #[error("it is of another version")]
    Version,
    /// Kept under a key, or signed for a name, that is not its own.
    #[error("it is not what belongs under its key")]
    WrongKey,
    /// Its time is over.
    #[error("its time is over")]
    Expired,
    /// Written in the future, or to last longer than anything may.
    #[error("its times are not possible: written in the future, or lasting too long")]
    Future,
    /// Earlier than what is known.
    #[error("it is older than what is known")]
    Stale,
    /// Not signed by the peer it names.
    #[error("the peer it names did not sign it")]
    Signature,
    /// Its peer shows no certificate of an authority of this overlay.
    #[error("its peer is not enrolled here")]
    NotEnrolled,
    /// The certificate's time is over or has not come.
    #[error("its certificate is not valid now")]
    CertificateTime,
    /// The authority took the certificate back.
    #[error("its certificate was revoked")]
    Revoked,
    /// Its peer may not publish this name.
    #[error("its peer may not publish this name")]
    ForeignName,
    /// Its peer may not do this.
    #[error("its certificate does not allow this")]
    Role,
}

impl Refusal {
    /// Its label in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Refusal::Oversize => "oversize",
            Refusal::Malformed => "malformed",
            Refusal::Version => "version",
            Refusal::WrongKey => "wrong_key",
            Refusal::Expired => "expired",
            Refusal::Future => "future",
            Refusal::Stale => "stale",
            Refusal::Signature => "signature",
            Refusal::NotEnrolled => "not_enrolled",
            Refusal::CertificateTime => "certificate_time",
            Refusal::Revoked => "revoked",
            Refusal::ForeignName => "foreign_name",
            Refusal::Role => "role",
        }
    }

    /// Whether an honest peer may send such a thing: time passes on the way.
    pub const fn may_be_honest(self) -> bool {
        matches!(
            self,
            Refusal::Expired
                | Refusal::Stale
                | Refusal::CertificateTime
                | Refusal::Revoked
                | Refusal::Version
        )
    }
}

/// What is left of a record after the check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The record with the items that are believed.
    pub record: Record,
    /// Why others are not.
    pub refused: Vec<Refusal>,
}

/// What a peer that stores does with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Keep this, merged with what it has, until then.
    Keep(Vec<u8>, Wall),
    /// It has all of it already.
    Same,
}

/// Checks records by the rules of an overlay.
#[derive(Clone, Debug)]
pub struct Trust {
    policy: Policy,
    revoked: BTreeSet<u64>,
    revoked_at: Wall,
    /// Digests of certificates that an authority signed, oldest first.
    signed: VecDeque<[u8; 32]>,
}

impl Trust {
    /// A judge by these rules.
    pub fn new(policy: Policy) -> Trust {
        Trust {
            policy,
            revoked: BTreeSet::new(),
            revoked_at: 0,
            signed: VecDeque::new(),
        }
    }

    /// The rules.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Checks a record that was read from, or is offered for, `key`, and leaves the items that are believed.
    ///
    /// # Errors
    /// [`Refusal`] when nothing of it is.
    pub fn check(&mut self, key: &Key, bytes: &[u8], now: Wall) -> Result<Checked, Refusal> {
        let mut record = Record::parse(bytes).map_err(|e| match e {
            RecordError::Oversize => Refusal::Oversize,
            RecordError::Version => Refusal::Version,
            RecordError::Cbor(_) | RecordError::Shape => Refusal::Malformed,
        })?;
        if record.key() != *key {
            return Err(Refusal::WrongKey);
        }
        let mut refused = Vec::new();
        let mut seen = BTreeSet::new();
        let items = std::mem::take(&mut record.items);
        for item in items {
            let twice = !seen.insert((item.peer, item.id.clone()));
            match self.judge(&record, &item, now) {
                _ if twice => refused.push(Refusal::Malformed),
                Ok(()) => record.items.push(item),
                Err(refusal) => refused.push(refusal),
            }
        }
        record.settle();
        if record.items.is_empty() {
            return Err(refused.first().copied().unwrap_or(Refusal::Malformed));
        }
        Ok(Checked { record, refused })
    }

    /// What a peer that keeps `existing` under `key` does with `offered`. A record with one forged item is refused
    /// as a whole: no honest peer passes such a one on.
    ///
    /// # Errors
    /// [`Refusal`]: nothing is kept.
    pub fn store(
        &mut self,
        key: &Key,
        existing: Option<&[u8]>,
        offered: &[u8],
        now: Wall,
    ) -> Result<Stored, Refusal> {
        let Checked { record, refused } = self.check(key, offered, now)?;
        if let Some(refusal) = refused.iter().find(|r| !r.may_be_honest()) {
            return Err(*refusal);
        }
        let known = existing.and_then(|bytes| self.check(key, bytes, now).ok());
        let Some(Checked {
            record: mut known, ..
        }) = known
        else {
            let until = record.expires();
            return Ok(Stored::Keep(record.encode(), until));
        };
        let same = |a: &Item, b: &Item| a.peer == b.peer && a.id == b.id;
        let old = |item: &Item| known.items.iter().any(|k| same(k, item) && k.replaces(item));
        let new = |item: &Item| !known.items.iter().any(|k| same(k, item) && !item.replaces(k));
        if !record.items.iter().any(new) {
            // Merging at the writer sends what is known along with what is new: only a record that is older
            // throughout is a replay.
            return if record.items.iter().all(old) {
                Err(Refusal::Stale)
            } else {
                Ok(Stored::Same)
            };
        }
        let before = known.encode();
        known.merge(record);
        let merged = known.encode();
        if merged == before {
            return Ok(Stored::Same);
        }
        let until = known.expires();
        Ok(Stored::Keep(merged, until))
    }

    /// Merges what several peers say under one key: the union of all that is believed, the latest of each item.
    /// Peers that hide or hold back change nothing as long as one tells.
    pub fn union<'a>(
        &mut self,
        key: &Key,
        answers: impl IntoIterator<Item = &'a [u8]>,
        now: Wall,
    ) -> (Option<Record>, Vec<Refusal>) {
        let mut all: Option<Record> = None;
        let mut refusals = Vec::new();
        for bytes in answers {
            match self.check(key, bytes, now) {
                Ok(Checked { record, refused }) => {
                    refusals.extend(refused);
                    match &mut all {
                        Some(all) => all.merge(record),
                        None => all = Some(record),
                    }
                }
                Err(refusal) => refusals.push(refusal),
            }
        }
        (all, refusals)
    }

    fn judge(&mut self, record: &Record, item: &Item, now: Wall) -> Result<(), Refusal> {
        if item.name != record.name {
            return Err(Refusal::WrongKey);
        }
        let life = if record.kind == Kind::Revoked {
            MAX_REVOKED_LIFE
        } else {
            MAX_LIFE
        };
        if item.sequence > now.saturating_add(SLACK) || item.expires > item.sequence.saturating_add(life) {
            return Err(Refusal::Future);
        }
        if item.expires.saturating_add(SLACK) <= now {
            return Err(Refusal::Expired);
        }
        match record.kind {
            Kind::Revoked => {
                if record.name != REVOKED_NAME {
                    return Err(Refusal::WrongKey);
                }
                if !self.policy.authorities.contains(&item.peer) {
                    return Err(Refusal::ForeignName);
                }
            }
            Kind::Node => {
                if record.name != item.peer.to_string() {
                    return Err(Refusal::ForeignName);
                }
                self.enrolled(record, item, now, |_| Ok(()))?;
            }
            Kind::Service => {
                let owner = record.name.split_once('/').map(|(_, peer)| peer);
                if owner != Some(item.peer.to_string().as_str()) {
                    return Err(Refusal::ForeignName);
                }
                self.enrolled(record, item, now, |c| allow(c, Role::Serve))?;
            }
            Kind::Aor => self.judge_name(record, item, now)?,
        }
        // Last: the dearest test.
        if item.is_signed(record.kind) {
            Ok(())
        } else {
            Err(Refusal::Signature)
        }
    }

    fn judge_name(&mut self, record: &Record, item: &Item, now: Wall) -> Result<(), Refusal> {
        let aor: Aor = record.name.parse().map_err(|_| Refusal::Malformed)?;
        // A name in another form would be a second record for the same user.
        if aor.as_str() != record.name {
            return Err(Refusal::Malformed);
        }
        if let Some(owner) = aor.owner() {
            if owner != item.peer || self.policy.names == Names::Enrolled {
                return Err(Refusal::ForeignName);
            }
            return self.enrolled(record, item, now, |_| Ok(()));
        }
        if self.policy.names == Names::Own {
            return Err(Refusal::ForeignName);
        }
        self.certified(record, item, now, |certificate| {
            if !certificate.grant().covers(&aor) {
                return Err(Refusal::ForeignName);
            }
            allow(certificate, Role::Publish)
        })
    }

    /// In a closed overlay only those with a certificate may say anything.
    fn enrolled(
        &mut self,
        record: &Record,
        item: &Item,
        now: Wall,
        fits: impl Fn(&Certificate) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        if self.policy.open {
            return Ok(());
        }
        self.certified(record, item, now, fits)
    }

    /// Whether one of the certificates along with an item lets it be there; else what the last one lacks.
    fn certified(
        &mut self,
        record: &Record,
        item: &Item,
        now: Wall,
        fits: impl Fn(&Certificate) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let mut verdict = Err(Refusal::NotEnrolled);
        for certificate in record.certificates.iter().filter(|c| c.grant().peer == item.peer) {
            verdict = self
                .certificate(certificate, now)
                .and_then(|()| fits(certificate));
            if verdict.is_ok() {
                break;
            }
        }
        verdict
    }

    /// Whether a certificate counts now.
    ///
    /// # Errors
    /// [`Refusal`]: what it lacks.
    pub fn certificate(&mut self, certificate: &Certificate, now: Wall) -> Result<(), Refusal> {
        let grant = certificate.grant();
        if !grant.valid_at(now) {
            return Err(Refusal::CertificateTime);
        }
        if self.revoked.contains(&grant.serial) {
            return Err(Refusal::Revoked);
        }
        let digest: [u8; 32] = Sha256::digest(certificate.bytes()).into();
        if self.signed.contains(&digest) {
            return Ok(());
        }
        if !certificate.signed_by(&self.policy.authorities) {
            return Err(Refusal::NotEnrolled);
        }
        if self.signed.len() >= REMEMBERED {
            self.signed.pop_front();
        }
        self.signed.push_back(digest);
        Ok(())
    }

    /// Takes over a list of revoked certificates that was fetched; true when it says something new. Lists add
    /// up: what one authority revoked stays revoked.
    ///
    /// # Errors
    /// [`Refusal`] when it is not to be believed, [`Refusal::Stale`] when a later one is known.
    pub fn revoke(&mut self, bytes: &[u8], now: Wall) -> Result<bool, Refusal> {
        let Checked { record, .. } = self.check(&revoked_key(), bytes, now)?;
        let latest = record.items.iter().map(|i| i.sequence).max().unwrap_or(0);
        if latest < self.revoked_at {
            return Err(Refusal::Stale);
        }
        self.revoked_at = latest;
        let before = self.revoked.len();
        let lists = record.items.iter().filter_map(|i| i.field(SERIALS)?.list());
        self.revoked.extend(lists.flatten().filter_map(Value::uint));
        Ok(self.revoked.len() > before)
    }

    /// How many certificates are revoked.
    pub fn revocations(&self) -> usize {
        self.revoked.len()
    }
}

fn allow(certificate: &Certificate, role: Role) -> Result<(), Refusal> {
    if certificate.grant().allows(role) {
        Ok(())
    } else {
        Err(Refusal::Role)
    }
}

const REVOKED_NAME: &str = "list";

fn revoked_key() -> Key {
    Key::of(Kind::Revoked, REVOKED_NAME)
}

/// The list of certificates that count no more, signed by an authority; some 400 of them fit. It is kept under the
/// key of kind `revoked` and name `list`.
pub fn revocation_record(authority: &NodeKey, serials: &BTreeSet<u64>, now: Wall) -> Record {
    let head = ItemHead {
        name: REVOKED_NAME,
        id: "",
        sequence: now,
        expires: now.saturating_add(MAX_REVOKED_LIFE),
        withdrawn: false,
    };
    let serials = Value::List(serials.iter().map(|s| Value::Uint(*s)).collect());
    let fields = BTreeMap::from([(SERIALS, serials)]);
    Record::of(
        Kind::Revoked,
        Item::sign(authority, Kind::Revoked, head, fields),
        None,
    )
}
