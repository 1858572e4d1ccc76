//! The task of the exchange: SIP sockets, name lookups, shards and the clock around the pure machine.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use base::{CallId, Rng, ShardId, Time};
use call::Outcome;
use tokio::sync::{mpsc, oneshot};

use super::transport::{Arrival, Peer, SendError, SipSockets, Transports};
use super::{
    Ask, Dial, DirectoryOrder, Exchange, FindId, News, Output, Place, RoomOrder, Said, Settings, Snapshot,
};
use crate::directory;
use crate::net::{Clock, Parcel, Resolver, TlsConnector};
use crate::shard::{Dialled, Event, Message, ShardHandle};

/// Datagrams and messages that wait for the exchange.
const ARRIVALS: usize = 1_024;
/// Lookups under way at once; more fail at once, and their calls with them.
const LOOKUPS: usize = 512;
/// Connections to servers elsewhere under way at once; more fail at once.
const DIALS: usize = 128;
/// Inputs of one kind taken before the others get their turn.
const TURN: usize = 64;
/// Commands that wait for a shard which does not take them; a shard that lets more wait is sick.
const BACKLOG: usize = 4_096;

/// News that wait for those who are told; a disk that hangs for minutes is bridged.
const UNTOLD: usize = 65_536;

/// Time for the last of them when the gateway ends.
const LAST_NEWS: Duration = Duration::from_secs(5);

/// What the rest of the daemon asks of the exchange.
#[derive(Debug)]
pub(crate) enum Request {
    /// Take in nothing new; answered when the last call has ended.
    Drain(oneshot::Sender<()>),
    /// End every call now; answered when all is said.
    HangUpAll(oneshot::Sender<()>),
    /// Show yourself.
    Look(Ask, oneshot::Sender<Box<Snapshot>>),
    /// Show what was said in a call.
    Ladder(CallId, oneshot::Sender<Option<Vec<Said>>>),
    /// Do something with a room; answered by what came of it.
    Room(String, RoomOrder, oneshot::Sender<Result<(), Outcome>>),
    /// End one call; answered by whether there is such a call.
    HangUp(CallId, oneshot::Sender<bool>),
    /// Lift the ban of a source; answered by whether there was one.
    Unban(IpAddr, oneshot::Sender<bool>),
    /// Take other settings, with who may register without a password and the trunks that changed.
    Reload(Box<Settings>, sip::OpenRegistration, Vec<String>),
    /// Nothing more is to be done.
    Stop,
}

/// Everything the exchange's task needs.
pub(crate) struct Start {
    pub(crate) exchange: Exchange,
    pub(crate) clock: Clock,
    /// For the choice among SRV records of equal priority.
    pub(crate) rng: Rng,
    pub(crate) sockets: SipSockets,
    pub(crate) resolver: Resolver,
    pub(crate) shards: Vec<ShardHandle>,
    pub(crate) events: mpsc::Receiver<(ShardId, Event)>,
    pub(crate) requests: mpsc::Receiver<Request>,
    /// Who is told the news. Full: the news wait here, up to a bound, then the oldest are lost.
    pub(crate) news: mpsc::Sender<News>,
    /// Where users of other gateways are found, and others find ours.
    pub(crate) directory: Option<directory::Handle>,
}

struct Driver {
    exchange: Exchange,
    clock: Clock,
    rng: Rng,
    transports: Transports,
    resolver: Resolver,
    resolved: mpsc::Sender<(sip::LookupId, Vec<sip::Destination>)>,
    lookups: usize,
    dialled: mpsc::Sender<(ShardId, Dial, Result<Parcel, String>)>,
    dials: usize,
    /// With what servers elsewhere are reached by TLS.
    connector: Option<TlsConnector>,
    directory: Option<directory::Handle>,
    found: mpsc::Sender<(FindId, Vec<Place>)>,
    shards: Vec<(ShardHandle, VecDeque<Message>)>,
    drained: Option<oneshot::Sender<()>>,
    news: mpsc::Sender<News>,
    /// News for which there was no room.
    untold: VecDeque<News>,
}

