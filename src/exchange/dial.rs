//! Where a target leads: to built-ins, streams, registered phones, or out by SIP.

use std::time::Duration;

use base::{EndReason, LegId, SessionId, Time};
use call::{AccountId, Audio, Outcome, Role, RouteTo, Target};
use sip::auth::Credentials;
use sip::{Binding, Host, NameAddr, Registration, Uri};

use super::directory::Sought;
use super::trunks::{Trunk, TrunkCallee};
use super::{Exchange, Kind};
use crate::shard::Remote;

/// One party to be rung.
#[derive(Clone, Debug)]
pub(super) enum Callee {
    Echo,
    Tone,
    Live(String),
    /// A stream on a server elsewhere, and whether it is waited for however long it takes.
    Outbound(Box<Remote>, bool),
    /// A client with lines that is reachable here.
    Line {
        session: SessionId,
        account: AccountId,
    },
    /// A room, and what one is there.
    Room(String, Role),
    Sip(Box<SipCallee>),
    /// Somebody reached by a trunk.
    Trunk(Box<TrunkCallee>),
    /// Whoever the directory names.
    Sought(Box<Sought>),
}

/// A party reached by SIP.
#[derive(Clone, Debug)]
pub(super) struct SipCallee {
    /// Where the INVITE goes.
    pub(super) target: Uri,
    /// The registration it goes to, with the flow that reaches the phone.
    pub(super) binding: Option<Binding>,
    /// Hops on the way.
    pub(super) route: Vec<Uri>,
    /// What a challenge is answered with.
    pub(super) credentials: Option<Credentials>,
    /// The trunk it is reached by, and by which of its gateways.
    pub(super) trunk: Option<String>,
    pub(super) gateway: Option<usize>,
    /// The number that was called there, as the route leaves it.
    pub(super) number: Option<String>,
    /// Header fields about the caller.
    pub(super) headers: Vec<(String, String)>,
    /// The local account it is, when it is one.
    pub(super) user: Option<String>,
    /// The caller's identity, when it is not the caller's own (a trunk's account).
    pub(super) from: Option<NameAddr>,
    /// The user of whom the directory said that it is there.
    pub(super) found: Option<String>,
}

impl SipCallee {
    /// One of whom nothing is known but where it is.
    pub(super) fn new(target: Uri) -> SipCallee {
        SipCallee {
            target,
            binding: None,
            route: Vec::new(),
            credentials: None,
            trunk: None,
            gateway: None,
            number: None,
            headers: Vec::new(),
            user: None,
            from: None,
            found: None,
        }
    }
}

impl SipCallee {
    /// Whether it is a browser.
    pub(super) fn is_web(&self) -> bool {
        let flow = self.binding.as_ref().and_then(|b| b.flow);
        flow.is_some_and(|f| super::webrtc::is_web(f.transport))
    }
}

/// Whom a target leads to.
#[derive(Clone, Debug, Default)]
pub(super) struct Callees {
    /// Rung at once.
    pub(super) ring: Vec<Callee>,
    /// Tried one after another when those have failed.
    pub(super) hunt: Vec<Callee>,
    /// The longest the call may last.
    pub(super) max_duration: Option<Duration>,
    /// No limit keeps it from them.
    pub(super) emergency: bool,
}

impl Callees {
    pub(super) fn ring(ring: Vec<Callee>) -> Callees {
        Callees {
            ring,
            ..Callees::default()
        }
    }
}

impl Exchange {
    /// Finds who is to be rung for a target. `user` is the caller, when it has shown who it is.
    pub(super) fn resolve(&self, now: Time, target: &Target, user: Option<&str>) -> Result<Callees, Outcome> {
        let one = |callee| Ok(Callees::ring(vec![callee]));
        match target {
            Target::Echo => one(Callee::Echo),
            Target::Tone => one(Callee::Tone),
            Target::Live(name) => match name.strip_prefix("conference/") {
                Some(room) => self.resolve_room(room, Role::Listener),
                None => one(Callee::Live(name.clone())),
            },
            Target::Remote(text) => self.resolve_remote(text, user),
            Target::Conference(name) => self.resolve_room(name, Role::Participant),
            Target::Sip(uri) => {
                let uri = Uri::parse(uri).map_err(|_| Outcome::from_status(400, "Not a SIP URI"))?;
                self.resolve_uri(now, &uri, user)
            }
            Target::User {
                user: name,
                domain: None,
            } => self.resolve_name(now, name),
            Target::User {
                user: name,
                domain: Some(domain),
            } => {
                let text = format!("sip:{domain}");
                let uri = Uri::parse(&text).map_err(|_| Outcome::from_status(400, "Not a domain name"))?;
                let uri = Uri::sip(Some(name), uri.host().clone(), uri.port());
                self.resolve_uri(now, &uri, user)
            }
            Target::Number(number) => self.resolve_number(now, number, user),
        }
    }

