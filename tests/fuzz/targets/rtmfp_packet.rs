//! Any bytes as a datagram, a packet, chunks, certificates and discriminators. What is understood is written as it was
//! read, or means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtmfp::chunk::{self, Chunk};
use rtmfp::packet::{self, Header};
use rtmfp::profile::certificate::{Certificate, Discriminator};
use rtmfp::profile::cipher::Opener;

fuzz_target!(|bytes: &[u8]| {
    if let Some((_, sealed)) = packet::split(bytes) {
        let _ = Opener::startup().open(sealed, &mut Vec::new());
    }
    if let Some(certificate) = Certificate::read(bytes) {
        assert_eq!(certificate.bytes(), bytes);
    }
    if let Some(epd) = Discriminator::read(bytes) {
        assert_eq!(Discriminator::read(&epd.bytes()), Some(epd));
    }
    let _ = rtmfp::tc::stream_of(bytes);
    let Some((header, chunks)) = Header::read(bytes) else {
        return;
    };
    let mut again = Vec::new();
    header.put(&mut again);
    assert_eq!(Header::read(&again).map(|(h, _)| h), Some(header));
    for (kind, payload) in chunks {
        let Some(read) = Chunk::read(kind, payload) else {
            continue;
        };
        match &read {
            Chunk::Ack(ack) => {
                let mut last = ack.cumulative;
                for (from, to) in ack.ranges().take(1_000) {
                    assert!(from > last && to >= from);
                    last = to;
                }
            }
            Chunk::Redirect { addresses, .. } => assert!(chunk::addresses(addresses).count() <= addresses.len()),
            _ => {}
        }
        let mut written = vec![1];
        read.put(&mut written);
        let (_, mut chunks) = Header::read(&written).unwrap();
        let (kind, payload) = chunks.next().unwrap();
        assert_eq!(Chunk::read(kind, payload), Some(read));
    }
});
