//! Between session descriptions and RTP parameters: the one place that knows both SDP and the codec table.

use std::net::{IpAddr, SocketAddr};

use call::{Audio, pick_answer};
use codecs::CodecId;
use media::{IceCredentials, KeySource};
use sip::Body;
use sip::sdp::{self, Agreed, Capability, Direction, Media, Prefer, Session};

use super::security::{self, Policy, Way};
use super::webrtc::{self, Dress, Own};
use crate::shard::RtpParams;

/// The dynamic payload types we offer: those that other gateways use for the same formats.
const FIRST_DYNAMIC: u8 = 96;
const EVENT: u8 = 101;

/// A peer's description.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    session: Session,
}

/// Ours, as sent, with what is behind it.
#[derive(Clone, Debug)]
pub(super) struct Local {
    part: sdp::Local,
    capabilities: Vec<Capability>,
    /// The codec of each capability; `None` for telephone-event.
    codecs: Vec<Option<CodecId>>,
    session: Session,
    own: Own,
}

/// What our side of a description is made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The session's identifier, the same for the life of the leg.
    pub(super) id: u64,
    /// The address and RTP port the peer is to send to.
    pub(super) rtp: SocketAddr,
    /// Which way media may flow.
    pub(super) direction: Direction,
    /// Audio in a packet unless the peer asks for other, ms.
    pub(super) ptime_ms: u32,
    /// Whether digits go as telephone-events.
    pub(super) dtmf: bool,
}

impl Remote {
    /// Reads a body.
    ///
    /// # Errors
    /// The SIP status to answer with: 415 for another kind of body, 400 for one that cannot be read.
    pub(super) fn read(body: &Body) -> Result<Remote, u16> {
        let kind = body.content_type.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/sdp") {
            return Err(415);
        }
        Session::parse(&body.data)
            .map(|session| Remote { session })
            .map_err(|_| 400)
    }

    /// The codecs it names, of those we have, in its order.
    pub(super) fn codecs(&self) -> Vec<CodecId> {
        let audio = self.session.first("audio");
        audio.map(|(_, media)| codecs_of(media)).unwrap_or_default()
    }

    /// Whether some medium of it can be taken under that policy.
    pub(super) fn fits(&self, policy: Policy<'_>) -> bool {
        let mut media = self.session.media.iter();
        media.any(|m| policy.judge(&self.session, m).is_some())
    }
}

impl Local {
    /// An offer of these codecs in this order.
    pub(super) fn offer(place: Place, order: &[CodecId], policy: Policy<'_>, keys: &mut KeySource) -> Local {
        let (capabilities, codecs) = capabilities(order, place.dtmf);
        let part = place.part(policy.web);
        let mut session = sdp::offer(&part, &capabilities);
        let own = Own {
            lines: policy.lines(keys),
            dtls: policy.offers_dtls().is_some(),
            ice: policy.web.then(|| IceCredentials::generate(keys)),
        };
        for media in &mut session.media {
            policy.profile().clone_into(&mut media.proto);
        }
        let dress = Dress {
            own: &own,
            fingerprint: policy.offers_dtls(),
            setup: "actpass",
            rtp: place.rtp,
        };
        webrtc::dress(&mut session, 0, &dress);
        if policy.web {
            webrtc::name(&mut session);
        }
        Local {
            part,
            capabilities,
            codecs,
            session,
            own,
        }
    }

