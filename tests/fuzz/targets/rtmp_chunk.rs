//! Chunk streams: any bytes, in any pieces, give the same messages or the same error; memory stays bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtmp::chunk::{Payload, Reader, Step};
use rtmp::message::{Aggregate, Command, Message, UserControl};
use rtmp::{Error, Limits};

fn read(bytes: &[u8], piece: usize) -> (Vec<(u8, u32, u32, Vec<u8>)>, Option<Error>) {
    let mut reader = Reader::new(Limits::default());
    let (mut got, mut buffer) = (Vec::new(), Vec::new());
    for part in bytes.chunks(piece) {
        buffer.extend_from_slice(part);
        loop {
            let used = match reader.step(&buffer) {
                Err(e) => return (got, Some(e)),
                Ok(Step::Incomplete) => break,
                Ok(Step::Used(used)) => used,
                Ok(Step::Message {
                    used,
                    header,
                    payload,
                }) => {
                    let body = match payload {
                        Payload::Input(range) => buffer[range].to_vec(),
                        Payload::Gathered(i) => reader.gathered(i).to_vec(),
                    };
                    assert_eq!(body.len(), header.len);
                    got.push((header.kind, header.stream, header.timestamp, body));
                    used
                }
            };
            buffer.drain(..used);
        }
    }
    (got, None)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&piece, bytes)) = bytes.split_first() else {
        return;
    };
    let whole = read(bytes, usize::MAX);
    let pieces = read(bytes, usize::from(piece) + 1);
    // Which bound is met first may depend on the pieces; what was read before may not.
    assert!(whole.0.starts_with(&pieces.0) || pieces.0.starts_with(&whole.0));
    if whole.1.is_none() && pieces.1.is_none() {
        assert_eq!(whole.0, pieces.0);
    }
    for (kind, stream, timestamp, payload) in &whole.0 {
        let message = Message {
            kind: *kind,
            stream: *stream,
            timestamp: *timestamp,
            payload,
        };
        let _ = Command::decode(&message, 1000);
        let _ = UserControl::decode(payload);
        assert!(Aggregate::new(&message).count() <= payload.len());
    }
});
