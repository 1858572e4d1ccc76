//! The task: the swarm, what is asked of it, and what it does by itself.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use libp2p::kad::store::RecordStore as _;
use libp2p::kad::{self, GetRecordOk, InboundRequest, QueryId, QueryResult, Quorum, RecordKey};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::SwarmEvent;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId, Swarm, identify};
use overlay::{Key, Refusal, Stored, Trust, Wall};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::address::{self, Place};
use crate::budget::Budgets;
use crate::peers::GoodPeers;
use crate::swarm::{self, Behaviour, BehaviourEvent, KAD};
use crate::{Config, Error, Got, Hop, Look, PeerInfo, Request, StartError};

/// Replicas that are enough to answer a lookup: one of them hides or is behind, the others tell.
const REPLICAS: usize = 3;
/// How long further replicas are waited for once there is one.
const FURTHER: Duration = Duration::from_millis(250);
/// Requests under way.
const UNDER_WAY: usize = 1_024;
/// Addresses taken from one peer.
const ADDRESSES: usize = 8;
/// How soon a peer without any other tries to join again.
const ALONE: Duration = Duration::from_secs(5);
/// How often the neighbourhood is looked over, give or take a quarter.
const REFRESH: Duration = Duration::from_secs(600);
/// How often what has run out is dropped and good peers are written down.
const HOUSEKEEPING: Duration = Duration::from_secs(20);
/// Agent names and round trips remembered.
const KNOWN: usize = 4_096;

/// A query under way.
enum Query {
    Get {
        answer: oneshot::Sender<Result<Got, Error>>,
        began: Instant,
        got: Got,
        /// When it is ended, once it has found something.
        until: Option<Instant>,
    },
    Put(oneshot::Sender<Result<usize, Error>>),
    /// Of our own: nobody waits for it.
    Own,
}

/// What is known of another peer besides where it is.
#[derive(Clone, Debug, Default)]
struct Known {
    agent: String,
    rtt: Option<Duration>,
    seen_at: Option<IpAddr>,
}

pub(crate) struct Network {
    swarm: Swarm<Behaviour>,
    bootstrap: Vec<String>,
    trust: Trust,
    wall: fn() -> Wall,
    rng: base::Rng,
    queries: HashMap<QueryId, Query>,
    good: GoodPeers,
    known: HashMap<PeerId, Known>,
    budgets: Budgets,
    refused: BTreeMap<Refusal, u64>,
    refresh_at: Instant,
    join_at: Instant,
    keep_house_at: Instant,
}

impl Network {
    pub(crate) async fn open(config: Config) -> Result<Network, StartError> {
        let mut swarm = swarm::build(config.key.seed(), config.agent)?;
        for address in &config.listen {
            for multi in [address::tcp(*address), address::quic(*address)] {
                swarm
                    .listen_on(multi)
                    .map_err(|e| StartError::Listen(*address, e.to_string()))?;
            }
        }
        for address in &config.public {
            swarm.add_external_address(address::tcp(*address));
            swarm.add_external_address(address::quic(*address));
        }
        let now = Instant::now();
        let mut network = Network {
            swarm,
            bootstrap: config.bootstrap,
            trust: config.trust,
            wall: config.wall,
            rng: config.rng,
            queries: HashMap::new(),
            good: GoodPeers::load(config.peers_file),
            known: HashMap::new(),
            budgets: Budgets::default(),
            refused: BTreeMap::new(),
            refresh_at: now,
            join_at: now,
            keep_house_at: now + HOUSEKEEPING,
        };
        network.wait_for_listeners(config.listen.len() * 2).await?;
        network.refresh_at = network.next_refresh();
        Ok(network)
    }

