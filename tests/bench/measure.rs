//! What the kernel and the allocator say about this process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// Counts what the Rust code of the process allocates; the codec libraries have the C allocator.
pub struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static LIVE: AtomicI64 = AtomicI64::new(0);
/// Allocations of the threads that carry media, while they are watched: to ask for the thread's name takes a system call.
static MEDIA: AtomicU64 = AtomicU64::new(0);
static WATCHED: AtomicBool = AtomicBool::new(false);

fn count(bytes: i64) {
    ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    LIVE.fetch_add(bytes, Ordering::Relaxed);
    if WATCHED.load(Ordering::Relaxed) {
        let mut name = [0u8; 16];
        // SAFETY: the call writes at most 16 bytes, the longest name of a thread with its end.
        unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
        if name.starts_with(b"shard") {
            MEDIA.fetch_add(1, Ordering::Relaxed);
        }
    }
}

// SAFETY: every call is passed to the system's allocator unchanged; only counters are added.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Where the process stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// Processor time of all threads, in seconds.
    pub cpu: f64,
    /// Processor time of the threads that carry media, in seconds.
    pub shards: f64,
    /// Allocations so far, of all threads.
    pub allocations: u64,
    /// Those of the threads that carry media, while they were watched.
    pub media_allocations: u64,
    /// Bytes allocated and not freed.
    pub live: i64,
    /// Resident memory, in bytes.
    pub resident: u64,
    /// Times a thread gave up the processor by itself: one for each wake-up.
    pub switches: u64,
}

impl Reading {
    /// The same with the allocator's counters of this moment: the reading itself allocates, and that is not the gateway's.
    /// From now on to the next reading the threads that carry media are watched.
    pub fn recounted(self) -> Reading {
        WATCHED.store(true, Ordering::Relaxed);
        Reading {
            allocations: ALLOCATIONS.load(Ordering::Relaxed),
            media_allocations: MEDIA.load(Ordering::Relaxed),
            ..self
        }
    }

    pub fn now() -> Reading {
        WATCHED.store(false, Ordering::Relaxed);
        let mut reading = Reading {
            allocations: ALLOCATIONS.load(Ordering::Relaxed),
            media_allocations: MEDIA.load(Ordering::Relaxed),
            live: LIVE.load(Ordering::Relaxed),
            ..Reading::default()
        };
        let status = fs::read_to_string("/proc/self/status").unwrap();
        reading.resident = number(&status, "VmRSS:") * 1024;
        for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
            let path = task.path();
            // A thread may end between the listing and the reading.
            let Ok(times) = fs::read_to_string(path.join("schedstat")) else {
                continue;
            };
            let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
            let status = fs::read_to_string(path.join("status")).unwrap_or_default();
            let nanoseconds: f64 = times
                .split(' ')
                .next()
                .and_then(|t| t.parse().ok())
                .unwrap_or(0.0);
            reading.cpu += nanoseconds / 1e9;
            if name.starts_with("shard") {
                reading.shards += nanoseconds / 1e9;
            }
            reading.switches += number(&status, "voluntary_ctxt_switches:");
        }
        reading
    }
}

fn number(status: &str, key: &str) -> u64 {
    let line = status.lines().find_map(|l| l.strip_prefix(key)).unwrap_or("0");
    line.split_whitespace()
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

/// Processor time of this thread, in seconds.
pub fn thread_cpu() -> f64 {
    let times = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    times
        .split(' ')
        .next()
        .and_then(|t| t.parse::<f64>().ok())
        .unwrap_or(0.0)
        / 1e9
}
