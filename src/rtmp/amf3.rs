//! AMF3 (Adobe, January 2013): values after the AMF0 marker 0x11.
//!
//! Reference tables live as long as one such value; references across values are not used by us and not
//! accepted (nothing specifies their extent).

use crate::amf::{AmfError, MAX_DEPTH, Value};
use crate::amf0::Input;

mod marker {
    pub(super) const UNDEFINED: u8 = 0x00;
    pub(super) const NULL: u8 = 0x01;
    pub(super) const FALSE: u8 = 0x02;
    pub(super) const TRUE: u8 = 0x03;
    pub(super) const INTEGER: u8 = 0x04;
    pub(super) const DOUBLE: u8 = 0x05;
    pub(super) const STRING: u8 = 0x06;
    pub(super) const XML_DOC: u8 = 0x07;
    pub(super) const DATE: u8 = 0x08;
    pub(super) const ARRAY: u8 = 0x09;
    pub(super) const OBJECT: u8 = 0x0A;
    pub(super) const XML: u8 = 0x0B;
    pub(super) const BYTE_ARRAY: u8 = 0x0C;
    pub(super) const VECTOR_INT: u8 = 0x0D;
    pub(super) const VECTOR_UINT: u8 = 0x0E;
    pub(super) const VECTOR_DOUBLE: u8 = 0x0F;
    pub(super) const VECTOR_OBJECT: u8 = 0x10;
    pub(super) const DICTIONARY: u8 = 0x11;
}

/// Class names whose externalized form is one ordinary value (Flex collections).
const WRAPPERS: [&str; 3] = [
    "flex.messaging.io.ArrayCollection",
    "flex.messaging.io.ObjectProxy",
    "flex.messaging.io.ArrayList",
];

/// Decodes one AMF3 value that fills `bytes`, or the first of them, of `max_values` values at most.
pub fn decode(bytes: &[u8], max_values: usize) -> Result<Value, AmfError> {
    let mut input = Input::new(bytes, max_values);
    Decoder::over(&mut input).read(0)
}

/// Reads one value with its own reference tables.
pub(crate) struct Decoder<'i, 'a> {
    input: &'i mut Input<'a>,
    strings: Vec<String>,
    objects: Vec<Option<Value>>,
    traits: Vec<Traits>,
}

#[derive(Clone)]
struct Traits {
    class: String,
    members: Vec<String>,
    dynamic: bool,
    external: bool,
}

/// The head of a complex value: inline with its count or flags, or a reference.
enum Head {
    Inline(u32),
    Reference(u32),
}

impl<'i, 'a> Decoder<'i, 'a> {
    pub(crate) fn over(input: &'i mut Input<'a>) -> Decoder<'i, 'a> {
        Decoder {
            input,
            strings: Vec::new(),
            objects: Vec::new(),
            traits: Vec::new(),
        }
    }

    pub(crate) fn read(&mut self, depth: usize) -> Result<Value, AmfError> {
        if depth >= MAX_DEPTH {
            return Err(AmfError::Depth);
        }
        self.input.count(1)?;
        let kind = self.input.u8()?;
        match kind {
            marker::UNDEFINED => Ok(Value::Undefined),
            marker::NULL => Ok(Value::Null),
            marker::FALSE => Ok(Value::Boolean(false)),
            marker::TRUE => Ok(Value::Boolean(true)),
            marker::INTEGER => {
                // 29 bits in two's complement (§1.3.1, §3.6).
                let n = self.u29()?;
                Ok(Value::Number(f64::from((n << 3) as i32 >> 3)))
            }
            marker::DOUBLE => self.input.f64().map(Value::Number),
            marker::STRING => self.string().map(Value::String),
            marker::XML_DOC
            | marker::XML
            | marker::DATE
            | marker::ARRAY
            | marker::OBJECT
            | marker::BYTE_ARRAY
            | marker::VECTOR_INT
            | marker::VECTOR_UINT
            | marker::VECTOR_DOUBLE
            | marker::VECTOR_OBJECT
            | marker::DICTIONARY => match self.head()? {
                Head::Reference(index) => {
                    let value = self.objects.get(index as usize).and_then(Option::as_ref);
                    let value = value.ok_or(AmfError::Reference(index))?;
                    self.input.copy_of(value, depth)
                }
                Head::Inline(head) => {
                    let slot = self.objects.len();
                    self.objects.push(None);
                    let value = self.complex(kind, head, depth)?;
                    if let Some(kept) = self.objects.get_mut(slot) {
                        *kept = self.input.keep(&value);
                    }
                    Ok(value)
                }
            },
            other => Err(AmfError::Marker(other)),
        }
    }

