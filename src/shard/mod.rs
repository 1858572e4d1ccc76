//! A shard: client sessions and media legs as one pure machine.
//!
//! Bytes, datagrams, commands and the time come in; what is to be sent and told comes out of
//! [`Shard::poll_output`]. Its driver is one thread (`driver.rs`); the simulation drives the same machine in
//! virtual time. An audio packet crosses no thread between a client's connection and an RTP socket of the
//! same shard.

mod backlog;
mod command;
mod conn;
mod dealer;
mod driver;
mod dtls;
mod figures;
mod flows;
mod flv_audio;
mod fresh;
mod inband;
mod leg;
mod outbound;
mod outbox;
mod play;
mod remote;
mod room;
mod rtp_leg;
mod session;
mod settings;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use base::{CallId, EndReason, IdMap, LegId, Rng, SessionId, ShardId, Time};
use call::{Intent, StreamEvent};
use rtmp::server::{Connection, ServerConfig};

pub use command::{Command, DtlsParams, Event, FrameKind, IceParams, LegStats, LinkFrame, RtpParams, Side};
pub(crate) use dealer::Dealer;
pub(crate) use driver::{
    Carrier, Dialled, Message, ShardHandle, Start, TunnelAsk, TunnelRequest, queues, run,
};
pub use dtls::{DtlsDone, DtlsWork};
pub use figures::{Figures, Lateness, LegFigures, Look, Srtp, Traffic};
pub use media::Suite as SrtpSuite;
pub use outbound::OutboundTold;
pub use outbox::Output;
pub use remote::Remote;
pub use room::{RoomCommand, RoomEvent};
pub(crate) use settings::policy;
pub use settings::{Settings, rtmfp_endpoint};

use conn::Conn;
use leg::{Kind, MediaLeg, ToneLeg};
use outbox::Outbox;
use rtp_leg::RtpLeg;
use session::Session;

/// Legs are paced in steps of this; a leg has its turn every fourth step, 20 ms.
const STEP: Duration = Duration::from_millis(5);
const PHASES: usize = 4;
/// How often the deadlines of client sessions are looked at: their time-outs are seconds.
const SESSION_SWEEP: Duration = Duration::from_millis(100);

/// The media half of the gateway, one of several.
pub struct Shard {
    id: ShardId,
    settings: Arc<Settings>,
    rng: Rng,
    sessions: IdMap<SessionId, Session>,
    /// Our connections to servers elsewhere.
    outbound: IdMap<SessionId, outbound::Outbound>,
    legs: IdMap<LegId, MediaLeg>,
    /// Legs that have work on the media clock, by the step at which they have their turn.
    phases: [Vec<LegId>; PHASES],
    /// The next step of the media clock; `None` while no leg needs it.
    next_step: Option<Time>,
    step: usize,
    /// Jitter buffer deadlines, lazily deleted.
    deadlines: BinaryHeap<Reverse<(Time, LegId)>>,
    next_sweep: Option<Time>,
    next_leg: u64,
    outbox: Outbox,
    /// Sockets for RTMFP clients.
    rtmfp: Vec<flows::Listener>,
    next_rtmfp: u64,
    /// A frame on its way from a source to its sinks.
    scratch: Vec<u8>,
    watch: figures::Watch,
}

impl Shard {
    /// An empty shard.
    pub fn new(id: ShardId, settings: Arc<Settings>, rng: Rng) -> Shard {
        Shard {
            id,
            settings,
            rng,
            sessions: IdMap::default(),
            outbound: IdMap::default(),
            legs: IdMap::default(),
            phases: Default::default(),
            next_step: None,
            step: 0,
            deadlines: BinaryHeap::new(),
            next_sweep: None,
            next_leg: 0,
            outbox: Outbox::default(),
            rtmfp: Vec::new(),
            next_rtmfp: 0,
            scratch: Vec::with_capacity(2_048),
            watch: figures::Watch::default(),
        }
    }

    /// Its number.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Sessions and legs made from now on follow these settings; those there are keep theirs.
    pub fn set_settings(&mut self, settings: Arc<Settings>) {
        self.settings = settings;
        self.reconfigure_rtmfp();
    }

