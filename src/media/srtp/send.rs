//! What we send.

use super::key::SrtpKey;
use super::transform::{ENCRYPTED, Half, Transform};
use super::{header_len, rtp_ids};
use crate::Error;

/// Counts packets, so that no keystream is used twice.
#[derive(Debug)]
pub(super) struct Sender {
    rtp: Transform,
    rtcp: Transform,
    /// Our source, its last sequence number and how often that has wrapped.
    source: Option<(u32, u16, u32)>,
    rtcp_index: u32,
}

impl Sender {
    pub(super) fn new(key: &SrtpKey) -> Result<Sender, Error> {
        Ok(Sender {
            rtp: Transform::new(key, Half::Rtp)?,
            rtcp: Transform::new(key, Half::Rtcp)?,
            source: None,
            rtcp_index: 0,
        })
    }

    pub(super) fn rtp(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        let packet = buffer.get(..len)?;
        let header = header_len(packet)?;
        let (seq, ssrc) = rtp_ids(packet)?;
        let roc = match self.source {
            // Ours rise by one, so a lower number has wrapped.
            Some((of, last, roc)) if of == ssrc && seq < last => roc.checked_add(1)?,
            Some((of, _, roc)) if of == ssrc => roc,
            _ => 0,
        };
        self.source = Some((ssrc, seq, roc));
        let index = u64::from(roc) << 16 | u64::from(seq);
        self.rtp.seal_rtp(buffer, header, len, ssrc, index)
    }

    pub(super) fn rtcp(&mut self, buffer: &mut [u8], len: usize) -> Option<usize> {
        let ssrc = u32::from_be_bytes(*buffer.get(..len)?.get(4..)?.first_chunk()?);
        let index = self.rtcp_index;
        // Never reached in practice: 2^31 reports (RFC 3711 §9.2).
        self.rtcp_index = index.checked_add(1).filter(|i| *i < ENCRYPTED)?;
        self.rtcp.seal_rtcp(buffer, len, ssrc, index)
    }
}
