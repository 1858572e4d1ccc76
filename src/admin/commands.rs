//! What each command does: questions to the owners, answers as JSON.

use std::net::IpAddr;

use base::{CallId, LegId};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::process::Process;
use super::table::Args;
use super::{Admin, Failure, Order};
use crate::config::LogLevel;
use crate::exchange::{Ask, CallView, LegView, TrunkView, UserView};
use crate::net::stamp;
use crate::shard::{Figures, LegFigures, LegStats, Look, Side, SrtpSuite};

/// Calls in one answer unless more are asked for, and at most.
const CALLS: usize = 1_000;
const MOST_CALLS: usize = 10_000;
/// Users in one answer.
const USERS: usize = 5_000;

pub(super) async fn status(admin: &Admin, _args: &Args) -> Result<Value, Failure> {
    let snapshot = admin.snapshot(Ask::default()).await?;
    let shards = admin.figures(Look::Sums).await;
    let process = Process::now();
    let lag = |f: &Figures| f.lateness.worst_us as f64 / 1_000.0;
    let worst = shards.iter().flatten().map(lag).fold(0.0, f64::max);
    let of_state = |state| -> usize {
        let fits = snapshot.by_state.iter().filter(|((s, _), _)| *s == state);
        fits.map(|(_, n)| n).sum()
    };
    let registering: Vec<&TrunkView> = snapshot.trunks.iter().filter(|t| t.registers).collect();
    let up = registering
        .iter()
        .filter(|t| t.book.registered == Some(true))
        .count();
    let facts = &admin.facts;
    Ok(json!({
        "name": facts.name,
        "version": env!("CARGO_PKG_VERSION"),
        "state": if snapshot.draining { "draining" } else { "running" },
        "started": stamp(admin.wall(facts.started)),
        "uptime_s": admin.clock.now().since(facts.started).as_secs(),
        "calls": {
            "now": snapshot.calls_now,
            "dialling": of_state("dialling"),
            "ringing": of_state("ringing"),
            "up": of_state("up"),
            "total": snapshot.counters.calls,
            "answered": snapshot.counters.answered,
            "refused": snapshot.counters.refused.values().sum::<u64>(),
        },
        "sessions": snapshot.sessions,
        "streams": snapshot.streams,
        "rooms": {
            "now": snapshot.room_sums.rooms,
            "members": snapshot.room_sums.members,
            "listeners": snapshot.room_sums.listeners,
            "talkers": snapshot.room_sums.talkers,
            "recorded": snapshot.room_sums.recorded,
        },
        "registered": snapshot.registered,
        "trunks": format!("{up} of {}", registering.len()),
        "shards": shards.iter().map(|s| match s {
            Some(f) => json!({ "answers": true, "sessions": f.sessions, "legs": f.legs, "lag_ms": lag(f) }),
            None => json!({ "answers": false }),
        }).collect::<Vec<_>>(),
        "lag_ms": worst,
        "rtmfp": rtmfp_json(&shards),
        "memory_bytes": process.memory_bytes,
        "cpu_ms": process.cpu_ms,
        "open_files": process.files,
        "log_level": admin.log.level().as_str(),
        "listening": {
            "rtmp": facts.listening.rtmp,
            "rtmfp": facts.listening.rtmfp,
            "sip_udp": facts.listening.sip_udp,
            "sip_tcp": facts.listening.sip_tcp,
            "sip_tls": facts.listening.sip_tls,
            "rtmps": facts.listening.rtmp_tls,
            "rtmpt": facts.listening.rtmpt,
            "console": facts.listening.console,
            "console_tls": facts.listening.console_tls,
        },
    }))
}

