//! The console's listener: the page, the API, metrics and health, over HTTP/1.1.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderValue};
use hyper::{Method as HttpMethod, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc};

use super::access::{Access, Refusal};
use super::table::{self, Args, Method, Row};
use super::{Admin, Failure, metrics, openapi};
use crate::net::{Gate, TlsAcceptor, http_body, open_tls, serve_http};

/// Where the API begins.
pub(super) const BASE: &str = "/api/v1";
/// Longest body of a request, bytes.
const BODY: usize = 64 * 1024;
/// A wrong password is answered so late that trying many takes long.
const WRONG_PASSWORD: Duration = Duration::from_millis(500);
/// How long opening TLS may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Events that wait for a viewer; one that is slower misses some, and is told so.
const VIEWER: usize = 64;
/// A viewer hears something at least so often, so that dead ones are noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A route that is no command.
pub(super) struct Plain {
    /// Its path.
    pub(super) path: &'static str,
    /// What it gives.
    pub(super) about: &'static str,
    /// As what.
    pub(super) content: &'static str,
    /// Whether it needs no password.
    pub(super) open: bool,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    File(&'static str),
    Metrics,
    Health,
    Ready,
    Description,
    Events,
}

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

/// Every route that is no command.
pub(super) const PLAIN: &[Plain] = &[
    plain(
        "/",
        "The console",
        HTML,
        Kind::File(include_str!("page/index.html")),
    ),
    plain(
        "/console.js",
        "The console's program",
        "text/javascript; charset=utf-8",
        Kind::File(include_str!("page/console.js")),
    ),
    plain(
        "/console.css",
        "The console's looks",
        "text/css; charset=utf-8",
        Kind::File(include_str!("page/console.css")),
    ),
    plain(
        "/icon.svg",
        "The console's icon",
        "image/svg+xml",
        Kind::File(include_str!("page/icon.svg")),
    ),
    plain(
        "/metrics",
        "Metrics for Prometheus",
        metrics::CONTENT_TYPE,
        Kind::Metrics,
    ),
    Plain {
        open: true,
        ..plain(
            "/healthz",
            "200 while the exchange and every shard answer, else 503",
            "text/plain",
            Kind::Health,
        )
    },
    Plain {
        open: true,
        ..plain(
            "/readyz",
            "200 while new calls are taken, else 503",
            "text/plain",
            Kind::Ready,
        )
    },
    plain(
        "/api/v1/openapi.json",
        "This description",
        JSON,
        Kind::Description,
    ),
    plain(
        "/api/v1/events",
        "What happens, as server-sent events: `call.began`, `call.answered`, `call.ended` (the record), `call.refused`, \
         `room.joined`, `room.left`, `room.muted`, `room.hand`, `room.locked`, `room.speaker`, `room.started`, `room.recording`, \
         `log`, `overview` (status, calls and rooms, every second), `sample` (figures, every ten), `missed` (for a slow reader)",
        "text/event-stream",
        Kind::Events,
    ),
];

const fn plain(path: &'static str, about: &'static str, content: &'static str, kind: Kind) -> Plain {
    Plain {
        path,
        about,
        content,
        open: false,
        kind,
    }
}

/// Where the console is served: first the listeners in the clear, then those with TLS.
pub(crate) struct Console {
    pub(crate) gate: Gate,
    pub(crate) plain: usize,
    pub(crate) tls: Option<TlsAcceptor>,
}

/// Serves the console until it is dropped.
pub(crate) async fn serve(console: Console, admin: Admin, password: Option<String>) {
    let Console {
        mut gate,
        plain,
        mut tls,
    } = console;
    let access = Access::new(password.as_deref());
    loop {
        let (listener, stream, peer, permit) = gate.accept().await;
        let (admin, access) = (admin.clone(), access.clone());
        let secure = tls.as_mut().filter(|_| listener >= plain);
        let secure = secure.map(TlsAcceptor::current);
        tokio::spawn(async move {
            let handle = |request| answer(request, &admin, &access);
            match secure {
                None => serve_http(stream, handle).await,
                Some(config) => match open_tls(config, stream, HANDSHAKE).await {
                    Ok(stream) => serve_http(stream, handle).await,
                    Err(error) => {
                        tracing::debug!(peer = %base::Redacted(peer), %error, "TLS was not opened");
                    }
                },
            }
            drop(permit);
        });
    }
}

async fn answer(request: Request<Incoming>, admin: &Admin, access: &Access) -> Response<Payload> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let open = PLAIN.iter().any(|p| p.path == path && p.open);
    let changes = !matches!(parts.method, HttpMethod::GET | HttpMethod::HEAD);
    if !open && let Err(refusal) = access.check(&parts.headers, changes) {
        if refusal == Refusal::Password && parts.headers.contains_key(header::AUTHORIZATION) {
            tokio::time::sleep(WRONG_PASSWORD).await;
        }
        return refused(refusal);
    }
    if let Some(plain) = PLAIN.iter().find(|p| p.path == path) {
        return match parts.method {
            HttpMethod::GET | HttpMethod::HEAD => give(plain, admin).await,
            _ => problem(&Failure::new(405, "this can only be read")),
        };
    }
    let mut args = Args::new();
    let row = match route(&parts.method, path, &mut args) {
        Ok(row) => row,
        Err(failure) => return problem(&failure),
    };
    let taken = match parts.uri.query() {
        Some(query) => take_query(query, &mut args),
        None => Ok(()),
    };
    let taken = match taken {
        Ok(()) if changes => take_body(body, &mut args).await,
        other => other,
    };
    let result = match taken {
        Ok(()) => row.run(admin, &args).await,
        Err(failure) => Err(failure),
    };
    match result {
        Ok(value) => respond(StatusCode::OK, JSON, value.to_string()),
        Err(failure) => problem(&failure),
    }
}

