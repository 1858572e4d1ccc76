//! The arithmetic of one direction of SRTP or of SRTCP: session keys, and what they do to a packet.

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{constant_time, hmac};

use super::key::{SrtpKey, Suite};
use crate::Error;

/// Which half of a session (the labels of RFC 3711 §4.3.2 begin there).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Half {
    Rtp,
    Rtcp,
}

/// The flag in front of the index of SRTCP: the packet is encrypted (RFC 3711 §3.4).
pub(super) const ENCRYPTED: u32 = 1 << 31;
/// Bytes of an RTCP packet that stay in clear.
pub(super) const RTCP_CLEAR: usize = 8;
const GCM_TAG: usize = 16;

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a call has four, and each packet goes through one"
)]
pub(super) enum Transform {
    /// Counter mode and a hash.
    Cm {
        aes: EncryptingKey,
        mac: hmac::Key,
        salt: [u8; 14],
        tag: usize,
    },
    Gcm {
        aes: LessSafeKey,
        salt: [u8; 12],
    },
}

impl Transform {
    /// The session keys of a master key (RFC 3711 §4.3, without re-derivation).
    pub(super) fn new(key: &SrtpKey, half: Half) -> Result<Transform, Error> {
        let first = match half {
            Half::Rtp => 0,
            Half::Rtcp => 3,
        };
        let (mut long, mut auth, mut salt) = ([0; 32], [0; 20], [0; 14]);
        let cipher = long.get_mut(..key.suite().key_len()).ok_or(Error::Crypto)?;
        derive(key, first, cipher)?;
        derive(key, first + 1, &mut auth)?;
        derive(key, first + 2, &mut salt)?;
        Transform::of_session(key.suite(), half, cipher, &auth, salt)
    }

