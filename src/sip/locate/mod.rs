//! Locating servers (RFC 3263, RFC 2782): from a URI to addresses, as a machine that asks and is answered.
//!
//! ```text
//! numeric host ───────────────────────────────────────────────► done
//! port or no DNS service ─────────────────────► A, AAAA ──────► done
//! transport given ──────────────► SRV ────────► A, AAAA ──────► done
//! neither ──────────► NAPTR ────► SRV ────────► A, AAAA ──────► done
//! ```

mod record;

pub use record::{Naptr, Query, Records, Srv};

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base::{Rng, Time};

use crate::error::Error;
use crate::transport::{Destination, Transport};
use crate::uri::{Host, Scheme, Uri};

/// The most SRV names asked for.
const MAX_SERVICES: usize = 8;
/// The most host names asked for.
const MAX_TARGETS: usize = 16;
/// The most records taken of one answer.
const MAX_RECORDS: usize = 64;
/// The most destinations given.
const MAX_DESTINATIONS: usize = 32;

/// What this side can do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The transports we have, best first: the order tried when DNS has no opinion.
    pub transports: Vec<Transport>,
    /// We have an IPv4 socket.
    pub ipv4: bool,
    /// We have an IPv6 socket.
    pub ipv6: bool,
    /// IPv6 addresses of a host are tried before its IPv4 ones.
    pub prefer_ipv6: bool,
    /// The request is too large for UDP: TCP to the same place is tried before it (RFC 3261 §18.1.1).
    pub large: bool,
    /// How long DNS may take; then what is known is used.
    pub timeout: Duration,
}

impl Default for Options {
    /// UDP and TCP over both families, IPv4 first, five seconds.
    fn default() -> Options {
        Options {
            transports: vec![Transport::Udp, Transport::Tcp],
            ipv4: true,
            ipv6: true,
            prefer_ipv6: false,
            large: false,
            timeout: Duration::from_secs(5),
        }
    }
}

/// One search for the servers of a URI. Poll [`Locate::poll_query`] until it is empty, after construction and
/// after each answer; then [`Locate::poll_result`].
#[derive(Debug)]
pub struct Locate {
    options: Options,
    rng: Rng,
    secure: bool,
    /// The domain.
    name: String,
    port: Option<u16>,
    /// The transport without any better knowledge.
    fallback: Transport,
    stage: Stage,
    /// Questions to be asked.
    queries: VecDeque<(u32, Query)>,
    next_id: u32,
    deadline: Time,
}

#[derive(Debug)]
enum Stage {
    Naptr(u32),
    Srv(Vec<Service>),
    Hosts(Vec<Target>),
    Done(Option<Result<Vec<Destination>, Error>>),
}

/// An SRV name, in order of preference.
#[derive(Debug)]
struct Service {
    id: u32,
    transport: Transport,
    /// `None` while waiting.
    records: Option<Vec<Srv>>,
}

/// A host and port, in order of preference.
#[derive(Debug)]
struct Target {
    transport: Transport,
    host: String,
    port: u16,
    v4: Lookup,
    v6: Lookup,
}

#[derive(Debug)]
enum Lookup {
    Off,
    Waiting(u32),
    Found(Vec<IpAddr>),
}

impl Lookup {
    const fn id(&self) -> Option<u32> {
        match self {
            Lookup::Waiting(id) => Some(*id),
            Lookup::Off | Lookup::Found(_) => None,
        }
    }

    fn answer(&mut self, id: u32, found: &[IpAddr]) {
        if self.id() == Some(id) {
            *self = Lookup::Found(found.to_vec());
        }
    }

    fn found(&self) -> &[IpAddr] {
        match self {
            Lookup::Found(list) => list,
            Lookup::Off | Lookup::Waiting(_) => &[],
        }
    }
}

impl Locate {
    /// Begins a search for the next hop's URI. One with a numeric host is done at once.
    ///
    /// # Errors
    /// [`Error::Uri`] when the URI names no server or no transport we have may serve it.
    pub fn new(now: Time, uri: &Uri, options: Options, rng: Rng) -> Result<Locate, Error> {
        let secure = match uri.scheme() {
            Scheme::Sip => false,
            Scheme::Sips => true,
            Scheme::Tel | Scheme::Other(_) => return Err(Error::Uri("a URI without a server")),
        };
        let maddr = uri.param("maddr").and_then(Host::parse);
        let host = maddr.as_ref().unwrap_or(uri.host());
        let given = match uri.param("transport") {
            Some(name) => Some(Transport::parse(name).ok_or(Error::Uri("unknown transport"))?),
            None => None,
        };
        let given = given.map(|t| if secure { secured(t) } else { t });
        let usual = if secure { Transport::Tls } else { Transport::Udp };
        let usable = |t: Transport| options.transports.contains(&t) && (t.is_secure() || !secure);
        let fallback = match given {
            Some(t) => usable(t).then_some(t),
            // Without UDP, what is left is better than nothing.
            None => std::iter::once(usual)
                .chain(options.transports.iter().copied())
                .find(|t| usable(*t)),
        };
        let fallback = fallback.ok_or(Error::Uri("no transport for it"))?;
        let mut locate = Locate {
            deadline: now + options.timeout,
            options,
            rng,
            secure,
            name: host.to_string(),
            port: uri.port(),
            fallback,
            stage: Stage::Done(None),
            queries: VecDeque::new(),
            next_id: 0,
        };
        if let Some(ip) = host.ip() {
            let addr = SocketAddr::new(ip, locate.port.unwrap_or(fallback.default_port()));
            locate.finish(vec![Destination {
                transport: fallback,
                addr,
            }]);
        } else if locate.port.is_some() {
            locate.ask_host_itself();
        } else if given.is_some() {
            let name = service_name(fallback, &locate.name);
            locate.ask_services(vec![(fallback, name)]);
        } else {
            let id = locate.ask(Query::Naptr(locate.name.clone()));
            locate.stage = Stage::Naptr(id);
        }
        Ok(locate)
    }

