//! Redirection: a callee that says where it is to be found instead (RFC 3261 §8.1.3.4).

use base::{LegId, Time};
use call::CallState;
use sip::{Headers, Uri};

use super::dial::{Callee, SipCallee};
use super::{Exchange, Kind};

/// Redirections that one call follows, and places that one of them may name.
const REDIRECTIONS: usize = 5;
const PLACES: usize = 4;

impl Exchange {
    /// A SIP callee answered 3xx: those it names are rung in its place. It stays for the caller to decide
    /// when they are unusable.
    pub(super) fn follow(&mut self, now: Time, leg: LegId, headers: &Headers) {
        let Some(id) = self.legs.get(&leg).and_then(|l| l.call) else {
            return;
        };
        let Some(Kind::Sip(sip)) = self.legs.get(&leg).map(|l| &l.kind) else {
            return;
        };
        let Some(from) = sip.callee.clone() else { return };
        let Some(entry) = self.calls.get_mut(&id) else {
            return;
        };
        if !matches!(entry.call.state(), CallState::Dialling | CallState::Ringing) {
            return;
        }
        entry.tried.push(from.target.clone());
        let places = headers.contacts().unwrap_or_default();
        let mut next: Vec<Callee> = Vec::new();
        for place in places.into_iter().take(PLACES) {
            let mut uri = place.uri;
            uri.strip_for_request();
            let Some(entry) = self.calls.get_mut(&id) else {
                return;
            };
            if !uri.is_sip()
                || entry.tried.len() > REDIRECTIONS
                || entry.tried.iter().any(|t| t.matches(&uri))
            {
                continue;
            }
            entry.tried.push(uri.clone());
            if self.is_ours(&uri) {
                // As if a stranger had dialled it: no trunk is reached this way.
                let found = self.resolve_uri(now, &uri, None);
                next.extend(found.into_iter().flat_map(|callees| callees.ring));
            } else {
                next.push(Callee::Sip(Box::new(elsewhere(&from, uri))));
            }
        }
        tracing::info!(call = %id, %leg, places = next.len(), "the callee redirects the call");
        self.ring_all(now, id, next);
    }
}

/// The callee a redirection names: what belongs to the redirecting server, its proxy and our credentials there,
/// goes along only when the server stays the same.
fn elsewhere(from: &SipCallee, target: Uri) -> SipCallee {
    let same = from.target.host().matches(target.host());
    SipCallee {
        route: if same { from.route.clone() } else { Vec::new() },
        credentials: from.credentials.clone().filter(|_| same),
        from: from.from.clone(),
        trunk: from.trunk.clone().filter(|_| same),
        gateway: from.gateway.filter(|_| same),
        headers: if same { from.headers.clone() } else { Vec::new() },
        ..SipCallee::new(target)
    }
}
