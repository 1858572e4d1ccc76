//! Processor time of SRTP for a packet, beside the bare arithmetic: `cargo bench -p media --bench srtp_cost`.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;
use base::Rng;
use media::{KeySource, RtpSender, SRTP_OVERHEAD, SrtpKey, SrtpKeys, SrtpSession, Suite};

/// Packets of each measurement.
const PACKETS: u32 = 200_000;
/// G.711, 20 ms.
const PAYLOAD: usize = 160;

/// Nanoseconds this thread has run.
fn ran() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse().unwrap()
}

/// Nanoseconds for a packet; the least of five.
fn time(mut work: impl FnMut()) -> f64 {
    let mut one = || {
        let start = ran();
        (0..PACKETS).for_each(|_| work());
        (ran() - start) as f64 / f64::from(PACKETS)
    };
    (0..5).map(|_| one()).fold(f64::INFINITY, f64::min)
}

/// Protecting and opening.
fn srtp(suite: Suite) -> f64 {
    let mut source = KeySource::new(&[1; 32]);
    let key = SrtpKey::generate(suite, &mut source);
    let keys = SrtpKeys {
        send: key.clone(),
        receive: key,
    };
    let mut session = SrtpSession::new(&keys).unwrap();
    let mut sender = RtpSender::new(&mut Rng::new(1));
    let (mut out, mut clear) = ([0; 12 + PAYLOAD + SRTP_OVERHEAD], Vec::new());
    time(|| {
        let len = sender.write(0, false, &[0xD5; PAYLOAD], &mut out).unwrap();
        let sealed = session.protect_rtp(&mut out, len).unwrap();
        session.open_rtp(&out[..sealed], &mut clear).unwrap();
    })
}

/// Writing the packet, which the other figures hold too.
fn rtp() -> f64 {
    let mut sender = RtpSender::new(&mut Rng::new(1));
    let mut out = [0; 12 + PAYLOAD];
    time(|| {
        sender.write(0, false, &[0xD5; PAYLOAD], &mut out).unwrap();
        std::hint::black_box(&out);
    })
}

fn bare_cm() -> f64 {
    let aes = EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, &[1; 16]).unwrap()).unwrap();
    let mac = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &[2; 20]);
    let mut data = [0; PAYLOAD];
    time(|| {
        for _ in 0..2 {
            let context = EncryptionContext::Iv128([3; 16].into());
            aes.less_safe_encrypt(&mut data, context).unwrap();
            std::hint::black_box(hmac::sign(&mac, &data));
        }
    })
}

fn bare_gcm() -> f64 {
    let aes = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[1; 16]).unwrap());
    let mut data = [0; PAYLOAD + 16];
    time(|| {
        let nonce = || Nonce::assume_unique_for_key([3; 12]);
        let (body, tag) = data.split_at_mut(PAYLOAD);
        let made = aes
            .seal_in_place_separate_tag(nonce(), Aad::empty(), body)
            .unwrap();
        tag.copy_from_slice(made.as_ref());
        aes.open_in_place(nonce(), Aad::empty(), &mut data).unwrap();
    })
}

fn main() {
    let rtp = rtp();
    println!("ns for a packet of {PAYLOAD} bytes, protected and opened (writing it, {rtp:.0} ns, left out)");
    for (suite, bare) in [
        (Suite::AesCm128HmacSha1_80, bare_cm()),
        (Suite::AesCm128HmacSha1_32, bare_cm()),
        (Suite::AeadAes128Gcm, bare_gcm()),
    ] {
        let all = srtp(suite) - rtp;
        println!("| {} | {all:.0} | {bare:.0} | {:.2} |", suite.name(), all / bare);
    }
}
