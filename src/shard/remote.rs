//! Streams on RTMP servers elsewhere, as targets name them: `rtmp+publish[;codec=NAME]:URL`, `rtmp+play:URL`.

use std::fmt;

use codecs::CodecId;
use rtmp::client::ConnectRequest;
use rtmp::url::{Scheme, Url};

/// What a server is sent unless a target says otherwise: what every server, CDN and player of today takes.
const USUAL: CodecId = CodecId::Aac;

/// A stream elsewhere, and what is done with it. Printed, it shows no more than the server and its application: the
/// rest is what one needs to publish there.
#[derive(Clone, PartialEq, Eq)]
pub struct Remote {
    /// We publish it; else we play it.
    pub publishes: bool,
    /// What the server is sent.
    pub codec: CodecId,
    url: Url,
}

impl Remote {
    /// Reads a target; without `rtmp+…:` before it a URL is one to publish.
    ///
    /// # Errors
    /// What is wrong with it, without any secret of it.
    pub fn parse(text: &str) -> Result<Remote, String> {
        let (head, url) = match text.split_once(':') {
            Some((head, url)) if head.to_ascii_lowercase().starts_with("rtmp+") => (head, url),
            _ => ("rtmp+publish", text),
        };
        let mut words = head.split(';');
        let publishes = match words.next().map(str::to_ascii_lowercase).as_deref() {
            Some("rtmp+publish") => true,
            Some("rtmp+play") => false,
            _ => return Err("must begin with rtmp+publish: or rtmp+play:".to_owned()),
        };
        let mut codec = USUAL;
        for word in words {
            let name = word
                .strip_prefix("codec=")
                .ok_or("knows only the parameter codec=")?;
            codec = named(name).ok_or_else(|| format!("the codec must be one of {}", names()))?;
        }
        let url = Url::parse(url).map_err(|e| e.to_string())?;
        if !matches!(url.scheme, Scheme::Rtmp | Scheme::Rtmps) {
            return Err("the URL must begin with rtmp:// or rtmps://".to_owned());
        }
        if url.stream.is_empty() {
            return Err("the URL names no stream: rtmp://HOST/APP/STREAM".to_owned());
        }
        Ok(Remote {
            publishes,
            codec,
            url,
        })
    }

    /// The server.
    pub fn host(&self) -> &str {
        &self.url.host
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.url.port
    }

    /// Whether it is reached by TLS.
    pub fn tls(&self) -> bool {
        self.url.scheme == Scheme::Rtmps
    }

    /// What a server says, without the name of the stream, which may be as good as a password.
    pub fn redact(&self, text: &str) -> String {
        let name = self.url.stream.split('?').next().unwrap_or_default();
        text.replace(&self.url.stream, "…").replace(name, "…")
    }

    /// The name of the stream, as `publish` and `play` say it.
    pub(super) fn stream(&self) -> &str {
        &self.url.stream
    }

    /// What the server is told first.
    pub(super) fn request(&self) -> ConnectRequest {
        let (app, url) = (self.url.app.as_str(), self.url.tc_url());
        let mut request = if self.publishes {
            ConnectRequest::publisher(app, &url)
        } else {
            ConnectRequest::player(app, &url)
        };
        request.args = self.url.userinfo.iter().map(|arg| arg.as_str().into()).collect();
        request
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.publishes { "publish" } else { "play" };
        let scheme = if self.tls() { "rtmps" } else { "rtmp" };
        let app = self.url.app.split(['/', '?']).next().unwrap_or_default();
        write!(f, "rtmp+{way}:{scheme}://{}/{app}/…", self.url.authority())
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The codec of that name, when RTMP can carry it and we can make it.
fn named(name: &str) -> Option<CodecId> {
    usable().find(|c| c.label == name).map(|c| c.id)
}

fn names() -> String {
    usable().map(|c| c.label).collect::<Vec<_>>().join(", ")
}

fn usable() -> impl Iterator<Item = &'static codecs::Codec> {
    codecs::TABLE.iter().filter(|c| c.encodes && c.flv.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read() {
        let remote = Remote::parse("rtmp+publish;codec=pcmu:rtmp://a:b@cdn.test/live/key?x=1").unwrap();
        assert_eq!(
            (
                remote.publishes,
                remote.codec,
                remote.host(),
                remote.port(),
                remote.tls()
            ),
            (true, CodecId::Pcmu, "cdn.test", 1935, false)
        );
        assert_eq!(remote.stream(), "key?x=1");
        let request = remote.request();
        assert_eq!(
            (request.app.as_str(), request.tc_url.as_str()),
            ("live", "rtmp://cdn.test/live")
        );
        assert_eq!(request.args, ["a".into(), "b".into()]);
        assert_eq!(format!("{remote:?}"), "rtmp+publish:rtmp://cdn.test/live/…");
        let remote = Remote::parse("rtmp+play:rtmps://[::1]:1936/app/inst/name").unwrap();
        assert_eq!(
            (remote.publishes, remote.port(), remote.tls()),
            (false, 1936, true)
        );
        assert_eq!(remote.to_string(), "rtmp+play:rtmps://[::1]:1936/app/…");
        let remote = Remote::parse("rtmp://cdn.test/live/key?x=1").unwrap();
        assert!(remote.publishes);
        assert_eq!(remote.redact("key?x=1 and key are taken"), "… and … are taken");
    }

    #[test]
    fn what_is_wrong_is_said_without_the_key() {
        for (text, what) in [
            ("rtmp+record:rtmp://h/a/secret", "rtmp+publish: or"),
            ("rtmp+publish;codec=mp3:rtmp://h/a/secret", "pcmu, pcma, speex"),
            ("rtmp+publish;rate=8:rtmp://h/a/secret", "codec="),
            ("rtmp+publish:rtmpt://h/a/secret", "rtmp:// or rtmps://"),
            ("rtmp+publish:rtmp://h/a", "names no stream"),
            ("rtmp+publish:secret", "scheme"),
        ] {
            let error = Remote::parse(text).unwrap_err();
            assert!(error.contains(what) && !error.contains("secret"), "{error}");
        }
    }
}
