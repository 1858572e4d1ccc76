//! STUN as connectivity checks need it (RFC 8489, RFC 8445 §7): reading a binding request and answering it.

use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::hmac;

const COOKIE: u32 = 0x2112_A442;
const REQUEST: u16 = 0x0001;
const SUCCESS: u16 = 0x0101;
const ERROR: u16 = 0x0111;

const USERNAME: u16 = 0x0006;
const INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN: u16 = 0x000A;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;
const CONTROLLED: u16 = 0x8029;
/// Attributes below this must be understood (RFC 8489 §14).
const OPTIONAL: u16 = 0x8000;

const HEADER: usize = 20;
const TAG: usize = 20;
/// The most attributes read of one message; a check has nine.
const MAX_ATTRIBUTES: usize = 32;
/// Room that every answer of ours fits in.
pub const MAX_ANSWER: usize = 128;

/// A binding request whose fingerprint is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StunRequest<'a> {
    whole: &'a [u8],
    transaction: [u8; 12],
    /// USERNAME: that of the receiver, a colon, that of the sender.
    pub username: &'a str,
    /// The sender wants this pair (RFC 8445 §7.1.1).
    pub use_candidate: bool,
    /// The sender believes that we decide.
    pub controlled: bool,
    /// Where MESSAGE-INTEGRITY begins.
    integrity: usize,
    /// An attribute that must be understood and is not.
    pub unknown: Option<u16>,
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StunAnswer {
    /// The check came through, from this address.
    Success(SocketAddr),
    /// 420, for this attribute.
    Unknown(u16),
    /// 487: both sides believe that the other decides.
    RoleConflict,
}

impl<'a> StunRequest<'a> {
    /// Reads a datagram. `None` unless it is a binding request with user name, integrity and a right fingerprint.
    pub fn parse(datagram: &'a [u8]) -> Option<StunRequest<'a>> {
        let head = datagram.first_chunk::<HEADER>()?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let cookie = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let fits = datagram.len() == HEADER + length && length.is_multiple_of(4);
        if u16::from_be_bytes([head[0], head[1]]) != REQUEST || cookie != COOKIE || !fits {
            return None;
        }
        let mut request = StunRequest {
            whole: datagram,
            transaction: *head.last_chunk()?,
            username: "",
            use_candidate: false,
            controlled: false,
            integrity: 0,
            unknown: None,
        };
        let mut at = HEADER;
        for _ in 0..MAX_ATTRIBUTES {
            let [a, b, c, d] = *datagram.get(at..)?.first_chunk::<4>()?;
            let (kind, len) = (
                u16::from_be_bytes([a, b]),
                usize::from(u16::from_be_bytes([c, d])),
            );
            let value = datagram.get(at + 4..)?.get(..len)?;
            match kind {
                FINGERPRINT => {
                    // It is the last; nothing after it counts.
                    let wanted = crc32(datagram.get(..at)?) ^ 0x5354_554E;
                    let right = value == wanted.to_be_bytes() && at + 8 == datagram.len();
                    return (right && request.integrity > 0).then_some(request);
                }
                // What follows integrity is not protected by it (RFC 8489 §14.5).
                _ if request.integrity > 0 => {}
                INTEGRITY if len == TAG => request.integrity = at,
                USERNAME => request.username = std::str::from_utf8(value).ok()?,
                USE_CANDIDATE => request.use_candidate = true,
                CONTROLLED => request.controlled = true,
                PRIORITY => {}
                _ if kind < OPTIONAL => request.unknown = request.unknown.or(Some(kind)),
                _ => {}
            }
            at += 4 + len.next_multiple_of(4);
        }
        None
    }

    /// Whether it was made with this password.
    pub fn is_authentic(&self, password: &str) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
        let value = self.whole.get(self.integrity + 4..).and_then(|v| v.get(..TAG));
        let Some((tag, signed)) = value.zip(self.whole.get(..self.integrity)) else {
            return false;
        };
        let made = integrity(&key, signed);
        aws_lc_rs::constant_time::verify_slices_are_equal(made.as_ref(), tag).is_ok()
    }

    /// Writes an answer to `out`, in place of what is there: [`MAX_ANSWER`] bytes at most.
    pub fn answer(&self, answer: StunAnswer, password: &str, out: &mut Vec<u8>) {
        let kind = match answer {
            StunAnswer::Success(_) => SUCCESS,
            StunAnswer::Unknown(_) | StunAnswer::RoleConflict => ERROR,
        };
        out.clear();
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&COOKIE.to_be_bytes());
        out.extend_from_slice(&self.transaction);
        match answer {
            StunAnswer::Success(from) => self.mapped(from, out),
            StunAnswer::Unknown(kind) => {
                attribute(out, ERROR_CODE, &error(4, 20));
                attribute(out, UNKNOWN, &kind.to_be_bytes());
            }
            StunAnswer::RoleConflict => attribute(out, ERROR_CODE, &error(4, 87)),
        }
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
        let tag = integrity(&key, out);
        attribute(out, INTEGRITY, tag.as_ref());
        // The length counts the fingerprint that it is summed over.
        let length = out.len() + 8 - HEADER;
        set_length(out, length);
        let sum = crc32(out) ^ 0x5354_554E;
        attribute(out, FINGERPRINT, &sum.to_be_bytes());
    }

    /// XOR-MAPPED-ADDRESS (RFC 8489 §14.2).
    fn mapped(&self, from: SocketAddr, out: &mut Vec<u8>) {
        let mut mask = COOKIE.to_be_bytes().to_vec();
        mask.extend_from_slice(&self.transaction);
        let port = from.port() ^ (COOKIE >> 16) as u16;
        let (family, octets) = match from.ip() {
            IpAddr::V4(ip) => (1, ip.octets().to_vec()),
            IpAddr::V6(ip) => (2, ip.octets().to_vec()),
        };
        let mut value = vec![0, family];
        value.extend_from_slice(&port.to_be_bytes());
        value.extend(octets.iter().zip(&mask).map(|(a, m)| a ^ m));
        attribute(out, XOR_MAPPED_ADDRESS, &value);
    }
}

