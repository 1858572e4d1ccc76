use super::*;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("flashgate-records-{name}-{}", std::process::id()));
        let _none = fs::remove_dir_all(&path);
        Folder(path)
    }

    fn keep(&self, rotate_bytes: u64, files: usize) -> Keep {
        Keep {
            folder: self.0.clone(),
            rotate_bytes,
            files,
        }
    }

    fn current(&self) -> String {
        fs::read_to_string(self.0.join(CURRENT)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_was_taken_is_on_the_disk_when_the_thread_ends() {
    let folder = Folder::new("ends");
    let (records, writer) = Records::start(folder.keep(1 << 20, 0)).unwrap();
    for n in 0..1_000 {
        records.put(format!("{{\"n\":{n}}}")).unwrap();
    }
    drop(records);
    writer.finish();
    let text = folder.current();
    assert_eq!(text.lines().count(), 1_000);
    assert!(text.ends_with("{\"n\":999}\n"));
    let mode = fs::metadata(folder.0.join(CURRENT)).unwrap().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn a_full_file_is_put_away_and_the_oldest_removed() {
    let folder = Folder::new("rotate");
    let mut log = Log::open(folder.keep(100, 2)).unwrap();
    for n in 0..10 {
        log.append(format!("{n:039}\n").as_bytes()).unwrap();
    }
    let away = put_away(&folder.0).unwrap();
    assert_eq!(away.len(), 2);
    let kept: Vec<String> = away.iter().map(|f| fs::read_to_string(f).unwrap()).collect();
    assert!(
        kept[0].contains("000004\n") && kept[1].contains("000007\n"),
        "{kept:?}"
    );
    assert!(folder.current().contains("000009\n"));
}

#[test]
fn a_torn_line_of_a_crash_does_not_spoil_the_next() {
    let folder = Folder::new("torn");
    fs::create_dir_all(&folder.0).unwrap();
    fs::write(folder.0.join(CURRENT), "{\"a\":1}\n{\"b\":").unwrap();
    let mut log = Log::open(folder.keep(1 << 20, 0)).unwrap();
    log.append(b"{\"c\":3}\n").unwrap();
    assert_eq!(folder.current(), "{\"a\":1}\n{\"b\":\n{\"c\":3}\n");
}

#[test]
fn a_file_that_another_program_moved_is_begun_anew() {
    let folder = Folder::new("moved");
    let mut log = Log::open(folder.keep(1 << 20, 0)).unwrap();
    log.append(b"1\n").unwrap();
    fs::rename(folder.0.join(CURRENT), folder.0.join("elsewhere")).unwrap();
    log.append(b"2\n").unwrap();
    assert_eq!(folder.current(), "2\n");
    assert_eq!(fs::read_to_string(folder.0.join("elsewhere")).unwrap(), "1\n");
}

#[test]
fn a_disk_that_takes_nothing_is_waited_for() {
    let folder = Folder::new("full");
    let (records, writer) = Records::start(folder.keep(1 << 20, 0)).unwrap();
    // The folder goes away under the writer, and comes back.
    fs::rename(&folder.0, folder.0.with_extension("away")).unwrap();
    records.put("1".to_owned()).unwrap();
    let mut patience = 0;
    while !records.gauge().stats().failing && patience < 400 {
        std::thread::park_timeout(Duration::from_millis(5));
        patience += 1;
    }
    assert!(records.gauge().stats().failing && records.gauge().stats().waiting == 1);
    fs::rename(folder.0.with_extension("away"), &folder.0).unwrap();
    while records.gauge().stats().waiting > 0 && patience < 1_200 {
        std::thread::park_timeout(Duration::from_millis(5));
        patience += 1;
    }
    assert_eq!(records.gauge().stats().written, 1);
    drop(records);
    writer.finish();
    assert_eq!(folder.current(), "1\n");
}

#[test]
fn a_full_queue_gives_the_record_back() {
    let (lines, _queue) = sync_channel(1);
    let records = Records {
        lines: Some(lines),
        ..Records::default()
    };
    assert_eq!(records.put("1".to_owned()), Ok(()));
    assert_eq!(records.put("2".to_owned()), Err("2".to_owned()));
}
