//! OPTIONS: whether the gateways of trunks are there.

use std::net::SocketAddr;

use base::Time;
use sip::{NameAddr, OutOfDialog, RequestHandle};

use super::Exchange;
use super::trunks::{PATIENCE, Trunk};

impl Exchange {
    /// Asks the gateways that are due, and gives up on those that did not answer.
    pub(super) fn probe_trunks(&mut self, now: Time) {
        let settings = self.settings.clone();
        for trunk in &settings.trunks {
            let Some(every) = trunk.probe else { continue };
            for (place, gateway) in trunk.gateways.iter().enumerate() {
                let key = (trunk.name.clone(), place);
                let Some(state) = self.trunks.gateways.get_mut(&key) else {
                    continue;
                };
                if state
                    .asked
                    .take_if(|(_, at)| *at + PATIENCE.min(every) <= now)
                    .is_some()
                {
                    self.missed(now, trunk, place, 408);
                }
                let Some(state) = self.trunks.gateways.get_mut(&key) else {
                    continue;
                };
                if state.next_probe.is_some_and(|at| at <= now) {
                    state.next_probe = Some(now + every);
                    let question = OutOfDialog {
                        target: gateway.uri.clone(),
                        from: NameAddr::new(trunk.aor.clone()),
                        route: Vec::new(),
                        flow: None,
                        body: None,
                        credentials: None,
                    };
                    let asked = self.sip.options(now, question).ok();
                    if let Some(state) = self.trunks.gateways.get_mut(&key) {
                        state.asked = asked.map(|handle| (handle, now));
                    }
                }
            }
        }
    }

    fn missed(&mut self, now: Time, trunk: &Trunk, place: usize, status: u16) {
        let key = (trunk.name.clone(), place);
        let Some(state) = self.trunks.gateways.get_mut(&key) else {
            return;
        };
        state.misses = state.misses.saturating_add(1);
        state.book.status = Some(status);
        state.book.rtt = None;
        if state.misses >= trunk.probe_failures && state.set(now, false) {
            tracing::warn!(
                trunk = trunk.name,
                place,
                status,
                "a gateway of the trunk does not answer: it gets no calls while another does"
            );
        }
    }

    /// The end of a request outside calls; false when it is none of ours.
    pub(super) fn probe_answered(
        &mut self,
        now: Time,
        request: RequestHandle,
        status: u16,
        peer: Option<SocketAddr>,
    ) -> bool {
        let settings = self.settings.clone();
        let mut found = self.trunks.gateways.iter_mut();
        let found = found.find(|(_, g)| g.asked.is_some_and(|(handle, _)| handle == request));
        let Some(((name, place), state)) = found else {
            return false;
        };
        let (name, place) = (name.clone(), *place);
        let asked = state.asked.take();
        let Some(trunk) = settings.trunks.iter().find(|t| t.name == name) else {
            return true;
        };
        // Whoever refuses OPTIONS is there to do so; these say that it is not.
        if matches!(status, 408 | 502 | 503 | 504) {
            self.missed(now, trunk, place, status);
            return true;
        }
        if self.trunks.learn(&name, peer) {
            self.trust_trunks();
        }
        if let Some(state) = self.trunks.gateways.get_mut(&(name, place)) {
            state.book.status = Some(status);
            state.book.rtt = asked.map(|(_, at)| now.since(at));
            if state.set(now, true) {
                tracing::info!(trunk = trunk.name, place, "a gateway of the trunk is up");
            }
            state.misses = 0;
        }
        true
    }
}