    /// A client connected.
    pub fn handle_accepted(&mut self, now: Time, session: SessionId, peer: SocketAddr) {
        let config = self.settings.rtmp.clone();
        self.open_session(now, session, peer, config);
    }

    /// A client opened a session in an HTTP tunnel (RTMPT).
    pub fn handle_tunnelled(&mut self, now: Time, session: SessionId, peer: SocketAddr) {
        let config = self.settings.rtmp_in_tunnel();
        self.open_session(now, session, peer, config);
    }

    fn open_session(&mut self, now: Time, session: SessionId, peer: SocketAddr, config: ServerConfig) {
        let conn = Connection::new(config, self.rng.fork(), now);
        self.sessions
            .insert(session, Session::new(Conn::Rtmp(Box::new(conn)), peer));
        self.outbox.event(Event::SessionOpened { session, peer });
        self.next_sweep.get_or_insert(now + SESSION_SWEEP);
    }

    /// Bytes came from a client.
    pub fn handle_bytes(&mut self, now: Time, session: SessionId, bytes: &[u8]) {
        let Some(entry) = self.sessions.get_mut(&session) else {
            return self.outbound_bytes(now, session, bytes);
        };
        entry.conn.handle_input(now, bytes);
        self.run_session(now, session);
    }

    /// A client's connection ended.
    pub fn handle_closed(&mut self, now: Time, session: SessionId) {
        if !self.outbound_closed(session) {
            self.end_session(now, session, EndReason::ConnectionLost);
        }
    }

    /// The bytes a session wants to write now, at most about `budget`; returns how many.
    pub fn transmit(&mut self, now: Time, session: SessionId, out: &mut Vec<u8>, budget: usize) -> usize {
        match self.sessions.get_mut(&session) {
            Some(entry) => entry.conn.poll_transmit(now, out, budget),
            None => match self.outbound.get_mut(&session) {
                Some(entry) => entry.transmit(now, out, budget),
                None => 0,
            },
        }
    }

    /// A datagram came on the RTP port of a leg.
    pub fn handle_rtp(&mut self, now: Time, leg: LegId, from: SocketAddr, packet: &[u8]) {
        if is_aside(packet) {
            return self.handle_aside(now, leg, from, packet, false);
        }
        self.guard_leg(now, leg, |shard| {
            if let Some(rtp) = shard.rtp_mut(leg) {
                rtp.handle_rtp(now, from, packet);
                shard.run_rtp(now, leg);
            }
        });
    }

    /// A datagram came on the RTCP port of a leg.
    pub fn handle_rtcp(&mut self, now: Time, leg: LegId, from: SocketAddr, packet: &[u8]) {
        if is_aside(packet) {
            return self.handle_aside(now, leg, from, packet, true);
        }
        self.guard_leg(now, leg, |shard| {
            if let Some(rtp) = shard.rtp_mut(leg) {
                rtp.handle_rtcp(now, from, packet);
            }
        });
    }

    /// What comes beside media (RFC 7983).
    fn handle_aside(&mut self, now: Time, leg: LegId, from: SocketAddr, packet: &[u8], rtcp: bool) {
        self.guard_leg(now, leg, |shard| {
            if let Some(Kind::Rtp(rtp)) = shard.legs.get_mut(&leg).map(|l| &mut l.kind) {
                rtp.handle_aside(now, from, packet, rtcp, &mut shard.outbox);
            }
        });
    }

    /// The arithmetic of [`Output::DtlsWork`] is done.
    pub fn handle_dtls_done(&mut self, now: Time, leg: LegId, done: DtlsDone) {
        self.guard_leg(now, leg, |shard| {
            if let Some(Kind::Rtp(rtp)) = shard.legs.get_mut(&leg).map(|l| &mut l.kind)
                && let Some(why) = rtp.handle_dtls_done(now, done, &mut shard.outbox)
            {
                tracing::warn!(%leg, why, "a call has no media");
                shard.outbox.event(Event::RtpInsecure { leg });
            }
        });
    }

