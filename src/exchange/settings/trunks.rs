//! Trunks and numbers, as the exchange needs them of the configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use call::{NumberForm, Numbering, Rule};
use sip::auth::Credentials;
use sip::{GuardConfig, HeaderName, Uri};

use super::super::{GatewaySettings, Trunk};
use super::uri;
use crate::config::{self, Asserted, CallerShown, Config};
use crate::daemon::StartError;

/// A trunk.
pub(super) fn trunk(trunk: &config::Trunk) -> Result<Trunk, StartError> {
    let key = format!("sip.trunk.{}.uri", trunk.name);
    let server = uri(&key, &trunk.uri)?;
    let user = trunk.username.as_deref().unwrap_or("flashgate");
    let aor = Uri::sip(Some(user), server.host().clone(), None);
    let credentials = trunk.password.as_ref().map(|password| Credentials {
        realm: trunk.realm.clone(),
        ..Credentials::new(user, password.expose())
    });
    let gateway = |g: &config::TrunkGateway| {
        Ok(GatewaySettings {
            uri: uri(&format!("sip.trunk.{}.gateway.uri", trunk.name), &g.uri)?,
            priority: g.priority,
            weight: g.weight,
        })
    };
    let mut gateways = trunk
        .gateway
        .iter()
        .map(gateway)
        .collect::<Result<Vec<_>, StartError>>()?;
    if gateways.is_empty() {
        gateways.push(GatewaySettings {
            uri: server.clone(),
            priority: 0,
            weight: 1,
        });
    }
    Ok(Trunk {
        name: trunk.name.clone(),
        uri: server,
        aor,
        credentials,
        register: trunk.register.then_some(trunk.expires),
        gateways,
        probe: (!trunk.probe.is_zero()).then_some(trunk.probe),
        probe_failures: trunk.probe_failures,
        answer_within: trunk.answer_within,
        ring_within: trunk.ring_within,
        rest: trunk.rest,
        fail_over: trunk.fail_over.clone(),
        from: trunk.from.iter().filter_map(|n| n.parse().ok()).collect(),
        inbound_user: trunk.inbound_username.clone(),
        inbound: trunk
            .inbound
            .iter()
            .map(|i| (i.r#match.clone(), i.to.clone()))
            .collect(),
        numbers: match trunk.numbers {
            config::NumberForm::Unchanged => NumberForm::Unchanged,
            config::NumberForm::E164 => NumberForm::E164,
            config::NumberForm::Digits => NumberForm::Digits,
            config::NumberForm::National => NumberForm::National,
            config::NumberForm::International => NumberForm::International,
        },
        shows_caller: trunk.caller == CallerShown::Caller,
        asserted: match trunk.asserted {
            Asserted::No => None,
            Asserted::Pai => Some(HeaderName::PAssertedIdentity),
            Asserted::Ppi => Some(HeaderName::new("P-Preferred-Identity")),
        },
        trusted: trunk.trusted,
        ringback: trunk.ringback,
    })
}

/// How numbers are dialled.
pub(super) fn numbering(numbers: &config::Numbers) -> Numbering {
    Numbering {
        country: numbers.country_code.clone(),
        area: numbers.area_code.clone(),
        trunk_prefix: numbers.trunk_prefix.clone(),
        international: numbers.international_prefix.clone(),
        local_digits: usize::from(numbers.local_digits),
    }
}

/// The telephone numbers of users, in their one form where they have one.
pub(super) fn user_numbers(config: &Config, numbering: &Numbering) -> BTreeMap<String, String> {
    let number = |text: &str| match numbering.e164(text) {
        Ok(Some(number)) => number,
        _ => text.to_owned(),
    };
    let users = config.user.iter();
    let users = users.filter_map(|u| Some((u.name.clone(), number(u.number.as_deref()?))));
    users.collect()
}

/// The user names and passwords with which trunks call in.
pub(super) fn logins(config: &Config) -> Vec<(String, String)> {
    let trunks = config.sip.trunk.iter();
    let trunks = trunks.filter_map(|t| {
        let password = t.inbound_password.as_ref()?;
        Some((t.inbound_username.clone()?, password.expose().to_owned()))
    });
    trunks.collect()
}

/// Against those who scan, guess and flood.
pub(super) fn guard(guard: &config::Guard) -> GuardConfig {
    GuardConfig {
        offences: guard.offences,
        window: guard.window,
        ban: guard.ban,
        longest: guard.longest,
        requests_per_second: guard.requests_per_second,
        scanners: guard.scanners.iter().map(|s| s.to_ascii_lowercase()).collect(),
        trusted: guard.trusted.iter().filter_map(|n| n.parse().ok()).collect(),
    }
}

/// The limits on calls over trunks: those of the trunks, then those of `[limits]`.
pub(super) fn rules(config: &Config) -> Vec<Rule> {
    let minutes = |n: Option<u32>| n.map(|n| Duration::from_secs(60 * u64::from(n)));
    let mut rules = Vec::new();
    for trunk in &config.sip.trunk {
        let own = || Rule {
            trunks: vec![trunk.name.clone()],
            ..Rule::default()
        };
        rules.push(Rule {
            allowed: trunk.callers.clone(),
            calls: trunk.max_calls,
            calls_per_second: trunk.calls_per_second,
            daily: minutes(trunk.daily_minutes),
            max_duration: trunk.max_duration,
            ..own()
        });
        rules.extend(trunk.blocked.iter().map(|prefix| Rule {
            prefix: prefix.clone(),
            blocked: true,
            ..own()
        }));
    }
    rules.extend(config.limits.rule.iter().map(|rule| Rule {
        trunks: rule.trunks.clone(),
        prefix: rule.prefix.clone(),
        callers: rule.callers.clone(),
        per_caller: rule.per_caller,
        blocked: rule.block,
        allowed: Vec::new(),
        calls: rule.calls,
        calls_per_second: rule.calls_per_second,
        daily: minutes(rule.daily_minutes),
        max_duration: rule.max_duration,
    }));
    rules
}
