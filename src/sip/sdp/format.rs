//! Payload formats.

/// A payload format in a description: a payload type number and what it stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Format {
    /// The payload type number, 0 to 127.
    pub pt: u8,
    /// The encoding name as written; empty for a dynamic number that nothing explains.
    pub name: String,
    /// The RTP clock in Hz; 0 when unknown.
    pub clock: u32,
    /// Channels, 1 unless said otherwise.
    pub channels: u8,
    /// Format parameters as written.
    pub fmtp: Option<String>,
}

impl Format {
    /// Whether it is DTMF in RTP (RFC 4733).
    pub fn is_telephone_event(&self) -> bool {
        self.name.eq_ignore_ascii_case("telephone-event")
    }

    /// The format with a number of the fixed table (RFC 3551 §6).
    pub fn of_static(pt: u8) -> Option<Format> {
        let &(_, name, clock, channels) = STATIC.iter().find(|row| row.0 == pt)?;
        Some(Format {
            pt,
            name: name.to_owned(),
            clock,
            channels,
            fmtp: None,
        })
    }
}

/// A format this side can handle.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Capability {
    /// The encoding name, compared without case.
    pub name: String,
    /// The RTP clock in Hz.
    pub clock: u32,
    /// Channels.
    pub channels: u8,
    /// The number of the fixed table, if it has one.
    pub static_pt: Option<u8>,
    /// The number to offer otherwise, 96 to 127; the next free one is taken when it is in use.
    pub dynamic_pt: u8,
    /// Format parameters to write.
    pub fmtp: Option<String>,
}

impl Capability {
    /// A capability for one channel without parameters; the fixed number is looked up.
    pub fn new(name: &str, clock: u32, dynamic_pt: u8) -> Capability {
        let fixed = STATIC
            .iter()
            .find(|row| row.1.eq_ignore_ascii_case(name) && row.2 == clock && row.3 == 1);
        Capability {
            name: name.to_owned(),
            clock,
            channels: 1,
            static_pt: fixed.map(|row| row.0),
            dynamic_pt,
            fmtp: None,
        }
    }

    /// With format parameters.
    pub fn with_fmtp(mut self, fmtp: &str) -> Capability {
        self.fmtp = Some(fmtp.to_owned());
        self
    }

    /// With a number of channels.
    pub fn with_channels(mut self, channels: u8) -> Capability {
        let fixed = STATIC
            .iter()
            .find(|row| row.1.eq_ignore_ascii_case(&self.name) && row.2 == self.clock && row.3 == channels);
        self.channels = channels;
        self.static_pt = fixed.map(|row| row.0);
        self
    }

    /// Whether it is DTMF in RTP.
    pub fn is_telephone_event(&self) -> bool {
        self.name.eq_ignore_ascii_case("telephone-event")
    }

    /// Whether a format is this: name, clock and channels.
    pub fn handles(&self, format: &Format) -> bool {
        self.name.eq_ignore_ascii_case(&format.name)
            && self.clock == format.clock
            && self.channels == format.channels
    }

    /// As a format with a number.
    pub(super) fn as_format(&self, pt: u8) -> Format {
        Format {
            pt,
            name: self.name.clone(),
            clock: self.clock,
            channels: self.channels,
            fmtp: self.fmtp.clone(),
        }
    }
}

/// Number, name, clock in Hz, channels. G722 runs at 16 kHz but its clock is 8000 by an old mistake.
const STATIC: &[(u8, &str, u32, u8)] = &[
    (0, "PCMU", 8_000, 1),
    (3, "GSM", 8_000, 1),
    (4, "G723", 8_000, 1),
    (5, "DVI4", 8_000, 1),
    (6, "DVI4", 16_000, 1),
    (7, "LPC", 8_000, 1),
    (8, "PCMA", 8_000, 1),
    (9, "G722", 8_000, 1),
    (10, "L16", 44_100, 2),
    (11, "L16", 44_100, 1),
    (12, "QCELP", 8_000, 1),
    (13, "CN", 8_000, 1),
    (14, "MPA", 90_000, 1),
    (15, "G728", 8_000, 1),
    (16, "DVI4", 11_025, 1),
    (17, "DVI4", 22_050, 1),
    (18, "G729", 8_000, 1),
    (25, "CelB", 90_000, 1),
    (26, "JPEG", 90_000, 1),
    (28, "nv", 90_000, 1),
    (31, "H261", 90_000, 1),
    (32, "MPV", 90_000, 1),
    (33, "MP2T", 90_000, 1),
    (34, "H263", 90_000, 1),
];
