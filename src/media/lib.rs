//! flashgate: media, pure. RTP and RTCP, SRTP, the jitter buffer, playout toward RTP, digits, pipes between codecs,
//! mixing. Bytes and [`base::Time`] in, bytes and frames out; no socket, no clock, no thread.

mod cadence;
mod dtmf;
mod error;
mod fingerprint;
mod frame;
mod ice;
mod jitter;
mod latch;
mod mixer;
pub mod netem;
pub mod params;
mod pipe;
mod playout;
mod quality;
mod room;
mod rtcp;
mod rtp;
mod srtp;
mod stun;

pub use cadence::{Cadence, RINGING};
pub use dtmf::{
    DtmfReceiver, DtmfSender, DtmfSlot, EVENT_LEN, EventPacket, InfoDigit, MAX_DIGITS, TelephoneEvent,
    code_of, digit_of, parse_info, write_info,
};
pub use error::Error;
pub use fingerprint::Fingerprint;
pub use frame::{MediaFrame, MediaTime};
pub use ice::{Check, IceCredentials, IceLite};
pub use jitter::{Insert, JitterBuffer, JitterStats, Out};
pub use latch::{Latch, LatchDecision};
pub use mixer::{MAX_TALKERS, Mixer};
pub use pipe::{Pipe, PipeFrame, PipeOptions, max_frame_bytes};
pub use playout::{Playout, PlayoutStats, Slot};
pub use quality::{Quality, QualityInput, estimate};
pub use room::{Heard, RoomMixer, RoomOptions, Sound};
pub use rtcp::{RtcpEvent, RtcpSession, RtcpStats};
pub use rtp::{RTP_HEADER, RtpPacket, RtpReceiver, RtpSender, SeqUnwrap, Verdict, is_rtcp};
pub use srtp::{
    KeySource, Refused, SRTP_OVERHEAD, SdesLine, SrtpKey, SrtpKeys, SrtpSession, SrtpStats, Suite,
};
pub use stun::{MAX_ANSWER, StunAnswer, StunRequest};
