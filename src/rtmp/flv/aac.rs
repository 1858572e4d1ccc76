//! AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1), as far as it concerns the sound: what the configuration
//! message of AAC holds.

/// The head of an AudioSpecificConfig.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AacConfig {
    /// Audio object type; 2 is AAC-LC, 5 and 29 announce SBR and PS around another.
    pub object_type: u8,
    /// Sampling rate of the core in Hz.
    pub sample_rate: u32,
    /// Channel configuration: 1 mono, 2 stereo; 0 is described elsewhere.
    pub channels: u8,
}

/// Sampling rates by index (table 1.18).
const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350,
];

impl AacConfig {
    /// AAC-LC.
    pub const LC: u8 = 2;

    /// Reads the head of a configuration; `None` when it is cut short or has a reserved rate.
    pub fn parse(bytes: &[u8]) -> Option<AacConfig> {
        let mut bits = Bits { bytes, at: 0 };
        let mut object_type = bits.take(5)? as u8;
        if object_type == 31 {
            object_type = 32 + bits.take(6)? as u8;
        }
        let sample_rate = match bits.take(4)? {
            15 => bits.take(24)?,
            index => *RATES.get(index as usize)?,
        };
        Some(AacConfig {
            object_type,
            sample_rate,
            channels: bits.take(4)? as u8,
        })
    }

    /// The two bytes of a configuration with an object type below 31 and a rate of the table; `None` for
    /// others.
    pub fn bytes(self) -> Option<[u8; 2]> {
        let index = RATES.iter().position(|&r| r == self.sample_rate)? as u16;
        let fits = self.object_type < 31 && self.channels < 16;
        fits.then(|| {
            (u16::from(self.object_type) << 11 | index << 7 | u16::from(self.channels) << 3).to_be_bytes()
        })
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = *self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_configurations_are_read_and_written() {
        let lc = AacConfig {
            object_type: AacConfig::LC,
            sample_rate: 44_100,
            channels: 2,
        };
        assert_eq!(AacConfig::parse(&[0x12, 0x10]), Some(lc));
        assert_eq!(lc.bytes(), Some([0x12, 0x10]));
        for sample_rate in RATES {
            let config = AacConfig { sample_rate, ..lc };
            assert_eq!(AacConfig::parse(&config.bytes().unwrap()), Some(config));
        }
        assert_eq!(AacConfig { sample_rate: 1, ..lc }.bytes(), None);
    }

    #[test]
    fn explicit_rates_and_escaped_types_are_read() {
        // 5 bits 2, 4 bits 15, 24 bits 12345, 4 bits 1.
        assert_eq!(
            AacConfig::parse(&[0x17, 0x80, 0x18, 0x1C, 0x88]),
            Some(AacConfig {
                object_type: 2,
                sample_rate: 12_345,
                channels: 1
            })
        );
        // 31, 10 (type 42), index 3, 2 channels.
        assert_eq!(
            AacConfig::parse(&[0xF9, 0x46, 0x40]).map(|c| (c.object_type, c.sample_rate, c.channels)),
            Some((42, 48_000, 2))
        );
        assert_eq!(AacConfig::parse(&[0x12]), None);
        assert_eq!(AacConfig::parse(&[0x16, 0x80]), None);
    }
}
