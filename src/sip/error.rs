//! What can be wrong with a message, and what to answer.

use crate::header::{HeaderName, Headers};
use crate::msg::{Method, Response, reason_phrase};

/// What is wrong with a received message or a part of it. Every fault but the limits is the sender's.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The header section does not end with an empty line.
    #[error("the header section has no end")]
    Truncated,
    /// The first line is neither a request line nor a status line.
    #[error("the first line is not a request or status line")]
    StartLine,
    /// The version is not SIP/2.0; the value is what stood there.
    #[error("version {0} is not SIP/2.0")]
    Version(String),
    /// The status code of a response is not a number from 100 to 699.
    #[error("the status code is out of range")]
    Status,
    /// A URI could not be read.
    #[error("a URI is malformed: {0}")]
    Uri(&'static str),
    /// A header field could not be read.
    #[error("the {0} header field is malformed")]
    Header(HeaderName),
    /// A required header field is missing.
    #[error("the {0} header field is missing")]
    Missing(HeaderName),
    /// A header field that may stand once stands more often.
    #[error("the {0} header field is repeated")]
    Repeated(HeaderName),
    /// The method of CSeq is not that of the request line.
    #[error("CSeq names another method than the request line")]
    CSeqMethod,
    /// Fewer body bytes than Content-Length announces.
    #[error("Content-Length announces {want} bytes, {got} came")]
    BodyShort {
        /// Bytes announced.
        want: usize,
        /// Bytes present.
        got: usize,
    },
    /// A message on a stream without Content-Length (RFC 3261 §20.14).
    #[error("no Content-Length on a stream")]
    NoLength,

    /// DNS knows no address for a URI's host.
    #[error("no address was found")]
    Unlocated,
    /// A session description could not be read; the value says where and why.
    #[error("the session description is malformed: {0}")]
    Sdp(String),
    /// Offer and answer have no medium or format in common.
    #[error("no media format in common")]
    Incompatible,
    /// No challenge of a 401 or 407 can be answered: unknown scheme or algorithm, or another realm.
    #[error("no challenge can be answered")]
    AuthUnsupported,
    /// The server refused our credentials.
    #[error("the credentials were refused")]
    AuthRejected,

    /// Limit: the message is larger than allowed.
    #[error("the message is larger than {0} bytes")]
    TooLarge(usize),
    /// Limit: the Request-URI is longer than allowed.
    #[error("the Request-URI is longer than {0} bytes")]
    UriTooLong(usize),
    /// Limit: more media in a session description than allowed.
    #[error("more than {0} media")]
    TooManyMedia(usize),
    /// Limit: more header fields than allowed.
    #[error("more than {0} header fields")]
    TooManyHeaders(usize),
}

impl Error {
    /// The status with which a request with this fault is answered (RFC 3261 §21.4, §21.5).
    pub const fn status(&self) -> u16 {
        match self {
            Error::Version(_) => 505,
            Error::TooLarge(_) => 513,
            Error::UriTooLong(_) => 414,
            Error::Incompatible => 488,
            _ => 400,
        }
    }
}

/// A message that could not be accepted: the fault and, when enough was readable, the answer.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[error("{error}")]
pub struct ParseError {
    /// What is wrong.
    #[source]
    pub error: Error,
    /// The request's method, when the message was a request whose first word could be read.
    pub method: Option<Method>,
    /// Header fields that could be read before the fault; empty when none.
    pub headers: Headers,
    /// On a stream: framing is lost and the connection must be closed after the reply.
    pub fatal: bool,
}

impl ParseError {
    /// The status to answer with.
    pub const fn status(&self) -> u16 {
        match (&self.error, &self.method) {
            // What an unknown method demands of CSeq is unknown too (RFC 4475 §3.1.2.18).
            (Error::CSeqMethod, Some(Method::Other(_))) => 501,
            (error, _) => error.status(),
        }
    }

    /// The response that tells the sender, to be sent as the topmost Via says. `None` when the message was a
    /// response, an ACK or had no readable Via: such are dropped (RFC 3261 §8.2.6, §17.1.1.3, §18.1.2).
    pub fn reply(&self) -> Option<Response> {
        match self.method {
            None | Some(Method::Ack) => return None,
            Some(_) => {}
        }
        self.headers.via_top().ok()?;
        let status = self.status();
        let mut headers = Headers::new();
        headers.copy_from(&self.headers, &HeaderName::Via);
        for name in [
            HeaderName::From,
            HeaderName::To,
            HeaderName::CallId,
            HeaderName::CSeq,
        ] {
            headers.copy_first_from(&self.headers, &name);
        }
        Some(Response {
            status,
            reason: reason_phrase(status).to_owned(),
            headers,
            body: Vec::new(),
        })
    }
}
