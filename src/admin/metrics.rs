//! Metrics as Prometheus text (exposition format 0.0.4). A row of [`METRICS`] is all there is to say of one.

use std::fmt::Write as _;

use super::process::Process;
use super::{Admin, Failure};
use crate::directory::DirectoryView;
use crate::exchange::{Ask, GatewayBook, SetUp, Snapshot};
use crate::records::RecordsStats;
use crate::shard::{Figures, Lateness, Look, Side, Traffic};

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

/// All gateways of all trunks: trunk, URI, and how it does.
fn gateways(seen: &Seen) -> impl Iterator<Item = (&str, &str, &GatewayBook)> {
    let trunks = seen.snapshot.trunks.iter();
    trunks.flat_map(|t| {
        t.gateways
            .iter()
            .map(|(uri, g)| (t.name.as_str(), uri.as_str(), g))
    })
}

/// Writes the samples of one metric.
struct Samples<'a> {
    out: &'a mut String,
    name: &'static str,
}

/// Every metric, in the order of the page.
const METRICS: &[Metric] = &[
    Metric {
        name: "flashgate_build_info",
        kind: "gauge",
        help: "Always 1; the version of the gateway is its label.",
        samples: |s, _| s.put("", &[("version", env!("CARGO_PKG_VERSION"))], 1),
    },
    Metric {
        name: "flashgate_draining",
        kind: "gauge",
        help: "1 while no new calls are taken.",
        samples: |s, seen| s.put("", &[], u8::from(seen.snapshot.draining)),
    },
    Metric {
        name: "flashgate_calls",
        kind: "gauge",
        help: "Calls in progress, by state and by what the caller speaks.",
        samples: |s, seen| {
            for ((state, caller), n) in &seen.snapshot.by_state {
                s.put("", &[("state", state), ("dialect", caller)], n);
            }
        },
    },
    Metric {
        name: "flashgate_calls_total",
        kind: "counter",
        help: "Calls that began.",
        samples: |s, seen| s.put("", &[], seen.snapshot.counters.calls),
    },
    Metric {
        name: "flashgate_calls_answered_total",
        kind: "counter",
        help: "Calls that were answered.",
        samples: |s, seen| s.put("", &[], seen.snapshot.counters.answered),
    },
    Metric {
        name: "flashgate_calls_ended_total",
        kind: "counter",
        help: "Calls that ended, by reason.",
        samples: |s, seen| s.by_reason(&seen.snapshot.counters.ended),
    },
    Metric {
        name: "flashgate_calls_rejected_total",
        kind: "counter",
        help: "Calls that were refused before they began, by reason.",
        samples: |s, seen| s.by_reason(&seen.snapshot.counters.refused),
    },
    Metric {
        name: "flashgate_call_setup_seconds",
        kind: "histogram",
        help: "From the beginning of a call to its answer.",
        samples: |s, seen| {
            let set_up = &seen.snapshot.counters.set_up;
            let bounds = SetUp::BOUNDS_MS.map(|ms| ms as f64 / 1e3);
            s.histogram(
                &[],
                &bounds,
                &set_up.counts,
                set_up.calls,
                set_up.sum_ms as f64 / 1e3,
            );
        },
    },
    Metric {
        name: "flashgate_sessions",
        kind: "gauge",
        help: "Client sessions.",
        samples: |s, seen| s.put("", &[], seen.snapshot.sessions),
    },
    Metric {
        name: "flashgate_sessions_total",
        kind: "counter",
        help: "Client sessions that were opened.",
        samples: |s, seen| s.put("", &[], seen.snapshot.counters.sessions),
    },
    Metric {
        name: "flashgate_rtmfp_sessions",
        kind: "gauge",
        help: "Client sessions over RTMFP; they are among flashgate_sessions, too.",
        samples: |s, seen| s.put("", &[], paths(&seen.shards).sessions),
    },
    Metric {
        name: "flashgate_rtmfp_handshakes_total",
        kind: "counter",
        help: "RTMFP sessions that were opened.",
        samples: |s, seen| s.put("", &[], flows(seen).accepted),
    },
    Metric {
        name: "flashgate_rtmfp_refused_total",
        kind: "counter",
        help: "RTMFP hellos and keyings that were not answered, by reason.",
        samples: |s, seen| {
            let f = flows(seen);
            for (reason, n) in [
                ("hello-rate", f.hello_limited),
                ("bad-cookie", f.bad_cookie),
                ("bad-keying", f.bad_keying),
                ("full", f.full),
            ] {
                s.put("", &[("reason", reason)], n);
            }
        },
    },
    Metric {
        name: "flashgate_rtmfp_introduced_total",
        kind: "counter",
        help: "RTMFP clients that were introduced to others.",
        samples: |s, seen| s.put("", &[], flows(seen).introduced),
    },
    Metric {
        name: "flashgate_rtmfp_datagrams_total",
        kind: "counter",
        help: "RTMFP datagrams received and sent; rejected: forged, repeated or malformed; stray: of no session.",
        samples: |s, seen| {
            let f = flows(seen);
            for (what, n) in [
                ("received", f.datagrams_in),
                ("sent", f.datagrams_out),
                ("rejected", f.sessions.rejected),
                ("stray", f.stray),
            ] {
                s.put("", &[("what", what)], n);
            }
        },
    },
    Metric {
        name: "flashgate_rtmfp_retransmits_total",
        kind: "counter",
        help: "Fragments of RTMFP messages that were sent again.",
        samples: |s, seen| s.put("", &[], flows(seen).sessions.send.retransmits),
    },
    Metric {
        name: "flashgate_rtmfp_abandoned_total",
        kind: "counter",
        help: "RTMFP messages that were given up because they were late.",
        samples: |s, seen| s.put("", &[], flows(seen).sessions.send.abandoned),
    },
    Metric {
        name: "flashgate_rtmfp_timeouts_total",
        kind: "counter",
        help: "Times that nothing sent to an RTMFP client was acknowledged in time.",
        samples: |s, seen| s.put("", &[], flows(seen).sessions.timeouts),
    },
    Metric {
        name: "flashgate_rtmfp_rtt_seconds",
        kind: "gauge",
        help: "Round trip to the RTMFP clients: mean and worst.",
        samples: |s, seen| {
            let p = paths(&seen.shards);
            if let Some(mean) = p.rtt.checked_div(p.measured as u32) {
                s.put("", &[("of", "mean")], mean.as_secs_f64());
                s.put("", &[("of", "worst")], p.worst_rtt.as_secs_f64());
            }
        },
    },
    Metric {
        name: "flashgate_rtmfp_window_bytes",
        kind: "gauge",
        help: "Congestion windows toward all RTMFP clients together.",
        samples: |s, seen| s.put("", &[], paths(&seen.shards).window),
    },
    Metric {
        name: "flashgate_streams",
        kind: "gauge",
        help: "Relayed streams.",
        samples: |s, seen| s.put("", &[], seen.snapshot.streams),
    },
    Metric {
        name: "flashgate_outbound_streams",
        kind: "gauge",
        help: "Streams on RTMP servers elsewhere, by state.",
        samples: |s, seen| {
            for (state, count) in ["up", "dialling", "waiting"].iter().zip(seen.snapshot.outbound) {
                s.put("", &[("state", state)], count);
            }
        },
    },
    Metric {
        name: "flashgate_outbound_started_total",
        kind: "counter",
        help: "Streams on RTMP servers elsewhere that came about, also again.",
        samples: |s, seen| s.put("", &[], seen.snapshot.counters.outbound_started),
    },
    Metric {
        name: "flashgate_outbound_failed_total",
        kind: "counter",
        help: "Connections to RTMP servers elsewhere that failed or were lost.",
        samples: |s, seen| s.put("", &[], seen.snapshot.counters.outbound_failed),
    },
    Metric {
        name: "flashgate_rooms",
        kind: "gauge",
        help: "Conference rooms that are open.",
        samples: |s, seen| s.put("", &[], seen.snapshot.room_sums.rooms),
    },
    Metric {
        name: "flashgate_room_members",
        kind: "gauge",
        help: "Who is in conference rooms, by whether they may speak.",
        samples: |s, seen| {
            s.put("", &[("role", "member")], seen.snapshot.room_sums.members);
            s.put("", &[("role", "listener")], seen.snapshot.room_sums.listeners);
        },
    },
    Metric {
        name: "flashgate_room_talkers",
        kind: "gauge",
        help: "Who speaks in conference rooms now.",
        samples: |s, seen| s.put("", &[], seen.snapshot.room_sums.talkers),
    },
    Metric {
        name: "flashgate_rooms_recorded",
        kind: "gauge",
        help: "Conference rooms that are recorded.",
        samples: |s, seen| s.put("", &[], seen.snapshot.room_sums.recorded),
    },
    Metric {
        name: "flashgate_registered_users",
        kind: "gauge",
        help: "Addresses of record with at least one contact.",
        samples: |s, seen| s.put("", &[], seen.snapshot.registered),
    },
    Metric {
        name: "flashgate_sip_transactions",
        kind: "gauge",
        help: "SIP transactions under way.",
        samples: |s, seen| s.put("", &[], seen.snapshot.transactions),
    },
    Metric {
        name: "flashgate_banned_sources",
        kind: "gauge",
        help: "Addresses that are not served for a while; a thousand at most are counted.",
        samples: |s, seen| s.put("", &[], seen.snapshot.bans.len()),
    },
    Metric {
        name: "flashgate_bans_total",
        kind: "counter",
        help: "Sources of SIP that were banned, by what they did.",
        samples: |s, seen| {
            for (why, n) in &seen.snapshot.counters.bans {
                s.put("", &[("why", why)], *n);
            }
        },
    },
    Metric {
        name: "flashgate_sip_dropped_total",
        kind: "counter",
        help: "SIP requests that were dropped: of banned sources, and above the rate that a source may have.",
        samples: |s, seen| {
            let [banned, rate] = seen.snapshot.dropped;
            s.put("", &[("why", "banned")], banned);
            s.put("", &[("why", "rate")], rate);
        },
    },
    Metric {
        name: "flashgate_trunk_registered",
        kind: "gauge",
        help: "1 while a trunk holds our registration, for those that are registered with.",
        samples: |s, seen| {
            for trunk in seen.snapshot.trunks.iter().filter(|t| t.registers) {
                let up = u8::from(trunk.book.registered == Some(true));
                s.put("", &[("trunk", &trunk.name)], up);
            }
        },
    },
    Metric {
        name: "flashgate_trunk_gateway_up",
        kind: "gauge",
        help: "1 while a gateway of a trunk answers, 0 while it is down; absent while nothing is known of it.",
        samples: |s, seen| {
            for (trunk, uri, gateway) in gateways(seen) {
                if let Some(up) = gateway.up {
                    s.put("", &[("trunk", trunk), ("gateway", uri)], u8::from(up));
                }
            }
        },
    },
    Metric {
        name: "flashgate_trunk_gateway_calls_total",
        kind: "counter",
        help: "Calls sent to a gateway of a trunk.",
        samples: |s, seen| {
            for (trunk, uri, gateway) in gateways(seen) {
                s.put("", &[("trunk", trunk), ("gateway", uri)], gateway.calls);
            }
        },
    },
    Metric {
        name: "flashgate_trunk_gateway_failovers_total",
        kind: "counter",
        help: "Calls that a gateway of a trunk failed, so that the next was tried if there was one.",
        samples: |s, seen| {
            for (trunk, uri, gateway) in gateways(seen) {
                s.put("", &[("trunk", trunk), ("gateway", uri)], gateway.failed);
            }
        },
    },
    Metric {
        name: "flashgate_trunk_calls",
        kind: "gauge",
        help: "Calls in progress on a trunk.",
        samples: |s, seen| {
            for trunk in &seen.snapshot.trunks {
                s.put("", &[("trunk", &trunk.name)], trunk.calls_now);
            }
        },
    },
    Metric {
        name: "flashgate_trunk_calls_total",
        kind: "counter",
        help: "Calls over a trunk: those sent to it by what became of them, and those that came in.",
        samples: |s, seen| {
            for trunk in &seen.snapshot.trunks {
                let book = &trunk.book;
                let other = book.calls.saturating_sub(book.answered + book.failed);
                for (result, n) in [
                    ("answered", book.answered),
                    ("failed", book.failed),
                    ("other", other),
                    ("incoming", book.calls_in),
                ] {
                    s.put("", &[("trunk", &trunk.name), ("result", result)], n);
                }
            }
        },
    },
    Metric {
        name: "flashgate_audio_frames_received_total",
        kind: "counter",
        help: "Audio frames received, by side of the gateway and codec.",
        samples: |s, seen| s.traffic(seen, |t| t.received),
    },
    Metric {
        name: "flashgate_audio_frames_sent_total",
        kind: "counter",
        help: "Audio frames sent, by side of the gateway and codec.",
        samples: |s, seen| s.traffic(seen, |t| t.sent),
    },
    Metric {
        name: "flashgate_audio_frames_lost_total",
        kind: "counter",
        help: "Audio frames that never came, by side of the gateway and codec.",
        samples: |s, seen| s.traffic(seen, |t| t.lost),
    },
    Metric {
        name: "flashgate_audio_frames_late_total",
        kind: "counter",
        help: "Audio frames that came too late to be played, by side of the gateway and codec.",
        samples: |s, seen| s.traffic(seen, |t| t.late),
    },
    Metric {
        name: "flashgate_audio_frames_concealed_total",
        kind: "counter",
        help: "Audio frames made up for missing ones, by side of the gateway and codec.",
        samples: |s, seen| s.traffic(seen, |t| t.concealed),
    },
    Metric {
        name: "flashgate_jitter_buffer_seconds",
        kind: "gauge",
        help: "How long missing RTP packets are waited for now: mean and worst of all legs.",
        samples: |s, seen| {
            let all = || seen.shards.iter().flatten();
            let legs: usize = all().map(|f| f.waits.legs).sum();
            let sum: f32 = all().map(|f| f.waits.sum_ms).sum();
            let worst = all().map(|f| f.waits.worst_ms).fold(0.0, f32::max);
            s.put("", &[("of", "mean")], f64::from(sum / legs.max(1) as f32) / 1e3);
            s.put("", &[("of", "worst")], f64::from(worst) / 1e3);
        },
    },
    Metric {
        name: "flashgate_srtp_legs",
        kind: "gauge",
        help: "RTP legs that are protected by SRTP.",
        samples: |s, seen| {
            s.put(
                "",
                &[],
                seen.shards.iter().flatten().map(|f| f.srtp.legs).sum::<usize>(),
            )
        },
    },
    Metric {
        name: "flashgate_srtp_packets_refused_total",
        kind: "counter",
        help: "SRTP and SRTCP packets that were dropped: not made with the key, or come before.",
        samples: |s, seen| {
            let sum = |of: fn(&Figures) -> u64| seen.shards.iter().flatten().map(of).sum::<u64>();
            s.put("", &[("reason", "forged")], sum(|f| f.srtp.forged));
            s.put("", &[("reason", "replayed")], sum(|f| f.srtp.replayed));
        },
    },
    Metric {
        name: "flashgate_media_legs",
        kind: "gauge",
        help: "Media legs on a shard.",
        samples: |s, seen| s.by_shard(seen, |f| f.legs as f64),
    },
    Metric {
        name: "flashgate_event_loop_lag_seconds",
        kind: "histogram",
        help: "How late a shard served its media clock, which beats every 5 ms while there is a call.",
        samples: |s, seen| {
            for (n, figures) in seen.shards.iter().enumerate() {
                if let Some(late) = figures.as_ref().map(|f| &f.lateness) {
                    let bounds = Lateness::BOUNDS_MS.map(|ms| ms as f64 / 1e3);
                    let shard = [("shard", n.to_string())];
                    let labels: Vec<(&str, &str)> = shard.iter().map(|(k, v)| (*k, v.as_str())).collect();
                    s.histogram(
                        &labels,
                        &bounds,
                        &late.counts,
                        late.steps,
                        late.sum_us as f64 / 1e6,
                    );
                }
            }
        },
    },
    Metric {
        name: "flashgate_shard_up",
        kind: "gauge",
        help: "1 while a shard answers.",
        samples: |s, seen| {
            for (n, figures) in seen.shards.iter().enumerate() {
                s.put("", &[("shard", &n.to_string())], u8::from(figures.is_some()));
            }
        },
    },
    Metric {
        name: "flashgate_records_total",
        kind: "counter",
        help: "Call records that are safe on the disk.",
        samples: |s, seen| s.put("", &[], seen.records.written),
    },
    Metric {
        name: "flashgate_records_waiting",
        kind: "gauge",
        help: "Call records that are not on the disk yet; more than a few mean that the disk takes none.",
        samples: |s, seen| s.put("", &[], seen.records.waiting),
    },
    Metric {
        name: "process_cpu_seconds_total",
        kind: "counter",
        help: "Processor time of the process.",
        samples: |s, seen| s.put("", &[], seen.process.cpu_ms as f64 / 1e3),
    },
    Metric {
        name: "process_resident_memory_bytes",
        kind: "gauge",
        help: "Memory of the process.",
        samples: |s, seen| s.put("", &[], seen.process.memory_bytes),
    },
    Metric {
        name: "process_open_fds",
        kind: "gauge",
        help: "Open files of the process.",
        samples: |s, seen| s.put("", &[], seen.process.files),
    },
    Metric {
        name: "flashgate_directory_peers",
        kind: "gauge",
        help: "Peers of the directory that are connected.",
        samples: |s, seen| {
            s.put(
                "",
                &[],
                seen.directory.peers.iter().filter(|p| p.connected).count(),
            )
        },
    },
    Metric {
        name: "flashgate_directory_records",
        kind: "gauge",
        help: "Records of the directory kept here.",
        samples: |s, seen| s.put("", &[], seen.directory.stored),
    },
    Metric {
        name: "flashgate_directory_published",
        kind: "gauge",
        help: "Users published in the directory.",
        samples: |s, seen| s.put("", &[], seen.directory.published),
    },
    Metric {
        name: "flashgate_directory_lookups_total",
        kind: "counter",
        help: "Lookups in the directory, by how they ended.",
        samples: |s, seen| {
            for (result, n) in &seen.directory.counters.lookups {
                s.put("", &[("result", result)], n);
            }
        },
    },
    Metric {
        name: "flashgate_directory_lookup_hops_total",
        kind: "counter",
        help: "Peers asked in lookups.",
        samples: |s, seen| s.put("", &[], seen.directory.counters.hops),
    },
    Metric {
        name: "flashgate_directory_lookup_seconds_total",
        kind: "counter",
        help: "Time that lookups took, without those known from an earlier one.",
        samples: |s, seen| s.put("", &[], seen.directory.counters.lookup_ms as f64 / 1e3),
    },
    Metric {
        name: "flashgate_directory_puts_total",
        kind: "counter",
        help: "Records put into the directory, first or again.",
        samples: |s, seen| s.put("", &[], seen.directory.counters.puts),
    },
    Metric {
        name: "flashgate_directory_put_failures_total",
        kind: "counter",
        help: "Records that could not be put; they are put again.",
        samples: |s, seen| s.put("", &[], seen.directory.counters.put_failures),
    },
    Metric {
        name: "flashgate_directory_refused_total",
        kind: "counter",
        help: "Records of others that were not believed, by reason.",
        samples: |s, seen| {
            for (refusal, n) in &seen.directory.counters.refused {
                s.put("", &[("reason", refusal.label())], n);
            }
        },
    },
];

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

/// The counters of the RTMFP sockets of all shards.
fn flows(seen: &Seen) -> rtmfp::EndpointStats {
    let mut sum = rtmfp::EndpointStats::default();
    seen.shards.iter().flatten().for_each(|f| sum.merge(&f.rtmfp));
    sum
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
