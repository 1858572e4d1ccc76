//! The responder's part of opening a session (§3.5.1.1.2), and introductions (§3.5.1.4).

use std::net::SocketAddr;

use base::Time;

use super::cookie::{self, Verdict};
use super::work::{Task, Work};
use super::{Endpoint, Handle, MAX_COUNTED, Output, Seek};
use crate::chunk::Chunk;
use crate::option::{Address, Origin};
use crate::packet::Mode;
use crate::params;
use crate::profile::certificate::{Certificate, Discriminator, NO_SIGNATURE};
use crate::profile::keying::SessionKeys;
use crate::session::{CloseReason, Start};

/// What is to become of a keying from an address.
enum Standing {
    /// Nothing is known of it, or what was is over.
    New,
    /// It was answered; the answer may have been lost.
    Again(u32, Vec<u8>),
    /// It is to be ignored.
    Unwelcome,
}

impl Endpoint {
    /// A hello that came to our address.
    pub(super) fn on_hello(&mut self, now: Time, from: SocketAddr, epd: &[u8], tag: &[u8]) {
        if !self.answer_hello(now, from, epd, tag) && self.config.introduce {
            self.introduce(now, from, epd, tag);
        }
    }

    /// Answers a hello that is meant for us; no state comes of it. False when it is not for us.
    pub(super) fn answer_hello(&mut self, now: Time, to: SocketAddr, epd: &[u8], tag: &[u8]) -> bool {
        let Some(server) = self.config.server.clone() else {
            return false;
        };
        let selected = Discriminator::read(epd).is_some_and(|epd| server.certificate().is_selected_by(&epd));
        if !selected {
            return false;
        }
        if tag.len() <= params::MAX_TAG && self.may_answer(now, to) {
            let cookie = cookie::make(&self.config.cookie_secret, now, to);
            let hello = Chunk::ResponderHello {
                tag,
                cookie: &cookie,
                certificate: server.certificate().bytes(),
            };
            self.transmit_startup(now, to, 0, &hello);
        }
        true
    }

    /// Counts an answer to an address that may be forged.
    fn may_answer(&mut self, now: Time, to: SocketAddr) -> bool {
        let second = now.as_millis() / 1000;
        if second != self.hello_second {
            self.hello_second = second;
            self.hellos.clear();
        }
        let full = self.hellos.len() >= MAX_COUNTED;
        let allowed = match self.hellos.get_mut(&to.ip()) {
            Some(count) => {
                *count += 1;
                *count <= self.config.hellos_per_second
            }
            None if full => false,
            None => {
                self.hellos.insert(to.ip(), 1);
                true
            }
        };
        self.stats.hello_limited += u64::from(!allowed);
        allowed
    }

    /// A hello for a peer that we know: tells each of the other.
    fn introduce(&mut self, now: Time, from: SocketAddr, epd: &[u8], tag: &[u8]) {
        let Some(wanted) = Discriminator::read(epd).and_then(|epd| epd.fingerprint) else {
            return;
        };
        if tag.len() > params::MAX_TAG || !self.may_answer(now, from) {
            return;
        }
        let seek = Seek {
            from,
            wanted,
            epd: epd.to_vec(),
            tag: tag.to_vec(),
        };
        if self.by_peer.contains_key(&wanted) {
            self.handle_seek(now, &seek);
        } else {
            self.outputs.push_back(Output::Seek(seek));
        }
    }

    /// Somebody who asked another endpoint of this server looks for a peer that may have its session here.
    pub fn handle_seek(&mut self, now: Time, seek: &Seek) {
        let Seek {
            from,
            wanted,
            epd,
            tag,
            ..
        } = seek;
        let from = *from;
        let Some(handle) = self
            .by_peer
            .get(wanted)
            .copied()
            .filter(|_| self.config.introduce)
        else {
            return;
        };
        let Some(peer) = self.sessions.get_mut(&handle) else {
            return;
        };
        let Some(local) = &peer.addresses else { return };
        let mut addresses = Vec::new();
        let observed = Address {
            addr: peer.dest,
            origin: Origin::Observed,
        };
        observed.put(&mut addresses);
        for addr in local {
            let origin = Origin::Local;
            Address { addr: *addr, origin }.put(&mut addresses);
        }
        let mut forwarded = Vec::new();
        let reply = Address {
            addr: from,
            origin: Origin::Observed,
        };
        Chunk::ForwardedHello { epd, reply, tag }.put(&mut forwarded);
        peer.forward(forwarded);
        self.stats.introduced += 1;
        self.mark(handle);
        let addresses = &addresses;
        self.transmit_startup(now, from, 0, &Chunk::Redirect { tag, addresses });
    }

