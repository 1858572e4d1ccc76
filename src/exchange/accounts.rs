//! Accounts of clients with lines: logins, registrations here and elsewhere, and who a caller is.

use std::net::IpAddr;
use std::time::Duration;

use base::{EndReason, Redacted, SessionId, Time};
use call::{AccountId, LineEvent, Login, Outcome, Proof, Target};
use sip::auth::{Algorithm, Credentials};
use sip::{Host, NameAddr, Registration, RegistrationHandle, Uri};

use super::dial::{Callee, Callees, SipCallee};
use super::line_leg::Party;
use super::{Admits, Exchange};

/// Logins of one client at a time.
const ACCOUNTS: usize = 8;
/// Extra header fields of a call, and the longest value, in bytes.
pub(super) const HEADERS: usize = 16;
const HEADER: usize = 256;
/// What a client may set beside `X-` fields.
const NAMED: &[&str] = &["Subject", "User-to-User", "Alert-Info"];

/// What the accounts of clients may do.
#[derive(Clone, Debug)]
pub struct AccountSettings {
    /// Who may log in at registrars elsewhere.
    pub external: Admits,
    /// Domains elsewhere whose accounts may log in from anywhere.
    pub registrars: Vec<String>,
    /// Through which proxy registrars elsewhere are reached, unless the client names one.
    pub proxy: Option<Uri>,
    /// The registration to ask for elsewhere.
    pub expires: Duration,
    /// Who may take a name of ours that has no account.
    pub names: Admits,
    /// Wrong logins from one address after which it has to wait, and how long at first.
    pub failures: u32,
    /// See `failures`.
    pub wait: Duration,
}

/// Where an account is at home.
#[derive(Clone, Debug)]
enum Home {
    /// With us: its address of record at the embedded registrar.
    Here(String),
    /// With another: how its server is reached, and how its challenges are answered.
    Elsewhere {
        route: Vec<Uri>,
        credentials: Option<Credentials>,
        /// The user part of our Contact at its registrar, and the registration.
        contact: String,
        registration: Option<RegistrationHandle>,
    },
}

/// A login of a client.
#[derive(Debug)]
pub(super) struct Account {
    /// `"display" <sip:user@domain>`.
    name: NameAddr,
    home: Home,
    /// The `[[user]]` whose password was shown.
    user: Option<String>,
    /// Whether it may be reachable: something was shown for it.
    may_register: bool,
    /// Whether its registrar has accepted it at least once, and does so now.
    accepted: bool,
    registered: bool,
}

impl Account {
    /// Its address of record at the embedded registrar.
    fn here(&self) -> Option<&str> {
        match &self.home {
            Home::Here(aor) => Some(aor),
            Home::Elsewhere { .. } => None,
        }
    }
}

/// Who calls, and by which way.
#[derive(Debug, Default)]
pub(super) struct Identity {
    /// The `[[user]]` it has shown to be.
    pub(super) user: Option<String>,
    pub(super) name: Option<NameAddr>,
    /// Its own server, through which it calls everybody but those here.
    server: Option<(Vec<Uri>, Option<Credentials>)>,
}

impl Identity {
    /// The caller as its callee is to see it.
    pub(super) fn party(&self, to: String, headers: Vec<(String, String)>) -> Party {
        let own = self
            .name
            .as_ref()
            .and_then(|n| n.uri.user().map(|u| u.into_owned()));
        Party {
            id: self.user.clone().or(own).unwrap_or_else(|| "flash".to_owned()),
            name: self.name.clone(),
            verified: self.name.is_some(),
            to,
            headers: allowed(headers),
            ..Party::default()
        }
    }
}

