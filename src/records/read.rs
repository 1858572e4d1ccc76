//! Reading call records: filters, and what they add up to.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde_json::{Value, json};

use super::{CURRENT, put_away};

/// Longest line that is read, bytes; a longer one is no record of ours.
const LINE: u64 = 256 * 1024;

/// Which records are wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Begun at or after this, as RFC 3339 in UTC.
    pub(crate) since: Option<String>,
    /// Begun before this.
    pub(crate) until: Option<String>,
    /// Whose caller, callee or dialled name holds this.
    pub(crate) party: Option<String>,
    /// Over this trunk.
    pub(crate) trunk: Option<String>,
    /// That ended for this reason.
    pub(crate) reason: Option<String>,
    /// With this id.
    pub(crate) id: Option<String>,
}

impl Filter {
    /// Whether a record is wanted.
    pub(crate) fn takes(&self, record: &Value) -> bool {
        let text = |at: &str| record.pointer(at).and_then(Value::as_str).unwrap_or_default();
        let began = text("/began");
        let holds = |wanted: &String| {
            ["/caller/name", "/callee/name", "/dialled"]
                .iter()
                .any(|at| text(at).contains(wanted.as_str()))
        };
        // Times of one form and zone are in the order of their letters.
        self.since.as_ref().is_none_or(|t| began >= t.as_str())
            && self.until.as_ref().is_none_or(|t| began < t.as_str())
            && self.party.as_ref().is_none_or(holds)
            && self.trunk.as_ref().is_none_or(|t| trunk_of(record) == Some(t))
            && self.reason.as_ref().is_none_or(|r| text("/reason") == r)
            && self.id.as_ref().is_none_or(|id| text("/id") == id)
    }
}

fn trunk_of(record: &Value) -> Option<&str> {
    ["/callee/trunk", "/caller/trunk"]
        .iter()
        .find_map(|at| record.pointer(at).and_then(Value::as_str))
}

/// Goes through the records of a folder, oldest first. Lines that are no records, as a crash or a full disk may
/// leave, are counted and passed over.
///
/// # Errors
/// What the system says of the folder or a file.
pub(crate) fn each(folder: &Path, mut take: impl FnMut(Value)) -> io::Result<u64> {
    let mut files = put_away(folder)?;
    files.push(folder.join(CURRENT));
    let mut bad = 0;
    for path in files {
        let file = match File::open(&path) {
            // Put away or removed since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        loop {
            line.clear();
            if (&mut reader).take(LINE).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            match serde_json::from_slice::<Value>(&line) {
                Ok(record) if record.get("began").is_some() => take(record),
                _ => bad += 1,
            }
        }
    }
    Ok(bad)
}

/// What records add up to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sums {
    calls: u64,
    answered: u64,
    seconds: f64,
    setup_ms: f64,
    mos: f64,
    scored: u64,
    reasons: BTreeMap<String, u64>,
    trunks: BTreeMap<String, Sums>,
}

impl Sums {
    /// Takes in a record.
    pub(crate) fn add(&mut self, record: &Value) {
        self.add_plain(record);
        let reason = record.get("reason").and_then(Value::as_str).unwrap_or("unknown");
        *self.reasons.entry(reason.to_owned()).or_default() += 1;
        if let Some(trunk) = trunk_of(record) {
            self.trunks.entry(trunk.to_owned()).or_default().add_plain(record);
        }
    }

    fn add_plain(&mut self, record: &Value) {
        let number = |name: &str| record.get(name).and_then(Value::as_f64);
        self.calls += 1;
        if record.get("answered").is_some_and(Value::is_string) {
            self.answered += 1;
            self.seconds += number("seconds").unwrap_or(0.0);
            self.setup_ms += number("setup_ms").unwrap_or(0.0);
        }
        if let Some(mos) = number("mos") {
            self.mos += mos;
            self.scored += 1;
        }
    }

