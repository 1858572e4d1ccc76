//! The whole gateway in virtual time: the real exchange and shards with phones, clients and a bad network around
//! them, all from one seed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a scenario did not expect has to end it"
)]
#![expect(
    unreachable_pub,
    reason = "a test binary exports nothing: what scenarios use is marked all the same"
)]

mod client;
mod ear;
mod gateway;
mod line;
mod lines;
mod lossy;
mod phone;
mod scenarios;
mod secure;
mod server;
mod tcp;
mod voice;
mod world;
