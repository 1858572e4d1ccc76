//! Checks that need more than one key.

use std::collections::HashSet;

use super::Config;
use super::section::Reader;

/// Notes contradictions between keys.
pub(super) fn check(config: &Config, reader: &mut Reader<'_>) {
    unique(config.user.iter().map(|u| u.name.as_str()), "user", reader);
    unique(
        config.sip.trunk.iter().map(|t| t.name.as_str()),
        "sip.trunk",
        reader,
    );

    unique(
        config.rtmp.remote.iter().map(|r| r.name.as_str()),
        "rtmp.remote",
        reader,
    );
    for (i, remote) in config.rtmp.remote.iter().enumerate() {
        if config.user.iter().any(|u| u.name == remote.name) {
            let text = format!("the name `{}` is that of a [[user]]", remote.name);
            reader.problem_at(&format!("rtmp.remote.{i}.name"), text);
        }
    }

    for (i, trunk) in config.sip.trunk.iter().enumerate() {
        if trunk.register && trunk.username.is_none() {
            let path = format!("sip.trunk.{i}.username");
            reader.problem_at(&path, "must be given when `register` is true".to_owned());
        }
        if trunk.inbound_username.is_some() != trunk.inbound_password.is_some() {
            let path = format!("sip.trunk.{i}.inbound_username");
            reader.problem_at(&path, "and `inbound_password` must be given together".to_owned());
        }
        let taken = |name: &String| config.user.iter().any(|u| u.name == *name);
        if trunk.inbound_username.as_ref().is_some_and(taken) {
            let path = format!("sip.trunk.{i}.inbound_username");
            reader.problem_at(&path, "is the name of a [[user]] already".to_owned());
        }
    }
    let trunks: Vec<&str> = config.sip.trunk.iter().map(|t| t.name.as_str()).collect();
    let known = |name: &String| config.user.iter().any(|u| u.name == *name);
    let of_trunks = config.sip.trunk.iter().enumerate();
    let of_trunks = of_trunks.map(|(i, t)| (format!("sip.trunk.{i}.callers"), &t.callers));
    let of_rules = config.limits.rule.iter().enumerate();
    let of_rules = of_rules.map(|(i, r)| (format!("limits.rule.{i}.callers"), &r.callers));
    for (path, names) in of_trunks.chain(of_rules) {
        if let Some(name) = names.iter().find(|name| !known(name)) {
            reader.problem_at(&path, format!("no [[user]] has the name `{name}`"));
        }
    }
    for (i, rule) in config.limits.rule.iter().enumerate() {
        if let Some(name) = rule.trunks.iter().find(|n| !trunks.contains(&n.as_str())) {
            let text = format!("no [[sip.trunk]] has the name `{name}`");
            reader.problem_at(&format!("limits.rule.{i}.trunks"), text);
        }
    }
    let numbers = &config.sip.numbers;
    if let Some(name) = numbers
        .emergency_to
        .iter()
        .find(|n| !trunks.contains(&n.as_str()))
    {
        let text = format!("no [[sip.trunk]] has the name `{name}`");
        reader.problem_at("sip.numbers.emergency_to", text);
    }
    if !numbers.emergency.is_empty() && numbers.emergency_to.is_empty() {
        let text = "must name the trunks for the `emergency` numbers".to_owned();
        reader.problem_at("sip.numbers.emergency_to", text);
    }
    for (i, route) in config.route.iter().enumerate() {
        for name in route.to.iter().filter(|name| !trunks.contains(&name.as_str())) {
            let known = if trunks.is_empty() {
                "there is none".to_owned()
            } else {
                trunks.join(", ")
            };
            let text = format!("no [[sip.trunk]] has the name `{name}`; known: {known}");
            reader.problem_at(&format!("route.{i}.to"), text);
        }
        for name in &route.from {
            if !config.user.iter().any(|u| u.name == *name) {
                reader.problem_at(
                    &format!("route.{i}.from"),
                    format!("no [[user]] has the name `{name}`"),
                );
            }
        }
    }

    rooms(config, reader);
    if !config.rtmp.policy_listen.is_empty() && config.rtmp.policy_domains.is_empty() {
        let text = "answers requests for the policy file, but `policy_domains` is empty".to_owned();
        reader.problem_at("rtmp.policy_listen", text);
    }
    let tls = &config.tls;
    if tls.certificate.is_some() != tls.key.is_some() {
        let (given, missing) = match tls.key {
            None => ("certificate", "key"),
            Some(_) => ("key", "certificate"),
        };
        let text = format!("must be given, for `{given}` is");
        reader.problem_at(&format!("tls.{missing}"), text);
    } else if tls.client_ca.is_some() && tls.certificate.is_none() {
        let text =
            "asks for certificates on TLS listeners, but without `certificate` and `key` there are none";
        reader.problem_at("tls.client_ca", text.to_owned());
    }
    if !config.console.tls.is_empty() && config.tls.certificate.is_none() {
        reader.problem_at("console.tls", "needs `certificate` and `key` of [tls]".to_owned());
    }
    let console = &config.console;
    let mut addresses = console.listen.iter().chain(&console.tls);
    let beyond = addresses.find(|a| !a.ip().is_loopback());
    if let Some(address) = beyond
        && config.console.password.as_ref().is_none_or(|p| p.is_empty())
    {
        let text = format!("must be given when the console listens beyond this machine ({address})");
        reader.problem_at("console.password", text);
    }
    if config.sip.register_min > config.sip.register_max {
        reader.problem_at("sip.register_min", "must not be above `register_max`".to_owned());
    }
    if config.sip.t1 > config.sip.t2 {
        reader.problem_at("sip.t1", "must not be above `t2`".to_owned());
    }
    if config.rtmp.ping_interval >= config.rtmp.idle_timeout {
        let text = "must be above `ping_interval`, or a client is dropped before it is asked".to_owned();
        reader.problem_at("rtmp.idle_timeout", text);
    }
    if config.rtmfp.keepalive >= config.rtmfp.idle_timeout {
        let text = "must be above `keepalive`, or a client is dropped before it is asked".to_owned();
        reader.problem_at("rtmfp.idle_timeout", text);
    }
    if config.media.rtp_ports.pairs() < config.limits.calls.min(16) {
        reader.problem_at(
            "media.rtp_ports",
            "holds fewer port pairs than 16 calls need".to_owned(),
        );
    }
}

