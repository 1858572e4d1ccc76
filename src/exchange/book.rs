//! The book of the exchange: who the parties are, how calls went, and the record of each call that ended.
//!
//! It only listens: no decision is taken from what stands here.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use base::{CallId, EndReason, LegId, Time};
use call::RoomEvent;

use crate::shard::{Command, LegStats};

/// How long the last figures of the legs of an ended call are waited for: a shard that serves its calls in time tells
/// them within a few milliseconds, and until then the record is in danger.
const LAST_FIGURES: Duration = Duration::from_millis(50);
/// Refused attempts noted for one call.
const TRIES: usize = 32;
/// Media halves noted for one call; the figures of more go unrecorded.
const HALVES: usize = 64;
/// News that wait for the driver, which takes them after each input.
const NEWS: usize = 8_192;

/// What a party is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// `sip`, `stream`, `echo`, `tone`, `live`: the dialect or the built-in.
    pub kind: &'static str,
    /// Its address or name.
    pub name: String,
    /// The trunk it is reached by.
    pub trunk: Option<String>,
    /// Its telephone number, in the form `+4930123456` where it has one.
    pub number: Option<String>,
}

/// A gateway of a trunk that did not take a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Try {
    /// The trunk.
    pub trunk: String,
    /// The gateway; `None` when a limit of the trunk refused the call.
    pub gateway: Option<String>,
    /// The SIP status that says why.
    pub status: u16,
    /// When that was known.
    pub at: Time,
}

/// One call from its beginning to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct CallRecord {
    /// Its id, as in the log.
    pub call: CallId,
    /// When it began.
    pub began: Time,
    /// When it was answered.
    pub answered: Option<Time>,
    /// When it ended.
    pub ended: Time,
    /// Who called.
    pub caller: Party,
    /// What was dialled.
    pub dialled: String,
    /// Who answered, or who was tried last.
    pub callee: Option<Party>,
    /// 200, or the SIP status that says why there was no talk or why it broke.
    pub status: u16,
    /// Why it ended.
    pub reason: EndReason,
    /// The Q.850 cause that a SIP party gave for it.
    pub cause: Option<u8>,
    /// What was tried before, or in vain.
    pub tries: Vec<Try>,
    /// The last figures of the media halves, each with true when it is the caller's.
    pub media: Vec<(bool, LegStats)>,
}

/// What the exchange tells those who look on.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// A call began.
    Began {
        /// Which.
        call: CallId,
        /// Who calls.
        caller: Party,
        /// What was dialled.
        dialled: String,
    },
    /// A call was answered.
    Answered {
        /// Which.
        call: CallId,
        /// By whom.
        callee: Party,
    },
    /// A call ended; its record is complete.
    Ended(Box<CallRecord>),
    /// Something happened in a room.
    Room {
        /// In which.
        room: String,
        /// What.
        event: RoomEvent,
    },
    /// A call was refused before it began; its record is complete.
    Refused(Box<CallRecord>),
}

/// Sums since the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// Calls that began.
    pub calls: u64,
    /// Calls that were answered.
    pub answered: u64,
    /// Calls that ended, by reason.
    pub ended: BTreeMap<&'static str, u64>,
    /// Calls that were refused before they began, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Client sessions that were opened.
    pub sessions: u64,
    /// Logins of clients that were refused for what they showed.
    pub wrong_logins: u64,
    /// Streams on servers elsewhere that came about, also again.
    pub outbound_started: u64,
    /// Connections to servers elsewhere that failed or were lost.
    pub outbound_failed: u64,
    /// Sources that were banned, by what they did last.
    pub bans: BTreeMap<&'static str, u64>,
    /// From the beginning of a call to its answer.
    pub set_up: SetUp,
}

/// A histogram of set-up times.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SetUp {
    /// Calls by the first bound, of [`SetUp::BOUNDS_MS`], that they did not exceed.
    pub counts: [u64; SetUp::BOUNDS_MS.len()],
    /// All calls.
    pub calls: u64,
    /// Sum, ms.
    pub sum_ms: u64,
}

impl SetUp {
    /// The bounds, ms.
    pub const BOUNDS_MS: [u64; 11] = [20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000];

    fn note(&mut self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.calls += 1;
        self.sum_ms = self.sum_ms.saturating_add(ms);
        let row = SetUp::BOUNDS_MS
            .iter()
            .zip(&mut self.counts)
            .find(|(b, _)| ms <= **b);
        if let Some((_, count)) = row {
            *count += 1;
        }
    }
}

