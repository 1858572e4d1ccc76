//! Who a node is: an ed25519 key, and the peer id that stands for its public half.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::base58;

/// What precedes the 32 bytes of the key in a peer id: an identity multihash of 36 bytes that holds the
/// protobuf of an ed25519 public key (libp2p specifications, "Peer Ids and Keys").
const PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// The name of a node: its public key. Written as libp2p writes it, `12D3Koo…`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; 32]);

impl PeerId {
    /// The peer of a public key. Whether the key is a point of the curve shows when a signature is checked.
    pub fn of_key(key: [u8; 32]) -> PeerId {
        PeerId(key)
    }

    /// The public key.
    pub fn key(&self) -> &[u8; 32] {
        &self.0
    }

    /// The peer in the bytes of a value of a record.
    pub(crate) fn from_slice(bytes: &[u8]) -> Option<PeerId> {
        bytes.try_into().ok().map(PeerId)
    }

    /// Whether this peer signed `body` for the purpose `context`.
    pub fn verify(&self, context: &str, body: &[u8], signature: &[u8]) -> bool {
        let (Ok(key), Ok(signature)) = (
            VerifyingKey::from_bytes(&self.0),
            Signature::from_slice(signature),
        ) else {
            return false;
        };
        // Strict: one key, one message, one signature; weak keys sign nothing.
        key.verify_strict(&message(context, body), &signature).is_ok()
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = PREFIX.to_vec();
        bytes.extend_from_slice(&self.0);
        f.write_str(&base58::encode(&bytes))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not the id of a peer with an ed25519 key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a peer id, as 12D3Koo…")]
pub struct NotAPeerId;

impl FromStr for PeerId {
    type Err = NotAPeerId;

    fn from_str(text: &str) -> Result<PeerId, NotAPeerId> {
        let bytes = base58::decode(text, PREFIX.len() + 32).ok_or(NotAPeerId)?;
        let key = bytes.strip_prefix(&PREFIX).ok_or(NotAPeerId)?;
        PeerId::from_slice(key).ok_or(NotAPeerId)
    }
}

/// The private key of a node or of an overlay's authority.
#[derive(Clone)]
pub struct NodeKey(SigningKey);

impl NodeKey {
    /// A key from 32 bytes of the system's randomness, or from where they were kept.
    pub fn from_seed(seed: [u8; 32]) -> NodeKey {
        NodeKey(SigningKey::from_bytes(&seed))
    }

    /// The 32 bytes the key is made from: the secret itself.
    pub fn seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The peer whose key this is.
    pub fn peer(&self) -> PeerId {
        PeerId(self.0.verifying_key().to_bytes())
    }

    /// Signs `body` for the purpose `context`; a signature for one purpose is none for another.
    pub fn sign(&self, context: &str, body: &[u8]) -> [u8; 64] {
        self.0.sign(&message(context, body)).to_bytes()
    }
}

/// The secret never reaches a log.
impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({})", self.peer())
    }
}

fn message(context: &str, body: &[u8]) -> Vec<u8> {
    let mut message = format!("flashgate/1/{context}\0").into_bytes();
    message.extend_from_slice(body);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_id_is_written_as_libp2p_writes_it() {
        let peer = NodeKey::from_seed([7; 32]).peer();
        let text = peer.to_string();
        assert!(text.starts_with("12D3Koo") && text.len() == 52, "{text}");
        assert_eq!(text.parse(), Ok(peer));
        assert!("12D3Koo".parse::<PeerId>().is_err());
        assert!(
            "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
                .parse::<PeerId>()
                .is_err()
        );
    }

    #[test]
    fn a_signature_holds_for_one_key_purpose_and_text() {
        let key = NodeKey::from_seed([1; 32]);
        let signature = key.sign("aor", b"body");
        assert!(key.peer().verify("aor", b"body", &signature));
        assert!(!key.peer().verify("node", b"body", &signature));
        assert!(!key.peer().verify("aor", b"bodY", &signature));
        assert!(
            !NodeKey::from_seed([2; 32])
                .peer()
                .verify("aor", b"body", &signature)
        );
        assert!(!key.peer().verify("aor", b"body", &signature[..63]));
        // The key of no point, and the neutral point, which fits any text.
        assert!(!PeerId([0xFF; 32]).verify("aor", b"body", &signature));
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut forged = [0; 64];
        forged[0] = 1;
        assert!(!PeerId(neutral).verify("aor", b"body", &forged));
    }

    #[test]
    fn a_key_shows_its_peer_only() {
        let key = NodeKey::from_seed([9; 32]);
        assert_eq!(format!("{key:?}"), format!("NodeKey({})", key.peer()));
        assert_eq!(NodeKey::from_seed(key.seed()).peer(), key.peer());
    }
}
