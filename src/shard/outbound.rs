//! Connections that the gateway makes to RTMP servers, each for one leg: what the leg hears is published there, or what
//! is played there is the leg's voice.
//!
//! The exchange dials, and dials again; here is what happens on a connection that was made.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use base::{CallId, LegId, SessionId, Time};
use rtmp::amf::Value;
use rtmp::client::{Connection, Event as RtmpEvent};
use rtmp::server::PublishKind;

use super::command::{Event, FrameKind};
use super::leg::{Kind, MediaLeg, PublishLeg};
use super::play::{PlayLeg, Viewer};
use super::remote::Remote;
use super::{SESSION_SWEEP, Shard};

/// From the connection to the server's consent to publish or play.
const CONSENT: Duration = Duration::from_secs(10);
/// For our last words on a connection that is over.
const FAREWELL: Duration = Duration::from_millis(200);
/// `@setDataFrame`, with which metadata begins on its way to a server: an AMF0 string.
const SET_DATA_FRAME: &[u8] = b"\x02\x00\x0d@setDataFrame";
/// `onMetaData`, with which it begins on its way to players.
const ON_META_DATA: &[u8] = b"\x02\x00\x0aonMetaData";

/// What becomes of a connection to a server elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutboundTold {
    /// The server takes, or brings, the stream.
    Started,
    /// The server does not want it, and says why.
    Refused(String),
    /// The connection is over.
    Lost(String),
}

/// A connection to a server.
pub(super) struct Outbound {
    conn: Box<Connection>,
    remote: Remote,
    /// Whose; `None` when the leg is gone and only the last words are to be said.
    leg: Option<LegId>,
    started: bool,
    /// Until when the server has to consent, or we to say farewell.
    deadline: Option<Time>,
}

/// What a connection brought, without the borrow of its buffer.
enum Step {
    Connected,
    Started(u32),
    Audio(u32),
    Video(u32),
    Data(u32),
    Over(OutboundTold),
    Nothing,
}

impl Shard {
    /// A connection to a server was made for a leg.
    pub fn handle_dialled(&mut self, now: Time, session: SessionId, leg: LegId, remote: Remote) {
        if !self.legs.contains_key(&leg) {
            self.outbox.close_session(session);
            return;
        }
        let config = self.settings.outbound.clone();
        let mut conn = Box::new(Connection::new(config, self.rng.fork(), now));
        conn.connect(&remote.request());
        let outbound = Outbound {
            conn,
            remote,
            leg: Some(leg),
            started: false,
            deadline: Some(now + CONSENT),
        };
        self.outbound.insert(session, outbound);
        self.next_sweep.get_or_insert(now + SESSION_SWEEP);
        self.outbox.flush(session);
    }

    /// The media half of a leg on a server elsewhere; its connection comes later.
    pub(super) fn open_outbound(&mut self, leg: LegId, call: CallId, remote: &Remote) {
        let kind = if remote.publishes {
            let takes = vec![remote.codec];
            let nobody = SessionId(0);
            Kind::Play(Box::new(PlayLeg::new(nobody, 0, takes, self.settings.clone())))
        } else {
            Kind::Publish(PublishLeg::new())
        };
        self.legs.insert(leg, MediaLeg::new(call, kind));
    }

    /// Bytes came from a server.
    pub(super) fn outbound_bytes(&mut self, now: Time, session: SessionId, bytes: &[u8]) {
        if let Some(entry) = self.outbound.get_mut(&session) {
            entry.conn.handle_input(now, bytes);
            self.run_outbound(now, session);
        }
    }

    /// A server's connection ended; false when it is none.
    pub(super) fn outbound_closed(&mut self, session: SessionId) -> bool {
        let known = self.outbound.contains_key(&session);
        if known {
            let told = OutboundTold::Lost("the connection was closed".to_owned());
            self.end_outbound(session, told);
        }
        known
    }

