//! The commands about the directory and its peers.

use overlay::Presence;
use serde_json::{Value, json};

use super::table::Args;
use super::{Admin, Failure};
use crate::directory::{Answer, Location, LookupError};
use crate::net::stamp;

pub(super) async fn peers(admin: &Admin, _args: &Args) -> Result<Value, Failure> {
    let view = admin.directory()?.look().await.map_err(failure)?;
    let peers: Vec<Value> = view
        .peers
        .iter()
        .map(|p| {
            json!({
                "peer": p.peer,
                "addresses": p.addresses,
                "connected": p.connected,
                "rtt_ms": p.rtt.map(|r| r.as_secs_f64() * 1e3),
                "bucket": p.bucket,
                "version": p.version,
            })
        })
        .collect();
    let lookups = &view.counters.lookups;
    Ok(json!({
        "backend": view.backend,
        "peer": view.peer,
        "listening": view.listening,
        "certificate_until": view.certificate_until.map(time),
        "stored": view.stored,
        "published": view.published,
        "lookups": lookups,
        "hops": view.counters.hops,
        "refused": view.counters.refused.iter().map(|(r, n)| (r.label(), *n)).collect::<std::collections::BTreeMap<_, _>>(),
        "peers": peers,
    }))
}

pub(super) async fn lookup(admin: &Admin, args: &Args) -> Result<Value, Failure> {
    let aor = args.get("aor").and_then(Value::as_str).unwrap_or_default();
    let answer = admin.directory()?.trace(aor).await.map_err(failure)?;
    if answer.locations.is_empty() {
        let asked = answer.trace.len();
        return Err(Failure::new(
            404,
            format!("nobody in the directory knows {aor}; peers asked: {asked}"),
        ));
    }
    Ok(json!({
        "aor": aor,
        "took_ms": answer.took.as_secs_f64() * 1e3,
        "locations": answer.locations.iter().map(location).collect::<Vec<_>>(),
        "trace": trace(&answer),
    }))
}

pub(super) async fn trace_lookup(admin: &Admin, args: &Args) -> Result<Value, Failure> {
    let aor = args.get("aor").and_then(Value::as_str).unwrap_or_default();
    let answer = admin.directory()?.trace(aor).await.map_err(failure)?;
    Ok(json!({
        "aor": aor,
        "took_ms": answer.took.as_secs_f64() * 1e3,
        "found": answer.locations.len(),
        "trace": trace(&answer),
    }))
}

fn trace(answer: &Answer) -> Vec<Value> {
    let hop = |h: &crate::directory::Hop| json!({ "peer": h.peer, "said": h.said, "after_ms": h.after.as_secs_f64() * 1e3 });
    answer.trace.iter().map(hop).collect()
}

fn location(location: &Location) -> Value {
    let binding = &location.binding;
    json!({
        "contact": binding.contact,
        "peer": location.peer.to_string(),
        "priority": binding.priority,
        "presence": match binding.presence {
            Presence::Online => "online",
            Presence::Busy => "busy",
        },
        "capabilities": binding.capabilities,
        "since": time(location.sequence),
        "until": time(location.expires),
    })
}

fn time(ms: overlay::Wall) -> String {
    stamp(std::time::Duration::from_millis(ms))
}

fn failure(error: LookupError) -> Failure {
    let status = match error {
        LookupError::Name(_) => 400,
        LookupError::Busy | LookupError::Late | LookupError::Engine(_) | LookupError::Gone => 503,
    };
    Failure::new(status, error.to_string())
}
