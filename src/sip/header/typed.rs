//! Typed views of header fields.

use std::fmt;

use super::{HeaderName, Headers, NameAddr, Via};
use crate::error::Error;
use crate::msg::Method;
use crate::parse::{is_token, number, split_outside, trim};
use crate::uri::Params;

/// CSeq (RFC 3261 §20.16).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CSeq {
    /// 0 to 2^31 - 1.
    pub seq: u32,
    /// The method.
    pub method: Method,
}

impl CSeq {
    /// Reads the value. `None` when malformed or the number is 2^31 or more.
    pub fn parse(s: &str) -> Option<CSeq> {
        let (seq, method) = trim(s).split_once([' ', '\t'])?;
        let seq = number(seq).filter(|s| *s < 1 << 31)?;
        let method = trim(method).parse().ok()?;
        Some(CSeq { seq, method })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.seq, self.method)
    }
}

/// A media type such as `application/sdp` (RFC 3261 §20.15).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MediaType {
    /// The type in lower case.
    pub kind: String,
    /// The subtype in lower case.
    pub subtype: String,
    /// Parameters.
    pub params: Params,
}

impl MediaType {
    /// Reads the value.
    pub fn parse(s: &str) -> Option<MediaType> {
        let (essence, params) = s.split_at(s.find(';').unwrap_or(s.len()));
        let (kind, subtype) = essence.split_once('/')?;
        let (kind, subtype) = (trim(kind), trim(subtype));
        if !is_token(kind) || !is_token(subtype) {
            return None;
        }
        Some(MediaType {
            kind: kind.to_ascii_lowercase(),
            subtype: subtype.to_ascii_lowercase(),
            params: Params::parse(params)?,
        })
    }

    /// Whether it is `kind/subtype`, both in lower case.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind == kind && self.subtype == subtype
    }
}

impl Headers {
    fn required(&self, name: HeaderName) -> Result<&str, Error> {
        self.get(&name).ok_or(Error::Missing(name))
    }

