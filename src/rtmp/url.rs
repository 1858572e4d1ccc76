//! RTMP URLs: `rtmp://[user:pass@]host[:port]/app[/instance]/stream[?query]`.
//!
//! The URI memo of M. Thornburgh leaves the split between application and stream to the server's namespace
//! and offers the fragment for the stream; clients (librtmp, FFmpeg) split by counting segments. [`Url::parse`]
//! honours a fragment and else splits as FFmpeg does.

use thiserror::Error;

/// Default TCP port of `rtmp`, and UDP port of `rtmfp`.
pub const DEFAULT_PORT: u16 = 1935;
/// Default TCP port of `rtmps`.
pub const DEFAULT_TLS_PORT: u16 = 443;
/// Default TCP port of `rtmpt`.
pub const DEFAULT_HTTP_PORT: u16 = 80;

/// Which carrier a URL asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Chunk stream over TCP.
    Rtmp,
    /// Chunk stream over TLS.
    Rtmps,
    /// Chunk stream over HTTP.
    Rtmpt,
    /// Flows over UDP.
    Rtmfp,
}

/// A parsed RTMP URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Carrier.
    pub scheme: Scheme,
    /// Strings of the userinfo part, percent-decoded: arguments of `connect` (memo §4.2).
    pub userinfo: Vec<String>,
    /// Host name or address; an IPv6 literal without its brackets.
    pub host: String,
    /// Port, the scheme's default when absent.
    pub port: u16,
    /// Application with instance, as in the `app` property; not decoded.
    pub app: String,
    /// Stream name with its query; not decoded; empty when absent.
    pub stream: String,
}

/// Why text is not an RTMP URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UrlError {
    /// The scheme is not rtmp, rtmps, rtmpt or rtmfp.
    #[error("the scheme must be rtmp, rtmps, rtmpt or rtmfp")]
    Scheme,
    /// The host is missing or holds characters no host has.
    #[error("no valid host")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("no valid port")]
    Port,
    /// Control characters or spaces, or longer than 2048 bytes.
    #[error("control characters, spaces, or too long")]
    Text,
}

/// Longest URL taken, in bytes.
const MAX_LEN: usize = 2048;

