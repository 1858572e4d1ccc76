//! The words of client dialects with calls of their own: accounts, lines and messages.
//!
//! Where a streaming tool dials by the name of a stream, a telephone-like client registers, has several calls
//! at once (each is a *line* of its session) and moves its sound between them. The client's dialect, on its
//! shard, turns the client's commands into [`Intent::Line`](crate::Intent::Line)s; the exchange answers with
//! [`LineEvent`]s, which the dialect turns into callbacks.

use std::fmt;

use codecs::CodecId;

use crate::Outcome;

/// A call as its client session knows it. The side that begins the call chooses: the client's dialect counts
/// from 1 upwards, the exchange from [`Line::INCOMING`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line(pub u32);

impl Line {
    /// The first line that the exchange chooses; those below are the dialect's.
    pub const INCOMING: u32 = 1 << 31;
}

/// A login of a client session, chosen by its dialect. A session may have several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub u32);

/// Text that never reaches a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for the one who must check or send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// How a client shows that an account is its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It gives nothing: the account may call as far as strangers may, and is not reachable.
    None,
    /// The password itself.
    Password(Secret),
    /// Hexadecimal MD5 of `salt:user@domain:password` (FreeSWITCH mod_rtmp's `login`).
    Md5 {
        /// What the gateway told the client: the session's UUID.
        salt: String,
        /// 32 hexadecimal digits, upper or lower case.
        digest: String,
    },
}

/// A client's login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The address of record without scheme: `user@domain`, or `user` for one of ours.
    pub aor: String,
    /// The name to authenticate with, when it is not the user part.
    pub auth_user: Option<String>,
    /// What shows that it is the client's.
    pub proof: Proof,
    /// UTF-8 name shown to the other party; empty for none.
    pub display: String,
    /// Where the registrar is reached when it is not the domain's own: `host[:port]` or a SIP URI.
    pub proxy: Option<String>,
    /// Whether the account is to be reachable. With a domain of ours it becomes a contact of the embedded
    /// registrar; with any other domain the gateway registers it there by SIP.
    pub register: bool,
    /// Whether an earlier session with the same address of record is closed.
    pub exclusive: bool,
}

/// What a new call of a client is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// The call's name from now on.
    pub line: Line,
    /// Who calls; `None` for the session's only or anonymous identity.
    pub account: Option<AccountId>,
    /// What was dialled, as the client wrote it (a [`Target`](crate::Target), or a name-addr `"Bob" <sip:bob@host>`).
    pub target: String,
    /// RTP codecs to offer, in this order; empty for the configured ones.
    pub codecs: Vec<CodecId>,
    /// Extra SIP headers the client asks for; the exchange drops all but `X-` ones and a closed list.
    pub headers: Vec<(String, String)>,
}

/// What a client with lines wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineIntent {
    /// Log in. Answered by [`LineEvent::LoggedIn`] or [`LineEvent::LoginFailed`].
    Login {
        /// Its name from now on; a login under a name in use replaces that one.
        account: AccountId,
        /// Who and how.
        login: Box<Login>,
    },
    /// Become reachable or unreachable, after a login without `register`.
    Register {
        /// Which account.
        account: AccountId,
        /// Reachable rather than not.
        on: bool,
    },
    /// Log out: registrations go, calls stay.
    Logout {
        /// Which account.
        account: AccountId,
    },
    /// What the client decodes and may send, in order of preference. Said at connect.
    Media {
        /// Codecs of the client's streams, the preferred first. What it publishes need not be known before.
        codecs: Vec<CodecId>,
    },
    /// Call somebody. Answered by events of that line; refusals too.
    Dial(Box<Dial>),
    /// Take an incoming call.
    Answer {
        /// Which.
        line: Line,
        /// RTP codecs to choose from, the preferred first; empty for the configured ones.
        codecs: Vec<CodecId>,
    },
    /// Refuse an incoming call, give up an outgoing one, or hang up.
    HangUp {
        /// Which.
        line: Line,
        /// What the other side is told.
        outcome: Outcome,
    },
    /// Put the other party on hold, or take it back. Answered by [`LineEvent::LocalHold`].
    Hold {
        /// Which call.
        line: Line,
        /// Hold rather than resume.
        on: bool,
    },
    /// The session's streams that are not bound to a line carry this one from now on.
    Attach {
        /// Which call; `None` for none: its party hears silence and is not told (no SIP hold).
        line: Option<Line>,
    },
    /// Press digits, one after another.
    Digits {
        /// In which call.
        line: Line,
        /// `0`-`9`, `*`, `#`, `A`-`D`; others are left out. At most 64 are kept.
        digits: String,
        /// Length of each, ms; 40 to 8,000.
        ms: u32,
    },
    /// Send the other party elsewhere (RFC 5589 blind transfer). Answered by [`LineEvent::Transfer`].
    Transfer {
        /// Which call.
        line: Line,
        /// Where to, like [`Dial::target`].
        target: String,
    },
    /// Connect the other parties of two calls with each other; the client leaves both (attended transfer).
    /// Answered by [`LineEvent::Transfer`] on `line`.
    Join {
        /// One call.
        line: Line,
        /// The other.
        other: Line,
    },
    /// Talk with the parties of two calls at once.
    ThreeWay {
        /// One call: it stays the attached one.
        line: Line,
        /// The other.
        other: Line,
    },
    /// Move a call into a room, or out of it again.
    Room {
        /// Which call.
        line: Line,
        /// The room's name; `None` leads back to the two of them.
        room: Option<String>,
    },
    /// Send a text (SIP MESSAGE, RFC 3428).
    Message {
        /// From which account; `None` like in [`Dial`].
        account: Option<AccountId>,
        /// Within a call; its party gets the text.
        line: Option<Line>,
        /// To whom, when it is not within a call.
        target: String,
        /// UTF-8 text, at most 1,300 bytes (larger ones are refused, RFC 3428 §8).
        text: String,
    },
}

