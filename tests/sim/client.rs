//! An RTMP client: the client half of the protocol, a mouth and an ear.

use std::net::SocketAddr;

use base::{Rng, Time};
use codecs::{CodecId, Decoder, Encoder};
use rtmp::client::{ClientConfig, ConnectRequest, Connection, Event};
use rtmp::server::PublishKind;

use crate::ear::Ear;
use crate::gateway::DOMAIN;
use crate::tcp::Tcp;
use crate::voice::Voice;

const READ_CHUNK: usize = 8 * 1024;
const WRITE_CHUNK: usize = 4 * 1024;

/// What has happened to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Connected,
    Rejected(String),
    PublishStarted,
    PlayStarted,
    /// Any other status of a stream: code and description.
    Status(String, String),
    /// The gateway closed the connection.
    Disconnected,
}

struct Publishing {
    stream: u32,
    /// Of the voice's clock at the first frame, ms.
    began: u64,
    encoder: Box<dyn Encoder>,
    /// Frames that wait for a message to be full, and the time of the first.
    waiting: Vec<u8>,
    first: Option<u64>,
    frames: usize,
}

pub struct Client {
    pub address: SocketAddr,
    pub tcp: usize,
    pub voice: Voice,
    pub ear: Ear,
    pub told: Vec<(Time, Told)>,
    /// What it publishes.
    pub codec: CodecId,
    /// Frames of 20 ms in each message.
    pub frames: usize,
    /// What it was last sent.
    pub heard_codec: Option<CodecId>,
    /// The payload of each message received is kept here when wanted.
    pub payloads: Option<Vec<Vec<u8>>>,
    /// The times of the messages received, ms.
    pub timestamps: Vec<u32>,
    conn: Connection,
    publishes: Option<String>,
    plays: Option<String>,
    publishing: Option<Publishing>,
    playing: Option<u32>,
    decoder: Option<(CodecId, Box<dyn Decoder>)>,
    /// It reads nothing before.
    reads_from: Time,
    pending: Vec<u8>,
    leaving: bool,
    pub gone: bool,
}

impl Client {
    pub fn new(n: usize, address: SocketAddr, tcp: usize, now: Time, mut rng: Rng) -> Client {
        let voice = Voice::new(n, now + std::time::Duration::from_micros(rng.below(20_000)));
        Client {
            address,
            tcp,
            voice,
            ear: Ear::back_to_back(),
            told: Vec::new(),
            codec: CodecId::SpeexWb,
            frames: 1,
            heard_codec: None,
            payloads: None,
            timestamps: Vec::new(),
            conn: Connection::new(ClientConfig::default(), rng, now),
            publishes: None,
            plays: None,
            publishing: None,
            playing: None,
            decoder: None,
            reads_from: Time::ZERO,
            pending: Vec::new(),
            leaving: false,
            gone: false,
        }
    }

    /// Connects to an application and then opens streams there.
    pub fn connect(&mut self, app: &str, g711: bool, publishes: Option<&str>, plays: Option<&str>) {
        let mut request = ConnectRequest::player(app, &format!("rtmp://{DOMAIN}/{app}"));
        for (name, value) in &mut request.properties {
            // 3191 is a player without G.711, 4071 one with it.
            if name == "audioCodecs" && !g711 {
                *value = 3191.0.into();
            }
        }
        self.conn.connect(&request);
        self.publishes = publishes.map(str::to_owned);
        self.plays = plays.map(str::to_owned);
    }

    /// Reads nothing for a while.
    pub fn read_nothing_before(&mut self, at: Time) {
        self.reads_from = at;
    }

    pub fn stop_publishing(&mut self) {
        if let Some(publishing) = self.publishing.take() {
            self.conn.delete_stream(publishing.stream);
        }
    }

    pub fn stop_playing(&mut self) {
        if let Some(stream) = self.playing.take() {
            self.conn.delete_stream(stream);
        }
    }

    /// Ends the connection in order.
    pub fn leave(&mut self, now: Time) {
        self.conn.close(now);
        self.leaving = true;
    }

    /// The program is killed.
    pub fn die(&mut self, tcp: &mut Tcp) {
        tcp.up.close();
        self.gone = true;
    }

    pub fn was(&self, what: &Told) -> bool {
        self.told.iter().any(|(_, t)| t == what)
    }

    /// The description of the first status with that code.
    pub fn status(&self, code: &str) -> Option<&str> {
        self.told.iter().find_map(|(_, t)| match t {
            Told::Status(c, description) if c == code => Some(description.as_str()),
            _ => None,
        })
    }

