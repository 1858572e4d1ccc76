//! Who hears whom, across shards.
//!
//! The exchange thinks in routes from one media half to another. Where the two live on different shards the
//! source gets a stand-in on the sink's shard; this file keeps those in step with the routes.

use std::collections::{BTreeMap, BTreeSet};

use base::{CallId, LegId, ShardId};

use crate::shard::Command;

/// All media halves and the routes between them. Every step costs by the routes of the legs it touches, never
/// by the number of calls.
#[derive(Debug, Default)]
pub(super) struct Wiring {
    halves: BTreeMap<LegId, ShardId>,
    /// Halves on each shard.
    loads: BTreeMap<ShardId, usize>,
    /// (source, sink)
    routes: BTreeSet<(LegId, LegId)>,
    /// (sink, source)
    back: BTreeSet<(LegId, LegId)>,
}

impl Wiring {
    /// A media half exists on a shard.
    pub(super) fn add(&mut self, leg: LegId, shard: ShardId) {
        if self.halves.insert(leg, shard).is_none() {
            *self.loads.entry(shard).or_default() += 1;
        }
    }

    /// Where a media half lives.
    pub(super) fn shard_of(&self, leg: LegId) -> Option<ShardId> {
        self.halves.get(&leg).copied()
    }

    /// How many media halves live on a shard: its load, for placing new ones.
    pub(super) fn load(&self, shard: ShardId) -> usize {
        self.loads.get(&shard).copied().unwrap_or(0)
    }

    /// Makes the routes of `members` be exactly `wanted`; routes that touch no member are left alone.
    pub(super) fn set(
        &mut self,
        call: CallId,
        members: &BTreeSet<LegId>,
        wanted: &BTreeSet<(LegId, LegId)>,
        out: &mut Vec<(ShardId, Command)>,
    ) {
        let gone: BTreeSet<_> = members
            .iter()
            .flat_map(|leg| self.of(*leg))
            .filter(|route| !wanted.contains(route))
            .collect();
        for (from, to) in gone {
            self.disconnect(from, to, out);
        }
        for (from, to) in wanted {
            self.connect(call, *from, *to, out);
        }
    }

    /// Forgets a media half, with every route of it, and tells its shard to close it.
    pub(super) fn remove(&mut self, leg: LegId, out: &mut Vec<(ShardId, Command)>) {
        let gone: BTreeSet<_> = self.of(leg).into_iter().collect();
        for (from, to) in gone {
            self.disconnect(from, to, out);
        }
        if let Some(shard) = self.halves.remove(&leg) {
            if let Some(load) = self.loads.get_mut(&shard) {
                *load = load.saturating_sub(1);
            }
            out.push((shard, Command::Close { leg }));
        }
    }

    /// Halves and routes now, for tests of leaks.
    pub(super) fn population(&self) -> (usize, usize) {
        (self.halves.len(), self.routes.len())
    }

    /// Every route that begins or ends at a leg.
    fn of(&self, leg: LegId) -> Vec<(LegId, LegId)> {
        let range = (leg, LegId(0))..=(leg, LegId(u64::MAX));
        let out = self.routes.range(range.clone()).copied();
        out.chain(self.back.range(range).map(|(to, from)| (*from, *to)))
            .collect()
    }

    fn connect(&mut self, call: CallId, from: LegId, to: LegId, out: &mut Vec<(ShardId, Command)>) {
        let (Some(here), Some(there)) = (self.shard_of(from), self.shard_of(to)) else {
            return;
        };
        if self.routes.contains(&(from, to)) {
            return;
        }
        if here != there && !self.exported(from, there) {
            out.push((there, Command::OpenProxy { leg: from, call }));
            out.push((
                here,
                Command::Export {
                    leg: from,
                    to: there,
                    on: true,
                },
            ));
        }
        self.routes.insert((from, to));
        self.back.insert((to, from));
        out.push((there, Command::Connect { from, to }));
    }

    fn disconnect(&mut self, from: LegId, to: LegId, out: &mut Vec<(ShardId, Command)>) {
        if !self.routes.remove(&(from, to)) {
            return;
        }
        self.back.remove(&(to, from));
        let (Some(here), Some(there)) = (self.shard_of(from), self.shard_of(to)) else {
            return;
        };
        out.push((there, Command::Disconnect { from, to }));
        if here != there && !self.exported(from, there) {
            out.push((
                here,
                Command::Export {
                    leg: from,
                    to: there,
                    on: false,
                },
            ));
            out.push((there, Command::Close { leg: from }));
        }
    }

    /// Whether some route already brings `from` to `shard`.
    fn exported(&self, from: LegId, shard: ShardId) -> bool {
        self.routes
            .range((from, LegId(0))..=(from, LegId(u64::MAX)))
            .any(|(_, to)| self.shard_of(*to) == Some(shard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: LegId = LegId(1);
    const B: LegId = LegId(2);
    const C: LegId = LegId(3);
    const CALL: CallId = CallId(1);

    fn wiring() -> Wiring {
        let mut w = Wiring::default();
        w.add(A, ShardId(0));
        w.add(B, ShardId(1));
        w.add(C, ShardId(1));
        w
    }

    fn set(w: &mut Wiring, wanted: &[(LegId, LegId)]) -> Vec<(ShardId, Command)> {
        let mut out = Vec::new();
        w.set(
            CALL,
            &[A, B, C].into(),
            &wanted.iter().copied().collect(),
            &mut out,
        );
        out
    }

    #[test]
    fn a_source_is_exported_once_for_all_its_sinks_there() {
        let mut w = wiring();
        let out = set(&mut w, &[(A, B), (A, C)]);
        assert_eq!(
            out,
            [
                (ShardId(1), Command::OpenProxy { leg: A, call: CALL }),
                (
                    ShardId(0),
                    Command::Export {
                        leg: A,
                        to: ShardId(1),
                        on: true
                    }
                ),
                (ShardId(1), Command::Connect { from: A, to: B }),
                (ShardId(1), Command::Connect { from: A, to: C }),
            ]
        );
        assert_eq!(set(&mut w, &[(A, B), (A, C)]), []);
        assert_eq!(
            set(&mut w, &[(A, C)]),
            [(ShardId(1), Command::Disconnect { from: A, to: B })]
        );
        assert_eq!(
            set(&mut w, &[]),
            [
                (ShardId(1), Command::Disconnect { from: A, to: C }),
                (
                    ShardId(0),
                    Command::Export {
                        leg: A,
                        to: ShardId(1),
                        on: false
                    }
                ),
                (ShardId(1), Command::Close { leg: A }),
            ]
        );
    }

    #[test]
    fn local_routes_need_no_stand_in_and_removal_takes_all() {
        let mut w = wiring();
        assert_eq!(set(&mut w, &[(B, C), (B, B)]).len(), 2);
        let mut out = Vec::new();
        w.remove(B, &mut out);
        assert_eq!(
            out,
            [
                (ShardId(1), Command::Disconnect { from: B, to: B }),
                (ShardId(1), Command::Disconnect { from: B, to: C }),
                (ShardId(1), Command::Close { leg: B }),
            ]
        );
        assert_eq!(w.load(ShardId(1)), 1);
    }
}
