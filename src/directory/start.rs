//! From the configuration to a running directory.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::Rng;
use overlay::{Certificate, Grant, Names, NodeKey, PeerId, Policy, Role, Trust, Wall};
use tokio::task::JoinHandle;

use super::engine::Engine;
use super::keeper::{Keeper, Settings};
use super::keys::KeyError;
use super::local::Local;
use super::{Handle, keys};
use crate::config::{Backend, Config, OverlayNames};
use crate::daemon::Listening;
use crate::net::{self, Clock};
use crate::records::state_folder;

/// How long the certificate holds that a node without an authority gives itself: as long as it runs.
const OWN_CERTIFICATE: Wall = 100 * 366 * 86_400_000;

/// Why there is no directory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// A file does not serve.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The engine did not start.
    #[error("{0}: {1}")]
    Engine(String, io::Error),
    /// A key of the configuration does not serve.
    #[error("{0}: {1}")]
    Config(&'static str, String),
}

/// A directory that runs.
pub(crate) struct Opened {
    pub(crate) handle: Handle,
    pub(crate) task: JoinHandle<()>,
}

/// Where the node's key is.
pub(crate) fn key_file(config: &Config) -> PathBuf {
    match &config.overlay.key {
        Some(path) => path.clone(),
        None => state_folder(config.node.state_dir.as_deref()).join("node.key"),
    }
}

/// Opens the configured directory; `None` when there is to be none.
///
/// # Errors
/// [`StartError`] when it cannot be opened as configured.
pub(crate) async fn open(
    config: &Config,
    listening: &Listening,
    clock: Clock,
    mut rng: Rng,
) -> Result<Option<Opened>, StartError> {
    let alone = match config.directory.backend {
        Backend::Off => return Ok(None),
        Backend::Local => true,
        Backend::P2p => false,
    };
    let now = wall();
    let folder = state_folder(config.node.state_dir.as_deref());
    let (key, folder) = match node_key(config) {
        Ok(key) => (key, Some(folder.join("directory"))),
        // On a machine where nothing can be written the directory of one gateway still works while it runs.
        Err(error) if alone => {
            tracing::warn!(%error, "the directory is kept in memory only");
            (NodeKey::from_seed(entropy()?), None)
        }
        Err(error) => return Err(error.into()),
    };
    let (trust, certificate) = rules(config, &key, alone, now)?;
    let engine = match config.directory.backend {
        Backend::P2p => p2p_engine(config, &key, trust.clone(), &mut rng).await?,
        Backend::Off | Backend::Local => local_engine(folder.as_deref(), now)?,
    };
    let revocations = match &config.overlay.revocations {
        Some(path) => keys::read(path)?,
        None => None,
    };
    let settings = Settings {
        timeout: config.directory.timeout,
        lookups: usize::try_from(config.directory.lookups).unwrap_or(usize::MAX),
        keep_found: config.directory.cache,
        keep_none: config.directory.cache_none,
        life: config.directory.lifetime,
        contact: contact(config, listening),
        owner: config.overlay.owner.clone(),
        domain: config.sip.domain.clone(),
        capabilities: config
            .media
            .codecs
            .iter()
            .map(|c| codecs::codec(*c).label.to_owned())
            .collect(),
        revocations,
    };
    tracing::info!(backend = engine.name(), peer = %key.peer(), "directory open");
    let (handle, inbox) = Handle::new(key.peer());
    let keeper = Keeper::new(key, certificate, trust, engine, settings, clock, rng.fork());
    let task = tokio::spawn(keeper.run(inbox));
    Ok(Some(Opened { handle, task }))
}

fn local_engine(folder: Option<&Path>, now: Wall) -> Result<Engine, StartError> {
    let fault = |e| StartError::Engine("local".to_owned(), e);
    let local = match Local::open(folder, now) {
        Ok(local) => local,
        Err(error) => {
            tracing::warn!(%error, "the directory is kept in memory only");
            Local::open(None, now).map_err(fault)?
        }
    };
    Ok(Engine::Local(local))
}

#[cfg(feature = "p2p")]
async fn p2p_engine(
    config: &Config,
    key: &NodeKey,
    trust: Trust,
    rng: &mut Rng,
) -> Result<Engine, StartError> {
    let folder = state_folder(config.node.state_dir.as_deref());
    for text in &config.overlay.bootstrap {
        p2p::check_address(text)
            .map_err(|e| StartError::Config("overlay.bootstrap", format!("{text} {e}")))?;
    }
    let public = config.overlay.listen.first().zip(config.node.public_address);
    let started = p2p::start(p2p::Config {
        key: key.clone(),
        listen: config.overlay.listen.clone(),
        public: public
            .map(|(listen, ip)| SocketAddr::new(ip, listen.port()))
            .into_iter()
            .collect(),
        bootstrap: config.overlay.bootstrap.clone(),
        peers_file: Some(folder.join("peers")),
        trust,
        wall,
        agent: concat!("flashgate/", env!("CARGO_PKG_VERSION")).to_owned(),
        rng: rng.fork(),
    });
    match started.await {
        Ok(peer) => Ok(Engine::P2p(peer)),
        Err(error) => Err(StartError::Config("overlay.listen", error.to_string())),
    }
}

