//! RTMFP clients of a shard: the endpoints of its UDP sockets, and the sessions on them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use base::{EndReason, Redacted, SessionId, Time};
use rtmfp::tc::server::Connection as FlowConnection;
use rtmfp::{
    Done, Endpoint, EndpointConfig, EndpointStats, Event as EndpointEvent, Handle, Output as EndpointOutput,
    Paths, Seek, SessionEvent,
};

use super::command::Event;
use super::conn::Conn;
use super::session::Session;
use super::{SESSION_SWEEP, Shard};

/// A UDP socket and those who came by it.
pub(super) struct Listener {
    endpoint: Endpoint,
    clients: HashMap<Handle, SessionId>,
}

/// Sessions of RTMFP are numbered by their shard, those of listeners by the process: above this bit, which the
/// latter never reach.
const SESSIONS: u32 = 40;

impl Shard {
    /// A socket for RTMFP clients is open. Gives its number, by which the driver names it.
    pub fn open_rtmfp(&mut self, config: EndpointConfig, entropy: [u8; 32]) -> usize {
        self.rtmfp.push(Listener {
            endpoint: Endpoint::new(config, entropy),
            clients: HashMap::new(),
        });
        self.rtmfp.len() - 1
    }

    /// A datagram came on a socket for RTMFP.
    pub fn handle_rtmfp(&mut self, now: Time, socket: usize, from: SocketAddr, datagram: &[u8]) {
        self.with_endpoint(now, socket, |endpoint| {
            endpoint.handle_datagram(now, from, datagram)
        });
    }

    /// A client of another shard looks for one that may be ours.
    pub fn handle_rtmfp_seek(&mut self, now: Time, socket: usize, seek: &Seek) {
        self.with_endpoint(now, socket, |endpoint| endpoint.handle_seek(now, seek));
    }

    /// What is new in the settings is for sessions from now on.
    pub(super) fn reconfigure_rtmfp(&mut self) {
        let flows = &self.settings.flows;
        for listener in &mut self.rtmfp {
            let session = flows.session.clone();
            listener
                .endpoint
                .reconfigure(session, flows.protection, flows.introduce);
        }
    }

    /// The arithmetic of [`Output::RtmfpWork`](super::Output::RtmfpWork) is done.
    pub fn handle_rtmfp_work(&mut self, now: Time, socket: usize, done: Done) {
        self.with_endpoint(now, socket, |endpoint| endpoint.handle_work(now, done));
    }

    pub(super) fn rtmfp_timeout(&mut self, now: Time) {
        for socket in 0..self.rtmfp.len() {
            let due = |l: &Listener| l.endpoint.poll_timeout().is_some_and(|at| at <= now);
            if self.rtmfp.get(socket).is_some_and(due) {
                self.with_endpoint(now, socket, |endpoint| endpoint.handle_timeout(now));
            }
        }
    }

    pub(super) fn rtmfp_poll_timeout(&self) -> Option<Time> {
        self.rtmfp.iter().filter_map(|l| l.endpoint.poll_timeout()).min()
    }

    /// Counters of all sockets.
    pub(super) fn rtmfp_stats(&self) -> EndpointStats {
        let mut sum = EndpointStats::default();
        self.rtmfp.iter().for_each(|l| sum.merge(&l.endpoint.stats()));
        sum
    }

    /// How the sessions on all sockets fare now.
    pub(super) fn rtmfp_paths(&self) -> Paths {
        let mut sum = Paths::default();
        self.rtmfp.iter().for_each(|l| sum.merge(&l.endpoint.paths()));
        sum
    }

    /// Gives an endpoint its input and does what it wants.
    fn with_endpoint(&mut self, now: Time, socket: usize, input: impl FnOnce(&mut Endpoint)) {
        let Some(listener) = self.rtmfp.get_mut(socket) else {
            return;
        };
        // What a fault leaves undone is a datagram; the others on the socket go on.
        if catch_unwind(AssertUnwindSafe(|| input(&mut listener.endpoint))).is_err() {
            tracing::error!(
                "a fault of flashgate lost an RTMFP datagram; please report it with the lines above"
            );
        }
        self.run_rtmfp(now, socket);
    }