    /// A port in use shows when the listener tells its first address, or closes.
    async fn wait_for_listeners(&mut self, mut wanted: usize) -> Result<(), StartError> {
        let deadline = Instant::now() + Duration::from_secs(2);
        while wanted > 0 {
            let Ok(event) = tokio::time::timeout_at(deadline, self.swarm.select_next_some()).await else {
                return Ok(());
            };
            match event {
                SwarmEvent::NewListenAddr { .. } => wanted -= 1,
                SwarmEvent::ListenerError { error, .. } => {
                    return Err(StartError::Transport(error.to_string()));
                }
                SwarmEvent::ListenerClosed {
                    reason: Err(error), ..
                } => return Err(StartError::Transport(error.to_string())),
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        loop {
            let deadline = self.deadline();
            tokio::select! {
                request = inbox.recv() => match request {
                    None => break,
                    Some(Request::Close(done)) => {
                        self.good.save();
                        let _asker_gone = done.send(());
                        return;
                    }
                    Some(request) => self.take(request),
                },
                event = self.swarm.select_next_some() => self.happened(event),
                () = tokio::time::sleep_until(deadline) => {}
            }
            self.do_what_is_due().await;
        }
        self.good.save();
    }

    fn deadline(&self) -> Instant {
        let ends = self.queries.values().filter_map(|q| match q {
            Query::Get { until, .. } => *until,
            _ => None,
        });
        let own = self.refresh_at.min(self.join_at).min(self.keep_house_at);
        ends.min().map_or(own, |end| end.min(own))
    }

    async fn do_what_is_due(&mut self) {
        let now = Instant::now();
        let over: Vec<QueryId> = self
            .queries
            .iter()
            .filter(|(_, q)| matches!(q, Query::Get { until: Some(at), .. } if *at <= now))
            .map(|(id, _)| *id)
            .collect();
        over.into_iter().for_each(|id| self.end_get(id));
        if now >= self.join_at {
            self.join().await;
        }
        if now >= self.refresh_at {
            self.refresh_at = self.next_refresh();
            let own = *self.swarm.local_peer_id();
            let query = self.swarm.behaviour_mut().kad.get_closest_peers(own);
            self.queries.insert(query, Query::Own);
        }
        if now >= self.keep_house_at {
            self.keep_house_at = now + HOUSEKEEPING;
            self.keep_house();
        }
    }

    fn next_refresh(&mut self) -> Instant {
        let ms = u64::try_from(REFRESH.as_millis()).unwrap_or(u64::MAX);
        Instant::now() + Duration::from_millis(ms * 3 / 4 + self.rng.below(ms / 2))
    }

    fn keep_house(&mut self) {
        let now = Instant::now().into_std();
        let store = self.swarm.behaviour_mut().kad.store_mut();
        store.retain(|_, record| !record.is_expired(now));
        for peer in self.budgets.pardoned((self.wall)()) {
            self.swarm.behaviour_mut().banned.unblock_peer(peer);
        }
        if self.known.len() > KNOWN {
            let table = self.table();
            self.known.retain(|peer, _| table.contains(peer));
        }
        self.good.save();
    }

    fn table(&mut self) -> HashSet<PeerId> {
        let kad = &mut self.swarm.behaviour_mut().kad;
        let buckets = kad.kbuckets();
        buckets
            .flat_map(|b| b.iter().map(|e| *e.node.key.preimage()).collect::<Vec<_>>())
            .collect()
    }

    /// Asks the configured addresses and the good peers, as long as nobody is there.
    async fn join(&mut self) {
        if !self.table().is_empty() {
            // A while later it may be alone again.
            self.join_at = Instant::now() + 4 * ALONE;
            return;
        }
        self.join_at = Instant::now() + ALONE;
        let mut places: Vec<Multiaddr> = Vec::new();
        for text in self.bootstrap.clone() {
            match address::parse(&text) {
                Ok(Place::Multi(multi)) => places.push(multi),
                Ok(Place::Host(host)) => {
                    let found = tokio::time::timeout(ALONE / 2, tokio::net::lookup_host(&host)).await;
                    match found {
                        Ok(Ok(found)) => {
                            for socket in found.take(ADDRESSES) {
                                places.extend([address::tcp(socket), address::quic(socket)]);
                            }
                        }
                        Ok(Err(error)) => {
                            tracing::debug!(host, %error, "a bootstrap peer's name is not known")
                        }
                        Err(_) => tracing::debug!(host, "a bootstrap peer's name is not found in time"),
                    }
                }
                Err(error) => tracing::warn!(address = text, %error, "not the address of a bootstrap peer"),
            }
        }
        for place in places {
            let dial = match place.iter().last() {
                Some(Protocol::P2p(peer)) => DialOpts::peer_id(peer)
                    .condition(PeerCondition::DisconnectedAndNotDialing)
                    .addresses(vec![place])
                    .build(),
                _ => DialOpts::unknown_peer_id().address(place).build(),
            };
            // It is tried again as long as nobody is there.
            let _refused = self.swarm.dial(dial);
        }
        let own = *self.swarm.local_peer_id();
        for (peer, place) in self.good.addresses() {
            if peer == own {
                continue;
            }
            let dial = DialOpts::peer_id(peer)
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .addresses(vec![place])
                .build();
            let _refused = self.swarm.dial(dial);
        }
    }

    fn take(&mut self, request: Request) {
        if self.queries.len() >= UNDER_WAY {
            match request {
                Request::Put(.., answer) => {
                    let _asker_gone = answer.send(Err(Error::Busy));
                    return;
                }
                Request::Get(_, answer) => {
                    let _asker_gone = answer.send(Err(Error::Busy));
                    return;
                }
                _ => {}
            }
        }
        match request {
            Request::Put(key, record, answer) => self.put(&key, &record, answer),
            Request::Get(key, answer) => {
                let query = self.swarm.behaviour_mut().kad.get_record(record_key(&key));
                let get = Query::Get {
                    answer,
                    began: Instant::now(),
                    got: Got::default(),
                    until: None,
                };
                self.queries.insert(query, get);
            }
            Request::Look(answer) => {
                let look = self.look();
                let _asker_gone = answer.send(look);
            }
            Request::Revoke(list) => {
                if let Err(refusal) = self.trust.revoke(&list, (self.wall)())
                    && refusal != Refusal::Stale
                {
                    self.count(refusal);
                }
            }
            Request::Close(_) => {}
        }
    }

    fn put(&mut self, key: &Key, record: &[u8], answer: oneshot::Sender<Result<usize, Error>>) {
        let merged = match self.merge(key, record, None) {
            Ok(merged) => merged,
            Err(error) => {
                let _asker_gone = answer.send(Err(error));
                return;
            }
        };
        let kad = &mut self.swarm.behaviour_mut().kad;
        match kad.put_record(merged, Quorum::One) {
            Ok(query) => {
                self.queries.insert(query, Query::Put(answer));
            }
            Err(_) => {
                let _asker_gone = answer.send(Err(Error::Full));
            }
        }
    }

    /// What is to be stored when `record` comes to what is here: it is judged, and merged.
    fn merge(&mut self, key: &Key, record: &[u8], from: Option<PeerId>) -> Result<kad::Record, Error> {
        let wall = (self.wall)();
        let at = record_key(key);
        let store = self.swarm.behaviour_mut().kad.store_mut();
        let existing = store.get(&at).map(|r| r.value.clone());
        let (value, until) = match self.trust.store(key, existing.as_deref(), record, wall)? {
            Stored::Keep(value, until) => (value, until),
            // It goes to the others all the same: they may not have it.
            Stored::Same => {
                let value = existing.unwrap_or_default();
                let until = overlay::Record::parse(&value).map_or(wall, |r| r.expires());
                (value, until)
            }
        };
        let left = Duration::from_millis(until.saturating_sub(wall).saturating_add(overlay::SLACK));
        Ok(kad::Record {
            key: at,
            value,
            publisher: from,
            expires: Some((Instant::now() + left).into_std()),
        })
    }

    fn happened(&mut self, event: SwarmEvent<crate::swarm::BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Kad(event)) => self.kad(event),
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
                peer_id,
                info,
                ..
            })) => self.identified(peer_id, info),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping)) => {
                if let Ok(rtt) = ping.result {
                    self.known.entry(ping.peer).or_default().rtt = Some(rtt);
                }
            }
            SwarmEvent::ConnectionEstablished {
                peer_id, endpoint, ..
            } => {
                let seen_at = address::ip(endpoint.get_remote_address());
                self.known.entry(peer_id).or_default().seen_at = seen_at;
            }
            SwarmEvent::OutgoingConnectionError {
                peer_id: Some(peer),
                error,
                ..
            } => {
                tracing::debug!(%peer, %error, "a peer cannot be reached");
            }
            SwarmEvent::NewListenAddr { address, .. } => tracing::info!(%address, "the overlay on"),
            _ => {}
        }
    }

    /// A peer has said who it is: if it belongs to this network it is listed, under its useful addresses.
    fn identified(&mut self, peer: PeerId, info: identify::Info) {
        let known = self.known.entry(peer).or_default();
        known.agent = info
            .agent_version
            .chars()
            .filter(|c| !c.is_control())
            .take(64)
            .collect();
        let seen_at = known.seen_at;
        if !info.protocols.contains(&KAD) {
            return;
        }
        let addresses: Vec<Multiaddr> = info
            .listen_addrs
            .into_iter()
            .filter(|a| address::is_useful(a, seen_at))
            .take(ADDRESSES)
            .collect();
        let first = self.table().is_empty();
        let kad = &mut self.swarm.behaviour_mut().kad;
        for address in &addresses {
            kad.add_address(&peer, address.clone());
        }
        self.good.seen(peer, addresses);
        self.good.save_while_few();
        if first && let Ok(query) = self.swarm.behaviour_mut().kad.bootstrap() {
            tracing::info!(%peer, "joined the overlay");
            self.queries.insert(query, Query::Own);
        }
    }

    fn kad(&mut self, event: kad::Event) {
        match event {
            kad::Event::InboundRequest { request } => self.asked(request),
            kad::Event::OutboundQueryProgressed {
                id,
                result,
                stats,
                step,
            } => self.progress(id, result, stats.num_requests(), step.last),
            _ => {}
        }
    }

    /// Another peer wants something stored.
    fn asked(&mut self, request: InboundRequest) {
        let InboundRequest::PutRecord {
            source,
            record: Some(record),
            ..
        } = request
        else {
            // Providers are not used, lookups are answered by the engine.
            return;
        };
        let wall = (self.wall)();
        if !self.budgets.take(source, wall) {
            return self.ban(source, "it stores too much");
        }
        let Some(key) = Key::from_slice(record.key.as_ref()) else {
            return self.suspect(source, Refusal::WrongKey);
        };
        match self.merge(&key, &record.value, Some(source)) {
            Ok(merged) => {
                let store = self.swarm.behaviour_mut().kad.store_mut();
                if store.put(merged).is_err() {
                    tracing::warn!("there is no room for more records of other peers");
                }
            }
            Err(Error::Refused(refusal)) => self.suspect(source, refusal),
            Err(_) => {}
        }
    }

    fn count(&mut self, refusal: Refusal) {
        *self.refused.entry(refusal).or_default() += 1;
    }

    fn suspect(&mut self, peer: PeerId, refusal: Refusal) {
        self.count(refusal);
        tracing::debug!(%peer, reason = refusal.label(), "a record is not stored");
        let wall = (self.wall)();
        if !refusal.may_be_honest() && !self.budgets.forged(peer, wall) {
            self.ban(peer, "it sends records that are not its own");
        }
    }

    fn ban(&mut self, peer: PeerId, why: &str) {
        tracing::warn!(%peer, why, "a peer is cut off for ten minutes");
        self.budgets.ban(peer, (self.wall)());
        let behaviour = self.swarm.behaviour_mut();
        behaviour.banned.block_peer(peer);
        behaviour.kad.remove_peer(&peer);
    }

    fn progress(&mut self, id: QueryId, result: QueryResult, requests: u32, last: bool) {
        match result {
            QueryResult::GetRecord(result) => {
                let Some(Query::Get {
                    began, got, until, ..
                }) = self.queries.get_mut(&id)
                else {
                    return;
                };
                got.requests = requests;
                let now = Instant::now();
                match result {
                    Ok(GetRecordOk::FoundRecord(found)) => {
                        got.records.push(found.record.value);
                        if let Some(peer) = found.peer {
                            got.hops.push(Hop {
                                peer: peer.to_string(),
                                had_record: true,
                                after: now - *began,
                            });
                        }
                        until.get_or_insert(now + FURTHER);
                        // The one of our own is not one of the replicas.
                        if got.hops.len() >= REPLICAS {
                            return self.end_get(id);
                        }
                    }
                    Ok(GetRecordOk::FinishedWithNoAdditionalRecord { cache_candidates }) => {
                        let without = cache_candidates.into_values();
                        got.hops.extend(without.map(|peer| none(peer, now - *began)));
                    }
                    Err(kad::GetRecordError::NotFound { closest_peers, .. }) => {
                        let without = closest_peers.into_iter();
                        got.hops.extend(without.map(|peer| none(peer, now - *began)));
                    }
                    Err(_) => {}
                }
                if last {
                    self.end_get(id);
                }
            }
            QueryResult::PutRecord(result) if last => {
                let done = match result {
                    Ok(_) => Ok(1),
                    Err(kad::PutRecordError::QuorumFailed { success, .. }) => Ok(success.len()),
                    Err(kad::PutRecordError::Timeout { success, .. }) if !success.is_empty() => {
                        Ok(success.len())
                    }
                    Err(_) => Err(Error::Unanswered),
                };
                if let Some(Query::Put(answer)) = self.queries.remove(&id) {
                    let _asker_gone = answer.send(done);
                }
            }
            _ if last => {
                self.queries.remove(&id);
            }
            _ => {}
        }
    }

    /// A lookup has found enough, or ends.
    fn end_get(&mut self, id: QueryId) {
        if let Some(mut query) = self.swarm.behaviour_mut().kad.query_mut(&id) {
            query.finish();
        }
        if let Some(Query::Get { answer, got, .. }) = self.queries.remove(&id) {
            let _asker_gone = answer.send(Ok(got));
        }
    }

    fn look(&mut self) -> Look {
        let own = kad::KBucketKey::from(*self.swarm.local_peer_id());
        let connected: HashSet<PeerId> = self.swarm.connected_peers().copied().collect();
        let listening = self.swarm.listeners().map(ToString::to_string).collect();
        let kad = &mut self.swarm.behaviour_mut().kad;
        let stored = kad.store_mut().records().count();
        let mut peers: Vec<PeerInfo> = Vec::new();
        for bucket in kad.kbuckets() {
            for entry in bucket.iter() {
                let peer = *entry.node.key.preimage();
                let known = self.known.get(&peer).cloned().unwrap_or_default();
                let distance = own.distance(entry.node.key);
                peers.push(PeerInfo {
                    peer: peer.to_string(),
                    addresses: entry.node.value.iter().map(ToString::to_string).collect(),
                    connected: connected.contains(&peer),
                    rtt: known.rtt,
                    bucket: 255 - distance.ilog2().unwrap_or(0),
                    agent: known.agent,
                });
            }
        }
        peers.sort_by_key(|peer| std::cmp::Reverse(peer.bucket));
        Look {
            listening,
            peers,
            stored,
            refused: self.refused.iter().map(|(r, n)| (*r, *n)).collect(),
            banned: self.budgets.banned(),
        }
    }
}

fn none(peer: PeerId, after: Duration) -> Hop {
    Hop {
        peer: peer.to_string(),
        had_record: false,
        after,
    }
}

fn record_key(key: &Key) -> RecordKey {
    RecordKey::new(key.bytes())
}
