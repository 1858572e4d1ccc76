//! Client and server against each other in virtual time, their bytes cut and delayed at will.

use std::collections::VecDeque;
use std::time::Duration;

use base::{Rng, Time};
use proptest::prelude::*;
use rtmp::amf::{Value, object};
use rtmp::client::{self, ClientConfig, ConnectRequest};
use rtmp::flv::AudioTag;
use rtmp::server::{self, PublishKind, ServerConfig};
use rtmp::{Error, amf0};

/// What the owner of the server does about an event.
type Answer = Box<dyn FnOnce(&mut server::Connection)>;

/// Both halves and the bytes between them.
struct Pair {
    now: Time,
    client: client::Connection,
    server: server::Connection,
    to_server: VecDeque<(Time, Vec<u8>)>,
    to_client: VecDeque<(Time, Vec<u8>)>,
    latency: Duration,
    /// Largest piece delivered at once.
    piece: usize,
    rng: Rng,
    client_reads: bool,
    /// What happened, in short.
    seen: Vec<String>,
    /// Audio that reached the client: arrival, timestamp, payload.
    heard: Vec<(Time, u32, Vec<u8>)>,
    /// Audio that reached the server.
    got: Vec<(u32, Vec<u8>)>,
    accept: bool,
}

impl Pair {
    fn new(seed: u64, server: ServerConfig, client: ClientConfig) -> Pair {
        let now = Time::from_secs(1);
        Pair {
            now,
            client: client::Connection::new(client, Rng::new(seed), now),
            server: server::Connection::new(server, Rng::new(seed + 1), now),
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            latency: Duration::from_millis(10),
            piece: usize::MAX,
            rng: Rng::new(seed + 2),
            client_reads: true,
            seen: Vec::new(),
            heard: Vec::new(),
            got: Vec::new(),
            accept: true,
        }
    }

    fn plain() -> Pair {
        Pair::new(1, ServerConfig::default(), ClientConfig::default())
    }

