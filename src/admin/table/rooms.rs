//! The commands about rooms.

use super::{Arg, Method, Row, Shape, Unit, column, plain};
use crate::admin::rooms;
use crate::exchange::RoomOrder;

const ROOM: Arg = Arg {
    name: "room",
    about: "The room: NAME of conference/NAME",
    required: true,
    words: &[],
};

const MEMBER: Arg = Arg {
    name: "member",
    about: "Who: the id in the list of members, l7, or a name that nobody else there has",
    required: true,
    words: &[],
};

const ONE: Arg = Arg {
    about: "Only this member, by id or name [default: all]",
    required: false,
    ..MEMBER
};

const CALL: Arg = Arg {
    name: "call",
    about: "The call: c17",
    required: true,
    words: &[],
};

/// Every command about rooms.
pub(super) const ROWS: &[Row] = &[
    Row {
        name: "rooms",
        about: "List the conference rooms that are open",
        method: Method::Get,
        path: "/rooms",
        args: &[],
        shape: Shape::Table(
            "/rooms",
            &[
                plain("ROOM", "/name"),
                plain("MEMBERS", "/members"),
                plain("LISTENERS", "/listeners"),
                plain("TALKING", "/talkers"),
                plain("FLOOR", "/speaker"),
                plain("LOCKED", "/locked"),
                plain("RECORDED", "/recording"),
            ],
            "no rooms",
        ),
        run: |admin, args| Box::pin(rooms::list(admin, args)),
    },
    Row {
        name: "room list",
        about: "List the members of a room",
        method: Method::Get,
        path: "/rooms/{room}",
        args: &[ROOM],
        shape: Shape::Table(
            "/members",
            &[
                plain("MEMBER", "/id"),
                plain("NAME", "/name"),
                plain("ROLE", "/role"),
                column("TIME", "/seconds", Unit::Seconds),
                plain("CALL", "/call"),
                plain("AT DOOR", "/at_door"),
                plain("MUTED", "/muted"),
                plain("DEAF", "/deaf"),
                plain("HAND", "/hand"),
                plain("TALKS", "/speaks"),
                plain("GAIN dB", "/gain_db"),
                plain("VOLUME dB", "/volume_db"),
                plain("LEVEL dBov", "/level_dbov"),
            ],
            "nobody",
        ),
        run: |admin, args| Box::pin(rooms::info(admin, args)),
    },
    Row {
        name: "room mute",
        about: "Let a member be heard no more",
        method: Method::Post,
        path: "/rooms/{room}/members/{member}/mute",
        args: &[ROOM, MEMBER],
        shape: Shape::Message,
        run: |admin, args| {
            Box::pin(rooms::member(
                admin,
                args,
                |leg| RoomOrder::Mute(leg, true),
                "is muted in",
            ))
        },
    },
    Row {
        name: "room unmute",
        about: "Let a member be heard again",
        method: Method::Post,
        path: "/rooms/{room}/members/{member}/unmute",
        args: &[ROOM, MEMBER],
        shape: Shape::Message,
        run: |admin, args| {
            Box::pin(rooms::member(
                admin,
                args,
                |leg| RoomOrder::Mute(leg, false),
                "is heard in",
            ))
        },
    },
    Row {
        name: "room deafen",
        about: "Let a member hear nothing",
        method: Method::Post,
        path: "/rooms/{room}/members/{member}/deafen",
        args: &[ROOM, MEMBER],
        shape: Shape::Message,
        run: |admin, args| {
            Box::pin(rooms::member(
                admin,
                args,
                |leg| RoomOrder::Deafen(leg, true),
                "hears nothing of",
            ))
        },
    },
    Row {
        name: "room undeafen",
        about: "Let a member hear again",
        method: Method::Post,
        path: "/rooms/{room}/members/{member}/undeafen",
        args: &[ROOM, MEMBER],
        shape: Shape::Message,
        run: |admin, args| {
            Box::pin(rooms::member(
                admin,
                args,
                |leg| RoomOrder::Deafen(leg, false),
                "hears",
            ))
        },
    },
    Row {
        name: "room kick",
        about: "Send a member away",
        method: Method::Delete,
        path: "/rooms/{room}/members/{member}",
        args: &[ROOM, MEMBER],
        shape: Shape::Message,
        run: |admin, args| Box::pin(rooms::member(admin, args, RoomOrder::Kick, "is sent out of")),
    },
    Row {
        name: "room gain",
        about: "Let a member be heard louder or softer",
        method: Method::Post,
        path: "/rooms/{room}/members/{member}/gain",
        args: &[
            ROOM,
            MEMBER,
            Arg {
                name: "db",
                about: "By how much, dB: -20 to 20; 0 as it comes",
                required: true,
                words: &[],
            },
        ],
        shape: Shape::Message,
        run: |admin, args| Box::pin(rooms::gain(admin, args)),
    },
    Row {
        name: "room lock",
        about: "Let nobody in any more",
        method: Method::Post,
        path: "/rooms/{room}/lock",
        args: &[ROOM],
        shape: Shape::Message,
        run: |admin, args| Box::pin(rooms::lock(admin, args, true)),
    },
    Row {
        name: "room unlock",
        about: "Let everybody in again",
        method: Method::Post,
        path: "/rooms/{room}/unlock",
        args: &[ROOM],
        shape: Shape::Message,
        run: |admin, args| Box::pin(rooms::lock(admin, args, false)),
    },
    Row {
        name: "room record",
        about: "Record a room from now on, into the folder `[conference] recordings`",
        method: Method::Post,
        path: "/rooms/{room}/record",
        args: &[
            ROOM,
            Arg {
                name: "each",
                about: "Whether each member gets a file of its own too [default: no]",
                required: false,
                words: &["yes", "no"],
            },
        ],
        shape: Shape::Message,
        run: |admin, args| Box::pin(rooms::record(admin, args)),
    },
    Row {
        name: "room unrecord",
        about: "End the recording of a room",
        method: Method::Post,
        path: "/rooms/{room}/unrecord",
        args: &[ROOM],
        shape: Shape::Message,
        run: |admin, args| Box::pin(rooms::unrecord(admin, args)),
    },
    Row {
        name: "room stream",
        about: "Publish the mix of a room on an RTMP server",
        method: Method::Post,
        path: "/rooms/{room}/stream",
        args: &[
            ROOM,
            Arg {
                name: "url",
                about: "Where: rtmp://HOST/APP/STREAM, or rtmp+publish;codec=speex:URL",
                required: true,
                words: &[],
            },
        ],
        shape: Shape::Message,
        run: |admin, args| Box::pin(rooms::stream(admin, args)),
    },
    Row {
        name: "room unstream",
        about: "End the streams of a room, or one",
        method: Method::Post,
        path: "/rooms/{room}/unstream",
        args: &[
            ROOM,
            Arg {
                name: "url",
                about: "Which [default: all]",
                required: false,
                words: &[],
            },
        ],
        shape: Shape::Message,
        run: |admin, args| Box::pin(rooms::unstream(admin, args)),
    },
    Row {
        name: "room dial",
        about: "Call somebody into a room",
        method: Method::Post,
        path: "/rooms/{room}/dial",
        args: &[
            ROOM,
            Arg {
                name: "target",
                about: "Whom: any target",
                required: true,
                words: &[],
            },
            Arg {
                name: "user",
                about: "On behalf of which account; calls to trunks need one",
                required: false,
                words: &[],
            },
        ],
        shape: Shape::Message,
        run: |admin, args| Box::pin(rooms::dial(admin, args)),
    },
    Row {
        name: "room play",
        about: "Play a WAV file to a room",
        method: Method::Post,
        path: "/rooms/{room}/play",
        args: &[
            ROOM,
            Arg {
                name: "file",
                about: "A file in the folder `[conference] prompts`: 16 bit, 8 to 48 kHz",
                required: true,
                words: &[],
            },
            ONE,
        ],
        shape: Shape::Message,
        run: |admin, args| Box::pin(rooms::play(admin, args)),
    },
    Row {
        name: "room hush",
        about: "Stop what is played to a room",
        method: Method::Post,
        path: "/rooms/{room}/hush",
        args: &[ROOM, ONE],
        shape: Shape::Message,
        run: |admin, args| Box::pin(rooms::hush(admin, args)),
    },
    Row {
        name: "room take",
        about: "Take both parties of a call into a room; the call stays",
        method: Method::Post,
        path: "/rooms/{room}/calls/{call}",
        args: &[ROOM, CALL],
        shape: Shape::Message,
        run: |admin, args| Box::pin(rooms::take(admin, args)),
    },
    Row {
        name: "room give",
        about: "Give the parties of a call back to it",
        method: Method::Delete,
        path: "/rooms/{room}/calls/{call}",
        args: &[ROOM, CALL],
        shape: Shape::Message,
        run: |admin, args| Box::pin(rooms::give(admin, args)),
    },
    Row {
        name: "room end",
        about: "Send everybody away",
        method: Method::Delete,
        path: "/rooms/{room}",
        args: &[ROOM],
        shape: Shape::Message,
        run: |admin, args| Box::pin(rooms::end(admin, args)),
    },
];
