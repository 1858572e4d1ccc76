//! Sums of PCM with soft saturation.

/// Above this magnitude a sum is compressed instead of clipped.
const KNEE: f32 = 24_576.0;
const HEADROOM: f32 = 32_767.0 - KNEE;

/// A wide sum as a sample: unchanged up to three quarters of the scale, then bent towards full scale, which it never
/// passes.
#[must_use]
pub fn saturate(sum: i32) -> i16 {
    if sum.unsigned_abs() <= KNEE as u32 {
        return sum as i16;
    }
    let over = (sum.unsigned_abs() as f32 - KNEE) / HEADROOM;
    let bent = KNEE + HEADROOM * over / (1.0 + over);
    if sum < 0 { -bent as i16 } else { bent as i16 }
}

/// Adds `pcm` to the sums; samples beyond the shorter of the two are left alone. Room for 65,536 voices.
pub fn add(sums: &mut [i32], pcm: &[i16]) {
    for (sum, sample) in sums.iter_mut().zip(pcm) {
        *sum += i32::from(*sample);
    }
}

/// Writes what everybody hears who is not in the mix, and returns the samples written.
pub fn total(sums: &[i32], out: &mut [i16]) -> usize {
    let n = sums.len().min(out.len());
    for (out, sum) in out.iter_mut().zip(sums) {
        *out = saturate(*sum);
    }
    n
}

/// Mix-minus: writes the sum without the listener's own `pcm` (shorter than the sums: the rest counts as silence), and
/// returns the samples written.
pub fn minus(sums: &[i32], own: &[i16], out: &mut [i16]) -> usize {
    let n = sums.len().min(out.len());
    let own = own.iter().copied().chain(std::iter::repeat(0));
    for ((out, sum), own) in out.iter_mut().zip(sums).zip(own) {
        *out = saturate(*sum - i32::from(own));
    }
    n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saturation_is_monotone_and_odd_and_leaves_quiet_sums_alone() {
        let mut last = i16::MIN;
        for sum in (-200_000..=200_000).step_by(97) {
            let out = saturate(sum);
            assert!(out >= last);
            assert_eq!(i32::from(saturate(-sum)), -i32::from(out));
            if sum.abs() <= 24_576 {
                assert_eq!(i32::from(out), sum);
            }
            last = out;
        }
        assert!(saturate(i32::MAX) > 32_000 && saturate(i32::MIN) < -32_000);
    }

    #[test]
    fn everyone_hears_all_but_himself() {
        let voices = [[100i16, 2_000, -30_000], [10, 3_000, -30_000], [1, 4_000, 5]];
        let mut sums = [0i32; 3];
        voices.iter().for_each(|v| add(&mut sums, v));
        let mut out = [0i16; 3];
        assert_eq!(minus(&sums, &voices[0], &mut out), 3);
        assert_eq!(out[..2], [11, 7_000]);
        assert_eq!(total(&sums, &mut out), 3);
        assert_eq!(out[..2], [111, 9_000]);
        assert!(out[2] < -30_000);
        assert_eq!(minus(&sums, &[100], &mut out), 3);
        assert_eq!(out[..2], [11, 9_000]);
    }
}
