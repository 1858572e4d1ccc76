//! rml_rtmp 0.8 as an independent peer: its client against our server, our client against its server. And the
//! inputs on which it fails, which are why it does not face the network; ours is given each of them too.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use base::{Rng, Time};
use bytes::Bytes;
use rml_rtmp::chunk_io::ChunkDeserializer;
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::messages::MessagePayload;
use rml_rtmp::sessions::{
    ClientSession, ClientSessionConfig, ClientSessionEvent, ClientSessionResult, PublishRequestType,
    ServerSession, ServerSessionConfig, ServerSessionEvent, ServerSessionResult,
};
use rml_rtmp::time::RtmpTimestamp;
use rtmp::client::{self, ClientConfig, ConnectRequest};
use rtmp::server::{self, PublishKind, ServerConfig};

const NOW: Time = Time::from_secs(1);
/// One 20 ms frame of Speex with its tag byte.
const FRAME: [u8; 53] = [0xB2; 53];

/// rml_rtmp's client with its handshake and what it has heard.
struct TheirClient {
    handshake: Option<Handshake>,
    session: ClientSession,
    out: Vec<u8>,
    events: Vec<ClientSessionEvent>,
}

impl TheirClient {
    fn new() -> TheirClient {
        let mut handshake = Handshake::new(PeerType::Client);
        let out = handshake.generate_outbound_p0_and_p1().unwrap();
        let config = ClientSessionConfig::new();
        TheirClient {
            handshake: Some(handshake),
            session: ClientSession::new(config).unwrap().0,
            out,
            events: Vec::new(),
        }
    }

    fn take(&mut self, results: impl IntoIterator<Item = ClientSessionResult>) {
        for r in results {
            match r {
                ClientSessionResult::OutboundResponse(p) => self.out.extend(p.bytes),
                ClientSessionResult::RaisedEvent(e) => self.events.push(e),
                ClientSessionResult::UnhandleableMessageReceived(_) => {}
            }
        }
    }

    fn input(&mut self, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        if let Some(handshake) = &mut self.handshake {
            match handshake.process_bytes(&bytes).unwrap() {
                HandshakeProcessResult::InProgress { response_bytes } => {
                    return self.out.extend(response_bytes);
                }
                HandshakeProcessResult::Completed {
                    response_bytes,
                    remaining_bytes,
                } => {
                    self.out.extend(response_bytes);
                    self.handshake = None;
                    bytes = remaining_bytes;
                }
            }
        }
        let results = self.session.handle_input(&bytes).unwrap();
        self.take(results);
    }

    fn saw(&self, wanted: &ClientSessionEvent) -> bool {
        self.events.contains(wanted)
    }
}

/// Moves bytes between their client and our server until nothing moves; audio our server got.
fn serve(theirs: &mut TheirClient, ours: &mut server::Connection) -> Vec<(u32, Vec<u8>)> {
    let mut heard = Vec::new();
    loop {
        let sent = std::mem::take(&mut theirs.out);
        ours.handle_input(NOW, &sent);
        loop {
            use server::Event;
            let accept: fn(&mut server::Connection, u32) = match ours.poll_event().unwrap() {
                None => break,
                Some(Event::Connect(_)) => |s, _| s.accept_connect(),
                Some(Event::Publish { stream: 1, .. }) => server::Connection::accept_publish,
                Some(Event::Play { stream: 1, .. }) => server::Connection::accept_play,
                Some(Event::Audio {
                    timestamp, payload, ..
                }) => {
                    heard.push((timestamp, payload.to_vec()));
                    |_, _| {}
                }
                Some(_) => |_, _| {},
            };
            accept(ours, 1);
        }
        let mut out = Vec::new();
        ours.poll_transmit(NOW, &mut out, 1 << 20);
        if out.is_empty() && sent.is_empty() {
            return heard;
        }
        if !out.is_empty() {
            theirs.input(&out);
        }
    }
}

fn connected() -> (TheirClient, server::Connection) {
    let mut theirs = TheirClient::new();
    let mut ours = server::Connection::new(ServerConfig::default(), Rng::new(1), NOW);
    serve(&mut theirs, &mut ours);
    let connect = theirs.session.request_connection("live".to_owned()).unwrap();
    theirs.take([connect]);
    serve(&mut theirs, &mut ours);
    assert!(theirs.saw(&ClientSessionEvent::ConnectionRequestAccepted));
    (theirs, ours)
}

