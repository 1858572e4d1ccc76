//! Packet protection (RFC 7425 §4.7): AES-128-CBC with a zero vector for each packet, a checksum or a keyed hash,
//! and session sequence numbers.

use aes::Aes128;
use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit};
use subtle::ConstantTimeEq;

use super::hmac;
use crate::packet;
use crate::vlu::{self, Cursor};

/// The Default Session Key (RFC 7425 §4.1).
pub const DEFAULT_KEY: &[u8; 16] = b"Adobe Systems 02";

const BLOCK: usize = 16;
/// Sequence numbers this far below the newest count as seen.
const WINDOW: u64 = 64;

/// The key and length of a keyed hash.
#[derive(Clone)]
pub struct HmacKey {
    /// The key.
    pub key: [u8; 32],
    /// Bytes of the hash that are sent.
    pub len: usize,
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// Not a whole number of blocks.
    Length,
    /// Checksum or hash is wrong.
    Forged,
    /// Its sequence number was seen before or is too old.
    Replayed,
}

/// Protects the packets of one direction.
#[derive(Clone)]
pub struct Sealer {
    cipher: cbc::Encryptor<Aes128>,
    hmac: Option<HmacKey>,
    sequence: Option<u64>,
}

/// Opens the packets of one direction.
#[derive(Clone)]
pub struct Opener {
    cipher: cbc::Decryptor<Aes128>,
    hmac: Option<HmacKey>,
    window: Option<Window>,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opener")
    }
}

/// The Internet checksum (RFC 7425 §4.7.3.1): a last odd byte is the low half of a word.
pub fn checksum(bytes: &[u8]) -> u16 {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let sum: u64 = pairs.iter().map(|p| u64::from(u16::from_be_bytes(*p))).sum();
    let mut sum = sum + odd.first().map_or(0, |b| u64::from(*b));
    while sum >> 16 != 0 {
        sum = (sum >> 16) + (sum & 0xFFFF);
    }
    !(sum as u16)
}

impl Sealer {
    /// With a key of 16 bytes; without `hmac` the checksum is used.
    pub fn new(key: &[u8; 16], hmac: Option<HmacKey>, sequence: bool) -> Sealer {
        Sealer {
            cipher: cbc::Encryptor::new(key.into(), &[0; BLOCK].into()),
            hmac,
            sequence: sequence.then_some(0),
        }
    }

    /// With the Default Session Key.
    pub fn startup() -> Sealer {
        Sealer::new(DEFAULT_KEY, None, false)
    }

    /// Bytes by which a datagram is longer than its packet, at most.
    pub fn overhead(&self) -> usize {
        let sequence = self.sequence.map_or(0, vlu::len);
        let check = self.hmac.as_ref().map_or(2, |h| h.len);
        4 + sequence + check + BLOCK - 1
    }

    /// Appends the datagram of a packet for a session id to `out`.
    pub fn seal(&mut self, session: u32, packet: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        if let Some(next) = &mut self.sequence {
            vlu::put(*next, out);
            *next += 1;
        }
        let check = out.len();
        if self.hmac.is_none() {
            out.extend_from_slice(&[0; 2]);
        }
        out.extend_from_slice(packet);
        let padded = start + 4 + (out.len() - start - 4).next_multiple_of(BLOCK);
        out.resize(padded, 0xFF);
        if self.hmac.is_none() {
            let sum = checksum(out.get(check + 2..).unwrap_or(&[]));
            set(out, check, &sum.to_be_bytes());
        }
        let mut cipher = self.cipher.clone();
        for block in out
            .get_mut(start + 4..)
            .unwrap_or(&mut [])
            .chunks_exact_mut(BLOCK)
        {
            cipher.encrypt_block_mut(GenericArray::from_mut_slice(block));
        }
        if let Some(mac) = &self.hmac {
            let hash = hmac(&mac.key, &[out.get(start + 4..).unwrap_or(&[])]);
            out.extend_from_slice(hash.get(..mac.len).unwrap_or(&hash));
        }
        let id = packet::scramble(session, out.get(start + 4..).unwrap_or(&[]));
        set(out, start, &id);
    }
}

fn set(out: &mut [u8], at: usize, bytes: &[u8]) {
    for (to, from) in out.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}

impl Opener {
    /// With a key of 16 bytes; without `hmac` the checksum is expected.
    pub fn new(key: &[u8; 16], hmac: Option<HmacKey>, sequence: bool) -> Opener {
        Opener {
            cipher: cbc::Decryptor::new(key.into(), &[0; BLOCK].into()),
            hmac,
            window: sequence.then(Window::default),
        }
    }

