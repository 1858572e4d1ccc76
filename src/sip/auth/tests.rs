//! Client against server, and both against what others send.

use std::net::IpAddr;
use std::time::Duration;

use base::{Rng, Time};

use super::*;
use crate::error::Error;
use crate::header::HeaderName;
use crate::msg::{Method, Request, Response};

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

fn register() -> Request {
    let mut r = Request::new(Method::Register, "sip:example.com".parse().unwrap());
    r.headers
        .push(HeaderName::Via, "SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1");
    r.headers.push(HeaderName::From, "<sip:alice@example.com>;tag=1");
    r.headers.push(HeaderName::To, "<sip:alice@example.com>");
    r.headers.push(HeaderName::CallId, "1");
    r.headers.push(HeaderName::CSeq, "1 REGISTER");
    r
}

fn verifier() -> Verifier {
    Verifier::new("example \"com\"", [7; 32])
}

fn password(user: &str) -> Option<Secret> {
    (user == "alice").then(|| Secret::Password("sesame".into()))
}

fn accepted() -> Verdict {
    Verdict::Accepted {
        username: "alice".into(),
    }
}

#[test]
fn our_client_convinces_our_server() {
    let all = [
        Algorithm::Md5,
        Algorithm::Md5Sess,
        Algorithm::Sha256,
        Algorithm::Sha256Sess,
        Algorithm::Sha512,
        Algorithm::Sha512Sess,
    ];
    let mut rng = Rng::new(1);
    for algorithm in all {
        let v = verifier().with_algorithms(vec![algorithm]);
        let mut r = register();
        assert_eq!(v.verify(Time::ZERO, PEER, &r, password), Verdict::Missing);
        let asked = v.challenge(Time::ZERO, PEER, &r, false);
        assert_eq!(asked.status, 401);
        answer(&mut r, &asked, &Credentials::new("alice", "sesame"), &mut rng).unwrap();
        assert_eq!(
            v.verify(Time::ZERO, PEER, &r, password),
            accepted(),
            "{algorithm}"
        );
        let stored = |_: &str| {
            let ha1 = algorithm.ha1("alice", v.realm(), "sesame");
            Some(Secret::Ha1(algorithm, ha1))
        };
        assert_eq!(v.verify(Time::ZERO, PEER, &r, stored), accepted());
        r.method = Method::Invite;
        assert!(matches!(
            v.verify(Time::ZERO, PEER, &r, password),
            Verdict::Rejected { .. }
        ));
    }
}

#[test]
fn the_strongest_challenge_is_answered() {
    let v = verifier().with_algorithms(vec![Algorithm::Md5, Algorithm::Sha256]);
    let mut r = register();
    let asked = v.challenge(Time::ZERO, PEER, &r, false);
    answer(
        &mut r,
        &asked,
        &Credentials::new("alice", "sesame"),
        &mut Rng::new(1),
    )
    .unwrap();
    let sent = Authorization::parse_all(r.headers.get(&HeaderName::Authorization).unwrap());
    assert_eq!((sent.len(), sent[0].algorithm), (1, Algorithm::Sha256));
}

#[test]
fn a_wrong_password_ends_the_attempts() {
    let v = verifier();
    let mut r = register();
    let mut client = Client::new(Credentials::new("alice", "wrong"));
    let asked = v.challenge(Time::ZERO, PEER, &r, false);
    client.challenged(&r, &asked).unwrap();
    client.sign(&mut r, &mut Rng::new(1));
    let verdict = v.verify(Time::ZERO, PEER, &r, password);
    assert!(matches!(verdict, Verdict::Rejected { username } if username == "alice"));
    assert_eq!(client.challenged(&r, &asked), Err(Error::AuthRejected));
    assert!(matches!(
        v.verify(Time::ZERO, PEER, &r, |_| None),
        Verdict::Rejected { .. }
    ));
}

#[test]
fn an_old_nonce_is_stale_and_costs_one_round_trip() {
    let v = verifier().with_lifetime(Duration::from_secs(60));
    let mut rng = Rng::new(1);
    let mut r = register();
    let mut client = Client::new(Credentials::new("alice", "sesame"));
    client
        .challenged(&r, &v.challenge(Time::ZERO, PEER, &r, false))
        .unwrap();
    client.sign(&mut r, &mut rng);
    assert_eq!(v.verify(Time::from_secs(60), PEER, &r, password), accepted());
    let later = Time::from_secs(61);
    assert_eq!(v.verify(later, PEER, &r, password), Verdict::Stale);
    client
        .challenged(&r, &v.challenge(later, PEER, &r, true))
        .unwrap();
    client.sign(&mut r, &mut rng);
    assert_eq!(v.verify(later, PEER, &r, password), accepted());
}

