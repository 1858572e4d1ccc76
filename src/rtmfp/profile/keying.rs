//! Keying components and the keys that come of them (RFC 7425 §4.5, §4.6).

use super::certificate::{Certificate, Identity, Keying};
use super::cipher::{Opener, Sealer};
use super::dh::{Group, KeyPair};
use super::random::Random;
use super::{cipher, hmac};
use crate::option;
use crate::vlu::{self, Cursor};

const EPHEMERAL_KEY: u64 = 0x0D;
const EXTRA_RANDOMNESS: u64 = 0x0E;
const HMAC_NEGOTIATION: u64 = 0x1A;
const GROUP_SELECT: u64 = 0x1D;
const SEQUENCE_NEGOTIATION: u64 = 0x1E;

const SEND_ALWAYS: u8 = 0x04;
const SEND_ON_REQUEST: u8 = 0x02;
const REQUEST: u8 = 0x01;

/// What one end says about a protection: whether it sends it and whether it wants to receive it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// It will send it in any case.
    pub always: bool,
    /// It will send it when asked.
    pub on_request: bool,
    /// It asks for it.
    pub request: bool,
}

impl Offer {
    /// Sends when asked, asks for nothing: what Flash Player does.
    pub const WILLING: Offer = Offer {
        always: false,
        on_request: true,
        request: false,
    };
    /// Sends and asks.
    pub const REQUIRED: Offer = Offer {
        always: true,
        on_request: true,
        request: true,
    };

    fn read(flags: u8) -> Offer {
        Offer {
            always: flags & SEND_ALWAYS != 0,
            on_request: flags & SEND_ON_REQUEST != 0,
            request: flags & REQUEST != 0,
        }
    }

    fn flags(self) -> u8 {
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        flag(self.always, SEND_ALWAYS) | flag(self.on_request, SEND_ON_REQUEST) | flag(self.request, REQUEST)
    }

    /// Whether the end that made this offer sends the protection to the one that made `far`.
    pub fn sends_to(self, far: Offer) -> bool {
        self.always || (self.on_request && far.request)
    }

    /// Whether what we ask for is refused by `far`.
    fn is_refused_by(self, far: Offer) -> bool {
        self.request && !far.always && !far.on_request
    }
}

/// The protections one end offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection {
    /// A keyed hash instead of the checksum.
    pub hmac: Offer,
    /// Bytes of the hash that this end sends, 4 to 32.
    pub hmac_len: usize,
    /// Session sequence numbers against replay.
    pub sequence: Offer,
}

impl Default for Protection {
    fn default() -> Protection {
        Protection {
            hmac: Offer::WILLING,
            hmac_len: 16,
            sequence: Offer::WILLING,
        }
    }
}

/// A keying component: of the initiator or of the responder, the syntax is the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Component {
    ephemeral: Option<(Group, Vec<u8>)>,
    select: Option<Group>,
    hmac: Offer,
    hmac_len: usize,
    sequence: Offer,
}

impl Component {
    fn read(bytes: &[u8]) -> Option<Component> {
        let mut out = Component::default();
        for item in option::all(bytes) {
            let (kind, value) = item?;
            let mut c = Cursor(value);
            match kind {
                EPHEMERAL_KEY => out.ephemeral = Some((Group::from_id(c.vlu()?)?, c.rest().to_vec())),
                GROUP_SELECT => out.select = Some(Group::from_id(c.vlu()?)?),
                HMAC_NEGOTIATION => {
                    out.hmac = Offer::read(c.u8()?);
                    let len = c.vlu()?;
                    let sends = out.hmac.always || out.hmac.on_request;
                    if !(if sends { (4..=32).contains(&len) } else { len == 0 }) {
                        return None;
                    }
                    out.hmac_len = len as usize;
                }
                SEQUENCE_NEGOTIATION => out.sequence = Offer::read(c.u8()?),
                _ => {}
            }
        }
        Some(out)
    }

