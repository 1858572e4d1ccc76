//! rtmplite's siprtmp: `rtmp://HOST/sip/USER@DOMAIN`, one connection, one SIP user, one call.
//!
//! The login stands in the arguments of `connect`, whose answer waits for the registrar's. Its clients close
//! the connection when a function is called that they do not define, so there are seven and no more; the two
//! for texts are for clients that have sent one.

use call::{AccountId, Dial, Line, LineEvent, LineIntent, Login, Outcome, Proof, Secret, StreamUse};
use codecs::CodecId;
use rtmp::amf::{Value, object};
use rtmp::server::{Call, Connect, ConnectReply, Control, Describe, Manners, StreamName};

use super::acts::{Act, Acts, Callback};
use super::table::{Answer, Args, Command, dispatch, text};
use super::words::{is_aor, name_addr};
use super::{Dialect, Named};

const INVITED: Callback = Callback::of("invited", 2);
const CANCELLED: Callback = Callback::of("cancelled", 2);
const RINGING: Callback = Callback::of("ringing", 1);
const ACCEPTED: Callback = Callback {
    name: "accepted",
    least: 0,
    most: 2,
};
const REJECTED: Callback = Callback::of("rejected", 1);
const BYED: Callback = Callback::of("byed", 0);
const HOLDED: Callback = Callback::of("holded", 1);
/// Clients that were patched for texts only.
const RECEIVED_MESSAGE: Callback = Callback::of("receivedMessage", 1);
const RECEIVED_PAGING: Callback = Callback::of("receivedPagingMessage", 2);

const CALLBACKS: &[&Callback] = &[
    &INVITED,
    &CANCELLED,
    &RINGING,
    &ACCEPTED,
    &REJECTED,
    &BYED,
    &HOLDED,
    &RECEIVED_MESSAGE,
    &RECEIVED_PAGING,
];

const COMMANDS: &[Command<SipRtmp>] = &[
    Command {
        name: "invite",
        arity: 1..=33,
        run: SipRtmp::invite,
    },
    Command {
        name: "accept",
        arity: 0..=32,
        run: SipRtmp::accept,
    },
    Command {
        name: "reject",
        arity: 0..=1,
        run: SipRtmp::reject,
    },
    Command {
        name: "bye",
        arity: 0..=1,
        run: SipRtmp::bye,
    },
    Command {
        name: "sendDTMF",
        arity: 1..=2,
        run: SipRtmp::send_dtmf,
    },
    Command {
        name: "hold",
        arity: 1..=1,
        run: SipRtmp::hold,
    },
    Command {
        name: "sendMessage",
        arity: 1..=1,
        run: SipRtmp::send_message,
    },
    Command {
        name: "sendPagingMessage",
        arity: 2..=2,
        run: SipRtmp::send_paging,
    },
];

/// The session's only account.
const ACCOUNT: AccountId = AccountId(1);
/// Length of a digit, ms.
const DIGIT_MS: u32 = 160;

/// One siprtmp client.
#[derive(Debug)]
pub(super) struct SipRtmp {
    login: Login,
    /// Wideband Speex first when the client names no codecs.
    wide: bool,
    object_encoding: Option<f64>,
    state: State,
    /// The transaction of the next call to the client.
    txn: f64,
    active: Option<Active>,
    waiting: Option<Waiting>,
    next_line: u32,
    /// The client has sent a text, so it defines the functions that bring one.
    texts: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// `connect` waits for the registrar.
    Asking,
    Connected,
    Refused,
}

/// The call.
#[derive(Debug)]
struct Active {
    line: Line,
    outgoing: bool,
    up: bool,
    /// The client named codecs: it is told which was taken.
    named_codecs: bool,
}

/// An incoming call that the client has not answered.
#[derive(Debug)]
struct Waiting {
    line: Line,
    from: String,
    to: String,
}

