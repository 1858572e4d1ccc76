//! RTCP packets written in place (RFC 3550 §6.4 to §6.6): reports are many, and cost no allocation.

use rtcp_types::prelude::*;
use rtcp_types::{Bye, ReceiverReport, Sdes, SdesItem, SenderReport};

/// One source's reception.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) ssrc: u32,
    pub(super) fraction_lost: u8,
    /// 24 bits, signed.
    pub(super) cumulative_lost: u32,
    pub(super) max_seq: u32,
    pub(super) jitter: u32,
    pub(super) last_sr: u32,
    pub(super) delay_since_last_sr: u32,
}

/// What a sender says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct SenderInfo {
    pub(super) ntp: u64,
    pub(super) rtp: u32,
    pub(super) packets: u32,
    pub(super) octets: u32,
}

/// Appends packets as long as there is room, and counts on behind that.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut [u8]) -> Writer<'a> {
        Writer { out, len: 0 }
    }

    /// Bytes written, or else the bytes that would be needed.
    pub(super) fn finish(self) -> Result<usize, usize> {
        if self.len <= self.out.len() {
            Ok(self.len)
        } else {
            Err(self.len)
        }
    }

    /// A sender or receiver report.
    pub(super) fn report(&mut self, ssrc: u32, sender: Option<SenderInfo>, block: Option<Block>) {
        let kind = match sender {
            Some(_) => SenderReport::PACKET_TYPE,
            None => ReceiverReport::PACKET_TYPE,
        };
        let blocks = u8::from(block.is_some());
        let words = 1 + if sender.is_some() { 5 } else { 0 } + 6 * u16::from(blocks);
        self.header(blocks, kind, words);
        self.word(ssrc);
        if let Some(s) = sender {
            self.put(&s.ntp.to_be_bytes());
            self.word(s.rtp);
            self.word(s.packets);
            self.word(s.octets);
        }
        if let Some(b) = block {
            self.word(b.ssrc);
            self.word(u32::from(b.fraction_lost) << 24 | (b.cumulative_lost & 0xff_ffff));
            self.word(b.max_seq);
            self.word(b.jitter);
            self.word(b.last_sr);
            self.word(b.delay_since_last_sr);
        }
    }

    /// A description with a canonical name of at most 255 bytes.
    pub(super) fn cname(&mut self, ssrc: u32, name: &str) {
        let len = u8::try_from(name.len()).unwrap_or(u8::MAX);
        let name = name.as_bytes().get(..usize::from(len)).unwrap_or_default();
        // At least one zero ends the list, and as many as fill the word.
        let padding = 4 - (2 + name.len()) % 4;
        let words = 1 + (2 + name.len() + padding) / 4;
        self.header(1, Sdes::PACKET_TYPE, words as u16);
        self.word(ssrc);
        self.put(&[SdesItem::CNAME, len]);
        self.put(name);
        self.put([0; 4].get(..padding).unwrap_or_default());
    }

    pub(super) fn bye(&mut self, ssrc: u32) {
        self.header(1, Bye::PACKET_TYPE, 1);
        self.word(ssrc);
    }

    /// `words` follow the header.
    fn header(&mut self, count: u8, kind: u8, words: u16) {
        let [high, low] = words.to_be_bytes();
        self.put(&[0x80 | count, kind, high, low]);
    }

    fn word(&mut self, word: u32) {
        self.put(&word.to_be_bytes());
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if let Some(room) = self.out.get_mut(self.len..end) {
            room.copy_from_slice(bytes);
        }
        self.len = end;
    }
}
