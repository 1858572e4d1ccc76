//! A connection whose bytes are read and written as its owner sees fit, in the clear or under TLS.
//!
//! The owner waits for [`Wire::stream`] to be readable or writable, then tries. What TLS keeps on the way is
//! never more than one write, so that media which waits stays where it can still be dropped as late.

use std::io::{self, Read, Write};
use std::sync::Arc;

use tokio::net::TcpStream;

/// A TCP connection, perhaps with TLS on it.
#[derive(Debug)]
pub struct Wire {
    stream: Arc<TcpStream>,
    tls: Option<Box<rustls::Connection>>,
}

/// An accepted connection on its way to the thread that will own it.
#[derive(Debug)]
pub struct Parcel {
    stream: std::net::TcpStream,
    tls: Option<Box<rustls::Connection>>,
}

impl Parcel {
    /// Of a connection in the clear.
    ///
    /// # Errors
    /// What the system says.
    pub fn plain(stream: TcpStream) -> io::Result<Parcel> {
        Ok(Parcel {
            stream: stream.into_std()?,
            tls: None,
        })
    }

    /// Of a connection on which TLS was opened.
    ///
    /// # Errors
    /// What the system says.
    pub fn tls(stream: tokio_rustls::server::TlsStream<TcpStream>) -> io::Result<Parcel> {
        let (stream, tls) = stream.into_inner();
        Ok(Parcel {
            stream: stream.into_std()?,
            tls: Some(Box::new(tls.into())),
        })
    }

    /// Of a connection that we made and opened TLS on.
    ///
    /// # Errors
    /// What the system says.
    pub fn tls_client(stream: tokio_rustls::client::TlsStream<TcpStream>) -> io::Result<Parcel> {
        let (stream, tls) = stream.into_inner();
        Ok(Parcel {
            stream: stream.into_std()?,
            tls: Some(Box::new(tls.into())),
        })
    }

    /// Takes it over into the runtime of this thread.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(self) -> io::Result<Wire> {
        Ok(Wire {
            stream: Arc::new(TcpStream::from_std(self.stream)?),
            tls: self.tls,
        })
    }
}

impl From<TcpStream> for Wire {
    fn from(stream: TcpStream) -> Wire {
        Wire {
            stream: Arc::new(stream),
            tls: None,
        }
    }
}

impl From<tokio_rustls::client::TlsStream<TcpStream>> for Wire {
    fn from(stream: tokio_rustls::client::TlsStream<TcpStream>) -> Wire {
        let (stream, tls) = stream.into_inner();
        Wire {
            stream: Arc::new(stream),
            tls: Some(Box::new(tls.into())),
        }
    }
}

/// The socket as TLS wants it.
struct Socket<'a>(&'a TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buf)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.try_write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire {
    /// The socket to wait for.
    pub fn stream(&self) -> &Arc<TcpStream> {
        &self.stream
    }

    /// Whether bytes wait that were read from the socket already: then it need not be waited for.
    pub fn has_more(&mut self) -> bool {
        // A broken connection says so at the next read.
        self.tls
            .as_mut()
            .is_some_and(|tls| match tls.process_new_packets() {
                Ok(state) => state.plaintext_bytes_to_read() > 0 || state.peer_has_closed(),
                Err(_) => true,
            })
    }

