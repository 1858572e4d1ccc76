//! AMF0 (Adobe, 2007), with the switch to AMF3 (marker 0x11).

use crate::amf::{AmfError, MAX_DEPTH, Value};
use crate::amf3;

mod marker {
    pub(super) const NUMBER: u8 = 0x00;
    pub(super) const BOOLEAN: u8 = 0x01;
    pub(super) const STRING: u8 = 0x02;
    pub(super) const OBJECT: u8 = 0x03;
    pub(super) const NULL: u8 = 0x05;
    pub(super) const UNDEFINED: u8 = 0x06;
    pub(super) const REFERENCE: u8 = 0x07;
    pub(super) const ECMA_ARRAY: u8 = 0x08;
    pub(super) const OBJECT_END: u8 = 0x09;
    pub(super) const STRICT_ARRAY: u8 = 0x0A;
    pub(super) const DATE: u8 = 0x0B;
    pub(super) const LONG_STRING: u8 = 0x0C;
    pub(super) const UNSUPPORTED: u8 = 0x0D;
    pub(super) const XML: u8 = 0x0F;
    pub(super) const TYPED_OBJECT: u8 = 0x10;
    pub(super) const AMF3: u8 = 0x11;
}

/// Reads values one after another from the body of a message.
///
/// Nesting is limited to [`MAX_DEPTH`] and the number of values, copies made for references included, to the
/// limit given; strings are never longer than the body. So memory stays within a small multiple of the
/// body's length plus that limit.
#[derive(Debug)]
pub struct Decoder<'a> {
    input: Input<'a>,
    /// Complex values in the order in which they began, for references; `None` while unfinished.
    seen: Vec<Option<Value>>,
}

impl<'a> Decoder<'a> {
    /// A decoder of `bytes` that yields `max_values` values at most.
    pub fn new(bytes: &'a [u8], max_values: usize) -> Decoder<'a> {
        Decoder {
            input: Input::new(bytes, max_values),
            seen: Vec::new(),
        }
    }

    /// The next value, or `None` at the end.
    pub fn value(&mut self) -> Result<Option<Value>, AmfError> {
        if self.input.rest().is_empty() {
            return Ok(None);
        }
        self.read(0).map(Some)
    }

    /// All values up to the end.
    pub fn values(&mut self) -> Result<Vec<Value>, AmfError> {
        let mut out = Vec::new();
        while let Some(v) = self.value()? {
            out.push(v);
        }
        Ok(out)
    }

    /// The bytes not yet read.
    pub fn rest(&self) -> &'a [u8] {
        self.input.rest()
    }

    fn read(&mut self, depth: usize) -> Result<Value, AmfError> {
        if depth >= MAX_DEPTH {
            return Err(AmfError::Depth);
        }
        self.input.count(1)?;
        match self.input.u8()? {
            marker::NUMBER => Ok(Value::Number(self.input.f64()?)),
            marker::BOOLEAN => Ok(Value::Boolean(self.input.u8()? != 0)),
            marker::STRING => {
                let len = self.input.u16()?;
                self.input.string(usize::from(len)).map(Value::String)
            }
            marker::LONG_STRING => {
                let len = self.input.u32()?;
                self.input.string(len as usize).map(Value::String)
            }
            marker::XML => {
                let len = self.input.u32()?;
                self.input.string(len as usize).map(Value::Xml)
            }
            marker::NULL => Ok(Value::Null),
            marker::UNDEFINED | marker::UNSUPPORTED => Ok(Value::Undefined),
            marker::OBJECT => {
                let slot = self.begin();
                let members = self.members(depth)?;
                Ok(self.end(slot, Value::Object(members)))
            }
            marker::ECMA_ARRAY => {
                let slot = self.begin();
                // The count is a hint that some encoders leave at 0 (AMF0 §2.10); the end marker rules.
                self.input.u32()?;
                let members = self.members(depth)?;
                Ok(self.end(slot, Value::EcmaArray(members)))
            }
            marker::TYPED_OBJECT => {
                let slot = self.begin();
                let len = self.input.u16()?;
                let class = self.input.string(usize::from(len))?;
                let members = self.members(depth)?;
                Ok(self.end(slot, Value::TypedObject(class, members)))
            }
            marker::STRICT_ARRAY => {
                let slot = self.begin();
                let count = self.input.u32()? as usize;
                let mut elements = Vec::new();
                for _ in 0..count {
                    elements.push(self.read(depth + 1)?);
                }
                Ok(self.end(slot, Value::StrictArray(elements)))
            }
            marker::DATE => {
                let ms = self.input.f64()?;
                // Time zone: reserved, to be ignored (AMF0 §2.13).
                self.input.u16()?;
                Ok(Value::Date(ms))
            }
            marker::REFERENCE => {
                let index = self.input.u16()?;
                let value = self.seen.get(usize::from(index)).and_then(Option::as_ref);
                let value = value.ok_or(AmfError::Reference(u32::from(index)))?;
                self.input.copy_of(value, depth)
            }
            marker::AMF3 => {
                let mut inner = amf3::Decoder::over(&mut self.input);
                inner.read(depth)
            }
            other => Err(AmfError::Marker(other)),
        }
    }

