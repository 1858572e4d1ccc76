//! A streaming tool: the target is the name of both streams.

use rtmp::server::Call;

use super::{Client, Deed, Entry, Identity, Told, tell};

#[derive(Debug)]
pub(super) struct Stream {
    who: Identity,
}

impl Stream {
    pub(super) fn new(who: Identity) -> Stream {
        Stream { who }
    }
}

/// Percent-encodes what would end a name or an argument.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for b in text.bytes() {
        match b {
            b'%' | b'?' | b'&' | b'#' | b'+' | 0..=b' ' | 0x7F.. => out.push_str(&format!("%{b:02X}")),
            _ => out.push(char::from(b)),
        }
    }
    out
}

impl Client for Stream {
    fn entry(&self) -> Entry {
        Entry {
            app: self.who.path.clone(),
            args: Vec::new(),
        }
    }

    fn connected(&mut self, deeds: &mut Vec<Deed>) {
        tell(deeds, Told::Ready);
    }

    fn called(&mut self, _call: &Call, _deeds: &mut Vec<Deed>) {}

    fn functions(&self) -> &'static [&'static str] {
        &[]
    }

    fn dial(&mut self, target: &str, deeds: &mut Vec<Deed>) {
        let mut name = escape(target);
        if let Some(user) = &self.who.user {
            let password = escape(&self.who.password);
            name.push_str(&format!("?user={}&pass={password}", escape(user)));
        }
        deeds.push(Deed::Open {
            publish: name.clone(),
            play: name,
            receive: false,
        });
    }

    fn accept(&mut self, _deeds: &mut Vec<Deed>) {}

    fn hang_up(&mut self, deeds: &mut Vec<Deed>) {
        deeds.push(Deed::Close);
    }

    fn digits(&mut self, _digits: &str, _deeds: &mut Vec<Deed>) {}

    fn hold(&mut self, _on: bool, _deeds: &mut Vec<Deed>) {}

    fn transfer(&mut self, _target: &str, _deeds: &mut Vec<Deed>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(target: &str, login: Option<(&str, &str)>) -> (String, String) {
        let mut client = Stream::new(Identity {
            path: "call".into(),
            user: login.map(|(user, _)| user.to_owned()),
            password: login.map(|(_, password)| password.to_owned()).unwrap_or_default(),
            ..Identity::default()
        });
        let mut deeds = Vec::new();
        client.dial(target, &mut deeds);
        match deeds.pop() {
            Some(Deed::Open { publish, play, .. }) => (publish, play),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_target_is_the_name_of_both_streams() {
        let (publish, play) = names("sip:bob@192.0.2.1:5070;transport=tcp", None);
        assert_eq!(publish, "sip:bob@192.0.2.1:5070;transport=tcp");
        assert_eq!(publish, play);
    }

    #[test]
    fn a_login_and_odd_characters_are_escaped() {
        let (_, play) = names("+4930", Some(("al ice", "p&w?")));
        assert_eq!(play, "%2B4930?user=al%20ice&pass=p%26w%3F");
    }
}
