//! A client of mod_rtmp, as the stock page behaves: a login with the session's UUID, calls by UUID, streams made
//! for each call.

use md5::{Digest, Md5};
use rtmp::amf::{Value, object};
use rtmp::server::Call;

use super::{Client, Deed, Entry, Identity, Told, say, tell};

/// Length of a digit, in samples at 8 kHz.
const DIGIT: f64 = 1_280.0;

#[derive(Debug)]
pub(super) struct FreeSwitch {
    who: Identity,
    /// The call that came or is placed.
    call: Option<String>,
    attached: bool,
}

impl FreeSwitch {
    pub(super) fn new(who: Identity) -> FreeSwitch {
        FreeSwitch {
            who,
            call: None,
            attached: false,
        }
    }

    fn login(&self, session: &str, deeds: &mut Vec<Deed>) {
        let aor = self.who.aor();
        let digest = Md5::digest(format!("{session}:{aor}:{}", self.who.password));
        let digest: String = digest.iter().map(|b| format!("{b:02x}")).collect();
        say(deeds, "login", vec![aor.into(), digest.into()]);
    }

    fn ours(&self, call: &Call) -> bool {
        call.text(0) == self.call.as_deref()
    }
}

impl Client for FreeSwitch {
    fn entry(&self) -> Entry {
        Entry {
            app: self.who.app("phone"),
            args: Vec::new(),
        }
    }

    fn connected(&mut self, _deeds: &mut Vec<Deed>) {}

    fn called(&mut self, call: &Call, deeds: &mut Vec<Deed>) {
        let text = |i: usize| call.text(i).unwrap_or_default();
        match call.name.as_str() {
            "connected" if self.who.user.is_some() => self.login(text(0), deeds),
            "connected" => tell(deeds, Told::Ready),
            "onLogin" if text(0) == "success" => {
                say(deeds, "register", vec!["".into(), "flashgate".into()]);
                tell(deeds, Told::Ready);
            }
            "onLogin" => tell(deeds, Told::Refused("login refused".to_owned())),
            "onMakeCall" => self.call = Some(text(0).to_owned()),
            "onAttach" => {
                let attached = !text(0).is_empty() && self.ours(call);
                match (attached, std::mem::replace(&mut self.attached, attached)) {
                    (true, false) => deeds.push(Deed::Open {
                        publish: "publish".to_owned(),
                        play: "play".to_owned(),
                        receive: true,
                    }),
                    (false, true) => deeds.push(Deed::Close),
                    _ => {}
                }
            }
            "incomingCall" if self.call.is_none() => {
                self.call = Some(text(0).to_owned());
                tell(deeds, Told::Incoming(text(2).to_owned()));
            }
            "callState" if self.ours(call) => match text(1) {
                "RINGING" => tell(deeds, Told::Ringing),
                "ACTIVE" => tell(deeds, Told::Up),
                "HELD" => tell(deeds, Told::Held(true)),
                "UNHELD" => tell(deeds, Told::Held(false)),
                _ => {}
            },
            "onHangup" if self.ours(call) => {
                self.call = None;
                tell(deeds, Told::Over(text(1).to_owned()));
            }
            "event" => {
                let member = |key: &str| {
                    let value = call.args.first()?.get(key)?;
                    value.as_str().map(str::to_owned)
                };
                if let Some(digit) = member("DTMF-Digit").and_then(|d| d.chars().next()) {
                    tell(deeds, Told::Digit(digit));
                } else if let Some(body) = member("_body") {
                    tell(deeds, Told::Text(member("from").unwrap_or_default(), body));
                }
            }
            _ => {}
        }
    }

    fn functions(&self) -> &'static [&'static str] {
        &[
            "connected",
            "onLogin",
            "onLogout",
            "onMakeCall",
            "onAttach",
            "incomingCall",
            "callState",
            "displayUpdate",
            "onHangup",
            "event",
        ]
    }

    fn dial(&mut self, target: &str, deeds: &mut Vec<Deed>) {
        let account = match self.who.user {
            Some(_) => self.who.aor(),
            None => String::new(),
        };
        let options: [(&str, Value); 0] = [];
        let args = vec![target.into(), account.into(), object(options)];
        say(deeds, "makeCall", args);
    }

    fn accept(&mut self, deeds: &mut Vec<Deed>) {
        if let Some(call) = &self.call {
            say(deeds, "answer", vec![call.as_str().into()]);
        }
    }

    fn hang_up(&mut self, deeds: &mut Vec<Deed>) {
        if let Some(call) = &self.call {
            say(deeds, "hangup", vec![call.as_str().into()]);
        }
    }

    fn digits(&mut self, digits: &str, deeds: &mut Vec<Deed>) {
        say(deeds, "sendDTMF", vec![digits.into(), DIGIT.into()]);
    }

    /// The stock page detaches the call.
    fn hold(&mut self, on: bool, deeds: &mut Vec<Deed>) {
        let call = self.call.clone().filter(|_| !on).unwrap_or_default();
        say(deeds, "attach", vec![call.into()]);
    }

    fn transfer(&mut self, target: &str, deeds: &mut Vec<Deed>) {
        if let Some(call) = &self.call {
            say(deeds, "transfer", vec![call.as_str().into(), target.into()]);
        }
    }
}
