//! RTMP messages, as they are above chunk streams and above RTMFP flows alike.

use std::borrow::Cow;

use crate::amf::{AmfError, Value};
use crate::amf0;

/// Message types (RTMP 1.0 §5.4, §6.2, §7.1).
pub mod kind {
    /// Set Chunk Size.
    pub const SET_CHUNK_SIZE: u8 = 1;
    /// Abort.
    pub const ABORT: u8 = 2;
    /// Acknowledgement.
    pub const ACKNOWLEDGEMENT: u8 = 3;
    /// User control.
    pub const USER_CONTROL: u8 = 4;
    /// Window Acknowledgement Size.
    pub const WINDOW_ACK_SIZE: u8 = 5;
    /// Set Peer Bandwidth.
    pub const SET_PEER_BANDWIDTH: u8 = 6;
    /// Audio.
    pub const AUDIO: u8 = 8;
    /// Video.
    pub const VIDEO: u8 = 9;
    /// Data, AMF3-capable.
    pub const DATA_AMF3: u8 = 15;
    /// Shared object, AMF3-capable.
    pub const SHARED_OBJECT_AMF3: u8 = 16;
    /// Command, AMF3-capable.
    pub const COMMAND_AMF3: u8 = 17;
    /// Data, AMF0.
    pub const DATA: u8 = 18;
    /// Shared object, AMF0.
    pub const SHARED_OBJECT: u8 = 19;
    /// Command, AMF0.
    pub const COMMAND: u8 = 20;
    /// Aggregate.
    pub const AGGREGATE: u8 = 22;
}

/// A message as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Type, one of [`kind`].
    pub kind: u8,
    /// Message stream; 0 is the connection.
    pub stream: u32,
    /// Time in ms modulo 2^32.
    pub timestamp: u32,
    /// Body.
    pub payload: &'a [u8],
}

/// A decoded command (types 17 and 20).
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Command {
    /// Name; empty when the body begins with something else than a string.
    pub name: String,
    /// Transaction id; 0 when missing.
    pub txn: f64,
    /// Command object; null when missing.
    pub object: Value,
    /// Arguments.
    pub args: Vec<Value>,
}

impl Command {
    /// Decodes a body of type 20, or of type 17 (whose leading format byte is taken off). Missing values are
    /// tolerated: real clients send `publish` without a type and commands with a name alone.
    pub fn decode(message: &Message<'_>, max_values: usize) -> Result<Command, AmfError> {
        let mut values = amf0::Decoder::new(amf_body(message), max_values)
            .values()?
            .into_iter();
        let name = match values.next() {
            Some(Value::String(s)) => s,
            _ => String::new(),
        };
        let txn = values.next().and_then(|v| v.as_f64()).unwrap_or(0.0);
        Ok(Command {
            name,
            txn,
            object: values.next().unwrap_or_default(),
            args: values.collect(),
        })
    }
}

/// The AMF0 values of a data, command or shared-object body: types 15, 16 and 17 begin with a format byte of
/// value 0, which some senders leave out.
pub(crate) fn amf_body<'a>(message: &Message<'a>) -> &'a [u8] {
    match (message.kind, message.payload.split_first()) {
        (kind::DATA_AMF3 | kind::COMMAND_AMF3 | kind::SHARED_OBJECT_AMF3, Some((0, rest))) => rest,
        _ => message.payload,
    }
}

/// The string at the start of AMF0 values, and what follows it.
pub(crate) fn leading_string(body: &[u8], max_values: usize) -> Option<(Cow<'_, str>, &[u8])> {
    if let Some(([2, h, l], rest)) = body.split_first_chunk::<3>() {
        let (text, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([*h, *l])))?;
        return Some((String::from_utf8_lossy(text), rest));
    }
    let mut decoder = amf0::Decoder::new(body, max_values);
    match decoder.value() {
        Ok(Some(Value::String(s))) => Some((Cow::Owned(s), decoder.rest())),
        _ => None,
    }
}

