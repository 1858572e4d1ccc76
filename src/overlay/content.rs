//! What the items of each kind say.

use std::collections::BTreeMap;

use crate::certificate::Certificate;
use crate::identity::{NodeKey, PeerId};
use crate::name::{Aor, Kind};
use crate::record::{Item, ItemHead, Record};
use crate::{Value, Wall};

/// The longest text of a field, bytes.
const MAX_TEXT: usize = 256;
/// Texts in a list.
const MAX_TEXTS: usize = 32;

/// Whether a user can be called now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// Registered and free.
    #[default]
    Online,
    /// In a call.
    Busy,
}

/// Where a user is reached: one contact of one gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Whose it is.
    pub aor: Aor,
    /// Which of the gateway's contacts for this user, at most 32 bytes.
    pub id: String,
    /// The SIP URI at which the gateway takes calls for the user.
    pub contact: String,
    /// Who is rung first: the highest, 0 to 1000.
    pub priority: u16,
    /// Codecs and what else the client can.
    pub capabilities: Vec<String>,
    /// Whether it is busy.
    pub presence: Presence,
}

/// What a peer offers others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Descriptor {
    /// `gateway`, `pstn`, `conference`, `relay`.
    pub service: String,
    /// The SIP URI or address to use it by.
    pub contact: String,
    /// For `pstn`: the beginnings of the numbers it serves; empty for all.
    pub prefixes: Vec<String>,
    /// Calls at a time; 0 when it does not say.
    pub capacity: u32,
    /// Share of its capacity in use, in steps of a tenth: 0 to 10.
    pub load: u8,
    /// Latitude and longitude, degrees.
    pub position: Option<(f64, f64)>,
    /// What it costs: 0 is free, higher is dearer.
    pub price: u8,
}

/// What a peer says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// The version of its program.
    pub version: String,
    /// Where it listens.
    pub addresses: Vec<String>,
    /// What it does.
    pub roles: Vec<String>,
    /// What lies between it and the others: `public`, `private`, `unknown`.
    pub nat: String,
    /// When it started.
    pub started: Wall,
}

/// A kind of content: how it is put into an item and read from one.
pub trait Content: Sized {
    /// The kind of record it stands in.
    const KIND: Kind;

    /// The name of its record, for a writer.
    fn name(&self, peer: &PeerId) -> String;

    /// Which of the writer's items of that record it is.
    fn id(&self) -> &str {
        ""
    }

    /// Its fields.
    fn fields(&self) -> BTreeMap<u64, Value>;

    /// Reads an item; `None` when it is not of this kind.
    fn read(item: &Item) -> Option<Self>;

    /// A signed record that says this until `expires`.
    fn record(&self, key: &NodeKey, certificate: Option<&Certificate>, now: Wall, expires: Wall) -> Record {
        signed(self, key, certificate, now, expires, self.fields())
    }

    /// A signed record that says that it is no longer so.
    fn withdrawal(
        &self,
        key: &NodeKey,
        certificate: Option<&Certificate>,
        now: Wall,
        expires: Wall,
    ) -> Record {
        let head = ItemHead {
            name: &self.name(&key.peer()),
            id: self.id(),
            sequence: now,
            expires,
            withdrawn: true,
        };
        Record::of(
            Self::KIND,
            Item::sign(key, Self::KIND, head, BTreeMap::new()),
            certificate,
        )
    }
}

fn signed<C: Content>(
    content: &C,
    key: &NodeKey,
    certificate: Option<&Certificate>,
    now: Wall,
    expires: Wall,
    fields: BTreeMap<u64, Value>,
) -> Record {
    let head = ItemHead {
        name: &content.name(&key.peer()),
        id: content.id(),
        sequence: now,
        expires,
        withdrawn: false,
    };
    Record::of(C::KIND, Item::sign(key, C::KIND, head, fields), certificate)
}

fn text(item: &Item, key: u64) -> Option<String> {
    let text = item.field(key)?.text()?;
    (text.len() <= MAX_TEXT && !text.chars().any(char::is_control)).then(|| text.to_owned())
}