    fn complex(&mut self, kind: u8, head: u32, depth: usize) -> Result<Value, AmfError> {
        let count = head as usize;
        match kind {
            marker::XML | marker::XML_DOC => self.input.string(count).map(Value::Xml),
            marker::DATE => self.input.f64().map(Value::Date),
            marker::BYTE_ARRAY => Ok(Value::ByteArray(self.input.take(count)?.to_vec())),
            marker::ARRAY => self.array(count, depth),
            marker::VECTOR_INT | marker::VECTOR_UINT | marker::VECTOR_DOUBLE => self.vector(kind, count),
            marker::VECTOR_OBJECT => {
                self.input.u8()?;
                self.string()?;
                self.elements(count, depth).map(Value::StrictArray)
            }
            marker::DICTIONARY => {
                self.input.u8()?;
                let mut members = Vec::new();
                for _ in 0..count {
                    let key = self.read(depth + 1)?;
                    let key = match key {
                        Value::String(s) => s,
                        other => other.to_string(),
                    };
                    members.push((key, self.read(depth + 1)?));
                }
                Ok(Value::EcmaArray(members))
            }
            _ => self.object(head, depth),
        }
    }

    fn array(&mut self, count: usize, depth: usize) -> Result<Value, AmfError> {
        let mut members = Vec::new();
        loop {
            let key = self.string()?;
            if key.is_empty() {
                break;
            }
            members.push((key, self.read(depth + 1)?));
        }
        let elements = self.elements(count, depth)?;
        if members.is_empty() {
            return Ok(Value::StrictArray(elements));
        }
        members.extend(elements.into_iter().enumerate().map(|(i, v)| (i.to_string(), v)));
        Ok(Value::EcmaArray(members))
    }

    fn elements(&mut self, count: usize, depth: usize) -> Result<Vec<Value>, AmfError> {
        let mut out = Vec::new();
        for _ in 0..count {
            out.push(self.read(depth + 1)?);
        }
        Ok(out)
    }

    fn vector(&mut self, kind: u8, count: usize) -> Result<Value, AmfError> {
        // Fixed-length flag.
        self.input.u8()?;
        self.input.count(count)?;
        let mut out = Vec::new();
        for _ in 0..count {
            out.push(Value::Number(match kind {
                marker::VECTOR_INT => f64::from(self.input.u32()? as i32),
                marker::VECTOR_UINT => f64::from(self.input.u32()?),
                _ => self.input.f64()?,
            }));
        }
        Ok(Value::StrictArray(out))
    }

    fn object(&mut self, head: u32, depth: usize) -> Result<Value, AmfError> {
        let traits = self.traits(head)?;
        if traits.external {
            // Only what is known to hold a single value can be read; anything else has no length.
            if WRAPPERS.contains(&traits.class.as_str()) {
                return self.read(depth + 1);
            }
            return Err(AmfError::Marker(marker::OBJECT));
        }
        let mut members = Vec::new();
        for name in &traits.members {
            self.input.count_copy(name.len())?;
            members.push((name.clone(), self.read(depth + 1)?));
        }
        if traits.dynamic {
            loop {
                let key = self.string()?;
                if key.is_empty() {
                    break;
                }
                members.push((key, self.read(depth + 1)?));
            }
        }
        if traits.class.is_empty() {
            Ok(Value::Object(members))
        } else {
            Ok(Value::TypedObject(traits.class, members))
        }
    }

    /// Traits as the bits after the object's "inline" bit tell (§3.12).
    fn traits(&mut self, head: u32) -> Result<Traits, AmfError> {
        if head & 1 == 0 {
            let index = head >> 1;
            let known = self
                .traits
                .get(index as usize)
                .ok_or(AmfError::Reference(index))?;
            let size = known.class.len() + known.members.iter().map(String::len).sum::<usize>();
            self.input.count(known.members.len())?;
            self.input.count_copy(size)?;
            return Ok(known.clone());
        }
        let external = head & 2 != 0;
        let dynamic = head & 4 != 0;
        let count = if external { 0 } else { head >> 3 };
        let class = self.string()?;
        let mut members = Vec::new();
        for _ in 0..count {
            self.input.count(1)?;
            members.push(self.string()?);
        }
        let traits = Traits {
            class,
            members,
            dynamic,
            external,
        };
        let size = traits.class.len() + traits.members.iter().map(String::len).sum::<usize>();
        self.input.count_copy(size)?;
        self.traits.push(traits.clone());
        Ok(traits)
    }

