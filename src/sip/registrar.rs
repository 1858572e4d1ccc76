//! The embedded registrar: bindings of addresses of record in memory (RFC 3261 §10.3, RFC 3327).

use std::collections::BTreeMap;
use std::time::Duration;

use base::{ConnId, Time};

use crate::dialog::flow_for;
use crate::endpoint::{Binding, EndpointConfig};
use crate::header::{HeaderName, NameAddr};
use crate::msg::Request;
use crate::transport::Source;
use crate::uri::Uri;

/// Why a REGISTER changed nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rejection {
    /// A Contact is malformed, or `*` stands with others or with a duration.
    Malformed,
    /// Older than what is bound.
    OutOfOrder,
    /// Shorter than allowed; the least is given in seconds.
    TooBrief(u32),
    /// More bindings than one address of record may have.
    TooMany,
    /// More addresses of record than there may be.
    Full,
}

#[derive(Clone, Debug)]
struct Stored {
    contact: NameAddr,
    flow: Option<Source>,
    path: Vec<Uri>,
    q: u16,
    until: Time,
    call_id: String,
    cseq: u32,
    user_agent: Option<String>,
}

/// Bindings by address of record.
#[derive(Debug)]
pub(crate) struct Registrar {
    aors: BTreeMap<String, Vec<Stored>>,
    min: u32,
    max: u32,
    default: u32,
    room: usize,
    per_aor: usize,
}

impl Registrar {
    pub(crate) fn new(config: &EndpointConfig) -> Registrar {
        Registrar {
            aors: BTreeMap::new(),
            min: config.min_expires,
            max: config.max_expires,
            default: config.default_expires,
            room: config.limits.aors,
            per_aor: config.limits.bindings,
        }
    }

    /// Takes a REGISTER for `aor`; says whether the bindings changed other than in time.
    pub(crate) fn register(
        &mut self,
        now: Time,
        aor: &str,
        request: &Request,
        source: Source,
    ) -> Result<bool, Rejection> {
        self.expire(now);
        let call_id = request.headers.call_id().map_err(|_| Rejection::Malformed)?;
        let cseq = request.headers.cseq().map_err(|_| Rejection::Malformed)?.seq;
        let in_order = |s: &Stored| s.call_id != call_id || cseq > s.cseq;
        let old = self.aors.get(aor).cloned().unwrap_or_default();
        if request.headers.contact_star() {
            if request.headers.expires() != Some(0) {
                return Err(Rejection::Malformed);
            }
            if !old.iter().all(in_order) {
                return Err(Rejection::OutOfOrder);
            }
            self.aors.remove(aor);
            return Ok(!old.is_empty());
        }
        let contacts = request.headers.contacts().map_err(|_| Rejection::Malformed)?;
        if contacts.is_empty() {
            // A query.
            return Ok(false);
        }
        let routes = request.headers.list(&HeaderName::Path);
        let path: Option<Vec<Uri>> = routes.map(|p| NameAddr::parse(p).map(|p| p.uri)).collect();
        let path = path.ok_or(Rejection::Malformed)?;
        let direct = path.is_empty() && request.headers.list(&HeaderName::Via).nth(1).is_none();
        let user_agent = request.headers.get(&HeaderName::UserAgent);
        let mut new = old.clone();
        for contact in contacts {
            let expires = self.duration(&contact, request)?;
            let at = new.iter().position(|s| same_contact(&s.contact, &contact));
            let known = at.and_then(|at| new.get(at));
            if known.is_some_and(|s| !in_order(s)) {
                return Err(Rejection::OutOfOrder);
            }
            if let Some(at) = at {
                new.remove(at);
            }
            if expires == 0 {
                continue;
            }
            if new.len() >= self.per_aor {
                return Err(Rejection::TooMany);
            }
            new.push(Stored {
                q: contact.params.get("q").map_or(1000, thousandths),
                contact,
                flow: direct.then_some(source),
                path: path.clone(),
                until: now + Duration::from_secs(u64::from(expires)),
                call_id: call_id.to_owned(),
                cseq,
                user_agent: user_agent.map(str::to_owned),
            });
        }
        new.sort_by_key(|s| std::cmp::Reverse(s.q));
        let view = |list: &[Stored]| -> Vec<String> {
            list.iter()
                .map(|s| format!("{} {:?} {:?} {}", s.contact.uri, s.flow, s.path, s.q))
                .collect()
        };
        let changed = view(&old) != view(&new);
        if new.is_empty() {
            self.aors.remove(aor);
        } else if self.aors.len() >= self.room && !self.aors.contains_key(aor) {
            return Err(Rejection::Full);
        } else {
            self.aors.insert(aor.to_owned(), new);
        }
        Ok(changed)
    }

