//! RTMPT: the chunk stream carried in HTTP requests, for clients behind firewalls that let only HTTP through.
//!
//! The client opens a session (`POST /open/1`, answered by its id), then sends its bytes (`/send/ID/SEQ`), or
//! asks for ours with nothing to send (`/idle/ID/SEQ`), one request after another, perhaps each on a TCP
//! connection of its own; at last `/close/ID/SEQ`. Every answer begins with a byte that hints how long to wait
//! before the next idle request. Flash Player first asks `/fcs/ident2`, which servers without an answer refuse.
//! There is no specification; this is what players and media servers agree on.
//!
//! ```text
//!  HTTP request -> Action --(session id)--> Tunnel <-> server::Connection
//! ```
//! HTTP itself is the owner's, and so are session ids. An answer has the type [`CONTENT_TYPE`]; to
//! [`Action::Open`] it is the id of the session and a line feed, to [`Action::Send`] what [`Tunnel::reply`] made,
//! to [`Action::Close`] one zero byte; everything else is answered with 404.

/// The `Content-Type` of answers.
pub const CONTENT_TYPE: &str = "application/x-fcs";
/// The longest body of a request that is worth taking, in bytes.
pub const MAX_BODY: usize = 128 << 10;

/// What a POST request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// `/fcs/ident` or `/fcs/ident2`: which server is this.
    Ident,
    /// `/open/…`: a new session.
    Open,
    /// `/send/…` and `/idle/…`: bytes for the session, and a wish for bytes from it.
    Send {
        /// Session id.
        session: &'a str,
        /// Number of the request within the session.
        sequence: u32,
        /// Whether the body is for the session; that of an idle request is one byte that means nothing.
        body: bool,
    },
    /// `/close/…`: the session is over.
    Close {
        /// Session id.
        session: &'a str,
    },
    /// Anything else.
    Other,
}

impl<'a> Action<'a> {
    /// Reads the path of a request.
    pub fn parse(path: &'a str) -> Action<'a> {
        let mut parts = path.split('/').skip(1);
        let (verb, session) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let sequence = parts.next().and_then(|s| s.parse::<u32>().ok());
        match (verb, sequence) {
            ("fcs", _) if session.starts_with("ident") => Action::Ident,
            ("open", _) => Action::Open,
            ("send" | "idle", Some(sequence)) => Action::Send {
                session,
                sequence,
                body: verb == "send",
            },
            ("close", _) => Action::Close { session },
            _ => Action::Other,
        }
    }
}

/// One session: keeps its requests in order and its hints.
#[derive(Debug, Default)]
pub struct Tunnel {
    /// Number of the request answered last, and its answer, for a proxy that asks again.
    last: Option<u32>,
    answer: Vec<u8>,
    /// Answers without data, one after the other.
    empty: usize,
}

/// What is to be done with a request of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// It is the next: give its body to the connection, then make the answer.
    Next,
    /// It was answered already: send [`Tunnel::last_reply`] again.
    Again,
    /// Requests before it are missing or it is an old one: end the session.
    Broken,
}

/// Hints after so many answers without data; a player waits longer the higher the hint.
const HINTS: [u8; 6] = [0x01, 0x03, 0x05, 0x09, 0x11, 0x21];
/// Answers without data before the next hint is given.
const PATIENCE: usize = 10;

impl Tunnel {
    /// Where a request with this number stands. The first of a session may have any.
    pub fn order(&mut self, sequence: u32) -> Order {
        match self.last {
            Some(last) if sequence == last => Order::Again,
            Some(last) if sequence != last.wrapping_add(1) => Order::Broken,
            _ => {
                self.last = Some(sequence);
                Order::Next
            }
        }
    }

    /// Makes the answer to the request taken last: `fill` appends the bytes of the connection
    /// (`poll_transmit`).
    pub fn reply(&mut self, fill: impl FnOnce(&mut Vec<u8>)) -> &[u8] {
        self.answer.clear();
        self.answer.push(0);
        fill(&mut self.answer);
        self.empty = if self.answer.len() > 1 { 0 } else { self.empty + 1 };
        let level = (self.empty / PATIENCE).min(HINTS.len() - 1);
        if let (Some(first), Some(hint)) = (self.answer.first_mut(), HINTS.get(level)) {
            *first = *hint;
        }
        &self.answer
    }

    /// The last answer.
    pub fn last_reply(&self) -> &[u8] {
        &self.answer
    }
}

#[cfg(test)]
mod tests {
    use base::{Rng, Time};
    use proptest::prelude::*;

    use super::*;
    use crate::client::{self, ClientConfig, ConnectRequest};
    use crate::server::{self, ServerConfig};

    #[test]
    fn requests_are_told_apart() {
        let send = |session, sequence, body| Action::Send {
            session,
            sequence,
            body,
        };
        for (path, action) in [
            ("/fcs/ident2", Action::Ident),
            ("/fcs/ident", Action::Ident),
            ("/open/1", Action::Open),
            ("/send/abc/7", send("abc", 7, true)),
            ("/idle/abc/8", send("abc", 8, false)),
            ("/close/abc/9", Action::Close { session: "abc" }),
            ("/close/abc", Action::Close { session: "abc" }),
            ("/send/abc", Action::Other),
            ("/send/abc/4294967296", Action::Other),
            ("/send/abc/-1", Action::Other),
            ("/fcs/other", Action::Other),
            ("/", Action::Other),
            ("", Action::Other),
        ] {
            assert_eq!(Action::parse(path), action, "{path}");
        }
    }

    #[test]
    fn order_and_hints_follow_the_requests() {
        let mut t = Tunnel::default();
        assert_eq!(t.order(5), Order::Next);
        assert_eq!(t.reply(|out| out.extend(b"ab")), b"\x01ab");
        assert_eq!(t.order(5), Order::Again);
        assert_eq!(t.last_reply(), b"\x01ab");
        assert_eq!(t.order(7), Order::Broken);
        let hints: Vec<u8> = (6..80)
            .map(|n| {
                assert_eq!(t.order(n), Order::Next);
                t.reply(|_| {})[0]
            })
            .collect();
        assert_eq!((hints[0], hints[9], hints[73]), (0x01, 0x03, 0x21));
        assert_eq!(t.reply(|out| out.push(1)), b"\x01\x01");
    }

    #[test]
    fn a_session_connects_through_the_tunnel() {
        let now = Time::from_secs(1);
        let mut client = client::Connection::new(ClientConfig::default(), Rng::new(1), now);
        let mut server = server::Connection::new(ServerConfig::default(), Rng::new(2), now);
        client.connect(&ConnectRequest::player("live", "rtmpt://gw/live"));
        let mut tunnel = Tunnel::default();
        let mut connected = false;
        for sequence in 1..20 {
            let mut body = Vec::new();
            client.poll_transmit(now, &mut body, 10_000);
            assert_eq!(tunnel.order(sequence), Order::Next);
            server.handle_input(now, &body);
            while let Some(event) = server.poll_event().unwrap() {
                if let server::Event::Connect(_) = event {
                    server.accept_connect();
                }
            }
            let answer = tunnel.reply(|out| {
                server.poll_transmit(now, out, 10_000);
            });
            client.handle_input(now, &answer[1..]);
            while let Some(event) = client.poll_event().unwrap() {
                connected |= matches!(event, client::Event::Connected { .. });
            }
        }
        assert!(connected);
    }

    proptest! {
        #[test]
        fn any_path_is_read(path in ".{0,60}") {
            let _ = Action::parse(&path);
        }
    }
}
