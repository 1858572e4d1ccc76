//! Digest authentication, as client and as server (RFC 3261 §22, RFC 2617, RFC 7616, RFC 8760).

mod challenge;
mod client;
mod digest;
mod fields;
mod server;

pub use challenge::{Authorization, Challenge, Qop};
pub use client::{Client, answer};
pub use digest::{Algorithm, Credentials, Secret};
pub use server::{Verdict, Verifier};

#[cfg(test)]
mod tests;