/// Writes a command body: name, transaction, object, arguments, in AMF0.
pub(crate) fn encode_command(name: &str, txn: f64, object: &Value, args: &[Value], out: &mut Vec<u8>) {
    amf0::encode_str(name, out);
    amf0::encode(&Value::Number(txn), out);
    amf0::encode(object, out);
    amf0::encode_all(args, out);
}

/// User control events (§7.1.7, and what Adobe's servers and players send besides).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserControl {
    /// 0: a stream has begun.
    StreamBegin(u32),
    /// 1: a stream has ended.
    StreamEof(u32),
    /// 3: length of the client's buffer in ms.
    SetBufferLength {
        /// Message stream.
        stream: u32,
        /// Length in ms.
        ms: u32,
    },
    /// 6: ping with the sender's time in ms.
    PingRequest(u32),
    /// 7: answer with the time of the ping.
    PingResponse(u32),
    /// Any other event: ignored by whoever does not know it.
    Other(u16),
}

impl UserControl {
    /// Decodes a body; `None` when it is too short for its event.
    pub fn decode(body: &[u8]) -> Option<UserControl> {
        let (event, rest) = body.split_first_chunk::<2>()?;
        let word = |at: usize| {
            let bytes = rest.get(at..)?.first_chunk::<4>()?;
            Some(u32::from_be_bytes(*bytes))
        };
        Some(match u16::from_be_bytes(*event) {
            0 => UserControl::StreamBegin(word(0)?),
            1 => UserControl::StreamEof(word(0)?),
            3 => UserControl::SetBufferLength {
                stream: word(0)?,
                ms: word(4)?,
            },
            6 => UserControl::PingRequest(word(0)?),
            7 => UserControl::PingResponse(word(0)?),
            other => UserControl::Other(other),
        })
    }

    /// Appends the body.
    pub fn encode(self, out: &mut Vec<u8>) {
        let mut put = |event: u16, words: &[u32]| {
            out.extend_from_slice(&event.to_be_bytes());
            for w in words {
                out.extend_from_slice(&w.to_be_bytes());
            }
        };
        match self {
            UserControl::StreamBegin(stream) => put(0, &[stream]),
            UserControl::StreamEof(stream) => put(1, &[stream]),
            UserControl::SetBufferLength { stream, ms } => put(3, &[stream, ms]),
            UserControl::PingRequest(time) => put(6, &[time]),
            UserControl::PingResponse(time) => put(7, &[time]),
            UserControl::Other(event) => put(event, &[]),
        }
    }
}

/// The sub-messages of an aggregate (type 22), their times rebased on the aggregate's own (§7.1.6). What does
/// not parse to the end is left out.
pub struct Aggregate<'a> {
    body: &'a [u8],
    stream: u32,
    base: u32,
    first: Option<u32>,
    at: usize,
}

