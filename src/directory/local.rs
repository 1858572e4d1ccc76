//! The engine on this machine's disk: a log of records, read at start, written anew when most of it is past.
//!
//! A record counts when all of it is in the file and its checksum is right: whatever was being written when the
//! machine stopped is left out, nothing before it is lost. A task of its own does the writing.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use overlay::{Key, MAX_RECORD, Stored, Trust, Wall};
use tokio::sync::{mpsc, oneshot};

use super::engine::{EngineView, Got};

const REQUESTS: usize = 256;
/// The log is written anew when it is this large and most of it is past.
const SMALL: u64 = 1 << 20;
/// Records kept; more are refused.
const MOST: usize = 200_000;
/// Length, time, key and checksum before each record.
const HEAD: usize = 2 + 8 + 32 + 4;

#[derive(Debug)]
enum Request {
    Put(
        Key,
        Vec<u8>,
        Box<Trust>,
        Wall,
        oneshot::Sender<Result<(), String>>,
    ),
    Get(Key, oneshot::Sender<Got>),
    Look(oneshot::Sender<EngineView>),
    Close(oneshot::Sender<()>),
}

/// How the engine is reached.
#[derive(Clone, Debug)]
pub(super) struct Local {
    requests: mpsc::Sender<Request>,
}

impl Local {
    /// Opens the log in `folder`, or keeps everything in memory without one.
    ///
    /// # Errors
    /// What the system says of the folder or the file.
    pub(super) fn open(folder: Option<&Path>, now: Wall) -> io::Result<Local> {
        let store = Store::open(folder.map(|f| f.join("records.log")), now)?;
        let (requests, inbox) = mpsc::channel(REQUESTS);
        std::thread::Builder::new()
            .name("directory".to_owned())
            .spawn(move || serve(store, inbox))?;
        Ok(Local { requests })
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(request(answer)).await.ok()?;
        answered.await.ok()
    }

    pub(super) async fn put(&self, key: Key, record: Vec<u8>, trust: Trust, now: Wall) -> Result<(), String> {
        let put = self.ask(|answer| Request::Put(key, record, Box::new(trust), now, answer));
        put.await.unwrap_or_else(|| Err("it has ended".to_owned()))
    }

    pub(super) async fn get(&self, key: Key) -> Result<Got, String> {
        let got = self.ask(|answer| Request::Get(key, answer)).await;
        got.ok_or_else(|| "it has ended".to_owned())
    }

    pub(super) async fn look(&self) -> EngineView {
        self.ask(Request::Look).await.unwrap_or_default()
    }

    pub(super) async fn close(&self) {
        let _gone = self.ask(Request::Close).await;
    }
}

fn serve(mut store: Store, mut inbox: mpsc::Receiver<Request>) {
    while let Some(request) = inbox.blocking_recv() {
        match request {
            Request::Put(key, record, mut trust, now, answer) => {
                let _asker_gone = answer.send(store.put(key, &record, &mut trust, now));
            }
            Request::Get(key, answer) => {
                let answers = store.records.get(&key).map(|(_, bytes)| bytes.clone());
                let _asker_gone = answer.send(Got {
                    answers: answers.into_iter().collect(),
                    hops: Vec::new(),
                });
            }
            Request::Look(answer) => {
                let _asker_gone = answer.send(EngineView {
                    stored: store.records.len(),
                    ..EngineView::default()
                });
            }
            Request::Close(answer) => {
                store.sync();
                let _asker_gone = answer.send(());
            }
        }
    }
}

struct Store {
    records: BTreeMap<Key, (Wall, Vec<u8>)>,
    log: Option<Log>,
}

struct Log {
    path: PathBuf,
    file: File,
    size: u64,
}