    fn head(&mut self) -> Result<Head, AmfError> {
        let n = self.u29()?;
        Ok(if n & 1 == 0 {
            Head::Reference(n >> 1)
        } else {
            Head::Inline(n >> 1)
        })
    }

    /// A string without marker; the empty string is never a reference (§1.3.2).
    fn string(&mut self) -> Result<String, AmfError> {
        match self.head()? {
            Head::Reference(index) => {
                let s = self
                    .strings
                    .get(index as usize)
                    .ok_or(AmfError::Reference(index))?;
                self.input.count_copy(s.len())?;
                Ok(s.clone())
            }
            Head::Inline(0) => Ok(String::new()),
            Head::Inline(len) => {
                let s = self.input.string(len as usize)?;
                self.input.count_copy(s.len())?;
                self.strings.push(s.clone());
                Ok(s)
            }
        }
    }

    /// Up to 29 bits in 1 to 4 bytes (§1.3.1).
    fn u29(&mut self) -> Result<u32, AmfError> {
        let mut n = 0u32;
        for _ in 0..3 {
            let b = self.input.u8()?;
            n = n << 7 | u32::from(b & 0x7F);
            if b & 0x80 == 0 {
                return Ok(n);
            }
        }
        let b = self.input.u8()?;
        Ok(n << 8 | u32::from(b))
    }
}

/// Largest and smallest number that fits AMF3's 29-bit integer.
const INT_MAX: f64 = 268_435_455.0;
const INT_MIN: f64 = -268_435_456.0;

/// Appends one value, without references. Whole numbers of 29 bits become integers.
pub fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Number(n) => {
            if n.fract() == 0.0 && (INT_MIN..=INT_MAX).contains(n) && !(*n == 0.0 && n.is_sign_negative()) {
                out.push(marker::INTEGER);
                put_u29(*n as i32 as u32 & 0x1FFF_FFFF, out);
            } else {
                out.push(marker::DOUBLE);
                out.extend_from_slice(&n.to_be_bytes());
            }
        }
        Value::Boolean(b) => out.push(if *b { marker::TRUE } else { marker::FALSE }),
        Value::String(s) => {
            out.push(marker::STRING);
            put_bytes(s.as_bytes(), out);
        }
        Value::Null => out.push(marker::NULL),
        Value::Undefined => out.push(marker::UNDEFINED),
        Value::Object(members) => put_object("", members, out),
        Value::TypedObject(class, members) => put_object(class, members, out),
        Value::EcmaArray(members) => {
            out.push(marker::ARRAY);
            put_u29(1, out);
            put_members(members, out);
        }
        Value::StrictArray(elements) => {
            out.push(marker::ARRAY);
            put_u29((clamp(elements.len()) << 1) | 1, out);
            put_bytes(b"", out);
            for e in elements {
                encode(e, out);
            }
        }
        Value::Date(ms) => {
            out.push(marker::DATE);
            put_u29(1, out);
            out.extend_from_slice(&ms.to_be_bytes());
        }
        Value::Xml(s) => {
            out.push(marker::XML);
            put_bytes(s.as_bytes(), out);
        }
        Value::ByteArray(b) => {
            out.push(marker::BYTE_ARRAY);
            put_bytes(b, out);
        }
    }
}

fn put_object(class: &str, members: &[(String, Value)], out: &mut Vec<u8>) {
    out.push(marker::OBJECT);
    // Inline, inline traits, not external, dynamic, no sealed members.
    put_u29(0b1011, out);
    put_bytes(class.as_bytes(), out);
    put_members(members, out);
}

/// Dynamic members; one with an empty name would end the list and is left out.
fn put_members(members: &[(String, Value)], out: &mut Vec<u8>) {
    for (key, value) in members.iter().filter(|(k, _)| !k.is_empty()) {
        put_bytes(key.as_bytes(), out);
        encode(value, out);
    }
    put_bytes(b"", out);
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let len = clamp(bytes.len());
    put_u29((len << 1) | 1, out);
    out.extend(bytes.iter().take(len as usize));
}

