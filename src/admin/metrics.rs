//! Metrics as Prometheus text (exposition format 0.0.4). A row of [`METRICS`] is all there is to say of
//! one.

mod table;

use std::fmt::Write as _;

use table::METRICS;

use super::process::Process;
use super::{Admin, Failure};
use crate::directory::DirectoryView;
use crate::exchange::{Ask, Snapshot};
use crate::records::RecordsStats;
use crate::shard::{Figures, Look, Side, Traffic};

/// What the page is called in `Content-Type`.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A metric. Names end in the unit; what only grows ends in `_total`.
struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    /// Writes its samples.
    samples: fn(&mut Samples<'_>, &Seen),
}

/// All that the metrics are read from.
struct Seen {
    snapshot: Box<Snapshot>,
    shards: Vec<Option<Figures>>,
    process: Process,
    records: RecordsStats,
    traffic: Vec<Traffic>,
    directory: DirectoryView,
}

/// Writes the samples of one metric.
struct Samples<'a> {
    out: &'a mut String,
    name: &'static str,
}

impl Samples<'_> {
    fn put(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let mut text = String::new();
        for (name, value) in labels {
            let comma = if text.is_empty() { "" } else { "," };
            let value = value
                .replace('\\', r"\\")
                .replace('"', "\\\"")
                .replace('\n', r"\n");
            // Writing to a string cannot fail, here and below.
            let _ = write!(text, "{comma}{name}=\"{value}\"");
        }
        let labels = if text.is_empty() {
            text
        } else {
            format!("{{{text}}}")
        };
        let _ = writeln!(self.out, "{}{suffix}{labels} {value}", self.name);
    }

    fn by_reason(&mut self, counts: &std::collections::BTreeMap<&'static str, u64>) {
        for (reason, n) in counts {
            self.put("", &[("reason", reason)], n);
        }
    }

    fn by_shard(&mut self, seen: &Seen, of: fn(&Figures) -> f64) {
        for (n, figures) in seen.shards.iter().enumerate() {
            if let Some(figures) = figures {
                self.put("", &[("shard", &n.to_string())], of(figures));
            }
        }
    }

    fn traffic(&mut self, seen: &Seen, of: fn(&Traffic) -> u64) {
        for t in &seen.traffic {
            let side = match t.side {
                Side::Rtp => "rtp",
                Side::Client => "client",
            };
            let codec = t.codec.map_or("other", |c| codecs::codec(c).label);
            self.put("", &[("side", side), ("codec", codec)], of(t));
        }
    }

    /// `counts` hold each case once, at the first bound it does not exceed; the page wants sums.
    fn histogram(&mut self, labels: &[(&str, &str)], bounds: &[f64], counts: &[u64], all: u64, sum: f64) {
        let mut so_far = 0;
        for (bound, count) in bounds.iter().zip(counts) {
            so_far += count;
            let bound = bound.to_string();
            let with: Vec<(&str, &str)> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
            self.put("_bucket", &with, so_far);
        }
        let with: Vec<(&str, &str)> = labels.iter().copied().chain([("le", "+Inf")]).collect();
        self.put("_bucket", &with, all);
        self.put("_sum", labels, sum);
        self.put("_count", labels, all);
    }
}

/// The whole page.
pub(super) async fn page(admin: &Admin) -> Result<String, Failure> {
    let snapshot = admin.snapshot(Ask::default()).await?;
    let shards = admin.figures(Look::Sums).await;
    let traffic = traffic(&shards);
    Ok(write(&Seen {
        snapshot,
        shards,
        traffic,
        process: Process::now(),
        records: admin.records.stats(),
        directory: match &admin.directory {
            Some(directory) => directory.look().await.unwrap_or_default(),
            None => DirectoryView::default(),
        },
    }))
}

/// How the RTMFP sessions of all shards fare now.
pub(super) fn paths(shards: &[Option<Figures>]) -> rtmfp::Paths {
    let mut sum = rtmfp::Paths::default();
    shards.iter().flatten().for_each(|f| sum.merge(&f.rtmfp_paths));
    sum
}

/// The frames of all shards together.
pub(super) fn traffic(shards: &[Option<Figures>]) -> Vec<Traffic> {
    let mut sums: Vec<Traffic> = Vec::new();
    for t in shards.iter().flatten().flat_map(|f| &f.traffic) {
        match sums.iter_mut().find(|s| s.side == t.side && s.codec == t.codec) {
            None => sums.push(*t),
            Some(s) => {
                s.received += t.received;
                s.sent += t.sent;
                s.lost += t.lost;
                s.late += t.late;
                s.concealed += t.concealed;
            }
        }
    }
    sums.sort_by_key(|t| (t.side == Side::Client, t.codec));
    sums
}

