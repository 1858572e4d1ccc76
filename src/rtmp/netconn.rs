//! What both halves of a NetConnection share, above chunk streams: messages in, messages out.
//!
//! It works on messages, not bytes, so that RTMFP carries the same. It answers pings, keeps acknowledgement
//! windows, watches for silence and queues commands; what commands mean is the business of `server` and
//! `client`.

use std::collections::VecDeque;
use std::time::Duration;

use base::{Time, earliest};

use crate::amf::{self, Value};
use crate::error::Error;
use crate::flow::Flow;
use crate::limits::Limits;
use crate::message::{Command, Message, UserControl, encode_command, kind};
use crate::server::FlowConfig;

/// A message to be sent that is no media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Message type.
    pub kind: u8,
    /// Message stream.
    pub stream: u32,
    /// Time in ms modulo 2^32.
    pub timestamp: u32,
    /// Body.
    pub payload: Vec<u8>,
}

/// A message received, as far as it concerns the half above.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// Dealt with, or nothing that we know.
    Nothing,
    /// Not understood; counted.
    Ignored,
    /// Audio.
    Audio,
    /// Video.
    Video,
    /// A data message.
    Data,
    /// A command.
    Command(Command),
    /// A user control event other than pings.
    UserControl(UserControl),
    /// The peer acknowledged so many bytes in all.
    Acknowledged(u64),
    /// A ping was answered.
    PingRtt(Duration),
}

/// How long silence is borne.
#[derive(Clone, Debug)]
pub struct Patience {
    /// Silence after which a ping is sent.
    pub keepalive: Duration,
    /// Silence after which the peer is dead.
    pub silence: Duration,
}

/// The state both halves share.
#[derive(Debug)]
pub struct NetConnection {
    limits: Limits,
    patience: Patience,
    /// Carried by chunk streams: protocol control messages exist.
    chunked: bool,
    /// Commands go out as type 17.
    amf3: bool,
    outgoing: VecDeque<Outgoing>,
    /// Bodies of small messages that were sent, to be used again: pings and their answers come several a second.
    spare: Vec<Vec<u8>>,
    overflow: bool,
    /// Watches the peer's reading.
    pub flow: Flow,
    last_heard: Time,
    last_keepalive: Time,
    received: u64,
    acknowledged: u64,
    /// Acknowledge after so many bytes; the peer's announcement.
    window: u32,
    /// The window we announced.
    announced: u32,
    peer_acknowledged: u64,
}

/// Acknowledgement window until the peer announces one, in bytes.
const DEFAULT_WINDOW: u32 = 2_500_000;
/// Room for the body of any user control event, in bytes.
const SMALL: usize = 16;
/// Bodies kept for reuse.
const SPARE: usize = 4;
/// Smaller windows are taken as this many bytes, lest every read be answered by a message.
const MIN_WINDOW: u32 = 1024;

impl NetConnection {
    /// A new connection at `now`. `chunked` when it is carried by chunk streams rather than RTMFP flows.
    pub fn new(
        limits: Limits,
        patience: Patience,
        flow: FlowConfig,
        chunked: bool,
        now: Time,
    ) -> NetConnection {
        NetConnection {
            limits,
            patience,
            chunked,
            amf3: false,
            outgoing: VecDeque::new(),
            spare: Vec::new(),
            overflow: false,
            flow: Flow::new(flow),
            last_heard: now,
            last_keepalive: now,
            received: 0,
            acknowledged: 0,
            window: DEFAULT_WINDOW,
            announced: DEFAULT_WINDOW,
            peer_acknowledged: 0,
        }
    }

    /// Counts bytes of the carrier that arrived, and acknowledges them when a window is full (§5.4.3).
    pub fn heard(&mut self, now: Time, bytes: usize) {
        self.last_heard = now;
        self.received += bytes as u64;
        if self.chunked && self.received - self.acknowledged >= u64::from(self.window) {
            self.acknowledged = self.received;
            // The running total modulo 2^32, not the difference (rml_rtmp 0.8 sends the latter).
            self.control(kind::ACKNOWLEDGEMENT, &(self.received as u32).to_be_bytes());
        }
    }