fn rooms(config: &Config, reader: &mut Reader<'_>) {
    let rooms = &config.conference.room;
    unique(rooms.iter().map(|r| r.name.as_str()), "conference.room", reader);
    for (i, room) in rooms.iter().enumerate() {
        let path = format!("conference.room.{i}.moderator_pin");
        if room.moderator_pin.is_none() && (room.start_with_moderator || room.end_with_moderator) {
            let text = "must be given, or nobody can be the moderator that the room waits for".to_owned();
            reader.problem_at(&path, text);
        }
        if room.pin.is_some() && room.pin == room.moderator_pin {
            reader.problem_at(&path, "must differ from `pin`".to_owned());
        }
        for number in &room.numbers {
            if rooms.iter().filter(|r| r.numbers.contains(number)).count() > 1 {
                let path = format!("conference.room.{i}.numbers");
                reader.problem_at(&path, format!("the number `{number}` leads to two rooms"));
            }
        }
    }
}

fn unique<'a>(names: impl Iterator<Item = &'a str>, table: &str, reader: &mut Reader<'_>) {
    let mut seen = HashSet::new();
    for (i, name) in names.enumerate() {
        if !name.is_empty() && !seen.insert(name) {
            reader.problem_at(
                &format!("{table}.{i}.name"),
                format!("the name `{name}` is taken"),
            );
        }
    }
}
