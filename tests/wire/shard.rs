//! The same through a whole shard: a real client connection, its bytes, and what the exchange is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::{EndReason, LegId, Rng, SessionId, ShardId, Time};
use call::{AccountId, Intent, Line, LineEvent, LineIntent, Outcome, Proof, StreamEvent, StreamUse};
use codecs::CodecId;
use flashgate::config::Config;
use flashgate::shard::{Command, Event, Output, Settings, Shard};
use rtmp::amf::Value;
use rtmp::client::{ClientConfig, ConnectRequest, Connection, Event as Heard};
use rtmp::server::PublishKind;

const SESSION: SessionId = SessionId(1);

/// A client, a shard, and nothing between them.
struct Wire {
    now: Time,
    shard: Shard,
    client: Connection,
    /// What the exchange is told.
    events: Vec<Event>,
    /// What the client hears, in words.
    heard: Vec<String>,
    /// The gateway has closed the connection.
    closed: bool,
}

impl Wire {
    fn new(app: &str, args: &[&str]) -> Wire {
        Wire::of_encoding(app, args, 0)
    }

    /// The client's commands and ours are in AMF0 (0) or AMF3 (3).
    fn of_encoding(app: &str, args: &[&str], object_encoding: u8) -> Wire {
        let now = Time::from_secs(10);
        let settings = Arc::new(Settings::new(&Config::default()));
        let mut shard = Shard::new(ShardId(0), settings, Rng::new(1));
        shard.handle_accepted(now, SESSION, SocketAddr::from(([192, 0, 2, 9], 4_000)));
        let mut client = Connection::new(ClientConfig::default(), Rng::new(2), now);
        let mut request = ConnectRequest::player(app, &format!("rtmp://gw.test/{app}"));
        request.args = args.iter().map(|a| Value::from(*a)).collect();
        request.object_encoding = object_encoding;
        client.connect(&request);
        let mut wire = Wire {
            now,
            shard,
            client,
            events: Vec::new(),
            heard: Vec::new(),
            closed: false,
        };
        wire.run();
        wire
    }

    /// Until nobody has anything to say.
    fn run(&mut self) {
        loop {
            let mut bytes = Vec::new();
            self.client.poll_transmit(self.now, &mut bytes, usize::MAX);
            let mut quiet = bytes.is_empty();
            if !quiet {
                self.shard.handle_bytes(self.now, SESSION, &bytes);
            }
            while let Some(output) = self.shard.poll_output() {
                match output {
                    Output::Event(event) => self.events.push(event),
                    Output::CloseSession { .. } => self.closed = true,
                    _ => {}
                }
            }
            let mut bytes = Vec::new();
            self.shard.transmit(self.now, SESSION, &mut bytes, usize::MAX);
            if !bytes.is_empty() {
                quiet = false;
                self.client.handle_input(self.now, &bytes);
            }
            while let Some(event) = self.client.poll_event().unwrap() {
                self.heard.push(match event {
                    Heard::Connected { info, .. } => format!("connected {info}"),
                    Heard::Rejected { info, .. } => format!("rejected {info}"),
                    Heard::Command(call) => {
                        format!("{} {} {}", call.name, call.txn, Value::StrictArray(call.args))
                    }
                    Heard::Reply { txn, ok, values } => {
                        format!("reply {txn} {ok} {}", Value::StrictArray(values))
                    }
                    Heard::Audio {
                        timestamp, payload, ..
                    } => format!("audio {timestamp} {payload:02x?}"),
                    Heard::StreamCreated { txn, stream } => format!("created {txn} {stream}"),
                    Heard::PublishStarted { stream } => format!("publishing {stream}"),
                    Heard::PlayStarted { stream } => format!("playing {stream}"),
                    Heard::Status { stream, code, .. } => format!("status {stream} {code}"),
                    Heard::Data { name, .. } => format!("data {name}"),
                    Heard::StreamBegin { stream } => format!("begin {stream}"),
                    _ => continue,
                });
            }
            if quiet {
                return;
            }
        }
    }

    fn tell(&mut self, event: LineEvent) {
        let session = SESSION;
        self.shard
            .handle_command(self.now, Command::Line { session, event });
        self.run();
    }

    /// What the client heard since the last time.
    fn heard(&mut self) -> Vec<String> {
        std::mem::take(&mut self.heard)
    }