    fn members(&mut self, depth: usize) -> Result<Vec<(String, Value)>, AmfError> {
        let mut members = Vec::new();
        loop {
            let len = self.input.u16()?;
            if len == 0 && self.input.rest().first() == Some(&marker::OBJECT_END) {
                self.input.u8()?;
                return Ok(members);
            }
            let key = self.input.string(usize::from(len))?;
            members.push((key, self.read(depth + 1)?));
        }
    }

    fn begin(&mut self) -> usize {
        self.seen.push(None);
        self.seen.len() - 1
    }

    /// Keeps a copy of a finished complex value only when the rest can refer to it at all.
    fn end(&mut self, slot: usize, value: Value) -> Value {
        if self.input.rest().contains(&marker::REFERENCE)
            && let Some(kept) = self.seen.get_mut(slot)
        {
            *kept = self.input.keep(&value);
        }
        value
    }
}

/// The bytes of a message with the budgets that bound what is made of them.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
    values_left: usize,
    /// Bytes of text that may be copied for references: what a decoded value adds to the message's own length.
    copies_left: usize,
    /// The same for copies kept in case a reference comes.
    keeps_left: usize,
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8], max_values: usize) -> Input<'a> {
        Input {
            bytes,
            at: 0,
            values_left: max_values,
            copies_left: bytes.len().saturating_mul(COPY_FACTOR),
            keeps_left: bytes.len().saturating_mul(COPY_FACTOR),
        }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or(&[])
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], AmfError> {
        let out = self.rest().get(..len).ok_or(AmfError::Truncated)?;
        self.at += len;
        Ok(out)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], AmfError> {
        let (out, _) = self.rest().split_first_chunk::<N>().ok_or(AmfError::Truncated)?;
        self.at += N;
        Ok(*out)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, AmfError> {
        self.array::<1>().map(|[b]| b)
    }

    fn u16(&mut self) -> Result<u16, AmfError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, AmfError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn f64(&mut self) -> Result<f64, AmfError> {
        self.array().map(f64::from_be_bytes)
    }

    pub(crate) fn string(&mut self, len: usize) -> Result<String, AmfError> {
        Ok(String::from_utf8_lossy(self.take(len)?).into_owned())
    }

    /// Takes `n` values from the budget.
    pub(crate) fn count(&mut self, n: usize) -> Result<(), AmfError> {
        self.values_left = self.values_left.checked_sub(n).ok_or(AmfError::TooMany)?;
        Ok(())
    }

    /// Takes `n` bytes of copied text from the budget.
    pub(crate) fn count_copy(&mut self, n: usize) -> Result<(), AmfError> {
        self.copies_left = self.copies_left.checked_sub(n).ok_or(AmfError::TooMany)?;
        Ok(())
    }

    /// A copy to keep in case a reference comes, as long as the budget lasts: whoever nests so deeply that it
    /// runs out finds the reference refused.
    pub(crate) fn keep(&mut self, value: &Value) -> Option<Value> {
        self.keeps_left = self.keeps_left.checked_sub(text_len(value) + weight(value))?;
        Some(value.clone())
    }

    /// A copy of a value seen before, standing at `depth`.
    pub(crate) fn copy_of(&mut self, value: &Value, depth: usize) -> Result<Value, AmfError> {
        self.count(weight(value))?;
        self.count_copy(text_len(value))?;
        if depth + height(value) > MAX_DEPTH {
            return Err(AmfError::Depth);
        }
        Ok(value.clone())
    }
}

/// Text copied for references may be this many times the message's length.
const COPY_FACTOR: usize = 8;

