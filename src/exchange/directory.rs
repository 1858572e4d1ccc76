//! The directory as the exchange knows it: questions with ids, answers that carry them, and the users it tells
//! about. Only the driver holds a directory.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base::{EndReason, LegId, Redacted, Time};
use call::{LegEvent, Outcome};
use sip::Uri;

use super::dial::{Callee, Callees, SipCallee};
use super::{Due, Exchange, Kind, Leg, Output};

/// How often the directory is told what has changed.
const ROUND: Duration = Duration::from_millis(500);
/// Users told about; those beyond are reached here only.
const TOLD: usize = 20_000;
/// Marks a contact of a gateway: whom it names is looked for there and nowhere else, so that two directories that
/// are behind never send a call in circles.
const FINAL: &str = "x-here";

/// Names a question to the directory; its answer carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FindId(pub u64);

/// What the exchange wants of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryOrder {
    /// Where else is this user? Answer with [`Exchange::handle_found`].
    Find {
        /// The question.
        id: FindId,
        /// `user@domain`.
        aor: String,
    },
    /// This user is reached here.
    Publish {
        /// `user@domain`.
        aor: String,
        /// Whether it is in a call.
        busy: bool,
    },
    /// This user is reached here no more.
    Withdraw {
        /// `user@domain`.
        aor: String,
    },
    /// A call to where this user was said to be did not reach it.
    Missed {
        /// `user@domain`.
        aor: String,
    },
}

/// A place where a user is said to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where to send the INVITE.
    pub uri: Uri,
    /// Tried first: the highest.
    pub priority: u16,
}

/// A callee that waits for the directory's word.
#[derive(Clone, Debug)]
pub(super) struct Sought {
    pub(super) aor: String,
    /// What becomes of it when the directory knows nobody: another way, or the reason it is refused.
    pub(super) otherwise: Result<SipCallee, Outcome>,
}

/// Questions under way, and what the directory was told.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    on: bool,
    next: u64,
    waiting: BTreeMap<FindId, (LegId, Sought)>,
    /// Users it was told about, and whether they were busy.
    told: BTreeMap<String, bool>,
}

impl Lookups {
    pub(super) fn population(&self) -> usize {
        self.waiting.len()
    }
}

impl Exchange {
    /// From now on there is a directory.
    pub fn use_directory(&mut self, now: Time) {
        self.directory.on = true;
        self.deadlines.push(Reverse((now, Due::Directory)));
    }

    /// The directory's answer; no places: it knows of none, or did not answer in time.
    pub fn handle_found(&mut self, now: Time, id: FindId, mut places: Vec<Place>) {
        let Some((leg, sought)) = self.directory.waiting.remove(&id) else {
            return;
        };
        let sought_still = matches!(self.legs.get(&leg).map(|l| &l.kind), Some(Kind::Sought));
        let Some(call) = self.legs.get(&leg).and_then(|l| l.call).filter(|_| sought_still) else {
            return;
        };
        tracing::info!(%call, %leg, aor = %Redacted(&sought.aor), places = places.len(), "directory answered");
        places.sort_by_key(|p| Reverse(p.priority));
        let found = |place: Place| SipCallee {
            found: Some(sought.aor.clone()),
            ..SipCallee::new(place.uri)
        };
        let mut callees: Vec<SipCallee> = places.into_iter().map(found).collect();
        let first = if callees.is_empty() {
            match sought.otherwise {
                Ok(callee) => callee,
                Err(outcome) => {
                    self.leg_event(now, leg, LegEvent::Refused(outcome));
                    self.drop_leg(leg);
                    return self.pump(now);
                }
            }
        } else {
            callees.remove(0)
        };
        // The leg that waited becomes the first of them.
        self.legs.remove(&leg);
        self.ring_sip(now, call, leg, first);
        let others = callees.into_iter().map(|c| Callee::Sip(Box::new(c)));
        self.ring_all(now, call, others.collect());
        self.act(now, call);
        self.pump(now);
    }

    /// Asks the directory where else a user is, when there is one.
    pub(super) fn or_ask(
        &self,
        aor: Option<String>,
        otherwise: Result<SipCallee, Outcome>,
    ) -> Result<Callees, Outcome> {
        match (aor.filter(|_| self.directory.on), otherwise) {
            (Some(aor), otherwise) => {
                let sought = Sought { aor, otherwise };
                Ok(Callees::ring(vec![Callee::Sought(Box::new(sought))]))
            }
            (None, Ok(callee)) => Ok(Callees::ring(vec![Callee::Sip(Box::new(callee))])),
            (None, Err(outcome)) => Err(outcome),
        }
    }

