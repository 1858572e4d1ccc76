//! The thread of a shard: sockets and the clock around the pure machine.
//!
//! A current-thread runtime owns every socket of the shard. Tasks only wait for readiness; all work is done
//! in short borrows of one owner, so there is no lock and the order of events is that of the thread.

mod flows;
mod tunnel;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use base::{IdMap, LegId, Rng, SessionId, ShardId, Time};
use rtmp::rtmpt::Tunnel;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::AbortHandle;

use super::command::{Command, Event, LinkFrame};
use super::{Figures, Look, Output, Remote, Settings, Shard};
use crate::net::{Clock, Parcel, Permit, RtpPair, RtpPorts, Wire};
pub(crate) use flows::FlowDatagram;
use tunnel::TunnelIo;
pub(crate) use tunnel::{TunnelAsk, TunnelRequest};

/// Room for commands to a shard (layout, "Every queue has a bound").
const COMMANDS: usize = 1_024;
/// Room for frames that come over from other shards: 8 for each of some hundred links.
const LINK_FRAMES: usize = 1_024;
/// Bytes read from one client before others get their turn.
const READ_PER_TURN: usize = 64 * 1024;
/// Datagrams read from one leg before others get their turn.
const PACKETS_PER_TURN: usize = 16;
/// Read from a socket at once: some twenty messages of audio, and more than any datagram of media.
const READ: usize = 4 * 1024;
/// Bytes asked of a session for one write; small, so that what waits can still be dropped as late.
const WRITE_CHUNK: usize = 8 * 1024;

/// A client connection handed to a shard.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// Its id, unique in the process.
    pub(crate) session: SessionId,
    /// What carries its bytes.
    pub(crate) carrier: Carrier,
    /// Its address.
    pub(crate) peer: SocketAddr,
    /// Its place within the limits.
    pub(crate) permit: Permit,
}

/// A connection to a server elsewhere, made for a leg of this shard.
#[derive(Debug)]
pub(crate) struct Dialled {
    /// Its id.
    pub(crate) session: SessionId,
    /// The leg.
    pub(crate) leg: LegId,
    /// What is wanted there.
    pub(crate) remote: Box<Remote>,
    /// The connection.
    pub(crate) parcel: Parcel,
}

/// What carries the bytes of a client.
#[derive(Debug)]
pub(crate) enum Carrier {
    /// A connection.
    Wire(Parcel),
    /// HTTP requests, which name the session and prove it by this number.
    Tunnel(u64),
}

/// What may be sent to a shard's thread.
#[derive(Debug)]
pub(crate) enum Message {
    /// From the exchange.
    Command(Command),
    /// From a listener.
    Accepted(Accepted),
    /// The exchange has made a connection.
    Dialled(Dialled),
    /// From the HTTP side of RTMPT.
    Tunnel(TunnelRequest),
    /// The figures are wanted. That an answer comes shows that the shard runs.
    Look(Look, oneshot::Sender<Figures>),
    /// Sessions and legs made from now on follow these settings.
    Settings(Arc<Settings>),
    /// An RTMFP datagram that another shard received.
    Rtmfp(FlowDatagram),
    /// A client of another shard looks for one that may be here.
    RtmfpSeek(usize, rtmfp::Seek),
    /// The thread is to end.
    Stop,
}

/// The senders by which the rest of the daemon reaches a shard.
#[derive(Clone, Debug)]
pub(crate) struct ShardHandle {
    /// Commands and new connections.
    pub(crate) messages: mpsc::Sender<Message>,
    links: mpsc::Sender<LinkFrame>,
}

/// The receiving ends, given to the thread.
#[derive(Debug)]
pub(crate) struct ShardInbox {
    messages: mpsc::Receiver<Message>,
    links: mpsc::Receiver<LinkFrame>,
}

/// The queues of one shard.
pub(crate) fn queues() -> (ShardHandle, ShardInbox) {
    let (messages, messages_rx) = mpsc::channel(COMMANDS);
    let (links, links_rx) = mpsc::channel(LINK_FRAMES);
    (
        ShardHandle { messages, links },
        ShardInbox {
            messages: messages_rx,
            links: links_rx,
        },
    )
}