    /// As JSON: calls, the answer-seizure ratio, the average call duration, minutes, set-up time, MOS.
    pub(crate) fn json(&self) -> Value {
        let over =
            |sum: f64, n: u64, digits: f64| (n > 0).then(|| (sum / n as f64 * digits).round() / digits);
        let mut out = json!({
            "calls": self.calls,
            "answered": self.answered,
            "asr_percent": over(self.answered as f64 * 100.0, self.calls, 10.0),
            "acd_s": over(self.seconds, self.answered, 10.0),
            "minutes": (self.seconds / 6.0).round() / 10.0,
            "setup_ms": over(self.setup_ms, self.answered, 1.0),
            "mos": over(self.mos, self.scored, 100.0),
        });
        if !self.reasons.is_empty() {
            out["reasons"] = json!(self.reasons);
            let trunks = self.trunks.iter().map(|(name, sums)| {
                let mut row = sums.json();
                row["trunk"] = name.as_str().into();
                row
            });
            out["trunks"] = trunks.collect();
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, began: &str, trunk: Option<&str>, seconds: Option<f64>) -> Value {
        json!({
            "id": id, "began": began, "answered": seconds.map(|_| began), "seconds": seconds.unwrap_or(0.0),
            "setup_ms": seconds.map(|_| 500), "caller": { "name": "alice" }, "dialled": "+4930",
            "callee": { "name": "sip:+4930@t", "trunk": trunk }, "mos": seconds.map(|_| 4.0),
            "reason": if seconds.is_some() { "hung_up" } else { "no_answer" },
        })
    }

    #[test]
    fn sums_by_trunk() {
        let mut sums = Sums::default();
        for r in [
            record("c1", "2026-11-21T10:00:00.000Z", Some("a"), Some(90.0)),
            record("c2", "2026-11-21T11:00:00.000Z", Some("a"), None),
            record("c3", "2026-11-21T12:00:00.000Z", None, Some(30.0)),
        ] {
            sums.add(&r);
        }
        let v = sums.json();
        assert_eq!((&v["calls"], &v["answered"]), (&json!(3), &json!(2)));
        assert_eq!(
            (&v["asr_percent"], &v["acd_s"], &v["minutes"]),
            (&json!(66.7), &json!(60.0), &json!(2.0))
        );
        assert_eq!(v["reasons"]["no_answer"], 1);
        assert_eq!(v["trunks"][0]["trunk"], "a");
        assert_eq!(v["trunks"][0]["asr_percent"], 50.0);
        assert_eq!(Sums::default().json()["acd_s"], Value::Null);
    }

    #[test]
    fn filters_hold_together() {
        let r = record("c1", "2026-11-21T10:00:00.000Z", Some("a"), Some(90.0));
        let all = Filter::default();
        assert!(all.takes(&r));
        let with = |set: fn(&mut Filter)| {
            let mut filter = Filter::default();
            set(&mut filter);
            filter.takes(&r)
        };
        assert!(with(|f| f.since = Some("2026-11-21T10:00:00.000Z".to_owned())));
        assert!(!with(|f| f.until = Some("2026-11-21T10:00:00.000Z".to_owned())));
        assert!(with(|f| f.party = Some("4930".to_owned())) && !with(|f| f.party = Some("bob".to_owned())));
        assert!(with(|f| f.trunk = Some("a".to_owned())) && !with(|f| f.trunk = Some("b".to_owned())));
        assert!(!with(|f| f.reason = Some("busy".to_owned())) && with(|f| f.id = Some("c1".to_owned())));
    }

    #[test]
    fn files_are_read_in_order_and_rubbish_is_passed_over() {
        let folder = std::env::temp_dir().join(format!("flashgate-read-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let put = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
        put(
            "calls-2026-11-20T100000.000Z.jsonl",
            format!("{}\n", record("c1", "1", None, None)),
        );
        put(
            "calls.jsonl",
            format!("{{\"torn\n\n{}\n{}", record("c2", "2", None, None), "{\"half\":"),
        );
        put("other.txt", "x".to_owned());
        let mut ids = Vec::new();
        let bad = each(&folder, |r| ids.push(r["id"].as_str().unwrap().to_owned())).unwrap();
        assert_eq!((ids, bad), (vec!["c1".to_owned(), "c2".to_owned()], 3));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
