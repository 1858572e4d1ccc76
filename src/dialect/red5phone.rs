//! red5phone, the Red5 application: `rtmp://HOST/sip`, users named by an id of the client's making, one call each.
//!
//! The names of a call's two streams are given by the gateway, in words that mean its own point of view: the client
//! publishes `speaker_…` and plays `microphone_…`. It speaks Nellymoser at 8 kHz. Some callbacks are misspelt, and
//! stay so.

use base::EndReason;
use call::{AccountId, Dial, Line, LineEvent, LineIntent, Login, Outcome, Proof, Secret, StreamUse};
use codecs::CodecId;
use rtmp::amf::Value;
use rtmp::server::{Call, StreamName};

use super::acts::{Act, Acts, Callback};
use super::table::{Answer, Args, Command, dispatch};
use super::words::{is_aor, user_of};
use super::{Dialect, Named};

const REGISTRATION_SUCCESS: Callback = Callback::of("registrationSucess", 1);
const REGISTRATION_FAILURE: Callback = Callback::of("registrationFailure", 1);
const INCOMING: Callback = Callback::of("incoming", 4);
const CALL_STATE: Callback = Callback::of("callState", 1);
const CONNECTED: Callback = Callback::of("connected", 2);

const CALLBACKS: &[&Callback] = &[
    &REGISTRATION_SUCCESS,
    &REGISTRATION_FAILURE,
    &INCOMING,
    &CALL_STATE,
    &CONNECTED,
];

