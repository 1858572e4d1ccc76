//! `"display" <uri>;params`, as in From, To, Contact, Route (RFC 3261 §20.10).

use std::fmt;

use crate::parse::{find_outside, quoted, trim, write_quoted};
use crate::uri::{Params, Uri};

/// An address with an optional display name and header parameters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameAddr {
    /// The display name without quotes and escapes; `None` when absent or empty.
    pub display: Option<String>,
    /// The address.
    pub uri: Uri,
    /// Header parameters such as `tag`, `expires`, `q`. Those of the URI are in [`Uri::params`].
    pub params: Params,
}

impl NameAddr {
    /// An address without display name or parameters.
    pub const fn new(uri: Uri) -> NameAddr {
        NameAddr {
            display: None,
            uri,
            params: Params::new(),
        }
    }

    /// Reads one address. `None` when it is malformed. Without angle brackets parameters belong to the header
    /// field, and a URI with `?` or `,` must stand in brackets (RFC 3261 §20).
    pub fn parse(s: &str) -> Option<NameAddr> {
        let s = trim(s);
        let (display, rest) = if s.starts_with('"') {
            let (display, rest) = quoted(s)?;
            (display, trim(rest))
        } else {
            match s.find('<') {
                Some(at) => {
                    let (display, rest) = s.split_at(at);
                    (plain_display(display)?, rest)
                }
                None => return NameAddr::parse_bare(s),
            }
        };
        let (uri, rest) = rest.strip_prefix('<')?.split_once('>')?;
        let rest = trim(rest);
        if !rest.is_empty() && !rest.starts_with(';') {
            return None;
        }
        Some(NameAddr {
            display: Some(display).filter(|d| !d.is_empty()),
            uri: Uri::parse(trim(uri)).ok()?,
            params: Params::parse(rest)?,
        })
    }

    fn parse_bare(s: &str) -> Option<NameAddr> {
        let end = find_outside(s, b';').unwrap_or(s.len());
        let (uri, params) = s.split_at(end);
        let uri = trim(uri);
        if uri.contains(['?', ',']) {
            return None;
        }
        Some(NameAddr {
            display: None,
            uri: Uri::parse(uri).ok()?,
            params: Params::parse(params)?,
        })
    }

    /// The tag (RFC 3261 §19.3).
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag").filter(|t| !t.is_empty())
    }

    /// Sets the tag, a token.
    pub fn set_tag(&mut self, tag: &str) {
        self.params.set("tag", Some(tag));
    }
}

/// A display name outside quotes. The grammar allows tokens only; anything is taken that cannot be mistaken for
/// the end of a list item.
fn plain_display(s: &str) -> Option<String> {
    let s = trim(s);
    if s.contains([',', ';', '"', '>', '@']) {
        return None;
    }
    let mut words = s.split([' ', '\t']).filter(|w| !w.is_empty());
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        out.push(' ');
        out.push_str(word);
    }
    Some(out)
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            write_quoted(f, display)?;
            f.write_str(" ")?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}
