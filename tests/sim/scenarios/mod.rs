//! What is to be true of a gateway with people on it.

mod accounts;
mod chaos;
mod control;
mod delay;
mod dialects;
mod directory;
mod drain;
mod drift;
mod guard;
mod limits;
mod lines;
mod live;
mod network;
mod offers;
mod outbound;
mod phones;
mod rooms;
mod rtmfp;
mod secure;
mod stall;
mod streams;
mod trunks;
