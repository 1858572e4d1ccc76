//! Challenges (WWW-Authenticate, Proxy-Authenticate) and authorizations.

use std::fmt;

use super::digest::Algorithm;
use super::fields::Fields;
use crate::parse::write_quoted;

/// What a digest protects.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Qop {
    /// Method and URI.
    Auth,
    /// The body too.
    AuthInt,
}

impl Qop {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Qop::Auth => "auth",
            Qop::AuthInt => "auth-int",
        }
    }

    fn parse(s: &str) -> Option<Qop> {
        [Qop::Auth, Qop::AuthInt]
            .into_iter()
            .find(|q| q.as_str().eq_ignore_ascii_case(s.trim()))
    }
}

/// A digest challenge (RFC 7616 §3.3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Challenge {
    /// The domain of the password.
    pub realm: String,
    /// The server's nonce.
    pub nonce: String,
    /// To be given back as it is.
    pub opaque: Option<String>,
    /// The algorithm; MD5 when the server names none.
    pub algorithm: Algorithm,
    /// What the server accepts; empty from a server of RFC 2069's age, which then gets none.
    pub qop: Vec<Qop>,
    /// The last answer was right but its nonce too old.
    pub stale: bool,
}

impl Challenge {
    /// Every digest challenge in a header value. Those of other schemes, of unknown algorithms, with none but
    /// unknown qops, or without realm or nonce are left out.
    pub fn parse_all(value: &str) -> Vec<Challenge> {
        Fields::parse_all(value)
            .iter()
            .filter(|f| f.scheme.eq_ignore_ascii_case("Digest"))
            .filter_map(Challenge::read)
            .collect()
    }

    fn read(fields: &Fields<'_>) -> Option<Challenge> {
        let qop: Vec<Qop> = match fields.get("qop") {
            Some(list) => list.split(',').filter_map(Qop::parse).collect(),
            None => Vec::new(),
        };
        if qop.is_empty() && fields.get("qop").is_some_and(|q| !q.trim().is_empty()) {
            return None;
        }
        Some(Challenge {
            realm: fields.owned("realm")?,
            nonce: fields.owned("nonce")?,
            opaque: fields.owned("opaque"),
            algorithm: match fields.get("algorithm") {
                Some(name) => Algorithm::parse(name)?,
                None => Algorithm::Md5,
            },
            qop,
            stale: fields
                .get("stale")
                .is_some_and(|s| s.eq_ignore_ascii_case("true")),
        })
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest realm=")?;
        write_quoted(f, &self.realm)?;
        f.write_str(", nonce=")?;
        write_quoted(f, &self.nonce)?;
        if let Some(opaque) = &self.opaque {
            f.write_str(", opaque=")?;
            write_quoted(f, opaque)?;
        }
        write!(f, ", algorithm={}", self.algorithm)?;
        if !self.qop.is_empty() {
            let names: Vec<_> = self.qop.iter().map(|q| q.as_str()).collect();
            write!(f, ", qop=\"{}\"", names.join(","))?;
        }
        if self.stale {
            f.write_str(", stale=true")?;
        }
        Ok(())
    }
}

/// The answer to a challenge: Authorization, Proxy-Authorization (RFC 7616 §3.4).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authorization {
    /// The user name of the account.
    pub username: String,
    /// As in the challenge.
    pub realm: String,
    /// As in the challenge.
    pub nonce: String,
    /// The Request-URI as the client sent it.
    pub uri: String,
    /// The digest in hexadecimal.
    pub response: String,
    /// As in the challenge.
    pub algorithm: Algorithm,
    /// As in the challenge.
    pub opaque: Option<String>,
    /// `None` toward servers that offered none.
    pub qop: Option<Qop>,
    /// The client's nonce; empty without qop.
    pub cnonce: String,
    /// How often the nonce was used, eight hexadecimal digits; empty without qop.
    pub nc: String,
}

impl Authorization {
    /// Every digest authorization in a header value; those that lack a required part are left out.
    pub fn parse_all(value: &str) -> Vec<Authorization> {
        Fields::parse_all(value)
            .iter()
            .filter(|f| f.scheme.eq_ignore_ascii_case("Digest"))
            .filter_map(Authorization::read)
            .collect()
    }

    fn read(fields: &Fields<'_>) -> Option<Authorization> {
        let qop = match fields.get("qop") {
            Some(q) => Some(Qop::parse(q)?),
            None => None,
        };
        let cnonce = fields.owned("cnonce").unwrap_or_default();
        let nc = fields.owned("nc").unwrap_or_default();
        if qop.is_some() && (nc.len() != 8 || !nc.bytes().all(|b| b.is_ascii_hexdigit())) {
            return None;
        }
        Some(Authorization {
            username: fields.owned("username")?,
            realm: fields.owned("realm")?,
            nonce: fields.owned("nonce")?,
            uri: fields.owned("uri")?,
            response: fields.owned("response")?,
            algorithm: match fields.get("algorithm") {
                Some(name) => Algorithm::parse(name)?,
                None => Algorithm::Md5,
            },
            opaque: fields.owned("opaque"),
            qop,
            cnonce,
            nc,
        })
    }
}

impl fmt::Display for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest username=")?;
        write_quoted(f, &self.username)?;
        for (name, value) in [
            ("realm", &self.realm),
            ("nonce", &self.nonce),
            ("uri", &self.uri),
            ("response", &self.response),
        ] {
            write!(f, ", {name}=")?;
            write_quoted(f, value)?;
        }
        write!(f, ", algorithm={}", self.algorithm)?;
        if let Some(opaque) = &self.opaque {
            f.write_str(", opaque=")?;
            write_quoted(f, opaque)?;
        }
        if let Some(qop) = self.qop {
            write!(f, ", qop={}, nc={}", qop.as_str(), self.nc)?;
        }
        if !self.cnonce.is_empty() {
            f.write_str(", cnonce=")?;
            write_quoted(f, &self.cnonce)?;
        }
        Ok(())
    }
}
