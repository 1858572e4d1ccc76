//! A byte stream: the first byte says how it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::{Frame, StreamParser};

const MAX: usize = 4096;

fuzz_target!(|data: &[u8]| {
    let Some((&cut, data)) = data.split_first() else {
        return;
    };
    let whole = frames(data, data.len().max(1));
    let pieces = frames(data, usize::from(cut) + 1);
    // A lone line break may be told apart from a ping only when it comes alone; messages must be the same.
    assert_eq!(whole, pieces);
});

/// Everything but the keep-alives; a fatal error ends it.
fn frames(data: &[u8], size: usize) -> Vec<Result<Frame, String>> {
    let mut parser = StreamParser::new(MAX);
    let mut out = Vec::new();
    for piece in data.chunks(size) {
        parser.push(piece);
        loop {
            match parser.next() {
                Ok(Some(Frame::Ping | Frame::Pong)) => {}
                Ok(Some(frame)) => out.push(Ok(frame)),
                Ok(None) => break,
                Err(e) => {
                    out.push(Err(e.error.to_string()));
                    if e.fatal {
                        return out;
                    }
                }
            }
        }
    }
    out
}
