//! Trunks: to which gateway of which trunk a call goes, which gateways are there, and which calls are a trunk's.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use base::{CallId, EndReason, LegId, Time, earliest};
use call::{CallState, LegEvent, NumberForm, Outcome, Target, Wish};
use sip::{HeaderName, NameAddr, Network, RequestHandle, Scheme, Source, Uri};

use super::book::Try;
use super::dial::{Callee, Callees, SipCallee};
use super::{Due, Exchange, Kind, Leg};
use crate::config::Pattern;

/// How long the answer to OPTIONS is waited for, unless the next question comes before.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// The longest Retry-After that is heeded.
const LONGEST_REST: Duration = Duration::from_secs(300);
/// The port of SIP.
const DEFAULT_PORT: u16 = 5060;
/// Addresses learned of one trunk.
const LEARNED: usize = 16;

/// A SIP provider or server that the gateway registers with and calls through.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// Its name in routes and logs.
    pub name: String,
    /// Its server, as a SIP URI without a user.
    pub uri: Uri,
    /// Our address of record there.
    pub aor: Uri,
    /// What its challenges are answered with.
    pub credentials: Option<sip::auth::Credentials>,
    /// The registration lifetime to ask for, when the gateway registers there.
    pub register: Option<Duration>,
    /// Where its calls go: at least one.
    pub gateways: Vec<GatewaySettings>,
    /// How often gateways are asked whether they are there.
    pub probe: Option<Duration>,
    /// Questions without answer that make a gateway down.
    pub probe_failures: u8,
    /// The longest without any answer to an INVITE.
    pub answer_within: Duration,
    /// The longest with 100 alone.
    pub ring_within: Duration,
    /// How long a gateway that was not reached rests.
    pub rest: Duration,
    /// Statuses for which the next gateway is tried.
    pub fail_over: Vec<u16>,
    /// From where its calls come in without a password.
    pub from: Vec<Network>,
    /// The user name with which its calls come in from elsewhere.
    pub inbound_user: Option<String>,
    /// The number called by it, and what that leads to.
    pub inbound: Vec<(Pattern, String)>,
    /// In which form it wants numbers.
    pub numbers: NumberForm,
    /// Whether the caller's own number stands in From.
    pub shows_caller: bool,
    /// The header field for the caller's identity.
    pub asserted: Option<HeaderName>,
    /// Whether its P-Asserted-Identity is believed.
    pub trusted: bool,
    /// Whether its callers hear the ringing in their audio.
    pub ringback: bool,
}

/// One gateway of a trunk.
#[derive(Clone, Debug)]
pub struct GatewaySettings {
    /// Where it is.
    pub uri: Uri,
    /// Lower ones go first.
    pub priority: u16,
    /// Its share among those of one priority.
    pub weight: u16,
}

/// A call to go out by a trunk, whose gateway is chosen when its turn comes.
#[derive(Clone, Debug)]
pub(super) struct TrunkCallee {
    pub(super) trunk: String,
    /// The number, as the route leaves it.
    pub(super) number: String,
    /// What the route says is shown as the caller.
    pub(super) caller_id: Option<String>,
    /// The user who calls, and pays.
    pub(super) user: String,
    /// No limit stands before it.
    pub(super) emergency: bool,
}

/// How a gateway does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GatewayBook {
    /// Whether it is there; `None` before anything is known.
    pub up: Option<bool>,
    /// Since when.
    pub since: Option<Time>,
    /// The status of its last answer to OPTIONS, or 408.
    pub status: Option<u16>,
    /// How long that answer took.
    pub rtt: Option<Duration>,
    /// Calls sent to it.
    pub calls: u64,
    /// Those for which the next was tried.
    pub failed: u64,
}

#[derive(Debug, Default)]
pub(super) struct Gateway {
    pub(super) book: GatewayBook,
    /// Questions in a row without an answer.
    pub(super) misses: u8,
    rests_until: Option<Time>,
    /// The question under way, and when it was put.
    pub(super) asked: Option<(RequestHandle, Time)>,
    pub(super) next_probe: Option<Time>,
    /// What it is owed of the calls, in weights.
    credit: i64,
}

impl Gateway {
    fn is_down(&self, now: Time, probed: bool) -> bool {
        self.book.up == Some(false) && (probed || self.rests_until.is_some_and(|until| until > now))
    }

    /// Whether that is news.
    pub(super) fn set(&mut self, now: Time, up: bool) -> bool {
        let news = self.book.up != Some(up);
        if news {
            self.book.since = Some(now);
        }
        self.book.up = Some(up);
        news && (!up || self.book.calls + u64::from(self.misses) > 0)
    }
}

