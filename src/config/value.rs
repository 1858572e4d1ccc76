//! The types a key may have, one `impl Value` each.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::section::{Reader, Row, Shown, Value, rows_of};
use super::tree::{Item, Kind, parse_value};

/// Notes a value of the wrong shape.
fn wrong<T>(node: &Item, path: &str, reader: &mut Reader<'_>, allowed: &str) -> Option<T> {
    let got = match &node.kind {
        Kind::Text(s) | Kind::Raw(s) => format!("`{s}`"),
        Kind::Integer(i) => format!("`{i}`"),
        Kind::Float(x) => format!("`{x}`"),
        Kind::Bool(b) => format!("`{b}`"),
        other => other.name().to_owned(),
    };
    reader.problem(
        node.place.clone(),
        path,
        format!("is {got}; it must be {allowed}"),
    );
    None
}

/// Reads a value that is written as a string.
fn text<T>(
    node: &Item,
    path: &str,
    reader: &mut Reader<'_>,
    allowed: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    if let Kind::Text(s) | Kind::Raw(s) = &node.kind
        && let Some(value) = parse(s)
    {
        return Some(value);
    }
    wrong(node, path, reader, allowed)
}

/// A TOML basic string.
pub(super) fn quoted(s: &str) -> String {
    let mut out = String::from("\"");
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

impl Value for String {
    fn read(node: &Item, path: &str, reader: &mut Reader<'_>) -> Option<Self> {
        text(node, path, reader, "a string", |s| Some(s.to_owned()))
    }
    fn show(&self) -> Shown {
        Shown::Inline(quoted(self))
    }
}

impl Value for bool {
    fn read(node: &Item, path: &str, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.kind {
            Kind::Bool(b) => Some(*b),
            Kind::Raw(s) if s == "true" => Some(true),
            Kind::Raw(s) if s == "false" => Some(false),
            _ => wrong(node, path, reader, "true or false"),
        }
    }
    fn show(&self) -> Shown {
        Shown::Inline(self.to_string())
    }
}

macro_rules! integers {
    ($($ty:ty),*) => { $(
        impl Value for $ty {
            fn read(node: &Item, path: &str, reader: &mut Reader<'_>) -> Option<Self> {
                let value = match &node.kind {
                    Kind::Integer(i) => <$ty>::try_from(*i).ok(),
                    Kind::Raw(s) => s.parse().ok(),
                    _ => None,
                };
                if value.is_some() {
                    return value;
                }
                wrong(node, path, reader, &format!("an integer from 0 to {}", <$ty>::MAX))
            }
            fn show(&self) -> Shown {
                Shown::Inline(self.to_string())
            }
        }
    )* };
}
integers!(u8, u16, u32);

impl Value for Duration {
    fn read(node: &Item, path: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let allowed = "a duration such as \"20ms\", \"5s\", \"10m\" or \"1h\"";
        text(node, path, reader, allowed, |s| {
            let digits = s.find(|c: char| !c.is_ascii_digit())?;
            let (number, unit) = s.split_at(digits);
            let number: u64 = number.parse().ok()?;
            let ms = match unit.trim() {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return None,
            };
            Some(Duration::from_millis(number.checked_mul(ms)?))
        })
    }
    fn show(&self) -> Shown {
        let ms = self.as_millis();
        let (number, unit) = match ms {
            0 => (0, "s"),
            _ if ms.is_multiple_of(3_600_000) => (ms / 3_600_000, "h"),
            _ if ms.is_multiple_of(60_000) => (ms / 60_000, "m"),
            _ if ms.is_multiple_of(1_000) => (ms / 1_000, "s"),
            _ => (ms, "ms"),
        };
        Shown::Inline(quoted(&format!("{number}{unit}")))
    }
}

/// A number of bytes: `"64KiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Value for Size {
    fn read(node: &Item, path: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let allowed = "a size such as \"64KiB\" or \"1MiB\"";
        text(node, path, reader, allowed, |s| {
            let digits = s.find(|c: char| !c.is_ascii_digit())?;
            let (number, unit) = s.split_at(digits);
            let number: u64 = number.parse().ok()?;
            let factor = match unit.trim() {
                "B" => 1,
                "KiB" => 1 << 10,
                "MiB" => 1 << 20,
                "GiB" => 1 << 30,
                _ => return None,
            };
            Some(Size(number.checked_mul(factor)?))
        })
    }
    fn show(&self) -> Shown {
        Shown::Inline(quoted(&self.to_string()))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = match self.0 {
            0 => (0, "B"),
            n if n.is_multiple_of(1 << 30) => (n >> 30, "GiB"),
            n if n.is_multiple_of(1 << 20) => (n >> 20, "MiB"),
            n if n.is_multiple_of(1 << 10) => (n >> 10, "KiB"),
            n => (n, "B"),
        };
        write!(f, "{number}{unit}")
    }
}

