//! The media of SIP legs: offers and answers, sessions that change, addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use base::{EndReason, LegId, Time};
use call::{LegEvent, Outcome, order_offer};
use sip::sdp::Direction;
use sip::{Body, CallHandle};

use super::negotiation::{Local, Place, Remote, Wish};
use super::{Exchange, Kind};
use crate::shard::{Command, RtpParams};

impl Exchange {
    /// Takes in the peer's answer to our offer.
    pub(super) fn take_answer(&mut self, leg: LegId, body: &Body) -> Result<(), u16> {
        let settings = self.settings.clone();
        let Some(sip) = self.sip_leg(leg) else {
            return Err(488);
        };
        let Some(local) = &sip.local else { return Err(488) };
        let remote = Remote::read(body)?;
        let policy = settings.protection.policy(sip.srtp, sip.web);
        let params = local.accept(&remote, policy)?;
        sip.remote = Some(remote);
        sip.params = Some(params.clone());
        self.set_params(leg, params);
        Ok(())
    }

    pub(super) fn set_params(&mut self, leg: LegId, params: RtpParams) {
        if let Some(shard) = self.wiring.shard_of(leg) {
            self.command(
                shard,
                Command::Rtp {
                    leg,
                    params: Box::new(params),
                },
            );
        }
    }

    /// Our description for a party that called: the answer to its offer, or an offer when it made none.
    pub(super) fn describe(&mut self, leg: LegId) -> Result<Body, u16> {
        let callee = self
            .other_leg(leg)
            .or_else(|| self.call_of(leg).and_then(|e| e.call.connected()));
        let other = callee.map(|callee| self.audio_of(callee)).unwrap_or_default();
        let mut codecs = self.settings.codecs.clone();
        let mut other = other;
        if let Some(asked) = callee.and_then(|callee| self.asked_codecs(callee)) {
            let offered = self
                .sip_leg(leg)
                .and_then(|s| s.remote.as_ref())
                .map(Remote::codecs);
            // What the client sends anyway, else its first that the peer has.
            if let Some(offered) = offered {
                let first = asked.iter().copied().find(|c| offered.contains(c));
                other.sends = other.sends.filter(|c| offered.contains(c)).or(first);
            }
            codecs = asked;
        }
        let Some(place) = self.place(leg) else {
            return Err(500);
        };
        let (settings, mut keys) = (self.settings.clone(), self.keys.fork());
        let Some(sip) = self.sip_leg(leg) else {
            return Err(500);
        };
        let policy = settings.protection.policy(sip.srtp, sip.web);
        // What was said early stands: an answer may not change between 183 and 200 (RFC 3261 §13.2.1).
        if let Some(local) = &sip.local {
            return Ok(local.to_body());
        }
        let (local, params) = match &sip.remote {
            Some(remote) => {
                let wish = Wish {
                    codecs: &codecs,
                    other: &other,
                    policy,
                    before: None,
                };
                let (local, params) = Local::answer(remote, place, wish, &mut keys)?;
                (local, Some(params))
            }
            None => {
                let order = order_offer(&codecs, &other);
                (Local::offer(place, &order, policy, &mut keys), None)
            }
        };
        let body = local.to_body();
        sip.local = Some(local);
        if let Some(params) = params {
            sip.params = Some(params.clone());
            self.set_params(leg, params);
        }
        Ok(body)
    }

    /// The peer acknowledged; its answer comes now when the offer was ours.
    pub(super) fn confirmed(&mut self, now: Time, call: CallHandle, body: Option<Body>) {
        let Some(leg) = self.by_handle.get(&call).copied() else {
            return;
        };
        let late = self.sip_leg(leg).is_some_and(|s| s.params.is_none() && s.offered);
        let taken = match body {
            Some(body) => self.take_answer(leg, &body),
            None if late => Err(488),
            None => Ok(()),
        };
        if taken.is_err() {
            let _gone = self.sip.hang_up(now, call, EndReason::Incompatible);
            self.by_handle.remove(&call);
            self.leg_event(now, leg, LegEvent::HungUp(Outcome::new(EndReason::Incompatible)));
            self.drop_leg(leg);
        } else {
            self.heard_answer(leg);
        }
    }