/// A row of the table.
const fn row(
    name: &'static str,
    least: usize,
    most: usize,
    run: fn(&mut Red5Phone, &Args<'_>, &mut Acts) -> Answer,
) -> Command<Red5Phone> {
    Command {
        name,
        arity: least..=most,
        run,
    }
}

const COMMANDS: &[Command<Red5Phone>] = &[
    row("open", 7, 7, Red5Phone::open),
    row("login", 7, 7, Red5Phone::login),
    row("register", 1, 1, Red5Phone::register),
    row("unregister", 1, 1, Red5Phone::unregister),
    row("call", 2, 2, Red5Phone::call),
    row("accept", 1, 1, Red5Phone::accept),
    row("hangup", 1, 1, Red5Phone::hang_up),
    row("transfer", 2, 2, Red5Phone::transfer),
    row("dtmf", 2, 2, Red5Phone::dtmf),
    row("joinConf", 2, 2, Red5Phone::join_conf),
    row("addToConf", 2, 2, Red5Phone::add_to_conf),
    row("streamStatus", 2, 2, |_, _, _| Answer::Value(Value::Null)),
    row("close", 1, 1, Red5Phone::close),
    row("getStreams", 0, 1, Red5Phone::get_streams),
    row("onPing", 0, 1, |_, _, _| Answer::Value(Value::Null)),
];

/// Users one connection may have.
const USERS: usize = 8;
/// Length of a digit, ms.
const DIGIT_MS: u32 = 160;
/// Of the stream that a client publishes.
pub(super) const PUBLISHED: &str = "speaker_";
/// Of the stream that it plays.
pub(super) const PLAYED: &str = "microphone_";
/// What Red5's service calls return when they return nothing.
const VOID: Answer = Answer::Value(Value::Null);

/// One red5phone client.
#[derive(Debug, Default)]
pub(super) struct Red5Phone {
    users: Vec<User>,
    next: u32,
}

#[derive(Debug)]
struct User {
    uid: String,
    account: AccountId,
    login: Login,
    /// Logins that the exchange has not answered: the word of the last one counts.
    unanswered: u32,
    call: Option<Held>,
}

impl User {
    /// Logs in, anew when it has before.
    fn log_in(&mut self, register: bool, acts: &mut Acts) {
        self.login.register = register;
        self.unanswered += 1;
        acts.intend(LineIntent::Login {
            account: self.account,
            login: Box::new(self.login.clone()),
        });
    }
}

#[derive(Debug)]
struct Held {
    line: Line,
    incoming: bool,
    up: bool,
}

impl Red5Phone {
    fn user(&mut self, args: &Args<'_>) -> Option<&mut User> {
        let uid = args.text(0);
        self.users.iter_mut().find(|u| u.uid == uid)
    }

    /// The user that has a call, and that call.
    fn holder(&mut self, line: Line) -> Option<&mut User> {
        self.users
            .iter_mut()
            .find(|u| u.call.as_ref().is_some_and(|c| c.line == line))
    }

    /// Dialect's ids of accounts and lines alike.
    fn number(&mut self) -> u32 {
        self.next = (self.next + 1) % Line::INCOMING;
        self.next
    }

    fn open(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        self.add(args, true, acts)
    }

    fn login(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        self.add(args, false, acts)
    }

    /// obproxy, uid, phone, username, password, realm, proxy.
    fn add(&mut self, args: &Args<'_>, register: bool, acts: &mut Acts) -> Answer {
        let (uid, phone) = (args.text(1), args.text(2));
        let domain = args.given(6).or(args.given(5)).unwrap_or_default();
        let known = self.users.iter().position(|u| u.uid == uid);
        if uid.is_empty() || !is_aor(&phone) || (known.is_none() && self.users.len() >= USERS) {
            acts.call(&REGISTRATION_FAILURE, vec!["400 Bad Request".into()]);
            return VOID;
        }
        if let Some(before) = known {
            self.remove(before, acts);
        }
        let account = AccountId(self.number());
        let password = args.text(4);
        let proxy = args.given(0).filter(|proxy| *proxy != domain);
        let mut user = User {
            uid,
            account,
            login: Login {
                aor: match domain.as_str() {
                    "" => phone.clone(),
                    domain => format!("{phone}@{domain}"),
                },
                auth_user: args.given(3),
                proof: match password.as_str() {
                    "" => Proof::None,
                    _ => Proof::Password(Secret::new(password)),
                },
                display: phone,
                proxy,
                register,
                exclusive: false,
            },
            unanswered: 0,
            call: None,
        };
        user.log_in(register, acts);
        self.users.push(user);
        VOID
    }

    /// Forgets a user, with its call and its login.
    fn remove(&mut self, at: usize, acts: &mut Acts) {
        let user = self.users.remove(at);
        if let Some(call) = user.call {
            leave(&call, acts);
        }
        acts.intend(LineIntent::Logout {
            account: user.account,
        });
    }

    fn register(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        let Some(user) = self.user(args) else {
            return Answer::Failed("No such user");
        };
        // Its outcome is told as that of a login.
        if !user.login.register {
            user.log_in(true, acts);
        }
        VOID
    }

    fn unregister(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        let Some(user) = self.user(args) else {
            return Answer::Failed("No such user");
        };
        user.login.register = false;
        user.unanswered = 0;
        let account = user.account;
        acts.intend(LineIntent::Register { account, on: false });
        VOID
    }

    /// A name or number alone is one of the user's own domain; the exchange knows that.
    fn call(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        let target = args.text(1);
        let target = target.strip_prefix("sip:").unwrap_or(&target).to_owned();
        self.dial(args, target, acts)
    }

    fn dial(&mut self, args: &Args<'_>, target: String, acts: &mut Acts) -> Answer {
        let line = Line(self.number());
        let Some(user) = self.user(args) else {
            return Answer::Failed("No such user");
        };
        if user.call.is_some() {
            return Answer::Failed("Already in a call");
        }
        if target.is_empty() {
            acts.call(&CALL_STATE, vec!["onUaCallFailed".into()]);
            return VOID;
        }
        user.call = Some(Held {
            line,
            incoming: false,
            up: false,
        });
        acts.intend(LineIntent::Dial(Box::new(Dial {
            line,
            account: Some(user.account),
            target,
            codecs: Vec::new(),
            headers: Vec::new(),
        })));
        VOID
    }

    fn accept(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        let waiting = |u: &mut User| u.call.as_ref().filter(|c| c.incoming && !c.up).map(|c| c.line);
        let Some(line) = self.user(args).and_then(waiting) else {
            return Answer::Failed("No call to accept");
        };
        acts.intend(LineIntent::Answer {
            line,
            codecs: Vec::new(),
        });
        VOID
    }

    fn hang_up(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        if let Some(call) = self.user(args).and_then(|u| u.call.take()) {
            leave(&call, acts);
            acts.call(&CALL_STATE, vec!["onUaCallClosed".into()]);
        }
        VOID
    }

    fn transfer(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        let target = args.text(1);
        let target = target.strip_prefix("sip:").unwrap_or(&target).to_owned();
        self.send_to(args, target, acts)
    }

    fn send_to(&mut self, args: &Args<'_>, target: String, acts: &mut Acts) -> Answer {
        let Some(user) = self.user(args) else {
            return Answer::Failed("No such user");
        };
        let Some(line) = user.call.as_ref().filter(|c| c.up).map(|c| c.line) else {
            return Answer::Failed("No call");
        };
        if target.is_empty() {
            return Answer::Failed("Nobody to transfer to");
        }
        acts.intend(LineIntent::Transfer { line, target });
        VOID
    }

    /// The originals dial `8` and the number; the mixer is reached by name here.
    fn join_conf(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        self.dial(args, format!("conference/{}", args.text(1)), acts)
    }

    fn add_to_conf(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        self.send_to(args, format!("conference/{}", args.text(1)), acts)
    }

    fn dtmf(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        let Some(line) = self.user(args).and_then(|u| u.call.as_ref()).map(|c| c.line) else {
            return Answer::Failed("No call");
        };
        acts.intend(LineIntent::Digits {
            line,
            digits: args.text(1),
            ms: DIGIT_MS,
        });
        VOID
    }

    fn close(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        let uid = args.text(0);
        if let Some(at) = self.users.iter().position(|u| u.uid == uid) {
            self.remove(at, acts);
        }
        VOID
    }

    fn get_streams(&mut self, _args: &Args<'_>, _acts: &mut Acts) -> Answer {
        let calls = self.users.iter().filter_map(|u| u.call.as_ref());
        let names = calls.filter(|c| c.up).flat_map(|c| {
            let (published, played) = stream_names(c.line);
            [Value::from(published), Value::from(played)]
        });
        Answer::Value(Value::StrictArray(names.collect()))
    }

    fn registration(
        &mut self,
        account: AccountId,
        failed: Option<&Outcome>,
        message: String,
        acts: &mut Acts,
    ) {
        let Some(user) = self.users.iter_mut().find(|u| u.account == account) else {
            return;
        };
        user.unanswered = user.unanswered.saturating_sub(1);
        if user.unanswered > 0 {
            return;
        }
        match failed {
            None if user.login.register => acts.call(&REGISTRATION_SUCCESS, vec![message.into()]),
            // Logged in and not registered: nobody asked.
            None => {}
            Some(outcome) if outcome.reason == EndReason::TimedOut => {
                acts.call(&REGISTRATION_FAILURE, vec!["Timeout".into()]);
            }
            Some(_) => acts.call(&REGISTRATION_FAILURE, vec![message.into()]),
        }
    }

    fn over(&mut self, line: Line, state: &'static str, acts: &mut Acts) {
        if let Some(user) = self.holder(line) {
            user.call = None;
            acts.call(&CALL_STATE, vec![state.into()]);
        }
    }
}

/// Hangs up, gives up, or says that the user is busy.
fn leave(call: &Held, acts: &mut Acts) {
    let outcome = match (call.up, call.incoming) {
        (true, _) => Outcome::new(EndReason::HungUp),
        (false, true) => Outcome::from_status(486, "Busy Here"),
        (false, false) => Outcome::new(EndReason::Cancelled),
    };
    let line = call.line;
    acts.intend(LineIntent::HangUp { line, outcome });
}

/// What a client publishes and plays for a call.
pub(super) fn stream_names(line: Line) -> (String, String) {
    (format!("{PUBLISHED}{}", line.0), format!("{PLAYED}{}", line.0))
}

/// The call of a stream that was named so.
pub(super) fn line_of(name: &str, publishes: bool) -> Option<Line> {
    let prefix = if publishes { PUBLISHED } else { PLAYED };
    name.strip_prefix(prefix)?.parse().ok().map(Line)
}

impl Dialect for Red5Phone {
    fn label(&self) -> &'static str {
        "red5phone"
    }

    fn connect(&mut self, acts: &mut Acts) {
        acts.push(Act::Accept(None));
        acts.intend(LineIntent::Media {
            codecs: self.decodes(),
        });
    }

    fn command(&mut self, call: Call, acts: &mut Acts) {
        dispatch(COMMANDS, self, &call, acts);
    }

    fn event(&mut self, event: LineEvent, acts: &mut Acts) {
        match event {
            LineEvent::LoggedIn { account, outcome } => {
                self.registration(account, None, outcome.line(), acts)
            }
            LineEvent::LoginFailed { account, outcome, .. } => {
                self.registration(account, Some(&outcome), outcome.line(), acts);
            }
            LineEvent::Incoming {
                line,
                account,
                from,
                display,
                to,
                ..
            } => {
                let free = |u: &&mut User| u.account == account && u.call.is_none();
                let Some(user) = self.users.iter_mut().find(free) else {
                    let outcome = Outcome::from_status(486, "Busy Here");
                    return acts.intend(LineIntent::HangUp { line, outcome });
                };
                user.call = Some(Held {
                    line,
                    incoming: true,
                    up: false,
                });
                acts.call(
                    &INCOMING,
                    vec![
                        user_of(&from).into(),
                        display.into(),
                        user_of(&to).into(),
                        "".into(),
                    ],
                );
            }
            LineEvent::Ringing { line, .. } | LineEvent::Early { line, .. } => {
                if self.holder(line).is_some() {
                    acts.call(&CALL_STATE, vec!["onUaCallRinging".into()]);
                }
            }
            LineEvent::Answered { line, .. } => {
                let fresh = self.holder(line).and_then(|u| u.call.as_mut()).filter(|c| !c.up);
                if let Some(call) = fresh {
                    call.up = true;
                    let (published, played) = stream_names(line);
                    acts.call(&CONNECTED, vec![published.into(), played.into()]);
                    acts.call(&CALL_STATE, vec!["onUaCallAccepted".into()]);
                }
            }
            LineEvent::Refused { line, .. } => self.over(line, "onUaCallFailed", acts),
            LineEvent::Cancelled { line, .. } => self.over(line, "onUaCallCancelled", acts),
            LineEvent::Ended { line, .. } => self.over(line, "onUaCallClosed", acts),
            LineEvent::Transfer { line, outcome } => {
                if (200..300).contains(&outcome.status) && self.holder(line).is_some() {
                    acts.call(&CALL_STATE, vec!["onUaCallTrasferred".into()]);
                }
            }
            // For the rest these clients have no function.
            LineEvent::RemoteHold { .. }
            | LineEvent::LocalHold { .. }
            | LineEvent::Digit { .. }
            | LineEvent::Display { .. }
            | LineEvent::Message { .. }
            | LineEvent::MessageSent { .. }
            | LineEvent::Close { .. } => {}
        }
    }

    fn stream(&self, name: &StreamName, publishes: bool) -> Option<Named> {
        let name = name.decoded();
        let line = line_of(&name, publishes)?;
        let mut calls = self.users.iter().filter_map(|u| u.call.as_ref());
        calls.any(|c| c.line == line && c.up).then_some(Named {
            stream_use: StreamUse::Line(line),
            name,
            credentials: None,
        })
    }

    fn decodes(&self) -> Vec<CodecId> {
        vec![CodecId::Nelly8]
    }

    fn callbacks(&self) -> &'static [&'static Callback] {
        CALLBACKS
    }
}
