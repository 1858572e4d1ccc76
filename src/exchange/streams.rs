//! Streams of clients: halves of calls (`call/TARGET`) and relayed streams (`live/NAME`).

use std::collections::BTreeSet;
use std::net::IpAddr;

use base::{LegId, SessionId, Time};
use codecs::CodecId;

/// A stream that a client publishes.
#[derive(Clone, Debug)]
pub(super) struct Publisher {
    /// Whose.
    pub(super) session: SessionId,
    /// Its media half.
    pub(super) leg: LegId,
    /// What it sends, once known; the inner `None` is a codec we only relay.
    pub(super) codec: Option<Option<CodecId>>,
}

/// A stream that a client plays.
#[derive(Clone, Debug)]
pub(super) struct Player {
    /// Whose.
    pub(super) session: SessionId,
    /// Its media half.
    pub(super) leg: LegId,
    /// What the client decodes.
    pub(super) announced: Vec<CodecId>,
}

/// The Flash-side leg of a call that was dialled by a stream name: one publisher, any number of players.
#[derive(Clone, Debug)]
pub(super) struct StreamLeg {
    /// The dialled name.
    pub(super) name: String,
    /// The address its clients come from: another client on the same address that plays the same name
    /// joins this call; one from elsewhere does not.
    pub(super) ip: IpAddr,
    /// The verified user who dials, if any.
    pub(super) user: Option<String>,
    pub(super) publisher: Option<Publisher>,
    pub(super) players: Vec<Player>,
    /// When to dial if the publisher's codec is not known before; `None` once dialled.
    pub(super) dial_at: Option<Time>,
}

impl StreamLeg {
    /// Whether a session takes part.
    pub(super) fn has_session(&self, session: SessionId) -> bool {
        self.publisher.as_ref().is_some_and(|p| p.session == session) || self.plays(session)
    }

    /// Whether a session plays it.
    pub(super) fn plays(&self, session: SessionId) -> bool {
        self.players.iter().any(|p| p.session == session)
    }

    /// Whether the publisher also plays, on its own connection: then the call is private to it.
    pub(super) fn is_private(&self) -> bool {
        self.publisher.as_ref().is_some_and(|p| self.plays(p.session))
    }

    /// All media halves with their sessions.
    pub(super) fn halves(&self) -> impl Iterator<Item = (SessionId, LegId)> + '_ {
        let publisher = self.publisher.iter().map(|p| (p.session, p.leg));
        publisher.chain(self.players.iter().map(|p| (p.session, p.leg)))
    }

    /// Removes a media half; true when it was there.
    pub(super) fn remove(&mut self, leg: LegId) -> bool {
        let players = self.players.len();
        self.players.retain(|p| p.leg != leg);
        let published = self.publisher.take_if(|p| p.leg == leg).is_some();
        published || players != self.players.len()
    }

    /// Whether nobody is left.
    pub(super) fn is_empty(&self) -> bool {
        self.publisher.is_none() && self.players.is_empty()
    }
}

/// A relayed stream.
#[derive(Clone, Debug, Default)]
pub(super) struct LiveStream {
    pub(super) publisher: Option<Publisher>,
    pub(super) players: Vec<Player>,
    /// Media halves of calls that dialled `live/NAME`: (source, sinks) of each caller, by its leg.
    pub(super) callers: Vec<LiveCaller>,
}

/// A call that takes part in a relayed stream.
#[derive(Clone, Debug)]
pub(super) struct LiveCaller {
    /// The caller's signalling leg.
    pub(super) leg: LegId,
    /// Its media source.
    pub(super) source: Option<LegId>,
    /// Its media sinks.
    pub(super) sinks: Vec<LegId>,
}

impl LiveStream {
    /// Every media half that takes part.
    pub(super) fn members(&self) -> BTreeSet<LegId> {
        let own = self
            .publisher
            .iter()
            .map(|p| p.leg)
            .chain(self.players.iter().map(|p| p.leg));
        own.chain(
            self.callers
                .iter()
                .flat_map(|c| c.source.into_iter().chain(c.sinks.iter().copied())),
        )
        .collect()
    }

    /// Who hears whom: all hear the publisher; while nobody publishes, all hear the first caller.
    pub(super) fn routes(&self) -> BTreeSet<(LegId, LegId)> {
        let feeder = self.callers.iter().find(|c| c.source.is_some());
        let (source, feeding) = match (&self.publisher, feeder) {
            (Some(publisher), _) => (publisher.leg, None),
            (
                None,
                Some(LiveCaller {
                    leg,
                    source: Some(source),
                    ..
                }),
            ) => (*source, Some(*leg)),
            _ => return BTreeSet::new(),
        };
        let players = self.players.iter().map(|p| p.leg);
        let listening = self.callers.iter().filter(|c| Some(c.leg) != feeding);
        players
            .chain(listening.flat_map(|c| c.sinks.iter().copied()))
            .map(|to| (source, to))
            .collect()
    }

    /// Whether the name is free again.
    pub(super) fn is_empty(&self) -> bool {
        self.publisher.is_none() && self.players.is_empty() && self.callers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_feeds_a_stream_that_nobody_publishes() {
        let caller = |n: u64| LiveCaller {
            leg: LegId(n),
            source: Some(LegId(n)),
            sinks: vec![LegId(n)],
        };
        let player = Player {
            session: SessionId(1),
            leg: LegId(20),
            announced: vec![],
        };
        let mut live = LiveStream {
            publisher: None,
            players: vec![player],
            callers: vec![caller(1), caller(2)],
        };
        assert_eq!(
            live.routes(),
            [(LegId(1), LegId(20)), (LegId(1), LegId(2))].into()
        );
        live.publisher = Some(Publisher {
            session: SessionId(2),
            leg: LegId(30),
            codec: None,
        });
        assert_eq!(
            live.routes(),
            [
                (LegId(30), LegId(20)),
                (LegId(30), LegId(1)),
                (LegId(30), LegId(2))
            ]
            .into()
        );
        assert_eq!(live.members().len(), 4);
    }
}