    /// What the exchange was told since the last time.
    fn intents(&mut self) -> Vec<Intent> {
        std::mem::take(&mut self.events)
            .into_iter()
            .filter_map(|event| match event {
                Event::Intent { intent, .. } => Some(intent),
                _ => None,
            })
            .collect()
    }

    fn after(&mut self, time: Duration) {
        self.now += time;
        self.client.handle_timeout(self.now);
        self.shard.handle_timeout(self.now);
        self.run();
    }

    fn call(&mut self, name: &str, args: &[Value]) {
        self.client.call(0, name, args);
        self.run();
    }

    /// The exchange lets a stream be.
    fn let_be(&mut self, leg: LegId) {
        self.shard.handle_command(
            self.now,
            Command::Stream {
                session: SESSION,
                leg,
                event: StreamEvent::Accepted,
            },
        );
        self.run();
    }
}

fn registered() -> LineEvent {
    LineEvent::LoggedIn {
        account: AccountId(1),
        outcome: Outcome::from_status(200, "OK"),
    }
}

/// The one publish or play among the intents.
fn stream(intents: &[Intent]) -> (LegId, StreamUse, Vec<CodecId>) {
    let mut found = intents.iter().filter_map(|i| match i {
        Intent::Publish { leg, stream_use, .. } => Some((*leg, *stream_use, Vec::new())),
        Intent::Play {
            leg,
            stream_use,
            announced,
            ..
        } => Some((*leg, *stream_use, announced.clone())),
        _ => None,
    });
    let one = found.next().unwrap();
    assert!(found.next().is_none(), "{intents:?}");
    one
}

#[test]
fn a_siprtmp_client_waits_for_the_registrar_and_calls() {
    let mut w = Wire::new("sip/alice@example.com", &["alice", "secret", "Alice"]);
    let intents = w.intents();
    let login = intents.iter().find_map(|i| match i {
        Intent::Line(LineIntent::Login { login, .. }) => Some(login.clone()),
        _ => None,
    });
    let login = login.unwrap();
    assert_eq!((login.aor.as_str(), login.register), ("alice@example.com", true));
    assert!(matches!(&login.proof, Proof::Password(secret) if secret.reveal() == "secret"));
    assert!(
        !format!("{intents:?}").contains("secret\""),
        "the password is in no log"
    );
    w.after(Duration::from_secs(5));
    assert_eq!(w.heard(), Vec::<String>::new());

    w.tell(registered());
    assert_eq!(
        w.heard(),
        [
            "connected {level: \"status\", code: \"NetConnection.Connect.Success\", description: \
             \"Connection succeeded.\", fmsVer: \"rtmplite/8,2\", details: null}"
        ]
    );

    // Both streams at once, as VideoPhone makes them; the call comes later.
    let (a, b) = (w.client.create_stream(), w.client.create_stream());
    w.run();
    assert_eq!(w.heard(), [format!("created {a} 1"), format!("created {b} 2")]);
    w.client.publish_on(1, "local", PublishKind::Live);
    w.run();
    let (publishing, stream_use, _) = stream(&w.intents());
    assert_eq!(stream_use, StreamUse::Attached);
    w.let_be(publishing);
    w.client.play_on(2, "remote?x=1");
    w.run();
    let (playing, _, decodes) = stream(&w.intents());
    assert_eq!(decodes, [CodecId::SpeexWb]);
    w.let_be(playing);
    // SetBufferLength is answered, too; no Reset, no RtmpSampleAccess.
    assert_eq!(w.heard(), ["publishing 1", "begin 2", "begin 2", "playing 2"]);

    w.call("invite", &["sip:bob@example.com".into(), "pcmu".into()]);
    let intents = w.intents();
    let line = intents.iter().find_map(|i| match i {
        Intent::Line(LineIntent::Dial(dial)) => {
            assert_eq!(dial.codecs, [CodecId::Pcmu]);
            Some(dial.line)
        }
        _ => None,
    });
    let line = line.unwrap();
    assert!(intents.contains(&Intent::Line(LineIntent::Attach { line: Some(line) })));
    w.tell(LineEvent::Answered {
        line,
        far: Some(CodecId::Pcmu),
        near: CodecId::Pcmu,
    });
    let heard = w.heard();
    assert_eq!(heard[1], "accepted 2 [\"pcmu\", null]", "{heard:?}");

    // The streams are used again, on the same ids, and the latest of them count.
    w.client.close_stream(1);
    w.run();
    assert_eq!(w.intents(), [Intent::Close { leg: publishing }]);
    w.client.publish_on(1, "local", PublishKind::Live);
    w.run();
    let (first, ..) = stream(&w.intents());
    w.client.publish("local", PublishKind::Live);
    w.run();
    let intents = w.intents();
    assert!(intents.contains(&Intent::Close { leg: first }), "{intents:?}");

    w.tell(LineEvent::Ended {
        line,
        outcome: Outcome::new(EndReason::HungUp),
    });
    assert_eq!(w.heard().last().unwrap(), "byed 3 []");
    // The connection stays: the client is registered.
    w.after(Duration::from_secs(5));
    assert!(!w.closed);
}

