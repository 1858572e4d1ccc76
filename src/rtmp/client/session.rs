//! The client's side of the conversation, above messages.

use std::collections::VecDeque;

use base::Time;

use super::config::{ClientConfig, ConnectRequest};
use super::event::Event;
use crate::amf::Value;
use crate::amf0;
use crate::error::Error;
use crate::message::{Command, Message, UserControl, amf_body, kind, leading_string};
use crate::netconn::{Incoming, NetConnection, Patience, status_info};
use crate::server::{Call, Handled, PublishKind, StreamName};
use crate::stream::{State, Stream, Table};

/// One connection at message level; [`Connection`](super::Connection) puts chunk streams beneath it.
#[derive(Debug)]
pub struct Session {
    config: ClientConfig,
    /// Messages to be sent, pings, windows.
    pub net: NetConnection,
    streams: Table,
    /// Commands that wait for an answer.
    pending: VecDeque<(u32, Purpose)>,
    next_txn: u32,
    connected: bool,
    amf3: bool,
    closing: bool,
    events: VecDeque<Event<'static>>,
    ended: Vec<u32>,
    ignored: u64,
}

#[derive(Clone, Debug, PartialEq)]
enum Purpose {
    Connect,
    Create,
    Publish(String, PublishKind),
    Play(String),
    Call,
}

/// Commands remembered for their answers; of more, the oldest is forgotten.
const MAX_PENDING: usize = 64;

/// The event of an audio, video or data message; `None` for data without a name.
pub fn media_event<'a>(message: Message<'a>, max_values: usize) -> Option<Event<'a>> {
    let Message {
        stream,
        timestamp,
        payload,
        ..
    } = message;
    match message.kind {
        kind::AUDIO => Some(Event::Audio {
            stream,
            timestamp,
            payload,
        }),
        kind::VIDEO => Some(Event::Video {
            stream,
            timestamp,
            payload,
        }),
        _ => {
            let payload = amf_body(&message);
            let (name, _) = leading_string(payload, max_values)?;
            Some(Event::Data {
                stream,
                timestamp,
                name,
                payload,
            })
        }
    }
}

impl Session {
    /// A session whose carrier is about to be made at `now`.
    pub fn new(config: ClientConfig, chunked: bool, now: Time) -> Session {
        let patience = Patience {
            keepalive: config.keepalive_interval,
            silence: config.silence_timeout,
        };
        Session {
            net: NetConnection::new(config.limits.clone(), patience, config.flow.clone(), chunked, now),
            streams: Table::new(config.limits.streams),
            pending: VecDeque::new(),
            next_txn: 1,
            connected: false,
            amf3: false,
            closing: false,
            events: VecDeque::new(),
            ended: Vec::new(),
            ignored: 0,
            config,
        }
    }

    /// Takes a message.
    pub fn handle(&mut self, now: Time, message: &Message<'_>) -> Result<Handled, Error> {
        if self.closing {
            return Ok(Handled::Done);
        }
        match self.net.handle(now, message)? {
            Incoming::Nothing => {}
            Incoming::Ignored => self.ignored += 1,
            Incoming::Audio | Incoming::Video if message.payload.len() < 2 => {}
            Incoming::Audio | Incoming::Video | Incoming::Data => {
                let playing = |s: &Stream| matches!(s.state, State::Playing { .. });
                if self.streams.find(message.stream).is_some_and(playing) {
                    return Ok(Handled::Media);
                }
                self.ignored += 1;
            }
            Incoming::Command(command) => self.command(message.stream, command),
            Incoming::UserControl(UserControl::StreamBegin(stream)) => {
                self.events.push_back(Event::StreamBegin { stream });
            }
            Incoming::UserControl(UserControl::StreamEof(stream)) => {
                self.events.push_back(Event::StreamEof { stream });
            }
            Incoming::UserControl(_) => self.ignored += 1,
            Incoming::Acknowledged(bytes) => self.events.push_back(Event::Acknowledged { bytes }),
            Incoming::PingRtt(rtt) => self.events.push_back(Event::PingRtt { rtt }),
        }
        self.net.check()?;
        Ok(Handled::Done)
    }

