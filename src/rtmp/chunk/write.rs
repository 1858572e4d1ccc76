//! From messages to chunks.

use super::{DEFAULT_CHUNK_SIZE, EXTENDED, Header};

/// Cuts messages into chunks with the shortest header that does.
///
/// Each chunk stream remembers its last header, so what is written here must reach the peer, in this order.
#[derive(Debug)]
pub struct Writer {
    chunk_size: u32,
    streams: Vec<Stream>,
}

#[derive(Debug)]
struct Stream {
    csid: u32,
    last: Header,
    /// The delta a type 3 header repeats; none after a type 0 header, for peers differ there.
    delta: Option<u32>,
    extended: Option<u32>,
}

impl Default for Writer {
    fn default() -> Writer {
        Writer {
            chunk_size: DEFAULT_CHUNK_SIZE,
            streams: Vec::new(),
        }
    }
}

impl Writer {
    /// Sets the chunk size in bytes for what follows; the peer must have been told. 0 is taken as 1.
    pub fn set_chunk_size(&mut self, size: u32) {
        self.chunk_size = size.max(1);
    }

    /// The chunk size in bytes.
    pub fn chunk_size(&self) -> usize {
        self.chunk_size as usize
    }

    /// Appends a whole message. `csid` is 2 to 65,599; the payload must be `header.len` bytes long, at most
    /// 0xFFFFFF.
    pub fn message(&mut self, csid: u32, header: Header, payload: &[u8], out: &mut Vec<u8>) {
        let mut rest = payload;
        let mut first = true;
        while first || !rest.is_empty() {
            let (chunk, after) = rest.split_at(rest.len().min(self.chunk_size()));
            if first {
                self.begin(csid, header, out);
            } else {
                self.go_on(csid, out);
            }
            out.extend_from_slice(chunk);
            rest = after;
            first = false;
        }
    }

    /// Appends the header of a message's first chunk; the caller appends up to a chunk size of payload.
    pub fn begin(&mut self, csid: u32, header: Header, out: &mut Vec<u8>) {
        let known = self.streams.iter().position(|s| s.csid == csid);
        let index = known.unwrap_or_else(|| {
            self.streams.push(Stream {
                csid,
                last: Header::default(),
                delta: None,
                extended: None,
            });
            self.streams.len() - 1
        });
        let Some(s) = self.streams.get_mut(index) else {
            return;
        };
        let delta = header.timestamp.wrapping_sub(s.last.timestamp);
        let same = |a: &Header| a.kind == header.kind && a.len == header.len;
        let format = if known.is_none() || header.stream != s.last.stream || delta >= EXTENDED {
            0
        } else if !same(&s.last) {
            1
        } else if s.delta != Some(delta) {
            2
        } else {
            3
        };
        let time = if format == 0 { header.timestamp } else { delta };
        s.extended = (time >= EXTENDED).then_some(time);
        s.delta = (format != 0).then_some(delta);
        s.last = header;
        basic(format, csid, out);
        if format < 3 {
            put_u24(time.min(EXTENDED), out);
        }
        if format < 2 {
            put_u24(header.len as u32, out);
            out.push(header.kind);
        }
        if format == 0 {
            out.extend_from_slice(&header.stream.to_le_bytes());
        }
        if let Some(time) = s.extended {
            out.extend_from_slice(&time.to_be_bytes());
        }
    }

    /// Appends the header of a further chunk of the message begun last on `csid`.
    pub fn go_on(&mut self, csid: u32, out: &mut Vec<u8>) {
        basic(3, csid, out);
        let s = self.streams.iter().find(|s| s.csid == csid);
        if let Some(time) = s.and_then(|s| s.extended) {
            out.extend_from_slice(&time.to_be_bytes());
        }
    }
}

fn basic(format: u8, csid: u32, out: &mut Vec<u8>) {
    let format = format << 6;
    match csid {
        0..=63 => out.push(format | csid as u8),
        64..=319 => out.extend_from_slice(&[format, (csid - 64) as u8]),
        _ => {
            let [low, high] = ((csid - 64) as u16).to_le_bytes();
            out.extend_from_slice(&[format | 1, low, high]);
        }
    }
}

fn put_u24(n: u32, out: &mut Vec<u8>) {
    let [_, a, b, c] = n.to_be_bytes();
    out.extend_from_slice(&[a, b, c]);
}
