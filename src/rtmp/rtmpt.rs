//! RTMPT: the chunk stream carried in HTTP requests, for clients behind firewalls that let only HTTP through.
//!
//! The client opens a session (`POST /open/1`, answered by its id), then sends its bytes (`/send/ID/SEQ`), or
//! asks for ours with nothing to send (`/idle/ID/SEQ`), one request after another, perhaps each on a TCP
//! connection of its own; at last `/close/ID/SEQ`. Every answer begins with a byte that hints how long to wait
//! before the next idle request. Flash Player first asks `/fcs/ident2`, which servers without an answer refuse.
//! There is no specification; this is what players and media servers agree on.
//!
//! ```text
//!  TCP connection -> Requests -> Request --(session id)--> Tunnel <-> server::Connection
//!  TCP connection <-- Response --------------------------------/
//! ```
//! [`Requests`] belongs to a TCP connection, [`Tunnel`] to a session; ids are the owner's to make.

use thiserror::Error;

/// Reads the requests of one TCP connection.
#[derive(Debug, Default)]
pub struct Requests {
    input: Vec<u8>,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it asks for.
    pub action: Action,
    /// Whether the TCP connection stays open for another.
    pub keep_alive: bool,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `/fcs/ident` or `/fcs/ident2`: which server is this.
    Ident,
    /// `/open/…`: a new session.
    Open,
    /// `/send/…` and `/idle/…`: bytes for the session (none when idle), and a wish for bytes from it.
    Send {
        /// Session id.
        session: String,
        /// Number of the request within the session.
        sequence: u32,
        /// Bytes of the chunk stream.
        body: Vec<u8>,
    },
    /// `/close/…`: the session is over.
    Close {
        /// Session id.
        session: String,
    },
    /// Anything else.
    Other,
}

/// Why a TCP connection carries no requests that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HttpError {
    /// Not HTTP/1.
    #[error("not an HTTP request")]
    Malformed,
    /// The head is longer than 8 KiB.
    #[error("the head of the request is too long")]
    HeadTooLong,
    /// The body is longer than 128 KiB, or its length is not told in advance.
    #[error("the body of the request is too long or of unknown length")]
    BodyTooLong,
}

/// Longest head of a request in bytes.
const MAX_HEAD: usize = 8 << 10;
/// Longest body of a request in bytes.
const MAX_BODY: usize = 128 << 10;

impl Requests {
    /// Takes bytes read from the socket; call [`next`](Self::next_request) until `None` before the next.
    pub fn handle_input(&mut self, bytes: &[u8]) -> Result<(), HttpError> {
        if self.input.len() + bytes.len() > MAX_HEAD + 2 * MAX_BODY {
            return Err(HttpError::BodyTooLong);
        }
        self.input.extend_from_slice(bytes);
        Ok(())
    }

    /// The next request that is there as a whole. After an error the TCP connection is to be closed.
    pub fn next_request(&mut self) -> Result<Option<Request>, HttpError> {
        let Some(end) = self.input.windows(4).position(|w| w == b"\r\n\r\n") else {
            if self.input.len() > MAX_HEAD {
                return Err(HttpError::HeadTooLong);
            }
            return Ok(None);
        };
        if end > MAX_HEAD {
            return Err(HttpError::HeadTooLong);
        }
        let head = self.input.get(..end).unwrap_or(&[]);
        let head = std::str::from_utf8(head).map_err(|_| HttpError::Malformed)?;
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(path), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(HttpError::Malformed);
        };
        let mut keep_alive = match version {
            "HTTP/1.1" => true,
            "HTTP/1.0" => false,
            _ => return Err(HttpError::Malformed),
        };
        let mut length = 0usize;
        for line in lines {
            let (name, value) = line.split_once(':').ok_or(HttpError::Malformed)?;
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
                length = value
                    .parse()
                    .ok()
                    .filter(|_| digits)
                    .ok_or(HttpError::Malformed)?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                return Err(HttpError::BodyTooLong);
            } else if name.eq_ignore_ascii_case("connection") {
                keep_alive = match () {
                    () if value.eq_ignore_ascii_case("close") => false,
                    () if value.eq_ignore_ascii_case("keep-alive") => true,
                    () => keep_alive,
                };
            }
        }
        if length > MAX_BODY {
            return Err(HttpError::BodyTooLong);
        }
        let start = end + 4;
        let Some(body) = self.input.get(start..start + length) else {
            return Ok(None);
        };
        let action = match method {
            "POST" => action(path, body),
            _ => Action::Other,
        };
        self.input.drain(..start + length);
        Ok(Some(Request { action, keep_alive }))
    }
}

fn action(path: &str, body: &[u8]) -> Action {
    let mut parts = path.split('/').skip(1);
    let (verb, session) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let sequence = parts.next().and_then(|s| s.parse::<u32>().ok());
    let session = session.to_owned();
    match (verb, sequence) {
        ("fcs", _) if session.starts_with("ident") => Action::Ident,
        ("open", _) => Action::Open,
        ("send", Some(sequence)) => Action::Send {
            session,
            sequence,
            body: body.to_vec(),
        },
        // Its body is one byte that means nothing.
        ("idle", Some(sequence)) => Action::Send {
            session,
            sequence,
            body: Vec::new(),
        },
        ("close", _) => Action::Close { session },
        _ => Action::Other,
    }
}

