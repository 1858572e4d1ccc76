//! URIs: sip, sips (RFC 3261 §19.1), tel (RFC 3966); every other kind is kept verbatim.

mod host;
mod matching;
mod params;

pub use host::Host;
pub use params::Params;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// The kind of a URI.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Any other, in lower case.
    Other(String),
}

/// A URI. `==` compares spelling; [`Uri::matches`] compares meaning.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Uri {
    scheme: Scheme,
    /// The user part of sip and sips, the number of tel, all that follows the colon for others. Raw.
    user: Option<String>,
    password: Option<String>,
    /// An empty name for tel and others.
    host: Host,
    port: Option<u16>,
    params: Params,
    /// Raw, without the question mark.
    headers: Option<String>,
}

impl Uri {
    /// A sip URI. The user, if any, is given plain and escaped here as needed.
    pub fn sip(user: Option<&str>, host: Host, port: Option<u16>) -> Uri {
        Uri {
            scheme: Scheme::Sip,
            user: user.filter(|u| !u.is_empty()).map(escape_user),
            password: None,
            host,
            port,
            params: Params::new(),
            headers: None,
        }
    }

    /// Reads a URI; nothing may surround it.
    ///
    /// # Errors
    /// [`Error::Uri`] with what is wrong.
    pub fn parse(s: &str) -> Result<Uri, Error> {
        if s.bytes()
            .any(|b| b <= b' ' || matches!(b, b'<' | b'>' | b'"' | 0x7f))
        {
            return Err(Error::Uri("a character that must be escaped"));
        }
        let (scheme, rest) = s.split_once(':').ok_or(Error::Uri("no scheme"))?;
        let scheme = Scheme::parse(scheme).ok_or(Error::Uri("bad scheme"))?;
        if rest.is_empty() {
            return Err(Error::Uri("nothing after the scheme"));
        }
        match scheme {
            Scheme::Sip | Scheme::Sips => Uri::parse_sip(scheme, rest),
            Scheme::Tel => {
                let (number, params) = rest.split_once(';').unwrap_or((rest, ""));
                if number.is_empty() {
                    return Err(Error::Uri("no number"));
                }
                let params = Params::parse(params).ok_or(Error::Uri("bad parameter"))?;
                Ok(Uri::opaque(scheme, number, params))
            }
            Scheme::Other(_) => Ok(Uri::opaque(scheme, rest, Params::new())),
        }
    }

    fn opaque(scheme: Scheme, rest: &str, params: Params) -> Uri {
        Uri {
            scheme,
            user: Some(rest.to_owned()),
            password: None,
            host: Host::Name(String::new()),
            port: None,
            params,
            headers: None,
        }
    }

    fn parse_sip(scheme: Scheme, rest: &str) -> Result<Uri, Error> {
        // The user part may hold ';' and '?', so the '@' is looked for first; none may stand behind it.
        let (userinfo, rest) = match rest.split_once('@') {
            Some((u, r)) => (Some(u), r),
            None => (None, rest),
        };
        if rest.contains('@') {
            return Err(Error::Uri("two at signs"));
        }
        let (user, password) = match userinfo {
            Some(u) => {
                let (user, password) = match u.split_once(':') {
                    Some((u, p)) => (u, Some(p.to_owned())),
                    None => (u, None),
                };
                if user.is_empty() {
                    return Err(Error::Uri("empty user"));
                }
                if !good_escapes(u) {
                    return Err(Error::Uri("bad escape"));
                }
                (Some(user.to_owned()), password)
            }
            None => (None, None),
        };
        let (rest, headers) = match rest.split_once('?') {
            Some((r, h)) => (r, Some(h.to_owned())),
            None => (rest, None),
        };
        let (hostport, params) = rest.split_once(';').unwrap_or((rest, ""));
        let (host, port) = Host::parse_with_port(hostport).ok_or(Error::Uri("bad host or port"))?;
        let params = Params::parse(params).ok_or(Error::Uri("bad parameter"))?;
        Ok(Uri {
            scheme,
            user,
            password,
            host,
            port,
            params,
            headers,
        })
    }