/// Everything a shard's thread needs.
pub(crate) struct Start {
    /// Which shard.
    pub(crate) id: ShardId,
    /// What the machine needs of the configuration.
    pub(crate) settings: Arc<Settings>,
    /// Its randomness.
    pub(crate) rng: Rng,
    /// The clock.
    pub(crate) clock: Clock,
    /// Its share of the RTP ports.
    pub(crate) ports: RtpPorts,
    /// Its sockets for RTMFP clients, and the settings of their endpoints.
    pub(crate) rtmfp: (Vec<std::net::UdpSocket>, rtmfp::EndpointConfig),
    /// Randomness for keys.
    pub(crate) entropy: [u8; 32],
    /// Its queues.
    pub(crate) inbox: ShardInbox,
    /// To the exchange.
    pub(crate) events: mpsc::Sender<(ShardId, Event)>,
    /// All shards, by number; its own entry is not used.
    pub(crate) peers: Vec<ShardHandle>,
}

/// Runs a shard on the calling thread until it is told to stop.
pub(crate) fn run(start: Start) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    tokio::task::LocalSet::new().block_on(&runtime, serve(start));
    Ok(())
}

struct SessionIo {
    wire: Wire,
    /// Bytes taken from the machine that the socket has not taken yet.
    pending: Vec<u8>,
    written: usize,
    blocked: Rc<Blocked>,
    task: AbortHandle,
    /// Gives the place within the limits back when the session is gone.
    _permit: Option<Permit>,
}

/// A client's socket would not take all: its task waits until it does.
#[derive(Default)]
struct Blocked {
    is: Cell<bool>,
    task: RefCell<Option<Waker>>,
}

impl Blocked {
    fn set(&self) {
        self.is.set(true);
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }

    /// Notes the task that wants to know.
    fn register(&self, cx: &Context<'_>) {
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|t| t.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
    }
}

/// Why a client's task wakes.
enum Wake {
    Read,
    Write,
    Broken,
}

struct LegIo {
    rtp: Rc<UdpSocket>,
    rtcp: Rc<UdpSocket>,
    local: SocketAddr,
    tasks: [AbortHandle; 2],
}

struct Driver {
    shard: Shard,
    clock: Clock,
    sessions: IdMap<SessionId, SessionIo>,
    tunnels: IdMap<SessionId, TunnelIo>,
    legs: IdMap<LegId, LegIo>,
    /// Sockets for RTMFP clients, and what is to leave by each.
    rtmfp: Vec<(Rc<UdpSocket>, crate::net::Outbox)>,
    ports: RtpPorts,
    events: mpsc::Sender<(ShardId, Event)>,
    /// Events for which the exchange had no room; they wait here, media goes on.
    waiting: std::collections::VecDeque<Event>,
    peers: Vec<ShardHandle>,
    /// The deadline the timer task sleeps to.
    armed: Option<Time>,
    rearm: Rc<Notify>,
    /// What is read lands here: one for all sockets, for only one is read at a time.
    buffer: Box<[u8]>,
    /// What is written passes through here.
    out: Vec<u8>,
}

type Shared = Rc<RefCell<Driver>>;

async fn serve(start: Start) {
    let Start {
        id,
        settings,
        rng,
        clock,
        ports,
        rtmfp,
        entropy,
        inbox,
        events,
        peers,
    } = start;
    let ShardInbox {
        mut messages,
        mut links,
    } = inbox;
    let rearm = Rc::new(Notify::new());
    let driver: Shared = Rc::new(RefCell::new(Driver {
        shard: Shard::new(id, settings, rng),
        clock,
        sessions: IdMap::default(),
        tunnels: IdMap::default(),
        legs: IdMap::default(),
        rtmfp: Vec::new(),
        ports,
        events,
        waiting: std::collections::VecDeque::new(),
        peers,
        armed: None,
        rearm: rearm.clone(),
        buffer: vec![0; READ].into(),
        out: Vec::new(),
    }));
    tokio::task::spawn_local(timers(driver.clone(), rearm));
    flows::open(&driver, rtmfp, entropy);
    loop {
        tokio::select! {
            biased;
            message = messages.recv() => match message {
                None | Some(Message::Stop) => return,
                Some(Message::Command(command)) => {
                    let mut d = driver.borrow_mut();
                    let now = d.clock.now();
                    d.shard.handle_command(now, command);
                    d.drain(now, &driver);
                }
                Some(Message::Accepted(accepted)) => accept(&driver, accepted),
                Some(Message::Dialled(dialled)) => {
                    let Dialled { session, leg, remote, parcel } = dialled;
                    let opened = open_wire(&driver, session, parcel, None);
                    let mut d = driver.borrow_mut();
                    let now = d.clock.now();
                    d.shard.handle_dialled(now, session, leg, *remote);
                    if !opened {
                        d.shard.handle_closed(now, session);
                    }
                    d.drain(now, &driver);
                }
                Some(Message::Tunnel(request)) => tunnel::request(&driver, request),
                Some(Message::Look(look, answer)) => {
                    let mut d = driver.borrow_mut();
                    let now = d.clock.now();
                    let _asker_gone = answer.send(d.shard.figures(now, &look));
                }
                Some(Message::Settings(settings)) => driver.borrow_mut().shard.set_settings(settings),
                Some(Message::Rtmfp(datagram)) => flows::take(&driver, &datagram),
                Some(Message::RtmfpSeek(socket, seek)) => {
                    let mut d = driver.borrow_mut();
                    let now = d.clock.now();
                    d.shard.handle_rtmfp_seek(now, socket, &seek);
                    d.drain(now, &driver);
                }
            },
            Some(frame) = links.recv() => {
                let mut d = driver.borrow_mut();
                let now = d.clock.now();
                d.shard.handle_link(now, frame);
                d.drain(now, &driver);
            }
        }
    }
}