    /// The next event of what was handled.
    pub fn poll_event(&mut self) -> Option<Event<'static>> {
        self.events.pop_front()
    }

    /// A stream that ended since the last call: media that wait for it are to be dropped.
    pub fn poll_ended(&mut self) -> Option<u32> {
        self.ended.pop()
    }

    /// Whether `connect` was answered.
    pub fn has_connected(&self) -> bool {
        self.connected
    }

    /// Whether no more than what is queued will be sent.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Messages that were not understood.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    /// The message streams.
    pub fn streams(&self) -> &Table {
        &self.streams
    }

    /// The stream, when it publishes with the server's consent.
    pub fn publisher(&mut self, stream: u32) -> Option<&mut Stream> {
        if self.closing {
            return None;
        }
        let s = self.streams.find_mut(stream)?;
        matches!(s.state, State::Publishing { accepted: true, .. }).then_some(s)
    }

    /// Sends `connect`, transaction 1.
    pub fn connect(&mut self, request: &ConnectRequest) {
        self.amf3 = request.object_encoding == 3;
        let txn = self.expect(Purpose::Connect);
        self.net
            .command(0, "connect", f64::from(txn), &request.object(), &request.args);
    }

    /// Sends `createStream`.
    pub fn create_stream(&mut self) -> u32 {
        self.create(Purpose::Create)
    }

    /// Publishes on a stream made for it, as FFmpeg does: `releaseStream`, `FCPublish`, `createStream`, then
    /// `publish`.
    pub fn publish(&mut self, name: &str, kind: PublishKind) -> u32 {
        for command in ["releaseStream", "FCPublish"] {
            self.call(0, command, &[name.into()]);
        }
        self.create(Purpose::Publish(name.to_owned(), kind))
    }

    /// Plays on a stream made for it: `createStream`, then `play` and the length of the buffer.
    pub fn play(&mut self, name: &str) -> u32 {
        self.create(Purpose::Play(name.to_owned()))
    }

    /// Publishes on a stream that exists.
    pub fn publish_on(&mut self, stream: u32, name: &str, kind: PublishKind) {
        let Some(s) = self.streams.find_mut(stream) else {
            return;
        };
        s.stop();
        s.state = State::Publishing {
            name: StreamName::parse(name),
            accepted: false,
        };
        let kind = match kind {
            PublishKind::Live => "live",
            PublishKind::Record => "record",
            PublishKind::Append => "append",
        };
        self.call(stream, "publish", &[name.into(), kind.into()]);
    }

    /// Plays on a stream that exists.
    pub fn play_on(&mut self, stream: u32, name: &str) {
        let Some(s) = self.streams.find_mut(stream) else {
            return;
        };
        s.stop();
        s.state = State::Playing {
            name: StreamName::parse(name),
            accepted: false,
            reset: true,
        };
        self.call(stream, "play", &[name.into(), (-2.0).into()]);
        let ms = self.config.buffer_ms;
        self.net.user_control(UserControl::SetBufferLength { stream, ms });
    }

    /// Ends what a stream does; it can be used again.
    pub fn close_stream(&mut self, stream: u32) {
        if let Some(s) = self.streams.find_mut(stream) {
            s.stop();
            self.ended.push(stream);
            self.net.command(stream, "closeStream", 0.0, &Value::Null, &[]);
        }
    }

    /// Ends a stream: `FCUnpublish` when it publishes, then `deleteStream`.
    pub fn delete_stream(&mut self, stream: u32) {
        let Some(s) = self.streams.delete(stream) else {
            return;
        };
        self.ended.push(stream);
        if let State::Publishing { name, .. } = &s.state {
            self.call(0, "FCUnpublish", &[name.name.as_str().into()]);
        }
        self.call(0, "deleteStream", &[stream.into()]);
    }

    /// Calls a method of the server; the answer is a `Reply` with the transaction id returned.
    pub fn call(&mut self, stream: u32, name: &str, args: &[Value]) -> u32 {
        let txn = self.expect(Purpose::Call);
        self.net.command(stream, name, f64::from(txn), &Value::Null, args);
        txn
    }

    /// Answers a command of the server; nothing when `txn` is 0.
    pub fn reply_result(&mut self, txn: f64, values: &[Value]) {
        if txn != 0.0 {
            self.net.command(0, "_result", txn, &Value::Null, values);
        }
    }

    /// Refuses a command of the server; nothing when `txn` is 0.
    pub fn reply_error(&mut self, txn: f64, code: &str, description: &str) {
        if txn != 0.0 {
            let info = status_info("error", code, description);
            self.net.command(0, "_error", txn, &Value::Null, &[info]);
        }
    }

    /// Sends `@setDataFrame`, `onMetaData` and the metadata on a publishing stream.
    pub fn send_metadata(&mut self, stream: u32, metadata: &Value) {
        let mut body = Vec::new();
        amf0::encode_all(&["@setDataFrame".into(), "onMetaData".into()], &mut body);
        amf0::encode(metadata, &mut body);
        self.net.queue(kind::DATA, stream, 0, body);
    }

    /// Deletes all streams; what is queued is still to be sent.
    pub fn close(&mut self) {
        if self.connected {
            let ids: Vec<u32> = self.streams.iter().map(|s| s.id).collect();
            for id in ids {
                self.delete_stream(id);
            }
        }
        self.closing = true;
    }

    fn create(&mut self, purpose: Purpose) -> u32 {
        let txn = self.expect(purpose);
        self.net
            .command(0, "createStream", f64::from(txn), &Value::Null, &[]);
        txn
    }

    fn expect(&mut self, purpose: Purpose) -> u32 {
        let txn = self.next_txn;
        self.next_txn = self.next_txn.wrapping_add(1).max(1);
        if self.pending.len() >= MAX_PENDING {
            self.pending.pop_front();
        }
        self.pending.push_back((txn, purpose));
        txn
    }

    fn command(&mut self, stream: u32, c: Command) {
        match c.name.as_str() {
            "_result" => self.reply(c, true),
            "_error" => self.reply(c, false),
            "onStatus" => self.status(stream, &c),
            "" => self.ignored += 1,
            _ => self.events.push_back(Event::Command(Box::new(Call {
                stream,
                name: c.name,
                txn: c.txn,
                object: c.object,
                args: c.args,
            }))),
        }
    }

    fn reply(&mut self, c: Command, ok: bool) {
        let Some(i) = self.pending.iter().position(|(t, _)| f64::from(*t) == c.txn) else {
            self.ignored += 1;
            return;
        };
        let Some((txn, purpose)) = self.pending.remove(i) else {
            return;
        };
        let first = c.args.first().cloned().unwrap_or_default();
        let (name, what) = match purpose {
            Purpose::Connect => return self.connect_reply(ok, c.object, first),
            Purpose::Call => {
                let values = std::iter::once(c.object).chain(c.args).collect();
                return self.events.push_back(Event::Reply { txn, ok, values });
            }
            Purpose::Create => (String::new(), None),
            Purpose::Publish(name, kind) => (name, Some(Some(kind))),
            Purpose::Play(name) => (name, Some(None)),
        };
        let id = first.as_u32().filter(|&id| ok && self.streams.adopt(id));
        let Some(stream) = id else {
            return self.events.push_back(Event::StreamFailed { txn });
        };
        self.events.push_back(Event::StreamCreated { txn, stream });
        match what {
            Some(Some(kind)) => self.publish_on(stream, &name, kind),
            Some(None) => self.play_on(stream, &name),
            None => {}
        }
    }

    fn connect_reply(&mut self, ok: bool, properties: Value, info: Value) {
        self.connected = true;
        if ok {
            let size = self.config.chunk_size.clamp(1, 65_536);
            self.net.control(kind::SET_CHUNK_SIZE, &size.to_be_bytes());
            if self.amf3 && info.get("objectEncoding").and_then(Value::as_f64) == Some(3.0) {
                self.net.use_amf3();
            }
            return self.events.push_back(Event::Connected { properties, info });
        }
        self.events.push_back(Event::Rejected {
            code: text(&info, "code"),
            description: text(&info, "description"),
            info,
        });
    }

    fn status(&mut self, stream: u32, c: &Command) {
        let info = c.args.first().cloned().unwrap_or_default();
        let code = text(&info, "code");
        let state = self.streams.find_mut(stream).map(|s| &mut s.state);
        match (code.as_str(), state) {
            ("NetStream.Publish.Start", Some(State::Publishing { accepted, .. })) => {
                *accepted = true;
                self.events.push_back(Event::PublishStarted { stream });
            }
            ("NetStream.Play.Start", Some(State::Playing { accepted, .. })) => {
                *accepted = true;
                self.events.push_back(Event::PlayStarted { stream });
            }
            _ => self.events.push_back(Event::Status {
                stream,
                level: text(&info, "level"),
                description: text(&info, "description"),
                code,
                info,
            }),
        }
    }
}

fn text(info: &Value, key: &str) -> String {
    info.get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}
