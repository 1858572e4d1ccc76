//! RTMP clients that dial by the names of streams.

use codecs::CodecId;

use crate::client::{Film, Told};
use crate::phone::{Answers, Told as PhoneTold};
use crate::world::{World, ms, secs};

#[test]
fn a_client_hears_itself_in_the_echo() {
    for (codec, frames) in [
        (CodecId::SpeexWb, 1),
        (CodecId::Pcmu, 1),
        (CodecId::Pcma, 1),
        (CodecId::Pcmu, 6),
    ] {
        let mut w = World::builder().build();
        let flash = w.client();
        w.on(flash).codec = codec;
        w.on(flash).frames = frames;
        w.call(flash, "echo");
        w.run(secs(4));
        w.hears(flash, flash);
        assert_eq!(w.on(flash).heard_codec, Some(codec), "no need to transcode");
        w.leave(flash);
        w.ends_clean();
    }
}

#[test]
fn a_client_hears_the_tone() {
    let mut w = World::builder().build();
    let flash = w.client();
    w.on(flash).connect("call", true, None, Some("tone"));
    w.run(secs(3));
    assert!(w.ear(flash).hears(w.now, 440.0));
    w.leave(flash);
    w.ends_clean();
}

#[test]
fn a_client_and_a_phone_hear_each_other_in_any_pair_of_codecs() {
    use CodecId::{Pcma, Pcmu, SpeexNb, SpeexWb};
    // What the client sends, whether it decodes G.711, what the phone has, what each is sent.
    let cases: [(CodecId, bool, &[CodecId], CodecId, CodecId); 6] = [
        (SpeexWb, true, &[Pcmu], Pcmu, Pcmu),
        (SpeexWb, false, &[Pcmu], SpeexWb, Pcmu),
        (SpeexWb, true, &[Pcmu, SpeexWb], SpeexWb, SpeexWb),
        (SpeexWb, false, &[SpeexNb], SpeexWb, SpeexNb),
        (Pcmu, true, &[SpeexWb, Pcmu], Pcmu, Pcmu),
        (Pcma, true, &[Pcmu], Pcmu, Pcmu),
    ];
    for (sends, g711, has, to_client, to_phone) in cases {
        let mut w = World::builder().users(&["bob"]).build();
        let bob = w.registered_phone("bob");
        w.at(bob).codecs = has.to_vec();
        let flash = w.client();
        w.on(flash).codec = sends;
        w.on(flash).connect("call", g711, Some("bob"), Some("bob"));
        w.run(secs(4));
        assert!(w.on(flash).was(&Told::PublishStarted) && w.on(flash).was(&Told::PlayStarted));
        w.hear_each_other(flash, bob);
        assert_eq!(w.at(bob).codec(), Some(to_phone), "{sends:?} {has:?}");
        assert_eq!(w.on(flash).heard_codec, Some(to_client), "{sends:?} {has:?}");
        w.leave(flash);
        w.run(ms(200));
        assert!(w.at(bob).is_idle());
        w.ends_clean();
    }
}

#[test]
fn what_both_ends_speak_passes_untouched() {
    for codec in [CodecId::SpeexWb, CodecId::Pcmu] {
        let mut w = World::builder().users(&["bob"]).build();
        let bob = w.registered_phone("bob");
        w.at(bob).codecs = vec![codec];
        let flash = w.client();
        w.on(flash).codec = codec;
        w.at(bob).payloads = Some(Vec::new());
        w.on(flash).payloads = Some(Vec::new());
        w.call(flash, "bob");
        w.run(secs(5));
        // What one sent is found in what the other got: a run of what the mouths say now would be the same
        // from any encoder, so the payloads are compared with those of the other direction's length.
        let to_bob = w.at(bob).payloads.take().unwrap();
        let to_flash = w.on(flash).payloads.take().unwrap();
        let lengths = |p: &[Vec<u8>]| p.iter().map(Vec::len).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(lengths(&to_bob), lengths(&to_flash));
        assert!(to_bob.len() > 150 && to_flash.len() > 150);
        w.leave(flash);
        w.run(ms(200));
        w.ends_clean();
    }
}