    fn of_session(
        suite: Suite,
        half: Half,
        cipher: &[u8],
        auth: &[u8; 20],
        salt: [u8; 14],
    ) -> Result<Transform, Error> {
        let tag = match (suite, half) {
            (Suite::AeadAes128Gcm | Suite::AeadAes256Gcm, _) => {
                let algorithm = match cipher.len() {
                    16 => &aead::AES_128_GCM,
                    _ => &aead::AES_256_GCM,
                };
                let aes = UnboundKey::new(algorithm, cipher).map_err(|_| Error::Crypto)?;
                let mut short = [0; 12];
                short.copy_from_slice(salt.first_chunk::<12>().ok_or(Error::Crypto)?);
                return Ok(Transform::Gcm {
                    aes: LessSafeKey::new(aes),
                    salt: short,
                });
            }
            (Suite::AesCm128HmacSha1_32, Half::Rtp) => 4,
            (Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32, _) => 10,
        };
        Ok(Transform::Cm {
            aes: counter_mode(cipher)?,
            mac: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, auth),
            salt,
            tag,
        })
    }

    /// Bytes of the tag.
    pub(super) fn tag(&self) -> usize {
        match self {
            Transform::Cm { tag, .. } => *tag,
            Transform::Gcm { .. } => GCM_TAG,
        }
    }

    /// Protects an RTP packet; its new length.
    pub(super) fn seal_rtp(
        &self,
        buffer: &mut [u8],
        header: usize,
        len: usize,
        ssrc: u32,
        index: u64,
    ) -> Option<usize> {
        let whole = len + self.tag();
        let packet = buffer.get_mut(..whole)?;
        match self {
            Transform::Cm { aes, mac, salt, .. } => {
                let (body, tag) = packet.split_at_mut(len);
                keystream(aes, salt, ssrc, index, body.get_mut(header..)?)?;
                let mut hash = hmac::Context::with_key(mac);
                hash.update(body);
                hash.update(&roc(index));
                copy(tag, hash.sign().as_ref())?;
            }
            Transform::Gcm { aes, salt } => {
                let (body, tag) = packet.split_at_mut(len);
                let (head, payload) = body.split_at_mut_checked(header)?;
                let made = aes
                    .seal_in_place_separate_tag(nonce(salt, ssrc, index), Aad::from(&*head), payload)
                    .ok()?;
                copy(tag, made.as_ref())?;
            }
        }
        Some(whole)
    }

    /// Opens an RTP packet that holds nothing but header, payload and tag; `None` when the tag is wrong. What is in
    /// `packet` is then of no meaning for GCM, and untouched otherwise.
    pub(super) fn open_rtp(&self, packet: &mut Vec<u8>, header: usize, ssrc: u32, index: u64) -> Option<()> {
        let len = packet
            .len()
            .checked_sub(self.tag())
            .filter(|len| *len >= header)?;
        match self {
            Transform::Cm { aes, mac, salt, .. } => {
                let (body, tag) = packet.split_at_mut(len);
                let mut hash = hmac::Context::with_key(mac);
                hash.update(body);
                hash.update(&roc(index));
                verify(hash.sign().as_ref(), tag)?;
                keystream(aes, salt, ssrc, index, body.get_mut(header..)?)?;
            }
            Transform::Gcm { aes, salt } => {
                let (head, sealed) = packet.split_at_mut_checked(header)?;
                aes.open_in_place(nonce(salt, ssrc, index), Aad::from(&*head), sealed)
                    .ok()?;
            }
        }
        packet.truncate(len);
        Some(())
    }

    /// Protects an RTCP packet; its new length.
    pub(super) fn seal_rtcp(&self, buffer: &mut [u8], len: usize, ssrc: u32, index: u32) -> Option<usize> {
        let whole = len + self.tag() + 4;
        let packet = buffer.get_mut(..whole)?;
        let word = (index | ENCRYPTED).to_be_bytes();
        match self {
            Transform::Cm { aes, mac, salt, tag } => {
                let (body, made) = packet.split_at_mut(whole - tag);
                let (clear, trailer) = body.split_at_mut(len);
                keystream(aes, salt, ssrc, u64::from(index), clear.get_mut(RTCP_CLEAR..)?)?;
                copy(trailer, &word)?;
                let mut hash = hmac::Context::with_key(mac);
                hash.update(body);
                copy(made, hash.sign().as_ref())?;
            }
            Transform::Gcm { aes, salt } => {
                let (body, trailer) = packet.split_at_mut(len);
                let (head, payload) = body.split_at_mut_checked(RTCP_CLEAR)?;
                let aad = associated(head, word)?;
                let nonce = nonce(salt, ssrc, u64::from(index));
                let tag = aes
                    .seal_in_place_separate_tag(nonce, Aad::from(aad), payload)
                    .ok()?;
                let (made, end) = trailer.split_at_mut_checked(GCM_TAG)?;
                copy(made, tag.as_ref())?;
                copy(end, &word)?;
            }
        }
        Some(whole)
    }

    /// The flag and index of an SRTCP packet without its key identifier.
    pub(super) fn rtcp_word(&self, packet: &[u8]) -> Option<u32> {
        let behind = match self {
            Transform::Cm { tag, .. } => *tag,
            Transform::Gcm { .. } => 0,
        };
        let at = packet.len().checked_sub(behind + 4)?;
        let word = u32::from_be_bytes(*packet.get(at..)?.first_chunk()?);
        (at >= RTCP_CLEAR).then_some(word)
    }

    /// Opens an SRTCP packet of that flag and index; `None` when the tag is wrong.
    pub(super) fn open_rtcp(&self, packet: &mut Vec<u8>, ssrc: u32, word: u32) -> Option<()> {
        let len = packet
            .len()
            .checked_sub(self.tag() + 4)
            .filter(|len| *len >= RTCP_CLEAR)?;
        let index = u64::from(word & !ENCRYPTED);
        match self {
            Transform::Cm { aes, mac, salt, tag } => {
                let signed = packet.len() - tag;
                let (body, tag) = packet.split_at_mut(signed);
                let mut hash = hmac::Context::with_key(mac);
                hash.update(body);
                verify(hash.sign().as_ref(), tag)?;
                keystream(aes, salt, ssrc, index, body.get_mut(RTCP_CLEAR..len)?)?;
            }
            Transform::Gcm { aes, salt } => {
                let (head, rest) = packet.split_at_mut_checked(RTCP_CLEAR)?;
                let aad = associated(head, word.to_be_bytes())?;
                let sealed = rest.len().checked_sub(4)?;
                aes.open_in_place(nonce(salt, ssrc, index), Aad::from(aad), rest.get_mut(..sealed)?)
                    .ok()?;
            }
        }
        packet.truncate(len);
        Some(())
    }
}

fn counter_mode(key: &[u8]) -> Result<EncryptingKey, Error> {
    let algorithm = if key.len() == 16 { &AES_128 } else { &AES_256 };
    UnboundCipherKey::new(algorithm, key)
        .and_then(EncryptingKey::ctr)
        .map_err(|_| Error::Crypto)
}

/// One key of the session: the keystream of the label (RFC 3711 §4.3.3).
fn derive(key: &SrtpKey, label: u8, out: &mut [u8]) -> Result<(), Error> {
    let aes = counter_mode(key.master())?;
    let mut iv = [0; 16];
    for (to, from) in iv.iter_mut().zip(&key.salt) {
        *to = *from;
    }
    iv[7] ^= label;
    out.fill(0);
    aes.less_safe_encrypt(out, EncryptionContext::Iv128(FixedLength::from(iv)))
        .map(drop)
        .map_err(|_| Error::Crypto)
}

