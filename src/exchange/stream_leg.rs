//! What clients do with streams: halves of calls, and relays.

use std::cmp::Reverse;

use base::{CallId, EndReason, LegId, SessionId, Time};
use call::{Audio, Intent, Outcome, StreamEvent, StreamUse, Target};
use codecs::CodecId;

use super::streams::{Player, Publisher, StreamLeg};
use super::{CODEC_WAIT, Due, Exchange, Kind, Leg, Owner};
use crate::shard::Command;

/// A stream that a client opens, whichever way its media goes.
struct Opened {
    session: SessionId,
    half: LegId,
    name: String,
    user: Option<String>,
    /// `None` for a publisher, else what the player decodes.
    plays: Option<Vec<CodecId>>,
}

impl Exchange {
    /// A client wants something.
    pub(super) fn handle_intent(&mut self, now: Time, session: SessionId, intent: Intent) {
        match intent {
            Intent::Publish {
                leg,
                stream_use,
                name,
                credentials,
            } => {
                self.open(now, session, leg, stream_use, name, credentials, None);
            }
            Intent::Play {
                leg,
                stream_use,
                name,
                credentials,
                announced,
            } => {
                self.open(now, session, leg, stream_use, name, credentials, Some(announced));
            }
            Intent::StreamCodec { leg, codec } => self.codec_known(now, leg, codec),
            Intent::Line(intent) => self.line_intent(now, session, intent),
            Intent::Close { leg } => self.close_half(now, session, leg, EndReason::HungUp),
        }
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "the fields of one intent, taken apart once"
    )]
    fn open(
        &mut self,
        now: Time,
        session: SessionId,
        half: LegId,
        stream_use: StreamUse,
        name: String,
        credentials: Option<(String, String)>,
        plays: Option<Vec<CodecId>>,
    ) {
        let Some(entry) = self.sessions.get_mut(&session) else {
            return;
        };
        let (shard, peer) = (entry.shard, entry.peer.ip());
        entry.halves.push(half);
        self.wiring.add(half, shard);
        // A client with lines logs in by itself; its streams carry nothing without a call.
        let line = match stream_use {
            StreamUse::Attached => Some(None),
            StreamUse::Line(line) => Some(Some(line)),
            StreamUse::Call | StreamUse::Live => None,
        };
        if let Some(line) = line {
            return self.open_line_stream(session, half, line, plays.is_none());
        }
        let user = match credentials {
            None if self.settings.streamers.asks(peer) => {
                let outcome =
                    Outcome::from_status(401, "User name and password needed: add ?user=NAME&pass=PASSWORD");
                self.refuse_half(session, half, outcome);
                return;
            }
            None => None,
            Some(_) if self.guard.wait(now, peer).is_some() => {
                self.refuse_half(session, half, Outcome::new(EndReason::RateLimited));
                return;
            }
            Some((user, password)) if self.password_is(&user, &password) => Some(user),
            Some(_) => {
                self.wrong_login(now, peer);
                let outcome = Outcome::from_status(403, "Wrong user name or password");
                self.refuse_half(session, half, outcome);
                return;
            }
        };
        let opened = Opened {
            session,
            half,
            name,
            user,
            plays,
        };
        match stream_use {
            StreamUse::Call => self.open_call(now, opened),
            StreamUse::Live if opened.name.starts_with("conference/") => self.open_room(now, opened),
            _ => self.open_live(opened),
        }
    }

    /// A stream of `call/TARGET`: joins the call of that name it belongs to, or begins one.
    ///
    /// A connection's own call comes first. Another connection joins only from the same address, and only a
    /// call that is not private to the connection which both publishes and plays it; so two tools on one
    /// machine make one call, and two strangers who dial the same target never hear each other.
    fn open_call(&mut self, now: Time, opened: Opened) {
        let Some(ip) = self.sessions.get(&opened.session).map(|s| s.peer.ip()) else {
            return;
        };
        if Target::parse(&opened.name).is_none() {
            self.refuse_half(opened.session, opened.half, Outcome::new(EndReason::NotFound));
            return;
        }
        let publishing = opened.plays.is_none();
        let fits = |stream: &StreamLeg| {
            stream.name == opened.name
                && stream.ip == ip
                && stream.user == opened.user
                && (if publishing {
                    stream.publisher.is_none()
                } else {
                    !stream.plays(opened.session)
                })
        };
        let streams = || {
            self.legs.iter().filter_map(|(leg, l)| match &l.kind {
                Kind::Stream(stream) if fits(stream) => Some((*leg, stream)),
                _ => None,
            })
        };
        let own = streams()
            .find(|(_, s)| s.has_session(opened.session))
            .map(|(leg, _)| leg);
        let joined = own.or_else(|| streams().find(|(_, s)| !s.is_private()).map(|(leg, _)| leg));
        let (session, half) = (opened.session, opened.half);
        let leg = joined.unwrap_or_else(|| {
            let leg = self.new_leg();
            let kind = Kind::Stream(StreamLeg {
                name: opened.name.clone(),
                ip,
                user: opened.user.clone(),
                publisher: None,
                players: Vec::new(),
                dial_at: Some(now + CODEC_WAIT),
            });
            self.legs.insert(leg, Leg { call: None, kind });
            self.deadlines.push(Reverse((now + CODEC_WAIT, Due::Dial(leg))));
            leg
        });
        self.ladder.session(session, leg);
        let mut call = None;
        if let Some(entry) = self.legs.get_mut(&leg)
            && let Kind::Stream(stream) = &mut entry.kind
        {
            call = entry.call;
            match opened.plays {
                None => {
                    stream.publisher = Some(Publisher {
                        session,
                        leg: half,
                        codec: None,
                    })
                }
                Some(announced) => stream.players.push(Player {
                    session,
                    leg: half,
                    announced,
                }),
            }
        }
        self.owners.insert(half, Owner::Stream(leg));
        self.tell_half(session, half, StreamEvent::Accepted);
        if let Some(call) = call {
            if let Some(shard) = self.wiring.shard_of(half) {
                self.command(shard, Command::Assign { leg: half, call });
            }
            self.wire(call);
        }
    }

    /// `live/conference/NAME`: the mix of a room, for who only listens.
    fn open_room(&mut self, now: Time, mut opened: Opened) {
        if opened.plays.is_none() {
            let outcome = Outcome::from_status(403, "To speak in a room publish to call/conference/NAME");
            self.refuse_half(opened.session, opened.half, outcome);
            return;
        }
        opened.name.insert_str(0, "live/");
        self.open_call(now, opened);
    }

    fn open_live(&mut self, opened: Opened) {
        let Opened {
            session,
            half,
            name,
            plays,
            ..
        } = opened;
        let publishes = plays.is_none();
        let stream = self.live.entry(name.clone()).or_default();
        match plays {
            None if stream.publisher.is_some() => {
                self.refuse_half(session, half, Outcome::new(EndReason::Busy));
                return;
            }
            None => {
                stream.publisher = Some(Publisher {
                    session,
                    leg: half,
                    codec: None,
                })
            }
            Some(announced) => stream.players.push(Player {
                session,
                leg: half,
                announced,
            }),
        }
        if publishes {
            self.tell_players(&name, &StreamEvent::Published);
        }
        self.owners.insert(half, Owner::Live(name.clone()));
        self.tell_half(session, half, StreamEvent::Accepted);
        self.wire_live(&name, None);
    }

    /// The first audio of a published stream came.
    fn codec_known(&mut self, now: Time, half: LegId, codec: Option<CodecId>) {
        match self.owners.get(&half).cloned() {
            Some(Owner::Stream(leg)) => {
                if let Some(Leg {
                    kind: Kind::Stream(stream),
                    ..
                }) = self.legs.get_mut(&leg)
                {
                    if let Some(publisher) = &mut stream.publisher {
                        publisher.codec = Some(codec);
                    }
                    if stream.dial_at.take().is_some() {
                        self.dial_stream(now, leg);
                    }
                }
            }
            Some(Owner::Line(session)) => self.line_codec(session, half, codec),
            Some(Owner::Live(name)) => {
                if let Some(publisher) = self.live.get_mut(&name).and_then(|s| s.publisher.as_mut()) {
                    publisher.codec = Some(codec);
                }
            }
            None => self.outbound_codec(half, codec),
        }
    }

    /// Dials for a stream leg that has waited long enough for its codec.
    pub(super) fn dial_waiting(&mut self, now: Time, leg: LegId) {
        if let Some(Leg {
            kind: Kind::Stream(stream),
            ..
        }) = self.legs.get_mut(&leg)
            && stream.dial_at.take_if(|at| *at <= now).is_some()
        {
            self.dial_stream(now, leg);
        }
    }

    fn dial_stream(&mut self, now: Time, leg: LegId) {
        let Some(Leg {
            kind: Kind::Stream(stream),
            ..
        }) = self.legs.get(&leg)
        else {
            return;
        };
        let (name, user) = (stream.name.clone(), stream.user.clone());
        let party = user.clone().unwrap_or_else(|| stream.ip.to_string());
        let resolved = match Target::parse(&name) {
            Some(target) => self.resolve(now, &target, user.as_deref()),
            None => Err(Outcome::new(EndReason::NotFound)),
        };
        self.book.party(leg, "stream", party, None);
        self.book.dials(leg, name);
        let caller_id = user.unwrap_or_else(|| "flash".to_owned());
        self.begin(now, leg, caller_id.into(), resolved);
    }

    /// What a stream leg sends and takes, for codec negotiation with the other leg.
    pub(super) fn stream_audio(stream: &StreamLeg) -> Audio {
        let sends = stream.publisher.as_ref().and_then(|p| p.codec.flatten());
        let mut takes: Vec<CodecId> = stream
            .players
            .iter()
            .flat_map(|p| p.announced.iter().copied())
            .collect();
        takes.dedup();
        Audio { takes, sends }
    }

    /// A fault of ours ended a media half: its call, or its stream, ends with it.
    pub(super) fn leg_broke(&mut self, now: Time, half: LegId) {
        match self.owners.get(&half).cloned() {
            Some(Owner::Stream(leg)) => {
                self.end_streams(leg, &Outcome::new(EndReason::Internal));
                self.abandon(now, leg, EndReason::Internal);
            }
            Some(Owner::Live(_) | Owner::Line(_)) => {
                let mut out = Vec::new();
                self.wiring.remove(half, &mut out);
                self.commands(out);
            }
            None => self.sip_leg_failed(now, half, EndReason::Internal),
        }
    }

    /// A client closed a stream.
    fn close_half(&mut self, now: Time, session: SessionId, half: LegId, reason: EndReason) {
        let mut out = Vec::new();
        self.wiring.remove(half, &mut out);
        self.commands(out);
        if let Some(entry) = self.sessions.get_mut(&session) {
            entry.halves.retain(|h| *h != half);
        }
        match self.owners.remove(&half) {
            Some(Owner::Stream(leg)) => {
                let Some(Leg {
                    kind: Kind::Stream(stream),
                    ..
                }) = self.legs.get_mut(&leg)
                else {
                    return;
                };
                stream.remove(half);
                if stream.is_empty() {
                    self.abandon(now, leg, reason);
                }
            }
            Some(Owner::Live(name)) => {
                let mut left = false;
                if let Some(stream) = self.live.get_mut(&name) {
                    left = stream.publisher.take_if(|p| p.leg == half).is_some();
                    stream.players.retain(|p| p.leg != half);
                }
                if left {
                    self.tell_players(&name, &StreamEvent::Unpublished);
                }
                self.wire_live(&name, None);
            }
            Some(Owner::Line(session)) => self.close_line_stream(session, half),
            None => {}
        }
    }

    /// A client is gone, with all its streams.
    pub(super) fn session_closed(&mut self, now: Time, session: SessionId, reason: EndReason) {
        self.client_gone(now, session, reason);
        let Some(entry) = self.sessions.get_mut(&session) else {
            return;
        };
        let halves = std::mem::take(&mut entry.halves);
        for half in halves {
            self.close_half(now, session, half, reason);
        }
        self.sessions.remove(&session);
    }

    /// Tells every client of a stream leg that it is over.
    pub(super) fn end_streams(&mut self, leg: LegId, outcome: &Outcome) {
        let Some(Leg {
            kind: Kind::Stream(stream),
            ..
        }) = self.legs.get(&leg)
        else {
            return;
        };
        let halves: Vec<(SessionId, LegId)> = stream.halves().collect();
        for (session, half) in halves {
            self.tell_half(session, half, StreamEvent::Ended(outcome.clone()));
        }
    }

    /// A call no longer takes part in a relayed stream.
    pub(super) fn leave_live(&mut self, name: &str, caller: LegId) {
        if let Some(stream) = self.live.get_mut(name) {
            stream.callers.retain(|c| c.leg != caller);
        }
        self.wire_live(name, None);
    }

    /// Brings the routes of a relayed stream up to date.
    pub(super) fn wire_live(&mut self, name: &str, call: Option<CallId>) {
        let Some(stream) = self.live.get(name) else { return };
        let (members, wanted) = (stream.members(), stream.routes());
        if stream.is_empty() {
            self.live.remove(name);
        }
        let mut out = Vec::new();
        self.wiring
            .set(call.unwrap_or(CallId(0)), &members, &wanted, &mut out);
        self.commands(out);
    }

    /// Tells every player of a relayed stream something.
    fn tell_players(&mut self, name: &str, event: &StreamEvent) {
        let players: Vec<(SessionId, LegId)> = self
            .live
            .get(name)
            .into_iter()
            .flat_map(|s| s.players.iter().map(|p| (p.session, p.leg)))
            .collect();
        for (session, leg) in players {
            self.tell_half(session, leg, event.clone());
        }
    }

    fn refuse_half(&mut self, session: SessionId, half: LegId, outcome: Outcome) {
        self.tell_half(session, half, StreamEvent::Refused(outcome));
        let mut out = Vec::new();
        self.wiring.remove(half, &mut out);
        self.commands(out);
    }

    pub(super) fn tell_half(&mut self, session: SessionId, leg: LegId, event: StreamEvent) {
        if let Some(shard) = self.sessions.get(&session).map(|s| s.shard) {
            self.command(shard, Command::Stream { session, leg, event });
        }
    }

    fn password_is(&self, user: &str, password: &str) -> bool {
        let users = &self.settings.users;
        users
            .iter()
            .any(|(name, secret)| name == user && super::accounts::same(secret, password))
    }
}
