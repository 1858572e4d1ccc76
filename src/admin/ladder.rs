//! The ladder diagram of a call: who said what to whom, and when.

use std::time::Duration;

use serde_json::{Value, json};

use super::commands::call_id;
use super::table::Args;
use super::{Admin, Failure};
use crate::exchange::Said;
use crate::net::stamp;

/// From one line of the diagram to the next one beside it, characters.
const LANE: usize = 44;
/// Parties beside the gateway that are drawn; what further ones say is in the list of messages only.
const LANES: usize = 5;

pub(super) async fn ladder(admin: &Admin, args: &Args) -> Result<Value, Failure> {
    let id = call_id(args, "id")?;
    let said = admin.ladder(id).await?.ok_or_else(|| {
        let why = "nothing is kept of call";
        Failure::new(
            404,
            format!("{why} {id}: it never was, it is long over, or `[log] ladder` is \"0B\""),
        )
    })?;
    let first = said.first().map(|s| s.at);
    let since = |s: &Said| first.map_or(Duration::ZERO, |first| s.at.since(first));
    let messages: Vec<Value> = said
        .iter()
        .map(|s| {
            json!({
                "time": stamp(admin.wall(s.at)),
                "seconds": since(s).as_secs_f64(),
                "from": if s.outgoing { "flashgate" } else { &s.with },
                "to": if s.outgoing { &s.with } else { "flashgate" },
                "title": s.title,
                "text": s.text,
            })
        })
        .collect();
    let began = first.map(|at| stamp(admin.wall(at)));
    let head = format!("call {id}, {}\n\n", began.unwrap_or_default());
    Ok(json!({ "id": id.to_string(), "messages": messages, "message": head + &draw(&said) }))
}

/// The diagram as text: the gateway in the second column, whoever spoke first in the first.
fn draw(said: &[Said]) -> String {
    let mut parties: Vec<&str> = Vec::new();
    for s in said {
        if !parties.contains(&s.with.as_str()) {
            parties.push(&s.with);
        }
    }
    let lanes = parties.len().min(LANES);
    // The column of a party: the gateway's is 1.
    let column = |party: &str| {
        let n = parties.iter().position(|p| *p == party)?;
        (n < lanes).then_some(if n == 0 { 0 } else { n + 1 })
    };
    let place = |column: usize| 12 + column * LANE;
    let mut out = String::new();
    let mut heads = vec![("flashgate", place(1))];
    heads.extend(parties.iter().filter_map(|p| Some((*p, place(column(p)?)))));
    heads.sort_by_key(|(_, at)| *at);
    let mut line = String::new();
    for (name, at) in &heads {
        let begin = at.saturating_sub(name.len() / 2).max(line.len());
        line = format!("{line:<begin$}{name} ");
    }
    push(&mut out, &line);
    let first = said.first().map(|s| s.at);
    for s in said {
        let Some(party) = column(&s.with) else { continue };
        let (left, right) = (place(party.min(1)), place(party.max(1)));
        // The gateway is left of all but the first.
        let rightward = s.outgoing == (party > 1);
        let time = first.map_or(Duration::ZERO, |first| s.at.since(first));
        let mut row: Vec<char> = format!("{:>9.3}", time.as_secs_f64()).chars().collect();
        row.resize(place(lanes) + 1, ' ');
        for (_, at) in &heads {
            set(&mut row, *at, '|');
        }
        arrow(&mut row, left, right, rightward, &s.title);
        push(&mut out, &row.into_iter().collect::<String>());
    }
    out
}

/// `| INVITE SDP ------>|`
fn arrow(row: &mut [char], left: usize, right: usize, rightward: bool, title: &str) {
    for at in left + 1..right {
        set(row, at, '-');
    }
    let room = right.saturating_sub(left + 6);
    let shown: String = title.chars().take(room).collect();
    let begin = if rightward {
        set(row, right - 1, '>');
        left + 2
    } else {
        set(row, left + 1, '<');
        right.saturating_sub(shown.chars().count() + 2)
    };
    set(row, begin.saturating_sub(1), ' ');
    let mut at = begin;
    for c in shown.chars() {
        set(row, at, c);
        at += 1;
    }
    set(row, at, ' ');
}

fn set(row: &mut [char], at: usize, c: char) {
    if let Some(place) = row.get_mut(at) {
        *place = c;
    }
}

fn push(out: &mut String, line: &str) {
    out.push_str(line.trim_end());
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Time;

    fn said(ms: u64, outgoing: bool, with: &str, title: &str) -> Said {
        Said {
            at: Time::from_secs(9) + Duration::from_millis(ms),
            outgoing,
            with: with.to_owned(),
            title: title.to_owned(),
            text: String::new(),
        }
    }

    #[test]
    fn arrows_point_where_the_words_go() {
        let text = draw(&[
            said(0, false, "client s1", "publish bob"),
            said(2, true, "UDP 192.0.2.1:5060", "INVITE SDP"),
            said(1_500, false, "UDP 192.0.2.1:5060", "200 OK (INVITE) SDP"),
            said(1_501, true, "client s1", "onStatus: accepted"),
        ]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(
            lines[0].find("client s1") < lines[0].find("flashgate")
                && lines[0].ends_with("UDP 192.0.2.1:5060"),
            "{text}"
        );
        assert!(
            lines[1].contains("0.000   | publish bob ---") && lines[1].contains("->|"),
            "{text}"
        );
        assert!(
            lines[2].contains("| INVITE SDP ---") && lines[2].ends_with("->|"),
            "{text}"
        );
        assert!(
            lines[3].contains("1.500")
                && lines[3].contains("|<---")
                && lines[3].ends_with("200 OK (INVITE) SDP -|"),
            "{text}"
        );
        assert!(
            lines[4].contains("|<---") && lines[4].contains(" onStatus: accepted -|"),
            "{text}"
        );
    }

    #[test]
    fn many_parties_and_long_words_are_cut() {
        let many: Vec<Said> = (0..20)
            .map(|n| said(n, n % 2 == 0, &format!("TCP 192.0.2.{n}:5060"), &"x".repeat(200)))
            .collect();
        let text = draw(&many);
        assert_eq!(text.lines().count(), 1 + LANES);
        assert!(text.lines().all(|l| l.chars().count() < 12 + LANE * (LANES + 1)));
        assert_eq!(draw(&[]).lines().count(), 1);
    }
}