/// The command of a path, with the arguments that stand in it.
fn route(method: &HttpMethod, path: &str, args: &mut Args) -> Result<&'static Row, Failure> {
    let wanted = match *method {
        HttpMethod::GET | HttpMethod::HEAD => Some(Method::Get),
        HttpMethod::POST => Some(Method::Post),
        HttpMethod::DELETE => Some(Method::Delete),
        _ => None,
    };
    let below = path.strip_prefix(BASE).unwrap_or_default();
    let fits: Vec<(&Row, Args)> = table::all()
        .filter_map(|row| Some((row, matched(row.path, below)?)))
        .collect();
    if fits.is_empty() {
        return Err(Failure::new(
            404,
            "there is nothing here; /api/v1/openapi.json lists what there is",
        ));
    }
    match fits.into_iter().find(|(row, _)| Some(row.method) == wanted) {
        Some((row, found)) => {
            args.extend(found);
            Ok(row)
        }
        None => Err(Failure::new(405, "this path does not take that method")),
    }
}

/// The arguments of a path that fits a pattern.
fn matched(pattern: &str, path: &str) -> Option<Args> {
    let mut args = Args::new();
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return Some(args),
            (Some(p), Some(part)) => match p.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
                Some(name) if !part.is_empty() => {
                    args.insert(name.to_owned(), unescape(part)?.into());
                }
                None if p == part => {}
                _ => return None,
            },
            _ => return None,
        }
    }
}

fn take_query(query: &str, args: &mut Args) -> Result<(), Failure> {
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let plus = value.replace('+', " ");
        let (Some(name), Some(value)) = (unescape(name), unescape(&plus)) else {
            return Err(Failure::new(400, "the query is not UTF-8 in percent encoding"));
        };
        args.insert(name, value.into());
    }
    Ok(())
}

/// A JSON object whose fields are arguments; nothing is an empty one.
async fn take_body(body: Incoming, args: &mut Args) -> Result<(), Failure> {
    let Some(bytes) = http_body(body, BODY).await else {
        return Err(Failure::new(
            413,
            "the body is longer than 64 KiB, or did not come in time",
        ));
    };
    if bytes.is_empty() {
        return Ok(());
    }
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(fields)) => {
            args.extend(fields);
            Ok(())
        }
        _ => Err(Failure::new(400, "the body must be a JSON object")),
    }
}

/// Percent encoding (RFC 3986 §2.1).
fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            out.push((high * 16 + low) as u8);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

async fn give(plain: &Plain, admin: &Admin) -> Response<Payload> {
    match plain.kind {
        Kind::File(text) => respond(StatusCode::OK, plain.content, text),
        Kind::Description => respond(StatusCode::OK, plain.content, openapi::text()),
        Kind::Metrics => match metrics::page(admin).await {
            Ok(page) => respond(StatusCode::OK, plain.content, page),
            Err(failure) => problem(&failure),
        },
        Kind::Health => verdict(admin.is_alive().await, plain.content, "alive", "stuck"),
        Kind::Ready => verdict(admin.is_ready().await, plain.content, "ready", "not ready"),
        Kind::Events => {
            let (sender, receiver) = mpsc::channel(VIEWER);
            tokio::spawn(watch(admin.hub.events(), sender));
            let mut response = respond(StatusCode::OK, plain.content, "");
            *response.body_mut() = Payload::Events(receiver);
            response
        }
    }
}

