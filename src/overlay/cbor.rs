//! Deterministic CBOR (RFC 8949 §4.2.1) of the kinds that records use: integers, bytes, text, lists, maps with
//! unsigned keys, booleans, null. Anything else, and any other than the one shortest encoding, is refused: a
//! record has one form, so its hash and its signature have too.

use std::collections::BTreeMap;

/// How deep lists and maps may nest.
const DEPTH: u8 = 6;

/// One item of CBOR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// 0 and above.
    Uint(u64),
    /// Below 0: stands for `-1 - n`.
    Negative(u64),
    /// A string of bytes.
    Bytes(Vec<u8>),
    /// A string of text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// A map; its keys are numbers.
    Map(BTreeMap<u64, Value>),
    /// True or false.
    Bool(bool),
    /// Nothing.
    Null,
}

/// Why bytes are no deterministic CBOR of ours. The peer that sent them is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end within an item.
    #[error("ends too early")]
    Truncated,
    /// Bytes follow the item.
    #[error("has bytes after its end")]
    Trailing,
    /// A tag, float, indefinite length or simple value that records do not use.
    #[error("uses a kind of CBOR that records do not")]
    Unsupported,
    /// Not the shortest form, or keys out of order or twice.
    #[error("is not in its one deterministic form")]
    NotDeterministic,
    /// Text that is not UTF-8.
    #[error("has text that is not UTF-8")]
    NotText,
    /// Nested too deeply.
    #[error("is nested too deeply")]
    TooDeep,
}

