//! The log as an operator uses it: its level changed live, its last lines shown.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::{Map, Value};
use tokio::sync::broadcast;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::config::LogLevel;
use crate::net::{Clock, stamp};

/// Lines a viewer may be behind before it misses some.
const LINES: usize = 1_024;
/// Longest value of a field that is kept, bytes.
const VALUE: usize = 1_024;

const LEVELS: [LogLevel; 5] = [
    LogLevel::Error,
    LogLevel::Warn,
    LogLevel::Info,
    LogLevel::Debug,
    LogLevel::Trace,
];

type Set = dyn Fn(LogLevel) -> Result<(), String> + Send + Sync;

/// Changes how much is logged, and hands out what is.
#[derive(Clone)]
pub(crate) struct LogControl {
    set: Arc<Set>,
    level: Arc<AtomicU8>,
    lines: broadcast::Sender<Arc<Value>>,
}

impl fmt::Debug for LogControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogControl")
            .field("level", &self.level())
            .finish_non_exhaustive()
    }
}

impl LogControl {
    /// Over what changes the level, the level at the start, and the layer whose lines it hands out.
    pub(crate) fn new(
        level: LogLevel,
        tail: &Tail,
        set: impl Fn(LogLevel) -> Result<(), String> + Send + Sync + 'static,
    ) -> LogControl {
        LogControl {
            set: Arc::new(set),
            level: Arc::new(AtomicU8::new(number(level))),
            lines: tail.lines.clone(),
        }
    }

    /// Over a log that is another's: its level cannot be changed, and nothing of it is seen.
    pub(crate) fn detached() -> LogControl {
        LogControl::new(LogLevel::Info, &Tail::new(), |_| {
            Err("the log belongs to the program this gateway runs in".to_owned())
        })
    }

    /// How much is logged now.
    pub(crate) fn level(&self) -> LogLevel {
        let n = usize::from(self.level.load(Ordering::Relaxed));
        LEVELS.get(n).copied().unwrap_or(LogLevel::Info)
    }

    /// Logs more or less from now on.
    pub(crate) fn set(&self, level: LogLevel) -> Result<(), String> {
        (self.set)(level)?;
        self.level.store(number(level), Ordering::Relaxed);
        tracing::info!(level = level.as_str(), "log level changed");
        Ok(())
    }

    /// The lines from now on, as JSON objects.
    pub(crate) fn lines(&self) -> broadcast::Receiver<Arc<Value>> {
        self.lines.subscribe()
    }
}

fn number(level: LogLevel) -> u8 {
    LEVELS.iter().position(|l| *l == level).map_or(2, |n| n as u8)
}

/// A layer that hands each line to those who look on. Costs nothing while nobody does.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    lines: broadcast::Sender<Arc<Value>>,
}

impl Tail {
    pub(crate) fn new() -> Tail {
        Tail {
            lines: broadcast::channel(LINES).0,
        }
    }
}

impl<S: Subscriber> Layer<S> for Tail {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        if self.lines.receiver_count() == 0 {
            return;
        }
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        let Fields(mut line) = fields;
        line.insert("time".to_owned(), stamp(Clock::wall()).into());
        line.insert("level".to_owned(), event.metadata().level().as_str().into());
        line.insert("target".to_owned(), event.metadata().target().into());
        let _nobody_looks = self.lines.send(Arc::new(Value::Object(line)));
    }
}

/// Collects the fields of a line.
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = format!("{value:?}");
        if text.len() > VALUE {
            let end = (0..=VALUE).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
            text.truncate(end);
            text.push('…');
        }
        self.put(field, text.into());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::prelude::*;

    #[test]
    fn a_line_comes_with_its_fields() {
        let tail = Tail::new();
        let control = LogControl::new(LogLevel::Info, &tail, |_| Ok(()));
        let mut lines = control.lines();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(tail), || {
            tracing::warn!(call = %base::CallId(3), lost = 7, text = %"x".repeat(5_000), "bad line");
        });
        let line = lines.try_recv().unwrap();
        assert_eq!(line["call"], "c3");
        assert_eq!(line["lost"], 7);
        assert_eq!(line["message"], "bad line");
        assert_eq!(line["level"], "WARN");
        assert!(line["text"].as_str().unwrap().len() < VALUE + 8);
    }

    #[test]
    fn the_level_is_what_was_set_last_with_success() {
        let control = LogControl::new(LogLevel::Info, &Tail::new(), |level| match level {
            LogLevel::Trace => Err("no".to_owned()),
            _ => Ok(()),
        });
        assert_eq!(control.set(LogLevel::Debug), Ok(()));
        assert!(control.set(LogLevel::Trace).is_err());
        assert_eq!(control.level(), LogLevel::Debug);
    }
}
