//! The record: what an engine stores under one key. A list of items, each signed by the peer it is about, and the
//! certificates that let them be there.

use std::collections::BTreeMap;

use crate::certificate::{Certificate, MAX_CERTIFICATE};
use crate::identity::{NodeKey, PeerId};
use crate::name::{Key, Kind, MAX_NAME};
use crate::{DecodeError, Value, Wall};

/// The largest record, bytes.
pub const MAX_RECORD: usize = 4_096;
/// Items one record may hold.
pub const MAX_ITEMS: usize = 16;
/// The version of the format.
const VERSION: u64 = 1;
/// The longest id of an item, bytes.
const MAX_ID: usize = 32;

/// What peers say under one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it is about.
    pub kind: Kind,
    /// Whom it is about.
    pub name: String,
    /// What its peers were granted.
    pub certificates: Vec<Certificate>,
    /// What they say, by peer and id.
    pub items: Vec<Item>,
    /// What a later version adds; kept as it came.
    extra: BTreeMap<u64, Value>,
}

/// What one peer says: a signed map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Who says it.
    pub peer: PeerId,
    /// Which of its items of this record it is.
    pub id: String,
    /// When it was written, by the clock of its writer; a later one takes the place of an earlier one.
    pub sequence: Wall,
    /// Until when it holds.
    pub expires: Wall,
    /// Whether it says only that nothing is there any more.
    pub withdrawn: bool,
    /// The record it belongs to.
    pub name: String,
    /// The map as it was signed: fields that we do not know are in it.
    body: Vec<u8>,
    fields: BTreeMap<u64, Value>,
    signature: Vec<u8>,
}

/// Why bytes are no record. The peer that sent them is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Larger than a record may be.
    #[error("is larger than 4096 bytes")]
    Oversize,
    /// No CBOR of ours.
    #[error(transparent)]
    Cbor(#[from] DecodeError),
    /// CBOR that is no record.
    #[error("is no record")]
    Shape,
    /// A version that is not ours.
    #[error("is of another version")]
    Version,
}

// Fields of a record.
const R_VERSION: u64 = 0;
const R_KIND: u64 = 1;
const R_NAME: u64 = 2;
const R_CERTIFICATES: u64 = 3;
const R_ITEMS: u64 = 4;

// Fields of every item; those of its content begin at 16.
const I_NAME: u64 = 0;
const I_PEER: u64 = 1;
const I_ID: u64 = 2;
const I_SEQUENCE: u64 = 3;
const I_EXPIRES: u64 = 4;
const I_WITHDRAWN: u64 = 5;

impl Item {
    /// Signs what a peer says. `content` are the fields from 16 on.
    pub(crate) fn sign(key: &NodeKey, kind: Kind, head: ItemHead<'_>, content: BTreeMap<u64, Value>) -> Item {
        let mut fields = content;
        fields.insert(I_NAME, Value::Text(head.name.to_owned()));
        fields.insert(I_PEER, Value::Bytes(key.peer().key().to_vec()));
        fields.insert(I_ID, Value::Text(head.id.to_owned()));
        fields.insert(I_SEQUENCE, Value::Uint(head.sequence));
        fields.insert(I_EXPIRES, Value::Uint(head.expires));
        if head.withdrawn {
            fields.insert(I_WITHDRAWN, Value::Bool(true));
        }
        let body = Value::Map(fields.clone()).encode();
        Item {
            peer: key.peer(),
            id: head.id.to_owned(),
            sequence: head.sequence,
            expires: head.expires,
            withdrawn: head.withdrawn,
            name: head.name.to_owned(),
            signature: key.sign(kind.word(), &body).to_vec(),
            body,
            fields,
        }
    }

    fn parse(value: &Value) -> Option<Item> {
        let [Value::Bytes(body), Value::Bytes(signature)] = value.list()? else {
            return None;
        };
        let Ok(Value::Map(fields)) = Value::decode(body) else {
            return None;
        };
        let text = |key, most| fields.get(&key)?.text().filter(|t| t.len() <= most);
        Some(Item {
            peer: PeerId::from_slice(fields.get(&I_PEER)?.bytes()?)?,
            id: text(I_ID, MAX_ID)?.to_owned(),
            sequence: fields.get(&I_SEQUENCE)?.uint()?,
            expires: fields.get(&I_EXPIRES)?.uint()?,
            withdrawn: match fields.get(&I_WITHDRAWN) {
                None => false,
                Some(Value::Bool(withdrawn)) => *withdrawn,
                Some(_) => return None,
            },
            name: text(I_NAME, MAX_NAME)?.to_owned(),
            body: body.clone(),
            signature: signature.clone(),
            fields,
        })
    }

    /// Whether the peer signed it for a record of this kind.
    pub(crate) fn is_signed(&self, kind: Kind) -> bool {
        self.peer.verify(kind.word(), &self.body, &self.signature)
    }

    /// A field of its content.
    pub(crate) fn field(&self, key: u64) -> Option<&Value> {
        self.fields.get(&key)
    }

