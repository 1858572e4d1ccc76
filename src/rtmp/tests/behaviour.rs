//! What the server makes of messages that well-behaved clients do not send, and of those that real ones do.

use std::time::Duration;

use base::{Rng, Time};
use rtmp::amf::{Value, object};
use rtmp::chunk::{Header, Payload, Reader, Step, Writer};
use rtmp::message::{Command, Message, kind};
use rtmp::server::{Connection, Event, ServerConfig};
use rtmp::{Error, Limits, amf0};

/// A server that accepts everything, and the chunks of a client made by hand.
struct Raw {
    server: Connection,
    writer: Writer,
    reader: Reader,
    now: Time,
}

/// How the owner accepts what is asked for on a stream.
type Accept = fn(&mut Connection, u32);

/// An answer of the server: message type, stream, body.
type Answer = (u8, u32, Vec<u8>);

impl Raw {
    fn new() -> Raw {
        let now = Time::from_secs(1);
        let mut server = Connection::new(ServerConfig::default(), Rng::new(1), now);
        let mut hello = vec![3];
        hello.resize(1 + 1536 + 1536, 0);
        server.handle_input(now, &hello);
        assert_eq!(server.poll_event(), Ok(None));
        server.poll_transmit(now, &mut Vec::new(), 1);
        Raw {
            server,
            writer: Writer::default(),
            reader: Reader::new(Limits::default()),
            now,
        }
    }

    /// Connected, with stream 1 made.
    fn connected() -> Raw {
        let mut raw = Raw::new();
        raw.command(0, "connect", 1.0, object([("app", "live".into())]), &[]);
        raw.command(0, "createStream", 2.0, Value::Null, &[]);
        raw.answers();
        raw
    }

    /// Sends a message; the events of it.
    fn send(&mut self, kind: u8, stream: u32, timestamp: u32, body: &[u8]) -> Vec<String> {
        let mut out = Vec::new();
        let header = Header {
            kind,
            stream,
            timestamp,
            len: body.len(),
        };
        self.writer.message(3 + u32::from(kind), header, body, &mut out);
        self.now += Duration::from_millis(20);
        self.server.handle_input(self.now, &out);
        let mut seen = Vec::new();
        loop {
            let accept: Option<(Accept, u32)> = match self.server.poll_event() {
                Ok(None) => return seen,
                Err(e) => {
                    seen.push(format!("{e:?}"));
                    return seen;
                }
                Ok(Some(event)) => {
                    seen.push(format!("{event:?}"));
                    match event {
                        Event::Connect(_) => Some((|c, _| c.accept_connect(), 0)),
                        Event::Publish { stream, .. } => Some((Connection::accept_publish, stream)),
                        Event::Play { stream, .. } => Some((Connection::accept_play, stream)),
                        _ => None,
                    }
                }
            };
            if let Some((accept, stream)) = accept {
                accept(&mut self.server, stream);
            }
        }
    }

    fn command(&mut self, stream: u32, name: &str, txn: f64, object: Value, args: &[Value]) -> Vec<String> {
        let mut body = Vec::new();
        amf0::encode_all(&[name.into(), txn.into(), object], &mut body);
        amf0::encode_all(args, &mut body);
        self.send(kind::COMMAND, stream, 0, &body)
    }

    /// What the server has to say.
    fn answers(&mut self) -> Vec<Answer> {
        let mut out = Vec::new();
        self.server.poll_transmit(self.now, &mut out, usize::MAX);
        let (mut at, mut got) = (0, Vec::new());
        loop {
            match self.reader.step(&out[at..]) {
                Ok(Step::Used(used)) => at += used,
                Ok(Step::Message {
                    used,
                    header,
                    payload,
                }) => {
                    let body = match payload {
                        Payload::Input(range) => out[at..][range].to_vec(),
                        Payload::Gathered(i) => self.reader.gathered(i).to_vec(),
                    };
                    at += used;
                    got.push((header.kind, header.stream, body));
                }
                _ => return got,
            }
        }
    }

    /// The server's commands: type, name, transaction, first argument.
    fn replies(&mut self) -> Vec<(u8, String, f64, Value)> {
        let commands = self.answers().into_iter().filter(|a| matches!(a.0, 17 | 20));
        let decoded = commands.map(|(kind, stream, payload)| {
            let message = Message {
                kind,
                stream,
                timestamp: 0,
                payload: &payload,
            };
            let c = Command::decode(&message, 100).unwrap_or_default();
            (kind, c.name, c.txn, c.args.first().cloned().unwrap_or_default())
        });
        decoded.collect()
    }

    fn codes(&mut self) -> Vec<String> {
        let code = |v: Value| v.get("code").and_then(Value::as_str).map(str::to_owned);
        self.replies().into_iter().filter_map(|r| code(r.3)).collect()
    }
}

