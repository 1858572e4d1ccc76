//! SRTP around an RTP leg.

use media::{Error, SRTP_OVERHEAD, SrtpKeys, SrtpSession, SrtpStats, Suite};

use super::RtpLeg;

/// Room for what is opened: any datagram of media.
const CLEAR: usize = 2_048;

/// The session and the buffer in which it opens packets.
#[derive(Debug)]
pub(super) struct Secure {
    session: SrtpSession,
    clear: Vec<u8>,
}

impl Secure {
    /// The RTP packet in an SRTP packet; `None`, counted, when it was not made with the key or came before.
    pub(super) fn open_rtp(&mut self, packet: &[u8]) -> Option<&[u8]> {
        let opened = self.session.open_rtp(packet, &mut self.clear);
        opened.ok().map(|()| self.clear.as_slice())
    }

    /// The same for RTCP.
    pub(super) fn open_rtcp(&mut self, packet: &[u8]) -> Option<&[u8]> {
        let opened = self.session.open_rtcp(packet, &mut self.clear);
        opened.ok().map(|()| self.clear.as_slice())
    }

    pub(super) fn stats(&self) -> SrtpStats {
        self.session.stats()
    }

    pub(super) fn suite(&self) -> Suite {
        self.session.suite()
    }
}

/// Room for a packet of `len` bytes and what protection adds.
pub(super) fn room(secure: Option<&Secure>, len: usize) -> usize {
    len + if secure.is_some() { SRTP_OVERHEAD } else { 0 }
}

/// Protects the RTP packet at the start of `out`; how much of it is to be sent. Nothing when it cannot be protected.
pub(super) fn seal_rtp(secure: Option<&mut Secure>, out: &mut [u8], len: usize) -> usize {
    match secure {
        None => len,
        Some(secure) => secure.session.protect_rtp(out, len).unwrap_or(0),
    }
}

/// The same for RTCP.
pub(super) fn seal_rtcp(secure: Option<&mut Secure>, out: &mut [u8], len: usize) -> usize {
    match secure {
        None => len,
        // No report is due.
        Some(_) if len == 0 => 0,
        Some(secure) => secure.session.protect_rtcp(out, len).unwrap_or(0),
    }
}

impl RtpLeg {
    /// From now on these keys hold, or none.
    pub(super) fn set_keys(&mut self, keys: Option<&SrtpKeys>) -> Result<(), Error> {
        match (keys, &mut self.secure) {
            (None, secure) => *secure = None,
            (Some(keys), Some(secure)) => secure.session.rekey(keys)?,
            (Some(keys), secure) => {
                *secure = Some(Box::new(Secure {
                    session: SrtpSession::new(keys)?,
                    clear: Vec::with_capacity(CLEAR),
                }));
            }
        }
        Ok(())
    }
}
