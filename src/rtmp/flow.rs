//! Flow control above TCP: noticing a peer that reads slowly, and bringing its delay back.
//!
//! **Why.** Between us and a player lie the kernel's send buffer, the network and the player's own receive
//! buffer: at the rate of speech they hide many seconds. A player that stops reading for 5 s and then plays what
//! it finds back to back would be 5 s late for the rest of the call, though our queues were never full.
//!
//! **How a stall is seen.** Pings (user control 6) are written between the audio messages. A client answers a
//! ping when it has read up to it, so the pings on their way mark what is really read. The shortest round trip
//! of late is the path's own; a ping unanswered for `stall_after` longer than that is a stall, and media are no
//! longer handed out ([`Flow::stalled`]). At most a ping interval plus `stall_after` of audio is then under way.
//! A peer that has never answered a ping is not judged.
//!
//! **How the delay comes back.** The player gets the audio that was under way, late, and plays it. Whatever
//! comes next would be late by as much. So when the answers arrive, as much audio is withheld as was
//! delivered late: what was handed out since the last ping that was answered in time, less the round trip.
//! The estimate is too long rather than too short, for a gap ends but a delay stays.
//!
//! A ping that was late without a stall (`late_after`) says that a player without a buffer of its own is now
//! behind by that much; then only messages marked as silence are skipped, until as much is saved.

use std::collections::VecDeque;
use std::time::Duration;

use base::Time;

use crate::server::FlowConfig;

/// Judges one peer; see the module's text.
#[derive(Debug)]
pub struct Flow {
    config: FlowConfig,
    /// Pings on their way: token, time of sending.
    pings: VecDeque<(u32, Time)>,
    next_token: u32,
    /// Round trips of late, for the shortest.
    recent: VecDeque<Duration>,
    rtt: Option<Duration>,
    /// When the last ping that was answered in time was sent.
    last_good: Option<Time>,
    last_ping: Option<Time>,
    last_audio: Option<Time>,
    stalled: bool,
    stalls: u64,
    withhold_until: Option<Time>,
    behind: Duration,
}

/// Pings remembered at once; further ones are not sent.
const MAX_PINGS: usize = 64;
/// Round trips among which the shortest is taken for the path's own: 8 s worth of them.
const RECENT: usize = 32;

impl Flow {
    /// A judge of a new peer.
    pub fn new(config: FlowConfig) -> Flow {
        Flow {
            config,
            pings: VecDeque::new(),
            next_token: 0,
            recent: VecDeque::new(),
            rtt: None,
            last_good: None,
            last_ping: None,
            last_audio: None,
            stalled: false,
            stalls: 0,
            withhold_until: None,
            behind: Duration::ZERO,
        }
    }

    /// The token of a ping to be written now, when one is due after audio.
    pub fn ping_after_audio(&mut self, now: Time) -> Option<u32> {
        self.last_audio = Some(now);
        match self.last_ping {
            Some(last) if now.since(last) < self.config.ping_interval => None,
            _ => self.ping(now),
        }
    }

    /// Whether pings are sent at all.
    pub fn pings(&self) -> bool {
        self.config.pings
    }

    /// The token of a ping to be written now; `None` when too many are on their way.
    pub fn ping(&mut self, now: Time) -> Option<u32> {
        if !self.config.pings || self.pings.len() >= MAX_PINGS {
            return None;
        }
        // The field is meant to hold a time in ms; ours never repeats.
        let token = (now.as_millis() as u32).max(self.next_token);
        self.next_token = token.wrapping_add(1);
        self.last_ping = Some(now);
        self.pings.push_back((token, now));
        Some(token)
    }

