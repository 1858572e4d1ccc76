//! Who only probes, guesses or floods is not answered for a while, by source address.
//!
//! Nothing here touches a call in progress: requests within dialogs, retransmissions, CANCEL, ACK and responses pass
//! whatever their source has done, and trusted sources always.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use base::Time;

use crate::network::Network;

/// Points in which offences are counted: what is clearly one weighs this much.
const WEIGHT: u32 = 3;

/// What those who mean well do not do, or not often.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Offence {
    /// A wrong password, or one for a user that does not exist.
    WrongPassword,
    /// A call or a text to nobody, by a stranger.
    NoSuchUser,
    /// A challenge that is not answered.
    NoAnswer,
    /// A message that is no SIP, or broken.
    Malformed,
    /// The name of a scanner in User-Agent.
    Scanner,
    /// More requests than a source may send.
    Flood,
}

impl Offence {
    /// The label in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Offence::WrongPassword => "wrong_password",
            Offence::NoSuchUser => "no_such_user",
            Offence::NoAnswer => "no_answer",
            Offence::Malformed => "malformed",
            Offence::Scanner => "scanner",
            Offence::Flood => "flood",
        }
    }
}

/// How patient the endpoint is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GuardConfig {
    /// Wrong passwords, or calls to nobody, within the window after which a source is banned; what may be an accident
    /// counts a third.
    pub offences: u32,
    /// See `offences`.
    pub window: Duration,
    /// How long the first ban lasts; each further one twice as long.
    pub ban: Duration,
    /// The longest ban.
    pub longest: Duration,
    /// New requests of one source in a second; bursts of twice as many pass.
    pub requests_per_second: u32,
    /// Parts of User-Agent, in lower case, that only scanners have.
    pub scanners: Vec<String>,
    /// Sources that are never banned.
    pub trusted: Vec<Network>,
}

impl Default for GuardConfig {
    fn default() -> GuardConfig {
        GuardConfig {
            offences: 20,
            window: Duration::from_secs(60),
            ban: Duration::from_secs(300),
            longest: Duration::from_secs(86_400),
            requests_per_second: 10_000,
            scanners: Vec::new(),
            trusted: Vec::new(),
        }
    }
}

/// A source that is banned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ban {
    /// Which: an IPv4 address, or the first of 64 bits of IPv6.
    pub source: IpAddr,
    /// What it did last.
    pub why: Offence,
    /// Until when.
    pub until: Time,
    /// How often it was banned so far.
    pub times: u32,
    /// Requests of it that were dropped.
    pub dropped: u64,
}

#[derive(Debug)]
struct Seen {
    since: Time,
    points: u32,
    /// Challenges that it has not answered yet.
    asked: u32,
    last: Time,
    /// Requests it may still send, in thousandths.
    tokens: u64,
    filled: Time,
    /// Requests beyond that.
    flooded: u32,
    ban: Option<Ban>,
    times: u32,
}

/// See the module's description.
#[derive(Debug)]
pub(super) struct Guard {
    config: GuardConfig,
    seen: BTreeMap<IpAddr, Seen>,
    room: usize,
    /// Requests dropped: of banned sources, and above the rate.
    dropped: [u64; 2],
}

impl Guard {
    pub(super) fn new(room: usize, config: GuardConfig) -> Guard {
        Guard {
            config,
            seen: BTreeMap::new(),
            room: room.max(1),
            dropped: [0; 2],
        }
    }

    /// Other limits from now on; bans stay, but for those of trusted sources.
    pub(super) fn set(&mut self, config: GuardConfig) {
        self.config = config;
        let trusted = &self.config.trusted;
        self.seen
            .retain(|ip, _| !trusted.iter().any(|net| net.contains(*ip)));
    }

    fn is_trusted(&self, ip: IpAddr) -> bool {
        self.config.trusted.iter().any(|net| net.contains(ip))
    }

    fn entry(&mut self, now: Time, ip: IpAddr) -> &mut Seen {
        let key = source(ip);
        if !self.seen.contains_key(&key) && self.seen.len() >= self.room {
            // Bans go last: a flood of sources must not free those who are banned.
            let banned = |s: &Seen| s.ban.is_some_and(|b| b.until > now);
            let oldest = self.seen.iter().min_by_key(|(_, s)| (banned(s), s.last));
            if let Some(oldest) = oldest.map(|(ip, _)| *ip) {
                self.seen.remove(&oldest);
            }
        }
        let full = u64::from(self.config.requests_per_second) * 2_000;
        self.seen.entry(key).or_insert(Seen {
            since: now,
            points: 0,
            asked: 0,
            last: now,
            tokens: full,
            filled: now,
            flooded: 0,
            ban: None,
            times: 0,
        })
    }

