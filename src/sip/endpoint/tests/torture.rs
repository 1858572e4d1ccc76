//! What a user agent with registrar answers to each message of RFC 4475, and what that RFC says.

use std::path::Path;

use super::script::Script;
use crate::endpoint::Event;

/// What is to happen.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// This status, and nothing reaches the user.
    Status(u16),
    /// Nothing at all.
    Silence,
    /// 100, and the call reaches the user.
    Call,
    /// The message reaches the user.
    Message,
}
use Then::{Call, Message, Silence, Status};

const TABLE: &[(&str, &str, Then)] = &[
    // 3.1.1 Valid messages.
    (
        "wsinv",
        "well formed; its To tag names no dialog of ours",
        Status(481),
    ),
    ("intmeth", "a method nobody knows", Status(501)),
    ("esc01", "an escaped user", Call),
    (
        "escnull",
        "REGISTER with escaped nulls: challenged like any",
        Status(401),
    ),
    (
        "esc02",
        "a method with percent signs is not unescaped",
        Status(501),
    ),
    (
        "lwsdisp",
        "no space between display name and bracket",
        Status(200),
    ),
    ("longreq", "long values", Call),
    (
        "dblreq",
        "REGISTER; what follows in the datagram is ignored",
        Status(401),
    ),
    ("semiuri", "semicolons in the user part", Status(200)),
    ("transports", "unknown transports in lower Vias", Status(200)),
    ("mpart01", "a multipart body", Message),
    ("unreason", "a response we never asked for", Silence),
    ("noreason", "a response we never asked for", Silence),
    // 3.1.2 Invalid messages.
    ("badinv01", "malformed Via and Contact", Status(400)),
    ("clerr", "Content-Length larger than the body", Status(400)),
    ("ncl", "negative Content-Length", Status(400)),
    ("scalar02", "numbers out of range", Status(400)),
    ("scalarlg", "a response with numbers out of range", Silence),
    ("quotbal", "an unterminated quoted string", Status(400)),
    ("ltgtruri", "brackets around the Request-URI", Status(400)),
    ("lwsruri", "spaces in the Request-URI", Status(400)),
    ("lwsstart", "several spaces in the start line", Status(400)),
    (
        "trws",
        "spaces at the end of the start line may be ignored",
        Status(200),
    ),
    ("escruri", "headers in the Request-URI", Status(400)),
    ("baddate", "a Date we do not use", Call),
    ("regbadct", "a Contact that needs brackets", Status(400)),
    ("badaspec", "spaces in To may be ignored", Status(200)),
    ("baddn", "a display name that needs quotes", Status(400)),
    ("badvers", "SIP/7.0", Status(505)),
    ("mismatch01", "CSeq names another method", Status(400)),
    (
        "mismatch02",
        "an unknown method, whatever CSeq names",
        Status(501),
    ),
    ("bigcode", "a response status out of range", Silence),
    // 3.2 and 3.3.
    ("badbranch", "a branch that is the cookie alone", Status(400)),
    ("insuf", "required fields are missing", Status(400)),
    ("unkscm", "an unknown scheme", Status(416)),
    ("novelsc", "an unknown scheme of odd shape", Status(416)),
    ("unksm2", "a registrar wants a SIP URI in To", Status(400)),
    ("bext01", "Require of an unknown extension", Status(420)),
    ("invut", "an unknown body type", Status(415)),
    (
        "regaut01",
        "an unknown authentication scheme: challenged",
        Status(401),
    ),
    ("multi01", "single values that are repeated", Status(400)),
    ("mcl01", "several Content-Lengths", Status(400)),
    ("bcast", "a response to somebody else", Silence),
    ("zeromf", "no hop left, but we are the target", Status(200)),
    (
        "cparam01",
        "unknown Contact parameters: challenged like any",
        Status(401),
    ),
    ("cparam02", "a URI parameter in the Contact", Status(401)),
    ("regescrt", "headers in the Contact", Status(401)),
    ("sdp01", "SDP is not accepted", Status(406)),
    // 3.4.
    ("inv2543", "a caller of RFC 2543", Call),
];

#[test]
fn each_message_is_handled_as_the_rfc_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/wire/sip/rfc4475");
    let mut wrong = Vec::new();
    for (name, why, then) in TABLE {
        let bytes = std::fs::read(folder.join(format!("{name}.dat"))).unwrap();
        let mut s = Script::with(|c| {
            c.domains = vec!["example.com".to_owned(), "example.net".to_owned()];
        });
        s.recv_raw(&bytes);
        let lines = s.take_first_lines();
        let lines: Vec<&str> = lines.iter().map(|l| l.get(8..11).unwrap_or(l)).collect();
        let event = {
            let mut events = Vec::new();
            while s.has_event() {
                events.push(s.event());
            }
            events
        };
        let right = match then {
            Status(status) => lines == [status.to_string()] && event.is_empty(),
            Silence => lines.is_empty() && event.is_empty(),
            Call => lines == ["100"] && matches!(event[..], [Event::Incoming { .. }]),
            Message => lines.is_empty() && matches!(event[..], [Event::Message { .. }]),
        };
        if !right {
            wrong.push(format!(
                "{name} ({why}): {then:?}, but sent {lines:?} and told {event:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let files = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(TABLE.len(), files, "a message is not in the table");
}
