//! The RTP half of a SIP party: what it receives becomes frames, what it is fed becomes packets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::{LegId, Rng, Time};
use codecs::CodecId;
use media::{
    DtmfReceiver, DtmfSender, DtmfSlot, JitterBuffer, Latch, Out, Pipe, PipeOptions, Playout, RtcpEvent,
    RtcpSession, RtpPacket, RtpReceiver, RtpSender, SeqUnwrap, Slot, Verdict,
};

use super::command::{FrameKind, LegStats, RtpParams, Side};
use super::flv_audio;
use super::inband::InBand;
use super::outbox::Outbox;
use super::settings::Settings;
use aside::{Association, Ice};
use secure::Secure;

mod aside;
mod secure;
mod send;

/// Largest packet we send: a header and 60 ms of linear audio at 16 kHz, with room to spare.
const PACKET: usize = 2_048;
/// Longest configuration of a codec that is kept.
const HEADER: usize = 256;
/// How long a digit that came without its length is sounded, ms.
const DIGIT_MS: u32 = 160;

/// One RTP session with one peer.
pub(super) struct RtpLeg {
    leg: LegId,
    settings: Arc<Settings>,
    rng: Rng,
    params: Option<RtpParams>,
    latch: Latch,
    receiver: RtpReceiver,
    seqs: SeqUnwrap,
    jitter: JitterBuffer,
    /// The RTP clock the jitter buffer counts in, Hz.
    clock: u32,
    armed: Option<Time>,
    dtmf_in: DtmfReceiver,
    digits: [Option<char>; 4],
    sender: RtpSender,
    rtcp: RtcpSession,
    dtmf_out: DtmfSender,
    feed: Feed,
    /// The configuration of the source's codec, for a pipe that is made after it came.
    header: Vec<u8>,
    /// What a message holds for a decoder.
    sound: Vec<u8>,
    /// The next packet begins a talk spurt (RFC 3551 §4.1).
    marker: bool,
    /// Frames that wait for their packet to be full, when the peer asked for more than 20 ms in each.
    packet: Vec<u8>,
    packet_frames: u32,
    packet_timestamp: u32,
    /// When the sender's timestamp was last moved, for gaps in a source that is not paced.
    last_sent: Option<Time>,
    opened: Time,
    told_silent: bool,
    /// Of feeds that are gone, ms.
    shortened_before: u64,
    sent: u64,
    foreign: u64,
    /// What came last.
    codec_in: Option<CodecId>,
    /// SRTP, once keys are agreed on.
    secure: Option<Box<Secure>>,
    dtls: Option<Association>,
    ice: Option<Ice>,
    /// For a peer that only sounds its digits.
    in_band: Option<InBand>,
    /// The digit that began to sound last.
    sounded: Option<char>,
}

/// Where the audio toward the peer comes from.
enum Feed {
    /// Nobody is heard.
    Silent,
    /// A client's stream: arrives in bursts and is paced here.
    Paced(Box<Playout>),
    /// A jitter buffer or a tone: sent as it comes.
    Straight {
        pipe: Box<Pipe>,
        /// Media time behind the last frame sent, in ticks of what we send.
        next: Option<u64>,
    },
    /// A room, which encodes and keeps time itself.
    Ready,
}

impl RtpLeg {
    pub(super) fn new(leg: LegId, settings: Arc<Settings>, mut rng: Rng) -> RtpLeg {
        let cname = format!("{}@flashgate", rng.token(12));
        RtpLeg {
            leg,
            params: None,
            latch: Latch::new(None, true),
            receiver: RtpReceiver::new(),
            seqs: SeqUnwrap::default(),
            jitter: JitterBuffer::new(8_000, 20, 320).with_max_wait(settings.jitter_max),
            clock: 8_000,
            armed: None,
            dtmf_in: DtmfReceiver::new(),
            digits: [None; 4],
            sender: RtpSender::new(&mut rng),
            rtcp: RtcpSession::new(rng.fork(), &cname, 8_000),
            dtmf_out: DtmfSender::new(8_000),
            feed: Feed::Silent,
            header: Vec::new(),
            sound: Vec::new(),
            marker: true,
            packet: Vec::new(),
            packet_frames: 0,
            packet_timestamp: 0,
            last_sent: None,
            opened: Time::ZERO,
            told_silent: false,
            shortened_before: 0,
            sent: 0,
            foreign: 0,
            codec_in: None,
            secure: None,
            dtls: None,
            ice: None,
            in_band: None,
            sounded: None,
            settings,
            rng,
        }
    }

