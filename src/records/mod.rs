//! Call records: a JSON line for every call at its end, safe on the disk before anything else is told of it.
//!
//! A thread of its own writes them, so that a slow disk holds up nobody. Its queue is bounded; while the disk takes
//! nothing the records wait here and in the exchange's driver.

mod line;
pub(crate) mod read;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) use line::{Origin, line};

use crate::config::Config;
use crate::net::{Clock, stamp};

/// The file that is written now.
pub(crate) const CURRENT: &str = "calls.jsonl";
/// Lines that wait for the thread.
const QUEUE: usize = 4_096;
/// Lines written and synced at once.
const BATCH: usize = 256;
/// How long to wait before the disk is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Where and how records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keep {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// A file that is larger is put away and a new one begun.
    pub(crate) rotate_bytes: u64,
    /// How many put-away files are kept; 0 for all.
    pub(crate) files: usize,
}

/// How the writing goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecordsStats {
    /// Records on the disk.
    pub(crate) written: u64,
    /// Records that wait.
    pub(crate) waiting: u64,
    /// The disk takes none now.
    pub(crate) failing: bool,
}

#[derive(Debug, Default)]
struct Shared {
    taken: AtomicU64,
    written: AtomicU64,
    failing: AtomicBool,
    /// The gateway ends: what cannot be written now is given up.
    ending: AtomicBool,
}

/// Tells how the writing goes. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordsGauge(Arc<Shared>);

impl RecordsGauge {
    /// How it goes.
    pub(crate) fn stats(&self) -> RecordsStats {
        let written = self.0.written.load(Ordering::Relaxed);
        RecordsStats {
            written,
            waiting: self.0.taken.load(Ordering::Relaxed).saturating_sub(written),
            failing: self.0.failing.load(Ordering::Relaxed),
        }
    }
}

/// Takes records; without a thread it takes them and forgets them.
#[derive(Debug, Default)]
pub(crate) struct Records {
    lines: Option<SyncSender<String>>,
    shared: Arc<Shared>,
}

/// The thread that writes.
#[derive(Debug)]
pub(crate) struct Writer {
    thread: JoinHandle<()>,
    shared: Arc<Shared>,
}

impl Records {
    /// Starts the thread.
    ///
    /// # Errors
    /// What the system says when the folder or its file cannot be made.
    pub(crate) fn start(keep: Keep) -> io::Result<(Records, Writer)> {
        let log = Log::open(keep)?;
        let shared = Arc::new(Shared::default());
        let (lines, queue) = sync_channel(QUEUE);
        let of_thread = shared.clone();
        let thread = std::thread::Builder::new()
            .name("records".to_owned())
            .spawn(move || write(log, &queue, &of_thread))?;
        let writer = Writer {
            thread,
            shared: shared.clone(),
        };
        let lines = Some(lines);
        Ok((Records { lines, shared }, writer))
    }

    /// Gives a record to the thread; back when its queue is full.
    pub(crate) fn put(&self, line: String) -> Result<(), String> {
        let Some(lines) = &self.lines else {
            return Ok(());
        };
        match lines.try_send(line) {
            Ok(()) => {
                self.shared.taken.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(TrySendError::Full(line)) => Err(line),
            // The thread ends only after everybody else.
            Err(TrySendError::Disconnected(_)) => Ok(()),
        }
    }

    /// Tells how the writing goes.
    pub(crate) fn gauge(&self) -> RecordsGauge {
        RecordsGauge(self.shared.clone())
    }
}

impl Writer {
    /// Waits until everything is written that can be. Every [`Records`] must be gone.
    pub(crate) fn finish(self) {
        self.shared.ending.store(true, Ordering::Relaxed);
        let _panicked = self.thread.join();
    }
}

fn write(mut log: Log, queue: &Receiver<String>, shared: &Shared) {
    let mut batch = String::new();
    let mut lines = 0;
    loop {
        if lines == 0 {
            match queue.recv() {
                Ok(line) => take(&mut batch, &mut lines, &line),
                Err(_) => return,
            }
        }
        while lines < BATCH
            && let Ok(line) = queue.try_recv()
        {
            take(&mut batch, &mut lines, &line);
        }
        match log.append(batch.as_bytes()) {
            Ok(()) => {
                shared.written.fetch_add(lines as u64, Ordering::Relaxed);
                if shared.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("call records are written again");
                }
                batch.clear();
                lines = 0;
            }
            Err(error) => {
                if !shared.failing.swap(true, Ordering::Relaxed) {
                    tracing::error!(folder = %log.keep.folder.display(), %error,
                        "call records cannot be written: make room, or correct [records] dir; they wait until then");
                }
                if shared.ending.load(Ordering::Relaxed) {
                    tracing::error!(
                        lines,
                        "call records are lost: the gateway ends and the disk takes none"
                    );
                    return;
                }
                std::thread::park_timeout(RETRY);
            }
        }
    }
}

