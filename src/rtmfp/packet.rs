//! Datagrams and packets (RFC 7016 §2.2): the scrambled session id, the packet header, and the chunks behind it.

use crate::vlu::Cursor;

/// Who sent a packet (RFC 7016 §2.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The session's initiator.
    Initiator,
    /// The session's responder.
    Responder,
    /// Anybody: a session is being opened.
    Startup,
}

/// The header of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Who sent it.
    pub mode: Mode,
    /// It holds real-time data.
    pub time_critical: bool,
    /// Its sender receives real-time data from others.
    pub time_critical_reverse: bool,
    /// The sender's clock in 4 ms.
    pub timestamp: Option<u16>,
    /// The receiver's clock, as its last timestamp and the time since then say.
    pub echo: Option<u16>,
}

const TIME_CRITICAL: u8 = 0x80;
const TIME_CRITICAL_REVERSE: u8 = 0x40;
const TIMESTAMP: u8 = 0x08;
const ECHO: u8 = 0x04;

impl Header {
    /// Of a packet that opens a session: a timestamp and no echo, since some peers know no other form.
    pub fn startup(timestamp: u16) -> Header {
        Header {
            mode: Mode::Startup,
            time_critical: false,
            time_critical_reverse: false,
            timestamp: Some(timestamp),
            echo: None,
        }
    }

    /// Reads the header of a plain packet; what is left are its chunks. `None` when it has the forbidden mode 0
    /// or is cut off.
    pub fn read<'a>(packet: &'a [u8]) -> Option<(Header, Chunks<'a>)> {
        let mut c = Cursor(packet);
        let flags = c.u8()?;
        let mode = match flags & 3 {
            1 => Mode::Initiator,
            2 => Mode::Responder,
            3 => Mode::Startup,
            _ => return None,
        };
        let timestamp = if flags & TIMESTAMP != 0 {
            Some(c.u16()?)
        } else {
            None
        };
        let echo = if flags & ECHO != 0 { Some(c.u16()?) } else { None };
        let header = Header {
            mode,
            time_critical: flags & TIME_CRITICAL != 0,
            time_critical_reverse: flags & TIME_CRITICAL_REVERSE != 0,
            timestamp,
            echo,
        };
        Some((header, Chunks(c)))
    }

    /// Appends the header.
    pub fn put(&self, out: &mut Vec<u8>) {
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        let mode = match self.mode {
            Mode::Initiator => 1,
            Mode::Responder => 2,
            Mode::Startup => 3,
        };
        out.push(
            mode | flag(self.time_critical, TIME_CRITICAL)
                | flag(self.time_critical_reverse, TIME_CRITICAL_REVERSE)
                | flag(self.timestamp.is_some(), TIMESTAMP)
                | flag(self.echo.is_some(), ECHO),
        );
        for field in [self.timestamp, self.echo].into_iter().flatten() {
            out.extend_from_slice(&field.to_be_bytes());
        }
    }
}

/// The chunks of a packet: type and payload. What does not hold a whole chunk is padding.
#[derive(Clone, Debug)]
pub struct Chunks<'a>(Cursor<'a>);

impl<'a> Iterator for Chunks<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let mut c = self.0;
        let kind = c.u8()?;
        let len = c.u16()?;
        let payload = c.take(usize::from(len))?;
        self.0 = c;
        Some((kind, payload))
    }
}

impl<'a> Chunks<'a> {
    /// What is left: after the last chunk, the padding.
    pub fn rest(&self) -> &'a [u8] {
        self.0.0
    }
}

/// The session id of a datagram and its encrypted packet; `None` when there is none.
pub fn split(datagram: &[u8]) -> Option<(u32, &[u8])> {
    let (word, packet) = datagram.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*word) ^ mask(packet), packet))
}

/// The scrambled form of a session id before an encrypted packet.
pub fn scramble(session: u32, packet: &[u8]) -> [u8; 4] {
    (session ^ mask(packet)).to_be_bytes()
}

/// The first two words of an encrypted packet combined, as if it went on in zeros.
fn mask(packet: &[u8]) -> u32 {
    let word = |at: usize| {
        let byte = |i: usize| packet.get(at + i).copied().unwrap_or(0);
        u32::from_be_bytes([byte(0), byte(1), byte(2), byte(3)])
    };
    word(0) ^ word(4)
}