/// The header fields a client may set: well formed, few, and none that means something to SIP itself.
fn allowed(headers: Vec<(String, String)>) -> Vec<(String, String)> {
    let token = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let good = |(name, value): &(String, String)| {
        let custom = name.get(..2).is_some_and(|x| x.eq_ignore_ascii_case("x-")) && name.len() > 2;
        (custom || NAMED.iter().any(|n| n.eq_ignore_ascii_case(name)))
            && name.len() <= 64
            && name.chars().all(token)
            && value.len() <= HEADER
            && !value.chars().any(char::is_control)
    };
    headers.into_iter().filter(good).take(HEADERS).collect()
}

impl Exchange {
    /// A client logs in.
    pub(super) fn login(&mut self, now: Time, session: SessionId, account: AccountId, login: Login) {
        // A login under a name in use takes its place.
        self.logout(now, session, account);
        let Some(peer) = self.sessions.get(&session).map(|s| s.peer.ip()) else {
            return;
        };
        let full = self
            .lines
            .clients
            .get(&session)
            .is_some_and(|c| c.accounts.len() >= ACCOUNTS);
        let made = match self.guard.wait(now, peer) {
            Some(wait) => {
                let text = format!("Too many wrong logins; try again in {} s", wait.as_secs().max(1));
                Err(Outcome {
                    text,
                    ..Outcome::new(EndReason::RateLimited)
                })
            }
            None if full => Err(Outcome::new(EndReason::Overloaded)),
            None => self.account_for(peer, &login),
        };
        let made = match made {
            Ok(made) => made,
            Err(outcome) => {
                if matches!(outcome.status, 401 | 403) {
                    self.wrong_login(now, peer);
                }
                tracing::info!(%session, status = outcome.status, reason = outcome.text, "login refused");
                self.tell_client(
                    session,
                    LineEvent::LoginFailed {
                        account,
                        outcome,
                        retrying: false,
                    },
                );
                return;
            }
        };
        if made.user.is_some() {
            self.guard.succeeded(peer);
        }
        if login.exclusive {
            self.close_earlier(now, session, &made.name.uri);
        }
        let may_register = made.may_register;
        let at_home = made.here().is_some();
        tracing::info!(%session, aor = %Redacted(&made.name.uri), here = at_home, "client logs in");
        if let Some(client) = self.lines.clients.get_mut(&session) {
            client.accounts.insert(account, made);
        }
        let registers = login.register && may_register;
        // The word of a registrar elsewhere is waited for.
        if at_home || !registers {
            let outcome = Outcome::from_status(200, "OK");
            self.tell_client(session, LineEvent::LoggedIn { account, outcome });
        }
        if registers {
            self.set_reachable(now, session, account, true);
        }
    }