    /// A local name: who is registered here, else where the directory knows it.
    pub(super) fn resolve_name(&self, now: Time, name: &str) -> Result<Callees, Outcome> {
        self.resolve_user(now, name).or_else(|outcome| {
            let domain = self.settings.domains.first().map_or("localhost", String::as_str);
            self.or_ask(Some(format!("{name}@{domain}")), Err(outcome))
        })
    }

    /// Whether the directory may know the user of a URI elsewhere: a name at a domain, and nothing more.
    pub(super) fn seekable(uri: &Uri) -> Option<String> {
        let user = uri.user()?;
        let plain = uri.is_sip() && uri.port().is_none() && uri.host().ip().is_none();
        (plain && uri.params().is_empty()).then(|| format!("{user}@{}", uri.host()))
    }

    /// Whether a URI is a contact that the directory handed out.
    pub(super) fn is_final(uri: &Uri) -> bool {
        uri.param(FINAL).is_some()
    }

    /// Puts a question for a callee.
    pub(super) fn seek(&mut self, call: base::CallId, leg: LegId, sought: Sought) {
        self.directory.next += 1;
        let id = FindId(self.directory.next);
        self.legs.insert(
            leg,
            Leg {
                call: Some(call),
                kind: Kind::Sought,
            },
        );
        let aor = sought.aor.clone();
        self.directory.waiting.insert(id, (leg, sought));
        self.tell_directory(DirectoryOrder::Find { id, aor });
    }

    /// The answer is not wanted any more.
    pub(super) fn forget_sought(&mut self, leg: LegId) {
        self.directory.waiting.retain(|_, (l, _)| *l != leg);
    }

    /// A callee failed: if it was where the directory said, the directory hears of it.
    pub(super) fn not_there(&mut self, leg: LegId, outcome: &Outcome) {
        let Some(Kind::Sip(sip)) = self.legs.get(&leg).map(|l| &l.kind) else {
            return;
        };
        let found = sip.callee.as_ref().and_then(|c| c.found.clone());
        let gone = matches!(outcome.status, 404 | 408 | 410 | 480 | 500..=599)
            && outcome.reason != EndReason::Cancelled;
        if let Some(aor) = found.filter(|_| gone) {
            self.tell_directory(DirectoryOrder::Missed { aor });
        }
    }

    /// Tells the directory who has come, gone, or become busy since the last round.
    pub(super) fn publish_users(&mut self, now: Time) {
        if !self.directory.on {
            return;
        }
        let mut busy: BTreeSet<String> = BTreeSet::new();
        let mut talking = BTreeSet::new();
        for leg in self.legs.values().filter(|l| l.call.is_some()) {
            match &leg.kind {
                Kind::Sip(sip) => busy.extend(sip.user.clone()),
                Kind::Line(line) => {
                    talking.insert(line.session);
                }
                _ => {}
            }
        }
        let mut here: BTreeMap<String, bool> = BTreeMap::new();
        for aor in self.sip.registrations().take(TOLD) {
            if !self.sip.bindings(now, aor).is_empty() {
                here.insert(aor.to_owned(), false);
            }
        }
        for (aor, clients) in self.lines.here.iter().take(TOLD) {
            let all_talk = clients.iter().all(|(session, _)| talking.contains(session));
            here.insert(aor.clone(), all_talk && !clients.is_empty());
        }
        for (aor, is_busy) in &mut here {
            let user = aor.rsplit_once('@').map_or(aor.as_str(), |(user, _)| user);
            *is_busy |= busy.contains(user);
        }
        let told = std::mem::take(&mut self.directory.told);
        for aor in told.keys().filter(|aor| !here.contains_key(*aor)) {
            self.tell_directory(DirectoryOrder::Withdraw { aor: aor.clone() });
        }
        for (aor, busy) in here.iter().filter(|(aor, busy)| told.get(*aor) != Some(busy)) {
            let (aor, busy) = (aor.clone(), *busy);
            self.tell_directory(DirectoryOrder::Publish { aor, busy });
        }
        self.directory.told = here;
        self.deadlines.push(Reverse((now + ROUND, Due::Directory)));
    }

    /// The directory hears that nobody is here any more: the gateway drains.
    pub(super) fn leave_directory(&mut self) {
        self.directory.on = false;
        for aor in std::mem::take(&mut self.directory.told).into_keys() {
            self.tell_directory(DirectoryOrder::Withdraw { aor });
        }
    }

    fn tell_directory(&mut self, order: DirectoryOrder) {
        self.outputs.push_back(Output::Directory(order));
    }
}
