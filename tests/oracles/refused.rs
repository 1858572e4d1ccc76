//! Why packages that were proposed for the gateway stand in its tests only (docs/dependencies.md): each is shown
//! the input it fails on, and ours beside it. When one of these tests fails, its package has got better.

use std::panic::{AssertUnwindSafe, catch_unwind};

use webrtc_util::marshal::Unmarshal;

/// True when the code panics. The message it prints is expected.
fn panics<T>(code: impl FnOnce() -> T) -> bool {
    catch_unwind(AssertUnwindSafe(code)).is_err()
}

/// An RTP header whose one-byte extension (RFC 8285 §4.2) claims 16 bytes where 3 are left.
const EXTENSION_PAST_THE_END: [u8; 20] = [
    0x90, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xBE, 0xDE, 0, 1, 0x1F, 0, 0, 0,
];

#[test]
fn rtp_panics_on_one_datagram_of_twenty_bytes() {
    assert!(panics(|| rtp::packet::Packet::unmarshal(
        &mut EXTENSION_PAST_THE_END.as_slice()
    )));
    assert!(
        media::RtpPacket::parse(&EXTENSION_PAST_THE_END).is_ok(),
        "an extension is skipped, not read"
    );
}

/// An AMF0 command message that holds its name and nothing else.
const COMMAND_OF_ONE_VALUE: &[u8] = &[2, 0, 4, b'p', b'i', b'n', b'g'];

#[test]
fn rml_rtmp_panics_on_a_command_of_one_value() {
    let message = rml_rtmp::messages::MessagePayload {
        timestamp: rml_rtmp::time::RtmpTimestamp::new(0),
        type_id: 20,
        message_stream_id: 0,
        data: bytes::Bytes::from_static(COMMAND_OF_ONE_VALUE),
    };
    assert!(panics(|| message.to_rtmp_message()));
}

/// A request with compact header names (RFC 3261 §7.3.3), as phones send to stay below the MTU.
const COMPACT: &str = "OPTIONS sip:bob@example.com SIP/2.0\r\nv: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
                       f: <sip:a@example.com>;tag=1\r\nt: <sip:bob@example.com>\r\ni: one@192.0.2.1\r\n\
                       CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nl: 0\r\n\r\n";

#[test]
fn rsip_does_not_know_compact_header_names() {
    use rsip::prelude::HeadersExt;
    let request = rsip::Request::try_from(COMPACT).unwrap();
    assert!(request.call_id_header().is_err() && request.via_header().is_err());
    let ours = sip::parse_datagram(COMPACT.as_bytes()).unwrap();
    assert_eq!(ours.headers().call_id().unwrap(), "one@192.0.2.1");
}

#[test]
fn webrtc_ice_needs_a_runtime_of_its_kind_around_it() {
    // An agent opens sockets and starts tasks by itself, so nothing can drive it in virtual time.
    let new = || {
        let mut agent = Box::pin(webrtc_ice::agent::Agent::new(
            webrtc_ice::agent::agent_config::AgentConfig::default(),
        ));
        let waker = std::task::Waker::noop();
        agent
            .as_mut()
            .poll(&mut std::task::Context::from_waker(waker))
            .is_pending()
    };
    assert!(panics(new), "no tokio runtime, no agent");
}