#[test]
fn their_client_publishes_to_our_server() {
    let (mut theirs, mut ours) = connected();
    let publish = theirs
        .session
        .request_publishing("a".to_owned(), PublishRequestType::Live)
        .unwrap();
    theirs.take([publish]);
    serve(&mut theirs, &mut ours);
    assert!(theirs.saw(&ClientSessionEvent::PublishRequestAccepted));
    for i in 0..100u32 {
        let data = Bytes::copy_from_slice(&FRAME);
        let audio = theirs
            .session
            .publish_audio_data(data, RtmpTimestamp::new(i * 20), false)
            .unwrap();
        theirs.take([audio]);
    }
    let heard = serve(&mut theirs, &mut ours);
    assert_eq!(heard.len(), 100);
    assert_eq!(heard[99], (1980, FRAME.to_vec()));
}

#[test]
fn their_client_plays_from_our_server() {
    let (mut theirs, mut ours) = connected();
    let play = theirs.session.request_playback("a".to_owned()).unwrap();
    theirs.take([play]);
    serve(&mut theirs, &mut ours);
    assert!(theirs.saw(&ClientSessionEvent::PlaybackRequestAccepted));
    // From below the escape value of 24-bit times to above it.
    for i in 0..100u32 {
        assert!(ours.send_audio(NOW, 1, 0xFF_FC00 + i * 20, &[&FRAME], false));
        serve(&mut theirs, &mut ours);
    }
    let heard: Vec<_> = theirs
        .events
        .iter()
        .filter_map(|e| match e {
            ClientSessionEvent::AudioDataReceived { timestamp, data } => {
                Some((timestamp.value, data.clone()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(heard.len(), 100);
    assert_eq!(heard[99], (0xFF_FC00 + 1980, Bytes::copy_from_slice(&FRAME)));
}

/// rml_rtmp's server, accepting everything.
struct TheirServer {
    handshake: Option<Handshake>,
    session: ServerSession,
    out: Vec<u8>,
    heard: Vec<(u32, Bytes)>,
    player: Option<u32>,
}

impl TheirServer {
    fn new() -> TheirServer {
        let mut handshake = Handshake::new(PeerType::Server);
        let mut out = handshake.generate_outbound_p0_and_p1().unwrap();
        // It wants to send its greeting first and its first chunks after the handshake.
        let (session, first) = ServerSession::new(ServerSessionConfig::new()).unwrap();
        let mut server = TheirServer {
            handshake: Some(handshake),
            session,
            out: Vec::new(),
            heard: Vec::new(),
            player: None,
        };
        server.take(first);
        let chunks = std::mem::replace(&mut server.out, std::mem::take(&mut out));
        server.later(chunks);
        server
    }

    /// Its first chunks are held back here until the handshake is done.
    fn later(&mut self, chunks: Vec<u8>) {
        self.heard.push((u32::MAX, Bytes::from(chunks)));
    }

    fn take(&mut self, results: Vec<ServerSessionResult>) {
        for r in results {
            match r {
                ServerSessionResult::OutboundResponse(p) => self.out.extend(p.bytes),
                ServerSessionResult::RaisedEvent(event) => {
                    let request = match event {
                        ServerSessionEvent::ConnectionRequested { request_id, .. }
                        | ServerSessionEvent::ReleaseStreamRequested { request_id, .. }
                        | ServerSessionEvent::PublishStreamRequested { request_id, .. } => Some(request_id),
                        ServerSessionEvent::PlayStreamRequested {
                            request_id,
                            stream_id,
                            ..
                        } => {
                            self.player = Some(stream_id);
                            Some(request_id)
                        }
                        ServerSessionEvent::AudioDataReceived { data, timestamp, .. } => {
                            self.heard.push((timestamp.value, data));
                            None
                        }
                        _ => None,
                    };
                    if let Some(id) = request {
                        let answers = self.session.accept_request(id).unwrap();
                        self.take(answers);
                    }
                }
                ServerSessionResult::UnhandleableMessageReceived(_) => {}
            }
        }
    }

    fn input(&mut self, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        if let Some(handshake) = &mut self.handshake {
            match handshake.process_bytes(&bytes).unwrap() {
                HandshakeProcessResult::InProgress { response_bytes } => {
                    return self.out.extend(response_bytes);
                }
                HandshakeProcessResult::Completed {
                    response_bytes,
                    remaining_bytes,
                } => {
                    self.out.extend(response_bytes);
                    let (_, chunks) = self.heard.remove(0);
                    self.out.extend(chunks);
                    self.handshake = None;
                    bytes = remaining_bytes;
                }
            }
        }
        let results = self.session.handle_input(&bytes).unwrap();
        self.take(results);
    }
}

/// Moves bytes between our client and their server until nothing moves; what our client was told.
fn visit(ours: &mut client::Connection, theirs: &mut TheirServer) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        let mut sent = Vec::new();
        ours.poll_transmit(NOW, &mut sent, 1 << 20);
        if !sent.is_empty() {
            theirs.input(&sent);
        }
        let answer = std::mem::take(&mut theirs.out);
        ours.handle_input(NOW, &answer);
        while let Some(event) = ours.poll_event().unwrap() {
            told.push(match event {
                client::Event::Connected { .. } => "connected".to_owned(),
                client::Event::Audio {
                    timestamp, payload, ..
                } => format!("audio {timestamp} {}", payload.len()),
                other => format!("{other:?}"),
            });
        }
        if answer.is_empty() && !ours.has_output() {
            return told;
        }
    }
}

#[test]
fn our_client_publishes_to_and_plays_from_their_server() {
    for digest in [false, true] {
        let config = ClientConfig {
            digest,
            ..ClientConfig::default()
        };
        let mut ours = client::Connection::new(config, Rng::new(1), NOW);
        let mut theirs = TheirServer::new();
        ours.connect(&ConnectRequest::publisher("live", "rtmp://gw/live"));
        assert!(visit(&mut ours, &mut theirs).contains(&"connected".to_owned()));
        ours.publish("a", PublishKind::Live);
        let told = visit(&mut ours, &mut theirs);
        assert!(
            told.contains(&"PublishStarted { stream: 1 }".to_owned()),
            "{told:?}"
        );
        for i in 0..30 {
            assert!(ours.send_audio(NOW, 1, i * 20, &[&FRAME], false));
        }
        visit(&mut ours, &mut theirs);
        assert_eq!(theirs.heard.len(), 30);
        assert_eq!(theirs.heard[29], (580, Bytes::copy_from_slice(&FRAME)));

        let mut ours = client::Connection::new(ClientConfig::default(), Rng::new(1), NOW);
        let mut theirs = TheirServer::new();
        ours.connect(&ConnectRequest::player("live", "rtmp://gw/live"));
        ours.play("a");
        let told = visit(&mut ours, &mut theirs);
        assert!(told.iter().any(|l| l.starts_with("PlayStarted")), "{told:?}");
        let stream = theirs.player.unwrap();
        for i in 0..30 {
            let data = Bytes::copy_from_slice(&FRAME);
            let packet = theirs
                .session
                .send_audio_data(stream, data, RtmpTimestamp::new(i * 20), false)
                .unwrap();
            theirs.out.extend(packet.bytes);
        }
        let told = visit(&mut ours, &mut theirs);
        assert_eq!(told.iter().filter(|l| l.starts_with("audio")).count(), 30);
        assert!(told.contains(&"audio 580 53".to_owned()));
    }
}

/// True when the code panics. The message it prints is expected.
fn panics<T>(code: impl FnOnce() -> T) -> bool {
    catch_unwind(AssertUnwindSafe(code)).is_err()
}

/// What our reader makes of chunks: type, time and length of each message.
fn ours(chunks: &[u8]) -> Vec<(u8, u32, usize)> {
    use rtmp::chunk::{Reader, Step};
    let mut reader = Reader::new(rtmp::Limits::default());
    let (mut at, mut got) = (0, Vec::new());
    loop {
        match reader.step(&chunks[at..]).unwrap() {
            Step::Incomplete => return got,
            Step::Used(used) => at += used,
            Step::Message { used, header, .. } => {
                at += used;
                got.push((header.kind, header.timestamp, header.len));
            }
        }
    }
}

/// What rml_rtmp's reader makes of chunks: true when the messages are the same as ours.
fn theirs_agrees(chunks: &[u8]) -> bool {
    let mut reader = ChunkDeserializer::new();
    let mut got = Vec::new();
    let mut next: &[u8] = chunks;
    while let Ok(Some(m)) = reader.get_next_message(next) {
        next = &[];
        got.push((m.type_id, m.timestamp.value, m.data.len()));
    }
    got == ours(chunks)
}

#[test]
fn rml_rtmp_cannot_tell_interleaved_messages_apart() {
    // 200 bytes of video in two chunks with an audio message between them.
    let mut chunks = vec![6, 0, 0, 0, 0, 0, 200, 9, 1, 0, 0, 0];
    chunks.extend([0x27; 128]);
    chunks.extend([4, 0, 0, 5, 0, 0, 2, 8, 1, 0, 0, 0, 0xB2, 1]);
    chunks.push(0xC6);
    chunks.extend([0x27; 72]);
    assert_eq!(ours(&chunks), [(8, 5, 2), (9, 0, 200)]);
    assert!(catch_unwind(|| theirs_agrees(&chunks)).map_or(true, |same| !same));
}

#[test]
fn rml_rtmp_stumbles_over_a_small_extended_delta() {
    let mut chunks = vec![4, 0, 0, 10, 0, 0, 1, 8, 1, 0, 0, 0, 7];
    chunks.extend([0x84, 0xFF, 0xFF, 0xFF, 0, 0, 0, 5, 8]);
    assert_eq!(ours(&chunks), [(8, 10, 1), (8, 15, 1)]);
    // An overflow: it panics in checked builds and gives a wrong time in others.
    assert!(catch_unwind(|| theirs_agrees(&chunks)).map_or(true, |same| !same));
}

fn payload(type_id: u8, data: Vec<u8>) -> MessagePayload {
    MessagePayload {
        timestamp: RtmpTimestamp::new(0),
        type_id,
        message_stream_id: 0,
        data: Bytes::from(data),
    }
}

/// Our reading of a command body.
fn command(kind: u8, payload: &[u8]) -> Result<rtmp::message::Command, rtmp::amf::AmfError> {
    let message = rtmp::message::Message {
        kind,
        stream: 0,
        timestamp: 0,
        payload,
    };
    rtmp::message::Command::decode(&message, 4096)
}

#[test]
fn rml_rtmp_panics_on_commands_with_missing_values() {
    for body in [
        &[2u8, 0, 1, b'a'][..],
        &[2, 0, 1, b'a', 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ] {
        assert!(panics(|| payload(20, body.to_vec()).to_rtmp_message()));
        assert_eq!(command(20, body).unwrap().name, "a");
    }
}

#[test]
fn rml_rtmp_does_not_read_amf3_dates_long_strings_typed_objects_or_references() {
    let mut head = vec![2, 0, 1, b'a', 0, 0, 0, 0, 0, 0, 0, 0, 0, 5];
    let tails: [&[u8]; 4] = [
        &[0x11, 0x04, 0x05],
        &[0x0B, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x0C, 0, 0, 0, 1, b'x'],
        &[0x10, 0, 1, b'C', 0, 0, 9, 0x07, 0, 0],
    ];
    for tail in tails {
        head.truncate(14);
        head.extend(tail);
        assert!(payload(20, head.clone()).to_rtmp_message().is_err(), "{tail:?}");
        assert!(command(20, &head).is_ok(), "{tail:?}");
        let mut amf3 = vec![0];
        amf3.extend(&head);
        assert_eq!(command(17, &amf3), command(20, &head));
    }
}

#[test]
fn rml_rtmp_refuses_an_unknown_user_control_event() {
    assert!(payload(4, vec![0, 26, 0, 0, 0, 1]).to_rtmp_message().is_err());
    assert_eq!(
        rtmp::message::UserControl::decode(&[0, 26, 0, 0, 0, 1]),
        Some(rtmp::message::UserControl::Other(26))
    );
}

#[test]
fn nesting_without_end_is_an_error_for_us() {
    // rml_rtmp follows it by recursion until the stack ends, which no test can catch.
    let mut body = vec![2, 0, 7];
    body.extend(b"connect");
    body.extend([0, 0x3F, 0xF0, 0, 0, 0, 0, 0, 0]);
    body.extend([3u8, 0, 1, b'a'].repeat(30_000));
    assert_eq!(command(20, &body), Err(rtmp::amf::AmfError::Depth));
}
