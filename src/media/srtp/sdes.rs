//! Keys in SDP: `a=crypto` (RFC 4568).

use super::key::{SrtpKey, Suite};

/// The longest key identifier (RFC 4568 §6.1), bytes.
const MAX_MKI: u8 = 128;
/// The longest line read; a real one has some 80 bytes.
const MAX_LINE: usize = 512;

/// The value of one `a=crypto` line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SdesLine {
    /// By which the answer names it, 1 to 9 digits.
    pub tag: u32,
    /// What its writer protects with.
    pub key: SrtpKey,
}

impl SdesLine {
    /// Reads what follows `a=crypto:`. `None` for what we cannot follow: an unknown suite, several keys, parameters
    /// that change how packets are protected (RFC 4568 §6.3; an unknown one may be passed over when it begins with
    /// a minus sign, §5.1.2, and the window hint always, §6.3.7).
    pub fn parse(value: &str) -> Option<SdesLine> {
        if value.len() > MAX_LINE {
            return None;
        }
        let mut words = value.split_ascii_whitespace();
        let tag = words.next().filter(|t| t.len() <= 9)?.parse().ok()?;
        let suite = Suite::by_name(words.next()?)?;
        let key = inline(suite, words.next()?)?;
        let harmless = |word: &str| word.starts_with('-') || word.starts_with("WSH=");
        words.all(harmless).then_some(SdesLine { tag, key })
    }

    /// What follows `a=crypto:`.
    pub fn write(&self) -> String {
        let suite = self.key.suite().name();
        format!("{} {suite} inline:{}", self.tag, encode(&self.key.material()))
    }
}

/// Reads `inline:KEY|LIFETIME|MKI:LENGTH`; life time and identifier may be absent. Nobody sends 2^48 packets in a
/// call: the life time is read over.
fn inline(suite: Suite, word: &str) -> Option<SrtpKey> {
    let (method, rest) = word.split_once(':')?;
    if !method.eq_ignore_ascii_case("inline") || rest.contains(';') {
        return None;
    }
    let mut parts = rest.split('|');
    let mut key = SrtpKey::new(suite, &decode(parts.next()?)?)?;
    for part in parts {
        if let Some((_, length)) = part.split_once(':') {
            key.mki = length.parse().ok().filter(|n| (1..=MAX_MKI).contains(n))?;
        }
    }
    Some(key)
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 with padding (RFC 4648 §4).
fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |sum, b| sum << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            if place > chunk.len() {
                out.push('=');
            } else {
                let six = group >> (18 - 6 * place) & 63;
                out.push(ALPHABET.get(six as usize).copied().map_or('=', char::from));
            }
        }
    }
    out
}

/// The same back; padding may be missing, as some phones have it.
fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut held, mut bits) = (0u32, 0);
    for c in text.bytes() {
        let six = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = held << 6 | u32::from(six);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    // Left over bits of a whole number of bytes are zero, and fewer than six.
    (held == 0 && bits < 6).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::KeySource;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    /// RFC 4568 §9.1.
    const LINE: &str = "1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4 FEC_ORDER=FEC_SRTP";

    #[test]
    fn reads_the_lines_of_phones() {
        assert_eq!(SdesLine::parse(LINE), None);
        let plain = LINE.strip_suffix(" FEC_ORDER=FEC_SRTP").unwrap();
        let line = SdesLine::parse(plain).unwrap();
        assert_eq!((line.tag, line.key.mki), (1, 4));
        assert_eq!(line.key.master(), b"YS___semctl () {");
        let short = plain.strip_suffix("|2^20|1:4").unwrap();
        assert_eq!(SdesLine::parse(short).unwrap().write(), short);
        assert!(SdesLine::parse(&format!("{short} WSH=128 -X=1")).is_some());
        for bad in [
            "",
            "x AES_CM_128_HMAC_SHA1_80 inline:AAAA",
            "1 AES_CM_128_HMAC_SHA1_80",
            "1 AES_CM_128_HMAC_SHA1_80 inline:AAAA",
            "1 F8_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
        ] {
            assert_eq!(SdesLine::parse(bad), None, "{bad}");
        }
        for parameter in [
            "UNENCRYPTED_SRTP",
            "UNENCRYPTED_SRTCP",
            "UNAUTHENTICATED_SRTP",
            "KDR=1",
        ] {
            assert_eq!(SdesLine::parse(&format!("{short} {parameter}")), None);
        }
    }

    #[test]
    fn what_is_written_can_be_read_and_keys_do_not_show() {
        let mut source = KeySource::new(&[7; 32]);
        for suite in Suite::ALL {
            let line = SdesLine {
                tag: 3,
                key: SrtpKey::generate(suite, &mut source),
            };
            assert_eq!(SdesLine::parse(&line.write()), Some(line.clone()));
            assert_eq!(
                format!("{:?}", line.key),
                format!("SrtpKey({}, ***)", suite.name())
            );
        }
    }

    proptest! {
        #[test]
        fn base64_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert_eq!(decode(&encode(&bytes)), Some(bytes.clone()));
            prop_assert_eq!(decode(encode(&bytes).trim_end_matches('=')), Some(bytes));
        }

        #[test]
        fn nothing_panics(text in ".{0,200}") {
            let _read = SdesLine::parse(&text);
            let _read = SdesLine::parse(&format!("1 AEAD_AES_128_GCM inline:{text}"));
        }
    }
}
