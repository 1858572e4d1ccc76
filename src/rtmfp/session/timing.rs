//! Clocks of a session: timestamps, their echoes, the round trip and the timeout that follows (§3.5.2.2).

use std::time::Duration;

use base::Time;

use crate::params;

/// What is known of the path's delay.
#[derive(Debug)]
pub(crate) struct Timing {
    /// The far end's last timestamp, and when it came.
    received: Option<(u16, Time)>,
    sent_echo: Option<u16>,
    received_echo: Option<u16>,
    smoothed: Option<(Duration, Duration)>,
    measured: Duration,
    /// Effective retransmission timeout.
    pub(crate) erto: Duration,
}

/// A time in the protocol's ticks of 4 ms.
pub(crate) fn ticks(now: Time) -> u16 {
    (now.as_millis() / 4) as u16
}

impl Timing {
    pub(crate) fn new() -> Timing {
        Timing {
            received: None,
            sent_echo: None,
            received_echo: None,
            smoothed: None,
            measured: params::ERTO_MIN,
            erto: params::ERTO_INITIAL,
        }
    }

    /// The smoothed round trip.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.smoothed.map(|(rtt, _)| rtt)
    }

    /// Takes the timestamps of a packet.
    pub(crate) fn on_header(&mut self, now: Time, timestamp: Option<u16>, echo: Option<u16>) {
        if let Some(timestamp) = timestamp
            && self.received.is_none_or(|(last, _)| last != timestamp)
        {
            self.received = Some((timestamp, now));
        }
        let Some(echo) = echo.filter(|e| self.received_echo != Some(*e)) else {
            return;
        };
        self.received_echo = Some(echo);
        let elapsed = ticks(now).wrapping_sub(echo);
        if elapsed > 32_767 {
            return;
        }
        let rtt = Duration::from_millis(u64::from(elapsed) * 4);
        let (smoothed, variance) = match self.smoothed {
            None => (rtt, rtt / 2),
            Some((smoothed, variance)) => (
                (smoothed * 7 + rtt) / 8,
                (variance * 3 + smoothed.abs_diff(rtt)) / 4,
            ),
        };
        self.smoothed = Some((smoothed, variance));
        self.measured = smoothed + variance * 4 + Duration::from_millis(200);
        self.erto = self.measured.max(params::ERTO_MIN);
    }

    /// The echo for the next packet, if there is news.
    pub(crate) fn echo(&mut self, now: Time) -> Option<u16> {
        let (timestamp, at) = self.received?;
        let elapsed = now.since(at);
        if elapsed > params::ECHO_LIFETIME {
            self.received = None;
            self.sent_echo = None;
            return None;
        }
        let echo = timestamp.wrapping_add((elapsed.as_millis() / 4) as u16);
        if self.sent_echo == Some(echo) {
            return None;
        }
        self.sent_echo = Some(echo);
        Some(echo)
    }

    /// Nothing came back in time: be more patient.
    pub(crate) fn backoff(&mut self) {
        self.erto = self
            .erto
            .mul_f64(std::f64::consts::SQRT_2)
            .min(params::ERTO_MAX)
            .max(self.measured);
    }

    /// The path is a new one.
    pub(crate) fn reset(&mut self) {
        self.smoothed = None;
        self.measured = params::ERTO_MIN;
        self.erto = params::ERTO_INITIAL;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_round_trip_is_measured_by_echoes_across_the_wrap() {
        let mut t = Timing::new();
        let now = Time::from_millis(4 * 65_535);
        let sent = ticks(now);
        t.on_header(now + Duration::from_millis(80), None, Some(sent));
        assert_eq!(t.rtt(), Some(Duration::from_millis(80)));
        assert_eq!(t.erto, Duration::from_millis(80 + 160 + 200));
        // The same echo again says nothing.
        t.on_header(now + Duration::from_millis(200), None, Some(sent));
        assert_eq!(t.rtt(), Some(Duration::from_millis(80)));
        t.backoff();
        assert!(t.erto > Duration::from_millis(600));
    }

    #[test]
    fn the_far_clock_is_echoed_with_the_time_since() {
        let mut t = Timing::new();
        assert_eq!(t.echo(Time::ZERO), None);
        t.on_header(Time::ZERO, Some(65_535), None);
        assert_eq!(t.echo(Time::from_millis(12)), Some(2));
        assert_eq!(t.echo(Time::from_millis(13)), None);
        assert_eq!(t.echo(Time::from_secs(129)), None);
    }
}
