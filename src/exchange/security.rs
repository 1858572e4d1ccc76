//! How the media of SIP legs is protected: whose policy holds, and which line of a description fits it.

use std::collections::BTreeMap;

use media::{KeySource, SdesLine, SrtpKey, SrtpKeys, Suite};
use sip::sdp::{Attribute, Media, Session};

use super::Exchange;
use super::webrtc::{self, Own};
use crate::config::{Ice, KeysBy, Srtp};
use crate::shard::DtlsParams;

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
    /// How our offers bring keys about.
    pub keys: KeysBy,
    /// What is done about ICE.
    pub ice: Ice,
    /// The hash of our certificate; without it there is no DTLS.
    pub fingerprint: Option<String>,
}

impl Protection {
    /// What holds for a leg; `web` when it is a browser, which knows nothing but DTLS and ICE. A phone that speaks plain
    /// RTP all the same is said to by switching SRTP off.
    pub(super) fn policy(&self, srtp: Srtp, web: bool) -> Policy<'_> {
        let web = web && srtp != Srtp::Off;
        Policy {
            srtp,
            suites: &self.suites,
            keys: self.keys,
            ice: self.ice == Ice::Lite || web,
            fingerprint: self.fingerprint.as_deref(),
            web,
        }
    }
}

/// What holds for one leg.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy<'a> {
    pub(super) srtp: Srtp,
    pub(super) suites: &'a [Suite],
    pub(super) keys: KeysBy,
    pub(super) ice: bool,
    pub(super) fingerprint: Option<&'a str>,
    pub(super) web: bool,
}

impl<'a> Policy<'a> {
    /// Whether we offer keys.
    fn offers(self) -> bool {
        self.web || matches!(self.srtp, Srtp::Prefer | Srtp::Require)
    }

    /// Our certificate, where our offer is to agree on keys by DTLS.
    pub(super) fn offers_dtls(self) -> Option<&'a str> {
        let wanted = self.web || self.offers() && self.keys == KeysBy::Dtls;
        self.fingerprint.filter(|_| wanted)
    }

    /// The transport of an offer: one that knows nothing of keys reads plain RTP when it may (best effort).
    pub(super) fn profile(self) -> &'static str {
        match self.srtp {
            _ if self.web => "UDP/TLS/RTP/SAVPF",
            _ if self.offers_dtls().is_some() => "UDP/TLS/RTP/SAVP",
            Srtp::Require => "RTP/SAVP",
            Srtp::Off | Srtp::Accept | Srtp::Prefer => "RTP/AVP",
        }
    }

    /// Keys of ours for an offer, one for each suite.
    pub(super) fn lines(self, keys: &mut KeySource) -> Vec<SdesLine> {
        let by_line = self.offers() && self.offers_dtls().is_none();
        let suites = self.suites.iter().filter(|_| by_line);
        suites
            .zip(1..)
            .map(|(suite, tag)| SdesLine {
                tag,
                key: SrtpKey::generate(*suite, keys),
            })
            .collect()
    }

    /// How a medium of an offer can be taken.
    pub(super) fn judge(self, session: &Session, medium: &Media) -> Option<Way> {
        let (tls, savp) = (is_tls(&medium.proto), is_savp(&medium.proto));
        if medium.kind != "audio" || medium.port == 0 || !(tls || savp || is_avp(&medium.proto)) {
            return None;
        }
        let may = self.srtp != Srtp::Off;
        let line = lines_of(medium).find(|l| may && !tls && self.suites.contains(&l.key.suite()));
        if let Some(line) = line {
            return Some(Way::Sdes(line));
        }
        if may
            && self.fingerprint.is_some()
            && let Some(dtls) = webrtc::dtls(session, medium)
        {
            return Some(Way::Dtls(dtls));
        }
        let plain = !tls && !savp && self.srtp != Srtp::Require;
        plain.then_some(Way::Plain)
    }

    /// What an answer to our offer settles.
    ///
    /// # Errors
    /// 488 when it leaves out protection that is required, or that its own transport promises.
    pub(super) fn settle(
        self,
        own: &Own,
        session: &Session,
        medium: &Media,
    ) -> Result<(Option<SrtpKeys>, Option<DtlsParams>), u16> {
        if own.dtls {
            let dtls = webrtc::dtls(session, medium).ok_or(488u16)?;
            return Ok((None, Some(dtls)));
        }
        let chosen = lines_of(medium).find_map(|theirs| {
            let same = |o: &&SdesLine| o.tag == theirs.tag && o.key.suite() == theirs.key.suite();
            Some(SrtpKeys {
                send: own.lines.iter().find(same)?.key.clone(),
                receive: theirs.key,
            })
        });
        if chosen.is_none() && (self.srtp == Srtp::Require || is_savp(&medium.proto) || is_tls(&medium.proto))
        {
            return Err(488);
        }
        Ok((chosen, None))
    }
}

/// How a medium is taken.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// As it is.
    Plain,
    /// Protected; this is the peer's key.
    Sdes(SdesLine),
    /// Protected, by keys that a handshake makes.
    Dtls(DtlsParams),
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

/// RFC 5764 §9.
fn is_tls(proto: &str) -> bool {
    proto.eq_ignore_ascii_case("UDP/TLS/RTP/SAVP") || proto.eq_ignore_ascii_case("UDP/TLS/RTP/SAVPF")
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
    const FINGERPRINT: &str = "sha-256 00";
    const KEY: &str = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

    fn session(proto: &str, crypto: &[&str]) -> Session {
        let lines: String = crypto.iter().map(|c| format!("a=crypto:{c} {KEY}\r\n")).collect();
        let text = format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 {proto} 0\r\n{lines}"
        );
        Session::parse(text.as_bytes()).unwrap()
    }

    fn policy(srtp: Srtp) -> Policy<'static> {
        Policy {
            srtp,
            suites: ALL,
            keys: KeysBy::Sdes,
            ice: true,
            fingerprint: Some(FINGERPRINT),
            web: false,
        }
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
            let session = session(proto, crypto);
            let got = [Srtp::Off, Srtp::Accept, Srtp::Prefer, Srtp::Require].map(|p| {
                policy(p)
                    .judge(&session, &session.media[0])
                    .map(|way| matches!(way, Way::Sdes(_)))
            });
            assert_eq!(got, wanted, "{proto} {crypto:?}");
        }
    }

    #[test]
    fn an_answer_is_held_to_what_was_offered() {
        let mut keys = KeySource::new(&[1; 32]);
        let ours = Own {
            lines: policy(Srtp::Prefer).lines(&mut keys),
            ..Own::default()
        };
        assert_eq!(ours.lines.len(), ALL.len());
        let settle = |p, s: &Session| policy(p).settle(&ours, s, &s.media[0]).map(|(srtp, _)| srtp);
        let taken = session("RTP/AVP", &["3 AES_CM_128_HMAC_SHA1_80"]);
        let settled = settle(Srtp::Prefer, &taken).unwrap().unwrap();
        assert_eq!(settled.send, ours.lines[2].key);
        // A tag of ours with a suite it does not have is nobody's.
        let wrong = session("RTP/AVP", &["1 AES_CM_128_HMAC_SHA1_80"]);
        assert_eq!(settle(Srtp::Prefer, &wrong), Ok(None));
        assert_eq!(settle(Srtp::Require, &wrong), Err(488));
        let wrong = session("RTP/SAVP", &["1 AES_CM_128_HMAC_SHA1_80"]);
        assert_eq!(settle(Srtp::Prefer, &wrong), Err(488));
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