    /// The peer changes the session: hold, resume, another address or codec.
    pub(super) fn reoffered(&mut self, now: Time, call: CallHandle, body: Option<Body>) {
        let Some(leg) = self.by_handle.get(&call).copied() else {
            return;
        };
        let (settings, mut keys) = (self.settings.clone(), self.keys.fork());
        let place = self.place(leg);
        let Some(sip) = self.sip_leg(leg) else { return };
        let (Some(place), Some(local)) = (place, &sip.local) else {
            let _gone = self.sip.refuse_reoffer(now, call, 500);
            return;
        };
        let Some(body) = body else {
            // The peer asks for our offer: the session as it stands.
            let body = local.to_body();
            let _gone = self.sip.accept_reoffer(now, call, Some(body));
            return;
        };
        // The codec in use is kept when it is offered again.
        let current = sip.audio();
        let read = Remote::read(&body).and_then(|remote| {
            let wish = Wish {
                codecs: &settings.codecs,
                other: &current,
                policy: settings.protection.policy(sip.srtp, sip.web),
                before: sip.params.as_ref(),
            };
            let (next, params) = Local::answer(&remote, place, wish, &mut keys)?;
            Ok((remote, local.followed_by(next), params))
        });
        match read {
            Ok((remote, next, params)) => {
                let held = !params.sending;
                let told = std::mem::replace(&mut sip.holds, held) != held;
                let body = next.to_body();
                sip.remote = Some(remote);
                sip.local = Some(next);
                sip.params = Some(params.clone());
                self.set_params(leg, params);
                let _gone = self.sip.accept_reoffer(now, call, Some(body));
                tracing::info!(%leg, held, "session changed by the peer");
                if told && let Some(other) = self.other_leg(leg) {
                    self.remote_hold(other, held);
                }
            }
            Err(status) => {
                let _gone = self.sip.refuse_reoffer(now, call, status);
            }
        }
    }

    /// What our descriptions for a leg are made from.
    pub(super) fn place(&self, leg: LegId) -> Option<Place> {
        let Some(Kind::Sip(sip)) = self.legs.get(&leg).map(|l| &l.kind) else {
            return None;
        };
        let port = sip.rtp?.port();
        Some(Place {
            id: leg.0 & 0x7FFF_FFFF,
            rtp: SocketAddr::new(sip.seen_as, port),
            direction: if sip.held {
                Direction::SendOnly
            } else {
                Direction::SendRecv
            },
            ptime_ms: self.settings.ptime_ms,
            dtmf: self.settings.dtmf,
        })
    }

    /// The shard on which a leg's media lives.
    pub(super) fn media_shard(&self, leg: LegId) -> Option<base::ShardId> {
        match self.legs.get(&leg).map(|l| &l.kind) {
            Some(Kind::Line(line)) => self.session_shard(line.session),
            Some(Kind::Transfer(transfer)) => self.media_shard(transfer.remains),
            Some(Kind::Stream(stream)) => stream.halves().find_map(|(_, half)| self.wiring.shard_of(half)),
            _ => self.wiring.shard_of(leg),
        }
    }

    /// The local address to bind RTP on for a peer: of its family.
    pub(super) fn rtp_address(&self, peer: IpAddr) -> IpAddr {
        let any = if peer.is_ipv4() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        } else {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        };
        self.settings
            .rtp_addresses
            .iter()
            .copied()
            .find(|a| a.is_ipv4() == peer.is_ipv4())
            .unwrap_or(any)
    }

    /// The address a peer is to send to.
    pub(super) fn seen_as(&self, bound: IpAddr, peer: IpAddr) -> IpAddr {
        match self.settings.public_address {
            Some(public) if public.is_ipv4() == bound.is_ipv4() && !peer.is_loopback() => public,
            _ if bound.is_unspecified() => (self.source_address)(peer),
            _ => bound,
        }
    }

    /// Stands for a peer whose address is not known before it is looked up.
    pub(super) fn any_address(&self) -> IpAddr {
        let v4 =
            self.settings.rtp_addresses.iter().any(IpAddr::is_ipv4) || self.settings.rtp_addresses.is_empty();
        if v4 {
            IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))
        } else {
            IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))
        }
    }
}