    /// The answer to an offer: the codec that spares transcoding toward the other leg, else the offerer's
    /// first that we have. A protected medium goes before a plain one.
    ///
    /// # Errors
    /// 488 when nothing is in common.
    pub(super) fn answer(
        remote: &Remote,
        place: Place,
        wish: Wish<'_>,
        keys: &mut KeySource,
    ) -> Result<(Local, RtpParams), u16> {
        let media = remote.session.media.iter().enumerate();
        let mut ways: Vec<_> = media
            .filter_map(|(index, m)| Some((index, m, wish.policy.judge(&remote.session, m)?)))
            .collect();
        ways.sort_by_key(|(_, _, way)| matches!(way, Way::Plain));
        let picked = ways.into_iter().find_map(|(index, medium, way)| {
            let codec = pick_answer(&codecs_of(medium), wish.codecs, wish.other)?;
            Some((index, medium, way, codec))
        });
        let (index, theirs, way, picked) = picked.ok_or(488u16)?;
        let mut order = vec![picked];
        order.extend(wish.codecs.iter().filter(|c| **c != picked));
        let (capabilities, codecs) = capabilities(&order, place.dtmf);
        let part = place.part(true);
        let answer = sdp::answer_at(&remote.session, index, &part, &capabilities, Prefer::Ours);
        let mut answer = answer.map_err(|_| 488u16)?;
        let mut params = params(&answer.agreed, &codecs).ok_or(488u16)?;
        let mut own = Own::default();
        let mut setup = "passive";
        match way {
            Way::Plain => {}
            Way::Sdes(line) => {
                let before = wish.before.and_then(|p| p.srtp.as_ref());
                let (ours, settled) = security::reply(line, before, keys);
                own.lines.push(ours);
                params.srtp = Some(settled);
            }
            Way::Dtls(mut dtls) => {
                // An association that stands goes on with the same parts (RFC 8842 §5.3).
                let standing = wish.before.and_then(|p| p.dtls.as_ref());
                if let Some(standing) = standing.filter(|s| s.fingerprint == dtls.fingerprint) {
                    dtls.active = standing.active;
                }
                own.dtls = true;
                setup = if dtls.active { "active" } else { "passive" };
                params.dtls = Some(dtls);
            }
        }
        let fragment = webrtc::fragment(&remote.session, theirs).filter(|_| wish.policy.ice);
        own.ice = fragment.map(|theirs| webrtc::names(theirs, wish.before, keys));
        checked(&mut params, &own, &remote.session, theirs, &answer.agreed);
        let dress = Dress {
            own: &own,
            fingerprint: wish.policy.fingerprint,
            setup,
            rtp: place.rtp,
        };
        webrtc::dress(&mut answer.session, index, &dress);
        webrtc::name_as(&mut answer.session, index, &remote.session);
        Ok((
            Local {
                part,
                capabilities,
                codecs,
                session: answer.session,
                own,
            },
            params,
        ))
    }

    /// What the peer's answer to this offer settles.
    ///
    /// # Errors
    /// 488 when it refuses, names nothing that was offered, or leaves out protection that the policy requires.
    pub(super) fn accept(&self, remote: &Remote, policy: Policy<'_>) -> Result<RtpParams, u16> {
        let agreed = sdp::accept(&self.session, &remote.session, &self.part, &self.capabilities)
            .map_err(|_| 488u16)?;
        let mut params = params(&agreed, &self.codecs).ok_or(488u16)?;
        let medium = remote.session.media.get(agreed.index).ok_or(488u16)?;
        (params.srtp, params.dtls) = policy.settle(&self.own, &remote.session, medium)?;
        checked(&mut params, &self.own, &remote.session, medium, &agreed);
        Ok(params)
    }

    /// The description that comes after this one in the same dialog: its version counts on when it differs.
    pub(super) fn followed_by(&self, next: Local) -> Local {
        Local {
            session: next.session.follow(&self.session),
            ..next
        }
    }

    /// The same session with media flowing another way, as the next offer.
    pub(super) fn redirected(&self, direction: Direction) -> Local {
        let mut next = self.clone();
        next.part.direction = direction;
        let audio = next
            .session
            .media
            .iter_mut()
            .find(|m| m.kind == "audio" && m.port != 0);
        if let Some(audio) = audio {
            audio.direction = direction;
        }
        self.followed_by(next)
    }

    pub(super) fn to_body(&self) -> Body {
        Body::sdp(self.session.to_bytes())
    }
}

/// What decides an answer beside the offer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish<'a> {
    /// Our codecs, best first.
    pub(super) codecs: &'a [CodecId],
    /// What the other leg sends and takes.
    pub(super) other: &'a Audio,
    /// How media may be protected.
    pub(super) policy: Policy<'a>,
    /// What is in use.
    pub(super) before: Option<&'a RtpParams>,
}

