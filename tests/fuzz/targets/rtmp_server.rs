//! A server connection against any bytes after a handshake, in pieces, with an owner that answers and plays.
//! The first byte says how; a piece is up to 255 bytes long.
#![no_main]

use std::time::Duration;

use base::{Rng, Time};
use libfuzzer_sys::fuzz_target;
use rtmp::server::{Call, Connection, Event, ServerConfig};

enum Do {
    Nothing,
    Connect,
    Publish(u32),
    Play(u32),
    Answer(Box<Call>),
    Echo(u32, Vec<u8>),
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&how, bytes)) = bytes.split_first() else {
        return;
    };
    let mut now = Time::from_secs(1);
    let mut c = Connection::new(ServerConfig::default(), Rng::new(u64::from(how)), now);
    if how & 1 == 0 {
        let mut hello = vec![3];
        hello.resize(1 + 1536 + 1536, 0);
        c.handle_input(now, &hello);
    }
    let mut out = Vec::new();
    let mut players = Vec::new();
    for part in bytes.chunks(usize::from(how | 1)) {
        now += Duration::from_millis(20);
        c.handle_input(now, part);
        loop {
            let act = match c.poll_event() {
                Ok(None) => break,
                Err(e) => {
                    let _ = e.to_string();
                    assert_eq!(c.poll_event(), Err(e));
                    assert!(c.is_finished());
                    return;
                }
                Ok(Some(event)) => match event {
                    Event::Connect(_) => Do::Connect,
                    Event::Publish { stream, .. } => Do::Publish(stream),
                    Event::Play { stream, .. } => Do::Play(stream),
                    Event::Command(call) => Do::Answer(call),
                    Event::Audio {
                        timestamp, payload, ..
                    }
                    | Event::Video {
                        timestamp, payload, ..
                    } => {
                        assert!(payload.len() > 1);
                        Do::Echo(timestamp, payload.to_vec())
                    }
                    _ => Do::Nothing,
                },
            };
            match act {
                Do::Nothing => {}
                Do::Connect if how & 2 == 0 => c.accept_connect(),
                Do::Connect => c.reject_connect("NetConnection.Connect.Rejected", "no"),
                Do::Publish(stream) => c.accept_publish(stream),
                Do::Play(stream) => {
                    c.accept_play(stream);
                    players.push(stream);
                }
                Do::Answer(call) => c.reply_default(&call),
                Do::Echo(time, body) => {
                    for &stream in players.iter().take(4) {
                        c.send_audio(now, stream, time, &[&body], how & 4 == 0);
                        c.send_video(now, stream, time, &[&body]);
                    }
                }
            }
        }
        if c.poll_timeout().is_some_and(|t| t <= now) {
            c.handle_timeout(now);
        }
        out.clear();
        c.poll_transmit(now, &mut out, 1000);
        let (commands, audio, _) = c.queue_depths();
        assert!(commands <= 256 && audio <= 32);
    }
    c.close(now, "bye");
    out.clear();
    while c.poll_transmit(now, &mut out, 1 << 16) > 0 {}
    let _ = c.poll_event();
    assert!(c.is_finished());
});
