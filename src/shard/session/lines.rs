//! What a client's dialect wants done, done: answers, callbacks, wishes for the exchange.

use base::{EndReason, SessionId, Time};
use call::{Intent, LineEvent, LineIntent};
use rtmp::server::{Call, Connect};
use std::time::Duration;

use super::super::Shard;
use super::super::leg::Kind;
use super::Session;
use crate::dialect::{self, Act, Acts, Dialect};

/// A client that was refused and told to close gets so long for it.
const REFUSED: Duration = Duration::from_secs(10);
/// The longest line of a client that is logged, in characters.
const LOGGED: usize = 400;

impl Shard {
    /// The client asks to connect.
    pub(super) fn connecting(&mut self, now: Time, id: SessionId, connect: &Connect) {
        self.said(id, false, || {
            let app = connect.app.split('?').next().unwrap_or_default();
            format!("connect {app}")
        });
        let rng = self.rng.fork();
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        match dialect::choose(connect, &self.settings.dialects, rng) {
            Ok(dialect) => {
                tracing::debug!(session = %id, peer = %base::Redacted(session.peer), app = connect.app,
                    dialect = dialect.label(), "client connects");
                session.announced = dialect.decodes();
                session.dialect = Some(dialect);
                self.with_dialect(now, id, |dialect, acts| dialect.connect(acts));
            }
            Err(rejected) => {
                tracing::info!(session = %id, app = connect.app, "client turned away: no such application");
                session.conn.reject_connect(rejected.code, rejected.description);
            }
        }
    }

    /// The client calls a method.
    pub(super) fn command(&mut self, now: Time, id: SessionId, call: Call) {
        self.said(id, false, || named(&call.name, call.args.len()));
        self.with_dialect(now, id, |dialect, acts| dialect.command(call, acts));
    }

    /// Tells a client about one of its accounts or lines.
    pub(in super::super) fn line_event(&mut self, now: Time, id: SessionId, event: LineEvent) {
        if let LineEvent::Close { outcome } = &event {
            if let Some(session) = self.sessions.get_mut(&id) {
                tracing::info!(session = %id, reason = outcome.reason.label(), "client session closed");
                session.conn.close(now, &outcome.line());
                session.close_at = Some(now + super::LEAVE);
                self.run_session(now, id);
            }
            return;
        }
        self.with_dialect(now, id, |dialect, acts| dialect.event(event, acts));
        self.outbox.flush(id);
    }

    fn with_dialect(&mut self, now: Time, id: SessionId, work: impl FnOnce(&mut dyn Dialect, &mut Acts)) {
        let Some(dialect) = self.sessions.get_mut(&id).and_then(|s| s.dialect.as_deref_mut()) else {
            return;
        };
        let mut acts = Acts::default();
        work(dialect, &mut acts);
        for act in acts.take() {
            self.act(now, id, act);
        }
    }

    fn act(&mut self, now: Time, id: SessionId, act: Act) {
        match &act {
            Act::Accept(_) => self.said(id, true, || "connect: accepted".to_owned()),
            Act::Refuse(_) => self.said(id, true, || "connect: refused".to_owned()),
            Act::Error { description, .. } => self.said(id, true, || format!("_error: {description}")),
            Act::Call { callback, args, .. } => self.said(id, true, || named(callback.name, args.len())),
            Act::Result { .. } | Act::Usual(_) => self.said(id, true, || "_result".to_owned()),
            Act::OpenGates | Act::Intend(_) | Act::Log(_) => {}
        }
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Session { conn, .. } = session;
        match act {
            Act::Accept(None) => conn.accept_connect(),
            Act::Accept(Some(reply)) => conn.accept_connect_as(*reply),
            Act::Refuse(info) => {
                conn.refuse_connect(info);
                session.close_at = Some(now + REFUSED);
            }
            Act::Result { txn, values } => conn.reply_result(txn, &values),
            Act::Error { txn, description } => {
                conn.reply_error(txn, "NetConnection.Call.Failed", &description);
            }
            Act::Usual(call) => conn.reply_default(&call),
            Act::Call { callback, txn, args } => {
                let known = session
                    .dialect
                    .as_ref()
                    .is_some_and(|d| d.callbacks().contains(&callback));
                if known && (callback.least..=callback.most).contains(&args.len()) {
                    conn.call_client_with(txn, callback.name, &args);
                } else {
                    tracing::error!(session = %id, name = callback.name, "a callback that these clients do not have");
                }
            }
            Act::OpenGates => conn.gate(Some(true), Some(true)),
            Act::Intend(intent) => {
                if let LineIntent::Media { codecs } = &intent {
                    self.announce(id, codecs);
                }
                self.intend(id, Intent::Line(intent));
            }
            Act::Log(text) => {
                let text: String = text.chars().take(LOGGED).collect();
                tracing::debug!(session = %id, text = text.escape_debug().to_string(), "the client says");
            }
        }
    }

    /// The client decodes other codecs from now on, on the streams that it plays already, too.
    fn announce(&mut self, id: SessionId, codecs: &[codecs::CodecId]) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.announced = codecs.to_vec();
        for stream in &session.streams {
            if let Some(entry) = self.legs.get_mut(&stream.leg)
                && let Kind::Play(play) = &mut entry.kind
            {
                play.announce(codecs.to_vec());
            }
        }
    }

    /// A stream of a name that this client has no use for.
    pub(super) fn refuse_stream(&mut self, id: SessionId, stream: u32, publishes: bool) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let text = EndReason::NotFound.text();
        if publishes {
            session
                .conn
                .reject_publish(stream, "NetStream.Publish.BadName", text);
        } else {
            session
                .conn
                .reject_play(stream, "NetStream.Play.StreamNotFound", text);
        }
    }
}

/// The name of a command; of its arguments, which may be passwords or PINs, only the number.
fn named(name: &str, args: usize) -> String {
    match args {
        1 => format!("{name} (1 argument)"),
        n => format!("{name} ({n} arguments)"),
    }
}
