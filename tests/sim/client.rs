//! An RTMP client: the client half of the protocol, a mouth and an ear.

use std::net::SocketAddr;

use base::{Rng, Time};
use codecs::{CodecId, Decoder, Encoder};
use flashgate::dialect::Kind;
use flashgate::dialect::client::{self, Client as App, Deed, Identity};
use rtmp::client::{ConnectRequest, Event};

use crate::ear::Ear;
use crate::gateway::{DOMAIN, Datagram};
use crate::line::{Flows, Line};
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
    /// What an application of a dialect tells its user.
    App(client::Told),
    /// The gateway closed the connection.
    Disconnected,
}

struct Publishing {
    stream: u32,
    /// Of the voice's clock at the first frame, ms.
    began: u64,
    encoder: Box<dyn Encoder>,
    /// What is not a whole frame of the encoder yet, and the time of its first sample.
    pcm: Vec<i16>,
    pcm_at: u64,
    /// Frames that wait for a message to be full, and the time of the first.
    waiting: Vec<u8>,
    first: Option<u64>,
    frames: usize,
}

/// The sound of a streaming tool.
pub struct Film {
    pub messages: Vec<Vec<u8>>,
    sent: usize,
}

impl Film {
    /// A tone of 1 kHz in AAC at 44.1 kHz, stereo.
    pub fn aac() -> Film {
        let mut file = &include_bytes!("../../codecs/tests/aac/tone-44100-stereo.bin")[..];
        let mut messages = Vec::new();
        while let Some((size, rest)) = file.split_first_chunk::<2>() {
            let (message, rest) = rest.split_at(usize::from(u16::from_be_bytes(*size)));
            messages.push(message.to_vec());
            file = rest;
        }
        Film { messages, sent: 0 }
    }

