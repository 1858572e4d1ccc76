//! Log lines to stderr.

use std::io::{self, IsTerminal, Write};

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::reload;

use crate::admin::{LogControl, Tail};
use crate::config::{Log, LogFormat, LogLevel};

/// The crates whose lines are ours; of others only warnings are of use to an operator.
const OURS: &[&str] = &["flashgate", "base", "rtmp", "sip", "media", "codecs", "call"];

/// Starts logging as configured. Under systemd each line carries its priority and no time of its own, for
/// the journal has both. The level can be changed by what is returned.
pub(super) fn start(config: &Log) -> LogControl {
    let (filter, handle) = reload::Layer::new(filter(config.level));
    let tail = Tail::new();
    let control = LogControl::new(config.level, &tail, move |level| {
        handle
            .reload(self::filter(level))
            .map_err(|e| format!("the log level cannot be changed: {e}"))
    });
    let registry = tracing_subscriber::registry().with(filter).with(tail);
    let lines = tracing_subscriber::fmt::layer();
    if config.format == LogFormat::Json {
        registry
            .with(lines.json().flatten_event(true).with_writer(io::stderr))
            .init();
    } else if std::env::var_os("JOURNAL_STREAM").is_some() {
        registry
            .with(
                lines
                    .without_time()
                    .with_level(false)
                    .with_ansi(false)
                    .with_writer(Journal),
            )
            .init();
    } else {
        registry
            .with(
                lines
                    .with_ansi(io::stderr().is_terminal())
                    .with_writer(io::stderr),
            )
            .init();
    }
    control
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

/// Writes each line behind the priority that journald reads (sd-daemon(3)).
#[derive(Debug)]
struct Journal;

impl<'a> MakeWriter<'a> for Journal {
    type Writer = Prefixed;

    fn make_writer(&'a self) -> Prefixed {
        Prefixed("<6>")
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Prefixed {
        Prefixed(match *meta.level() {
            Level::ERROR => "<3>",
            Level::WARN => "<4>",
            Level::INFO => "<6>",
            Level::DEBUG | Level::TRACE => "<7>",
        })
    }
}

#[derive(Debug)]
struct Prefixed(&'static str);

impl Write for Prefixed {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // One call a line, so that lines of several threads do not mix.
        io::stderr()
            .lock()
            .write_all(&[self.0.as_bytes(), line].concat())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
