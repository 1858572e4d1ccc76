//! The keeper: one task that publishes, keeps fresh, looks up, remembers and judges.

use std::collections::BTreeMap;
use std::time::Duration;

use base::{Redacted, Rng, Time, earliest};
use overlay::{Aor, Binding, Certificate, Content, Key, Kind, NodeKey, Presence, Refusal, Trust, Wall};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::engine::{Engine, Got};
use super::start::{ms, wall};
use super::{Answer, Counters, DirectoryView, Location, LookupError, Order};
use crate::net::Clock;

/// Records put at a time.
const PUTS: usize = 32;
/// Names remembered.
const REMEMBERED: usize = 10_000;
/// How soon a record that could not be put is put again.
const AGAIN: Duration = Duration::from_secs(5);
/// How soon one that was refused is.
const REFUSED: Duration = Duration::from_secs(30);
/// How long the last withdrawals may take.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How often a withdrawal is tried; after that the record runs out by itself.
const TRIES: u8 = 3;
/// How long a found place is believed once a call to it has failed.
const DOUBTED: Duration = Duration::from_secs(5);

/// How the keeper works.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// For one request.
    pub(super) timeout: Duration,
    /// Lookups at a time.
    pub(super) lookups: usize,
    /// How long found places are remembered.
    pub(super) keep_found: Duration,
    /// How long it is remembered that there are none.
    pub(super) keep_none: Duration,
    /// How long a record holds.
    pub(super) life: Duration,
    /// What stands behind the user in our contacts; empty when nobody can call here.
    pub(super) contact: String,
    /// The user who answers to the name of this node's key.
    pub(super) owner: Option<String>,
    /// Our domain.
    pub(super) domain: String,
    /// What our clients can.
    pub(super) capabilities: Vec<String>,
    /// A list of revoked certificates to spread.
    pub(super) revocations: Option<Vec<u8>>,
}

/// One user of ours.
#[derive(Clone, Copy, Debug)]
struct Own {
    busy: bool,
    /// It is to be withdrawn, and was tried so often.
    gone: Option<u8>,
    /// When it is to be put next; `None` while it is being put and has not changed since.
    due: Option<Time>,
    under_way: bool,
    sequence: Wall,
}

/// A lookup under way.
struct Asked {
    began: Time,
    waiting: Vec<oneshot::Sender<Result<Answer, LookupError>>>,
}

/// Something that was waited for.
enum Done {
    Put(Aor, Result<usize, String>),
    Got(Aor, Result<Got, LookupError>),
    Revoked(Option<Got>),
}

/// See the module's description.
pub(super) struct Keeper {
    key: NodeKey,
    certificate: Option<Certificate>,
    trust: Trust,
    engine: Engine,
    settings: Settings,
    clock: Clock,
    rng: Rng,
    own: BTreeMap<Aor, Own>,
    known: BTreeMap<Aor, (Time, Answer)>,
    asked: BTreeMap<Aor, Asked>,
    tasks: JoinSet<Done>,
    puts: usize,
    counters: Counters,
    /// When the list of revoked certificates is fetched next.
    revoked_due: Time,
}

impl Keeper {
    pub(super) fn new(
        key: NodeKey,
        certificate: Option<Certificate>,
        trust: Trust,
        engine: Engine,
        settings: Settings,
        clock: Clock,
        rng: Rng,
    ) -> Keeper {
        Keeper {
            key,
            certificate,
            trust,
            engine,
            settings,
            revoked_due: clock.now(),
            clock,
            rng,
            own: BTreeMap::new(),
            known: BTreeMap::new(),
            asked: BTreeMap::new(),
            tasks: JoinSet::new(),
            puts: 0,
            counters: Counters::default(),
        }
    }

