//! An open session (§3.5): packets of one peer, its flows, its timers.

mod input;
mod mtu;
mod output;
#[cfg(test)]
mod tests;
pub(crate) mod timing;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base::{Time, earliest};

use crate::congestion::Congestion;
use crate::flow::recv::RecvFlow;
use crate::flow::send::{SendFlow, SendStats};
use crate::flow::{Deadline, Order, Priority};
use crate::option;
use crate::packet::Mode;
use crate::params;
use crate::profile::certificate::Certificate;
use crate::profile::cipher::{Opener, Sealer};
use crate::profile::keying::SessionKeys;
use crate::vlu;
use mtu::Mtu;
use timing::Timing;

/// How long a session that is to end waits for its flows to be received.
const FINISH: Duration = Duration::from_secs(5);

/// Longest forwarded hello in bytes; that of a fingerprint has 80.
const MAX_FORWARDED: usize = 256;

/// Options of user data (§2.3.11.1).
const METADATA: u64 = 0x00;
const RETURN_ASSOCIATION: u64 = 0x0A;

/// Bounds and habits of sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// Largest UDP payload sent, in bytes; 1200. A path that does not take it gets 548.
    pub datagram: usize,
    /// Sending and receiving flows a session may have, each; 64.
    pub flows: usize,
    /// Bytes a receiving flow may hold for messages that are not whole; 2 MiB.
    pub receive_buffer: usize,
    /// Bytes a sending flow may hold; 2 MiB. Full: further messages are refused.
    pub send_buffer: usize,
    /// A ping goes out when the peer gave no sign of life for so long; 10 s.
    pub keepalive: Duration,
    /// The peer is dead when it gave none for so long; 30 s.
    pub dead_after: Duration,
    /// A session without any flow is closed after so long; 120 s.
    pub idle: Duration,
}

impl Default for SessionConfig {
    fn default() -> SessionConfig {
        SessionConfig {
            datagram: 1200,
            flows: 64,
            receive_buffer: 2 << 20,
            send_buffer: 2 << 20,
            keepalive: Duration::from_secs(10),
            dead_after: Duration::from_secs(30),
            idle: Duration::from_secs(120),
        }
    }
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// We closed it.
    Near,
    /// The far end closed it.
    Far,
    /// The far end gave no sign of life.
    Silent,
    /// No flow was open for too long.
    Idle,
    /// The same peer opened a new one.
    Replaced,
    /// It did not open in time.
    Unanswered,
    /// A session with the same peer is open already.
    Duplicate,
}

/// What a session tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// The far end begins a flow.
    FlowOpened {
        /// Its id among the far end's flows.
        flow: u64,
        /// What the flow is for.
        metadata: Vec<u8>,
        /// The flow of ours that it answers.
        association: Option<u64>,
    },
    /// A whole message.
    Message {
        /// The far end's flow.
        flow: u64,
        /// The message.
        data: Vec<u8>,
    },
    /// The far end's flow is over: all of it has come.
    FlowEnded {
        /// The far end's flow.
        flow: u64,
    },
    /// The far end does not want a flow of ours.
    FlowRejected {
        /// Our flow.
        flow: u64,
        /// Why.
        code: u64,
    },
    /// A flow of ours that was closed has been received whole.
    FlowComplete {
        /// Our flow.
        flow: u64,
    },
    /// The far end is now at another address.
    AddressChanged {
        /// Where it is.
        to: SocketAddr,
    },
    /// The session is over, and all its flows.
    Closed(CloseReason),
}

/// Counters of a session; they only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionStats {
    /// Datagrams received and opened.
    pub packets_in: u64,
    /// Datagrams sent.
    pub packets_out: u64,
    /// Datagrams that were forged, repeated or malformed.
    pub rejected: u64,
    /// What the sending flows did.
    pub send: SendStats,
    /// Times the retransmission timer fired with data on their way.
    pub timeouts: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum State {
    Open,
    NearClose { until: Time, next: Time },
    FarClose { until: Time },
    Closed,
}

/// A mobility check under way: a ping to be sent to an address that is not the session's.
#[derive(Debug, Default)]
struct Mobility {
    secret: [u8; 32],
    last_probe: Option<Time>,
    /// The newest probe that was answered.
    accepted: Option<Time>,
    probe: Option<(SocketAddr, Vec<u8>)>,
}

