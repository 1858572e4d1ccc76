//! Log lines on their way to stderr. A thread of its own writes them: whoever reads them slowly, or not at all, holds up
//! no call.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait; when full, further ones are lost, and how many is said once there is room again.
const WAITING: usize = 8_192;
/// Time for the last lines when the program ends.
const LAST_LINES: Duration = Duration::from_secs(1);

/// What a line begins with, by how important it is.
pub(super) type Prefix = fn(&Metadata<'_>) -> &'static str;

/// Takes lines in. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct LogLines {
    queue: SyncSender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
    lost: Arc<AtomicU64>,
    prefix: Prefix,
}

impl LogLines {
    /// Starts the thread that writes to `out`.
    pub(super) fn start(out: impl Write + Send + 'static, prefix: Prefix) -> io::Result<LogLines> {
        let (queue, lines) = sync_channel(WAITING);
        let made = LogLines {
            queue,
            waiting: Arc::new(AtomicUsize::new(0)),
            lost: Arc::new(AtomicU64::new(0)),
            prefix,
        };
        let (waiting, lost) = (made.waiting.clone(), made.lost.clone());
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write(&lines, out, &waiting, &lost))?;
        Ok(made)
    }

    /// Waits a while for the last lines to be written.
    pub(super) fn finish(&self) {
        let begun = Instant::now();
        while self.waiting.load(Ordering::Acquire) > 0 && begun.elapsed() < LAST_LINES {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn put(&self, line: Vec<u8>) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        if self.queue.try_send(line).is_err() {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write(lines: &Receiver<Vec<u8>>, mut out: impl Write, waiting: &AtomicUsize, lost: &AtomicU64) {
    for line in lines {
        // A log that nobody can be given is no reason to end.
        let _written = out.write_all(&line);
        waiting.fetch_sub(1, Ordering::AcqRel);
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _written = writeln!(out, "{lost} log lines are lost: stderr took none");
        }
    }
}

impl<'a> MakeWriter<'a> for LogLines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            lines: self,
            prefix: "",
        }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<'a> {
        Line {
            lines: self,
            prefix: (self.prefix)(meta),
        }
    }
}

/// One line: it comes whole, in one call.
#[derive(Debug)]
pub(super) struct Line<'a> {
    lines: &'a LogLines,
    prefix: &'static str,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.put([self.prefix.as_bytes(), line].concat());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    /// Takes nothing until it is let.
    struct Stuck(Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _let = self.0.recv();
            self.1.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_reader_and_what_is_lost_is_told() {
        let (allow, allowed) = channel();
        let text = Arc::new(Mutex::new(Vec::new()));
        let lines = LogLines::start(Stuck(allowed, text.clone()), |_| "").unwrap();
        let begun = Instant::now();
        for n in 0..WAITING * 2 {
            lines.put(format!("line {n}\n").into_bytes());
        }
        lines.finish();
        assert!(begun.elapsed() < Duration::from_secs(5));
        drop(allow);
        lines.finish();
        std::thread::sleep(Duration::from_millis(100));
        let text = String::from_utf8(text.lock().unwrap().clone()).unwrap();
        assert!(text.starts_with("line 0\n"));
        assert!(text.contains(" log lines are lost"), "{}", text.len());
        assert!(text.lines().count() <= WAITING + 3);
    }
}