/// Runs the exchange until it is told to stop.
pub(crate) async fn run(start: Start) -> io::Result<()> {
    let Start {
        exchange,
        clock,
        rng,
        sockets,
        resolver,
        shards,
        mut events,
        mut requests,
        news,
        directory,
    } = start;
    let (arrivals_tx, mut arrivals) = mpsc::channel(ARRIVALS);
    let (resolved_tx, mut resolved) = mpsc::channel(LOOKUPS);
    let (dialled_tx, mut dialled) = mpsc::channel(DIALS);
    let connector = sockets.connector.clone();
    let (found_tx, mut found) = mpsc::channel(LOOKUPS);
    let transports = Transports::start(sockets, arrivals_tx)?;
    let mut driver = Driver {
        exchange,
        clock,
        rng,
        transports,
        resolver,
        resolved: resolved_tx,
        lookups: 0,
        dialled: dialled_tx,
        dials: 0,
        connector,
        directory,
        found: found_tx,
        shards: shards
            .into_iter()
            .map(|handle| (handle, VecDeque::new()))
            .collect(),
        drained: None,
        news,
        untold: VecDeque::new(),
    };
    let mut arrived = Vec::with_capacity(TURN);
    let mut told = Vec::with_capacity(TURN);
    if driver.directory.is_some() {
        let now = driver.clock.now();
        driver.exchange.use_directory(now);
    }
    driver.carry_out();
    loop {
        let mut deadline = driver.exchange.poll_timeout();
        if !driver.untold.is_empty() || driver.shards.iter().any(|(_, backlog)| !backlog.is_empty()) {
            let soon = driver.clock.now() + Duration::from_millis(5);
            deadline = base::earliest(deadline, Some(soon));
        }
        tokio::select! {
            biased;
            () = driver.clock.sleep_until(deadline) => {
                let now = driver.clock.now();
                driver.exchange.handle_timeout(now);
            }
            _ = events.recv_many(&mut told, TURN) => {
                let now = driver.clock.now();
                for (shard, event) in told.drain(..) {
                    driver.exchange.handle_shard(now, shard, event);
                }
            }
            Some((id, destinations)) = resolved.recv() => {
                driver.lookups = driver.lookups.saturating_sub(1);
                let now = driver.clock.now();
                driver.exchange.handle_resolved(now, id, destinations);
            }
            Some((shard, dial, parcel)) = dialled.recv() => driver.take_dialled(shard, dial, parcel),
            Some((id, places)) = found.recv() => {
                let now = driver.clock.now();
                driver.exchange.handle_found(now, id, places);
            }
            request = requests.recv() => {
                let now = driver.clock.now();
                match request {
                    None | Some(Request::Stop) => {
                        driver.finish().await;
                        return Ok(());
                    }
                    Some(Request::Reload(settings, open, trunks)) => {
                        driver.exchange.reload(now, *settings, open, &trunks);
                    }
                    Some(Request::Drain(done)) => {
                        driver.drained = Some(done);
                        driver.exchange.drain(now);
                    }
                    Some(Request::Look(ask, answer)) => {
                        let _asker_gone = answer.send(Box::new(driver.exchange.snapshot(now, &ask)));
                    }
                    Some(Request::Ladder(call, answer)) => {
                        let _asker_gone = answer.send(driver.exchange.ladder(call));
                    }
                    Some(Request::HangUp(call, done)) => {
                        let _asker_gone = done.send(driver.exchange.hang_up(now, call));
                    }
                    Some(Request::Room(room, order, done)) => {
                        let _asker_gone = done.send(driver.exchange.room_order(now, &room, order));
                    }
                    Some(Request::Unban(source, done)) => {
                        let _asker_gone = done.send(driver.exchange.unban(now, source));
                    }
                    Some(Request::HangUpAll(done)) => {
                        driver.exchange.hang_up_all(now);
                        driver.carry_out();
                        let _requester_gone = done.send(());
                    }
                }
            }
            _ = arrivals.recv_many(&mut arrived, TURN) => {
                for arrival in arrived.drain(..) {
                    driver.arrive(arrival);
                }
            }
        }
        driver.carry_out();
    }
}

impl Driver {
    fn arrive(&mut self, arrival: Arrival) {
        let now = self.clock.now();
        match arrival {
            Arrival::Datagram(source, bytes) => self.exchange.handle_datagram(now, source, &bytes),
            Arrival::Message(source, message) => self.exchange.handle_message(now, source, message),
            Arrival::Connected(conn, writer, source) => self.transports.connected(conn, writer, source),
            Arrival::Closed(conn, remote) => {
                self.transports.closed(conn);
                self.exchange.handle_connection_closed(now, conn, remote);
            }
        }
    }

    /// Does what the exchange wants until it wants nothing more.
    fn carry_out(&mut self) {
        while let Some(output) = self.exchange.poll_output() {
            match output {
                Output::Shard(shard, command) => self.command(shard, Message::Command(command)),
                Output::Sip(output) => self.sip(*output),
                Output::Dial(shard, dial) => self.dial(shard, dial),
                Output::Directory(order) => self.directory(order),
                Output::Drained => {
                    if let Some(done) = self.drained.take() {
                        let _requester_gone = done.send(());
                    }
                }
            }
        }
        self.tell();
        for (handle, backlog) in &mut self.shards {
            while let Some(message) = backlog.pop_front() {
                if let Err(mpsc::error::TrySendError::Full(message)) = handle.messages.try_send(message) {
                    backlog.push_front(message);
                    break;
                }
            }
        }
    }

