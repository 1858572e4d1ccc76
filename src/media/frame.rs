//! A frame of encoded audio and the time it belongs to.

use base::Time;
use codecs::CodecId;
use std::time::Duration;

/// A point in a medium's own time: ticks of the sender's clock since its stream began, and ticks a second.
///
/// Never arrival time: that is [`MediaFrame::arrived`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MediaTime {
    /// Ticks since the stream began; it never goes back within a stream.
    pub ticks: u64,
    /// Ticks a second (Hz), at least 1. For RTP the RTP clock, for RTMP 1000.
    pub rate: u32,
}

impl MediaTime {
    /// `ticks` of a clock of `rate` Hz; a rate of 0 is taken as 1.
    pub const fn new(ticks: u64, rate: u32) -> MediaTime {
        MediaTime {
            ticks,
            rate: if rate == 0 { 1 } else { rate },
        }
    }

    /// The same point on a clock of `rate` Hz, rounded down.
    pub fn rescale(self, rate: u32) -> MediaTime {
        let ticks = u128::from(self.ticks) * u128::from(rate) / u128::from(self.rate.max(1));
        MediaTime::new(u64::try_from(ticks).unwrap_or(u64::MAX), rate)
    }

    /// Whole milliseconds since the stream began, rounded down; RTMP timestamps are this modulo 2^32.
    pub fn as_millis(self) -> u64 {
        self.rescale(1000).ticks
    }

    /// Time since the stream began.
    pub fn as_duration(self) -> Duration {
        Duration::from_nanos(self.rescale(1_000_000_000).ticks)
    }
}

/// One frame (or one message of several frames) of encoded audio on its way between two legs.
#[derive(Clone, Copy, Debug)]
pub struct MediaFrame<'a> {
    /// How the payload is encoded.
    pub codec: CodecId,
    /// When the sender captured it.
    pub time: MediaTime,
    /// The encoded audio, without RTP header or FLV byte; empty when `lost`.
    pub payload: &'a [u8],
    /// First frame after a silence (RFC 3551 §4.1).
    pub marker: bool,
    /// The frame did not come; conceal it.
    pub lost: bool,
    /// The payload is comfort noise (RFC 3389), not speech.
    pub comfort_noise: bool,
    /// When the gateway received it, for deadlines and delay figures.
    pub arrived: Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rescales_between_clocks() {
        let t = MediaTime::new(16_000, 16_000);
        assert_eq!(t.as_millis(), 1000);
        assert_eq!(t.rescale(8_000), MediaTime::new(8_000, 8_000));
        assert_eq!(
            MediaTime::new(1, 3).as_duration(),
            Duration::from_nanos(333_333_333)
        );
    }

    #[test]
    fn extremes_do_not_overflow() {
        assert_eq!(MediaTime::new(u64::MAX, 1).rescale(u32::MAX).ticks, u64::MAX);
        assert_eq!(MediaTime::new(5, 0).as_millis(), 5000);
    }
}
