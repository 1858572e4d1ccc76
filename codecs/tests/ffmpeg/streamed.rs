//! Codecs of streaming tools: ffmpeg encodes, ffmpeg and we decode the same.

use crate::{bytes, difference, ffmpeg, flv, pcm, voice};
use codecs::{CodecId, decoder};

/// The root mean square of our difference from ffmpeg's decoder, for a voice in `channels` (the second at half level).
fn compare(id: CodecId, encoder: &str, rate: u32, channels: u32, bitrate: &str) -> Option<f32> {
    let voice = voice(rate, 2);
    let input: Vec<i16> = if channels == 1 {
        voice
    } else {
        voice.iter().flat_map(|s| [*s, *s / 2]).collect()
    };
    let (hz, count) = (rate.to_string(), channels.to_string());
    let encode = [
        "-f",
        "s16le",
        "-ar",
        &hz,
        "-ac",
        &count,
        "-i",
        "-",
        "-c:a",
        encoder,
        "-b:a",
        bitrate,
        "-flags",
        "+bitexact",
    ];
    // Noise that the decoder makes up is nobody's to compare.
    let own: &[&str] = if encoder == "aac" { &["-aac_pns", "0"] } else { &[] };
    let arguments = [&encode[..], own, &["-f", "flv", "-"]].concat();
    let file = ffmpeg(&arguments, &bytes(&input))?;
    let mix = if channels == 1 {
        "pan=mono|c0=c0"
    } else {
        "pan=mono|c0=0.5*c0+0.5*c1"
    };
    // Whole, with what a player would leave out at the beginning.
    let decode = [
        "-flags2",
        "+skip_manual",
        "-f",
        "flv",
        "-i",
        "-",
        "-af",
        mix,
        "-f",
        "s16le",
        "-",
    ];
    let theirs = pcm(&ffmpeg(&decode, &file)?);

    let mut decoder = decoder(id, rate).unwrap();
    assert_eq!(decoder.sample_rate(), rate);
    let (mut ours, mut out) = (Vec::new(), [0; 8_000]);
    for (_, payload) in flv::read(&file) {
        let n = decoder.decode(&payload, &mut out).unwrap();
        ours.extend_from_slice(&out[..n]);
    }
    // Where they meet is found by a syllable; the whole is compared there.
    let most = ours.len().min(theirs.len()).min(6_000);
    let (_, shift) = difference(&theirs[2_000..most], &ours[2_000..most], 0..=1_400);
    let (rms, _) = difference(&theirs, &ours, shift..=shift);
    println!(
        "{encoder} {rate} Hz, {channels}: rms {rms}, shift {shift}, {} of {}",
        ours.len(),
        theirs.len()
    );
    Some(rms)
}

#[test]
fn aac_is_decoded_as_ffmpeg_does() {
    for rate in [48_000, 44_100, 32_000, 22_050, 16_000, 8_000] {
        for channels in [1, 2] {
            let Some(rms) = compare(CodecId::Aac, "aac", rate, channels, "64k") else {
                return;
            };
            assert!(rms < 1.0, "{rate} Hz, {channels} channels: {rms}");
        }
    }
}

#[test]
fn mp3_is_decoded_as_ffmpeg_does() {
    for rate in [44_100, 22_050] {
        for channels in [1, 2] {
            let Some(rms) = compare(CodecId::Mp3, "libmp3lame", rate, channels, "64k") else {
                return;
            };
            assert!(rms < 1.0, "{rate} Hz, {channels} channels: {rms}");
        }
    }
}

/// Our encoder's FLV of a recording, and its bits a second.
fn ours(rate: u32, pcm: &[i16]) -> (Vec<u8>, f32) {
    let row = codecs::codec(CodecId::Aac);
    let mut encoder = codecs::encoder(CodecId::Aac, &codecs::EncoderOptions::default()).unwrap();
    assert_eq!(encoder.sample_rate(), rate);
    let (mut payloads, mut payload) = (vec![row.configuration.to_vec()], [0; 2_000]);
    let mut bytes = 0;
    for frame in pcm.chunks_exact(encoder.frame_samples()) {
        let n = encoder.encode(frame, &mut payload).unwrap();
        bytes += n - 1;
        payloads.push(payload[..n].to_vec());
    }
    let seconds = pcm.len() as f32 / rate as f32;
    let file = flv::write(row.flv_tag().unwrap(), 21, &payloads);
    (file, bytes as f32 * 8.0 / seconds)
}

/// How far the noise is below the sound, dB, where the two fit best.
fn snr(pcm: &[i16], heard: &[i16]) -> f32 {
    let most = pcm.len().min(heard.len()).min(24_000);
    let (_, shift) = difference(&pcm[8_000..most], &heard[8_000..most], 0..=2_400);
    let (rms, _) = difference(pcm, heard, shift..=shift);
    let sound: f64 = pcm.iter().map(|s| f64::from(*s).powi(2)).sum();
    20.0 * ((sound / pcm.len() as f64).sqrt() as f32 / rms).log10()
}

#[test]
fn ffmpeg_decodes_our_aac_as_well_as_its_own() {
    let pcm = voice(48_000, 4);
    let (file, bits) = ours(48_000, &pcm);
    assert!(bits < 48_500.0, "{bits}");
    let Some(heard) = crate::decode_flv("aac", 48_000, &file) else {
        return;
    };
    let arguments = [
        "-f", "s16le", "-ar", "48000", "-ac", "1", "-i", "-", "-c:a", "aac", "-b:a", "48k", "-f", "flv", "-",
    ];
    let theirs = ffmpeg(&arguments, &bytes(&pcm)).unwrap();
    let theirs = crate::decode_flv("aac", 48_000, &theirs).unwrap();
    let (ours, theirs) = (snr(&pcm, &heard), snr(&pcm, &theirs));
    println!("ours {ours} dB at {bits} bit/s, ffmpeg's {theirs} dB");
    assert!(ours > theirs - 1.0, "{ours} dB, ffmpeg's encoder {theirs} dB");
}