/// A gateway: its trunk, and its place there.
type Key = (String, usize);

/// What is known of the trunks.
#[derive(Debug, Default)]
pub(super) struct Trunks {
    pub(super) gateways: BTreeMap<Key, Gateway>,
    /// Addresses that answered our registrations and questions.
    learned: BTreeMap<String, Vec<SocketAddr>>,
    /// The ways that registrars gave us (RFC 3608).
    routes: BTreeMap<String, Vec<Uri>>,
}

impl Trunks {
    /// Forgets trunks, and begins to ask those that are to be asked.
    pub(super) fn renew(&mut self, now: Time, trunks: &[Trunk], changed: impl Fn(&str) -> bool) {
        self.gateways.retain(|(name, _), _| !changed(name));
        self.learned.retain(|name, _| !changed(name));
        self.routes.retain(|name, _| !changed(name));
        for trunk in trunks {
            for place in 0..trunk.gateways.len() {
                let gateway = self.gateways.entry((trunk.name.clone(), place)).or_default();
                if trunk.probe.is_some() && gateway.next_probe.is_none() {
                    gateway.next_probe = Some(now);
                }
            }
        }
    }

    /// Nobody is asked any more: the gateway stops.
    pub(super) fn stop(&mut self) {
        for gateway in self.gateways.values_mut() {
            gateway.next_probe = None;
            gateway.asked = None;
        }
    }

    /// How a gateway does.
    pub(super) fn book(&self, trunk: &str, place: usize) -> GatewayBook {
        let gateway = self.gateways.get(&(trunk.to_owned(), place));
        gateway.map(|g| g.book.clone()).unwrap_or_default()
    }

    /// The gateways of a trunk in the order to try them.
    fn order(&mut self, now: Time, trunk: &Trunk) -> Vec<usize> {
        let probed = trunk.probe.is_some();
        let key = |place: usize| (trunk.name.clone(), place);
        let mut places: Vec<usize> = (0..trunk.gateways.len()).collect();
        let of = |place: &usize| trunk.gateways.get(*place);
        let priority = |place: &usize| of(place).map_or(u16::MAX, |g| g.priority);
        let weight = |place: &usize| of(place).map_or(0, |g| i64::from(g.weight));
        let down: Vec<usize> = places
            .iter()
            .filter(|p| {
                self.gateways
                    .get(&key(**p))
                    .is_some_and(|g| g.is_down(now, probed))
            })
            .copied()
            .collect();
        places.sort_by_key(|p| (down.contains(p), priority(p), Reverse(weight(p)), *p));
        // Of those that stand first alike, the one that is owed most goes first.
        let Some(best) = places.first().copied() else {
            return places;
        };
        let alike: Vec<usize> = places
            .iter()
            .filter(|p| priority(p) == priority(&best) && down.contains(p) == down.contains(&best))
            .copied()
            .collect();
        let sum: i64 = alike.iter().map(weight).sum();
        for place in &alike {
            if let Some(gateway) = self.gateways.get_mut(&key(*place)) {
                gateway.credit += weight(place);
            }
        }
        let credit = |p: &usize| self.gateways.get(&key(*p)).map_or(0, |g| g.credit);
        let owed = alike
            .iter()
            .filter(|p| weight(p) > 0)
            .max_by_key(|p| (credit(p), Reverse(**p)))
            .copied();
        if let Some(first) = owed {
            if let Some(gateway) = self.gateways.get_mut(&key(first)) {
                gateway.credit -= sum;
            }
            places.retain(|p| *p != first);
            places.insert(0, first);
        }
        places
    }

    /// An address is a trunk's; true when that is new.
    pub(super) fn learn(&mut self, trunk: &str, peer: Option<SocketAddr>) -> bool {
        let Some(peer) = peer else { return false };
        let known = self.learned.entry(trunk.to_owned()).or_default();
        if known.contains(&peer) {
            return false;
        }
        if known.len() >= LEARNED {
            known.remove(0);
        }
        known.push(peer);
        true
    }

    /// Every address and network of a trunk.
    fn networks(&self, trunk: &Trunk) -> Vec<Network> {
        let uris = trunk.gateways.iter().map(|g| &g.uri).chain([&trunk.uri]);
        let numeric = uris.filter_map(|u| u.host().ip());
        let learned = self
            .learned
            .get(&trunk.name)
            .into_iter()
            .flatten()
            .map(SocketAddr::ip);
        let single = numeric.chain(learned).map(Network::from);
        single.chain(trunk.from.iter().copied()).collect()
    }