/// One open session.
#[derive(Debug)]
pub(crate) struct Session {
    config: SessionConfig,
    /// Our mark on packets.
    role: Mode,
    pub(crate) near_id: u32,
    pub(crate) far_id: u32,
    pub(crate) dest: SocketAddr,
    /// Where it was when it opened, for the limit by address.
    pub(crate) first_ip: IpAddr,
    pub(crate) far: Certificate,
    pub(crate) keys: SessionKeys,
    /// What the initiator sent, and our answer, for when it is asked again.
    pub(crate) far_component: Vec<u8>,
    pub(crate) answer: Vec<u8>,
    /// Addresses the peer reported of itself; it may be introduced to others once it has.
    pub(crate) addresses: Option<Vec<SocketAddr>>,
    sealer: Sealer,
    opener: Opener,
    pub(crate) state: State,
    timing: Timing,
    congestion: Congestion,
    mtu: Mtu,
    sends: BTreeMap<u64, SendFlow>,
    recvs: BTreeMap<u64, RecvFlow>,
    next_flow: u64,
    next_tsn: u64,
    max_tsn: u64,
    retransmit_alarm: Option<Time>,
    ack_alarm: Option<Time>,
    /// Packets with data that are not acknowledged yet.
    unacknowledged: u32,
    burst: u32,
    /// Chunks that wait: ping replies, forwarded hellos.
    replies: VecDeque<Vec<u8>>,
    forwarded: VecDeque<Vec<u8>>,
    close_ack: bool,
    last_life: Time,
    last_ping: Option<Time>,
    ping: bool,
    /// Since when no flow is open.
    idle_since: Option<Time>,
    /// Everything queued is still to be received by then.
    finish_by: Option<Time>,
    mobility: Mobility,
    /// When a time-critical packet last came from this peer.
    pub(crate) received_critical: Option<Time>,
    /// When a time-critical packet was last sent to this peer.
    pub(crate) sent_critical: Option<Time>,
    pub(crate) events: VecDeque<SessionEvent>,
    pub(crate) stats: SessionStats,
    /// The endpoint's entry in its table of deadlines.
    pub(crate) scheduled: Option<Time>,
    /// The endpoint has it on its list of those with something to send.
    pub(crate) dirty: bool,
}

/// What a new session is made of.
pub(crate) struct Start {
    pub(crate) role: Mode,
    pub(crate) near_id: u32,
    pub(crate) far_id: u32,
    pub(crate) dest: SocketAddr,
    pub(crate) far: Certificate,
    pub(crate) keys: SessionKeys,
    pub(crate) far_component: Vec<u8>,
    pub(crate) answer: Vec<u8>,
    pub(crate) secret: [u8; 32],
}

impl Session {
    pub(crate) fn new(now: Time, config: SessionConfig, start: Start) -> Session {
        Session {
            config,
            role: start.role,
            near_id: start.near_id,
            far_id: start.far_id,
            dest: start.dest,
            first_ip: start.dest.ip(),
            far: start.far,
            sealer: start.keys.send.sealer(),
            opener: start.keys.receive.opener(),
            keys: start.keys,
            far_component: start.far_component,
            answer: start.answer,
            addresses: None,
            state: State::Open,
            timing: Timing::new(),
            congestion: Congestion::new(),
            // A responder's first words overtake its answer in the handshake, or are read by nobody yet.
            mtu: Mtu::new((start.role == Mode::Initiator).then_some(now)),
            sends: BTreeMap::new(),
            recvs: BTreeMap::new(),
            // Some peers take a flow 0 or 1 for something special.
            next_flow: 2,
            next_tsn: 1,
            max_tsn: 0,
            retransmit_alarm: None,
            ack_alarm: None,
            unacknowledged: 0,
            burst: 0,
            replies: VecDeque::new(),
            forwarded: VecDeque::new(),
            close_ack: false,
            last_life: now,
            last_ping: None,
            ping: false,
            idle_since: Some(now),
            finish_by: None,
            mobility: Mobility {
                secret: start.secret,
                ..Mobility::default()
            },
            received_critical: None,
            sent_critical: None,
            events: VecDeque::new(),
            stats: SessionStats::default(),
            scheduled: None,
            dirty: false,
        }
    }