    /// A leg is gone, and with it its connection to a server.
    pub(super) fn leave_outbound(&mut self, now: Time, leg: LegId) {
        let Some((session, entry)) = self.outbound.iter_mut().find(|(_, o)| o.leg == Some(leg)) else {
            return;
        };
        let session = *session;
        entry.leg = None;
        entry.deadline = Some(now + FAREWELL);
        entry.conn.close(now);
        self.outbox.flush(session);
    }

    /// Looks at the deadlines of the connections.
    pub(super) fn sweep_outbound(&mut self, now: Time) {
        let due: Vec<SessionId> = self
            .outbound
            .iter()
            .filter(|(_, o)| base::earliest(o.deadline, o.conn.poll_timeout()).is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for session in due {
            let Some(entry) = self.outbound.get_mut(&session) else {
                continue;
            };
            if entry.deadline.is_some_and(|at| at <= now) {
                let told = OutboundTold::Lost("the server did not answer in time".to_owned());
                self.end_outbound(session, told);
            } else {
                entry.conn.handle_timeout(now);
                self.run_outbound(now, session);
            }
        }
    }

    /// Takes in what a connection has brought; a fault in that ends this connection and no other.
    fn run_outbound(&mut self, now: Time, session: SessionId) {
        let work = AssertUnwindSafe(|| self.run_outbound_unguarded(now, session));
        if catch_unwind(work).is_err() {
            tracing::error!(%session, "a fault of flashgate ended this connection; please report it with the lines above");
            self.end_outbound(session, OutboundTold::Lost("a fault of the gateway".to_owned()));
        }
    }

    fn run_outbound_unguarded(&mut self, now: Time, session: SessionId) {
        loop {
            let mut payload = std::mem::take(&mut self.scratch);
            payload.clear();
            let step = match self.outbound.get_mut(&session) {
                Some(entry) => entry.next_step(&mut payload),
                None => None,
            };
            let over = step.is_none();
            if let Some(step) = step {
                self.take_outbound(now, session, step, &payload);
            }
            self.scratch = payload;
            if over {
                break;
            }
        }
        self.outbox.flush(session);
    }

    fn take_outbound(&mut self, now: Time, session: SessionId, step: Step, payload: &[u8]) {
        let Some(entry) = self.outbound.get_mut(&session) else {
            return;
        };
        let Some(leg) = entry.leg else {
            if let Step::Over(told) = step {
                self.end_outbound(session, told);
            }
            return;
        };
        match step {
            Step::Connected if entry.remote.publishes => {
                entry.conn.publish(entry.remote.stream(), PublishKind::Live);
            }
            Step::Connected => {
                entry.conn.play(entry.remote.stream());
            }
            Step::Started(stream) => {
                if !std::mem::replace(&mut entry.started, true) {
                    entry.deadline = None;
                    self.outbound_started(now, session, leg, stream);
                }
            }
            Step::Audio(timestamp) => self.publish_audio(now, session, leg, timestamp, payload),
            Step::Video(ms) => self.deliver(now, leg, FrameKind::Video { ms }, payload),
            Step::Data(ms) => self.deliver(now, leg, FrameKind::Data { ms }, payload),
            Step::Over(told) => self.end_outbound(session, told),
            Step::Nothing => {}
        }
    }

    /// The server consents: a leg that publishes begins, with all that a late listener needs.
    fn outbound_started(&mut self, now: Time, session: SessionId, leg: LegId, stream: u32) {
        let told = OutboundTold::Started;
        self.outbox.event(Event::Outbound { leg, session, told });
        let Some(Kind::Play(play)) = self.legs.get_mut(&leg).map(|l| &mut l.kind) else {
            return;
        };
        play.begin(now, session, stream);
        let encoder = concat!("flashgate ", env!("CARGO_PKG_VERSION"));
        let metadata = Value::EcmaArray(vec![("encoder".to_owned(), encoder.into())]);
        if let Some(entry) = self.outbound.get_mut(&session) {
            entry.conn.send_metadata(stream, &metadata);
        }
        let sources = self.legs.iter().filter(|(_, l)| l.sinks.contains(&leg));
        let sources: Vec<LegId> = sources.map(|(id, _)| *id).collect();
        for source in sources {
            self.replay_headers(now, source, Some(leg));
        }
    }

    /// Forgets a connection; the exchange hears of it unless the leg is gone.
    fn end_outbound(&mut self, session: SessionId, told: OutboundTold) {
        let Some(entry) = self.outbound.remove(&session) else {
            return;
        };
        self.outbox.close_session(session);
        let Some(leg) = entry.leg else { return };
        if let Some(Kind::Play(play)) = self.legs.get_mut(&leg).map(|l| &mut l.kind) {
            play.accepted = false;
        }
        self.outbox.event(Event::Outbound { leg, session, told });
    }
}

impl Outbound {
    /// Where the leg's audio goes.
    pub(super) fn viewer(&mut self) -> &mut Connection {
        &mut self.conn
    }

