//! `flashgate records`.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::{Source, show};
use crate::admin::table::{Column, Shape, Unit, column, plain};
use crate::config::Config;
use crate::net::{Clock, parse_stamp, stamp};
use crate::records::folder;
use crate::records::read::{self, Filter, Sums};

/// Read call records: list them, or what they add up to.
#[derive(Debug, clap::Args)]
pub(super) struct Records {
    #[command(flatten)]
    source: Source,
    /// The folder of the records [default: that of the configuration]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Calls begun since then: 2026-11-21, "2026-11-21 13:45" (UTC), or 2h, 30m, 7d ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Calls begun before then
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Calls whose caller, callee or dialled name holds this
    #[arg(long, value_name = "NAME")]
    party: Option<String>,
    /// Calls over this trunk
    #[arg(long, value_name = "NAME")]
    trunk: Option<String>,
    /// Calls that ended for this reason: hung_up, busy, no_answer …
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// The call of this id
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Show the last so many
    #[arg(long, value_name = "N", default_value_t = 1000)]
    last: usize,
    /// Show what they add up to: answer-seizure ratio, average duration, minutes, by trunk
    #[arg(long)]
    summary: bool,
    /// Print JSON, a record a line
    #[arg(long)]
    json: bool,
}

const LIST: Shape = Shape::Table(
    "",
    &[
        plain("BEGAN", "/began"),
        plain("ID", "/id"),
        plain("CALLER", "/caller/name"),
        plain("DIALLED", "/dialled"),
        plain("TRUNK", "/callee/trunk"),
        column("TALK", "/seconds", Unit::Seconds),
        plain("STATUS", "/status"),
        plain("REASON", "/reason"),
        plain("MOS", "/mos"),
    ],
    "no records",
);

const SUMS: &[Column] = &[
    plain("calls", "/calls"),
    plain("answered", "/answered"),
    column("answer-seizure ratio", "/asr_percent", Unit::Percent),
    column("average duration", "/acd_s", Unit::Seconds),
    plain("minutes", "/minutes"),
    column("set-up", "/setup_ms", Unit::Ms),
    plain("MOS", "/mos"),
];

const TRUNKS: Shape = Shape::Table(
    "/trunks",
    &[
        plain("TRUNK", "/trunk"),
        plain("CALLS", "/calls"),
        plain("ANSWERED", "/answered"),
        column("ASR", "/asr_percent", Unit::Percent),
        column("ACD", "/acd_s", Unit::Seconds),
        plain("MINUTES", "/minutes"),
        plain("MOS", "/mos"),
    ],
    "",
);

impl Records {
    pub(super) fn run(&self) -> Result<(), String> {
        let folder = match &self.dir {
            Some(folder) => folder.clone(),
            None => {
                let config = Config::load(self.source.config.as_deref()).map_err(|e| e.to_string())?;
                folder(&config)
            }
        };
        let filter = Filter {
            since: self.since.as_deref().map(time).transpose()?,
            until: self.until.as_deref().map(time).transpose()?,
            party: self.party.clone(),
            trunk: self.trunk.clone(),
            reason: self.reason.clone(),
            id: self.id.clone(),
        };
        let (mut sums, mut last) = (Sums::default(), VecDeque::new());
        let read = read::each(&folder, |record| {
            if !filter.takes(&record) {
                return;
            }
            sums.add(&record);
            if !self.summary {
                if last.len() >= self.last {
                    last.pop_front();
                }
                last.push_back(record);
            }
        });
        let bad = read.map_err(|e| {
            format!(
                "{}: {e}; --dir names another folder, [records] dir that of the gateway",
                folder.display()
            )
        })?;
        if bad > 0 {
            eprintln!("{bad} lines are no records: torn by a crash or a full disk");
        }
        self.print(&sums.json(), last.into());
        Ok(())
    }

    fn print(&self, sums: &Value, records: Vec<Value>) {
        match (self.summary, self.json) {
            (true, true) => println!("{sums:#}"),
            (true, false) => {
                print!("{}", show::text(&Shape::Lines(SUMS), sums));
                if sums["trunks"].as_array().is_some_and(|t| !t.is_empty()) {
                    print!("\n{}", show::text(&TRUNKS, sums));
                }
            }
            (false, true) => records.iter().for_each(|record| println!("{record}")),
            (false, false) => print!("{}", show::text(&LIST, &Value::Array(records))),
        }
    }
}

/// A time as the records have it: given so, as a date, or as how long ago.
fn time(text: &str) -> Result<String, String> {
    let ago = |text: &str| {
        let unit = text.chars().next_back()?;
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        let ago = Duration::from_secs(number.checked_mul(seconds)?);
        Some(Clock::wall().saturating_sub(ago))
    };
    parse_stamp(text).or_else(|| ago(text)).map(stamp).ok_or_else(|| {
        format!("\"{text}\" is no time; allowed: 2026-11-21, \"2026-11-21 13:45\" (UTC), or 30m, 2h, 7d ago")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_or_how_long_ago() {
        assert_eq!(time("2026-11-21").unwrap(), "2026-11-21T00:00:00.000Z");
        let hour = parse_stamp(&time("1h").unwrap()).unwrap();
        assert!(Clock::wall().saturating_sub(hour).as_secs().abs_diff(3_600) <= 1);
        assert!(time("yesterday").is_err() && time("5w").is_err() && time("").is_err());
    }
}