    /// The duration to grant a contact, in seconds (RFC 3261 §10.2.1.1, §10.3 item 7).
    fn duration(&self, contact: &NameAddr, request: &Request) -> Result<u32, Rejection> {
        let own = contact.params.get("expires").and_then(crate::header::seconds);
        let asked = own.or(request.headers.expires()).unwrap_or(self.default);
        if asked > 0 && asked < self.min {
            return Err(Rejection::TooBrief(self.min));
        }
        Ok(asked.min(self.max))
    }

    /// Every address of record with a binding.
    pub(crate) fn aors(&self) -> impl Iterator<Item = &str> {
        self.aors.keys().map(String::as_str)
    }

    /// What is bound to an address of record, preferred ones first.
    pub(crate) fn bindings(&self, now: Time, aor: &str) -> Vec<Binding> {
        let list = self.aors.get(aor).map_or(&[] as &[Stored], Vec::as_slice);
        list.iter()
            .filter(|s| s.until > now)
            .map(|s| Binding {
                target: s.contact.uri.clone(),
                flow: s.flow,
                path: s.path.clone(),
                q: s.q,
                // Rounded up, so that a fresh binding shows what was granted.
                expires: u32::try_from(s.until.since(now).as_millis().div_ceil(1000)).unwrap_or(u32::MAX),
                user_agent: s.user_agent.clone(),
            })
            .collect()
    }

    /// Removes what has ended; gives the addresses of record concerned.
    pub(crate) fn expire(&mut self, now: Time) -> Vec<String> {
        self.retain(|s| s.until > now)
    }

    /// A connection closed: bindings that need it end, others are reached by their Contact from now on.
    pub(crate) fn drop_flow(&mut self, conn: ConnId) -> Vec<String> {
        for s in self.aors.values_mut().flatten() {
            if let Some(flow) = s.flow
                && flow.conn == Some(conn)
                && flow_for(&s.contact.uri, Source { conn: None, ..flow }).is_none()
            {
                s.flow = None;
            }
        }
        self.retain(|s| s.flow.is_none_or(|f| f.conn != Some(conn)))
    }

    fn retain(&mut self, keep: impl Fn(&Stored) -> bool) -> Vec<String> {
        let mut changed = Vec::new();
        self.aors.retain(|aor, list| {
            let before = list.len();
            list.retain(&keep);
            if list.len() != before {
                changed.push(aor.clone());
            }
            !list.is_empty()
        });
        changed
    }

    /// When the next binding ends.
    pub(crate) fn next_end(&self) -> Option<Time> {
        self.aors.values().flatten().map(|s| s.until).min()
    }
}

/// Whether a Contact replaces another: the same URI, or the same instance and flow number (RFC 5626 §6).
fn same_contact(a: &NameAddr, b: &NameAddr) -> bool {
    let instance = |c: &NameAddr| {
        let id = c.params.get("+sip.instance")?.to_owned();
        Some((id, c.params.get("reg-id").unwrap_or("").to_owned()))
    };
    match (instance(a), instance(b)) {
        (Some(a), Some(b)) if a == b => true,
        _ => a.uri.matches(&b.uri),
    }
}

/// A q-value in thousandths.
fn thousandths(q: &str) -> u16 {
    let (whole, fraction) = q.split_once('.').unwrap_or((q, ""));
    if whole == "1" {
        return 1000;
    }
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(3);
    digits.fold(0, |n, d| n * 10 + u16::from(d.wrapping_sub(b'0').min(9)))
}

#[cfg(test)]
mod tests;