    /// Reads what is there; 0 at the end.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there, or why the connection is broken.
    pub fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            let n = self.stream.try_read(buf)?;
            if (1..buf.len()).contains(&n) {
                // A short read has emptied the socket, and what comes later is told anew: saying so saves the read
                // that would find nothing.
                let empty = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
                let _told = self.stream.try_io(tokio::io::Interest::READABLE, empty);
            }
            return Ok(n);
        };
        loop {
            match tls.reader().read(buf) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                // Many programs close without saying goodbye.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                result => return result,
            }
            tls.read_tls(&mut Socket(&self.stream))?;
            let result = tls
                .process_new_packets()
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e));
            // An alert, a ticket, a new key: what the socket does not take now goes with the next write.
            while tls.wants_write() {
                if tls.write_tls(&mut Socket(&self.stream)).is_err() {
                    break;
                }
            }
            result?;
        }
    }

    /// Writes as much as is taken.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is, or why the connection is broken.
    pub fn try_write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.tls.is_none() {
            return self.stream.try_write(buf);
        }
        self.try_flush()?;
        let Some(tls) = &mut self.tls else { return Ok(0) };
        let taken = tls.writer().write(buf)?;
        match self.try_flush() {
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => Err(e),
            _ => Ok(taken),
        }
    }

    /// Writes what TLS has kept.
    ///
    /// # Errors
    /// `WouldBlock` when the socket does not take all, or why the connection is broken.
    pub fn try_flush(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else {
            return Ok(());
        };
        while tls.wants_write() {
            if tls.write_tls(&mut Socket(&self.stream))? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// Says goodbye, as far as the socket takes it at once.
    pub fn close(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let _unsent = self.try_flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::pki_types::PrivateKeyDer;
    use tokio::net::TcpListener;

    use super::*;
    use crate::net::{TlsConnector, Trust, open_tls};

    async fn pair() -> (Wire, Wire) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["gw.example".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let connector = TlsConnector::new(Trust::Anybody, None).unwrap();
        let (server, client) = tokio::join!(
            open_tls(Arc::new(config), accepted, Duration::from_secs(5)),
            connector.open("gw.example", stream)
        );
        (
            Parcel::tls(server.unwrap()).unwrap().open().unwrap(),
            client.unwrap().into(),
        )
    }

    async fn read(wire: &mut Wire, most: usize) -> Vec<u8> {
        let mut buffer = vec![0; most];
        loop {
            if !wire.has_more() {
                wire.stream().clone().readable().await.unwrap();
            }
            match wire.try_read(&mut buffer) {
                Ok(n) => {
                    buffer.truncate(n);
                    return buffer;
                }
                Err(e) => assert_eq!(e.kind(), io::ErrorKind::WouldBlock),
            }
        }
    }

    #[tokio::test]
    async fn bytes_pass_both_ways_and_none_is_forgotten_behind_the_socket() {
        let (mut server, mut client) = pair().await;
        assert_eq!(client.try_write(b"hello").unwrap(), 5);
        assert_eq!(read(&mut server, 3).await, b"hel");
        // The socket is empty; the rest waits in TLS.
        assert!(server.has_more());
        assert_eq!(read(&mut server, 100).await, b"lo");
        assert!(!server.has_more());
        assert_eq!(server.try_write(b"world").unwrap(), 5);
        assert_eq!(read(&mut client, 100).await, b"world");
        server.close();
        assert_eq!(read(&mut client, 100).await, b"");
    }

    #[tokio::test]
    async fn a_reader_that_stops_is_felt_and_loses_nothing() {
        let (mut server, mut client) = pair().await;
        // The runtime has to look at a new socket once.
        server.stream().clone().writable().await.unwrap();
        let mut sent = 0u64;
        let mut block = [0u8; 8_192];
        // Until the kernel takes no more: TLS keeps at most what one write gave it.
        loop {
            block.fill((sent / 8_192 % 251) as u8);
            match server.try_write(&block) {
                Ok(n) => {
                    assert_eq!(n, block.len());
                    sent += n as u64;
                }
                Err(e) => {
                    assert_eq!(e.kind(), io::ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        assert!(sent > 8_192);
        let mut got = 0u64;
        while got < sent {
            let (kept, stream) = (server.try_flush().is_err(), server.stream().clone());
            let bytes = tokio::select! {
                bytes = read(&mut client, 10_000) => bytes,
                _ = stream.writable(), if kept => continue,
            };
            for byte in &bytes {
                assert_eq!(*byte, (got / 8_192 % 251) as u8);
                got += 1;
            }
        }
        assert_eq!(got, sent);
    }
}