    /// The next question for DNS, with the id under which to answer it.
    #[must_use]
    pub fn poll_query(&mut self) -> Option<(u32, Query)> {
        self.queries.pop_front()
    }

    /// An answer. One that comes late or that nobody asked for is ignored; records of another kind than asked
    /// for count as none.
    pub fn handle_answer(&mut self, id: u32, records: Records) {
        match &mut self.stage {
            Stage::Naptr(asked) if *asked == id => {
                let services = match records {
                    Records::Naptr(list) => self.services(list),
                    _ => Vec::new(),
                };
                let services = if services.is_empty() {
                    self.usual_services()
                } else {
                    services
                };
                self.ask_services(services);
            }
            Stage::Srv(services) => {
                let waiting = |s: &&mut Service| s.id == id && s.records.is_none();
                if let Some(service) = services.iter_mut().find(waiting) {
                    let mut list = match records {
                        Records::Srv(list) => list,
                        _ => Vec::new(),
                    };
                    list.truncate(MAX_RECORDS);
                    service.records = Some(list);
                }
                self.services_answered();
            }
            Stage::Hosts(targets) => {
                let found = match records {
                    Records::Addresses(mut list) => {
                        list.truncate(MAX_RECORDS);
                        list
                    }
                    _ => Vec::new(),
                };
                for target in targets {
                    target.v4.answer(id, &found);
                    target.v6.answer(id, &found);
                }
                self.hosts_answered(false);
            }
            Stage::Naptr(_) | Stage::Done(_) => {}
        }
    }