/// How a trunk does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrunkBook {
    /// Whether it holds our registration; `None` before the first answer, or when none is asked for.
    pub registered: Option<bool>,
    /// The SIP status of the last refusal of a registration.
    pub register_status: Option<u16>,
    /// When that last changed.
    pub since: Option<Time>,
    /// Calls sent to it.
    pub calls: u64,
    /// Calls that it answered.
    pub answered: u64,
    /// Calls that came in by it.
    pub calls_in: u64,
    /// Calls that failed there with 408 or a 5xx: the trunk's fault, not the callee's choice.
    pub failed: u64,
}

#[derive(Debug)]
struct Open {
    record: CallRecord,
    /// Media halves that have not told their last figures; true for the caller's.
    halves: BTreeMap<LegId, bool>,
    /// Set at the end of the call.
    over: bool,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Book {
    parties: BTreeMap<LegId, Party>,
    dialled: BTreeMap<LegId, String>,
    open: BTreeMap<CallId, Open>,
    by_half: BTreeMap<LegId, CallId>,
    /// Ended calls whose figures are waited for, oldest first.
    closing: VecDeque<(Time, CallId)>,
    pub(super) counters: Counters,
    pub(super) trunks: BTreeMap<String, TrunkBook>,
    news: VecDeque<News>,
}

impl Book {
    /// A leg is this party.
    pub(super) fn party(&mut self, leg: LegId, kind: &'static str, name: String, trunk: Option<String>) {
        if let Some(trunk) = &trunk {
            self.trunks.entry(trunk.clone()).or_default().calls += 1;
        }
        let number = None;
        self.parties.insert(
            leg,
            Party {
                kind,
                name,
                trunk,
                number,
            },
        );
    }

    /// The caller on a leg comes by this trunk.
    pub(super) fn comes_by(&mut self, leg: LegId, trunk: &str) {
        self.trunks.entry(trunk.to_owned()).or_default().calls_in += 1;
        if let Some(party) = self.parties.get_mut(&leg) {
            party.trunk = Some(trunk.to_owned());
        }
    }

    /// What the caller on a leg dials.
    pub(super) fn dials(&mut self, leg: LegId, target: String) {
        self.dialled.insert(leg, call::shown(&target));
    }

    /// The party of a leg.
    pub(super) fn party_of(&self, leg: LegId) -> Party {
        self.parties.get(&leg).cloned().unwrap_or_default()
    }

    /// What was dialled in a call that goes on.
    pub(super) fn dialled(&self, call: CallId) -> String {
        self.open
            .get(&call)
            .map(|o| o.record.dialled.clone())
            .unwrap_or_default()
    }

    /// The telephone number of a party.
    pub(super) fn number(&mut self, leg: LegId, number: Option<String>) {
        if let Some(party) = self.parties.get_mut(&leg) {
            party.number = number;
        }
    }

    /// A caller was turned away.
    pub(super) fn refused(&mut self, now: Time, call: CallId, caller: LegId, status: u16, reason: EndReason) {
        *self.counters.refused.entry(reason.label()).or_default() += 1;
        let record = CallRecord {
            status,
            reason,
            ..self.new_record(now, call, caller)
        };
        self.tell(News::Refused(Box::new(record)));
    }

    /// A call begins.
    pub(super) fn began(&mut self, now: Time, call: CallId, caller: LegId) {
        self.counters.calls += 1;
        let record = self.new_record(now, call, caller);
        self.tell(News::Began {
            call,
            caller: record.caller.clone(),
            dialled: record.dialled.clone(),
        });
        let open = Open {
            record,
            halves: BTreeMap::new(),
            over: false,
        };
        self.open.insert(call, open);
    }

    fn new_record(&mut self, now: Time, call: CallId, caller: LegId) -> CallRecord {
        CallRecord {
            call,
            began: now,
            answered: None,
            ended: now,
            caller: self.party_of(caller),
            dialled: self.dialled.remove(&caller).unwrap_or_default(),
            callee: None,
            status: 0,
            reason: EndReason::HungUp,
            cause: None,
            tries: Vec::new(),
            media: Vec::new(),
        }
    }

    /// A SIP party gave a Q.850 cause.
    pub(super) fn cause(&mut self, call: Option<CallId>, cause: Option<u8>) {
        if let Some(open) = call.and_then(|c| self.open.get_mut(&c)) {
            open.record.cause = cause.or(open.record.cause);
        }
    }

    /// A trunk did not take a call.
    pub(super) fn tried(&mut self, call: CallId, tried: Try) {
        if let Some(open) = self.open.get_mut(&call)
            && open.record.tries.len() < TRIES
        {
            open.record.tries.push(tried);
        }
    }