/// An answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response<'a> {
    /// To `Open`: the id of the new session, which must fit into a path.
    Opened(&'a str),
    /// To `Send`: what [`Tunnel::reply`] made.
    Data(&'a [u8]),
    /// To `Close`.
    Closed,
    /// To a session that is unknown or over, to `Ident`, and to anything else.
    NotFound,
    /// To `Open` when there is no room.
    Unavailable,
}

impl Response<'_> {
    /// Appends the answer.
    pub fn write(&self, keep_alive: bool, out: &mut Vec<u8>) {
        let (status, body, end): (&str, &[u8], &[u8]) = match self {
            Response::Opened(id) => ("200 OK", id.as_bytes(), b"\n"),
            Response::Data(data) => ("200 OK", data, b""),
            Response::Closed => ("200 OK", &[0], b""),
            Response::NotFound => ("404 Not Found", b"", b""),
            Response::Unavailable => ("503 Service Unavailable", b"", b""),
        };
        let connection = if keep_alive { "Keep-Alive" } else { "close" };
        let head = format!(
            "HTTP/1.1 {status}\r\nCache-Control: no-cache\r\nConnection: {connection}\r\n\
             Content-Length: {}\r\nContent-Type: application/x-fcs\r\n\r\n",
            body.len() + end.len()
        );
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(body);
        out.extend_from_slice(end);
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

    fn post(path: &str, body: &[u8]) -> Vec<u8> {
        let mut out = format!(
            "POST {path} HTTP/1.1\r\nHost: gw\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        out.push_str("");
        let mut out = out.into_bytes();
        out.extend_from_slice(body);
        out
    }

    fn one(bytes: &[u8]) -> Result<Option<Request>, HttpError> {
        let mut r = Requests::default();
        r.handle_input(bytes)?;
        r.next_request()
    }

    fn acted(bytes: &[u8]) -> Action {
        one(bytes).unwrap().unwrap().action
    }

    #[test]
    fn requests_are_told_apart() {
        assert_eq!(acted(&post("/fcs/ident2", &[0])), Action::Ident);
        assert_eq!(acted(&post("/open/1", &[0])), Action::Open);
        assert_eq!(
            acted(&post("/send/abc/7", b"xyz")),
            Action::Send {
                session: "abc".into(),
                sequence: 7,
                body: b"xyz".to_vec()
            }
        );
        assert_eq!(
            acted(&post("/idle/abc/8", &[0])),
            Action::Send {
                session: "abc".into(),
                sequence: 8,
                body: Vec::new()
            }
        );
        assert_eq!(
            acted(&post("/close/abc/9", &[0])),
            Action::Close {
                session: "abc".into()
            }
        );
        assert_eq!(acted(&post("/send/abc", b"")), Action::Other);
        assert_eq!(acted(b"GET /open/1 HTTP/1.1\r\n\r\n"), Action::Other);
    }

    #[test]
    fn connections_are_kept_as_the_client_wants() {
        let keep = |head: &str| one(head.as_bytes()).unwrap().unwrap().keep_alive;
        assert!(keep("POST /open/1 HTTP/1.1\r\n\r\n"));
        assert!(!keep("POST /open/1 HTTP/1.0\r\n\r\n"));
        assert!(keep("POST /open/1 HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
        assert!(!keep("POST /open/1 HTTP/1.1\r\nconnection: close\r\n\r\n"));
    }

    #[test]
    fn what_is_no_request_or_too_large_is_refused() {
        for (text, error) in [
            ("\u{3}\0\0\r\n\r\n", HttpError::Malformed),
            ("POST /open/1 HTTP/2\r\n\r\n", HttpError::Malformed),
            ("POST /open/1 HTTP/1.1\r\nno colon\r\n\r\n", HttpError::Malformed),
            (
                "POST /o HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                HttpError::Malformed,
            ),
            (
                "POST /o HTTP/1.1\r\nContent-Length: 999999\r\n\r\n",
                HttpError::BodyTooLong,
            ),
            (
                "POST /o HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                HttpError::BodyTooLong,
            ),
        ] {
            assert_eq!(one(text.as_bytes()), Err(error), "{text}");
        }
        assert_eq!(one(&[b'a'; MAX_HEAD + 1]), Err(HttpError::HeadTooLong));
        assert_eq!(
            one(&vec![0; MAX_HEAD + 2 * MAX_BODY + 1]),
            Err(HttpError::BodyTooLong)
        );
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
        let (mut tunnel, mut requests) = (Tunnel::default(), Requests::default());
        let mut connected = false;
        for sequence in 1..20 {
            let mut body = Vec::new();
            client.poll_transmit(now, &mut body, 10_000);
            let verb = if body.is_empty() { "idle" } else { "send" };
            requests
                .handle_input(&post(&format!("/{verb}/x/{sequence}"), &body))
                .unwrap();
            let request = requests.next_request().unwrap().unwrap();
            let Action::Send { sequence, body, .. } = request.action else {
                panic!("{request:?}")
            };
            assert_eq!(tunnel.order(sequence), Order::Next);
            server.handle_input(now, &body);
            while let Some(event) = server.poll_event().unwrap() {
                if let server::Event::Connect(_) = event {
                    server.accept_connect();
                }
            }
            let data = tunnel.reply(|out| {
                server.poll_transmit(now, out, 10_000);
            });
            let mut answer = Vec::new();
            Response::Data(data).write(request.keep_alive, &mut answer);
            let at = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
            client.handle_input(now, &answer[at + 5..]);
            while let Some(event) = client.poll_event().unwrap() {
                connected |= matches!(event, client::Event::Connected { .. });
            }
        }
        assert!(connected);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = one(&bytes);
        }

        #[test]
        fn requests_survive_any_fragmentation(piece in 1usize..40) {
            let mut all = post("/open/1", &[0]);
            all.extend(post("/send/x/2", &[7; 50]));
            let mut r = Requests::default();
            let mut got = 0;
            for part in all.chunks(piece) {
                r.handle_input(part).unwrap();
                while r.next_request().unwrap().is_some() { got += 1 }
            }
            prop_assert_eq!(got, 2);
        }
    }
}
