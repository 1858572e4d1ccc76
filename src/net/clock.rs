//! The only reader of the machine's clock.

use std::time::Duration;

use base::Time;

/// Turns the monotonic clock into [`Time`]: nanoseconds since this clock was made. Copies agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: tokio::time::Instant,
}

impl Clock {
    /// A clock that begins now, at [`Time::ZERO`] plus one second: a machine may subtract a little from
    /// its first `now` without meeting the beginning of time.
    #[expect(
        clippy::new_without_default,
        reason = "making a clock reads the machine's: that should be seen"
    )]
    pub fn new() -> Clock {
        let now = tokio::time::Instant::now();
        Clock {
            start: now.checked_sub(Duration::from_secs(1)).unwrap_or(now),
        }
    }

    /// The time now.
    pub fn now(&self) -> Time {
        Time::ZERO + self.start.elapsed()
    }

    /// The instant at which the runtime has to wake for `at`.
    pub fn instant(&self, at: Time) -> tokio::time::Instant {
        // A deadline of "never" must not overflow the runtime's own arithmetic.
        const FAR: Duration = Duration::from_secs(30 * 86_400);
        self.start + at.since(Time::ZERO).min(self.start.elapsed() + FAR)
    }

    /// Sleeps until `at`; for ever when there is no deadline.
    ///
    /// Cancel-safe.
    pub async fn sleep_until(&self, at: Option<Time>) {
        match at {
            Some(at) => tokio::time::sleep_until(self.instant(at)).await,
            None => std::future::pending().await,
        }
    }

    /// An instant to count from, for a library that wants such. Which one it is does not matter.
    #[expect(clippy::disallowed_methods, reason = "this file is where the clock is read")]
    pub fn instant_now() -> std::time::Instant {
        std::time::Instant::now()
    }

    /// The wall clock, as the time since 1970-01-01 UTC: for records, certificates and RTCP's NTP stamps,
    /// never for deadlines.
    #[expect(clippy::disallowed_methods, reason = "this file is where the clock is read")]
    pub fn wall() -> Duration {
        std::time::SystemTime::now()
            .duration_since(std::time::SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn sleeps_to_the_deadline_and_no_longer() {
        let clock = Clock::new();
        let at = clock.now() + Duration::from_millis(25);
        clock.sleep_until(Some(at)).await;
        assert!(clock.now() >= at && clock.now().since(at) < Duration::from_millis(2));
        clock.sleep_until(Some(Time::ZERO)).await;
        assert!(
            clock.now().since(at) < Duration::from_millis(3),
            "a past deadline is over at once"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn no_deadline_is_for_ever() {
        let clock = Clock::new();
        let far = tokio::time::timeout(Duration::from_secs(3600), clock.sleep_until(None)).await;
        assert!(far.is_err());
        let far = tokio::time::timeout(Duration::from_secs(3600), clock.sleep_until(Some(Time::MAX))).await;
        assert!(far.is_err());
    }
}