    /// The next message and its time, if that has come `elapsed` ms after the first.
    fn next(&mut self, elapsed: u64) -> Option<(u32, &[u8])> {
        let frames = self.messages.len() - 1;
        let ms = self.sent.saturating_sub(1) as u64 * 10_240 / 441;
        if ms > elapsed {
            return None;
        }
        let at = if self.sent == 0 {
            0
        } else {
            1 + (self.sent - 1) % frames
        };
        self.sent += 1;
        Some((ms as u32, &self.messages[at]))
    }
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
    /// Whole audio messages it publishes in place of its voice, of 1,024 samples at 44.1 kHz: a configuration, and then
    /// frames again and again.
    pub film: Option<Film>,
    /// What it says it decodes, in place of what Flash does: the mask of `connect`.
    pub decodes: Option<u32>,
    /// What it was last sent.
    pub heard_codec: Option<CodecId>,
    /// The payload of each message received is kept here when wanted.
    pub payloads: Option<Vec<Vec<u8>>>,
    /// The times of the messages received, ms.
    pub timestamps: Vec<u32>,
    conn: Line,
    /// What it says and understands, when it is of a dialect.
    app: Option<Box<dyn App>>,
    /// The played stream of this transaction is to be told that it may bring audio.
    receive: Option<u32>,
    publishes: Option<String>,
    plays: Option<String>,
    publishing: Option<Publishing>,
    playing: Option<u32>,
    decoder: Option<(CodecId, Box<dyn Decoder>)>,
    /// It reads nothing before.
    reads_from: Time,
    pending: Vec<u8>,
    /// Timestamp of the newest audio.
    newest: Option<u32>,
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
            film: None,
            decodes: None,
            heard_codec: None,
            payloads: None,
            timestamps: Vec::new(),
            conn: Line::stream(rng, now),
            app: None,
            receive: None,
            publishes: None,
            plays: None,
            publishing: None,
            playing: None,
            decoder: None,
            reads_from: Time::ZERO,
            pending: Vec::new(),
            newest: None,
            leaving: false,
            gone: false,
        }
    }

    /// The same client over RTMFP; its TCP connection is not used.
    pub fn over_rtmfp(mut self, now: Time, rng: Rng) -> Client {
        self.conn = Line::flows(self.address, rng, now);
        self.settle(now);
        self
    }

    /// What carries it, when that is RTMFP.
    pub fn flows(&mut self) -> Option<&mut Flows> {
        match &mut self.conn {
            Line::Flows(flows) => Some(flows),
            Line::Stream(_) => None,
        }
    }

    /// A datagram of RTMFP has come.
    pub fn datagram(&mut self, now: Time, datagram: &Datagram) {
        if let Some(flows) = self.flows() {
            flows.datagram(now, datagram);
        }
        self.settle(now);
    }

    /// Over RTMFP: hears what came and says what is to be said.
    pub fn settle(&mut self, now: Time) {
        if self.gone || self.flows().is_none() {
            return;
        }
        self.take_events(now);
        if let Some(flows) = self.flows() {
            flows.settle(now);
        }
        self.take_events(now);
        if self.conn.is_finished() {
            if !self.leaving {
                self.told.push((now, Told::Disconnected));
            }
            self.gone = true;
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
            if name == "audioCodecs"
                && let Some(mask) = self.decodes
            {
                *value = f64::from(mask).into();
            }
        }
        self.conn.connect(&request);
        self.publishes = publishes.map(str::to_owned);
        self.plays = plays.map(str::to_owned);
    }

    /// Connects as an application of a dialect; its user, if any, has its name with "-secret" as password.
    pub fn connect_as(&mut self, kind: Kind, user: Option<&str>) {
        let password = user.map(|user| format!("{user}-secret")).unwrap_or_default();
        self.connect_with(kind, user, &password);
    }

    /// The same with another password.
    pub fn connect_with(&mut self, kind: Kind, user: Option<&str>, password: &str) {
        let app = client::client(
            kind,
            Identity {
                host: DOMAIN.to_owned(),
                path: String::new(),
                user: user.map(str::to_owned),
                password: password.to_owned(),
                codec: Some(self.codec),
            },
        );
        let entry = app.entry();
        let url = format!("rtmp://{DOMAIN}/{}", entry.app);
        let mut request = ConnectRequest::player(&entry.app, &url);
        request.args = entry.args;
        self.conn.connect(&request);
        self.app = Some(app);
    }

    /// The user of the application does something.
    pub fn does(&mut self, now: Time, what: impl FnOnce(&mut dyn App, &mut Vec<Deed>)) {
        let mut deeds = Vec::new();
        what(self.app.as_deref_mut().unwrap(), &mut deeds);
        self.carry_out(now, deeds);
    }

    /// What the application told its user.
    pub fn app_told(&self, what: &client::Told) -> bool {
        self.was(&Told::App(what.clone()))
    }

    fn carry_out(&mut self, now: Time, deeds: Vec<Deed>) {
        for deed in deeds {
            match deed {
                Deed::Call { name, args } => {
                    self.conn.call(0, name, &args);
                }
                Deed::Open {
                    publish,
                    play,
                    receive,
                } => {
                    self.conn.publish(&publish);
                    let txn = self.conn.play(&play);
                    self.receive = receive.then_some(txn);
                }
                Deed::Close => {
                    self.stop_publishing();
                    self.stop_playing();
                }
                Deed::Tell(told) => self.told.push((now, Told::App(told))),
            }
        }
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
        if let Some(film) = &mut self.film {
            while let Some((timestamp, message)) = film.next(at - p.began) {
                self.conn.send_audio(now, p.stream, timestamp, &[message]);
            }
            self.voice.skip();
            return;
        }
        let rate = u64::from(p.encoder.sample_rate());
        if p.pcm.is_empty() {
            p.pcm_at = at;
        }
        p.pcm.extend(self.voice.speak(p.encoder.sample_rate()));
        let samples = p.encoder.frame_samples();
        while p.pcm.len() >= samples {
            let pcm: Vec<i16> = p.pcm.drain(..samples).collect();
            let at = p.pcm_at;
            p.pcm_at += samples as u64 * 1000 / rate;
            let mut payload = [0; 1_000];
            let len = p.encoder.encode(&pcm, &mut payload).unwrap();
            p.waiting.extend_from_slice(&payload[..len]);
            p.frames += 1;
            let first = *p.first.get_or_insert(at);
            if p.frames < frames {
                continue;
            }
            let tag = codecs::codec(self.codec).flv.unwrap() << 4 | 2;
            let timestamp = (first - p.began) as u32;
            self.conn
                .send_audio(now, p.stream, timestamp, &[&[tag], &p.waiting]);
            p.waiting.clear();
            p.first = None;
            p.frames = 0;
        }
    }

    pub fn timeout(&mut self, now: Time) {
        while self.voice.due() <= now {
            self.speak(now);
        }
        if self.conn.poll_timeout().is_some_and(|at| at <= now) {
            self.conn.handle_timeout(now);
        }
        self.settle(now);
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
        let Line::Stream(_) = &self.conn else {
            return self.settle(now);
        };
        while now >= self.reads_from {
            let bytes = tcp.down.read(now, READ_CHUNK);
            if bytes.is_empty() {
                break;
            }
            if let Line::Stream(conn) = &mut self.conn {
                conn.handle_input(now, &bytes);
            }
            self.take_events(now);
        }
        while let Line::Stream(conn) = &mut self.conn {
            if self.pending.is_empty() && conn.poll_transmit(now, &mut self.pending, WRITE_CHUNK) == 0 {
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

    fn open_streams(&mut self) {
        if let Some(name) = self.publishes.take() {
            self.conn.publish(&name);
        }
        if let Some(name) = self.plays.take() {
            self.conn.play(&name);
        }
    }

    fn take_events(&mut self, now: Time) {
        let by_flows = matches!(self.conn, Line::Flows(_));
        loop {
            let what = match self.conn.poll_event() {
                None => return,
                Some(Event::Audio {
                    timestamp, payload, ..
                }) => {
                    let codec = codecs::by_flv_tag(payload[0]).unwrap();
                    let body = &payload[1..];
                    // What comes after its turn is not played any more.
                    let late = self.newest.is_some_and(|newest| timestamp < newest);
                    if late && by_flows {
                        continue;
                    }
                    self.newest = Some(timestamp);
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
                Some(Event::Connected { .. }) => {
                    let mut deeds = Vec::new();
                    if let Some(app) = &mut self.app {
                        app.connected(&mut deeds);
                    }
                    self.told.push((now, Told::Connected));
                    self.carry_out(now, deeds);
                    self.open_streams();
                    continue;
                }
                Some(Event::Command(call)) => {
                    let app = self.app.as_deref_mut().unwrap();
                    assert!(
                        app.functions().contains(&call.name.as_str()),
                        "it has no function {}",
                        call.name
                    );
                    let mut deeds = Vec::new();
                    app.called(&call, &mut deeds);
                    self.carry_out(now, deeds);
                    continue;
                }
                Some(Event::StreamCreated { txn, stream }) => {
                    if self.receive == Some(txn) {
                        self.conn.call(stream, "receiveAudio", &[true.into()]);
                    }
                    continue;
                }
                Some(Event::Rejected { code, .. }) => Told::Rejected(code),
                Some(Event::PublishStarted { stream }) => {
                    self.publishing = Some(Publishing {
                        stream,
                        began: self.voice.media_ms(),
                        encoder: codecs::encoder(self.codec, &Default::default()).unwrap(),
                        pcm: Vec::new(),
                        pcm_at: 0,
                        waiting: Vec::new(),
                        first: None,
                        frames: 0,
                    });
                    Told::PublishStarted
                }
                Some(Event::PlayStarted { stream }) => {
                    self.playing = Some(stream);
                    self.newest = None;
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
            self.told.push((now, what));
        }
    }
}
