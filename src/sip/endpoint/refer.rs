//! Call transfer: REFER with NOTIFY both ways (RFC 3515, 4488), Replaces (RFC 3891).

use base::Time;

use super::call::State;
use super::{Body, CallHandle, Endpoint, Event, Refused};
use crate::header::{HeaderName, Headers, NameAddr};
use crate::msg::{Method, Request, Response, reason_phrase};
use crate::uri::Uri;

/// How long a transfer may take, in seconds.
const DURATION: u32 = 180;

/// A REFER of the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Referral {
    /// Its transaction, until it is answered.
    transaction: Option<u64>,
    /// Its CSeq: the id of the subscription (RFC 3515 §2.4.6).
    cseq: u32,
    /// The peer wants no NOTIFY (RFC 4488).
    silent: bool,
}

impl Endpoint {
    /// REFER of the peer within a call.
    pub(super) fn handle_refer(&mut self, now: Time, tx: u64, call: CallHandle, request: &Request) {
        let mut targets = request.headers.get_all(&HeaderName::ReferTo);
        let target = targets.next().and_then(NameAddr::parse).map(|a| a.uri);
        let (Some(target), None) = (target, targets.next()) else {
            self.reject(now, tx, 400);
            return;
        };
        let cseq = request.headers.cseq().map_or(0, |c| c.seq);
        let silent = request
            .headers
            .get(&HeaderName::new("Refer-Sub"))
            .is_some_and(|v| v.trim().eq_ignore_ascii_case("false"));
        let Some(c) = self.calls.get_mut(&call) else {
            return;
        };
        if c.refer.is_some() {
            // One transfer at a time.
            self.busy_with_offer(now, tx);
            return;
        }
        c.refer = Some(Referral {
            transaction: Some(tx),
            cseq,
            silent,
        });
        let replaces = target.headers().and_then(replaces_of);
        let mut plain = target;
        plain.strip_for_request();
        let referred_by = request.headers.get(&HeaderName::ReferredBy).map(str::to_owned);
        self.event(Event::Refer {
            call,
            target: plain,
            replaces,
            referred_by,
        });
    }

    /// Takes [`Event::Refer`] on: 202, and a first report. Report the end by
    /// [`Endpoint::report_refer`].
    ///
    /// # Errors
    /// [`Refused::Gone`]; [`Refused::State`] when no REFER waits.
    pub fn accept_refer(&mut self, now: Time, call: CallHandle) -> Result<(), Refused> {
        self.answer_refer(now, call, 202)?;
        self.report_refer(now, call, 100)
    }

    /// Refuses [`Event::Refer`], as with 603.
    ///
    /// # Errors
    /// [`Refused::Gone`]; [`Refused::State`] when no REFER waits, or the status is no refusal.
    pub fn refuse_refer(&mut self, now: Time, call: CallHandle, status: u16) -> Result<(), Refused> {
        if !(300..700).contains(&status) {
            return Err(Refused::State);
        }
        self.answer_refer(now, call, status)?;
        if let Some(c) = self.calls.get_mut(&call) {
            c.refer = None;
        }
        Ok(())
    }

    fn answer_refer(&mut self, now: Time, call: CallHandle, status: u16) -> Result<(), Refused> {
        self.live_call(call)?;
        let c = self.calls.get_mut(&call).ok_or(Refused::Gone)?;
        let refer = c.refer.as_mut().ok_or(Refused::State)?;
        let tx = refer.transaction.take().ok_or(Refused::State)?;
        let silent = refer.silent;
        if !self.servers.is_pending(tx) {
            c.refer = None;
            return Err(Refused::Gone);
        }
        let mut response = self.dialog_response(tx, call, status, None)?;
        if silent && status == 202 {
            response.headers.push(HeaderName::new("Refer-Sub"), "false");
        }
        self.respond(now, tx, response);
        Ok(())
    }

    /// Reports how the call goes that a REFER asked for: NOTIFY with its status. From 200 on it is the last.
    ///
    /// # Errors
    /// [`Refused::Gone`]; [`Refused::State`] when no accepted REFER is open.
    pub fn report_refer(&mut self, now: Time, call: CallHandle, status: u16) -> Result<(), Refused> {
        self.live_call(call)?;
        let c = self.calls.get_mut(&call).ok_or(Refused::Gone)?;
        let refer = c
            .refer
            .filter(|r| r.transaction.is_none())
            .ok_or(Refused::State)?;
        if status >= 200 {
            c.refer = None;
        }
        if refer.silent {
            return Ok(());
        }
        let dialog = c.dialog.clone().ok_or(Refused::State)?;
        let state = match status {
            ..200 => format!("active;expires={DURATION}"),
            _ => "terminated;reason=noresource".to_owned(),
        };
        let headers = vec![
            (HeaderName::Event, format!("refer;id={}", refer.cseq)),
            (HeaderName::SubscriptionState, state),
        ];
        let body = Body {
            content_type: "message/sipfrag;version=2.0".to_owned(),
            data: format!("SIP/2.0 {status} {}\r\n", reason_phrase(status)).into_bytes(),
        };
        self.send_in_dialog(now, call, &dialog, Method::Notify, headers, Some(body))?;
        Ok(())
    }

