use super::*;

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("flashgate-recorder-{}-{name}", std::process::id()));
    let _none = std::fs::remove_dir_all(&folder);
    folder
}

/// Waits until something is true of a file.
#[expect(clippy::disallowed_methods, reason = "the disk has its own time")]
fn wait(what: impl Fn() -> bool) {
    for _ in 0..200 {
        if what() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("it never came true");
}

/// Samples by the header, and those that are there.
fn lengths(path: &Path) -> (usize, usize) {
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(
        (&bytes[..4], &bytes[8..12], &bytes[36..40]),
        (&b"RIFF"[..], &b"WAVE"[..], &b"data"[..])
    );
    let field = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    assert_eq!(field(4), field(40) + 36);
    (field(40) / 2, (bytes.len() - 44) / 2)
}

#[test]
fn a_recording_has_its_time_whatever_was_missing() {
    let recorder = Recorder::start(&folder("time")).unwrap();
    let recording = recorder.record("a/b c").unwrap();
    let path = recording.path().to_owned();
    assert_eq!(path.file_name().unwrap().to_str(), Some("a_b_c-0001.wav"));
    assert_eq!(
        recorder.record("a/b c").unwrap().path().file_name().unwrap(),
        "a_b_c-0002.wav"
    );
    // A second at 8 kHz, a hole of half a second, half a second at 16, another shard goes on.
    (0..50).for_each(|n| assert!(recording.push(0, 1_000 + n, 8_000, &[100; 160])));
    (75..100).for_each(|n| assert!(recording.push(0, 1_000 + n, 16_000, &[100; 320])));
    (0..50).for_each(|n| assert!(recording.push(1, n, 48_000, &[100; 960])));
    drop(recording);
    wait(|| lengths(&path).0 > 40_000);
    let (told, there) = lengths(&path);
    assert_eq!(told, there);
    assert!(told.abs_diff(48_000) < 200, "{told}");
}

/// The process is killed: nobody says that the recording is over.
#[test]
fn a_killed_process_leaves_all_but_the_last_second() {
    let recorder = Recorder::start(&folder("killed")).unwrap();
    let recording = recorder.record("team").unwrap();
    let copy = folder("copy");
    (0..495).for_each(|n| assert!(recording.push(0, n, 16_000, &[7; 320])));
    wait(|| lengths(recording.path()).0 >= 9 * 16_000);
    std::fs::copy(recording.path(), &copy).unwrap();
    let (told, there) = lengths(&copy);
    assert!(told <= there && told >= 9 * 16_000, "{told} of {there}");
    let _gone = std::fs::remove_file(copy);
}

#[test]
fn a_full_disk_ends_the_recording_and_no_other() {
    let recorder = Recorder::start(&folder("full")).unwrap();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let inner = Inner {
        id: 77,
        path: PathBuf::from("/dev/full"),
        queue: recorder.queue.clone(),
        failed: AtomicBool::new(false),
    };
    let broken = Recording(Arc::new(inner));
    recorder
        .queue
        .send(Job::Open(Arc::downgrade(&broken.0), 77, full))
        .unwrap();
    let other = recorder.record("other").unwrap();
    for n in 0..100 {
        broken.push(0, n, 16_000, &[7; 320]);
        assert!(other.push(0, n, 16_000, &[7; 320]));
    }
    wait(|| broken.has_failed());
    assert!(!broken.push(0, 100, 16_000, &[7; 320]));
    wait(|| lengths(other.path()).0 >= 32_000);
    assert!(!other.has_failed());
}
