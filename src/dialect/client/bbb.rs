//! A client of BigBlueButton's voice application: it joins what it dials, and is never called.

use rtmp::server::Call;

use super::{Client, Deed, Entry, Identity, Told, say, tell};

#[derive(Debug)]
pub(super) struct Bbb {
    who: Identity,
    open: bool,
}

impl Bbb {
    pub(super) fn new(who: Identity) -> Bbb {
        Bbb { who, open: false }
    }

    fn over(&mut self, call: &Call, deeds: &mut Vec<Deed>) {
        if std::mem::take(&mut self.open) {
            deeds.push(Deed::Close);
        }
        tell(deeds, Told::Over(call.text(0).unwrap_or_default().to_owned()));
    }
}

impl Client for Bbb {
    fn entry(&self) -> Entry {
        let name = self.who.name();
        Entry {
            app: self.who.app("sip"),
            args: vec!["meeting".into(), name.into(), name.into()],
        }
    }

    fn connected(&mut self, deeds: &mut Vec<Deed>) {
        tell(deeds, Told::Ready);
    }

    fn called(&mut self, call: &Call, deeds: &mut Vec<Deed>) {
        let text = |i: usize| call.text(i).unwrap_or_default().to_owned();
        match call.name.as_str() {
            "successfullyJoinedVoiceConferenceCallback" => {
                self.open = true;
                deeds.push(Deed::Open {
                    publish: text(0),
                    play: text(1),
                    receive: false,
                });
                tell(deeds, Told::Up);
            }
            "failedToJoinVoiceConferenceCallback" | "disconnectedFromJoinVoiceConferenceCallback" => {
                self.over(call, deeds);
            }
            _ => {}
        }
    }

    fn functions(&self) -> &'static [&'static str] {
        &[
            "successfullyJoinedVoiceConferenceCallback",
            "failedToJoinVoiceConferenceCallback",
            "disconnectedFromJoinVoiceConferenceCallback",
        ]
    }

    fn dial(&mut self, target: &str, deeds: &mut Vec<Deed>) {
        let args = vec![
            "default".into(),
            self.who.name().into(),
            target.into(),
            "false".into(),
        ];
        say(deeds, "voiceconf.call", args);
    }

    fn accept(&mut self, _deeds: &mut Vec<Deed>) {}

    fn hang_up(&mut self, deeds: &mut Vec<Deed>) {
        say(deeds, "voiceconf.hangup", vec!["default".into()]);
        if std::mem::take(&mut self.open) {
            deeds.push(Deed::Close);
        }
    }

    fn digits(&mut self, _digits: &str, _deeds: &mut Vec<Deed>) {}

    fn hold(&mut self, _on: bool, _deeds: &mut Vec<Deed>) {}

    fn transfer(&mut self, _target: &str, _deeds: &mut Vec<Deed>) {}
}