impl<'a> Aggregate<'a> {
    /// The parts of `message`.
    pub fn new(message: &Message<'a>) -> Aggregate<'a> {
        Aggregate {
            body: message.payload,
            stream: message.stream,
            base: message.timestamp,
            first: None,
            at: 0,
        }
    }

    /// Continues at a byte offset of the body, with the time of the first part found before.
    pub(crate) fn resume(message: &Message<'a>, at: usize, first: Option<u32>) -> Aggregate<'a> {
        Aggregate {
            at,
            first,
            ..Aggregate::new(message)
        }
    }

    /// Where the next part begins, and the time of the first part.
    pub(crate) fn position(&self) -> (usize, Option<u32>) {
        (self.at, self.first)
    }
}

impl<'a> Iterator for Aggregate<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let (head, rest) = self.body.get(self.at..)?.split_first_chunk::<11>()?;
        let [kind, l2, l1, l0, t2, t1, t0, t3, _, _, _] = *head;
        let len = u32::from_be_bytes([0, l2, l1, l0]) as usize;
        let time = u32::from_be_bytes([t3, t2, t1, t0]);
        let payload = rest.get(..len)?;
        let first = *self.first.get_or_insert(time);
        // A back pointer of 4 bytes follows each part.
        self.at += 11 + len + 4;
        Some(Message {
            kind,
            stream: self.stream,
            timestamp: self.base.wrapping_add(time.wrapping_sub(first)),
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, payload: &[u8]) -> Message<'_> {
        Message {
            kind,
            stream: 1,
            timestamp: 0,
            payload,
        }
    }

    #[test]
    fn commands_with_missing_values_are_understood() {
        // rml_rtmp 0.8 panics on fewer than three values.
        let mut body = Vec::new();
        amf0::encode_str("FCUnpublish", &mut body);
        let c = Command::decode(&message(kind::COMMAND, &body), 10).unwrap();
        assert_eq!(
            (c.name.as_str(), c.txn, c.object),
            ("FCUnpublish", 0.0, Value::Null)
        );
        assert_eq!(
            Command::decode(&message(kind::COMMAND, &[]), 10),
            Ok(Command::default())
        );
        assert_eq!(
            Command::decode(&message(kind::COMMAND, &[5]), 10).unwrap().name,
            ""
        );
    }

    #[test]
    fn type_17_is_read_with_and_without_its_format_byte() {
        let mut body = vec![0];
        encode_command("a", 2.0, &Value::Null, &[1.0.into()], &mut body);
        let with = Command::decode(&message(kind::COMMAND_AMF3, &body), 10).unwrap();
        let without = Command::decode(&message(kind::COMMAND_AMF3, &body[1..]), 10).unwrap();
        assert_eq!((with.name.as_str(), with.txn, with.args.len()), ("a", 2.0, 1));
        assert_eq!(with, without);
    }

    #[test]
    fn user_control_events_round_trip_and_unknown_ones_are_kept() {
        for event in [
            UserControl::StreamBegin(1),
            UserControl::StreamEof(2),
            UserControl::SetBufferLength { stream: 1, ms: 3000 },
            UserControl::PingRequest(7),
            UserControl::PingResponse(7),
            UserControl::Other(26),
        ] {
            let mut body = Vec::new();
            event.encode(&mut body);
            assert_eq!(UserControl::decode(&body), Some(event));
        }
        assert_eq!(UserControl::decode(&[0, 26, 0, 1]), Some(UserControl::Other(26)));
        assert_eq!(UserControl::decode(&[0, 3, 0, 0, 0, 1]), None);
        assert_eq!(UserControl::decode(&[0]), None);
    }

    #[test]
    fn aggregate_parts_are_rebased_on_the_message_time() {
        let mut body = Vec::new();
        for (kind, time, payload) in [
            (8u8, 1000u32, &[0xB2u8, 1][..]),
            (9, 1020, &[0x17]),
            (8, 0x0100_0000, &[]),
        ] {
            body.push(kind);
            body.extend(&(payload.len() as u32).to_be_bytes()[1..]);
            body.extend(&time.to_be_bytes()[1..]);
            body.push(time.to_be_bytes()[0]);
            body.extend([0, 0, 0]);
            body.extend(payload);
            body.extend((payload.len() as u32 + 11).to_be_bytes());
        }
        let mut m = message(kind::AGGREGATE, &body);
        m.timestamp = 50;
        let parts: Vec<_> = Aggregate::new(&m)
            .map(|p| (p.kind, p.timestamp, p.payload.to_vec()))
            .collect();
        assert_eq!(
            parts,
            [
                (8, 50, vec![0xB2, 1]),
                (9, 70, vec![0x17]),
                (8, 50 + 0x0100_0000 - 1000, vec![])
            ]
        );
        m.payload = &body[..20];
        assert_eq!(Aggregate::new(&m).count(), 1);
        m.payload = &body[..12];
        assert_eq!(Aggregate::new(&m).count(), 0);
    }
}
