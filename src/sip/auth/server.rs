//! Asking for credentials and checking them, without state for each nonce.

use std::net::IpAddr;
use std::time::Duration;

use base::Time;

use super::challenge::{Authorization, Challenge, Qop};
use super::digest::{Algorithm, Input, Secret, hex, hmac, same};
use crate::header::HeaderName;
use crate::msg::{Request, Response};

/// How many authorizations of one request are looked at.
const MAX_AUTHORIZATIONS: usize = 8;

/// What was found in a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The user of that name sent it.
    Accepted {
        /// The user name of the account.
        username: String,
    },
    /// No credentials for our realm: challenge.
    Missing,
    /// The password was right but the nonce too old or not ours: challenge with `stale`.
    Stale,
    /// Unknown user or wrong password.
    Rejected {
        /// The user name that was claimed.
        username: String,
    },
}

/// Checks digests. A nonce is a time and a keyed hash over it, the realm and the peer's address: nothing is
/// stored, a nonce made before a restart only costs one more round trip, and one that was overheard is of no use
/// from another address.
#[derive(Clone)]
pub struct Verifier {
    realm: String,
    key: [u8; 32],
    algorithms: Vec<Algorithm>,
    lifetime: Duration,
    proxy: bool,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("realm", &self.realm)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

impl Verifier {
    /// A verifier for a realm. `key` is random and secret. It offers SHA-256, then MD5, for phones that know
    /// nothing else, and accepts a nonce for five minutes.
    pub fn new(realm: impl Into<String>, key: [u8; 32]) -> Verifier {
        Verifier {
            realm: realm.into(),
            key,
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
            lifetime: Duration::from_secs(300),
            proxy: false,
        }
    }

    /// The algorithms offered and accepted, in the order offered. Passwords stored as hashes serve one only.
    pub fn with_algorithms(mut self, algorithms: Vec<Algorithm>) -> Verifier {
        self.algorithms = algorithms;
        self
    }

    /// How long a nonce is good.
    pub const fn with_lifetime(mut self, lifetime: Duration) -> Verifier {
        self.lifetime = lifetime;
        self
    }

    /// Asks as a proxy does: 407 in place of 401.
    pub const fn as_proxy(mut self) -> Verifier {
        self.proxy = true;
        self
    }

    /// The realm.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// The 401 (or 407) that asks for credentials: one challenge for each algorithm (RFC 8760 §2.4). The To tag
    /// is the caller's to add.
    pub fn challenge(&self, now: Time, peer: IpAddr, request: &Request, stale: bool) -> Response {
        let (status, name) = match self.proxy {
            true => (407, HeaderName::ProxyAuthenticate),
            false => (401, HeaderName::WwwAuthenticate),
        };
        let mut response = Response::to_request(request, status, None);
        for &algorithm in &self.algorithms {
            let challenge = Challenge {
                realm: self.realm.clone(),
                nonce: self.nonce(now, peer),
                opaque: None,
                algorithm,
                qop: vec![Qop::Auth],
                stale,
            };
            response.headers.push(name.clone(), challenge);
        }
        response
    }

    /// Checks a request. `secret` finds the password of a user name.
    ///
    /// The digest's URI is not compared with the Request-URI, which proxies rewrite (RFC 3261 §22.4). Digests
    /// without qop are taken (RFC 3261 §22.4 item 8).
    pub fn verify(
        &self,
        now: Time,
        peer: IpAddr,
        request: &Request,
        secret: impl FnOnce(&str) -> Option<Secret>,
    ) -> Verdict {
        let name = match self.proxy {
            true => HeaderName::ProxyAuthorization,
            false => HeaderName::Authorization,
        };
        let mut sent = request.headers.get_all(&name).flat_map(Authorization::parse_all);
        let Some(sent) = sent
            .by_ref()
            .take(MAX_AUTHORIZATIONS)
            .find(|a| a.realm == self.realm && self.algorithms.contains(&a.algorithm))
        else {
            return Verdict::Missing;
        };
        let input = Input {
            algorithm: sent.algorithm,
            nonce: &sent.nonce,
            cnonce: &sent.cnonce,
            nc: &sent.nc,
            qop: sent.qop,
            method: request.method.as_str(),
            uri: &sent.uri,
            body: &request.body,
        };
        // An unknown user costs as much time as a wrong password.
        let ha1 = secret(&sent.username).and_then(|s| s.ha1(sent.algorithm, &sent.username, &self.realm));
        let expected = input.response(ha1.as_deref().unwrap_or(""));
        let right = same(expected.as_bytes(), sent.response.to_ascii_lowercase().as_bytes());
        if !right || ha1.is_none() {
            return Verdict::Rejected {
                username: sent.username,
            };
        }
        if !self.is_fresh(now, peer, &sent.nonce) {
            return Verdict::Stale;
        }
        Verdict::Accepted {
            username: sent.username,
        }
    }

    /// Sixteen hexadecimal digits of time, then 32 of the keyed hash.
    fn nonce(&self, at: Time, peer: IpAddr) -> String {
        let mut nonce = format!("{:016x}", at.as_millis());
        nonce.push_str(&self.seal(&nonce, peer));
        nonce
    }

    fn seal(&self, time: &str, peer: IpAddr) -> String {
        let address = match peer {
            IpAddr::V4(a) => a.to_ipv6_mapped().octets(),
            IpAddr::V6(a) => a.octets(),
        };
        let mac = hmac(&self.key, &[time.as_bytes(), &address, self.realm.as_bytes()]);
        hex(mac.split_at(16).0)
    }

    fn is_fresh(&self, now: Time, peer: IpAddr, nonce: &str) -> bool {
        let Some((time, seal)) = nonce.split_at_checked(16) else {
            return false;
        };
        if !same(self.seal(time, peer).as_bytes(), seal.as_bytes()) {
            return false;
        }
        let made = u64::from_str_radix(time, 16).map(Time::from_millis);
        made.is_ok_and(|made| now.since(made) <= self.lifetime)
    }
}
