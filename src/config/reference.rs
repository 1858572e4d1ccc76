//! The configuration as text: the commented reference, and the effective one.

use super::Config;
use super::section::{Row, Shown, Value, join};

const HEAD: &str = "\
# Every key of flashgate with its default. A file needs only the keys that differ.
# Keys that stand behind a # have no default, or belong to a table of which there may be several.
#
# Durations: \"20ms\", \"5s\", \"10m\", \"1h\". Sizes: \"64KiB\", \"1MiB\". Addresses: \"0.0.0.0:1935\", \"[::]:1935\".
# Secrets: \"…\", { file = \"…\" } (its first line) or { env = \"…\" }.
# The environment overrides: FLASHGATE__SIP__DOMAIN=example.com, FLASHGATE__USER__0__PASSWORD=…
#
# `flashgate check --config FILE` tells what is wrong with a file, or prints what is in effect.
";

/// The reference file.
pub(super) fn reference() -> String {
    let mut out = String::from(HEAD);
    if let Shown::Table(rows) = Config::default().show() {
        write_tables(&mut out, &rows, "", Style::Reference);
    }
    out
}

/// The effective configuration without comments.
pub(super) fn effective(config: &Config) -> String {
    let mut out = String::new();
    if let Shown::Table(rows) = config.show() {
        write_tables(&mut out, &rows, "", Style::Effective);
    }
    out.trim_start().to_owned()
}

/// The keys and tables in which two configurations differ.
pub(super) fn differences(a: &Config, b: &Config) -> Vec<String> {
    let mut out = Vec::new();
    if let (Shown::Table(a), Shown::Table(b)) = (a.show(), b.show()) {
        differ(&a, &b, "", &mut out);
    }
    out
}

fn differ(a: &[Row], b: &[Row], path: &str, out: &mut Vec<String>) {
    for (a, b) in a.iter().zip(b) {
        let path = join(path, a.key);
        match (&a.shown, &b.shown) {
            (Shown::Table(a), Shown::Table(b)) => differ(a, b, &path, out),
            (a, b) if a != b => out.push(path),
            _ => {}
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    Reference,
    /// An entry of the reference that is an example only.
    Example,
    Effective,
}

fn comment(out: &mut String, docs: &[&str], style: Style) {
    if style != Style::Effective {
        docs.iter().for_each(|line| out.push_str(&format!("#{line}\n")));
    }
}

/// The plain keys of a table.
fn write_keys(out: &mut String, rows: &[Row], style: Style) {
    for row in rows {
        let line = match (&row.shown, style) {
            (Shown::Inline(v), Style::Reference | Style::Effective) => format!("{} = {v}\n", row.key),
            (Shown::Inline(v), Style::Example) => format!("#{} = {}\n", row.key, row.example.unwrap_or(v)),
            (Shown::Unset, Style::Reference | Style::Example) => {
                format!("#{} = {}\n", row.key, row.example.unwrap_or("\"\""))
            }
            _ => continue,
        };
        if style != Style::Effective {
            out.push('\n');
        }
        comment(out, row.docs, style);
        out.push_str(&line);
    }
}

/// The tables below `path`, each with its keys and tables.
fn write_tables(out: &mut String, rows: &[Row], path: &str, style: Style) {
    for row in rows {
        let path = join(path, row.key);
        match &row.shown {
            Shown::Table(inner) => {
                out.push('\n');
                comment(out, row.docs, style);
                out.push_str(&format!("[{path}]\n"));
                write_keys(out, inner, style);
                write_tables(out, inner, &path, style);
            }
            Shown::Tables(_, template) if style != Style::Effective => {
                out.push('\n');
                comment(out, row.docs, style);
                out.push_str(&format!("#[[{path}]]\n"));
                write_keys(out, template, Style::Example);
                write_tables(out, template, &path, Style::Example);
            }
            Shown::Tables(entries, _) => {
                for inner in entries {
                    out.push_str(&format!("\n[[{path}]]\n"));
                    write_keys(out, inner, style);
                    write_tables(out, inner, &path, style);
                }
            }
            _ => {}
        }
    }
}