/// What a list of the client's codec words means.
#[derive(Debug, PartialEq)]
struct Codecs {
    /// RTP codecs, the preferred first.
    rtp: Vec<CodecId>,
    /// What the client sends and decodes.
    flash: Vec<CodecId>,
}

impl Codecs {
    fn of(words: &[String], wide: bool) -> Codecs {
        let mut codecs = Codecs {
            rtp: Vec::new(),
            flash: Vec::new(),
        };
        for word in words {
            let (rtp, flash) = match word.as_str() {
                "wideband" => (CodecId::SpeexWb, CodecId::SpeexWb),
                "narrowband" => (CodecId::SpeexNb, CodecId::SpeexWb),
                "pcmu" => (CodecId::Pcmu, CodecId::Pcmu),
                "pcma" => (CodecId::Pcma, CodecId::Pcma),
                "ulaw" => (CodecId::Pcmu, CodecId::SpeexWb),
                "alaw" => (CodecId::Pcma, CodecId::SpeexWb),
                // Digits always go; video and the private tunnel never.
                _ => continue,
            };
            if !codecs.rtp.contains(&rtp) {
                codecs.rtp.push(rtp);
            }
            if !codecs.flash.contains(&flash) {
                codecs.flash.push(flash);
            }
        }
        if codecs.rtp.is_empty() {
            let speex = match wide {
                true => [CodecId::SpeexWb, CodecId::SpeexNb],
                false => [CodecId::SpeexNb, CodecId::SpeexWb],
            };
            codecs.rtp = vec![speex[0], speex[1], CodecId::Pcmu, CodecId::Pcma];
            codecs.flash = vec![CodecId::SpeexWb];
        }
        codecs
    }
}

impl SipRtmp {
    /// `None` when the URL names no user.
    pub(super) fn new(connect: &Connect, exclusive: bool) -> Option<SipRtmp> {
        let path = rtmp::url::percent_decode(&connect.instance);
        let aor = path.strip_prefix("sip:").unwrap_or(&path).to_owned();
        if !is_aor(&aor) {
            return None;
        }
        let arg = |i: usize| connect.args.get(i).map(text).unwrap_or_default();
        let password = arg(1);
        let shown = !password.is_empty();
        Some(SipRtmp {
            login: Login {
                aor,
                auth_user: Some(arg(0)).filter(|user| !user.is_empty()),
                proof: if shown {
                    Proof::Password(Secret::new(password))
                } else {
                    Proof::None
                },
                display: arg(2),
                proxy: None,
                register: shown,
                // Who shows nothing ends nobody's connection.
                exclusive: exclusive && shown,
            },
            wide: arg(3) != "narrowband",
            object_encoding: connect.object.get("objectEncoding").and_then(Value::as_f64),
            state: State::Asking,
            txn: 2.0,
            active: None,
            waiting: None,
            next_line: 1,
            texts: false,
        })
    }

    fn tell(&mut self, acts: &mut Acts, callback: &'static Callback, args: Vec<Value>) {
        acts.call_with(callback, self.txn, args);
        self.txn += 1.0;
    }

    fn invite(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        if self.state != State::Connected {
            let why = "Registration required before making a call";
            self.tell(acts, &REJECTED, vec![why.into()]);
            return Answer::Done;
        }
        if self.active.is_some() || self.waiting.is_some() {
            let why = "Already in an active or pending call";
            self.tell(acts, &REJECTED, vec![why.into()]);
            return Answer::Done;
        }
        let Some(target) = args.given(0) else {
            return Answer::Failed("Nobody to call");
        };
        let words = args.texts(1);
        let codecs = Codecs::of(&words, self.wide);
        let line = Line(self.next_line);
        self.next_line = (self.next_line + 1) % Line::INCOMING;
        self.active = Some(Active {
            line,
            outgoing: true,
            up: false,
            named_codecs: !words.is_empty(),
        });
        acts.intend(LineIntent::Media { codecs: codecs.flash });
        acts.intend(LineIntent::Dial(Box::new(Dial {
            line,
            account: Some(ACCOUNT),
            target,
            codecs: codecs.rtp,
            headers: Vec::new(),
        })));
        acts.intend(LineIntent::Attach { line: Some(line) });
        Answer::Done
    }