    /// The scheme.
    pub const fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Whether it is a sips URI, which asks for TLS on each hop.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        matches!(self.scheme, Scheme::Sips)
    }

    /// Makes a sip URI a sips URI.
    pub fn set_secure(&mut self) {
        if self.is_sip() {
            self.scheme = Scheme::Sips;
        }
    }

    /// Whether this is a sip or sips URI.
    pub const fn is_sip(&self) -> bool {
        matches!(self.scheme, Scheme::Sip | Scheme::Sips)
    }

    /// The user part without escapes; the number of a tel URI; what follows the colon of any other. Bytes that
    /// are not UTF-8 become U+FFFD.
    pub fn user(&self) -> Option<Cow<'_, str>> {
        self.user.as_deref().map(unescape)
    }

    /// The user part as on the wire.
    pub fn raw_user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The password as on the wire. Its use is discouraged (RFC 3261 §19.1.1).
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The host; an empty name for URIs other than sip and sips.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The port, when one is written.
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Sets or removes the port.
    pub const fn set_port(&mut self, port: Option<u16>) {
        self.port = port;
    }

    /// The URI parameters.
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// The URI parameters, to change.
    pub const fn params_mut(&mut self) -> &mut Params {
        &mut self.params
    }

    /// A URI parameter's value as on the wire; empty for one without a value.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name)
    }

    /// Sets a URI parameter, in wire form.
    pub fn set_param(&mut self, name: &str, value: Option<&str>) {
        self.params.set(name, value);
    }

    /// The headers after the question mark, raw.
    pub fn headers(&self) -> Option<&str> {
        self.headers.as_deref()
    }

    /// Removes the headers and the `method` parameter, which may not stand in a Request-URI (RFC 3261
    /// §19.1.1).
    pub fn strip_for_request(&mut self) {
        self.headers = None;
        self.params.remove("method");
    }

    /// Whether both name the same resource (RFC 3261 §19.1.4). Not transitive: parameters that stand in one
    /// only are mostly ignored.
    pub fn matches(&self, other: &Uri) -> bool {
        matching::matches(self, other)
    }
}

impl Scheme {
    fn parse(s: &str) -> Option<Scheme> {
        let mut bytes = s.bytes();
        let first = bytes.next()?;
        if !first.is_ascii_alphabetic()
            || !bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        {
            return None;
        }
        Some(match s {
            _ if s.eq_ignore_ascii_case("sip") => Scheme::Sip,
            _ if s.eq_ignore_ascii_case("sips") => Scheme::Sips,
            _ if s.eq_ignore_ascii_case("tel") => Scheme::Tel,
            _ => Scheme::Other(s.to_ascii_lowercase()),
        })
    }

    /// The name without the colon.
    pub fn as_str(&self) -> &str {
        match self {
            Scheme::Sip => "sip",
            Scheme::Sips => "sips",
            Scheme::Tel => "tel",
            Scheme::Other(s) => s,
        }
    }
}

impl FromStr for Uri {
    type Err = Error;

    fn from_str(s: &str) -> Result<Uri, Error> {
        Uri::parse(s)
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme.as_str())?;
        if !self.is_sip() {
            return write!(f, "{}{}", self.user.as_deref().unwrap_or(""), self.params);
        }
        if let Some(user) = &self.user {
            f.write_str(user)?;
            if let Some(password) = &self.password {
                write!(f, ":{password}")?;
            }
            f.write_str("@")?;
        }
        write!(f, "{}", self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)?;
        if let Some(headers) = &self.headers {
            write!(f, "?{headers}")?;
        }
        Ok(())
    }
}

/// Whether every percent sign is followed by two hexadecimal digits.
fn good_escapes(s: &str) -> bool {
    let mut bytes = s.bytes();
    while let Some(b) = bytes.next() {
        if b == b'%' {
            let digits = (bytes.next(), bytes.next());
            if !matches!(digits, (Some(a), Some(b)) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()) {
                return false;
            }
        }
    }
    true
}

fn hex(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// Decodes percent escapes; malformed ones stay.
fn unescape_bytes(s: &str) -> Cow<'_, [u8]> {
    if !s.contains('%') {
        return Cow::Borrowed(s.as_bytes());
    }
    let mut out = Vec::with_capacity(s.len());
    let mut rest = s.as_bytes();
    while let Some((&b, tail)) = rest.split_first() {
        rest = tail;
        if let (b'%', [a, c, after @ ..]) = (b, tail)
            && let (Some(hi), Some(lo)) = (hex(*a), hex(*c))
        {
            out.push(hi << 4 | lo);
            rest = after;
            continue;
        }
        out.push(b);
    }
    Cow::Owned(out)
}

fn unescape(s: &str) -> Cow<'_, str> {
    match unescape_bytes(s) {
        Cow::Borrowed(_) => Cow::Borrowed(s),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

fn escape_user(user: &str) -> String {
    let mut out = String::with_capacity(user.len());
    for &b in user.as_bytes() {
        // unreserved and user-unreserved of RFC 3261 §25.1
        let plain = b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&b);
        if plain {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests;
