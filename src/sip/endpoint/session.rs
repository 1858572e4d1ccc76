//! Session timers, as refresher and as the other (RFC 4028).

use std::time::Duration;

use base::{EndReason, Time};

use super::call::{CallTimer, State};
use super::{CallHandle, Deadline, Endpoint};
use crate::header::{HeaderName, Headers, seconds};

/// After a refresh met another offer.
const AGAIN: Duration = Duration::from_secs(5);

/// The session timer of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Session {
    /// Seconds.
    interval: u32,
    /// We refresh.
    ours: bool,
}

/// Session-Expires: seconds, and whether the side that sent the request (`Some(true)`) or its peer refreshes.
fn read(headers: &Headers) -> Option<(u32, Option<bool>)> {
    let value = headers.get(&HeaderName::SessionExpires)?;
    let interval = seconds(value.split(';').next()?.trim())?;
    let refresher = value.split(';').skip(1).find_map(|p| {
        let (name, who) = p.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("refresher")
            .then_some(who.trim())
    });
    let refresher = match refresher {
        Some(who) if who.eq_ignore_ascii_case("uac") => Some(true),
        Some(who) if who.eq_ignore_ascii_case("uas") => Some(false),
        _ => None,
    };
    Some((interval, refresher))
}

fn min_se(headers: &Headers) -> Option<u32> {
    seconds(headers.get(&HeaderName::MinSe)?)
}

fn knows_timer(headers: &Headers) -> bool {
    headers
        .supported()
        .chain(headers.require())
        .any(|tag| tag.eq_ignore_ascii_case("timer"))
}

impl Endpoint {
    /// Asks for a session timer in a first INVITE.
    pub(super) fn offer_session(&self, headers: &mut Headers) {
        if self.config.session_expires > 0 {
            headers.push(HeaderName::SessionExpires, self.config.session_expires);
            headers.push(HeaderName::MinSe, self.config.min_se);
        }
    }

    /// Asks for the same session timer again in a request within the dialog.
    pub(super) fn ask_session(&self, call: CallHandle, headers: &mut Headers) {
        if let Some(c) = self.calls.get(&call)
            && let Some(session) = c.session
        {
            let who = if session.ours { "uac" } else { "uas" };
            let value = format!("{};refresher={who}", session.interval);
            headers.push(HeaderName::SessionExpires, value);
            headers.push(HeaderName::MinSe, c.min_se);
        }
    }

    /// Raises the timer in a request to what a 422 demands; false when it does not ask for more.
    pub(super) fn raise_session(
        &mut self,
        call: CallHandle,
        request: &mut Headers,
        refusal: &Headers,
    ) -> bool {
        let (Some(least), Some((asked, _))) = (min_se(refusal), read(request)) else {
            return false;
        };
        let Some(c) = self.calls.get_mut(&call) else {
            return false;
        };
        if least <= asked.min(c.min_se) {
            return false;
        }
        c.min_se = least;
        request.set(HeaderName::SessionExpires, asked.max(least));
        request.set(HeaderName::MinSe, least);
        true
    }

    /// Answers 422 to a request whose session timer is too short (RFC 4028 §9).
    pub(super) fn session_too_small(&mut self, now: Time, tx: u64, headers: &Headers) -> bool {
        let least = self.config.min_se;
        let too_small = self.config.session_expires > 0
            && knows_timer(headers)
            && read(headers).is_some_and(|(asked, _)| asked < least);
        if too_small {
            self.reject_with(now, tx, 422, vec![(HeaderName::MinSe, least.to_string())]);
        }
        too_small
    }

    /// A 2xx to a request of ours says how the session is kept (RFC 4028 §7.2).
    pub(super) fn session_granted(&mut self, now: Time, call: CallHandle, headers: &Headers) {
        let granted = read(headers).filter(|_| self.config.session_expires > 0);
        let session = granted.map(|(interval, refresher)| Session {
            interval: interval.max(self.config.min_se.min(90)),
            ours: refresher.unwrap_or(true),
        });
        self.keep_session(now, call, session);
    }

    /// Grants a session timer in our 2xx to a request (RFC 4028 §9).
    pub(super) fn grant_session(&mut self, now: Time, call: CallHandle, tx: u64, response: &mut Headers) {
        let ours = self.config.session_expires;
        let Some(request) = self.servers.request(tx) else {
            return;
        };
        if ours == 0 || !knows_timer(&request.headers) {
            self.keep_session(now, call, None);
            return;
        }
        let (asked, refresher) = read(&request.headers).unwrap_or((ours, None));
        let least = min_se(&request.headers).unwrap_or(90).max(self.config.min_se);
        let interval = asked.min(ours).max(least);
        let peer_refreshes = refresher.unwrap_or(true);
        let who = if peer_refreshes { "uac" } else { "uas" };
        response.push(HeaderName::SessionExpires, format!("{interval};refresher={who}"));
        if peer_refreshes {
            response.push(HeaderName::Require, "timer");
        }
        let session = Session {
            interval,
            ours: !peer_refreshes,
        };
        self.keep_session(now, call, Some(session));
    }

    /// Starts the timers anew: refresh after half the interval; the end a little before the whole (§10).
    fn keep_session(&mut self, now: Time, call: CallHandle, session: Option<Session>) {
        let Some(c) = self.calls.get_mut(&call) else {
            return;
        };
        if c.state == State::Over {
            return;
        }
        c.session = session;
        self.timers.clear(&Deadline::Call(call, CallTimer::Refresh));
        self.timers.clear(&Deadline::Call(call, CallTimer::Expire));
        let Some(session) = session else {
            return;
        };
        let whole = u64::from(session.interval);
        if session.ours {
            let at = now + Duration::from_secs(whole / 2);
            self.timers.set(Deadline::Call(call, CallTimer::Refresh), at);
        }
        let end = now + Duration::from_secs(whole - (whole / 3).min(32));
        self.timers.set(Deadline::Call(call, CallTimer::Expire), end);
    }

    /// It is time to refresh: by UPDATE when the peer takes it, else by offering the same again.
    pub(super) fn refresh_session(&mut self, now: Time, call: CallHandle) {
        let Some(c) = self.calls.get(&call) else {
            return;
        };
        if c.state != State::Up {
            return;
        }
        let (updates, body) = (c.peer_updates, c.description.clone());
        let started = if self.offer_under_way(call) {
            false
        } else if updates {
            self.send_update(now, call, None).is_ok()
        } else {
            if let Some(c) = self.calls.get_mut(&call) {
                c.glares = 0;
                c.refreshing = true;
            }
            body.is_some() && self.send_reinvite(now, call, body).is_ok()
        };
        if !started {
            self.refresh_later(now, call);
        }
    }

    pub(super) fn refresh_later(&mut self, now: Time, call: CallHandle) {
        self.timers
            .set(Deadline::Call(call, CallTimer::Refresh), now + AGAIN);
    }

    /// Nobody refreshed the session.
    pub(super) fn session_expired(&mut self, now: Time, call: CallHandle) {
        self.lost_dialog(now, call, EndReason::TimedOut);
    }
}