/// What the RTMFP sockets have seen since the start.
fn rtmfp_json(shards: &[Option<Figures>]) -> Value {
    let mut sum = rtmfp::EndpointStats::default();
    shards.iter().flatten().for_each(|f| sum.merge(&f.rtmfp));
    let paths = super::metrics::paths(shards);
    let mean = paths.rtt.checked_div(paths.measured as u32);
    json!({
        "sessions": paths.sessions,
        "rtt_ms": mean.map(|rtt| rtt.as_millis()),
        "worst_rtt_ms": (paths.measured > 0).then_some(paths.worst_rtt.as_millis()),
        "window_bytes": paths.window,
        "handshakes": sum.accepted,
        "introduced": sum.introduced,
        "refused": {
            "hellos_limited": sum.hello_limited,
            "bad_cookie": sum.bad_cookie,
            "bad_keying": sum.bad_keying,
            "full": sum.full,
        },
        "datagrams_received": sum.datagrams_in,
        "datagrams_sent": sum.datagrams_out,
        "datagrams_stray": sum.stray,
        "datagrams_rejected": sum.sessions.rejected,
        "retransmits": sum.sessions.send.retransmits,
        "abandoned": sum.sessions.send.abandoned,
        "timeouts": sum.sessions.timeouts,
    })
}

pub(super) async fn calls(admin: &Admin, args: &Args) -> Result<Value, Failure> {
    let ask = Ask {
        calls: limit(args, CALLS, MOST_CALLS)?,
        ..Ask::default()
    };
    let snapshot = admin.snapshot(ask).await?;
    let legs = shown(&admin.figures(Look::Legs).await);
    let calls: Vec<Value> = snapshot
        .calls
        .iter()
        .map(|call| call_json(admin, call, &legs))
        .collect();
    Ok(json!({ "total": snapshot.calls_now, "calls": calls }))
}

pub(super) async fn call_info(admin: &Admin, args: &Args) -> Result<Value, Failure> {
    let id = call_id(args, "id")?;
    let ask = Ask {
        call: Some(id),
        ..Ask::default()
    };
    let snapshot = admin.snapshot(ask).await?;
    let call = snapshot.calls.first().ok_or_else(|| no_call(id))?;
    let halves = call.legs.iter().flat_map(|l| l.halves.iter().copied()).collect();
    let legs = shown(&admin.figures(Look::Levels(halves)).await);
    Ok(call_json(admin, call, &legs))
}

pub(super) async fn hangup(admin: &Admin, args: &Args) -> Result<Value, Failure> {
    let id = call_id(args, "id")?;
    if admin.hang_up(id).await? {
        tracing::info!(call = %id, "hung up by the operator");
        Ok(json!({ "message": format!("call {id} is hung up") }))
    } else {
        Err(no_call(id))
    }
}

pub(super) async fn users(admin: &Admin, _args: &Args) -> Result<Value, Failure> {
    let ask = Ask {
        users: USERS,
        ..Ask::default()
    };
    let snapshot = admin.snapshot(ask).await?;
    let users: Vec<Value> = snapshot.users.iter().map(user_json).collect();
    Ok(json!({ "registered": snapshot.registered, "users": users }))
}

pub(super) async fn trunks(admin: &Admin, _args: &Args) -> Result<Value, Failure> {
    let snapshot = admin.snapshot(Ask::default()).await?;
    let trunks: Vec<Value> = snapshot.trunks.iter().map(|t| trunk_json(admin, t)).collect();
    Ok(json!({ "trunks": trunks }))
}

pub(super) async fn bans(admin: &Admin, _args: &Args) -> Result<Value, Failure> {
    let snapshot = admin.snapshot(Ask::default()).await?;
    let bans: Vec<Value> = snapshot
        .bans
        .iter()
        .map(|ban| {
            json!({
                "source": ban.source,
                "why": ban.why,
                "until": stamp(admin.wall(ban.until)),
                "ends_s": ban.until.since(snapshot.at).as_secs(),
                "times": ban.times,
                "dropped": ban.dropped,
            })
        })
        .collect();
    let [of_banned, above_rate] = snapshot.dropped;
    Ok(json!({
        "bans": bans,
        "so_far": snapshot.counters.bans,
        "dropped": { "of_banned": of_banned, "above_rate": above_rate },
    }))
}