    fn cut(&mut self, mut bytes: Vec<u8>) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        while !bytes.is_empty() {
            let n = (1 + self.rng.below(self.piece as u64) as usize).min(bytes.len());
            let rest = bytes.split_off(n);
            parts.push(std::mem::replace(&mut bytes, rest));
        }
        parts
    }

    /// One millisecond.
    fn step(&mut self) {
        self.now += Duration::from_millis(1);
        let now = self.now;
        let mut out = Vec::new();
        self.client.poll_transmit(now, &mut out, 1 << 16);
        for part in self.cut(out) {
            self.to_server.push_back((now + self.latency, part));
        }
        let mut out = Vec::new();
        self.server.poll_transmit(now, &mut out, 1 << 16);
        for part in self.cut(out) {
            self.to_client.push_back((now + self.latency, part));
        }
        while let Some((_, part)) = self.to_server.pop_front_if(|p| p.0 <= now) {
            self.server.handle_input(now, &part);
            self.drain_server();
        }
        while self.client_reads
            && let Some((_, part)) = self.to_client.pop_front_if(|p| p.0 <= now)
        {
            self.client.handle_input(now, &part);
            self.drain_client();
        }
        if self.server.poll_timeout().is_some_and(|t| t <= now) {
            self.server.handle_timeout(now);
        }
        if self.client.poll_timeout().is_some_and(|t| t <= now) {
            self.client.handle_timeout(now);
        }
        self.drain_server();
        self.drain_client();
    }

    fn drain_server(&mut self) {
        loop {
            use server::Event;
            let mut answer: Option<Answer> = None;
            match self.server.poll_event() {
                Ok(None) => break,
                Err(e) => {
                    let line = format!("S error {e:?}");
                    if self.seen.last() != Some(&line) {
                        self.seen.push(line);
                    }
                    break;
                }
                Ok(Some(event)) => match event {
                    Event::Connect(c) => {
                        self.seen
                            .push(format!("S connect {}|{} {:?}", c.app, c.instance, c.args));
                        let accept = self.accept;
                        answer = Some(Box::new(move |s| match accept {
                            true => s.accept_connect(),
                            false => s.reject_connect("NetConnection.Connect.Rejected", "401 Unauthorized"),
                        }));
                    }
                    Event::Publish { stream, name, kind } => {
                        self.seen
                            .push(format!("S publish {stream} {} {kind:?}", name.name));
                        answer = Some(Box::new(move |s| s.accept_publish(stream)));
                    }
                    Event::Play { stream, name, .. } => {
                        self.seen.push(format!("S play {stream} {}", name.name));
                        answer = Some(Box::new(move |s| match name.name == "missing" {
                            true => s.reject_play(stream, "NetStream.Play.StreamNotFound", "none"),
                            false => s.accept_play(stream),
                        }));
                    }
                    Event::Audio {
                        timestamp, payload, ..
                    } => self.got.push((timestamp, payload.to_vec())),
                    Event::Command(call) => {
                        self.seen.push(format!("S command {} {:?}", call.name, call.args));
                        answer = Some(Box::new(move |s| match call.name.as_str() {
                            "add" => s.reply_result(call.txn, &[3.0.into()]),
                            _ => s.reply_error(call.txn, "NetConnection.Call.Failed", &call.name),
                        }));
                    }
                    Event::Video { .. } | Event::PingRtt { .. } | Event::Acknowledged { .. } => {}
                    other => self.seen.push(format!("S {other:?}")),
                },
            }
            if let Some(answer) = answer {
                answer(&mut self.server);
            }
        }
    }

    fn drain_client(&mut self) {
        loop {
            use client::Event;
            match self.client.poll_event() {
                Ok(None) => break,
                Err(e) => {
                    let line = format!("C error {e:?}");
                    if self.seen.last() != Some(&line) {
                        self.seen.push(line);
                    }
                    break;
                }
                Ok(Some(event)) => match event {
                    Event::Audio {
                        timestamp, payload, ..
                    } => {
                        self.heard.push((self.now, timestamp, payload.to_vec()));
                    }
                    Event::Connected { .. } => self.seen.push("C connected".to_owned()),
                    Event::Rejected {
                        code, description, ..
                    } => {
                        self.seen.push(format!("C rejected {code} {description}"));
                    }
                    Event::Status { stream, code, .. } => self.seen.push(format!("C status {stream} {code}")),
                    Event::Command(call) => {
                        self.seen.push(format!("C command {} {:?}", call.name, call.args))
                    }
                    Event::Data { name, .. } => self.seen.push(format!("C data {name}")),
                    Event::Reply { ok, values, .. } => {
                        // releaseStream, FCPublish and their like are answered with nothing.
                        if values.get(1).is_some_and(|v| !v.is_null()) {
                            self.seen.push(format!("C reply {ok} {}", values[1]));
                        }
                    }
                    Event::PingRtt { .. } | Event::Acknowledged { .. } | Event::Video { .. } => {}
                    other => self.seen.push(format!("C {other:?}")),
                },
            }
        }
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.step();
        }
    }

    fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.seen)
    }

    fn connect(&mut self, app: &str) {
        self.client.connect(&ConnectRequest::player(app, "rtmp://gw/x"));
        self.run(100);
    }
}

#[test]
fn connects_with_arguments_and_the_instance_path() {
    let mut p = Pair::plain();
    let mut request = ConnectRequest::player("sip/alice@example.com", "rtmp://gw/sip/alice@example.com");
    request.args = vec!["alice".into(), "secret".into(), Value::Null];
    p.client.connect(&request);
    p.run(100);
    assert_eq!(
        p.take(),
        [
            r#"S connect sip|alice@example.com [String("alice"), String("secret"), Null]"#,
            "C connected"
        ]
    );
}

