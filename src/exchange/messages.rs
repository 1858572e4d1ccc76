//! Texts: SIP MESSAGE both ways (RFC 3428), between clients, phones and elsewhere.

use base::{EndReason, SessionId, Time};
use call::{AccountId, Line, LineEvent, Outcome};
use sip::{Body, CallHandle, NameAddr, OutOfDialog, Params, RequestHandle, Source, Uri};

use super::accounts::Identity;
use super::dial::{Callee, SipCallee};
use super::{Exchange, Kind};

/// The largest text, in bytes (RFC 3428 §8).
const LONGEST: usize = 1_300;
/// Answers that are waited for at a time.
const WAITING: usize = 1_024;

/// A text that came by SIP.
pub(super) struct Text {
    pub(super) request: RequestHandle,
    pub(super) call: Option<CallHandle>,
    pub(super) target: Uri,
    pub(super) from: NameAddr,
    pub(super) source: Source,
    pub(super) user: Option<String>,
    pub(super) body: Option<Body>,
}

impl Exchange {
    /// A text came by SIP.
    pub(super) fn text_came(&mut self, now: Time, text: Text) {
        let request = text.request;
        if let Some(status) = self.take_text(now, text) {
            let _gone = self.sip.respond_message(now, request, status);
        }
    }

    /// Passes a text on, and says what the sender is answered.
    fn take_text(&mut self, now: Time, text: Text) -> Option<u16> {
        let Text {
            call,
            target,
            from,
            source,
            user,
            body,
            ..
        } = text;
        let words = match body {
            Some(body) if is_plain(&body) && body.data.len() <= LONGEST => {
                String::from_utf8_lossy(&body.data).into_owned()
            }
            Some(body) if is_plain(&body) => return Some(513),
            Some(_) => return Some(415),
            None => return Some(400),
        };
        let sender = from.uri.to_string();
        if let Some(call) = call {
            let leg = self.by_handle.get(&call).and_then(|leg| self.other_leg(*leg));
            let Some(leg) = leg else { return Some(480) };
            return Some(self.text_to_leg(now, leg, sender, words));
        }
        let client = self.client_of_contact(&target);
        let known = user.is_some() || client.is_some();
        let known = known || self.trunk_of(source, None, &from, None).is_some();
        if !known && self.must_authenticate(&from, source) {
            return Some(401);
        }
        let callees = match client {
            Some(client) => vec![client],
            None if self.is_ours(&target) => match self.resolve_uri(now, &target, None) {
                Ok(callees) => callees.ring,
                Err(outcome) if known => return Some(outcome.status),
                Err(outcome) => return Some(self.turned_away(now, source, outcome).status),
            },
            // We are nobody's open relay.
            None => return Some(404),
        };
        let from = NameAddr {
            params: Params::new(),
            ..from
        };
        Some(self.text_to(now, callees, &from, &words, None))
    }

    /// Gives a text to a party of a call; says how that went.
    fn text_to_leg(&mut self, now: Time, leg: base::LegId, from: String, text: String) -> u16 {
        match self.legs.get(&leg).map(|l| &l.kind) {
            Some(Kind::Line(entry)) => {
                let (session, line) = (entry.session, entry.line);
                let event = LineEvent::Message {
                    account: None,
                    line: Some(line),
                    from,
                    text,
                };
                self.tell_client(session, event);
                200
            }
            Some(Kind::Sip(sip)) => match sip.handle {
                Some(handle) if self.sip.message_within(now, handle, plain(&text)).is_ok() => 202,
                _ => 480,
            },
            _ => 480,
        }
    }

