//! Answers of a running gateway as text for people.

use serde_json::Value;

use crate::admin::table::{Column, Shape, Unit};

/// Longest text in a column of a table, characters.
const CELL: usize = 48;

/// An answer as text, with a line feed at its end.
pub(super) fn text(shape: &Shape, answer: &Value) -> String {
    match shape {
        Shape::Lines(columns) => lines(columns, answer),
        Shape::Table(rows, columns, none) => table(
            columns,
            answer
                .pointer(rows)
                .and_then(Value::as_array)
                .map_or(&[], Vec::as_slice),
            none,
        ),
        Shape::Message => {
            let message = answer.pointer("/message").and_then(Value::as_str);
            format!("{}\n", message.unwrap_or("done"))
        }
    }
}

fn lines(columns: &[Column], answer: &Value) -> String {
    let width = columns.iter().map(|c| c.head.len()).max().unwrap_or(0);
    let line = |c: &Column| {
        let value = cell(c, answer);
        format!(
            "{:<width$}  {}\n",
            c.head,
            if value.is_empty() { "-" } else { &value }
        )
    };
    columns.iter().map(line).collect()
}

/// Columns in which every row is empty are left out.
fn table(columns: &[Column], rows: &[Value], none: &str) -> String {
    if rows.is_empty() {
        return format!("{none}\n");
    }
    let mut out = vec![String::new(); rows.len() + 1];
    for column in columns {
        let cells: Vec<String> = rows.iter().map(|row| short(cell(column, row))).collect();
        if cells.iter().all(String::is_empty) {
            continue;
        }
        let chars = |s: &str| s.chars().count();
        let width = cells
            .iter()
            .map(|c| chars(c))
            .chain([chars(column.head)])
            .max()
            .unwrap_or(0);
        let heads = std::iter::once(column.head).chain(cells.iter().map(String::as_str));
        for (line, text) in out.iter_mut().zip(heads) {
            if !line.is_empty() {
                line.push_str("  ");
            }
            // Numbers stand under each other.
            if column.unit == Unit::Plain {
                line.push_str(&format!("{text:<width$}"));
            } else {
                line.push_str(&format!("{text:>width$}"));
            }
        }
    }
    out.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn short(text: String) -> String {
    if text.chars().count() <= CELL {
        return text;
    }
    let mut short: String = text.chars().take(CELL - 1).collect();
    short.push('…');
    short
}

fn cell(column: &Column, row: &Value) -> String {
    let Some(value) = row.pointer(column.at) else {
        return String::new();
    };
    let number = value.as_f64();
    match (column.unit, number) {
        (Unit::Seconds, Some(s)) => clock(s),
        (Unit::Ms, Some(ms)) => format!("{ms:.0} ms"),
        (Unit::Percent, Some(share)) => format!("{share:.1} %"),
        (Unit::Bytes, Some(bytes)) => format!("{:.0} MiB", bytes / f64::from(1 << 20)),
        _ => plain(value),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text
            .chars()
            .map(|c| if c.is_control() { '?' } else { c })
            .collect(),
        Value::Bool(yes) => (if *yes { "yes" } else { "no" }).to_owned(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// `0:07`, `12:34`, `1:02:03`, `3 d 1:02:03`.
fn clock(seconds: f64) -> String {
    let s = seconds.max(0.0) as u64;
    let (days, h, m, s) = (s / 86_400, s / 3_600 % 24, s / 60 % 60, s % 60);
    match (days, h) {
        (0, 0) => format!("{m}:{s:02}"),
        (0, h) => format!("{h}:{m:02}:{s:02}"),
        (d, h) => format!("{d} d {h}:{m:02}:{s:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::table;
    use serde_json::json;

    #[test]
    fn calls_are_a_table_without_empty_columns() {
        let answer = json!({ "calls": [
            { "id": "c1", "state": "up", "seconds": 3_723, "caller": "alice\u{1b}[2J", "dialled": "echo",
              "loss_percent": 0.25, "jitter_ms": 3.4, "delay_ms": 12 },
            { "id": "c20", "state": "ringing", "seconds": 7, "caller": "x".repeat(60), "dialled": "+4930" },
        ]});
        let row = table::find("calls").unwrap();
        let text = text(&row.shape, &answer);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0].split_whitespace().collect::<Vec<_>>(),
            [
                "ID", "STATE", "TIME", "CALLER", "DIALLED", "LOSS", "JITTER", "DELAY"
            ]
        );
        assert!(
            lines[1].contains("1:02:03") && lines[1].contains("0.2 %") && lines[1].contains("alice?[2J"),
            "{text}"
        );
        assert!(
            lines[2].contains("   0:07  x") && lines[2].contains('…'),
            "{text}"
        );
        assert_eq!(super::text(&row.shape, &json!({ "calls": [] })), "no calls\n");
    }

    #[test]
    fn status_is_lines() {
        let row = table::find("status").unwrap();
        let text = text(
            &row.shape,
            &json!({ "name": "gw", "uptime_s": 90_061, "memory_bytes": 10 << 20 }),
        );
        assert!(text.contains("gateway       gw\n"), "{text}");
        assert!(text.contains("1 d 1:01:01") && text.contains("10 MiB"), "{text}");
    }
}
