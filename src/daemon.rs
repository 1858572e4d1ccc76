//! The composition root: from a configuration to a running gateway, and to its end.

mod desk;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use base::{Redacted, Rng, ShardId};
use rtmfp::profile::random::Random;
use sip::Transport;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::admin::LogControl;
use crate::config::Config;
use crate::directory;
use crate::exchange::driver::{self as exchange_driver, Request};
use crate::exchange::{Exchange, Origins, SipSockets, settings};
use crate::net::{
    self, BindError, Clock, Gate, Parcel, Resolver, RtpPorts, Signals, TlsAcceptor, TlsConnector, TlsError,
    TlsFiles, Trust,
};
use crate::shard::{self, Carrier, Dealer, Message, ShardHandle};
use crate::tunnel::{self, Tunnels};

use desk::Desk;

/// Events that wait for the exchange (docs/architecture.md, "Queues").
const EVENTS: usize = 4_096;
/// News of the exchange that wait to be told.
const NEWS: usize = 1_024;

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A listener could not be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A certificate or key is not usable.
    #[error(transparent)]
    Tls(#[from] TlsError),
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
    /// RTMPS.
    pub rtmp_tls: Vec<SocketAddr>,
    /// RTMPT.
    pub rtmpt: Vec<SocketAddr>,
    /// The policy file.
    pub policy: Vec<SocketAddr>,
    /// RTMFP.
    pub rtmfp: Vec<SocketAddr>,
    /// SIP over UDP.
    pub sip_udp: Vec<SocketAddr>,
    /// SIP over TCP.
    pub sip_tcp: Vec<SocketAddr>,
    /// SIP over TLS.
    pub sip_tls: Vec<SocketAddr>,
    /// SIP over WebSocket.
    pub sip_ws: Vec<SocketAddr>,
    /// SIP over WebSocket over TLS.
    pub sip_wss: Vec<SocketAddr>,
    /// The console.
    pub console: Vec<SocketAddr>,
    /// The console over TLS.
    pub console_tls: Vec<SocketAddr>,
}

/// The sockets of a gateway, all bound before anything is built.
#[derive(Debug)]
pub struct Sockets {
    /// RTMP clients.
    pub rtmp: RtmpGate,
    /// HTTP connections of RTMPT.
    pub rtmpt: Gate,
    /// The sessions those carry; a gate without listeners.
    pub tunnels: Gate,
    /// Requests for the policy file.
    pub policy: Gate,
    /// RTMFP clients: for each address one socket a shard.
    pub rtmfp: Vec<Vec<std::net::UdpSocket>>,
    /// SIP.
    pub sip: SipSockets,
}

/// The gate of RTMP clients: first the listeners in the clear, then those with TLS.
#[derive(Debug)]
pub struct RtmpGate {
    gate: Gate,
    plain: usize,
    tls: Option<TlsAcceptor>,
    handshake: Duration,
}

impl Sockets {
    /// Opens every listener of the configuration.
    ///
    /// # Errors
    /// The first that cannot be opened, with the key to change; a certificate that is not usable.
    pub fn bind(config: &Config) -> Result<Sockets, StartError> {
        let listeners = |addresses: &[SocketAddr], key| {
            let opened = addresses.iter().map(|a| net::tcp(*a, key));
            opened.collect::<Result<Vec<TcpListener>, BindError>>()
        };
        let gate = |listeners| {
            let limits = net::Limits {
                total: config.limits.sessions,
                per_address: config.limits.connections_per_address,
            };
            Gate::new(listeners, limits)
        };
        // Clients of Flash have no certificate to show.
        let files = tls_files(config).map(|f| TlsFiles { client_ca: None, ..f });
        let tls = files.map(TlsAcceptor::new).transpose()?;
        let mut rtmp = listeners(&config.rtmp.listen, "rtmp.listen")?;
        let plain = rtmp.len();
        let mut sip = listeners(&config.sip.tcp, "sip.tcp")?;
        let mut spoken = vec![Transport::Tcp; sip.len()];
        sip.extend(listeners(&config.sip.websocket, "sip.websocket")?);
        spoken.resize(sip.len(), Transport::Ws);
        if tls.is_some() {
            rtmp.extend(listeners(&config.rtmp.tls, "rtmp.tls")?);
            sip.extend(listeners(&config.sip.tls, "sip.tls")?);
            spoken.resize(sip.len(), Transport::Tls);
            sip.extend(listeners(&config.sip.websocket_tls, "sip.websocket_tls")?);
            spoken.resize(sip.len(), Transport::Wss);
        }
        let sip_udp = config.sip.udp.iter().map(|a| net::udp(*a, "sip.udp"));
        Ok(Sockets {
            rtmp: RtmpGate {
                gate: gate(rtmp),
                plain,
                tls,
                handshake: config.rtmp.handshake_timeout,
            },
            rtmpt: gate(listeners(&config.rtmp.rtmpt, "rtmp.rtmpt")?),
            tunnels: gate(Vec::new()),
            policy: gate(listeners(&config.rtmp.policy_listen, "rtmp.policy_listen")?),
            rtmfp: config
                .rtmfp
                .listen
                .iter()
                .map(|a| net::shared_udp(*a, usize::from(workers(config.node.workers)), "rtmfp.listen"))
                .collect::<Result<_, _>>()?,
            sip: SipSockets {
                udp: sip_udp.collect::<Result<_, BindError>>()?,
                gate: gate(sip),
                spoken,
                origins: Origins::new(&config.sip.websocket_origins),
                acceptor: tls_files(config).map(TlsAcceptor::new).transpose()?,
                connector: connector(config)?,
            },
        })
    }

