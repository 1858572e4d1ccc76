//! Recordings of rooms: WAV files, written by a thread of their own.
//!
//! Shards push slots of audio into a bounded queue and never wait; a slot that finds it full is missing, and is
//! written as silence. The header of a file says every second how much is in it, so a process that is killed
//! leaves a file that plays to its last second. A disk that is full ends the recording and nothing else.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use codecs::resample::Resampler;

/// Slots that wait for the disk: 20 s of ten recordings.
const QUEUE: usize = 10_000;
/// What is written, Hz.
const RATE: u32 = 16_000;
/// Bytes of a header (RIFF, fmt and data chunk).
const HEADER: u64 = 44;
/// Data bytes between two updates of the header: a second.
const UPDATE: u64 = 2 * RATE as u64;
/// The longest silence that is filled in, slots: 1 h. A clock that jumps must not fill the disk.
const LONGEST_GAP: u64 = 180_000;
/// The most a WAV file holds, bytes: its sizes have 32 bits.
const LONGEST_FILE: u64 = u32::MAX as u64 - HEADER - 2 * RATE as u64;
/// Files of one name.
const MOST_FILES: u32 = 1_000_000;
/// How often it is looked for recordings whose end found the queue full.
const SWEEP: Duration = Duration::from_millis(200);

/// Where recordings go.
#[derive(Clone, Debug)]
pub struct Recorder {
    folder: PathBuf,
    queue: SyncSender<Job>,
    last: Arc<AtomicU64>,
}

/// One recording. It ends when the last copy of this is dropped.
#[derive(Clone, Debug)]
pub struct Recording(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: u64,
    path: PathBuf,
    queue: SyncSender<Job>,
    failed: AtomicBool,
}

#[derive(Debug)]
enum Job {
    Open(Weak<Inner>, u64, File),
    Pcm {
        id: u64,
        part: u64,
        slot: u64,
        rate: u32,
        pcm: Box<[i16]>,
    },
    Close(u64),
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Full: the sweep finds it later.
        let _later = self.queue.try_send(Job::Close(self.id));
    }
}

impl PartialEq for Recording {
    fn eq(&self, other: &Recording) -> bool {
        self.0.id == other.0.id
    }
}

impl Recorder {
    /// Starts the thread. Files go into `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// The folder cannot be made, or the system has no thread.
    pub fn start(folder: &Path) -> io::Result<Recorder> {
        std::fs::create_dir_all(folder)?;
        let (queue, jobs) = sync_channel(QUEUE);
        std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || write_all(&jobs))?;
        Ok(Recorder {
            folder: folder.to_owned(),
            queue,
            last: Arc::new(AtomicU64::new(0)),
        })
    }

    /// Begins a recording in a new file named after `name`, with a number behind it.
    ///
    /// # Errors
    /// The file cannot be made, or the thread is too busy.
    pub fn record(&self, name: &str) -> io::Result<Recording> {
        let (file, path) = create(&self.folder, name)?;
        self.record_to(file, path)
    }

    fn record_to(&self, mut file: File, path: PathBuf) -> io::Result<Recording> {
        file.write_all(&header(0))?;
        let id = self.last.fetch_add(1, Ordering::Relaxed);
        let inner = Arc::new(Inner {
            id,
            path,
            queue: self.queue.clone(),
            failed: AtomicBool::new(false),
        });
        self.queue
            .try_send(Job::Open(Arc::downgrade(&inner), id, file))
            .map_err(|_| io::Error::other("the recorder is too busy"))?;
        Ok(Recording(inner))
    }
}

impl Recording {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Takes a slot at `rate` Hz. `part` tells whose slots are counted: another part goes on where the one before
    /// ended. False once the disk took no more.
    pub fn push(&self, part: u64, slot: u64, rate: u32, pcm: &[i16]) -> bool {
        let job = Job::Pcm {
            id: self.0.id,
            part,
            slot,
            rate,
            pcm: pcm.into(),
        };
        match self.0.queue.try_send(job) {
            // Full: this slot will be silent in the file.
            Ok(()) | Err(TrySendError::Full(_)) => !self.has_failed(),
            Err(TrySendError::Disconnected(_)) => false,
        }
    }

    /// Whether the disk took no more.
    pub fn has_failed(&self) -> bool {
        self.0.failed.load(Ordering::Relaxed)
    }
}

