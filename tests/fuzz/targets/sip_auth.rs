//! Challenges and authorizations.
#![no_main]

use base::{Rng, Time};
use libfuzzer_sys::fuzz_target;
use sip::auth::{Authorization, Challenge, Credentials, Secret, Verdict, Verifier, answer};
use sip::{HeaderName, Method, Request, Response};

fuzz_target!(|data: &str| {
    for challenge in Challenge::parse_all(data) {
        let again = Challenge::parse_all(&challenge.to_string());
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].to_string(), challenge.to_string());
    }
    for authorization in Authorization::parse_all(data) {
        let again = Authorization::parse_all(&authorization.to_string());
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].to_string(), authorization.to_string());
    }
    let mut request = Request::new(Method::Register, "sip:example.com".parse().expect("a URI"));
    request.headers.push(HeaderName::Authorization, data);
    let peer = [192, 0, 2, 1].into();
    let verifier = Verifier::new("example.com", [1; 32]);
    let secret = |_: &str| Some(Secret::Password("secret".into()));
    let verdict = verifier.verify(Time::ZERO, peer, &request, secret);
    assert!(!matches!(verdict, Verdict::Accepted { .. }));

    // Whatever realm and qop a server thinks of, the answer is well formed.
    request.headers.remove_all(&HeaderName::Authorization);
    let mut asked = Response::to_request(&request, 401, None);
    asked.headers.push(HeaderName::WwwAuthenticate, data);
    let credentials = Credentials::new(data, "secret");
    if answer(&mut request, &asked, &credentials, &mut Rng::new(1)).is_ok() {
        for value in request.headers.get_all(&HeaderName::Authorization) {
            assert_eq!(Authorization::parse_all(value).len(), 1);
        }
    }
});
