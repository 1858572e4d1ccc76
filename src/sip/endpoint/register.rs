//! REGISTER both ways: the embedded registrar's half, and the bindings we keep elsewhere (RFC 3261 §10).

use std::time::Duration;

use base::{ConnId, Time};

use super::client::{Owner, Sending};
use super::config::OpenRegistration;
use super::{Binding, Deadline, Endpoint, Event, Refused, Registration, RegistrationHandle};
use crate::auth;
use crate::header::{HeaderName, NameAddr, seconds};
use crate::msg::{Method, Request, Response};
use crate::registrar::Rejection;
use crate::transport::Source;
use crate::uri::Uri;

/// The first wait after a failure and the longest (RFC 5626 §4.5).
const RETRY_FIRST: u32 = 30;
const RETRY_LONGEST: u32 = 1800;
/// Hops of a Service-Route that are taken.
const SERVICE_ROUTES: usize = 8;

/// A binding we keep at a registrar.
#[derive(Debug)]
pub(super) struct Client {
    what: Registration,
    call_id: String,
    tag: String,
    cseq: u32,
    pub(super) auth: Option<auth::Client>,
    /// Seconds to ask for: as configured, or what the registrar's 423 demands.
    expires: u32,
    busy: bool,
    /// The binding is to be removed.
    leaving: bool,
    /// The request under way is the removal.
    removing: bool,
    failures: u32,
}

impl Endpoint {
    /// The key of an address of record that we serve: `user@domain` with our first domain, whichever of our
    /// names or addresses the URI uses. `None` for others and for URIs without user.
    pub fn aor(&self, uri: &Uri) -> Option<String> {
        if !uri.is_sip() || !self.config.is_ours(uri) {
            return None;
        }
        Some(format!("{}@{}", uri.user()?, self.host_token()))
    }

    /// What is bound to an address of record ([`Endpoint::aor`]), preferred ones first.
    pub fn bindings(&self, now: Time, aor: &str) -> Vec<Binding> {
        self.registrar.bindings(now, aor)
    }

    /// Every address of record that somebody registered, in alphabetical order.
    pub fn registrations(&self) -> impl Iterator<Item = &str> {
        self.registrar.aors()
    }

    /// REGISTER for the embedded registrar (RFC 3261 §10.3).
    pub(super) fn handle_register(&mut self, now: Time, tx: u64, source: Source, request: &Request) {
        let Ok(to) = request.headers.to() else {
            return;
        };
        if !self.config.is_ours(&request.uri) {
            self.reject(now, tx, 404);
            return;
        }
        let open = match self.config.open_registration {
            OpenRegistration::Nobody => false,
            OpenRegistration::Loopback => source.remote.ip().is_loopback(),
            OpenRegistration::Anybody => true,
        };
        if !to.uri.is_sip() {
            self.reject(now, tx, 400);
            return;
        }
        let user = match self.authenticate(now, tx, source, request) {
            Ok(None) if !open => {
                self.ask_credentials(now, tx, source, false);
                return;
            }
            Ok(user) => user,
            Err(()) => return,
        };
        let Some(aor) = self.aor(&to.uri) else {
            self.reject(now, tx, 404);
            return;
        };
        // Nobody registers for another.
        let owner = to.uri.user().unwrap_or_default();
        let is_owner = |user: &String| *user == owner || user.split('@').next() == Some(&*owner);
        // An open registrar still keeps the names of its accounts for those who know the password.
        let allowed = match &user {
            Some(user) => is_owner(user),
            None => !self.users.contains_key(&*owner),
        };
        if !allowed && user.is_none() {
            self.ask_credentials(now, tx, source, false);
            return;
        }
        if !allowed {
            self.reject(now, tx, 403);
            return;
        }
        let done = self.registrar.register(now, &aor, request, source);
        self.arm_bindings();
        let (status, header) = match done {
            Ok(changed) => {
                self.register_done(now, tx, &aor, request);
                if changed {
                    self.bindings_changed(now, aor);
                }
                return;
            }
            Err(Rejection::Malformed) => (400, None),
            Err(Rejection::OutOfOrder) => (500, None),
            Err(Rejection::TooBrief(min)) => (423, Some((HeaderName::MinExpires, min.to_string()))),
            Err(Rejection::TooMany) => (403, None),
            Err(Rejection::Full) => (503, Some((HeaderName::RetryAfter, "60".to_owned()))),
        };
        self.reject_with(now, tx, status, header.into_iter().collect());
    }