    /// Whether something comes from a trunk: from one of its networks, or from the very place where it is.
    fn is_of(&self, trunk: &Trunk, source: Source) -> bool {
        let ip = source.remote.ip().to_canonical();
        // What connects to us does so from any port.
        let port = |port: u16| source.transport.is_reliable() || source.remote.port() == port;
        let uris = trunk.gateways.iter().map(|g| &g.uri).chain([&trunk.uri]);
        let mut numeric = uris.filter_map(|u| Some((u.host().ip()?, u.port().unwrap_or(DEFAULT_PORT))));
        let learned = self.learned.get(&trunk.name);
        trunk.from.iter().any(|net| net.contains(ip))
            || numeric.any(|(known, at)| known.to_canonical() == ip && port(at))
            || learned.is_some_and(|l| l.iter().any(|k| k.ip().to_canonical() == ip && port(k.port())))
    }

    /// When the next question is due, or the patience with one ends.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let due = |g: &Gateway| earliest(g.next_probe, g.asked.map(|(_, at)| at + PATIENCE));
        self.gateways.values().filter_map(due).min()
    }
}

impl Exchange {
    /// The addresses of trunks are never banned.
    pub(super) fn trust_trunks(&mut self) {
        let mut guard = self.settings.guard.clone();
        let trunks = self.settings.trunks.iter();
        guard.trusted.extend(trunks.flat_map(|t| self.trunks.networks(t)));
        self.sip.set_guard(guard);
    }

    /// A registrar took our registration.
    pub(super) fn trunk_registered(&mut self, trunk: &str, peer: Option<SocketAddr>, route: Vec<Uri>) {
        self.trunks.routes.insert(trunk.to_owned(), route);
        if self.trunks.learn(trunk, peer) {
            self.trust_trunks();
        }
    }

    /// The trunk from which something comes: with its user name, or from its place. `called` decides between trunks
    /// of one place. A user of ours who is there too is none, and has to show who it is.
    pub(super) fn trunk_of(
        &self,
        source: Source,
        user: Option<&str>,
        from: &NameAddr,
        called: Option<&Uri>,
    ) -> Option<&Trunk> {
        let trunks = &self.settings.trunks;
        if let Some(user) = user {
            return trunks.iter().find(|t| t.inbound_user.as_deref() == Some(user));
        }
        let claims = from.uri.user();
        let claims = claims.is_some_and(|u| self.settings.users.iter().any(|(n, _)| *n == *u));
        if claims && self.is_ours(&from.uri) {
            return None;
        }
        let number = called.and_then(Uri::user);
        let ours = |t: &&Trunk| t.register.is_some() && t.aor.user() == number;
        let mut own = trunks.iter().filter(|t| self.trunks.is_of(t, source));
        let first = own.clone().next();
        own.find(ours).or(first)
    }

    /// Where a call that comes in by a trunk leads: never to a trunk.
    pub(super) fn resolve_inbound(
        &self,
        now: Time,
        trunk: &Trunk,
        target: &Uri,
        to: &Uri,
    ) -> Result<Callees, Outcome> {
        let called = |uri: &Uri| -> Option<String> {
            let text = match uri.scheme() {
                Scheme::Tel => uri.to_string(),
                _ => uri.user()?.into_owned(),
            };
            Some(match Target::parse(&text) {
                Some(Target::Number(number)) => match self.settings.numbering.e164(&number) {
                    Ok(Some(number)) => number,
                    _ => number,
                },
                _ => text,
            })
        };
        // What our registration there brings in is addressed to our Contact; the number stands in To.
        let account = trunk.aor.user().is_some_and(|u| target.user() == Some(u));
        let numbers = if account { [to, target] } else { [target, to] };
        let numbers: Vec<String> = numbers.into_iter().filter_map(called).collect();
        for number in &numbers {
            let fits = |(pattern, to): &(Pattern, String)| pattern.apply(number, Some(to));
            if let Some(found) = trunk.inbound.iter().find_map(fits) {
                return match Target::parse(&found) {
                    Some(target) => self.resolve(now, &target, None),
                    None => Err(Outcome::new(EndReason::NotFound)),
                };
            }
        }
        let first = numbers.first().and_then(|n| Target::parse(n));
        match first {
            // Only what is ours: a trunk does not use us as a relay.
            Some(target)
                if target.is_built_in()
                    || matches!(target, Target::Number(_) | Target::User { domain: None, .. }) =>
            {
                let found = self.resolve(now, &target, None);
                found.map_err(|o| match o.reason {
                    EndReason::Forbidden => Outcome::new(EndReason::NotFound),
                    _ => o,
                })
            }
            _ => Err(Outcome::new(EndReason::NotFound)),
        }
    }

