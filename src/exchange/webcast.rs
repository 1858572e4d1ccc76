//! Webcasts of rooms: the mix of a room, published on RTMP servers elsewhere.
//!
//! Each is a call of the room to a stream there, which is patient: it answers at once and is dialled again for as long
//! as the room lasts, so that no server ever holds a room up. The room's leg hears the mix and is no member.

use base::{EndReason, LegId, Redacted, ShardId, Time};
use call::{Outcome, Secret};

use super::dial::{Callee, Callees};
use super::line_leg::Party;
use super::{Exchange, Kind, Leg};
use crate::shard::Remote;

/// Webcasts of one room at most.
const MOST: usize = 16;

/// The stream a room is to be published to.
///
/// # Errors
/// It is none.
pub(super) fn read(url: &Secret) -> Result<Remote, Outcome> {
    let remote = Remote::parse(url.reveal()).map_err(|what| Outcome::from_status(400, &what))?;
    if !remote.publishes {
        return Err(Outcome::from_status(400, "A room is published, not played"));
    }
    Ok(remote)
}

impl Exchange {
    /// Publishes the mix of a room; nothing happens when that is done already.
    ///
    /// # Errors
    /// There is no such room, it has many webcasts, or the gateway is at its limit.
    pub(super) fn webcast_room(&mut self, now: Time, name: &str, remote: Remote) -> Result<(), Outcome> {
        let leg = self.new_leg();
        let Some(open) = self.rooms.open.get_mut(name) else {
            return Err(Outcome::new(EndReason::NotFound));
        };
        if open.webcasts.values().any(|r| *r == remote) {
            return Ok(());
        }
        if open.webcasts.len() >= MOST {
            return Err(Outcome::from_status(486, "The room has too many webcasts"));
        }
        tracing::info!(room = %Redacted(name), %remote, "webcast begins");
        open.webcasts.insert(leg, remote.clone());
        let kind = Kind::Room(name.to_owned());
        let shown_as = format!("conference/{name}");
        self.book.party(leg, super::view::kind(&kind), shown_as, None);
        self.book.dials(leg, remote.to_string());
        self.legs.insert(leg, Leg { call: None, kind });
        let party = Party {
            id: name.to_owned(),
            to: remote.to_string(),
            ..Party::default()
        };
        let callees = Callees::ring(vec![Callee::Outbound(Box::new(remote), true)]);
        self.begin(now, leg, party, Ok(callees));
        if self.is_webcast(name, leg) {
            Ok(())
        } else {
            Err(Outcome::new(EndReason::Overloaded))
        }
    }

    /// A configured room opens: it is webcast as it says there.
    pub(super) fn webcast_configured(&mut self, now: Time, name: &str) {
        let rooms = &self.settings.conference.rooms;
        let configured = rooms.iter().find(|r| r.name == name);
        for remote in configured.map(|r| r.webcast.clone()).unwrap_or_default() {
            if let Err(outcome) = self.webcast_room(now, name, remote) {
                tracing::warn!(room = %Redacted(name), reason = outcome.text, "a webcast could not begin");
            }
        }
    }

    /// Ends one webcast of a room, or all.
    pub(super) fn stop_webcast(&mut self, now: Time, name: &str, remote: Option<&Remote>) {
        let Some(open) = self.rooms.open.get(name) else {
            return;
        };
        let legs = open
            .webcasts
            .iter()
            .filter(|(_, r)| remote.is_none_or(|wanted| wanted == *r));
        let legs: Vec<LegId> = legs.map(|(leg, _)| *leg).collect();
        for leg in legs {
            if let Some(call) = self.legs.get(&leg).and_then(|l| l.call) {
                self.hang_up_call(now, call, Outcome::new(EndReason::HungUp));
            }
        }
    }

    /// Ends the webcasts of a room in which nobody is left.
    pub(super) fn end_lonely_webcasts(&mut self, now: Time, name: &str) {
        if self.rooms.open.get(name).is_some_and(|open| open.room.is_empty()) {
            self.stop_webcast(now, name, None);
        }
    }

    /// Whether a leg of a room is that of a webcast.
    pub(super) fn is_webcast(&self, name: &str, leg: LegId) -> bool {
        self.rooms
            .open
            .get(name)
            .is_some_and(|open| open.webcasts.contains_key(&leg))
    }

    /// A shard on which the room of a leg is mixed.
    pub(super) fn room_shard(&self, leg: LegId) -> Option<ShardId> {
        match self.legs.get(&leg).map(|l| &l.kind) {
            Some(Kind::Room(name)) => self.rooms.open.get(name)?.shards.keys().next().copied(),
            _ => None,
        }
    }
}