#[test]
fn a_player_alone_hears_and_a_publisher_alone_is_heard() {
    let mut w = World::builder().users(&["bob", "carol"]).build();
    let bob = w.registered_phone("bob");
    let carol = w.registered_phone("carol");
    let player = w.client();
    let publisher = w.client();
    w.on(player).connect("call", true, None, Some("bob"));
    w.on(publisher).connect("call", true, Some("carol"), None);
    w.run(secs(4));
    w.hears(player, bob);
    w.hears(carol, publisher);
    w.leave(player);
    w.leave(publisher);
    w.run(ms(200));
    assert!(w.at(bob).is_idle() && w.at(carol).is_idle());
    w.ends_clean();
}

#[test]
fn another_program_of_the_same_machine_joins_and_a_stranger_does_not() {
    let mut w = World::builder().users(&["bob"]).build();
    let bob = w.registered_phone("bob");
    let publisher = w.client();
    w.on(publisher).connect("call", true, Some("bob"), None);
    w.run(secs(2));
    let player = w.client_beside(publisher);
    let stranger = w.client();
    w.on(player).connect("call", true, None, Some("bob"));
    w.on(stranger).connect("call", true, None, Some("bob"));
    w.run(secs(3));
    w.hears(bob, publisher);
    w.hears(player, bob);
    w.hears_nothing_of(player, publisher);
    // The stranger's is a call of its own, and bob is busy.
    w.hears_nothing_of(stranger, bob);
    assert!(w.on(stranger).was(&Told::Disconnected));
    // The call lives as long as either stream does.
    w.leave(publisher);
    w.run(secs(3));
    w.hears(player, bob);
    w.hears_nothing_of(bob, publisher);
    w.leave(player);
    w.run(ms(200));
    assert!(w.at(bob).is_idle());
    w.ends_clean();
}

#[test]
fn when_the_far_end_hangs_up_both_streams_are_told() {
    let mut w = World::builder().users(&["bob"]).build();
    let bob = w.registered_phone("bob");
    let flash = w.client();
    w.call(flash, "bob");
    w.run(secs(3));
    w.hang_up(bob);
    w.run(ms(200));
    let client = w.on(flash);
    assert!(
        client
            .status("NetStream.Unpublish.Success")
            .is_some_and(|d| d.starts_with("200"))
    );
    assert!(
        client
            .status("NetStream.Play.Stop")
            .is_some_and(|d| d.starts_with("200"))
    );
    w.run(secs(2));
    assert!(
        w.on(flash).was(&Told::Disconnected),
        "a client that lingers is shown the door"
    );
    w.ends_clean();
}

#[test]
fn refusals_reach_the_client_with_their_status() {
    for (answers, line) in [(Answers::Busy, "486"), (Answers::Declines, "603")] {
        let mut w = World::builder().users(&["bob"]).build();
        let bob = w.registered_phone("bob");
        w.at(bob).answers = answers;
        let flash = w.client();
        w.call(flash, "bob");
        w.run(secs(3));
        let description = w.on(flash).status("NetStream.Failed").map(str::to_owned);
        assert!(description.is_some_and(|d| d.starts_with(line)), "{line}");
        w.ends_clean();
    }
    let mut w = World::builder().users(&["bob"]).build();
    let flash = w.client();
    w.call(flash, "nobody");
    w.run(secs(3));
    let description = w.on(flash).status("NetStream.Failed").map(str::to_owned);
    assert!(description.is_some_and(|d| d.starts_with("404")));
    w.ends_clean();
}

#[test]
fn a_client_that_leaves_while_it_rings_cancels() {
    for dies in [false, true] {
        let mut w = World::builder().users(&["bob"]).build();
        let bob = w.registered_phone("bob");
        w.at(bob).answers = Answers::Never;
        let flash = w.client();
        w.call(flash, "bob");
        w.run(secs(2));
        assert!(w.at(bob).was(&PhoneTold::Called));
        if dies {
            w.kill(flash);
        } else {
            w.leave(flash);
        }
        w.run(ms(200));
        assert!(w.at(bob).is_idle());
        w.ends_clean();
    }
}