    /// The ports of [`Output::OpenRtp`] are bound, or none was to be had.
    pub fn handle_rtp_opened(&mut self, now: Time, leg: LegId, local: Option<SocketAddr>) {
        match local {
            Some(local) if self.legs.contains_key(&leg) => {
                self.join_phase(now, leg);
                self.outbox.event(Event::RtpOpened { leg, local });
            }
            Some(_) => self.outbox.close_rtp(leg),
            None => {
                self.legs.remove(&leg);
                self.outbox.event(Event::RtpFailed { leg });
            }
        }
    }

    /// A frame came over from another shard.
    pub fn handle_link(&mut self, now: Time, frame: LinkFrame) {
        match self.legs.get(&frame.leg).map(|l| &l.kind) {
            Some(Kind::Proxy) => self.guard_leg(now, frame.leg, |shard| {
                shard.deliver(now, frame.leg, frame.kind, &frame.payload)
            }),
            Some(Kind::Room(_)) => self.room_sums(frame.leg, frame.kind, &frame.payload),
            _ => {}
        }
    }

    /// The exchange wants something.
    pub fn handle_command(&mut self, now: Time, command: Command) {
        match command {
            Command::Line { session, event } => self.line_event(now, session, event),
            Command::Stream { session, leg, event } => self.stream_event(now, session, leg, event),
            Command::CloseSession { session, reason } => self.end_session(now, session, reason),
            Command::Assign { leg, call } => {
                if let Some(entry) = self.legs.get_mut(&leg) {
                    entry.call = call;
                }
            }
            Command::OpenRtp { leg, call, ip } => self.open_rtp(leg, call, ip),
            Command::OpenOutbound { leg, call, remote } => self.open_outbound(leg, call, &remote),
            Command::Rtp { leg, params } => self.guard_leg(now, leg, |shard| {
                if let Some(rtp) = shard.rtp_mut(leg) {
                    rtp.set_params(now, *params);
                }
            }),
            Command::OpenTone { leg, call, cadence } => {
                self.legs.insert(
                    leg,
                    MediaLeg::new(call, Kind::Tone(Box::new(ToneLeg::new(cadence)))),
                );
                self.join_phase(now, leg);
            }
            Command::OpenProxy { leg, call } => {
                self.legs.insert(leg, MediaLeg::new(call, Kind::Proxy));
            }
            Command::Export { leg, to, on } => {
                if let Some(entry) = self.legs.get_mut(&leg) {
                    entry.exports.retain(|s| *s != to);
                    if on {
                        entry.exports.push(to);
                    }
                }
                if on {
                    self.replay_headers(now, leg, None);
                }
            }
            Command::Connect { from, to } => self.connect(now, from, to),
            Command::Disconnect { from, to } => self.disconnect(now, from, to),
            Command::Digit { leg, digit, ms } => {
                if let Some(rtp) = self.rtp_mut(leg) {
                    rtp.send_digit(digit, ms);
                }
            }
            Command::Room { room, command } => self.room_command(now, room, command),
            Command::Close { leg } => self.close_leg(now, leg),
            Command::CloseAll => {
                let sessions: Vec<SessionId> = self.sessions.keys().copied().collect();
                for session in sessions {
                    self.end_session(now, session, EndReason::Draining);
                }
            }
        }
    }