    pub(crate) fn is_responder(&self) -> bool {
        self.role == Mode::Responder
    }

    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.timing.rtt()
    }

    pub(crate) fn congestion_window(&self) -> usize {
        self.congestion.window()
    }

    /// Counters, those of the flows included.
    pub(crate) fn stats(&self) -> SessionStats {
        let mut stats = self.stats;
        for flow in self.sends.values() {
            stats.send.messages += flow.stats.messages;
            stats.send.retransmits += flow.stats.retransmits;
            stats.send.abandoned += flow.stats.abandoned;
        }
        stats
    }

    /// Opens a sending flow; `None` when there are too many, or the session is not open.
    pub(crate) fn open_flow(
        &mut self,
        metadata: &[u8],
        association: Option<u64>,
        priority: Priority,
    ) -> Option<u64> {
        if self.state != State::Open
            || self.sends.len() >= self.config.flows
            || metadata.len() > params::MAX_METADATA
        {
            return None;
        }
        let id = self.next_flow;
        self.next_flow += 1;
        let mut options = Vec::new();
        // In this order: some peers read them by position.
        option::put(METADATA, metadata, &mut options);
        if let Some(flow) = association {
            let mut value = Vec::new();
            vlu::put(flow, &mut value);
            option::put(RETURN_ASSOCIATION, &value, &mut options);
        }
        self.sends.insert(id, SendFlow::new(id, options, priority));
        self.idle_since = None;
        Some(id)
    }

    /// Queues a message; false when the flow is not open or its buffer full.
    pub(crate) fn send(&mut self, flow: u64, message: Vec<u8>, deadline: Option<Deadline>) -> bool {
        let packet = self.packet_room();
        let limit = self.config.send_buffer;
        self.sends
            .get_mut(&flow)
            .filter(|f| f.queued + message.len() <= limit || f.queued == 0)
            .is_some_and(|f| f.push(message, packet, deadline))
    }

    /// Bytes that wait in a flow or are on their way.
    pub(crate) fn queued(&self, flow: u64) -> usize {
        self.sends.get(&flow).map_or(0, |f| f.queued)
    }

    /// Ends a sending flow after what is queued.
    pub(crate) fn close_flow(&mut self, flow: u64) {
        if let Some(flow) = self.sends.get_mut(&flow) {
            flow.close();
        }
    }

    /// Refuses a receiving flow.
    pub(crate) fn reject_flow(&mut self, flow: u64, code: u64) {
        if let Some(flow) = self.recvs.get_mut(&flow) {
            flow.reject(code);
        }
    }

    /// Chooses the order in which a receiving flow gives its messages.
    pub(crate) fn set_order(&mut self, flow: u64, order: Order) {
        if let Some(flow) = self.recvs.get_mut(&flow) {
            flow.order = order;
        }
    }

    /// Sends a forwarded hello to the peer.
    pub(crate) fn forward(&mut self, chunk: Vec<u8>) {
        if self.state == State::Open && self.forwarded.len() < 8 && chunk.len() <= MAX_FORWARDED {
            self.forwarded.push_back(chunk);
        }
    }

    /// Ends the session in order; at once when it is not open.
    pub(crate) fn close(&mut self, now: Time, reason: CloseReason) {
        if self.state == State::Open {
            self.state = State::NearClose {
                until: now + params::CLOSE_TIMEOUT,
                next: now,
            };
            self.forget_flows();
            self.events.push_back(SessionEvent::Closed(reason));
        }
    }

    /// Ends the session when all flows have been received, or after a while.
    pub(crate) fn finish(&mut self, now: Time) {
        if self.state == State::Open && self.finish_by.is_none() {
            self.sends.values_mut().for_each(SendFlow::close);
            self.finish_by = Some(now + FINISH);
            self.check_finished(now);
        }
    }

    fn check_finished(&mut self, now: Time) {
        let complete = self.sends.values().all(|f| f.is_complete() || f.is_unused());
        if self.finish_by.is_some_and(|by| complete || now >= by) {
            self.close(now, CloseReason::Near);
        }
    }

    /// Ends the session without a word.
    pub(crate) fn end(&mut self, reason: CloseReason) {
        if self.state == State::Open {
            self.forget_flows();
            self.events.push_back(SessionEvent::Closed(reason));
        }
        self.state = State::Closed;
    }

    fn forget_flows(&mut self) {
        self.stats = self.stats();
        self.sends.clear();
        self.recvs.clear();
        self.replies.clear();
        self.forwarded.clear();
        self.retransmit_alarm = None;
        self.ack_alarm = None;
    }

    /// The path is a new one, or takes less than it did: what was never sent is cut anew.
    fn narrow(&mut self) {
        let room = self.packet_room();
        self.sends.values_mut().for_each(|f| f.recut(room));
    }

    fn outstanding(&self) -> usize {
        self.sends.values().map(|f| f.outstanding).sum()
    }

    /// Acts on deadlines that have passed.
    pub(crate) fn handle_timeout(&mut self, now: Time) {
        match self.state {
            State::Open => {}
            State::NearClose { until, .. } | State::FarClose { until } => {
                if now >= until {
                    self.state = State::Closed;
                }
                return;
            }
            State::Closed => return,
        }
        if self.retransmit_alarm.is_some_and(|at| now >= at) {
            self.retransmit_alarm = None;
            let mut lost = false;
            for flow in self.sends.values_mut() {
                lost |= flow.on_timeout();
            }
            if lost {
                self.timing.backoff();
                self.stats.timeouts += 1;
                if self.mtu.on_timeout(now) {
                    self.narrow();
                }
            }
            self.congestion.on_timeout(lost);
            self.burst = 0;
        }
        if self.ack_alarm.is_some_and(|at| now >= at) {
            self.ack_alarm = None;
            self.recvs.values_mut().for_each(|f| f.ack_now |= f.ack_owed);
        }
        let keepalive = self.keepalive();
        if now >= self.last_life + self.config.dead_after.max(keepalive) {
            return self.end(CloseReason::Silent);
        }
        if self.ping_time() <= now {
            if self.last_ping.is_some_and(|at| at > self.last_life) {
                self.timing.backoff();
            }
            self.last_ping = Some(now);
            self.ping = true;
        }
        self.sends
            .retain(|_, f| f.linger_end().is_none_or(|end| now < end));
        self.recvs
            .retain(|_, f| f.linger_end().is_none_or(|end| now < end));
        self.check_finished(now);
        if self.idle_since.is_some_and(|at| now >= at + self.config.idle) {
            self.close(now, CloseReason::Idle);
        }
    }

    /// The responder waits a little longer, so that not both ends ping at once.
    fn keepalive(&self) -> Duration {
        self.config.keepalive
            + if self.is_responder() {
                self.timing.erto
            } else {
                Duration::ZERO
            }
    }

    fn ping_time(&self) -> Time {
        let due = self.last_life + self.keepalive();
        match self.last_ping {
            Some(last) if last > self.last_life => due.max(last + self.timing.erto),
            _ => due,
        }
    }

    /// When [`Session::handle_timeout`] or [`Session::poll_packet`] wants to be called.
    pub(crate) fn poll_timeout(&mut self, now: Time) -> Option<Time> {
        match self.state {
            State::Open => {}
            State::NearClose { until, next } => return Some(until.min(next)),
            State::FarClose { until } => return Some(until),
            State::Closed => return None,
        }
        let erto = self.timing.erto;
        let probes = self
            .sends
            .values_mut()
            .filter_map(|f| f.probe_time(now, erto))
            .min();
        let lingers = self.sends.values().filter_map(SendFlow::linger_end);
        let lingers = lingers
            .chain(self.recvs.values().filter_map(RecvFlow::linger_end))
            .min();
        let dead = self.last_life + self.config.dead_after.max(self.keepalive());
        [
            self.retransmit_alarm,
            self.ack_alarm,
            Some(self.ping_time().min(dead)),
            probes,
            lingers,
            self.finish_by,
            self.idle_since.map(|at| at + self.config.idle),
            self.mtu.due(),
        ]
        .into_iter()
        .fold(None, earliest)
    }

    /// Notes whether any flow is left.
    fn watch_idle(&mut self, now: Time) {
        let busy =
            self.sends.values().any(|f| !f.is_complete()) || self.recvs.values().any(|f| !f.is_complete());
        if busy {
            self.idle_since = None;
        } else {
            self.idle_since.get_or_insert(now);
        }
    }
}