async fn timers(driver: Shared, rearm: Rc<Notify>) {
    loop {
        let (deadline, clock) = {
            let mut d = driver.borrow_mut();
            d.armed = d.shard.poll_timeout();
            // Events that found no room are offered again soon, whatever else is due.
            if !d.waiting.is_empty() {
                let soon = d.clock.now() + Duration::from_millis(20);
                d.armed = Some(d.armed.map_or(soon, |t| t.min(soon)));
            }
            (d.armed, d.clock)
        };
        match deadline {
            Some(deadline) => tokio::select! {
                biased;
                () = clock.sleep_until(Some(deadline)) => {}
                () = rearm.notified() => continue,
            },
            None => {
                rearm.notified().await;
                continue;
            }
        }
        let mut d = driver.borrow_mut();
        let now = d.clock.now();
        d.shard.handle_timeout(now);
        d.drain(now, &driver);
    }
}

fn accept(driver: &Shared, accepted: Accepted) {
    let Accepted {
        session,
        carrier,
        peer,
        permit,
    } = accepted;
    let parcel = match carrier {
        Carrier::Wire(parcel) => parcel,
        Carrier::Tunnel(secret) => {
            let mut d = driver.borrow_mut();
            let now = d.clock.now();
            let io = TunnelIo {
                secret,
                tunnel: Tunnel::default(),
                _permit: permit,
            };
            d.tunnels.insert(session, io);
            d.shard.handle_tunnelled(now, session, peer);
            return d.drain(now, driver);
        }
    };
    if !open_wire(driver, session, parcel, Some(permit)) {
        return;
    }
    let mut d = driver.borrow_mut();
    let now = d.clock.now();
    d.shard.handle_accepted(now, session, peer);
    d.drain(now, driver);
}

/// Takes a connection over; false when that cannot be done.
fn open_wire(driver: &Shared, session: SessionId, parcel: Parcel, permit: Option<Permit>) -> bool {
    let wire = match parcel.open() {
        Ok(wire) => wire,
        Err(error) => {
            tracing::warn!(%session, %error, "a connection could not be taken over");
            return false;
        }
    };
    let blocked = Rc::new(Blocked::default());
    let stream = wire.stream().clone();
    let task = tokio::task::spawn_local(client(driver.clone(), session, stream, blocked.clone()));
    let io = SessionIo {
        wire,
        pending: Vec::new(),
        written: 0,
        blocked,
        task: task.abort_handle(),
        _permit: permit,
    };
    driver.borrow_mut().sessions.insert(session, io);
    true
}

