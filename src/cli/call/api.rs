//! How a client of each kind dials; `flashgate call --api NAME` picks it.

use rtmp::url::Url;

use super::source::Codec;
use crate::dialect::Kind;
use crate::dialect::client::{self, Client, Identity};

/// The interfaces spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Name {
    /// Publish and play the target as a stream name
    Stream,
    /// rtmplite's siprtmp, rtmp://HOST/sip
    Siprtmp,
    /// FreeSWITCH's mod_rtmp, rtmp://HOST/phone
    Freeswitch,
    /// red5phone, rtmp://HOST/sip
    Red5phone,
    /// BigBlueButton's voice application, rtmp://HOST/sip
    Bbb,
}

impl Name {
    /// What the servers at such a URL usually speak.
    pub(super) fn of(url: &Url) -> Name {
        match url.app.split('/').next() {
            Some("sip") => Name::Siprtmp,
            Some("phone") => Name::Freeswitch,
            _ => Name::Stream,
        }
    }
}

/// Who calls whom, and how.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    api: Name,
    who: Identity,
    /// What is dialled.
    pub(super) target: String,
    /// What is pressed once the call is up.
    pub(super) digits: String,
}

impl Dial {
    /// A call of `target` by the interface `api`.
    pub(super) fn new(
        api: Name,
        url: &Url,
        target: &str,
        login: Option<(String, String)>,
        codec: Codec,
    ) -> Dial {
        let path = match url.stream.is_empty() {
            true => url.app.clone(),
            false => format!("{}/{}", url.app, url.stream),
        };
        let (user, password) = login.unzip();
        Dial {
            api,
            who: Identity {
                host: url.host.clone(),
                path,
                user,
                password: password.unwrap_or_default(),
                codec: Some(codec.id()),
            },
            target: target.to_owned(),
            digits: String::new(),
        }
    }

    /// The client that dials.
    pub(super) fn client(&self) -> Box<dyn Client> {
        let kind = match self.api {
            Name::Stream => Kind::Stream,
            Name::Siprtmp => Kind::SipRtmp,
            Name::Freeswitch => Kind::FreeSwitch,
            Name::Red5phone => Kind::Red5Phone,
            Name::Bbb => Kind::Bbb,
        };
        client::client(kind, self.who.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_says_what_is_usually_spoken_there() {
        for (url, name) in [
            ("rtmp://gw.example.com/sip", Name::Siprtmp),
            ("rtmp://gw.example.com/phone", Name::Freeswitch),
            ("rtmp://gw.example.com/call", Name::Stream),
            ("rtmp://gw.example.com/siphon/x", Name::Stream),
        ] {
            assert_eq!(Name::of(&Url::parse(url).unwrap()), name, "{url}");
        }
    }

    #[test]
    fn a_login_stands_where_each_dialect_wants_it() {
        let url = Url::parse("rtmp://gw.example.com/sip").unwrap();
        let login = Some(("alice".to_owned(), "secret".to_owned()));
        let entry = |api| {
            let dial = Dial::new(api, &url, "bob", login.clone(), Codec::Speex);
            dial.client().entry()
        };
        let siprtmp = entry(Name::Siprtmp);
        assert_eq!(siprtmp.app, "sip/alice@gw.example.com");
        let words = ["alice", "secret", "alice"];
        assert_eq!(siprtmp.args, words.map(rtmp::amf::Value::from));
        assert_eq!(entry(Name::Red5phone).app, "sip");
        assert!(entry(Name::Red5phone).args.is_empty());
    }
}