    /// The addresses, as bound.
    pub fn listening(&self) -> Listening {
        let mut rtmp = self.rtmp.gate.local_addresses();
        let rtmp_tls = rtmp.split_off(self.rtmp.plain.min(rtmp.len()));
        Listening {
            rtmp,
            rtmp_tls,
            rtmpt: self.rtmpt.local_addresses(),
            policy: self.policy.local_addresses(),
            rtmfp: self
                .rtmfp
                .iter()
                .filter_map(|sockets| sockets.first()?.local_addr().ok())
                .collect(),
            sip_udp: self.sip.udp.iter().filter_map(|s| s.local_addr().ok()).collect(),
            sip_tcp: self.sip.addresses(Transport::Tcp),
            sip_tls: self.sip.addresses(Transport::Tls),
            sip_ws: self.sip.addresses(Transport::Ws),
            sip_wss: self.sip.addresses(Transport::Wss),
            console: Vec::new(),
            console_tls: Vec::new(),
        }
    }

    /// Logs where it listens and, when that is loopback only, how to open it up.
    pub fn announce(&self) {
        let listening = self.listening();
        for (what, addresses) in [
            ("RTMP on TCP", &listening.rtmp),
            ("RTMPS on TCP", &listening.rtmp_tls),
            ("RTMPT on TCP", &listening.rtmpt),
            ("the policy file on TCP", &listening.policy),
            ("RTMFP on UDP", &listening.rtmfp),
            ("SIP on UDP", &listening.sip_udp),
            ("SIP on TCP", &listening.sip_tcp),
            ("SIP on TLS", &listening.sip_tls),
            ("SIP on WebSocket", &listening.sip_ws),
            ("SIP on WebSocket over TLS", &listening.sip_wss),
        ] {
            for address in addresses {
                tracing::info!(%address, "{what}");
            }
        }
        let loopback = |addresses: &[SocketAddr]| addresses.iter().all(|a| a.ip().is_loopback());
        if loopback(&listening.rtmp) {
            tracing::info!(
                "RTMP is open to this machine only; to open it up: [rtmp] listen = [\"0.0.0.0:1935\"]"
            );
        }
        if loopback(&listening.sip_udp) {
            tracing::info!("SIP is open to this machine only; to open it up: [sip] udp = [\"0.0.0.0:5060\"]");
        }
    }
}

/// Runs a gateway until it is asked to end, in a process whose log is another's.
///
/// # Errors
/// [`StartError`] when it cannot start; nothing runs then.
pub async fn run(config: Config, signals: Signals) -> Result<(), StartError> {
    run_with(config, signals, LogControl::detached(), None).await
}