#[test]
fn a_refused_client_hears_why_and_is_let_go() {
    let mut p = Pair::plain();
    p.accept = false;
    p.connect("live");
    assert_eq!(
        p.take()[1..],
        [
            "S Closed",
            "C rejected NetConnection.Connect.Rejected 401 Unauthorized"
        ]
    );
    assert!(p.server.is_finished());
}

#[test]
fn publishes_and_plays() {
    let mut p = Pair::plain();
    p.connect("live");
    p.client.publish("a?token=1", PublishKind::Live);
    p.run(100);
    p.client.play("b");
    p.run(100);
    assert_eq!(
        p.take()[2..],
        [
            "C StreamCreated { txn: 4, stream: 1 }",
            "S publish 1 a Live",
            "C PublishStarted { stream: 1 }",
            "C StreamCreated { txn: 6, stream: 2 }",
            "S play 2 b",
            "S SetBuffer { stream: 2, ms: 3000 }",
            "C StreamBegin { stream: 2 }",
            "C status 2 NetStream.Play.Reset",
            "C PlayStarted { stream: 2 }",
            "C data |RtmpSampleAccess",
        ]
    );
    for i in 0..50u32 {
        assert!(
            p.client
                .send_audio(p.now, 1, i * 20, &[&[0xB2], &[i as u8; 40]], false)
        );
        assert!(
            p.server
                .send_audio(p.now, 2, i * 20, &[&[0x82], &[i as u8; 160]], false)
        );
        p.run(20);
    }
    assert_eq!((p.got.len(), p.heard.len()), (50, 50));
    assert_eq!(p.got[7], (140, [vec![0xB2], vec![7; 40]].concat()));
    p.server.notify_unpublish(2);
    p.client.delete_stream(1);
    p.run(100);
    assert_eq!(
        p.take(),
        [
            "S Unpublish { stream: 1 }",
            "C StreamEof { stream: 2 }",
            "C status 2 NetStream.Play.UnpublishNotify",
            "C status 1 NetStream.Unpublish.Success",
        ]
    );
    p.client.close(p.now);
    p.run(100);
    assert_eq!(p.take(), ["C Closed", "S StopPlay { stream: 2 }"]);
}

#[test]
fn a_missing_stream_is_refused_on_its_id() {
    let mut p = Pair::plain();
    p.connect("live");
    p.client.play("missing");
    p.run(100);
    assert!(
        p.take()
            .contains(&"C status 1 NetStream.Play.StreamNotFound".to_owned())
    );
    assert!(!p.server.send_audio(p.now, 1, 0, &[&[0xB2, 1]], false));
}

#[test]
fn calls_go_both_ways_and_unknown_ones_end_nothing() {
    for encoding in [0, 3] {
        let mut p = Pair::plain();
        let mut request = ConnectRequest::player("sip", "rtmp://gw/sip");
        request.object_encoding = encoding;
        p.client.connect(&request);
        p.run(100);
        p.client.call(
            0,
            "add",
            &[1.0.into(), object([("b", Value::ByteArray(vec![1]))])],
        );
        p.client.call(0, "nonsense", &[]);
        p.server.call_client(0, "ringing", &["180".into()]);
        p.run(100);
        assert_eq!(
            p.take()[2..],
            [
                r#"S command add [Number(1.0), Object([("b", ByteArray([1]))])]"#,
                "S command nonsense []",
                r#"C command ringing [String("180")]"#,
                "C reply true 3",
                r#"C reply false {level: "error", code: "NetConnection.Call.Failed", description: "nonsense"}"#,
            ]
        );
    }
}