    /// The account that a login leads to, when its proof is good as far as we can tell.
    fn account_for(&mut self, peer: IpAddr, login: &Login) -> Result<Account, Outcome> {
        let refused = |text: &str| Outcome {
            text: text.to_owned(),
            ..Outcome::new(EndReason::Forbidden)
        };
        let text = login.aor.trim();
        let text = text.strip_prefix("sip:").unwrap_or(text);
        let domain = self.settings.domains.first().map_or("localhost", String::as_str);
        let full = if text.contains('@') {
            format!("sip:{text}")
        } else {
            format!("sip:{text}@{domain}")
        };
        let uri = Uri::parse(&full).map_err(|_| Outcome::from_status(400, "Not a SIP address"))?;
        let Some(user) = uri.user().map(|u| u.into_owned()).filter(|u| !u.is_empty()) else {
            return Err(Outcome::from_status(400, "Not a SIP address"));
        };
        let uri = Uri::sip(Some(&user), uri.host().clone(), uri.port());
        let display: String = login
            .display
            .chars()
            .filter(|c| !c.is_control())
            .take(128)
            .collect();
        let name = NameAddr {
            display: Some(display.trim().to_owned()).filter(|d| !d.is_empty()),
            ..NameAddr::new(uri.clone())
        };
        let mut account = Account {
            name,
            home: Home::Here(String::new()),
            user: None,
            may_register: login.proof != Proof::None,
            accepted: false,
            registered: false,
        };
        if self.is_ours(&uri) {
            account.home = Home::Here(self.sip.aor(&uri).unwrap_or_default());
            let known = self.settings.users.iter().find(|(name, _)| *name == user);
            let own_name = login.auth_user.as_ref().is_none_or(|a| *a == user || *a == text);
            let good = match (&login.proof, known) {
                (Proof::Password(given), Some((_, secret))) => same(given.reveal(), secret),
                (Proof::Md5 { salt, digest }, Some((_, secret))) => {
                    // Clients that give no domain hash with the one their server would have filled in.
                    let mut forms = vec![text.to_owned()];
                    forms.extend(self.settings.domains.iter().map(|d| format!("{user}@{d}")));
                    let digest = digest.to_ascii_lowercase();
                    let right = |form: &String| same(&Algorithm::Md5.ha1(salt, form, secret), &digest);
                    forms.iter().fold(false, |found, form| found | right(form))
                }
                (Proof::None, Some(_)) => false,
                // A name without account is anybody's where the registrar is open.
                (_, None) => !self.settings.accounts.names.asks(peer),
            };
            if !good || !own_name {
                return Err(refused("Wrong user name or password"));
            }
            account.user = known.map(|_| user);
            return Ok(account);
        }
        let host = uri.host().to_string();
        let settings = &self.settings.accounts;
        let named = settings.registrars.iter().any(|d| d.eq_ignore_ascii_case(&host));
        if !named && settings.external.asks(peer) {
            return Err(refused("This gateway takes no accounts of that domain"));
        }
        let credentials = match &login.proof {
            Proof::None => None,
            Proof::Password(password) => Some(Credentials::new(
                login.auth_user.clone().unwrap_or(user),
                password.reveal(),
            )),
            Proof::Md5 { .. } => return Err(refused("Accounts elsewhere need the password itself")),
        };
        let route = match &login.proxy {
            Some(proxy) if !proxy.trim().is_empty() => {
                let full = if proxy.contains(':') && Uri::parse(proxy).is_ok() {
                    proxy.clone()
                } else {
                    format!("sip:{}", proxy.trim())
                };
                vec![Uri::parse(&full).map_err(|_| Outcome::from_status(400, "Not the address of a proxy"))?]
            }
            _ => settings.proxy.iter().cloned().collect(),
        };
        let contact = self.contact_token();
        account.home = Home::Elsewhere {
            route,
            credentials,
            contact,
            registration: None,
        };
        Ok(account)
    }

    /// An account becomes reachable or unreachable.
    pub(super) fn set_reachable(&mut self, now: Time, session: SessionId, id: AccountId, on: bool) {
        let expires = u32::try_from(self.settings.accounts.expires.as_secs()).unwrap_or(u32::MAX);
        let Some(account) = self
            .lines
            .clients
            .get_mut(&session)
            .and_then(|c| c.accounts.get_mut(&id))
        else {
            return;
        };
        if !on {
            return self.withdraw(now, session, id);
        }
        if !account.may_register {
            return;
        }
        match &mut account.home {
            Home::Here(aor) => {
                account.registered = true;
                let list = self.lines.here.entry(aor.clone()).or_default();
                if !list.contains(&(session, id)) {
                    list.push((session, id));
                }
            }
            Home::Elsewhere {
                registration: Some(_),
                ..
            } => {}
            Home::Elsewhere {
                route,
                credentials,
                contact,
                registration,
            } => {
                let uri = &account.name.uri;
                let registered = self.sip.register(
                    now,
                    Registration {
                        registrar: Uri::sip(None, uri.host().clone(), uri.port()),
                        aor: NameAddr::new(uri.clone()),
                        user: contact.clone(),
                        route: route.clone(),
                        credentials: credentials.clone(),
                        expires,
                    },
                );
                match registered {
                    Ok(handle) => {
                        *registration = Some(handle);
                        let contact = contact.clone();
                        self.lines.registrations.insert(handle, (session, id));
                        self.lines.elsewhere.insert(contact, (session, id));
                    }
                    Err(refused) => {
                        tracing::warn!(%session, %refused, "cannot register an account");
                        let outcome = Outcome::new(EndReason::Overloaded);
                        let failed = LineEvent::LoginFailed {
                            account: id,
                            outcome,
                            retrying: false,
                        };
                        self.tell_client(session, failed);
                    }
                }
            }
        }
    }

