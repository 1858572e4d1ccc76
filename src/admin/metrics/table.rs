//! The metrics, a row each.

use super::{Metric, Seen, paths};
use crate::exchange::{GatewayBook, SetUp};
use crate::shard::{Figures, Lateness};

/// Every metric, in the order of the page.
pub(super) const METRICS: &[Metric] = &[
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

/// All gateways of all trunks: trunk, URI, and how it does.
fn gateways(seen: &Seen) -> impl Iterator<Item = (&str, &str, &GatewayBook)> {
    let trunks = seen.snapshot.trunks.iter();
    trunks.flat_map(|t| {
        t.gateways
            .iter()
            .map(|(uri, g)| (t.name.as_str(), uri.as_str(), g))
    })
}

/// The counters of the RTMFP sockets of all shards.
fn flows(seen: &Seen) -> rtmfp::EndpointStats {
    let mut sum = rtmfp::EndpointStats::default();
    seen.shards.iter().flatten().for_each(|f| sum.merge(&f.rtmfp));
    sum
}
