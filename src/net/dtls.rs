//! Our certificate for DTLS-SRTP: made anew with each start, as browsers do. Its hash stands in SDP (RFC 8122), so no
//! authority has to know it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dimpl::{Config, DtlsCertificate, certificate};

/// The first wait for an answer of the handshake; the double each time.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// A handshake that takes longer has failed.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// Certificate, key, and what every handshake has in common.
#[derive(Clone)]
pub(crate) struct DtlsIdentity {
    pub(crate) certificate: DtlsCertificate,
    pub(crate) config: Arc<Config>,
    /// As it stands in SDP: `sha-256 AB:CD:…`.
    pub(crate) fingerprint: String,
}

/// That of this process; `None` when none could be made.
pub(crate) fn dtls_identity() -> Option<&'static DtlsIdentity> {
    static IDENTITY: OnceLock<Option<DtlsIdentity>> = OnceLock::new();
    IDENTITY.get_or_init(make).as_ref()
}

fn make() -> Option<DtlsIdentity> {
    let config = Config::builder()
        .flight_start_rto(FIRST_WAIT)
        .flight_retries(6)
        .handshake_timeout(HANDSHAKE)
        // Whoever reaches it has been found by signalling, and by ICE where there is ICE.
        .use_server_cookie(false)
        .build();
    match (config, certificate::generate_self_signed_certificate()) {
        (Ok(config), Ok(certificate)) => Some(DtlsIdentity {
            fingerprint: format!("sha-256 {}", certificate.fingerprint_str()),
            certificate,
            config: Arc::new(config),
        }),
        (config, certificate) => {
            tracing::error!(
                config = ?config.err(),
                certificate = ?certificate.err(),
                "no certificate for DTLS could be made: peers that want DTLS-SRTP get no call"
            );
            None
        }
    }
}
