//! Where digests stand in the packets of a handshake and how they are made.

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Length of C1, S1, C2 and S2 in bytes.
pub(super) const PACKET: usize = 1536;
/// Length of a digest in bytes.
const LEN: usize = 32;

/// A digest.
pub(super) type Digest = [u8; LEN];

/// Who made a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// The half of both keys that is not text.
const COMMON: [u8; 32] = [
    0xF0, 0xEE, 0xC2, 0x4A, 0x80, 0x68, 0xBE, 0xE8, 0x2E, 0x00, 0xD0, 0xD1, 0x02, 0x9E, 0x7E, 0x57, 0x6E,
    0xEC, 0x5D, 0x2D, 0x29, 0x80, 0x6F, 0xAB, 0x93, 0xB8, 0xE6, 0x36, 0xCF, 0xEB, 0x31, 0xAE,
];

impl Side {
    const fn text(self) -> &'static [u8] {
        match self {
            Side::Client => b"Genuine Adobe Flash Player 001",
            Side::Server => b"Genuine Adobe Flash Media Server 001",
        }
    }
}

/// Finds the digest of C1 or S1: the scheme (0 or 1) and the digest.
pub(super) fn find(packet: &[u8; PACKET], side: Side) -> Option<(usize, Digest)> {
    [0, 1].into_iter().find_map(|scheme| {
        let at = offset(packet, scheme);
        let there = packet.get(at..at + LEN)?.first_chunk::<LEN>()?;
        (digest_at(packet, side, at) == *there).then_some((scheme, *there))
    })
}

/// Puts the digest of C1 or S1 where the scheme wants it.
pub(super) fn sign(packet: &mut [u8; PACKET], side: Side, scheme: usize) {
    let at = offset(packet, scheme);
    let digest = digest_at(packet, side, at);
    for (to, from) in packet.iter_mut().skip(at).zip(digest) {
        *to = from;
    }
}

/// Ends C2 or S2, made by `side`, with the digest that answers the digest of the other side's packet.
pub(super) fn answer(packet: &mut [u8; PACKET], side: Side, seen: &Digest) {
    let digest = answer_digest(packet, side, seen);
    for (to, from) in packet.iter_mut().skip(PACKET - LEN).zip(digest) {
        *to = from;
    }
}

/// Whether C2 or S2, made by `side`, answers `seen`.
#[cfg(test)]
pub(super) fn answers(packet: &[u8; PACKET], side: Side, seen: &Digest) -> bool {
    packet[PACKET - LEN..] == answer_digest(packet, side, seen)
}

/// Where the digest stands: in scheme 0 within the block that begins at 8, in scheme 1 at 772. The first four
/// bytes of the block, summed, tell the place within it.
fn offset(packet: &[u8; PACKET], scheme: usize) -> usize {
    let base = if scheme == 0 { 8 } else { 772 };
    let sum: usize = packet.iter().skip(base).take(4).map(|&b| usize::from(b)).sum();
    base + 4 + sum % 728
}

fn digest_at(packet: &[u8; PACKET], side: Side, at: usize) -> Digest {
    let (before, rest) = packet.split_at(at.min(PACKET));
    hmac(side.text(), &[before, rest.get(LEN..).unwrap_or(&[])])
}

fn answer_digest(packet: &[u8; PACKET], side: Side, seen: &Digest) -> Digest {
    let mut key = Vec::with_capacity(68);
    key.extend_from_slice(side.text());
    key.extend_from_slice(&COMMON);
    let key = hmac(&key, &[seen]);
    hmac(&key, &[packet.get(..PACKET - LEN).unwrap_or(&[])])
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Digest {
    // HMAC takes keys of any length, so the error cannot occur.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; LEN];
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
