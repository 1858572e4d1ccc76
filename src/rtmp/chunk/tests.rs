use proptest::prelude::*;

use super::*;
use crate::error::Error;
use crate::limits::Limits;
use crate::message::kind;

type Got = (Header, Vec<u8>);

/// Reads everything, giving the reader the input in pieces of `piece` bytes.
fn read_pieces(reader: &mut Reader, bytes: &[u8], piece: usize) -> Result<Vec<Got>, Error> {
    let mut got = Vec::new();
    let mut buffer = Vec::new();
    for part in bytes.chunks(piece.max(1)) {
        buffer.extend_from_slice(part);
        loop {
            let used = match reader.step(&buffer)? {
                Step::Incomplete => break,
                Step::Used(used) => used,
                Step::Message {
                    used,
                    header,
                    payload,
                } => {
                    let body = match payload {
                        Payload::Input(range) => buffer[range].to_vec(),
                        Payload::Gathered(i) => reader.gathered(i).to_vec(),
                    };
                    got.push((header, body));
                    used
                }
            };
            buffer.drain(..used);
        }
    }
    Ok(got)
}

fn read(bytes: &[u8]) -> Result<Vec<Got>, Error> {
    read_pieces(&mut Reader::new(Limits::default()), bytes, usize::MAX)
}

fn header(kind: u8, timestamp: u32, len: usize) -> Header {
    Header {
        kind,
        stream: 1,
        timestamp,
        len,
    }
}

/// A type 0 header on a one-byte chunk stream.
fn full(csid: u8, time: u32, len: usize, kind: u8, stream: u32) -> Vec<u8> {
    let mut out = vec![csid];
    out.extend(&time.min(0xFF_FFFF).to_be_bytes()[1..]);
    out.extend(&(len as u32).to_be_bytes()[1..]);
    out.push(kind);
    out.extend(stream.to_le_bytes());
    if time >= 0xFF_FFFF {
        out.extend(time.to_be_bytes());
    }
    out
}

#[test]
fn the_four_header_forms_follow_each_other() {
    let mut bytes = full(4, 1000, 2, kind::AUDIO, 1);
    bytes.extend([0xB2, 1]);
    bytes.extend([0x44, 0, 0, 20, 0, 0, 3, 9, 7, 8, 9]);
    bytes.extend([0x84, 0, 0, 40, 4, 5, 6]);
    bytes.extend([0xC4, 1, 2, 3]);
    assert_eq!(
        read(&bytes).unwrap(),
        [
            (header(8, 1000, 2), vec![0xB2, 1]),
            (header(9, 1020, 3), vec![7, 8, 9]),
            (header(9, 1060, 3), vec![4, 5, 6]),
            (header(9, 1100, 3), vec![1, 2, 3]),
        ]
    );
}

#[test]
fn audio_between_the_chunks_of_a_video_message_stays_apart() {
    // rml_rtmp 0.8 panics or merges both: it has one buffer for all chunk streams.
    let mut bytes = full(6, 0, 200, kind::VIDEO, 1);
    bytes.extend([1; 128]);
    bytes.extend(full(4, 5, 2, kind::AUDIO, 1));
    bytes.extend([0xB2, 9]);
    bytes.push(0xC6);
    bytes.extend([2; 72]);
    let mut video = vec![1; 128];
    video.extend([2; 72]);
    assert_eq!(
        read(&bytes).unwrap(),
        [(header(8, 5, 2), vec![0xB2, 9]), (header(9, 0, 200), video)]
    );
}

#[test]
fn extended_times_are_read_in_both_habits() {
    for repeated in [true, false] {
        let time = 0x0102_0304u32;
        let mut bytes = full(4, time, 130, kind::AUDIO, 1);
        bytes.extend([9; 128]);
        bytes.push(0xC4);
        if repeated {
            bytes.extend(time.to_be_bytes());
        }
        bytes.extend([8; 2]);
        let mut body = vec![9; 128];
        body.extend([8; 2]);
        for piece in [1, 3, 1000] {
            let mut reader = Reader::new(Limits::default());
            let got = read_pieces(&mut reader, &bytes, piece).unwrap();
            assert_eq!(got, [(header(8, time, 130), body.clone())], "{repeated} {piece}");
        }
    }
}