    fn group(&self) -> Option<Group> {
        self.ephemeral.as_ref().map(|(g, _)| *g).or(self.select)
    }
}

fn put_group_and(kind: u64, group: Group, rest: &[u8], out: &mut Vec<u8>) {
    let mut value = Vec::with_capacity(rest.len() + 1);
    vlu::put(group.id(), &mut value);
    value.extend_from_slice(rest);
    option::put(kind, &value, out);
}

fn put_protection(own: &Protection, out: &mut Vec<u8>) {
    let sends = own.hmac.always || own.hmac.on_request;
    let mut value = vec![own.hmac.flags()];
    let len = if sends { own.hmac_len.clamp(4, 32) } else { 0 };
    vlu::put(len as u64, &mut value);
    option::put(HMAC_NEGOTIATION, &value, out);
    option::put(SEQUENCE_NEGOTIATION, &[own.sequence.flags()], out);
}

/// The keys of one direction.
#[derive(Clone, PartialEq, Eq)]
pub struct DirectionKeys {
    /// The derived key; its first 16 bytes encrypt.
    pub key: [u8; 32],
    /// The key of the hash.
    pub hmac_key: [u8; 32],
    /// Bytes of the hash, 0 when the checksum is used.
    pub hmac_len: usize,
    /// Whether packets are numbered.
    pub sequence: bool,
}

impl std::fmt::Debug for DirectionKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "DirectionKeys(hmac {}, sequence {})",
            self.hmac_len, self.sequence
        )
    }
}

impl DirectionKeys {
    /// Protects packets in this direction.
    pub fn sealer(&self) -> Sealer {
        Sealer::new(&cipher_key(&self.key), self.hmac(), self.sequence)
    }

    /// Opens packets of this direction.
    pub fn opener(&self) -> Opener {
        Opener::new(&cipher_key(&self.key), self.hmac(), self.sequence)
    }

    fn hmac(&self) -> Option<cipher::HmacKey> {
        (self.hmac_len > 0).then_some(cipher::HmacKey {
            key: self.hmac_key,
            len: self.hmac_len,
        })
    }
}

fn cipher_key(key: &[u8; 32]) -> [u8; 16] {
    let mut out = [0; 16];
    for (to, from) in out.iter_mut().zip(key) {
        *to = *from;
    }
    out
}

/// The keys of a session, as one end sees them.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKeys {
    /// For what this end sends.
    pub send: DirectionKeys,
    /// For what it receives.
    pub receive: DirectionKeys,
    /// A number that only the two ends know; the far end has it as its far nonce.
    pub near_nonce: [u8; 32],
    /// The far end's near nonce.
    pub far_nonce: [u8; 32],
}

impl std::fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionKeys({:?}, {:?})", self.send, self.receive)
    }
}

/// Derives the keys of both directions from the components and the shared secret (leading zeros stripped).
/// `None` when a component is malformed or one end refuses what the other requires.
pub fn derive(near: &[u8], far: &[u8], secret: &[u8]) -> Option<SessionKeys> {
    let (own, peer) = (Component::read(near)?, Component::read(far)?);
    if own.hmac.is_refused_by(peer.hmac) || own.sequence.is_refused_by(peer.sequence) {
        return None;
    }
    let direction = |from: (&[u8], &Component), to: (&[u8], &Component)| {
        let key = hmac(secret, &[&hmac(to.0, &[from.0])]);
        DirectionKeys {
            key,
            hmac_key: hmac(secret, &[&key]),
            hmac_len: if from.1.hmac.sends_to(to.1.hmac) {
                from.1.hmac_len
            } else {
                0
            },
            sequence: from.1.sequence.sends_to(to.1.sequence),
        }
    };
    Some(SessionKeys {
        send: direction((near, &own), (far, &peer)),
        receive: direction((far, &peer), (near, &own)),
        near_nonce: hmac(secret, &[near]),
        far_nonce: hmac(secret, &[far]),
    })
}

