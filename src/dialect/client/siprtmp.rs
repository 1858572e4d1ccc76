//! A client of siprtmp: the login in `connect`, one call, streams `local` and `remote`.

use codecs::CodecId;
use rtmp::amf::Value;
use rtmp::server::Call;

use super::{Client, Deed, Entry, Identity, Told, say, tell};

#[derive(Debug)]
pub(super) struct SipRtmp {
    who: Identity,
    /// A call came and is not answered.
    called: bool,
    open: bool,
}

impl SipRtmp {
    pub(super) fn new(who: Identity) -> SipRtmp {
        SipRtmp {
            who,
            called: false,
            open: false,
        }
    }

    /// The words for what we speak.
    fn codecs(&self) -> Vec<Value> {
        let words: &[&str] = match self.who.codec {
            Some(CodecId::Pcmu) => &["pcmu", "pcma", "dtmf"],
            Some(CodecId::Pcma) => &["pcma", "pcmu", "dtmf"],
            _ => &["wideband", "narrowband", "ulaw", "alaw", "dtmf"],
        };
        words.iter().map(|word| Value::from(*word)).collect()
    }

    fn streams(&mut self, deeds: &mut Vec<Deed>) {
        if !self.open {
            self.open = true;
            deeds.push(Deed::Open {
                publish: "local".to_owned(),
                play: "remote".to_owned(),
                receive: false,
            });
        }
    }

    fn over(&mut self, why: String, deeds: &mut Vec<Deed>) {
        self.called = false;
        if std::mem::take(&mut self.open) {
            deeds.push(Deed::Close);
        }
        tell(deeds, Told::Over(why));
    }
}

impl Client for SipRtmp {
    fn entry(&self) -> Entry {
        let mut args = Vec::new();
        if self.who.user.is_some() {
            let name = self.who.name();
            args = vec![name.into(), self.who.password.as_str().into(), name.into()];
        }
        Entry {
            app: format!("{}/{}", self.who.app("sip"), self.who.aor()),
            args,
        }
    }

    fn connected(&mut self, deeds: &mut Vec<Deed>) {
        tell(deeds, Told::Ready);
    }

    fn called(&mut self, call: &Call, deeds: &mut Vec<Deed>) {
        let text = || call.text(0).unwrap_or_default().to_owned();
        match call.name.as_str() {
            "invited" => {
                self.called = true;
                tell(deeds, Told::Incoming(text()));
            }
            "cancelled" => self.over("cancelled".to_owned(), deeds),
            "ringing" => {
                // From 183 on there may be something to hear.
                if text().starts_with("183") {
                    self.streams(deeds);
                }
                tell(deeds, Told::Ringing);
            }
            "accepted" => {
                self.streams(deeds);
                tell(deeds, Told::Up);
            }
            "rejected" => self.over(text(), deeds),
            "byed" => self.over("hung up".to_owned(), deeds),
            "holded" => {
                let on = call.args.first().and_then(Value::as_bool).unwrap_or_default();
                tell(deeds, Told::Held(on));
            }
            _ => {}
        }
    }

    fn functions(&self) -> &'static [&'static str] {
        &[
            "invited",
            "cancelled",
            "accepted",
            "rejected",
            "byed",
            "holded",
            "ringing",
        ]
    }

    fn dial(&mut self, target: &str, deeds: &mut Vec<Deed>) {
        let mut args = vec![Value::from(target)];
        args.extend(self.codecs());
        say(deeds, "invite", args);
    }

    fn accept(&mut self, deeds: &mut Vec<Deed>) {
        self.called = false;
        let codecs = self.codecs();
        say(deeds, "accept", codecs);
    }

    fn hang_up(&mut self, deeds: &mut Vec<Deed>) {
        if std::mem::take(&mut self.called) {
            return say(deeds, "reject", vec!["486 Busy Here".into()]);
        }
        say(deeds, "bye", Vec::new());
        if std::mem::take(&mut self.open) {
            deeds.push(Deed::Close);
        }
    }

    fn digits(&mut self, digits: &str, deeds: &mut Vec<Deed>) {
        for digit in digits.chars() {
            say(deeds, "sendDTMF", vec![digit.to_string().into()]);
        }
    }

    fn hold(&mut self, on: bool, deeds: &mut Vec<Deed>) {
        say(deeds, "hold", vec![on.into()]);
    }

    /// siprtmp has none.
    fn transfer(&mut self, _target: &str, _deeds: &mut Vec<Deed>) {}
}
