//! SIP for flashgate, pure: bytes and [`base::Time`] in, bytes and events out.
//!
//! The grammar half: [`Message`] and its parts ([`Method`], [`Uri`], [`Headers`], [`NameAddr`], [`Via`]),
//! [`parse_datagram`] and [`StreamParser`]. Wire input never panics; what cannot be read yields a
//! [`ParseError`] that knows the status to answer with.

pub mod auth;
mod dialog;
mod endpoint;
mod error;
mod header;
pub mod locate;
mod msg;
mod network;
mod parse;
mod registrar;
pub mod sdp;
mod timer;
mod transaction;
mod transport;
mod uri;

pub use endpoint::{
    Ban, Binding, Body, CallHandle, Endpoint, EndpointConfig, Event, GuardConfig, Invite, Limits, Listener,
    LookupId, Offence, OpenRegistration, OutOfDialog, Output, Refused, Registration, RegistrationHandle,
    RequestHandle, SendId, User,
};
pub use error::{Error, ParseError};
pub use header::{CSeq, HeaderName, Headers, MediaType, NameAddr, Via};
pub use msg::{Message, Method, Request, Response, reason_phrase};
pub use network::Network;
pub use parse::{Frame, StreamParser, parse_datagram};
pub use transport::{Destination, Source, Transport};
pub use uri::{Host, Params, Scheme, Uri};
