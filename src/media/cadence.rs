//! The ringing tones of countries (ITU-T E.180 Supplement 2).

/// A tone that comes and goes: its frequencies, and how long it sounds and is silent, in turn, ms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cadence {
    /// The word for the country: its ISO 3166 code, in lower case.
    pub country: &'static str,
    /// Hz; all at once.
    pub hz: &'static [f32],
    /// Sound, silence, sound, silence …, ms.
    pub steps: &'static [u32],
}

impl Cadence {
    /// The ringing tone of a country.
    pub fn of(country: &str) -> Option<Cadence> {
        RINGING.iter().find(|c| c.country == country).copied()
    }

    /// Whether it sounds so many ms after its beginning.
    pub fn sounds(&self, ms: u64) -> bool {
        let period: u64 = self.steps.iter().map(|s| u64::from(*s)).sum();
        let mut rest = ms % period.max(1);
        for (place, step) in self.steps.iter().enumerate() {
            if rest < u64::from(*step) {
                return place.is_multiple_of(2);
            }
            rest -= u64::from(*step);
        }
        false
    }
}

const fn ringing(country: &'static str, hz: &'static [f32], steps: &'static [u32]) -> Cadence {
    Cadence { country, hz, steps }
}

/// One row for each country.
pub const RINGING: &[Cadence] = &[
    ringing("at", &[420.0], &[1_000, 5_000]),
    ringing("au", &[400.0, 425.0, 450.0], &[400, 200, 400, 2_000]),
    ringing("be", &[425.0], &[1_000, 3_000]),
    ringing("br", &[425.0], &[1_000, 4_000]),
    ringing("ca", &[440.0, 480.0], &[2_000, 4_000]),
    ringing("ch", &[425.0], &[1_000, 4_000]),
    ringing("cn", &[450.0], &[1_000, 4_000]),
    ringing("de", &[425.0], &[1_000, 4_000]),
    ringing("dk", &[425.0], &[1_000, 4_000]),
    ringing("es", &[425.0], &[1_500, 3_000]),
    ringing("fi", &[425.0], &[1_000, 4_000]),
    ringing("fr", &[440.0], &[1_500, 3_500]),
    ringing("gb", &[400.0, 450.0], &[400, 200, 400, 2_000]),
    ringing("ie", &[400.0, 450.0], &[400, 200, 400, 2_000]),
    ringing("in", &[400.0], &[400, 200, 400, 2_000]),
    ringing("it", &[425.0], &[1_000, 4_000]),
    ringing("jp", &[400.0], &[1_000, 2_000]),
    ringing("nl", &[425.0], &[1_000, 4_000]),
    ringing("no", &[425.0], &[1_000, 4_000]),
    ringing("nz", &[400.0, 450.0], &[400, 200, 400, 2_000]),
    ringing("pl", &[425.0], &[1_000, 4_000]),
    ringing("pt", &[425.0], &[1_000, 5_000]),
    ringing("ru", &[425.0], &[1_000, 4_000]),
    ringing("se", &[425.0], &[1_000, 5_000]),
    ringing("us", &[440.0, 480.0], &[2_000, 4_000]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tones_come_and_go() {
        let us = Cadence::of("us").unwrap();
        assert!(
            us.sounds(0) && us.sounds(1_999) && !us.sounds(2_000) && !us.sounds(5_999) && us.sounds(6_000)
        );
        let gb = Cadence::of("gb").unwrap();
        let heard: Vec<bool> = [100, 500, 700, 1_500, 3_100].map(|ms| gb.sounds(ms)).to_vec();
        assert_eq!(heard, [true, false, true, false, true]);
        assert_eq!(Cadence::of("xx"), None);
    }

    #[test]
    fn rows_are_in_order_and_whole() {
        assert!(RINGING.windows(2).all(|w| w[0].country < w[1].country));
        for c in RINGING {
            assert!(
                c.steps.len().is_multiple_of(2) && !c.hz.is_empty(),
                "{}",
                c.country
            );
        }
    }
}
