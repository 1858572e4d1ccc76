//! What is to be true of a gateway with people on it.

mod delay;
mod drain;
mod drift;
mod network;
mod offers;
mod phones;