    /// A party is rung, or answered, in a call.
    pub(super) fn callee(&mut self, now: Time, call: CallId, leg: LegId, answered: bool) {
        let party = self.party_of(leg);
        let Some(open) = self.open.get_mut(&call).filter(|o| o.record.answered.is_none()) else {
            return;
        };
        open.record.callee = Some(party.clone());
        if !answered {
            return;
        }
        open.record.answered = Some(now);
        self.counters.answered += 1;
        self.counters.set_up.note(now.since(open.record.began));
        if let Some(trunk) = party.trunk.as_ref().and_then(|t| self.trunks.get_mut(t)) {
            trunk.answered += 1;
        }
        self.tell(News::Answered { call, callee: party });
    }

    /// A trunk answered our registration: with a refusal's status, or well.
    pub(super) fn registered(&mut self, now: Time, trunk: &str, refused: Option<u16>) {
        let book = self.trunks.entry(trunk.to_owned()).or_default();
        if book.registered != Some(refused.is_none()) {
            book.since = Some(now);
        }
        book.registered = Some(refused.is_none());
        book.register_status = refused;
    }

    /// A callee's leg ended without an answer.
    pub(super) fn unanswered(&mut self, leg: LegId, status: u16) {
        if matches!(status, 408 | 500..=599)
            && let Some(name) = self.parties.get(&leg).and_then(|p| p.trunk.as_ref())
            && let Some(trunk) = self.trunks.get_mut(name)
        {
            trunk.failed += 1;
        }
    }

    /// A shard is told something: which media halves belong to which call is read from it.
    pub(super) fn see(&mut self, command: &Command) {
        if let Command::OpenRtp { leg, call, .. }
        | Command::OpenOutbound { leg, call, .. }
        | Command::Assign { leg, call } = command
            && let Some(open) = self.open.get_mut(call)
            && open.halves.len() + open.record.media.len() < HALVES
        {
            open.halves.entry(*leg).or_insert(true);
            self.by_half.insert(*leg, *call);
        }
    }

    /// These media halves of a call are the callee's.
    pub(super) fn far(&mut self, call: CallId, halves: impl Iterator<Item = LegId>) {
        if let Some(open) = self.open.get_mut(&call) {
            for half in halves {
                if let Some(near) = open.halves.get_mut(&half) {
                    *near = false;
                }
            }
        }
    }

    /// A call is over; its record waits for the last figures of its media.
    pub(super) fn ended(&mut self, now: Time, call: CallId, status: u16, reason: EndReason) {
        *self.counters.ended.entry(reason.label()).or_default() += 1;
        let Some(open) = self.open.get_mut(&call) else {
            return;
        };
        open.over = true;
        open.record.ended = now;
        open.record.status = status;
        open.record.reason = reason;
        if open.halves.is_empty() {
            self.close(call);
        } else {
            self.closing.push_back((now + LAST_FIGURES, call));
        }
    }

    /// Of the media halves of a call that is over, only those that are `closed` have something to tell yet.
    pub(super) fn settle(&mut self, call: CallId, closed: impl Fn(LegId) -> bool) {
        let Some(open) = self.open.get_mut(&call).filter(|o| o.over) else {
            return;
        };
        let stay: Vec<LegId> = open.halves.keys().copied().filter(|h| !closed(*h)).collect();
        for half in stay {
            open.halves.remove(&half);
            self.by_half.remove(&half);
        }
        if open.halves.is_empty() {
            self.close(call);
        }
    }

    /// The last figures of a media half came; `None` when it ends without any. Gives its call.
    pub(super) fn figures(&mut self, half: LegId, stats: Option<LegStats>) -> Option<CallId> {
        let call = self.by_half.remove(&half)?;
        let open = self.open.get_mut(&call)?;
        let near = open.halves.remove(&half);
        open.record
            .media
            .extend(near.zip(stats).filter(|_| open.record.media.len() < HALVES));
        if open.over && open.halves.is_empty() {
            self.close(call);
        }
        Some(call)
    }

    /// Forgets a leg.
    pub(super) fn forget(&mut self, leg: LegId) {
        self.parties.remove(&leg);
        self.dialled.remove(&leg);
    }

    /// Closes the records whose time is over.
    pub(super) fn handle_timeout(&mut self, now: Time) {
        while let Some((at, call)) = self.closing.front().copied() {
            if at > now {
                break;
            }
            self.closing.pop_front();
            self.close(call);
        }
    }

    /// When [`Book::handle_timeout`] wants to be called.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.closing.front().map(|(at, _)| *at)
    }

    /// The next news.
    pub(super) fn poll_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// Parties, open records and halves, for tests of leaks.
    pub(super) fn population(&self) -> usize {
        self.parties.len() + self.dialled.len() + self.open.len() + self.by_half.len()
    }

