//! One record as a line of JSON.

use std::time::Duration;

use base::Time;
use media::{QualityInput, estimate};
use serde_json::{Value, json};

use crate::exchange::{CallRecord, Party};
use crate::net::stamp;
use crate::shard::{LegStats, Side};

/// Delay that no figure shows, ms: a frame is collected, coded, and played by the far end.
const CODEC_MS: f32 = 40.0;

/// What goes into every record of one run of the gateway.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// `[node] name`.
    pub(crate) node: String,
    /// The wall clock at [`Origin::at`], since 1970-01-01 UTC.
    pub(crate) wall: Duration,
    /// The time of ours at which that was read.
    pub(crate) at: Time,
    /// Names this run: ids of calls begin anew with each.
    pub(crate) run: String,
}

/// A record as JSON, without line feed.
pub(crate) fn line(record: &CallRecord, origin: &Origin) -> String {
    let time = |t: Time| {
        let wall = origin.wall + t.since(origin.at);
        stamp(wall.saturating_sub(origin.at.since(t)))
    };
    let talked = record.answered.map(|t| record.ended.since(t));
    let media: Vec<Value> = record.media.iter().map(|(near, s)| medium(*near, s)).collect();
    let scores = record.media.iter().filter_map(|(_, s)| mos(s));
    json!({
        "id": record.call.to_string(),
        "run": origin.run,
        "node": origin.node,
        "began": time(record.began),
        "answered": record.answered.map(time),
        "ended": time(record.ended),
        "setup_ms": record.answered.map(|t| t.since(record.began).as_millis() as u64),
        "seconds": talked.map_or(0.0, |d| (d.as_secs_f64() * 1e3).round() / 1e3),
        "caller": party(&record.caller),
        "dialled": record.dialled,
        "callee": record.callee.as_ref().map(party),
        "status": record.status,
        "reason": record.reason.label(),
        "q850": record.reason.q850(),
        "fault": format!("{:?}", record.reason.fault()).to_ascii_lowercase(),
        "cause": record.cause,
        "tries": record.tries.iter().map(|t| json!({
            "trunk": t.trunk,
            "gateway": t.gateway,
            "status": t.status,
            "at": time(t.at),
        })).collect::<Vec<_>>(),
        "mos": scores.reduce(f32::min).map(|m| digits(m, 100.0)),
        "media": media,
    })
    .to_string()
}

fn party(party: &Party) -> Value {
    json!({ "kind": party.kind, "name": party.name, "number": party.number, "trunk": party.trunk })
}

fn medium(near: bool, s: &LegStats) -> Value {
    let label = |c: Option<codecs::CodecId>| c.map(|c| codecs::codec(c).label);
    json!({
        "of": if near { "caller" } else { "callee" },
        "side": match s.side { Side::Rtp => "rtp", Side::Client => "client" },
        "codec_in": label(s.codec_in),
        "codec_out": label(s.codec_out),
        "received": s.received,
        "sent": s.sent,
        "lost": s.lost,
        "late": s.late,
        "concealed": s.concealed,
        "remote_lost": s.remote_lost,
        "loss_percent": digits(share(s.lost + s.late, s.received + s.lost) * 100.0, 100.0),
        "jitter_ms": digits(s.jitter_ms, 10.0),
        "rtt_ms": digits(s.rtt_ms, 10.0),
        "left_out_ms": s.shortened_ms,
        "srtp": s.suite.map(media::Suite::name),
        "forged": s.forged,
        "replayed": s.replayed,
        "mos": mos(s).map(|m| digits(m, 100.0)),
    })
}

fn digits(x: f32, scale: f64) -> f64 {
    (f64::from(x) * scale).round() / scale
}

fn share(part: u64, whole: u64) -> f32 {
    if whole == 0 {
        0.0
    } else {
        part as f32 / whole as f32
    }
}

/// How an RTP leg sounded in its worse direction; none for a client, whose transport loses nothing, and for a leg
/// on which nothing came.
fn mos(s: &LegStats) -> Option<f32> {
    if s.side == Side::Client || s.received == 0 {
        return None;
    }
    let way = |loss, codec, delay_ms| {
        estimate(QualityInput {
            delay_ms,
            loss,
            burst: 1.0,
            codec,
        })
        .mos
    };
    let delay = s.rtt_ms / 2.0 + CODEC_MS;
    let heard = way(
        share(s.lost + s.late, s.received + s.lost),
        s.codec_in?,
        delay + s.wait_ms,
    );
    let said = s
        .codec_out
        .filter(|_| s.sent > 0)
        .map(|c| way(share(s.remote_lost, s.sent), c, delay + s.depth_ms));
    Some(said.map_or(heard, |said| said.min(heard)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Try;
    use base::{CallId, EndReason};
    use codecs::CodecId;

    #[test]
    fn a_line_says_who_when_how_and_why() {
        let stats = LegStats {
            codec_in: Some(CodecId::Pcmu),
            codec_out: Some(CodecId::Pcmu),
            received: 950,
            sent: 1_000,
            lost: 50,
            rtt_ms: 30.0,
            ..LegStats::default()
        };
        let record = CallRecord {
            call: CallId(17),
            began: Time::from_millis(10_000),
            answered: Some(Time::from_millis(11_250)),
            ended: Time::from_millis(31_250),
            caller: Party {
                kind: "stream",
                name: "alice".to_owned(),
                ..Party::default()
            },
            dialled: "+4930\n\"".to_owned(),
            callee: Some(Party {
                kind: "sip",
                name: "sip:+4930@t".to_owned(),
                trunk: Some("t".to_owned()),
                number: Some("+4930".to_owned()),
            }),
            status: 200,
            reason: EndReason::HungUp,
            cause: Some(16),
            tries: vec![Try {
                trunk: "t".to_owned(),
                gateway: Some("sip:a".to_owned()),
                status: 503,
                at: Time::from_millis(10_100),
            }],
            media: vec![(false, stats)],
        };
        let origin = Origin {
            node: "gw".to_owned(),
            wall: Duration::from_secs(1_795_268_892),
            at: Time::from_millis(12_000),
            run: "r1".to_owned(),
        };
        let text = line(&record, &origin);
        assert!(!text.contains('\n'));
        let v: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(v["began"], "2026-11-21T13:48:10.000Z");
        assert_eq!(v["ended"], "2026-11-21T13:48:31.250Z");
        assert_eq!(
            (v["seconds"].as_f64(), v["setup_ms"].as_u64()),
            (Some(20.0), Some(1_250))
        );
        assert_eq!(
            (&v["callee"]["trunk"], &v["callee"]["number"]),
            (&json!("t"), &json!("+4930"))
        );
        assert_eq!((&v["cause"], &v["tries"][0]["status"]), (&json!(16), &json!(503)));
        assert_eq!(v["tries"][0]["at"], "2026-11-21T13:48:10.100Z");
        assert_eq!(
            (&v["fault"], &v["media"][0]["of"]),
            (&json!("none"), &json!("callee"))
        );
        assert_eq!(v["media"][0]["loss_percent"], 5.0);
        let mos = v["mos"].as_f64().unwrap();
        assert!((3.7..4.0).contains(&mos), "{mos}");
    }

    #[test]
    fn a_leg_that_heard_nothing_has_no_score() {
        assert_eq!(mos(&LegStats::default()), None);
        let client = LegStats {
            side: Side::Client,
            received: 9,
            codec_in: Some(CodecId::SpeexWb),
            ..LegStats::default()
        };
        assert_eq!(mos(&client), None);
    }
}
