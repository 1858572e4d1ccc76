//! From chunks to messages.

use std::ops::Range;

use super::{DEFAULT_CHUNK_SIZE, EXTENDED, Header};
use crate::error::Error;
use crate::limits::Limits;
use crate::message::kind;

/// Puts messages together from a byte stream in which chunks of many chunk streams are interleaved.
///
/// It holds no input: the caller keeps the bytes and takes away what [`Step`] says was used. A message that
/// lies whole in the input is handed out as a range of it, without copy or allocation; only split ones are
/// gathered, in one buffer per chunk stream.
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    chunk_size: u32,
    streams: Vec<Stream>,
    /// Bytes gathered in all unfinished messages.
    partial: usize,
    /// A chunk whose payload has only partly arrived: its stream's index and the bytes to come.
    open: Option<(usize, usize)>,
    /// The buffer handed out by the last step.
    lent: Option<usize>,
}

/// What one step of reading found.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// More input is needed; nothing was used.
    Incomplete,
    /// So many bytes were used; no message is complete yet.
    Used(usize),
    /// So many bytes were used and a message is complete.
    Message {
        /// Bytes used.
        used: usize,
        /// Its header.
        header: Header,
        /// Where its payload is.
        payload: Payload,
    },
}

/// Where the payload of a message is; good until the next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// In the input given to the step.
    Input(Range<usize>),
    /// In the reader's buffer of this number; see [`Reader::gathered`].
    Gathered(usize),
}

#[derive(Debug, Default)]
struct Stream {
    csid: u32,
    header: Header,
    /// What a type 3 chunk that begins a message adds to the time.
    delta: u32,
    /// The 32-bit field of the last header, when it had one.
    extended: Option<u32>,
    /// In the middle of a message.
    unfinished: bool,
    data: Vec<u8>,
}

/// A parsed chunk header.
struct Parsed {
    index: usize,
    header: Header,
    delta: u32,
    extended: Option<u32>,
    len: usize,
}

/// A chunk's payload up to this length is awaited whole, so that it can be handed out without a copy.
const WHOLE: usize = 4096;
/// A buffer of a finished message larger than this is given back.
const KEEP: usize = 16 << 10;

impl Reader {
    /// A reader at the start of a chunk stream.
    pub fn new(limits: Limits) -> Reader {
        Reader {
            limits,
            chunk_size: DEFAULT_CHUNK_SIZE,
            streams: Vec::new(),
            partial: 0,
            open: None,
            lent: None,
        }
    }

    /// The peer's chunk size in bytes.
    pub fn chunk_size(&self) -> u32 {
        self.chunk_size
    }

    /// The bytes of a gathered message.
    pub fn gathered(&self, index: usize) -> &[u8] {
        self.streams.get(index).map_or(&[], |s| s.data.as_slice())
    }

