//! Congestion control (Appendix A): how many bytes of user data may be on their way. It yields to real-time traffic of
//! others and shrinks little for its own.

use base::Time;

use crate::params::{CWND_INITIAL, SMSS, TIME_CRITICAL_MEMORY};

/// The state of one session.
#[derive(Debug)]
pub(crate) struct Congestion {
    window: usize,
    threshold: usize,
    accumulated: usize,
    /// When this session last sent a packet marked time-critical.
    sent_critical: Option<Time>,
    /// When the far end last said that it receives such packets from others.
    reverse: Option<Time>,
}

/// What one packet with acknowledgements said.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Report {
    /// Bytes on their way before it.
    pub(crate) outstanding_before: usize,
    /// Bytes it acknowledged.
    pub(crate) acked: usize,
    /// Something was overtaken.
    pub(crate) naks: bool,
    /// Something is lost.
    pub(crate) loss: bool,
}

fn is_recent(at: Option<Time>, now: Time) -> bool {
    at.is_some_and(|at| now.since(at) <= TIME_CRITICAL_MEMORY)
}

impl Congestion {
    pub(crate) fn new() -> Congestion {
        Congestion {
            window: CWND_INITIAL,
            threshold: usize::MAX,
            accumulated: 0,
            sent_critical: None,
            reverse: None,
        }
    }

    /// Bytes that may be on their way.
    pub(crate) fn window(&self) -> usize {
        self.window
    }

    /// A time-critical packet was sent.
    pub(crate) fn on_critical_sent(&mut self, now: Time) {
        self.sent_critical = Some(now);
    }

    /// A packet came whose sender receives time-critical packets from others.
    pub(crate) fn on_reverse(&mut self, now: Time) {
        self.reverse = Some(now);
    }

    /// A packet with acknowledgements came. `any_critical` is whether any session of this endpoint has lately sent
    /// time-critical packets.
    pub(crate) fn on_ack(&mut self, now: Time, report: Report, any_critical: bool) {
        let critical = is_recent(self.sent_critical, now);
        let fast = !is_recent(self.reverse, now) && !any_critical;
        let before = report.outstanding_before;
        if report.loss {
            let gentle = critical || (before > 67_200 && fast);
            let reduced = if gentle { before / 8 * 7 } else { before / 2 };
            self.threshold = reduced.max(CWND_INITIAL);
            self.window = self.threshold;
            self.accumulated = 0;
            return;
        }
        if report.naks || before < self.window || report.acked == 0 {
            return;
        }
        let slow_start = self.window < self.threshold;
        let increase = match (fast, slow_start) {
            (true, true) => report.acked,
            (false, true) if critical => report.acked.div_ceil(4),
            (fast, _) => {
                let most = if !fast && critical { 2400 } else { 4800 };
                let step = (self.window / 16).max(64).min(most);
                self.accumulated += report.acked;
                let steps = self.accumulated / step;
                self.accumulated %= step;
                steps * if fast { 48 } else { 24 }
            }
        };
        self.window = (self.window + increase.min(SMSS)).max(CWND_INITIAL);
    }

    /// The retransmission timer fired; `lost` when data were on their way.
    pub(crate) fn on_timeout(&mut self, lost: bool) {
        self.threshold = match self.threshold {
            usize::MAX => self.window / 4 * 3,
            threshold => threshold.max(self.window / 4 * 3),
        };
        self.accumulated = 0;
        self.window = if lost { SMSS } else { CWND_INITIAL };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(c: &Congestion, acked: usize) -> Report {
        Report {
            outstanding_before: c.window(),
            acked,
            ..Report::default()
        }
    }

    #[test]
    fn slow_start_doubles_until_a_loss_halves() {
        let mut c = Congestion::new();
        let now = Time::from_secs(1);
        for _ in 0..3 {
            c.on_ack(now, full(&c, 1460), false);
        }
        assert_eq!(c.window(), 2 * CWND_INITIAL);
        for _ in 0..20 {
            c.on_ack(now, full(&c, 1460), false);
        }
        let before = c.window();
        let loss = Report {
            loss: true,
            naks: true,
            ..full(&c, 0)
        };
        c.on_ack(now, loss, false);
        assert_eq!(c.window(), before / 2);
        let after = c.window();
        c.on_ack(now, full(&c, 1460), false);
        assert!(c.window() > after && c.window() < after + 200, "linear");
    }

    #[test]
    fn real_time_of_others_holds_it_back_and_our_own_makes_it_lose_less() {
        let now = Time::from_secs(1);
        let mut held = Congestion::new();
        held.on_reverse(now);
        for _ in 0..50 {
            held.on_ack(now, full(&held, 1460), false);
        }
        let mut free = Congestion::new();
        for _ in 0..50 {
            free.on_ack(now, full(&free, 1460), false);
        }
        assert!(held.window() * 3 < free.window());
        free.on_critical_sent(now);
        let loss = Report {
            loss: true,
            ..full(&free, 0)
        };
        let before = free.window();
        free.on_ack(now, loss, true);
        assert!(free.window() >= before / 8 * 7);
    }

    #[test]
    fn idle_windows_do_not_grow_and_timeouts_shrink_them() {
        let mut c = Congestion::new();
        let now = Time::from_secs(1);
        let idle = Report {
            outstanding_before: 100,
            acked: 100,
            ..Report::default()
        };
        c.on_ack(now, idle, false);
        assert_eq!(c.window(), CWND_INITIAL);
        c.on_timeout(true);
        assert_eq!(c.window(), SMSS);
        c.on_timeout(false);
        assert_eq!(c.window(), CWND_INITIAL);
    }
}