    fn run_rtmfp(&mut self, now: Time, socket: usize) {
        while let Some(listener) = self.rtmfp.get_mut(socket)
            && let Some(output) = listener.endpoint.poll_output(now)
        {
            match output {
                EndpointOutput::Transmit { to, datagram } => self.outbox.rtmfp(socket, to, &datagram),
                EndpointOutput::Seek(seek) => self.outbox.rtmfp_seek(socket, seek),
                EndpointOutput::Work(work) => self.outbox.rtmfp_work(socket, work),
                EndpointOutput::Event { handle, event } => self.rtmfp_event(now, socket, handle, event),
            }
        }
    }

    fn rtmfp_event(&mut self, now: Time, socket: usize, handle: Handle, event: EndpointEvent) {
        let Some(listener) = self.rtmfp.get_mut(socket) else {
            return;
        };
        let event = match event {
            EndpointEvent::Opened { from, .. } => {
                self.next_rtmfp += 1;
                let id = SessionId((u64::from(self.id.0) + 1) << SESSIONS | self.next_rtmfp);
                listener.clients.insert(handle, id);
                let conn = Box::new(FlowConnection::new(self.settings.rtmfp.clone(), handle, now));
                self.sessions
                    .insert(id, Session::new(Conn::Rtmfp { socket, conn }, from));
                self.outbox.event(Event::SessionOpened {
                    session: id,
                    peer: from,
                });
                self.next_sweep.get_or_insert(now + SESSION_SWEEP);
                return;
            }
            EndpointEvent::Session(event) => event,
        };
        let Some(id) = listener.clients.get(&handle).copied() else {
            return;
        };
        let closed = match &event {
            SessionEvent::Closed(reason) => {
                listener.clients.remove(&handle);
                tracing::debug!(session = %id, ?reason, "RTMFP session over");
                true
            }
            SessionEvent::AddressChanged { to } => {
                tracing::debug!(session = %id, to = %Redacted(to), "the client is at another address now");
                false
            }
            _ => false,
        };
        if let Some(session) = self.sessions.get_mut(&id) {
            session.conn.handle_event(now, event);
            self.run_session(now, id);
        }
        if closed {
            self.end_session(now, id, EndReason::ConnectionLost);
        }
    }

    /// Puts what an RTMFP client is to hear into its flows; nothing for others.
    pub fn flush_rtmfp(&mut self, now: Time, id: SessionId) {
        let Some(Session {
            conn: Conn::Rtmfp { socket, conn },
            ..
        }) = self.sessions.get_mut(&id)
        else {
            return;
        };
        let socket = *socket;
        if let Some(listener) = self.rtmfp.get_mut(socket) {
            conn.flush(now, &mut listener.endpoint);
        }
        if conn.is_over() {
            self.run_session(now, id);
        }
        self.run_rtmfp(now, socket);
    }

    /// The client's session has been ended: it hears so, as far as it still listens.
    pub(super) fn leave_rtmfp(&mut self, now: Time, session: &mut Session, reason: EndReason) {
        let Conn::Rtmfp { socket, conn } = &mut session.conn else {
            return;
        };
        let socket = *socket;
        if let Some(listener) = self.rtmfp.get_mut(socket) {
            let stats = listener.endpoint.session_stats(conn.handle()).unwrap_or_default();
            let path = listener.endpoint.path(conn.handle());
            tracing::debug!(
                rtt = ?path.and_then(|(rtt, _)| rtt),
                window = path.map(|(_, window)| window),
                received = stats.packets_in,
                sent = stats.packets_out,
                retransmits = stats.send.retransmits,
                abandoned = stats.send.abandoned,
                timeouts = stats.timeouts,
                rejected = stats.rejected,
                "RTMFP client leaves"
            );
            conn.close(now, reason.text());
            conn.flush(now, &mut listener.endpoint);
        }
        self.run_rtmfp(now, socket);
    }
}
