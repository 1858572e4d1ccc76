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