    /// Runs until it is told to close, or nobody is left who could tell.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            let deadline = self.deadline();
            tokio::select! {
                order = orders.recv() => match order {
                    None => return self.close().await,
                    Some(Order::Close(done)) => {
                        self.close().await;
                        let _asker_gone = done.send(());
                        return;
                    }
                    Some(order) => self.take(order).await,
                },
                Some(done) = self.tasks.join_next() => {
                    // A task that was aborted or has panicked has nothing to say.
                    if let Ok(done) = done {
                        self.done(done);
                    }
                }
                () = self.clock.sleep_until(deadline) => {}
            }
            self.put_what_is_due();
            self.fetch_revocations();
        }
    }

    fn deadline(&self) -> Option<Time> {
        let room = self.puts < PUTS;
        let due = self
            .own
            .values()
            .filter(|o| room && !o.under_way)
            .filter_map(|o| o.due);
        earliest(due.min(), Some(self.revoked_due))
    }

    async fn take(&mut self, order: Order) {
        let now = self.clock.now();
        match order {
            Order::Publish(aor, busy) => self.note(now, &aor, busy, None),
            Order::Withdraw(aor) => self.note(now, &aor, false, Some(0)),
            Order::Missed(aor) => {
                if let Some((until, _)) = aor.parse().ok().and_then(|a: Aor| self.known.get_mut(&a)) {
                    *until = (*until).min(now + DOUBTED);
                }
            }
            Order::Lookup(aor, answer) => self.look_up(now, &aor, answer, true),
            Order::Trace(aor, answer) => self.look_up(now, &aor, answer, false),
            Order::Look(answer) => {
                let view = self.view().await;
                let _asker_gone = answer.send(view);
            }
            Order::Close(_) => {}
        }
    }

    /// A user has come, gone, or changed.
    fn note(&mut self, now: Time, aor: &str, busy: bool, gone: Option<u8>) {
        if self.settings.contact.is_empty() {
            return;
        }
        let Ok(aor) = aor.parse::<Aor>() else { return };
        if let Some(owner) = &self.settings.owner
            && aor.user() == owner
            && aor.domain().eq_ignore_ascii_case(&self.settings.domain)
        {
            let own = Aor::of_peer(&self.key.peer());
            self.note_one(now, own, busy, gone);
        }
        self.note_one(now, aor, busy, gone);
    }

    fn note_one(&mut self, now: Time, aor: Aor, busy: bool, gone: Option<u8>) {
        if gone.is_some() && !self.own.contains_key(&aor) {
            return;
        }
        let own = self.own.entry(aor).or_insert(Own {
            busy,
            gone,
            due: None,
            under_way: false,
            sequence: 0,
        });
        own.busy = busy;
        own.gone = gone;
        own.due = Some(now);
    }

    fn put_what_is_due(&mut self) {
        let now = self.clock.now();
        let due = |own: &Own| !own.under_way && own.due.is_some_and(|at| at <= now);
        let room = PUTS.saturating_sub(self.puts);
        let list: Vec<Aor> = self
            .own
            .iter()
            .filter(|(_, own)| due(own))
            .take(room)
            .map(|(aor, _)| aor.clone())
            .collect();
        for aor in list {
            self.put(aor);
        }
    }

    fn put(&mut self, aor: Aor) {
        let Some(own) = self.own.get_mut(&aor) else { return };
        let now = wall();
        // The clock may be set back; what was said before must not win.
        own.sequence = now.max(own.sequence.saturating_add(1));
        own.under_way = true;
        own.due = None;
        let user = if aor.owner().is_some() {
            self.settings.owner.as_deref().unwrap_or_default()
        } else {
            aor.user()
        };
        let binding = Binding {
            aor: aor.clone(),
            // One for each gateway: it rings all of the user's clients itself.
            id: "gw".to_owned(),
            contact: format!("sip:{}{}", escape(user), self.settings.contact),
            priority: 500,
            capabilities: self.settings.capabilities.clone(),
            presence: if own.busy {
                Presence::Busy
            } else {
                Presence::Online
            },
        };
        let until = own.sequence.saturating_add(ms(self.settings.life));
        let certificate = self.certificate.as_ref();
        let record = match own.gone {
            None => binding.record(&self.key, certificate, own.sequence, until),
            Some(_) => binding.withdrawal(&self.key, certificate, own.sequence, until),
        };
        self.counters.puts += 1;
        self.puts += 1;
        let (engine, trust, timeout) = (self.engine.clone(), self.trust.clone(), self.settings.timeout);
        self.tasks.spawn(async move {
            // Storing takes more than one lookup: those who are near the key are looked for first.
            let put = engine.put(record.key(), record.encode(), trust, now);
            let done = match tokio::time::timeout(timeout * 3, put).await {
                Ok(done) => done,
                Err(_) => Err("no answer in time".to_owned()),
            };
            Done::Put(aor, done)
        });
    }

    fn done(&mut self, done: Done) {
        let now = self.clock.now();
        match done {
            Done::Put(aor, done) => self.was_put(now, aor, done),
            Done::Got(aor, got) => self.answer(now, &aor, got),
            Done::Revoked(Some(got)) => {
                for list in got.answers {
                    self.revoke(&list);
                }
            }
            Done::Revoked(None) => {}
        }
    }

    fn was_put(&mut self, now: Time, aor: Aor, done: Result<usize, String>) {
        self.puts = self.puts.saturating_sub(1);
        // Everybody's records would be refreshed at once after a restart of all: hence a random point.
        let life = ms(self.settings.life);
        let refresh = Duration::from_millis(life * 2 / 5 + self.rng.below(life / 5));
        let Some(own) = self.own.get_mut(&aor) else { return };
        own.under_way = false;
        let again = match done {
            Ok(1..) => None,
            // As long as nobody else has it, it is offered again soon.
            Ok(0) => Some(AGAIN),
            Err(_) => Some(REFUSED),
        };
        if let Err(error) = done {
            self.counters.put_failures += 1;
            tracing::warn!(aor = %Redacted(&aor), error, "a user could not be published in the directory");
        }
        match (own.gone, own.due) {
            // Changed meanwhile.
            (_, Some(_)) => {}
            (None, None) => own.due = Some(now + again.unwrap_or(refresh)),
            (Some(tries), None) if again.is_some() && tries < TRIES => {
                own.gone = Some(tries + 1);
                own.due = Some(now + AGAIN);
            }
            (Some(_), None) => {
                self.own.remove(&aor);
            }
        }
    }

    fn look_up(
        &mut self,
        now: Time,
        name: &str,
        answer: oneshot::Sender<Result<Answer, LookupError>>,
        may_remember: bool,
    ) {
        let Ok(aor) = name.parse::<Aor>() else {
            let _asker_gone = answer.send(Err(LookupError::Name(name.to_owned())));
            return;
        };
        if let Some((until, known)) = self.known.get(&aor)
            && *until > now
            && may_remember
        {
            let known = Answer {
                cached: true,
                trace: Vec::new(),
                took: Duration::ZERO,
                ..known.clone()
            };
            *self.counters.lookups.entry("cached").or_default() += 1;
            let _asker_gone = answer.send(Ok(known));
            return;
        }
        if let Some(asked) = self.asked.get_mut(&aor) {
            asked.waiting.push(answer);
            return;
        }
        if self.asked.len() >= self.settings.lookups {
            *self.counters.lookups.entry("failed").or_default() += 1;
            let _asker_gone = answer.send(Err(LookupError::Busy));
            return;
        }
        let asked = Asked {
            began: now,
            waiting: vec![answer],
        };
        self.asked.insert(aor.clone(), asked);
        let (engine, timeout) = (self.engine.clone(), self.settings.timeout);
        let key = Key::of(Kind::Aor, aor.as_str());
        self.tasks.spawn(async move {
            let got = match tokio::time::timeout(timeout, engine.get(key)).await {
                Ok(got) => got.map_err(LookupError::Engine),
                Err(_) => Err(LookupError::Late),
            };
            Done::Got(aor, got)
        });
    }

    fn answer(&mut self, now: Time, aor: &Aor, got: Result<Got, LookupError>) {
        let Some(asked) = self.asked.remove(aor) else {
            return;
        };
        let took = now.since(asked.began);
        let answer = got.map(|got| self.judge(aor, got, took));
        let label = match &answer {
            Ok(answer) if answer.locations.is_empty() => "none",
            Ok(_) => "found",
            Err(_) => "failed",
        };
        *self.counters.lookups.entry(label).or_default() += 1;
        if let Ok(answer) = &answer {
            self.counters.hops += answer.trace.len() as u64;
            self.counters.lookup_ms += ms(took);
            let keep = if answer.locations.is_empty() {
                self.settings.keep_none
            } else {
                self.settings.keep_found
            };
            if self.known.len() >= REMEMBERED {
                self.known.retain(|_, (until, _)| *until > now);
            }
            if self.known.len() < REMEMBERED {
                self.known.insert(aor.clone(), (now + keep, answer.clone()));
            }
        }
        for waiting in asked.waiting {
            let _asker_gone = waiting.send(answer.clone());
        }
    }

    /// What is believed of all that was said.
    fn judge(&mut self, aor: &Aor, got: Got, took: Duration) -> Answer {
        let key = Key::of(Kind::Aor, aor.as_str());
        let answers = got.answers.iter().map(Vec::as_slice);
        let (record, refused) = self.trust.union(&key, answers, wall());
        refused.into_iter().for_each(|refusal| self.refused(refusal));
        let items = record.into_iter().flat_map(|r| r.items);
        let location = |item: overlay::Item| {
            Some(Location {
                binding: Binding::read(&item)?,
                peer: item.peer,
                sequence: item.sequence,
                expires: item.expires,
            })
        };
        Answer {
            locations: items.filter(|i| !i.withdrawn).filter_map(location).collect(),
            trace: got.hops,
            took,
            cached: false,
        }
    }

    fn refused(&mut self, refusal: Refusal) {
        *self.counters.refused.entry(refusal).or_default() += 1;
        if !refusal.may_be_honest() {
            tracing::warn!(
                reason = refusal.label(),
                "a record of the directory is not believed: {refusal}"
            );
        }
    }

    /// Fetches the list of revoked certificates now and then, and spreads the one that is configured.
    fn fetch_revocations(&mut self) {
        let now = self.clock.now();
        if now < self.revoked_due {
            return;
        }
        let life = ms(self.settings.life);
        self.revoked_due = now + Duration::from_millis(life * 2 / 5 + self.rng.below(life / 5));
        let configured = self.settings.revocations.clone();
        if let Some(list) = &configured {
            self.revoke(list);
        }
        let (engine, trust, timeout) = (self.engine.clone(), self.trust.clone(), self.settings.timeout);
        self.tasks.spawn(async move {
            let key = Key::of(Kind::Revoked, "list");
            if let Some(list) = configured {
                let _tried_again_later = engine.put(key, list, trust, wall()).await;
            }
            let got = tokio::time::timeout(timeout, engine.get(key)).await;
            Done::Revoked(got.ok().and_then(Result::ok))
        });
    }

    fn revoke(&mut self, list: &[u8]) {
        match self.trust.revoke(list, wall()) {
            Ok(true) => {
                tracing::info!(revoked = self.trust.revocations(), "certificates were revoked");
                self.known.clear();
                self.engine.revoke(list);
            }
            Ok(false) | Err(Refusal::Stale) => {}
            Err(refusal) => self.refused(refusal),
        }
    }

    async fn view(&self) -> DirectoryView {
        let engine = self.engine.look().await;
        let mut counters = self.counters.clone();
        for (refusal, n) in engine.refused {
            *counters.refused.entry(refusal).or_default() += n;
        }
        DirectoryView {
            backend: self.engine.name(),
            peer: self.key.peer().to_string(),
            listening: engine.listening,
            certificate_until: self.certificate.as_ref().map(|c| c.grant().not_after),
            peers: engine.peers,
            stored: engine.stored,
            published: self.own.values().filter(|o| o.gone.is_none()).count(),
            counters,
        }
    }

    /// Withdraws everything, as far as that goes in a short time.
    async fn close(&mut self) {
        let now = self.clock.now();
        for own in self.own.values_mut() {
            own.gone = Some(TRIES);
            own.due = Some(now);
        }
        let last_words = async {
            self.put_what_is_due();
            while !self.own.is_empty() {
                match self.tasks.join_next().await {
                    Some(Ok(done)) => self.done(done),
                    Some(Err(_)) => {}
                    None => return,
                }
                self.put_what_is_due();
            }
        };
        let _some_run_out_by_themselves = tokio::time::timeout(LAST_WORDS, last_words).await;
        self.engine.close().await;
    }
}

/// A user name in a SIP URI (RFC 3261 §25.1): what may not stand there is written as %XX.
fn escape(user: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&b);
    let mut out = String::with_capacity(user.len());
    for byte in user.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
