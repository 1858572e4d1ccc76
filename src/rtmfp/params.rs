//! Numbers of the protocol, each with its source.

use std::time::Duration;

/// A session that is not open by then has failed (§3.5.1.1.1).
pub const OPEN_TIMEOUT: Duration = Duration::from_secs(95);
/// The first interval between hellos or keyings, and by how much it grows each time (§3.5.1.1.1).
pub const OPEN_INTERVAL: Duration = Duration::from_secs(1);
/// See [`OPEN_INTERVAL`].
pub const OPEN_BACKOFF: Duration = Duration::from_millis(1_500);
/// Addresses tried at once while opening (§3.5.1.1.1).
pub const MAX_CANDIDATES: usize = 24;
/// Bytes of a hello's tag: some servers know no other length.
pub const TAG_LEN: usize = 16;
/// Longest tag of another's hello that is answered, in bytes.
pub const MAX_TAG: usize = 128;
/// A packet in parts is waited for so long at most, and so long after the last part that was new (§3.4).
pub const REASSEMBLY_TIMEOUT: Duration = Duration::from_secs(60);
/// See [`REASSEMBLY_TIMEOUT`].
pub const REASSEMBLY_PROGRESS: Duration = Duration::from_secs(1);
/// Datagrams of one packet sent at once, since nothing is known of the path yet (§3.4).
pub const MAX_PARTS_OUT: usize = 4;
/// How long a cookie is good (§3.5.1.1.2 asks for 95 s at least).
pub const COOKIE_LIFETIME: Duration = Duration::from_secs(100);
/// An acknowledgement is delayed so long at most (§3.6.3.4.2).
pub const ACK_DELAY: Duration = Duration::from_millis(200);
/// Effective retransmission timeout before the first measurement, and its bounds (§3.5.2.2).
pub const ERTO_INITIAL: Duration = Duration::from_secs(3);
/// See [`ERTO_INITIAL`].
pub const ERTO_MIN: Duration = Duration::from_millis(250);
/// See [`ERTO_INITIAL`].
pub const ERTO_MAX: Duration = Duration::from_secs(10);
/// A timestamp is echoed for so long (§3.5.2.2).
pub const ECHO_LIFETIME: Duration = Duration::from_secs(128);
/// A time-critical mark is remembered for so long (§3.5.2.1).
pub const TIME_CRITICAL_MEMORY: Duration = Duration::from_millis(800);
/// Data packets between two acknowledgements (§3.5.2.3).
pub const MAX_BURST: u32 = 6;
/// Negative acknowledgements after which a fragment is lost (§3.6.2.5).
pub const MAX_NAKS: u8 = 3;
/// The window of a receiver that has not said so (§3.6.2).
pub const WINDOW_INITIAL: u64 = 65_536;
/// Buffer probes: the first, and their longest interval (§3.6.2.9.1).
pub const PROBE_FIRST: Duration = Duration::from_secs(1);
/// See [`PROBE_FIRST`].
pub const PROBE_MAX: Duration = Duration::from_secs(60);
/// Mobility probes are so far apart (§3.5.4.2) and good for so long.
pub const MOBILITY_INTERVAL: Duration = Duration::from_secs(1);
/// See [`MOBILITY_INTERVAL`].
pub const MOBILITY_LIFETIME: Duration = Duration::from_secs(120);
/// An orderly close lasts so long at most, and is repeated so often (§3.5.5).
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(90);
/// See [`CLOSE_TIMEOUT`].
pub const CLOSE_INTERVAL: Duration = Duration::from_secs(5);
/// A session that the far end closed answers repeated requests for so long (§3.5.5).
pub const CLOSE_LINGER: Duration = Duration::from_secs(19);
/// A finished sending flow keeps its id for so long (§3.6.2.11), a receiving one (§3.6.3.8).
pub const SEND_LINGER: Duration = Duration::from_secs(130);
/// See [`SEND_LINGER`].
pub const RECEIVE_LINGER: Duration = Duration::from_secs(120);
/// Longest metadata of a flow in bytes (§2.3.11.1.1).
pub const MAX_METADATA: usize = 512;
/// Options of user data below this number must be understood (§2.3.11.1).
pub const OPTION_IGNORABLE: u64 = 8192;
/// Congestion window at the start, and the largest segment (Appendix A).
pub const CWND_INITIAL: usize = 4380;
/// See [`CWND_INITIAL`].
pub const SMSS: usize = 1460;
