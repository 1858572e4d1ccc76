//! What is said when: marks until the far end is heard, the file, marks again, the end.

use base::Time;
use std::time::Duration;

use super::source::{Frame, Source};

/// Without a file a call lasts so long when no duration is given.
pub(super) const DEFAULT_DURATION: Duration = Duration::from_secs(10);
/// A far end that has not been heard after so long gets the file all the same, ms.
const PATIENCE: u32 = 5_000;
/// Marks that should come back before the file begins, and how long they may take once the far end is heard, ms.
const MARKS_BEFORE: usize = 2;
const WAIT_FOR_MARKS: u32 = 3_000;
/// Marks after the file, and how long what was said last may take to come back, ms.
const TAIL: u32 = 2_000;
const LINGER: u32 = 1_000;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Marks; ms since the beginning, and since the far end was heard.
    Lead(u32, u32),
    /// The file from this frame on.
    File(usize),
    /// Marks, then silence, after the file, ms.
    Tail(u32),
}

/// Chooses each frame of a call.
#[derive(Clone, Debug)]
pub(super) struct Script {
    phase: Phase,
    /// The next frame of the marks.
    mark: usize,
}

/// What the far end has shown so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heard {
    /// Audio has come.
    pub(super) audio: bool,
    /// Marks that came back.
    pub(super) marks: usize,
}

impl Script {
    /// A call whose marks begin at frame `first`, so that many calls do not all mark at once.
    pub(super) fn new(first: usize) -> Script {
        Script {
            phase: Phase::Lead(0, 0),
            mark: first,
        }
    }

    /// The next frame; `None` when everything is said and has had time to come back.
    pub(super) fn next<'a>(&mut self, source: &'a Source, heard: Heard) -> Option<&'a Frame> {
        match self.phase {
            Phase::Lead(all, since) => {
                let enough =
                    since > 0 && (source.quiet || heard.marks >= MARKS_BEFORE || since >= WAIT_FOR_MARKS);
                if !source.file().is_empty() && (enough || (since == 0 && all >= PATIENCE)) {
                    self.phase = Phase::File(0);
                    return self.next(source, heard);
                }
                self.phase = Phase::Lead(
                    all.saturating_add(source.frame_ms),
                    match heard.audio {
                        true => since.saturating_add(source.frame_ms),
                        false => 0,
                    },
                );
            }
            Phase::File(at) => match source.file().get(at) {
                Some(frame) => {
                    self.phase = Phase::File(at + 1);
                    return Some(frame);
                }
                None => {
                    self.phase = Phase::Tail(0);
                    return self.next(source, heard);
                }
            },
            Phase::Tail(n) if n >= TAIL + LINGER => return None,
            Phase::Tail(n) => self.phase = Phase::Tail(n + source.frame_ms),
        }
        self.mark += 1;
        source.mark_frame(self.mark - 1)
    }
}

/// The times at which frames are due: at even distances from the first, whatever happened in between.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    start: Time,
    sent: u32,
    frame_ms: u32,
}

impl Pace {
    pub(super) fn new(start: Time, frame_ms: u32) -> Pace {
        Pace {
            start,
            sent: 0,
            frame_ms,
        }
    }

    /// When the next frame is due.
    pub(super) fn due(&self) -> Time {
        self.start + Duration::from_millis(u64::from(self.sent) * u64::from(self.frame_ms))
    }

    /// The timestamp of the next frame, in ms; the frame counts as gone.
    pub(super) fn take(&mut self) -> u32 {
        let timestamp = self.sent.wrapping_mul(self.frame_ms);
        self.sent += 1;
        timestamp
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::call::source::Codec;
    use crate::cli::call::wav::Audio;

    fn source(quiet: bool) -> Source {
        let audio = Audio {
            rate: 8_000,
            samples: vec![9; 8_000],
        };
        Source::new(Codec::Pcmu, Some(&audio), quiet).unwrap()
    }

    /// How many frames are said before the file, when the far end is heard after `heard` frames and its marks
    /// after `marks`.
    fn lead(source: &Source, heard: usize, marks: usize) -> usize {
        let mut script = Script::new(0);
        let mut n = 0;
        while !matches!(script.phase, Phase::File(_)) {
            let heard = Heard {
                audio: n >= heard,
                marks: if n >= marks { 2 } else { 0 },
            };
            script.next(source, heard).unwrap();
            n += 1;
            assert!(n < 10_000);
        }
        n - 1
    }

    #[test]
    fn the_file_waits_for_the_far_end_but_not_for_ever() {
        let marks = source(false);
        assert_eq!(lead(&marks, 100, 150), 150);
        assert_eq!(lead(&marks, 100, usize::MAX), 100 + WAIT_FOR_MARKS as usize / 20);
        assert_eq!(lead(&marks, usize::MAX, usize::MAX), PATIENCE as usize / 20);
        assert_eq!(lead(&source(true), 30, usize::MAX), 31);
    }

    #[test]
    fn the_whole_file_is_said_and_then_it_ends() {
        let source = source(false);
        let mut script = Script::new(7);
        let heard = Heard {
            audio: true,
            marks: 2,
        };
        let mut all = 0;
        while script.next(&source, heard).is_some() {
            all += 1;
        }
        assert_eq!(all, 1 + 50 + (TAIL + LINGER) as usize / 20);
    }

    #[test]
    fn the_pace_is_absolute() {
        let mut pace = Pace::new(Time::from_secs(5), 20);
        assert_eq!((pace.take(), pace.take()), (0, 20));
        assert_eq!(pace.due(), Time::from_millis(5_040));
    }
}