    /// A full URI: ours is looked up here, any other goes out.
    pub(super) fn resolve_uri(&self, now: Time, uri: &Uri, user: Option<&str>) -> Result<Callees, Outcome> {
        if self.is_ours(uri) {
            let name = uri.user().ok_or_else(|| Outcome::new(EndReason::NotFound))?;
            return match Target::parse(&name) {
                // A SIP URI inside a user part would only lead back here.
                None | Some(Target::Sip(_)) => Err(Outcome::new(EndReason::NotFound)),
                Some(Target::User { user: name, .. }) if Exchange::is_final(uri) => {
                    self.resolve_user(now, &name)
                }
                Some(Target::User { user: name, .. }) => self.resolve_name(now, &name),
                Some(target) => self.resolve(now, &target, user),
            };
        }
        let callee = SipCallee {
            route: self.settings.outbound_proxy.iter().cloned().collect(),
            ..SipCallee::new(uri.clone())
        };
        self.or_ask(Exchange::seekable(uri), Ok(callee))
    }

    /// A local name: every phone and every client registered under it is rung; else a relayed stream of
    /// that name.
    pub(super) fn resolve_user(&self, now: Time, name: &str) -> Result<Callees, Outcome> {
        let domain = self.settings.domains.first().and_then(|d| Host::parse(d));
        let aor = domain.and_then(|host| self.sip.aor(&Uri::sip(Some(name), host, None)));
        let bindings = aor
            .as_ref()
            .map(|aor| self.sip.bindings(now, aor))
            .unwrap_or_default();
        let clients = aor.iter().flat_map(|aor| self.clients_at(aor));
        let clients: Vec<Callee> = clients.collect();
        if !bindings.is_empty() || !clients.is_empty() {
            let ring = |binding: Binding| {
                Callee::Sip(Box::new(SipCallee {
                    user: Some(name.to_owned()),
                    binding: Some(binding.clone()),
                    ..SipCallee::new(binding.target)
                }))
            };
            return Ok(Callees::ring(
                bindings.into_iter().map(ring).chain(clients).collect(),
            ));
        }
        if let Some(remote) = self.remote_named(name) {
            return Ok(Callees::ring(vec![Callee::Outbound(Box::new(remote), false)]));
        }
        if self.live.contains_key(name) {
            return Ok(Callees::ring(vec![Callee::Live(name.to_owned())]));
        }
        let known = self.settings.users.iter().any(|(user, _)| user == name);
        Err(Outcome::new(if known {
            EndReason::Unavailable
        } else {
            EndReason::NotFound
        }))
    }

    /// A number: a room or a local name of that spelling, else the first route that fits.
    fn resolve_number(&self, now: Time, dialled: &str, user: Option<&str>) -> Result<Callees, Outcome> {
        let settings = &self.settings;
        // Nobody's extension and no limit stands before an emergency number.
        let emergency = user.filter(|_| settings.emergency.iter().any(|n| n == dialled));
        if let Some(user) = emergency {
            let names = settings.emergency_to.iter().map(String::as_str);
            return self.by_trunks(names, dialled, None, user, true);
        }
        if let Some(room) = self.room_of_number(dialled) {
            return self.resolve_room(&room, Role::Participant);
        }
        match self.resolve_user(now, dialled) {
            Err(outcome) if outcome.reason == EndReason::NotFound => {}
            found => return found,
        }
        let Ok(public) = settings.numbering.e164(dialled) else {
            return Err(Outcome::new(EndReason::InvalidNumber));
        };
        let number = public.as_deref().unwrap_or(dialled);
        let mut numbers = settings.user_numbers.iter();
        if let Some((name, _)) =
            numbers.find(|(_, own)| public.as_ref().unwrap_or(&number.to_owned()) == *own)
        {
            return self.resolve_user(now, name);
        }
        // Strangers never reach a trunk, whatever the routes say.
        let Some(user) = user else {
            if settings.routes.is_empty() {
                return self.resolve_name(now, number);
            }
            return Err(Outcome::new(EndReason::Forbidden));
        };
        let Some((route, dialled)) = settings.routes.find(number, user) else {
            return self.resolve_name(now, number);
        };
        let RouteTo::Trunks(names) = route.to();
        let names = names.iter().map(String::as_str);
        let callees = self.by_trunks(names, &dialled, route.caller_id(), user, false)?;
        Ok(Callees {
            max_duration: route.max_duration(),
            ..callees
        })
    }

