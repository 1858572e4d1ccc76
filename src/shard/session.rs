//! Client sessions: an RTMP connection, the dialect spoken on it, and the streams it carries.

mod lines;

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use base::{EndReason, LegId, Redacted, SessionId, Time};
use call::{Intent, Outcome, StreamEvent};
use codecs::CodecId;
use rtmp::server::{Connect, Event as RtmpEvent, StreamName};

use super::Shard;
use super::command::{Event, FrameKind};
use super::conn::Conn;
use super::leg::{Kind, MediaLeg, PublishLeg};
use super::play::PlayLeg;
use crate::dialect::{Dialect, Named};

/// A client whose last stream was ended by the gateway gets so long to leave by itself. Tools that only
/// publish never look at what we say; closing is how they learn that the call is over.
const LEAVE: Duration = Duration::from_secs(1);

/// One client connection.
pub(super) struct Session {
    pub(super) conn: Conn,
    peer: SocketAddr,
    dialect: Option<Box<dyn Dialect>>,
    announced: Vec<CodecId>,
    streams: Vec<Stream>,
    /// When the gateway closes it.
    pub(super) close_at: Option<Time>,
}

/// A stream of a client and the media half made for it. A stream may be published and played at once.
#[derive(Clone, Copy)]
struct Stream {
    id: u32,
    leg: LegId,
    publishes: bool,
    accepted: bool,
}

/// What a connection brought, without the borrow of its buffer.
enum Step {
    Connect(Box<Connect>),
    Open {
        stream: u32,
        name: StreamName,
        publishes: bool,
    },
    Close {
        stream: u32,
        publishes: bool,
    },
    Audio {
        stream: u32,
        timestamp: u32,
    },
    Video {
        stream: u32,
        timestamp: u32,
    },
    Data {
        stream: u32,
        timestamp: u32,
    },
    Command(Box<rtmp::server::Call>),
    Over(EndReason),
    Nothing,
}

impl Session {
    pub(super) fn new(conn: Conn, peer: SocketAddr) -> Session {
        Session {
            conn,
            peer,
            dialect: None,
            announced: Vec::new(),
            streams: Vec::new(),
            close_at: None,
        }
    }

    fn find(&self, stream: u32, publishes: bool) -> Option<LegId> {
        self.streams
            .iter()
            .find(|s| s.id == stream && s.publishes == publishes)
            .map(|s| s.leg)
    }

    /// Tells the client about one of its streams.
    pub(super) fn stream_event(&mut self, now: Time, leg: LegId, event: StreamEvent) {
        let Some(at) = self.streams.iter().position(|s| s.leg == leg) else {
            return;
        };
        let Some(stream) = self.streams.get_mut(at) else {
            return;
        };
        let Stream {
            id,
            publishes,
            accepted,
            ..
        } = *stream;
        match event {
            StreamEvent::Accepted => {
                stream.accepted = true;
                if publishes {
                    self.conn.accept_publish(id);
                } else {
                    self.conn.accept_play(id);
                }
                return;
            }
            StreamEvent::Unpublished => return self.conn.notify_unpublish(id),
            StreamEvent::Published => return self.conn.notify_publish(id),
            StreamEvent::Refused(outcome) if !accepted => {
                let code = refusal_code(&outcome, publishes);
                if publishes {
                    self.conn.reject_publish(id, code, &outcome.line());
                } else {
                    self.conn.reject_play(id, code, &outcome.line());
                }
            }
            StreamEvent::Refused(outcome) | StreamEvent::Ended(outcome) => {
                self.ended(id, publishes, &outcome)
            }
        }
        self.streams.remove(at);
        let ends = self.dialect.as_ref().is_some_and(|d| d.ends_with_its_streams());
        if ends && self.streams.is_empty() {
            self.close_at.get_or_insert(now + LEAVE);
        }
    }

    /// An accepted stream is over: the status of the far end goes into the description.
    fn ended(&mut self, id: u32, publishes: bool, outcome: &Outcome) {
        let normal = matches!(
            outcome.reason,
            EndReason::HungUp | EndReason::Cancelled | EndReason::DurationLimit
        );
        let line = if normal {
            format!("200 {}", outcome.text)
        } else {
            outcome.line()
        };
        if !normal {
            self.conn.send_status(id, "error", "NetStream.Failed", &line);
        } else if publishes {
            self.conn
                .send_status(id, "status", "NetStream.Unpublish.Success", &line);
        }
        if !publishes {
            self.conn.notify_unpublish(id);
            self.conn.send_status(id, "status", "NetStream.Play.Stop", &line);
        }
    }
}