#[test]
fn metadata_is_relayed_without_its_wrapper() {
    let mut p = Pair::plain();
    p.connect("live");
    p.client.publish("a", PublishKind::Live);
    p.run(100);
    p.client.send_metadata(1, &object([("width", 320.0.into())]));
    p.run(50);
    let mut body = Vec::new();
    amf0::encode_all(
        &["onMetaData".into(), object([("width", 320.0.into())])],
        &mut body,
    );
    let data = p.take().into_iter().find(|l| l.contains("S Data")).unwrap();
    assert!(
        data.contains(&format!("name: \"onMetaData\", payload: {body:?}")),
        "{data}"
    );
}

#[test]
fn a_closed_stream_id_can_be_used_again() {
    let mut p = Pair::plain();
    p.connect("live");
    p.client.publish("a", PublishKind::Live);
    p.run(100);
    p.client.close_stream(1);
    p.client.play_on(1, "b");
    p.run(100);
    let seen = p.take();
    assert!(seen.contains(&"S Unpublish { stream: 1 }".to_owned()));
    assert!(seen.contains(&"S play 1 b".to_owned()));
    assert!(seen.contains(&"C PlayStarted { stream: 1 }".to_owned()));
}

#[test]
fn server_closes_with_its_last_words() {
    let mut p = Pair::plain();
    p.connect("live");
    p.client.play("b");
    p.run(100);
    p.take();
    p.server.close(p.now, "shutting down");
    p.run(50);
    assert_eq!(
        p.take(),
        [
            "S Closed",
            "C StreamEof { stream: 1 }",
            "C status 1 NetStream.Play.UnpublishNotify",
            "C status 0 NetConnection.Connect.Closed"
        ]
    );
    assert!(p.server.is_finished());
}

#[test]
fn closing_in_the_handshake_ends_at_once() {
    let mut s = server::Connection::new(ServerConfig::default(), Rng::new(1), Time::ZERO);
    s.handle_input(Time::ZERO, &[3; 4000]);
    s.close(Time::ZERO, "");
    assert_eq!(s.poll_event(), Ok(Some(server::Event::Closed)));
    assert!(s.is_finished() && !s.has_output());
    let mut c = client::Connection::new(ClientConfig::default(), Rng::new(1), Time::ZERO);
    c.connect(&ConnectRequest::player("live", "rtmp://gw/live"));
    c.handle_input(Time::ZERO, &[3; 4000]);
    c.close(Time::ZERO);
    assert_eq!(c.poll_event(), Ok(Some(client::Event::Closed)));
    assert!(c.is_finished());
}

#[test]
fn silence_is_noticed_and_pings_are_answered() {
    let mut p = Pair::plain();
    p.connect("live");
    p.run(130_000);
    assert_eq!(p.take().len(), 2);
    assert_eq!(p.server.rtt(), Some(Duration::from_millis(22)));
    p.client_reads = false;
    p.run(61_000);
    assert_eq!(p.take(), [format!("S error {:?}", Error::PeerSilent)]);
}

#[test]
fn slow_handshakes_and_idle_sockets_are_dropped() {
    let mut s = server::Connection::new(ServerConfig::default(), Rng::new(1), Time::ZERO);
    let mut fed = 0;
    while s.poll_event().is_ok() && fed < 100 {
        // One byte a second.
        fed += 1;
        s.handle_input(Time::from_secs(fed), &[3]);
        if s.poll_timeout().is_some_and(|t| t <= Time::from_secs(fed)) {
            s.handle_timeout(Time::from_secs(fed));
        }
    }
    assert_eq!((fed, s.poll_event()), (10, Err(Error::HandshakeTimeout)));
    let mut p = Pair::plain();
    p.run(10_100);
    assert_eq!(p.take(), ["S error ConnectTimeout"]);
}

