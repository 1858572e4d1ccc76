//! AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1), as far as the decoder needs it.

use super::bits::Bits;
use super::tables::RATES;

/// How a stream is coded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Config {
    /// Sampling rate of the core, Hz.
    pub(super) rate: u32,
    pub(super) rate_index: usize,
    /// Weight of a channel in the mix.
    pub(super) gain: f32,
}

impl Config {
    /// Reads a configuration; `None` when it is cut short or asks for what is not decoded here: another profile than LC,
    /// frames of 960 samples, an odd rate, channels described elsewhere.
    pub(super) fn parse(bytes: &[u8]) -> Option<Config> {
        const LC: u32 = 2;
        const SBR: u32 = 5;
        const PS: u32 = 29;
        let mut bits = Bits::new(bytes);
        let mut object = bits.take(5)?;
        let rate = read_rate(&mut bits)?;
        let channels = bits.take(4)?;
        if object == SBR || object == PS {
            // The rate of the whole, which the core does not reach, and then the core's own profile.
            read_rate(&mut bits)?;
            object = bits.take(5)?;
        }
        let short_frames = bits.flag()?;
        let rate_index = RATES.iter().position(|r| *r == rate)?;
        let gain = match channels {
            count @ 1..=5 => 1.0 / count as f32,
            6 => 0.2,
            7 => 1.0 / 7.0,
            _ => return None,
        };
        (object == LC && !short_frames).then_some(Config {
            rate,
            rate_index,
            gain,
        })
    }
}

fn read_rate(bits: &mut Bits<'_>) -> Option<u32> {
    match bits.take(4)? {
        15 => bits.take(24),
        index => RATES.get(index as usize).copied(),
    }
}

/// Passes over a `program_config_element` (§4.4.1.1).
pub(super) fn skip_program(bits: &mut Bits<'_>) -> Option<()> {
    bits.skip(4 + 2 + 4)?;
    let [front, side, back] = [bits.take(4)?, bits.take(4)?, bits.take(4)?];
    let [effects, data, coupling] = [bits.take(2)?, bits.take(3)?, bits.take(4)?];
    for size in [4, 4, 3] {
        if bits.flag()? {
            bits.skip(size)?;
        }
    }
    bits.skip((5 * (front + side + back + coupling) + 4 * (effects + data)) as usize)?;
    bits.align();
    let comment = bits.take(8)? as usize;
    bits.skip(8 * comment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_are_read_or_refused() {
        let stereo = Config::parse(&[0x12, 0x10]).unwrap();
        assert_eq!((stereo.rate, stereo.rate_index, stereo.gain), (44_100, 4, 0.5));
        assert_eq!(Config::parse(&[0x11, 0x88]).map(|c| c.rate), Some(48_000));
        // HE-AAC: SBR around LC at 22.05 kHz.
        assert_eq!(
            Config::parse(&[0x2b, 0x92, 0x08, 0x00]).map(|c| (c.rate, c.gain)),
            Some((22_050, 0.5))
        );
        // Cut short, 960 samples, AAC Main, no channels, a reserved rate.
        for bad in [
            &[0x12][..],
            &[0x12, 0x14],
            &[0x0a, 0x10],
            &[0x12, 0x00],
            &[0x16, 0x90],
        ] {
            assert_eq!(Config::parse(bad), None, "{bad:02x?}");
        }
    }
}