#[test]
fn the_streams_of_one_connection_end_one_by_one() {
    let mut w = World::builder().users(&["bob"]).build();
    let bob = w.registered_phone("bob");
    let flash = w.client();
    w.call(flash, "bob");
    w.run(secs(3));
    w.hear_each_other(flash, bob);
    w.on(flash).stop_publishing();
    w.run(secs(2));
    w.hears(flash, bob);
    w.hears_nothing_of(bob, flash);
    assert!(w.at(bob).in_call());
    w.on(flash).stop_playing();
    w.run(ms(200));
    assert!(w.at(bob).is_idle());
    w.leave(flash);
    w.ends_clean();
}

#[test]
fn streams_need_an_account_where_there_are_any() {
    let mut w = World::builder()
        .users(&["bob"])
        .config(|c| c.rtmp.access = flashgate::config::Access::Auto)
        .build();
    let bob = w.registered_phone("bob");
    let stranger = w.client();
    let liar = w.client();
    let user = w.client();
    w.call(stranger, "bob");
    w.on(liar)
        .connect("call", true, Some("bob?user=bob&pass=guess"), None);
    w.run(secs(2));
    assert!(!w.at(bob).was(&PhoneTold::Called));
    let name = "echo?user=bob&pass=bob-secret";
    w.on(user).connect("call", true, Some(name), Some(name));
    w.run(secs(3));
    w.hears(user, user);
    w.leave(user);
    w.ends_clean();
}

#[test]
fn a_phone_hears_the_aac_of_a_streaming_tool() {
    for shards in [1, 2] {
        let mut w = World::builder().shards(shards).users(&["bob"]).build();
        let bob = w.registered_phone("bob");
        let tool = w.client();
        w.on(tool).film = Some(Film::aac());
        w.on(tool).connect("call", true, Some("bob"), None);
        w.run(secs(4));
        assert!(
            w.ear(bob).hears(w.now, 1_000.0),
            "{:?}",
            w.ear(bob).level(w.now, 1_000.0)
        );
        // Held and resumed, the phone has it back although the configuration does not come again.
        w.reoffer(bob, sip::sdp::Direction::SendOnly);
        w.run(secs(2));
        w.reoffer(bob, sip::sdp::Direction::SendRecv);
        w.run(secs(2));
        assert!(
            w.ear(bob).hears(w.now, 1_000.0),
            "{:?}",
            w.ear(bob).level(w.now, 1_000.0)
        );
        w.leave(tool);
        w.run(secs(1));
        w.ends_clean();
    }
}

#[test]
fn aac_is_relayed_untouched_and_heard_by_a_phone_that_comes_late() {
    let mut w = World::builder().users(&["bob"]).build();
    let tool = w.client();
    w.on(tool).film = Some(Film::aac());
    w.on(tool).connect("live", true, Some("cam"), None);
    w.run(secs(1));
    let player = w.client();
    w.on(player).payloads = Some(Vec::new());
    w.on(player).connect("live", true, None, Some("cam"));
    let bob = w.registered_phone("bob");
    w.dial(bob, "live/cam");
    w.run(secs(3));
    assert!(
        w.ear(bob).hears(w.now, 1_000.0),
        "{:?}",
        w.ear(bob).level(w.now, 1_000.0)
    );
    let film = Film::aac().messages;
    let got = w.on(player).payloads.take().unwrap();
    assert_eq!(got[0], film[0][1..], "the configuration comes first");
    assert!(got.len() > 100);
    assert!(
        got.iter()
            .all(|message| film.iter().any(|sent| sent[1..] == message[..]))
    );
    w.hang_up(bob);
    w.leave(tool);
    w.leave(player);
    w.run(ms(500));
    w.ends_clean();
}