impl Value for SocketAddr {
    fn read(node: &Item, path: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let allowed = "an address with port such as \"0.0.0.0:1935\" or \"[::]:1935\"";
        text(node, path, reader, allowed, |s| s.parse().ok())
    }
    fn show(&self) -> Shown {
        Shown::Inline(quoted(&self.to_string()))
    }
}

impl Value for IpAddr {
    fn read(node: &Item, path: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let allowed = "an address such as \"203.0.113.5\" or \"2001:db8::5\"";
        text(node, path, reader, allowed, |s| s.parse().ok())
    }
    fn show(&self) -> Shown {
        Shown::Inline(quoted(&self.to_string()))
    }
}

/// A file; a relative name stands beside the configuration file.
impl Value for PathBuf {
    fn read(node: &Item, path: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let name = text(node, path, reader, "the name of a file", |s| {
            (!s.is_empty()).then(|| s.to_owned())
        })?;
        Some(reader.beside(&name))
    }
    fn show(&self) -> Shown {
        Shown::Inline(quoted(&self.to_string_lossy()))
    }
}

impl<T: Value> Value for Option<T> {
    fn read(node: &Item, path: &str, reader: &mut Reader<'_>) -> Option<Self> {
        T::read(node, path, reader).map(Some)
    }
    fn show(&self) -> Shown {
        self.as_ref().map_or(Shown::Unset, Value::show)
    }
}

/// A list. One value without brackets is a list of one; in a variable, commas part the entries.
impl<T: Value> Value for Vec<T> {
    fn read(node: &Item, path: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let items = match &node.kind {
            Kind::List(items) => items.clone(),
            Kind::Raw(s) if s.trim().is_empty() => Vec::new(),
            Kind::Raw(s) if s.trim_start().starts_with('[') => match parse_value(s, &node.place) {
                Some(Item {
                    kind: Kind::List(items),
                    ..
                }) => items,
                _ => return wrong(node, path, reader, "a list"),
            },
            Kind::Raw(s) => s
                .split(',')
                .map(|part| Item {
                    place: node.place.clone(),
                    kind: Kind::Raw(part.trim().to_owned()),
                })
                .collect(),
            _ if T::template().is_some() => return wrong(node, path, reader, "written as [[table]]"),
            _ => vec![node.clone()],
        };
        let mut out = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            let inner = format!("{path}.{i}");
            reader.note(&inner, &item.place);
            out.extend(T::read(item, &inner, reader));
        }
        (out.len() == items.len()).then_some(out)
    }

    fn show(&self) -> Shown {
        if let Some(template) = T::template() {
            let entries = self.iter().filter_map(|v| match v.show() {
                Shown::Table(rows) => Some(rows),
                _ => None,
            });
            return Shown::Tables(entries.collect(), template);
        }
        let items: Vec<String> = self
            .iter()
            .filter_map(|v| match v.show() {
                Shown::Inline(s) => Some(s),
                _ => None,
            })
            .collect();
        Shown::Inline(format!("[{}]", items.join(", ")))
    }

    fn template() -> Option<Vec<Row>> {
        None
    }
}

/// A password: written out, or `{ file = "…" }` (its first line), or `{ env = "…" }`. Never printed.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// A secret from memory.
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    /// The secret itself: for the digest, never for a log.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// True when nothing was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

