//! How a client of each kind dials. One row an interface; `flashgate call --api NAME` picks it.

use rtmp::url::Url;

/// The interfaces spoken so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Name {
    /// Publish and play the target as a stream name
    Stream,
}

/// What a client does to place a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dial {
    /// The `app` of `connect`.
    pub(super) app: String,
    /// The stream to publish.
    pub(super) publish: String,
    /// The stream to play.
    pub(super) play: String,
}

/// Name and password of an account.
type Login = Option<(String, String)>;

/// How to dial `target` by the interface `name`.
pub(super) fn dial(name: Name, url: &Url, target: &str, login: Login) -> Dial {
    match name {
        Name::Stream => stream(url, target, login),
    }
}

fn stream(url: &Url, target: &str, login: Login) -> Dial {
    let mut name = escape(target);
    if let Some((user, password)) = login {
        name.push_str(&format!("?user={}&pass={}", escape(&user), escape(&password)));
    }
    let app = match url.stream.is_empty() {
        true => url.app.clone(),
        false => format!("{}/{}", url.app, url.stream),
    };
    Dial {
        app,
        publish: name.clone(),
        play: name,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_the_name_of_both_streams() {
        let url = Url::parse("rtmp://gw.example.com/call").unwrap();
        let dial = dial(Name::Stream, &url, "sip:bob@192.0.2.1:5070;transport=tcp", None);
        assert_eq!(dial.app, "call");
        assert_eq!(dial.publish, "sip:bob@192.0.2.1:5070;transport=tcp");
        assert_eq!(dial.publish, dial.play);
    }

    #[test]
    fn a_login_and_odd_characters_are_escaped() {
        let url = Url::parse("rtmp://gw.example.com/call").unwrap();
        let login = Some(("al ice".to_owned(), "p&w?".to_owned()));
        let dial = dial(Name::Stream, &url, "+4930", login);
        assert_eq!(dial.play, "%2B4930?user=al%20ice&pass=p%26w%3F");
    }
}