    /// Reads one chunk, or part of one, from the start of `input`. Set Chunk Size and Abort take effect here
    /// and are handed out like any message.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, Error> {
        if let Some(lent) = self.lent.take().and_then(|i| self.streams.get_mut(i))
            && lent.data.capacity() > KEEP
        {
            lent.data = Vec::new();
        }
        if let Some((index, left)) = self.open {
            return self.gather(input, 0, index, left);
        }
        let Some(parsed) = self.parse(input)? else {
            return Ok(Step::Incomplete);
        };
        let chunk_size = self.chunk_size as usize;
        let Some(stream) = self.streams.get_mut(parsed.index) else {
            return Ok(Step::Incomplete);
        };
        let begins = !stream.unfinished;
        if begins {
            let limit = match parsed.header.kind {
                kind::VIDEO | kind::AGGREGATE => self.limits.video_message,
                _ => self.limits.message,
            };
            if parsed.header.len > limit {
                return Err(Error::MessageTooLarge {
                    kind: parsed.header.kind,
                    len: parsed.header.len,
                    limit,
                });
            }
        }
        let held = if begins { 0 } else { stream.data.len() };
        let chunk = (parsed.header.len - held).min(chunk_size);
        let available = input.len() - parsed.len;
        if available < chunk && chunk <= WHOLE {
            return Ok(Step::Incomplete);
        }
        stream.header = parsed.header;
        stream.delta = parsed.delta;
        stream.extended = parsed.extended;
        if begins {
            stream.data.clear();
        }
        if begins && chunk == parsed.header.len && available >= chunk {
            let range = parsed.len..parsed.len + chunk;
            self.control(parsed.header, input.get(range.clone()).unwrap_or(&[]))?;
            return Ok(Step::Message {
                used: range.end,
                header: parsed.header,
                payload: Payload::Input(range),
            });
        }
        stream.unfinished = true;
        self.gather(input, parsed.len, parsed.index, chunk)
    }

    /// Takes what is there of the `left` bytes to come of a chunk of stream `index`.
    fn gather(&mut self, input: &[u8], at: usize, index: usize, left: usize) -> Result<Step, Error> {
        let body = input.get(at..).unwrap_or(&[]);
        let now = body.get(..left).unwrap_or(body);
        if now.is_empty() && at == 0 {
            return Ok(Step::Incomplete);
        }
        if self.partial + now.len() > self.limits.partial {
            return Err(Error::TooMuchPartial {
                limit: self.limits.partial,
            });
        }
        let Some(stream) = self.streams.get_mut(index) else {
            return Ok(Step::Incomplete);
        };
        stream.data.extend_from_slice(now);
        self.partial += now.len();
        self.open = (now.len() < left).then_some((index, left - now.len()));
        let used = at + now.len();
        if stream.data.len() < stream.header.len {
            return Ok(Step::Used(used));
        }
        stream.unfinished = false;
        self.partial -= stream.data.len();
        let header = stream.header;
        if matches!(header.kind, kind::SET_CHUNK_SIZE | kind::ABORT) {
            let body = stream.data.clone();
            self.control(header, &body)?;
        }
        self.lent = Some(index);
        Ok(Step::Message {
            used,
            header,
            payload: Payload::Gathered(index),
        })
    }

    /// Set Chunk Size and Abort (§5.4.1, §5.4.2).
    fn control(&mut self, header: Header, body: &[u8]) -> Result<(), Error> {
        if !matches!(header.kind, kind::SET_CHUNK_SIZE | kind::ABORT) {
            return Ok(());
        }
        let word = body.first_chunk::<4>().ok_or(Error::Truncated {
            kind: header.kind,
            len: body.len(),
        })?;
        let value = u32::from_be_bytes(*word);
        if header.kind == kind::SET_CHUNK_SIZE {
            if value == 0 || value > 0x7FFF_FFFF {
                return Err(Error::ChunkSize { size: value });
            }
            self.chunk_size = value;
        } else if let Some(stream) = self.streams.iter_mut().find(|s| s.csid == value && s.unfinished) {
            stream.unfinished = false;
            self.partial -= stream.data.len();
        }
        Ok(())
    }

    /// Reads a chunk header; `None` when it is incomplete. Nothing is changed but that a new chunk stream gets
    /// its place.
    fn parse(&mut self, input: &[u8]) -> Result<Option<Parsed>, Error> {
        let mut at = Cursor(input);
        let Some([basic]) = at.take() else { return Ok(None) };
        let format = basic >> 6;
        let csid = match basic & 0x3F {
            0 => {
                let Some([b]) = at.take() else { return Ok(None) };
                64 + u32::from(b)
            }
            1 => {
                // Little endian (errata §4.1).
                let Some(b) = at.take() else { return Ok(None) };
                64 + u32::from(u16::from_le_bytes(b))
            }
            n => u32::from(n),
        };
        let known = self.streams.iter().position(|s| s.csid == csid);
        let fresh = Stream::default();
        let last = known.and_then(|i| self.streams.get(i)).unwrap_or(&fresh);
        if known.is_none() {
            // A type 1 header on a fresh chunk stream is how librtmp begins its pings.
            if format > 1 {
                return Err(Error::HeaderMissing { csid });
            }
            if self.streams.len() >= self.limits.chunk_streams {
                return Err(Error::TooManyChunkStreams {
                    limit: self.limits.chunk_streams,
                });
            }
        }
        if last.unfinished && format != 3 {
            return Err(Error::MessageInterrupted { csid });
        }
        let mut header = last.header;
        let mut delta = last.delta;
        let mut extended = last.extended;
        if format < 3 {
            let Some(time) = at.take() else { return Ok(None) };
            let mut time = u24(time);
            if format < 2 {
                let (Some(len), Some([kind])) = (at.take(), at.take()) else {
                    return Ok(None);
                };
                header.len = u24(len) as usize;
                header.kind = kind;
            }
            if format == 0 {
                let Some(stream) = at.take() else { return Ok(None) };
                header.stream = u32::from_le_bytes(stream);
            }
            extended = None;
            if time == EXTENDED {
                let Some(full) = at.take() else { return Ok(None) };
                time = u32::from_be_bytes(full);
                extended = Some(time);
            }
            header.timestamp = if format == 0 {
                time
            } else {
                header.timestamp.wrapping_add(time)
            };
            delta = time;
        } else {
            if let Some(pending) = extended {
                // The field is repeated by the rule (errata §5.1) and left out by some encoders: it is there
                // when it has the value that is due.
                let due = pending.to_be_bytes();
                let there = at.0.get(..4).unwrap_or(at.0);
                if due.starts_with(there) {
                    let Some(_) = at.take::<4>() else { return Ok(None) };
                }
            }
            if !last.unfinished {
                header.timestamp = header.timestamp.wrapping_add(delta);
            }
        }
        let index = match known {
            Some(i) => i,
            None => {
                self.streams.push(Stream {
                    csid,
                    ..Stream::default()
                });
                self.streams.len() - 1
            }
        };
        Ok(Some(Parsed {
            index,
            header,
            delta,
            extended,
            len: input.len() - at.0.len(),
        }))
    }
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }
}

fn u24([a, b, c]: [u8; 3]) -> u32 {
    u32::from_be_bytes([0, a, b, c])
}
