//! STUN: binding requests as they come to a port of media, and the answers to them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use media::{Check, IceCredentials, IceLite, MAX_ANSWER, StunAnswer, StunRequest};

fuzz_target!(|data: &[u8]| {
    let from = "[2001:db8::1]:4000".parse().expect("an address");
    let local = IceCredentials {
        ufrag: "evtj".to_owned(),
        password: "VOkJxbRl1RmTxUk/WvJxBt".to_owned(),
    };
    let mut out = Vec::new();
    if let Some(request) = StunRequest::parse(data) {
        let authentic = request.is_authentic(&local.password);
        for answer in [StunAnswer::Success(from), StunAnswer::Unknown(7), StunAnswer::RoleConflict] {
            request.answer(answer, &local.password, &mut out);
            assert!(out.len() <= MAX_ANSWER && out.len() % 4 == 0);
            assert_eq!(usize::from(u16::from_be_bytes([out[2], out[3]])) + 20, out.len());
            // An answer is no request.
            assert_eq!(StunRequest::parse(&out), None);
        }
        out.clear();
        let check = IceLite::new(local, None).handle_input(from, data, &mut out);
        assert!(authentic || check == Check::Ignored);
        assert_eq!(check == Check::Ignored, out.is_empty());
    }
});
