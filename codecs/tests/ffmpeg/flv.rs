//! As much of FLV as one audio stream needs.

/// Wraps payloads as an FLV file of audio tags, `step_ms` apart.
pub(crate) fn write(tag: u8, step_ms: u32, payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut file = b"FLV\x01\x04\x00\x00\x00\x09\x00\x00\x00\x00".to_vec();
    for (i, payload) in payloads.iter().enumerate() {
        let size = payload.len() as u32 + 1;
        let time = i as u32 * step_ms;
        file.push(8);
        file.extend_from_slice(&size.to_be_bytes()[1..]);
        file.extend_from_slice(&time.to_be_bytes()[1..]);
        file.push((time >> 24) as u8);
        file.extend_from_slice(&[0, 0, 0, tag]);
        file.extend_from_slice(payload);
        file.extend_from_slice(&(size + 11).to_be_bytes());
    }
    file
}

/// The audio tags of an FLV file: first byte and payload of each.
pub(crate) fn read(file: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut tags = Vec::new();
    let mut at = 13;
    while at + 11 < file.len() {
        let size = u32::from_be_bytes([0, file[at + 1], file[at + 2], file[at + 3]]) as usize;
        if file[at] == 8 && size > 1 {
            tags.push((file[at + 11], file[at + 12..at + 11 + size].to_vec()));
        }
        at += 11 + size + 4;
    }
    tags
}
