//! The start line and the header fields.

use super::{MAX_FIELDS, MAX_URI, check};
use crate::error::{Error, ParseError};
use crate::header::{HeaderName, Headers};
use crate::msg::{Message, Method, Request, Response};
use crate::uri::Uri;

/// What was read of a message before its body.
pub(super) struct Head {
    start: Result<Start, Error>,
    /// The request's method, also when the rest of the line is at fault.
    method: Option<Method>,
    headers: Headers,
    /// There are too many header fields.
    fault: Option<Error>,
}

enum Start {
    Request(Method, Uri),
    Response(u16, String),
}

/// Skips CR and LF before a message (RFC 3261 §7.5).
pub(super) fn skip_line_breaks(bytes: &[u8]) -> &[u8] {
    let at = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n'));
    at.and_then(|at| bytes.get(at..)).unwrap_or_default()
}

/// Where the header section ends (its last line break left out) and where the body begins. Lines end with CRLF
/// or LF alone.
pub(super) fn head_end(bytes: &[u8]) -> Option<(usize, usize)> {
    head_end_from(bytes, 0)
}

/// As [`head_end`], looking at line breaks from `from` on only.
pub(super) fn head_end_from(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut at = from;
    loop {
        at += bytes.get(at..)?.iter().position(|&b| b == b'\n')?;
        match bytes.get(at + 1..)? {
            [b'\n', ..] => return Some((at, at + 2)),
            [b'\r', b'\n', ..] => return Some((at, at + 3)),
            _ => at += 1,
        }
    }
}

impl Head {
    /// Reads as much as can be read; faults are kept for [`Head::finish`].
    pub(super) fn parse(bytes: &[u8]) -> Head {
        let mut lines = Lines(bytes);
        let (start, method) = start_line(lines.next().unwrap_or_default());
        let mut head = Head {
            start,
            method,
            headers: Headers::with_capacity(16),
            fault: None,
        };
        let mut unfolded = Vec::new();
        while let Some(line) = lines.next() {
            if head.headers.len() >= MAX_FIELDS {
                head.fault = Some(Error::TooManyHeaders(MAX_FIELDS));
                break;
            }
            field(&mut head.headers, lines.unfold(line, &mut unfolded));
        }
        head
    }

    pub(super) fn content_length(&self) -> Result<Option<usize>, Error> {
        self.headers.content_length()
    }

    /// The error for a fault found outside the head; a fault of the start line goes first.
    pub(super) fn fail(self, error: Error) -> ParseError {
        let error = match self.start {
            Err(first @ Error::Version(_)) => first,
            _ => error,
        };
        ParseError {
            error,
            method: self.method,
            headers: self.headers,
            fatal: false,
        }
    }

    /// The message, when everything that must be right is.
    pub(super) fn finish(self, body: &[u8]) -> Result<Message, ParseError> {
        let fault = match (&self.start, &self.fault) {
            (Err(error), _) | (Ok(_), Some(error)) => Err(error.clone()),
            (Ok(_), None) => check::headers(self.method.as_ref(), &self.headers),
        };
        match (fault, self.start) {
            (Ok(()), Ok(Start::Request(method, uri))) => Ok(Message::Request(Request {
                method,
                uri,
                headers: self.headers,
                body: body.to_vec(),
            })),
            (Ok(()), Ok(Start::Response(status, reason))) => Ok(Message::Response(Response {
                status,
                reason,
                headers: self.headers,
                body: body.to_vec(),
            })),
            (Err(error), _) | (Ok(()), Err(error)) => Err(ParseError {
                error,
                method: self.method,
                headers: self.headers,
                fatal: false,
            }),
        }
    }
}

/// Lines without their ends.
struct Lines<'a>(&'a [u8]);

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let (line, rest) = match self.0.iter().position(|&b| b == b'\n') {
            Some(at) => self.0.split_at(at),
            None => (self.0, &[][..]),
        };
        self.0 = rest.get(1..).unwrap_or_default();
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// Joins the lines that continue `line`: a line that begins with a space or tab belongs to the one before.
    fn unfold<'b>(&mut self, line: &'a [u8], joined: &'b mut Vec<u8>) -> &'b [u8]
    where
        'a: 'b,
    {
        if !matches!(self.0.first(), Some(b' ' | b'\t')) {
            return line;
        }
        joined.clear();
        joined.extend_from_slice(line);
        while matches!(self.0.first(), Some(b' ' | b'\t')) {
            let Some(more) = self.next() else { break };
            joined.push(b' ');
            joined.extend_from_slice(more.trim_ascii());
        }
        joined
    }
}

fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(s) => s.to_owned(),
        Err(_) => bytes.iter().map(|&b| char::from(b)).collect(),
    }
}

fn start_line(line: &[u8]) -> (Result<Start, Error>, Option<Method>) {
    let line = line.trim_ascii_end();
    let line = text(line);
    if line.get(..4).is_some_and(|s| s.eq_ignore_ascii_case("SIP/")) {
        return (status_line(&line), None);
    }
    let Some((method, rest)) = line.split_once(' ') else {
        return (Err(Error::StartLine), None);
    };
    let method: Method = match method.parse() {
        Ok(m) => m,
        Err(e) => return (Err(e), None),
    };
    let request = request_line(rest).map(|uri| Start::Request(method.clone(), uri));
    (request, Some(method))
}

/// Reads `URI SP SIP/2.0`.
fn request_line(rest: &str) -> Result<Uri, Error> {
    let (uri, version) = rest.rsplit_once(' ').ok_or(Error::StartLine)?;
    if !version.eq_ignore_ascii_case("SIP/2.0") {
        let looks_right = version.get(..4).is_some_and(|s| s.eq_ignore_ascii_case("SIP/"));
        return Err(if looks_right {
            Error::Version(version.to_owned())
        } else {
            Error::StartLine
        });
    }
    if uri.len() > MAX_URI {
        return Err(Error::UriTooLong(MAX_URI));
    }
    let uri = Uri::parse(uri)?;
    if uri.headers().is_some() {
        // They could smuggle header fields past whoever reads the URI (RFC 4475 §3.1.2.11).
        return Err(Error::Uri("headers in a Request-URI"));
    }
    Ok(uri)
}

fn status_line(line: &str) -> Result<Start, Error> {
    let (version, rest) = line.split_once(' ').ok_or(Error::StartLine)?;
    if !version.eq_ignore_ascii_case("SIP/2.0") {
        return Err(Error::Version(version.to_owned()));
    }
    let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let status = match status.len() {
        3 => super::number(status).filter(|s| (100..700).contains(s)),
        _ => None,
    };
    Ok(Start::Response(status.ok_or(Error::Status)?, reason.to_owned()))
}

/// Adds a header field. A line that is none is skipped, as malformed fields are that nobody needs (RFC 3261
/// §8.2.2); if it was one that is needed, it will be missed.
fn field(headers: &mut Headers, line: &[u8]) {
    let Some(colon) = line.iter().position(|&b| b == b':') else {
        return;
    };
    let (name, value) = line.split_at(colon);
    let Ok(name) = std::str::from_utf8(name.trim_ascii_end()) else {
        return;
    };
    if super::is_token(name) {
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        headers.push_raw(HeaderName::new(name), value);
    }
}