    /// A frame of the voice is complete.
    fn speak(&mut self, now: Time) {
        let at = self.voice.media_ms();
        let frames = self.frames;
        let Some(p) = &mut self.publishing else {
            self.voice.skip();
            return;
        };
        let pcm = self.voice.speak(p.encoder.sample_rate());
        let mut payload = [0; 1_000];
        let len = p.encoder.encode(&pcm, &mut payload).unwrap();
        p.waiting.extend_from_slice(&payload[..len]);
        p.frames += 1;
        let first = *p.first.get_or_insert(at);
        if p.frames < frames {
            return;
        }
        let tag = codecs::codec(self.codec).flv.unwrap() << 4 | 2;
        let timestamp = (first - p.began) as u32;
        self.conn
            .send_audio(now, p.stream, timestamp, &[&[tag], &p.waiting], false);
        p.waiting.clear();
        p.first = None;
        p.frames = 0;
    }

    pub fn timeout(&mut self, now: Time) {
        while self.voice.due() <= now {
            self.speak(now);
        }
        if self.conn.poll_timeout().is_some_and(|at| at <= now) {
            self.conn.handle_timeout(now);
        }
    }

    pub fn poll_timeout(&self, now: Time) -> Option<Time> {
        if self.gone {
            return None;
        }
        let reads = Some(self.reads_from).filter(|at| *at > now);
        base::earliest(
            Some(self.voice.due()),
            base::earliest(reads, self.conn.poll_timeout()),
        )
    }

    /// Reads what came and writes what is to be said.
    pub fn sockets(&mut self, now: Time, tcp: &mut Tcp) {
        if self.gone {
            return;
        }
        while now >= self.reads_from {
            let bytes = tcp.down.read(now, READ_CHUNK);
            if bytes.is_empty() {
                break;
            }
            self.conn.handle_input(now, &bytes);
            self.take_events(now);
        }
        loop {
            if self.pending.is_empty() && self.conn.poll_transmit(now, &mut self.pending, WRITE_CHUNK) == 0 {
                break;
            }
            let taken = tcp.up.write(now, &self.pending);
            self.pending.drain(..taken);
            if taken == 0 {
                break;
            }
        }
        if tcp.down.is_over() {
            if !self.leaving {
                self.told.push((now, Told::Disconnected));
            }
            self.die(tcp);
        } else if self.leaving && self.pending.is_empty() && self.conn.is_finished() {
            self.die(tcp);
        }
    }

    fn take_events(&mut self, now: Time) {
        loop {
            let what = match self.conn.poll_event().unwrap() {
                None => return,
                Some(Event::Audio {
                    timestamp, payload, ..
                }) => {
                    let codec = codecs::by_flv_tag(payload[0]).unwrap();
                    let body = &payload[1..];
                    self.timestamps.push(timestamp);
                    self.heard_codec = Some(codec);
                    if let Some(payloads) = &mut self.payloads {
                        payloads.push(body.to_vec());
                    }
                    if self.decoder.as_ref().is_none_or(|(c, _)| *c != codec) {
                        self.decoder = Some((codec, codecs::decoder(codec, 0).unwrap()));
                    }
                    if let Some((_, decoder)) = &mut self.decoder {
                        let mut pcm = [0; 9_600];
                        let n = decoder.decode(body, &mut pcm).unwrap();
                        self.ear.hear(now, decoder.sample_rate(), &pcm[..n]);
                    }
                    continue;
                }
                Some(Event::Connected { .. }) => Told::Connected,
                Some(Event::Rejected { code, .. }) => Told::Rejected(code),
                Some(Event::PublishStarted { stream }) => {
                    self.publishing = Some(Publishing {
                        stream,
                        began: self.voice.media_ms(),
                        encoder: codecs::encoder(self.codec, &Default::default()).unwrap(),
                        waiting: Vec::new(),
                        first: None,
                        frames: 0,
                    });
                    Told::PublishStarted
                }
                Some(Event::PlayStarted { stream }) => {
                    self.playing = Some(stream);
                    Told::PlayStarted
                }
                Some(Event::Status {
                    stream,
                    code,
                    description,
                    ..
                }) => {
                    // A stream that is over is not fed any more.
                    let over = [
                        "NetStream.Unpublish.Success",
                        "NetStream.Failed",
                        "NetStream.Publish.Denied",
                    ];
                    if over.contains(&code.as_str()) {
                        self.publishing.take_if(|p| p.stream == stream);
                    }
                    Told::Status(code, description)
                }
                Some(_) => continue,
            };
            if what == Told::Connected {
                if let Some(name) = self.publishes.take() {
                    self.conn.publish(&name, PublishKind::Live);
                }
                if let Some(name) = self.plays.take() {
                    self.conn.play(&name);
                }
            }
            self.told.push((now, what));
        }
    }
}
