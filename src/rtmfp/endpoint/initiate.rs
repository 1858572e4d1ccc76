//! The initiator's part of opening a session (§3.5.1.1.1).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::Time;

use super::work::{Task, Work};
use super::{Endpoint, Event, Handle, Output};
use crate::chunk::{self, Chunk};
use crate::packet::Mode;
use crate::params;
use crate::profile::certificate::{Certificate, Discriminator, Identity, NO_SIGNATURE};
use crate::profile::keying::{InitiatorKeying, SessionKeys};
use crate::session::{CloseReason, SessionEvent, Start};

/// Session packets kept that came before the keys.
const MAX_EARLY: usize = 16;

/// A schedule of repeated packets.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    next: Time,
    interval: Duration,
}

impl Schedule {
    fn new(now: Time) -> Schedule {
        Schedule {
            next: now,
            interval: params::OPEN_INTERVAL,
        }
    }

    /// Whether a packet is due; the next one is then later.
    fn take(&mut self, now: Time) -> bool {
        let due = now >= self.next;
        if due {
            self.next = now + self.interval;
            self.interval += params::OPEN_BACKOFF;
        }
        due
    }
}

/// A session being opened.
#[derive(Debug)]
pub(super) struct Opening {
    until: Time,
    epd: Discriminator,
    tag: [u8; params::TAG_LEN],
    candidates: Vec<(SocketAddr, Schedule)>,
    keying: Option<Keying>,
    early: Vec<(SocketAddr, Vec<u8>)>,
    scheduled: Option<Time>,
}

/// The responder has answered.
#[derive(Debug)]
struct Keying {
    dest: SocketAddr,
    near_id: u32,
    far: Certificate,
    cookie: Vec<u8>,
    cookie_changed: bool,
    made: Option<(Arc<Identity>, Box<InitiatorKeying>)>,
    schedule: Schedule,
    /// The responder's half is being combined.
    combining: bool,
}

impl Opening {
    pub(super) fn new(
        now: Time,
        addresses: &[SocketAddr],
        epd: Discriminator,
        tag: [u8; params::TAG_LEN],
    ) -> Opening {
        let mut opening = Opening {
            until: now + params::OPEN_TIMEOUT,
            epd,
            tag,
            candidates: Vec::new(),
            keying: None,
            early: Vec::new(),
            scheduled: None,
        };
        addresses.iter().for_each(|to| opening.add(now, *to));
        opening
    }

    fn add(&mut self, now: Time, to: SocketAddr) {
        if self.candidates.len() < params::MAX_CANDIDATES && self.candidates.iter().all(|(a, _)| *a != to) {
            self.candidates.push((to, Schedule::new(now)));
        }
    }

    pub(super) fn keep_early(&mut self, from: SocketAddr, sealed: &[u8]) {
        if self.early.len() < MAX_EARLY {
            self.early.push((from, sealed.to_vec()));
        }
    }
}

impl Endpoint {
    /// Sends what is due for a session being opened, and notes when the next is.
    pub(super) fn drive_opening(&mut self, now: Time, handle: Handle) {
        let Some(opening) = self.openings.get_mut(&handle) else {
            return;
        };
        if now >= opening.until {
            return self.fail_opening(handle, CloseReason::Unanswered);
        }
        let mut due = opening.until;
        let mut hellos = Vec::new();
        let mut keying = false;
        match &mut opening.keying {
            None => {
                for (to, schedule) in &mut opening.candidates {
                    if schedule.take(now) {
                        hellos.push(*to);
                    }
                    due = due.min(schedule.next);
                }
            }
            Some(k) if k.made.is_some() => {
                keying = k.schedule.take(now);
                due = due.min(k.schedule.next);
            }
            Some(_) => {}
        }
        if let Some(old) = opening.scheduled.replace(due) {
            self.deadlines.remove(&(old, handle));
        }
        self.deadlines.insert((due, handle));
        let (epd, tag) = (opening.epd.bytes(), opening.tag);
        for to in hellos {
            let hello = Chunk::InitiatorHello { epd: &epd, tag: &tag };
            self.transmit_startup(now, to, 0, &hello);
        }
        if keying {
            self.send_initiator_keying(now, handle);
        }
    }

    fn send_initiator_keying(&mut self, now: Time, handle: Handle) {
        let Some(k) = self.openings.get(&handle).and_then(|o| o.keying.as_ref()) else {
            return;
        };
        let Some((identity, made)) = &k.made else { return };
        let (dest, cookie) = (k.dest, k.cookie.clone());
        let (identity, component, session) = (identity.clone(), made.component.clone(), k.near_id);
        let chunk = Chunk::InitiatorKeying {
            session,
            cookie: &cookie,
            certificate: identity.certificate().bytes(),
            component: &component,
            signature: NO_SIGNATURE,
        };
        self.transmit_startup(now, dest, 0, &chunk);
    }

    /// Gives up.
    pub(super) fn fail_opening(&mut self, handle: Handle, reason: CloseReason) {
        self.forget_opening(handle);
        let event = Event::Session(SessionEvent::Closed(reason));
        self.outputs.push_back(Output::Event { handle, event });
    }

    fn forget_opening(&mut self, handle: Handle) -> Option<Opening> {
        let opening = self.openings.remove(&handle)?;
        if let Some(at) = opening.scheduled {
            self.deadlines.remove(&(at, handle));
        }
        if let Some(keying) = &opening.keying {
            self.by_id.remove(&keying.near_id);
        }
        Some(opening)
    }