    /// Asks the peer to call `target` in our place; [`Event::ReferProgress`] follows. `replaces` is put into
    /// the target for an attended transfer.
    ///
    /// # Errors
    /// [`Refused::Gone`]; [`Refused::State`] before there is a dialog; [`Refused::Limit`].
    pub fn refer(
        &mut self,
        now: Time,
        call: CallHandle,
        target: &Uri,
        replaces: Option<CallHandle>,
    ) -> Result<(), Refused> {
        let c = self.live_call(call)?;
        if c.state != State::Up {
            return Err(Refused::State);
        }
        let dialog = c.dialog.clone().ok_or(Refused::State)?;
        let mut to = target.to_string();
        if let Some(other) = replaces {
            let other = self.live_call(other)?.dialog.as_ref().ok_or(Refused::State)?;
            let value = format!(
                "{};to-tag={};from-tag={}",
                other.call_id,
                other.remote_tag(),
                other.local.tag().unwrap_or("")
            );
            to.push_str(if target.headers().is_some() { "&" } else { "?" });
            to.push_str("Replaces=");
            to.push_str(&escape(&value));
        }
        let headers = vec![
            (HeaderName::ReferTo, format!("<{to}>")),
            (HeaderName::ReferredBy, format!("<{}>", dialog.local.uri)),
        ];
        self.send_in_dialog(now, call, &dialog, Method::Refer, headers, None)?;
        Ok(())
    }

    /// The final response to our REFER.
    pub(super) fn refer_final(&mut self, now: Time, call: CallHandle, response: &Response) {
        let up = self.calls.get(&call).is_some_and(|c| c.state == State::Up);
        if up && !response.is_success() {
            let status = response.status;
            self.event(Event::ReferProgress { call, status });
        }
        self.in_dialog_final(now, call, 0, response);
    }

    /// NOTIFY of the peer: the progress of our REFER.
    pub(super) fn handle_notify(&mut self, now: Time, tx: u64, call: CallHandle, request: &Request) {
        let event = request.headers.get(&HeaderName::Event).unwrap_or("");
        let kind = event.split(';').next().unwrap_or("").trim();
        if !kind.eq_ignore_ascii_case("refer") {
            self.reject_with(now, tx, 489, vec![(HeaderName::AllowEvents, "refer".to_owned())]);
            return;
        }
        self.reject(now, tx, 200);
        let line = request.body.split(|b| *b == b'\n').next().unwrap_or_default();
        let status = std::str::from_utf8(line)
            .ok()
            .and_then(|l| l.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok());
        if let Some(status) = status {
            self.event(Event::ReferProgress { call, status });
        }
    }

    /// The call of ours that a Replaces header field names, as in the target of a REFER (RFC 3891 §3).
    pub fn call_of_replaces(&self, value: &str) -> Option<CallHandle> {
        self.replaced(value).0
    }

    /// That call, and whether it may be replaced only before its answer.
    fn replaced(&self, value: &str) -> (Option<CallHandle>, bool) {
        let mut parts = value.split(';').map(str::trim);
        let call_id = parts.next().unwrap_or("");
        let (mut to_tag, mut from_tag, mut early_only) = ("", "", false);
        for part in parts {
            match part.split_once('=') {
                Some((n, v)) if n.eq_ignore_ascii_case("to-tag") => to_tag = v,
                Some((n, v)) if n.eq_ignore_ascii_case("from-tag") => from_tag = v,
                _ => early_only |= part.eq_ignore_ascii_case("early-only"),
            }
        }
        let found = self
            .dialogs
            .get(&(call_id.to_owned(), to_tag.to_owned()))
            .copied();
        let matches = |h: &CallHandle| {
            let dialog = self.calls.get(h).and_then(|c| c.dialog.as_ref());
            dialog.is_some_and(|d| d.remote_tag() == from_tag)
        };
        (found.filter(matches), early_only)
    }

    /// The call that an INVITE is to replace (RFC 3891 §3). An unknown one is refused, and so is a second
    /// Replaces; then `Err` says that the request is dealt with.
    pub(super) fn find_replaced(
        &mut self,
        now: Time,
        tx: u64,
        headers: &Headers,
    ) -> Result<Option<CallHandle>, ()> {
        if !self.config.transfers {
            return Ok(None);
        }
        let mut values = headers.get_all(&HeaderName::Replaces);
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            self.reject(now, tx, 400);
            return Err(());
        }
        let (found, early_only) = self.replaced(value);
        let found = found.and_then(|h| Some((h, self.calls.get(&h)?.state)));
        let status = match found {
            Some((h, State::Up)) if !early_only => return Ok(Some(h)),
            Some((_, State::Up)) => 486,
            Some((_, State::Over)) => 603,
            // Ringing: only calls that we made could be replaced before their answer.
            _ => 481,
        };
        self.reject(now, tx, status);
        Err(())
    }
}

/// The Replaces header in the headers of a URI.
fn replaces_of(headers: &str) -> Option<String> {
    headers.split('&').find_map(|h| {
        let (name, value) = h.split_once('=')?;
        name.eq_ignore_ascii_case("Replaces").then(|| unescape(value))
    })
}

fn unescape(s: &str) -> String {
    let mut out = Vec::with_capacity(s.len());
    let mut rest = s.as_bytes();
    while let Some((&b, tail)) = rest.split_first() {
        let code = tail.get(..2).and_then(|d| std::str::from_utf8(d).ok());
        match code.and_then(|d| u8::from_str_radix(d, 16).ok()) {
            Some(value) if b == b'%' => {
                out.push(value);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(b);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn escape(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    for b in s.bytes() {
        if b.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&b) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}
