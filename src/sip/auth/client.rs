//! Answering challenges.

use base::Rng;

use super::challenge::{Authorization, Challenge, Qop};
use super::digest::{Credentials, Input};
use crate::error::Error;
use crate::header::{HeaderName, Headers};
use crate::msg::{Request, Response};

/// The most realms one client answers at the same time; a proxy chain has two or three.
const MAX_REALMS: usize = 8;

/// A client's side of authentication toward one peer: remembers the challenges, so that further requests are
/// answered before they are asked (RFC 3261 §22.2, §22.3).
#[derive(Clone, Debug)]
pub struct Client {
    credentials: Credentials,
    active: Vec<Active>,
}

#[derive(Clone, Debug)]
struct Active {
    proxy: bool,
    challenge: Challenge,
    /// How often the nonce was used.
    uses: u32,
}

impl Client {
    /// A client that was not challenged yet.
    pub const fn new(credentials: Credentials) -> Client {
        Client {
            credentials,
            active: Vec::new(),
        }
    }

    /// Takes a 401 or 407 to `request`. On success sign and send the request again, with a new CSeq and
    /// branch.
    ///
    /// # Errors
    /// [`Error::AuthRejected`] when the request had answered that realm already and its nonce was not stale:
    /// the password is wrong. [`Error::AuthUnsupported`] when no challenge can be answered.
    pub fn challenged(&mut self, request: &Request, response: &Response) -> Result<(), Error> {
        let mut taken = false;
        for proxy in [false, true] {
            let (ask, reply) = names(proxy);
            let mut found = read(&response.headers, &ask);
            found.retain(|c| self.credentials.realm.as_ref().is_none_or(|r| *r == c.realm));
            // The strongest of each realm; of equals the topmost (RFC 8760 §2.4 leaves the policy to us).
            found.sort_by_key(|c| std::cmp::Reverse(c.algorithm));
            let mut seen: Vec<String> = Vec::new();
            for challenge in found {
                if seen.contains(&challenge.realm) {
                    continue;
                }
                seen.push(challenge.realm.clone());
                let tried = request.headers.get_all(&reply).any(|v| {
                    let mut sent = Authorization::parse_all(v).into_iter();
                    sent.any(|a| a.realm == challenge.realm)
                });
                if tried && !challenge.stale {
                    return Err(Error::AuthRejected);
                }
                taken |= self.remember(proxy, challenge);
            }
        }
        if taken {
            Ok(())
        } else {
            Err(Error::AuthUnsupported)
        }
    }

    fn remember(&mut self, proxy: bool, challenge: Challenge) -> bool {
        let same = |a: &Active| a.proxy == proxy && a.challenge.realm == challenge.realm;
        let known = self.active.iter().position(same);
        let full = self.active.len() >= MAX_REALMS;
        let active = Active {
            proxy,
            challenge,
            uses: 0,
        };
        match known.and_then(|at| self.active.get_mut(at)) {
            Some(slot) => *slot = active,
            None if full => return false,
            None => self.active.push(active),
        }
        true
    }

    /// Puts an answer to each remembered challenge into the request, in place of older ones.
    pub fn sign(&mut self, request: &mut Request, rng: &mut Rng) {
        request.headers.remove_all(&HeaderName::Authorization);
        request.headers.remove_all(&HeaderName::ProxyAuthorization);
        for active in &mut self.active {
            active.uses = active.uses.saturating_add(1);
            let value = respond(&active.challenge, &self.credentials, request, active.uses, rng);
            if let Some(value) = value {
                let (_, name) = names(active.proxy);
                request.headers.push(name, value);
            }
        }
    }
}

/// Answers the challenges of a 401 or 407 to `request` once: puts Authorization or Proxy-Authorization into the
/// request. CSeq and the branch are the caller's to change.
///
/// # Errors
/// As [`Client::challenged`].
pub fn answer(
    request: &mut Request,
    response: &Response,
    credentials: &Credentials,
    rng: &mut Rng,
) -> Result<(), Error> {
    let mut client = Client::new(credentials.clone());
    client.challenged(request, response)?;
    client.sign(request, rng);
    Ok(())
}

fn names(proxy: bool) -> (HeaderName, HeaderName) {
    if proxy {
        (HeaderName::ProxyAuthenticate, HeaderName::ProxyAuthorization)
    } else {
        (HeaderName::WwwAuthenticate, HeaderName::Authorization)
    }
}

fn read(headers: &Headers, name: &HeaderName) -> Vec<Challenge> {
    headers
        .get_all(name)
        .flat_map(Challenge::parse_all)
        .take(4 * MAX_REALMS)
        .collect()
}

/// `None` when the stored hash is of another algorithm.
fn respond(
    challenge: &Challenge,
    credentials: &Credentials,
    request: &Request,
    uses: u32,
    rng: &mut Rng,
) -> Option<Authorization> {
    let algorithm = challenge.algorithm;
    let ha1 = credentials
        .secret
        .ha1(algorithm, &credentials.username, &challenge.realm)?;
    // auth before auth-int: proxies on the way may change bodies.
    let qop: Option<Qop> = challenge.qop.iter().min().copied();
    let wants_cnonce = qop.is_some() || algorithm.is_session();
    let cnonce = if wants_cnonce {
        rng.token(16)
    } else {
        String::new()
    };
    let nc = match qop {
        Some(_) => format!("{uses:08x}"),
        None => String::new(),
    };
    let uri = request.uri.to_string();
    let input = Input {
        algorithm,
        nonce: &challenge.nonce,
        cnonce: &cnonce,
        nc: &nc,
        qop,
        method: request.method.as_str(),
        uri: &uri,
        body: &request.body,
    };
    let response = input.response(&ha1);
    Some(Authorization {
        username: credentials.username.clone(),
        realm: challenge.realm.clone(),
        nonce: challenge.nonce.clone(),
        uri,
        response,
        algorithm,
        opaque: challenge.opaque.clone(),
        qop,
        cnonce,
        nc,
    })
}