/// Sends audio made every 20 ms to a client that stops reading for a while; the delay of what it plays back to
/// back, as (when played, delay in ms).
fn stall(p: &mut Pair, stall_ms: u64, after_ms: u64) -> Vec<(Time, u64)> {
    p.connect("live");
    p.client.play("b");
    p.run(100);
    let start = p.now;
    let total = 5_000 + stall_ms + after_ms;
    for ms in 0..total {
        p.client_reads = !(5_000..5_000 + stall_ms).contains(&ms);
        if ms % 20 == 0 {
            p.server
                .send_audio(p.now, 1, ms as u32, &[&[0xB2], &[0; 50]], false);
        }
        p.step();
    }
    let mut play_end = Time::ZERO;
    let played = p.heard.iter().map(|(at, timestamp, _)| {
        play_end = play_end.max(*at) + Duration::from_millis(20);
        let made = start + Duration::from_millis(u64::from(*timestamp));
        (
            play_end - Duration::from_millis(20),
            (play_end - made).as_millis() as u64 - 20,
        )
    });
    played.collect()
}

#[test]
fn a_client_that_stops_reading_for_five_seconds_is_soon_back_at_its_delay() {
    let mut p = Pair::plain();
    let played = stall(&mut p, 5_000, 10_000);
    let before = played[100].1;
    let resumed = Time::from_secs(1) + Duration::from_millis(200 + 10_000);
    let late = |(at, delay): &&(Time, u64)| *at >= resumed + Duration::from_secs(2) && *delay > before + 40;
    assert_eq!(played.iter().find(late), None);
    let stats = p.server.stats();
    assert_eq!(stats.stalls, 1);
    assert!(!p.server.stalled());
    assert!(played.len() > 650, "{} {stats:?}", played.len());
}

#[test]
fn a_client_without_ping_answers_still_gets_audio() {
    let mut p = Pair::plain();
    p.connect("live");
    p.client.play("b");
    p.run(100);
    // What the client sends no longer arrives.
    for ms in 0..3_000u32 {
        p.to_server.clear();
        if ms % 20 == 0 {
            p.server.send_audio(p.now, 1, ms, &[&[0xB2, 1]], false);
        }
        p.step();
    }
    assert_eq!(p.heard.len(), 150);
}

#[test]
fn late_audio_is_dropped_before_it_is_chunked() {
    let mut p = Pair::plain();
    p.connect("live");
    p.client.play("b");
    p.run(100);
    // The socket takes nothing for a second.
    for i in 0..50u32 {
        let at = p.now + Duration::from_millis(u64::from(i) * 20);
        p.server.send_audio(at, 1, i * 20, &[&[0xB2, i as u8]], false);
    }
    p.now += Duration::from_millis(1_000);
    p.run(50);
    let stats = p.server.stats();
    assert_eq!(
        (stats.audio_overflow, stats.audio_late, stats.audio_out),
        (18, 18, 14)
    );
    assert_eq!(p.heard.first().map(|h| h.1), Some(720));
}

#[test]
fn a_slow_reader_of_commands_is_given_up() {
    let mut p = Pair::plain();
    p.connect("live");
    for _ in 0..257 {
        p.server.call_client(0, "tick", &[]);
    }
    p.drain_server();
    assert_eq!(
        p.take().last().unwrap(),
        "S error CommandQueueFull { limit: 256 }"
    );
}

#[test]
fn video_restarts_at_a_key_frame_after_an_overflow() {
    let mut p = Pair::plain();
    p.connect("live");
    p.client.play("b");
    p.run(100);
    let send = |p: &mut Pair, head: u8, len: usize| {
        p.server
            .send_video(p.now, 1, 0, &[&[head, 1, 0, 0, 0], &vec![0; len]])
    };
    assert!(send(&mut p, 0x17, 1_000_000));
    assert!(send(&mut p, 0x27, 1_000_000));
    assert!(!send(&mut p, 0x27, 1_000_000));
    assert!(!send(&mut p, 0x27, 10));
    assert!(send(&mut p, 0x17, 10));
    assert!(send(&mut p, 0x27, 10));
    assert_eq!(p.server.queue_depths().2, 2);
}