impl Url {
    /// Parses a URL.
    ///
    /// With a fragment, the whole path is the application and the decoded fragment the stream. Otherwise the
    /// application is the first segment, or the first two when more than two stand there and the second is
    /// holds no colon (`mp4:dir/file`, `sip:bob@host`); the rest with the query is the stream. A path of one segment has no stream.
    /// `rtmp://h/sip/alice@example.com` thus gives app `sip`, stream `alice@example.com`.
    pub fn parse(text: &str) -> Result<Url, UrlError> {
        if text.len() > MAX_LEN || text.chars().any(|c| c.is_control() || c == ' ') {
            return Err(UrlError::Text);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let (scheme, default_port) = if scheme.eq_ignore_ascii_case("rtmp") {
            (Scheme::Rtmp, DEFAULT_PORT)
        } else if scheme.eq_ignore_ascii_case("rtmps") {
            (Scheme::Rtmps, DEFAULT_TLS_PORT)
        } else if scheme.eq_ignore_ascii_case("rtmpt") {
            (Scheme::Rtmpt, DEFAULT_HTTP_PORT)
        } else if scheme.eq_ignore_ascii_case("rtmfp") {
            (Scheme::Rtmfp, DEFAULT_PORT)
        } else {
            return Err(UrlError::Scheme);
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (userinfo, host_port) = match authority.rsplit_once('@') {
            Some((user, host)) => (user.split(':').map(percent_decode).collect(), host),
            None => (Vec::new(), authority),
        };
        let (host, port) = split_host(host_port)?;
        let port = match port {
            None | Some("") => default_port,
            Some(p) if p.bytes().all(|b| b.is_ascii_digit()) => {
                p.parse::<u16>().ok().filter(|&p| p != 0).ok_or(UrlError::Port)?
            }
            Some(_) => return Err(UrlError::Port),
        };
        let (app, stream) = split_path(path);
        Ok(Url {
            scheme,
            userinfo,
            host: host.to_owned(),
            port,
            app,
            stream,
        })
    }

    /// Host and port as they stand in a URL: IPv6 in brackets, the default port left out.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        let default = match self.scheme {
            Scheme::Rtmp | Scheme::Rtmfp => DEFAULT_PORT,
            Scheme::Rtmps => DEFAULT_TLS_PORT,
            Scheme::Rtmpt => DEFAULT_HTTP_PORT,
        };
        if self.port == default {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }

    /// The `tcUrl` property: everything but userinfo and stream.
    pub fn tc_url(&self) -> String {
        let scheme = match self.scheme {
            Scheme::Rtmp => "rtmp",
            Scheme::Rtmps => "rtmps",
            Scheme::Rtmpt => "rtmpt",
            Scheme::Rtmfp => "rtmfp",
        };
        format!("{scheme}://{}/{}", self.authority(), self.app)
    }
}

/// Decodes `%XX`; what is no valid escape stays as it is, invalid UTF-8 becomes U+FFFD.
pub fn percent_decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let hex = |b: Option<&u8>| b.and_then(|&b| char::from(b).to_digit(16)).map(|d| d as u8);
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while let Some(&b) = bytes.get(i) {
        match (b, hex(bytes.get(i + 1)), hex(bytes.get(i + 2))) {
            (b'%', Some(h), Some(l)) => {
                out.push(h << 4 | l);
                i += 3;
            }
            _ => {
                out.push(b);
                i += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// The percent-decoded value of `key` in `a=1&b=2`; an argument without `=` has an empty value.
pub fn query_param(query: &str, key: &str) -> Option<String> {
    query.split('&').find_map(|arg| {
        let (k, v) = arg.split_once('=').unwrap_or((arg, ""));
        (!arg.is_empty() && percent_decode(k) == key).then(|| percent_decode(v))
    })
}

fn split_host(text: &str) -> Result<(&str, Option<&str>), UrlError> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(UrlError::Host)?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| UrlError::Host)?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(UrlError::Host),
        };
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let ok = |c: char| c.is_ascii_alphanumeric() || "-._~%!$&'()*+,;=".contains(c);
    if host.is_empty() || !host.chars().all(ok) {
        return Err(UrlError::Host);
    }
    Ok((host, port))
}

/// Application and stream of `path[?query][#fragment]`.
fn split_path(path: &str) -> (String, String) {
    let path = path.strip_prefix('/').unwrap_or(path);
    if let Some((before, fragment)) = path.split_once('#') {
        return (before.to_owned(), percent_decode(fragment));
    }
    let query_at = path.find('?').unwrap_or(path.len());
    let (segments, query) = path.split_at(query_at);
    let Some((first, rest)) = segments.split_once('/') else {
        return (path.to_owned(), String::new());
    };
    match rest.split_once('/') {
        Some((second, stream)) if !second.contains(':') => {
            (format!("{first}/{second}"), format!("{stream}{query}"))
        }
        _ => (first.to_owned(), format!("{rest}{query}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Url {
        Url::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn splits_application_and_stream() {
        for (url, app, stream) in [
            ("rtmp://gw/call/echo", "call", "echo"),
            ("rtmp://gw/live/a/b", "live/a", "b"),
            (
                "rtmp://gw/call/sip:bob@example.com",
                "call",
                "sip:bob@example.com",
            ),
            (
                "rtmp://gw/call/sip:bob@h;transport=tcp/x",
                "call",
                "sip:bob@h;transport=tcp/x",
            ),
            ("rtmp://gw/vod/mp4:dir/file.mp4", "vod", "mp4:dir/file.mp4"),
            ("rtmp://gw/call/echo?user=a&pass=b", "call", "echo?user=a&pass=b"),
            ("rtmp://gw/phone", "phone", ""),
            ("rtmp://gw", "", ""),
            ("rtmp://gw/", "", ""),
            ("rtmp://gw?x=1", "?x=1", ""),
            ("rtmp://gw/three/segment/path", "three/segment", "path"),
            (
                "rtmp://gw/three/segment/path#Big%42unny",
                "three/segment/path",
                "BigBunny",
            ),
            (
                "rtmps://gw/something?else#Cosmos?aFlag",
                "something?else",
                "Cosmos?aFlag",
            ),
        ] {
            let u = parse(url);
            assert_eq!((u.app.as_str(), u.stream.as_str()), (app, stream), "{url}");
        }
    }

    #[test]
    fn reads_host_port_and_userinfo() {
        let u = parse("rtmp://[2001:db8:1::2]:19350/something?else");
        assert_eq!((u.host.as_str(), u.port), ("2001:db8:1::2", 19350));
        assert_eq!(u.tc_url(), "rtmp://[2001:db8:1::2]:19350/something?else");
        let u = parse("rtmps://arg1:arg%3A2::arg4@server.example");
        assert_eq!(u.userinfo, ["arg1", "arg:2", "", "arg4"]);
        assert_eq!((u.port, u.tc_url().as_str()), (443, "rtmps://server.example/"));
        assert_eq!(parse("rtmp://gw:/call/x").port, 1935);
        assert_eq!(parse("RTMPT://gw/call/x").port, 80);
    }

    #[test]
    fn refuses_what_is_no_url() {
        for (url, error) in [
            ("http://gw/x", UrlError::Scheme),
            ("gw/x", UrlError::Scheme),
            ("rtmp:///x", UrlError::Host),
            ("rtmp://[::1/x", UrlError::Host),
            ("rtmp://[::1]x/x", UrlError::Host),
            ("rtmp://[nonsense]/x", UrlError::Host),
            ("rtmp://a<b/x", UrlError::Host),
            ("rtmp://gw:0/x", UrlError::Port),
            ("rtmp://gw:65536/x", UrlError::Port),
            ("rtmp://gw:+80/x", UrlError::Port),
            ("rtmp://gw/a b", UrlError::Text),
            ("rtmp://gw/a\r\nb", UrlError::Text),
        ] {
            assert_eq!(Url::parse(url), Err(error), "{url}");
        }
        assert_eq!(
            Url::parse(&format!("rtmp://{}", "a".repeat(2048))),
            Err(UrlError::Text)
        );
    }

    #[test]
    fn decodes_escapes_and_leaves_broken_ones() {
        assert_eq!(percent_decode("a%40b%2"), "a@b%2");
        assert_eq!(percent_decode("%zz%C3%A9%FF"), "%zzé\u{fffd}");
        assert_eq!(
            query_param("user=a%26b&flag&x=1=2", "user").as_deref(),
            Some("a&b")
        );
        assert_eq!(query_param("user=a&flag&x=1=2", "flag").as_deref(), Some(""));
        assert_eq!(query_param("user=a&flag&x=1=2", "x").as_deref(), Some("1=2"));
        assert_eq!(query_param("user=a", "pass"), None);
        assert_eq!(query_param("", ""), None);
    }
}
