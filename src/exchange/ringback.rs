//! Ringback: what a caller hears while the callee rings, when nobody else makes it.
//!
//! Flash clients and phones ring by themselves; those who only play a stream, and callers whose carrier wants it in the
//! audio, hear the tone of the configured country. Early media of the callee takes its place.

use std::collections::BTreeSet;

use base::{CallId, LegId, Time};
use call::LegCommand;

use super::{Exchange, Kind};
use crate::shard::Command;

impl Exchange {
    /// Whether a caller is one who hears nothing of the ringing by itself.
    pub(super) fn rings_for(&self, caller: LegId) -> bool {
        matches!(
            self.legs.get(&caller).map(|l| &l.kind),
            Some(Kind::Stream(_) | Kind::Sip(_))
        )
    }

    /// A caller is told that the callee rings: it hears so where nothing else lets it.
    pub(super) fn ring_caller(&mut self, now: Time, call: CallId, caller: LegId) {
        let Some(cadence) = self.settings.ringback else {
            return self.tell_sip(now, caller, LegCommand::Ring);
        };
        match self.legs.get(&caller).map(|l| &l.kind) {
            Some(Kind::Stream(_)) => {}
            Some(Kind::Sip(_)) if self.rings_in_audio(caller) => {
                self.tell_sip(now, caller, LegCommand::Progress);
            }
            Some(Kind::Sip(_)) => return self.tell_sip(now, caller, LegCommand::Ring),
            _ => return,
        }
        let near = self.halves(caller);
        let Some(shard) = near.sinks.first().and_then(|l| self.wiring.shard_of(*l)) else {
            return;
        };
        let tone = self.new_leg();
        self.wiring.add(tone, shard);
        let leg = tone;
        self.command(
            shard,
            Command::OpenTone {
                leg,
                call,
                cadence: Some(cadence),
            },
        );
        let members: BTreeSet<LegId> = near.sinks.iter().copied().chain([tone]).collect();
        let wanted = near.sinks.iter().map(|sink| (tone, *sink)).collect();
        let mut out = Vec::new();
        self.wiring.set(call, &members, &wanted, &mut out);
        self.commands(out);
        if let Some(entry) = self.calls.get_mut(&call) {
            entry.ringback = Some(tone);
        }
    }

    /// Whether the carrier that a caller comes by wants to hear the ringing.
    fn rings_in_audio(&self, caller: LegId) -> bool {
        let by = self.book.party_of(caller).trunk;
        let mut trunks = self.settings.trunks.iter();
        trunks.any(|t| t.ringback && Some(&t.name) == by.as_ref())
    }

    /// Something else is to be heard, or nothing any more.
    pub(super) fn stop_ringback(&mut self, call: CallId) {
        let tone = self.calls.get_mut(&call).and_then(|e| e.ringback.take());
        if let Some(tone) = tone {
            self.silence(tone);
        }
    }

    /// Ends a ringback tone.
    pub(super) fn silence(&mut self, tone: LegId) {
        let mut out = Vec::new();
        self.wiring.remove(tone, &mut out);
        self.commands(out);
    }
}
