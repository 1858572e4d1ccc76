//! Who may use the console.
//!
//! Without a password it is for this machine only, and a request must name this machine: a page of the web whose
//! name was made to lead here is refused. With one, every request shows it. What changes something must in both
//! cases come from the console's own page or from a program, never from another page.

use hyper::header::{self, HeaderMap, HeaderName};

/// A request that changes something carries this header: no form or link of another page can send it.
pub(super) const MARK: HeaderName = HeaderName::from_static("x-flashgate");

/// Who is let in.
#[derive(Clone, Debug)]
pub(super) struct Access {
    password: Option<base::Redacted<String>>,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The password is missing or wrong.
    Password,
    /// The request names another host.
    Host,
    /// It may come from another page.
    Foreign,
}

impl Refusal {
    /// What the requester is told.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Refusal::Password => {
                "the password of [console] password is needed: any user name, or as a bearer token"
            }
            Refusal::Host => {
                "the console is for this machine: call it by localhost or its loopback address, or set [console] password"
            }
            Refusal::Foreign => {
                "a request that changes something needs the header X-Flashgate and no foreign Origin"
            }
        }
    }
}

impl Access {
    pub(super) fn new(password: Option<&str>) -> Access {
        Access {
            password: password.map(|p| base::Redacted(p.to_owned())),
        }
    }

    /// Whether a request is let in.
    pub(super) fn check(&self, headers: &HeaderMap, changes: bool) -> Result<(), Refusal> {
        let text = |name: HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
        let host = text(header::HOST).unwrap_or_default();
        match &self.password {
            Some(base::Redacted(password)) => {
                let shown = text(header::AUTHORIZATION).and_then(credentials);
                if !shown.is_some_and(|shown| same(shown.as_bytes(), password.as_bytes())) {
                    return Err(Refusal::Password);
                }
            }
            None if !is_this_machine(host) => return Err(Refusal::Host),
            None => {}
        }
        if changes {
            let own =
                text(header::ORIGIN).is_none_or(|o| o.split_once("://").is_some_and(|(_, h)| h == host));
            let site = text(HeaderName::from_static("sec-fetch-site"));
            let near = site.is_none_or(|s| s == "same-origin" || s == "none");
            if !own || !near || !headers.contains_key(MARK) {
                return Err(Refusal::Foreign);
            }
        }
        Ok(())
    }
}

/// The password of an Authorization header: `Bearer P`, or `Basic` with any user name (RFC 7617, RFC 6750).
fn credentials(value: &str) -> Option<String> {
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(base64(rest.trim())?).ok()?;
    text.split_once(':').map(|(_, password)| password.to_owned())
}

/// Compared in full whatever differs, so that timing tells nothing but the length.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |d, (a, b)| d | (a ^ b)) == 0
}

/// Whether a Host header names this machine by loopback.
fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// RFC 4648 §4, padding optional.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held & 0xFF) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.insert(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn without_password_only_this_machine_by_its_own_name() {
        let access = Access::new(None);
        let look = |host: &str| access.check(&headers(&[("host", host)]), false);
        for host in [
            "localhost:8080",
            "127.0.0.1:8080",
            "[::1]:8080",
            "LOCALHOST",
            "127.1.2.3",
        ] {
            assert_eq!(look(host), Ok(()), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example", "192.0.2.1:8080", ""] {
            assert_eq!(look(host), Err(Refusal::Host), "{host}");
        }
    }

    #[test]
    fn a_password_opens_under_any_name() {
        let access = Access::new(Some("se:cret"));
        let with = |value: &str| {
            access.check(
                &headers(&[("host", "gw.example"), ("authorization", value)]),
                false,
            )
        };
        // "admin:se:cret"
        assert_eq!(with("Basic YWRtaW46c2U6Y3JldA=="), Ok(()));
        assert_eq!(with("Bearer se:cret"), Ok(()));
        for wrong in [
            "Bearer secret",
            "Basic YWRtaW46eA==",
            "Basic ???",
            "se:cret",
            "Bearer se:cretx",
        ] {
            assert_eq!(with(wrong), Err(Refusal::Password), "{wrong}");
        }
        assert_eq!(
            access.check(&headers(&[("host", "localhost")]), false),
            Err(Refusal::Password)
        );
    }

    #[test]
    fn another_page_changes_nothing() {
        let access = Access::new(None);
        let with = |more: &[(&'static str, &str)]| {
            let mut map = headers(&[("host", "localhost:8080")]);
            map.extend(headers(more));
            access.check(&map, true)
        };
        assert_eq!(with(&[("x-flashgate", "1")]), Ok(()));
        assert_eq!(
            with(&[
                ("x-flashgate", "1"),
                ("origin", "http://localhost:8080"),
                ("sec-fetch-site", "same-origin")
            ]),
            Ok(())
        );
        assert_eq!(with(&[]), Err(Refusal::Foreign));
        assert_eq!(
            with(&[("x-flashgate", "1"), ("origin", "http://evil.example")]),
            Err(Refusal::Foreign)
        );
        assert_eq!(
            with(&[("x-flashgate", "1"), ("origin", "null")]),
            Err(Refusal::Foreign)
        );
        assert_eq!(
            with(&[("x-flashgate", "1"), ("sec-fetch-site", "cross-site")]),
            Err(Refusal::Foreign)
        );
    }
}