    /// An account is no longer reachable.
    fn withdraw(&mut self, now: Time, session: SessionId, id: AccountId) {
        let Some(account) = self
            .lines
            .clients
            .get_mut(&session)
            .and_then(|c| c.accounts.get_mut(&id))
        else {
            return;
        };
        account.registered = false;
        match &mut account.home {
            Home::Here(aor) => {
                if let Some(list) = self.lines.here.get_mut(aor) {
                    list.retain(|entry| *entry != (session, id));
                    if list.is_empty() {
                        self.lines.here.remove(aor);
                    }
                }
            }
            Home::Elsewhere {
                contact,
                registration,
                ..
            } => {
                self.lines.elsewhere.remove(contact);
                if let Some(handle) = registration.take() {
                    self.lines.registrations.remove(&handle);
                    let _gone = self.sip.unregister(now, handle);
                }
            }
        }
    }

    /// A client logs out.
    pub(super) fn logout(&mut self, now: Time, session: SessionId, id: AccountId) {
        self.withdraw(now, session, id);
        if let Some(client) = self.lines.clients.get_mut(&session) {
            client.accounts.remove(&id);
        }
    }

    /// No account is registered elsewhere any more: the gateway stops.
    pub(super) fn withdraw_all(&mut self, now: Time) {
        let all: Vec<(SessionId, AccountId)> = self.lines.registrations.values().copied().collect();
        for (session, account) in all {
            self.withdraw(now, session, account);
        }
    }

    /// Closes the other sessions that are logged in under an address.
    fn close_earlier(&mut self, now: Time, session: SessionId, uri: &Uri) {
        let earlier: Vec<(SessionId, AccountId)> = self
            .lines
            .clients
            .iter()
            .filter(|(other, _)| **other != session)
            .flat_map(|(other, client)| client.accounts.iter().map(move |(id, a)| (*other, *id, a)))
            .filter(|(_, _, account)| account.name.uri.matches(uri))
            .map(|(other, id, _)| (other, id))
            .collect();
        for (other, id) in earlier {
            self.logout(now, other, id);
            let outcome = Outcome {
                text: "Logged in elsewhere".to_owned(),
                ..Outcome::new(EndReason::HungUp)
            };
            self.tell_client(other, LineEvent::Close { outcome });
        }
    }

    /// A registrar elsewhere accepted an account; false when the registration is of no account.
    pub(super) fn account_registered(&mut self, handle: RegistrationHandle) -> bool {
        let Some((session, id)) = self.lines.registrations.get(&handle).copied() else {
            return false;
        };
        let peer = self.sessions.get(&session).map(|s| s.peer.ip());
        let account = self
            .lines
            .clients
            .get_mut(&session)
            .and_then(|c| c.accounts.get_mut(&id));
        let (Some(account), Some(peer)) = (account, peer) else {
            return true;
        };
        account.accepted = true;
        if !std::mem::replace(&mut account.registered, true) {
            self.guard.succeeded(peer);
            let outcome = Outcome::from_status(200, "OK");
            self.tell_client(session, LineEvent::LoggedIn { account: id, outcome });
        }
        true
    }