    fn register_done(&mut self, now: Time, tx: u64, aor: &str, request: &Request) {
        let mut response = Response::to_request(request, 200, None);
        for binding in self.registrar.bindings(now, aor) {
            let mut contact = NameAddr::new(binding.target);
            contact.params.set("expires", Some(&binding.expires.to_string()));
            if binding.q != 1000 {
                let q = format!("0.{:03}", binding.q);
                contact
                    .params
                    .set("q", Some(q.trim_end_matches('0').trim_end_matches('.')));
            }
            response.headers.push(HeaderName::Contact, contact);
        }
        response.headers.copy_from(&request.headers, &HeaderName::Path);
        self.respond(now, tx, response);
    }

    fn bindings_changed(&mut self, now: Time, aor: String) {
        let bindings = self.registrar.bindings(now, &aor);
        self.event(Event::BindingsChanged { aor, bindings });
    }

    fn arm_bindings(&mut self) {
        match self.registrar.next_end() {
            Some(at) => self.timers.set(Deadline::Bindings, at),
            None => self.timers.clear(&Deadline::Bindings),
        }
    }

    /// Bindings ended by time.
    pub(super) fn expire_bindings(&mut self, now: Time) {
        for aor in self.registrar.expire(now) {
            self.bindings_changed(now, aor);
        }
        self.arm_bindings();
    }

    /// Bindings whose connection closed.
    pub(super) fn drop_flow(&mut self, now: Time, conn: ConnId) {
        for aor in self.registrar.drop_flow(conn) {
            self.bindings_changed(now, aor);
        }
        self.arm_bindings();
    }

    /// Registers and keeps the binding alive until [`Endpoint::unregister`].
    ///
    /// # Errors
    /// [`Refused::Target`].
    pub fn register(&mut self, now: Time, what: Registration) -> Result<RegistrationHandle, Refused> {
        if !what.registrar.is_sip() {
            return Err(Refused::Target);
        }
        let handle = RegistrationHandle(self.new_id());
        let client = Client {
            call_id: self.new_call_id(),
            tag: self.rng.token(10),
            cseq: 0,
            auth: what.credentials.clone().map(auth::Client::new),
            expires: what.expires,
            busy: false,
            leaving: false,
            removing: false,
            failures: 0,
            what,
        };
        self.registrations.insert(handle, client);
        self.registration_due(now, handle);
        Ok(handle)
    }

    /// Removes a binding; [`Event::Unregistered`] follows.
    ///
    /// # Errors
    /// [`Refused::Gone`].
    pub fn unregister(&mut self, now: Time, handle: RegistrationHandle) -> Result<(), Refused> {
        let r = self.registrations.get_mut(&handle).ok_or(Refused::Gone)?;
        if r.leaving {
            return Err(Refused::Gone);
        }
        r.leaving = true;
        r.expires = 0;
        let busy = r.busy;
        self.timers.clear(&Deadline::Registration(handle));
        if !busy {
            self.registration_due(now, handle);
        }
        Ok(())
    }

    /// Forgets a registration that its registrar refused for good: nothing more is sent for it.
    pub fn forget_registration(&mut self, handle: RegistrationHandle) {
        self.registrations.remove(&handle);
        self.timers.clear(&Deadline::Registration(handle));
    }

    /// Sends REGISTER.
    pub(super) fn registration_due(&mut self, now: Time, handle: RegistrationHandle) {
        let Some(r) = self.registrations.get_mut(&handle) else {
            return;
        };
        r.busy = true;
        r.removing = r.leaving;
        r.cseq = r.cseq.wrapping_add(1);
        let mut request = Request::new(Method::Register, r.what.registrar.clone());
        let mut from = r.what.aor.clone();
        from.set_tag(&r.tag);
        request.headers.push(HeaderName::MaxForwards, 70);
        request.headers.push(HeaderName::From, &from);
        request.headers.push(HeaderName::To, &r.what.aor);
        request.headers.push(HeaderName::CallId, &r.call_id);
        request
            .headers
            .push(HeaderName::CSeq, format!("{} REGISTER", r.cseq));
        request.headers.push(HeaderName::Expires, r.expires);
        let contact = (Some(r.what.user.clone()), format!(";expires={}", r.expires));
        let (auth, route) = (r.auth.clone(), r.what.route.clone());
        let hop = self.route(&mut request, route, false);
        request.headers.push(HeaderName::Allow, self.allow());
        request.headers.push(HeaderName::Supported, "path");
        let sending = Sending {
            owner: Owner::Registration(handle),
            hop: Some(hop),
            flow: None,
            contact: Some(contact),
            auth,
        };
        if self.start(now, request, sending).is_err() {
            self.registration_failed(now, handle, 503, None);
        }
    }

