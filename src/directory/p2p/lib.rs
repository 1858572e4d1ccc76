//! The engine of the P2P directory: a Kademlia network on libp2p that stores the records of `overlay`.
//!
//! One task owns the swarm. It believes nothing: what others want stored is judged by the rules of the overlay
//! first, and who sends what is forged, or too much, is cut off for a while. It keeps the addresses of good peers,
//! so that a network is found again when every configured address is dead.

mod address;
mod budget;
mod network;
mod peers;
mod swarm;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use overlay::{Key, NodeKey, Refusal, Trust, Wall};
use tokio::sync::{mpsc, oneshot};

pub use address::{AddressError, check_address};

/// Requests that wait for the task.
const REQUESTS: usize = 512;

/// What a peer is made from.
#[derive(Debug)]
pub struct Config {
    /// Its key.
    pub key: NodeKey,
    /// Where it listens: TCP, and QUIC on UDP with the same number.
    pub listen: Vec<SocketAddr>,
    /// An address under which others reach it, when that is not one it listens on.
    pub public: Vec<SocketAddr>,
    /// Where to ask for other peers: `host:port`, or a libp2p address.
    pub bootstrap: Vec<String>,
    /// Where the addresses of good peers are kept.
    pub peers_file: Option<PathBuf>,
    /// The rules of the overlay.
    pub trust: Trust,
    /// The wall clock.
    pub wall: fn() -> Wall,
    /// The name and version of the program.
    pub agent: String,
    /// For what has to happen at a random time.
    pub rng: base::Rng,
}

/// Why there is no peer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The key or a transport is not usable.
    #[error("the overlay cannot start: {0}")]
    Transport(String),
    /// An address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, String),
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The record does not hold by the rules of the overlay, or what is stored here is newer.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The store is full.
    #[error("there is no room for more records")]
    Full,
    /// Nobody answered.
    #[error("no peer answered")]
    Unanswered,
    /// Too many requests wait.
    #[error("too many requests are under way")]
    Busy,
    /// The peer has ended.
    #[error("the peer has ended")]
    Gone,
}

/// One peer that was asked, and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Which.
    pub peer: String,
    /// Whether it had a record.
    pub had_record: bool,
    /// When it answered, from the beginning.
    pub after: Duration,
}

/// What was found under a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Got {
    /// Records, as they came: to be judged.
    pub records: Vec<Vec<u8>>,
    /// Who said what.
    pub hops: Vec<Hop>,
    /// Requests that it took, all told.
    pub requests: u32,
}

/// Another peer as seen from here.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerInfo {
    /// Its id.
    pub peer: String,
    /// Where it listens.
    pub addresses: Vec<String>,
    /// Whether there is a connection.
    pub connected: bool,
    /// The last round trip measured.
    pub rtt: Option<Duration>,
    /// The length of the prefix that the hash of its id has in common with ours, bits.
    pub bucket: u32,
    /// Its program.
    pub agent: String,
}

/// What a peer says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// Where it listens.
    pub listening: Vec<String>,
    /// The others in its routing table.
    pub peers: Vec<PeerInfo>,
    /// Records it stores.
    pub stored: usize,
    /// Records it did not store, by reason.
    pub refused: Vec<(Refusal, u64)>,
    /// Peers that are cut off for what they sent.
    pub banned: usize,
}

#[derive(Debug)]
enum Request {
    Put(Key, Vec<u8>, oneshot::Sender<Result<usize, Error>>),
    Get(Key, oneshot::Sender<Result<Got, Error>>),
    Look(oneshot::Sender<Look>),
    Revoke(Vec<u8>),
    Close(oneshot::Sender<()>),
}

/// How a peer is reached. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
}

impl Handle {
    /// Stores a record with those nearest to its key, merged with what they have; says how many took it.
    ///
    /// # Errors
    /// [`Error`]; with no other peer there it is stored here only, and the number is 0.
    pub async fn put(&self, key: Key, record: Vec<u8>) -> Result<usize, Error> {
        self.ask(|answer| Request::Put(key, record, answer)).await?
    }

    /// Asks those nearest to a key for its record.
    ///
    /// # Errors
    /// [`Error`] when nobody answers; that nobody has a record is an answer.
    pub async fn get(&self, key: Key) -> Result<Got, Error> {
        self.ask(|answer| Request::Get(key, answer)).await?
    }

    /// What the peer says of itself; nothing when it has ended.
    pub async fn look(&self) -> Look {
        self.ask(Request::Look).await.unwrap_or_default()
    }

    /// Takes over a list of revoked certificates.
    pub fn revoke(&self, list: Vec<u8>) {
        // It comes again with the next refresh.
        let _full = self.requests.try_send(Request::Revoke(list));
    }

    /// Ends the peer; its good peers are on the disk then.
    pub async fn close(&self) {
        let _gone = self.ask(Request::Close).await;
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        self.requests.try_send(request(answer)).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => Error::Busy,
            mpsc::error::TrySendError::Closed(_) => Error::Gone,
        })?;
        answered.await.map_err(|_| Error::Gone)
    }
}

/// Starts a peer on the runtime this is called in; it joins the network by itself.
///
/// # Errors
/// [`StartError`] when it cannot listen.
pub async fn start(config: Config) -> Result<Handle, StartError> {
    let (requests, inbox) = mpsc::channel(REQUESTS);
    let network = network::Network::open(config).await?;
    tokio::spawn(network.run(inbox));
    Ok(Handle { requests })
}
