//! TCP connections that stop.

use std::time::Duration;

use base::Time;
use codecs::CodecId;

use crate::voice::Manner;
use crate::world::{Who, World, ms, secs};

/// Two marks a second: the delays heard from `from` on, ms.
fn delays(w: &World, speaker: Who, listener: Who, from: Time) -> Vec<f64> {
    let marks = w.marks(speaker, listener, from);
    marks
        .iter()
        .map(|m| (m.delay.as_secs_f64() * 1e4).round() / 10.0)
        .collect()
}

/// Trouble that begins now and lasts so long; afterwards the delay is back within two seconds.
#[track_caller]
fn comes_back(
    w: &mut World,
    speaker: Who,
    listener: Who,
    lasts: Duration,
    begin: impl FnOnce(&mut World, Time),
) {
    let from = w.now;
    w.run(secs(5));
    let floor = w.delay(speaker, listener, from);
    let end = w.now + lasts;
    begin(w, end);
    w.run(lasts);
    let over = w.now;
    w.run(secs(2));
    let back = w.now;
    w.run(secs(6));
    let after = delays(w, speaker, listener, back);
    let meanwhile = delays(w, speaker, listener, over);
    eprintln!(
        "{speaker:?} to {listener:?}: floor {floor:.1} ms, from the end of the trouble on {meanwhile:?}"
    );
    assert!(after.len() >= 11, "{after:?}");
    for delay in &after {
        assert!((delay - floor).abs() <= 40.0, "floor {floor:.1}, after {after:?}");
    }
}

fn call(codec: CodecId, manner: Manner) -> (World, Who, Who) {
    let mut w = World::builder().users(&["bob"]).build();
    let bob = w.registered_phone("bob");
    let flash = w.client();
    w.on(flash).codec = codec;
    w.at(bob).voice.manner = manner;
    w.on(flash).voice.manner = manner;
    w.call(flash, "bob");
    w.run(secs(3));
    (w, flash, bob)
}

#[test]
fn a_reader_that_stops_for_five_seconds_is_not_late_afterwards() {
    for (codec, manner) in [
        (CodecId::Pcmu, Manner::Steady),
        (CodecId::SpeexWb, Manner::Steady),
        (CodecId::SpeexWb, Manner::Pausing),
    ] {
        let (mut w, flash, bob) = call(codec, manner);
        comes_back(&mut w, bob, flash, secs(5), |w, end| {
            w.on(flash).read_nothing_before(end)
        });
        // At the rate of speech a second is at most 8 kB; what the kernels hide stays below that.
        let hidden = w.tcp(flash).down.high_water;
        eprintln!(
            "{codec:?}: at most {hidden} bytes in the kernels, {} in the gateway",
            w.gateway.most_pending
        );
        assert!(hidden < 12_000 && w.gateway.most_pending < 10_000);
        if manner == Manner::Steady {
            w.hear_each_other(flash, bob);
        }
        w.leave(flash);
        w.run(ms(200));
        w.ends_clean();
    }
}

#[test]
fn an_uplink_that_stalls_for_three_seconds_is_not_late_afterwards() {
    for (codec, manner) in [
        (CodecId::Pcmu, Manner::Steady),
        (CodecId::SpeexWb, Manner::Steady),
        (CodecId::SpeexWb, Manner::Pausing),
    ] {
        let (mut w, flash, bob) = call(codec, manner);
        comes_back(&mut w, flash, bob, secs(3), |w, end| w.tcp(flash).up.stall(end));
        if manner == Manner::Steady {
            w.hear_each_other(flash, bob);
        }
        w.leave(flash);
        w.run(ms(200));
        w.ends_clean();
    }
}

#[test]
fn a_stalled_downlink_is_not_late_afterwards() {
    for codec in [CodecId::Pcmu, CodecId::SpeexWb] {
        let (mut w, flash, bob) = call(codec, Manner::Steady);
        comes_back(&mut w, bob, flash, secs(3), |w, end| w.tcp(flash).down.stall(end));
        w.leave(flash);
        w.run(ms(200));
        w.ends_clean();
    }
}

#[test]
fn a_client_in_the_echo_is_not_late_after_its_uplink_stalled() {
    let mut w = World::builder().build();
    let flash = w.client();
    w.call(flash, "echo");
    w.run(secs(3));
    comes_back(&mut w, flash, flash, secs(3), |w, end| w.tcp(flash).up.stall(end));
    w.leave(flash);
    w.ends_clean();
}

#[test]
fn a_player_of_a_relayed_stream_is_not_late_after_its_publisher_stalled() {
    let mut w = World::builder().build();
    let publisher = w.client();
    let player = w.client();
    w.on(publisher).connect("live", true, Some("cam"), None);
    w.on(player).connect("live", true, None, Some("cam"));
    w.run(secs(3));
    comes_back(&mut w, publisher, player, secs(3), |w, end| {
        w.tcp(publisher).up.stall(end)
    });
    w.leave(publisher);
    w.leave(player);
    w.ends_clean();
}