/// What a client with lines is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineEvent {
    /// The login is good and, when asked for, registered; told again after each refresh that changed anything.
    LoggedIn {
        /// Which.
        account: AccountId,
        /// `200 OK` or as the registrar said.
        outcome: Outcome,
    },
    /// It is not: wrong proof, registrar's refusal, time-out. The account's registration will be tried again
    /// only when `retrying`.
    LoginFailed {
        /// Which.
        account: AccountId,
        /// The registrar's words.
        outcome: Outcome,
        /// Whether the gateway goes on trying by itself.
        retrying: bool,
    },
    /// Somebody calls. The caller hears ringing already.
    Incoming {
        /// The call's name from now on.
        line: Line,
        /// For which account.
        account: AccountId,
        /// The caller's address, `sip:…`.
        from: String,
        /// The caller's name, UTF-8; empty when not given.
        display: String,
        /// The address that was called, `sip:…`.
        to: String,
        /// `X-` headers of the INVITE, at most 16.
        headers: Vec<(String, String)>,
    },
    /// The callee is alerted: `180 Ringing`.
    Ringing {
        /// Which call.
        line: Line,
        /// The provisional status and text.
        outcome: Outcome,
    },
    /// The callee is heard before its answer: `183 Session Progress`.
    Early {
        /// Which call.
        line: Line,
        /// The provisional status and text.
        outcome: Outcome,
    },
    /// The call is up, whoever began it.
    Answered {
        /// Which call.
        line: Line,
        /// The codec of the far leg, when it is SIP.
        far: Option<CodecId>,
        /// The codec the client hears from now on and should send, chosen from what it announced.
        near: CodecId,
    },
    /// An outgoing call failed, or an incoming one could not be answered.
    Refused {
        /// Which call; it is gone.
        line: Line,
        /// The final status.
        outcome: Outcome,
    },
    /// The caller gave up before the client answered, or another of the account's phones did answer.
    Cancelled {
        /// Which call; it is gone.
        line: Line,
        /// Why.
        outcome: Outcome,
    },
    /// A call that was up is over; also the last word of a call that the client itself hung up or gave up.
    Ended {
        /// Which call; it is gone.
        line: Line,
        /// Why.
        outcome: Outcome,
    },
    /// The other party holds us, or took us back.
    RemoteHold {
        /// Which call.
        line: Line,
        /// Held rather than resumed.
        on: bool,
    },
    /// Our own hold or resume was carried out or refused.
    LocalHold {
        /// Which call.
        line: Line,
        /// What is true now.
        on: bool,
    },
    /// A digit of the other party: RFC 4733, INFO or heard in-band.
    Digit {
        /// Which call.
        line: Line,
        /// Which digit.
        digit: char,
    },
    /// How a transfer goes: 100 and other provisionals, then a final status. After a 2xx the call ends by
    /// itself with [`LineEvent::Ended`].
    Transfer {
        /// Which call.
        line: Line,
        /// Where it stands.
        outcome: Outcome,
    },
    /// The other party is another now (a transfer on its side), or its name became known.
    Display {
        /// Which call.
        line: Line,
        /// Its name, UTF-8; may be empty.
        name: String,
        /// Its number or user part.
        number: String,
    },
    /// A text came.
    Message {
        /// For which account, when not within a call.
        account: Option<AccountId>,
        /// Within which call.
        line: Option<Line>,
        /// Who wrote, `sip:…`.
        from: String,
        /// What, UTF-8.
        text: String,
    },
    /// How a text that the client sent fared.
    MessageSent {
        /// 2xx or the refusal.
        outcome: Outcome,
    },
    /// The session is to end: its account was taken over elsewhere, or an operator closes it.
    Close {
        /// Why.
        outcome: Outcome,
    },
}