/// How many values a value holds, itself included.
fn weight(value: &Value) -> usize {
    match value {
        Value::Object(p) | Value::EcmaArray(p) | Value::TypedObject(_, p) => {
            1 + p.iter().map(|(_, v)| weight(v)).sum::<usize>()
        }
        Value::StrictArray(v) => 1 + v.iter().map(weight).sum::<usize>(),
        _ => 1,
    }
}

/// Levels of nesting of a value, itself included.
fn height(value: &Value) -> usize {
    match value {
        Value::Object(p) | Value::EcmaArray(p) | Value::TypedObject(_, p) => {
            1 + p.iter().map(|(_, v)| height(v)).max().unwrap_or(0)
        }
        Value::StrictArray(v) => 1 + v.iter().map(height).max().unwrap_or(0),
        _ => 1,
    }
}

/// Bytes of text in a value.
fn text_len(value: &Value) -> usize {
    let members = |p: &[(String, Value)]| p.iter().map(|(k, v)| k.len() + text_len(v)).sum::<usize>();
    match value {
        Value::String(s) | Value::Xml(s) => s.len(),
        Value::ByteArray(b) => b.len(),
        Value::Object(p) | Value::EcmaArray(p) => members(p),
        Value::TypedObject(class, p) => class.len() + members(p),
        Value::StrictArray(v) => v.iter().map(text_len).sum(),
        _ => 0,
    }
}

/// Appends one value. Byte arrays have no AMF0 form and go through the switch to AMF3. Names and class names
/// longer than 65,535 bytes are cut.
pub fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Number(n) => {
            out.push(marker::NUMBER);
            out.extend_from_slice(&n.to_be_bytes());
        }
        Value::Boolean(b) => out.extend_from_slice(&[marker::BOOLEAN, u8::from(*b)]),
        Value::String(s) => encode_str(s, out),
        Value::Object(members) => {
            out.push(marker::OBJECT);
            encode_members(members, out);
        }
        Value::Null => out.push(marker::NULL),
        Value::Undefined => out.push(marker::UNDEFINED),
        Value::EcmaArray(members) => {
            out.push(marker::ECMA_ARRAY);
            put_len(members.len(), out);
            encode_members(members, out);
        }
        Value::StrictArray(elements) => {
            out.push(marker::STRICT_ARRAY);
            put_len(elements.len(), out);
            for e in elements {
                encode(e, out);
            }
        }
        Value::Date(ms) => {
            out.push(marker::DATE);
            out.extend_from_slice(&ms.to_be_bytes());
            out.extend_from_slice(&[0, 0]);
        }
        Value::Xml(s) => {
            out.push(marker::XML);
            put_len(s.len(), out);
            out.extend_from_slice(s.as_bytes());
        }
        Value::TypedObject(class, members) => {
            out.push(marker::TYPED_OBJECT);
            put_name(class, out);
            encode_members(members, out);
        }
        Value::ByteArray(_) => {
            out.push(marker::AMF3);
            amf3::encode(value, out);
        }
    }
}

/// Appends a string value: short up to 65,535 bytes, else long.
pub fn encode_str(s: &str, out: &mut Vec<u8>) {
    match u16::try_from(s.len()) {
        Ok(len) => {
            out.push(marker::STRING);
            out.extend_from_slice(&len.to_be_bytes());
        }
        Err(_) => {
            out.push(marker::LONG_STRING);
            put_len(s.len(), out);
        }
    }
    out.extend_from_slice(s.as_bytes());
}

/// Appends several values.
pub fn encode_all(values: &[Value], out: &mut Vec<u8>) {
    for v in values {
        encode(v, out);
    }
}

fn encode_members(members: &[(String, Value)], out: &mut Vec<u8>) {
    for (key, value) in members {
        put_name(key, out);
        encode(value, out);
    }
    out.extend_from_slice(&[0, 0, marker::OBJECT_END]);
}

fn put_name(name: &str, out: &mut Vec<u8>) {
    let mut len = name.len().min(usize::from(u16::MAX));
    while !name.is_char_boundary(len) {
        len -= 1;
    }
    out.extend_from_slice(&(len as u16).to_be_bytes());
    out.extend(name.bytes().take(len));
}