/// The value of ERROR-CODE without a reason phrase.
fn error(class: u8, number: u8) -> [u8; 4] {
    [0, 0, class, number]
}

fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&(value.len() as u16).to_be_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
    let length = out.len() - HEADER;
    set_length(out, length);
}

fn set_length(out: &mut [u8], length: usize) {
    if let Some(field) = out.get_mut(2..4) {
        field.copy_from_slice(&(length as u16).to_be_bytes());
    }
}

/// The hash over what stands before it, with the length as if it were the last (RFC 8489 §14.5).
fn integrity(key: &hmac::Key, before: &[u8]) -> hmac::Tag {
    let length = ((before.len() + 4 + TAG).saturating_sub(HEADER) as u16).to_be_bytes();
    let mut hash = hmac::Context::with_key(key);
    hash.update(before.get(..2).unwrap_or_default());
    hash.update(&length);
    hash.update(before.get(4..).unwrap_or_default());
    hash.sign()
}

/// CRC-32 of ISO 3309. Over a hundred bytes a table is not worth its room.
fn crc32(bytes: &[u8]) -> u32 {
    let sum = bytes.iter().fold(!0u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            let low = sum & 1;
            (sum >> 1) ^ (0xEDB8_8320 * low)
        })
    });
    !sum
}

/// The other side of a check.
#[cfg(test)]
pub(crate) mod testing {
    use super::{FINGERPRINT, INTEGRITY, REQUEST, USERNAME, attribute, crc32, hmac, integrity, set_length};

    /// A request with these attributes, integrity and fingerprint.
    pub(crate) fn request(user: &str, password: &str, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut out = REQUEST.to_be_bytes().to_vec();
        out.extend_from_slice(&[
            0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
        ]);
        attribute(&mut out, USERNAME, user.as_bytes());
        for (kind, value) in attributes {
            attribute(&mut out, *kind, value);
        }
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
        let tag = integrity(&key, &out);
        attribute(&mut out, INTEGRITY, tag.as_ref());
        let length = out.len() + 8 - 20;
        set_length(&mut out, length);
        let sum = crc32(&out) ^ 0x5354_554E;
        attribute(&mut out, FINGERPRINT, &sum.to_be_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
        digits.chunks(2).map(|p| (p[0] * 16 + p[1]) as u8).collect()
    }

    /// RFC 5769 §2.1.
    fn sample() -> Vec<u8> {
        hex(
            "00010058 2112a442 b7e7a701 bc34d686 fa87dfae 80220010 5354554e 20746573 7420636c 69656e74 \
             00240004 6e0001ff 80290008 932ff9b1 51263b36 00060009 6576746a 3a683676 59202020 00080014 \
             9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2 80280004 e57a3bcf",
        )
    }

    #[test]
    fn the_request_of_the_rfc_is_read() {
        let sample = sample();
        let request = StunRequest::parse(&sample).unwrap();
        assert_eq!(request.username, "evtj:h6vY");
        assert!(request.controlled && !request.use_candidate && request.unknown.is_none());
        assert!(request.is_authentic(PASSWORD) && !request.is_authentic("another"));
        for bit in 0..sample.len() * 8 {
            let mut bad = sample.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(StunRequest::parse(&bad), None, "bit {bit}");
        }
    }

    /// RFC 5769 §2.2 and §2.3, without the SOFTWARE attribute that they carry: the addresses as they stand there.
    #[test]
    fn addresses_are_those_of_the_rfc() {
        let sample = sample();
        let request = StunRequest::parse(&sample).unwrap();
        let mut out = Vec::new();
        let answer = StunAnswer::Success("192.0.2.1:32853".parse().unwrap());
        request.answer(answer, PASSWORD, &mut out);
        assert_eq!(out[20..32], hex("00200008 0001a147 e112a643"));
        assert!(out.len() <= MAX_ANSWER && out.len() == HEADER + usize::from(out[3]));
        let answer = StunAnswer::Success("[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap());
        request.answer(answer, PASSWORD, &mut out);
        assert_eq!(
            out[20..44],
            hex("00200014 0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9")
        );
        assert!(out.len() <= MAX_ANSWER);
        // What we make is what we read: integrity and fingerprint over the right length.
        let made = testing::request("a:b", PASSWORD, &[(XOR_MAPPED_ADDRESS, &[0; 8])]);
        let again = StunRequest::parse(&made).unwrap();
        assert!(again.is_authentic(PASSWORD));
        assert_eq!(again.unknown, Some(XOR_MAPPED_ADDRESS));
    }

    proptest! {
        #[test]
        fn nothing_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _read = StunRequest::parse(&bytes);
            if bytes.len() >= 8 {
                let length = (bytes.len() as u16).saturating_sub(20).to_be_bytes();
                bytes[..8].copy_from_slice(&[0, 1, length[0], length[1], 0x21, 0x12, 0xA4, 0x42]);
                if let Some(request) = StunRequest::parse(&bytes) {
                    let _authentic = request.is_authentic("x");
                }
            }
        }
    }
}
