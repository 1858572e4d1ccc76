//! Our coders and ffmpeg's play each other's FLV audio. Skipped, and says so, where ffmpeg is not installed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod flv;
mod g722;
mod nelly;
mod speex;
mod streamed;

use std::io::Write;
use std::process::{Command, Stdio};

/// Runs ffmpeg with `input` as its standard input and returns its standard output; `None` without ffmpeg.
fn ffmpeg(arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let child = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("skipped: ffmpeg is not installed");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "ffmpeg {arguments:?}");
    Some(output.stdout)
}

/// PCM as bytes, little-endian.
fn bytes(pcm: &[i16]) -> Vec<u8> {
    pcm.iter().flat_map(|s| s.to_le_bytes()).collect()
}

/// Bytes as PCM.
fn pcm(bytes: &[u8]) -> Vec<i16> {
    bytes
        .chunks_exact(2)
        .map(|b| i16::from_le_bytes([b[0], b[1]]))
        .collect()
}

/// Decodes an FLV file by ffmpeg to PCM at its own rate.
fn decode_flv(decoder: &str, rate: u32, file: &[u8]) -> Option<Vec<i16>> {
    let rate = rate.to_string();
    let arguments = [
        "-f", "flv", "-c:a", decoder, "-i", "-", "-f", "s16le", "-ar", &rate, "-ac", "1", "-",
    ];
    ffmpeg(&arguments, file).map(|out| pcm(&out))
}

/// Something like a voice: harmonics of a gliding pitch, in syllables.
fn voice(rate: u32, seconds: u32) -> Vec<i16> {
    let mut phase = 0.0f32;
    (0..seconds * rate)
        .map(|i| {
            let t = i as f32 / rate as f32;
            phase = (phase + (140.0 + 40.0 * (t * 3.0).sin()) / rate as f32).fract();
            let syllable = (t * 4.0 * std::f32::consts::PI).sin().abs();
            let sum: f32 = (1..=20)
                .map(|h| (phase * h as f32 * std::f32::consts::TAU).sin() / (1.0 + (h as f32 - 4.0).abs()))
                .sum();
            (sum * syllable * 4_000.0) as i16
        })
        .collect()
}

/// Root mean square of the difference, at the shift (of `b` against `a`, samples) where it is least.
fn difference(a: &[i16], b: &[i16], shifts: std::ops::RangeInclusive<isize>) -> (f32, isize) {
    shifts
        .map(|shift| {
            let (a, b) = if shift < 0 {
                (&a[-shift as usize..], b)
            } else {
                (a, &b[shift as usize..])
            };
            let n = a.len().min(b.len());
            let sum: f64 = a[..n]
                .iter()
                .zip(b)
                .map(|(x, y)| f64::from(i32::from(*x) - i32::from(*y)).powi(2))
                .sum();
            ((sum / n as f64).sqrt() as f32, shift)
        })
        .min_by(|x, y| x.0.total_cmp(&y.0))
        .unwrap()
}