/// With ICE checks say where media goes: that a description names no address is no hold.
fn checked(params: &mut RtpParams, own: &Own, session: &Session, medium: &Media, agreed: &Agreed) {
    params.ice = webrtc::ice(own, session, medium);
    if params.ice.is_some() {
        params.sending = agreed.direction.sends();
    }
}

/// The codecs that a medium names, of those we have, in its order.
fn codecs_of(media: &Media) -> Vec<CodecId> {
    let formats = media.formats.iter();
    formats
        .filter_map(|f| codecs::by_rtp(&f.name, f.clock, f.channels))
        .collect()
}

impl Place {
    fn part(self, rtcp_mux: bool) -> sdp::Local {
        sdp::Local {
            id: self.id,
            address: self.rtp.ip(),
            port: self.rtp.port(),
            rtcp_port: None,
            rtcp_mux,
            direction: self.direction,
            ptime: Some(self.ptime_ms),
        }
    }
}

/// The codecs as SDP names them, and telephone-event at each of their clocks (RFC 4733 §2.1) and at the one that
/// every phone has.
fn capabilities(order: &[CodecId], dtmf: bool) -> (Vec<Capability>, Vec<Option<CodecId>>) {
    let mut capabilities = Vec::new();
    let mut behind = Vec::new();
    let mut clocks = vec![sdp::EVENT_CLOCK];
    for (n, id) in order.iter().enumerate() {
        let row = codecs::codec(*id);
        let dynamic = FIRST_DYNAMIC + u8::try_from(n).unwrap_or(0).min(4);
        let mut capability =
            Capability::new(row.rtp_name, row.rtp_clock, dynamic).with_channels(row.rtp_channels);
        capability.static_pt = row.static_pt;
        if let Some(fmtp) = row.fmtp {
            capability = capability.with_fmtp(fmtp);
        }
        capabilities.push(capability);
        behind.push(Some(*id));
        if !clocks.contains(&row.rtp_clock) {
            clocks.push(row.rtp_clock);
        }
    }
    // 8 kHz takes the number that everybody expects.
    clocks.sort_unstable();
    for (n, clock) in clocks.iter().enumerate().filter(|_| dtmf) {
        let event = Capability::new("telephone-event", *clock, EVENT + u8::try_from(n).unwrap_or(0))
            .with_fmtp("0-15");
        capabilities.push(event);
        behind.push(None);
    }
    (capabilities, behind)
}

