//! One SIP connection: bytes to messages and back, keep-alives, and its end.

use std::net::SocketAddr;
use std::time::Duration;

use base::ConnId;
use sip::{Frame, Source, StreamParser};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use super::transport::Arrival;

/// Messages waiting for one connection's socket; a peer that lets more pile up is cut off.
pub(super) const WRITE_QUEUE: usize = 256;
/// A connection on which nothing came for so long is closed; RFC 5626 keep-alives come every two minutes.
pub(super) const IDLE: Duration = Duration::from_secs(300);
/// Largest message on a connection, bytes: head and body.
pub(super) const MAX_MESSAGE: usize = 64 * 1024;
/// A connection that we made and on which nothing came for so long is pinged (RFC 5626 §4.4.1).
const PING_AFTER: Duration = Duration::from_secs(90);
/// A peer that has answered pings before answers within this time, or is gone (RFC 5626 §4.4.1).
const PONG_WITHIN: Duration = Duration::from_secs(10);
/// Time for the last answer to leave before the connection is closed.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Who made a connection: it is the one who pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    Here,
    There,
}

/// A connection as its tasks know it.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) id: ConnId,
    pub(super) source: Source,
    pub(super) made: Made,
    pub(super) writer: mpsc::Sender<Vec<u8>>,
    pub(super) arrivals: mpsc::Sender<Arrival>,
}

impl Line {
    pub(super) fn remote(&self) -> SocketAddr {
        self.source.remote
    }

    /// Tells the exchange that the connection stands; false when it is gone.
    pub(super) async fn connected(&self) -> bool {
        let arrival = Arrival::Connected(self.id, self.writer.clone(), self.source);
        self.arrivals.send(arrival).await.is_ok()
    }

    pub(super) async fn closed(&self) {
        let _exchange_gone = self.arrivals.send(Arrival::Closed(self.id, self.remote())).await;
    }
}

/// Reads and writes a byte stream (TCP, TLS) until it ends.
pub(super) async fn run<S>(line: Line, stream: S, queue: mpsc::Receiver<Vec<u8>>)
where
    S: AsyncRead + AsyncWrite,
{
    if line.connected().await {
        let (read, write) = tokio::io::split(stream);
        tokio::select! {
            () = read_messages(read, &line) => {}
            () = write_messages(write, queue) => {}
        }
    }
    line.closed().await;
}

/// How a peer's silence is borne.
#[derive(Clone, Copy, Debug)]
struct Silence {
    made: Made,
    /// It was pinged since it last said something.
    pinged: bool,
    /// It answers pings.
    answers: bool,
}

impl Silence {
    /// How long it may last from now on until something is done.
    fn limit(self) -> Duration {
        match self {
            Silence {
                made: Made::There, ..
            } => IDLE,
            Silence { pinged: false, .. } => PING_AFTER,
            Silence { answers: true, .. } => PONG_WITHIN,
            Silence { .. } => IDLE.saturating_sub(PING_AFTER),
        }
    }
}

async fn read_messages<S: AsyncRead>(mut read: ReadHalf<S>, line: &Line) {
    let mut parser = StreamParser::new(MAX_MESSAGE);
    let mut buffer = vec![0u8; 16 * 1024];
    let mut silence = Silence {
        made: line.made,
        pinged: false,
        answers: false,
    };
    loop {
        let n = match tokio::time::timeout(silence.limit(), read.read(&mut buffer)).await {
            Ok(Ok(n)) if n > 0 => n,
            Err(_) if silence.made == Made::Here && !silence.pinged => {
                silence.pinged = true;
                let _full = line.writer.try_send(PING.to_vec());
                continue;
            }
            _ => return,
        };
        silence.pinged = false;
        parser.push(buffer.get(..n).unwrap_or_default());
        loop {
            let message = match parser.next() {
                Ok(None) => break,
                Ok(Some(Frame::Ping)) => {
                    // RFC 5626 §4.4.1: a double CRLF is answered with one.
                    let _full = line.writer.try_send(StreamParser::PONG.to_vec());
                    continue;
                }
                Ok(Some(Frame::Pong)) => {
                    silence.answers = true;
                    continue;
                }
                Ok(Some(Frame::Message(message))) => Ok(message),
                Err(error) => Err(error),
            };
            // After a message that cannot be framed the stream has no next one.
            let broken = message.as_ref().is_err_and(|e| e.fatal);
            let arrival = Arrival::Message(line.source, message);
            if line.arrivals.send(arrival).await.is_err() || broken {
                tokio::time::sleep(LAST_WORDS).await;
                return;
            }
        }
    }
}

