//! The calls of a mod_rtmp client.

use call::{Dial, Line, LineEvent, LineIntent, Outcome};
use rtmp::amf::{Value, object};

use super::super::acts::{Act, Acts};
use super::super::table::{Answer, Args, text};
use super::super::words::user_of;
use super::cause;
use super::{
    CALL_STATE, DISPLAY_UPDATE, EVENT, FreeSwitch, INCOMING_CALL, ON_ATTACH, ON_HANGUP, ON_MAKE_CALL, uuid,
};

/// Calls one client may have at a time.
const CALLS: usize = 16;
/// Custom headers taken from one call's options.
const HEADERS: usize = 16;
/// Length of a digit of which the client does not say how long, ms.
const DIGIT_MS: u32 = 250;
/// Before a custom header's name in FreeSWITCH's variables.
const HEADER_VARIABLE: &str = "sip_h_";
/// Before the variables that clients see.
const SEEN_VARIABLE: &str = "rtmp_u_";

/// A call of the client.
#[derive(Debug)]
pub(super) struct Held {
    line: Line,
    uuid: String,
    incoming: bool,
    up: bool,
    /// What the client was last told.
    state: &'static str,
}

impl FreeSwitch {
    fn of_uuid(&self, uuid: &str) -> Option<&Held> {
        self.calls.iter().find(|c| c.uuid == uuid)
    }

    /// The call named by an argument, or the attached one when there is none.
    fn meant(&self, uuid: &str) -> Option<&Held> {
        match uuid {
            "" => self.calls.iter().find(|c| Some(c.line) == self.attached),
            uuid => self.of_uuid(uuid),
        }
    }

    fn tell_state(&mut self, line: Line, state: &'static str, acts: &mut Acts) {
        let Some(call) = self.calls.iter_mut().find(|c| c.line == line) else {
            return;
        };
        if call.state != state {
            call.state = state;
            acts.call(&CALL_STATE, vec![call.uuid.as_str().into(), state.into()]);
        }
    }

    /// Moves the streams to another call, or to none.
    fn attach_to(&mut self, line: Option<Line>, acts: &mut Acts) {
        if self.attached == line {
            return;
        }
        self.attached = line;
        acts.intend(LineIntent::Attach { line });
        let of_line = |c: &&Held| Some(c.line) == line;
        let uuid = self.calls.iter().find(of_line).map_or("", |c| c.uuid.as_str());
        acts.call(&ON_ATTACH, vec![uuid.into()]);
    }

    /// A call is over: the client hears of the streams, then of the state, then of the cause.
    fn end(&mut self, line: Line, outcome: &Outcome, acts: &mut Acts) {
        if !self.calls.iter().any(|c| c.line == line) {
            return;
        }
        if self.attached == Some(line) {
            self.attach_to(None, acts);
        }
        self.tell_state(line, "HANGUP", acts);
        let Some(i) = self.calls.iter().position(|c| c.line == line) else {
            return;
        };
        let call = self.calls.remove(i);
        acts.call(&ON_HANGUP, vec![call.uuid.into(), cause::name(outcome).into()]);
    }

    pub(super) fn make_call(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        let Some(number) = args.given(0) else {
            return Answer::Failed("Nobody to call");
        };
        let account = args.text(1);
        let login = self.login_of(&account).map(|l| l.account);
        if login.is_none() && !account.is_empty() {
            return Answer::Failed("Not logged in");
        }
        if self.calls.len() >= CALLS {
            return Answer::Failed("Too many calls");
        }
        let line = Line(self.next_line);
        self.next_line = (self.next_line + 1) % Line::INCOMING;
        let call = Held {
            line,
            uuid: uuid(&mut self.rng),
            incoming: false,
            up: false,
            state: "DOWN",
        };
        let told = vec![call.uuid.as_str().into(), number.as_str().into(), account.into()];
        self.calls.push(call);
        acts.intend(LineIntent::Dial(Box::new(Dial {
            line,
            account: login,
            target: number,
            codecs: Vec::new(),
            headers: headers(args.get(2)),
        })));
        acts.call_with(&ON_MAKE_CALL, args.txn, told);
        self.attach_to(Some(line), acts);
        self.tell_state(line, "DIALING", acts);
        Answer::Done
    }

