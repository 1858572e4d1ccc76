//! Sessions of real clients, byte for byte.
//!
//! Files under `tests/wire/rtmp`, recorded from the program named in their first line: `C` is what the client
//! sends after its handshake, a message a line, `E` an event the owner of the server gets, `S` what the server
//! answers. The owner here accepts everything. Only time is made: 20 ms a line.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use base::{Rng, Time};
use rtmp::server::{Call, Connection, Event, ServerConfig};

/// What the owner does about an event.
enum Do {
    Nothing,
    Connect,
    Publish(u32),
    Play(u32),
    Answer(Box<Call>),
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let value = |b: u8| char::from(b).to_digit(16).unwrap_or(0) as u8;
    digits.chunks(2).map(|p| value(p[0]) << 4 | value(p[1])).collect()
}

/// Plays the client's lines to a server; the transcript with the server's own lines.
fn replay(text: &str) -> String {
    let mut now = Time::from_secs(1);
    let mut server = Connection::new(ServerConfig::default(), Rng::new(1), now);
    let mut hello = vec![3];
    hello.resize(1 + 1536 + 1536, 0);
    server.handle_input(now, &hello);
    assert_eq!(server.poll_event(), Ok(None));
    let mut out = Vec::new();
    assert_eq!(server.poll_transmit(now, &mut out, 1), 1 + 1536 + 1536);
    let mut lines = Vec::new();
    for line in text.lines() {
        let Some(sent) = line.strip_prefix("C ") else {
            if line.starts_with('#') {
                lines.push(line.to_owned());
            }
            continue;
        };
        lines.push(line.to_owned());
        now += Duration::from_millis(20);
        server.handle_input(now, &hex(sent));
        loop {
            let (shown, act) = match server.poll_event() {
                Ok(None) => break,
                Err(e) => {
                    lines.push(format!("E error {e:?}"));
                    break;
                }
                Ok(Some(event)) => (
                    format!("E {event:?}"),
                    match event {
                        Event::Connect(_) => Do::Connect,
                        Event::Publish { stream, .. } => Do::Publish(stream),
                        Event::Play { stream, .. } => Do::Play(stream),
                        Event::Command(call) => Do::Answer(call),
                        _ => Do::Nothing,
                    },
                ),
            };
            lines.push(shown);
            match act {
                Do::Nothing => {}
                Do::Connect => server.accept_connect(),
                Do::Publish(stream) => server.accept_publish(stream),
                Do::Play(stream) => server.accept_play(stream),
                Do::Answer(call) => server.reply_default(&call),
            }
        }
        let mut out = Vec::new();
        server.poll_transmit(now, &mut out, usize::MAX);
        if !out.is_empty() {
            let bytes: Vec<String> = out.iter().map(|b| format!("{b:02x}")).collect();
            lines.push(format!("S {}", bytes.join(" ")));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

fn check(name: &str) {
    let path = format!("{}/../../tests/wire/rtmp/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let expected = std::fs::read_to_string(&path).expect(&path);
    let got = replay(&expected);
    for (i, (a, b)) in expected.lines().zip(got.lines()).enumerate() {
        assert_eq!(a, b, "{name}, line {}", i + 1);
    }
    assert_eq!(expected.lines().count(), got.lines().count(), "{name}: {got}");
}

#[test]
fn ffmpeg_publishes() {
    check("ffmpeg_publish");
}

#[test]
fn ffmpeg_plays() {
    check("ffmpeg_play");
}

#[test]
fn rtmpdump_plays() {
    check("rtmpdump_play");
}