    fn close(&mut self, call: CallId) {
        let Some(open) = self.open.remove(&call) else {
            return;
        };
        for half in open.halves.keys() {
            self.by_half.remove(half);
        }
        self.closing.retain(|(_, c)| *c != call);
        self.tell(News::Ended(Box::new(open.record)));
    }

    fn tell(&mut self, news: News) {
        // The driver takes them after every input; only a caller that never does lets them pile up.
        if self.news.len() >= NEWS {
            self.news.pop_front();
        }
        self.news.push_back(news);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: LegId = LegId(1);
    const CALLEE: LegId = LegId(2);
    const CALL: CallId = CallId(7);

    fn at(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    fn assign(leg: LegId) -> Command {
        Command::Assign { leg, call: CALL }
    }

    fn talked() -> Book {
        let mut book = Book::default();
        book.party(CALLER, "stream", "alice".to_owned(), None);
        book.dials(CALLER, "+49301".to_owned());
        book.party(CALLEE, "sip", "sip:+49301@t".to_owned(), Some("t".to_owned()));
        book.began(at(0), CALL, CALLER);
        book.see(&assign(CALLER));
        book.see(&assign(CALLEE));
        book.far(CALL, [CALLEE].into_iter());
        book.callee(at(150), CALL, CALLEE, false);
        book.callee(at(900), CALL, CALLEE, true);
        book
    }

    fn record(book: &mut Book) -> Option<CallRecord> {
        while let Some(news) = book.poll_news() {
            if let News::Ended(record) = news {
                return Some(*record);
            }
        }
        None
    }

    #[test]
    fn a_record_is_complete_when_both_halves_have_told() {
        let mut book = talked();
        let stats = |received| LegStats {
            received,
            ..LegStats::default()
        };
        book.figures(CALLER, Some(stats(5)));
        book.ended(at(5_000), CALL, 200, EndReason::HungUp);
        assert_eq!(record(&mut book), None);
        book.figures(CALLEE, Some(stats(9)));
        let record = record(&mut book).unwrap();
        assert_eq!(
            (record.dialled.as_str(), record.caller.name.as_str()),
            ("+49301", "alice")
        );
        assert_eq!(record.callee.unwrap().trunk.as_deref(), Some("t"));
        assert_eq!(record.media, [(true, stats(5)), (false, stats(9))]);
        assert_eq!((record.answered, record.ended), (Some(at(900)), at(5_000)));
        assert_eq!(book.counters.set_up.counts[5], 1);
        book.forget(CALLER);
        book.forget(CALLEE);
        assert_eq!(book.population(), 0);
    }

    #[test]
    fn figures_that_never_come_do_not_hold_a_record_back() {
        let mut book = talked();
        book.ended(at(5_000), CALL, 200, EndReason::HungUp);
        assert_eq!(book.poll_timeout(), Some(at(5_050)));
        book.handle_timeout(at(5_050));
        assert!(record(&mut book).unwrap().media.is_empty());
        assert_eq!(book.poll_timeout(), None);
        book.figures(CALLER, None);
        assert!(book.by_half.is_empty() && book.open.is_empty());
    }

    #[test]
    fn a_half_that_outlives_its_call_is_not_waited_for() {
        let mut book = talked();
        book.ended(at(5_000), CALL, 200, EndReason::HungUp);
        book.settle(CALL, |half| half == CALLEE);
        assert_eq!(record(&mut book), None);
        book.figures(CALLEE, Some(LegStats::default()));
        assert_eq!(record(&mut book).unwrap().media.len(), 1);
        assert!(book.by_half.is_empty());
    }

    #[test]
    fn who_is_turned_away_has_a_record_too() {
        let mut book = Book::default();
        book.party(CALLER, "sip", "sip:alice@x".to_owned(), None);
        book.number(CALLER, Some("+49301".to_owned()));
        book.dials(CALLER, "+49302".to_owned());
        book.refused(at(7), CALL, CALLER, 503, EndReason::Overloaded);
        let Some(News::Refused(record)) = book.poll_news() else {
            panic!("no news")
        };
        assert_eq!(
            (record.status, record.reason, record.call),
            (503, EndReason::Overloaded, CALL)
        );
        assert_eq!(
            (record.dialled.as_str(), record.caller.number.as_deref()),
            ("+49302", Some("+49301"))
        );
    }

    #[test]
    fn a_trunk_that_fails_is_told_from_a_callee_who_declines() {
        let mut book = talked();
        book.unanswered(CALLEE, 486);
        book.unanswered(CALLEE, 503);
        let trunk = &book.trunks["t"];
        assert_eq!((trunk.calls, trunk.answered, trunk.failed), (1, 1, 1));
    }
}