    pub(super) fn transmit(&mut self, now: Time, out: &mut Vec<u8>, budget: usize) -> usize {
        self.conn.poll_transmit(now, out, budget)
    }

    /// The next thing the connection brought; its payload, if any, is copied into `payload`.
    fn next_step(&mut self, payload: &mut Vec<u8>) -> Option<Step> {
        let event = match self.conn.poll_event() {
            Ok(event) => event?,
            Err(error) => return Some(Step::Over(OutboundTold::Lost(error.to_string()))),
        };
        Some(match event {
            RtmpEvent::Connected { .. } => Step::Connected,
            RtmpEvent::Rejected {
                code, description, ..
            } => Step::Over(OutboundTold::Refused(reason(&code, &description))),
            RtmpEvent::StreamFailed { .. } => {
                Step::Over(OutboundTold::Refused("no stream was to be had".to_owned()))
            }
            RtmpEvent::PublishStarted { stream } | RtmpEvent::PlayStarted { stream } => Step::Started(stream),
            RtmpEvent::Status {
                level,
                code,
                description,
                ..
            } if level == "error" => Step::Over(OutboundTold::Refused(reason(&code, &description))),
            RtmpEvent::Audio {
                timestamp,
                payload: bytes,
                ..
            } => {
                payload.extend_from_slice(bytes);
                Step::Audio(timestamp)
            }
            RtmpEvent::Video {
                timestamp,
                payload: bytes,
                ..
            } => {
                payload.extend_from_slice(bytes);
                Step::Video(timestamp)
            }
            RtmpEvent::Data {
                timestamp,
                payload: bytes,
                ..
            } => {
                payload.extend_from_slice(bytes);
                Step::Data(timestamp)
            }
            RtmpEvent::Closed => Step::Over(OutboundTold::Lost("closed".to_owned())),
            _ => Step::Nothing,
        })
    }
}

/// What a server says, short enough for a log line and for a SIP reason phrase.
fn reason(code: &str, description: &str) -> String {
    let words = format!("{code} {description}");
    let plain = words.chars().filter(|c| !c.is_control());
    plain.take(120).collect::<String>().trim().to_owned()
}

impl Viewer for Connection {
    fn minds_silence(&self) -> bool {
        false
    }

    fn send_audio(
        &mut self,
        now: Time,
        stream: u32,
        timestamp: u32,
        payload: &[&[u8]],
        silence: bool,
    ) -> bool {
        Connection::send_audio(self, now, stream, timestamp, payload, silence)
    }

    fn send_video(&mut self, now: Time, stream: u32, timestamp: u32, payload: &[&[u8]]) -> bool {
        Connection::send_video(self, now, stream, timestamp, payload)
    }

    fn send_data(&mut self, stream: u32, timestamp: u32, payload: &[u8]) -> bool {
        if payload.starts_with(ON_META_DATA) {
            let framed = [SET_DATA_FRAME, payload].concat();
            return Connection::send_data(self, stream, timestamp, &framed);
        }
        Connection::send_data(self, stream, timestamp, payload)
    }
}
