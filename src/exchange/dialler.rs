//! Connections to RTMP servers elsewhere: the name looked up, its addresses tried one after another, TLS opened.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use crate::net::{self, Parcel, Resolver, TlsConnector};
use crate::shard::Remote;

/// For everything up to the handshake of RTMP.
const ALL: Duration = Duration::from_secs(10);
/// For one address.
const ONE: Duration = Duration::from_secs(4);
/// Addresses of one name that are tried.
const ADDRESSES: usize = 4;
/// What we sent has to be acknowledged within this time, or the connection is lost.
const UNACKNOWLEDGED: Duration = Duration::from_secs(15);
/// A silent server is looked after so often.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Connects; what went wrong says so in words for the log.
pub(super) async fn connect(
    resolver: &Resolver,
    connector: Option<&TlsConnector>,
    remote: &Remote,
) -> Result<Parcel, String> {
    let all = async {
        let stream = tcp(addresses(resolver, remote).await?).await?;
        prepare(&stream).map_err(|e| e.to_string())?;
        if !remote.tls() {
            return Parcel::plain(stream).map_err(|e| e.to_string());
        }
        let connector = connector.ok_or("TLS to others is not possible here; see [tls] trust")?;
        let opened = connector.open(remote.host(), stream).await;
        let opened = opened.map_err(|e| format!("TLS was not opened: {e}"))?;
        Parcel::tls_client(opened).map_err(|e| e.to_string())
    };
    match tokio::time::timeout(ALL, all).await {
        Ok(result) => result,
        Err(_) => Err("the server did not answer in time".to_owned()),
    }
}

/// The addresses of a server, those of IPv6 first (RFC 6724).
async fn addresses(resolver: &Resolver, remote: &Remote) -> Result<Vec<SocketAddr>, String> {
    let (host, port) = (remote.host(), remote.port());
    let found: Vec<IpAddr> = match host.parse() {
        Ok(ip) => vec![ip],
        Err(_) => {
            let (six, four) = tokio::join!(resolver.aaaa(host), resolver.a(host));
            let both = six.unwrap_or_default().into_iter();
            both.chain(four.unwrap_or_default()).collect()
        }
    };
    if found.is_empty() {
        return Err(format!("{host} has no address"));
    }
    Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}

async fn tcp(addresses: Vec<SocketAddr>) -> Result<TcpStream, String> {
    let mut last = String::new();
    for address in addresses.into_iter().take(ADDRESSES) {
        match tokio::time::timeout(ONE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = format!("{address}: {error}"),
            Err(_) => last = format!("{address}: no answer"),
        }
    }
    Err(last)
}

/// Audio leaves at once, waits with us rather than in the kernel, and a dead server is found out.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    net::keep_send_queue_short(std::os::fd::AsFd::as_fd(stream))?;
    let socket = SockRef::from(stream);
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE / 3)
        .with_retries(3);
    socket.set_tcp_keepalive(&keepalive)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_server_is_reached_and_one_that_is_not_there_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = format!("rtmp://localhost:{port}/live/key");
        let resolver = Resolver::new().unwrap();
        let remote = Remote::parse(&url).unwrap();
        let (made, accepted) = tokio::join!(connect(&resolver, None, &remote), listener.accept());
        assert!(made.is_ok() && accepted.is_ok(), "{made:?}");
        drop(listener);
        let refused = connect(&resolver, None, &remote).await.unwrap_err();
        assert!(
            refused.contains("refused") && !refused.contains("key"),
            "{refused}"
        );
        let tls = Remote::parse("rtmps://127.0.0.1:1/live/key").unwrap();
        assert!(connect(&resolver, None, &tls).await.is_err());
    }
}
