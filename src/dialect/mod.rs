//! Client dialects: what the streams and commands of a client mean, and how it is spoken to.
//!
//! A dialect is chosen once, from the `connect` command, or from the first command where that says too little.
//! It is pure: commands of the client and events of the exchange in, [`Act`]s out. To add one: a file here, and
//! a row in [`choose`].

mod acts;
mod bbb;
pub mod client;
mod freeswitch;
mod red5phone;
mod siprtmp;
mod stream;
mod table;
mod undecided;
mod words;

use std::fmt;

use base::Rng;
use call::{LineEvent, StreamUse};
use codecs::CodecId;
use rtmp::server::{Call, Connect, StreamName};

pub use acts::{Act, Acts, Callback};

/// What the clients of a kind say and understand.
pub trait Dialect: fmt::Debug + Send {
    /// Its name in logs.
    fn label(&self) -> &'static str;

    /// The client asks to connect: accept or refuse it, now or at a later event.
    fn connect(&mut self, acts: &mut Acts);

    /// The client calls a method of the gateway.
    fn command(&mut self, call: Call, acts: &mut Acts);

    /// Something happened to one of its accounts or lines.
    fn event(&mut self, event: LineEvent, acts: &mut Acts);

    /// What a stream of that name is; `None` when there is no such.
    fn stream(&self, name: &StreamName, publishes: bool) -> Option<Named>;

    /// What the client's players decode at first, the preferred first. [`call::LineIntent::Media`] changes it.
    fn decodes(&self) -> Vec<CodecId>;

    /// The functions it may call at the client.
    fn callbacks(&self) -> &'static [&'static Callback] {
        &[]
    }

    /// Whether the latest published and the latest played stream replace those before.
    fn latest_stream_wins(&self) -> bool {
        false
    }

    /// Whether the connection has no purpose after the gateway ended its last stream.
    fn ends_with_its_streams(&self) -> bool {
        false
    }
}

/// One stream as the client named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Which application.
    pub stream_use: StreamUse,
    /// The whole name, percent-decoded.
    pub name: String,
    /// User name and password.
    pub credentials: Option<(String, String)>,
}

/// Why a client is turned away at `connect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The status code, such as `NetConnection.Connect.InvalidApp`.
    pub code: &'static str,
    /// What the client may tell its user.
    pub description: &'static str,
}

/// The kinds of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Streaming tools that dial by the name of a stream: `call/TARGET`, `live/NAME`.
    Stream,
    /// rtmplite's siprtmp: `sip/USER@DOMAIN`.
    SipRtmp,
    /// FreeSWITCH's mod_rtmp: `phone`.
    FreeSwitch,
    /// red5phone: `sip`, and nothing behind it.
    Red5Phone,
    /// BigBlueButton's voice conferences: `sip`, too.
    Bbb,
}

/// What the operator chose.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which dialects are spoken.
    pub enabled: Vec<Kind>,
    /// First segment of the URL for siprtmp, red5phone and BigBlueButton.
    pub sip_apps: Vec<String>,
    /// First segment of the URL for FreeSWITCH's clients.
    pub freeswitch_apps: Vec<String>,
    /// Whether a siprtmp client closes an earlier connection of the same user, as siprtmp does.
    pub exclusive: bool,
    /// Whether BigBlueButton's clients are told to speak Speex rather than Nellymoser.
    pub bbb_speex: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            enabled: vec![
                Kind::Stream,
                Kind::SipRtmp,
                Kind::FreeSwitch,
                Kind::Red5Phone,
                Kind::Bbb,
            ],
            sip_apps: vec!["sip".to_owned()],
            freeswitch_apps: vec!["phone".to_owned()],
            exclusive: true,
            bbb_speex: true,
        }
    }
}

impl Options {
    fn speaks(&self, kind: Kind) -> bool {
        self.enabled.contains(&kind)
    }
}

/// Finds the dialect for a client. `rng` gives it names for what it makes.
///
/// # Errors
/// What to reject the client with when there is none.
pub fn choose(connect: &Connect, options: &Options, rng: Rng) -> Result<Box<dyn Dialect>, Rejected> {
    let none = Rejected {
        code: "NetConnection.Connect.InvalidApp",
        description: "No such application; use rtmp://HOST/call/TARGET or rtmp://HOST/live/NAME",
    };
    let is = |apps: &[String]| apps.contains(&connect.app);
    if options.speaks(Kind::Stream)
        && let Some(dialect) = stream::StreamDialect::matches(connect)
    {
        return Ok(Box::new(dialect));
    }
    if options.speaks(Kind::FreeSwitch) && is(&options.freeswitch_apps) {
        return Ok(Box::new(freeswitch::FreeSwitch::new(rng)));
    }
    if !is(&options.sip_apps) {
        return Err(none);
    }
    if !connect.instance.is_empty() && options.speaks(Kind::SipRtmp) {
        return siprtmp::SipRtmp::new(connect, options.exclusive)
            .map(|dialect| Box::new(dialect) as Box<dyn Dialect>)
            .ok_or(Rejected {
                code: "NetConnection.Connect.Rejected",
                description: "Missing app path",
            });
    }
    undecided::Undecided::new(connect, options)
        .map(|dialect| Box::new(dialect) as Box<dyn Dialect>)
        .ok_or(none)
}
