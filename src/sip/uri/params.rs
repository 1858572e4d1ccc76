//! Parameters after a semicolon, of URIs and of header fields.

use std::borrow::Cow;
use std::fmt;

use crate::parse::{pieces_outside, trim, unquote};

/// The most parameters of one URI or header value.
const MAX_PARAMS: usize = 64;

/// An ordered list of `;name` and `;name=value`. Names are compared without case. Values are kept as on the
/// wire, quotes and escapes included.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Params(Vec<(String, Option<String>)>);

impl Params {
    /// No parameters.
    pub const fn new() -> Params {
        Params(Vec::new())
    }

    /// Reads `name=value;name`, with or without a leading semicolon. `None` when a name is missing or holds
    /// what no token or escape allows, a quoted value does not end, or there are more than 64. Of several with the
    /// same name the first counts.
    pub fn parse(s: &str) -> Option<Params> {
        let mut list = Vec::new();
        let s = trim(s);
        let s = s.strip_prefix(';').unwrap_or(s);
        // Many senders end a list with a semicolon; between two of them something must stand.
        let s = s.strip_suffix(';').unwrap_or(s);
        if s.is_empty() {
            return Some(Params(list));
        }
        for piece in pieces_outside(s, b';') {
            let (name, value) = match piece.split_once('=') {
                Some((n, v)) => (n.trim_end(), Some(v.trim_start())),
                None => (piece, None),
            };
            if name.is_empty() || !name.bytes().all(is_name_byte) {
                return None;
            }
            if value.is_some_and(|v| !is_value(v)) {
                return None;
            }
            if list.len() == MAX_PARAMS {
                return None;
            }
            // A name may stand once; whoever reads must not see another value than whoever compares.
            if !list
                .iter()
                .any(|(n, _): &(String, _)| n.eq_ignore_ascii_case(name))
            {
                list.push((name.to_owned(), value.map(str::to_owned)));
            }
        }
        Some(Params(list))
    }

    /// The value as on the wire; empty for a parameter without one; `None` when absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        Some(value.as_deref().unwrap_or(""))
    }

    /// The value without its quotes.
    pub fn get_unquoted(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name).map(unquote)
    }

    /// Whether the parameter is there, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
    }

    /// Sets or replaces a parameter; `None` for one without a value. The value must be in wire form: a token,
    /// or quoted.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        let value = value.map(str::to_owned);
        match self.0.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            Some(slot) => slot.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Removes a parameter; says whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self.0.len() != before
    }

    /// Every parameter in order: name, and value in wire form.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_deref()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.0 {
            write!(f, ";{name}")?;
            if let Some(value) = value {
                write!(f, "={value}")?;
            }
        }
        Ok(())
    }
}

/// Token characters and those that URI parameters allow besides (RFC 3261 §25.1, `paramchar`).
const fn is_name_byte(b: u8) -> bool {
    crate::parse::is_token_byte(b)
        || matches!(b, b'[' | b']' | b'/' | b':' | b'&' | b'$' | b'(' | b')')
        || b >= 0x80
}

fn is_value(v: &str) -> bool {
    if v.starts_with('"') {
        return matches!(crate::parse::quoted(v), Some((_, "")));
    }
    !v.bytes()
        .any(|b| b <= b' ' || matches!(b, b'"' | b'<' | b'>' | 0x7f))
}