/// Waits on one client's socket.
async fn client(driver: Shared, session: SessionId, stream: Arc<TcpStream>, blocked: Rc<Blocked>) {
    // Reading and writing take turns when both can go on.
    let mut has_read = false;
    loop {
        let read_already = match driver.borrow_mut().sessions.get_mut(&session) {
            Some(io) => io.wire.has_more(),
            None => return,
        };
        let wake = poll_fn(|cx| {
            blocked.register(cx);
            let writable = blocked.is.get() && stream.poll_write_ready(cx).is_ready();
            let readable = match stream.poll_read_ready(cx) {
                Poll::Ready(Err(_)) => return Poll::Ready(Wake::Broken),
                ready => ready.is_ready() || read_already,
            };
            match (readable, writable) {
                (false, false) => Poll::Pending,
                (true, write) if !(write && has_read) => Poll::Ready(Wake::Read),
                _ => Poll::Ready(Wake::Write),
            }
        })
        .await;
        has_read = matches!(wake, Wake::Read);
        let more = {
            let mut d = driver.borrow_mut();
            let now = d.clock.now();
            let more = match wake {
                Wake::Read => d.read(now, session, &driver),
                Wake::Write => {
                    blocked.is.set(false);
                    d.flush(now, session);
                    d.drain(now, &driver);
                    Some(false)
                }
                Wake::Broken => None,
            };
            if more.is_none() {
                d.shard.handle_closed(now, session);
                d.drain(now, &driver);
            }
            if !d.sessions.contains_key(&session) {
                return;
            }
            more
        };
        if more == Some(true) {
            tokio::task::yield_now().await;
        }
    }
}

/// Waits on one socket of an RTP leg.
async fn packets(driver: Shared, leg: LegId, socket: Rc<UdpSocket>, rtcp: bool) {
    while poll_fn(|cx| socket.poll_recv_ready(cx)).await.is_ok() {
        let more = driver.borrow_mut().receive(leg, &socket, rtcp, &driver);
        if more {
            tokio::task::yield_now().await;
        }
    }
}

