//! The composition root: from a configuration to a running gateway, and to its end.

use std::net::SocketAddr;

use tokio::net::{TcpListener, UdpSocket};

use crate::config::Config;
use crate::net::{self, Asked, BindError, Gate, Signals};

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A listener could not be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
}

/// The sockets of a gateway, all bound before anything is built.
#[derive(Debug)]
pub struct Sockets {
    /// RTMP clients.
    pub rtmp: Gate,
    /// SIP over UDP, in the order of the configuration.
    pub sip_udp: Vec<UdpSocket>,
    /// SIP over TCP.
    pub sip_tcp: Gate,
}

impl Sockets {
    /// Opens every listener of the configuration.
    ///
    /// # Errors
    /// The first that cannot be opened, with the key to change.
    pub fn bind(config: &Config) -> Result<Sockets, BindError> {
        let tcp = |addresses: &[SocketAddr], key, total| {
            let listeners: Vec<TcpListener> = addresses
                .iter()
                .map(|a| net::tcp(*a, key))
                .collect::<Result<_, _>>()?;
            let per_address = config.limits.connections_per_address;
            Ok::<_, BindError>(Gate::new(listeners, net::Limits { total, per_address }))
        };
        Ok(Sockets {
            rtmp: tcp(&config.rtmp.listen, "rtmp.listen", config.limits.sessions)?,
            sip_udp: config
                .sip
                .udp
                .iter()
                .map(|a| net::udp(*a, "sip.udp"))
                .collect::<Result<_, _>>()?,
            sip_tcp: tcp(&config.sip.tcp, "sip.tcp", config.limits.sessions)?,
        })
    }

    /// Logs where it listens and, when that is loopback only, how to open it up.
    pub fn announce(&self) {
        for address in self.rtmp.local_addresses() {
            tracing::info!(%address, "RTMP on TCP");
        }
        for address in self.sip_udp.iter().filter_map(|s| s.local_addr().ok()) {
            tracing::info!(%address, "SIP on UDP");
        }
        for address in self.sip_tcp.local_addresses() {
            tracing::info!(%address, "SIP on TCP");
        }
        let loopback = |addresses: &[SocketAddr]| addresses.iter().all(|a| a.ip().is_loopback());
        if loopback(&self.rtmp.local_addresses()) {
            tracing::info!(
                "RTMP is open to this machine only; to open it up: [rtmp] listen = [\"0.0.0.0:1935\"]"
            );
        }
        if self
            .sip_udp
            .iter()
            .all(|s| s.local_addr().is_ok_and(|a| a.ip().is_loopback()))
        {
            tracing::info!("SIP is open to this machine only; to open it up: [sip] udp = [\"0.0.0.0:5060\"]");
        }
    }
}

/// Runs a gateway until it is asked to end.
///
/// # Errors
/// [`StartError`] when it cannot start.
pub async fn run(config: Config, mut signals: Signals) -> Result<(), StartError> {
    let sockets = Sockets::bind(&config)?;
    tracing::info!(
        name = config.node.name,
        version = env!("CARGO_PKG_VERSION"),
        "flashgate starts"
    );
    sockets.announce();
    // Outside systemd there is nobody to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    // Nothing is in progress, so draining and ending are one.
    let (Asked::Drain | Asked::End) = signals.next().await;
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    tracing::info!("flashgate ends");
    Ok(())
}