impl Value {
    /// The value as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Uint(n) => head(out, 0, *n),
            Value::Negative(n) => head(out, 1, *n),
            Value::Bytes(bytes) => {
                head(out, 2, bytes.len() as u64);
                out.extend_from_slice(bytes);
            }
            Value::Text(text) => {
                head(out, 3, text.len() as u64);
                out.extend_from_slice(text.as_bytes());
            }
            Value::List(list) => {
                head(out, 4, list.len() as u64);
                list.iter().for_each(|v| v.write(out));
            }
            // Numbers in their order are in the bytewise order of their encodings too.
            Value::Map(map) => {
                head(out, 5, map.len() as u64);
                for (key, value) in map {
                    head(out, 0, *key);
                    value.write(out);
                }
            }
            Value::Bool(false) => out.push(0xF4),
            Value::Bool(true) => out.push(0xF5),
            Value::Null => out.push(0xF6),
        }
    }

    /// Reads one value that fills all of `bytes`. What it allocates is bounded by their length, its recursion
    /// by the depth of six.
    ///
    /// # Errors
    /// [`DecodeError`] for whatever is not the deterministic form of a value.
    pub fn decode(bytes: &[u8]) -> Result<Value, DecodeError> {
        let mut rest = bytes;
        let value = read(&mut rest, DEPTH)?;
        if rest.is_empty() {
            Ok(value)
        } else {
            Err(DecodeError::Trailing)
        }
    }

    /// The number, when it is one of 0 and above.
    pub fn uint(&self) -> Option<u64> {
        match self {
            Value::Uint(n) => Some(*n),
            _ => None,
        }
    }

    /// The number, when it is one that fits.
    pub fn int(&self) -> Option<i64> {
        match self {
            Value::Uint(n) => i64::try_from(*n).ok(),
            Value::Negative(n) => i64::try_from(*n).ok().map(|n| -1 - n),
            _ => None,
        }
    }

    /// A number of either sign.
    pub fn of_int(n: i64) -> Value {
        match u64::try_from(n) {
            Ok(n) => Value::Uint(n),
            Err(_) => Value::Negative((-1 - n).unsigned_abs()),
        }
    }

    /// The bytes, when it is bytes.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text, when it is text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The list, when it is one.
    pub fn list(&self) -> Option<&[Value]> {
        match self {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    /// The map, when it is one.
    pub fn map(&self) -> Option<&BTreeMap<u64, Value>> {
        match self {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// A list of texts.
    pub(crate) fn texts<S: AsRef<str>>(list: &[S]) -> Value {
        Value::List(list.iter().map(|s| Value::Text(s.as_ref().to_owned())).collect())
    }
}

fn head(out: &mut Vec<u8>, major: u8, n: u64) {
    let major = major << 5;
    let bytes = n.to_be_bytes();
    match n {
        0..=23 => out.push(major | bytes[7]),
        24..=0xFF => out.extend_from_slice(&[major | 24, bytes[7]]),
        0x100..=0xFFFF => {
            out.push(major | 25);
            out.extend_from_slice(&bytes[6..]);
        }
        0x1_0000..=0xFFFF_FFFF => {
            out.push(major | 26);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&bytes);
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], n: u64) -> Result<&'a [u8], DecodeError> {
    let n = usize::try_from(n).map_err(|_| DecodeError::Truncated)?;
    let (taken, left) = rest.split_at_checked(n).ok_or(DecodeError::Truncated)?;
    *rest = left;
    Ok(taken)
}

/// The major type and the number of a head.
fn read_head(rest: &mut &[u8]) -> Result<(u8, u64), DecodeError> {
    let first = take(rest, 1)?.first().copied().ok_or(DecodeError::Truncated)?;
    let (major, short) = (first >> 5, first & 31);
    if major == 7 {
        return Ok((major, u64::from(short)));
    }
    let (bytes, least) = match short {
        0..=23 => return Ok((major, u64::from(short))),
        24 => (1, 24),
        25 => (2, 0x100),
        26 => (4, 0x1_0000),
        27 => (8, 0x1_0000_0000),
        _ => return Err(DecodeError::Unsupported),
    };
    let n = take(rest, bytes)?
        .iter()
        .fold(0u64, |n, byte| n << 8 | u64::from(*byte));
    if n < least {
        return Err(DecodeError::NotDeterministic);
    }
    Ok((major, n))
}

fn read(rest: &mut &[u8], depth: u8) -> Result<Value, DecodeError> {
    let (major, n) = read_head(rest)?;
    let deeper = || depth.checked_sub(1).ok_or(DecodeError::TooDeep);
    match major {
        0 => Ok(Value::Uint(n)),
        1 => Ok(Value::Negative(n)),
        2 => Ok(Value::Bytes(take(rest, n)?.to_vec())),
        3 => {
            let text = std::str::from_utf8(take(rest, n)?).map_err(|_| DecodeError::NotText)?;
            Ok(Value::Text(text.to_owned()))
        }
        4 => {
            let depth = deeper()?;
            // Grown item by item: a length that lies ends the bytes, it reserves nothing.
            let mut list = Vec::new();
            for _ in 0..n {
                list.push(read(rest, depth)?);
            }
            Ok(Value::List(list))
        }
        5 => {
            let depth = deeper()?;
            let mut map = BTreeMap::new();
            for _ in 0..n {
                let (major, key) = read_head(rest)?;
                if major != 0 {
                    return Err(DecodeError::Unsupported);
                }
                if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
                    return Err(DecodeError::NotDeterministic);
                }
                map.insert(key, read(rest, depth)?);
            }
            Ok(Value::Map(map))
        }
        7 if n == 20 || n == 21 => Ok(Value::Bool(n == 21)),
        7 if n == 22 => Ok(Value::Null),
        _ => Err(DecodeError::Unsupported),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_the_rfc() {
        // RFC 8949 appendix A, those of the kinds that records use.
        let rows: [(&[u8], Value); 12] = [
            (&[0x00], Value::Uint(0)),
            (&[0x17], Value::Uint(23)),
            (&[0x18, 0x18], Value::Uint(24)),
            (&[0x19, 0x03, 0xe8], Value::Uint(1000)),
            (&[0x1a, 0x00, 0x0f, 0x42, 0x40], Value::Uint(1_000_000)),
            (
                &[0x1b, 0, 0, 0, 0xe8, 0xd4, 0xa5, 0x10, 0],
                Value::Uint(1_000_000_000_000),
            ),
            (&[0x20], Value::Negative(0)),
            (&[0x39, 0x03, 0xe7], Value::of_int(-1000)),
            (&[0x44, 1, 2, 3, 4], Value::Bytes(vec![1, 2, 3, 4])),
            (&[0x64, 0x49, 0x45, 0x54, 0x46], Value::Text("IETF".to_owned())),
            (
                &[0x82, 0xf5, 0xf6],
                Value::List(vec![Value::Bool(true), Value::Null]),
            ),
            (
                &[0xa2, 0x01, 0x02, 0x03, 0x04],
                Value::Map([(1, Value::Uint(2)), (3, Value::Uint(4))].into()),
            ),
        ];
        for (bytes, value) in rows {
            assert_eq!(value.encode(), bytes);
            assert_eq!(Value::decode(bytes), Ok(value));
        }
        assert_eq!(Value::of_int(-1000).int(), Some(-1000));
        assert_eq!(Value::of_int(i64::MIN).int(), Some(i64::MIN));
    }

    #[test]
    fn other_forms_are_refused() {
        let rows: [(&[u8], DecodeError); 11] = [
            (&[], DecodeError::Truncated),
            (&[0x18, 0x17], DecodeError::NotDeterministic),
            (&[0x19, 0x00, 0xff], DecodeError::NotDeterministic),
            (&[0xa2, 0x03, 0x04, 0x01, 0x02], DecodeError::NotDeterministic),
            (&[0xa2, 0x01, 0x02, 0x01, 0x02], DecodeError::NotDeterministic),
            (&[0x5f, 0xff], DecodeError::Unsupported),
            (&[0xfb, 0, 0, 0, 0, 0, 0, 0, 0], DecodeError::Unsupported),
            (&[0xc0, 0x00], DecodeError::Unsupported),
            (
                &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                DecodeError::Truncated,
            ),
            (&[0x61, 0xff], DecodeError::NotText),
            (&[0x00, 0x00], DecodeError::Trailing),
        ];
        for (bytes, error) in rows {
            assert_eq!(Value::decode(bytes), Err(error), "{bytes:x?}");
        }
        assert_eq!(Value::decode(&[0x81; 4_000]), Err(DecodeError::TooDeep));
    }
}
