//! The generic dialect of streaming tools: `rtmp://HOST/call/TARGET` and `rtmp://HOST/live/NAME`.
//!
//! Publishing sends media, playing receives it; there are no commands of its own.

use call::{LineEvent, StreamUse};
use codecs::CodecId;
use rtmp::server::{Call, Connect, StreamName};

use super::acts::{Act, Acts};
use super::words::announced;
use super::{Dialect, Named};

/// What a client's streams mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StreamDialect {
    stream_use: StreamUse,
    /// What the URL had between the application and the stream's name: clients differ in where they cut.
    prefix: String,
    /// User name and password from the URL of the connection.
    credentials: Option<(String, String)>,
    decodes: Vec<CodecId>,
}

impl StreamDialect {
    /// Whether a client speaks it.
    pub(super) fn matches(connect: &Connect) -> Option<StreamDialect> {
        let stream_use = match connect.app.as_str() {
            "call" => StreamUse::Call,
            "live" => StreamUse::Live,
            _ => return None,
        };
        Some(StreamDialect {
            stream_use,
            prefix: connect.instance.clone(),
            credentials: connect
                .param("user")
                .map(|user| (user, connect.param("pass").unwrap_or_default())),
            decodes: announced(connect),
        })
    }

    /// What a stream's name means. FFmpeg and librtmp cut `call/conference/team` after the second segment,
    /// others after the first: the name is the whole of it.
    fn named(&self, name: &StreamName) -> Named {
        let own = name.decoded();
        let prefix = self.prefix.trim_matches('/');
        let whole = match (prefix.is_empty(), own.is_empty()) {
            (true, _) => own,
            (false, true) => rtmp::url::percent_decode(prefix),
            (false, false) => format!("{}/{own}", rtmp::url::percent_decode(prefix)),
        };
        let user = name
            .param("user")
            .map(|user| (user, name.param("pass").unwrap_or_default()));
        Named {
            stream_use: self.stream_use,
            name: whole,
            credentials: user.or_else(|| self.credentials.clone()),
        }
    }
}

impl Dialect for StreamDialect {
    fn label(&self) -> &'static str {
        "stream"
    }

    fn connect(&mut self, acts: &mut Acts) {
        acts.push(Act::Accept(None));
    }

    fn command(&mut self, call: Call, acts: &mut Acts) {
        // It has no commands of its own; unknown ones never end a session.
        acts.push(Act::Usual(Box::new(call)));
    }

    fn event(&mut self, _event: LineEvent, _acts: &mut Acts) {}

    fn stream(&self, name: &StreamName, _publishes: bool) -> Option<Named> {
        Some(self.named(name))
    }

    fn decodes(&self) -> Vec<CodecId> {
        self.decodes.clone()
    }

    fn ends_with_its_streams(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtmp::amf::{Value, object};

    fn connect(app: &str, instance: &str, query: &str, mask: f64) -> Connect {
        Connect {
            app: app.into(),
            instance: instance.into(),
            tc_url: String::new(),
            query: query.into(),
            flash_version: String::new(),
            object_encoding: 0,
            object: object([("audioCodecs", Value::Number(mask))]),
            args: Vec::new(),
        }
    }

    #[test]
    fn the_name_is_whole_wherever_the_client_cuts() {
        let cut_late = StreamDialect::matches(&connect("call", "conference", "", 0.0)).unwrap();
        assert_eq!(cut_late.named(&StreamName::parse("team")).name, "conference/team");
        let cut_early = StreamDialect::matches(&connect("call", "", "", 0.0)).unwrap();
        assert_eq!(
            cut_early.named(&StreamName::parse("conference/team")).name,
            "conference/team"
        );
        assert_eq!(
            cut_early
                .named(&StreamName::parse("sip%3Abob%40host%3A5070"))
                .name,
            "sip:bob@host:5070"
        );
        assert!(StreamDialect::matches(&connect("vod", "", "", 0.0)).is_none());
    }

    #[test]
    fn credentials_stand_in_either_query() {
        let d = StreamDialect::matches(&connect("call", "", "user=al%20ice&pass=x", 0.0)).unwrap();
        assert_eq!(
            d.named(&StreamName::parse("echo")).credentials,
            Some(("al ice".into(), "x".into()))
        );
        let own = d.named(&StreamName::parse("echo?user=bob&pass=y"));
        assert_eq!(
            (own.name.as_str(), own.credentials),
            ("echo", Some(("bob".into(), "y".into())))
        );
    }

    #[test]
    fn announced_codecs_follow_the_mask() {
        use CodecId::{Aac, Mp3, Nelly5, Nelly8, Nelly11, Nelly16, Nelly22, Nelly44, Pcma, Pcmu, SpeexWb};
        assert_eq!(
            announced(&connect("call", "", "", 4071.0)),
            [
                SpeexWb, Pcmu, Pcma, Aac, Mp3, Nelly16, Nelly8, Nelly5, Nelly11, Nelly22, Nelly44
            ]
        );
        assert_eq!(announced(&connect("call", "", "", 2048.0 + 4.0)), [SpeexWb, Mp3]);
        assert_eq!(
            announced(&connect("call", "", "", 3191.0)),
            [SpeexWb, Aac, Mp3, Nelly8, Nelly5, Nelly11, Nelly22, Nelly44]
        );
        assert_eq!(announced(&connect("live", "", "", 0.0)), [SpeexWb, Aac, Mp3]);
    }
}