    /// A registrar elsewhere refused an account, or was not reached; false when the registration is of no
    /// account.
    pub(super) fn account_refused(&mut self, now: Time, handle: RegistrationHandle, status: u16) -> bool {
        let Some((session, id)) = self.lines.registrations.get(&handle).copied() else {
            return false;
        };
        let peer = self.sessions.get(&session).map(|s| s.peer.ip());
        let account = self
            .lines
            .clients
            .get_mut(&session)
            .and_then(|c| c.accounts.get_mut(&id));
        let (Some(account), Some(peer)) = (account, peer) else {
            return true;
        };
        account.registered = false;
        let wrong = matches!(status, 401 | 403 | 404 | 407);
        // What was once accepted is tried again; so is a server that only was not there.
        let retrying = account.accepted || !wrong;
        let outcome = Outcome::from_status(status, sip::reason_phrase(status));
        tracing::info!(%session, status, retrying, "the registrar of an account refused it");
        if !retrying {
            if let Home::Elsewhere {
                contact,
                registration,
                ..
            } = &mut account.home
            {
                *registration = None;
                self.lines.elsewhere.remove(contact);
            }
            self.lines.registrations.remove(&handle);
            self.sip.forget_registration(handle);
            self.logout(now, session, id);
            self.wrong_login(now, peer);
        }
        self.tell_client(
            session,
            LineEvent::LoginFailed {
                account: id,
                outcome,
                retrying,
            },
        );
        true
    }

    /// Somebody showed a wrong password, or none where one is needed.
    pub(super) fn wrong_login(&mut self, now: Time, peer: IpAddr) {
        self.book.counters.wrong_logins += 1;
        if self.guard.failed(now, peer) {
            tracing::warn!(peer = %Redacted(peer), "too many wrong logins from one address: it has to wait");
        }
    }

    /// Who a client is when it calls, or why it may not.
    pub(super) fn identity_of(&self, session: SessionId, id: Option<AccountId>) -> Result<Identity, Outcome> {
        let refused = |text: &str| Outcome {
            text: text.to_owned(),
            ..Outcome::new(EndReason::Forbidden)
        };
        let asks = self
            .sessions
            .get(&session)
            .is_none_or(|s| self.settings.streamers.asks(s.peer.ip()));
        let accounts = self.lines.clients.get(&session).map(|c| &c.accounts);
        let account = match id {
            Some(id) => {
                let account = accounts.and_then(|a| a.get(&id));
                Some(account.ok_or_else(|| refused("Log in before calling"))?)
            }
            None => accounts.filter(|a| a.len() == 1).and_then(|a| a.values().next()),
        };
        let Some(account) = account else {
            return if asks {
                Err(refused("Log in before calling"))
            } else {
                Ok(Identity::default())
            };
        };
        let server = match &account.home {
            // An account elsewhere was let in at its login; it pays for its own calls.
            Home::Elsewhere {
                route, credentials, ..
            } => Some((route.clone(), credentials.clone())),
            Home::Here(_) if asks && account.user.is_none() => return Err(refused("Log in before calling")),
            Home::Here(_) => None,
        };
        Ok(Identity {
            user: account.user.clone(),
            name: Some(account.name.clone()),
            server,
        })
    }

    /// Finds who is to be rung for what a client dialled.
    pub(super) fn resolve_for(
        &self,
        now: Time,
        dialled: &str,
        identity: &Identity,
    ) -> Result<Callees, Outcome> {
        let target = read_target(dialled).ok_or_else(|| Outcome::new(EndReason::NotFound))?;
        let Some((route, credentials)) = &identity.server else {
            return self.resolve(now, &target, identity.user.as_deref());
        };
        let home = identity.name.as_ref().map(|n| &n.uri);
        let at_home = |user: &str| home.map(|h| Uri::sip(Some(user), h.host().clone(), h.port()));
        let uri = match &target {
            Target::User { user, domain: None } | Target::Number(user) => at_home(user),
            Target::User {
                user,
                domain: Some(domain),
            } => Host::parse_with_port(domain).map(|(host, port)| Uri::sip(Some(user), host, port)),
            Target::Sip(uri) => Uri::parse(uri).ok(),
            _ => return self.resolve(now, &target, None),
        };
        let uri = uri.ok_or_else(|| Outcome::from_status(400, "Not a SIP address"))?;
        if self.is_ours(&uri) {
            return self.resolve_uri(now, &uri, None);
        }
        let route = if route.is_empty() {
            self.settings.outbound_proxy.iter().cloned().collect()
        } else {
            route.clone()
        };
        Ok(Callees::ring(vec![Callee::Sip(Box::new(SipCallee {
            route,
            credentials: credentials.clone(),
            from: identity.name.clone(),
            ..SipCallee::new(uri)
        }))]))
    }