fn refusal_code(outcome: &Outcome, publishes: bool) -> &'static str {
    match (outcome.reason, publishes) {
        (EndReason::Busy, true) => "NetStream.Publish.BadName",
        (_, true) => "NetStream.Publish.Denied",
        (EndReason::NotFound, false) => "NetStream.Play.StreamNotFound",
        (_, false) => "NetStream.Play.Failed",
    }
}

impl Shard {
    /// Takes in what a client's connection has brought; a fault in that ends this session and no other.
    pub(super) fn run_session(&mut self, now: Time, id: SessionId) {
        let work = AssertUnwindSafe(|| self.run_session_unguarded(now, id));
        if catch_unwind(work).is_err() {
            tracing::error!(session = %id, "a fault of flashgate ended this session; please report it with the lines above");
            self.end_session(now, id, EndReason::Internal);
        }
    }

    /// Takes in what a client's connection has brought, until it has nothing more.
    fn run_session_unguarded(&mut self, now: Time, id: SessionId) {
        loop {
            let mut payload = std::mem::take(&mut self.scratch);
            payload.clear();
            let step = match self.sessions.get_mut(&id) {
                Some(session) => session.next_step(id, &mut payload),
                None => None,
            };
            let over = step.is_none();
            if let Some(step) = step {
                self.take_in(now, id, step, &payload);
            }
            self.scratch = payload;
            if over {
                break;
            }
        }
        self.outbox.flush(id);
    }

    fn take_in(&mut self, now: Time, id: SessionId, step: Step, payload: &[u8]) {
        match step {
            Step::Connect(connect) => self.connecting(now, id, &connect),
            Step::Open {
                stream,
                name,
                publishes,
            } => self.open_stream(now, id, stream, &name, publishes),
            Step::Close { stream, publishes } => self.close_stream(now, id, stream, publishes),
            Step::Audio { stream, timestamp } => self.audio(now, id, stream, timestamp, payload),
            Step::Video { stream, timestamp } => {
                if let Some(leg) = self.published(id, stream) {
                    self.deliver(now, leg, FrameKind::Video { ms: timestamp }, payload);
                }
            }
            Step::Data { stream, timestamp } => {
                if let Some(leg) = self.published(id, stream) {
                    self.deliver(now, leg, FrameKind::Data { ms: timestamp }, payload);
                }
            }
            Step::Command(call) => self.command(now, id, *call),
            Step::Over(reason) => self.end_session(now, id, reason),
            Step::Nothing => {}
        }
    }