    fn waiting_for(&self, tag: &[u8]) -> Option<Handle> {
        self.openings
            .iter()
            .find(|(_, o)| o.tag == tag && o.keying.is_none())
            .map(|(handle, _)| *handle)
    }

    /// A responder answers a hello.
    pub(super) fn on_responder_hello(
        &mut self,
        now: Time,
        from: SocketAddr,
        tag: &[u8],
        cookie: &[u8],
        certificate: &[u8],
    ) {
        let Some(handle) = self.waiting_for(tag) else {
            return;
        };
        let Some(far) = Certificate::read(certificate) else {
            return;
        };
        let near_id = self.new_id();
        let Some(opening) = self.openings.get_mut(&handle) else {
            return;
        };
        if !far.is_selected_by(&opening.epd) {
            return;
        }
        // Who opens as one and the same needs one session with a peer (§3.5.1.1.1).
        let known = self.by_peer.contains_key(&far.fingerprint());
        if self.config.client.is_some() && known {
            return self.fail_opening(handle, CloseReason::Duplicate);
        }
        opening.keying = Some(Keying {
            dest: from,
            near_id,
            far: far.clone(),
            cookie: cookie.to_vec(),
            cookie_changed: false,
            made: None,
            schedule: Schedule::new(now),
            combining: false,
        });
        self.by_id.insert(near_id, handle);
        let task = Task::Initiate {
            handle,
            identity: self.config.client.clone(),
            group: self.config.client_group,
            far,
            protection: self.config.protection,
            random: self.random.fork(),
        };
        self.outputs.push_back(Output::Work(Work(task)));
    }

    /// Others may know better where the peer is.
    pub(super) fn on_redirect(&mut self, now: Time, from: SocketAddr, tag: &[u8], addresses: &[u8]) {
        let Some(handle) = self.waiting_for(tag) else {
            return;
        };
        if let Some(opening) = self.openings.get_mut(&handle) {
            if addresses.is_empty() {
                opening.add(now, from);
            }
            for address in chunk::addresses(addresses) {
                opening.add(now, address.addr);
            }
        }
        self.drive_opening(now, handle);
    }

    /// Our component is made.
    pub(super) fn on_initiated(
        &mut self,
        now: Time,
        handle: Handle,
        made: Option<(Arc<Identity>, Box<InitiatorKeying>)>,
    ) {
        let Some(keying) = self.openings.get_mut(&handle).and_then(|o| o.keying.as_mut()) else {
            return;
        };
        if made.is_none() {
            self.stats.bad_keying += 1;
            return self.fail_opening(handle, CloseReason::Unanswered);
        }
        keying.made = made;
        keying.schedule = Schedule::new(now);
        self.drive_opening(now, handle);
    }

    /// The responder's cookie belongs to another address of ours.
    pub(super) fn on_cookie_change(&mut self, now: Time, handle: Handle, old: &[u8], new: &[u8]) {
        let Some(keying) = self.openings.get_mut(&handle).and_then(|o| o.keying.as_mut()) else {
            return;
        };
        if keying.cookie != old || keying.cookie_changed {
            return;
        }
        keying.cookie_changed = true;
        keying.cookie = new.to_vec();
        self.send_initiator_keying(now, handle);
    }

    /// The responder's half has come.
    pub(super) fn on_responder_keying(&mut self, handle: Handle, far_id: u32, component: &[u8]) {
        let Some(k) = self.openings.get_mut(&handle).and_then(|o| o.keying.as_mut()) else {
            return;
        };
        let Some((_, made)) = k.made.as_ref().filter(|_| !k.combining && far_id != 0) else {
            return;
        };
        let task = Task::Combine {
            handle,
            keying: made.clone(),
            far_id,
            component: component.to_vec(),
        };
        k.combining = true;
        self.outputs.push_back(Output::Work(Work(task)));
    }

    /// The keys are known, or the answer was forged.
    pub(super) fn on_combined(&mut self, now: Time, handle: Handle, far_id: u32, keys: Option<SessionKeys>) {
        let Some(keys) = keys else {
            // A forged answer must not end the attempt.
            if let Some(k) = self.openings.get_mut(&handle).and_then(|o| o.keying.as_mut()) {
                k.combining = false;
            }
            return;
        };
        let Some(Opening {
            keying: Some(keying),
            early,
            ..
        }) = self.forget_opening(handle)
        else {
            return;
        };
        let start = Start {
            role: Mode::Initiator,
            near_id: keying.near_id,
            far_id,
            dest: keying.dest,
            far: keying.far,
            keys,
            far_component: Vec::new(),
            answer: Vec::new(),
            secret: self.random.array(),
        };
        self.start_session(now, handle, start);
        for (from, sealed) in early {
            self.handle_session_packet(now, from, handle, &sealed);
        }
    }

    /// Two ends that open a session to each other at once (§3.5.1.3): whether ours yields to the far end's, or there
    /// is none.
    pub(super) fn yields(&mut self, from: SocketAddr, far: &Certificate) -> bool {
        let glare = self
            .openings
            .iter()
            .find_map(|(handle, o)| o.keying.as_ref().filter(|k| k.dest == from).map(|k| (*handle, k)));
        let Some((handle, keying)) = glare else {
            return true;
        };
        let made = keying.made.as_ref().map(|(identity, _)| identity);
        let same = keying.far == *far;
        let own = made
            .or(self.config.client.as_ref())
            .or(self.config.server.as_ref());
        if own.is_some_and(|own| own.certificate().prevails_over(far)) {
            return false;
        }
        if same {
            self.fail_opening(handle, CloseReason::Duplicate);
        }
        true
    }
}
