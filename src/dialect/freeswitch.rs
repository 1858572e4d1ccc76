//! FreeSWITCH's mod_rtmp: `rtmp://HOST/phone`, several logins and several calls on one connection, one of the
//! calls attached to the streams.
//!
//! The client learns a session UUID right after `connect` and proves its password with it. Calls have UUIDs, too.
//! Only `connect` and `createStream` are answered by the original; we answer the rest as well where a transaction
//! asks for it, and say `_error` where the original is silent.

mod calls;
pub(super) mod cause;

use std::fmt::Write;

use base::Rng;
use call::{AccountId, Line, LineEvent, LineIntent, Login, Proof, StreamUse};
use codecs::CodecId;
use rtmp::amf::{Value, object};
use rtmp::server::{Call, ConnectReply, Control, Describe, Manners, StreamName};

use super::acts::{Act, Acts, Callback};
use super::table::{Answer, Args, Command, dispatch};
use super::words::is_aor;
use super::{Dialect, Named};
use calls::Held;

const CONNECTED: Callback = Callback::of("connected", 1);
const ON_LOGIN: Callback = Callback::of("onLogin", 3);
const ON_LOGOUT: Callback = Callback::of("onLogout", 2);
const ON_MAKE_CALL: Callback = Callback::of("onMakeCall", 3);
const ON_ATTACH: Callback = Callback::of("onAttach", 1);
const INCOMING_CALL: Callback = Callback::of("incomingCall", 5);
const CALL_STATE: Callback = Callback::of("callState", 2);
const DISPLAY_UPDATE: Callback = Callback::of("displayUpdate", 3);
const ON_HANGUP: Callback = Callback::of("onHangup", 2);
const EVENT: Callback = Callback::of("event", 1);

const CALLBACKS: &[&Callback] = &[
    &CONNECTED,
    &ON_LOGIN,
    &ON_LOGOUT,
    &ON_MAKE_CALL,
    &ON_ATTACH,
    &INCOMING_CALL,
    &CALL_STATE,
    &DISPLAY_UPDATE,
    &ON_HANGUP,
    &EVENT,
];