    /// Passes the news on.
    fn tell(&mut self) {
        // Only those who look on want these: they never keep a record waiting.
        for (room, event) in self.exchange.take_room_events() {
            if self.untold.is_empty() {
                let _nobody_has_room = self.news.try_send(News::Room { room, event });
            }
        }
        while let Some(news) = self.exchange.poll_news() {
            if self.untold.len() >= UNTOLD {
                tracing::error!("records of calls are lost: their file takes none; see [records]");
                self.untold.pop_front();
            }
            self.untold.push_back(news);
        }
        while let Some(news) = self.untold.pop_front() {
            match self.news.try_send(news) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(news)) => return self.untold.push_front(news),
                Err(mpsc::error::TrySendError::Closed(_)) => {}
            }
        }
    }

    /// Tells all that is left to tell: records must not be lost.
    async fn finish(&mut self) {
        self.exchange.close_records();
        self.tell();
        let told = async {
            for news in self.untold.drain(..) {
                if self.news.send(news).await.is_err() {
                    return;
                }
            }
        };
        if tokio::time::timeout(LAST_NEWS, told).await.is_err() {
            tracing::error!("records of calls are lost: the gateway ends and their file takes none");
        }
    }

    fn command(&mut self, shard: ShardId, message: Message) {
        let Some((_, backlog)) = self.shards.get_mut(usize::from(shard.0)) else {
            return;
        };
        if backlog.len() >= BACKLOG {
            tracing::error!(
                shard = shard.0,
                "a shard takes no commands: it is stuck; restart the gateway"
            );
            return;
        }
        backlog.push_back(message);
    }

    fn sip(&mut self, output: sip::Output) {
        let now = self.clock.now();
        match output {
            sip::Output::Send {
                id,
                transport,
                local,
                remote,
                conn,
                domain,
                bytes,
            } => match self
                .transports
                .send(transport, local, Peer { remote, conn, domain }, bytes)
            {
                Ok(()) => {}
                Err(SendError::Stuck(conn)) => {
                    self.exchange.handle_connection_closed(now, conn, remote);
                    self.exchange.handle_send_failed(now, id);
                }
                Err(SendError::NoSocket | SendError::Refused) => self.exchange.handle_send_failed(now, id),
            },
            sip::Output::Lookup { id, uri } => self.look_up(now, id, uri),
            sip::Output::Event(_) => {}
        }
    }

    /// Makes a connection to a server elsewhere, off this task.
    fn dial(&mut self, shard: ShardId, dial: Dial) {
        if self.dials >= DIALS {
            let now = self.clock.now();
            let why = "too many connections are being made".to_owned();
            return self.exchange.handle_dial_failed(now, dial.leg, dial.session, why);
        }
        self.dials += 1;
        let (resolver, connector, dialled) = (
            self.resolver.clone(),
            self.connector.clone(),
            self.dialled.clone(),
        );
        tokio::spawn(async move {
            let parcel = super::dialler::connect(&resolver, connector.as_ref(), &dial.remote).await;
            let _exchange_gone = dialled.send((shard, dial, parcel)).await;
        });
    }

    fn take_dialled(&mut self, shard: ShardId, dial: Dial, parcel: Result<Parcel, String>) {
        self.dials = self.dials.saturating_sub(1);
        let Dial { session, leg, remote } = dial;
        match parcel {
            // By the same queue as the commands: a leg that was closed meanwhile is closed when it gets there.
            Ok(parcel) => self.command(
                shard,
                Message::Dialled(Dialled {
                    session,
                    leg,
                    remote: Box::new(remote),
                    parcel,
                }),
            ),
            Err(why) => {
                let now = self.clock.now();
                self.exchange.handle_dial_failed(now, leg, session, why);
            }
        }
    }

    fn directory(&mut self, order: DirectoryOrder) {
        let Some(directory) = self.directory.clone() else {
            return;
        };
        match order {
            DirectoryOrder::Find { id, aor } => {
                let found = self.found.clone();
                // Bounded by the directory: what is too much for it is answered at once, with nothing.
                tokio::spawn(async move {
                    let places = directory.elsewhere(&aor).await;
                    let place = |b: overlay::Binding| {
                        let uri = sip::Uri::parse(&b.contact).ok()?;
                        uri.is_sip().then_some(Place {
                            uri,
                            priority: b.priority,
                        })
                    };
                    let places = places.into_iter().filter_map(place).collect();
                    let _exchange_gone = found.send((id, places)).await;
                });
            }
            DirectoryOrder::Publish { aor, busy } => directory.publish(aor, busy),
            DirectoryOrder::Withdraw { aor } => directory.withdraw(aor),
            DirectoryOrder::Missed { aor } => directory.missed(aor),
        }
    }

    fn look_up(&mut self, now: Time, id: sip::LookupId, uri: sip::Uri) {
        if self.lookups >= LOOKUPS {
            self.exchange.handle_resolved(now, id, Vec::new());
            return;
        }
        self.lookups += 1;
        let (resolver, resolved, clock) = (self.resolver.clone(), self.resolved.clone(), self.clock);
        let rng = self.rng.fork();
        tokio::spawn(async move {
            let destinations = super::lookup::locate(&resolver, &uri, clock, rng).await;
            let _exchange_gone = resolved.send((id, destinations)).await;
        });
    }
}
