//! Dialects alone, line by line.
//!
//! Files under `tests/wire/DIALECT`: `C` is what the client does, `E` what the exchange tells; then `S` is what the
//! client is sent, `I` what the exchange is told and `N` what a stream's name means. `FLASHGATE_WRITE=1` writes the
//! answers of the present code into the files, to be read before they are kept.

use std::fs;
use std::path::{Path, PathBuf};

use base::Rng;
use call::{AccountId, Line, LineEvent, Outcome};
use codecs::CodecId;
use flashgate::dialect::{self, Act, Acts, Dialect, Options};
use rtmp::amf::{Value, object};
use rtmp::server::{Call, Connect, StreamName};
use serde_json::Value as Json;

fn amf(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(b) => (*b).into(),
        Json::Number(n) => n.as_f64().unwrap().into(),
        Json::String(s) => s.as_str().into(),
        Json::Array(a) => Value::StrictArray(a.iter().map(amf).collect()),
        Json::Object(o) => object(o.iter().map(|(k, v)| (k.as_str(), amf(v)))),
    }
}

fn list(text: &str) -> Vec<Value> {
    let json: Vec<Json> = serde_json::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    json.iter().map(amf).collect()
}

fn shown(values: &[Value]) -> String {
    Value::StrictArray(values.to_vec()).to_string()
}

/// `connect APP [ARGUMENTS] {OBJECT}`
fn connect(text: &str) -> Connect {
    let mut words = text.splitn(3, ' ');
    let path = words.next().unwrap();
    let (app, instance) = path.split_once('/').unwrap_or((path, ""));
    let args = words.next().map(list).unwrap_or_default();
    let members = words
        .next()
        .map(|o| amf(&serde_json::from_str(o).unwrap()))
        .unwrap_or(Value::Object(Vec::new()));
    Connect {
        app: app.to_owned(),
        instance: instance.to_owned(),
        tc_url: String::new(),
        query: String::new(),
        flash_version: String::new(),
        object_encoding: 0,
        object: members,
        args,
    }
}

fn event(text: &str) -> LineEvent {
    let (name, fields) = text.split_once(' ').unwrap_or((text, "{}"));
    let fields: Json = serde_json::from_str(fields).unwrap_or_else(|e| panic!("{text}: {e}"));
    let text = |key: &str| fields[key].as_str().unwrap_or_default().to_owned();
    let line = || Line(u32::try_from(fields["line"].as_u64().unwrap()).unwrap());
    let some_line = || fields["line"].as_u64().map(|_| line());
    let account = || AccountId(u32::try_from(fields["account"].as_u64().unwrap_or(1)).unwrap());
    let on = || fields["on"].as_bool().unwrap();
    let outcome = || {
        let status = text("status");
        let (code, words) = status.split_once(' ').unwrap();
        Outcome::from_status(code.parse().unwrap(), words)
    };
    match name {
        "LoggedIn" => LineEvent::LoggedIn {
            account: account(),
            outcome: outcome(),
        },
        "LoginFailed" => LineEvent::LoginFailed {
            account: account(),
            outcome: outcome(),
            retrying: fields["retrying"].as_bool().unwrap_or(false),
        },
        "Incoming" => LineEvent::Incoming {
            line: line(),
            account: account(),
            from: text("from"),
            display: text("display"),
            to: text("to"),
            headers: fields["headers"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned()))
                .collect(),
        },
        "Ringing" => LineEvent::Ringing {
            line: line(),
            outcome: outcome(),
        },
        "Early" => LineEvent::Early {
            line: line(),
            outcome: outcome(),
        },
        "Answered" => LineEvent::Answered {
            line: line(),
            far: None,
            near: match text("near").as_str() {
                "pcmu" => CodecId::Pcmu,
                "pcma" => CodecId::Pcma,
                "nelly-8" => CodecId::Nelly8,
                _ => CodecId::SpeexWb,
            },
        },
        "Refused" => LineEvent::Refused {
            line: line(),
            outcome: outcome(),
        },
        "Cancelled" => LineEvent::Cancelled {
            line: line(),
            outcome: outcome(),
        },
        "Ended" => LineEvent::Ended {
            line: line(),
            outcome: match text("status").as_str() {
                "" => Outcome::new(base::EndReason::HungUp),
                _ => outcome(),
            },
        },
        "RemoteHold" => LineEvent::RemoteHold {
            line: line(),
            on: on(),
        },
        "LocalHold" => LineEvent::LocalHold {
            line: line(),
            on: on(),
        },
        "Digit" => LineEvent::Digit {
            line: line(),
            digit: text("digit").chars().next().unwrap(),
        },
        "Transfer" => LineEvent::Transfer {
            line: line(),
            outcome: outcome(),
        },
        "Display" => LineEvent::Display {
            line: line(),
            name: text("name"),
            number: text("number"),
        },
        "Message" => LineEvent::Message {
            account: fields["account"].as_u64().map(|_| account()),
            line: some_line(),
            from: text("from"),
            text: text("text"),
        },
        "MessageSent" => LineEvent::MessageSent { outcome: outcome() },
        _ => panic!("no event {name}"),
    }
}

