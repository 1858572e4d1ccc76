//! FLV files: a header and tags (E.2, E.3, E.4.1).

use thiserror::Error;

/// One tag of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag<'a> {
    /// 8 audio, 9 video, 18 script data: the RTMP message types.
    pub kind: u8,
    /// Time in ms.
    pub timestamp: u32,
    /// Body, as in an RTMP message.
    pub body: &'a [u8],
}

/// Why bytes are not an FLV file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FileError {
    /// No FLV signature.
    #[error("no FLV signature")]
    Signature,
    /// The file ends inside its header or a tag.
    #[error("the file ends inside a tag")]
    Truncated,
}

/// Reads the tags of a file held in memory.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Checks the header.
    pub fn new(bytes: &'a [u8]) -> Result<Reader<'a>, FileError> {
        if !bytes.starts_with(b"FLV") {
            return Err(FileError::Signature);
        }
        let (head, _) = bytes.split_first_chunk::<9>().ok_or(FileError::Truncated)?;
        let [_, _, _, _, _, o3, o2, o1, o0] = *head;
        let offset = u32::from_be_bytes([o3, o2, o1, o0]) as usize;
        // The size of the tag before the first, 0, follows.
        let rest = bytes.get(offset.max(9)..).and_then(|r| r.get(4..));
        Ok(Reader {
            rest: rest.ok_or(FileError::Truncated)?,
        })
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Tag<'a>, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let parsed = (|| {
            let (head, rest) = self.rest.split_first_chunk::<11>()?;
            let [kind, l2, l1, l0, t2, t1, t0, t3, _, _, _] = *head;
            let len = u32::from_be_bytes([0, l2, l1, l0]) as usize;
            let body = rest.get(..len)?;
            let tag = Tag {
                kind: kind & 0x1F,
                timestamp: u32::from_be_bytes([t3, t2, t1, t0]),
                body,
            };
            // A last tag without the size field behind it is accepted.
            Some((tag, rest.get(len + 4..).unwrap_or(&[])))
        })();
        let Some((tag, rest)) = parsed else {
            self.rest = &[];
            return Some(Err(FileError::Truncated));
        };
        self.rest = rest;
        Some(Ok(tag))
    }
}

/// Appends the header of a file that holds audio, video or both.
pub fn write_header(audio: bool, video: bool, out: &mut Vec<u8>) {
    let flags = u8::from(audio) << 2 | u8::from(video);
    out.extend_from_slice(&[b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0]);
}

/// Appends a tag. Of a body longer than 0xFFFFFF bytes the rest is left out.
pub fn write_tag(tag: Tag<'_>, out: &mut Vec<u8>) {
    let body = tag.body.get(..0xFF_FFFF).unwrap_or(tag.body);
    let [_, l2, l1, l0] = (body.len() as u32).to_be_bytes();
    let [t3, t2, t1, t0] = tag.timestamp.to_be_bytes();
    out.extend_from_slice(&[tag.kind, l2, l1, l0, t2, t1, t0, t3, 0, 0, 0]);
    out.extend_from_slice(body);
    out.extend_from_slice(&(body.len() as u32 + 11).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_round_trip() {
        let tags = [
            Tag {
                kind: 8,
                timestamp: 0x0102_0304,
                body: &[0xB2, 1],
            },
            Tag {
                kind: 18,
                timestamp: 5,
                body: &[],
            },
        ];
        let mut file = Vec::new();
        write_header(true, false, &mut file);
        for tag in tags {
            write_tag(tag, &mut file);
        }
        let read: Result<Vec<_>, _> = Reader::new(&file).unwrap().collect();
        assert_eq!(read.unwrap(), tags);
        let cut: Vec<_> = Reader::new(&file[..file.len() - 6]).unwrap().collect();
        assert_eq!(cut[1], Err(FileError::Truncated));
        assert_eq!(cut.len(), 2);
    }

    #[test]
    fn what_is_no_file_is_refused() {
        assert_eq!(Reader::new(b"RIFF").err(), Some(FileError::Signature));
        assert_eq!(Reader::new(b"FLV\x01").err(), Some(FileError::Truncated));
        assert_eq!(
            Reader::new(b"FLV\x01\x04\xFF\xFF\xFF\xFF\0\0\0\0").err(),
            Some(FileError::Truncated)
        );
    }
}
