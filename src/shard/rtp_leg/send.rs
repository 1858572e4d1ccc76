//! What an RTP leg sends: frames joined to packets, digits, reports.

use std::net::SocketAddr;

use base::Time;
use media::{DtmfSlot, EventPacket, RTP_HEADER};

use super::RtpLeg;
use super::secure::{room, seal_rtcp, seal_rtp};
use crate::shard::outbox::Outbox;

/// Room for a compound RTCP packet.
const REPORT: usize = 512;

impl RtpLeg {
    /// What digits want of a slot of audio. They have the time base of the audio (RFC 4733 §2.1), but their
    /// lengths are told in a clock of their own where the peer has telephone-event at that only.
    pub(super) fn dtmf_slot(&mut self, ticks: u32) -> DtmfSlot {
        if !self.dtmf_out.is_busy() {
            return DtmfSlot::Idle;
        }
        let events = self
            .params
            .as_ref()
            .and_then(|p| p.dtmf)
            .map_or(self.clock, |(_, c)| c);
        let length = u64::from(ticks) * u64::from(events) / u64::from(self.clock.max(1));
        self.dtmf_out
            .slot(self.sender.timestamp(), u32::try_from(length).unwrap_or(ticks))
    }

    /// Sends a frame of so many ticks, or keeps it until the packet the peer asked for is full.
    pub(super) fn send_audio(&mut self, now: Time, frame: &[u8], ticks: u32, outbox: &mut Outbox) {
        let Some(params) = &self.params else { return };
        let (pt, codec) = params.send;
        // Frames of codecs with a frame of their own do not join without bit shuffling; every receiver takes
        // shorter packets than it asked for (RFC 3551 §4.2).
        let row = codecs::codec(codec);
        let joined = if row.frame_samples == 0 && ticks == row.rtp_clock / 50 {
            (params.ptime_ms / 20).clamp(1, 3)
        } else {
            1
        };
        if joined > 1 {
            if self.packet_frames == 0 {
                self.packet.clear();
                self.packet_timestamp = self.sender.timestamp();
            }
            self.packet.extend_from_slice(frame);
            self.packet_frames += 1;
            if self.packet_frames < joined {
                return;
            }
            self.packet_frames = 0;
            let packet = std::mem::take(&mut self.packet);
            self.send_packet(now, pt, self.packet_timestamp, &packet, outbox);
            self.packet = packet;
        } else {
            self.send_packet(now, pt, self.sender.timestamp(), frame, outbox);
        }
    }

    fn send_packet(&mut self, now: Time, pt: u8, timestamp: u32, payload: &[u8], outbox: &mut Outbox) {
        let Some(to) = self.media_remote() else { return };
        let marker = std::mem::replace(&mut self.marker, false);
        self.send_rtp(to, (pt, marker, timestamp), payload, outbox);
        self.note_sent(now);
    }

    pub(super) fn send_event(&mut self, now: Time, event: EventPacket, outbox: &mut Outbox) {
        let Some((pt, _)) = self.params.as_ref().and_then(|p| p.dtmf) else {
            return;
        };
        let Some(to) = self.media_remote() else { return };
        let header = (pt, event.marker, event.timestamp);
        self.send_rtp(to, header, &event.payload, outbox);
        self.note_sent(now);
    }

    /// Payload type, marker and timestamp, and the payload.
    fn send_rtp(&mut self, to: SocketAddr, header: (u8, bool, u32), payload: &[u8], outbox: &mut Outbox) {
        let (sender, mut secure) = (&mut self.sender, self.secure.as_deref_mut());
        let (pt, marker, timestamp) = header;
        let size = RTP_HEADER + payload.len();
        outbox.rtp(self.leg, to, room(secure.as_deref(), size), |out| {
            let Some(packet) = out.get_mut(..size) else {
                return 0;
            };
            if let Some(body) = packet.get_mut(RTP_HEADER..) {
                body.copy_from_slice(payload);
            }
            match sender.write_header(pt, marker, timestamp, packet) {
                Ok(()) => seal_rtp(secure.take(), out, size),
                Err(_) => 0,
            }
        });
    }

    fn note_sent(&mut self, now: Time) {
        self.sent += 1;
        self.last_sent = Some(now);
        self.rtcp.on_sent(now, self.sender.timestamp());
    }

    pub(super) fn report(&mut self, now: Time, outbox: &mut Outbox) {
        if self.rtcp.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        let Some((to, mux)) = self.rtcp_remote() else {
            return;
        };
        let (rtcp, sender, secure) = (&mut self.rtcp, &self.sender, self.secure.as_deref_mut());
        let write = |out: &mut [u8]| {
            let len = rtcp.poll_output(now, sender, out).ok().flatten().unwrap_or(0);
            seal_rtcp(secure, out, len)
        };
        if mux {
            outbox.rtp(self.leg, to, REPORT, write);
        } else {
            outbox.rtcp(self.leg, to, REPORT, write);
        }
    }

    /// Where media goes, once it may.
    fn media_remote(&self) -> Option<SocketAddr> {
        self.latch.remote().filter(|_| !self.waits_for_keys())
    }

    /// Where reports go, and whether with the media: beside the latched media address when that differs from the
    /// signalled one.
    fn rtcp_remote(&self) -> Option<(SocketAddr, bool)> {
        let params = self.params.as_ref()?;
        let media = self.media_remote()?;
        if params.rtcp_mux {
            return Some((media, true));
        }
        if let Some(ice) = &self.ice {
            return Some((ice.rtcp?, false));
        }
        let signalled = params.rtcp?;
        if media == params.remote {
            return Some((signalled, false));
        }
        Some((SocketAddr::new(media.ip(), media.port().checked_add(1)?), false))
    }

    /// Says goodbye.
    pub(in crate::shard) fn close(&mut self, now: Time, outbox: &mut Outbox) {
        let Some((to, mux)) = self.rtcp_remote() else {
            return;
        };
        let (rtcp, sender, secure) = (&mut self.rtcp, &self.sender, self.secure.as_deref_mut());
        let write = |out: &mut [u8]| {
            let len = rtcp.bye(now, sender, out).unwrap_or(0);
            seal_rtcp(secure, out, len)
        };
        if mux {
            outbox.rtp(self.leg, to, REPORT, write);
        } else {
            outbox.rtcp(self.leg, to, REPORT, write);
        }
    }
}
