//! What the gateway adds to the delay, from socket to socket.

use codecs::CodecId;

use crate::voice::Voice;
use crate::world::{NET_DELAY, World, ms, secs};

/// A frame is heard when it is whole, after two ways through the network.
const WIRE: f64 = 20.0 + 2.0 * NET_DELAY.as_millis() as f64;

#[test]
fn the_gateway_adds_less_than_forty_milliseconds_between_phones() {
    let mut w = World::builder().users(&["alice", "bob"]).build();
    let alice = w.phone("alice");
    let bob = w.registered_phone("bob");
    w.dial(alice, "bob");
    w.run(secs(3));
    let begin = w.now;
    w.run(secs(20));
    let (there, back) = (
        w.delay(alice, bob, begin) - WIRE,
        w.delay(bob, alice, begin) - WIRE,
    );
    eprintln!("RTP to RTP: {there:.1} ms there, {back:.1} ms back");
    assert!((-1.0..40.0).contains(&there) && (-1.0..40.0).contains(&back));
    w.hang_up(alice);
    w.run(ms(100));
    w.ends_clean();
}

/// What a pair of codecs adds by itself: the voice through both, without a gateway between.
fn codecs_alone(chain: &[CodecId]) -> f64 {
    let mut voice = Voice::new(0, base::Time::ZERO);
    let mut ear = crate::ear::Ear::default();
    let mut coders: Vec<_> = chain
        .iter()
        .map(|c| {
            let encoder = codecs::encoder(*c, &Default::default()).unwrap();
            let decoder = codecs::decoder(*c, encoder.sample_rate()).unwrap();
            (encoder, decoder)
        })
        .collect();
    let rate = coders[0].0.sample_rate();
    for _ in 0..500 {
        let at = voice.due();
        let mut pcm = voice.speak(rate);
        for (encoder, decoder) in &mut coders {
            // Between rates every other sample is left out or said twice: the delay is all that counts here.
            let wanted = encoder.sample_rate() as usize / 50;
            pcm = (0..wanted).map(|n| pcm[n * pcm.len() / wanted]).collect();
            let mut payload = [0; 1_000];
            let len = encoder.encode(&pcm, &mut payload).unwrap();
            let mut out = [0; 1_000];
            let n = decoder.decode(&payload[..len], &mut out).unwrap();
            pcm = out[..n].to_vec();
        }
        let rate = coders[coders.len() - 1].1.sample_rate();
        ear.hear(at, rate, &pcm);
    }
    crate::world::median(&ear.marks(&voice, base::Time::from_secs(1), voice.due()))
}

#[test]
fn the_gateway_adds_less_than_forty_milliseconds_between_client_and_phone() {
    use CodecId::{Pcmu, SpeexWb};
    for (of_client, of_phone) in [(Pcmu, Pcmu), (SpeexWb, Pcmu), (SpeexWb, SpeexWb)] {
        let mut w = World::builder().users(&["bob"]).build();
        let bob = w.registered_phone("bob");
        w.at(bob).codecs = vec![of_phone];
        let flash = w.client();
        w.on(flash).codec = of_client;
        w.on(flash)
            .connect("call", of_client == Pcmu, Some("bob"), Some("bob"));
        w.run(secs(4));
        let begin = w.now;
        w.run(secs(20));
        let wire = 2.0 * NET_DELAY.as_millis() as f64;
        let alone = |from, to| {
            if from == to {
                codecs_alone(&[from])
            } else {
                codecs_alone(&[from, to])
            }
        };
        let up = w.delay(flash, bob, begin) - wire - alone(of_client, of_phone);
        let down = w.delay(bob, flash, begin) - wire - alone(of_phone, of_client);
        eprintln!("{of_client:?} to {of_phone:?}: RTMP to RTP {up:.1} ms, RTP to RTMP {down:.1} ms");
        assert!(up < 40.0 && down < 40.0, "{up:.1} {down:.1}");
        w.leave(flash);
        w.run(ms(200));
        w.ends_clean();
    }
}
