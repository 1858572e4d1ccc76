//! What a leg is told and what it tells, whatever it is made of.

use base::EndReason;

/// How a leg ended, with the words of the far end where there were any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Why.
    pub reason: EndReason,
    /// SIP status that says the same: received from the far end, or the reason's own.
    pub status: u16,
    /// Text that goes with the status, such as `Busy Here`.
    pub text: String,
}

impl Outcome {
    /// The outcome for a reason of ours.
    pub fn new(reason: EndReason) -> Outcome {
        Outcome {
            reason,
            status: reason.sip_status(),
            text: reason.text().to_owned(),
        }
    }

    /// The outcome for a SIP status received from a far end; one that is no refusal counts as an ordinary end.
    pub fn from_status(status: u16, text: &str) -> Outcome {
        Outcome {
            reason: match status {
                ..300 => EndReason::HungUp,
                _ => EndReason::from_sip_status(status),
            },
            status,
            text: text.to_owned(),
        }
    }

    /// `486 Busy Here`, as clients show it.
    pub fn line(&self) -> String {
        format!("{} {}", self.status, self.text)
    }

    /// How telling this refusal is when several callees refused: the most telling one reaches the caller
    /// (RFC 3261 §16.7 step 6: a 6xx wins, then the callee's own decision before mere absence).
    pub(crate) fn weight(&self) -> u32 {
        match self.status {
            600..=699 => 5,
            401 | 403 | 407 | 415 | 486 | 488 => 4,
            404 | 410 | 484 => 3,
            480 | 487 => 2,
            408 | 500..=599 => 1,
            _ => 2,
        }
    }
}

/// What a leg tells its call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LegEvent {
    /// The callee is being alerted.
    Ringing,
    /// The callee sends media before its answer.
    Progress,
    /// The callee answered.
    Answered,
    /// The callee refused, or could not be reached.
    Refused(Outcome),
    /// A party left: the caller before or after the answer, a callee after it.
    HungUp(Outcome),
}

/// What a call tells one of its legs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LegCommand {
    /// To the caller: the callee is being alerted.
    Ring,
    /// To the caller: media flows before the answer.
    Progress,
    /// To the caller: answered.
    Answer,
    /// To the caller: refused.
    Refuse(Outcome),
    /// To any leg: it is over.
    HangUp(Outcome),
}
