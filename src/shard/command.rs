//! The words between the exchange and a shard.

use std::net::{IpAddr, SocketAddr};

use base::{CallId, EndReason, LegId, SessionId, ShardId};
use call::{Intent, StreamEvent};
use codecs::CodecId;
use media::{Cadence, Fingerprint, IceCredentials, MediaTime, SrtpKeys, Suite};

use super::outbound::OutboundTold;
use super::remote::Remote;
use super::room::{RoomCommand, RoomEvent};

/// How an RTP leg sends and receives, as negotiated in SDP.
#[derive(Clone, Debug, PartialEq)]
pub struct RtpParams {
    /// Where the peer says it takes RTP; a latched source address overrides it (symmetric RTP, RFC 4961).
    pub remote: SocketAddr,
    /// Where the peer takes RTCP; `None` when it takes none.
    pub rtcp: Option<SocketAddr>,
    /// The codec we send, with its payload type.
    pub send: (u8, CodecId),
    /// Every codec the peer may send, by payload type.
    pub receive: Vec<(u8, CodecId)>,
    /// telephone-event as we send it: payload type and clock in Hz.
    pub dtmf: Option<(u8, u32)>,
    /// telephone-event as the peer sends it: payload type.
    pub dtmf_receive: Option<u8>,
    /// Whether we may send (the peer does not hold us).
    pub sending: bool,
    /// Whether the peer may send.
    pub receiving: bool,
    /// Audio in each packet we send, ms: 10 to 60.
    pub ptime_ms: u32,
    /// The keys of SRTP; with them nothing goes out in clear, and what was not made with them is dropped.
    pub srtp: Option<SrtpKeys>,
    /// A handshake makes the keys.
    pub dtls: Option<DtlsParams>,
    /// The peer's checks say where media goes.
    pub ice: Option<IceParams>,
    /// Reports go with the media (RFC 5761).
    pub rtcp_mux: bool,
}

/// How keys are agreed on by DTLS (RFC 5763).
#[derive(Clone, Debug, PartialEq)]
pub struct DtlsParams {
    /// Whether we begin.
    pub active: bool,
    /// Of the peer's certificate.
    pub fingerprint: Fingerprint,
}

/// The names under which checks are made.
#[derive(Clone, Debug, PartialEq)]
pub struct IceParams {
    /// Ours.
    pub local: IceCredentials,
    /// The peer's user name fragment, if it is known.
    pub remote: Option<String>,
}

/// What the exchange asks of a shard.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Tells a client about one of its streams.
    Stream {
        /// Whose.
        session: SessionId,
        /// Which stream, by the media half made for it.
        leg: LegId,
        /// What.
        event: StreamEvent,
    },
    /// Tells a client about one of its accounts or lines.
    Line {
        /// Whose.
        session: SessionId,
        /// What.
        event: call::LineEvent,
    },
    /// Ends a client session.
    CloseSession {
        /// Which.
        session: SessionId,
        /// Why.
        reason: EndReason,
    },
    /// Names the call a media half belongs to, for the log.
    Assign {
        /// Which half.
        leg: LegId,
        /// Its call.
        call: CallId,
    },
    /// Makes an RTP leg: a port pair on `ip`. Answered by [`Event::RtpOpened`] or [`Event::RtpFailed`].
    OpenRtp {
        /// Its id.
        leg: LegId,
        /// Its call.
        call: CallId,
        /// The local address to bind.
        ip: IpAddr,
    },
    /// Makes the media half of a leg on a server elsewhere. Its connections come from the driver, as
    /// `Shard::handle_dialled`.
    OpenOutbound {
        /// Its id.
        leg: LegId,
        /// Its call.
        call: CallId,
        /// The stream there.
        remote: Box<Remote>,
    },
    /// Sets or changes how an RTP leg sends and receives.
    Rtp {
        /// Which leg.
        leg: LegId,
        /// How.
        params: Box<RtpParams>,
    },
    /// Makes a source that plays a tone.
    OpenTone {
        /// Its id.
        leg: LegId,
        /// Its call.
        call: CallId,
        /// The ringing tone that it plays; `None` for a steady one.
        cadence: Option<Cadence>,
    },
    /// Makes a local stand-in for a source on another shard.
    OpenProxy {
        /// The source's id, here as there.
        leg: LegId,
        /// Its call.
        call: CallId,
    },
    /// Sends a source's frames to the stand-in on another shard, or stops it.
    Export {
        /// The source.
        leg: LegId,
        /// Where its stand-in is.
        to: ShardId,
        /// Start or stop.
        on: bool,
    },
    /// Lets `to` hear `from`; both are legs of this shard, and may be the same leg (echo).
    Connect {
        /// The source.
        from: LegId,
        /// The sink.
        to: LegId,
    },
    /// Ends that.
    Disconnect {
        /// The source.
        from: LegId,
        /// The sink.
        to: LegId,
    },
    /// Sends a digit out of an RTP leg as a telephone-event (RFC 4733), when the peer takes such.
    Digit {
        /// Which leg.
        leg: LegId,
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        digit: char,
        /// How long, ms: 40 to 8,000.
        ms: u32,
    },
    /// Something of a room's mixer.
    Room {
        /// Which room, by the id it has on every shard.
        room: LegId,
        /// What.
        command: RoomCommand,
    },
    /// Ends a media half; unknown ids are ignored.
    Close {
        /// Which.
        leg: LegId,
    },
    /// Ends every session with `NetConnection.Connect.Closed`; the gateway stops.
    CloseAll,
}

