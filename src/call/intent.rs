//! The words between a client session (on its shard) and the exchange.

use base::LegId;
use codecs::CodecId;

use crate::{Line, LineIntent, Outcome};

/// Which application a stream belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamUse {
    /// `rtmp://HOST/call/TARGET`: the stream is half of a call.
    Call,
    /// `rtmp://HOST/live/NAME`: the stream is relayed.
    Live,
    /// A stream of a client with lines: it carries the line that the session attached.
    Attached,
    /// A stream of a client with lines that belongs to one of them, as red5phone's clients name them.
    Line(Line),
}

/// What a client wants, whatever its dialect.
#[derive(Clone, Debug, PartialEq)]
pub enum Intent {
    /// The client publishes a stream: media toward the gateway.
    Publish {
        /// The media half made for it on the session's shard.
        leg: LegId,
        /// Which application.
        stream_use: StreamUse,
        /// The stream's name, percent-decoded, without its query.
        name: String,
        /// User name and password given in the URL, if any.
        credentials: Option<(String, String)>,
    },
    /// The client plays a stream: media from the gateway.
    Play {
        /// The media half made for it on the session's shard.
        leg: LegId,
        /// Which application.
        stream_use: StreamUse,
        /// The stream's name, percent-decoded, without its query.
        name: String,
        /// User name and password given in the URL, if any.
        credentials: Option<(String, String)>,
        /// The codecs the client announced that it decodes.
        announced: Vec<CodecId>,
    },
    /// The codec of a published stream is known: its first audio message came.
    StreamCodec {
        /// The publishing media half.
        leg: LegId,
        /// What it sends; `None` for a codec the gateway can relay but not decode.
        codec: Option<CodecId>,
    },
    /// The client, one with lines, wants something of an account or a call.
    Line(LineIntent),
    /// The client ended a stream.
    Close {
        /// The media half that is gone.
        leg: LegId,
    },
}

/// What the exchange tells a client about one of its streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// Publishing or playing may start.
    Accepted,
    /// It may not; said before it was accepted.
    Refused(Outcome),
    /// Nobody publishes it any more; the player may stay and wait.
    Unpublished,
    /// It is published again.
    Published,
    /// It is over: refused by the far end, hung up, or the publisher left.
    Ended(Outcome),
}