    /// The trunks of these names, one after the other.
    fn by_trunks<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
        number: &str,
        caller_id: Option<&str>,
        user: &str,
        emergency: bool,
    ) -> Result<Callees, Outcome> {
        let known = |name: &&str| self.settings.trunks.iter().any(|t| t.name == *name);
        let callee = |name: &str| {
            Callee::Trunk(Box::new(TrunkCallee {
                trunk: name.to_owned(),
                number: number.to_owned(),
                caller_id: caller_id.map(str::to_owned),
                user: user.to_owned(),
                emergency,
            }))
        };
        let mut all = names.filter(known).map(callee);
        let Some(first) = all.next() else {
            return Err(Outcome::new(EndReason::NotFound));
        };
        Ok(Callees {
            hunt: all.collect(),
            emergency,
            ..Callees::ring(vec![first])
        })
    }

    /// Whether a URI means this gateway.
    pub(super) fn is_ours(&self, uri: &Uri) -> bool {
        let port = uri.port().unwrap_or(5060);
        let named = self
            .settings
            .domains
            .iter()
            .any(|d| Host::parse(d).is_some_and(|h| h.matches(uri.host())));
        let ip = uri.host().ip();
        let bound = self.settings.sip_addresses.iter().any(|a| {
            a.port() == port
                && ip.is_some_and(|ip| ip == a.ip() || (a.ip().is_unspecified() && ip.is_loopback()))
        });
        let public = self.settings.sip_addresses.iter().any(|a| a.port() == port)
            && ip.is_some()
            && ip == self.settings.public_address;
        (named && (uri.port().is_none() || self.settings.sip_addresses.iter().any(|a| a.port() == port)))
            || bound
            || public
    }

    /// What a leg sends and takes, for the codec choice of the leg it talks to.
    pub(super) fn audio_of(&self, leg: LegId) -> Audio {
        match self.legs.get(&leg).map(|l| &l.kind) {
            Some(Kind::Sip(sip)) => sip.audio(),
            Some(Kind::Stream(stream)) => Exchange::stream_audio(stream),
            Some(Kind::Line(line)) => self.line_audio(line),
            Some(Kind::Outbound(outbound)) => outbound.audio(),
            Some(Kind::Transfer(transfer)) => self.audio_of(transfer.remains),
            Some(Kind::Live(name)) => Audio {
                takes: Vec::new(),
                sends: self
                    .live
                    .get(name)
                    .and_then(|s| s.publisher.as_ref())
                    .and_then(|p| p.codec.flatten()),
            },
            _ => Audio::default(),
        }
    }

    /// Registers with every trunk that asks for it, among those wanted.
    pub(super) fn register_trunks(&mut self, now: Time, wanted: impl Fn(&Trunk) -> bool) {
        for trunk in self.settings.clone().trunks.iter().filter(|t| wanted(t)) {
            let Some(expires) = trunk.register else { continue };
            let registered = self.sip.register(
                now,
                Registration {
                    registrar: trunk.uri.clone(),
                    aor: NameAddr::new(trunk.aor.clone()),
                    user: trunk.aor.user().map(|u| u.into_owned()).unwrap_or_default(),
                    credentials: trunk.credentials.clone(),
                    expires: u32::try_from(expires.as_secs()).unwrap_or(u32::MAX),
                    route: Vec::new(),
                },
            );
            match registered {
                Ok(handle) => {
                    self.registrations.insert(handle, trunk.name.clone());
                }
                Err(refused) => {
                    tracing::error!(trunk = trunk.name, %refused, "cannot register with the trunk")
                }
            }
        }
    }
}