fn put_len(len: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::amf::object;

    fn decode(bytes: &[u8]) -> Result<Vec<Value>, AmfError> {
        Decoder::new(bytes, 1000).values()
    }

    fn encoded(value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        encode(value, &mut out);
        out
    }

    #[test]
    fn encodes_as_the_specification_shows() {
        assert_eq!(encoded(&1.0.into()), [0, 0x3F, 0xF0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(encoded(&"ab".into()), [2, 0, 2, b'a', b'b']);
        assert_eq!(
            encoded(&object([("k", true.into())])),
            [3, 0, 1, b'k', 1, 1, 0, 0, 9]
        );
        assert_eq!(
            encoded(&Value::StrictArray(vec![Value::Null])),
            [10, 0, 0, 0, 1, 5]
        );
    }

    #[test]
    fn reads_dates_long_strings_typed_objects_and_references() {
        let mut bytes = vec![0x0B, 0x40, 0x59, 0, 0, 0, 0, 0, 0, 0, 60];
        bytes.extend([0x0C, 0, 0, 0, 1, b'x']);
        bytes.extend([0x10, 0, 1, b'C', 0, 1, b'a', 5, 0, 0, 9]);
        bytes.extend([0x07, 0, 0]);
        let typed = Value::TypedObject("C".into(), vec![("a".into(), Value::Null)]);
        assert_eq!(
            decode(&bytes),
            Ok(vec![Value::Date(100.0), "x".into(), typed.clone(), typed])
        );
        assert_eq!(decode(&[0x07, 0, 0]), Err(AmfError::Reference(0)));
    }

    #[test]
    fn an_object_that_refers_to_itself_is_refused() {
        assert_eq!(
            decode(&[3, 0, 1, b'a', 7, 0, 0, 0, 0, 9]),
            Err(AmfError::Reference(0))
        );
    }

    #[test]
    fn switches_to_amf3_for_one_value() {
        assert_eq!(
            decode(&[0x11, 0x06, 0x03, b'x', 0x05, 0x11, 0x04, 0x07]),
            Ok(vec!["x".into(), Value::Null, 7.0.into()])
        );
    }

    #[test]
    fn ecma_array_with_a_wrong_count_ends_at_its_marker() {
        assert_eq!(
            decode(&[8, 0, 0, 0, 0, 0, 1, b'a', 5, 0, 0, 9]),
            Ok(vec![Value::EcmaArray(vec![("a".into(), Value::Null)])])
        );
    }

    #[test]
    fn depth_and_count_are_bounded() {
        let deep: Vec<u8> = [3, 0, 1, b'a'].repeat(40);
        assert_eq!(decode(&deep), Err(AmfError::Depth));
        let many = vec![5u8; 1001];
        assert_eq!(decode(&many), Err(AmfError::TooMany));
        assert_eq!(decode(&[10, 0xFF, 0xFF, 0xFF, 0xFF, 5]), Err(AmfError::Truncated));
    }

    #[test]
    fn references_cannot_multiply_memory() {
        // Each object holds the previous one twice: 2^n values without a bound.
        let mut bytes = vec![10, 0, 0, 0, 30];
        bytes.extend([10, 0, 0, 0, 0]);
        for i in 1u8..30 {
            bytes.extend([10, 0, 0, 0, 2, 7, 0, i, 7, 0, i]);
        }
        assert_eq!(decode(&bytes), Err(AmfError::TooMany));
    }

    pub(crate) fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<f64>()
                .prop_filter("comparable", |n| !n.is_nan())
                .prop_map(Value::Number),
            any::<bool>().prop_map(Value::Boolean),
            ".{0,20}".prop_map(Value::String),
            Just(Value::Null),
            Just(Value::Undefined),
            (0.0..1e13).prop_map(Value::Date),
            "[a-z<>]{0,20}".prop_map(Value::Xml),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(Value::ByteArray),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            let members = proptest::collection::vec(("[a-z]{1,5}", inner.clone()), 1..5);
            prop_oneof![
                members.clone().prop_map(Value::Object),
                members.clone().prop_map(Value::EcmaArray),
                ("[A-Z]{1,5}", members).prop_map(|(c, m)| Value::TypedObject(c, m)),
                proptest::collection::vec(inner, 0..5).prop_map(Value::StrictArray),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(value in any_value()) {
            prop_assert_eq!(decode(&encoded(&value)), Ok(vec![value.clone()]));
            let mut three = vec![0x11];
            amf3::encode(&value, &mut three);
            prop_assert_eq!(decode(&three), Ok(vec![value]));
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
            let _ = amf3::decode(&bytes, 1000);
        }
    }
}