    fn open_stream(&mut self, now: Time, id: SessionId, stream: u32, name: &StreamName, publishes: bool) {
        self.close_stream(now, id, stream, publishes);
        self.said(id, false, || {
            format!("{} {}", if publishes { "publish" } else { "play" }, name.name)
        });
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Some(dialect) = &session.dialect else { return };
        let Some(named) = dialect.stream(name, publishes) else {
            return self.refuse_stream(id, stream, publishes);
        };
        let announced = session.announced.clone();
        if dialect.latest_stream_wins()
            && let Some(before) = session.streams.iter().find(|s| s.publishes == publishes)
        {
            let before = before.id;
            self.close_stream(now, id, before, publishes);
        }
        let kind = if publishes {
            Kind::Publish(PublishLeg::new())
        } else {
            Kind::Play(Box::new(PlayLeg::new(
                id,
                stream,
                announced.clone(),
                self.settings.clone(),
            )))
        };
        let leg = self.open_half(kind);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.streams.push(Stream {
                id: stream,
                leg,
                publishes,
                accepted: false,
            });
            session.close_at = None;
        }
        let Named {
            stream_use,
            name,
            credentials,
        } = named;
        self.intend(
            id,
            if publishes {
                Intent::Publish {
                    leg,
                    stream_use,
                    name,
                    credentials,
                }
            } else {
                Intent::Play {
                    leg,
                    stream_use,
                    name,
                    credentials,
                    announced,
                }
            },
        );
    }

    /// The client ended a stream, or opens the same one anew.
    fn close_stream(&mut self, now: Time, id: SessionId, stream: u32, publishes: bool) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Some(leg) = session.find(stream, publishes) else {
            return;
        };
        session.streams.retain(|s| s.leg != leg);
        self.said(id, false, || "closeStream".to_owned());
        self.close_leg(now, leg);
        self.intend(id, Intent::Close { leg });
    }

    fn published(&self, id: SessionId, stream: u32) -> Option<LegId> {
        self.sessions.get(&id).and_then(|s| s.find(stream, true))
    }

    fn audio(&mut self, now: Time, id: SessionId, stream: u32, timestamp: u32, payload: &[u8]) {
        if let Some(leg) = self.published(id, stream) {
            self.publish_audio(now, id, leg, timestamp, payload);
        }
    }

    /// Audio of a published stream came: an FLV audio tag body.
    pub(super) fn publish_audio(
        &mut self,
        now: Time,
        id: SessionId,
        leg: LegId,
        timestamp: u32,
        payload: &[u8],
    ) {
        let Some((tag, body)) = payload.split_first() else {
            return;
        };
        // A tag byte alone carries no data.
        if body.is_empty() {
            return;
        }
        let codec = super::flv_audio::codec(payload);
        // What only tools that stream send is decoded only where it must be.
        let plain = codecs::by_flv_tag(*tag).filter(|codec| !codecs::codec(*codec).streamed);
        let Some(MediaLeg {
            kind: Kind::Publish(publish),
            ..
        }) = self.legs.get_mut(&leg)
        else {
            return;
        };
        let time = publish.time(timestamp);
        publish.frames += 1;
        if publish.codec != Some(codec) {
            publish.codec = Some(codec);
            self.intend(id, Intent::StreamCodec { leg, codec });
        }
        match plain {
            Some(codec) => self.deliver(
                now,
                leg,
                FrameKind::Audio {
                    codec,
                    time,
                    bursty: true,
                },
                body,
            ),
            None => self.deliver(now, leg, FrameKind::Tag { time, codec }, payload),
        }
    }

    /// Forgets a client and everything it carries.
    pub(super) fn end_session(&mut self, now: Time, id: SessionId, reason: EndReason) {
        let Some(mut session) = self.sessions.remove(&id) else {
            return;
        };
        self.leave_rtmfp(now, &mut session, reason);
        for stream in &session.streams {
            self.close_leg(now, stream.leg);
        }
        tracing::debug!(session = %id, reason = reason.label(), "client gone");
        self.outbox.close_session(id);
        self.outbox.event(Event::SessionClosed { session: id, reason });
    }
}

impl Session {
    /// The next thing the connection brought; its payload, if any, is copied into `payload`.
    fn next_step(&mut self, id: SessionId, payload: &mut Vec<u8>) -> Option<Step> {
        let event = match self.conn.poll_event() {
            Ok(event) => event?,
            Err(error) => {
                tracing::info!(session = %id, peer = %Redacted(self.peer), %error, "client session ended");
                return Some(Step::Over(EndReason::Malformed));
            }
        };
        Some(match event {
            RtmpEvent::Connect(connect) => Step::Connect(connect),
            RtmpEvent::Publish { stream, name, .. } => Step::Open {
                stream,
                name,
                publishes: true,
            },
            RtmpEvent::Play { stream, name, .. } => Step::Open {
                stream,
                name,
                publishes: false,
            },
            RtmpEvent::Unpublish { stream } => Step::Close {
                stream,
                publishes: true,
            },
            RtmpEvent::StopPlay { stream } => Step::Close {
                stream,
                publishes: false,
            },
            RtmpEvent::Audio {
                stream,
                timestamp,
                payload: bytes,
            } => {
                payload.extend_from_slice(bytes);
                Step::Audio { stream, timestamp }
            }
            RtmpEvent::Video {
                stream,
                timestamp,
                payload: bytes,
            } => {
                payload.extend_from_slice(bytes);
                Step::Video { stream, timestamp }
            }
            RtmpEvent::Data {
                stream,
                timestamp,
                payload: bytes,
                ..
            } => {
                payload.extend_from_slice(bytes);
                Step::Data { stream, timestamp }
            }
            RtmpEvent::Command(call) => Step::Command(call),
            RtmpEvent::Closed => Step::Over(EndReason::HungUp),
            _ => Step::Nothing,
        })
    }
}