#[test]
fn publishing_nothing_ends_publishing() {
    for nothing in [Value::Null, Value::Boolean(false)] {
        let mut w = Wire::new("sip/alice@example.com", &[]);
        w.tell(registered());
        w.client.create_stream();
        w.run();
        w.client.publish_on(1, "local", PublishKind::Live);
        w.run();
        let (leg, ..) = stream(&w.intents());
        w.let_be(leg);
        w.client.call(1, "publish", &[nothing]);
        w.run();
        assert_eq!(w.intents(), [Intent::Close { leg }]);
        w.client.call(1, "play", &[Value::Boolean(false)]);
        w.run();
        let heard = w.heard();
        assert!(!heard.iter().any(|h| h.contains("Failed")), "{heard:?}");
    }
}

#[test]
fn a_refused_siprtmp_client_is_told_why_and_closes_itself() {
    let mut w = Wire::new("sip/alice@example.com", &["alice", "wrong"]);
    w.tell(LineEvent::LoginFailed {
        account: AccountId(1),
        outcome: Outcome::from_status(403, "Forbidden"),
        retrying: false,
    });
    let heard = w.heard();
    assert!(heard[0].starts_with("rejected {level: \"status\", code: \"NetConnection.Connect.Rejected\""));
    assert!(heard[0].contains("\"403 Forbidden\""));
    w.after(Duration::from_secs(5));
    assert!(!w.closed, "the client closes");
    w.after(Duration::from_secs(6));
    w.after(Duration::from_secs(1));
    assert!(w.closed, "unless it does not");
}

#[test]
fn an_account_taken_over_elsewhere_ends_the_session() {
    let mut w = Wire::new("sip/alice@example.com", &["alice", "secret"]);
    w.tell(registered());
    w.heard();
    w.tell(LineEvent::Close {
        outcome: Outcome::new(EndReason::HungUp),
    });
    assert_eq!(w.heard(), ["status 0 NetConnection.Connect.Closed"]);
    w.after(Duration::from_secs(2));
    assert!(w.closed);
}

#[test]
fn an_event_for_nobody_is_nothing() {
    let mut w = Wire::new("live", &[]);
    w.tell(LineEvent::Ended {
        line: Line(1),
        outcome: Outcome::new(EndReason::HungUp),
    });
    let session = SessionId(99);
    let event = registered();
    w.shard.handle_command(w.now, Command::Line { session, event });
    w.run();
    assert!(w.heard().iter().all(|h| h.starts_with("connected")));
}

/// Lets a played stream hear the tone for a while; what came, as tag byte and time.
fn tone(w: &mut Wire, to: LegId) -> Vec<(u8, u32)> {
    let (from, call) = (LegId::of_exchange(1), base::CallId(1));
    w.shard.handle_command(
        w.now,
        Command::OpenTone {
            leg: from,
            call,
            cadence: None,
        },
    );
    w.shard.handle_command(w.now, Command::Connect { from, to });
    w.heard();
    for _ in 0..100 {
        w.after(Duration::from_millis(5));
    }
    w.shard.handle_command(w.now, Command::Close { leg: from });
    w.run();
    let audio = |line: &String| {
        let (time, payload) = line.strip_prefix("audio ")?.split_once(' ')?;
        let tag = u8::from_str_radix(payload.get(1..3)?, 16).unwrap();
        Some((tag, time.parse().unwrap()))
    };
    w.heard().iter().filter_map(audio).collect()
}