    pub(super) fn registration_cseq(&mut self, handle: RegistrationHandle) -> Option<u32> {
        let r = self.registrations.get_mut(&handle)?;
        r.cseq = r.cseq.wrapping_add(1);
        Some(r.cseq)
    }

    /// The final response to our REGISTER.
    pub(super) fn registration_response(
        &mut self,
        now: Time,
        handle: RegistrationHandle,
        response: Response,
        source: Option<Source>,
    ) {
        let Some(r) = self.registrations.get_mut(&handle) else {
            return;
        };
        r.busy = false;
        if r.leaving {
            if r.removing {
                // Whatever the answer: an unreachable registrar forgets by itself.
                self.registrations.remove(&handle);
                self.event(Event::Unregistered { registration: handle });
            } else {
                self.registration_due(now, handle);
            }
            return;
        }
        match response.status {
            200..=299 => {
                r.failures = 0;
                let (asked, user) = (r.expires, r.what.user.clone());
                let granted = self.granted(&response, &user).unwrap_or(asked).max(1);
                let wait = if granted > 120 {
                    granted - (granted / 10).max(30)
                } else {
                    granted.div_ceil(2)
                };
                self.retry_registration(now, handle, wait);
                let routes = response.headers.list(&HeaderName::ServiceRoute);
                let service_route = routes.filter_map(|r| NameAddr::parse(r).map(|r| r.uri));
                self.event(Event::Registered {
                    registration: handle,
                    expires: granted,
                    peer: source.map(|s| s.remote),
                    service_route: service_route.take(SERVICE_ROUTES).collect(),
                });
            }
            423 if response.headers.min_expires().is_some_and(|min| min > r.expires) => {
                r.expires = response.headers.min_expires().unwrap_or(r.expires);
                self.registration_due(now, handle);
            }
            status => {
                let after = response.headers.retry_after();
                self.registration_failed(now, handle, status, after);
            }
        }
    }

    /// How long the registrar binds our Contact, in seconds.
    fn granted(&self, response: &Response, user: &str) -> Option<u32> {
        let contacts = response.headers.contacts().unwrap_or_default();
        let ours = contacts.iter().find(|c| {
            c.uri.user().as_deref() == Some(user)
                && self
                    .config
                    .listeners
                    .iter()
                    .any(|l| l.host.matches(c.uri.host()) && c.uri.port() == Some(l.port))
        });
        ours.and_then(|c| seconds(c.params.get("expires")?))
            .or(response.headers.expires())
    }

    fn registration_failed(
        &mut self,
        now: Time,
        handle: RegistrationHandle,
        status: u16,
        after: Option<u32>,
    ) {
        let Some(r) = self.registrations.get_mut(&handle) else {
            return;
        };
        r.busy = false;
        if r.leaving {
            self.registrations.remove(&handle);
            self.event(Event::Unregistered { registration: handle });
            return;
        }
        let longest = RETRY_FIRST
            .saturating_mul(1 << r.failures.min(10))
            .min(RETRY_LONGEST);
        r.failures = r.failures.saturating_add(1);
        // Half of it at random, so that many clients do not come back at once.
        let part = u32::try_from(self.rng.below(u64::from(longest / 2 + 1))).unwrap_or(0);
        let wait = (longest / 2 + part).max(after.unwrap_or(0).min(86_400));
        self.retry_registration(now, handle, wait);
        self.event(Event::RegisterFailed {
            registration: handle,
            status,
            retry: wait,
        });
    }

    fn retry_registration(&mut self, now: Time, handle: RegistrationHandle, wait: u32) {
        let wait = Duration::from_secs(u64::from(wait));
        self.timers.set(Deadline::Registration(handle), now + wait);
    }
}
