//! The server's side of the conversation, above messages: what commands mean and how they are answered.
//!
//! ```text
//!  Fresh --connect--> Asked --accept_connect--> Connected --close--> Closing
//!                       \--reject_connect------------------------------/
//!                       \--refuse_connect--> Refused
//! ```
//! Media never pass through here: the carrier asks whether a stream may have them.

use std::collections::VecDeque;

use base::Time;

use super::config::ServerConfig;
use super::event::{Call, Connect, Event, PublishKind, StreamName};
use super::manners::{ConnectReply, Control, Manners};
use crate::amf::{self, Value};
use crate::amf0;
use crate::error::Error;
use crate::message::{Command, Message, UserControl, amf_body, kind, leading_string};
use crate::netconn::{Incoming, NetConnection, Patience, status_info};
use crate::stream::{State, Stream, Table};

/// One connection at message level; [`Connection`](super::Connection) puts chunk streams beneath it.
#[derive(Debug)]
pub struct Session {
    config: ServerConfig,
    /// Messages to be sent, pings, windows.
    pub net: NetConnection,
    streams: Table,
    phase: Phase,
    events: VecDeque<Event<'static>>,
    /// Streams that ended: their waiting media are to be forgotten.
    ended: Vec<u32>,
    ignored: u64,
    object_encoding: u8,
    manners: Manners,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Fresh,
    Asked {
        txn: f64,
    },
    Connected,
    /// `connect` was refused; the client is to close.
    Refused,
    Closing,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// Nothing for the owner but what [`Session::poll_event`] gives.
    Done,
    /// Audio, video or data for the owner: [`media_event`] makes the event of it.
    Media,
}

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
            let body = amf_body(&message);
            let (name, rest) = leading_string(body, max_values)?;
            let (name, payload) = if name == "@setDataFrame" {
                (leading_string(rest, max_values)?.0, rest)
            } else {
                (name, body)
            };
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
    /// A session of a client that has just finished its handshake. `chunked` when chunk streams carry it,
    /// false for RTMFP flows.
    pub fn new(config: ServerConfig, chunked: bool, now: Time) -> Session {
        let patience = Patience {
            keepalive: config.keepalive_interval,
            silence: config.silence_timeout,
        };
        Session {
            net: NetConnection::new(config.limits.clone(), patience, config.flow.clone(), chunked, now),
            streams: Table::new(config.limits.streams),
            phase: Phase::Fresh,
            events: VecDeque::new(),
            ended: Vec::new(),
            ignored: 0,
            object_encoding: 0,
            manners: Manners::default(),
            config,
        }
    }

    /// Takes a message.
    pub fn handle(&mut self, now: Time, message: &Message<'_>) -> Result<Handled, Error> {
        if matches!(self.phase, Phase::Closing | Phase::Refused) {
            return Ok(Handled::Done);
        }
        match self.net.handle(now, message)? {
            Incoming::Nothing => {}
            Incoming::Ignored => self.ignored += 1,
            // A tag byte alone carries no data.
            Incoming::Audio | Incoming::Video if message.payload.len() < 2 => {}
            Incoming::Audio | Incoming::Video | Incoming::Data => {
                if self
                    .streams
                    .find(message.stream)
                    .is_some_and(Stream::is_publishing)
                {
                    return Ok(Handled::Media);
                }
                self.ignored += 1;
            }
            Incoming::Command(command) => self.command(message.stream, command)?,
            Incoming::UserControl(UserControl::SetBufferLength { stream, ms }) => {
                if self.streams.find(stream).is_some() {
                    if self.manners.begin_on_buffer && self.net.has_room() {
                        self.net.user_control(UserControl::StreamBegin(stream));
                    }
                    self.events.push_back(Event::SetBuffer { stream, ms });
                }
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

    /// Whether `connect` has come.
    pub fn has_connected(&self) -> bool {
        self.phase != Phase::Fresh
    }

    /// Whether no more than what is queued will be sent.
    pub fn is_closing(&self) -> bool {
        self.phase == Phase::Closing
    }

    /// Messages that were not understood.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    /// The player on a stream that is to have audio or video now.
    pub fn player(&mut self, stream: u32, video: bool) -> Option<&mut Stream> {
        let wants = |s: &Stream| s.is_playing() && !s.paused && if video { s.video } else { s.audio };
        if self.phase != Phase::Connected {
            return None;
        }
        self.streams.find_mut(stream).filter(|s| wants(s))
    }

    /// The message streams.
    pub fn streams(&self) -> &Table {
        &self.streams
    }

    /// Takes a stream id that the carrier's flows announce (RTMFP); false when there is no room.
    pub fn adopt_stream(&mut self, id: u32) -> bool {
        self.streams.adopt(id)
    }

    /// Accepts the `connect` request as generic servers do.
    pub fn accept_connect(&mut self) {
        self.accept_connect_as(ConnectReply::generic(&self.config, self.object_encoding));
    }

    /// Accepts the `connect` request with an answer of the owner's making.
    pub fn accept_connect_as(&mut self, reply: ConnectReply) {
        let Phase::Asked { txn } = self.phase else { return };
        self.phase = Phase::Connected;
        for control in reply.before {
            control.send(&mut self.net);
        }
        self.net
            .command(0, "_result", txn, &reply.properties, &[reply.info]);
        if self.object_encoding == 3 {
            self.net.use_amf3();
        }
        for control in reply.after {
            control.send(&mut self.net);
        }
        self.manners = reply.manners;
        if self.manners.gated {
            self.gate(Some(false), Some(false));
        }
    }

    /// Refuses the `connect` request and closes.
    pub fn reject_connect(&mut self, code: &str, description: &str) {
        let Phase::Asked { txn } = self.phase else { return };
        let info = status_info("error", code, description);
        self.net.command(0, "_error", txn, &Value::Null, &[info]);
        self.phase = Phase::Closing;
    }

    /// Refuses the `connect` request with an information object of the owner's making. The client is to close;
    /// the owner does after a while. Nothing it sends is looked at any more.
    pub fn refuse_connect(&mut self, info: Value) {
        let Phase::Asked { txn } = self.phase else { return };
        self.net.command(0, "_error", txn, &Value::Null, &[info]);
        self.phase = Phase::Refused;
    }

    /// Accepts publishing.
    pub fn accept_publish(&mut self, stream: u32) {
        let Some(s) = self.streams.find_mut(stream) else {
            return;
        };
        let State::Publishing { name, accepted } = &mut s.state else {
            return;
        };
        *accepted = true;
        let text = format!("{} is now published.", name.name);
        // There the description is for players' names.
        let info = self.manners.info("NetStream.Publish.Start", "", text);
        let txn = if self.manners.echo_txn { s.txn } else { 0.0 };
        if self.manners.publish_begin {
            self.net.user_control(UserControl::StreamBegin(stream));
        }
        self.net.command(stream, "onStatus", txn, &Value::Null, &[info]);
    }

    /// Refuses publishing.
    pub fn reject_publish(&mut self, stream: u32, code: &str, description: &str) {
        let Some(s) = self.streams.find_mut(stream) else {
            return;
        };
        if matches!(s.state, State::Publishing { .. }) {
            s.stop();
            self.net.status(stream, "error", code, description);
        }
    }

    /// Accepts playing.
    pub fn accept_play(&mut self, stream: u32) {
        let Some(s) = self.streams.find_mut(stream) else {
            return;
        };
        let State::Playing {
            name,
            accepted,
            reset,
        } = &mut s.state
        else {
            return;
        };
        *accepted = true;
        let (name, reset) = (name.name.clone(), *reset && self.manners.reset);
        // A decoder can begin at a key frame only.
        s.await_key = true;
        let txn = if self.manners.echo_txn { s.txn } else { 0.0 };
        if let Some(size) = self.manners.play_chunk_size {
            Control::ChunkSize(size).send(&mut self.net);
        }
        self.net.user_control(UserControl::StreamBegin(stream));
        if let Some(ms) = self.manners.play_buffer {
            self.net.user_control(UserControl::SetBufferLength { stream, ms });
        }
        let mut statuses = vec![("NetStream.Play.Start", format!("Started playing {name}."))];
        if reset {
            let text = format!("Playing and resetting {name}.");
            statuses.insert(0, ("NetStream.Play.Reset", text));
        }
        for (code, text) in statuses {
            let info = self.manners.info(code, &name, text);
            self.net.command(stream, "onStatus", txn, &Value::Null, &[info]);
        }
        if self.manners.data_start {
            let code = amf::object([("code", "NetStream.Data.Start".into())]);
            self.data(stream, &["onStatus".into(), code]);
        }
        if self.manners.sample_access {
            self.data(stream, &["|RtmpSampleAccess".into(), true.into(), true.into()]);
        }
    }

    fn data(&mut self, stream: u32, values: &[Value]) {
        let mut body = Vec::new();
        amf0::encode_all(values, &mut body);
        self.net.queue(kind::DATA, stream, 0, body);
    }

    /// Opens or shuts audio, video or both on every stream there is and will be.
    pub fn gate(&mut self, audio: Option<bool>, video: Option<bool>) {
        self.streams.gate(audio, video);
    }

    /// Refuses playing.
    pub fn reject_play(&mut self, stream: u32, code: &str, description: &str) {
        let Some(s) = self.streams.find_mut(stream) else {
            return;
        };
        if matches!(s.state, State::Playing { .. }) {
            s.stop();
            self.net.status(stream, "error", code, description);
        }
    }

    /// Tells a player that its source ended.
    pub fn notify_unpublish(&mut self, stream: u32) {
        let Some(s) = self.streams.find(stream).filter(|s| s.is_playing()) else {
            return;
        };
        let text = format!("{} is now unpublished.", s.name().unwrap_or_default());
        self.net.user_control(UserControl::StreamEof(stream));
        self.net
            .status(stream, "status", "NetStream.Play.UnpublishNotify", &text);
    }

    /// Tells a player that its source is back.
    pub fn notify_publish(&mut self, stream: u32) {
        let Some(s) = self.streams.find(stream).filter(|s| s.is_playing()) else {
            return;
        };
        let text = format!("{} is now published.", s.name().unwrap_or_default());
        self.net.user_control(UserControl::StreamBegin(stream));
        self.net
            .status(stream, "status", "NetStream.Play.PublishNotify", &text);
    }

    /// Answers a command with `_result`; nothing when `txn` is 0.
    pub fn reply_result(&mut self, txn: f64, values: &[Value]) {
        if txn != 0.0 {
            self.net.command(0, "_result", txn, &Value::Null, values);
        }
    }

    /// Answers a command with `_error`; nothing when `txn` is 0.
    pub fn reply_error(&mut self, txn: f64, code: &str, description: &str) {
        if txn != 0.0 {
            let info = status_info("error", code, description);
            self.net.command(0, "_error", txn, &Value::Null, &[info]);
        }
    }

    /// Answers as generic servers do.
    pub fn reply_default(&mut self, call: &Call) {
        if call.name == "FCSubscribe" {
            let name = call.text(0).unwrap_or_default();
            let info = status_info("status", "NetStream.Play.Start", name);
            self.net.command(0, "onFCSubscribe", 0.0, &Value::Null, &[info]);
        }
        self.reply_result(call.txn, &[Value::Null]);
    }

    /// Opens or shuts audio toward a player.
    pub fn set_receive_audio(&mut self, stream: u32, on: bool) {
        if let Some(s) = self.streams.find_mut(stream) {
            s.audio = on;
        }
    }

    /// Opens or shuts video toward a player; opened, it begins at a key frame.
    pub fn set_receive_video(&mut self, stream: u32, on: bool) {
        if let Some(s) = self.streams.find_mut(stream) {
            s.await_key |= on && !s.video;
            s.video = on;
        }
    }

    /// Says goodbye; what is queued is still to be sent.
    pub fn close(&mut self, description: &str) {
        if self.phase == Phase::Closing {
            return;
        }
        if self.phase == Phase::Connected {
            let players: Vec<u32> = self
                .streams
                .iter()
                .filter(|s| s.is_playing())
                .map(|s| s.id)
                .collect();
            for id in players {
                self.notify_unpublish(id);
            }
            self.net
                .status(0, "status", "NetConnection.Connect.Closed", description);
        }
        self.phase = Phase::Closing;
    }

    fn command(&mut self, stream: u32, c: Command) -> Result<(), Error> {
        if (self.phase == Phase::Fresh) != (c.name == "connect") {
            return Err(Error::OutOfOrder);
        }
        let flag = |default: bool| match c.args.first() {
            Some(Value::Boolean(b)) => *b,
            Some(Value::Number(n)) => *n != 0.0,
            _ => default,
        };
        let position = |i: usize| c.args.get(i).and_then(Value::as_u32).unwrap_or(0);
        match c.name.as_str() {
            "connect" => self.connect(c),
            "createStream" => match self.streams.create() {
                // Answered whatever the transaction: some clients use 0 and wait all the same.
                Some(id) => self.net.command(0, "_result", c.txn, &Value::Null, &[id.into()]),
                None => {
                    let info = status_info("error", "NetConnection.Call.Failed", "Too many streams.");
                    self.net.command(0, "_error", c.txn, &Value::Null, &[info]);
                }
            },
            "deleteStream" => self.delete(c.args.first()),
            "closeStream" => self.stop(stream),
            "releaseStream" | "FCPublish" | "initStream" => self.reply_result(c.txn, &[Value::Undefined]),
            "FCUnpublish" => {
                let name = c.args.first().and_then(Value::as_str).map(StreamName::parse);
                let of_name =
                    |s: &&Stream| s.is_publishing() && s.name() == name.as_ref().map(|n| n.name.as_str());
                let id = self.streams.iter().find(of_name).map(|s| s.id);
                if let Some(id) = id {
                    self.net
                        .status(id, "status", "NetStream.Unpublish.Success", "Stopped publishing.");
                    self.stop(id);
                }
                self.reply_result(c.txn, &[Value::Undefined]);
            }
            "getStreamLength" => self.reply_result(c.txn, &[0.0.into()]),
            "_checkbw" => self.reply_result(c.txn, &[Value::Null]),
            "_result" | "_error" | "secureTokenResponse" => {}
            "publish" => self.publish(stream, &c),
            "play" => self.play(stream, &c),
            "pause" | "pauseRaw" | "pauseraw" => self.pause(stream, flag(true), position(1)),
            "seek" => {
                if self.streams.find(stream).is_some() {
                    let text = "A live stream has no past.";
                    self.net.status(stream, "error", "NetStream.Seek.Failed", text);
                    let position = position(0);
                    self.events.push_back(Event::Seek { stream, position });
                }
            }
            "receiveAudio" | "receiveVideo" => self.receive(stream, c.name == "receiveAudio", flag(true)),
            "" => self.ignored += 1,
            _ => self.events.push_back(Event::Command(Box::new(Call {
                stream,
                name: c.name,
                txn: c.txn,
                object: c.object,
                args: c.args,
            }))),
        }
        Ok(())
    }

    fn connect(&mut self, c: Command) {
        let text = |key: &str| {
            let value = c.object.get(key).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        let (full, tc_url) = (text("app"), text("tcUrl"));
        let (path, query) = full.split_once('?').unwrap_or((&full, ""));
        let query = match query {
            "" => tc_url.split_once('?').map_or("", |(_, q)| q),
            query => query,
        };
        let path = path.trim_matches('/');
        let (app, instance) = path.split_once('/').unwrap_or((path, ""));
        self.object_encoding = match c.object.get("objectEncoding").and_then(Value::as_f64) {
            Some(3.0) => 3,
            _ => 0,
        };
        self.phase = Phase::Asked { txn: c.txn };
        self.events.push_back(Event::Connect(Box::new(Connect {
            app: app.to_owned(),
            instance: instance.to_owned(),
            query: query.to_owned(),
            flash_version: text("flashVer"),
            object_encoding: self.object_encoding,
            tc_url,
            object: c.object,
            args: c.args,
        })));
    }

    fn publish(&mut self, stream: u32, c: &Command) {
        let name = match c.args.first() {
            Some(Value::String(name)) if !name.is_empty() => StreamName::parse(name),
            // publish(null) and publish(false) end it.
            None | Some(Value::Null | Value::Undefined | Value::Boolean(false)) => return self.stop(stream),
            _ => {
                return self
                    .net
                    .status(stream, "error", "NetStream.Publish.BadName", "No stream name.");
            }
        };
        if self.streams.find(stream).is_none() {
            let text = "No such message stream.";
            return self
                .net
                .status(stream, "error", "NetStream.Publish.BadName", text);
        }
        self.stop(stream);
        let kind = match c.args.get(1).and_then(Value::as_str) {
            Some("record") => PublishKind::Record,
            Some("append" | "appendWithGap") => PublishKind::Append,
            _ => PublishKind::Live,
        };
        if let Some(s) = self.streams.find_mut(stream) {
            s.state = State::Publishing {
                name: name.clone(),
                accepted: false,
            };
            s.txn = c.txn;
        }
        self.events.push_back(Event::Publish { stream, name, kind });
    }

    fn play(&mut self, stream: u32, c: &Command) {
        let name = match c.args.first() {
            Some(Value::String(name)) if !name.is_empty() => StreamName::parse(name),
            // play(false) and play(null) end it.
            None | Some(Value::Null | Value::Undefined | Value::Boolean(false)) => return self.stop(stream),
            _ => {
                return self
                    .net
                    .status(stream, "error", "NetStream.Play.Failed", "No stream name.");
            }
        };
        if self.streams.find(stream).is_none() {
            let text = "No such message stream.";
            return self.net.status(stream, "error", "NetStream.Play.Failed", text);
        }
        self.stop(stream);
        // FFmpeg and librtmp give -2000 and -1000: the special values in ms.
        let seconds = |v: Option<f64>, default: f64| match v {
            Some(n) if n <= -1000.0 => n / 1000.0,
            Some(n) => n,
            None => default,
        };
        let start = seconds(c.args.get(1).and_then(Value::as_f64), -2.0);
        let duration = seconds(c.args.get(2).and_then(Value::as_f64), -1.0);
        let reset = match c.args.get(3) {
            Some(Value::Boolean(reset)) => *reset,
            Some(Value::Number(reset)) => *reset != 0.0,
            _ => true,
        };
        if let Some(s) = self.streams.find_mut(stream) {
            s.state = State::Playing {
                name: name.clone(),
                accepted: false,
                reset,
            };
            s.txn = c.txn;
        }
        self.events.push_back(Event::Play {
            stream,
            name,
            start,
            duration,
            reset,
        });
    }

    fn pause(&mut self, stream: u32, on: bool, position: u32) {
        let Some(s) = self.streams.find_mut(stream).filter(|s| s.is_playing()) else {
            return;
        };
        s.paused = on;
        s.await_key |= !on;
        if on {
            self.ended.push(stream);
            self.net
                .status(stream, "status", "NetStream.Pause.Notify", "Paused.");
            self.net.user_control(UserControl::StreamEof(stream));
        } else {
            self.net
                .status(stream, "status", "NetStream.Unpause.Notify", "Unpaused.");
            self.net.user_control(UserControl::StreamBegin(stream));
        }
        self.events.push_back(Event::Pause { stream, on, position });
    }

    /// A player opens or shuts its ears or eyes.
    fn receive(&mut self, stream: u32, audio: bool, on: bool) {
        if self.manners.gated {
            let of = |this: bool| (audio == this).then_some(on);
            self.gate(of(true), of(false));
        }
        if self.streams.find(stream).is_none() {
            return;
        }
        let event = if audio {
            self.set_receive_audio(stream, on);
            Event::ReceiveAudio { stream, on }
        } else {
            self.set_receive_video(stream, on);
            Event::ReceiveVideo { stream, on }
        };
        self.events.push_back(event);
    }

    /// By id, or by name as GStreamer sends it: then all streams of that name.
    fn delete(&mut self, what: Option<&Value>) {
        let ids: Vec<u32> = match what {
            Some(Value::String(name)) => {
                let name = StreamName::parse(name).name;
                let of_name = |s: &&Stream| s.name() == Some(&name);
                self.streams.iter().filter(of_name).map(|s| s.id).collect()
            }
            Some(v) => v.as_u32().into_iter().collect(),
            None => Vec::new(),
        };
        for id in ids {
            self.stop(id);
            self.streams.delete(id);
        }
    }

    /// Ends what a stream does.
    fn stop(&mut self, stream: u32) {
        let Some(s) = self.streams.find_mut(stream) else {
            return;
        };
        match s.stop() {
            State::Idle => {}
            State::Publishing { .. } => self.events.push_back(Event::Unpublish { stream }),
            State::Playing { .. } => {
                self.ended.push(stream);
                self.events.push_back(Event::StopPlay { stream });
            }
        }
    }
}