fn write(seen: &Seen) -> String {
    let mut out = String::new();
    for metric in METRICS {
        let _ = writeln!(out, "# HELP {} {}", metric.name, metric.help);
        let _ = writeln!(out, "# TYPE {} {}", metric.name, metric.kind);
        let mut samples = Samples {
            out: &mut out,
            name: metric.name,
        };
        (metric.samples)(&mut samples, seen);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Time;

    fn seen() -> Seen {
        let mut counters = crate::exchange::Counters::default();
        counters.refused.insert("overloaded", 3);
        counters.set_up.counts[2] = 4;
        counters.set_up.counts[4] = 1;
        counters.set_up.calls = 6;
        counters.set_up.sum_ms = 9_500;
        Seen {
            snapshot: Box::new(Snapshot {
                at: Time::ZERO,
                draining: false,
                calls_now: 1,
                by_state: [(("up", "stream"), 1)].into(),
                calls: Vec::new(),
                sessions: 1,
                streams: 0,
                outbound: [0; 3],
                registered: 0,
                users: Vec::new(),
                trunks: vec![crate::exchange::TrunkView {
                    name: "a\"b".to_owned(),
                    uri: String::new(),
                    registers: true,
                    book: Default::default(),
                    calls_now: 0,
                    gateways: vec![("sip:x".to_owned(), Default::default())],
                }],
                rooms: Vec::new(),
                room_sums: crate::exchange::RoomSums {
                    rooms: 2,
                    members: 5,
                    ..Default::default()
                },
                bans: Vec::new(),
                dropped: [7, 0],
                transactions: 0,
                counters,
            }),
            shards: vec![
                Some(Figures {
                    rtmfp: rtmfp::EndpointStats {
                        bad_cookie: 2,
                        ..Default::default()
                    },
                    rtmfp_paths: rtmfp::Paths {
                        sessions: 2,
                        measured: 2,
                        rtt: std::time::Duration::from_millis(40),
                        worst_rtt: std::time::Duration::from_millis(30),
                        window: 9_000,
                    },
                    ..Figures::default()
                }),
                None,
            ],
            process: Process::default(),
            records: RecordsStats::default(),
            directory: DirectoryView::default(),
            traffic: vec![Traffic {
                codec: Some(codecs::CodecId::Pcmu),
                received: 50,
                ..Traffic::default()
            }],
        }
    }

    #[test]
    fn the_page_is_what_prometheus_reads() {
        let page = write(&seen());
        for line in [
            "flashgate_calls{state=\"up\",dialect=\"stream\"} 1",
            "flashgate_calls_rejected_total{reason=\"overloaded\"} 3",
            "flashgate_call_setup_seconds_bucket{le=\"0.1\"} 4",
            "flashgate_call_setup_seconds_bucket{le=\"0.5\"} 5",
            "flashgate_call_setup_seconds_bucket{le=\"+Inf\"} 6",
            "flashgate_call_setup_seconds_sum 9.5",
            "flashgate_sip_dropped_total{why=\"banned\"} 7",
            "flashgate_trunk_registered{trunk=\"a\\\"b\"} 0",
            "flashgate_audio_frames_received_total{side=\"rtp\",codec=\"pcmu\"} 50",
            "flashgate_rooms 2",
            "flashgate_room_members{role=\"member\"} 5",
            "flashgate_shard_up{shard=\"1\"} 0",
            "flashgate_rtmfp_refused_total{reason=\"bad-cookie\"} 2",
            "flashgate_rtmfp_rtt_seconds{of=\"mean\"} 0.02",
            "flashgate_rtmfp_rtt_seconds{of=\"worst\"} 0.03",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} is not in\n{page}");
        }
        // Each line is a comment, or a name with labels and a number.
        for line in page.lines().filter(|l| !l.starts_with("# ")) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(
                name.starts_with("flashgate_") || name.starts_with("process_"),
                "{line}"
            );
        }
    }

    #[test]
    fn names_say_their_unit_and_counters_that_they_grow() {
        for metric in METRICS {
            assert_eq!(
                metric.kind == "counter",
                metric.name.ends_with("_total"),
                "{}",
                metric.name
            );
            assert!(
                metric.kind != "histogram" || metric.name.ends_with("_seconds"),
                "{}",
                metric.name
            );
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }

    #[test]
    fn the_guide_lists_every_metric_and_no_other() {
        let guide = include_str!("../../docs/operating.md");
        let listed: Vec<&str> = guide
            .lines()
            .filter_map(|l| l.strip_prefix("| `")?.split_once('`').map(|(name, _)| name))
            .filter(|n| n.starts_with("flashgate_") || n.starts_with("process_"))
            .collect();
        let known: Vec<&str> = METRICS.iter().map(|m| m.name).collect();
        assert_eq!(listed, known);
    }
}