impl Store {
    fn open(path: Option<PathBuf>, now: Wall) -> io::Result<Store> {
        let mut store = Store {
            records: BTreeMap::new(),
            log: None,
        };
        let Some(path) = path else { return Ok(store) };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut bytes = Vec::new();
        match File::open(&path) {
            Ok(mut file) => {
                file.read_to_end(&mut bytes)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut rest = bytes.as_slice();
        while let Some((key, until, record, next)) = read(rest) {
            store.records.insert(key, (until, record.to_vec()));
            rest = next;
        }
        if !rest.is_empty() {
            tracing::warn!(
                bytes = rest.len(),
                "the end of the directory's log is left out: it was not written whole"
            );
        }
        store.records.retain(|_, (until, _)| *until > now);
        store.log = Some(store.write_anew(path)?);
        Ok(store)
    }

    /// Writes what is valid to a new file that then takes the place of the old one.
    fn write_anew(&self, path: PathBuf) -> io::Result<Log> {
        let next = path.with_extension("new");
        let mut bytes = Vec::new();
        for (key, (until, record)) in &self.records {
            bytes.extend(entry(key, *until, record));
        }
        let mut file = File::create(&next)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&next, &path)?;
        let file = OpenOptions::new().append(true).open(&path)?;
        Ok(Log {
            path,
            file,
            size: bytes.len() as u64,
        })
    }

    fn put(&mut self, key: Key, record: &[u8], trust: &mut Trust, now: Wall) -> Result<(), String> {
        if self.records.len() >= MOST && !self.records.contains_key(&key) {
            self.records.retain(|_, (until, _)| *until > now);
            if self.records.len() >= MOST {
                return Err("it is full".to_owned());
            }
        }
        let existing = self.records.get(&key).map(|(_, bytes)| bytes.as_slice());
        match trust.store(&key, existing, record, now) {
            Ok(Stored::Same) => Ok(()),
            Ok(Stored::Keep(bytes, until)) => {
                let written = self.append(&key, until, &bytes, now);
                self.records.insert(key, (until, bytes));
                written.map_err(|e| format!("its file takes nothing: {e}"))
            }
            Err(refusal) => Err(refusal.to_string()),
        }
    }

    fn append(&mut self, key: &Key, until: Wall, record: &[u8], now: Wall) -> io::Result<()> {
        let Some(log) = &mut self.log else { return Ok(()) };
        let bytes = entry(key, until, record);
        log.file.write_all(&bytes)?;
        log.size += bytes.len() as u64;
        if log.size < SMALL {
            return Ok(());
        }
        self.records.retain(|_, (until, _)| *until > now);
        let valid: u64 = self
            .records
            .values()
            .map(|(_, bytes)| (HEAD + bytes.len()) as u64)
            .sum();
        if log.size > 2 * valid.max(SMALL / 2) {
            let path = log.path.clone();
            self.log = Some(self.write_anew(path)?);
        }
        Ok(())
    }

    fn sync(&mut self) {
        if let Some(log) = &self.log
            && let Err(error) = log.file.sync_all()
        {
            tracing::warn!(%error, "the directory's log may not be on the disk");
        }
    }
}

fn entry(key: &Key, until: Wall, record: &[u8]) -> Vec<u8> {
    let length = u16::try_from(record.len()).unwrap_or(0);
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(until.to_be_bytes());
    bytes.extend(key.bytes());
    bytes.extend(record);
    let check = checksum(&bytes).to_be_bytes();
    bytes.extend(check);
    bytes
}

/// The next entry of the log and what follows it; `None` at its end and where it is damaged.
fn read(bytes: &[u8]) -> Option<(Key, Wall, &[u8], &[u8])> {
    let length = usize::from(u16::from_be_bytes(bytes.get(..2)?.try_into().ok()?));
    if length > MAX_RECORD {
        return None;
    }
    let (entry, next) = bytes.split_at_checked(HEAD + length)?;
    let (body, check) = entry.split_at_checked(entry.len() - 4)?;
    if checksum(body).to_be_bytes() != check {
        return None;
    }
    let until = Wall::from_be_bytes(body.get(2..10)?.try_into().ok()?);
    Some((Key::from_slice(body.get(10..42)?)?, until, body.get(42..)?, next))
}

/// CRC-32 (IEEE 802.3), bit by bit: records are small and few.
fn checksum(bytes: &[u8]) -> u32 {
    let step = |crc: u32| {
        if crc & 1 == 1 {
            crc >> 1 ^ 0xEDB8_8320
        } else {
            crc >> 1
        }
    };
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use overlay::{Aor, Binding, Content, Names, NodeKey, Policy, Presence};

    const NOW: Wall = 1_780_000_000_000;

    fn open_trust() -> Trust {
        Trust::new(Policy {
            authorities: Vec::new(),
            open: true,
            names: Names::Both,
        })
    }

    fn record(n: u8, at: Wall) -> (Key, Vec<u8>) {
        let key = NodeKey::from_seed([n; 32]);
        let binding = Binding {
            aor: Aor::of_peer(&key.peer()),
            id: "b".to_owned(),
            contact: "sip:x@192.0.2.1".to_owned(),
            priority: 500,
            capabilities: Vec::new(),
            presence: Presence::Online,
        };
        let record = binding.record(&key, None, at, at + 600_000);
        (record.key(), record.encode())
    }

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("flashgate-{name}-{}", std::process::id()));
            let _none = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        fn store(&self, now: Wall) -> Store {
            Store::open(Some(self.0.join("records.log")), now).unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _gone = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(checksum(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn records_outlast_a_stop_at_any_byte() {
        let folder = Folder::new("torn");
        let mut store = folder.store(NOW);
        let written: Vec<(Key, Vec<u8>)> = (1..4).map(|n| record(n, NOW)).collect();
        for (key, bytes) in &written {
            store.put(*key, bytes, &mut open_trust(), NOW).unwrap();
        }
        drop(store);
        let path = folder.0.join("records.log");
        let whole = fs::read(&path).unwrap();
        for length in (0..=whole.len()).step_by(7).chain([whole.len()]) {
            fs::write(&path, &whole[..length]).unwrap();
            let store = folder.store(NOW);
            let complete = (0..=3).rev().find(|n| n * whole.len() / 3 <= length).unwrap();
            assert_eq!(store.records.len(), complete, "{length} of {} bytes", whole.len());
        }
        assert_eq!(folder.store(NOW + 600_001).records.len(), 0);
    }

    #[test]
    fn a_log_of_old_records_is_written_anew() {
        let folder = Folder::new("anew");
        let mut store = folder.store(NOW);
        let turns = 2 * SMALL / 300;
        for n in 0..turns {
            let (key, bytes) = record(1, NOW + n);
            store.put(key, &bytes, &mut open_trust(), NOW + n).unwrap();
        }
        assert!(store.log.as_ref().unwrap().size < SMALL + 1_000);
        drop(store);
        let store = folder.store(NOW);
        assert_eq!(store.records[&record(1, NOW).0].1, record(1, NOW + turns - 1).1);
    }
}
