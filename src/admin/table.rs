//! The table of commands. A row is all there is to say of one: the command line, the control socket, the HTTP API
//! and its description are made from it. To add a command, write its function and its row.

use std::future::Future;
use std::pin::Pin;

use serde_json::{Map, Value};

mod rooms;

use super::{Admin, Failure};
use super::{commands, directories};

/// A command.
pub(crate) struct Row {
    /// The word on the command line and on the control socket. Of two words the first is a group, whose subject is the
    /// first argument: `room mute` is `flashgate room NAME mute …`.
    pub(crate) name: &'static str,
    /// What it does, in a sentence without a full stop.
    pub(crate) about: &'static str,
    /// The HTTP method.
    pub(crate) method: Method,
    /// The path below `/api/v1`; `{name}` stands for an argument.
    pub(crate) path: &'static str,
    /// Its arguments, in the order of the command line.
    pub(crate) args: &'static [Arg],
    /// How the answer looks to a person.
    pub(crate) shape: Shape,
    /// What carries it out.
    pub(crate) run: Run,
}

/// How a command is asked for by HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// Changes nothing.
    Get,
    /// Changes something.
    Post,
    /// Ends something.
    Delete,
}

/// An argument.
pub(crate) struct Arg {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) about: &'static str,
    /// Whether it must be given.
    pub(crate) required: bool,
    /// The words it may be; empty when it is free.
    pub(crate) words: &'static [&'static str],
}

