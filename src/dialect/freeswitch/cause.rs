//! Hang-up causes: FreeSWITCH's names, their Q.850 numbers, and the SIP statuses beside them.

use base::EndReason;
use call::Outcome;

/// Name, Q.850 number (those above 127 are FreeSWITCH's own), SIP status with which a call is refused for it.
const CAUSES: &[(&str, u16, u16)] = &[
    ("NORMAL_CLEARING", 16, 480),
    ("USER_BUSY", 17, 486),
    ("NO_USER_RESPONSE", 18, 480),
    ("NO_ANSWER", 19, 480),
    ("SUBSCRIBER_ABSENT", 20, 480),
    ("CALL_REJECTED", 21, 603),
    ("NUMBER_CHANGED", 22, 410),
    ("EXCHANGE_ROUTING_ERROR", 25, 483),
    ("DESTINATION_OUT_OF_ORDER", 27, 502),
    ("INVALID_NUMBER_FORMAT", 28, 484),
    ("FACILITY_REJECTED", 29, 501),
    ("NORMAL_UNSPECIFIED", 31, 480),
    ("NORMAL_CIRCUIT_CONGESTION", 34, 503),
    ("NETWORK_OUT_OF_ORDER", 38, 503),
    ("NORMAL_TEMPORARY_FAILURE", 41, 503),
    ("SWITCH_CONGESTION", 42, 503),
    ("OUTGOING_CALL_BARRED", 52, 403),
    ("INCOMING_CALL_BARRED", 54, 403),
    ("BEARERCAPABILITY_NOTAUTH", 57, 403),
    ("BEARERCAPABILITY_NOTAVAIL", 58, 503),
    ("SERVICE_NOT_IMPLEMENTED", 79, 501),
    ("INCOMPATIBLE_DESTINATION", 88, 488),
    ("RECOVERY_ON_TIMER_EXPIRE", 102, 504),
    ("INTERWORKING", 127, 500),
    ("UNALLOCATED_NUMBER", 1, 404),
    ("NO_ROUTE_DESTINATION", 3, 404),
    ("ORIGINATOR_CANCEL", 487, 487),
    ("LOSE_RACE", 502, 480),
    ("ALLOTTED_TIMEOUT", 602, 480),
];

/// The outcome for a cause as a client gives it: name or number; the normal one when it gives none or one
/// that nobody knows.
pub(super) fn outcome(cause: &str) -> Outcome {
    let found = CAUSES
        .iter()
        .find(|(name, number, _)| *name == cause || cause.parse() == Ok(*number));
    match found {
        None | Some(("NORMAL_CLEARING", ..)) => Outcome::new(EndReason::HungUp),
        Some((_, _, status)) => {
            let reason = EndReason::from_sip_status(*status);
            Outcome::from_status(*status, reason.text())
        }
    }
}

/// The name for how a call ended.
pub(in super::super) fn name(outcome: &Outcome) -> &'static str {
    match (outcome.reason, outcome.status) {
        (EndReason::HungUp, _) => "NORMAL_CLEARING",
        (EndReason::Cancelled, _) | (_, 487) => "ORIGINATOR_CANCEL",
        (EndReason::NoAnswer, _) => "NO_ANSWER",
        (EndReason::DurationLimit, _) => "ALLOTTED_TIMEOUT",
        (_, 401 | 402 | 403 | 407 | 603 | 607 | 608) => "CALL_REJECTED",
        (_, 404) => "UNALLOCATED_NUMBER",
        (_, 485 | 604) => "NO_ROUTE_DESTINATION",
        (_, 408 | 504) => "RECOVERY_ON_TIMER_EXPIRE",
        (_, 410) => "NUMBER_CHANGED",
        (_, 413..=416 | 420 | 501 | 505) => "SERVICE_NOT_IMPLEMENTED",
        (_, 480) => "NO_USER_RESPONSE",
        (_, 482 | 483) => "EXCHANGE_ROUTING_ERROR",
        (_, 484) => "INVALID_NUMBER_FORMAT",
        (_, 486 | 600) => "USER_BUSY",
        (_, 488 | 606) => "INCOMPATIBLE_DESTINATION",
        (_, 502) => "NETWORK_OUT_OF_ORDER",
        (_, 500 | 503) => "NORMAL_TEMPORARY_FAILURE",
        _ => "NORMAL_UNSPECIFIED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_known_by_name_and_by_number() {
        for cause in ["USER_BUSY", "17"] {
            assert_eq!(
                (outcome(cause).status, outcome(cause).reason),
                (486, EndReason::Busy)
            );
        }
        for cause in ["", "NORMAL_CLEARING", "16", "999", "NO_SUCH"] {
            assert_eq!(outcome(cause).reason, EndReason::HungUp, "{cause}");
        }
        assert_eq!(name(&outcome("CALL_REJECTED")), "CALL_REJECTED");
        assert_eq!(name(&Outcome::new(EndReason::NoAnswer)), "NO_ANSWER");
        assert_eq!(
            name(&Outcome::from_status(404, "Not Found")),
            "UNALLOCATED_NUMBER"
        );
    }
}