    /// A deadline of [`Shard::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(Reverse((at, leg))) = self.deadlines.peek().copied() {
            if at > now {
                break;
            }
            self.deadlines.pop();
            if let Some(rtp) = self.rtp_mut(leg) {
                rtp.deadline_came(at);
                self.guard_leg(now, leg, |shard| shard.run_rtp(now, leg));
            }
        }
        while let Some(at) = self.next_step.filter(|at| *at <= now) {
            // A late step is not repeated: what is more than a full round behind is skipped, and the
            // timestamps advance by the clock.
            let behind = now.since(at) > STEP * 16;
            self.watch.lateness.note(now.since(at));
            self.next_step = Some(if behind { now + STEP } else { at + STEP });
            self.take_step(now);
        }
        self.rtmfp_timeout(now);
        if self.next_sweep.is_some_and(|at| at <= now) {
            self.sweep_sessions(now);
        }
    }

    /// When [`Shard::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        // Jitter buffers are looked at with the next step: none waits so exactly that a wake-up of its own is worth it.
        let media = self
            .next_step
            .or_else(|| self.deadlines.peek().map(|Reverse((at, _))| *at));
        let media = base::earliest(media, self.rtmfp_poll_timeout());
        base::earliest(media, self.next_sweep)
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output<'_>> {
        self.outbox.next()
    }

    /// Whether [`Shard::poll_output`] has something.
    pub fn has_output(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Sessions and legs now, for the load figures and for tests of leaks.
    pub fn population(&self) -> (usize, usize) {
        (self.sessions.len() + self.outbound.len(), self.legs.len())
    }

    fn open_rtp(&mut self, leg: LegId, call: CallId, ip: IpAddr) {
        let rng = self.rng.fork();
        let rtp = RtpLeg::new(leg, self.settings.clone(), rng);
        self.legs
            .insert(leg, MediaLeg::new(call, Kind::Rtp(Box::new(rtp))));
        self.outbox.open_rtp(leg, ip);
    }

    /// Gives a leg its turn on the media clock, in the phase with the fewest legs: encoding must not come
    /// in a burst.
    fn join_phase(&mut self, now: Time, leg: LegId) {
        if let Some(phase) = self.phases.iter_mut().min_by_key(|p| p.len()) {
            phase.push(leg);
        }
        self.next_step.get_or_insert(now + STEP);
    }

    fn take_step(&mut self, now: Time) {
        let Some(mut turn) = self.phases.get_mut(self.step).map(std::mem::take) else {
            return;
        };
        turn.retain(|leg| self.legs.contains_key(leg));
        for leg in &turn {
            self.guard_leg(now, *leg, |shard| shard.take_turn(now, *leg));
        }
        if let Some(phase) = self.phases.get_mut(self.step) {
            // Legs that joined meanwhile are behind those that had their turn.
            turn.append(phase);
            *phase = turn;
        }
        self.step = (self.step + 1) % PHASES;
        if self.phases.iter().all(Vec::is_empty) {
            self.next_step = None;
        }
    }

    /// A leg's work every 20 ms.
    fn take_turn(&mut self, now: Time, leg: LegId) {
        match self.legs.get_mut(&leg).map(|l| &mut l.kind) {
            Some(Kind::Rtp(rtp)) => {
                rtp.tick(now, &mut self.outbox);
                self.run_rtp(now, leg);
            }
            Some(Kind::Tone(tone)) => {
                let mut scratch = std::mem::take(&mut self.scratch);
                let kind = tone.next(&mut scratch);
                self.deliver(now, leg, kind, &scratch);
                self.scratch = scratch;
            }
            Some(Kind::Room(_)) => self.room_turn(now, leg),
            #[cfg(test)]
            Some(Kind::Probe(work)) => work(),
            _ => {}
        }
    }

    fn sweep_sessions(&mut self, now: Time) {
        let due: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|(_, s)| {
                s.conn.poll_timeout().is_some_and(|at| at <= now) || s.close_at.is_some_and(|at| at <= now)
            })
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            let Some(session) = self.sessions.get_mut(&id) else {
                continue;
            };
            if session.close_at.is_some_and(|at| at <= now) {
                self.end_session(now, id, EndReason::HungUp);
                continue;
            }
            session.conn.handle_timeout(now);
            self.run_session(now, id);
        }
        self.sweep_outbound(now);
        let any = !self.sessions.is_empty() || !self.outbound.is_empty();
        self.next_sweep = any.then(|| now + SESSION_SWEEP);
    }

    /// Lets a sink hear a source.
    fn connect(&mut self, now: Time, from: LegId, to: LegId) {
        if !self.legs.contains_key(&to) {
            return;
        }
        if let Some(source) = self.legs.get_mut(&from)
            && !source.sinks.contains(&to)
        {
            source.sinks.push(to);
        }
        match self.legs.get_mut(&to).map(|l| &mut l.kind) {
            Some(Kind::Rtp(rtp)) => rtp.new_source(now),
            Some(Kind::Play(play)) => play.new_source(now),
            _ => {}
        }
        self.replay_headers(now, from, Some(to));
    }

    fn disconnect(&mut self, now: Time, from: LegId, to: LegId) {
        if let Some(source) = self.legs.get_mut(&from) {
            source.sinks.retain(|s| *s != to);
        }
        self.feed(now, to, FrameKind::Gone, &[]);
    }

    fn close_leg(&mut self, now: Time, leg: LegId) {
        let Some(entry) = self.legs.remove(&leg) else {
            return;
        };
        for to in &entry.sinks {
            self.feed(now, *to, FrameKind::Gone, &[]);
        }
        for source in self.legs.values_mut() {
            source.sinks.retain(|s| *s != leg);
        }
        if let Some(stats) = entry.stats() {
            self.watch.closed(leg, &stats);
            self.outbox.event(Event::Stats { leg, stats });
        }
        if matches!(entry.kind, Kind::Play(_) | Kind::Publish(_)) && !self.outbound.is_empty() {
            self.leave_outbound(now, leg);
        }
        if let Kind::Member(room) = entry.kind {
            self.room_left(room, leg);
        }
        if let Kind::Rtp(mut rtp) = entry.kind {
            rtp.close(now, &mut self.outbox);
            self.outbox.close_rtp(leg);
        }
    }

    /// Brings what an RTP leg has received to those who hear it, and notes when it wants to be looked at.
    fn run_rtp(&mut self, now: Time, leg: LegId) {
        let mut scratch = std::mem::take(&mut self.scratch);
        while let Some(kind) = self
            .rtp_mut(leg)
            .and_then(|rtp| rtp.poll_frame(now, &mut scratch))
        {
            self.deliver(now, leg, kind, &scratch);
        }
        self.scratch = scratch;
        let Some(rtp) = self.rtp_mut(leg) else { return };
        let (deadline, silent) = (rtp.new_deadline(), rtp.fell_silent(now));
        if let Some(at) = deadline {
            self.deadlines.push(Reverse((at, leg)));
        }
        if silent {
            self.outbox.event(Event::RtpSilent { leg });
        }
        while let Some(digit) = self.rtp_mut(leg).and_then(RtpLeg::poll_digit) {
            self.outbox.event(Event::Digit {
                leg,
                digit,
                in_band: false,
            });
            self.deliver(now, leg, FrameKind::Digit { digit }, &[]);
        }
        if let Some(digit) = self.rtp_mut(leg).and_then(RtpLeg::poll_sounded) {
            self.outbox.event(Event::Digit {
                leg,
                digit,
                in_band: true,
            });
        }
    }

    /// Brings a frame from a source to all its sinks.
    fn deliver(&mut self, now: Time, from: LegId, kind: FrameKind, payload: &[u8]) {
        let Some(source) = self.legs.get_mut(&from) else {
            return;
        };
        source.remember(kind, payload);
        if self.watch.is_metering() {
            self.watch.hear(now, from, kind, payload);
        }
        for shard in &source.exports {
            self.outbox.link(
                *shard,
                LinkFrame {
                    leg: from,
                    kind,
                    payload: payload.into(),
                },
            );
        }
        // Taken out while the sinks are fed: a leg may hear itself.
        let sinks = std::mem::take(&mut source.sinks);
        for to in &sinks {
            self.feed(now, *to, kind, payload);
        }
        if let Some(source) = self.legs.get_mut(&from) {
            source.sinks = sinks;
        }
    }

    /// Does a leg's work so that a fault in it (of a codec, say) ends that leg and no other.
    fn guard_leg(&mut self, now: Time, leg: LegId, work: impl FnOnce(&mut Shard)) {
        // What the fault left half done is thrown away with the leg.
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_ok() {
            return;
        }
        tracing::error!(%leg, "a fault of flashgate ended this leg; please report it with the lines above");
        // Its last words may fail as well.
        if catch_unwind(AssertUnwindSafe(|| self.close_leg(now, leg))).is_err() {
            self.outbox.close_rtp(leg);
        }
        self.outbox.event(Event::LegBroke { leg });
    }

    fn rtp_mut(&mut self, leg: LegId) -> Option<&mut RtpLeg> {
        match self.legs.get_mut(&leg).map(|l| &mut l.kind) {
            Some(Kind::Rtp(rtp)) => Some(rtp),
            _ => None,
        }
    }

    /// Gives a frame to one sink.
    fn feed(&mut self, now: Time, to: LegId, kind: FrameKind, payload: &[u8]) {
        self.guard_leg(now, to, |shard| shard.feed_unguarded(now, to, kind, payload));
    }

    fn feed_unguarded(&mut self, now: Time, to: LegId, kind: FrameKind, payload: &[u8]) {
        match self.legs.get_mut(&to).map(|l| &mut l.kind) {
            Some(Kind::Rtp(rtp)) => rtp.feed(now, kind, payload, &mut self.outbox),
            Some(Kind::Play(play)) => {
                if let Some(session) = self.sessions.get_mut(&play.session) {
                    play.feed(now, kind, payload, &mut session.conn);
                    self.outbox.flush(play.session);
                } else if let Some(outbound) = self.outbound.get_mut(&play.session) {
                    play.feed(now, kind, payload, outbound.viewer());
                    self.outbox.flush(play.session);
                }
            }
            Some(Kind::Member(room)) => {
                let room = *room;
                self.room_feed(now, room, to, kind, payload);
            }
            #[cfg(test)]
            Some(Kind::Probe(work)) => work(),
            _ => {}
        }
    }

    /// Gives a late listener what it needs to begin: metadata and codec headers of a published stream.
    fn replay_headers(&mut self, now: Time, from: LegId, to: Option<LegId>) {
        let Some(source) = self.legs.get_mut(&from) else {
            return;
        };
        let headers = std::mem::take(&mut source.headers);
        let exports = source.exports.clone();
        for (kind, payload) in &headers {
            match to {
                Some(to) => self.feed(now, to, *kind, payload),
                None => {
                    for shard in &exports {
                        self.outbox.link(
                            *shard,
                            LinkFrame {
                                leg: from,
                                kind: *kind,
                                payload: payload[..].into(),
                            },
                        );
                    }
                }
            }
        }
        if let Some(source) = self.legs.get_mut(&from) {
            source.headers = headers;
        }
    }

    /// A media half for a stream of a client.
    fn open_half(&mut self, kind: Kind) -> LegId {
        self.next_leg += 1;
        let leg = LegId::of_shard(self.id, self.next_leg);
        self.legs.insert(leg, MediaLeg::new(CallId(0), kind));
        leg
    }

    /// Tells the exchange what a client wants.
    fn intend(&mut self, session: SessionId, intent: Intent) {
        self.outbox.event(Event::Intent { session, intent });
    }

    /// What a client said or was told goes into the diagram of its calls.
    fn said(&mut self, session: SessionId, outgoing: bool, words: impl FnOnce() -> String) {
        if self.settings.tells {
            let words: String = words().chars().filter(|c| !c.is_control()).take(80).collect();
            self.outbox.event(Event::Said {
                session,
                outgoing,
                words,
            });
        }
    }

    fn stream_event(&mut self, now: Time, session: SessionId, leg: LegId, event: StreamEvent) {
        self.said(session, true, || match &event {
            StreamEvent::Accepted => "onStatus: accepted".to_owned(),
            StreamEvent::Refused(outcome) => format!("onStatus: refused, {}", outcome.line()),
            StreamEvent::Unpublished => "onStatus: unpublished".to_owned(),
            StreamEvent::Published => "onStatus: published".to_owned(),
            StreamEvent::Ended(outcome) => format!("onStatus: over, {}", outcome.line()),
        });
        let over = matches!(event, StreamEvent::Refused(_) | StreamEvent::Ended(_));
        if let Some(entry) = self.sessions.get_mut(&session) {
            entry.stream_event(now, leg, event);
            self.outbox.flush(session);
        }
        if over {
            self.close_leg(now, leg);
        } else if let Some(MediaLeg {
            kind: Kind::Play(play),
            ..
        }) = self.legs.get_mut(&leg)
        {
            play.accepted = true;
        }
    }
}

/// Whether a datagram is STUN, DTLS or anything else but RTP and RTCP (RFC 7983 §7).
fn is_aside(packet: &[u8]) -> bool {
    packet.first().is_none_or(|first| first >> 6 != 2)
}