/// Lengths have 28 bits.
fn clamp(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX).min(0x0FFF_FFFF)
}

fn put_u29(n: u32, out: &mut Vec<u8>) {
    let b = |shift: u32| (n >> shift) as u8 & 0x7F | 0x80;
    match n {
        0..=0x7F => out.push(n as u8),
        0x80..=0x3FFF => out.extend_from_slice(&[b(7), n as u8 & 0x7F]),
        0x4000..=0x1F_FFFF => out.extend_from_slice(&[b(14), b(7), n as u8 & 0x7F]),
        _ => out.extend_from_slice(&[b(22), b(15), b(8), n as u8]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amf::object;

    fn all(bytes: &[u8]) -> Result<Value, AmfError> {
        decode(bytes, 100)
    }

    #[test]
    fn integers_have_29_bits_and_a_sign() {
        assert_eq!(all(&[4, 0x7F]), Ok(127.0.into()));
        assert_eq!(all(&[4, 0x81, 0x00]), Ok(128.0.into()));
        assert_eq!(all(&[4, 0xBF, 0xFF, 0xFF, 0xFF]), Ok(INT_MAX.into()));
        assert_eq!(all(&[4, 0xC0, 0x80, 0x80, 0x00]), Ok(INT_MIN.into()));
        assert_eq!(all(&[4, 0xFF, 0xFF, 0xFF, 0xFF]), Ok((-1.0).into()));
        for n in [
            0.0, 127.0, 128.0, 16383.0, 16384.0, 2097151.0, 2097152.0, INT_MAX, INT_MIN, -1.0, 2e9, 0.5,
        ] {
            let mut out = Vec::new();
            encode(&n.into(), &mut out);
            assert_eq!(all(&out), Ok(n.into()), "{n}");
        }
    }

    #[test]
    fn strings_traits_and_objects_are_referenced() {
        // [ {class C; sealed a: "v"}, same traits again with a = string reference, object reference 1 ]
        let bytes = [
            9, 0x07, 0x01, //
            0x0A, 0x13, 0x03, b'C', 0x03, b'a', 0x06, 0x03, b'v', //
            0x0A, 0x01, 0x06, 0x04, //
            0x0A, 0x02,
        ];
        let object = Value::TypedObject("C".into(), vec![("a".into(), "v".into())]);
        assert_eq!(
            all(&bytes),
            Ok(Value::StrictArray(vec![object.clone(), object.clone(), object]))
        );
    }

    #[test]
    fn vectors_dictionaries_and_byte_arrays_are_read() {
        assert_eq!(
            all(&[0x0D, 0x05, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 2]),
            Ok(vec![(-1.0).into(), 2.0.into()].into())
        );
        assert_eq!(
            all(&[0x10, 0x03, 0, 0x01, 0x0A, 0x0B, 0x01, 0x01]),
            Ok(vec![object::<&str, _>([])].into())
        );
        assert_eq!(
            all(&[0x11, 0x03, 0, 0x04, 0x05, 0x03]),
            Ok(Value::EcmaArray(vec![("5".into(), true.into())]))
        );
        assert_eq!(all(&[0x0C, 0x05, 1, 2]), Ok(Value::ByteArray(vec![1, 2])));
    }

    #[test]
    fn flex_collections_are_their_contents_and_other_externals_are_refused() {
        let mut bytes = vec![0x0A, 0x07, 0x43];
        bytes.extend(b"flex.messaging.io.ArrayCollection");
        bytes.extend([0x09, 0x03, 0x01, 0x03]);
        assert_eq!(all(&bytes), Ok(vec![true.into()].into()));
        assert_eq!(all(&[0x0A, 0x07, 0x03, b'X', 0x03]), Err(AmfError::Marker(0x0A)));
    }

    #[test]
    fn counts_without_content_take_no_memory() {
        assert_eq!(all(&[0x0F, 0xFF, 0xFF, 0xFF, 0xFF, 0]), Err(AmfError::TooMany));
        assert_eq!(
            all(&[0x09, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]),
            Err(AmfError::Truncated)
        );
        assert_eq!(
            all(&[0x0A, 0xFF, 0xFF, 0xFF, 0xF3, 0x01]),
            Err(AmfError::Truncated)
        );
    }
}