    /// How to send and receive, as negotiated.
    pub(super) fn set_params(&mut self, now: Time, params: RtpParams) {
        self.set_dtls(now, params.dtls.as_ref());
        self.set_ice(params.ice.as_ref());
        let keyed = match &params.dtls {
            Some(_) => Ok(()),
            None => self.set_keys(params.srtp.as_ref()),
        };
        if let Err(error) = keyed {
            tracing::error!(leg = %self.leg, %error, "a call has no media: its keys cannot be used");
            self.params = None;
            return;
        }
        self.latch.signal(Some(params.remote));
        let clock = codecs::codec(params.send.1).rtp_clock;
        if clock != self.clock || self.params.is_none() {
            self.clock = clock;
            let codec = codecs::codec(params.send.1);
            self.jitter = JitterBuffer::new(clock, params.ptime_ms, codec.max_frame_bytes.max(320))
                .with_max_wait(self.settings.jitter_max);
            self.rtcp.set_clock(clock);
        }
        if let Some((_, clock)) = params.dtmf {
            let same = self
                .params
                .as_ref()
                .and_then(|p| p.dtmf)
                .is_some_and(|(_, c)| c == clock);
            if !same {
                self.dtmf_out = DtmfSender::new(clock);
            }
        }
        // Another codec toward the peer needs another pipe; the next frame makes it.
        if self
            .params
            .as_ref()
            .is_none_or(|p| p.send.1 != params.send.1 || p.ptime_ms != params.ptime_ms)
        {
            self.set_feed(Feed::Silent);
        }
        if self.params.is_none() {
            self.rtcp.start(now);
            self.opened = now;
        }
        self.told_silent = false;
        // A resumed peer gets its full time to be heard again.
        self.opened = now;
        self.params = Some(params);
    }

    /// Another source will be heard.
    pub(super) fn new_source(&mut self, _now: Time) {
        self.header.clear();
        self.set_feed(Feed::Silent);
        self.marker = true;
    }

    /// A datagram of media on the RTP port. RTCP may come here too (RFC 5761).
    pub(super) fn handle_rtp(&mut self, now: Time, from: SocketAddr, packet: &[u8]) {
        if media::is_rtcp(packet) {
            self.handle_rtcp(now, from, packet);
            return;
        }
        if self.waits_for_keys() {
            self.foreign += 1;
            return;
        }
        let Some(mut secure) = self.secure.take() else {
            return self.take_rtp(now, from, packet, false);
        };
        // What was made without the key does not get as far as the latch.
        if let Some(clear) = secure.open_rtp(packet) {
            self.take_rtp(now, from, clear, true);
        }
        self.secure = Some(secure);
    }

    /// RTP in clear; `authentic` when it could only come from the peer.
    fn take_rtp(&mut self, now: Time, from: SocketAddr, packet: &[u8], authentic: bool) {
        let Some(params) = &self.params else { return };
        let Ok(rtp) = RtpPacket::parse(packet) else {
            self.foreign += 1;
            return;
        };
        let is_digit = params.dtmf_receive == Some(rtp.payload_type);
        let known = is_digit || params.receive.iter().any(|(pt, _)| *pt == rtp.payload_type);
        let comfort_noise = rtp.payload_type == 13;
        if !known && !comfort_noise {
            self.foreign += 1;
            return;
        }
        let continues = self.receiver.ssrc() == Some(rtp.ssrc);
        // Asked first: packets from elsewhere must not even begin to look like a new source.
        if !self.latch.admits(now, from, continues) {
            self.foreign += 1;
            return;
        }
        let expected = authentic || self.latch.expects(from);
        let restarted = match self.receiver.accept(now, rtp.ssrc, rtp.seq, expected) {
            Verdict::Probation => return,
            Verdict::Accepted => false,
            Verdict::Restarted => {
                self.jitter.restart();
                self.dtmf_in.reset();
                self.seqs = SeqUnwrap::default();
                true
            }
        };
        // Learned from last: where one packet came from that may be anybody's, nothing is sent.
        self.latch.on_packet(now, from, continues);
        let extended = self.seqs.unwrap(rtp.seq);
        self.rtcp.on_received(
            now,
            rtp.ssrc,
            extended,
            rtp.timestamp,
            rtp.payload.len(),
            restarted,
        );
        self.told_silent = false;
        if !params.receiving {
            return;
        }
        if is_digit {
            self.jitter.note(rtp.seq, true);
            if let Some(digit) = self.dtmf_in.handle_input(now, rtp.timestamp, rtp.payload) {
                // Full: the oldest went unheard for a whole turn, which cannot be while each is taken at once.
                if let Some(free) = self.digits.iter_mut().find(|d| d.is_none()) {
                    *free = Some(digit);
                }
            }
        } else if comfort_noise {
            self.jitter.note(rtp.seq, true);
        } else {
            let _counted = self.jitter.insert(now, &rtp);
        }
    }

