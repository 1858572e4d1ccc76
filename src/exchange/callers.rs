//! Who calls by SIP: what is believed of it, what is passed on of it, and what strangers are told.

use base::{EndReason, Time};
use call::{Outcome, Target};
use sip::{HeaderName, Headers, NameAddr, Offence, Source, Uri};

use super::Exchange;
use super::accounts::HEADERS;
use super::trunks::{Trunk, TrunkCallee};

/// Fields of Diversion and History-Info that are passed on, and the longest.
const HISTORY: usize = 10;
const HISTORY_BYTES: usize = 1_024;

impl Exchange {
    /// Whether somebody who is no trunk has to show who it is.
    pub(super) fn must_authenticate(&self, from: &NameAddr, source: Source) -> bool {
        let (users, shared) = (&self.settings.users, self.settings.shares_domains);
        // Whether there is such a user is not told: whoever claims to be one of ours has to show it. Where other
        // gateways have users of our domains, only what would be one of this gateway's own.
        let named = || {
            from.uri
                .user()
                .is_some_and(|u| users.iter().any(|(name, _)| *name == *u))
        };
        let pretends = !users.is_empty() && self.is_ours(&from.uri) && (!shared || named());
        pretends || self.settings.callers.asks(source.remote.ip())
    }

    /// What a stranger hears that reaches nobody: not whether there is such a user.
    pub(super) fn turned_away(&mut self, now: Time, source: Source, outcome: Outcome) -> Outcome {
        match outcome.reason {
            EndReason::NotFound | EndReason::Unavailable | EndReason::Forbidden => {
                self.sip.offend(now, source.remote.ip(), Offence::NoSuchUser);
                Outcome::new(EndReason::NotFound)
            }
            _ => outcome,
        }
    }

    /// From, and the header fields about the caller, toward a trunk (RFC 3323, RFC 3325).
    pub(super) fn shown_to(
        &self,
        trunk: &Trunk,
        callee: &TrunkCallee,
        private: bool,
    ) -> (NameAddr, Vec<(String, String)>) {
        let numbering = &self.settings.numbering;
        let own = self.settings.user_numbers.get(&callee.user);
        let own = own.filter(|_| trunk.shows_caller);
        let shown = match callee.caller_id.as_ref().or(own) {
            Some(number) => Uri::sip(
                Some(&numbering.write(number, trunk.numbers)),
                trunk.aor.host().clone(),
                None,
            ),
            None => trunk.aor.clone(),
        };
        let mut headers = Vec::new();
        if let Some(field) = &trunk.asserted {
            let value = NameAddr::new(shown.clone()).to_string();
            headers.push((field.as_str().to_owned(), value));
        }
        if !private {
            return (NameAddr::new(shown), headers);
        }
        headers.push(("Privacy".to_owned(), "id".to_owned()));
        (anonymous(), headers)
    }

    /// Who calls by a trunk.
    pub(super) fn trunk_caller(&self, trunk: &Trunk, from: &NameAddr, headers: &Headers) -> NameAddr {
        let asserted = headers.list(&HeaderName::PAssertedIdentity);
        let asserted: Vec<NameAddr> = asserted.filter_map(NameAddr::parse).take(2).collect();
        let caller = match asserted.first().filter(|_| trunk.trusted) {
            Some(asserted) => asserted.clone(),
            None => from.clone(),
        };
        if is_private(headers) {
            return anonymous();
        }
        caller
    }

    /// The telephone number of a party: that of its account, or what its address says.
    pub(super) fn number_of(&self, user: Option<&str>, uri: &Uri) -> Option<String> {
        if let Some(own) = user.and_then(|u| self.settings.user_numbers.get(u)) {
            return Some(own.clone());
        }
        let Some(Target::Number(number)) = uri.user().and_then(|u| Target::parse(&u)) else {
            return None;
        };
        self.settings.numbering.e164(&number).ok().flatten()
    }

    /// A SIP party's call that was refused before it had a leg.
    pub(super) fn record_refusal(&mut self, now: Time, from: &NameAddr, target: &Uri, status: u16) {
        let (leg, id) = (self.new_leg(), self.new_call());
        self.book.party(leg, "sip", from.uri.to_string(), None);
        self.book.number(leg, self.number_of(None, &from.uri));
        self.book.dials(leg, target.to_string());
        self.book
            .refused(now, id, leg, status, EndReason::from_sip_status(status));
        self.book.forget(leg);
    }
}

/// The `X-` header fields of an INVITE, for a client that wants to see them.
pub(super) fn custom_headers(headers: &Headers) -> Vec<(String, String)> {
    let custom = |name: &str| name.get(..2).is_some_and(|x| x.eq_ignore_ascii_case("x-"));
    headers
        .iter()
        .filter(|(name, _)| custom(name.as_str()))
        .take(HEADERS)
        .map(|(name, value)| (name.as_str().to_owned(), value.to_owned()))
        .collect()
}

/// Where the call has been before, for its callee (RFC 5806, RFC 7044).
pub(super) fn history(headers: &Headers) -> Vec<(String, String)> {
    let fields = [HeaderName::new("Diversion"), HeaderName::new("History-Info")];
    let kept = fields.iter().flat_map(|name| {
        let values = headers.get_all(name).filter(|v| v.len() <= HISTORY_BYTES);
        values.map(|v| (name.as_str().to_owned(), v.to_owned()))
    });
    kept.take(HISTORY).collect()
}

/// Whether a caller does not want to be known (RFC 3323 §4.2).
pub(super) fn is_private(headers: &Headers) -> bool {
    let wanted = |v: &str| {
        ["id", "user", "header"]
            .iter()
            .any(|p| v.trim().eq_ignore_ascii_case(p))
    };
    headers
        .get_all(&HeaderName::Privacy)
        .flat_map(|value| value.split([';', ',']))
        .any(wanted)
}

/// From of somebody who does not want to be known (RFC 3323 §4.1.1.3).
fn anonymous() -> NameAddr {
    let uri = Uri::sip(
        Some("anonymous"),
        sip::Host::Name("anonymous.invalid".to_owned()),
        None,
    );
    NameAddr {
        display: Some("Anonymous".to_owned()),
        ..NameAddr::new(uri)
    }
}
