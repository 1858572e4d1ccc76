//! From bytes to messages (RFC 3261 §7, §18, §25).

mod check;
mod head;
mod scan;
mod stream;

pub(crate) use scan::{
    find_outside, is_token, is_token_byte, number, pieces_outside, quoted, split_outside, trim, unquote,
    write_quoted,
};
pub use stream::{Frame, StreamParser};

use crate::error::{Error, ParseError};
use crate::msg::Message;
use head::{Head, head_end, skip_line_breaks};

/// The most header fields a message may have.
const MAX_FIELDS: usize = 256;
/// The longest Request-URI, in bytes.
const MAX_URI: usize = 8 * 1024;

/// Reads the one message of a datagram. Empty lines before it are skipped, bytes behind the body are dropped;
/// without Content-Length the body runs to the end (RFC 3261 §18.3).
///
/// # Errors
/// The fault, with the answer when one can be made. A datagram of line breaks alone is
/// [`Error::Truncated`].
pub fn parse_datagram(datagram: &[u8]) -> Result<Message, ParseError> {
    let datagram = skip_line_breaks(datagram);
    let (end, body_at) = head_end(datagram).unwrap_or((datagram.len(), usize::MAX));
    let head = Head::parse(datagram.get(..end).unwrap_or_default());
    let body = match datagram.get(body_at..) {
        Some(body) => body,
        // Some senders forget the empty line when no body follows (two messages of RFC 5118 among them). With
        // a Content-Length of 0 on a whole line nothing can be missing.
        None if datagram.ends_with(b"\n") && head.content_length() == Ok(Some(0)) => &[],
        None => return Err(head.fail(Error::Truncated)),
    };
    let body = match head.content_length() {
        Ok(None) => body,
        Ok(Some(want)) => match body.get(..want) {
            Some(body) => body,
            None => {
                let got = body.len();
                return Err(head.fail(Error::BodyShort { want, got }));
            }
        },
        Err(error) => return Err(head.fail(error)),
    };
    head.finish(body)
}

#[cfg(test)]
mod mutation;
#[cfg(test)]
#[cfg(test)]
mod tests;
#[cfg(test)]
mod torture;
