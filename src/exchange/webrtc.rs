//! What browsers add to a description: DTLS and ICE, one port for all (RFC 8829), read and written.

use std::net::SocketAddr;

use media::{Fingerprint, IceCredentials, KeySource, SdesLine};
use sip::sdp::{Attribute, Media, Session};

use super::security;
use crate::shard::{DtlsParams, IceParams, RtpParams};

/// Whether SIP over that transport comes from a browser.
pub(super) fn is_web(transport: sip::Transport) -> bool {
    matches!(transport, sip::Transport::Ws | sip::Transport::Wss)
}

/// The priority of our only candidate: a host's, of the first component (RFC 8445 §5.1.2).
const PRIORITY: u32 = (126 << 24) | (65_535 << 8) | 255;

/// What of a description of ours is our own.
#[derive(Clone, Debug, Default)]
pub(super) struct Own {
    /// The keys in it.
    pub(super) lines: Vec<SdesLine>,
    /// Whether it announces our certificate.
    pub(super) dtls: bool,
    /// The names for checks in it.
    pub(super) ice: Option<IceCredentials>,
}

/// What is written into a medium of ours.
pub(super) struct Dress<'a> {
    pub(super) own: &'a Own,
    /// The hash of our certificate.
    pub(super) fingerprint: Option<&'a str>,
    /// `actpass`, `active` or `passive`.
    pub(super) setup: &'static str,
    /// Where we take RTP.
    pub(super) rtp: SocketAddr,
}

/// How a peer wants keys agreed on, and so which part is ours; `None` when it wants no DTLS or nothing that we can do.
/// Where it leaves the choice to us we let it begin: with ICE it knows first when it can.
pub(super) fn dtls(session: &Session, medium: &Media) -> Option<DtlsParams> {
    let all = values(session, medium, "fingerprint");
    let fingerprint = all.filter_map(Fingerprint::parse).next()?;
    let active = match values(session, medium, "setup").next() {
        Some("passive") => true,
        Some("actpass" | "active") | None => false,
        Some(_) => return None,
    };
    Some(DtlsParams { active, fingerprint })
}

/// The peer's user name fragment, when it makes checks.
pub(super) fn fragment<'a>(session: &'a Session, medium: &'a Media) -> Option<&'a str> {
    values(session, medium, "ice-ufrag").next()
}

/// Our names for checks: those of before while the peer's are, else new ones (RFC 8445 §9: a restart).
pub(super) fn names(theirs: &str, before: Option<&RtpParams>, keys: &mut KeySource) -> IceCredentials {
    let before = before.and_then(|p| p.ice.as_ref());
    match before.filter(|ice| ice.remote.as_deref() == Some(theirs)) {
        Some(ice) => ice.local.clone(),
        None => IceCredentials::generate(keys),
    }
}

/// The parameters that follow from both sides' names.
pub(super) fn ice(own: &Own, session: &Session, medium: &Media) -> Option<IceParams> {
    let remote = fragment(session, medium)?;
    Some(IceParams {
        local: own.ice.clone()?,
        remote: Some(remote.to_owned()),
    })
}

/// Writes what is ours into a medium of our description.
pub(super) fn dress(session: &mut Session, index: usize, dress: &Dress<'_>) {
    let Some(medium) = session.media.get_mut(index) else {
        return;
    };
    let own = dress.own;
    medium.attributes.extend(security::attributes(&own.lines));
    let mut add = |name: &str, value: String| medium.attributes.push(attribute(name, Some(value)));
    if let Some(fingerprint) = dress.fingerprint.filter(|_| own.dtls) {
        add("fingerprint", fingerprint.to_owned());
        add("setup", dress.setup.to_owned());
    }
    let Some(ice) = &own.ice else { return };
    add("ice-ufrag", ice.ufrag.clone());
    add("ice-pwd", ice.password.clone());
    let components = if medium.rtcp_mux { 1..=1 } else { 1..=2 };
    for component in components {
        let priority = PRIORITY + 1 - component;
        let (ip, port) = (dress.rtp.ip(), u32::from(dress.rtp.port()) + component - 1);
        let value = format!("1 {component} UDP {priority} {ip} {port} typ host");
        medium.attributes.push(attribute("candidate", Some(value)));
    }
    session.attributes.push(attribute("ice-lite", None));
}

/// Names our only medium as the offer does, and groups it (RFC 9143 §7.3).
pub(super) fn name_as(session: &mut Session, index: usize, offer: &Session) {
    let Some(mid) = offer.media.get(index).and_then(|m| m.attribute("mid")) else {
        return;
    };
    if let Some(medium) = session.media.get_mut(index) {
        medium.attributes.push(attribute("mid", Some(mid.to_owned())));
    }
    let bundle =
        |value: &str| value.split(' ').next() == Some("BUNDLE") && value.split(' ').any(|m| m == mid);
    let groups = offer.attributes.iter().filter(|a| a.name == "group");
    if groups.filter_map(|a| a.value.as_deref()).any(bundle) {
        session
            .attributes
            .push(attribute("group", Some(format!("BUNDLE {mid}"))));
    }
}

/// The same for an offer of ours.
pub(super) fn name(session: &mut Session) {
    for medium in &mut session.media {
        medium.attributes.push(attribute("mid", Some("0".to_owned())));
    }
    session
        .attributes
        .push(attribute("group", Some("BUNDLE 0".to_owned())));
}

fn attribute(name: &str, value: Option<String>) -> Attribute {
    Attribute {
        name: name.to_owned(),
        value,
    }
}

/// The values of an attribute of a medium, else of the session.
fn values<'a>(session: &'a Session, medium: &'a Media, name: &'a str) -> impl Iterator<Item = &'a str> {
    let own = medium.attributes.iter().any(|a| a.name == name);
    let list = if own {
        &medium.attributes
    } else {
        &session.attributes
    };
    list.iter()
        .filter(move |a| a.name == name)
        .filter_map(|a| a.value.as_deref())
}
