//! What the exchange shows of itself: copies, made on request and bounded.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use base::{CallId, LegId, Time};
use call::CallState;

use super::book::{Counters, Party, TrunkBook};
use super::trunks::{GatewayBook, Trunk};
use super::{Exchange, Kind, RoomInfo};

/// Bans shown at most.
const BANS: usize = 1_000;

/// What is asked for, with the most that is to be shown of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Calls.
    pub calls: usize,
    /// Only this call.
    pub call: Option<CallId>,
    /// Registered users.
    pub users: usize,
    /// Rooms with their members.
    pub rooms: usize,
}

/// The rooms in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoomSums {
    /// Rooms.
    pub rooms: usize,
    /// Who is in them and may speak.
    pub members: usize,
    /// Who is in them and only hears.
    pub listeners: usize,
    /// Who speaks now.
    pub talkers: usize,
    /// Rooms that are recorded.
    pub recorded: usize,
}

/// One leg of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct LegView {
    /// Its id, as in the log.
    pub leg: LegId,
    /// Who it is.
    pub party: Party,
    /// Whether it is the caller.
    pub caller: bool,
    /// Its media halves, by which shards know it.
    pub halves: Vec<LegId>,
}

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallView {
    /// Its id, as in the log.
    pub call: CallId,
    /// `dialling`, `ringing` or `up`.
    pub state: &'static str,
    /// What was dialled.
    pub dialled: String,
    /// When it began.
    pub began: Time,
    /// When it was answered.
    pub answered: Option<Time>,
    /// Its legs; the caller first.
    pub legs: Vec<LegView>,
}

/// One contact under which a user is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct ContactView {
    /// Its URI; `client:` and the session for a client that is logged in.
    pub uri: String,
    /// Where its requests come from.
    pub remote: Option<SocketAddr>,
    /// `UDP`, `TCP` …
    pub transport: Option<&'static str>,
    /// Seconds until it ends; 0 for a client, which stays as long as its connection.
    pub expires: u32,
    /// The program behind it, as it says.
    pub user_agent: Option<String>,
}

/// One user: a local account, or an address of record that somebody registered.
#[derive(Clone, Debug, PartialEq)]
pub struct UserView {
    /// `user@domain`.
    pub aor: String,
    /// Whether it has a `[[user]]` entry.
    pub account: bool,
    /// Where it is reached now.
    pub contacts: Vec<ContactView>,
}

/// One trunk.
#[derive(Clone, Debug, PartialEq)]
pub struct TrunkView {
    /// Its name.
    pub name: String,
    /// Its server.
    pub uri: String,
    /// Whether it is registered with.
    pub registers: bool,
    /// How it does.
    pub book: TrunkBook,
    /// Calls on it now.
    pub calls_now: usize,
    /// Its gateways: where each is, and how it does.
    pub gateways: Vec<(String, GatewayBook)>,
}

/// A source of requests, or of logins, that is not served for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct BanView {
    /// Its address; of IPv6 the network.
    pub source: IpAddr,
    /// What it did last.
    pub why: &'static str,
    /// Until when.
    pub until: Time,
    /// How often so far.
    pub times: u32,
    /// Requests of it that were dropped.
    pub dropped: u64,
}

/// What the exchange shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// When it was made.
    pub at: Time,
    /// Nothing new is taken in.
    pub draining: bool,
    /// All calls, whether shown or not.
    pub calls_now: usize,
    /// Calls by state and by the kind of their caller.
    pub by_state: BTreeMap<(&'static str, &'static str), usize>,
    /// Calls, oldest first, as many as were asked for.
    pub calls: Vec<CallView>,
    /// Client sessions.
    pub sessions: usize,
    /// Relayed streams.
    pub streams: usize,
    /// Streams on servers elsewhere: up, being dialled, waiting to be dialled again.
    pub outbound: [usize; 3],
    /// All users with at least one contact.
    pub registered: usize,
    /// Users: accounts first, as many as were asked for.
    pub users: Vec<UserView>,
    /// Trunks, in the order of the configuration.
    pub trunks: Vec<TrunkView>,
    /// Rooms, by name, as many as were asked for.
    pub rooms: Vec<RoomInfo>,
    /// All rooms in figures.
    pub room_sums: RoomSums,
    /// Who is not served for a while, longest first; a thousand at most.
    pub bans: Vec<BanView>,
    /// SIP requests dropped: of banned sources, and above the rate of a source.
    pub dropped: [u64; 2],
    /// SIP transactions under way.
    pub transactions: usize,
    /// Sums since the start.
    pub counters: Counters,
}

