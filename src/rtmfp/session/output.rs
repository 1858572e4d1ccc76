//! What a session sends.

use std::net::SocketAddr;

use base::Time;

use super::{Session, State, timing};
use crate::chunk::{Chunk, kind};
use crate::flow::Priority;
use crate::packet::Header;
use crate::params;

/// Bytes of the largest packet header.
const HEADER: usize = 5;
/// The flags of a packet header.
const TIME_CRITICAL: u8 = 0x80;

impl Session {
    /// Bytes a plain packet may have so that its datagram is one that the path takes, as far as is known.
    pub(super) fn packet_room(&self) -> usize {
        self.room_in(self.mtu.limit(self.config.datagram))
    }

    /// Bytes a plain packet may have in a datagram of that size.
    fn room_in(&self, datagram: usize) -> usize {
        datagram.saturating_sub(self.sealer.overhead()).max(HEADER + 64)
    }

    /// Writes the next datagram and says where it goes; `None` when there is nothing to be sent now.
    /// `reverse` is whether other sessions of this endpoint receive time-critical packets.
    pub(crate) fn poll_packet(
        &mut self,
        now: Time,
        reverse: bool,
        packet: &mut Vec<u8>,
        datagram: &mut Vec<u8>,
    ) -> Option<SocketAddr> {
        packet.clear();
        let header = Header {
            mode: self.role,
            time_critical: false,
            time_critical_reverse: reverse,
            // In every packet: some peers take it for granted.
            timestamp: Some(timing::ticks(now)),
            echo: None,
        };
        header.put(packet);
        let empty = packet.len();
        let to = self.fill(now, packet);
        if packet.len() == empty {
            return None;
        }
        if let Some(echo) = self.timing.echo(now) {
            // Behind the flags and the timestamp.
            let [high, low] = echo.to_be_bytes();
            packet.splice(3..3, [high, low]);
            if let Some(flags) = packet.first_mut() {
                *flags |= 0x04;
            }
        }
        datagram.clear();
        self.sealer.seal(self.far_id, packet, datagram);
        self.stats.packets_out += 1;
        Some(to)
    }

    /// Fills a packet that holds no more than its header.
    fn fill(&mut self, now: Time, packet: &mut Vec<u8>) -> SocketAddr {
        let bare = packet.len();
        if let Some((to, message)) = self.mobility.probe.take() {
            Chunk::Ping(&message).put(packet);
            return to;
        }
        if std::mem::take(&mut self.close_ack) {
            Chunk::CloseAck.put(packet);
        }
        if let State::NearClose { until, next } = self.state
            && now >= next
        {
            Chunk::Close.put(packet);
            self.state = State::NearClose {
                until,
                next: now + params::CLOSE_INTERVAL,
            };
        }
        if self.state != State::Open {
            return self.dest;
        }
        if let Some(message) = self.mtu.probe(now, self.timing.erto) {
            self.put_probe(&message, packet);
            return self.dest;
        }
        let room = self.packet_room() - (HEADER - 3);
        if std::mem::take(&mut self.ping) {
            Chunk::Ping(&[]).put(packet);
        }
        for queue in [&mut self.replies, &mut self.forwarded] {
            while let Some(front) = queue.front()
                && packet.len() + front.len() <= room
            {
                packet.extend_from_slice(front);
                queue.pop_front();
            }
        }
        for flow in self.sends.values_mut() {
            if flow.probe_time(now, self.timing.erto).is_some_and(|at| at <= now) && packet.len() + 16 <= room
            {
                Chunk::BufferProbe { flow: flow.id }.put(packet);
                flow.probed(now);
            }
        }
        let data = self.data_ready(now);
        self.put_acks(data, room, packet);
        if data && !self.put_data(now, room, packet) && packet.len() == bare {
            // Cut when the path was wider: it has to go as it is.
            let room = self.room_in(self.config.datagram) - (HEADER - 3);
            self.put_data(now, room, packet);
        }
        self.dest
    }

    /// Fills a packet to the full size: padding, and behind it a ping, so that a packet cut off on its way is not
    /// answered.
    fn put_probe(&self, message: &[u8], packet: &mut Vec<u8>) {
        const CHUNK: usize = 3;
        let room = self.room_in(self.config.datagram) - (HEADER - 3);
        let padding = room.saturating_sub(packet.len() + CHUNK + CHUNK + message.len());
        let padding = Chunk::Other {
            kind: kind::PADDING,
            payload: &vec![0; padding],
        };
        padding.put(packet);
        Chunk::Ping(message).put(packet);
    }

    /// Whether user data may be sent now, and there are some.
    fn data_ready(&mut self, now: Time) -> bool {
        if self.outstanding() >= self.congestion.window() {
            return false;
        }
        self.sends.values_mut().for_each(|f| f.expire(now));
        let held = self.burst >= params::MAX_BURST;
        // Real-time flows are slow by nature; waiting would be their end.
        self.sends
            .values()
            .any(|f| f.is_ready() && (!held || f.priority == Priority::RealTime))
    }

    /// Writes acknowledgements: all that are owed, when one is due or data go out anyway.
    fn put_acks(&mut self, data: bool, room: usize, packet: &mut Vec<u8>) {
        let due = self.recvs.values().any(|f| f.ack_now && f.ack_owed);
        if !due && !data {
            return;
        }
        let mut first = true;
        // Those that are due before those that may wait.
        for urgent in [true, false] {
            for flow in self
                .recvs
                .values_mut()
                .filter(|f| f.ack_owed && f.ack_now == urgent)
            {
                let left = room.saturating_sub(packet.len());
                if flow.put_ack(left, first && !data, packet) {
                    first = false;
                }
            }
        }
        if self.recvs.values().all(|f| !f.ack_owed) {
            self.ack_alarm = None;
            self.unacknowledged = 0;
        }
    }

    /// Puts data into a packet; false when what is next does not fit.
    fn put_data(&mut self, now: Time, room: usize, packet: &mut Vec<u8>) -> bool {
        let held = self.burst >= params::MAX_BURST;
        let mut critical = false;
        let mut order: Vec<(Priority, u64)> = self.sends.values().map(|f| (f.priority, f.id)).collect();
        order.sort_by_key(|(priority, id)| (std::cmp::Reverse(*priority), *id));
        let mut sent = 0;
        for (priority, id) in order {
            if held && priority != Priority::RealTime {
                continue;
            }
            let budget = self.congestion.window().saturating_sub(self.outstanding());
            if budget == 0 {
                break;
            }
            let left = room.saturating_sub(packet.len());
            if let Some(flow) = self.sends.get_mut(&id) {
                let n = flow.fill(now, left, budget, &mut self.next_tsn, packet);
                critical |= n > 0 && priority > Priority::Routine;
                sent += n;
            }
        }
        if sent == 0 {
            return false;
        }
        self.retransmit_alarm = Some(now + self.timing.erto);
        if critical {
            self.sent_critical = Some(now);
            self.congestion.on_critical_sent(now);
            if let Some(flags) = packet.first_mut() {
                *flags |= TIME_CRITICAL;
            }
        }
        self.burst += u32::from(!held);
        true
    }
}
