//! URI comparison (RFC 3261 §19.1.4; tel: RFC 3966 §4).

use super::{Scheme, Uri, unescape_bytes};

pub(super) fn matches(a: &Uri, b: &Uri) -> bool {
    if a == b {
        return true;
    }
    if a.scheme != b.scheme {
        return false;
    }
    match a.scheme {
        Scheme::Sip | Scheme::Sips => {}
        Scheme::Tel => return tel_digits(a).eq(tel_digits(b)) && tel_params(a, b),
        Scheme::Other(_) => return a == b,
    }
    same(a.user.as_deref(), b.user.as_deref(), same_escaped)
        && same(a.password.as_deref(), b.password.as_deref(), same_escaped)
        && a.host.matches(&b.host)
        && a.port == b.port
        && sip_params(a, b)
        && same_headers(a.headers.as_deref(), b.headers.as_deref())
}

fn same(a: Option<&str>, b: Option<&str>, eq: impl Fn(&str, &str) -> bool) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

fn same_escaped(a: &str, b: &str) -> bool {
    unescape_bytes(a) == unescape_bytes(b)
}

fn same_escaped_no_case(a: &str, b: &str) -> bool {
    unescape_bytes(a).eq_ignore_ascii_case(&unescape_bytes(b))
}

fn sip_params(a: &Uri, b: &Uri) -> bool {
    // These count even when they stand in one URI only; the others only when in both.
    let both = ["user", "ttl", "method", "maddr", "transport"]
        .iter()
        .all(|name| a.params.has(name) == b.params.has(name));
    both && a.params.iter().all(|(name, value)| {
        let other = b.params.iter().find(|(n, _)| same_escaped_no_case(n, name));
        other.is_none_or(|(_, v)| same_escaped_no_case(v.unwrap_or(""), value.unwrap_or("")))
    })
}

fn same_headers(a: Option<&str>, b: Option<&str>) -> bool {
    fn sorted(s: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut list: Vec<_> = s
            .split('&')
            .filter(|h| !h.is_empty())
            .map(|h| {
                let (n, v) = h.split_once('=').unwrap_or((h, ""));
                (
                    unescape_bytes(n).to_ascii_lowercase(),
                    unescape_bytes(v).into_owned(),
                )
            })
            .collect();
        list.sort();
        list
    }
    match (a, b) {
        (None, None) => true,
        (a, b) => sorted(a.unwrap_or("")) == sorted(b.unwrap_or("")),
    }
}

fn tel_digits(uri: &Uri) -> impl Iterator<Item = u8> {
    let number = uri.user.as_deref().unwrap_or("").bytes();
    number
        .filter(|b| !matches!(b, b'-' | b'.' | b'(' | b')'))
        .map(|b| b.to_ascii_lowercase())
}

fn tel_params(a: &Uri, b: &Uri) -> bool {
    let within = |a: &Uri, b: &Uri| {
        a.params.iter().all(|(n, v)| {
            b.params
                .get(n)
                .is_some_and(|w| w.eq_ignore_ascii_case(v.unwrap_or("")))
        })
    };
    within(a, b) && within(b, a)
}