impl Exchange {
    /// A copy of what an operator wants to see.
    pub fn snapshot(&self, now: Time, ask: &Ask) -> Snapshot {
        let mut by_state = BTreeMap::new();
        let mut on_trunk: BTreeMap<String, usize> = BTreeMap::new();
        for entry in self.calls.values() {
            let caller = self.book.party_of(entry.call.caller());
            *by_state
                .entry((state(entry.call.state()), caller.kind))
                .or_default() += 1;
            for leg in entry.call.legs() {
                if let Some(trunk) = self.book.party_of(leg).trunk {
                    *on_trunk.entry(trunk).or_default() += 1;
                }
            }
        }
        let one = ask.call.map(|id| self.call_view(id).into_iter().collect());
        let calls = one.unwrap_or_else(|| {
            let first = self.calls.keys().take(ask.calls);
            first.filter_map(|id| self.call_view(*id)).collect()
        });
        let (registered, users) = self.users(now, ask.users);
        let trunks = self.settings.trunks.iter().map(|trunk| TrunkView {
            name: trunk.name.clone(),
            uri: trunk.uri.to_string(),
            registers: trunk.register.is_some(),
            book: self.book.trunks.get(&trunk.name).cloned().unwrap_or_default(),
            calls_now: on_trunk.get(&trunk.name).copied().unwrap_or(0),
            gateways: self.gateway_views(trunk),
        });
        Snapshot {
            at: now,
            draining: self.admission.draining(),
            calls_now: self.calls.len(),
            by_state,
            calls,
            sessions: self.sessions.len(),
            streams: self.live.len(),
            outbound: self.outbound_states(),
            registered,
            users,
            trunks: trunks.collect(),
            rooms: self.rooms().take(ask.rooms).collect(),
            room_sums: self.room_sums(),
            bans: self.ban_views(now),
            dropped: self.sip.dropped(),
            transactions: self.sip.transactions(),
            counters: self.book.counters.clone(),
        }
    }

    fn ban_views(&self, now: Time) -> Vec<BanView> {
        let bans = self.sip.bans(now).into_iter().map(|b| BanView {
            source: b.source,
            why: b.why.label(),
            until: b.until,
            times: b.times,
            dropped: b.dropped,
        });
        let logins = self.guard.waiting(now).map(|(source, until, times)| BanView {
            source,
            why: "wrong_login",
            until,
            times,
            dropped: 0,
        });
        let mut all: Vec<BanView> = bans.chain(logins).collect();
        all.sort_by_key(|b| Reverse(b.until));
        all.truncate(BANS);
        all
    }

    fn gateway_views(&self, trunk: &Trunk) -> Vec<(String, GatewayBook)> {
        let gateways = trunk.gateways.iter().enumerate();
        gateways
            .map(|(place, g)| (g.uri.to_string(), self.trunks.book(&trunk.name, place)))
            .collect()
    }

    fn call_view(&self, id: CallId) -> Option<CallView> {
        let entry = self.calls.get(&id)?;
        let legs = entry.call.legs().map(|leg| LegView {
            leg,
            party: self.book.party_of(leg),
            caller: leg == entry.call.caller(),
            halves: self.halves(leg).all().collect(),
        });
        Some(CallView {
            call: id,
            state: state(entry.call.state()),
            dialled: self.book.dialled(id),
            began: entry.began,
            answered: entry.call.answered_at(),
            legs: legs.collect(),
        })
    }

    /// How many are registered, and the first of all users.
    fn users(&self, now: Time, most: usize) -> (usize, Vec<UserView>) {
        let registered = self.sip.registrations();
        // Clients are reached over their own connections.
        let clients = &self.lines.here;
        let without_phone = |aor: &&String| self.sip.bindings(now, aor).is_empty();
        let only_clients = clients.keys().filter(without_phone).count();
        if most == 0 {
            return (registered.count() + only_clients, Vec::new());
        }
        let domain = self.settings.domains.first().map_or("localhost", String::as_str);
        let mut all: BTreeMap<String, UserView> = BTreeMap::new();
        let blank = |aor: String, account| UserView {
            aor,
            account,
            contacts: Vec::new(),
        };
        for (name, _) in self.settings.users.iter().take(most) {
            let aor = format!("{name}@{domain}");
            all.insert(aor.clone(), blank(aor, true));
        }
        let mut count = 0;
        for aor in registered {
            count += 1;
            if all.len() >= most && !all.contains_key(aor) {
                continue;
            }
            let user = all
                .entry(aor.to_owned())
                .or_insert_with(|| blank(aor.to_owned(), false));
            user.contacts = self
                .sip
                .bindings(now, aor)
                .into_iter()
                .map(|b| ContactView {
                    uri: b.target.to_string(),
                    remote: b.flow.map(|f| f.remote),
                    transport: b.flow.map(|f| f.transport.via()),
                    expires: b.expires,
                    user_agent: b.user_agent,
                })
                .collect();
        }
        for (aor, list) in clients {
            if all.len() >= most && !all.contains_key(aor) {
                continue;
            }
            let user = all
                .entry(aor.clone())
                .or_insert_with(|| blank(aor.clone(), false));
            user.contacts.extend(list.iter().map(|(session, _)| ContactView {
                uri: format!("client:{session}"),
                remote: self.sessions.get(session).map(|s| s.peer),
                transport: None,
                expires: 0,
                user_agent: None,
            }));
        }
        let mut users: Vec<UserView> = all.into_values().collect();
        users.sort_by_key(|u| !u.account);
        (count + only_clients, users)
    }
}

/// The name of a call's state.
fn state(state: CallState) -> &'static str {
    match state {
        CallState::Dialling => "dialling",
        CallState::Ringing => "ringing",
        CallState::Up => "up",
        CallState::Ended => "ended",
    }
}

/// What a leg is, in a word.
pub(super) fn kind(kind: &Kind) -> &'static str {
    match kind {
        Kind::Sip(_) | Kind::Sought => "sip",
        Kind::Stream(_) => "stream",
        Kind::Line(_) => "line",
        Kind::Echo => "echo",
        Kind::Tone => "tone",
        Kind::Live(_) => "live",
        Kind::Outbound(_) => "rtmp",
        Kind::Room(_) => "room",
        Kind::Transfer(_) | Kind::Parked => "transfer",
    }
}
