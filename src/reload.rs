//! Reloading the configuration: what may change while calls go on, and what needs a restart.
//!
//! A call keeps what it began with. What needs a restart stays as it was and is named in the answer.

use crate::config::Config;

/// What a new configuration changes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    /// What is in effect afterwards.
    pub(crate) next: Config,
    /// The keys that took effect.
    pub(crate) applied: Vec<&'static str>,
    /// The keys that need a restart.
    pub(crate) restart: Vec<String>,
    /// The trunks that are new, gone, or changed.
    pub(crate) trunks: Vec<String>,
}

/// The keys that may change: `live` at once, `new` for calls, sessions and registrations made from then on.
macro_rules! live {
    ($($class:literal: $section:ident $(. $key:ident)?;)*) => {
        /// Keys or whole tables that a reload changes, with when: `live`, or `new` calls.
        #[cfg(test)]
        const LIVE: &[(&str, &str)] = &[$((concat!(stringify!($section) $(, ".", stringify!($key))?), $class),)*];

        fn take(next: &mut Config, new: &Config) -> Vec<&'static str> {
            let mut applied = Vec::new();
            $(
                if next.$section$(.$key)? != new.$section$(.$key)? {
                    next.$section$(.$key)?.clone_from(&new.$section$(.$key)?);
                    applied.push(concat!(stringify!($section) $(, ".", stringify!($key))?));
                }
            )*
            applied
        }
    };
}

live! {
    "live": node.drain_grace;
    "new": user;
    "new": route;
    "new": rtmp.access;
    "new": rtmp.chunk_size;
    "new": rtmp.max_message;
    "new": rtmp.handshake_timeout;
    "new": rtmp.ping_interval;
    "new": rtmp.idle_timeout;
    "new": rtmfp.audio_lifetime;
    "new": rtmfp.protection;
    "new": rtmfp.keepalive;
    "new": rtmfp.idle_timeout;
    "new": rtmfp.introduce;
    "new": sip.registration;
    "new": sip.inbound;
    "new": sip.trunk;
    "new": sip.numbers;
    "live": sip.guard;
    "new": media.codecs;
    "new": media.ptime;
    "new": media.jitter_max;
    "new": media.narrowband_shortcut;
    "new": media.narrowband_to_flash;
    "new": media.telephone_event;
    "new": media.speex_quality;
    "new": media.speex_complexity;
    "new": media.rtp_timeout;
    "new": media.srtp;
    "new": media.srtp_suites;
    "new": media.srtp_keys;
    "new": media.ice;
    "live": limits.calls;
    "live": limits.calls_per_second;
    "new": limits.rule;
    "live": log.level;
    "live": log.ladder;
}

/// What `new` changes of what runs.
pub(crate) fn plan(running: &Config, new: &Config) -> Plan {
    let mut next = running.clone();
    let applied = take(&mut next, new);
    let mut restart = next.differences(new);
    // A secret that differs is not seen in the text of the configuration.
    if restart.is_empty() && next != *new {
        restart.push("a password".to_owned());
    }
    let (old, trunks) = (&running.sip.trunk, &new.sip.trunk);
    let named = |list: &[crate::config::Trunk], other: &[crate::config::Trunk]| -> Vec<String> {
        let gone = list.iter().filter(|t| !other.contains(t));
        gone.map(|t| t.name.clone()).collect()
    };
    let mut changed = named(old, trunks);
    changed.extend(named(trunks, old));
    changed.sort();
    changed.dedup();
    Plan {
        next,
        applied,
        restart,
        trunks: changed,
    }
}

impl Plan {
    /// What came of it, in a sentence.
    pub(crate) fn sentence(&self) -> String {
        let list = |keys: Vec<&str>| keys.join(", ");
        let applied = list(self.applied.clone());
        let restart = list(self.restart.iter().map(String::as_str).collect());
        match (self.applied.is_empty(), self.restart.is_empty()) {
            (true, true) => "nothing has changed".to_owned(),
            (false, true) => format!("in effect now, calls in progress keep what they began with: {applied}"),
            (true, false) => format!("nothing took effect; these need a restart: {restart}"),
            (false, false) => format!("in effect now: {applied}; these need a restart: {restart}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::path::Path;

    fn config(text: &str) -> Config {
        Config::parse(text, Path::new("test.toml"), &BTreeMap::new()).unwrap()
    }

    #[test]
    fn what_needs_a_restart_stays_and_is_named() {
        let old = config("[limits]\ncalls = 5\n[sip]\ndomain = \"a.example\"\n");
        let new = config("[limits]\ncalls = 7\nsessions = 3\n[sip]\ndomain = \"b.example\"\n");
        let plan = plan(&old, &new);
        assert_eq!(plan.applied, ["limits.calls"]);
        assert_eq!(plan.restart, ["sip.domain", "limits.sessions"]);
        assert_eq!(
            (plan.next.limits.calls, plan.next.limits.sessions),
            (7, old.limits.sessions)
        );
        assert_eq!(plan.next.sip.domain, "a.example");
        assert!(
            plan.sentence()
                .contains("need a restart: sip.domain, limits.sessions")
        );
    }

    #[test]
    fn passwords_count_though_they_are_not_shown() {
        let user = |p: &str| config(&format!("[[user]]\nname = \"alice\"\npassword = \"{p}\"\n"));
        assert_eq!(plan(&user("a"), &user("b")).applied, ["user"]);
        let console = |p: &str| config(&format!("[console]\npassword = \"{p}\"\n"));
        assert_eq!(plan(&console("a"), &console("b")).restart, ["a password"]);
        assert_eq!(
            plan(&console("a"), &console("a")).sentence(),
            "nothing has changed"
        );
    }

    #[test]
    fn trunks_that_changed_are_named() {
        let trunk =
            |name: &str, host: &str| format!("[[sip.trunk]]\nname = \"{name}\"\nuri = \"sip:{host}\"\n");
        let old = config(&(trunk("a", "x") + &trunk("b", "x") + &trunk("c", "x")));
        let new = config(&(trunk("a", "x") + &trunk("b", "y") + &trunk("d", "x")));
        assert_eq!(plan(&old, &new).trunks, ["b", "c", "d"]);
    }

    #[test]
    fn the_guide_says_what_a_reload_changes() {
        let guide = include_str!("../docs/operating.md");
        for (key, class) in LIVE {
            let row = guide.lines().any(|l| {
                let mut cells = l.split('|').map(str::trim).skip(1);
                cells.next() == Some(&format!("`{key}`")) && cells.next() == Some(class)
            });
            assert!(row, "docs/operating.md has no row for `{key}` with `{class}`");
        }
    }
}