    /// A datagram on the RTCP port.
    pub(super) fn handle_rtcp(&mut self, now: Time, from: SocketAddr, packet: &[u8]) {
        // Only from the host that sends media.
        if self.latch.remote().is_none_or(|r| r.ip() != from.ip()) || self.waits_for_keys() {
            return;
        }
        let packet = match &mut self.secure {
            None => packet,
            Some(secure) => match secure.open_rtcp(packet) {
                Some(clear) => clear,
                None => return,
            },
        };
        match self.rtcp.handle_input(now, self.sender.ssrc(), packet) {
            Ok(RtcpEvent::Bye) => self.receiver.forget(),
            Ok(RtcpEvent::Collision) => self.sender.change_ssrc(&mut self.rng),
            Ok(RtcpEvent::Report | RtcpEvent::Nothing) | Err(_) => {}
        }
    }

    /// The next frame that is to be heard, with its payload in `payload`.
    pub(super) fn poll_frame(&mut self, now: Time, payload: &mut Vec<u8>) -> Option<FrameKind> {
        let params = self.params.as_ref()?;
        loop {
            match self.jitter.poll(now)? {
                Out::Frame {
                    payload: bytes,
                    payload_type,
                    time,
                    ..
                } => {
                    let Some((_, codec)) = params.receive.iter().find(|(pt, _)| *pt == payload_type) else {
                        continue;
                    };
                    // While a digit is held its own sound is not passed on: it would be heard twice.
                    if self.dtmf_in.is_down() {
                        continue;
                    }
                    self.codec_in = Some(*codec);
                    payload.clear();
                    payload.extend_from_slice(bytes);
                    if params.dtmf_receive.is_none() && self.settings.hear_digits {
                        if self.in_band.as_ref().is_none_or(|l| l.codec() != *codec) {
                            self.in_band = InBand::new(*codec);
                        }
                        let heard = self.in_band.as_mut().and_then(|l| l.hear(payload));
                        self.sounded = heard.or(self.sounded);
                    }
                    return Some(FrameKind::Audio {
                        codec: *codec,
                        time,
                        bursty: false,
                    });
                }
                Out::Lost { time, ticks } => {
                    payload.clear();
                    return Some(FrameKind::Lost { time, ticks });
                }
            }
        }
    }

    /// A jitter buffer deadline that is earlier than the one told last. A later one is told when that has come:
    /// with every packet the deadline moves on, and almost none is ever reached.
    pub(super) fn new_deadline(&mut self) -> Option<Time> {
        let wanted = self.jitter.poll_timeout()?;
        if self.armed.is_some_and(|armed| armed <= wanted) {
            return None;
        }
        self.armed = Some(wanted);
        self.armed
    }

    /// The deadline told last has come.
    pub(super) fn deadline_came(&mut self, at: Time) {
        if self.armed == Some(at) {
            self.armed = None;
        }
    }

    /// A digit the peer pressed.
    pub(super) fn poll_digit(&mut self) -> Option<char> {
        self.digits.iter_mut().find_map(Option::take)
    }

    /// A digit that the peer only sounded.
    pub(super) fn poll_sounded(&mut self) -> Option<char> {
        self.sounded.take()
    }

    /// Sends a digit of `ms`, if the peer takes such.
    pub(super) fn send_digit(&mut self, digit: char, ms: u32) {
        if self.params.as_ref().is_some_and(|p| p.dtmf.is_some()) {
            // Full: refused, for dropping an older one would change the number dialled.
            let _refused = self.dtmf_out.send(digit, ms);
        }
    }

    /// Whether nothing has come for the configured time; true once.
    pub(super) fn fell_silent(&mut self, now: Time) -> bool {
        let Some(params) = &self.params else { return false };
        let last = self.receiver.last_heard().unwrap_or(self.opened).max(self.opened);
        let silent = params.receiving && now.since(last) >= self.settings.rtp_timeout;
        silent && !std::mem::replace(&mut self.told_silent, true)
    }