/// Adds the keystream of a packet (RFC 3711 §4.1.1).
fn keystream(aes: &EncryptingKey, salt: &[u8; 14], ssrc: u32, index: u64, data: &mut [u8]) -> Option<()> {
    let value = (u128::from(ssrc) << 64) ^ (u128::from(index) << 16);
    let mut iv = value.to_be_bytes();
    for (to, from) in iv.iter_mut().zip(salt) {
        *to ^= *from;
    }
    if data.is_empty() {
        return Some(());
    }
    aes.less_safe_encrypt(data, EncryptionContext::Iv128(FixedLength::from(iv)))
        .ok()
        .map(drop)
}

/// RFC 7714 §8.1, §9.1: both are two zero bytes, the source and 48 bits of index.
fn nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> Nonce {
    let mut iv = *salt;
    let value = (u128::from(ssrc) << 48) | u128::from(index & 0xFFFF_FFFF_FFFF);
    for (to, from) in iv.iter_mut().zip(value.to_be_bytes().iter().skip(4)) {
        *to ^= *from;
    }
    Nonce::assume_unique_for_key(iv)
}

/// What GCM signs of an RTCP packet beside its payload (RFC 7714 §9.2).
fn associated(head: &[u8], word: [u8; 4]) -> Option<[u8; RTCP_CLEAR + 4]> {
    let mut out = [0; RTCP_CLEAR + 4];
    let (first, last) = out.split_at_mut(RTCP_CLEAR);
    copy(first, head)?;
    copy(last, &word)?;
    Some(out)
}

/// The rollover counter of a packet's index.
fn roc(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

/// The beginning of `from`, as much as `to` takes.
fn copy(to: &mut [u8], from: &[u8]) -> Option<()> {
    to.copy_from_slice(from.get(..to.len())?);
    Some(())
}

fn verify(made: &[u8], tag: &[u8]) -> Option<()> {
    constant_time::verify_slices_are_equal(made.get(..tag.len())?, tag).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        let bytes: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        std::array::from_fn(|i| {
            let pair = std::str::from_utf8(&bytes[2 * i..2 * i + 2]).unwrap();
            u8::from_str_radix(pair, 16).unwrap()
        })
    }

    /// RFC 3711 §B.3.
    #[test]
    fn session_keys_are_those_of_the_rfc() {
        let master: [u8; 30] = hex("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6");
        let key = SrtpKey::new(Suite::AesCm128HmacSha1_80, &master).unwrap();
        let (mut cipher, mut auth, mut salt) = ([0; 16], [0; 16], [0; 14]);
        derive(&key, 0, &mut cipher).unwrap();
        derive(&key, 1, &mut auth).unwrap();
        derive(&key, 2, &mut salt).unwrap();
        assert_eq!(cipher, hex("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(auth, hex("CEBE321F6FF7716B6FD4AB49AF256A15"));
        assert_eq!(salt, hex("30CBBC08863D8C85D49DB34A9AE1"));
    }

    /// RFC 3711 §B.2: the keystream of source 0, index 0.
    #[test]
    fn the_keystream_is_that_of_the_rfc() {
        let aes = counter_mode(&hex::<16>("2B7E151628AED2A6ABF7158809CF4F3C")).unwrap();
        let mut out = [0; 48];
        keystream(&aes, &hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD"), 0, 0, &mut out).unwrap();
        let wanted: [u8; 48] = hex(
            "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0",
        );
        assert_eq!(out, wanted);
    }

    /// RFC 7714 §16.1.1, which gives the keys of the session.
    #[test]
    fn gcm_makes_the_packet_of_the_rfc() {
        let mut salt = [0; 14];
        salt[..12].copy_from_slice(&hex::<12>("517569642070726f2071756f"));
        let key = hex::<16>("000102030405060708090a0b0c0d0e0f");
        let transform = Transform::of_session(Suite::AeadAes128Gcm, Half::Rtp, &key, &[0; 20], salt).unwrap();
        let mut packet = hex::<12>("8040f17b8041f8d35501a0b2").to_vec();
        packet.extend_from_slice(b"Gallia est omnis divisa in partes tres");
        let len = packet.len();
        packet.resize(len + 16, 0);
        let n = transform
            .seal_rtp(&mut packet, 12, len, 0x5501_A0B2, 0xF17B)
            .unwrap();
        let wanted: [u8; 54] = hex(
            "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce",
        );
        assert_eq!(packet[12..n], wanted);
    }
}
