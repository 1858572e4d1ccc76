//! SRTP by operations: two parties and a stranger between them. Also keys in SDP.
#![no_main]

use libfuzzer_sys::fuzz_target;
use media::{KeySource, SRTP_OVERHEAD, SdesLine, SrtpKey, SrtpKeys, SrtpSession, Suite};

fn keys(suite: Suite, source: &mut KeySource) -> (SrtpKeys, SrtpKeys) {
    let (a, b) = (SrtpKey::generate(suite, source), SrtpKey::generate(suite, source));
    let ours = SrtpKeys { send: a.clone(), receive: b.clone() };
    (ours, SrtpKeys { send: b, receive: a })
}

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(line) = SdesLine::parse(text)
    {
        // What the peer says of identifiers is not ours to say.
        let again = SdesLine::parse(&line.write()).expect("reads what it wrote");
        assert_eq!(again.write(), line.write());
    }
    let Some((&first, mut rest)) = data.split_first() else { return };
    let suite = Suite::ALL[usize::from(first) % Suite::ALL.len()];
    let mut source = KeySource::new(&[first; 32]);
    let (a, b) = keys(suite, &mut source);
    let mut a = SrtpSession::new(&a).expect("good keys");
    let mut b = SrtpSession::new(&b).expect("good keys");
    let mut clear = Vec::new();
    let mut sealed: Vec<Vec<u8>> = Vec::new();
    while let Some((&op, tail)) = rest.split_first() {
        let len = usize::from(op >> 2).min(tail.len());
        let (bytes, next) = tail.split_at(len);
        rest = next;
        match op & 3 {
            // A packet goes through, once.
            0 => {
                let mut out = bytes.to_vec();
                out.resize(len + SRTP_OVERHEAD, 0);
                if let Some(n) = a.protect_rtp(&mut out, len) {
                    out.truncate(n);
                    if b.open_rtp(&out, &mut clear).is_ok() {
                        assert_eq!(clear, bytes);
                        assert!(b.open_rtp(&out, &mut clear).is_err());
                        sealed.push(out);
                    }
                }
            }
            1 => {
                let mut out = bytes.to_vec();
                out.resize(len + SRTP_OVERHEAD, 0);
                if let Some(n) = a.protect_rtcp(&mut out, len) {
                    b.open_rtcp(&out[..n], &mut clear).expect("ours, in order");
                    assert_eq!(clear, bytes);
                    assert!(b.open_rtcp(&out[..n], &mut clear).is_err());
                }
            }
            // The stranger sends what it likes, or what it changed.
            2 => {
                assert!(b.open_rtp(bytes, &mut clear).is_err());
                assert!(b.open_rtcp(bytes, &mut clear).is_err());
                if let Some(mut old) = sealed.pop() {
                    for (to, from) in old.iter_mut().zip(bytes) {
                        *to ^= from;
                    }
                    assert!(b.open_rtp(&old, &mut clear).is_err());
                }
            }
            _ => {
                let (new_a, new_b) = keys(suite, &mut source);
                a.rekey(&new_a).expect("good keys");
                b.rekey(&new_b).expect("good keys");
                sealed.clear();
            }
        }
    }
});