#[test]
fn connect_keeps_url_arguments_and_query() {
    // rml_rtmp 0.8 drops all but the application's name.
    let mut raw = Raw::new();
    let object = object([
        ("app", "sip/bob@h/?token=a%20b".into()),
        ("tcUrl", "rtmp://gw/sip/bob@h".into()),
    ]);
    let seen = raw.command(0, "connect", 1.0, object, &["bob".into(), "secret".into()]);
    for part in [
        r#"app: "sip", instance: "bob@h", tc_url: "rtmp://gw/sip/bob@h", query: "token=a%20b""#,
        r#"args: [String("bob"), String("secret")]"#,
    ] {
        assert!(seen[0].contains(part), "{}", seen[0]);
    }
}

#[test]
fn publish_without_a_type_is_live() {
    // rml_rtmp 0.8 refuses it.
    let mut raw = Raw::connected();
    let seen = raw.command(1, "publish", 0.0, Value::Null, &["a?user=x".into()]);
    assert_eq!(
        seen,
        [r#"Publish { stream: 1, name: StreamName { name: "a", query: "user=x" }, kind: Live }"#]
    );
    assert_eq!(raw.codes(), ["NetStream.Publish.Start"]);
}

#[test]
fn publish_null_and_false_and_play_false_end_it() {
    for end in [Value::Null, false.into()] {
        let mut raw = Raw::connected();
        raw.command(1, "publish", 0.0, Value::Null, &["a".into()]);
        assert_eq!(
            raw.command(1, "publish", 0.0, Value::Null, std::slice::from_ref(&end)),
            ["Unpublish { stream: 1 }"]
        );
        raw.command(1, "play", 0.0, Value::Null, &["a".into()]);
        assert_eq!(
            raw.command(1, "play", 0.0, Value::Null, &[end]),
            ["StopPlay { stream: 1 }"]
        );
    }
}

#[test]
fn delete_by_name_ends_all_streams_of_that_name() {
    let mut raw = Raw::connected();
    raw.command(0, "createStream", 3.0, Value::Null, &[]);
    raw.command(1, "publish", 0.0, Value::Null, &["a".into()]);
    raw.command(2, "play", 0.0, Value::Null, &["a".into()]);
    assert_eq!(
        raw.command(0, "deleteStream", 0.0, Value::Null, &["a".into()]),
        ["Unpublish { stream: 1 }", "StopPlay { stream: 2 }"]
    );
    assert!(
        raw.command(1, "publish", 0.0, Value::Null, &["a".into()])
            .is_empty()
    );
}

#[test]
fn aggregates_come_as_their_parts() {
    let mut raw = Raw::connected();
    raw.command(1, "publish", 0.0, Value::Null, &["a".into()]);
    let mut body = Vec::new();
    for (time, last) in [(500u16, 1u8), (520, 2)] {
        let [high, low] = time.to_be_bytes();
        body.extend([8, 0, 0, 2, 0, high, low, 0, 0, 0, 0, 0xB2, last, 0, 0, 0, 13]);
    }
    // Longer than a chunk and cut into several.
    body.extend([0; 200]);
    assert_eq!(
        raw.send(kind::AGGREGATE, 1, 1000, &body),
        [
            "Audio { stream: 1, timestamp: 1000, payload: [178, 1] }",
            "Audio { stream: 1, timestamp: 1020, payload: [178, 2] }"
        ]
    );
}

#[test]
fn media_without_data_or_without_a_publisher_is_ignored() {
    let mut raw = Raw::connected();
    assert!(raw.send(kind::AUDIO, 1, 0, &[0xB2, 1]).is_empty());
    raw.command(1, "publish", 0.0, Value::Null, &["a".into()]);
    assert!(raw.send(kind::AUDIO, 1, 0, &[]).is_empty());
    assert!(raw.send(kind::AUDIO, 1, 0, &[0xB2]).is_empty());
    assert!(raw.send(kind::VIDEO, 1, 0, &[]).is_empty());
    assert_eq!(raw.send(kind::AUDIO, 1, 0, &[0xB2, 1]).len(), 1);
    assert_eq!(raw.server.stats().ignored_in, 1);
}

#[test]
fn a_client_of_amf3_is_answered_in_kind() {
    let mut raw = Raw::new();
    let connect = object([("app", "sip".into()), ("objectEncoding", 3.0.into())]);
    raw.command(0, "connect", 1.0, connect, &[]);
    let replies = raw.replies();
    let (kind, name, txn, info) = &replies[0];
    assert_eq!((*kind, name.as_str(), *txn), (20, "_result", 1.0));
    assert_eq!(info.get("objectEncoding"), Some(&3.0.into()));
    let mut body = vec![0];
    amf0::encode_all(&["invite".into(), 2.0.into(), Value::Null], &mut body);
    // One argument in AMF3: the integer 5.
    body.extend([0x11, 0x04, 0x05]);
    let seen = raw.send(kind::COMMAND_AMF3, 0, 0, &body);
    assert!(
        seen[0].contains(r#"name: "invite", txn: 2.0, object: Null, args: [Number(5.0)]"#),
        "{}",
        seen[0]
    );
    raw.server.reply_result(2.0, &["ok".into()]);
    assert_eq!(raw.replies(), [(17, "_result".to_owned(), 2.0, "ok".into())]);
}

#[test]
fn data_of_both_types_is_named() {
    let mut raw = Raw::connected();
    raw.command(1, "publish", 0.0, Value::Null, &["a".into()]);
    let mut body = Vec::new();
    amf0::encode_all(&["onText".into(), "hello".into()], &mut body);
    let plain = raw.send(kind::DATA, 1, 5, &body);
    body.insert(0, 0);
    let amf3 = raw.send(kind::DATA_AMF3, 1, 5, &body);
    assert!(plain[0].contains(r#"timestamp: 5, name: "onText""#));
    assert_eq!(plain, amf3);
    assert!(raw.send(kind::DATA, 1, 0, &[5]).is_empty());
}

#[test]
fn streams_are_bounded_and_made_for_transaction_0_too() {
    let mut raw = Raw::connected();
    for n in 2..=16u32 {
        raw.command(0, "createStream", 0.0, Value::Null, &[]);
        assert_eq!(raw.replies(), [(20, "_result".to_owned(), 0.0, n.into())]);
    }
    raw.command(0, "createStream", 9.0, Value::Null, &[]);
    assert_eq!(raw.codes(), ["NetConnection.Call.Failed"]);
}

#[test]
fn a_paused_or_deaf_player_gets_nothing() {
    let mut raw = Raw::connected();
    raw.command(1, "play", 0.0, Value::Null, &["a".into()]);
    raw.answers();
    let now = raw.now;
    let send = |raw: &mut Raw| raw.server.send_audio(now, 1, 0, &[&[0xB2, 1]], false);
    assert!(send(&mut raw));
    assert_eq!(
        raw.command(1, "pause", 0.0, Value::Null, &[true.into(), 400.0.into()]),
        ["Pause { stream: 1, on: true, position: 400 }"]
    );
    assert!(!send(&mut raw));
    assert_eq!(raw.codes(), ["NetStream.Pause.Notify"]);
    raw.command(1, "pause", 0.0, Value::Null, &[false.into(), 400.0.into()]);
    assert_eq!(raw.codes(), ["NetStream.Unpause.Notify"]);
    assert!(send(&mut raw));
    raw.command(1, "receiveAudio", 0.0, Value::Null, &[false.into()]);
    assert!(!send(&mut raw));
    raw.server.set_receive_audio(1, true);
    assert!(send(&mut raw));
    assert_eq!(
        raw.command(1, "seek", 0.0, Value::Null, &[1000.0.into()]),
        ["Seek { stream: 1, position: 1000 }"]
    );
}

#[test]
fn windows_are_acknowledged_with_the_total() {
    let mut raw = Raw::connected();
    raw.send(kind::WINDOW_ACK_SIZE, 0, 0, &5_000u32.to_be_bytes());
    raw.command(1, "publish", 0.0, Value::Null, &["a".into()]);
    raw.answers();
    let mut totals = Vec::new();
    for i in 0..10 {
        raw.send(kind::VIDEO, 1, i, &[0x22; 1000]);
        let total = raw.server.stats().bytes_in as u32;
        for (kind, _, body) in raw.answers() {
            assert_eq!(
                (kind, body),
                (kind::ACKNOWLEDGEMENT, total.to_be_bytes().to_vec())
            );
            totals.push(total);
        }
    }
    assert_eq!(totals.len(), 2);
    assert!(totals[1] - totals[0] >= 5_000);
}

#[test]
fn too_large_a_message_and_broken_amf_end_the_session() {
    let mut raw = Raw::connected();
    let limit = Limits::default().message;
    let seen = raw.send(kind::AUDIO, 1, 0, &vec![0; limit + 1]);
    let error = Error::MessageTooLarge {
        kind: kind::AUDIO,
        len: limit + 1,
        limit,
    };
    assert_eq!(seen, [format!("{error:?}")]);
    assert!(raw.server.is_finished());
    let mut raw = Raw::connected();
    let seen = raw.send(kind::COMMAND, 0, 0, &[3u8, 0, 1, b'a'].repeat(100));
    assert_eq!(seen, ["Amf(Depth)"]);
}

#[test]
fn shared_objects_and_unknown_messages_are_ignored() {
    let mut raw = Raw::connected();
    for kind in [kind::SHARED_OBJECT, kind::SHARED_OBJECT_AMF3, 7, 99] {
        assert!(raw.send(kind, 0, 0, &[1, 2, 3]).is_empty());
    }
    assert_eq!(raw.server.stats().ignored_in, 4);
}