/// RFC 5626 §4.4.1.
const PING: &[u8] = b"\r\n\r\n";

async fn write_messages<S: AsyncWrite>(mut write: WriteHalf<S>, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = queue.recv().await {
        if write.write_all(&bytes).await.is_err() || write.flush().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use sip::Transport;

    use super::*;

    fn line(made: Made) -> (Line, mpsc::Receiver<Vec<u8>>, mpsc::Receiver<Arrival>) {
        let (writer, queue) = mpsc::channel(WRITE_QUEUE);
        let (arrivals, arrived) = mpsc::channel(16);
        let source = Source {
            transport: Transport::Tls,
            local: "127.0.0.1:5061".parse().unwrap(),
            remote: "127.0.0.1:40000".parse().unwrap(),
            conn: Some(ConnId(7)),
        };
        let id = ConnId(7);
        (
            Line {
                id,
                source,
                made,
                writer,
                arrivals,
            },
            queue,
            arrived,
        )
    }

    async fn next(stream: &mut (impl AsyncRead + Unpin), within: Duration) -> Option<Vec<u8>> {
        let mut buffer = [0; 100];
        match tokio::time::timeout(within, stream.read(&mut buffer)).await {
            Ok(n) => Some(buffer[..n.unwrap()].to_vec()),
            Err(_) => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_of_ours_is_pinged_and_given_up_by_one_who_used_to_answer() {
        let (line, queue, mut arrived) = line(Made::Here);
        let (ours, mut theirs) = tokio::io::duplex(1_000);
        tokio::spawn(run(line, ours, queue));
        assert!(matches!(arrived.recv().await, Some(Arrival::Connected(..))));
        assert_eq!(next(&mut theirs, PING_AFTER - Duration::from_secs(1)).await, None);
        assert_eq!(next(&mut theirs, Duration::from_secs(2)).await.unwrap(), PING);
        theirs.write_all(b"\r\n").await.unwrap();
        assert_eq!(
            next(&mut theirs, PING_AFTER + Duration::from_secs(1))
                .await
                .unwrap(),
            PING
        );
        // No pong this time.
        assert_eq!(
            next(&mut theirs, PONG_WITHIN + Duration::from_secs(1))
                .await
                .unwrap(),
            b""
        );
        assert!(matches!(arrived.recv().await, Some(Arrival::Closed(..))));
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_never_answered_pings_has_the_idle_time() {
        let (line, queue, mut arrived) = line(Made::Here);
        let (ours, mut theirs) = tokio::io::duplex(1_000);
        tokio::spawn(run(line, ours, queue));
        assert!(matches!(arrived.recv().await, Some(Arrival::Connected(..))));
        assert_eq!(
            next(&mut theirs, PING_AFTER + Duration::from_secs(1))
                .await
                .unwrap(),
            PING
        );
        assert_eq!(next(&mut theirs, PONG_WITHIN * 2).await, None);
        assert_eq!(next(&mut theirs, IDLE).await.unwrap(), b"");
    }

    #[tokio::test(start_paused = true)]
    async fn who_came_to_us_is_answered_and_not_pinged() {
        let (line, queue, mut arrived) = line(Made::There);
        let (ours, mut theirs) = tokio::io::duplex(1_000);
        tokio::spawn(run(line, ours, queue));
        assert!(matches!(arrived.recv().await, Some(Arrival::Connected(..))));
        theirs.write_all(PING).await.unwrap();
        assert_eq!(
            next(&mut theirs, Duration::from_secs(1)).await.unwrap(),
            StreamParser::PONG
        );
        assert_eq!(next(&mut theirs, IDLE - Duration::from_secs(2)).await, None);
        assert_eq!(next(&mut theirs, Duration::from_secs(4)).await.unwrap(), b"");
    }
}
