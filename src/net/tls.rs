//! TLS by rustls: our certificate, read anew when its files change, and whom we trust.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use tokio::net::TcpStream;

/// Certificates taken from one file.
const MAX_CERTIFICATES: usize = 1_000;

/// Something about TLS files that an operator must put right; prints the file, what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub struct TlsError {
    key: &'static str,
    file: Option<PathBuf>,
    what: String,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.key)?;
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        f.write_str(&self.what)
    }
}

fn bad(key: &'static str, file: &Path, what: impl Into<String>) -> TlsError {
    TlsError {
        key,
        file: Some(file.to_owned()),
        what: what.into(),
    }
}

/// The files of our identity (all PEM).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, then those between it and the authority: `tls.certificate`.
    pub certificate: PathBuf,
    /// Its private key: `tls.key`.
    pub key: PathBuf,
    /// Peers must show a certificate of one of these authorities: `tls.client_ca`.
    pub client_ca: Option<PathBuf>,
}

impl TlsFiles {
    /// When and how long each file was when last looked at: a change of either is a change of the file.
    fn stamps(&self) -> Vec<Option<(SystemTime, u64)>> {
        [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()]
            .into_iter()
            .flatten()
            .map(|file| {
                let meta = std::fs::metadata(file).ok()?;
                Some((meta.modified().ok()?, meta.len()))
            })
            .collect()
    }

    fn identity(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let chain = certificates("tls.certificate", &self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|e| {
            let what = match e {
                pem::Error::NoItemsFound => {
                    "holds no private key; write it in PEM (-----BEGIN PRIVATE KEY-----), without a passphrase"
                        .to_owned()
                }
                other => unreadable(&other),
            };
            bad("tls.key", &self.key, what)
        })?;
        Ok((chain, key))
    }

    fn server(&self) -> Result<ServerConfig, TlsError> {
        let (chain, key) = self.identity()?;
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| bad("tls.certificate", &self.certificate, e.to_string()))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(
                    Arc::new(roots("tls.client_ca", file)?),
                    provider(),
                )
                .build()
                .map_err(|e| bad("tls.client_ca", file, e.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        builder.with_single_cert(chain, key).map_err(|e| self.refused(&e))
    }

    fn refused(&self, error: &rustls::Error) -> TlsError {
        let what = match error {
            rustls::Error::InconsistentKeys(_) => format!(
                "does not belong to the first certificate of {}; name the key with which that was made",
                self.certificate.display()
            ),
            other => format!("is not usable with {}: {other}", self.certificate.display()),
        };
        bad("tls.key", &self.key, what)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn unreadable(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(e) if e.kind() == io::ErrorKind::NotFound => {
            "no such file; correct the name".to_owned()
        }
        pem::Error::Io(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            "may not be read by the account of the gateway; give that account the right to read it".to_owned()
        }
        other => format!("cannot be read: {other}"),
    }
}

fn certificates(key: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(file).map_err(|e| bad(key, file, unreadable(&e)))?;
    let mut list = Vec::new();
    for certificate in found.take(MAX_CERTIFICATES) {
        list.push(certificate.map_err(|e| bad(key, file, unreadable(&e)))?);
    }
    if list.is_empty() {
        let what = "holds no certificate; write it in PEM (-----BEGIN CERTIFICATE-----)";
        return Err(bad(key, file, what));
    }
    Ok(list)
}

fn roots(key: &'static str, file: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    let (taken, _ignored) = store.add_parsable_certificates(certificates(key, file)?);
    if taken == 0 {
        return Err(bad(key, file, "holds no certificate that could be an authority"));
    }
    Ok(store)
}

/// Our side of accepted connections. Owned by the task that accepts; clones are independent.
#[derive(Clone, Debug)]
pub struct TlsAcceptor {
    files: TlsFiles,
    stamps: Vec<Option<(SystemTime, u64)>>,
    config: Arc<ServerConfig>,
}

impl TlsAcceptor {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`], which names the file and what to do.
    pub fn new(files: TlsFiles) -> Result<TlsAcceptor, TlsError> {
        let stamps = files.stamps();
        let config = Arc::new(files.server()?);
        Ok(TlsAcceptor {
            files,
            stamps,
            config,
        })
    }

    /// What the next connection is opened with. Files that have changed are read anew; while the new ones
    /// cannot be used the old certificate stays, and the log says why, once for each change.
    pub fn current(&mut self) -> Arc<ServerConfig> {
        let stamps = self.files.stamps();
        if stamps != self.stamps {
            self.stamps = stamps;
            match self.files.server() {
                Ok(config) => {
                    self.config = Arc::new(config);
                    tracing::info!(file = %self.files.certificate.display(), "the TLS certificate was read anew");
                }
                Err(error) => {
                    tracing::error!(%error, "the changed TLS files are not usable; the old ones stay")
                }
            }
        }
        self.config.clone()
    }
}

/// Opens TLS on an accepted connection.
///
/// # Errors
/// What went wrong, also when it is not done in time.
pub async fn open(
    config: Arc<ServerConfig>,
    stream: TcpStream,
    within: Duration,
) -> io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
    let handshake = tokio_rustls::TlsAcceptor::from(config).accept(stream);
    match tokio::time::timeout(within, handshake).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "TLS was not opened in time",
        )),
    }
}

/// Whom we trust when we connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust<'a> {
    /// The authorities this system trusts.
    System,
    /// The authorities in a file: `tls.trust`.
    File(&'a Path),
    /// Anybody: for trying things out.
    Anybody,
}

/// Our side of connections we make. Clones share their settings.
#[derive(Clone, Debug)]
pub struct TlsConnector(Arc<ClientConfig>);

impl TlsConnector {
    /// Trusts as said; shows our own certificate to peers that ask for one.
    ///
    /// # Errors
    /// [`TlsError`], which names the file and what to do.
    pub fn new(trust: Trust<'_>, identity: Option<&TlsFiles>) -> Result<TlsConnector, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| TlsError {
                key: "tls",
                file: None,
                what: e.to_string(),
            })?;
        let builder = match trust {
            Trust::System => builder.with_root_certificates(system_roots()?),
            Trust::File(file) => builder.with_root_certificates(roots("tls.trust", file)?),
            Trust::Anybody => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Credulous(provider()))),
        };
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let (chain, key) = files.identity()?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|e| files.refused(&e))?
            }
        };
        Ok(TlsConnector(Arc::new(config)))
    }

    /// Opens TLS on a connection we made, to the server that has the right to `name`: a domain name or an
    /// address.
    ///
    /// # Errors
    /// What went wrong, also when the certificate is another's.
    pub async fn open(
        &self,
        name: &str,
        stream: TcpStream,
    ) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a name that a certificate could have",
            )
        })?;
        tokio_rustls::TlsConnector::from(self.0.clone())
            .connect(name, stream)
            .await
    }
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    store.add_parsable_certificates(found.certs);
    if store.is_empty() {
        return Err(TlsError {
            key: "tls.trust",
            file: None,
            what: "this system has no certificate authorities; install ca-certificates, or name a file of them here"
                .to_owned(),
        });
    }
    Ok(store)
}

/// Takes every certificate; signatures are checked, so that at least the key is the peer's.
#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