fn params(agreed: &Agreed, behind: &[Option<CodecId>]) -> Option<RtpParams> {
    let codec = behind.get(agreed.capability).copied().flatten()?;
    // A held party has no address to send to; its port is kept for the resume.
    let remote = agreed.remote.as_ref().and_then(sip::Host::ip);
    let ip = remote.unwrap_or(IpAddr::from([0, 0, 0, 0]));
    let mut receive = vec![(agreed.receive_pt, codec)];
    for other in &agreed.others {
        if let Some(id) = codecs::by_rtp(&other.name, other.clock, other.channels) {
            receive.push((other.pt, id));
        }
    }
    let rtcp_ip = agreed.remote_rtcp.as_ref().and_then(sip::Host::ip).unwrap_or(ip);
    Some(RtpParams {
        remote: SocketAddr::new(ip, agreed.remote_port),
        rtcp: remote.map(|_| SocketAddr::new(rtcp_ip, agreed.remote_rtcp_port)),
        send: (agreed.format.pt, codec),
        receive,
        dtmf: agreed
            .event_pt
            .zip(agreed.receive_event_pt)
            .map(|(pt, _)| (pt, agreed.event_clock)),
        dtmf_receive: agreed.receive_event_pt,
        sending: agreed.direction.sends() && remote.is_some(),
        receiving: agreed.direction.receives(),
        ptime_ms: agreed.ptime,
        srtp: None,
        dtls: None,
        ice: None,
        rtcp_mux: agreed.rtcp_mux,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{KeysBy, Srtp};
    use CodecId::{Pcma, Pcmu, SpeexWb};
    use media::Suite;

    const POLICY: Policy<'static> = Policy {
        srtp: Srtp::Accept,
        suites: &Suite::ALL,
        keys: KeysBy::Sdes,
        ice: true,
        fingerprint: Some("sha-256 AB:CD"),
        web: false,
    };

    fn keys() -> KeySource {
        KeySource::new(&[3; 32])
    }

    fn answer(remote: &Remote, codecs: &[CodecId], other: &Audio) -> Result<(Local, RtpParams), u16> {
        let wish = Wish {
            codecs,
            other,
            policy: POLICY,
            before: None,
        };
        Local::answer(remote, place(), wish, &mut keys())
    }

    fn place() -> Place {
        Place {
            id: 7,
            rtp: "192.0.2.1:20000".parse().unwrap(),
            direction: Direction::SendRecv,
            ptime_ms: 20,
            dtmf: true,
        }
    }

    fn remote(formats: &str, lines: &str) -> Remote {
        let text = format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP {formats}\r\n{lines}"
        );
        Remote::read(&Body::sdp(text.into_bytes())).unwrap()
    }

    #[test]
    fn an_offer_and_its_answer_settle_the_codec() {
        let local = Local::offer(place(), &[SpeexWb, Pcmu], POLICY, &mut keys());
        let text = String::from_utf8(local.session.to_bytes()).unwrap();
        assert!(text.contains("m=audio 20000 RTP/AVP 96 0 101"), "{text}");
        let params = local
            .accept(&remote("0 101", "a=rtpmap:101 telephone-event/8000\r\n"), POLICY)
            .unwrap();
        assert_eq!(params.send, (0, Pcmu));
        assert_eq!(params.dtmf, Some((101, 8_000)));
        assert_eq!(params.remote, "192.0.2.9:4000".parse().unwrap());
        assert_eq!(params.rtcp, Some("192.0.2.9:4001".parse().unwrap()));
        assert!(params.sending && params.receiving);
    }

    #[test]
    fn an_answer_spares_transcoding_and_keeps_the_numbers() {
        let offer = remote("8 120 0", "a=rtpmap:120 speex/16000\r\n");
        let flash = Audio {
            takes: vec![],
            sends: Some(SpeexWb),
        };
        let (local, params) = answer(&offer, &[SpeexWb, Pcmu, Pcma], &flash).unwrap();
        assert_eq!(params.send, (120, SpeexWb));
        let text = String::from_utf8(local.session.to_bytes()).unwrap();
        assert!(text.contains("m=audio 20000 RTP/AVP 120"), "{text}");
        let (_, params) = answer(&offer, &[SpeexWb, Pcmu, Pcma], &Audio::default()).unwrap();
        assert_eq!(params.send, (8, Pcma));
        assert_eq!(
            answer(&remote("18", ""), &[Pcmu], &Audio::default()).unwrap_err(),
            488
        );
    }

    #[test]
    fn hold_stops_our_sending_and_a_new_version_says_so() {
        let (first, _) = answer(&remote("0", ""), &[Pcmu], &Audio::default()).unwrap();
        let (held, params) = answer(&remote("0", "a=sendonly\r\n"), &[Pcmu], &Audio::default()).unwrap();
        assert!(!params.sending && params.receiving);
        let next = first.followed_by(held);
        assert_eq!(next.session.origin.version, first.session.origin.version + 1);
        assert!(
            String::from_utf8(next.session.to_bytes())
                .unwrap()
                .contains("a=recvonly")
        );
        let (_, params) = answer(&remote("0", "c=IN IP4 0.0.0.0\r\n"), &[Pcmu], &Audio::default()).unwrap();
        assert!(!params.sending);
    }

    #[test]
    fn keys_are_offered_answered_and_settled() {
        let key = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
        let line = format!("a=crypto:7 AES_CM_128_HMAC_SHA1_80 {key}\r\n");
        let (local, params) = answer(&remote("0", &line), &[Pcmu], &Audio::default()).unwrap();
        let text = String::from_utf8(local.session.to_bytes()).unwrap();
        assert!(
            text.contains("a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:"),
            "{text}"
        );
        assert!(!text.contains(key), "{text}");
        assert_eq!(params.srtp.unwrap().send.suite(), Suite::AesCm128HmacSha1_80);
        // Of a protected and a plain line the first is taken.
        let two = format!("m=audio 4002 RTP/SAVP 0\r\n{line}");
        let (local, params) = answer(&remote("0", &two), &[Pcmu], &Audio::default()).unwrap();
        assert_eq!(params.remote.port(), 4_002);
        let ports: Vec<u16> = local.session.media.iter().map(|m| m.port).collect();
        assert_eq!(ports, [0, 20_000]);
        let require = Policy {
            srtp: Srtp::Require,
            ..POLICY
        };
        let offer = Local::offer(place(), &[Pcmu], require, &mut keys());
        let text = String::from_utf8(offer.session.to_bytes()).unwrap();
        assert!(
            text.contains("RTP/SAVP 0 101") && text.matches("a=crypto:").count() == 4,
            "{text}"
        );
        assert_eq!(offer.accept(&remote("0", ""), require), Err(488));
    }

    /// The audio of a browser's offer, shortened.
    fn browser() -> Remote {
        let digits = ["AB"; 32].join(":");
        let text = format!(
            "v=0\r\no=- 4 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
             m=audio 9 UDP/TLS/RTP/SAVPF 111 0 110\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n\
             a=ice-ufrag:Ab+/\r\na=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 {digits}\r\n\
             a=setup:actpass\r\na=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n\
             a=rtpmap:110 telephone-event/48000\r\n"
        );
        Remote::read(&Body::sdp(text.into_bytes())).unwrap()
    }

    #[test]
    fn a_browser_gets_the_answer_it_wants() {
        let (local, params) = answer(&browser(), &[CodecId::Opus, Pcmu], &Audio::default()).unwrap();
        let text = String::from_utf8(local.session.to_bytes()).unwrap();
        for line in [
            "a=ice-lite",
            "a=group:BUNDLE 0",
            "m=audio 20000 UDP/TLS/RTP/SAVPF 111 110",
            "a=rtcp-mux",
            "a=fingerprint:sha-256 AB:CD",
            "a=setup:passive",
            "a=mid:0",
            "a=candidate:1 1 UDP 2130706431 192.0.2.1 20000 typ host",
            "a=sendrecv",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in {text}");
        }
        assert!(!text.contains("candidate:1 2"), "{text}");
        assert!(params.sending && params.receiving && params.rtcp_mux && params.srtp.is_none());
        assert!(!params.dtls.as_ref().unwrap().active);
        let ice = params.ice.clone().unwrap();
        assert_eq!(ice.remote.as_deref(), Some("Ab+/"));
        assert!(text.contains(&format!("a=ice-ufrag:{}", ice.local.ufrag)));
        // Asked again the names stay: other names would be a restart.
        let wish = Wish {
            codecs: &[CodecId::Opus],
            other: &Audio::default(),
            policy: POLICY,
            before: Some(&params),
        };
        let (_, again) = Local::answer(&browser(), place(), wish, &mut keys()).unwrap();
        assert_eq!((again.ice, again.dtls), (params.ice, params.dtls));
    }

    #[test]
    fn a_browser_is_offered_what_it_can_answer() {
        let web = Policy { web: true, ..POLICY };
        let local = Local::offer(place(), &[CodecId::Opus], web, &mut keys());
        let text = String::from_utf8(local.session.to_bytes()).unwrap();
        assert!(
            text.contains("UDP/TLS/RTP/SAVPF") && text.contains("a=setup:actpass"),
            "{text}"
        );
        let params = local.accept(&browser(), web).unwrap();
        assert!(params.ice.is_some() && params.dtls.is_some() && params.rtcp_mux);
        assert_eq!(
            local.accept(&remote("96", "a=rtpmap:96 opus/48000/2\r\n"), web),
            Err(488)
        );
    }

    #[test]
    fn other_bodies_and_garbage_get_their_status() {
        let other = Body {
            content_type: "text/plain".into(),
            data: vec![],
        };
        assert_eq!(Remote::read(&other).unwrap_err(), 415);
        assert_eq!(Remote::read(&Body::sdp(b"hello".to_vec())).unwrap_err(), 400);
    }
}