    /// A source did something; its ban when one begins.
    pub(super) fn offend(&mut self, now: Time, ip: IpAddr, what: Offence) -> Option<Ban> {
        if self.is_trusted(ip) {
            return None;
        }
        let (window, limit) = (self.config.window, self.config.offences.saturating_mul(WEIGHT));
        let (first, longest) = (self.config.ban, self.config.longest);
        let seen = self.entry(now, ip);
        if seen.ban.is_some_and(|b| b.until > now) {
            return None;
        }
        if now.since(seen.since) > window {
            seen.points = 0;
            seen.asked = 0;
            seen.since = now;
        }
        // Old sins are forgotten.
        if now.since(seen.last) > longest {
            seen.times = 0;
        }
        seen.last = now;
        seen.asked = seen.asked.saturating_add(u32::from(what == Offence::NoAnswer));
        seen.points = seen.points.saturating_add(match what {
            Offence::Scanner => limit,
            Offence::WrongPassword | Offence::NoSuchUser | Offence::Flood => WEIGHT,
            Offence::Malformed => 1,
            Offence::NoAnswer => 0,
        });
        if seen.points.saturating_add(seen.asked) < limit {
            return None;
        }
        seen.points = 0;
        seen.asked = 0;
        let wait = first.saturating_mul(1 << seen.times.min(16)).min(longest);
        seen.times = seen.times.saturating_add(1);
        seen.ban = Some(Ban {
            source: source(ip),
            why: what,
            until: now + wait,
            times: seen.times,
            dropped: 0,
        });
        seen.ban
    }

    /// A source has shown who it is: its unanswered challenges were none.
    pub(super) fn proved(&mut self, ip: IpAddr) {
        if let Some(seen) = self.seen.get_mut(&source(ip)) {
            seen.asked = 0;
        }
    }

    /// Whether a source is banned; if so, what it sent is counted.
    pub(super) fn is_banned(&mut self, now: Time, ip: IpAddr) -> bool {
        let Some(seen) = self.seen.get_mut(&source(ip)) else {
            return false;
        };
        let Some(ban) = seen.ban.as_mut().filter(|b| b.until > now) else {
            return false;
        };
        ban.dropped += 1;
        self.dropped[0] += 1;
        true
    }

    /// A new request came; false when it is above the rate of its source, with the ban that this may bring.
    pub(super) fn may_ask(&mut self, now: Time, ip: IpAddr) -> (bool, Option<Ban>) {
        if self.is_trusted(ip) {
            return (true, None);
        }
        let rate = u64::from(self.config.requests_per_second);
        let seen = self.entry(now, ip);
        let gained = u64::try_from(now.since(seen.filled).as_millis()).unwrap_or(u64::MAX);
        if gained > 0 {
            seen.tokens = seen
                .tokens
                .saturating_add(gained.saturating_mul(rate))
                .min(rate * 2_000);
            seen.filled += Duration::from_millis(gained);
        }
        if seen.tokens >= 1_000 {
            seen.tokens -= 1_000;
            return (true, None);
        }
        // Each second's worth above the rate is an offence.
        seen.flooded = seen.flooded.saturating_add(1);
        let due = u64::from(seen.flooded) >= rate;
        if due {
            seen.flooded = 0;
        }
        self.dropped[1] += 1;
        let ban = if due {
            self.offend(now, ip, Offence::Flood)
        } else {
            None
        };
        (false, ban)
    }

    /// Whether a User-Agent is that of a scanner.
    pub(super) fn is_scanner(&self, agent: &str) -> bool {
        let agent = agent.to_ascii_lowercase();
        self.config.scanners.iter().any(|s| agent.contains(s.as_str()))
    }

    /// Who is banned now, longest first.
    pub(super) fn bans(&self, now: Time) -> Vec<Ban> {
        let mut bans: Vec<Ban> = self.seen.values().filter_map(|s| s.ban).collect();
        bans.retain(|b| b.until > now);
        bans.sort_by_key(|b| std::cmp::Reverse(b.until));
        bans
    }

    /// Lifts a ban; false when there is none.
    pub(super) fn lift(&mut self, now: Time, ip: IpAddr) -> bool {
        let seen = self.seen.remove(&source(ip));
        seen.and_then(|s| s.ban).is_some_and(|b| b.until > now)
    }

    /// Requests dropped so far: of banned sources, and above the rate.
    pub(super) fn dropped(&self) -> [u64; 2] {
        self.dropped
    }
}