pub(super) async fn unban(admin: &Admin, args: &Args) -> Result<Value, Failure> {
    let text = args.get("source").and_then(Value::as_str).unwrap_or_default();
    let source: IpAddr = text
        .parse()
        .map_err(|_| Failure::new(400, "`source` must be an address: 192.0.2.7"))?;
    if admin.unban(source).await? {
        tracing::info!(%source, "the ban is lifted by the operator");
        Ok(json!({ "message": format!("{source} is served again") }))
    } else {
        let message = format!("{source} is not banned; `flashgate bans` lists who is");
        Err(Failure::new(404, message))
    }
}

pub(super) async fn drain(admin: &Admin, _args: &Args) -> Result<Value, Failure> {
    let (told, taken) = oneshot::channel();
    if admin.orders.try_send(Order::Drain(told)).is_err() || taken.await.is_err() {
        return Err(Failure::new(409, "the gateway is already ending"));
    }
    Ok(json!({ "message": "draining: no new calls; the gateway ends when those in progress have ended" }))
}

pub(super) async fn reload(admin: &Admin, _args: &Args) -> Result<Value, Failure> {
    let (answer, answered) = oneshot::channel();
    if admin.orders.try_send(Order::Reload(answer)).is_err() {
        return Err(Failure::new(409, "the gateway ends, or reloads already"));
    }
    match answered.await {
        Ok(Ok(done)) => Ok(json!({
            "message": done.message,
            "applied": done.applied,
            "restart": done.restart,
        })),
        Ok(Err(problems)) => Err(Failure::new(409, format!("nothing was changed:\n{problems}"))),
        Err(_) => Err(Failure::new(503, "the gateway ends")),
    }
}

pub(super) async fn history(admin: &Admin, _args: &Args) -> Result<Value, Failure> {
    Ok(json!({ "every_s": 10, "samples": admin.hub.history().await? }))
}

pub(super) async fn lines(admin: &Admin, args: &Args) -> Result<Value, Failure> {
    let limit = limit(args, 200, 2_000)?;
    let call = match args.get("call") {
        Some(_) => Some(call_id(args, "call")?.to_string()),
        None => None,
    };
    let lines = admin.hub.lines(call, limit).await?;
    Ok(json!({ "lines": lines.iter().map(|line| (**line).clone()).collect::<Vec<Value>>() }))
}

pub(super) async fn log(admin: &Admin, args: &Args) -> Result<Value, Failure> {
    let word = args.get("level").and_then(Value::as_str).unwrap_or_default();
    let level = LogLevel::parse(word).ok_or_else(|| Failure::new(400, "no such level"))?;
    admin.set_log_level(level)?;
    Ok(json!({ "message": format!("the log level is {word}") }))
}

/// The argument `limit`.
fn limit(args: &Args, default: usize, most: usize) -> Result<usize, Failure> {
    match args.get("limit").and_then(Value::as_str) {
        None => Ok(default),
        Some(text) => match text.parse() {
            Ok(n) if (1..=most).contains(&n) => Ok(n),
            _ => Err(Failure::new(
                400,
                format!("`limit` must be a number from 1 to {most}"),
            )),
        },
    }
}

pub(super) fn call_id(args: &Args, name: &str) -> Result<CallId, Failure> {
    let text = args.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = text.strip_prefix('c').unwrap_or(text);
    match number.parse() {
        Ok(n) if number.bytes().all(|b| b.is_ascii_digit()) => Ok(CallId(n)),
        _ => Err(Failure::new(
            400,
            "a call is named by the letter c and a number: c17",
        )),
    }
}

fn no_call(id: CallId) -> Failure {
    Failure::new(
        404,
        format!("there is no call {id}; `flashgate calls` lists those there are"),
    )
}

/// The legs that all shards show, by id.
pub(super) fn shown(shards: &[Option<Figures>]) -> std::collections::HashMap<LegId, LegFigures> {
    let all = shards.iter().flatten().flat_map(|f| f.shown.iter());
    all.map(|l| (l.leg, *l)).collect()
}