    /// Gives a frame of a source to this sink.
    pub(super) fn feed(&mut self, now: Time, kind: FrameKind, payload: &[u8], outbox: &mut Outbox) {
        if let FrameKind::Tag { time, codec } = kind {
            let Some(codec) = codec else { return };
            let mut sound = std::mem::take(&mut self.sound);
            flv_audio::payload(payload, &mut sound);
            if flv_audio::is_header(codec, &sound) && sound.len() <= HEADER {
                // Kept also while nobody hears it: it comes but once.
                self.header.clear();
                self.header.extend_from_slice(&sound);
            }
            if !sound.is_empty() {
                let kind = FrameKind::Audio {
                    codec,
                    time,
                    bursty: true,
                };
                self.feed(now, kind, &sound, outbox);
            }
            self.sound = sound;
            return;
        }
        let Some(params) = &self.params else { return };
        if !params.sending {
            return;
        }
        let to = params.send.1;
        match kind {
            FrameKind::Audio {
                codec,
                time,
                bursty: true,
            } => {
                if !matches!(&self.feed, Feed::Paced(playout) if playout.pipe().from() == codec) {
                    let options = PipeOptions {
                        buffer_ms: Playout::BUFFER_MS,
                        ..self.settings.pipe
                    };
                    match Pipe::plan(codec, to, &options) {
                        Ok(pipe) => {
                            let mut playout = Playout::new(pipe);
                            if flv_audio::is_header(codec, &self.header) {
                                let _counted = playout.push(now, time, &self.header);
                            }
                            self.set_feed(Feed::Paced(Box::new(playout)));
                        }
                        Err(error) => {
                            tracing::error!(leg = %self.leg, %error, "no way to transcode");
                            return;
                        }
                    }
                }
                if let Feed::Paced(playout) = &mut self.feed {
                    // A message that cannot be read is counted there, and its slots pass in silence.
                    let _counted = playout.push(now, time, payload);
                }
            }
            FrameKind::Audio {
                codec,
                time,
                bursty: false,
            } => {
                if !matches!(&self.feed, Feed::Straight { pipe, .. } if pipe.from() == codec) {
                    match Pipe::plan(codec, to, &self.settings.pipe) {
                        Ok(pipe) => self.set_feed(Feed::Straight {
                            pipe: Box::new(pipe),
                            next: None,
                        }),
                        Err(error) => {
                            tracing::error!(leg = %self.leg, %error, "no way to transcode");
                            return;
                        }
                    }
                }
                if let Feed::Straight { pipe, .. } = &mut self.feed
                    && pipe.push(time, payload).is_err()
                {
                    let frame = time.rate / 50;
                    pipe.conceal(time, frame);
                }
                self.drain_pipe(now, outbox);
            }
            FrameKind::Ready { codec, ticks, .. } if codec == to => {
                if !matches!(self.feed, Feed::Ready) {
                    self.set_feed(Feed::Ready);
                }
                self.send_frame(now, payload, ticks, outbox);
            }
            FrameKind::Lost { time, ticks } => {
                if let Feed::Straight { pipe, .. } = &mut self.feed {
                    pipe.conceal(time, ticks);
                }
                self.drain_pipe(now, outbox);
            }
            FrameKind::Digit { digit } => self.send_digit(digit, DIGIT_MS),
            FrameKind::Gone => {
                self.set_feed(Feed::Silent);
                self.marker = true;
            }
            FrameKind::Tag { .. }
            | FrameKind::Video { .. }
            | FrameKind::Data { .. }
            | FrameKind::Ready { .. }
            | FrameKind::Sums { .. } => {}
        }
    }

    /// The codec in which the peer is to hear a mix.
    pub(super) fn wants(&self) -> Option<codecs::CodecId> {
        self.params.as_ref().filter(|p| p.sending).map(|p| p.send.1)
    }

    /// Sends a frame, unless a digit has its time.
    fn send_frame(&mut self, now: Time, frame: &[u8], ticks: u32, outbox: &mut Outbox) {
        match self.dtmf_slot(ticks) {
            DtmfSlot::Event(event) => self.send_event(now, event, outbox),
            DtmfSlot::Idle | DtmfSlot::Gap => self.send_audio(now, frame, ticks, outbox),
        }
        self.sender.advance(ticks);
    }