    /// Gives a text to all of those an address leads to; says how that went. `sender` is told what phones
    /// answer.
    fn text_to(
        &mut self,
        now: Time,
        callees: Vec<Callee>,
        from: &NameAddr,
        text: &str,
        sender: Option<SessionId>,
    ) -> u16 {
        let (mut given, mut sent) = (false, false);
        for callee in callees {
            match callee {
                Callee::Line { session, account } => {
                    let event = LineEvent::Message {
                        account: Some(account),
                        line: None,
                        from: from.uri.to_string(),
                        text: text.to_owned(),
                    };
                    self.tell_client(session, event);
                    given = true;
                }
                Callee::Sip(callee) => sent |= self.text_to_sip(now, *callee, from, text, sender),
                // Texts are not looked for in the directory.
                Callee::Sought(sought) => {
                    if let Ok(callee) = sought.otherwise {
                        sent |= self.text_to_sip(now, callee, from, text, sender);
                    }
                }
                _ => {}
            }
        }
        match (given, sent) {
            (true, _) => 200,
            (false, true) => 202,
            _ => 480,
        }
    }

    fn text_to_sip(
        &mut self,
        now: Time,
        callee: SipCallee,
        from: &NameAddr,
        text: &str,
        sender: Option<SessionId>,
    ) -> bool {
        let (flow, route) = match callee.binding {
            Some(binding) if binding.path.is_empty() => (binding.flow, callee.route),
            Some(binding) => (None, binding.path),
            None => (None, callee.route),
        };
        let message = OutOfDialog {
            target: callee.target,
            from: callee.from.unwrap_or_else(|| from.clone()),
            route,
            flow,
            body: Some(plain(text)),
            credentials: callee.credentials,
        };
        match self.sip.message(now, message) {
            Ok(request) => {
                if let Some(session) = sender
                    && self.lines.texts.len() < WAITING
                {
                    self.lines.texts.insert(request, session);
                }
                true
            }
            Err(_) => false,
        }
    }

    /// A client sends a text.
    pub(super) fn send_text(
        &mut self,
        now: Time,
        session: SessionId,
        account: Option<AccountId>,
        line: Option<Line>,
        target: &str,
        text: String,
    ) {
        let outcome = if text.len() > LONGEST {
            Some(Outcome::new(EndReason::TooLarge))
        } else {
            match self.identity_of(session, account) {
                Ok(identity) => self.send_text_as(now, session, &identity, line, target, text),
                Err(outcome) => Some(outcome),
            }
        };
        if let Some(outcome) = outcome {
            self.tell_client(session, LineEvent::MessageSent { outcome });
        }
    }

    /// `None` when the answer of the far end is waited for.
    fn send_text_as(
        &mut self,
        now: Time,
        session: SessionId,
        identity: &Identity,
        line: Option<Line>,
        target: &str,
        text: String,
    ) -> Option<Outcome> {
        let party = identity.party(String::new(), Vec::new());
        let from = self.identity(&party);
        let status = match line {
            Some(line) => {
                let leg = self.lines.leg(session, line).and_then(|leg| self.other_leg(leg));
                leg.map_or(481, |leg| self.text_to_leg(now, leg, from.uri.to_string(), text))
            }
            None => match self.resolve_for(now, target, identity) {
                Ok(callees) => self.text_to(now, callees.ring, &from, &text, Some(session)),
                Err(outcome) => return Some(outcome),
            },
        };
        // What goes out by SIP is answered by those it reaches; within a call nobody tells us.
        if status == 202 && line.is_none() {
            return None;
        }
        Some(Outcome::from_status(status, sip::reason_phrase(status)))
    }

    /// A text that a client sent was answered.
    pub(super) fn text_answered(&mut self, request: RequestHandle, status: u16) {
        if let Some(session) = self.lines.texts.remove(&request) {
            let outcome = Outcome::from_status(status, sip::reason_phrase(status));
            self.tell_client(session, LineEvent::MessageSent { outcome });
        }
    }
}

fn is_plain(body: &Body) -> bool {
    let kind = body.content_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("text/plain")
}

fn plain(text: &str) -> Body {
    Body {
        content_type: "text/plain;charset=UTF-8".to_owned(),
        data: text.as_bytes().to_vec(),
    }
}
