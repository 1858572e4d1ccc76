//! What a client dials, in any dialect (contract, "Dialling").

/// A dialled target, read from text; nothing is looked up here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The caller hears itself.
    Echo,
    /// The caller hears a steady tone.
    Tone,
    /// A room of the mixer.
    Conference(String),
    /// A stream of the `live` application: heard when published, else fed by the caller.
    Live(String),
    /// A stream on an RTMP server elsewhere, verbatim: `rtmp+publish:URL` brings it what the other party says,
    /// `rtmp+play:URL` lets the other party hear it.
    Remote(String),
    /// A full `sip:` or `sips:` URI, verbatim.
    Sip(String),
    /// A user of ours (`domain` absent) or of a domain.
    User {
        /// The user part.
        user: String,
        /// The domain, as written.
        domain: Option<String>,
    },
    /// A telephone number: digits, optionally with a leading `+`; separators removed.
    Number(String),
}

/// The longest target accepted, in bytes: no name, number or URI of use is longer.
const LONGEST: usize = 512;

impl Target {
    /// Whether it is something in the gateway itself, which no other can call.
    pub fn is_built_in(&self) -> bool {
        matches!(
            self,
            Target::Echo | Target::Tone | Target::Conference(_) | Target::Live(_)
        )
    }

    /// Reads a target. `None` when it is empty, too long or has control characters.
    ///
    /// Percent-encoding of the carrier (an RTMP stream name, a SIP user part) must have been undone.
    pub fn parse(text: &str) -> Option<Target> {
        let text = text.trim();
        if text.is_empty() || text.len() > LONGEST || text.chars().any(char::is_control) {
            return None;
        }
        if let Some(target) = built_in(text) {
            return Some(target);
        }
        let scheme = text
            .split_once(':')
            .map(|(s, rest)| (s.to_ascii_lowercase(), rest));
        match scheme {
            Some((s, rest)) if is_remote(&s) => {
                return (!rest.is_empty()).then(|| Target::Remote(text.to_owned()));
            }
            Some((s, rest)) if s == "sip" || s == "sips" => {
                return (!rest.is_empty()).then(|| Target::Sip(text.to_owned()));
            }
            Some((s, rest)) if s == "tel" => {
                let digits = rest.split(';').next().unwrap_or_default();
                return number(digits).map(Target::Number);
            }
            _ => {}
        }
        if let Some(n) = number(text) {
            return Some(Target::Number(n));
        }
        match text.rsplit_once('@') {
            Some((user, domain)) if !user.is_empty() && !domain.is_empty() => Some(Target::User {
                user: user.to_owned(),
                domain: Some(domain.to_owned()),
            }),
            Some(_) => None,
            None => Some(Target::User {
                user: text.to_owned(),
                domain: None,
            }),
        }
    }
}

/// A target as logs and records may show it: of the URL of a stream elsewhere only the server and its application, for
/// the rest is what one needs to publish there.
pub fn shown(target: &str) -> String {
    let Some((scheme, url)) = target.split_once(':') else {
        return target.to_owned();
    };
    if !is_remote(&scheme.to_ascii_lowercase()) {
        return target.to_owned();
    }
    let (carrier, rest) = url.split_once("://").unwrap_or(("", url));
    let mut parts = rest.split(['/', '?', '#']);
    let host = parts.next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let app = parts.next().unwrap_or_default();
    format!("{scheme}:{carrier}://{host}/{app}/…")
}

/// Whether a scheme names a stream elsewhere; parameters may follow its name (`rtmp+publish;codec=speex`).
fn is_remote(scheme: &str) -> bool {
    let name = scheme.split(';').next().unwrap_or_default();
    name == "rtmp+publish" || name == "rtmp+play"
}

fn built_in(text: &str) -> Option<Target> {
    if text == "echo" {
        return Some(Target::Echo);
    }
    if text == "tone" {
        return Some(Target::Tone);
    }
    if let Some(room) = text.strip_prefix("conference/").filter(|r| !r.is_empty()) {
        return Some(Target::Conference(room.to_owned()));
    }
    text.strip_prefix("live/")
        .filter(|n| !n.is_empty())
        .map(|n| Target::Live(n.to_owned()))
}

/// A telephone number without its visual separators (RFC 3966 §5.1.1), or `None` when it is not one.
fn number(text: &str) -> Option<String> {
    let body = text.strip_prefix('+').unwrap_or(text);
    let mut digits = String::with_capacity(text.len());
    if text.starts_with('+') {
        digits.push('+');
    }
    for c in body.chars() {
        match c {
            '0'..='9' => digits.push(c),
            '*' | '#' if !text.starts_with('+') => digits.push(c),
            '-' | '.' | '(' | ')' | ' ' => {}
            _ => return None,
        }
    }
    digits.contains(|c: char| c.is_ascii_digit()).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_the_contract() {
        let user = |u: &str, d: Option<&str>| Target::User {
            user: u.into(),
            domain: d.map(Into::into),
        };
        let cases = [
            ("echo", Some(Target::Echo)),
            ("tone", Some(Target::Tone)),
            ("conference/team", Some(Target::Conference("team".into()))),
            ("live/cam 1", Some(Target::Live("cam 1".into()))),
            (
                "sip:bob@example.com;transport=tcp",
                Some(Target::Sip("sip:bob@example.com;transport=tcp".into())),
            ),
            (
                "SIPS:bob@example.com",
                Some(Target::Sip("SIPS:bob@example.com".into())),
            ),
            (
                "rtmp+play:rtmp://h/a/b",
                Some(Target::Remote("rtmp+play:rtmp://h/a/b".into())),
            ),
            ("RTMP+publish;codec=pcmu:rtmps://u:p@h/a/b", {
                let text = "RTMP+publish;codec=pcmu:rtmps://u:p@h/a/b";
                Some(Target::Remote(text.into()))
            }),
            ("rtmp+publish:", None),
            ("alice", Some(user("alice", None))),
            ("alice@example.com", Some(user("alice", Some("example.com")))),
            ("+1 (555) 010-0000", Some(Target::Number("+15550100000".into()))),
            ("tel:+1-555-0100;ext=3", Some(Target::Number("+15550100".into()))),
            ("1000", Some(Target::Number("1000".into()))),
            ("*98#", Some(Target::Number("*98#".into()))),
            ("conference/", Some(user("conference/", None))),
            ("", None),
            ("  ", None),
            ("a@", None),
            ("@b", None),
            ("sip:", None),
            ("a\r\nb", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Target::parse(text), expected, "{text:?}");
        }
        assert_eq!(Target::parse(&"a".repeat(513)), None);
    }

    #[test]
    fn what_is_shown_holds_no_key() {
        for (target, due) in [
            ("alice@example.com", "alice@example.com"),
            ("sip:bob@h", "sip:bob@h"),
            (
                "rtmp+publish:rtmp://me:word@cdn.test:1936/live/key?auth=1",
                "rtmp+publish:rtmp://cdn.test:1936/live/…",
            ),
            (
                "rtmp+play;codec=aac:rtmps://cdn.test/app/inst/key#more",
                "rtmp+play;codec=aac:rtmps://cdn.test/app/…",
            ),
        ] {
            assert_eq!(shown(target), due);
        }
    }
}
