//! The client halves of the dialects: what an application of each kind says and understands. `flashgate call` and
//! the simulation speak through them.
//!
//! Like the server halves they are pure: what the server calls and what the user wants come in, [`Deed`]s come out.

mod bbb;
mod freeswitch;
mod red5phone;
mod siprtmp;
mod stream;

use std::fmt;

use codecs::CodecId;
use rtmp::amf::Value;
use rtmp::server::Call;

use super::Kind;

/// Who the client is and where it connects.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The host of the URL, which is the domain of users who name none.
    pub host: String,
    /// The path of the URL.
    pub path: String,
    /// The user, with or without a domain; `None` for a stranger.
    pub user: Option<String>,
    /// Its password; empty for none.
    pub password: String,
    /// What the client sends and wants to hear.
    pub codec: Option<CodecId>,
}

impl Identity {
    /// `user@domain`.
    fn aor(&self) -> String {
        match &self.user {
            Some(user) if user.contains('@') => user.clone(),
            Some(user) => format!("{user}@{}", self.host),
            None => format!("flashgate@{}", self.host),
        }
    }

    /// The user without its domain.
    fn name(&self) -> &str {
        let user = self.user.as_deref().unwrap_or("flashgate");
        user.split_once('@').map_or(user, |(name, _)| name)
    }

    /// The first segment of the URL's path, or the one that servers of this kind have.
    fn app(&self, usual: &str) -> String {
        let first = self.path.split('/').next().unwrap_or_default();
        if first.is_empty() { usual } else { first }.to_owned()
    }
}

/// What `connect` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// `app`.
    pub app: String,
    /// Arguments after the command object.
    pub args: Vec<Value>,
}

/// What the user of a client learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Logged in, as far as asked for: calls can be placed.
    Ready,
    /// The login was refused, with the server's words.
    Refused(String),
    /// Somebody calls: who.
    Incoming(String),
    /// The callee is alerted.
    Ringing,
    /// The call is up.
    Up,
    /// The call is over or failed, with the server's words.
    Over(String),
    /// Held by the other party, or no longer.
    Held(bool),
    /// A digit of the other party.
    Digit(char),
    /// A text: from whom, what.
    Text(String, String),
}

/// One thing to do, or to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    /// Call a method of the server.
    Call {
        /// Its name.
        name: &'static str,
        /// Its arguments.
        args: Vec<Value>,
    },
    /// Publish and play under these names, on streams that are made for it.
    Open {
        /// To publish.
        publish: String,
        /// To play.
        play: String,
        /// Say `receiveAudio(true)` on the played stream.
        receive: bool,
    },
    /// End both streams.
    Close,
    /// Tell the user.
    Tell(Told),
}

/// What an application of a kind says and understands.
pub trait Client: fmt::Debug + Send {
    /// How it connects.
    fn entry(&self) -> Entry;

    /// It is let in.
    fn connected(&mut self, deeds: &mut Vec<Deed>);

    /// The server calls a function of the client.
    fn called(&mut self, call: &Call, deeds: &mut Vec<Deed>);

    /// The names of the functions it has.
    fn functions(&self) -> &'static [&'static str];

    /// The user calls somebody.
    fn dial(&mut self, target: &str, deeds: &mut Vec<Deed>);

    /// The user takes the call that came.
    fn accept(&mut self, deeds: &mut Vec<Deed>);

    /// The user refuses the call that came, gives up its own, or hangs up.
    fn hang_up(&mut self, deeds: &mut Vec<Deed>);

    /// The user presses digits.
    fn digits(&mut self, digits: &str, deeds: &mut Vec<Deed>);

    /// The user holds the other party, or takes it back.
    fn hold(&mut self, on: bool, deeds: &mut Vec<Deed>);

    /// The user sends the other party elsewhere.
    fn transfer(&mut self, target: &str, deeds: &mut Vec<Deed>);
}

/// A client of a kind.
pub fn client(kind: Kind, who: Identity) -> Box<dyn Client> {
    match kind {
        Kind::Stream => Box::new(stream::Stream::new(who)),
        Kind::SipRtmp => Box::new(siprtmp::SipRtmp::new(who)),
        Kind::FreeSwitch => Box::new(freeswitch::FreeSwitch::new(who)),
        Kind::Red5Phone => Box::new(red5phone::Red5Phone::new(who)),
        Kind::Bbb => Box::new(bbb::Bbb::new(who)),
    }
}

/// Adds a call of a method.
fn say(deeds: &mut Vec<Deed>, name: &'static str, args: Vec<Value>) {
    deeds.push(Deed::Call { name, args });
}

/// Adds something to tell.
fn tell(deeds: &mut Vec<Deed>, told: Told) {
    deeds.push(Deed::Tell(told));
}
