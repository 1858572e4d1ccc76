//! What packets of the peer do to a session.

use std::net::SocketAddr;

use base::Time;

use super::mtu::Mtu;
use super::{METADATA, RETURN_ASSOCIATION, Session, SessionEvent, State};
use crate::chunk::{Ack, Chunk, NextUserData, UserData};
use crate::congestion::Report;
use crate::flow::recv::RecvFlow;
use crate::option;
use crate::packet::{Header, Mode};
use crate::params;
use crate::profile::hmac;
use crate::session::CloseReason;
use crate::vlu::Cursor;

/// Ping messages that wait to be answered, and the longest that is.
const MAX_REPLIES: usize = 8;
const MAX_PING: usize = 400;

/// Where the last data chunk of a packet stood: flow, sequence number, forward sequence number.
type Position = (u64, u64, u64);

/// A hello that a peer forwarded: discriminator, where the initiator is, tag.
pub(crate) type Forwarded = (Vec<u8>, SocketAddr, Vec<u8>);

impl Session {
    /// Takes a datagram without its session id. Gives a forwarded hello, if there is one.
    pub(crate) fn handle_packet(
        &mut self,
        now: Time,
        from: SocketAddr,
        sealed: &[u8],
        any_critical: bool,
        scratch: &mut Vec<u8>,
    ) -> Option<Forwarded> {
        let Ok(packet) = self.opener.open(sealed, scratch) else {
            self.stats.rejected += 1;
            return None;
        };
        let far = match self.role {
            Mode::Initiator => Mode::Responder,
            _ => Mode::Initiator,
        };
        let Some((header, chunks)) = Header::read(packet).filter(|(h, _)| h.mode == far) else {
            self.stats.rejected += 1;
            return None;
        };
        self.stats.packets_in += 1;
        self.timing.on_header(now, header.timestamp, header.echo);
        self.mtu.start(now);
        if header.time_critical {
            self.received_critical = Some(now);
        }
        if header.time_critical_reverse {
            self.congestion.on_reverse(now);
        }
        let (mut position, mut forwarded) = (None, None);
        let mut acked = None;
        let outstanding_before = self.outstanding();
        for (kind, payload) in chunks {
            let Some(chunk) = Chunk::read(kind, payload) else {
                self.stats.rejected += 1;
                continue;
            };
            match chunk {
                Chunk::UserData(data) => position = self.user_data(now, &data),
                Chunk::NextUserData(fragment) => {
                    position = position.map(|(flow, sequence, fsn): Position| {
                        let sequence = sequence.saturating_add(1);
                        self.fragment(now, flow, sequence, fsn, &fragment);
                        (flow, sequence, fsn)
                    });
                }
                Chunk::Ack(ack) => *acked.get_or_insert(0) += self.ack(now, &ack),
                Chunk::Ping(message) => self.reply(message),
                Chunk::PingReply(message) => self.ping_reply(now, from, message),
                Chunk::BufferProbe { flow } => {
                    if let Some(flow) = self.recvs.get_mut(&flow) {
                        flow.ack_owed = true;
                        flow.ack_now = true;
                    }
                }
                Chunk::Exception { flow, code } => self.rejected(flow, code),
                Chunk::Close => self.far_closes(now),
                Chunk::CloseAck => self.end(CloseReason::Far),
                Chunk::ForwardedHello { epd, reply, tag } => {
                    forwarded = Some((epd.to_vec(), reply.addr, tag.to_vec()));
                }
                // Not in a session (startup), or padding, or unknown.
                _ => {}
            }
        }
        if position.is_some() {
            self.unacknowledged += 1;
            if self.unacknowledged >= 2 {
                self.recvs.values_mut().for_each(|f| f.ack_now |= f.ack_owed);
            } else {
                self.ack_alarm.get_or_insert(now + params::ACK_DELAY);
            }
        }
        if let Some(acked) = acked {
            self.acknowledged(now, acked, outstanding_before, any_critical);
        }
        self.watch_idle(now);
        self.check_finished(now);
        if from != self.dest {
            self.probe_address(now, from);
        }
        forwarded
    }

    /// Answers a ping, as far as there is room.
    fn reply(&mut self, message: &[u8]) {
        if self.state == State::Open && self.replies.len() < MAX_REPLIES && message.len() <= MAX_PING {
            let mut reply = Vec::with_capacity(message.len() + 3);
            Chunk::PingReply(message).put(&mut reply);
            self.replies.push_back(reply);
        }
    }

    fn rejected(&mut self, flow: u64, code: u64) {
        if self.sends.get_mut(&flow).is_some_and(|f| f.reject()) {
            self.events.push_back(SessionEvent::FlowRejected { flow, code });
        }
    }

    fn far_closes(&mut self, now: Time) {
        match self.state {
            State::Open => {
                self.forget_flows();
                self.events.push_back(SessionEvent::Closed(CloseReason::Far));
                self.state = State::FarClose {
                    until: now + params::CLOSE_LINGER,
                };
                self.close_ack = true;
            }
            State::NearClose { .. } | State::FarClose { .. } => self.close_ack = true,
            State::Closed => {}
        }
    }

    fn user_data(&mut self, now: Time, data: &UserData<'_>) -> Option<Position> {
        if self.state != State::Open {
            return None;
        }
        if !self.recvs.contains_key(&data.flow) {
            self.open_receiving(data.flow, &data.fragment)?;
        }
        let fsn = data.sequence.saturating_sub(data.fsn_offset);
        self.fragment(now, data.flow, data.sequence, fsn, &data.fragment);
        Some((data.flow, data.sequence, fsn))
    }

