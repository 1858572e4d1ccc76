//! The receiving side of a chunk stream connection after its handshake: the read buffer, the chunk reader, and
//! aggregates taken apart.

use std::ops::Range;

use crate::chunk::{Header, Payload, Reader, Step};
use crate::error::Error;
use crate::limits::Limits;
use crate::message::{Aggregate, Message, kind};

/// Bytes in, messages out.
#[derive(Debug)]
pub(crate) struct Carrier {
    input: Vec<u8>,
    /// Bytes of `input` that are done with.
    used: usize,
    max_input: usize,
    reader: Reader,
    /// An aggregate being taken apart: its body, header, position, time of its first part.
    aggregate: Vec<u8>,
    parts: Option<(Header, usize, Option<u32>)>,
}

/// A message whose payload lies in the carrier until its next change.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    header: Header,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Input(Range<usize>),
    Gathered(usize),
    Aggregate(Range<usize>),
}

impl Carrier {
    pub(crate) fn new(limits: &Limits) -> Carrier {
        Carrier {
            input: Vec::new(),
            used: 0,
            max_input: limits.input,
            reader: Reader::new(limits.clone()),
            aggregate: Vec::new(),
            parts: None,
        }
    }

    /// Takes bytes of the wire.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.input.drain(..self.used);
        self.used = 0;
        if self.input.len() + bytes.len() > self.max_input {
            return Err(Error::InputOverflow {
                limit: self.max_input,
            });
        }
        self.input.extend_from_slice(bytes);
        Ok(())
    }

    /// The bytes not yet used; for the handshake.
    pub(crate) fn unread(&self) -> &[u8] {
        self.input.get(self.used..).unwrap_or(&[])
    }

    /// Marks bytes as used; for the handshake.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.used = (self.used + bytes).min(self.input.len());
    }

    /// The handshake is over: its room is given back.
    pub(crate) fn settle(&mut self) {
        self.input.drain(..self.used);
        self.used = 0;
        self.input.shrink_to_fit();
    }

    /// The next message, if one is complete.
    pub(crate) fn next(&mut self) -> Result<Option<Located>, Error> {
        loop {
            if let Some(part) = self.next_part() {
                return Ok(Some(part));
            }
            match self.reader.step(self.input.get(self.used..).unwrap_or(&[]))? {
                Step::Incomplete => return Ok(None),
                Step::Used(n) => self.used += n,
                Step::Message {
                    used,
                    header,
                    payload,
                } => {
                    let start = self.used;
                    self.used += used;
                    let place = match payload {
                        Payload::Input(range) => Place::Input(range.start + start..range.end + start),
                        Payload::Gathered(index) => Place::Gathered(index),
                    };
                    let found = Located { header, place };
                    if header.kind != kind::AGGREGATE {
                        return Ok(Some(found));
                    }
                    let mut body = std::mem::take(&mut self.aggregate);
                    body.clear();
                    body.extend_from_slice(self.message(&found).payload);
                    self.aggregate = body;
                    self.parts = Some((header, 0, None));
                }
            }
        }
    }

    /// The message with its payload.
    pub(crate) fn message(&self, found: &Located) -> Message<'_> {
        let payload = match &found.place {
            Place::Input(range) => self.input.get(range.clone()).unwrap_or(&[]),
            Place::Gathered(index) => self.reader.gathered(*index),
            Place::Aggregate(range) => self.aggregate.get(range.clone()).unwrap_or(&[]),
        };
        Message {
            kind: found.header.kind,
            stream: found.header.stream,
            timestamp: found.header.timestamp,
            payload,
        }
    }

    /// The next audio, video or data part of an aggregate; other kinds have no place in one.
    fn next_part(&mut self) -> Option<Located> {
        let (header, at, first) = self.parts?;
        let whole = Message {
            kind: header.kind,
            stream: header.stream,
            timestamp: header.timestamp,
            payload: &self.aggregate,
        };
        let mut parts = Aggregate::resume(&whole, at, first);
        let media = |kind| matches!(kind, kind::AUDIO | kind::VIDEO | kind::DATA | kind::DATA_AMF3);
        let Some(part) = parts.by_ref().find(|p| media(p.kind)) else {
            self.parts = None;
            self.aggregate = Vec::new();
            return None;
        };
        let (next, first) = parts.position();
        // A part is followed by its back pointer of four bytes.
        let end = next - 4;
        self.parts = Some((header, next, first));
        Some(Located {
            header: Header {
                kind: part.kind,
                stream: part.stream,
                timestamp: part.timestamp,
                len: part.payload.len(),
            },
            place: Place::Aggregate(end - part.payload.len()..end),
        })
    }
}