fn texts(item: &Item, key: u64) -> Option<Vec<String>> {
    let list = match item.field(key) {
        None => return Some(Vec::new()),
        Some(value) => value.list()?,
    };
    let good = |v: &Value| {
        let text = v.text()?;
        (text.len() <= MAX_TEXT && !text.chars().any(char::is_control)).then(|| text.to_owned())
    };
    if list.len() > MAX_TEXTS {
        return None;
    }
    list.iter().map(good).collect()
}

fn number<N: TryFrom<u64> + Default>(item: &Item, key: u64) -> Option<N> {
    match item.field(key) {
        None => Some(N::default()),
        Some(value) => N::try_from(value.uint()?).ok(),
    }
}

impl Content for Binding {
    const KIND: Kind = Kind::Aor;

    fn name(&self, _peer: &PeerId) -> String {
        self.aor.as_str().to_owned()
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn fields(&self) -> BTreeMap<u64, Value> {
        BTreeMap::from([
            (16, Value::Text(self.contact.clone())),
            (17, Value::Uint(u64::from(self.priority))),
            (18, Value::texts(&self.capabilities)),
            (19, Value::Uint(u64::from(self.presence == Presence::Busy))),
        ])
    }

    fn read(item: &Item) -> Option<Binding> {
        Some(Binding {
            aor: item.name.parse().ok()?,
            id: item.id.clone(),
            contact: text(item, 16)?,
            priority: number::<u16>(item, 17).filter(|p| *p <= 1000)?,
            capabilities: texts(item, 18)?,
            presence: match number::<u8>(item, 19)? {
                1 => Presence::Busy,
                // What a later version knows is at least no reason not to ring.
                _ => Presence::Online,
            },
        })
    }
}

impl Content for Descriptor {
    const KIND: Kind = Kind::Service;

    fn name(&self, peer: &PeerId) -> String {
        format!("{}/{peer}", self.service)
    }

    fn fields(&self) -> BTreeMap<u64, Value> {
        let mut fields = BTreeMap::from([
            (16, Value::Text(self.contact.clone())),
            (17, Value::texts(&self.prefixes)),
            (18, Value::Uint(u64::from(self.capacity))),
            (19, Value::Uint(u64::from(self.load.min(10)))),
            (21, Value::Uint(u64::from(self.price))),
        ]);
        if let Some((latitude, longitude)) = self.position {
            // A ten-thousandth of a degree is eleven metres.
            let fixed = |degrees: f64| Value::of_int((degrees * 1e4).round() as i64);
            fields.insert(20, Value::List(vec![fixed(latitude), fixed(longitude)]));
        }
        fields
    }

    fn read(item: &Item) -> Option<Descriptor> {
        let position = match item.field(20) {
            None => None,
            Some(value) => {
                let [latitude, longitude] = value.list()? else {
                    return None;
                };
                let (latitude, longitude) = (latitude.int()? as f64 / 1e4, longitude.int()? as f64 / 1e4);
                let on_earth = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
                Some((latitude, longitude)).filter(|_| on_earth)
            }
        };
        Some(Descriptor {
            service: item.name.split_once('/')?.0.to_owned(),
            contact: text(item, 16)?,
            prefixes: texts(item, 17)?,
            capacity: number(item, 18)?,
            load: number::<u8>(item, 19)?.min(10),
            position,
            price: number(item, 21)?,
        })
    }
}

impl Content for Node {
    const KIND: Kind = Kind::Node;

    fn name(&self, peer: &PeerId) -> String {
        peer.to_string()
    }

    fn fields(&self) -> BTreeMap<u64, Value> {
        BTreeMap::from([
            (16, Value::Text(self.version.clone())),
            (17, Value::texts(&self.addresses)),
            (18, Value::texts(&self.roles)),
            (19, Value::Text(self.nat.clone())),
            (20, Value::Uint(self.started)),
        ])
    }

    fn read(item: &Item) -> Option<Node> {
        Some(Node {
            version: text(item, 16)?,
            addresses: texts(item, 17)?,
            roles: texts(item, 18)?,
            nat: text(item, 19)?,
            started: number(item, 20)?,
        })
    }
}