    /// Takes a message.
    pub fn handle(&mut self, now: Time, message: &Message<'_>) -> Result<Incoming, Error> {
        let body = message.payload;
        let word = || {
            body.first_chunk::<4>()
                .map(|b| u32::from_be_bytes(*b))
                .ok_or(Error::Truncated {
                    kind: message.kind,
                    len: body.len(),
                })
        };
        Ok(match message.kind {
            // Chunk streams deal with these themselves; in RTMFP they have no meaning.
            kind::SET_CHUNK_SIZE | kind::ABORT => Incoming::Nothing,
            kind::ACKNOWLEDGEMENT if self.chunked => {
                let low = word()?;
                self.peer_acknowledged += u64::from(low.wrapping_sub(self.peer_acknowledged as u32));
                Incoming::Acknowledged(self.peer_acknowledged)
            }
            kind::WINDOW_ACK_SIZE if self.chunked => {
                self.window = word()?.max(MIN_WINDOW);
                Incoming::Nothing
            }
            kind::SET_PEER_BANDWIDTH if self.chunked => {
                let size = word()?;
                if size != self.announced && self.has_room() {
                    self.announce_window(size);
                }
                Incoming::Nothing
            }
            kind::ACKNOWLEDGEMENT | kind::WINDOW_ACK_SIZE | kind::SET_PEER_BANDWIDTH => Incoming::Nothing,
            kind::USER_CONTROL => match UserControl::decode(body) {
                Some(UserControl::PingRequest(time)) => {
                    // A flood of pings is answered as far as there is room.
                    if self.has_room() {
                        self.user_control(UserControl::PingResponse(time));
                    }
                    Incoming::Nothing
                }
                Some(UserControl::PingResponse(token)) => match self.flow.answered(token, now) {
                    Some(rtt) => Incoming::PingRtt(rtt),
                    None => Incoming::Ignored,
                },
                Some(UserControl::Other(_)) | None => Incoming::Ignored,
                Some(event) => Incoming::UserControl(event),
            },
            kind::AUDIO => Incoming::Audio,
            kind::VIDEO => Incoming::Video,
            kind::DATA | kind::DATA_AMF3 => Incoming::Data,
            kind::COMMAND | kind::COMMAND_AMF3 => {
                Incoming::Command(Command::decode(message, self.limits.amf_values)?)
            }
            _ => Incoming::Ignored,
        })
    }

    /// From now on commands are sent as type 17, as a peer with object encoding 3 does.
    pub fn use_amf3(&mut self) {
        self.amf3 = true;
    }

    /// Announces our acknowledgement window in bytes (§5.4.4).
    pub fn announce_window(&mut self, size: u32) {
        self.announced = size;
        self.control(kind::WINDOW_ACK_SIZE, &size.to_be_bytes());
    }

    /// Queues a protocol control message; nothing in RTMFP.
    pub fn control(&mut self, kind: u8, payload: &[u8]) {
        if self.chunked {
            self.queue(kind, 0, 0, payload.to_vec());
        }
    }

    /// Queues a user control event.
    pub fn user_control(&mut self, event: UserControl) {
        let mut body = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(SMALL));
        body.clear();
        event.encode(&mut body);
        self.queue(kind::USER_CONTROL, 0, 0, body);
    }

    /// Queues a command.
    pub fn command(&mut self, stream: u32, name: &str, txn: f64, object: &Value, args: &[Value]) {
        let mut body = Vec::with_capacity(64);
        let kind = if self.amf3 {
            body.push(0);
            kind::COMMAND_AMF3
        } else {
            kind::COMMAND
        };
        encode_command(name, txn, object, args, &mut body);
        self.queue(kind, stream, 0, body);
    }

    /// Queues `onStatus` (§7.2.2).
    pub fn status(&mut self, stream: u32, level: &str, code: &str, description: &str) {
        let info = status_info(level, code, description);
        self.command(stream, "onStatus", 0.0, &Value::Null, &[info]);
    }

    /// Queues any message. A full queue fails the connection at the next [`check`](Self::check).
    pub fn queue(&mut self, kind: u8, stream: u32, timestamp: u32, payload: Vec<u8>) {
        if self.outgoing.len() >= self.limits.commands {
            self.overflow = true;
            return;
        }
        self.outgoing.push_back(Outgoing {
            kind,
            stream,
            timestamp,
            payload,
        });
    }

    /// Whether what can be left out may be queued: the queue is less than half full.
    pub fn has_room(&self) -> bool {
        self.outgoing.len() < self.limits.commands / 2
    }

    /// Whether the connection is still sound.
    pub fn check(&self) -> Result<(), Error> {
        if self.overflow {
            return Err(Error::CommandQueueFull {
                limit: self.limits.commands,
            });
        }
        Ok(())
    }

    /// The next message to be sent.
    pub fn poll_message(&mut self) -> Option<Outgoing> {
        self.outgoing.pop_front()
    }

    /// Takes the body of a message back that was sent.
    pub fn give_back(&mut self, body: Vec<u8>) {
        if body.capacity() == SMALL && self.spare.len() < SPARE {
            self.spare.push(body);
        }
    }

    /// Messages waiting.
    pub fn waiting(&self) -> usize {
        self.outgoing.len()
    }

    /// Pings an idle peer; fails when it has been silent for too long. Without pings, silence is no sign.
    pub fn handle_timeout(&mut self, now: Time) -> Result<(), Error> {
        if !self.flow.pings() {
            return Ok(());
        }
        if now >= self.last_heard + self.patience.silence {
            return Err(Error::PeerSilent);
        }
        if now >= self.keepalive_time() {
            self.last_keepalive = now;
            if let Some(token) = self.flow.ping(now) {
                self.user_control(UserControl::PingRequest(token));
            }
        }
        Ok(())
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Time> {
        if !self.flow.pings() {
            return None;
        }
        earliest(
            Some(self.keepalive_time()),
            Some(self.last_heard + self.patience.silence),
        )
    }

    fn keepalive_time(&self) -> Time {
        self.last_heard.max(self.last_keepalive) + self.patience.keepalive
    }
}

