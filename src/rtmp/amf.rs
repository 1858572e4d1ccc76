//! AMF values: what commands and data messages are made of, whatever their encoding.
//!
//! [`amf0`](crate::amf0) and [`amf3`](crate::amf3) turn them into bytes and back.

use std::fmt;

use thiserror::Error;

/// One AMF value. Encodings that carry the same meaning are folded: AMF3 integers into numbers, long strings
/// into strings, vectors into arrays.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Value {
    /// IEEE 754 double; also AMF3 integers.
    Number(f64),
    /// Boolean.
    Boolean(bool),
    /// String; also AMF0 long strings. Invalid UTF-8 is replaced by U+FFFD.
    String(String),
    /// Anonymous object: properties in the order of the wire.
    Object(Vec<(String, Value)>),
    /// Null.
    #[default]
    Null,
    /// Undefined; also AMF0 "unsupported".
    Undefined,
    /// Array with named members (AMF0 ECMA array; AMF3 array with an associative part).
    EcmaArray(Vec<(String, Value)>),
    /// Array with members by number; also AMF3 vectors.
    StrictArray(Vec<Value>),
    /// Milliseconds since the epoch, UTC.
    Date(f64),
    /// XML document as text.
    Xml(String),
    /// Object of a named class: class name, properties.
    TypedObject(String, Vec<(String, Value)>),
    /// AMF3 byte array.
    ByteArray(Vec<u8>),
}

impl Value {
    /// The text of a string or XML value.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(s) | Value::Xml(s) => Some(s),
            _ => None,
        }
    }

    /// The number of a number or date (ms since the epoch).
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Number(n) | Value::Date(n) => Some(*n),
            _ => None,
        }
    }

    /// The truth of a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Boolean(b) => Some(*b),
            _ => None,
        }
    }

    /// The number as an unsigned 32-bit integer, truncated; `None` when it is not a number in that range.
    pub fn as_u32(&self) -> Option<u32> {
        let n = self.as_f64()?;
        (n >= 0.0 && n <= f64::from(u32::MAX)).then_some(n as u32)
    }

    /// The members of an object, a typed object or an array with names.
    pub fn properties(&self) -> Option<&[(String, Value)]> {
        match self {
            Value::Object(p) | Value::EcmaArray(p) | Value::TypedObject(_, p) => Some(p),
            _ => None,
        }
    }

    /// The members of an array by number.
    pub fn elements(&self) -> Option<&[Value]> {
        match self {
            Value::StrictArray(v) => Some(v),
            _ => None,
        }
    }

    /// The first member called `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.properties()?
            .iter()
            .find_map(|(k, v)| (k == key).then_some(v))
    }

    /// Whether this is null or undefined.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null | Value::Undefined)
    }
}

/// An object with these members, in this order.
///
/// ```
/// let info = rtmp::amf::object([("level", "status".into()), ("clientid", 7.0.into())]);
/// assert_eq!(info.get("level").and_then(|v| v.as_str()), Some("status"));
/// ```
pub fn object<K: Into<String>, I: IntoIterator<Item = (K, Value)>>(members: I) -> Value {
    Value::Object(members.into_iter().map(|(k, v)| (k.into(), v)).collect())
}

impl From<&str> for Value {
    fn from(s: &str) -> Value {
        Value::String(s.to_owned())
    }
}

impl From<String> for Value {
    fn from(s: String) -> Value {
        Value::String(s)
    }
}

impl From<f64> for Value {
    fn from(n: f64) -> Value {
        Value::Number(n)
    }
}

impl From<u32> for Value {
    fn from(n: u32) -> Value {
        Value::Number(f64::from(n))
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Value {
        Value::Boolean(b)
    }
}

impl From<Vec<Value>> for Value {
    fn from(v: Vec<Value>) -> Value {
        Value::StrictArray(v)
    }
}

impl fmt::Display for Value {
    /// Like JSON, for logs; not meant to be parsed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn members(f: &mut fmt::Formatter<'_>, p: &[(String, Value)]) -> fmt::Result {
            f.write_str("{")?;
            for (i, (k, v)) in p.iter().enumerate() {
                write!(f, "{}{k}: {v}", if i == 0 { "" } else { ", " })?;
            }
            f.write_str("}")
        }
        match self {
            Value::Number(n) => write!(f, "{n}"),
            Value::Boolean(b) => write!(f, "{b}"),
            Value::String(s) | Value::Xml(s) => write!(f, "{s:?}"),
            Value::Object(p) | Value::EcmaArray(p) => members(f, p),
            Value::TypedObject(class, p) => {
                f.write_str(class)?;
                members(f, p)
            }
            Value::Null => f.write_str("null"),
            Value::Undefined => f.write_str("undefined"),
            Value::StrictArray(v) => {
                f.write_str("[")?;
                for (i, v) in v.iter().enumerate() {
                    write!(f, "{}{v}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Value::Date(ms) => write!(f, "date({ms})"),
            Value::ByteArray(b) => write!(f, "bytes({})", b.len()),
        }
    }
}

/// Why bytes are not AMF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AmfError {
    /// The bytes end inside a value.
    #[error("ends inside a value")]
    Truncated,
    /// An unknown or unusable type marker.
    #[error("unknown marker {0:#04x}")]
    Marker(u8),
    /// A reference to something that was not sent.
    #[error("reference {0} to nothing")]
    Reference(u32),
    /// Values nested deeper than 32.
    #[error("nested too deeply")]
    Depth,
    /// More values, or more bytes after resolving references, than allowed.
    #[error("too many values")]
    TooMany,
}

/// Deepest nesting that is decoded.
pub const MAX_DEPTH: usize = 32;