/// A row of the table.
const fn row(
    name: &'static str,
    least: usize,
    most: usize,
    run: fn(&mut FreeSwitch, &Args<'_>, &mut Acts) -> Answer,
) -> Command<FreeSwitch> {
    Command {
        name,
        arity: least..=most,
        run,
    }
}

const COMMANDS: &[Command<FreeSwitch>] = &[
    row("login", 2, 2, FreeSwitch::login),
    row("logout", 1, 1, FreeSwitch::logout),
    row("register", 0, 2, FreeSwitch::register),
    row("unregister", 0, 2, FreeSwitch::unregister),
    row("makeCall", 1, 3, FreeSwitch::make_call),
    row("answer", 0, 1, FreeSwitch::answer),
    row("attach", 0, 1, FreeSwitch::attach),
    row("hangup", 0, 2, FreeSwitch::hang_up),
    row("sendDTMF", 1, 2, FreeSwitch::send_dtmf),
    row("transfer", 2, 2, FreeSwitch::transfer),
    row("three_way", 2, 2, FreeSwitch::three_way),
    row("join", 2, 2, FreeSwitch::join),
    row("sendevent", 1, 2, FreeSwitch::send_event),
    row("log", 1, 1, FreeSwitch::log),
    row("FCSubscribe", 1, 3, FreeSwitch::fc_subscribe),
];

/// Logins one client may have at a time.
const LOGINS: usize = 8;
/// Nicknames of one login.
const NICKNAMES: usize = 8;
/// The client id that the original always gives.
const CLIENT_ID: f64 = 217_834_719.0;
/// Acknowledgement window and peer bandwidth of the original, in bytes.
const WINDOW: u32 = 0x20_0000;

/// One client of mod_rtmp.
#[derive(Debug)]
pub(super) struct FreeSwitch {
    /// The session's name, and the salt of its logins.
    uuid: String,
    rng: Rng,
    logins: Vec<LoggedIn>,
    next_account: u32,
    calls: Vec<Held>,
    next_line: u32,
    attached: Option<Line>,
}

/// A login of the client.
#[derive(Debug)]
struct LoggedIn {
    account: AccountId,
    /// `user@domain` as the client wrote it.
    aor: String,
    /// Whether the exchange has found it good.
    good: bool,
    /// The names under which it is reachable.
    nicknames: Vec<String>,
}

impl LoggedIn {
    fn parts(&self) -> (&str, &str) {
        self.aor.rsplit_once('@').unwrap_or((&self.aor, ""))
    }
}

impl FreeSwitch {
    pub(super) fn new(mut rng: Rng) -> FreeSwitch {
        FreeSwitch {
            uuid: uuid(&mut rng),
            rng,
            logins: Vec::new(),
            next_account: 1,
            calls: Vec::new(),
            next_line: 1,
            attached: None,
        }
    }

    /// The login that a client means by an account: that of the name, or its first.
    fn login_of(&self, account: &str) -> Option<&LoggedIn> {
        let mut good = self.logins.iter().filter(|l| l.good);
        match account {
            "" => good.next(),
            _ => good.find(|l| l.aor == account),
        }
    }

    fn login(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        let aor = args.text(0);
        let known = self.logins.iter().position(|l| l.aor == aor);
        if !is_aor(&aor) || (known.is_none() && self.logins.len() >= LOGINS) {
            acts.call(&ON_LOGIN, vec!["failure".into(), Value::Null, Value::Null]);
            return Answer::Done;
        }
        let account = match known {
            Some(i) => self.logins.remove(i).account,
            None => {
                self.next_account = self.next_account.wrapping_add(1).max(2);
                AccountId(self.next_account - 1)
            }
        };
        self.logins.push(LoggedIn {
            account,
            aor: aor.clone(),
            good: false,
            nicknames: Vec::new(),
        });
        acts.intend(LineIntent::Login {
            account,
            login: Box::new(Login {
                aor,
                auth_user: None,
                proof: Proof::Md5 {
                    salt: self.uuid.clone(),
                    digest: args.text(1),
                },
                display: String::new(),
                proxy: None,
                register: false,
                exclusive: false,
            }),
        });
        Answer::Done
    }

    fn logged_in(&mut self, account: AccountId, acts: &mut Acts) {
        let waiting = |l: &&mut LoggedIn| l.account == account && !l.good;
        let Some(login) = self.logins.iter_mut().find(waiting) else {
            return;
        };
        login.good = true;
        let (user, domain) = login.parts();
        acts.call(&ON_LOGIN, vec!["success".into(), user.into(), domain.into()]);
    }

    fn login_failed(&mut self, account: AccountId, acts: &mut Acts) {
        let Some(i) = self.logins.iter().position(|l| l.account == account) else {
            return;
        };
        // A registration that fails later is tried again by the exchange; these clients are told of logins only.
        if self.logins.get(i).is_some_and(|l| l.good) {
            return;
        }
        self.logins.remove(i);
        acts.call(&ON_LOGIN, vec!["failure".into(), Value::Null, Value::Null]);
    }

    fn logout(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        let aor = args.text(0);
        let Some(i) = self.logins.iter().position(|l| l.aor == aor) else {
            return Answer::Failed("Not logged in");
        };
        let login = self.logins.remove(i);
        acts.intend(LineIntent::Logout {
            account: login.account,
        });
        let (user, domain) = login.parts();
        acts.call(&ON_LOGOUT, vec![user.into(), domain.into()]);
        Answer::Done
    }

    fn register(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        let (account, nickname) = (args.text(0), args.text(1));
        let Some(account) = self.login_of(&account).map(|l| l.account) else {
            return Answer::Failed("Not logged in");
        };
        let Some(login) = self.logins.iter_mut().find(|l| l.account == account) else {
            return Answer::Done;
        };
        if login.nicknames.contains(&nickname) {
            return Answer::Done;
        }
        if login.nicknames.len() >= NICKNAMES {
            return Answer::Failed("Too many registrations");
        }
        login.nicknames.push(nickname);
        if login.nicknames.len() == 1 {
            acts.intend(LineIntent::Register { account, on: true });
        }
        Answer::Done
    }

    fn unregister(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        let (account, nickname) = (args.text(0), args.text(1));
        let Some(account) = self.login_of(&account).map(|l| l.account) else {
            return Answer::Failed("Not logged in");
        };
        let Some(login) = self.logins.iter_mut().find(|l| l.account == account) else {
            return Answer::Done;
        };
        let before = login.nicknames.len();
        login.nicknames.retain(|n| *n != nickname);
        if before > 0 && login.nicknames.is_empty() {
            acts.intend(LineIntent::Register { account, on: false });
        }
        Answer::Done
    }

    fn log(&mut self, args: &Args<'_>, acts: &mut Acts) -> Answer {
        acts.push(Act::Log(args.text(0)));
        Answer::Done
    }
}

/// A random UUID (RFC 9562 §5.4).
fn uuid(rng: &mut Rng) -> String {
    let mut bytes = [0u8; 16];
    rng.fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let mut out = String::with_capacity(36);
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

impl Dialect for FreeSwitch {
    fn label(&self) -> &'static str {
        "freeswitch"
    }

    fn connect(&mut self, acts: &mut Acts) {
        acts.push(Act::Accept(Some(Box::new(ConnectReply {
            before: vec![
                Control::ChunkSize(4_096),
                Control::Window(WINDOW),
                Control::PeerBandwidth(WINDOW, 1),
                Control::StreamBegin,
            ],
            properties: object([("fmsVer", Value::from(1.0)), ("capabilities", 31.0.into())]),
            info: object([
                ("level", Value::from("status")),
                ("code", "NetConnection.Connect.Success".into()),
                ("description", "Connection succeeded".into()),
                ("clientId", CLIENT_ID.into()),
                ("objectEncoding", 0.0.into()),
            ]),
            after: Vec::new(),
            manners: Manners {
                echo_txn: false,
                describe: Describe::Fixed("description"),
                members: vec![
                    ("details".to_owned(), "details".into()),
                    ("clientid".to_owned(), CLIENT_ID.into()),
                ],
                publish_begin: true,
                play_chunk_size: Some(4_096),
                play_buffer: Some(50),
                reset: true,
                data_start: true,
                sample_access: true,
                begin_on_buffer: false,
                gated: true,
            },
        }))));
        acts.call(&CONNECTED, vec![self.uuid.as_str().into()]);
        acts.intend(LineIntent::Media {
            codecs: vec![CodecId::SpeexWb],
        });
    }

    fn command(&mut self, call: Call, acts: &mut Acts) {
        dispatch(COMMANDS, self, &call, acts);
    }

    fn event(&mut self, event: LineEvent, acts: &mut Acts) {
        match event {
            LineEvent::LoggedIn { account, .. } => self.logged_in(account, acts),
            LineEvent::LoginFailed { account, .. } => self.login_failed(account, acts),
            event => self.call_event(event, acts),
        }
    }

    fn stream(&self, name: &StreamName, _publishes: bool) -> Option<Named> {
        // Names are not looked at: `publish` and `play` in the stock client.
        Some(Named {
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
    fn a_uuid_has_its_form_and_is_not_repeated() {
        let mut rng = Rng::new(3);
        let (a, b) = (uuid(&mut rng), uuid(&mut rng));
        assert_ne!(a, b);
        let parts: Vec<usize> = a.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(&a[14..15], "4");
    }
}