pub(super) type Legs = std::collections::HashMap<LegId, LegFigures>;

fn call_json(admin: &Admin, call: &CallView, legs: &Legs) -> Value {
    let now = admin.clock.now();
    let sums: Vec<(LegStats, Option<f32>)> = call.legs.iter().map(|leg| leg_sum(leg, legs)).collect();
    let worst = |of: fn(&LegStats) -> f32| sums.iter().map(|(s, _)| of(s)).fold(0.0, f32::max);
    let delay: f32 = sums.iter().map(|(s, _)| s.wait_ms + s.depth_ms).sum();
    let caller = call.legs.iter().find(|l| l.caller);
    json!({
        "id": call.call.to_string(),
        "state": call.state,
        "dialled": call.dialled,
        "caller": caller.map(|l| l.party.name.as_str()),
        "began": stamp(admin.wall(call.began)),
        "answered": call.answered.map(|at| stamp(admin.wall(at))),
        "seconds": now.since(call.answered.unwrap_or(call.began)).as_secs(),
        "codecs": codecs(&sums),
        "srtp": protection(&sums),
        "loss_percent": tenth(worst(loss_percent)),
        "jitter_ms": tenth(worst(|s| s.jitter_ms)),
        "rtt_ms": tenth(worst(|s| s.rtt_ms)),
        "delay_ms": tenth(delay),
        "legs": call.legs.iter().zip(&sums).map(|(leg, (s, level))| json!({
            "id": leg.leg.to_string(),
            "role": if leg.caller { "caller" } else { "callee" },
            "kind": leg.party.kind,
            "name": leg.party.name,
            "trunk": leg.party.trunk,
            "codec_in": label(s.codec_in),
            "codec_out": label(s.codec_out),
            "received": s.received,
            "sent": s.sent,
            "lost": s.lost,
            "late": s.late,
            "concealed": s.concealed,
            "remote_lost": s.remote_lost,
            "loss_percent": tenth(loss_percent(s)),
            "jitter_ms": tenth(s.jitter_ms),
            "rtt_ms": tenth(s.rtt_ms),
            "delay_ms": tenth(s.wait_ms + s.depth_ms),
            "left_out_ms": s.shortened_ms,
            "srtp": s.suite.map(SrtpSuite::name),
            "forged": s.forged,
            "replayed": s.replayed,
            "level_dbov": level.map(tenth),
        })).collect::<Vec<_>>(),
    })
}

/// The figures of all media halves of a leg as one.
fn leg_sum(leg: &LegView, legs: &Legs) -> (LegStats, Option<f32>) {
    let mut sum = LegStats::default();
    let mut level = None;
    for half in leg.halves.iter().filter_map(|h| legs.get(h)) {
        let s = &half.stats;
        sum.side = s.side;
        sum.codec_in = sum.codec_in.or(s.codec_in);
        sum.codec_out = sum.codec_out.or(s.codec_out);
        sum.received += s.received;
        sum.sent += s.sent;
        sum.lost += s.lost;
        sum.late += s.late;
        sum.concealed += s.concealed;
        sum.remote_lost += s.remote_lost;
        sum.jitter_ms = sum.jitter_ms.max(s.jitter_ms);
        sum.rtt_ms = sum.rtt_ms.max(s.rtt_ms);
        sum.wait_ms = sum.wait_ms.max(s.wait_ms);
        sum.depth_ms = sum.depth_ms.max(s.depth_ms);
        sum.shortened_ms += s.shortened_ms;
        sum.suite = sum.suite.or(s.suite);
        sum.forged += s.forged;
        sum.replayed += s.replayed;
        level = level.or(half.level_dbov);
    }
    (sum, level)
}

/// What the parties send, `speex, pcmu`; one word when both send the same.
fn codecs(sums: &[(LegStats, Option<f32>)]) -> String {
    let mut names: Vec<&str> = sums
        .iter()
        .filter_map(|(s, _)| label(s.codec_in).or(label(s.codec_out)))
        .collect();
    names.dedup();
    names.join(", ")
}

