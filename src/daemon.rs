//! The composition root: from a configuration to a running gateway, and to its end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use base::{Rng, SessionId, ShardId};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{mpsc, oneshot};

use crate::config::Config;
use crate::exchange::driver::{self as exchange_driver, Request};
use crate::exchange::{Exchange, settings};
use crate::net::{self, Asked, BindError, Clock, Gate, Resolver, RtpPorts, Signals};
use crate::shard::{self, Accepted, Message, ShardHandle};

/// Events that wait for the exchange (docs/architecture.md, "Queues").
const EVENTS: usize = 4_096;

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A listener could not be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The system refused something else.
    #[error("{what}: {source}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The configuration holds something that only shows at start.
    #[error("{key}: {what}")]
    Config {
        /// The key.
        key: String,
        /// What is wrong with it.
        what: String,
    },
}

/// Where the gateway listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    /// RTMP.
    pub rtmp: Vec<SocketAddr>,
    /// SIP over UDP.
    pub sip_udp: Vec<SocketAddr>,
    /// SIP over TCP.
    pub sip_tcp: Vec<SocketAddr>,
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

    /// The addresses, as bound.
    pub fn listening(&self) -> Listening {
        Listening {
            rtmp: self.rtmp.local_addresses(),
            sip_udp: self.sip_udp.iter().filter_map(|s| s.local_addr().ok()).collect(),
            sip_tcp: self.sip_tcp.local_addresses(),
        }
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
/// [`StartError`] when it cannot start; nothing runs then.
pub async fn run(config: Config, mut signals: Signals) -> Result<(), StartError> {
    let clock = Clock::new();
    let entropy = net::entropy().map_err(system("no randomness from the system"))?;
    let mut rng = Rng::from_entropy(entropy);
    // Everything is bound before anything runs: a port in use must not leave half a gateway behind.
    let sockets = Sockets::bind(&config)?;
    let listening = sockets.listening();
    let workers = usize::from(workers(config.node.workers));
    let exchange_settings = settings::exchange(&config, &listening, workers)?;
    let endpoint = settings::endpoint(&config, &listening, &exchange_settings);
    let resolver = Resolver::new().map_err(|what| StartError::Config {
        key: "/etc/resolv.conf".to_owned(),
        what,
    })?;
    tracing::info!(
        name = config.node.name,
        version = env!("CARGO_PKG_VERSION"),
        workers,
        "flashgate starts"
    );
    sockets.announce();

    let (events_tx, events) = mpsc::channel(EVENTS);
    let (handles, threads) = start_shards(&config, workers, clock, &mut rng, events_tx)?;
    let (requests, requests_rx) = mpsc::channel(16);
    let exchange = Exchange::new(
        Arc::new(exchange_settings),
        endpoint,
        Box::new(source_address),
        rng.fork(),
        clock.now(),
    );
    let exchange = tokio::spawn(exchange_driver::run(exchange_driver::Start {
        exchange,
        clock,
        rng: rng.fork(),
        udp: sockets.sip_udp,
        gate: sockets.sip_tcp,
        resolver,
        shards: handles.clone(),
        events,
        requests: requests_rx,
    }));
    let acceptor = tokio::spawn(accept(sockets.rtmp, handles.clone()));

    // Outside systemd there is nobody to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    wait_for_the_end(config.node.drain_grace, &mut signals, &requests).await;
    acceptor.abort();
    drop(requests);
    match exchange.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the exchange ended"),
        Err(error) => tracing::error!(%error, "the exchange failed: a fault of flashgate, please report it"),
    }
    for handle in &handles {
        let _gone = handle.messages.send(Message::Stop).await;
    }
    let _joined = tokio::task::spawn_blocking(move || {
        for thread in threads {
            let _panicked = thread.join();
        }
    })
    .await;
    tracing::info!("flashgate ends");
    Ok(())
}

/// The address of ours that leads to a peer.
fn source_address(peer: IpAddr) -> IpAddr {
    net::local_address_toward(SocketAddr::new(peer, 9)).unwrap_or(match peer {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    })
}

fn start_shards(
    config: &Config,
    workers: usize,
    clock: Clock,
    rng: &mut Rng,
    events: mpsc::Sender<(ShardId, shard::Event)>,
) -> Result<(Vec<ShardHandle>, Vec<JoinHandle<()>>), StartError> {
    let settings = Arc::new(shard::Settings::new(config));
    let ports = RtpPorts::split(config.media.rtp_ports, workers, rng);
    let (handles, inboxes): (Vec<ShardHandle>, Vec<_>) = (0..workers).map(|_| shard::queues()).unzip();
    let mut threads = Vec::new();
    for (number, (inbox, ports)) in inboxes.into_iter().zip(ports).enumerate() {
        let start = shard::Start {
            id: ShardId(u16::try_from(number).unwrap_or(u16::MAX)),
            settings: settings.clone(),
            rng: rng.fork(),
            clock,
            ports,
            inbox,
            events: events.clone(),
            peers: handles.clone(),
        };
        let thread = std::thread::Builder::new()
            .name(format!("shard-{number}"))
            .spawn(move || {
                if let Err(error) = shard::run(start) {
                    tracing::error!(number, %error, "a shard could not run");
                }
            })
            .map_err(system("no thread for a shard"))?;
        threads.push(thread);
    }
    Ok((handles, threads))
}

/// Deals RTMP clients to the shards in turn: sessions are alike, and one that finds its shard full is refused.
async fn accept(mut gate: Gate, shards: Vec<ShardHandle>) {
    let mut number = 0;
    loop {
        let (stream, peer, permit) = gate.accept().await;
        number += 1;
        // The shard's runtime takes the socket over.
        let Ok(stream) = stream.into_std() else { continue };
        let shard = usize::try_from(number).unwrap_or(0) % shards.len().max(1);
        let accepted = Accepted {
            session: SessionId(number),
            stream,
            peer,
            permit,
        };
        if let Some(handle) = shards.get(shard)
            && handle.messages.try_send(Message::Accepted(accepted)).is_err()
        {
            tracing::warn!(shard, "a client was refused: its shard takes no more");
        }
    }
}

/// First signal: drain. Second signal, or the end of the grace time: hang up.
async fn wait_for_the_end(grace: Duration, signals: &mut Signals, requests: &mpsc::Sender<Request>) {
    let asked = signals.next().await;
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    if asked == Asked::Drain {
        let (done, drained) = oneshot::channel();
        tracing::info!(
            ?grace,
            "draining: no new calls; a second signal ends those in progress"
        );
        if requests.send(Request::Drain(done)).await.is_err() {
            return;
        }
        tokio::select! {
            _ = drained => {}
            _ = signals.next() => {}
            () = tokio::time::sleep(grace) => {}
        }
    }
    let (done, said) = oneshot::channel();
    if requests.send(Request::HangUpAll(done)).await.is_ok() {
        let _gone = said.await;
        // BYE and Connect.Closed leave, and the answers to BYE come back.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

fn system(what: &'static str) -> impl Fn(std::io::Error) -> StartError {
    move |source| StartError::System { what, source }
}

/// Shards to run: as configured, else one for each processor but one.
fn workers(configured: u8) -> u8 {
    if configured > 0 {
        return configured;
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    u8::try_from(processors.saturating_sub(1).clamp(1, 64)).unwrap_or(1)
}
