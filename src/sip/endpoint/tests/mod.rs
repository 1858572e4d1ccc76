//! The endpoint as its peers see it.

mod auth;
mod call;
mod extension;
mod net;
mod pair;
mod race;
mod refuse;
mod register;
mod script;
mod secure;
mod torture;
