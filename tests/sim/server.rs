//! An RTMP server elsewhere: the server half of the protocol, a mouth for those who play and an ear for those who
//! publish. It takes one connection at a time for each of the gateway's legs.

use std::net::SocketAddr;

use base::{Rng, Time};
use codecs::{CodecId, Decoder, Encoder};
use rtmp::server::{Connection, Event, ServerConfig};

use crate::ear::Ear;
use crate::tcp::Tcp;
use crate::voice::Voice;

const CHUNK: usize = 8 * 1024;

/// How it treats who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Takes everybody.
    Open,
    /// The machine is off.
    Down,
    /// Takes the connection and says nothing.
    Mute,
    /// Refuses every stream.
    Refusing,
}

struct Playing {
    stream: u32,
    began: u64,
    encoder: Box<dyn Encoder>,
}

struct Link {
    tcp: usize,
    conn: Connection,
    pending: Vec<u8>,
    playing: Option<Playing>,
    decoder: Option<(CodecId, Box<dyn Decoder>)>,
    gone: bool,
}

pub struct Server {
    pub address: SocketAddr,
    pub mood: Mood,
    pub voice: Voice,
    pub ear: Ear,
    /// Names that were published or played, in order.
    pub streams: Vec<String>,
    /// What it was last sent.
    pub heard_codec: Option<CodecId>,
    /// The times of the messages received, ms.
    pub timestamps: Vec<u32>,
    /// Connections that were made.
    pub connections: usize,
    links: Vec<Link>,
    rng: Rng,
}

impl Server {
    pub fn new(n: usize, address: SocketAddr, now: Time, rng: Rng) -> Server {
        Server {
            address,
            mood: Mood::Open,
            voice: Voice::new(n, now),
            ear: Ear::back_to_back(),
            streams: Vec::new(),
            heard_codec: None,
            timestamps: Vec::new(),
            connections: 0,
            links: Vec::new(),
            rng,
        }
    }

    /// The gateway connects.
    pub fn accept(&mut self, now: Time, tcp: usize) {
        self.connections += 1;
        self.links.push(Link {
            tcp,
            conn: Connection::new(ServerConfig::default(), self.rng.fork(), now),
            pending: Vec::new(),
            playing: None,
            decoder: None,
            gone: false,
        });
    }

    /// Connections that are there now.
    pub fn population(&self) -> usize {
        self.links.iter().filter(|l| !l.gone).count()
    }

    /// All connections break.
    pub fn die(&mut self, tcps: &mut [Tcp]) {
        for link in &mut self.links {
            tcps[link.tcp].up.close();
            link.gone = true;
        }
    }

    pub fn poll_timeout(&self) -> Option<Time> {
        let mute = self.mood == Mood::Mute;
        let conns = self.links.iter().filter(|l| !l.gone && !mute);
        let at = conns.filter_map(|l| l.conn.poll_timeout()).min();
        base::earliest(Some(self.voice.due()), at)
    }

    /// Speaks when it is time, hears what came and says what is to be said.
    pub fn step(&mut self, now: Time, tcps: &mut [Tcp]) {
        while self.voice.due() <= now {
            let at = self.voice.media_ms();
            let pcm: Vec<i16> = self.voice.speak(16_000).to_vec();
            for link in self.links.iter_mut().filter(|l| !l.gone) {
                let Some(p) = &mut link.playing else { continue };
                let mut payload = [0; 1_000];
                let len = p.encoder.encode(&pcm, &mut payload).unwrap();
                let at = (at - p.began) as u32;
                link.conn
                    .send_audio(now, p.stream, at, &[&[0xb2], &payload[..len]], false);
            }
        }
        for n in 0..self.links.len() {
            if !self.links[n].gone && self.mood != Mood::Mute {
                self.serve(now, n, tcps);
            }
        }
    }

    fn serve(&mut self, now: Time, n: usize, tcps: &mut [Tcp]) {
        let tcp = &mut tcps[self.links[n].tcp];
        if self.links[n].conn.poll_timeout().is_some_and(|at| at <= now) {
            self.links[n].conn.handle_timeout(now);
        }
        loop {
            let bytes = tcp.down.read(now, CHUNK);
            if bytes.is_empty() {
                break;
            }
            self.links[n].conn.handle_input(now, &bytes);
            self.take_events(now, n);
        }
        let link = &mut self.links[n];
        loop {
            if link.pending.is_empty() && link.conn.poll_transmit(now, &mut link.pending, CHUNK) == 0 {
                break;
            }
            let taken = tcp.up.write(now, &link.pending);
            link.pending.drain(..taken);
            if taken == 0 {
                break;
            }
        }
        if tcp.down.is_over() {
            tcp.up.close();
            link.gone = true;
        }
    }

    fn take_events(&mut self, now: Time, n: usize) {
        let refuses = self.mood == Mood::Refusing;
        let link = &mut self.links[n];
        loop {
            match link.conn.poll_event().unwrap() {
                None => return,
                Some(Event::Connect(_)) => link.conn.accept_connect(),
                Some(Event::Publish { stream, name, .. }) => {
                    self.streams.push(name.name.clone());
                    if refuses {
                        let code = "NetStream.Publish.BadName";
                        link.conn.reject_publish(stream, code, "key is taken");
                    } else {
                        link.conn.accept_publish(stream);
                    }
                }
                Some(Event::Play { stream, name, .. }) => {
                    self.streams.push(name.name.clone());
                    if refuses {
                        let code = "NetStream.Play.StreamNotFound";
                        link.conn.reject_play(stream, code, "no such stream");
                        continue;
                    }
                    link.conn.accept_play(stream);
                    link.playing = Some(Playing {
                        stream,
                        began: self.voice.media_ms(),
                        encoder: codecs::encoder(CodecId::SpeexWb, &Default::default()).unwrap(),
                    });
                }
                Some(Event::Audio {
                    timestamp, payload, ..
                }) => {
                    let codec = codecs::by_flv_tag(payload[0]).unwrap();
                    self.heard_codec = Some(codec);
                    self.timestamps.push(timestamp);
                    if link.decoder.as_ref().is_none_or(|(c, _)| *c != codec) {
                        link.decoder = Some((codec, codecs::decoder(codec, 0).unwrap()));
                    }
                    if let Some((_, decoder)) = &mut link.decoder {
                        let mut pcm = [0; 9_600];
                        let n = decoder.decode(&payload[1..], &mut pcm).unwrap();
                        self.ear.hear(now, decoder.sample_rate(), &pcm[..n]);
                    }
                }
                Some(_) => {}
            }
        }
    }
}