#[cfg(not(feature = "p2p"))]
async fn p2p_engine(_: &Config, _: &NodeKey, _: Trust, _: &mut Rng) -> Result<Engine, StartError> {
    Err(StartError::Config(
        "directory.backend",
        "this gateway was built without the feature `p2p`".to_owned(),
    ))
}

/// The wall clock as records have it.
pub(super) fn wall() -> Wall {
    Wall::try_from(Clock::wall().as_millis()).unwrap_or(Wall::MAX)
}

fn entropy() -> Result<[u8; 32], StartError> {
    net::entropy().map_err(|e| StartError::Engine("no randomness from the system".to_owned(), e))
}

/// The node's key; made at the first start.
fn node_key(config: &Config) -> Result<NodeKey, KeyError> {
    let path = key_file(config);
    if path.exists() {
        return keys::read_key(&path);
    }
    let seed = net::entropy().map_err(|e| KeyError::System(path.clone(), e))?;
    let key = NodeKey::from_seed(seed);
    keys::write_secret(&path, &key)?;
    tracing::info!(file = %path.display(), peer = %key.peer(), "made the key of this node");
    Ok(key)
}

/// Whom the directory believes, and what this node shows.
fn rules(
    config: &Config,
    key: &NodeKey,
    alone: bool,
    now: Wall,
) -> Result<(Trust, Option<Certificate>), StartError> {
    let overlay = &config.overlay;
    let authorities: Result<Vec<PeerId>, _> = overlay.authorities.iter().map(|a| a.parse()).collect();
    let authorities = authorities.map_err(|e| StartError::Config("overlay.authorities", e.to_string()))?;
    let policy = Policy {
        authorities,
        open: overlay.open,
        names: match overlay.names {
            OverlayNames::Enrolled => Names::Enrolled,
            OverlayNames::Own => Names::Own,
            OverlayNames::Both => Names::Both,
        },
    };
    if alone {
        // Nobody else writes here: the node enrols itself for everything.
        let grant = Grant {
            patterns: vec!["*".to_owned()],
            peer: key.peer(),
            roles: Role::ALL.to_vec(),
            not_before: 0,
            not_after: now.saturating_add(OWN_CERTIFICATE),
            serial: 0,
        };
        let certificate = Certificate::issue(key, grant)
            .map_err(|e| StartError::Config("directory.backend", e.to_string()))?;
        let policy = Policy {
            authorities: vec![key.peer()],
            open: true,
            names: Names::Both,
        };
        return Ok((Trust::new(policy), Some(certificate)));
    }
    let mut trust = Trust::new(policy);
    let certificate = match &overlay.certificate {
        None => None,
        Some(path) => Some(keys::read_certificate(path)?),
    };
    let fault = |what: String| Err(StartError::Config("overlay.certificate", what));
    match &certificate {
        Some(certificate) if certificate.grant().peer != key.peer() => {
            return fault(format!(
                "is for {}, but this node is {}",
                certificate.grant().peer,
                key.peer()
            ));
        }
        Some(certificate) => {
            if let Err(refusal) = trust.certificate(certificate, now) {
                return fault(format!("does not serve: {refusal}"));
            }
        }
        None if !overlay.open => {
            return fault(format!(
                "must be given in a closed overlay: ask its authority to enrol {}",
                key.peer()
            ));
        }
        None => {}
    }
    Ok((trust, certificate))
}

/// What others write before and after the user to call one of ours: `sip:`, `@192.0.2.1:5060;x-here`.
fn contact(config: &Config, listening: &Listening) -> String {
    if let Some(contact) = &config.directory.contact {
        return format!("@{contact};x-here");
    }
    let udp = listening.sip_udp.first().map(|a| (*a, ""));
    let tcp = listening.sip_tcp.first().map(|a| (*a, ";transport=tcp"));
    let Some((address, transport)) = udp.or(tcp) else {
        return String::new();
    };
    let ip = match config.node.public_address {
        Some(public) => public,
        None if address.ip().is_unspecified() => {
            let far: SocketAddr = match address.ip() {
                IpAddr::V4(_) => SocketAddr::from(([192, 0, 2, 1], 9)),
                IpAddr::V6(_) => SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 9)),
            };
            net::local_address_toward(far).unwrap_or(address.ip())
        }
        None => address.ip(),
    };
    format!("@{}{transport};x-here", SocketAddr::new(ip, address.port()))
}

/// A span of time in ms, as records have it.
pub(super) fn ms(span: Duration) -> Wall {
    Wall::try_from(span.as_millis()).unwrap_or(Wall::MAX)
}