/// What a shard tells the exchange.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A client connected and was let in.
    SessionOpened {
        /// Its session.
        session: SessionId,
        /// Its address.
        peer: SocketAddr,
    },
    /// A client is gone; all its streams with it.
    SessionClosed {
        /// Its session.
        session: SessionId,
        /// Why.
        reason: EndReason,
    },
    /// A client said something or was told, for the diagram of its calls: the name of a command and the number of its
    /// arguments, which may be secrets.
    Said {
        /// Which client.
        session: SessionId,
        /// By the gateway rather than to it.
        outgoing: bool,
        /// What.
        words: String,
    },
    /// A client wants something.
    Intent {
        /// Which client.
        session: SessionId,
        /// What.
        intent: Intent,
    },
    /// An RTP leg is bound.
    RtpOpened {
        /// Which leg.
        leg: LegId,
        /// Its RTP address; RTCP is on the next port.
        local: SocketAddr,
    },
    /// No port was to be had.
    RtpFailed {
        /// Which leg.
        leg: LegId,
    },
    /// Something became of the connection to a server elsewhere.
    Outbound {
        /// The leg it is for.
        leg: LegId,
        /// The connection.
        session: SessionId,
        /// What.
        told: OutboundTold,
    },
    /// A fault of ours ended a media half.
    LegBroke {
        /// Which.
        leg: LegId,
    },
    /// No keys could be agreed on for the media of a leg.
    RtpInsecure {
        /// Which leg.
        leg: LegId,
    },
    /// No RTP came for the configured time.
    RtpSilent {
        /// Which leg.
        leg: LegId,
    },
    /// A digit came in.
    Digit {
        /// From which leg.
        leg: LegId,
        /// Which digit.
        digit: char,
        /// It was heard in the audio, which goes on to the other party; else it was a telephone-event.
        in_band: bool,
    },
    /// A room's mixer tells something.
    Room {
        /// Which room.
        room: LegId,
        /// What.
        event: RoomEvent,
    },
    /// The figures of a media leg at its end.
    Stats {
        /// Which leg.
        leg: LegId,
        /// The figures.
        stats: LegStats,
    },
}

/// On which side of the gateway a media leg is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// A SIP party's RTP.
    #[default]
    Rtp,
    /// A stream of a client.
    Client,
}

/// The figures of a media leg.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LegStats {
    /// RTP or a client.
    pub side: Side,
    /// What was received last; `None` for nothing, or for audio that is relayed unread.
    pub codec_in: Option<CodecId>,
    /// What is sent; `None` for nothing, or for audio that is relayed unread.
    pub codec_out: Option<CodecId>,
    /// Packets or frames received.
    pub received: u64,
    /// Packets or frames sent.
    pub sent: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets that came too late to be played.
    pub late: u64,
    /// Frames made up for packets that were missing.
    pub concealed: u64,
    /// Packets the peer says it did not get.
    pub remote_lost: u64,
    /// Interarrival jitter, ms (RFC 3550 §6.4.1).
    pub jitter_ms: f32,
    /// Round-trip time by RTCP, ms; 0 when never measured.
    pub rtt_ms: f32,
    /// How long a missing packet is waited for now: what the jitter buffer adds, ms.
    pub wait_ms: f32,
    /// Audio toward the peer that waits to be sent, ms.
    pub depth_ms: f32,
    /// Audio toward the peer that was left out or compressed to be in time, ms.
    pub shortened_ms: u64,
    /// How what is sent is protected; `None` for plain RTP, and for a client.
    pub suite: Option<Suite>,
    /// Packets dropped because they were not made with the key.
    pub forged: u64,
    /// Packets dropped because they had come before.
    pub replayed: u64,
}

/// One encoded frame on its way from a source to its stand-in on another shard.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkFrame {
    /// The source.
    pub leg: LegId,
    /// What it is.
    pub kind: FrameKind,
    /// Its bytes.
    pub payload: Box<[u8]>,
}

/// What a source delivers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FrameKind {
    /// Audio: one payload of the codec.
    Audio {
        /// Which codec.
        codec: CodecId,
        /// When its first sample was captured, by the source's clock; goes on over all that was lost.
        time: MediaTime,
        /// Comes at the pace of the sender's network, not of a jitter buffer: toward RTP it must be paced.
        bursty: bool,
    },
    /// A frame that a room encoded for this very sink: it goes out as it is.
    Ready {
        /// Which codec.
        codec: CodecId,
        /// When its first sample was mixed, in the codec's RTP clock.
        time: MediaTime,
        /// Its length in ticks of that clock.
        ticks: u32,
    },
    /// A slot of a room's talkers on another shard: their sum, 32 bits a sample, least byte first.
    Sums {
        /// Of which shard.
        from: ShardId,
        /// Samples a second.
        rate: u32,
    },
    /// An audio frame that is lost.
    Lost {
        /// When it would have begun.
        time: MediaTime,
        /// How much is missing, in ticks of that clock.
        ticks: u32,
    },
    /// A whole FLV audio tag body that is relayed as it is: a codec of streaming tools.
    Tag {
        /// When its first sample was captured, in ms of RTMP.
        time: MediaTime,
        /// The codec, if it can be decoded for those who do not take it as it is.
        codec: Option<CodecId>,
    },
    /// A whole FLV video tag body.
    Video {
        /// RTMP timestamp, ms.
        ms: u32,
    },
    /// A data message, AMF0, without `@setDataFrame`.
    Data {
        /// RTMP timestamp, ms.
        ms: u32,
    },
    /// A digit (RFC 4733).
    Digit {
        /// Which.
        digit: char,
    },
    /// The source ended: players hear of it.
    Gone,
}
