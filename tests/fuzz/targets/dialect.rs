//! The client dialects by operations: commands with any arguments, events of the exchange and names of streams in
//! any order.
#![no_main]

#[allow(dead_code, unreachable_pub, reason = "the daemon uses all of it")]
#[path = "../../../src/dialect/mod.rs"]
mod dialect;

use base::{EndReason, Rng};
use call::{AccountId, Line, LineEvent, LineIntent, Outcome};
use codecs::CodecId;
use dialect::client::{self, Deed, Identity};
use dialect::{Act, Acts, Kind, Options};
use libfuzzer_sys::fuzz_target;
use rtmp::amf::{Value, object};
use rtmp::server::{Call, Connect, StreamName};

/// Every command of every dialect, and one that is none's.
const COMMANDS: &[&str] = &[
    "invite", "accept", "reject", "bye", "sendDTMF", "hold", "sendMessage", "sendPagingMessage", "login", "logout",
    "register", "unregister", "makeCall", "answer", "attach", "hangup", "transfer", "three_way", "join", "sendevent",
    "log", "FCSubscribe", "open", "call", "dtmf", "joinConf", "addToConf", "streamStatus", "close", "getStreams",
    "onPing", "voiceconf.call", "voiceconf.hangup", "nothing",
];

const TEXTS: &[&str] = &[
    "", "u1", "u2", "alice@example.com", "bob@example.com", "sip:bob@example.com", "wideband", "narrowband", "pcmu",
    "ulaw", "dtmf", "486 Busy Here", "Decline", "USER_BUSY", "17", "conference/x", "speaker_1", "microphone_1", "é\r\n",
    "true",
];

const APPS: &[(&str, &str)] = &[
    ("sip", "alice@example.com"),
    ("sip", "a%20b"),
    ("phone", ""),
    ("sip", ""),
    ("call", "x"),
    ("none", ""),
];

/// More than this a session never keeps, in bytes of its description.
const BOUND: usize = 1 << 20;

struct Dice<'a>(&'a [u8]);

impl Dice<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((b, rest)) => {
                self.0 = rest;
                *b
            }
            None => 0,
        }
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[usize::from(self.byte()) % list.len()]
    }
}

/// What the client may know: what it was called with.
fn value(dice: &mut Dice<'_>, heard: &[String]) -> Value {
    match dice.byte() % 8 {
        0 => Value::Null,
        1 => Value::Boolean(dice.byte() & 1 == 1),
        2 => Value::Number(f64::from(dice.byte()) * 1e300),
        3 => Value::Number(f64::from(dice.byte())),
        4 => object([(dice.pick(&["X-A", "sip_h_X-B", "_body", "c"]), Value::from(dice.pick(TEXTS)))]),
        5 | 6 if !heard.is_empty() => heard[usize::from(dice.byte()) % heard.len()].as_str().into(),
        7 => "x".repeat(usize::from(dice.byte()) * 40).into(),
        _ => dice.pick(TEXTS).into(),
    }
}

fn event(dice: &mut Dice<'_>, lines: &[Line]) -> LineEvent {
    let mut line = Line(u32::from(dice.byte() % 4) + if dice.byte() & 1 == 1 { Line::INCOMING } else { 0 });
    if !lines.is_empty() && dice.byte() & 1 == 1 {
        line = dice.pick(lines);
    }
    let account = AccountId(u32::from(dice.byte() % 4));
    let on = dice.byte() & 1 == 1;
    let outcome = match on {
        true => Outcome::from_status(dice.pick(&[100, 180, 183, 200, 401, 404, 408, 486, 487, 603]), "Words"),
        false => Outcome::new(dice.pick(EndReason::ALL)),
    };
    let text = |dice: &mut Dice<'_>| dice.pick(TEXTS).to_owned();
    match dice.byte() % 17 {
        0 => LineEvent::LoggedIn { account, outcome },
        1 => LineEvent::LoginFailed {
            account,
            outcome,
            retrying: on,
        },
        2 => LineEvent::Incoming {
            line: Line(Line::INCOMING + u32::from(dice.byte())),
            account,
            from: text(dice),
            display: text(dice),
            to: text(dice),
            headers: vec![("X-A".to_owned(), text(dice)); usize::from(dice.byte() % 3)],
        },
        3 => LineEvent::Ringing { line, outcome },
        4 => LineEvent::Early { line, outcome },
        5 => LineEvent::Answered {
            line,
            far: None,
            near: dice.pick(&[CodecId::SpeexWb, CodecId::Pcmu, CodecId::Pcma, CodecId::Nelly8]),
        },
        6 => LineEvent::Refused { line, outcome },
        7 => LineEvent::Cancelled { line, outcome },
        8 => LineEvent::Ended { line, outcome },
        9 => LineEvent::RemoteHold { line, on },
        10 => LineEvent::LocalHold { line, on },
        11 => LineEvent::Digit { line, digit: '5' },
        12 => LineEvent::Transfer { line, outcome },
        13 => LineEvent::Display {
            line,
            name: text(dice),
            number: text(dice),
        },
        14 => LineEvent::Message {
            account: on.then_some(account),
            line: (!on).then_some(line),
            from: text(dice),
            text: text(dice),
        },
        15 => LineEvent::MessageSent { outcome },
        _ => LineEvent::Close { outcome },
    }
}