/// A new file; what is there is never written over.
fn create(folder: &Path, name: &str) -> io::Result<(File, PathBuf)> {
    // A name may be anything; a file's is what no shell and no system minds.
    let name: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_".contains(c) {
                c
            } else {
                '_'
            }
        })
        .take(80)
        .collect();
    for n in 1..MOST_FILES {
        let path = folder.join(format!("{name}-{n:04}.wav"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("there are too many recordings of that name"))
}

/// A header for so many bytes of audio: 16 bit, mono.
fn header(data: u32) -> [u8; HEADER as usize] {
    let mut out = [0; HEADER as usize];
    let fields: [&[u8]; 12] = [
        b"RIFF",
        &(data + 36).to_le_bytes(),
        b"WAVEfmt ",
        &16u32.to_le_bytes(),
        &1u16.to_le_bytes(),
        &1u16.to_le_bytes(),
        &RATE.to_le_bytes(),
        &(RATE * 2).to_le_bytes(),
        &2u16.to_le_bytes(),
        &16u16.to_le_bytes(),
        b"data",
        &data.to_le_bytes(),
    ];
    for (to, from) in out.iter_mut().zip(fields.concat()) {
        *to = from;
    }
    out
}

/// A file that is written.
struct Writing {
    recording: Weak<Inner>,
    file: File,
    convert: Option<Resampler>,
    part: u64,
    /// The slot that comes next.
    next: Option<u64>,
    /// Bytes of audio in the file, and what its header says of that.
    data: u64,
    told: u64,
    out: Vec<u8>,
    pcm: Vec<i16>,
}

impl Writing {
    fn push(&mut self, part: u64, slot: u64, rate: u32, pcm: &[i16]) -> io::Result<()> {
        let next = self.next.filter(|_| self.part == part).unwrap_or(slot);
        let missing = slot.saturating_sub(next).min(LONGEST_GAP);
        self.part = part;
        self.next = Some(slot + 1);
        if self.convert.as_ref().is_none_or(|c| c.from() != rate) {
            self.convert = Some(Resampler::new(rate, RATE, 5).map_err(io::Error::other)?);
        }
        let Some(convert) = &mut self.convert else {
            return Ok(());
        };
        self.pcm.resize(convert.max_out(pcm.len()), 0);
        let n = convert.process(pcm, &mut self.pcm);
        self.out.clear();
        let silence = usize::try_from(missing * u64::from(RATE / 50) * 2).unwrap_or(0);
        self.out.resize(silence, 0);
        self.out
            .extend(self.pcm.iter().take(n).flat_map(|s| s.to_le_bytes()));
        if self.data + self.out.len() as u64 > LONGEST_FILE {
            return Err(io::Error::other("a WAV file holds no more"));
        }
        self.file.write_all(&self.out)?;
        self.data += self.out.len() as u64;
        if self.data - self.told >= UPDATE {
            self.tell()?;
        }
        Ok(())
    }

    /// Brings the header up to date.
    fn tell(&mut self) -> io::Result<()> {
        let data = u32::try_from(self.data).unwrap_or(u32::MAX);
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header(data))?;
        self.file.seek(SeekFrom::Start(HEADER + self.data))?;
        self.told = self.data;
        Ok(())
    }

    fn fail(&mut self, error: &io::Error) {
        if let Some(recording) = self.recording.upgrade() {
            recording.failed.store(true, Ordering::Relaxed);
            tracing::error!(file = %recording.path.display(), %error, "a recording ends early: is the disk full?");
        }
        // What is there stays playable, as far as the disk lets us.
        let _as_far = self.tell();
    }
}

fn write_all(jobs: &Receiver<Job>) {
    let mut files: HashMap<u64, Writing> = HashMap::new();
    loop {
        match jobs.recv_timeout(SWEEP) {
            Ok(Job::Open(recording, id, file)) => {
                let writing = Writing {
                    recording,
                    file,
                    convert: None,
                    part: 0,
                    next: None,
                    data: 0,
                    told: 0,
                    out: Vec::new(),
                    pcm: Vec::new(),
                };
                files.insert(id, writing);
            }
            Ok(Job::Pcm {
                id,
                part,
                slot,
                rate,
                pcm,
            }) => {
                if let Some(writing) = files.get_mut(&id)
                    && let Err(error) = writing.push(part, slot, rate, &pcm)
                {
                    writing.fail(&error);
                    files.remove(&id);
                }
            }
            Ok(Job::Close(id)) => finish(files.remove(&id)),
            Err(RecvTimeoutError::Timeout) => {
                let over = files.extract_if(|_, w| w.recording.strong_count() == 0);
                over.for_each(|(_, writing)| finish(Some(writing)));
            }
            Err(RecvTimeoutError::Disconnected) => {
                for writing in files.values_mut() {
                    let _as_far = writing.tell();
                }
                return;
            }
        }
    }
}

/// The last words in a file.
fn finish(writing: Option<Writing>) {
    if let Some(mut writing) = writing
        && let Err(error) = writing.tell()
    {
        tracing::error!(%error, "the last second of a recording is lost");
    }
}

#[cfg(test)]
mod tests;