fn show(act: &Act) -> String {
    match act {
        Act::Accept(None) => "S _result 1 as generic servers".to_owned(),
        Act::Accept(Some(reply)) => format!(
            "S {:?} _result 1 {} {} {:?}",
            reply.before, reply.properties, reply.info, reply.after
        ),
        Act::Refuse(info) => format!("S _error 1 null {info}"),
        Act::Result { txn, values } => format!("S _result {txn} null {}", shown(values)),
        Act::Error { txn, description } => format!("S _error {txn} null {description:?}"),
        Act::Usual(call) => format!("S as generic servers: {}", call.name),
        Act::Call { callback, txn, args } => format!("S {} {txn} null {}", callback.name, shown(args)),
        Act::OpenGates => "S (media may flow)".to_owned(),
        Act::Intend(intent) => format!("I {intent:?}"),
        Act::Log(text) => format!("(log) {text:?}"),
    }
}

fn replay(text: &str) -> String {
    let mut dialect: Option<Box<dyn Dialect>> = None;
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut acts = Acts::default();
        if let Some(said) = line.strip_prefix("C connect ") {
            lines.push(line.to_owned());
            match dialect::choose(&connect(said), &Options::default(), Rng::new(7)) {
                Ok(mut chosen) => {
                    chosen.connect(&mut acts);
                    dialect = Some(chosen);
                }
                Err(rejected) => lines.push(format!("S {rejected:?}")),
            }
        } else if let Some(said) = line.strip_prefix("C publish ").or(line.strip_prefix("C play ")) {
            lines.push(line.to_owned());
            let publishes = line.starts_with("C publish");
            let named = dialect
                .as_ref()
                .unwrap()
                .stream(&StreamName::parse(said), publishes);
            lines.push(match named {
                Some(named) => format!("N {:?}", named.stream_use),
                None => "N none".to_owned(),
            });
        } else if let Some(said) = line.strip_prefix("C ") {
            lines.push(line.to_owned());
            let mut words = said.splitn(3, ' ');
            let name = words.next().unwrap().to_owned();
            let txn = words.next().unwrap().parse().unwrap();
            let args = words.next().map(list).unwrap_or_default();
            let call = Call {
                stream: 0,
                name,
                txn,
                object: Value::Null,
                args,
            };
            dialect.as_mut().unwrap().command(call, &mut acts);
        } else if let Some(told) = line.strip_prefix("E ") {
            lines.push(line.to_owned());
            dialect.as_mut().unwrap().event(event(told), &mut acts);
        } else if line.is_empty() || line.starts_with('#') {
            lines.push(line.to_owned());
            continue;
        } else {
            // What the code says stands there instead.
            continue;
        }
        for act in acts.take() {
            if let Act::Call { callback, args, .. } = &act {
                assert!(dialect.as_ref().unwrap().callbacks().contains(callback), "{line}");
                assert!((callback.least..=callback.most).contains(&args.len()), "{line}");
            }
            lines.push(show(&act));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

fn check(name: &str) {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/wire")
        .join(name);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let expected = fs::read_to_string(&file).unwrap();
        let got = replay(&expected);
        if std::env::var_os("FLASHGATE_WRITE").is_some() {
            fs::write(&file, got).unwrap();
            continue;
        }
        for (i, (expected, got)) in expected.lines().zip(got.lines()).enumerate() {
            assert_eq!(got, expected, "{}, line {}", file.display(), i + 1);
        }
        assert_eq!(
            got.lines().count(),
            expected.lines().count(),
            "{}",
            file.display()
        );
    }
}

#[test]
fn siprtmp() {
    check("siprtmp");
}

#[test]
fn freeswitch() {
    check("freeswitch");
}

#[test]
fn red5phone() {
    check("red5phone");
}

#[test]
fn bbb() {
    check("bbb");
}
