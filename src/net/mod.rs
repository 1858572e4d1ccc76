//! Sockets, names and the clock: everything of the operating system that a driver needs.
//!
//! | file | what |
//! |---|---|
//! | `clock` | the only reader of the machine's clock |
//! | `bind` | TCP listeners and UDP sockets, and an error that names the key to change |
//! | `gate` | accepting connections within limits |
//! | `ports` | RTP/RTCP port pairs |
//! | `dns` | NAPTR, SRV and addresses, without blocking |
//! | `signals` | SIGTERM and SIGINT |
//! | `sys` | the few system calls that no crate offers safely |

mod bind;
mod clock;
mod dns;
mod gate;
mod ports;
mod signals;
mod sys;

pub use bind::{BindError, Transport, local_address_toward, tcp, udp};
pub use clock::Clock;
pub use dns::{LookupError, Naptr, Resolver, Srv};
pub use gate::{Gate, Limits, Permit, Refusals};
pub use ports::{PortsExhausted, RtpPair, RtpPorts};
pub use signals::{Asked, Signals};
pub use sys::{entropy, keep_send_queue_short, raise_file_limit, unsent};
