//! Client sessions whose bytes come and go in HTTP requests (RTMPT).
//!
//! Such a session has no socket: what it has to say waits in the machine, where it can still be dropped as late,
//! until a request fetches it.

use base::SessionId;
use rtmp::rtmpt::{Order, Tunnel};
use tokio::sync::oneshot;

use super::{Shared, WRITE_CHUNK};
use crate::net::Permit;

/// The most that one request fetches, bytes; what is left follows with the next.
const ANSWER: usize = 64 * 1024;

/// What a request asks of a session.
#[derive(Debug)]
pub(crate) enum TunnelAsk {
    /// Takes bytes, perhaps none, and fetches what the session has to say.
    Send {
        /// The number of the request.
        sequence: u32,
        /// The bytes.
        body: Vec<u8>,
    },
    /// Ends the session.
    Close,
}

/// A request for a session.
#[derive(Debug)]
pub(crate) struct TunnelRequest {
    /// Which session.
    pub(crate) session: SessionId,
    /// The part of its id that cannot be guessed.
    pub(crate) secret: u64,
    /// What is asked.
    pub(crate) ask: TunnelAsk,
    /// Where the body of the answer goes; dropped when there is no such session, or no longer.
    pub(crate) answer: oneshot::Sender<Vec<u8>>,
}

/// A session in a tunnel.
pub(super) struct TunnelIo {
    pub(super) secret: u64,
    pub(super) tunnel: Tunnel,
    /// Gives the place within the limits back when the session is gone.
    pub(super) _permit: Permit,
}

/// Carries a request out.
pub(super) fn request(driver: &Shared, request: TunnelRequest) {
    let TunnelRequest {
        session,
        secret,
        ask,
        answer,
    } = request;
    let mut d = driver.borrow_mut();
    let now = d.clock.now();
    let Some(io) = d.tunnels.get_mut(&session).filter(|io| io.secret == secret) else {
        return;
    };
    let (sequence, body) = match ask {
        TunnelAsk::Send { sequence, body } => (sequence, body),
        TunnelAsk::Close => {
            d.shard.handle_closed(now, session);
            d.drain(now, driver);
            let _requester_gone = answer.send(vec![0]);
            return;
        }
    };
    match io.tunnel.order(sequence) {
        Order::Next => {
            if !body.is_empty() {
                d.shard.handle_bytes(now, session, &body);
                d.drain(now, driver);
            }
            let d = &mut *d;
            let Some(io) = d.tunnels.get_mut(&session) else {
                return;
            };
            let shard = &mut d.shard;
            let reply = io.tunnel.reply(|out| {
                while out.len() < ANSWER && shard.transmit(now, session, out, WRITE_CHUNK) > 0 {}
            });
            let _requester_gone = answer.send(reply.to_vec());
            d.drain(now, driver);
        }
        Order::Again => {
            let _requester_gone = answer.send(io.tunnel.last_reply().to_vec());
        }
        Order::Broken => {
            tracing::info!(%session, "client session ended: requests of its tunnel are missing");
            d.shard.handle_closed(now, session);
            d.drain(now, driver);
        }
    }
}
