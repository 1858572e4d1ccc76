//! A URI, and an address around one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::{NameAddr, Uri, Via};

fuzz_target!(|data: &str| {
    if let Ok(uri) = data.parse::<Uri>() {
        let printed = uri.to_string();
        let again: Uri = printed.parse().expect("what we wrote can be read");
        assert_eq!(uri, again);
        assert!(uri.matches(&again));
        let _ = (uri.user(), uri.host(), uri.port(), uri.params(), uri.headers());
        if let Some(user) = uri.user() {
            let made = Uri::sip(Some(&user), uri.host().clone(), uri.port());
            if uri.is_sip() {
                assert_eq!(made.user(), Some(user));
                assert_eq!(made.to_string().parse(), Ok(made));
            }
        }
    }
    if let Some(address) = NameAddr::parse(data) {
        let printed = address.to_string();
        let again = NameAddr::parse(&printed).expect("what we wrote can be read");
        assert_eq!(again.to_string(), printed);
        assert_eq!(again.uri, address.uri);
    }
    if let Some(via) = Via::parse(data) {
        assert_eq!(Via::parse(&via.to_string()), Some(via));
    }
});
