//! The message streams (NetStreams) of one connection.

use crate::server::StreamName;

/// What a stream is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Created or closed: it can be published or played (again).
    Idle,
    /// Publishing, with whether the owner has accepted it.
    Publishing {
        /// Published name.
        name: StreamName,
        /// Accepted by the owner.
        accepted: bool,
    },
    /// Playing, with whether the owner has accepted it.
    Playing {
        /// Played name.
        name: StreamName,
        /// Accepted by the owner.
        accepted: bool,
        /// Whether an earlier playlist was flushed.
        reset: bool,
    },
}

/// One message stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// Its id; never 0.
    pub id: u32,
    /// What it is doing.
    pub state: State,
    /// The player wants audio.
    pub audio: bool,
    /// The player wants video.
    pub video: bool,
    /// The player is paused.
    pub paused: bool,
    /// Video was dropped: nothing is sent before the next key frame.
    pub await_key: bool,
    /// The transaction of its last `publish` or `play`.
    pub txn: f64,
}

impl Stream {
    fn new(id: u32, (audio, video): (bool, bool)) -> Stream {
        Stream {
            id,
            state: State::Idle,
            audio,
            video,
            paused: false,
            await_key: false,
            txn: 0.0,
        }
    }

    /// Whether it plays with the owner's consent.
    pub fn is_playing(&self) -> bool {
        matches!(self.state, State::Playing { accepted: true, .. })
    }

    /// Whether it publishes, accepted or not yet.
    pub fn is_publishing(&self) -> bool {
        matches!(self.state, State::Publishing { .. })
    }

    /// The name it publishes or plays.
    pub fn name(&self) -> Option<&str> {
        match &self.state {
            State::Idle => None,
            State::Publishing { name, .. } | State::Playing { name, .. } => Some(&name.name),
        }
    }

    /// Stops what it does; what it was.
    pub fn stop(&mut self) -> State {
        self.paused = false;
        self.await_key = false;
        std::mem::replace(&mut self.state, State::Idle)
    }
}

/// The streams of a connection; at most as many as its limit.
#[derive(Debug)]
pub struct Table {
    streams: Vec<Stream>,
    limit: usize,
    /// Whether players want audio and video until they say otherwise.
    receives: (bool, bool),
}

impl Table {
    /// An empty table for `limit` streams.
    pub fn new(limit: usize) -> Table {
        Table {
            streams: Vec::new(),
            limit,
            receives: (true, true),
        }
    }

    /// Opens or shuts audio, video or both on every stream there is and will be; opened, video begins at a key
    /// frame.
    pub fn gate(&mut self, audio: Option<bool>, video: Option<bool>) {
        let (a, v) = self.receives;
        self.receives = (audio.unwrap_or(a), video.unwrap_or(v));
        for s in &mut self.streams {
            s.audio = audio.unwrap_or(s.audio);
            let on = video.unwrap_or(s.video);
            s.await_key |= on && !s.video;
            s.video = on;
        }
    }

    /// Makes a stream with the lowest free id; `None` when the table is full.
    pub fn create(&mut self) -> Option<u32> {
        if self.streams.len() >= self.limit {
            return None;
        }
        let id = (1..).find(|&id| self.find(id).is_none())?;
        self.streams.push(Stream::new(id, self.receives));
        Some(id)
    }

    /// Takes an id chosen by somebody else (the server, or a flow's metadata); false when the table is full.
    pub fn adopt(&mut self, id: u32) -> bool {
        if id == 0 || self.find(id).is_some() {
            return id != 0;
        }
        if self.streams.len() >= self.limit {
            return false;
        }
        self.streams.push(Stream::new(id, self.receives));
        true
    }

    /// Forgets a stream; what it was.
    pub fn delete(&mut self, id: u32) -> Option<Stream> {
        let i = self.streams.iter().position(|s| s.id == id)?;
        Some(self.streams.swap_remove(i))
    }

    /// The stream with this id.
    pub fn find(&self, id: u32) -> Option<&Stream> {
        self.streams.iter().find(|s| s.id == id)
    }

    /// The stream with this id, to change.
    pub fn find_mut(&mut self, id: u32) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|s| s.id == id)
    }

    /// All streams.
    pub fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.streams.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_start_at_one_are_reused_and_bounded() {
        let mut t = Table::new(3);
        assert_eq!(
            [t.create(), t.create(), t.create(), t.create()],
            [Some(1), Some(2), Some(3), None]
        );
        assert!(t.delete(2).is_some());
        assert!(t.delete(2).is_none());
        assert_eq!(t.create(), Some(2));
        assert!(!t.adopt(9));
        assert!(t.adopt(3));
        assert!(!t.adopt(0));
    }
}