    /// Here it dials; elsewhere it is a plain subscription.
    pub(super) fn fc_subscribe(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        acts.push(Act::OpenGates);
        self.make_call(args, acts)
    }

    pub(super) fn answer(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        let Some(line) = self
            .meant(&args.text(0))
            .filter(|c| c.incoming && !c.up)
            .map(|c| c.line)
        else {
            return Answer::Failed("No call to answer");
        };
        self.attach_to(Some(line), acts);
        acts.intend(LineIntent::Answer {
            line,
            codecs: Vec::new(),
        });
        Answer::Done
    }

    pub(super) fn attach(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        // An unknown call detaches, too.
        let line = self.of_uuid(&args.text(0)).map(|c| c.line);
        self.attach_to(line, acts);
        Answer::Done
    }

    pub(super) fn hang_up(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        let Some(line) = self.meant(&args.text(0)).map(|c| c.line) else {
            return Answer::Failed("No such call");
        };
        let outcome = cause::outcome(&args.text(1));
        acts.intend(LineIntent::HangUp {
            line,
            outcome: outcome.clone(),
        });
        self.end(line, &outcome, acts);
        Answer::Done
    }

    pub(super) fn send_dtmf(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        let Some(line) = self.attached else {
            return Answer::Failed("No call is attached");
        };
        // In samples at 8 kHz.
        let ms = args
            .number(1)
            .map_or(DIGIT_MS, |samples| (samples / 8.0).clamp(40.0, 8_000.0) as u32);
        acts.intend(LineIntent::Digits {
            line,
            digits: args.text(0),
            ms,
        });
        Answer::Done
    }

    pub(super) fn transfer(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        let (Some(line), Some(target)) = (self.of_uuid(&args.text(0)).map(|c| c.line), args.given(1)) else {
            return Answer::Failed("No such call");
        };
        acts.intend(LineIntent::Transfer { line, target });
        Answer::Done
    }

    /// Two different calls that are up.
    fn pair(&self, args: &Args<'_>) -> Option<(Line, Line)> {
        let up = |i: usize| self.of_uuid(&args.text(i)).filter(|c| c.up).map(|c| c.line);
        let (line, other) = (up(0)?, up(1)?);
        (line != other).then_some((line, other))
    }

    pub(super) fn three_way(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        let Some((line, other)) = self.pair(args) else {
            return Answer::Failed("Two calls are needed, both answered");
        };
        self.attach_to(Some(line), acts);
        acts.intend(LineIntent::ThreeWay { line, other });
        Answer::Done
    }

    pub(super) fn join(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        let Some((line, other)) = self.pair(args) else {
            return Answer::Failed("Two calls are needed, both answered");
        };
        acts.intend(LineIntent::Join { line, other });
        Answer::Done
    }

    pub(super) fn send_event(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        if args.len() < 2 {
            acts.push(Act::Log(format!("event {}", args.get(0))));
            return Answer::Done;
        }
        let Some(line) = self.of_uuid(&args.text(0)).map(|c| c.line) else {
            return Answer::Failed("No such call");
        };
        let body = args.get(1).get("_body").map(text).unwrap_or_default();
        acts.intend(LineIntent::Message {
            account: None,
            line: Some(line),
            target: String::new(),
            text: body,
        });
        Answer::Done
    }

