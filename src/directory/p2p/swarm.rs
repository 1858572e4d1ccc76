//! The swarm: which protocols a peer speaks, and with what numbers. Each number was measured to matter.

use std::num::NonZeroUsize;
use std::time::Duration;

use libp2p::kad::store::{MemoryStore, MemoryStoreConfig};
use libp2p::swarm::NetworkBehaviour;
use libp2p::{StreamProtocol, yamux};
use libp2p::{
    Swarm, SwarmBuilder, allow_block_list, connection_limits, identify, identity, kad, noise, ping, tcp,
};

use crate::StartError;

/// The network. A later major is a protocol of its own beside this one.
pub(crate) const KAD: StreamProtocol = StreamProtocol::new("/flashgate/kad/1");
/// What identify calls the family.
const FAMILY: &str = "flashgate/1";
/// Peers that store a record.
const REPLICATION: NonZeroUsize = NonZeroUsize::new(8).expect("eight is not zero");
/// Peers asked at a time.
const PARALLELISM: NonZeroUsize = NonZeroUsize::new(6).expect("six is not zero");
/// A peer that is frozen, not gone, costs no more than this.
const SUBREQUEST: Duration = Duration::from_secs(2);
const QUERY: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(10);
/// Records stored, and their size.
const RECORDS: usize = 65_536;

#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) kad: kad::Behaviour<MemoryStore>,
    pub(crate) identify: identify::Behaviour,
    pub(crate) ping: ping::Behaviour,
    limits: connection_limits::Behaviour,
    pub(crate) banned: allow_block_list::Behaviour<allow_block_list::BlockedPeers>,
}

pub(crate) fn build(seed: [u8; 32], agent: String) -> Result<Swarm<Behaviour>, StartError> {
    let fault = |e: &dyn std::fmt::Display| StartError::Transport(e.to_string());
    let key = identity::Keypair::ed25519_from_bytes(seed).map_err(|e| fault(&e))?;
    let built = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            noise::Config::new,
            yamux::Config::default,
        )
        .map_err(|e| fault(&e))?
        .with_quic()
        .with_behaviour(|key| behaviour(key, agent))
        .map_err(|e| fault(&e))?;
    Ok(built
        .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE))
        .build())
}

fn behaviour(key: &identity::Keypair, agent: String) -> Behaviour {
    let peer = key.public().to_peer_id();
    let mut config = kad::Config::new(KAD);
    config
        .set_replication_factor(REPLICATION)
        .set_parallelism(PARALLELISM)
        .set_query_timeout(QUERY)
        .set_substreams_timeout(SUBREQUEST)
        // Nothing is stored before it is judged, nobody is listed before he answered.
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        // Those who publish refresh; and a full bootstrap now and then costs more than it finds.
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_provider_publication_interval(None)
        .set_periodic_bootstrap_interval(None)
        .set_record_ttl(Some(Duration::from_millis(overlay::MAX_LIFE)));
    let store = MemoryStore::with_config(
        peer,
        MemoryStoreConfig {
            max_records: RECORDS,
            max_value_bytes: overlay::MAX_RECORD + 1,
            ..MemoryStoreConfig::default()
        },
    );
    let mut kad = kad::Behaviour::with_config(peer, store, config);
    kad.set_mode(Some(kad::Mode::Server));
    let limits = connection_limits::ConnectionLimits::default()
        .with_max_established(Some(1_024))
        .with_max_established_per_peer(Some(4))
        .with_max_pending_incoming(Some(128))
        .with_max_pending_outgoing(Some(256));
    Behaviour {
        kad,
        identify: identify::Behaviour::new(
            identify::Config::new(FAMILY.to_owned(), key.public())
                .with_agent_version(agent)
                .with_push_listen_addr_updates(true),
        ),
        ping: ping::Behaviour::new(ping::Config::new()),
        limits: connection_limits::Behaviour::new(limits),
        banned: allow_block_list::Behaviour::default(),
    }
}
