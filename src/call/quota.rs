//! Limits on calls over trunks: at a time, in a second, in a day, by number and by caller.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use base::{CallId, EndReason, Time};

/// A day is any 24 hours, counted in parts of one hour.
const HOUR: u64 = 3_600;
const HOURS: u64 = 24;

/// One limit. It is for calls over its trunks to numbers with its prefix by its callers; where a list is empty, for
/// all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Over these trunks.
    pub trunks: Vec<String>,
    /// To numbers that begin so.
    pub prefix: String,
    /// By these users.
    pub callers: Vec<String>,
    /// Each caller is counted apart.
    pub per_caller: bool,
    /// There are no such calls at all.
    pub blocked: bool,
    /// Only these users may make such calls; empty: all may.
    pub allowed: Vec<String>,
    /// At a time.
    pub calls: Option<u32>,
    /// In a second; short bursts of as many are let through.
    pub calls_per_second: Option<u32>,
    /// Talk in 24 hours.
    pub daily: Option<Duration>,
    /// The longest one.
    pub max_duration: Option<Duration>,
}

/// A call to be made over a trunk.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// Over which trunk.
    pub trunk: &'a str,
    /// To which number.
    pub number: &'a str,
    /// By which user.
    pub caller: &'a str,
}

impl Rule {
    fn fits(&self, wish: &Wish<'_>) -> bool {
        let lists = |list: &[String], name: &str| list.is_empty() || list.iter().any(|n| n == name);
        lists(&self.trunks, wish.trunk)
            && lists(&self.callers, wish.caller)
            && wish.number.starts_with(self.prefix.as_str())
    }
}

/// A rule, and the caller when it counts each apart.
type Key = (usize, String);

#[derive(Clone, Debug, Default)]
struct Used {
    calls: u32,
    /// Token bucket, in thousandths of a call; `None` while it is full.
    tokens: Option<(u64, Time)>,
    /// Talk that has ended, by the hour in which it did.
    hours: VecDeque<(u64, Duration)>,
}

impl Used {
    /// Tokens there are, when so many come in a second.
    fn tokens(&self, now: Time, rate: u32) -> u64 {
        let full = u64::from(rate) * 1_000;
        let Some((tokens, since)) = self.tokens else {
            return full;
        };
        let gained = u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX);
        tokens
            .saturating_add(gained.saturating_mul(u64::from(rate)))
            .min(full)
    }

    fn talked(&self, now: Time) -> Duration {
        let first = hour(now).saturating_sub(HOURS - 1);
        let fresh = self.hours.iter().filter(|(hour, _)| *hour >= first);
        fresh.map(|(_, talk)| *talk).sum()
    }

    fn add(&mut self, now: Time, talk: Duration) {
        let hour = hour(now);
        while self.hours.front().is_some_and(|(first, _)| first + HOURS <= hour) {
            self.hours.pop_front();
        }
        match self.hours.back_mut() {
            Some((last, sum)) if *last == hour => *sum += talk,
            _ => self.hours.push_back((hour, talk)),
        }
    }
}

fn hour(now: Time) -> u64 {
    now.as_millis() / (HOUR * 1_000)
}

#[derive(Clone, Debug)]
struct Open {
    keys: Vec<Key>,
    answered: Option<Time>,
}

/// Counts calls over trunks, and refuses those beyond the rules.
#[derive(Debug, Default)]
pub struct Quotas {
    rules: Vec<Rule>,
    used: BTreeMap<Key, Used>,
    open: BTreeMap<CallId, Open>,
}

impl Quotas {
    /// With nothing used.
    pub fn new(rules: Vec<Rule>) -> Quotas {
        Quotas {
            rules,
            ..Quotas::default()
        }
    }

    /// Other rules from now on. What was used counts on where a rule stays; calls in progress go on.
    pub fn set_rules(&mut self, rules: Vec<Rule>) {
        let place = |old: usize| {
            let rule = self.rules.get(old)?;
            rules.iter().position(|r| r == rule)
        };
        let moved = |(rule, caller): &Key| Some((place(*rule)?, caller.clone()));
        let used = self
            .used
            .iter()
            .filter_map(|(key, used)| Some((moved(key)?, used.clone())));
        let used = used.collect();
        let open = self.open.iter().map(|(id, open)| {
            let keys = open.keys.iter().filter_map(moved).collect();
            (*id, Open { keys, ..open.clone() })
        });
        let open = open.collect();
        self.used = used;
        self.open = open;
        self.rules = rules;
    }