    fn accept(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        let Some(Waiting { line, .. }) = self.waiting.take() else {
            return Answer::Failed("No call to accept");
        };
        // One call: a second that is taken replaces the first.
        if let Some(active) = self.active.take() {
            hang_up(&active, acts);
        }
        let words = args.texts(0);
        let codecs = Codecs::of(&words, self.wide);
        self.active = Some(Active {
            line,
            outgoing: false,
            up: false,
            named_codecs: !words.is_empty(),
        });
        acts.intend(LineIntent::Media { codecs: codecs.flash });
        acts.intend(LineIntent::Attach { line: Some(line) });
        acts.intend(LineIntent::Answer {
            line,
            codecs: codecs.rtp,
        });
        Answer::Done
    }

    fn reject(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        let Some(Waiting { line, .. }) = self.waiting.take() else {
            return Answer::Failed("No call to reject");
        };
        let reason = args.given(0).unwrap_or_else(|| "Decline".to_owned());
        acts.intend(LineIntent::HangUp {
            line,
            outcome: status_of(&reason),
        });
        Answer::Done
    }

    fn bye(&mut self, _args: &Args<'_>, acts: &mut Acts) -> Answer {
        if let Some(active) = self.active.take() {
            hang_up(&active, acts);
        } else if let Some(Waiting { line, .. }) = self.waiting.take() {
            acts.intend(LineIntent::HangUp {
                line,
                outcome: Outcome::from_status(603, "Decline"),
            });
        }
        Answer::Done
    }

    fn send_dtmf(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        let Some(active) = &self.active else {
            return Answer::Failed("No call");
        };
        acts.intend(LineIntent::Digits {
            line: active.line,
            digits: args.text(0),
            ms: DIGIT_MS,
        });
        Answer::Done
    }

    fn hold(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        let Some(active) = self.active.as_ref().filter(|a| a.up) else {
            return Answer::Failed("No call");
        };
        acts.intend(LineIntent::Hold {
            line: active.line,
            on: args.truth(0),
        });
        Answer::Done
    }

    fn send_message(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        self.texts = true;
        let Some(active) = self.active.as_ref().filter(|a| a.up) else {
            return Answer::Failed("No call");
        };
        acts.intend(LineIntent::Message {
            account: Some(ACCOUNT),
            line: Some(active.line),
            target: String::new(),
            text: args.text(0),
        });
        Answer::Done
    }

    fn send_paging(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        self.texts = true;
        let Some(target) = args.given(0) else {
            return Answer::Failed("Nobody to write to");
        };
        acts.intend(LineIntent::Message {
            account: Some(ACCOUNT),
            line: None,
            target,
            text: args.text(1),
        });
        Answer::Done
    }

    /// The registrar has answered.
    fn registered(&mut self, acts: &mut Acts) {
        // Refreshes are nothing to the client.
        if self.state != State::Asking {
            return;
        }
        self.state = State::Connected;
        let mut info: Vec<(&str, Value)> = vec![
            ("level", "status".into()),
            ("code", "NetConnection.Connect.Success".into()),
            ("description", "Connection succeeded.".into()),
            ("fmsVer", "rtmplite/8,2".into()),
            ("details", Value::Null),
        ];
        if let Some(encoding) = self.object_encoding {
            info.push(("objectEncoding", encoding.into()));
        }
        acts.push(Act::Accept(Some(Box::new(ConnectReply {
            before: vec![Control::Window(1 << 30)],
            properties: Value::Null,
            info: object(info),
            after: Vec::new(),
            manners: Manners {
                echo_txn: true,
                describe: Describe::Name,
                members: vec![("details".to_owned(), Value::Null)],
                publish_begin: false,
                play_chunk_size: Some(4_096),
                play_buffer: None,
                reset: false,
                data_start: false,
                sample_access: false,
                begin_on_buffer: true,
                gated: false,
            },
        }))));
    }

