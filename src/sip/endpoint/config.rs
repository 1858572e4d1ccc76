//! What an endpoint is told at construction.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::guard::GuardConfig;
use crate::auth::Algorithm;
use crate::transaction::Base;
use crate::transport::Transport;
use crate::uri::{Host, Uri};

/// A socket on which the driver receives, and how peers are told to reach it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// The transport.
    pub transport: Transport,
    /// The bound address, as it appears in [`Source::local`](crate::Source::local) and in
    /// [`Output::Send`](crate::Output::Send).
    pub local: SocketAddr,
    /// The host written into Via and Contact: a name or address by which peers reach the socket.
    pub host: Host,
    /// The port written into Via and Contact.
    pub port: u16,
}

impl Listener {
    /// A listener that is reached at its bound address.
    pub const fn new(transport: Transport, local: SocketAddr) -> Listener {
        Listener {
            transport,
            local,
            host: match local.ip() {
                IpAddr::V4(a) => Host::V4(a),
                IpAddr::V6(a) => Host::V6(a),
            },
            port: local.port(),
        }
    }

    /// Our Contact on this listener: a sips URI where the peer's was one (RFC 3261 §8.1.1.8, §12.1.1).
    pub(super) fn contact(&self, user: Option<&str>, secure: bool) -> Uri {
        let mut uri = Uri::sip(user, self.host.clone(), Some(self.port));
        let transport = match (secure && self.transport.is_secure(), self.transport) {
            (false, Transport::Udp) => None,
            (false, transport) => Some(transport),
            // In a sips URI the parameter names what is below TLS (RFC 3261 §26.2.2, RFC 7118 §5.2).
            (true, Transport::Wss) => Some(Transport::Ws),
            (true, _) => Some(Transport::Tcp),
        };
        if let Some(transport) = transport {
            uri.set_param("transport", Some(transport.param()));
        }
        if secure && self.transport.is_secure() {
            uri.set_secure();
        }
        uri
    }
}

/// Bounds on what an endpoint keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Transactions of either side. When full, new requests are answered 503 without keeping state, and our
    /// own are refused.
    pub transactions: usize,
    /// Calls of either direction, ending ones included. When full, INVITE is answered 503.
    pub calls: usize,
    /// Addresses of record with a binding. When full, REGISTER is answered 503.
    pub aors: usize,
    /// Bindings of one address of record. When full, REGISTER is answered 403.
    pub bindings: usize,
    /// Bytes of a message's body; more is answered 513.
    pub body: usize,
    /// Sources whose offences are remembered; the oldest that is not banned goes when full.
    pub offenders: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            transactions: 20_000,
            calls: 4_000,
            aors: 10_000,
            bindings: 8,
            body: 64 * 1024,
            offenders: 4_096,
        }
    }
}

/// Who may register without a password.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OpenRegistration {
    /// Nobody: every name is an account's.
    #[default]
    Nobody,
    /// Those on this machine.
    Loopback,
    /// Anybody.
    Anybody,
}

/// Settings of an [`Endpoint`](crate::Endpoint).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndpointConfig {
    /// The domains we serve, without case; the first is the digest realm. Addresses of the listeners count as
    /// ours besides.
    pub domains: Vec<String>,
    /// User-Agent and Server.
    pub user_agent: String,
    /// The sockets; the first that fits transport and address family is the one used to send.
    pub listeners: Vec<Listener>,
    /// Through which requests outside dialogs go, but for those along a flow.
    pub outbound_proxy: Option<Uri>,
    /// T1, the estimate of the round trip. 500 ms by RFC 3261 §17.1.1.1.
    pub t1: Duration,
    /// T2, the longest interval between repetitions. 4 s.
    pub t2: Duration,
    /// T4, how long a message may live in the network. 5 s.
    pub t4: Duration,
    /// Requests of more bytes go over TCP (RFC 3261 §18.1.1). 1300.
    pub udp_max: usize,
    /// How long an INVITE we sent may stay unanswered (cf. timer C). 180 s.
    pub ring_time: Duration,
    /// The media types of INFO that are accepted and become events; others are answered 415.
    pub info_types: Vec<String>,
    /// The shortest registration accepted, in seconds; less is answered 423.
    pub min_expires: u32,
    /// The longest registration granted, in seconds.
    pub max_expires: u32,
    /// The registration granted when none is asked for, in seconds.
    pub default_expires: u32,
    /// The digest algorithms challenged with, in this order, and accepted. MD5 alone by default: many phones
    /// give up on a challenge they do not know, even when another stands beside it.
    pub digest: Vec<Algorithm>,
    /// Who may register without a password.
    pub open_registration: OpenRegistration,
    /// The session timer we ask for and grant at most, in seconds; 0 to have none (RFC 4028). 1800.
    pub session_expires: u32,
    /// The shortest session timer accepted, in seconds; less is answered 422. 90.
    pub min_se: u32,
    /// Whether REFER and Replaces are taken, which the user must then carry out. When not, REFER is answered
    /// 405 and Replaces counts for nothing.
    pub transfers: bool,
    /// Whether the embedded registrar is there. When not, REGISTER is answered 405.
    pub registrar: bool,
    /// Against those who scan, guess and flood.
    pub guard: GuardConfig,
    /// Bounds.
    pub limits: Limits,
}

impl Default for EndpointConfig {
    fn default() -> EndpointConfig {
        EndpointConfig {
            domains: Vec::new(),
            user_agent: "flashgate".to_owned(),
            listeners: Vec::new(),
            outbound_proxy: None,
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            udp_max: 1300,
            ring_time: Duration::from_secs(180),
            info_types: vec!["application/dtmf-relay".to_owned(), "application/dtmf".to_owned()],
            min_expires: 30,
            max_expires: 3600,
            default_expires: 600,
            digest: vec![Algorithm::Md5],
            open_registration: OpenRegistration::Nobody,
            session_expires: 1800,
            min_se: 90,
            transfers: true,
            registrar: true,
            guard: GuardConfig::default(),
            limits: Limits::default(),
        }
    }
}

impl EndpointConfig {
    pub(super) fn base(&self) -> Base {
        Base {
            t1: self.t1,
            t2: self.t2,
            t4: self.t4,
        }
    }

    /// Whether a URI's host is one of our domains or addresses.
    pub fn is_ours(&self, uri: &Uri) -> bool {
        let host = uri.host();
        if let Host::Name(name) = host
            && self.domains.iter().any(|d| d.eq_ignore_ascii_case(name))
        {
            return true;
        }
        let numeric = host.ip();
        if self
            .domains
            .iter()
            .any(|d| Host::parse(d).is_some_and(|d| d.matches(host)))
        {
            return true;
        }
        self.listeners.iter().any(|l| {
            let port = uri.port().unwrap_or(l.transport.default_port());
            (l.host.matches(host) && l.port == port)
                || (numeric == Some(l.local.ip()) && l.local.port() == port)
        })
    }

    /// The listener used to send over a transport to an address.
    pub(super) fn listener(&self, transport: Transport, remote: SocketAddr) -> Option<&Listener> {
        self.listeners
            .iter()
            .find(|l| l.transport == transport && l.local.is_ipv4() == remote.is_ipv4())
    }

    /// The listener with this bound address, or else one that fits.
    pub(super) fn listener_at(&self, transport: Transport, local: SocketAddr) -> Option<&Listener> {
        self.listeners
            .iter()
            .find(|l| l.transport == transport && l.local == local)
            .or_else(|| self.listener(transport, local))
    }
}
