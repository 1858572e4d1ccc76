//! Sockets, names and the clock: everything of the operating system that a driver needs.
//!
//! | file | what |
//! |---|---|
//! | `clock` | the only reader of the machine's clock |
//! | `batch` | many datagrams by one system call |
//! | `bind` | TCP listeners and UDP sockets, and an error that names the key to change |
//! | `gate` | accepting connections within limits |
//! | `http` | HTTP/1.1 on an accepted connection |
//! | `policy` | the policy file of Flash Player |
//! | `ports` | RTP/RTCP port pairs |
//! | `dns` | NAPTR, SRV and addresses, without blocking |
//! | `dtls` | our certificate for DTLS-SRTP |
//! | `signals` | SIGTERM, SIGINT and SIGHUP |
//! | `stamp` | wall-clock times as text |
//! | `tls` | our certificate, whom we trust |
//! | `wire` | a connection in the clear or under TLS, for an owner who decides when to read and write |
//! | `sys` | the few system calls that no crate offers safely |

mod batch;
mod bind;
mod clock;
mod dns;
mod dtls;
mod gate;
mod http;
mod policy;
mod ports;
mod signals;
mod stamp;
mod sys;
mod tls;
mod wire;

pub use batch::{Inbox, Outbox};
pub use bind::{BindError, Transport, local_address_toward, shared_udp, tcp, udp};
pub use clock::Clock;
pub use dns::{LookupError, Naptr, Resolver, Srv};
pub(crate) use dtls::dtls_identity;
pub use gate::{Gate, Limits, Permit, Refusals};
pub use http::{http_body, serve_http};
pub use policy::{policy_file, serve_policy};
pub use ports::{PortsExhausted, RtpPair, RtpPorts};
pub use signals::{Asked, Signals};
pub use stamp::{parse_stamp, stamp};
pub use sys::{entropy, keep_send_queue_short, raise_file_limit, unsent};
pub use tls::{TlsAcceptor, TlsConnector, TlsError, TlsFiles, Trust, open as open_tls};
pub use wire::{Parcel, Wire};

#[cfg(test)]
pub(crate) use tls::testing;
