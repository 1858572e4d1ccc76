//! Log lines to stderr.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;
use tracing_subscriber::reload;

use super::log_lines::{LogLines, Prefix};
use crate::admin::{LogControl, Tail};
use crate::config::{Log, LogFormat, LogLevel};

/// The crates whose lines are ours; of others only warnings are of use to an operator.
const OURS: &[&str] = &["flashgate", "base", "rtmp", "sip", "media", "codecs", "call"];

/// Starts logging as configured. Under systemd each line carries its priority and no time of its own, for
/// the journal has both. The level can be changed by what is returned; the lines are to be finished at the end.
///
/// # Errors
/// The thread that writes cannot be started.
pub(super) fn start(config: &Log) -> Result<(LogControl, LogLines), String> {
    let (filter, handle) = reload::Layer::new(filter(config.level));
    let tail = Tail::new();
    let control = LogControl::new(config.level, &tail, move |level| {
        handle
            .reload(self::filter(level))
            .map_err(|e| format!("the log level cannot be changed: {e}"))
    });
    let journal = std::env::var_os("JOURNAL_STREAM").is_some() && config.format == LogFormat::Text;
    let prefix: Prefix = if journal { priority } else { |_| "" };
    let writer = LogLines::start(io::stderr(), prefix).map_err(|e| format!("cannot log: {e}"))?;
    let registry = tracing_subscriber::registry().with(filter).with(tail);
    let lines = tracing_subscriber::fmt::layer().with_writer(writer.clone());
    if config.format == LogFormat::Json {
        registry.with(lines.json().flatten_event(true)).init();
    } else if journal {
        registry
            .with(lines.without_time().with_level(false).with_ansi(false))
            .init();
    } else {
        registry.with(lines.with_ansi(io::stderr().is_terminal())).init();
    }
    Ok((control, writer))
}

/// What is logged at a level.
fn filter(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_targets(OURS.iter().map(|name| (*name, level)))
}

/// The priority of a line as journald reads it (sd-daemon(3)).
fn priority(meta: &Metadata<'_>) -> &'static str {
    match *meta.level() {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}