#[test]
fn an_extended_delta_below_the_escape_value_is_no_trap() {
    // rml_rtmp 0.8 panics in checked builds.
    let mut bytes = full(4, 10, 1, kind::AUDIO, 1);
    bytes.push(7);
    bytes.extend([0x84, 0xFF, 0xFF, 0xFF, 0, 0, 0, 5, 8]);
    assert_eq!(read(&bytes).unwrap()[1], (header(8, 15, 1), vec![8]));
}

#[test]
fn time_wraps_around() {
    let mut bytes = full(4, 0xFFFF_FFF0, 1, kind::AUDIO, 1);
    bytes.push(7);
    bytes.extend([0x84, 0, 0, 0x20, 8]);
    assert_eq!(read(&bytes).unwrap()[1].0.timestamp, 0x10);
}

#[test]
fn chunk_stream_ids_of_two_and_three_bytes_are_distinct() {
    for (csid, basic) in [
        (64u32, vec![0, 0]),
        (319, vec![0, 255]),
        (320, vec![1, 0, 1]),
        (65_599, vec![1, 255, 255]),
    ] {
        let mut out = Vec::new();
        Writer::default().message(csid, header(8, 0, 1), &[5], &mut out);
        assert!(out.starts_with(&basic), "{csid}");
        assert_eq!(read(&out).unwrap(), [(header(8, 0, 1), vec![5])]);
    }
}

#[test]
fn a_zero_length_message_is_a_message() {
    let mut out = Vec::new();
    Writer::default().message(4, header(8, 3, 0), &[], &mut out);
    assert_eq!(read(&out).unwrap(), [(header(8, 3, 0), vec![])]);
}

#[test]
fn chunk_size_changes_take_effect_at_once() {
    let mut bytes = full(2, 0, 4, kind::SET_CHUNK_SIZE, 0);
    bytes.extend(300u32.to_be_bytes());
    bytes.extend(full(6, 0, 250, kind::VIDEO, 1));
    bytes.extend([3; 250]);
    let got = read(&bytes).unwrap();
    assert_eq!(got[1].1.len(), 250);
    for bad in [0u32, 0x8000_0000] {
        let mut bytes = full(2, 0, 4, kind::SET_CHUNK_SIZE, 0);
        bytes.extend(bad.to_be_bytes());
        assert_eq!(read(&bytes), Err(Error::ChunkSize { size: bad }));
    }
    let mut short = full(2, 0, 2, kind::SET_CHUNK_SIZE, 0);
    short.extend([0, 1]);
    assert_eq!(read(&short), Err(Error::Truncated { kind: 1, len: 2 }));
}

#[test]
fn abort_drops_the_unfinished_message_only() {
    let mut bytes = full(6, 0, 200, kind::VIDEO, 1);
    bytes.extend([1; 128]);
    bytes.extend(full(2, 0, 4, kind::ABORT, 0));
    bytes.extend(6u32.to_be_bytes());
    bytes.extend([0x46, 0, 0, 7, 0, 0, 1, 9, 42]);
    let got = read(&bytes).unwrap();
    assert_eq!(got[1], (header(9, 7, 1), vec![42]));
}

#[test]
fn bad_chunks_are_errors() {
    assert_eq!(read(&[0xC4, 0]), Err(Error::HeaderMissing { csid: 4 }));
    assert_eq!(read(&[0x84, 0, 0, 0]), Err(Error::HeaderMissing { csid: 4 }));
    let mut bytes = full(6, 0, 200, kind::VIDEO, 1);
    bytes.extend([1; 128]);
    bytes.extend(full(6, 0, 2, kind::VIDEO, 1));
    assert_eq!(read(&bytes), Err(Error::MessageInterrupted { csid: 6 }));
}