#[test]
fn a_mod_rtmp_client_hears_nothing_before_it_wants_to() {
    let mut w = Wire::new("phone", &[]);
    let heard = w.heard();
    assert_eq!(heard[0], "begin 0");
    assert!(heard[1].contains("clientId: 217834719"), "{heard:?}");
    assert!(heard[2].starts_with("connected 0 [\""), "{heard:?}");
    w.client.create_stream();
    w.run();
    w.client.play_on(1, "play");
    w.run();
    w.heard();
    let (playing, stream_use, _) = stream(&w.intents());
    assert_eq!(stream_use, StreamUse::Attached);
    w.let_be(playing);
    assert_eq!(
        w.heard(),
        [
            "begin 1",
            "status 1 NetStream.Play.Reset",
            "playing 1",
            "data onStatus",
            "data |RtmpSampleAccess"
        ]
    );
    assert_eq!(tone(&mut w, playing), []);
    w.client.call(1, "receiveAudio", &[true.into()]);
    w.run();
    let audio = tone(&mut w, playing);
    assert!(audio.len() > 15, "{audio:?}");
    // One frame of Speex in each message, 20 ms apart.
    assert!(audio.iter().all(|(tag, _)| *tag == 0xB2));
    assert!(audio.windows(2).all(|w| w[1].1 - w[0].1 == 20), "{audio:?}");
}

#[test]
fn a_red5phone_client_is_told_its_streams_and_hears_nellymoser() {
    let mut w = Wire::new("sip", &[]);
    let words = ["", "u1", "1000", "alice", "pw", "gw.test", "gw.test"];
    w.call("open", &words.map(Value::from));
    w.intents();
    w.call("call", &["u1".into(), "2000".into()]);
    let line = w.intents().iter().find_map(|i| match i {
        Intent::Line(LineIntent::Dial(dial)) => Some(dial.line),
        _ => None,
    });
    let line = line.unwrap();
    // A stream of no call is refused.
    w.client.create_stream();
    w.run();
    w.client.play_on(1, "microphone_9");
    w.run();
    assert!(w.intents().is_empty());
    assert!(
        w.heard()
            .contains(&"status 1 NetStream.Play.StreamNotFound".to_owned())
    );
    w.tell(LineEvent::Answered {
        line,
        far: None,
        near: CodecId::Nelly8,
    });
    let heard = w.heard();
    let names = format!("connected 0 [\"speaker_{0}\", \"microphone_{0}\"]", line.0);
    assert_eq!(heard, [names.as_str(), "callState 0 [\"onUaCallAccepted\"]"]);
    w.client.play_on(1, &format!("microphone_{}", line.0));
    w.run();
    let (playing, stream_use, decodes) = stream(&w.intents());
    assert_eq!(
        (stream_use, decodes),
        (StreamUse::Line(line), vec![CodecId::Nelly8])
    );
    w.let_be(playing);
    let audio = tone(&mut w, playing);
    assert!(audio.len() > 10, "{audio:?}");
    assert!(audio.iter().all(|(tag, _)| *tag == 0x52), "{audio:?}");
    assert!(audio.windows(2).all(|w| w[1].1 - w[0].1 == 32), "{audio:?}");
}

#[test]
fn a_command_of_no_dialect_fails_and_ends_nothing() {
    let mut w = Wire::new("phone", &[]);
    w.call("nothing_of_the_kind", &[]);
    let heard = w.heard();
    let last = heard.last().unwrap();
    assert!(
        last.contains("false") && last.contains("NetConnection.Call.Failed"),
        "{last}"
    );
}

#[test]
fn a_client_of_amf3_is_served_alike() {
    let mut w = Wire::of_encoding("sip/alice@example.com", &["alice", "secret"], 3);
    w.tell(registered());
    assert!(w.heard()[0].contains("objectEncoding: 3"));
    w.call("invite", &["sip:bob@example.com".into(), "wideband".into()]);
    let dialled = |i: &Intent| matches!(i, Intent::Line(LineIntent::Dial(_)));
    assert!(w.intents().iter().any(dialled));
    w.tell(LineEvent::Ringing {
        line: Line(1),
        outcome: Outcome::from_status(180, "Ringing"),
    });
    assert_eq!(w.heard().last().unwrap(), "ringing 2 [\"180 Ringing\"]");
}