/// The initiator's half of a key agreement: its component, and what is needed to combine it with the answer.
#[derive(Clone, Debug)]
pub struct InitiatorKeying {
    /// To be sent.
    pub component: Vec<u8>,
    pair: KeyPair,
    far_static: Option<Vec<u8>>,
    group: Group,
}

impl InitiatorKeying {
    /// Chooses the first group of `far`'s certificate that ours has too; `None` when there is none. Long arithmetic
    /// when our keys are ephemeral.
    pub fn new(
        identity: &Identity,
        far: &Certificate,
        own: &Protection,
        random: &mut Random,
    ) -> Option<InitiatorKeying> {
        let near = identity.certificate().keying();
        let group = far.keying().groups().into_iter().find(|g| near.has(*g))?;
        let mut component = Vec::new();
        let pair = match near {
            Keying::Static(_) => {
                put_group_and(GROUP_SELECT, group, &[], &mut component);
                option::put(EXTRA_RANDOMNESS, &random.array::<64>(), &mut component);
                identity.key(group)?.clone()
            }
            Keying::Ephemeral(_) => {
                let pair = KeyPair::generate(group, random);
                put_group_and(EPHEMERAL_KEY, group, pair.public(), &mut component);
                pair
            }
        };
        put_protection(own, &mut component);
        Some(InitiatorKeying {
            component,
            pair,
            far_static: far.keying().static_key(group).map(<[u8]>::to_vec),
            group,
        })
    }

    /// Combines the responder's component; long arithmetic. `None` when it does not fit.
    pub fn combine(&self, far: &[u8]) -> Option<SessionKeys> {
        let component = Component::read(far)?;
        let public = match (&self.far_static, &component.ephemeral) {
            (Some(key), None) => key,
            (None, Some((group, key))) if *group == self.group => key,
            _ => return None,
        };
        derive(&self.component, far, &self.pair.shared_secret(public)?)
    }
}

/// The responder's answer to an initiator's component: its own component and the keys. Long arithmetic. `None`
/// when the component does not fit the certificates, or asks for what we do not offer.
pub fn respond(
    identity: &Identity,
    far: &Certificate,
    far_component: &[u8],
    own: &Protection,
    random: &mut Random,
) -> Option<(Vec<u8>, SessionKeys)> {
    let peer = Component::read(far_component)?;
    let group = peer.group()?;
    let near = identity.certificate().keying();
    if !near.has(group) {
        return None;
    }
    let public = match (far.keying(), &peer.ephemeral) {
        (Keying::Static(_), None) => far.keying().static_key(group)?,
        (Keying::Ephemeral(groups), Some((_, key))) if groups.contains(&group) => key,
        _ => return None,
    };
    // What the far end asks for it gets, if we offer it; otherwise silence about what we could do is what some
    // clients need to see.
    let answer = |own: Offer, far: Offer| Offer {
        always: own.always || (own.on_request && far.request),
        on_request: false,
        request: own.request,
    };
    let own = Protection {
        hmac: answer(own.hmac, peer.hmac),
        sequence: answer(own.sequence, peer.sequence),
        ..*own
    };
    if peer.hmac.is_refused_by(own.hmac) || peer.sequence.is_refused_by(own.sequence) {
        return None;
    }
    let mut component = Vec::new();
    put_protection(&own, &mut component);
    let secret = match near {
        Keying::Ephemeral(_) => {
            let pair = KeyPair::generate(group, random);
            put_group_and(EPHEMERAL_KEY, group, pair.public(), &mut component);
            pair.shared_secret(public)?
        }
        Keying::Static(_) => {
            option::put(EXTRA_RANDOMNESS, &random.array::<64>(), &mut component);
            identity.key(group)?.shared_secret(public)?
        }
    };
    let keys = derive(&component, far_component, &secret)?;
    Some((component, keys))
}