fuzz_target!(|data: &[u8]| {
    let mut dice = Dice(data);
    let (app, instance) = dice.pick(APPS);
    let args = (0..dice.byte() % 5).map(|_| value(&mut dice, &[])).collect();
    let connect = Connect {
        app: app.to_owned(),
        instance: instance.to_owned(),
        tc_url: String::new(),
        query: String::new(),
        flash_version: String::new(),
        object_encoding: 0,
        object: Value::Null,
        args,
    };
    let Ok(mut dialect) = dialect::choose(&connect, &Options::default(), Rng::new(1)) else {
        return;
    };
    // The client that belongs to it hears all it is told, and may not break either.
    let kind = match (app, instance) {
        ("phone", _) => Kind::FreeSwitch,
        ("sip", "") => dice.pick(&[Kind::Red5Phone, Kind::Bbb]),
        ("sip", _) => Kind::SipRtmp,
        _ => Kind::Stream,
    };
    let who = Identity {
        host: "example.com".to_owned(),
        user: Some("alice".to_owned()),
        ..Identity::default()
    };
    let mut client = client::client(kind, who);
    let mut acts = Acts::default();
    let mut heard: Vec<String> = Vec::new();
    let mut lines: Vec<Line> = Vec::new();
    dialect.connect(&mut acts);
    loop {
        for act in acts.take() {
            match act {
                Act::Call { callback, args, .. } => {
                    assert!(dialect.callbacks().contains(&callback), "{callback:?}");
                    assert!((callback.least..=callback.most).contains(&args.len()), "{callback:?} {args:?}");
                    if let Some(Value::String(text)) = args.first() {
                        heard.push(text.clone());
                        heard.truncate(64);
                    }
                    let call = Call {
                        stream: 0,
                        name: callback.name.to_owned(),
                        txn: 0.0,
                        object: Value::Null,
                        args,
                    };
                    let mut deeds: Vec<Deed> = Vec::new();
                    client.called(&call, &mut deeds);
                    assert!(deeds.len() < 16);
                }
                Act::Intend(LineIntent::Dial(dial)) => {
                    assert!(dial.line.0 < Line::INCOMING);
                    lines.push(dial.line);
                    lines.truncate(64);
                }
                _ => {}
            }
        }
        if dice.0.is_empty() {
            break;
        }
        match dice.byte() % 8 {
            0..=3 => {
                let name = dice.pick(COMMANDS).to_owned();
                let args = (0..dice.byte() % 9).map(|_| value(&mut dice, &heard)).collect();
                let call = Call {
                    stream: 0,
                    name,
                    txn: f64::from(dice.byte()),
                    object: Value::Null,
                    args,
                };
                dialect.command(call, &mut acts);
            }
            4 => {
                let name = StreamName::parse(dice.pick(TEXTS));
                let _ = dialect.stream(&name, dice.byte() & 1 == 1);
            }
            _ => dialect.event(event(&mut dice, &lines), &mut acts),
        }
    }
    assert!(format!("{dialect:?}").len() < BOUND);
    assert!(!dialect.decodes().is_empty() || kind == Kind::Red5Phone || kind == Kind::Bbb);
});
