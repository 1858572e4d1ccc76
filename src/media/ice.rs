//! ICE in its light form (RFC 8445 §2.5): we answer checks, and send where a check told us to.

use std::net::SocketAddr;

use crate::KeySource;
use crate::stun::{StunAnswer, StunRequest};

/// The characters of user names and passwords (RFC 8445 §5.3); 64, so that each takes six bits.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// User name fragment and password of one side.
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// `a=ice-ufrag`.
    pub ufrag: String,
    /// `a=ice-pwd`.
    pub password: String,
}

impl std::fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IceCredentials({}, ***)", self.ufrag)
    }
}

impl IceCredentials {
    /// New ones: 48 and 144 bits of chance (RFC 8445 §5.3 wants 24 and 128).
    pub fn generate(source: &mut KeySource) -> IceCredentials {
        let mut text = |len: usize| {
            let mut bytes = [0; 24];
            source.fill(&mut bytes);
            let letters = bytes.iter().take(len);
            letters
                .filter_map(|b| ALPHABET.get(usize::from(b & 63)).copied())
                .map(char::from)
                .collect()
        };
        IceCredentials {
            ufrag: text(8),
            password: text(24),
        }
    }
}

/// What became of a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Check {
    /// It was not made with our password, or is no check: no answer.
    Ignored,
    /// It is answered.
    Answered,
    /// It is answered, and the peer wants media to go to where it came from.
    Nominated,
}

/// The light agent of one component.
#[derive(Clone, Debug)]
pub struct IceLite {
    local: IceCredentials,
    /// The peer's fragment, if it is known.
    remote: Option<String>,
}

impl IceLite {
    /// An agent with these credentials of ours, and of the peer's its user name fragment.
    pub fn new(local: IceCredentials, remote: Option<String>) -> IceLite {
        IceLite { local, remote }
    }

    /// A datagram that may be a check came from there: the answer is written to `out`.
    pub fn handle_input(&self, from: SocketAddr, datagram: &[u8], out: &mut Vec<u8>) -> Check {
        let Some(request) = StunRequest::parse(datagram) else {
            return Check::Ignored;
        };
        let names = request.username.split_once(':');
        let known = names.is_some_and(|(ours, theirs)| {
            ours == self.local.ufrag && self.remote.as_ref().is_none_or(|r| r == theirs)
        });
        // No answer to a stranger: it would learn that somebody is here, and others could be made its target.
        if !known || !request.is_authentic(&self.local.password) {
            return Check::Ignored;
        }
        let (answer, check) = match request.unknown {
            Some(kind) => (StunAnswer::Unknown(kind), Check::Answered),
            None if request.controlled => (StunAnswer::RoleConflict, Check::Answered),
            None if request.use_candidate => (StunAnswer::Success(from), Check::Nominated),
            None => (StunAnswer::Success(from), Check::Answered),
        };
        request.answer(answer, &self.local.password, out);
        check
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stun::testing;

    fn agent() -> IceLite {
        let local = IceCredentials {
            ufrag: "ours".to_owned(),
            password: "a password of ours".to_owned(),
        };
        IceLite::new(local, Some("them".to_owned()))
    }

    #[test]
    fn checks_are_answered_and_strangers_are_not() {
        let from = "192.0.2.9:4000".parse().unwrap();
        let mut out = Vec::new();
        let mut check = |user: &str, password: &str, attributes: &[(u16, &[u8])]| {
            let request = testing::request(user, password, attributes);
            agent().handle_input(from, &request, &mut out)
        };
        let right = "a password of ours";
        let controlling: (u16, &[u8]) = (0x802A, &[7; 8]);
        assert_eq!(check("ours:them", right, &[controlling]), Check::Answered);
        assert_eq!(
            check("ours:them", right, &[controlling, (0x25, &[])]),
            Check::Nominated
        );
        assert_eq!(check("ours:them", right, &[(0x8029, &[7; 8])]), Check::Answered);
        assert_eq!(
            check("ours:them", right, &[(0x25, &[]), (0x77, &[1])]),
            Check::Answered
        );
        assert_eq!(check("ours:them", "guessed", &[(0x25, &[])]), Check::Ignored);
        assert_eq!(check("ours:others", right, &[(0x25, &[])]), Check::Ignored);
        assert_eq!(check("ours", right, &[(0x25, &[])]), Check::Ignored);
    }

    #[test]
    fn credentials_are_long_and_differ() {
        let mut source = KeySource::new(&[1; 32]);
        let (a, b) = (
            IceCredentials::generate(&mut source),
            IceCredentials::generate(&mut source),
        );
        assert_eq!((a.ufrag.len(), a.password.len()), (8, 24));
        assert_ne!(a, b);
        assert!(!format!("{a:?}").contains(&a.password));
    }
}
