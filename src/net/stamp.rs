//! Wall-clock times as text, RFC 3339 in UTC with milliseconds.

use std::time::Duration;

const DAY: u64 = 86_400;

/// `2026-11-21T13:48:12.345Z` for a time since 1970-01-01 UTC.
pub fn stamp(since_epoch: Duration) -> String {
    let (days, second) = (since_epoch.as_secs() / DAY, since_epoch.as_secs() % DAY);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60,
        since_epoch.subsec_millis()
    )
}

/// The time since 1970-01-01 UTC of a date or a time as [`stamp`] writes it; the fraction and the part after the
/// date may be left out.
pub fn parse_stamp(text: &str) -> Option<Duration> {
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, time.strip_suffix('Z').unwrap_or(time)),
        None => (text, "00:00:00"),
    };
    let number = |s: Option<&str>, low: u64, high: u64| {
        let s = s.filter(|s| s.len() <= 4 && s.bytes().all(|b| b.is_ascii_digit()))?;
        s.parse().ok().filter(|n| (low..=high).contains(n))
    };
    let mut parts = date.split('-');
    let (year, month, day) = (
        number(parts.next(), 1970, 9999)?,
        number(parts.next(), 1, 12)?,
        number(parts.next(), 1, 31)?,
    );
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = clock.split(':');
    let (h, m, s) = (
        number(parts.next(), 0, 23)?,
        number(parts.next(), 0, 59)?,
        number(parts.next().or(Some("0")), 0, 60)?,
    );
    let ms: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let seconds = days(year, month, day) * DAY + h * 3_600 + m * 60 + s;
    Some(Duration::from_millis(seconds * 1_000 + ms))
}

/// Days of the Gregorian calendar before a date, counted from March so that the leap day is a year's last.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + of_year - TO_1970
}

/// Days from 0000-03-01 to 1970-01-01.
const TO_1970: u64 = 719_468;

fn civil(since_1970: u64) -> (u64, u64, u64) {
    let n = since_1970 + TO_1970;
    let (era, of_era) = (n / 146_097, n % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = (shifted + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        let at = |s: u64, ms: u64| stamp(Duration::from_millis(s * 1_000 + ms));
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400, 7), "2000-02-29T00:00:00.007Z");
        assert_eq!(at(1_795_268_892, 345), "2026-11-21T13:48:12.345Z");
        assert_eq!(at(4_107_542_399, 999), "2100-02-28T23:59:59.999Z");
    }

    #[test]
    fn times_come_back() {
        for s in (0..5_000_000_000u64).step_by(40_000_003) {
            let t = Duration::from_millis(s * 1_000 + s % 1_000);
            assert_eq!(parse_stamp(&stamp(t)), Some(t));
        }
        assert_eq!(parse_stamp("2026-11-21"), parse_stamp("2026-11-21T00:00:00.000Z"));
        assert_eq!(
            parse_stamp("2026-11-21 13:48"),
            parse_stamp("2026-11-21T13:48:00Z")
        );
        for bad in [
            "",
            "x",
            "2026-13-01",
            "2026-1-1T25:00",
            "+026-01-01",
            "2026-01-01T00:00:00.x",
        ] {
            assert_eq!(parse_stamp(bad), None, "{bad}");
        }
    }
}