    fn not_registered(&mut self, outcome: &Outcome, retrying: bool, acts: &mut Acts) {
        if self.state != State::Asking {
            return;
        }
        self.state = State::Refused;
        if retrying {
            acts.intend(LineIntent::Logout { account: ACCOUNT });
        }
        acts.push(Act::Refuse(object([
            ("level", Value::from("status")),
            ("code", "NetConnection.Connect.Rejected".into()),
            ("description", outcome.line().into()),
            ("fmsVer", "rtmplite/8,2".into()),
            ("details", Value::Null),
        ])));
    }

    fn answered(&mut self, near: CodecId, acts: &mut Acts) {
        let Some(active) = self.active.as_mut().filter(|a| !a.up) else {
            return;
        };
        active.up = true;
        let audio = match near {
            CodecId::Pcmu => "pcmu",
            CodecId::Pcma => "pcma",
            _ => "speex",
        };
        let args = match active.named_codecs {
            true => vec![audio.into(), Value::Null],
            false => Vec::new(),
        };
        self.tell(acts, &ACCEPTED, args);
    }

    /// A call is over, whatever it was.
    fn gone(&mut self, line: Line, outcome: &Outcome, acts: &mut Acts) {
        if let Some(waiting) = self.waiting.take_if(|w| w.line == line) {
            self.tell(acts, &CANCELLED, vec![waiting.from.into(), waiting.to.into()]);
        } else if let Some(active) = self.active.take_if(|a| a.line == line) {
            if active.outgoing && !active.up {
                self.tell(acts, &REJECTED, vec![outcome.line().into()]);
            } else {
                self.tell(acts, &BYED, Vec::new());
            }
        }
    }

    fn is_active(&self, line: Line) -> bool {
        self.active.as_ref().is_some_and(|a| a.line == line)
    }
}

fn hang_up(active: &Active, acts: &mut Acts) {
    let reason = match active.outgoing && !active.up {
        true => base::EndReason::Cancelled,
        false => base::EndReason::HungUp,
    };
    acts.intend(LineIntent::HangUp {
        line: active.line,
        outcome: Outcome::new(reason),
    });
}

/// The status in `486 Busy Here`; text without a leading number is a 603.
fn status_of(reason: &str) -> Outcome {
    let (number, rest) = reason.split_once(' ').unwrap_or((reason, ""));
    match number.parse::<u16>() {
        Ok(status @ 300..=699) => Outcome::from_status(status, rest),
        _ => Outcome::from_status(603, reason),
    }
}