    /// Every item of a comma-separated list spread over all fields of that name.
    pub fn list<'a>(&'a self, name: &HeaderName) -> impl Iterator<Item = &'a str> {
        self.get_all(name).flat_map(|v| split_outside(v, b','))
    }

    fn parsed_list<T>(&self, name: HeaderName, parse: fn(&str) -> Option<T>) -> Result<Vec<T>, Error> {
        let items: Option<Vec<T>> = self.list(&name).map(parse).collect();
        items.ok_or(Error::Header(name))
    }

    /// The topmost Via.
    ///
    /// # Errors
    /// Missing or malformed.
    pub fn via_top(&self) -> Result<Via, Error> {
        let top = self.list(&HeaderName::Via).next();
        let top = top.ok_or(Error::Missing(HeaderName::Via))?;
        Via::parse(top).ok_or(Error::Header(HeaderName::Via))
    }

    /// Every Via, topmost first.
    ///
    /// # Errors
    /// One is malformed.
    pub fn vias(&self) -> Result<Vec<Via>, Error> {
        self.parsed_list(HeaderName::Via, Via::parse)
    }

    /// Replaces the topmost Via, for a server that adds `received` and `rport`.
    pub fn set_via_top(&mut self, via: &Via) {
        let Some(first) = self.remove_first(&HeaderName::Via) else {
            return;
        };
        let mut value = via.to_string();
        for rest in split_outside(&first, b',').skip(1) {
            value.push_str(", ");
            value.push_str(rest);
        }
        self.push_front(HeaderName::Via, value);
    }

    /// From.
    ///
    /// # Errors
    /// Missing or malformed.
    pub fn from(&self) -> Result<NameAddr, Error> {
        NameAddr::parse(self.required(HeaderName::From)?).ok_or(Error::Header(HeaderName::From))
    }

    /// To.
    ///
    /// # Errors
    /// Missing or malformed.
    pub fn to(&self) -> Result<NameAddr, Error> {
        NameAddr::parse(self.required(HeaderName::To)?).ok_or(Error::Header(HeaderName::To))
    }

    /// Call-ID.
    ///
    /// # Errors
    /// Missing or empty.
    pub fn call_id(&self) -> Result<&str, Error> {
        match self.required(HeaderName::CallId)? {
            "" => Err(Error::Header(HeaderName::CallId)),
            id => Ok(id),
        }
    }

    /// CSeq.
    ///
    /// # Errors
    /// Missing or malformed.
    pub fn cseq(&self) -> Result<CSeq, Error> {
        CSeq::parse(self.required(HeaderName::CSeq)?).ok_or(Error::Header(HeaderName::CSeq))
    }

    /// Every Contact; none for `Contact: *`, see [`Headers::contact_star`].
    ///
    /// # Errors
    /// One is malformed.
    pub fn contacts(&self) -> Result<Vec<NameAddr>, Error> {
        if self.contact_star() {
            return Ok(Vec::new());
        }
        self.parsed_list(HeaderName::Contact, NameAddr::parse)
    }

    /// Whether the only Contact is `*`: all bindings, to be removed (RFC 3261 §10.2.2).
    pub fn contact_star(&self) -> bool {
        let mut all = self.list(&HeaderName::Contact);
        all.next() == Some("*") && all.next().is_none()
    }

    /// Every Route in order.
    ///
    /// # Errors
    /// One is malformed.
    pub fn routes(&self) -> Result<Vec<NameAddr>, Error> {
        self.parsed_list(HeaderName::Route, NameAddr::parse)
    }

    /// Every Record-Route in order.
    ///
    /// # Errors
    /// One is malformed.
    pub fn record_routes(&self) -> Result<Vec<NameAddr>, Error> {
        self.parsed_list(HeaderName::RecordRoute, NameAddr::parse)
    }

    /// Max-Forwards, when present.
    ///
    /// # Errors
    /// Not a number from 0 to 255.
    pub fn max_forwards(&self) -> Result<Option<u8>, Error> {
        self.get(&HeaderName::MaxForwards)
            .map(|v| number(v).ok_or(Error::Header(HeaderName::MaxForwards)))
            .transpose()
    }

    /// Expires in seconds; `None` when absent or malformed, which counts as absent (RFC 3261 §20.19). Numbers
    /// past 2^32 - 1 are cut to that.
    pub fn expires(&self) -> Option<u32> {
        seconds(self.get(&HeaderName::Expires)?)
    }

    /// Min-Expires in seconds, when present and readable.
    pub fn min_expires(&self) -> Option<u32> {
        seconds(self.get(&HeaderName::MinExpires)?)
    }

    /// Content-Length in bytes, when present.
    ///
    /// # Errors
    /// Malformed, or repeated with different values.
    pub fn content_length(&self) -> Result<Option<usize>, Error> {
        let mut found = None;
        for value in self.get_all(&HeaderName::ContentLength) {
            let n: usize = number(value).ok_or(Error::Header(HeaderName::ContentLength))?;
            if found.is_some_and(|f| f != n) {
                return Err(Error::Repeated(HeaderName::ContentLength));
            }
            found = Some(n);
        }
        Ok(found)
    }

    /// Content-Type; `None` when absent or malformed.
    pub fn content_type(&self) -> Option<MediaType> {
        MediaType::parse(self.get(&HeaderName::ContentType)?)
    }

    /// The option tags of Require.
    pub fn require(&self) -> impl Iterator<Item = &str> {
        self.list(&HeaderName::Require)
    }

    /// The option tags of Supported.
    pub fn supported(&self) -> impl Iterator<Item = &str> {
        self.list(&HeaderName::Supported)
    }

    /// Retry-After, in seconds.
    pub fn retry_after(&self) -> Option<u32> {
        self.get(&HeaderName::RetryAfter).and_then(seconds)
    }

    /// The Q.850 cause in Reason (RFC 3326).
    pub fn q850(&self) -> Option<u8> {
        let reasons = self.list(&HeaderName::Reason);
        let mut q850 = reasons.filter(|r| r.trim_start().to_ascii_uppercase().starts_with("Q.850"));
        let cause = q850.find_map(|r| {
            r.split(';').find_map(|p| {
                let (name, value) = p.split_once('=')?;
                name.trim().eq_ignore_ascii_case("cause").then_some(value)
            })
        });
        cause?.trim().parse().ok()
    }

    /// The methods of Allow; those that are no tokens are left out.
    pub fn allow(&self) -> impl Iterator<Item = Method> {
        self.list(&HeaderName::Allow).filter_map(|m| m.parse().ok())
    }
}

/// Delta-seconds, cut to 2^32 - 1.
pub(crate) fn seconds(s: &str) -> Option<u32> {
    // Parameters or comments may follow, as in Retry-After.
    let digits = s.split([';', '(', ' ', '\t']).next()?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u32::MAX))
}
