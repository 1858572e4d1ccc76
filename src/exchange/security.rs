//! How the media of SIP legs is protected: whose policy holds, and which line of a description fits it.

use std::collections::BTreeMap;

use media::{KeySource, SdesLine, SrtpKey, SrtpKeys, Suite};
use sip::sdp::{Attribute, Media};

use super::Exchange;
use crate::config::Srtp;

/// The policies for SRTP.
#[derive(Clone, Debug)]
pub struct Protection {
    /// Where nothing else is said.
    pub default: Srtp,
    /// Of single users.
    pub users: BTreeMap<String, Srtp>,
    /// Of single trunks.
    pub trunks: BTreeMap<String, Srtp>,
    /// What is offered and taken, best first.
    pub suites: Vec<Suite>,
}

impl Protection {
    pub(super) fn policy(&self, srtp: Srtp) -> Policy<'_> {
        Policy {
            srtp,
            suites: &self.suites,
        }
    }
}

/// What holds for one leg.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy<'a> {
    pub(super) srtp: Srtp,
    pub(super) suites: &'a [Suite],
}

impl Policy<'_> {
    /// Whether we offer keys.
    pub(super) fn offers(self) -> bool {
        matches!(self.srtp, Srtp::Prefer | Srtp::Require)
    }

    /// The transport of an offer: one that knows nothing of keys reads plain RTP when it may (best effort).
    pub(super) fn profile(self) -> &'static str {
        match self.srtp {
            Srtp::Require => "RTP/SAVP",
            Srtp::Off | Srtp::Accept | Srtp::Prefer => "RTP/AVP",
        }
    }

    /// Keys of ours for an offer, one for each suite.
    pub(super) fn lines(self, keys: &mut KeySource) -> Vec<SdesLine> {
        let suites = self.suites.iter().filter(|_| self.offers());
        suites
            .zip(1..)
            .map(|(suite, tag)| SdesLine {
                tag,
                key: SrtpKey::generate(*suite, keys),
            })
            .collect()
    }

    /// How a medium of an offer can be taken.
    pub(super) fn judge(self, medium: &Media) -> Option<Way> {
        let secure = is_savp(&medium.proto);
        if medium.kind != "audio" || medium.port == 0 || !(secure || is_avp(&medium.proto)) {
            return None;
        }
        let line = lines_of(medium).find(|l| self.srtp != Srtp::Off && self.suites.contains(&l.key.suite()));
        match line {
            Some(line) => Some(Way::Sdes(line)),
            None if secure || self.srtp == Srtp::Require => None,
            None => Some(Way::Plain),
        }
    }

    /// What an answer to an offer with these lines of ours settles.
    ///
    /// # Errors
    /// 488 when it leaves out protection that is required, or that its own transport promises.
    pub(super) fn settle(self, ours: &[SdesLine], medium: &Media) -> Result<Option<SrtpKeys>, u16> {
        let chosen = lines_of(medium).find_map(|theirs| {
            let same = |o: &&SdesLine| o.tag == theirs.tag && o.key.suite() == theirs.key.suite();
            Some(SrtpKeys {
                send: ours.iter().find(same)?.key.clone(),
                receive: theirs.key,
            })
        });
        if chosen.is_none() && (self.srtp == Srtp::Require || is_savp(&medium.proto)) {
            return Err(488);
        }
        Ok(chosen)
    }
}

/// How a medium is taken.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// As it is.
    Plain,
    /// Protected; this is the peer's key.
    Sdes(SdesLine),
}

/// Our answer to a key of the peer: the key of before while the peer's is that of before, else a new one, so that
/// both sides begin to count anew.
pub(super) fn reply(line: SdesLine, before: Option<&SrtpKeys>, keys: &mut KeySource) -> (SdesLine, SrtpKeys) {
    let send = match before {
        Some(before) if before.receive == line.key => before.send.clone(),
        _ => SrtpKey::generate(line.key.suite(), keys),
    };
    let ours = SdesLine {
        tag: line.tag,
        key: send.clone(),
    };
    let keys = SrtpKeys {
        send,
        receive: line.key,
    };
    (ours, keys)
}

/// Lines of ours as attributes.
pub(super) fn attributes(lines: &[SdesLine]) -> impl Iterator<Item = Attribute> {
    lines.iter().map(|line| Attribute {
        name: "crypto".to_owned(),
        value: Some(line.write()),
    })
}

/// The keys of a medium that we understand, the writer's first choice first.
fn lines_of(medium: &Media) -> impl Iterator<Item = SdesLine> {
    let crypto = medium.attributes.iter().filter(|a| a.name == "crypto");
    crypto.filter_map(|a| SdesLine::parse(a.value.as_deref()?))
}

