//! Which codec each leg uses: the pair that needs no transcoding wins, then the cheapest for the quality.

use codecs::CodecId;

/// What one side of a leg can do for audio.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Audio {
    /// Codecs it can take, in its own order of preference.
    pub takes: Vec<CodecId>,
    /// The codec it is known to send, when that is settled.
    pub sends: Option<CodecId>,
}

/// The order in which to offer `ours` to a new leg: what the other leg already sends comes first, then what
/// it takes, then the rest, each group in the operator's order.
pub fn order_offer(ours: &[CodecId], other: &Audio) -> Vec<CodecId> {
    let mut order: Vec<CodecId> = Vec::with_capacity(ours.len());
    order.extend(other.sends.filter(|c| ours.contains(c)));
    order.extend(ours.iter().filter(|c| other.takes.contains(c)));
    order.extend(ours);
    let mut seen = Vec::with_capacity(order.len());
    order.retain(|c| {
        let fresh = !seen.contains(c);
        seen.push(*c);
        fresh
    });
    order
}

/// The codec to answer with: of those `offered` that are `ours`, the one that avoids transcoding with the
/// other leg, else the offerer's first.
pub fn pick_answer(offered: &[CodecId], ours: &[CodecId], other: &Audio) -> Option<CodecId> {
    let usable = || offered.iter().copied().filter(|c| ours.contains(c));
    usable()
        .find(|c| other.sends == Some(*c))
        .or_else(|| usable().find(|c| other.takes.contains(c)))
        .or_else(|| usable().next())
}

/// The codec in which a Flash-side player hears a source that comes in `source`: untouched when the player
/// announced that codec, else its own first choice; Speex, which every Flash player since 10 decodes, when it
/// announced nothing.
pub fn pick_flash(announced: &[CodecId], source: CodecId) -> CodecId {
    if announced.contains(&source) {
        source
    } else {
        announced.first().copied().unwrap_or(CodecId::SpeexWb)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CodecId::{Pcma, Pcmu, SpeexNb, SpeexWb};

    const OURS: &[CodecId] = &[SpeexWb, Pcmu, Pcma];

    #[test]
    fn what_the_other_leg_sends_is_offered_first() {
        let other = Audio {
            takes: vec![SpeexWb],
            sends: Some(Pcma),
        };
        assert_eq!(order_offer(OURS, &other), [Pcma, SpeexWb, Pcmu]);
        assert_eq!(order_offer(OURS, &Audio::default()), OURS);
    }

    #[test]
    fn an_answer_avoids_transcoding_then_follows_the_offerer() {
        let flash = Audio {
            takes: vec![SpeexWb],
            sends: Some(SpeexWb),
        };
        assert_eq!(pick_answer(&[Pcmu, SpeexWb], OURS, &flash), Some(SpeexWb));
        assert_eq!(pick_answer(&[Pcma, Pcmu], OURS, &flash), Some(Pcma));
        assert_eq!(pick_answer(&[SpeexNb], OURS, &flash), None);
    }

    #[test]
    fn a_player_hears_what_it_announced() {
        assert_eq!(pick_flash(&[SpeexWb, Pcmu], Pcmu), Pcmu);
        assert_eq!(pick_flash(&[SpeexWb], Pcmu), SpeexWb);
        assert_eq!(pick_flash(&[CodecId::Nelly8], Pcmu), CodecId::Nelly8);
        assert_eq!(pick_flash(&[], Pcmu), SpeexWb);
    }
}
