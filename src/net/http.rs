//! HTTP/1.1 on one accepted connection, within bounds.

use std::convert::Infallible;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

/// The longest that the head of a request may take, and that a connection may wait for its next one.
const HEAD: Duration = Duration::from_secs(30);
/// The longest that the body of a request may take.
const BODY: Duration = Duration::from_secs(10);
/// The longest head taken, bytes.
const MAX_HEAD: usize = 16 * 1024;
/// The most header fields taken.
const MAX_FIELDS: usize = 64;

/// Serves one connection until it ends; it may be upgraded. Header fields of answers are written `Like-This`,
/// for there are clients that know no other way.
pub async fn serve_http<S, H, F, B>(stream: S, handle: H)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>) -> F + Send + Sync,
    F: Future<Output = Response<B>> + Send,
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let service = service_fn(|request| {
        let answer = handle(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_FIELDS)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::trace!(%error, "an HTTP connection ended");
    }
}

/// The body of a request; `None` when it is longer than `most` bytes, or does not come in time.
pub async fn http_body(body: Incoming, most: usize) -> Option<Bytes> {
    let read = Limited::new(body, most).collect();
    let collected = tokio::time::timeout(BODY, read).await.ok()?.ok()?;
    Some(collected.to_bytes())
}
