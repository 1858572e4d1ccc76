//! The summary: for people, and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::marks::RoundTrip;
use super::stats::{Received, Spread};

/// What became of one call.
#[derive(Clone, Debug, Default)]
pub(super) struct CallReport {
    /// From the request to the first audio of the far end.
    pub(super) setup: Option<Duration>,
    /// From the request to the end.
    pub(super) duration: Duration,
    /// Frames that left.
    pub(super) sent: u64,
    /// Frames of our own that did not leave because the connection was stuck.
    pub(super) held_back: u64,
    pub(super) received: Received,
    /// The codec of the audio that came.
    pub(super) codec_received: Option<String>,
    pub(super) round_trips: Vec<RoundTrip>,
    /// When the first mark of all could have been sent, for the times of `round_trips`.
    pub(super) began: base::Time,
    /// Why it ended, when the far end or the network ended it: `486 Busy Here`, or a sentence.
    pub(super) ended_by_peer: Option<String>,
    /// The call never came about, or broke.
    pub(super) failed: bool,
}

impl CallReport {
    /// `200 OK`, or what the far end said.
    pub(super) fn status(&self) -> String {
        match &self.ended_by_peer {
            Some(status) => status.clone(),
            None => "200 OK".to_owned(),
        }
    }

    fn round_trip(&self) -> Option<Spread> {
        Spread::of(self.round_trips.iter().map(|t| ms(t.delay)))
    }
}

fn ms(d: Duration) -> f64 {
    d.as_secs_f64() * 1000.0
}

/// Rounded to a tenth: more digits would be noise.
fn tenth(x: f64) -> f64 {
    (x * 10.0).round() / 10.0
}

fn spread_json(spread: Option<Spread>) -> Value {
    match spread {
        Some(s) => json!({
            "min": tenth(s.min), "mean": tenth(s.mean), "p95": tenth(s.p95), "max": tenth(s.max), "count": s.count,
        }),
        None => Value::Null,
    }
}

fn spread_text(spread: Option<Spread>, none: &str) -> String {
    spread.map_or(none.to_owned(), |s| {
        format!(
            "{:.1} ms (min {:.1}, 95 % {:.1}, max {:.1}; {} measured)",
            s.mean, s.min, s.p95, s.max, s.count
        )
    })
}

/// One call as text.
pub(super) fn text(report: &CallReport, codec_sent: &str) -> String {
    let r = &report.received;
    let mut out = String::new();
    let setup = report
        .setup
        .map_or("no audio came".to_owned(), |d| format!("{:.0} ms", ms(d)));
    let codec = report.codec_received.as_deref().unwrap_or("none");
    let rows = [
        ("status", report.status()),
        ("duration", format!("{:.1} s", report.duration.as_secs_f64())),
        ("set-up", setup),
        ("codecs", format!("{codec_sent} sent, {codec} received")),
        (
            "frames",
            format!(
                "{} sent, {} received, {} lost, {} held back",
                report.sent, r.frames, r.lost, report.held_back
            ),
        ),
        ("jitter", format!("{:.1} ms", ms(r.jitter()))),
        (
            "round trip",
            spread_text(report.round_trip(), "not measured: no mark came back"),
        ),
    ];
    for (name, value) in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{name:<11} {value}");
    }
    out
}

/// One call as JSON.
pub(super) fn json(report: &CallReport, codec_sent: &str) -> Value {
    let over_time = report.round_trips.iter().map(|t| {
        json!([
            tenth(t.sent.since(report.began).as_secs_f64()),
            tenth(ms(t.delay))
        ])
    });
    json!({
        "status": report.status(),
        "failed": report.failed,
        "duration_s": tenth(report.duration.as_secs_f64()),
        "setup_ms": report.setup.map(|d| tenth(ms(d))),
        "codec_sent": codec_sent,
        "codec_received": report.codec_received,
        "frames_sent": report.sent,
        "frames_held_back": report.held_back,
        "frames_received": report.received.frames,
        "frames_lost": report.received.lost,
        "jitter_ms": tenth(ms(report.received.jitter())),
        "round_trip_ms": spread_json(report.round_trip()),
        "round_trip_over_time": over_time.collect::<Vec<_>>(),
    })
}

/// What became of many calls.
#[derive(Debug, Default)]
struct Load {
    failed: usize,
    statuses: BTreeMap<String, usize>,
    sent: u64,
    held_back: u64,
    received: u64,
    lost: u64,
    setup: Option<Spread>,
    jitter: Option<Spread>,
    round_trip: Option<Spread>,
}

