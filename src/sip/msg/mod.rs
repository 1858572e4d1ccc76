//! Requests and responses (RFC 3261 §7).

mod method;
mod status;

pub use method::Method;
pub use status::reason_phrase;

use std::io::Write as _;

use crate::header::{HeaderName, Headers};
use crate::uri::Uri;

/// A request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The Request-URI.
    pub uri: Uri,
    /// The header fields in order; Content-Length is written by [`Request::to_bytes`].
    pub headers: Headers,
    /// The body; empty when none.
    pub body: Vec<u8>,
}

/// A response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// The status code, 100 to 699.
    pub status: u16,
    /// The reason phrase; may be empty.
    pub reason: String,
    /// The header fields in order; Content-Length is written by [`Response::to_bytes`].
    pub headers: Headers,
    /// The body; empty when none.
    pub body: Vec<u8>,
}

/// A request or a response.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "moved once from the parser to its handler"
)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

impl Request {
    /// A request without header fields or body.
    pub fn new(method: Method, uri: Uri) -> Request {
        Request {
            method,
            uri,
            headers: Headers::new(),
            body: Vec::new(),
        }
    }

    /// The bytes on the wire. Content-Length is made to fit the body and stands last.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + self.body.len());
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{} {} SIP/2.0\r\n", self.method, self.uri);
        write_rest(&mut out, &self.headers, &self.body);
        out
    }
}

impl Response {
    /// The response to a request: copies Via, From, To, Call-ID and CSeq, for 100 also Timestamp, for 101 to
    /// 299 also Record-Route (RFC 3261 §8.2.6.2, §12.1.1). The To tag is the caller's to add. `reason`
    /// `None` gives the standard phrase.
    pub fn to_request(req: &Request, status: u16, reason: Option<&str>) -> Response {
        let mut headers = Headers::new();
        headers.copy_from(&req.headers, &HeaderName::Via);
        if (101..300).contains(&status) {
            headers.copy_from(&req.headers, &HeaderName::RecordRoute);
        }
        for name in [
            HeaderName::From,
            HeaderName::To,
            HeaderName::CallId,
            HeaderName::CSeq,
        ] {
            headers.copy_first_from(&req.headers, &name);
        }
        if status == 100 {
            headers.copy_first_from(&req.headers, &HeaderName::Timestamp);
        }
        Response {
            status,
            reason: reason.unwrap_or_else(|| reason_phrase(status)).to_owned(),
            headers,
            body: Vec::new(),
        }
    }

    /// 100 to 199.
    pub const fn is_provisional(&self) -> bool {
        self.status < 200
    }

    /// 200 to 299.
    pub const fn is_success(&self) -> bool {
        200 <= self.status && self.status < 300
    }

    /// The bytes on the wire. Content-Length is made to fit the body and stands last.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + self.body.len());
        let reason = self.reason.replace(|c: char| c.is_control(), " ");
        // Writing to a Vec cannot fail.
        let _ = write!(out, "SIP/2.0 {} {reason}\r\n", self.status);
        write_rest(&mut out, &self.headers, &self.body);
        out
    }
}

impl Message {
    /// The header fields.
    pub const fn headers(&self) -> &Headers {
        match self {
            Message::Request(m) => &m.headers,
            Message::Response(m) => &m.headers,
        }
    }

    /// The body; empty when none.
    pub fn body(&self) -> &[u8] {
        match self {
            Message::Request(m) => &m.body,
            Message::Response(m) => &m.body,
        }
    }

    /// The bytes on the wire. Content-Length is made to fit the body and stands last.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Message::Request(m) => m.to_bytes(),
            Message::Response(m) => m.to_bytes(),
        }
    }
}

fn write_rest(out: &mut Vec<u8>, headers: &Headers, body: &[u8]) {
    for (name, value) in headers.iter_raw() {
        if *name == HeaderName::ContentLength {
            continue;
        }
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    // Writing to a Vec cannot fail.
    let _ = write!(out, "Content-Length: {}\r\n\r\n", body.len());
    out.extend_from_slice(body);
}
