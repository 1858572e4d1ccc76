//! How a call sounded, in one number: the E-model (ITU-T G.107), simplified to what a gateway can measure.

use codecs::CodecId;

/// What the E-model needs to know.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct QualityInput {
    /// Mouth to ear, one way, ms.
    pub delay_ms: f32,
    /// Share of frames lost or too late, 0.0 to 1.0.
    pub loss: f32,
    /// Mean length of a loss in frames; 1.0 when losses are alone or nothing is known.
    pub burst: f32,
    /// The worst codec on the way.
    pub codec: CodecId,
}

/// The estimate.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Quality {
    /// Transmission rating, 0 to 93.2 (narrowband scale, so that all calls compare).
    pub r: f32,
    /// Mean opinion score, 1.0 to 4.5.
    pub mos: f32,
}

/// Rating of a perfect narrowband call with the default values of G.107.
const R0: f32 = 93.2;

/// Equipment impairment Ie and robustness against loss Bpl.
///
/// G.711 with concealment: G.113 Appendix I (0, 25.1). Speex is not in that table: its Ie is placed between
/// AMR 10.2 (6) and G.729 (11) for its bit rate, its Bpl like theirs with concealment.
const fn impairment(codec: CodecId) -> (f32, f32) {
    match codec {
        CodecId::SpeexNb => (11.0, 16.0),
        CodecId::SpeexWb => (7.0, 16.0),
        _ => (0.0, 25.1),
    }
}

/// Estimates the quality of one direction.
pub fn estimate(input: QualityInput) -> Quality {
    let d = finite(input.delay_ms).clamp(0.0, 10_000.0);
    // Id by the usual fit of G.107 (Cole and Rosenbluth 2001): gentle to 177.3 ms, steep beyond.
    let id = 0.024 * d + 0.11 * (d - 177.3).max(0.0);
    let (ie, bpl) = impairment(input.codec);
    let ppl = finite(input.loss).clamp(0.0, 1.0) * 100.0;
    let burst = finite(input.burst).max(1.0);
    // G.107 §3.5, Ie,eff.
    let ie_eff = if ppl > 0.0 {
        ie + (95.0 - ie) * ppl / (ppl / burst + bpl)
    } else {
        ie
    };
    let r = (R0 - id - ie_eff.min(95.0)).clamp(0.0, R0);
    // G.107 Annex B.
    let mos = 1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6;
    Quality {
        r,
        mos: mos.clamp(1.0, 4.5),
    }
}

fn finite(x: f32) -> f32 {
    if x.is_finite() { x } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert, proptest};

    fn mos(delay_ms: f32, loss: f32, codec: CodecId) -> f32 {
        estimate(QualityInput {
            delay_ms,
            loss,
            burst: 1.0,
            codec,
        })
        .mos
    }

    #[test]
    fn known_points() {
        // G.711, no impairment: 4.41 (G.107 Table B.1 gives 4.4 for the defaults).
        assert!((mos(0.0, 0.0, CodecId::Pcmu) - 4.41).abs() < 0.01);
        // G.711 with concealment at 5 % loss: Ie,eff 15.8, R 77, "some users dissatisfied".
        let five = mos(0.0, 0.05, CodecId::Pcmu);
        assert!((3.85..4.0).contains(&five), "{five}");
        assert!(mos(400.0, 0.0, CodecId::Pcmu) < 3.4);
    }

    proptest! {
        #[test]
        fn worse_is_never_better(d in 0f32..500.0, l in 0f32..0.5, more in 0f32..0.5, b in any::<f32>()) {
            prop_assert!(mos(d, l + more, CodecId::Pcma) <= mos(d, l, CodecId::Pcma) + 1e-3);
            prop_assert!(mos(d + more * 500.0, l, CodecId::SpeexWb) <= mos(d, l, CodecId::SpeexWb) + 1e-3);
            let q = estimate(QualityInput { delay_ms: b, loss: b, burst: b, codec: CodecId::SpeexNb });
            prop_assert!((1.0..=4.5).contains(&q.mos));
        }
    }
}
