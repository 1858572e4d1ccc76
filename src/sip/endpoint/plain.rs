//! Requests that make no dialog: MESSAGE both ways (RFC 3428), OPTIONS as a probe (RFC 3261 §11).

use base::Time;

use super::call::{body_of, set_body};
use super::client::{Owner, Sending};
use super::{CallHandle, Endpoint, Event, OutOfDialog, Refused, RequestHandle};
use crate::auth;
use crate::header::{HeaderName, NameAddr};
use crate::msg::{Method, Request, Response};
use crate::transport::Source;

impl Endpoint {
    /// Sends MESSAGE outside a call; [`Event::RequestResult`] follows.
    ///
    /// # Errors
    /// [`Refused::Limit`], [`Refused::Target`].
    pub fn message(&mut self, now: Time, message: OutOfDialog) -> Result<RequestHandle, Refused> {
        self.send_plain(now, Method::Message, message)
    }

    /// Asks a peer whether it is there: OPTIONS; [`Event::RequestResult`] follows.
    ///
    /// # Errors
    /// [`Refused::Limit`], [`Refused::Target`].
    pub fn options(&mut self, now: Time, options: OutOfDialog) -> Result<RequestHandle, Refused> {
        self.send_plain(now, Method::Options, options)
    }

    fn send_plain(&mut self, now: Time, method: Method, what: OutOfDialog) -> Result<RequestHandle, Refused> {
        if !what.target.is_sip() {
            return Err(Refused::Target);
        }
        let handle = RequestHandle(self.new_id());
        let mut request = Request::new(method.clone(), what.target.clone());
        let mut from = what.from;
        from.set_tag(&self.rng.token(10));
        request.headers.push(HeaderName::MaxForwards, 70);
        request.headers.push(HeaderName::From, &from);
        request.headers.push(HeaderName::To, NameAddr::new(what.target));
        let call_id = self.new_call_id();
        request.headers.push(HeaderName::CallId, call_id);
        request.headers.push(HeaderName::CSeq, format!("1 {method}"));
        let hop = self.route(&mut request, what.route, what.flow.is_some());
        // MESSAGE must not have a Contact (RFC 3428 §4).
        let contact =
            (method == Method::Options).then(|| (from.uri.user().map(|u| u.into_owned()), String::new()));
        if method == Method::Options {
            request.headers.push(HeaderName::Accept, super::server::ACCEPT);
        }
        set_body(&mut request.headers, &mut request.body, what.body);
        let sending = Sending {
            owner: Owner::Plain(handle),
            hop: Some(hop),
            flow: what.flow,
            contact,
            auth: what.credentials.map(auth::Client::new),
        };
        self.start(now, request, sending)?;
        Ok(handle)
    }

    /// The final response to a request outside calls.
    pub(super) fn plain_response(
        &mut self,
        request: RequestHandle,
        response: &Response,
        source: Option<Source>,
    ) {
        self.event(Event::RequestResult {
            request,
            status: response.status,
            peer: source.map(|s| s.remote),
        });
    }

    /// MESSAGE, within a call or outside.
    pub(super) fn handle_message_request(
        &mut self,
        now: Time,
        tx: u64,
        source: Source,
        request: &Request,
        call: Option<CallHandle>,
    ) {
        let Ok(user) = self.authenticate(now, tx, source, request) else {
            return;
        };
        let (Ok(from), Ok(to)) = (request.headers.from(), request.headers.to()) else {
            return;
        };
        self.event(Event::Message {
            request: RequestHandle(tx),
            call,
            target: request.uri.clone(),
            from,
            to,
            source,
            user,
            body: body_of(&request.headers, &request.body),
        });
    }

    /// Answers [`Event::Message`] with a final status; 401 demands credentials. Unanswered, the sender hears
    /// nothing and gives up by itself.
    ///
    /// # Errors
    /// [`Refused::Gone`] when it was answered or too much time passed; [`Refused::State`] for a status below
    /// 200.
    pub fn respond_message(&mut self, now: Time, request: RequestHandle, status: u16) -> Result<(), Refused> {
        if !(200..700).contains(&status) {
            return Err(Refused::State);
        }
        if !self.servers.is_pending(request.0) {
            return Err(Refused::Gone);
        }
        match (status, self.servers.source(request.0)) {
            (401, Some(source)) => self.ask_credentials(now, request.0, source, false),
            _ => self.reject(now, request.0, status),
        }
        Ok(())
    }
}
