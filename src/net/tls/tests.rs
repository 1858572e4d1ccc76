use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::testing::{Authority, Folder};
use super::*;

/// Opens a connection, sends "ping" and reads what comes back: an echo.
async fn ping(acceptor: &mut TlsAcceptor, connector: &TlsConnector, name: &str) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let config = acceptor.current();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        let mut tls = open(config, stream, Duration::from_secs(5)).await?;
        let mut got = [0; 4];
        tls.read_exact(&mut got).await?;
        tls.write_all(&got).await?;
        tls.flush().await
    });
    let client = async {
        let mut tls = connector.open(name, TcpStream::connect(address).await?).await?;
        tls.write_all(b"ping").await?;
        let mut got = [0; 4];
        tls.read_exact(&mut got).await?;
        assert_eq!(&got, b"ping");
        Ok(())
    };
    let result = client.await;
    let _server = server.await.unwrap();
    result
}

#[tokio::test]
async fn a_certificate_is_good_for_its_names_and_from_its_authority() {
    let folder = Folder::new("names");
    let ca = Authority::new("ca");
    let trust = folder.write("ca.pem", &ca.pem());
    let mut acceptor = TlsAcceptor::new(ca.identity(&folder, "gw.example")).unwrap();
    let ours = TlsConnector::new(Trust::File(&trust), None).unwrap();
    ping(&mut acceptor, &ours, "gw.example").await.unwrap();
    let error = ping(&mut acceptor, &ours, "other.example").await.unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");

    let strange = folder.write("strange.pem", &Authority::new("strange").pem());
    let others = TlsConnector::new(Trust::File(&strange), None).unwrap();
    let error = ping(&mut acceptor, &others, "gw.example").await.unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");

    let anybody = TlsConnector::new(Trust::Anybody, None).unwrap();
    ping(&mut acceptor, &anybody, "other.example").await.unwrap();
}

#[tokio::test]
async fn a_changed_certificate_is_read_anew_and_a_bad_one_is_not_taken() {
    let folder = Folder::new("reload");
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let files = old.identity(&folder, "gw.example");
    let trust_old = folder.write("old.pem", &old.pem());
    let trust_new = folder.write("new.pem", &new.pem());
    let by_old = TlsConnector::new(Trust::File(&trust_old), None).unwrap();
    let by_new = TlsConnector::new(Trust::File(&trust_new), None).unwrap();
    let mut acceptor = TlsAcceptor::new(files).unwrap();

    // The key has not followed yet: the old pair stays in use.
    let (certificate, key) = new.issue("gw.example");
    folder.write("gw.example.pem", &format!("{certificate}\n"));
    ping(&mut acceptor, &by_old, "gw.example").await.unwrap();
    folder.write("gw.example.key", &format!("{key}\n"));
    ping(&mut acceptor, &by_new, "gw.example").await.unwrap();
    ping(&mut acceptor, &by_old, "gw.example").await.unwrap_err();
}

#[tokio::test]
async fn a_peer_without_a_certificate_is_refused_where_one_is_asked_for() {
    let folder = Folder::new("mutual");
    let ca = Authority::new("ca");
    let trust = folder.write("ca.pem", &ca.pem());
    let files = ca.identity(&folder, "gw.example");
    let peer = ca.identity(&folder, "peer.example");
    let mut acceptor = TlsAcceptor::new(TlsFiles {
        client_ca: Some(trust.clone()),
        ..files
    })
    .unwrap();
    let without = TlsConnector::new(Trust::File(&trust), None).unwrap();
    ping(&mut acceptor, &without, "gw.example").await.unwrap_err();
    let with = TlsConnector::new(Trust::File(&trust), Some(&peer)).unwrap();
    ping(&mut acceptor, &with, "gw.example").await.unwrap();
}

#[test]
fn a_mistake_names_the_key_the_file_and_the_remedy() {
    let folder = Folder::new("errors");
    let ca = Authority::new("ca");
    let files = ca.identity(&folder, "gw.example");
    let other = ca.identity(&folder, "other.example");
    let said = |files: TlsFiles| TlsAcceptor::new(files).unwrap_err().to_string();

    let text = said(TlsFiles {
        certificate: folder.0.join("none.pem"),
        ..files.clone()
    });
    assert!(
        text.starts_with("tls.certificate: ") && text.ends_with("none.pem: no such file; correct the name"),
        "{text}"
    );
    let text = said(TlsFiles {
        certificate: files.key.clone(),
        ..files.clone()
    });
    assert!(text.contains("gw.example.key: holds no certificate"), "{text}");
    let text = said(TlsFiles {
        key: files.certificate.clone(),
        ..files.clone()
    });
    assert!(
        text.contains("tls.key: ") && text.contains("holds no private key"),
        "{text}"
    );
    let text = said(TlsFiles {
        key: other.key,
        ..files.clone()
    });
    assert!(
        text.contains("does not belong to the first certificate of "),
        "{text}"
    );
    let text = said(TlsFiles {
        client_ca: Some(files.key.clone()),
        ..files
    });
    assert!(text.starts_with("tls.client_ca: "), "{text}");
}

#[tokio::test]
async fn a_peer_that_does_not_open_tls_is_given_up() {
    let folder = Folder::new("slow");
    let mut acceptor = TlsAcceptor::new(Authority::new("ca").identity(&folder, "gw.example")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _silent = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let error = open(acceptor.current(), stream, Duration::from_millis(50))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}