impl Value for Secret {
    fn read(node: &Item, path: &str, reader: &mut Reader<'_>) -> Option<Self> {
        const ALLOWED: &str = "a string, { file = \"…\" } or { env = \"…\" }";
        if let Kind::Text(s) | Kind::Raw(s) = &node.kind {
            return Some(Secret(s.clone()));
        }
        let rows = rows_of(node, path, reader)?;
        let [(key, value)] = rows.as_slice() else {
            return wrong(node, path, reader, ALLOWED);
        };
        let (Kind::Text(name) | Kind::Raw(name)) = &value.kind else {
            return wrong(node, path, reader, ALLOWED);
        };
        match key.as_str() {
            "file" => {
                let file = reader.beside(name);
                match std::fs::read_to_string(&file) {
                    Ok(s) => Some(Secret(s.lines().next().unwrap_or("").to_owned())),
                    Err(e) => {
                        let text = format!("the secret file {} cannot be read: {e}", file.display());
                        reader.problem(node.place.clone(), path, text);
                        None
                    }
                }
            }
            "env" => match reader.variable(name).map(str::to_owned) {
                Some(s) => Some(Secret(s)),
                None => {
                    let text = format!("the environment has no variable {name}");
                    reader.problem(node.place.clone(), path, text);
                    None
                }
            },
            _ => wrong(node, path, reader, ALLOWED),
        }
    }
    fn show(&self) -> Shown {
        Shown::Inline(quoted("(hidden)"))
    }
}

/// UDP ports from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The first port; even.
    pub first: u16,
    /// The last port; odd.
    pub last: u16,
}

impl PortRange {
    /// How many RTP/RTCP pairs it holds.
    pub const fn pairs(self) -> u32 {
        (self.last as u32 + 1 - self.first as u32) / 2
    }
}

impl Value for PortRange {
    fn read(node: &Item, path: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let allowed =
            "a range such as \"20000-29999\", from an even port of 1024 or more to a higher odd one";
        text(node, path, reader, allowed, |s| {
            let (first, last) = s.split_once('-')?;
            let (first, last): (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
            let fits = first >= 1024 && first < last && first.is_multiple_of(2) && !last.is_multiple_of(2);
            fits.then_some(PortRange { first, last })
        })
    }
    fn show(&self) -> Shown {
        Shown::Inline(quoted(&format!("{}-{}", self.first, self.last)))
    }
}

/// A regular expression that must match the whole of what was dialled; two are equal when their text is.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    regex: Option<regex::Regex>,
}

impl Pattern {
    /// The pattern that matches nothing: what a route has before its `match` is read.
    pub(super) fn none() -> Pattern {
        Pattern {
            text: String::new(),
            regex: None,
        }
    }

    /// True when nothing was given.
    pub(super) fn is_none(&self) -> bool {
        self.regex.is_none()
    }

    fn new(text: &str) -> Result<Pattern, regex::Error> {
        // First alone, so that a message shows what the operator wrote and brackets cannot escape.
        regex::RegexBuilder::new(text).size_limit(1 << 20).build()?;
        let whole = format!("^(?:{text})$");
        let regex = regex::RegexBuilder::new(&whole).size_limit(1 << 20).build()?;
        Ok(Pattern {
            text: text.to_owned(),
            regex: Some(regex),
        })
    }

    /// The expression as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What to dial for `dialled`, or `None` when it does not match: `rewrite` with `$1`, `$2` … filled in,
    /// or `dialled` itself.
    pub fn apply(&self, dialled: &str, rewrite: Option<&str>) -> Option<String> {
        let groups = self.regex.as_ref()?.captures(dialled)?;
        let Some(rewrite) = rewrite else {
            return Some(dialled.to_owned());
        };
        let mut out = String::new();
        groups.expand(rewrite, &mut out);
        Some(out)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text == other.text
    }
}