    /// A dialled text as an address, for those who are to see it.
    pub(super) fn address_of(&self, dialled: &str, identity: Option<&Identity>) -> String {
        let domain = self.settings.domains.first().map_or("localhost", String::as_str);
        let home = identity
            .filter(|i| i.server.is_some())
            .and_then(|i| i.name.as_ref());
        let domain = home.map_or(domain.to_owned(), |n| n.uri.host().to_string());
        match read_target(dialled) {
            Some(Target::Sip(uri)) => uri,
            Some(Target::User {
                user,
                domain: Some(domain),
            }) => format!("sip:{user}@{domain}"),
            Some(Target::User { user, domain: None }) | Some(Target::Number(user)) => {
                format!("sip:{user}@{domain}")
            }
            _ => format!("sip:{dialled}@{domain}"),
        }
    }

    /// Whom of the clients an address of record of ours rings.
    pub(super) fn clients_at(&self, aor: &str) -> impl Iterator<Item = Callee> + use<'_> {
        let list = self.lines.here.get(aor).into_iter().flatten();
        list.map(|(session, account)| Callee::Line {
            session: *session,
            account: *account,
        })
    }

    /// The client whose registration elsewhere brought a request to one of our addresses.
    pub(super) fn client_of_contact(&self, target: &Uri) -> Option<Callee> {
        let user = target.user()?;
        let (session, account) = self.lines.elsewhere.get(&*user)?;
        Some(Callee::Line {
            session: *session,
            account: *account,
        })
    }

    /// The user part of a Contact that is nobody else's.
    fn contact_token(&mut self) -> String {
        format!("fg{}", self.rng.token(14))
    }
}

/// What a client dialled: a target, or a name-addr around one.
pub(super) fn read_target(dialled: &str) -> Option<Target> {
    let text = dialled.trim();
    if text.contains('<') || text.starts_with('"') {
        let address = NameAddr::parse(text)?;
        return Target::parse(&address.uri.to_string());
    }
    Target::parse(text)
}

/// Whether two secrets are the same; compared in full whatever differs, so that timing tells nothing.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |d, (x, y)| d | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_headers_pass() {
        let field = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        let given = vec![
            field("X-Ticket", "42"),
            field("Via", "SIP/2.0/UDP evil"),
            field("x-", "nothing"),
            field("X-Bad", "a\r\nRoute: <sip:evil>"),
            field("X-Bad Name", "a"),
            field("subject", "hello"),
            field("X-Long", &"a".repeat(257)),
        ];
        assert_eq!(
            allowed(given),
            [field("X-Ticket", "42"), field("subject", "hello")]
        );
        let many = (0..40).map(|n| field(&format!("X-{n}"), "v")).collect();
        assert_eq!(allowed(many).len(), HEADERS);
    }

    #[test]
    fn a_target_may_stand_in_brackets() {
        assert_eq!(
            read_target("\"Bob\" <sip:bob@example.com>"),
            Some(Target::Sip("sip:bob@example.com".into()))
        );
        assert_eq!(read_target(" echo "), Some(Target::Echo));
        assert_eq!(read_target("\"Bob"), None);
        assert_eq!(read_target("<sip:>"), None);
    }
}