/// Whether the RTP of a call is protected: `yes`, `no`, or `part` of its legs; nothing for a call without RTP.
fn protection(sums: &[(LegStats, Option<f32>)]) -> Option<&'static str> {
    let rtp = || {
        sums.iter()
            .filter(|(s, _)| s.side == Side::Rtp && s.codec_out.is_some())
    };
    let protected = rtp().filter(|(s, _)| s.suite.is_some()).count();
    match rtp().count() {
        0 => None,
        n if n == protected => Some("yes"),
        _ if protected == 0 => Some("no"),
        _ => Some("part"),
    }
}

fn label(codec: Option<codecs::CodecId>) -> Option<&'static str> {
    codec.map(|c| codecs::codec(c).label)
}

/// Share of packets that were not heard.
fn loss_percent(s: &LegStats) -> f32 {
    let expected = s.received + s.lost;
    if expected == 0 {
        return 0.0;
    }
    (s.lost + s.late) as f32 * 100.0 / expected as f32
}

pub(super) fn tenth(x: f32) -> f64 {
    (f64::from(x) * 10.0).round() / 10.0
}

fn user_json(user: &UserView) -> Value {
    let contacts = &user.contacts;
    let joined = |of: &dyn Fn(&crate::exchange::ContactView) -> Option<String>| {
        contacts.iter().filter_map(of).collect::<Vec<_>>().join(" ")
    };
    json!({
        "aor": user.aor,
        "account": user.account,
        "contact_uris": joined(&|c| Some(c.uri.clone())),
        "remotes": joined(&|c| c.remote.map(|r| r.to_string())),
        "expires_s": contacts.iter().map(|c| c.expires).max(),
        "user_agent": joined(&|c| c.user_agent.clone()),
        "contacts": contacts.iter().map(|c| json!({
            "uri": c.uri,
            "remote": c.remote,
            "transport": c.transport,
            "expires_s": c.expires,
            "user_agent": c.user_agent,
        })).collect::<Vec<_>>(),
    })
}

fn trunk_json(admin: &Admin, trunk: &TrunkView) -> Value {
    let book = &trunk.book;
    let state = match (trunk.registers, book.registered, book.register_status) {
        (false, ..) => "no registration".to_owned(),
        (true, None, _) => "registering".to_owned(),
        (true, Some(true), _) => "registered".to_owned(),
        (true, Some(false), Some(status)) => format!("refused ({status})"),
        (true, Some(false), None) => "refused".to_owned(),
    };
    let up = trunk.gateways.iter().filter(|(_, g)| g.up == Some(true)).count();
    let down = trunk.gateways.iter().filter(|(_, g)| g.up == Some(false)).count();
    let all = trunk.gateways.len();
    let reached = match (up, down) {
        (0, 0) => "unknown".to_owned(),
        (_, 0) if up == all => "up".to_owned(),
        (_, _) if down == all => "down".to_owned(),
        _ => format!("{down} of {all} down"),
    };
    json!({
        "name": trunk.name,
        "uri": trunk.uri,
        "state": state,
        "reached": reached,
        "healthy": (!trunk.registers || book.registered == Some(true)) && down < all,
        "since": book.since.map(|at| stamp(admin.wall(at))),
        "calls_now": trunk.calls_now,
        "calls": book.calls,
        "calls_in": book.calls_in,
        "answered": book.answered,
        "failed": book.failed,
        "gateways": trunk.gateways.iter().map(|(uri, g)| json!({
            "uri": uri,
            "state": match g.up { None => "unknown", Some(true) => "up", Some(false) => "down" },
            "since": g.since.map(|at| stamp(admin.wall(at))),
            "probe_status": g.status,
            "probe_ms": g.rtt.map(|d| tenth(d.as_secs_f32() * 1e3)),
            "calls": g.calls,
            "failed": g.failed,
        })).collect::<Vec<_>>(),
    })
}