fn verdict(good: bool, content: &'static str, yes: &'static str, no: &'static str) -> Response<Payload> {
    if good {
        respond(StatusCode::OK, content, yes)
    } else {
        respond(StatusCode::SERVICE_UNAVAILABLE, content, no)
    }
}

/// Brings events to one viewer, in the form of the HTML standard's server-sent events.
async fn watch(mut events: broadcast::Receiver<super::hub::Told>, viewer: mpsc::Sender<Bytes>) {
    loop {
        let text = match tokio::time::timeout(HEARTBEAT, events.recv()).await {
            Ok(Ok(told)) => format!("event: {}\ndata: {}\n\n", told.kind, told.data),
            Ok(Err(broadcast::error::RecvError::Lagged(n))) => {
                format!("event: missed\ndata: {{\"events\":{n}}}\n\n")
            }
            Ok(Err(broadcast::error::RecvError::Closed)) => return,
            Err(_) => ": still here\n\n".to_owned(),
        };
        if viewer.send(text.into()).await.is_err() {
            return;
        }
    }
}

fn refused(refusal: Refusal) -> Response<Payload> {
    let status = match refusal {
        Refusal::Password => 401,
        Refusal::Host | Refusal::Foreign => 403,
    };
    let mut response = problem(&Failure::new(status, refusal.text()));
    if refusal == Refusal::Password {
        let challenge = HeaderValue::from_static("Basic realm=\"flashgate\", charset=\"UTF-8\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

fn problem(failure: &Failure) -> Response<Payload> {
    let status = StatusCode::from_u16(failure.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    respond(status, JSON, json!({ "error": failure.message }).to_string())
}

/// Headers that every answer carries: nothing is kept, framed, guessed, or fetched from elsewhere.
const HEADERS: &[(&str, &str)] = &[
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    ),
];

fn respond(status: StatusCode, content: &'static str, text: impl Into<Bytes>) -> Response<Payload> {
    let mut response = Response::new(Payload::Whole(Some(text.into())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content));
    for (name, value) in HEADERS {
        headers.insert(*name, HeaderValue::from_static(value));
    }
    response
}

/// The body of an answer.
enum Payload {
    Whole(Option<Bytes>),
    Events(mpsc::Receiver<Bytes>),
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Payload::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Payload::Events(events) => events.poll_recv(context).map(|b| b.map(|b| Ok(Frame::data(b)))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Payload::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Payload::Events(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_commands_with_their_arguments() {
        let find = |method, path: &str| {
            let mut args = Args::new();
            route(&method, path, &mut args).map(|row| (row.name, args))
        };
        let (name, args) = find(HttpMethod::DELETE, "/api/v1/calls/c1%37").unwrap();
        assert_eq!((name, args["id"].as_str()), ("hangup", Some("c17")));
        assert_eq!(find(HttpMethod::GET, "/api/v1/calls").unwrap().0, "calls");
        assert_eq!(find(HttpMethod::POST, "/api/v1/calls").unwrap_err().status, 405);
        assert_eq!(find(HttpMethod::PUT, "/api/v1/calls").unwrap_err().status, 405);
        for nowhere in [
            "/api/v1",
            "/api/v1/calls/",
            "/api/v1/calls/c1/x",
            "/api/v2/calls",
            "//calls",
            "/calls",
        ] {
            assert_eq!(
                find(HttpMethod::GET, nowhere).unwrap_err().status,
                404,
                "{nowhere}"
            );
        }
    }

    #[test]
    fn no_path_and_no_query_upsets_the_reader() {
        let mut rng = base::Rng::from_entropy([7; 32]);
        let alphabet: Vec<char> = "/%&=+{}acls017.é\u{0}".chars().collect();
        for _ in 0..20_000 {
            let text: String = (0..rng.below(24))
                .filter_map(|_| alphabet.get(rng.below(alphabet.len() as u64) as usize))
                .collect();
            let mut args = Args::new();
            let _found = route(&HttpMethod::GET, &format!("{BASE}{text}"), &mut args);
            let _taken = take_query(&text, &mut args);
            assert!(args.len() <= 24);
        }
    }

    #[test]
    fn queries_are_arguments() {
        let mut args = Args::new();
        take_query("limit=5&x=a+b%2Bc&&flag", &mut args).unwrap();
        assert_eq!(
            (args["limit"].as_str(), args["x"].as_str(), args["flag"].as_str()),
            (Some("5"), Some("a b+c"), Some(""))
        );
        assert!(take_query("x=%FF", &mut args).is_err());
        assert!(take_query("x=%4", &mut args).is_err());
    }
}