    /// An initiator sends its half of the key agreement.
    pub(super) fn on_initiator_keying(&mut self, now: Time, from: SocketAddr, payload: &[u8]) {
        let Some(Chunk::InitiatorKeying {
            session: far_id,
            cookie,
            certificate,
            component,
            ..
        }) = Chunk::read(crate::chunk::kind::INITIATOR_KEYING, payload)
        else {
            return;
        };
        let Some(identity) = self.config.server.clone() else {
            return;
        };
        match cookie::check(&self.config.cookie_secret, now, from, cookie) {
            Verdict::Good => {}
            Verdict::Moved => {
                if self.may_answer(now, from) {
                    let new = cookie::make(&self.config.cookie_secret, now, from);
                    let change = Chunk::CookieChange {
                        old: cookie,
                        new: &new,
                    };
                    self.transmit_startup(now, from, far_id, &change);
                }
                return;
            }
            Verdict::Foreign => {
                self.stats.bad_cookie += 1;
                return;
            }
        }
        let Some(far) = Certificate::read(certificate).filter(|_| far_id != 0) else {
            self.stats.bad_keying += 1;
            return;
        };
        if self.keyings.contains(&(from, far_id)) || !self.yields(from, &far) {
            return;
        }
        match self.standing(now, from, far_id, &far, component) {
            Standing::New => {}
            Standing::Again(near_id, component) => {
                return self.send_responder_keying(now, from, far_id, near_id, &component);
            }
            Standing::Unwelcome => return,
        }
        let of_ip = self.per_ip.get(&from.ip()).copied().unwrap_or(0);
        if self.keyings.len() >= self.config.keyings
            || self.sessions.len() + self.keyings.len() >= self.config.sessions
            || of_ip >= self.config.sessions_per_ip
        {
            self.stats.full += 1;
            return;
        }
        self.keyings.insert((from, far_id));
        let task = Task::Respond {
            from,
            far_id,
            identity,
            far,
            component: component.to_vec(),
            protection: self.config.protection,
            random: self.random.fork(),
        };
        self.outputs.push_back(Output::Work(Work(task)));
    }

    /// What a keying means in view of the sessions that are open.
    fn standing(
        &mut self,
        now: Time,
        from: SocketAddr,
        far_id: u32,
        far: &Certificate,
        component: &[u8],
    ) -> Standing {
        let Some(handle) = self.by_address.get(&from).copied() else {
            return Standing::New;
        };
        let Some(session) = self.sessions.get_mut(&handle) else {
            return Standing::New;
        };
        if session.is_responder()
            && session.far_id == far_id
            && session.far == *far
            && session.far_component == component
        {
            return Standing::Again(session.near_id, session.answer.clone());
        }
        if session.far != *far {
            return Standing::Unwelcome;
        }
        session.end(CloseReason::Replaced);
        self.touch(now, handle);
        Standing::New
    }

    /// The key agreement with an initiator is done.
    pub(super) fn on_responded(
        &mut self,
        now: Time,
        from: SocketAddr,
        far_id: u32,
        far: Certificate,
        far_component: Vec<u8>,
        made: Option<(Vec<u8>, SessionKeys)>,
    ) {
        self.keyings.remove(&(from, far_id));
        let Some((answer, keys)) = made else {
            self.stats.bad_keying += 1;
            return;
        };
        // Another keying from there may have been faster.
        if !matches!(
            self.standing(now, from, far_id, &far, &far_component),
            Standing::New
        ) {
            return;
        }
        let near_id = self.new_id();
        let handle: Handle = self.new_handle();
        self.send_responder_keying(now, from, far_id, near_id, &answer);
        let start = Start {
            role: Mode::Responder,
            near_id,
            far_id,
            dest: from,
            far,
            keys,
            far_component,
            answer,
            secret: self.random.array(),
        };
        self.start_session(now, handle, start);
    }

    fn send_responder_keying(
        &mut self,
        now: Time,
        to: SocketAddr,
        far_id: u32,
        near_id: u32,
        component: &[u8],
    ) {
        let chunk = Chunk::ResponderKeying {
            session: near_id,
            component,
            signature: NO_SIGNATURE,
        };
        self.transmit_startup(now, to, far_id, &chunk);
    }
}
