//! SIP over WebSocket (RFC 7118): the upgrade of an HTTP connection, and messages in frames.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use sip::StreamParser;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::connection::{Line, MAX_MESSAGE};
use super::transport::Arrival;

/// The subprotocol (RFC 7118 §4.1).
const SUBPROTOCOL: &str = "sip";
/// A peer that has said nothing for so long is pinged; browsers answer by themselves.
const PING_AFTER: Duration = Duration::from_secs(60);
/// A pinged peer that says nothing for so long is gone.
const GONE_AFTER: Duration = Duration::from_secs(30);
/// The longest that a peer may take to read what it is sent.
const WRITE: Duration = Duration::from_secs(10);

/// Which web pages may connect: those whose origin is the host they connect to, and those named here.
#[derive(Clone, Debug, Default)]
pub struct Origins(Arc<[String]>);

impl Origins {
    /// These origins (`https://phone.example`); `*` is every one.
    pub fn new(allowed: &[String]) -> Origins {
        Origins(allowed.into())
    }

    /// A program that is no browser says none. A page may not use the rights of the browser's machine.
    fn admits(&self, headers: &HeaderMap) -> bool {
        let text = |name: &HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
        let Some(origin) = text(&ORIGIN) else {
            return !headers.contains_key(ORIGIN);
        };
        let named = |allowed: &String| allowed == "*" || allowed.eq_ignore_ascii_case(origin);
        let host = origin.split_once("://").map(|(_, host)| host);
        self.0.iter().any(named) || (host.is_some() && host == text(&HOST))
    }
}

/// Whether a request wants SIP over WebSocket; if so, the key of its handshake.
///
/// # Errors
/// The answer that refuses it.
fn key(request: &Request<Incoming>, origins: &Origins) -> Result<String, Box<Response<Full<Bytes>>>> {
    let headers = request.headers();
    let has = |name: &HeaderName, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|v| v.to_str().ok());
        values
            .flat_map(|v| v.split(','))
            .any(|v| v.trim().eq_ignore_ascii_case(word))
    };
    let upgrade = has(&UPGRADE, "websocket") && has(&CONNECTION, "upgrade");
    if request.method() != Method::GET || !upgrade || !has(&SEC_WEBSOCKET_VERSION, "13") {
        let mut response = refused(
            StatusCode::UPGRADE_REQUIRED,
            "SIP over WebSocket (RFC 7118) is spoken here\n",
        );
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Err(Box::new(response));
    }
    if !has(&SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        let why = "ask for the subprotocol sip\n";
        return Err(Box::new(refused(StatusCode::BAD_REQUEST, why)));
    }
    if !origins.admits(headers) {
        let why = "pages of this origin may not connect: see sip.websocket_origins\n";
        return Err(Box::new(refused(StatusCode::FORBIDDEN, why)));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).and_then(|k| k.to_str().ok());
    key.map(str::to_owned)
        .ok_or_else(|| Box::new(refused(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing\n")))
}

fn refused(status: StatusCode, why: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(why.as_bytes())));
    *response.status_mut() = status;
    response
}

/// Answers a request for SIP over WebSocket on any HTTP listener that upgrades. `line` is asked for only when the
/// request is taken; `place` is held until the connection ends.
pub(super) fn upgrade(
    mut request: Request<Incoming>,
    origins: &Origins,
    line: impl FnOnce() -> (Line, mpsc::Receiver<Vec<u8>>),
    place: impl Send + 'static,
) -> Response<Full<Bytes>> {
    let key = match key(&request, origins) {
        Ok(key) => key,
        Err(refusal) => return *refusal,
    };
    let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) else {
        return refused(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is malformed\n");
    };
    let (line, queue) = line();
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(upgraded) = upgraded.await {
            let config = WebSocketConfig::default()
                .max_message_size(Some(MAX_MESSAGE))
                .max_frame_size(Some(MAX_MESSAGE))
                .max_write_buffer_size(4 * MAX_MESSAGE);
            let stream = TokioIo::new(upgraded);
            run(
                line,
                WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await,
                queue,
            )
            .await;
        }
        drop(place);
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    response
}

/// Reads and writes a WebSocket until it ends: each message of it is one of SIP (RFC 7118 §5).
async fn run<S>(line: Line, mut socket: WebSocketStream<S>, mut queue: mpsc::Receiver<Vec<u8>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connected = line.connected().await;
    let mut pinged = false;
    while connected {
        let patience = if pinged { GONE_AFTER } else { PING_AFTER };
        let out = tokio::select! {
            frame = tokio::time::timeout(patience, socket.next()) => {
                let took = match frame {
                    Ok(Some(Ok(Message::Text(text)))) => take(&line, text.as_bytes()).await,
                    Ok(Some(Ok(Message::Binary(bytes)))) => take(&line, &bytes).await,
                    // Pings are answered by the library.
                    Ok(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))) => true,
                    Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) => false,
                    Err(_) if !pinged => {
                        pinged = true;
                        let ping = socket.send(Message::Ping(Bytes::new()));
                        connected = matches!(tokio::time::timeout(WRITE, ping).await, Ok(Ok(())));
                        continue;
                    }
                    Err(_) => false,
                };
                pinged = false;
                connected = took;
                continue;
            }
            bytes = queue.recv() => bytes,
        };
        let Some(bytes) = out else { break };
        // Text where it is text: what every client takes (RFC 7118 §5).
        let message = match String::from_utf8(bytes) {
            Ok(text) => Message::text(text),
            Err(bytes) => Message::binary(bytes.into_bytes()),
        };
        connected = matches!(
            tokio::time::timeout(WRITE, socket.send(message)).await,
            Ok(Ok(()))
        );
    }
    let _gone = tokio::time::timeout(WRITE, socket.close(None)).await;
    line.closed().await;
}

/// Takes one message of the peer; false when nobody wants messages any more.
async fn take(line: &Line, bytes: &[u8]) -> bool {
    if bytes.iter().all(|b| matches!(b, b'\r' | b'\n')) {
        // RFC 5626 §4.4.1, which RFC 7118 §6 allows here: a double CRLF is answered with one.
        if bytes.len() >= 4 {
            let _full = line.writer.try_send(StreamParser::PONG.to_vec());
        }
        return true;
    }
    let arrival = Arrival::Message(line.source, sip::parse_datagram(bytes));
    line.arrivals.send(arrival).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(allowed: &[&str], origin: Option<&'static str>) -> bool {
        let allowed: Vec<String> = allowed.iter().map(|a| (*a).to_owned()).collect();
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("gw.example:8080"));
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
        }
        Origins::new(&allowed).admits(&headers)
    }

    #[test]
    fn a_page_connects_to_its_own_host_or_where_it_is_named() {
        assert!(admits(&[], None));
        assert!(admits(&[], Some("http://gw.example:8080")));
        assert!(!admits(&[], Some("http://gw.example")));
        assert!(!admits(&[], Some("https://evil.example")));
        assert!(!admits(&[], Some("null")));
        assert!(admits(&["https://phone.example"], Some("https://phone.example")));
        assert!(!admits(&["https://phone.example"], Some("http://phone.example")));
        assert!(admits(&["*"], Some("https://evil.example")));
    }
}
