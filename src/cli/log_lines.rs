//! Log lines on their way to stderr. A thread of its own writes them: whoever reads them slowly, or not at all, holds up
//! no call.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait; when full, further ones are lost, and how many is said once there is room again.
const WAITING: usize = 8_192;
/// Time for the last lines when the program ends.
const LAST_LINES: Duration = Duration::from_secs(1);

/// What a line begins with, by how important it is.
pub(super) type Prefix = fn(&Metadata<'_>) -> &'static str;

/// What goes to the thread.
#[derive(Debug)]
enum Item {
    Line(Vec<u8>),
    /// All before it is written.
    Done(SyncSender<()>),
}

/// Takes lines in. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct LogLines {
    queue: SyncSender<Item>,
    lost: Arc<AtomicU64>,
    prefix: Prefix,
}

impl LogLines {
    /// Starts the thread that writes to `out`.
    pub(super) fn start(out: impl Write + Send + 'static, prefix: Prefix) -> io::Result<LogLines> {
        let (queue, lines) = sync_channel(WAITING);
        let made = LogLines {
            queue,
            lost: Arc::new(AtomicU64::new(0)),
            prefix,
        };
        let lost = made.lost.clone();
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write(&lines, out, &lost))?;
        Ok(made)
    }

    /// Waits a while for the last lines to be written; not at all where so many wait that nobody seems to take them.
    pub(super) fn finish(&self) {
        let (done, is_done) = sync_channel(1);
        if self.queue.try_send(Item::Done(done)).is_ok() {
            let _in_time = is_done.recv_timeout(LAST_LINES);
        }
    }

    fn put(&self, line: Vec<u8>) {
        if self.queue.try_send(Item::Line(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write(items: &Receiver<Item>, mut out: impl Write, lost: &AtomicU64) {
    for item in items {
        // A log that nobody can be given is no reason to end.
        match item {
            Item::Line(line) => {
                let _written = out.write_all(&line);
            }
            Item::Done(done) => {
                let _asker_gone = done.try_send(());
            }
        }
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

    /// Takes nothing until it is let; then passes on what it takes.
    struct Stuck(Receiver<()>, SyncSender<Vec<u8>>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _let = self.0.recv();
            let _reader_gone = self.1.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_reader_and_what_is_lost_is_told() {
        let (allow, allowed) = sync_channel(1);
        let (taken, text) = sync_channel(WAITING * 3);
        let lines = LogLines::start(Stuck(allowed, taken), |_| "").unwrap();
        // Were one to wait, this would not come to an end.
        for n in 0..WAITING * 2 {
            lines.put(format!("line {n}\n").into_bytes());
        }
        lines.finish();
        drop(allow);
        let mut read = String::new();
        while !read.contains(" log lines are lost") {
            let piece = text.recv_timeout(Duration::from_secs(10)).unwrap();
            read.push_str(&String::from_utf8(piece).unwrap());
        }
        assert!(read.starts_with("line 0\n"));
    }
}