/// Feedback profiles are answered in kind; nothing obliges us to send feedback.
fn is_savp(proto: &str) -> bool {
    proto.eq_ignore_ascii_case("RTP/SAVP") || proto.eq_ignore_ascii_case("RTP/SAVPF")
}

fn is_avp(proto: &str) -> bool {
    proto.eq_ignore_ascii_case("RTP/AVP") || proto.eq_ignore_ascii_case("RTP/AVPF")
}

impl Exchange {
    /// The policy for a party: that of its trunk, of its account, or the common one.
    pub(super) fn srtp_for(&self, trunk: Option<&str>, user: Option<&str>) -> Srtp {
        let protection = &self.settings.protection;
        let own = trunk.and_then(|t| protection.trunks.get(t));
        let own = own.or_else(|| protection.users.get(user?));
        own.copied().unwrap_or(protection.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip::sdp::Session;

    const ALL: &[Suite] = &Suite::ALL;
    const KEY: &str = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

    fn medium(proto: &str, crypto: &[&str]) -> Media {
        let lines: String = crypto.iter().map(|c| format!("a=crypto:{c} {KEY}\r\n")).collect();
        let text = format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 {proto} 0\r\n{lines}"
        );
        Session::parse(text.as_bytes()).unwrap().media.remove(0)
    }

    fn policy(srtp: Srtp) -> Policy<'static> {
        Policy { srtp, suites: ALL }
    }

    #[test]
    fn each_policy_takes_what_it_says() {
        let known = &["1 F8_128_HMAC_SHA1_80", "2 AES_CM_128_HMAC_SHA1_80"][..];
        // Transport, keys; and for off, accept, prefer, require: refused, plain or protected.
        type Case<'a> = (&'a str, &'a [&'a str], [Option<bool>; 4]);
        let cases: [Case<'_>; 5] = [
            ("RTP/AVP", &[], [Some(false), Some(false), Some(false), None]),
            (
                "RTP/AVP",
                known,
                [Some(false), Some(true), Some(true), Some(true)],
            ),
            ("RTP/SAVP", known, [None, Some(true), Some(true), Some(true)]),
            ("RTP/SAVPF", known, [None, Some(true), Some(true), Some(true)]),
            ("RTP/SAVP", &["1 F8_128_HMAC_SHA1_80"], [None; 4]),
        ];
        for (proto, crypto, wanted) in cases {
            let medium = medium(proto, crypto);
            let got = [Srtp::Off, Srtp::Accept, Srtp::Prefer, Srtp::Require]
                .map(|p| policy(p).judge(&medium).map(|way| matches!(way, Way::Sdes(_))));
            assert_eq!(got, wanted, "{proto} {crypto:?}");
        }
    }

    #[test]
    fn an_answer_is_held_to_what_was_offered() {
        let mut keys = KeySource::new(&[1; 32]);
        let ours = policy(Srtp::Prefer).lines(&mut keys);
        assert_eq!(ours.len(), 3);
        let taken = medium("RTP/AVP", &["2 AES_CM_128_HMAC_SHA1_80"]);
        let settled = policy(Srtp::Prefer).settle(&ours, &taken).unwrap().unwrap();
        assert_eq!(settled.send, ours[1].key);
        // A tag of ours with a suite it does not have is nobody's.
        let wrong = medium("RTP/AVP", &["1 AES_CM_128_HMAC_SHA1_80"]);
        assert_eq!(policy(Srtp::Prefer).settle(&ours, &wrong), Ok(None));
        assert_eq!(policy(Srtp::Require).settle(&ours, &wrong), Err(488));
        let wrong = medium("RTP/SAVP", &["1 AES_CM_128_HMAC_SHA1_80"]);
        assert_eq!(policy(Srtp::Prefer).settle(&ours, &wrong), Err(488));
    }

    #[test]
    fn our_key_changes_with_the_peers_and_not_otherwise() {
        let mut keys = KeySource::new(&[1; 32]);
        let line = |n: u8| SdesLine {
            tag: 5,
            key: SrtpKey::generate(Suite::AeadAes128Gcm, &mut KeySource::new(&[n; 32])),
        };
        let (ours, first) = reply(line(2), None, &mut keys);
        assert_eq!((ours.tag, &ours.key), (5, &first.send));
        let (_, again) = reply(line(2), Some(&first), &mut keys);
        assert_eq!(again, first);
        let (_, other) = reply(line(3), Some(&first), &mut keys);
        assert_ne!(other.send, first.send);
    }
}
