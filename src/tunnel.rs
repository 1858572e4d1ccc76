//! RTMPT: HTTP requests on one side, client sessions of the shards on the other.
//!
//! Nothing is kept here about a session: its id says on which shard it is and proves that it is the caller's,
//! and the shard keeps the rest (`shard/driver/tunnel.rs`). A [`Tunnels`] may be mounted on any HTTP listener.

use std::net::{IpAddr, SocketAddr};

use base::SessionId;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use rtmp::rtmpt::{self, Action};
use tokio::sync::{mpsc, oneshot};

use crate::net::{self, Gate, Permit};
use crate::shard::{Carrier, Dealer, Message, TunnelAsk, TunnelRequest};

/// Requests for a new session that wait.
const OPENS: usize = 64;

/// A wish for a new session.
struct Open {
    peer: IpAddr,
    answer: oneshot::Sender<Permit>,
}

/// The way from HTTP to tunnelled sessions; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Tunnels {
    dealer: Dealer,
    opens: mpsc::Sender<Open>,
}

/// The id by which a client names its session: a secret and the number, in hexadecimal.
fn name(session: SessionId, secret: u64) -> String {
    format!("{secret:016x}{:x}", session.0)
}

fn named(id: &str) -> Option<(SessionId, u64)> {
    let (secret, number) = id.split_at_checked(16)?;
    let hex = |s| u64::from_str_radix(s, 16).ok();
    Some((SessionId(hex(number)?), hex(secret)?))
}

impl Tunnels {
    /// Tunnels whose sessions are dealt by `dealer` and counted at `sessions`, a gate without listeners.
    pub(crate) fn new(dealer: Dealer, mut sessions: Gate) -> Tunnels {
        let (opens, mut wishes) = mpsc::channel::<Open>(OPENS);
        tokio::spawn(async move {
            while let Some(Open { peer, answer }) = wishes.recv().await {
                if let Some(permit) = sessions.admit(peer) {
                    let _gone = answer.send(permit);
                }
            }
        });
        Tunnels { dealer, opens }
    }

    /// Answers one request of RTMPT.
    pub(crate) async fn handle(&self, peer: SocketAddr, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        // Read in any case: what is left of it would stand before the next request.
        let Some(body) = net::http_body(body, rtmpt::MAX_BODY).await else {
            return answer(StatusCode::PAYLOAD_TOO_LARGE, Bytes::new());
        };
        if head.method != Method::POST {
            return answer(StatusCode::NOT_FOUND, Bytes::new());
        }
        match Action::parse(head.uri.path()) {
            Action::Open => self.open(peer).await,
            Action::Send {
                session,
                sequence,
                body: wanted,
            } => {
                let body = if wanted { body.to_vec() } else { Vec::new() };
                self.ask(session, TunnelAsk::Send { sequence, body }).await
            }
            Action::Close { session } => self.ask(session, TunnelAsk::Close).await,
            Action::Ident | Action::Other => answer(StatusCode::NOT_FOUND, Bytes::new()),
        }
    }

    async fn open(&self, peer: SocketAddr) -> Response<Full<Bytes>> {
        let (reply, wish) = oneshot::channel();
        let open = Open {
            peer: peer.ip(),
            answer: reply,
        };
        if self.opens.try_send(open).is_err() {
            return answer(StatusCode::SERVICE_UNAVAILABLE, Bytes::new());
        }
        // The secret is the system's: that of a seeded generator could be told from those of other sessions.
        let (Ok(permit), Ok([a, b, c, d, e, f, g, h, ..])) = (wish.await, net::entropy()) else {
            return answer(StatusCode::SERVICE_UNAVAILABLE, Bytes::new());
        };
        let secret = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let session = self.dealer.session();
        if !self.dealer.deal(session, Carrier::Tunnel(secret), peer, permit) {
            return answer(StatusCode::SERVICE_UNAVAILABLE, Bytes::new());
        }
        answer(StatusCode::OK, format!("{}\n", name(session, secret)).into())
    }

    async fn ask(&self, id: &str, ask: TunnelAsk) -> Response<Full<Bytes>> {
        let Some((session, secret)) = named(id) else {
            return answer(StatusCode::NOT_FOUND, Bytes::new());
        };
        let (reply, said) = oneshot::channel();
        let request = TunnelRequest {
            session,
            secret,
            ask,
            answer: reply,
        };
        let sent = self
            .dealer
            .shard(session)
            .is_some_and(|shard| shard.messages.try_send(Message::Tunnel(request)).is_ok());
        match said.await {
            Ok(body) => answer(StatusCode::OK, body.into()),
            Err(_) if sent => answer(StatusCode::NOT_FOUND, Bytes::new()),
            Err(_) => answer(StatusCode::SERVICE_UNAVAILABLE, Bytes::new()),
        }
    }
}

fn answer(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(rtmpt::CONTENT_TYPE));
    // Some proxies keep what a POST brought.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Serves RTMPT on listeners of its own, for ever.
pub(crate) async fn serve(mut gate: Gate, tunnels: Tunnels) {
    loop {
        let (_, stream, peer, permit) = gate.accept().await;
        let tunnels = tunnels.clone();
        tokio::spawn(async move {
            net::serve_http(stream, |request| tunnels.handle(peer, request)).await;
            drop(permit);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_the_session_and_its_secret() {
        for (session, secret) in [(1, 0), (0xffff, u64::MAX), (u64::MAX, 7)] {
            let id = name(SessionId(session), secret);
            assert_eq!(named(&id), Some((SessionId(session), secret)), "{id}");
        }
        for id in [
            "",
            "1",
            "0123456789abcdef",
            "0123456789abcdeg1",
            "ä123456789abcdef1",
            "0123456789abcdef-1",
        ] {
            assert_eq!(named(id), None, "{id}");
        }
    }
}