    /// A flow that is not known begins; `None` when there are too many.
    fn open_receiving(&mut self, id: u64, fragment: &NextUserData<'_>) -> Option<()> {
        if self.recvs.len() >= self.config.flows {
            // Those that are over may go before their time.
            let over: Vec<u64> = self
                .recvs
                .values()
                .filter(|f| f.is_complete())
                .map(|f| f.id)
                .take(1)
                .collect();
            over.iter().for_each(|id| drop(self.recvs.remove(id)));
            if over.is_empty() {
                return None;
            }
        }
        let mut flow = RecvFlow::new(id, self.config.receive_buffer);
        let (mut metadata, mut association, mut understood) = (None, None, true);
        for item in option::all(fragment.options.unwrap_or(&[])) {
            match item {
                Some((METADATA, value)) if value.len() <= params::MAX_METADATA => {
                    metadata = Some(value.to_vec())
                }
                Some((RETURN_ASSOCIATION, value)) => association = Some(Cursor(value).vlu()),
                Some((kind, _)) if kind >= params::OPTION_IGNORABLE => {}
                _ => understood = false,
            }
        }
        let association = match association {
            Some(Some(ours)) if self.sends.get(&ours).is_some_and(|f| f.is_open()) => Some(ours),
            None => None,
            Some(_) => {
                understood = false;
                None
            }
        };
        match metadata {
            Some(metadata) if understood => self.events.push_back(SessionEvent::FlowOpened {
                flow: id,
                metadata,
                association,
            }),
            _ => flow.reject(0),
        }
        self.recvs.insert(id, flow);
        self.idle_since = None;
        Some(())
    }

    fn fragment(&mut self, now: Time, id: u64, sequence: u64, fsn: u64, fragment: &NextUserData<'_>) {
        let Some(flow) = self.recvs.get_mut(&id) else {
            return;
        };
        let taken = flow.insert(now, sequence, fsn, fragment);
        while let Some(data) = flow.poll_message() {
            self.events.push_back(SessionEvent::Message { flow: id, data });
        }
        if !taken && flow.is_stuck() {
            // Its message will never fit.
            flow.reject(0);
            self.events.push_back(SessionEvent::FlowEnded { flow: id });
            flow.told_end = true;
        }
        if flow.is_complete() && !std::mem::replace(&mut flow.told_end, true) {
            self.events.push_back(SessionEvent::FlowEnded { flow: id });
        }
    }

    /// Takes an acknowledgement; bytes that it acknowledges.
    fn ack(&mut self, now: Time, ack: &Ack<'_>) -> usize {
        self.last_life = now;
        let Some(flow) = self.sends.get_mut(&ack.flow) else {
            return 0;
        };
        let complete = flow.is_complete();
        let acked = flow.on_ack(now, ack);
        self.max_tsn = self.max_tsn.max(acked.tsn);
        if flow.is_complete() && !complete {
            self.events
                .push_back(SessionEvent::FlowComplete { flow: ack.flow });
        }
        acked.bytes
    }

    /// A packet with acknowledgements has been taken in.
    fn acknowledged(&mut self, now: Time, acked: usize, outstanding_before: usize, any_critical: bool) {
        let mut report = Report {
            outstanding_before,
            acked,
            ..Report::default()
        };
        for flow in self.sends.values_mut() {
            let (naks, loss) = flow.on_later_ack(now, self.max_tsn, self.timing.rtt());
            report.naks |= naks;
            report.loss |= loss;
        }
        self.congestion.on_ack(now, report, any_critical);
        if acked > 0 {
            self.mtu.on_ack();
        }
        self.burst = 0;
        if self.retransmit_alarm.is_some() {
            self.retransmit_alarm = (self.outstanding() > 0).then(|| now + self.timing.erto);
        }
    }

    fn ping_reply(&mut self, now: Time, from: SocketAddr, message: &[u8]) {
        // As long as none asked for a sign of life, it is the probe of the path that is answered.
        let alone = self.last_ping.is_none();
        self.last_life = now;
        self.mtu.answered(message, alone);
        let Some((head, hash)) = message.split_first_chunk::<9>() else {
            return;
        };
        let [b'M', stamp @ ..] = *head else { return };
        let sent = Time::from_millis(u64::from_be_bytes(stamp));
        let fresh = now.since(sent) <= params::MOBILITY_LIFETIME
            && sent <= now
            && self.mobility.accepted.is_none_or(|last| sent > last);
        if fresh && hash == self.mobility_hash(head, from) && from != self.dest {
            self.mobility.accepted = Some(sent);
            self.dest = from;
            self.timing.reset();
            self.mtu = Mtu::new(Some(now));
            self.narrow();
            self.events.push_back(SessionEvent::AddressChanged { to: from });
        }
    }

    fn mobility_hash(&self, head: &[u8; 9], address: SocketAddr) -> [u8; 32] {
        hmac(&self.mobility.secret, &[head, address.to_string().as_bytes()])
    }

    /// The peer may be at another address now: asks there (§3.5.4.2).
    fn probe_address(&mut self, now: Time, from: SocketAddr) {
        let soon = |at: Time| now < at + params::MOBILITY_INTERVAL;
        if self.state != State::Open || self.mobility.last_probe.is_some_and(soon) {
            return;
        }
        self.mobility.last_probe = Some(now);
        let mut head = [b'M'; 9];
        for (to, byte) in head.iter_mut().skip(1).zip(now.as_millis().to_be_bytes()) {
            *to = byte;
        }
        let hash = self.mobility_hash(&head, from);
        self.mobility.probe = Some((from, [&head[..], &hash].concat()));
    }
}