#[test]
fn audio_goes_between_the_chunks_of_video() {
    let mut p = Pair::plain();
    p.connect("live");
    p.client.play("b");
    p.run(100);
    p.server
        .send_video(p.now, 1, 0, &[&[0x17, 1, 0, 0, 0], &[0; 50_000]]);
    let mut out = Vec::new();
    let added = p.server.poll_transmit(p.now, &mut out, 5_000);
    assert!((5_000..10_000).contains(&added), "{added}");
    p.server.send_audio(p.now, 1, 0, &[&[0xB2, 9]], false);
    let before = out.len();
    p.server.poll_transmit(p.now, &mut out, 20);
    assert_eq!(
        out[before..before + 14],
        [4, 0, 0, 0, 0, 0, 2, 8, 1, 0, 0, 0, 0xB2, 9]
    );
    p.client.handle_input(p.now, &out);
    p.drain_client();
    p.run(50);
    assert_eq!(p.heard.len(), 1);
    assert_eq!(p.client.stats().ignored_in, 0);
}

#[test]
fn the_policy_file_is_given_and_rtmpe_refused() {
    let mut s = server::Connection::new(ServerConfig::default(), Rng::new(1), Time::ZERO);
    s.handle_input(Time::ZERO, b"<policy-file-request/>\0");
    assert_eq!(s.poll_event(), Ok(None));
    let mut out = Vec::new();
    s.poll_transmit(Time::ZERO, &mut out, 10_000);
    assert!(out.starts_with(b"<?xml") && out.ends_with(b"</cross-domain-policy>\0"));
    assert_eq!(s.poll_event(), Ok(Some(server::Event::Closed)));
    assert!(s.is_finished());
    let mut s = server::Connection::new(ServerConfig::default(), Rng::new(1), Time::ZERO);
    s.handle_input(Time::ZERO, &[6; 100]);
    assert_eq!(s.poll_event(), Err(Error::Encrypted { version: 6 }));
}

#[test]
fn a_command_before_connect_and_a_second_connect_end_the_session() {
    let mut p = Pair::plain();
    p.client.create_stream();
    p.run(100);
    assert_eq!(p.take(), ["S error OutOfOrder"]);
    let mut p = Pair::plain();
    p.connect("live");
    p.connect("live");
    assert_eq!(p.take()[2..], ["S connect live| []", "S error OutOfOrder"][1..]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_fragmentation_gives_the_same_session(seed in any::<u32>(), piece in 1usize..3000, digest: bool, chunk in 1u32..9000) {
        let server = ServerConfig { chunk_size: chunk, ..ServerConfig::default() };
        let client = ClientConfig { digest, chunk_size: chunk / 2 + 1, ..ClientConfig::default() };
        let mut p = Pair::new(u64::from(seed), server, client);
        p.piece = piece;
        p.connect("live");
        p.client.publish("a", PublishKind::Live);
        p.run(60);
        p.client.play("b");
        p.run(60);
        let tag = AudioTag::SPEEX.byte();
        for i in 0..20u32 {
            let body = vec![i as u8; 1 + 17 * i as usize];
            p.client.send_video(p.now, 1, i * 20, &[&[0x12], &vec![0; 997 * i as usize]]);
            prop_assert!(p.client.send_audio(p.now, 1, i * 20, &[&[tag], &body], false));
            prop_assert!(p.server.send_audio(p.now, 2, i * 20, &[&[tag], &body], false));
            p.run(20);
        }
        p.run(50);
        prop_assert_eq!(p.got.len(), 20);
        prop_assert_eq!(p.heard.len(), 20);
        for (i, ((t, a), (_, u, b))) in p.got.iter().zip(&p.heard).enumerate() {
            prop_assert_eq!((*t, *u), (i as u32 * 20, i as u32 * 20));
            prop_assert_eq!(a, b);
            prop_assert_eq!(a.len(), 2 + 17 * i);
        }
        prop_assert!(p.take().iter().all(|l| !l.contains("error")));
    }
}