/// The information object of `onStatus` and of errors.
pub(crate) fn status_info(level: &str, code: &str, description: &str) -> Value {
    amf::object([
        ("level", level.into()),
        ("code", code.into()),
        ("description", description.into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> NetConnection {
        let patience = Patience {
            keepalive: Duration::from_secs(15),
            silence: Duration::from_secs(60),
        };
        NetConnection::new(
            Limits::default(),
            patience,
            FlowConfig::default(),
            true,
            Time::ZERO,
        )
    }

    fn message(kind: u8, payload: &[u8]) -> Message<'_> {
        Message {
            kind,
            stream: 0,
            timestamp: 0,
            payload,
        }
    }

    fn take(c: &mut NetConnection, kind: u8, payload: &[u8]) -> Incoming {
        c.handle(Time::ZERO, &message(kind, payload)).unwrap()
    }

    #[test]
    fn acknowledgements_carry_the_running_total_and_wrap() {
        let mut c = connection();
        take(&mut c, kind::WINDOW_ACK_SIZE, &1_000_000u32.to_be_bytes());
        let mut totals = Vec::new();
        for _ in 0..5000 {
            c.heard(Time::ZERO, 1_000_000);
            totals.extend(c.poll_message().map(|m| (m.kind, m.payload)));
        }
        assert_eq!(totals.len(), 5000);
        assert_eq!(totals[1], (3, 2_000_000u32.to_be_bytes().to_vec()));
        assert_eq!(
            totals[4999],
            (3, (5_000_000_000u64 as u32).to_be_bytes().to_vec())
        );
    }

    #[test]
    fn the_peers_acknowledgements_are_unwrapped() {
        let mut c = connection();
        for (low, total) in [
            (0xF000_0000u32, 0xF000_0000u64),
            (0x1000_0000, 0x1_1000_0000),
            (0x1000_0000, 0x1_1000_0000),
        ] {
            assert_eq!(
                take(&mut c, kind::ACKNOWLEDGEMENT, &low.to_be_bytes()),
                Incoming::Acknowledged(total)
            );
        }
        assert_eq!(
            c.handle(Time::ZERO, &message(kind::ACKNOWLEDGEMENT, &[1])),
            Err(Error::Truncated { kind: 3, len: 1 })
        );
    }

    #[test]
    fn pings_are_answered_and_floods_of_them_bounded() {
        let mut c = connection();
        for _ in 0..10_000 {
            take(&mut c, kind::USER_CONTROL, &[0, 6, 1, 2, 3, 4]);
        }
        assert!(c.check().is_ok());
        assert_eq!(c.poll_message().unwrap().payload, [0, 7, 1, 2, 3, 4]);
    }

    #[test]
    fn unknown_user_control_events_are_ignored() {
        // rml_rtmp 0.8 ends the session.
        assert_eq!(
            take(&mut connection(), kind::USER_CONTROL, &[0, 26, 0, 0, 0, 1]),
            Incoming::Ignored
        );
        assert_eq!(take(&mut connection(), 99, &[]), Incoming::Ignored);
    }

    #[test]
    fn an_idle_peer_is_pinged_and_a_silent_one_given_up() {
        let mut c = connection();
        assert_eq!(c.poll_timeout(), Some(Time::from_secs(15)));
        c.handle_timeout(Time::from_secs(15)).unwrap();
        let ping = c.poll_message().unwrap();
        assert_eq!((ping.kind, &ping.payload[..2]), (4, &[0u8, 6][..]));
        let mut answer = ping.payload.clone();
        answer[1] = 7;
        c.heard(Time::from_millis(15_040), 20);
        assert_eq!(
            c.handle(Time::from_millis(15_040), &message(4, &answer)),
            Ok(Incoming::PingRtt(Duration::from_millis(40)))
        );
        assert_eq!(c.handle_timeout(Time::from_secs(75)), Ok(()));
        assert_eq!(
            c.handle_timeout(Time::from_millis(75_040)),
            Err(Error::PeerSilent)
        );
    }

    #[test]
    fn a_full_command_queue_fails_the_connection() {
        let mut c = connection();
        for _ in 0..256 {
            c.status(1, "status", "x", "");
        }
        assert!(c.check().is_ok());
        c.status(1, "status", "x", "");
        assert_eq!(c.check(), Err(Error::CommandQueueFull { limit: 256 }));
    }
}