    /// Takes in a call and gives the longest that it may last, or says why it is refused. A call that goes to another
    /// trunk comes here again; each is matched by one [`Quotas::leave`] at its end.
    ///
    /// # Errors
    /// [`EndReason::Blocked`], [`EndReason::Forbidden`], [`EndReason::CallerLimit`], [`EndReason::Overloaded`],
    /// [`EndReason::RateLimited`], [`EndReason::QuotaUsed`].
    pub fn enter(&mut self, now: Time, id: CallId, wish: &Wish<'_>) -> Result<Option<Duration>, EndReason> {
        // What the trunk that failed counted is given back; what counts for both is not charged twice.
        let before = self.open.remove(&id).map(|open| open.keys).unwrap_or_default();
        self.release(&before);
        let fitting = self.rules.iter().enumerate().filter(|(_, rule)| rule.fits(wish));
        let (mut longest, mut keys): (Option<Duration>, Vec<Key>) = (None, Vec::new());
        for (place, rule) in fitting {
            let caller = if rule.per_caller { wish.caller } else { "" };
            let key = (place, caller.to_owned());
            let left = self.check(now, rule, &key, wish, before.contains(&key))?;
            longest = [longest, rule.max_duration, left].into_iter().flatten().min();
            keys.push(key);
        }
        for key in &keys {
            let rate = self.rules.get(key.0).and_then(|r| r.calls_per_second);
            let used = self.used.entry(key.clone()).or_default();
            used.calls += 1;
            if let Some(rate) = rate.filter(|_| !before.contains(key)) {
                used.tokens = Some((used.tokens(now, rate).saturating_sub(1_000), now));
            }
        }
        let answered = None;
        self.open.insert(id, Open { keys, answered });
        Ok(longest)
    }

    /// What a rule says to a call: how much talk is left.
    fn check(
        &self,
        now: Time,
        rule: &Rule,
        key: &Key,
        wish: &Wish<'_>,
        charged: bool,
    ) -> Result<Option<Duration>, EndReason> {
        if rule.blocked {
            return Err(EndReason::Blocked);
        }
        if !rule.allowed.is_empty() && !rule.allowed.iter().any(|name| name == wish.caller) {
            return Err(EndReason::Forbidden);
        }
        let blank = Used::default();
        let used = self.used.get(key).unwrap_or(&blank);
        let full = |of_all| {
            if rule.per_caller {
                EndReason::CallerLimit
            } else {
                of_all
            }
        };
        if rule.calls.is_some_and(|most| used.calls >= most) {
            return Err(full(EndReason::Overloaded));
        }
        if rule
            .calls_per_second
            .is_some_and(|rate| !charged && used.tokens(now, rate) < 1_000)
        {
            return Err(full(EndReason::RateLimited));
        }
        let Some(daily) = rule.daily else { return Ok(None) };
        let open = self.open.values().filter(|open| open.keys.contains(key));
        let going_on: Duration = open.filter_map(|open| Some(now.since(open.answered?))).sum();
        let left = daily.saturating_sub(used.talked(now) + going_on);
        if left.is_zero() {
            return Err(EndReason::QuotaUsed);
        }
        Ok(Some(left))
    }

    /// A call was answered: its talk counts from now on.
    pub fn answered(&mut self, now: Time, id: CallId) {
        if let Some(open) = self.open.get_mut(&id) {
            open.answered = open.answered.or(Some(now));
        }
    }

    /// A call is over.
    pub fn leave(&mut self, now: Time, id: CallId) {
        let Some(open) = self.open.remove(&id) else {
            return;
        };
        self.release(&open.keys);
        let Some(answered) = open.answered else { return };
        for key in open.keys {
            if self.rules.get(key.0).is_some_and(|r| r.daily.is_some())
                && let Some(used) = self.used.get_mut(&key)
            {
                used.add(now, now.since(answered));
            }
        }
    }

    fn release(&mut self, keys: &[Key]) {
        for key in keys {
            if let Some(used) = self.used.get_mut(key) {
                used.calls = used.calls.saturating_sub(1);
            }
        }
    }

    /// Calls that count now, for tests of leaks.
    pub fn population(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WISH: Wish<'_> = Wish {
        trunk: "t",
        number: "+4930123456",
        caller: "alice",
    };

    fn at(s: u64) -> Time {
        Time::from_secs(100_000 + s)
    }

    fn one(rule: Rule) -> Quotas {
        Quotas::new(vec![rule])
    }