/// How an answer looks to a person.
pub(crate) enum Shape {
    /// One line each: a name, and where the value is in the answer.
    Lines(&'static [Column]),
    /// A table: where its rows are in the answer, its columns, and what is said when there is none.
    Table(&'static str, &'static [Column], &'static str),
    /// The sentence at `/message`.
    Message,
}

/// A value of an answer.
pub(crate) struct Column {
    /// Its heading.
    pub(crate) head: &'static str,
    /// Where it is: a JSON pointer (RFC 6901) within the answer, or within a row of it.
    pub(crate) at: &'static str,
    /// How it is written.
    pub(crate) unit: Unit,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// As it is.
    Plain,
    /// Seconds, as `1:02:03`.
    Seconds,
    /// Milliseconds, without fraction.
    Ms,
    /// Percent, with one digit behind the point.
    Percent,
    /// Bytes, as `12 MiB`.
    Bytes,
}

/// The arguments of a request.
pub(crate) type Args = Map<String, Value>;
/// What a command answers.
pub(crate) type Answer<'a> = Pin<Box<dyn Future<Output = Result<Value, Failure>> + Send + 'a>>;
/// What carries out a command.
pub(crate) type Run = for<'a> fn(&'a Admin, &'a Args) -> Answer<'a>;

/// Every command.
pub(crate) fn all() -> impl Iterator<Item = &'static Row> {
    TABLE.iter().chain(rooms::ROWS)
}

/// The commands that are about the gateway and its calls.
const TABLE: &[Row] = &[
    Row {
        name: "status",
        about: "Show how the gateway is: calls, clients, load, where it listens",
        method: Method::Get,
        path: "/status",
        args: &[],
        shape: Shape::Lines(&[
            plain("gateway", "/name"),
            plain("version", "/version"),
            plain("state", "/state"),
            column("up", "/uptime_s", Unit::Seconds),
            plain("calls", "/calls/now"),
            plain("calls so far", "/calls/total"),
            plain("answered", "/calls/answered"),
            plain("clients", "/sessions"),
            plain("by RTMFP", "/rtmfp/sessions"),
            plain("streams", "/streams"),
            plain("rooms", "/rooms/now"),
            plain("in rooms", "/rooms/members"),
            plain("registered", "/registered"),
            plain("trunks up", "/trunks"),
            column("media lag", "/lag_ms", Unit::Ms),
            column("memory", "/memory_bytes", Unit::Bytes),
            plain("open files", "/open_files"),
            plain("log level", "/log_level"),
            plain("RTMP on", "/listening/rtmp"),
            plain("RTMFP on", "/listening/rtmfp"),
            plain("SIP/UDP on", "/listening/sip_udp"),
            plain("SIP/TCP on", "/listening/sip_tcp"),
        ]),
        run: |admin, args| Box::pin(commands::status(admin, args)),
    },
    Row {
        name: "calls",
        about: "List the calls in progress",
        method: Method::Get,
        path: "/calls",
        args: &[Arg {
            name: "limit",
            about: "The most to show, 1 to 10000 [default: 1000]",
            required: false,
            words: &[],
        }],
        shape: Shape::Table(
            "/calls",
            &[
                plain("ID", "/id"),
                plain("STATE", "/state"),
                column("TIME", "/seconds", Unit::Seconds),
                plain("CALLER", "/caller"),
                plain("DIALLED", "/dialled"),
                plain("CODECS", "/codecs"),
                plain("SRTP", "/srtp"),
                column("LOSS", "/loss_percent", Unit::Percent),
                column("JITTER", "/jitter_ms", Unit::Ms),
                column("RTT", "/rtt_ms", Unit::Ms),
                column("DELAY", "/delay_ms", Unit::Ms),
            ],
            "no calls",
        ),
        run: |admin, args| Box::pin(commands::calls(admin, args)),
    },
    Row {
        name: "call-info",
        about: "Show one call with both legs and the level of their audio",
        method: Method::Get,
        path: "/calls/{id}",
        args: &[ID],
        shape: Shape::Table(
            "/legs",
            &[
                plain("LEG", "/id"),
                plain("KIND", "/kind"),
                plain("PARTY", "/name"),
                plain("TRUNK", "/trunk"),
                plain("CODEC IN", "/codec_in"),
                plain("CODEC OUT", "/codec_out"),
                plain("IN", "/received"),
                plain("OUT", "/sent"),
                plain("LOST", "/lost"),
                plain("LATE", "/late"),
                column("JITTER", "/jitter_ms", Unit::Ms),
                column("RTT", "/rtt_ms", Unit::Ms),
                column("DELAY", "/delay_ms", Unit::Ms),
                plain("LEVEL dBov", "/level_dbov"),
                plain("SRTP", "/srtp"),
                plain("FORGED", "/forged"),
                plain("REPLAYED", "/replayed"),
            ],
            "no legs",
        ),
        run: |admin, args| Box::pin(commands::call_info(admin, args)),
    },
    Row {
        name: "ladder",
        about: "Show who said what to whom in a call, over or not: SIP messages and client commands",
        method: Method::Get,
        path: "/calls/{id}/ladder",
        args: &[ID],
        shape: Shape::Message,
        run: |admin, args| Box::pin(super::ladder::ladder(admin, args)),
    },
    Row {
        name: "hangup",
        about: "End a call",
        method: Method::Delete,
        path: "/calls/{id}",
        args: &[ID],
        shape: Shape::Message,
        run: |admin, args| Box::pin(commands::hangup(admin, args)),
    },
    Row {
        name: "users",
        about: "List local accounts and registered phones",
        method: Method::Get,
        path: "/users",
        args: &[],
        shape: Shape::Table(
            "/users",
            &[
                plain("USER", "/aor"),
                plain("ACCOUNT", "/account"),
                plain("CONTACTS", "/contact_uris"),
                plain("FROM", "/remotes"),
                column("ENDS IN", "/expires_s", Unit::Seconds),
                plain("PROGRAM", "/user_agent"),
            ],
            "no users",
        ),
        run: |admin, args| Box::pin(commands::users(admin, args)),
    },
    Row {
        name: "trunks",
        about: "List the trunks and how they do",
        method: Method::Get,
        path: "/trunks",
        args: &[],
        shape: Shape::Table(
            "/trunks",
            &[
                plain("TRUNK", "/name"),
                plain("SERVER", "/uri"),
                plain("STATE", "/state"),
                plain("GATEWAYS", "/reached"),
                plain("CALLS", "/calls_now"),
                plain("SO FAR", "/calls"),
                plain("IN", "/calls_in"),
                plain("ANSWERED", "/answered"),
                plain("FAILED", "/failed"),
            ],
            "no trunks are configured",
        ),
        run: |admin, args| Box::pin(commands::trunks(admin, args)),
    },
    Row {
        name: "bans",
        about: "List the addresses that are not served for a while, and why",
        method: Method::Get,
        path: "/bans",
        args: &[],
        shape: Shape::Table(
            "/bans",
            &[
                plain("SOURCE", "/source"),
                plain("WHY", "/why"),
                column("ENDS IN", "/ends_s", Unit::Seconds),
                plain("TIMES", "/times"),
                plain("DROPPED", "/dropped"),
            ],
            "nobody is banned",
        ),
        run: |admin, args| Box::pin(commands::bans(admin, args)),
    },
    Row {
        name: "unban",
        about: "Serve an address again",
        method: Method::Post,
        path: "/bans/lift",
        args: &[Arg {
            name: "source",
            about: "The address, as in the list of bans: 192.0.2.7",
            required: true,
            words: &[],
        }],
        shape: Shape::Message,
        run: |admin, args| Box::pin(commands::unban(admin, args)),
    },
    Row {
        name: "peers",
        about: "List the other peers of the directory",
        method: Method::Get,
        path: "/directory",
        args: &[],
        shape: Shape::Table(
            "/peers",
            &[
                plain("PEER", "/peer"),
                plain("CONNECTED", "/connected"),
                column("RTT", "/rtt_ms", Unit::Ms),
                plain("BUCKET", "/bucket"),
                plain("VERSION", "/version"),
                plain("ADDRESSES", "/addresses"),
            ],
            "no other peers",
        ),
        run: |admin, args| Box::pin(directories::peers(admin, args)),
    },
    Row {
        name: "lookup",
        about: "Ask the directory where a user is",
        method: Method::Get,
        path: "/directory/users/{aor}",
        args: &[AOR],
        shape: Shape::Table(
            "/locations",
            &[
                plain("CONTACT", "/contact"),
                plain("PRESENCE", "/presence"),
                plain("PRIORITY", "/priority"),
                plain("UNTIL", "/until"),
                plain("PEER", "/peer"),
            ],
            "nobody knows it",
        ),
        run: |admin, args| Box::pin(directories::lookup(admin, args)),
    },
    Row {
        name: "trace",
        about: "Show which peers a lookup asks, and what each says",
        method: Method::Get,
        path: "/directory/traces/{aor}",
        args: &[AOR],
        shape: Shape::Table(
            "/trace",
            &[
                column("AFTER", "/after_ms", Unit::Ms),
                plain("SAID", "/said"),
                plain("PEER", "/peer"),
            ],
            "no peer was asked",
        ),
        run: |admin, args| Box::pin(directories::trace_lookup(admin, args)),
    },
    Row {
        name: "drain",
        about: "Take no new calls and end when those in progress have ended",
        method: Method::Post,
        path: "/drain",
        args: &[],
        shape: Shape::Message,
        run: |admin, args| Box::pin(commands::drain(admin, args)),
    },
    Row {
        name: "reload",
        about: "Read the configuration anew; calls in progress go on",
        method: Method::Post,
        path: "/reload",
        args: &[],
        shape: Shape::Message,
        run: |admin, args| Box::pin(commands::reload(admin, args)),
    },
    Row {
        name: "history",
        about: "Show the figures of the last hour, one line for ten seconds",
        method: Method::Get,
        path: "/history",
        args: &[],
        shape: Shape::Table(
            "/samples",
            &[
                plain("TIME", "/time"),
                plain("CALLS", "/calls"),
                plain("CLIENTS", "/sessions"),
                plain("BEGUN", "/began"),
                plain("ANSWERED", "/answered"),
                plain("REFUSED", "/refused"),
                column("LOSS", "/loss_percent", Unit::Percent),
                column("LAG", "/lag_ms", Unit::Ms),
                column("CPU", "/cpu_percent", Unit::Percent),
                column("MEMORY", "/memory_bytes", Unit::Bytes),
            ],
            "no figures yet",
        ),
        run: |admin, args| Box::pin(commands::history(admin, args)),
    },
    Row {
        name: "lines",
        about: "Show the last lines of the log",
        method: Method::Get,
        path: "/log",
        args: &[
            Arg {
                name: "call",
                about: "Only those of this call: c17",
                required: false,
                words: &[],
            },
            Arg {
                name: "limit",
                about: "The most to show, 1 to 2000 [default: 200]",
                required: false,
                words: &[],
            },
        ],
        shape: Shape::Table(
            "/lines",
            &[
                plain("TIME", "/time"),
                plain("LEVEL", "/level"),
                plain("CALL", "/call"),
                plain("MESSAGE", "/message"),
                plain("REASON", "/reason"),
                plain("ERROR", "/error"),
            ],
            "no lines",
        ),
        run: |admin, args| Box::pin(commands::lines(admin, args)),
    },
    Row {
        name: "log",
        about: "Log more or less from now on, until the next restart or reload",
        method: Method::Post,
        path: "/log/level",
        args: &[Arg {
            name: "level",
            about: "How much is logged",
            required: true,
            words: &["error", "warn", "info", "debug", "trace"],
        }],
        shape: Shape::Message,
        run: |admin, args| Box::pin(commands::log(admin, args)),
    },
];

const AOR: Arg = Arg {
    name: "aor",
    about: "The user: alice@example.com",
    required: true,
    words: &[],
};

const ID: Arg = Arg {
    name: "id",
    about: "The call, as in the log and in the list of calls: c17",
    required: true,
    words: &[],
};

/// A value as it is.
pub(crate) const fn plain(head: &'static str, at: &'static str) -> Column {
    column(head, at, Unit::Plain)
}

/// A value with its unit.
pub(crate) const fn column(head: &'static str, at: &'static str, unit: Unit) -> Column {
    Column { head, at, unit }
}

/// The command of a name.
pub(crate) fn find(name: &str) -> Option<&'static Row> {
    all().find(|row| row.name == name)
}