#[test]
fn a_nonce_serves_one_address_and_one_server() {
    let v = verifier();
    let mut r = register();
    let asked = v.challenge(Time::ZERO, PEER, &r, false);
    answer(
        &mut r,
        &asked,
        &Credentials::new("alice", "sesame"),
        &mut Rng::new(1),
    )
    .unwrap();
    let other = IpAddr::from([192, 0, 2, 8]);
    assert_eq!(v.verify(Time::ZERO, other, &r, password), Verdict::Stale);
    let restarted = Verifier::new(v.realm(), [8; 32]);
    assert_eq!(restarted.verify(Time::ZERO, PEER, &r, password), Verdict::Stale);
}

#[test]
fn further_requests_count_the_nonce() {
    let v = verifier();
    let mut rng = Rng::new(1);
    let mut r = register();
    let mut client = Client::new(Credentials::new("alice", "sesame"));
    client
        .challenged(&r, &v.challenge(Time::ZERO, PEER, &r, false))
        .unwrap();
    for nc in ["00000001", "00000002", "00000003"] {
        client.sign(&mut r, &mut rng);
        assert_eq!(r.headers.get_all(&HeaderName::Authorization).count(), 1);
        let sent = Authorization::parse_all(r.headers.get(&HeaderName::Authorization).unwrap());
        assert_eq!(sent[0].nc, nc);
        assert_eq!(v.verify(Time::ZERO, PEER, &r, password), accepted());
    }
}

#[test]
fn proxy_and_server_are_both_answered() {
    let mut rng = Rng::new(1);
    let mut r = register();
    let server = verifier();
    let proxy = Verifier::new("proxy", [1; 32]).as_proxy();
    let mut client = Client::new(Credentials::new("alice", "sesame"));
    let asked = proxy.challenge(Time::ZERO, PEER, &r, false);
    assert_eq!(asked.status, 407);
    client.challenged(&r, &asked).unwrap();
    client.sign(&mut r, &mut rng);
    client
        .challenged(&r, &server.challenge(Time::ZERO, PEER, &r, false))
        .unwrap();
    client.sign(&mut r, &mut rng);
    assert_eq!(proxy.verify(Time::ZERO, PEER, &r, password), accepted());
    assert_eq!(server.verify(Time::ZERO, PEER, &r, password), accepted());
}

#[test]
fn credentials_stay_in_their_realm() {
    let mut r = register();
    let asked = verifier().challenge(Time::ZERO, PEER, &r, false);
    let mut c = Credentials::new("alice", "sesame");
    c.realm = Some("elsewhere".into());
    let result = answer(&mut r, &asked, &c, &mut Rng::new(1));
    assert_eq!(result, Err(Error::AuthUnsupported));
    assert!(!r.headers.has(&HeaderName::Authorization));
}

#[test]
fn what_cannot_be_answered_is_left_out() {
    for value in [
        "Basic realm=\"x\"",
        "Digest realm=\"x\"",
        "Digest realm=\"x\", nonce=\"1\", algorithm=AKAv1-MD5",
        "Digest realm=\"x\", nonce=\"1\", qop=\"other\"",
        "",
        "Digest",
        "\"",
    ] {
        assert_eq!(Challenge::parse_all(value), [], "{value}");
    }
    let mut asked = Response::to_request(&register(), 401, None);
    asked
        .headers
        .push(HeaderName::WwwAuthenticate, "Basic realm=\"x\"");
    let result = answer(
        &mut register(),
        &asked,
        &Credentials::new("a", "b"),
        &mut Rng::new(1),
    );
    assert_eq!(result, Err(Error::AuthUnsupported));
}

#[test]
fn a_challenge_without_qop_gets_the_old_form() {
    // The challenge of RFC 3665 §2.1 without its qop; the digest was computed with another program.
    let mut r = Request::new(Method::Register, "sips:ss2.biloxi.example.com".parse().unwrap());
    let mut asked = Response::to_request(&r, 401, None);
    let challenge = r#"Digest realm="atlanta.example.com", qop="auth",
 nonce="ea9c8e88df84f1cec4341ae6cbe5a359", opaque="", stale=FALSE, algorithm=MD5"#;
    asked.headers.push(
        HeaderName::WwwAuthenticate,
        challenge.replace(" qop=\"auth\",", ""),
    );
    answer(
        &mut r,
        &asked,
        &Credentials::new("bob", "zanzibar"),
        &mut Rng::new(1),
    )
    .unwrap();
    let value = r.headers.get(&HeaderName::Authorization).unwrap();
    assert!(value.contains("opaque=\"\"") && !value.contains("qop") && !value.contains("cnonce"));
    let sent = &Authorization::parse_all(value)[0];
    assert_eq!(sent.response, "b5f508175c6cccc6f0600285b4391fbf");
}
