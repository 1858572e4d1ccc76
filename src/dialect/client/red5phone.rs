//! A client of red5phone: a user opened by its first command, streams named by the server.

use rtmp::amf::Value;
use rtmp::server::Call;

use super::{Client, Deed, Entry, Identity, Told, say, tell};

#[derive(Debug)]
pub(super) struct Red5Phone {
    who: Identity,
    open: bool,
}

impl Red5Phone {
    pub(super) fn new(who: Identity) -> Red5Phone {
        Red5Phone { who, open: false }
    }

    /// The name that we chose for ourselves.
    fn uid(&self) -> Value {
        format!("flashgate-{}", self.who.name()).into()
    }

    fn over(&mut self, why: &str, deeds: &mut Vec<Deed>) {
        if std::mem::take(&mut self.open) {
            deeds.push(Deed::Close);
        }
        tell(deeds, Told::Over(why.to_owned()));
    }
}

impl Client for Red5Phone {
    fn entry(&self) -> Entry {
        Entry {
            app: self.who.app("sip"),
            args: Vec::new(),
        }
    }

    fn connected(&mut self, deeds: &mut Vec<Deed>) {
        let aor = self.who.aor();
        let domain = aor.split_once('@').map_or("", |(_, domain)| domain);
        let name = self.who.name();
        let args = vec![
            "".into(),
            self.uid(),
            name.into(),
            name.into(),
            self.who.password.as_str().into(),
            domain.into(),
            domain.into(),
        ];
        // A stranger does not register, and hears nothing of its login.
        if self.who.user.is_some() {
            say(deeds, "open", args);
        } else {
            say(deeds, "login", args);
            tell(deeds, Told::Ready);
        }
    }

    fn called(&mut self, call: &Call, deeds: &mut Vec<Deed>) {
        let text = |i: usize| call.text(i).unwrap_or_default();
        match call.name.as_str() {
            "registrationSucess" => tell(deeds, Told::Ready),
            "registrationFailure" => tell(deeds, Told::Refused(text(0).to_owned())),
            "incoming" => tell(deeds, Told::Incoming(text(0).to_owned())),
            "connected" => {
                self.open = true;
                deeds.push(Deed::Open {
                    publish: text(0).to_owned(),
                    play: text(1).to_owned(),
                    receive: false,
                });
            }
            "callState" => match text(0) {
                "onUaCallRinging" => tell(deeds, Told::Ringing),
                "onUaCallAccepted" => tell(deeds, Told::Up),
                "onUaCallCancelled" => self.over("cancelled", deeds),
                "onUaCallFailed" => self.over("failed", deeds),
                "onUaCallClosed" => self.over("hung up", deeds),
                _ => {}
            },
            _ => {}
        }
    }

    fn functions(&self) -> &'static [&'static str] {
        &[
            "registrationSucess",
            "registrationFailure",
            "incoming",
            "callState",
            "connected",
            "mailBoxStatus",
            "mailBoxCount",
        ]
    }

    fn dial(&mut self, target: &str, deeds: &mut Vec<Deed>) {
        say(deeds, "call", vec![self.uid(), target.into()]);
    }

    fn accept(&mut self, deeds: &mut Vec<Deed>) {
        say(deeds, "accept", vec![self.uid()]);
    }

    fn hang_up(&mut self, deeds: &mut Vec<Deed>) {
        say(deeds, "hangup", vec![self.uid()]);
    }

    fn digits(&mut self, digits: &str, deeds: &mut Vec<Deed>) {
        say(deeds, "dtmf", vec![self.uid(), digits.into()]);
    }

    /// red5phone has none: its users mute themselves.
    fn hold(&mut self, _on: bool, _deeds: &mut Vec<Deed>) {}

    fn transfer(&mut self, target: &str, deeds: &mut Vec<Deed>) {
        say(deeds, "transfer", vec![self.uid(), target.into()]);
    }
}