    /// Whether it takes the place of another of the same peer and id: the later one does; of two that were
    /// written at once every peer must choose the same.
    pub(crate) fn replaces(&self, other: &Item) -> bool {
        (self.sequence, &self.body, &self.signature) > (other.sequence, &other.body, &other.signature)
    }

    fn value(&self) -> Value {
        Value::List(vec![
            Value::Bytes(self.body.clone()),
            Value::Bytes(self.signature.clone()),
        ])
    }
}

/// What stands in every item.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ItemHead<'a> {
    pub(crate) name: &'a str,
    pub(crate) id: &'a str,
    pub(crate) sequence: Wall,
    pub(crate) expires: Wall,
    pub(crate) withdrawn: bool,
}

impl Record {
    /// A record of one item, with the certificate that lets it be there.
    pub(crate) fn of(kind: Kind, item: Item, certificate: Option<&Certificate>) -> Record {
        Record {
            kind,
            name: item.name.clone(),
            certificates: certificate.cloned().into_iter().collect(),
            items: vec![item],
            extra: BTreeMap::new(),
        }
    }

    /// The key it is kept under.
    pub fn key(&self) -> Key {
        Key::of(self.kind, &self.name)
    }

    /// Until when any of its items holds.
    pub fn expires(&self) -> Wall {
        self.items.iter().map(|i| i.expires).max().unwrap_or(0)
    }

    /// The record as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let certificates = self.certificates.iter().map(|c| Value::Bytes(c.bytes().to_vec()));
        let mut map = self.extra.clone();
        map.extend([
            (R_VERSION, Value::Uint(VERSION)),
            (R_KIND, Value::Text(self.kind.word().to_owned())),
            (R_NAME, Value::Text(self.name.clone())),
            (R_CERTIFICATES, Value::List(certificates.collect())),
            (R_ITEMS, Value::List(self.items.iter().map(Item::value).collect())),
        ]);
        Value::Map(map).encode()
    }

    /// Reads a record; nothing is checked but its form.
    ///
    /// # Errors
    /// [`RecordError`] for whatever is not a record of ours.
    pub fn parse(bytes: &[u8]) -> Result<Record, RecordError> {
        if bytes.len() > MAX_RECORD {
            return Err(RecordError::Oversize);
        }
        let Value::Map(mut map) = Value::decode(bytes)? else {
            return Err(RecordError::Shape);
        };
        if map.remove(&R_VERSION).and_then(|v| v.uint()) != Some(VERSION) {
            return Err(RecordError::Version);
        }
        read(map).ok_or(RecordError::Shape)
    }

    /// Takes over what another record of the same name says later. What neither of them can hold is left out,
    /// the earliest first.
    pub(crate) fn merge(&mut self, other: Record) {
        for item in other.items {
            match self
                .items
                .iter_mut()
                .find(|i| i.peer == item.peer && i.id == item.id)
            {
                Some(own) if item.replaces(own) => *own = item,
                Some(_) => {}
                None => self.items.push(item),
            }
        }
        self.certificates.extend(other.certificates);
        for (key, value) in other.extra {
            self.extra.entry(key).or_insert(value);
        }
        self.settle();
    }

    /// Puts it in its one order, without certificates nobody needs, within its limits.
    pub(crate) fn settle(&mut self) {
        loop {
            let items = &self.items;
            self.certificates
                .retain(|c| items.iter().any(|i| i.peer == c.grant().peer));
            self.certificates.sort_by(|a, b| a.bytes().cmp(b.bytes()));
            self.certificates.dedup();
            self.items.sort_by(|a, b| (a.peer, &a.id).cmp(&(b.peer, &b.id)));
            let fits = self.items.len() <= MAX_ITEMS && self.encode().len() <= MAX_RECORD;
            if fits || self.items.is_empty() {
                return;
            }
            // What a later version added is worth less than what we know.
            if self.items.len() == 1 && !self.extra.is_empty() {
                self.extra.clear();
                continue;
            }
            let earliest = self.items.iter().map(|i| i.sequence).min().unwrap_or(0);
            if let Some(at) = self.items.iter().position(|i| i.sequence == earliest) {
                self.items.remove(at);
            }
        }
    }
}

fn read(mut map: BTreeMap<u64, Value>) -> Option<Record> {
    let kind = Kind::of_word(map.remove(&R_KIND)?.text()?)?;
    let name = map.remove(&R_NAME)?.text()?.to_owned();
    let certificates = map.remove(&R_CERTIFICATES)?;
    let certificates = certificates.list()?;
    let items = map.remove(&R_ITEMS)?;
    let items = items.list()?;
    // A few more certificates than items: an old and a new one for the same peer.
    if name.len() > MAX_NAME || items.len() > MAX_ITEMS || certificates.len() > 2 * MAX_ITEMS {
        return None;
    }
    let certificate = |v: &Value| {
        let bytes = v.bytes().filter(|b| b.len() <= MAX_CERTIFICATE)?;
        Certificate::parse(bytes).ok()
    };
    Some(Record {
        kind,
        name,
        certificates: certificates.iter().map(certificate).collect::<Option<_>>()?,
        items: items.iter().map(Item::parse).collect::<Option<_>>()?,
        extra: map,
    })
}
