//! Clients that speak in the words of `call::line` themselves, without a dialect between.

use std::collections::BTreeMap;

use base::{SessionId, Time};
use call::{Intent, Line, LineEvent, StreamUse};
use flashgate::shard::{Command, Event};

/// What each such client was told.
#[derive(Default)]
pub struct Lines {
    told: BTreeMap<SessionId, (usize, Vec<(Time, LineEvent)>)>,
}

impl Lines {
    /// The scenario speaks for a session, on that connection of the world.
    pub fn speak_for(&mut self, session: SessionId, tcp: usize) {
        self.told.entry(session).or_insert((tcp, Vec::new()));
    }

    /// What the client on a connection was told.
    pub fn of(&self, tcp: usize) -> impl Iterator<Item = &(Time, LineEvent)> {
        let found = self.told.values().filter(move |(t, _)| *t == tcp);
        found.flat_map(|(_, events)| events)
    }

    /// Keeps what is said to such a client.
    pub fn take(&mut self, now: Time, command: Command) -> Option<Command> {
        match command {
            Command::Line { session, event } if self.told.contains_key(&session) => {
                let told = self.told.get_mut(&session)?;
                told.1.push((now, event));
                None
            }
            command => Some(command),
        }
    }

    /// Its streams belong to its lines: those named by a number to that one, others to the attached one.
    pub fn adapt(&self, event: Event) -> Event {
        let bound = |name: &str| match name.parse() {
            Ok(n) => StreamUse::Line(Line(n)),
            Err(_) => StreamUse::Attached,
        };
        match event {
            Event::Intent { session, mut intent } if self.told.contains_key(&session) => {
                if let Intent::Publish { stream_use, name, .. } | Intent::Play { stream_use, name, .. } =
                    &mut intent
                {
                    *stream_use = bound(name);
                }
                Event::Intent { session, intent }
            }
            event => event,
        }
    }
}