    fn limited(calls: u32, per_caller: bool) -> Quotas {
        one(Rule {
            calls: Some(calls),
            per_caller,
            ..Rule::default()
        })
    }

    #[test]
    fn so_many_at_a_time_for_all_or_for_each() {
        let mut all = limited(2, false);
        assert_eq!(all.enter(at(0), CallId(1), &WISH), Ok(None));
        assert_eq!(
            all.enter(
                at(0),
                CallId(2),
                &Wish {
                    caller: "bob",
                    ..WISH
                }
            ),
            Ok(None)
        );
        assert_eq!(all.enter(at(0), CallId(3), &WISH), Err(EndReason::Overloaded));
        all.leave(at(1), CallId(1));
        assert_eq!(all.enter(at(1), CallId(3), &WISH), Ok(None));
        // To another trunk: it does not stand in its own way.
        assert_eq!(
            all.enter(at(1), CallId(3), &Wish { trunk: "u", ..WISH }),
            Ok(None)
        );
        let mut each = limited(1, true);
        assert_eq!(each.enter(at(0), CallId(1), &WISH), Ok(None));
        assert_eq!(each.enter(at(0), CallId(2), &WISH), Err(EndReason::CallerLimit));
        assert_eq!(
            each.enter(
                at(0),
                CallId(2),
                &Wish {
                    caller: "bob",
                    ..WISH
                }
            ),
            Ok(None)
        );
        each.leave(at(0), CallId(1));
        each.leave(at(0), CallId(2));
        assert_eq!(each.population(), 0);
    }

    #[test]
    fn prefixes_block_and_circles_of_trust_let_in() {
        let mut q = Quotas::new(vec![
            Rule {
                prefix: "+49900".into(),
                blocked: true,
                ..Rule::default()
            },
            Rule {
                trunks: vec!["t".into()],
                allowed: vec!["alice".into()],
                ..Rule::default()
            },
        ]);
        let premium = Wish {
            number: "+49900123",
            ..WISH
        };
        assert_eq!(q.enter(at(0), CallId(1), &premium), Err(EndReason::Blocked));
        assert_eq!(q.enter(at(0), CallId(1), &WISH), Ok(None));
        let bob = Wish {
            caller: "bob",
            ..WISH
        };
        assert_eq!(q.enter(at(0), CallId(2), &bob), Err(EndReason::Forbidden));
        assert_eq!(q.enter(at(0), CallId(2), &Wish { trunk: "u", ..bob }), Ok(None));
    }

    #[test]
    fn a_rate_is_charged_once_for_a_call_on_its_way_over_several_trunks() {
        let mut q = one(Rule {
            calls_per_second: Some(2),
            ..Rule::default()
        });
        for trunk in ["a", "b", "c"] {
            assert_eq!(q.enter(at(0), CallId(1), &Wish { trunk, ..WISH }), Ok(None));
        }
        assert_eq!(q.enter(at(0), CallId(2), &WISH), Ok(None));
        assert_eq!(q.enter(at(0), CallId(3), &WISH), Err(EndReason::RateLimited));
        let later = at(0) + Duration::from_millis(500);
        assert_eq!(q.enter(later, CallId(3), &WISH), Ok(None));
        assert_eq!(q.enter(later, CallId(4), &WISH), Err(EndReason::RateLimited));
    }

    #[test]
    fn the_minutes_of_a_day_are_used_up_and_come_back() {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let mut q = one(Rule {
            daily: Some(minutes(10)),
            max_duration: Some(minutes(8)),
            ..Rule::default()
        });
        assert_eq!(q.enter(at(0), CallId(1), &WISH), Ok(Some(minutes(8))));
        q.answered(at(0), CallId(1));
        // What goes on counts too.
        assert_eq!(q.enter(at(180), CallId(2), &WISH), Ok(Some(minutes(7))));
        q.leave(at(360), CallId(1));
        q.leave(at(360), CallId(2));
        assert_eq!(q.enter(at(400), CallId(3), &WISH), Ok(Some(minutes(4))));
        q.answered(at(400), CallId(3));
        q.leave(at(640), CallId(3));
        assert_eq!(q.enter(at(700), CallId(4), &WISH), Err(EndReason::QuotaUsed));
        // The same rule after a reload remembers, another one does not.
        let rules = q.rules.clone();
        q.set_rules(rules);
        assert_eq!(q.enter(at(700), CallId(4), &WISH), Err(EndReason::QuotaUsed));
        assert_eq!(q.enter(at(25 * 3_600), CallId(4), &WISH), Ok(Some(minutes(8))));
    }
}