impl Dialect for SipRtmp {
    fn label(&self) -> &'static str {
        "siprtmp"
    }

    fn connect(&mut self, acts: &mut Acts) {
        let login = Box::new(self.login.clone());
        acts.intend(LineIntent::Media {
            codecs: vec![CodecId::SpeexWb],
        });
        acts.intend(LineIntent::Login {
            account: ACCOUNT,
            login,
        });
    }

    fn command(&mut self, call: Call, acts: &mut Acts) {
        dispatch(COMMANDS, self, &call, acts);
    }

    fn event(&mut self, event: LineEvent, acts: &mut Acts) {
        match event {
            LineEvent::LoggedIn { .. } => self.registered(acts),
            LineEvent::LoginFailed {
                outcome, retrying, ..
            } => self.not_registered(&outcome, retrying, acts),
            LineEvent::Incoming {
                line,
                from,
                display,
                to,
                ..
            } => {
                if self.waiting.is_some() || self.state != State::Connected {
                    acts.intend(LineIntent::HangUp {
                        line,
                        outcome: Outcome::from_status(486, "Busy Here"),
                    });
                    return;
                }
                let from = name_addr(&display, &from);
                self.tell(acts, &INVITED, vec![from.as_str().into(), to.as_str().into()]);
                self.waiting = Some(Waiting { line, from, to });
            }
            LineEvent::Ringing { line, outcome } | LineEvent::Early { line, outcome } => {
                if self
                    .active
                    .as_ref()
                    .is_some_and(|a| a.line == line && a.outgoing && !a.up)
                {
                    self.tell(acts, &RINGING, vec![outcome.line().into()]);
                }
            }
            LineEvent::Answered { line, near, .. } => {
                if self.is_active(line) {
                    self.answered(near, acts);
                }
            }
            LineEvent::Refused { line, outcome }
            | LineEvent::Cancelled { line, outcome }
            | LineEvent::Ended { line, outcome } => self.gone(line, &outcome, acts),
            LineEvent::RemoteHold { line, on } | LineEvent::LocalHold { line, on } => {
                if self.is_active(line) {
                    self.tell(acts, &HOLDED, vec![on.into()]);
                }
            }
            LineEvent::Message { line, from, text, .. } if self.texts => match line {
                Some(_) => self.tell(acts, &RECEIVED_MESSAGE, vec![text.into()]),
                None => self.tell(acts, &RECEIVED_PAGING, vec![from.into(), text.into()]),
            },
            // For the rest these clients have no function.
            LineEvent::Message { .. }
            | LineEvent::Digit { .. }
            | LineEvent::Transfer { .. }
            | LineEvent::Display { .. }
            | LineEvent::MessageSent { .. }
            | LineEvent::Close { .. } => {}
        }
    }

    fn stream(&self, name: &StreamName, _publishes: bool) -> Option<Named> {
        // Names are not looked at: `local` and `remote` with every client there is.
        (self.state == State::Connected).then(|| Named {
            stream_use: StreamUse::Attached,
            name: name.decoded(),
            credentials: None,
        })
    }

    fn decodes(&self) -> Vec<CodecId> {
        vec![CodecId::SpeexWb]
    }

    fn callbacks(&self) -> &'static [&'static Callback] {
        CALLBACKS
    }

    fn latest_stream_wins(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_has_a_status_in_front_or_is_a_603() {
        let of = |text: &str| {
            let o = status_of(text);
            (o.status, o.text)
        };
        assert_eq!(of("486 Busy Here"), (486, "Busy Here".to_owned()));
        assert_eq!(of("480"), (480, String::new()));
        assert_eq!(of("Decline"), (603, "Decline".to_owned()));
        assert_eq!(of("99 bottles"), (603, "99 bottles".to_owned()));
        assert_eq!(of("200 OK"), (603, "200 OK".to_owned()));
    }

    #[test]
    fn the_clients_order_of_codecs_is_kept() {
        use CodecId::{Pcma, Pcmu, SpeexNb, SpeexWb};
        let of = |words: &str, wide: bool| {
            let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
            let codecs = Codecs::of(&words, wide);
            (codecs.rtp, codecs.flash)
        };
        let flash_11 = "wideband narrowband pcmu pcma ulaw alaw dtmf h264 flv";
        assert_eq!(
            of(flash_11, true),
            (vec![SpeexWb, SpeexNb, Pcmu, Pcma], vec![SpeexWb, Pcmu, Pcma])
        );
        assert_eq!(of("alaw dtmf", true), (vec![Pcma], vec![SpeexWb]));
        assert_eq!(of("pcmu wideband", true).1, [Pcmu, SpeexWb]);
        assert_eq!(of("", false).0, [SpeexNb, SpeexWb, Pcmu, Pcma]);
        assert_eq!(
            of("flv", true),
            (vec![SpeexWb, SpeexNb, Pcmu, Pcma], vec![SpeexWb])
        );
    }
}