/// What one party has: an IPv4 address, or 64 bits of an IPv6 one.
fn source(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    fn guard(change: impl FnOnce(&mut GuardConfig)) -> Guard {
        let mut config = GuardConfig {
            offences: 3,
            requests_per_second: 10,
            ..GuardConfig::default()
        };
        change(&mut config);
        Guard::new(4, config)
    }

    #[test]
    fn each_ban_is_twice_as_long_as_the_last() {
        let mut g = guard(|_| {});
        let mut now = Time::from_secs(100);
        for wait in [300, 600, 1_200] {
            assert!(!g.is_banned(now, ip(1)));
            assert_eq!(g.offend(now, ip(1), Offence::WrongPassword), None);
            assert_eq!(g.offend(now, ip(1), Offence::NoSuchUser), None);
            let ban = g.offend(now, ip(1), Offence::WrongPassword).unwrap();
            assert_eq!(
                (ban.until, ban.why),
                (now + Duration::from_secs(wait), Offence::WrongPassword)
            );
            assert!(g.is_banned(now, ip(1)) && !g.is_banned(now, ip(2)));
            assert_eq!(g.bans(now).len(), 1);
            now = ban.until;
        }
        assert_eq!((g.bans(now).len(), g.dropped()), (0, [3, 0]));
    }

    #[test]
    fn what_may_be_an_accident_counts_less_and_old_sins_not_at_all() {
        let mut g = guard(|_| {});
        let now = Time::from_secs(100);
        for _ in 0..8 {
            assert_eq!(g.offend(now, ip(1), Offence::NoAnswer), None);
        }
        g.proved(ip(1));
        for _ in 0..8 {
            assert_eq!(g.offend(now, ip(1), Offence::Malformed), None);
        }
        let later = now + Duration::from_secs(61);
        for _ in 0..8 {
            assert_eq!(g.offend(later, ip(1), Offence::Malformed), None);
        }
        assert!(g.offend(later, ip(1), Offence::Malformed).is_some());
        assert!(g.lift(later, ip(1)) && !g.lift(later, ip(1)) && !g.is_banned(later, ip(1)));
    }

    #[test]
    fn scanners_are_banned_at_once_and_the_trusted_never() {
        let mut g = guard(|c| {
            c.scanners = vec!["friendly-scanner".to_owned()];
            c.trusted = vec!["192.0.2.9".parse().unwrap()];
        });
        let now = Time::from_secs(100);
        assert!(g.is_scanner("Friendly-Scanner 1") && !g.is_scanner("friendly phone"));
        assert!(g.offend(now, ip(1), Offence::Scanner).is_some());
        assert_eq!(g.offend(now, ip(9), Offence::Scanner), None);
        assert!((0..1_000).all(|_| g.may_ask(now, ip(9)).0));
        // Whom the operator trusts from now on is free.
        g.set(GuardConfig {
            trusted: vec!["192.0.2.0/24".parse().unwrap()],
            ..GuardConfig::default()
        });
        assert!(!g.is_banned(now, ip(1)));
    }

    #[test]
    fn a_burst_passes_a_flood_does_not_and_then_is_banned() {
        let mut g = guard(|_| {});
        let mut now = Time::from_secs(100);
        let passed = (0..30).filter(|_| g.may_ask(now, ip(1)).0).count();
        assert_eq!(passed, 20);
        now += Duration::from_secs(1);
        // Ten more pass; with what was refused before, each ten refused are an offence, and the third is one too many.
        assert_eq!((0..10).filter(|_| g.may_ask(now, ip(1)).0).count(), 10);
        let refused: Vec<_> = (0..20).map(|_| g.may_ask(now, ip(1))).collect();
        assert!(refused.iter().all(|(passed, _)| !passed));
        assert!(refused[..19].iter().all(|(_, ban)| ban.is_none()));
        assert_eq!(refused[19].1.unwrap().why, Offence::Flood);
    }

    #[test]
    fn neighbours_in_an_ipv6_network_are_one_and_memory_is_bounded() {
        let mut g = guard(|_| {});
        let now = Time::from_secs(100);
        g.offend(now, "2001:db8::1".parse().unwrap(), Offence::Scanner);
        assert!(g.is_banned(now, "2001:db8::2".parse().unwrap()));
        for n in 0..200 {
            g.may_ask(now + Duration::from_millis(1), ip(n));
        }
        assert_eq!(g.seen.len(), 4);
        // A flood of sources does not free who is banned.
        assert!(g.is_banned(now, "2001:db8::2".parse().unwrap()));
    }
}
