//! RTMPT requests: any split of the bytes gives the same requests or the same error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtmp::rtmpt::{HttpError, Request, Requests};

fn read(bytes: &[u8], piece: usize) -> (Vec<Request>, Option<HttpError>) {
    let mut requests = Requests::default();
    let mut got = Vec::new();
    for part in bytes.chunks(piece) {
        if let Err(e) = requests.handle_input(part) {
            return (got, Some(e));
        }
        loop {
            match requests.next_request() {
                Ok(Some(r)) => got.push(r),
                Ok(None) => break,
                Err(e) => return (got, Some(e)),
            }
        }
    }
    (got, None)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&piece, bytes)) = bytes.split_first() else {
        return;
    };
    assert_eq!(read(bytes, usize::MAX), read(bytes, usize::from(piece) + 1));
});
