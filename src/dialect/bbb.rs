//! BigBlueButton's voice conferences, descended from red5phone: `rtmp://HOST/sip` with the meeting and the user in
//! the arguments of `connect`, and methods with a dot in their names. One call into a conference.

use base::EndReason;
use call::{AccountId, Dial, Line, LineEvent, LineIntent, Login, Outcome, Proof, StreamUse};
use codecs::CodecId;
use rtmp::server::{Call, Connect, StreamName};

use super::acts::{Acts, Callback};
use super::red5phone::{line_of, stream_names};
use super::table::{Answer, Args, Command, dispatch, text};
use super::words::is_aor;
use super::{Dialect, Named};

const JOINED: Callback = Callback::of("successfullyJoinedVoiceConferenceCallback", 3);
const FAILED: Callback = Callback::of("failedToJoinVoiceConferenceCallback", 1);
const DISCONNECTED: Callback = Callback::of("disconnectedFromJoinVoiceConferenceCallback", 1);

const CALLBACKS: &[&Callback] = &[&JOINED, &FAILED, &DISCONNECTED];

const COMMANDS: &[Command<Bbb>] = &[
    Command {
        name: "voiceconf.call",
        arity: 3..=4,
        run: Bbb::call,
    },
    Command {
        name: "voiceconf.hangup",
        arity: 0..=1,
        run: Bbb::hang_up,
    },
];

/// The session's only account: it shows nothing and is not reachable.
const ACCOUNT: AccountId = AccountId(1);
/// The first segment of every method's name.
pub(super) const SERVICE: &str = "voiceconf.";

/// One client of BigBlueButton.
#[derive(Debug)]
pub(super) struct Bbb {
    /// The id that the meeting's owner gave the user.
    user: String,
    speex: bool,
    state: State,
    next: u32,
}

#[derive(Debug, PartialEq)]
enum State {
    Idle,
    /// The login is on its way; then this is dialled.
    LoggingIn(String),
    Calling(Line),
    Up(Line),
}

impl Bbb {
    /// Whose arguments are meeting, user id, user name.
    pub(super) fn new(connect: &Connect, speex: bool) -> Bbb {
        let user = connect.args.get(1).map(text).unwrap_or_default();
        Bbb {
            user: if is_aor(&user) && !user.contains('@') {
                user
            } else {
                "conference".to_owned()
            },
            speex,
            state: State::Idle,
            next: 1,
        }
    }

    /// `"default"`, the user's name, what to dial, whether it only listens (the gateway need not know).
    fn call(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        let Some(target) = args.given(2) else {
            acts.call(&FAILED, vec!["404 Not Found".into()]);
            return Answer::Done;
        };
        self.leave(acts);
        self.state = State::LoggingIn(target);
        acts.intend(LineIntent::Login {
            account: ACCOUNT,
            login: Box::new(Login {
                aor: self.user.clone(),
                auth_user: None,
                proof: Proof::None,
                display: args.text(1),
                proxy: None,
                register: false,
                exclusive: false,
            }),
        });
        Answer::Done
    }

    fn hang_up(&mut self, _args: &Args<'_>, acts: &mut Acts) -> Answer {
        self.leave(acts);
        Answer::Done
    }

    fn leave(&mut self, acts: &mut Acts) {
        let (line, reason) = match std::mem::replace(&mut self.state, State::Idle) {
            State::Calling(line) => (line, EndReason::Cancelled),
            State::Up(line) => (line, EndReason::HungUp),
            State::Idle | State::LoggingIn(_) => return,
        };
        acts.intend(LineIntent::HangUp {
            line,
            outcome: Outcome::new(reason),
        });
    }

    fn logged_in(&mut self, acts: &mut Acts) {
        if !matches!(self.state, State::LoggingIn(_)) {
            return;
        }
        let line = Line(self.next);
        self.next = (self.next + 1) % Line::INCOMING;
        let State::LoggingIn(target) = std::mem::replace(&mut self.state, State::Calling(line)) else {
            return;
        };
        acts.intend(LineIntent::Dial(Box::new(Dial {
            line,
            account: Some(ACCOUNT),
            target,
            codecs: Vec::new(),
            headers: Vec::new(),
        })));
    }

    fn over(&mut self, line: Line, outcome: &Outcome, acts: &mut Acts) {
        let callback = match self.state {
            State::Calling(own) if own == line => &FAILED,
            State::Up(own) if own == line => &DISCONNECTED,
            _ => return,
        };
        self.state = State::Idle;
        acts.call(callback, vec![outcome.line().into()]);
    }
}

impl Dialect for Bbb {
    fn label(&self) -> &'static str {
        "bbb"
    }

    fn connect(&mut self, acts: &mut Acts) {
        acts.intend(LineIntent::Media {
            codecs: self.decodes(),
        });
    }

    fn command(&mut self, call: Call, acts: &mut Acts) {
        dispatch(COMMANDS, self, &call, acts);
    }

    fn event(&mut self, event: LineEvent, acts: &mut Acts) {
        match event {
            LineEvent::LoggedIn { .. } => self.logged_in(acts),
            LineEvent::LoginFailed { outcome, .. } => {
                if matches!(self.state, State::LoggingIn(_)) {
                    self.state = State::Idle;
                    acts.call(&FAILED, vec![outcome.line().into()]);
                }
            }
            LineEvent::Incoming { line, .. } => acts.intend(LineIntent::HangUp {
                line,
                outcome: Outcome::from_status(486, "Busy Here"),
            }),
            LineEvent::Answered { line, .. } if self.state == State::Calling(line) => {
                self.state = State::Up(line);
                let (published, played) = stream_names(line);
                // The word is that of the conference's codec, from which the client infers its own.
                let codec = if self.speex { "SPEEX" } else { "PCMU" };
                acts.call(&JOINED, vec![published.into(), played.into(), codec.into()]);
            }
            LineEvent::Refused { line, outcome }
            | LineEvent::Cancelled { line, outcome }
            | LineEvent::Ended { line, outcome } => self.over(line, &outcome, acts),
            // For the rest these clients have no function.
            _ => {}
        }
    }

    fn stream(&self, name: &StreamName, publishes: bool) -> Option<Named> {
        let name = name.decoded();
        let line = line_of(&name, publishes)?;
        (self.state == State::Up(line)).then_some(Named {
            stream_use: StreamUse::Line(line),
            name,
            credentials: None,
        })
    }

    fn decodes(&self) -> Vec<CodecId> {
        match self.speex {
            true => vec![CodecId::SpeexWb],
            false => vec![CodecId::Nelly8],
        }
    }

    fn callbacks(&self) -> &'static [&'static Callback] {
        CALLBACKS
    }
}
