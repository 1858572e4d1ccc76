//! What the system says of this process.

use std::fs;

/// Figures of the process; 0 where the system does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Process {
    /// Resident memory, bytes.
    pub(super) memory_bytes: u64,
    /// Processor time since the start, ms.
    pub(super) cpu_ms: u64,
    /// Open file descriptors.
    pub(super) files: u64,
}

/// Pages of 4 KiB and 100 clock ticks a second: what the kernel reports in on every machine this runs on.
const PAGE: u64 = 4_096;
const TICK_MS: u64 = 10;

impl Process {
    /// The figures now.
    pub(super) fn now() -> Process {
        let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        let pages = read("statm")
            .split(' ')
            .nth(1)
            .and_then(|n| n.parse::<u64>().ok());
        Process {
            memory_bytes: pages.unwrap_or(0) * PAGE,
            cpu_ms: ticks(&read("stat")).unwrap_or(0) * TICK_MS,
            // The descriptor that lists them is one of them.
            files: fs::read_dir("/proc/self/fd").map_or(0, |d| (d.count() as u64).saturating_sub(1)),
        }
    }
}

/// User and system time of a line of proc(5) `stat`; the name in brackets may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_a_strange_name() {
        let line = "7 (a) b (c)) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 5 0 100 1 2";
        assert_eq!(ticks(line), Some(300));
        assert_eq!(ticks("7 (a"), None);
    }

    #[test]
    fn this_process_has_memory_and_files() {
        let process = Process::now();
        assert!(process.memory_bytes > 1 << 20 && process.files > 2, "{process:?}");
    }
}
