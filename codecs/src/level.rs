//! Loudness of PCM.

/// What digital silence is reported as, dBov (the floor of RFC 6465's scale).
pub const SILENCE_DBOV: f32 = -127.0;

/// Mean square of the samples; 0 for none.
#[must_use]
pub fn mean_square(pcm: &[i16]) -> f32 {
    if pcm.is_empty() {
        return 0.0;
    }
    // In integers, whose order of adding does not matter: the compiler takes many at a time.
    let sum: i64 = pcm.iter().map(|s| i64::from(i32::from(*s) * i32::from(*s))).sum();
    sum as f32 / pcm.len() as f32
}

/// Root mean square level in dB relative to overload: a full-scale square wave is 0, a full-scale sine -3.01, silence
/// [`SILENCE_DBOV`].
#[must_use]
pub fn dbov(pcm: &[i16]) -> f32 {
    let power = mean_square(pcm);
    if power > 0.0 {
        10.0 * (power / (32_768.0 * 32_768.0)).log10()
    } else {
        SILENCE_DBOV
    }
}

/// Largest magnitude.
#[must_use]
pub fn peak(pcm: &[i16]) -> u16 {
    pcm.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_levels() {
        assert_eq!(dbov(&[0; 160]), SILENCE_DBOV);
        assert_eq!(dbov(&[]), SILENCE_DBOV);
        assert!(dbov(&[i16::MIN; 160]).abs() < 0.001);
        assert!((dbov(&[3277, -3277]) + 20.0).abs() < 0.01);
        assert_eq!(peak(&[3, -7, 5, i16::MIN]), 32_768);
    }
}