    /// When to call [`Locate::handle_timeout`]; `None` when done.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Time> {
        match self.stage {
            Stage::Done(_) => None,
            _ => Some(self.deadline),
        }
    }

    /// Ends the search when its time is over, with what is known by then.
    pub fn handle_timeout(&mut self, now: Time) {
        if now < self.deadline {
            return;
        }
        self.queries.clear();
        match &self.stage {
            // Hosts have no time left to be asked for.
            Stage::Naptr(_) | Stage::Srv(_) => self.finish(Vec::new()),
            Stage::Hosts(_) => self.hosts_answered(true),
            Stage::Done(_) => {}
        }
    }

    /// The outcome, once: destinations to try in this order, never none.
    ///
    /// # Errors
    /// [`Error::Unlocated`] when there is no address.
    #[must_use]
    pub fn poll_result(&mut self) -> Option<Result<Vec<Destination>, Error>> {
        match &mut self.stage {
            Stage::Done(result) => result.take(),
            _ => None,
        }
    }

    fn ask(&mut self, query: Query) -> u32 {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.queries.push_back((id, query));
        id
    }

    /// The services of NAPTR records that we can use, best first (RFC 3263 §4.1).
    fn services(&self, mut records: Vec<Naptr>) -> Vec<(Transport, String)> {
        records.truncate(MAX_RECORDS);
        records.sort_by_key(|r| (r.order, r.preference));
        records
            .into_iter()
            .filter(|r| r.flags.eq_ignore_ascii_case("s") && !r.replacement.is_empty())
            .filter_map(|r| Some((r.transport()?, r.replacement)))
            .filter(|(t, _)| self.options.transports.contains(t) && (t.is_secure() || !self.secure))
            .take(MAX_SERVICES)
            .collect()
    }

    /// The services of each transport we have, when NAPTR is silent.
    fn usual_services(&self) -> Vec<(Transport, String)> {
        self.options
            .transports
            .iter()
            .filter(|t| t.is_secure() || !self.secure)
            .take(MAX_SERVICES)
            .map(|t| (*t, service_name(*t, &self.name)))
            .collect()
    }

    fn ask_services(&mut self, services: Vec<(Transport, String)>) {
        let services = services
            .into_iter()
            .map(|(transport, name)| Service {
                id: self.ask(Query::Srv(name)),
                transport,
                records: None,
            })
            .collect();
        self.stage = Stage::Srv(services);
        self.services_answered();
    }

    fn services_answered(&mut self) {
        let Stage::Srv(services) = &mut self.stage else {
            return;
        };
        if services.iter().any(|s| s.records.is_none()) {
            return;
        }
        let services = std::mem::take(services);
        let mut any = false;
        let mut targets = Vec::new();
        for service in services {
            let records = service.records.unwrap_or_default();
            any |= !records.is_empty();
            for srv in in_order(records, &mut self.rng) {
                // A lone dot says that the service is decidedly not there (RFC 2782).
                let host = srv.target.trim_end_matches('.');
                if !host.is_empty() {
                    targets.push((service.transport, host.to_owned(), srv.port));
                }
            }
        }
        if any {
            self.ask_hosts(targets);
        } else {
            self.ask_host_itself();
        }
    }

    fn ask_host_itself(&mut self) {
        let port = self.port.unwrap_or(self.fallback.default_port());
        self.ask_hosts(vec![(self.fallback, self.name.clone(), port)]);
    }

    fn ask_hosts(&mut self, mut list: Vec<(Transport, String, u16)>) {
        list.truncate(MAX_TARGETS);
        let mut targets: Vec<Target> = Vec::with_capacity(list.len());
        for (transport, host, port) in list {
            let known = targets.iter().find(|t| t.host.eq_ignore_ascii_case(&host));
            let (v4, v6) = match known {
                Some(t) => (t.v4.id(), t.v6.id()),
                None => {
                    let v4 = self.options.ipv4.then(|| self.ask(Query::A(host.clone())));
                    let v6 = self.options.ipv6.then(|| self.ask(Query::Aaaa(host.clone())));
                    (v4, v6)
                }
            };
            let lookup = |id: Option<u32>| id.map_or(Lookup::Off, Lookup::Waiting);
            targets.push(Target {
                transport,
                host,
                port,
                v4: lookup(v4),
                v6: lookup(v6),
            });
        }
        self.stage = Stage::Hosts(targets);
        self.hosts_answered(false);
    }

    fn hosts_answered(&mut self, late: bool) {
        let Stage::Hosts(targets) = &self.stage else {
            return;
        };
        let waiting = |t: &Target| t.v4.id().is_some() || t.v6.id().is_some();
        if !late && targets.iter().any(waiting) {
            return;
        }
        let mut found = Vec::new();
        for t in targets {
            let (first, second) = match self.options.prefer_ipv6 {
                true => (&t.v6, &t.v4),
                false => (&t.v4, &t.v6),
            };
            found.extend(first.found().iter().chain(second.found()).map(|ip| Destination {
                transport: t.transport,
                addr: SocketAddr::new(*ip, t.port),
            }));
        }
        self.finish(found);
    }

    fn finish(&mut self, found: Vec<Destination>) {
        let mut list: Vec<Destination> = Vec::with_capacity(found.len());
        let mut add = |d: Destination| {
            if list.len() < MAX_DESTINATIONS && !list.contains(&d) {
                list.push(d);
            }
        };
        let over_tcp = self.options.large && self.options.transports.contains(&Transport::Tcp);
        for d in found {
            let usable = match d.addr {
                SocketAddr::V4(_) => self.options.ipv4,
                SocketAddr::V6(_) => self.options.ipv6,
            };
            if !usable {
                continue;
            }
            if over_tcp && d.transport == Transport::Udp {
                add(Destination {
                    transport: Transport::Tcp,
                    ..d
                });
            }
            add(d);
        }
        let result = if list.is_empty() {
            Err(Error::Unlocated)
        } else {
            Ok(list)
        };
        self.stage = Stage::Done(Some(result));
    }
}

/// The transport a sips URI means by a transport parameter: `tcp` is TLS (RFC 3261 §26.2.2).
const fn secured(t: Transport) -> Transport {
    match t {
        Transport::Tcp => Transport::Tls,
        Transport::Ws => Transport::Wss,
        other => other,
    }
}

/// The name under which a service is found (RFC 3263 §4.1, RFC 7118 §5.2).
fn service_name(transport: Transport, domain: &str) -> String {
    let service = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
        Transport::Ws => "_sip._ws",
        Transport::Wss => "_sips._ws",
    };
    format!("{service}.{domain}")
}

/// By priority; within one, drawn by weight (RFC 2782).
fn in_order(mut records: Vec<Srv>, rng: &mut Rng) -> Vec<Srv> {
    // Zero weights first, so that they are drawn but rarely.
    records.sort_by_key(|r| (r.priority, r.weight));
    let mut out = Vec::with_capacity(records.len());
    while let Some(first) = records.first() {
        let priority = first.priority;
        let group = records.iter().take_while(|r| r.priority == priority);
        let total: u64 = group.clone().map(|r| u64::from(r.weight)).sum();
        let draw = rng.below(total + 1);
        let mut sum = 0;
        let chosen = group
            .map(|r| {
                sum += u64::from(r.weight);
                sum
            })
            .position(|sum| sum >= draw);
        out.push(records.remove(chosen.unwrap_or(0)));
    }
    out
}

#[cfg(test)]
mod tests;