impl Row {
    /// The group and the word in it, when it belongs to one.
    pub(crate) fn in_group(&self) -> Option<(&'static str, &'static str)> {
        self.name.split_once(' ')
    }

    /// Carries it out, once its arguments are what they must be.
    pub(crate) async fn run(&self, admin: &Admin, args: &Args) -> Result<Value, Failure> {
        for (name, value) in args {
            let Some(arg) = self.args.iter().find(|a| a.name == name) else {
                let message = format!("`{}` takes no argument `{name}`", self.name);
                return Err(Failure::new(400, message));
            };
            let fits = value
                .as_str()
                .is_some_and(|v| arg.words.is_empty() || arg.words.contains(&v));
            if !fits {
                let message = match arg.words {
                    [] => format!("`{name}` must be a string"),
                    words => format!("`{name}` must be one of {}", words.join(", ")),
                };
                return Err(Failure::new(400, message));
            }
        }
        if let Some(arg) = self
            .args
            .iter()
            .find(|a| a.required && !args.contains_key(a.name))
        {
            let message = format!("`{}` needs `{}`: {}", self.name, arg.name, arg.about);
            return Err(Failure::new(400, message));
        }
        (self.run)(admin, args).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_routes_are_unique_and_paths_name_arguments() {
        for (i, row) in all().enumerate() {
            for other in all().skip(i + 1) {
                assert_ne!(row.name, other.name);
                assert!(
                    row.path != other.path || row.method != other.method,
                    "{}",
                    row.path
                );
            }
            for part in row.path.split('/').filter_map(|p| p.strip_prefix('{')) {
                let name = part.strip_suffix('}').unwrap();
                assert!(
                    row.args.iter().any(|a| a.name == name && a.required),
                    "{}",
                    row.path
                );
            }
            assert!(row.method == Method::Get || matches!(row.shape, Shape::Message));
            let grouped = row.name.contains(' ');
            assert!(
                !grouped || row.args.first().is_some_and(|a| a.required),
                "{}",
                row.name
            );
        }
    }
}
