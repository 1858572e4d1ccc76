//! What comes to an RTP leg beside media: connectivity checks, and the handshake that makes the keys (RFC 7983).

use std::net::SocketAddr;

use base::Time;
use media::{Check, IceLite};

use super::RtpLeg;
use crate::shard::command::{DtlsParams, IceParams};
use crate::shard::dtls::{DtlsDone, DtlsWork, Machine, Outcome};
use crate::shard::outbox::Outbox;

/// Datagrams that wait while a handshake is worked on; more are sent again by the peer.
const WAITING: usize = 8;

/// The peer's checks.
#[derive(Debug)]
pub(super) struct Ice {
    params: IceParams,
    agent: IceLite,
    /// Where reports go, when they have a port of their own.
    pub(super) rtcp: Option<SocketAddr>,
}

/// A DTLS association.
#[derive(Debug)]
pub(super) struct Association {
    params: DtlsParams,
    /// Absent while it is worked on, and after it has failed.
    machine: Option<Box<Machine>>,
    waiting: Vec<Vec<u8>>,
    /// When the machine wants to go on.
    timeout: Option<Time>,
    started: bool,
    /// Where the peer's datagrams come from.
    peer: Option<SocketAddr>,
}

impl RtpLeg {
    /// From now on these checks are answered.
    pub(super) fn set_ice(&mut self, params: Option<&IceParams>) {
        let same = self.ice.as_ref().map(|ice| &ice.params) == params;
        if same {
            return;
        }
        self.ice = params.map(|params| Ice {
            agent: IceLite::new(params.local.clone(), params.remote.clone()),
            params: params.clone(),
            rtcp: None,
        });
        self.latch.check(self.ice.is_some());
    }

    /// From now on keys come from this handshake, or from none.
    pub(super) fn set_dtls(&mut self, now: Time, params: Option<&DtlsParams>) {
        if self.dtls.as_ref().map(|d| &d.params) == params {
            return;
        }
        self.secure = None;
        self.dtls = params.map(|params| Association {
            params: params.clone(),
            machine: Machine::new(now, params.clone()).map(Box::new),
            waiting: Vec::new(),
            timeout: None,
            started: false,
            peer: None,
        });
    }

    /// Whether media has to wait for keys.
    pub(super) fn waits_for_keys(&self) -> bool {
        self.dtls.is_some() && self.secure.is_none()
    }

    /// A datagram that is no media came on the RTP or the RTCP port.
    pub(in crate::shard) fn handle_aside(
        &mut self,
        now: Time,
        from: SocketAddr,
        datagram: &[u8],
        rtcp: bool,
        outbox: &mut Outbox,
    ) {
        match datagram.first() {
            Some(0..=3) => self.handle_check(from, datagram, rtcp, outbox),
            Some(20..=63) if !rtcp => self.handle_dtls(now, from, datagram, outbox),
            _ => self.foreign += 1,
        }
    }

    fn handle_check(&mut self, from: SocketAddr, datagram: &[u8], rtcp: bool, outbox: &mut Outbox) {
        let Some(ice) = &mut self.ice else {
            self.foreign += 1;
            return;
        };
        let mut answer = outbox.lend(0);
        let check = ice.agent.handle_input(from, datagram, &mut answer);
        let write = |out: &mut [u8]| {
            out.copy_from_slice(&answer);
            answer.len()
        };
        match (check, rtcp) {
            (Check::Ignored, _) => self.foreign += 1,
            (_, false) => outbox.rtp(self.leg, from, answer.len(), write),
            (_, true) => outbox.rtcp(self.leg, from, answer.len(), write),
        }
        if check == Check::Nominated {
            if rtcp {
                ice.rtcp = Some(from);
            } else if self.latch.select(from) {
                tracing::debug!(leg = %self.leg, "the peer chose where media goes");
            }
        }
        outbox.give_back(answer);
    }

    fn handle_dtls(&mut self, now: Time, from: SocketAddr, datagram: &[u8], outbox: &mut Outbox) {
        // With ICE, only from where the peer has shown to be.
        let admitted = self.latch.admits(now, from, false);
        let Some(dtls) = self.dtls.as_mut().filter(|_| admitted) else {
            self.foreign += 1;
            return;
        };
        if dtls.waiting.len() < WAITING {
            dtls.waiting.push(datagram.to_vec());
            dtls.peer = Some(from);
        }
        self.shake(now, outbox);
    }

    /// Hands on what there is to do for the handshake, if somebody is there for it.
    pub(super) fn shake(&mut self, now: Time, outbox: &mut Outbox) {
        let remote = self.latch.remote();
        let Some(dtls) = &mut self.dtls else { return };
        let begins = dtls.params.active && !dtls.started && remote.is_some();
        let due = dtls.timeout.is_some_and(|at| at <= now);
        if dtls.waiting.is_empty() && !begins && !due {
            return;
        }
        let Some(machine) = dtls.machine.take() else {
            return;
        };
        dtls.started = true;
        dtls.timeout = None;
        let work = DtlsWork {
            machine,
            inputs: std::mem::take(&mut dtls.waiting),
            now,
        };
        outbox.dtls_work(self.leg, work);
    }

    /// A step of the handshake is done. Says why there will be no media, if that is how it ended.
    pub(in crate::shard) fn handle_dtls_done(
        &mut self,
        now: Time,
        done: DtlsDone,
        outbox: &mut Outbox,
    ) -> Option<&'static str> {
        let remote = self.latch.remote();
        let dtls = self.dtls.as_mut()?;
        if !done.machine.is_of(&dtls.params) {
            // Another session was agreed on meanwhile.
            return None;
        }
        // A peer with ICE is where its checks came from; another where it spoke from last.
        let to = match &self.ice {
            Some(_) => remote,
            None => dtls.peer.or(remote),
        };
        for packet in &done.packets {
            let Some(to) = to else { break };
            outbox.rtp(self.leg, to, packet.len(), |out| {
                out.copy_from_slice(packet);
                packet.len()
            });
        }
        match done.outcome {
            Outcome::Failed(why) => return Some(why),
            Outcome::Keys(keys) => {
                if self.set_keys(Some(&keys)).is_err() {
                    return Some("the keys cannot be used");
                }
                tracing::debug!(leg = %self.leg, suite = keys.send.suite().name(), "media is protected");
            }
            Outcome::Going => {}
        }
        if let Some(dtls) = &mut self.dtls {
            dtls.machine = Some(done.machine);
            dtls.timeout = done.timeout;
        }
        self.shake(now, outbox);
        None
    }
}