    /// Sends every whole frame the pipe holds.
    fn drain_pipe(&mut self, now: Time, outbox: &mut Outbox) {
        let mut buffer = outbox.lend(PACKET);
        while let Feed::Straight { pipe, next } = &mut self.feed
            && let Some(frame) = pipe.next_frame(&mut buffer)
        {
            // A hole in the source's time is a hole in ours: the timestamp follows the media (RFC 3551 §4.1). Only
            // whole payloads have their own to the tick; what is cut into frames joins without a seam.
            let hole = next.map_or(0, |n| frame.time.ticks.saturating_sub(n));
            let long = hole > u64::from(frame.ticks) * 2;
            if long || pipe.is_whole() {
                self.sender.advance(u32::try_from(hole).unwrap_or(0));
                self.marker |= long;
            }
            *next = Some(frame.time.ticks + u64::from(frame.ticks));
            let payload = buffer.get(..frame.len).unwrap_or_default();
            self.send_frame(now, payload, frame.ticks, outbox);
        }
        outbox.give_back(buffer);
    }

    /// Every 20 ms: what is paced goes out, digits sound, reports are written.
    pub(super) fn tick(&mut self, now: Time, outbox: &mut Outbox) {
        let Some(params) = &self.params else { return };
        let ticks = codecs::codec(params.send.1).rtp_clock / 50;
        match &mut self.feed {
            Feed::Paced(playout) => {
                let mut frame = outbox.lend(PACKET);
                // The clock of the stream goes on whatever was there to send.
                let slot = playout.pull(&mut frame);
                match self.dtmf_slot(ticks) {
                    DtmfSlot::Event(event) => self.send_event(now, event, outbox),
                    DtmfSlot::Idle | DtmfSlot::Gap => match slot {
                        Slot::Frame { len, .. } => {
                            self.send_audio(now, frame.get(..len).unwrap_or_default(), ticks, outbox);
                        }
                        Slot::Silent { .. } => {
                            // A packet never joins what stood on both sides of a hole.
                            self.packet_frames = 0;
                            self.marker = true;
                        }
                    },
                }
                outbox.give_back(frame);
                self.sender.advance(ticks);
            }
            Feed::Silent => {
                if let DtmfSlot::Event(event) = self.dtmf_slot(ticks) {
                    self.send_event(now, event, outbox);
                }
                self.sender.advance(ticks);
            }
            Feed::Straight { .. } | Feed::Ready => {
                // A source in a pause sends nothing, but digits do not wait for it.
                let paused = self
                    .last_sent
                    .is_none_or(|t| now.since(t) > Duration::from_millis(60));
                if paused && self.dtmf_out.is_busy() {
                    if let DtmfSlot::Event(event) = self.dtmf_slot(ticks) {
                        self.send_event(now, event, outbox);
                    }
                    self.sender.advance(ticks);
                }
            }
        }
        self.dtmf_in.handle_timeout(now);
        self.shake(now, outbox);
        self.report(now, outbox);
    }

    /// Audio toward the peer that was left out to be in time, ms.
    fn shortened_ms(&self) -> u64 {
        let now = match &self.feed {
            Feed::Paced(playout) => shortened_ms(playout),
            Feed::Silent | Feed::Straight { .. } | Feed::Ready => 0,
        };
        self.shortened_before + now
    }

    /// Another feed takes over; the figures go on.
    fn set_feed(&mut self, feed: Feed) {
        self.shortened_before = self.shortened_ms();
        self.feed = feed;
    }

    /// The figures so far.
    pub(super) fn stats(&self) -> LegStats {
        let (rtcp, jitter) = (self.rtcp.stats(), self.jitter.stats());
        let refused = self.secure.as_ref().map(|s| s.stats()).unwrap_or_default();
        LegStats {
            side: Side::Rtp,
            codec_in: self.codec_in,
            codec_out: self.params.as_ref().map(|p| p.send.1),
            received: rtcp.received,
            sent: self.sent,
            lost: u64::try_from(rtcp.lost).unwrap_or(0),
            late: jitter.late,
            concealed: jitter.concealed,
            remote_lost: u64::try_from(rtcp.remote_lost).unwrap_or(0),
            jitter_ms: rtcp.jitter_ms,
            rtt_ms: rtcp.rtt_ms.unwrap_or(0.0),
            wait_ms: jitter.wait_ms,
            depth_ms: match &self.feed {
                Feed::Paced(playout) => playout.depth_ms() as f32,
                Feed::Silent | Feed::Straight { .. } | Feed::Ready => 0.0,
            },
            shortened_ms: self.shortened_ms(),
            suite: self.secure.as_ref().map(|s| s.suite()),
            forged: refused.forged,
            replayed: refused.replayed,
        }
    }
}

fn shortened_ms(playout: &Playout) -> u64 {
    let stats = playout.stats();
    let ticks = stats.overflow_ticks + stats.dropped_ticks + stats.silence_ticks + stats.compressed_ticks;
    ticks * 20 / u64::from(playout.slot_ticks().max(1))
}