    /// What happened to a call.
    pub(super) fn call_event(&mut self, event: LineEvent, acts: &mut Acts) {
        match event {
            LineEvent::Incoming {
                line,
                account,
                from,
                display,
                headers,
                ..
            } => {
                if self.calls.len() >= CALLS {
                    let outcome = Outcome::from_status(486, "Busy Here");
                    return acts.intend(LineIntent::HangUp { line, outcome });
                }
                let uuid = uuid(&mut self.rng);
                let account = self.logins.iter().find(|l| l.account == account);
                acts.call(
                    &INCOMING_CALL,
                    vec![
                        uuid.as_str().into(),
                        display.into(),
                        user_of(&from).into(),
                        account.map_or(Value::Null, |l| l.aor.as_str().into()),
                        variables(&headers),
                    ],
                );
                self.calls.push(Held {
                    line,
                    uuid,
                    incoming: true,
                    up: false,
                    state: "DOWN",
                });
                self.tell_state(line, "RINGING", acts);
            }
            LineEvent::Ringing { line, .. } => self.tell_state(line, "RINGING", acts),
            LineEvent::Early { line, .. } => self.tell_state(line, "EARLY", acts),
            LineEvent::Answered { line, .. } => {
                if let Some(call) = self.calls.iter_mut().find(|c| c.line == line) {
                    call.up = true;
                }
                self.tell_state(line, "ACTIVE", acts);
            }
            LineEvent::Refused { line, outcome }
            | LineEvent::Cancelled { line, outcome }
            | LineEvent::Ended { line, outcome } => self.end(line, &outcome, acts),
            LineEvent::RemoteHold { line, on: true } => self.tell_state(line, "HELD", acts),
            LineEvent::RemoteHold { line, on: false } => {
                self.tell_state(line, "UNHELD", acts);
                self.tell_state(line, "ACTIVE", acts);
            }
            LineEvent::Display { line, name, number } => {
                if let Some(call) = self.calls.iter().find(|c| c.line == line) {
                    let args = vec![call.uuid.as_str().into(), name.into(), number.into()];
                    acts.call(&DISPLAY_UPDATE, args);
                }
            }
            LineEvent::Digit { line, digit } => {
                self.push_event(Some(line), vec![("DTMF-Digit", digit.to_string().into())], acts);
            }
            LineEvent::Message { line, from, text, .. } => {
                self.push_event(line, vec![("from", from.into()), ("_body", text.into())], acts);
            }
            // These clients never hold by SIP, and hear of a transfer by the call's end.
            LineEvent::LocalHold { .. }
            | LineEvent::Transfer { .. }
            | LineEvent::MessageSent { .. }
            | LineEvent::LoggedIn { .. }
            | LineEvent::LoginFailed { .. }
            | LineEvent::Close { .. } => {}
        }
    }

    fn push_event(&self, line: Option<Line>, mut members: Vec<(&str, Value)>, acts: &mut Acts) {
        if let Some(line) = line {
            let Some(call) = self.calls.iter().find(|c| c.line == line) else {
                return;
            };
            members.push(("Session", call.uuid.as_str().into()));
        }
        acts.call(&EVENT, vec![object(members)]);
    }
}

/// The custom headers among a call's options: `X-NAME`, or `sip_h_X-NAME` as FreeSWITCH calls them.
fn headers(options: &Value) -> Vec<(String, String)> {
    let named = |(key, value): &(String, Value)| {
        let name = key.strip_prefix(HEADER_VARIABLE).unwrap_or(key);
        name.starts_with("X-").then(|| (name.to_owned(), text(value)))
    };
    let options = options.properties().unwrap_or_default();
    options.iter().filter_map(named).take(HEADERS).collect()
}

/// The custom headers of a call as variables that the client sees; null when there are none.
fn variables(headers: &[(String, String)]) -> Value {
    if headers.is_empty() {
        return Value::Null;
    }
    object(headers.iter().map(|(name, value)| {
        let name = match name.strip_prefix("X-") {
            Some(own) if own.starts_with(SEEN_VARIABLE) => own.to_owned(),
            _ => format!("{SEEN_VARIABLE}{name}"),
        };
        (name, value.as_str().into())
    }))
}