impl Driver {
    /// Reads what a client has sent; whether there is more than its turn suffices for, `None` when its connection
    /// is over.
    fn read(&mut self, now: Time, session: SessionId, shared: &Shared) -> Option<bool> {
        let mut taken = 0;
        while taken < READ_PER_TURN {
            let Some(io) = self.sessions.get_mut(&session) else {
                return Some(false);
            };
            match io.wire.try_read(&mut self.buffer) {
                Ok(0) => return None,
                Ok(n) => {
                    taken += n;
                    let bytes = self.buffer.get(..n).unwrap_or_default();
                    self.shard.handle_bytes(now, session, bytes);
                    self.drain(now, shared);
                    if n < self.buffer.len() {
                        return Some(false);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(false),
                Err(_) => return None,
            }
        }
        Some(true)
    }

    /// Takes what came on a socket of an RTP leg; whether there may be more.
    fn receive(&mut self, leg: LegId, socket: &UdpSocket, rtcp: bool, shared: &Shared) -> bool {
        for _ in 0..PACKETS_PER_TURN {
            match socket.try_recv_from(&mut self.buffer) {
                Ok((n, from)) => {
                    let now = self.clock.now();
                    let packet = self.buffer.get(..n).unwrap_or_default();
                    if rtcp {
                        self.shard.handle_rtcp(now, leg, from, packet);
                    } else {
                        self.shard.handle_rtp(now, leg, from, packet);
                    }
                    self.drain(now, shared);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // An ICMP error of an earlier send: the peer may still come.
                Err(_) => {}
            }
        }
        true
    }

    /// Carries out everything the machine wants, until it wants nothing more.
    fn drain(&mut self, now: Time, shared: &Shared) {
        loop {
            while let Some(output) = self.shard.poll_output() {
                match output {
                    Output::Rtp { leg, to, bytes } => {
                        if let Some(io) = self.legs.get(&leg) {
                            // A full socket buffer loses this packet only; RTP lives with loss.
                            let _lost = io.rtp.try_send_to(bytes, to);
                        }
                    }
                    Output::Rtcp { leg, to, bytes } => {
                        if let Some(io) = self.legs.get(&leg) {
                            let _lost = io.rtcp.try_send_to(bytes, to);
                        }
                    }
                    Output::OpenRtp { leg, ip } => {
                        let opened = self.open_rtp(now, leg, ip, shared);
                        self.shard.handle_rtp_opened(now, leg, opened);
                    }
                    Output::CloseRtp { leg } => {
                        if let Some(io) = self.legs.remove(&leg) {
                            io.tasks.iter().for_each(AbortHandle::abort);
                            self.ports.release(io.local.port(), now);
                        }
                    }
                    Output::CloseSession { session } => {
                        self.tunnels.remove(&session);
                        if let Some(mut io) = self.sessions.remove(&session) {
                            // The last words, as far as the socket takes them at once.
                            if let Some(rest) = io.pending.get(io.written..).filter(|r| !r.is_empty()) {
                                let _unsent = io.wire.try_write(rest);
                            }
                            io.wire.close();
                            io.task.abort();
                        }
                    }
                    Output::Flush { session } => self.flush(now, session),
                    Output::Rtmfp { socket, to, bytes } => {
                        if let Some((io, out)) = self.rtmfp.get_mut(socket)
                            && out.push(to, bytes)
                        {
                            flows::send(io, out);
                        }
                    }
                    Output::RtmfpSeek { socket, seek } => {
                        let own = usize::from(self.shard.id().0);
                        for (_, peer) in self.peers.iter().enumerate().filter(|(n, _)| *n != own) {
                            // Full: whoever looks will ask again.
                            let _lost = peer.messages.try_send(Message::RtmfpSeek(socket, seek.clone()));
                        }
                    }
                    Output::RtmfpWork { socket, work } => flows::work(shared, socket, work),
                    Output::DtlsWork { leg, work } => flows::shake(shared, leg, work),
                    Output::Link { to, frame } => {
                        // Full: the frame is lost, as on a network.
                        if let Some(peer) = self.peers.get(usize::from(to.0)) {
                            let _lost = peer.links.try_send(frame);
                        }
                    }
                    Output::Event(event) => self.waiting.push_back(event),
                }
            }
            if !self.shard.has_output() {
                break;
            }
        }
        for (io, out) in self.rtmfp.iter_mut().filter(|(_, out)| !out.is_empty()) {
            flows::send(io, out);
        }
        self.send_events();
        let wanted = self.shard.poll_timeout();
        if let Some(wanted) = wanted
            && self.armed.is_none_or(|armed| wanted < armed)
        {
            self.armed = Some(wanted);
            self.rearm.notify_one();
        }
    }

    fn send_events(&mut self) {
        let id = self.shard.id();
        while let Some(event) = self.waiting.pop_front() {
            match self.events.try_send((id, event)) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full((_, event))) => {
                    self.waiting.push_front(event);
                    self.rearm.notify_one();
                    return;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => return,
            }
        }
    }

    /// Writes what a session has to say as far as its socket takes it.
    fn flush(&mut self, now: Time, session: SessionId) {
        let Some(io) = self.sessions.get_mut(&session) else {
            return self.shard.flush_rtmfp(now, session);
        };
        loop {
            // What was taken from the machine before goes first.
            let kept = !io.pending.is_empty();
            if !kept {
                self.out.clear();
                if self.shard.transmit(now, session, &mut self.out, WRITE_CHUNK) == 0 {
                    if io.wire.try_flush().is_err() {
                        // A broken one is seen by its reader.
                        io.blocked.set();
                    }
                    return;
                }
            }
            let rest = if kept {
                io.pending.get(io.written..).unwrap_or_default()
            } else {
                &self.out
            };
            let taken = match io.wire.try_write(rest) {
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(_) => {
                    // The reading side sees the end too; nothing more is written until then.
                    io.pending = Vec::new();
                    io.written = 0;
                    self.shard.handle_closed(now, session);
                    return;
                }
            };
            let left = rest.get(taken..).unwrap_or_default();
            if left.is_empty() {
                io.pending = Vec::new();
                io.written = 0;
            } else if kept {
                io.written += taken;
            } else {
                io.pending = left.to_vec();
            }
            if taken == 0 {
                io.blocked.set();
                return;
            }
        }
    }

    fn open_rtp(&mut self, now: Time, leg: LegId, ip: IpAddr, shared: &Shared) -> Option<SocketAddr> {
        let RtpPair { rtp, rtcp, .. } = match self.ports.open(ip, now) {
            Ok(pair) => pair,
            Err(error) => {
                tracing::warn!(%leg, %error, "a call has no media");
                return None;
            }
        };
        let local = rtp.local_addr().ok()?;
        let (rtp, rtcp) = (Rc::new(rtp), Rc::new(rtcp));
        let tasks = [
            tokio::task::spawn_local(packets(shared.clone(), leg, rtp.clone(), false)).abort_handle(),
            tokio::task::spawn_local(packets(shared.clone(), leg, rtcp.clone(), true)).abort_handle(),
        ];
        self.legs.insert(
            leg,
            LegIo {
                rtp,
                rtcp,
                local,
                tasks,
            },
        );
        Some(local)
    }
}
