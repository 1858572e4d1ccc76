//! Limits at the door: who may still come in.

use std::time::Duration;

use base::{EndReason, Time};

/// Hard limits, from the `[limits]` table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls at the same time.
    pub calls: usize,
    /// New calls in a second; short bursts of as many are let through.
    pub calls_per_second: u32,
}

/// Admits calls in a fixed order: draining, hard limits, rate. What is in progress is never touched.
#[derive(Debug)]
pub struct Admission {
    limits: Limits,
    active: usize,
    draining: bool,
    /// Token bucket, in thousandths of a call.
    tokens: u64,
    filled: Time,
}

impl Admission {
    /// With a full bucket.
    pub fn new(limits: Limits, now: Time) -> Admission {
        Admission {
            limits,
            active: 0,
            draining: false,
            tokens: full(limits),
            filled: now,
        }
    }

    /// Other limits from now on; calls in progress stay.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        self.tokens = self.tokens.min(full(limits));
    }

    /// Takes in a call, or says why not. Each success must be matched by one [`Admission::leave`].
    pub fn enter(&mut self, now: Time) -> Result<(), EndReason> {
        if self.draining {
            return Err(EndReason::Draining);
        }
        if self.active >= self.limits.calls {
            return Err(EndReason::Overloaded);
        }
        let gained = u64::try_from(now.since(self.filled).as_millis()).unwrap_or(u64::MAX);
        if gained > 0 {
            self.tokens = self
                .tokens
                .saturating_add(gained.saturating_mul(u64::from(self.limits.calls_per_second)))
                .min(full(self.limits));
            self.filled += Duration::from_millis(gained);
        }
        if self.tokens < 1_000 {
            return Err(EndReason::RateLimited);
        }
        self.tokens -= 1_000;
        self.active += 1;
        Ok(())
    }

    /// Takes in a call that no limit stands before, an emergency; only a gateway that drains refuses it, so that
    /// another takes it. Matched by [`Admission::leave`] as well.
    pub fn enter_emergency(&mut self) -> Result<(), EndReason> {
        if self.draining {
            return Err(EndReason::Draining);
        }
        self.active += 1;
        Ok(())
    }

    /// A call ended.
    pub fn leave(&mut self) {
        self.active = self.active.saturating_sub(1);
    }

    /// Calls in progress.
    pub fn active(&self) -> usize {
        self.active
    }

    /// From now on nothing new is admitted.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether the gateway is draining.
    pub fn draining(&self) -> bool {
        self.draining
    }
}

fn full(limits: Limits) -> u64 {
    u64::from(limits.calls_per_second) * 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_by_number_then_rate_then_drain() {
        let mut a = Admission::new(
            Limits {
                calls: 3,
                calls_per_second: 2,
            },
            Time::ZERO,
        );
        assert_eq!(a.enter(Time::ZERO), Ok(()));
        assert_eq!(a.enter(Time::ZERO), Ok(()));
        assert_eq!(a.enter(Time::from_millis(400)), Err(EndReason::RateLimited));
        assert_eq!(a.enter(Time::from_millis(500)), Ok(()));
        assert_eq!(a.enter(Time::from_millis(5_000)), Err(EndReason::Overloaded));
        assert_eq!(a.enter_emergency(), Ok(()));
        a.leave();
        a.leave();
        assert_eq!(a.enter(Time::from_millis(5_000)), Ok(()));
        a.leave();
        a.drain();
        assert_eq!(a.enter(Time::from_millis(9_000)), Err(EndReason::Draining));
        assert_eq!(a.enter_emergency(), Err(EndReason::Draining));
        assert_eq!(a.active(), 2);
    }
}
