//! Session descriptions, and the answers to them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::sdp::{Capability, Direction, Local, Prefer, Session, accept, answer, offer};

fuzz_target!(|data: &[u8]| {
    let Ok(first) = Session::parse(data) else {
        return;
    };
    let bytes = first.to_bytes();
    let again = Session::parse(&bytes).expect("what we wrote can be read");
    assert_eq!(again.to_bytes(), bytes);
    assert_eq!(again.media.len(), first.media.len());

    let capabilities = [
        Capability::new("speex", 16_000, 97),
        Capability::new("PCMU", 8_000, 96),
        Capability::new("PCMA", 8_000, 96),
        Capability::new("telephone-event", 8_000, 101),
    ];
    let local = Local {
        id: 1,
        address: [192, 0, 2, 1].into(),
        port: 4000,
        rtcp_port: None,
        rtcp_mux: true,
        direction: Direction::SendRecv,
        ptime: None,
    };
    if let Ok(a) = answer(&first, &local, &capabilities, Prefer::Theirs) {
        assert_eq!(a.session.media.len(), first.media.len());
        for (i, (ours, theirs)) in a.session.media.iter().zip(&first.media).enumerate() {
            assert_eq!(ours.kind, theirs.kind);
            assert_eq!(ours.port != 0, i == a.agreed.index);
        }
        assert!(Session::parse(&a.session.to_bytes()).is_ok());
    }
    let offered = offer(&local, &capabilities);
    let _ = accept(&offered, &first, &local, &capabilities);
});