    /// A call goes out by a trunk: to the best of its gateways, with the others behind it in the hunt.
    pub(super) fn ring_trunk(&mut self, now: Time, id: CallId, leg: LegId, callee: TrunkCallee) {
        let settings = self.settings.clone();
        let Some(trunk) = settings.trunks.iter().find(|t| t.name == callee.trunk) else {
            return self.cannot_ring(now, id, leg, Outcome::new(EndReason::NotFound));
        };
        if !callee.emergency {
            let wish = Wish {
                trunk: &trunk.name,
                number: &callee.number,
                caller: &callee.user,
            };
            match self.quotas.enter(now, id, &wish) {
                Ok(longest) => {
                    if let (Some(entry), Some(longest)) = (self.calls.get_mut(&id), longest) {
                        entry.call.shorten(longest);
                    }
                }
                Err(reason) => {
                    tracing::info!(call = %id, trunk = trunk.name, reason = reason.label(), "not over this trunk");
                    let tried = Try {
                        trunk: trunk.name.clone(),
                        gateway: None,
                        status: reason.sip_status(),
                        at: now,
                    };
                    self.book.tried(id, tried);
                    return self.cannot_ring(now, id, leg, Outcome::new(reason));
                }
            }
        }
        let places = self.trunks.order(now, trunk);
        let mut callees = places.into_iter().filter_map(|place| {
            let gateway = trunk.gateways.get(place)?;
            Some(self.by_gateway(trunk, place, gateway, &callee, id))
        });
        let Some(first) = callees.next() else {
            return self.cannot_ring(now, id, leg, Outcome::new(EndReason::NotFound));
        };
        let rest: Vec<Callee> = callees.map(|c| Callee::Sip(Box::new(c))).collect();
        if let Some(entry) = self.calls.get_mut(&id) {
            rest.into_iter().rev().for_each(|c| entry.hunt.push_front(c));
        }
        self.ring_sip(now, id, leg, first);
    }

    /// A callee that cannot even be rung.
    fn cannot_ring(&mut self, now: Time, id: CallId, leg: LegId, outcome: Outcome) {
        let call = Some(id);
        let kind = Kind::Parked;
        self.legs.insert(leg, Leg { call, kind });
        self.leg_event(now, leg, LegEvent::Refused(outcome));
        self.drop_leg(leg);
    }

    fn by_gateway(
        &self,
        trunk: &Trunk,
        place: usize,
        gateway: &GatewaySettings,
        callee: &TrunkCallee,
        id: CallId,
    ) -> SipCallee {
        let number = self.settings.numbering.write(&callee.number, trunk.numbers);
        let mut target = Uri::sip(Some(&number), gateway.uri.host().clone(), gateway.uri.port());
        if gateway.uri.is_secure() {
            target.set_secure();
        }
        if let Some(transport) = gateway.uri.param("transport") {
            target.set_param("transport", Some(transport));
        }
        let private = self.calls.get(&id).is_some_and(|e| e.party.private);
        let (from, headers) = self.shown_to(trunk, callee, private);
        SipCallee {
            route: self.trunks.routes.get(&trunk.name).cloned().unwrap_or_default(),
            credentials: trunk.credentials.clone(),
            trunk: Some(trunk.name.clone()),
            gateway: Some(place),
            number: Some(callee.number.clone()),
            from: Some(from),
            headers,
            ..SipCallee::new(target)
        }
    }

    /// A gateway has been silent for too long, or has said no more than 100.
    pub(super) fn gateway_due(&mut self, now: Time, leg: LegId) {
        let settings = self.settings.clone();
        let Some(Kind::Sip(sip)) = self.legs.get(&leg).map(|l| &l.kind) else {
            return;
        };
        let (handle, begun, rang) = (sip.handle, sip.begun, sip.rang);
        let trunk = sip.callee.as_ref().and_then(|c| c.trunk.as_ref());
        let trunk = settings.trunks.iter().find(|t| Some(&t.name) == trunk);
        let entry = self
            .legs
            .get(&leg)
            .and_then(|l| l.call)
            .and_then(|c| self.calls.get(&c));
        let (Some(trunk), Some(handle), Some(begun), Some(entry)) = (trunk, handle, begun, entry) else {
            return;
        };
        // Where there is no other way, this one is waited for.
        if rang || entry.hunt.is_empty() || entry.call.state() == CallState::Up {
            return;
        }
        let last = begun + trunk.ring_within;
        if self.sip.was_heard(handle) && now < last {
            self.deadlines.push(Reverse((last, Due::Gateway(leg))));
            return;
        }
        self.by_handle.remove(&handle);
        let _gone = self.sip.hang_up(now, handle, EndReason::TimedOut);
        self.leg_event(now, leg, LegEvent::Refused(Outcome::new(EndReason::TimedOut)));
        self.drop_leg(leg);
    }

