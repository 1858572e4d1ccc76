//! What a codec does to a recording: `hear LABEL <in.raw >out.raw` encodes and decodes mono 16 bit little-endian PCM at the
//! codec's own rate; `hear LABEL flv` writes what was encoded as FLV instead, for another decoder.

use codecs::{EncoderOptions, TABLE, decoder, encoder};
use std::io::{Error, Read, Write};

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let label = arguments.next().unwrap_or_default();
    let flv = arguments.next().is_some();
    let Some(row) = TABLE.iter().find(|row| row.label == label) else {
        let labels: Vec<_> = TABLE.iter().map(|row| row.label).collect();
        return Err(Error::other(format!("name a codec: {}", labels.join(", "))));
    };
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input)?;
    let pcm: Vec<i16> = input
        .chunks_exact(2)
        .map(|b| i16::from_le_bytes([b[0], b[1]]))
        .collect();
    let mut encoder = encoder(row.id, &EncoderOptions::default()).map_err(Error::other)?;
    let mut decoder = decoder(row.id, 0).map_err(Error::other)?;
    let (mut payload, mut out) = (vec![0; row.max_frame_bytes.max(640)], [0; 2_000]);
    let mut stdout = std::io::stdout().lock();
    if flv {
        stdout.write_all(b"FLV\x01\x04\x00\x00\x00\x09\x00\x00\x00\x00")?;
    }
    let _ = decoder.decode(row.configuration, &mut out);
    if flv && !row.configuration.is_empty() {
        let size = row.configuration.len() as u32 + 1;
        stdout.write_all(&[
            8,
            0,
            0,
            size as u8,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            row.flv_tag().unwrap_or(0),
        ])?;
        stdout.write_all(row.configuration)?;
        stdout.write_all(&(size + 11).to_be_bytes())?;
    }
    for (i, frame) in pcm.chunks_exact(encoder.frame_samples()).enumerate() {
        let n = encoder.encode(frame, &mut payload).map_err(Error::other)?;
        if flv {
            let size = (n as u32 + 1).to_be_bytes();
            let time = (i * frame.len() * 1000 / row.sample_rate as usize) as u32;
            let time = time.to_be_bytes();
            stdout.write_all(&[
                8, size[1], size[2], size[3], time[1], time[2], time[3], time[0], 0, 0, 0,
            ])?;
            stdout.write_all(&[row.flv_tag().unwrap_or(0)])?;
            stdout.write_all(&payload[..n])?;
            stdout.write_all(&(n as u32 + 12).to_be_bytes())?;
        } else {
            let n = decoder.decode(&payload[..n], &mut out).map_err(Error::other)?;
            let bytes: Vec<u8> = out[..n].iter().flat_map(|s| s.to_le_bytes()).collect();
            stdout.write_all(&bytes)?;
        }
    }
    Ok(())
}