impl Value for Pattern {
    fn read(node: &Item, path: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let (Kind::Text(s) | Kind::Raw(s)) = &node.kind else {
            return wrong(node, path, reader, "a regular expression");
        };
        match Pattern::new(s) {
            Ok(pattern) => Some(pattern),
            Err(e) => {
                let why = e.to_string();
                let why = why
                    .lines()
                    .last()
                    .unwrap_or("")
                    .trim()
                    .trim_start_matches("error: ")
                    .to_owned();
                reader.problem(
                    node.place.clone(),
                    path,
                    format!("is no regular expression: {why}"),
                );
                None
            }
        }
    }
    fn show(&self) -> Shown {
        Shown::Inline(quoted(&self.text))
    }
}

/// A codec by its label in the table of codecs.
impl Value for codecs::CodecId {
    fn read(node: &Item, path: &str, reader: &mut Reader<'_>) -> Option<Self> {
        // Those that RTP knows: others are never offered to a phone.
        let known = || codecs::TABLE.iter().filter(|c| !c.rtp_name.is_empty());
        let labels: Vec<&str> = known().map(|c| c.label).collect();
        if let Kind::Text(s) | Kind::Raw(s) = &node.kind
            && let Some(codec) = known().find(|c| c.label == s)
        {
            return Some(codec.id);
        }
        one_of(node, path, reader, &labels)
    }
    fn show(&self) -> Shown {
        Shown::Inline(quoted(codecs::codec(*self).label))
    }
}

/// A key that takes one of a few words.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $( $(#[$vdoc:meta])* $variant:ident = $text:literal, )* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $( $(#[$vdoc])* $variant, )* }

        impl $name {
            /// Every one, in the order in which they are listed.
            pub const ALL: &'static [$name] = &[$( $name::$variant, )*];

            /// The word in the configuration.
            pub const fn as_str(self) -> &'static str {
                match self { $( $name::$variant => $text, )* }
            }
        }

        impl Value for $name {
            fn read(node: &Item, path: &str, reader: &mut Reader<'_>) -> Option<Self> {
                if let Kind::Text(s) | Kind::Raw(s) = &node.kind {
                    $( if s == $text { return Some($name::$variant); } )*
                }
                let words: &[&str] = &[$( $text, )*];
                $crate::config::value::one_of(node, path, reader, words)
            }
            fn show(&self) -> Shown {
                Shown::Inline($crate::config::value::quoted(self.as_str()))
            }
        }
    };
}
pub(super) use choice;

/// Notes a word that is not among the allowed ones.
pub(super) fn one_of<T>(node: &Item, path: &str, reader: &mut Reader<'_>, words: &[&str]) -> Option<T> {
    let words: Vec<String> = words.iter().map(|w| quoted(w)).collect();
    wrong(node, path, reader, &format!("one of {}", words.join(", ")))
}

/// A limit: from `first` to `last`, both allowed.
pub(super) fn within<T: PartialOrd + Value>(range: RangeInclusive<T>) -> impl Fn(&T) -> Result<(), String> {
    move |value| {
        if range.contains(value) {
            return Ok(());
        }
        let inline = |v: &T| match v.show() {
            Shown::Inline(s) => s,
            _ => String::new(),
        };
        Err(format!(
            "is {}; allowed: {} to {}",
            inline(value),
            inline(range.start()),
            inline(range.end())
        ))
    }
}

/// A limit: something must be written.
pub(super) fn given(value: &str) -> Result<(), String> {
    if value.is_empty() {
        Err("must be given".to_owned())
    } else {
        Ok(())
    }
}

/// A limit: a SIP URI of a server.
pub(super) fn sip_uri(value: &str) -> Result<(), String> {
    let rest = value.strip_prefix("sip:").or_else(|| value.strip_prefix("sips:"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains(|c: char| c.is_whitespace() || c.is_control()) => {
            Ok(())
        }
        _ => Err(format!(
            "is {}; it must be a SIP URI such as \"sip:sip.example.com\"",
            quoted(value)
        )),
    }
}

/// A limit on a key that may be absent.
pub(super) fn optional<T>(
    check: impl Fn(&T) -> Result<(), String>,
) -> impl Fn(&Option<T>) -> Result<(), String> {
    move |value| value.as_ref().map_or(Ok(()), &check)
}