    /// With the Default Session Key.
    pub fn startup() -> Opener {
        Opener::new(DEFAULT_KEY, None, false)
    }

    /// Opens the part of a datagram after its session id. The plain packet with its padding is left in `scratch`
    /// and returned.
    pub fn open<'s>(&mut self, sealed: &[u8], scratch: &'s mut Vec<u8>) -> Result<&'s [u8], Rejected> {
        let tail = self.hmac.as_ref().map_or(0, |h| h.len);
        let blocks = sealed.len().checked_sub(tail).ok_or(Rejected::Length)?;
        if blocks == 0 || blocks % BLOCK != 0 {
            return Err(Rejected::Length);
        }
        let (body, mac) = sealed.split_at_checked(blocks).ok_or(Rejected::Length)?;
        if let Some(key) = &self.hmac {
            let hash = hmac(&key.key, &[body]);
            let expected = hash.get(..key.len).unwrap_or(&hash);
            if !bool::from(expected.ct_eq(mac)) {
                return Err(Rejected::Forged);
            }
        }
        scratch.clear();
        scratch.extend_from_slice(body);
        let mut cipher = self.cipher.clone();
        for block in scratch.chunks_exact_mut(BLOCK) {
            cipher.decrypt_block_mut(GenericArray::from_mut_slice(block));
        }
        let mut plain = Cursor(scratch.as_slice());
        let sequence = match &self.window {
            Some(window) => {
                let number = plain.vlu().ok_or(Rejected::Forged)?;
                if window.has_seen(number) {
                    return Err(Rejected::Replayed);
                }
                Some(number)
            }
            None => None,
        };
        if self.hmac.is_none() {
            let sum = plain.u16().ok_or(Rejected::Forged)?;
            if sum != checksum(plain.0) {
                return Err(Rejected::Forged);
            }
        }
        if let (Some(window), Some(number)) = (&mut self.window, sequence) {
            window.mark(number);
        }
        Ok(plain.0)
    }
}

/// Which sequence numbers were seen.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    /// One above the newest.
    next: u64,
    /// Bit n: the number `next - 1 - n` was seen.
    seen: u64,
}

impl Window {
    fn has_seen(&self, number: u64) -> bool {
        match self.next.checked_sub(number) {
            None | Some(0) => false,
            Some(back) => back > WINDOW || self.seen >> (back - 1) & 1 != 0,
        }
    }

    fn mark(&mut self, number: u64) {
        match self.next.checked_sub(number) {
            None | Some(0) => {
                let ahead = number - self.next + 1;
                self.seen = if ahead >= WINDOW { 0 } else { self.seen << ahead };
                self.seen |= 1;
                self.next = number.saturating_add(1);
            }
            Some(back) if back <= WINDOW => self.seen |= 1 << (back - 1),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Sealer, Opener) {
        let mac = HmacKey {
            key: [7; 32],
            len: 10,
        };
        (
            Sealer::new(&[3; 16], Some(mac.clone()), true),
            Opener::new(&[3; 16], Some(mac), true),
        )
    }

    #[test]
    fn each_packet_is_taken_once_in_any_order_within_the_window() {
        let (mut sealer, mut opener) = pair();
        let sealed: Vec<Vec<u8>> = (0..100u8)
            .map(|n| {
                let mut out = Vec::new();
                sealer.seal(9, &[9, n], &mut out);
                out
            })
            .collect();
        let mut scratch = Vec::new();
        let mut open = |n: usize| opener.open(&sealed[n][4..], &mut scratch).map(|p| p[1]);
        for n in [1, 0, 5, 63, 3] {
            assert_eq!(open(n), Ok(n as u8));
            assert_eq!(open(n), Err(Rejected::Replayed));
        }
        assert_eq!(open(99), Ok(99));
        assert_eq!(open(35), Err(Rejected::Replayed), "older than the window");
        assert_eq!(open(36), Ok(36));
    }

    #[test]
    fn a_changed_byte_anywhere_is_seen() {
        let (mut sealer, opener) = pair();
        let mut out = Vec::new();
        sealer.seal(9, &[9; 40], &mut out);
        for at in 4..out.len() {
            let mut bad = out.clone();
            bad[at] ^= 1;
            let got = opener.clone().open(&bad[4..], &mut Vec::new()).map(|_| ());
            assert_eq!(got, Err(Rejected::Forged));
        }
    }
}