    /// Whether the next gateway or trunk is to be tried after a callee's refusal. The callee's own word, busy or no
    /// such number, is no reason.
    pub(super) fn is_carriers_fault(&mut self, now: Time, leg: LegId, outcome: &Outcome) -> bool {
        let settings = self.settings.clone();
        let sip = match self.legs.get(&leg).map(|l| &l.kind) {
            Some(Kind::Sip(sip)) => sip,
            // It was not even rung: a limit of its trunk.
            Some(Kind::Parked) => return true,
            _ => return matches!(outcome.status, 408 | 430 | 500..=599),
        };
        let (cause, retry_after) = (sip.cause, sip.retry_after);
        let callee = sip.callee.as_ref();
        let found = callee.and_then(|c| Some((c.trunk.clone()?, c.gateway?)));
        let Some((name, place)) = found else {
            return matches!(outcome.status, 408 | 430 | 500..=599);
        };
        let Some(trunk) = settings.trunks.iter().find(|t| t.name == name) else {
            return matches!(outcome.status, 408 | 430 | 500..=599);
        };
        // A cause says more than the status that it was translated to (Q.850: no route, network out of order,
        // temporary failure, congestion, no circuit).
        let network = matches!(cause, Some(2 | 3 | 27 | 34 | 38 | 41 | 42 | 44 | 47));
        let fault = trunk.fail_over.contains(&outcome.status) || network;
        let gone = matches!(outcome.status, 408 | 503) && !network;
        if let (true, Some(call)) = (fault, self.legs.get(&leg).and_then(|l| l.call)) {
            let tried = Try {
                trunk: name.clone(),
                gateway: trunk.gateways.get(place).map(|g| g.uri.to_string()),
                status: outcome.status,
                at: now,
            };
            self.book.tried(call, tried);
        }
        if let Some(gateway) = self.trunks.gateways.get_mut(&(name, place)) {
            gateway.book.failed += u64::from(fault);
            if gone && fault {
                let rest = retry_after.map_or(trunk.rest, |s| Duration::from_secs(u64::from(s)));
                gateway.rests_until = Some(now + rest.min(LONGEST_REST));
                if gateway.set(now, false) {
                    tracing::warn!(
                        trunk = trunk.name,
                        place,
                        status = outcome.status,
                        "a gateway of the trunk is down"
                    );
                }
            } else if gateway.set(now, true) {
                tracing::info!(trunk = trunk.name, place, "a gateway of the trunk is up");
            }
        }
        fault
    }

    /// A gateway took a call: it rings there.
    pub(super) fn gateway_rings(&mut self, now: Time, leg: LegId) {
        let Some(Kind::Sip(sip)) = self.legs.get_mut(&leg).map(|l| &mut l.kind) else {
            return;
        };
        if std::mem::replace(&mut sip.rang, true) {
            return;
        }
        let callee = sip.callee.as_ref();
        let Some(key) = callee.and_then(|c| Some((c.trunk.clone()?, c.gateway?))) else {
            return;
        };
        if let Some(gateway) = self.trunks.gateways.get_mut(&key)
            && gateway.set(now, true)
        {
            tracing::info!(trunk = key.0, place = key.1, "a gateway of the trunk is up");
        }
    }

    /// An INVITE goes to a gateway.
    pub(super) fn gateway_called(&mut self, now: Time, leg: LegId) {
        let settings = self.settings.clone();
        let Some(sip) = self.sip_leg(leg) else { return };
        sip.begun = Some(now);
        let callee = sip.callee.as_ref();
        let Some((name, place)) = callee.and_then(|c| Some((c.trunk.clone()?, c.gateway?))) else {
            return;
        };
        if let Some(trunk) = settings.trunks.iter().find(|t| t.name == name) {
            let due = now + trunk.answer_within;
            self.deadlines.push(Reverse((due, Due::Gateway(leg))));
        }
        if let Some(gateway) = self.trunks.gateways.get_mut(&(name, place)) {
            gateway.book.calls += 1;
        }
    }
}
