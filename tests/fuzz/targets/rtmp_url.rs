//! RTMP URLs: any text parses or is refused, and what parses prints and parses to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtmp::url::{Url, percent_decode, query_param};

fuzz_target!(|text: &str| {
    let _ = percent_decode(text);
    let _ = query_param(text, "user");
    let Ok(url) = Url::parse(text) else { return };
    let again = Url::parse(&url.tc_url()).expect("what is printed parses");
    assert_eq!(
        (again.scheme, again.port, again.host),
        (url.scheme, url.port, url.host)
    );
});