    /// Takes the answer to a ping; the round trip, unless it answers nothing we sent.
    pub fn answered(&mut self, token: u32, now: Time) -> Option<Duration> {
        let index = self.pings.iter().position(|&(t, _)| t == token)?;
        self.stalled(now);
        let (_, sent) = *self.pings.get(index)?;
        self.pings.drain(..=index);
        let rtt = now.since(sent);
        self.rtt = Some(rtt);
        let floor = self.floor().unwrap_or(rtt);
        let late = rtt.saturating_sub(floor);
        if self.stalled {
            if !self.overdue(now) {
                self.recover(now, floor);
            }
            return Some(rtt);
        }
        if late >= self.config.late_after {
            // The hiccup began between the last ping answered in time and this one.
            let before = self.last_good.map_or(Duration::ZERO, |good| sent.since(good));
            self.behind = self.behind.max(late + before.min(self.config.ping_interval));
        } else {
            self.last_good = Some(sent);
        }
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        } else {
            // All at once, with the first answer.
            self.recent.reserve_exact(RECENT - self.recent.len());
        }
        self.recent.push_back(rtt);
        Some(rtt)
    }

    /// Whether the peer does not read, as of `now`.
    pub fn stalled(&mut self, now: Time) -> bool {
        if !self.stalled && self.overdue(now) {
            self.stalled = true;
            self.stalls += 1;
        }
        self.stalled
    }

    /// Whether a message queued at `queued` must not be sent, because the peer does not read or has to
    /// catch up. `length` is its playing time.
    pub fn withholds(&mut self, now: Time, queued: Time, silence: bool, length: Duration) -> bool {
        if self.stalled(now) {
            return true;
        }
        if let Some(until) = self.withhold_until {
            if queued < until {
                return true;
            }
            if now >= until {
                self.withhold_until = None;
            }
        }
        if silence && !self.behind.is_zero() && !length.is_zero() {
            self.behind = self.behind.saturating_sub(length);
            return true;
        }
        false
    }

    /// Whether the last known state is a stall.
    pub fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// Whether silence would be skipped now.
    pub fn is_behind(&self) -> bool {
        !self.behind.is_zero()
    }

    /// How many stalls there were.
    pub fn stalls(&self) -> u64 {
        self.stalls
    }

    /// When the oldest ping on its way makes a stall, if it is not answered.
    pub fn stall_time(&self) -> Option<Time> {
        let &(_, sent) = self.pings.front()?;
        Some(sent + self.floor()? + self.config.stall_after)
    }

    /// The last round trip.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    fn overdue(&self, now: Time) -> bool {
        self.stall_time().is_some_and(|t| now >= t)
    }

    fn floor(&self) -> Option<Duration> {
        self.recent.iter().min().copied()
    }

    /// The stall is over: what was under way is being played now.
    fn recover(&mut self, now: Time, floor: Duration) {
        self.stalled = false;
        let from = self.last_good.unwrap_or(now);
        let under_way = self.last_audio.map_or(Duration::ZERO, |last| last.since(from));
        // Longer only when no audio flowed for a while before the stall.
        let most = floor + self.config.stall_after + self.config.ping_interval;
        let under_way = under_way.min(most);
        self.withhold_until = Some(now + under_way.saturating_sub(floor));
        self.behind = Duration::ZERO;
        self.last_good = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Duration = Duration::from_millis(20);

    /// A player behind a pipe that it stops reading at times, without a buffer of its own. Frames are made
    /// every 20 ms; gives the delay of each frame heard, with the time it was heard.
    fn run(
        read: impl Fn(u64) -> bool,
        one_way: u64,
        silence: impl Fn(u64) -> bool,
        until: u64,
    ) -> Vec<(u64, u64)> {
        enum Item {
            Frame(u64),
            Ping(u32),
        }
        let mut flow = Flow::new(FlowConfig::default());
        let mut pipe: VecDeque<(u64, Item)> = VecDeque::new();
        let mut answers: VecDeque<(u64, u32)> = VecDeque::new();
        let (mut heard, mut play_end) = (Vec::new(), 0u64);
        for ms in 0..until {
            let now = Time::from_millis(ms);
            while let Some((_, token)) = answers.pop_front_if(|&mut (at, _)| at <= ms) {
                flow.answered(token, now);
            }
            if ms % 20 == 0 && !flow.withholds(now, now, silence(ms), FRAME) {
                pipe.push_back((ms + one_way, Item::Frame(ms)));
                if let Some(token) = flow.ping_after_audio(now) {
                    pipe.push_back((ms + one_way, Item::Ping(token)));
                }
            }
            while read(ms)
                && let Some((_, item)) = pipe.pop_front_if(|&mut (at, _)| at <= ms)
            {
                match item {
                    Item::Frame(made) => {
                        play_end = play_end.max(ms) + 20;
                        heard.push((ms, play_end - 20 - made));
                    }
                    Item::Ping(token) => answers.push_back((ms + one_way, token)),
                }
            }
        }
        heard
    }

    fn delay_at(heard: &[(u64, u64)], ms: u64) -> u64 {
        heard
            .iter()
            .find(|(at, _)| *at >= ms)
            .map_or(u64::MAX, |&(_, delay)| delay)
    }

    #[test]
    fn five_seconds_without_reading_leave_no_delay() {
        for one_way in [1, 30, 150, 600] {
            for phase in [0, 37, 90, 130, 200, 249] {
                let stall = 10_000 + phase..15_000 + phase;
                let heard = run(|ms| !stall.contains(&ms), one_way, |_| false, 20_000);
                let before = delay_at(&heard, 9_000);
                let after = delay_at(&heard, 15_000 + phase + 2_000);
                assert!(
                    after <= before + 40,
                    "one way {one_way}, phase {phase}: {before} then {after}"
                );
                let backlog = heard
                    .iter()
                    .filter(|(at, d)| *at >= stall.start && *d > before + 40)
                    .count();
                assert!(
                    backlog as u64 * 20 <= 700 + 2 * one_way + 20,
                    "{backlog} late frames"
                );
            }
        }
    }

    #[test]
    fn a_steady_long_path_is_no_stall() {
        let heard = run(|_| true, 800, |_| false, 10_000);
        assert_eq!(heard.len(), (10_000 - 800) / 20);
    }

    #[test]
    fn a_longer_path_becomes_the_normal_one() {
        let mut flow = Flow::new(FlowConfig::default());
        let mut ms = 0;
        let mut exchange = |flow: &mut Flow, rtt: u64| {
            let token = flow.ping(Time::from_millis(ms)).unwrap();
            let stalled = flow.stalled(Time::from_millis(ms + rtt));
            flow.answered(token, Time::from_millis(ms + rtt));
            ms += rtt + 250;
            stalled
        };
        exchange(&mut flow, 20);
        assert!(!exchange(&mut flow, 300));
        for _ in 0..40 {
            exchange(&mut flow, 300);
        }
        assert!(!exchange(&mut flow, 600));
    }

    #[test]
    fn a_short_hiccup_is_paid_back_in_silence_only() {
        let speech = run(|ms| !(10_000..10_300).contains(&ms), 10, |_| false, 20_000);
        assert!(delay_at(&speech, 15_000) > 100);
        let pauses = run(
            |ms| !(10_000..10_300).contains(&ms),
            10,
            |ms| ms / 1000 % 2 == 1,
            20_000,
        );
        assert!(delay_at(&pauses, 15_000) <= delay_at(&pauses, 9_000) + 60);
        let calm = run(|_| true, 10, |_| true, 10_000);
        assert_eq!(calm.len(), 500);
    }

    #[test]
    fn a_peer_that_never_answers_is_not_judged() {
        let mut flow = Flow::new(FlowConfig::default());
        flow.ping(Time::ZERO);
        assert!(!flow.stalled(Time::from_secs(100)));
        assert_eq!(flow.answered(77, Time::from_secs(100)), None);
    }

    #[test]
    fn pings_on_their_way_are_bounded() {
        let mut flow = Flow::new(FlowConfig::default());
        let sent = (0..1000)
            .filter(|&s| flow.ping(Time::from_secs(s)).is_some())
            .count();
        assert_eq!(sent, MAX_PINGS);
    }
}