fn take(batch: &mut String, lines: &mut usize, line: &str) {
    batch.push_str(line);
    batch.push('\n');
    *lines += 1;
}

/// The file that is written, and those put away before.
#[derive(Debug)]
struct Log {
    keep: Keep,
    file: File,
    inode: u64,
}

impl Log {
    fn open(keep: Keep) -> io::Result<Log> {
        if !keep.folder.exists() {
            fs::create_dir_all(&keep.folder)?;
            fs::set_permissions(&keep.folder, fs::Permissions::from_mode(0o750))?;
        }
        let (file, inode) = open(&keep.folder)?;
        Ok(Log { keep, file, inode })
    }

    /// Appends whole lines; when this returns, they are on the disk, all or none.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let path = self.keep.folder.join(CURRENT);
        // Another program may have put the file away, or a person removed it.
        if fs::metadata(&path).map_or(0, |m| m.ino()) != self.inode {
            (self.file, self.inode) = open(&self.keep.folder)?;
        }
        let before = self.file.metadata()?.len();
        if before > 0 && before + lines.len() as u64 > self.keep.rotate_bytes {
            self.rotate(&path)?;
            return self.append(lines);
        }
        let written = self.file.write_all(lines).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // Half a line must not stay in front of the next try.
            let _full = self.file.set_len(before);
        }
        written
    }

    fn rotate(&mut self, path: &Path) -> io::Result<()> {
        let time: String = stamp(Clock::wall()).chars().filter(|c| *c != ':').collect();
        // Several may be put away in one instant: the number keeps their names in order.
        let prefix = format!("calls-{time}-");
        let number = |file: &PathBuf| {
            let name = file.file_stem()?.to_str()?;
            name.strip_prefix(&prefix)?.parse::<u32>().ok()
        };
        let n = put_away(&self.keep.folder)?
            .iter()
            .filter_map(number)
            .max()
            .map_or(0, |n| n.saturating_add(1));
        let away = self.keep.folder.join(format!("{prefix}{n:04}.jsonl"));
        fs::rename(path, &away)?;
        (self.file, self.inode) = open(&self.keep.folder)?;
        File::open(&self.keep.folder)?.sync_all()?;
        if self.keep.files > 0 {
            let old = put_away(&self.keep.folder)?;
            for file in old.iter().take(old.len().saturating_sub(self.keep.files)) {
                fs::remove_file(file)?;
            }
        }
        Ok(())
    }
}

/// Opens the current file to append; a line that a crash has torn gets its end, so that the next stands alone.
fn open(folder: &Path) -> io::Result<(File, u64)> {
    let path = folder.join(CURRENT);
    let new = !path.exists();
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o640)
        .open(&path)?;
    if new {
        File::open(folder)?.sync_all()?;
    }
    let metadata = file.metadata()?;
    if metadata.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok((file, metadata.ino()))
}

/// The files that were put away, oldest first: their names begin with their time.
fn put_away(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if name.starts_with("calls-") && name.ends_with(".jsonl") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Where the records of a configuration are.
pub(crate) fn folder(config: &Config) -> PathBuf {
    match &config.records.dir {
        Some(folder) => folder.into(),
        None => state_folder(config.node.state_dir.as_deref()).join("records"),
    }
}

/// The folder where the gateway keeps what has to last: as configured, as systemd says, or the usual place.
pub(crate) fn state_folder(configured: Option<&str>) -> PathBuf {
    let var = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    if let Some(folder) = configured {
        return folder.into();
    }
    if let Some(folder) = var("STATE_DIRECTORY") {
        return folder;
    }
    let is_root = fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0);
    let own = var("XDG_STATE_HOME").or_else(|| var("HOME").map(|h| h.join(".local/state")));
    match own {
        Some(folder) if !is_root => folder.join("flashgate"),
        _ => PathBuf::from("/var/lib/flashgate"),
    }
}

#[cfg(test)]
mod tests;
