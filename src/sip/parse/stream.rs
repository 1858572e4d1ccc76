//! Messages on a stream transport (RFC 3261 §18.3, RFC 5626 §3.5.1).

use super::head::{Head, head_end_from};
use crate::error::{Error, ParseError};
use crate::msg::Message;

/// An idle connection keeps no more memory than this, in bytes.
const IDLE_CAPACITY: usize = 8 * 1024;

/// What a stream delivers.
#[derive(Clone, PartialEq, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "moved once from the parser to its handler"
)]
pub enum Frame {
    /// A message.
    Message(Message),
    /// Two line breaks: answer with [`StreamParser::PONG`].
    Ping,
    /// One line break: the answer to a ping, or a stray one; also the first half of a ping.
    Pong,
}

/// Cuts a byte stream into messages by Content-Length. Holds at most one message's limit plus one push.
#[derive(Debug)]
pub struct StreamParser {
    buffer: Vec<u8>,
    /// Bytes at the front already handed out.
    used: usize,
    /// Where the search for the end of the head goes on, from `used`.
    searched: usize,
    /// Bytes of the message at the front, once its head was read; 0 before.
    need: usize,
    /// A line break was just reported; a second one makes a ping.
    broke: bool,
    /// Framing is lost.
    dead: bool,
    max: usize,
}

impl StreamParser {
    /// The keep-alive request.
    pub const PING: &'static [u8] = b"\r\n\r\n";
    /// The keep-alive answer.
    pub const PONG: &'static [u8] = b"\r\n";

    /// A parser for messages of at most `max` bytes, head and body together.
    pub const fn new(max: usize) -> StreamParser {
        StreamParser {
            buffer: Vec::new(),
            used: 0,
            searched: 0,
            need: 0,
            broke: false,
            dead: false,
            max,
        }
    }

    /// Takes bytes from the connection. Call [`StreamParser::next`] until it yields nothing before the next
    /// push: the memory held is then at most the limit plus one push. After a fatal error bytes are dropped.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.dead {
            return;
        }
        if self.used > 0 {
            self.buffer.drain(..self.used);
            self.used = 0;
            if self.buffer.is_empty() && self.buffer.capacity() > IDLE_CAPACITY {
                self.buffer = Vec::new();
            }
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether a message has begun and is not complete.
    pub const fn is_mid_message(&self) -> bool {
        self.used < self.buffer.len()
    }

    /// The next frame; `None` when more bytes are needed.
    ///
    /// # Errors
    /// The message was not acceptable. After one with [`ParseError::fatal`] the stream has no further frames.
    #[allow(clippy::should_implement_trait, reason = "fallible, and ends only for now")]
    pub fn next(&mut self) -> Result<Option<Frame>, ParseError> {
        if self.dead {
            return Ok(None);
        }
        let rest = self.buffer.get(self.used..).unwrap_or_default();
        if rest.len() < self.need {
            // The head need not be read again for each piece of the body.
            return Ok(None);
        }
        let broken = match rest {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', ..] => 2,
            [b'\n', ..] => 1,
            _ => 0,
        };
        if broken > 0 {
            self.used += broken;
            self.searched = 0;
            self.broke = !self.broke;
            return Ok(Some(if self.broke { Frame::Pong } else { Frame::Ping }));
        }
        self.broke = false;

        let Some((end, body_at)) = head_end_from(rest, self.searched) else {
            if rest.len() > self.max {
                return Err(self.lose(Error::TooLarge(self.max)));
            }
            // The empty line may be split: its first LF is at most two bytes back.
            self.searched = rest.len().saturating_sub(3);
            return Ok(None);
        };
        let head = Head::parse(rest.get(..end).unwrap_or_default());
        let length = match head.content_length() {
            Ok(Some(n)) => n,
            Ok(None) => return Err(self.lose_head(head, Error::NoLength)),
            Err(error) => return Err(self.lose_head(head, error)),
        };
        let total = body_at.saturating_add(length);
        if total > self.max {
            return Err(self.lose_head(head, Error::TooLarge(self.max)));
        }
        let Some(body) = rest.get(body_at..total) else {
            self.searched = end;
            self.need = total;
            return Ok(None);
        };
        let result = head.finish(body);
        self.used += total;
        self.searched = 0;
        self.need = 0;
        result.map(|m| Some(Frame::Message(m)))
    }

    fn lose(&mut self, error: Error) -> ParseError {
        let rest = self.buffer.get(self.used..).unwrap_or_default();
        let head = Head::parse(rest.get(..rest.len().min(self.max)).unwrap_or_default());
        self.lose_head(head, error)
    }

    fn lose_head(&mut self, head: Head, error: Error) -> ParseError {
        self.dead = true;
        self.buffer = Vec::new();
        self.used = 0;
        ParseError {
            fatal: true,
            ..head.fail(error)
        }
    }
}