/// Runs a gateway until it is asked to end.
///
/// # Errors
/// [`StartError`] when it cannot start; nothing runs then.
///
/// `file` is the configuration file to read again at a reload; `None` for the usual one.
pub(crate) async fn run_with(
    config: Config,
    mut signals: Signals,
    log: LogControl,
    file: Option<PathBuf>,
) -> Result<(), StartError> {
    let clock = Clock::new();
    let entropy = net::entropy().map_err(system("no randomness from the system"))?;
    let mut rng = Rng::from_entropy(entropy);
    // Everything is bound before anything runs: a port in use must not leave half a gateway behind. The control socket
    // comes first: who sees a listener may give orders at once.
    let control = desk::control_socket(&config);
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

    let directory = Box::pin(directory::open(&config, &listening, clock, rng.fork()))
        .await
        .map_err(|e| StartError::Config {
            key: "directory".to_owned(),
            what: e.to_string(),
        })?;

    let (events_tx, events) = mpsc::channel(EVENTS);
    let (handles, threads) = start_shards(&config, workers, clock, &mut rng, sockets.rtmfp, events_tx)?;
    let (requests, requests_rx) = mpsc::channel(16);
    let (news, news_rx) = mpsc::channel(NEWS);
    let exchange = Exchange::new(
        Arc::new(exchange_settings),
        endpoint,
        Box::new(source_address),
        rng.fork(),
        &net::entropy().map_err(system("no randomness from the system"))?,
        clock.now(),
    );
    let exchange = tokio::spawn(exchange_driver::run(exchange_driver::Start {
        exchange,
        clock,
        rng: rng.fork(),
        sockets: sockets.sip,
        resolver,
        shards: handles.clone(),
        events,
        requests: requests_rx,
        news,
        directory: directory.as_ref().map(|d| d.handle.clone()),
    }));
    let dealer = Dealer::new(&handles);
    let tunnels = Tunnels::new(dealer.clone(), sockets.tunnels);
    let mut doors = JoinSet::new();
    doors.spawn(accept(sockets.rtmp, dealer));
    doors.spawn(tunnel::serve(sockets.rtmpt, tunnels));
    if let Some(policy) = shard::policy(&config) {
        doors.spawn(net::serve_policy(sockets.policy, policy.into()));
    }
    let mut desk = Desk::open(desk::Open {
        clock,
        config,
        file,
        listening,
        exchange: requests.clone(),
        shards: handles.clone(),
        news: news_rx,
        log,
        directory: directory.as_ref().map(|d| d.handle.clone()),
        control,
    });

    // Outside systemd there is nobody to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    desk.wait_for_the_end(&mut signals).await;
    doors.abort_all();
    let _ended_before = requests.send(Request::Stop).await;
    match exchange.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the exchange ended"),
        Err(error) => tracing::error!(%error, "the exchange failed: a fault of flashgate, please report it"),
    }
    if let Some(directory) = directory {
        directory.handle.close().await;
        let _panicked = directory.task.await;
    }
    desk.close().await;
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
    rtmfp: Vec<Vec<std::net::UdpSocket>>,
    events: mpsc::Sender<(ShardId, shard::Event)>,
) -> Result<(Vec<ShardHandle>, Vec<JoinHandle<()>>), StartError> {
    let settings = Arc::new(shard::Settings::new(config));
    let ports = RtpPorts::split(config.media.rtp_ports, workers, rng);
    let (handles, inboxes): (Vec<ShardHandle>, Vec<_>) = (0..workers).map(|_| shard::queues()).unzip();
    let mut random = Random::new(net::entropy().map_err(system("no randomness from the system"))?);
    let endpoint = shard::rtmfp_endpoint(config, workers, &mut random);
    let mut rtmfp: Vec<_> = rtmfp.into_iter().map(Vec::into_iter).collect();
    let mut threads = Vec::new();
    for (number, (inbox, ports)) in inboxes.into_iter().zip(ports).enumerate() {
        let start = shard::Start {
            id: ShardId(u16::try_from(number).unwrap_or(u16::MAX)),
            settings: settings.clone(),
            rng: rng.fork(),
            clock,
            ports,
            rtmfp: (
                rtmfp.iter_mut().filter_map(Iterator::next).collect(),
                endpoint.clone(),
            ),
            entropy: random.array(),
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

/// Takes RTMP clients in; TLS is opened here, so that its arithmetic never makes audio wait.
async fn accept(rtmp: RtmpGate, dealer: Dealer) {
    let RtmpGate {
        mut gate,
        plain,
        mut tls,
        handshake,
    } = rtmp;
    loop {
        let (listener, stream, peer, permit) = gate.accept().await;
        let (dealer, session) = (dealer.clone(), dealer.session());
        let deal = move |parcel: std::io::Result<Parcel>| {
            if let Ok(parcel) = parcel {
                dealer.deal(session, Carrier::Wire(parcel), peer, permit);
            }
        };
        match &mut tls {
            Some(tls) if listener >= plain => {
                let config = tls.current();
                tokio::spawn(async move {
                    match net::open_tls(config, stream, handshake).await {
                        Ok(stream) => deal(Parcel::tls(stream)),
                        Err(error) => {
                            tracing::debug!(%session, peer = %Redacted(peer), %error, "TLS was not opened");
                        }
                    }
                });
            }
            _ => deal(Parcel::plain(stream)),
        }
    }
}

/// With what we connect by TLS. Without anybody to trust the gateway runs all the same; only such connections are
/// not to be had.
fn connector(config: &Config) -> Result<Option<TlsConnector>, TlsError> {
    let identity = tls_files(config);
    let connect = |trust| TlsConnector::new(trust, identity.as_ref());
    match &config.tls.trust {
        Some(file) => connect(Trust::File(file)).map(Some),
        None => match connect(Trust::System) {
            Ok(connector) => Ok(Some(connector)),
            Err(error) => {
                tracing::warn!(%error, "SIP over TLS to others is not possible");
                Ok(None)
            }
        },
    }
}

/// Our certificate, when there is one.
fn tls_files(config: &Config) -> Option<TlsFiles> {
    let (certificate, key) = config.tls.certificate.clone().zip(config.tls.key.clone())?;
    Some(TlsFiles {
        certificate,
        key,
        client_ca: config.tls.client_ca.clone(),
    })
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