#[test]
fn every_bound_holds() {
    let limits = Limits::default();
    assert!(matches!(
        read(&full(4, 0, limits.message + 1, kind::AUDIO, 1)),
        Err(Error::MessageTooLarge { kind: 8, .. })
    ));
    assert!(matches!(
        read(&full(4, 0, limits.video_message + 1, kind::VIDEO, 1)),
        Err(Error::MessageTooLarge { kind: 9, .. })
    ));
    let mut bytes = Vec::new();
    for csid in 0..=limits.chunk_streams as u32 {
        Writer::default().message(csid + 3, header(8, 0, 1), &[5], &mut bytes);
    }
    assert_eq!(read(&bytes), Err(Error::TooManyChunkStreams { limit: 64 }));
    let small = Limits {
        partial: 300,
        ..Limits::default()
    };
    let mut bytes = Vec::new();
    for csid in 4..8 {
        bytes.extend(full(csid, 0, 200, kind::VIDEO, 1));
        bytes.extend([1; 128]);
    }
    assert_eq!(
        read_pieces(&mut Reader::new(small), &bytes, 64),
        Err(Error::TooMuchPartial { limit: 300 })
    );
}

#[test]
fn a_large_chunk_is_taken_as_it_comes() {
    let mut bytes = full(2, 0, 4, kind::SET_CHUNK_SIZE, 0);
    bytes.extend(0x10_0000u32.to_be_bytes());
    bytes.extend(full(6, 0, 100_000, kind::VIDEO, 1));
    let mut reader = Reader::new(Limits::default());
    read_pieces(&mut reader, &bytes, usize::MAX).unwrap();
    for _ in 0..99 {
        assert_eq!(reader.step(&[7; 1000]), Ok(Step::Used(1000)));
    }
    assert!(matches!(
        reader.step(&[7; 1000]),
        Ok(Step::Message { used: 1000, .. })
    ));
}

#[test]
fn writer_uses_the_shortest_header() {
    let mut w = Writer::default();
    let mut sizes = Vec::new();
    for (time, len, kind) in [
        (0, 3, 8),
        (20, 3, 8),
        (40, 3, 8),
        (60, 4, 8),
        (50, 4, 8),
        (50, 4, 8),
    ] {
        let mut out = Vec::new();
        w.message(4, header(kind, time, len), &[1, 2, 3, 4][..len], &mut out);
        sizes.push(out.len() - len);
    }
    assert_eq!(sizes, [12, 4, 1, 8, 12, 4]);
}

proptest! {
    #[test]
    fn messages_survive_chunking_and_any_fragmentation(
        messages in proptest::collection::vec(
            (3u32..70, 1u8..23, 0u32..3, any::<u32>(), 0usize..700), 1..20),
        chunk_size in 1u32..300,
        piece in 1usize..200,
    ) {
        let mut out = Vec::new();
        let mut writer = Writer::default();
        writer.message(2, header(kind::SET_CHUNK_SIZE, 0, 4), &chunk_size.to_be_bytes(), &mut out);
        writer.set_chunk_size(chunk_size);
        let mut sent = Vec::new();
        for (csid, k, stream, timestamp, len) in messages {
            if matches!(k, kind::SET_CHUNK_SIZE | kind::ABORT) { continue }
            let body: Vec<u8> = (0..len).map(|i| (i as u32 ^ timestamp) as u8).collect();
            let h = Header { kind: k, stream, timestamp, len };
            writer.message(csid, h, &body, &mut out);
            sent.push((h, body));
        }
        let limits = Limits { chunk_streams: 100, ..Limits::default() };
        let got = read_pieces(&mut Reader::new(limits), &out, piece).unwrap();
        prop_assert_eq!(&got[1..], &sent[..]);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600), piece in 1usize..600) {
        let _ = read_pieces(&mut Reader::new(Limits::default()), &bytes, piece);
    }
}