impl Load {
    fn of(reports: &[CallReport]) -> Load {
        let mut load = Load {
            setup: Spread::of(reports.iter().filter_map(|r| r.setup).map(ms)),
            jitter: Spread::of(
                reports
                    .iter()
                    .filter(|r| !r.failed)
                    .map(|r| ms(r.received.jitter())),
            ),
            round_trip: Spread::of(reports.iter().flat_map(|r| &r.round_trips).map(|t| ms(t.delay))),
            ..Load::default()
        };
        for r in reports {
            load.failed += usize::from(r.failed);
            *load.statuses.entry(r.status()).or_default() += 1;
            load.sent += r.sent;
            load.held_back += r.held_back;
            load.received += r.received.frames;
            load.lost += r.received.lost;
        }
        load
    }
}

/// Many calls as text.
pub(super) fn load_text(reports: &[CallReport], codec_sent: &str) -> String {
    let load = Load::of(reports);
    let statuses: Vec<String> = load.statuses.iter().map(|(s, n)| format!("{n} x {s}")).collect();
    let mut out = String::new();
    let rows = [
        ("calls", format!("{}, {} failed", reports.len(), load.failed)),
        ("status", statuses.join("; ")),
        ("set-up", spread_text(load.setup, "no audio came")),
        ("codec", format!("{codec_sent} sent")),
        (
            "frames",
            format!(
                "{} sent, {} received, {} lost, {} held back",
                load.sent, load.received, load.lost, load.held_back
            ),
        ),
        ("jitter", spread_text(load.jitter, "none")),
        (
            "round trip",
            spread_text(load.round_trip, "not measured: no mark came back"),
        ),
    ];
    for (name, value) in rows {
        let _ = writeln!(out, "{name:<11} {value}");
    }
    out
}

/// Many calls as JSON.
pub(super) fn load_json(reports: &[CallReport], codec_sent: &str) -> Value {
    let load = Load::of(reports);
    json!({
        "calls": reports.len(),
        "failed": load.failed,
        "statuses": load.statuses,
        "codec_sent": codec_sent,
        "setup_ms": spread_json(load.setup),
        "frames_sent": load.sent,
        "frames_held_back": load.held_back,
        "frames_received": load.received,
        "frames_lost": load.lost,
        "jitter_ms": spread_json(load.jitter),
        "round_trip_ms": spread_json(load.round_trip),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Time;

    fn answered(delay: u64) -> CallReport {
        let trip = |s| RoundTrip {
            sent: Time::from_secs(s),
            delay: Duration::from_millis(delay),
        };
        CallReport {
            setup: Some(Duration::from_millis(120)),
            duration: Duration::from_secs(10),
            sent: 500,
            codec_received: Some("pcmu".to_owned()),
            round_trips: vec![trip(1), trip(2)],
            ..CallReport::default()
        }
    }

    #[test]
    fn one_call() {
        let value = json(&answered(80), "speex");
        assert_eq!(value["status"], "200 OK");
        assert_eq!(value["setup_ms"], 120.0);
        assert_eq!(value["round_trip_ms"]["mean"], 80.0);
        assert_eq!(value["round_trip_over_time"], json!([[1.0, 80.0], [2.0, 80.0]]));
        let text = text(&answered(80), "speex");
        assert!(text.contains("codecs      speex sent, pcmu received"), "{text}");
    }

    #[test]
    fn a_refused_call_has_no_figures() {
        let report = CallReport {
            ended_by_peer: Some("486 Busy Here".to_owned()),
            failed: true,
            ..CallReport::default()
        };
        let value = json(&report, "speex");
        assert_eq!(value["status"], "486 Busy Here");
        assert_eq!(value["setup_ms"], Value::Null);
        assert_eq!(value["round_trip_ms"], Value::Null);
    }

    #[test]
    fn many_calls_are_added_up() {
        let busy = CallReport {
            ended_by_peer: Some("486 Busy Here".to_owned()),
            failed: true,
            ..CallReport::default()
        };
        let value = load_json(&[answered(60), answered(80), busy], "pcmu");
        assert_eq!(value["statuses"], json!({"200 OK": 2, "486 Busy Here": 1}));
        assert_eq!(
            (value["failed"].as_u64(), value["frames_sent"].as_u64()),
            (Some(1), Some(1000))
        );
        assert_eq!(value["round_trip_ms"]["mean"], 70.0);
    }
}
